"""Cross-validation of the time to an event: what is pooled, what is compared, what can't leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold

import precisionpain as pp
from precisionpain.cohort import Cohort, Outcome
from precisionpain.errors import (
    AlignmentError,
    ComparisonError,
    DataWarning,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.evaluation import (
    ClinicalCox,
    LeaveSiteOut,
    RepeatedSubjectKFold,
    cross_validate,
    cross_validate_survival,
)
from precisionpain.stats import (
    cumulative_dynamic_auc,
    cumulative_incidence,
    harrell_c,
    integrated_brier_score,
    kaplan_meier,
    uno_c,
)

TIMES = [300.0, 900.0]


def simulated(n=180, seed=0, *, strength=1.0):
    """One real predictor, one of noise, three sites, and reoperations beside recurrences."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    first = 1200 * (rng.exponential(size=n) / np.exp(strength * x)) ** (1 / 1.3)
    other, lost = rng.exponential(6000, n), rng.uniform(300, 2200, n)
    time = np.minimum(np.minimum(first, other), lost)
    people = pd.DataFrame(
        {"x": x, "noise": rng.normal(size=n), "site": rng.choice(["A", "B", "C"], n)},
        index=[f"s{i:03d}" for i in range(n)],
    )
    people["days"], people["back"] = time, time == first
    people["reoperated"] = time == other
    columns = {c: pp.cohort.Column(role="outcome") for c in ("days", "back", "reoperated")}
    cohort = Cohort(people, name="simulated", synthetic=True, columns=columns)
    return cohort.with_outcome("recurrence", kind="survival", time="days", event="back")


def validated(model=None, cohort=None, outcome="recurrence", **options):
    settings = {"times": TIMES, "n_bootstrap": 40, "baseline": None, "cv": 4, **options}
    return cross_validate_survival(
        ClinicalCox(["x"]) if model is None else model,
        simulated() if cohort is None else cohort,
        outcome,
        **settings,
    )


@pytest.fixture(scope="module")
def people():
    return simulated()


@pytest.fixture(scope="module")
def result(people):
    model = pp.fusion.CoxRidge(variance=0.3)
    return validated(model, people, baseline=ClinicalCox(["noise"]), keep_models=True, name="cox")


# --- what it holds ------------------------------------------------------------------------


def test_predictions_are_out_of_fold(people, result):
    predictions = result.predictions
    assert predictions.index.is_unique
    assert set(predictions.index) == set(people.index)
    y = people.outcome("recurrence")
    np.testing.assert_array_equal(predictions["time"], y["time"].reindex(predictions.index))
    for fold, rows in predictions.groupby("fold"):
        train, test = result.splits[fold]
        assert set(rows.index) == set(people.index[test])
        again = pp.fusion.CoxRidge(variance=0.3).fit(people[train], y.iloc[train])
        np.testing.assert_allclose(again.predict(people[test]), rows["risk"])
        np.testing.assert_allclose(
            again.predict_survival(people[test], TIMES),
            rows[["survival@300", "survival@900"]],
        )
    events = y["event"].to_numpy()
    counts = [int(events[test].sum()) for _, test in result.splits]
    assert max(counts) - min(counts) <= 1


def test_figures_of_a_fold_are_those_of_stats(people, result):
    y = people.outcome("recurrence")
    frame = result.frame()
    assert len(frame) == 4
    for fold, (train, test) in enumerate(result.splits):
        one, rest = y.iloc[test], y.iloc[train]
        training = {"train_time": rest["time"], "train_event": rest["event"]}
        model = result.models[fold]
        risk = model.predict(people[test])
        row = frame.loc[fold]
        assert row["n_test"] == len(test)
        assert row["harrell_c"] == harrell_c(one["time"], one["event"], risk).c
        uno = uno_c(one["time"], one["event"], risk, tau=900.0, **training)
        assert row["uno_c"] == pytest.approx(uno.c, abs=1e-12)
        area = cumulative_dynamic_auc(one["time"], one["event"], risk, TIMES, **training)
        np.testing.assert_allclose(row[["auc@300", "auc@900"]].astype(float), area["auc"])
        grid = np.linspace(30, 900, 30)
        survival = model.predict_survival(people[test], grid)
        whole = integrated_brier_score(one["time"], one["event"], survival, grid, **training)
        assert row["ibs"] == pytest.approx(whole["brier"])
        assert row["ibs_scaled"] == pytest.approx(whole["scaled"])


