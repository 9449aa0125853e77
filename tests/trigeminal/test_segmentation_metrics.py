"""Agreement of label images: closed forms, brute force, invariances, empty classes, bad input."""

from __future__ import annotations

import time

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.distance import cdist

from precisionpain.errors import AlignmentError, FormatError, GeometryError
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.segmentation_metrics import (
    SEGMENTATION_CLASSES,
    evaluate_segmentation,
    summarize_segmentation,
)

WHOLE = {"it": 1}
SYMMETRIC = ["dice", "cldice", "hd95_mm", "asd_mm", "nsd"]


def image(data, spacing=(1.0, 1.0, 1.0), turn=None):
    affine = np.diag([*spacing, 1.0])
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    return nibabel.Nifti1Image(np.asarray(data), affine)


def ball(radius, spacing, centre=(0.0, 0.0, 0.0), half=10.0):
    axes = [np.arange(-half, half + s / 2, s) for s in spacing]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2
    return inside.astype(np.uint8)


def box(low, high, shape=(16, 14, 12)):
    data = np.zeros(shape, dtype=np.uint8)
    data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return data


def one(pred, truth, spacing=(1.0, 1.0, 1.0), **options):
    table = evaluate_segmentation(
        image(pred, spacing), image(truth, spacing), labels=WHOLE, **options
    )
    return table.loc["it"]


def surface(mask):
    """Return the voxels that have a face in common with what is outside, by plain loops."""
    found = []
    for voxel in np.argwhere(mask):
        for axis in range(3):
            for step in (-1, 1):
                next_to = voxel.copy()
                next_to[axis] += step
                outside = not 0 <= next_to[axis] < mask.shape[axis]
                if outside or not mask[tuple(next_to)]:
                    found.append(tuple(voxel))
    return np.array(sorted(set(found)), dtype=float)


def brute_force(pred, truth, spacing, tolerance, percentile):
    a, b = surface(pred) * spacing, surface(truth) * spacing
    distance = cdist(a, b)
    there, back = distance.min(axis=1), distance.min(axis=0)
    both = np.r_[there, back]
    return {
        "hd95_mm": max(np.percentile(there, percentile), np.percentile(back, percentile)),
        "asd_mm": both.mean(),
        "nsd": (both <= tolerance).mean(),
        "dice": 2 * (pred & truth).sum() / (pred.sum() + truth.sum()),
    }


# Closed forms


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.4, 0.5, 0.8)])
def test_concentric_balls(spacing):
    row = one(ball(6.0, spacing), ball(7.5, spacing), spacing, tolerance_mm=0.5)
    a, b = 6.0**3, 7.5**3
    assert row["dice"] == pytest.approx(2 * a / (a + b), abs=0.01)
    assert row["volume_error_percent"] == pytest.approx(100 * (a / b - 1), abs=1.5)
    assert row["volume_truth_mm3"] == pytest.approx(4 / 3 * np.pi * b, rel=0.01)
    # Surface voxels lie up to a voxel inside the sphere.
    assert row["asd_mm"] == pytest.approx(1.5, abs=max(spacing) / 2)
    assert row["hd95_mm"] == pytest.approx(1.5, abs=max(spacing))
    assert row["nsd"] < 0.01
    assert one(ball(6.0, spacing), ball(7.5, spacing), spacing, tolerance_mm=2.5)["nsd"] == 1


def test_distant_balls_have_the_distance_of_their_nearest_points():
    spacing = (0.5, 0.5, 0.5)
    row = one(
        ball(2.0, spacing, (-5, 0, 0)), ball(2.0, spacing, (5, 0, 0)), spacing, hd_percentile=100
    )
    # From the far pole of one, at -7, to the near pole of the other, at 3.
    assert row["hd95_mm"] == pytest.approx(10.0, abs=1e-4)
    assert row[["dice", "cldice", "nsd"]].tolist() == [0, 0, 0]
    assert 6 < row["asd_mm"] < 10


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shift_by_one_voxel_is_one_voxel_in_mm(axis):
    spacing = (0.4, 0.5, 0.9)
    truth = box((3, 3, 3), (11, 9, 9))
    pred = np.roll(truth, 1, axis)
    row = one(pred, truth, spacing, tolerance_mm=spacing[axis], hd_percentile=100)
    length = [8, 6, 6][axis]
    assert row["dice"] == pytest.approx((length - 1) / length)
    assert row["hd95_mm"] == pytest.approx(spacing[axis], abs=1e-6)
    assert row["nsd"] == 1  # a distance of the tolerance counts
    assert row["volume_error_percent"] == 0
    assert one(pred, truth, spacing, tolerance_mm=0.99 * spacing[axis])["nsd"] < 1


