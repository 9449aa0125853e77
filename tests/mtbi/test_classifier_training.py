"""What is learned: against a plain loop, again and again the same, and what goes wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from precisionpain._learning.device import deterministic_threads
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    TrainingError,
)
from precisionpain.mtbi import ResNet3D, min_max, precise_bn, resnet3d, slab
from precisionpain.mtbi._classifier import settings as settings_module
from precisionpain.mtbi._classifier import training
from precisionpain.mtbi._classifier.labels import hold_out
from precisionpain.mtbi._classifier.settings import train_in_half
from precisionpain.mtbi._classifier.training import Batches

from .scans import classifier, people


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return people(tmp_path_factory.mktemp("noisy"), 10)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return people(tmp_path_factory.mktemp("bright"), 12, bright=True)


@pytest.fixture(autouse=True)
def _one_thread():
    with deterministic_threads(1):
        yield


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# -- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "size", "lengths"),
    [(10, 6, [6, 4]), (13, 6, [6, 7]), (12, 6, [6, 6]), (5, 6, [5]), (1, 6, [1]), (3, 1, [1] * 3)],
)
def test_an_epoch_sees_everybody_once(n, size, lengths):
    batches = Batches(torch.zeros(n, 1), np.zeros(n), size, 3, torch.device("cpu"))
    assert batches.n_steps == len(lengths)
    orders = []
    for epoch in range(3):
        rows = [batches.rows(epoch * len(lengths) + k) for k in range(len(lengths))]
        assert [len(each) for each in rows] == lengths
        orders.append(np.concatenate(rows).tolist())
        assert sorted(orders[-1]) == list(range(n))
    if n > 2:
        assert len({tuple(order) for order in orders}) > 1


def test_batches_carry_their_labels():
    inputs = torch.arange(20.0)[:, None]
    batches = Batches(inputs, np.arange(20) % 2, 6, 0, torch.device("cpu"))
    for step in (5, 0, 11, 5):
        x, y = batches(step)
        assert torch.equal(x[:, 0] % 2, y)
        assert torch.equal(x, batches(step)[0])


# -- the training itself -----------------------------------------------------------------------


def test_it_is_a_plain_loop(noisy):
    """The same weights as a loop that is written out: two rates, AdamW, weighted loss."""
    cohort, y = noisy
    model = classifier(n_epochs=3, pos_weight=1.5, scaling="image").fit(cohort, y)
    network = resnet3d(10, stem="medicalnet", width=4, random_state=0)
    head = list(network.fc.parameters())
    trunk = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    optimizer = torch.optim.AdamW(
        [{"params": trunk, "lr": 1e-4}, {"params": head, "lr": 1e-3}], weight_decay=0.01
    )
    x = torch.from_numpy(model.inputs(cohort))
    labels = torch.tensor(y.to_numpy(), dtype=torch.float32)
    losses = []
    network.train()
    for epoch in range(3):
        order = np.random.default_rng([0, epoch]).permutation(10)
        for rows in (order[:6], order[6:]):
            p = torch.sigmoid(network(x[rows])[:, 0])
            each = -1.5 * labels[rows] * p.log() - (1 - labels[rows]) * (1 - p).log()
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
            losses.append(each.mean().item())
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(weights(model)[name], tensor, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(model.history_["loss"], losses[1::2], rtol=1e-4)
    assert model.history_["epoch"].tolist() == [1, 2, 3]
    network.eval()
    with torch.no_grad():
        np.testing.assert_allclose(
            model.predict_proba(cohort)[:, 1], network(x)[:, 0].sigmoid(), atol=1e-4
        )


def test_it_learns_what_is_there(bright):
    """A bright block in the positives, at a place that no scaling gives away."""
    cohort, y = bright
    model = classifier(n_epochs=8, learning_rate=3e-3, head_learning_rate=3e-3, precise_bn=True)
    train, test = np.arange(8), np.arange(8, 12)
    model.fit(cohort[train], y.iloc[train])
    p = model.predict_proba(cohort[test])
    assert roc_auc_score(y.iloc[test], p[:, 1]) == 1.0
    assert model.predict(cohort[test]).tolist() == y.iloc[test].tolist()
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-model.decision_function(cohort[test]))))


def test_inputs_are_scaled_by_the_training_people(bright):
    cohort, y = bright
    model = classifier(n_epochs=1).fit(cohort[:6], y.iloc[:6])
    raw = np.stack([
        slab(min_max(np.asanyarray(cohort.subject(one).image("T1w").dataobj)), "axial", 12)
        for one in cohort.index
    ])  # fmt: skip
    expected = (raw - raw[:6].mean(dtype=float)) / raw[:6].std(dtype=float)
    np.testing.assert_allclose(model.inputs(cohort)[:, 0], expected, atol=1e-5)
    alone = classifier(n_epochs=1, scaling="image").fit(cohort[:6], y.iloc[:6])
    assert alone.scaler_ is None
    np.testing.assert_array_equal(alone.inputs(cohort)[:, 0], raw)


def test_the_published_scaling_says_that_it_leaks(bright):
    cohort, y = bright
    model = classifier(n_epochs=1, scaling="dataset", dataset=cohort)
    with pytest.warns(DataWarning, match="all 12 people, those to be tested included"):
        model.fit(cohort[:6], y.iloc[:6])
    x = model.inputs(cohort)
    assert abs(x.mean(dtype=float)) < 1e-5
    assert x.std(dtype=float) == pytest.approx(1, abs=1e-5)


def test_labels_go_by_key(noisy):
    cohort, y = noisy
    model = classifier(n_epochs=1).fit(cohort, y)
    shuffled = pd.concat([y.sample(frac=1, random_state=1), pd.Series({"stranger": 1})])
    again = classifier(n_epochs=1).fit(cohort, shuffled)
    assert same(weights(model), weights(again))
    by_order = classifier(n_epochs=1).fit(cohort, y.to_numpy())
    assert same(weights(model), weights(by_order))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y: y.drop(["p01", "p02"]), AlignmentError, "2 of 10 people: 'p01', 'p02'"),
        (lambda y: pd.concat([y, y[:1]]), AlignmentError, "several values for 'p00'"),
        (lambda y: y.to_numpy()[:7], AlignmentError, r"each of 10 people, found shape \(7,\)"),
        (lambda y: y.astype(float).where(y.index != "p03"), FormatError, "missing, of 'p03'"),
        (lambda y: y * 0, FormatError, "two classes, found 1"),
        (lambda y: pd.Series(range(10), y.index), FormatError, "two classes, found 10"),
        (lambda y: None, FormatError, "None"),
    ],
)
def test_labels_that_make_no_sense(noisy, change, error, words):
    cohort, y = noisy
    with pytest.raises(error, match=words):
        classifier().fit(cohort, change(y))


def test_any_two_labels_will_do(noisy):
    cohort, y = noisy
    named = y.map({0: "recovered", 1: "chronic"})
    model = classifier(n_epochs=1, threshold=0.4).fit(cohort, named)
    assert model.classes_.tolist() == ["chronic", "recovered"]
    p = model.predict_proba(cohort)[:, 1]
    assert model.predict(cohort).tolist() == np.where(p >= 0.4, "recovered", "chronic").tolist()


# -- stopping, watching, statistics ------------------------------------------------------------


def test_watching_changes_nothing(noisy):
    cohort, y = noisy
    alone = classifier(n_epochs=3).fit(cohort[:6], y.iloc[:6])
    watched = classifier(n_epochs=3).fit(
        cohort[:6], y.iloc[:6], validation=(cohort[6:], y.sample(frac=1, random_state=0))
    )
    assert same(weights(alone), weights(watched))
    p = watched.validation_p_
    assert p.shape == (3, 4)
    assert p.columns.tolist() == ["p06", "p07", "p08", "p09"]
    np.testing.assert_allclose(p.iloc[-1], watched.predict_proba(cohort[6:])[:, 1])
    truth = y.iloc[6:].to_numpy()
    last = watched.history_.iloc[-1]
    loss = F.binary_cross_entropy(torch.tensor(p.iloc[-1].to_numpy()), torch.tensor(truth * 1.0))
    assert last["val_loss"] == pytest.approx(loss.item())
    assert last["val_auc"] == pytest.approx(roc_auc_score(truth, p.iloc[-1]))
    assert last["val_accuracy"] == pytest.approx(((p.iloc[-1] >= 0.5) == truth).mean())
    with pytest.raises(FormatError, match="validation"):
        classifier(early_stopping=0.3).fit(cohort[:6], y.iloc[:6], validation=(cohort[6:], y))


def test_early_stopping_keeps_the_best(noisy):
    cohort, y = noisy
    model = classifier(n_epochs=12, early_stopping=0.4, patience=2, learning_rate=3e-3)
    model.fit(cohort, y)
    history = model.history_
    assert len(model.held_out_) == 4
    assert sorted(y[model.held_out_]) == [0, 0, 1, 1]
    best = int(history["val_loss"].idxmin())
    assert len(history) == min(best + 3, 12)
    p = pd.Series(model.predict_proba(cohort)[:, 1], cohort.index)[model.held_out_]
    truth = y[model.held_out_]
    loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_the_scaling_is_learned_without_those_held_out(noisy):
    cohort, y = noisy
    model = classifier(n_epochs=1, early_stopping=0.4).fit(cohort, y)
    x = pd.Series(list(model.inputs(cohort)), cohort.index).drop(model.held_out_)
    assert abs(np.mean(np.stack(x.tolist()), dtype=float)) < 1e-6


@pytest.mark.parametrize(("n", "share"), [(4, 0.5), (20, 0.25), (30, 0.1)])
def test_holding_out_is_stratified(n, share):
    codes = np.arange(n) % 2
    members, held = hold_out(codes, share, 0)
    assert sorted([*members, *held]) == list(range(n))
    assert len(held) == max(2, round(share * n))
    assert abs(codes[held].sum() - len(held) / 2) <= 0.5


def test_too_few_to_hold_out():
    with pytest.raises(FormatError, match="too few to hold out"):
        hold_out(np.array([0, 0, 0, 1]), 0.5, 0)


def test_precise_statistics_are_those_of_the_training_people(noisy):
    cohort, y = noisy
    plain = classifier(n_epochs=3).fit(cohort, y)
    model = classifier(n_epochs=3, precise_bn=True).fit(cohort, y)
    before, after = weights(plain), weights(model)
    learned = [name for name in before if "running" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learned)
    batches = torch.from_numpy(plain.inputs(cohort)).split(6)
    precise_bn(plain.network_, list(batches))
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(after[name], tensor)


# -- a frozen trunk ----------------------------------------------------------------------------


def test_a_frozen_trunk_stays(noisy):
    cohort, y = noisy
    model = classifier(n_epochs=40, freeze=True, head_learning_rate=0.05).fit(cohort, y)
    start = resnet3d(10, stem="medicalnet", width=4, random_state=0).state_dict()
    changed = {name for name, tensor in weights(model).items() if not tensor.equal(start[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert roc_auc_score(y, model.decision_function(cohort)) > 0.9  # ten people, 32 features
    features = model.features(cohort)
    head = model.network_.fc
    expected = features @ head.weight.detach().numpy()[0] + head.bias.item()
    np.testing.assert_allclose(model.decision_function(cohort), expected, rtol=1e-4, atol=1e-4)


def test_frozen_features_are_computed_once(noisy, monkeypatch):
    cohort, y = noisy
    training._FEATURES.clear()
    seen = []
    original = ResNet3D.features
    monkeypatch.setattr(
        ResNet3D, "features", lambda net, x: seen.append(len(x)) or original(net, x)
    )
    first = classifier(freeze=True).fit(cohort, y)
    assert sum(seen) == 10
    classifier(freeze=True).fit(cohort, 1 - y)  # other labels
    assert sum(seen) == 10
    again = classifier(freeze=True).fit(cohort, y)
    assert sum(seen) == 10
    assert same(weights(first), weights(again))
    classifier(freeze=True, random_state=1).fit(cohort, y)  # another trunk
    assert sum(seen) == 20


def test_a_frozen_trunk_can_be_watched(noisy):
    cohort, y = noisy
    model = classifier(n_epochs=3, freeze=True, norm="group")
    model.fit(cohort[:6], y.iloc[:6], validation=(cohort[6:], y))
    expected = model.predict_proba(cohort[6:])[:, 1]
    np.testing.assert_allclose(model.validation_p_.iloc[-1], expected, rtol=1e-4)


# -- what goes wrong ---------------------------------------------------------------------------


def test_out_of_memory_says_what_to_lower(noisy, monkeypatch):
    def forward(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(ResNet3D, "forward", forward)
    with pytest.raises(TrainingError, match=r"memory ran out.*lower the batch size"):
        classifier().fit(*noisy)


def test_a_loss_that_explodes_is_an_error(noisy):
    with pytest.raises(TrainingError, match=r"loss is (nan|inf)|norm is (nan|inf)"):
        classifier(learning_rate=1e30, n_epochs=5).fit(*noisy)


def test_a_failed_fit_leaves_nothing_fitted(noisy, monkeypatch):
    cohort, y = noisy
    model = classifier(n_epochs=1).fit(cohort, y)
    monkeypatch.setattr(ResNet3D, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(cohort, y)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize(
    "wrong",
    [
        {"plane": "oblique"}, {"depth": 11}, {"variant": "x"}, {"stem": "x"}, {"norm": "layer"},
        {"scaling": "all"}, {"scaling": "dataset"}, {"n_epochs": 0}, {"batch_size": 0},
        {"batch_size": 2.5}, {"learning_rate": 0}, {"pos_weight": -1}, {"threshold": 1},
        {"early_stopping": 1.0}, {"augmentation": "flip"}, {"random_state": -1},
        {"random_state": None}, {"device": "abacus"}, {"memory": "disk"}, {"amp": "yes"},
        {"freeze": True, "augmentation": "paper"}, {"precise_bn": True, "norm": "group"},
        {"swap_sides": True}, {"swap_sides": True, "augmentation": "paper"}, {"n_slices": 0},
        {"n_slices": 99}, {"weights": 3}, {"patience": 0}, {"weight_decay": -1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(noisy, wrong):
    with pytest.raises(FormatError):
        classifier(**wrong).fit(*noisy)


@pytest.mark.parametrize(
    ("depth", "variant", "stem", "sound"),
    [
        (30, "dilated", "paper", True), (30, "dilated", "medicalnet", True),
        (30, "strided", "paper", True), (30, "strided", "medicalnet", False),
        (12, "dilated", "medicalnet", False), (12, "strided", "paper", False),
    ],
)  # fmt: skip
def test_half_precision_only_where_it_is_sound(monkeypatch, depth, variant, stem, sound):
    """The coarsest scale is read off a forward pass; two slices are too few on a CPU."""
    network = resnet3d(10, variant, stem=stem, width=1).eval()
    with torch.no_grad():
        found = network.feature_map(torch.zeros(1, 1, depth, 9, 9)).shape[2]
    assert (found > 2) == sound
    monkeypatch.setattr(settings_module, "fast_half", lambda device: True)
    cpu = torch.device("cpu")
    assert train_in_half("auto", cpu, depth, variant=variant, stem=stem) == sound
    assert not train_in_half(False, cpu, depth, variant=variant, stem=stem)
    if not sound:
        with pytest.raises(FormatError, match=f"{found} slices"):
            train_in_half(True, cpu, depth, variant=variant, stem=stem)
    assert train_in_half(True, torch.device("cuda"), depth, variant=variant, stem=stem)


def test_half_precision_learns_nearly_the_same(bright):
    """Losses of the first steps, before the two drift apart."""
    cohort, y = bright
    settings = {"n_slices": 20, "n_epochs": 1, "batch_size": 4}
    half, single = (classifier(**settings, amp=amp).fit(cohort, y) for amp in (True, False))
    np.testing.assert_allclose(half.history_["loss"], single.history_["loss"], rtol=0.1)
