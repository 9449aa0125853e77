"""What held-out scans say of a network: Dice, temperature, and what is usual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .borders import Border, fit_borders
from .checks import describe, known_ranges
from .grids import Grid
from .inference import fit_temperature, infer, logits_of

__all__ = ["borders_of", "dice_of", "ranges_of", "temperature_of"]

Array = NDArray[Any]
Labelled = Iterable[tuple[Array, Array]]
"""Images (channels, x, y, z) and targets (classes, x, y, z)."""


def _logits(network: Any, image: Array, device: torch.device, how: dict[str, Any]) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    return logits_of(network, tensor, **how).cpu()


def dice_of(
    network: Any, scans: Labelled, names: Sequence[str], device: torch.device, **how: Any
) -> dict[str, float]:
    """Return the Dice of each structure, pooled over scans, and their mean.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    scans : iterable of (image, target)
        Held out.
    names : sequence of str
        Of the structures.
    device : torch.device
        Where the network is.
    **how
        ``patch``, ``overlap``, ``amp`` as `logits_of` takes them.

    Returns
    -------
    dict
        ``dice``, and ``dice_<name>`` for each.
    """
    both, each = np.zeros(len(names)), np.zeros(len(names))
    for image, target in scans:
        found = _logits(network, image, device, how).argmax(0).numpy()
        truth = target.argmax(axis=0)
        for k in range(len(names)):
            own, true = found == k + 1, truth == k + 1
            both[k] += (own & true).sum()
            each[k] += own.sum() + true.sum()
    dice = 2 * both / np.maximum(each, 1)
    return {"dice": float(dice.mean())} | {
        f"dice_{name}": float(value) for name, value in zip(names, dice, strict=True)
    }


def temperature_of(network: Any, scans: Labelled, device: torch.device, **how: Any) -> float:
    """Return the temperature that calibrates the probabilities of held-out scans.

    Parameters
    ----------
    network, scans, device, **how
        As in `dice_of`.

    Returns
    -------
    float
    """
    logits, targets = [], []
    for image, target in scans:
        found = _logits(network, image, device, how)
        # Voxels that are background beyond doubt tell nothing of the temperature.
        unsure = (found.softmax(0)[0] < 0.999).flatten() | torch.from_numpy(
            target[0] < 0.999
        ).flatten()
        logits.append(found.flatten(1)[:, unsure])
        targets.append(torch.from_numpy(target).flatten(1)[:, unsure])
    return fit_temperature(logits, targets)


def borders_of(network: Any, scans: Labelled, n_classes: int, **how: Any) -> dict[int, Border]:
    """Return how far to trust network and intensity at borders, see `fit_borders`.

    Parameters
    ----------
    network, scans
        As in `dice_of`.
    n_classes : int
        With the background.
    **how
        Arguments of `infer`.

    Returns
    -------
    dict of int to Border
    """
    found = ((image[0], infer(network, image, **how)[0], target) for image, target in scans)
    return fit_borders(found, n_classes)


def ranges_of(
    network: Any,
    scans: Labelled,
    grids: Sequence[Grid],
    names: Sequence[str],
    **how: Any,
) -> dict[str, tuple[float, float]]:
    """Return what is usual of a scan, from held-out scans labelled as any other scan is.

    Parameters
    ----------
    network, scans, names
        As in `dice_of`.
    grids : sequence of Grid
        Of the scans.
    **how
        Arguments of `infer`.

    Returns
    -------
    dict of str to (low, high)
    """
    rows = []
    for (image, _), grid in zip(scans, grids, strict=True):
        probabilities, spread = infer(network, image, **how)
        rows.append(describe(image[0], probabilities, spread, grid, list(names)))
    return known_ranges(rows)
