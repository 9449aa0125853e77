"""What a fitted segmenter says of a scan: on its own grid, left and right, how sure."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from precisionpain.errors import DataWarning
from precisionpain.trigeminal import TrigeminalSegmenter
from precisionpain.trigeminal._segmentation import labelling

from .small_scans import (
    LEFT,
    LEVELS,
    RIGHT,
    RIGHT_BLOB,
    STEM,
    ByLevel,
    data,
    dice,
    knowing,
    oblique,
    segmenter,
    small_scan,
)

LEAN = (8, 15, -20)


@pytest.fixture(scope="module")
def learned() -> TrigeminalSegmenter:
    """Trained until it finds most of a scan; mirrored passes."""
    scans = [small_scan(seed) for seed in range(1, 4)]
    return segmenter(n_steps=60, learning_rate=1e-2, random_state=1).fit(scans)


def canonical(image):
    return nibabel.as_closest_canonical(image)


def stored_as(image, codes: str):
    """Store the same scan with its axes in another order and direction."""
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    return image.as_reoriented(turn)


# --- where ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.7, 1.1), (1.2, 0.9, 0.5)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), LEAN])
@pytest.mark.parametrize("works_at", [None, 1.0, (0.7, 0.8, 0.9)])
def test_structures_are_found_where_they_are(spacing, degrees, works_at):
    shape = tuple(int(n / step) for n, step in zip((26, 20, 18), spacing, strict=True))
    image, truth = small_scan(affine=oblique(spacing, degrees, shape), shape=shape, noise=0)
    # As smooth as what a scanner sees, without which a spline overshoots.
    smooth = ndimage.gaussian_filter(data(image), 0.7 / np.array(spacing), mode="nearest")
    image = nibabel.Nifti1Image(smooth, image.affine)
    found = knowing(image, spacing_mm=works_at).segment(image)
    assert found.labels.shape == shape
    np.testing.assert_array_equal(found.labels.affine, image.affine)
    assert found.labels.get_data_dtype() == np.uint8
    assert found.labels.header.get_xyzt_units()[0] == "mm"
    for value in (STEM, LEFT, RIGHT):
        own, true = data(found.labels) == value, data(truth) == value
        # Whole voxels of 1 mm can't tell where the faces of a box of 3 mm lie; shares can.
        assert dice(own, true) > 0.7
        share = data(found.probabilities)[..., value]
        share = np.where(share > 0.1, share, 0)
        place = np.average(np.argwhere(share > 0), axis=0, weights=share[share > 0])
        middle = np.argwhere(true).mean(axis=0)
        np.testing.assert_allclose(place * spacing, middle * spacing, atol=0.15)
        assert share.sum() == pytest.approx(true.sum(), rel=0.1)
    assert found.flags == ()


@pytest.mark.parametrize("codes", ["LAS", "RPI", "ASR", "PIL", "SRA", "ILA", "IPR", "RAS"])
def test_the_same_scan_stored_otherwise_gets_the_same_labels(codes):
    image, _ = small_scan(affine=oblique((0.7, 0.9, 1.1), LEAN))
    model = knowing(image, slope=2.0)
    other = stored_as(image, codes)
    expected, found = model.segment(image), model.segment(other)
    assert nibabel.aff2axcodes(found.labels.affine) == tuple(codes)
    for name in ("labels", "probabilities", "spread"):
        one, two = canonical(getattr(expected, name)), canonical(getattr(found, name))
        np.testing.assert_allclose(one.affine, two.affine, atol=1e-5)
        np.testing.assert_allclose(data(one), data(two), atol=1e-5)
        np.testing.assert_array_equal(getattr(found, name).affine, other.affine)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
@pytest.mark.parametrize(
    "degrees", [(0, 0, 45), (0, 0, 135), (45, 0, 0), (45, 45, 0), (0, 45, -45)]
)
def test_labels_lie_on_the_scan_also_at_45_degrees(codes, degrees):
    """Where two axes are equally close to right, all must agree which one it is."""
    image, truth = small_scan(affine=oblique(degrees=degrees), noise=0)
    image, truth = (stored_as(one, codes) for one in (image, truth))
    labels = data(knowing(image).segment(image).labels)
    assert dice(labels == STEM, data(truth) == STEM) > 0.99
    # A blob may straddle the midline, and then loses its smaller part.
    assert dice(labels > STEM, data(truth) > STEM) > 0.7


def test_the_scan_is_left_as_it_was(learned):
    image, _ = small_scan(5)
    before = data(image).copy()
    first = learned.segment(image)
    np.testing.assert_array_equal(data(image), before)
    again = learned.segment(image)
    np.testing.assert_array_equal(data(first.probabilities), data(again.probabilities))


def test_paths_and_images_get_the_same_labels(learned, tmp_path):
    image, _ = small_scan(5)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    labels = [
        data(learned.segment(source).labels)
        for source in (image, [image], tmp_path / "scan.nii.gz", str(tmp_path / "scan.nii.gz"))
    ]
    for other in labels[1:]:
        np.testing.assert_array_equal(other, labels[0])


@given(st.tuples(*[st.integers(2, 21)] * 3))
@settings(max_examples=8)
def test_scans_smaller_than_a_patch_are_labelled(learned, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = learned.segment(nibabel.Nifti1Image(values, np.eye(4)))
    assert found.labels.shape == shape
    np.testing.assert_allclose(data(found.probabilities).sum(axis=-1), 1, atol=1e-5)


# --- left and right ------------------------------------------------------------------------


def swapped(labels):
    return np.array([0, STEM, RIGHT, LEFT], dtype=np.uint8)[labels]


def mirrored(image):
    """The other way round within the same field of view."""
    return nibabel.Nifti1Image(data(image)[::-1].copy(), image.affine)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.9, 1.0)])
def test_a_mirrored_scan_has_left_and_right_swapped(spacing):
    # 24 × 0.8 mm aren't whole voxels of 1 mm, so that the working grid isn't mirrored exactly.
    image, truth = small_scan(affine=oblique(spacing), noise=0)
    model = knowing(image)
    labels, other = (data(model.segment(one).labels) for one in (image, mirrored(image)))
    assert (labels == LEFT).sum() > (labels == RIGHT).sum() > 0
    for value in (STEM, LEFT, RIGHT):
        assert dice(swapped(other[::-1]) == value, data(truth) == value) > 0.85
    if spacing == (1.0, 1.0, 1.0):
        np.testing.assert_array_equal(swapped(other[::-1]), labels)


def test_a_trained_network_knows_no_side(learned):
    """Mirrored passes make the mean exactly symmetric."""
    image, truth = small_scan(7)
    one, other = learned.segment(image), learned.segment(mirrored(image))
    assert dice(data(one.labels) == LEFT, data(truth) == LEFT) > 0.5
    assert dice(data(one.labels) == RIGHT, data(truth) == RIGHT) > 0.5
    np.testing.assert_array_equal(swapped(data(other.labels)[::-1]), data(one.labels))
    turned = data(other.probabilities)[::-1][..., [0, STEM, RIGHT, LEFT]]
    np.testing.assert_allclose(turned, data(one.probabilities), atol=1e-4)
    np.testing.assert_allclose(data(other.spread)[::-1], data(one.spread), atol=1e-3)


def test_sides_are_those_of_the_patient_not_of_the_array():
    image, truth = small_scan(noise=0)
    for codes in ("LAS", "ASL", "SLP"):
        turned, expected = stored_as(image, codes), stored_as(truth, codes)
        labels = data(knowing(turned).segment(turned).labels)
        for value in (LEFT, RIGHT):
            assert dice(labels == value, data(expected) == value) > 0.99


# --- how sure --------------------------------------------------------------------------------


def test_probabilities_are_in_the_order_of_the_values_and_sum_to_1():
    image, truth = small_scan(noise=0.3)
    names = {"stem": 7, "blob": (9, 4)}  # left is 9
    model = knowing(image)
    model.structures_ = {"stem": (7,), "blob": (9, 4)}
    assert names.keys() == model.structures_.keys()
    found = model.segment(image)
    shares = data(found.probabilities)
    assert found.probabilities.get_data_dtype() == np.float32
    assert shares.shape == (*image.shape, 4)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)
    # Background, 4 (right), 7 (stem), 9 (left).
    for place, value in enumerate([0, RIGHT, STEM, LEFT]):
        inside = shares[..., place][data(truth) == value].mean()
        assert inside > 0.8 > 0.2 > shares[..., place][data(truth) != value].mean()
    expected = np.array([0, 4, 7, 9])[shares.argmax(axis=-1)]
    np.testing.assert_array_equal(data(found.labels), expected)
    np.testing.assert_array_equal(data(model.predict_proba(image)), shares)
    np.testing.assert_array_equal(data(model.predict(image)), data(found.labels))


def test_mirrored_passes_that_disagree_are_told():
    image, _ = small_scan()
    quiet = knowing(image).segment(image)
    uneven = knowing(image, slope=3.0).segment(image)
    assert data(quiet.spread).max() < 1e-3
    assert data(uneven.spread).max() > 0.01
    single = knowing(image, slope=3.0, flips=()).segment(image)
    np.testing.assert_array_equal(data(single.spread), 0)
    # The mean of both passes is even again; a single one isn't.
    even = small_scan(noise=0, right=((7.5, 3, 1), (2, 2.5, 3)))[0]
    for flips, symmetric in (((0,), True), ((), False)):
        model = knowing(even, slope=3.0, flips=flips)
        background = data(model.segment(even).probabilities)[..., 0]
        assert (np.abs(background - background[::-1]).max() < 1e-4) == symmetric


def test_a_temperature_softens_and_changes_no_label():
    image, _ = small_scan(noise=0.3)
    model = knowing(image, flips=())
    sharp = model.segment(image)
    model.temperature_ = 3.0
    soft = model.segment(image)
    np.testing.assert_array_equal(data(sharp.labels), data(soft.labels))
    assert data(soft.probabilities).max(-1).mean() < data(sharp.probabilities).max(-1).mean() - 0.01


def test_of_several_parts_of_a_blob_the_largest_is_kept():
    image, truth = small_scan(noise=0)
    values = data(image).copy()
    values[1:3, 1:3, 1:3] = LEVELS[2]  # left, apart from the blob
    doubled = nibabel.Nifti1Image(values, image.affine)
    found = knowing(doubled, spacing_mm=None).segment(doubled)
    np.testing.assert_array_equal(data(found.labels), data(truth))
    shares = data(found.probabilities)
    assert shares[1:3, 1:3, 1:3, 0].min() > 0.9
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)


# --- flags -----------------------------------------------------------------------------------


def test_what_is_not_found_is_flagged():
    image, _ = small_scan(noise=0, right=((90, 0, 0), (1, 1, 1)))
    model = knowing(image)
    found = model.segment(image)
    assert [flag.split(" was found")[0] for flag in found.flags] == ["no right blob"]
    for call in (model.predict, model.predict_proba):
        with pytest.warns(DataWarning, match="no right blob was found"):
            call(image)
    # Not everybody has a vessel near the nerve.
    model.structures_ = {"stem": (1,), "artery": (2, 3)}
    assert model.segment(image).flags == ()


def test_a_scan_beyond_what_the_network_knows_is_flagged():
    image, _ = small_scan()
    model = knowing(image)
    volume = float(data(model.segment(image).probabilities)[..., STEM].sum())
    model.ranges_ = {"stem_mm3": (volume - 20, volume + 20), "noise": (0.0, 5.0)}
    found = model.segment(image)
    assert found.flags == ()
    assert found.checks["ok"].all()
    assert found.checks.loc["stem_mm3", "value"] == pytest.approx(volume, abs=10)
    model.ranges_["stem_mm3"] = (volume + 20, volume + 40)
    found = model.segment(image)
    assert not found.checks.loc["stem_mm3", "ok"]
    assert "stem volume (mm³) is" in found.flags[0]
    with pytest.warns(DataWarning, match="stem volume"):
        model.predict(image)


def test_the_repr_tells_volumes_and_flags():
    image, truth = small_scan(affine=oblique((1.0, 1.0, 0.5)), noise=0)
    found = knowing(image, spacing_mm=None).segment(image)
    for value in (STEM, LEFT, RIGHT):
        volume = (data(truth) == value).sum() * 0.5
        assert f"{value}: {volume:.0f} mm³" in repr(found)
    empty = knowing(image, spacing_mm=None)
    empty.network_ = ByLevel(image, levels=(0.0, -60.0, 60.0))
    text = repr(empty.segment(image))
    assert text.startswith("Segmentation (nothing found)\n  flag: no stem was found")


# --- a large field of view -------------------------------------------------------------------


@pytest.mark.parametrize("codes", ["RAS", "PIL"])
def test_in_a_large_scan_only_the_place_that_was_found_is_labelled(monkeypatch, codes):
    """The structures lie far off the middle; the same blob elsewhere is another's."""
    small, truth = small_scan(noise=0.05)
    shape, corner = (110, 90, 80), (70, 9, 40)
    values = np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32)
    place = tuple(slice(a, a + n) for a, n in zip(corner, small.shape, strict=True))
    values[place] = data(small)
    values[5:20, 60:80, 10:30] = LEVELS[1]  # bigger than the stem
    affine = oblique((1.0, 0.9, 1.1), LEAN, shape)
    image = stored_as(nibabel.Nifti1Image(values, affine), codes)
    middle = affine[:3, :3] @ (np.array(corner) + np.array(small.shape) / 2) + affine[:3, 3]

    def found(_, image, grid):
        assert image.shape == grid.shape
        return middle, 0.9

    monkeypatch.setattr(labelling, "find_cistern", found)
    model = knowing(nibabel.Nifti1Image(values, affine), spacing_mm=None, patch=48)
    whole = data(canonical(model.segment(image).labels))
    assert (whole[5:20, 60:80, 10:30] == STEM).any()
    model.localiser_ = torch.nn.Identity()
    part = model.segment(image)
    assert part.labels.shape == part.spread.shape == image.shape
    labels = data(canonical(part.labels))
    for value in (STEM, LEFT, RIGHT):
        assert dice(labels[place] == value, data(truth) == value) > 0.95
        assert (labels == value).sum() == (labels[place] == value).sum()
    shares = data(part.probabilities)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)
    assert part.flags == ()
    monkeypatch.setattr(labelling, "find_cistern", lambda *_: (middle, 0.2))
    assert "isn't where it is expected (confidence 0.20)" in model.segment(image).flags[0]
    # What is no larger than the box needs no search.
    monkeypatch.setattr(labelling, "find_cistern", None)
    assert model.segment(small).labels.shape == small.shape


