"""Regions of the brain, and whether saliency maps favour them more than chance does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import FormatError
from ..stats import adjust_p, permutation_p
from ._saliency.masks import Region, Sphere, check_affine, region_masks
from ._saliency.values import as_maps

__all__ = ["PAIN_REGIONS", "region_statistics", "sphere"]


def sphere(center_mm: Sequence[float], radius_mm: float, source: str = "") -> Sphere:
    """Describe a ball in MNI space, to be used as a region.

    Parameters
    ----------
    center_mm : sequence of three floats
        x (positive to the right), y (to the front) and z (up), in mm.
    radius_mm : float
        In mm.
    source : str, default ""
        Where the numbers were published.

    Returns
    -------
    Sphere
        With these three attributes.

    Raises
    ------
    FormatError
        When the numbers are no place or no size.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.mtbi.sphere((38, 21, -1), 5)
    Sphere(center_mm=(38.0, 21.0, -1.0), radius_mm=5.0, source='')
    """
    return Sphere(tuple(float(each) for each in center_mm), float(radius_mm), source)  # type: ignore[arg-type]


_DOSENBACH = "Dosenbach et al., Science 329, 1358 (2010), regions of 10 mm diameter"
_LINNMAN = "Linnman et al., NeuroImage 60, 505 (2012), centre of the reported activations"

#: Balls in the regions that the published saliency maps point to, by name.
PAIN_REGIONS: Mapping[str, Sphere] = MappingProxyType(
    {
        "right anterior insula": sphere((38, 21, -1), 5, _DOSENBACH),
        "left anterior insula": sphere((-36, 18, 2), 5, _DOSENBACH),
        "right mid insula": sphere((37, -2, -3), 5, _DOSENBACH),
        "left mid insula": sphere((-36, -12, 15), 5, _DOSENBACH),
        "right vmPFC": sphere((8, 42, -5), 5, _DOSENBACH),
        "left vmPFC": sphere((-6, 50, -1), 5, _DOSENBACH),
        "PAG": sphere((1, -29, -12), 6, _LINNMAN),
    }
)


def region_statistics(
    maps: ArrayLike,
    regions: Any,
    affine: ArrayLike,
    *,
    null_maps: ArrayLike | Mapping[str, ArrayLike] | None = None,
    relative: bool = True,
    within: ArrayLike | None = None,
) -> pd.DataFrame:
    """Compare the saliency of regions with that of networks that learned nothing.

    Every map has a brightest region. Whether it would be the same one without a disease is
    told by maps that were made in the same way from permuted labels (`permuted_null`), or from
    a network with random weights (`random_weight_null`).

    Parameters
    ----------
    maps : array-like of shape (depth, height, width) or (n, depth, height, width)
        The observed map; several are averaged.
    regions : mapping, or (label image, names)
        By name a `sphere`, an image or path in MNI space (voxels above 0), or a mask on the
        voxels of the map. Or an atlas: an image or path of labels, with names as a mapping
        from label to name, or as a list for the labels 1, 2, 3, …
    affine : array-like of shape (4, 4)
        From voxels of the map to mm in MNI space, such as ``classifier.slab_affine_``.
    null_maps : array-like of shape (n_null, depth, height, width), or mapping, optional
        One map per draw, each made as the observed one was: a mean map of as many people
        as there were. Several kinds by name give a table for each.
    relative : bool, default True
        Whether every map is divided by its mean first, so that regions are compared with
        the rest of the same map. False compares the brightness itself, in which a map that
        is bright everywhere has bright regions.
    within : array-like of bool, shape (depth, height, width), optional
        The voxels that count, such as a brain mask; all by default.

    Returns
    -------
    pandas.DataFrame
        Index ``region``, before it ``null`` where there are several kinds. ``n_voxels``,
        ``share`` (of the region's volume that the slab holds), ``mean``, ``rank`` (1 is the
        brightest region); with nulls also ``null_mean``, ``z`` (in standard deviations of
        the null), ``p_value`` (one-sided, (1 + b) / (1 + n)), ``q_value`` (Benjamini &
        Hochberg over the regions) and ``p_family`` (against the largest ``z`` of each null map
        over the regions: the chance that any region looks like this). A region outside the
        slab has NaN, and isn't counted.

    Raises
    ------
    FormatError
        When maps are not finite, there is no region, or null maps are of another shape.
    GeometryError
        When the affine or an image makes no sense.

    Notes
    -----
    With n null maps no p is below 1 / (1 + n). A q-value below 0.05 for one of 10 regions
    needs 200 or more. ``p_family`` needs 20, as it is corrected already; it holds when labels
    are permuted, which is the null of all regions at once [3]_, and is stricter than a
    q-value. The p-value holds when the observed map is one more draw
    of the null: random weights answer another question than permuted labels, namely whether
    training matters at all.

    References
    ----------
    .. [1] Adebayo J, et al. Sanity checks for saliency maps. NeurIPS 2018.
    .. [2] Phipson B, Smyth GK. Permutation p-values should never be zero. Statistical
       Applications in Genetics and Molecular Biology 9, 39, 2010.
    .. [3] Westfall PH, Young SS. Resampling-based multiple testing. Wiley 1993 (single-step
       maxT).

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> rng = np.random.default_rng(0)
    >>> affine = np.diag([2.0, 2.0, 2.0, 1.0])
    >>> regions = {name: pp.mtbi.sphere((x, 10, 10), 4) for name, x in [("a", 6), ("b", 20)]}
    >>> observed, null = rng.random((14, 11, 11)), rng.random((99, 14, 11, 11))
    >>> observed[2:5, 4:7, 4:7] += 1
    >>> table = pp.mtbi.region_statistics(observed, regions, affine, null_maps=null)
    >>> table["p_value"].to_dict()["a"], int(table.loc["a", "rank"])
    (0.01, 1)
    """
    matrix = check_affine(affine)
    observed = np.asarray(maps)
    observed = as_maps(observed, "maps", 4 if observed.ndim == 4 else 3)
    observed = observed.mean(axis=0) if observed.ndim == 4 else observed
    shape = observed.shape
    masks = region_masks(regions, shape, matrix)
    if within is None:
        inside = np.ones(shape, dtype=bool)
    else:
        inside = np.asarray(within).astype(bool)
        if inside.shape != shape or not inside.any():
            raise FormatError(
                f"expected a mask of shape {shape} with voxels in it, found {inside.shape} with "
                f"{int(inside.sum())}",
                where="within",
            )
    masks = {name: Region(one.mask & inside, one.share) for name, one in masks.items()}
    names = list(masks)
    table = pd.DataFrame(
        {
            "n_voxels": [int(masks[name].mask.sum()) for name in names],
            "share": [masks[name].share for name in names],
            "mean": _means(observed[None], masks, inside, relative)[0],
        },
        index=pd.Index(names, name="region"),
    )
    table["rank"] = table["mean"].rank(ascending=False, method="min").astype("Int64")
    if null_maps is None:
        return table
    if isinstance(null_maps, Mapping):
        if not null_maps:
            raise FormatError("expected at least one kind of null maps", where="null_maps")
        parts = {
            str(kind): _tested(table, _null(each, shape, str(kind)), masks, inside, relative)
            for kind, each in null_maps.items()
        }
        return pd.concat(parts, names=["null"])
    return _tested(table, _null(null_maps, shape, "null_maps"), masks, inside, relative)


def _null(maps: ArrayLike, shape: tuple[int, ...], where: str) -> np.ndarray:
    values = as_maps(maps, where)
    if values.shape[1:] != shape:
        raise FormatError(
            f"expected null maps of shape (n, {', '.join(map(str, shape))}), found {values.shape}",
            where=where,
            remedy="make them from the same slabs as the observed map",
        )
    return values


def _tested(
    table: pd.DataFrame, null: np.ndarray, masks: Mapping[str, Region], inside: np.ndarray,
    relative: bool,
) -> pd.DataFrame:  # fmt: skip
    draws = _means(null, masks, inside, relative)
    mean, spread = draws.mean(axis=0), np.full(draws.shape[1], np.nan)
    if len(draws) > 1:
        spread = draws.std(axis=0, ddof=1)
    seen = table["mean"].to_numpy()
    p = [
        permutation_p(value, column) if np.isfinite(value) else float("nan")
        for value, column in zip(seen, draws.T, strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (seen - mean) / spread
    tested = table.assign(
        null_mean=mean, z=z, p_value=p, q_value=adjust_p(p), p_family=_family(seen, draws)
    )
    columns = ["n_voxels", "share", "mean", "null_mean", "z", "p_value", "q_value", "p_family"]
    return tested[[*columns, "rank"]]


def _family(seen: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return p-values against the largest of all regions, each on the scale of its own draws.

    The observed map is one of the draws, so that all of them are treated alike.
    """
    everything = np.vstack([seen, draws])
    known = np.isfinite(seen)
    result = np.full(len(seen), np.nan)
    spread = everything[:, known].std(axis=0)
    z = (everything[:, known] - everything[:, known].mean(axis=0)) / np.where(spread > 0, spread, 1)
    if known.any():
        result[known] = (z.max(axis=1)[:, None] >= z[0]).mean(axis=0)
    return result


def _means(
    maps: np.ndarray, masks: Mapping[str, Region], inside: np.ndarray, relative: bool
) -> np.ndarray:
    """Return the mean of each map in each region, shape (n_maps, n_regions)."""
    flat = maps.reshape(len(maps), -1)
    means = np.full((len(maps), len(masks)), np.nan)
    for column, region in enumerate(masks.values()):
        if region.mask.any():
            means[:, column] = flat[:, region.mask.ravel()].mean(axis=1, dtype=np.float64)
    if relative:
        whole = flat[:, inside.ravel()].mean(axis=1, dtype=np.float64)
        if (whole <= 0).any():
            raise FormatError(
                "a map has a mean of zero or below, so nothing can be relative to it",
                where="maps",
                remedy="give maps without signs, or relative=False",
            )
        means /= whole[:, None]
    return means
