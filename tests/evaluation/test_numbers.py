"""Cross-validation of numbers: figures by hand, folds by subject, comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import precisionpain as pp
from precisionpain.cohort import Cohort, Outcome
from precisionpain.errors import ComparisonError, FormatError, LeakageError, PrecisionPainError
from precisionpain.evaluation import SubjectKFold, clinical_regression, cross_validate_number


class Told(RegressorMixin, BaseEstimator):
    """Says the age, or the mean of what it was trained on."""

    def __init__(self, column=None):
        self.column = column

    def fit(self, X, y):
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        if self.column is None:
            return np.full(len(X), self.mean_)
        return X.subjects[self.column].to_numpy(dtype=float)


def people(n=60, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, n)
    score = age + rng.normal(0, 8, n)
    index = pd.Index([f"p{i:03d}" for i in range(n)], name="subject_id")
    table = pd.DataFrame({"age": age, "score": score, "late": score + 1}, index)
    columns = {
        "score": pp.cohort.Column(kind="number", role="outcome", reason="it is the outcome"),
        "late": pp.cohort.Column(kind="number", role="outcome", reason="known afterwards"),
    }
    outcomes = {"score": Outcome(column="score", kind="number")}
    return Cohort(table, columns=columns, outcomes=outcomes)


def test_figures_are_those_of_scikit_learn_and_scipy():
    cohort = people()
    result = cross_validate_number(Told("age"), cohort, "score", 4, baseline=None)
    y, p = cohort.subjects["score"].to_numpy(), cohort.subjects["age"].to_numpy()
    found = result.summary()["value"]
    assert found["mae"] == pytest.approx(mean_absolute_error(y, p))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, p))
    assert found["spearman"] == pytest.approx(spearmanr(y, p).statistic)
    assert found["slope"] == pytest.approx(np.polyfit(p, y, 1)[0])
    for fold, (train, test) in enumerate(result.splits):
        row = result.frame().loc[fold]
        assert (row["n_train"], row["n_test"]) == (len(train), len(test))
        # Against the mean of the training people, not that of the test people.
        of_mean = np.mean((y[test] - y[train].mean()) ** 2)
        assert row["r2"] == pytest.approx(1 - np.mean((y[test] - p[test]) ** 2) / of_mean)
        assert row["r2"] >= r2_score(y[test], p[test])
    table = result.summary()
    assert (table["ci_low"] <= table["value"]).all()
    assert (table["value"] <= table["ci_high"]).all()


def test_the_mean_is_worth_nothing():
    result = cross_validate_number(Told(), people(), "score", 5, baseline=None)
    assert result.summary().loc["r2", "value"] == 0
    assert np.isnan(result.frame()["spearman"]).all()


def test_intervals_hold_the_truth():
    """Of the rank correlation of a model that needs no training, over many cohorts."""
    truth = spearmanr(*people(20_000, 999).subjects[["age", "score"]].to_numpy().T).statistic
    inside = []
    for seed in range(60):
        result = cross_validate_number(
            Told("age"), people(80, seed), "score", 4, baseline=None, n_bootstrap=200
        )
        row = result.summary().loc["spearman"]
        inside.append(row["ci_low"] <= truth <= row["ci_high"])
    assert 0.86 <= np.mean(inside) <= 1


def test_beside_the_clinic_in_the_same_folds():
    cohort = people(90)
    result = cross_validate_number(Told(), cohort, "score", SubjectKFold(5, random_state=1))
    assert result.baseline.name == "clinical baseline"
    found = result.compare(result.baseline)
    assert found.mean > 0  # more error than the clinic, which knows the age
    assert found.ci_low > 0
    assert "clinical baseline" in repr(result)
    again = cross_validate_number(Told("age"), cohort, "score", result)
    assert again.compare(result).mean < 0
    assert cross_validate_number(clinical_regression(), cohort, "score", 3).baseline is None
    other = cross_validate_number(Told(), cohort, "score", 4, baseline=None)
    with pytest.raises(ComparisonError, match="other people, outcomes or folds"):
        result.compare(other)


def test_what_is_known_afterwards_cannot_predict():
    cohort = people()
    with pytest.raises(LeakageError):
        cross_validate_number(clinical_regression(columns=["late"]), cohort, "score")
    with pytest.raises(LeakageError):
        cross_validate_number(clinical_regression(columns=["score"]), cohort, "score")
    outcome = Outcome(column="age", kind="number")
    with pytest.raises(LeakageError):
        cross_validate_number(clinical_regression(columns=["age"]), cohort, outcome)


def test_people_without_the_outcome_leave_with_a_line():
    cohort = people()
    y = cohort.subjects["score"].where(np.arange(60) >= 7)
    result = cross_validate_number(Told(), cohort, y, 3, baseline=None)
    assert len(result.y) == 53
    assert "no score" in result.cohort.flow.frame().to_string()
    assert result.predictions.index.isin(y.dropna().index).all()
    by_key = y.sample(frac=1, random_state=0)
    same = cross_validate_number(Told(), cohort, by_key, 3, baseline=None)
    np.testing.assert_array_equal(same.y, result.y)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (np.arange(60) % 2, "2 different values"),
        (np.full(60, np.nan), "0 different values"),
        (np.where(np.arange(60) > 3, np.inf, 1.0), "infinite"),
        (np.array(["a"] * 60), "isn't a number"),
    ],
)
def test_outcomes_that_make_no_sense(outcome, text):
    with pytest.raises(FormatError, match=text):
        cross_validate_number(Told(), people(), outcome)


def test_survival_is_refused():
    with pytest.raises(FormatError, match="cross_validate_survival"):
        cross_validate_number(Told(), pp.datasets.sample_tn(40), "recurrence")


def test_a_model_must_say_a_number():
    class Silent(Told):
        def predict(self, X):
            return np.full(len(X), np.nan)

    with pytest.raises(PrecisionPainError, match="doesn't predict a number"):
        cross_validate_number(Silent(), people(), "score", 3, baseline=None)


def test_several_rows_of_a_person_stay_together():
    cohort = pp.datasets.sample_tn(40).per_nerve()
    y = pd.Series(np.random.default_rng(0).normal(size=len(cohort)), cohort.index)
    result = cross_validate_number(Told(), cohort, y, 4, baseline=None, n_bootstrap=20)
    groups = np.asarray(cohort.groups)
    for train, test in result.splits:
        assert not set(groups[train]) & set(groups[test])
    assert result.summary()["value"].notna().sum() >= 3
