"""The arithmetic behind the scalers: quantiles, the variance-stabilising model, loess curves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConvergenceWarning

__all__ = ["from_reference", "loess", "nanmean", "quantile_reference", "vsn_fit", "vsn_row"]

Array = NDArray[np.float64]

# Slope of the mean log likelihood at which VSN counts as fitted.
_FLAT = 1e-3


# --- quantiles --------------------------------------------------------------------------


def quantile_reference(values: Array) -> Array:
    """Return the mean of the sorted rows, each stretched to the full length over its gaps.

    Parameters
    ----------
    values : ndarray of shape (n, p)
        Samples with at least two values each.

    Returns
    -------
    ndarray of shape (p,)
    """
    p = values.shape[1]
    grid = np.linspace(0, 1, p)
    ordered = np.sort(values, axis=1)  # NaN goes last
    known = np.isfinite(ordered).sum(axis=1)
    for i in np.flatnonzero(known < p):
        ordered[i] = np.interp(grid, np.linspace(0, 1, known[i]), ordered[i, : known[i]])
    return ordered.mean(axis=0)


def from_reference(row: Array, reference: Array) -> Array:
    """Give every value of a sample the reference's value at its rank; ties share a mean rank.

    Parameters
    ----------
    row : ndarray of shape (p,)
        NaN where not measured.
    reference : ndarray of shape (q,)
        Sorted.

    Returns
    -------
    ndarray of shape (p,)
    """
    from scipy.stats import rankdata

    known = np.isfinite(row)
    result = np.full_like(row, np.nan)
    n = int(known.sum())
    if n:
        # A single value tells nothing of its rank; it becomes the middle one.
        place = (rankdata(row[known]) - 1) / (n - 1) if n > 1 else np.array([0.5])
        result[known] = np.interp(place, np.linspace(0, 1, len(reference)), reference)
    return result


# --- variance stabilisation -------------------------------------------------------------
#
# arsinh(a + b·y) of a linear intensity y has the same variance everywhere when the noise has
# an additive and a multiplicative part. b is kept positive by its logarithm.


def _log_slope(y: Array, a: Array, log_b: Array) -> tuple[Array, Array, Array]:
    """Return h = arsinh(a + b·y), a + b·y, and log dh/dy."""
    b = np.exp(log_b)
    z = a + b * y
    return np.arcsinh(z), z, log_b - 0.5 * np.log1p(z * z)


def _slope_left(found: Any, limits: list[tuple[float, float]]) -> float:
    """Return the steepest way on from where an optimiser stopped, within the limits.

    A better measure than its message: line searches fail at the maximum too, for rounding.
    """
    low, high = np.array(limits).T
    down = np.where(found.x > low, np.maximum(found.jac, 0), 0)
    up = np.where(found.x < high, np.maximum(-found.jac, 0), 0)
    return float(np.maximum(down, up).max())


def vsn_fit(
    y: Array, *, robust: float, max_iter: int = 2000, rounds: int = 7
) -> tuple[Array, Array, Array, float, NDArray[np.bool_]]:
    """Fit the model to all samples by profile likelihood, without the worst fitting proteins.

    Parameters
    ----------
    y : ndarray of shape (n, p)
        Linear intensities, NaN where not measured.
    robust : float
        Share of proteins kept in each round of least trimmed squares; 1 keeps all.
    max_iter : int
        Most steps of the optimiser in each round.
    rounds : int
        Most rounds of trimming.

    Returns
    -------
    a, log_b : ndarray of shape (n,)
    mean : ndarray of shape (p,)
        On the arsinh scale; NaN for a protein without values.
    sigma2 : float
    kept : ndarray of bool, shape (p,)
        Proteins that the fit used.

    Warns
    -----
    ConvergenceWarning
        When the last round stopped before the maximum.
    """
    from scipy.optimize import minimize

    n = len(y)
    known = np.isfinite(y)
    filled = np.where(known, y, 0.0)
    kept = known.sum(axis=0) >= 2
    # b·y runs over about one unit of arsinh at the start.
    start = np.concatenate([np.zeros(n), -np.log(np.nanmedian(y, axis=1))])

    # Far from the start there is no fit, only an overflow on the way.
    limits = [(v - 20, v + 20) for v in start]

    def means(h: Array) -> Array:
        with np.errstate(invalid="ignore"):
            result: Array = np.where(known, h, 0.0).sum(axis=0) / known.sum(axis=0)
        return result

    def objective(theta: Array, use: NDArray[np.bool_]) -> tuple[float, Array]:
        a, log_b = theta[:n, None], theta[n:, None]
        h, z, slope = _log_slope(filled[:, use], a, log_b)
        seen = known[:, use]
        rest = np.where(seen, h - means_of(h, seen), 0.0)
        count, squares = int(seen.sum()), float((rest * rest).sum())
        value = 0.5 * np.log(squares) - float(slope[seen].sum()) / count
        # dh = dz / √(1 + z²); the means drop out because the residuals sum to 0.
        pull = count / squares * rest / np.sqrt(1 + z * z) + np.where(seen, z / (1 + z * z), 0.0)
        by = pull * np.exp(log_b) * filled[:, use]
        gradient = np.concatenate([pull.sum(axis=1), by.sum(axis=1) - seen.sum(axis=1)])
        return value, gradient / count

    def means_of(h: Array, seen: NDArray[np.bool_]) -> Array:
        return np.where(seen, h, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)

    theta, use = start, kept.copy()
    for _ in range(rounds if robust < 1 else 1):
        found: Any = minimize(
            objective, theta, args=(use,), jac=True, method="L-BFGS-B",
            bounds=limits, options={"maxiter": max_iter, "maxfun": 10 * max_iter, "ftol": 1e-13,
                                    "gtol": 1e-8, "maxcor": 30},
        )  # fmt: skip
        theta = found.x
        if robust >= 1:
            break
        h = _log_slope(filled, theta[:n, None], theta[n:, None])[0]
        chosen = kept & _best(np.where(known, h, np.nan), means(h), robust, kept)
        if (chosen == use).all():
            break
        use = chosen
    if (left := _slope_left(found, limits)) > _FLAT:
        warnings.warn(
            f"the fit of VSN stopped after {found.nit} steps before the maximum of the likelihood "
            f"(slope {left:.1g}, expected below {_FLAT:g}); allow more steps by max_iter, and "
            "look for samples with few values",
            ConvergenceWarning,
            stacklevel=2,
        )
    a, log_b = theta[:n], theta[n:]
    h = _log_slope(filled, a[:, None], log_b[:, None])[0]
    mean = means(h)
    rest = np.where(known & use, h - mean, 0.0)
    sigma2 = float((rest * rest).sum() / (known & use).sum())
    return a, log_b, mean, sigma2, use


def _best(h: Array, mean: Array, share: float, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choose the proteins with the least spread, within each fifth of intensity."""
    spread = np.nanmean((h[:, kept] - mean[kept]) ** 2, axis=0)
    order = np.argsort(mean[kept], kind="stable")
    chosen = np.zeros(len(order), dtype=bool)
    for part in np.array_split(order, 5):
        if len(part):
            chosen[part] = spread[part] <= np.quantile(spread[part], share)
    result = np.zeros(len(kept), dtype=bool)
    result[np.flatnonzero(kept)[chosen]] = True
    return result


