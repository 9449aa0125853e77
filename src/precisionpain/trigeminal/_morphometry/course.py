"""The course of a nerve: an arc of constant curvature, a bulge where a vessel pushes, and a rest.

Near the pons half of an oblique section is hidden, and near a vessel only a bulge tells what
the course was. So the course is a model whose parameters the exposed sections determine, and
the rest, a smooth curve, is drawn to zero where they say nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import least_squares

from .curve import Curve, basis, jerkiness, knots

__all__ = ["Course", "fit_course"]


@dataclasses.dataclass(frozen=True)
class Course:
    """A fitted course in a frame whose first axis is the chord.

    Parameters
    ----------
    origin : numpy.ndarray of shape (3,)
        World coordinates, mm.
    frame : numpy.ndarray of shape (3, 3)
        Rows: chord and two normals.
    arc : numpy.ndarray of shape (3, 2)
        Of 1, t, t² for both normals; a term in t⁴ makes the parabola an arc.
    bulge : numpy.ndarray of shape (2,)
        Offset at the top of the bulge, mm; zero without one.
    shape : numpy.ndarray of shape (3,)
        t of the top, and how far the bulge reaches before and after it, mm.
    knots, rest : numpy.ndarray
        Splines of the rest.
    covariance : numpy.ndarray
        Of the coefficients of 1, t, t² and, with a bulge, of its height; the same for both
        normals, and given the bulge's shape.
    """

    origin: np.ndarray
    frame: np.ndarray
    arc: np.ndarray
    bulge: np.ndarray
    shape: np.ndarray
    knots: np.ndarray
    rest: np.ndarray
    covariance: np.ndarray

    def along(self, x: np.ndarray) -> np.ndarray:
        """Return t of points."""
        return (x - self.origin) @ self.frame[0]

    def undisturbed(self, t: np.ndarray) -> np.ndarray:
        """Return points of the arc without bulge and rest, mm."""
        return self._world(t, _arc(t, self.arc))

    def points(self, t: np.ndarray) -> np.ndarray:
        """Return points of the course, mm."""
        y = _arc(t, self.arc) + _bump(t, self.shape)[:, None] * self.bulge
        # Beyond the data the rest stays as it is at their end.
        y = y + basis(t, self.knots) @ self.rest
        return self._world(t, y)

    def _world(self, t: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.origin + np.column_stack([t, y]) @ self.frame

    def curve(
        self, first: np.ndarray, last: np.ndarray, before: float, after: float,
        reference: np.ndarray,
    ) -> Curve:  # fmt: skip
        """Return the course as a curve from before one point, where s = 0, to after another."""
        t0, t1 = self.along(np.stack([first, last]))
        t = np.linspace(t0 - before, t1 + after, max(int((t1 - t0) / 0.2), 16) + 1)
        curve = Curve(self.points(t), reference=reference)
        zero = float(curve.project(self.points(np.array([t0])))[0][0])
        return Curve(curve.points, start=-zero, reference=reference)

    def displacement(self, floor: float) -> float:
        """Return how far the course is off the arc at the top of its bulge, mm.

        Less what noise alone would make of it: the length of a noisy vector is on average too
        long, its square by twice the variance of a component. The square root of that variance
        is at least `floor`, mm.
        """
        if not self.bulge.any():
            return 0.0
        top = self.bulge + (basis(self.shape[:1], self.knots) @ self.rest)[0]
        noise = self.displacement_sd**2 + floor**2
        return float(np.sqrt(max(float(np.sum(top**2)) - 2 * noise, 0.0)))

    @property
    def displacement_sd(self) -> float:
        """Standard deviation of the height, mm."""
        return float(np.sqrt(self.covariance[3, 3])) if len(self.covariance) > 3 else 0.0

    def slope_sd(self, t: float) -> float:
        """Return the standard deviation of the arc's slope at t, radians."""
        way = np.array([0.0, 1.0, 2 * t])
        return float(np.sqrt(way @ self.covariance[:3, :3] @ way))

    def undisturbed_tangent(self, t: float) -> np.ndarray:
        """Return the unit tangent of the arc at t."""
        ends = self.undisturbed(np.array([t - 1e-3, t + 1e-3]))
        step = ends[1] - ends[0]
        return step / np.linalg.norm(step)


def _arc(t: np.ndarray, c: np.ndarray) -> np.ndarray:
    bend = float(np.sum(c[2] ** 2))
    return c[0] + t[:, None] * c[1] + (t**2 + bend * t**4)[:, None] * c[2]


def _bump(t: np.ndarray, shape: np.ndarray) -> np.ndarray:
    top, before, after = shape
    x = np.where(t < top, (t - top) / before, (t - top) / after)
    return np.where(np.abs(x) < 1, np.cos(0.5 * np.pi * np.clip(x, -1, 1)) ** 2, 0.0)


