"""Scans as a block: boxes round the nerves, a small network, and who lacks a scan."""

from __future__ import annotations

import pickle

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from precisionpain.cohort import Cohort
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    MissingModalityError,
    TrainingError,
)
from precisionpain.fusion import EarlyFusion, FeatureBlock, ImageEncoder, LateFusion
from precisionpain.fusion._deep import crops
from precisionpain.stats import auc
from precisionpain.trigeminal import Label, simulate_cistern

N = 36
SHAPE = (40, 20, 16)
SMALL = {"box_mm": (8.0, 8.0, 8.0), "width": 4, "shift": 1, "n_epochs": 12, "n_members": 2}


def write(folder, person: str, side: str, bright: bool, seed: int, *, visit: str = "preop"):
    """A scan with two nerves; the painful one glows where `bright`."""
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 10, SHAPE).astype("float32")
    labels = np.zeros(SHAPE, dtype="uint8")
    labels[18:22, 4:8, 4:8] = Label.BRAINSTEM
    for x, name in ((8, "left"), (30, "right")):
        labels[x : x + 3, 8:14, 7:9] = Label.nerve(name)
        if bright and name == side:
            data[x : x + 3, 9:13, 6:10] += 80
    affine = np.eye(4)
    affine[:3, 3] = -20, -10, -8
    rows = []
    for contrast, values in (("T2w", data), ("dseg", labels)):
        path = folder / f"{person}_{visit}_{contrast}.nii"
        nibabel.Nifti1Image(values, affine).to_filename(path)
        rows.append({"subject_id": person, "visit": visit, "contrast": contrast, "path": path})
    return rows


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """People of whom the first six have no scan, and one more no painful side."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    ids = [f"s{i:03d}" for i in range(N)]
    y = rng.permutation(np.arange(N) % 2)
    sides = rng.choice(["left", "right"], N).astype(object)
    sides[7] = None
    subjects = pd.DataFrame(
        {"age": rng.normal(60, 8, N), "affected_side": sides}, pd.Index(ids, name="subject_id")
    )
    rows = []
    for i in range(6, N):
        rows += write(folder, ids[i], sides[i] or "left", bool(y[i]), i)
    return Cohort(subjects, images=pd.DataFrame(rows)), y


@pytest.fixture(scope="module")
def fitted(people):
    return ImageEncoder(**SMALL).fit(*people)


def test_who_has_a_scan_is_known_before_fit(people):
    cohort, _ = people
    has = ImageEncoder(**SMALL).available(cohort)
    assert np.flatnonzero(~has).tolist() == [0, 1, 2, 3, 4, 5, 7]


def test_the_painful_nerve_comes_first_and_on_the_left(people):
    """A bright painful nerve is bright in the first channel alone, whichever side it is on."""
    cohort, y = people
    model = ImageEncoder(**{**SMALL, "shift": 0})
    boxes, has = model._crops(cohort)
    assert boxes.shape == (N - 7, 2, 8, 8, 8)
    np.testing.assert_allclose(boxes.mean(axis=(1, 2, 3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(boxes.std(axis=(1, 2, 3, 4)), 1, atol=1e-4)
    peak = boxes.max(axis=(2, 3, 4))
    bright = y[has] == 1
    assert (peak[bright, 0] > peak[bright, 1] + 2).all()
    assert (np.abs(peak[~bright, 0] - peak[~bright, 1]) < 2).all()


def test_a_right_nerve_is_a_mirrored_left_one(tmp_path):
    """A scan that is its own mirror image gives two equal boxes, and the same for both sides."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(20, 20, 16)).astype("float32")
    data = np.concatenate([half, half[::-1]])
    labels = np.zeros(data.shape, dtype="uint8")
    labels[8:11, 8:14, 7:9] = Label.NERVE_LEFT
    labels[29:32, 8:14, 7:9] = Label.NERVE_RIGHT
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    nibabel.Nifti1Image(data, affine).to_filename(tmp_path / "t2.nii")
    nibabel.Nifti1Image(labels, affine).to_filename(tmp_path / "l.nii")
    settings = crops.CropSettings((9.0, 8.0, 8.0), 1.0, 0, 1.2)
    files = {"channel_0": str(tmp_path / "t2.nii"), "labels": str(tmp_path / "l.nii")}
    left, right = (crops._cut(files, True, side, settings) for side in ("left", "right"))
    np.testing.assert_allclose(left[0], left[1], atol=1e-5)
    np.testing.assert_allclose(left, right, atol=1e-5)
    # And a scan stored with its first axis reversed is the same scan.
    flip = affine.copy()
    flip[0] = -1, 0, 0, 39
    nibabel.Nifti1Image(data[::-1], flip).to_filename(tmp_path / "t2.nii")
    nibabel.Nifti1Image(labels[::-1], flip).to_filename(tmp_path / "l.nii")
    np.testing.assert_allclose(crops._cut(files, True, "left", settings), left, atol=1e-5)


def test_the_cistern_is_found_without_labels(tmp_path):
    cistern = simulate_cistern(4, spacing=1.0, oversample=1)
    path = tmp_path / "t2.nii"
    nibabel.save(cistern.image, path)
    scan = crops.read_scan(path, 1, 1.2)
    found = crops._localised(scan)
    nibabel.save(cistern.labels, path)
    truth = crops._labelled(path, scan)
    for side in ("left", "right"):
        assert np.linalg.norm(found[side] - truth[side]) < 6.0  # of a box of 20 mm


