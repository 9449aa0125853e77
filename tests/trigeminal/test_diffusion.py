"""The nerve's tensor out of mixed voxels, against closed truth."""

from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import DataWarning, FormatError, GeometryError
from precisionpain.imaging.diffusion import along_nerve, fit_tensor, label_fractions
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.diffusion import measure_diffusion, side_differences

from .nerve_scan import Nerve, labels_of, scan_of

AD, RD = (1.7, 1.5), (0.8, 0.9)


def fa(ad: float, rd: float) -> float:
    """Of an axially symmetric tensor: (AD − RD) / √(AD² + 2 RD²)."""
    return (ad - rd) / np.sqrt(ad**2 + 2 * rd**2)


TRUTH = [fa(a, r) for a, r in zip(AD, RD, strict=True)]


@pytest.fixture(scope="module")
def fractions() -> nibabel.Nifti1Image:
    return labels_of(Nerve(), fractions=True)


@pytest.fixture(scope="module")
def labels() -> nibabel.Nifti1Image:
    return labels_of(Nerve())


def mean_error(found: pd.DataFrame, column: str = "fa", truth: list[float] | None = None) -> float:
    return float(np.abs(found[column].to_numpy() - (truth or TRUTH)).max())


@pytest.mark.parametrize("spacing", [1.5, 2.0])
def test_without_noise_the_truth_comes_back(fractions: nibabel.Nifti1Image, spacing: float) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD, spacing=spacing)
    found = measure_diffusion(dwi, gradients, fractions, noise=4e-3)
    assert mean_error(found) < 0.01
    assert mean_error(found, "md", [(a + 2 * r) / 3 for a, r in zip(AD, RD, strict=True)]) < 0.04
    assert mean_error(found, "ad", list(AD)) < 0.05
    assert (found["fa_naive"] < np.array(TRUTH) - 0.1).all()  # what CSF does to a plain mean
    np.testing.assert_allclose(found["volume_ratio"], 1, atol=0.03)
    np.testing.assert_allclose(found["s0_ratio"], 1, atol=0.03)
    volume = np.pi * 1.2**2 * 10 / spacing**3
    np.testing.assert_allclose(found["nerve_voxels"], volume, rtol=0.03)


def test_hard_labels_do_nearly_as_well(labels: nibabel.Nifti1Image) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD)
    assert mean_error(measure_diffusion(dwi, gradients, labels, noise=4e-3)) < 0.02


def test_noise_gives_no_bias_and_honest_errors(fractions: nibabel.Nifti1Image) -> None:
    """SNR 25 in the pons: the mean error is small and the standard errors cover the scatter."""
    errors, expected, naive, low = [], [], [], []
    for seed in range(8):
        dwi, gradients = scan_of(Nerve(), AD, RD, sigma=0.016, seed=seed)
        found = measure_diffusion(dwi, gradients, fractions, bins=None)
        errors += list(found["fa"] - TRUTH)
        naive += list(found["fa_naive"] - TRUTH)
        expected += list(found["fa_se"])
        low += list(found["misfit"])
    assert abs(np.mean(errors)) < 0.02
    assert np.mean(naive) < -0.1
    assert np.std(errors) < 1.3 * np.mean(expected)
    assert np.mean(low) == pytest.approx(1, abs=0.1)


def test_the_noise_floor_is_accounted_for(fractions: nibabel.Nifti1Image) -> None:
    """At SNR 10 the CSF between the nerves is mostly floor; MD must not sink with it."""
    found = []
    for seed in range(4):
        dwi, gradients = scan_of(Nerve(), AD, RD, sigma=0.04, seed=seed, n=60)
        found.append(measure_diffusion(dwi, gradients, fractions, bins=None)["md"])
    truth = [(a + 2 * r) / 3 for a, r in zip(AD, RD, strict=True)]
    assert np.abs(np.mean(found, axis=0) - truth).max() < 0.08


def test_noise_is_found_without_repeated_b0(fractions: nibabel.Nifti1Image) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD, sigma=0.016, n_b0=1)
    found = measure_diffusion(dwi, gradients, fractions)
    np.testing.assert_allclose(found["noise"], 0.016, rtol=0.2)


def test_turning_the_head_changes_nothing(fractions: nibabel.Nifti1Image) -> None:
    straight = measure_diffusion(*scan_of(Nerve(), AD, RD), fractions, noise=4e-3)
    nerve = Nerve(turn=0.7)
    turned = measure_diffusion(
        *scan_of(nerve, AD, RD), labels_of(nerve, fractions=True), noise=4e-3
    )
    for name in ("fa", "md", "fa_se", "fa_naive", "nerve_voxels"):
        np.testing.assert_allclose(turned[name], straight[name], atol=2e-3, err_msg=name)


