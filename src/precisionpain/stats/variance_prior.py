"""Variances that borrow strength from each other (empirical Bayes)."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from ..errors import FormatError
from ._t import Array

__all__ = ["SqueezedVariance", "squeeze_variance"]


@dataclasses.dataclass(frozen=True, repr=False)
class SqueezedVariance:
    """Variances that were moved towards a common value.

    Parameters
    ----------
    variance : numpy.ndarray of shape (p,)
        Posterior variances, (d₀ s₀² + d s²) / (d₀ + d).
    prior : numpy.ndarray of shape (p,)
        s₀²: the same for all, or a trend.
    prior_df : numpy.ndarray of shape (p,)
        d₀: how many observations the prior is worth; infinite when the variances differ no
        more than by chance. The same for all unless it was estimated robustly.
    """

    variance: Array
    prior: Array
    prior_df: Array

    def __repr__(self) -> str:
        low, high = np.nanmin(self.prior), np.nanmax(self.prior)
        trend = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        return f"SqueezedVariance(prior {trend}, prior df {np.nanmax(self.prior_df):.4g})"


def squeeze_variance(
    variance: ArrayLike,
    df: ArrayLike,
    *,
    covariate: ArrayLike | None = None,
    robust: bool = False,
    prior: Literal["moments", "likelihood"] = "moments",
    winsor: tuple[float, float] = (0.05, 0.1),
) -> SqueezedVariance:
    """Move variances towards a common value, as far as they vary no more than by chance.

    If the true variances are scaled inverse χ² with scale s₀² and d₀ degrees of freedom, an
    observed variance is s₀² times an F of d and d₀ degrees of freedom. s₀² and d₀ are found
    from all observed variances together.

    Parameters
    ----------
    variance : array-like of shape (p,)
        Residual variances; NaN where there are no degrees of freedom.
    df : array-like of shape (p,)
        Their degrees of freedom.
    covariate : array-like of shape (p,), optional
        The prior variance follows a smooth curve of it (a natural cubic spline with up to
        four degrees of freedom): the mean abundance, or the logarithm of the number of
        peptides.
    robust : bool, default False
        Find s₀² and d₀ from Winsorised log variances, and give proteins whose variance is
        far above the others' a smaller d₀ of their own.
    prior : {"moments", "likelihood"}, default "moments"
        Match mean and variance of the log variances, or weight them by their precision and
        maximise the likelihood of d₀: better when the degrees of freedom differ much, as with
        missing values. With equal degrees of freedom the two agree closely.
    winsor : tuple of float, default (0.05, 0.1)
        Lower and upper share that is Winsorised if `robust`.

    Returns
    -------
    SqueezedVariance

    Raises
    ------
    FormatError
        For arrays that don't match, fewer than three usable variances, or `robust` with the
        likelihood.

    Notes
    -----
    With "moments" and with `robust` this is the estimator of R's limma up to 3.60, which newer
    versions keep for equal degrees of freedom; "likelihood" is that of limma from 3.62 on for
    degrees of freedom that differ. limma stops its searches when d₀ / (1 + d₀) is known to
    1e-8 (`robust`) or about 1e-4 ("likelihood", where it also keeps d₀ between 2 and about
    8000); here they go on to the solution. A trend differs from limma's with `robust` and
    with "likelihood": limma takes local regression there, this function a spline throughout.

    References
    ----------
    Smyth, Statistical Applications in Genetics and Molecular Biology 3, 3 (2004); Phipson et
    al., Annals of Applied Statistics 10, 946 (2016).

    Examples
    --------
    >>> squeeze_variance([0.5, 1.0, 1.5, 2.0, 8.0], [4, 4, 4, 4, 4])
    SqueezedVariance(prior 1.797, prior df 5.828)
    """
    s2 = np.asarray(variance, dtype=np.float64)
    d = np.broadcast_to(np.asarray(df, dtype=np.float64), s2.shape)
    usable = np.isfinite(s2) & np.isfinite(d) & (d > 0)
    if usable.sum() < 3:
        raise FormatError(
            f"expected at least 3 variances to learn from, found {int(usable.sum())}",
            where="variance",
            remedy="with so few proteins use an ordinary t-test",
        )
    trend = None
    if covariate is not None:
        trend = np.asarray(covariate, dtype=np.float64)
        if trend.shape != s2.shape or not np.isfinite(trend[usable]).all():
            raise FormatError(
                f"expected {len(s2)} finite values, one per variance", where="covariate"
            )
    middle = float(np.median(s2[usable]))
    if middle == 0:
        raise FormatError(
            "more than half of the variances are 0", where="variance",
            remedy="leave out proteins that don't vary",
        )  # fmt: skip
    # A variance of exactly zero comes from rounding and would have an infinite logarithm.
    x = np.maximum(s2[usable], 1e-5 * middle)
    axis = None if trend is None else trend[usable]
    if robust:
        if prior != "moments":
            raise FormatError("`robust` works with prior='moments' only", where="prior")
        from ._robust_prior import robust_moments

        scale, own_df = robust_moments(x, d[usable], axis, winsor)
    elif prior == "moments":
        scale, common = _moments(x, d[usable], axis)
        own_df = np.full(len(x), common)
    elif prior == "likelihood":
        scale, common = _likelihood(x, d[usable], axis)
        own_df = np.full(len(x), common)
    else:
        raise FormatError(f"expected 'moments' or 'likelihood', found {prior!r}", where="prior")
    s0, d0 = np.full(s2.shape, np.nan), np.full(s2.shape, np.nan)
    s0[usable], d0[usable] = scale, own_df
    if trend is None and not robust:
        s0[:], d0[:] = scale[0], own_df[0]
    return SqueezedVariance(_posterior(s2, d, s0, d0), s0, d0)


def _posterior(s2: Array, d: Array, s0: Array, d0: Array) -> Array:
    known = np.where(d > 0, s2, 0.0)
    finite = np.isfinite(d0)
    shared = np.where(finite, d0, 1.0)
    with np.errstate(invalid="ignore"):
        mixed = (shared * s0 + d * known) / (shared + d)
    return np.where(finite | np.isnan(d0), mixed, s0)


def trigamma_inverse(value: float) -> float:
    """Return the argument at which the trigamma function has a value.

    Newton's method on 1 / trigamma, which is convex and nearly linear (Smyth 2004, appendix).
    """
    if value > 1e7:
        return float(1 / np.sqrt(value))
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        tri = special.polygamma(1, y)
        step = tri * (1 - tri / value) / special.polygamma(2, y)
        y += step
        if -step / y < 1e-8:
            break
    return float(y)


def _log_bias(d: ArrayLike) -> Array:
    """Return the expectation of the logarithm of χ²/d."""
    half = np.asarray(d, dtype=np.float64) / 2
    found: Array = special.digamma(half) - np.log(half)
    return found


def _prior_bias(d0: float) -> float:
    return 0.0 if np.isinf(d0) else float(_log_bias(d0))


def _moments(x: Array, d: Array, axis: Array | None) -> tuple[Array, float]:
    """Match mean and variance of log s²: a Fisher z with known moments."""
    e = np.log(x) - _log_bias(d)
    fitted, rest = _curve(e, axis)
    excess = float((rest**2).sum() / (len(x) - _size(len(x), axis)))
    excess -= float(special.polygamma(1, d / 2).mean())
    if excess > 0:
        d0 = 2 * trigamma_inverse(excess)
        return np.exp(fitted + _prior_bias(d0)), d0
    # The variances differ by chance only: without a trend their mean is the best estimate.
    return (np.full(len(x), x.mean()) if axis is None else np.exp(fitted)), np.inf


def _likelihood(x: Array, d: Array, axis: Array | None) -> tuple[Array, float]:
    """Maximise the likelihood of d₀, given that s² / s₀² is F with d and d₀ df.

    For each d₀ the level s₀² follows from the log variances, each weighted with the inverse
    of its sampling variance.
    """
    level, _ = _curve(np.log(x) - _log_bias(d), axis, 1 / special.polygamma(1, d / 2))
    log_ratio = np.log(d * x / 2) - level
    # With u = d s² / (d₀ s₀²) the density of F is ∝ u^(d/2) / (1 + u)^((d + d₀)/2).
    endless = -float((d / 2 * log_ratio - np.exp(log_ratio)).sum())

    def loss(log_d0: float) -> float:
        d0 = np.exp(log_d0)
        log_u = log_ratio - special.digamma(d0 / 2)
        logs = special.gammaln((d + d0) / 2) - special.gammaln(d0 / 2) + d / 2 * log_u
        return -float((logs - (d + d0) / 2 * np.logaddexp(0, log_u)).sum())

    def score(log_d0: float) -> float:
        d0 = np.exp(log_d0)
        log_u = log_ratio - special.digamma(d0 / 2)
        slope = special.digamma((d + d0) / 2) - special.digamma(d0 / 2) - np.logaddexp(0, log_u)
        pull = (d + d0) / 2 * special.expit(log_u) - d / 2
        return float((slope + pull * special.polygamma(1, d0 / 2)).sum())

    low, high = np.log(1e-2), np.log(1e6)
    near = float(optimize.minimize_scalar(loss, bounds=(low, high), method="bounded").x)
    # Larger degrees of freedom can't be told apart.
    if loss(near) >= endless or near > high - 1e-2:
        return np.exp(level), np.inf
    ends = max(near - 1e-2, low), near + 1e-2
    if score(ends[0]) > 0 > score(ends[1]):
        near = float(optimize.brentq(score, *ends, xtol=1e-14))
    d0 = float(np.exp(near))
    return np.exp(level + _prior_bias(d0)), d0


def _size(n: int, axis: Array | None) -> int:
    """Return the degrees of freedom of the curve: more for more proteins, at most four."""
    return 1 if axis is None else 1 + (n >= 3) + (n >= 6) + (n >= 30)


def _curve(e: Array, axis: Array | None, weights: Array | None = None) -> tuple[Array, Array]:
    """Return a smooth curve through e, and what is left."""
    if axis is None:
        fitted = np.full(len(e), np.average(e, weights=weights))
    else:
        basis = natural_spline(axis, _size(len(e), axis))
        root = np.ones(len(e)) if weights is None else np.sqrt(weights)
        fitted = basis @ np.linalg.lstsq(basis * root[:, None], e * root)[0]
    return fitted, e - fitted


def natural_spline(x: Array, df: int) -> Array:
    """Return a basis of natural cubic splines with knots at quantiles.

    Parameters
    ----------
    x : numpy.ndarray of shape (n,)
        Where to evaluate; its range and quantiles are the knots.
    df : int
        Number of columns, the constant included.

    Returns
    -------
    numpy.ndarray of shape (n, df)
        Linear beyond the outer knots (Hastie, Tibshirani & Friedman 2009, section 5.2.1).
    """
    low, high = float(x.min()), float(x.max())
    t = (x - low) / ((high - low) or 1.0)
    basis = np.ones((len(x), max(df, 1)))
    if df < 2:
        return basis
    basis[:, 1] = t
    knots = np.unique(
        np.concatenate([[0.0], np.quantile(t, np.arange(1, df - 1) / (df - 1)), [1.0]])
    )

    def cubic(k: int) -> Array:
        return (
            np.maximum(t - knots[k], 0) ** 3 - np.maximum(t - knots[-1], 0) ** 3
        ) / (knots[-1] - knots[k])  # fmt: skip

    last = cubic(len(knots) - 2)
    for k in range(len(knots) - 2):
        basis[:, 2 + k] = cubic(k) - last
    return basis[:, : len(knots)]