def test_pooled_pairs_are_within_folds(people, result):
    predictions, summary = result.predictions, result.summary()
    expected = harrell_c(
        predictions["time"], predictions["event"], predictions["risk"], strata=predictions["fold"]
    )
    assert summary.loc["harrell_c", "estimate"] == pytest.approx(expected.c)
    area = cumulative_dynamic_auc(
        predictions["time"], predictions["event"], 1 - predictions["survival@900"], [900.0]
    )
    assert summary.loc["auc@900", "estimate"] == pytest.approx(area["auc"].iloc[0])
    known = summary.dropna()
    assert len(known) == len(summary)
    assert (known["ci_low"] <= known["estimate"] + 1e-12).all()
    assert (known["estimate"] <= known["ci_high"] + 1e-12).all()
    assert summary.loc["ibs_scaled", "estimate"] > 0
    pd.testing.assert_frame_equal(summary, result.summary())
    area = result.time_auc()
    assert list(area.index) == TIMES
    assert area.loc[900.0, "auc"] == summary.loc["auc@900", "estimate"]
    assert "Uno's C" in repr(result)
    assert "SYNTHETIC" in repr(result)


def test_the_bootstrap_interval_is_about_that_of_the_jackknife(people):
    found = validated(cohort=people, n_bootstrap=200)
    p = found.predictions
    expected = harrell_c(p["time"], p["event"], p["risk"], strata=p["fold"])
    row = found.summary().loc["harrell_c"]
    assert row["ci_high"] - row["ci_low"] == pytest.approx(
        expected.ci_high - expected.ci_low, rel=0.25
    )


def test_baseline_and_comparison(people, result):
    assert result.baseline.fold_key == result.fold_key
    found = result.increment
    assert found.measure == "uno_c"
    assert found.corrected.mean > 0.1
    assert "uno_c +" in repr(found)
    expected = result.frame()["ibs"] - result.baseline.frame()["ibs"]
    np.testing.assert_allclose(result.compare(result.baseline, "ibs").folds, expected)
    with pytest.raises(FormatError, match=r"no metric 'auc'.*harrell_c, uno_c"):
        result.compare(result.baseline, "auc")
    again = validated(cohort=people, cv=result)
    assert again.fold_key == result.fold_key
    with pytest.raises(ComparisonError, match=r"different folds.*cv="):
        result.compare(validated(cohort=people, cv=5))
    with pytest.raises(ComparisonError, match="different people"):
        result.compare(validated(cohort=people[:150]))
    with pytest.raises(ComparisonError, match="different horizons"):
        result.compare(validated(cohort=people, times=[600.0]))
    with pytest.raises(AlignmentError, match="other people"):
        validated(cohort=people[:150], cv=result)
    with pytest.raises(ComparisonError):
        validated(cohort=people, cv=5, baseline=result)


def test_the_clinic_is_the_default_baseline(people):
    found = validated(pp.fusion.CoxRidge(variance=0.3), people, baseline="clinical", cv=3)
    assert found.baseline.name == "clinical baseline"
    alone = validated(ClinicalCox(), people, baseline="clinical", cv=3)
    assert alone.baseline is None
    with pytest.raises(MissingModalityError, match="no baseline"):
        _ = alone.increment
    with pytest.raises(FormatError, match="baseline is 'clinical'"):
        validated(cohort=people, baseline="km")


def test_any_form_of_the_outcome(people):
    y = people.outcome("recurrence")
    expected = validated(cohort=people, cv=3).frame()
    definition = Outcome(kind="survival", time="days", event="back")
    for form in (y, y[::-1], y.to_numpy(), definition):
        pd.testing.assert_frame_equal(
            validated(cohort=people, outcome=form, cv=3).frame(), expected
        )


