"""A prior of variances that hypervariable responses don't spoil (Phipson et al. 2016)."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from ._t import Array

__all__ = ["robust_moments"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


def robust_moments(
    x: Array, d: Array, axis: Array | None, winsor: tuple[float, float]
) -> tuple[Array, Array]:
    """Match mean and variance of Winsorised log variances, then look at each outlier.

    Parameters
    ----------
    x, d : numpy.ndarray of shape (p,)
        Positive variances and their degrees of freedom.
    axis : numpy.ndarray of shape (p,), optional
        The prior variance follows a smooth curve of it.
    winsor : tuple of float
        Shares at the lower and the upper end.

    Returns
    -------
    scale, prior_df : numpy.ndarray of shape (p,)
        The prior degrees of freedom fall for responses more extreme than the common prior
        lets expect.
    """
    from .variance_prior import _curve, _log_bias, _moments

    z = np.log(x)
    curve = np.zeros(len(x))
    if axis is not None:
        e = z - _log_bias(d)
        curve = np.full(len(x), np.median(e))
        for _ in range(5):
            # Outliers are drawn in before the curve is fitted anew.
            low, high = np.quantile(e - curve, [winsor[0], 1 - winsor[1]])
            curve = _curve(curve + np.clip(e - curve, low, high), axis)[0]
    flat = np.exp(z - curve)
    most = float(d.max())
    common = flat
    if (d != most).any():
        # Variances of other degrees of freedom as if all had the most: the same tail chance.
        level, d0 = _moments(flat, d, None)
        tail = _upper_tail(flat / level, d, d0)
        common = level * _upper_quantile(np.clip(tail, 1e-300, 1 - 1e-12), most, d0)
    z = np.log(common)
    cut = np.quantile(z, [winsor[0], 1 - winsor[1]])
    drawn = np.clip(z, *cut)
    variance = float(drawn.var(ddof=1))

    def excess(share: float) -> float:
        return _winsorised(most, share / (1 - share), winsor)[1] - variance

    if _winsorised(most, np.inf, winsor)[1] >= variance:
        d0 = np.inf
    elif excess(1e-3) <= 0:
        d0 = 1e-3
    else:
        share = optimize.brentq(excess, 1e-3, 1 - 1e-9, xtol=1e-14)
        d0 = share / (1 - share)
    scale = np.exp(curve + drawn.mean() - _winsorised(most, d0, winsor)[0])
    return scale, _own_df(x / scale, d, d0)


def _upper_tail(f: Array, d: Array, d0: float) -> Array:
    found: Array = special.chdtrc(d, f * d) if np.isinf(d0) else special.fdtrc(d, d0, f)
    return found


def _upper_quantile(tail: Array, d: float, d0: float) -> Array:
    found: Array = special.chdtri(d, tail) / d if np.isinf(d0) else stats.f.isf(tail, d, d0)
    return found


def _winsorised(d: float, d0: float, winsor: tuple[float, float]) -> tuple[float, float]:
    """Return mean and variance of a Winsorised log F, by Gauss–Legendre quadrature."""
    edges = np.log(_upper_quantile(np.array([1 - winsor[0], winsor[1]]), d, d0))
    half = (edges[1] - edges[0]) / 2
    z = edges.mean() + half * _NODES
    if np.isinf(d0):
        logs = stats.chi2.logpdf(np.exp(z) * d, d) + np.log(d)
    else:
        logs = stats.f.logpdf(np.exp(z), d, d0)
    density = half * _WEIGHTS * np.exp(logs + z)
    mean = float((density * z).sum() + winsor[0] * edges[0] + winsor[1] * edges[1])
    centred = edges - mean
    variance = float((density * (z - mean) ** 2).sum())
    return mean, variance + winsor[0] * centred[0] ** 2 + winsor[1] * centred[1] ** 2


def _own_df(f: Array, d: Array, d0: float) -> Array:
    """Return each response's prior degrees of freedom.

    A response whose tail chance p is below the share r of responses that are as extreme is an
    outlier with chance 1 − p / r. The most extreme one would be ordinary (a median) under the
    prior of an outlier.
    """
    p = len(f)
    tail = _upper_tail(f, d, d0)
    order = np.argsort(tail)
    share = np.empty(p)
    share[order] = (np.arange(p) + 0.5) / p
    ordinary = np.minimum(tail / share, 1.0)
    if (ordinary >= 1).all():
        return np.full(p, d0)
    # An infinite prior counts as much as all responses together, which bounds every test.
    known = min(d0, float(d.sum()))
    worst = order[0]

    def excess(log_df: float) -> float:
        return float(special.fdtrc(d[worst], np.exp(log_df), f[worst])) - 0.5

    low, high = np.log(1e-3), np.log(known)
    outlier = known
    if excess(low) <= 0:
        outlier = 1e-3
    elif excess(high) < 0:
        outlier = float(np.exp(optimize.brentq(excess, low, high)))
    own = ordinary * known + (1 - ordinary) * outlier
    own[order] = np.maximum.accumulate(own[order])
    return np.where(ordinary >= 1, d0, np.minimum(own, d0))