def test_sides_are_those_of_the_labels(fractions: nibabel.Nifti1Image) -> None:
    """Swap the labels and the results swap; mirror the array and they stay."""
    dwi, gradients = scan_of(Nerve(), AD, RD, sigma=0.016)
    found = measure_diffusion(dwi, gradients, fractions, bins=None)
    data = np.asarray(fractions.dataobj)[..., [0, 1, 3, 2, 4, 5]]
    swapped = nibabel.Nifti1Image(data, fractions.affine)
    other = measure_diffusion(dwi, gradients, swapped, bins=None)
    np.testing.assert_allclose(other.loc["left"], found.loc["right"], rtol=1e-6)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = fractions.shape[0] - 1
    mirrored = nibabel.Nifti1Image(np.asarray(fractions.dataobj)[::-1], fractions.affine @ flip)
    same = measure_diffusion(dwi, gradients, mirrored, bins=None)
    np.testing.assert_allclose(same.loc["left"], found.loc["left"], rtol=1e-4)


def test_a_displaced_scan_is_put_right(fractions: nibabel.Nifti1Image) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD, sigma=0.016, shift=3.0)
    with pytest.warns(DataWarning, match="times the noise"):
        wrong = measure_diffusion(dwi, gradients, fractions, bins=None)
    right = measure_diffusion(dwi, gradients, fractions, bins=None, shift_mm="estimate")
    np.testing.assert_allclose(right["shift_mm"], 3.0, atol=0.1)
    assert mean_error(right) < 0.08  # three standard errors
    assert mean_error(wrong) > mean_error(right)
    known = measure_diffusion(dwi, gradients, fractions, bins=None, shift_mm=3.0)
    assert mean_error(known) < 0.08


def test_bone_without_a_label_does_not_pass_for_csf(fractions: nibabel.Nifti1Image) -> None:
    """A quarter of the surroundings is dark in all volumes."""
    dwi, gradients = scan_of(Nerve(), AD, RD)
    data = np.asarray(dwi.dataobj).copy()
    place = np.moveaxis(np.indices(data.shape[:3]), 0, -1) @ dwi.affine[:3, :3].T
    place = place + dwi.affine[:3, 3]
    data[place[..., 1] > 9.5] *= 0.05
    found = measure_diffusion(
        nibabel.Nifti1Image(data, dwi.affine), gradients, fractions, noise=0.016, bins=None
    )
    assert mean_error(found) < 0.02


def test_bins_follow_the_nerve(fractions: nibabel.Nifti1Image) -> None:
    found = measure_diffusion(*scan_of(Nerve(), AD, RD, spacing=1.5), fractions, noise=4e-3)
    for name in ("0-3", "3-5", "5-7", ">7"):
        assert mean_error(found, f"fa_{name}") < 0.05, name
        assert (found[f"fa_se_{name}"] > 0).all()
    short = measure_diffusion(*scan_of(Nerve(), AD, RD), fractions, noise=4e-3, bins=[0, 4, 8, 20])
    assert {"fa_0-4", "fa_4-8", "fa_8-20", "fa_>20"} <= set(short.columns)
    assert short["fa_>20"].isna().all()


def test_a_given_centreline_is_used(fractions: nibabel.Nifti1Image) -> None:
    nerve = Nerve()
    dwi, gradients = scan_of(nerve, AD, RD)
    angle = np.linspace(0, nerve.length * nerve.curvature, 20)
    r = 1 / nerve.curvature
    lines = {
        side: np.column_stack(
            [sign * (nerve.apart + r - r * np.cos(angle)), r * np.sin(angle), 0 * angle]
        )
        for side, sign in (("left", -1), ("right", 1))
    }
    found = measure_diffusion(dwi, gradients, fractions, centreline=lines, noise=4e-3)  # type: ignore[arg-type]
    assert mean_error(found) < 0.01
    across = {"left": [[-9.0, 0, 0], [-9, 0, 10]], "right": [[9.0, 0, 0], [9, 0, 10]]}
    other = measure_diffusion(dwi, gradients, fractions, centreline=across, noise=4e-3)  # type: ignore[arg-type]
    assert mean_error(other) > 0.1


def test_s0_and_volume_are_told_apart_by_the_priors() -> None:
    """What the docstring says of the two errors that look alike."""
    nerve = Nerve()
    exact = labels_of(nerve, fractions=True)
    brighter = scan_of(nerve, AD, RD, s0=(1.0, 0.4, 0.44))
    trusted = measure_diffusion(*brighter, exact, noise=4e-3, bins=None, volume_sd=0.005, s0_sd=1)
    # Fractions of voxels of 0.5 mm blur the nerve a little, which looks like 3% of volume.
    np.testing.assert_allclose(trusted["s0_ratio"], 1.1, atol=0.05)
    default = measure_diffusion(*brighter, exact, noise=4e-3, bins=None)
    assert mean_error(trusted) < mean_error(default) / 2
    assert 0.03 < np.mean(default["fa"] - TRUTH) < 0.1
    data = np.asarray(exact.dataobj).copy()
    taken = 0.1 * data[..., 2:4].sum(axis=-1)
    data[..., 2:4] *= 0.9
    data[..., 0] += taken
    smaller = nibabel.Nifti1Image(data, exact.affine)
    scan = scan_of(nerve, AD, RD)
    told = measure_diffusion(*scan, smaller, noise=4e-3, bins=None, volume_sd=1, s0_sd=0.005)
    assert mean_error(told) < 0.02
    whole = measure_diffusion(*scan, exact, noise=4e-3, bins=None, volume_sd=1, s0_sd=0.005)
    ratio = told["volume_ratio"] / whole["volume_ratio"]
    np.testing.assert_allclose(ratio, 1 / 0.9, rtol=0.01)


