"""First pass over the long tables: which samples, which assays, and what belongs to which.

Nothing but the distinct values is held, so a file may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError
from .names import KEYS, LIMITS, VALUES
from .tables import LongTable, NotANumber

__all__ = ["CELLS", "Attribute", "Survey"]

Ints = NDArray[np.int64]

# Always of the single value; never asked whether they belong to a sample or an assay.
CELLS = (*VALUES, *LIMITS, "count", "ext_npx", "pc_normalized_npx")
# Of the assay by definition. Files may disagree with themselves about these.
OF_ASSAY = ("olink_id", "uniprot", "gene", "panel", "block", "assay_type")
_UNSET = np.iinfo(np.int64).min
_RUN = ("obs_name", *KEYS)


class Codes:
    """Distinct things, in the order in which they came."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._code: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.items)

    def one(self, item: Hashable) -> int:
        """Return the code of one thing."""
        code = self._code.get(item)
        if code is None:
            code = self._code[item] = len(self.items)
            self.items.append(item)
        return code

    def of(self, array: Any) -> Ints:
        """Return the codes of a dictionary array; −1 for missing."""
        words = array.dictionary.to_pylist()
        codes = np.array([*(self.one(word) for word in words), -1], dtype=np.int64)
        places = array.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        return codes[places]


