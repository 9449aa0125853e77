"""Scans of the synthetic trigeminal cohort: nerves as drawn, sides, truth, a readable tree."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import precisionpain as pp
from precisionpain.cli import main
from precisionpain.datasets._tree import cache_folder
from precisionpain.errors import FormatError, StorageError
from precisionpain.trigeminal import Label, NerveMeasures
from precisionpain.trigeminal.nerve_features import measure_nerves

KEYS = ["subject_id", "visit", "side"]
# Coarser than the sites' own protocols, for speed.
SAMPLE = {"n_subjects": 8, "random_state": 7, "missing": 0.6, "control_fraction": 0.25}
SCAN = {"spacing": [0.8, 0.8, 0.8], "oversample": 3}


def sample(root: Path, **changes) -> pp.Cohort:
    return pp.datasets.sample_tn(
        **{**SAMPLE, "images": SCAN, "root": root, "progress": False, **changes}
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> pp.Cohort:
    return sample(tmp_path_factory.mktemp("bids") / "tree")


@pytest.fixture(scope="module")
def drawn() -> pp.Cohort:
    return pp.datasets.sample_tn(**SAMPLE)


@pytest.fixture(scope="module")
def both(cohort, drawn) -> pd.DataFrame:
    """Drawn and true measures of the same nerves."""
    return drawn.measurements["nerve_measures"].merge(
        cohort.measurements["nerve_truth"], on=KEYS, suffixes=("_drawn", ""), validate="1:1"
    )


@pytest.fixture(scope="module")
def root(cohort) -> Path:
    return Path(cohort.meta["images"]["root"])


# --- the nerves --------------------------------------------------------------------------


def test_the_people_are_those_of_the_sample_without_images(cohort, drawn):
    pd.testing.assert_frame_equal(cohort.subjects, drawn.subjects)
    pd.testing.assert_frame_equal(cohort.visits, drawn.visits)
    for name in drawn.assays:
        np.testing.assert_array_equal(cohort.assays[name].X, drawn.assays[name].X)
    tables = {*drawn.measurements, "nerve_truth"} - {"nerve_measures"}
    assert set(cohort.measurements) == tables


def test_scans_are_there_for_whom_they_were_drawn(cohort, drawn):
    expected = drawn.measurements["nerve_measures"][KEYS]
    truth = cohort.measurements["nerve_truth"][KEYS]
    assert set(map(tuple, truth.to_numpy())) == set(map(tuple, expected.to_numpy()))
    assert truth["subject_id"].nunique() < len(cohort)
    scans = set(map(tuple, expected[["subject_id", "visit"]].to_numpy()))
    for contrast in ("T2w", "dseg", "probseg"):
        images = cohort.images[cohort.images["contrast"] == contrast]
        assert images["present"].all()
        assert set(map(tuple, images[["subject_id", "visit"]].to_numpy())) == scans


def test_nerves_are_as_drawn_in_the_ranges_of_the_phantom(both):
    first = both.query("visit == 'preop'")
    assert (first["sindou_grade"] == first["sindou_grade_drawn"]).all()
    assert first["sindou_grade"].nunique() >= 3
    touched = first.query("sindou_grade > 0")
    assert (touched["vessel"] == touched["vessel_drawn"]).all()
    gap = touched["gap_mm"] - touched["gap_mm_drawn"]
    assert gap.abs().max() < 0.05
    # A displaced nerve is a little longer than its course.
    extra = first["length_mm"] - first["length_mm_drawn"].clip(7, 15)
    assert extra.between(-0.05, 0.8).all()
    angle = first["angle_deg"] - first["angle_deg_drawn"].clip(25, 70)
    assert angle.abs().max() < 3
    area = first["mean_area_mm2_drawn"].clip(2, 11)
    assert (first["mean_area_mm2"] / area).between(0.85, 1.1).all()


def test_the_painful_side_of_the_clinic_is_the_compressed_side_of_the_scan(cohort, both, root):
    first = both.query("visit == 'preop'")
    side = cohort.subjects["affected_side"].reindex(first["subject_id"]).to_numpy()
    painful = first[(first["side"] == side).to_numpy()]
    severe = painful.query("sindou_grade_drawn >= 2")
    assert len(severe) >= 2
    assert (severe[["displacement_mm", "indentation_mm"]].max(axis=1) >= 0.2 - 2e-3).all()
    for row in severe.itertuples():
        image = cohort.subject(row.subject_id).image("dseg", visit="preop")
        data = np.asarray(image.dataobj)
        place = {}
        for name in ("left", "right"):
            found = np.argwhere(data == Label.nerve(name))
            place[name] = nibabel.affines.apply_affine(image.affine, found.mean(axis=0))[0]
        assert place["left"] < place["right"]
        mine = data == Label.nerve(row.side)
        volume = mine.sum() * abs(np.linalg.det(image.affine[:3, :3]))
        assert volume == pytest.approx(row.volume_mm3, rel=0.12)


def test_surgery_frees_the_operated_nerve_and_no_other(cohort, both):
    wide = both.pivot(index=["subject_id", "side"], columns="visit")
    later = wide[wide[("gap_mm_drawn", "followup")].notna()]
    freed = (later[("gap_mm_drawn", "preop")] <= 0.5) & (later[("gap_mm_drawn", "followup")] > 0.5)
    assert freed.any()
    assert not freed.all()
    surgery = cohort.subjects["index_surgery"].reindex(later.index.get_level_values(0))
    assert (surgery[freed.to_numpy()] == "MVD").all()
    assert (later.loc[freed, ("gap_mm", "followup")] > 1).all()
    assert (later.loc[freed, ("sindou_grade", "followup")] == 0).all()
    for name in ("length_mm", "gap_mm", "volume_mm3", "indentation_mm"):
        kept = later.loc[~freed, name]
        pd.testing.assert_series_equal(kept["preop"], kept["followup"], check_names=False)


def test_images_measure_what_is_true_and_a_model_takes_it(cohort):
    measured = measure_nerves(cohort, probabilities="probseg", visit="preop", progress=False)
    table = measured.measurements["nerve_measures"]
    truth = cohort.measurements["nerve_truth"].query("visit == 'preop'")
    pair = table.merge(truth, on=KEYS, suffixes=("", "_true"), validate="1:1")
    assert len(pair) == len(truth)
    for name, allowed in (("length_mm", 0.4), ("gap_mm", 0.25), ("vessel_diameter_mm", 0.25),
                          ("flattening", 0.06)):  # fmt: skip
        assert (pair[name] - pair[f"{name}_true"]).abs().mean() < allowed, name
    for name, allowed in (("volume_mm3", 0.05), ("mean_area_mm2", 0.05)):
        assert (pair[name] / pair[f"{name}_true"] - 1).abs().mean() < allowed, name
    touched = pair.query("sindou_grade_true > 0")
    assert (touched["vessel"] == touched["vessel_true"]).all()

    features = NerveMeasures(measures=["volume_mm3", "gap_mm", "displacement_mm"])
    sick = measured.where(affected_side=["left", "right"]).require("nerve_measures")
    made = features.fit_transform(sick)
    side = sick.subjects["affected_side"]
    own = pair.set_index(["subject_id", "side"])["volume_mm3"]
    expected = [own[(person, side[person])] for person in sick.subject_ids]
    assert made["affected:volume_mm3"].tolist() == expected
    y = np.arange(len(sick)) % 2
    model = make_pipeline(features, SimpleImputer(), LogisticRegression()).fit(sick, y)
    assert model.predict_proba(sick).shape == (len(sick), 2)


def test_a_damaged_label_image_is_listed(cohort, tmp_path):
    images = cohort.images
    labels = images["contrast"] == "dseg"
    victim = images.index[labels & (images["visit"] == "preop")][0]
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(Path(images.loc[victim, "path"]).read_bytes()[:-9])
    images.loc[victim, "path"] = str(broken)
    person = images.loc[victim, "subject_id"]
    one = pp.Cohort(cohort.subjects, images=images[images["subject_id"] == person])
    with pytest.warns(pp.errors.DataWarning, match="1 scans couldn't be measured"):
        measured = measure_nerves(one, visit="preop", progress=False)
    quality = measured.measurements["nerve_quality"].set_index("subject_id")
    assert quality.loc[person, "error"].tolist() == ["FormatError"] * 2


# --- the tree ----------------------------------------------------------------------------


def test_labels_are_the_largest_shares(cohort):
    person = cohort.images["subject_id"].iloc[0]
    labels = cohort.subject(person).image("dseg", visit="preop")
    shares = cohort.subject(person).image("probseg", visit="preop")
    values = np.asarray(shares.dataobj)
    np.testing.assert_allclose(values.sum(axis=-1), 1, atol=1e-6)
    agree = values.argmax(axis=-1) == np.asarray(labels.dataobj)
    assert agree.mean() > 0.999
    scan = cohort.subject(person).image("T2w", visit="preop")
    for other in (labels, shares):
        np.testing.assert_allclose(scan.affine, other.affine, atol=1e-4)
    assert np.asarray(scan.dataobj).dtype == np.int16


def test_everything_says_that_it_is_synthetic(cohort, root):
    for path in root.rglob("*.json"):
        if path.parent.name != "code" and path.name not in ("participants.json", "sessions.json"):
            assert json.loads(path.read_text())["Synthetic"] is True, path
    assert "synthetic" in json.loads((root / "dataset_description.json").read_text())["Name"]
    for path in root.rglob("*.nii.gz"):
        assert nibabel.load(path).header["descrip"] == b"synthetic"
    assert cohort.synthetic
    assert "No person" in (root / "README").read_text()


def test_the_tree_is_a_readable_data_set(cohort, root):
    read = pp.read_cohort(root, columns=root / "code" / "columns.json", derivatives=["truth"])
    assert read.name == cohort.name
    assert sorted(read.predictors) == sorted(cohort.predictors)
    people = cohort.subjects[[n for n in cohort.subjects if cohort.columns[n].role != "truth"]]
    found = read.subjects.rename(index=lambda name: name.removeprefix("sub-"))
    tables = [t.astype(object).where(t.notna(), None) for t in (found, people)]
    pd.testing.assert_frame_equal(*tables, check_like=True, check_dtype=False)
    shared = ["visit", "contrast", "path"]
    ours, theirs = (one.images[shared].sort_values("path") for one in (cohort, read))
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True))
    assert len(read) == len(cohort)


def test_nothing_in_the_tree_leaks_without_its_column_map(cohort, root):
    bare = pp.read_cohort(root)
    assert set(bare.predictors) <= set(cohort.predictors)
    truth = [name for name in cohort.subjects if cohort.columns[name].role == "truth"]
    assert not set(truth) & set(bare.subjects)
    hidden = pd.read_csv(root / "derivatives" / "truth" / "participants.tsv", sep="\t")
    assert list(hidden) == ["participant_id", *truth]


def test_the_command_takes_the_tree(root, capsys):
    columns = root / "code" / "columns.json"
    assert main(["show", str(root), "--columns", str(columns)]) == 0
    assert "mvd_response" in capsys.readouterr().out


def test_the_same_call_finds_its_tree_and_writes_only_what_it_lacks(cohort, root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    before = {path: path.stat().st_mtime_ns for path in paths}
    again = sample(root)
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    for name in cohort.measurements:
        pd.testing.assert_frame_equal(again.measurements[name], cohort.measurements[name])
    pd.testing.assert_frame_equal(again.images, cohort.images)

    person = cohort.measurements["nerve_truth"].query("visit == 'followup'")["subject_id"].iloc[0]
    lost = [path for path in paths if f"{person}_ses-followup" in path.name]
    content = {path: path.read_bytes() for path in lost}
    assert len(lost) == 6
    lost[0].unlink()
    lost[1].write_bytes(b"")  # what a full disk leaves
    sample(root)
    assert {path: path.read_bytes() for path in lost} == content
    others = [path for path in paths if path not in lost]
    assert {path: path.stat().st_mtime_ns for path in others} == {p: before[p] for p in others}
    assert not list(root.rglob("*.part"))


# --- what can go wrong -------------------------------------------------------------------


def test_a_folder_of_another_sample_is_refused(root):
    with pytest.raises(StorageError, match="made with other arguments"):
        sample(root, random_state=8)
    with pytest.raises(StorageError, match="made with other arguments"):
        sample(root, images={**SCAN, "snr": 20})


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(StorageError, match=r"new or empty folder, found 'thesis\.docx'"):
        sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_root_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"can't write .*name a root"):
        sample(tmp_path / "file" / "tree")


def test_options_of_the_images_are_checked(tmp_path):
    with pytest.raises(FormatError, match=r"unknown option 'colour'.*contrast, spacing"):
        sample(tmp_path / "a", images={"colour": "red"})
    with pytest.raises(FormatError, match="plain values"):
        sample(tmp_path / "b", images={"snr": object()})
    assert list(tmp_path.iterdir()) == []


def test_the_default_root_is_a_cache_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("PRECISIONPAIN_CACHE", str(tmp_path))
    one, two = (cache_folder({"seed": seed}, "sample_tn") for seed in (1, 2))
    assert one.parent == tmp_path
    assert one != two
    assert one == cache_folder({"seed": 1}, "sample_tn")
    assert one != cache_folder({"seed": 1}, "sample_mtbi")
    monkeypatch.delenv("PRECISIONPAIN_CACHE")
    assert cache_folder({}, "sample_tn").parent.name == "precisionpain"
