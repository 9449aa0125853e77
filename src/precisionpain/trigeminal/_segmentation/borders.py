"""How much of a border voxel belongs to a structure, from its intensity.

A network knows what a structure is and about where it ends. In a voxel that structure and
background share, the intensity says more: between the levels of either, measured close by, it
lies where the share lies (the linear mixture of Choi et al., IEEE Trans Med Imaging 10, 395,
1991). Both are joined, each weighted by the inverse of its mean squared error, which is measured on
held-out scans, and not voxel by voxel: along a stretch of border the errors of the intensity
cancel, and those of a network hardly do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._doubt import parts_of
from .levels import Level, mean_level, usual_level

__all__ = ["Border", "Classes", "fit_borders", "settle_borders"]

Array = NDArray[Any]
Classes = tuple[int, ...]
"""One class of the network, or several that count as one."""

_AROUND = (7, 20)
"""Voxels along a box in which the level of the background is measured, and how many it takes."""
_INSIDE = ((9, 3), (21, 3), (41, 3))
"""The same for a structure. A thin vessel has next to no voxel of its own alone, and borrows the
level of the nearest that have, with the variance of all that lie so far about."""
_APART = 0.5
"""The most that classes whose borders aren't settled may have in the neighbourhood."""
_PASSES = 2
"""The second sees the borders where the first has put them."""
_CORE = 20
"""Voxels that a structure must have inside its border."""
_STRETCH = 9
"""Voxels along a box over which errors are averaged, about the length of border that a section of
a nerve has to either side."""
_MEETING = 0.25
"""Variance of which structure it is, where several meet."""
_LEAST = 0.01
"""Errors below this aren't told apart."""
_NORMAL = 0.6745
"""Median of what is normally distributed, without its sign."""


class Border(NamedTuple):
    """How far off the share of a structure is along its border.

    Parameters
    ----------
    network : float
        By the probability of the network, standard deviation.
    intensity : float
        By the intensity, in units of what the spread of the levels lets expect of a voxel.
    """

    network: float
    intensity: float


class _Estimate(NamedTuple):
    """What the intensity says where structures border on the background.

    Parameters
    ----------
    where : ndarray of bool, shape (x, y, z)
        Where it says something; the others are flat, of these voxels.
    share : ndarray
        Of the structures together in what isn't of other classes.
    variance : ndarray
        Of that, from the levels.
    solid, both : ndarray
        What the network gives the structures, and that with the background.
    parts : ndarray of shape (units, voxels)
        How the structures divide it.
    """

    where: NDArray[np.bool_]
    share: Array
    variance: Array
    solid: Array
    both: Array
    parts: Array


def settle_borders(
    image: Array, probabilities: Array, borders: Mapping[Classes, Border]
) -> NDArray[np.float32]:
    """Return probabilities whose border voxels heed the intensity.

    Parameters
    ----------
    image : ndarray of shape (x, y, z)
        The first channel, on the grid of the network.
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    borders : mapping of tuple of int to Border
        Classes to settle, as `fit_borders` found them.

    Returns
    -------
    numpy.ndarray of float32, shape (classes, x, y, z)
        Sums as before.
    """
    settled = np.array(probabilities, dtype=np.float32)
    units = list(borders)
    for _ in range(_PASSES if borders else 0):
        found = _estimate(image, settled, units)
        weight = _weight(found, [borders[unit] for unit in units])
        new = weight * found.share * found.both + (1 - weight) * found.solid
        before = settled.copy()
        for unit, part in zip(units, found.parts, strict=True):
            # Which of several that count as one it is, the neighbours tell as well: at the border
            # itself there may be next to nothing to divide.
            near = [ndimage.uniform_filter(before[c], 3)[found.where] + 1e-9 for c in unit]
            for c, own in zip(unit, near, strict=True):
                settled[c][found.where] = new * part * own / np.sum(near, axis=0)
        settled[0][found.where] = found.both - new
    return settled


def fit_borders(
    scans: Iterable[tuple[Array, Array, Array]], units: Sequence[Classes]
) -> dict[Classes, Border]:
    """Measure, on held-out scans, how far off network and intensity are along borders.

    Parameters
    ----------
    scans : iterable of (image, probabilities, target)
        Image (x, y, z); the others (classes, x, y, z).
    units : sequence of tuple of int
        Every class but the background, alone or with those that it counts as one with.

    Returns
    -------
    dict of tuple of int to Border
        Classes whose border is better for heeding the intensity, judged by every other
        scan.
    """
    errors: list[list[_Errors]] = [[] for _ in units]
    for i, (image, probabilities, target) in enumerate(scans):
        found = _estimate(image, probabilities, units)
        true = sum(target[list(unit)].sum(axis=0) for unit in units)
        for k in range(len(units)):
            own = found.where.copy()
            own[own] = found.parts[k] > 0.5
            if own.any():
                errors[k].append(_errors(found, own, true, judging=bool(i % 2)))
    fitted = {}
    for unit, parts in zip(units, errors, strict=True):
        first = _border([part for part in parts if not part.judging])
        judged = [part for part in parts if part.judging]
        if first is None or not judged:
            continue
        network, intensity, variance = _joined(judged)
        weight = _weight_of(first.network, first.intensity, variance)
        joined = weight * intensity + (1 - weight) * network
        whole = _border(parts)
        if whole is not None and np.abs(joined).mean() < 0.98 * np.abs(network).mean():
            fitted[unit] = whole
    return fitted