def test_people_without_the_outcome_leave_with_a_line(people):
    y = people.outcome("recurrence")
    y.iloc[:7] = np.nan
    found = validated(cohort=people, outcome=y)
    assert len(found.y) == len(people) - 7
    assert found.cohort.flow.frame()["excluded"].iloc[-1] == 7


def test_repeats_and_sites(people):
    cv = RepeatedSubjectKFold(3, n_repeats=2)
    found = validated(cohort=people, cv=cv)
    assert len(found.predictions) == 2 * len(people)
    assert len(found.predicted_risk()) == len(people)
    each = []
    for _, p in found.predictions.groupby("repeat"):
        each.append(harrell_c(p["time"], p["event"], p["risk"], strata=p["fold"]).c)
    assert found.summary().loc["harrell_c", "estimate"] == pytest.approx(np.mean(each))
    sites = validated(cohort=people, cv=LeaveSiteOut())
    assert sites.frame()["site"].tolist() == ["A", "B", "C"]


# --- groups of risk -----------------------------------------------------------------------


def test_groups_of_risk(people, result):
    groups = result.risk_groups()
    assert groups.value_counts().tolist() == [60, 60, 60]
    assert list(groups.cat.categories) == ["low", "middle", "high"]
    risk = result.predicted_risk()
    assert risk[groups == "low"].max() <= risk[groups == "middle"].min()
    assert list(result.risk_groups(4).cat.categories) == ["1 (lowest)", "2", "3", "4 (highest)"]
    curves = result.curves()
    y = people.outcome("recurrence")[(groups == "high").reindex(people.index)]
    pd.testing.assert_frame_equal(curves["high"].table, kaplan_meier(y["time"], y["event"]).table)
    at = {name: curve.at([900.0])["survival"].iloc[0] for name, curve in curves.items()}
    assert at["low"] > at["middle"] > at["high"]
    assert result.log_rank().p_value < 0.001
    with pytest.raises(FormatError, match="at least 2 groups"):
        result.risk_groups(1)


def test_calibration_at_a_horizon(result):
    found = result.calibration(300.0)
    assert found.horizon == 300
    assert found.n == 180
    assert found.slope_low < 1 < found.slope_high
    assert found.observed_expected == pytest.approx(1, abs=0.2)
    with pytest.raises(FormatError, match=r"no prediction at 500.*300, 900"):
        result.calibration(500.0)


def test_competing_events(people, result):
    found = result.cumulative_incidence("reoperated", 2)
    assert list(found) == ["low", "high"]
    cause = result.causes("reoperated")
    assert (cause == 2).sum() == people.subjects["reoperated"].sum() > 5
    high = (result.risk_groups(2) == "high").to_numpy()
    expected = cumulative_incidence(result.y["time"][high], cause[high])
    pd.testing.assert_frame_equal(found["high"].table, expected.table)
    with pytest.raises(FormatError, match="people have the event and the competing one"):
        result.causes(people.subjects["back"])
    with pytest.raises(MissingModalityError, match="no column 'death'"):
        result.causes("death")
    with pytest.raises(FormatError, match="170 competing flags are missing"):
        result.causes(people.subjects["reoperated"][:10])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("risk_groups", {}),
        ("calibration", {"horizon": 300.0}),
        ("time_auc", {}),
        ("incidence", {"competing": "reoperated", "names": ("recurrence", "reoperation")}),
    ],
)
def test_pictures(result, kind, options):
    axes = result.plot(kind, **options)
    told = [text.get_text() for text in axes.texts]
    assert "SYNTHETIC DATA" in told
    assert axes.get_xlabel()
    axes.figure.canvas.draw()
    with pytest.raises(MissingModalityError, match="no picture 'roc'"):
        result.plot("roc")


# --- horizons -----------------------------------------------------------------------------


def test_horizons_past_the_follow_up_are_moved_and_told(people):
    last = people.subjects["days"].max()
    with pytest.warns(DataWarning, match=r"horizons 2500, 5000 are beyond the follow-up"):
        found = validated(cohort=people, times=[900.0, 2500.0, 5000.0])
    table = found.horizons
    assert table["clipped"].tolist() == [False, True, True]
    assert table["time"].iloc[1] == table["time"].iloc[2] <= last
    shortest = min(people.subjects["days"].to_numpy()[train].max() for train, _ in found.splits)
    assert table["time"].iloc[2] <= shortest
    assert len(found.notes) == 1
    assert "note" in repr(found)
    # What was asked for finds what was used.
    assert found.calibration(5000.0).horizon == table["time"].iloc[2]
    assert len([c for c in found.frame() if c.startswith("auc@")]) == 2


