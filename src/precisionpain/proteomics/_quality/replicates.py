"""How well repeated measurements of the same material agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...errors import FormatError
from .._layout import as_adata
from .findings import Findings
from .rules import Array, Measured, below_lod, plates_of, types_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["check_replicates", "coefficient_of_variation", "lognormal_cv"]

# Above these a laboratory would look for the cause.
_INTRA, _INTER = 0.15, 0.25


def lognormal_cv(sd: Array) -> Array:
    """Return SD over mean on the linear scale, from the SD on the log2 scale."""
    return np.sqrt(np.expm1((np.log(2) * sd) ** 2))


def _spread(x: Array, codes: np.ndarray) -> tuple[Array, Array, Array, Array]:
    """Return means by group, sum of squares about them, and the degrees of freedom."""
    member = np.eye(codes.max() + 1)[codes].T
    there = ~np.isnan(x)
    n = member @ there
    mean = np.where(n > 0, (member @ np.where(there, x, 0.0)) / np.maximum(n, 1), np.nan)
    squares = np.where(there, x - mean[codes], 0.0) ** 2
    return mean, squares.sum(axis=0), np.maximum(n - 1, 0).sum(axis=0), n


def _sd(squares: Array, df: Array) -> Array:
    return np.where(df > 0, np.sqrt(squares / np.maximum(df, 1)), np.nan)


def coefficient_of_variation(
    adata: AnnData,
    *,
    sample_type: str = "CONTROL",
    by: str | None = None,
    plate: str = "plate",
    above_lod: bool = False,
) -> pd.DataFrame:
    r"""Tell how well repeated measurements of the same material agree, for each assay.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale.
    sample_type : str, default "CONTROL"
        Which rows are the replicates; all are taken for the same material.
    by : str, optional
        Column of ``obs`` that tells materials apart, for instance of several control samples,
        or of technical replicates with ``sample_type="SAMPLE"``.
    plate : str, default "plate"
        Column of ``obs``, or table of ``obsm``, with the plate; without it all lie on one.
    above_lod : bool, default False
        Whether to leave out values below their limit of detection, where noise rules.

    Returns
    -------
    pandas.DataFrame
        One row per assay (control assays are left out): ``n`` values, ``n_plates``, and as
        fractions, not percent, ``cv_intra`` (within plates, pooled), ``cv_inter`` (of the
        means of the plates) and ``cv_total`` (of all values). NaN without replicates.

    Raises
    ------
    FormatError
        When there is no row of this type, or no such column.

    Notes
    -----
    NPX has no meaningful zero, so that its SD isn't divided by its mean. When the linear
    values are log-normal and s is the SD on the log2 scale, their SD over their mean is

    .. math:: CV = \sqrt{e^{(s \ln 2)^2} - 1}

    References
    ----------
    Koopmans, Owen and Rosenblatt. Confidence intervals for the coefficient of variation for
    the normal and log normal distributions. Biometrika 1964; 51: 25–32.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> cv = pp.proteomics.coefficient_of_variation(adata)
    >>> list(cv.columns)
    ['n', 'n_plates', 'cv_intra', 'cv_inter', 'cv_total']
    """
    as_adata(adata)
    types = types_of(adata, "sample")
    rows = (types == sample_type.upper()).to_numpy()
    if not rows.any():
        raise FormatError(
            f"expected rows of type {sample_type!r}, found {types.value_counts().to_dict()}",
            where="adata.obs['sample_type']",
            remedy="name the type of the replicates in sample_type=",
        )
    if by is not None and by not in adata.obs:
        raise FormatError(
            f"expected the column {by!r}, found {list(adata.obs.columns)}", where="adata.obs"
        )
    m = Measured(adata)
    x = m.values[np.ix_(rows, m.columns)]
    x[np.isinf(x)] = np.nan
    below = below_lod(adata, m.values) if above_lod else None
    if below is not None:
        x[below[np.ix_(rows, m.columns)]] = np.nan
    material = (
        np.zeros(len(x), dtype=np.intp) if by is None else pd.factorize(adata.obs[by][rows])[0]
    )
    plates = plates_of(adata, plate)
    table = pd.DataFrame(
        np.nan,
        index=adata.var_names[m.columns],
        columns=["n", "n_plates", "cv_intra", "cv_inter", "cv_total"],
    )
    for panel, of_panel in m.panels():
        said = (
            np.zeros(len(x), dtype=np.intp)
            if plates is None or panel not in plates
            else pd.factorize(plates[panel][rows])[0]
        )
        use = (material >= 0) & (said >= 0)
        if not use.any():
            continue
        cell, index = np.unique(
            np.column_stack([material[use], said[use]]), axis=0, return_inverse=True
        )
        y = x[np.ix_(use, of_panel)]
        mean, within, within_df, n = _spread(y, index.ravel())
        _, between, between_df, _ = _spread(mean, cell[:, 0])
        _, total, total_df, _ = _spread(y, material[use])
        place = np.flatnonzero(of_panel)
        on_plate = np.eye(cell[:, 1].max() + 1)[cell[:, 1]].T @ n > 0
        table.iloc[place, 0] = n.sum(axis=0)
        table.iloc[place, 1] = on_plate.sum(axis=0)
        table.iloc[place, 2] = lognormal_cv(_sd(within, within_df))
        table.iloc[place, 3] = lognormal_cv(_sd(between, between_df))
        table.iloc[place, 4] = lognormal_cv(_sd(total, total_df))
    return table.fillna({"n": 0, "n_plates": 0}).astype({"n": np.int64, "n_plates": np.int64})


def check_replicates(m: Measured, found: Findings) -> None:
    """Look how well the control samples agree, within plates and between them."""
    if not (types_of(m.adata, "sample") == "CONTROL").any():
        return
    table = coefficient_of_variation(m.adata, above_lod=True)
    for name, what, limit in (
        ("cv_intra", "within plates", _INTRA),
        ("cv_inter", "between plates", _INTER),
    ):
        known = table[name].dropna()
        if known.empty:
            continue
        middle = known.median()
        found.add(
            "replicates", "warning" if middle > limit else "note", "data", name,
            f"control samples vary by {middle:.1%} {what} (median CV of {len(known)} assays; "
            f"{int((known > limit).sum())} above {limit:.0%})",
            n=len(known), share=middle,
        )  # fmt: skip
