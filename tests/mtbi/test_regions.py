"""Regions in MNI space, and the test of their saliency against nulls."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import false_discovery_control

from precisionpain.errors import FormatError, GeometryError
from precisionpain.mtbi import PAIN_REGIONS, region_statistics, slab_coverage, sphere
from precisionpain.mtbi._saliency.masks import region_masks

SLAB = (30, 95, 79)
# From (depth, height, width) of the axial slab: x falls from 78, y rises from −112, z from −22.
AXIAL = np.array([[0.0, 0, -2, 78], [0, 2, 0, -112], [2, 0, 0, -22], [0, 0, 0, 1]])
SMALL = (6, 9, 8)
UNIT = np.eye(4)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def boxes():
    """Three boxes in a small slab, of 8, 24 and 60 voxels."""
    masks = np.zeros((3, *SMALL), dtype=bool)
    masks[0, :2, :2, :2] = True
    masks[1, 3:5, 2:6, 1:4] = True
    masks[2, 1:6, 6:9, 3:7] = True
    return dict(zip("abc", masks, strict=True))


# --- where they are -------------------------------------------------------------------------


def test_sphere_has_the_voxels_of_one():
    """7153 points of a lattice lie within 12 of one of them (OEIS A000605)."""
    fine = np.diag([0.5, 0.5, 0.5, 1.0])
    region = region_masks({"ball": sphere((10, 12, 11), 6)}, (50, 50, 50), fine)["ball"]
    assert region.mask.sum() == 7153
    assert region.share == 1


@pytest.mark.parametrize("off", [-3.0, 0.0, 2.0, 5.0])
def test_share_of_a_sphere_that_the_slab_cuts(off):
    """A spherical cap: the slab's lower face lies `off` mm below the centre."""
    slab_from = -22 - 1  # half a voxel below the centre of the first
    radius, height = 6.0, 6.0 + off
    expected = (np.pi * height**2 * (3 * radius - height) / 3) / (4 / 3 * np.pi * radius**3)
    region = region_masks({"ball": sphere((0, 0, slab_from + off), radius)}, SLAB, AXIAL)["ball"]
    assert region.share == pytest.approx(expected, abs=0.01)


def test_a_region_lies_on_its_side():
    regions = {"right": sphere((40, 0, 0), 8), "left": sphere((-40, 0, 0), 8)}
    masks = region_masks(regions, SLAB, AXIAL)
    for name, sign in (("right", 1), ("left", -1)):
        width = np.argwhere(masks[name].mask)[:, 2]
        assert (np.sign(78 - 2 * width) == sign).all()
    np.testing.assert_array_equal(masks["right"].mask, masks["left"].mask[:, :, ::-1])


