"""Measures of a whole cohort: by key, every scan accounted for, failures by kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from precisionpain.cohort import Cohort
from precisionpain.errors import (
    DataWarning,
    FormatError,
    GeometryError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.trigeminal import NerveMeasures, nerve_features, simulate_cistern
from precisionpain.trigeminal._segmenters import as_estimate
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.morphometry import (
    EXTRA_MEASURES,
    INTERVAL_MEASURES,
    MEASURES,
    measure_compression,
)
from precisionpain.trigeminal.nerve_features import NerveFeatures, measure_nerves
from precisionpain.trigeminal.segmentation import Segmentation

QUIET = {"progress": False}


@pytest.fixture(scope="module")
def cisterns():
    thick = {"semi_major_mm": 2.0, "semi_minor_mm": 1.5, "atrophy": 0.0}
    options = {"spacing": 1.0, "oversample": 2, "plaque": False, "tumour": None}
    return {seed: simulate_cistern(seed, **options, **thick) for seed in (1, 2, 3)}


@dataclasses.dataclass
class Study:
    """A cohort that grows image by image."""

    folder: Path
    rows: list[dict]

    def put(self, person, visit, contrast, image, **more) -> Path:
        path = self.folder / f"{len(self.rows):03d}.nii.gz"
        if image is not None:
            nibabel.save(image, path)
        key = {"subject_id": person, "visit": visit, "contrast": contrast, "path": str(path)}
        self.rows.append({**key, "present": image is not None, **more})
        return path

    def cohort(self, *people, order=None, **parts) -> Cohort:
        images = pd.DataFrame(self.rows)
        if order is not None:
            images = images.iloc[order]
        side = pd.DataFrame({"affected_side": "left"}, index=list(people))
        return Cohort(side, images=images, **parts)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path, [])


@pytest.fixture
def quick(monkeypatch):
    """Count voxels in place of tracing nerves, for tests of what goes where."""

    def count(labels, image=None, *, probabilities=None, **options):
        data = np.asarray(labels.dataobj)
        table = pd.DataFrame(index=pd.Index(["left", "right"], name="side"))
        for name in (*MEASURES, *EXTRA_MEASURES):
            table[name] = np.nan
        table["vessel"] = None
        table["volume_mm3"] = [float((data == Label.nerve(side)).sum()) for side in table.index]
        table["length_mm"] = 1.0
        table["flags"] = ""
        return table

    monkeypatch.setattr(nerve_features, "measure_compression", count)


def voxels(cistern, side) -> float:
    return float((np.asarray(cistern.labels.dataobj) == Label.nerve(side)).sum())


# --- what is measured --------------------------------------------------------------------


def test_every_scan_gives_what_measuring_it_alone_gives(study, cisterns):
    study.put("p1", "preop", "dseg", cisterns[1].labels)
    study.put("p1", "preop", "probseg", cisterns[1].fractions)
    study.put("p2", "preop", "dseg", cisterns[3].labels)
    # The header of its own file says that a segmenter estimated them.
    study.put("p2", "preop", "probseg", as_estimate(cisterns[3].fractions))
    features = NerveFeatures(probabilities="probseg", n_jobs=2, **QUIET)
    table = features.fit_transform(study.cohort("p2", "p1"))
    assert table.index.names == ["subject_id", "visit", "side"]
    assert table.index.get_level_values(0).tolist() == ["p2", "p2", "p1", "p1"]
    assert list(table) == [*MEASURES, *EXTRA_MEASURES, "flags"]
    assert features.get_feature_names_out().tolist() == list(table)
    for person, seed in (("p1", 1), ("p2", 3)):
        cistern = cisterns[seed]
        alone = measure_compression(
            cistern.labels,
            probabilities=cistern.fractions,
            predicted=person == "p2",
            intervals=False,
        )
        own = table.xs((person, "preop"), level=("subject_id", "visit"))
        pd.testing.assert_frame_equal(own, alone)
    assert features.failures_.empty


def test_the_table_goes_on_to_features_of_the_painful_nerve(study, cisterns):
    study.put("p1", "preop", "dseg", cisterns[1].labels)
    study.put("p1", "followup", "dseg", cisterns[2].labels)
    cohort = measure_nerves(study.cohort("p1"), intervals=True, **QUIET)
    measured = cohort.measurements["nerve_measures"]
    assert list(measured) == ["subject_id", "visit", "side", *MEASURES, *EXTRA_MEASURES]
    quality = cohort.measurements["nerve_quality"]
    assert {f"{name}_low" for name in INTERVAL_MEASURES} < set(quality)
    assert quality["measured"].all()
    left = measured.query("visit == 'preop' and side == 'left'").iloc[0]
    made = NerveMeasures(measures=["volume_mm3"]).fit_transform(cohort)
    assert made.loc["p1", "affected:volume_mm3"] == left["volume_mm3"]
    with pytest.raises(LeakageError, match="'followup'"):
        NerveMeasures(visit="followup").fit(cohort)


def test_results_follow_the_keys_whatever_the_order(study, cisterns, quick):
    people = ["p1", "p2", "p3"]
    for person, seed in zip(people, cisterns, strict=True):
        study.put(person, "preop", "dseg", cisterns[seed].labels)
        study.put(person, "preop", "T2w", cisterns[seed].image)
    for order in ([0, 1, 2, 3, 4, 5], [5, 2, 0, 3, 1, 4]):
        cohort = study.cohort("p3", "p1", "p2", order=order)
        table = NerveFeatures(**QUIET).fit_transform(cohort)
        for person, seed in zip(people, cisterns, strict=True):
            for side in ("left", "right"):
                found = table.loc[(person, "preop", side), "volume_mm3"]
                assert found == voxels(cisterns[seed], side)
    part = NerveFeatures(**QUIET).fit_transform(cohort[[1]])
    assert part.index.get_level_values("subject_id").unique().tolist() == ["p1"]


def test_a_nerve_that_is_not_labelled_is_a_missing_row_with_its_reason(study, cisterns):
    data = np.asarray(cisterns[3].labels.dataobj).copy()
    data[data == Label.NERVE_LEFT] = 0
    study.put("p1", "preop", "dseg", nibabel.Nifti1Image(data, cisterns[3].labels.affine))
    cohort = measure_nerves(study.cohort("p1"), **QUIET)
    table = cohort.measurements["nerve_measures"].set_index("side")
    assert np.isnan(table.loc["left", "length_mm"])
    assert table.loc["right", "length_mm"] > 5
    quality = cohort.measurements["nerve_quality"].set_index("side")
    assert quality["measured"].to_dict() == {"left": False, "right": True}
    assert "no voxel is labelled 2" in quality.loc["left", "message"]
    assert quality["error"].isna().all()


# --- what can't be measured --------------------------------------------------------------


@pytest.fixture
def troubled(study, cisterns, quick):
    """One whole scan, and every kind of trouble beside it."""
    study.put("whole", "preop", "T2w", cisterns[1].image)
    study.put("whole", "preop", "dseg", cisterns[1].labels)
    study.put("damaged", "preop", "T2w", cisterns[1].image)
    path = study.put("damaged", "preop", "dseg", cisterns[1].labels)
    path.write_bytes(path.read_bytes()[:900])
    study.put("damaged", "followup", "dseg", cisterns[2].labels)
    study.put("unlabelled", "preop", "T2w", cisterns[1].image)
    study.put("absent", "preop", "dseg", None, reason="git-annex pointer")
    study.put("twice", "preop", "dseg", cisterns[1].labels, desc="anna")
    study.put("twice", "preop", "dseg", cisterns[2].labels, desc="bert")
    return study.cohort("whole", "damaged", "unlabelled", "absent", "twice", "nobody")


def test_failures_are_listed_by_scan_and_nobody_is_lost(troubled):
    features = NerveFeatures(**QUIET)
    table = features.fit_transform(troubled)
    scans = table.index.droplevel("side").unique().tolist()
    assert scans == [("whole", "preop"), ("damaged", "followup")]
    failed = features.failures_.set_index("subject_id")
    assert failed["error"].to_dict() == {
        "damaged": "FormatError",
        "unlabelled": "MissingModalityError",
        "absent": "MissingModalityError",
        "twice": "AlignmentError",
        "nobody": "MissingModalityError",
    }
    assert failed.loc["damaged", "message"].startswith("label image: the file ends in the middle")
    assert failed.loc["unlabelled", "message"] == "there is no label image 'dseg'"
    assert "git-annex pointer" in failed.loc["absent", "message"]
    assert "say which in entities: desc='anna', 'bert'" in failed.loc["twice", "message"]
    assert pd.isna(failed.loc["nobody", "visit"])
    listed = set(table.index.get_level_values(0)) | set(failed.index)
    assert listed == set(troubled.subject_ids)
    folder = str(Path(troubled.images["path"].iloc[0]).parent)
    assert not failed["message"].str.contains(folder, regex=False).any()


def test_a_cohort_says_what_was_not_measured(troubled):
    with pytest.warns(DataWarning, match=r"4 scans couldn't be measured .*1 FormatError"):
        cohort = measure_nerves(troubled, **QUIET)
    quality = cohort.measurements["nerve_quality"]
    assert (quality.groupby("subject_id")["side"].nunique() == 2).all()
    assert set(quality["subject_id"]) == set(cohort.subject_ids)
    assert quality.loc[quality["error"].notna(), "measured"].eq(False).all()
    assert quality["measured"].sum() == 4


def test_people_without_any_scan_are_no_alarm(study, cisterns, quick):
    study.put("p1", "preop", "dseg", cisterns[1].labels)
    cohort = measure_nerves(study.cohort("p1", "p2"), **QUIET)
    quality = cohort.measurements["nerve_quality"].set_index("subject_id")
    assert quality.loc["p2", "error"].tolist() == ["MissingModalityError"] * 2


def test_nothing_measured_is_an_empty_table(study, cisterns):
    data = np.full((4, 4, 4), 77, dtype=np.uint8)
    study.put("p1", "preop", "dseg", nibabel.Nifti1Image(data, np.eye(4)))
    with pytest.warns(DataWarning, match="1 scans couldn't be measured"):
        cohort = measure_nerves(study.cohort("p1"), **QUIET)
    table = cohort.measurements["nerve_measures"]
    assert len(table) == 0
    assert pd.api.types.is_float_dtype(table["length_mm"])
    message = cohort.measurements["nerve_quality"].loc[0, "message"]
    assert "unknown labels: 77" in message


def test_a_cohort_without_labels_is_refused(study, cisterns):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    with pytest.raises(MissingModalityError, match=r"no label image 'dseg'.*derivatives=True"):
        NerveFeatures(**QUIET).fit(study.cohort("p1"))
    with pytest.raises(FormatError, match="found a cohort of nerves"):
        NerveFeatures(**QUIET).fit(study.cohort("p1").per_nerve())
    with pytest.raises(FormatError, match="found DataFrame"):
        NerveFeatures(**QUIET).fit(pd.DataFrame())


# --- which images ------------------------------------------------------------------------


def test_images_are_chosen_by_visit_run_and_entity(study, cisterns, quick):
    study.put("p1", "preop", "dseg", cisterns[1].labels, run=1, desc="anna")
    study.put("p1", "preop", "dseg", cisterns[2].labels, run=2, desc="anna")
    study.put("p1", "followup", "dseg", cisterns[3].labels, desc="anna")
    study.put("p1", "followup", "dseg", cisterns[2].labels, desc="bert")
    cohort = study.cohort("p1")
    features = NerveFeatures(entities={"desc": "anna"}, **QUIET)
    table = features.fit_transform(cohort)
    assert table.index.names == ["subject_id", "visit", "run", "side"]
    assert features.failures_.empty
    left = table.reset_index().query("side == 'left'")
    assert left["visit"].tolist() == ["preop", "preop", "followup"]
    assert left["run"].fillna(0).tolist() == [1, 2, 0]
    assert left["volume_mm3"].tolist() == [voxels(cisterns[k], "left") for k in (1, 2, 3)]
    one = measure_nerves(cohort, entities={"desc": "anna"}, run=2, visit="preop", **QUIET)
    made = NerveMeasures(measures=["volume_mm3"], parts=["affected"]).fit_transform(one)
    assert made.iloc[0, 0] == voxels(cisterns[2], "left")
    with pytest.raises(MissingModalityError, match=r"no image of visit 'month3'.*'preop'"):
        NerveFeatures(visit="month3").fit(cohort)
    with pytest.raises(MissingModalityError, match="no column 'space'"):
        NerveFeatures(entities={"space": "T1w"}).fit(cohort)


def test_a_preprocessed_copy_is_no_further_scan(study, cisterns, quick):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    study.put("p1", "preop", "T2w", cisterns[1].image, derivative="denoised")
    seen = NerveFeatures(segmenter=Known(cisterns.values()), **QUIET)
    assert len(seen.fit_transform(study.cohort("p1"))) == 2
    assert seen.failures_.empty


# --- segmenters --------------------------------------------------------------------------


@dataclasses.dataclass
class Known:
    """Labels that it knows by the voxels' place in the world; counts how often it was asked."""

    cisterns: object
    calls: int = 0

    def predict(self, image):
        self.calls += 1
        for cistern in self.cisterns:
            if np.allclose(cistern.image.affine, image.affine, atol=1e-4):
                return cistern.labels
        raise RuntimeError("out of memory")


