"""Registration: known moves come back, real scans arrive, and failures are said."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from precisionpain.errors import DataWarning, FormatError, GeometryError, MissingModalityError
from precisionpain.imaging import (
    correct_bias,
    register_to_template,
    registration,
    resample_to_grid,
    spm_grid,
)
from precisionpain.imaging._registration import affine
from precisionpain.imaging._registration.affine import align, rigid_part
from precisionpain.imaging._registration.check import doubts_of, measure, problems_of
from precisionpain.imaging._registration.template import load_template

# What the heads below are made with: tilted, small, and far from the origin of the scanner.
MOVE = np.eye(4)
MOVE[:3, :3] = Rotation.from_euler("xyz", [-14, 6, -9], degrees=True).as_matrix() @ np.diag(
    [0.93, 0.9, 0.97]
)
MOVE[:3, 3] = 12, 35, -28


@pytest.fixture(scope="module")
def template():
    return load_template(None)


@pytest.fixture(scope="module")
def head(template):
    """The template with a scalp of another brightness, a neck, noise and a bias, moved away."""
    rng = np.random.default_rng(0)
    scalp = (template.distance > 8) & (template.distance <= 13)
    data = (template.brain + 1.4 * scalp).astype("float32")
    shape, spacing = (120, 140, 150), np.array([1.9, 2.0, 2.1])
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing)
    affine[:3, 3] = MOVE[:3, 3] - spacing * (np.array(shape) - 1) / 2 + [0, 0, -20]
    moved = resample_to_grid(template.like(data), shape, affine, transform=np.linalg.inv(MOVE))
    values = moved.get_fdata() * (1 + 0.3 * np.linspace(-1, 1, shape[1])[:, None])
    values += np.abs(rng.normal(0, 0.03, shape))
    values[50:75, 55:80, :30] += 0.8  # a neck
    return nibabel.Nifti1Image((values * 500).astype("float32"), affine)


@pytest.fixture(scope="module")
def aligned(head):
    return register_to_template(head)


@pytest.fixture
def few_starts(monkeypatch):
    """Fewer starts of the search: enough for what is upright."""
    monkeypatch.setattr(affine, "_PITCHES_DEG", (0.0,))
    monkeypatch.setattr(affine, "_LIFTS_MM", (0.0,))


def distance(one, other, template):
    """How far (mm) two transforms place the same points of the brain."""
    points = np.argwhere(template.mask[::4, ::4, ::4]) * 4
    points = points @ template.affine[:3, :3].T + template.affine[:3, 3]
    gap = one - other
    return np.linalg.norm(points @ gap[:3, :3].T + gap[:3, 3], axis=1)


def test_a_known_move_is_found_again(aligned, template):
    assert aligned.ok
    assert aligned.engine == "native"
    gaps = distance(aligned.transform, MOVE, template)
    assert gaps.mean() < 1.0
    assert gaps.max() < 2.0  # one voxel, at the outermost of the brain
    stretch = np.linalg.svd(MOVE[:3, :3])[1]
    assert aligned.quality["min_stretch"] == pytest.approx(stretch.min(), abs=0.02)
    assert aligned.quality["log_jacobian_max"] == pytest.approx(np.log(stretch).sum(), abs=0.06)
    assert aligned.quality["mask_dice"] > 0.95
    assert aligned.quality["fov_clipping"] == 0


def test_the_image_lies_on_the_grid_and_on_the_template(aligned, template):
    shape, affine = spm_grid()
    assert aligned.image.shape == aligned.brain.shape == shape
    np.testing.assert_array_equal(aligned.image.affine, affine)
    there = resample_to_grid(template.like(template.brain), shape, affine).get_fdata()
    inside = there > 0.2
    assert np.corrcoef(aligned.image.get_fdata()[inside], there[inside])[0, 1] > 0.8
    brain = aligned.brain.get_fdata() > 0
    assert 2 * (brain & (there > 0)).sum() / (brain.sum() + (there > 0).sum()) > 0.9


@pytest.mark.slow
def test_storage_changes_nothing(head, aligned, template):
    ornt = nibabel.orientations.axcodes2ornt(("P", "S", "L"))
    turned = head.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(head.affine), ornt)
    )
    other, _ = align(np.asarray(turned.dataobj), turned.affine, template)
    assert distance(other, aligned.transform, template).max() < 0.5


def test_the_rigid_part_turns_and_keeps_the_size(template):
    rigid = rigid_part(MOVE, template.centre)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rigid[:3, :3]) == pytest.approx(1)
    middle = np.append(template.centre, 1)
    np.testing.assert_allclose(rigid @ middle, MOVE @ middle)
    pure = rigid.copy()
    np.testing.assert_allclose(rigid_part(pure, template.centre), pure, atol=1e-12)


def test_a_scan_that_spm_normalised_stays_and_improves(shared_data, template, few_starts):
    path = next((shared_data / "mri" / "ixi_t1_mni").glob("wIXI492*.nii"))
    found = register_to_template(path)
    stored = measure(nibabel.load(path), None, template, None, None)
    assert found.ok
    assert found.quality["folds_correlation"] > stored["folds_correlation"]
    # Its brain is a few per cent smaller than the template; pose alone must stay.
    rigid = rigid_part(found.transform, template.centre)
    assert distance(rigid, np.eye(4), template).mean() < 2.0
    assert 0.9 < found.quality["min_stretch"] <= found.quality["max_stretch"] < 1.0


def test_the_sides_come_from_the_header_alone(shared_data):
    """No measure against a symmetric template could find a mirrored scan, so it must speak."""
    path = next((shared_data / "mri" / "ixi_t1_mni").glob("wIXI516*.nii"))
    scan = nibabel.load(path)
    unknown = nibabel.Nifti1Image(scan.get_fdata(dtype="float32"), scan.affine)
    unknown.header["sform_code"] = unknown.header["qform_code"] = 0
    with pytest.raises(GeometryError, match="where left is"):
        register_to_template(unknown)


@pytest.mark.slow
def test_what_is_no_head_is_refused():
    blob = np.exp(-((np.indices((25, 25, 25)) - 12.0) ** 2).sum(0) / 50)
    blob += np.random.default_rng(0).random((25, 25, 25))
    scan = nibabel.Nifti1Image(blob.astype("float32"), np.diag([8.0, 8, 8, 1]))
    with pytest.raises(GeometryError, match="the registration failed: the folds correlate"):
        register_to_template(scan)


def test_each_way_to_fail_has_its_words():
    good = {"folds_correlation": 0.6, "mask_dice": 0.95, "fov_clipping": 0.0,
            "min_stretch": 0.9, "max_stretch": 1.0}  # fmt: skip
    assert problems_of(good) == ()
    for change, word in (
        ({"folds_correlation": np.nan}, "folds"), ({"mask_dice": 0.5}, "masks"),
        ({"max_stretch": 1.6}, "stretched"), ({"min_stretch": 0.3}, "stretched"),
        ({"fov_clipping": 0.2}, "field of view"),
    ):  # fmt: skip
        assert [word in problem for problem in problems_of({**good, **change})] == [True]


def test_between_right_and_wrong_lies_doubt():
    good = {"folds_correlation": 0.6, "mask_dice": 0.95, "fov_clipping": 0.0,
            "min_stretch": 0.9, "max_stretch": 1.0}  # fmt: skip
    assert doubts_of(good) == ()
    for change, word in (({"folds_correlation": 0.34}, "folds"), ({"mask_dice": 0.85}, "masks")):
        odd = {**good, **change}
        assert problems_of(odd) == ()
        assert [word in doubt for doubt in doubts_of(odd)] == [True]
    assert doubts_of({**good, "folds_correlation": 0.1}) == ()  # that is wrong, not doubtful


def test_a_doubtful_registration_warns_and_a_wrong_one_raises(monkeypatch, template):
    """The scan is the template itself; only what the check says of it is made up."""
    monkeypatch.setattr(registration, "align", lambda *_: (np.eye(4), 1.0))
    scan = template.like(template.brain)
    assert register_to_template(scan).doubts == ()
    doubtful = {"folds_correlation": 0.33, "mask_dice": 0.95, "fov_clipping": 0.0,
                "min_stretch": 1.0, "max_stretch": 1.0}  # fmt: skip
    monkeypatch.setattr(registration, "measure", lambda *_: doubtful)
    with pytest.warns(DataWarning, match="doubtful, look at it: the folds correlate by 0.33"):
        found = register_to_template(scan)
    assert found.ok
    assert "doubtful" in repr(found)
    assert register_to_template(scan, on_failure="flag").doubts == found.doubts
    doubtful["folds_correlation"] = 0.2
    with pytest.raises(GeometryError, match=r"failed: the folds correlate by 0.20"):
        register_to_template(scan)


@pytest.mark.slow
def test_the_outline_of_the_head_is_not_taken_for_the_brain(shared_data, template):
    """Bright fat, dark brains: three of 23 such scans once swelled onto the scalp."""
    folder = shared_data / "mri" / "nichart_t1_23"
    for name in ("Subj3", "Subj5", "Subj7"):
        found = register_to_template(folder / "t1" / f"{name}_T1.nii.gz", on_failure="flag")
        labels = nibabel.load(folder / "dlmuse_seg" / f"{name}_T1_DLMUSE.nii.gz")
        brain = nibabel.Nifti1Image((labels.get_fdata() > 0).astype("float32"), labels.affine)
        onto = (template.brain.shape, template.affine)
        there = resample_to_grid(brain, *onto, transform=found.transform).get_fdata() > 0.5
        assert found.ok
        assert 2 * (there & template.mask).sum() / (there.sum() + template.mask.sum()) > 0.85


@pytest.mark.slow
def test_a_pose_alone_is_judged_with_the_size_that_was_found(shared_data):
    """A small head that was only turned has other folds than the template, and is right."""
    scan = shared_data / "mri" / "nichart_t1_23" / "t1" / "Subj6_T1.nii.gz"
    found = register_to_template(scan, method="rigid")
    assert found.ok
    assert found.quality["min_stretch"] == pytest.approx(1)
    assert found.quality["mask_dice"] < 0.9


def test_scans_that_cannot_be_read_as_heads_are_refused():
    good = np.random.default_rng(0).random((20, 20, 20)).astype("float32")
    broken = good.copy()
    broken[3, 3, 3] = np.inf
    with pytest.raises(FormatError, match="finite"):
        register_to_template(nibabel.Nifti1Image(broken, np.eye(4)))
    with pytest.raises(FormatError, match="constant"):
        register_to_template(nibabel.Nifti1Image(np.ones_like(good), np.eye(4)))
    with pytest.raises(GeometryError, match="three axes"):
        register_to_template(nibabel.Nifti1Image(np.stack([good] * 3, -1), np.eye(4)))
    scan = nibabel.Nifti1Image(good, np.eye(4))
    for wrong in ({"method": "warp"}, {"engine": "fsl"}, {"on_failure": "ignore"}):
        with pytest.raises(FormatError, match="expected"):
            register_to_template(scan, **wrong)
    with pytest.raises(FormatError, match="no method 'syn'"):
        register_to_template(scan, method="syn", engine="native")
    with pytest.raises(FormatError, match="without skull"):
        register_to_template(scan, template=scan)


# --- other engines ----------------------------------------------------------------------------

# Reads the batch as SPM does, and writes a scan as SPM would on its grid.
FAKE_SPM = """#!{python}
import re, sys
import nibabel, numpy as np
assert sys.argv[1] == "batch"
text = open(sys.argv[2]).read()
scan = re.search(r"subj.vol = .'(.*),1'", text).group(1)
low, high = (np.array(part.split(), float) for part in
             re.search(r"bb = \\[(.*); (.*)\\]", text).groups())