# --- channels and precision ------------------------------------------------------------------


def test_a_further_channel_is_brought_onto_the_first():
    """A network that sees the second channel only, stored otherwise and at another voxel size."""
    image, truth = small_scan(affine=oblique((1.0, 1.0, 1.0), LEAN), noise=0)
    shape = (40, 34, 30)
    fine, _ = small_scan(affine=oblique((0.6, 0.6, 0.6), LEAN, shape), shape=shape, noise=0)
    model = segmenter(channels=("T2w", "angio"), n_steps=1).fit([([image, image], truth)])

    class Second(ByLevel):
        def forward(self, image):
            return super().forward(image[:, 1:])

    model.network_ = Second(fine)
    blank = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=image.shape), image.affine)
    one, other = (
        data(model.segment([blank, scan]).labels) for scan in (fine, stored_as(fine, "LSP"))
    )
    np.testing.assert_array_equal(one, other)
    # A face of a box may lie in the next voxel on either grid.
    for value, least in ((STEM, 0.85), (LEFT, 0.7), (RIGHT, 0.65)):
        assert dice(one == value, data(truth) == value) > least


def test_mixed_precision_finds_nearly_the_same(learned):
    image, _ = small_scan(6)
    settings = learned.get_params(deep=False)
    scans = [small_scan(1)]
    half = TrigeminalSegmenter(**{**settings, "amp": True, "patch": 32, "n_steps": 1}).fit(scans)
    half.network_.load_state_dict(learned.network_.state_dict())
    full = TrigeminalSegmenter(**{**settings, "patch": 32, "n_steps": 1}).fit(scans)
    full.network_.load_state_dict(learned.network_.state_dict())
    one, two = (data(model.segment(image).probabilities) for model in (half, full))
    assert not np.array_equal(one, two)
    np.testing.assert_allclose(one, two, atol=0.1)


