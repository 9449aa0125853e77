"""A smooth curve in space with arc length, frames, and the nearest point to anything."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline, CubicSpline
from scipy.spatial import cKDTree

__all__ = ["Curve", "basis", "knots", "roughness", "slope_penalty", "smooth_curve"]

_STEP = 0.1  # mm between the samples of a curve; the error of a sample is of order step³


class Curve:
    """A space curve by arc length, with rotation-minimising frames.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, 3)
        Points on the curve in order, in mm; n ≥ 2. A cubic spline joins them.
    start : float, default 0.0
        Arc length given to the first point, mm.
    reference : numpy.ndarray of shape (3,), optional
        Direction that the first normal follows as well as it can; without it any. Frames of
        two curves of one structure agree only when it is the same.

    Attributes
    ----------
    s : numpy.ndarray of shape (m,)
        Arc length of the samples, mm.
    points, tangents, normals, binormals : numpy.ndarray of shape (m, 3)
        Samples and their frames; ``binormal = tangent × normal``.
    curvature : numpy.ndarray of shape (m, 3)
        Curvature vectors, 1/mm, pointing to the inside of the bend.
    """

    def __init__(
        self, points: np.ndarray, start: float = 0.0, reference: np.ndarray | None = None
    ) -> None:
        points = np.asarray(points, dtype=float)
        for _ in range(2):  # chord length first, then arc length proper
            chord = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
            n = max(int(np.ceil(chord[-1] / _STEP)), 4)
            spline = CubicSpline(chord, points, bc_type="not-a-knot")
            points = spline(np.linspace(0, chord[-1], n + 1))
        step = np.linalg.norm(np.diff(points, axis=0), axis=1)
        self.s = start + np.r_[0.0, np.cumsum(step)]
        self._spline = CubicSpline(self.s, points, bc_type="not-a-knot")
        self.points = points
        tangents = self._spline(self.s, 1)
        self.tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
        self.curvature = self._spline(self.s, 2)
        self.normals, self.binormals = _frames(self.points, self.tangents, reference)
        self._tree = cKDTree(self.points)

    @property
    def start(self) -> float:
        """Arc length of the first sample, mm."""
        return float(self.s[0])

    @property
    def end(self) -> float:
        """Arc length of the last sample, mm."""
        return float(self.s[-1])

    def at(self, s: np.ndarray | float) -> np.ndarray:
        """Return points at arc lengths; beyond the ends the curve goes on straight."""
        s = np.asarray(s, dtype=float)
        inside = np.clip(s, self.start, self.end)
        beyond = (s - inside)[..., None]
        return self._spline(inside) + beyond * self.tangent(inside)

    def tangent(self, s: np.ndarray | float) -> np.ndarray:
        """Return unit tangents at arc lengths."""
        t = self._spline(np.clip(s, self.start, self.end), 1)
        return t / np.linalg.norm(t, axis=-1, keepdims=True)

    def frame(self, s: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return normals and binormals at arc lengths."""
        s = np.asarray(s, dtype=float)
        place = np.clip((s - self.start) / (self.s[1] - self.s[0]), 0, len(self.s) - 1)
        low = np.minimum(place.astype(int), len(self.s) - 2)
        weight = (place - low)[..., None]
        normal = (1 - weight) * self.normals[low] + weight * self.normals[low + 1]
        t = self.tangent(s)
        normal = normal - np.sum(normal * t, axis=-1, keepdims=True) * t
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return normal, np.cross(t, normal)

    def project(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return arc length, and the two coordinates in the plane normal to the curve.

        Parameters
        ----------
        x : numpy.ndarray of shape (n, 3)
            Points, mm.

        Returns
        -------
        s, u, v : numpy.ndarray of shape (n,)
            Arc length of the nearest point of the curve (which goes on straight beyond its
            ends), and the offsets along normal and binormal, mm.
        """
        _, near = self._tree.query(x)
        offset = x - self.points[near]
        along = np.sum(offset * self.tangents[near], axis=1)
        bend = 1 - np.sum(offset * self.curvature[near], axis=1)
        s = self.s[near] + along / np.maximum(bend, 0.2)
        last = (near == 0) | (near == len(self.s) - 1)
        s[last] = self.s[near[last]] + along[last]
        normal, binormal = self.frame(s)
        offset = x - self.at(s)
        return s, np.sum(offset * normal, axis=1), np.sum(offset * binormal, axis=1)


def _frames(
    points: np.ndarray, tangents: np.ndarray, reference: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Carry a normal along the curve without twist (double reflection, Wang et al. 2008)."""
    t = tangents[0]
    if reference is None or np.linalg.norm(np.cross(t, reference)) < 1e-3:
        reference = np.eye(3)[np.argmin(np.abs(t))]
    normal = reference - np.dot(reference, t) * t
    normals = np.empty_like(points)
    normals[0] = normal / np.linalg.norm(normal)
    for i in range(len(points) - 1):
        v1 = points[i + 1] - points[i]
        c1 = v1 @ v1
        r = normals[i] - (2 / c1) * (v1 @ normals[i]) * v1
        t1 = tangents[i] - (2 / c1) * (v1 @ tangents[i]) * v1
        v2 = tangents[i + 1] - t1
        c2 = v2 @ v2
        normals[i + 1] = r - (2 / c2) * (v2 @ r) * v2 if c2 > 1e-30 else r
    return normals, np.cross(tangents, normals)


def knots(low: float, high: float, spacing: float) -> np.ndarray:
    """Return the knots of cubic B-splines with about this spacing on an interval."""
    n = max(int(np.ceil((high - low) / spacing - 1e-9)), 2)
    step = (high - low) / n
    return low + step * np.arange(-3, n + 4)


def basis(s: np.ndarray, t: np.ndarray, derivative: int = 0) -> np.ndarray:
    """Evaluate cubic B-splines, dense; outside the interval the edge value holds.

    Parameters
    ----------
    s : numpy.ndarray of shape (n,)
        Where.
    t : numpy.ndarray of shape (k + 4,)
        Knots.
    derivative : {0, 1}
        Order.

    Returns
    -------
    numpy.ndarray of shape (n, k)
    """
    inside = np.clip(s, t[3], t[-4])
    if len(inside) == 0:
        return np.empty((0, len(t) - 4))
    if derivative == 0:
        return BSpline.design_matrix(inside, t, 3).toarray()
    k = len(t) - 4
    return BSpline(t, np.eye(k), 3)(inside, derivative)


def roughness(t: np.ndarray) -> np.ndarray:
    """Return the penalty matrix of the integrated squared second derivative (P-spline form)."""
    k = len(t) - 4
    step = t[4] - t[3]
    second = np.diff(np.eye(k), n=2, axis=0)
    return second.T @ second / step**3


def jerkiness(t: np.ndarray) -> np.ndarray:
    """Return the penalty matrix of the integrated squared third derivative (P-spline form)."""
    third = np.diff(np.eye(len(t) - 4), n=3, axis=0)
    return third.T @ third / (t[4] - t[3]) ** 5


def slope_penalty(t: np.ndarray) -> np.ndarray:
    """Return the penalty matrix of the integrated squared first derivative (P-spline form)."""
    first = np.diff(np.eye(len(t) - 4), axis=0)
    return first.T @ first / (t[4] - t[3])


def smooth_curve(
    points: np.ndarray,
    weights: np.ndarray,
    s: np.ndarray,
    *,
    spacing: float,
    stiffness: float,
    jerk: float,
    low: float,
    high: float,
    reference: np.ndarray | None = None,
) -> Curve:
    """Fit a penalised spline to points with known places along a curve.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, 3)
        Noisy points, mm.
    weights : numpy.ndarray of shape (n,)
        Inverse variances, 1/mm².
    s : numpy.ndarray of shape (n,)
        Their places along the curve, mm.
    spacing : float
        Distance of the knots, mm.
    stiffness : float
        Weight of the integrated squared curvature, mm.
    jerk : float
        Weight of the integrated squared change of curvature, mm³.
    low, high : float
        Ends of the curve, mm of `s`.
    reference : numpy.ndarray of shape (3,), optional
        See `Curve`.

    Returns
    -------
    Curve
        Its arc length agrees with `s` at `low`.
    """
    t = knots(low, high, spacing)
    design = basis(s, t)
    normal = (design * weights[:, None]).T @ design + stiffness * roughness(t)
    normal += jerk * jerkiness(t)
    normal += 1e-9 * np.trace(normal) / len(normal) * np.eye(len(normal))
    middle = points.mean(axis=0)
    coefficients = np.linalg.solve(normal, design.T @ (weights[:, None] * (points - middle)))
    dense = np.linspace(low, high, max(int(np.ceil((high - low) / (2 * _STEP))), 4) + 1)
    return Curve(basis(dense, t) @ coefficients + middle, start=low, reference=reference)
