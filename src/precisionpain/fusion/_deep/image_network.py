"""A small 3-D network on the boxes round both nerves."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..._learning.loop import Recipe, train

__all__ = ["NerveNetwork", "activations", "fit_nerves", "logits"]


class NerveNetwork(nn.Module):
    """Three levels of convolution, a mean over the box, and one logit.

    Parameters
    ----------
    base : float
        Log odds to begin with.
    width : int
        Channels of the first level; doubled at each further one.
    dropout : float
        Before the head.

    Notes
    -----
    Takes (n, 2, x, y, z), each size of 8 voxels at least; gives logits (n,).
    """

    base: Tensor

    def __init__(self, base: float, *, width: int, dropout: float) -> None:
        super().__init__()
        sizes = [2, width, 2 * width, 4 * width]
        self.trunk = nn.Sequential(
            *(_level(a, b) for a, b in itertools.pairwise(sizes)),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(sizes[-1], 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("base", torch.tensor(base, dtype=torch.float32))

    def forward(self, boxes: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.drop(self.trunk(boxes)))[:, 0] + self.base
        return logits


def _level(n_in: int, n_out: int) -> nn.Sequential:
    # Statistics of one person alone, so that no other in a batch changes a prediction.
    return nn.Sequential(
        nn.Conv3d(n_in, n_out, 3, padding=1),
        nn.GroupNorm(min(4, n_out), n_out),
        nn.ReLU(),
        nn.MaxPool3d(2),
    )


def fit_nerves(
    crops: np.ndarray,
    y: np.ndarray,
    base: float,
    *,
    margin: int,
    width: int,
    dropout: float,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    device: str,
) -> nn.Module:
    """Train a network on shifted boxes with a little noise.

    Parameters
    ----------
    crops : numpy.ndarray of float32, shape (n, 2, x, y, z)
        With a margin on every side.
    y : numpy.ndarray of shape (n,)
        0 and 1.
    base : float
        Log odds to begin with.
    margin : int
        Voxels that a box may be shifted.
    width, dropout
        Of `NerveNetwork`.
    n_epochs, batch_size, learning_rate, weight_decay
        Of AdamW with a cosine schedule.
    seed : int
    device : str

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NerveNetwork(base, width=width, dropout=dropout)
    n = len(crops)
    per_epoch = max(1, round(n / batch_size))
    target = y.astype(np.float32)

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        epoch, number = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(n)
        rows = np.array_split(order, per_epoch)[number]
        rng = np.random.default_rng([seed, epoch, number, 1])
        boxes = [_inner(crops[row], margin, rng.integers(-margin, margin + 1, 3)) for row in rows]
        batch = np.stack(boxes) * rng.uniform(0.9, 1.1, (len(rows), 1, 1, 1, 1))
        batch = batch + 0.1 * rng.standard_normal(batch.shape)
        return torch.from_numpy(batch.astype(np.float32)), torch.from_numpy(target[rows])

    def loss_of(net: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(net(batch[0]), batch[1])

    steps = n_epochs * per_epoch
    recipe = Recipe(
        learning_rate=learning_rate, n_steps=steps, weight_decay=weight_decay,
        warmup=min(10, steps // 10), schedule="cosine",
    )  # fmt: skip
    train(network, batch_of, loss_of, recipe, seed=seed, device=device, log_every=steps,
          progress=False)  # fmt: skip
    return network


def _inner(crop: np.ndarray, margin: int, shift: np.ndarray | tuple[int, ...]) -> np.ndarray:
    """Return the box without its margin, shifted."""
    parts = [
        slice(margin + int(s), n - margin + int(s))
        for s, n in zip(shift, crop.shape[1:], strict=True)
    ]
    return crop[:, parts[0], parts[1], parts[2]]


def logits(network: Any, crops: np.ndarray, margin: int) -> np.ndarray:
    """Return the logit of each person, each computed alone.

    Parameters
    ----------
    network : NerveNetwork
        In evaluation mode.
    crops : numpy.ndarray of float32, shape (n, 2, x, y, z)
        With a margin on every side.
    margin : int

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
    """
    return _each(network, network, crops, margin).reshape(-1)


def activations(network: Any, crops: np.ndarray, margin: int) -> np.ndarray:
    """Return what the head sees, shape (n, n_features); otherwise as `logits`."""
    return _each(network, network.trunk, crops, margin)


def _each(network: nn.Module, compute: Any, crops: np.ndarray, margin: int) -> np.ndarray:
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for crop in crops:
            box = np.ascontiguousarray(_inner(crop, margin, (0, 0, 0)))
            found.append(compute(torch.from_numpy(box)[None].to(device)).reshape(-1).cpu())
    return np.stack([each.double().numpy() for each in found]) if found else np.zeros((0, 0))
