"""Tensors with and without CSF: analytic truth, independent fits, real scans, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import rice

from precisionpain.errors import DataWarning, FormatError, GeometryError
from precisionpain.imaging._diffusion.footprint import footprint
from precisionpain.imaging._diffusion.rician import rician_mean, rician_variance
from precisionpain.imaging.diffusion import (
    along_nerve,
    estimate_epi_shift,
    fit_tensor,
    label_fractions,
)
from precisionpain.imaging.gradients import Gradients, read_gradients

Array = NDArray[np.float64]
AFFINE = np.diag([-2.0, 2, 2, 1])
VALUES = np.array([1.7, 0.9, 0.7])


def directions(n: int) -> Array:
    """Directions on a spiral, spread well enough."""
    k = np.arange(n) + 0.5
    z, turn = k / n, k * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - z**2)
    return np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])


def table(shells: tuple[float, ...] = (1000.0,), n: int = 30, n_b0: int = 3) -> Gradients:
    g = [np.zeros((n_b0, 3)), *[directions(n)] * len(shells)]
    b = [np.zeros(n_b0), *[np.full(n, shell) for shell in shells]]
    return Gradients.from_world(np.concatenate(b), np.vstack(g), AFFINE)


def signal_of(gradients: Gradients, tensor: Array) -> Array:
    g = gradients.world(AFFINE)
    return np.exp(-gradients.bvals / 1000 * np.einsum("ki,ij,kj->k", g, tensor, g))


def turned(seed: int = 0, values: Array = VALUES) -> tuple[Array, Array]:
    axes = Rotation.random(random_state=seed).as_matrix()
    return axes @ np.diag(values) @ axes.T, axes[:, 0]


def image(signals: Array) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.asarray(signals, dtype=np.float32), AFFINE)


def basser_fa(values: Array) -> float:
    """Basser & Pierpaoli 1996, equation 28, written out."""
    a, b, c = values
    return float(
        np.sqrt(0.5)
        * np.sqrt((a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2)
        / np.sqrt(a**2 + b**2 + c**2)
    )


def value(map_: nibabel.Nifti1Image, voxel: tuple[int, int, int] = (0, 0, 0)) -> float:
    return float(map_.get_fdata()[voxel])


class TestPlainTensor:
    @pytest.mark.parametrize("method", ["WLS", "OLS", "NLLS"])
    def test_exact_signal_gives_the_tensor_back(self, method: str) -> None:
        gradients = table()
        tensor, main = turned(3)
        dwi = image(250 * signal_of(gradients, tensor)[None, None, None])
        fit = fit_tensor(dwi, gradients, method=method)  # type: ignore[arg-type]
        assert value(fit.fa) == pytest.approx(basser_fa(VALUES), abs=1e-4)
        assert value(fit.md) == pytest.approx(VALUES.mean(), abs=1e-4)
        assert value(fit.ad) == pytest.approx(1.7, abs=1e-3)
        assert value(fit.rd) == pytest.approx(0.8, abs=1e-3)
        assert value(fit.s0) == pytest.approx(250, rel=1e-4)
        assert value(fit.residual) < 1e-5
        assert abs(fit.direction.get_fdata()[0, 0, 0] @ main) == pytest.approx(1, abs=1e-6)
        assert fit.csf_fraction is None

    def test_b0_that_is_not_quite_zero(self) -> None:
        # b = 15 with a direction attenuates by up to 2%; it must enter the fit as measured.
        g = np.vstack([[[0.6, 0.0, 0.8]], directions(20)])
        gradients = Gradients.from_world(np.r_[15.0, np.full(20, 1000.0)], g, AFFINE)
        tensor, _ = turned(1)
        fit = fit_tensor(image(signal_of(gradients, tensor)[None, None, None]), gradients)
        assert value(fit.fa) == pytest.approx(basser_fa(VALUES), abs=1e-4)

    def test_turning_the_array_changes_nothing(self) -> None:
        """The same world, stored with axes swapped and flipped, has the same tensor."""
        gradients = table()
        tensor, main = turned(5)
        data = signal_of(gradients, tensor)[None, None, None]
        other = np.array([[0.0, 0, 2, 0], [-2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]])
        moved = Gradients.from_world(gradients.bvals, gradients.world(AFFINE), other)
        fit = fit_tensor(nibabel.Nifti1Image(data, other), moved)
        assert value(fit.fa) == pytest.approx(basser_fa(VALUES), abs=1e-4)
        assert abs(fit.direction.get_fdata()[0, 0, 0] @ main) == pytest.approx(1, abs=1e-5)

    def test_what_cannot_be_fitted_is_nan(self) -> None:
        gradients = table()
        data = np.repeat(signal_of(gradients, turned()[0])[None, None, None], 4, axis=0)
        data[1] = 0
        data[2, 0, 0, 5] = np.nan
        fit = fit_tensor(image(data), gradients, mask=np.array([[[1]], [[1]], [[1]], [[0]]]))
        assert np.isfinite(fit.fa.get_fdata()).ravel().tolist() == [True, False, False, False]
        assert repr(fit) == "TensorFit(1 of 4 voxels, no correction)"

    def test_against_an_independent_fit_of_a_real_scan(self, shared_data: Path) -> None:
        """Ordinary least squares on the logarithm, in NumPy alone and the file's own frame."""
        folder = shared_data / "mri" / "dwi_small"
        dwi = nibabel.load(folder / "small_64D.nii")
        gradients = read_gradients(folder / "small_64D.bval", folder / "small_64D.bvec")
        fit = fit_tensor(dwi, gradients, method="OLS")
        b = np.loadtxt(folder / "small_64D.bval") / 1000
        g = np.nan_to_num(np.loadtxt(folder / "small_64D.bvec"))
        x, y, z = g.T
        design = np.column_stack(
            [np.ones(len(b)), -b * x * x, -b * y * y, -b * z * z, -2 * b * x * y, -2 * b * x * z,
             -2 * b * y * z]
        )  # fmt: skip
        data = np.asarray(dwi.dataobj, dtype=float)
        good = (data > 0).all(axis=-1)
        found, *_ = np.linalg.lstsq(design, np.log(data[good]).T, rcond=None)
        _, xx, yy, zz, xy, xz, yz = found
        tensors = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).transpose(2, 0, 1)
        eigen = np.linalg.eigvalsh(tensors)
        positive = (eigen > 1e-3).all(axis=1)  # dipy raises negative eigenvalues
        fa = np.array([basser_fa(row) for row in eigen])
        assert positive.sum() > 800
        np.testing.assert_allclose(
            fit.fa.get_fdata()[good][positive], fa[positive], rtol=2e-3, atol=2e-3
        )
        np.testing.assert_allclose(
            fit.md.get_fdata()[good][positive], eigen.mean(axis=1)[positive], rtol=2e-3
        )

    @pytest.mark.parametrize("name", ["small_101D.nii.gz", "small_64D.nii"])
    def test_real_brain_has_plausible_values(self, shared_data: Path, name: str) -> None:
        folder = shared_data / "mri" / "dwi_small"
        stem = folder / name.split(".")[0]
        gradients = read_gradients(stem.with_suffix(".bval"), stem.with_suffix(".bvec"))
        keep = gradients.bvals < 1600  # beyond, the tensor model fails
        dwi = nibabel.load(folder / name)
        part = nibabel.Nifti1Image(np.asarray(dwi.dataobj)[..., keep], dwi.affine)
        fit = fit_tensor(part, Gradients(gradients.bvals[keep], gradients.bvecs[keep]))
        fa = fit.fa.get_fdata()
        assert 0.2 < np.nanmedian(fa) < 0.6
        assert 0.5 < np.nanmedian(fit.md.get_fdata()) < 1.2  # brain, µm²/ms
        assert np.nanmax(fa) <= 1


