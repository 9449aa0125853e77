"""Proteins that come from elsewhere: burst red cells, platelets, skin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._layout import as_adata
from .findings import Findings
from .levels import MAD
from .rules import Measured, quantile, split_names

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["MARKERS", "check_contamination", "contamination_index"]

MARKERS = {
    "erythrocyte": ("HBA1", "HBA2", "HBB", "HBD", "CA1", "CA2", "PRDX2", "CAT", "BLVRB", "SLC4A1"),
    "platelet": ("PF4", "PF4V1", "PPBP", "THBS1", "TLN1", "ITGA2B", "GP1BB", "TUBB1"),
    "keratin": ("KRT1", "KRT2", "KRT5", "KRT6A", "KRT9", "KRT10", "KRT14", "KRT16"),
}  # fmt: skip
# A single marker may be high for a reason of its own.
_LEAST = 2
_SOURCE = {
    "erythrocyte": "red cells",
    "platelet": "platelets",
    "keratin": "skin or hair",
}


def _indices(m: Measured) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the contamination of each sample, and the genes that it rests on."""
    table = pd.DataFrame(index=pd.Index(m.samples, name=m.adata.obs_names.name))
    used: dict[str, list[str]] = {}
    if "gene" not in m.var:
        return table, used
    genes = [set(split_names(text)) for text in m.var["gene"]]
    specimen = (
        m.obs["specimen"].astype(str).to_numpy()
        if "specimen" in m.obs
        else np.full(len(m.samples), "")
    )
    for kind, markers in MARKERS.items():
        columns = np.array([bool(names & set(markers)) for names in genes], dtype=bool)
        known = sorted(set().union(*(genes[i] & set(markers) for i in np.flatnonzero(columns))))
        if len(known) < _LEAST:
            continue
        x = m.x[:, columns]
        index = np.full(len(x), np.nan)
        for name in pd.unique(specimen):
            rows = specimen == name
            # Against the typical sample: in log2, so that 1 is twice as much.
            index[rows] = quantile(x[rows] - quantile(x[rows].T, 0.5), 0.5)
        table[kind] = index
        used[kind] = known
    return table, used


def check_contamination(m: Measured, found: Findings) -> None:
    """Look for samples with more of the proteins of blood cells or skin than the others."""
    table, used = _indices(m)
    for kind, known in used.items():
        index = table[kind].to_numpy()
        there = index[~np.isnan(index)]
        if not there.size:
            continue
        limit = max(1.0, 3 * MAD * float(np.median(np.abs(there - np.median(there)))))
        high = np.flatnonzero(index > limit)
        found.add(
            kind, "note", "data", kind,
            f"judged by {', '.join(known)}: {len(high)} of {len(there)} samples hold more than "
            f"{2**limit:.3g} times the typical amount",
            n=len(high), share=len(high) / len(there),
        )  # fmt: skip
        for i in high:
            found.add(
                kind, "warning", "sample", m.samples[i],
                f"{2 ** index[i]:.3g} times the typical amount of proteins of {_SOURCE[kind]}",
                n=len(known), share=np.nan,
            )  # fmt: skip


def contamination_index(adata: AnnData) -> pd.DataFrame:
    """Tell how much of blood cells and skin is in each sample, against the typical sample.

    Burst red cells spoil plasma, and blood from the puncture spoils cerebrospinal fluid.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale, with ``gene`` in ``var``.

    Returns
    -------
    pandas.DataFrame
        One row per sample of a person, and one column of ``erythrocyte``, ``platelet`` and
        ``keratin`` for which at least two marker proteins were measured: the median over the
        markers of the value less the marker's median over all samples of the specimen.
        In log2: 1 means twice the typical amount.

    Notes
    -----
    The groups of markers follow Geyer and others, who sum intensities; differences from the
    median serve NPX as well, which has no common scale to sum on.

    References
    ----------
    Geyer and others. Plasma proteome profiling to detect and avoid sample-related biases in
    biomarker studies. EMBO Mol Med 2019; 11: e10427.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> import precisionpain as pp
    >>> x = np.array([[20.0, 22.0, 25.0], [20.0, 22.0, 25.0], [23.0, 25.0, 25.0]])
    >>> var = pd.DataFrame({"gene": ["HBA1", "HBB", "ALB"]}, index=["P69905", "P68871", "P02768"])
    >>> obs = pd.DataFrame(index=["a", "b", "c"])
    >>> pp.proteomics.contamination_index(AnnData(x, obs, var))
       erythrocyte
    a          0.0
    b          0.0
    c          3.0
    """
    return _indices(Measured(as_adata(adata)))[0]
