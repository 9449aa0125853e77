"""Does a scan look like those that the network knows? Numbers, their ranges, and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from .grids import Grid

__all__ = ["describe", "judge", "known_ranges"]

Array = NDArray[Any]


def describe(
    image: Array, probabilities: Array, spread: Array, grid: Grid, names: Sequence[str]
) -> dict[str, float]:
    """Describe a segmented scan by a few numbers for each structure.

    Parameters
    ----------
    image : ndarray of shape (x, y, z)
        Normalised, first channel.
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    spread : ndarray of shape (x, y, z)
        Between mirrored passes.
    grid : Grid
        Where the voxels lie.
    names : sequence of str
        Of the classes after the first.

    Returns
    -------
    dict
        ``<name>_mm3``: volume. ``<name>_contrast``: how much brighter the structure is than
        the background around it (in standard deviations of the image).
        ``<name>_confidence``: mean probability of what was labelled. ``noise``: standard
        deviation of the differences between neighbouring voxels of the background. ``spread``:
        mean disagreement of the mirrored passes within structures. NaN where there is
        nothing to tell from.
    """
    best = probabilities.argmax(axis=0)
    voxel = float(np.prod(grid.spacing))
    reach = [2 * max(round(1.5 / step), 1) + 1 for step in grid.spacing]
    found: dict[str, float] = {}
    sure = probabilities[0] > 0.9
    for k, name in enumerate(names, start=1):
        own = best == k
        found[f"{name}_mm3"] = float(probabilities[k].sum()) * voxel
        around = ndimage.maximum_filter(own, size=reach) & sure
        inside = probabilities[k] > 0.8
        enough = inside.any() and around.any()
        found[f"{name}_contrast"] = (
            float(image[inside].mean() - image[around].mean()) if enough else np.nan
        )
        found[f"{name}_confidence"] = float(probabilities[k][own].mean()) if own.any() else np.nan
    steps = np.diff(image, axis=0)[sure[1:] & sure[:-1]]
    found["noise"] = float(1.4826 * np.median(np.abs(steps)) / np.sqrt(2)) if steps.size else np.nan
    found["spread"] = float(spread[best > 0].mean()) if (best > 0).any() else np.nan
    return found


def known_ranges(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return what is usual: the 1st to 99th percentile, and half of that width on both sides.

    Parameters
    ----------
    rows : sequence of mapping
        From `describe`, of at least eight held-out scans.

    Returns
    -------
    dict of str to (low, high)
        Empty for fewer scans. Volumes and noise, which span decades, by their logarithm.
    """
    if len(rows) < 8:
        return {}
    ranges = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=float)
        values = values[np.isfinite(values)]
        logs = _by_logarithm(name)
        if logs:
            values = np.log(np.maximum(values, 1e-3))
        if len(values) < 8:
            continue
        low, high = np.percentile(values, (1, 99))
        low, high = low - 0.5 * (high - low), high + 0.5 * (high - low)
        if logs:
            low, high = np.exp(low), np.exp(high)
        ranges[name] = (float(low), float(high))
    return ranges


def _by_logarithm(name: str) -> bool:
    return name.endswith("_mm3") or name == "noise"


def judge(
    values: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> tuple[pd.DataFrame, list[str]]:
    """Compare a scan with what the network knows.

    Parameters
    ----------
    values : mapping
        From `describe`.
    ranges : mapping
        From `known_ranges`.

    Returns
    -------
    checks : pandas.DataFrame
        Index ``check``; columns ``value``, ``low``, ``high``, ``ok``.
    flags : list of str
        In words, for those that aren't ok.
    """
    rows, flags = {}, []
    for name, (low, high) in ranges.items():
        value = values.get(name, np.nan)
        ok = bool(low <= value <= high)
        usual = f"{low:.3g} to {high:.3g}"
        # More confident or less noisy than usual is no reason to worry.
        if name.endswith("_confidence"):
            ok, usual = bool(value >= low), f"at least {low:.3g}"
        elif name in ("noise", "spread"):
            ok, usual = bool(value <= high), f"at most {high:.3g}"
        rows[name] = {"value": value, "low": low, "high": high, "ok": ok}
        if not ok and not np.isnan(value):
            flags.append(
                f"{name.replace('_', ' ').replace(' mm3', ' volume (mm³)')} is {value:.3g}, "
                f"scans that the network knows have {usual}"
            )
    checks = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "ok"])
    return checks.rename_axis("check"), flags
