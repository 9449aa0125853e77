"""Calibration: whether predicted probabilities mean what they say."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr, ndtri

from ..errors import ConvergenceWarning, FormatError
from ._checks import as_outcome_and_probability, check_fraction
from .intervals import wilson
from .smoothing import local_linear

__all__ = ["Calibration", "calibration", "calibration_curve"]

# Beyond this many different predictions the smooth curve is read off at this many points.
_KNOTS = 256


@dataclasses.dataclass(frozen=True, repr=False)
class Calibration:
    """How well predicted probabilities agree with what happened.

    Parameters
    ----------
    n, n_events : int
        People, and those with the event.
    intercept, intercept_low, intercept_high : float
        Calibration in the large: the intercept with the slope fixed at 1. Zero is ideal;
        below zero the predictions are too high on average.
    slope, slope_low, slope_high : float
        Slope of the outcome on logit(p). One is ideal; below one the predictions are too
        extreme, the mark of overfitting.
    joint_intercept, joint_intercept_low, joint_intercept_high : float
        Intercept of the model that also has the slope free: with `slope` it recalibrates.
    observed_expected : float
        Events observed / sum of the probabilities.
    brier : float
        Mean squared error of the probabilities; 0 is perfect.
    scaled_brier : float
        1 − Brier / Brier of predicting the prevalence for everybody; 1 is perfect, 0 no
        better than the prevalence.
    ici, e50, e90 : float
        Mean, median and 90th percentile of |smooth observed − predicted| over the people.
    spiegelhalter_z, spiegelhalter_p : float
        Spiegelhalter's test of the Brier score against its expectation under calibration,
        and its two-sided p. Certain predictions (all 0 or 1) that fail give infinity,
        those that hold NaN.
    n_clipped : int
        Predictions so near 0 or 1 that they were moved to the clip for the logit; only
        intercepts and slope see that.
    confidence : float
        Level of the Wald limits.
    """

    n: int
    n_events: int
    intercept: float
    intercept_low: float
    intercept_high: float
    slope: float
    slope_low: float
    slope_high: float
    joint_intercept: float
    joint_intercept_low: float
    joint_intercept_high: float
    observed_expected: float
    brier: float
    scaled_brier: float
    ici: float
    e50: float
    e90: float
    spiegelhalter_z: float
    spiegelhalter_p: float
    n_clipped: int = 0
    confidence: float = 0.95

    def __repr__(self) -> str:
        return (
            f"Calibration({self.n_events} events in {self.n}; intercept {self.intercept:.2f} "
            f"({self.intercept_low:.2f} to {self.intercept_high:.2f}), slope {self.slope:.2f} "
            f"({self.slope_low:.2f} to {self.slope_high:.2f}), O/E {self.observed_expected:.2f}, "
            f"Brier {self.brier:.3f}, ICI {self.ici:.3f})"
        )


def _logistic(
    design: NDArray[np.float64], event: NDArray[np.bool_], offset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a logistic regression by Newton's method; return coefficients and standard errors."""

    def log_likelihood(beta: NDArray[np.float64]) -> float:
        eta = design @ beta + offset
        return float(np.sum(event * eta - np.logaddexp(0, eta)))

    beta = np.zeros(design.shape[1])
    current = log_likelihood(beta)
    for _ in range(100):
        mu = expit(design @ beta + offset)
        information = (design.T * (mu * (1 - mu))) @ design
        try:
            step = np.linalg.solve(information, design.T @ (event - mu))
        except np.linalg.LinAlgError:
            break
        # A full step can overshoot where the fitted probabilities saturate.
        for _ in range(40):
            proposed = log_likelihood(beta + step)
            if proposed >= current - 1e-12 * abs(current):
                break
            step = step / 2
        beta, current = beta + step, proposed
        if np.max(np.abs(step)) < 1e-11 * (1 + np.max(np.abs(beta))):
            mu = expit(design @ beta + offset)
            information = (design.T * (mu * (1 - mu))) @ design
            return beta, np.sqrt(np.diag(np.linalg.inv(information)))
    warnings.warn(
        ConvergenceWarning("the logistic recalibration did not converge; its limits are NaN"),
        stacklevel=3,
    )
    return beta, np.full(len(beta), np.nan)


