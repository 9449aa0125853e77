"""What the network sees: where it lies, that it is read once, and what is refused."""

from __future__ import annotations

import nibabel
import nibabel.orientations as orientations
import numpy as np
import pytest

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    FormatError,
    GeometryError,
    MissingModalityError,
)
from precisionpain.mtbi import slab, slab_range
from precisionpain.mtbi._classifier import inputs as module
from precisionpain.mtbi._classifier.inputs import SlabCache, read_slabs

from .scans import AFFINE, SHAPE, SLAB, classifier, cohort_of, noise, people, write

PLANES = ("axial", "coronal", "sagittal")
WHICH = {"contrast": "T1w", "visit": None, "run": None, "entities": None}


@pytest.fixture(autouse=True)
def _nothing_remembered():
    module.CACHE.clear()


def read(cohort, plane="axial", n_slices=12, **which):
    return read_slabs(cohort, plane=plane, n_slices=n_slices, **(WHICH | which))


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("axcodes", ["LAS", "RAS", "PIR", "SLA"])
def test_a_voxel_is_where_the_affine_says(tmp_path, plane, axcodes):
    """One bright voxel, stored in any orientation, keeps its place in the body."""
    rng = np.random.default_rng(PLANES.index(plane))
    place = tuple(rng.integers(8, 12, 3))
    data = noise(0)
    data[place] = 1e4
    image = nibabel.Nifti1Image(data, AFFINE)
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("LAS"), orientations.axcodes2ornt(axcodes)
    )
    path = tmp_path / "turned.nii"
    image.as_reoriented(turn).to_filename(path)
    slabs, affine = read(cohort_of({"p": path}), plane)
    found = np.unravel_index(slabs[0].argmax(), slabs[0].shape)
    mm = affine @ [*found, 1]
    np.testing.assert_allclose(mm, AFFINE @ [*place, 1])
    straight, _ = read(cohort_of({"p": write(tmp_path / "straight.nii", data)}), plane)
    np.testing.assert_array_equal(slabs, straight)
    first, last = slab_range(plane, 12, spacing_mm=8.0)
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    np.testing.assert_allclose([(affine @ [k, 0, 0, 1])[axis] for k in (0, 11)], [first, last])


def test_a_mirrored_header_mirrors_the_slab(tmp_path):
    """The same numbers under a header that runs the other way are another brain."""
    data = noise(0)
    mirrored = AFFINE @ orientations.inv_ornt_aff(np.array([[0, -1], [1, 1], [2, 1]]), SHAPE)
    one, _ = read(cohort_of({"p": write(tmp_path / "las.nii", data)}))
    other, _ = read(cohort_of({"p": write(tmp_path / "ras.nii", data, mirrored)}))
    np.testing.assert_array_equal(one[..., ::-1], other)
    assert not np.array_equal(one, other)


def test_each_image_is_scaled_by_its_whole(tmp_path):
    data = noise(0)
    cohort = cohort_of({"a": write(tmp_path / "a.nii", data),
                        "b": write(tmp_path / "b.nii", 7 * data + 3)})  # fmt: skip
    slabs, _ = read(cohort)
    expected = slab((data - data.min()) / (data.max() - data.min()), "axial", 12)
    np.testing.assert_allclose(slabs[0], expected, atol=1e-6)
    np.testing.assert_allclose(slabs[1], expected, atol=1e-5)


def test_rows_follow_the_cohort(tmp_path):
    cohort, _ = people(tmp_path, 6)
    slabs, _ = read(cohort)
    order = [4, 0, 5, 2]
    np.testing.assert_array_equal(read(cohort[order])[0], slabs[order])


def test_real_scans_have_the_published_shape(shared_data):
    folder = shared_data / "mri" / "ixi_t1_mni"
    files = sorted(folder.glob("*.nii"))
    if not files:
        pytest.skip(f"no scans in {folder}")
    cohort = cohort_of({f"p{i}": file for i, file in enumerate(files)})
    for plane, shape in zip(PLANES, [(30, 95, 79), (30, 79, 79), (30, 95, 79)], strict=True):
        slabs, affine = read(cohort, plane, 30)
        assert slabs.shape == (len(files), *shape)
        image = nibabel.load(files[0])
        np.testing.assert_allclose(np.abs(np.linalg.det(affine)), 8)
        centre = np.array(shape) // 2
        voxel = np.linalg.inv(image.affine) @ affine @ [*centre, 1]
        voxel = tuple(np.round(voxel[:3]).astype(int))
        data = np.asanyarray(image.dataobj).astype(float)
        value = (data[voxel] - data.min()) / (data.max() - data.min())
        assert slabs[0][tuple(centre)] == pytest.approx(value, abs=1e-6)


# -- read once ---------------------------------------------------------------------------------


def test_files_are_read_once_until_they_change(tmp_path, monkeypatch):
    calls = []
    original = module.load_image
    monkeypatch.setattr(module, "load_image", lambda path: calls.append(path) or original(path))
    cohort, _ = people(tmp_path, 4)
    before, _ = read(cohort)
    read(cohort[[2, 1]])
    assert len(calls) == 4
    write(tmp_path / "p01_T1w.nii", noise(99) * 2)
    after, _ = read(cohort)
    assert len(calls) == 5
    assert not np.array_equal(before[1], after[1])
    np.testing.assert_array_equal(before[[0, 2, 3]], after[[0, 2, 3]])
    read(cohort, "coronal")
    assert len(calls) == 9


