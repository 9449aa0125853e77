from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from precisionpain.errors import FormatError
from precisionpain.stats import (
    ClassificationMetrics,
    average_precision,
    classification_metrics,
    wilson,
)

people = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40)


@given(people, st.integers(0, 8))
def test_measures_match_sklearn_where_they_are_defined(rows, threshold):
    y, p = (np.array(part) for part in zip(*rows, strict=True))
    found = classification_metrics(y, p / 8, threshold / 8)
    called = p >= threshold
    assert found.tp + found.fp + found.fn + found.tn == len(y)
    expected = {
        "accuracy": metrics.accuracy_score(y, called),
        "sensitivity": metrics.recall_score(y, called, zero_division=np.nan),
        "specificity": metrics.recall_score(~y, ~called, zero_division=np.nan),
        "precision": metrics.precision_score(y, called, zero_division=np.nan),
        "npv": metrics.precision_score(~y, ~called, zero_division=np.nan),
        "f1": metrics.f1_score(y, called, zero_division=np.nan),
    }
    if 0 < y.sum() < len(y):
        expected["balanced_accuracy"] = metrics.balanced_accuracy_score(y, called)
        if 0 < called.sum() < len(y):
            expected["mcc"] = metrics.matthews_corrcoef(y, called)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, nan_ok=True, abs=1e-12)
        assert found[name] == pytest.approx(value, nan_ok=True, abs=1e-12)


def test_best_fold_of_the_published_classifier():
    # TP 5, FP 4, FN 1, TN 6 gives the published .69, .56, .83, .67.
    found = ClassificationMetrics(tp=5, fp=4, fn=1, tn=6)
    rounded = [round(found[name], 2) for name in ("accuracy", "precision", "sensitivity", "f1")]
    assert rounded == [0.69, 0.56, 0.83, 0.67]


def test_undefined_is_missing_never_zero():
    nobody_called = classification_metrics([0, 1, 1], [0.1, 0.2, 0.3])
    assert np.isnan([nobody_called.precision, nobody_called.mcc]).all()
    assert nobody_called.sensitivity == 0.0
    assert nobody_called.f1 == 0.0, "2 TP / (2 TP + FP + FN) is defined: 0 of 2"
    no_event = classification_metrics([0, 0], [0.1, 0.9])
    assert np.isnan([no_event.sensitivity, no_event.balanced_accuracy, no_event.mcc]).all()
    assert no_event.specificity == 0.5
    quiet = classification_metrics([0, 0], [0.1, 0.2])
    assert np.isnan([quiet.f1, quiet.precision, quiet.sensitivity]).all()
    frame = quiet.to_frame()
    assert frame.loc["f1", ["value", "ci_low", "ci_high"]].isna().all()
    assert frame.loc["sensitivity", ["value", "ci_low", "ci_high"]].isna().all()
    assert frame.loc["sensitivity", "denominator"] == 0


def test_frame_has_wilson_intervals_and_their_counts():
    frame = ClassificationMetrics(tp=5, fp=4, fn=1, tn=6, confidence=0.9).to_frame()
    low, high = wilson(5, 9, confidence=0.9)
    assert frame.loc["precision"].tolist() == pytest.approx([5 / 9, low, high, 5, 9])
    assert frame.loc[["balanced_accuracy", "f1", "mcc"], "ci_low"].isna().all()
    proportions = ["accuracy", "sensitivity", "specificity", "precision", "npv"]
    inside = frame.loc[proportions]
    assert (inside["ci_low"] < inside["value"]).all()
    assert (inside["value"] < inside["ci_high"]).all()


def test_it_reads_like_a_dictionary():
    found = classification_metrics([0, 1], [0.2, 0.7])
    assert dict(found) == found.to_dict()
    assert found.to_dict()["accuracy"] == 1.0
    assert list(found.to_dict())[:4] == ["tp", "fp", "fn", "tn"]


def test_a_score_at_the_threshold_counts_as_positive():
    assert classification_metrics([1], [0.5]).tp == 1
    assert classification_metrics([1], [3.0], threshold=3.5).fn == 1


@given(people)
def test_average_precision_matches_sklearn(rows):
    y, score = (np.array(part) for part in zip(*rows, strict=True))
    if y.any():
        expected = metrics.average_precision_score(y, score)
        assert average_precision(y, score) == pytest.approx(expected, abs=1e-12)


def test_average_precision_needs_an_event():
    with pytest.raises(FormatError, match="at least one person with the event"):
        average_precision([0, 0], [0.1, 0.2])
    assert average_precision([1, 1], [0.1, 0.2]) == 1.0
