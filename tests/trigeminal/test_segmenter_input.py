"""What a segmenter refuses, and what it says then."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from precisionpain.errors import DataWarning, FormatError, GeometryError, MissingModalityError
from precisionpain.trigeminal import segmentation

from .small_scans import data, knowing, segmenter, small_scan


@pytest.fixture(scope="module")
def pair():
    return small_scan()


@pytest.fixture(scope="module")
def model(pair):
    return knowing(pair[0])


def image(values=None, affine=None, dtype=None):
    values = np.random.default_rng(0).normal(size=(8, 8, 8)) if values is None else values
    return nibabel.Nifti1Image(
        np.asarray(values), np.eye(4) if affine is None else affine, dtype=dtype
    )


def with_value(value):
    values = np.random.default_rng(0).normal(size=(8, 8, 8))
    values[1, 2, 3] = value
    return values


def sheared(by):
    affine = np.eye(4)
    affine[0, 1] = by
    return affine


class Odd(nibabel.Nifti1Image):
    """An image with an affine that nibabel itself would not write."""

    odd = np.full((4, 4), np.nan)

    @property
    def affine(self):
        return self.odd


class Flat(Odd):
    odd = np.diag([1.0, 1.0, 0.0, 1.0])


RGB = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])

BAD_SCANS = {
    "4-D": (lambda: image(np.zeros((8, 8, 8, 2))), FormatError, r"found 4-D.*\(8, 8, 8, 2\)"),
    "2-D": (lambda: image(np.zeros((8, 8))), FormatError, "found 2-D"),
    "an array": (lambda: np.zeros((8, 8, 8)), FormatError, "found ndarray.*Nifti1Image"),
    "nothing": (lambda: None, FormatError, "found NoneType"),
    "constant": (lambda: image(np.full((8, 8, 8), 3.0)), FormatError, "all voxels have the same"),
    "no voxels": (lambda: image(np.zeros((8, 0, 8))), FormatError, "empty"),
    "NaN": (lambda: image(with_value(np.nan)), FormatError, "1 of 512 voxels are not finite"),
    "infinite": (lambda: image(with_value(-np.inf)), FormatError, "1 of 512 voxels are not finite"),
    "complex": (lambda: image(np.ones((8, 8, 8), complex)), FormatError, "found complex"),
    "colours": (lambda: image(RGB), FormatError, "expected real numbers"),
    "too coarse": (
        lambda: image(affine=np.diag([1, 1, 3, 1])), GeometryError,
        r"1 × 1 × 3 mm are too coarse: expected at most 1\.2 mm",
    ),
    "in metres": (lambda: image(affine=np.diag([1e3, 1e3, 1e3, 1])), GeometryError, "too coarse"),
    "sheared": (lambda: image(affine=sheared(0.5)), GeometryError, "not at right angles"),
    "flat": (lambda: Flat(np.ones((8, 8, 8)), None), GeometryError, "no length"),
    "nowhere": (lambda: Odd(np.ones((8, 8, 8)), None), GeometryError, "no affine with finite"),
    "two channels": (lambda: [image(), image()], FormatError, "expected 1 images.*found 2"),
    "no channel": (list, FormatError, "expected 1 images.*found 0"),
    "a missing file": (
        lambda: "absent.nii.gz", MissingModalityError, r"absent\.nii\.gz.*no such file"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", BAD_SCANS)
def test_what_is_no_scan_is_refused(model, pair, what):
    make, kind, text = BAD_SCANS[what]
    with pytest.raises(kind, match=text):
        model.segment(make())
    with pytest.raises(kind):
        segmenter().fit([(make(), pair[1])])


def test_the_file_is_named(model, tmp_path):
    path = tmp_path / "sub-07_T2w.nii.gz"
    nibabel.save(image(np.zeros((8, 8, 8))), path)
    with pytest.raises(FormatError, match=r"sub-07_T2w\.nii\.gz: the image is empty"):
        model.segment(path)
    (tmp_path / "note.nii.gz").write_text("no image")
    with pytest.raises(FormatError, match=r"note\.nii\.gz"):
        model.segment(tmp_path / "note.nii.gz")


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint16, np.float64])
def test_numbers_of_any_kind_are_read(model, pair, dtype):
    values = np.clip((data(pair[0]) + 4) * 30, 0, 255)
    found = model.segment(image(values.astype(dtype), pair[0].affine))
    assert found.labels.shape == pair[0].shape


def test_a_nearly_right_angle_passes(model):
    # What 32-bit headers make of a right angle, and more.
    scan = image(affine=sheared(0.02))
    assert model.segment(scan).labels.shape == scan.shape


# --- label images ----------------------------------------------------------------------------


def labels(change=None, affine=None, dtype=np.uint8):
    truth = data(small_scan()[1]).astype(dtype)
    return image(truth if change is None else change(truth), affine)


def moved(by):
    affine = small_scan()[1].affine.copy()
    affine[:3, 3] += by
    return affine


def with_label(value):
    def change(truth):
        truth = truth.astype(type(value) if isinstance(value, complex) else np.float32)
        truth[0, 0, 0] = value
        return truth

    return change


BAD_LABELS = {
    "cropped": (lambda: labels(lambda t: t[1:]), GeometryError, r"found \(23, 20, 18\)"),
    "moved": (lambda: labels(affine=moved([0, 3, 0])), GeometryError, "found .* elsewhere"),
    "mirrored": (
        lambda: labels(affine=moved(0) @ np.diag([-1, 1, 1, 1])), GeometryError, "elsewhere"
    ),
    "unknown": (lambda: labels(with_label(9)), FormatError, r"unknown labels 9; known are 1, 2, 3"),
    "negative": (lambda: labels(with_label(-1)), FormatError, "unknown labels -1"),
    "empty": (lambda: labels(np.zeros_like), FormatError, "label image is empty"),
    "fractions": (lambda: labels(with_label(0.5)), FormatError, "whole numbers"),
    "NaN": (lambda: labels(with_label(np.nan)), FormatError, "whole numbers"),
    "infinite": (lambda: labels(with_label(np.inf)), FormatError, "whole numbers"),
    "complex": (lambda: labels(with_label(1j)), FormatError, "whole numbers.*complex"),
    "4-D": (lambda: image(np.ones((24, 20, 18, 2))), FormatError, "3-D"),
    "an array": (lambda: data(small_scan()[1]), FormatError, "found ndarray"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", BAD_LABELS)
def test_what_labels_no_scan_is_refused_by_its_number(pair, what):
    make, kind, text = BAD_LABELS[what]
    if what in ("moved", "mirrored", "cropped"):
        bad = make()
    else:
        found = make()
        bad = found if isinstance(found, np.ndarray) else nibabel.Nifti1Image(
            np.asarray(found.dataobj), pair[1].affine
        )  # fmt: skip
    with pytest.raises(kind, match=text) as error:
        segmenter().fit([pair, (pair[0], bad)])
    assert "label image of scan 1" in str(error.value)


def test_labels_as_whole_floats_and_a_hair_off_are_read(pair):
    truth = nibabel.Nifti1Image(data(pair[1]).astype(np.float64), moved([0.01, 0, -0.02]))
    found = segmenter(n_steps=2).fit([(pair[0], truth)])
    plain = segmenter(n_steps=2).fit([pair])
    for name, tensor in found.network_.state_dict().items():
        assert tensor.equal(plain.network_.state_dict()[name])


def test_labels_stored_otherwise_are_brought_to_the_scan(pair):
    turned = pair[1].as_reoriented([[1, -1], [0, 1], [2, -1]])
    one = segmenter(n_steps=2).fit([pair])
    other = segmenter(n_steps=2).fit([(pair[0], turned)])
    for name, tensor in one.network_.state_dict().items():
        assert tensor.equal(other.network_.state_dict()[name])


def test_a_structure_that_no_scan_has_is_named(pair):
    with pytest.warns(DataWarning, match="no scan has the structure 'vein'"):
        segmenter(labels={"stem": 1, "blob": (2, 3), "vein": 5}, n_steps=1).fit([pair])


# --- what is passed to fit -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (lambda image, _: ([],), "labelled scans to learn from, found none"),
        (lambda image, _: ([image, image],), r"scan 0: expected pairs.*images as X and label"),
        (lambda image, _: ([(image,)],), "scan 0: expected pairs"),
        (lambda image, labels: ([(image, labels), image],), "scan 1: expected pairs"),
        (lambda image, labels: ([image, image], [labels]), "each of the 2 images, found 1"),
        (lambda image, _: ("scans",), "scan 0: expected pairs"),
    ],
)
def test_what_holds_no_labelled_scans_is_refused(pair, arguments, text):
    with pytest.raises(FormatError, match=text):
        segmenter().fit(*arguments(*pair))


SETTINGS = [
    ({"labels": {}}, "labels"),
    ({"labels": ["stem"]}, "labels"),
    ({"labels": {"stem": 0}}, "labels"),
    ({"labels": {"stem": 256}}, "1 to 255"),
    ({"labels": {"stem": -1}}, "labels"),
    ({"labels": {"stem": 1.0}}, "labels"),
    ({"labels": {"stem": True}}, "labels"),
    ({"labels": {"stem": "1"}}, "labels"),
    ({"labels": {"stem": ()}}, "labels"),
    ({"labels": {"stem": (1, 2, 3)}}, "labels"),
    ({"labels": {"stem": 1, "blob": (1, 2)}}, "each its own"),
    ({"channels": "T2w"}, "channels"),
    ({"channels": ()}, "channels"),
    ({"channels": 1}, "channels"),
    ({"spacing_mm": 0}, "spacing_mm"),
    ({"spacing_mm": -0.5}, "spacing_mm"),
    ({"spacing_mm": float("nan")}, "spacing_mm"),
    ({"spacing_mm": "fine"}, "spacing_mm"),
    ({"spacing_mm": (0.5, 0.5)}, "spacing_mm"),
    ({"max_spacing_mm": 0}, "max_spacing_mm"),
    ({"network": "transformer"}, r"network: unknown network 'transformer'.*'dynunet'"),
    ({"network": "basic_unet"}, "leave one voxel at the coarsest scale"),
    ({"width": 5}, "width: .*multiple of 4"),
    ({"patch": 20}, "patch: expected a multiple of 16, or three, found 20"),
    ({"patch": 0}, "patch"),
    ({"patch": (16, 16)}, "patch"),
    ({"patch": (16, 16, 17)}, "patch"),
    ({"patch": 16.5}, "patch"),
    ({"patch": "big"}, "patch"),
    ({"patch": None}, "patch"),
    ({"loss": "focal"}, r"loss: unknown loss 'focal'.*'dice_ce'"),
    ({"n_steps": 0}, "n_steps"),
    ({"n_steps": 2.5}, "n_steps"),
    ({"batch_size": 0}, "batch_size"),
    ({"per_scan": 0}, "per_scan"),
    ({"validate_every": 0}, "validate_every"),
    ({"learning_rate": 0}, "learning_rate"),
    ({"learning_rate": float("nan")}, "learning_rate"),
    ({"weight_decay": -1}, "weight_decay"),
    ({"flips": (3,)}, "axes from 0 to 2"),
    ({"flips": (0, 0)}, "flips"),
    ({"flips": 0}, "flips"),
    ({"validation": 1.0}, "validation"),
    ({"validation": -0.1}, "validation"),
    ({"patience": 0}, "patience"),
    ({"overlap": 1.0}, "overlap"),
    ({"amp": "sometimes"}, "amp: expected 'auto', True or False, found 'sometimes'"),
    ({"amp": True}, "too small for mixed precision on a CPU"),
    ({"device": "tpu"}, "'tpu'"),
    ({"device": "cuda:77"}, "asked for, and torch .* finds"),
    ({"random_state": -1}, "random_state"),
    ({"random_state": None}, "random_state"),
]


@pytest.mark.parametrize(("change", "text"), SETTINGS)
def test_settings_that_can_not_be_are_refused_before_a_scan_is_read(monkeypatch, change, text):
    def read(*_):
        raise AssertionError("scans are read first")

    if "learning_rate" not in change and "weight_decay" not in change:
        monkeypatch.setattr(segmentation.TrigeminalSegmenter, "_training_scans", read)
    with pytest.raises(FormatError, match=text):
        segmenter(**change).fit([small_scan()])
