"""Attention, auto-encoder and graph: what they promise of people, seeds and missing blocks."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    MissingModalityError,
    TrainingError,
)
from precisionpain.fusion import (
    AttentionFusion,
    FeatureBlock,
    GraphFusion,
    VAEFusion,
    attention_fusion,
    graph_fusion,
    vae_fusion,
)

from .people import cohort_of, informed, numbers

KINDS = {"attention": AttentionFusion, "vae": VAEFusion, "graph": GraphFusion}
BLOCKS = {"a": "a", "b": "b"}
every = pytest.mark.parametrize("kind", KINDS)


def model_of(kind: str, blocks=BLOCKS, **options):
    """A training that is short, and enough for what holds of any."""
    return KINDS[kind](blocks, **{"n_epochs": 6, "n_members": 2, "width": 4, **options})


@pytest.fixture(scope="module")
def people():
    return informed(60, 3, strengths={"a": 2.0, "b": 1.0}, missing=0.2)


@pytest.fixture(scope="module")
def fitted(people):
    return {kind: model_of(kind).fit(*people) for kind in KINDS}


# --- as scikit-learn has estimators -------------------------------------------------------


@every
def test_parameters_clone_repr_and_state(kind, people, fitted):
    cohort, _ = people
    block = FeatureBlock("b", reduce="pca")
    model = KINDS[kind]({"a": "a", "b": block}, n_epochs=3)
    copy = clone(model)
    assert repr(copy) == repr(model)
    assert repr(copy).startswith(type(model).__name__)
    with pytest.raises(NotFittedError):
        model.predict_proba(cohort)
    again = pickle.loads(pickle.dumps(fitted[kind]))
    p = fitted[kind].predict_proba(cohort)
    np.testing.assert_array_equal(again.predict_proba(cohort), p)
    assert p.shape == (60, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(fitted[kind].predict(cohort), (p[:, 1] >= 0.5).astype(int))


def test_the_functions_make_the_same():
    for make, kind in (
        (attention_fusion, "attention"),
        (vae_fusion, "vae"),
        (graph_fusion, "graph"),
    ):
        assert repr(make(BLOCKS, width=3)) == repr(KINDS[kind](BLOCKS, width=3))


@every
def test_the_same_seed_gives_the_same_digits(kind, people, fitted):
    cohort, y = people
    p = fitted[kind].predict_proba(cohort)
    threads = torch.get_num_threads()
    torch.manual_seed(5)  # neither the global generator nor the threads have a say
    state = torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        again = model_of(kind).fit(cohort, y).predict_proba(cohort)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(again, p)
    assert torch.equal(torch.get_rng_state(), state)
    other = model_of(kind, random_state=1).fit(cohort, y).predict_proba(cohort)
    assert np.abs(other - p).max() > 1e-6


@every
def test_labels_of_any_kind(kind, people, fitted):
    cohort, y = people
    labels = pd.Series(np.array(["free", "pain"])[y], cohort.index)
    model = model_of(kind).fit(cohort, labels)
    assert model.classes_.tolist() == ["free", "pain"]
    np.testing.assert_array_equal(model.predict_proba(cohort), fitted[kind].predict_proba(cohort))
    assert set(model.predict(cohort)) <= {"free", "pain"}


# --- who else is there, and who lacks what ------------------------------------------------


@every
def test_a_prediction_is_a_matter_of_the_person_alone(kind, fitted):
    """So the graph is inductive: new people are not neighbours of each other."""
    others, _ = informed(60, 9, strengths={"a": 2.0, "b": 1.0}, missing=0.3)
    p = fitted[kind].predict_proba(others)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(fitted[kind].predict_proba(others[order]), p[order], rtol=1e-10)
    for k in (0, 11, 59):
        np.testing.assert_allclose(fitted[kind].predict_proba(others[[k]])[0], p[k], rtol=1e-10)


@every
def test_a_block_that_goes_missing_changes_that_person_alone(kind, people, fitted):
    cohort, _ = people
    who = next(
        iter(set(cohort.measurements["a"].subject_id) & set(cohort.measurements["b"].subject_id))
    )
    rows = cohort.measurements["b"]
    without = cohort.with_measurements("b", rows[rows["subject_id"] != who])
    p, q = (fitted[kind].predict_proba(c)[:, 1] for c in (cohort, without))
    changed = ~np.isclose(p, q, rtol=1e-10)
    assert cohort.index[changed].tolist() == [who]
    information = fitted[kind].information(without)
    assert information.loc[who].tolist() == [True, False]
    np.testing.assert_array_equal(
        information["a"], cohort.index.isin(cohort.measurements["a"]["subject_id"])
    )


@every
def test_who_has_nothing_gets_the_prevalence(kind, people):
    cohort, y = people
    y = np.where(np.random.default_rng(0).random(60) < 0.4, 1, y)  # not one half
    model = model_of(kind).fit(cohort, y)
    nobody = cohort_of({"a": numbers(60, 4, 0)[:0], "b": numbers(60, 4, 0)[:0]}, 60)
    p = model.predict_proba(nobody)[:, 1]
    assert np.ptp(p) == 0
    assert p[0] == pytest.approx(y.mean())
    assert not model.information(nobody).any(axis=None)


@every
def test_a_cohort_without_the_source_lacks_the_block(kind, people, fitted):
    cohort, _ = people
    tables = {name: t.set_index("subject_id") for name, t in cohort.measurements.items()}
    elsewhere = cohort_of({"a": tables["a"]}, 60)
    empty = cohort_of({"a": tables["a"], "b": tables["b"][:0]}, 60)
    with pytest.warns(DataWarning, match="the cohort has no 'b'"):
        p = fitted[kind].predict_proba(elsewhere)
    np.testing.assert_allclose(p, fitted[kind].predict_proba(empty), rtol=1e-12)


@every
def test_blocks_that_few_have_are_left_out(kind):
    n = 50
    tables = {"a": numbers(n, 3, 1), "few": numbers(n, 3, 2)[:12], "none": numbers(n, 1, 3) * 0}
    cohort = cohort_of(tables, n)
    y = np.arange(n) % 2
    model = model_of(kind, {"a": "a", "few": "few", "none": "none"}).fit(cohort, y)
    assert model.blocks_["left_out"]["a"] == ""
    assert "12 people" in model.blocks_["left_out"]["few"]
    assert "constant" in model.blocks_["left_out"]["none"]
    assert list(model.information(cohort)) == ["a"]
    with pytest.raises(MissingModalityError, match="no block is left"):
        model_of(kind, {"few": "few"}).fit(cohort, y)


def test_attention_is_shared_among_the_blocks_that_are_there(people, fitted):
    cohort, _ = people
    weights = fitted["attention"].attention(cohort)
    assert weights.index.equals(cohort.index)
    information = fitted["attention"].information(cohort)
    pd.testing.assert_frame_equal(weights.notna(), information)
    assert (weights.stack() > 0).all()
    assert (weights.sum(axis=1) < 1).all()
    only_a = information["a"] & ~information["b"]
    assert only_a.any()
    # With fewer to read from, more is read from each.
    both = information.all(axis=1)
    assert weights.loc[only_a, "a"].mean() > weights.loc[both, "a"].mean()


# --- refusals -----------------------------------------------------------------------------


@every
def test_what_makes_no_sense_is_refused(kind, people):
    cohort, y = people
    with pytest.raises(FormatError, match="X is a Cohort, found ndarray"):
        model_of(kind).fit(np.zeros((60, 2)), y)
    with pytest.raises(FormatError, match="expected two classes, found 1"):
        model_of(kind).fit(cohort, np.ones(60))
    with pytest.raises(FormatError, match="at least 20 training people, found 19"):
        model_of(kind).fit(cohort[:19], y[:19])
    with pytest.raises(FormatError, match="2 outcomes are missing"):
        model_of(kind).fit(cohort, np.r_[np.nan, np.nan, y[2:]])
    with pytest.raises(AlignmentError, match="another order"):
        model_of(kind).fit(cohort, pd.Series(y, cohort.index)[::-1])
    with pytest.raises(FormatError, match="two people of each class at least, found 1"):
        model_of(kind).fit(cohort, np.r_[1, np.zeros(59, dtype=int)])
    with pytest.raises(FormatError, match="blocks is a mapping"):
        model_of(kind, ["a"]).fit(cohort, y)
    with pytest.raises(MissingModalityError, match="nothing called 'c'"):
        model_of(kind, {"c": "c"}).fit(cohort, y)
    for setting, value in {"n_epochs": 0, "n_members": 1, "width": 0, "dropout": 1.0}.items():
        with pytest.raises(FormatError, match=f"{setting}: expected"):
            model_of(kind, **{setting: value}).fit(cohort, y)


def test_settings_of_one_kind(people):
    for model, setting in (
        (model_of("attention", drop_block=1.0), "drop_block"),
        (model_of("attention", n_heads=3), "width"),
        (model_of("vae", beta=-1.0), "beta"),
        (model_of("graph", n_neighbors=0), "n_neighbors"),
    ):
        with pytest.raises(FormatError, match=f"{setting}: expected"):
            model.fit(*people)


def test_whole_classifiers_are_for_stacking(people):
    from sklearn.dummy import DummyClassifier

    with pytest.raises(FormatError, match=r"blocks\['b'\].*use late_fusion"):
        model_of("attention", {"a": "a", "b": DummyClassifier()}).fit(*people)


@every
def test_a_loss_that_is_no_number_is_said(kind, people):
    cohort, y = people
    model = model_of(kind).fit(cohort, y)
    model.set_params(learning_rate=1e200)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        model.fit(cohort, y)
    with pytest.raises(NotFittedError):  # nothing is left that looks fitted
        model.predict_proba(cohort)
