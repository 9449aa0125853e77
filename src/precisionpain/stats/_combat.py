"""The arithmetic of ComBat: least squares with gaps, and empirical Bayes over the features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["least_squares", "location_and_scale", "nonparametric", "parametric"]

Array = NDArray[np.float64]


def least_squares(design: Array, values: Array, batches: int) -> Array:
    """Regress every column on the design, over the rows where it is known.

    Parameters
    ----------
    design : ndarray of shape (n, k)
        The first `batches` columns belong to the batches.
    values : ndarray of shape (n, p)
        NaN where not measured.
    batches : int
        Number of batch columns.

    Returns
    -------
    ndarray of shape (k, p)
        NaN for a batch without any value of that feature.
    """
    known = np.isfinite(values)
    result = np.full((design.shape[1], values.shape[1]), np.nan)
    # Features with the same gaps share their equations.
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    which = which.ravel()
    for i, rows in enumerate(patterns.T):
        columns = np.flatnonzero(which == i)
        part = design[rows]
        used = np.ones(design.shape[1], dtype=bool)
        used[:batches] = (part[:, :batches] != 0).any(axis=0)
        if not used[:batches].any():
            continue
        answer = np.linalg.lstsq(part[:, used], values[np.ix_(rows, columns)], rcond=None)[0]
        result[np.ix_(used, columns)] = answer
    return result


def location_and_scale(values: Array, gamma: Array, mean_only: bool) -> tuple[Array, Array, Array]:
    """Return how many values there are, their spread about the mean, and their variance.

    Parameters
    ----------
    values : ndarray of shape (n, p)
        Standardised values of one batch.
    gamma : ndarray of shape (p,)
        Location of the batch.
    mean_only : bool
        Whether variances are taken to be 1.

    Returns
    -------
    n, squares, delta : ndarray of shape (p,)
        `squares` is the sum about the batch's own mean; `delta` is NaN with fewer than two
        values.
    """
    known = np.isfinite(values)
    n = known.sum(axis=0).astype(float)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, values - mean, 0.0)
    squares = (squares * squares).sum(axis=0)
    if mean_only:
        return n, squares, np.ones_like(gamma)
    with np.errstate(invalid="ignore", divide="ignore"):
        return n, squares, np.where(n > 1, squares / (n - 1), np.nan)


def parametric(
    n: Array,
    mean: Array,
    squares: Array,
    gamma: Array,
    delta: Array,
    usable: NDArray[np.bool_],
    *,
    mean_only: bool,
    tol: float,
    max_iter: int,
) -> tuple[Array, Array, bool]:
    """Shrink location and scale of one batch towards normal and inverse gamma priors.

    Parameters
    ----------
    n, mean, squares : ndarray of shape (p,)
        Number, mean, and sum of squares about the mean, of the standardised values.
    gamma, delta : ndarray of shape (p,)
        Estimates of each feature alone.
    usable : ndarray of bool
        Features that the priors are estimated from.
    mean_only : bool
        Whether variances stay 1.
    tol : float
        Largest relative change at which to stop.
    max_iter : int
        Most rounds.

    Returns
    -------
    gamma_star, delta_star : ndarray of shape (p,)
    converged : bool
    """
    centre, spread = gamma[usable].mean(), gamma[usable].var(ddof=1)

    def location(weight: Array, scale: Array) -> Array:
        known = weight > 0
        return np.where(
            known,
            (weight * spread * np.where(known, gamma, 0.0) + scale * centre)
            / (weight * spread + scale),
            centre,
        )

    if mean_only:
        # Each location counts as one draw around the common one, whatever the batch's size.
        return location((n > 0).astype(float), np.ones_like(gamma)), np.ones_like(gamma), True
    m, s2 = delta[usable].mean(), delta[usable].var(ddof=1)
    if not s2 > 0:  # nothing to shrink by: every feature has the same variance
        return location(n, np.full_like(gamma, m)), np.full_like(gamma, m), True
    shape, rate = (2 * s2 + m * m) / s2, (m * s2 + m**3) / s2
    g = np.where(np.isfinite(gamma), gamma, centre)
    d = np.where(np.isfinite(delta), delta, m)
    for _ in range(max_iter):
        new_g = location(n, d)
        total = squares + n * (mean - new_g) ** 2
        new_d = (total / 2 + rate) / (n / 2 + shape - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Signed on purpose: the established stopping rule, which the values hang on.
            change = np.nanmax([(np.abs(new_g - g) / g).max(), (np.abs(new_d - d) / d).max()])
        g, d = new_g, new_d
        if change <= tol:
            return g, d, True
    return g, d, False


def nonparametric(
    n: Array,
    mean: Array,
    squares: Array,
    gamma: Array,
    delta: Array,
    usable: NDArray[np.bool_],
    *,
    mean_only: bool,
) -> tuple[Array, Array]:
    """Shrink location and scale of one batch by the likelihood under every other feature's.

    Parameters
    ----------
    n, mean, squares, gamma, delta, usable, mean_only
        See `parametric`.

    Returns
    -------
    gamma_star, delta_star : ndarray of shape (p,)
    """
    others = np.flatnonzero(usable)
    g, d = gamma[others], delta[others]
    result: tuple[Array, Array] = (np.empty_like(gamma), np.empty_like(gamma))
    block = max(1, 4_000_000 // max(1, len(others)))
    for start in range(0, len(gamma), block):
        rows = slice(start, start + block)
        many = n[rows, None]
        total = squares[rows, None] + many * (mean[rows, None] - g) ** 2
        log = -many / 2 * np.log(2 * np.pi * d) - total / (2 * d)
        log[np.arange(start, min(start + block, len(gamma)))[:, None] == others] = -np.inf
        # Relative to the largest, so that big batches don't underflow.
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        result[0][rows] = weight @ g
        result[1][rows] = 1.0 if mean_only else weight @ d
    return result
