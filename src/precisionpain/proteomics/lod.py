"""Limits of detection: estimated from negative controls, taken from a table, and counted against.

A limit of detection says where an assay stops telling a sample from an empty well. Values below
it stay as they were measured; nothing here changes them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataWarning, FormatError, list_some
from ._layout import as_adata, is_assay, is_sample, lod_of, values_of
from ._normalization.limits import from_counts, from_table, measured_level, reference_ids
from ._normalization.steps import log_step
from ._normalization.usable import column_medians, passing

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["below_lod", "estimate_lod"]

Array = NDArray[np.float64]
_FEWEST = 10
_FEW_COUNTS = 150.0


def estimate_lod(
    adata: AnnData,
    method: str = "negative_controls",
    *,
    table: pd.DataFrame | str | Path | None = None,
    min_controls: int = _FEWEST,
) -> AnnData:
    """Add limits of detection, in NPX, as the layer ``lod``.

    From negative controls, for each assay and each data-analysis reference: median +
    max(0.2, 3 SD) of their plate-control-normalised NPX. Where none of the controls has more
    than 150 counts, the limit is a count, max(150, twice the highest), and in NPX
    log2(count / counts of the extension control) − median of the plate controls, which
    differs from sample to sample. Where values were normalised further (there is a layer
    ``pc_normalized_npx``), the limits are moved by the same amount, plate by plate.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays in NPX, with the negative controls. For counts the layer ``count``;
        for values that are no longer plate-control-normalised the layer
        ``pc_normalized_npx``. The data-analysis reference is ``data_analysis_ref`` in ``obs``,
        ``obsm``, ``var`` or ``layers``; without it all samples share one.
    method : {"negative_controls", "fixed", "both"}, default "negative_controls"
        ``"fixed"`` takes the limits from `table`. ``"both"`` gives the layers ``nc_lod`` and
        ``fixed_lod``; ``lod`` is then the first where there is one, else the second.
    table : pandas.DataFrame or path, optional
        Fixed limits: ``OlinkID``, ``DataAnalysisRefID``, ``LODNPX``, ``LODCount`` and
        ``LODMethod`` (``"lod_npx"`` or ``"lod_count"``).
    min_controls : int, default 10
        Negative controls that each reference needs. One that passed no panel doesn't count.

    Returns
    -------
    anndata.AnnData
        A copy with the layer ``lod`` in place of an older one (and ``nc_lod``, ``fixed_lod``), with
        ``var["lod_method"]`` (``"npx"``, ``"count"``, ``"mixed"`` or ``"none"``), and what was
        done in ``uns["precisionpain"]["normalization"]``.

    Raises
    ------
    FormatError
        With fewer negative controls than `min_controls` in every reference, without what a
        method needs, or when the table lacks columns.
    AlignmentError
        When the table gives two limits for one assay and reference, or none at all.

    Warns
    -----
    DataWarning
        When assays end up without a limit, or a reference has too few controls.

    References
    ----------
    Olink Proteomics. Calculating LOD from Olink Explore data, tutorial of 2024.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> with_lod = estimate_lod(adata, min_controls=6)
    >>> with_lod.layers["lod"].shape == adata.shape
    True
    """
    adata = as_adata(adata)
    if method not in ("negative_controls", "fixed", "both"):
        raise FormatError(
            f"expected 'negative_controls', 'fixed' or 'both', found {method!r}", where="method"
        )
    if (method != "negative_controls") != (table is not None):
        raise FormatError(
            f"method={method!r} with{'out' if table is None else ''} a table of fixed limits",
            where="table", remedy="pass table= with method='fixed' or 'both', and only then",
        )  # fmt: skip
    pc, moved = measured_level(adata)
    references = reference_ids(adata)
    found: dict[str, tuple[Array, NDArray[Any]]] = {}
    step: dict[str, Any] = {"method": "lod", "lod_method": method}
    if method != "fixed":
        limits, kinds, counted = _from_controls(adata, pc, references, min_controls)
        found["nc_lod"] = (limits, kinds)
        step.update(counted)
    if table is not None:
        found["fixed_lod"] = from_table(adata, pc, references, table)
    out = adata.copy()
    for name, (limits, _) in found.items():
        out.layers[name] = limits + moved
    kinds = next(iter(found.values()))[1].copy()
    lod = np.full(adata.shape, np.nan)
    for name, (_, own_kinds) in found.items():
        empty = np.isnan(lod)
        lod[empty] = out.layers[name][empty]
        kinds[empty] = own_kinds[empty]
    out.layers["lod"] = lod
    if len(found) == 1:
        del out.layers[next(iter(found))]
    # An older limit in `var` would contradict the layer.
    if "lod" in out.var:
        del out.var["lod"]
    out.var["lod_method"] = _method_of(kinds, lod)
    without = adata.var_names[np.isnan(lod[is_sample(adata)]).all(axis=0) & is_assay(adata)]
    if len(without):
        warnings.warn(
            DataWarning(f"{len(without)} assays have no limit of detection: {list_some(without)}"),
            stacklevel=2,
        )
    log_step(out, {**step, "n_assays_without": len(without)})
    return out


def _from_controls(
    adata: AnnData, pc: Array, references: NDArray[Any], min_controls: int
) -> tuple[Array, NDArray[Any], dict[str, Any]]:
    """Return the limits (plate-control-normalised), how each was found, and counts."""
    if "sample_type" not in adata.obs:
        raise FormatError(
            "expected the column 'sample_type', which tells the negative controls",
            where="adata.obs",
        )
    kind = adata.obs["sample_type"].astype(str).str.upper().to_numpy()
    blank = kind == "NEGATIVE_CONTROL"
    # A control counts if it passed anywhere: one panel's failure says nothing of the others.
    good = blank & passing(adata, ("WARN", "FAIL")).any(axis=1)
    counts = np.asarray(adata.layers["count"], np.float64) if "count" in adata.layers else None
    limits = np.full(adata.shape, np.nan)
    kinds = np.full(adata.shape, "none", dtype=object)
    few: dict[str, int] = {}
    for reference in pd.unique(references.ravel()):
        inside = references == reference
        used = good[:, None] & inside & ~np.isnan(pc) & is_assay(adata)
        n = used.sum(axis=0)
        enough = n >= min_controls
        measured = inside.any(axis=0) & is_assay(adata)
        if (measured & ~enough).any():
            few[str(reference)] = int(n[measured].min())
        own = np.where(used, pc, np.nan)
        level = column_medians(own) + np.maximum(0.2, 3 * _sd(own))
        level[~enough] = np.nan
        limit = np.broadcast_to(level, adata.shape)
        how = np.where(np.isnan(level), "none", "npx").astype(object)
        if counts is not None:
            blank_counts = np.where(used, counts, np.nan)
            top = np.where(np.isnan(blank_counts), -np.inf, blank_counts).max(axis=0)
            by_count = enough & (top <= _FEW_COUNTS) & np.isfinite(top)
            wanted = np.where(by_count, np.maximum(_FEW_COUNTS, 2 * top), np.nan)
            limit = np.where(by_count, from_counts(adata, pc, counts, wanted), limit)
            how[by_count] = "count"
        limits[inside] = limit[inside]
        kinds[inside] = np.broadcast_to(how, adata.shape)[inside]
    if (kinds == "none").all():
        raise FormatError(
            f"expected {min_controls} negative controls that passed, found {int(good.sum())} "
            f"(of {int(blank.sum())}), in {len(pd.unique(references.ravel()))} data-analysis "
            "references",
            where="adata.obs['sample_type']",
            remedy="take fixed limits (method='fixed', table=...)",
        )
    if few:
        warnings.warn(
            DataWarning(
                f"{len(few)} data-analysis references have fewer than {min_controls} negative "
                f"controls for some assays, which get no limit: {list_some(few)}"
            ),
            stacklevel=3,
        )
    return limits, kinds, {
        "n_controls": int(good.sum()), "n_controls_left_out": int((blank & ~good).sum()),
    }  # fmt: skip


def _sd(values: Array) -> Array:
    """Return the standard deviation (n − 1) of each column without its missing values."""
    n = (~np.isnan(values)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=0) / n
        sd: Array = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / (n - 1))
    return np.where(n > 1, sd, np.nan)


def _method_of(kinds: NDArray[Any], lod: Array) -> NDArray[Any]:
    """Say of each assay how its limits were found."""
    out = np.full(kinds.shape[1], "none", dtype=object)
    for name in ("npx", "count"):
        there = ((kinds == name) & ~np.isnan(lod)).any(axis=0)
        out[there] = np.where(out[there] == "none", name, "mixed")
    return out


def below_lod(adata: AnnData, *, layer: str = "lod", flag_above: float = 0.5) -> pd.DataFrame:
    """Count the values below the limit of detection, assay by assay.

    Nothing is changed or left out: a protein that one group has and the other lacks is below
    the limit in half of the samples, and worth keeping.

    Parameters
    ----------
    adata : anndata.AnnData
        With the layer, or the column of ``var``, that holds the limits. Only samples of people
        and assays of proteins are counted.
    layer : str, default "lod"
        Name of the limits.
    flag_above : float, default 0.5
        Share from which an assay is flagged.

    Returns
    -------
    pandas.DataFrame
        One row per assay: ``gene``, ``panel`` (where known), ``n`` (measured, with a limit),
        ``n_below``, ``share`` (NaN where n is 0), ``flagged``.

    Raises
    ------
    FormatError
        When there are no limits of that name.

    Examples
    --------
    >>> import precisionpain as pp
    >>> table = below_lod(pp.datasets.sample_tn().assays["csf_pea"])
    >>> bool(table["share"].between(0, 1).all())
    True
    """
    adata = as_adata(adata)
    limits = lod_of(adata, layer)
    if limits is None:
        raise FormatError(
            f"expected the limits {layer!r}, found the layers {list_some(adata.layers)}",
            where="adata", remedy="add them with estimate_lod",
        )  # fmt: skip
    rows, columns = is_sample(adata), is_assay(adata)
    values = values_of(adata)[np.ix_(rows, columns)]
    limits = limits[np.ix_(rows, columns)]
    known = ~np.isnan(values) & ~np.isnan(limits)
    n = known.sum(axis=0)
    below = (known & (values < limits)).sum(axis=0)
    out = adata.var.loc[columns, [c for c in ("gene", "panel") if c in adata.var]].copy()
    out["n"], out["n_below"] = n, below
    out["share"] = np.where(n > 0, below / np.maximum(n, 1), np.nan)
    out["flagged"] = out["share"] > flag_above
    return out
