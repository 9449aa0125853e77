"""From drawn parameters to a scene: pons, nerves, vessels and what lies around them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...errors import GeometryError
from ..anatomy import SIDES, Side
from .groove import groove_of
from .nerves import Root, across, build_nerve, lateral_of, lay_root, push, thickness
from .parameters import (
    APPROACH_NAMES,
    BURIED,
    Misfit,
    Params,
    draw_approach,
    draw_kind,
    draw_shared,
    draw_side,
)
from .shapes import Array, Curve, Ellipsoid, Nerve, Tube, unit
from .surroundings import basilar_artery, surround
from .tissue import Tissue
from .vessels import TAIL, Approach, Vessel, check_clear, clears, lay_against, passing

__all__ = ["Scene", "SideParts", "lay_offender", "sample_scene"]


@dataclasses.dataclass(frozen=True, eq=False)
class SideParts:
    """One nerve: the body, its undeformed course, and where and whence a vessel passes it.

    `row` is the sample of the nerve's curve that the vessel passes, `out` the direction from
    there to the vessel.
    """

    nerve: Nerve
    course: Curve
    root: Root
    lateral: Array
    row: int | None = None
    out: Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is in the cistern, in RAS+ mm."""

    pons: Ellipsoid
    sides: dict[Side, SideParts]
    vessels: list[Vessel]
    others: list[tuple[Tissue, Any]]
    params: dict[str, Any]


def sample_scene(
    rng: np.random.Generator, shared_fixed: Params, side_fixed: dict[str, Params]
) -> Scene:
    """Draw until everything fits; each retry loosens what is free, never what was fixed."""
    reason = ""
    for _ in range(4):
        shared = draw_shared(rng, shared_fixed)
        pons = Ellipsoid(np.zeros(3), np.array(shared["pons_radii_mm"]))
        vessels = [basilar_artery(shared, pons)]
        others: list[tuple[Tissue, Any]] = []
        sides: dict[Side, SideParts] = {}
        params: dict[str, Any] = {"shared": shared}
        try:
            for side in SIDES:
                params[side] = _draw_one(rng, side, side_fixed[side], shared, pons, sides, vessels)
                own = sides[side]
                others += surround(
                    rng, side, params[side], shared, pons, own.nerve, own.root.normal
                )
        except Misfit as misfit:
            reason = str(misfit)
            continue
        return Scene(pons, sides, vessels, others, params)
    raise GeometryError(
        f"no anatomy was found that fits these parameters ({reason})",
        remedy="fix fewer of them, or another random_state",
    )


def _draw_one(
    rng: np.random.Generator,
    side: Side,
    fixed: Params,
    shared: Params,
    pons: Ellipsoid,
    sides: dict[Side, SideParts],
    vessels: list[Vessel],
) -> Params:
    """Draw one side and add it to `sides` and `vessels`; return its parameters."""
    reason = "the nerve's course"
    # Drawn once: what fits less often must not become rarer for it.
    kept = draw_kind(rng, fixed)
    for _ in range(80):
        p = draw_side(rng, fixed | kept)
        try:
            root = lay_root(p, shared, pons, lateral_of(side))
            undeformed = build_nerve(p, root, root.points, lateral_of(side))
            for attempt in range(12 if p["vessel"] else 1):
                try:
                    parts, offender = _deform(p, root, undeformed, pons, side, attempt, vessels)
                    own = [offender] if offender else []
                    _keep_apart(parts, own, sides, vessels)
                    break
                except Misfit as misfit:
                    reason = str(misfit)
                    draw_approach(p, fixed, rng)
            else:
                continue
        except Misfit as misfit:
            reason = str(misfit)
            continue
        own += _bystanders(rng, p, fixed, parts, pons, side, [*vessels, *own])
        sides[side] = parts
        vessels += own
        p.pop("displacement_may_shrink", None)
        return p
    raise Misfit(reason)


def _keep_apart(
    parts: SideParts,
    own: list[Vessel],
    sides: dict[Side, SideParts],
    vessels: list[Vessel],
) -> None:
    """Refuse vessels of one side that come near the nerve of the other."""
    pairs = [(parts.nerve, vessel) for vessel in vessels]
    pairs += [(other.nerve, vessel) for other in sides.values() for vessel in own]
    for nerve, vessel in pairs:
        axial, _ = vessel.tube.sdf(nerve.curve.points)
        if axial.min() - nerve.major.max() < 3.0:
            raise Misfit("a vessel of one side that comes near the other nerve")


