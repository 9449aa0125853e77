"""Telling doubt from partial volume in the shares that a network estimates.

A network that leaves 5% of a nerve's wall to a vessel doesn't say that a vessel fills 5% of the
voxel: it says that it isn't quite sure. Two structures share a voxel only where they meet, so each
of them must have the largest share somewhere within a voxel of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["parts_of", "without_doubt"]

Array = NDArray[Any]

_NEAR = 0.05  # what the neighbours say, where a voxel itself says next to nothing


def parts_of(shares: Array) -> Array:
    """Divide what isn't background among the structures that meet in each voxel.

    Parameters
    ----------
    shares : ndarray of shape (structures, x, y, z)
        Without the background.

    Returns
    -------
    ndarray of shape (structures, x, y, z)
        Sums to 1 where any structure is within a voxel, else to 0. A structure has a part only
        where, in the voxel or one of its 26 neighbours, no other structure has more.
    """
    near = np.stack([ndimage.uniform_filter(share, 3) for share in shares])
    weight = np.maximum(shares + _NEAR * near, 0)
    first = weight.argmax(axis=0)
    for k, own in enumerate(weight):
        # Nowhere is nobody first.
        wins = (first == k) & (own > 1e-6)
        own *= ndimage.maximum_filter(wins.view(np.uint8), 3)
    total = weight.sum(axis=0)
    parts: Array = weight / np.where(total > 0, total, 1)
    return parts


def without_doubt(shares: Array, units: Sequence[Sequence[int]]) -> Array:
    """Give what a network leaves to structures that don't meet in a voxel to those that do.

    Parameters
    ----------
    shares : ndarray of shape (classes, x, y, z)
        The first is background, and stays.
    units : sequence of sequences of int
        All other classes, alone or with those that they count as one with: which of these it
        is remains open.

    Returns
    -------
    ndarray of float32, shape (classes, x, y, z)
    """
    sums = np.stack([shares[list(unit)].sum(axis=0) for unit in units]).astype(np.float32)
    settled = np.array(shares, dtype=np.float32)
    new = parts_of(sums) * sums.sum(axis=0)
    for unit, old, now in zip(units, sums, new, strict=True):
        for k in unit:
            within = np.divide(shares[k], old, out=np.zeros_like(old), where=old > 0)
            settled[k] = np.where(old > 0, now * within, now / len(unit))
    return settled