class Shifted(Known):
    def predict(self, image):
        labels = super().predict(image)
        affine = labels.affine.copy()
        affine[0, 3] += 3
        return nibabel.Nifti1Image(np.asarray(labels.dataobj), affine)


def test_a_segmenter_labels_the_scans(study, cisterns, quick):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    study.put("p2", "preop", "T2w", cisterns[2].image)
    features = NerveFeatures(segmenter=Known([cisterns[1]]), **QUIET)
    table = features.fit_transform(study.cohort("p1", "p2"))
    assert table.loc[("p1", "preop", "left"), "volume_mm3"] == voxels(cisterns[1], "left")
    assert features.failures_[["subject_id", "error", "message"]].values.tolist() == [
        ["p2", "RuntimeError", "out of memory"]
    ]


class Sure(Known):
    """Says how sure it is as well."""

    def segment(self, image):
        (cistern,) = (c for c in self.cisterns if c.labels is self.predict(image))
        flags = ("the scan is dark", "no vein was found")
        return Segmentation(cistern.labels, cistern.fractions, cistern.labels, flags, None)


def test_probabilities_of_a_segmenter_are_measured_and_its_flags_kept(
    study, cisterns, quick, monkeypatch
):
    count, asked = nerve_features.measure_compression, []

    def measure(labels, image=None, *, probabilities, **options):
        asked.append(probabilities)
        return count(labels, image, **options).assign(flags=["cut", ""])

    monkeypatch.setattr(nerve_features, "measure_compression", measure)
    study.put("p1", "preop", "T2w", cisterns[3].image)
    found = {}
    for kind in (Known, Sure):
        features = NerveFeatures(segmenter=kind([cisterns[1], cisterns[3]]), **QUIET)
        found[kind] = features.fit_transform(study.cohort("p1"))
    assert asked == [None, cisterns[3].fractions]
    assert found[Known]["flags"].tolist() == ["cut", ""]
    said = "the scan is dark; no vein was found"
    assert found[Sure]["flags"].tolist() == [f"cut; {said}", said]
    assert found[Sure]["volume_mm3"].tolist() == [
        voxels(cisterns[3], side) for side in ("left", "right")
    ]


