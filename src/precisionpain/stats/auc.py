"""The area under the ROC curve, with DeLong's intervals and test."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import rankdata

from ..errors import FormatError
from ._checks import (
    as_numbers,
    as_outcome,
    as_outcome_and_score,
    check_fraction,
    check_same_rows,
)

__all__ = ["AUCInterval", "DeLongTest", "auc", "delong", "delong_cov", "delong_test"]


@dataclasses.dataclass(frozen=True, repr=False)
class AUCInterval:
    """An AUC with its confidence interval.

    Parameters
    ----------
    auc : float
        Area under the ROC curve, 0 to 1.
    se : float
        DeLong's standard error. Zero for a score that separates the classes or is
        constant; NaN when a class has one person.
    ci_low, ci_high : float
        Limits of the interval, within 0 to 1.
    n_positive, n_negative : int
        People with and without the event.
    method : {"wald", "logit", "exact", "none"}
        How the interval was made; the last two stand for the degenerate cases of `delong`.
    confidence : float
        Its level.
    degenerate : bool
        Whether DeLong's variance was zero or undefined, so that another rule was used.
    """

    auc: float
    se: float
    ci_low: float
    ci_high: float
    n_positive: int
    n_negative: int
    method: str
    confidence: float = 0.95
    degenerate: bool = False

    def __repr__(self) -> str:
        flag = ", degenerate" if self.degenerate else ""
        return (
            f"AUCInterval({self.auc:.3f}, {self.confidence:.0%} CI {self.ci_low:.3f} to "
            f"{self.ci_high:.3f}, {self.n_positive} positive, {self.n_negative} negative, "
            f"{self.method}{flag})"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class DeLongTest:
    """The difference between two AUCs of the same people.

    Parameters
    ----------
    auc_a, auc_b : float
        The two areas.
    difference : float
        ``auc_a - auc_b``.
    se : float
        Standard error of the difference.
    ci_low, ci_high : float
        Wald limits of the difference, within −1 to 1.
    z : float
        ``difference / se``.
    p_value : float
        Two-sided.
    confidence : float
        Level of the interval.
    """

    auc_a: float
    auc_b: float
    difference: float
    se: float
    ci_low: float
    ci_high: float
    z: float
    p_value: float
    confidence: float = 0.95

    def __repr__(self) -> str:
        return (
            f"DeLongTest({self.auc_a:.3f} - {self.auc_b:.3f} = {self.difference:+.3f}, "
            f"{self.confidence:.0%} CI {self.ci_low:+.3f} to {self.ci_high:+.3f}, "
            f"p = {self.p_value:.3g})"
        )


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve.

    It is the probability that a person with the event scores higher than one without,
    ties counting half: U / (n₁ n₀) of the Mann–Whitney test.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1 (or flags).
    score : array-like of shape (n,)
        Higher means the event is more likely.

    Returns
    -------
    float
        0 to 1; 0.5 for a constant score.

    Raises
    ------
    FormatError
        When the outcome has one class, or a score is missing or infinite.
    AlignmentError
        When `y` and `score` are labelled and their labels don't match.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    event, numbers = as_outcome_and_score(y, score)
    m = int(event.sum())
    n = len(event) - m
    rank_sum = float(rankdata(numbers)[event].sum())
    return (rank_sum - m * (m + 1) / 2) / (m * n)


def _placements(
    event: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of the other class beaten, (k, m) and (k, n), by mid-ranks.

    Sun & Xu (2014): the placement of a person is their mid-rank among everybody less
    that within their own class, so that no m × n table is needed.
    """
    positive, negative = scores[:, event], scores[:, ~event]
    m, n = positive.shape[1], negative.shape[1]
    ranks = rankdata(scores, axis=1)
    of_positive = (ranks[:, event] - rankdata(positive, axis=1)) / n
    of_negative = 1 - (ranks[:, ~event] - rankdata(negative, axis=1)) / m
    return of_positive, of_negative


def _covariance(placements: NDArray[np.float64]) -> NDArray[np.float64]:
    size = placements.shape[1]
    if size < 2:
        return np.full((len(placements), len(placements)), np.nan)
    return np.atleast_2d(np.cov(placements)) / size


