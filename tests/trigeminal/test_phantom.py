"""The synthetic cistern as a user meets it: images, fractions, overrides, partners."""

from __future__ import annotations

import json

import numpy as np
import pytest

from precisionpain.errors import FormatError, GeometryError
from precisionpain.trigeminal import Label
from precisionpain.trigeminal._phantom import raster
from precisionpain.trigeminal._phantom.anatomy import SideParts, _draw_one, sample_scene
from precisionpain.trigeminal._phantom.parameters import draw_shared, read_overrides
from precisionpain.trigeminal._phantom.raster import class_fractions, grid_of, solids
from precisionpain.trigeminal._phantom.shapes import Ellipsoid
from precisionpain.trigeminal._phantom.surroundings import basilar_artery
from precisionpain.trigeminal._phantom.tissue import Tissue
from precisionpain.trigeminal._phantom.truth import measure_side
from precisionpain.trigeminal.morphometry import MEASURES
from precisionpain.trigeminal.phantom import Cistern, simulate_cistern

SIDES = ("left", "right")
QUICK = {"spacing": 1.0, "oversample": 2}


@pytest.fixture(scope="module")
def cistern() -> Cistern:
    return simulate_cistern(11, compression={"left": "indented", "right": "displaced"})


def nerve_volumes(cistern: Cistern) -> np.ndarray:
    voxel = abs(np.linalg.det(cistern.labels.affine[:3, :3]))
    shares = np.asarray(cistern.fractions.dataobj)
    return shares[..., [Label.NERVE_LEFT, Label.NERVE_RIGHT]].sum(axis=(0, 1, 2)) * voxel


def test_images_share_a_grid_and_a_type(cistern):
    assert cistern.image.shape == cistern.labels.shape == cistern.fractions.shape[:3]
    assert cistern.image.get_data_dtype() == np.float32
    assert cistern.labels.get_data_dtype() == np.uint8
    assert cistern.fractions.get_data_dtype() == np.float32
    assert cistern.fractions.shape[3] == len(Label)
    assert np.allclose(cistern.image.affine, cistern.labels.affine)
    assert np.allclose(np.linalg.norm(cistern.labels.affine[:3, :3], axis=0), 0.5)
    assert cistern.synthetic


def test_fractions_sum_to_one_and_labels_are_the_largest(cistern):
    shares = np.asarray(cistern.fractions.dataobj)
    labels = np.asarray(cistern.labels.dataobj)
    assert np.allclose(shares.sum(axis=-1), 1, atol=1e-6)
    assert shares.min() >= 0
    chosen = np.take_along_axis(shares, labels[..., None].astype(int), axis=-1)[..., 0]
    assert np.array_equal(chosen, shares.max(axis=-1))
    tied = (shares[..., 0] == shares.max(axis=-1)) & (shares[..., 1:].max(axis=-1) == chosen)
    assert not np.any(labels[tied] == Label.BACKGROUND)


def test_left_is_negative_x(cistern):
    labels = np.asarray(cistern.labels.dataobj)
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        ijk = np.argwhere(labels == Label.nerve(side))
        x = ijk @ cistern.labels.affine[0, :3] + cistern.labels.affine[0, 3]
        assert np.all(sign * x > 5)


@pytest.mark.parametrize(
    ("seed", "spacing", "rotation"),
    [
        (1, 0.5, (0, 0, 0)),
        (2, (0.4, 0.4, 1.0), (8, -10, 6)),
        (3, 0.7, (0, 15, 0)),
        (4, 0.35, (-12, 0, 9)),
    ],
)
def test_fractions_hold_the_volume_of_the_nerve(seed, spacing, rotation):
    c = simulate_cistern(seed, spacing=spacing, rotation_deg=rotation)
    assert nerve_volumes(c) == pytest.approx(c.truth["volume_mm3"].to_numpy(), rel=5e-3)


