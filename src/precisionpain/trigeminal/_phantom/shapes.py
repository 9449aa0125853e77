"""Curves, tubes and ellipsoids: signed distances in mm, negative inside."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

__all__ = ["Curve", "Ellipsoid", "HalfSpace", "Nerve", "Tube", "smooth_max", "unit"]

Array = NDArray[np.float64]


def unit(vector: Array) -> Array:
    """Return vectors of length one."""
    scaled: Array = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    return scaled


def smooth_max(a: Array, b: Array, blend: float) -> Array:
    """Return a maximum whose crease is rounded over `blend` mm; never below the true one."""
    if blend <= 0:
        return np.maximum(a, b)
    h = np.maximum(blend - np.abs(a - b), 0) / blend
    rounded: Array = np.maximum(a, b) + h * h * blend / 4
    return rounded


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A smooth curve sampled evenly in arc length.

    `points`, `tangent` and `bend` (curvature vector, 1/mm) have shape (n, 3); sample i lies
    at arc length ``start + i * step``.
    """

    start: float
    step: float
    points: Array
    tangent: Array
    bend: Array

    @classmethod
    def through(
        cls, points: Array, *, step: float, origin: int = 0, end_at_last: bool = False
    ) -> Curve:
        """Fit a cubic spline through dense points and resample it.

        Arc length is 0 at ``points[origin]``, which is one of the samples; with
        `end_at_last` the step is adjusted so that the last point is one as well.
        """
        chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        spline = CubicSpline(chord, points)
        velocity = spline.derivative()
        middle = (chord[1:] + chord[:-1]) / 2
        speed = np.linalg.norm(velocity(chord), axis=1)
        between = np.linalg.norm(velocity(middle), axis=1)
        pieces = np.diff(chord) * (speed[:-1] + 4 * between + speed[1:]) / 6
        arc = np.concatenate([[0.0], np.cumsum(pieces)])
        arc -= arc[origin]
        if end_at_last:
            step = arc[-1] / max(1, int(np.ceil(arc[-1] / step)))
        first = int(np.ceil(arc[0] / step - 1e-9))
        last = int(np.floor(arc[-1] / step + 1e-9))
        s = step * np.arange(first, last + 1)
        u = CubicSpline(arc, chord)(s)
        v, a = velocity(u), spline(u, 2)
        tangent = unit(v)
        along = (a * tangent).sum(axis=1, keepdims=True)
        bend = (a - along * tangent) / (v * v).sum(axis=1, keepdims=True)
        return cls(float(s[0]), float(step), spline(u), tangent, bend)

    @property
    def s(self) -> Array:
        """Arc length of each sample, mm."""
        return self.start + self.step * np.arange(len(self.points), dtype=float)

    @functools.cached_property
    def tree(self) -> Any:
        """Search tree over the samples."""
        return cKDTree(self.points)

    def foot(
        self, points: Array, index: NDArray[np.intp] | None = None
    ) -> tuple[NDArray[np.intp], Array, Array]:
        """Project points on the curve.

        Returns the nearest sample, the offset along the tangent from it, and the vector
        from the sample to the point. `index` are samples near the answer; without it the
        tree is searched.
        """
        rounds = 2
        if index is None:
            index, rounds = self.tree.query(points)[1], 1
        for _ in range(rounds):
            shift, _ = self._shift(points, index)
            index = index + np.rint(shift / self.step).astype(np.intp)
            index = np.clip(index, 0, len(self.points) - 1)
        shift, offset = self._shift(points, index)
        return index, shift, offset

    def _shift(self, points: Array, index: NDArray[np.intp]) -> tuple[Array, Array]:
        offset = points - self.points[index]
        along = np.einsum("ij,ij->i", offset, self.tangent[index])
        bent = 1 - np.einsum("ij,ij->i", offset, self.bend[index])
        return along / np.maximum(bent, 0.2), offset

    def distance(
        self, points: Array, index: NDArray[np.intp] | None = None
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return the distance of points (n, 3) to the curve, and the nearest sample."""
        index, shift, offset = self.foot(points, index)
        # Beyond the ends the nearest point is the end itself.
        limit = self.step
        shift = np.clip(shift, -limit, limit)
        shift = np.where((index == 0) & (shift < 0), 0, shift)
        shift = np.where((index == len(self.points) - 1) & (shift > 0), 0, shift)
        square = np.einsum("ij,ij->i", offset, offset)
        bent = 1 - np.einsum("ij,ij->i", offset, self.bend[index])
        along = np.einsum("ij,ij->i", offset, self.tangent[index])
        square = square - 2 * along * shift + bent * shift**2
        return np.sqrt(np.maximum(square, 0)), index

    def moved(self, vector: Array) -> Curve:
        """Return the curve translated by `vector`."""
        return dataclasses.replace(self, points=self.points + vector)


@dataclasses.dataclass(frozen=True, eq=False)
class Tube:
    """A round tube with round ends; `radius` (n,) per sample of the curve, mm."""

    curve: Curve
    radius: Array

    def sdf(self, points: Array, hint: Any = None) -> tuple[Array, Any]:
        """Return signed distances and the nearest samples (a hint for points close by)."""
        distance, index = self.curve.distance(points, hint)
        return distance - self.radius[index], index


@dataclasses.dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid; `axes` holds unit vectors as rows."""

    center: Array
    radii: Array
    axes: Array = dataclasses.field(default_factory=lambda: np.eye(3))

    def sdf(self, points: Array, hint: Any = None) -> tuple[Array, Any]:
        """Return the first-order signed distance: exact in sign, and near the surface."""
        local = (points - self.center) @ self.axes.T
        scaled = local / self.radii
        k0 = np.sqrt(np.einsum("...i,...i->...", scaled, scaled))
        scaled /= self.radii
        k1 = np.sqrt(np.einsum("...i,...i->...", scaled, scaled))
        return k0 * (k0 - 1) / np.maximum(k1, 1e-12), None

    def normal(self, points: Array) -> Array:
        """Return the outward normal of the level surface through each point."""
        local = (points - self.center) @ self.axes.T
        return unit((local / self.radii**2) @ self.axes)

    def crossing(self, origin: Array, direction: Array) -> tuple[Array, Array]:
        """Return where rays enter and leave; both NaN for a ray that misses."""
        o = ((origin - self.center) @ self.axes.T) / self.radii
        d = (direction @ self.axes.T) / self.radii
        a = (d * d).sum(axis=-1)
        b = (o * d).sum(axis=-1)
        c = (o * o).sum(axis=-1) - 1
        with np.errstate(invalid="ignore"):
            root = np.sqrt(b * b - a * c)
        return (-b - root) / a, (-b + root) / a


@dataclasses.dataclass(frozen=True, eq=False)
class HalfSpace:
    """Everything beyond a plane, on the side that its normal points to."""

    point: Array
    normal: Array

    def sdf(self, points: Array, hint: Any = None) -> tuple[Array, Any]:
        """Return signed distances."""
        return -(points - self.point) @ self.normal, None


@dataclasses.dataclass(frozen=True, eq=False)
class Nerve:
    """An elliptical tube with a flat end, carved by a groove where a vessel indents it.

    `major` and `minor` are the semi-axes (n,) along `axis_a` and `axis_b` (n, 3), which
    span the plane normal to the curve at each sample. Arc length is 0 at the pons surface;
    negative values lie inside the pons.
    """

    curve: Curve
    axis_a: Array
    axis_b: Array
    major: Array
    minor: Array
    groove: Tube | None = None
    blend: float = 0.2

    @property
    def length(self) -> float:
        """Arc length from the pons surface to the flat end, mm."""
        return self.curve.start + self.curve.step * (len(self.curve.points) - 1)

    def local(self, points: Array, hint: Any = None) -> tuple[Array, Array, Array, Any]:
        """Return arc length and the two coordinates in the section, and the sample."""
        index, shift, offset = self.curve.foot(points, hint)
        x = np.einsum("ij,ij->i", offset, self.axis_a[index])
        y = np.einsum("ij,ij->i", offset, self.axis_b[index])
        return self.curve.start + index * self.curve.step + shift, x, y, index

    def section(self, x: Array, y: Array, index: NDArray[np.intp]) -> Array:
        """Return the first-order signed distance to the undented ellipse of each section."""
        a, b = self.major[index], self.minor[index]
        k0 = np.sqrt((x / a) ** 2 + (y / b) ** 2)
        k1 = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
        flat = k0 * (k0 - 1) / np.maximum(k1, 1e-9)
        return np.where(k1 < 1e-9, -b, flat)

    def sdf(self, points: Array, hint: Any = None) -> tuple[Array, Any]:
        """Return the implicit function of the whole nerve, and hints."""
        own, carved = hint if hint is not None else (None, None)
        s, x, y, index = self.local(points, own)
        value = self.section(x, y, index)
        if self.groove is not None:
            depth, carved = self.groove.sdf(points, carved)
            value = smooth_max(value, -depth, self.blend)
        value = np.maximum(value, s - self.length)
        value = np.maximum(value, self.curve.start - s)
        return value, (index, carved)