class _Errors(NamedTuple):
    """Errors of network and intensity averaged along a border, and the levels' variance."""

    network: Array
    intensity: Array
    variance: Array
    judging: bool


def _errors(found: _Estimate, own: NDArray[np.bool_], true: Array, *, judging: bool) -> _Errors:
    chosen = own[found.where]
    weight = own.astype(np.float32)
    n = np.maximum(ndimage.uniform_filter(weight, _STRETCH)[own], 0.5 / _STRETCH**3)

    def along(values: Array) -> Array:
        whole = np.zeros(own.shape, dtype=np.float32)
        whole[own] = values[chosen] - true[own]
        averaged: Array = ndimage.uniform_filter(whole, _STRETCH)[own] / n
        return averaged

    return _Errors(
        along(found.solid), along(found.share * found.both), found.variance[chosen], judging
    )


def _joined(parts: Sequence[_Errors]) -> tuple[Array, Array, Array]:
    network, intensity, variance, _ = zip(*parts, strict=True)
    return np.concatenate(network), np.concatenate(intensity), np.concatenate(variance)


def _border(parts: Sequence[_Errors]) -> Border | None:
    if sum(len(part.network) for part in parts) < 200:
        return None
    network, intensity, variance = _joined(parts)
    # By medians: where one structure was taken for another there is no border to measure.
    expected = np.maximum(np.sqrt(variance), _LEAST)
    return Border(
        float(max(np.median(np.abs(network)) / _NORMAL, _LEAST)),
        float(np.median(np.abs(intensity) / expected) / _NORMAL),
    )


def _weight(found: _Estimate, borders: Sequence[Border]) -> Array:
    """Return how much the intensity counts beside the network."""
    network, intensity = (
        np.sqrt(np.einsum("k,kn->n", np.square(sd), found.parts))
        for sd in np.array(borders, dtype=float).T
    )
    return _weight_of(network, intensity, found.variance)


def _weight_of(network: Array | float, intensity: Array | float, variance: Array) -> Array:
    # A share ends at 0 and 1. Noise as large as the contrast makes errors one-sided, and what is
    # one-sided doesn't cancel.
    variance = np.maximum(variance, _LEAST**2)
    apart = np.square(intensity) * variance + variance**2
    weight: Array = np.square(network) / (np.square(network) + apart)
    return weight


def _estimate(image: Array, probabilities: Array, units: Sequence[Classes]) -> _Estimate:
    """Return what the intensity says where some structures border on the background."""
    sums = np.stack([probabilities[list(unit)].sum(axis=0) for unit in units])
    free, solid = probabilities[0], sums.sum(axis=0)
    apart = np.clip(1 - free - solid, 0, 1)
    parts = parts_of(np.concatenate([free[None], sums]))
    best = np.concatenate([free[None], sums, apart[None]]).argmax(axis=0)
    where = (
        (ndimage.maximum_filter(solid, 3) > 0.3)
        & (ndimage.maximum_filter(free, 3) > 0.3)
        & (ndimage.maximum_filter(apart, 3) < _APART)
    )
    at = np.nonzero(where)
    inside, square, variance, unknown = np.zeros((4, len(at[0])))
    for k, part in enumerate(parts[:, where], start=1):
        level = _nearest_level(image, ndimage.binary_erosion(best == k), at)
        inside += part * level.mean
        square += part * level.mean**2
        variance += part * level.variance
        unknown += part * (level.n == 0)
    variance += _MEETING * np.maximum(square - inside**2, 0)
    pure = ndimage.binary_erosion(best == 0, np.ones((3, 3, 3), dtype=bool))
    around = usual_level(image, pure, np.argwhere(where), _AROUND[0])
    contrast = around.mean - inside
    known = (unknown < 0.02) & (around.n >= _AROUND[1]) & (np.abs(contrast) > 1e-3)
    where[where] = known
    contrast, here = contrast[known], np.nonzero(where)
    share = np.clip((around.mean[known] - image[here]) / contrast, 0, 1)
    return _Estimate(
        where,
        share,
        (around.variance + variance)[known] / 2 / contrast**2,
        solid[here],
        solid[here] + free[here],
        parts[:, where],
    )


def _nearest_level(image: Array, core: NDArray[np.bool_], at: tuple[Array, ...]) -> Level:
    """Return the level of a structure at some voxels, with n = 0 where none is known."""
    found = Level(*np.zeros((3, len(at[0]))))
    if np.count_nonzero(core) < _CORE:
        return found
    for size, enough in _INSIDE:
        level = mean_level(image, core, size)
        new = (level.n[at] >= enough) & (found.n == 0)
        for mine, theirs in zip(found, level, strict=True):
            mine[new] = theirs[at][new]
    return found
