"""Measures of a yes-or-no prediction at a threshold."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import FormatError
from ._checks import as_outcome_and_score, check_fraction
from .intervals import wilson

__all__ = ["ClassificationMetrics", "average_precision", "classification_metrics"]

_MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "npv",
    "f1",
    "mcc",
)


@dataclasses.dataclass(frozen=True)
class ClassificationMetrics:
    """The confusion matrix at a threshold and what follows from it.

    A measure whose denominator is zero is NaN, never 0.

    Parameters
    ----------
    tp, fp, fn, tn : int
        True positives, false positives, false negatives and true negatives.
    threshold : float
        Scores at or above it count as positive.
    confidence : float
        Level of Wilson's intervals in `to_frame`.

    Examples
    --------
    >>> found = ClassificationMetrics(tp=5, fp=4, fn=1, tn=6)
    >>> round(found.accuracy, 3), round(found.sensitivity, 3), found["f1"]
    (0.688, 0.833, 0.6666666666666666)
    """

    tp: int
    fp: int
    fn: int
    tn: int
    threshold: float = 0.5
    confidence: float = 0.95

    def _counts(self) -> dict[str, tuple[int, int]]:
        """Return numerator and denominator of the measures that are proportions."""
        return {
            "accuracy": (self.tp + self.tn, self.tp + self.fp + self.fn + self.tn),
            "sensitivity": (self.tp, self.tp + self.fn),
            "specificity": (self.tn, self.tn + self.fp),
            "precision": (self.tp, self.tp + self.fp),
            "npv": (self.tn, self.tn + self.fn),
        }

    def _share(self, name: str) -> float:
        k, n = self._counts()[name]
        return k / n if n else np.nan

    @property
    def accuracy(self) -> float:
        """(TP + TN) / n."""
        return self._share("accuracy")

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), also called recall."""
        return self._share("sensitivity")

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return self._share("specificity")

    @property
    def precision(self) -> float:
        """TP / (TP + FP), the positive predictive value."""
        return self._share("precision")

    @property
    def npv(self) -> float:
        """TN / (TN + FN), the negative predictive value."""
        return self._share("npv")

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of precision and sensitivity."""
        denominator = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / denominator if denominator else np.nan

    @property
    def mcc(self) -> float:
        """Matthews's correlation between outcome and prediction."""
        margins = (
            float(self.tp + self.fp)
            * float(self.tp + self.fn)
            * float(self.tn + self.fp)
            * float(self.tn + self.fn)
        )
        if not margins:
            return np.nan
        return float((self.tp * self.tn - self.fp * self.fn) / np.sqrt(margins))

    def to_frame(self) -> pd.DataFrame:
        """Tabulate all measures.

        Returns
        -------
        pandas.DataFrame
            Index ``measure``; columns ``value``, ``ci_low``, ``ci_high``, ``numerator``
            and ``denominator``. Only the proportions have an interval (Wilson's); for the
            others bootstrap over subjects.
        """
        counts = self._counts()
        rows: dict[str, dict[str, float]] = {}
        for name in _MEASURES:
            k, n = counts.get(name, (np.nan, np.nan))
            row = {"value": getattr(self, name), "ci_low": np.nan, "ci_high": np.nan}
            if name in counts:
                low, high = wilson(k, n, confidence=self.confidence)
                row |= {"ci_low": float(low), "ci_high": float(high)}
            rows[name] = row | {"numerator": k, "denominator": n}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")

    def to_dict(self) -> dict[str, float]:
        """Return counts and measures under their names.

        Returns
        -------
        dict of str to float
        """
        values: dict[str, float] = {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}
        return values | {name: getattr(self, name) for name in _MEASURES}

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    def keys(self) -> list[str]:
        """Return the names, so that ``dict(metrics)`` works.

        Returns
        -------
        list of str
        """
        return list(self.to_dict())


def classification_metrics(
    y: ArrayLike, p: ArrayLike, threshold: float = 0.5, *, confidence: float = 0.95
) -> ClassificationMetrics:
    """Count hits and misses at a threshold.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1; a single class is allowed.
    p : array-like of shape (n,)
        Predicted probability, or any score with a threshold on its scale.
    threshold : float, default 0.5
        Scores at or above it count as positive. Choose it without the test people.
    confidence : float, default 0.95
        Level of Wilson's intervals.

    Returns
    -------
    ClassificationMetrics

    Raises
    ------
    FormatError
        When `y` isn't binary, or a value is missing or infinite.
    AlignmentError
        When `y` and `p` are labelled and their labels don't match.

    Examples
    --------
    >>> found = classification_metrics([0, 0, 1, 1], [0.2, 0.6, 0.7, 0.9])
    >>> found
    ClassificationMetrics(tp=2, fp=1, fn=0, tn=1, threshold=0.5, confidence=0.95)
    >>> found.to_frame().loc["precision"].round(3).tolist()
    [0.667, 0.208, 0.939, 2.0, 3.0]
    """
    check_fraction(confidence, "confidence")
    event, score = as_outcome_and_score(y, p, name="p", both_classes=False)
    called = score >= threshold
    return ClassificationMetrics(
        tp=int(np.count_nonzero(called & event)),
        fp=int(np.count_nonzero(called & ~event)),
        fn=int(np.count_nonzero(~called & event)),
        tn=int(np.count_nonzero(~called & ~event)),
        threshold=float(threshold),
        confidence=confidence,
    )


def average_precision(y: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the precision–recall curve, as a step function.

    Σ (Rₖ − Rₖ₋₁) Pₖ over the distinct scores from high to low. A score without
    information gives about the prevalence, not 0.5.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1, with at least one event.
    score : array-like of shape (n,)
        Higher means the event is more likely.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    FormatError
        When there is no event, `y` isn't binary, or a value is missing or infinite.
    AlignmentError
        When `y` and `score` are labelled and their labels don't match.

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    event, numbers = as_outcome_and_score(y, score, both_classes=False)
    if not event.any():
        raise FormatError("precision needs at least one person with the event", where="y")
    order = np.argsort(-numbers, kind="stable")
    hits = np.cumsum(event[order])
    last_of_ties = np.flatnonzero(np.r_[np.diff(numbers[order]) != 0, True])
    hits, called = hits[last_of_ties], last_of_ties + 1
    return float(np.sum(np.diff(np.r_[0, hits]) * hits / called) / hits[-1])
