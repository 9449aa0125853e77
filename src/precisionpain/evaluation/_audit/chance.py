"""What chance alone does to an AUC: its interval, its best fold, the people it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from ...stats.effects import _rank_sum_cdf

__all__ = ["BestFold", "auc_se", "auc_se_bound", "best_fold", "people_needed"]

# Beyond, the normal approximation of the rank-sum distribution errs by less than 0.006.
_EXACT, _FEW = 30, 5
_GRID = 801


@dataclasses.dataclass(frozen=True)
class BestFold:
    """The best AUC of several folds when the score carries no signal.

    Parameters
    ----------
    mean : float
        Its expectation.
    p_value : float
        Chance that it reaches the printed one.
    """

    mean: float
    p_value: float


def auc_se(auc: float, n_positive: float, n_negative: float) -> float:
    """Return Hanley and McNeil's standard error of an AUC.

    SE² = (A(1 − A) + (m − 1)(Q₁ − A²) + (n − 1)(Q₂ − A²)) / (mn), Q₁ = A / (2 − A),
    Q₂ = 2A² / (1 + A): exact for exponential scores, close for most others.

    Parameters
    ----------
    auc : float
        Area under the ROC curve, 0 to 1.
    n_positive, n_negative : float
        People with and without the event.

    Returns
    -------
    float

    References
    ----------
    Hanley & McNeil, Radiology 143, 29 (1982).

    Examples
    --------
    >>> round(auc_se(0.56, 55, 73), 4)
    0.0516
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_positive * n_negative)))


def auc_se_bound(auc: float, n_positive: float, n_negative: float) -> float:
    """Return the largest standard error that any continuous scores can give.

    √(A(1 − A) / min(m, n)).

    Parameters
    ----------
    auc : float
        Area under the ROC curve, 0 to 1.
    n_positive, n_negative : float
        People with and without the event.

    Returns
    -------
    float

    References
    ----------
    Birnbaum & Klose, Annals of Mathematical Statistics 28, 933 (1957); Cortes & Mohri,
    Advances in Neural Information Processing Systems 17 (2004).

    Examples
    --------
    >>> round(auc_se_bound(0.56, 55, 73), 4)
    0.0669
    """
    return float(np.sqrt(auc * (1 - auc) / min(n_positive, n_negative)))


def people_needed(auc: float, prevalence: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many people tell an AUC from 0.5 in a two-sided test.

    The least N with z₁₋α⸝₂ SE₀ + z_power SE₁ ≤ |A − ½|, where SE₀² = (N + 1) / (12mn) is
    that of the rank-sum test without signal and SE₁ is Hanley and McNeil's at A, with
    m = πN and n = (1 − π)N.

    Parameters
    ----------
    auc : float
        Assumed area, other than 0.5.
    prevalence : float
        Share with the event, π.
    power, alpha : float, default 0.8 and 0.05
        Of the test.

    Returns
    -------
    int

    References
    ----------
    Hanley & McNeil, Radiology 143, 29 (1982).

    Examples
    --------
    >>> people_needed(0.56, 55 / 128)
    741
    """
    far = abs(auc - 0.5)

    def enough(total: int) -> bool:
        m, n = prevalence * total, (1 - prevalence) * total
        null = np.sqrt((total + 1) / (12 * m * n))
        return ndtri(1 - alpha / 2) * null + ndtri(power) * auc_se(auc, m, n) <= far

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _cdf(m: int, n: int, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(AUC ≤ area) without signal and ties; 1 for a single class, which has no AUC."""
    if m == 0 or n == 0:
        return np.ones_like(areas)
    wins = np.floor(areas * m * n + 1e-9)
    if max(m, n) <= _EXACT or min(m, n) < _FEW:
        table = np.concatenate([[0.0], _rank_sum_cdf(m, n)])
        return table[np.clip(wins.astype(int) + 1, 0, m * n + 1)]
    return ndtr((wins + 0.5 - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def best_fold(
    auc: float,
    sizes: Sequence[int],
    n_positive: int,
    *,
    positives: Sequence[int] | None = None,
) -> BestFold:
    """Return the exact distribution of the best of several folds without signal.

    Within a fold the AUC is a Mann–Whitney statistic over its number of pairs. Folds of
    given classes are independent: P(all ≤ a) = Π F(a; mₖ, nₖ). Where the classes fall as
    chance has it, this is averaged over all ways to share out the people with the event:
    the coefficient of z^M in Π Σₘ C(sₖ, m) F(a; m, sₖ − m) zᵐ, over C(N, M).

    Parameters
    ----------
    auc : float
        The best AUC that was printed.
    sizes : sequence of int
        People in each fold.
    n_positive : int
        People with the event in all folds together.
    positives : sequence of int, optional
        The same per fold, where it is known; by default they fall at random.

    Returns
    -------
    BestFold

    References
    ----------
    Mann & Whitney, Annals of Mathematical Statistics 18, 50 (1947).

    Examples
    --------
    >>> null = best_fold(47 / 60, [16] * 8, 55)
    >>> f"{null.mean:.2f} {null.p_value:.2f}"
    '0.72 0.24'
    """
    just_below = auc - 1e-7
    grid = np.append(np.linspace(0, 1, _GRID), just_below)
    if positives is not None:
        below = np.prod([_cdf(m, s - m, grid) for m, s in zip(positives, sizes, strict=True)], 0)
    else:
        below = _random_classes(grid, sizes, n_positive)
    # The expectation of a value between 0 and 1 is the area above its distribution; the
    # midpoint of each step of the grid stands for the step.
    mean = 1 - float(np.trapezoid(below[:-1], grid[:-1]))
    return BestFold(mean, float(1 - below[-1]))


def _random_classes(
    grid: NDArray[np.float64], sizes: Sequence[int], n_positive: int
) -> NDArray[np.float64]:
    total = sum(sizes)
    share = n_positive / total
    # Binomial weights instead of binomial coefficients, which would overflow.
    weighted = {
        size: np.array(
            [
                binom.pmf(m, size, share) * _cdf(m, size - m, grid)
                for m in range(min(size, n_positive) + 1)
            ]
        )
        for size in set(sizes)
    }
    product = np.zeros((n_positive + 1, len(grid)))
    product[0] = 1.0
    for size in sizes:
        updated = np.zeros_like(product)
        for m, row in enumerate(weighted[size]):
            updated[m:] += row * product[: n_positive + 1 - m]
        product = updated
    return product[n_positive] / binom.pmf(n_positive, total, share)
