"""How much of a border voxel belongs to a structure, from its intensity.

A network knows what a structure is and about where it ends. In a voxel that structure and
background share, the intensity says more: between the levels of either, measured close by, it
lies where the share lies (the linear mixture of Choi et al., IEEE Trans Med Imaging 10, 395,
1991). Both are joined, each weighted by the inverse of its mean squared error, which is measured on
held-out scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Border", "fit_borders", "settle_borders"]

Array = NDArray[Any]

_REACH = (7, 9)
"""Voxels of the boxes in which the levels of background and structure are measured."""
_ENOUGH = (20, 3)
"""Voxels of either that a box must have."""
_ALONE = 0.15
"""The most that a third class may have in the neighbourhood."""
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
    image: Array, probabilities: Array, borders: Mapping[int, Border]
) -> NDArray[np.float32]:
    """Return probabilities whose border voxels heed the intensity.

    Parameters
    ----------
    image : ndarray of shape (x, y, z)
        The first channel, on the grid of the network.
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    borders : mapping of int to Border
        Classes to settle, as `fit_borders` found them.

    Returns
    -------
    numpy.ndarray of float32, shape (classes, x, y, z)
        Sums as before; only background and one structure change in a voxel.
    """
    settled = np.array(probabilities, dtype=np.float32)
    for k, found in _estimates(image, probabilities, borders):
        border = borders[k]
        certainty = 1 / (found.variance[found.where] + border.intensity**2)
        weight = certainty / (certainty + 1 / border.network**2)
        own, rest = probabilities[k][found.where], probabilities[0][found.where]
        both = own + rest
        new = weight * found.share[found.where] * both + (1 - weight) * own
        settled[k][found.where] = new
        settled[0][found.where] = both - new
    return settled


def fit_borders(scans: Iterable[tuple[Array, Array, Array]], n_classes: int) -> dict[int, Border]:
    """Measure, on held-out scans, how far off network and intensity are at borders.

    Parameters
    ----------
    scans : iterable of (image, probabilities, target)
        Image (x, y, z); the others (classes, x, y, z).
    n_classes : int
        With the background.

    Returns
    -------
    dict of int to Border
        Classes whose border is better for heeding the intensity, judged by every other
        scan.
    """
    sums = np.zeros((2, n_classes, 4))  # network², intensity², variance of levels, voxels
    judges: list[tuple[int, Array, Array, Array, Array]] = []
    for i, (image, probabilities, target) in enumerate(scans):
        for k, found in _estimates(image, probabilities, range(1, n_classes)):
            both = probabilities[0][found.where] + probabilities[k][found.where]
            own, truth = probabilities[k][found.where], target[k][found.where]
            share, variance = found.share[found.where] * both, found.variance[found.where]
            sums[i % 2, k] += (
                ((own - truth) ** 2).sum(), ((share - truth) ** 2).sum(), variance.sum(), len(own)
            )  # fmt: skip
            if i % 2:
                judges.append((k, own, share, variance, truth))
    fitted = {}
    for k in range(1, n_classes):
        first = _border(sums[0, k])
        judged = [voxels[1:] for voxels in judges if voxels[0] == k]
        if first is None or not judged:
            continue
        own, share, variance, truth = (np.concatenate(part) for part in zip(*judged, strict=True))
        certainty = 1 / (variance + first.intensity**2)
        weight = certainty / (certainty + 1 / first.network**2)
        joined = weight * share + (1 - weight) * own
        if ((joined - truth) ** 2).mean() < 0.98 * ((own - truth) ** 2).mean():
            whole = _border(sums[:, k].sum(axis=0))
            if whole is not None:
                fitted[k] = whole
    return fitted


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
    n_around, around, around_var = _level(image, ndimage.binary_erosion(best == 0, cube), _REACH[0])
    rest_near = ndimage.maximum_filter(probabilities[0], 3) > 0.3
    for k in classes:
        core = ndimage.binary_erosion(best == k)
        if np.count_nonzero(core) < _CORE:
            continue
        n_inside, inside, inside_var = _level(image, core, _REACH[1])
        third = 1 - probabilities[0] - probabilities[k]
        where = (
            (ndimage.maximum_filter(probabilities[k], 3) > 0.3)
            & rest_near
            & (ndimage.maximum_filter(third, 3) < _ALONE)
            & (n_around >= _ENOUGH[0])
            & (n_inside >= _ENOUGH[1])
        )
        contrast = np.where(where, around - inside, 1.0)
        where &= np.abs(contrast) > 1e-3
        contrast[~where] = 1.0
        share = np.clip((around - image) / contrast, 0, 1)
        variance = (around_var + inside_var) / 2 / contrast**2
        yield k, _Estimate(where, share, variance)


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
