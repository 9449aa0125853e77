"""What limits of detection are made from: levels, counts, references, and a vendor's table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, FormatError, list_some
from .._layout import about, per_panel, values_of
from .usable import column_medians, labels_of, panels_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["from_counts", "from_table", "measured_level", "reference_ids"]

Array = NDArray[np.float64]
_REFERENCE = ("data_analysis_ref", "data_analysis_ref_id", "DataAnalysisRefID")
_LEVEL = "pc_normalized_npx"


def measured_level(adata: AnnData) -> tuple[Array, Array]:
    """Return the plate-control-normalised NPX, and what was added to it since.

    Returns
    -------
    tuple of numpy.ndarray, both of shape (samples, assays)
        What was added is that of the plate, so that it is known where a value is missing.
    """
    values = values_of(adata)
    if _LEVEL not in adata.layers:
        if "normalization" in adata.var:
            said = adata.var["normalization"].astype(str).str.lower()
            if said.str.contains("intensity").any():
                raise FormatError(
                    f"{int(said.str.contains('intensity').sum())} assays are "
                    "intensity-normalised, and the plate-control-normalised values are absent",
                    where="adata.layers", remedy=f"add them as the layer {_LEVEL!r}",
                )  # fmt: skip
        return values, np.zeros(values.shape)
    pc = np.array(adata.layers[_LEVEL], dtype=np.float64)
    difference = values - pc
    moved = np.zeros(values.shape)
    for rows, columns in _plates(adata):
        moved[np.ix_(rows, columns)] = column_medians(difference[np.ix_(rows, columns)])
    return pc, moved


def _plates(adata: AnnData) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return rows and columns of each plate; one for all where plates aren't known."""
    everything = [(np.arange(adata.n_obs), np.arange(adata.n_vars))]
    if "plate" not in adata.obs and "plate" not in adata.obsm:
        return everything
    by = ["project", "plate"] if "project" in adata.obs else ["plate"]
    table, panels = labels_of(adata, by), panels_of(adata)
    return [
        (np.flatnonzero(table[panel] == plate), np.flatnonzero(panels == panel))
        for panel in table
        for plate in table[panel].unique()
    ]


def from_counts(adata: AnnData, pc: Array, counts: Array, wanted: Array) -> Array:
    """Return counts as NPX, sample by sample.

    NPX = log2(count / extension control) − median of the plate controls. So what is taken off
    the logarithm of a count is known from every cell that has both, and the same count that
    is asked for is placed by it. A cell with no counts takes it from its extension control and
    its plate.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.log2(np.where(counts > 0, counts, np.nan)) - pc
    empty = np.isnan(off)
    if empty.any():
        off = np.where(empty, _off_of_plate(adata, off, counts), off)
    placed: Array = np.log2(wanted) - off
    return placed


def _off_of_plate(adata: AnnData, off: Array, counts: Array) -> Array:
    """Guess for empty cells: the sample's extension control, and the assay's plate."""
    extension = np.zeros(off.shape)
    if "assay_type" in adata.var:
        control = (adata.var["assay_type"].astype(str) == "EXTENSION_CONTROL").to_numpy()
        block = (
            adata.var["block"].astype(str).to_numpy()
            if "block" in adata.var
            else np.full(adata.n_vars, "")
        )
        key = np.array([f"{a}\t{b}" for a, b in zip(panels_of(adata), block, strict=True)])
        extension[:] = np.nan
        for name in pd.unique(key):
            inside, source = key == name, np.flatnonzero(control & (key == name))
            if len(source):
                found = counts[:, source[0]]
                log = np.log2(np.where(found > 0, found, np.nan))
                extension[:, inside] = log[:, None]
    out = np.full(off.shape, np.nan)
    for rows, columns in _plates(adata):
        cell = np.ix_(rows, columns)
        out[cell] = column_medians(off[cell] - extension[cell]) + extension[cell]
    return out


def reference_ids(adata: AnnData) -> NDArray[Any]:
    """Return the data-analysis reference of each value; "" for all where it isn't known."""
    for name in _REFERENCE:
        if name in adata.var:
            row = adata.var[name].astype(str).to_numpy(dtype=object)
            return np.broadcast_to(row, adata.shape)
        if name in adata.obs or name in adata.obsm:
            table = per_panel(adata, name).astype(str)
            place = pd.Index(table.columns.astype(str)).get_indexer(pd.Index(panels_of(adata)))
            if (place < 0).any():
                raise FormatError(
                    f"{int((place < 0).sum())} assays are of a panel without a column",
                    where=f"adata.obsm[{name!r}]",
                )
            found: NDArray[Any] = table.to_numpy(dtype=object)[:, place]
            return found
        if name in adata.layers:
            # Text of each value is kept as codes, −1 for missing.
            words = [*about(adata).get("categories", {}).get(name, []), ""]
            codes = np.nan_to_num(np.asarray(adata.layers[name], np.float64), nan=-1).astype(int)
            known = np.array(words, dtype=object) if len(words) > 1 else None
            return codes.astype(str).astype(object) if known is None else known[codes]
    return np.full(adata.shape, "", dtype=object)


