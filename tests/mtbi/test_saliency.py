"""Saliency maps of networks whose gradients are known, and of small residual ones."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import precisionpain as pp
from precisionpain.errors import AlignmentError, DataWarning, FormatError, TrainingError
from precisionpain.mtbi import mean_map, resnet3d, saliency_map

SHAPE = (6, 9, 8)
METHODS = ("gradient", "integrated_gradients", "smoothgrad", "grad_cam", "occlusion")
QUIET = {"device": "cpu", "progress": False}


class Linear(nn.Module):
    """A logit that is a weighted sum of the voxels."""

    def __init__(self, weights, bias=0.0):
        super().__init__()
        weights = torch.as_tensor(weights, dtype=torch.float32)
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, volumes):
        return (volumes * self.weights).sum((1, 2, 3, 4))[:, None] + self.bias


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def linear(rng):
    return Linear(rng.normal(size=(1, *SHAPE)) / 10)


@pytest.fixture
def volumes(rng):
    return rng.normal(size=(3, 1, *SHAPE)).astype("float32")


@pytest.fixture
def resnet():
    return resnet3d(18, stem="medicalnet", width=4, random_state=1)


@pytest.fixture
def slabs(rng):
    return rng.normal(size=(3, 1, 12, 20, 16)).astype("float32")


def weights_of(network):
    return network.weights.detach().numpy()[0]


def scaled(values):
    return (values - values.min()) / (values.max() - values.min())


# --- against what is known ------------------------------------------------------------------


def test_gradient_of_a_linear_network(linear, volumes):
    with torch.no_grad():
        p = torch.sigmoid(linear(torch.from_numpy(volumes)).double()).numpy()[:, 0]
    raw = saliency_map(linear, volumes, normalize=False, **QUIET)
    expected = np.abs(weights_of(linear)) * (p * (1 - p))[:, None, None, None]
    np.testing.assert_allclose(raw, expected, rtol=1e-5)
    maps = saliency_map(linear, volumes, **QUIET)
    assert maps.shape == (3, *SHAPE)
    assert maps.dtype == np.float32
    for each in maps:
        np.testing.assert_allclose(each, scaled(np.abs(weights_of(linear))), atol=1e-6)


def test_gradient_of_a_certain_network(linear, volumes):
    """σ(40) is 1 in single precision, and yet the map isn't empty."""
    certain = Linear(linear.weights.detach(), bias=40.0)
    maps = saliency_map(certain, volumes, **QUIET)
    np.testing.assert_allclose(maps[0], scaled(np.abs(weights_of(linear))), atol=1e-5)


def test_channels_are_joined_by_their_maximum(rng):
    weights = rng.normal(size=(2, *SHAPE))
    raw = saliency_map(
        Linear(weights), rng.normal(size=(1, 2, *SHAPE)), of="logit", normalize=False, **QUIET
    )
    np.testing.assert_allclose(raw[0], np.abs(weights).max(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("integrated_gradients", {"n_steps": 3}),
        ("occlusion", {"window": (1, 1, 1), "batch_size": 64}),
    ],
)
@pytest.mark.parametrize("start", [0.0, 0.3])
def test_attributions_of_a_linear_network(linear, volumes, method, options, start):
    """Of a sum, each voxel's part is its weight times how far it is from the baseline."""
    raw = saliency_map(
        linear, volumes, method, of="logit", normalize=False, baseline=start,
        **{**QUIET, **options},
    )  # fmt: skip
    np.testing.assert_allclose(raw, weights_of(linear) * (volumes[:, 0] - start), atol=2e-5)


def test_occlusion_covers_every_voxel(linear, volumes):
    """Windows and strides that don't divide the slab leave no voxel out."""
    raw = saliency_map(
        linear, volumes, "occlusion", of="logit", normalize=False, window=(4, 5, 3),
        stride=(3, 9, 2), **QUIET,
    )  # fmt: skip
    assert (raw != 0).all()


def test_smoothgrad_of_a_linear_network(linear, volumes):
    raw = saliency_map(
        linear, volumes, "smoothgrad", of="logit", normalize=False, n_samples=3, **QUIET
    )
    np.testing.assert_allclose(raw, np.broadcast_to(weights_of(linear), raw.shape), rtol=1e-5)


@pytest.mark.parametrize("of", ["probability", "logit"])
def test_integrated_gradients_are_complete(resnet, slabs, of):
    """They add up to the difference between the scores of volume and baseline."""
    raw = saliency_map(
        resnet, slabs, "integrated_gradients", of=of, normalize=False, n_steps=128, batch_size=32,
        **QUIET,
    )  # fmt: skip
    resnet.eval()
    with torch.no_grad():
        score = resnet(torch.from_numpy(slabs)) - resnet(torch.zeros(1, 1, *slabs.shape[2:]))
        if of == "probability":
            score = torch.sigmoid(resnet(torch.from_numpy(slabs))) - torch.sigmoid(
                resnet(torch.zeros(1, 1, *slabs.shape[2:]))
            )
    expected = score.numpy()[:, 0]
    np.testing.assert_allclose(
        raw.sum(axis=(1, 2, 3)), expected, atol=0.01 * np.abs(expected).max()
    )


