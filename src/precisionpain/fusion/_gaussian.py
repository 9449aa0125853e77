"""A linear model of a number with one ridge penalty per block, found by marginal likelihood."""

from __future__ import annotations

import numpy as np
from scipy import linalg, optimize

from ._laplace import BlockRidge

__all__ = ["fit_block_gaussian"]

_LOG_VARIANCE = (-9.0, 3.0)
# Of the variance of the outcome, what the blocks together are expected to explain beforehand.
_EXPLAINED = 0.25


def fit_block_gaussian(kernels: list[np.ndarray], y: np.ndarray) -> BlockRidge:
    """Fit the coefficients of all blocks, how large those of each may be, and the noise.

    The coefficients of block k are N(0, v_k) a priori and the noise is normal, so that the
    marginal likelihood has a closed form. A weak prior decides when the data don't: each log
    variance is N(·, 1) about equal shares of a quarter of the variance of the outcome.

    Parameters
    ----------
    kernels : list of numpy.ndarray, shape (n, n)
        X_k X_kᵀ of each block, on the training people.
    y : numpy.ndarray of shape (n,)
        Numbers, not all equal.

    Returns
    -------
    BlockRidge

    References
    ----------
    .. [1] Rasmussen CE, Williams CKI. Gaussian processes for machine learning. MIT Press 2006,
       sections 2.7 and 5.4.1.
    """
    scale = float(y.std())
    z = y / scale
    ones = np.ones(len(z))
    centre = np.log(_EXPLAINED / len(kernels))
    start = np.append(np.full(len(kernels), centre), np.log(1 - _EXPLAINED))

    def solved(t: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, float]:
        spread = sum(np.exp(a) * k for a, k in zip(t[:-1], kernels, strict=True))
        spread = spread + np.exp(t[-1]) * np.eye(len(z))
        factor = linalg.cho_factor(spread, lower=True)
        inverse = linalg.cho_solve(factor, np.eye(len(z)))
        # The intercept is free: generalised least squares.
        b = float((inverse @ z).sum() / inverse.sum())
        dual = inverse @ (z - b * ones)
        half_log_det = float(np.log(np.diag(factor[0])).sum())
        return b, dual, inverse, -0.5 * float((z - b) @ dual) - half_log_det

    def unlikely(t: np.ndarray) -> tuple[float, np.ndarray]:
        _, dual, inverse, log_evidence = solved(t)
        away = t - start
        slopes = [
            np.exp(a) * 0.5 * float(dual @ k @ dual - (inverse * k).sum())
            for a, k in zip(t[:-1], kernels, strict=True)
        ]
        slopes.append(np.exp(t[-1]) * 0.5 * float(dual @ dual - np.trace(inverse)))
        return -log_evidence + float((away**2).sum()) / 2, away - np.array(slopes)

    found = optimize.minimize(
        unlikely, start, jac=True, method="L-BFGS-B", bounds=[_LOG_VARIANCE] * len(start)
    )
    b, dual, inverse, _ = solved(found.x)
    variances = np.exp(found.x)
    return BlockRidge(
        b * scale, variances[:-1] * scale**2, dual / scale, inverse / scale**2, -found.fun,
        float(variances[-1]) * scale**2,
    )  # fmt: skip
