"""The grid of SPM12, and resampling to a grid."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from precisionpain.errors import FormatError, GeometryError
from precisionpain.imaging import resample_to_grid, spm_grid


def test_the_grid_is_that_of_scans_by_spm(shared_data):
    shape, affine = spm_grid()
    for path in (shared_data / "mri" / "ixi_t1_mni").glob("*.nii"):
        scan = nibabel.load(path)
        assert scan.shape == shape
        np.testing.assert_allclose(scan.affine, affine)


def test_both_orientations_cover_the_same_box():
    for spacing, shape in ((2, (79, 95, 79)), (1, (157, 189, 156))):
        las, ras = spm_grid(spacing, "LAS"), spm_grid(spacing, "RAS")
        assert las[0] == ras[0] == shape
        last = np.append(np.array(shape) - 1, 1)
        assert (las[1] @ [0, 0, 0, 1]).tolist() == [78, -112, -70, 1]
        assert (las[1] @ last).tolist() == [-78, 76, 86 if spacing == 2 else 85, 1]
        assert (ras[1] @ [last[0], 0, 0, 1]).tolist() == [78, -112, -70, 1]
    for wrong in (0, -1, np.nan, 50):
        with pytest.raises(FormatError, match="above 0 mm"):
            spm_grid(wrong)
    with pytest.raises(FormatError, match="'LAS' or 'RAS'"):
        spm_grid(2, "LPS")


def plane(affine, shape, slope, offset=0.0):
    """An image whose value is linear in space."""
    world = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    return nibabel.Nifti1Image((world @ slope + offset).reshape(shape).astype("float32"), affine)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_places_are_kept_under_any_affine(order):
    turn = np.array([[0, -1.5, 0, 100], [1.2, 0, 0.1, -140], [0, 0.1, 2, -95], [0, 0, 0, 1]])
    slope = np.array([0.3, -0.2, 0.5])
    scan = plane(turn, (200, 150, 100), slope, 1000.0)
    shape, affine = spm_grid(4)
    moved = resample_to_grid(scan, shape, affine, order)
    inside = (slice(4, -4),) * 3
    expected = plane(affine, shape, slope, 1000.0).get_fdata()[inside]
    np.testing.assert_allclose(
        moved.get_fdata()[inside], expected, atol=1.3 if order == 0 else 0.05
    )


def test_a_transform_leads_from_the_grid_to_the_scan():
    shape, affine = spm_grid(4)
    shift = np.eye(4)
    shift[:3, 3] = 3, -8, 5
    slope = np.array([1.0, 2.0, 3.0])
    moved = resample_to_grid(plane(affine, shape, slope), shape, affine, transform=shift)
    inside = (slice(4, -4),) * 3
    expected = plane(affine, shape, slope, slope @ shift[:3, 3]).get_fdata()
    np.testing.assert_allclose(moved.get_fdata()[inside], expected[inside], atol=0.02)


def test_fine_noise_is_smoothed_and_labels_are_not():
    rng = np.random.default_rng(0)
    fine = spm_grid(1)
    noise = nibabel.Nifti1Image(rng.normal(size=fine[0]).astype("float32"), fine[1])
    assert resample_to_grid(noise, *spm_grid(4)).get_fdata().std() < 0.3
    labels = nibabel.Nifti1Image(rng.integers(0, 5, fine[0]).astype("uint8"), fine[1])
    moved = resample_to_grid(labels, *spm_grid(4), 0)
    assert moved.get_data_dtype() == np.uint8
    assert set(np.unique(moved.dataobj)) == {0, 1, 2, 3, 4}


def test_what_cannot_be_resampled_is_said():
    scan = nibabel.Nifti1Image(np.zeros((3, 3, 3), "float32"), np.eye(4))
    with pytest.raises(GeometryError, match="not invertible"):
        resample_to_grid(scan, (3, 3, 3), np.diag([1, 1, 0, 1]))
    with pytest.raises(GeometryError, match="three axes"):
        resample_to_grid(
            nibabel.Nifti1Image(np.zeros((3, 3, 3, 2)), np.eye(4)), (3,) * 3, np.eye(4)
        )
    with pytest.raises(FormatError, match="order 0 to 5"):
        resample_to_grid(scan, (3, 3, 3), np.eye(4), 6)
