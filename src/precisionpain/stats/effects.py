"""Two groups: the rank-sum test, and how large a difference is."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special
from scipy.stats import rankdata

from ..errors import FormatError
from ._checks import as_numbers, check_fraction
from .auc import delong

__all__ = [
    "EffectSize",
    "RankSum",
    "cliffs_delta",
    "cohens_d",
    "hedges_g",
    "rank_sum",
    "standardized_mean_difference",
]


@dataclasses.dataclass(frozen=True, repr=False)
class RankSum:
    """A rank-sum test (Wilcoxon, Mann & Whitney).

    Parameters
    ----------
    w : float
        Pairs in which the first group is higher, ties counting half: R's W, the U of the
        first group.
    auc : float
        ``w / (n_x · n_y)``: the chance that a value of the first group is the higher one.
    p_value : float
        Two-sided; NaN when all values are equal.
    shift : float
        Hodges & Lehmann's estimate of the shift, the median of all differences x − y.
    ci_low, ci_high : float
        Limits of the shift.
    n_x, n_y : int
        Sizes of the groups.
    exact : bool
        Whether p and limits come from the exact distribution.
    confidence : float
        Level of the limits.
    """

    w: float
    auc: float
    p_value: float
    shift: float
    ci_low: float
    ci_high: float
    n_x: int
    n_y: int
    exact: bool
    confidence: float = 0.95

    def __repr__(self) -> str:
        how = "exact" if self.exact else "normal approximation"
        return (
            f"RankSum(W = {self.w:g}, AUC = {self.auc:.3f}, p = {self.p_value:.3g}, {how}; "
            f"shift {self.shift:.3g} ({self.ci_low:.3g} to {self.ci_high:.3g}), "
            f"n = {self.n_x} and {self.n_y})"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class EffectSize:
    """An effect size with its confidence interval.

    Parameters
    ----------
    estimate : float
        Positive when the first group is higher.
    ci_low, ci_high : float
        Limits.
    n_x, n_y : int
        Sizes of the groups.
    measure : str
        Which effect size it is.
    confidence : float
        Level of the limits.
    """

    estimate: float
    ci_low: float
    ci_high: float
    n_x: int
    n_y: int
    measure: str
    confidence: float = 0.95

    def __repr__(self) -> str:
        return (
            f"EffectSize({self.measure} {self.estimate:.3f}, {self.confidence:.0%} CI "
            f"{self.ci_low:.3f} to {self.ci_high:.3f}, n = {self.n_x} and {self.n_y})"
        )


def _two_groups(
    x: ArrayLike, y: ArrayLike, least: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = as_numbers(x, "x"), as_numbers(y, "y")
    if min(len(first), len(second)) < least:
        raise FormatError(
            f"expected at least {least} value(s) in each group, "
            f"found {len(first)} and {len(second)}"
        )
    return first, second


@functools.lru_cache(maxsize=8)
def _rank_sum_cdf(m: int, n: int) -> NDArray[np.float64]:
    """Return P(W ≤ w) for w = 0 … mn under the null hypothesis, without ties.

    The highest of all m + n values belongs to the first group with chance m / (m + n) and
    then beats all n others: a recursion of positive terms, which keeps full precision.
    """
    size = m * n + 1
    of_previous = [np.eye(1, size)[0] for _ in range(n + 1)]
    for i in range(1, m + 1):
        current = [np.eye(1, size)[0]]
        for j in range(1, n + 1):
            raised = np.zeros(size)
            raised[j:] = of_previous[j][: size - j]
            current.append((i * raised + j * current[j - 1]) / (i + j))
        of_previous = current
    return np.cumsum(of_previous[n])


def rank_sum(
    x: ArrayLike, y: ArrayLike, *, exact: bool | None = None, confidence: float = 0.95
) -> RankSum:
    """Compare two groups by ranks, in the conventions of R's ``wilcox.test``.

    Parameters
    ----------
    x, y : array-like of shape (n_x,), (n_y,)
        Values of the two groups.
    exact : bool, optional
        Whether to use the exact distribution, which knows no ties. By default, as in R,
        it is used when both groups have fewer than 50 values and none are tied; else the
        normal approximation with correction for ties and continuity.
    confidence : float, default 0.95
        Level of the interval of the shift.

    Returns
    -------
    RankSum
        Two-sided test, and the shift with its limits. Where R searches for the
        approximate limits numerically, these are the differences x − y that its search
        converges to.

    Raises
    ------
    FormatError
        When a group is empty, a value is missing, or `exact` is asked for with ties.

    References
    ----------
    Hollander & Wolfe, Nonparametric Statistical Methods, chapter 4 (1999); Bauer, JASA
    67, 687 (1972).

    Examples
    --------
    >>> rank_sum([4.1, 5.2, 6.3, 7.4], [1.5, 2.6, 3.7, 4.8])
    RankSum(W = 15, AUC = 0.938, p = 0.0571, exact; shift 2.6 (-0.7 to 5.9), n = 4 and 4)
    """
    check_fraction(confidence, "confidence")
    first, second = _two_groups(x, y)
    m, n = len(first), len(second)
    pairs = m * n
    everything = np.concatenate([first, second])
    ranks = rankdata(everything)
    w = float(ranks[:m].sum() - m * (m + 1) / 2)
    tied = len(np.unique(everything)) < len(everything)
    if exact is None:
        exact = not tied and max(m, n) < 50
    elif exact and tied:
        raise FormatError(
            "the exact distribution of W assumes that no values are tied",
            remedy="leave `exact` at its default",
        )
    differences = np.sort(np.subtract.outer(first, second), axis=None)
    alpha = 1 - confidence
    if exact:
        cdf = _rank_sum_cdf(m, n)
        smaller = min(w, pairs - w)
        p_value = min(1.0, 2 * float(cdf[round(smaller)]))
        # R's qwilcox allows for rounding in the same way.
        k = int(np.searchsorted(cdf, alpha / 2 * (1 - 4 * np.finfo(float).eps)))
    else:
        p_value = _normal_p(w, pairs, _sigma(m, n, [everything]))
        # The limits shift one group, so that ties remain only within the groups.
        spread = _sigma(m, n, [first, second])
        k = int(np.ceil(pairs / 2 - 0.5 - special.ndtri(1 - alpha / 2) * spread))
    k = min(max(k, 1), pairs)
    return RankSum(
        w=w,
        auc=w / pairs,
        p_value=p_value,
        shift=float(np.median(differences)),
        ci_low=float(differences[k - 1]),
        ci_high=float(differences[pairs - k]),
        n_x=m,
        n_y=n,
        exact=exact,
        confidence=confidence,
    )


def _sigma(m: int, n: int, tied_within: list[NDArray[np.float64]]) -> float:
    """Return the standard deviation of W, corrected for the ties within each array."""
    total = m + n
    counts = np.concatenate([np.unique(part, return_counts=True)[1] for part in tied_within])
    correction = float(np.sum(counts.astype(float) ** 3 - counts)) / (total * (total - 1))
    return float(np.sqrt(max(0.0, m * n / 12 * (total + 1 - correction))))


def _normal_p(w: float, pairs: int, sigma: float) -> float:
    if sigma == 0:
        return np.nan
    deviation = w - pairs / 2
    z = (deviation - np.sign(deviation) * 0.5) / sigma
    return float(min(1.0, 2 * special.ndtr(-abs(z))))


def _noncentrality(t: float, df: int, probability: float) -> float:
    """Return the noncentrality at which a t this small or smaller has this probability."""

    def excess(ncp: float) -> float:
        return float(special.nctdtr(df, ncp, t)) - probability

    low, high = t - 5.0, t + 5.0
    while excess(low) < 0:
        low -= max(5.0, abs(low))
    while excess(high) > 0:
        high += max(5.0, abs(high))
    return float(optimize.brentq(excess, low, high, xtol=1e-12))


def _standardised(x: ArrayLike, y: ArrayLike, confidence: float) -> tuple[list[float], int, int]:
    check_fraction(confidence, "confidence")
    first, second = _two_groups(x, y, least=2)
    m, n = len(first), len(second)
    df = m + n - 2
    pooled = np.sqrt(((m - 1) * first.var(ddof=1) + (n - 1) * second.var(ddof=1)) / df)
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return [np.nan] * 3, m, n
    d = float((first.mean() - second.mean()) / pooled)
    scale = float(np.sqrt(1 / m + 1 / n))
    alpha = 1 - confidence
    limits = [_noncentrality(d / scale, df, level) * scale for level in (1 - alpha / 2, alpha / 2)]
    return [d, *limits], m, n


def cohens_d(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> EffectSize:
    """Return the difference of means in pooled standard deviations.

    Parameters
    ----------
    x, y : array-like of shape (n_x,), (n_y,)
        Values of the two groups, at least two in each.
    confidence : float, default 0.95
        Level of the interval, from the noncentral t distribution.

    Returns
    -------
    EffectSize
        NaN when neither group varies.

    Raises
    ------
    FormatError
        When a group has fewer than two values, or a value is missing.

    References
    ----------
    Steiger & Fouladi, in: What if there were no significance tests? (1997).

    Examples
    --------
    >>> cohens_d([2, 4, 6, 8], [1, 3, 5, 7])
    EffectSize(Cohen's d 0.387, 95% CI -1.030 to 1.774, n = 4 and 4)
    """
    (estimate, low, high), m, n = _standardised(x, y, confidence)
    return EffectSize(estimate, low, high, m, n, "Cohen's d", confidence)


def hedges_g(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> EffectSize:
    """Return Cohen's d corrected for its bias in small samples.

    The exact factor Γ(ν/2) / (√(ν/2) Γ((ν − 1)/2)), ν = n_x + n_y − 2, multiplies the
    estimate and its limits.

    Parameters
    ----------
    x, y : array-like of shape (n_x,), (n_y,)
        Values of the two groups, at least two in each.
    confidence : float, default 0.95
        Level of the interval, from the noncentral t distribution.

    Returns
    -------
    EffectSize
        NaN when neither group varies.

    Raises
    ------
    FormatError
        When a group has fewer than two values, or a value is missing.

    References
    ----------
    Hedges, Journal of Educational Statistics 6, 107 (1981).

    Examples
    --------
    >>> hedges_g([2, 4, 6, 8], [1, 3, 5, 7])
    EffectSize(Hedges' g 0.336, 95% CI -0.895 to 1.541, n = 4 and 4)
    """
    values, m, n = _standardised(x, y, confidence)
    half = (m + n - 2) / 2
    factor = float(np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half))
    estimate, low, high = (factor * value for value in values)
    return EffectSize(estimate, low, high, m, n, "Hedges' g", confidence)


def cliffs_delta(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> EffectSize:
    """Return P(x > y) − P(x < y), which is 2 · AUC − 1.

    Parameters
    ----------
    x, y : array-like of shape (n_x,), (n_y,)
        Values of the two groups.
    confidence : float, default 0.95
        Level of the interval: `delong`'s for the AUC, rescaled; its notes on groups that
        don't overlap hold here too.

    Returns
    -------
    EffectSize

    Raises
    ------
    FormatError
        When a group is empty or a value is missing.

    References
    ----------
    Cliff, Psychological Bulletin 114, 494 (1993).

    Examples
    --------
    >>> cliffs_delta([2, 4, 6, 8], [1, 3, 5, 7])
    EffectSize(Cliff's delta 0.250, 95% CI -0.645 to 1.000, n = 4 and 4)
    """
    first, second = _two_groups(x, y)
    flags = np.repeat([True, False], [len(first), len(second)])
    area = delong(flags, np.concatenate([first, second]), confidence=confidence)
    estimate, low, high = (2 * value - 1 for value in (area.auc, area.ci_low, area.ci_high))
    return EffectSize(estimate, low, high, len(first), len(second), "Cliff's delta", confidence)


def standardized_mean_difference(
    x: ArrayLike, y: ArrayLike, kind: Literal["number", "category"] | None = None
) -> float:
    """Return the imbalance between two groups, free of their size.

    For numbers (mean x − mean y) / √((s²x + s²y) / 2). For categories the Mahalanobis
    distance between the two vectors of shares, which is never negative and for two levels
    is |p₁ − p₂| / √((p₁q₁ + p₂q₂) / 2). Above 0.1 is often called imbalanced.

    Parameters
    ----------
    x, y : array-like of shape (n_x,), (n_y,)
        Values of the two groups; at least two numbers, or one category, in each.
    kind : {"number", "category"}, optional
        By default numbers when both are numeric; flags and text are categories.

    Returns
    -------
    float
        0 when both groups are constant and equal, infinite when they are constant and
        differ.

    Raises
    ------
    FormatError
        When a group is too small, a value is missing or the kind is unknown.

    References
    ----------
    Austin, Statistics in Medicine 28, 3083 (2009); Yang & Dalton, SAS Global Forum 335
    (2012).

    Examples
    --------
    >>> round(standardized_mean_difference([2, 4, 6, 8], [1, 3, 5, 7]), 3)
    0.387
    >>> round(standardized_mean_difference(["f", "f", "m"], ["f", "m", "m"]), 3)
    0.707
    """
    if kind is None:
        numeric = all(np.asarray(values).dtype.kind in "fiu" for values in (x, y))
        kind = "number" if numeric else "category"
    if kind == "number":
        first, second = _two_groups(x, y, least=2)
        difference = float(first.mean() - second.mean())
        spread = float(np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2))
        if np.ptp(first) == 0 and np.ptp(second) == 0:
            return 0.0 if first[0] == second[0] else float(np.copysign(np.inf, difference))
        return difference / spread
    if kind != "category":
        raise FormatError(f"kind is 'number' or 'category', found {kind!r}")
    groups = [pd.Series(np.asarray(values, dtype=object)) for values in (x, y)]
    if any(g.empty or g.isna().any() for g in groups):
        raise FormatError("a group is empty, or a category is missing")
    levels = pd.unique(pd.concat(groups))[1:]
    shares = np.array([[(g == level).mean() for level in levels] for g in groups])
    difference_of_shares = shares[0] - shares[1]
    covariance = sum(np.diag(s) - np.outer(s, s) for s in shares) / 2
    solved = np.linalg.pinv(covariance, hermitian=True) @ difference_of_shares
    # A difference in a direction without spread is infinitely many spreads wide.
    if not np.allclose(covariance @ solved, difference_of_shares, atol=1e-9):
        return np.inf
    return float(np.sqrt(difference_of_shares @ solved))