class TestCsf:
    def voxel(self, share: Array, gradients: Gradients, weight: float = 2.5) -> Array:
        tensor, _ = turned(2)
        csf = weight * np.exp(-gradients.bvals / 1000 * 3.0)
        share = np.asarray(share, dtype=float).reshape(-1, 1, 1, 1)
        return 100 * (share * csf + (1 - share) * signal_of(gradients, tensor))

    @given(st.floats(0, 0.8), st.floats(1, 4))
    def test_known_fraction_is_exact(self, share: float, weight: float) -> None:
        gradients = table()
        dwi = image(self.voxel(np.array([share]), gradients, weight))
        fit = fit_tensor(
            dwi, gradients, correction="two_compartment", csf_fraction=[[[share]]],
            csf_weight=weight,
        )  # fmt: skip
        if weight * share / (weight * share + 1 - share) > 0.95:
            assert np.isnan(value(fit.fa))
        else:
            assert value(fit.fa) == pytest.approx(basser_fa(VALUES), abs=2e-3)
            assert value(fit.md) == pytest.approx(1.1, abs=2e-3)

    def test_weight_is_found_from_the_b0_image(self) -> None:
        gradients = table()
        share = np.linspace(0, 0.9, 20)
        dwi = image(self.voxel(share, gradients, 2.7))
        fit = fit_tensor(
            dwi, gradients, correction="two_compartment", csf_fraction=share.reshape(-1, 1, 1)
        )
        assert fit.csf_weight == pytest.approx(2.7, rel=1e-4)
        np.testing.assert_allclose(fit.fa.get_fdata()[:10].ravel(), basser_fa(VALUES), atol=2e-3)
        np.testing.assert_allclose(fit.csf_fraction.get_fdata()[:10].ravel(), share[:10], atol=1e-6)
        naive = fit_tensor(dwi, gradients).fa.get_fdata().ravel()
        assert (np.diff(naive) < 0).all()  # more CSF, less anisotropy

    def test_two_shells_find_the_fraction(self) -> None:
        gradients = table((500.0, 1500.0))
        fit = fit_tensor(
            image(self.voxel(np.array([0.3]), gradients, 1.0)), gradients, correction="free_water"
        )
        assert value(fit.csf_fraction) == pytest.approx(0.3, abs=0.01)
        assert value(fit.fa) == pytest.approx(basser_fa(VALUES), abs=0.01)

    def test_one_shell_with_an_assumed_md(self) -> None:
        gradients = table()
        dwi = image(self.voxel(np.array([0.0, 0.2, 0.5]), gradients, 1.0))
        fit = fit_tensor(dwi, gradients, correction="free_water", tissue_md=1.1)
        np.testing.assert_allclose(fit.csf_fraction.get_fdata().ravel(), [0, 0.2, 0.5], atol=0.01)
        np.testing.assert_allclose(fit.fa.get_fdata().ravel(), basser_fa(VALUES), atol=0.01)
        assert fit.assumed_md == 1.1
        # What is wrong with assuming it: a lower MD is bought with more CSF, and FA follows.
        low = fit_tensor(dwi, gradients, correction="free_water", tissue_md=0.8)
        assert value(low.csf_fraction, (1, 0, 0)) > 0.25
        assert value(low.fa, (1, 0, 0)) > basser_fa(VALUES) + 0.05


