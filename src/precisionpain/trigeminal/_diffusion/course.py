"""Where along the nerve a voxel lies: a smooth centreline from labels."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ...errors import GeometryError

__all__ = ["Course", "course_through", "given_course"]

Array = NDArray[np.float64]

_STEP = 0.25  # mm between the points of the centreline
_DEGREE = 3  # a nerve bends at most twice within its centimetre


@dataclasses.dataclass(frozen=True)
class Course:
    """A centreline from the pons outward.

    Parameters
    ----------
    points : numpy.ndarray of shape (n, 3)
        World, mm.
    s_mm : numpy.ndarray of shape (n,)
        Arc length, 0 where the line leaves the brainstem.
    tangents : numpy.ndarray of shape (n, 3)
        Unit vectors away from the brainstem.
    """

    points: Array
    s_mm: Array
    tangents: Array

    def locate(self, where: Array) -> tuple[Array, Array]:
        """Return the arc length and the tangent at the nearest point of the line."""
        _, nearest = cKDTree(self.points).query(where)
        return self.s_mm[nearest], self.tangents[nearest]


def given_course(points: ArrayLike) -> Course:
    """Make a course of a given centreline, whose first point is at the pons.

    Raises
    ------
    GeometryError
        When it has fewer than two different points or they aren't finite.
    """
    line = np.asarray(points, dtype=float)
    if line.ndim != 2 or line.shape[1] != 3 or not np.isfinite(line).all():
        raise GeometryError(f"expected a centreline of shape (n, 3) in mm, found {line.shape}")
    line = line[np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-6]]
    if len(line) < 2:
        raise GeometryError("the centreline needs two different points or more")
    return _measured(line, 0.0)


def course_through(nerve: Array, weight: Array, brainstem: Array) -> Course:
    """Fit a smooth line through the voxels of a nerve.

    Parameters
    ----------
    nerve : numpy.ndarray of shape (n, 3)
        Centres of voxels with nerve, world, mm.
    weight : numpy.ndarray of shape (n,)
        How much nerve each holds.
    brainstem : numpy.ndarray of shape (m, 3)
        Centres of voxels of the brainstem.

    Returns
    -------
    Course
        The weighted mean of the two coordinates across the main axis is a cubic polynomial of
        the coordinate along it; s = 0 where the line is nearest to the brainstem voxels.

    Raises
    ------
    GeometryError
        When the nerve has too few voxels for a line.
    """
    if len(nerve) < 8:
        raise GeometryError(f"the nerve has {len(nerve)} voxels, too few for a course")
    centre = np.average(nerve, axis=0, weights=weight)
    offset = nerve - centre
    _, axes = np.linalg.eigh((offset * weight[:, None]).T @ offset)
    main = axes[:, -1]
    # Outward is away from the brainstem nearby, not from all of it.
    distance, nearest = cKDTree(brainstem).query(nerve)
    if (brainstem[nearest[np.argsort(distance)[: max(8, len(nerve) // 10)]]] - centre).mean(
        axis=0
    ) @ main > 0:
        main = -main
    along = offset @ main
    across = axes[:, :2]
    scale = np.abs(along).max()
    root = np.sqrt(weight)[:, None]
    powers = np.vander(along / scale, _DEGREE + 1)
    fit, *_ = np.linalg.lstsq(powers * root, (offset @ across) * root, rcond=None)
    start, stop = along.min(), along.max()
    # The brainstem's surface cuts the nerve aslant: the line goes on until it meets it.
    grid = np.arange(start - 3.0, stop + _STEP, _STEP)
    clamped = np.clip(grid / scale, start / scale, stop / scale)
    line = centre + grid[:, None] * main + np.vander(clamped, _DEGREE + 1) @ fit @ across.T
    to_nerve, _ = cKDTree(nerve).query(line)
    to_stem, _ = cKDTree(brainstem).query(line)
    inside = np.flatnonzero((to_stem <= to_nerve) & (grid < np.median(along)))
    first = inside[-1] if inside.size else int(np.argmin(to_stem[grid < np.median(along)]))
    return _measured(line[first:], 0.0)


def _measured(line: Array, start: float) -> Course:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    s_mm = start + np.r_[0.0, np.cumsum(steps)]
    fine = np.linspace(s_mm[0], s_mm[-1], max(2, int(np.ceil((s_mm[-1] - s_mm[0]) / _STEP)) + 1))
    points = np.column_stack([np.interp(fine, s_mm, column) for column in line.T])
    tangents = np.gradient(points, fine, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    return Course(points, fine, tangents)
