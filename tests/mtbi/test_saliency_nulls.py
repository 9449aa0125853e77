"""Maps of networks that learned nothing, and the way from a classifier to a p-value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from torch import nn

from precisionpain._learning.device import deterministic_threads
from precisionpain.errors import AlignmentError, FormatError, TrainingError
from precisionpain.mtbi import (
    mean_map,
    permuted_null,
    plot_saliency,
    random_weight_null,
    region_statistics,
    resnet3d,
    saliency_map,
    save_map,
    sphere,
)

from .scans import classifier, people

QUIET = {"device": "cpu", "progress": False}
SHAPE = (4, 6, 5)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return people(tmp_path_factory.mktemp("bright"), 12, bright=True)


@pytest.fixture(autouse=True)
def _one_thread():
    with deterministic_threads(1):
        yield


class Weighted(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))

    def forward(self, volumes):
        return (volumes * self.weights).sum((1, 2, 3, 4))[:, None]


class Recorder(BaseEstimator):
    """Learns its labels into the weights, so that a map tells what it was trained on."""

    seen: list[tuple] = []  # noqa: RUF012

    def __init__(self, shown=1.0):
        self.shown = shown

    def fit(self, X, y):
        self.seen.append((tuple(X.index), tuple(y)))
        weights = np.zeros((1, *SHAPE))
        weights.flat[: len(y)] = 1 + np.asarray(y)
        self.network_ = Weighted(weights)
        return self

    def inputs(self, X):
        return np.ones((len(X), 1, *SHAPE), dtype="float32")

    def predict_proba(self, X):
        return np.column_stack([np.full(len(X), 1 - self.shown), np.full(len(X), self.shown)])


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    return Recorder()


def test_labels_are_permuted_and_people_stay(bright, recorder):
    cohort, y = bright
    maps = permuted_null(recorder, cohort, y, n=30, normalize=False, **QUIET)
    assert maps.shape == (30, *SHAPE)
    assert len(Recorder.seen) == 30
    for ids, labels in Recorder.seen:
        assert ids == tuple(cohort.index)
        assert sorted(labels) == sorted(y)
    assert len({labels for _, labels in Recorder.seen}) > 20
    shares = np.mean([labels for _, labels in Recorder.seen], axis=0)
    assert (np.abs(shares - 0.5) < 4 * np.sqrt(0.25 / 30)).all()
    for map, (_, labels) in zip(maps, Recorder.seen, strict=True):
        doubled = map.ravel()[:12] / map.ravel()[:12].min()
        np.testing.assert_allclose(doubled, 1 + np.array(labels), rtol=1e-4)
    assert not hasattr(recorder, "network_")


def test_labels_go_by_id_and_seeds_repeat(bright, recorder):
    cohort, y = bright
    options = {"n": 4, "normalize": False, **QUIET}
    one = permuted_null(recorder, cohort, y, random_state=3, **options)
    np.testing.assert_array_equal(
        one, permuted_null(recorder, cohort, y[::-1], random_state=3, **options)
    )
    assert not np.allclose(one, permuted_null(recorder, cohort, y, random_state=4, **options))


def test_one_fold_trains_on_its_training_people(bright, recorder):
    cohort, y = bright
    train, test = np.arange(8), np.arange(8, 12)
    permuted_null(recorder, cohort, y, n=3, split=(train, test), normalize=False, **QUIET)
    assert {ids for ids, _ in Recorder.seen} == {tuple(cohort.index[:8])}


def test_a_draw_without_anybody_is_drawn_again(bright, recorder):
    cohort, y = bright
    # Of one test person every second draw is no true positive.
    split = (np.arange(11), np.array([11]))
    maps = permuted_null(recorder, cohort, y, n=6, split=split, normalize=False, **QUIET)
    assert len(maps) == 6
    assert len(Recorder.seen) > 6
    with pytest.raises(TrainingError, match="only 0 have true positives"):
        permuted_null(Recorder(shown=0.1), cohort, y, n=2, **QUIET)


def test_null_refuses_labels_that_make_no_sense(bright, recorder):
    cohort, y = bright
    with pytest.raises(FormatError, match="two classes"):
        permuted_null(recorder, cohort, y * 0, n=2, **QUIET)
    with pytest.raises(AlignmentError):
        permuted_null(recorder, cohort, y[:5], n=2, **QUIET)
    with pytest.raises(FormatError, match="n of at least 1"):
        permuted_null(recorder, cohort, y, n=0, **QUIET)


def test_random_networks_are_others_each_time():
    volumes = np.random.default_rng(0).normal(size=(3, 1, 12, 20, 16)).astype("float32")
    network = resnet3d(18, stem="medicalnet", width=4, random_state=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    maps = random_weight_null(network, volumes, 4, **QUIET)
    assert maps.shape == (4, 12, 20, 16)
    assert np.isfinite(maps).all()
    flat = maps.reshape(4, -1)
    assert (np.corrcoef(flat)[~np.eye(4, dtype=bool)] < 0.9).all()
    np.testing.assert_array_equal(maps[:2], random_weight_null(network, volumes, 4, **QUIET)[:2])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    with pytest.raises(FormatError, match="n of at least 1"):
        random_weight_null(network, volumes, 0, **QUIET)


def test_from_a_classifier_to_a_p_value(bright, tmp_path):
    """A bright block makes the positives; the network is found to look at it, a far ball not."""
    cohort, y = bright
    model = classifier(n_epochs=4, head_learning_rate=1e-2, learning_rate=1e-2)
    fitted = model.fit(cohort, y)
    p = fitted.predict_proba(cohort)[:, 1]
    maps = saliency_map(fitted, cohort, **QUIET)
    observed = mean_map(maps, y.to_numpy(), p)
    regions = {"block": sphere((-2, -20, 2), 24), "far": sphere((40, 60, 2), 16)}
    table = region_statistics(
        observed, regions, fitted.slab_affine_,
        null_maps={
            "random weights": random_weight_null(fitted, cohort, 4, **QUIET),
            "permuted labels": permuted_null(model, cohort, y, 4, **QUIET),
        },
    )  # fmt: skip
    assert (table["share"] == 1).all()
    for kind in ("random weights", "permuted labels"):
        assert table.loc[(kind, "block"), "p_value"] == 1 / 5  # the least with four maps
        assert table.loc[(kind, "block"), "rank"] == 1
        assert table.loc[(kind, "far"), "p_value"] > 1 / 5
    path = save_map(observed, fitted.slab_affine_, tmp_path / "map.nii.gz")
    assert path.exists()
    ax = plot_saliency(observed / observed.max(), path, fitted.slab_affine_, synthetic=True)
    assert len(ax.child_axes) == 4
