"""Tests of whole terms, and the studentised range for comparisons of all pairs."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, special

from ...stats._t import Table, rounding
from ...stats.linear import LinearFit

__all__ = ["f_test", "tukey_p", "tukey_t"]

Array = NDArray[np.float64]


def f_test(fit: LinearFit, columns: list[int]) -> Table:
    """Test whether some coefficients are all zero.

    With sum-to-zero coding and all other terms in the model this is type III.

    Parameters
    ----------
    fit : LinearFit
        Of all proteins.
    columns : list of int
        Of the design.

    Returns
    -------
    dict of str to numpy.ndarray
        F, its degrees of freedom (``df_term`` and ``df``), and p; NaN for proteins whose
        observed samples don't determine the coefficients.
    """
    q = len(columns)
    beta = fit.coefficients[:, columns]
    covariance = fit.covariance[:, columns][:, :, columns].copy()
    bad = ~(fit.df > 0)
    for response in range(fit.coefficients.shape[1]):
        if response in columns:
            unit = np.eye(fit.coefficients.shape[1])[response]
            bad[fit.undetermined(unit)] = True
    covariance[bad] = np.eye(q)
    explained = np.einsum("pi,pi->p", beta, np.linalg.solve(covariance, beta[..., None])[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.where(bad, np.nan, explained / q / np.maximum(fit.variance, rounding(fit.mean)))
    df = np.where(bad, np.nan, fit.df)
    return {"statistic": f, "df_term": np.where(bad, np.nan, q), "df": df,
            "p_value": special.fdtrc(q, df, f), "n": fit.n}  # fmt: skip


@functools.lru_cache(maxsize=32)
def _range_above(k: int) -> interpolate.CubicSpline:
    """Return the chance that the range of k standard normal values is above w."""
    w = np.linspace(0, 60, 6001)
    z = np.linspace(-9, 9, 241)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    below = special.ndtr(z)
    # The highest value is z, and the k − 1 others lie within w below it.
    inside = (below - special.ndtr(z - w[:, None])) ** (k - 1)
    return interpolate.CubicSpline(w, 1 - k * (inside @ density) * (z[1] - z[0]))


def tukey_p(t: Array, k: int, df: Array) -> Array:
    """Return p of a pairwise t, adjusted for comparing all pairs of k means.

    Parameters
    ----------
    t : numpy.ndarray of shape (p,)
        Statistics of single comparisons.
    k : int
        Number of means.
    df : numpy.ndarray of shape (p,)
        Of the residual variance.

    Returns
    -------
    numpy.ndarray of shape (p,)
        P(studentised range > |t| √2) (Tukey; Kramer for unequal numbers).
    """
    if k == 2:
        found: Array = 2 * special.stdtr(df, -np.abs(t))
        return found
    q = np.abs(t) * np.sqrt(2)
    above = _range_above(k)
    out = np.full(len(q), np.nan)
    for start in range(0, len(q), 4096):
        part = slice(start, start + 4096)
        half = df[part, None] / 2
        # The variance's χ²/ν on a logarithmic axis, where the trapezoidal rule converges fast.
        left, right = -9 / np.sqrt(half) - 37 / half, 9 / np.sqrt(half)
        u = left + (right - left) * np.linspace(0, 1, 401)
        weight = np.exp(half * (u - np.expm1(u)) + _log_level(half)) * (u[:, 1:2] - u[:, :1])
        outer = above(np.minimum(q[part, None] * np.exp(u / 2), 60.0))
        out[part] = (weight * outer).sum(axis=1)
    return np.where(np.isfinite(t), np.clip(out, 0.0, 1.0), np.nan)


def tukey_t(confidence: float, k: int, df: Array) -> Array:
    """Return the t beyond which `tukey_p` is below 1 − `confidence`, for simultaneous limits.

    Parameters
    ----------
    confidence : float
        That all pairs of the k means lie within their limits.
    k : int
        Number of means.
    df : numpy.ndarray of shape (p,)
        Of the residual variance; NaN where there is none.

    Returns
    -------
    numpy.ndarray of shape (p,)
        Quantile of the studentised range / √2.
    """
    found = np.full(len(df), np.nan)
    good = np.isfinite(df) & (df > 0)
    if not good.any():
        return found
    alone, place = np.unique(df[good], return_inverse=True)
    if k == 2:
        found[good] = special.stdtrit(alone, (1 + confidence) / 2)[place]
        return found
    # The secant of log p against log t, which is nearly straight, from Bonferroni's limit down.
    alpha, pairs = 1 - confidence, k * (k - 1) / 2
    x = np.log(special.stdtrit(alone, 1 - alpha / 2 / pairs))
    before = np.log(special.stdtrit(alone, 1 - alpha / 2))
    y, y_before = (np.log(tukey_p(np.exp(at), k, alone) / alpha) for at in (x, before))
    for _ in range(50):
        with np.errstate(divide="ignore", invalid="ignore"):
            step = y * (x - before) / (y - y_before)
        step = np.clip(np.where(np.isfinite(step), step, 0.0), -1.0, 1.0)
        before, y_before = x, y
        x = x - step
        if np.abs(step).max() < 1e-12:
            break
        y = np.log(tukey_p(np.exp(x), k, alone) / alpha)
    found[good] = np.exp(x)[place]
    return found


def _log_level(half: Array) -> Array:
    """Return log(h^h e^-h / Γ(h)), the level of the density of log(χ²/ν)."""
    found: Array = half * np.log(half) - half - special.gammaln(half)
    return found