def delong_cov(y: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the AUCs of several models on the same people, and their covariance.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    scores : array-like of shape (n, k)
        One column per model.

    Returns
    -------
    aucs : numpy.ndarray of shape (k,)
    covariance : numpy.ndarray of shape (k, k)
        DeLong's estimate; NaN when a class has one person.

    Raises
    ------
    FormatError
        When the outcome has one class, a score is missing or infinite, or the number of
        rows differs.
    AlignmentError
        When `y` and `scores` are labelled and their labels don't match.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson, Biometrics 44, 837 (1988); Sun & Xu, IEEE Signal
    Processing Letters 21, 1389 (2014).

    Examples
    --------
    >>> aucs, covariance = delong_cov([0, 0, 1, 1], [[1, 4], [3, 3], [2, 2], [4, 1]])
    >>> aucs.tolist(), covariance.tolist()
    ([0.75, 0.0], [[0.125, 0.0], [0.0, 0.0]])
    """
    check_same_rows(y, scores, ("y", "scores"))
    event = as_outcome(y)
    table = as_numbers(scores, "scores", ndim=2)
    if len(table) != len(event):
        raise FormatError(f"y has {len(event)} rows and scores has {len(table)}")
    of_positive, of_negative = _placements(event, np.ascontiguousarray(table.T))
    return of_positive.mean(axis=1), _covariance(of_positive) + _covariance(of_negative)


def delong(
    y: ArrayLike,
    score: ArrayLike,
    *,
    confidence: float = 0.95,
    method: Literal["wald", "logit"] = "wald",
) -> AUCInterval:
    """Return the AUC with DeLong's interval.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    score : array-like of shape (n,)
        Higher means the event is more likely.
    confidence : float, default 0.95
        Level of the interval.
    method : {"wald", "logit"}, default "wald"
        ``wald`` is estimate ± z·se, cut at 0 and 1, as R's pROC gives it. ``logit`` does
        so on the logit scale, stays inside 0 to 1 by itself, and covers better above 0.9.

    Returns
    -------
    AUCInterval

    Raises
    ------
    FormatError
        When the outcome has one class, a score is missing or infinite, or an option is
        unknown.
    AlignmentError
        When `y` and `score` are labelled and their labels don't match.

    Notes
    -----
    DeLong's variance is zero when the AUC is 0 or 1. The interval then rests on
    k = min(n₁, n₀) disjoint pairs, one person of each class: these are independent
    trials that all succeeded (or failed), so that the exact binomial limit of
    Clopper & Pearson, (α/2)^(1/k) for an AUC of 1, is valid though wide
    (``method="exact"``). A constant score ranks nobody: 0.5, without width
    (``method="none"``). With one person in a class and neither of these, the variance is
    undefined and the limits are NaN (``method="none"``). All three have
    ``degenerate=True``.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson, Biometrics 44, 837 (1988).

    Examples
    --------
    >>> delong([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    AUCInterval(0.889, 95% CI 0.581 to 1.000, 3 positive, 3 negative, wald)
    >>> delong([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6])
    AUCInterval(1.000, 95% CI 0.292 to 1.000, 3 positive, 3 negative, exact, degenerate)
    """
    check_fraction(confidence, "confidence")
    if method not in ("wald", "logit"):
        raise FormatError(f"method is 'wald' or 'logit', found {method!r}")
    event, numbers = as_outcome_and_score(y, score)
    m = int(event.sum())
    n = len(event) - m
    of_positive, of_negative = _placements(event, numbers[None, :])
    area = float(of_positive.mean())
    variance = float(_covariance(of_positive)[0, 0] + _covariance(of_negative)[0, 0])
    se = float(np.sqrt(variance))
    alpha = 1 - confidence
    z = float(ndtri(1 - alpha / 2))
    # The mean of many exact ones can differ from one in the last bit; the placements can't.
    separated = bool(np.all(of_positive == 1) or np.all(of_positive == 0))
    constant = bool(np.all(numbers == numbers[0]))
    used: str = method
    if separated:
        limit = (alpha / 2) ** (1 / min(m, n))
        area = float(of_positive[0, 0])
        low, high = (limit, 1.0) if area == 1 else (0.0, 1 - limit)
        used = "exact"
    elif constant:
        low, high, used = 0.5, 0.5, "none"
    elif np.isnan(se):
        low, high, used = np.nan, np.nan, "none"
    elif method == "wald":
        low, high = max(0.0, area - z * se), min(1.0, area + z * se)
    else:
        half = z * se / (area * (1 - area))
        low, high = (float(expit(logit(area) + side * half)) for side in (-1, 1))
    return AUCInterval(
        auc=area,
        se=se,
        ci_low=low,
        ci_high=high,
        n_positive=m,
        n_negative=n,
        method=used,
        confidence=confidence,
        degenerate=used in ("exact", "none"),
    )


def delong_test(
    y: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, *, confidence: float = 0.95
) -> DeLongTest:
    """Compare the AUCs of two models on the same people.

    Both models must have been fitted without these people. For a model nested in the
    other and fitted on the same people the test isn't valid (Demler et al. 2012).

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    score_a, score_b : array-like of shape (n,)
        Scores of the two models, person by person.
    confidence : float, default 0.95
        Level of the interval of the difference.

    Returns
    -------
    DeLongTest
        Two scores that rank alike give z = 0 and p = 1. A difference without variance
        (say, a perfect against a constant score) gives NaN for z, p and the limits.

    Raises
    ------
    FormatError
        When the outcome has one class, or a score is missing or infinite.
    AlignmentError
        When the arguments are labelled and their labels don't match.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson, Biometrics 44, 837 (1988); Demler, Pencina &
    D'Agostino, Statistics in Medicine 31, 2577 (2012).

    Examples
    --------
    >>> delong_test([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], [2, 1, 6, 3, 5, 4])
    DeLongTest(0.889 - 0.667 = +0.222, 95% CI -0.265 to +0.709, p = 0.371)
    """
    check_fraction(confidence, "confidence")
    event, a = as_outcome_and_score(y, score_a, name="score_a")
    _, b = as_outcome_and_score(y, score_b, name="score_b")
    if isinstance(score_a, pd.Series):
        check_same_rows(score_a, score_b, ("score_a", "score_b"))
    areas, covariance = delong_cov(event, np.column_stack([a, b]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    alike = bool(np.array_equal(rankdata(a), rankdata(b)))
    # Rounding leaves a tiny, possibly negative, variance where the true one is zero.
    se = 0.0 if alike or variance < 1e-14 else float(np.sqrt(variance))
    half = float(ndtri((1 + confidence) / 2)) * se
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    if alike:
        z, p_value = 0.0, 1.0
    elif se == 0 or np.isnan(se):
        z = p_value = low = high = np.nan
    else:
        z = difference / se
        p_value = float(2 * ndtr(-abs(z)))
    return DeLongTest(
        auc_a=float(areas[0]),
        auc_b=float(areas[1]),
        difference=difference,
        se=se,
        ci_low=low,
        ci_high=high,
        z=z,
        p_value=p_value,
        confidence=confidence,
    )
