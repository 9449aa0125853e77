"""Normalising a cohort: everybody is accounted for, and nothing is done twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

import precisionpain as pp
from precisionpain.errors import AlignmentError, DataWarning, FormatError, MissingModalityError
from precisionpain.imaging.registration import Registration
from precisionpain.mtbi import normalize_t1, preprocessing

QUALITY = {"cjv": 0.4, "snr": 11.0, "mask_dice": 0.95, "qi1": float("nan")}


@pytest.fixture
def quick(monkeypatch):
    """Registration takes seconds; here each scan is moved to a tiny grid, and counted."""
    calls = []

    def register(image, template, method, engine, *, spacing_mm, spm, on_failure):
        calls.append(spacing_mm)
        data = np.asarray(image.dataobj, dtype=np.float32)
        if data.max() > 1000:
            raise FormatError("the scan has values that aren't finite")
        brain = nibabel.Nifti1Image((data > 1).astype(np.uint8), image.affine)
        moved = nibabel.Nifti1Image(data, image.affine)
        return Registration(moved, brain, np.eye(4), method, "native", {})

    monkeypatch.setattr(preprocessing, "register_to_template", register)
    monkeypatch.setattr(preprocessing, "scan_quality", lambda *_: dict(QUALITY))
    return calls


def save(path: Path, value: float) -> str:
    data = np.full((4, 5, 6), value, dtype="float32")
    data[0] = 0
    nibabel.save(nibabel.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), path)
    return str(path)


@pytest.fixture
def cohort(tmp_path):
    rows = [
        ("p 1", "baseline", save(tmp_path / "a.nii", 2.0), True),
        ("p1", "baseline", save(tmp_path / "b.nii", 3.0), True),
        ("p1", "year", save(tmp_path / "c.nii", 4.0), True),
        ("bad", "baseline", save(tmp_path / "d.nii", 5000.0), True),
        ("gone", "baseline", str(tmp_path / "none.nii"), False),
    ]
    images = pd.DataFrame(rows, columns=["subject_id", "visit", "path", "present"])
    people = pd.DataFrame({"age": range(5)}, index=["bad", "p1", "p 1", "gone", "none"])
    return pp.Cohort(people, images=images.assign(contrast="T1w"))


def run(cohort, out, **options):
    with pytest.warns(DataWarning, match="3 of 6 scans couldn't be normalised"):
        return normalize_t1(cohort, out, progress=False, **options)


def test_everybody_is_in_the_table(cohort, tmp_path, quick):
    done = run(cohort, tmp_path / "out")
    table = done.measurements["t1_quality"].set_index(["subject_id", "visit"])
    assert table.index.get_level_values(0).tolist() == ["bad", "p1", "p1", "p 1", "gone", "none"]
    assert table["normalized"].tolist() == [False, True, True, True, False, False]
    errors = table["error"].dropna().tolist()
    assert errors == ["FormatError", "MissingModalityError", "MissingModalityError"]
    assert table.loc[[("p1", "year")], "cjv"].tolist() == [0.4]
    assert table["qi1"].isna().all()
    assert (table["engine"].dropna() == "native").all()
    assert not table["message"].dropna().str.contains(str(tmp_path)).any()


def test_doubts_are_flagged_and_said(cohort, tmp_path, quick, monkeypatch):
    register = preprocessing.register_to_template

    def doubt(image, *rest, **options):
        found = register(image, *rest, **options)
        if image.get_fdata().max() == 3:
            found = dataclasses.replace(found, doubts=("the folds correlate by 0.35",))
        return found

    monkeypatch.setattr(preprocessing, "register_to_template", doubt)
    with pytest.warns(DataWarning, match=r"1 of 6 scans have a doubtful registration.*'p1'"):
        done = run(cohort, tmp_path / "out")
    table = done.measurements["t1_quality"]
    row = table[table["doubts"].fillna("") != ""]
    assert row[["subject_id", "visit"]].to_numpy().tolist() == [["p1", "baseline"]]
    assert row["flagged"].all()
    assert row["reasons"].iloc[0] == "the folds correlate by 0.35"
    assert row["normalized"].all()


def test_a_failed_registration_is_an_error(cohort, tmp_path, quick, monkeypatch):
    register = preprocessing.register_to_template

    def fail(image, *rest, **options):
        return dataclasses.replace(register(image, *rest, **options), problems=("upside down",))

    monkeypatch.setattr(preprocessing, "register_to_template", fail)
    with pytest.warns(DataWarning, match="6 of 6 scans couldn't"):
        done = normalize_t1(cohort, tmp_path / "out", progress=False)
    said = done.measurements["t1_quality"]["message"].dropna()
    assert said.str.contains("upside down").sum() == 3


def test_each_person_gets_their_own_scan(cohort, tmp_path, quick):
    done = run(cohort, tmp_path / "out")
    scan = done.subject("p 1").image("T1w", space="MNI152")
    assert scan.get_fdata().max() == 2
    for visit, value in (("baseline", 3), ("year", 4)):
        scan = done.subject("p1").image("T1w", visit=visit, space="MNI152")
        assert scan.get_fdata().max() == value
    assert len(done.images) == 5 + 3
    assert done.images["space"].notna().sum() == 3
    assert cohort.images.shape[0] == 5  # untouched


def test_the_same_call_goes_on_and_other_options_start_anew(cohort, tmp_path, quick):
    out = tmp_path / "out"
    first = run(cohort, out)
    done = len(quick)
    assert done == 4
    again = run(cohort, out)
    assert len(quick) == done + 1  # only the broken one was tried again
    pd.testing.assert_frame_equal(
        again.measurements["t1_quality"], first.measurements["t1_quality"]
    )
    stripped = run(cohort, out, skull_strip=True)
    assert len(quick) == done + 5
    paths = [set(c.images.loc[c.images["space"].notna(), "path"]) for c in (first, stripped)]
    assert not paths[0] & paths[1]
    Path(sorted(paths[0])[0]).unlink()
    run(cohort, out)
    assert len(quick) == done + 7  # the deleted one, and the broken one
    assert all(Path(path).exists() for path in paths[0])


def test_a_changed_scan_is_done_again(cohort, tmp_path, quick):
    run(cohort, tmp_path / "out")
    save(tmp_path / "b.nii", 3.5)
    done = run(cohort, tmp_path / "out")
    scan = done.subject("p1").image("T1w", visit="baseline", space="MNI152")
    assert scan.get_fdata().max() == 3.5


def test_normalised_scans_are_not_normalised_again(cohort, tmp_path, quick):
    once = run(cohort, tmp_path / "out")
    twice = run(once, tmp_path / "out")
    assert len(twice.images) == len(once.images)


def test_a_visit_can_be_picked_and_errors_can_be_raised(cohort, tmp_path, quick):
    with pytest.warns(DataWarning, match="4 of 5"):
        done = normalize_t1(cohort, tmp_path / "out", visit="year", progress=False)
    assert done.images["space"].notna().sum() == 1
    with pytest.raises(FormatError, match="finite"):
        normalize_t1(cohort, tmp_path / "other", on_error="raise", progress=False)


def test_cohorts_without_scans_are_refused(cohort, tmp_path):
    with pytest.raises(MissingModalityError, match="no raw scan 'T2w'"):
        normalize_t1(cohort, tmp_path, contrast="T2w")
    with pytest.raises(FormatError, match="Cohort of subjects"):
        normalize_t1(cohort.images, tmp_path)
    second = save(tmp_path / "second.nii", 2.0)
    twice = cohort.with_images(cohort.images.iloc[[1]].assign(path=second))
    with pytest.raises(AlignmentError, match="same person, visit and run"):
        normalize_t1(twice, tmp_path)


@pytest.mark.slow
def test_a_dicom_folder_arrives_on_the_grid_with_its_quality(shared_data, tmp_path):
    mri = shared_data / "mri"
    scan = pp.imaging.read_dicom(mri / "philips_t1_dti" / "T1_MPRAGE_classic_dicom_1301.tar.xz")
    nibabel.save(scan.image, tmp_path / "philips.nii")
    images = pd.DataFrame(
        {"subject_id": ["philips", "nichart"], "visit": "baseline", "contrast": "T1w",
         "path": [str(tmp_path / "philips.nii"),
                  str(mri / "nichart_t1_23" / "t1" / "Subj10_T1.nii.gz")]}
    )  # fmt: skip
    people = pd.DataFrame(index=["philips", "nichart"])
    done = normalize_t1(pp.Cohort(people, images=images), tmp_path / "out", progress=False)
    table = done.measurements["t1_quality"].set_index("subject_id")
    assert table["normalized"].all()
    assert (table["mask_dice"] > 0.9).all()
    assert (table["fov_clipping"] < 0.01).all()
    for person in people.index:
        moved = done.subject(person).image("T1w", space="MNI152")
        assert moved.shape == (79, 95, 79)
        assert pp.mtbi.slab(moved, "axial").shape == (30, 95, 79)
    # White matter is brighter than grey matter by more than their noise.
    assert (table["cjv"] < 1).all()
