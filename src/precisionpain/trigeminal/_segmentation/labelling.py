"""From a scan and a network to labels on the grid of the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .borders import Border, Classes, settle_borders
from .checks import describe, judge
from .grids import Grid, normalise, resample, working_grid
from .inference import best_class, infer
from .localise import crop_box, find_cistern
from .scans import Scan
from .sides import keep_largest, left_of_midline
from .tubes import follow, prune

__all__ = ["Found", "by_value", "missing", "network_on_scan", "part_of"]

Array = NDArray[Any]
Structures = Mapping[str, tuple[int, ...]]

# The box that holds both nerves, along the axes of the scan; a scan not much larger is taken whole.
_BOX_MM = (72.0, 58.0, 50.0)
_SLACK_MM = 12.0


class Found(NamedTuple):
    """What a network says of a scan, on the scan's own grid.

    Parameters
    ----------
    probabilities : numpy.ndarray of shape (classes, x, y, z)
        The first is background; 1 beyond the part that was looked at.
    spread : numpy.ndarray of shape (x, y, z)
        Between mirrored passes.
    checks : pandas.DataFrame
        As `Segmentation.checks`.
    flags : list of str
    """

    probabilities: Array
    spread: Array
    checks: pd.DataFrame
    flags: list[str]


class Part(NamedTuple):
    """The part of a scan that holds the structures, and where it begins in voxels."""

    scan: Scan
    box: tuple[slice, ...]
    flags: list[str]


def part_of(scan: Scan, localiser: Any) -> Part:
    """Find the part of a scan that holds the structures.

    Parameters
    ----------
    scan : Scan
        Of any size.
    localiser : torch.nn.Module or None
        Finds the cistern; without one every scan is taken whole.

    Returns
    -------
    Part
    """
    extent = scan.grid.spacing * scan.grid.shape
    if localiser is None or (extent <= np.array(_BOX_MM) + _SLACK_MM).all():
        return Part(scan, tuple(slice(0, n) for n in scan.grid.shape), [])
    centre, confidence = find_cistern(localiser, scan.channels[0], scan.grid)
    start, shape = crop_box(scan.grid, centre, _BOX_MM)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, shape, strict=True))
    part = Scan([c[box] for c in scan.channels], scan.grid.cut(start, shape), scan.original)
    flags = []
    if confidence < 0.5:
        flags = [
            f"the cistern of the trigeminal nerves isn't where it is expected (confidence "
            f"{confidence:.2f}): it may lie outside the field of view, or the scan may be of "
            "another kind"
        ]
    return Part(part, box, flags)


def network_on_scan(
    network: Any,
    scan: Scan,
    *,
    localiser: Any,
    spacing_mm: tuple[float, float, float] | None,
    structures: Structures,
    units: Sequence[Classes],
    ranges: Mapping[str, tuple[float, float]],
    borders: Mapping[Classes, Border],
    **how: Any,
) -> Found:
    """Run a network over the part of a scan that matters.

    Parameters
    ----------
    network : torch.nn.Module
        Trained.
    scan : Scan
        As it was read.
    localiser : torch.nn.Module or None
        See `part_of`.
    spacing_mm : tuple of three floats or None
        Voxel size that the network works at.
    structures : mapping of str to tuple of int
        What the classes after the first are; pairs are in one piece on either side.
    units : sequence of tuple of int
        Classes alone, or with those that they count as one with: these a pair may be taken for.
    ranges : mapping of str to (low, high)
        What is usual.
    borders : mapping of tuple of int to Border
        Classes whose border voxels heed the intensity.
    **how
        Arguments of `infer`.

    Returns
    -------
    Found
    """
    part, box, flags = part_of(scan, localiser)
    grid = working_grid(part.grid, spacing_mm)
    image = np.stack([
        normalise(resample(channel, part.grid, grid, order=3)) for channel in part.channels
    ])  # fmt: skip
    fine, fine_spread = infer(network, image, **how)
    checks, found = judge(describe(image[0], fine, fine_spread, grid, list(structures)), ranges)
    pairs = [k for k, own in enumerate(structures.values(), start=1) if len(own) == 2]
    alike = [unit for unit in units if len(unit) > 1]
    fine = prune(fine, pairs, alike, grid.spacing)
    fine = follow(fine, pairs, alike, grid.spacing)
    fine = settle_borders(image[0], fine, borders)
    whole = np.zeros((len(fine), *scan.grid.shape), dtype=np.float32)
    whole[0] = 1
    spread = np.zeros(scan.grid.shape, dtype=np.float32)
    inner = np.stack([resample(one, grid, part.grid) for one in fine])
    whole[:, *box] = inner / np.maximum(inner.sum(axis=0), 1e-6)
    spread[box] = resample(fine_spread, grid, part.grid)
    return Found(whole, spread, checks, [*flags, *found])


def by_value(
    probabilities: Array, grid: Grid, structures: Structures, units: Sequence[Classes]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Tell the sides apart.

    Parameters
    ----------
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    grid : Grid
        Of the scan.
    structures : mapping of str to tuple of int
        Their values; pairs are (left, right), and the first structure is what the midline
        goes through.
    units : sequence of tuple of int
        Classes alone, or with those that they count as one with.

    Returns
    -------
    labels : numpy.ndarray of uint8, shape (x, y, z)
    shares : numpy.ndarray of float32, shape (x, y, z, values + 1)
        Probability of background and of each value in rising order.
    """
    values = sorted(value for own in structures.values() for value in own)
    place = {value: k for k, value in enumerate(values, start=1)}
    shares = np.zeros((*grid.shape, len(values) + 1), dtype=np.float32)
    pairs = [own for own in structures.values() if len(own) == 2]
    left: Array = np.zeros(grid.shape, dtype=bool)
    if pairs:
        left = left_of_midline(probabilities[1], grid)
    for k, own in enumerate(structures.values(), start=1):
        if len(own) == 1:
            shares[..., place[own[0]]] = probabilities[k]
        else:
            shares[..., place[own[0]]] = np.where(left, probabilities[k], 0)
            shares[..., place[own[1]]] = np.where(left, 0, probabilities[k])
    shares[..., 0] = 1 - shares[..., 1:].sum(axis=-1)
    best = np.zeros(grid.shape, dtype=np.uint8)
    found = best_class(np.stack([shares[..., 0], *probabilities[1:]]), units)
    for k, own in enumerate(structures.values(), start=1):
        best[found == k] = own[-1]
        if len(own) == 2:
            best[(found == k) & left] = own[0]
    for value in (value for own in pairs for value in own):
        stray = keep_largest(best, value)
        best[stray] = 0
        shares[stray, 0] += shares[stray, place[value]]
        shares[stray, place[value]] = 0
    return best, np.clip(shares, 0, 1)


def missing(labels: Array, structures: Structures) -> list[str]:
    """Return a flag for each structure that everybody has and that wasn't found."""
    there = set(np.unique(labels).tolist())
    flags = []
    for name, own in structures.items():
        words = [name] if len(own) == 1 else [f"left {name}", f"right {name}"]
        if name in ("artery", "vein"):
            continue  # not everybody has one near
        flags += [
            f"no {word} was found: it may lie outside the field of view, or the scan may be "
            "of another kind than the network knows"
            for word, value in zip(words, own, strict=True)
            if value not in there
        ]
    return flags
