"""Telling doubt from partial volume in the shares that a network estimates.

A network that leaves 5% of a nerve's wall to a vessel doesn't say that a vessel fills 5% of the
voxel: it says that it isn't quite sure. Two structures share a voxel only where they meet, so each
of them must have the largest share somewhere within a voxel of it, the background's included: at
the rim of a nerve, where background has most, a little more for a vessel than for the nerve isn't a
vessel yet.
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
    shares : ndarray of shape (classes, x, y, z)
        The first is background.

    Returns
    -------
    ndarray of shape (classes - 1, x, y, z)
        Sums to 1 where any structure is within a voxel, else to 0. A structure has a part only
        where it has the largest share in the voxel or one of its 26 neighbours; where none has,
        background being larger throughout, it is the largest of the structures that counts.
    """
    near = np.stack([ndimage.uniform_filter(share, 3) for share in shares[1:]])
    weight = np.maximum(shares[1:] + _NEAR * near, 0)
    found = _meeting(weight, np.concatenate([shares[:1], weight]).argmax(axis=0) - 1)
    among = _meeting(weight, weight.argmax(axis=0))
    weight *= np.where(found.any(axis=0), found, among)
    total = weight.sum(axis=0)
    parts: Array = weight / np.where(total > 0, total, 1)
    return parts


def _meeting(weight: Array, first: Array) -> NDArray[np.bool_]:
    """Return which structures are first in a voxel or beside it."""
    # Nowhere is nobody first.
    wins = [(first == k) & (own > 1e-6) for k, own in enumerate(weight)]
    return np.stack([ndimage.maximum_filter(own.view(np.uint8), 3) > 0 for own in wins])


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
    settled = np.array(shares, dtype=np.float32)
    sums = np.stack([settled[list(unit)].sum(axis=0) for unit in units])
    new = parts_of(np.concatenate([settled[:1], sums])) * sums.sum(axis=0)
    for unit, old, now in zip(units, sums, new, strict=True):
        for k in unit:
            within = np.divide(shares[k], old, out=np.zeros_like(old), where=old > 0)
            settled[k] = np.where(old > 0, now * within, now / len(unit))
    return settled