class TestRefusals:
    def test_image_and_table(self) -> None:
        gradients = table()
        with pytest.raises(GeometryError, match="4 axes"):
            fit_tensor(image(np.ones((2, 2, 2))), gradients)
        with pytest.raises(FormatError, match="33 volumes, the image has 20"):
            fit_tensor(image(np.ones((2, 2, 2, 20))), gradients)

    def test_count_mismatch_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.bval").write_text("0 1000")
        (tmp_path / "a.bvec").write_text("0 1\n0 0\n0 0")
        gradients = read_gradients(tmp_path / "a.bval", tmp_path / "a.bvec")
        with pytest.raises(FormatError, match=r"a\.bvec"):
            fit_tensor(image(np.ones((2, 2, 2, 3))), gradients)

    def test_no_b0(self) -> None:
        gradients = Gradients(np.full(10, 1000.0), directions(10))
        with pytest.raises(FormatError, match="no volume without diffusion weighting"):
            fit_tensor(image(np.ones((1, 1, 1, 10))), gradients)

    def test_five_directions_however_often(self) -> None:
        g = np.vstack([np.zeros((1, 3)), *[directions(5)] * 2, -directions(5)])
        gradients = Gradients(np.r_[0, np.full(15, 1000.0)], g)
        with pytest.raises(GeometryError, match=r"at least 6 .*found 5"):
            fit_tensor(image(np.ones((1, 1, 1, 16))), gradients)

    @pytest.mark.parametrize("tilt", [0.0, 0.05, 0.15])
    def test_nearly_one_plane(self, tilt: float) -> None:
        angle = np.arange(12) * np.pi / 12
        g = np.column_stack(
            [np.cos(angle), np.sin(angle), tilt * np.where(np.arange(12) % 2, 1, -1)]
        )
        g /= np.linalg.norm(g, axis=1, keepdims=True)
        gradients = Gradients(np.r_[0, np.full(12, 1000.0)], np.vstack([np.zeros(3), g]))
        with pytest.raises(GeometryError, match="close to a plane"):
            fit_tensor(image(np.ones((1, 1, 1, 13))), gradients)

    def test_free_water_of_one_shell(self) -> None:
        dwi = image(np.ones((1, 1, 1, 33)))
        with pytest.raises(GeometryError, match=r"one shell .*b = 1000.*csf_fraction"):
            fit_tensor(dwi, table(), correction="free_water")

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"correction": "two_compartment"}, "go together"),
            ({"csf_fraction": [[[0.5]]]}, "go together"),
            ({"correction": "other"}, "expected correction"),
            ({"tissue_md": 1.0}, "goes with"),
            ({"correction": "free_water", "tissue_md": 0.001}, "in µm²/ms"),
            ({"method": "magic"}, "expected method"),
            ({"csf_diffusivity": -1}, "above 0"),
            ({"correction": "two_compartment", "csf_fraction": [[[1.5]]]}, "within 0 to 1"),
            ({"correction": "two_compartment", "csf_fraction": [[[0.5]]]}, "can't be estimated"),
        ],
    )
    def test_options(self, options: dict[str, object], what: str) -> None:
        dwi = image(np.ones((1, 1, 1, 33)))
        with pytest.raises(FormatError, match=what):
            fit_tensor(dwi, table(), **options)  # type: ignore[arg-type]

    def test_other_grids(self) -> None:
        dwi = image(np.ones((2, 2, 2, 33)))
        other = nibabel.Nifti1Image(np.ones((2, 2, 2)), np.eye(4))
        with pytest.raises(GeometryError, match="another grid"):
            fit_tensor(dwi, table(), mask=other)
        with pytest.raises(GeometryError, match=r"mask of shape \(2, 2, 2\)"):
            fit_tensor(dwi, table(), mask=np.ones((3, 2, 2)))