def test_a_planted_sign_is_learned(people, fitted):
    cohort, y = people
    column = ImageEncoder(**SMALL).fit_transform(cohort, y)["log_odds"]
    has = column.notna().to_numpy()
    assert auc(y[has], column[has]) > 0.8  # said by networks that hadn't seen the person
    assert auc(y[has], fitted.transform(cohort)["log_odds"][has]) > 0.8
    assert fitted.n_available_ == N - 7
    assert fitted.features(cohort).shape == (N, 2 * 4 * 4)
    np.testing.assert_array_equal(fitted.features(cohort).notna().all(axis=1), has)


def test_who_lacks_the_scan_gets_the_prevalence(people, fitted):
    cohort, y = people
    p = fitted.predict_proba(cohort)
    assert p.shape == (N, 2)
    lacking = ~fitted.available(cohort)
    assert np.ptp(p[lacking, 1]) == 0
    assert p[0, 1] == pytest.approx(y.mean())
    assert fitted.transform(cohort)["log_odds"].isna().to_numpy()[lacking].all()
    with pytest.warns(DataWarning, match="no image 'T2w': everybody lacks"):
        q = fitted.predict_proba(Cohort(cohort.subjects))
    np.testing.assert_allclose(q, p[[0] * N])


def test_the_same_seed_gives_the_same_digits(people, fitted):
    cohort, y = people
    p = fitted.predict_proba(cohort)
    again = clone(fitted).fit(cohort, y)
    np.testing.assert_array_equal(again.predict_proba(cohort), p)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).predict_proba(cohort), p)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(fitted.predict_proba(cohort[order]), p[order])


def test_as_a_block_of_late_fusion(people):
    cohort, y = people
    model = LateFusion(
        {"clinic": "clinical", "scan": ImageEncoder(**{**SMALL, "n_epochs": 6})},
        n_folds=2, n_repeats=1, gate=None,
    ).fit(cohort, y)  # fmt: skip
    assert model.blocks_.loc["scan", "n"] == N - 7
    assert model.blocks_.loc["scan", "left_out"] == ""
    contributions = model.contributions(cohort)
    assert np.flatnonzero(contributions["scan"].isna()).tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert model.predict_proba(cohort).shape == (N, 2)
    nobody = Cohort(cohort.subjects)
    with pytest.warns(DataWarning, match="everybody lacks"):
        p = model.predict_proba(nobody)
    assert np.isfinite(p).all()


def test_a_cohort_without_scans_leaves_the_block_out(people):
    cohort, y = people
    encoder = ImageEncoder(**SMALL)
    bare = Cohort(cohort.subjects)
    model = LateFusion({"clinic": "clinical", "scan": encoder}, n_folds=2, n_repeats=1)
    assert "no label image 'dseg'" in model.fit(bare, y).blocks_.loc["scan", "left_out"]
    with pytest.raises(MissingModalityError):
        encoder.fit(bare, y)


def test_as_features_of_early_fusion(people):
    """Out of fold in training, so that what the network knows by heart isn't believed."""
    cohort, y = people
    blocks = {"clinic": "clinical", "scan": FeatureBlock(ImageEncoder(**SMALL))}
    model = EarlyFusion(blocks).fit(cohort, y)
    assert model.coef_["scan"].index.tolist() == ["log_odds"]
    assert model.coef_["scan"]["log_odds"] > 0
    assert model.contributions(cohort)["scan"].isna().sum() == 7


def test_several_scans_of_a_person_must_be_told_apart(people, tmp_path):
    cohort, _ = people
    more = write(tmp_path, "s010", "left", True, 3, visit="second")
    twice = cohort.with_images(pd.DataFrame(more).assign(present=True))
    with pytest.raises(AlignmentError, match=r"several scans match of 's010'.*'preop', 'second'"):
        ImageEncoder(**SMALL).available(twice)
    assert ImageEncoder(visit="preop", **SMALL).available(twice).sum() == N - 7


def test_a_broken_scan_counts_as_missing(people, tmp_path):
    cohort, _ = people
    rows = write(tmp_path, "s020", "left", True, 3)
    rows[0]["path"].write_bytes(b"no image at all" * 40)
    rest = cohort.images[cohort.images["subject_id"] != "s020"]
    rows = pd.DataFrame(rows).assign(present=True)
    broken = Cohort(cohort.subjects, images=pd.concat([rest, rows], ignore_index=True))
    with pytest.warns(DataWarning, match=r"scans of 1 people can't be used.*'s020'"):
        has = ImageEncoder(**SMALL).available(broken)
    assert not has[20]
    assert has.sum() == N - 8


def test_what_makes_no_sense_is_refused(people):
    cohort, y = people
    for options, match in (
        ({"width": 0}, "width: expected"),
        ({"dropout": 1.0}, "dropout: expected"),
        ({"box_mm": (4.0, 8.0, 8.0)}, "boxes of 8 voxels"),
        ({"spacing_mm": 0.0}, "boxes of 8 voxels"),
    ):
        with pytest.raises(FormatError, match=match):
            ImageEncoder(**{**SMALL, **options}).fit(cohort, y)
    with pytest.raises(MissingModalityError, match="29 of 36 training people have a scan"):
        ImageEncoder(min_people=30, **SMALL).fit(cohort, y)
    with pytest.raises(FormatError, match="expected two classes"):
        ImageEncoder(**SMALL).fit(cohort, np.zeros(N))
    with pytest.raises(FormatError, match="give y to fit"):
        ImageEncoder(**SMALL).fit_transform(cohort)
    with pytest.raises(FormatError, match="X is a Cohort"):
        ImageEncoder(**SMALL).available(np.zeros(3))
    with pytest.raises(TrainingError):
        ImageEncoder(learning_rate=1e30, **SMALL).fit(cohort, y)
