"""Regions as masks on the voxels of a slab, by their place in MNI space."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, GeometryError, list_some
from ...imaging.files import load_image

__all__ = ["Region", "Sphere", "check_affine", "region_masks", "world"]


@dataclasses.dataclass(frozen=True)
class Sphere:
    """A ball in MNI space; made by `sphere`, which explains the parameters."""

    center_mm: tuple[float, float, float]
    radius_mm: float
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.center_mm) != 3 or not np.isfinite(self.center_mm).all():
            raise FormatError(f"expected a centre of three numbers, found {self.center_mm!r}")
        if not (np.isfinite(self.radius_mm) and self.radius_mm > 0):
            raise FormatError(f"expected a radius above 0 mm, found {self.radius_mm!r}")

    def inside(self, points_mm: np.ndarray) -> np.ndarray:
        """Tell which points (..., 3) lie within the radius."""
        offset = points_mm - np.asarray(self.center_mm)
        return np.square(offset).sum(axis=-1) <= self.radius_mm**2


@dataclasses.dataclass(frozen=True)
class Region:
    """A region on the voxels of a slab.

    Parameters
    ----------
    mask : numpy.ndarray of bool
        Of the slab's shape.
    share : float
        Of the region's volume that the slab holds.
    """

    mask: np.ndarray
    share: float


def check_affine(affine: Any, where: str = "affine") -> np.ndarray:
    """Return an affine, or say that it is none."""
    matrix = np.asarray(affine, dtype=float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(
            f"expected a finite 4×4 matrix, found shape {matrix.shape}", where=where
        )
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise GeometryError("the matrix is not invertible", where=where)
    return matrix


def world(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Return the mm of each voxel, shape (*shape, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def region_masks(regions: Any, shape: Sequence[int], affine: np.ndarray) -> dict[str, Region]:
    """Put regions on a slab: a mapping of spheres, images or masks, or labels with names."""
    if isinstance(regions, tuple) and len(regions) == 2:
        found = _labelled(*regions, shape, affine)
    elif isinstance(regions, Mapping):
        found = {str(name): _one(name, each, shape, affine) for name, each in regions.items()}
    else:
        raise FormatError(
            f"expected a mapping of regions, or (label image, names), found "
            f"{type(regions).__name__}",
            where="regions",
            remedy="give, for example, {'right insula': 'insula.nii.gz'} or pp.mtbi.PAIN_REGIONS",
        )
    if not found:
        raise FormatError("expected at least one region, found none", where="regions")
    return found


def _one(name: str, region: Any, shape: Sequence[int], affine: np.ndarray) -> Region:
    if isinstance(region, Sphere):
        # A share by counting on a grid of its own, as the slab's may be coarse.
        ball = (np.arange(-40, 40) + 0.5) * region.radius_mm / 40
        points = np.stack(np.meshgrid(ball, ball, ball, indexing="ij"), axis=-1).reshape(-1, 3)
        points = points + np.asarray(region.center_mm)
        share = _inside(points[region.inside(points)], shape, affine)
        return Region(region.inside(world(shape, affine)), share)
    if isinstance(region, np.ndarray):
        if region.shape != tuple(shape):
            raise GeometryError(
                f"expected a mask of the maps' shape {tuple(shape)}, found {region.shape}",
                where=str(name),
                remedy="give an image instead, whose affine says where it lies",
            )
        mask = region > 0
        if not mask.any():
            raise FormatError("the mask is empty: no voxel is above 0", where=str(name))
        return Region(mask, 1.0)
    data, to_voxel, points, values = _image(region, str(name), affine)
    if not (values > 0).any():
        raise FormatError("the mask is empty: no voxel is above 0", where=str(name))
    mask = _sample(data, to_voxel, shape) > 0
    return Region(mask, _inside(points[values > 0], shape, affine))


def _labelled(
    image: Any, names: Any, shape: Sequence[int], affine: np.ndarray
) -> dict[str, Region]:
    data, to_voxel, points, values = _image(image, "regions", affine)
    if isinstance(names, Mapping):
        chosen = {int(label): str(name) for label, name in names.items()}
    else:
        chosen = {label: str(name) for label, name in enumerate(names, start=1)}
    there = set(np.unique(values).tolist())
    absent = [name for label, name in chosen.items() if label not in there]
    if absent or not chosen:
        raise FormatError(
            f"the label image has no voxel of {list_some(absent)}",
            where="regions",
            remedy="give {label: name} for labels that occur; a list names labels 1, 2, 3, …",
        )
    if len(set(chosen.values())) < len(chosen):
        raise FormatError("two labels have the same name", where="regions")
    labels = _sample(data, to_voxel, shape)
    return {
        name: Region(labels == label, _inside(points[values == label], shape, affine))
        for label, name in chosen.items()
    }


def _image(
    image: Any, where: str, affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return data, slab voxel → image voxel, and mm and values of the voxels that aren't 0."""
    loaded = load_image(image) if isinstance(image, str | Path) else image
    if not hasattr(loaded, "affine") or not hasattr(loaded, "dataobj"):
        raise FormatError(
            f"expected a sphere, an image, a path or a mask, found {type(image).__name__}",
            where=where,
        )
    data = np.asanyarray(loaded.dataobj)
    if data.ndim == 4 and data.shape[3] == 1:  # as Analyze images often are
        data = data[..., 0]
    if data.ndim != 3:
        raise GeometryError(f"expected three axes, found shape {data.shape}", where=where)
    own = check_affine(loaded.affine, where)
    filled = np.argwhere(data != 0)
    points = filled @ own[:3, :3].T + own[:3, 3]
    return data, np.linalg.inv(own) @ affine, points, data[tuple(filled.T)]


def _sample(data: np.ndarray, to_voxel: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the value of the nearest voxel of an image, 0 outside of it."""
    # Half-way between two voxels the lower one is taken on both sides of zero.
    index = np.ceil(world(shape, to_voxel) - 0.5 - 1e-6).astype(int)
    there = np.asarray(((index >= 0) & (index < data.shape)).all(axis=-1))
    index = np.where(there[..., None], index, 0)
    return np.where(there, data[tuple(np.moveaxis(index, -1, 0))], 0)


def _inside(points_mm: np.ndarray, shape: Sequence[int], affine: np.ndarray) -> float:
    """Return the share of points that lie in the slab, each voxel taken whole."""
    back = np.linalg.inv(affine)
    voxel = points_mm @ back[:3, :3].T + back[:3, 3]
    return float(((voxel >= -0.5) & (voxel < np.asarray(shape) - 0.5)).all(axis=-1).mean())
