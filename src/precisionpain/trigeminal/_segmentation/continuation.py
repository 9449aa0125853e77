"""A nerve that a network loses to a vessel on its way.

Thin nerves and veins look alike, and voxel by voxel the likelier wins: then a stretch of nerve
comes out as a vein that lies between two pieces of nerve, and the farther piece is lost. But a
network hardly ever gives a true vessel beside a nerve to the nerve, and a nerve that it calls a
vessel it does in part. So what continues a nerve needs less of the say than what begins one, as
edges are followed by a lower threshold than they are found by (Canny, IEEE Trans Pattern Anal Mach
Intell 8, 679, 1986).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .borders import Classes

__all__ = ["follow"]

Array = NDArray[Any]

_BOX = 7
"""Voxels along a box over which the say of a class is averaged, a bit more than a nerve is wide."""
_SAY_BETWEEN = 0.04
"""What is enough between two pieces of a nerve, of what a network gives to either. Chosen, as the
next, on phantoms of development: true vessels beside a nerve mostly had less."""
_SAY = 0.3
"""What it takes at an end, where vessels in doubt would make nerves too long."""
_PIECE = 8
"""Voxels of the smallest piece that is followed; fewer are as likely a matter of borders."""
_CUBE = np.ones((3, 3, 3), dtype=bool)


def follow(
    probabilities: Array, singles: Iterable[int], others: Iterable[Classes]
) -> NDArray[np.float32]:
    """Return probabilities in which a structure goes on where it was taken for another.

    Parameters
    ----------
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    singles : iterable of int
        Classes that are in one piece, on either side.
    others : iterable of tuple of int
        What they may be taken for; classes of a tuple count as one.

    Returns
    -------
    numpy.ndarray of float32, shape (classes, x, y, z)
        Sums as before.
    """
    followed = np.array(probabilities, dtype=np.float32)
    others = list(others)
    for single in singles:
        own = followed[single]
        for other in others:
            theirs = followed[list(other)].sum(axis=0)
            rest = np.delete(followed, [single, *other], axis=0).max(axis=0)
            lost = (theirs > own) & (theirs > rest)
            begun, _ = ndimage.label((own >= theirs) & (own > rest), _CUBE)
            said = ndimage.uniform_filter(own * lost, _BOX)
            said /= np.maximum(ndimage.uniform_filter((own + theirs) * lost, _BOX), 1e-6)
            taken = _going_on(lost & (said > _SAY), begun, 1)
            taken |= _going_on(lost & (said > _SAY_BETWEEN), begun, 2)
            own[taken] += theirs[taken]
            for k in other:
                followed[k][taken] = 0
    return followed


def _going_on(lost: NDArray[np.bool_], begun: Array, ends: int) -> NDArray[np.bool_]:
    """Return the pieces of what is lost at which so many pieces of what has begun end."""
    pieces, _ = ndimage.label(lost, _CUBE)
    taken = np.zeros(lost.shape, dtype=bool)
    size = np.bincount(begun.ravel())
    for k, box in enumerate(ndimage.find_objects(pieces), start=1):
        # One voxel more on every side, where what it continues lies.
        wide = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        piece = pieces[wide] == k
        met = np.unique(begun[wide][ndimage.binary_dilation(piece, _CUBE)])
        met = met[(met > 0) & (size[met] >= _PIECE)]
        if len(met) >= ends and (ends > 1 or np.count_nonzero(piece) >= _PIECE):
            taken[wide] |= piece
    return taken