def test_one_nerve_only(fractions: nibabel.Nifti1Image) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD)
    data = np.asarray(fractions.dataobj).copy()
    data[..., 0] += data[..., Label.NERVE_RIGHT]
    data[..., Label.NERVE_RIGHT] = 0
    one = nibabel.Nifti1Image(data, fractions.affine)
    with pytest.warns(DataWarning, match="no right nerve"):
        found = measure_diffusion(dwi, gradients, one, noise=4e-3)
    assert np.isnan(found.loc["right", "fa"])
    assert abs(found.loc["left", "fa"] - TRUTH[0]) < 0.01


def test_refusals(fractions: nibabel.Nifti1Image) -> None:
    dwi, gradients = scan_of(Nerve(), AD, RD, n=6, n_b0=1, spacing=2.5)
    empty = nibabel.Nifti1Image(np.zeros((4, 4, 4), dtype=np.uint8), np.eye(4))
    with pytest.raises(FormatError, match="no brainstem"):
        measure_diffusion(dwi, gradients, empty)
    stem = nibabel.Nifti1Image(np.ones((4, 4, 4), dtype=np.uint8), np.eye(4))
    with pytest.raises(FormatError, match="no trigeminal nerve"):
        measure_diffusion(dwi, gradients, stem)
    far = fractions.affine.copy()
    far[:3, 3] += 300
    moved = nibabel.Nifti1Image(np.asarray(fractions.dataobj), far)
    with pytest.raises(GeometryError, match="don't overlap"):
        measure_diffusion(dwi, gradients, moved)
    for options, what in (
        ({"shift_mm": "guess"}, "in mm or 'estimate'"),
        ({"phase_axis": 4}, "phase_axis 0, 1 or 2"),
        ({"noise": -1.0}, "noise above 0"),
        ({"s0_sd": 0.0}, "s0_sd above 0"),
        ({"bins": [3, 1]}, "rising edges"),
        ({"centreline": {"left": [[0, 0, 0]]}}, "two different points"),
    ):
        with pytest.raises((FormatError, GeometryError), match=what):
            measure_diffusion(dwi, gradients, fractions, **options)  # type: ignore[arg-type]


def test_voxelwise_correction_beside_it(fractions: nibabel.Nifti1Image) -> None:
    """The general tools: label fractions, two compartments, and a profile along the nerve."""
    nerve = Nerve()
    dwi, gradients = scan_of(nerve, AD, RD, spacing=1.5)
    share = label_fractions(fractions, dwi).get_fdata()
    left = share[..., Label.NERVE_LEFT]
    mask = (left > 0.05) & (share[..., Label.BRAINSTEM] < 0.02)
    fit = fit_tensor(
        dwi, gradients, mask=mask, correction="two_compartment", csf_fraction=share[..., 0],
        csf_weight=2.5,
    )  # fmt: skip
    angle = np.linspace(0, nerve.length * nerve.curvature, 20)
    r = 1 / nerve.curvature
    line = np.column_stack([-(nerve.apart + r - r * np.cos(angle)), r * np.sin(angle), 0 * angle])
    profile = along_nerve(fit, line, weights=left, bins=[0, 3, 7])
    inner = profile.iloc[:2]["fa"].to_numpy()
    np.testing.assert_allclose(inner, TRUTH[0], atol=0.06)


def test_side_differences() -> None:
    table = pd.DataFrame(
        {"fa": [0.5, 0.4], "fa_se": [0.03, 0.04], "md": [1.0, 1.2], "fa_0-3": [0.6, 0.3],
         "fa_se_0-3": [0.1, 0.0]},
        index=["left", "right"],
    )  # fmt: skip
    found = side_differences(table)
    assert list(found.index) == ["fa", "md", "fa_0-3"]
    assert found.loc["fa", "z"] == pytest.approx(0.1 / 0.05)
    assert found.loc["fa_0-3", "z"] == pytest.approx(3.0)
    assert np.isnan(found.loc["md", "z"])
    assert found.loc["fa", "asymmetry"] == pytest.approx(0.2 / 0.9)
    against = side_differences(table.loc[["right", "left"]], affected="right")
    assert against.loc["fa", "asymmetry"] == pytest.approx(0.2)
    assert against.loc["fa", "left"] == 0.5
    with pytest.raises(FormatError, match="'left' and 'right'"):
        side_differences(table.rename(index={"left": "L"}))
    with pytest.raises(FormatError, match="expected affected"):
        side_differences(table, affected="both")  # type: ignore[arg-type]
