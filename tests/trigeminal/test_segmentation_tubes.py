"""A nerve is followed through what a network took for a vessel, and loses what is one."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.trigeminal._segmentation.tubes import follow, prune

SHAPE = (40, 16, 16)
ALONG = slice(4, 36)
NERVE, UNIT = 1, (2, 3)
SPACING = (0.5, 0.5, 0.5)


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
        after = follow(before, [NERVE], [UNIT], SPACING)
        assert (called(after)[ALONG] == 1).all() == followed
        np.testing.assert_allclose(after.sum(axis=0), 1, atol=1e-6)
        np.testing.assert_array_equal(after[0], before[0])


def test_nothing_is_followed_to_a_length_that_no_nerve_has():
    """A vein of which a farther piece is taken for nerve would make it 32 voxels long."""
    before = scan([(4, 12, 0.8), (12, 24, 0.06), (24, 36, 0.8)])
    long = (0.9, 0.5, 0.5)
    np.testing.assert_array_equal(follow(before, [NERVE], [UNIT], long), before)
    assert (called(follow(before, [NERVE], [UNIT], SPACING))[ALONG] == 1).all()


def test_a_vessel_beside_a_nerve_or_across_it_stays_a_vessel():
    beside = scan([(4, 36, 0.9)], vessel=((slice(4, 36), slice(10, 13), slice(6, 10)), 0.01))
    across = scan(
        [(4, 18, 0.9), (22, 36, 0.9)],
        vessel=((slice(18, 22), slice(0, 16), slice(6, 10)), 0.01),
    )
    for before in (beside, across):
        np.testing.assert_array_equal(follow(before, [NERVE], [UNIT], SPACING), before)


def test_a_vessel_in_doubt_that_meets_no_nerve_stays_a_vessel():
    before = scan([(4, 12, 0.9), (16, 36, 0.3)])
    np.testing.assert_array_equal(follow(before, [NERVE], [UNIT], SPACING), before)


def test_without_pairs_or_vessels_nothing_changes():
    before = scan([(4, 20, 0.8), (20, 36, 0.3)])
    np.testing.assert_array_equal(follow(before, [], [UNIT], SPACING), before)
    np.testing.assert_array_equal(follow(before, [NERVE], [], SPACING), before)


def tube(*, flat=1.0, bend=0.0):
    """A nerve of 30 voxels along x, its middle in y a parabola and its section an ellipse."""
    x, y, z = np.indices((34, 40, 24), dtype=float)
    middle = 12 + bend * ((x - 17) / 15) ** 2
    inside = ((y - middle) / (2.6 * flat)) ** 2 + ((z - 12) / (2.6 / flat)) ** 2 <= 1
    found = np.zeros((4, *x.shape), np.float32)
    found[NERVE][inside & (x >= 2) & (x < 32)] = 0.9
    return found


def branch(found, *, nerve_until, say, vessel=True):
    """A vessel in y that touches the nerve and is taken for it so far."""
    taken = (slice(14, 18), slice(14, nerve_until), slice(10, 14))
    free = found[NERVE][taken] == 0
    found[NERVE][taken][free] = say
    if vessel:
        found[(2, slice(14, 18), slice(nerve_until, 38), slice(10, 14))] = 0.6
        found[(3, slice(14, 18), slice(nerve_until, 38), slice(10, 14))] = 0.3
    found[0] = 1 - found[1:].sum(axis=0)
    return found


@pytest.mark.parametrize("say", [0.6, 0.9])
def test_a_branch_that_goes_on_as_a_vessel_is_one(say):
    plain = branch(tube(), nerve_until=14, say=say)
    before = branch(tube(), nerve_until=26, say=say)
    after = prune(before, [NERVE], [UNIT], SPACING)
    off = (slice(14, 18), slice(18, 26), slice(10, 14))
    assert after[(NERVE, *off)].max() == 0
    # Artery or vein, as what it goes on as.
    assert (after[(2, *off)] > 1.5 * after[(3, *off)]).all()
    np.testing.assert_allclose(after.sum(axis=0), 1, atol=1e-6)
    # The nerve itself is as it would be without the branch.
    nerve = plain[NERVE] > 0.5
    np.testing.assert_array_equal(after[NERVE][nerve], before[NERVE][nerve])


def test_a_branch_that_goes_on_as_nothing_stays():
    before = branch(tube(), nerve_until=26, say=0.6, vessel=False)
    np.testing.assert_array_equal(prune(before, [NERVE], [UNIT], SPACING), before)


@pytest.mark.parametrize("shape", [{"flat": 1.45}, {"flat": 0.7}, {"bend": 6.0}, {"bend": -6.0}])
def test_a_flat_or_bent_nerve_beside_a_vessel_stays_whole(shape):
    found = tube(**shape)
    edge = np.argwhere(found[NERVE, 16].any(axis=1)).max() + 1
    found[2, 2:32, edge : edge + 3, 9:15] = 0.9 - found[NERVE, 2:32, edge : edge + 3, 9:15]
    found[0] = 1 - found[1:].sum(axis=0)
    np.testing.assert_array_equal(prune(found, [NERVE], [UNIT], SPACING), found)


def test_without_pairs_or_vessels_nothing_is_cut():
    before = branch(tube(), nerve_until=26, say=0.6)
    np.testing.assert_array_equal(prune(before, [], [UNIT], SPACING), before)
    np.testing.assert_array_equal(prune(before, [NERVE], [], SPACING), before)
