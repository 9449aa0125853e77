"""Courses of vessels, and how one is laid at a wanted distance from a nerve."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ..anatomy import Side
from .nerves import across, lateral_of
from .parameters import Misfit, Params
from .shapes import Array, Curve, Ellipsoid, Nerve, Tube, unit
from .tissue import Tissue

__all__ = [
    "TAIL",
    "Approach",
    "Vessel",
    "check_clear",
    "clears",
    "closest",
    "lay_against",
    "passing",
    "ring",
    "tube_along",
]

STEP = 0.1
TAIL = 28.0
TAKE_OFF = -25
"""Sample of the basilar artery, from its top, where the superior cerebellar arteries leave."""


@dataclasses.dataclass(frozen=True, eq=False)
class Vessel:
    """A vessel; `side` and `role` say what it is there for."""

    tube: Tube
    tissue: Tissue
    name: str
    role: str
    side: str | None = None


def tube_along(points: Array, origin: int, diameter: float, wobble: tuple[float, float]) -> Tube:
    """Make a tube of nearly constant calibre; `wobble` is amplitude (share) and period (mm)."""
    curve = Curve.through(points, step=STEP, origin=origin)
    radius = diameter / 2 * (1 + wobble[0] * np.sin(2 * np.pi * curve.s / wobble[1]))
    return Tube(curve, radius)


def loop(
    apex: Array,
    tangent: Array,
    out: Array,
    *,
    curvature: float,
    bend_deg: tuple[float, float],
    tails: tuple[float, float],
    target: Array | None = None,
    pons: Ellipsoid | None = None,
) -> tuple[Array, int]:
    """Return points of a loop that bends away along `out` on both sides of its apex.

    The backward tail can run to a `target` (the basilar artery) around the pons. Returns
    the points, and the index of the apex.
    """
    arms = []
    for sign, bend, tail in zip((-1.0, 1.0), bend_deg, tails, strict=True):
        t = np.arange(0.0, tail + 1e-9, 0.1)
        limit = np.deg2rad(bend)
        # The heading saturates smoothly, so that the tails run straight.
        heading = limit * np.tanh(curvature * t / limit)
        x = np.concatenate([[0.0], np.cumsum((np.cos(heading[1:]) + np.cos(heading[:-1])) / 2)])
        y = np.concatenate([[0.0], np.cumsum((np.sin(heading[1:]) + np.sin(heading[:-1])) / 2)])
        arms.append(apex + 0.1 * (sign * x[:, None] * tangent + y[:, None] * out))
    back, forward = arms
    if target is not None and pons is not None:
        back = _bend_to(back[:50], target, pons)
    return np.concatenate([back[:0:-1], forward]), len(back) - 1


def _bend_to(arm: Array, target: Array, pons: Ellipsoid) -> Array:
    """Lead an arm round the pons to a target, by a spline through outer way-points."""
    start = (arm[-1] - pons.center) / pons.radii
    goal = (target - pons.center) / pons.radii
    share = np.array([0.35, 0.7])[:, None]
    way = start * (1 - share) + goal * share
    ends = np.array([np.linalg.norm(start), np.linalg.norm(goal)])
    level = np.maximum(ends[0] * (1 - share) + ends[1] * share, 1.18)
    way = pons.center + pons.radii * unit(way) * level
    knots = np.concatenate([arm[::7], way, target[None]])
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    spline = CubicSpline(chord, knots)
    return np.asarray(spline(np.arange(0.0, chord[-1], 0.1)), dtype=float)


def ring(nerve: Nerve, rows: NDArray[np.intp], theta: Array) -> Array:
    """Return undented surface points (n_rows, n_theta, 3)."""
    a, b = nerve.major[rows, None], nerve.minor[rows, None]
    radius = 1 / np.sqrt((np.cos(theta) / a) ** 2 + (np.sin(theta) / b) ** 2)
    x, y = radius * np.cos(theta), radius * np.sin(theta)
    return (
        nerve.curve.points[rows, None]
        + x[..., None] * nerve.axis_a[rows, None]
        + y[..., None] * nerve.axis_b[rows, None]
    )


@dataclasses.dataclass(frozen=True)
class Approach:
    """Where two undented bodies come closest."""

    gap: float
    row: int
    theta: float
    sample: int


def closest(nerve: Nerve, tube: Tube, pons: Ellipsoid) -> Approach:
    """Find the smallest signed distance of the undented nerve outside the pons to a tube.

    A coarse search over the whole nerve, then a fine one in angle round the best place.
    """
    rows = np.flatnonzero(nerve.curve.s > -2.0)
    near, _ = tube.sdf(nerve.curve.points[rows])
    reach = nerve.major[rows]
    rows = rows[near - reach <= near.min() + 0.05]
    theta = np.linspace(0, 2 * np.pi, 49)[:-1]
    best, half = _best(nerve, tube, pons, rows, theta), 0.14
    for _ in range(2):
        rows = np.arange(best.row - 8, best.row + 9).clip(0, len(nerve.curve.points) - 1)
        theta = best.theta + np.linspace(-half, half, 21)
        best, half = _best(nerve, tube, pons, np.unique(rows), theta), half / 8
    return best


def _best(
    nerve: Nerve, tube: Tube, pons: Ellipsoid, rows: NDArray[np.intp], theta: Array
) -> Approach:
    points = ring(nerve, rows, theta).reshape(-1, 3)
    value, sample = tube.sdf(points)
    value = np.where(pons.sdf(points)[0] >= -1e-9, value, np.inf)
    at = int(np.argmin(value))
    row, angle = divmod(at, len(theta))
    return Approach(float(value[at]), int(rows[row]), float(theta[angle]), int(sample[at]))


def lay_against(
    nerve: Nerve, pons: Ellipsoid, make: Callable[[float], Tube], gap: float
) -> tuple[Tube, Approach, float]:
    """Slide a vessel along its approach until it is `gap` mm from the undented nerve.

    `make(shift)` builds the vessel moved away by `shift` mm. Returns the vessel, where it
    comes closest, and the shift.
    """
    shift, slope = 0.0, 1.0
    last: tuple[float, float] | None = None
    for _ in range(9):
        tube = make(shift)
        found = closest(nerve, tube, pons)
        error = found.gap - gap
        if abs(error) < 5e-5:
            return tube, found, shift
        if last is not None and abs(shift - last[0]) > 1e-9:
            slope = float(np.clip((error - last[1]) / (shift - last[0]), 0.3, 1.2))
        last = (shift, error)
        shift -= error / slope
        if abs(shift) > 6:
            break
    raise Misfit("the vessel can't be laid at this distance")


def clears(tube: Tube, other: Any, margin: float) -> bool:
    """Return whether a tube keeps `margin` mm off another shape."""
    points, radius = tube.curve.points[::3], tube.radius[::3]
    return bool(np.all(other.sdf(points)[0] - radius >= margin))


def passing(
    p: Params,
    nerve: Nerve,
    row: int,
    out: Array,
    side: Side,
    height: float,
    *,
    tails: tuple[float, float],
    pons: Ellipsoid,
    basilar: Vessel | None = None,
) -> Tube:
    """Build a vessel that passes a section of the nerve at `height` above its centre."""
    tangent = nerve.curve.tangent[row]
    _, medial = across(tangent, lateral_of(side))
    beside = medial - (medial @ tangent) * tangent - (medial @ out) * out
    superior, _ = across(tangent, lateral_of(side))
    other = superior - (superior @ tangent) * tangent - (superior @ out) * out
    # The larger of the two is well defined; its sign makes "backward" the medial arm.
    beside = unit(beside if np.linalg.norm(beside) > 0.5 else other)
    angle = np.deg2rad(p["crossing_angle_deg"])
    along = np.cos(angle) * tangent - np.sin(angle) * beside
    points, origin = loop(
        nerve.curve.points[row] + height * out,
        along,
        out,
        curvature=p["vessel_curvature_per_mm"],
        bend_deg=tuple(p["vessel_bend_deg"]),
        tails=tails,
        target=None if basilar is None else basilar.tube.curve.points[TAKE_OFF],
        pons=pons,
    )
    return tube_along(points, origin, p["vessel_diameter_mm"], tuple(p["vessel_wobble"]))


def check_clear(
    tube: Tube, pons: Ellipsoid, vessels: list[Vessel], to_basilar: bool = False
) -> None:
    if not clears(tube, pons, 0.15):
        raise Misfit("a vessel that would run into the pons")
    for vessel in vessels:
        if to_basilar and vessel.name == "basilar":
            continue
        if not clears(tube, vessel.tube, 0.2):
            raise Misfit("vessels that would run through each other")
