"""Whether predicted risks by a horizon mean what they say, where some were censored before."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from ..errors import ConvergenceWarning, DataWarning, FormatError
from ._censoring import Censoring, Floats, as_survival_and
from ._checks import as_numbers, check_fraction
from .survival import kaplan_meier

__all__ = ["SurvivalCalibration", "calibration_at"]

_CLIP = 1e-9


@dataclasses.dataclass(frozen=True, repr=False)
class SurvivalCalibration:
    """How well predicted risks by a horizon agree with what happened.

    Parameters
    ----------
    horizon : float
        Time at which it was judged.
    clipped : bool
        Whether a later one was asked for than the follow-up allows.
    n, n_events : int
        People, and those seen to have the event by the horizon.
    observed, observed_low, observed_high : float
        Risk by Kaplan–Meier, with its limits.
    predicted : float
        Mean predicted risk.
    slope, slope_low, slope_high : float
        Of the complementary log-log of the risk: 1 is ideal, below it the predictions are too
        extreme. NaN where it can't be estimated.
    intercept, intercept_low, intercept_high : float
        With the slope fixed at 1: 0 is ideal, below it the predicted risks are too high.
    ici : float
        Mean |smooth observed − predicted| over the people.
    groups : pandas.DataFrame
        Index ``group`` (by predicted risk); ``n``, ``mean_predicted``, ``observed``, ``ci_low``,
        ``ci_high`` by Kaplan–Meier; NaN where the follow-up of a group ends before the horizon.
    curve : pandas.DataFrame
        ``predicted`` and ``observed``, smooth, at most 100 points.
    confidence : float
        Of all limits.
    """

    horizon: float
    clipped: bool
    n: int
    n_events: int
    observed: float
    observed_low: float
    observed_high: float
    predicted: float
    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    ici: float
    groups: pd.DataFrame
    curve: pd.DataFrame
    confidence: float = 0.95

    @property
    def observed_expected(self) -> float:
        """Observed risk / mean predicted risk."""
        return self.observed / self.predicted

    def __repr__(self) -> str:
        return (
            f"SurvivalCalibration(at {self.horizon:g}: observed {self.observed:.3f}, predicted "
            f"{self.predicted:.3f}, slope {self.slope:.2f} ({self.slope_low:.2f} to "
            f"{self.slope_high:.2f}), ICI {self.ici:.3f})"
        )


def calibration_at(
    time: ArrayLike,
    event: ArrayLike,
    predicted_risk: ArrayLike,
    horizon: float,
    *,
    n_groups: int = 5,
    confidence: float = 0.95,
) -> SurvivalCalibration:
    """Compare predicted risks by a horizon with what happened by then.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        As `kaplan_meier` takes them.
    predicted_risk : array-like of shape (n,)
        Predicted chance of the event by the horizon, 0 to 1.
    horizon : float
        In the unit of `time`; clipped to the end of the follow-up.
    n_groups : int, default 5
        Groups of about equal size by predicted risk; fewer where many risks are the same.
    confidence : float, default 0.95
        Of all limits.

    Returns
    -------
    SurvivalCalibration

    Raises
    ------
    FormatError
        For missing values or risks outside of 0 to 1.

    Warns
    -----
    DataWarning
        When the horizon is beyond the follow-up; the risks are compared with what happened by
        its end all the same, so that they look too high.
    ConvergenceWarning
        When the slope can't be found.

    Notes
    -----
    Slope and intercept are those of a binomial regression with complementary log-log link of
    "event by the horizon" on cloglog(risk), in which who was censored before doesn't count and
    the others are weighted by one over the chance of having been followed (a slope of 1 then
    means proportional hazards hold as predicted); limits come from the robust variance, which
    takes the weights as known. The smooth curve is a weighted local linear one.

    References
    ----------
    Austin, Harrell & van Klaveren, Statistics in Medicine 39, 2714 (2020); McLernon et al.,
    Annals of Internal Medicine 176, 105 (2023).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.uniform(0.1, 0.9, 2000)
    >>> time = rng.exponential(-1 / np.log1p(-risk))
    >>> found = calibration_at(time, np.ones(2000), risk, 1.0)
    >>> found.slope_low < 1 < found.slope_high, found.ici < 0.03
    (True, True)
    """
    check_fraction(confidence, "confidence")
    times, flags, risk = as_survival_and(time, event, predicted_risk, "predicted_risk")
    if risk.min() < 0 or risk.max() > 1:
        raise FormatError(
            f"a risk lies between 0 and 1, found {risk.min():g} to {risk.max():g}",
            where="predicted_risk",
        )
    asked = float(as_numbers([horizon], "horizon")[0])
    if not asked > 0:
        raise FormatError(f"the horizon lies above 0, found {asked:g}", where="horizon")
    if n_groups < 2:
        raise FormatError(f"expected at least 2 groups, found {n_groups}", where="n_groups")
    censoring = Censoring(times, flags)
    at = min(asked, censoring.end)
    if asked > at:
        warnings.warn(
            f"the horizon of {asked:g} is beyond the follow-up: judged at {at:g}",
            DataWarning,
            stacklevel=2,
        )
    case = flags & (times <= at)
    left = times > at
    weight = np.zeros(len(times))
    weight[case] = 1 / censoring.before(times[case])
    weight[left] = 1 / censoring.at(np.array([at]))[0]
    x = _cloglog(risk)
    z = float(ndtri((1 + confidence) / 2))
    both = case.any() and left.any()
    slope, slope_se = _fit(x, case, weight, slope=True) if both else (np.nan, np.nan)
    shift, shift_se = _fit(x, case, weight, slope=False) if both else (np.nan, np.nan)
    overall = kaplan_meier(times, flags, confidence=confidence).at([at]).iloc[0]
    points, smooth = _smooth(risk, case, weight)
    return SurvivalCalibration(
        horizon=at,
        clipped=asked > at,
        n=len(times),
        n_events=int(case.sum()),
        observed=float(1 - overall["survival"]),
        observed_low=float(1 - overall["ci_high"]),
        observed_high=float(1 - overall["ci_low"]),
        predicted=float(risk.mean()),
        slope=slope,
        slope_low=slope - z * slope_se,
        slope_high=slope + z * slope_se,
        intercept=shift,
        intercept_low=shift - z * shift_se,
        intercept_high=shift + z * shift_se,
        ici=float(np.mean(np.abs(np.interp(risk, points, smooth) - risk))),
        groups=_groups(times, flags, risk, at, n_groups, confidence),
        curve=pd.DataFrame({"predicted": points, "observed": smooth}),
        confidence=confidence,
    )


def _cloglog(risk: Floats) -> Floats:
    return np.log(-np.log1p(-np.clip(risk, _CLIP, 1 - _CLIP)))


def _fit(x: Floats, case: np.ndarray, weight: Floats, *, slope: bool) -> tuple[float, float]:
    """Fit the weighted regression; return the last coefficient and its robust SE."""
    if slope and np.ptp(x[weight > 0]) == 0:
        return np.nan, np.nan
    design = np.column_stack([np.ones(len(x)), x]) if slope else np.ones((len(x), 1))
    offset = np.zeros(len(x)) if slope else x
    beta = np.array([0.0, 1.0]) if slope else np.zeros(1)
    y = case.astype(float)
    for _ in range(100):
        hazard = np.exp(np.clip(offset + design @ beta, -30, 3.5))
        p = np.clip(-np.expm1(-hazard), 1e-15, 1 - 1e-15)
        slope_of_p = hazard * (1 - p)
        score = weight * (y - p) * slope_of_p / (p * (1 - p))
        information = (design * (weight * slope_of_p**2 / (p * (1 - p)))[:, None]).T @ design
        try:
            step = np.linalg.solve(information, design.T @ score)
        except np.linalg.LinAlgError:
            break
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-11:
            bread = np.linalg.inv(information)
            each = design * score[:, None]
            cover = bread @ (each.T @ each) @ bread
            return float(beta[-1]), float(np.sqrt(cover[-1, -1]))
    warnings.warn(
        "the calibration slope can't be found: the risks separate those with the event",
        ConvergenceWarning,
        stacklevel=3,
    )
    return np.nan, np.nan


def _groups(
    time: Floats, event: np.ndarray, risk: Floats, at: float, n_groups: int, confidence: float
) -> pd.DataFrame:
    edges = np.unique(np.quantile(risk, np.linspace(0, 1, n_groups + 1)[1:-1]))
    number = np.searchsorted(edges, risk, side="left")
    rows = []
    for group in np.unique(number):
        own = number == group
        seen = kaplan_meier(time[own], event[own], confidence=confidence).at([at]).iloc[0]
        rows.append(
            {
                "n": int(own.sum()),
                "mean_predicted": float(risk[own].mean()),
                "observed": float(1 - seen["survival"]),
                "ci_low": float(1 - seen["ci_high"]),
                "ci_high": float(1 - seen["ci_low"]),
            }
        )
    return pd.DataFrame(rows).rename_axis("group")


def _smooth(risk: Floats, case: np.ndarray, weight: Floats) -> tuple[Floats, Floats]:
    """Smooth the weighted share of events over the risk, at the quantiles of the risk."""
    points = np.unique(np.quantile(risk, np.linspace(0, 1, 100)))
    if len(points) < 3:
        known = weight > 0
        level = float(np.average(case[known], weights=weight[known])) if known.any() else np.nan
        return points, np.full(len(points), level)
    u = risk[None, :] - points[:, None]
    distance = np.abs(u)
    nearest = max(1, int(np.floor(0.75 * len(risk))))
    h = np.partition(distance, nearest - 1, axis=1)[:, nearest - 1 : nearest]
    with np.errstate(invalid="ignore", divide="ignore"):
        kernel = np.where(h > 0, np.clip(1 - (distance / h) ** 3, 0, None) ** 3, distance == 0)
        w = kernel * weight
        total = w.sum(axis=1)
        mean_u = (w * u).sum(axis=1) / total
        mean_y = w @ case / total
        centred = u - mean_u[:, None]
        spread = (w * centred**2).sum(axis=1)
        slope = np.where(spread > 1e-14, (w * centred) @ case / spread, 0.0)
    return points, np.clip(mean_y - slope * mean_u, 0, 1)
