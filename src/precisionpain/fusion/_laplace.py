"""A logistic model with one ridge penalty per block, found by marginal likelihood."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, special

__all__ = ["BlockRidge", "fit_block_ridge", "fit_subsets"]

_LOG_VARIANCE = (-8.0, 4.0)
_MAX_NEWTON = 50


class BlockRidge(NamedTuple):
    """What `fit_block_ridge` found.

    Attributes
    ----------
    intercept : float
    variances : numpy.ndarray of shape (k,)
    dual : numpy.ndarray of shape (n,)
        The coefficients of block k are ``variances[k] * X_k.T @ dual``.
    precision : numpy.ndarray of shape (n, n)
        The variance of the log odds of a new person is ``c - k @ precision @ k``, from the
        kernel of that person with itself and with the training people.
    log_evidence : float
        With the prior of the variances.
    noise : float
        Variance of a number about its mean; 0 for classes.
    """

    intercept: float
    variances: np.ndarray
    dual: np.ndarray
    precision: np.ndarray
    log_evidence: float
    noise: float = 0.0


def fit_block_ridge(kernels: list[np.ndarray], y: np.ndarray) -> BlockRidge:
    """Fit the coefficients of all blocks, and how large those of each block are allowed to be.

    The coefficients of block k are N(0, v_k) a priori. The variances maximise the Laplace
    approximation of the marginal likelihood, with a weak prior that decides when the data don't:
    log v ~ N(-log K, 1) for K blocks. Block-scaled columns then give the log odds a variance
    about 1, that is, an AUC about 0.76, however many blocks there are.

    Parameters
    ----------
    kernels : list of numpy.ndarray, shape (n, n)
        X_k X_kᵀ of each block, on the training people.
    y : numpy.ndarray of shape (n,)
        0 and 1.

    Returns
    -------
    BlockRidge

    References
    ----------
    .. [1] Rasmussen CE, Williams CKI. Gaussian processes for machine learning. MIT Press 2006,
       sections 3.4 and 5.5.
    .. [2] van de Wiel MA, et al. Fast cross-validation for multi-penalty high-dimensional ridge
       regression. J Comput Graph Stat 2021;30:835.
    """
    centre = -np.log(len(kernels))

    def unlikely(t: np.ndarray) -> tuple[float, np.ndarray]:
        away, intercept = t[:-1] - centre, float(t[-1])
        mode = _Mode(kernels, np.exp(t[:-1]), intercept, y)
        value = -mode.log_evidence + float((away**2).sum()) / 2
        slope_v, slope_b = mode.slopes(kernels)
        return value, np.append(-slope_v + away, -slope_b)

    start = np.append(np.full(len(kernels), centre), special.logit(y.mean()))
    bounds = [_LOG_VARIANCE] * len(kernels) + [(-6.0, 6.0)]
    found = optimize.minimize(unlikely, start, jac=True, method="L-BFGS-B", bounds=bounds)
    variances = np.exp(found.x[:-1])
    mode = _Mode(kernels, variances, float(found.x[-1]), y)
    return BlockRidge(float(found.x[-1]), variances, mode.dual, mode.precision(), -found.fun)


def fit_subsets(
    kernels: list[np.ndarray],
    y: np.ndarray,
    max_models: int,
    gate: float | None = None,
    fit_one: Callable[[list[np.ndarray], np.ndarray], BlockRidge] = fit_block_ridge,
) -> list[tuple[float, tuple[int, ...], BlockRidge]]:
    """Fit the first block with every subset of the others, and weigh these models.

    Each number of further blocks is as probable as any other a priori, so that trying many
    blocks doesn't make it likely that one of them counts.

    Parameters
    ----------
    kernels, y
        As `fit_block_ridge` takes them.
    max_models : int
        With more subsets than that, small ones are tried first, and all blocks together last.
    gate : float or None, default None
        The first block alone is the model unless the log Bayes factor of all others against it
        is above this.
    fit_one : callable, default fit_block_ridge
        Fits one set.

    Returns
    -------
    list of (weight, blocks, BlockRidge)
        The weights, posterior probabilities, add up to 1.

    References
    ----------
    .. [1] Scott JG, Berger JO. Bayes and empirical-Bayes multiplicity adjustment in the
       variable-selection problem. Ann Stat 2010;38:2587.
    """
    others = range(1, len(kernels))
    sizes = [list(itertools.combinations(others, r)) for r in range(len(kernels))]
    subsets = [subset for same in sizes for subset in same]
    if len(subsets) > max_models:
        subsets = [*subsets[: max_models - 1], subsets[-1]]
    fitted, scores = [], []
    for subset in subsets:
        blocks = (0, *subset)
        fitted.append(fit_one([kernels[k] for k in blocks], y))
        scores.append(fitted[-1].log_evidence - np.log(len(sizes[len(subset)])))
    weights = special.softmax(scores)
    if gate is not None and len(scores) > 1:
        n_others = len({len(subset) for subset in subsets}) - 1
        if special.logsumexp(scores[1:]) - np.log(n_others) - scores[0] <= gate:
            weights = np.eye(len(scores))[0]
    return [
        (float(w), (0, *subset), each)
        for w, subset, each in zip(weights, subsets, fitted, strict=True)
    ]


class _Mode:
    """The posterior mode of the log odds, f = b + K a, and the evidence around it."""

    def __init__(
        self, kernels: list[np.ndarray], variances: np.ndarray, b: float, y: np.ndarray
    ) -> None:
        self.variances = variances
        self.kernel = sum(v * k for v, k in zip(variances, kernels, strict=True))
        n = len(y)
        f, dual = np.full(n, b), np.zeros(n)
        for _ in range(_MAX_NEWTON):
            p = special.expit(f)
            w = np.maximum(p * (1 - p), 1e-10)
            s = np.sqrt(w)
            factor = linalg.cho_factor(np.eye(n) + s[:, None] * self.kernel * s, lower=True)
            right = w * (f - b) + (y - p)
            dual = right - s * linalg.cho_solve(factor, s * (self.kernel @ right))
            new = b + self.kernel @ dual
            step = float(np.abs(new - f).max())
            f = new
            if step < 1e-9:
                break
        self.f, self.dual, self.s, self.factor = f, dual, s, factor
        self.p = special.expit(f)
        fit = float((y * f - np.logaddexp(0, f)).sum())
        half_log_det = float(np.log(np.diag(factor[0])).sum())
        self.log_evidence = fit - 0.5 * float(dual @ (f - b)) - half_log_det

    def precision(self) -> np.ndarray:
        """Return (K + W⁻¹)⁻¹."""
        inverse: np.ndarray = self.s[:, None] * linalg.cho_solve(self.factor, np.diag(self.s))
        return inverse

    def slopes(self, kernels: list[np.ndarray]) -> tuple[np.ndarray, float]:
        """Return the derivatives of the log evidence by log v, and by the intercept.

        Algorithm 5.1 of [1]: the explicit part, and the part through the mode.
        """
        s, inverse = self.s, self.precision()
        c = linalg.solve_triangular(self.factor[0], s[:, None] * self.kernel, lower=True)
        spread = np.diag(self.kernel) - (c**2).sum(axis=0)
        third = -self.p * (1 - self.p) * (1 - 2 * self.p)
        # d log|B| / df enters through W, and W is minus the second derivative of the fit.
        through = 0.5 * spread * third
        by_v = np.empty(len(kernels))
        for k, each in enumerate(kernels):
            moved = self.variances[k] * each
            explicit = 0.5 * self.dual @ moved @ self.dual - 0.5 * (inverse * moved).sum()
            push = moved @ self.dual
            implicit = through @ (push - self.kernel @ (inverse @ push))
            by_v[k] = explicit + implicit
        ones = np.ones(len(s))
        moved_f = ones - self.kernel @ (inverse @ ones)
        return by_v, float(self.dual.sum() + through @ moved_f)
