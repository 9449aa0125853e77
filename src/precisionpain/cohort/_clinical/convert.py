"""Cells to typed values, with a message for every cell that doesn't fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ...errors import FormatError, list_some
from ..columns import Column
from .cells import ABSENT, Cells
from .grid import Grid, Notes
from .values import AMBIGUOUS, Convention, looks_like_date, read_date

__all__ = ["Problems", "check_column", "convert", "holds_numbers", "report"]

_EXPECTED = {
    "number": "a number",
    "integer": "a whole number",
    "duration": "a duration (a number of at least 0)",
    "ordinal": "a number, as the column has no levels",
}
_FLAGS = {
    **dict.fromkeys(("yes", "true", "1", "1.0", "y"), True),
    **dict.fromkeys(("no", "false", "0", "0.0", "n"), False),
}
_EXCEL_ERRORS = ("#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")
_SHOWN = 40
_MOST = 5
# Doubles hold every whole number below.
_WHOLE = 2**53

_CORRECT = "correct the cell, list it in Column(missing=[...]), or give the column another kind"
_DECIMAL = "say what the comma means with decimal=',' or decimal='.'"
_ISO = "write dates as YYYY-MM-DD, or read the column as kind='text'"


@dataclasses.dataclass
class Problems:
    """The cells of one column that can't be read.

    Parameters
    ----------
    cells : Cells
        The column.
    found : dict of int to (str, str)
        Position of a text → what is wrong, and the remedy.
    """

    cells: Cells
    found: dict[int, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def add(self, position: int, expected: str, remedy: str, more: str = "") -> None:
        """Record that a text isn't what was expected."""
        text = self.cells.texts[position]
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        self.found[position] = f"expected {expected}, found {shown!r}{more}", remedy

    def rows(self) -> np.ndarray:
        """Rows with a cell that can't be read."""
        return np.flatnonzero(np.isin(self.cells.codes, list(self.found)))


def report(grid: Grid, found: list[Problems], subjects: np.ndarray) -> FormatError:
    """Return one error for all cells that can't be read: the first few, and how many more."""
    rows = [problems.rows() for problems in found]
    places = sorted((int(row), k) for k, column in enumerate(rows) for row in column[:_MOST])[
        :_MOST
    ]
    lines = []
    remedies: dict[str, None] = {}
    for row, k in places:
        cells = found[k].cells
        what, remedy = found[k].found[int(cells.codes[row])]
        lines.append((grid.where(row, cells.header, subjects[row]), what))
        remedies[remedy] = None
    total = sum(map(len, rows))
    if total == 1:
        where, what = lines[0]
        return FormatError(what, where=where, remedy="; ".join(remedies))
    text = "".join(f"\n  {where}: {what}" for where, what in lines)
    if total > len(lines):
        text += f"\n  and {total - len(lines)} more"
    return FormatError(
        f"{total} cells can't be read{text}", where=grid.name, remedy="; ".join(remedies)
    )


def holds_numbers(column: Column) -> bool:
    """Tell whether the cells of a column are read as numbers."""
    return column.kind in ("number", "integer", "duration") or (
        column.kind == "ordinal" and column.levels is None
    )


def check_column(name: str, column: Column) -> None:
    """Check that a column's settings suit its kind.

    Raises
    ------
    FormatError
        For a factor or range on what isn't a number, and for levels that don't fit.
    """
    stored = [] if column.levels is None else [v for v in column.levels.values() if v is not None]
    numeric = [isinstance(value, int | float) for value in stored]
    wrong = None
    if column.factor != 1.0 and not holds_numbers(column):
        wrong = "a factor applies to numbers"
    elif (column.minimum, column.maximum) != (None, None) and not (
        holds_numbers(column) or column.kind == "ordinal"
    ):
        wrong = "minimum and maximum apply to numbers"
    elif column.kind == "date" and stored:
        wrong = "levels don't apply to dates"
    elif holds_numbers(column) and not all(numeric):
        wrong = "the levels must stand for numbers"
    elif column.kind == "flag" and any(value not in (True, False) for value in stored):
        wrong = "the levels must stand for true and false"
    elif column.kind == "ordinal" and all(numeric) and stored != sorted(stored):
        wrong = "the levels must be listed in rising order"
    if wrong is not None:
        raise FormatError(
            f"{wrong}; the column's kind is {column.kind!r}", where=f"column map, column {name!r}"
        )


