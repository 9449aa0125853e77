"""What blocks are worth, and what would be said without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import log_loss, roc_auc_score

import precisionpain as pp
from precisionpain.errors import AlignmentError, FormatError, MissingModalityError
from precisionpain.evaluation import ClinicalFeatures, clinical_model, cross_validate
from precisionpain.fusion import (
    FeatureBlock,
    attention_fusion,
    block_model,
    early_fusion,
    explain_fusion,
    late_fusion,
    modality_importance,
    without_block,
)
from precisionpain.fusion._explain.altered import Altered, taken_away
from precisionpain.fusion._explain.drops import _draws, drops
from precisionpain.fusion.modalities import _shuffle

from .people import cohort_of, informed, names, numbers

QUICK = {"gate": None, "n_folds": 3, "n_repeats": 1}


@pytest.fixture(scope="module")
def people():
    cohort = pp.datasets.sample_tn(n_subjects=160, random_state=3).require("mvd_response")
    return cohort, cohort.outcome("mvd_response").astype(int)


# --- without a block ----------------------------------------------------------------------------


def test_without_a_block_a_late_fusion_loses_just_what_that_adds(people):
    cohort, y = people
    blocks = {
        "clinic": "clinical",
        "trees": clinical_model("random_forest", n_estimators=10),
        "nerves": "nerve_measures",
        "csf": FeatureBlock("csf_pea", reduce="pca"),
    }
    model = late_fusion(blocks, spread=0.05, **QUICK).fit(cohort, y)
    before = model.predict_proba(cohort)
    assert "trees" in model.models_  # a whole classifier among them
    found = without_block(model, cohort)
    parts, total = model.contributions(cohort), model.decision_function(cohort)
    np.testing.assert_allclose(found["all", "p"], expit(total), atol=1e-12)
    for name in blocks:
        expected = expit(total - parts[name].fillna(0.0))
        np.testing.assert_allclose(found[name, "p"], expected, atol=1e-12)
        lacks = parts[name].isna() | (name not in model.models_)
        assert found[name, "change"].isna().equals(lacks.rename((name, "change")))
        np.testing.assert_allclose(
            found.loc[~lacks, (name, "change")], (expected - expit(total))[~lacks], atol=1e-12
        )
    # The model itself stays as it was.
    np.testing.assert_array_equal(model.predict_proba(cohort), before)


KINDS = {
    "early": (early_fusion, {}),
    "late": (late_fusion, QUICK),
    "attention": (attention_fusion, {"n_members": 2, "n_epochs": 4}),
}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_as_if_the_people_had_no_such_table(name, people):
    """Against a cohort in which the rows of the block are really gone."""
    cohort, y = people
    kind, options = KINDS[name]
    model = kind({"clinic": "clinical", "scan": "diffusion"}, **options).fit(cohort, y)
    found = without_block(model, cohort)
    table = cohort.measurements["diffusion"]
    kept = table["subject_id"] == cohort.index[cohort.has("diffusion")][0]
    bare = cohort.with_measurements("diffusion", table[kept])
    gone = ~bare.has("diffusion").to_numpy()
    expected = model.predict_proba(bare)[:, 1]
    np.testing.assert_allclose(found["scan", "p"][gone], expected[gone], atol=1e-9)
    explained = explain_fusion(model, cohort)
    np.testing.assert_allclose(explained.p, found["all", "p"], atol=1e-9)
    lacks = ~cohort.has("diffusion").to_numpy()
    assert (explained.by_block()["scan"][lacks] == 0).all()
    assert (explained.by_block()["scan"][~lacks] != 0).all()


def test_blocks_of_one_source_do_not_disturb_each_other(people):
    """The affected side is clinical, and the nerve table needs it."""
    cohort, y = people
    blocks = {
        "demography": ClinicalFeatures(["age", "sex"]),
        "clinic": ClinicalFeatures(["affected_side", "pain_severity"]),
        "nerves": "nerve_measures",
    }
    model = early_fusion(blocks).fit(cohort, y)
    altered = Altered(model)
    assert altered.names == list(blocks)
    columns = {n: b.transform(cohort).fillna(0.0) for n, b in model.members_.items()}
    alone = {n: columns[n] @ model.coef_[n] for n in columns}
    gone = altered.log_odds(cohort, {"clinic": taken_away, "demography": taken_away})
    # One factor draws the log odds towards 0, so the sign and the order of nerves alone remain.
    expected = model.intercept_ + alone["nerves"]
    assert ((gone > 0) == (expected > 0)).all()
    np.testing.assert_array_less(np.abs(gone), np.abs(expected) + 1e-12)


def test_a_cross_validation_asks_who_had_not_seen_the_person(people):
    cohort, _ = people
    model = early_fusion({"clinic": "clinical", "scan": "diffusion"})
    result = cross_validate(model, cohort, "mvd_response", cv=3, baseline=None, keep_models=True)
    found = without_block(result, cohort)
    assert found.index.equals(cohort.index)
    p = result.predictions["p"].reindex(cohort.index)
    np.testing.assert_allclose(found["all", "p"], p, atol=1e-12)
    with pytest.raises(AlignmentError, match="weren't tested"):
        without_block(result, pp.datasets.sample_tn(n_subjects=300, random_state=3))


def test_a_single_block_leaves_its_intercept(people):
    cohort, y = people
    model = block_model("diffusion").fit(cohort, y)
    found = without_block(model, cohort)
    np.testing.assert_allclose(found["diffusion", "p"], expit(model[-1].intercept_[0]))


# --- importance ---------------------------------------------------------------------------------


def test_drops_by_hand():
    rng = np.random.default_rng(0)
    y = (rng.random(40) < 0.5).astype(int)
    eta = y + rng.normal(size=40)
    worse = [rng.permutation(eta) for _ in range(3)]
    base, rows = drops(
        y, eta[:, None], {"b": [w[:, None] for w in worse]}, groups=np.arange(40),
        n_bootstrap=60, confidence=0.9, random_state=1,
    )  # fmt: skip
    assert base["auc"] == pytest.approx(roc_auc_score(y, eta))
    assert base["log_loss"] == pytest.approx(log_loss(y, expit(eta)))
    auc = [roc_auc_score(y, eta) - roc_auc_score(y, w) for w in worse]
    loss = [log_loss(y, expit(w)) - log_loss(y, expit(eta)) for w in worse]
    assert rows["b"]["auc"] == pytest.approx(np.mean(auc))
    assert rows["b"]["auc_sd"] == pytest.approx(np.std(auc, ddof=1))
    assert rows["b"]["log_loss"] == pytest.approx(np.mean(loss))
    # The same draws, weighted by scikit-learn.
    drawn = []
    for weights in _draws(y, np.arange(40), 60, 1):
        assert weights[y == 1].sum() == y.sum()
        before = roc_auc_score(y, eta, sample_weight=weights)
        after = [roc_auc_score(y, w, sample_weight=weights) for w in worse]
        drawn.append(before - np.mean(after))
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert (rows["b"]["auc_low"], rows["b"]["auc_high"]) == pytest.approx((low, high))


def test_people_with_several_rows_are_drawn_whole():
    groups = np.repeat(np.arange(20), 2)
    draws = _draws(np.tile([0, 0, 1, 0], 10), groups, 50, 0)
    np.testing.assert_array_equal(draws[:, ::2], draws[:, 1::2])
    assert (draws.sum(axis=1) == 40).all()


@pytest.fixture(scope="module")
def planted():
    """Two noisy readings of what tells the outcome, of which some lack one, and noise."""
    n = 240
    cohort, y = informed(n, 8, strengths={"strong": 2.5, "noise": 0.0})
    strong = cohort.measurements["strong"].set_index("subject_id")
    read = [strong + 0.7 * numbers(n, 4, seed).to_numpy() for seed in (77, 78)]
    tables = {
        "strong": read[0],
        "copy": read[1].iloc[: 3 * n // 4],
        "noise": cohort.measurements["noise"].set_index("subject_id"),
    }
    return cohort_of(tables, n), y


def test_the_planted_block_is_worth_most_and_noise_nothing(planted):
    cohort, y = planted
    train, test = np.arange(120, 240), np.arange(120)
    model = early_fusion({n: n for n in ("strong", "noise")}).fit(cohort[train], y[train])
    found = modality_importance(model, cohort[test], y[test], n_repeats=10, n_bootstrap=300)
    assert found.auc == pytest.approx(
        roc_auc_score(y[test], model.predict_proba(cohort[test])[:, 1])
    )
    assert found.table.loc["strong", "auc_low"] > 0.1
    assert found.table.loc["noise", "auc_low"] < 0.02
    assert abs(found.table.loc["noise", "auc"]) < 0.05
    assert found.table["n"].tolist() == [120, 120]
    # Shuffled strong data leave nothing: the AUC falls to about a half.
    assert found.auc - found.table.loc["strong", "auc"] == pytest.approx(0.5, abs=0.08)


def test_blocks_that_say_the_same_are_noted_and_shuffled_together(planted):
    cohort, y = planted
    result = cross_validate(
        early_fusion({n: n for n in ("strong", "copy", "noise")}), cohort, pd.Series(y, names(240)),
        cv=3, baseline=None, keep_models=True,
    )  # fmt: skip
    found = modality_importance(result, together=[("strong", "copy")], n_repeats=5, n_bootstrap=200)
    assert found.auc == pytest.approx(result.auc.auc)
    assert found.table.loc["copy", "n"] == 180
    assert found.table.loc["strong + copy", "auc"] > found.table.loc["strong", "auc"] + 0.02
    assert found.alike.loc["strong", "copy"] > 0.5
    assert any("strong" in note and "copy" in note for note in found.notes)
    assert not any("noise" in note for note in found.notes)
    assert all(note in repr(found) for note in found.notes)
    again = modality_importance(result, together=[("strong", "copy")], n_repeats=5, n_bootstrap=200)
    pd.testing.assert_frame_equal(found.table, again.table)


def test_a_shuffle_keeps_the_rows_and_who_has_them(planted):
    cohort, y = planted
    model = block_model("copy").fit(cohort, y)
    before = model[0].transform(cohort)
    altered = Altered(model)
    seen = {}

    def look(frame):
        seen["after"] = _shuffle([0, 1])(frame)
        return seen["after"]

    altered.log_odds(cohort, {"copy": look})
    after = seen["after"]
    assert after.index.equals(before.index)
    np.testing.assert_array_equal(after.isna(), before.isna())
    assert sorted(after["x0"].dropna()) == sorted(before["x0"].dropna())
    assert (after["x0"].dropna() != before["x0"].dropna()).all()  # nobody keeps their own
    # Whole rows travel.
    pairs = set(map(tuple, before.dropna().to_numpy()))
    assert set(map(tuple, after.dropna().to_numpy())) == pairs


def test_blocks_that_are_shuffled_together_come_from_one_person():
    frame = pd.DataFrame({"x": np.arange(40.0)})
    lacks = frame.where(frame["x"] % 10 != 0)
    one, other = _shuffle([3, 1])(frame)["x"], _shuffle([3, 1])(lacks)["x"]
    assert (one == other).mean() > 0.75
    assert (_shuffle([3, 2])(frame)["x"] != one).any()


def test_repeated_folds_and_trees(people):
    cohort, _ = people
    folds = pp.evaluation.RepeatedSubjectKFold(3, n_repeats=2, random_state=0)
    result = cross_validate(
        clinical_model("xgboost", n_estimators=10), cohort, "mvd_response", cv=folds,
        baseline=None, keep_models=True,
    )  # fmt: skip
    found = modality_importance(result, n_repeats=3, n_bootstrap=100)
    assert found.table.index.tolist() == ["clinical"]
    assert found.auc == pytest.approx(result.auc.auc, abs=1e-6)


def test_what_makes_no_sense_is_refused(people, planted):
    cohort, y = people
    model = early_fusion({"clinic": "clinical", "scan": "diffusion"}).fit(cohort, y)
    with pytest.raises(MissingModalityError, match="expected a Cohort"):
        modality_importance(model)
    with pytest.raises(MissingModalityError, match="outcome"):
        modality_importance(model, cohort)
    with pytest.raises(FormatError, match="n_repeats"):
        modality_importance(model, cohort, y, n_repeats=0)
    with pytest.raises(MissingModalityError, match="'liver'"):
        modality_importance(model, cohort, y, together=[("clinic", "liver")])
    with pytest.raises(FormatError, match="two classes"):
        modality_importance(model, cohort, np.ones(len(cohort)))
    with pytest.raises(MissingModalityError, match="keep_models=True"):
        modality_importance(cross_validate(model, cohort, "mvd_response", cv=3, baseline=None))

    class Ages(ClassifierMixin, BaseEstimator):
        def predict_proba(self, X):
            p = expit(X.subjects["age"].to_numpy() / 50 - 1)
            return np.column_stack([1 - p, p])

    with pytest.raises(FormatError, match="reads the blocks"):
        without_block(Ages(), cohort)


def test_the_forest_draws_every_block(planted):
    cohort, y = planted
    model = early_fusion({n: n for n in ("strong", "noise")}).fit(cohort, y)
    found = modality_importance(model, cohort, y, n_repeats=2, n_bootstrap=50)
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert found.plot(ax=ax) is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["strong (n = 240)", "noise (n = 240)"]
    with pytest.raises(FormatError, match="metric"):
        found.plot("f1")


def test_a_block_that_the_model_left_out_is_nobodys(people):
    cohort, y = people
    model = late_fusion({"clinic": "clinical", "scan": "diffusion"}, min_people=55, **QUICK)
    model.fit(cohort, y)
    assert model.blocks_.loc["scan", "left_out"]
    found = without_block(model, cohort)
    assert found["scan", "change"].isna().all()
    assert modality_importance(model, cohort, y, n_repeats=1).table.loc["scan", "n"] == 0


def test_logits_are_those_of_the_model(people):
    cohort, y = people
    model = clinical_model("random_forest", n_estimators=20).fit(cohort, y)
    p = np.clip(model.predict_proba(cohort)[:, 1], 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(Altered(model).log_odds(cohort, {}), logit(p))
