"""Border voxels between what the network says and what the intensity tells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from precisionpain.trigeminal._segmentation.borders import Border, fit_borders, settle_borders

SHAPE = (32, 30, 28)
CSF, NERVE = 1.0, 0.3
SURE = {(1,): Border(network=0.1, intensity=0.2)}


def ball(radius=7.3, centre=(15.2, 14.6, 13.9), fine=5) -> np.ndarray:
    """Share of a ball in each voxel, by counting fine points."""
    steps = (np.arange(fine) + 0.5) / fine - 0.5
    axes = [(np.arange(n)[:, None] + steps).ravel() - c for n, c in zip(SHAPE, centre, strict=True)]
    x, y, z = np.ix_(*axes)
    inside = (x**2 + y**2 + z**2 <= radius**2).astype(float)
    blocks = inside.reshape(SHAPE[0], fine, SHAPE[1], fine, SHAPE[2], fine)
    return blocks.mean(axis=(1, 3, 5))


def scan(share, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return CSF + (NERVE - CSF) * share + noise * rng.standard_normal(SHAPE)


def unsure(share, seed=0, sd=0.25) -> np.ndarray:
    """Probabilities of background and structure, off by a smooth error at the border."""
    rng = np.random.default_rng(seed)
    error = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.5)
    error *= sd / error.std()
    off = np.where((share > 0) & (share < 1), error, 0)
    own = np.clip(share + off, 0, 1)
    return np.stack([1 - own, own]).astype(np.float32)


def border_of(share):
    return (share > 0.02) & (share < 0.98)


def test_without_noise_the_share_is_that_of_the_intensity():
    share = ball()
    probabilities = unsure(share)
    settled = settle_borders(scan(share), probabilities, {(1,): Border(0.3, 0.001)})
    edge = border_of(share)
    before = np.abs(probabilities[1] - share)[edge]
    after = np.abs(settled[1] - share)[edge]
    assert before.mean() > 0.1  # clipped to shares, the error is less than its SD
    # Levels come from voxels that the network, wrongly at times, takes for pure.
    assert after.mean() < 0.01
    assert np.quantile(after, 0.99) < 0.05
    # Nothing changes well outside of the border.
    outside = ndimage.maximum_filter(share, 5) == 0
    np.testing.assert_array_equal(settled[:, outside], probabilities[:, outside])


def test_noise_is_weighed_against_the_network():
    share = ball()
    edge = border_of(share)
    probabilities = unsure(share)

    def rms(noise, borders):
        settled = settle_borders(scan(share, noise, seed=1), probabilities, borders)
        return float(np.sqrt(((settled[1] - share)[edge] ** 2).mean()))

    alone = rms(0.0, {})
    assert alone == pytest.approx(float(np.sqrt(((probabilities[1] - share)[edge] ** 2).mean())))
    assert rms(0.02, SURE) < 0.3 * alone
    # The variance of the levels tells that this scan says little.
    assert rms(0.6, SURE) < 1.02 * alone


@pytest.mark.parametrize("gain", [1.0, -2.5])
def test_sums_stay_and_so_does_the_gain_of_the_scan(gain):
    share = ball()
    probabilities = unsure(share, seed=2)
    plain = settle_borders(scan(share, 0.02), probabilities, SURE)
    np.testing.assert_allclose(plain.sum(axis=0), 1, atol=1e-6)
    assert plain.min() >= 0
    changed = settle_borders(gain * scan(share, 0.02) + 3, probabilities, SURE)
    np.testing.assert_allclose(changed, plain, atol=2e-3)


def test_a_third_class_nearby_leaves_the_network_its_say():
    share = ball()
    probabilities = np.concatenate([unsure(share), np.zeros((1, *SHAPE), np.float32)])
    vessel = np.zeros(SHAPE, dtype=bool)
    vessel[22:26, 10:20, 10:20] = True
    probabilities[:, vessel] = np.array([0.1, 0.1, 0.8], np.float32)[:, None]
    settled = settle_borders(scan(share), probabilities, SURE)
    near = ndimage.binary_dilation(vessel, np.ones((3, 3, 3)))
    np.testing.assert_array_equal(settled[:, near], probabilities[:, near])
    assert not np.array_equal(settled, probabilities)


@pytest.mark.parametrize("image", [np.full(SHAPE, 2.0), np.zeros(SHAPE)])
def test_a_scan_without_contrast_changes_nothing(image):
    probabilities = unsure(ball())
    settled = settle_borders(image, probabilities, SURE)
    np.testing.assert_array_equal(settled, probabilities)


def held_out(noise, n=4):
    for i in range(n):
        share = ball(6 + 0.4 * i, (15, 14 + 0.3 * i, 13.6))
        yield scan(share, noise, seed=i), unsure(share, seed=i), np.stack([1 - share, share])


def averaged(error, where):
    """Mean of an error over the border voxels within four voxels of each of them."""
    box = np.ones((9, 9, 9))
    n = ndimage.convolve(where.astype(float), box)[where]
    return ndimage.convolve(np.where(where, error, 0), box)[where] / n


def test_both_errors_are_measured_along_the_borders_of_held_out_scans():
    fitted = fit_borders(held_out(0.02), [(1,)])
    assert list(fitted) == [(1,)]
    network, intensity = [], []
    for image, probabilities, target in held_out(0.02):
        near = ndimage.maximum_filter(probabilities[1], 3) > 0.3
        near &= ndimage.maximum_filter(probabilities[0], 3) > 0.3
        network.append(averaged(probabilities[1] - target[1], near))
        share = np.clip((CSF - image) / (CSF - NERVE), 0, 1)
        intensity.append(averaged(share - target[1], near))
    # The standard deviation of a normal error with this median.
    network, intensity = (
        np.median(np.abs(np.concatenate(e))) / 0.6745 for e in (network, intensity)
    )
    assert fitted[1,].network == pytest.approx(network, rel=0.05)
    # Noise of 0.02 in either level, in units of the contrast. The levels themselves are
    # measured where the network, wrongly at times, sees one tissue alone.
    expected = intensity / (0.02 / (CSF - NERVE))
    assert 0.7 * expected < fitted[1,].intensity < 2 * expected


def test_a_structure_taken_for_another_says_nothing_of_borders():
    def one_mistaken():
        for i, (image, probabilities, target) in enumerate(held_out(0.02, n=8)):
            yield image, probabilities, target if i else np.roll(target, 8, axis=1)

    sane, mixed = (fit_borders(s, [(1,)])[1,] for s in (held_out(0.02, n=8), one_mistaken()))
    assert mixed == pytest.approx(sane, rel=0.35)


def test_an_intensity_that_says_nothing_is_not_heeded():
    """Texture of the size of the contrast: what looks like a share is none."""

    def textured():
        for i, (_, probabilities, target) in enumerate(held_out(0.0)):
            rng = np.random.default_rng(50 + i)
            yield ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1), probabilities, target

    assert fit_borders(textured(), [(1,)]) == {}
    assert fit_borders(held_out(0.02, n=1), [(1,)]) == {}  # nothing to judge by


def test_classes_that_count_as_one_are_settled_as_one():
    """Half of a ball is called this, half that: its border is where it was as one class."""
    share = ball()
    whole = unsure(share)
    image = scan(share, 0.02)
    side = (np.arange(SHAPE[0]) < SHAPE[0] // 2)[:, None, None]
    parts = np.stack([whole[0], whole[1] * side, whole[1] * ~side])
    as_one = settle_borders(image, parts, {(1, 2): SURE[1,]})
    np.testing.assert_allclose(as_one.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(
        as_one[1:].sum(axis=0), settle_borders(image, whole, SURE)[1], atol=1e-6
    )
    # Each half stays where it was, up to the neighbours.
    assert as_one[1][SHAPE[0] // 2 + 2 :].max() < 1e-6
    assert as_one[2][: SHAPE[0] // 2 - 2].max() < 1e-6


def test_errors_of_classes_that_count_as_one_are_those_of_their_union():
    def halved():
        side = (np.arange(SHAPE[0]) < SHAPE[0] // 2)[:, None, None]
        for image, *both in held_out(0.02):
            yield (image, *(np.stack([b[0], b[1] * side, b[1] * ~side]) for b in both))

    fitted = fit_borders(halved(), [(1, 2)])
    expected = fit_borders(held_out(0.02), [(1,)])[1,]
    assert fitted[1, 2] == pytest.approx(expected, rel=1e-6)