def convert(
    cells: Cells, decimal: str | None, file: Convention, notes: Notes
) -> tuple[Any, Problems]:
    """Convert the cells of one column, whose kind is known.

    Parameters
    ----------
    cells : Cells
        The cells.
    decimal : {".", ","} or None
        The decimal sign, where the user named it.
    file : (bool, bool)
        What the columns of numbers show of decimal commas and points.
    notes : Notes
        Takes what was changed.

    Returns
    -------
    values : array
        One per row, of the dtype of the kind.
    problems : Problems
        The cells that can't be read; their values are missing.
    """
    problems = Problems(cells)
    kind = cells.column.kind
    if holds_numbers(cells.column):
        numbers = _numbers(cells, decimal, file, notes, problems)
        return _number_array(cells, numbers), problems
    read = _reader(cells, problems)
    values = np.full(len(cells.texts), np.nan, dtype=object)
    for i in cells.known:
        if cells.texts[i] in _EXCEL_ERRORS:
            problems.add(i, "a value", "correct the formula in the workbook")
        else:
            values[i] = read(i)
    if kind == "category":
        _note_case(cells, notes)
    if kind == "ordinal":
        numbers = values.astype(float)
        _check_range(cells, numbers, problems)
        return _number_array(cells, numbers), problems
    rows = values[cells.codes]
    if kind == "date":
        return pd.Series(rows).astype("datetime64[ns]").array, problems
    if kind == "flag":
        absent = pd.isna(rows)
        truth = np.where(absent, False, rows).astype(bool)
        return pd.arrays.BooleanArray(truth, absent), problems
    return rows, problems


def _reader(cells: Cells, problems: Problems) -> Callable[[int], Any]:
    """Return a function from the position of a text to its stored value."""
    column, texts, find = cells.column, cells.texts, cells.find_level
    levels = column.levels
    ranks: dict[Any, float] = {}
    if column.kind == "ordinal" and levels is not None:
        labels = [value for value in levels.values() if value is not None]
        numeric = all(isinstance(value, int | float) for value in labels)
        ranks = {
            label: float(label) if numeric else rank
            for rank, label in enumerate(dict.fromkeys(labels))
        }

    def level(i: int) -> Any:
        found = find(texts[i])
        if found is ABSENT:
            assert levels is not None
            known = list_some([str(key) for key in levels], 10)
            remedy = "correct the cell, or add it to the column's levels or missing codes"
            problems.add(i, f"one of {known}", remedy)
            return np.nan
        return ranks.get(found, found)

    def flag(i: int) -> Any:
        found = _FLAGS.get(texts[i].casefold())
        if found is None:
            problems.add(i, "yes or no", "give the column levels, or another kind")
            return np.nan
        return found

    def date(i: int) -> Any:
        found = read_date(texts[i])
        if found is None or not 1678 <= found.year <= 2261:
            what = "a date"
            if looks_like_date(texts[i]):
                what = "an existing date whose day and month can't be confused"
            problems.add(i, what, _ISO)
            return np.nan
        return found

    def text(i: int) -> Any:
        found = find(texts[i])
        return texts[i] if found is ABSENT else found

    if column.kind == "date":
        return date
    if levels is not None and column.kind != "text":
        return level
    return flag if column.kind == "flag" else text