def test_the_memory_of_slabs_is_bounded(tmp_path):
    one = int(np.prod(SLAB)) * 4
    cache = SlabCache(2 * one + 1)
    paths = [str(write(tmp_path / f"{i}.nii", noise(i))) for i in range(5)]
    for path in paths:
        cache.get(path, "axial", 12)
    assert cache.size == 2 * one
    with pytest.raises(ValueError, match="read-only"):
        cache.get(paths[0], "axial", 12)[0][:] = 0


# -- what is refused ---------------------------------------------------------------------------


def shifted(mm):
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


OBLIQUE = AFFINE.copy()
OBLIQUE[0, 1] = 1.0


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        (SHAPE, shifted(1.0)),
        (SHAPE, shifted(-0.2)),
        (SHAPE, OBLIQUE),
        (SHAPE, AFFINE @ np.diag([1, 1, 1.1, 1])),
        ((20, 25, 20), AFFINE),
        ((21, 25, 20), np.diag([8.0, 8, 8, 1])),
        ((21, 25, 20, 2), AFFINE),
    ],
)
def test_scans_off_the_grid_are_refused(tmp_path, shape, affine):
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    cohort = cohort_of({"p7": write(tmp_path / "secret_name.nii", data, affine)})
    with pytest.raises(GeometryError, match="p7") as caught:
        read(cohort)
    assert "secret_name" not in str(caught.value)


def test_mixed_grids_are_refused(tmp_path):
    fine = AFFINE.copy()
    fine[:3, :3] *= 6 / 8
    paths = {"p1": write(tmp_path / "a.nii", noise(0)),
             "p2": write(tmp_path / "b.nii", np.random.default_rng(0).normal(
                 size=(27, 32, 27)), fine)}  # fmt: skip
    read(cohort_of({"p2": paths["p2"]}))  # by itself it is on SPM's grid
    with pytest.raises(GeometryError, match=r"p2.*6 mm here, and of 8 mm for 'p1'"):
        read(cohort_of(paths))


def test_prediction_wants_the_grid_of_training(tmp_path):
    cohort, y = people(tmp_path, 6)
    model = classifier(n_epochs=1).fit(cohort, y)
    fine = AFFINE.copy()
    fine[:3, :3] *= 6 / 8
    other = write(tmp_path / "b.nii", np.random.default_rng(0).normal(size=(27, 32, 27)), fine)
    with pytest.raises(GeometryError, match="as in training"):
        model.predict(cohort_of({"x": other}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.full(SHAPE, 5.0, np.float32), "constant"),
        (np.where(np.arange(SHAPE[2]) == 3, np.nan, noise(0)), "finite"),
        (np.where(np.arange(SHAPE[2]) == 3, np.inf, noise(0)), "finite"),
    ],
)
def test_broken_intensities_are_refused(tmp_path, data, words):
    cohort = cohort_of({"p7": write(tmp_path / "a.nii", data)})
    with pytest.raises(FormatError, match=rf"p7.*{words}"):
        read(cohort)


def test_damaged_files_are_refused(tmp_path):
    path = write(tmp_path / "a.nii", noise(0))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FormatError, match="p7"):
        read(cohort_of({"p7": path}))


def test_missing_scans_are_named(tmp_path):
    cohort, y = people(tmp_path, 6)
    fewer = pp.Cohort(cohort.subjects, images=cohort.images.drop(index=[1, 4]))
    with pytest.raises(MissingModalityError, match=r"2 of 6 people.*'p01', 'p04'"):
        classifier().fit(fewer, y)
    images = cohort.images
    images.loc[[2], "present"] = False
    with pytest.raises(MissingModalityError, match=r"not on disk.*'p02'"):
        classifier().fit(pp.Cohort(cohort.subjects, images=images), y)
    with pytest.raises(MissingModalityError, match="FLAIR"):
        classifier(contrast="FLAIR").fit(cohort, y)
    with pytest.raises(MissingModalityError, match="no column 'space'"):
        classifier(entities={"space": "MNI"}).fit(cohort, y)


def test_several_scans_want_a_choice(tmp_path):
    cohort, _ = people(tmp_path, 4)
    later = cohort.images.assign(visit="month12")
    later["path"] = [str(write(tmp_path / f"later{i}.nii", noise(50 + i))) for i in range(4)]
    both = cohort.with_images(later)
    with pytest.raises(AlignmentError, match="visit='baseline', 'month12'"):
        read(both)
    np.testing.assert_array_equal(read(both, visit="baseline")[0], read(cohort)[0])
    assert not np.array_equal(read(both, visit="month12")[0], read(cohort)[0])


def test_only_cohorts_of_people_are_taken(tmp_path):
    with pytest.raises(FormatError, match="Cohort of subjects, found ndarray"):
        classifier().fit(np.zeros((2, 3)), [0, 1])
    cohort, _ = people(tmp_path, 4)
    with pytest.raises(FormatError, match="none"):
        read(cohort[[]])
