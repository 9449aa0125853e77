"""What surrounds nerves and vessels: basilar artery, cave, bone, CN VII and VIII, lesions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..anatomy import Side
from .nerves import FORWARD, UP, across, lateral_of
from .parameters import Params
from .shapes import Array, Ellipsoid, HalfSpace, Nerve, unit
from .tissue import Tissue
from .vessels import Vessel, tube_along

__all__ = ["basilar_artery", "surround"]


def basilar_artery(shared: Params, pons: Ellipsoid) -> Vessel:
    """Lay the basilar artery on the front of the pons, near the midline."""
    radius = shared["basilar_diameter_mm"] / 2
    reach = pons.radii[1:] + radius + 0.8
    t = np.linspace(-1.25, 0.95, 200)
    points = np.stack(
        [
            shared["basilar_offset_mm"] * np.cos(1.3 * t),
            reach[0] * np.cos(t * 0.8),
            reach[1] * np.sin(t),
        ],
        axis=1,
    )
    points += pons.center
    tube = tube_along(points, 100, 2 * radius, (0.03, 25.0))
    return Vessel(tube, Tissue.ARTERY, "basilar", "distractor")


def surround(
    rng: np.random.Generator,
    side: Side,
    p: Params,
    shared: Params,
    pons: Ellipsoid,
    nerve: Nerve,
    normal: Array,
) -> list[tuple[Tissue, Any]]:
    """Return what surrounds the nerve: cave, bone, CN VII and VIII, tumour, plaque."""
    lateral = lateral_of(side)
    end, ahead = nerve.curve.points[-1], nerve.curve.tangent[-1]
    superior, medial = across(ahead, lateral)
    wide = float(nerve.major[-1])
    found: list[tuple[Tissue, Any]] = [
        (
            Tissue.CAVE,
            Ellipsoid(
                end + 2.5 * ahead,
                np.array([4.5, wide + rng.uniform(0.6, 1.4), wide + rng.uniform(0.3, 0.9)]),
                np.stack([ahead, medial, superior]),
            ),
        )
    ]
    if shared["bone"]:
        found.append((Tissue.BONE, HalfSpace(end, unit(ahead + 0.6 * lateral))))
    if shared["cn78"]:
        low = pons.radii[2] * rng.uniform(0.7, 0.85)
        start = pons.radii[0] * 0.55 * lateral - low * UP + 1.0 * FORWARD
        for ahead_mm, diameter in ((1.2, rng.uniform(0.9, 1.4)), (-1.0, rng.uniform(1.4, 2.2))):
            stop = start + 17 * lateral + (ahead_mm + 1.5) * FORWARD + rng.uniform(0, 4) * UP
            t = np.linspace(0, 1, 60)[:, None]
            sag = 0.8 * np.sin(np.pi * t) * UP
            points = (start + ahead_mm * FORWARD) * (1 - t) + stop * t - sag
            found.append((Tissue.CN78, tube_along(points, 0, diameter, (0.0, 20.0))))
    if shared["tumour"] == side:
        size = rng.uniform(2.5, 5.0, 3)
        middle = nerve.curve.points[len(nerve.curve.points) // 2]
        off = unit(-UP + rng.uniform(-0.6, 0.3) * medial)
        center = middle + off * (size.max() + nerve.major.max() + rng.uniform(1.0, 3.0))
        found.append((Tissue.TUMOUR, Ellipsoid(center, size)))
        shared["tumour_mm"] = [float(v) for v in (*center, *size)]
    if p["plaque"]:
        size = rng.uniform(1.0, 2.5, 3)
        center = nerve.curve.points[round(0 - nerve.curve.start / nerve.curve.step)]
        center = center - normal * (size.max() + rng.uniform(0.2, 1.5))
        found.append((Tissue.PLAQUE, Ellipsoid(center, size)))
        p["plaque_mm"] = [float(v) for v in (*center, *size)]
    return found