# --- leaks --------------------------------------------------------------------------------


class Asking(BaseEstimator):
    """A model that asks for what it must not have."""

    def __init__(self, ask):
        self.ask = ask

    def fit(self, X, y):
        self.ask(X)
        return self

    def predict(self, X):
        return np.zeros(len(X))

    def predict_survival(self, X, times):
        return pd.DataFrame(0.5, X.index, np.atleast_1d(times))


class Mute(Asking):
    predict_survival = property()  # reading it is an AttributeError


def test_what_a_model_may_not_see(people):
    for ask in (
        lambda X: X.outcome("recurrence"),
        lambda X: X.predictor_frame(["reoperated"]),
        lambda X: X.predictor_frame(["days"]),
    ):
        with pytest.raises(LeakageError):
            validated(Asking(ask), people)
    seen = []
    validated(Asking(lambda X: seen.append(set(X.subjects.columns))), people)
    assert all(not columns & {"days", "back", "reoperated"} for columns in seen)


def test_columns_of_an_outcome_made_on_the_spot_are_hidden():
    cohort = simulated()
    bare = Cohort(cohort.subjects, name="bare")
    definition = Outcome(kind="survival", time="days", event="back")
    with pytest.raises(LeakageError):
        validated(Asking(lambda X: X.predictor_frame(["days"])), bare, definition)


def test_weights_that_know_the_people_are_refused(people):
    class Knowing(Asking):
        def saw(self, ids):
            return np.isin(ids, ["s001", "s002"])

    with pytest.raises(LeakageError, match="2 of the 180 people were in the training data"):
        validated(Knowing(lambda X: None), people)


def test_splits_that_share_people_are_refused(people):
    straddling = [(np.arange(0, 100), np.arange(90, 180))]
    with pytest.raises(LeakageError, match="stand in training and in test"):
        validated(cohort=people, cv=straddling)
    assert len(validated(cohort=people, cv=KFold(3, shuffle=True, random_state=0)).frame()) == 3


@pytest.mark.parametrize("kind", ["clinical", "cox", "weibull", "xgboost", "deep"])
def test_changing_the_test_people_changes_nothing_that_was_fitted(kind):
    one = simulated(120, seed=3)
    splits = [(np.arange(0, 80), np.arange(80, 120))]
    rng = np.random.default_rng(0)
    table = one.subjects.copy()
    late = table.index[80:]
    table.loc[late, ["x", "noise"]] = rng.normal(1, 3, (40, 2))
    table.loc[late, "days"] = table.loc[late, "days"].to_numpy()[::-1] * 0.7
    table.loc[late, "back"] = rng.permutation(table.loc[late, "back"].to_numpy())
    columns = {c: pp.cohort.Column(role="outcome") for c in ("days", "back", "reoperated")}
    two = Cohort(table, columns=columns).with_outcome(
        "recurrence", kind="survival", time="days", event="back"
    )
    quick = {"xgboost": {"n_estimators": 20}, "deep": {"max_steps": 20}}.get(kind, {})
    model = ClinicalCox() if kind == "clinical" else pp.fusion.survival_model(kind, **quick)
    fits = [
        validated(clone(model), cohort, cv=splits, keep_models=True, n_bootstrap=2, times=[300.0])
        for cohort in (one, two)
    ]
    seen = [fit.models[0].predict_survival(one[:80], [300.0]) for fit in fits]
    pd.testing.assert_frame_equal(*seen, check_exact=True)
    np.testing.assert_array_equal(*(fit.models[0].predict(one[:80]) for fit in fits))


