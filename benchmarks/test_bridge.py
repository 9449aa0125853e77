"""What bridging costs: two projects of 585,000 values each, brought to one level.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_bridge.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pandas as pd

from precisionpain.proteomics import bridge_normalize
from precisionpain.proteomics._layout import make_adata


def project(start: int, shift: float, people: int = 200, assays: int = 2925) -> Any:
    """Synthetic people S0000…, NPX and limits of detection, four panels."""
    rng = np.random.default_rng(start)
    ids = pd.Index([f"S{i:04d}" for i in range(start, start + people)], name="sample_id")
    obs = pd.DataFrame(
        {"subject_id": ids, "sample_type": "SAMPLE", "qc": "PASS", "plate": "P1"}, index=ids
    )
    var = pd.DataFrame(
        {"gene": [f"G{i}" for i in range(assays)], "uniprot": [f"P{i}" for i in range(assays)],
         "panel": [f"Panel {i % 4}" for i in range(assays)], "assay_type": "ASSAY"},
        index=pd.Index([f"OID{i:05d}" for i in range(assays)], name="olink_id"),
    )  # fmt: skip
    values = rng.normal(4, 1, (people, assays)) + shift
    values[rng.random(values.shape) < 0.02] = np.nan
    return make_adata(values, obs, var, layers={"lod": np.ones(values.shape)}, kind="npx")


def time_of_a_bridge(repeats: int = 15) -> dict[str, float]:
    """Processor time of `bridge_normalize`, 16 bridge samples, and its distance to pandas."""
    first, second = project(0, 0.0), project(184, 0.5)
    ids = list(first.obs_names[184:])
    both = bridge_normalize(first, second, ids)
    a, b = (adata[ids].to_df() for adata in (first, second))
    expected = (a - b).median().fillna(0)
    error = np.abs(both.varm["adjustment"]["new"] - expected).max()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        bridge_normalize(first, second, ids)
        seconds.append(time.process_time() - start)
    return {
        "values": float(first.X.size + second.X.size), "median_s": statistics.median(seconds),
        "worst_s": max(seconds), "error": float(error),
    }  # fmt: skip


def test_bridge_of_two_large_projects(benchmark: Any) -> None:
    figures = benchmark.pedantic(time_of_a_bridge, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["median_s"] <= 0.15
    assert figures["error"] <= 1e-12


if __name__ == "__main__":
    for key, value in time_of_a_bridge().items():
        print(f"{key:<10}{value:.4g}")
