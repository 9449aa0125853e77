"""The looks of the phantom against closed forms: Rician noise, fields, bands, k-space."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.errors import FormatError, GeometryError
from precisionpain.trigeminal._phantom.appearance import draw_options, render
from precisionpain.trigeminal._phantom.artefacts import (
    bssfp_profile,
    draw_motion,
    move,
    with_motion,
)
from precisionpain.trigeminal._phantom.levels import CONTRASTS
from precisionpain.trigeminal._phantom.tissue import Tissue

OFF = {"snr": None, "bias": 0.0}
HALF_MM = np.diag([0.5, 0.5, 0.5, 1.0])


def rng(seed=0):
    return np.random.default_rng(seed)


def only(tissue, shape=(16, 16, 16)):
    fractions = np.zeros((*shape, len(Tissue)), dtype=np.float32)
    fractions[..., tissue] = 1
    return fractions


def mixed(shape=(12, 10, 8), seed=3):
    return rng(seed).dirichlet(np.full(len(Tissue), 0.3), size=shape).astype(np.float32)


def artery_in_csf(shape=(24, 40, 12)):
    fractions = only(Tissue.CSF, shape)
    fractions[10:13, 18:21] = np.eye(len(Tissue))[Tissue.ARTERY]
    return fractions


@pytest.mark.parametrize("contrast", ["ciss", "space", "tof"])
def test_with_everything_off_the_image_is_the_mixture(contrast):
    fractions = mixed()
    image, drawn = render(fractions, HALF_MM, contrast=contrast, rng=rng(), **OFF)
    levels = np.array([drawn["levels"][tissue.name] for tissue in Tissue])
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, fractions.astype(float) @ levels, rtol=1e-6)


@pytest.mark.parametrize(
    ("blood", "artery", "vein"),
    [
        (None, (0.28, 0.45), (0.28, 0.45)),
        ("void", (0.03, 0.2), (0.28, 0.45)),
        ({"vein": "inflow"}, (0.28, 0.45), (0.45, 0.9)),
    ],
)
def test_levels_lie_in_the_published_ranges(blood, artery, vein):
    for seed in range(20):
        levels = render(mixed(), HALF_MM, rng=rng(seed), blood=blood)[1]["levels"]
        assert levels["CSF"] == 1
        assert 0.2 <= levels["NERVE_LEFT"] <= 0.33
        assert 0.2 <= levels["PONS"] <= 0.33
        assert artery[0] <= levels["ARTERY"] <= artery[1]
        assert vein[0] <= levels["VEIN"] <= vein[1]
        assert levels["NERVE_LEFT"] == levels["NERVE_RIGHT"] == levels["CN78"]


def test_every_contrast_has_a_level_for_every_tissue():
    shared = {Tissue.NERVE_RIGHT, Tissue.CN78}
    for contrast, table in CONTRASTS.items():
        blood = {Tissue.ARTERY, Tissue.VEIN} if contrast == "ciss" else set()
        assert set(table) | shared | blood == set(Tissue)


@pytest.mark.parametrize("snr", [1.5, 4.0, 30.0])
def test_noise_is_rician(snr):
    image, drawn = render(only(Tissue.CSF, (40, 40, 40)), np.eye(4), rng=rng(1), snr=snr, bias=0)
    rice = scipy.stats.rice(snr, scale=1 / snr)
    n = image.size
    assert drawn["noise_sd"] == pytest.approx(1 / snr)
    assert image.mean() == pytest.approx(rice.mean(), abs=4 * rice.std() / np.sqrt(n))
    # Standard error of a variance, near enough to the normal law.
    assert image.var() == pytest.approx(rice.var(), rel=4 * np.sqrt(2.2 / n))
    assert scipy.stats.kstest(image.ravel()[::16], rice.cdf).pvalue > 1e-3


def test_background_noise_is_rayleigh():
    image, drawn = render(
        only(Tissue.BONE, (40, 40, 40)), np.eye(4), rng=rng(2), snr=20, bias=0, levels={"BONE": 0}
    )
    assert image.mean() == pytest.approx(drawn["noise_sd"] * np.sqrt(np.pi / 2), rel=0.01)


@pytest.mark.parametrize("zero_fill", [1.0, 2.0, (1.0, 1.5, 2.0)])
def test_the_stated_snr_is_measured_in_flat_csf(zero_fill):
    image, _ = render(
        only(Tissue.CSF, (64, 64, 48)), HALF_MM, rng=rng(3), snr=25, bias=0, zero_fill=zero_fill
    )
    # Rice at this SNR: mean and SD differ from the Gaussian ones by less than 0.1%.
    assert image.mean() / image.std() == pytest.approx(25, rel=0.03)


def test_the_brainstem_is_the_reference_of_tof():
    image, drawn = render(
        only(Tissue.PONS, (48, 48, 48)), HALF_MM, contrast="tof", rng=rng(4), snr=25, bias=0
    )
    assert drawn["snr_reference"] == "PONS"
    assert image.mean() / image.std() == pytest.approx(25, rel=0.02)


def test_g_factor_makes_the_noise_grow_smoothly():
    shape = (48, 48, 48)
    many = np.stack(
        [render(only(Tissue.CSF, shape), HALF_MM, rng=r, snr=50, bias=0, g_factor=1.0)[0] for r in
         # The same field, other noise: only the last stream differs.
         [_Streams(7, noise) for noise in range(24)]]
    )  # fmt: skip
    blocks = many.reshape(24, 6, 8, 6, 8, 6, 8).std(axis=(0, 2, 4, 6)) * 50
    assert blocks.min() == pytest.approx(1, abs=0.08)
    assert blocks.max() == pytest.approx(2, abs=0.2)


class _Streams:
    """Generator whose streams repeat, but for the last, which is the noise."""

    def __init__(self, seed, noise):
        self.seed, self.noise = seed, noise

    def spawn(self, n):
        return [*rng(self.seed).spawn(n)[:-1], rng(1000 + self.noise)]


def test_bias_spans_its_range_and_is_smooth():
    image, drawn = render(only(Tissue.CSF, (40, 30, 20)), HALF_MM, rng=rng(5), snr=None, bias=0.4)
    assert image.min() == pytest.approx(0.6, abs=1e-5)
    assert image.max() == pytest.approx(1.4, abs=1e-5)
    assert drawn["bias"]["amplitude"] == 0.4
    # A full wave over 20 voxels with amplitude 0.4 has this steepest step.
    assert max(np.abs(np.diff(image, axis=a)).max() for a in range(3)) < 3 * 0.4 * 2 * np.pi / 20


def bloch_steady_state(theta, tr, t1, t2, flip):
    """Transverse signal halfway after many pulses of alternating sign, by brute matrices."""
    e1, e2 = np.exp(-tr / t1), np.exp(-tr / t2)
    turn = np.array(
        [[np.cos(theta), np.sin(theta), 0], [-np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    )
    relax, recover = np.diag([e2, e2, e1]), np.array([0, 0, 1 - e1])

    def pulse(angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])

    # Two TRs, a pulse of each sign, map the steady state onto itself.
    a, b = np.eye(3), np.zeros(3)
    for angle in (flip, -flip):
        a, b = pulse(angle) @ a, pulse(angle) @ b
        a, b = relax @ turn @ a, relax @ turn @ b + recover
    after = pulse(flip) @ np.linalg.solve(np.eye(3) - a, b)
    return np.hypot(after[0], after[1])


def test_the_band_profile_solves_the_bloch_equations():
    theta = np.linspace(-np.pi, np.pi, 41)
    signal = [bloch_steady_state(t, 0.006, 4.0, 2.0, np.arccos(1 / 3)) for t in [0, *theta]]
    np.testing.assert_allclose(bssfp_profile(theta), np.array(signal[1:]) / signal[0], atol=1e-9)


def test_bands_lie_on_the_drawn_planes():
    affine = np.array([[0, -0.5, 0, 3], [0.6, 0, 0, -20], [0, 0, 0.7, 11], [0, 0, 0, 1.0]])
    shape = (90, 100, 60)
    image, drawn = render(only(Tissue.CSF, shape), affine, rng=rng(6), banding=1.0, **OFF)
    band = drawn["banding"]
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    cycles = (world @ np.array(band["direction"]) - band["null_mm"]) / band["period_mm"]
    off_null = np.abs(cycles - np.round(cycles)) * band["period_mm"]
    assert 40 <= band["period_mm"] <= 80
    # Little is left within 0.3 mm of a null; halfway between two nulls nothing is lost.
    assert image[off_null < 0.3].max() < 0.1
    np.testing.assert_allclose(image[off_null > 0.499 * band["period_mm"]], 1, atol=1e-3)
    assert image.min() < 0.02
    half, _ = render(only(Tissue.CSF, shape), affine, rng=rng(6), banding=0.5, **OFF)
    np.testing.assert_allclose(half, 0.5 + 0.5 * image, atol=1e-5)


def blob(shape, affine, centre, sd=2.5):
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return np.exp(-0.5 * ((world - centre) ** 2).sum(-1) / sd**2).astype(np.float32), world


def test_moves_are_in_world_millimetres_and_degrees():
    affine = np.array([[0, -0.8, 0, 3], [0.6, 0, 0, -20], [0, 0, 0.7, 11], [0, 0, 0, 1.0]])
    shape = (60, 60, 60)
    middle = affine[:3, :3] @ np.full(3, 29.5) + affine[:3, 3]
    image, world = blob(shape, affine, middle + np.array([6, 0, 0]))
    spline = scipy.ndimage.spline_filter(image, order=3, output=np.float32, mode="mirror")
    moved = move(spline, affine, [0.5, -1.0, 0.3], [0, 0, 30.0])
    found = (world * moved[..., None]).sum((0, 1, 2)) / moved.sum()
    turned = [6 * np.cos(np.pi / 6), 6 * np.sin(np.pi / 6), 0]
    np.testing.assert_allclose(found - middle, np.add(turned, [0.5, -1.0, 0.3]), atol=0.01)
    # What is round stays what it was.
    expected, _ = blob(shape, affine, middle + turned + np.array([0.5, -1.0, 0.3]))
    np.testing.assert_allclose(moved, expected, atol=2e-3)


def test_no_motion_is_identity_also_through_k_space():
    image = mixed((16, 17, 12)) @ np.linspace(0.1, 1, len(Tissue)).astype(np.float32)
    one = np.ones((1, 1, 1), dtype=np.float32)
    still = {
        "first_line": [0, 5, 11],
        "translation_mm": np.zeros((3, 3)),
        "rotation_deg": np.zeros((3, 3)),
    }
    np.testing.assert_allclose(with_motion(image, image, one, HALF_MM, 1, still), image, atol=1e-6)
    tiny = {**still, "rotation_deg": np.full((3, 3), 1e-9)}
    np.testing.assert_allclose(with_motion(image, image, one, HALF_MM, 1, tiny), image, atol=1e-5)


def test_a_move_of_whole_voxels_changes_only_the_phase_of_its_lines():
    # A translation along the phase axis by one voxel is the factor exp(-2πik/n) on its lines.
    shape, n = (20, 32, 16), 32
    image, _ = blob(shape, np.eye(4), [9.5, 15.5, 7.5], sd=2.0)
    drawn = {
        "first_line": [0, 22],
        "translation_mm": [[0, 0, 0], [0, 1.0, 0]],
        "rotation_deg": np.zeros((2, 3)),
    }
    got = with_motion(image, image, np.ones((1, 1, 1), np.float32), np.eye(4), 1, drawn)
    frequency = np.arange(n) - n // 2
    ramp = np.where(np.arange(n) >= 22, np.exp(-2j * np.pi * frequency / n), 1)
    lines = np.fft.fftshift(np.fft.fft(image, axis=1), axes=1) * ramp[:, None]
    expected = np.fft.ifft(np.fft.ifftshift(lines, axes=1), axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@given(n=st.integers(2, 200), seed=st.integers(0, 1000))
def test_the_centre_of_k_space_is_at_rest_and_moves_stay_in_range(n, seed):
    drawn = draw_motion(n, 1.5, 3.0, rng(seed))
    starts = np.array(drawn["first_line"])
    shift = np.linalg.norm(drawn["translation_mm"], axis=1)
    turn = np.linalg.norm(drawn["rotation_deg"], axis=1)
    centre = np.flatnonzero(starts <= n // 2)[-1]
    assert shift[centre] == turn[centre] == 0
    assert shift.max() <= 1.5
    assert turn.max() <= 3
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()


def test_motion_keeps_the_mean_of_a_still_centre_and_is_recorded():
    image, drawn = render(artery_in_csf(), HALF_MM, rng=rng(9), motion=(1.5, 3.0), **OFF)
    still, _ = render(artery_in_csf(), HALF_MM, rng=rng(9), **OFF)
    assert np.abs(image - still).max() > 0.01
    assert len(drawn["motion"]["first_line"]) >= 2
    # The magnitude of small imaginary parts is all that can add.
    assert image.mean() == pytest.approx(still.mean(), rel=2e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_ghosts_have_the_stated_place_and_energy(axis):
    fractions = artery_in_csf((24, 40, 12) if axis == 1 else (40, 24, 12))
    levels = {"CSF": 0.0, "ARTERY": 1.0}
    options = {"contrast": "tof", "levels": levels, "phase_axis": axis, **OFF}
    still, _ = render(fractions, HALF_MM, rng=rng(10), **options)
    image, drawn = render(fractions, HALF_MM, rng=rng(10), ghost=0.12, **options)
    shift = drawn["ghost"]["shift_voxels"]
    assert drawn["ghost"]["shift_mm"] == shift * 0.5
    expected = np.roll(still, shift, axis) + np.roll(still, -shift, axis)
    outside = still == 0
    np.testing.assert_allclose(image[outside], 0.12 * expected[outside], atol=1e-6)
    energy = (image[outside] ** 2).sum() / (still**2).sum()
    assert energy == pytest.approx(2 * 0.12**2, rel=1e-4)


def test_ghosts_are_a_pulsation_of_the_lines_of_k_space():
    fractions = artery_in_csf((6, 40, 4))
    levels = {"CSF": 0.0, "ARTERY": 1.0}
    options = {"contrast": "tof", "levels": levels, **OFF}
    still, _ = render(fractions, HALF_MM, rng=rng(11), **options)
    image, drawn = render(fractions, HALF_MM, rng=rng(11), ghost=0.1, **options)
    cycles, phase = drawn["ghost"]["shift_voxels"] / 40, drawn["ghost"]["phase_rad"]
    pulse = 1 + 0.2 * np.cos(2 * np.pi * cycles * np.arange(40) - phase)
    lines = np.fft.fft(still, axis=1) * pulse[:, None]
    np.testing.assert_allclose(image, np.abs(np.fft.ifft(lines, axis=1)), atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 20, 12), (15, 21, 13)])
@pytest.mark.parametrize("factor", [1.5, 2.0, (1.0, 2.0, 3.0)])
def test_zero_filling_limits_the_band_and_keeps_the_mean(shape, factor):
    # Levels far from 0, so that the ringing stays positive and the magnitude is linear.
    levels = {tissue.name: 2 + 0.05 * tissue for tissue in Tissue}
    options = {"levels": levels, **OFF}
    full, _ = render(mixed(shape), HALF_MM, rng=rng(), **options)
    image, drawn = render(mixed(shape), HALF_MM, rng=rng(), zero_fill=factor, **options)
    assert image.mean() == pytest.approx(full.mean(), rel=1e-5)
    spectrum = np.abs(np.fft.fftn(image.astype(float)))
    expected = np.fft.fftn(full.astype(float))
    for axis, f in enumerate(np.broadcast_to(factor, 3)):
        high = np.abs(np.fft.fftfreq(shape[axis])) >= 0.5 / f
        if f > 1:
            assert np.take(spectrum, np.flatnonzero(high), axis).max() < 1e-4 * spectrum.max()
            expected = np.where(
                high.reshape([-1 if a == axis else 1 for a in range(3)]), 0, expected
            )
    np.testing.assert_allclose(image, np.fft.ifftn(expected).real, atol=1e-5)
    np.testing.assert_allclose(
        drawn["zero_fill"]["acquired_voxel_mm"], 0.5 * np.multiply(factor, np.ones(3))
    )


def test_zero_filling_rings_at_an_edge():
    fractions = only(Tissue.CSF, (64, 8, 8))
    fractions[:32] = np.eye(len(Tissue))[Tissue.PONS]
    image, drawn = render(fractions, HALF_MM, rng=rng(), zero_fill=(2.0, 1.0, 1.0), **OFF)
    step = 1 - drawn["levels"]["PONS"]
    # Gibbs: 8.95% of the step for a dense grid; sampled at half the lobe's width it is near.
    assert 0.05 * step < image.max() - 1 < 0.0895 * step * 1.1


def test_the_same_seed_gives_the_same_image_and_options_draw_apart():
    options = {"motion": (1.0, 2.0), "ghost": 0.1, "zero_fill": 2.0, "banding": 0.3}
    fractions = mixed((16, 16, 12))
    first, drawn = render(fractions, HALF_MM, rng=rng(12), **options)
    again, drawn_again = render(fractions, HALF_MM, rng=rng(12), **options)
    np.testing.assert_array_equal(first, again)
    assert drawn == drawn_again == json.loads(json.dumps(drawn))
    plain = render(fractions, HALF_MM, rng=rng(12))[1]
    assert plain["levels"] == drawn["levels"]
    assert plain["bias"] == drawn["bias"]


@given(seed=st.integers(0, 10_000), contrast=st.sampled_from(["ciss", "space", "tof"]))
def test_drawn_options_are_accepted_and_within_range(seed, contrast):
    options = draw_options(rng(seed), contrast)
    image, drawn = render(mixed((8, 9, 7)), HALF_MM, rng=rng(seed), **options)
    assert 10 <= options["snr"] <= 60
    assert options["bias"] <= 0.4
    assert options["ghost"] <= 0.15
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert drawn["snr"] == options["snr"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "t1"}, "expected contrast 'ciss'"),
        ({"snr": 0}, "snr above 0, or None"),
        ({"snr": float("nan")}, "snr above 0"),
        ({"bias": 1.2}, "expected bias from 0 to 0.95"),
        ({"banding": 0.5, "contrast": "tof"}, "banding is an option of contrast 'ciss'"),
        ({"motion": 2.0}, r"expected motion as \(mm, degrees\)"),
        ({"motion": (-1, 0)}, "expected motion mm from 0"),
        ({"ghost": float("nan")}, "expected ghost from 0 to 1"),
        ({"zero_fill": 0.5}, "expected zero_fill from 1 to 8"),
        ({"zero_fill": (1, 2)}, "zero_fill as one or three numbers"),
        ({"blood": "thick"}, "expected blood as 'static', 'void' or 'inflow'"),
        ({"blood": "void", "contrast": "space"}, "state of the blood is an option of contrast"),
        ({"levels": {"BRAIN": 1}}, "expected tissues CSF, PONS.*found 'BRAIN'"),
        ({"phase_axis": 3}, "expected phase_axis 0, 1 or 2"),
    ],
)
def test_wrong_options_say_what_was_expected(options, message):
    with pytest.raises(FormatError, match=message):
        render(mixed(), HALF_MM, rng=rng(), **options)


def test_wrong_fractions_and_affines_are_refused():
    with pytest.raises(FormatError, match=r"expected fractions of shape \(nx, ny, nz, 12\)"):
        render(np.ones((4, 4, 4)), HALF_MM, rng=rng())
    for bad in (np.full((2, 2, 2, 12), 0.2), np.full((2, 2, 2, 12), np.nan)):
        with pytest.raises(FormatError, match="sum to 1"):
            render(bad, HALF_MM, rng=rng())
    with pytest.raises(GeometryError, match="4 x 4"):
        render(mixed(), np.eye(3), rng=rng())
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="sheared"):
        render(mixed(), sheared, rng=rng())
