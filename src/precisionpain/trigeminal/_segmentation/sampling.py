"""Batches of patches, each a function of the step alone, so that a killed run can go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .grids import Grid

__all__ = ["PatchSampler", "TrainingScans"]

Array = NDArray[Any]


class TrainingScans(Protocol):
    """Scans that know what is in them.

    Where some of the scans are worse than any that one would measure, a further property
    ``usual`` gives the same people in good scans: how far to trust a border is learned there.
    """

    @property
    def subject_ids(self) -> list[str]:
        """Whose each scan is."""

    @property
    def grids(self) -> list[Grid]:
        """Where the voxels of each scan lie."""

    @property
    def fingerprint(self) -> str:
        """What the scans depend on."""

    def __len__(self) -> int: ...

    def draw(
        self, index: int, rng: np.random.Generator, *, classes: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return image (channels, x, y, z) and target (classes, x, y, z) of one scan."""


class PatchSampler:
    """Cut augmented patches out of scans.

    A group of scans is drawn, serves for some steps, and gives way to the next; scans come
    in a new random order in every round.

    Parameters
    ----------
    scans : TrainingScans
        Where from.
    members : sequence of int
        Which of them.
    classes : sequence of sequences of int
        Labels that make up each class; the first is background.
    patch : tuple of three ints
        Voxels.
    batch_size : int
        Patches in a batch.
    per_scan : int
        Patches cut from a scan before it is drawn anew.
    flips : sequence of int
        Axes along which patches are mirrored at random.
    augment : bool
        Whether patches are turned, stretched, bent, and changed in intensity.
    random_state : int
        Seed.
    """

    def __init__(
        self,
        scans: TrainingScans,
        members: Sequence[int],
        *,
        classes: Sequence[Sequence[int]],
        patch: tuple[int, int, int],
        batch_size: int,
        per_scan: int,
        flips: Sequence[int],
        augment: bool,
        random_state: int,
    ) -> None:
        self.scans = scans
        self.members = list(members)
        self.classes = classes
        self.patch = patch
        self.batch_size = batch_size
        self.per_scan = per_scan
        self.flips = tuple(flips)
        self.augment = augment
        self.random_state = random_state
        self._group: tuple[int, list[_Scan]] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step: image and target, both (n, channels, x, y, z)."""
        n_scans = -(-self.batch_size // self.per_scan) if self.per_scan == 1 else 2
        steps = max(1, n_scans * self.per_scan // self.batch_size)
        group = step // steps
        if self._group is None or self._group[0] != group:
            self._group = (group, [self._drawn(group * n_scans + i) for i in range(n_scans)])
        rng = self._rng(1, step)
        first = step % steps * self.batch_size
        patches = [
            self._patch(self._group[1][(first + i) % n_scans], rng) for i in range(self.batch_size)
        ]
        images, targets = zip(*patches, strict=True)
        return torch.stack(images), torch.stack(targets)

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.random_state, *stream]))

    def _drawn(self, turn: int) -> _Scan:
        """Draw the scan whose turn it is."""
        round_, place = divmod(turn, len(self.members))
        order = self._rng(2, round_).permutation(len(self.members))
        index = self.members[int(order[place])]
        image, target = self.scans.draw(index, self._rng(3, turn), classes=self.classes)
        return _Scan(image, target)

    def _patch(self, scan: _Scan, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        center = scan.center(rng)
        if self.augment and rng.random() < 0.3:
            image, target = _warped(scan, center, self.patch, rng)
        else:
            image, target = (
                _cut(scan.image, center, self.patch),
                _cut(scan.target, center, self.patch),
            )
        # Beyond the scan there is background.
        target[0] += 1 - target.sum(0)
        if self.augment:
            image = _other_look(image, rng)
        flip = [axis + 1 for axis in self.flips if rng.random() < 0.5]
        return image.flip(flip).contiguous(), target.flip(flip).contiguous()


class _Scan:
    """A scan, and where its structures are.

    The voxels of a structure are kept by blocks of 8 × 8 × 8: a block is chosen first, so that
    a thin vessel is visited as often as a thick one of the same length.
    """

    def __init__(self, image: Array, target: Array) -> None:
        self.image = torch.from_numpy(np.ascontiguousarray(image))
        self.target = torch.from_numpy(np.ascontiguousarray(target))
        best = target.argmax(axis=0)
        found = [np.flatnonzero(best == k) for k in range(1, len(target))]
        self.blocks = [self._by_block(voxels) for voxels in found if len(voxels)]

    def _by_block(self, voxels: Array) -> list[Array]:
        shape = self.image.shape[1:]
        place = np.array(np.unravel_index(voxels, shape)) // _BLOCK
        block = np.ravel_multi_index(tuple(place), [-(-n // _BLOCK) for n in shape])
        order = np.argsort(block, kind="stable")
        return np.split(voxels[order], np.flatnonzero(np.diff(block[order])) + 1)

    def center(self, rng: np.random.Generator) -> Array:
        """Choose the middle of a patch: mostly a structure, each as often as the others."""
        shape = self.image.shape[1:]
        if not self.blocks or rng.random() < 0.1:
            return rng.integers(0, shape)
        blocks = self.blocks[int(rng.integers(len(self.blocks)))]
        own = blocks[int(rng.integers(len(blocks)))]
        return np.array(np.unravel_index(int(rng.choice(own)), shape)) + rng.integers(-6, 7, 3)


_BLOCK = 8


def _cut(data: Tensor, center: Array, size: Sequence[int]) -> Tensor:
    """Return a box round a voxel, 0 beyond the scan."""
    start = [int(c) - n // 2 for c, n in zip(center, size, strict=True)]
    ends = zip(start, size, data.shape[1:], strict=True)
    spans = [(max(a, 0), max(min(a + n, m), 0)) for a, n, m in ends]
    inner = data[:, *(slice(min(a, b), b) for a, b in spans)]
    pads: list[int] = []
    for (a, b), first, n in reversed(list(zip(spans, start, size, strict=True))):
        before = min(max(a - first, 0), n - max(b - a, 0))
        pads += [before, n - max(b - a, 0) - before]
    return functional.pad(inner, pads).clone()


def _warped(
    scan: _Scan, center: Array, size: tuple[int, int, int], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return a patch of a turned, stretched and bent scan."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", rng.normal(0, 8, 3), degrees=True).as_matrix()
    matrix = turn * np.exp(rng.normal(0, 0.08, 3))
    axes = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in size]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ matrix.T.astype(np.float32)
    points = torch.from_numpy(grid.astype(np.float32))
    # Bends of a few voxels over a distance of about 16.
    knots = torch.from_numpy(rng.normal(0, 1.2, (1, 3, 5, 5, 5)).astype(np.float32))
    bend = functional.interpolate(knots, size=size, mode="trilinear", align_corners=True)
    points = points + bend[0].permute(1, 2, 3, 0) + torch.from_numpy(center.astype(np.float32))
    shape = torch.tensor(scan.image.shape[1:], dtype=torch.float32)
    where = (2 * points / (shape - 1).clamp(min=1) - 1).flip(-1)[None]

    def sample(data: Tensor) -> Tensor:
        return functional.grid_sample(
            data[None], where, mode="bilinear", padding_mode="zeros", align_corners=True
        )[0]

    return sample(scan.image), sample(scan.target)


def _other_look(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Change gain, offset, noise and sharpness a little."""
    gain, offset = float(np.exp(rng.normal(0, 0.1))), float(rng.normal(0, 0.1))
    image = image * gain + offset
    if rng.random() < 0.15:
        noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + torch.from_numpy(noise) * float(rng.uniform(0.02, 0.15))
    if rng.random() < 0.1:
        image = functional.avg_pool3d(image[None], 3, 1, 1, count_include_pad=False)[0]
    return image
