"""The groove that a vessel presses into a nerve."""

from __future__ import annotations

import numpy as np

from .nerves import thickness
from .parameters import Misfit, Params
from .shapes import Array, Nerve, Tube, unit
from .vessels import Approach

__all__ = ["groove_of", "is_star"]


def groove_of(p: Params, nerve: Nerve, tube: Tube, found: Approach) -> Tube:
    """Return the tube that is cut out of the nerve: the vessel with its remaining gap.

    Where a thin vessel lies deep, the groove is wider than it, as wide as keeps the dented
    section a star round the centreline: nerve tissue doesn't close over a vessel.
    """
    row = found.row
    x = np.cos(found.theta) / nerve.major[row] ** 2
    y = np.sin(found.theta) / nerve.minor[row] ** 2
    normal = x * nerve.axis_a[row] + y * nerve.axis_b[row]
    along = tube.curve.tangent[found.sample]
    normal = unit(normal - (normal @ along) * along)
    tangent = nerve.curve.tangent[row]
    out = unit(normal - (normal @ tangent) * tangent)
    if p["indentation_mm"] > 0.95 * _curvature_radius(nerve, row, found.theta):
        raise Misfit("a dent deeper than the nerve's edge is blunt")
    depth, thick = p["indentation_mm"], thickness(nerve, row, out)
    radius = tube.radius + p["gap_mm"]
    cosine = np.cos(np.deg2rad(p["crossing_angle_deg"]))
    wide = float(radius[found.sample])
    while not is_star(nerve, row, out, thick, depth, wide, wide / max(cosine, 0.05)):
        wide *= 1.1
        if wide > 6:
            raise Misfit("an indentation that would undercut the nerve")
    extra = wide - float(radius[found.sample])
    return Tube(tube.curve.moved(extra * normal), radius + extra)


def _curvature_radius(nerve: Nerve, row: int, theta: float) -> float:
    """Return the radius of curvature of an undented section at a polar angle.

    Deeper than this below the surface, another part of the surface is the nearest.
    """
    a, b = nerve.major[row], nerve.minor[row]
    t = np.arctan2(np.sin(theta) * a, np.cos(theta) * b)
    return float(((a * np.sin(t)) ** 2 + (b * np.cos(t)) ** 2) ** 1.5 / (a * b))


def is_star(
    nerve: Nerve, row: int, out: Array, thick: float, depth: float, high: float, wide: float
) -> bool:
    """Return whether rays from the centre leave the nerve once only."""
    if depth > 0.9 * high:
        return False
    heading = np.arctan2(out @ nerve.axis_b[row], out @ nerve.axis_a[row])
    off = np.linspace(-np.pi / 2, np.pi / 2, 181)
    a, b = nerve.major[row], nerve.minor[row]
    edge = 1 / np.hypot(np.cos(heading + off) / a, np.sin(heading + off) / b)
    center = thick - depth + high
    # Ray (r sin, r cos) against the ellipse x²/wide² + (y - center)²/high² = 1.
    qa = (np.sin(off) / wide) ** 2 + (np.cos(off) / high) ** 2
    qb = center * np.cos(off) / high**2
    qc = (center / high) ** 2 - 1
    inner = qb**2 - qa * qc
    root = np.sqrt(np.maximum(inner, 0))
    enter, leave = (qb - root) / qa, (qb + root) / qa
    return bool(np.all((inner <= 0) | (enter >= edge) | (leave >= edge + 0.02)))
