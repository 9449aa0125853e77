"""Numbers and dates as people write them: decimal commas, thousands, order of the day."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

__all__ = [
    "AMBIGUOUS",
    "Convention",
    "Numbers",
    "Written",
    "looks_like_date",
    "read_date",
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


class Written:
    """Different texts of a column that may be numbers.

    Parameters
    ----------
    texts : sequence of str
        Stripped and not empty.

    Examples
    --------
    >>> Written(["12,5", "1.234,5"]).read().values.tolist()
    [12.5, 1234.5]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    @cached_property
    def _joined(self) -> str:
        return "\n".join(self.texts)

    @cached_property
    def _floats(self) -> np.ndarray | None:
        return self._as_floats(self.texts)

    def _as_floats(self, texts: Sequence[str]) -> np.ndarray | None:
        """Read plain numbers at once; None when one of them isn't plain."""
        # Python also reads "1_000", "inf" and the digits of other scripts.
        if "_" in self._joined or not self._joined.isascii():
            return None
        try:
            values = np.fromiter(map(float, texts), dtype=float, count=len(texts))
        except ValueError:
            return None
        return values if np.isfinite(values).all() else None

    @cached_property
    def convention(self) -> Convention:
        """Whether some text can only have a decimal comma, and whether some only a point.

        ``"12,5"``, ``"0,125"`` and ``"1.234,5"`` show a decimal comma; ``"1,234"`` and
        ``"1.234"`` show nothing.
        """
        joined = self._joined
        comma = self._floats is None and ("," in joined or bool(_TWO_POINTS.search(joined)))
        point = "." in joined or joined.count(",") > 1
        return (
            comma and _ONLY_COMMA.search(joined) is not None,
            point and _ONLY_POINT.search(joined) is not None,
        )

    def are_numbers(self) -> np.ndarray:
        """Tell which texts can be read as a number in some convention."""
        if self._floats is not None:
            return np.ones(len(self.texts), dtype=bool)
        found = (_IS_NUMBER.fullmatch(_minus(text)) is not None for text in self.texts)
        return np.fromiter(found, bool, len(self.texts))

    def read(self, decimal: str | None = None, file: Convention = (False, False)) -> Numbers:
        """Read the texts as numbers.

        Parameters
        ----------
        decimal : {".", ","}, optional
            The decimal sign, where the user named it.
        file : (bool, bool)
            The conventions of all columns of numbers.

        Returns
        -------
        Numbers
        """
        as_comma, as_point = _resolve(decimal, self.convention, file)
        pointed = "." in self._joined
        quick = None
        if as_point == "." or not pointed:
            quick = self._floats
        if quick is None and as_comma == "," and not pointed:
            quick = self._as_floats([text.replace(",", ".") for text in self.texts])
        if quick is not None:
            commas = [i for i, text in enumerate(self.texts) if "," in text]
            return Numbers(quick.copy(), dict.fromkeys(commas, "decimal comma"))
        numbers = Numbers(np.full(len(self.texts), np.nan), {})
        for i, text in enumerate(map(_minus, self.texts)):
            point = float(_bare(text, ",")) if _IS_POINT.fullmatch(text) else None
            comma = float(_bare(text, ".").replace(",", ".")) if _IS_COMMA.fullmatch(text) else None
            chosen = decimal
            if chosen is None:
                if point is not None and comma is not None and point != comma:
                    chosen = as_comma if "," in text else as_point
                    if chosen is None:
                        numbers.outcomes[i] = AMBIGUOUS
                        continue
                else:
                    chosen = "." if point is not None else ","
            value = point if chosen == "." else comma
            if value is None or not np.isfinite(value):
                numbers.outcomes[i] = ""
                continue
            numbers.values[i] = value
            if ("," if chosen == "." else ".") in text or " " in text:
                numbers.outcomes[i] = "thousands"
            elif "," in text:
                numbers.outcomes[i] = "decimal comma"
        return numbers


@dataclasses.dataclass
class Numbers:
    """What texts are as numbers.

    Parameters
    ----------
    values : numpy.ndarray
        As float64, NaN for texts that can't be read.
    outcomes : dict of int to str
        By position, for texts that aren't plain: ``"decimal comma"``, ``"thousands"``,
        `AMBIGUOUS`, or ``""`` for what is no number.
    """

    values: np.ndarray
    outcomes: dict[int, str]


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
