"""Late fusion: what blocks may be, what is said of them, and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

import precisionpain as pp
from precisionpain.evaluation import clinical_model
from precisionpain.fusion import (
    EarlyFusion,
    FeatureBlock,
    LateFusion,
    TableFeatures,
    block_model,
)

from .people import informed

# --- what blocks may be -------------------------------------------------------------------


def test_a_whole_classifier_is_a_block():
    cohort, y = informed(90, 9, strengths={"a": 2.0})
    forest = make_pipeline(TableFeatures("a"), RandomForestClassifier(20, random_state=0))
    blocks = {"ridge": clinical_model("logistic", columns=["age"]), "forest": forest}
    model = LateFusion(blocks, n_folds=3, n_repeats=1, gate=None).fit(cohort, y)
    assert model.blocks_["n"].tolist() == [90, 90]
    # The forest knows its training people by heart; its weight comes from others.
    alone = clone(forest).fit(cohort, y).predict_proba(cohort)[:, 1]
    assert model.blocks_.loc["forest", "auc"] < pp.stats.auc(y, alone)
    told = special.logit(np.clip(alone, 1e-6, 1 - 1e-6)) - special.logit(y.mean())
    np.testing.assert_allclose(
        model.contributions(cohort)["forest"], model.blocks_.loc["forest", "weight"] * told
    )
    assert not hasattr(forest[0], "columns_")


def test_blocks_by_name_transformer_and_model_are_the_same():
    cohort, y = informed(60, 10, strengths={"a": 2.0})
    ways = ["a", TableFeatures("a"), FeatureBlock("a"), block_model("a")]
    p = [LateFusion({"x": way}).fit(cohort, y).predict_proba(cohort) for way in ways]
    for other in p[1:]:
        np.testing.assert_array_equal(p[0], other)
    early = [EarlyFusion({"x": way}).fit(cohort, y).predict_proba(cohort) for way in ways[:3]]
    np.testing.assert_array_equal(early[0], early[1])
    np.testing.assert_array_equal(early[0], early[2])


def test_out_of_fold_figures_are_those_of_cross_validation():
    """One block, one repeat: the table holds what a cross-validation by hand gives."""
    cohort, y = informed(80, 11, strengths={"a": 2.0})
    model = LateFusion({"a": "a"}, n_folds=4, n_repeats=1).fit(cohort, y)
    folds = pp.evaluation.RepeatedSubjectKFold(4, n_repeats=1, random_state=0)
    eta = np.zeros(80)
    for train, test in folds.split(cohort, y):
        p = block_model("a").fit(cohort[train], y[train]).predict_proba(cohort[test])[:, 1]
        eta[test] = special.logit(p) - special.logit(y[train].mean()) + special.logit(y.mean())
    assert model.blocks_.loc["a", "auc"] == pytest.approx(pp.stats.auc(y, eta))
    loss = -np.log(np.where(y == 1, special.expit(eta), special.expit(-eta))).mean()
    assert model.blocks_.loc["a", "log_loss"] == pytest.approx(loss)
    assert model.prevalence_ == y.mean()


# --- the gate -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_the_gate_gives_up_fusion_for_one_block_among_noise(order):
    """Wherever that block stands, although the first one has the benefit of the doubt."""
    strengths = {"good": 3.0, "n1": 0.0, "n2": 0.0, "n3": 0.0}
    blocks = {name: name for name in list(strengths)[::order]}
    chosen = []
    for seed in range(4):
        cohort, y = informed(100, 100 + seed, strengths=strengths, p=3)
        model = LateFusion(blocks, gate=0.0, n_folds=3, n_repeats=1).fit(cohort, y)
        chosen.append(model.used_)
        if model.used_ != "all":
            assert (model.blocks_["weight"].drop(model.used_) == 0).all()
            assert list(model.models_) == [model.used_]
    assert chosen.count("good") >= 3
    for gate in (None, 1e6):
        assert LateFusion(blocks, gate=gate, n_folds=3).fit(cohort, y).used_ == "all"


@pytest.mark.parametrize("at", [0, 2])
def test_the_gate_knows_log_odds_that_say_all(at):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, size=(300, 3))
    y = (rng.random(300) < special.expit(z[:, at])).astype(int)
    assert LateFusion({})._gate(z, y, 0.0) == at
    assert LateFusion({})._gate(z, y, 1e6) is None
    # Where every block has a third of the evidence there is nothing to choose.
    y = (rng.random(300) < special.expit(z.sum(axis=1))).astype(int)
    assert LateFusion({})._gate(z, y, 0.0) is None


def test_blocks_that_help_are_fused():
    strengths = {"a": 2.0, "b": 2.0, "c": 2.0}
    for seed in range(3):
        cohort, y = informed(150, 200 + seed, strengths=strengths, p=2)
        model = LateFusion({b: b for b in strengths}, n_folds=3, n_repeats=1).fit(cohort, y)
        assert model.used_ == "all"
        assert (model.blocks_["weight"] > 0.3).all()
