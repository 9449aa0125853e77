"""A logistic model with one ridge penalty per block, found by marginal likelihood."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, special

__all__ = ["BlockRidge", "fit_block_ridge"]

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
    """

    intercept: float
    variances: np.ndarray
    dual: np.ndarray
    precision: np.ndarray
    log_evidence: float


def fit_block_ridge(kernels: list[np.ndarray], y: np.ndarray) -> BlockRidge:
    """Fit the coefficients of all blocks, and how large those of each block are allowed to be.

    The coefficients of block k are N(0, v_k) a priori. The variances maximise the Laplace
    approximation of the marginal likelihood, with a weak prior that keeps them near 1
    (log v ~ N(0, 1)), which decides when the data don't.

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

    def unlikely(t: np.ndarray) -> tuple[float, np.ndarray]:
        log_v, intercept = t[:-1], float(t[-1])
        mode = _Mode(kernels, np.exp(log_v), intercept, y)
        value = -mode.log_evidence + float((log_v**2).sum()) / 2
        slope_v, slope_b = mode.slopes(kernels)
        return value, np.append(-slope_v + log_v, -slope_b)

    start = np.append(np.zeros(len(kernels)), special.logit(y.mean()))
    bounds = [_LOG_VARIANCE] * len(kernels) + [(-6.0, 6.0)]
    found = optimize.minimize(unlikely, start, jac=True, method="L-BFGS-B", bounds=bounds)
    variances = np.exp(found.x[:-1])
    mode = _Mode(kernels, variances, float(found.x[-1]), y)
    return BlockRidge(float(found.x[-1]), variances, mode.dual, mode.precision(), mode.log_evidence)


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
