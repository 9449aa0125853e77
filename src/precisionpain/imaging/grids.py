"""The grid on which SPM12 writes normalised scans, and resampling to a grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import FormatError, GeometryError
from .files import load_image

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage

__all__ = ["resample_to_grid", "spm_grid"]

# From, to, in mm of the MNI space along left–right, posterior–anterior, inferior–superior.
BOX_MM = ((-78.0, 78.0), (-112.0, 76.0), (-70.0, 85.0))


def spm_grid(
    spacing_mm: float = 2.0, orientation: Literal["LAS", "RAS"] = "LAS"
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return the grid on which SPM12 writes normalised scans.

    Parameters
    ----------
    spacing_mm : float, default 2.0
        Of the voxels, the same along all axes.
    orientation : {"LAS", "RAS"}, default "LAS"
        To where the axes run: "LAS" as SPM12 stores them, from right to left first; "RAS"
        from left to right.

    Returns
    -------
    shape : tuple of int
        79×95×79 with 2 mm, 157×189×156 with 1 mm.
    affine : numpy.ndarray, shape (4, 4)
        From voxels to mm of the MNI space, whose x is positive on the right.

    Raises
    ------
    FormatError
        When the spacing isn't above 0 and below 40 mm, or the orientation is unknown.

    Notes
    -----
    The bounding box runs from −78 to 78, −112 to 76 and −70 to 85 mm, between centres of
    voxels; where the spacing doesn't divide it, the last axis ends up to half a voxel off.

    Examples
    --------
    >>> import precisionpain as pp
    >>> shape, affine = pp.imaging.spm_grid()
    >>> shape, affine[:3, 3].tolist()
    ((79, 95, 79), [78.0, -112.0, -70.0])
    """
    if not (np.isfinite(spacing_mm) and 0 < spacing_mm < 40):
        raise FormatError(f"expected a spacing above 0 mm and below 40, found {spacing_mm!r}")
    if orientation not in ("LAS", "RAS"):
        raise FormatError(f"expected orientation 'LAS' or 'RAS', found {orientation!r}")
    lengths = [math.floor((end - start) / spacing_mm + 0.5) + 1 for start, end in BOX_MM]
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = [start for start, _ in BOX_MM]
    if orientation == "LAS":
        affine[0, 0], affine[0, 3] = -spacing_mm, BOX_MM[0][1]
    return (lengths[0], lengths[1], lengths[2]), affine


def resample_to_grid(
    image: SpatialImage | str | Path,
    shape: tuple[int, ...],
    affine: np.ndarray,
    order: int = 1,
    *,
    transform: np.ndarray | None = None,
) -> Nifti1Image:
    """Resample an image to a grid in space.

    Parameters
    ----------
    image : nibabel image, str or Path
        Of three axes.
    shape : tuple of int
        Of the grid.
    affine : numpy.ndarray, shape (4, 4)
        Of the grid: from voxels to mm.
    order : int, default 1
        Of the spline: 0 for labels, 1 linear, 3 cubic (which may overshoot the range).
    transform : numpy.ndarray, shape (4, 4), optional
        From mm of the grid to mm of the image, as `register_to_template` finds it; by
        default both are in the same space.

    Returns
    -------
    nibabel.nifti1.Nifti1Image
        float32, or with ``order=0`` the image's own number type. Outside of the image: 0.

    Raises
    ------
    GeometryError
        When the image hasn't three axes, or an affine isn't invertible.
    FormatError
        When the order is none of 0 to 5.

    Notes
    -----
    Where the grid is coarser than the image, the image is first smoothed, so that fine
    structure doesn't turn into coarse noise; not so with ``order=0``.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> import precisionpain as pp
    >>> scan = nibabel.Nifti1Image(np.ones((20, 20, 20), "float32"), np.diag([10, 10, 10, 1]))
    >>> pp.imaging.resample_to_grid(scan, *pp.imaging.spm_grid()).shape
    (79, 95, 79)
    """
    import nibabel
    from scipy import ndimage

    if isinstance(image, str | Path):
        image = load_image(image)
    if len(image.shape) != 3:
        raise GeometryError(f"expected an image of three axes, found shape {image.shape}")
    if order not in range(6):
        raise FormatError(f"expected a spline of order 0 to 5, found {order!r}")
    affine = check_affine(affine, "affine")
    world = np.eye(4) if transform is None else check_affine(transform, "transform")
    # From voxels of the grid to voxels of the image.
    matrix = np.linalg.inv(check_affine(image.affine, "image")) @ world @ affine
    data: Any = np.asanyarray(image.dataobj)
    if order > 0:
        # The fewest voxels of the image that one of the grid spans, along each of its axes.
        stride = np.linalg.norm(matrix[:3, :3], axis=1)
        data = shrink_blur(data.astype(np.float32), stride)
    moved = ndimage.affine_transform(
        data, matrix[:3, :3], matrix[:3, 3], output_shape=tuple(shape), order=order
    )
    resampled = nibabel.Nifti1Image(moved, affine, dtype=moved.dtype)
    resampled.header.set_xyzt_units("mm")
    return resampled


def shrink_blur(data: np.ndarray, stride: np.ndarray) -> np.ndarray:
    """Smooth as much as steps of `stride` voxels need: the wider point spread, less its own."""
    from scipy import ndimage

    # Widths add in squares; 2.355 is the width of a Gaussian at half its height, over sigma.
    sigma = np.sqrt(np.maximum(np.asarray(stride) ** 2 - 1.0, 0.0)) / 2.355
    return ndimage.gaussian_filter(data, sigma) if (sigma > 0).any() else data


def check_affine(affine: Any, where: str) -> np.ndarray:
    """Return an affine that can be inverted, as float64."""
    matrix = np.asarray(affine, dtype=float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(f"expected finite numbers (4, 4), found {matrix.shape}", where=where)
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise GeometryError("the affine is not invertible: its determinant is zero", where=where)
    return matrix
