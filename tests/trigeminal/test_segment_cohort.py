"""From scans to measures on a whole cohort: segment, measure, resume, in other processes too."""

from __future__ import annotations

import pickle
import warnings

import joblib
import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

import precisionpain as pp
from precisionpain.errors import DataWarning, FormatError
from precisionpain.trigeminal import (
    Label,
    NerveFeatures,
    NerveMeasures,
    TrigeminalSegmenter,
    measure_nerves,
    nerve_features,
)
from precisionpain.trigeminal._segmenters import label_scan, portable
from precisionpain.trigeminal.morphometry import EXTRA_MEASURES, MEASURES, measure_compression
from precisionpain.trigeminal.segmentation import Segmentation

QUIET = {"progress": False}
TINY = {
    "network": "unet", "width": 4, "patch": 16, "n_steps": 2, "batch_size": 1, "per_scan": 1,
    "spacing_mm": None, "flips": (), "validation": 0, "progress": False, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> pp.Cohort:
    """A patient with one scan, one with two on the other side, and somebody without."""
    everybody = pp.datasets.sample_tn(
        n_subjects=8, random_state=7, missing=0.9, control_fraction=0.5,
        root=tmp_path_factory.mktemp("bids") / "tree",
        images={"spacing": [1.0] * 3, "oversample": 2}, **QUIET,
    )  # fmt: skip
    three = everybody[[7, 6, 1]]
    scans = three.images.query("contrast == 'T2w'").groupby("subject_id").size()
    assert scans.reindex(three.subject_ids).fillna(0).tolist() == [1, 2, 0]
    assert three.subjects["affected_side"].tolist()[:2] == ["right", "left"]
    return three


class Truth:
    """Knows the labels of each scan by where its voxels lie; never asked by `predict`."""

    def __init__(self, cohort: pp.Cohort) -> None:
        self.known = []
        for person in cohort.subject_ids:
            subject = cohort.subject(person)
            for visit in subject.images["visit"].dropna().unique():
                found = [subject.image(name, visit=visit) for name in ("dseg", "probseg")]
                self.known.append((f"seen at {visit} of {person}", *found))

    def predict(self, image):
        raise AssertionError("segment tells more")

    def segment(self, image) -> Segmentation:
        for flag, labels, shares in self.known:
            if np.allclose(labels.affine, image.affine, atol=1e-4):
                return Segmentation(labels, shares, labels, (flag,), pd.DataFrame())
        raise LookupError("another scan")


@pytest.fixture
def quick(monkeypatch):
    """Count voxels in place of tracing nerves."""

    def count(labels, image=None, *, probabilities=None, **options):
        data = np.asarray(labels.dataobj)
        table = pd.DataFrame(index=pd.Index(["left", "right"], name="side"))
        for name in (*MEASURES, *EXTRA_MEASURES):
            table[name] = np.nan
        table["vessel"] = None
        table["volume_mm3"] = [float((data == Label.nerve(side)).sum()) for side in table.index]
        # What the probabilities say, so that a changed weight is seen.
        table["length_mm"] = float(np.asarray(probabilities.dataobj)[..., 1:].sum())
        return table.assign(flags="")

    monkeypatch.setattr(nerve_features, "measure_compression", count)


# --- a segmenter that is right -----------------------------------------------------------


def test_images_in_and_measures_out_in_a_pipeline(cohort):
    pipeline = Pipeline(
        [("measure", NerveFeatures(segmenter=Truth(cohort), visit="preop", **QUIET))]
    )
    table = pipeline.fit_transform(cohort)
    measures = [name for name in table if name != "flags"]
    for person, part in table.groupby(level=0):
        subject = cohort.subject(person)
        given = {what: subject.image(what, visit="preop") for what in ("dseg", "probseg")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            again = measure_compression(
                given["dseg"], probabilities=given["probseg"], predicted=True, intervals=False
            )
        pd.testing.assert_frame_equal(part[measures].droplevel([0, 1]), again[measures])
    for (person, visit, _), flags in table["flags"].items():
        assert flags.split("; ")[-1] == f"seen at {visit} of {person}"
    failed = pipeline.named_steps["measure"].failures_
    assert set(table.index.get_level_values(0)) | set(failed["subject_id"]) == set(
        cohort.subject_ids
    )
    truth = cohort.measurements["nerve_truth"].set_index(["subject_id", "visit", "side"])
    error = (table["length_mm"] - truth["length_mm"]).dropna().abs()
    assert len(error) >= 3  # of four nerves; one voxel wide they may be lost
    assert (table["flags"][table["length_mm"].isna()].str.count(";") >= 1).all()
    assert error.max() < 0.5


def test_flags_go_on_to_the_quality_and_measures_to_the_features(cohort, quick):
    measured = measure_nerves(cohort, segmenter=Truth(cohort), **QUIET)
    quality = measured.measurements["nerve_quality"]
    done = quality[quality["measured"]]
    assert (done["message"] == "seen at " + done["visit"] + " of " + done["subject_id"]).all()
    made = NerveMeasures(measures=["volume_mm3"], parts=["affected"], visit="preop")
    features = made.fit_transform(measured)
    table = measured.measurements["nerve_measures"].set_index(["subject_id", "visit", "side"])
    for person, side in zip(cohort.subject_ids[:2], ("right", "left"), strict=True):
        expected = table.loc[(person, "preop", side), "volume_mm3"]
        assert features.loc[person, "affected:volume_mm3"] == expected


# --- a true network ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(cohort) -> TrigeminalSegmenter:
    """Two steps on the scans of the first person; it labels something, wherever that lies."""
    first = cohort[[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # not everybody has a vein
        return TrigeminalSegmenter(**TINY).fit(first)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    trained.save(folder)
    return folder


def changed(segmenter: TrigeminalSegmenter) -> TrigeminalSegmenter:
    """Change one weight."""
    import torch

    with torch.no_grad():
        next(segmenter.network_.parameters()).view(-1)[0] += 0.5
    return segmenter


def test_weights_tell_segmenters_apart_and_not_their_place_in_memory(saved, trained):
    def load():
        return TrigeminalSegmenter.load(saved, device="cpu")

    one, other = load(), load()
    assert joblib.hash(portable(one)) == joblib.hash(portable(other))
    assert joblib.hash(portable(one)) == joblib.hash(portable(trained))
    assert joblib.hash(portable(one)) != joblib.hash(portable(changed(other)))


def test_a_checkpoint_is_of_the_same_weights(cohort, saved, quick, tmp_path, monkeypatch):
    def load():
        return TrigeminalSegmenter.load(saved, device="cpu")

    options = {"checkpoint": tmp_path / "kept", **QUIET}
    first = NerveFeatures(segmenter=load(), **options).fit_transform(cohort)
    calls = []
    segment = TrigeminalSegmenter.segment
    monkeypatch.setattr(
        TrigeminalSegmenter, "segment", lambda self, x: calls.append(1) or segment(self, x)
    )
    again = NerveFeatures(segmenter=load(), **options).fit_transform(cohort)
    assert not calls
    pd.testing.assert_frame_equal(first, again, check_dtype=False)
    other = NerveFeatures(segmenter=changed(load()), **options).fit_transform(cohort)
    assert len(calls) == len(first) // 2
    assert not np.allclose(first["length_mm"], other["length_mm"])


def test_a_segmenter_comes_through_a_pickle_as_it_was(cohort, trained):
    image = cohort.subject(cohort.subject_ids[1]).image("T2w", visit="preop")
    sent = pickle.loads(pickle.dumps(portable(trained))).segmenter
    expected, found = trained.segment(image), sent.segment(image)
    np.testing.assert_array_equal(
        np.asarray(found.probabilities.dataobj), np.asarray(expected.probabilities.dataobj)
    )
    # And once more, from the copy.
    assert joblib.hash(portable(sent)) == joblib.hash(portable(trained))


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(cohort, saved):
    import torch

    stubborn = TrigeminalSegmenter.load(saved, device="cpu")
    last = [m for m in stubborn.network_.modules() if getattr(m, "out_channels", 0) == 5][-1]
    with torch.no_grad():
        last.bias[1] += 100  # all is brainstem, which is measured in no time
    one = NerveFeatures(segmenter=stubborn, visit="preop", **QUIET)
    two = NerveFeatures(segmenter=stubborn, visit="preop", n_jobs=2, **QUIET)
    table = one.fit_transform(cohort)
    assert len(table) == 4
    for side, flags in zip(table.index.get_level_values("side"), table["flags"], strict=True):
        assert f"no {side} nerve was found" in flags
    pd.testing.assert_frame_equal(table, two.fit_transform(cohort))
    pd.testing.assert_frame_equal(one.failures_, two.failures_)


def test_a_clone_shares_the_segmenter_that_has_learned(cohort, trained, quick):
    features = NerveFeatures(segmenter=trained, visit="preop", intervals=False, **QUIET)
    copy = clone(Pipeline([("measure", features)])).named_steps["measure"]
    assert copy.segmenter is trained
    assert copy.get_params(deep=False) == features.get_params(deep=False)
    assert copy is not features
    assert len(copy.fit_transform(cohort)) == 4  # two nerves of two people
    with pytest.raises(NotFittedError):
        NerveFeatures(segmenter=TrigeminalSegmenter(), **QUIET).fit(cohort)


def test_a_frozen_segmenter_is_asked_in_the_same_way(cohort, trained, quick):
    frozen = pytest.importorskip("sklearn.frozen").FrozenEstimator(trained)
    plain = NerveFeatures(segmenter=trained, **QUIET).fit_transform(cohort)
    pd.testing.assert_frame_equal(
        NerveFeatures(segmenter=frozen, **QUIET).fit_transform(cohort), plain
    )
    assert joblib.hash(portable(frozen)) == joblib.hash(portable(trained))


def test_people_it_learned_from_are_flagged(cohort, trained, quick):
    table = NerveFeatures(segmenter=trained, **QUIET).fit_transform(cohort)
    known = table["flags"].str.contains("learned from scans of this person")
    people = table.index.get_level_values("subject_id")
    assert known[people == cohort.subject_ids[0]].all()
    assert not known[people == cohort.subject_ids[1]].any()
    assert (people == cohort.subject_ids[1]).any()


# --- what comes from a segmenter ---------------------------------------------------------


class Saying:
    def __init__(self, labels, shares, flags=()) -> None:
        self.found = Segmentation(labels, shares, labels, tuple(flags), pd.DataFrame())
        self.asked = []

    def predict(self, image):
        return self.found.labels

    def segment(self, image):
        self.asked.append(image)
        return self.found


def box(*, n_labels: int = 6, value: int = 2) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[1:3, 1:3, 1:3] = value
    shares = np.zeros((4, 4, 4, n_labels), dtype=np.float32)
    np.put_along_axis(shares, labels[..., None].astype(int), 1, axis=3)
    return nibabel.Nifti1Image(labels, np.eye(4)), nibabel.Nifti1Image(shares, np.eye(4))


def test_probabilities_of_other_labels_are_left_out_with_a_flag():
    labels, shares = box(n_labels=5)
    found = label_scan(Saying(labels, shares, ["dark"]), labels)
    assert found[0] is labels
    assert found[1] is None
    assert found[2][0] == "dark"
    assert "without probabilities" in found[2][1]


def test_nothing_found_is_a_failure_with_the_flags_as_reason():
    with pytest.raises(FormatError, match="no left nerve was found; dark"):
        label_scan(Saying(*box(value=0), ["no left nerve was found", "dark"]), None)
    with pytest.raises(FormatError, match="found nothing"):
        label_scan(Saying(*box(value=0)), None)


def test_a_segmenter_of_two_channels_gets_both_in_its_order(tmp_path, quick):
    rng = np.random.default_rng(1)
    rows = []
    for person in ("p1", "p2"):
        for contrast in ("T2w", "angio"):
            if (person, contrast) == ("p2", "angio"):
                continue
            path = tmp_path / f"{person}_{contrast}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(rng.normal(size=(4, 4, 4)), np.eye(4)), path)
            rows.append({"subject_id": person, "visit": "preop", "contrast": contrast,
                         "path": str(path), "present": True})  # fmt: skip
    people = pd.DataFrame({"age": [50, 60]}, index=["p1", "p2"])
    cohort = pp.Cohort(people, images=pd.DataFrame(rows[::-1]))
    segmenter = Saying(*box())
    segmenter.channels = ("T2w", "angio")
    features = NerveFeatures(segmenter=segmenter, **QUIET)
    table = features.fit_transform(cohort)
    assert table.index.get_level_values("subject_id").unique().tolist() == ["p1"]
    (asked,) = segmenter.asked
    for image, contrast in zip(asked, ("T2w", "angio"), strict=True):
        stored = nibabel.load(tmp_path / f"p1_{contrast}.nii.gz")
        np.testing.assert_array_equal(image.get_fdata(), stored.get_fdata())
    assert features.failures_["subject_id"].tolist() == ["p2"]
    assert "'angio'" in features.failures_["message"].iloc[0]