def combine(parts: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Give numbers to the distinct rows of several columns of codes.

    Returns
    -------
    (codes, first) : (ndarray, ndarray)
        The number of each row's combination, in the order of appearance, and the first row
        of each combination.
    """
    key = np.zeros(len(parts[0]), dtype=np.int64)
    span = 1
    for part in parts:
        size = int(part.max(initial=-1)) + 2
        if span * size > 2**62:
            key, distinct = pd.factorize(key)
            span = len(distinct)
        key = key * size + (part + 1)
        span *= size
    codes, distinct = pd.factorize(key)
    first = np.empty(len(distinct), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes.astype(np.int64), first


class Attribute:
    """A column that is no value: of the assay, of the sample (on a panel), or of neither.

    Parameters
    ----------
    text : bool
        Whether it holds text.
    """

    def __init__(self, text: bool) -> None:
        self.text = text
        self.words = Codes()
        self.of_assay: Ints | None = np.empty(0, dtype=np.int64)
        self.of_run: Ints | None = np.empty(0, dtype=np.int64)
        self.whole = True

    def codes(self, column: Any) -> Ints:
        """Return what identifies the values: codes of words, or the bits of numbers."""
        if self.text:
            return self.words.of(column)
        # One zero and one NaN.
        numbers = np.where(np.isnan(column), np.nan, column + 0.0)
        return numbers.view(np.int64)

    def see(self, values: Ints, assay: Ints, run: Ints, n_assays: int, n_runs: int) -> None:
        """Give up what the values contradict."""
        self.of_assay = _constant(self.of_assay, assay, values, n_assays)
        self.of_run = _constant(self.of_run, run, values, n_runs)

    def assays(self, n: int) -> Ints | None:
        """Return the value of each assay; None where assays have several."""
        return _padded(self.of_assay, n)

    def runs(self, n: int) -> Ints | None:
        """Return the value of each run; None where runs have several."""
        return _padded(self.of_run, n)

    def read(self, codes: Ints) -> pd.Series:
        """Turn what `codes` returned (and `_UNSET`) back into words or numbers."""
        if self.text:
            words = np.array([*self.words.items, None], dtype=object)
            return pd.Series(words[np.where(codes < 0, len(words) - 1, codes)], dtype=object)
        numbers = np.where(codes == _UNSET, np.nan, codes.view(np.float64))
        whole = self.whole and len(numbers) and bool((numbers == np.floor(numbers)).all())
        return pd.Series(numbers).astype(np.int64) if whole else pd.Series(numbers)


def _padded(known: Ints | None, n: int) -> Ints | None:
    """Fill up with what a file without the column says: nothing."""
    if known is None or len(known) >= n:
        return None if known is None else known[:n]
    return np.concatenate([known, np.full(n - len(known), _UNSET)])


def _constant(known: Ints | None, unit: Ints, values: Ints, n: int) -> Ints | None:
    """Note the value of each unit; None as soon as one has two."""
    if known is None:
        return None
    if len(known) < n:
        known = np.concatenate([known, np.full(max(n - len(known), len(known)), _UNSET)])
    before = known[unit]
    fresh = before == _UNSET
    if fresh.any():
        known[unit[fresh]] = values[fresh]
        before = known[unit]
    return known if bool((before == values).all()) else None


class Survey:
    """What all tables together speak of.

    Parameters
    ----------
    tables : sequence of LongTable
        Read one after the other.
    """

    def __init__(self, tables: Sequence[LongTable]) -> None:
        self.tables = tables
        self.keys = {name: Codes() for name in _RUN}
        self.runs, self.assays = Codes(), Codes()
        self.named: dict[str, dict[int, dict[str, None]]] = {name: {} for name in OF_ASSAY}
        self._words = {name: Codes() for name in OF_ASSAY}
        self.attributes: dict[str, Attribute] = {}
        self.blank = 0
        self.rows = 0
        for number, table in enumerate(tables):
            self._survey(number, table)
        if not self.rows:
            raise FormatError("found a header, but no rows", where=tables[0].name)

    def _survey(self, number: int, table: LongTable) -> None:
        theirs = set(table.theirs)
        others = [mine for mine in table.ours.values() if mine not in (*CELLS, *_RUN, *OF_ASSAY)]
        for name in others:
            text = table.theirs[name] not in table.numeric
            known = self.attributes.setdefault(name, Attribute(text))
            known.whole &= table.theirs[name] in table.whole
            if known.text != text:
                raise NotANumber(table.theirs[name])
        wanted = [name for name in (*_RUN, *OF_ASSAY) if name in theirs]
        wanted = list(dict.fromkeys([*wanted, *others]))
        started = self.rows
        for columns in table.batches(wanted):
            run, assay, kept = self.place(number, table, columns, self.rows - started)
            self._name_assays(columns, assay, kept)
            for name in others:
                attribute = self.attributes[name]
                values = attribute.codes(columns[name])[kept]
                attribute.see(values, assay, run, len(self.assays), len(self.runs))
            self.rows += len(kept)
            self.blank += int((~kept).sum())

    def place(
        self, number: int, table: LongTable, columns: dict[str, Any], row: int
    ) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Return the run and the assay of each row that isn't blank, and which rows these are.

        A run is a sample on one plate (and well, panel and block) in one file.
        """
        n = len(next(iter(columns.values())))
        missing = np.full(n, -1, dtype=np.int64)
        keys = [self.keys[name].of(columns[name]) if name in columns else missing for name in _RUN]
        ids = {
            name: self._words[name].of(columns[name]) if name in columns else missing
            for name in ("olink_id", "panel", "gene")
        }
        sample = keys[1]
        nameless = ids["olink_id"] < 0
        blank = (sample < 0) & nameless & (ids["gene"] < 0)
        if ((sample < 0) & ~blank).any():
            at = int(np.argmax((sample < 0) & ~blank))
            raise FormatError(
                "found a row without SampleID", where=table.locate("sample_id", row + at)
            )
        if (nameless & (ids["gene"] < 0) & ~blank).any():
            at = int(np.argmax(nameless & (ids["gene"] < 0) & ~blank))
            raise FormatError(
                "found a row without OlinkID and without Assay",
                where=table.locate("olink_id", row + at),
            )
        kept = ~blank
        codes, first = combine([key[kept] for key in keys])
        texts = [
            [None if code < 0 else self.keys[name].items[code] for code in key[kept][first]]
            for name, key in zip(_RUN, keys, strict=True)
        ]
        run = np.array([self.runs.one((number, *key)) for key in zip(*texts, strict=True)])[codes]

        # Without an OlinkID the panel and the name of the assay are its identity.
        parts = [ids["olink_id"], *(np.where(nameless, ids[k], -1) for k in ("panel", "gene"))]
        codes, first = combine([part[kept] for part in parts])
        words = [
            [None if code < 0 else self._words[name].items[code] for code in part[kept][first]]
            for name, part in zip(("olink_id", "panel", "gene"), parts, strict=True)
        ]
        names = [
            oid or (f"{panel}:{gene}" if panel else gene)
            for oid, panel, gene in zip(*words, strict=True)
        ]
        assay = np.array([self.assays.one(name) for name in names])[codes]
        return run, assay, kept

    def _name_assays(self, columns: dict[str, Any], assay: Ints, kept: NDArray[np.bool_]) -> None:
        for name in OF_ASSAY[1:]:
            if name not in columns:
                continue
            words = self._words[name]
            codes = words.of(columns[name])[kept]
            _, first = combine([assay, codes])
            for a, code in zip(assay[first].tolist(), codes[first].tolist(), strict=True):
                if code >= 0:
                    self.named[name].setdefault(a, {})[words.items[code]] = None

    def several(self, name: str) -> dict[int, dict[str, None]]:
        """Return the assays to which the files give more than one word."""
        return {a: words for a, words in self.named[name].items() if len(words) > 1}

    def run_table(self) -> pd.DataFrame:
        """Return the runs: their file and keys."""
        return pd.DataFrame(self.runs.items, columns=["file", *_RUN], dtype=object)