def _recalibrate(
    linear: NDArray[np.float64], event: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return joint intercept and slope with their standard errors; NaN or inf when undefined."""
    nothing = np.full(2, np.nan)
    if np.ptp(linear) == 0:
        return nothing, nothing
    with_event, without = linear[event], linear[~event]
    upwards = with_event.min() >= without.max()
    if upwards or with_event.max() <= without.min():
        warnings.warn(
            ConvergenceWarning(
                "the predictions separate the classes, so the calibration slope is infinite"
            ),
            stacklevel=3,
        )
        return np.array([np.nan, np.inf if upwards else -np.inf]), nothing
    design = np.column_stack([np.ones(len(linear)), linear])
    return _logistic(design, event, np.zeros(len(linear)))


def _smooth_errors(event: NDArray[np.bool_], p: NDArray[np.float64], span: float) -> np.ndarray:
    points = np.unique(p)
    if len(points) > _KNOTS:
        points = np.unique(np.quantile(points, np.linspace(0, 1, _KNOTS)))
    curve = np.clip(local_linear(p, event, points, span=span), 0, 1)
    return np.abs(np.interp(p, points, curve) - p)


def calibration(
    y: ArrayLike,
    p: ArrayLike,
    *,
    confidence: float = 0.95,
    span: float = 0.75,
    clip: float = 1e-6,
) -> Calibration:
    """Measure the calibration of predicted probabilities.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    p : array-like of shape (n,)
        Predicted probability, for people that the model hasn't seen.
    confidence : float, default 0.95
        Level of the Wald limits of intercepts and slope.
    span : float, default 0.75
        Share of the people in each local fit of the smooth curve behind ICI, E50 and E90
        (`local_linear` of y on p, cut at 0 and 1; beyond 256 different predictions it is
        evaluated at 256 of them and interpolated).
    clip : float, default 1e-6
        Predictions nearer than this to 0 or 1 (forests give exact zeros) are moved there
        before taking the logit; `Calibration.n_clipped` counts them.

    Returns
    -------
    Calibration

    Raises
    ------
    FormatError
        When the outcome has one class, or a value isn't a probability.
    AlignmentError
        When `y` and `p` are labelled and their labels don't match.

    Warns
    -----
    ConvergenceWarning
        When the predictions separate the classes: the slope is then infinite, its limits
        and the joint intercept NaN. Constant predictions have no slope either (NaN,
        without a warning).

    References
    ----------
    Cox, Biometrika 45, 562 (1958); Spiegelhalter, Statistics in Medicine 5, 421 (1986);
    Austin & Steyerberg, Statistics in Medicine 38, 4051 (2019), who smooth by a local
    quadratic where this function uses a local line, which is steadier at small n.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.repeat([0.2, 0.5, 0.8], 10)
    >>> y = np.concatenate([np.arange(10) < k for k in (2, 5, 8)])
    >>> calibration(y, p)
    Calibration(15 events in 30; intercept -0.00 (-0.82 to 0.82), slope 1.00 (0.21 to 1.79), O/E 1.00, Brier 0.190, ICI 0.000)
    """  # noqa: E501
    check_fraction(confidence, "confidence")
    if not 0 < clip < 0.5:
        raise FormatError(f"clip lies between 0 and 0.5, found {clip!r}")
    event, probability = as_outcome_and_probability(y, p)
    clipped = np.clip(probability, clip, 1 - clip)
    linear = logit(clipped)
    z = float(ndtri((1 + confidence) / 2))
    large, large_se = _logistic(np.ones((len(event), 1)), event, linear)
    joint, joint_se = _recalibrate(linear, event)
    brier = float(np.mean((probability - event) ** 2))
    prevalence = float(event.mean())
    errors = _smooth_errors(event, probability, span)
    weight = 1 - 2 * probability
    null_sd = float(np.sqrt(np.sum(weight**2 * probability * (1 - probability))))
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = float(np.divide(np.sum((event - probability) * weight), null_sd))
        ratio = float(np.divide(event.sum(), probability.sum()))
    return Calibration(
        n=len(event),
        n_events=int(event.sum()),
        intercept=float(large[0]),
        intercept_low=float(large[0] - z * large_se[0]),
        intercept_high=float(large[0] + z * large_se[0]),
        slope=float(joint[1]),
        slope_low=float(joint[1] - z * joint_se[1]),
        slope_high=float(joint[1] + z * joint_se[1]),
        joint_intercept=float(joint[0]),
        joint_intercept_low=float(joint[0] - z * joint_se[0]),
        joint_intercept_high=float(joint[0] + z * joint_se[0]),
        observed_expected=ratio,
        brier=brier,
        scaled_brier=1 - brier / (prevalence * (1 - prevalence)),
        ici=float(errors.mean()),
        e50=float(np.median(errors)),
        e90=float(np.quantile(errors, 0.9)),
        spiegelhalter_z=statistic,
        spiegelhalter_p=float(2 * ndtr(-abs(statistic))),
        n_clipped=int(np.count_nonzero(clipped != probability)),
        confidence=confidence,
    )


def calibration_curve(
    y: ArrayLike,
    p: ArrayLike,
    *,
    n_bins: int = 5,
    strategy: Literal["quantile", "uniform"] = "quantile",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tabulate observed against predicted risk in bins.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1; a single class is allowed.
    p : array-like of shape (n,)
        Predicted probability.
    n_bins : int, default 5
        Number of bins. At n = 150 more than five leave fewer than 30 people in each.
    strategy : {"quantile", "uniform"}, default "quantile"
        Bins with about equally many people, or of equal width. Equal predictions share a
        bin, so that ties can leave fewer quantile bins.
    confidence : float, default 0.95
        Level of Wilson's intervals.

    Returns
    -------
    pandas.DataFrame
        One row per bin with the columns ``lower``, ``upper`` (edges; a prediction on an
        edge belongs to the lower bin), ``mean_predicted``, ``observed``, ``ci_low``,
        ``ci_high``, ``n`` and ``events``. An empty bin has n = 0 and NaN.

    Raises
    ------
    FormatError
        When a value isn't a probability or an outcome, or for an unknown option.
    AlignmentError
        When `y` and `p` are labelled and their labels don't match.

    Examples
    --------
    >>> curve = calibration_curve([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.9], n_bins=2)
    >>> curve[["mean_predicted", "observed", "n"]].round(3).values.tolist()
    [[0.15, 0.5, 2.0], [0.8, 0.5, 2.0]]
    """
    check_fraction(confidence, "confidence")
    if n_bins < 1:
        raise FormatError(f"n_bins is at least 1, found {n_bins}")
    event, probability = as_outcome_and_probability(y, p, both_classes=False)
    if strategy == "quantile":
        edges = np.unique(np.quantile(probability, np.linspace(0, 1, n_bins + 1)))
        if len(edges) == 1:
            edges = np.repeat(edges, 2)
    elif strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)
    else:
        raise FormatError(f"strategy is 'quantile' or 'uniform', found {strategy!r}")
    bins = len(edges) - 1
    place = np.searchsorted(edges[1:-1], probability, side="left")
    n = np.bincount(place, minlength=bins)
    events = np.bincount(place, weights=event, minlength=bins)
    low, high = wilson(events, n, confidence=confidence)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "lower": edges[:-1],
                "upper": edges[1:],
                "mean_predicted": np.bincount(place, weights=probability, minlength=bins) / n,
                "observed": events / n,
                "ci_low": low,
                "ci_high": high,
                "n": n,
                "events": events.astype(int),
            }
        )
