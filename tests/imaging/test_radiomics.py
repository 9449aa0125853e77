"""Radiomics where the truth can be worked out by hand, and what it refuses."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from precisionpain.errors import DataWarning, FormatError, GeometryError
from precisionpain.imaging._radiomics.intensity import PEAK_RADIUS
from precisionpain.imaging._radiomics.morphology import (
    _ellipsoid_size,
    _enclosing_axes,
    _oriented_box,
)
from precisionpain.imaging.radiomics import radiomics, radiomics_table

CUBIC = (1.0, 1.0, 1.0)
TEXTURE = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")


def line(*levels: int) -> np.ndarray:
    """Voxels in a row, so that only one direction has neighbours."""
    return np.array(levels).reshape(-1, 1, 1)


def of_line(*levels: int, **options):
    image = line(*levels)
    return radiomics(
        image, np.ones_like(image), spacing=CUBIC, discretisation=None, features="all", **options
    )


@pytest.fixture(scope="module")
def blob():
    """An image of noise and an irregular mask, as arrays."""
    rng = np.random.default_rng(5)
    x, y, z = np.mgrid[-6:7, -5:6, -4:5]
    mask = (x / 5.5) ** 2 + (y / 4.2) ** 2 + (z / 3.1) ** 2 + rng.uniform(0, 0.4, x.shape) <= 1
    return rng.normal(100, 20, x.shape), mask


def everything(image, mask, **options):
    options = {"spacing": CUBIC, "features": "all", **options}
    return radiomics(image, mask, **options)


# --- texture by hand ------------------------------------------------------------------------


def test_cooccurrence_by_hand():
    # Pairs 1-2, 2-2, 2-1: each of (1, 2), (2, 1) and (2, 2) has probability 1/3.
    values = of_line(1, 2, 2, 1, families="glcm")
    assert values["cm_joint_maximum"] == pytest.approx(1 / 3)
    assert values["cm_joint_average"] == pytest.approx(5 / 3)
    assert values["cm_joint_variance"] == pytest.approx(2 / 9)
    assert values["cm_joint_entropy"] == pytest.approx(np.log2(3))
    assert values["cm_contrast"] == pytest.approx(2 / 3)
    assert values["cm_correlation"] == pytest.approx(-0.5)
    assert values["cm_autocorrelation"] == pytest.approx(8 / 3)
    assert values["cm_inverse_variance"] == pytest.approx(2 / 3)
    assert values["cm_sum_entropy"] == pytest.approx(np.log2(3) - 2 / 3)


def test_runs_by_hand():
    # Along the row: runs 1, 22, 1; in the twelve other directions every voxel is a run.
    values = of_line(1, 2, 2, 1, families="glrlm", aggregation="3d_averaged")
    assert values["rlm_run_percentage"] == pytest.approx((12 * 1 + 3 / 4) / 13)
    assert values["rlm_long_runs_emphasis"] == pytest.approx((12 * 1 + (1 + 4 + 1) / 3) / 13)
    merged = of_line(1, 2, 2, 1, families="glrlm", aggregation="3d_merged")
    assert merged["rlm_run_percentage"] == pytest.approx((12 * 4 + 3) / (13 * 4))
    assert merged["rlm_long_runs_emphasis"] == pytest.approx((12 * 4 + 1 + 4 + 1) / (12 * 4 + 3))


def test_zones_by_hand():
    values = of_line(1, 2, 2, 1, families=("glszm", "gldzm"))
    assert values["szm_small_zone_emphasis"] == pytest.approx((1 + 1 / 4 + 1) / 3)
    assert values["szm_zone_percentage"] == pytest.approx(3 / 4)
    assert values["szm_zone_size_variance"] == pytest.approx(2 / 9)
    assert values["dzm_large_distance_emphasis"] == 1  # every voxel lies on the edge


def test_distance_of_a_zone_is_that_of_its_nearest_voxel():
    levels = np.ones((5, 5, 5), dtype=int)
    levels[2, 2, 2] = 2
    values = radiomics(
        levels, np.ones_like(levels), spacing=CUBIC, discretisation=None, families="gldzm",
        features="all",
    )  # fmt: skip
    # Two zones: the shell at distance 1, and the centre, three steps from outside.
    assert values["dzm_large_distance_emphasis"] == pytest.approx((1 + 9) / 2)


def test_tone_by_hand():
    # Differences to the mean of the neighbours: 1, 1/2, 1/2, 1.
    values = of_line(1, 2, 2, 1, families="ngtdm")
    assert values["ngt_coarseness"] == pytest.approx(1 / 1.5)
    assert values["ngt_contrast"] == pytest.approx(0.25 * 3 / 4)
    assert values["ngt_busyness"] == pytest.approx(1.5)
    assert values["ngt_complexity"] == pytest.approx(0.75)
    assert values["ngt_strength"] == pytest.approx(2 / 3)


def test_dependence_by_hand():
    # Alike neighbours, and oneself: 1, 2, 2, 1.
    values = of_line(1, 2, 2, 1, families="ngldm")
    assert values["ngl_low_dependence_emphasis"] == pytest.approx((1 + 1 / 4) / 2)
    assert values["ngl_dependence_count_entropy"] == pytest.approx(1)
    coarse = of_line(1, 2, 2, 1, families="ngldm", dependence_coarseness=1)
    assert coarse["ngl_low_dependence_emphasis"] == pytest.approx((1 / 4 + 1 / 9) / 2)


def test_cooccurrence_at_distance_two(blob):
    image, mask = blob
    levels = np.digitize(image, [80, 100, 120]) + 1
    values = radiomics(
        levels, mask, spacing=CUBIC, discretisation=None, families="glcm", distances=(2,)
    )
    voxels = {tuple(voxel): levels[tuple(voxel)] for voxel in np.argwhere(mask)}
    squares = [
        float(level - voxels[other]) ** 2
        for voxel, level in voxels.items()
        for shift in np.ndindex(5, 5, 5)
        if max(abs(s - 2) for s in shift) == 2
        and (other := tuple(v + s - 2 for v, s in zip(voxel, shift, strict=True))) in voxels
    ]
    everything_ = radiomics(
        levels, mask, spacing=CUBIC, discretisation=None, families="glcm", distances=(2,),
        features=["cm_contrast"],
    )  # fmt: skip
    assert everything_["cm_contrast"] == pytest.approx(np.mean(squares))
    assert "cm_joint_entropy" in values


def test_many_levels_are_counted_alike(blob):
    """Sorting, for matrices too large for a table, gives what the table gives."""
    from precisionpain.imaging._radiomics import grid

    image, mask = blob
    first = everything(image, mask, families=TEXTURE, aggregation="2d_averaged")
    dense, grid._DENSE = grid._DENSE, 1
    try:
        second = everything(image, mask, families=TEXTURE, aggregation="2d_averaged")
    finally:
        grid._DENSE = dense
    np.testing.assert_array_equal(first, second)


# --- shape ------------------------------------------------------------------------------------


def test_one_voxel_is_an_octahedron():
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    with pytest.warns(DataWarning, match="undefined for this region of 1 voxels"):
        values = radiomics(
            np.full(mask.shape, 7.0), mask, spacing=(2, 3, 4), features="all",
            aggregation="2d_merged",
        )  # fmt: skip
    assert values["morph_volume"] == pytest.approx(2 * 3 * 4 / 6)
    assert values["morph_volume_voxel_counting"] == pytest.approx(24)
    assert values["morph_maximum_diameter"] == pytest.approx(4)
    assert values["morph_volume_density_aabb"] == pytest.approx(1 / 6)
    assert values["morph_volume_density_convex_hull"] == pytest.approx(1)
    assert values["stat_mean"] == 7
    assert values["stat_variance"] == 0
    assert np.isnan(values[["morph_elongation", "cm_contrast", "ngt_contrast"]]).all()


def test_cuboid():
    a, b, c = 7, 5, 4
    mask = np.zeros((a + 2, b + 2, c + 2), dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    values = everything(
        np.random.default_rng(0).normal(9, 1, mask.shape), mask, families="morphology"
    )
    # The mesh is the box of the voxel centres, widened by an octahedron of half a voxel.
    u, v, w, h = a - 1, b - 1, c - 1, 0.5
    faces, edges = u * v + v * w + u * w, u + v + w
    volume = u * v * w + 2 * faces * h + 4 * edges * h**2 / 2 + 4 / 3 * h**3
    area = 2 * faces + 4 * edges * h * np.sqrt(2) + 4 * np.sqrt(3) * h**2
    assert values["morph_volume"] == pytest.approx(volume)
    assert values["morph_surface_area"] == pytest.approx(area)
    assert values["morph_volume_density_aabb"] == pytest.approx(volume / (a * b * c))
    assert values["morph_volume_density_ombb"] == pytest.approx(volume / (a * b * c))
    assert values["morph_area_density_aabb"] == pytest.approx(area / (2 * (a * b + b * c + a * c)))
    assert values["morph_volume_density_convex_hull"] == pytest.approx(1)
    assert values["morph_sphericity"] == pytest.approx((36 * np.pi * volume**2) ** (1 / 3) / area)
    n = a * b * c
    for name, length in (("major", a), ("minor", b), ("least", c)):
        axis = 4 * np.sqrt((length**2 - 1) / 12 * n / (n - 1))
        assert values[f"morph_{name}_axis_length"] == pytest.approx(axis)


def test_oriented_box_of_a_turned_box():
    corners = np.array(np.meshgrid([0, 2.0], [0, 3.0], [0, 7.0])).reshape(3, -1).T
    turned = Rotation.from_rotvec([0.3, -1.1, 0.7]).apply(corners)
    assert sorted(_oriented_box(ConvexHull(turned))) == pytest.approx([2, 3, 7])


def test_enclosing_ellipsoid():
    cube = np.array(np.meshgrid([-1, 1.0], [-1, 1.0], [-1, 1.0])).reshape(3, -1).T
    assert _enclosing_axes(cube) == pytest.approx([np.sqrt(3)] * 3, rel=1e-3)
    directions = np.random.default_rng(0).normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.vstack([*directions, *np.eye(3), *-np.eye(3)])
    turned = Rotation.from_rotvec([1, 2, 0.5]).apply(directions * (5, 3, 1)) + 9.0
    assert _enclosing_axes(turned) == pytest.approx([5, 3, 1], rel=5e-3)


def test_ellipsoid_series():
    assert _ellipsoid_size(np.array([2.0, 2, 2])) == pytest.approx((32 / 3 * np.pi, 16 * np.pi))
    a, b, c = 3.0, 2.5, 2.0
    alpha, beta = np.sqrt(1 - (b / a) ** 2), np.sqrt(1 - (c / a) ** 2)
    at = (alpha**2 + beta**2) / (2 * alpha * beta)
    series = sum((alpha * beta) ** v / (1 - 4 * v**2) * eval_legendre(v, at) for v in range(21))
    assert _ellipsoid_size(np.array([a, b, c]))[1] == pytest.approx(4 * np.pi * a * b * series)


def test_autocorrelation_is_that_of_all_pairs(blob):
    image, mask = blob
    spacing = (0.5, 0.7, 1.9)
    values = radiomics(image, mask, spacing=spacing, features="all", families="morphology")
    x = image[mask]
    weights = squareform(1 / pdist(np.argwhere(mask) * spacing))
    z, n = x - x.mean(), len(x)
    moran = n / weights.sum() * (z @ weights @ z) / (z @ z)
    geary = (n - 1) / (2 * weights.sum()) * (weights * (x[:, None] - x) ** 2).sum() / (z @ z)
    assert values["morph_morans_i"] == pytest.approx(moran, rel=1e-9)
    assert values["morph_gearys_c"] == pytest.approx(geary, rel=1e-9)


@given(factor=st.floats(0.1, 10))
def test_spacing_scales_what_has_units(factor):
    rng = np.random.default_rng(3)
    mask = rng.random((5, 6, 4)) < 0.6
    image = rng.normal(50, 5, mask.shape)
    values = radiomics(image, mask, spacing=CUBIC, features="all")
    scaled = radiomics(image, mask, spacing=[factor] * 3, features="all")
    power = radiomics_table()["unit"].map({"mm": 1, "mm²": 2, "mm³": 3, "1/mm": -1})
    power["morph_integrated_intensity"] = 3
    expected = values * factor ** power.fillna(0)
    assert (radiomics_table()["unit"].str.contains("mm") == power.notna()).all()
    local = ["loc_local_peak", "loc_global_peak"]  # a sphere in mm takes in other voxels
    np.testing.assert_allclose(scaled.drop(local), expected.drop(local), rtol=1e-6, atol=1e-9)


# --- intensities ------------------------------------------------------------------------------


def test_statistics_are_those_of_scipy(blob):
    image, mask = blob
    x = image[mask]
    values = everything(image, mask, families=("statistics", "histogram"))
    assert values["stat_skewness"] == pytest.approx(stats.skew(x))
    assert values["stat_excess_kurtosis"] == pytest.approx(stats.kurtosis(x))
    assert values["stat_interquartile_range"] == pytest.approx(stats.iqr(x))
    assert values["stat_coefficient_of_variation"] == pytest.approx(stats.variation(x))
    counts = np.histogram(x, bins=32)[0]
    assert values["ih_entropy"] == pytest.approx(stats.entropy(counts, base=2))


def test_local_peaks_by_brute_force(blob):
    image, mask = blob
    spacing = (1.5, 2.0, 3.0)
    values = radiomics(image, mask, spacing=spacing, families="local_intensity", features="all")
    everywhere = np.argwhere(np.ones_like(mask)) * spacing
    means = [
        image.ravel()[((everywhere - centre) ** 2).sum(axis=1) <= PEAK_RADIUS**2].mean()
        for centre in np.argwhere(mask) * spacing
    ]
    assert values["loc_global_peak"] == pytest.approx(max(means))
    assert values["loc_local_peak"] == pytest.approx(means[int(image[mask].argmax())])


def test_local_peak_passes_over_missing_voxels(blob):
    image, mask = blob
    image = np.where(mask, 5.0, np.nan)
    values = radiomics(image, mask, spacing=CUBIC, families="local_intensity", features="all")
    assert values.tolist() == pytest.approx([5, 5])


def test_volume_histogram_by_hand():
    values = of_line(1, 1, 1, 2, 3, 3, 3, 3, 3, 11, families="volume_histogram",
                     ivh_discretisation=None)  # fmt: skip
    assert values["ivh_volume_at_intensity_10"] == pytest.approx(0.7)  # 2 is a tenth of the way
    assert values["ivh_volume_at_intensity_90"] == pytest.approx(0.1)
    assert values["ivh_intensity_at_volume_10"] == 4
    assert values["ivh_intensity_at_volume_90"] == 2


def test_constant_region():
    image = np.full((6, 6, 6), 3.0)
    with pytest.warns(DataWarning, match="1 different intensities"):
        values = everything(image, np.ones_like(image))
    assert values["stat_skewness"] == 0
    assert values["stat_excess_kurtosis"] == 0
    assert values["cm_contrast"] == 0
    assert values["ih_uniformity"] == 1
    assert values["szm_zone_percentage"] == pytest.approx(1 / 216)
    assert values["ngt_coarseness"] == 1e6
    assert np.isnan(values[["cm_correlation", "morph_morans_i", "ivh_area_under_curve"]]).all()
    assert values.notna().sum() > 100


# --- properties -------------------------------------------------------------------------------


def test_turned_and_padded_regions_have_the_same_features(blob):
    image, mask = blob
    values = everything(image, mask)
    # Padding gives the local peak more surroundings, and mirroring closes ambiguous cells of
    # the mesh another way.
    free = [name for name in values.index if not name.startswith(("loc", "morph"))]
    mirrored = everything(image[::-1, :, ::-1], mask[::-1, :, ::-1])
    np.testing.assert_allclose(mirrored[free], values[free], rtol=1e-9)
    turned = everything(image.transpose(2, 0, 1), mask.transpose(2, 0, 1))
    np.testing.assert_allclose(turned[free], values[free], rtol=1e-9)
    padded = everything(np.pad(image, 3), np.pad(mask, 3)).drop(
        ["loc_local_peak", "loc_global_peak"]
    )
    np.testing.assert_allclose(padded, values[padded.index], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("aggregation", ["2d_averaged", "2d_merged", "2.5d_averaged"])
def test_slice_axis(blob, aggregation):
    image, mask = blob
    first = everything(image, mask, families=TEXTURE, aggregation=aggregation)
    moved = everything(
        np.moveaxis(image, 2, 0), np.moveaxis(mask, 2, 0), families=TEXTURE,
        aggregation=aggregation, slice_axis=0,
    )  # fmt: skip
    np.testing.assert_allclose(moved, first, rtol=1e-9)


def test_bins_by_number_ignore_the_units(blob):
    image, mask = blob
    first = everything(image, mask, families=TEXTURE)
    second = everything(image * 8 + 64, mask, families=TEXTURE)
    np.testing.assert_allclose(second, first, rtol=1e-9)


def test_bins_by_number_of_whole_numbers():
    image = np.arange(101).reshape(101, 1, 1)
    values = radiomics(
        image, np.ones_like(image), spacing=CUBIC, families="histogram",
        discretisation=("fixed_bin_number", 100), features="all",
    )  # fmt: skip
    # One voxel in each bin but the last, which takes in the maximum.
    assert values["ih_mean"] == pytest.approx((np.arange(1, 101).sum() + 100) / 101)


def test_bins_of_fixed_size_start_at_the_range(blob):
    image, mask = blob
    options = {"families": "histogram", "discretisation": ("fixed_bin_size", 10)}
    low = np.floor(image[mask].min() / 10) * 10
    values = everything(image, mask, intensity_range=(low, np.inf), **options)
    expected = np.floor((image[mask] - low) / 10) + 1
    assert values["ih_maximum"] == expected.max()
    assert values["ih_mean"] == pytest.approx(expected.mean())
    assert everything(image, mask, **options)["ih_minimum"] == 1


# --- preparation ------------------------------------------------------------------------------


def test_resampling_keeps_a_ramp_and_the_place():
    ramp = np.broadcast_to(np.arange(20.0)[:, None, None], (20, 16, 12))
    mask = np.zeros(ramp.shape, dtype=bool)
    mask[4:16, 4:12, 3:9] = True
    before = radiomics(ramp, mask, spacing=CUBIC, families=("statistics", "morphology"))
    for interpolation in ("linear", "cubic"):
        after = radiomics(
            ramp, mask, spacing=CUBIC, resample_mm=0.5, interpolation=interpolation,
            families=("statistics", "morphology"),
        )  # fmt: skip
        assert after.attrs["spacing"] == (0.5, 0.5, 0.5)
        assert after["stat_mean"] == pytest.approx(before["stat_mean"])
        # The threshold of one half keeps faces (share 3/4) and edges (9/16) of the box, and
        # takes off the eight corners (27/64), an eighth of a voxel each.
        volume = before["morph_volume_voxel_counting"]
        assert after["morph_volume_voxel_counting"] == volume - 1
    rounded = radiomics(
        ramp, mask, spacing=CUBIC, resample_mm=0.7, round_intensities=True, families="statistics"
    )
    assert rounded["stat_minimum"] == round(rounded["stat_minimum"])


def test_resampling_to_the_same_grid_changes_nothing(blob):
    image, mask = blob
    first = everything(image, mask)
    second = everything(image, mask, resample_mm=1.0)
    np.testing.assert_allclose(second, first, rtol=1e-9, atol=1e-9)


def test_range_and_outliers_leave_the_shape_alone(blob):
    image, mask = blob
    whole = everything(image, mask)
    part = everything(image, mask, intensity_range=(80, 120), outlier_sd=1.5)
    shape = ["morph_volume", "morph_surface_area", "morph_major_axis_length"]
    assert part[shape].tolist() == whole[shape].tolist()
    x = image[mask]
    kept = x[(x >= 80) & (x <= 120) & (np.abs(x - x.mean()) <= 1.5 * x.std())]
    assert part["stat_mean"] == pytest.approx(kept.mean())


def test_images_and_arrays_agree(blob, tmp_path):
    image, mask = blob
    affine = np.diag([-0.5, 0.5, 0.6, 1])
    affine[:3, 3] = (3, -4, 5)
    scan = nibabel.Nifti1Image(image, affine)
    labels = nibabel.Nifti1Image(np.where(mask, 2, 1).astype(np.uint8), affine)
    from_arrays = everything(image, mask, spacing=(0.5, 0.5, 0.6))
    from_images = radiomics(scan, labels, label=2, features="all")
    np.testing.assert_allclose(from_images, from_arrays, rtol=1e-6)
    scan.to_filename(tmp_path / "scan.nii.gz")
    labels.to_filename(tmp_path / "labels.nii.gz")
    from_files = radiomics(
        tmp_path / "scan.nii.gz", str(tmp_path / "labels.nii.gz"), label=2, features="all"
    )
    np.testing.assert_allclose(from_files, from_arrays, rtol=1e-6)


# --- which features -----------------------------------------------------------------------------


def test_small_masks_leave_out_what_means_nothing_there(blob):
    image, mask = blob
    small = radiomics(image, mask, spacing=CUBIC)
    assert small.attrs["small"]
    table = radiomics_table()
    reasons = table["never"].where(table["never"] != "", table["small_mask"])
    assert set(small.index) == set(table.index[reasons == ""])
    assert small.attrs["left_out"] == reasons[reasons != ""].to_dict()
    large = radiomics(image, mask, spacing=(2, 2, 2))  # over 1 cm³, but under 1000 voxels
    assert large.attrs["volume_mm3"] > 1000
    assert large.attrs["small"]
    cube = np.random.default_rng(0).normal(size=(10, 10, 10))
    large = radiomics(cube, np.ones_like(cube), spacing=CUBIC)
    assert not large.attrs["small"]
    assert set(large.index) == set(table.index[table["never"] == ""])


def test_table():
    table = radiomics_table()
    assert len(table) == 174
    assert table.index.is_unique
    assert table["ibsi_code"].is_unique
    assert table["ibsi_code"].str.fullmatch("[A-Z0-9]{4}").all()
    # Codes of the reference manual, one per family.
    manual = {
        "morph_volume": "RNU0", "loc_global_peak": "0F91", "stat_mean": "Q4LE",
        "ih_entropy": "TLU2", "ivh_area_under_curve": "9CMM", "cm_joint_entropy": "TU9B",
        "rlm_short_runs_emphasis": "22OV", "szm_zone_percentage": "P30P",
        "dzm_small_distance_emphasis": "0GBI", "ngt_coarseness": "QCDE",
        "ngl_dependence_count_energy": "CAS9",
    }  # fmt: skip
    assert table.loc[list(manual), "ibsi_code"].to_dict() == manual


def test_chosen_features_and_what_is_recorded(blob):
    image, mask = blob
    values = everything(image, mask, features=["morph_volume_density_mvee", "cm_contrast"])
    assert list(values.index) == ["morph_volume_density_mvee", "cm_contrast"]
    assert values.attrs["ibsi_codes"] == {
        "morph_volume_density_mvee": "SWZ1",
        "cm_contrast": "ACUI",
    }
    assert values.attrs["settings"]["discretisation"] == ("fixed_bin_number", 32)
    assert values.attrs["n_voxels"] == int(mask.sum())
    assert json.loads(json.dumps(values.attrs))["spacing"] == [1, 1, 1]
    assert everything(image, mask, families="ngtdm").index.str.startswith("ngt_").all()


# --- refusals -----------------------------------------------------------------------------------


IMAGE = np.arange(27.0).reshape(3, 3, 3)
MASK = np.ones((3, 3, 3), dtype=bool)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"mask": np.zeros_like(MASK)}, FormatError, "the mask is empty"),
        ({"label": 7}, FormatError, "no voxel of label 7"),
        ({"mask": MASK[:, :, :2]}, GeometryError, r"shape \(3, 3, 3\) and the mask \(3, 3, 2\)"),
        ({"mask": MASK * 0.5}, FormatError, "the mask holds fractions"),
        ({"mask": MASK * np.nan}, FormatError, "not numbers"),
        ({"image": IMAGE[0], "mask": MASK[0]}, FormatError, "three dimensions"),
        ({"image": np.where(IMAGE < 2, np.nan, IMAGE)}, FormatError, "2 of 27 voxels"),
        ({"image": np.where(IMAGE < 1, np.inf, IMAGE)}, FormatError, "1 of 27 voxels"),
        ({"image": IMAGE.astype(str)}, FormatError, "expected numbers"),
        ({"image": IMAGE * 1j}, FormatError, "real numbers"),
        ({"spacing": None}, FormatError, "spacing of an array is unknown"),
        ({"spacing": (1, 0, 1)}, GeometryError, "positive voxel sizes"),
        ({"spacing": (1, 1)}, GeometryError, "three positive"),
        ({"families": "glcmm"}, FormatError, "unknown family 'glcmm'"),
        ({"families": []}, FormatError, "no family"),
        ({"features": ["cm_entropy"]}, FormatError, "unknown feature 'cm_entropy'"),
        ({"features": "most"}, FormatError, "unknown feature 'most'"),
        ({"aggregation": "4d"}, FormatError, "unknown aggregation '4d'"),
        ({"interpolation": "sinc"}, FormatError, "'linear' or 'cubic'"),
        ({"distances": (0,)}, FormatError, "whole numbers of voxels from 1"),
        ({"distances": ()}, FormatError, "whole numbers of voxels from 1"),
        ({"dependence_coarseness": -1}, FormatError, "dependence_coarseness"),
        ({"slice_axis": 3}, FormatError, "slice_axis"),
        ({"discretisation": ("fixed_bin_number", 1)}, FormatError, "two bins"),
        ({"discretisation": ("fixed_bin_size", 0)}, FormatError, "positive bin width"),
        ({"discretisation": ("equal", 3)}, FormatError, "unknown method 'equal'"),
        ({"discretisation": 32}, FormatError, "discretisation is 32"),
        ({"ivh_discretisation": 32}, FormatError, "ivh_discretisation is 32"),
        ({"discretisation": None}, FormatError, "whole numbers from 1"),
        ({"intensity_range": (5, 5)}, FormatError, r"\(low, high\)"),
        ({"intensity_range": (90, 99)}, FormatError, "no voxel of the mask is left"),
        ({"outlier_sd": 0}, FormatError, "outlier_sd"),
        ({"resample_mm": -1}, GeometryError, "resample_mm"),
        ({"resample_mm": (1, 2)}, GeometryError, "resample_mm"),
    ],
)  # fmt: skip
def test_refusals(change, error, match):
    options = {"image": IMAGE, "mask": MASK, "spacing": CUBIC, **change}
    with pytest.raises(error, match=match):
        radiomics(options.pop("image"), options.pop("mask"), **options)


def test_image_and_mask_elsewhere():
    scan = nibabel.Nifti1Image(IMAGE, np.eye(4))
    shifted = nibabel.Nifti1Image(MASK.astype(np.uint8), np.diag([1, 1, 1.5, 1]))
    with pytest.raises(GeometryError, match="up to 1 mm apart"):
        radiomics(scan, shifted)
    with pytest.raises(FormatError, match="the image has its own"):
        radiomics(scan, MASK, spacing=CUBIC)


def test_mask_lost_in_resampling():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[3, 3, 3] = True
    with pytest.raises(FormatError, match="empty after resampling"):
        radiomics(np.ones(mask.shape), mask, spacing=CUBIC, resample_mm=3)
    image = np.ones(mask.shape)
    image[0, 0, 0] = np.nan
    with pytest.raises(FormatError, match="can't be interpolated"):
        radiomics(image, mask, spacing=CUBIC, resample_mm=0.5)


def test_flat_voxels_warn_of_3d_texture(blob):
    image, mask = blob
    with pytest.warns(DataWarning, match="0.45 × 0.45 × 0.9 mm mixes neighbours"):
        radiomics(image, mask, spacing=(0.45, 0.45, 0.9), families="glcm")
    radiomics(image, mask, spacing=(0.45, 0.45, 0.9), families="glcm", aggregation="2d_merged")
    radiomics(image, mask, spacing=(0.45, 0.45, 0.9), families="glcm", resample_mm=0.45)
