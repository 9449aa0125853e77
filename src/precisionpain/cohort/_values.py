"""Numbers and dates as people write them: decimal commas, thousands, order of the day."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import numpy as np

__all__ = [
    "AMBIGUOUS",
    "Convention",
    "are_numbers",
    "looks_like_date",
    "read_date",
    "read_numbers",
    "seen_conventions",
]


def _form(decimal: str, group: str) -> str:
    # A first group can't start with 0, so "0,123" can only be a decimal comma.
    whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:(?:{group}\d{{3}})+|(?: \d{{3}})+))"
    return rf"[+-]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?"


_POINT = _form(r"\.", ",")
_COMMA = _form(",", r"\.")
_IS_POINT = re.compile(_POINT, re.ASCII)
_IS_COMMA = re.compile(_COMMA, re.ASCII)
_IS_NUMBER = re.compile(f"{_POINT}|{_COMMA}", re.ASCII)
_ONLY_POINT = re.compile(f"^(?!{_COMMA}$){_POINT}$", re.ASCII | re.MULTILINE)
_ONLY_COMMA = re.compile(f"^(?!{_POINT}$){_COMMA}$", re.ASCII | re.MULTILINE)
_TWO_POINTS = re.compile(r"\.\d+\.")

AMBIGUOUS = "ambiguous"
Convention = tuple[bool, bool]


def seen_conventions(texts: Sequence[str]) -> Convention:
    """Tell whether cells can only be read with a decimal comma, or only with a point.

    Parameters
    ----------
    texts : sequence of str
        Distinct cells.

    Returns
    -------
    comma, point : bool
        ``"12,5"``, ``"0,125"`` and ``"1.234,5"`` show a decimal comma; ``"1,234"`` and
        ``"1.234"`` show nothing.

    Examples
    --------
    >>> seen_conventions(["12,5", "7"]), seen_conventions(["1,234", "0.5"])
    ((True, False), (False, True))
    """
    joined = "\n".join(texts)
    comma = "," in joined or _TWO_POINTS.search(joined) is not None
    point = "." in joined or joined.count(",") > 1
    return (
        comma and _ONLY_COMMA.search(joined) is not None,
        point and _ONLY_POINT.search(joined) is not None,
    )


def are_numbers(texts: Sequence[str]) -> np.ndarray:
    """Tell which cells can be read as a number in some convention."""
    if _as_floats(texts) is not None:
        return np.ones(len(texts), dtype=bool)
    return np.array([_IS_NUMBER.fullmatch(_minus(text)) is not None for text in texts], dtype=bool)


def read_numbers(
    texts: Sequence[str], decimal: str | None, column: Convention, file: Convention
) -> tuple[np.ndarray, dict[int, str]]:
    """Read cells as numbers.

    Parameters
    ----------
    texts : sequence of str
        Distinct cells, stripped and not empty.
    decimal : {".", ","} or None
        The convention, where the user named it.
    column, file : (bool, bool)
        What `seen_conventions` found in the column, and in all columns of numbers.

    Returns
    -------
    values : numpy.ndarray
        As float64, NaN for cells that can't be read.
    outcomes : dict of int to str
        By position, for cells that aren't plain: ``"decimal comma"``, ``"thousands"``,
        `AMBIGUOUS`, or ``""`` for what is no number.
    """
    as_comma, as_point = _resolve(decimal, column, file)
    pointed = "." in "".join(texts)
    quick = None
    if as_point == "." or not pointed:
        quick = _as_floats(texts)
    if quick is None and as_comma == "," and not pointed:
        quick = _as_floats([text.replace(",", ".") for text in texts])
    if quick is not None:
        return quick, {i: "decimal comma" for i, text in enumerate(texts) if "," in text}
    values = np.full(len(texts), np.nan)
    outcomes: dict[int, str] = {}
    for i, text in enumerate(map(_minus, texts)):
        point = float(_bare(text, ",")) if _IS_POINT.fullmatch(text) else None
        comma = float(_bare(text, ".").replace(",", ".")) if _IS_COMMA.fullmatch(text) else None
        chosen = decimal
        if chosen is None:
            if point is not None and comma is not None and point != comma:
                chosen = as_comma if "," in text else as_point
                if chosen is None:
                    outcomes[i] = AMBIGUOUS
                    continue
            else:
                chosen = "." if point is not None else ","
        value = point if chosen == "." else comma
        if value is None or not np.isfinite(value):
            outcomes[i] = ""
            continue
        values[i] = value
        group = "," if chosen == "." else "."
        if group in text or " " in text:
            outcomes[i] = "thousands"
        elif "," in text:
            outcomes[i] = "decimal comma"
    return values, outcomes


def _resolve(
    decimal: str | None, column: Convention, file: Convention
) -> tuple[str | None, str | None]:
    """Decide what "1,234" and "1.234" mean: the decimal sign of each, or None."""
    if decimal is not None:
        return decimal, decimal
    seen = {(True, False): ",", (False, True): "."}
    if any(column):
        return seen.get(column), seen.get(column)
    # A point is the usual sign, so "1.234" needs no evidence; decimal commas elsewhere in the
    # file make it doubtful, but don't prove the opposite.
    return seen.get(file), None if seen.get(file) == "," else "."


def _as_floats(texts: Sequence[str]) -> np.ndarray | None:
    """Read plain numbers at once; None when one of them isn't plain."""
    try:
        values = np.fromiter(map(float, texts), dtype=float, count=len(texts))
    except ValueError:
        return None
    # Python also reads "1_000", "inf" and the digits of other scripts.
    joined = "".join(texts)
    plain = np.isfinite(values).all() and "_" not in joined and joined.isascii()
    return values if plain else None


