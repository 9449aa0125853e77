"""Pieces that tests of many responses share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Array", "Table", "rounding", "t_columns"]

Array = NDArray[np.float64]
# Columns of numbers, one per response.
Table = dict[str, NDArray[Any]]


def rounding(size: Array) -> Array:
    """Return the variance below which values of a size differ by rounding only."""
    found: Array = (1e-12 * np.maximum(np.abs(size), 1e-140)) ** 2
    return found


def t_columns(estimate: Array, se: Array, df: Array, confidence: float) -> Table:
    """Return estimate, limits, t, degrees of freedom and two-sided p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = special.stdtrit(df, (1 + confidence) / 2) * se
    return {
        "log_fc": estimate,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "statistic": t,
        "df": df,
        "p_value": 2 * special.stdtr(df, -np.abs(t)),
    }
