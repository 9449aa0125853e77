"""Proportional odds: the rank of a protein's value against the design, without a scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

__all__ = ["fit_ordinal", "slopes"]

Array = NDArray[np.float64]


def slopes(design: Array) -> tuple[Array, Array]:
    """Return what a design can tell beside a constant, which the thresholds take up.

    Parameters
    ----------
    design : numpy.ndarray of shape (n, k)
        Of any rank.

    Returns
    -------
    x : numpy.ndarray of shape (n, r)
        Independent of each other and of a constant.
    basis : numpy.ndarray of shape (k, r)
        Orthonormal; a contrast can be estimated if it lies in its range.
    """
    centred = design - design.mean(axis=0)
    _, size, rows = np.linalg.svd(centred / np.maximum(np.abs(design).max(axis=0), 1e-300))
    rank = int((size > 1e-8 * max(float(size.max(initial=0.0)), 1e-8)).sum())
    scale = np.maximum(np.abs(design).max(axis=0), 1e-300)
    # Back to the scale of the columns, and orthonormal again.
    basis = np.linalg.qr((rows[:rank] * scale).T)[0] if rank else np.zeros((design.shape[1], 0))
    return centred @ basis, basis


def fit_ordinal(y: Array, x: Array) -> tuple[Array, Array, float] | None:
    """Fit logit P(Y > level) = −θ + x β to values that are only compared with each other.

    Parameters
    ----------
    y : numpy.ndarray of shape (n,)
        Every distinct value is a level of its own.
    x : numpy.ndarray of shape (n, k)
        Without a constant.

    Returns
    -------
    tuple or None
        β, its covariance and the log-likelihood; None when it doesn't converge, as in a
        perfect separation.

    References
    ----------
    McCullagh, JRSS B 42, 109 (1980); Liu et al., Statistics in Medicine 36, 4316 (2017).

    Notes
    -----
    The information of the thresholds is tridiagonal, which makes hundreds of levels cheap.
    """
    levels, level = np.unique(y, return_inverse=True)
    m, k, n = len(levels) - 1, x.shape[1], len(y)
    if m < 1 or n <= k or np.linalg.matrix_rank(np.column_stack([np.ones(n), x])) <= k:
        return None
    share = np.cumsum(np.bincount(level))[:-1] / n
    theta, beta = special.logit(share), np.zeros(k)
    found = _derivatives(theta, beta, level, x)
    for _ in range(60):
        value, gradient_t, gradient_b, banded, cross, inner = found
        try:
            solved = linalg.solveh_banded(banded, np.column_stack([gradient_t, cross]))
            information = inner - cross.T @ solved[:, 1:]
            step_b = np.linalg.solve(information, gradient_b - cross.T @ solved[:, 0])
        except (np.linalg.LinAlgError, ValueError):
            return None
        step_t = solved[:, 0] - solved[:, 1:] @ step_b
        size = 1.0
        while True:
            moved = theta + size * step_t
            if (np.diff(moved) > 0).all():
                found = _derivatives(moved, beta + size * step_b, level, x)
                if found[0] >= value - 1e-9 * abs(value):
                    break
            size /= 2
            if size < 1e-6:
                return None
        theta, beta = moved, beta + size * step_b
        if np.abs(beta).max(initial=0.0) > 50:
            return None
        if max(np.abs(step_b).max(initial=0.0), np.abs(step_t).max()) < 1e-9:
            return beta, np.linalg.inv(information), float(found[0])
    return None


def _derivatives(
    theta: Array, beta: Array, level: NDArray[np.intp], x: Array
) -> tuple[float, Array, Array, Array, Array, Array]:
    """Return the log-likelihood, its gradient, and the negative Hessian in blocks."""
    m = len(theta)
    eta = x @ beta
    edges = np.concatenate([[-np.inf], theta, [np.inf]])
    upper, lower = special.expit(edges[level + 1] - eta), special.expit(edges[level] - eta)
    chance = np.maximum(upper - lower, 1e-300)
    up, low = upper * (1 - upper), lower * (1 - lower)
    # Derivatives by the upper and the lower edge of each value's level.
    first_up, first_low = up / chance, -low / chance
    second_up = up * (1 - 2 * upper) / chance - first_up**2
    second_low = -low * (1 - 2 * lower) / chance - first_low**2
    mixed = up * low / chance**2
    has_up, has_low = level < m, level > 0

    def collect(up_part: Array, low_part: Array) -> Array:
        found: Array = np.bincount(level[has_up], up_part[has_up], m).astype(np.float64)
        found += np.bincount(level[has_low] - 1, low_part[has_low], m)
        return found

    banded = np.zeros((2, m))
    banded[1] = -collect(second_up, second_low)
    both = has_up & has_low
    banded[0] = -np.bincount(level[both], mixed[both], m)
    by_up, by_low = second_up + mixed, second_low + mixed
    cross = np.column_stack([collect(by_up * column, by_low * column) for column in x.T])
    inner = -(x * (second_up + 2 * mixed + second_low)[:, None]).T @ x
    gradient_t = collect(first_up, first_low)
    gradient_b = -x.T @ (first_up + first_low)
    return float(np.log(chance).sum()), gradient_t, gradient_b, banded, cross, inner
