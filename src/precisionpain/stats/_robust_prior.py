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
        moved = level * _upper_quantile(np.clip(tail, 1e-300, 1 - 1e-15), most, d0)
        common = np.where(d == most, flat, moved)
    z = np.log(common)
    cut = np.quantile(z, [winsor[0], 1 - winsor[1]])
    drawn = np.clip(z, *cut)
    variance = float(drawn.var(ddof=1))

    def excess(share: float) -> float:
        d0 = np.inf if share >= 1 else share / (1 - share)
        return _winsorised(most, d0, winsor)[1] - variance

    # Outliers make d₀ look smaller, so it is never below the one found with them.
    every, plain = _moments(x, d, axis)
    if excess(1.0) >= 0:
        d0 = np.inf
    elif np.isinf(plain):
        return every, np.full(len(x), np.inf)
    elif excess(plain / (1 + plain)) <= 0:
        d0 = plain
    else:
        share = optimize.brentq(excess, plain / (1 + plain), 1.0, xtol=1e-15)
        d0 = share / (1 - share)
    scale = np.exp(drawn.mean() - _winsorised(most, d0, winsor)[0])
    own = _own_df(common / scale, most, d0)
    return np.exp(curve) * scale, own


def _upper_tail(f: Array, d: float | Array, d0: float) -> Array:
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


def _own_df(f: Array, d: float, d0: float) -> Array:
    """Return each response's prior degrees of freedom.

    A response whose tail chance p is below the share r of responses that are as extreme is an
    outlier with chance 1 − p / r. Under the prior of an outlier the most extreme response
    would be ordinary; under an infinite common prior an outlier has none.
    """
    n = len(f)
    tail = _upper_tail(f, d, d0)
    order = np.argsort(tail, kind="stable")
    ordinary = np.minimum(tail[order] / ((np.arange(n) + 0.5) / n), 1.0)
    if (ordinary >= 1).all():
        return np.full(n, d0)
    if np.isinf(d0):
        # Anything larger than the degrees of freedom of all responses together is infinite.
        own = np.where(ordinary < 1, ordinary * n * d, np.inf)
    else:
        own = ordinary * d0 + (1 - ordinary) * _median_df(float(f.max()), d, d0)
        # A more extreme response never has the larger degrees of freedom: the most extreme
        # ones share the smallest running mean.
        running = np.cumsum(own) / np.arange(1, n + 1)
        last = int(running.argmin())
        own[: last + 1] = running[last]
    found = np.empty(n)
    found[order] = np.maximum.accumulate(own)
    return found


def _median_df(f: float, d: float, d0: float) -> float:
    """Return about the degrees of freedom of which an extreme F would be the median.

    The logarithm of the tail chance p is nearly proportional to them: d₀ log ½ / log p is a
    fixed-point step. Two steps come within about a tenth of the solution and are limma's
    estimator, which these steps follow rather than the equation.
    """
    for _ in range(2):
        tail = float(special.fdtrc(d, d0, f))
        d0 *= np.log(0.5) / np.log(max(tail, 1e-300))
    return d0
