"""Labels of people: by key, two classes, and a stratified part held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import AlignmentError, FormatError, list_some

__all__ = ["as_codes", "as_labels", "hold_out"]


def as_labels(X: Cohort, y: Any) -> np.ndarray:
    """Bring labels into the order of the people.

    Parameters
    ----------
    X : Cohort
    y : pandas.Series or array-like
        A Series goes by its index of subject ids; all else by order.

    Returns
    -------
    numpy.ndarray, shape (n,)

    Raises
    ------
    AlignmentError
        When a person has no label, or more than one.
    FormatError
        When a label is missing.
    """
    if y is None:
        raise FormatError("expected labels y, found None")
    if isinstance(y, pd.Series):
        twice = y.index[y.index.duplicated()]
        absent = X.index.difference(y.index)
        if len(twice) or len(absent):
            raise AlignmentError(
                f"y has several values for {list_some(twice)}"
                if len(twice)
                else f"y has no value for {len(absent)} of {len(X)} people: {list_some(absent)}",
                remedy="give a Series whose index has the subject ids, or an array in the order "
                "of cohort.index",
            )
        y = y.loc[X.index]
    values = np.asarray(y)
    if values.shape != (len(X),):
        raise AlignmentError(
            f"expected one label for each of {len(X)} people, found shape {values.shape}"
        )
    unknown = pd.isna(values)
    if unknown.any():
        raise FormatError(
            f"{int(unknown.sum())} labels are missing, of {list_some(X.index[unknown])}",
            where="y",
            remedy="leave these people out: cohort[y.notna()]",
        )
    return values


def as_codes(labels: np.ndarray, classes: np.ndarray | None = None) -> tuple[np.ndarray, Any]:
    """Code labels as 0 and 1.

    Parameters
    ----------
    labels : numpy.ndarray
    classes : numpy.ndarray, optional
        Known ones; those of the labels when None.

    Returns
    -------
    classes : numpy.ndarray, shape (2,)
    codes : numpy.ndarray of int

    Raises
    ------
    FormatError
        When there aren't two classes, or a label is of neither.
    """
    found = np.unique(labels)
    if classes is None:
        if len(found) != 2:
            raise FormatError(
                f"expected two classes, found {len(found)}: {list_some(found)}",
                where="y",
                remedy="use fewer folds or a stratified splitter" if len(found) < 2 else None,
            )
        classes = found
    strange = [label for label in found if label not in classes]
    if strange:
        raise FormatError(f"expected labels {list_some(classes)}, found {list_some(strange)}")
    return classes, (labels == classes[1]).astype(np.int64)


def hold_out(codes: np.ndarray, share: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide people into those to learn from and those to watch, stratified.

    Parameters
    ----------
    codes : numpy.ndarray of int
        One for each person.
    share : float or None
        To be held out; None for nobody.
    seed : int

    Returns
    -------
    members, held : numpy.ndarray of int
        Positions, ascending.

    Raises
    ------
    FormatError
        When a class would be missing on either side.
    """
    if share is None:
        return np.arange(len(codes)), np.arange(0)
    from sklearn.model_selection import StratifiedShuffleSplit

    n = max(2, round(share * len(codes)))
    if np.bincount(codes, minlength=2).min() < 2 or n > len(codes) - 2:
        raise FormatError(
            f"{len(codes)} people, {np.bincount(codes, minlength=2).tolist()} of each class, are "
            f"too few to hold out {share:g} of them",
            where="early_stopping",
            remedy="use early_stopping=None, or fewer folds",
        )
    splitter = StratifiedShuffleSplit(1, test_size=n, random_state=seed)
    members, held = next(splitter.split(codes, codes))
    return np.sort(members), np.sort(held)
