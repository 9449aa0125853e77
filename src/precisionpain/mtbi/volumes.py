"""The 30 middle slices that the published networks see, and what lies outside of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from ..errors import FormatError, GeometryError, list_some
from ..imaging.files import load_image
from ..imaging.grids import spm_grid
from ._saliency.masks import Sphere

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["slab", "slab_coverage", "slab_range"]

Plane = Literal["axial", "coronal", "sagittal"]

# As SPM12 stores normalised scans: the first axis runs from right to left.
_AXCODES = "LAS"
_ACROSS = {"sagittal": 0, "coronal": 1, "axial": 2}
# Axes of the result, as axes of the volume: the slices first, then what runs up or forward.
_ORDER = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 1, 2)}


def slab(
    volume: np.ndarray | SpatialImage | str | Path,
    plane: Plane,
    n_slices: int = 30,
    *,
    axcodes: str = _AXCODES,
) -> np.ndarray:
    """Cut the middle slices out of a volume, as the published networks see it.

    Sides are anatomical: whatever the orientation of the file, the result runs from the
    right of the body to the left, from posterior to anterior, and from inferior to superior.
    Where the slices can't be centred, the spare one is left out at the far end: of 79 slices
    those with indices 24 to 53, of 95 those from 32 to 61.

    Parameters
    ----------
    volume : numpy.ndarray, nibabel image, str or Path
        A normalised scan: an array of shape (..., x, y, z), or an image of three axes,
        whose affine then says which side is which.
    plane : {"axial", "coronal", "sagittal"}
        Of the slices.
    n_slices : int, default 30
        How many.
    axcodes : str, default "LAS"
        Of an array alone: to where its last three axes run, as nibabel names it; SPM12
        writes "LAS".

    Returns
    -------
    numpy.ndarray, shape (..., n_slices, height, width)
        A copy with the values of the volume. Axes for "axial": z, y, x (30×95×79 on the
        grid of SPM12 with 2 mm); "coronal": y, z, x (30×79×79); "sagittal": x, y, z
        (30×95×79).

    Raises
    ------
    FormatError
        When the plane is unknown, or the volume has fewer slices.
    GeometryError
        When an image lies oblique, or the volume has no three axes.

    See Also
    --------
    slab_coverage : What of which region is inside.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> scan = np.zeros((79, 95, 79))
    >>> [pp.mtbi.slab(scan, plane).shape for plane in ("axial", "coronal", "sagittal")]
    [(30, 95, 79), (30, 79, 79), (30, 95, 79)]
    """
    _check_plane(plane)
    if isinstance(volume, str | Path):
        volume = load_image(volume)
    if isinstance(volume, np.ndarray):
        if volume.ndim < 3:
            raise GeometryError(f"expected an array of three axes or more, found {volume.shape}")
        data = volume
    else:
        data, axcodes = _data_and_axes(volume)
    data = _reorient(data, axcodes)
    axis = data.ndim - 3 + _ACROSS[plane]
    first = _first_slice(data.shape[axis], n_slices)
    data = np.take(data, range(first, first + n_slices), axis=axis)
    leading = range(data.ndim - 3)
    order = [*leading, *(data.ndim - 3 + position for position in _ORDER[plane])]
    return np.ascontiguousarray(data.transpose(order))


def slab_range(plane: Plane, n_slices: int = 30, *, spacing_mm: float = 2.0) -> tuple[float, float]:
    """Tell from where to where the slab reaches, on the grid of SPM12.

    Parameters
    ----------
    plane : {"axial", "coronal", "sagittal"}
        Of the slices.
    n_slices : int, default 30
        How many.
    spacing_mm : float, default 2.0
        Of the grid, whose bounding box is −78 to 78, −112 to 76 and −70 to 85 mm.

    Returns
    -------
    first, last : float
        Centres of the first and the last slice, in mm of the MNI space: z for "axial", y
        for "coronal", x (positive to the right) for "sagittal".

    Raises
    ------
    FormatError
        When the plane is unknown, or the grid has fewer slices.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.mtbi.slab_range("axial"), pp.mtbi.slab_range("sagittal")
    ((-22.0, 36.0), (30.0, -28.0))
    """
    _check_plane(plane)
    shape, affine = spm_grid(spacing_mm)
    axis = _ACROSS[plane]
    start, step = float(affine[axis, 3]), float(affine[axis, axis])
    first = _first_slice(shape[axis], n_slices)
    return start + first * step, start + (first + n_slices - 1) * step


def slab_coverage(
    plane: Plane,
    n_slices: int = 30,
    masks: Mapping[str, SpatialImage | Sphere | str | Path] | None = None,
    *,
    spacing_mm: float = 2.0,
) -> pd.DataFrame:
    """Tell how much of each region a network sees that is given only the middle slices.

    What lies outside of the slab can't be found by the network, nor by its saliency maps.

    Parameters
    ----------
    plane : {"axial", "coronal", "sagittal"}
        Of the slices.
    n_slices : int, default 30
        How many.
    masks : mapping of str to nibabel image, Sphere, str or Path, optional
        Regions in MNI space: images on any grid, whose voxels above 0 belong to the region, or
        balls made by `sphere`; by default those of `PAIN_REGIONS`.
    spacing_mm : float, default 2.0
        Of the grid that the slab is cut from.

    Returns
    -------
    pandas.DataFrame
        One row per region: ``share`` of its volume inside the slab (0 to 1),
        ``volume_mm3``, ``region_from_mm`` and ``region_to_mm`` (its outermost voxel
        centres across the slices; of a ball its ends), ``slab_from_mm`` and
        ``slab_to_mm`` (see `slab_range`).

    Raises
    ------
    FormatError
        When there is no region, or one is empty.
    GeometryError
        When a mask hasn't three axes.

    Notes
    -----
    A voxel counts as inside when its centre is within half a slice of the slab.

    Examples
    --------
    >>> import nibabel, numpy as np
    >>> import precisionpain as pp
    >>> affine = np.diag([2.0, 2.0, 2.0, 1.0])
    >>> affine[:3, 3] = -90, -126, -72
    >>> data = np.zeros((91, 109, 91), dtype="uint8")
    >>> data[30:40, 70:80, 20:30] = 1  # z from -32 to -14 mm
    >>> table = pp.mtbi.slab_coverage("axial", masks={"block": nibabel.Nifti1Image(data, affine)})
    >>> print(table.loc["block", "share"])
    0.5
    """
    first, last = slab_range(plane, n_slices, spacing_mm=spacing_mm)
    if masks is None:
        from .regions import PAIN_REGIONS

        masks = PAIN_REGIONS
    if not masks:
        raise FormatError(
            "expected at least one region, found none",
            where="masks",
            remedy="give, for example, {'right insula': 'insula_right.nii.gz'}",
        )
    low, high = min(first, last) - spacing_mm / 2, max(first, last) + spacing_mm / 2
    rows = {}
    axis = _ACROSS[plane]
    for name, mask in masks.items():
        if isinstance(mask, Sphere):
            rows[name] = _ball(mask, axis, low, high) | {
                "slab_from_mm": first, "slab_to_mm": last
            }  # fmt: skip
            continue
        image = load_image(mask) if isinstance(mask, str | Path) else mask
        if len(image.shape) != 3:
            raise GeometryError(f"expected three axes, found shape {image.shape}", where=name)
        voxels = np.argwhere(np.asanyarray(image.dataobj) > 0)
        if not len(voxels):
            raise FormatError("the mask is empty: no voxel is above 0", where=name)
        affine = np.asarray(image.affine, dtype=float)
        mm = voxels @ affine[axis, :3] + affine[axis, 3]
        rows[name] = {
            "share": float(((mm >= low) & (mm < high)).mean()),
            "volume_mm3": len(voxels) * abs(float(np.linalg.det(affine[:3, :3]))),
            "region_from_mm": float(mm.min()),
            "region_to_mm": float(mm.max()),
            "slab_from_mm": first,
            "slab_to_mm": last,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("region")


def _ball(ball: Sphere, axis: int, low: float, high: float) -> dict[str, float]:
    """Return how much of a ball lies between two planes."""
    centre, radius = ball.center_mm[axis], ball.radius_mm

    def below(plane_mm: float) -> float:
        t = min(max((plane_mm - centre) / radius, -1.0), 1.0)
        return (2 + 3 * t - t**3) / 4

    return {
        "share": below(high) - below(low),
        "volume_mm3": 4 / 3 * math.pi * radius**3,
        "region_from_mm": centre - radius,
        "region_to_mm": centre + radius,
    }


def _data_and_axes(image: Any) -> tuple[np.ndarray, str]:
    """Return the data of an image, and to where its axes run."""
    import nibabel

    if not hasattr(image, "affine"):
        raise FormatError(f"expected an array, an image or a path, found {type(image).__name__}")
    if len(image.shape) != 3:
        raise GeometryError(f"expected an image of three axes, found shape {image.shape}")
    affine = np.asarray(image.affine, dtype=float)[:3, :3]
    directions = affine / np.linalg.norm(affine, axis=0)
    if not (np.abs(directions).max(axis=0) > 0.999).all():  # 2.6 degrees
        raise GeometryError(
            "the image lies oblique: its axes are not those of the body",
            remedy="normalise it to the grid of SPM12 first",
        )
    return np.asanyarray(image.dataobj), "".join(nibabel.aff2axcodes(image.affine))


def _reorient(data: np.ndarray, axcodes: str) -> np.ndarray:
    """Turn the last three axes to where SPM12's run."""
    import nibabel.orientations as orientations

    try:
        turn = orientations.ornt_transform(
            orientations.axcodes2ornt(tuple(axcodes)), orientations.axcodes2ornt(tuple(_AXCODES))
        )
    except ValueError as error:
        raise GeometryError(
            f"expected three letters such as 'LAS', found {axcodes!r}", where="axcodes"
        ) from error
    # apply_orientation turns the first axes and carries the others along.
    last_first = np.moveaxis(data, (-3, -2, -1), (0, 1, 2))
    return np.moveaxis(orientations.apply_orientation(last_first, turn), (0, 1, 2), (-3, -2, -1))


def _first_slice(length: int, n_slices: int) -> int:
    if isinstance(n_slices, bool) or not isinstance(n_slices, int | np.integer) or n_slices < 1:
        raise FormatError(f"expected n_slices of at least 1, found {n_slices!r}")
    if n_slices > length:
        raise FormatError(f"expected at most {length} slices, found n_slices={n_slices}")
    return (length - int(n_slices)) // 2


def _check_plane(plane: str) -> None:
    if plane not in get_args(Plane):
        raise FormatError(f"expected one of {list_some(get_args(Plane))}, found {plane!r}")
