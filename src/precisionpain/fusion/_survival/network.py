"""A small network of the log hazard ratio; it knows columns and times, not people."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["cox_loss", "hazard_network", "train_network"]


def hazard_network(n_features: int, hidden: int, dropout: float) -> nn.Module:
    """Return columns → one hidden layer → log hazard ratio."""
    return nn.Sequential(
        nn.Linear(n_features, hidden),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(hidden, 1, bias=False),
        nn.Flatten(0),
    )


def cox_loss(eta: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """Return the negative log partial likelihood per event (Breslow's ties)."""
    order = torch.argsort(time, descending=True, stable=True)
    sums = torch.logcumsumexp(eta[order], 0)
    # All of one time are at risk together: the sum of the last of them, in this order.
    _, counts = torch.unique_consecutive(time[order], return_counts=True)
    last = torch.repeat_interleave(torch.cumsum(counts, 0) - 1, counts)
    seen = event[order]
    return -(eta[order] - sums[last])[seen].sum() / seen.sum().clamp(min=1)


def train_network(
    x: torch.Tensor,
    time: torch.Tensor,
    event: torch.Tensor,
    held_out: torch.Tensor,
    *,
    hidden: int,
    dropout: float,
    weight_decay: float,
    learning_rate: float,
    max_steps: int,
    seed: int,
) -> nn.Module:
    """Train on all people but some at once, for as many steps as is best for those held out.

    The global generator of random numbers stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = hazard_network(x.shape[1], hidden, dropout).to(x.dtype)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        train = ~held_out
        best, state = float("inf"), network.state_dict()
        for step in range(max_steps):
            if step % 5 == 0:
                network.eval()
                with torch.no_grad():
                    loss = float(cox_loss(network(x[held_out]), time[held_out], event[held_out]))
                if loss < best:
                    best = loss
                    state = {name: value.clone() for name, value in network.state_dict().items()}
            network.train()
            optimiser.zero_grad()
            cox_loss(network(x[train]), time[train], event[train]).backward()
            optimiser.step()
        network.load_state_dict(state)
    return network.eval()
