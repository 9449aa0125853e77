"""The nerve's lateral surface, and areas of parts of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .shapes import Array, Nerve, smooth_max

__all__ = ["Surface", "patch_area", "surface_of"]

N_ANGLES = 160


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """The lateral surface: radius r(s, theta) round the centreline, dented and undented."""

    nerve: Nerve
    theta: Array
    radius: Array
    undented: Array

    def points(self, radius: Array) -> Array:
        """Return surface points (n_s, n_theta, 3) for radii (n_s, n_theta)."""
        x = (radius * np.cos(self.theta))[..., None]
        y = (radius * np.sin(self.theta))[..., None]
        nerve = self.nerve
        return nerve.curve.points[:, None] + x * nerve.axis_a[:, None] + y * nerve.axis_b[:, None]


def surface_of(nerve: Nerve, n_angles: int = N_ANGLES) -> Surface:
    """Find the surface by root finding along rays from the undented centreline."""
    theta = 2 * np.pi * np.arange(n_angles) / n_angles
    a, b = nerve.major[:, None], nerve.minor[:, None]
    undented = 1 / np.hypot(np.cos(theta) / a, np.sin(theta) / b)
    surface = Surface(nerve, theta, undented.copy(), undented)
    if nerve.groove is None:
        return surface
    # Only rays whose outer end comes within the blend of the groove can be shorter.
    ends = surface.points(undented)
    center_depth, _ = nerve.groove.sdf(nerve.curve.points)
    rows = np.flatnonzero(center_depth < nerve.major + nerve.blend + 0.01)
    depth, sample = nerve.groove.sdf(ends[rows].reshape(-1, 3))
    near = (depth < nerve.blend).reshape(len(rows), -1)
    hit, column = np.nonzero(near)
    row = rows[hit]
    outer = undented[row, column]
    sample = sample.reshape(len(rows), -1)[hit, column]
    direction = (
        np.cos(theta[column])[:, None] * nerve.axis_a[row]
        + np.sin(theta[column])[:, None] * nerve.axis_b[row]
    )
    origin = nerve.curve.points[row]
    cos, sin = np.cos(theta[column]), np.sin(theta[column])

    def value(r: Array) -> Array:
        own = nerve.section(r * cos, r * sin, row)
        assert nerve.groove is not None
        depth, _ = nerve.groove.sdf(origin + r[:, None] * direction, sample)
        return smooth_max(own, -depth, nerve.blend)

    surface.radius[row, column] = _root(value, np.zeros_like(outer), outer)
    return surface


def _root(value: Any, low: Array, high: Array) -> Array:
    """Find where functions that rise along their ray cross zero, all rays at once."""
    for _ in range(6):
        middle = (low + high) / 2
        below = value(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    # Regula falsi with the Illinois rule keeps the bracket and converges fast from here.
    f_low, f_high = value(low), value(high)
    was = np.zeros(low.shape, dtype=int)
    guess = high
    for _ in range(12):
        span = np.where(f_high - f_low > 1e-15, f_high - f_low, 1.0)
        guess = np.clip((low * f_high - high * f_low) / span, low, high)
        f = value(guess)
        if np.max(np.abs(f), initial=0.0) < 1e-7:
            break
        below = f < 0
        f_high = np.where(below, np.where(was == 1, f_high / 2, f_high), f)
        f_low = np.where(below, f, np.where(was == -1, f_low / 2, f_low))
        low, high = np.where(below, guess, low), np.where(below, high, guess)
        was = np.where(below, 1, -1)
    return guess


def _cells(points: Array) -> tuple[Array, Array]:
    """Areas (n_s - 1, n_theta) of the two triangles of each cell, closed in angle."""
    nxt = np.roll(points, -1, axis=1)
    a, b, c, d = points[:-1], points[1:], nxt[1:], nxt[:-1]
    first = np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2
    second = np.linalg.norm(np.cross(c - a, d - a), axis=-1) / 2
    return first, second


def _below(f1: Array, f2: Array, f3: Array) -> Array:
    """Share of a triangle where the linear function with these corner values is negative."""
    f = np.sort(np.stack([f1, f2, f3]), axis=0)
    low, middle, high = f
    with np.errstate(invalid="ignore", divide="ignore"):
        one = low**2 / ((middle - low) * (high - low))
        two = 1 - high**2 / ((high - low) * (high - middle))
    return np.where(high <= 0, 1.0, np.where(low >= 0, 0.0, np.where(middle >= 0, one, two)))


def patch_area(points: Array, field: Array) -> Array:
    """Area (n_s - 1, n_theta) of each cell's part where `field` is negative."""
    field = np.minimum(field, 1e3)
    nxt = np.roll(field, -1, axis=1)
    a, b, c, d = field[:-1], field[1:], nxt[1:], nxt[:-1]
    result = np.zeros(a.shape)
    rows = np.flatnonzero((np.minimum.reduce([a, b, c, d]) < 0).any(axis=1))
    if not len(rows):
        return result
    part = slice(rows[0], rows[-1] + 1)
    first, second = _cells(points[rows[0] : rows[-1] + 2])
    result[part] = first * _below(a[part], b[part], c[part])
    result[part] += second * _below(a[part], c[part], d[part])
    return result
