"""Radiomic features as the Image Biomarker Standardisation Initiative (IBSI 1) defines them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import DataWarning, list_some
from ._radiomics.options import Aggregation, check_options, choose_families, choose_features
from ._radiomics.prepare import (
    Region,
    check_method,
    discretise,
    read_region,
    resample,
    resegment,
)
from ._radiomics.registry import FEATURES

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["radiomics", "radiomics_table"]

Discretisation = tuple[Literal["fixed_bin_number", "fixed_bin_size"], float]

_SMALL_VOXELS = 1000
_SMALL_MM3 = 1000.0
_ANISOTROPIC = 1.25  # longest over shortest voxel edge from which 3D texture mixes distances
_TEXTURE = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")


def radiomics_table() -> pd.DataFrame:
    """List the features with their IBSI codes, and when not to use them.

    Returns
    -------
    pandas.DataFrame
        One row per feature, by name, in the order of `radiomics`: ``ibsi_code``,
        ``ibsi_tag`` (the abbreviation in IBSI's tables of reference values), ``family``,
        ``unit``, ``never`` (why IBSI advises against the feature) and ``small_mask`` (why
        it means nothing on a small mask); the last two are empty where there is nothing
        to say.

    Examples
    --------
    >>> table = radiomics_table()
    >>> table.loc["cm_joint_entropy", ["ibsi_code", "family", "unit"]].tolist()
    ['TU9B', 'glcm', 'bit']
    >>> len(table)
    174
    """
    return pd.DataFrame(FEATURES).set_index("name")


def radiomics(
    image: str | Path | SpatialImage | ArrayLike,
    mask: str | Path | SpatialImage | ArrayLike,
    *,
    families: str | Iterable[str] | None = None,
    features: Literal["meaningful", "all"] | Iterable[str] = "meaningful",
    discretisation: Discretisation | None = ("fixed_bin_number", 32),
    aggregation: Aggregation = "3d_merged",
    distances: Sequence[int] = (1,),
    label: int | None = None,
    spacing: Sequence[float] | None = None,
    resample_mm: float | Sequence[float] | None = None,
    interpolation: Literal["linear", "cubic"] = "linear",
    round_intensities: bool = False,
    intensity_range: tuple[float, float] | None = None,
    outlier_sd: float | None = None,
    ivh_discretisation: Discretisation | None = ("fixed_bin_number", 1000),
    dependence_coarseness: int = 0,
    slice_axis: int = 2,
) -> pd.Series:
    """Measure the shape, the intensities and the texture of a region.

    Parameters
    ----------
    image : path, nibabel image or array-like of shape (x, y, z)
        Intensities.
    mask : path, nibabel image or array-like of shape (x, y, z)
        The region, on the grid of the image.
    families : str or iterable of str, optional
        Of ``"morphology"``, ``"local_intensity"``, ``"statistics"``, ``"histogram"``,
        ``"volume_histogram"``, ``"glcm"``, ``"glrlm"``, ``"glszm"``, ``"gldzm"``,
        ``"ngtdm"`` and ``"ngldm"``. All by default.
    features : {"meaningful", "all"} or iterable of str, default "meaningful"
        ``"meaningful"`` leaves out what IBSI advises against and, on a small mask, what
        means nothing there: see Notes. Or the names that are wanted.
    discretisation : tuple or None, default ("fixed_bin_number", 32)
        How intensities become grey levels for the histogram and for texture:
        ``("fixed_bin_number", n)``, for images in arbitrary units such as MRI;
        ``("fixed_bin_size", width)``, for calibrated ones, counting from the lower end of
        `intensity_range` or else from the lowest intensity; or None, where the intensities
        are whole numbers from 1 already.
    aggregation : str, default "3d_merged"
        How texture is summed up. ``2d``: a matrix per slice, and features averaged over
        slices; ``2.5d``: slices added into one matrix; ``3d``: neighbours in three
        dimensions. ``averaged``: a matrix per direction, and features averaged over
        directions; ``merged``: directions added into one matrix. Zones, tone differences
        and dependence know no directions, so that both give the same.
    distances : sequence of int, default (1,)
        Chebyshev distances, in voxels, of neighbours for the GLCM, NGTDM and NGLDM.
    label : int, optional
        Value of the mask to measure; by default all voxels that are not 0.
    spacing : sequence of three floats, optional
        Voxel size, mm; for arrays only, an image has its own.
    resample_mm : float or sequence of three floats, optional
        Interpolate to this voxel size, mm, before all else.
    interpolation : {"linear", "cubic"}, default "linear"
        Of the intensities; the mask is always linear, with threshold one half.
    round_intensities : bool, default False
        Round interpolated intensities to whole numbers, as IBSI asks for computed
        tomography.
    intensity_range : tuple of two floats, optional
        Voxels outside (limits included) count for the shape only; infinite limits are
        allowed.
    outlier_sd : float, optional
        Voxels farther from the mean of the mask than this many standard deviations count
        for the shape only.
    ivh_discretisation : tuple or None, default ("fixed_bin_number", 1000)
        As `discretisation`, for the intensity-volume histogram.
    dependence_coarseness : int, default 0
        Difference in grey level up to which the NGLDM takes neighbours for alike.
    slice_axis : {0, 1, 2}, default 2
        Axis across the slices, for the 2D and 2.5D aggregations.

    Returns
    -------
    pandas.Series
        By name; `radiomics_table` lists codes and units. Its ``attrs`` hold
        ``ibsi_codes``, the ``settings``, ``n_voxels`` and ``volume_mm3`` of the mask as
        measured, whether it is ``small``, and the reasons why features were ``left_out``.
        What the region doesn't define (the correlation of a constant region, say) is NaN,
        with a `DataWarning`.

    Raises
    ------
    FormatError
        When the mask is empty, or an intensity in it isn't finite, or an option is unknown.
    GeometryError
        When image and mask differ in shape or place, or a voxel size makes no sense.

    Warns
    -----
    DataWarning
        When a feature is undefined, or voxels are far from cubic and texture is 3D without
        resampling: a neighbour then lies nearer in one direction than in another.

    Notes
    -----
    A mask is small under 1 cm³ or under 1000 voxels, after resampling. Such are nerves
    (some 60 to 100 mm³) and the vessels at their root.

    Morphology and Moran's I and Geary's C are in millimetres. Texture counts voxels: masks
    that were scanned with voxels of different size are comparable only after `resample_mm`.

    References
    ----------
    Zwanenburg et al., Radiology 295, 328 (2020), and the IBSI reference manual,
    arXiv:1612.07003; all reference values of its digital phantom are reproduced.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y, z = np.ogrid[-10:11, -10:11, -10:11]
    >>> ball = x**2 + y**2 + z**2 <= 81
    >>> image = rng.normal(100, 10, ball.shape)
    >>> values = radiomics(image, ball, spacing=(1, 1, 1), families=["morphology", "glcm"])
    >>> values[["morph_volume", "cm_joint_entropy"]].round(1).tolist()
    [3051.2, 8.7]
    >>> values.attrs["ibsi_codes"]["cm_joint_entropy"]
    'TU9B'
    """
    chosen = choose_families(families)
    check_options(aggregation, interpolation, distances, dependence_coarseness, slice_axis)
    if discretisation is not None:
        check_method(discretisation, "discretisation")
    if ivh_discretisation is not None:
        check_method(ivh_discretisation, "ivh_discretisation")
    region = read_region(image, mask, spacing, label)
    if resample_mm is not None:
        order = {"linear": 1, "cubic": 3}[interpolation]
        region = resample(region, resample_mm, order, rounded=round_intensities)
    small = int(region.shape.sum()) < _SMALL_VOXELS or region.volume_mm3 < _SMALL_MM3
    wanted, left_out = choose_features(chosen, features, small=small)
    region = resegment(region, intensity_range, outlier_sd)

    found: dict[str, float] = {}
    needed = {feature.family for feature in FEATURES if feature.name in wanted}
    if "morphology" in needed:
        from ._radiomics.morphology import morphology

        found |= morphology(region.shape, region.inside, region.image, region.spacing, wanted)
    found |= _intensities(region, needed, discretisation, ivh_discretisation, intensity_range)
    if needed.intersection(_TEXTURE):
        _warn_anisotropic(region, aggregation)
        found |= _texture(
            region, needed, discretisation, intensity_range, aggregation, distances,
            dependence_coarseness, slice_axis,
        )  # fmt: skip

    values = pd.Series({f.name: found[f.name] for f in FEATURES if f.name in wanted}, dtype=float)
    values.attrs = {
        "ibsi_codes": {f.name: f.ibsi_code for f in FEATURES if f.name in wanted},
        "settings": {
            "discretisation": discretisation,
            "aggregation": aggregation,
            "distances": list(distances),
            "resample_mm": resample_mm,
            "interpolation": interpolation,
            "round_intensities": round_intensities,
            "intensity_range": intensity_range,
            "outlier_sd": outlier_sd,
            "ivh_discretisation": ivh_discretisation,
            "dependence_coarseness": dependence_coarseness,
            "slice_axis": slice_axis,
        },
        "spacing": region.spacing,
        "n_voxels": int(region.shape.sum()),
        "volume_mm3": region.volume_mm3,
        "small": small,
        "left_out": left_out,
    }
    undefined = values.index[values.isna()]
    if len(undefined):
        warnings.warn(
            f"{len(undefined)} features are undefined for this region of {region.inside.sum()} "
            f"voxels and {len(np.unique(region.image[region.inside]))} different intensities: "
            f"{list_some(undefined)}",
            DataWarning,
            stacklevel=2,
        )
    return values


def _intensities(
    region: Region,
    needed: set[str],
    discretisation: Discretisation | None,
    ivh_discretisation: Discretisation | None,
    intensity_range: tuple[float, float] | None,
) -> dict[str, float]:
    from ._radiomics import intensity

    found: dict[str, float] = {}
    if "local_intensity" in needed:
        found |= intensity.local_peaks(region.image, region.inside, region.spacing)
    if "statistics" in needed:
        found |= intensity.statistics(region.image[region.inside])
    if "histogram" in needed:
        levels, n, _ = discretise(region, discretisation, intensity_range)
        found |= intensity.histogram(levels[region.inside], n)
    if "volume_histogram" in needed:
        levels, n, values = discretise(
            region, ivh_discretisation, intensity_range, "ivh_discretisation"
        )
        found |= intensity.volume_histogram(levels[region.inside], n, values)
    return found


def _texture(
    region: Region,
    needed: set[str],
    discretisation: Discretisation | None,
    intensity_range: tuple[float, float] | None,
    aggregation: str,
    distances: Sequence[int],
    coarseness: int,
    slice_axis: int,
) -> dict[str, float]:
    from ._radiomics import texture
    from ._radiomics.grid import Grid

    levels, n, _ = discretise(region, discretisation, intensity_range)
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(region.shape))
    grid = Grid(
        np.moveaxis(levels[box], slice_axis, 0),
        n,
        np.moveaxis(region.shape[box], slice_axis, 0),
        reach=max(distances),
    )
    found: dict[str, float] = {}
    if "glcm" in needed:
        found |= texture.cooccurrence(grid, aggregation, distances)
    if "glrlm" in needed:
        found |= texture.runs(grid, aggregation)
    if "glszm" in needed:
        found |= texture.size_zones(grid, aggregation)
    if "gldzm" in needed:
        found |= texture.distance_zones(grid, aggregation)
    if "ngtdm" in needed:
        found |= texture.tone(grid, aggregation, distances)
    if "ngldm" in needed:
        found |= texture.dependence(grid, aggregation, distances, coarseness)
    return found


def _warn_anisotropic(region: Region, aggregation: str) -> None:
    ratio = max(region.spacing) / min(region.spacing)
    if aggregation.startswith("3d") and ratio > _ANISOTROPIC:
        sizes = " × ".join(f"{step:.3g}" for step in region.spacing)
        warnings.warn(
            f"3D texture on voxels of {sizes} mm mixes neighbours at different distances; "
            "pass resample_mm=..., or a 2D aggregation",
            DataWarning,
            stacklevel=3,
        )