def test_labels_of_another_grid_are_a_failure(study, cisterns):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    features = NerveFeatures(segmenter=Shifted([cisterns[1]]), **QUIET)
    assert features.fit_transform(study.cohort("p1")).empty
    assert features.failures_["error"].tolist() == [GeometryError.__name__]


def test_settings_that_make_no_sense(study, cisterns):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    cohort = study.cohort("p1")
    with pytest.raises(FormatError, match="has a method predict, found int"):
        NerveFeatures(segmenter=3).fit(cohort)
    with pytest.raises(FormatError, match="labels anew"):
        NerveFeatures(segmenter=Known([]), probabilities="probseg").fit(cohort)


# --- an estimator, resumed -----------------------------------------------------------


def test_is_an_estimator(study, cisterns, quick):
    study.put("p1", "preop", "dseg", cisterns[1].labels)
    features = clone(NerveFeatures(visit="preop", max_spacing_mm=1.0, **QUIET))
    assert features.get_params()["visit"] == "preop"
    with pytest.raises(NotFittedError):
        features.transform(study.cohort("p1"))


def test_goes_on_where_it_was_killed_whatever_else_is_learned(study, cisterns, quick, tmp_path):
    study.put("p1", "preop", "T2w", cisterns[1].image)
    broken = study.put("p2", "preop", "T2w", cisterns[2].image)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:1000])
    cohort = study.cohort("p1", "p2")
    options = {"checkpoint": tmp_path / "kept", **QUIET}
    first = Known(list(cisterns.values()))
    table = NerveFeatures(segmenter=first, **options).fit_transform(cohort)
    assert first.calls == 1
    broken.write_bytes(whole)
    # New clinical values don't make old measures stale.
    cohort = cohort.with_columns(pd.DataFrame({"age": [50.0, 60.0]}, index=["p1", "p2"]))
    second = Known(list(cisterns.values()))
    again = NerveFeatures(segmenter=second, **options).fit_transform(cohort)
    assert second.calls == 1
    assert again.index.get_level_values(0).unique().tolist() == ["p1", "p2"]
    pd.testing.assert_frame_equal(again.loc[["p1"]], table, check_dtype=False)
