"""The phantom's diffusion signal against closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from precisionpain.errors import FormatError, GeometryError
from precisionpain.trigeminal._phantom.dti import simulate_dwi
from precisionpain.trigeminal._phantom.scan_grid import averaging_matrix, scan_grid
from precisionpain.trigeminal._phantom.tensors import axial_radial, repelled_directions
from precisionpain.trigeminal._phantom.tissue import Tissue

HALF_MM = np.diag([0.5, 0.5, 0.5, 1.0])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_rotvec([20, -35, 50], degrees=True).as_matrix() * [0.5, 0.6, 0.5]
OBLIQUE[:3, 3] = [-31, 12, 5]
TILTED = np.array([0.6, -0.48, 0.64])


def rng(seed=0):
    return np.random.default_rng(seed)


def only(tissue, shape=(4, 4, 4)):
    fractions = np.zeros((*shape, len(Tissue)), dtype=np.float32)
    fractions[..., tissue] = 1
    return fractions


def along(axis, shape=(4, 4, 4)):
    return np.broadcast_to(np.asarray(axis, dtype=float), (*shape, 3))


def tensor(ad, rd, axis):
    return rd * np.eye(3) + (ad - rd) * np.outer(axis, axis)


def fitted(signal, b, g):
    """Eigenvalues (rising) and principal direction by plain log-linear least squares."""
    x, y, z = g.T
    design = np.column_stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z]) * -b[:, None]
    d = np.linalg.lstsq(np.column_stack([design, np.ones(len(b))]), np.log(signal), rcond=None)[0]
    values, vectors = np.linalg.eigh([[d[0], d[3], d[4]], [d[3], d[1], d[5]], [d[4], d[5], d[2]]])
    return values, vectors[:, -1]


def fa_md(values):
    md = values.mean()
    return np.sqrt(1.5 * ((values - md) ** 2).sum() / (values**2).sum()), md


@given(fa=st.floats(0, 1), md=st.floats(0.1, 3))
def test_axial_and_radial_give_back_fa_and_md(fa, md):
    ad, rd = axial_radial(fa, md)
    assert ad >= rd >= -1e-12
    assert fa_md(np.array([ad, rd, rd])) == pytest.approx((fa, md), abs=1e-9)


@pytest.mark.parametrize("n", [6, 30, 64])
def test_directions_are_spread_like_charges(n):
    g = repelled_directions(n)
    np.testing.assert_allclose(np.linalg.norm(g, axis=1), 1)
    # Isotropic to second order, as an even spread over the sphere is.
    np.testing.assert_allclose(g.T @ g / n, np.eye(3) / 3, atol=0.01)
    nearest = np.degrees(np.arccos((np.abs(g @ g.T) - 2 * np.eye(n)).max(axis=1)))
    # Packing 2n caps on the sphere allows at most this radius (Fejes Toth's bound).
    w = 2 * n * np.pi / (6 * (2 * n - 2))
    bound = np.degrees(np.arccos((1 / np.tan(w) ** 2 - 1) / 2))
    assert 0.85 * bound < nearest.min() <= bound + 1e-6
    np.testing.assert_array_equal(g, repelled_directions(n))


@pytest.mark.parametrize("affine", [HALF_MM, OBLIQUE], ids=["straight", "oblique"])
def test_pure_nerve_follows_the_formula_in_the_world(affine):
    shape = (8, 8, 8)
    scan = simulate_dwi(
        only(Tissue.NERVE_LEFT, shape), affine, along(TILTED, shape), spacing=1.5, snr=None,
        fa={"left": 0.5}, md={"left": 1.1}, b_value=1200, rng=rng(),
    )  # fmt: skip
    truth = scan.truth.loc["left"]
    d = tensor(truth.ad, truth.rd, TILTED)
    g = scan.gradients.world(scan.image.affine)
    expected = 0.4 * np.exp(-scan.gradients.bvals * 1e-3 * np.einsum("ni,ij,nj->n", g, d, g))
    np.testing.assert_allclose(
        scan.image.get_fdata(), np.broadcast_to(expected, scan.image.shape), rtol=1e-5
    )
    assert list(scan.truth.columns) == ["fa", "md", "ad", "rd"]
    assert (truth.fa, truth.md) == (0.5, 1.1)


def test_a_plain_tensor_fit_of_pure_nerve_gives_the_truth():
    fractions = only(Tissue.NERVE_RIGHT)
    scan = simulate_dwi(
        fractions, OBLIQUE, along(TILTED), snr=None, spacing=1.0, n_directions=30, rng=rng(1)
    )
    values, axis = fitted(
        scan.image.get_fdata()[0, 0, 0],
        scan.gradients.bvals * 1e-3,
        scan.gradients.world(scan.image.affine),
    )
    truth = scan.truth.loc["right"]
    assert fa_md(values) == pytest.approx((truth.fa, truth.md), rel=1e-4)
    assert values[-1] == pytest.approx(truth.ad, rel=1e-4)
    assert abs(axis @ TILTED) == pytest.approx(1, abs=1e-6)


def test_the_vectors_are_in_the_convention_of_fsl():
    # FSL: components along the voxel axes, the first mirrored if the determinant is positive.
    for flip in (1, -1):
        affine = OBLIQUE @ np.diag([flip, 1, 1, 1])
        scan = simulate_dwi(
            only(Tissue.NERVE_LEFT), affine, along(TILTED), snr=None, spacing=1.0, rng=rng(2)
        )
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        expected = repelled_directions(32) @ axes * [-1 if flip > 0 else 1, 1, 1]
        np.testing.assert_allclose(scan.gradients.bvecs[4:], expected, atol=1e-6)
        np.testing.assert_array_equal(scan.gradients.bvals, [0] * 4 + [1000] * 32)


def test_every_other_tissue_follows_its_formula():
    g = repelled_directions(32)
    for tissue in set(Tissue) - {Tissue.NERVE_LEFT, Tissue.NERVE_RIGHT}:
        scan = simulate_dwi(only(tissue), HALF_MM, along([0, 0, 0]), snr=None, rng=rng())
        s0, md = scan.drawn["s0"][tissue.name], scan.drawn["md"][tissue.name]
        d = md * np.eye(3)
        if tissue is Tissue.PONS:
            d = tensor(*axial_radial(0.4, md), [0, 0, 1])
        expected = s0 * np.exp(-np.einsum("ni,ij,nj->n", g, d, g))
        np.testing.assert_allclose(scan.image.get_fdata()[0, 0, 0, 4:], expected, rtol=1e-5)
        np.testing.assert_allclose(scan.image.get_fdata()[0, 0, 0, :4], s0, rtol=1e-6)
    assert simulate_dwi(
        only(Tissue.CSF), HALF_MM, along([0, 0, 0]), snr=None, rng=rng()
    ).image.get_fdata()[0, 0, 0, -1] == pytest.approx(np.exp(-3.0), rel=1e-6)


def test_a_mixed_voxel_is_the_sum_over_its_parts():
    # A bent nerve: half of it along x, half along y, in a bath of CSF.
    fractions = only(Tissue.CSF)
    fractions[..., Tissue.CSF] = 0.7
    fractions[..., Tissue.NERVE_LEFT] = 0.3
    direction = np.array(along([1.0, 0, 0]))
    direction[2:] = [0, -1.0, 0]
    scan = simulate_dwi(
        fractions, HALF_MM, direction, snr=None, fa=0.6, md=0.9, s0={"NERVE_LEFT": 0.5}, rng=rng()
    )
    truth, g = scan.truth.loc["left"], repelled_directions(32)
    parts = [
        np.exp(-np.einsum("ni,ij,nj->n", g, tensor(truth.ad, truth.rd, axis), g))
        for axis in np.eye(3)[:2]
    ]
    expected = 0.7 * np.exp(-3.0) + 0.3 * 0.5 * (parts[0] + parts[1]) / 2
    np.testing.assert_allclose(scan.image.get_fdata()[0, 0, 0, 4:], expected, rtol=1e-5)
    assert scan.fractions.get_fdata()[0, 0, 0, Tissue.NERVE_LEFT] == pytest.approx(0.3)


def test_a_callable_gives_the_same_as_an_array():
    shape = (12, 10, 8)
    points = np.moveaxis(np.indices(shape), 0, -1) @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]

    def course(x):
        v = np.stack([np.ones(x.shape[:-1]), 0.1 * x[..., 1], np.sin(x[..., 2])], axis=-1)
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    fractions = only(Tissue.NERVE_LEFT, shape)
    a, b = (
        simulate_dwi(fractions, OBLIQUE, direction, spacing=1.3, rng=rng(3)).image.get_fdata()
        for direction in (course, course(points))
    )
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_powder_average_is_the_closed_form():
    scan = simulate_dwi(
        only(Tissue.NERVE_LEFT), HALF_MM, along(TILTED), snr=None, fa=0.65, md=1.2,
        n_directions=64, b_value=1500, rng=rng(),
    )  # fmt: skip
    truth = scan.truth.loc["left"]
    b, gap = 1.5, truth.ad - truth.rd
    # Mean of exp(-b (RD + gap cos²)) over the sphere.
    mean = np.exp(-b * truth.rd) * scipy.special.erf(np.sqrt(b * gap))
    mean *= np.sqrt(np.pi / (4 * b * gap))
    assert scan.image.get_fdata()[0, 0, 0, 4:].mean() / 0.4 == pytest.approx(mean, rel=2e-3)


def blob(shape=(60, 56, 64), sd=1.8):
    """A smooth ball of nerve: unlike an edge, large voxels keep its centre of mass."""
    x, y, z = np.indices(shape)
    squared = ((x - 28.3) * 0.5) ** 2 + ((y - 29.1) * 0.6) ** 2 + ((z - 30.2) * 0.5) ** 2
    fractions = np.zeros((*shape, len(Tissue)))
    fractions[..., Tissue.NERVE_LEFT] = np.exp(-0.5 * squared / sd**2)
    fractions[..., Tissue.CSF] = 1 - fractions[..., Tissue.NERVE_LEFT]
    return fractions.astype(np.float32), along(TILTED, shape)


def centre_of(weights, affine):
    index = np.array([(weights * i).sum() for i in np.indices(weights.shape)]) / weights.sum()
    return affine[:3, :3] @ index + affine[:3, 3]


@pytest.mark.parametrize(
    ("spacing", "within_mm"),
    # Where fine voxels straddle large ones their constant values shift the centre a little:
    # by hundredths of the fine voxel, the difference of two staircases.
    [((2.0, 1.8, 1.5), 1e-5), ((1.0, 1.2, 1.0), 1e-5), (2.0, 0.01), (1.7, 0.01)],
)
def test_large_voxels_keep_volume_and_place(spacing, within_mm):
    fractions, direction = blob()
    scan = simulate_dwi(fractions, OBLIQUE, direction, spacing=spacing, snr=None, rng=rng())
    shares = scan.fractions.get_fdata()
    nerve = shares[..., Tissue.NERVE_LEFT]
    fine = fractions[..., Tissue.NERVE_LEFT].astype(float)
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-6)
    volume = nerve.sum() * abs(np.linalg.det(scan.image.affine[:3, :3]))
    assert volume == pytest.approx(fine.sum() * abs(np.linalg.det(OBLIQUE[:3, :3])), rel=1e-5)
    np.testing.assert_allclose(
        centre_of(nerve, scan.image.affine), centre_of(fine, OBLIQUE), atol=within_mm
    )
    np.testing.assert_allclose(
        scan.image.header.get_zooms()[:3], np.broadcast_to(spacing, 3), rtol=1e-5
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [4.0, 1.3, -2.1])
def test_epi_moves_the_image_by_the_stated_distance(axis, shift):
    fractions, direction = blob()
    options = {"spacing": 1.5, "snr": None, "phase_axis": axis}
    still = simulate_dwi(fractions, OBLIQUE, direction, rng=rng(4), **options)
    moved = simulate_dwi(fractions, OBLIQUE, direction, rng=rng(4), epi_shift_mm=shift, **options)

    def where(scan):
        # CSF has b0 signal 1 and the nerve 0.4: what is missing is nerve.
        return centre_of(1 - scan.image.get_fdata()[..., 0], scan.image.affine)

    unit = OBLIQUE[:3, axis] / np.linalg.norm(OBLIQUE[:3, axis])
    np.testing.assert_allclose(where(moved) - where(still), shift * unit, atol=1e-3)
    np.testing.assert_array_equal(moved.fractions.get_fdata(), still.fractions.get_fdata())


def test_footprints_of_whole_voxels_are_block_means():
    values = rng(5).random((8, 6, 4))
    grid, coarse, start, _ = scan_grid((8, 6, 4), HALF_MM, np.full(3, 0.5), 1.0)
    weights = averaging_matrix((8, 6, 4), np.full(3, 0.5), grid, coarse, start)
    blocks = values.reshape(4, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose((weights @ values.ravel()).reshape(grid), blocks)


def test_noise_is_rician_with_the_stated_snr():
    scan = simulate_dwi(
        only(Tissue.PONS, (40, 40, 40)), HALF_MM, along([0, 0, 0], (40, 40, 40)), spacing=1.0,
        snr=5, rng=rng(6),
    )  # fmt: skip
    b0 = scan.image.get_fdata()[..., :4]
    rice = scipy.stats.rice(5, scale=0.08)
    assert scan.drawn["noise_sd"] == pytest.approx(0.08)
    assert b0.mean() == pytest.approx(rice.mean(), abs=4 * rice.std() / np.sqrt(b0.size))
    assert b0.std() == pytest.approx(rice.std(), rel=0.02)


def test_tensors_are_drawn_in_range_recorded_and_repeatable():
    for seed in range(20):
        scan = simulate_dwi(only(Tissue.CSF), HALF_MM, along([0, 0, 0]), rng=rng(seed))
        assert scan.truth.fa.between(0.3, 0.65).all()
        assert scan.truth.md.between(0.8, 1.4).all()
    again = simulate_dwi(only(Tissue.CSF), HALF_MM, along([0, 0, 0]), rng=rng(19))
    np.testing.assert_array_equal(scan.image.get_fdata(), again.image.get_fdata())
    assert again.drawn == scan.drawn == json.loads(json.dumps(scan.drawn))
    assert scan.synthetic
    # Giving one side leaves the draw of the other as it was.
    one = simulate_dwi(only(Tissue.CSF), HALF_MM, along([0, 0, 0]), fa={"left": 0.4}, rng=rng(19))
    assert one.truth.fa.left == 0.4
    assert one.truth.fa.right == scan.truth.fa.right
    assert repr(one).startswith("DiffusionScan(synthetic, 1 x 1 x 1 of 2 x 2 x 2 mm")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fa": 1.2}, FormatError, "expected fa from 0 to 1"),
        ({"md": 0.0011}, FormatError, "expected md .µm²/ms. from 0.05 to 10"),
        ({"fa": {"both": 0.4}}, FormatError, r"by side 'left' and 'right', found \['both'\]"),
        ({"n_directions": 5}, FormatError, "at least 6 directions"),
        ({"n_b0": 0}, FormatError, "n_b0 as a number of volumes"),
        ({"b_value": 1.0}, FormatError, "expected b_value from 100"),
        ({"snr": -1}, FormatError, "snr above 0, or None"),
        ({"epi_shift_mm": float("nan")}, FormatError, "expected epi_shift_mm"),
        ({"s0": {"BRAIN": 1}}, FormatError, "found 'BRAIN'"),
        ({"spacing": 0.3}, GeometryError, "expected voxels between the fine ones"),
        ({"spacing": 50.0}, GeometryError, "and the field of view"),
        ({"spacing": (1, 2)}, FormatError, "spacing as one or three numbers"),
        ({"phase_axis": -1}, FormatError, "expected phase_axis 0, 1 or 2"),
    ],
)
def test_wrong_options_say_what_was_expected(options, error, message):
    with pytest.raises(error, match=message):
        simulate_dwi(only(Tissue.NERVE_LEFT), HALF_MM, along(TILTED), rng=rng(), **options)


def test_nerve_without_direction_is_refused():
    field = np.array(along(TILTED))
    field[0, 0, 0] = 0
    field[1, 0, 0] = np.nan
    with pytest.raises(GeometryError, match="2 of 64 voxels that hold nerve have no unit vector"):
        simulate_dwi(only(Tissue.NERVE_LEFT), HALF_MM, field, rng=rng())
    with pytest.raises(GeometryError, match=r"expected directions of shape \(4, 4, 4, 3\)"):
        simulate_dwi(only(Tissue.NERVE_LEFT), HALF_MM, field[0], rng=rng())
    with pytest.raises(GeometryError, match=r"expected directions of shape \(64, 3\)"):
        simulate_dwi(only(Tissue.NERVE_LEFT), HALF_MM, lambda x: x[0], rng=rng())