def fit_course(
    points: np.ndarray,
    weights: np.ndarray,
    *,
    push: np.ndarray | None,
    noise: float,
    spacing: float,
    looseness: float,
    jerk: float,
) -> Course:
    """Fit a course to the middles of sections.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, 3)
        Middles in order from the pons, mm.
    weights : numpy.ndarray of shape (n,)
        0 to 1: how much of each section is exposed.
    push : numpy.ndarray of shape (3,), optional
        Where a vessel comes nearest; without it no bulge is fitted.
    noise : float
        Standard deviation of a middle, mm.
    spacing : float
        Distance of the knots of the rest, mm.
    looseness : float
        Standard deviation of the rest, mm.
    jerk : float
        Standard deviation of the rest's third derivative, 1/mm².

    Returns
    -------
    Course
    """
    solid = np.flatnonzero(weights > 0.5 * weights.max())
    first, last = points[solid[0]], points[solid[-1]]
    chord = (last - first) / np.linalg.norm(last - first)
    second = np.cross(chord, np.eye(3)[np.argmin(np.abs(chord))])
    second /= np.linalg.norm(second)
    frame = np.stack([chord, second, np.cross(chord, second)])
    origin = (first + last) / 2
    local = (points - origin) @ frame.T
    t, y = local[:, 0], local[:, 1:]
    root = np.sqrt(weights)[:, None]
    begin, end = float(t[0]), float(t[-1])
    mean_step = (end - begin) / (len(t) - 1)
    # Neighbouring middles err together; this many millimetres make one independent middle.
    sd = noise * np.sqrt(max(1.0 / mean_step, 1.0))
    n_terms = 3 if push is None else 4
    ridge = np.diag([0, 0, (sd / 0.08) ** 2, (sd / 1.0) ** 2][:n_terms])

    def solve(shape: np.ndarray | None) -> np.ndarray:
        c = np.zeros((3, 2))
        fitted = c
        for _ in range(3):  # the term in t⁴ follows from the one in t²
            bend = float(np.sum(c[2] ** 2))
            columns = [np.ones_like(t), t, t**2 + bend * t**4]
            if shape is not None:
                columns.append(_bump(t, shape))
            design = np.column_stack(columns)
            left = (root * design).T @ (root * design) + ridge
            fitted = np.linalg.solve(left, (root * design).T @ (root * y))
            c = fitted[:3]
        return fitted

    shape = np.array([0.0, 1.0, 1.0])
    if push is None:
        c = solve(None)
        bulge = np.zeros(2)
    else:
        top = float(np.clip((push - origin) @ chord, begin + 1.5, end - 1.5))
        bounds = (
            [max(top - 1.0, begin + 1.0), 1.5, 1.5],
            [min(top + 1.0, end - 1.0) + 1e-6, max(end - begin, 3.0), max(end - begin, 3.0)],
        )
        start = np.clip([top, max(top - begin, 2.0), max(end - top, 2.0)], *bounds)

        def misfit(p: np.ndarray) -> np.ndarray:
            c = solve(p)
            design = np.column_stack(
                [np.ones_like(t), t, t**2 + np.sum(c[2] ** 2) * t**4, _bump(t, p)]
            )
            prior = np.array([p[0] - top, (p[1] - start[1]) / 2, (p[2] - start[2]) / 2]) * sd
            return np.concatenate([(root * (y - design @ c)).ravel(), prior,
                                   np.sqrt(np.diag(ridge)) @ np.abs(c) * 1.0])  # fmt: skip

        shape = least_squares(misfit, start, bounds=bounds, max_nfev=30).x
        c = solve(shape)
        bulge = c[3]
    columns = [np.ones_like(t), t, t**2]
    if push is not None:
        columns.append(_bump(t, shape))
    design = root * np.column_stack(columns)
    covariance = sd**2 * np.linalg.inv(design.T @ design + ridge)
    places = knots(begin, end, spacing)
    nothing = np.zeros((len(places) - 4, 2))
    model = Course(origin, frame, c[:3], bulge, shape, places, nothing, covariance)
    rest_of = y - _arc(t, c[:3]) - _bump(t, shape)[:, None] * bulge
    design = basis(t, model.knots)
    n_splines = design.shape[1]
    step = model.knots[4] - model.knots[3]
    normal = (design * weights[:, None]).T @ design / sd**2
    normal += np.eye(n_splines) * step / looseness**2 + jerkiness(model.knots) / jerk**2
    rest = np.linalg.solve(normal, design.T @ (weights[:, None] * rest_of) / sd**2)
    return dataclasses.replace(model, rest=rest)
