"""What checks and batch adjustment cost at the size of a plasma study.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_quality.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from precisionpain.proteomics import ComBat, check_npx
from precisionpain.proteomics._layout import make_adata


def study(people: int = 1000, assays: int = 3000) -> Any:
    """Noise with 2% missing, four panels, ten plates."""
    rng = np.random.default_rng(13)
    values = rng.normal(5, 1, (people, assays))
    values[rng.random(values.shape) < 0.02] = np.nan
    ids = pd.Index([f"S{i:04d}" for i in range(people)], name="sample_id")
    obs = pd.DataFrame(
        {
            "subject_id": ids,
            "sample_type": "SAMPLE",
            "plate": [f"P{i % 10}" for i in range(people)],
        },
        index=ids,
    )
    var = pd.DataFrame(
        {"gene": [f"G{i}" for i in range(assays)], "uniprot": [f"P{i:05d}" for i in range(assays)],
         "panel": [f"Panel {i % 4}" for i in range(assays)], "assay_type": "ASSAY"},
        index=pd.Index([f"OID{i:05d}" for i in range(assays)], name="olink_id"),
    )  # fmt: skip
    layers = {"lod": np.full(values.shape, 4.0), "sample_qc": np.zeros(values.shape)}
    return make_adata(values, obs, var, layers=layers, kind="npx")


def seconds_of(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median processor time."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def time_of_checks() -> float:
    """1,000 samples × 3,000 assays."""
    adata = study()
    return seconds_of(lambda: check_npx(adata))


def time_of_combat() -> float:
    """200 samples × 3,000 proteins, three plates."""
    data = pd.DataFrame(np.random.default_rng(0).normal(6, 1, (200, 3000)))
    data["plate"] = np.repeat(list("ABC"), [90, 60, 50])
    return seconds_of(lambda: ComBat().fit_transform(data))


def test_checks_of_a_large_study(benchmark: Any) -> None:
    found = benchmark.pedantic(time_of_checks, rounds=1, iterations=1)
    benchmark.extra_info["median_s"] = found
    assert found < 3


def test_combat_of_a_plasma_study(benchmark: Any) -> None:
    found = benchmark.pedantic(time_of_combat, rounds=1, iterations=1)
    benchmark.extra_info["median_s"] = found
    assert found < 2


if __name__ == "__main__":
    print(f"checks  {time_of_checks():.2f} s")
    print(f"combat  {time_of_combat():.2f} s")
