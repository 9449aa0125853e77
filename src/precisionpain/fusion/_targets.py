"""What every fusion asks of its people and their outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from .blocks import FeatureBlock, available_blocks
from .harmonize import Harmonized

__all__ = ["check_blocks", "check_cohort", "numbers_of", "saw_inside", "two_classes"]


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


def check_blocks(blocks: Any, X: Cohort) -> None:
    """Refuse what is no mapping, and names that the cohort doesn't know."""
    if not isinstance(blocks, Mapping) or not blocks:
        raise FormatError("blocks is a mapping from names to what each block is made of")
    known = available_blocks(X)
    for name, value in blocks.items():
        features = value
        while isinstance(features, FeatureBlock | Harmonized):
            features = features.features
        if isinstance(features, str) and features not in known:
            raise MissingModalityError(
                f"the cohort has nothing called {features!r} to make features of",
                where=f"blocks[{name!r}]",
                remedy=f"there are {list_some(known)}; or give a transformer",
            )


def two_classes(y: Any, X: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Return the two classes, and 0 and 1 for each person."""
    classes, codes = np.unique(_one_each(y, X), return_inverse=True)
    if len(classes) != 2:
        raise FormatError(
            f"expected two classes, found {len(classes)} ({list_some(classes.tolist())})",
            remedy="one class can't be learned from; gather more people, or use fewer folds",
        )
    return classes, codes


def numbers_of(y: Any, X: Cohort) -> np.ndarray:
    """Return the number of each person."""
    given = _one_each(y, X)
    try:
        values = given.astype(float)
    except (TypeError, ValueError):
        raise FormatError("the outcome isn't a number") from None
    if not np.isfinite(values).all():
        raise FormatError(f"{int((~np.isfinite(values)).sum())} outcomes are infinite")
    if np.ptp(values) == 0:
        raise FormatError(
            f"the outcome is {values[0]:g} for everybody", remedy="there is nothing to learn from"
        )
    return values


def _one_each(y: Any, X: Cohort) -> np.ndarray:
    values = np.asarray(y)
    if values.shape != (len(X),):
        raise AlignmentError(
            f"expected one outcome for each of {len(X)} people, found {values.shape}"
        )
    if isinstance(y, pd.Series) and not y.index.equals(X.index) and X.index.isin(y.index).all():
        raise AlignmentError(
            "the outcomes are those of the people in another order",
            remedy="align them by key: y.reindex(cohort.index)",
        )
    if pd.isna(values).any():
        raise FormatError(
            f"{int(pd.isna(values).sum())} outcomes are missing",
            remedy="leave those people out with cohort.require(outcome)",
        )
    return values


def saw_inside(blocks: Mapping[str, Any], people: Sequence[str]) -> np.ndarray:
    """Tell whom parts of the blocks have learned from that a fit won't make forget them."""
    known = np.zeros(len(people), dtype=bool)
    # What makes no sense is for `fit` to refuse.
    values = blocks.values() if isinstance(blocks, Mapping) else ()
    for value in values:
        if not hasattr(value, "get_params"):
            continue
        fresh = clone(value)
        for part in (fresh, *fresh.get_params(deep=True).values()):
            if isinstance(part, type) or not callable(getattr(part, "saw", None)):
                continue
            try:
                known |= np.asarray(part.saw(people), dtype=bool)
            except NotFittedError:
                continue
    return known
