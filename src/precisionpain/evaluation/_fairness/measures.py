"""Figures of one group, and of many resampled or relabelled ones at once."""

from __future__ import annotations

import warnings

import numpy as np

from ...errors import ConvergenceWarning
from ...stats import calibration, classification_metrics, delong, wilson

__all__ = ["COLUMNS", "METRICS", "Pairs", "measure", "weighted"]

#: What groups are compared by.
METRICS = ("auc", "observed_expected", "brier", "sensitivity", "specificity", "ppv")
#: What `measure` gives.
_WITH_LIMITS = (
    "auc", "observed_expected", "calibration_slope", "sensitivity", "specificity", "ppv",
)  # fmt: skip
COLUMNS = (
    "predicted",
    "brier",
    *(name + end for name in _WITH_LIMITS for end in ("", "_low", "_high")),
)


def measure(
    y: np.ndarray, p: np.ndarray, *, threshold: float, confidence: float, both: bool
) -> dict[str, float]:
    """Measure one group in one round of predictions.

    Parameters
    ----------
    y, p : numpy.ndarray of shape (n,)
        Outcome, 0 or 1, and predicted probability.
    threshold, confidence : float
        As in `subgroups`.
    both : bool
        Whether there are enough people with and without the event for AUC and slope.

    Returns
    -------
    dict of str to float
        Each figure, with ``_low`` and ``_high`` where it has an interval.
    """
    expected = float(p.sum())
    # What was predicted is taken as fixed; Wilson's interval holds without events as well.
    low, high = map(float, wilson(int(y.sum()), len(y), confidence=confidence))
    found = {
        "predicted": float(p.mean()),
        "observed_expected": float(y.sum() / expected),
        "observed_expected_low": low * len(y) / expected,
        "observed_expected_high": high * len(y) / expected,
        "brier": float(np.mean((p - y) ** 2)),
    }
    slope = dict.fromkeys(("auc", "calibration_slope"), (np.nan, np.nan, np.nan))
    if both:
        area = delong(y, p, confidence=confidence)
        slope["auc"] = (area.auc, area.ci_low, area.ci_high)
        with warnings.catch_warnings():
            # Predictions that separate a small group have no finite slope.
            warnings.simplefilter("ignore", ConvergenceWarning)
            line = calibration(y, p, confidence=confidence)
        if np.isfinite(line.slope):
            slope["calibration_slope"] = (line.slope, line.slope_low, line.slope_high)
    for name, (value, low, high) in slope.items():
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    rates = classification_metrics(y, p, threshold=threshold, confidence=confidence).to_frame()
    names = {"sensitivity": "sensitivity", "specificity": "specificity", "precision": "ppv"}
    for row, name in names.items():
        limits = map(float, rates.loc[row, ["value", "ci_low", "ci_high"]].to_numpy(dtype=float))
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), limits, strict=True))
    return found


class Pairs:
    """The comparisons behind an AUC, made once for all resamples.

    Parameters
    ----------
    y : numpy.ndarray of shape (n,)
        Outcome, 0 or 1.
    p : numpy.ndarray of shape (n,)
        Predictions.
    """

    def __init__(self, y: np.ndarray, p: np.ndarray) -> None:
        self.event = y == 1
        one, other = p[self.event][:, None], p[~self.event][None, :]
        self.wins = (one > other) + 0.5 * (one == other)

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUC of each row of weights, (n_draws, n)."""
        one, other = weights[:, self.event], weights[:, ~self.event]
        pairs = one.sum(axis=1) * other.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(((one @ self.wins) * other).sum(axis=1) / pairs)


def weighted(
    y: np.ndarray, p: np.ndarray, pairs: Pairs, weights: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """Measure many weighted groups at once.

    Parameters
    ----------
    y, p : numpy.ndarray of shape (n,)
        Outcome and predictions.
    pairs : Pairs
        Of the same.
    weights : numpy.ndarray of shape (n_draws, n)
        How often each row counts; 0 for those outside of the group.
    threshold : float
        From which on a prediction counts as positive.

    Returns
    -------
    dict of str to numpy.ndarray of shape (n_draws,)
        By name of `METRICS`; NaN where it is undefined.
    """
    called = (p >= threshold).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "auc": pairs.auc(weights),
            "observed_expected": weights @ y / (weights @ p),
            "brier": weights @ (p - y) ** 2 / weights.sum(axis=1),
            "sensitivity": weights @ (called * y) / (weights @ y),
            "specificity": weights @ ((1 - called) * (1 - y)) / (weights @ (1 - y)),
            "ppv": weights @ (called * y) / (weights @ called),
        }
