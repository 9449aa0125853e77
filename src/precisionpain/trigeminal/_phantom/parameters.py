"""Names and ranges of the parameters of a cistern, and how a nerve's are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...errors import FormatError, list_some
from ..anatomy import SIDES

__all__ = [
    "APPROACH_NAMES",
    "BURIED",
    "COMPRESSIONS",
    "PER_SIDE",
    "SHARED",
    "Misfit",
    "Params",
    "draw_approach",
    "draw_kind",
    "draw_shared",
    "draw_side",
    "read_overrides",
]

Rng = np.random.Generator
Params = dict[str, Any]


class Misfit(Exception):
    """What was drawn doesn't fit together; draw again."""


COMPRESSIONS = ("none", "contact", "displaced", "indented")
VESSELS = ("sca", "aica", "vein", None)
DIAMETERS = {"sca": (0.8, 2.0), "aica": (0.5, 1.4), "vein": (0.5, 2.5)}
PROPORTION = {"sca": 0.65, "aica": 0.15, "vein": 0.2}
# Position round the nerve from which each comes: degrees from superior towards medial.
APPROACH = {"sca": (30.0, 60.0), "aica": (180.0, 50.0), "vein": (0.0, 180.0)}

BURIED = 0.48
"""Share of its diameter by which a vessel may lie in the nerve."""

CHOICE = object()
PER_SIDE: dict[str, tuple[Any, ...]] = {
    "length_mm": (7.0, 15.0),
    "semi_major_mm": (1.0, 2.2),
    "semi_minor_mm": (0.6, 1.6),
    "taper": (-0.2, 0.2),
    "curvature_per_mm": (0.0, 0.08),
    "curvature_plane_deg": (0.0, 360.0),
    "roll_deg": (0.0, 90.0),
    "angle_deg": (25.0, 70.0),
    "atrophy": (0.0, 0.6),
    "compression": (CHOICE, *COMPRESSIONS),
    "vessel": (CHOICE, *VESSELS),
    "vessel_diameter_mm": (0.5, 2.5),
    "crossing_position_mm": (1.0, 10.0),
    "position_angle_deg": (-180.0, 360.0),
    "crossing_angle_deg": (20.0, 90.0),
    "vessel_curvature_per_mm": (0.0, 0.25),
    "gap_mm": (-1.2, 3.0),
    "displacement_mm": (0.0, 3.0),
    "indentation_mm": (0.0, 1.2),
    "blend_mm": (0.0, 0.3),
    "second_vessel": (CHOICE, True, False),
    "petrosal_vein": (CHOICE, True, False),
    "plaque": (CHOICE, True, False),
}
"""Range, or choices, of what is drawn for each nerve."""

SHARED: dict[str, tuple[Any, ...]] = {
    "pons_radii_mm": (12.0, 16.0),
    "nerve_distance_mm": (26.0, 38.0),
    "basilar_diameter_mm": (2.5, 4.5),
    "tumour": (CHOICE, "left", "right", None),
    "cn78": (CHOICE, True, False),
    "bone": (CHOICE, True, False),
}
"""Range, or choices, of what both nerves have in common."""


