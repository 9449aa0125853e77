"""The partner after microvascular decompression: vessel moved, pad placed, nerve released."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from ...errors import GeometryError
from ..anatomy import SIDES, Side
from .anatomy import Scene, SideParts, lay_offender
from .nerves import build_nerve, thickness
from .parameters import Misfit, Params
from .shapes import Ellipsoid, Tube, unit
from .tissue import Tissue
from .vessels import Vessel, clears, closest

__all__ = ["decompress"]

NEAREST = 1.5
"""How far (mm) vessels lie from the nerve after surgery, at least."""


def decompress(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene after surgery on every nerve that a vessel compresses."""
    params = copy.deepcopy(scene.params)
    compressed: list[Side] = [
        side
        for side in SIDES
        if params[side]["compression"] != "none" and "decompression" not in params[side]
    ]
    if not compressed:
        raise GeometryError(
            "there is no compressed nerve to operate on",
            remedy="simulate one with compression='contact', 'displaced' or 'indented'",
        )
    sides = dict(scene.sides)
    vessels = list(scene.vessels)
    others = list(scene.others)
    for side in compressed:
        offender = next(v for v in vessels if v.side == side and v.role == "offender")
        rest = [v for v in vessels if v is not offender]
        parts = _release(params[side], scene.sides[side], rng)
        # Other vessels of this side that lie close are taken out of the way.
        kept = [
            v
            for v in rest
            if v.side != side or closest(parts.nerve, v.tube, scene.pons).gap >= NEAREST
        ]
        moved, pad = _move(params[side], side, parts, offender, scene.pons, kept, rng)
        kept = [v for v in kept if v.side != side or clears(moved.tube, v.tube, 0.2)]
        params[side]["decompression"]["others_removed"] = len(rest) - len(kept)
        sides[side] = parts
        vessels = [*kept, moved]
        others.append((Tissue.TEFLON, pad))
    return Scene(scene.pons, sides, vessels, others, params)


def _release(p: Params, parts: SideParts, rng: np.random.Generator) -> SideParts:
    """Put the nerve back on its course, with what is left of its dent."""
    assert parts.row is not None
    assert parts.out is not None
    recovered = float(rng.uniform(0.3, 0.9))
    left = (1 - recovered) * p["indentation_mm"]
    p["decompression"] = {"recovered": recovered, "indentation_left_mm": left}
    nerve = build_nerve(p, parts.root, parts.root.points, parts.lateral)
    here = parts.root.points[parts.root.sample(p["crossing_position_mm"])]
    row = int(np.argmin(np.linalg.norm(nerve.curve.points - here, axis=1)))
    tangent = nerve.curve.tangent[row]
    out = unit(parts.out - (parts.out @ tangent) * tangent)
    groove = parts.nerve.groove
    if groove is not None:
        back = nerve.curve.points[row] - parts.nerve.curve.points[parts.row]
        moved = groove.curve.moved(back + (p["indentation_mm"] - left) * out)
        nerve = dataclasses.replace(nerve, groove=Tube(moved, groove.radius))
    return dataclasses.replace(parts, nerve=nerve, row=row, out=out)


def _move(
    p: Params,
    side: Side,
    parts: SideParts,
    offender: Vessel,
    pons: Ellipsoid,
    vessels: list[Vessel],
    rng: np.random.Generator,
) -> tuple[Vessel, Ellipsoid]:
    """Lay the vessel 1.5 to 4 mm off, and a pad of Teflon between it and the nerve."""
    assert parts.row is not None
    assert parts.out is not None
    away = dict(p, indentation_mm=0.0)
    tilted = parts
    for attempt in range(36):
        gap = float(rng.uniform(NEAREST, 4.0 if attempt < 12 else 2.5))
        if attempt >= 12:
            # A vein in the way is sacrificed.
            vessels = [v for v in vessels if v.side != side]
        if attempt >= 20:
            # The vessel is taken round the nerve, away from the pons.
            here = parts.nerve.curve.points[parts.row]
            tangent = parts.nerve.curve.tangent[parts.row]
            up = parts.out + rng.uniform(0.2, 2.0) * pons.normal(here)
            tilted = dataclasses.replace(parts, out=unit(up - (up @ tangent) * tangent))
        try:
            tube, found = lay_offender(away, tilted, pons, side, attempt % 12, vessels, gap)
        except Misfit:
            continue
        break
    else:
        raise GeometryError("there is no room to move the vessel off the nerve")
    assert tilted.out is not None
    nerve, row, out = parts.nerve, found.row, tilted.out
    out = unit(out - (out @ nerve.curve.tangent[row]) * nerve.curve.tangent[row])
    across = np.cross(nerve.curve.tangent[row], out)
    thick = thickness(nerve, row, out)
    size = np.array([0.45 * gap, *rng.uniform(1.2, 2.5, 2)])
    center = nerve.curve.points[row] + (thick + gap / 2) * out
    pad = Ellipsoid(center, size, np.stack([out, nerve.curve.tangent[row], across]))
    p["decompression"] |= {"moved_mm": gap, "teflon_mm": [float(v) for v in (*center, *size)]}
    return dataclasses.replace(offender, tube=tube), pad
