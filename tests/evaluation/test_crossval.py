from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from precisionpain.cohort import Cohort, Outcome
from precisionpain.errors import (
    AlignmentError,
    ComparisonError,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.evaluation import (
    LeaveSiteOut,
    RepeatedSubjectKFold,
    SubjectKFold,
    clinical_model,
    cross_validate,
    shap_values,
)
from precisionpain.stats import delong

from ..cohort.toy import toy_cohort


def simulated(n: int = 200, slope: float = 1.5, seed: int = 0) -> Cohort:
    """One real predictor, one of noise, and two rows of measurements a person."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-slope * x))
    people = pd.DataFrame(
        {"x": x, "noise": rng.normal(size=n), "site": rng.choice(["A", "B", "C"], n)},
        index=[f"s{i:03d}" for i in range(n)],
    )
    people["responded"] = y
    cohort = Cohort(people, name="simulated", synthetic=True)
    return cohort.with_outcome("response", column="responded", positive=[True])


@pytest.fixture(scope="module")
def signal():
    return simulated()


@pytest.fixture(scope="module")
def result(signal):
    return cross_validate(
        clinical_model("random_forest", n_estimators=40),
        signal,
        "response",
        cv=4,
        keep_models=True,
        n_bootstrap=200,
        n_permutations=5,
        name="forest",
    )


def test_pooled_predictions_are_out_of_fold(signal, result):
    predictions = result.predictions
    assert predictions.index.is_unique
    assert set(predictions.index) == set(signal.index)
    y = signal.outcome("response").reindex(predictions.index)
    np.testing.assert_array_equal(predictions["y"], y)
    for fold, rows in predictions.groupby("fold"):
        train, test = result.splits[fold]
        assert set(rows.index) == set(signal.index[test])
        model = clinical_model("random_forest", n_estimators=40)
        again = model.fit(signal[train], signal.outcome("response").iloc[train])
        np.testing.assert_allclose(again.predict_proba(signal[test])[:, 1], rows["p"])


def test_figures_agree_with_independent_ones(result):
    predictions = result.predictions
    assert result.auc.auc == pytest.approx(roc_auc_score(predictions["y"], predictions["p"]))
    interval = delong(predictions["y"].to_numpy(), predictions["p"].to_numpy())
    summary = result.summary()
    assert summary.loc["auc", "ci_low"] == pytest.approx(interval.ci_low)
    brier = ((predictions["p"] - predictions["y"]) ** 2).mean()
    assert summary.loc["brier", "estimate"] == pytest.approx(brier)
    frame = result.frame()
    assert len(frame) == 4
    assert summary.loc["auc_mean_of_folds", "estimate"] == pytest.approx(frame["auc"].mean())
    both = summary.dropna(subset=["ci_low"])
    assert (both["ci_low"] <= both["estimate"] + 1e-12).all()
    assert (both["estimate"] <= both["ci_high"] + 1e-12).all()


def test_baseline_in_the_same_folds(result):
    assert result.baseline.fold_key == result.fold_key
    assert result.increment.other == "clinical baseline"
    expected = result.frame()["auc"] - result.baseline.frame()["auc"]
    np.testing.assert_allclose(result.increment.folds, expected)


def test_the_baseline_has_no_baseline(signal):
    result = cross_validate(clinical_model("logistic"), signal, "response", cv=3)
    assert result.baseline is None
    with pytest.raises(MissingModalityError, match="no baseline"):
        _ = result.increment


def test_other_folds_are_not_compared(signal, result):
    other = cross_validate(clinical_model("logistic"), signal, "response", cv=5)
    with pytest.raises(ComparisonError, match=r"different folds.*cv="):
        result.compare(other)
    fewer = cross_validate(clinical_model("logistic"), signal[:150], "response", cv=4)
    with pytest.raises(ComparisonError, match="different people"):
        result.compare(fewer)
    with pytest.raises(ComparisonError):
        cross_validate(clinical_model("xgboost"), signal, "response", cv=4, baseline=other)


def test_folds_of_a_result_can_be_used_again(signal, result):
    again = cross_validate(clinical_model("logistic"), signal, "response", cv=result)
    assert again.fold_key == result.fold_key
    with pytest.raises(AlignmentError, match="other people"):
        cross_validate(clinical_model("logistic"), signal[:50], "response", cv=result)


def test_straddling_splits_are_refused(signal):
    nerves = signal.per_nerve()
    with pytest.raises(LeakageError, match=r"stand in training and in test.*SubjectKFold"):
        cross_validate(clinical_model(), nerves, "response", cv=KFold(4, shuffle=True))
    ok = cross_validate(clinical_model(), nerves, "response", cv=4, n_bootstrap=50)
    assert len(ok.predictions) == 2 * signal.n_subjects


class Spy(ClassifierMixin, BaseEstimator):
    """Looks at everything that it is given, and asks for what it must not have."""

    def __init__(self, ask=None):
        self.ask = ask

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        if self.ask is not None:
            self.ask(X)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize(
    "ask",
    [
        lambda X: X.predictor_frame(["bni"]),
        lambda X: X.outcome("response"),
        lambda X: X.require("response"),
        lambda X: X.measurements["scores"],
        lambda X: X.outcome("bni", at_most=2),
        lambda X: X.with_outcome("r", column="bni", at_most=2),
    ],
    ids=["column", "outcome", "require", "late table", "rule", "define"],
)
def test_a_model_cannot_reach_the_outcome(ask):
    cohort = toy_cohort(80)
    with pytest.raises(LeakageError, match="can't be a predictor"):
        cross_validate(Spy(ask), cohort, "response", cv=3, baseline=None)


def test_a_model_does_not_even_see_it():
    seen = {}

    def look(X):
        seen["columns"] = list(X.subjects)
        seen["visits"] = set(X.visits["visit"])
        seen["nerve"] = set(X.measurements["nerve"]["visit"])
        seen["samples"] = set(X.assays["csf_pea"].obs["visit"].dropna())

    cross_validate(Spy(look), toy_cohort(80), "response", cv=3, baseline=None)
    assert not {"bni", "complication", "recurred", "recurrence_days"} & set(seen["columns"])
    assert seen["visits"] == seen["nerve"] == seen["samples"] == {"preop"}


def test_allowed_by_name():
    cohort = toy_cohort(80)

    def look(X):
        assert X.measurements["scores"]["visit"].eq("followup").all()

    cross_validate(Spy(look), cohort, "response", cv=3, baseline=None, allow=["scores"])


def test_a_function_on_the_table_meets_the_same_wall():
    take = FunctionTransformer(lambda X: X.subjects[["complication"]].astype(float))
    model = make_pipeline(take, clinical_model("logistic")[-1])
    with pytest.raises(KeyError):
        cross_validate(model, toy_cohort(80), "response", cv=3, baseline=None)


def test_columns_behind_an_outcome_on_the_spot():
    cohort = simulated(100)
    outcome = Outcome(column="noise", at_least=0.0)
    with pytest.raises(LeakageError, match="the outcome is computed from it"):
        cross_validate(clinical_model("logistic", columns=["noise"]), cohort, outcome, cv=3)
    result = cross_validate(clinical_model("logistic"), cohort, outcome, cv=3)
    assert result.auc.auc < 0.75


def test_a_column_that_gives_it_away_is_named(signal):
    copied = signal.subjects["responded"].astype(float)
    copied.iloc[0] = 1 - copied.iloc[0]
    cohort = signal.with_columns(pd.DataFrame({"copy": copied}))
    result = cross_validate(clinical_model("logistic"), cohort, "response", cv=3, n_permutations=2)
    check = result.checks.loc["no single column gives the outcome away"]
    assert not check["ok"]
    assert "copy" in check["finding"]


def test_outcomes_by_key_not_by_row(signal):
    y = signal.outcome("response")
    by_name = cross_validate(clinical_model(), signal, "response", cv=3).auc.auc
    shuffled = y.sample(frac=1, random_state=1)
    by_key = cross_validate(clinical_model(), signal, shuffled, cv=3).auc.auc
    by_row = cross_validate(clinical_model(), signal, y.to_numpy(), cv=3).auc.auc
    assert by_name == by_key == by_row
    with pytest.raises(AlignmentError, match=r"rows that the cohort lacks: 'zz'"):
        cross_validate(clinical_model(), signal, pd.Series({"zz": 1}), cv=3)
    with pytest.raises(AlignmentError, match="3 values for 200 rows"):
        cross_validate(clinical_model(), signal, [0, 1, 0], cv=3)


def test_unknown_outcomes_leave_with_a_line():
    cohort = toy_cohort(80)
    result = cross_validate(clinical_model(), cohort, "response", cv=3)
    assert result.cohort.n_subjects == 60
    assert result.cohort.flow.steps[-1].reason == "no response"
    assert result.cohort.flow.steps[-1].excluded == 20
    assert cohort.n_subjects == 80


def test_outcomes_that_are_not_binary(signal):
    with pytest.raises(FormatError, match=r"values 0 and 1, found .*positive="):
        cross_validate(clinical_model(), signal, signal.subjects["x"].round(), cv=3)
    with pytest.raises(FormatError, match="one class only"):
        cross_validate(clinical_model(), signal, np.zeros(len(signal)), cv=3)
    with pytest.raises(FormatError, match="survival outcome"):
        cross_validate(clinical_model(), toy_cohort(80), "recurrence", cv=3)
    with pytest.raises(MissingModalityError, match=r"no outcome 'mvd'.*'response'"):
        cross_validate(clinical_model(), toy_cohort(80), "mvd", cv=3)
    with pytest.raises(FormatError, match="expected a Cohort"):
        cross_validate(clinical_model(), np.zeros((4, 2)), [0, 1, 0, 1])


def test_models_that_do_not_fit_the_part(signal):
    class Silent(BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

    with pytest.raises(FormatError, match=r"no predict_proba.*CalibratedClassifierCV"):
        cross_validate(Silent(), signal, "response", cv=3, baseline=None)
    one_sided = [(np.flatnonzero(signal.outcome("response") == 0), np.array([0]))]
    one_sided = [(np.setdiff1d(one_sided[0][0], [0]), np.array([0]))]
    with pytest.raises(FormatError, match="one class only"):
        cross_validate(clinical_model(), signal, "response", cv=one_sided, baseline=None)


def test_repeated_folds(signal):
    result = cross_validate(
        clinical_model("logistic"), signal, "response",
        cv=RepeatedSubjectKFold(4, n_repeats=3), n_bootstrap=50,
    )  # fmt: skip
    predictions = result.predictions
    assert predictions.groupby("repeat").size().tolist() == [200, 200, 200]
    each = [roc_auc_score(rows["y"], rows["p"]) for _, rows in predictions.groupby("repeat")]
    assert result.auc.auc == pytest.approx(np.mean(each))
    assert result.summary().loc["auc_bootstrap", "estimate"] == pytest.approx(np.mean(each))


def test_leave_site_out(signal):
    result = cross_validate(clinical_model("logistic"), signal, "response", cv=LeaveSiteOut())
    assert result.frame()["site"].tolist() == ["A", "B", "C"]
    assert result.auc.auc > 0.7


def test_rows_of_one_person_count_once(signal):
    """Duplicating every row must not narrow the bootstrap interval of subjects."""
    once = cross_validate(clinical_model(), signal, "response", cv=4, n_bootstrap=400)
    twice = cross_validate(clinical_model(), signal.per_nerve(), "response", cv=4, n_bootstrap=400)
    width = [
        np.diff(r.summary().loc["auc_bootstrap", ["ci_low", "ci_high"]].astype(float)).item()
        for r in (once, twice)
    ]
    assert width[1] == pytest.approx(width[0], rel=0.2)
    assert twice.increment if twice.baseline else True
    assert twice.sample_size.n == 200


def test_permutation_is_a_canary(signal):
    result = cross_validate(clinical_model("logistic"), signal, "response", cv=4, n_permutations=40)
    test = result.permutation
    assert test.p_value == pytest.approx(1 / 41)
    assert test.passed
    assert abs(test.mean - 0.5) < 4 * test.se


class PeeksAtTheTest(ClassifierMixin, BaseEstimator):
    """A leak on purpose: it remembers every label that it ever saw, across folds."""

    memory: dict[str, int] = {}  # noqa: RUF012

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.memory.update(zip(X.groups, y, strict=True))
        return self

    def predict_proba(self, X):
        p = np.array([self.memory.get(who, 0.5) for who in X.groups], dtype=float)
        return np.column_stack([1 - p, p])


@pytest.mark.filterwarnings(
    "ignore:the predictions separate:precisionpain.errors.ConvergenceWarning"
)
def test_the_canary_dies_of_a_leak(signal):
    PeeksAtTheTest.memory.clear()
    result = cross_validate(
        PeeksAtTheTest(), signal, "response", cv=4, baseline=None, n_permutations=6
    )
    assert not result.permutation.passed
    assert not result.checks.loc["permuted labels give an AUC of 0.5", "ok"]


def test_verdicts(result):
    checks = result.checks
    assert checks.loc["no subject straddles a split", "ok"]
    assert result.sample_size.n == 200
    assert "enough people" in checks.index
    assert checks["finding"].str.len().gt(0).all()


def test_machine_readable(result):
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["synthetic"] is True
    assert record["fold_key"] == result.fold_key
    assert {row["metric"] for row in record["summary"]} == set(result.summary().index)
    assert not any(i in json.dumps(record) for i in result.cohort.index)


def test_the_repr_is_honest(result):
    text = repr(result)
    assert "SYNTHETIC" in text
    assert "baseline" in text
    assert not any(i in text for i in result.cohort.index)


def test_same_seed_same_figures(signal):
    one, two = (
        cross_validate(clinical_model("logistic"), signal, "response", cv=3, n_bootstrap=50)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one.summary(), two.summary())
    np.testing.assert_array_equal(one.permutation.null, two.permutation.null)


def test_shap_adds_up(signal):
    for name, link in (("logistic", "log odds"), ("xgboost", "log odds"),
                       ("random_forest", "probability")):  # fmt: skip
        options = {"n_estimators": 30} if name != "logistic" else {}
        result = cross_validate(
            clinical_model(name, **options), signal, "response", cv=3, keep_models=True,
            baseline=None,
        )  # fmt: skip
        explanation = shap_values(result)
        assert explanation.unit == link
        p = result.predictions["p"].reindex(explanation.values.index).to_numpy()
        total = explanation.base + explanation.values.sum(axis=1).to_numpy()
        expected = p if link == "probability" else np.log(p / (1 - p))
        np.testing.assert_allclose(total, expected, atol=2e-5)
        importance = explanation.importance()
        assert importance.index[0] == "x"
        assert importance.loc["x", "direction"] == 1


def test_shap_needs_the_models(signal):
    result = cross_validate(clinical_model("logistic"), signal, "response", cv=3)
    with pytest.raises(MissingModalityError, match="keep_models=True"):
        shap_values(result)


def test_subject_kfold_is_the_default(signal):
    result = cross_validate(clinical_model("logistic"), signal, "response")
    expected = [t.tolist() for _, t in SubjectKFold(5).split(signal, result.y)]
    assert [t.tolist() for _, t in result.splits] == expected


def test_the_same_folds_mean_the_same_permutations(signal, result):
    """Folds that are used again must still be drawn anew for permuted labels."""
    model = clinical_model("logistic")
    alone = cross_validate(model, signal, "response", cv=4, n_permutations=4)
    again = cross_validate(model, signal, "response", cv=result, n_permutations=4)
    np.testing.assert_array_equal(alone.permutation.null, again.permutation.null)
    np.testing.assert_array_equal(alone.permutation.null[:4], result.baseline.permutation.null[:4])


def test_proportions_have_intervals_of_some_width(signal):
    """A bootstrap of 10 in 10 has none."""
    result = cross_validate(clinical_model("logistic"), signal, "response", threshold=0.0)
    row = result.summary().loc["sensitivity"]
    assert row["estimate"] == 1
    assert row["ci_low"] == pytest.approx(1 / (1 + 1.959964**2 / result.y.sum()), abs=1e-6)


def test_shap_sees_what_the_model_saw():
    """A column that was allowed by name is there for the explanation too."""
    model = clinical_model(
        "logistic", columns=["age", "recurrence_days"], allow=["recurrence_days"]
    )
    result = cross_validate(
        model, toy_cohort(80), "response", cv=3, allow=["recurrence_days"], keep_models=True
    )
    assert list(shap_values(result).values) == ["age", "recurrence_days"]


# --- weights that a model brings along ------------------------------------------------------


class Weights(BaseEstimator):
    """Trained elsewhere, on people that it remembers; a plain clone of it has forgotten."""

    def fit(self, people):
        self.people_ = set(people)
        return self

    def saw(self, people):
        check_is_fitted(self, "people_")
        return np.array([person in self.people_ for person in people])


class FromWeights(TransformerMixin, BaseEstimator):
    """Features by fitted weights, which all clones share, as those of the nerves do."""

    def __init__(self, weights=None, shared=True):
        self.weights = weights
        self.shared = shared

    def __sklearn_clone__(self):
        weights = self.weights if self.shared else clone(self.weights)
        return type(self)(weights, self.shared)

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.subjects[["x"]].to_numpy()


def test_weights_that_saw_the_people_are_refused(signal):
    def score(weights, shared=True):
        model = make_pipeline(FromWeights(weights, shared), LogisticRegression())
        return cross_validate(model, signal, "response", cv=4, baseline=None, n_permutations=0)

    known = Weights().fit(["s003", "s004", "somebody else"])
    with pytest.raises(LeakageError, match=r"2 of the 200 people.*training data of the Weights"):
        score(known)
    fine = score(Weights().fit(["somebody else"])).auc.auc
    assert score(Weights()).auc.auc == fine
    # What the folds fit anew has forgotten whom it saw.
    assert score(known, shared=False).auc.auc == fine
