"""What reading five million rows of NPX costs: text and Parquet, in seconds and in memory.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_npx.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

# Read in a process of its own: the most memory that it ever held is its own, too.
READ = """
import resource, sys, time
import anndata, pyarrow, pyarrow.csv, pyarrow.parquet
from precisionpain.proteomics import read_npx
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, wall = time.process_time(), time.perf_counter()
npx = read_npx(sys.argv[1])
print(time.process_time() - start, time.perf_counter() - wall,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, before, *npx.shape)
"""


def write_export(path: Path, n: int, p: int, by_assay: bool = False) -> None:
    """Write n × p rows with the columns of Explore HT, sample by sample or assay by assay."""
    rng = np.random.default_rng(0)
    assay = np.arange(p)
    block = (assay * 8 // p + 1).astype(str).astype(object)
    columns = {
        "OlinkID": [f"OID{40000 + j}" for j in assay],
        "UniProt": [f"P{10000 + j}" for j in assay],
        "Assay": [f"GENE{j}" for j in assay],
        "Block": block,
    }
    names = [f"S{i:05d}" for i in range(n)]
    size = max(250_000 // (n if by_assay else p), 1)
    parquet = text = None
    for start in range(0, p if by_assay else n, size):
        if by_assay:
            j, i = (
                grid.ravel()
                for grid in np.meshgrid(assay[start : start + size], range(n), indexing="ij")
            )
        else:
            i, j = (
                grid.ravel()
                for grid in np.meshgrid(np.arange(n)[start : start + size], assay, indexing="ij")
            )
        m = len(i)
        batch = pa.RecordBatch.from_pydict({
            "SampleID": pa.array(np.array(names, dtype=object)[i]),
            "SampleType": ["SAMPLE"] * m,
            "WellID": pa.array(np.array([f"A{k % 12 + 1}" for k in range(n)], dtype=object)[i]),
            "PlateID": pa.array(np.array([f"P{k // 88}" for k in range(n)], dtype=object)[i]),
            "DataAnalysisRefID": pa.array(np.array([f"D{b}" for b in block], dtype=object)[j]),
            **{key: pa.array(np.array(cells, dtype=object)[j]) for key, cells in columns.items()},
            "AssayType": ["assay"] * m,
            "Panel": ["Explore_HT"] * m,
            "Count": rng.integers(0, 5000, m).astype(np.int32),
            "ExtNPX": rng.normal(size=m).round(6),
            "NPX": rng.normal(size=m).round(6),
            "Normalization": ["Plate control"] * m,
            "PCNormalizedNPX": rng.normal(size=m).round(6),
            "AssayQC": ["PASS"] * m,
            "SampleQC": ["PASS"] * m,
            "ExploreVersion": ["4.27.0"] * m,
        })  # fmt: skip
        if path.suffix == ".parquet":
            parquet = parquet or pq.ParquetWriter(path, batch.schema)
            parquet.write_batch(batch)
        else:
            text = text or pyarrow.csv.CSVWriter(
                path, batch.schema, write_options=pyarrow.csv.WriteOptions(
                    delimiter=";", quoting_style="none"))  # fmt: skip
            text.write_batch(batch)
    (parquet or text).close()  # type: ignore[union-attr]


def read_export(suffix: str, n: int, p: int, by_assay: bool = False) -> dict[str, float]:
    """Write an export, and read it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"export{suffix}"
        write_export(path, n, p, by_assay)
        size = path.stat().st_size
        done = subprocess.run(
            [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
        )
    cpu, wall, peak, before, rows, columns = (float(word) for word in done.stdout.split())
    assert (rows, columns) == (n, p)
    return {
        "rows": n * p,
        "file_mb": size / 1e6,
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_gb": peak / 1e6,  # ru_maxrss is in kB
        "added_gb": (peak - before) / 1e6,
        "matrix_gb": n * p * 8 / 1e9,
    }


def pivot_with_pandas(n: int, p: int) -> dict[str, float]:
    """Do what users do today with the same text: read_csv and pivot, for comparison."""
    import time

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.csv"
        write_export(path, n, p)
        start = time.process_time()
        pd.read_csv(path, sep=";").pivot(index="SampleID", columns="OlinkID", values="NPX")
        return {"rows": n * p, "cpu_s": time.process_time() - start}


@pytest.mark.parametrize("by_assay", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_five_million_rows(benchmark: Any, suffix: str, by_assay: bool) -> None:
    figures = benchmark.pedantic(
        read_export, args=(suffix, 1000, 5000, by_assay), rounds=1, iterations=1
    )
    benchmark.extra_info.update(figures)
    assert figures["cpu_s"] < 15
    assert figures["peak_gb"] < 4


if __name__ == "__main__":
    for name in (".csv", ".parquet"):
        for order in (False, True):
            print(name, "by assay" if order else "by sample")
            for key, value in read_export(name, 1000, 5000, order).items():
                print(f"  {key:<12}{value:.2f}")
    print("pandas, text by sample")
    for key, value in pivot_with_pandas(1000, 5000).items():
        print(f"  {key:<12}{value:.2f}")
