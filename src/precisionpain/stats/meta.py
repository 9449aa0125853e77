"""Estimates of several sites or studies, pooled with what they differ by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from ..errors import FormatError
from ._checks import as_numbers, check_fraction

__all__ = ["RandomEffects", "random_effects"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, repr=False)
class RandomEffects:
    """A random-effects summary of k estimates.

    Parameters
    ----------
    estimate, se, ci_low, ci_high : float
        Mean over sites, its standard error and interval.
    prediction_low, prediction_high : float
        Where the true value of a further site is expected; NaN for fewer than three sites.
    tau2, tau2_low, tau2_high : float
        Variance between sites, with the Q-profile interval.
    i2, i2_low, i2_high : float
        I²: share of the variation that chance doesn't explain, 0 to 1.
    q, p_heterogeneity : float
        Cochran's Q, and its p value against k − 1 degrees of freedom.
    k : int
        Number of estimates.
    method : {"reml", "dl"}
        How `tau2` was estimated.
    interval : {"hartung_knapp", "wald"}
        How the interval of the mean was made.
    confidence : float
        Level of the intervals.
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    prediction_low: float
    prediction_high: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    i2_low: float
    i2_high: float
    q: float
    p_heterogeneity: float
    k: int
    method: str
    interval: str
    confidence: float = 0.95

    def __repr__(self) -> str:
        return (
            f"RandomEffects({self.estimate:.3f}, {self.confidence:.0%} CI {self.ci_low:.3f} to "
            f"{self.ci_high:.3f}, {self.k} estimates, I² {self.i2:.0%} ({self.i2_low:.0%} to "
            f"{self.i2_high:.0%}), {self.method})"
        )


def random_effects(
    estimates: ArrayLike,
    se: ArrayLike,
    *,
    method: Literal["reml", "dl"] = "reml",
    interval: Literal["hartung_knapp", "wald"] = "hartung_knapp",
    confidence: float = 0.95,
) -> RandomEffects:
    """Pool estimates that may truly differ, by their inverse variances.

    Parameters
    ----------
    estimates : array-like of shape (k,)
        One of each site, on a scale where they are about normal, for example the logit of an
        AUC.
    se : array-like of shape (k,)
        Their standard errors, above 0.
    method : {"reml", "dl"}, default "reml"
        Variance between sites by restricted maximum likelihood, or DerSimonian and Laird.
    interval : {"hartung_knapp", "wald"}, default "hartung_knapp"
        Of the mean. With few sites Wald's is too narrow, as the variance between them is hardly
        known; Hartung and Knapp's takes t with k − 1 degrees of freedom, and here is never
        narrower in its standard error than Wald's.
    confidence : float, default 0.95
        Level of the intervals.

    Returns
    -------
    RandomEffects

    Raises
    ------
    FormatError
        For fewer than two estimates, a standard error that isn't above 0, or an unknown option.

    References
    ----------
    DerSimonian & Laird, Control Clin Trials 7, 177 (1986); Viechtbauer, J Educ Behav Stat 30,
    261 (2005), for REML; Hartung & Knapp, Stat Med 20, 3875 (2001); Viechtbauer, Stat Med 26, 37
    (2007), for the Q-profile; Higgins & Thompson, Stat Med 21, 1539 (2002), for I²; Higgins et
    al., J R Stat Soc A 172, 137 (2009), for the prediction interval.

    Examples
    --------
    >>> random_effects([0.8, 1.0, 1.4, 0.6], [0.2, 0.2, 0.2, 0.2], method="dl", interval="wald")
    RandomEffects(0.950, 95% CI 0.615 to 1.285, 4 estimates, I² 66% (0% to 98%), dl)
    """
    check_fraction(confidence, "confidence")
    y, s = as_numbers(estimates, "estimates"), as_numbers(se, "se")
    if len(y) != len(s):
        raise FormatError(f"there are {len(y)} estimates and {len(s)} standard errors")
    if len(y) < 2:
        raise FormatError(f"expected at least two estimates to pool, found {len(y)}")
    if not (s > 0).all():
        raise FormatError("a standard error is above 0", where="se")
    if method not in ("reml", "dl") or interval not in ("hartung_knapp", "wald"):
        raise FormatError(
            "method is 'reml' or 'dl' and interval 'hartung_knapp' or 'wald', found "
            f"{method!r} and {interval!r}"
        )
    v, k = s * s, len(y)
    q = _q(0.0, y, v)
    tau2 = _dl(y, v) if method == "dl" else _reml(y, v)
    w = 1 / (v + tau2)
    mean = float(w @ y / w.sum())
    error = float(np.sqrt(1 / w.sum()))
    if interval == "wald":
        factor = float(stats.norm.isf((1 - confidence) / 2))
    else:
        error *= float(np.sqrt(max(1.0, _q(tau2, y, v) / (k - 1))))
        factor = float(stats.t.isf((1 - confidence) / 2, k - 1))
    reach = np.nan
    if k > 2:
        reach = float(stats.t.isf((1 - confidence) / 2, k - 2) * np.sqrt(tau2 + error**2))
    low, high = _q_profile(y, v, confidence)
    # Variance within a typical site, of Higgins and Thompson.
    w0 = 1 / v
    typical = (k - 1) * w0.sum() / (w0.sum() ** 2 - (w0**2).sum())

    def share(between: float) -> float:
        return float(between / (between + typical))

    return RandomEffects(
        estimate=mean, se=error, ci_low=mean - factor * error, ci_high=mean + factor * error,
        prediction_low=mean - reach, prediction_high=mean + reach,
        tau2=tau2, tau2_low=low, tau2_high=high,
        i2=share(tau2), i2_low=share(low), i2_high=share(high),
        q=q, p_heterogeneity=float(stats.chi2.sf(q, k - 1)), k=k, method=method,
        interval=interval, confidence=confidence,
    )  # fmt: skip


