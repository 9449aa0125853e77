"""Tests between models: on the folds of one cross-validation, and against permutations."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import FormatError
from ._checks import as_numbers, check_fraction

__all__ = ["CorrectedT", "corrected_t", "permutation_p"]


@dataclasses.dataclass(frozen=True, repr=False)
class CorrectedT:
    """A mean difference over folds, with an interval that knows that folds overlap.

    Parameters
    ----------
    mean : float
        Mean difference.
    se : float
        Corrected standard error.
    df : int
        Degrees of freedom, number of differences − 1.
    t, p_value : float
        Statistic and two-sided p. NaN when all differences are the same but not zero.
    ci_low, ci_high : float
        Limits of the mean difference.
    confidence : float
        Their level.
    """

    mean: float
    se: float
    df: int
    t: float
    p_value: float
    ci_low: float
    ci_high: float
    confidence: float = 0.95

    def __repr__(self) -> str:
        return (
            f"CorrectedT({self.mean:+.3f}, {self.confidence:.0%} CI {self.ci_low:+.3f} to "
            f"{self.ci_high:+.3f}, t({self.df}) = {self.t:.2f}, p = {self.p_value:.3g})"
        )


def corrected_t(
    differences: ArrayLike, *, n_train: float, n_test: float, confidence: float = 0.95
) -> CorrectedT:
    """Test the mean difference between two models over the same resampled folds.

    The training sets of folds overlap, so that the ordinary t-test is far too sure.
    Nadeau & Bengio replace its variance s² / J by s² (1/J + n_test/n_train), with J the
    number of differences. For r times repeated k-fold cross-validation J = r·k (Bouckaert
    & Frank 2004).

    Parameters
    ----------
    differences : array-like of shape (J,)
        Measure of model A − measure of model B, fold by fold.
    n_train, n_test : float
        People in the training and test part of a fold (means, if folds differ).
    confidence : float, default 0.95
        Level of the interval.

    Returns
    -------
    CorrectedT
        If all differences are zero, t = 0 and p = 1.

    Raises
    ------
    FormatError
        With fewer than two differences, missing values or impossible sizes.

    References
    ----------
    Nadeau & Bengio, Machine Learning 52, 239 (2003).

    Examples
    --------
    >>> corrected_t([0.05, 0.02, -0.01, 0.04], n_train=90, n_test=30)
    CorrectedT(+0.025, 95% CI -0.039 to +0.089, t(3) = 1.24, p = 0.304)
    """
    check_fraction(confidence, "confidence")
    values = as_numbers(differences, "differences")
    if len(values) < 2:
        raise FormatError(f"expected at least two differences, found {len(values)}")
    if not (n_train > 0 and n_test >= 0):
        raise FormatError(f"impossible fold sizes: n_train={n_train!r}, n_test={n_test!r}")
    mean = float(values.mean())
    # Rounding would give equal differences a tiny spread, and an absurdly small p.
    spread = 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
    se = spread * float(np.sqrt(1 / len(values) + n_test / n_train))
    df = len(values) - 1
    half = se * float(stats.t.ppf((1 + confidence) / 2, df))
    low, high = mean - half, mean + half
    if se > 0:
        t = mean / se
        p_value = float(2 * stats.t.sf(abs(t), df))
    elif mean == 0:
        t, p_value = 0.0, 1.0
    else:
        t = p_value = low = high = np.nan
    return CorrectedT(
        mean=mean,
        se=se,
        df=df,
        t=t,
        p_value=p_value,
        ci_low=low,
        ci_high=high,
        confidence=confidence,
    )


def permutation_p(
    observed: float,
    null: ArrayLike,
    alternative: Literal["greater", "less", "two-sided"] = "greater",
) -> float:
    """Return the p-value of a statistic against its permutations.

    (1 + number of permutations at least as extreme) / (1 + number of permutations): the
    observed labelling is one of those possible, so that p is never zero and the test is
    exact (Phipson & Smyth 2010).

    Parameters
    ----------
    observed : float
        The statistic with the true labels.
    null : array-like of shape (B,)
        The statistic with permuted labels.
    alternative : {"greater", "less", "two-sided"}, default "greater"
        Which values count as extreme; ``two-sided`` doubles the smaller p, at most 1.

    Returns
    -------
    float
        1 / (1 + B) to 1.

    Raises
    ------
    FormatError
        When `null` is empty, a value is missing or the alternative is unknown.

    References
    ----------
    Phipson & Smyth, Statistical Applications in Genetics and Molecular Biology 9, 39
    (2010).

    Examples
    --------
    >>> permutation_p(0.8, [0.4, 0.5, 0.6])
    0.25
    """
    values = as_numbers(null, "null")
    value = float(as_numbers([observed], "observed")[0])
    if not len(values):
        raise FormatError("there are no permutations", where="null")
    greater = (1 + int(np.count_nonzero(values >= value))) / (1 + len(values))
    less = (1 + int(np.count_nonzero(values <= value))) / (1 + len(values))
    if alternative == "greater":
        return greater
    if alternative == "less":
        return less
    if alternative == "two-sided":
        return min(1.0, 2 * min(greater, less))
    raise FormatError(f"alternative is 'greater', 'less' or 'two-sided', found {alternative!r}")
