"""What every fusion asks of its people and their outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, list_some

__all__ = ["check_cohort", "two_classes"]


def check_cohort(X: Any, min_people: int = 0) -> None:
    """Refuse what is no cohort of enough people."""
    if not isinstance(X, Cohort):
        raise FormatError(f"X is a Cohort, found {type(X).__name__}")
    if X.unit != "subject":
        # Two rows of one person would straddle the inner folds.
        raise FormatError(
            f"X is a Cohort of subjects, found a cohort of {X.unit}s",
            remedy="give the cohort of people; NerveMeasures makes one row of both nerves",
        )
    if len(X) < min_people:
        raise FormatError(
            f"expected at least {min_people} training people, found {len(X)}",
            remedy="a model of so few people means nothing; gather more, or pool sites",
        )


def two_classes(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two classes, and 0 and 1 for each of n people."""
    values = np.asarray(y)
    if values.shape != (n,):
        raise AlignmentError(f"expected one outcome for each of {n} people, found {values.shape}")
    if pd.isna(values).any():
        raise FormatError(
            f"{int(pd.isna(values).sum())} outcomes are missing",
            remedy="leave those people out with cohort.require(outcome)",
        )
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) != 2:
        raise FormatError(
            f"expected two classes, found {len(classes)} ({list_some(classes.tolist())})",
            remedy="one class can't be learned from; gather more people, or use fewer folds",
        )
    return classes, codes
