"""Figures of predicted survival: per fold, and pooled over folds."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataWarning, FormatError
from ..stats import (
    brier_score,
    cumulative_dynamic_auc,
    harrell_c,
    integrated_brier_score,
    uno_c,
)

__all__ = ["Predicted", "fold_figures", "named", "pooled_figures"]


class Predicted(NamedTuple):
    """What a model says of the test people of a fold, or of all.

    `risk` has shape (n,), `survival` and `reference` (that of Kaplan–Meier's curve of the
    training people) (n, n_times); `fold` tells the fold of each.
    """

    risk: np.ndarray
    survival: np.ndarray
    reference: np.ndarray
    fold: np.ndarray


def named(measure: str, horizon: float) -> str:
    """Name a measure at a horizon."""
    return f"{measure}@{horizon:g}"


def fold_figures(
    time: np.ndarray,
    event: np.ndarray,
    train_time: np.ndarray,
    train_event: np.ndarray,
    predicted: Predicted,
    times: np.ndarray,
    is_horizon: np.ndarray,
) -> dict[str, float]:
    """Return the figures of one fold, weighted by the censoring of its training people."""
    training: dict[str, Any] = {"train_time": train_time, "train_event": train_event}
    horizons = times[is_horizon]
    survival = predicted.survival
    figures = {}
    with warnings.catch_warnings():
        # Horizons past the follow-up of a fold have no figure there, which the result tells.
        warnings.simplefilter("ignore", DataWarning)
        figures["harrell_c"] = _c(lambda: harrell_c(time, event, predicted.risk).c)
        figures["uno_c"] = _c(
            lambda: uno_c(time, event, predicted.risk, tau=times[-1], **training).c
        )
        try:
            whole = integrated_brier_score(time, event, survival, times, **training)
        except FormatError:
            whole = pd.Series({"brier": np.nan, "scaled": np.nan})
        figures["ibs"], figures["ibs_scaled"] = whole["brier"], whole["scaled"]
        risk = 1 - survival[:, is_horizon]
        auc = cumulative_dynamic_auc(time, event, risk, horizons, **training)["auc"]
        brier = brier_score(time, event, survival[:, is_horizon], horizons, **training)["brier"]
    for horizon, area, score in zip(horizons, auc, brier, strict=True):
        figures[named("auc", horizon)] = area
        figures[named("brier", horizon)] = score
    return figures


def pooled_figures(
    time: np.ndarray,
    event: np.ndarray,
    predicted: Predicted,
    times: np.ndarray,
    is_horizon: np.ndarray,
) -> dict[str, float]:
    """Return the figures of all people, weighted by the censoring of all.

    Risk scores of different folds share no scale, so that pairs are compared within a fold.
    """
    horizons = times[is_horizon]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        strata = predicted.fold
        figures = {
            "harrell_c": _c(lambda: harrell_c(time, event, predicted.risk, strata=strata).c),
            "uno_c": _c(lambda: uno_c(time, event, predicted.risk, tau=times[-1], strata=strata).c),
        }
        score = brier_score(time, event, predicted.survival, times)["brier"].to_numpy()
        flat = brier_score(time, event, predicted.reference, times)["brier"].to_numpy()
        risk = 1 - predicted.survival[:, is_horizon]
        auc = cumulative_dynamic_auc(time, event, risk, horizons)["auc"]
    known = ~np.isnan(score)
    ibs = ibs_flat = np.nan
    if known.sum() >= 2:
        span = np.ptp(times[known])
        ibs, ibs_flat = (float(np.trapezoid(s[known], times[known]) / span) for s in (score, flat))
    figures["ibs"] = ibs
    figures["ibs_scaled"] = 1 - ibs / ibs_flat if ibs_flat > 0 else np.nan
    for horizon, area, s, f in zip(horizons, auc, score[is_horizon], flat[is_horizon], strict=True):
        figures[named("auc", horizon)] = float(area)
        figures[named("brier", horizon)] = float(s)
        figures[named("brier_scaled", horizon)] = float(1 - s / f) if f > 0 else np.nan
    return figures


def _c(compute: object) -> float:
    try:
        return float(compute())  # type: ignore[operator]
    except FormatError:
        return float("nan")  # no pair of people can be compared
