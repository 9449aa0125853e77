"""Whether one cluster is enough: the gain of several, against people drawn without any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .factors import Factors, Known, fit_factors, what_is_known
from .mixture import Mixture, fit_mixture

__all__ = ["OneCluster", "compare_with_one_cluster"]

_TO_MODEL, _LEAST_EIGENVALUE = 0.2, 0.02


@dataclasses.dataclass(frozen=True)
class OneCluster:
    """The gain in log-likelihood for each number of clusters, in SD of the null, and p."""

    gain: np.ndarray
    excess: np.ndarray
    p_value: float
    n_null: int


def compare_with_one_cluster(
    x: np.ndarray,
    mask: np.ndarray,
    block: np.ndarray,
    ks: Sequence[int],
    *,
    n_null: int,
    rng: np.random.Generator,
    starts: int = 2,
) -> OneCluster:
    """Run people without clusters through the same steps.

    The people of the null have the same gaps, every column with the very values that it has,
    and the same correlations (a Gaussian copula); skew, a limit of detection or the steps of a
    grade, which make clusters of their own, are the same in them.

    Parameters
    ----------
    x, mask, block : numpy.ndarray
        As `fit_factors` takes them.
    ks : sequence of int
        Numbers of clusters to try.
    n_null : int
        Cohorts of the null.
    rng : numpy.random.Generator
        Source of chance.
    starts : int, default 2
        Starts of each mixture, of the data and of the null alike.

    Returns
    -------
    OneCluster
        The p-value is of the largest excess over all `ks`.
    """
    # Fitted here as they are in the null, and not better.
    factors = fit_factors(x, mask, block)
    observed, single = _gains(what_is_known(x, factors), ks, rng, starts)
    root = np.linalg.cholesky(_correlation(x, factors, single))
    columns = [np.sort(column[~np.isnan(column)]) for column in x.T]
    null = np.empty((n_null, len(ks)))
    for row in range(n_null):
        drawn = _with_margins(rng.standard_normal(x.shape) @ root.T, x, columns)
        fitted = fit_factors(drawn, mask, block)
        null[row] = _gains(what_is_known(drawn, fitted), ks, rng, starts)[0]
    mean, spread = null.mean(axis=0), np.maximum(null.std(axis=0), 1e-9)
    excess = (observed - mean) / spread
    # The data count as one of the draws in the scale too, or they would look further out than
    # the null, which is measured by its own.
    drawn_all = np.vstack([observed, null])
    scale = np.maximum(drawn_all.std(axis=0), 1e-9)
    largest = ((drawn_all - drawn_all.mean(axis=0)) / scale).max(axis=1)
    p = int((largest >= largest[0]).sum()) / (1 + n_null)
    return OneCluster(observed, excess, p, n_null)


def _gains(
    known: Known, ks: Sequence[int], rng: np.random.Generator, starts: int
) -> tuple[np.ndarray, Mixture]:
    single = fit_mixture(known, 1, rng)
    several = [fit_mixture(known, k, rng, starts=starts).log_likelihood for k in ks]
    return np.array(several) - single.log_likelihood, single


def _correlation(x: np.ndarray, factors: Factors, single: Mixture) -> np.ndarray:
    """Return the rank correlation of the columns, drawn to that of the factors."""
    import pandas as pd

    ranks = pd.DataFrame(x).rank()
    scores = pd.DataFrame(stats.norm.ppf((ranks - 0.5) / ranks.count()))
    measured = scores.corr(min_periods=10).to_numpy()
    w = factors.loadings
    model = w @ single.covariance @ w.T + np.diag(factors.noise)
    scale = np.sqrt(np.diag(model))
    model /= np.outer(scale, scale)
    mixed = np.where(
        np.isnan(measured), model, (1 - _TO_MODEL) * np.nan_to_num(measured) + _TO_MODEL * model
    )
    np.fill_diagonal(mixed, 1.0)
    values, vectors = np.linalg.eigh((mixed + mixed.T) / 2)
    return (vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T


def _with_margins(normal: np.ndarray, x: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Give the known cells the values of their column, in the order of the normal ones."""
    drawn = np.full(x.shape, np.nan)
    for j, values in enumerate(columns):
        rows = np.flatnonzero(~np.isnan(x[:, j]))
        drawn[rows[np.argsort(normal[rows, j])], j] = values
    return drawn
