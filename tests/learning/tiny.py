"""A training small enough to be run dozens of times: dropout, batch norm, early stopping."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from precisionpain._learning.loop import Recipe, train

RECIPE = Recipe(learning_rate=0.03, n_steps=60, warmup=0.1, ema=0.9, rates={"0.": 0.5})
WEIGHTS = torch.linspace(-1, 1, 8)


def network(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv3d(1, 3, 2), nn.BatchNorm3d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
            nn.Linear(3, 1),
        )  # fmt: skip


def drawn(*key, n=8):
    """Images of 2 × 2 × 2 voxels, and what a linear rule makes of them."""
    images = torch.from_numpy(np.random.default_rng(key).normal(size=(n, 1, 2, 2, 2))).float()
    return images, images.flatten(1) @ WEIGHTS


def batch_of(step):
    return drawn(5, step)


def loss_of(net, batch):
    error = ((net(batch[0])[:, 0] - batch[1]) ** 2).mean()
    return error, {"square": error.detach()}


def validate(net):
    """A truth of half the slope: the error falls, then rises again, so training stops early."""
    images, truth = drawn(6, n=64)
    assert not net.training
    return {"loss": ((net(images)[:, 0] - 0.2 * truth) ** 2).mean().item(), "nothing": float("nan")}


def run(net, recipe=RECIPE, **options):
    defaults = {
        "seed": 3, "validate": validate, "validate_every": 4, "patience": 3,
        "checkpoint_every": 5, "log_every": 3, "progress": False,
    }  # fmt: skip
    functions = [options.pop(name, function) for name, function in FUNCTIONS.items()]
    return train(net, *functions, recipe, **(defaults | options))


FUNCTIONS = {"batch_of": batch_of, "loss_of": loss_of}


def assert_same_weights(left, right):
    left, right = (net if isinstance(net, dict) else net.state_dict() for net in (left, right))
    assert left.keys() == right.keys()
    differing = [name for name in left if not torch.equal(left[name], right[name])]
    assert differing == []


def assert_same_history(left, right):
    """Bit for bit, but for the seconds, which no two runs share."""
    frames = [history.frame().drop(columns="seconds") for history in (left, right)]
    assert frames[0].columns.tolist() == frames[1].columns.tolist()
    np.testing.assert_array_equal(*(frame.to_numpy() for frame in frames))
    for name in ("best_step", "best_value", "stopped_early"):
        assert getattr(left, name) == getattr(right, name)
