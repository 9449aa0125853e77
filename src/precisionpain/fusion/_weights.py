"""Weights of blocks from their out-of-fold log odds."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

__all__ = ["fit_weights", "log_losses"]


def fit_weights(z: np.ndarray, y: np.ndarray, spread: float) -> tuple[float, np.ndarray]:
    """Fit a logistic model with non-negative weights that are drawn towards their mean.

    With few events the data tell how much evidence there is in all, and little about which
    block holds it. So the weights are w_k = m + d_k with d_k ~ N(0, spread²): `spread` of 0
    adds the log odds up and calibrates the sum, a large one is plain stacking.

    Parameters
    ----------
    z : numpy.ndarray of shape (n, k)
        Log odds of each block, less those of the prevalence; 0 where a person lacks the block,
        which then says nothing.
    y : numpy.ndarray of shape (n,)
        0 and 1.
    spread : float
        Above 0.

    Returns
    -------
    intercept : float
    weights : numpy.ndarray of shape (k,)
        0 or more.
    """
    n_blocks = z.shape[1]

    def penalised(t: np.ndarray) -> tuple[float, np.ndarray]:
        b, w, m = t[0], t[1:-1], t[-1]
        eta = b + z @ w
        residual = special.expit(eta) - y
        away = (w - m) / spread**2
        # A weight of 1 is right when blocks are independent and calibrated; N(1, 1) is weak.
        value = log_losses(eta, y).sum() + 0.5 * away @ (w - m) + 0.5 * (m - 1) ** 2
        slope = np.concatenate(([residual.sum()], z.T @ residual + away, [m - 1 - away.sum()]))
        return float(value), slope

    start = np.concatenate(([special.logit(y.mean())], np.full(n_blocks + 1, 0.5)))
    bounds = [(None, None)] + [(0.0, None)] * (n_blocks + 1)
    found = optimize.minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), np.asarray(found.x[1:-1])


def log_losses(eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return −log of the probability that log odds `eta` gave to what happened."""
    return np.logaddexp(0.0, eta) - y * eta
