"""Predictions of all folds together: tables over repeats, and figures of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ..stats import CorrectedT, auc, classification_metrics, corrected_t
from .splits import Split

Rerun = Callable[[np.ndarray], tuple[list[Split], list[np.ndarray]]]
Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class PooledAUC:
    """Labels → pooled AUC of the whole cross-validation; an object, so that it travels."""

    rerun: Rerun

    def __call__(self, labels: np.ndarray) -> float:
        table = as_table(len(labels), *self.rerun(labels))
        return mean_over_repeats(auc, labels, table)


def hash_folds(people: pd.Index, outcomes: bytes, splits: Sequence[Split]) -> str:
    """Hash people, outcomes and folds."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr(list(people)).encode())
    digest.update(outcomes)
    for train, test in splits:
        digest.update(np.sort(train).astype(np.int64).tobytes())
        digest.update(b"|")
        digest.update(test.astype(np.int64).tobytes())
        digest.update(b";")
    return digest.hexdigest()


def as_table(n: int, splits: Sequence[Split], predicted: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange predictions as rows × repeats."""
    seen = np.zeros(n, dtype=int)
    for _, test in splits:
        seen[test] += 1
    table = np.full((n, int(seen.max())), np.nan)
    seen[:] = 0
    for (_, test), p in zip(splits, predicted, strict=True):
        table[test, seen[test]] = p
        seen[test] += 1
    return table


def mean_over_repeats(metric: Metric, y: np.ndarray, table: np.ndarray) -> float:
    values = []
    for column in table.T:
        known = ~np.isnan(column)
        values.append(metric(y[known], column[known]))
    return float(np.mean(values))


def corrected_over_folds(frame: pd.DataFrame, values: pd.Series, confidence: float) -> CorrectedT:
    known = values.notna()
    return corrected_t(
        values[known].to_numpy(),
        n_train=float(frame["n_train"].mean()),
        n_test=float(frame["n_test"].mean()),
        confidence=confidence,
    )


def brier(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean((p - y) ** 2))


def scaled_brier(y: np.ndarray, p: np.ndarray) -> float:
    return 1 - brier(y, p) / float(np.var(y))


def observed_expected(y: np.ndarray, p: np.ndarray) -> float:
    return float(y.sum() / p.sum())


def at_threshold(name: str, threshold: float) -> Metric:
    def metric(y: np.ndarray, p: np.ndarray) -> float:
        return float(getattr(classification_metrics(y, p, threshold=threshold), name))

    return metric
