"""Tests on counts: independence of a table, and the sizes of groups."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..errors import FormatError
from ._checks import as_numbers

__all__ = ["ChiSquare", "chi_square", "goodness_of_fit"]


@dataclasses.dataclass(frozen=True, repr=False)
class ChiSquare:
    """A chi-square test.

    Parameters
    ----------
    statistic : float
        χ², with Yates's correction if `yates`.
    df : int
        Degrees of freedom.
    p_value : float
        From the χ² distribution.
    expected : numpy.ndarray
        Expected counts, in the shape of the table.
    yates : bool
        Whether the correction was applied.
    small_expected : bool
        Whether an expected count is below 5, so that `p_value` is doubtful.
    fisher_p : float
        Fisher's exact two-sided p, for a 2 × 2 table with a small expected count; else
        NaN.
    """

    statistic: float
    df: int
    p_value: float
    expected: NDArray[np.float64]
    yates: bool = False
    small_expected: bool = False
    fisher_p: float = np.nan

    def __repr__(self) -> str:
        notes = ", Yates" if self.yates else ""
        if self.small_expected:
            notes += ", expected count below 5"
        if not np.isnan(self.fisher_p):
            notes += f", Fisher p = {self.fisher_p:.3g}"
        return f"ChiSquare({self.statistic:.3f}, df = {self.df}, p = {self.p_value:.3g}{notes})"


def _counts(values: ArrayLike, name: str, ndim: int) -> NDArray[np.float64]:
    counts = as_numbers(values, name, ndim=ndim)
    if (counts < 0).any() or (counts != np.floor(counts)).any():
        raise FormatError("expected counts of people: whole numbers from 0", where=name)
    return counts


def chi_square(table: ArrayLike, *, yates: bool | None = None) -> ChiSquare:
    """Test the independence of rows and columns of a table of counts.

    Parameters
    ----------
    table : array-like of shape (rows, columns)
        Counts, without margins.
    yates : bool, optional
        Whether to correct for continuity; only a 2 × 2 table can be. By default a 2 × 2
        table is, as by R's ``chisq.test``: the correction is at most the deviation
        itself.

    Returns
    -------
    ChiSquare
        With Fisher's exact p as well where an expected count in a 2 × 2 table is below 5.

    Raises
    ------
    FormatError
        When the table isn't one of counts, has a single row or column, or one without
        anybody.

    Examples
    --------
    >>> chi_square([[27, 28], [30, 43]])
    ChiSquare(0.520, df = 1, p = 0.471, Yates)
    """
    counts = _counts(table, "table", 2)
    if min(counts.shape) < 2:
        raise FormatError(f"expected at least 2 rows and columns, found {counts.shape}")
    if (counts.sum(axis=0) == 0).any() or (counts.sum(axis=1) == 0).any():
        raise FormatError(
            "a row or column of the table is empty",
            where="table",
            remedy="leave out the level or group that nobody has",
        )
    two_by_two = counts.shape == (2, 2)
    if yates and not two_by_two:
        raise FormatError(f"Yates's correction is for 2 x 2 tables, found {counts.shape}")
    correct = two_by_two if yates is None else yates
    statistic, p_value, df, expected = stats.chi2_contingency(counts, correction=correct)
    small = bool((expected < 5).any())
    fisher = float(stats.fisher_exact(counts.astype(int))[1]) if small and two_by_two else np.nan
    return ChiSquare(
        statistic=float(statistic),
        df=int(df),
        p_value=float(p_value),
        expected=expected,
        yates=correct,
        small_expected=small,
        fisher_p=fisher,
    )


def goodness_of_fit(observed: ArrayLike, shares: ArrayLike | None = None) -> ChiSquare:
    """Test whether group sizes agree with expected shares.

    Parameters
    ----------
    observed : array-like of shape (k,)
        Counts.
    shares : array-like of shape (k,), optional
        Expected shares, positive; they are scaled to sum to 1. By default all equal.

    Returns
    -------
    ChiSquare

    Raises
    ------
    FormatError
        When `observed` isn't made of counts, is empty or has one group, or the shares
        don't fit it.

    Examples
    --------
    >>> goodness_of_fit([55, 73])
    ChiSquare(2.531, df = 1, p = 0.112)
    """
    counts = _counts(observed, "observed", 1)
    if len(counts) < 2 or not counts.sum():
        raise FormatError("expected at least two groups and one person", where="observed")
    weights = np.ones(len(counts)) if shares is None else as_numbers(shares, "shares")
    if len(weights) != len(counts) or (weights <= 0).any():
        raise FormatError(
            f"expected {len(counts)} positive shares, found {weights.tolist()}", where="shares"
        )
    expected = counts.sum() * weights / weights.sum()
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    df = len(counts) - 1
    return ChiSquare(
        statistic=statistic,
        df=df,
        p_value=float(stats.chi2.sf(statistic, df)),
        expected=expected,
        small_expected=bool((expected < 5).any()),
    )