def test_surface_voxels_are_all_found(monkeypatch):
    scene = sample_scene(
        np.random.default_rng(6), *read_overrides({"compression": "indented", "plaque": False})
    )
    shape, affine = grid_of(
        scene, (1.1, 0.9, 1.3), (50.0, 30.0, 24.0), (9.0, -7.0, 4.0), np.zeros(3)
    )
    monkeypatch.setattr(raster, "FINER", 1)
    shares = class_fractions(scene, affine, shape, oversample=2)
    # Every sub-sample of every voxel, each shape searched afresh.
    ijk = np.stack(np.unravel_index(np.arange(np.prod(shape)), tuple(shape)), axis=1)
    counts = np.zeros((len(ijk), len(Tissue)))
    for offset in raster._spread_points(8):
        points = (ijk + offset) @ affine[:3, :3].T + affine[:3, 3]
        owner = np.zeros(len(points), dtype=int)
        for tissue, solid in solids(scene):
            owner[solid.sdf(points)[0] < 0] = tissue
        counts[np.arange(len(points)), owner] += 1 / 8
    differ = np.abs(shares.reshape(counts.shape) - counts).max(axis=1) > 1e-6
    # Points within rounding of a surface may fall on either side of it.
    assert differ.sum() <= 3


def test_a_mirrored_anatomy_has_mirrored_truth_and_labels():
    drawn: dict[str, tuple[SideParts, list, dict]] = {}
    shared = draw_shared(np.random.default_rng(0), {}) | {"basilar_offset_mm": 0.0}
    pons = Ellipsoid(np.zeros(3), np.array(shared["pons_radii_mm"]))
    for side in SIDES:
        sides: dict = {}
        vessels = [basilar_artery(shared, pons)]
        fixed = {"compression": "indented", "petrosal_vein": True}
        _draw_one(np.random.default_rng(4), side, fixed, shared, pons, sides, vessels)
        drawn[side] = sides[side], vessels, measure_side(sides[side], pons, vessels)[0]
    left, right = drawn["left"], drawn["right"]
    mirror = np.array([-1.0, 1.0, 1.0])
    assert np.allclose(left[0].nerve.curve.points * mirror, right[0].nerve.curve.points)
    for name in MEASURES:
        if name in ("vessel", "n_contacts", "sindou_grade"):
            assert left[2][name] == right[2][name]
        else:
            assert left[2][name] == pytest.approx(right[2][name], rel=1e-3, abs=1e-6), name
    axis = np.arange(-24, 24.01, 0.8)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = [drawn[side][0].nerve.sdf(grid)[0].reshape((len(axis),) * 3) < 0 for side in SIDES]
    assert inside[0].sum() > 30
    assert np.array_equal(inside[0][::-1], inside[1])


def test_same_seed_same_cistern_and_another_is_another():
    first, again, other = (simulate_cistern(s, **QUICK) for s in (5, 5, 6))
    assert np.array_equal(first.image.dataobj, again.image.dataobj)
    assert np.array_equal(first.labels.affine, again.labels.affine)
    assert first.truth.equals(again.truth)
    assert first.anatomy == again.anatomy
    assert not first.truth.equals(other.truth)


def test_what_was_drawn_is_recorded_in_plain_types(cistern):
    text = json.dumps(cistern.anatomy), json.dumps(cistern.scan)
    assert json.loads(text[0])["left"]["compression"] == "indented"
    assert "(synthetic)" in repr(cistern)
    assert tuple(cistern.truth.columns[: len(MEASURES)]) == MEASURES
    assert cistern.truth.index.tolist() == list(SIDES)
    assert cistern.truth.index.name == "side"


def test_profile_agrees_with_the_truth(cistern):
    for side, own in cistern.profile.groupby("side"):
        truth = cistern.truth.loc[side]
        assert own["s_mm"].iloc[0] == pytest.approx(0, abs=1e-9)
        assert own["s_mm"].iloc[-1] == pytest.approx(truth["length_mm"])
        area = own["area_mm2"].to_numpy()
        assert np.trapezoid(area, own["s_mm"]) / truth["length_mm"] == pytest.approx(
            truth["mean_area_mm2"], rel=1e-9
        )
        assert area.min() == truth["min_area_mm2"]
        assert (area <= own["undented_area_mm2"] + 1e-9).all()
        assert (own["major_mm"] >= own["minor_mm"]).all()


@pytest.mark.parametrize("seed", range(4))
def test_no_compression(seed):
    truth = simulate_cistern(seed, compression="none", **QUICK).truth
    assert not (truth["gap_mm"] <= 0.5).any()
    assert (truth[["contact_area_mm2", "displacement_mm", "indentation_mm"]].abs() < 1e-6).all(
        axis=None
    )
    assert (truth["sindou_grade"] == 0).all()


@pytest.mark.parametrize("gap", [0.0, 0.2, 0.4])
def test_contact_has_its_gap(gap):
    truth = simulate_cistern(1, gap_mm=gap, **QUICK).truth
    assert truth["gap_mm"].to_numpy() == pytest.approx([gap, gap], abs=2e-3)
    assert (truth["sindou_grade"] == 1).all()
    assert (truth["contact_area_mm2"] > 0).all()
    assert (truth["displacement_mm"] < 1e-6).all()


