"""Radiomics against the baselines that PyRadiomics keeps of real tumours.

Left out is what PyRadiomics defines otherwise than IBSI: its kurtosis isn't excess kurtosis, its
energy adds 2000 to every intensity, its principal axes divide by n. The first two are compared
after undoing that.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precisionpain.imaging.radiomics import radiomics, radiomics_table

CASES = ("brain1", "brain2", "breast1")
# PyRadiomics' setting: what it is here.
SETTINGS = {
    "": {"discretisation": ("fixed_bin_size", 25), "aggregation": "3d_averaged"},
    "_FBN": {"discretisation": ("fixed_bin_number", 64), "aggregation": "3d_averaged"},
    "_2d": {"discretisation": ("fixed_bin_size", 25), "aggregation": "2.5d_averaged"},
    "_combined": {"discretisation": ("fixed_bin_size", 25), "aggregation": "3d_merged"},
}
NAMES = {
    "firstorder": {
        "InterquartileRange": "stat_interquartile_range", "Skewness": "stat_skewness",
        "Uniformity": "ih_uniformity", "Median": "stat_median", "Entropy": "ih_entropy",
        "RobustMeanAbsoluteDeviation": "stat_robust_mean_absolute_deviation",
        "MeanAbsoluteDeviation": "stat_mean_absolute_deviation", "Maximum": "stat_maximum",
        "90Percentile": "stat_p90", "10Percentile": "stat_p10", "Minimum": "stat_minimum",
        "Range": "stat_range", "Variance": "stat_variance", "Mean": "stat_mean",
    },
    "shape": {
        "Sphericity": "morph_sphericity", "SurfaceVolumeRatio": "morph_surface_to_volume",
        "MeshVolume": "morph_volume", "SurfaceArea": "morph_surface_area",
        "Maximum3DDiameter": "morph_maximum_diameter", "Elongation": "morph_elongation",
        "Flatness": "morph_flatness", "VoxelVolume": "morph_volume_voxel_counting",
    },
    "glcm": {
        "JointAverage": "joint_average", "SumAverage": "sum_average",
        "JointEntropy": "joint_entropy", "ClusterShade": "cluster_shade",
        "MaximumProbability": "joint_maximum", "JointEnergy": "angular_second_moment",
        "Contrast": "contrast", "DifferenceEntropy": "difference_entropy",
        "DifferenceVariance": "difference_variance", "Idn": "inverse_difference_normalised",
        "Idmn": "inverse_difference_moment_normalised", "Idm": "inverse_difference_moment",
        "Id": "inverse_difference", "InverseVariance": "inverse_variance",
        "Correlation": "correlation", "Autocorrelation": "autocorrelation",
        "SumEntropy": "sum_entropy", "SumSquares": "joint_variance",
        "ClusterProminence": "cluster_prominence", "ClusterTendency": "cluster_tendency",
        "Imc1": "information_correlation_1", "Imc2": "information_correlation_2",
        "DifferenceAverage": "difference_average",
    },
    "glrlm": {
        "ShortRunEmphasis": "short_runs_emphasis", "LongRunEmphasis": "long_runs_emphasis",
        "LowGrayLevelRunEmphasis": "low_grey_level_run_emphasis",
        "HighGrayLevelRunEmphasis": "high_grey_level_run_emphasis",
        "ShortRunLowGrayLevelEmphasis": "short_run_low_grey_level_emphasis",
        "ShortRunHighGrayLevelEmphasis": "short_run_high_grey_level_emphasis",
        "LongRunLowGrayLevelEmphasis": "long_run_low_grey_level_emphasis",
        "LongRunHighGrayLevelEmphasis": "long_run_high_grey_level_emphasis",
        "GrayLevelNonUniformity": "grey_level_non_uniformity",
        "GrayLevelNonUniformityNormalized": "grey_level_non_uniformity_normalised",
        "RunLengthNonUniformity": "run_length_non_uniformity",
        "RunLengthNonUniformityNormalized": "run_length_non_uniformity_normalised",
        "RunPercentage": "run_percentage", "GrayLevelVariance": "grey_level_variance",
        "RunVariance": "run_length_variance", "RunEntropy": "run_length_entropy",
    },
    "glszm": {
        "SmallAreaEmphasis": "small_zone_emphasis", "LargeAreaEmphasis": "large_zone_emphasis",
        "LowGrayLevelZoneEmphasis": "low_grey_level_zone_emphasis",
        "HighGrayLevelZoneEmphasis": "high_grey_level_zone_emphasis",
        "SmallAreaLowGrayLevelEmphasis": "small_zone_low_grey_level_emphasis",
        "SmallAreaHighGrayLevelEmphasis": "small_zone_high_grey_level_emphasis",
        "LargeAreaLowGrayLevelEmphasis": "large_zone_low_grey_level_emphasis",
        "LargeAreaHighGrayLevelEmphasis": "large_zone_high_grey_level_emphasis",
        "GrayLevelNonUniformity": "grey_level_non_uniformity",
        "GrayLevelNonUniformityNormalized": "grey_level_non_uniformity_normalised",
        "SizeZoneNonUniformity": "zone_size_non_uniformity",
        "SizeZoneNonUniformityNormalized": "zone_size_non_uniformity_normalised",
        "ZonePercentage": "zone_percentage", "GrayLevelVariance": "grey_level_variance",
        "ZoneVariance": "zone_size_variance", "ZoneEntropy": "zone_size_entropy",
    },
    "ngtdm": {
        "Coarseness": "coarseness", "Contrast": "contrast", "Busyness": "busyness",
        "Complexity": "complexity", "Strength": "strength",
    },
    "gldm": {
        "SmallDependenceEmphasis": "low_dependence_emphasis",
        "LargeDependenceEmphasis": "high_dependence_emphasis",
        "LowGrayLevelEmphasis": "low_grey_level_count_emphasis",
        "HighGrayLevelEmphasis": "high_grey_level_count_emphasis",
        "SmallDependenceLowGrayLevelEmphasis": "low_dependence_low_grey_level_emphasis",
        "SmallDependenceHighGrayLevelEmphasis": "low_dependence_high_grey_level_emphasis",
        "LargeDependenceLowGrayLevelEmphasis": "high_dependence_low_grey_level_emphasis",
        "LargeDependenceHighGrayLevelEmphasis": "high_dependence_high_grey_level_emphasis",
        "GrayLevelNonUniformity": "grey_level_non_uniformity",
        "DependenceNonUniformity": "dependence_count_non_uniformity",
        "DependenceNonUniformityNormalized": "dependence_count_non_uniformity_normalised",
        "GrayLevelVariance": "grey_level_variance",
        "DependenceVariance": "dependence_count_variance",
        "DependenceEntropy": "dependence_count_entropy",
    },
}  # fmt: skip
PREFIXES = {"glcm": "cm_", "glrlm": "rlm_", "glszm": "szm_", "ngtdm": "ngt_", "gldm": "ngl_"}
FAMILIES = {
    "firstorder": ("statistics", "histogram"), "shape": ("morphology",), "gldm": ("ngldm",),
}  # fmt: skip


def read_nrrd(path: Path) -> tuple[np.ndarray, list[float]]:
    """Read the plain kind of NRRD that these files are: data and spacing."""
    header, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(
        line.split(": ", 1)
        for line in header.decode().splitlines()
        if re.match(r"\w[\w ]*: ", line)
    )
    kind = {"short": "<i2", "int": "<i4", "float": "<f4", "unsigned char": "u1"}[fields["type"]]
    shape = [int(size) for size in fields["sizes"].split()]
    if fields["encoding"] == "gzip":
        data = gzip.decompress(data)
    vectors = re.findall(r"\(([^)]*)\)", fields["space directions"])
    spacing = [float(np.linalg.norm([float(x) for x in v.split(",")])) for v in vectors]
    return np.frombuffer(data, kind).reshape(shape, order="F"), spacing


def baseline(folder: Path, kind: str, case: str) -> pd.Series | None:
    table = pd.read_csv(folder / "baseline" / f"baseline_{kind}.csv", index_col=0)
    if case not in table:
        return None
    found = table[case][table.index.str.startswith("original_")].astype(float)
    return found.rename(lambda name: name.rsplit("_", 1)[1])


@pytest.fixture(scope="module")
def folder(shared_data):
    path = shared_data / "radiomics" / "pyradiomics"
    if not path.is_dir():
        pytest.skip(f"real data absent: {path}")
    return path


@pytest.fixture(scope="module")
def scans(folder):
    return {
        case: (
            read_nrrd(folder / f"{case}_image.nrrd"),
            read_nrrd(folder / f"{case}_label.nrrd")[0],
        )
        for case in CASES
    }


def measured(scans, case: str, setting: str, families) -> pd.Series:
    (image, spacing), labels = scans[case]
    # PyRadiomics lets bins of a fixed size begin at a multiple of it.
    low = 25 * np.floor(image[labels == 1].min() / 25)
    return radiomics(
        image, labels, label=1, spacing=spacing, families=families, features="all",
        intensity_range=(low, np.inf), **SETTINGS[setting],
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:3D texture on voxels")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", PREFIXES)
@pytest.mark.parametrize("case", CASES)
def test_texture(scans, folder, case, kind, setting):
    expected = baseline(folder, kind, case + setting)
    if expected is None:
        assert setting == "_combined"
        assert kind in ("glszm", "ngtdm", "gldm")  # these know no directions to combine
        return
    values = measured(scans, case, setting, FAMILIES.get(kind, (kind,)))
    assert set(expected.index) - set(NAMES[kind]) <= {"MCC"}
    for theirs, name in NAMES[kind].items():
        assert values[PREFIXES[kind] + name] == pytest.approx(expected[theirs], rel=1e-7), theirs


@pytest.mark.parametrize("case", CASES)
def test_intensity(scans, folder, case):
    expected = baseline(folder, "firstorder", case)
    values = measured(scans, case, "", FAMILIES["firstorder"])
    for theirs, name in NAMES["firstorder"].items():
        assert values[name] == pytest.approx(expected[theirs], rel=1e-9), theirs
    assert values["stat_excess_kurtosis"] == pytest.approx(expected["Kurtosis"] - 3, rel=1e-9)
    n = values.attrs["n_voxels"]
    shifted = values["stat_energy"] + 2 * 2000 * n * values["stat_mean"] + n * 2000**2
    assert shifted == pytest.approx(expected["Energy"], rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_shape(scans, folder, case):
    expected = baseline(folder, "shape", case)
    values = measured(scans, case, "", FAMILIES["shape"])
    for theirs, name in NAMES["shape"].items():
        # Marching cubes leaves to the program how it closes ambiguous cells. One mask has none;
        # for the others IBSI's own tolerance of the mesh, 4 in 556 mm³, is the limit.
        of_mesh = theirs in ("Sphericity", "SurfaceVolumeRatio", "MeshVolume", "SurfaceArea")
        rel = 4 / 556 if of_mesh and case != "breast1" else 1e-6
        if theirs in ("Elongation", "Flatness"):
            rel = 1e-9
        assert values[name] == pytest.approx(expected[theirs], rel=rel), theirs
    n = values.attrs["n_voxels"]
    for axis in ("Major", "Minor", "Least"):
        ours = values[f"morph_{axis.lower()}_axis_length"] * np.sqrt((n - 1) / n)
        assert ours == pytest.approx(expected[f"{axis}AxisLength"], rel=1e-9)


def test_names_exist():
    known = radiomics_table().index
    for kind, names in NAMES.items():
        assert {PREFIXES.get(kind, "") + name for name in names.values()} <= set(known)
