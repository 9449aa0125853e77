"""The measures of one traced nerve and the vessels around it, from their fitted surfaces."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import ndtr

from ..grading import TOUCH_MM, sindou_grade
from .dent import cut
from .nerve import NerveFit
from .vessels import Vessel

__all__ = ["Draw", "Geometry", "count_patches", "section_axes"]

_N_THETA = 96
_STEP_MM = 0.1
_REACH_MM = 6.0  # a vessel farther than this is not reported
# Of an overlap of two fitted walls the stiffer, the vessel's, gives way by this share.
_YIELD = 0.15
_PRESSED_MM = 0.8  # a dent is sought where the wall is this near to a vessel


@dataclasses.dataclass(frozen=True)
class Draw:
    """Coefficients of one draw of the fitted surfaces from their distribution."""

    wall: np.ndarray
    tube: np.ndarray
    pons: np.ndarray | None
    vessels: tuple[np.ndarray, ...]


class Geometry:
    """A nerve's wall on a grid of s × θ, and all that is measured on it.

    Parameters
    ----------
    nerve : NerveFit
        The nerve.
    vessels : list of Vessel
        Vessels near it.
    voxel_mm : float, default 0
        Edge of a voxel: within it of the pons no wall is seen.
    bulge_noise : float, default 0
        Standard deviation that a bulge of the course has at least, mm.

    Attributes
    ----------
    s : numpy.ndarray of shape (n_s,)
        Arc length from the pons to the end, mm.
    theta : numpy.ndarray of shape (96,)
        Angles around the centreline.
    """

    def __init__(
        self,
        nerve: NerveFit,
        vessels: list[Vessel],
        *,
        voxel_mm: float = 0.0,
        bulge_noise: float = 0.0,
    ) -> None:
        self.nerve, self.vessels = nerve, vessels
        self.voxel_mm, self.bulge_noise = voxel_mm, bulge_noise
        n = max(round(nerve.length / _STEP_MM), 20)
        self.s = np.linspace(0.0, nerve.length, n + 1)
        self.theta = np.arange(_N_THETA) * (2 * np.pi / _N_THETA)
        # Sections below s = 0 reach out of the pons on one side.
        before = np.arange(-_STEP_MM, nerve.wall.knots[3] - 1.5, -_STEP_MM)[::-1]
        self._s = np.r_[before, self.s]
        self._first = len(before)

    # -- grids shared by the estimate and its draws ------------------------------------------

    @cached_property
    def _seen(self) -> np.ndarray:
        """How far the wall at each grid point was seen: 1, and 0 where the pons hides it."""
        pons = self.nerve.pons
        if pons is None or self.voxel_mm == 0:
            return np.ones((len(self._s), _N_THETA))
        middle, around = self._frames
        tube = self.nerve.tube.grid(self._s, self.theta)
        x = middle[:, None, :] + tube[..., None] * around
        height = pons.distance(x.reshape(-1, 3)).reshape(tube.shape)
        return np.clip(height / (0.9 * self.voxel_mm), 0, 1)

    @cached_property
    def _plain(self) -> np.ndarray:
        """Wall radius as fitted; where the pons hides it that of the elliptical tube, mm."""
        tube = self.nerve.tube.grid(self._s, self.theta)
        return tube + self._seen * (self.nerve.wall.grid(self._s, self.theta) - tube)

    @cached_property
    def _radius(self) -> np.ndarray:
        """Wall radius; where the fitted walls of nerve and vessel overlap, near the vessel's."""
        middle, around = self._frames
        return cut(self._plain, middle, around, self.vessels, _YIELD)

    @cached_property
    def _frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle of each section, and the outward directions on the grid."""
        curve = self.nerve.wall.curve
        normal, binormal = curve.frame(self._s)
        around = (
            np.cos(self.theta)[:, None] * normal[:, None, :]
            + np.sin(self.theta)[:, None] * binormal[:, None, :]
        )
        return curve.at(self._s), around

    @cached_property
    def _toward(self) -> list[tuple[np.ndarray, ...]]:
        """For each vessel: distance, its change along the outward direction, s and θ there."""
        middle, around = self._frames
        x = (middle[:, None, :] + self._radius[..., None] * around).reshape(-1, 3)
        shape, step = self._radius.shape, 0.02
        out = []
        for vessel in self.vessels:
            d, s, theta = vessel.distance(x)
            further, _, _ = vessel.distance(x + step * around.reshape(-1, 3))
            # What overlapped before touches now, whatever rounding says.
            plain = vessel.distance(
                (middle[:, None, :] + self._plain[..., None] * around).reshape(-1, 3)
            )[0]
            found = (np.where(plain < 0, plain, d), (further - d) / step, s, theta)
            out.append(tuple(values.reshape(shape) for values in found))
        return out

    def _distances(self, radius: np.ndarray, draw: Draw | None) -> np.ndarray:
        """Return the distance of the wall to each vessel, shape (n_vessels, n_s, n_theta)."""
        out = []
        for k, (vessel, (d, slope, s, theta)) in enumerate(
            zip(self.vessels, self._toward, strict=True)
        ):
            moved = d + slope * (radius - self._radius)
            if draw is not None:
                near = moved < 2.0
                moved[near] -= vessel.tube.radius(
                    s[near], theta[near], draw.vessels[k]
                ) - vessel.tube.radius(s[near], theta[near])
            out.append(moved)
        return np.stack(out) if out else np.full((1, *radius.shape), np.inf)

    def _elements(self, radius: np.ndarray) -> np.ndarray:
        """Area of the wall that belongs to each grid point, mm²."""
        middle, around = self._frames
        x = middle[:, None, :] + radius[..., None] * around
        along = np.gradient(x, self._s, axis=0)
        wide = np.concatenate([x[:, -1:], x, x[:, :1]], axis=1)
        across = (wide[:, 2:] - wide[:, :-2]) / 2
        width = np.gradient(self._s)
        width[[0, -1]] *= 0.5
        return np.linalg.norm(np.cross(along, across), axis=-1) * width[:, None]

    def _exposed(self, radius: np.ndarray, pons: np.ndarray | None) -> np.ndarray:
        """Return 1 where the wall is outside the pons, 0 inside, with a soft edge."""
        if self.nerve.pons is None:
            return np.broadcast_to((self._s >= 0)[:, None], radius.shape).astype(float)
        middle, around = self._frames
        surface = middle[:, None, :] + radius[..., None] * around
        height = self.nerve.pons.distance(surface.reshape(-1, 3), pons)
        return ndtr(height.reshape(radius.shape) / 0.03)

    # -- measures ----------------------------------------------------------------------------

    def measure(self, draw: Draw | None = None) -> dict[str, Any]:
        """Return all measures of the estimate, or of one draw."""
        nerve = self.nerve
        radius = self._radius
        if draw is not None:
            # Also where the pons hides the wall: there it is known least.
            wall = nerve.wall.grid(self._s, self.theta)
            radius = radius + nerve.wall.grid(self._s, self.theta, draw.wall) - wall
        pons = None if draw is None else draw.pons
        r = radius[self._first :]
        undented = nerve.tube.grid(self.s, self.theta, None if draw is None else draw.tube)
        area = np.pi * np.mean(r**2, axis=1)
        thinnest = int(np.argmin(area))
        major, minor = section_axes(r, self.theta)
        curve = nerve.wall.curve
        ends = curve.at(self.s[[0, -1]])
        bend = np.interp(self.s, curve.s, np.linalg.norm(curve.curvature, axis=1))
        mean_area = self._mean(area)
        out: dict[str, Any] = {
            "volume_mm3": self._volume(radius, pons),
            "length_mm": nerve.length,
            "mean_area_mm2": mean_area,
            "min_area_mm2": float(area[thinnest]),
            "min_area_position_mm": float(self.s[thinnest]),
            "flattening": self._mean(1 - minor / major),
            "angle_deg": self._angle(pons),
            "diameter_mm": 2 * float(np.sqrt(mean_area / np.pi)),
            "curvature_per_mm": self._mean(bend),
            "tortuosity": nerve.length / float(np.linalg.norm(ends[1] - ends[0])),
        }
        distances = self._distances(radius, draw)
        exposed = self._exposed(radius, pons)
        out.update(self._nearest(distances, exposed, radius, draw))
        for name, tolerance in (("_0", 0.0), ("", TOUCH_MM), ("_1", 1.0)):
            found = self._patch(distances.min(axis=0), exposed, radius, tolerance)
            out[f"contact_area{name}_mm2"] = found["area_mm2"]
            if tolerance == TOUCH_MM:
                out["contact_length_mm"] = found["length_mm"]
                out["contact_position_mm"] = found["position_mm"]
                out["contact_proximal_mm"] = found["proximal_mm"]
                out["contact_arc_fraction"] = found["arc_fraction"]
                out["n_contacts"] = found["n"]
        out.update(self._deformation(r, undented, distances, out["gap_mm"]))
        out["sindou_grade"] = sindou_grade(
            out["gap_mm"], out["displacement_mm"], out["indentation_mm"]
        )
        return out

    def contact(self, tolerance: float) -> dict[str, float]:
        """Return the contact within a tolerance, mm."""
        distance = self._distances(self._radius, None).min(axis=0)
        return self._patch(distance, self._exposed(self._radius, None), self._radius, tolerance)

    def _mean(self, values: np.ndarray) -> float:
        return float(np.trapezoid(values, self.s) / self.s[-1])

    def _angle(self, pons: np.ndarray | None) -> float:
        """Return the angle between the undisturbed course at s = 0 and the pons, degrees."""
        if self.nerve.pons is None:
            return float("nan")
        start = self.nerve.wall.curve.at(0.0)
        course = self.nerve.course
        tangent = course.undisturbed_tangent(float(course.along(start[None])[0]))
        sine = float(np.dot(tangent, self.nerve.pons.normal(start, pons)))
        return float(np.degrees(np.arcsin(np.clip(sine, -1, 1))))

    def _volume(self, radius: np.ndarray, pons: np.ndarray | None) -> float:
        """Integrate over the tube outside the pons, mm³."""
        if self.nerve.pons is None:
            area = np.pi * np.mean(radius[self._first :] ** 2, axis=1)
            return float(np.trapezoid(area, self.s))
        middle, around = self._frames
        curve = self.nerve.wall.curve
        columns = slice(None, None, 4)
        nodes, weights = np.polynomial.legendre.leggauss(6)
        rho, weights = 0.5 * (nodes + 1), 0.5 * weights
        wall, way = radius[:, columns], around[:, columns]
        inner = middle[:, None, None, :] + wall[..., None, None] * rho[:, None] * way[:, :, None, :]
        height = self.nerve.pons.distance(inner.reshape(-1, 3), pons).reshape(inner.shape[:-1])
        bend = np.array([np.interp(self._s, curve.s, k) for k in curve.curvature.T]).T
        lean = np.einsum("sd,std->st", bend, way)
        jacobian = 1 - lean[..., None] * wall[..., None] * rho
        shell = np.einsum(
            "str,st,r,str->s", ndtr(height / 0.05), wall**2, weights * rho, jacobian
        ) * (2 * np.pi / wall.shape[1])
        return float(np.trapezoid(shell, self._s))

    def _nearest(
        self, distances: np.ndarray, exposed: np.ndarray, radius: np.ndarray, draw: Draw | None
    ) -> dict[str, Any]:
        """Return the gap, and what the vessel with most contact (else the nearest) is."""
        out: dict[str, Any] = {
            "gap_mm": np.nan, "vessel": None, "vessel_diameter_mm": np.nan,
            "crossing_angle_deg": np.nan,
        }  # fmt: skip
        seen = np.where(exposed > 0.5, distances, np.inf)
        gaps = seen.reshape(len(seen), -1).min(axis=1)
        if not gaps.min() <= _REACH_MM:
            return out
        # Two bodies in one label image can touch, not overlap.
        out["gap_mm"] = max(float(gaps.min()), 0.0)
        step = _steepness(distances)
        share = np.clip((TOUCH_MM - distances) / step + 0.5, 0, 1)
        touch = (share * self._elements(radius) * exposed).sum(axis=(1, 2))
        k = int(np.argmax(touch)) if touch.max() > 0 else int(np.argmin(gaps))
        i, j = np.unravel_index(np.argmin(seen[k]), seen[k].shape)
        s = self._toward[k][2][i, j]
        tube = self.vessels[k].tube
        ring = tube.grid(np.array([s]), self.theta, None if draw is None else draw.vessels[k])
        cosine = abs(np.dot(tube.curve.tangent(s), self.nerve.wall.curve.tangent(self._s[i])))
        out["vessel"] = self.vessels[k].kind
        out["vessel_diameter_mm"] = 2 * float(np.sqrt(np.mean(ring**2)))
        out["crossing_angle_deg"] = float(np.degrees(np.arccos(min(cosine, 1.0))))
        return out

    def _patch(
        self, distance: np.ndarray, exposed: np.ndarray, radius: np.ndarray, tolerance: float
    ) -> dict[str, Any]:
        """Measure the part of the wall within a tolerance of a vessel."""
        nothing = {
            "area_mm2": 0.0, "length_mm": 0.0, "position_mm": np.nan, "proximal_mm": np.nan,
            "arc_fraction": 0.0, "n": 0,
        }  # fmt: skip
        # A cell at the edge counts by how far it lies within.
        share = np.clip((tolerance - distance) / _steepness(distance) + 0.5, 0, 1) * exposed
        weight = share * self._elements(radius)
        area = float(weight.sum())
        if area <= 0:
            return nothing
        rows = share.max(axis=1)
        inside = np.flatnonzero(rows > 0.5)
        first = inside[0] if len(inside) else int(np.argmax(rows))
        return {
            "area_mm2": area,
            "length_mm": float(np.trapezoid(rows, self._s)),
            "position_mm": float(np.sum(weight * self._s[:, None]) / area),
            "proximal_mm": float(max(self._s[first], 0.0)),
            "arc_fraction": float(np.max(np.sum(share * radius, axis=1) / np.sum(radius, axis=1))),
            "n": max(count_patches(share > 0.5), 1),
        }

    def _deformation(
        self, r: np.ndarray, undented: np.ndarray, distances: np.ndarray, gap: float
    ) -> dict[str, float]:
        """Return displacement, and depth and loss of area of a dent near a vessel."""
        out = {"displacement_mm": 0.0, "indentation_mm": 0.0, "area_loss_percent": 0.0}
        if not gap <= 1.0:
            return out
        out["displacement_mm"] = self.nerve.course.displacement(self.bulge_noise)
        near = distances.min(axis=0)[self._first :] < _PRESSED_MM
        if near.any():
            slope = (np.roll(undented, -1, axis=1) - np.roll(undented, 1, axis=1)) / (
                4 * np.pi / _N_THETA
            )
            depth = (undented - r) / np.sqrt(1 + (slope / undented) ** 2)
            out["indentation_mm"] = float(max(depth[near].max(), 0.0))
            loss = 1 - np.mean(r**2, axis=1) / np.mean(undented**2, axis=1)
            out["area_loss_percent"] = float(max(100 * loss[near.any(axis=1)].max(), 0.0))
        return out

    # -- tables and meshes -------------------------------------------------------------------

    def sections(self) -> pd.DataFrame:
        """Return the sections from the pons to the end."""
        r = self._radius[self._first :]
        undented = self.nerve.tube.grid(self.s, self.theta)
        major, minor = section_axes(r, self.theta)
        exposed = self._exposed(self._radius, None)[self._first :]
        distance = self._distances(self._radius, None).min(axis=0)[self._first :]
        nearest = np.where(exposed > 0.5, distance, np.inf).min(axis=1)
        nearest = np.where(np.isfinite(nearest), nearest, np.nan)
        return pd.DataFrame(
            {
                "s_mm": self.s,
                "area_mm2": np.pi * np.mean(r**2, axis=1),
                "undented_area_mm2": np.pi * np.mean(undented**2, axis=1),
                "major_mm": major,
                "minor_mm": minor,
                "flattening": 1 - minor / major,
                "exposed": exposed.mean(axis=1),
                "vessel_distance_mm": nearest,
                "contact": nearest <= TOUCH_MM,
            }
        )

    def mesh(self) -> dict[str, np.ndarray]:
        """Return the wall outside the pons as triangles."""
        middle, around = self._frames
        x = middle[:, None, :] + self._radius[..., None] * around
        distance = self._distances(self._radius, None).min(axis=0)
        keep = self._exposed(self._radius, None) > 0.5
        faces = grid_faces(*keep.shape)
        faces = faces[keep.ravel()[faces].all(axis=1)]
        used, faces = np.unique(faces, return_inverse=True)
        return {
            "vertices": x.reshape(-1, 3)[used],
            "faces": faces.reshape(-1, 3),
            "vessel_distance_mm": distance.ravel()[used],
            "s_mm": np.repeat(self._s, keep.shape[1])[used],
        }

    def vessel_meshes(self) -> list[dict[str, Any]]:
        """Return the walls of the vessels as triangles."""
        theta = np.arange(32) * (2 * np.pi / 32)
        out = []
        for vessel in self.vessels:
            s = vessel.tube.curve.s[::2]
            x = vessel.tube.surface(s, theta)
            out.append({
                "kind": vessel.kind,
                "vertices": x.reshape(-1, 3),
                "faces": grid_faces(len(s), len(theta)),
            })  # fmt: skip
        return out


def _steepness(distance: np.ndarray) -> np.ndarray:
    """Return how much a distance changes from one cell of the grid to the next."""
    with np.errstate(invalid="ignore"):
        step = np.hypot(np.gradient(distance, axis=-2), np.gradient(distance, axis=-1))
    return np.maximum(np.nan_to_num(step, nan=1.0, posinf=1.0), 1e-3)


def section_axes(r: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the semi-axes of the ellipse with each section's second moments of area, mm."""
    area = np.pi * np.mean(r**2, axis=1)
    cu = 2 * np.pi * np.mean(r**3 * np.cos(theta), axis=1) / 3 / area
    cv = 2 * np.pi * np.mean(r**3 * np.sin(theta), axis=1) / 3 / area
    quarter = 2 * np.pi * r**4 / 4
    uu = np.mean(quarter * np.cos(theta) ** 2, axis=1) / area - cu**2
    vv = np.mean(quarter * np.sin(theta) ** 2, axis=1) / area - cv**2
    uv = np.mean(quarter * np.cos(theta) * np.sin(theta), axis=1) / area - cu * cv
    half, gap = (uu + vv) / 2, np.hypot((uu - vv) / 2, uv)
    return 2 * np.sqrt(half + gap), 2 * np.sqrt(np.maximum(half - gap, 1e-9))


def count_patches(touching: np.ndarray) -> int:
    """Count connected patches on a grid that closes in its second axis."""
    labels, n = ndimage.label(touching, np.ones((3, 3)))
    parent = list(range(n + 1))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(labels)):
        for j in (i - 1, i, i + 1):
            if 0 <= j < len(labels) and labels[i, 0] and labels[j, -1]:
                parent[root(labels[i, 0])] = root(labels[j, -1])
    return len({root(i) for i in range(1, n + 1)})


def grid_faces(n_s: int, n_theta: int) -> np.ndarray:
    """Return the triangles of a grid that closes in its second axis."""
    i, j = np.meshgrid(np.arange(n_s - 1), np.arange(n_theta), indexing="ij")
    a, b = i * n_theta + j, i * n_theta + (j + 1) % n_theta
    c, d = a + n_theta, b + n_theta
    return np.concatenate([
        np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)
    ])  # fmt: skip
