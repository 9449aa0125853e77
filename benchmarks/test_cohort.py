"""What a Cohort costs: cross-validation against bare scikit-learn, and memory.

Run with ``make bench``, or as a script for the figures alone::

    python benchmarks/test_cohort.py
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.model_selection import cross_validate as bare_cross_validate

from precisionpain import Cohort
from precisionpain.evaluation import SubjectKFold, clinical_model, cross_validate


def tabular(n: int, p: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Synthetic people: p numeric columns, an outcome that depends on five of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = rng.random(n) < 1 / (1 + np.exp(-x[:, :5].sum(axis=1) / 2))
    frame = pd.DataFrame(x, [f"s{i:06d}" for i in range(n)], [f"x{j:02d}" for j in range(p)])
    return frame, y.astype(int)


def ratio_of_cross_validation(n: int = 5000, p: int = 50, pairs: int = 15) -> dict[str, float]:
    """8-fold cross-validation on a Cohort over the same on its matrix, pair by pair.

    The bare run gets the finished matrix and the same imputation, scaling, model and folds;
    it scores the AUC, as the library does.
    """
    frame, y = tabular(n, p)
    cohort = Cohort(frame, name="benchmark", synthetic=True)
    outcome = pd.Series(y, cohort.index, name="outcome")
    model = clinical_model("logistic")
    matrix = frame.to_numpy()
    folds = SubjectKFold(8)
    splits = list(folds.split(matrix, y))

    def on_people() -> None:
        result = cross_validate(model, cohort, outcome, cv=SubjectKFold(8))
        assert result.auc.auc > 0.6

    def on_matrix() -> None:
        scores = bare_cross_validate(model[1:], matrix, y, cv=splits, scoring="roc_auc")
        assert scores["test_score"].mean() > 0.6

    ratios, people, bare = [], [], []
    on_people(), on_matrix()
    for _ in range(pairs):
        start = time.perf_counter()
        on_people()
        middle = time.perf_counter()
        on_matrix()
        end = time.perf_counter()
        people.append(middle - start)
        bare.append(end - middle)
        ratios.append(people[-1] / bare[-1])
    return {
        "cohort_s": statistics.median(people),
        "matrix_s": statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def memory_of_a_large_cohort(n: int = 100_000, p: int = 50) -> dict[str, float]:
    """Memory and time of 10⁵ people × 50 numeric columns without images."""
    frame, _ = tabular(n, p)
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    start = time.perf_counter()
    cohort = Cohort(frame, name="benchmark", synthetic=True)
    built = time.perf_counter() - start
    gc.collect()
    construction = process.memory_info().rss - before
    gc.collect()
    before = process.memory_info().rss
    start = time.perf_counter()
    folds = [(cohort[train], cohort[test]) for train, test in SubjectKFold(8).split(cohort)]
    split = time.perf_counter() - start
    subsets = process.memory_info().rss - before
    assert sum(len(test) for _, test in folds) == n
    return {
        "values_mb": frame.to_numpy().nbytes / 1e6,
        "frame_mb": frame.memory_usage(deep=True).sum() / 1e6,
        "construction_mb": construction / 1e6,
        "construction_s": built,
        "eight_folds_mb": subsets / 1e6,
        "eight_folds_s": split,
    }


@pytest.mark.parametrize("columns", [10, 50])
def test_cross_validation_costs_little(benchmark: Any, columns: int) -> None:
    figures = benchmark.pedantic(
        ratio_of_cross_validation, kwargs={"p": columns}, rounds=1, iterations=1
    )
    benchmark.extra_info.update(figures)
    print(figures)
    assert figures["ratio"] <= 1.3


def test_a_large_cohort_stays_flat(benchmark: Any) -> None:
    figures = benchmark.pedantic(memory_of_a_large_cohort, rounds=1, iterations=1)
    benchmark.extra_info.update(figures)
    print(figures)
    # The subsets are positions into shared tables: 16 × n integers, not 8 × the values.
    assert figures["eight_folds_mb"] < figures["values_mb"]


if __name__ == "__main__":
    for function in (ratio_of_cross_validation, memory_of_a_large_cohort):
        print(function.__name__)
        for key, value in function().items():
            print(f"  {key:<18}{value:.3f}")