def test_tolerance_holds_on_an_oblique_grid_of_any_rounding():
    truth = box((3, 3, 3), (11, 9, 9))
    pred = np.roll(truth, 1, 0)
    for angle in np.linspace(0.1, 0.7, 7):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        pair = [image(m, (0.5, 0.5, 0.5), turn) for m in (pred, truth)]
        assert evaluate_segmentation(*pair, labels=WHOLE).loc["it", "nsd"] == 1


def test_perfect_segmentation():
    row = one(*[ball(5, (1, 1, 1))] * 2)
    assert row[["dice", "cldice", "nsd"]].tolist() == [1, 1, 1]
    assert row[["hd95_mm", "asd_mm", "volume_error_percent"]].tolist() == [0, 0, 0]
    assert row["note"] == ""
    assert row["present"]


# Centre lines


def tube(start, stop, radius=3, at=(8, 8), shape=(17, 17, 40)):
    x, y, z = np.indices(shape)
    inside = (x - at[0]) ** 2 + (y - at[1]) ** 2 <= radius**2
    return (inside & (z >= start) & (z < stop)).astype(np.uint8)


def test_cldice_ignores_calibre_and_sees_length():
    whole = tube(4, 36)
    assert one(tube(4, 36, radius=2), whole)["cldice"] == pytest.approx(1)
    assert one(tube(4, 36, radius=2), whole)["dice"] < 0.7
    # Half the tube: all of its line is right, half of the truth's is found.
    assert one(tube(4, 20), whole)["cldice"] == pytest.approx(2 / 3, abs=0.05)
    beside = tube(4, 36, radius=2, at=(4, 4))
    assert one(beside, tube(4, 36, radius=2, at=(11, 11)))["cldice"] == 0


@pytest.mark.parametrize("width", [2, 4, 6])
def test_cldice_of_solid_bars_that_thinning_peels_to_nothing(width):
    from skimage.morphology import skeletonize

    bar = box((3, 3, 3), (3 + width, 3 + width, 17), shape=(14, 14, 20))
    assert skeletonize(bar.astype(bool)).sum() == 0  # why it is tested
    assert one(bar, bar)["cldice"] == 1
    half = box((3, 3, 3), (3 + width, 3 + width, 10), shape=(14, 14, 20))
    assert one(half, bar)["cldice"] == pytest.approx(2 / 3, abs=0.12)


def test_cldice_counts_a_lost_bar_beside_a_tube_that_thins():
    both = tube(4, 36, at=(8, 12), shape=(17, 17, 40))
    both[2:4, 2:4, 5:30] = 1
    assert one(tube(4, 36, at=(8, 12)), both)["cldice"] < 0.85


# Brute force


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), percentile=st.sampled_from([50, 95, 100]))
def test_against_brute_force(seed, percentile):
    rng = np.random.default_rng(seed)
    shape, spacing = rng.integers(2, 8, 3), rng.uniform(0.3, 2, 3)
    pred, truth = (rng.random(shape) < rng.uniform(0.1, 0.9) for _ in range(2))
    if not (pred.any() and truth.any()):
        return
    tolerance = rng.uniform(0, 2)
    row = one(
        pred.astype(np.int16),
        truth.astype(np.int16),
        spacing,
        tolerance_mm=tolerance,
        hd_percentile=percentile,
    )
    expected = brute_force(pred, truth, spacing, tolerance + 1e-4, percentile)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_real_hippocampus(shared_data):
    path = shared_data / "mri" / "hippocampus_seg" / "labels" / "hippocampus_001.nii.gz"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}")
    truth = nibabel.load(path)
    data = np.asanyarray(truth.dataobj)
    pred = nibabel.Nifti1Image(np.roll(data, 1, axis=1), truth.affine)
    classes = {"anterior": 1, "posterior": 2, "whole": (1, 2)}
    table = evaluate_segmentation(pred, path, labels=classes)
    spacing = np.linalg.norm(truth.affine[:3, :3], axis=0)
    for name, values in classes.items():
        p, t = np.isin(pred.dataobj, values), np.isin(data, values)
        assert t.any()
        for metric, value in brute_force(p, t, spacing, 0.5001, 95).items():
            assert table.loc[name, metric] == pytest.approx(value, rel=1e-5), (name, metric)