vox = float(re.search(r"vox = \\[(\\S+) ", text).group(1))
from scipy import ndimage
shape = np.floor((high - low) / vox + 0.5).astype(int) + 1
affine = np.diag([-vox, vox, vox, 1.0])
affine[:3, 3] = high[0], low[1], low[2]
image = nibabel.load(scan)
k = np.linalg.inv(image.affine) @ affine
data = ndimage.affine_transform(image.get_fdata(), k[:3, :3], k[:3, 3], output_shape=tuple(shape))
nibabel.save(nibabel.Nifti1Image(data.astype("float32"), affine), scan.replace("scan", "wscan"))
"""


def test_spm_runs_by_its_batch(tmp_path, monkeypatch, template):
    program = tmp_path / "spm12"
    program.write_text(FAKE_SPM.format(python=sys.executable))
    program.chmod(0o755)
    scan = template.like(template.brain)
    found = register_to_template(scan, engine="spm", spm=program)
    assert (found.engine, found.method, found.transform) == ("spm", "spm12", None)
    np.testing.assert_array_equal(found.image.affine, spm_grid()[1])
    assert found.quality["template_correlation"] > 0.99
    monkeypatch.setenv("SPM12_STANDALONE", str(program))
    fine = register_to_template(scan, engine="spm", spacing_mm=4, orientation="RAS")
    np.testing.assert_array_equal(fine.image.affine, spm_grid(4, "RAS")[1])


def test_an_spm_that_is_absent_or_fails_is_said(tmp_path, monkeypatch, head):
    monkeypatch.delenv("SPM12_STANDALONE", raising=False)
    with pytest.raises(MissingModalityError, match="SPM12_STANDALONE"):
        register_to_template(head, engine="spm")
    with pytest.raises(MissingModalityError, match="nowhere"):
        register_to_template(head, engine="spm", spm=tmp_path / "nowhere")
    broken = tmp_path / "spm12"
    broken.write_text("#!/bin/sh\necho no licence >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(FormatError, match=r"status 3 and no normalised scan.*no licence"):
        register_to_template(head, engine="spm", spm=broken)


def test_ants_that_is_absent_is_said(monkeypatch, head):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "ants" else real(n))
    with pytest.raises(MissingModalityError, match=r"precisionpain\[ants\]"):
        correct_bias(head)


@pytest.mark.slow
def test_ants_agrees_and_repeats(head, template):
    pytest.importorskip("ants")
    aligned = register_to_template(head)
    np.testing.assert_array_equal(aligned.transform, register_to_template(head).transform)
    found = register_to_template(head, engine="ants")
    assert found.engine == "ants"
    assert distance(found.transform, MOVE, template).mean() < 2.0
    again = register_to_template(head, engine="ants")
    np.testing.assert_array_equal(found.transform, again.transform)
    np.testing.assert_array_equal(found.image.dataobj, again.image.dataobj)


@pytest.mark.slow
def test_n4_takes_out_a_bias(template):
    pytest.importorskip("ants")
    shading = 1 + 0.4 * np.linspace(-1, 1, template.brain.shape[1])[:, None]
    scan = template.like(template.brain * shading * 100 + 1)
    inside = template.brain > 0.5
    flat = correct_bias(scan).get_fdata()
    before = (np.asarray(scan.dataobj) / template.brain.clip(1e-3))[inside]
    after = (flat / template.brain.clip(1e-3))[inside]
    assert after.std() / after.mean() < 0.5 * before.std() / before.mean()
