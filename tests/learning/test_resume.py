"""A training that was killed and taken up again is the uninterrupted one, bit for bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest
import torch

from precisionpain._learning.device import deterministic_threads
from precisionpain._learning.state import TrainingState
from precisionpain.errors import DataWarning, StorageError, TrainingError

from . import tiny


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # kills are tested here, not power cuts
    with deterministic_threads(1):
        yield


class Killed(BaseException):
    pass


def log_without_seconds(path):
    with path.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run: network, history, log."""
    log = tmp_path_factory.mktemp("whole") / "log.csv"
    net = tiny.network()
    with deterministic_threads(1):
        history = tiny.run(net, log=log)
    assert history.stopped_early
    steps = history.rows[-1]["step"]
    assert 20 < steps < tiny.RECIPE.n_steps
    assert 0 < history.best_step < steps
    return net, history, log_without_seconds(log)


def assert_same_run(whole, net, history, log):
    tiny.assert_same_weights(net, whole[0])
    tiny.assert_same_history(history, whole[1])
    assert log_without_seconds(log) == whole[2]


def killer(function, moment):
    """Call the function, but die at the call of that number, once in all."""
    calls = iter(range(10_000))

    def call(*args, **kwargs):
        if next(calls) == moment:
            raise Killed
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("draw", range(20))
def test_killed_at_a_random_moment(tmp_path, monkeypatch, whole, draw):
    """Killed three times, each time at a random call of a random place."""
    random = np.random.default_rng([17, draw])
    folder, log = tmp_path / "state", tmp_path / "log.csv"
    options = {"checkpoint": folder, "log": log, "prefetch": int(random.integers(2))}
    kills = 0
    for place in [*random.choice(["on_step", "batch_of", "validate", "replace"], 3), None]:
        with monkeypatch.context() as patch:
            most = {"validate": 3, "replace": 10}.get(place, 15)
            moment = int(random.integers(most))
            if place == "replace":
                patch.setattr(os, "replace", killer(os.replace, moment))
            changed = {
                "on_step": {"on_step": killer(lambda step, loss: None, moment)},
                "batch_of": {"batch_of": killer(tiny.batch_of, moment)},
                "validate": {"validate": killer(tiny.validate, moment)},
            }.get(place, {})
            net = tiny.network()
            try:
                history = tiny.run(net, **(options | changed))
            except Killed:
                kills += 1
    assert kills > 0
    assert_same_run(whole, net, history, log)


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_a_process_that_is_really_killed(tmp_path, whole):
    options = {"checkpoint": tmp_path / "state", "log": tmp_path / "log.csv"}

    def die(step, loss):
        if step == 13:
            os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(
        target=lambda: tiny.run(tiny.network(), on_step=die, **options)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    seen = []
    net = tiny.network()
    history = tiny.run(net, on_step=lambda step, loss: seen.append(step), **options)
    assert seen[0] == 10  # the checkpoint after ten steps
    assert_same_run(whole, net, history, options["log"])


def stop_at(step_of_kill):
    def on_step(step, loss):
        if step == step_of_kill:
            raise Killed

    return on_step


@pytest.fixture
def killed(tmp_path):
    """The folder of a run that was killed in step 17, and its log."""
    options = {"checkpoint": tmp_path / "state", "log": tmp_path / "log.csv"}
    with pytest.raises(Killed):
        tiny.run(tiny.network(), on_step=stop_at(17), **options)
    return options


def test_two_states_are_kept_and_none_of_them_is_a_pickle(killed):
    names = sorted(path.name for path in killed["checkpoint"].iterdir())
    assert names == [
        f"step-{step:09d}.{end}" for step in (10, 15) for end in ("json", "safetensors")
    ]


def test_two_states_are_kept_after_going_on_too(killed):
    with pytest.raises(Killed):
        tiny.run(tiny.network(), on_step=stop_at(22), **killed)
    names = sorted(path.stem for path in killed["checkpoint"].glob("*.json"))
    assert names == ["step-000000015", "step-000000020"]


def test_the_first_weights_are_those_of_the_killed_run(tmp_path, whole):
    """Also when it was killed before its first step, and the network is made anew."""
    options = {"checkpoint": tmp_path / "state", "log": tmp_path / "log.csv"}
    with pytest.raises(Killed):
        tiny.run(tiny.network(), on_step=stop_at(0), **options)
    net = tiny.network(seed=99)
    assert_same_run(whole, net, tiny.run(net, **options), options["log"])


def test_rows_of_the_log_after_the_last_checkpoint_do_not_come_twice(killed, whole):
    with killed["log"].open("a") as file:
        file.write("16,0.1,0.")  # half a row
    net = tiny.network()
    assert_same_run(whole, net, tiny.run(net, **killed), killed["log"])
    steps = [int(row["step"]) for row in log_without_seconds(killed["log"])]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_state_falls_back_to_the_one_before(killed, whole, suffix, damage):
    path = killed["checkpoint"] / f"step-000000015.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.write_bytes({"cut": content[:-20], "flip": content, "empty": b""}[damage])
    net, seen = tiny.network(), []
    with pytest.warns(DataWarning, match="step-000000015.json: this checkpoint is damaged"):
        history = tiny.run(net, on_step=lambda step, loss: seen.append(step), **killed)
    assert seen[0] == 10
    assert_same_run(whole, net, history, killed["log"])


def test_a_changed_number_is_damage_too(killed, whole):
    path = killed["checkpoint"] / "step-000000015.json"
    state = json.loads(path.read_text())
    state["notes"]["waited"] += 1
    path.write_text(json.dumps(state))
    net = tiny.network()
    with pytest.warns(DataWarning, match="SHA-256 differs"):
        history = tiny.run(net, **killed)
    assert_same_run(whole, net, history, killed["log"])


def test_tensors_without_their_json_are_passed_over(killed, whole):
    """What a kill between the two files leaves is nothing to warn of."""
    (killed["checkpoint"] / "step-000000015.json").unlink()
    net = tiny.network()
    assert_same_run(whole, net, tiny.run(net, **killed), killed["log"])


def test_with_no_whole_state_it_begins_anew(killed, whole):
    for path in killed["checkpoint"].glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    net = tiny.network()
    with pytest.warns(DataWarning) as caught:
        history = tiny.run(net, **killed)
    assert len(caught) == 2
    assert_same_run(whole, net, history, killed["log"])


def test_a_finished_run_returns_at_once(tmp_path, whole):
    options = {"checkpoint": tmp_path / "state", "log": tmp_path / "log.csv"}
    tiny.run(tiny.network(), **options)

    def never(*_):
        raise AssertionError("a finished run was gone on with")

    net = tiny.network(seed=99)
    history = tiny.run(net, batch_of=never, loss_of=never, validate=never, **options)
    assert not net.training
    assert_same_run(whole, net, history, options["log"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"recipe": dataclasses.replace(tiny.RECIPE, learning_rate=0.01)},
            r"recipe.learning_rate \(0.03 there, 0.01 now\)",
        ),
        ({"recipe": dataclasses.replace(tiny.RECIPE, rates={})}, r"recipe.rates \(\{'0.': 0.5\}"),
        ({"seed": 4}, r"seed \(3 there, 4 now\)"),
        ({"fingerprint": "other data"}, r"fingerprint \( there, other data now\)"),
        ({"patience": 2}, "validation"),
        (
            {"net": torch.nn.Linear(8, 1)},
            r"weight.shape \(absent there, \['torch.float32', 1, 8\] now\); .* and 9 more",
        ),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(killed, changes, named):
    before = {path.name: path.read_bytes() for path in killed["checkpoint"].iterdir()}
    changes = {"net": tiny.network()} | changes
    if isinstance(changes["net"], torch.nn.Linear):
        changes["recipe"] = dataclasses.replace(tiny.RECIPE, rates={})
    pattern = rf"other settings: .*{named}.*To fix: use the same settings.*delete the folder"
    with pytest.raises(TrainingError, match=pattern):
        tiny.run(**changes, **killed)
    assert {path.name: path.read_bytes() for path in killed["checkpoint"].iterdir()} == before


def test_what_the_result_does_not_depend_on_may_change(killed, whole):
    net = tiny.network()
    history = tiny.run(net, **killed, checkpoint_every=7, prefetch=1)
    assert_same_run(whole, net, history, killed["log"])


def test_numbers_of_numpy_are_settings_too(tmp_path):
    recipe = dataclasses.replace(tiny.RECIPE, n_steps=np.int64(4))
    for seed in (np.int64(3), 3):
        history = tiny.run(tiny.network(), recipe, seed=seed, checkpoint=tmp_path)
    assert history.rows[-1]["step"] == 4


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_other_ways_to_train_resume_too(tmp_path, optimizer):
    """Channels last and bfloat16 keep their bits as well; so does a run without validation."""
    recipe = dataclasses.replace(
        tiny.RECIPE, n_steps=12, optimizer=optimizer, amp=True, channels_last=True, ema=None
    )
    plain = {"validate": None, "patience": None}
    expected = tiny.network()
    history = tiny.run(expected, recipe, **plain)
    with pytest.raises(Killed):
        tiny.run(tiny.network(), recipe, on_step=stop_at(8), checkpoint=tmp_path, **plain)
    net = tiny.network()
    tiny.assert_same_history(tiny.run(net, recipe, checkpoint=tmp_path, **plain), history)
    tiny.assert_same_weights(net, expected)


def test_the_layout_in_memory_comes_back_too():
    """Another layout would be summed in another order."""
    recipe = dataclasses.replace(tiny.RECIPE, rates={}, channels_last=True)

    def begin():
        return TrainingState(torch.nn.Conv3d(3, 4, 2), recipe, torch.device("cpu"), seed=1)

    def layouts(state):
        moments = state.optimizer.state_dict()["state"][0]
        tensors = [state.average["weight"], state.best["weight"], moments["exp_avg"]]
        return [tensor.stride() for tensor in tensors]

    old, new = begin(), begin()
    old.update(torch.ones(2, 3, 2, 2, 2), lambda net, batch: net(batch).square().mean())
    old.judge({"loss": 1.0}, "loss", "min", 2)
    new.unpack(*old.pack())
    assert layouts(new) == layouts(old) == [new.network.weight.stride()] * 3
    assert not new.network.weight.is_contiguous()


def test_a_checkpoint_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="checkpoint folder can't be made"):
        tiny.run(tiny.network(), checkpoint=tmp_path / "file" / "state")
