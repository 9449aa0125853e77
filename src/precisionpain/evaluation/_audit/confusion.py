"""All confusion matrices that agree with printed measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .printed import SLACK, Printed

__all__ = ["MEASURES", "agreeing", "all_matrices", "describe", "measures"]

MEASURES = ("accuracy", "precision", "recall", "f1", "auc")


def all_matrices(n: int, n_positive: Iterable[int] | None = None) -> NDArray[np.int64]:
    """Return every confusion matrix of n people.

    Parameters
    ----------
    n : int
        People.
    n_positive : iterable of int, optional
        How many of them may have the event; by default any number.

    Returns
    -------
    numpy.ndarray of shape (k, 4)
        TP, FP, FN, TN.
    """
    parts = []
    for m in range(n + 1) if n_positive is None else n_positive:
        tp, fp = (axis.ravel() for axis in np.mgrid[0 : m + 1, 0 : n - m + 1])
        parts.append(np.column_stack([tp, fp, m - tp, n - m - fp]))
    return np.concatenate(parts)


def measures(matrices: NDArray[np.int64]) -> dict[str, tuple[NDArray, NDArray]]:
    """Return, for each matrix, the least and greatest value of every measure.

    Only for the AUC do the two differ. A ROC curve that passes through (1 − specificity,
    recall) and never falls has an area from recall · specificity to
    1 − (1 − recall)(1 − specificity). A measure without a denominator is 0, as in
    scikit-learn; the AUC of a single class is NaN.

    Parameters
    ----------
    matrices : numpy.ndarray of shape (k, 4)
        TP, FP, FN, TN.

    Returns
    -------
    dict of str to tuple of numpy.ndarray of shape (k,)
    """
    tp, fp, fn, tn = matrices.T.astype(float)

    def share(part: NDArray, whole: NDArray, empty: float = 0.0) -> NDArray:
        return np.divide(part, whole, out=np.full_like(part, empty), where=whole > 0)

    recall = share(tp, tp + fn)
    specificity = share(tn, tn + fp)
    one_class = (tp + fn == 0) | (tn + fp == 0)
    exact = {
        "accuracy": share(tp + tn, tp + fp + fn + tn),
        "precision": share(tp, tp + fp),
        "recall": recall,
        "f1": share(2 * tp, 2 * tp + fp + fn),
    }
    low = np.where(one_class, np.nan, recall * specificity)
    high = np.where(one_class, np.nan, 1 - (1 - recall) * (1 - specificity))
    return {**{name: (value, value) for name, value in exact.items()}, "auc": (low, high)}


def agreeing(
    figures: Mapping[str, Printed], sizes: Iterable[int], n_positive: Iterable[int] | None = None
) -> pd.DataFrame:
    """Return the confusion matrices that agree with all printed measures.

    Parameters
    ----------
    figures : mapping of str to Printed
        Measures of one set of people, by name.
    sizes : iterable of int
        How many people that may be.
    n_positive : iterable of int, optional
        How many of them may have the event.

    Returns
    -------
    pandas.DataFrame
        Columns ``tp``, ``fp``, ``fn``, ``tn``.
    """
    positive = None if n_positive is None else list(n_positive)
    found = []
    for n in sizes:
        matrices = all_matrices(n, positive)
        fits = np.ones(len(matrices), dtype=bool)
        values = measures(matrices)
        for name, figure in figures.items():
            low, high = values[name]
            fits &= (low <= figure.high + SLACK) & (high >= figure.low - SLACK)
        found.append(matrices[fits])
    return pd.DataFrame(np.concatenate(found), columns=["tp", "fp", "fn", "tn"])


def describe(found: pd.DataFrame) -> tuple[str, str, dict[str, object]]:
    """Return a severity, a sentence and the matrices that were found.

    Parameters
    ----------
    found : pandas.DataFrame
        As `agreeing` returns it.

    Returns
    -------
    tuple of str, str and dict
    """
    listed = found.to_dict("records")
    implied: dict[str, object] = {"count": len(found), "matrices": listed[:1000]}
    if not len(found):
        return "error", "no confusion matrix has these values", implied
    first = ", ".join(f"{str(name).upper()} {value}" for name, value in listed[0].items())
    if len(found) == 1:
        return "note", f"one confusion matrix has these values: {first}", implied
    return (
        "note",
        f"{len(found)} confusion matrices have these values, for example {first}",
        implied,
    )
