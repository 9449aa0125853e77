"""What a model of time to an event asks of its outcome."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import AlignmentError, DataWarning, FormatError, list_some

__all__ = ["MIN_EVENTS", "survival_outcome"]

MIN_EVENTS = 5


def survival_outcome(y: Any, X: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Return times above 0 and event flags for each person.

    A time of 0 becomes half of the shortest other one, at most 0.5, with a warning.
    """
    time, event = _columns(y, X)
    missing = np.isnan(time) | np.isnan(event)
    if missing.any():
        raise FormatError(
            f"{int(missing.sum())} outcomes are missing",
            remedy="leave those people out with cohort.require(outcome)",
        )
    if np.isinf(time).any():
        raise FormatError(f"{int(np.isinf(time).sum())} times are infinite")
    odd = np.unique(event[~np.isin(event, (0.0, 1.0))])
    if len(odd):
        raise FormatError(
            f"an event is 0 or 1, found {list_some(odd.tolist())}",
            remedy="other causes end the follow-up: give 0 for them",
        )
    if (time < 0).any():
        raise FormatError(
            f"{int((time < 0).sum())} times are negative, the least {time.min():g}",
            remedy="count from the index event to the event or to the last contact",
        )
    flags = event == 1
    if flags.sum() < MIN_EVENTS:
        raise FormatError(
            f"expected at least {MIN_EVENTS} events, found {int(flags.sum()) or 'no event'}",
            remedy="a model of so few events means nothing; gather more, or use fewer folds",
        )
    zero = time == 0
    if zero.any():
        others = time[~zero]
        moved = min(0.5, float(others.min()) / 2) if len(others) else 0.5
        warnings.warn(
            f"{int(zero.sum())} times are 0, which has no logarithm: taken for {moved:g}",
            DataWarning,
            stacklevel=4,
        )
        time = np.where(zero, moved, time)
    return time, flags


def _columns(y: Any, X: Cohort) -> tuple[np.ndarray, np.ndarray]:
    expected = "the outcome is a DataFrame with the columns 'time' and 'event', a structured array "
    expected += "of a flag and a time, or an array of two columns, time first"
    if isinstance(y, pd.DataFrame):
        if not {"time", "event"} <= set(y.columns):
            raise FormatError(f"{expected}; found the columns {list_some(y.columns)}")
        if len(y) == len(X) and not y.index.equals(X.index) and X.index.isin(y.index).all():
            raise AlignmentError(
                "the outcomes are those of the people in another order",
                remedy="align them by key: y.reindex(cohort.index)",
            )
        table = y[["time", "event"]].to_numpy(dtype=float, na_value=np.nan)
    else:
        values = np.asarray(y)
        names = values.dtype.names
        if names is not None and len(names) == 2:
            flag = [name for name in names if values.dtype[name].kind == "b"] or ["event"]
            time = [name for name in names if name != flag[0]]
            if flag[0] not in names:
                raise FormatError(f"{expected}; found the fields {list_some(names)}")
            table = np.column_stack([values[time[0]], values[flag[0]]]).astype(float)
        elif values.ndim == 2 and values.shape[1] == 2:
            try:
                table = values.astype(float)
            except (TypeError, ValueError):
                raise FormatError(f"{expected}; found values that are no numbers") from None
        else:
            raise FormatError(f"{expected}; found the shape {values.shape}")
    if len(table) != len(X):
        raise AlignmentError(
            f"expected one outcome for each of {len(X)} people, found {len(table)}"
        )
    return table[:, 0], table[:, 1]
