"""Where a vessel presses into a nerve: two bodies can touch, never overlap."""

from __future__ import annotations

import numpy as np

from .curve import basis
from .tube import Tube, harmonics
from .vessels import Vessel

__all__ = ["cut", "dented"]

_N_THETA = 96


def cut(
    radius: np.ndarray,
    middle: np.ndarray,
    around: np.ndarray,
    vessels: list[Vessel],
    remaining: float = 0.0,
) -> np.ndarray:
    """Draw a wall back to the vessels that it runs into.

    Parameters
    ----------
    radius : numpy.ndarray of shape (n_s, n_theta)
        Radius of the wall, mm.
    middle : numpy.ndarray of shape (n_s, 3)
        Middles of the sections, mm.
    around : numpy.ndarray of shape (n_s, n_theta, 3)
        Outward unit vectors.
    vessels : list of Vessel
        Near the wall.
    remaining : float, default 0
        Share of an overlap's depth that remains.

    Returns
    -------
    numpy.ndarray of shape (n_s, n_theta)
        Radius, mm; nowhere larger than before.
    """
    radius = radius.copy()
    for vessel in vessels:
        x = middle[:, None, :] + radius[..., None] * around
        d = vessel.distance(x.reshape(-1, 3))[0].reshape(radius.shape)
        into = d < 0
        if not into.any():
            continue
        start, goal, way = radius[into], remaining * d[into], around[into]
        foot = np.broadcast_to(middle[:, None, :], x.shape)[into]
        depth, r, step = d[into], start.copy(), 0.02
        for _ in range(4):
            back = vessel.distance(foot + (r - step)[:, None] * way)[0]
            slope = np.clip((depth - back) / step, -1.0, -0.3)
            r = np.clip(r + (goal - depth) / slope, 0.2 * start, start)
            depth = vessel.distance(foot + r[:, None] * way)[0]
        radius[into] = r
    return radius


def dented(tube: Tube, vessels: list[Vessel], knots: np.ndarray, order: int) -> np.ndarray:
    """Cut vessels out of a tube, as well as splines and harmonics can follow.

    Parameters
    ----------
    tube : Tube
        The undented nerve.
    vessels : list of Vessel
        Near it.
    knots : numpy.ndarray
        Of the splines along s.
    order : int
        Highest harmonic.

    Returns
    -------
    numpy.ndarray of shape (n_splines, 2 · order + 1)
        Coefficients of r0² / r², where r0 is the scale of the tube.
    """
    theta = np.arange(_N_THETA) * (2 * np.pi / _N_THETA)
    s = np.linspace(knots[3], knots[-4], 5 * (len(knots) - 4))
    normal, binormal = tube.curve.frame(s)
    around = (
        np.cos(theta)[:, None] * normal[:, None, :] + np.sin(theta)[:, None] * binormal[:, None, :]
    )
    r = cut(tube.grid(s, theta), tube.curve.at(s), around, vessels)
    along = np.linalg.pinv(basis(s, knots))
    across = np.linalg.pinv(harmonics(theta, order))
    return along @ (tube.scale / r) ** 2 @ across.T
