"""How bright a tissue is about a place: a mean, or what most of its voxels agree on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Level", "mean_level", "usual_level"]

Array = NDArray[Any]


class Level(NamedTuple):
    """Voxels that tell of a level, the level, and the variance of a voxel."""

    n: Array
    mean: Array
    variance: Array


def mean_level(image: Array, tissue: NDArray[np.bool_], size: int) -> Level:
    """Return the mean of a tissue in a box round each voxel.

    Parameters
    ----------
    image : ndarray of shape (x, y, z)
    tissue : ndarray of bool, shape (x, y, z)
    size : int
        Edge of the box, voxels.

    Returns
    -------
    Level
        Of shape (x, y, z).
    """
    weight = tissue.astype(np.float32)
    values = image.astype(np.float32) * weight
    share = ndimage.uniform_filter(weight, size)
    known = np.maximum(share, 0.5 / size**3)
    mean = ndimage.uniform_filter(values, size) / known
    square = ndimage.uniform_filter(values * image, size) / known
    return Level(np.rint(share * size**3), mean, np.maximum(square - mean**2, 0))


def usual_level(
    image: Array, tissue: NDArray[np.bool_], places: Array, size: int, *, chunk: int = 4096
) -> Level:
    """Return what most voxels of a tissue agree on, in a box round some voxels.

    The mean of the shortest interval that holds half of them (the shorth of Andrews et al.,
    Robust Estimates of Location, 1972). What lies far from it, say bone beside fluid, moves it
    little, but adds to the variance by the square of its share.

    Parameters
    ----------
    image : ndarray of shape (x, y, z)
    tissue : ndarray of bool, shape (x, y, z)
    places : ndarray of int, shape (n, 3)
        Indices of the voxels.
    size : int
        Edge of the box, voxels; odd.
    chunk : int, default 4096
        Places at a time; bounds the memory.

    Returns
    -------
    Level
        Of shape (n,).
    """
    values = np.pad(
        np.where(tissue, image, np.inf).astype(np.float32), size // 2, constant_values=np.inf
    )
    box = np.ravel_multi_index(np.indices((size,) * 3).reshape(3, -1), values.shape)
    corner = np.ravel_multi_index(tuple(places.T), values.shape)
    found = [
        _shorth(values.ravel()[corner[start : start + chunk, None] + box])
        for start in range(0, len(places), chunk)
    ]
    if not found:
        return Level(*np.zeros((3, 0)))
    return Level(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _shorth(values: Array) -> tuple[Array, Array, Array]:
    """Return count, mean of the shortest half, and variance of rows; what is infinite is none."""
    values = np.sort(values, axis=1)
    there = np.isfinite(values)
    count = there.sum(axis=1)
    half = np.maximum(count // 2, 1)[:, None]
    values = np.where(there, values, 0).astype(float)
    last = np.arange(values.shape[1]) + half - 1
    ends = np.take_along_axis(values, np.minimum(last, values.shape[1] - 1), axis=1)
    length = np.where(last < count[:, None], ends - values, np.inf)
    first = length.argmin(axis=1)[:, None]
    sums = np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
    mean = np.take_along_axis(sums, first + half, 1) - np.take_along_axis(sums, first, 1)
    mean /= half
    # Half of a normal distribution lies within 0.67 standard deviations.
    sd = np.take_along_axis(np.where(np.isfinite(length), length, 0), first, axis=1) / 2 / 0.6745
    away = np.where(there, values - mean, 0)
    many = np.maximum(count, 1)
    far = (np.abs(away) > 3 * sd).sum(axis=1) / many
    variance = sd[:, 0] ** 2 + far**2 * (away**2).sum(axis=1) / many
    return count.astype(float), mean[:, 0], variance