@pytest.mark.parametrize("displacement", [0.3, 1.0, 2.5])
def test_displacement_is_what_was_asked_for(displacement):
    truth = simulate_cistern(2, displacement_mm=displacement, gap_mm=0.1, **QUICK).truth
    # Against a bent course the nearest point of it may be a little closer.
    assert truth["displacement_mm"].to_numpy() == pytest.approx([displacement] * 2, rel=0.02)
    assert truth["gap_mm"].to_numpy() == pytest.approx([0.1, 0.1], abs=2e-3)
    assert (truth["sindou_grade"] == 2).all()


@pytest.mark.parametrize("indentation", [0.2, 0.5, 0.8])
def test_indentation_is_what_was_asked_for(indentation):
    truth = simulate_cistern(3, indentation_mm=indentation, gap_mm=0.05, **QUICK).truth
    assert truth["indentation_mm"].to_numpy() == pytest.approx([indentation] * 2, abs=0.02)
    assert truth["gap_mm"].to_numpy() == pytest.approx([0.05, 0.05], abs=0.02)
    assert (truth["sindou_grade"] == 3).all()
    assert (truth["area_loss_percent"] > 1).all()


def test_overrides_by_side_are_honoured():
    c = simulate_cistern(
        0,
        length_mm={"left": 9, "right": 11},
        angle_deg=40,
        vessel={"left": "sca"},
        vessel_diameter_mm={"left": 1.5},
        crossing_angle_deg={"left": 75},
        gap_mm={"left": 0.3},
        compression={"right": "none"},
        second_vessel=False,
        curvature_per_mm=0.05,
        taper=0,
        semi_major_mm=1.8,
        semi_minor_mm=1.2,
        atrophy={"left": 0.5, "right": 0},
        **QUICK,
    )
    truth = c.truth
    assert truth["length_mm"].to_numpy() == pytest.approx([9, 11], abs=1e-4)
    assert truth["angle_deg"].to_numpy() == pytest.approx([40, 40], abs=1e-6)
    assert truth["curvature_per_mm"].to_numpy() == pytest.approx([0.05, 0.05], rel=0.02)
    assert truth.loc["left", "vessel"] == "artery"
    assert truth.loc["left", "vessel_diameter_mm"] == pytest.approx(1.5, rel=0.05)
    assert truth.loc["left", "crossing_angle_deg"] == pytest.approx(75, abs=2)
    area = np.pi * 1.8 * 1.2
    assert truth["mean_area_mm2"].to_numpy() == pytest.approx([area / 2, area], rel=1e-4)
    assert c.anatomy["left"]["length_mm"] == 9


def test_distance_between_the_nerves():
    scene = sample_scene(
        np.random.default_rng(1),
        *read_overrides({"nerve_distance_mm": 33.0, "compression": "none"}),
    )
    x = []
    for parts in scene.sides.values():
        s = parts.course.s
        x.append(np.interp(s[-1] / 2, s, parts.course.points[:, 0]))
    assert x[1] - x[0] == pytest.approx(33, abs=1e-4)


def test_without_a_vessel_nothing_is_near():
    c = simulate_cistern(0, vessel=None, petrosal_vein=False, **QUICK)
    assert c.truth["gap_mm"].isna().all()
    assert c.truth["vessel"].isna().all()
    assert c.truth["crossing_angle_deg"].isna().all()


@pytest.mark.parametrize("seed", range(3))
def test_vessels_touch_only_what_they_should(seed):
    scene = sample_scene(np.random.default_rng(seed), *read_overrides({}))
    for i, vessel in enumerate(scene.vessels):
        points, radius = vessel.tube.curve.points, vessel.tube.radius
        assert (scene.pons.sdf(points)[0] - radius).min() > 0
        for parts in scene.sides.values():
            value, _ = parts.nerve.sdf(points)
            assert value.min() > 0
        for other in scene.vessels[:i]:
            if {"sca", "basilar"} != {vessel.name, other.name}:
                assert (other.tube.sdf(points)[0] - radius).min() > 0


