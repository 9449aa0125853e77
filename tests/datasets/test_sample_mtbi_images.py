"""Scans of the synthetic mTBI cohort: same people, brains on the grid, effects where planted."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_mni152_template
from scipy import ndimage

import precisionpain as pp
from precisionpain.datasets import _mtbi_brains
from precisionpain.datasets._mtbi_brains import Effect, simulate_brain
from precisionpain.datasets._mtbi_images import as_effect
from precisionpain.errors import FormatError, StorageError
from precisionpain.mtbi import PAIN_REGIONS, slab

INSULA = PAIN_REGIONS["right anterior insula"].center_mm
COARSE = {"spacing_mm": 4.0}
EFFECT = {"region": "insula_right", "size": 0.25}
GRID = np.array([[-2.0, 0, 0, 78], [0, 2, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1]])
SHAPE = (79, 95, 79)
PLAIN = {"snr": 1000, "bend_mm": 0.0, "bias": 0.0, "folding": 0.0, "aging": 0.0, "head": False}


def sample(root: Path, n_subjects: int = 12, **changes) -> pp.Cohort:
    options = {"images": COARSE, "effect": EFFECT, "root": root, "progress": False, **changes}
    return pp.datasets.sample_mtbi(n_subjects, 5, **options)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> pp.Cohort:
    return sample(tmp_path_factory.mktemp("bids") / "tree")


@pytest.fixture(scope="module")
def template() -> np.ndarray:
    """The brain of the template on the grid of SPM12, by nilearn."""
    from nilearn.image import resample_img

    image = resample_img(
        load_mni152_template(resolution=1), GRID, SHAPE, copy_header=True, force_resample=True
    )
    return image.get_fdata()


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    """A scan with the default options."""
    return simulate_brain(np.random.default_rng(3), SHAPE, GRID, age=37).voxels.astype(float)


def at(mm, affine=GRID) -> tuple[int, ...]:
    place = np.linalg.solve(affine, [*mm, 1])[:3]
    return tuple(int(v) for v in np.rint(place))


# --- the people ---------------------------------------------------------------------------


def test_the_people_are_those_of_the_sample_without_images(cohort):
    plain = pp.datasets.sample_mtbi(12, 5)
    pd.testing.assert_frame_equal(cohort.subjects, plain.subjects)
    pd.testing.assert_frame_equal(cohort.visits, plain.visits)
    pd.testing.assert_frame_equal(
        cohort.measurements["pain_ratings"], plain.measurements["pain_ratings"]
    )
    assert cohort.synthetic
    assert set(cohort.predictors) == set(plain.predictors)
    json.dumps(cohort.meta)
    assert "McConnell Brain Imaging" in " ".join(cohort.meta["sources"])


def test_everybody_has_one_scan_and_where_the_region_lies(cohort):
    for contrast in ("T1w", "dseg"):
        images = cohort.images[cohort.images["contrast"] == contrast]
        assert images["subject_id"].tolist() == list(cohort.subject_ids)
        assert (images["visit"] == "baseline").all()
        assert images["present"].all()
    truth = cohort.measurements["effect_truth"].set_index("subject_id")
    chronic = cohort.outcome("chronic_pain").astype(bool)
    assert (truth["planted"] == chronic.reindex(truth.index)).all()
    places = truth[["x_mm", "y_mm", "z_mm"]].to_numpy()
    assert np.linalg.norm(places - np.array(INSULA), axis=1).max() < 10
    assert np.linalg.norm(places.mean(axis=0) - np.array(INSULA)) < 2.5
    ball = 4 / 3 * np.pi * 10**3
    assert truth["volume_mm3"].between(0.6 * ball, 1.6 * ball).all()
    for person in cohort:
        labels = person.image("dseg")
        found = np.argwhere(np.asarray(labels.dataobj) == 1).mean(axis=0)
        center = nibabel.affines.apply_affine(labels.affine, found)
        stated = truth.loc[person.id, ["x_mm", "y_mm", "z_mm"]].to_numpy(dtype=float)
        np.testing.assert_allclose(center, stated, atol=0.01)


def test_the_tree_reads_as_a_cohort_of_the_same_people(cohort):
    root = Path(cohort.meta["images"]["root"])
    read = pp.read_cohort(root, columns=root / "code" / "columns.json", derivatives=["truth"])
    assert [name.removeprefix("sub-") for name in read.subject_ids] == list(cohort.subject_ids)
    assert read.subjects["age"].tolist() == cohort.subjects["age"].tolist()
    assert set(read.predictors) == set(cohort.predictors)
    assert sorted(read.images["contrast"].unique()) == ["T1w", "dseg"]
    assert json.loads((root / "dataset_description.json").read_text())["Synthetic"] is True
    assert "appear in all copies" in (root / "README").read_text()


def test_scans_are_resumed_and_repeat_bit_for_bit(cohort, tmp_path):
    again = sample(tmp_path / "again")
    first = {Path(p).name: Path(p).read_bytes() for p in cohort.images["path"]}
    paths = again.images["path"].map(Path)
    assert {p.name: p.read_bytes() for p in paths} == first
    kept, lost = paths.iloc[0], paths.iloc[2]
    when = kept.stat().st_mtime_ns
    lost.unlink()
    assert {Path(p).name: Path(p).read_bytes() for p in sample(tmp_path / "again").images["path"]}
    assert kept.stat().st_mtime_ns == when
    assert lost.read_bytes() == first[lost.name]
    with pytest.raises(StorageError, match="other arguments"):
        sample(tmp_path / "again", effect={**EFFECT, "size": 0.5})


# --- the brains ---------------------------------------------------------------------------


def test_the_grid_is_that_of_spm12(tmp_path):
    cohort = sample(tmp_path / "tree", 8, images=True, effect=None)
    image = cohort.subject("M00001").image("T1w")
    assert image.shape == SHAPE
    np.testing.assert_array_equal(image.affine, GRID)
    assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")
    assert image.get_data_dtype() == np.int16
    assert int(image.header["sform_code"]) == 4  # MNI
    assert slab(image, "axial").shape == (30, 95, 79)
    assert "effect_truth" not in cohort.measurements
    assert set(cohort.images["contrast"]) == {"T1w"}


def test_a_plain_brain_is_the_template_stretched(template):
    brain = simulate_brain(np.random.default_rng(0), SHAPE, GRID, age=36.6, **PLAIN)
    voxels = brain.voxels / np.percentile(brain.voxels[template > 0.5], 90)
    # What is at `scale` times a place of the template is seen there.
    scaled = ndimage.affine_transform(
        template, 1 / np.array(brain.scale),
        offset=(np.linalg.solve(GRID, [0, 0, 0, 1])[:3] * (1 - 1 / np.array(brain.scale))),
        order=1,
    )  # fmt: skip
    inside = scaled > 0.3
    assert np.corrcoef(voxels[inside], scaled[inside])[0, 1] > 0.98
    assert (brain.voxels[scaled == 0] < 0.02 * brain.voxels.max()).mean() > 0.97


def test_the_two_insulae_lie_on_their_sides():
    for name, sign in (("insula_right", 1), ("insula_left", -1)):
        ball = as_effect({"region": name})
        effect = Effect(tuple(ball["center_mm"]), 10.0, 0.25, "brightness")
        region = simulate_brain(np.random.default_rng(0), SHAPE, GRID, age=40, effect=effect).region
        right = np.argwhere(region) @ GRID[0, :3] + GRID[0, 3]
        assert (sign * right > 20).all()


def test_people_differ_as_normalised_brains_do(whole, template):
    other = simulate_brain(np.random.default_rng(4), SHAPE, GRID, age=37).voxels.astype(float)
    inside = template > 0.3
    assert 0.6 < np.corrcoef(whole[inside], template[inside])[0, 1] < 0.97
    assert 0.4 < np.corrcoef(whole[inside], other[inside])[0, 1] < 0.95


def test_tissues_are_brighter_from_fluid_to_white_matter(whole, template):
    core = ndimage.binary_erosion(template > 0.8, iterations=1)
    fluid = (template > 0.15) & (template < 0.35)
    gray = (template > 0.6) & (template < 0.7)
    assert whole[fluid].mean() < 0.75 * whole[gray].mean() < 0.75 * whole[core].mean()
    far = ndimage.distance_transform_edt(template == 0) * 2 > 22
    assert whole[far].mean() < 0.15 * whole[core].mean()


def test_bends_never_fold():
    """Control points as far apart as they may be: the map keeps a positive Jacobian."""
    rng = np.random.default_rng(0)
    axes = [np.arange(n) * GRID[k, k] + GRID[k, 3] for k, n in enumerate(SHAPE)]
    spacing = _mtbi_brains._LATTICE_MM
    limit = _mtbi_brains._FOLDLESS * spacing
    lattice = _mtbi_brains._lattice(axes, spacing)
    bend = [
        _mtbi_brains._spline(limit * rng.choice([-1.0, 1.0], lattice), axes, spacing)
        for _ in range(3)
    ]
    steps = np.diag(GRID)[:3]
    jacobian = np.stack([
        np.stack([np.gradient(bend[i], steps[j], axis=j) + (i == j) for j in range(3)], axis=-1)
        for i in range(3)
    ], axis=-2)  # fmt: skip
    assert np.linalg.det(jacobian).min() > 0


def test_the_spline_is_scipys():
    """A cubic spline through the same control points, at the same places."""
    from scipy.interpolate import BSpline

    axis = np.linspace(78, -78, 79)
    control = np.random.default_rng(0).normal(size=_mtbi_brains._lattice([axis], 24.0))
    knots = 24.0 * np.arange(-3, len(control) + 1) - 24.0 + 24.0
    expected = BSpline(knots, control, 3)(np.abs(axis - axis[0]))
    np.testing.assert_allclose(_mtbi_brains._spline(control, [axis], 24.0), expected, atol=1e-5)


def test_ventricles_widen_with_age():
    def fluid(age: float) -> float:
        options = PLAIN | {"aging": 1}
        scan = simulate_brain(np.random.default_rng(2), SHAPE, GRID, age=age, **options)
        i, j, k = at((0, -15, 14))
        box = scan.voxels[i - 10 : i + 10, j - 15 : j + 15, k - 7 : k + 7]
        return float((box < 0.5 * np.percentile(scan.voxels, 99)).mean())

    young, middle, old = (fluid(age) for age in (20, 40, 66))
    assert young < middle < old


# --- the effect ---------------------------------------------------------------------------


def pair(effect: Effect, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scan one person without the effect and with it; the region comes third."""
    without, planted = (
        simulate_brain(
            np.random.default_rng(1), SHAPE, GRID, age=40, effect=effect, planted=one, **options
        )
        for one in (False, True)
    )
    np.testing.assert_array_equal(without.region, planted.region)
    return without.voxels.astype(float), planted.voxels.astype(float), planted.region > 0