def vsn_row(
    y: Array, mean: Array, sigma2: float, start: tuple[float, float]
) -> tuple[float, float]:
    """Fit one sample to fixed means and variance.

    Parameters
    ----------
    y : ndarray of shape (p,)
        Linear intensities.
    mean : ndarray of shape (p,)
        Of the training, on the arsinh scale.
    sigma2 : float
        Variance of the training.
    start : (float, float)
        Where to begin: a and log b.

    Returns
    -------
    a, log_b : float
    """
    from scipy.optimize import minimize

    seen = np.isfinite(y) & np.isfinite(mean)
    y, mean = y[seen], mean[seen]

    def objective(theta: Array) -> tuple[float, Array]:
        h, z, slope = _log_slope(y, theta[0], theta[1])
        rest = h - mean
        value = 0.5 / sigma2 * (rest * rest).mean() - slope.mean()
        pull = rest / (sigma2 * np.sqrt(1 + z * z)) + z / (1 + z * z)
        return value, np.array([pull.mean(), (pull * np.exp(theta[1]) * y).mean() - 1])

    found: Any = minimize(
        objective, np.array(start), jac=True, method="L-BFGS-B",
        bounds=[(v - 20, v + 20) for v in start],
        options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9},
    )  # fmt: skip
    return float(found.x[0]), float(found.x[1])


# --- loess ------------------------------------------------------------------------------


def loess(y: Array, x: Array, span: float) -> Array:
    """Return the local regression of y on x (Cleveland 1979), NaN where either is missing.

    Parameters
    ----------
    y, x : ndarray of shape (p,)
        Values.
    span : float
        Share of the points in each window.

    Returns
    -------
    ndarray of shape (p,)
    """
    from statsmodels.nonparametric.smoothers_lowess import (  # type: ignore[import-untyped]
        lowess,
    )

    seen = np.isfinite(y) & np.isfinite(x)
    result = np.full(len(y), np.nan)
    if seen.sum() < 4:
        # Too few for a curve: their mean.
        result[seen] = y[seen].mean() if seen.any() else np.nan
        return result
    delta = 0.01 * np.ptp(x[seen])
    result[seen] = lowess(y[seen], x[seen], frac=span, it=3, delta=delta, return_sorted=False)
    return result


def nanmean(values: Array) -> Array:
    """Return the mean of each column over its known values; NaN without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a protein without a value
        result: Array = np.nanmean(values, axis=0)
    return result
