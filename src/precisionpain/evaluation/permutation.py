"""Permuted labels: the canary that dies when something leaks, and a test of no signal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from ..stats import permutation_p

__all__ = ["PermutationTest", "permutation_test", "permute_by_subject"]


@dataclasses.dataclass(frozen=True)
class PermutationTest:
    """Pooled AUCs of the whole pipeline under permuted labels.

    Parameters
    ----------
    observed : float
        Pooled AUC with the true labels.
    null : numpy.ndarray of shape (n_permutations,)
        Pooled AUCs with permuted labels.
    """

    observed: float
    null: np.ndarray

    @property
    def p_value(self) -> float:
        """(1 + permuted AUCs at least as high) / (1 + permutations)."""
        return float(permutation_p(self.observed, self.null))

    @property
    def mean(self) -> float:
        """Mean permuted AUC: 0.5, or a little below, when nothing leaks."""
        return float(np.mean(self.null))

    @property
    def se(self) -> float:
        """Standard error of `mean`; NaN for a single permutation."""
        n = len(self.null)
        return float(np.std(self.null, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    @property
    def passed(self) -> bool:
        """Whether the mean permuted AUC is no more than 3 standard errors above 0.5.

        Pooling predictions over folds makes the null a little pessimistic, so only the
        upper side points to a leak.
        """
        return not self.mean - 0.5 > 3 * self.se

    def __repr__(self) -> str:
        state = "passed" if self.passed else "FAILED: something leaks"
        return (
            f"PermutationTest(AUC {self.observed:.3f}; permuted {self.mean:.3f} ± "
            f"{self.se:.3f} (SE) over {len(self.null)}; p = {self.p_value:.3g}; canary {state})"
        )


def permutation_test(
    observed: float,
    y: np.ndarray,
    groups: np.ndarray,
    pooled_auc: Callable[[np.ndarray], float],
    *,
    n_permutations: int,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> PermutationTest:
    """Rerun a cross-validation with permuted labels.

    Parameters
    ----------
    observed : float
        AUC with the true labels.
    y : numpy.ndarray of shape (n_rows,)
        Outcome.
    groups : numpy.ndarray of shape (n_rows,)
        Subject of each row.
    pooled_auc : callable
        Labels → pooled AUC. It draws the folds anew, so that they are stratified by the
        permuted labels as the true ones were by the true labels.
    n_permutations : int
        How often.
    n_jobs : int, optional
        Permutations in parallel, as joblib takes it.
    random_state : int, default 0
        Seed.

    Returns
    -------
    PermutationTest
    """
    from joblib import Parallel, delayed

    rng = np.random.default_rng(random_state)
    labels = [permute_by_subject(y, groups, rng) for _ in range(n_permutations)]
    null = Parallel(n_jobs=n_jobs)(delayed(pooled_auc)(each) for each in labels)
    return PermutationTest(observed, np.array(null))


def permute_by_subject(y: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute the labels of whole subjects among subjects with as many rows.

    Parameters
    ----------
    y : numpy.ndarray of shape (n_rows,)
        Labels.
    groups : numpy.ndarray of shape (n_rows,)
        Subject of each row.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray of shape (n_rows,)
    """
    codes, people = pd.factorize(groups)
    if len(people) == len(y):
        return rng.permutation(y)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    permuted = y.copy()
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        rows = order[starts[members][:, None] + np.arange(size)]
        permuted[rows] = y[rows[rng.permutation(len(members))]]
    return permuted
