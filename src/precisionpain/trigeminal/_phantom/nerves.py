"""The nerve's undeformed course, what a vessel does to it, and the body round it."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import brentq

from ..anatomy import Side
from .parameters import Misfit, Params
from .shapes import Array, Curve, Ellipsoid, Nerve, unit

__all__ = [
    "FORWARD",
    "UP",
    "Root",
    "across",
    "build_nerve",
    "lateral_of",
    "lay_root",
    "push",
    "thickness",
]

UP = np.array([0.0, 0.0, 1.0])
FORWARD = np.array([0.0, 1.0, 0.0])
STEP = 0.05
SAMPLE = 0.02
INSIDE = 5.0
# In the pons the root turns into the depth; a straight one at 25 degrees would come out again.
TURN_INSIDE = 0.15
MAX_BEND = 0.45
"""Largest curvature (1/mm) that a displaced nerve may have."""


def lateral_of(side: Side) -> Array:
    return np.array([-1.0 if side == "left" else 1.0, 0.0, 0.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Root:
    """The undeformed course: points by arc length `u`, 0 at the pons surface."""

    u: Array
    points: Array
    normal: Array
    tangent: Array

    def sample(self, at: float) -> int:
        """Return the sample nearest to arc length `at`."""
        return int(np.argmin(np.abs(self.u - at)))


def across(tangent: Array, lateral: Array) -> tuple[Array, Array]:
    """Return the superior and the medial direction normal to `tangent` (..., 3)."""
    superior = unit(UP - (tangent @ UP)[..., None] * tangent)
    medial = -lateral + (tangent @ lateral)[..., None] * tangent
    medial = medial - (medial * superior).sum(axis=-1, keepdims=True) * superior
    return superior, unit(medial)


def lay_root(p: Params, shared: Params, pons: Ellipsoid, lateral: Array) -> Root:
    """Place the root so that it leaves the pons at its angle, half the distance off midline."""
    half = shared["nerve_distance_mm"] / 2

    def at(azimuth: float) -> tuple[Array, Array, Array, Array]:
        el = np.deg2rad(p["entry_elevation_deg"])
        way = np.sin(azimuth) * np.cos(el) * lateral + np.cos(azimuth) * np.cos(el) * FORWARD
        way = way + np.sin(el) * UP
        entry = pons.center + way / np.linalg.norm(way / pons.radii)
        normal = pons.normal(entry)
        ahead = unit(FORWARD - (FORWARD @ normal) * normal)
        above = unit(UP - (UP @ normal) * normal - (UP @ ahead) * ahead)
        turn = np.deg2rad(p["entry_heading_deg"])
        angle = np.deg2rad(p["angle_deg"])
        flat = np.cos(turn) * ahead + np.sin(turn) * above
        tangent = np.sin(angle) * normal + np.cos(angle) * flat
        superior, medial = across(tangent, lateral)
        plane = np.deg2rad(p["curvature_plane_deg"])
        return entry, normal, tangent, np.cos(plane) * superior + np.sin(plane) * medial

    def arc(u: Array, entry: Array, tangent: Array, side: Array) -> Array:
        k = max(p["curvature_per_mm"], 1e-9)
        ahead = np.sin(k * u) / k
        aside = 2 * np.sin(k * u / 2) ** 2 / k
        return entry + ahead[..., None] * tangent + aside[..., None] * side

    def miss(azimuth: float) -> float:
        entry, _, tangent, side = at(azimuth)
        middle = arc(np.array([p["length_mm"] / 2]), entry, tangent, side)[0]
        return float(middle @ lateral) - half

    low, high = np.deg2rad(30), np.deg2rad(100)
    if miss(low) * miss(high) > 0:
        raise Misfit("the distance between the nerves")
    entry, normal, tangent, side = at(float(brentq(miss, low, high, xtol=1e-10)))
    u = np.linspace(0, p["length_mm"], int(np.ceil(p["length_mm"] / SAMPLE)) + 1)
    outside = arc(u, entry, tangent, side)
    v = -np.linspace(INSIDE, 0, int(INSIDE / SAMPLE) + 1)[:-1]
    full = np.pi / 2 - np.deg2rad(p["angle_deg"])
    inward = unit(normal - (normal @ tangent) * tangent) if full > 1e-6 else normal
    turned = full * np.tanh(TURN_INSIDE * -v / max(full, 1e-6))
    steps = np.cos(turned)[:, None] * tangent + np.sin(turned)[:, None] * inward
    ends = np.concatenate([steps, tangent[None]])
    pieces = (ends[1:] + ends[:-1]) / 2 * np.diff(np.append(v, 0.0))[:, None]
    inside = entry - np.cumsum(pieces[::-1], axis=0)[::-1]
    if pons.sdf(outside[int(1 / SAMPLE) :])[0].min() < 0.3 * np.sin(np.deg2rad(p["angle_deg"])):
        raise Misfit("the nerve runs back to the pons")
    if pons.sdf(outside[-1:])[0][0] < 2.5:
        raise Misfit("the end of the nerve is too close to the pons")
    return Root(np.concatenate([v, u]), np.concatenate([inside, outside]), normal, tangent)


def build_nerve(p: Params, root: Root, points: Array, lateral: Array) -> Nerve:
    """Wrap the elliptical section round a course, without twist."""
    origin = int(np.argmin(np.abs(root.u)))
    curve = Curve.through(points, step=STEP, origin=origin, end_at_last=True)
    superior, medial = across(curve.tangent, lateral)
    # Turning the frame back by its own spin makes it rotation-minimising.
    spin = (np.gradient(superior, curve.step, axis=0, edge_order=2) * medial).sum(axis=1)
    turned = np.concatenate([[0.0], np.cumsum((spin[1:] + spin[:-1]) / 2)]) * curve.step
    zero = round(-curve.start / curve.step)
    roll = np.deg2rad(p["roll_deg"]) - (turned - turned[zero])
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    length = curve.s[-1]
    taper = 1 + p["taper"] * (np.clip(curve.s / length, 0, 1) - 0.5)
    scale = taper * np.sqrt(1 - p["atrophy"])
    return Nerve(
        curve,
        c * superior + s * medial,
        c * medial - s * superior,
        p["semi_major_mm"] * scale,
        p["semi_minor_mm"] * scale,
        blend=p["blend_mm"] or 0.0,
    )


def _bump(u: Array, at: float, widths: tuple[float, float]) -> Array:
    """Return a raised cosine, 1 at its top, with its own half width on each side."""
    width = np.where(u < at, widths[0], widths[1])
    return np.cos(np.pi / 2 * np.clip((u - at) / width, -1, 1)) ** 2


def push(p: Params, root: Root, at: float) -> Array:
    """Return how far each point of the course is pushed; what must not fit may shrink."""
    room = (at, p["length_mm"] - at)
    if min(room) < 2.5 - 1e-9:
        raise Misfit("a displacement needs 2.5 mm of nerve on both sides")
    widths = tuple(r * w for r, w in zip(room, p["bump_width"], strict=True))
    thick = p["semi_major_mm"] * (1 + abs(p["taper"]) / 2) * np.sqrt(1 - p["atrophy"])
    steepest = min(MAX_BEND, 0.6 / thick) - p["curvature_per_mm"]
    most = 2 * min(widths) ** 2 / np.pi**2 * steepest
    if p["displacement_mm"] > most:
        if not p.get("displacement_may_shrink") or most < 0.3:
            raise Misfit("a displacement that would bend the nerve too sharply")
        p["displacement_mm"] = float(most)
    push: Array = p["displacement_mm"] * _bump(root.u, at, (widths[0], widths[1]))
    return push


def thickness(nerve: Nerve, row: int, out: Array) -> float:
    x, y = out @ nerve.axis_a[row], out @ nerve.axis_b[row]
    return float(1 / np.hypot(x / nerve.major[row], y / nerve.minor[row]))
