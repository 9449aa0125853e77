"""Checks of saliency maps, on networks and maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from precisionpain.errors import FormatError
from precisionpain.mtbi import (
    cascading_randomization,
    deletion_insertion,
    fold_repeatability,
    pointing_game,
    resnet3d,
    saliency_iou,
    saliency_map,
)
from precisionpain.mtbi.saliency_checks import _icc

SHAPE = (6, 9, 8)
QUIET = {"device": "cpu", "progress": False}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


class Linear(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))

    def forward(self, volumes):
        return (volumes * self.weights).sum((1, 2, 3, 4))[:, None]


def one_voxel(place):
    weights = np.zeros((1, *SHAPE))
    weights[(0, *place)] = 2.0
    return Linear(weights)


# --- deletion and insertion -----------------------------------------------------------------


@pytest.fixture
def sums(rng):
    """A linear network, volumes, and each voxel's part in the logit."""
    weights = rng.normal(size=(1, *SHAPE)) / 10
    volumes = rng.normal(size=(2, 1, *SHAPE)).astype("float32")
    return Linear(weights), volumes, (weights * volumes)[:, 0]


def test_curves_of_a_linear_network(sums):
    """What is left of a sum after its largest terms are gone."""
    network, volumes, part = sums
    curves = deletion_insertion(
        network, volumes, part, np.zeros_like(volumes), steps=9, of="logit", **QUIET
    )
    gone = np.round(np.linspace(0, part[0].size, 10)).astype(int)
    for row in range(2):
        terms = np.sort(part[row].ravel())[::-1]
        expected = [terms[count:].sum() for count in gone]
        np.testing.assert_allclose(curves.deletion[row], expected, atol=1e-4)
        np.testing.assert_allclose(
            curves.deletion[row] + curves.insertion[row], terms.sum(), atol=1e-4
        )
    np.testing.assert_allclose(curves.share, gone / part[0].size)


@pytest.mark.parametrize("reference", ["blur", "mean", "noise"])
def test_a_good_map_beats_a_random_one(sums, rng, reference):
    network, volumes, part = sums
    good = deletion_insertion(network, volumes, part, reference, of="logit", **QUIET)
    chance = deletion_insertion(
        network, volumes, rng.random(part.shape), reference, of="logit", **QUIET
    )
    assert (good.deletion_auc < chance.deletion_auc).all()
    assert (good.insertion_auc > chance.insertion_auc).all()
    np.testing.assert_allclose(good.deletion[:, 0], chance.deletion[:, 0], rtol=1e-5)
    np.testing.assert_allclose(good.deletion[:, -1], good.insertion[:, 0], rtol=1e-4, atol=1e-6)


def test_mean_reference_is_the_mean(sums):
    network, volumes, part = sums
    curves = deletion_insertion(network, volumes, part, "mean", steps=1, of="logit", **QUIET)
    weights = network.weights.detach().numpy()
    expected = volumes.mean(axis=(1, 2, 3, 4)) * weights.sum()
    np.testing.assert_allclose(curves.deletion[:, 1], expected, atol=1e-4)


@pytest.mark.parametrize("reference", ["blur", "noise"])
def test_curves_do_not_depend_on_the_others_or_the_batch(sums, reference):
    network, volumes, part = sums
    together = deletion_insertion(network, volumes, part, reference, batch_size=5, **QUIET)
    alone = deletion_insertion(network, volumes[1:], part[1:], reference, batch_size=1, **QUIET)
    np.testing.assert_allclose(together.deletion[1], alone.deletion[0], atol=1e-6)
    np.testing.assert_allclose(together.insertion_auc[1], alone.insertion_auc[0], atol=1e-6)


