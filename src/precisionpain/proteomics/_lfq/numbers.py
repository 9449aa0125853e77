"""Cells of text as numbers: decimal commas, codes for missing, and where a cell is neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some

__all__ = ["MISSING", "Decimal", "read_numbers"]

Decimal = Literal[".", ","] | None
# "Filtered" is Spectronaut's, "n. def." and "#NV" are those of German Excel and MaxQuant users.
MISSING = frozenset(
    {"", "na", "n/a", "nan", "#n/a", "#nv", "null", "none", "filtered", "n. def.", "n.def.", "-"}
)
_COMMA = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"
_GROUPED = r"[+-]?\d{1,3},\d{3}"
_THOUSANDS = r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?"


def read_numbers(
    columns: Sequence[pd.Series[Any]],
    names: Sequence[str],
    *,
    where: str,
    first: int,
    decimal: Decimal,
) -> NDArray[np.float64]:
    """Return columns as numbers; one decimal sign holds for all of them.

    Parameters
    ----------
    columns : sequence of pandas.Series
        Text, or numbers.
    names : sequence of str
        Their headers, for messages.
    where : str
        The file, for messages.
    first : int
        The line of the first cell, for messages.
    decimal : {".", ","}, optional
        Found where it isn't given.

    Returns
    -------
    ndarray of shape (rows, columns)

    Raises
    ------
    FormatError
        At a cell that is neither number nor missing, and where ``1,234`` may be either number.
    """
    n = len(columns[0]) if columns else 0
    out = np.full((n, len(columns)), np.nan)
    unread: list[tuple[int, pd.Series[Any]]] = []
    for j, column in enumerate(columns):
        if decimal != "," or pd.api.types.is_numeric_dtype(column):
            out[:, j] = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            if pd.api.types.is_numeric_dtype(column) or not np.isnan(out[:, j]).any():
                continue
        text = _text(column)
        if decimal == "," or (np.isnan(out[:, j]) & ~_is_missing(text)).any():
            unread.append((j, text))
    if not unread:
        return out
    if decimal is None:
        with_point = any(
            _text(column)[lambda t: ~_is_missing(t)].str.contains(".", regex=False).any()
            for column in columns
            if not pd.api.types.is_numeric_dtype(column)
        )
        decimal = "." if with_point else _decimal_of([t for _, t in unread], names, where)
    for j, text in unread:
        read = text
        if decimal == ",":
            grouped = text.str.fullmatch(_THOUSANDS)
            read = text.where(~grouped, text.str.replace(".", "", regex=False))
            # What has a point still isn't written with a decimal comma.
            read = read.where(~read.str.contains(".", regex=False), "?").str.replace(",", ".")
        values = pd.to_numeric(read, errors="coerce").to_numpy(np.float64)
        bad = np.isnan(values) & ~_is_missing(text)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FormatError(
                f"expected a number, found {text.iloc[row]!r}",
                where=f"{where}, line {row + first}, column {names[j]!r}",
                remedy="decimal= names the decimal sign of the file; an empty cell, NA or NaN mean "
                "missing",
            )
        out[:, j] = values
    return out


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _is_missing(text: pd.Series[Any]) -> NDArray[np.bool_]:
    return text.str.lower().isin(MISSING).to_numpy(bool)


def _decimal_of(texts: list[pd.Series[Any]], names: Sequence[str], where: str) -> Decimal:
    """Tell the decimal sign from cells that no point helps to read."""
    cells = pd.concat(texts)
    cells = cells[cells.str.contains(",", regex=False)]
    if not len(cells) or not cells.str.fullmatch(_COMMA).all():
        return "."
    if cells.str.fullmatch(_GROUPED).all():
        raise FormatError(
            f"the comma in {list_some(cells.unique(), 3)} may be a decimal sign or a separator of "
            "thousands",
            where=f"{where}, columns {list_some(names, 3)}",
            remedy="pass decimal=',' where it is the decimal sign; else export without separators",
        )
    return ","
