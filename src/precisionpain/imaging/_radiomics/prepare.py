"""From what a caller gives to checked arrays: reading, resampling, ranges, grey levels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ...errors import FormatError, GeometryError
from ..files import load_image

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["Region", "check_method", "discretise", "read_region", "resample", "resegment"]

Floats = NDArray[np.float64]
_SAME_PLACE = 1e-2  # mm that the corners of image and mask may lie apart


@dataclasses.dataclass(frozen=True)
class Region:
    """An image, the shape in it, and the voxels of the shape whose intensity counts."""

    image: Floats
    shape: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @property
    def volume_mm3(self) -> float:
        """Voxels of the shape times their size."""
        return float(self.shape.sum() * np.prod(self.spacing))


def read_region(
    image: str | Path | SpatialImage | ArrayLike,
    mask: str | Path | SpatialImage | ArrayLike,
    spacing: Sequence[float] | None,
    label: int | None,
) -> Region:
    """Read image and mask, check that they belong together, and pick the label."""
    values, affine = _read(image)
    labels, mask_affine = _read(mask)
    if values.ndim != 3:
        raise FormatError(f"expected an image of three dimensions, found shape {values.shape}")
    if labels.shape != values.shape:
        raise GeometryError(
            f"the image has shape {values.shape} and the mask {labels.shape}",
            remedy="resample the mask to the grid of the image",
        )
    if affine is not None and mask_affine is not None:
        _check_same_grid(affine, mask_affine, values.shape)
    known = affine if affine is not None else mask_affine
    if known is not None:
        if spacing is not None:
            raise FormatError("spacing is given, though the image has its own")
        steps = np.sqrt((known[:3, :3] ** 2).sum(axis=0))
    elif spacing is None:
        raise FormatError(
            "the spacing of an array is unknown",
            remedy="pass spacing=(x, y, z) in mm, or an image with an affine",
        )
    else:
        steps = np.asarray(spacing, dtype=float)
    if steps.shape != (3,) or not np.isfinite(steps).all() or (steps <= 0).any():
        raise GeometryError(f"expected three positive voxel sizes in mm, found {spacing}")
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise FormatError(f"expected numbers in the image, found {values.dtype}")
    if np.iscomplexobj(values):
        raise FormatError("expected real numbers in the image, found complex ones")
    chosen = labels != 0 if label is None else labels == label
    if np.issubdtype(labels.dtype, np.floating):
        if np.isnan(labels).any():
            raise FormatError("the mask has values that are not numbers")
        if label is None and (labels != np.rint(labels)).any():
            raise FormatError("the mask holds fractions", remedy="threshold it")
    if not chosen.any():
        what = "the mask is empty" if label is None else f"the mask has no voxel of label {label}"
        raise FormatError(what)
    x, y, z = (float(step) for step in steps)
    region = Region(values.astype(float), chosen, chosen, (x, y, z))
    _check_finite(region)
    return region


def _read(source: Any) -> tuple[NDArray, NDArray | None]:
    if isinstance(source, str | os.PathLike):
        source = load_image(Path(source))
    if hasattr(source, "dataobj"):
        return np.asanyarray(source.dataobj), np.asarray(source.affine, dtype=float)
    return np.asarray(source), None


def _check_same_grid(first: NDArray, second: NDArray, shape: Sequence[int]) -> None:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    apart = np.linalg.norm(((first - second) @ corners)[:3], axis=0).max()
    if not apart <= _SAME_PLACE:
        raise GeometryError(
            f"image and mask lie up to {apart:.3g} mm apart, though their shape is the same",
            remedy="resample the mask to the grid of the image",
        )


def _check_finite(region: Region) -> None:
    bad = int((~np.isfinite(region.image[region.inside])).sum())
    if bad:
        raise FormatError(
            f"{bad} of {int(region.inside.sum())} voxels of the mask have no finite intensity",
            remedy="take them out of the mask",
        )


def resample(
    region: Region, to_mm: float | Sequence[float], order: int, *, rounded: bool
) -> Region:
    """Interpolate to another voxel size, both grids sharing their centre (IBSI 1).

    A voxel belongs to the new mask where the linearly interpolated mask reaches one half.
    """
    step = np.asarray(to_mm, dtype=float)
    if step.ndim == 0:
        step = np.full(3, step)
    if step.shape != (3,) or not np.isfinite(step).all() or (step <= 0).any():
        raise GeometryError(f"resample_mm is one or three positive sizes in mm, found {to_mm}")
    scale = step / region.spacing
    old = np.array(region.shape.shape)
    new = np.ceil(old / scale - 1e-9).astype(int)
    offset = (old - 1) / 2 - scale * (new - 1) / 2
    image = region.image
    if not np.isfinite(image).all():
        # A spline would spread one missing voxel over the whole image.
        raise FormatError(
            "the image has values that are not finite, which can't be interpolated",
            remedy="replace them",
        )
    options: dict[str, Any] = {"offset": offset, "output_shape": tuple(new), "mode": "nearest"}
    image = ndimage.affine_transform(image, scale, order=order, **options)
    share = ndimage.affine_transform(region.shape.astype(float), scale, order=1, **options)
    shape = share >= 0.5 - 1e-9
    if not shape.any():
        raise FormatError(
            f"the mask is empty after resampling to {tuple(step.tolist())} mm",
            remedy="choose smaller voxels",
        )
    x, y, z = (float(value) for value in step)
    return Region(np.rint(image) if rounded else image, shape, shape, (x, y, z))


def resegment(
    region: Region, intensity_range: tuple[float, float] | None, outlier_sd: float | None
) -> Region:
    """Take voxels out of the intensity mask, by range and by distance from the mean."""
    inside = region.inside
    if intensity_range is not None:
        low, high = intensity_range
        if not low < high:
            raise FormatError(f"intensity_range is (low, high), found {intensity_range}")
        inside = inside & (region.image >= low) & (region.image <= high)
    if outlier_sd is not None:
        if not outlier_sd > 0:
            raise FormatError(f"outlier_sd is a positive number, found {outlier_sd}")
        # The mean and SD of the whole mask, before the range (IBSI 1).
        x = region.image[region.shape]
        inside = inside & (np.abs(region.image - x.mean()) <= outlier_sd * x.std())
    if not inside.any():
        raise FormatError("no voxel of the mask is left within the range of intensities")
    return dataclasses.replace(region, inside=inside)


def discretise(
    region: Region,
    method: tuple[str, float] | None,
    intensity_range: tuple[float, float] | None,
    name: str = "discretisation",
) -> tuple[NDArray[np.int64], int, Floats]:
    """Turn intensities into grey levels.

    Returns the levels (0 outside the mask), how many the method has, and the intensity that
    each stands for.
    """
    x = region.image[region.inside]
    low = float(x.min())
    if method is None:
        if (x != np.rint(x)).any() or low < 1:
            raise FormatError(
                "without discretisation, intensities must be whole numbers from 1",
                remedy=f'pass {name}=("fixed_bin_number", 32), for example',
            )
        level = x.astype(np.int64)
        values = np.arange(1, level.max() + 1, dtype=float)
    else:
        kind, size = check_method(method, name)
        if kind == "fixed_bin_number":
            span = float(x.max()) - low
            n = int(size) if span > 0 else 1  # a constant region can't be divided
            # Multiplied first: 100 · (29 / 100) would fall short of 29.
            level = np.floor(n * (x - low) / (span or 1)).astype(np.int64) + 1
            level = np.minimum(level, n)
            values = np.arange(1, n + 1, dtype=float)
        else:
            if intensity_range is not None and np.isfinite(intensity_range[0]):
                low = float(intensity_range[0])
            level = np.floor((x - low) / size).astype(np.int64) + 1
            values = low + size * (np.arange(1, level.max() + 1) - 0.5)
    levels = np.zeros(region.inside.shape, dtype=np.int64)
    levels[region.inside] = level
    return levels, len(values), values


def check_method(method: Any, name: str) -> tuple[str, float]:
    """Return the method of discretisation and its number, if they make sense."""
    remedy = f'{name} is ("fixed_bin_number", n), ("fixed_bin_size", width) or None'
    try:
        kind, size = method
        size = float(size)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{name} is {method!r}", remedy=remedy) from error
    if kind == "fixed_bin_number":
        if size < 2 or size != int(size):
            raise FormatError(f"expected two bins or more, found {size:g}", remedy=remedy)
    elif kind == "fixed_bin_size":
        if not (np.isfinite(size) and size > 0):
            raise FormatError(f"expected a positive bin width, found {size:g}", remedy=remedy)
    else:
        raise FormatError(f"unknown method {kind!r}", remedy=remedy)
    return kind, size
