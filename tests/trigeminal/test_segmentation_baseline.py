"""The segmenter without learning: phantoms of development seeds, orientation, bad input."""

from __future__ import annotations

import pickle

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

import precisionpain as pp
from precisionpain.errors import FormatError, GeometryError
from precisionpain.trigeminal._segmentation.baseline import ThresholdSegmenter
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.segmentation_metrics import evaluate_segmentation

SEEDS = (3, 4)
SPACING = 0.7


@pytest.fixture(scope="module")
def cisterns():
    return {
        seed: pp.trigeminal.simulate_cistern(seed, spacing=SPACING, oversample=2) for seed in SEEDS
    }


@pytest.fixture(scope="module")
def labelled(cisterns):
    return {seed: ThresholdSegmenter().predict(one.image) for seed, one in cisterns.items()}


def array(image):
    return np.asanyarray(image.dataobj)


def test_finds_brainstem_nerves_and_vessels(cisterns, labelled):
    table = evaluate_segmentation(labelled, {seed: one.labels for seed, one in cisterns.items()})
    dice = table["dice"].unstack("class").mean()
    # Far above what chance or a swap of the sides would give; no claim of accuracy.
    assert dice["brainstem"] > 0.97
    assert dice[["nerve_left", "nerve_right"]].min() > 0.6
    assert dice[["artery", "vessel"]].min() > 0.6


def test_flow_void_is_artery(cisterns):
    void = cisterns[4].rescan(0, appearance={"blood": {"artery": "void", "vein": "static"}})
    found = array(ThresholdSegmenter().predict(void.image))
    truth = array(void.labels)
    hit = np.bincount(found[truth == Label.ARTERY], minlength=len(Label))
    assert hit[Label.ARTERY] > 0.7 * hit.sum()


def test_output_is_a_label_image_on_the_same_grid(cisterns, labelled):
    for seed, image in labelled.items():
        assert image.shape == cisterns[seed].image.shape
        assert np.array_equal(image.affine, cisterns[seed].image.affine)
        assert image.get_data_dtype() == np.uint8
        assert set(np.unique(array(image))) <= {label.value for label in Label}


@pytest.mark.parametrize("codes", ["LPS", "SAR"])
def test_stored_order_of_axes_does_not_matter(cisterns, labelled, codes):
    image = cisterns[3].image
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(codes)))
    turned = image.as_reoriented(turn)
    found = ThresholdSegmenter().predict(turned)
    assert np.array_equal(found.affine, turned.affine)
    assert np.array_equal(array(found), array(labelled[3].as_reoriented(turn)))


def test_mirror_image_swaps_the_sides(cisterns, labelled):
    image = cisterns[3].image
    mirrored = nibabel.Nifti1Image(array(image)[::-1].copy(), image.affine)
    found = array(ThresholdSegmenter().predict(mirrored))[::-1]
    swap = np.array([0, 1, 3, 2, 4, 5], dtype=np.uint8)
    table = evaluate_segmentation(
        nibabel.Nifti1Image(swap[found].copy(), image.affine), labelled[3]
    )
    assert table.loc[["brainstem", "nerve_left", "nerve_right", "artery"], "dice"].min() > 0.97


def test_scale_of_the_intensities_does_not_matter(cisterns, labelled):
    image = cisterns[4].image
    scaled = nibabel.Nifti1Image((array(image) * 900).astype(np.int16), image.affine)
    table = evaluate_segmentation(ThresholdSegmenter().predict(scaled), labelled[4])
    assert table["dice"].dropna().min() > 0.97


def test_scan_is_not_changed(cisterns):
    image = cisterns[3].image
    before = array(image).copy()
    ThresholdSegmenter().predict(image)
    assert np.array_equal(array(image), before)


def test_serves_as_segmenter_of_a_cohort(cisterns, tmp_path):
    nibabel.save(cisterns[4].image, tmp_path / "p1_T2w.nii.gz")
    cohort = pp.Cohort(
        pd.DataFrame({"age": [61]}, index=["p1"]),
        images=pd.DataFrame(
            {
                "subject_id": ["p1"],
                "visit": ["preop"],
                "contrast": ["T2w"],
                "path": [tmp_path / "p1_T2w.nii.gz"],
            }
        ),
    )
    features = pp.trigeminal.NerveFeatures(segmenter=ThresholdSegmenter(), progress=False)
    table = features.fit_transform(cohort)
    assert features.failures_.empty
    truth = cisterns[4].truth
    for side in ("left", "right"):
        found = table.loc[("p1", "preop", side), "mean_area_mm2"]
        assert found == pytest.approx(truth.loc[side, "mean_area_mm2"], rel=0.4)


def test_value_object():
    one = ThresholdSegmenter(bone_mm=6.0)
    assert pickle.loads(pickle.dumps(one)) == one != ThresholdSegmenter()
    assert "bone_mm=6.0" in repr(one)


# Bad input


def blank(value=1.0, shape=(40, 36, 30)):
    return np.full(shape, value)


def as_image(data, affine=None):
    return nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine)


def test_what_is_no_scan():
    segmenter = ThresholdSegmenter()
    with pytest.raises(FormatError, match="3-D image, found 4-D"):
        segmenter.predict(as_image(blank()[..., None]))
    with pytest.raises(FormatError, match="only one"):
        segmenter.predict(as_image(blank()))
    with pytest.raises(FormatError, match="finite"):
        segmenter.predict(as_image(np.where(np.arange(30) == 3, np.nan, blank())))
    with pytest.raises(FormatError, match="affine"):
        segmenter.predict(blank())
    with pytest.raises(GeometryError, match="right angles"):
        segmenter.predict(as_image(blank(), np.eye(4) + 0.3 * np.eye(4, k=1)))


def test_no_brainstem_is_said():
    data = blank() + np.random.default_rng(0).normal(0, 0.02, blank().shape)
    data[20:23, :, 15:18] = 0.3  # a vessel in a sea of CSF
    with pytest.raises(FormatError, match=r"no brainstem.*CISS"):
        ThresholdSegmenter().predict(as_image(data))


@pytest.mark.parametrize("seed", range(6))
def test_nonsense_is_labelled_or_refused(seed):
    """Noise, a gradient, a hot voxel, negative values: labels or a FormatError, no crash."""
    rng = np.random.default_rng(seed)
    data = [
        rng.normal(size=(30, 28, 20)),
        rng.random((30, 28, 20)) - 5,
        np.indices((30, 28, 20)).sum(axis=0) * 1.0,
        np.where(np.arange(30 * 28 * 20).reshape(30, 28, 20) == 777, 1.0, 0.0),
        (rng.random((30, 28, 20)) > 0.5).astype(np.uint8),
        rng.random((30, 28, 1)),
    ][seed]
    try:
        found = ThresholdSegmenter().predict(as_image(data, np.diag([1, 1, 2, 1])))
    except FormatError:
        return
    assert array(found).max() <= max(Label)
