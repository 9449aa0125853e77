"""The rules that checks and cleaning share, so that both mean the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._layout import is_assay, is_sample, lod_of, per_panel, qc_codes_of, values_of
from .._lfq.names import is_contaminant, is_decoy, members

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "FOREIGN",
    "Measured",
    "accessions",
    "bad_accessions",
    "below_lod",
    "foreign",
    "malformed_ids",
    "missing_share",
    "plates_of",
    "qc_codes",
    "quantile",
    "split_names",
    "types_of",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# What doesn't belong among the proteins of a sample, with how a message calls it.
FOREIGN = {
    "contaminant": "a contaminant",
    "decoy": "a decoy",
    "only_by_site": "identified by a modified site only",
}
_OLINK_ID = re.compile(r"OID\d{5}")
# The pattern that UniProt documents for its accessions, with an isoform's number.
_ACCESSION = re.compile(
    r"([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-\d+)?"
)
_SEPARATOR = re.compile(r"[;,_\s]+")


class Measured:
    """The samples of people and the assays of proteins, without the controls of either.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays.

    Attributes
    ----------
    values : numpy.ndarray of shape (all rows, all columns)
        As they are.
    rows, columns : numpy.ndarray of bool
        Which are samples of people, and assays of proteins.
    x : numpy.ndarray of shape (samples, assays)
        Their values; infinite ones are NaN.
    samples, assays : numpy.ndarray of str
        Their names.
    panel : numpy.ndarray of str
        Of each assay; ``""`` where there are no panels.
    """

    def __init__(self, adata: AnnData) -> None:
        self.adata = adata
        self.values = values_of(adata)
        self.rows = is_sample(adata)
        self.columns = is_assay(adata)
        x = self.values[np.ix_(self.rows, self.columns)]
        x[np.isinf(x)] = np.nan
        self.x = x
        self.samples = adata.obs_names.to_numpy()[self.rows].astype(str)
        self.assays = adata.var_names.to_numpy()[self.columns].astype(str)
        self.panel = panels_of(adata)[self.columns]

    @property
    def obs(self) -> pd.DataFrame:
        """What is known of the samples of people."""
        return self.adata.obs[self.rows]

    @property
    def var(self) -> pd.DataFrame:
        """What is known of the assays of proteins."""
        return self.adata.var[self.columns]

    def panels(self) -> list[tuple[str, Mask]]:
        """Return each panel with its assays (of `assays`)."""
        return [(str(name), self.panel == name) for name in pd.unique(self.panel)]


def panels_of(adata: AnnData) -> NDArray[np.str_]:
    """Return the panel of each column; ``""`` where there are none."""
    if "panel" not in adata.var:
        return np.full(adata.n_vars, "", dtype=str)
    return adata.var["panel"].astype(str).to_numpy(dtype=str)


def types_of(adata: AnnData, axis: str) -> pd.Series:
    """Return the type of each row (``"sample"``) or column (``"assay"``), in capitals."""
    table = adata.obs if axis == "sample" else adata.var
    name = f"{axis}_type"
    if name not in table:
        return pd.Series(axis.upper(), index=table.index)
    return table[name].astype(str).str.upper()


def plates_of(adata: AnnData, name: str) -> pd.DataFrame | None:
    """Return a grouping of samples (plate, site) for each panel, as text; None without it."""
    if name not in adata.obsm and name not in adata.obs:
        return None
    table = per_panel(adata, name)
    text = table.astype(object).where(table.notna(), None)
    text.columns = text.columns.astype(str)
    return text


def _as_codes(said: pd.DataFrame) -> Array:
    """Turn words into codes of `QC`; NaN for what isn't said."""
    return said.apply(qc_codes_of).to_numpy(dtype=np.float64)


