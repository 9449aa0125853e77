"""What the loop computes, against torch's plain loop and closed forms; and how it fails."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import random
import sys
import threading
import types

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from precisionpain._learning.device import deterministic_threads
from precisionpain._learning.loop import History, Recipe, train
from precisionpain.errors import FormatError, StorageError, TrainingError

from . import tiny

PLAIN = Recipe(
    learning_rate=0.01, n_steps=12, schedule="constant", gradient_clip=None, weight_decay=0.02
)
NO_VALIDATION = {"validate": None, "patience": None}


@pytest.fixture(autouse=True)
def one_thread():
    with deterministic_threads(1):
        yield


def with_(**changes):
    return dataclasses.replace(PLAIN, **changes)


def linear(seed=2):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1))


def squared(net, batch):
    return ((net(batch[0])[:, 0] - batch[1]) ** 2).mean()


def fit(net, recipe=PLAIN, batch_of=tiny.batch_of, loss_of=squared, **options):
    return train(net, batch_of, loss_of, recipe, **({"seed": 3, "progress": False} | options))


# --- schedules ---------------------------------------------------------------------------


def test_schedules_have_their_closed_forms():
    steps = np.arange(100)
    p = steps / 100
    for schedule, expected in (
        ("poly", (1 - p) ** 0.9),
        ("cosine", np.cos(np.pi * p / 2) ** 2),  # the half-angle form of ½(1 + cos πp)
        ("constant", np.ones(100)),
    ):
        recipe = with_(n_steps=100, schedule=schedule, learning_rate=0.5)
        rates = [recipe.rate_at(step) for step in steps]
        np.testing.assert_allclose(rates, 0.5 * expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("warmup", [20, 0.2])
def test_warmup_rises_linearly_and_then_the_whole_schedule_follows(warmup):
    recipe = with_(n_steps=100, schedule="cosine", warmup=warmup, learning_rate=1.0)
    short = with_(n_steps=80, schedule="cosine", learning_rate=1.0)
    assert [recipe.rate_at(step) for step in range(20)] == [(step + 1) / 20 for step in range(20)]
    assert [recipe.rate_at(20 + step) for step in range(80)] == [
        short.rate_at(s) for s in range(80)
    ]


def test_the_rate_of_the_history_is_that_of_the_schedule():
    recipe = with_(schedule="poly", warmup=3)
    history = fit(linear(), recipe, log_every=1)
    rates = history.frame()["learning_rate"].tolist()
    assert rates == [recipe.rate_at(step) for step in range(12)]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": 2.5}, "n_steps"),
        ({"warmup": 12}, "warmup"),
        ({"warmup": -1}, "warmup"),
        ({"schedule": "linear"}, "schedule"),
        ({"gradient_clip": 0}, "gradient_clip"),
        ({"ema": 1.0}, "ema"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"momentum": 1}, "momentum"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"rates": {"1.": -1}}, "rates"),
    ],
)
def test_a_recipe_that_makes_no_sense(changes, where):
    with pytest.raises(FormatError, match=rf"Recipe\.{where}: expected .*, found"):
        with_(**changes)


# --- steps, against torch's plain loop ----------------------------------------------------


def plain_loop(net, optimizer, n_steps, clip=None, rate=lambda step: None):
    losses = []
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step) or group["lr"]
        images, truth = tiny.batch_of(step)
        loss = ((net(images)[:, 0] - truth) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.02)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.02)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_steps_are_those_of_torch(name, clip):
    expected, net = linear(), linear()
    losses = plain_loop(
        expected, {"adamw": adamw, "sgd": sgd}[name](expected.parameters()), 12, clip
    )
    history = fit(net, with_(optimizer=name, gradient_clip=clip), log_every=1)
    tiny.assert_same_weights(net, expected)
    assert history.frame()["loss"].tolist() == losses
    assert losses[-1] < losses[0]


def test_sgd_without_momentum_is_plain_gradient_descent():
    net, expected = linear(), linear()
    fit(net, with_(optimizer="sgd", momentum=0, weight_decay=0))
    plain_loop(expected, torch.optim.SGD(expected.parameters(), lr=0.01), 12)
    tiny.assert_same_weights(net, expected)


def test_steps_follow_the_schedule():
    expected, net = linear(), linear()
    plain_loop(
        expected, adamw(expected.parameters()), 12, rate=lambda s: 0.01 * (1 - s / 12) ** 0.9
    )
    fit(net, with_(schedule="poly"))
    tiny.assert_same_weights(net, expected)


def test_two_learning_rates_and_the_longest_start_wins():
    expected, net = linear(), linear()
    first, last = expected[1], expected[3]
    optimizer = torch.optim.AdamW(
        [
            {"params": [first.weight], "lr": 0.001},
            {"params": [first.bias], "lr": 0.005},
            {"params": last.parameters(), "lr": 0.01},
        ],
        weight_decay=0.02,
    )
    plain_loop(expected, optimizer, 12)
    fit(net, with_(rates={"1.": 0.1, "1.bias": 0.5}))
    for name, weights in net.state_dict().items():
        torch.testing.assert_close(weights, expected.state_dict()[name], rtol=1e-6, atol=1e-7)


def test_a_factor_of_zero_and_a_parameter_without_gradient_stay_where_they_were():
    net, before = linear(), linear()
    net[3].weight.requires_grad_(False)
    fit(net, with_(rates={"1.": 0.0}))
    kept = {
        name for name, w in net.state_dict().items() if torch.equal(w, before.state_dict()[name])
    }
    assert kept == {"1.weight", "1.bias", "3.weight"}


def test_rates_that_fit_nothing_and_networks_with_nothing_to_train():
    with pytest.raises(
        FormatError, match=r"no parameter begins with 'encoder'; there are '1.weight'"
    ):
        fit(linear(), with_(rates={"1.": 0.1, "encoder": 0.1}))
    with pytest.raises(FormatError, match="no parameter that needs a gradient"):
        fit(linear().requires_grad_(False))


def test_the_average_is_the_recursion_that_was_promised():
    net, seen = linear(), []
    fit(
        net, with_(ema=0.6), on_step=lambda *_: seen.append(net[1].weight.detach().double().clone())
    )
    average = linear()[1].weight.detach().double()
    for step, weights in enumerate(seen):
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(net[1].weight.detach().double(), average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average, seen[-1], atol=1e-4)


def test_the_average_counts_batches_and_does_not_disturb_the_training():
    plain, averaged, validated = (tiny.network() for _ in range(3))
    watch = {"validate": tiny.validate, "patience": None, "validate_every": 2}
    losses = [
        tiny.run(net, recipe, log_every=1, **options).frame()["loss"].tolist()
        for net, recipe, options in (
            (plain, PLAIN, NO_VALIDATION),
            (averaged, with_(ema=0.99), NO_VALIDATION),
            (validated, with_(ema=0.99), watch),
        )
    ]
    assert losses[0] == losses[1] == losses[2]
    tiny.assert_same_weights(averaged, validated)
    assert averaged[1].num_batches_tracked == plain[1].num_batches_tracked == 12


# --- randomness ----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_network_and_another_one_does_not():
    nets = [tiny.network() for _ in range(3)]
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        tiny.run(net, PLAIN, seed=seed, **NO_VALIDATION)
    tiny.assert_same_weights(nets[0], nets[1])
    assert not torch.equal(nets[0][0].weight, nets[2][0].weight)


def test_the_generator_of_the_caller_stays_as_it_was_and_has_no_say():
    nets = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        nets.append(tiny.network())
        tiny.run(nets[-1])
        assert torch.equal(torch.get_rng_state(), before)
    tiny.assert_same_weights(*nets)


def test_dropout_differs_from_step_to_step():
    masks = []

    def loss_of(net, batch):
        masks.append(nn.functional.dropout(torch.ones(64)))
        return squared(net, batch)

    fit(linear(), loss_of=loss_of)
    assert len({tuple(mask.tolist()) for mask in masks}) == 12


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(1), lambda: np.random.rand(), random.random],  # noqa: NPY002
    ids=["torch", "numpy", "random"],
)
def test_a_batch_that_is_no_function_of_the_step_is_refused(draw, prefetch):
    def batch_of(step):
        draw()
        return tiny.batch_of(step)

    with pytest.raises(TrainingError, match=r"batch_of\(0\): batch_of draws from the global"):
        fit(linear(), batch_of=batch_of, prefetch=prefetch)


# --- batches -------------------------------------------------------------------------------


def test_prefetch_changes_nothing_and_stays_one_ahead():
    results = []
    for prefetch in (0, 1):
        asked, lead, net = [], [], tiny.network()

        def batch_of(step, asked=asked):
            asked.append(step)
            return tiny.batch_of(step)

        history = tiny.run(
            net,
            batch_of=batch_of,
            prefetch=prefetch,
            on_step=lambda step, _, asked=asked, lead=lead: lead.append(len(asked) - step - 1),
        )
        n_steps = history.rows[-1]["step"]
        assert asked[:n_steps] == list(range(n_steps))
        assert max(lead) <= prefetch
        results.append((net, history))
    tiny.assert_same_weights(results[0][0], results[1][0])
    tiny.assert_same_history(results[0][1], results[1][1])


@pytest.mark.parametrize("prefetch", [0, 1])
def test_an_error_in_a_batch_comes_in_its_step_and_leaves_no_thread(prefetch):
    done, threads = [], threading.active_count()

    def batch_of(step):
        if step == 5:
            raise KeyError("scan 5")
        return tiny.batch_of(step)

    with pytest.raises(KeyError, match="scan 5"):
        fit(
            linear(),
            batch_of=batch_of,
            prefetch=prefetch,
            on_step=lambda step, _: done.append(step),
        )
    assert done == list(range(5))
    assert threading.active_count() == threads


@pytest.mark.parametrize("form", ["tuple", "list", "dict", "tensor", "nested"])
def test_batches_of_every_form(form):
    image = torch.ones(1, 1, 2, 2, 2)
    batch = {
        "tuple": (image, image),
        "list": [image, image],
        "dict": {"x": image, "y": image},
        "tensor": image,
        "nested": {"x": (image,), "name": "left"},
    }[form]
    got = []

    def loss_of(net, moved):
        got.append(moved)
        tensor = moved
        while not isinstance(tensor, torch.Tensor):
            tensor = next(iter(tensor.values() if isinstance(tensor, dict) else tensor))
        return net(tensor).mean()

    fit(linear(), with_(n_steps=1), batch_of=lambda step: batch, loss_of=loss_of)
    assert type(got[0]) is (tuple if form == "list" else type(batch))
    if form == "nested":
        assert got[0]["name"] == "left"


# --- precision and memory ------------------------------------------------------------------


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32():
    kinds = set()

    def loss_of(net, batch):
        found = net(batch[0])
        kinds.add(found.dtype)
        return ((found[:, 0].float() - batch[1]) ** 2).mean()

    net = linear()
    history = fit(
        net, with_(amp=True, n_steps=60, learning_rate=0.03), loss_of=loss_of, log_every=1
    )
    assert kinds == {torch.bfloat16}
    assert {weights.dtype for weights in net.parameters()} == {torch.float32}
    losses = history.frame()["loss"]
    assert losses.tail(10).mean() < 0.5 * losses.head(10).mean()


def test_channels_last():
    def loss_of(net, batch):
        assert batch[0].is_contiguous(memory_format=torch.channels_last_3d)
        return net(batch[0]).mean()

    net = nn.Sequential(nn.Conv3d(2, 3, 2), nn.Flatten(), nn.Linear(3, 1))
    images = torch.randn(4, 2, 2, 2, 2)
    fit(net, with_(channels_last=True, n_steps=2), lambda step: (images,), loss_of)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not net[0].weight.is_contiguous()


# --- validation and early stopping ----------------------------------------------------------


VALUES = [5.0, 4.0, 4.5, 4.0, 4.1, 3.0, 2.0]


def told(values):
    values = iter(values)
    return lambda net: {"score": next(values)}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_early_stopping_keeps_the_best_weights(mode):
    sign = 1 if mode == "min" else -1
    net, seen = linear(), []
    history = fit(
        net,
        with_(n_steps=20),
        validate=told([sign * value for value in VALUES]),
        validate_every=2,
        patience=3,
        monitor="score",
        mode=mode,
        on_step=lambda *_: seen.append({n: w.clone() for n, w in net.state_dict().items()}),
    )
    assert (history.best_step, history.best_value) == (4, sign * 4.0)
    assert history.stopped_early
    assert len(seen) == 10  # an equal value is no better one
    tiny.assert_same_weights(net, seen[3])


def test_patience_that_does_not_run_out_still_keeps_the_best():
    net, seen = linear(), []
    history = fit(
        net,
        with_(n_steps=6),
        validate=told([2.0, 1.0, 3.0]),
        validate_every=2,
        patience=2,
        monitor="score",
        on_step=lambda *_: seen.append({n: w.clone() for n, w in net.state_dict().items()}),
    )
    assert not history.stopped_early
    assert history.best_step == 4
    tiny.assert_same_weights(net, seen[3])


def test_without_patience_validation_only_watches():
    plain, watched, random_numbers = tiny.network(), tiny.network(), []

    def validate(net):
        random_numbers.append(torch.rand(1).item())
        return tiny.validate(net)

    tiny.run(plain, PLAIN, **NO_VALIDATION)
    history = tiny.run(watched, PLAIN, validate=validate, validate_every=5, patience=None)
    tiny.assert_same_weights(plain, watched)
    assert [row["step"] for row in history.validations] == [5, 10, 12]
    assert len(set(random_numbers)) == 3
    assert history.best_step is None


def test_the_network_is_validated_as_it_will_be_kept():
    """In evaluation mode, without gradients, with the averaged weights."""
    net, found = tiny.network(), []

    def validate(net):
        found.append({name: weights.clone() for name, weights in net.state_dict().items()})
        assert not torch.is_grad_enabled()
        assert not any(module.training for module in net.modules())
        return {"loss": 0.0}

    tiny.run(net, with_(ema=0.9), validate=validate, validate_every=12, patience=None)
    assert not any(module.training for module in net.modules())
    tiny.assert_same_weights(net, found[-1])


@pytest.mark.parametrize(
    ("values", "message"),
    [({"dice": 0.5}, "'loss'.* gave 'dice'"), ({"loss": math.nan}, "is NaN"), ({}, "gave nothing")],
)
def test_a_monitor_that_is_not_there(values, message):
    with pytest.raises(TrainingError, match=message):
        fit(linear(), validate=lambda net: values, patience=1)


# --- history and log -------------------------------------------------------------------------


def test_history_rows():
    history = tiny.run(tiny.network(), PLAIN, patience=None, validate_every=5, log_every=4)
    frame = history.frame()
    assert frame["step"].tolist() == [4, 5, 8, 10, 12]
    assert frame.columns.tolist() == [
        "step", "loss", "mean_loss", "learning_rate", "seconds",
        "loss_square", "val_loss", "val_nothing",
    ]  # fmt: skip
    assert (frame["loss_square"] == frame["loss"]).all()
    assert frame["val_loss"].isna().tolist() == [True, False, True, False, False]
    assert frame["seconds"].is_monotonic_increasing
    every = tiny.run(tiny.network(), PLAIN, **NO_VALIDATION, log_every=1).frame()
    np.testing.assert_allclose(every["mean_loss"], every["loss"].expanding().mean(), rtol=1e-12)
    assert repr(history).startswith("History(12 steps, loss ")
    assert repr(History()) == "History(empty)"
    assert History().frame().empty


def test_the_log_is_the_history(tmp_path):
    log = tmp_path / "deep" / "log.csv"
    lines = []
    history = tiny.run(
        tiny.network(), log=log, on_step=lambda *_: lines.append(len(log.read_text().splitlines()))
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(log, float_precision="round_trip"), history.frame(), check_dtype=False
    )
    assert lines[:5] == [1, 1, 1, 2, 3]  # a header, then a row after steps 3 and 4: as it goes


def test_a_log_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        fit(linear(), log=tmp_path / "file" / "log.csv")


def test_tensorboard_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FormatError, match=r"isn't installed\. To fix: name a .csv file, or pip"):
        fit(linear(), log=tmp_path / "runs")


def test_tensorboard_gets_every_value_and_forgets_steps_after_the_checkpoint(tmp_path, monkeypatch):
    made = []

    class Writer:
        def __init__(self, folder, purge_step):
            self.purge_step, self.values = purge_step, {}
            made.append(self)

        def add_scalar(self, name, value, step):
            self.values[step, name] = value

        def flush(self):
            pass

    fake = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)

    def kill(step, loss):
        if step == 9:
            raise KeyboardInterrupt

    options = {"log": tmp_path / "runs", "log_every": 1, "checkpoint": tmp_path / "state"}
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), checkpoint_every=5, on_step=kill, **options)
    history = fit(linear(), checkpoint_every=5, **options)
    first, second = made
    assert (first.purge_step, second.purge_step) == (1, 6)
    expected = {(row["step"], n): v for row in history.rows for n, v in row.items() if n != "step"}
    assert {key: second.values.get(key, first.values.get(key)) for key in expected} == expected
    assert min(second.values)[0] == 6


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_only(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    tiny.run(tiny.network(), PLAIN, patience=None, progress=True)
    shown = capsys.readouterr().err
    assert ("12/12" in shown and "nothing=nan" in shown) if terminal else shown == ""
    tiny.run(tiny.network(), PLAIN, patience=None, progress=False)
    assert capsys.readouterr().err == ""


# --- failures ---------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_checkpoint(tmp_path):
    def broken(step):
        images, truth = tiny.batch_of(step)
        return images, truth * (math.inf if step == 7 else 1)

    losses = []
    options = {"checkpoint": tmp_path, "checkpoint_every": 5}
    with pytest.raises(TrainingError) as caught:
        fit(linear(), batch_of=broken, on_step=lambda _, loss: losses.append(loss), **options)
    text = str(caught.value)
    assert "the loss is inf in step 7 (counted from 0) of 12" in text
    assert f"the last finite loss was {losses[-1]:.4g}" in text
    assert "look at batch_of(7)" in text
    assert "lower learning_rate (now 0.01)" in text
    expected, net = linear(), linear()
    fit(expected)
    fit(net, **options)  # with the batch mended, from the checkpoint after five steps
    tiny.assert_same_weights(net, expected)


def test_a_loss_that_is_not_finite_at_once():
    with pytest.raises(TrainingError, match=r"the loss is nan in step 0 .*; it is the first\."):
        fit(linear(), loss_of=lambda net, batch: squared(net, batch) * math.nan)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights():
    def loss_of(net, batch):
        return torch.sqrt((squared(net, batch) * 0).abs())  # 0, with a slope of ∞ · 0

    net, before = linear(), linear()
    with pytest.raises(TrainingError, match="the gradient's norm is nan in step 0"):
        fit(net, with_(amp=True), loss_of=loss_of)
    tiny.assert_same_weights(net, before)


def full_gpu(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def full_host(*_):
    raise MemoryError


def full_allocator(*_):
    return torch.empty(2**60)


@pytest.mark.parametrize("full", [full_gpu, full_host, full_allocator])
@pytest.mark.parametrize("place", ["loss_of", "batch_of", "validate"])
def test_memory_that_runs_out(tmp_path, full, place):
    with pytest.raises(TrainingError) as caught:
        tiny.run(tiny.network(), PLAIN, **{place: full}, checkpoint=tmp_path)
    text = str(caught.value)
    assert text.startswith("memory ran out (")
    assert f"the last checkpoint in {str(tmp_path)!r} is whole" in text
    assert "lower the batch size or the patch size, or use mixed precision" in text
    assert isinstance(caught.value, RuntimeError)
    net, expected = tiny.network(), tiny.network()
    tiny.run(net, PLAIN, checkpoint=tmp_path)
    tiny.run(expected, PLAIN)
    tiny.assert_same_weights(net, expected)


def test_mixed_precision_is_not_advised_to_those_who_use_it():
    with pytest.raises(TrainingError, match=r"there is no checkpoint.*or the patch size\.$"):
        fit(linear(), with_(amp=True), loss_of=full_gpu)


def test_other_errors_pass_unchanged():
    def wrong(net, batch):
        return net(batch[0][:, 0, 0])

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        fit(linear(), loss_of=wrong)
    assert not isinstance(caught.value, TrainingError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed of at least 0"),
        ({"validate_every": 0}, "validate_every of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"log_every": 0}, "log_every"),
        ({"patience": 0, "validate": tiny.validate}, "patience of at least 1"),
        ({"patience": 2}, "without a `validate`"),
        ({"mode": "lower"}, "mode 'min' or 'max'"),
        ({"prefetch": 2}, "prefetch 0 or 1"),
        ({"device": "cuda:99"}, "device 'cuda:99'"),
    ],
)
def test_arguments_that_make_no_sense(options, message):
    with pytest.raises(FormatError, match=message):
        fit(linear(), **options)


@pytest.mark.gpu
def test_on_a_gpu(tmp_path):
    """Trains in bfloat16 and goes on from a checkpoint; equal but for rounding."""
    recipe = with_(amp=True, channels_last=True, ema=0.9)

    def kill(step, loss):
        if step == 8:
            raise KeyboardInterrupt

    options = {"device": "cuda", **NO_VALIDATION}
    expected, net = tiny.network(), tiny.network()
    tiny.run(expected, recipe, **options)
    with pytest.raises(KeyboardInterrupt):
        tiny.run(tiny.network(), recipe, on_step=kill, checkpoint=tmp_path, **options)
    tiny.run(net, recipe, checkpoint=tmp_path, **options)
    for name, weights in net.state_dict().items():
        assert weights.device.type == "cuda"
        torch.testing.assert_close(weights, expected.state_dict()[name], rtol=1e-2, atol=1e-3)
