"""The same training again: rerun, killed and taken up, in folders that don't meet."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from precisionpain._learning.device import deterministic_threads
from precisionpain._learning.state import TrainingState

from .scans import classifier, people


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return people(tmp_path_factory.mktemp("noisy"), 8)


@pytest.fixture(autouse=True)
def _one_thread():
    with deterministic_threads(1):
        yield


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


RECIPES = [
    {},
    {"augmentation": "anatomical", "early_stopping": 0.25, "patience": 2},
    {"freeze": True, "precise_bn": True},
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_reruns_and_resumes_are_the_same_bit_for_bit(noisy, tmp_path, monkeypatch, recipe):
    """Killed at 8 random steps of each of three kinds of training, and taken up again."""
    cohort, y = noisy
    settings = {"n_epochs": 4, **recipe}
    torch.manual_seed(1)
    whole = classifier(**settings).fit(cohort, y)
    torch.manual_seed(2)
    again = classifier(**settings).fit(cohort, y)
    assert same(weights(whole), weights(again))
    n_steps = int(whole.history_["step"].iloc[-1])
    original = TrainingState.update
    for number, kill in enumerate(np.random.default_rng(5).integers(0, n_steps, 8)):
        seen = itertools.count()

        def update(state, *rest, seen=seen, kill=kill):
            if next(seen) == kill:
                raise KeyboardInterrupt
            return original(state, *rest)

        model = classifier(**settings, checkpoint=tmp_path / str(number))
        monkeypatch.setattr(TrainingState, "update", update)
        with pytest.raises(KeyboardInterrupt):
            model.fit(cohort, y)
        assert not hasattr(model, "network_")
        monkeypatch.setattr(TrainingState, "update", original)
        model.fit(cohort, y)
        assert same(weights(whole), weights(model))
        pd.testing.assert_frame_equal(
            whole.history_.drop(columns="seconds"), model.history_.drop(columns="seconds")
        )


def test_the_callers_generator_is_left_alone(noisy):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    classifier(n_epochs=1, augmentation="paper").fit(*noisy)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_differ(noisy):
    one, other = (classifier(random_state=seed).fit(*noisy) for seed in (53, 123))
    assert not same(weights(one), weights(other))


def test_each_training_has_its_own_checkpoint(noisy, tmp_path, monkeypatch):
    cohort, y = noisy
    model = classifier(checkpoint=tmp_path / "states", log=tmp_path / "logs")
    model.fit(cohort[:6], y.iloc[:6])
    model.fit(cohort[2:], y.iloc[2:])
    flipped = 1 - y
    model.fit(cohort[2:], flipped.iloc[2:])
    done = weights(model)
    assert len(list((tmp_path / "states").iterdir())) == 3
    logs = sorted((tmp_path / "logs").glob("*.csv"))
    assert len(logs) == 3
    assert pd.read_csv(logs[0])["step"].tolist() == [1, 2]

    def never(*_):
        raise AssertionError("a finished training was begun again")

    monkeypatch.setattr(TrainingState, "update", never)
    model.fit(cohort[2:], flipped.iloc[2:])
    assert same(done, weights(model))
    with pytest.raises(AssertionError):
        model.set_params(learning_rate=2e-4).fit(cohort[2:], flipped.iloc[2:])
