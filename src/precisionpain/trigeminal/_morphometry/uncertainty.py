"""Intervals of the measures.

The spread of each measure has two parts. One comes from the fits: coefficients of all surfaces
are drawn from their distribution (Laplace's approximation) and measured again; slopes and
bulges of the course add theirs. The other is a floor, for what the fits don't know: how a
grid happens to cut an edge, and where the model is not the truth. A mask's edges are not
random, so neither part alone is a standard error. Both are scaled, for each measure and kind
of input, so that the interval held for 95% of phantoms (`calibration`); coverage is reported
on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .calibration import CALIBRATION
from .geometry import Draw
from .trace import Traced

__all__ = ["OF_CONTACT", "intervals", "spread", "unit_of"]

_DRAWS = 12
_SEED = 20260101  # intervals of the same labels are the same
# Measures that scale with area or volume: their floor is a share of the value.
_RELATIVE = (
    "volume_mm3", "mean_area_mm2", "min_area_mm2", "contact_area_mm2", "contact_area_0_mm2",
    "contact_area_1_mm2",
)  # fmt: skip
_PLAIN = ("flattening", "angle_deg", "crossing_angle_deg", "area_loss_percent")
_LIMITS = {
    "angle_deg": (-90.0, 90.0), "crossing_angle_deg": (0.0, 90.0), "flattening": (0.0, 1.0),
    "area_loss_percent": (0.0, 100.0), "gap_mm": (-np.inf, np.inf),
}  # fmt: skip
# A vessel this far off leaves no contact, dent or displacement to be uncertain of.
_CLEAR_MM = 1.0
OF_CONTACT = (
    "contact_area_mm2", "contact_area_0_mm2", "contact_length_mm", "displacement_mm",
    "indentation_mm", "area_loss_percent",
)  # fmt: skip


def spread(one: Traced, names: tuple[str, ...]) -> dict[str, float]:
    """Return the spread of each measure that the fits tell of, in its own unit.

    Parameters
    ----------
    one : Traced
        A nerve.
    names : tuple of str
        Measures.
    """
    rng = np.random.default_rng(_SEED)
    fit = one.fit
    walls, tubes = fit.wall.draws(rng, _DRAWS), fit.tube.draws(rng, _DRAWS)
    pons = None if fit.pons is None else fit.pons.draws(rng, _DRAWS)
    vessels = [vessel.tube.draws(rng, _DRAWS) for vessel in one.vessels]
    found = []
    for i in range(_DRAWS):
        draw = Draw(walls[i], tubes[i], None if pons is None else pons[i],
                    tuple(v[i] for v in vessels))  # fmt: skip
        found.append(one.geometry.measure(draw))
    out = {}
    for name in names:
        values = np.array([row[name] for row in found], dtype=float)
        values = values[np.isfinite(values)]
        out[name] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    course, curve = fit.course, fit.wall.curve
    slope = course.slope_sd(float(course.along(curve.at(0.0)[None])[0]))
    out["angle_deg"] = float(np.hypot(out["angle_deg"], np.degrees(slope)))
    out["displacement_mm"] = course.displacement_sd
    return out


def intervals(
    one: Traced, row: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """Return the 95% interval of each measure.

    Parameters
    ----------
    one : Traced
        A nerve.
    row : mapping
        Its measures.
    names : tuple of str
        Which.
    """
    table = CALIBRATION[one.kind]
    own = spread(one, tuple({*names, "gap_mm"}))

    def half_width(name: str) -> float:
        floor, factor = table[name]
        unit = unit_of(name, row[name], one.voxel_mm)
        # Intervals were calibrated on cubes; a long edge errs by more than the cube of its volume.
        return float(one.coarseness * factor * np.hypot(own[name], floor * unit))

    # Not just far off as measured: in labels of a network a vessel may have been missed.
    clear = not row["gap_mm"] - half_width("gap_mm") <= _CLEAR_MM
    out = {}
    for name in names:
        value = row[name]
        if value is None or not np.isfinite(value) or name not in table:
            continue
        if clear and name in OF_CONTACT:
            out[name] = (float(value), float(value))
            continue
        low, high = _LIMITS.get(name, (0.0, np.inf))
        half = half_width(name)
        out[name] = (max(value - half, low), min(value + half, high))
    return out


def unit_of(name: str, value: float, voxel_mm: float) -> float:
    """Return what a measure's floor is a multiple of: its value, the voxel's size, or 1."""
    if name in _RELATIVE:
        return max(abs(value), voxel_mm**2)
    return 1.0 if name in _PLAIN else voxel_mm