def test_the_effect_brightens_its_region_in_the_right_hemisphere_and_nothing_else():
    before, after, region = pair(Effect(INSULA, 10.0, 0.25, "brightness"), snr=1000)
    ratio = after[region].sum() / before[region].sum()
    # The mean of 2 ** -(r / radius) ** 2 over the ball is 0.65: between a half and all of it.
    assert 1 + 0.25 * 0.55 < ratio < 1 + 0.25 * 0.75
    bright = before > 0.2 * before.max()
    change = np.where(bright, after / np.maximum(before, 1) - 1, 0)
    assert change.max() == pytest.approx(0.25, abs=0.03)
    away = ndimage.distance_transform_edt(~region) * 2 > 20
    assert np.abs(change[away]).max() < 0.01
    right = np.argwhere(region) @ GRID[0, :3] + GRID[0, 3]
    assert right.min() > 20


def test_a_thicker_region_keeps_its_brightness_and_pushes_its_surroundings():
    ball = Effect(INSULA, 10.0, 0.25, "thickness")
    before, after, region = pair(ball, **PLAIN)
    assert after[region].mean() == pytest.approx(before[region].mean(), rel=0.1)
    assert np.abs(after - before)[region].mean() > 0.02 * before[region].mean()
    away = ndimage.distance_transform_edt(~region) * 2 > 24
    assert np.abs(after - before)[away].max() < 0.01 * before.max()


