"""Texture against PyRadiomics and all families against mirp: time and memory, in one run.

Either peer is skipped, visibly, where it can't be imported. PyRadiomics 3.0.1 builds with its
build tools installed first::

    pip install "setuptools<81" wheel versioneer cython numpy SimpleITK pywavelets pykwalify six
    pip install --no-build-isolation --no-deps pyradiomics==3.0.1

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_radiomics.py
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from precisionpain.imaging.radiomics import radiomics, radiomics_table

FAMILIES = ("glcm", "glrlm", "glszm", "ngtdm", "ngldm")
N_BINS = 32
# Of large regions mirp samples the pairs of Moran's I and Geary's C; around a region it crops
# the image, into which the sphere of the local peak reaches.
MIRP_APPROXIMATES = ("morph_moran_i", "morph_geary_c", "loc_peak_loc", "loc_peak_glob")


def region(voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a synthetic image of correlated noise and a tube of about so many voxels."""
    radius = max((voxels / (6 * np.pi)) ** (1 / 3), 2.0)
    half = voxels / (2 * np.pi * radius**2)
    reach = int(max(half, radius)) + 4
    x, y, z = np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]
    along = (x + 0.4 * y) / np.hypot(1, 0.4)
    across = np.sqrt(np.maximum(x**2 + y**2 + z**2 - along**2, 0))
    noise = np.random.default_rng(0).normal(size=x.shape)
    return 300 + 100 * gaussian_filter(noise, 0.8), (across <= radius) & (np.abs(along) <= half)


def ours(image: np.ndarray, mask: np.ndarray) -> Callable[[], Any]:
    return lambda: radiomics(
        image, mask, spacing=(1, 1, 1), families=FAMILIES, features="all",
        discretisation=("fixed_bin_number", N_BINS), aggregation="3d_averaged",
    )  # fmt: skip