# Invariances


def head(seed=0, shape=(30, 24, 20)):
    """Return a label image with all classes, each a few boxes."""
    rng = np.random.default_rng(seed)
    data = np.zeros(shape, dtype=np.uint8)
    data[8:22, 4:14, 3:17] = Label.BRAINSTEM
    for label in list(Label)[2:]:
        low = rng.integers(1, 8, 3) + np.array([0, 6, 4])
        low[0] += 18 if label in (Label.NERVE_RIGHT, Label.VEIN) else 0
        data[tuple(slice(a, a + n) for a, n in zip(low, (3, 5, 4), strict=True))] = label
    return data


def test_swapping_prediction_and_truth():
    a, b = image(head(0), (0.4, 0.5, 0.8)), image(head(1), (0.4, 0.5, 0.8))
    there, back = evaluate_segmentation(a, b), evaluate_segmentation(b, a)
    pd.testing.assert_frame_equal(there[SYMMETRIC], back[SYMMETRIC], rtol=1e-12)
    ratio = (1 + there["volume_error_percent"] / 100) * (1 + back["volume_error_percent"] / 100)
    assert np.allclose(ratio, 1)


@pytest.mark.parametrize("codes", ["LPS", "SAR", "ILA", "PSL"])
def test_stored_order_and_direction_of_axes_do_not_matter(codes):
    pred, truth = image(head(0), (0.4, 0.5, 0.8)), image(head(1), (0.4, 0.5, 0.8))
    turn = ornt_transform(io_orientation(pred.affine), axcodes2ornt(tuple(codes)))
    turned = pred.as_reoriented(turn)
    assert turned.shape != pred.shape or codes == "LPS"
    expected = evaluate_segmentation(pred, truth)
    pd.testing.assert_frame_equal(evaluate_segmentation(turned, truth), expected)
    both = evaluate_segmentation(turned, truth.as_reoriented(turn))
    pd.testing.assert_frame_equal(both, expected)


def test_anatomical_mirror_swaps_the_nerves():
    pred, truth = head(0), head(1)
    swap = np.array([0, 1, 3, 2, 4, 5], dtype=np.uint8)
    there = evaluate_segmentation(image(pred), image(truth))
    mirrored = evaluate_segmentation(image(swap[pred[::-1]]), image(swap[truth[::-1]]))
    names = ["dice", "hd95_mm", "asd_mm", "nsd", "volume_mm3"]
    for left, right in (("nerve_left", "nerve_right"), ("nerve", "nerve"), ("vein", "vein")):
        assert np.allclose(there.loc[left, names], mirrored.loc[right, names].astype(float))


def test_padding_changes_nothing():
    a, b = head(0), head(1)
    wide = [image(np.pad(m, ((3, 9), (0, 5), (7, 0)))) for m in (a, b)]
    pd.testing.assert_frame_equal(
        evaluate_segmentation(*wide), evaluate_segmentation(image(a), image(b))
    )


def test_scale_of_the_voxels():
    small = evaluate_segmentation(image(head(0)), image(head(1)), tolerance_mm=1)
    large = evaluate_segmentation(
        *[image(head(s), (3.0, 3.0, 3.0)) for s in (0, 1)], tolerance_mm=3
    )
    assert np.allclose(small[["dice", "cldice", "nsd"]], large[["dice", "cldice", "nsd"]])
    assert np.allclose(3 * small[["hd95_mm", "asd_mm"]], large[["hd95_mm", "asd_mm"]])
    assert np.allclose(27 * small["volume_mm3"], large["volume_mm3"])


# Classes


def test_default_classes_pool_sides_and_kinds():
    pred, truth = head(0), head(1)
    table = evaluate_segmentation(image(pred), image(truth))
    assert table.index.tolist() == list(SEGMENTATION_CLASSES)
    # Artery taken for vein is right as a vessel, left for right as a nerve.
    swap = np.array([0, 1, 3, 2, 5, 4], dtype=np.uint8)
    other = evaluate_segmentation(image(swap[truth]), image(truth))
    assert other.loc[["nerve", "vessel", "brainstem"], "dice"].tolist() == [1, 1, 1]
    assert other.loc[["nerve_left", "nerve_right", "artery", "vein"], "dice"].max() == 0
    assert table.loc["nerve", "n_voxels"] == ((pred == 2) | (pred == 3)).sum()


