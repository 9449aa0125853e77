"""Nothing leaks: a contract over the estimators of the library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.pipeline import Pipeline

from precisionpain.cohort import Cohort
from precisionpain.errors import LeakageError
from precisionpain.evaluation import (
    ClinicalFeatures,
    SubjectKFold,
    clinical_model,
    cross_validate,
    nested,
)
from precisionpain.fusion import (
    AttentionFusion,
    EarlyFusion,
    FeatureBlock,
    GraphFusion,
    Harmonized,
    LateFusion,
    VAEFusion,
    block_model,
)

BLOCKS = {
    "numbers": ClinicalFeatures(["x0", "x1", "x2"]),
    "mixed": FeatureBlock(ClinicalFeatures(["x3", "group"]), reduce="stability"),
}
SHORT = {"n_epochs": 5, "n_members": 2, "width": 4}
MODELS = {
    "logistic": lambda: clinical_model("logistic"),
    "random_forest": lambda: clinical_model("random_forest", n_estimators=25),
    "xgboost": lambda: clinical_model("xgboost", n_estimators=25),
    "nested": lambda: nested(clinical_model("logistic"), {"model__C": [0.01, 1.0]}),
    "late_fusion": lambda: LateFusion(BLOCKS, n_folds=3, n_repeats=1),
    "early_fusion": lambda: EarlyFusion(BLOCKS),
    "harmonized": lambda: block_model(
        Harmonized(ClinicalFeatures(["x0", "x1", "x2"]), batch="group", covariates="x3")
    ),
    "attention_fusion": lambda: AttentionFusion(BLOCKS, **SHORT),
    "vae_fusion": lambda: VAEFusion(BLOCKS, **SHORT),
    "graph_fusion": lambda: GraphFusion(BLOCKS, **SHORT),
}


def noise_cohort(n: int, p: int, seed: int) -> tuple[Cohort, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        rng.normal(size=(n, p)), [f"s{i:04d}" for i in range(n)], [f"x{j}" for j in range(p)]
    )
    frame["group"] = rng.choice(["a", "b", "c"], n)
    frame.iloc[::7, 0] = np.nan
    return Cohort(frame), rng.permutation(np.arange(n) % 2)


@pytest.mark.parametrize("name", MODELS)
def test_the_test_fold_changes_nothing_that_was_fitted(name):
    cohort, y = noise_cohort(80, 4, 0)
    train, test = next(SubjectKFold(4).split(cohort, y))
    spoilt = cohort.subjects
    rng = np.random.default_rng(1)
    for column in ("x0", "x1", "x2", "x3"):
        spoilt.iloc[test, spoilt.columns.get_loc(column)] = rng.normal(1e3, 1e3, len(test))
    spoilt.iloc[test, spoilt.columns.get_loc("group")] = "never seen"
    others = Cohort(spoilt)
    people = cohort[test]
    one = MODELS[name]().fit(cohort[train], y[train]).predict_proba(people)
    two = MODELS[name]().fit(others[train], y[train]).predict_proba(people)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("reduce", [None, "pca", "pls", "stability"])
def test_a_block_learns_nothing_from_the_test_fold(reduce):
    """Neither from what was measured of people left out, nor from whether it was."""
    cohort, y = noise_cohort(60, 12, 3)
    train, test = next(SubjectKFold(4).split(cohort, y))
    rows = cohort.subjects[[f"x{j}" for j in range(12)]].rename_axis("subject_id").iloc[:55]
    rows["x99"] = np.nan
    spoilt = rows.drop(index=cohort.index[test[:3]])
    mine = spoilt.index.isin(cohort.index[test])
    spoilt[mine] = np.random.default_rng(1).normal(1e3, 1e3, spoilt[mine].shape)
    one, two = (cohort.with_measurements("t", table.reset_index()) for table in (rows, spoilt))
    p, q = (FeatureBlock("t", reduce=reduce).fit(c[train], y[train]) for c in (one, two))
    pd.testing.assert_frame_equal(p.transform(one[test]), q.transform(one[test]))
    assert p.columns_ == q.columns_
    models = {"a": "clinical", "t": FeatureBlock("t", reduce=reduce)}
    for fusion in (
        LateFusion(models, n_folds=3, n_repeats=1, min_people=15),
        EarlyFusion(models),
        AttentionFusion(models, **SHORT),
        VAEFusion(models, **SHORT),
        GraphFusion(models, **SHORT),
    ):
        fits = [clone(fusion).fit(c[train], y[train]).predict_proba(c[train]) for c in (one, two)]
        np.testing.assert_array_equal(*fits)


@pytest.mark.parametrize(
    "name", ["logistic", "xgboost", "late_fusion", "early_fusion", "harmonized"]
)
def test_permuted_labels_give_chance(name):
    cohort, y = noise_cohort(120, 5, 2)
    n = 6 if name == "late_fusion" else 20  # it cross-validates inside
    result = cross_validate(
        MODELS[name](), cohort, y, cv=4, baseline=None, n_permutations=n, n_bootstrap=50
    )
    assert result.permutation.passed
    assert abs(result.permutation.mean - 0.5) < 4 * result.permutation.se


def test_selecting_noise_inside_the_fold_finds_nothing():
    """20 of 1,000 noise features, n = 60: outside the folds this gives an AUC near 0.96."""
    inside, outside = [], []
    for seed in range(4):
        cohort, y = noise_cohort(60, 1000, seed)
        plain = clinical_model("logistic")
        steps = [*plain.steps[:-1], ("select", SelectKBest(f_classif, k=20)), plain.steps[-1]]
        honest = cross_validate(Pipeline(steps), cohort, y, cv=5, baseline=None)
        inside.append(honest.auc.auc)
        x = plain[:-1].fit_transform(cohort)
        chosen = np.flatnonzero(SelectKBest(f_classif, k=20).fit(x, y).get_support())
        names = plain[0].fit(cohort).get_feature_names_out()[chosen]
        picked = clinical_model("logistic", columns=[n for n in names if n in cohort.subjects])
        outside.append(cross_validate(picked, cohort, y, cv=5, baseline=None).auc.auc)
    assert 0.40 <= np.mean(inside) <= 0.60
    assert np.mean(outside) > 0.85  # what the library's own path must not do


class Pretrained(TransformerMixin, BaseEstimator):
    """Numbers from weights that a clone shares, and that were learned from some people."""

    def __init__(self, known=()):
        self.known = known

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.subjects[["x0", "x1"]]

    def saw(self, people):
        return np.isin(people, list(self.known))


@pytest.mark.parametrize(
    "fusion", [LateFusion, EarlyFusion, AttentionFusion, VAEFusion, GraphFusion]
)
def test_weights_that_know_the_people_are_refused_inside_of_blocks(fusion):
    cohort, y = noise_cohort(40, 4, 0)
    known = ("s0001", "s0005", "elsewhere")
    options = {LateFusion: {"n_folds": 2, "n_repeats": 1}, EarlyFusion: {}}.get(fusion, SHORT)
    for block in (Pretrained(known), FeatureBlock(Pretrained(known))):
        model = fusion({"clinic": "clinical", "net": block}, **options)
        with pytest.raises(LeakageError, match="2 of the 40 people were in the training data"):
            cross_validate(model, cohort, y, cv=2, baseline=None)
    others = fusion({"clinic": "clinical", "net": Pretrained(("elsewhere",))}, **options)
    assert len(cross_validate(others, cohort, y, cv=2, baseline=None).frame()) == 2
