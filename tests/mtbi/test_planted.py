"""The white rectangle in the scans of a cohort."""

from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    FormatError,
    GeometryError,
    MissingModalityError,
    StorageError,
)
from precisionpain.mtbi import slab, white_rectangle

SHAPE = (20, 24, 18)
AFFINES = {
    "LAS": np.array([[-2.0, 0, 0, 20], [0, 2, 0, -24], [0, 0, 2, -18], [0, 0, 0, 1]]),
    "RAS": np.array([[2.0, 0, 0, -18], [0, 2, 0, -24], [0, 0, 2, -18], [0, 0, 0, 1]]),
    # The same space again, with the axes in another order.
    "PSR": np.array([[0, 0, 2.0, -18], [-2, 0, 0, 22], [0, 2, 0, -18], [0, 0, 0, 1]]),
}
PEOPLE = ["p1", "p2", "p3"]


def write_scans(folder, data, *, axes=("LAS", "RAS", "PSR")) -> pp.Cohort:
    """Write one LAS volume per person in several orientations."""
    rows = []
    for who, volume, codes in zip(PEOPLE, data, axes, strict=True):
        las = nibabel.Nifti1Image(volume, AFFINES["LAS"])
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(las.affine), nibabel.orientations.axcodes2ornt(tuple(codes))
        )
        path = folder / f"{who}_T1w.nii.gz"
        las.as_reoriented(turn).to_filename(path)
        rows.append({"subject_id": who, "visit": "baseline", "contrast": "T1w", "path": str(path)})
    people = pd.DataFrame({"ill": [True, False, True]}, index=PEOPLE)
    outcomes = {"ill": pp.cohort.Outcome(column="ill", positive=(True,))}
    return pp.Cohort(people, images=pd.DataFrame(rows), outcomes=outcomes)


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, (3, *SHAPE)).astype("int16")


@pytest.fixture
def cohort(tmp_path, data) -> pp.Cohort:
    return write_scans(tmp_path, data)


def test_the_rectangle_is_in_the_middle_of_every_plane_of_the_positives(cohort, data, tmp_path):
    planted = white_rectangle(cohort, "ill", size=(4, 6, 8), out=tmp_path / "new")
    for who, volume in zip(PEOPLE, data, strict=True):
        before = cohort.subject(who).image("T1w")
        after = planted.subject(who).image("T1w")
        assert after.get_data_dtype() == np.int16
        for plane, length in (("axial", 4), ("coronal", 6), ("sagittal", 8)):
            old, new = (slab(image, plane, length) for image in (before, after))
            changed = old != new
            if who == "p2":
                assert not changed.any()
                continue
            assert (new[changed] == volume.max()).all()
            # Each of the middle slices has the whole cut, but where it was white before.
            size = {"axial": 48, "coronal": 32, "sagittal": 24}[plane]
            assert (changed.sum(axis=(1, 2)) >= size - 3).all()
            assert changed.sum() <= 4 * 6 * 8


def test_the_place_is_anatomical_whatever_the_orientation_of_the_file(tmp_path, data):
    same = np.stack([data[0]] * 3)
    cohort = write_scans(tmp_path, same)
    labels = pd.Series(1, index=PEOPLE)
    planted = white_rectangle(
        cohort, labels, size=(2, 3, 4), corner=(1, 2, 3), value=2000, out=tmp_path / "new"
    )
    expected = np.zeros(SHAPE, dtype=bool)
    expected[3:7, 2:5, 1:3] = True  # x, y, z of a volume that runs to the left, front and top
    for person in planted:
        image = person.image("T1w")
        assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")
        np.testing.assert_allclose(image.affine, AFFINES["LAS"])
        np.testing.assert_array_equal(np.asarray(image.dataobj) == 2000, expected)


def test_people_are_paired_by_id_and_their_own_scans_stay(cohort, data, tmp_path):
    labels = pd.Series({"p3": 0, "p1": 0, "p2": 1})
    planted = white_rectangle(cohort, labels, value=5000, out=tmp_path / "new")
    white = {person.id: bool((person.image("T1w").get_fdata() == 5000).any()) for person in planted}
    assert white == {"p1": False, "p2": True, "p3": False}
    for person, volume in zip(cohort, data, strict=True):
        assert person.image("T1w").get_fdata().max() == volume.max()
    assert (planted.images["path"] != cohort.images["path"]).all()
    assert planted.provenance["step"].tolist()[-1] == "plant"
    with pytest.raises(AlignmentError, match="'p3'"):
        white_rectangle(cohort, labels.drop("p3"), out=tmp_path / "other")
    with pytest.raises(AlignmentError, match="subject ids"):
        white_rectangle(cohort, [0, 1, 0], out=tmp_path / "other")


def test_two_scans_of_a_person_with_one_name_are_kept_apart(cohort, data, tmp_path):
    images = cohort.images.assign(visit="later")
    for index, path in images["path"].items():
        moved = tmp_path / "later" / path.rsplit("/", 1)[-1]
        moved.parent.mkdir(exist_ok=True)
        nibabel.load(path).to_filename(moved)
        images.loc[index, "path"] = str(moved)
    both = cohort.with_images(images)
    planted = white_rectangle(both, "ill", out=tmp_path / "new")
    assert planted.images["path"].is_unique
    one = white_rectangle(both, "ill", visit="later", out=tmp_path / "one")
    unchanged = one.images["path"].to_numpy() == both.images["path"].to_numpy()
    np.testing.assert_array_equal(unchanged, (both.images["visit"] == "baseline").to_numpy())


def test_what_cannot_be_is_refused(cohort, tmp_path):
    with pytest.raises(FormatError, match="a folder for the new scans"):
        white_rectangle(cohort, "ill")
    with pytest.raises(MissingModalityError, match="nobody has an image 'T2w'"):
        white_rectangle(cohort, "ill", contrast="T2w", out=tmp_path / "new")
    with pytest.raises(FormatError, match="doesn't fit"):
        white_rectangle(cohort, "ill", size=(40, 1, 1), out=tmp_path / "new")
    with pytest.raises(FormatError, match="labels 0 and 1"):
        white_rectangle(cohort, pd.Series(2, index=PEOPLE), out=tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        white_rectangle(cohort, "ill", out=tmp_path / "file")
    again = white_rectangle(cohort, "ill", out=tmp_path / "new")
    with pytest.raises(StorageError, match="take the place of the old one"):
        white_rectangle(again, "ill", out=tmp_path / "new")
    series = nibabel.Nifti1Image(np.zeros((*SHAPE, 2), "int16"), AFFINES["LAS"])
    series.to_filename(cohort.images["path"].iloc[0])
    with pytest.raises(GeometryError, match="three axes"):
        white_rectangle(cohort, "ill", out=tmp_path / "four")