class TestFootprint:
    def ball(self, spacing: float, size: int) -> nibabel.Nifti1Image:
        affine = np.diag([spacing] * 3 + [1.0])
        affine[:3, 3] = -spacing * (size - 1) / 2
        place = np.indices((size,) * 3).reshape(3, -1).T * spacing + affine[0, 3]
        inside = (np.linalg.norm(place, axis=1) < 5).astype(np.uint8)
        return nibabel.Nifti1Image(inside.reshape((size,) * 3), affine)

    @pytest.mark.parametrize("oblique", [False, True])
    def test_volume_is_kept(self, oblique: bool) -> None:
        fine = self.ball(0.5, 30)
        affine = np.diag([2.0, 1.5, 2.3, 1])
        if oblique:
            affine[:3, :3] = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix() @ affine[:3, :3]
        affine[:3, 3] = -affine[:3, :3] @ [7.6, 9.3, 7.8]
        grid = nibabel.Nifti1Image(np.zeros((16, 20, 16)), affine)
        found = label_fractions(fine, grid).get_fdata()
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
        volume = found[..., 1].sum() * abs(np.linalg.det(affine[:3, :3]))
        exact = float(fine.get_fdata().sum()) * 0.125
        assert volume == pytest.approx(exact, rel=1e-5 if not oblique else 5e-3)

    def test_parallel_and_oblique_agree(self) -> None:
        """An imperceptible turn takes the other way through the code."""
        fine = self.ball(0.5, 30)
        straight = np.diag([2.0, 2, 2, 1])
        straight[:3, 3] = [-6.1, -5.8, -6.3]
        turned_ = straight.copy()
        turned_[:3, :3] = Rotation.from_rotvec([0, 0, 1e-5]).as_matrix() * 2.0
        index = np.indices((7, 7, 7)).reshape(3, -1).T
        ball = fine.get_fdata().ravel()
        one = footprint(fine.shape, fine.affine, straight, index) @ ball
        two = footprint(fine.shape, fine.affine, turned_, index) @ ball
        assert np.abs(one - two).max() < 0.1  # points of 0.25 mm against exact overlap
        assert one.sum() == pytest.approx(two.sum(), rel=5e-3)

    def test_swapped_axes_and_fractions(self) -> None:
        rng = np.random.default_rng(0)
        share = rng.random((4, 6, 8, 1))
        fine = nibabel.Nifti1Image(np.concatenate([1 - share, share], axis=-1), np.eye(4))
        # Coarse axes: i along -z, j along x, k along y.
        affine = np.array([[0, 2.0, 0, 0.5], [0, 0, 2, 0.5], [-2, 0, 0, 6.5], [0, 0, 0, 1]])
        grid = nibabel.Nifti1Image(np.zeros((4, 2, 3)), affine)
        blocks = share[..., 0].reshape(2, 2, 3, 2, 4, 2).mean(axis=(1, 3, 5))
        expected = blocks.transpose(2, 0, 1)[::-1]
        np.testing.assert_allclose(
            label_fractions(fine, grid).get_fdata()[..., 1], expected, atol=1e-6
        )

    def test_a_shift_moves_what_is_seen(self) -> None:
        data = np.zeros((8, 8, 8), dtype=np.uint8)
        data[2:4] = 1
        fine = nibabel.Nifti1Image(data, np.eye(4))
        affine = np.diag([2.0, 2, 2, 1])
        affine[:3, 3] = 0.5
        grid = nibabel.Nifti1Image(np.zeros((4, 4, 4)), affine)
        seen = label_fractions(fine, grid, shift_mm=(3.0, 0, 0)).get_fdata()[:, 0, 0, 1]
        np.testing.assert_allclose(seen, [0, 0, 0.5, 0.5])

    def test_refusals(self) -> None:
        grid = nibabel.Nifti1Image(np.zeros((4, 4, 4)), np.diag([2.0, 2, 2, 1]))
        far = np.eye(4)
        far[:3, 3] = 500
        for labels, error, what in (
            (nibabel.Nifti1Image(np.ones((3, 3, 3)), far), GeometryError, "don't overlap"),
            (nibabel.Nifti1Image(np.full((3, 3, 3), 0.5), np.eye(4)), FormatError, "whole"),
            (nibabel.Nifti1Image(np.full((3, 3, 3, 2), 1.5), np.eye(4)), FormatError, "0 to 1"),
            (nibabel.Nifti1Image(np.ones((3, 3)), np.eye(4)), GeometryError, "3 axes"),
        ):
            with pytest.raises(error, match=what):
                label_fractions(labels, grid)


