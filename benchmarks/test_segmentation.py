"""How long one scan takes from image to measures, where the time goes, and how much memory.

python benchmarks/test_segmentation.py             # the whole command, shares of it, and memory
python -m pytest benchmarks/test_segmentation.py --benchmark-only
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import pytest

from precisionpain.trigeminal import (
    TrigeminalSegmenter,
    evaluate_segmentation,
    measure_compression,
    simulate_cistern,
)

SEED = 5000  # one synthetic scan at 0.5 mm
LIMIT_S = 30.0
LIMIT_GPU_S = 2.0
LIMIT_MIB = 4096

# Peak memory of the child that does it all, as Linux and macOS know it.
COMMAND = """
import resource, sys
from precisionpain.cli import main
code = main(["segment", sys.argv[1], "--out", sys.argv[2]])
unit = 2**20 if sys.platform == "darwin" else 2**10
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def image():
    return simulate_cistern(SEED, snr=30.0).image


def end_to_end(segmenter, image):
    """Label a scan and measure both nerves, with intervals."""
    found = segmenter.segment(image)
    return measure_compression(found.labels, probabilities=found.probabilities, intervals=True)


def test_a_scan_on_a_cpu(benchmark, image):
    """Ratio to the limit of 30 s stands in `extra_info`."""
    segmenter = TrigeminalSegmenter.load_default(device="cpu")
    table = benchmark.pedantic(end_to_end, (segmenter, image), rounds=3, warmup_rounds=1)
    benchmark.extra_info["ratio_to_limit"] = benchmark.stats["median"] / LIMIT_S
    assert table["length_mm"].notna().all()


@pytest.mark.gpu
def test_labelling_on_a_gpu(benchmark, image):
    """Ratio to the limit of 2 s stands in `extra_info`."""
    segmenter = TrigeminalSegmenter.load_default(device="cuda")
    found = benchmark.pedantic(segmenter.segment, (image,), rounds=5, warmup_rounds=2)
    benchmark.extra_info["ratio_to_limit"] = benchmark.stats["median"] / LIMIT_GPU_S
    truth = simulate_cistern(SEED, snr=30.0).labels
    assert evaluate_segmentation(found.labels, truth)["dice"].max() > 0.9


def main() -> None:
    """Print seconds of each part, of the whole command, and its memory."""
    image = simulate_cistern(SEED, snr=30.0).image
    segmenter = TrigeminalSegmenter.load_default(device="cpu")
    segmenter.segment(image)
    start = time.perf_counter()
    found = segmenter.segment(image)
    labelled = time.perf_counter() - start
    start = time.perf_counter()
    measure_compression(found.labels, probabilities=found.probabilities, intervals=True)
    measured = time.perf_counter() - start
    print(f"labels {labelled:.1f} s, measures with intervals {measured:.1f} s; together "
          f"{(labelled + measured) / LIMIT_S:.2f} of the limit of {LIMIT_S:g} s")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.nii.gz"
        nibabel.save(image, scan)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(scan), str(Path(folder) / "out")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        whole = time.perf_counter() - start
    peak = float(re.findall(r"peak ([\d.]+)", done.stdout)[-1])
    print(f"precisionpain segment, with start and pictures: {whole:.1f} s, "
          f"{whole / LIMIT_S:.2f} of the limit; memory {peak:.0f} MiB at the peak, "
          f"limit {LIMIT_MIB}")  # fmt: skip


if __name__ == "__main__":
    main()
