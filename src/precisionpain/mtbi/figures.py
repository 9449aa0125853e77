"""Saliency maps on the template: as a NIfTI file, and as a figure in three planes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .._plot_style import INK, MUTED, NORMAL, SMALL
from ..errors import FormatError, GeometryError, StorageError
from ..imaging.files import load_image
from ..plots import mark_synthetic
from ._saliency.masks import check_affine
from ._saliency.values import as_map
from ._saliency.views import PLANES, Volume, draw_plane, spm_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_saliency", "save_map"]


def save_map(map: ArrayLike, affine: ArrayLike, path: str | Path, template: Any = None) -> Path:
    """Put a map back on the template, and write it as a NIfTI file.

    Parameters
    ----------
    map : array-like of shape (depth, height, width)
        On the voxels of a slab.
    affine : array-like of shape (4, 4)
        From its voxels to mm in MNI space, such as ``classifier.slab_affine_``.
    path : str or Path
        Ends in .nii or .nii.gz.
    template : path or nibabel image, optional
        Whose grid is taken; by default that of SPM12 with the slab's voxel size, such as
        79×95×79 voxels of 2 mm.

    Returns
    -------
    Path
        Of the file: float32, zeros outside the slab.

    Raises
    ------
    GeometryError
        When the map's voxels are not voxels of the template: nothing is resampled.
    FormatError
        When the map isn't finite, or the name has another ending.
    StorageError
        When the file can't be written.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> import precisionpain as pp
    >>> axial = [[0, 0, -2, 78], [0, 2, 0, -112], [2, 0, 0, -22], [0, 0, 0, 1]]
    >>> map = np.random.default_rng(0).random((30, 95, 79))
    >>> path = pp.mtbi.save_map(map, axial, tempfile.mkdtemp() + "/map.nii.gz")
    >>> nibabel.load(path).shape
    (79, 95, 79)
    """
    import nibabel

    values, own = as_map(map), check_affine(affine)
    target = Path(path)
    if not target.name.endswith((".nii", ".nii.gz")):
        raise FormatError(
            f"expected a name that ends in .nii or .nii.gz, found {target.name!r}", where="path"
        )
    if template is None:
        shape, grid = spm_grid(float(np.abs(own[:3, :3]).max()))
    else:
        image = load_image(template) if isinstance(template, str | Path) else template
        if not hasattr(image, "affine") or len(image.shape) < 3:
            raise FormatError("expected an image or a path", where="template")
        shape, grid = tuple(image.shape[:3]), check_affine(image.affine, "template")
    index = np.indices(values.shape).reshape(3, -1).T
    to_grid = np.linalg.inv(grid) @ own
    exact = index @ to_grid[:3, :3].T + to_grid[:3, 3]
    voxel = np.round(exact).astype(int)
    if np.abs(exact - voxel).max() > 0.01 or len(np.unique(voxel, axis=0)) < len(voxel):
        raise GeometryError(
            "the map's voxels lie between those of the template, or several in one",
            where="template",
            remedy="give the template that the scans were normalised to, with the same voxel size",
        )
    if (voxel < 0).any() or (voxel >= shape).any():
        raise GeometryError(
            "the slab reaches beyond the template",
            where="affine",
            remedy="give the affine of the slab and the template that it was cut from",
        )
    data = np.zeros(shape, dtype=np.float32)
    data[tuple(voxel.T)] = values.ravel()
    written = nibabel.Nifti1Image(data, grid)
    written.set_sform(grid, code="mni")
    written.set_qform(grid, code="mni")
    written.header["descrip"] = b"saliency map"
    try:
        written.to_filename(target)
    except OSError as error:
        raise StorageError(f"the map can't be written ({error})", where=str(target)) from error
    return target


def plot_saliency(
    map: ArrayLike,
    background: Any,
    affine: ArrayLike,
    ax: Axes | None = None,
    *,
    position: tuple[float, float, float] | None = None,
    threshold: float = 0.5,
    convention: Literal["radiological", "neurological"] = "radiological",
    title: str = "Saliency",
    synthetic: bool = False,
) -> Axes:
    """Show a map over a scan, in an axial, a coronal and a sagittal plane.

    Parameters
    ----------
    map : array-like of shape (depth, height, width)
        On the voxels of a slab; values from 0 to 1.
    background : path, nibabel image, array of the map's shape, or None
        A scan in MNI space, such as the template or the mean of the people; or the slab
        itself. None shows the map alone.
    affine : array-like of shape (4, 4)
        From voxels of the map to mm in MNI space, such as ``classifier.slab_affine_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    position : (float, float, float), optional
        Where the planes meet, in mm; by default the brightest voxel.
    threshold : float, default 0.5
        Values below are left out, so that the anatomy shows.
    convention : {"radiological", "neurological"}, default "radiological"
        The patient's left is on the right of the picture, or on the left.
    title : str, default "Saliency"
        Title.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        With three axes inside (``ax.child_axes``), in mm. R and L are the patient's sides; a
        dashed frame is the edge of the slab, beyond which the network saw nothing.

    Raises
    ------
    FormatError
        When map, threshold or convention make no sense.
    GeometryError
        When the affine makes no sense or the position lies outside the picture.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> axial = [[0, 0, -2, 78], [0, 2, 0, -112], [2, 0, 0, -22], [0, 0, 0, 1]]
    >>> map = np.zeros((30, 95, 79))
    >>> map[10, 60, 20] = 1
    >>> ax = pp.mtbi.plot_saliency(map, None, axial, synthetic=True)
    >>> ax.get_title(loc="left")
    'Saliency at x = 38, y = 8, z = -2 mm'
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    values = as_map(map)
    if not 0 <= threshold < 1:
        raise FormatError(f"expected a threshold from 0 to below 1, found {threshold!r}")
    if values.min() < 0 or values.max() > 1:
        raise FormatError(
            f"expected values from 0 to 1, found {values.min():g} to {values.max():g}",
            where="map",
            remedy="make it with normalize=True",
        )
    if convention not in ("radiological", "neurological"):
        raise FormatError(
            f"expected convention 'radiological' or 'neurological', found {convention!r}"
        )
    overlay = Volume(values, check_affine(affine))
    scan = _background(background, overlay)
    if position is None:
        brightest = np.unravel_index(int(values.argmax()), values.shape)
        place = overlay.world(np.array([brightest], dtype=float))[0]
    else:
        place = np.asarray(position, dtype=float)
    low, high = scan.box()
    if place.shape != (3,) or (place < low).any() or (place > high).any():
        raise GeometryError(
            f"the position {tuple(place.tolist())} lies outside the picture, which reaches from "
            f"{tuple(low.tolist())} to {tuple(high.tolist())} mm",
            where="position",
        )
    if ax is None:
        ax = Figure(figsize=(9.6, 4.1)).add_axes((0.01, 0.07, 0.97, 0.77))
    ax.set_axis_off()
    x, y, z = (round(each) for each in place.tolist())
    ax.set_title(f"{title} at x = {x}, y = {y}, z = {z} mm", loc="left", fontsize=NORMAL,
                 fontweight="bold", color=INK, pad=20)  # fmt: skip
    side = "right" if convention == "radiological" else "left"
    ax.text(0, 1.015, f"{convention}: the patient's left is on the {side}",
            transform=ax.transAxes, va="bottom", fontsize=SMALL, color=MUTED)  # fmt: skip
    # Without its darkest quarter, which would look like a hole in the scan.
    shades = ListedColormap(colormaps["inferno"](np.linspace(0.25, 1, 256)))
    norm = Normalize(threshold, 1.0)
    extent = high - low
    across = np.array([extent[0], extent[0], extent[1]])  # mm from left to right, per plane
    widths = 0.89 * across / across.sum()  # one scale for all three
    for plane, start, width in zip(PLANES, np.cumsum(widths) - widths, widths, strict=True):
        inner = ax.inset_axes((float(start), 0.0, float(width) - 0.01, 1.0))
        draw_plane(inner, plane, scan, overlay, place, shades, norm,
                   flip=convention == "radiological")  # fmt: skip
    bar_axes = ax.inset_axes((0.93, 0.14, 0.014, 0.72))
    bar = ax.figure.colorbar(ScalarMappable(norm, shades), cax=bar_axes)
    bar.set_label("Saliency (1: the brightest voxel)" if values.max() == 1 else "Saliency",
                  fontsize=SMALL, color=INK)  # fmt: skip
    bar.ax.tick_params(labelsize=SMALL, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
    if synthetic:
        mark_synthetic(ax)
        # Above the three pictures, which are axes of their own.
        ax.texts[-1].set(alpha=0.55, zorder=20)
    return ax


def _background(background: Any, overlay: Volume) -> Volume:
    if background is None:
        return Volume(np.zeros_like(overlay.data), overlay.affine)
    if isinstance(background, np.ndarray):
        if background.shape != overlay.data.shape:
            raise GeometryError(
                f"expected a background of the map's shape {overlay.data.shape}, found "
                f"{background.shape}",
                where="background",
                remedy="give an image, whose affine says where it lies",
            )
        return Volume(as_map(background, "background"), overlay.affine)
    image = load_image(background) if isinstance(background, str | Path) else background
    if not hasattr(image, "affine") or len(image.shape) != 3:
        raise GeometryError(
            "expected an image of three axes, a path or an array", where="background"
        )
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    return Volume(data, check_affine(image.affine, "background"))
