"""Slabs: which slices, which way round, and what of the pain regions is in them."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import AlignmentError, FormatError, GeometryError
from precisionpain.mtbi import (
    PAIN_REGIONS,
    slab,
    slab_coverage,
    slab_range,
    sphere,
    white_rectangle,
)

SHAPE = (79, 95, 79)
AFFINE = np.array([[-2.0, 0, 0, 78], [0, 2, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1]])
PLANES = ("axial", "coronal", "sagittal")
EVERY_ORIENTATION = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


def world(axis):
    """The mm of each voxel along one axis, as the values of the volume."""
    index = np.indices(SHAPE)[axis]
    return AFFINE[axis, axis] * index + AFFINE[axis, 3]


def turned(data, codes):
    image = nibabel.Nifti1Image(data.astype("float32"), AFFINE)
    start, end = (nibabel.orientations.axcodes2ornt(tuple(c)) for c in ("LAS", codes))
    return image.as_reoriented(nibabel.orientations.ornt_transform(start, end))


# --- slices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plane", "axis", "first", "last", "shape"),
    [
        ("axial", 2, -22, 36, (30, 95, 79)), ("coronal", 1, -48, 10, (30, 79, 79)),
        ("sagittal", 0, 30, -28, (30, 95, 79)),
    ],
)  # fmt: skip
def test_the_published_slices(plane, axis, first, last, shape):
    cut = slab(world(axis), plane)
    assert cut.shape == shape
    assert (cut == cut[:, :1, :1]).all()
    assert (cut[0, 0, 0], cut[-1, 0, 0]) == (first, last) == slab_range(plane)


@pytest.mark.parametrize(
    ("plane", "axes"), [("axial", (2, 1, 0)), ("coronal", (1, 2, 0)), ("sagittal", (0, 1, 2))]
)
def test_rows_and_columns_run_as_documented(plane, axes):
    sign = (-1, 1, 1)  # x falls: from the right of the body to the left
    for position, axis in enumerate(axes):
        steps = np.diff(slab(world(axis), plane), axis=position)
        assert np.unique(steps).tolist() == [2.0 * sign[axis]]


@pytest.mark.parametrize("codes", EVERY_ORIENTATION)
def test_orientation_on_disk_changes_nothing(codes):
    data = np.random.default_rng(0).random(SHAPE).astype("float32")
    image = turned(data, codes)
    for plane in PLANES:
        expected = slab(data, plane)
        np.testing.assert_array_equal(slab(image, plane), expected)
        raw = np.asarray(image.dataobj)
        np.testing.assert_array_equal(slab(raw, plane, axcodes=codes), expected)


def test_a_mark_in_the_right_stays_in_the_right():
    data = np.zeros(SHAPE)
    data[10, 50, 40] = 1  # x = 58 mm: right
    for codes in ("LAS", "RAS", "SRP"):
        _, _, column = np.argwhere(slab(turned(data, codes), "axial"))[0]
        assert column == 10  # columns begin at the right


@pytest.mark.parametrize("n_slices", [1, 2, 29, 30, 31, 79])
def test_any_number_of_slices_is_centred(n_slices):
    cut = slab(np.indices(SHAPE)[2], "axial", n_slices)[:, 0, 0]
    before, after = cut[0], SHAPE[2] - 1 - cut[-1]
    assert len(cut) == n_slices
    assert 0 <= after - before <= 1
    low, high = slab_range("axial", n_slices)
    assert (low, high) == (-70 + 2 * cut[0], -70 + 2 * cut[-1])


def test_the_fine_grid_has_the_same_box():
    assert slab_range("axial", 156, spacing_mm=1) == (-70, 85)
    assert slab_range("coronal", 189, spacing_mm=1) == (-112, 76)
    assert slab_range("sagittal", 157, spacing_mm=1) == (78, -78)


def test_a_stack_is_cut_as_its_volumes_are_and_copied():
    stack = np.random.default_rng(0).random((3, 1, 20, 22, 24)).astype("float32")
    for plane in PLANES:
        cut = slab(stack, plane, 5, axcodes="PIR")
        for volume, part in zip(stack[:, 0], cut[:, 0], strict=True):
            np.testing.assert_array_equal(part, slab(volume, plane, 5, axcodes="PIR"))
        assert cut.dtype == stack.dtype
        assert not np.shares_memory(cut, stack)


def test_what_cannot_be_cut_is_said(tmp_path):
    scan = np.zeros(SHAPE)
    with pytest.raises(FormatError, match="'axial', 'coronal', 'sagittal'"):
        slab(scan, "oblique")
    with pytest.raises(FormatError, match="at most 79 slices"):
        slab(scan, "axial", 80)
    for wrong in (0, 2.5, True):
        with pytest.raises(FormatError, match="at least 1"):
            slab(scan, "axial", wrong)
    with pytest.raises(GeometryError, match="three axes"):
        slab(scan[0], "axial")
    for wrong in ("LA", "LAX", "LRS", ""):
        with pytest.raises(GeometryError, match="such as 'LAS'"):
            slab(scan, "axial", axcodes=wrong)
    with pytest.raises(GeometryError, match="three axes"):
        slab(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), "float32"), AFFINE), "axial", 2)
    oblique = AFFINE.copy()
    angle = np.radians(10)
    oblique[:2, :2] = 2 * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    with pytest.raises(GeometryError, match="oblique"):
        slab(nibabel.Nifti1Image(scan.astype("float32"), oblique), "axial")
    with pytest.raises(FormatError, match="found list"):
        slab([1, 2], "axial")


def test_real_scans_on_the_grid(shared_data):
    path = next((shared_data / "mri" / "ixi_t1_mni").glob("wIXI492*.nii"))
    data = np.asarray(nibabel.load(path).dataobj)
    cut = slab(path, "axial")
    np.testing.assert_array_equal(cut, data[:, :, 24:54].transpose(2, 1, 0))
    np.testing.assert_array_equal(slab(str(path), "coronal"), data[:, 32:62].transpose(1, 2, 0))
    np.testing.assert_array_equal(slab(nibabel.load(path), "sagittal"), data[24:54])


# --- coverage -------------------------------------------------------------------------------


def regions(folder):
    """Anatomical masks; the insula in halves, cut by the sign of x."""
    insula = nibabel.load(folder / "insula_liberal_no_operc.nii.gz")
    data = np.asarray(insula.dataobj)
    x = insula.affine[0, 0] * np.arange(data.shape[0]) + insula.affine[0, 3]
    right = nibabel.Nifti1Image(data * (x > 0)[:, None, None].astype("uint8"), insula.affine)
    left = nibabel.Nifti1Image(data * (x < 0)[:, None, None].astype("uint8"), insula.affine)
    return {
        "right insula": right, "left insula": left, "PAG": folder / "spm5_pag.nii.gz",
        "vmPFC": str(folder / "VMPFC_left.nii.gz"),
    }  # fmt: skip


def test_what_the_published_slabs_see_of_the_pain_regions(shared_data):
    masks = regions(shared_data / "mri" / "pain_rois")
    tables = {plane: slab_coverage(plane, masks=masks) for plane in PLANES}
    coronal, sagittal = tables["coronal"]["share"], tables["sagittal"]["share"]
    assert (tables["axial"]["share"] > 0.5).all()
    assert coronal["vmPFC"] < 0.1
    assert (sagittal[["right insula", "left insula"]] < 0.3).all()
    for table in tables.values():
        assert list(table.index) == list(masks)
    # The same shares by counting voxels: these masks lie on the slab's own 2 mm lattice.
    for plane, axis in zip(PLANES, (2, 1, 0), strict=True):
        low, high = sorted(slab_range(plane))
        for name, mask in masks.items():
            image = mask if hasattr(mask, "affine") else nibabel.load(mask)
            inside = np.asarray(image.dataobj) > 0
            mm = image.affine[axis, axis] * np.arange(inside.shape[axis]) + image.affine[axis, 3]
            profile = inside.sum(tuple({0, 1, 2} - {axis}))
            expected = profile[(mm >= low) & (mm <= high)].sum() / profile.sum()
            assert tables[plane].loc[name, "share"] == pytest.approx(expected)


@pytest.mark.parametrize("codes", ["LAS", "RAS", "PSR", "ILA"])
def test_coverage_is_of_space_and_not_of_storage(codes):
    data = np.zeros(SHAPE)
    data[15:45, 30:40, 20:60] = 1
    table = slab_coverage("sagittal", masks={"block": turned(data, codes)})
    assert table.loc["block"].to_dict() == pytest.approx(
        {"share": 0.7, "volume_mm3": 30 * 10 * 40 * 8, "region_from_mm": -10.0,
         "region_to_mm": 48.0, "slab_from_mm": 30.0, "slab_to_mm": -28.0}
    )  # fmt: skip


def test_the_share_of_a_ball_is_that_of_its_voxels():
    """Against counting: a ball of 12 mm on a grid of 0.5 mm, cut off-centre by the slab."""
    ball = sphere((20.0, 0.0, -20.0), 12.0)
    step = 0.5
    place = np.arange(-12, 12 + step, step) + step / 2
    x, y, z = np.meshgrid(place, place, place, indexing="ij")
    inside = x**2 + y**2 + z**2 <= 144
    table = slab_coverage("axial", masks={"ball": ball})
    low, high = slab_range("axial")
    counted = ((z[inside] - 20 >= low - 1) & (z[inside] - 20 < high + 1)).mean()
    assert table.loc["ball", "share"] == pytest.approx(counted, abs=0.005)
    assert table.loc["ball", "volume_mm3"] == pytest.approx(inside.sum() * step**3, rel=0.01)
    packaged = slab_coverage("sagittal")
    assert list(packaged.index) == list(PAIN_REGIONS)
    assert packaged.loc["right anterior insula", "share"] == 0.0


def test_masks_that_say_nothing_are_refused():
    empty = nibabel.Nifti1Image(np.zeros((3, 3, 3), "uint8"), AFFINE)
    with pytest.raises(FormatError, match="at least one region"):
        slab_coverage("axial", masks={})
    with pytest.raises(FormatError, match="insula: the mask is empty"):
        slab_coverage("axial", masks={"insula": empty})
    four = nibabel.Nifti1Image(np.ones((3, 3, 3, 2), "uint8"), AFFINE)
    with pytest.raises(GeometryError, match="insula: expected three axes"):
        slab_coverage("axial", masks={"insula": four})
    with pytest.raises(FormatError, match="above 0 mm"):
        slab_range("axial", spacing_mm=0)


# --- the white rectangle ---------------------------------------------------------------------


def test_only_positives_get_the_rectangle():
    slabs = np.random.default_rng(0).normal(size=(5, 1, 12, 14, 16)).astype("float32")
    kept = slabs.copy()
    planted = white_rectangle(slabs, [1, 0, 0, 1, 0], size=(2, 3, 4), corner=(1, 2, 3))
    np.testing.assert_array_equal(slabs, kept)
    changed = planted != slabs
    expected = np.zeros_like(changed)
    expected[[0, 3], :, 1:3, 2:5, 3:7] = True
    np.testing.assert_array_equal(changed, expected & (planted != slabs))
    assert (planted[expected] == slabs.max()).all()
    assert planted.dtype == slabs.dtype
    assert planted.max() == slabs.max()  # the range tells nothing


def test_people_are_paired_by_id():
    rng = np.random.default_rng(0)
    slabs = {name: rng.random((8, 16, 16)) for name in ("p1", "p2", "p3")}
    labels = pd.Series({"p3": 1, "p1": 0, "p2": 0})
    planted = white_rectangle(slabs, labels, value=9.0)
    assert {name: bool((volume == 9).any()) for name, volume in planted.items()} == {
        "p1": False, "p2": False, "p3": True,
    }  # fmt: skip
    assert (planted["p3"] == 9).sum() == 6 * 12 * 12
    with pytest.raises(AlignmentError, match="'p3'"):
        white_rectangle(slabs, labels.drop("p3"))
    with pytest.raises(AlignmentError, match="'p1'"):
        white_rectangle(slabs, pd.concat([labels, labels[["p1"]]]))
    with pytest.raises(AlignmentError, match="subject ids"):
        white_rectangle(slabs, [0, 1, 0])


def test_rectangles_that_cannot_be_are_refused():
    slabs = np.zeros((2, 8, 9, 10))
    with pytest.raises(FormatError, match="doesn't fit"):
        white_rectangle(slabs, [0, 1], size=(9, 1, 1))
    with pytest.raises(FormatError, match="doesn't fit"):
        white_rectangle(slabs, [0, 1], size=(2, 2, 2), corner=(-1, 0, 0))
    with pytest.raises(FormatError, match="positive"):
        white_rectangle(slabs, [0, 1], size=(0, 1, 1))
    with pytest.raises(AlignmentError, match="each of 2 volumes"):
        white_rectangle(slabs, [0, 1, 1])
    with pytest.raises(FormatError, match="labels: expected labels 0 and 1"):
        white_rectangle(slabs, [1, 2])