@pytest.mark.parametrize("kind", ["cox", "xgboost"])
def test_permuted_outcomes_give_chance(kind):
    cohort = simulated(120, seed=4, strength=2.0)
    y = cohort.outcome("recurrence")
    quick = {"variance": 0.3} if kind == "cox" else {"n_estimators": 15, "n_folds": 2}
    found = []
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(y))
        permuted = pd.DataFrame(y.to_numpy()[order], y.index, y.columns)
        model = pp.fusion.survival_model(kind, **quick)
        result = validated(model, cohort, permuted, cv=3, n_bootstrap=2)
        p = result.predictions
        found.append(harrell_c(p["time"], p["event"], p["risk"], strata=p["fold"]).c)
    se = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - 0.5) < 4 * se
    assert se < 0.04
    true = validated(pp.fusion.survival_model(kind, **quick), cohort)
    p = true.predictions
    assert harrell_c(p["time"], p["event"], p["risk"], strata=p["fold"]).c > 0.75


# --- what is refused ----------------------------------------------------------------------


def test_outcomes_and_models_that_make_no_sense(people):
    y = people.outcome("recurrence")
    with pytest.raises(FormatError, match="expected a Cohort, found DataFrame"):
        cross_validate_survival(ClinicalCox(), people.subjects, "recurrence")
    with pytest.raises(FormatError, match="'x' isn't an outcome of survival"):
        validated(cohort=people, outcome="x")
    with pytest.raises(FormatError, match="nobody of 180 people has the event"):
        validated(cohort=people, outcome=y.assign(event=0.0))
    with pytest.raises(FormatError, match=r"an event is 0 or 1, found 2\.0"):
        validated(cohort=people, outcome=y.assign(event=2.0))
    with pytest.raises(AlignmentError, match="names rows that the cohort lacks: 's999'"):
        validated(cohort=people, outcome=y.rename({"s000": "s999"}))
    with pytest.raises(AlignmentError, match="179 values for 180 rows"):
        validated(cohort=people, outcome=y.to_numpy()[:179])
    with pytest.raises(FormatError, match=r"found the shape \(180,\)"):
        validated(cohort=people, outcome=y["time"].to_numpy())
    with pytest.raises(FormatError, match="horizons lie above 0"):
        validated(cohort=people, times=[0.0, 300.0])
    with pytest.raises(FormatError, match="has no predict_survival"):
        validated(Mute(lambda X: None), people)
    with pytest.raises(FormatError, match=r"takes binary ones.*cross_validate_survival"):
        cross_validate(pp.evaluation.clinical_model(), people, "recurrence")
    nerves = pp.datasets.sample_tn(n_subjects=40).per_nerve()
    with pytest.raises(FormatError, match="people have one time each; found a cohort of nerves"):
        cross_validate_survival(ClinicalCox(), nerves, "recurrence")
    few = y.assign(event=(np.arange(180) == 3).astype(float))
    with pytest.raises(FormatError, match="the training people of fold 0 has the event"):
        validated(cohort=people, outcome=few, cv=[(np.arange(50, 180), np.arange(50))])
    with pytest.raises(FormatError, match="variance lies above 0"):
        ClinicalCox(variance=0).fit(people, y)


# --- the sample cohort --------------------------------------------------------------------


def test_the_truth_of_the_sample_ranks_better_than_models():
    cohort = pp.datasets.sample_tn(n_subjects=500, random_state=11).require("recurrence")
    model = pp.fusion.CoxRidge({"clinic": "clinical", "nerves": "nerve_measures"}, variance=0.1)
    found = cross_validate_survival(model, cohort, "recurrence", baseline=None, n_bootstrap=2)
    p = found.predictions
    truth = cohort.subjects["true_recurrence_risk"].reindex(p.index)
    best = harrell_c(p["time"], p["event"], truth, strata=p["fold"])
    mine = harrell_c(p["time"], p["event"], p["risk"], strata=p["fold"])
    assert best.c > 0.65
    assert 0.5 < mine.c < best.c


def test_what_is_written_down_names_nobody(people, result):
    import json

    record = result.to_dict()
    text = json.dumps(record, allow_nan=False)
    assert not any(person in text for person in people.index)
    assert record["n_events"] == int(people.outcome("recurrence")["event"].sum())
    assert record["increment"]["baseline"] == "baseline"
    assert len(record["folds"]) == 4
