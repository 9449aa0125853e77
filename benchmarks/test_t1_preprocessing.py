"""How long one T1 scan of 1 mm takes, from the file to the grid of SPM12 with its quality.

python benchmarks/test_t1_preprocessing.py SCAN.nii.gz     # seconds of each part
python -m pytest benchmarks/test_t1_preprocessing.py --benchmark-only
"""

from __future__ import annotations

import sys
import time

import nibabel
import numpy as np
import pytest

from precisionpain.imaging import register_to_template, resample_to_grid, scan_quality
from precisionpain.imaging._registration.template import load_template

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def head():
    """Make a synthetic head of 1 mm: the template with a scalp, noise, and tilted."""
    template = load_template(None)
    scalp = (template.distance > 8) & (template.distance <= 13)
    data = template.like(template.brain + 1.4 * scalp)
    angle = np.radians(12)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = np.eye(4)
    affine[:3, 3] = -90, -140, -110
    moved = resample_to_grid(data, (180, 256, 256), affine, transform=tilt)
    noise = np.abs(np.random.default_rng(0).normal(0, 0.03, moved.shape))
    return nibabel.Nifti1Image((moved.get_fdata() + noise).astype("float32") * 500, affine)


def whole_chain(scan):
    """Register, resample, check and measure."""
    found = register_to_template(scan)
    return found, scan_quality(scan, found)


def test_a_scan_of_1_mm(benchmark, head):
    """Ratio to the limit of 60 s stands in `extra_info`."""
    found, quality = benchmark.pedantic(whole_chain, (head,), rounds=2, warmup_rounds=1)
    benchmark.extra_info["ratio_to_limit"] = benchmark.stats["median"] / LIMIT_S
    assert found.ok
    assert quality["snr"] > 0


def main(path: str) -> None:
    """Print seconds of each part."""
    load_template(None)
    start = time.perf_counter(), time.process_time()
    scan = nibabel.load(path)
    found = register_to_template(scan)
    registered = time.perf_counter() - start[0]
    scan_quality(scan, found)
    whole, used = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"registration {registered:.1f} s, quality {whole - registered:.1f} s; together "
          f"{whole / LIMIT_S:.2f} of the limit of {LIMIT_S:g} s; CPU {used:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
