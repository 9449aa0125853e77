"""The surface of the pons where the nerve leaves it."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from ..anatomy import Label
from .scan import Scan

__all__ = ["PonsSurface", "edge", "fit_pons"]


@dataclasses.dataclass(frozen=True)
class PonsSurface:
    """A quadratic height over a plane.

    Parameters
    ----------
    origin : numpy.ndarray of shape (3,)
        World coordinates, mm.
    frame : numpy.ndarray of shape (3, 3)
        Rows: two axes of the plane, and the direction out of the pons.
    coefficients : numpy.ndarray of shape (6,)
        Of 1, u, v, u², uv, v².
    covariance : numpy.ndarray of shape (6, 6)
        Of the coefficients.
    """

    origin: np.ndarray
    frame: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray

    def distance(self, x: np.ndarray, coefficients: np.ndarray | None = None) -> np.ndarray:
        """Return the signed distance of points (n, 3) to the surface; positive outside."""
        c = self.coefficients if coefficients is None else coefficients
        u, v, w = self.frame @ (np.atleast_2d(x) - self.origin).T
        q, slope_u, slope_v = _height(u, v, c)
        return (w - q) / np.sqrt(1 + slope_u**2 + slope_v**2)

    def draws(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw coefficients from their distribution, shape (n, 6)."""
        return rng.multivariate_normal(self.coefficients, self.covariance, n, method="eigh")

    def normal(self, x: np.ndarray, coefficients: np.ndarray | None = None) -> np.ndarray:
        """Return the unit normal, out of the pons, over one point."""
        c = self.coefficients if coefficients is None else coefficients
        u, v, _ = self.frame @ (x - self.origin)
        _, slope_u, slope_v = _height(u, v, c)
        local = np.array([-slope_u, -slope_v, 1.0])
        return local @ self.frame / np.linalg.norm(local)


def _terms(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)


def _height(u: np.ndarray, v: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    q = c[0] + c[1] * u + c[2] * v + c[3] * u * u + c[4] * u * v + c[5] * v * v
    return q, c[1] + 2 * c[3] * u + c[4] * v, c[2] + c[4] * u + 2 * c[5] * v


def fit_pons(
    scan: Scan, entry: np.ndarray, *, reach: float, noise: float, iterations: int = 15
) -> PonsSurface | None:
    """Fit the surface of the brainstem around the entry of the nerve.

    Parameters
    ----------
    scan : Scan
        Labels or shares.
    entry : numpy.ndarray of shape (3,)
        About where the nerve enters, mm.
    reach : float
        Radius of the patch, mm.
    noise : float
        As in `fit_tube`.
    iterations : int, default 15
        At most.

    Returns
    -------
    PonsSurface or None
        None when there is too little brainstem near the entry.
    """
    share = scan.share(Label.BRAINSTEM)
    index = np.argwhere(np.ones(scan.labels.shape, dtype=bool))
    x = scan.world(index)
    near = np.sum((x - entry) ** 2, axis=1) < reach**2
    x, share = x[near] - entry, share.ravel()[near]
    if share.sum() < 30 or (1 - share).sum() < 30:
        return None
    # Outward: from the middle of what is pons to the middle of what isn't, then refined.
    outward = np.average(x, axis=0, weights=1 - share) - np.average(x, axis=0, weights=share)
    c = np.zeros(6)
    frame = _frame(outward)
    covariance = np.zeros((6, 6))
    prior = np.diag([0.0, 0.0, 0.0, *[(0.15) ** -2] * 3])  # curvature of a pons, 1/mm
    for i in range(iterations):
        u, v, w = frame @ x.T
        q, slope_u, slope_v = _height(u, v, c)
        cosine = 1 / np.sqrt(1 + slope_u**2 + slope_v**2)
        distance = (w - q) * cosine
        normals = np.stack([-slope_u, -slope_v, np.ones_like(u)], -1) * cosine[:, None] @ frame
        width = np.sqrt(np.sum((normals @ scan.axes) ** 2, axis=1) / 12)
        reachable = np.abs(distance) < (3.0 if i < 3 else 1.3) * np.sqrt(12) * width / 2 + 1e-9
        d, terms = distance[reachable], _terms(u[reachable], v[reachable]) * cosine[reachable, None]
        y, blur = share[reachable], width[reachable]
        if scan.mask:
            blur = np.maximum(noise, blur * 0.6**i)  # from a wide step to a sharp one
        z = -d / blur
        p = np.clip(ndtr(z), 1e-9, 1 - 1e-9)
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        jacobian = terms * (density / blur)[:, None]
        weight = 1 / (p * (1 - p)) if scan.mask else np.full(len(p), noise**-2)
        normal = (jacobian * weight[:, None]).T @ jacobian + prior
        move = np.linalg.solve(normal, jacobian.T @ (weight * (y - p)) - prior @ c)
        c = c + move * min(1.0, 0.8 / max(np.abs(move[:3]).max(), 1e-9))
        covariance = np.linalg.inv(normal)
        if i < 3:  # turn the plane to the fit, and begin again from there
            _, slope_u, slope_v = _height(np.zeros(1), np.zeros(1), c)
            frame = _frame(np.array([-slope_u[0], -slope_v[0], 1.0]) @ frame)
            c = np.array([c[0], 0, 0, *c[3:]])
        elif np.abs(move).max() < 1e-5:
            break
    return PonsSurface(entry, frame, c, covariance)


def _frame(outward: np.ndarray) -> np.ndarray:
    outward = outward / np.linalg.norm(outward)
    first = np.cross(outward, np.eye(3)[np.argmin(np.abs(outward))])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(outward, first), outward])


def edge(place: np.ndarray, share: np.ndarray, width: float) -> float:
    """Return where a share falls from 1 to 0 along a line, sought as ndtr((edge - place)/width).

    Parameters
    ----------
    place : numpy.ndarray of shape (n,)
        Positions, mm.
    share : numpy.ndarray of shape (n,)
        0 to 1.
    width : float
        Standard deviation of the step, mm.
    """
    total = share.sum()
    low, high = place.min() - 10 * width, place.max() + 10 * width

    def excess(at: float) -> float:
        return float(ndtr((at - place) / width).sum() - total)

    if excess(low) * excess(high) >= 0:
        return float(place.max())
    return float(brentq(excess, low, high, xtol=1e-6))