def test_own_classes_leave_other_values_out():
    data = np.zeros((8, 8, 8))
    data[1:4], data[5:7] = 17, 2035
    table = evaluate_segmentation(
        image(data), image(data), labels={"a": 17, "both": (17, 2035), "none": np.int64(5)}
    )
    assert table["n_voxels"].tolist() == [3 * 64, 5 * 64, 0]


def test_class_absent_from_both():
    row = one(box((0, 0, 0), (0, 0, 0)), box((0, 0, 0), (0, 0, 0)))
    assert row[[*SYMMETRIC, "volume_error_percent"]].isna().all()
    assert (row["note"], row["present"], row["volume_mm3"]) == ("absent from both", False, 0)


@pytest.mark.parametrize("missed", [True, False])
def test_class_in_one_image_has_the_worst_values(missed):
    there, nothing = box((2, 2, 2), (6, 6, 6)), box((0, 0, 0), (0, 0, 0))
    row = one(nothing, there) if missed else one(there, nothing)
    assert row[["dice", "cldice", "nsd"]].tolist() == [0, 0, 0]
    assert row[["hd95_mm", "asd_mm"]].tolist() == [np.inf, np.inf]
    assert row["volume_error_percent"] == (-100 if missed else np.inf)
    assert row["note"].startswith("not found" if missed else "invented")
    assert row["present"] == missed


# Many scans


def test_mappings_are_paired_by_key():
    truth = {"p1": image(head(0)), "p2": image(head(1)), ("p3", "fu"): image(head(2))}
    shuffled = {key: truth[key] for key in reversed(truth)}
    table = evaluate_segmentation(shuffled, truth)
    assert (table["dice"] == 1).all()
    assert table.index.names == ["scan", "class"]
    assert table.xs("nerve", level="class").index.tolist() == list(shuffled)


def test_sequences_have_numbers_as_keys():
    scans = [image(head(0)), image(head(1))]
    table = evaluate_segmentation(scans, tuple(scans))
    assert table.index.get_level_values("scan").unique().tolist() == [0, 1]
    single = evaluate_segmentation(scans[1], scans[1])
    pd.testing.assert_frame_equal(table.loc[1], single)


def test_paths(tmp_path):
    nibabel.save(image(head(0)), tmp_path / "pred.nii.gz")
    table = evaluate_segmentation(tmp_path / "pred.nii.gz", image(head(0)))
    assert (table["dice"] == 1).all()


# Bad input


def test_grid_mismatch():
    good = image(head(0))
    with pytest.raises(GeometryError, match="resample"):
        evaluate_segmentation(image(head(0)[:-1]), good)
    off = nibabel.Nifti1Image(head(0), np.diag([1, 1, 1, 1]) + np.eye(4, k=3) * 0.3)
    with pytest.raises(GeometryError, match=r"0\.30 mm"):
        evaluate_segmentation(off, good)
    with pytest.raises(GeometryError):
        evaluate_segmentation(image(head(0), (1, 1, 1.2)), good)
    sheared = nibabel.Nifti1Image(head(0), np.eye(4) + 0.3 * np.eye(4, k=1))
    with pytest.raises(GeometryError, match="right angles"):
        evaluate_segmentation(sheared, sheared)


def test_what_is_no_label_image():
    good = image(head(0))
    with pytest.raises(FormatError, match="3-D label image, found 4-D"):
        evaluate_segmentation(good, image(head(0)[..., None]))
    with pytest.raises(FormatError, match=r"prediction: unknown labels: 9.*4 artery"):
        evaluate_segmentation(image(np.where(head(0) == 1, 9, 0).astype(np.uint8)), good)
    with pytest.raises(FormatError, match="affine"):
        evaluate_segmentation(head(0), good)
    for strange, match in ((0.5, r"found 0\.5"), (np.nan, "found nan"), (np.inf, "found inf")):
        data = head(0).astype(float)
        data[3, 3, 3] = strange
        with pytest.raises(FormatError):
            evaluate_segmentation(image(data), good)
        with pytest.raises(FormatError, match=match):
            evaluate_segmentation(image(data), good, labels={"stem": 1})
    with pytest.raises(FormatError, match="complex"):
        evaluate_segmentation(good, image(head(0).astype(complex)), labels={"stem": 1})


