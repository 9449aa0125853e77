"""Levels of tissues about a place."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.trigeminal._segmentation.levels import mean_level, usual_level

SHAPE = (13, 12, 11)
PLACES = np.array([[6, 6, 5], [0, 0, 0], [12, 3, 10]])


@pytest.fixture
def image():
    return np.random.default_rng(3).normal(2.0, 0.1, SHAPE).astype(np.float32)


def box(place, size=5):
    return tuple(slice(max(p - size // 2, 0), p + size // 2 + 1) for p in place)


def test_the_mean_is_that_of_the_tissue_in_the_box(image):
    tissue = np.random.default_rng(4).random(SHAPE) < 0.4
    level = mean_level(image, tissue, 5)
    place = (6, 6, 5)
    own = image[box(place)][tissue[box(place)]]
    assert level.n[place] == len(own)
    assert level.mean[place] == pytest.approx(own.mean(), rel=1e-5)
    assert level.variance[place] == pytest.approx(own.var(), rel=1e-2)


def test_the_usual_level_is_the_mean_of_the_shortest_half(image):
    tissue = np.random.default_rng(4).random(SHAPE) < 0.7
    level = usual_level(image, tissue, PLACES, 5, chunk=2)
    for i, place in enumerate(PLACES):
        own = np.sort(image[box(place)][tissue[box(place)]].astype(float))
        half = len(own) // 2
        start = min(range(len(own) - half + 1), key=lambda k: own[k + half - 1] - own[k])
        assert level.n[i] == len(own)
        assert level.mean[i] == pytest.approx(own[start : start + half].mean(), rel=1e-6)


def test_normal_voxels_have_their_mean_and_variance():
    image = np.random.default_rng(0).normal(2.0, 0.1, (21, 21, 21))
    level = usual_level(image, np.ones(image.shape, bool), np.array([[10, 10, 10]]), 21)
    assert level.mean[0] == pytest.approx(2.0, abs=0.03)
    assert level.variance[0] == pytest.approx(0.01, rel=0.2)


def test_dark_bone_beside_fluid_leaves_its_level_and_widens_the_variance(image):
    beside = image.copy()
    beside[:5] = 0.3
    here = np.array([[6, 6, 5]])
    everywhere = np.ones(SHAPE, bool)
    pure, mixed = (usual_level(one, everywhere, here, 5) for one in (image, beside))
    assert mixed.mean[0] == pytest.approx(pure.mean[0], abs=0.05)
    # A plain mean is off by a fifth of the difference.
    assert mean_level(beside, everywhere, 5).mean[6, 6, 5] < 1.8
    # The square of a fifth, times the fifth that is off by 1.7.
    assert mixed.variance[0] == pytest.approx(pure.variance[0] + 0.2**3 * 1.7**2, rel=0.25)


def test_nothing_to_go_by_counts_as_nothing(image):
    level = usual_level(image, np.zeros(SHAPE, bool), PLACES, 5)
    np.testing.assert_array_equal(level.n, 0)
    assert np.isfinite(level.mean).all()
    assert np.isfinite(level.variance).all()
    assert len(usual_level(image, np.ones(SHAPE, bool), np.zeros((0, 3), int), 5).mean) == 0