def _numbers(
    cells: Cells, decimal: str | None, file: Convention, notes: Notes, problems: Problems
) -> np.ndarray:
    """Read texts as numbers and return the stored value of each."""
    column = cells.column
    values = np.full(len(cells.texts), np.nan)
    replaced = np.zeros(len(values), dtype=bool)
    if column.levels is not None:
        for i in cells.known:
            found = cells.find_level(cells.texts[i])
            if found is not ABSENT:
                values[i], replaced[i] = found, True
    stored = np.flatnonzero(~cells.missing & ~replaced & cells.stored)
    values[stored] = [float(cells.texts[i]) for i in stored]
    numbers = cells.written.read(decimal, file)
    values[cells.written_at] = numbers.values
    changed = {"decimal comma": 0, "thousands": 0}
    for k, outcome in numbers.outcomes.items():
        i = int(cells.written_at[k])
        if outcome in changed:
            changed[outcome] += int(cells.counts[i])
        elif outcome == AMBIGUOUS:
            problems.add(i, "a number", _DECIMAL, ", which may or may not be in thousands")
        else:
            date = ", which looks like a date" if looks_like_date(cells.texts[i]) else ""
            problems.add(i, _EXPECTED[str(column.kind)], _CORRECT, date)
    for i in stored[~np.isfinite(values[stored])]:
        problems.add(i, _EXPECTED[str(column.kind)], _CORRECT)
    notes.add("decimal commas", changed["decimal comma"], "read as decimal points", cells.header)
    notes.add("thousands", changed["thousands"], "signs between thousands removed", cells.header)
    # A code 999 must also catch the cell 999.0 of a table that a program exported.
    codes = [value for value in map(_as_float, column.missing) if value is not None]
    coded = np.isin(values, codes) & ~replaced
    listed = list_some(sorted({cells.texts[i] for i in np.flatnonzero(coded)}))
    notes.add("missing codes", int(cells.counts[coded].sum()), listed, cells.header)
    values[coded] = np.nan
    values[~replaced] *= column.factor
    _check_range(cells, values, problems)
    return values


def _as_float(code: str) -> float | None:
    try:
        return float(code)
    except ValueError:
        return None


def _check_range(cells: Cells, values: np.ndarray, problems: Problems) -> None:
    """Check stored values against kind, minimum and maximum."""
    column = cells.column
    scaled = column.factor != 1.0
    limits = [
        (values < 0, "a duration of at least 0", column.kind == "duration"),
        (values < _limit(column.minimum), f"at least {column.minimum}", column.minimum is not None),
        (values > _limit(column.maximum), f"at most {column.maximum}", column.maximum is not None),
    ]
    if column.kind == "integer":
        off = np.abs(values - np.round(values)) > 1e-9 * np.maximum(1, np.abs(values))
        limits.insert(0, (off | (np.abs(values) >= _WHOLE), "a whole number", True))
    for beyond, expected, applies in limits:
        for i in np.flatnonzero(beyond) if applies else ():
            more = f" (× {column.factor:g} = {values[i]:g})" if scaled else ""
            problems.add(int(i), expected, _CORRECT, more)


def _limit(value: float | None) -> float:
    return math.nan if value is None else value


def _number_array(cells: Cells, values: np.ndarray) -> Any:
    """Spread the values over the rows: float64, or Int64 for whole kinds."""
    bad = np.isnan(values)
    whole = cells.column.kind == "integer" or (
        cells.column.kind == "ordinal" and bool((values[~bad] == np.round(values[~bad])).all())
    )
    if not whole:
        return values[cells.codes]
    rounded = np.where(bad | (np.abs(values) >= _WHOLE), 0, np.round(values)).astype(np.int64)
    return pd.arrays.IntegerArray(rounded[cells.codes], bad[cells.codes])


def _note_case(cells: Cells, notes: Notes) -> None:
    """Record values without levels that differ only by case: likely the same thing."""
    if cells.column.levels is not None:
        return
    spellings: dict[str, set[str]] = {}
    for i in cells.known:
        spellings.setdefault(cells.texts[i].casefold(), set()).add(cells.texts[i])
    several = [" / ".join(sorted(group)) for group in spellings.values() if len(group) > 1]
    detail = f"kept apart: {list_some(several)}; list them in levels to merge them"
    notes.add("levels that differ by case", len(several), detail, cells.header)