def pyradiomics(image: np.ndarray, mask: np.ndarray) -> Callable[[], dict[str, Any]]:
    """Return the same families in PyRadiomics, less what it has beside IBSI's features."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK absent")
    peer = pytest.importorskip("radiomics", reason="PyRadiomics absent")
    from radiomics import glcm, gldm, glrlm, glszm, imageoperations, ngtdm

    logging.getLogger("radiomics").setLevel(logging.ERROR)
    assert peer.cMatrices is not None  # its C extension, not the slow Python fallback
    settings = {"binCount": N_BINS, "label": 1}
    images = (
        sitk.GetImageFromArray(image.T.copy()),
        sitk.GetImageFromArray(mask.T.astype(np.uint8)),
    )
    classes = (
        glcm.RadiomicsGLCM, glrlm.RadiomicsGLRLM, glszm.RadiomicsGLSZM, ngtdm.RadiomicsNGTDM,
        gldm.RadiomicsGLDM,
    )  # fmt: skip

    def run() -> dict[str, Any]:
        found: dict[str, Any] = {}
        box, _ = imageoperations.checkMask(*images, **settings)
        cropped = imageoperations.cropToTumorMask(*images, box)
        for kind in classes:
            measure = kind(*cropped, **settings)
            measure.enableAllFeatures()
            if kind is glcm.RadiomicsGLCM:
                measure.enableFeatureByName("MCC", enable=False)
            found |= {f"{kind.__name__}.{k}": float(v) for k, v in measure.execute().items()}
        return found

    return run


def fastest(run: Callable[[], Any], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def peak_mib(run: Callable[[], Any]) -> float:
    """Peak of what NumPy and Python allocate; memory inside C extensions isn't seen."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def compare(voxels: int, repeats: int = 5) -> dict[str, float]:
    image, mask = region(voxels)
    mine, peer = ours(image, mask), pyradiomics(image, mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyRadiomics uses deprecated parts of NumPy
        values, theirs = mine(), peer()
        # The same work: matrices of the same levels, so that shared features agree.
        assert values["cm_joint_entropy"] == pytest.approx(
            theirs["RadiomicsGLCM.JointEntropy"], rel=1e-6
        )
        assert values["szm_small_zone_emphasis"] == pytest.approx(
            theirs["RadiomicsGLSZM.SmallAreaEmphasis"], rel=1e-6
        )
        seconds, peer_seconds = fastest(mine, repeats), fastest(peer, repeats)
        return {
            "voxels": float(mask.sum()),
            "cpu_s": seconds,
            "pyradiomics_cpu_s": peer_seconds,
            "ratio": seconds / peer_seconds,
            "peak_mib": peak_mib(mine),
            "pyradiomics_peak_mib": peak_mib(peer),
        }


def compare_mirp(voxels: int, aggregation: str, peer_aggregation: str) -> dict[str, float]:
    """Measure every feature with both, from files to values, once."""
    mirp = pytest.importorskip("mirp", reason="mirp absent")
    logging.getLogger("mirp").setLevel(logging.ERROR)
    image, mask = region(voxels)
    spacing = np.diag([0.5, 0.5, 0.75, 1.0])
    of_zones = peer_aggregation.split("_")[0]
    directed, undirected = ("glcm", "glrlm"), ("glszm", "gldzm", "ngtdm", "ngldm")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = [f"{folder}/image.nii.gz", f"{folder}/mask.nii.gz"]
        nibabel.Nifti1Image(image, spacing).to_filename(paths[0])
        nibabel.Nifti1Image(mask.astype(np.uint8), spacing).to_filename(paths[1])
        start = time.process_time()
        values = radiomics(
            *paths, features="all", aggregation=aggregation,
            discretisation=("fixed_bin_number", N_BINS),
        )  # fmt: skip
        seconds = time.process_time() - start
        start = time.process_time()
        theirs = mirp.extract_features(
            image=paths[0], mask=paths[1], base_feature_families="all",
            base_discretisation_method="fixed_bin_number", base_discretisation_n_bins=N_BINS,
            ivh_discretisation_method="fixed_bin_number", ivh_discretisation_n_bins=1000,
            **{f"{family}_spatial_method": peer_aggregation for family in directed},
            **{f"{family}_spatial_method": of_zones for family in undirected},
        )[0].iloc[0]  # fmt: skip
        peer_seconds = time.process_time() - start
    name_of = {tag: name for name, tag in radiomics_table()["ibsi_tag"].items()}
    apart = {}
    for label, value in theirs.items():
        tag = re.sub(r"_(d1|a0\.0|(2d|2\.5d|3d)(_(avg|\w_mrg))?|fbn_n\d+)(?=_|$)", "", str(label))
        if tag in name_of and tag not in MIRP_APPROXIMATES:
            apart[tag] = abs(values[name_of[tag]] - float(value)) / max(abs(float(value)), 1e-9)
    return {
        "voxels": float(mask.sum()),
        "cpu_s": seconds,
        "mirp_cpu_s": peer_seconds,
        "ratio": seconds / peer_seconds,
        "features_compared": float(len(apart)),
        "largest_relative_difference": max(apart.values()),
    }


@pytest.mark.parametrize(
    ("aggregation", "peer"),
    [
        ("2d_averaged", "2d_average"),
        ("2d_merged", "2d_slice_merge"),
        ("2.5d_averaged", "2.5d_direction_merge"),
        ("2.5d_merged", "2.5d_volume_merge"),
        ("3d_averaged", "3d_average"),
        ("3d_merged", "3d_volume_merge"),
    ],
)
def test_all_families_agree_with_mirp(benchmark: Any, aggregation: str, peer: str) -> None:
    figures = benchmark.pedantic(compare_mirp, args=(900, aggregation, peer), rounds=1)
    benchmark.extra_info.update(figures)
    assert figures["features_compared"] == 165
    assert figures["largest_relative_difference"] < 1e-4  # mirp keeps images in single precision
    assert figures["ratio"] <= 1


@pytest.mark.parametrize("voxels", [500, 5_000, 50_000])
def test_texture_is_no_slower_than_pyradiomics(benchmark: Any, voxels: int) -> None:
    figures = benchmark.pedantic(compare, args=(voxels,), rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    assert figures["ratio"] <= 1


if __name__ == "__main__":
    for size in (500, 5_000, 50_000, 500_000):
        for key, value in compare(size, repeats=3).items():
            print(f"  {key:<30}{value:.4g}")
    for key, value in compare_mirp(900, "3d_merged", "3d_volume_merge").items():
        print(f"  {key:<30}{value:.4g}")