def _minus(text: str) -> str:
    return text.replace("\u2212", "-")


def _bare(text: str, group: str) -> str:
    return text.replace(group, "").replace(" ", "")


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})[a-z]*"
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?")
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
_NAMED = [
    re.compile(rf"(?P<day>\d{{1,2}})[ .-]*{_MONTH}[ .,-]*(?P<year>\d{{4}})", re.IGNORECASE),
    re.compile(rf"{_MONTH}[ .-]*(?P<day>\d{{1,2}})[ .,-]+(?P<year>\d{{4}})", re.IGNORECASE),
]
_DATE_LIKE = re.compile(
    r"\d{1,4}[-/]\d{1,2}(?:[-/]\d{1,4})?(?:[T ]\d\d:\d\d.*)?"
    r"|\d{1,2}\.\d{1,2}\.(?:\d{2}|\d{4})"
    rf"|\d{{1,2}}[ -]?(?:{'|'.join(_MONTHS)})[a-z]*(?:[ -]\d{{2,4}})?"
    rf"|(?:{'|'.join(_MONTHS)})[a-z]*[ -]\d{{1,4}}",
    re.IGNORECASE,
)


def looks_like_date(text: str) -> bool:
    """Tell whether text may be a date, as which spreadsheets take 11/5 or 3-4, too."""
    return _DATE_LIKE.fullmatch(text) is not None


def read_date(text: str) -> datetime.datetime | None:
    """Read a date whose day and month can't be confused.

    Parameters
    ----------
    text : str
        ISO 8601 (with or without the time of day), year first, day.month.year with points,
        a month by its English name, or day and month in either order where one of them is
        over 12 or both are the same.

    Returns
    -------
    datetime.datetime or None
        None where the order is open, and for what is no date.

    Examples
    --------
    >>> read_date("13/04/2021"), read_date("03/04/2021")
    (datetime.datetime(2021, 4, 13, 0, 0), None)
    """
    try:
        if _ISO.fullmatch(text):
            return datetime.datetime.fromisoformat(text)
        parts = _date_parts(text)
        return None if parts is None else datetime.datetime(*parts)
    except ValueError:
        return None


def _date_parts(text: str) -> tuple[int, int, int] | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return int(match[1]), int(match[3]), int(match[4])
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        # Dates with points put the day first wherever they are in use.
        if match[2] == "." or first > 12 or first == second:
            return year, second, first
        return (year, first, second) if second > 12 else None
    for form in _NAMED:
        if match := form.fullmatch(text):
            month = _MONTHS.index(match["month"].lower()) + 1
            return int(match["year"]), month, int(match["day"])
    return None
