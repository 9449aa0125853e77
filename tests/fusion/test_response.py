"""The recommended model of the response: probabilities, sets, and when it says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

import precisionpain as pp
from precisionpain.cohort import Outcome
from precisionpain.errors import FormatError, MissingModalityError
from precisionpain.evaluation import cross_validate
from precisionpain.fusion import (
    EarlyFusion,
    ResponseModel,
    mvd_response_model,
    recommended_blocks,
    response_outcome,
    treatment_context,
)
from precisionpain.fusion._conformal import class_thresholds, within
from precisionpain.fusion._recalibrate import fit_line

from .people import informed, numbers

CLINIC = {"clinic": "clinical"}


@pytest.fixture(scope="module")
def cohort():
    return pp.datasets.sample_tn(160, 5)


@pytest.fixture(scope="module")
def fitted(cohort):
    return mvd_response_model(blocks={"clinic": "clinical", "scan": "diffusion"}).fit(cohort)


# --- which response -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bni_1", "bni_1_2", "bni_1_3b", "pain_reduction_50"])
def test_responses_are_those_of_the_cohort_among_the_decompressed(cohort, name):
    mine = response_outcome(name).values(cohort.subjects)
    mvd = (cohort.subjects["index_surgery"] == "MVD").to_numpy()
    pd.testing.assert_series_equal(mine[mvd], cohort.outcome(name)[mvd], check_names=False)
    assert mine[~mvd].isna().all()
    everybody = response_outcome(name, surgery=None).values(cohort.subjects)
    pd.testing.assert_series_equal(everybody, cohort.outcome(name), check_names=False)


def test_the_scale_as_it_is_written():
    written = ["I", "II", "IIIa", "IIIb", "IV", "V", None]
    people = pd.DataFrame({"bni_12mo": written, "index_surgery": "MVD"})
    best = {"bni_1": 1, "bni_1_2": 2, "bni_1_3a": 3, "bni_1_3b": 4}
    for name, n in best.items():
        values = response_outcome(name).values(people)
        assert values.tolist()[:6] == [1.0] * n + [0.0] * (6 - n)
        assert np.isnan(values[6])


@pytest.mark.parametrize("name", ["bni_2", "bni", "pain_reduction_0", "pain_reduction_120", "x"])
def test_other_responses_are_refused(name):
    with pytest.raises(FormatError, match="there is no response"):
        response_outcome(name)


def test_without_labels_it_learns_from_those_who_have_the_response(cohort, fitted):
    known = cohort.require("mvd_response")
    y = known.outcome("mvd_response").astype(int)
    same = clone(fitted).fit(known.known_at_index(), y)
    assert fitted.left_out_.index.equals(known.index)
    np.testing.assert_allclose(fitted.predict_proba(cohort), same.predict_proba(cohort), rtol=1e-10)


def test_a_definition_of_ones_own(cohort):
    outcome = Outcome(column="bni_12mo", at_most=4)
    model = mvd_response_model(outcome, CLINIC).fit(cohort)
    n = int(outcome.values(cohort.subjects).notna().sum())
    assert len(model.left_out_) == n > len(cohort.require("mvd_response"))
    with pytest.raises(FormatError, match="survival"):
        mvd_response_model(cohort.outcomes["recurrence"], CLINIC).fit(cohort)
    with pytest.raises(MissingModalityError, match="lacks"):
        mvd_response_model(Outcome(column="absent", at_most=1), CLINIC).fit(cohort)


def test_recommended_blocks_fit(cohort):
    blocks = recommended_blocks(cohort)
    assert next(iter(blocks)) == "clinical"
    assert set(blocks) == {"clinical", *cohort.measurements, *cohort.assays}
    truth = cohort.measurements["diffusion"]
    with_truth = cohort.with_measurements("nerve_truth", truth)
    assert "nerve_truth" not in recommended_blocks(with_truth)
    known = cohort.require("mvd_response")
    model = EarlyFusion(blocks, max_models=2).fit(known, known.outcome("mvd_response"))
    assert (model.blocks_["left_out"] == "").all()


# --- sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_sets_keep_their_promise_to_each_class(confidence):
    """With exchangeable people the share is at least what was asked for, on average over draws."""
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(800):
        y = (rng.random(61) < 0.7).astype(int)
        eta = rng.normal(size=61) + y
        p1 = special.expit(eta)
        p = np.column_stack([1 - p1, p1])
        lowest = class_thresholds(p[:60], y[:60], confidence)
        kept.append((y[60], within(p[60], lowest)[y[60]]))
    table = pd.DataFrame(kept, columns=["y", "kept"])
    for _, own in table.groupby("y")["kept"]:
        error = np.sqrt(confidence * (1 - confidence) / len(own))
        assert confidence - 3 * error < own.mean() < confidence + 3 * error + 0.04


def test_a_class_of_too_few_is_in_every_set():
    p = np.column_stack([np.linspace(0.1, 0.9, 20), np.linspace(0.9, 0.1, 20)])
    y = np.r_[np.zeros(8), np.ones(12)].astype(int)
    lowest = class_thresholds(p, y, 0.9)  # of 8 people nobody is in the lowest tenth of nine
    assert lowest[0] == 0
    assert lowest[1] == p[y == 1, 1].min()
    assert class_thresholds(p, np.r_[np.zeros(9), np.ones(11)].astype(int), 0.9)[0] > 0


def test_sets_of_people_left_out_hold_the_truth():
    """Over cohorts: the model that is used is trained on all, the sets on people left out."""
    kept = []
    for seed in range(8):
        cohort, y = informed(240, seed, strengths={"a": 1.5, "b": 1.0}, p=3)
        model = ResponseModel({"a": "a", "b": "b"}, confidence=0.8).fit(cohort[:120], y[:120])
        sets = model.predict_set(cohort[120:]).to_numpy()
        truth = y[120:]
        kept.append([sets[truth == c, c].mean() for c in (0, 1)])
    mean, error = np.mean(kept, axis=0), np.std(kept, axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(mean - 0.8) < 3 * error + 0.02).all(), (mean, error)


# --- calibration ----------------------------------------------------------------------------


def test_the_line_is_the_penalised_logistic_regression():
    rng = np.random.default_rng(1)
    eta = rng.normal(0, 2, 4000)
    y = (rng.random(4000) < special.expit(0.5 * eta + 0.3)).astype(int)
    offset, slope = fit_line(eta, y)
    plain = LogisticRegression(C=1e10, tol=1e-10).fit(eta[:, None], y)
    assert slope == pytest.approx(plain.coef_[0, 0], abs=0.01)  # so many people decide
    assert offset == pytest.approx(plain.intercept_[0], abs=0.01)
    assert special.expit(offset + slope * eta).mean() == pytest.approx(y.mean(), abs=1e-5)
    few = fit_line(eta[:30], y[:30])[1]
    alone = LogisticRegression(C=1e10).fit(eta[:30, None], y[:30]).coef_[0, 0]
    assert min(alone, 1) <= few <= max(alone, 1)  # so few don't
    assert fit_line(-eta, y)[1] > 0


def test_probabilities_are_recalibrated_ones_of_the_fusion(cohort, fitted):
    eta = fitted.fusion_.decision_function(cohort)
    p = special.expit(fitted.offset_ + fitted.slope_ * eta)
    np.testing.assert_allclose(fitted.predict_proba(cohort)[:, 1], p)
    left = fitted.left_out_
    assert left["p"].mean() == pytest.approx(left["y"].mean(), abs=1e-5)


# --- what is said of a person ---------------------------------------------------------------


def test_what_is_said_hangs_together(cohort, fitted):
    said = fitted.assess(cohort)
    assert said.index.equals(cohort.index)
    np.testing.assert_allclose(said["p"], fitted.predict_proba(cohort)[:, 1])
    assert ((said["p_low"] <= said["p"]) & (said["p"] <= said["p_high"])).all()
    sets = fitted.predict_set(cohort)
    both = sets.all(axis=1)
    np.testing.assert_array_equal(said["set"] == "either", both)
    np.testing.assert_array_equal(said["set"] == "response", sets[1] & ~both)
    np.testing.assert_array_equal(said["answer"] == "not enough information", ~said["informed"])
    told = said[said["informed"]]
    assert (told.loc[told["answer"] == "response likely", "p"] >= 0.5).all()
    assert (told.loc[told["answer"] == "response unlikely", "p"] < 0.5).all()
    assert not any(text in said["reason"].str.cat() for text in cohort.index)


def test_less_known_is_more_open(cohort):
    """The same person without a block: a wider interval, less information, no set lost."""
    people, y = informed(150, 3, strengths={"a": 1.0, "b": 2.5})
    model = ResponseModel({"a": "a", "b": "b"}).fit(people, y)
    tables = people.measurements
    without = people.with_measurements("b", tables["b"][:0])
    full, less = model.assess(people), model.assess(without)
    assert (less["p_high"] - less["p_low"]).mean() > (full["p_high"] - full["p_low"]).mean()
    assert (full["information"] == 1).all()
    assert (less["information"] < 0.5).all()
    assert (less["answer"] == "not enough information").all()
    assert less["reason"].str.contains("without b").all()
    anyway = ResponseModel({"a": "a", "b": "b"}, min_information=0.0).fit(people, y)
    assert anyway.assess(without)["informed"].all()
    nothing = without.with_measurements("a", tables["a"][:0])
    assert (anyway.assess(nothing)["reason"] == "no block of data is known").all()


def test_of_people_unlike_all_others_nothing_is_said():
    people, y = informed(100, 4, strengths={"a": 2.0})
    model = ResponseModel({"a": "a"}).fit(people, y)
    table = people.measurements["a"]
    columns = [c for c in table if c.startswith("x")]
    odd = table.assign(**{c: table[c].where(table.index > 0, 6.0) for c in columns})
    said = model.assess(people.with_measurements("a", odd))
    assert not said["informed"].iloc[0]
    assert said["reason"].iloc[0].startswith("further from the training people")
    assert said["informed"].iloc[1:].mean() > 0.95


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"confidence": 0.3}, "confidence is at least 0.5"),
        ({"confidence": 1.0}, "below 1"),
        ({"min_information": -1}, "from 0 to 1"),
        ({"n_folds": 1}, "2 or more"),
    ],
)
def test_settings_that_make_no_sense(cohort, options, text):
    with pytest.raises(FormatError, match=text):
        ResponseModel(CLINIC, **options).fit(cohort)


def test_people_who_make_no_sense():
    people, y = informed(60, 6, strengths={"a": 1.0})
    model = ResponseModel({"a": "a"})
    with pytest.raises(FormatError, match="Cohort"):
        model.fit(numbers(60, 2, 0), y)
    with pytest.raises(FormatError, match="two classes"):
        model.fit(people, np.ones(60))
    with pytest.raises(FormatError, match="at least 20"):
        model.fit(people[:15], y[:15])
    with pytest.raises(FormatError, match="single person"):
        model.fit(people, np.r_[1, np.zeros(59)])
    few = model.fit(people, np.r_[1, 1, 1, np.zeros(57)])  # fewer folds, and no promise broken
    assert few.lowest_[1] == 0


def test_in_a_cross_validation_beside_the_clinic(cohort):
    model = mvd_response_model(blocks={"clinic": "clinical", "scan": "diffusion"}, n_folds=3)
    result = cross_validate(model, cohort, "mvd_response", 3, n_permutations=1, n_bootstrap=50)
    assert result.baseline.name == "clinical baseline"
    assert 0.3 < result.auc.auc < 1


# --- other procedures -----------------------------------------------------------------------


def test_rates_are_counted(cohort):
    found = treatment_context(cohort)
    people = cohort.subjects
    for name in ("MVD", "percutaneous"):
        own = people[people["index_surgery"] == name]["bni_12mo"].astype(float)
        row = found.table.loc[name]
        assert row["n"] == len(own)
        assert row["events"] == (own <= 2).sum()
        assert row["rate"] == pytest.approx((own.dropna() <= 2).mean())
        assert row["ci_low"] < row["rate"] < row["ci_high"]
    assert "none" not in found.table.index
    assert "SYNTHETIC" in repr(found)
    assert any("isn't an effect" in text for text in found.statements)


def test_the_choice_of_the_procedure_shows(cohort):
    """In the synthetic cohort the old, and those without a conflict, have the other one."""
    found = treatment_context(pp.datasets.sample_tn(600, 1))
    assert found.balance.loc["age", "smd"] < 0 < found.balance.loc["sindou_grade", "smd"]
    assert found.balance["smd"].abs().is_monotonic_decreasing
    assert found.choice.ci_low > 0.5


def test_contexts_that_make_no_sense(cohort):
    with pytest.raises(MissingModalityError, match="no column 'op'"):
        treatment_context(cohort, by="op")
    with pytest.raises(MissingModalityError, match="nobody had"):
        treatment_context(cohort, procedure="radiosurgery")
    with pytest.raises(FormatError, match="nothing stands beside"):
        treatment_context(cohort, without=("none", "percutaneous"))
    with pytest.raises(FormatError, match="survival"):
        treatment_context(cohort, cohort.outcomes["recurrence"])