def test_gradient_is_that_of_what_the_network_computes(resnet, slabs):
    """Finite differences in double precision; the published shortcut's gradient is another."""
    raw = saliency_map(resnet, slabs[:1], of="logit", normalize=False, **QUIET)[0]
    cut = saliency_map(
        resnet, slabs[:1], of="logit", normalize=False, shortcut_grad="cut", **QUIET
    )[0]
    exact = copy.deepcopy(resnet).double().eval()
    volume = torch.from_numpy(slabs[:1]).double()
    order = np.argsort(-raw.ravel())
    seen, step = [], 1e-6
    for voxel in order[[0, 5, 50, 500]]:
        place = (0, 0, *np.unravel_index(voxel, raw.shape))
        up, down = volume.clone(), volume.clone()
        up[place] += step
        down[place] -= step
        with torch.no_grad():
            seen.append(abs((exact(up) - exact(down)).item()) / (2 * step))
    chosen = order[[0, 5, 50, 500]]
    np.testing.assert_allclose(raw.ravel()[chosen], seen, rtol=1e-3)
    assert not np.allclose(cut.ravel()[chosen], seen, rtol=0.05)


def test_shortcut_grad_of_the_network_is_kept(resnet, slabs):
    assert resnet.shortcut_grad == "cut"
    as_it_is = saliency_map(resnet, slabs, shortcut_grad=None, **QUIET)
    np.testing.assert_array_equal(
        as_it_is, saliency_map(resnet, slabs, shortcut_grad="cut", **QUIET)
    )
    full = saliency_map(resnet, slabs, **QUIET)
    assert not np.allclose(as_it_is, full)
    assert resnet.shortcut_grad == "cut"


class Strided(nn.Module):
    """Convolutions of stride 2 that hand one voxel in eight on, three times."""

    def __init__(self, n):
        super().__init__()
        self.stages = nn.Sequential(*[nn.Conv3d(1, 1, 3, 2, 1, bias=False) for _ in range(n)])
        for stage in self.stages:
            nn.init.zeros_(stage.weight)
            stage.weight.data[0, 0, 1, 1, 1] = 1

    def forward(self, volumes):
        return self.stages(volumes).mean((2, 3, 4))


@pytest.mark.parametrize(("n", "place"), [(1, (4, 8, 6)), (2, (4, 12, 16)), (3, (8, 16, 8))])
def test_grad_cam_lies_where_the_network_looked(n, place):
    """Interpolated cell by cell, the peak would be (2ⁿ − 1) / 2 voxels off."""
    volume = np.zeros((1, 1, 13, 25, 22), dtype="float32")
    volume[(0, 0, *place)] = 1
    cam = saliency_map(Strided(n), volume, "grad_cam", layer=f"stages.{n - 1}", **QUIET)[0]
    assert np.unravel_index(cam.argmax(), cam.shape) == place
    half = 2 ** (n - 1)
    sideways = (place[0], place[1], place[2] + half)
    np.testing.assert_allclose(cam[sideways], 0.5, atol=1e-5)


# --- what a map must not depend on, or change -----------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_network_and_generator_stay_as_they_were(resnet, slabs, method):
    resnet.train()
    before = {name: value.clone() for name, value in resnet.state_dict().items()}
    generator = torch.get_rng_state()
    maps = saliency_map(resnet, slabs, method, n_steps=4, n_samples=3, window=(6, 10, 8), **QUIET)
    assert maps.shape == (3, 12, 20, 16)
    np.testing.assert_allclose([maps.min(axis=(1, 2, 3)), maps.max(axis=(1, 2, 3))],
                               [[0] * 3, [1] * 3])  # fmt: skip
    assert resnet.training
    assert all(weights.grad is None and weights.requires_grad for weights in resnet.parameters())
    for name, value in resnet.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_does_not_depend_on_the_others(resnet, slabs, method):
    options = {"n_steps": 4, "n_samples": 3, "window": (6, 10, 8), **QUIET}
    together = saliency_map(resnet.train(), slabs, method, batch_size=3, **options)
    alone = saliency_map(resnet, slabs[1:2], method, batch_size=3, **options)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "grad_cam", "occlusion"])
def test_batch_size_changes_nothing(resnet, slabs, method):
    options = {"n_steps": 4, "window": (6, 10, 8), **QUIET}
    np.testing.assert_allclose(
        saliency_map(resnet, slabs, method, batch_size=1, **options),
        saliency_map(resnet, slabs, method, batch_size=3, **options),
        atol=1e-4,
    )


def test_a_classifier_gives_its_own_inputs(resnet, slabs):
    class Fitted:
        network_ = resnet

        def inputs(self, X):
            assert isinstance(X, pp.Cohort)
            return slabs

    cohort = pp.datasets.sample_tn(n_subjects=8, random_state=0)
    np.testing.assert_array_equal(
        saliency_map(Fitted(), cohort, **QUIET), saliency_map(resnet, slabs, **QUIET)
    )
    with pytest.raises(FormatError, match="give the fitted classifier with the Cohort"):
        saliency_map(resnet, cohort, **QUIET)