def test_whole_numbers_as_floats_are_labels():
    table = evaluate_segmentation(image(head(0).astype(np.float32)), image(head(0)))
    assert (table["dice"] == 1).all()


def test_scans_that_do_not_match():
    good = image(head(0))
    with pytest.raises(AlignmentError, match="no truth for scan 'p2'"):
        evaluate_segmentation({"p1": good, "p2": good}, {"p1": good})
    with pytest.raises(AlignmentError, match="no prediction for scan 'p2'"):
        evaluate_segmentation({"p1": good}, {"p1": good, "p2": good})
    with pytest.raises(AlignmentError, match="2 and 1"):
        evaluate_segmentation([good, good], [good])
    with pytest.raises(AlignmentError, match="mapping and image"):
        evaluate_segmentation({"p1": good}, good)
    with pytest.raises(FormatError, match="no scans"):
        evaluate_segmentation([], [])
    with pytest.raises(FormatError, match="prediction of scan 'p1'"):
        evaluate_segmentation({"p1": image(head(0)[..., None])}, {"p1": good})


@pytest.mark.parametrize(
    "labels", [{}, {"a": 0}, {"a": (1, 0)}, {"a": ()}, {"a": 1.5}, {"a": "1"}, ["a"], {"a": [[1]]}]
)
def test_bad_classes(labels):
    with pytest.raises(FormatError, match="labels"):
        evaluate_segmentation(image(head(0)), image(head(0)), labels=labels)


@pytest.mark.parametrize(
    "options",
    [{"tolerance_mm": t} for t in (-1, np.nan, np.inf)]
    + [{"hd_percentile": p} for p in (0, 101, np.nan)],
)
def test_bad_options(options):
    with pytest.raises(FormatError, match="expected"):
        evaluate_segmentation(image(head(0)), image(head(0)), **options)


# Summary


def made_up(dice, **columns):
    """Return the table of one class with the given values, one scan each."""
    n = len(dice)
    plain = dict.fromkeys(("cldice", "hd95_mm", "asd_mm", "nsd", "volume_error_percent"), np.nan)
    counts = {"n_voxels": 1, "n_voxels_truth": 1, "n_voxels_shared": 1, "note": ""}
    index = pd.MultiIndex.from_product([range(n), ["nerve"]], names=["scan", "class"])
    return pd.DataFrame(plain | counts | {"dice": dice} | columns, index=index)


def test_summary_by_hand():
    table = made_up(
        [0.5, 0.8, 0.0, np.nan],
        n_voxels=[10, 30, 0, 0],
        n_voxels_truth=[10, 10, 20, 0],
        n_voxels_shared=[5, 16, 0, 0],
        hd95_mm=[1.0, 3.0, np.inf, np.nan],
        note=["", "", "not found: only in the truth", "absent from both"],
    )
    summary = summarize_segmentation(table, n_bootstrap=200)
    dice, far = summary.loc[("nerve", "dice")], summary.loc[("nerve", "hd95_mm")]
    assert dice["mean"] == pytest.approx(1.3 / 3)
    assert dice["median"] == 0.5
    assert dice["pooled"] == pytest.approx(2 * 21 / 80)
    assert dice[["n", "n_missing", "n_not_found", "n_invented"]].tolist() == [3, 1, 1, 0]
    assert dice["low"] < dice["mean"] < dice["high"]
    # A mean with a nerve that was not found says so; the median stands.
    assert far["mean"] == np.inf
    assert far["median"] == 3
    assert far[["low", "high", "pooled"]].isna().all()
    assert summary.loc[("nerve", "nsd"), "n"] == 0


def test_summary_of_images():
    scans = {key: image(head(key)) for key in range(4)}
    table = evaluate_segmentation({k: scans[(k + 1) % 4] for k in scans}, scans)
    summary = summarize_segmentation(table, n_bootstrap=100)
    assert summary.index.names == ["class", "metric"]
    for name, own in table.groupby(level="class"):
        assert summary.loc[(name, "dice"), "mean"] == pytest.approx(own["dice"].mean())
        sums = own[["n_voxels", "n_voxels_truth", "n_voxels_shared"]].sum()
        pooled = 2 * sums.iloc[2] / (sums.iloc[0] + sums.iloc[1])
        assert summary.loc[(name, "dice"), "pooled"] == pytest.approx(pooled)
    single = summarize_segmentation(evaluate_segmentation(scans[0], scans[1]), n_bootstrap=100)
    assert single["low"].isna().all()
    assert (single["n"] == 1).all()


