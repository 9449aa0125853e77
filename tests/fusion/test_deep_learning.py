"""Attention, auto-encoder and graph: what they learn, how sure they are, and beside what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import FormatError
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.fusion import (
    AttentionFusion,
    EarlyFusion,
    FeatureBlock,
    GraphFusion,
    VAEFusion,
    block_model,
    compare_fusions,
)
from precisionpain.fusion._deep.ensemble import calibrate
from precisionpain.stats import auc

from .people import cohort_of, informed, names

KINDS = {"attention": AttentionFusion, "vae": VAEFusion, "graph": GraphFusion}
BLOCKS = {"a": "a", "b": "b"}
every = pytest.mark.parametrize("kind", KINDS)


def model_of(kind: str, blocks=BLOCKS, **options):
    """A training that is short, and enough for what holds of any."""
    return KINDS[kind](blocks, **{"n_epochs": 6, "n_members": 2, "width": 4, **options})


@pytest.fixture(scope="module")
def people():
    return informed(60, 3, strengths={"a": 2.0, "b": 1.0}, missing=0.2)


# --- learning -----------------------------------------------------------------------------


@every
def test_a_plain_signal_is_learned(kind):
    """Of 200 people, one half to test: where a ridge finds it, the networks do."""
    cohort, y = informed(200, 5, strengths={"a": 6.0, "b": 2.0}, missing=0.1)
    model = KINDS[kind](BLOCKS, n_members=3, n_epochs=80)
    train, test = next(SubjectKFold(2).split(cohort, y))
    found = {}
    for name, each in {
        "network": model,
        "ridge": block_model("a"),
        "early": EarlyFusion(BLOCKS),
    }.items():
        p = each.fit(cohort[train], y[train]).predict_proba(cohort[test])[:, 1]
        found[name] = auc(y[test], p)
    assert found["ridge"] > 0.8
    assert found["network"] > 0.8
    assert found["network"] > found["early"] - 0.08


@every
def test_permuted_labels_give_chance(kind):
    cohort, _ = informed(80, 6, strengths={"a": 2.0, "b": 2.0}, missing=0.2)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3):
        y = rng.permutation(np.arange(80) % 2)
        model = model_of(kind, n_epochs=8)
        found.append(cross_validate(model, cohort, y, cv=2, baseline=None).auc.auc)
    # The SD of the AUC of 80 people is 0.065 where nothing is to be found.
    assert abs(np.mean(found) - 0.5) < 4 * 0.065 / np.sqrt(3)


def test_calibration_of_what_means_nothing_keeps_the_order():
    rng = np.random.default_rng(1)
    y = rng.permutation(np.arange(300) % 2)
    intercept, temperature = calibrate(5 * rng.normal(size=300), y)
    assert temperature > 5  # the spread of 5 shrinks to less than 1
    assert np.isfinite(temperature)
    assert intercept == pytest.approx(0, abs=0.3)


def test_networks_that_are_too_sure_are_cooled_down():
    """Trained long on noise; what counts is what they say of people left out."""
    cohort, y = informed(60, 8, strengths={"a": 0.0, "b": 0.0})
    sure = AttentionFusion(BLOCKS, n_epochs=150, batch_size=None, learning_rate=1e-2, dropout=0.0,
                           drop_block=0.0, n_members=2).fit(cohort, y)  # fmt: skip
    assert sure.temperature_ > 2
    other, z = informed(200, 18, strengths={"a": 0.0, "b": 0.0})
    p = sure.predict_proba(other)[:, 1]
    loss = -np.mean(np.log(np.where(z == 1, p, 1 - p)))
    assert loss < 0.9  # a coin has 0.69


# --- what the auto-encoder gives besides ---------------------------------------------------


def test_the_auto_encoder_fills_what_it_can_tell():
    """One hidden number behind both blocks; half of the people lack the second."""
    n = 120
    rng = np.random.default_rng(2)
    factor = rng.normal(size=n)

    def table(scale: float, shift: float, prefix: str) -> pd.DataFrame:
        values = factor[:, None] + 0.3 * rng.normal(size=(n, 4))
        return pd.DataFrame(shift + scale * values, names(n), [f"{prefix}{j}" for j in range(4)])

    a, b = table(3.0, 100.0, "a"), table(0.01, -1.0, "b")
    a.iloc[5, 1] = np.nan
    y = (factor + rng.normal(size=n) > 0).astype(int)
    cohort = cohort_of({"a": a, "b": b[:60]}, n)
    model = VAEFusion(BLOCKS, n_epochs=120, n_members=2, batch_size=None, learning_rate=1e-2)
    filled = model.fit(cohort, y).impute(cohort)
    assert filled["b"].shape == (n, 4)
    assert not filled["b"].isna().any(axis=None)
    pd.testing.assert_frame_equal(filled["b"][:60], b[:60], check_names=False)
    pd.testing.assert_frame_equal(filled["a"].drop("s0005"), a.drop("s0005"), check_names=False)
    error = (filled["b"][60:] - b[60:]).to_numpy()
    around_mean = (b[:60].mean() - b[60:]).to_numpy()
    assert (error**2).mean() < 0.5 * (around_mean**2).mean()
    assert abs(filled["a"].loc["s0005", "a1"] - a.loc["s0005", "a0"]) < 3.0
    latent = model.transform(cohort)
    assert latent.shape == (n, 8)
    score = np.corrcoef(np.c_[latent, factor].T)[-1, :-1]
    assert np.abs(score).max() > 0.7
    nobody = cohort_of({"a": a[:0], "b": b[:0]}, n)
    assert (model.transform(nobody) == 0).all(axis=None)


def test_reduced_blocks_are_not_filled(people):
    cohort, y = people
    model = model_of("vae", {"a": "a", "b": FeatureBlock("b", reduce="pca")}).fit(cohort, y)
    assert list(model.impute(cohort)) == ["a"]


# --- beside the others --------------------------------------------------------------------


def test_comparison_in_the_same_folds():
    cohort, y = informed(90, 7, strengths={"a": 3.0, "b": 1.0}, missing=0.1)
    folds = SubjectKFold(2, random_state=4)
    network = model_of("attention")
    table = compare_fusions(
        cohort, pd.Series(y, cohort.index), BLOCKS, deep={"attention": network}, cv=folds
    )
    assert table.index.tolist() == ["clinic", "early", "stacking", "attention"]
    for name, model in {"early": EarlyFusion(BLOCKS), "attention": network}.items():
        alone = cross_validate(model, cohort, y, cv=folds, baseline=None)
        assert table.loc[name, "auc"] == pytest.approx(alone.auc.auc)
        assert table.loc[name, "slope"] == pytest.approx(alone.calibration.slope)
    assert table.loc[["clinic"], ["vs_clinic", "p_vs_clinic"]].isna().all(axis=None)
    assert table["vs_stacking"].isna().tolist() == [False, False, True, False]
    known = table["p_vs_stacking"].dropna()
    assert ((known >= 0) & (known <= 1)).all()
    gap = table["vs_clinic"] - table["vs_stacking"]  # the same for all: stacking over the clinic
    assert gap.dropna().nunique() <= 2
    assert gap["attention"] == pytest.approx(table.loc["stacking", "vs_clinic"])
    assert (table["ci_low"] < table["auc"]).all()
    assert (table["seconds"] > 0).all()


def test_unknown_names_of_deep_models(people):
    cohort, y = people
    with pytest.raises(FormatError, match="no deep fusion is called 'transformer'"):
        compare_fusions(cohort, y, BLOCKS, deep=["transformer"])
    with pytest.raises(FormatError, match="called 'early' already"):
        compare_fusions(cohort, y, BLOCKS, deep={"early": model_of("vae")})