def _q(tau2: float, y: Array, v: Array) -> float:
    w = 1 / (v + tau2)
    return float(w @ (y - w @ y / w.sum()) ** 2)


def _dl(y: Array, v: Array) -> float:
    w = 1 / v
    scale = w.sum() - (w**2).sum() / w.sum()
    return max(0.0, (_q(0.0, y, v) - (len(y) - 1)) / float(scale))


def _reml(y: Array, v: Array) -> float:
    """Maximise the restricted likelihood over the variance between sites."""

    def loss(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float(-np.log(w).sum() + np.log(w.sum())) + _q(tau2, y, v)

    top = 10 * float(np.var(y, ddof=1)) + 1e-12
    # A grid first: with few sites the likelihood may have a second hill.
    grid = np.concatenate([[0.0], np.geomspace(1e-6 * top, top, 60)])
    best = int(np.argmin([loss(t) for t in grid]))
    if best == 0:
        return 0.0
    bounds = (grid[best - 1], grid[min(best + 1, len(grid) - 1)])
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded",
                                     options={"xatol": 1e-10 * top})  # fmt: skip
    return float(found.x) if loss(float(found.x)) < loss(0.0) else 0.0


def _q_profile(y: Array, v: Array, confidence: float) -> tuple[float, float]:
    """Return the variances between sites whose Q lies at the quantiles of chi-square."""
    alpha = 1 - confidence
    limits = stats.chi2.isf([alpha / 2, 1 - alpha / 2], len(y) - 1)
    return _root(lambda t: _q(t, y, v) - limits[0]), _root(lambda t: _q(t, y, v) - limits[1])


def _root(function: Callable[[float], float]) -> float:
    if function(0.0) <= 0:
        return 0.0
    top = 1.0
    while function(top) > 0:
        top *= 4
    return float(optimize.brentq(function, 0.0, top, xtol=1e-12))