def test_interval_agrees_with_a_plain_bootstrap():
    dice = np.random.default_rng(3).beta(8, 2, 30)
    found = summarize_segmentation(made_up(dice), n_bootstrap=4000, level=0.9)
    found = found.loc[("nerve", "dice")]
    rng = np.random.default_rng(9)
    means = dice[rng.integers(0, 30, (20000, 30))].mean(axis=1)
    assert [found["low"], found["high"]] == pytest.approx(
        np.quantile(means, [0.05, 0.95]), abs=4e-3
    )


def test_scans_of_a_subject_are_drawn_together():
    dice = np.random.default_rng(4).beta(8, 2, 12)
    alone = summarize_segmentation(made_up(dice), n_bootstrap=500)
    repeated = made_up(np.repeat(dice, 5))
    who = {scan: ("s", scan // 5) for scan in range(60)}
    together = summarize_segmentation(repeated, subjects=who, n_bootstrap=500)
    ends = ["mean", "low", "high"]
    assert np.allclose(
        together.loc[("nerve", "dice"), ends].tolist(), alone.loc[("nerve", "dice"), ends].tolist()
    )
    naive = summarize_segmentation(repeated, n_bootstrap=500).loc[("nerve", "dice")]
    wide = together.loc[("nerve", "dice")]
    assert naive["high"] - naive["low"] < 0.7 * (wide["high"] - wide["low"])
    one_person = summarize_segmentation(repeated, subjects=dict.fromkeys(who, "s"))
    assert np.isnan(one_person.loc[("nerve", "dice"), "low"])


def test_coverage_of_the_interval():
    """The percentile interval of a mean of 40 holds the truth nearly as often as it says."""
    rng, truth, held = np.random.default_rng(5), 8 / 10, 0
    for seed in range(200):
        table = made_up(rng.beta(8, 2, 40))
        row = summarize_segmentation(table, n_bootstrap=300, random_state=seed).iloc[0]
        held += row["low"] <= truth <= row["high"]
    assert 0.89 <= held / 200 <= 0.99


def test_summary_repeats_with_its_seed():
    table = made_up(np.random.default_rng(6).random(10))
    first = summarize_segmentation(table, random_state=1, n_bootstrap=100)
    pd.testing.assert_frame_equal(
        first, summarize_segmentation(table, random_state=1, n_bootstrap=100)
    )
    rng = np.random.default_rng(1)
    assert not first.equals(summarize_segmentation(table, random_state=rng, n_bootstrap=100))


def test_bad_summaries():
    table = made_up([0.5, 0.6])
    with pytest.raises(FormatError, match="evaluate_segmentation"):
        summarize_segmentation(table.drop(columns="dice"))
    with pytest.raises(FormatError, match="evaluate_segmentation"):
        summarize_segmentation(table.reset_index())
    with pytest.raises(FormatError, match="evaluate_segmentation"):
        summarize_segmentation(table.iloc[:0])
    with pytest.raises(FormatError, match="level"):
        summarize_segmentation(table, level=95)
    with pytest.raises(FormatError, match="replicates"):
        summarize_segmentation(table, n_bootstrap=1)
    with pytest.raises(AlignmentError, match="no subject for scan 1"):
        summarize_segmentation(table, subjects={0: "a"})
    with pytest.raises(FormatError, match="no scans"):
        summarize_segmentation(table.droplevel("scan"), subjects={0: "a"})


def test_speed():
    """One scan of 120 x 88 x 72 voxels, all classes, in less than 2 s of a core."""
    x, y, z = np.indices((120, 88, 72))
    data = np.zeros((120, 88, 72), dtype=np.uint8)
    data[(x - 60) ** 2 + (y - 25) ** 2 + (z - 36) ** 2 < 27**2] = Label.BRAINSTEM
    lines = zip(list(Label)[2:], (30, 90, 60, 75), (70, 70, 62, 80), strict=True)
    for label, cx, cy in lines:
        data[(x - cx - z // 6) ** 2 + (y - cy) ** 2 < 9] = label
    pair = [image(d, (0.5, 0.5, 0.5)) for d in (np.roll(data, 1, 0), data)]
    evaluate_segmentation(*pair)  # imports
    start = time.process_time()
    evaluate_segmentation(*pair)
    assert time.process_time() - start < 2
