"""What 2,000 bootstrap replicates of the measures of a prediction cost.

Run with ``make bench``, or as a script for the figure alone::

    python benchmarks/test_bootstrap.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from precisionpain.stats import bootstrap_metrics


def time_of_a_bootstrap(people: int = 120, repeats: int = 5) -> float:
    """Median processor time of 2,000 replicates of AUC and Brier score."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, people)
    p = 1 / (1 + np.exp(-rng.normal(y, 1)))
    bootstrap_metrics(y, p, n_boot=10)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        bootstrap_metrics(y, p, ("auc", "brier"), n_boot=2000, random_state=0)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def test_two_thousand_replicates(benchmark: Any) -> None:
    found = benchmark.pedantic(time_of_a_bootstrap, rounds=1, iterations=1)
    benchmark.extra_info["median_s"] = found
    assert found < 0.5


if __name__ == "__main__":
    print(f"{time_of_a_bootstrap():.3f} s")
