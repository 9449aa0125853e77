"""How an assay is kept in an AnnData, in one place.

Rows are samples, columns are assays (Olink) or protein groups (mass spectrometry), and ``X`` is
on the log2 scale: NPX, or log2 of an intensity. Not measured is NaN.

``obs``, index ``sample_id``
    ``subject_id`` and ``visit`` (None where the file doesn't know), ``specimen``,
    ``sample_type`` (one of `SAMPLE_TYPES`), ``plate``, ``well``, and what else the file says of a
    sample.
``var``
    Olink: index ``olink_id``; ``gene`` (the name of the assay), ``uniprot`` (several as
    ``"P1,P2"``), ``panel``, ``assay_type`` (one of `ASSAY_TYPES`), ``normalization``.
    Mass spectrometry: index ``protein_group``; ``gene``, ``uniprot`` (the leading one),
    ``n_peptides`` where known. Of a matrix of genes: index ``gene_group``, ``uniprot`` None.
``layers``
    ``lod`` (NPX), ``count``, ``sample_qc`` and ``assay_qc`` (codes of `QC`; NaN for not said),
    ``intensity`` (linear) for mass spectrometry.
``obsm``
    What a file says of a sample for each panel anew (plate, QC) is a DataFrame, samples ×
    panels, under the name that it would have in ``obs``.
``uns["precisionpain"]``
    ``kind`` (``"npx"``, ``"lfq"`` or ``"rna"``), ``unit``, ``source``, ``product``, ``removed``
    (what a reader left out, by reason).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import FormatError

if TYPE_CHECKING:
    from anndata import AnnData

    from ._transformer import Matrix

__all__ = [
    "ASSAY_TYPES",
    "QC",
    "QC_WORDS",
    "SAMPLE_TYPES",
    "about",
    "as_adata",
    "check_log2",
    "is_assay",
    "is_sample",
    "lod_of",
    "make_adata",
    "per_panel",
    "qc_codes_of",
    "values_of",
]

SAMPLE_TYPES = ("SAMPLE", "CONTROL", "NEGATIVE_CONTROL", "PLATE_CONTROL")
ASSAY_TYPES = ("ASSAY", "INCUBATION_CONTROL", "EXTENSION_CONTROL", "AMPLIFICATION_CONTROL")
QC = {"PASS": 0.0, "WARN": 1.0, "FAIL": 2.0}
# What files call it, in capitals. EXCLUDED is what the software took out: failed.
QC_WORDS = {
    "PASS": QC["PASS"], "PASSED": QC["PASS"], "OK": QC["PASS"],
    "WARN": QC["WARN"], "WARNING": QC["WARN"],
    "MANUAL_WARN": QC["WARN"], "MANUAL_WARNING": QC["WARN"],
    "FAIL": QC["FAIL"], "FAILED": QC["FAIL"], "EXCLUDED": QC["FAIL"],
}  # fmt: skip
_KEY = "precisionpain"


def make_adata(
    values: NDArray[Any],
    obs: pd.DataFrame,
    var: pd.DataFrame,
    *,
    layers: Mapping[str, NDArray[Any]] | None = None,
    obsm: Mapping[str, pd.DataFrame] | None = None,
    **known: Any,
) -> AnnData:
    """Put an assay together.

    Parameters
    ----------
    values : ndarray of shape (samples, assays)
        On the log2 scale.
    obs, var : pandas.DataFrame
        What is known of samples and assays; see the head of this module.
    layers : mapping of str to ndarray, optional
        Arrays of the same shape.
    obsm : mapping of str to pandas.DataFrame, optional
        Samples × panels.
    **known
        ``kind``, ``unit``, ``source``… for ``uns["precisionpain"]``.

    Returns
    -------
    anndata.AnnData
        ``X`` in 64 bits.
    """
    from anndata import AnnData

    obs, var = _writable(obs), _writable(var)
    adata = AnnData(X=np.array(values, dtype=np.float64), obs=obs, var=var)
    for name, layer in (layers or {}).items():
        adata.layers[name] = np.asarray(layer)
    for name, table in (obsm or {}).items():
        adata.obsm[name] = table.reindex(adata.obs_names)
    adata.uns[_KEY] = known
    return adata


def _writable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which texts that nobody knows are categories, which h5ad files can hold."""
    table = table.copy()
    for name in table.columns:
        if table[name].dtype == object and table[name].isna().all():
            table[name] = pd.Categorical(table[name])
    return table


