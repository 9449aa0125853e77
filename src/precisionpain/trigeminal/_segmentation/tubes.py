"""A nerve is one tube: it doesn't end at a vessel, and it doesn't fork.

Thin nerves and vessels look alike, and voxel by voxel the likelier wins. Then a stretch of nerve
comes out as a vein that lies between two pieces of nerve, and the farther piece is lost; or the
vessel that touches a nerve comes out as a branch of it. What is known of a nerve's shape tells:

- Of a true vessel that it calls one, a network gives next to nothing to the nerve; a nerve that it
  calls a vessel has a part. So what continues a nerve needs less of the say than what begins one,
  as edges are followed by a lower threshold than they are found by (Canny, IEEE Trans Pattern Anal
  Mach Intell 8, 679, 1986).
- What sticks out of the course of a nerve by more than its radius, and goes on as a vessel, is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .borders import Classes

__all__ = ["follow", "prune"]

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
_LONGEST_MM = 20.0
"""From end to end of what has been followed: the nerve is 13.6 ± 3.1 mm long (Gupta et al., Ann
Anat 250, 152128, 2023), two standard deviations added."""
_CUBE = np.ones((3, 3, 3), dtype=bool)
_OFF = (1.2, 0.4)
"""How far from the course, in radii and then mm, a branch begins; a flat nerve reaches as far.
Chosen, as the next, on phantoms of development."""
_FAR = (1.5, 1.0)
"""How far it must reach."""
_WHOLE = 60
"""Voxels of a nerve whose course can be told."""
_TURNS = 12
"""Of the fit of a course; after three it may bend."""


def follow(
    probabilities: Array,
    singles: Iterable[int],
    others: Iterable[Classes],
    spacing: Sequence[float] | Array,
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
    spacing : sequence of three floats
        Voxel size, mm.

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
            theirs, found, lost = _between(followed, single, other)
            begun, _ = ndimage.label(found, _CUBE)
            said = ndimage.uniform_filter(own * lost, _BOX)
            said /= np.maximum(ndimage.uniform_filter((own + theirs) * lost, _BOX), 1e-6)
            taken = _going_on(lost & (said > _SAY), begun, 1, spacing)
            taken |= _going_on(lost & (said > _SAY_BETWEEN), begun, 2, spacing)
            own[taken] += theirs[taken]
            for k in other:
                followed[k][taken] = 0
    return followed


def prune(
    probabilities: Array,
    singles: Iterable[int],
    others: Iterable[Classes],
    spacing: Sequence[float] | Array,
) -> NDArray[np.float32]:
    """Return probabilities in which what forks off a structure is what it goes on as.

    Parameters
    ----------
    probabilities : ndarray of shape (classes, x, y, z)
        The first is background.
    singles : iterable of int
        Classes that are a tube, on either side.
    others : iterable of tuple of int
        What branches of it are; classes of a tuple count as one.
    spacing : sequence of three floats
        Voxel size, mm.

    Returns
    -------
    numpy.ndarray of float32, shape (classes, x, y, z)
        Sums as before.
    """
    pruned = np.array(probabilities, dtype=np.float32)
    others = list(others)
    for single in singles:
        own = pruned[single]
        for other in others:
            _, found, lost = _between(pruned, single, other)
            tubes, _ = ndimage.label(found, _CUBE)
            taken = _branches(tubes, own, ndimage.binary_dilation(lost, _CUBE), spacing)
            pieces, n = ndimage.label(taken, _CUBE)
            # Of several that count as one it is what it goes on as.
            about = ndimage.maximum_filter(pieces, 3)
            kinds = np.array([ndimage.sum(pruned[k], about, range(1, n + 1)) for k in other])
            kinds /= kinds.sum(axis=0)
            for k, kind in zip(other, kinds, strict=True):
                pruned[k][taken] += own[taken] * kind[pieces[taken] - 1]
            own[taken] = 0
    return pruned


def _between(
    probabilities: Array, single: int, other: Classes
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what others have of the say, and where a structure comes first and where they do."""
    own, theirs = probabilities[single], probabilities[list(other)].sum(axis=0)
    rest = np.delete(probabilities, [single, *other], axis=0).max(axis=0)
    return theirs, (own >= theirs) & (own > rest), (theirs > own) & (theirs > rest)


def _branches(
    tubes: Array, say: Array, beside: NDArray[np.bool_], spacing: Sequence[float] | Array
) -> NDArray[np.bool_]:
    """Return what sticks far out of the course of each tube and ends at what is beside it."""
    taken = np.zeros(tubes.shape, dtype=bool)
    for k, box in enumerate(ndimage.find_objects(tubes), start=1):
        own = tubes[box] == k
        if np.count_nonzero(own) < _WHOLE:
            continue
        away, radius = _off_course(np.argwhere(own) * spacing, say[box][own].astype(float))
        distance = np.zeros(own.shape)
        distance[own] = away
        branches, _ = ndimage.label(distance > _OFF[0] * radius + _OFF[1], _CUBE)
        size = np.bincount(branches.ravel())
        far = np.unique(branches[distance > _FAR[0] * radius + _FAR[1]])
        ends = np.unique(branches[beside[box]])
        chosen = np.intersect1d(far[size[far] >= _PIECE], ends)
        taken[box] |= np.isin(branches, chosen[chosen > 0])
    return taken


def _off_course(points: Array, say: Array) -> tuple[Array, float]:
    """Return how far points are off the course of a tube, and its radius, mm.

    The course is a cubic over the chord, fitted by iteratively reweighted least squares: what is
    far off counts less and less, and so does what the network isn't sure of.
    """
    near = np.ones(len(points))
    for turn in range(_TURNS):
        weight = say**4 * near
        moved = points - np.average(points, axis=0, weights=weight)
        frame = np.linalg.eigh((moved * weight[:, None]).T @ moved)[1]
        along, across = moved @ frame[:, 2], moved @ frame[:, :2]
        sure = along[near > 0.3]
        middle, half = (sure.max() + sure.min()) / 2, max(np.ptp(sure) / 2, 0.5)
        # Straight at first; and beyond what is sure as it is at its ends.
        place = np.clip((along - middle) / half, -1.2, 1.2)
        design = np.vander(place, 2 if turn < 3 else 4)
        root = np.sqrt(weight)[:, None]
        found = np.linalg.lstsq(root * design, root * across, rcond=None)[0]
        away = np.linalg.norm(across - design @ found, axis=1)
        order = np.argsort(away)
        total = np.cumsum(weight[order])
        # Half of a disc lies within its radius over the root of 2.
        median = away[order[np.searchsorted(total, total[-1] / 2)]]
        radius = max(float(np.sqrt(2) * median), 0.4)
        near = np.clip(1 - (away / (2.5 * radius + 0.5)) ** 2, 0, 1) ** 2
    return away, radius


def _going_on(
    lost: NDArray[np.bool_], begun: Array, ends: int, spacing: Sequence[float] | Array
) -> NDArray[np.bool_]:
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
        if len(met) < ends or (ends == 1 and np.count_nonzero(piece) < _PIECE):
            continue
        if _length((pieces == k) | np.isin(begun, met), spacing) <= _LONGEST_MM:
            taken[wide] |= piece
    return taken


def _length(mask: NDArray[np.bool_], spacing: Sequence[float] | Array) -> float:
    """Return how far a structure reaches along its longest axis, mm."""
    points = np.argwhere(mask) * spacing
    moved = points - points.mean(axis=0)
    axis = np.linalg.eigh(moved.T @ moved)[1][:, 2]
    return float(np.ptp(moved @ axis))