def test_rescan_keeps_the_anatomy(cistern):
    again = cistern.rescan(0, spacing=0.8, contrast="space", snr=None, appearance={"bias": 0})
    assert again.truth.equals(cistern.truth)
    assert again.anatomy == cistern.anatomy
    assert not np.allclose(again.labels.affine[:3, :3] / 0.8, cistern.labels.affine[:3, :3] / 0.5)
    assert nerve_volumes(again) == pytest.approx(cistern.truth["volume_mm3"].to_numpy(), rel=0.01)
    assert again.scan["contrast"] == "space"


def test_decompression(cistern):
    after = cistern.decompressed(0)
    before = cistern.truth
    assert (after.truth["gap_mm"] > 1.4).all()
    assert (after.truth["contact_area_mm2"] == 0).all()
    assert (after.truth["displacement_mm"] < 1e-6).all()
    assert (after.truth["sindou_grade"] == 0).all()
    dent = after.anatomy["left"]["decompression"]["indentation_left_mm"]
    assert after.truth.loc["left", "indentation_mm"] == pytest.approx(dent, abs=0.02)
    assert 0 < dent < before.loc["left", "indentation_mm"]
    assert (after.tissue_fractions()[..., Tissue.TEFLON].sum() * 0.125) > 1
    assert "decompression" not in cistern.anatomy["left"]
    with pytest.raises(GeometryError, match="no compressed nerve"):
        after.decompressed(0)


def test_tissues_and_directions(cistern):
    tissues = cistern.tissue_fractions()
    shares = np.asarray(cistern.fractions.dataobj)
    assert np.array_equal(tissues[..., Tissue.ARTERY], shares[..., Label.ARTERY])
    assert np.allclose(tissues.sum(axis=-1), 1, atol=1e-6)
    direction = cistern.nerve_direction()
    length = np.linalg.norm(direction, axis=-1)
    nerve = (shares[..., Label.NERVE_LEFT] + shares[..., Label.NERVE_RIGHT]) > 0
    assert np.allclose(length[nerve], 1, atol=1e-5)
    # Nerves run forward from the pons.
    assert (direction[nerve][:, 1] > 0).all()


def test_distractors_are_background():
    c = simulate_cistern(0, tumour="left", plaque=True, **QUICK)
    tissues = c.tissue_fractions()
    labels = np.asarray(c.labels.dataobj)
    for tissue in (Tissue.TUMOUR, Tissue.CN78, Tissue.CAVE, Tissue.BONE):
        full = tissues[..., tissue] == 1
        assert full.any(), tissue
        assert (labels[full] == Label.BACKGROUND).all()
    plaque = tissues[..., Tissue.PLAQUE] > 0.5
    assert plaque.any()
    assert (labels[plaque] == Label.BRAINSTEM).all()


@pytest.mark.parametrize(
    ("anatomy", "match"),
    [
        ({"lenght_mm": 9}, "known are length_mm"),
        ({"length_mm": 40}, "from 7 to 15"),
        ({"length_mm": "long"}, "expected a number"),
        ({"length_mm": {"middle": 9}}, "'left' and 'right'"),
        ({"vessel": "pica"}, "expected one of 'sca'"),
        ({"compression": "none", "gap_mm": 0.2}, "above 0.5 mm"),
        ({"compression": "contact", "gap_mm": 1.0}, "from 0 to 0.5"),
        ({"vessel": None, "compression": "contact"}, "nothing to compress"),
        ({"vessel": "aica", "vessel_diameter_mm": 2.2}, "0.5 to 1.4"),
        ({"vessel_diameter_mm": 0.6, "indentation_mm": 0.9}, "can't indent"),
        ({"semi_major_mm": 1.0, "semi_minor_mm": 1.4}, "larger than"),
        ({"tumour": "middle"}, "expected one of 'left'"),
        ({"appearance": {"fog": 1}}, "known are"),
        ({"oversample": 0}, "whole number"),
        ({"contrast": "t1"}, "contrast"),
    ],
)
def test_bad_requests_name_what_is_known(anatomy, match):
    with pytest.raises(FormatError, match=match):
        simulate_cistern(0, **{"spacing": 2.0, **anatomy})


@pytest.mark.parametrize(
    "grid", [{"spacing": 0}, {"spacing": (0.5, 0.5)}, {"fov_mm": (1, 1, 1)}, {"rotation_deg": 5}]
)
def test_bad_grids(grid):
    with pytest.raises(GeometryError):
        simulate_cistern(0, **grid)


def test_an_anatomy_that_cannot_be_says_so():
    with pytest.raises(GeometryError, match="no anatomy was found"):
        simulate_cistern(0, spacing=2.0, displacement_mm=3.0, length_mm=7.0, curvature_per_mm=0.08)
