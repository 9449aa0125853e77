"""The one place where arrays enter: shape, values, and the order of labelled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import AlignmentError, FormatError, list_some

__all__ = [
    "as_numbers",
    "as_outcome",
    "as_outcome_and_probability",
    "as_outcome_and_score",
    "check_fraction",
    "check_same_rows",
]


def _is_number(value: object) -> bool:
    return pd.api.types.is_number(value) or isinstance(value, bool | np.bool_)


def as_numbers(values: ArrayLike, name: str, *, ndim: int = 1) -> NDArray[np.float64]:
    """Return finite numbers as floats.

    Text is refused even where it looks like numbers, because a table that was read as
    text has usually lost its missing codes on the way.

    Parameters
    ----------
    values : array-like
        Numbers or flags.
    name : str
        What to call them in a message.
    ndim : int, default 1
        Number of dimensions that is expected.

    Returns
    -------
    numpy.ndarray of float64

    Raises
    ------
    FormatError
        For text, missing or infinite values, or another number of dimensions.

    Examples
    --------
    >>> as_numbers([True, 2, 0.5], "score").tolist()
    [1.0, 2.0, 0.5]
    """
    array = np.asarray(values)
    if array.dtype.kind == "O":
        flat = pd.Series(array.ravel())
        odd = [value for value in flat.dropna() if not _is_number(value)]
        if odd:
            raise FormatError(f"expected numbers, found {list_some(odd, 3)}", where=name)
        array = flat.to_numpy(dtype=float, na_value=np.nan).reshape(array.shape)
    elif array.dtype.kind not in "fiub":
        raise FormatError(f"expected numbers, found values of type {array.dtype}", where=name)
    array = array.astype(float, copy=False)
    if array.ndim != ndim:
        raise FormatError(f"expected {ndim} dimension(s), found shape {array.shape}", where=name)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise FormatError(
            f"{bad} of {array.size} values are missing or infinite",
            where=name,
            remedy="leave those people out, or impute inside the training folds",
        )
    return array


def as_outcome(y: ArrayLike, *, both_classes: bool = True) -> NDArray[np.bool_]:
    """Return a binary outcome as flags.

    Parameters
    ----------
    y : array-like of shape (n,)
        Flags, or 0 and 1.
    both_classes : bool, default True
        Whether people with and without the event are both needed.

    Returns
    -------
    numpy.ndarray of bool

    Raises
    ------
    FormatError
        For any other value, a missing one, or, if `both_classes`, a single class.

    Examples
    --------
    >>> as_outcome([0, 1, 1.0]).tolist()
    [False, True, True]
    """
    numbers = as_numbers(y, "y")
    event = numbers == 1
    odd = np.unique(numbers[~event & (numbers != 0)])
    if odd.size:
        raise FormatError(
            f"a binary outcome is 0 or 1, found {list_some(odd.tolist())}",
            where="y",
            remedy="say which value is the event, for example y = table['pain'] >= 30",
        )
    if both_classes and (event.all() or not event.any()):
        raise FormatError(
            f"the outcome has only one class: {int(event.sum())} with and "
            f"{int((~event).sum())} without the event",
            where="y",
            remedy="pool the folds, or stratify the split by outcome",
        )
    return event


def check_same_rows(first: object, second: object, names: tuple[str, str]) -> None:
    """Refuse labelled rows that don't match; unlabelled arrays pair by position.

    Parameters
    ----------
    first, second : object
        Whatever the caller was given. Only two pandas objects can disagree.
    names : tuple of str
        What to call them in a message.

    Raises
    ------
    AlignmentError
        When both carry labels and these differ, or are the same in another order. A
        default index (0, 1, 2, …) counts as unlabelled unless the other one permutes it.

    Examples
    --------
    >>> check_same_rows(pd.Series([1, 0], index=["a", "b"]), [0.2, 0.1], ("y", "score"))
    """
    labelled = (pd.Series, pd.DataFrame)
    if not (isinstance(first, labelled) and isinstance(second, labelled)):
        return
    one, two = first.index, second.index
    if one.equals(two):
        return
    positional = isinstance(one, pd.RangeIndex) or isinstance(two, pd.RangeIndex)
    permuted = len(one) == len(two) and not len(one.symmetric_difference(two))
    if permuted or not positional:
        how = "the same labels in another order" if permuted else "different labels"
        raise AlignmentError(
            f"{names[0]} and {names[1]} have {how}",
            remedy=f"bring them in line first: {names[1]}.loc[{names[0]}.index]",
        )


def as_outcome_and_score(
    y: ArrayLike, score: ArrayLike, *, name: str = "score", both_classes: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return outcome flags and finite scores of the same people.

    Parameters
    ----------
    y : array-like of shape (n,)
        Flags, or 0 and 1.
    score : array-like of shape (n,)
        Any finite numbers.
    name : str, default "score"
        What to call the scores in a message.
    both_classes : bool, default True
        Whether people with and without the event are both needed.

    Returns
    -------
    tuple of numpy.ndarray
        Flags and floats, both of shape (n,).

    Raises
    ------
    FormatError
        As `as_outcome` and `as_numbers`, and when the lengths differ.
    AlignmentError
        As `check_same_rows`.

    Examples
    --------
    >>> [part.tolist() for part in as_outcome_and_score([0, 1], [3, 4])]
    [[False, True], [3.0, 4.0]]
    """
    check_same_rows(y, score, ("y", name))
    event = as_outcome(y, both_classes=both_classes)
    numbers = as_numbers(score, name)
    if len(event) != len(numbers):
        raise FormatError(f"y has {len(event)} rows and {name} has {len(numbers)}")
    return event, numbers


def as_outcome_and_probability(
    y: ArrayLike, p: ArrayLike, *, both_classes: bool = True
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return outcome flags and predicted probabilities of the same people.

    Parameters
    ----------
    y : array-like of shape (n,)
        Flags, or 0 and 1.
    p : array-like of shape (n,)
        Predicted probability of the event, 0 to 1.
    both_classes : bool, default True
        Whether people with and without the event are both needed.

    Returns
    -------
    tuple of numpy.ndarray
        Flags and floats, both of shape (n,).

    Raises
    ------
    FormatError
        As `as_outcome_and_score`, and for values outside 0 to 1.
    AlignmentError
        As `check_same_rows`.

    Examples
    --------
    >>> [part.tolist() for part in as_outcome_and_probability([0, 1], [0.2, 1.0])]
    [[False, True], [0.2, 1.0]]
    """
    event, numbers = as_outcome_and_score(y, p, name="p", both_classes=both_classes)
    if numbers.size and (numbers.min() < 0 or numbers.max() > 1):
        raise FormatError(
            f"a probability lies between 0 and 1, found {numbers.min():g} to {numbers.max():g}",
            where="p",
            remedy="pass predict_proba(X)[:, 1], not decision_function(X)",
        )
    return event, numbers


def check_fraction(value: float, name: str) -> None:
    """Refuse what isn't strictly between 0 and 1.

    Parameters
    ----------
    value : float
        A confidence, a prevalence, a fraction.
    name : str
        What to call it in a message.

    Raises
    ------
    FormatError
        When it isn't.

    Examples
    --------
    >>> check_fraction(0.95, "confidence")
    """
    if not 0 < value < 1:
        raise FormatError(f"{name} lies strictly between 0 and 1, found {value!r}")
