"""Which values a normalisation may learn from, and the limits of detection that move with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .._layout import QC, is_sample, per_panel, qc_codes_of, values_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "column_medians",
    "is_lod",
    "labels_of",
    "lod_names",
    "panels_of",
    "passing",
    "usable",
]

Array = NDArray[np.float64]


def column_medians(values: Array) -> Array:
    """Return the median of each column without its missing values; NaN for an empty column."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    # Sorting puts NaN last; it's many times faster than numpy.nanmedian.
    ordered = np.sort(values.T, axis=1)
    n = (~np.isnan(ordered)).sum(axis=1)
    column = np.arange(len(n))
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, len(values) - 1)
    middle: Array = np.asarray((ordered[column, low] + ordered[column, high]) / 2, dtype=np.float64)
    middle[n == 0] = np.nan
    return middle


def panels_of(adata: AnnData | pd.DataFrame) -> NDArray[Any]:
    """Return the panel of each assay; "" where assays have none."""
    var = adata if isinstance(adata, pd.DataFrame) else adata.var
    if "panel" not in var:
        return np.full(len(var), "", dtype=object)
    return var["panel"].astype(str).to_numpy(dtype=object)


def labels_of(adata: AnnData, by: Collection[str]) -> pd.DataFrame:
    """Return the group (plate, or project and plate) of each sample, for each panel.

    A sample that wasn't measured on a panel may lack its plate there; its group is "nan".

    Raises
    ------
    FormatError
        When a measured sample has none: it can't be normalised, and must not pass as it is.
    """
    parts = [per_panel(adata, name) for name in by]
    of_assay = panels_of(adata)
    values = values_of(adata) if any(part.isna().any(axis=None) for part in parts) else None
    out = {}
    for panel in pd.unique(of_assay):
        columns = []
        for name, part in zip(by, parts, strict=True):
            if panel not in part:
                raise FormatError(
                    f"expected the panel {panel!r}, found {list_some(part.columns)}",
                    where=f"adata.obsm[{name!r}]",
                )
            column = part[panel]
            missing = column.isna().to_numpy()
            if values is not None:
                missing &= ~np.isnan(values[:, of_assay == panel]).all(axis=1)
            if missing.any():
                raise FormatError(
                    f"{int(missing.sum())} samples have no {name}: "
                    f"{list_some(column.index[missing])}",
                    where=f"the {name} of panel {panel!r}" if panel else f"adata.obs[{name!r}]",
                    remedy=f"give their {name}, or leave the samples out",
                )
            columns.append(column.astype(str).to_numpy(dtype=object))
        out[panel] = [" / ".join(parts_of_one) for parts_of_one in zip(*columns, strict=True)]
    return pd.DataFrame(out, index=adata.obs_names)


def passing(adata: AnnData, exclude_qc: Collection[str]) -> NDArray[np.bool_]:
    """Tell which values passed the quality control of samples.

    Returns
    -------
    numpy.ndarray of shape (samples, assays), or (samples, 1) where all panels share it
    """
    wrong = [kind for kind in exclude_qc if kind not in QC]
    if wrong or isinstance(exclude_qc, str):
        raise FormatError(
            f"expected a list of {list_some(QC)}, found {exclude_qc!r}", where="exclude_qc"
        )
    bad = [QC[kind] for kind in exclude_qc]
    if not bad:
        return np.ones((adata.n_obs, 1), dtype=bool)
    if "sample_qc" in adata.layers:
        return ~np.isin(np.asarray(adata.layers["sample_qc"], dtype=np.float64), bad)
    for name in ("sample_qc", "qc"):
        if name in adata.obsm:
            table: pd.DataFrame = adata.obsm[name]
            codes = np.column_stack([qc_codes_of(table[panel]) for panel in table])
            place = pd.Index(table.columns.astype(str)).get_indexer(pd.Index(panels_of(adata)))
            # A panel that the table doesn't know has no verdict, and passes.
            codes = np.column_stack([codes, np.full(len(codes), np.nan)])
            return ~np.isin(codes[:, place], bad)
        if name in adata.obs:
            return ~np.isin(qc_codes_of(adata.obs[name])[:, None], bad)
    return np.ones((adata.n_obs, 1), dtype=bool)


def usable(adata: AnnData, exclude_qc: Collection[str]) -> NDArray[np.bool_]:
    """Tell which values may be learned from: of people, and of good quality."""
    mask: NDArray[np.bool_] = passing(adata, exclude_qc) & is_sample(adata)[:, None]
    return mask


def is_lod(name: str) -> bool:
    """Tell whether a layer or column of that name holds limits of detection in NPX."""
    low = str(name).lower()
    return low == "lod" or low.endswith("_lod")


def lod_names(adata: AnnData) -> list[str]:
    """Return the names under which limits of detection are kept, in layers and in ``var``."""
    names = [*adata.layers, *(c for c in adata.var if pd.api.types.is_numeric_dtype(adata.var[c]))]
    return list(dict.fromkeys(name for name in names if is_lod(name)))
