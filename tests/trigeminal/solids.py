"""Label maps of cylinders, slabs and balls whose measures are known in closed form: for tests.

World coordinates are RAS+ mm, so the left nerve lies at x < 0. Nothing here is shared with the
library's own phantom or with its measures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import dblquad, quad
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from precisionpain.trigeminal.anatomy import Label, Side

Array = NDArray[np.float64]
Sampling = Literal["majority", "centre"]


def unit(vector: Any) -> Array:
    """Return a vector of length 1."""
    array = np.asarray(vector, dtype=float)
    return np.asarray(array / np.linalg.norm(array), dtype=float)


def across(axis: Array, towards: Array) -> Array:
    """Return the unit vector normal to an axis that comes nearest to a direction."""
    return unit(towards - (towards @ axis) * axis)


class Solid(Protocol):
    """What can be painted."""

    def depth(self, x: Array) -> Array:
        """Return a value at points (n, 3), negative inside, at most the distance in size."""


@dataclasses.dataclass(frozen=True)
class Cylinder:
    """A straight elliptic cylinder with flat ends: semi-axis a along `first`, b across."""

    origin: Array
    axis: Array
    first: Array
    a: float
    b: float
    low: float
    high: float

    @property
    def second(self) -> Array:
        return np.asarray(np.cross(self.axis, self.first))

    def local(self, x: Array) -> tuple[Array, Array, Array]:
        """Return place along the axis and the two coordinates across it."""
        offset = x - self.origin
        return offset @ self.axis, offset @ self.first, offset @ self.second

    def depth(self, x: Array) -> Array:
        s, u, v = self.local(x)
        wall = min(self.a, self.b) * (np.hypot(u / self.a, v / self.b) - 1)
        return np.asarray(np.maximum(wall, np.maximum(self.low - s, s - self.high)))

    def support(self, m: Array) -> float:
        """Return how far the section reaches in a direction normal to the axis."""
        return float(np.hypot(self.a * (m @ self.first), self.b * (m @ self.second)))

    def farthest(self, m: Array, s: float) -> Array:
        """Return the point of the section at s that lies farthest in a direction."""
        u, v = self.a**2 * (m @ self.first), self.b**2 * (m @ self.second)
        point = self.origin + s * self.axis + (u * self.first + v * self.second) / self.support(m)
        return np.asarray(point)


@dataclasses.dataclass(frozen=True)
class Slab:
    """All between two parallel planes at ± half along a normal."""

    normal: Array
    half: float

    def depth(self, x: Array) -> Array:
        return np.asarray(np.abs(x @ self.normal) - self.half)


@dataclasses.dataclass(frozen=True)
class Ball:
    """A ball."""

    centre: Array
    radius: float

    def depth(self, x: Array) -> Array:
        return np.asarray(np.linalg.norm(x - self.centre, axis=-1) - self.radius)


@dataclasses.dataclass(frozen=True)
class Hose:
    """A round tube along a curve, cut square at its ends."""

    points: Array  # densely sampled
    radius: float

    def depth(self, x: Array) -> Array:
        depth = np.full(len(x), np.inf)
        margin = self.radius + 1.0
        low, high = self.points.min(axis=0) - margin, self.points.max(axis=0) + margin
        close = np.flatnonzero(((x > low) & (x < high)).all(axis=1))
        depth[close] = self._depth(x[close])
        return depth

    def _depth(self, x: Array) -> Array:
        near = cKDTree(self.points).query(x)[1]
        tangents = np.gradient(self.points, axis=0)
        tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
        offset = x - self.points[near]
        along = np.sum(offset * tangents[near], axis=-1)
        wall = np.linalg.norm(offset - along[..., None] * tangents[near], axis=-1) - self.radius
        past = np.where(near == 0, -along, np.where(near == len(self.points) - 1, along, -np.inf))
        return np.asarray(np.maximum(wall, past))


Painted = Sequence[tuple[Label, Solid]]
"""Labels and solids; later ones cover earlier ones."""


def grid(
    spacing: Any = 0.5,
    *,
    extent: Any = (56.0, 24.0, 22.0),
    centre: Any = (0.0, 3.0, 0.0),
    shift: Any = (0.13, -0.21, 0.08),
    oblique_deg: float = 0.0,
) -> tuple[Array, tuple[int, ...]]:
    """Return affine and shape of a grid, turned about a skew axis and shifted by voxels."""
    step = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    turn = Rotation.from_rotvec(np.deg2rad(oblique_deg) * unit([0.5, -0.6, 0.62])).as_matrix()
    shape = tuple(int(n) for n in np.ceil(np.asarray(extent) / step))
    affine = np.eye(4)
    affine[:3, :3] = turn * step
    middle = (np.array(shape) - 1) / 2 + np.asarray(shift)
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ middle
    return affine, shape


def rasterise(
    painted: Painted,
    affine: Array,
    shape: tuple[int, ...],
    *,
    sampling: Sampling = "majority",
    samples: int = 256,
) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    """Return labels, and the share of every label in each voxel.

    Voxels at a surface are split at Sobol points, which no plane catches in rows.
    """
    index = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    x = index @ affine[:3, :3].T + affine[:3, 3]
    half = float(np.linalg.norm(np.linalg.norm(affine[:3, :3], axis=0))) / 2
    depths = [solid.depth(x) for _, solid in painted]
    mixed = np.flatnonzero(np.any([np.abs(d) < 1.05 * half for d in depths], axis=0))
    centre = np.zeros(len(x), dtype=np.uint8)
    owner = np.zeros((len(mixed), samples), dtype=np.uint8)
    offsets = (qmc.Sobol(3, scramble=False).random(samples) + 0.5 / samples - 0.5) @ affine[
        :3, :3
    ].T
    for (label, solid), depth in zip(painted, depths, strict=True):
        centre[depth < 0] = label
        own = depth[mixed]
        owner[own <= -1.05 * half] = label
        edge = np.flatnonzero(np.abs(own) < 1.05 * half)
        points = (x[mixed[edge], None] + offsets).reshape(-1, 3)
        part = owner[edge]
        part[solid.depth(points).reshape(part.shape) < 0] = label
        owner[edge] = part
    shares = np.zeros((len(x), len(Label)), dtype=np.float32)
    shares[np.arange(len(x)), centre] = 1
    for label in Label:
        shares[mixed, label] = (owner == label).mean(axis=1)
    labels = centre if sampling == "centre" else shares.argmax(axis=1).astype(np.uint8)
    return (
        nibabel.Nifti1Image(labels.reshape(shape), affine),
        nibabel.Nifti1Image(shares.reshape(*shape, len(Label)), affine),
    )


@dataclasses.dataclass(frozen=True)
class Conflict:
    """One nerve that leaves the pons, and perhaps a vessel that crosses it."""

    nerve: Cylinder  # origin where its axis leaves the pons, low < 0 inside the pons
    outward: Array  # of the pons, at the origin
    vessel: Cylinder | None = None
    normal: Array | None = None  # from nerve to vessel, normal to both axes
    gap: float = np.nan

    def truth(self, pons: Solid) -> dict[str, float]:
        """Return the measures: closed forms, and integrals of the wall near the vessel."""
        n = self.nerve
        found = {
            "length_mm": n.high,
            "mean_area_mm2": np.pi * n.a * n.b,
            "min_area_mm2": np.pi * n.a * n.b,
            "volume_mm3": volume_outside(n, pons),
            "flattening": 1 - n.b / n.a,
            "angle_deg": float(np.degrees(np.arcsin(n.axis @ self.outward))),
            "displacement_mm": 0.0,
            "indentation_mm": 0.0,
            "area_loss_percent": 0.0,
            "curvature_per_mm": 0.0,
            "tortuosity": 1.0,
        }
        if self.vessel is not None:
            cosine = abs(float(self.vessel.axis @ n.axis))
            found |= {
                "gap_mm": self.gap,
                "vessel_diameter_mm": 2 * self.vessel.a,
                "crossing_angle_deg": float(np.degrees(np.arccos(cosine))),
            }
            for name, tolerance in (("_0", 0.0), ("", 0.5), ("_1", 1.0)):
                area, position, length = wall_near(n, self.vessel, tolerance, pons)
                found[f"contact_area{name}_mm2"] = area
                if tolerance == 0.5:
                    found["contact_position_mm"] = position
                    found["contact_length_mm"] = length
        return found


def volume_outside(nerve: Cylinder, pons: Solid) -> float:
    """Return the volume of the cylinder outside the pons, up to its flat end."""
    if isinstance(pons, Slab):
        # The plane takes from one half of the section what it leaves to the other.
        return float(np.pi * nerve.a * nerve.b * nerve.high)
    assert isinstance(pons, Ball)

    def leaves(v: float, u: float) -> float:
        start = nerve.origin + u * nerve.first + v * nerve.second - pons.centre
        half = float(start @ nerve.axis)
        return float(nerve.high + half - np.sqrt(half**2 - start @ start + pons.radius**2))

    def rim(u: float) -> float:
        return nerve.b * np.sqrt(max(1 - (u / nerve.a) ** 2, 0.0))

    return float(
        dblquad(leaves, -nerve.a, nerve.a, lambda u: -rim(u), rim, epsabs=1e-3, epsrel=1e-4)[0]
    )


def wall_near(
    nerve: Cylinder, vessel: Cylinder, tolerance: float, pons: Solid
) -> tuple[float, float, float]:
    """Integrate the nerve's wall that lies within a tolerance of a round straight vessel.

    On each line of the wall along the nerve, the stretch within reach of the vessel's axis is
    the solution of a quadratic equation, so only the angle is left to quadrature.

    Returns
    -------
    area : float
        mm².
    position : float
        Its centroid along the nerve, mm.
    length : float
        The stretch of s that it covers, mm.
    """
    reach = vessel.a + tolerance
    n = 4000
    angle = (np.arange(n) + 0.5) * (2 * np.pi / n)
    c, s = np.cos(angle), np.sin(angle)
    element = np.hypot(nerve.a * s, nerve.b * c) * (2 * np.pi / n)
    start = nerve.origin + np.outer(nerve.a * c, nerve.first) + np.outer(nerve.b * s, nerve.second)
    # |(p + t d) - its part along w|² = reach²
    offset = start - vessel.origin
    d = nerve.axis - (nerve.axis @ vessel.axis) * vessel.axis
    o = offset - np.outer(offset @ vessel.axis, vessel.axis)
    qa, qb, qc = d @ d, o @ d, np.sum(o * o, axis=1) - reach**2
    root = np.sqrt(np.maximum(qb**2 - qa * qc, 0))
    low, high = (-qb - root) / qa, (-qb + root) / qa
    if isinstance(pons, Slab):
        side = np.sign(nerve.axis @ pons.normal)
        exit_ = (pons.half - side * (start @ pons.normal)) / abs(nerve.axis @ pons.normal)
    else:
        assert isinstance(pons, Ball)
        off = start - pons.centre
        half = off @ nerve.axis
        exit_ = -half + np.sqrt(np.maximum(half**2 - np.sum(off * off, axis=1) + pons.radius**2, 0))
    low, high = np.maximum(low, exit_), np.minimum(high, nerve.high)
    width = np.where((root > 0) & (high > low), high - low, 0.0)
    area = float(np.sum(width * element))
    if area == 0:
        return 0.0, np.nan, 0.0
    position = float(np.sum(width * element * (low + high) / 2) / area)
    return area, position, float(high[width > 0].max() - low[width > 0].min())


def nerve_from(
    pons: Slab | Ball,
    side: Side,
    *,
    angle_deg: float = 45.0,
    a: float = 1.6,
    b: float = 1.1,
    length: float = 10.0,
    roll_deg: float = 30.0,
    up: float = 0.0,
    heading_deg: float = 0.0,
) -> Conflict:
    """Let a nerve run forward from the side of the pons, at an angle with its surface."""
    sign = -1.0 if side == "left" else 1.0
    if isinstance(pons, Slab):
        out = sign * pons.normal
        origin = pons.half * out + np.array([0, -3.0, up])
        origin = origin + (pons.half - origin @ out) * out
    else:
        out = unit([sign, 0.15, up / pons.radius])
        origin = pons.centre + pons.radius * out
    heading = np.deg2rad(heading_deg)
    forward = across(out, np.array([0, np.cos(heading), np.sin(heading)]))
    angle = np.deg2rad(angle_deg)
    axis = unit(np.sin(angle) * out + np.cos(angle) * forward)
    base = across(axis, np.array([0, 0, 1.0]))
    roll = np.deg2rad(roll_deg)
    first = np.cos(roll) * base + np.sin(roll) * np.cross(axis, base)
    return Conflict(Cylinder(origin, axis, first, a, b, -6.0, length), out)


def cross(
    one: Conflict,
    *,
    gap: float = 0.2,
    at: float = 5.0,
    angle_deg: float = 70.0,
    diameter: float = 1.4,
    around_deg: float = 0.0,
    reach: float = 11.0,
) -> Conflict:
    """Let a round vessel cross a nerve: on the side away from the pons, turned by `around_deg`."""
    n = one.nerve
    away, turn = across(n.axis, one.outward), np.deg2rad(around_deg)
    m = np.cos(turn) * away + np.sin(turn) * np.cross(n.axis, away)
    angle = np.deg2rad(angle_deg)
    w = np.cos(angle) * n.axis + np.sin(angle) * np.cross(n.axis, m)
    radius = diameter / 2
    origin = n.farthest(m, at) + (gap + radius) * m
    vessel = Cylinder(origin, unit(w), across(w, m), radius, radius, -reach, reach)
    return dataclasses.replace(one, vessel=vessel, normal=m, gap=gap)


@dataclasses.dataclass(frozen=True)
class Head:
    """Both sides on one pons."""

    pons: Slab | Ball
    left: Conflict
    right: Conflict
    kinds: tuple[Label, Label] = (Label.ARTERY, Label.VEIN)

    def side(self, side: Side) -> Conflict:
        return self.left if side == "left" else self.right

    def painted(self) -> list[tuple[Label, Solid]]:
        """Return vessels, nerves, pons: the nerves begin at its surface."""
        found: list[tuple[Label, Solid]] = []
        for one, kind in zip((self.left, self.right), self.kinds, strict=True):
            if one.vessel is not None:
                found.append((kind, one.vessel))
        found += [(Label.NERVE_LEFT, self.left.nerve), (Label.NERVE_RIGHT, self.right.nerve)]
        return [*found, (Label.BRAINSTEM, self.pons)]

    def truth(self) -> dict[Side, dict[str, float]]:
        return {"left": self.left.truth(self.pons), "right": self.right.truth(self.pons)}


def slab(tilt: Sequence[float] = (0.12, -0.09)) -> Slab:
    """Return a pons between two oblique planes."""
    return Slab(unit([1.0, *tilt]), 11.0)


def draw_head(seed: int, *, round_pons: bool = False) -> Head:
    """Draw two nerves, each crossed by a vessel that stays clear of the pons."""
    rng = np.random.default_rng(seed)
    pons: Slab | Ball = slab(rng.uniform(-0.15, 0.15, 2).tolist())
    if round_pons:
        pons = Ball(np.array([0.0, -2.0, 0.0]), 13.0)
    sides: list[Conflict] = []
    while len(sides) < 2:
        a = rng.uniform(1.2, 2.0)
        # A flatter nerve would run beside a ball with half its wall, and never leave it.
        one = nerve_from(
            pons, ("left", "right")[len(sides)], a=a,
            angle_deg=rng.uniform(38 if round_pons else 28, 65),
            b=rng.uniform(0.8, min(a - 0.1, 1.4)), length=rng.uniform(8, 12),
            roll_deg=rng.uniform(10, 80), up=rng.uniform(-1, 1), heading_deg=rng.uniform(-15, 15),
        )  # fmt: skip
        one = cross(
            one, gap=rng.uniform(0.0, 0.35), at=rng.uniform(3.0, one.nerve.high - 2.5),
            angle_deg=rng.uniform(40, 90), diameter=rng.uniform(0.9, 2.2),
            around_deg=rng.uniform(-70, 70),
        )  # fmt: skip
        assert one.vessel is not None
        # The vessel mustn't dive into the pons where it could touch the nerve.
        axis = one.vessel.origin + np.linspace(-4, 4, 41)[:, None] * one.vessel.axis
        if pons.depth(axis).min() > one.vessel.a + 0.3:
            sides.append(one)
    return Head(pons, sides[0], sides[1])


def bent(course: Callable[[Array], Array], low: float, high: float, radius: float) -> Hose:
    """Return a hose along a course given as a function of a parameter in mm."""
    return Hose(course(np.linspace(low, high, int((high - low) / 0.05) + 1)), radius)


def groove(r: float, vessel: float, depth: float) -> dict[str, float]:
    """Return what a round vessel that crosses a round nerve at a right angle takes from it.

    The vessel's axis lies at height h over the nerve's; where it is y off the crossing, it
    leaves of the section what lies below h - √(vessel² - y²).
    """
    h = r - depth + vessel
    half = np.sqrt(vessel**2 - (h - r) ** 2)

    def lost(y: float) -> float:
        bottom = min(h - np.sqrt(vessel**2 - y**2), r)
        return float(r**2 * np.arccos(bottom / r) - bottom * np.sqrt(max(r**2 - bottom**2, 0)))

    limit = np.arcsin(half / vessel)
    floor = quad(
        lambda t: 2 * vessel * np.sqrt(max(r**2 - (h - vessel * np.cos(t)) ** 2, 0)),
        -limit,
        limit,
    )[0]
    return {
        "lost_mm3": 2 * quad(lost, 0, half)[0],
        "least_area_mm2": np.pi * r**2 - lost(0.0),
        "loss_percent": 100 * lost(0.0) / (np.pi * r**2),
        "floor_mm2": floor,
    }
