"""What times to an event cost: concordance of many people, and an honest evaluation.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_survival.py
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

import precisionpain as pp

BLOCKS = {"clinic": "clinical", "nerves": "nerve_measures", "csf": "csf_pea"}


def seconds_of_concordance(n: int = 5000) -> dict[str, float]:
    """Processor time of Harrell's and Uno's C, half of the people censored."""
    rng = np.random.default_rng(0)
    event_time, lost, risk = rng.exponential(size=n), rng.exponential(size=n), rng.normal(size=n)
    followed, event = np.minimum(event_time, lost), event_time <= lost
    found = {}
    for name in ("harrell_c", "uno_c"):
        start = time.process_time()
        getattr(pp.stats, name)(followed, event, risk)
        found[name] = time.process_time() - start
    return found


def seconds_of_evaluation(kind: str = "cox", n: int = 400) -> dict[str, float]:
    """Processor time of five folds and their summary, three blocks, about 70% operated."""
    cohort = pp.datasets.sample_tn(n_subjects=n)
    model = pp.fusion.survival_model(kind, blocks=BLOCKS)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.errors.DataWarning)  # single values far off
        result = pp.evaluation.cross_validate_survival(model, cohort, "recurrence", baseline=None)
    folds = time.process_time() - start
    summary = result.summary()
    return {
        "people": len(result.y),
        "folds_s": folds,
        "summary_s": time.process_time() - start - folds,
        "uno_c": float(summary.loc["uno_c", "estimate"]),
    }


def test_concordance(benchmark: Any) -> None:
    figures = benchmark.pedantic(seconds_of_concordance, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert max(figures.values()) < 5


def test_evaluation(benchmark: Any) -> None:
    figures = benchmark.pedantic(seconds_of_evaluation, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["folds_s"] < 60
    assert figures["summary_s"] < 30


if __name__ == "__main__":
    print(seconds_of_concordance())
    for model in ("cox", "weibull", "xgboost", "deep"):
        print(model, seconds_of_evaluation(model))
