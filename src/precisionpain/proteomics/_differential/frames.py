"""From columns of numbers to the table that the user sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...stats.multiplicity import adjust_p

if TYPE_CHECKING:
    from anndata import AnnData

from ...stats._t import Table

__all__ = ["contrast_frame", "posthoc_frame", "share_below_lod", "terms_frame"]

_CONTRAST = (
    "log_fc", "log_odds", "ci_low", "ci_high", "ci_low_adjusted", "ci_high_adjusted", "statistic",
    "df", "p_value",
)  # fmt: skip


def share_below_lod(
    adata: AnnData, used: NDArray[np.bool_], assays: NDArray[np.bool_], values: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the share of measured values below the limit of detection; NaN without one."""
    if "lod" in adata.layers:
        lod = np.asarray(adata.layers["lod"], dtype=np.float64)[used][:, assays]
    elif "lod" in adata.var:
        lod = np.asarray(adata.var["lod"], dtype=np.float64)[assays][None]
    else:
        return np.full(values.shape[1], np.nan)
    known = np.isfinite(values) & np.isfinite(lod)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float64] = ((values < lod) & known).sum(axis=0) / known.sum(axis=0)
    return share


def _start(var: pd.DataFrame) -> pd.DataFrame:
    return var[[name for name in ("gene", "uniprot") if name in var]].copy()


def contrast_frame(var: pd.DataFrame, table: Table, below_lod: NDArray[Any]) -> pd.DataFrame:
    """Return one row per protein: effect, limits, p, and q over the testable proteins."""
    frame = _start(var)
    for name in _CONTRAST:
        if name in table:
            frame[name] = table[name]
    testable = np.isfinite(table["p_value"])
    # A test that couldn't be done has no result, and none that looks like one.
    shown = [name for name in _CONTRAST if name in frame]
    frame.loc[~testable, shown] = np.nan
    frame["q_value"] = adjust_p(frame["p_value"].to_numpy())
    frame["n_1"], frame["n_2"] = table["n_1"], table["n_2"]
    frame["testable"], frame["below_lod"] = testable, below_lod
    return frame


def terms_frame(
    var: pd.DataFrame, tables: dict[str, Table], below_lod: NDArray[Any]
) -> pd.DataFrame:
    """Return one row per term and protein; q is over the testable proteins of each term."""
    frames = []
    for term, table in tables.items():
        frame = _start(var)
        frame["term"] = term
        for name in ("statistic", "df_term", "df", "p_value"):
            if name in table:
                frame[name] = table[name]
        frame["q_value"] = adjust_p(table["p_value"])
        frame["n"] = table["n"]
        frame["testable"], frame["below_lod"] = np.isfinite(table["p_value"]), below_lod
        frames.append(frame)
    return pd.concat(frames)


def posthoc_frame(
    var: pd.DataFrame, tables: dict[str, Table], below_lod: NDArray[Any]
) -> pd.DataFrame:
    """Return one row per pair of levels and protein.

    ``p_adjusted`` is for all pairs of that protein: as the table brings it (Tukey), else by
    Benjamini & Hochberg.
    """
    if not all("p_adjusted" in table for table in tables.values()):
        raw = np.stack([table["p_value"] for table in tables.values()])
        adjusted = np.stack([adjust_p(column) for column in raw.T], axis=1)
        for table, row in zip(tables.values(), adjusted, strict=True):
            table["p_adjusted"] = row
    frames = []
    for pair, table in tables.items():
        frame = contrast_frame(var, table, below_lod).drop(columns="q_value")
        frame.insert(len(_start(var).columns), "contrast", pair)
        after = list(frame.columns).index("p_value") + 1
        frame.insert(after, "p_adjusted", table["p_adjusted"])
        frames.append(frame)
    return pd.concat(frames)