@pytest.mark.gpu
def test_a_gpu_trains_and_predicts():
    scans = [small_scan(seed) for seed in range(1, 5)]
    settings = {"device": "cuda", "amp": "auto", "n_steps": 80, "learning_rate": 1e-2}
    model = segmenter(**settings, validation=0.25, patch=32).fit(scans)
    image, truth = small_scan(9)
    labels = data(model.segment(image).labels)
    assert next(model.network_.parameters()).device == torch.device("cuda", 0)
    for value in (STEM, LEFT, RIGHT):
        assert dice(labels == value, data(truth) == value) > 0.7


def test_the_right_blob_is_smaller():
    """What the tests of sides rest on."""
    _, truth = small_scan()
    assert (data(truth) == LEFT).sum() > (data(truth) == RIGHT).sum() > 0
    assert RIGHT_BLOB[1][0] < 2


def test_a_real_head_of_another_kind_is_flagged(shared_data):
    """A fetal brain, T2-weighted: whatever is labelled there, nobody should believe it."""
    folder = shared_data / "mri" / "bids_tree" / "sub-0009" / "ses-V01" / "anat"
    found = TrigeminalSegmenter.load_default().segment(folder / "sub-0009_ses-V01_T2w.nii.gz")
    assert any("isn't where it is expected" in flag for flag in found.flags)