# --- refusals -------------------------------------------------------------------------------


def test_volumes_that_are_not_finite_are_named(resnet, slabs):
    slabs[1, 0, 3, 3, 3] = np.nan
    with pytest.raises(FormatError, match=r"volumes 1 have voxels that are not finite"):
        saliency_map(resnet, slabs, **QUIET)


def test_broken_weights_are_found(linear, volumes):
    linear.weights.data[0, 2, 2, 2] = float("nan")
    with pytest.raises(TrainingError, match="not finite, though the volumes are"):
        saliency_map(linear, volumes, **QUIET)


def test_memory_that_runs_out_is_explained(volumes):
    class Greedy(nn.Module):
        def forward(self, volumes):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    with pytest.raises(TrainingError, match="lower batch_size"):
        saliency_map(Greedy(), volumes, **QUIET)
    with pytest.raises(TrainingError, match="use fewer slices"):
        saliency_map(Greedy(), volumes, batch_size=1, **QUIET)


def test_a_map_without_contrast_is_said_to_be_one(volumes):
    with pytest.warns(DataWarning, match="nothing in these volumes changes the score"):
        maps = saliency_map(Linear(np.zeros((1, *SHAPE))), volumes, **QUIET)
    assert (maps == 0).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "lime"}, "expected one of 'gradient'"),
        ({"of": "class"}, "'probability' or 'logit'"),
        ({"method": "grad_cam"}, "name one, such as"),
        ({"method": "grad_cam", "layer": "layer9"}, "no layer 'layer9'"),
        ({"method": "integrated_gradients", "n_steps": 0}, "n_steps of at least 1"),
        ({"method": "integrated_gradients", "baseline": np.zeros((2, 2, 2))}, "expected a number"),
        ({"method": "smoothgrad", "noise": -1}, "noise of at least 0"),
        ({"method": "occlusion", "window": (2, 2)}, "three numbers"),
        ({"batch_size": 0}, "batch_size of at least 1"),
        ({"device": "cuda:99"}, "was asked for"),
    ],
)
def test_options_that_make_no_sense(linear, volumes, options, match):
    with pytest.raises(FormatError, match=match):
        saliency_map(linear, volumes, **{**QUIET, **options})


def test_models_and_volumes_that_make_no_sense(linear, volumes):
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(FormatError, match="isn't fitted"):
        saliency_map(LogisticRegression(), volumes, **QUIET)
    with pytest.raises(FormatError, match="a fitted classifier or a torch network"):
        saliency_map("resnet18", volumes, **QUIET)
    with pytest.raises(FormatError, match=r"volumes\[:, None\]"):
        saliency_map(linear, volumes[:, 0], **QUIET)
    two = resnet3d(10, stem="medicalnet", width=4, n_classes=2)
    with pytest.raises(FormatError, match="one logit per person"):
        saliency_map(two, volumes, **QUIET)


# --- the mean -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "members"),
    [
        ("true_positives", [0, 3]), ("false_negatives", [1]), ("false_positives", [2]),
        ("true_negatives", [4]), ("everybody", [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_mean_of_a_group(rng, which, members):
    maps = rng.random((5, 2, 3, 4))
    y, p = [1, 1, 0, 1, 0], [0.9, 0.4, 0.7, 0.5, 0.1]
    mean = mean_map(maps, y, p, which=which)
    np.testing.assert_allclose(mean, maps[members].mean(axis=0), rtol=1e-6)
    shuffled = rng.permutation(5)
    again = mean_map(maps[shuffled], np.array(y)[shuffled], np.array(p)[shuffled], which=which)
    np.testing.assert_allclose(again, mean, rtol=1e-6)


def test_mean_goes_by_ids():
    maps = np.arange(3.0).reshape(3, 1, 1, 1)
    y = pd.Series([1, 0, 1], index=["a", "b", "c"])
    p = pd.Series({"c": 0.1, "a": 0.9, "b": 0.8})
    assert mean_map(maps, y, p).item() == 0
    with pytest.raises(AlignmentError, match="'b', 'd'"):
        mean_map(maps, y, p.rename({"b": "d"}))


def test_mean_of_nobody():
    maps = np.ones((2, 1, 1, 1))
    with pytest.raises(FormatError, match="none of 2 people are true positives"):
        mean_map(maps, [0, 1], [0.9, 0.2])
    with pytest.raises(AlignmentError, match="one outcome and one probability"):
        mean_map(maps, [0, 1], [[0.5, 0.5], [0.2, 0.8]])
    with pytest.raises(FormatError, match="outcomes of 0 or 1"):
        mean_map(maps, [0, np.nan], [0.9, 0.2])
    with pytest.raises(FormatError, match="expected one of 'true_positives'"):
        mean_map(maps, [0, 1], [0.9, 0.2], which="winners")