def _deform(
    p: Params,
    root: Root,
    undeformed: Nerve,
    pons: Ellipsoid,
    side: Side,
    attempt: int,
    vessels: list[Vessel],
) -> tuple[SideParts, Vessel | None]:
    """Build the nerve with what the vessel does to it, and the vessel itself."""
    lateral = lateral_of(side)
    course = undeformed.curve
    if p["vessel"] is None:
        return SideParts(undeformed, course, root, lateral), None
    at = p["crossing_position_mm"]
    if at > p["length_mm"] - 1.0:
        raise Misfit("the vessel passes beyond the end of the nerve")
    superior, medial = across(course.tangent[round((at - course.start) / course.step)], lateral)
    phi = np.deg2rad(p["position_angle_deg"])
    out = np.cos(phi) * superior + np.sin(phi) * medial
    nerve, here = undeformed, root.points[root.sample(at)]
    if p["displacement_mm"]:
        points = root.points - push(p, root, at)[:, None] * out
        nerve, here = build_nerve(p, root, points, lateral), points[root.sample(at)]
    row = int(np.argmin(np.linalg.norm(nerve.curve.points - here, axis=1)))
    tangent = nerve.curve.tangent[row]
    out = unit(out - (out @ tangent) * tangent)
    if p["indentation_mm"] > 0.6 * thickness(nerve, row, out):
        raise Misfit("an indentation deeper than 60% of the local semi-axis")
    if p["indentation_mm"] - p["gap_mm"] > BURIED * p["vessel_diameter_mm"]:
        raise Misfit("a vessel that would be buried in the nerve")
    parts = SideParts(nerve, course, root, lateral, row, out)
    tube, found = lay_offender(p, parts, pons, side, attempt, vessels, p["gap_mm"])
    if p["indentation_mm"]:
        nerve = dataclasses.replace(nerve, groove=groove_of(p, nerve, tube, found))
        parts = dataclasses.replace(parts, nerve=nerve)
    tissue = Tissue.VEIN if p["vessel"] == "vein" else Tissue.ARTERY
    return parts, Vessel(tube, tissue, p["vessel"], "offender", side)


def lay_offender(
    p: Params,
    parts: SideParts,
    pons: Ellipsoid,
    side: Side,
    attempt: int,
    vessels: list[Vessel],
    gap: float,
) -> tuple[Tube, Approach]:
    """Lay the vessel at its gap, or in its dent; return it, and where it comes closest.

    Later attempts are shorter, and don't insist on coming from the basilar artery.
    """
    assert parts.row is not None
    assert parts.out is not None
    nerve, row, out = parts.nerve, parts.row, parts.out
    target = gap - p["indentation_mm"]
    height = thickness(nerve, row, out) + target + p["vessel_diameter_mm"] / 2
    to_basilar = p["vessel"] == "sca" and attempt < 5
    tail = TAIL if attempt < 8 else 12.0

    def make(shift: float) -> Tube:
        return passing(
            p,
            nerve,
            row,
            out,
            side,
            height + shift,
            tails=(tail, tail),
            pons=pons,
            basilar=vessels[0] if to_basilar else None,
        )

    if not clears(make(0.0), pons, -1.0):
        raise Misfit("a vessel that would run into the pons")
    tube, found, _ = lay_against(nerve, pons, make, target)
    if gap < 0.6 and abs(nerve.curve.s[found.row] - nerve.curve.s[row]) > 1.5:
        raise Misfit("a vessel that touches the nerve elsewhere")
    check_clear(tube, pons, vessels, to_basilar)
    return tube, found


def _bystanders(
    rng: np.random.Generator,
    p: Params,
    fixed: Params,
    parts: SideParts,
    pons: Ellipsoid,
    side: Side,
    vessels: list[Vessel],
) -> list[Vessel]:
    """Add a second vessel and the petrosal vein, where there is room for them."""
    added: list[Vessel] = []
    for role in ("second", "petrosal"):
        flag = "second_vessel" if role == "second" else "petrosal_vein"
        if not p[flag]:
            continue
        for _ in range(15):
            q = draw_approach(dict(p), {}, rng, role=role)
            q = {name: q[name] for name in APPROACH_NAMES}
            try:
                vessel = _bystander(q, role, parts, pons, side, [*vessels, *added])
            except Misfit:
                continue
            added.append(vessel)
            p[f"{flag}_drawn"] = q
            break
        else:
            p[flag] = False
            if fixed.get(flag):
                raise Misfit(f"no room for the {role} vessel")
    return added


def _bystander(
    q: Params, role: str, parts: SideParts, pons: Ellipsoid, side: Side, vessels: list[Vessel]
) -> Vessel:
    nerve = parts.nerve
    lateral = lateral_of(side)
    row = round((q["crossing_position_mm"] - nerve.curve.start) / nerve.curve.step)
    superior, medial = across(nerve.curve.tangent[row], lateral)
    phi = np.deg2rad(q["position_angle_deg"])
    out = np.cos(phi) * superior + np.sin(phi) * medial
    height = thickness(nerve, row, out) + q["gap_mm"] + q["vessel_diameter_mm"] / 2

    def make(shift: float) -> Tube:
        return passing(q, nerve, row, out, side, height + shift, tails=(14.0, 20.0), pons=pons)

    if not clears(make(0.0), pons, -0.5):
        raise Misfit("a vessel that would run into the pons")
    tube, _, _ = lay_against(nerve, pons, make, q["gap_mm"])
    check_clear(tube, pons, vessels)
    tissue = Tissue.VEIN if q["vessel"] == "vein" else Tissue.ARTERY
    return Vessel(tube, tissue, q["vessel"], role, side)
