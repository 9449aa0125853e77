"""What the measures work on: shares of the labels in each voxel, and where the voxels lie."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Literal

import numpy as np

from ..anatomy import Label

__all__ = ["Kind", "Scan"]

Kind = Literal["mask", "share", "predicted"]


@dataclasses.dataclass(frozen=True)
class Scan:
    """A checked label image in canonical (closest to RAS+) axis order.

    Parameters
    ----------
    labels : numpy.ndarray of shape (nx, ny, nz)
        Values of `Label`.
    shares : numpy.ndarray of shape (nx, ny, nz, 6) or None
        Share of each label in each voxel; None when there is only the mask.
    affine : numpy.ndarray of shape (4, 4)
        Voxel to world, mm.
    predicted : bool
        Whether the shares are a network's estimate, which errs more than a measured one.
    """

    labels: np.ndarray
    shares: np.ndarray | None
    affine: np.ndarray
    predicted: bool = False

    @property
    def axes(self) -> np.ndarray:
        """Edges of a voxel as columns, mm."""
        return self.affine[:3, :3]

    @cached_property
    def spacing(self) -> np.ndarray:
        """Edge lengths of a voxel, mm."""
        return np.linalg.norm(self.axes, axis=0)

    @property
    def mask(self) -> bool:
        """Whether there are only masks."""
        return self.shares is None

    @property
    def kind(self) -> Kind:
        """What the shares are."""
        if self.shares is None:
            return "mask"
        return "predicted" if self.predicted else "share"

    @cached_property
    def voxel_volume(self) -> float:
        """Volume of a voxel, mm³."""
        return float(abs(np.linalg.det(self.axes)))

    @cached_property
    def size(self) -> float:
        """Edge of the cube with a voxel's volume, mm."""
        return float(self.voxel_volume ** (1 / 3))

    def share(self, *labels: Label) -> np.ndarray:
        """Return the share of some labels together."""
        if self.shares is None:
            return np.isin(self.labels, labels).astype(np.float32)
        return self.shares[..., [int(label) for label in labels]].sum(axis=-1)

    def world(self, index: np.ndarray) -> np.ndarray:
        """Return world coordinates of voxel indices, mm."""
        return index @ self.axes.T + self.affine[:3, 3]

    def around(self, mask: np.ndarray, margin: float) -> tuple[Scan, tuple[slice, ...]]:
        """Return the part of the scan within a margin (mm) of a mask's bounding box."""
        where = []
        for axis in range(3):
            other = tuple(a for a in range(3) if a != axis)
            hit = np.flatnonzero(mask.any(axis=other))
            pad = int(np.ceil(margin / self.spacing[axis]))
            where.append(slice(max(hit[0] - pad, 0), hit[-1] + pad + 1))
        box = tuple(where)
        affine = self.affine.copy()
        affine[:3, 3] = self.world(np.array([[b.start for b in box]], dtype=float))[0]
        shares = None if self.shares is None else self.shares[box]
        return Scan(self.labels[box], shares, affine, self.predicted), box
