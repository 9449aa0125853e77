"""What a network leaves to structures that don't meet is doubt, not partial volume."""

from __future__ import annotations

import numpy as np

from precisionpain.trigeminal._doubt import parts_of, without_doubt

UNITS = ((1,), (2, 3))


def scan(nerve, artery, vein):
    """Shares of background, nerve, artery and vein in a row of 12 voxels."""
    shares = np.zeros((4, 12, 3, 3), np.float32)
    for k, row in enumerate((nerve, artery, vein), start=1):
        shares[k] = np.asarray(row, np.float32)[:, None, None]
    shares[0] = 1 - shares[1:].sum(axis=0)
    return shares


def row(found, k):
    return found[k, :, 1, 1]


def test_a_trace_of_a_vessel_within_a_nerve_goes_to_the_nerve():
    shares = scan(
        [0, 0, 0.6, 0.9, 0.9, 0.9, 0.5, 0, 0, 0, 0, 0], [0, 0] + [0.06] * 5 + [0] * 5, [0] * 12
    )
    found = without_doubt(shares, UNITS)
    np.testing.assert_allclose(row(found, 1)[2:7], [0.66, 0.96, 0.96, 0.96, 0.56], atol=1e-6)
    assert row(found, 2)[3:7].max() == 0
    np.testing.assert_array_equal(found[0], shares[0])
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_at_the_rim_of_a_nerve_the_likelier_vessel_is_none_where_background_has_most():
    nerve = [0, 0.1, 0.15, 0.9, 0.9, 0.9, 0.15, 0.1, 0, 0, 0, 0]
    artery = [0, 0.1, 0.3, 0.06, 0.06, 0.06, 0.3, 0.1, 0, 0, 0, 0]
    found = without_doubt(scan(nerve, artery, [0] * 12), UNITS)
    np.testing.assert_allclose(row(found, 1)[2:7], [0.45, 0.96, 0.96, 0.96, 0.45], atol=1e-6)
    assert row(found, 2)[2:7].max() == 0


def test_a_vessel_too_thin_to_fill_a_voxel_keeps_its_share():
    """Nowhere it has more than the background."""
    artery = [0, 0, 0.1, 0.4, 0.4, 0.1, 0, 0, 0, 0, 0, 0]
    trace = [0, 0, 0.05, 0.05, 0.05, 0.05, 0, 0, 0, 0, 0, 0]
    found = without_doubt(scan(trace, artery, [0] * 12), UNITS)
    np.testing.assert_allclose(row(found, 2)[2:6], [0.15, 0.45, 0.45, 0.15], atol=1e-6)


def test_where_they_meet_both_keep_their_share():
    nerve = [1, 1, 1, 1, 1, 0.7, 0, 0, 0, 0, 0, 0]
    artery = [0, 0, 0, 0, 0, 0.3, 1, 1, 1, 1, 0, 0]
    shares = scan(nerve, artery, [0] * 12)
    np.testing.assert_allclose(without_doubt(shares, UNITS), shares, atol=0.03)


def test_true_partial_volumes_hardly_change():
    """Structures with smooth borders, of whom each fills voxels of its own."""
    x = np.arange(12) - 4.3
    nerve = np.clip(0.5 - x, 0, 1)
    artery = np.clip(0.5 + x, 0, 1) * (np.arange(12) < 9)
    shares = scan(nerve, artery, [0] * 12)
    np.testing.assert_allclose(without_doubt(shares, UNITS), shares, atol=0.03)


def test_artery_or_vein_remains_open():
    artery = [0.0] * 4 + [0.5, 0.4, 0.3, 0.3] + [0.0] * 4
    vein = [0.0] * 4 + [0.4, 0.5, 0.6, 0.4] + [0.0] * 4
    nerve = [0.0] * 4 + [0.05] * 4 + [0.0] * 4
    shares = scan(nerve, artery, vein)
    found = without_doubt(shares, UNITS)
    assert found[1].max() == 0
    filled = slice(4, 8)
    np.testing.assert_allclose(
        row(found, 2)[filled] / row(found, 3)[filled],
        np.divide(artery[filled], vein[filled]),
        rtol=1e-5,
    )


def test_traces_alone_lose_nothing():
    shares = scan([0.04] * 12, [0.05] * 12, [0.01] * 12)
    np.testing.assert_allclose(without_doubt(shares, UNITS)[1:].sum(axis=0), 0.1, atol=1e-6)


def test_parts_add_up_to_one_near_a_structure_and_to_nothing_far_from_all():
    shares = scan([0, 0, 0.9, 0.9] + [0] * 8, [0, 0, 0, 0.1] + [0] * 8, [0] * 12)
    total = parts_of(shares)[:, :, 1, 1].sum(axis=0)
    np.testing.assert_allclose(total, [0, 1, 1, 1, 1] + [0] * 7, atol=1e-6)
