"""What held-out scans say of a network: Dice, temperature, and what is usual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .borders import Border, Classes, fit_borders
from .checks import describe, known_ranges
from .grids import Grid
from .inference import best_class, fit_temperature, infer, logits_of

__all__ = ["borders_of", "dice_of", "ranges_of", "temperature_of"]

Array = NDArray[Any]
Labelled = Iterable[tuple[Array, Array]]
"""Images (channels, x, y, z) and targets (classes, x, y, z)."""


def _logits(network: Any, image: Array, device: torch.device, how: dict[str, Any]) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    return logits_of(network, tensor, **how).cpu()


def dice_of(
    network: Any,
    scans: Labelled,
    names: Sequence[str],
    units: Sequence[Classes],
    device: torch.device,
    **how: Any,
) -> dict[str, float]:
    """Return the Dice of each structure, pooled over scans, and the mean of what counts as one.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    scans : iterable of (image, target)
        Held out.
    names : sequence of str
        Of the structures.
    units : sequence of tuple of int
        Classes alone, or with those that they count as one with.
    device : torch.device
        Where the network is.
    **how
        ``patch``, ``overlap``, ``amp`` as `logits_of` takes them.

    Returns
    -------
    dict
        ``dice``, and ``dice_<name>`` for each; with a plus between those that count as one.
    """
    asked = [*((k,) for k in range(1, len(names) + 1)), *(u for u in units if len(u) > 1)]
    both, each = np.zeros(len(asked)), np.zeros(len(asked))
    for image, target in scans:
        found = best_class(_logits(network, image, device, how).softmax(0).numpy(), units)
        truth = target.argmax(axis=0)
        for i, classes in enumerate(asked):
            own, true = np.isin(found, classes), np.isin(truth, classes)
            both[i] += (own & true).sum()
            each[i] += own.sum() + true.sum()
    dice = dict(zip(asked, (2 * both / np.maximum(each, 1)).tolist(), strict=True))
    named = {"+".join(names[k - 1] for k in classes): value for classes, value in dice.items()}
    return {"dice": float(np.mean([dice[unit] for unit in units]))} | {
        f"dice_{name}": value for name, value in named.items()
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


def borders_of(
    network: Any, scans: Labelled, units: Sequence[Classes], **how: Any
) -> dict[Classes, Border]:
    """Return how far to trust network and intensity at borders, see `fit_borders`.

    Parameters
    ----------
    network, scans
        As in `dice_of`.
    units : sequence of tuple of int
        As `fit_borders` takes them.
    **how
        Arguments of `infer`.

    Returns
    -------
    dict of tuple of int to Border
    """
    found = ((image[0], infer(network, image, **how)[0], target) for image, target in scans)
    return fit_borders(found, units)


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
