"""Bedside models, the study's folds, and what they add to neck pain alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

import precisionpain as pp
from precisionpain.errors import FormatError, LeakageError, MissingModalityError
from precisionpain.mtbi import (
    BEDSIDE_FEATURES,
    bedside_increment,
    bedside_model,
    paper_folds,
)

SMALL = {"random_forest": {"n_estimators": 30}, "xgboost": {"n_estimators": 30}, "logistic": {}}


@pytest.fixture(scope="module")
def cohort():
    return pp.datasets.sample_mtbi()


def cross_validated(model, cohort, **options):
    options = {"baseline": None, "n_bootstrap": 50, "n_permutations": 1, **options}
    return pp.evaluation.cross_validate(model, cohort, "chronic_pain", 4, **options)


@pytest.mark.parametrize("kind", SMALL)
def test_a_model_finds_a_planted_signal_and_shap_names_it(kind, cohort):
    """Somebody's pain is a coin toss, but for the total score that decides it."""
    y = cohort.outcome("chronic_pain").to_numpy()
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(
        {name: rng.permutation(cohort.subjects[name]) for name in BEDSIDE_FEATURES},
        index=cohort.subject_ids,
    )
    noise["pcs_total"] = 10.0 + 20 * y + rng.normal(size=len(y))
    planted = cohort.with_columns(noise)
    model = bedside_model(kind, **SMALL[kind])
    result = cross_validated(model, planted, keep_models=True)
    assert result.auc.auc > 0.97
    explanation = pp.evaluation.shap_values(result)
    assert list(explanation.values) == list(BEDSIDE_FEATURES)
    ranked = explanation.importance()
    assert ranked.index[0] == "pcs_total"
    assert ranked.loc["pcs_total", "direction"] == 1


def test_shap_values_add_up_to_the_prediction(cohort):
    result = cross_validated(
        bedside_model("random_forest", **SMALL["random_forest"]), cohort, keep_models=True
    )
    explanation = pp.evaluation.shap_values(result)
    total = pd.Series(explanation.base, explanation.values.index) + explanation.values.sum(axis=1)
    visible = cohort.known_at_index()
    for (_, test), model in zip(result.splits, result.models, strict=True):
        expected = model.predict_proba(visible[test])[:, 1]
        np.testing.assert_allclose(total[visible.index[test]], expected, atol=1e-6)


@pytest.mark.parametrize("kind", SMALL)
def test_missing_values_are_filled_from_the_training_people(kind, cohort):
    """What the tested people have can't change the model, nor what fills their gaps."""
    train, test = cohort[np.arange(100)], cohort[np.arange(100, 128)]
    gap = pd.DataFrame({"pcs_total": train.subjects["pcs_total"].to_numpy()}, train.subject_ids)
    gap.iloc[:30] = np.nan
    holed = cohort.with_columns(gap)  # the tested people have no score at all
    y = train.outcome("chronic_pain")
    model = bedside_model(kind, **SMALL[kind]).fit(holed[np.arange(100)], y)
    median = gap["pcs_total"].median()
    position = list(model[0].get_feature_names_out()).index("pcs_total")
    if kind != "logistic":
        assert model["impute"].statistics_[position] == median
    filled = test.with_columns(pd.DataFrame({"pcs_total": median}, index=test.subject_ids))
    np.testing.assert_allclose(
        model.predict_proba(holed[np.arange(100, 128)]), model.predict_proba(filled)
    )


def test_results_follow_the_people_not_their_order(cohort):
    order = np.random.default_rng(1).permutation(len(cohort))
    model = bedside_model("logistic")
    one = model.fit(cohort, cohort.outcome("chronic_pain")).predict_proba(cohort)[:, 1]
    shuffled = cohort[order]
    other = model.fit(shuffled, shuffled.outcome("chronic_pain")).predict_proba(shuffled)[:, 1]
    np.testing.assert_allclose(other, one[order], atol=1e-6)


def test_the_same_seed_gives_the_same_forest(cohort):
    y = cohort.outcome("chronic_pain")
    runs = [
        bedside_model(n_estimators=10, random_state=seed).fit(cohort, y).predict_proba(cohort)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_wrong_arguments_are_named(cohort):
    with pytest.raises(FormatError, match="'random_forest', 'xgboost', 'logistic', found 'svm'"):
        bedside_model("svm")
    with pytest.raises(FormatError, match="list of columns"):
        bedside_model(features="age")
    with pytest.raises(MissingModalityError, match="'shoe_size'"):
        bedside_model(features=["shoe_size"]).fit(cohort, cohort.outcome("chronic_pain"))
    with pytest.raises(LeakageError, match="head_12mo"):
        bedside_model(features=["head_12mo"]).fit(cohort, cohort.outcome("chronic_pain"))


@pytest.mark.parametrize("seed", [0, 53, 123])
def test_the_folds_are_those_of_scikit_learn(cohort, seed):
    y = cohort.outcome("chronic_pain").to_numpy()
    for stratified, oracle in ((False, KFold), (True, StratifiedKFold)):
        ours = paper_folds(stratified=stratified, random_state=seed).split(cohort, y)
        theirs = oracle(8, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
        for (_, test), (_, expected) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(test, expected)


def test_the_increment_is_over_neck_pain_in_the_same_folds(cohort):
    options = {"n_bootstrap": 50, "n_permutations": 1}
    result = bedside_increment(cohort, kind="logistic", **options)
    alone = result.baseline
    assert len(result.splits) == 8
    for (_, test), (_, other) in zip(result.splits, alone.splits, strict=True):
        np.testing.assert_array_equal(test, other)
    assert alone.n_features == 1
    # One predictor, one rising curve: each fold ranks people as the rating itself does.
    neck = cohort.subjects["neck_baseline"].to_numpy(dtype=float)
    y = cohort.outcome("chronic_pain").to_numpy()
    expected = [pp.stats.auc(y[test], neck[test]) for _, test in alone.splits]
    np.testing.assert_allclose(alone.frame()["auc"], expected)
    difference = result.frame()["auc"] - alone.frame()["auc"]
    assert result.increment.corrected.mean == pytest.approx(difference.mean())


def test_the_increment_of_a_feature_over_itself_is_nothing(cohort):
    result = bedside_increment(
        cohort, kind="logistic", features=["neck_baseline"], n_bootstrap=50, n_permutations=1, cv=4
    )
    assert result.increment.corrected.mean == 0