def as_adata(adata: Any, *, what: str = "adata") -> AnnData:
    """Return an AnnData, or say what was found instead."""
    if not hasattr(adata, "obs") or not hasattr(adata, "var") or not hasattr(adata, "layers"):
        raise FormatError(
            f"expected an AnnData (samples × proteins), found {type(adata).__name__}",
            where=what,
            remedy="read the export with read_npx, read_maxquant, read_diann… or read_matrix",
        )
    return adata


def about(adata: AnnData) -> dict[str, Any]:
    """Return what is known of an assay as a whole; empty for an AnnData from elsewhere."""
    return dict(adata.uns.get(_KEY, {}))


def values_of(adata: AnnData) -> NDArray[np.float64]:
    """Return the values as a dense array of 64 bits that may be written to."""
    values = adata.X
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.array(values, dtype=np.float64)


def is_sample(adata: AnnData) -> NDArray[np.bool_]:
    """Tell which rows are samples of people, by their type; a name is no evidence."""
    if "sample_type" not in adata.obs:
        return np.ones(adata.n_obs, dtype=bool)
    return (adata.obs["sample_type"].astype(str).str.upper() == "SAMPLE").to_numpy()


def is_assay(adata: AnnData | Matrix) -> NDArray[np.bool_]:
    """Tell which columns measure a protein, and aren't controls of the method."""
    if "assay_type" not in adata.var:
        return np.ones(len(adata.var), dtype=bool)
    return (adata.var["assay_type"].astype(str).str.upper() == "ASSAY").to_numpy()


def lod_of(adata: AnnData, name: str = "lod") -> NDArray[np.float64] | None:
    """Return limits of detection, samples × assays; None where unknown.

    Parameters
    ----------
    adata : anndata.AnnData
        With the limits in a layer, or in ``var`` where they are the same for all samples.
    name : str, default "lod"
        Of the layer or column.

    Returns
    -------
    numpy.ndarray or None
        May be written to.
    """
    if name in adata.layers:
        return np.array(adata.layers[name], dtype=np.float64)
    if name in adata.var:
        return np.tile(adata.var[name].to_numpy(dtype=np.float64), (adata.n_obs, 1))
    return None


def per_panel(adata: AnnData, name: str) -> pd.DataFrame:
    """Return a property of the samples for each panel.

    Parameters
    ----------
    adata : anndata.AnnData
        With the property in ``obsm`` (samples × panels) or in ``obs``.
    name : str
        For example ``"plate"``.

    Returns
    -------
    pandas.DataFrame
        Samples × panels; one column ``""`` where assays have no panel.

    Raises
    ------
    FormatError
        When neither has it.
    """
    panels = adata.var["panel"].astype(str).unique() if "panel" in adata.var else [""]
    if name in adata.obsm:
        found: pd.DataFrame = adata.obsm[name]
        return found
    if name not in adata.obs:
        raise FormatError(
            f"expected the column {name!r}, found {list(adata.obs.columns)}", where="adata.obs"
        )
    return pd.DataFrame(dict.fromkeys(panels, adata.obs[name]), index=adata.obs_names)


def qc_codes_of(said: pd.Series) -> NDArray[np.float64]:
    """Return the codes of `QC` for words or codes; NaN for what says nothing."""
    if pd.api.types.is_numeric_dtype(said):
        return said.to_numpy(dtype=np.float64, na_value=np.nan)
    spelt = said.astype(object).astype(str).str.strip().str.upper().str.replace(" ", "_")
    words = spelt.map(QC_WORDS).astype(np.float64)
    codes = words.fillna(pd.to_numeric(spelt, errors="coerce"))
    return np.asarray(codes, dtype=np.float64)


def check_log2(adata: AnnData, *, where: str = "adata.X") -> None:
    """Refuse values that can't be on the log2 scale: too large, or infinite.

    Raises
    ------
    FormatError
        When the values look like linear intensities, or some are infinite.
    """
    # A view of a dense array has `toarray` as well, but no `nnz`.
    values = adata.X.data if hasattr(adata.X, "nnz") else np.asarray(adata.X)
    if values.size == 0:
        return
    if np.isinf(values).any():
        raise FormatError(
            f"found {int(np.isinf(values).sum())} infinite values, which the logarithm of 0 gives",
            where=where,
            remedy="an intensity of 0 means not measured: make it NaN before the logarithm",
        )
    top = np.nanmax(values) if np.isfinite(values).any() else 0.0
    if top > 64:
        raise FormatError(
            f"expected values on the log2 scale, found up to {top:.4g}",
            where=where,
            remedy="take log2 of intensities once; NPX is on that scale already",
        )