def qc_codes(adata: AnnData, name: str) -> Array | None:
    """Return the QC of every value (codes of `QC`), wherever it is kept; None without it.

    Parameters
    ----------
    adata : anndata.AnnData
        With the QC in ``layers``; else ``sample_qc`` (or ``qc``) in ``obsm`` or ``obs``,
        ``assay_qc`` in ``var``.
    name : {"sample_qc", "assay_qc"}
        Which.

    Returns
    -------
    numpy.ndarray of shape (rows, columns), or None
    """
    if name in adata.layers:
        return np.asarray(adata.layers[name], dtype=np.float64)
    if name == "assay_qc":
        if name not in adata.var:
            return None
        return np.broadcast_to(_as_codes(adata.var[[name]]).T, adata.shape)
    for kept in ("sample_qc", "qc", "qc_warning"):
        if kept in adata.obsm or kept in adata.obs:
            table = per_panel(adata, kept)
            names = pd.Index(table.columns.astype(str))
            place = names.get_indexer(pd.Index(panels_of(adata).astype(object)))
            codes = np.column_stack([_as_codes(table), np.full(len(table), np.nan)])
            return codes[:, place]  # place −1, a panel without QC, is the column of NaN
    return None


def below_lod(adata: AnnData, values: Array) -> Mask | None:
    """Tell which values lie below their limit of detection; None without limits."""
    lod = lod_of(adata)
    return None if lod is None else values < lod


def missing_share(x: Array, axis: int) -> Array:
    """Return the share that is missing; 0 of nothing is 0."""
    n = x.shape[axis]
    return np.isnan(x).sum(axis=axis) / max(n, 1)


def quantile(x: Array, q: float) -> Array:
    """Return a quantile of each row without its missing values; NaN where all are missing.

    Linear interpolation (type 7), for all rows at once.
    """
    if x.shape[1] == 0:
        return np.full(len(x), np.nan)
    ordered = np.sort(x, axis=1)  # NaN comes last
    n = (~np.isnan(x)).sum(axis=1)
    place = np.maximum(n - 1, 0) * q
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(n - 1, 0))
    row = np.arange(len(x))
    below, above = ordered[row, low], ordered[row, high]
    found: Array = below + (above - below) * (place - low)
    return found


def malformed_ids(names: pd.Index) -> Mask:
    """Tell which names aren't an OlinkID: ``OID`` and five digits."""
    return np.array([_OLINK_ID.fullmatch(str(name)) is None for name in names], dtype=bool)


def split_names(text: object) -> list[str]:
    """Return the single names of ``"P1;P2"``; none of a missing value."""
    if text is None or (isinstance(text, float) and np.isnan(text)):
        return []
    return [part for part in _SEPARATOR.split(str(text)) if part and part.lower() != "nan"]


def accessions(var: pd.DataFrame) -> list[list[str]]:
    """Return the UniProt accessions of each assay."""
    if "uniprot" not in var:
        return [[] for _ in range(len(var))]
    return [split_names(text) for text in var["uniprot"]]


def bad_accessions(names: list[str]) -> list[str]:
    """Return those that don't follow UniProt's pattern."""
    return [name for name in names if _ACCESSION.fullmatch(name) is None]


def foreign(adata: AnnData, kind: str) -> Mask:
    """Tell which protein groups are contaminants, decoys, or identified by a site only.

    A group is one when its leading member is marked so by the prefix of its name, or when a
    column of ``var`` of that name says so. Members behind the leading one don't count: a human
    protein that shares peptides with a contaminant stays.
    """
    found = np.zeros(adata.n_vars, dtype=bool)
    is_marked = {"contaminant": is_contaminant, "decoy": is_decoy}.get(kind)
    if is_marked is not None:
        leading = ((members(str(name)) or [""])[0] for name in adata.var_names)
        found |= np.fromiter(map(is_marked, leading), dtype=bool, count=adata.n_vars)
    if kind in adata.var:
        found |= adata.var[kind].isin([True, "True", "true", "+", 1]).to_numpy()
    return found
