"""What an honest evaluation of a fusion costs: five blocks, 150 people, folds within folds.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_fusion.py
"""

from __future__ import annotations

import time
import tracemalloc
import warnings
from typing import Any

import precisionpain as pp

BLOCKS = {
    "clinic": "clinical",
    "nerves": "nerve_measures",
    "scan": "diffusion",
    "csf": "csf_pea",
    "plasma": "plasma_pea",
}
FUSIONS = {"late": pp.fusion.late_fusion, "early": pp.fusion.early_fusion}
DEEP = {
    "attention": pp.fusion.attention_fusion,
    "vae": pp.fusion.vae_fusion,
    "graph": pp.fusion.graph_fusion,
}


def people(n: int) -> pp.Cohort:
    """Return n people with a known outcome; about a third lacks each assay."""
    cohort = pp.datasets.sample_tn(n_subjects=3 * n).require("mvd_response")
    return cohort[:n]


def seconds_of_evaluation(
    kind: str, n: int = 150, folds: int = 5, **options: Any
) -> dict[str, float]:
    """Processor and wall time of one cross-validation, all that is learned in its folds."""
    cohort = people(n)
    wall, processor = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.errors.DataWarning)  # single values far off
        model = {**FUSIONS, **DEEP}[kind](BLOCKS, **options)
        result = pp.evaluation.cross_validate(
            model, cohort, "mvd_response", cv=folds, baseline=None
        )
    return {
        "people": len(cohort),
        "folds": folds,
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "auc": result.auc.auc,
    }


def memory_of_a_fit(kind: str, n: int = 150) -> float:
    """Most memory in use at once above what there was, MiB."""
    cohort = people(n)
    y = cohort.outcome("mvd_response")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    # One repeat holds as much at once as several.
    FUSIONS[kind](BLOCKS, **({"n_repeats": 1} if kind == "late" else {})).fit(cohort, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / 2**20


def growth() -> dict[str, float]:
    """How many times longer it takes with twice the inner folds, and with twice the people."""
    few, more = (seconds_of_evaluation("late", folds=3, n_repeats=r) for r in (1, 2))
    found = {"late_with_twice_the_folds": more["processor_s"] / few["processor_s"]}
    for kind in FUSIONS:
        options = {"n_repeats": 1} if kind == "late" else {}
        one, two = (seconds_of_evaluation(kind, n, 3, **options) for n in (150, 300))
        found[f"{kind}_with_twice_the_people"] = two["processor_s"] / one["processor_s"]
    return found


def test_nested_evaluation_of_late_fusion(benchmark: Any) -> None:
    figures = benchmark.pedantic(seconds_of_evaluation, ("late",), rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["people"] == 150
    assert figures["processor_s"] < 60


def test_evaluation_of_early_fusion(benchmark: Any) -> None:
    figures = benchmark.pedantic(seconds_of_evaluation, ("early",), rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["processor_s"] < 60


def test_evaluation_of_attention(benchmark: Any) -> None:
    figures = benchmark.pedantic(seconds_of_evaluation, ("attention",), rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["people"] == 150
    assert figures["processor_s"] < 60  # 300 are the promise


def test_growth(benchmark: Any) -> None:
    """Twice the folds is twice the work, and twice the people no more than a few times."""
    figures = benchmark.pedantic(growth, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["late_with_twice_the_folds"] < 2.5
    assert figures["late_with_twice_the_people"] < 4
    assert figures["early_with_twice_the_people"] < 10  # cubic in people: a matrix of n × n


def test_memory(benchmark: Any) -> None:
    figures = benchmark.pedantic(
        lambda: {kind: memory_of_a_fit(kind) for kind in FUSIONS}, rounds=1, iterations=1
    )
    benchmark.extra_info.update(figures)
    print(figures)
    assert max(figures.values()) < 100


if __name__ == "__main__":
    for name in FUSIONS:
        print(name, seconds_of_evaluation(name), f"{memory_of_a_fit(name):.1f} MiB")
    for name in DEEP:
        print(name, seconds_of_evaluation(name))
    print(growth())
