"""An assay as a wide sheet: samples below one another, assays side by side, panel by panel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import FormatError
from .._layout import about, as_adata, check_log2, per_panel, values_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["write_wide"]


def write_wide(adata: AnnData, path: Path) -> Path:
    """Write; see `write_npx`."""
    import openpyxl

    as_adata(adata)
    check_log2(adata)
    if "quantified" in adata.layers:
        raise FormatError(
            "concentrations aren't written as a wide sheet",
            where="adata",
            remedy="write a .csv or a .parquet file",
        )
    var = adata.var
    panels = var["panel"].astype(str) if "panel" in var else pd.Series("Olink", index=var.index)
    versions = var["panel_version"] if "panel_version" in var else pd.Series(None, index=var.index)
    titles = [
        f"{panel}({version})" if isinstance(version, str) else panel
        for panel, version in zip(panels, versions, strict=True)
    ]
    title_of = dict(zip(panels, titles, strict=True))
    said = {name: per_panel(adata, name) for name in ("plate", "qc") if _has(adata, name)}
    extra = [
        (
            title_of[panel],
            label,
            said[name][panel] if panel in said[name] else said[name].iloc[:, 0],
        )
        for name, label in (("plate", "Plate ID"), ("qc", "QC Warning"))
        if name in said
        for panel in title_of
    ]
    known = about(adata).get("file_metadata", {})
    ids = adata.obs.get("sample_id", adata.obs_names)
    rows: list[list[Any]] = [
        [known.get("project", "Project"), "precisionpain"],
        ["NPX data"],
        ["Panel", *titles, *(title for title, _, _ in extra)],
        ["Assay", *_cells(var.get("gene", var.index)),
         *(label for _, label, _ in extra)],
        ["Uniprot ID", *_cells(var["uniprot"] if "uniprot" in var else [None] * adata.n_vars)],
        ["OlinkID", *_cells(var.index)],
        [],
    ]  # fmt: skip
    for i, (name, values) in enumerate(zip(ids, values_of(adata), strict=True)):
        rows.append([str(name), *_cells(values), *_cells(cells.iloc[i] for _, _, cells in extra)])
    rows.append([])
    if "lod" in adata.layers:
        rows.append(["LOD", *_cells(_limits(adata))])
    for column, label in (
        ("missing_freq", "Missing Data freq."),
        ("normalization", "Normalization"),
    ):
        if column in var:
            rows.append([label, *_cells(var[column])])
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("NPX Data")
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def _has(adata: AnnData, name: str) -> bool:
    return name in adata.obsm or name in adata.obs


def _limits(adata: AnnData) -> Any:
    """Return one limit per assay, or refuse: the foot of this sheet has room for one."""
    lod = np.asarray(adata.layers["lod"], dtype=np.float64)
    given = np.isfinite(lod)
    low = np.where(given, lod, np.inf).min(axis=0)
    high = np.where(given, lod, -np.inf).max(axis=0)
    if (given.any(axis=0) & (low != high)).any():
        raise FormatError(
            "some assays have several limits of detection, a wide sheet has room for one",
            where="adata.layers['lod']",
            remedy="write a .csv or a .parquet file",
        )
    return np.where(np.isfinite(low), low, np.nan)


def _cells(values: Any) -> list[Any]:
    """Return what Excel holds: numbers, text, and nothing for what is missing."""
    cells = [None if value is None or pd.isna(value) else value for value in values]
    return [float(c) if isinstance(c, float | np.floating) else c for c in cells]
