"""Outcomes by name: which column, which values count as the event, for which people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import FormatError, MissingModalityError, list_some

__all__ = ["Outcome"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The definition of an outcome over the columns of the subjects table.

    Parameters
    ----------
    column : str, optional
        The column that holds it (binary and number outcomes).
    kind : {"binary", "number", "survival"}, default "binary"
        What `values` returns.
    positive : tuple, optional
        Values that count as the event; every other known value is a non-event.
    at_least, at_most : float, optional
        The event is a value of at least, or at most, this. Exactly one of `positive`,
        `at_least` and `at_most` defines a binary outcome.
    time, event : str, optional
        Columns with the follow-up time and the event flag (survival outcomes).
    where : mapping, optional
        Column → value or values: the people for whom the outcome is defined. It is missing
        for everybody else.
    description : str, optional
        One line for reports.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.cohort import Outcome
    >>> people = pd.DataFrame({"bni": [1, 3, None, 1], "surgery": ["MVD", "MVD", "MVD", "none"]})
    >>> Outcome(column="bni", at_most=2, where={"surgery": "MVD"}).values(people).tolist()
    [1.0, 0.0, nan, nan]
    """

    column: str | None = None
    kind: Literal["binary", "number", "survival"] = "binary"
    positive: tuple[Any, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None
    time: str | None = None
    event: str | None = None
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        if self.positive is not None:
            given = self.positive
            listed = given if isinstance(given, list | tuple | set) else (given,)
            object.__setattr__(self, "positive", tuple(listed))
        rules = [r for r in ("positive", "at_least", "at_most") if getattr(self, r) is not None]
        if self.kind == "survival":
            if self.time is None or self.event is None:
                raise FormatError("a survival outcome needs `time` and `event` columns")
        elif self.column is None:
            raise FormatError(f"a {self.kind} outcome needs a `column`")
        elif self.kind == "binary" and len(rules) != 1:
            raise FormatError(
                "a binary outcome needs exactly one of positive, at_least and at_most, "
                f"found {list_some(rules) or 'none'}"
            )
        elif self.kind not in ("binary", "number"):
            raise FormatError(f"kind is 'binary', 'number' or 'survival', found {self.kind!r}")

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns that the outcome is computed from; none of them may predict it."""
        return tuple(c for c in (self.column, self.time, self.event) if c is not None)

    def values(self, subjects: pd.DataFrame) -> pd.Series | pd.DataFrame:
        """Compute the outcome.

        Parameters
        ----------
        subjects : pandas.DataFrame
            One row per subject.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            Float series (binary: 1.0, 0.0 or NaN), or for survival a frame with the
            columns ``time`` (float) and ``event`` (1.0, 0.0 or NaN).

        Raises
        ------
        MissingModalityError
            When a column is not in the table.
        FormatError
            When a follow-up time is negative, or a flag is neither true nor false.
        """
        needed = [*self.sources, *self.where]
        absent = [name for name in needed if name not in subjects.columns]
        if absent:
            raise MissingModalityError(
                f"the outcome needs the columns {list_some(absent)}, which the subjects table lacks"
            )
        defined = np.ones(len(subjects), dtype=bool)
        for name, allowed in self.where.items():
            values = allowed if isinstance(allowed, list | tuple | set) else (allowed,)
            defined &= subjects[name].isin(list(values)).to_numpy()
        if self.kind == "survival":
            return self._survival(subjects, defined)
        assert self.column is not None
        column = subjects[self.column]
        known = column.notna().to_numpy() & defined
        result = np.full(len(subjects), np.nan)
        if self.positive is not None:
            result[known] = column.isin(list(self.positive)).to_numpy()[known]
        else:
            numbers = _numbers(subjects, self.column)
            if self.kind == "number":
                result[known] = numbers[known]
            elif self.at_least is not None:
                result[known] = numbers[known] >= self.at_least
            else:
                result[known] = numbers[known] <= self.at_most
        return pd.Series(result, index=subjects.index, name=self.column)

    def _survival(self, subjects: pd.DataFrame, defined: np.ndarray) -> pd.DataFrame:
        assert self.time is not None
        assert self.event is not None
        time = _numbers(subjects, self.time)
        event = _numbers(subjects, self.event)
        negative = subjects.index[defined & (time < 0)]
        if len(negative):
            raise FormatError(
                f"a follow-up time is negative for {list_some(negative)}",
                where=f"column {self.time!r}",
                remedy="count days from the index event to the event or to the last contact",
            )
        odd = subjects.index[defined & ~np.isnan(event) & ~np.isin(event, (0.0, 1.0))]
        if len(odd):
            raise FormatError(
                f"an event flag is neither 0 nor 1 for {list_some(odd)}",
                where=f"column {self.event!r}",
            )
        known = defined & ~np.isnan(time) & ~np.isnan(event)
        return pd.DataFrame(
            {"time": np.where(known, time, np.nan), "event": np.where(known, event, np.nan)},
            index=subjects.index,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain JSON values.

        Returns
        -------
        dict
            ``Outcome(**outcome.to_dict())`` gives the same outcome.
        """
        record: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or value == "" or value == {}:
                continue
            if isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = {
                    key: list(item) if isinstance(item, tuple | set) else item
                    for key, item in value.items()
                }
            record[field.name] = value
        return record


def _numbers(subjects: pd.DataFrame, name: str) -> np.ndarray:
    column = subjects[name]
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column.notna() & numbers.isna()
    if wrong.any():
        raise FormatError(
            f"the outcome needs numbers, found {list_some(column[wrong].unique())}",
            where=f"column {name!r}",
            remedy="give the column levels that are numbers, or name the values: positive=...",
        )
    return numbers.to_numpy(dtype=float, na_value=np.nan)
