"""What reading costs: a clinical table against bare pandas, and a BIDS tree.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_readers.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from precisionpain.cohort import read_clinical_table, scan_bids


def clinical_table(n: int = 100_000, p: int = 50) -> dict[str, float]:
    """Read, type and check n × p cells, against `pandas.read_csv` of the same file."""
    values = np.random.default_rng(0).normal(size=(n, p)).round(4)
    frame = pd.DataFrame(values, columns=[f"x{j:02d}" for j in range(p)])
    frame.insert(0, "subject_id", [f"s{i:06d}" for i in range(n)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        frame.to_csv(path, index=False)
        start = time.process_time()
        table = read_clinical_table(path)
        ours = time.process_time() - start
        start = time.process_time()
        pd.read_csv(path)
        bare = time.process_time() - start
    assert table.shape == (n, p)
    return {"cpu_s": ours, "pandas_cpu_s": bare, "ratio": ours / bare}


def bids_tree(people: int = 240, runs: int = 6) -> dict[str, float]:
    """Scan a tree of sidecars whose images are absent."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dataset_description.json").write_text('{"Name": "b", "BIDSVersion": "1.8.0"}')
        for i in range(people):
            anat = root / f"sub-{i:03d}" / "anat"
            anat.mkdir(parents=True)
            for run in range(1, runs + 1):
                (anat / f"sub-{i:03d}_run-{run:02d}_T1w.json").write_text("{}")
        start = time.process_time()
        found = scan_bids(root)
        seconds = time.process_time() - start
    assert len(found.images) == people * runs
    return {"files": people * runs, "cpu_s": seconds}


def test_clinical_table(benchmark: Any) -> None:
    figures = benchmark.pedantic(clinical_table, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    assert figures["ratio"] < 30


def test_bids_tree(benchmark: Any) -> None:
    figures = benchmark.pedantic(bids_tree, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    assert figures["cpu_s"] < 5


if __name__ == "__main__":
    for function in (clinical_table, bids_tree):
        print(function.__name__)
        for key, value in function().items():
            print(f"  {key:<14}{value:.3f}")