def test_ties_are_broken_at_random_and_repeatably(sums):
    network, volumes, part = sums
    flat = np.zeros_like(part)
    first, again, other = (
        deletion_insertion(network, volumes, flat, random_state=seed, **QUIET).deletion
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_curves_refuse_what_does_not_fit(sums):
    network, volumes, part = sums
    with pytest.raises(FormatError, match="one map for each volume"):
        deletion_insertion(network, volumes, part[:1], **QUIET)
    with pytest.raises(FormatError, match="or volumes, found 'black'"):
        deletion_insertion(network, volumes, part, "black", **QUIET)
    with pytest.raises(FormatError, match="expected finite volumes"):
        deletion_insertion(network, volumes, part, np.zeros(SHAPE), **QUIET)
    with pytest.raises(FormatError, match="steps of at least 1"):
        deletion_insertion(network, volumes, part, steps=0, **QUIET)


# --- randomisation --------------------------------------------------------------------------


class Gated(nn.Module):
    """Whatever its head has learned, it looks through the same hole."""

    def __init__(self, hole):
        super().__init__()
        self.register_buffer("hole", torch.as_tensor(hole, dtype=torch.float32))
        self.head = nn.Linear(1, 1)

    def forward(self, volumes):
        return self.head((volumes * self.hole).sum((1, 2, 3, 4))[:, None])


def test_a_map_that_is_not_about_the_weights_is_found_out(rng):
    volumes = rng.normal(size=(2, 1, *SHAPE))
    table = cascading_randomization(Gated(rng.random(SHAPE)), volumes, **QUIET)
    assert table.index.tolist() == ["trained", "head"]
    np.testing.assert_allclose(table[["ssim", "spearman"]], 1, atol=1e-5)


def test_a_map_that_is_about_the_weights_changes(rng):
    volumes = rng.normal(size=(2, 1, 12, 20, 16))
    network = resnet3d(10, stem="medicalnet", width=4, random_state=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    table = cascading_randomization(network, volumes, random_state=5, **QUIET)
    layers = ["fc", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    assert table.index.tolist() == ["trained", *layers]
    np.testing.assert_allclose(table.loc["trained", ["ssim", "spearman"]], 1)
    assert (table["ssim"].iloc[1:] < 0.95).all()
    assert abs(table["spearman"].iloc[-1]) < 0.5
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    up = cascading_randomization(network, volumes, order="bottom_up", random_state=5, **QUIET)
    assert up.index.tolist() == ["trained", *layers[::-1]]
    # With everything drawn anew from one seed, it is one network whichever end came first.
    np.testing.assert_allclose(up.iloc[-1], table.iloc[-1], atol=1e-5)
    apart = cascading_randomization(network, volumes, order="independent", random_state=5, **QUIET)
    np.testing.assert_allclose(apart.loc["fc"], table.loc["fc"], atol=1e-6)


def test_randomisation_refuses_an_unknown_order(rng):
    with pytest.raises(FormatError, match="'top_down', 'bottom_up' or 'independent'"):
        cascading_randomization(Gated(np.ones(SHAPE)), rng.random((1, 1, *SHAPE)), order="up")


# --- repeatability --------------------------------------------------------------------------


def test_icc_of_shrout_and_fleiss():
    """Their Table 2, four judges of six people: 0.29 and 0.71 (Table 4)."""
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    agreement, consistency = _icc(ratings)
    assert (round(agreement, 2), round(consistency, 2)) == (0.29, 0.71)


def test_repeatability_of_equal_and_of_unrelated_maps(rng):
    one = rng.random((8, 12, 10))
    same = fold_repeatability([one, one, one])
    assert same.icc_agreement == pytest.approx(1)
    assert len(same.pairs) == 3
    np.testing.assert_allclose(same.pairs, 1)
    noise = fold_repeatability({"a": one, "b": rng.random((8, 12, 10))})
    assert abs(noise.icc_agreement) < 0.1
    assert abs(noise.pairs.loc[("a", "b"), "spearman"]) < 0.1
    assert "Spearman" in repr(noise)


def test_dark_background_is_no_agreement(rng):
    """Two unrelated brains in the same black."""
    brain = np.zeros((10, 14, 12), dtype=bool)
    brain[3:7, 4:10, 3:9] = True
    maps = [np.where(brain, rng.random(brain.shape), 0) for _ in range(2)]
    assert fold_repeatability(maps).icc_agreement > 0.4
    assert abs(fold_repeatability(maps, within=brain).icc_agreement) < 0.25


def test_a_brighter_fold_is_consistent_and_does_not_agree(rng):
    one = rng.random((6, 6, 6)) / 2
    found = fold_repeatability([one, one + 0.5])
    assert found.icc_consistency == pytest.approx(1)
    assert found.icc_agreement < 0.5


def test_repeatability_refuses_too_few():
    with pytest.raises(FormatError, match="two maps or more of one shape"):
        fold_repeatability([np.ones((4, 4, 4))])
    with pytest.raises(FormatError, match="two maps or more of one shape"):
        fold_repeatability([np.ones((4, 4, 4)), np.ones((4, 4, 5))])
    with pytest.raises(FormatError, match="not finite"):
        fold_repeatability([np.full((4, 4, 4), np.nan)] * 2)


# --- pointing -------------------------------------------------------------------------------


def test_a_network_that_sees_one_voxel(rng):
    place = (4, 2, 6)
    maps = saliency_map(one_voxel(place), rng.normal(size=(3, 1, *SHAPE)), **QUIET)
    mask = np.zeros(SHAPE)
    mask[place] = 1
    assert pointing_game(maps, mask).all()
    np.testing.assert_allclose(saliency_iou(maps, mask), 1)
    np.testing.assert_allclose(saliency_iou(maps, mask, quantile=0.99), 1)
    assert not pointing_game(maps, np.roll(mask, 2, axis=1)).any()
    assert pointing_game(maps, np.roll(mask, 2, axis=1), tolerance=2).all()
    assert not pointing_game(maps, np.roll(mask, 2, axis=1), tolerance=1.9).any()


def test_chance_of_the_pointing_game(rng):
    mask = np.zeros((10, 10, 10))
    mask[:2] = 1
    hits = pointing_game(rng.random((2000, 10, 10, 10)), mask)
    assert abs(hits.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_masks_of_each_map(rng):
    masks = np.zeros((2, *SHAPE))
    masks[0, 0], masks[1, 1:3] = 1, 1
    np.testing.assert_allclose(saliency_iou(masks, masks), 1)
    assert pointing_game(masks, masks).tolist() == [True, True]
    assert pointing_game(masks, masks[::-1]).tolist() == [False, False]
    half = np.zeros(SHAPE)
    half[:2] = 1
    # Of a map that is bright in half of the region, one of two slices.
    bright = np.zeros((1, *SHAPE))
    bright[0, 0] = 1
    assert saliency_iou(bright, half, quantile=0.5)[0] == pytest.approx(0.5)


def test_pointing_refuses_what_makes_no_sense():
    maps = np.ones((1, *SHAPE))
    with pytest.raises(FormatError, match="the mask is empty"):
        pointing_game(maps, np.zeros(SHAPE))
    with pytest.raises(FormatError, match="maps' shape"):
        saliency_iou(maps, np.ones((2, 2, 2)))
    with pytest.raises(FormatError, match="tolerance of at least 0"):
        pointing_game(maps, maps[0], tolerance=-1)
    with pytest.raises(FormatError, match="between 0 and 1"):
        saliency_iou(maps, maps[0], quantile=95)
    with pytest.raises(FormatError, match="expected 1 masks, found 2"):
        saliency_iou(maps, np.ones((2, *SHAPE)))
