"""What a network calls nerve and isn't: the side of a vessel that touches it.

Where nerve and vessel touch, a network has to draw a border that no scan shows well, and often it
draws it through the vessel, or calls so much of it nerve that too little is left to be a vessel. A
nerve is a smooth tube, which is fitted to all of its length; what sticks out of the fitted wall is
a vessel's.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ..anatomy import Label
from .nerve import NerveFit
from .scan import Scan
from .vessels import LEAST, SEEN, tube_share

__all__ = ["Given", "alongside", "excess_to_vessels"]

_REACH = 2.5  # radii of the nerve
# Mean excess round a voxel, where no vessel is beside: noise of a border cancels. Chosen on
# phantoms of development.
_SOLID = 0.09
_FAINT = 0.02  # share below which nothing is given
_CUBE = np.ones((3, 3, 3))


def alongside(
    scan: Scan, fit: NerveFit, away: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels about a fitted nerve, clear of the pons and of its end.

    Parameters
    ----------
    scan : Scan
        Cropped around the nerve.
    fit : NerveFit
        With its wall.
    away : numpy.ndarray
        Distance of each voxel to the label of the nerve, mm.
    reach : float
        How far, in radii.

    Returns
    -------
    index : numpy.ndarray of int, shape (n,)
        Of the flat image.
    x : numpy.ndarray of shape (n, 3)
        World coordinates, mm.
    """
    near = np.flatnonzero(away.ravel() < reach * fit.wall.scale)
    x = scan.world(np.column_stack(np.unravel_index(near, away.shape)).astype(float))
    place, _, _ = fit.wall.curve.project(x)
    here = (place > 0) & (place < fit.length - scan.size)
    if fit.pons is not None:
        here &= fit.pons.distance(x) > scan.size
    return near[here], x[here]


class Given(NamedTuple):
    """A scan in which vessels have what was theirs.

    Parameters
    ----------
    scan : Scan
        With labels and shares changed.
    alone_mm3 : float
        Volume of what was given where no vessel had been found.
    """

    scan: Scan
    alone_mm3: float


def excess_to_vessels(scan: Scan, fit: NerveFit, away: np.ndarray) -> Given | None:
    """Give what sticks out of a fitted nerve to the vessels.

    Parameters
    ----------
    scan, fit, away
        As `alongside` takes them.

    Returns
    -------
    Given or None
        None where nothing sticks out, or there are masks alone, which say nothing finer.
    """
    if scan.shares is None:
        return None
    nerve = Label.nerve(fit.side)
    index, x = alongside(scan, fit, away, _REACH)
    beyond = np.zeros(away.shape)
    beyond.ravel()[index] = scan.share(nerve).ravel()[index] - tube_share(fit.wall, x, scan.axes)
    excess = np.maximum(beyond, 0)
    parts, _ = ndimage.label(excess > SEEN, _CUBE)
    size = np.bincount(parts.ravel())
    large = np.setdiff1d(np.flatnonzero(size >= LEAST), 0)
    kinds = (Label.ARTERY, Label.VEIN)
    beside = ndimage.binary_dilation(np.isin(scan.labels, kinds), _CUBE)
    met = np.intersect1d(large, parts[beside])
    solid = parts[ndimage.uniform_filter(beyond, 3) > _SOLID]
    alone = np.intersect1d(np.setdiff1d(large, met), solid)
    taken = np.isin(parts, [*met, *alone])
    if not taken.any():
        return None
    rim = ndimage.binary_dilation(taken, _CUBE) & (excess > _FAINT)
    given = np.where(rim, excess, 0)
    say = np.stack([ndimage.uniform_filter(scan.share(kind), 7) for kind in kinds]) + 1e-9
    say /= say.sum(axis=0)
    labels, shares = scan.labels.copy(), scan.shares.copy()
    shares[..., nerve] -= given
    for kind, part in zip(kinds, say, strict=True):
        shares[..., kind] += given * part
    labels[taken] = np.array(kinds)[say.argmax(axis=0)][taken]
    changed = dataclasses.replace(scan, labels=labels, shares=shares)
    return Given(changed, float(given[np.isin(parts, alone)].sum() * scan.voxel_volume))
