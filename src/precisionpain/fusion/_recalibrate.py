"""Recalibration of log odds that were predicted for people left out."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

__all__ = ["fit_line"]

_SPREAD = 0.3  # of the slope about 1, a priori: some fifty events are needed to move it much


def fit_line(eta: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Fit the intercept and the slope of the outcome on predicted log odds.

    Parameters
    ----------
    eta : numpy.ndarray of shape (n,)
        Log odds.
    y : numpy.ndarray of shape (n,)
        0 and 1.

    Returns
    -------
    intercept, slope : float
        Platt's logistic recalibration, with a slope of N(1, 0.3²) a priori, positive; the
        intercept is free, so that the mean probability is the prevalence.
    """

    def unlikely(t: np.ndarray) -> tuple[float, np.ndarray]:
        odds = t[0] + t[1] * eta
        residual = special.expit(odds) - y
        away = (t[1] - 1) / _SPREAD
        value = float((np.logaddexp(0, odds) - y * odds).sum() + away**2 / 2)
        return value, np.array([residual.sum(), residual @ eta + away / _SPREAD])

    bounds = [(None, None), (0.05, None)]
    found = optimize.minimize(unlikely, [0.0, 1.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])
