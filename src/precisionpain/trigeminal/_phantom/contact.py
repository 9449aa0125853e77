"""Where vessels touch a nerve: gap, patches, position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as connected

from .shapes import Array, Ellipsoid
from .surface import Surface, patch_area
from .tissue import Tissue
from .vessels import Vessel, closest

__all__ = ["contact_of"]

NEAR = 6.0
"""A vessel farther from the nerve than this (mm) doesn't count."""
SPECK = 0.01
"""A patch of contact smaller than this (mm²) doesn't count as one of its own."""


def contact_of(
    surface: Surface, pons: Ellipsoid, vessels: list[Vessel], extras: dict[str, Any]
) -> dict[str, Any]:
    """Gap and patches of contact with every vessel within reach."""
    nerve = surface.nerve
    points = surface.points(surface.radius)
    outside = pons.sdf(points)[0]
    distance = np.full(outside.shape, np.inf)
    found: list[tuple[float, float, Vessel]] = []
    for vessel in vessels:
        axial, _ = vessel.tube.sdf(nerve.curve.points)
        low, high = axial - surface.undented.max(axis=1), axial.min()
        rows = np.flatnonzero(low <= min(max(1.05, high), NEAR))
        if not len(rows):
            continue
        own = vessel.tube.sdf(points[rows].reshape(-1, 3))[0].reshape(len(rows), -1)
        visible = outside[rows] >= 0
        gap = _fine_minimum(surface, vessel, pons, np.where(visible, own, np.inf), rows)
        if gap > NEAR:
            continue
        whole = np.full(outside.shape, np.inf)
        whole[rows] = own
        patch = patch_area(points, np.maximum(whole - 0.5, -outside)).sum()
        found.append((float(patch), gap, vessel))
        distance = np.minimum(distance, whole)
    extras |= {"contact_area_0_mm2": 0.0, "contact_area_1_mm2": 0.0}
    extras |= {"contact_proximal_mm": np.nan, "contact_arc_fraction": 0.0}
    truth: dict[str, Any] = {
        "gap_mm": min((gap for _, gap, _ in found), default=np.nan),
        "contact_area_mm2": 0.0,
        "contact_length_mm": 0.0,
        "contact_position_mm": np.nan,
        "n_contacts": 0,
        "vessel": None,
        "vessel_diameter_mm": np.nan,
        "crossing_angle_deg": np.nan,
    }
    if not found:
        return truth
    _, _, main = max(found, key=lambda item: (item[0], -item[1]))
    place = closest(nerve, main.tube, pons)
    cosine = abs(nerve.curve.tangent[place.row] @ main.tube.curve.tangent[place.sample])
    truth["vessel"] = "vein" if main.tissue == Tissue.VEIN else "artery"
    truth["vessel_diameter_mm"] = float(2 * main.tube.radius[place.sample])
    truth["crossing_angle_deg"] = float(np.rad2deg(np.arccos(min(1.0, cosine))))
    extras["contact_area_0_mm2"] = _area_within(points, distance, outside, 1e-3)
    extras["contact_area_1_mm2"] = _area_within(points, distance, outside, 1.0)
    truth |= _patch(surface, points, np.maximum(distance - 0.5, -outside), extras)
    return truth


def _area_within(points: Array, distance: Array, outside: Array, reach: float) -> float:
    return float(patch_area(points, np.maximum(distance - reach, -outside)).sum())


def _fine_minimum(
    surface: Surface, vessel: Vessel, pons: Ellipsoid, own: Array, rows: NDArray[np.intp]
) -> float:
    """Refine the smallest distance on the mesh by a parabola in both directions."""
    at = np.unravel_index(int(np.argmin(own)), own.shape)
    value = float(own[at])
    if not np.isfinite(value):
        return np.inf
    if surface.radius[rows[at[0]], at[1]] < surface.undented[rows[at[0]], at[1]] - 1e-6:
        # The floor of a groove follows its vessel: there is no bottom between the samples.
        return value
    for axis in (0, 1):
        n = own.shape[axis]
        before, after = list(at), list(at)
        before[axis], after[axis] = at[axis] - 1, at[axis] + 1
        if axis == 1:
            before[axis], after[axis] = before[axis] % n, after[axis] % n
        elif not 0 < at[0] < n - 1:
            continue
        f0, f1, f2 = own[tuple(before)], own[at], own[tuple(after)]
        curve = f0 - 2 * f1 + f2
        if np.isfinite(curve) and curve > 1e-12:
            value -= float((f0 - f2) ** 2 / (8 * curve))
    return value


def _patch(surface: Surface, points: Array, field: Array, extras: dict[str, Any]) -> dict[str, Any]:
    """Area, extent along the nerve, position and number of the patches of contact."""
    nerve = surface.nerve
    cells = patch_area(points, field)
    total = float(cells.sum())
    if total <= 0:
        return {}
    s = nerve.curve.s
    middle = (s[1:] + s[:-1]) / 2
    # Each section's least value is linear between sections to first order.
    least = field.min(axis=1)
    f1, f2 = least[:-1], least[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        cut = np.where(f1 < 0, f1 / (f1 - f2), f2 / (f2 - f1))
    share = np.where((f1 < 0) & (f2 < 0), 1.0, np.where((f1 < 0) | (f2 < 0), cut, 0.0))
    touched = np.flatnonzero(share)
    first = touched[0]
    edge = (1 - share[first]) if f1[first] >= 0 else 0.0
    arc = np.linalg.norm(np.roll(points, -1, axis=1) - points, axis=-1)
    g1, g2 = field, np.roll(field, -1, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        piece = np.where(g1 < 0, g1 / (g1 - g2), g2 / (g2 - g1))
    covered = np.where((g1 < 0) & (g2 < 0), 1.0, np.where((g1 < 0) | (g2 < 0), piece, 0.0))
    extras["contact_proximal_mm"] = float(s[first] + edge * nerve.curve.step)
    extras["contact_arc_fraction"] = float(((covered * arc).sum(axis=1) / arc.sum(axis=1)).max())
    return {
        "contact_area_mm2": total,
        "contact_length_mm": float(share.sum() * nerve.curve.step),
        "contact_position_mm": float(cells.sum(axis=1) @ middle / total),
        "n_contacts": _components(cells),
    }


def _components(cells: Array) -> int:
    """Count connected patches on the tube, which closes on itself in angle."""
    names, count = connected(cells > 0, structure=np.ones((3, 3)))
    parent = np.arange(count + 1)

    def find(i: int) -> int:
        while parent[i] != i:
            i = int(parent[i])
        return i

    left, right = names[:, 0], names[:, -1]
    for shift in (-1, 0, 1):
        other = np.roll(right, shift)
        for a, b in zip(left, other, strict=True):
            if a and b:
                parent[find(int(a))] = find(int(b))
    area = np.bincount(names.ravel(), weights=cells.ravel(), minlength=count + 1)
    merged: dict[int, float] = {}
    for i in range(1, count + 1):
        merged[find(i)] = merged.get(find(i), 0.0) + float(area[i])
    return sum(value >= SPECK for value in merged.values())