@pytest.mark.parametrize("codes", ["LAS", "RAS", "PIR", "SRA"])
def test_orientation_of_the_file_changes_nothing(rng, codes):
    data = (gaussian_filter(rng.random((40, 44, 36)), 3) > 0.5).astype("uint8")
    affine = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -50], [0, 0, 2, -34], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(data, affine)
    start, end = (nibabel.orientations.axcodes2ornt(tuple(each)) for each in ("LAS", codes))
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(start, end))
    one, other = (region_masks({"m": each}, SLAB, AXIAL)["m"] for each in (image, turned))
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.share == pytest.approx(other.share)
    # The grids coincide, so each voxel is known.
    for depth, height, width in rng.integers((0, 31, 19), (25, 75, 59), (200, 3)):
        x, y, z = 78 - 2 * width, -112 + 2 * height, -22 + 2 * depth
        assert one.mask[depth, height, width] == data[(40 - x) // 2, (y + 50) // 2, (z + 34) // 2]


def test_labels_are_regions_of_their_own(rng, tmp_path):
    labels = rng.integers(0, 4, (20, 20, 20)).astype("int16")
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -20, -20, -20
    image = nibabel.Nifti1Image(labels, affine)
    image.to_filename(tmp_path / "atlas.nii.gz")
    apart = {
        name: nibabel.Nifti1Image((labels == number).astype("uint8"), affine)
        for number, name in enumerate("abc", start=1)
    }
    expected = region_masks(apart, SLAB, AXIAL)
    for atlas in (
        (image, ["a", "b", "c"]), (image, {1: "a", 2: "b", 3: "c"}),
        (tmp_path / "atlas.nii.gz", "abc"),
    ):  # fmt: skip
        found = region_masks(atlas, SLAB, AXIAL)
        for name in "abc":
            np.testing.assert_array_equal(found[name].mask, expected[name].mask)
            assert found[name].share == expected[name].share


def test_shares_are_those_of_the_coverage_report(shared_data):
    folder = shared_data / "mri" / "pain_rois"
    paths = {
        "PAG": folder / "spm5_pag.nii.gz", "vmPFC": folder / "VMPFC_right.nii.gz",
        "insula": folder / "SPM8_insula_ribbon_LR.nii.gz",
    }  # fmt: skip
    found = region_statistics(np.ones(SLAB), paths, AXIAL)
    expected = slab_coverage("axial", masks=paths)
    np.testing.assert_allclose(found["share"], expected["share"])
    # Voxels of the slab against those of the mask, by volume.
    volume = found["n_voxels"] * 8
    np.testing.assert_allclose(volume, expected["share"] * expected["volume_mm3"], rtol=0.05)


def test_packaged_regions_lie_in_published_masks(shared_data):
    """Masks of another laboratory; each centre is inside, and most of each ball but its rim."""
    folder = shared_data / "mri" / "pain_rois"
    files = {
        "insula": ["insula_liberal_no_operc.nii.gz"], "PAG": ["spm5_pag.nii.gz"],
        "vmPFC": ["VMPFC_left.nii.gz", "VMPFC_right.nii.gz"],
    }  # fmt: skip
    for name, ball in PAIN_REGIONS.items():
        own = region_masks({name: ball}, SLAB, AXIAL)[name]
        kind = name.split()[-1]
        masks = region_masks({each: folder / each for each in files[kind]}, SLAB, AXIAL)
        union = np.any([each.mask for each in masks.values()], axis=0)
        assert own.share == 1, name
        assert (own.mask & union).sum() / own.mask.sum() > 0.5, name
        x = 78 - 2 * np.argwhere(own.mask)[:, 2].mean()
        if name != "PAG":
            assert np.sign(x) == (1 if name.startswith("right") else -1)


# --- the test -------------------------------------------------------------------------------


def test_means_and_ranks(rng):
    map = rng.random(SMALL)
    table = region_statistics(map, boxes(), UNIT, relative=False)
    assert table.columns.tolist() == ["n_voxels", "share", "mean", "rank"]
    assert table["n_voxels"].tolist() == [8, 24, 60]
    expected = [map[mask].mean() for mask in boxes().values()]
    np.testing.assert_allclose(table["mean"], expected)
    assert table["rank"].tolist() == (1 + np.argsort(np.argsort(-np.array(expected)))).tolist()
    relative = region_statistics(map, boxes(), UNIT)
    np.testing.assert_allclose(relative["mean"], table["mean"] / map.mean())
    averaged = region_statistics(np.stack([map, 3 * map]), boxes(), UNIT, relative=False)
    np.testing.assert_allclose(averaged["mean"], 2 * table["mean"])


def draw(rng, n):
    """Smooth maps that are brighter in the middle, each of its own strength, as maps are."""
    centre = np.exp(-np.square(np.indices(SMALL).T - np.array([3, 4, 4])).sum(-1).T / 20)
    noise = gaussian_filter(rng.standard_normal((n, *SMALL)), (0, 1, 1, 1))
    maps = centre + noise
    maps -= maps.min(axis=(1, 2, 3), keepdims=True)
    return maps * rng.lognormal(0, 0.5, (n, 1, 1, 1))


@pytest.mark.parametrize(
    ("relative", "n_null", "repeats"),
    [
        (True, 39, 600), pytest.param(True, 119, 3000, marks=pytest.mark.slow),
        pytest.param(False, 119, 3000, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_type_one_error(rng, relative, n_null, repeats):
    """Observed maps that are one more draw of the null: 5% below 0.05, and 5% of families."""
    regions = boxes()
    p, q, family = (np.empty((repeats, 3)) for _ in range(3))
    for repeat in range(repeats):
        maps = draw(rng, 1 + n_null)
        table = region_statistics(maps[0], regions, UNIT, null_maps=maps[1:], relative=relative)
        p[repeat], q[repeat] = table["p_value"], table["q_value"]
        family[repeat] = table["p_family"]
    # 40 and 120 are multiples of 20, so that 0.05 can be met exactly.
    rate = (p <= 0.05).mean(axis=0)
    assert (np.abs(rate - 0.05) < 0.02).all(), rate
    np.testing.assert_allclose((p <= 0.5).mean(axis=0), 0.5, atol=0.06)
    assert (q <= 0.05).any(axis=1).mean() < 0.05 + 0.02
    # Exact over the whole family, also with few maps.
    assert (family <= 0.05).any(axis=1).mean() == pytest.approx(0.05, abs=0.02)


def test_a_bright_region_is_found(rng):
    maps = draw(rng, 200)
    observed = maps[0] / maps[0].mean()
    observed[boxes()["b"]] += 2
    table = region_statistics(observed, boxes(), UNIT, null_maps=maps[1:])
    assert table.columns.tolist() == [
        "n_voxels", "share", "mean", "null_mean", "z", "p_value", "q_value", "p_family", "rank",
    ]  # fmt: skip
    assert table.loc["b", "p_family"] == 1 / 200
    assert (table["p_family"] >= table["p_value"] - 1e-12).all()
    assert table.loc["b", "p_value"] == 1 / 200
    assert table.loc["b", "q_value"] == pytest.approx(3 / 200)
    assert table.loc["b", "z"] > 4
    assert table.loc["b", "rank"] == 1
    assert (table.loc[["a", "c"], "p_value"] > 0.05).all()
    np.testing.assert_allclose(table["q_value"], false_discovery_control(table["p_value"]))


def test_few_maps_can_show_one_region_of_many(rng):
    """Where a q-value can't, and the smallest p is corrected already."""
    regions = {f"r{k}": sphere((k % 6, k // 6 * 2 + 1, 3), 0.5) for k in range(12)}
    maps = draw(rng, 21)
    observed = maps[0] / maps[0].mean()
    observed[3, 3, 3] += 50
    table = region_statistics(observed, regions, UNIT, null_maps=maps[1:])
    assert table.loc["r9", "p_family"] == pytest.approx(1 / 21)
    assert table.loc["r9", "q_value"] > 0.05
    assert (table["p_family"].drop("r9") > 0.05).all()


def test_strength_of_a_map_does_not_count(rng):
    maps = draw(rng, 50)
    table = region_statistics(maps[0], boxes(), UNIT, null_maps=maps[1:])
    factors = rng.lognormal(0, 2, (49, 1, 1, 1))
    again = region_statistics(5 * maps[0], boxes(), UNIT, null_maps=factors * maps[1:])
    np.testing.assert_allclose(again.astype(float), table.astype(float))


def test_several_nulls_side_by_side(rng):
    maps = draw(rng, 41)
    nulls = {"permuted labels": maps[1:21], "random weights": maps[21:]}
    table = region_statistics(maps[0], boxes(), UNIT, null_maps=nulls)
    assert table.index.names == ["null", "region"]
    for kind, each in nulls.items():
        alone = region_statistics(maps[0], boxes(), UNIT, null_maps=each)
        np.testing.assert_allclose(table.loc[kind].astype(float), alone.astype(float))


def test_a_region_outside_is_not_counted(rng):
    maps = draw(rng, 40)
    regions = {"far": sphere((50, 50, 50), 2), "here": sphere((3, 4, 4), 1.5)}
    table = region_statistics(maps[0], regions, UNIT, null_maps=maps[1:])
    assert (table.loc["far", "n_voxels"], table.loc["far", "share"]) == (0, 0)
    assert table.loc["far", ["mean", "p_value", "q_value", "rank"]].isna().all()
    assert table.loc["here", "q_value"] == table.loc["here", "p_value"]
    assert table.loc["here", "p_family"] == pytest.approx(table.loc["here", "p_value"])


def test_only_the_brain_counts(rng):
    map = rng.random(SMALL)
    brain = np.zeros(SMALL, dtype=bool)
    brain[1:5, 1:8, 1:7] = True
    table = region_statistics(map, boxes(), UNIT, within=brain)
    expected = [map[mask & brain].mean() / map[brain].mean() for mask in boxes().values()]
    np.testing.assert_allclose(table["mean"], expected)


def test_order_of_regions_changes_no_row(rng):
    maps = draw(rng, 40)
    table = region_statistics(maps[0], boxes(), UNIT, null_maps=maps[1:])
    for order in itertools.permutations("abc"):
        turned = {name: boxes()[name] for name in order}
        again = region_statistics(maps[0], turned, UNIT, null_maps=maps[1:])
        assert again.index.tolist() == list(order)
        np.testing.assert_allclose(again.loc[table.index].astype(float), table.astype(float))


def test_refusals(rng):
    maps = rng.random((3, *SMALL))
    with pytest.raises(FormatError, match="expected null maps of shape"):
        region_statistics(maps[0], boxes(), UNIT, null_maps=maps[:, 1:])
    with pytest.raises(FormatError, match="not finite"):
        region_statistics(np.full(SMALL, np.nan), boxes(), UNIT)
    with pytest.raises(FormatError, match="relative=False"):
        region_statistics(-maps[0], boxes(), UNIT)
    with pytest.raises(FormatError, match="at least one region"):
        region_statistics(maps[0], {}, UNIT)
    with pytest.raises(FormatError, match="the mask is empty"):
        region_statistics(maps[0], {"none": np.zeros(SMALL)}, UNIT)
    atlas = nibabel.Nifti1Image(np.ones((3, 3, 3), dtype="uint8"), UNIT)
    with pytest.raises(FormatError, match=r"no voxel of 'b'"):
        region_statistics(maps[0], (atlas, ["a", "b"]), UNIT)
    with pytest.raises(GeometryError, match="maps' shape"):
        region_statistics(maps[0], {"a": np.ones((2, 2, 2))}, UNIT)
    with pytest.raises(GeometryError, match="4×4"):
        region_statistics(maps[0], boxes(), np.eye(3))
    with pytest.raises(GeometryError, match="not invertible"):
        region_statistics(maps[0], boxes(), np.zeros((4, 4)))
    with pytest.raises(FormatError, match="radius above 0"):
        sphere((0, 0, 0), 0)
    with pytest.raises(FormatError, match="three numbers"):
        sphere((0, 0), 3)
