"""A bent nerve between pons and CSF, seen by a diffusion scan: for tests alone.

Everything is decided point by point from closed formulas, so that neither the labels' grid nor
the library's own phantom has a part in it.
"""

from __future__ import annotations

import dataclasses

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from precisionpain.imaging.gradients import Gradients
from precisionpain.trigeminal.anatomy import Label

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Nerve:
    """An arc of a circle in a plane, from the pons outward, with a round section."""

    length: float = 10.0
    radius: float = 1.2
    curvature: float = 0.04
    turn: float = 0.0  # of everything, about a skew axis, radians
    apart: float = 9.0  # half the distance between the nerves' entries

    def locate(self, place: Array, side: int) -> tuple[Array, Array, Array]:
        """Return arc length, distance from the arc, and the tangent, at places (…, 3)."""
        local = self.untwist(place) - [side * self.apart, 0, 0]
        r = 1 / self.curvature
        # The arc starts at the origin along +y and bends away from the midline.
        x, y, z = local[..., 0] * side, local[..., 1], local[..., 2]
        angle = np.arctan2(y, r - x)
        distance = np.hypot(np.hypot(r - x, y) - r, z)
        tangent = np.stack([side * np.sin(angle), np.cos(angle), np.zeros_like(angle)], axis=-1)
        return angle * r, distance, self.twist(tangent)

    def matrix(self) -> Array:
        return Rotation.from_rotvec(self.turn * np.array([0.3, 0.5, -0.8])).as_matrix()

    def twist(self, vectors: Array) -> Array:
        return vectors @ self.matrix().T

    def untwist(self, vectors: Array) -> Array:
        return vectors @ self.matrix()

    def kind(self, place: Array) -> tuple[NDArray[np.int64], Array]:
        """Return labels and tangents at places."""
        label = np.zeros(place.shape[:-1], dtype=np.int64)
        tangents = np.zeros(place.shape)
        for side, value in ((-1, Label.NERVE_LEFT), (1, Label.NERVE_RIGHT)):
            s, distance, tangent = self.locate(place, side)
            inside = (distance < self.radius) & (s >= 0) & (s < self.length)
            label[inside] = value
            tangents[inside] = tangent[inside]
        label[self.untwist(place)[..., 1] < 0] = Label.BRAINSTEM
        return label, tangents


def directions(n: int) -> Array:
    k = np.arange(n) + 0.5
    z, turn = k / n, k * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - z**2)
    return np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])


def subdivide(affine: Array, shape: tuple[int, ...], n: int) -> Array:
    """Return points within voxels, (x, y, z, n³, 3), in the world."""
    ticks = (np.arange(n) + 0.5) / n - 0.5
    inner = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.moveaxis(np.indices(shape), 0, -1)[..., None, :] + inner
    return np.asarray(voxels @ affine[:3, :3].T + affine[:3, 3])


def grid(spacing: float, tilt: float, offset: Array, nerve: Nerve) -> tuple[Array, tuple[int, ...]]:
    extent = np.array([2 * nerve.apart + 14, nerve.length + 16, 16.0])
    shape = tuple(int(n) for n in np.ceil(extent / spacing))
    affine = np.eye(4)
    turn = Rotation.from_rotvec(tilt * np.array([0.6, -0.4, 0.7])).as_matrix()
    affine[:3, :3] = nerve.matrix() @ turn * spacing
    middle = nerve.twist(np.array([0.0, nerve.length / 2 - 1, 0]) + offset)
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(shape) - 1) * 0.5
    return affine, shape


def labels_of(nerve: Nerve, spacing: float = 0.5, fractions: bool = False) -> nibabel.Nifti1Image:
    affine, shape = grid(spacing, 0.13, np.array([0.1, 0.07, -0.13]), nerve)
    share = np.zeros((*shape, len(Label)), dtype=np.float32)
    for i in range(shape[0]):
        step = affine.copy()
        step[:3, 3] += affine[:3, 0] * i
        label, _ = nerve.kind(subdivide(step, (1, *shape[1:]), 3))
        for value in range(4):
            share[i, ..., value] = (label == value).mean(axis=-1)[0]
    data = share if fractions else share.argmax(axis=-1).astype(np.uint8)
    return nibabel.Nifti1Image(data, affine)


def scan_of(
    nerve: Nerve,
    ad: tuple[float, float],
    rd: tuple[float, float],
    *,
    spacing: float = 2.0,
    n: int = 32,
    n_b0: int = 4,
    sigma: float = 0.0,
    shift: float = 0.0,
    s0: tuple[float, float, float] = (1.0, 0.4, 0.4),
    seed: int = 0,
) -> tuple[nibabel.Nifti1Image, Gradients]:
    """Return the scan; left and right diffusivities in µm²/ms, S₀ of CSF, pons and nerve.

    `sigma` is the noise of a channel; the image's content moves by `shift` mm along the second
    array axis.
    """
    rng = np.random.default_rng(seed)
    affine, shape = grid(spacing, -0.2, rng.uniform(-0.5, 0.5, 3) * spacing, nerve)
    b = np.r_[np.zeros(n_b0), np.full(n, 1.0)]
    # Turning the nerve turns the whole world: then nothing that is measured may change.
    upright = np.vstack([np.zeros((n_b0, 3)), directions(n)])
    g = nerve.twist(upright)
    pons = s0[1] * np.exp(-b * (0.6 + 0.6 * upright[:, 2] ** 2))
    csf = s0[0] * np.exp(-b * 3.0)
    signal = np.zeros((*shape, len(b)))
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, 1] * shift / spacing
    for i in range(shape[0]):
        step = moved.copy()
        step[:3, 3] += moved[:3, 0] * i
        label, tangent = nerve.kind(subdivide(step, (1, *shape[1:]), 8))
        label, tangent = label[0], tangent[0]
        signal[i] += (label == Label.BACKGROUND).mean(axis=-1)[..., None] * csf
        signal[i] += (label == Label.BRAINSTEM).mean(axis=-1)[..., None] * pons
        for side, value in enumerate((Label.NERVE_LEFT, Label.NERVE_RIGHT)):
            for voxel in np.argwhere((label == value).any(axis=-1)):
                own = label[tuple(voxel)] == value
                cosine2 = (tangent[tuple(voxel)][own] @ g.T) ** 2
                pure = s0[2] * np.exp(-b * (rd[side] + (ad[side] - rd[side]) * cosine2))
                signal[(i, *voxel)] += pure.sum(axis=0) / own.size
    if sigma:
        noise = rng.normal(0, sigma, (2, *signal.shape))
        signal = np.hypot(signal + noise[0], noise[1])
    return nibabel.Nifti1Image(signal, affine), Gradients.from_world(b * 1000, g, affine)
