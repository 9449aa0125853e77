"""How much of a border voxel belongs to a structure, from its intensity.

A network knows what a structure is and about where it ends. In a voxel that structure and
background share, the intensity says more: between the levels of either, measured close by, it
lies where the share lies (the linear mixture of Choi et al., IEEE Trans Med Imaging 10, 395,
1991). Both are joined, each weighted by the inverse of its mean squared error, which is measured on
held-out scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Border", "Classes", "fit_borders", "settle_borders"]

Array = NDArray[Any]
Classes = tuple[int, ...]
"""One class of the network, or several that count as one."""

_AROUND = (7, 20)
"""Voxels along a box in which the level of the background is measured, and how many it takes."""
_INSIDE = ((9, 3), (21, 3), (41, 3))
"""The same for a structure. A thin vessel has next to no voxel of its own alone, and borrows the
level of the nearest that have, with the variance of all that lie so far about."""
_ALONE = 0.5
"""The most that a third class may have in the neighbourhood."""
_PASSES = 2
"""The second sees the borders where the first has put them."""
_CORE = 20
"""Voxels that a structure must have inside its border."""


class Border(NamedTuple):
    """How far off the share of a structure is in its border voxels, standard deviations.

    Parameters
    ----------
    network : float
        By the probability of the network.
    intensity : float
        By the intensity, beyond what the spread of the levels explains.
    """

    network: float
    intensity: float


class _Estimate(NamedTuple):
    """Where the intensity tells the share, the share, and its variance from the levels."""

    where: NDArray[np.bool_]
    share: Array
    variance: Array


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
        Sums as before; only background and one structure, or several that count as one,
        change in a voxel.
    """
    settled = np.array(probabilities, dtype=np.float32)
    for _ in range(_PASSES if borders else 0):
        settled = _settled_once(image, settled, borders)
    return settled


def _settled_once(
    image: Array, probabilities: Array, borders: Mapping[Classes, Border]
) -> NDArray[np.float32]:
    settled = probabilities.copy()
    apart = set(range(1, len(probabilities))).difference(*borders)
    units = [*borders, *((k,) for k in sorted(apart))]
    for k, found in _estimates(image, _united(probabilities, units), range(1, len(borders) + 1)):
        unit = units[k - 1]
        own, rest = settled[list(unit)][:, found.where], settled[0][found.where]
        if len(unit) > 1:
            # Which of them it is, the neighbours tell as well: at the border itself there may
            # be next to nothing to divide.
            near = [ndimage.uniform_filter(probabilities[c], 3)[found.where] for c in unit]
            parts = np.stack(near) / np.maximum(np.sum(near, axis=0), 1e-9)
        else:
            parts = np.ones_like(own)
        total = own.sum(axis=0)
        weight = _weight(borders[unit], found.variance[found.where])
        both = total + rest
        new = weight * found.share[found.where] * both + (1 - weight) * total
        for c, part in zip(unit, parts, strict=True):
            settled[c][found.where] = new * part
        settled[0][found.where] = both - new
    return settled


def fit_borders(
    scans: Iterable[tuple[Array, Array, Array]], units: Sequence[Classes]
) -> dict[Classes, Border]:
    """Measure, on held-out scans, how far off network and intensity are at borders.

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
    sums = np.zeros((2, len(units), 4))  # network², intensity², variance of levels, voxels
    judges: list[tuple[int, Array, Array, Array, Array]] = []
    for i, (image, probabilities, target) in enumerate(scans):
        found, true = _united(probabilities, units), _united(target, units)
        for k, estimate in _estimates(image, found, range(1, len(units) + 1)):
            where = estimate.where
            both = found[0][where] + found[k][where]
            own, truth = found[k][where], true[k][where]
            share, variance = estimate.share[where] * both, estimate.variance[where]
            sums[i % 2, k - 1] += (
                ((own - truth) ** 2).sum(), ((share - truth) ** 2).sum(), variance.sum(), len(own)
            )  # fmt: skip
            if i % 2:
                judges.append((k - 1, own, share, variance, truth))
    fitted = {}
    for k, unit in enumerate(units):
        first = _border(sums[0, k])
        judged = [voxels[1:] for voxels in judges if voxels[0] == k]
        if first is None or not judged:
            continue
        own, share, variance, truth = (np.concatenate(part) for part in zip(*judged, strict=True))
        weight = _weight(first, variance)
        joined = weight * share + (1 - weight) * own
        if ((joined - truth) ** 2).mean() < 0.98 * ((own - truth) ** 2).mean():
            whole = _border(sums[:, k].sum(axis=0))
            if whole is not None:
                fitted[unit] = whole
    return fitted


def _united(shares: Array, units: Sequence[Classes]) -> Array:
    """Return the background and the sum of each unit."""
    return np.stack([shares[0], *(shares[list(unit)].sum(axis=0) for unit in units)])


def _weight(border: Border, variance: Array) -> Array:
    """Return how much the intensity counts beside the network."""
    certainty = 1 / (variance + border.intensity**2)
    weight: Array = certainty / (certainty + 1 / border.network**2)
    return weight


def _border(sums: Array) -> Border | None:
    network, intensity, variance, n = (float(value) for value in sums)
    if n < 200:
        return None
    return Border(
        float(max(np.sqrt(network / n), 0.02)),
        float(np.sqrt(max((intensity - variance) / n, 0.03**2))),
    )


def _estimates(
    image: Array, probabilities: Array, classes: Iterable[int]
) -> Iterator[tuple[int, _Estimate]]:
    """Yield what the intensity says of the border of each class against the background."""
    best = probabilities.argmax(axis=0)
    cube = np.ones((3, 3, 3), dtype=bool)
    n_around, around, around_var = _level(
        image, ndimage.binary_erosion(best == 0, cube), _AROUND[0]
    )
    rest_near = ndimage.maximum_filter(probabilities[0], 3) > 0.3
    for k in classes:
        core = ndimage.binary_erosion(best == k)
        if np.count_nonzero(core) < _CORE:
            continue
        known, inside, inside_var = _nearest_level(image, core)
        third = 1 - probabilities[0] - probabilities[k]
        where = (
            (ndimage.maximum_filter(probabilities[k], 3) > 0.3)
            & rest_near
            & (ndimage.maximum_filter(third, 3) < _ALONE)
            & (n_around >= _AROUND[1])
            & known
        )
        contrast = np.where(where, around - inside, 1.0)
        where &= np.abs(contrast) > 1e-3
        contrast[~where] = 1.0
        share = np.clip((around - image) / contrast, 0, 1)
        variance = (around_var + inside_var) / 2 / contrast**2
        yield k, _Estimate(where, share, variance)


def _nearest_level(image: Array, pure: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return where the level of a structure is known, its mean and variance."""
    known = np.zeros(image.shape, dtype=bool)
    mean, variance = np.zeros((2, *image.shape))
    for size, enough in _INSIDE:
        n, here, spread = _level(image, pure, size)
        new = (n >= enough) & ~known
        mean[new], variance[new] = here[new], spread[new]
        known |= new
    return known, mean, variance


def _level(image: Array, pure: NDArray[np.bool_], size: int) -> tuple[Array, Array, Array]:
    """Return count, mean and variance of the pure voxels in a box round each voxel."""
    weight = pure.astype(np.float32)
    values = image.astype(np.float32) * weight
    share = ndimage.uniform_filter(weight, size)
    n = np.rint(share * size**3)
    known = np.maximum(share, 0.5 / size**3)
    mean = ndimage.uniform_filter(values, size) / known
    square = ndimage.uniform_filter(values * image, size) / known
    return n, mean, np.maximum(square - mean**2, 0)
