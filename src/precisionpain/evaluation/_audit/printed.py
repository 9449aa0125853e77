"""A printed figure stands for all the values that round to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import pandas as pd

from ...errors import FormatError, list_some

__all__ = ["Printed", "as_rows", "p_range", "printed", "whole_number"]

# Sums of a few floats err in the last bits; no printed digit is that fine.
SLACK = 1e-9


@dataclasses.dataclass(frozen=True)
class Printed:
    """A printed figure and the values that round to it.

    Parameters
    ----------
    value : float
        As printed.
    digits : int
        Decimals.
    """

    value: float
    digits: int

    @property
    def low(self) -> float:
        """The least value that may be printed so; a half may be rounded either way."""
        return self.value - 0.5 * 10.0**-self.digits - SLACK

    @property
    def high(self) -> float:
        """The greatest value that may be printed so."""
        return self.value + 0.5 * 10.0**-self.digits + SLACK

    def allows(self, low: float, high: float) -> bool:
        """Say whether a range of possible values reaches into the rounding."""
        return low <= self.high and high >= self.low

    def __str__(self) -> str:
        return f"{self.value:.{self.digits}f}"


def printed(value: object, digits: int, where: str) -> Printed | None:
    """Read a printed figure; text keeps its own decimals, numbers have at least `digits`.

    Parameters
    ----------
    value : object
        A number, or text as printed.
    digits : int
        Decimals of a number that shows fewer: 0.5 stands for 0.50 in a table of two digits.
    where : str
        What to call it in a message.

    Returns
    -------
    Printed or None
        None where nothing was printed.

    Raises
    ------
    FormatError
        When it isn't a number.

    Examples
    --------
    >>> printed("1.95", 1, "mean"), printed(0.5, 2, "auc")
    (Printed(value=1.95, digits=2), Printed(value=0.5, digits=2))
    """
    if _absent(value):
        return None
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        raise FormatError(f"expected a number, found {value!r}", where=where) from None
    if not abs(number) < float("inf"):
        raise FormatError(f"expected a finite number, found {value!r}", where=where)
    decimals = len(text.partition(".")[2]) if "e" not in text.lower() else 0
    return Printed(number, decimals if isinstance(value, str) else max(digits, decimals))


def p_range(value: object, where: str) -> tuple[float, float] | None:
    """Return the p-values that a printed one stands for; ``"<.001"`` is 0 to 0.001.

    Parameters
    ----------
    value : object
        A number, or text; a number has three digits or more.
    where : str
        What to call it in a message.

    Returns
    -------
    tuple of float or None
        None where nothing was printed.

    Raises
    ------
    FormatError
        When it isn't a p-value.

    Examples
    --------
    >>> p_range("<.001", "age")
    (0.0, 0.001)
    """
    if _absent(value):
        return None
    text = str(value).strip()
    below = text.startswith(("<", "≤"))
    figure = printed(text[1:].strip() if below else value, 3, where)
    if figure is None or not 0 <= figure.value <= 1:
        raise FormatError(f"a p-value lies between 0 and 1, found {value!r}", where=where)
    return (0.0, figure.value) if below else (max(0.0, figure.low), min(1.0, figure.high))


def _absent(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "na", "n/a", "-", "–")
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def whole_number(value: object, where: str, *, least: int = 1) -> int | None:
    """Read a count of people or folds.

    Parameters
    ----------
    value : object
        A whole number, or nothing.
    where : str
        What to call it in a message.
    least : int, default 1
        The least that makes sense.

    Returns
    -------
    int or None
        None where nothing is known.

    Raises
    ------
    FormatError
        For anything else.
    """
    figure = printed(value, 0, where)
    if figure is None:
        return None
    if figure.value != int(figure.value) or figure.value < least:
        raise FormatError(f"expected a whole number from {least}, found {value!r}", where=where)
    return int(figure.value)


def as_rows(
    rows: pd.DataFrame | Iterable[Mapping[str, object]], known: Iterable[str]
) -> list[dict[str, object]]:
    """Return the rows of a table as dictionaries, each with a name under ``"row"``.

    Parameters
    ----------
    rows : pandas.DataFrame or iterable of mapping
        The table. Without a column ``row``, names come from the index of a DataFrame.
    known : iterable of str
        Columns that mean something.

    Returns
    -------
    list of dict

    Raises
    ------
    FormatError
        For another column, which would be ignored in silence, or no rows.
    """
    if isinstance(rows, pd.DataFrame):
        table: list[dict[str, object]] = [
            {"row": label, **{str(key): value for key, value in record.items()}}
            for label, record in zip(rows.index, rows.to_dict("records"), strict=True)
        ]
    else:
        table = [
            {"row": str(number), **dict(record)} for number, record in enumerate(rows, start=1)
        ]
    if not table:
        raise FormatError("expected at least one row", where="rows")
    names = ["row", *known]
    odd = sorted({key for record in table for key in record} - set(names))
    if odd:
        raise FormatError(
            f"unknown columns {list_some(odd)}",
            where="rows",
            remedy=f"name them as {', '.join(names)}, or leave them out",
        )
    return [{**record, "row": str(record["row"])} for record in table]