def _check(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if allowed[0] is CHOICE:
        if isinstance(value, np.bool_):
            value = bool(value)
        if not any(value is choice or value == choice for choice in allowed[1:]):
            choices = ", ".join(repr(choice) for choice in allowed[1:])
            raise FormatError(f"expected one of {choices}, found {value!r}", where=name)
        return value
    if name == "pons_radii_mm" and np.ndim(value) == 1 and len(value) == 3:
        return [_check(name, radius, allowed) for radius in value]
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not allowed[0] <= value <= allowed[1]:
        raise FormatError(
            f"expected a number from {allowed[0]:g} to {allowed[1]:g}, found {value!r}",
            where=name,
        )
    return float(value)


def read_overrides(anatomy: Mapping[str, Any]) -> tuple[Params, dict[str, Params]]:
    """Sort the overrides into shared ones and those of each side, and check them."""
    unknown = [name for name in anatomy if name not in PER_SIDE and name not in SHARED]
    if unknown:
        raise FormatError(
            f"unknown parameter {list_some(unknown)}",
            remedy=f"known are {', '.join([*PER_SIDE, *SHARED])}",
        )
    shared = {k: _check(k, v, SHARED[k]) for k, v in anatomy.items() if k in SHARED}
    sides: dict[str, Params] = {side: {} for side in SIDES}
    for name, value in anatomy.items():
        if name not in PER_SIDE:
            continue
        by_side = value if isinstance(value, Mapping) else dict.fromkeys(SIDES, value)
        odd = [side for side in by_side if side not in SIDES]
        if odd:
            raise FormatError(f"expected sides 'left' and 'right', found {odd!r}", where=name)
        for side, own in by_side.items():
            sides[side][name] = _check(name, own, PER_SIDE[name])
    for side, fixed in sides.items():
        _check_together(fixed, side)
    return shared, sides


def _check_together(fixed: Params, side: str) -> None:
    def refuse(what: str) -> None:
        raise FormatError(what, where=f"{side} nerve")

    kind = fixed.get("compression")
    if "vessel" in fixed and fixed["vessel"] is None:
        if kind not in (None, "none") or fixed.get("gap_mm") is not None:
            refuse("vessel=None leaves nothing to compress the nerve")
        if fixed.get("displacement_mm") or fixed.get("indentation_mm"):
            refuse("vessel=None can't displace or indent the nerve")
        if fixed.get("second_vessel"):
            refuse("vessel=None has no second vessel either")
    kind = kind or _implied(fixed)
    gap = fixed.get("gap_mm")
    if kind == "none" and gap is not None and gap <= 0.5:
        refuse(f"compression='none' needs a gap above 0.5 mm, found {gap:g}")
    if kind == "contact" and gap is not None and not 0 <= gap <= 0.5:
        refuse(f"compression='contact' needs a gap from 0 to 0.5 mm, found {gap:g}")
    if kind in ("displaced", "indented") and gap is not None and gap > 0.2:
        refuse(f"compression={kind!r} leaves a gap of at most 0.2 mm, found {gap:g}")
    if kind in ("none", "contact") and fixed.get("displacement_mm"):
        refuse(f"compression={kind!r} does not displace the nerve")
    if kind in ("none", "contact", "displaced") and fixed.get("indentation_mm"):
        refuse(f"compression={kind!r} does not indent the nerve")
    if kind == "displaced" and fixed.get("displacement_mm", 1) < 0.3:
        refuse("compression='displaced' needs a displacement of at least 0.3 mm")
    if kind == "indented" and fixed.get("indentation_mm", 1) < 0.2:
        refuse("compression='indented' needs an indentation of at least 0.2 mm")
    vessel, diameter = fixed.get("vessel"), fixed.get("vessel_diameter_mm")
    if vessel is not None and diameter is not None:
        low, high = DIAMETERS[vessel]
        if not low <= diameter <= high:
            refuse(f"vessel={vessel!r} has a diameter of {low:g} to {high:g} mm")
    if diameter is not None:
        deepest = BURIED * diameter + (gap if gap is not None and gap >= 0 else 0.1)
        if max(fixed.get("indentation_mm", 0), -(gap or 0) if kind == "indented" else 0) > deepest:
            refuse(
                f"a vessel of {diameter:g} mm can't indent the nerve by more than {deepest:.2g} mm"
            )
    if fixed.get("semi_minor_mm", 0) > fixed.get("semi_major_mm", math.inf):
        refuse("semi_minor_mm is larger than semi_major_mm")


def _implied(fixed: Params) -> str | None:
    if fixed.get("indentation_mm"):
        return "indented"
    if fixed.get("displacement_mm"):
        return "displaced"
    gap = fixed.get("gap_mm")
    if gap is None:
        return None
    if gap < 0:
        return "indented"
    return "contact" if gap <= 0.5 else "none"


def draw_shared(rng: Rng, fixed: Params) -> Params:
    """Draw what both nerves have in common."""
    radii = rng.uniform(12.5, 16.0, 3)
    given = fixed.get("pons_radii_mm", radii)
    drawn: Params = {
        "pons_radii_mm": [float(r) for r in np.broadcast_to(given, 3)],
        "nerve_distance_mm": float(np.clip(rng.normal(32.0, 1.8), 27.0, 37.0)),
        "basilar_diameter_mm": float(rng.uniform(2.5, 4.5)),
        "basilar_offset_mm": float(rng.uniform(-1.5, 1.5)),
        "tumour": str(rng.choice(["left", "right"])) if rng.random() < 0.05 else None,
        "cn78": True,
        "bone": True,
    }
    return drawn | {k: v for k, v in fixed.items() if k != "pons_radii_mm"}


def draw_kind(rng: Rng, fixed: Params) -> Params:
    """Draw what becomes of the nerve, and whether there is a vessel near it at all."""
    absent = "vessel" in fixed and fixed["vessel"] is None
    kind = fixed.get("compression") or _implied(fixed)
    if kind is None:
        kind = "none" if absent else str(rng.choice(COMPRESSIONS, p=[0.3, 0.2, 0.25, 0.25]))
    free = kind == "none" and "vessel" not in fixed and "gap_mm" not in fixed
    free = free and not fixed.get("second_vessel")
    absent = absent or (free and bool(rng.random() < 0.4))
    return {"compression": kind, "vessel": None} if absent else {"compression": kind}


def draw_side(rng: Rng, fixed: Params) -> Params:
    """Draw one nerve and its vessel; `fixed` values are kept as they are."""
    p: Params = {}

    def pick(name: str, draw: Callable[[], Any]) -> Any:
        p[name] = fixed[name] if name in fixed else draw()
        return p[name]

    def between(name: str, low: float, high: float) -> float:
        return float(pick(name, lambda: float(rng.uniform(low, high))))

    between("length_mm", 7.0, 15.0)
    # A deep dent needs a thick nerve: it takes at most 60% of the semi-axis.
    needed = max(fixed.get("indentation_mm", 0.0), -fixed.get("gap_mm", 0.0)) / 0.6
    a_low = max(1.0, fixed.get("semi_minor_mm", 0.0), min(needed, 2.1))
    a = between("semi_major_mm", a_low, 2.2)
    between("semi_minor_mm", min(max(0.6, 0.95 * needed), 1.5, a), min(1.6, a))
    between("taper", -0.2, 0.2)
    between("curvature_per_mm", 0.0, 0.08)
    between("curvature_plane_deg", 0.0, 360.0)
    between("roll_deg", 10.0, 80.0)
    between("angle_deg", 25.0, 70.0)
    pick(
        "atrophy",
        lambda: float(rng.uniform(0.05, 0.6)) if rng.random() < 0.3 and needed < 0.9 else 0.0,
    )
    p["entry_elevation_deg"] = float(rng.uniform(-8.0, 18.0))
    p["entry_heading_deg"] = float(rng.uniform(-20.0, 25.0))
    p |= draw_kind(rng, fixed)
    _draw_vessel(p, fixed, rng, between, pick)
    pick("second_vessel", lambda: p["vessel"] is not None and bool(rng.random() < 0.1))
    pick("petrosal_vein", lambda: bool(rng.random() < 0.6))
    pick("plaque", lambda: bool(rng.random() < 0.05))
    return p


def _draw_vessel(p: Params, fixed: Params, rng: Rng, between: Any, pick: Any) -> None:
    if p.get("vessel", "any") is None:
        for name in PER_SIDE:
            if name.startswith(("vessel_", "crossing_", "position_")):
                p[name] = None
        p |= {"gap_mm": None, "displacement_mm": 0.0, "indentation_mm": 0.0, "blend_mm": 0.0}
        return
    _draw_deformation(p, fixed, rng)
    between("blend_mm", 0.1, 0.2)
    # A vessel lies in its groove by less than half.
    least = (p["indentation_mm"] - p["gap_mm"]) / BURIED
    wanted = fixed.get("vessel_diameter_mm")
    names = [
        name
        for name, (low, high) in DIAMETERS.items()
        if high >= least and (not wanted or low <= wanted <= high)
    ]
    weights = np.array([PROPORTION[name] for name in names])
    pick("vessel", lambda: str(rng.choice(names, p=weights / weights.sum())))
    low, high = DIAMETERS[p["vessel"]]
    between("vessel_diameter_mm", min(max(low, least), high), high)
    draw_approach(p, fixed, rng)


def _draw_deformation(p: Params, fixed: Params, rng: Rng) -> None:
    """Draw what the vessel does to the nerve, and the gap that remains."""
    kind = p["compression"]
    given = fixed.get("gap_mm")
    pressed = -given if given is not None and given < 0 else None
    p["displacement_mm"] = p["indentation_mm"] = 0.0
    if kind == "displaced":
        p["displacement_mm"] = fixed.get("displacement_mm", pressed)
        if p["displacement_mm"] is None:
            p["displacement_mm"] = float(rng.uniform(0.3, 3.0))
            p["displacement_may_shrink"] = True
    if kind == "indented":
        p["indentation_mm"] = fixed.get("indentation_mm", pressed)
        if p["indentation_mm"] is None:
            p["indentation_mm"] = float(0.2 + rng.beta(1.2, 2.0))
        pushed = float(rng.uniform(0.3, 1.5)) if rng.random() < 0.3 else 0.0
        p["displacement_mm"] = fixed.get("displacement_mm", pushed)
        p["displacement_may_shrink"] = "displacement_mm" not in fixed
    ranges = {"none": (0.65, 3.0), "contact": (0.0, 0.4), "displaced": (0.0, 0.2)}
    drawn = float(rng.uniform(*ranges.get(kind, (0.0, 0.1))))
    if kind == "indented" and rng.random() < 0.5:
        drawn = 0.0
    p["gap_mm"] = given if given is not None and given >= 0 else drawn
    p["bump_width"] = [float(w) for w in rng.uniform(0.75, 1.0, 2)]


APPROACH_NAMES = (
    "vessel",
    "vessel_diameter_mm",
    "gap_mm",
    "crossing_position_mm",
    "position_angle_deg",
    "crossing_angle_deg",
    "vessel_curvature_per_mm",
    "vessel_bend_deg",
    "vessel_wobble",
)


def draw_approach(p: Params, fixed: Params, rng: Rng, role: str = "offender") -> Params:
    """Draw where and how a vessel passes the nerve, in place; a bystander's calibre as well."""

    def between(name: str, low: float, high: float) -> None:
        p[name] = fixed[name] if name in fixed else float(rng.uniform(low, high))

    if role == "second":
        p["vessel"] = str(rng.choice(["aica", "vein"]))
        between("vessel_diameter_mm", 0.5, 1.4)
        # The vessel that was asked for stays the nearest.
        low = 0.7 if p["compression"] == "none" else 0.0
        between("gap_mm", max(low, (p["gap_mm"] or 0.0) + 0.2), 3.5)
    if role == "petrosal":
        p["vessel"] = "vein"
        between("vessel_diameter_mm", 0.8, 2.2)
        nearest = 3.2 if p["gap_mm"] is None else p["gap_mm"] + 0.2
        between("gap_mm", max(2.0, nearest), 4.8)
    pushed = bool(p.get("displacement_mm"))
    low, end = (2.5, 2.5) if pushed else (1.0, 1.2)
    between("crossing_position_mm", low, min(10.0, p["length_mm"] - end))
    center, spread = APPROACH[p["vessel"]]
    if role == "petrosal":
        center, spread = -40.0, 35.0
    if "position_angle_deg" in fixed:
        p["position_angle_deg"] = fixed["position_angle_deg"]
    else:
        p["position_angle_deg"] = float((rng.normal(center, spread) + 180) % 360 - 180)
    between("crossing_angle_deg", 20.0, 90.0)
    between("vessel_curvature_per_mm", 0.03, 0.25)
    p["vessel_bend_deg"] = [float(w) for w in rng.uniform(20.0, 80.0, 2)]
    p["vessel_wobble"] = [float(rng.uniform(0, 0.05)), float(rng.uniform(15.0, 30.0))]
    return p
