"""Training of the networks that join blocks, and modality dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..._learning.loop import Recipe, train
from .inputs import Inputs

__all__ = ["Batch", "as_batch", "drop_blocks", "fit_network", "outputs", "seeded"]

Batch = dict[str, Any]
"""``values`` and ``known`` (lists of tensors), ``has``; in training ``y`` as well."""


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network whose first weights depend on the seed alone.

    Parameters
    ----------
    make : callable
        Returns the network.
    seed : int

    Returns
    -------
    torch.nn.Module
        In 64 bits: at this size they cost nothing, and who else is in a batch then changes
        no digit that anybody reads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double()


def as_batch(inputs: Inputs, device: torch.device | str = "cpu") -> Batch:
    """Return the blocks as tensors."""

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return {
        "values": [tensor(v) for v in inputs.values],
        "known": [tensor(k) for k in inputs.known],
        "has": tensor(inputs.has),
    }


def drop_blocks(has: Tensor, share: float) -> Tensor:
    """Hide blocks at random, and never all that a person has.

    Parameters
    ----------
    has : torch.Tensor of bool, shape (n, n_blocks)
    share : float
        Chance of each block to be hidden.

    Returns
    -------
    torch.Tensor of bool, shape (n, n_blocks)
    """
    chance = torch.rand(has.shape, device=has.device)
    kept = has & (chance >= share)
    # Of who would have none left, the block that came nearest to staying stays.
    last = torch.zeros_like(has).scatter(1, chance.masked_fill(~has, -1).argmax(1, True), True)
    return torch.where(kept.any(1, keepdim=True), kept, has & last)


def fit_network(
    network: nn.Module,
    inputs: Inputs,
    y: np.ndarray,
    loss_of: Callable[[nn.Module, Batch], Tensor],
    *,
    seed: int,
    n_epochs: int,
    batch_size: int | None,
    learning_rate: float,
    weight_decay: float,
    device: str,
) -> nn.Module:
    """Train a network for a fixed number of epochs; who has no block at all is left out.

    Parameters
    ----------
    network : torch.nn.Module
    inputs : Inputs
        Of n people.
    y : numpy.ndarray of shape (n,)
        0 and 1.
    loss_of : callable
        From network and batch to a scalar.
    seed : int
        Of batches and dropout.
    n_epochs : int
        Passes through the people.
    batch_size : int or None
        About so many people in a step; None for all of them.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to 0 as a cosine.
    device : str
        As torch names it.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    rows = np.flatnonzero(inputs.has.any(axis=1))
    whole = as_batch(inputs[rows]) | {"y": torch.from_numpy(y[rows].astype(float))}
    n = len(rows)
    per_epoch = 1 if batch_size is None else max(1, round(n / batch_size))

    def batch_of(step: int) -> Batch:
        epoch, number = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(n)
        part = torch.from_numpy(np.array_split(order, per_epoch)[number])
        return {
            "values": [v[part] for v in whole["values"]],
            "known": [k[part] for k in whole["known"]],
            "has": whole["has"][part],
            "y": whole["y"][part],
            "rows": part,
        }

    recipe = Recipe(
        learning_rate=learning_rate,
        n_steps=n_epochs * per_epoch,
        weight_decay=weight_decay,
        warmup=min(10, n_epochs * per_epoch // 10),
        schedule="cosine",
    )
    train(network, batch_of, loss_of, recipe, seed=seed, device=device,
          log_every=max(1, recipe.n_steps), progress=False)  # fmt: skip
    return network


def outputs(network: nn.Module, inputs: Inputs, device: str) -> tuple[np.ndarray, ...]:
    """Return what a network gives for people.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    inputs : Inputs
        Of n people.
    device : str
        Where the network is.

    Returns
    -------
    tuple of numpy.ndarray
        Log odds (n,) first.
    """
    with torch.inference_mode():
        batch = as_batch(inputs, device)
        found = network(batch["values"], batch["has"], batch["known"])
    return tuple(each.cpu().numpy() for each in found)
