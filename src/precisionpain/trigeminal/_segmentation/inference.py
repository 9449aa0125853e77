"""From a trained network and an image to probabilities, and to what else is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["best_class", "fit_temperature", "infer", "logits_of"]

Array = NDArray[Any]


def logits_of(
    network: nn.Module,
    image: torch.Tensor,
    *,
    patch: Sequence[int],
    overlap: float,
    amp: bool,
    batch: int = 2,
) -> torch.Tensor:
    """Return the logits of a scan, from overlapping windows with Gaussian weights.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    image : torch.Tensor of shape (channels, x, y, z)
        Normalised, on the device of the network.
    patch : sequence of three ints
        Size of a window.
    overlap : float
        Share of a window that its neighbour sees as well.
    amp : bool
        Whether to compute in bfloat16.
    batch : int, default 2
        Windows at a time.

    Returns
    -------
    torch.Tensor of float32, shape (classes, x, y, z)
    """
    from monai.inferers import sliding_window_inference

    with torch.inference_mode(), torch.autocast(image.device.type, torch.bfloat16, enabled=amp):
        found: Any = sliding_window_inference(
            image[None], list(patch), batch, lambda part: network(part).float(),
            overlap=overlap, mode="gaussian",
        )  # fmt: skip
    return found[0].float()


def infer(
    network: nn.Module,
    image: Array,
    *,
    patch: Sequence[int],
    overlap: float,
    flips: Sequence[Sequence[int]],
    temperature: float,
    device: torch.device,
    amp: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return probabilities, mean over test-time flips, and how far the flips disagree.

    Parameters
    ----------
    network : torch.nn.Module
        Trained.
    image : ndarray of shape (channels, x, y, z)
        Normalised.
    patch, overlap
        As in `logits_of`.
    flips : sequence of sequences of int
        Axes (0 to 2) along which the image is mirrored, one sequence for each pass; the
        empty one is the image as it is.
    temperature : float
        Divides the logits.
    device : torch.device
        Where to compute.
    amp : bool
        Whether to compute in bfloat16.

    Returns
    -------
    probabilities : numpy.ndarray of float32, shape (classes, x, y, z)
    spread : numpy.ndarray of float32, shape (x, y, z)
        Largest standard deviation of a class over the flips; 0 for a single pass.
    """
    network.eval()
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(device)
    total = square = torch.zeros(())
    for axes in flips:
        there = [axis + 1 for axis in axes]
        logits = logits_of(network, tensor.flip(there), patch=patch, overlap=overlap, amp=amp)
        probability = (logits / temperature).softmax(0).flip(there)
        total, square = total + probability, square + probability**2
    mean = total / len(flips)
    variance = (square / len(flips) - mean**2).clamp(min=0)
    return mean.cpu().numpy(), variance.sqrt().amax(0).cpu().numpy()


def best_class(probabilities: Array, units: Sequence[Sequence[int]]) -> NDArray[np.intp]:
    """Return the class of each voxel: first which unit is likeliest, then which in it.

    What is a vessel for certain, an artery or a vein, would be lost to the background if each
    of the two were set against it alone.

    Parameters
    ----------
    probabilities : ndarray of shape (classes, ...)
        The first is background.
    units : sequence of sequences of int
        Classes alone, or with those that they count as one with.

    Returns
    -------
    numpy.ndarray of int, shape (...)
    """
    sums = [probabilities[0], *(probabilities[list(unit)].sum(axis=0) for unit in units)]
    # Of equals the structure wins over the background, as in the simulated labels.
    unit_of = len(sums) - 1 - np.argmax(sums[::-1], axis=0)
    best = np.zeros(probabilities.shape[1:], dtype=np.intp)
    for i, unit in enumerate(units, start=1):
        own = unit_of == i
        best[own] = np.array(unit)[probabilities[list(unit)][:, own].argmax(axis=0)]
    return best


def fit_temperature(logits: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> float:
    """Find the temperature with the least cross-entropy (Guo et al., ICML 2017).

    Parameters
    ----------
    logits, targets : sequence of torch.Tensor, shape (classes, n)
        Of held-out scans; targets may be soft.

    Returns
    -------
    float
        Between 0.25 and 4.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        t = float(np.exp(log_t))
        parts = [
            float(-(y * (x / t).log_softmax(0)).sum()) for x, y in zip(logits, targets, strict=True)
        ]
        return sum(parts)

    with torch.inference_mode():
        found = minimize_scalar(loss, bounds=(np.log(0.25), np.log(4)), method="bounded")
    return float(np.exp(found.x))
