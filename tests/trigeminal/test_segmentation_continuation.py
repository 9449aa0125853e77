"""A nerve is followed through what a network took for a vessel."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.trigeminal._segmentation.continuation import follow

SHAPE = (40, 16, 16)
ALONG = slice(4, 36)
NERVE, UNIT = 1, (2, 3)


def scan(pieces, *, vessel=None):
    """Probabilities of background, nerve, artery and vein of a bar of 4 × 4 voxels.

    `pieces` are (from, to, probability of nerve); the rest of the bar is artery or vein.
    """
    found = np.zeros((4, *SHAPE), np.float32)
    for start, stop, nerve in pieces:
        found[:, start:stop, 6:10, 6:10] = np.array(
            [0.05, nerve, 0.4 * (0.95 - nerve), 0.6 * (0.95 - nerve)], np.float32
        )[:, None, None, None]
    if vessel is not None:
        where, nerve = vessel
        found[(slice(None), *where)] = np.array([0.05, nerve, 0.95 - nerve, 0], np.float32)[
            :, None, None, None
        ]
    found[0] = 1 - found[1:].sum(axis=0)
    return found


def called(found):
    return np.stack([found[0], found[1], found[2] + found[3]]).argmax(axis=0)[:, 7, 7]


@pytest.mark.parametrize(("torn", "goes_on"), [(0.06, False), (0.2, False), (0.45, True)])
def test_a_stretch_in_doubt_is_nerve_between_two_pieces_and_at_an_end_if_in_much_doubt(
    torn, goes_on
):
    between = scan([(4, 12, 0.8), (12, 24, torn), (24, 36, 0.8)])
    end = scan([(4, 20, 0.8), (20, 36, torn)])
    for before, followed in ((between, True), (end, goes_on)):
        assert (called(before)[ALONG] == 2).any()
        after = follow(before, [NERVE], [UNIT])
        assert (called(after)[ALONG] == 1).all() == followed
        np.testing.assert_allclose(after.sum(axis=0), 1, atol=1e-6)
        np.testing.assert_array_equal(after[0], before[0])


def test_a_vessel_beside_a_nerve_or_across_it_stays_a_vessel():
    beside = scan([(4, 36, 0.9)], vessel=((slice(4, 36), slice(10, 13), slice(6, 10)), 0.01))
    across = scan(
        [(4, 18, 0.9), (22, 36, 0.9)],
        vessel=((slice(18, 22), slice(0, 16), slice(6, 10)), 0.01),
    )
    for before in (beside, across):
        np.testing.assert_array_equal(follow(before, [NERVE], [UNIT]), before)


def test_a_vessel_in_doubt_that_meets_no_nerve_stays_a_vessel():
    before = scan([(4, 12, 0.9), (16, 36, 0.3)])
    np.testing.assert_array_equal(follow(before, [NERVE], [UNIT]), before)


def test_without_pairs_or_vessels_nothing_changes():
    before = scan([(4, 20, 0.8), (20, 36, 0.3)])
    np.testing.assert_array_equal(follow(before, [], [UNIT]), before)
    np.testing.assert_array_equal(follow(before, [NERVE], []), before)
