"""Scaling of intensities: ranges, z-scores, and what can't be scaled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from precisionpain.errors import FormatError, GeometryError
from precisionpain.mtbi import ZScore, min_max

SHAPE = (3, 4, 5)


@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(1e-2, 1e4))
def test_min_max_forgets_gain_and_offset(seed, offset, gain):
    image = np.random.default_rng(seed).random(SHAPE)
    scaled = min_max(image)
    assert (scaled.min(), scaled.max(), scaled.dtype) == (0, 1, np.float32)
    np.testing.assert_allclose(min_max(image * gain + offset), scaled, atol=1e-6)


def test_min_max_of_integers_does_not_overflow():
    image = np.array([-32768, 0, 32767], np.int16)
    np.testing.assert_allclose(min_max(image), [0, 32768 / 65535, 1], rtol=1e-6)
    assert min_max(np.array([0, 255], np.uint8)).tolist() == [0, 1]


def test_images_without_a_range_are_refused():
    with pytest.raises(FormatError, match="every voxel is 7"):
        min_max(np.full(SHAPE, 7))
    with pytest.raises(FormatError, match="empty"):
        min_max(np.zeros((0, 3)))
    broken = np.zeros(SHAPE)
    broken[1, 2, 3] = np.nan
    broken[2, 2, 3] = np.inf
    with pytest.raises(FormatError, match=r"2 values aren't finite, the first at \(1, 2, 3\)"):
        min_max(broken)
    for wrong in (np.zeros(3, bool), np.zeros(3, complex), np.array(["a"])):
        with pytest.raises(FormatError, match="real numbers"):
            min_max(wrong)


@pytest.mark.parametrize("voxelwise", [False, True])
def test_z_scores_are_those_of_scikit_learn(voxelwise):
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 2, (6, *SHAPE)), rng.normal(1, 5, (4, *SHAPE))
    columns = (6, -1) if voxelwise else (-1, 1)
    oracle = StandardScaler().fit(train.reshape(columns))
    scaler = ZScore(voxelwise=voxelwise).fit(train.astype(np.float32))
    for volumes in (train, test):
        expected = oracle.transform(volumes.reshape((len(volumes), -1) if voxelwise else (-1, 1)))
        np.testing.assert_allclose(
            scaler.transform(volumes), expected.reshape(volumes.shape), atol=1e-4
        )
    assert scaler.transform(train).dtype == np.float32
    assert scaler.n_volumes_ == 6


def test_the_test_volumes_teach_nothing():
    rng = np.random.default_rng(0)
    scaler = ZScore().fit(rng.random((5, *SHAPE)))
    one, extreme = rng.random((1, *SHAPE)), np.full((1, *SHAPE), 1e6)
    np.testing.assert_array_equal(
        scaler.transform(one)[0], scaler.transform(np.concatenate([one, extreme]))[0]
    )


def test_a_constant_background_stays_finite():
    volumes = np.random.default_rng(0).random((4, *SHAPE)).astype(np.float32)
    volumes[:, 0] = 0.1  # not a number that binary holds exactly
    scaled = ZScore(voxelwise=True).fit(volumes).transform(volumes)
    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-6)
    assert scaled[:, 1:].std() == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_scaled_is_said():
    with pytest.raises(FormatError, match="are constant"):
        ZScore().fit(np.full((3, *SHAPE), 0.1))
    same = np.repeat(np.random.default_rng(0).random((1, *SHAPE)), 3, axis=0)
    with pytest.raises(FormatError, match="all the same"):
        ZScore(voxelwise=True).fit(same)
    broken = np.zeros((3, *SHAPE))
    broken[2, 0, 1, 4] = np.nan
    with pytest.raises(FormatError, match=r"X\[2\]: 1 values aren't finite, .* \(0, 1, 4\)"):
        ZScore().fit(broken)
    with pytest.raises(FormatError, match="at least one volume"):
        ZScore().fit(np.zeros((0, *SHAPE)))
    with pytest.raises(FormatError, match="depth, height, width"):
        ZScore().fit(np.zeros(3))
    with pytest.raises(NotFittedError):
        ZScore().transform(same)
    scaler = ZScore().fit(same)
    with pytest.raises(GeometryError, match=r"\(3, 4, 5\), found \(5, 4, 3\)"):
        scaler.transform(np.zeros((2, 5, 4, 3)))
    with pytest.raises(FormatError, match="finite"):
        scaler.transform(broken)
    assert scaler.transform(same[:0]).shape == (0, *SHAPE)
