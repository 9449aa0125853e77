"""How long the measures of both nerves take, where the time goes, and how much memory.

python benchmarks/test_nerve_measures.py             # shares of the time, and memory
python -m pytest benchmarks/test_nerve_measures.py --benchmark-only
"""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from precisionpain.trigeminal import measure_compression, simulate_cistern

SEED = 5000  # both nerves of one synthetic scan at 0.5 mm
LIMIT_S = 3.0
LIMIT_MIB = 1024

PEAK = """
import resource, sys
from precisionpain.trigeminal import measure_compression, simulate_cistern
cistern = simulate_cistern({seed})
shares = cistern.fractions if sys.argv[1] == "share" else None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure_compression(cistern.labels, probabilities=shares)
print(before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

STAGES = {
    "reading and checking": ("inputs.py", "read_scan"),
    "nerve: course, ends, tube": ("nerve.py", "fit_nerve"),
    "vessels": ("vessels.py", "fit_vessels"),
    "wall": ("nerve.py", "fit_wall"),
    "what a mask hides": ("trace.py", "_thresholds"),
    "doubts": ("trace.py", "_doubt"),
    "intervals": ("uncertainty.py", "intervals"),
}


@pytest.fixture(scope="module", params=["mask", "share"])
def scan(request):
    cistern = simulate_cistern(SEED)
    return cistern.labels, cistern.fractions if request.param == "share" else None


def test_both_nerves(benchmark, scan):
    """Ratio to the limit of 3 s stands in `extra_info`."""
    labels, shares = scan
    table = benchmark.pedantic(
        measure_compression, (labels,), {"probabilities": shares}, rounds=3, warmup_rounds=1
    )
    benchmark.extra_info["ratio_to_limit"] = benchmark.stats["median"] / LIMIT_S
    assert table["length_mm"].notna().all()


def main() -> None:
    """Print seconds, shares of the time and memory."""
    cistern = simulate_cistern(SEED)
    for kind, shares in (("mask", None), ("share", cistern.fractions)):
        measure_compression(cistern.labels, probabilities=shares)
        start, cpu = time.perf_counter(), time.process_time()
        measure_compression(cistern.labels, probabilities=shares)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        profile = cProfile.Profile()
        profile.runcall(measure_compression, cistern.labels, probabilities=shares)
        found = pstats.Stats(profile).stats
        total = max(row[3] for row in found.values())
        done = subprocess.run(
            [sys.executable, "-c", PEAK.format(seed=SEED), kind],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        before, peak = (float(v) for v in done.stdout.split())
        print(f"{kind}: {wall:.2f} s wall, {cpu:.2f} s CPU, {wall / LIMIT_S:.2f} of "
              f"the limit of {LIMIT_S:g} s")  # fmt: skip
        print(f"  memory: {peak:.0f} MiB at the peak, {before:.0f} MiB of it before the call "
              f"(phantom and libraries); limit {LIMIT_MIB}")  # fmt: skip
        for name, (file, function) in STAGES.items():
            share = sum(
                row[3] for (path, _, call), row in found.items()
                if path.endswith(file) and call == function and "_morphometry" in path
            )  # fmt: skip
            print(f"  {name:28s} {100 * share / total:5.1f}%")


if __name__ == "__main__":
    main()
