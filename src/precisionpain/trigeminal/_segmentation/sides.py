"""Left and right of a structure that the network finds without knowing sides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .grids import Grid

__all__ = ["keep_largest", "left_of_midline"]

Array = NDArray[Any]


def left_of_midline(middle: Array | None, grid: Grid) -> NDArray[np.bool_]:
    """Flag the voxels that lie left of the midline.

    Parameters
    ----------
    middle : ndarray of shape (x, y, z) or None
        Probability of a structure that both sides share, such as the brainstem.
    grid : Grid
        Where the voxels lie; RAS+, so that left is where x is less.

    Returns
    -------
    numpy.ndarray of bool, shape (x, y, z)
        By the plane across the left-right axis through the centroid of the middle structure;
        through the middle of the field of view where there is none.
    """
    affine, shape = grid.affine, grid.shape
    center = (np.array(shape) - 1) / 2
    if middle is not None and middle.sum() > 1:
        weights = np.where(middle > 0.5, middle, 0.0)
        if weights.sum() > 0:
            center = np.array(ndimage.center_of_mass(weights))
    x = np.zeros(shape)
    for axis in range(3):
        view = [1, 1, 1]
        view[axis] = -1
        x = x + (affine[0, axis] * (np.arange(shape[axis]) - center[axis])).reshape(view)
    left: NDArray[np.bool_] = x < 0
    return left


def keep_largest(labels: Array, value: int) -> NDArray[np.bool_]:
    """Flag the voxels of a label that aren't in its largest connected part.

    Parameters
    ----------
    labels : ndarray of int, shape (x, y, z)
        Label image.
    value : int
        The label.

    Returns
    -------
    numpy.ndarray of bool, shape (x, y, z)
    """
    own = labels == value
    parts, n = ndimage.label(own, np.ones((3, 3, 3)))
    if n < 2:
        return np.zeros_like(own)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return own & (parts != int(np.argmax(sizes)))
