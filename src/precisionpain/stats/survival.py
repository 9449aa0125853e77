"""Time to an event: curves of one cause and of several, and the log-rank test."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import chi2

from ..errors import FormatError
from ._censoring import Floats, as_survival, at_risk
from ._checks import as_numbers, check_fraction, check_same_rows

__all__ = [
    "CumulativeIncidence",
    "LogRank",
    "SurvivalCurve",
    "cumulative_incidence",
    "kaplan_meier",
    "log_rank",
]


@dataclasses.dataclass(frozen=True, repr=False)
class SurvivalCurve:
    """Kaplan–Meier's curve.

    Parameters
    ----------
    table : pandas.DataFrame
        Index ``time`` (every distinct time); columns ``n_at_risk``, ``n_events``,
        ``n_censored``, ``survival``, ``se`` (Greenwood), ``ci_low`` and ``ci_high``.
    confidence : float
        Of the limits.
    """

    table: pd.DataFrame
    confidence: float = 0.95

    @property
    def median(self) -> float:
        """The first time at which survival is one half or less; NaN if it stays above."""
        below = self.table.index[self.table["survival"] <= 0.5]
        return float(below[0]) if len(below) else float("nan")

    def at(self, times: ArrayLike) -> pd.DataFrame:
        """Read the curve off.

        Parameters
        ----------
        times : array-like of shape (m,)
            In the unit of the curve.

        Returns
        -------
        pandas.DataFrame
            Index ``time``; columns ``n_at_risk`` (followed to that time or longer),
            ``survival``, ``se``, ``ci_low``, ``ci_high``: NaN after the last time unless the
            curve has come down to 0.
        """
        points = as_numbers(np.atleast_1d(np.asarray(times)), "times")
        own = self.table.index.to_numpy(dtype=float)
        position = np.searchsorted(own, points, side="right") - 1
        columns = ["survival", "se", "ci_low", "ci_high"]
        values = np.vstack([[1.0, 0.0, 1.0, 1.0], self.table[columns].to_numpy()])[position + 1]
        over = (points > own[-1]) & (self.table["survival"].iloc[-1] > 0)
        values[over] = np.nan
        left = np.append(self.table["n_at_risk"].to_numpy(), 0)
        frame = pd.DataFrame(values, pd.Index(points, name="time"), columns)
        frame.insert(0, "n_at_risk", left[np.searchsorted(own, points, side="left")])
        return frame

    def __repr__(self) -> str:
        first = self.table.iloc[0]
        return (
            f"SurvivalCurve({int(first['n_at_risk'])} people, "
            f"{int(self.table['n_events'].sum())} events, median {self.median:g})"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class CumulativeIncidence:
    """Aalen and Johansen's chance of each cause, where the others may come first.

    Parameters
    ----------
    table : pandas.DataFrame
        Index ``cause`` and ``time`` (every distinct time); columns ``n_at_risk``,
        ``n_events`` (of the cause), ``incidence``, ``se``, ``ci_low`` and ``ci_high``.
    confidence : float
        Of the limits.
    """

    table: pd.DataFrame
    confidence: float = 0.95

    @property
    def causes(self) -> list[int]:
        """The causes."""
        return [int(c) for c in self.table.index.unique("cause")]

    def at(self, times: ArrayLike) -> pd.DataFrame:
        """Read all causes off.

        Parameters
        ----------
        times : array-like of shape (m,)
            In the unit of the curves.

        Returns
        -------
        pandas.DataFrame
            Index ``cause`` and ``time``; columns ``incidence``, ``se``, ``ci_low`` and
            ``ci_high``: NaN after the last time unless everybody had an event.
        """
        points = as_numbers(np.atleast_1d(np.asarray(times)), "times")
        columns = ["incidence", "se", "ci_low", "ci_high"]
        own = self.table.index.unique("time").to_numpy(dtype=float)
        position = np.searchsorted(own, points, side="right")
        last = self.table["incidence"].groupby(level="cause").last().sum()
        parts = {}
        for cause in self.causes:
            values = np.vstack([np.zeros(4), self.table.loc[cause, columns].to_numpy()])[position]
            values[(points > own[-1]) & (last < 1 - 1e-12)] = np.nan
            parts[cause] = pd.DataFrame(values, pd.Index(points, name="time"), columns)
        return pd.concat(parts, names=["cause"])

    def __repr__(self) -> str:
        counts = self.table["n_events"].groupby(level="cause").sum()
        told = ", ".join(f"{n} of cause {cause}" for cause, n in counts.items())
        return f"CumulativeIncidence({int(self.table['n_at_risk'].iloc[0])} people, {told})"


@dataclasses.dataclass(frozen=True, repr=False)
class LogRank:
    """Whether groups have the same survival.

    Parameters
    ----------
    statistic : float
        χ² with `df` degrees of freedom.
    df : int
        Number of groups − 1.
    p_value : float
    table : pandas.DataFrame
        Index ``group``: ``n``, ``observed`` and ``expected`` events.
    """

    statistic: float
    df: int
    p_value: float
    table: pd.DataFrame

    def __repr__(self) -> str:
        return f"LogRank(χ²({self.df}) = {self.statistic:.2f}, p = {self.p_value:.3g})"


def kaplan_meier(time: ArrayLike, event: ArrayLike, *, confidence: float = 0.95) -> SurvivalCurve:
    """Estimate the share without the event over time.

    Parameters
    ----------
    time : array-like of shape (n,)
        Time to the event or to the end of follow-up; not negative.
    event : array-like of shape (n,)
        1 for the event, 0 for the end of follow-up. At equal times events come first.
    confidence : float, default 0.95
        Of the pointwise limits, symmetric on the scale log(−log S), so that they stay
        inside 0 to 1. They are 1 before the first event and NaN where the curve is 0.

    Returns
    -------
    SurvivalCurve

    Raises
    ------
    FormatError
        For missing or negative times, or flags other than 0 and 1.

    References
    ----------
    Kaplan & Meier, JASA 53, 457 (1958); Kalbfleisch & Prentice, The Statistical Analysis of
    Failure Time Data (1980) for the limits.

    Examples
    --------
    >>> curve = kaplan_meier([1, 2, 2, 3, 5], [1, 1, 0, 1, 0])
    >>> curve.table["survival"].round(3).tolist(), curve.median
    ([0.8, 0.6, 0.3, 0.3], 3.0)
    """
    check_fraction(confidence, "confidence")
    table = at_risk(*as_survival(time, event))
    survival = np.asarray(np.cumprod(1 - table.events / table.at_risk), dtype=np.float64)
    sum_ = np.cumsum(_ratio(table.events, table.at_risk * (table.at_risk - table.events)))
    se = np.asarray(survival * np.sqrt(sum_), dtype=float)
    low, high = _log_log(survival, se, confidence)
    # Where nobody is left the limits are undefined.
    low, high = (np.where(survival > 0, limit, np.nan) for limit in (low, high))
    frame = pd.DataFrame(
        {
            "n_at_risk": table.at_risk,
            "n_events": table.events,
            "n_censored": table.censored,
            "survival": survival,
            "se": se,
            "ci_low": low,
            "ci_high": high,
        },
        pd.Index(table.time, name="time"),
    )
    return SurvivalCurve(frame, confidence)


def cumulative_incidence(
    time: ArrayLike, cause: ArrayLike, *, confidence: float = 0.95
) -> CumulativeIncidence:
    """Estimate the chance of each of several events that end the follow-up.

    One minus Kaplan–Meier's curve, with the other causes as censoring, would be the chance in a
    world without them, and too high for this one.

    Parameters
    ----------
    time : array-like of shape (n,)
        Time to the first event or to the end of follow-up; not negative.
    cause : array-like of int, shape (n,)
        0 for the end of follow-up, 1, 2, … for what happened first.
    confidence : float, default 0.95
        Of the pointwise limits, symmetric on the scale log(−log F).

    Returns
    -------
    CumulativeIncidence

    Raises
    ------
    FormatError
        For missing or negative times, causes that aren't whole numbers from 0 on, or no event.

    References
    ----------
    Aalen & Johansen, Scand J Stat 5, 141 (1978); Marubini & Valsecchi, Analysing Survival Data
    from Clinical Trials (1995), for the variance by the delta method.

    Examples
    --------
    >>> both = cumulative_incidence([1, 2, 2, 3, 5], [1, 2, 0, 1, 0])
    >>> both.table["incidence"].unstack("cause").iloc[-1].round(3).tolist()
    [0.5, 0.2]
    """
    check_fraction(confidence, "confidence")
    check_same_rows(time, cause, ("time", "cause"))
    codes = as_numbers(cause, "cause")
    if (codes < 0).any() or (codes != np.round(codes)).any():
        odd = np.unique(codes[(codes < 0) | (codes != np.round(codes))])
        raise FormatError(
            f"a cause is 0 (none) or a whole number from 1 on, found {odd.tolist()[:5]}",
            where="cause",
        )
    times, any_event = as_survival(time, codes > 0)
    if not any_event.any():
        raise FormatError("nobody has an event of any cause", where="cause")
    table = at_risk(times, any_event)
    n, d = table.at_risk.astype(float), table.events.astype(float)
    after = np.cumprod(1 - d / n)
    before = np.concatenate([[1.0], after[:-1]])
    where = np.searchsorted(table.time, times)
    parts = {}
    for code in np.unique(codes[codes > 0]).astype(int):
        own = np.bincount(where[codes == code], minlength=len(n)).astype(float)
        incidence = np.cumsum(before * own / n)
        variance = _incidence_variance(incidence, before, own, d, n)
        se = np.sqrt(np.maximum(variance, 0))
        low, high = _log_log(incidence, se, confidence)
        parts[code] = pd.DataFrame(
            {
                "n_at_risk": table.at_risk,
                "n_events": own.astype(int),
                "incidence": incidence,
                "se": se,
                "ci_low": low,
                "ci_high": high,
            },
            pd.Index(table.time, name="time"),
        )
    return CumulativeIncidence(pd.concat(parts, names=["cause"]), confidence)


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> LogRank:
    """Test whether groups have the same survival.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        As `kaplan_meier` takes them.
    group : array-like of shape (n,)
        Labels of at least two groups.

    Returns
    -------
    LogRank
        With hypergeometric variance, as R's ``survdiff``. NaN when nobody has the event.

    Raises
    ------
    FormatError
        For missing values or a single group.

    References
    ----------
    Peto & Peto, J R Stat Soc A 135, 185 (1972).

    Examples
    --------
    >>> log_rank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1], list("aaabbb"))
    LogRank(χ²(1) = 5.05, p = 0.0246)
    """
    check_same_rows(time, group, ("time", "group"))
    times, flags = as_survival(time, event)
    codes, labels = pd.factorize(np.asarray(group), sort=True)
    if len(codes) != len(times):
        raise FormatError(f"time has {len(times)} values and group has {len(codes)}")
    if (codes < 0).any():
        raise FormatError("a group label is missing", where="group")
    k = len(labels)
    if k < 2:
        raise FormatError(f"expected at least two groups, found {k}", where="group")
    table = at_risk(times, flags)
    where = np.searchsorted(table.time, times)
    size = (len(table.time), k)
    leaving, died = np.zeros(size), np.zeros(size)
    np.add.at(leaving, (where, codes), 1)
    np.add.at(died, (where[flags], codes[flags]), 1)
    risk = leaving[::-1].cumsum(axis=0)[::-1]
    share = risk / table.at_risk[:, None]
    d, n = table.events.astype(float), table.at_risk.astype(float)
    expected = share * d[:, None]
    factor = d * _ratio(n - d, n - 1)
    variance = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    excess = (died.sum(axis=0) - expected.sum(axis=0))[1:]
    defined = flags.any() and np.linalg.matrix_rank(variance[1:, 1:]) == k - 1
    statistic = float(excess @ np.linalg.solve(variance[1:, 1:], excess)) if defined else np.nan
    frame = pd.DataFrame(
        {
            "n": np.bincount(codes, minlength=k),
            "observed": died.sum(axis=0),
            "expected": expected.sum(axis=0),
        },
        pd.Index(labels, name="group"),
    )
    return LogRank(statistic, k - 1, float(chi2.sf(statistic, k - 1)), frame)


def _ratio(over: NDArray, under: NDArray) -> Floats:
    """Divide; 0 where the divisor is 0."""
    result = np.zeros(len(over))
    np.divide(over, under, out=result, where=under != 0)
    return result


def _log_log(p: Floats, se: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return limits that are symmetric on the scale log(−log p)."""
    z = float(ndtri((1 + confidence) / 2))
    inside = (p > 0) & (p < 1)
    spread = np.zeros(len(p))
    spread[inside] = z * se[inside] / (p[inside] * np.log(p[inside]))
    low, high = p ** np.exp(-spread), p ** np.exp(spread)
    return low, high


def _incidence_variance(
    incidence: Floats, before: Floats, own: Floats, d: Floats, n: Floats
) -> Floats:
    """Return the variance of an incidence at all times, the sums written out as running ones."""
    a = _ratio(d, n * (n - d))
    b = before**2 * own * (n - own) / n**3
    c = before * own / n**2
    sums = [np.cumsum(x) for x in (a, a * incidence, a * incidence**2, b, c, c * incidence)]
    a0, a1, a2, b0, c0, c1 = sums
    return incidence**2 * a0 - 2 * incidence * a1 + a2 + b0 - 2 * (incidence * c0 - c1)