@pytest.mark.parametrize("amplitude", [0.0, 0.5, 2.0, 10.0])
def test_rician_moments_against_scipy(amplitude: float) -> None:
    reference = rice(amplitude / 0.7, scale=0.7)
    assert rician_mean(amplitude, 0.7) == pytest.approx(reference.mean(), rel=1e-9)
    assert rician_variance(amplitude, 0.7) == pytest.approx(reference.var(), rel=1e-6)


def test_rician_mean_of_a_strong_signal() -> None:
    # A + σ²/2A, where SciPy's own formula overflows.
    assert rician_mean(1e4, 0.7) == pytest.approx(1e4 + 0.49 / 2e4, rel=1e-12)


class TestShift:
    def scene(self, shift: float, axis: int = 1) -> tuple[nibabel.Nifti1Image, Gradients, object]:
        """A ball with a stalk in CSF, seen displaced; points inside decide, not labels."""

        def kind(place: Array) -> NDArray[np.int64]:
            ball = np.linalg.norm(place - [0, -6, 0], axis=-1) < 7
            stalk = (np.hypot(place[..., 0] - 1, place[..., 2]) < 1.5) & (place[..., 1] < 9)
            return np.where(ball, 1, np.where(stalk & (place[..., 1] > -6), 2, 0))

        fine = np.diag([0.5, 0.5, 0.5, 1])
        fine[:3, 3] = -15
        labels = kind(np.moveaxis(np.indices((60,) * 3), 0, -1) * 0.5 - 15.0)
        gradients = table(n=12, n_b0=1)
        affine = np.diag([-2.0, 2, 2, 1])
        affine[:3, :3] = Rotation.from_rotvec([0.05, 0.1, -0.1]).as_matrix() @ affine[:3, :3]
        affine[:3, 3] = -affine[:3, :3] @ [6.6, 7.2, 6.9]
        ticks = (np.arange(5) + 0.5) / 5 - 0.5
        sub = np.stack(np.meshgrid(ticks, ticks, ticks), axis=-1).reshape(-1, 3)
        voxel = np.moveaxis(np.indices((14,) * 3), 0, -1)[..., None, :] + sub
        moved = np.zeros(3)
        moved[axis] = shift / 2
        at = kind((voxel - moved) @ affine[:3, :3].T + affine[:3, 3])
        share = np.stack([(at == k).mean(axis=-1) for k in range(3)], axis=-1)
        weights = np.exp(-gradients.bvals / 1000)
        pure = np.array([weights**3, 0.4 * weights**0.8, 0.4 * weights**1.1])
        rng = np.random.default_rng(int(10 * shift) + 100)
        clean = share @ pure
        noisy = np.abs(clean + rng.normal(0, 0.016, clean.shape))
        return (
            nibabel.Nifti1Image(noisy, affine),
            gradients,
            nibabel.Nifti1Image(labels.astype(np.uint8), fine),
        )

    @pytest.mark.parametrize("shift", [-4.0, 0.0, 1.3, 3.7])
    def test_found_within_a_tenth_of_a_millimetre(self, shift: float) -> None:
        found = estimate_epi_shift(*self.scene(shift))  # type: ignore[arg-type]
        assert found.shift_mm == pytest.approx(shift, abs=0.1)
        assert not found.at_limit
        assert found.explained > 0.9
        assert found.explained >= found.explained_unshifted - 1e-9
        assert found.mm == (0.0, found.shift_mm, 0.0)

    def test_another_axis(self) -> None:
        found = estimate_epi_shift(*self.scene(2.0, axis=0), axis=0)  # type: ignore[arg-type]
        assert found.shift_mm == pytest.approx(2.0, abs=0.1)

    def test_beyond_the_range(self) -> None:
        with pytest.warns(DataWarning, match="end of the range"):
            found = estimate_epi_shift(*self.scene(3.7), limit_mm=2.0)  # type: ignore[arg-type]
        assert found.at_limit

    def test_options(self) -> None:
        dwi, gradients, labels = self.scene(0.0)
        with pytest.raises(FormatError, match="axis 0, 1 or 2"):
            estimate_epi_shift(dwi, gradients, labels, axis=3)  # type: ignore[arg-type]
        with pytest.raises(FormatError, match="above 0"):
            estimate_epi_shift(dwi, gradients, labels, limit_mm=0)  # type: ignore[arg-type]