def from_table(
    adata: AnnData, pc: Array, references: NDArray[Any], table: pd.DataFrame | str | Path
) -> tuple[Array, NDArray[Any]]:
    """Return the limits of a table, and whether each is a count or an NPX."""
    where = "table" if isinstance(table, pd.DataFrame) else str(table)
    if not isinstance(table, pd.DataFrame):
        table = pd.read_csv(table, sep=None, engine="python", encoding="utf-8-sig")
    needed = ["OlinkID", "DataAnalysisRefID", "LODNPX", "LODCount", "LODMethod"]
    spelt = {str(c).replace("_", "").lower(): c for c in table.columns}
    absent = [c for c in needed if c.lower() not in spelt]
    if absent:
        raise FormatError(
            f"expected the columns {list_some(needed)}, {list_some(absent)} are absent",
            where=where,
        )
    rows = table[[spelt[c.lower()] for c in needed]].set_axis(needed, axis=1)
    rows = rows.assign(LODMethod=rows["LODMethod"].astype(str).str.strip().str.lower())
    unknown = ~rows["LODMethod"].isin(["lod_npx", "lod_count"])
    if unknown.any():
        raise FormatError(
            f"expected 'lod_npx' or 'lod_count', found "
            f"{list_some(rows.loc[unknown, 'LODMethod'].unique())}",
            where=f"{where}, column 'LODMethod'",
        )
    rows["OlinkID"] = rows["OlinkID"].astype(str)
    rows["DataAnalysisRefID"] = rows["DataAnalysisRefID"].astype(str)
    key = ["OlinkID"] if (references == "").all() else ["OlinkID", "DataAnalysisRefID"]
    rows = rows[rows["OlinkID"].isin(adata.var_names)]
    twice = rows.duplicated(key, keep=False)
    if twice.any():
        raise AlignmentError(
            f"several limits for {list_some(rows.loc[twice, 'OlinkID'].unique())}", where=where,
            remedy="leave one row for each OlinkID and DataAnalysisRefID; without the latter in "
            "adata, choose the rows of the reference that was used",
        )  # fmt: skip
    npx, count = np.full(adata.shape, np.nan), np.full(adata.shape, np.nan)
    for reference in pd.unique(references.ravel()):
        own = rows if reference == "" else rows[rows["DataAnalysisRefID"] == reference]
        own = own.set_index("OlinkID").reindex(adata.var_names)
        inside = references == reference
        by_npx = own["LODNPX"].where(own["LODMethod"] == "lod_npx").to_numpy(dtype=np.float64)
        by_count = own["LODCount"].where(own["LODMethod"] == "lod_count").to_numpy(np.float64)
        npx = np.where(inside, by_npx, npx)
        count = np.where(inside, by_count, count)
    kinds = np.where(np.isnan(npx), np.where(np.isnan(count), "none", "count"), "npx")
    if (kinds == "none").all():
        raise AlignmentError(
            "no row is for an assay and data-analysis reference of adata", where=where,
            remedy=f"the references of adata are {list_some(pd.unique(references.ravel()))}",
        )  # fmt: skip
    if (kinds == "count").any():
        if "count" not in adata.layers:
            raise FormatError(
                f"{int((kinds == 'count').any(axis=0).sum())} limits are counts, and adata has "
                "no layer 'count'",
                where=where, remedy="read an export that has counts",
            )  # fmt: skip
        counts = np.asarray(adata.layers["count"], dtype=np.float64)
        npx = np.where(kinds == "count", from_counts(adata, pc, counts, count), npx)
    return npx, kinds.astype(object)