def test_enlarging_magnifies_by_the_share_it_says():
    center = np.array([3.0, -4.0, 5.0])
    points = center[:, None] + np.array([[-0.1, 0.1], [0, 0], [0, 0]])
    seen = _mtbi_brains._enlarged(points.astype(np.float32), center, 10.0, 0.25)
    assert (points[0, 1] - points[0, 0]) / (seen[0, 1] - seen[0, 0]) == pytest.approx(
        1.25, rel=1e-3
    )


def test_without_an_effect_the_scan_tells_nothing(tmp_path):
    """The same person with another outcome would have the same scan."""
    cohort = sample(tmp_path / "null", effect={**EFFECT, "size": 0.0})
    plain = sample(tmp_path / "plain", effect=None)
    for person in plain:
        np.testing.assert_array_equal(
            person.image("T1w").get_fdata(), cohort.subject(person.id).image("T1w").get_fdata()
        )


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"colour": "red"}}, "unknown option 'colour'"),
        ({"images": {"snr": 0}}, "snr lies between"),
        ({"images": {"spacing_mm": True}}, "spacing_mm lies between"),
        ({"images": {"head": 1}}, "head is True or False"),
        ({"effect": {"region": "spleen"}}, "found 'spleen'"),
        ({"effect": {"strength": 1}}, "unknown key 'strength'"),
        ({"effect": {"kind": "colour"}}, "kind: an effect is one of"),
        ({"effect": {"size": 3}}, "size lies between"),
        ({"effect": {"center_mm": (1, 2)}}, "x, y and z in mm"),
        ({"effect": {"center_mm": (500, 0, 0)}}, "outside the grid"),
    ],
)
def test_refusals_say_what_is_allowed(changes, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        sample(tmp_path / "tree", 8, **changes)