class TestAlongNerve:
    def fit(self) -> tuple[object, Array]:
        """FA rises along y by 0.02 per voxel of 1 mm; the nerve runs along x = 4, z = 4."""
        gradients = table(n=12, n_b0=1)
        data = np.ones((9, 20, 9, 13))
        dwi = nibabel.Nifti1Image(data, np.eye(4))
        fit = fit_tensor(dwi, gradients)
        ramp = np.broadcast_to(0.2 + 0.02 * np.arange(20)[None, :, None], (9, 20, 9))
        maps = {
            name: nibabel.Nifti1Image(np.float32(ramp), np.eye(4))
            for name in ("fa", "md", "ad", "rd")
        }
        return dataclasses.replace(fit, **maps), np.array([[4.0, 2, 4], [4, 14, 4]])

    def test_a_ramp_is_followed(self) -> None:
        fit, line = self.fit()
        found = along_nerve(fit, line, radius_mm=1.5)  # type: ignore[arg-type]
        assert found["s_mm"].tolist() == list(range(13))
        inner = found.iloc[2:-2]
        np.testing.assert_allclose(inner["fa"], 0.2 + 0.02 * (inner["s_mm"] + 2), atol=2e-3)

    def test_bins_are_means_of_their_voxels(self) -> None:
        fit, line = self.fit()
        found = along_nerve(fit, line, radius_mm=0.4, bins=[0, 3, 5, 20])  # type: ignore[arg-type]
        # On the line stand the voxels y = 2 to 14, s = 0 to 12.
        np.testing.assert_allclose(found["fa"][:3], [0.26, 0.31, 0.41], atol=1e-5)
        assert found["n_voxels"].tolist() == [3, 2, 8, 0]
        assert np.isnan(found["fa"][3])
        np.testing.assert_allclose(found["s_mm"][:3], [1, 3.5, 8.5], atol=0.06)

    def test_weights_count(self) -> None:
        fit, line = self.fit()
        weights = np.zeros((9, 20, 9))
        weights[4, 5, 4], weights[4, 9, 4] = 1.0, 3.0
        found = along_nerve(fit, line, weights=weights, bins=[0])  # type: ignore[arg-type]
        assert found.loc[0, "fa"] == pytest.approx((0.30 + 3 * 0.38) / 4, abs=1e-6)
        assert found.loc[0, "weight"] == pytest.approx(4)
        assert found.loc[0, "n_voxels"] == 2

    def test_refusals(self) -> None:
        fit, line = self.fit()
        for bad, error in (([[1, 2, 3]], GeometryError), ([[1, 1, 1]] * 3, GeometryError)):
            with pytest.raises(error):
                along_nerve(fit, bad)  # type: ignore[arg-type]
        with pytest.raises(FormatError, match="rising edges"):
            along_nerve(fit, line, bins=[3, 1])  # type: ignore[arg-type]
        with pytest.raises(FormatError, match="above 0 mm"):
            along_nerve(fit, line, radius_mm=0)  # type: ignore[arg-type]
