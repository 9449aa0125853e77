"""The parts of a synthetic head, painted one over the other round the phantom of the cistern.

All places are mm in the phantom's own space: RAS+ with the centre of the pons at 0. Sizes are
rough figures of an adult's, and every one of them varies.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._phantom.anatomy import Scene

__all__ = ["SPACING_MM", "Head", "Part", "slices_of", "smooth_noise"]

Array = NDArray[Any]
Place = tuple[float, float, float]
Box = tuple[slice, ...]
_ALL = (slice(None),) * 3

SPACING_MM = 2.0
"""Voxel size of synthetic heads, and of the network that learns from them."""


class Part(IntEnum):
    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    MARROW = 4
    MUCOSA = 5
    BLOOD = 6
    FLUID = 7
    CSF = 8
    GREY = 9
    WHITE = 10
    STEM = 11


# Ellipsoids: part, centre, radii; a centre off the midline stands for both sides.
_FACE: tuple[tuple[Part, Place, Place], ...] = (
    (Part.FAT, (32, 80, -4), (19, 24, 17)),
    (Part.FLUID, (32, 90, -4), (12, 12, 12)),
    (Part.MUCOSA, (0, 78, -28), (14, 28, 22)),
    (Part.AIR, (0, 80, -28), (7, 24, 18)),
    (Part.AIR, (28, 75, -32), (13, 14, 15)),
    (Part.AIR, (0, 100, 18), (16, 6, 9)),
    (Part.FAT, (45, 72, -45), (14, 20, 22)),
    (Part.MARROW, (0, 72, -58), (24, 30, 8)),
    (Part.MUSCLE, (0, 60, -75), (22, 30, 16)),
    (Part.AIR, (0, 30, -52), (9, 7, 30)),
)
_DEEP: tuple[tuple[Part, Place, Place], ...] = (
    (Part.GREY, (26, 28, 38), (7, 18, 11)),
    (Part.GREY, (10, 12, 40), (8, 14, 9)),
    (Part.WHITE, (0, 15, 58), (16, 34, 5)),
    (Part.CSF, (10, 18, 52), (6, 30, 8)),
    (Part.CSF, (27, -22, 38), (6, 17, 9)),
    (Part.CSF, (31, 2, 12), (4, 16, 4)),
    (Part.CSF, (0, 17, 36), (2.5, 13, 9)),
    (Part.CSF, (40, 24, 32), (4, 22, 10)),
    (Part.CSF, (0, 21, 16), (12, 9, 8)),
    (Part.CSF, (0, -15, 28), (9, 7, 7)),
    (Part.CSF, (0, -40, -38), (14, 12, 8)),
)


class Head:
    """Parts of a head, painted one over the other into a field of view."""

    def __init__(
        self, rng: np.random.Generator, scene: Scene, to_head: Array, shape: tuple[int, ...]
    ) -> None:
        self.rng, self.scene, self.to_head = rng, scene, to_head
        self.parts = np.zeros(shape, dtype=np.uint8)
        index = np.ogrid[tuple(slice(n) for n in shape)]
        place = [
            sum(
                (np.float32(a) * i.astype(np.float32) for a, i in zip(row, index, strict=False)),
                np.float32(row[3]),
            )
            for row in to_head[:3]
        ]
        # Everything bends but the phantom, whose surfaces are known where they are.
        far = 1 - np.exp(-(place[0] ** 2 + place[1] ** 2 + place[2] ** 2) / 40**2)
        far *= rng.uniform(0, 4)
        self.place = [one + far * self.noise(45.0) for one in place]
        self._outside()
        self._brain()
        self._middle()

    def noise(self, knots_mm: float) -> NDArray[np.float32]:
        """Return a smooth random field of standard deviation 1."""
        return smooth_noise(self.rng, self.parts.shape, knots_mm)

    def ellipsoids(self, table: tuple[tuple[Part, Place, Place], ...]) -> None:
        """Paint ellipsoids whose centre and radii vary."""
        for part, centre, radii in table:
            size = np.array(radii) * self.rng.uniform(0.85, 1.15, 3)
            at = np.array(centre) + self.rng.normal(0, 2, 3) * (np.array(centre) != 0)
            for side in (-1, 1) if at[0] else (1,):
                middle = at * (side, 1, 1)
                box = slices_of(self.to_head, self.parts.shape, middle, size + 10)
                self.parts[box][self._norm(box, middle, size) < 1] = part

    def tube(self, part: Part, ends: tuple[Any, Any], radii: Place | tuple[float, float]) -> None:
        """Paint a cone with round ends."""
        start, stop = (np.asarray(end, dtype=float) for end in ends)
        middle, half = (start + stop) / 2, np.abs(stop - start) / 2
        box = slices_of(self.to_head, self.parts.shape, middle, half + max(radii) + 10)
        away = [one[box] - np.float32(a) for one, a in zip(self.place, start, strict=True)]
        axis = (stop - start).astype(np.float32)
        along = sum(a * v for a, v in zip(away, axis, strict=True)) / float(axis @ axis)
        along = np.clip(along, 0, 1)
        square = sum((a - along * v) ** 2 for a, v in zip(away, axis, strict=True))
        radius = radii[0] + (radii[1] - radii[0]) * along
        self.parts[box][square < radius**2] = part

    def _norm(self, box: Box, centre: Array, radii: Array) -> Array:
        scaled = [
            ((one[box] - np.float32(c)) / np.float32(r)) ** 2
            for one, c, r in zip(self.place, centre, radii, strict=True)
        ]
        scaled[0] += scaled[1]
        scaled[0] += scaled[2]
        return scaled[0]

    def _depth(self, centre: Place, radii: Place, box: Box = _ALL) -> Array:
        """Return roughly how many mm a place lies within an ellipsoid that varies."""
        size = np.array(radii) * self.rng.normal(1, 0.04, 3)
        norm = self._norm(box, np.array(centre), size)
        depth: Array = (1 - np.sqrt(norm, out=norm)) * np.float32(size.mean())
        return depth

    def _around(self, centre: Place, reach: Place) -> Box:
        return slices_of(self.to_head, self.parts.shape, np.array(centre), np.array(reach))

    def _outside(self) -> None:
        """Paint scalp, skull, face and neck, and find the room within the skull."""
        rng, (x, y, z) = self.rng, self.place
        self.depth = self._depth((0, 11, 42), (68, 87, 68))
        self.fossa = self._depth((0, -33, -10), (54, 40, 32))
        skull, scalp = rng.uniform(4, 8), rng.uniform(3, 9)
        neck = (z < 0) & ((x / 58) ** 2 + ((y + 18) / rng.uniform(55, 65)) ** 2 < 1)
        patchy = self.patchy = self.noise(rng.uniform(8, 14))
        rim = np.maximum(self.depth, self.fossa)
        body = (rim > -skull - scalp) | neck
        box = self._around((0, 55, -35), (75, 70, 90))
        body[box] |= self._depth((0, 55, -35), (62, 55, 75), box) > 0
        self.parts[body] = Part.MUSCLE
        self.parts[body & (patchy > 0.6)] = Part.FAT
        self.parts[(self.depth > -skull - scalp) & (z > -8)] = Part.FAT
        if rng.random() < 0.8:
            self.ellipsoids(_FACE)
        self.parts[(rim > -skull) & ((z > -12) | (self.fossa > -skull))] = Part.BONE
        self.parts[(rim > -0.7 * skull) & (rim < -0.3 * skull) & (patchy > -0.5)] = Part.MARROW
        # Floor of the cranial cavity: anterior and middle fossa, then the tentorium.
        side = np.abs(x)
        tent = 8 + 22 * np.exp(-(((y + 27) / 22) ** 2)) - 0.25 * np.maximum(side - 12, 0)
        front = np.where((y < 48) & (side > 17), np.float32(-12), np.float32(9))
        self.floor = np.where(y < 12, tent, front) + np.float32(rng.normal(0, 2))
        below = (self.depth > 0) & (z < self.floor)
        self.parts[below & (z > self.floor - 6) & (y > 12)] = Part.BONE
        self.parts[(self.depth > 0) & ~below] = Part.CSF
        self.parts[(self.fossa > 0) & (z < self.floor)] = Part.CSF

    def _brain(self) -> None:
        """Paint cerebrum and cerebellum with their folds."""
        rng, (x, _, z) = self.rng, self.place
        rim = rng.uniform(1, 4)
        depth = np.minimum(self.depth, 0.8 * (z - self.floor))
        crack = np.abs(x) < rng.uniform(0.8, 2)
        depth[crack & ((z > 62) | (self.depth < 28))] = 0
        folds = np.abs(self.noise(rng.uniform(8, 12)))
        room = self.parts == Part.CSF
        cerebrum = room & (depth > rim) & (z > self.floor + 1)
        self.parts[cerebrum] = Part.GREY
        cortex = rng.uniform(0.2, 0.4)
        self.parts[cerebrum & (folds > cortex) & (depth > rim + 3)] = Part.WHITE
        self.parts[cerebrum & (depth > rim + 18)] = Part.WHITE
        open_ = rng.uniform(0.03, 0.16)
        self.parts[cerebrum & (folds < open_) & (depth < rim + 16)] = Part.CSF

        box = self._around((0, -35, -6), (65, 50, 45))
        lobes = [self._depth((s * 23.0, -35, -8), (30, 33, 27), box) for s in (-1, 1)]
        lobe = np.maximum(np.maximum(*lobes), self._depth((0, -39, -3), (16, 28, 27), box))
        within = np.minimum(self.fossa[box], (self.floor - z)[box]) - np.float32(rng.uniform(0, 2))
        lobe = np.minimum(lobe, within)
        leaves = np.sin(lobe * np.float32(2 * np.pi / rng.uniform(4, 7)) + folds[box])
        parts = self.parts[box]
        parts[lobe > 0] = Part.GREY
        parts[((leaves > 0.3) & (lobe > 3)) | (lobe > 11)] = Part.WHITE
        parts[(lobe > 0) & (leaves < -0.9) & (lobe < 9)] = Part.CSF

    def _middle(self) -> None:
        """Paint the base of the skull, the cisterns and the brainstem, to fit the phantom."""
        rng, scene = self.rng, self.scene
        box = self._around((0, -2, -5), (75, 60, 50))
        parts, patchy = self.parts[box], self.patchy[box]
        x, y, z = (one[box] for one in self.place)
        rx, ry, rz = scene.pons.radii
        wide = float(scene.params["shared"]["basilar_diameter_mm"])
        slope, wall = rng.uniform(0.2, 0.5), ry + wide + rng.uniform(1, 5)
        clivus = y - np.float32(slope) * z - np.float32(wall)
        base = (np.abs(x) < 22) & (z < 8) & (z > -42) & (clivus > 0) & (clivus < 16)
        parts[base] = Part.BONE
        parts[base & (clivus > 2.5) & (patchy > -0.8)] = Part.MARROW
        hollow = Part.AIR if rng.random() < 0.8 else Part.MUCOSA
        self.ellipsoids(((hollow, (0, 40, -8), (14, 12, 10)),))
        self.ellipsoids(_DEEP)

        # Wide enough for what the phantom holds, but it doesn't eat into the cerebellum.
        room = np.array([rx + rng.uniform(2, 12), ry + 14, rz + rng.uniform(2, 10)])
        cistern = (self._norm(box, np.array([0, 4, 0]), room) < 1) & (clivus < 0)
        behind = np.minimum(np.abs(x), 20) * np.float32(0.3) - np.float32(ry + 1)
        solid = (parts == Part.GREY) | (parts == Part.WHITE)
        parts[cistern & (y > behind) & (~solid | (y > 0))] = Part.CSF

        for side, own in scene.sides.items():
            s, curve = (-1 if side == "left" else 1), own.nerve.curve
            end, normal = curve.points[-1], curve.tangent[-1] + 0.6 * np.array([s, 0, 0])
            before = (x - end[0]) * normal[0] + (y - end[1]) * normal[1] + (z - end[2]) * normal[2]
            kept = parts[before < 0]
            normal /= np.linalg.norm(normal)
            far = (s * rng.uniform(52, 62), rng.uniform(-24, -10), rng.uniform(-12, -4))
            self.tube(Part.BONE, (end + 6 * normal + (0, 0, -7), far), (9, rng.uniform(12, 16)))
            parts[before < 0] = kept
            self.tube(Part.CSF, ((s * 18, 1, -9), (s * 34, 3, -7)), (3, 2))
            self.tube(Part.FLUID, ((s * 35, 4, -6), (s * 40, 0, -5)), (3, 3))
            cells = self._norm(box, np.array([s * 58, -22, -16]), np.full(3, 13.0))
            parts[(cells < 1) & (patchy > rng.normal(0, 0.5))] = Part.AIR
            self.tube(Part.BLOOD, ((s * 14, wall + 2, -25), (s * 13, wall + 12, 0)), (2.5, 2.5))
            self.tube(Part.BLOOD, ((s * 8, -76, 8), (s * 50, -45, 3)), (4, 4))
            self.tube(Part.BLOOD, ((s * 50, -45, 3), (s * 46, -18, -26)), (4, 4))
            peduncle = ((s * 0.75 * rx, -0.5 * ry, -1), (s * 24, -30, -7))
            self.tube(Part.STEM, peduncle, (rng.uniform(6, 9), 8))

        cord = (rng.normal(0, 2), -18 + rng.normal(0, 4), -120)
        self.tube(Part.MARROW, ((0, 7, -44), (cord[0], 4, -120)), (11, 13))
        self.tube(Part.CSF, ((0, -10, -34), cord), (11, 9))
        self.tube(Part.CSF, ((0, 0, 6), (0, 3, 27)), (15, 17))
        self.tube(Part.STEM, ((0, -2, 6), (0, 4, 32)), (rng.uniform(9, 12), 14))
        self.tube(Part.STEM, ((0, -3, -8), (0, -11, -36)), (rng.uniform(8, 11), 6.5))
        self.tube(Part.STEM, ((0, -11, -36), cord), (6, 5))
        self.ellipsoids(((Part.CSF, (0, -ry - 3, 0), (8, 4.5, 9)),))
        self.tube(Part.CSF, ((0, -ry - 1, 6), (0, -9, 26)), (2, 1))


def slices_of(to_head: Array, shape: tuple[int, ...], centre: Array, reach: Array) -> Box:
    """Return the voxels of a box round a place."""
    inverse = np.linalg.inv(to_head)
    at = inverse[:3, :3] @ centre + inverse[:3, 3]
    half = np.abs(inverse[:3, :3]) @ reach
    low = np.clip(np.floor(at - half), 0, shape).astype(int)
    high = np.clip(np.ceil(at + half) + 1, low, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], knots_mm: float
) -> NDArray[np.float32]:
    """Return a random cubic spline with standard deviation about 1."""
    bases = [_spline(n, knots_mm / SPACING_MM, rng.random()) for n in shape]
    field = rng.standard_normal([b.shape[1] for b in bases], dtype=np.float32)
    for basis in bases:
        # Contracts the first axis and puts its voxels last: after three, all are in order.
        field = np.tensordot(field, basis, axes=(0, 1))
    # Mean square of the values of a cubic B-spline basis, 0.479, along three axes.
    scaled: NDArray[np.float32] = field * np.float32(0.479**-1.5)
    return scaled


def _spline(n: int, knot: float, phase: float) -> NDArray[np.float32]:
    """Return the cubic B-splines of evenly spaced knots at n voxels."""
    at = np.arange(n) / knot + phase
    away = np.abs(at[:, None] - np.arange(-1, int(at[-1]) + 3))
    near = 2 / 3 - away**2 * (1 - away / 2)
    basis = np.where(away < 1, near, np.maximum(2 - away, 0) ** 3 / 6)
    return basis.astype(np.float32)
