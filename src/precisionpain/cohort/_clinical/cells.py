"""The cells of one column: each different text once, what is missing, what it may hold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..columns import Column, Kind
from .grid import Notes, clean
from .values import Written, read_date

__all__ = ["ABSENT", "Cells", "infer_kind"]

ABSENT = object()

# Keeps a cell stored as the number 5 apart from one that says "5". It begins with a code that
# is no character; NUL wouldn't do, because pandas compares texts only up to it.
_STORED = "\uffffnumber"
# Up to so many different values make a category; more are free text.
_MOST_LEVELS = 20
# From this share of numbers on, the rest are taken for errors in a column of numbers.
_MOSTLY = 0.8
# A double holds so many digits for certain; longer runs of digits are codes.
_DIGITS = 15


class Cells:
    """The cells of one column.

    Parameters
    ----------
    header : str
        Its header.
    cells : list of str
        The cells as they stand in the file.
    numeric : numpy.ndarray or None
        Which of them are stored as numbers.
    column : Column
        What is known of it.
    missing : iterable of str
        Codes that mean "missing", besides those of `column`.

    Attributes
    ----------
    texts : list of str
        The different cells, stripped. Two of them may be equal.
    codes : numpy.ndarray
        By row, the position in `texts`.
    counts : numpy.ndarray
        By text, in how many rows it stands.
    stored : numpy.ndarray
        By text, whether it is stored as a number and not written as text.
    missing : numpy.ndarray
        By text, whether it means "missing".
    find_level : callable
        From a text to the stored value of its level, or `ABSENT`.
    """

    def __init__(
        self,
        header: str,
        cells: list[str],
        numeric: np.ndarray | None,
        column: Column,
        missing: Iterable[str],
    ) -> None:
        self.header = header
        self.column = column
        keys = np.empty(len(cells), dtype=object)
        keys[:] = cells
        if numeric is not None:
            keys[numeric] += _STORED
        self.codes, unique = pd.factorize(keys)
        raw = list(unique)
        self.counts = np.bincount(self.codes, minlength=len(raw))
        self.stored = np.zeros(len(raw), dtype=bool)
        if numeric is not None:
            self.stored[self.codes[numeric]] = True
            raw = [key.removesuffix(_STORED) for key in raw]
        self.texts = list(map(clean, raw))
        self._changed = np.fromiter(map(operator.ne, raw, self.texts), bool, len(raw))
        self.find_level = level_finder(column.levels)
        self.missing = self._find_missing(missing)

    def _find_missing(self, codes: Iterable[str]) -> np.ndarray:
        own = {clean(code).casefold() for code in self.column.missing}
        usual = {clean(code).casefold() for code in codes}
        if self.column.levels is None:
            every = own | usual | {""}
            longest = max(map(len, every))
            # The length first, for the sake of columns with very many different numbers.
            found = [len(text) <= longest and text.casefold() in every for text in self.texts]
            return np.array(found, dtype=bool)
        result = np.zeros(len(self.texts), dtype=bool)
        for i, text in enumerate(self.texts):
            folded = text.casefold()
            level = self.find_level(text)
            # A level that the map names isn't missing, though it be called "None" or "-".
            unnamed = level is None or (level is ABSENT and folded in usual)
            result[i] = not text or folded in own or unnamed
        return result

    @property
    def known(self) -> np.ndarray:
        """Positions of the texts that aren't missing."""
        return np.flatnonzero(~self.missing)

    @cached_property
    def written_at(self) -> np.ndarray:
        """Positions of the texts that are neither missing, stored as numbers, nor levels."""
        places = np.flatnonzero(~self.missing & ~self.stored)
        if self.column.levels is None:
            return places
        return np.array([i for i in places if self.find_level(self.texts[i]) is ABSENT], dtype=int)

    @cached_property
    def written(self) -> Written:
        """These texts, as possible numbers."""
        places = self.written_at
        every = len(places) == len(self.texts)
        return Written(self.texts if every else [self.texts[i] for i in places.tolist()])

    def note(self, notes: Notes) -> None:
        """Record stripped spaces and missing codes."""
        filled = np.fromiter(map(bool, self.texts), bool, len(self.texts))
        stripped = int(self.counts[self._changed & filled].sum())
        notes.add("spaces stripped", stripped, "stray or non-breaking spaces", self.header)
        coded: dict[str, int] = {}
        for i in np.flatnonzero(self.missing & filled):
            coded[self.texts[i]] = coded.get(self.texts[i], 0) + int(self.counts[i])
        listed = ", ".join(f"{code!r} ({n})" for code, n in coded.items())
        notes.add("missing codes", sum(coded.values()), listed, self.header)


def level_finder(levels: Mapping[str, Any] | None) -> Callable[[str], Any]:
    """Return a function from a text to its stored value, or to `ABSENT`.

    Levels match exactly, or else without regard to case unless that is ambiguous.
    """
    exact: dict[str, Any] = {}
    for key, value in (levels or {}).items():
        spellings = [str(key)]
        if isinstance(key, bool):
            # YAML reads an unquoted yes or no as a truth value.
            spellings += ["yes", "on"] if key else ["no", "off"]
        for spelling in spellings:
            exact.setdefault(clean(spelling), value)
    folded: dict[str, Any] = {}
    for spelling, value in exact.items():
        key = spelling.casefold()
        folded[key] = value if folded.get(key, value) == value else ABSENT

    def find(text: str) -> Any:
        found = exact.get(text, ABSENT)
        return folded.get(text.casefold(), ABSENT) if found is ABSENT else found

    return find


def infer_kind(cells: Cells) -> Kind:
    """Guess what a column holds; `read_clinical_table` documents the rules."""
    levels = cells.column.levels
    if levels is not None:
        values = [value for value in levels.values() if value is not None]
        return "flag" if values and all(isinstance(value, bool) for value in values) else "category"
    known = cells.known
    if not len(known):
        return "number"
    texts = cells.texts if len(known) == len(cells.texts) else [cells.texts[i] for i in known]
    if all(text.casefold() in ("yes", "no", "true", "false") for text in texts):
        return "flag"
    numeric = cells.stored.copy()
    numeric[cells.written_at] = cells.written.are_numbers()
    counts = cells.counts
    share = counts[numeric].sum() / counts[known].sum()
    # Codes of digits would change as numbers: 007, or very long ones.
    coded = (t.isdigit() and ((t[0] == "0" and len(t) > 1) or len(t) > _DIGITS) for t in texts)
    if share >= _MOSTLY and not any(coded):
        return "integer" if all(text.lstrip("+-").isdigit() for text in texts) else "number"
    if all(read_date(text) is not None for text in texts):
        return "date"
    few = len(set(texts)) <= min(_MOST_LEVELS, max(2, counts[known].sum() // 2))
    return "category" if few else "text"
