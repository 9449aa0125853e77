"""What MaxLFQ costs: against the same definition written pair by pair.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_rollup.py
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from precisionpain.proteomics import roll_up


def ions_of(proteins: int, samples: int, per_protein: int, missing: float = 0.3) -> AnnData:
    """Return log2 intensities of the ions of some proteins."""
    rng = np.random.default_rng(0)
    shape = (samples, proteins * per_protein)
    values = rng.normal(24, 2, shape[1]) + rng.normal(0, 1, shape)
    values[rng.random(shape) < missing] = np.nan
    names = [f"P{p:05d}" for p in range(proteins) for _ in range(per_protein)]
    var = pd.DataFrame({"protein_group": names}, index=[f"i{i}" for i in range(shape[1])])
    return AnnData(values, obs=pd.DataFrame(index=[f"s{i}" for i in range(samples)]), var=var)


def pair_by_pair(values: np.ndarray) -> np.ndarray:
    """MaxLFQ of one connected protein as it is defined."""
    n = len(values)
    matrix, right = [], []
    for i, j in itertools.combinations(range(n), 2):
        gaps = values[j] - values[i]
        gaps = gaps[~np.isnan(gaps)]
        if len(gaps):
            row = np.zeros(n)
            row[j], row[i] = 1, -1
            matrix.append(row)
            right.append(np.median(gaps))
    solved = np.linalg.lstsq(np.array(matrix), np.array(right), rcond=None)[0]
    return solved - solved.mean() + np.nanmean(values)


def against_the_definition(proteins: int = 60, samples: int = 40) -> dict[str, float]:
    """Roll up, and do the same pair by pair."""
    ions = ions_of(proteins, samples, 10)
    start = time.process_time()
    found = roll_up(ions).X
    ours = time.process_time() - start
    parts = np.split(np.asarray(ions.X), proteins, axis=1)
    start = time.process_time()
    expected = np.column_stack([pair_by_pair(part) for part in parts])
    plain = time.process_time() - start
    assert np.abs(found - expected).max() < 1e-8
    return {"cpu_s": ours, "pair_by_pair_cpu_s": plain, "ratio": plain / ours}


def cohort(proteins: int = 300, samples: int = 200) -> dict[str, float]:
    """Roll up a cohort of usual size; seconds per 1,000 proteins of 10 ions."""
    ions = ions_of(proteins, samples, 10)
    start = time.process_time()
    roll_up(ions)
    seconds = time.process_time() - start
    return {"proteins": proteins, "samples": samples, "cpu_s_per_1000": 1000 * seconds / proteins}


def test_max_lfq(benchmark: Any) -> None:
    figures = benchmark.pedantic(against_the_definition, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    assert figures["ratio"] > 10


def test_cohort(benchmark: Any) -> None:
    benchmark.extra_info.update(benchmark.pedantic(cohort, rounds=1, iterations=1))


if __name__ == "__main__":
    print(against_the_definition())
    print(cohort())
