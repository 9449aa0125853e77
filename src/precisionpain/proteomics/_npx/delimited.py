"""Delimited text: which encoding, delimiter and decimal mark, and where exactly it is wrong."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from ...errors import FormatError
from .names import MISSING, canonical, is_person
from .tables import NUMBERS, LongTable, NotANumber, _as_text

__all__ = ["TextTable", "encoding_of", "find_layout"]

# Arrow reads up to 32 blocks ahead.
_BLOCK = 1 << 23
_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
# 007 and 1e5 in a column that nobody knows are codes, not numbers.
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)([.,]\d+)?([eE][-+]\d+)?")


def encoding_of(name: str, open_it: Callable[[], BinaryIO]) -> str:
    """Return the encoding: UTF-16 and UTF-8 by their marks, UTF-8 where it fits, else cp1252.

    Raises
    ------
    FormatError
        When lines of one file are in different encodings, or the file is binary.
    """
    with open_it() as stream:
        head = stream.read(4)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if head[1:2] == b"\0" or head[:1] == b"\0":
            return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        chunk = head
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = stream.read(1 << 20)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return _eight_bits(name, open_it)
    return "utf8"


def _eight_bits(name: str, open_it: Callable[[], BinaryIO]) -> str:
    """Check that all lines that aren't ASCII are of one kind."""
    utf8: int | None = None
    other: int | None = None
    with open_it() as stream:
        for number, line in enumerate(io.BufferedReader(stream), start=1):  # type: ignore[type-var]
            if line.isascii():
                continue
            if b"\0" in line:
                raise FormatError("the file is binary", where=f"{name}, line {number}")
            try:
                line.decode("utf-8")
                utf8 = utf8 or number
            except UnicodeDecodeError as error:
                if other is None:
                    other, byte, place = number, line[error.start], error.start + 1
            if utf8 and other:
                raise FormatError(
                    f"found the byte 0x{byte:02x}, which isn't UTF-8, as line {utf8} is",
                    where=f"{name}, line {other}, byte {place}",
                    remedy="save the whole file in one encoding, UTF-8 for choice",
                )
    return "cp1252"


def find_layout(head: str) -> tuple[str, str] | None:
    """Tell what the beginning of a text is.

    Returns
    -------
    (layout, delimiter) or None
        ``"long"`` (its first line names the sample), or ``"wide"`` (a line begins with
        Panel); None for what is no export.
    """
    lines = head.lstrip("\ufeff").splitlines()
    lines = [line for line in lines[:12] if line.strip()]
    for delimiter in (";", "\t", ","):
        if not lines or delimiter not in head:
            continue
        first = next(csv.reader([lines[0]], delimiter=delimiter))
        if "sample_id" in {canonical(cell) for cell in first}:
            return "long", delimiter
        for line in lines:
            cells = next(csv.reader([line], delimiter=delimiter))
            if len(cells) > 1 and cells[0].strip().lower() == "panel":
                return "wide", delimiter
    return None


class TextTable(LongTable):
    """A long table as text.

    Parameters
    ----------
    name : str
        For messages.
    open_it : callable
        Opens the file anew.
    encoding : str
        See `encoding_of`.
    delimiter : str
        Semicolon, comma or tab.
    """

    def __init__(
        self, name: str, open_it: Callable[[], BinaryIO], encoding: str, delimiter: str
    ) -> None:
        self._open, self._encoding, self._delimiter = open_it, encoding, delimiter
        rows = self._records()
        self._skip, header = next(rows)
        header = [cell.strip() for cell in header]
        self._fields = len(header)
        while header and not header[-1]:
            header.pop()
        if "" in header:
            raise FormatError(f"column {header.index('') + 1} has no name", where=f"{name}, line 1")
        sample = [row for _, (_, row) in zip(range(2000), rows, strict=False)]
        columns = {
            column: [row[j].strip() for row in sample if j < len(row)]
            for j, column in enumerate(header)
        }
        comma = any(
            _COMMA.fullmatch(cell)
            for column, cells in columns.items()
            if canonical(column) in NUMBERS
            for cell in cells
        )
        self._decimal = "," if comma else "."
        numeric = {
            column
            for column, cells in columns.items()
            if canonical(column) in NUMBERS
            or (
                canonical(column) == column
                and not is_person(column)
                and _are_numbers(cells, self._decimal)
            )
        }
        super().__init__(name, header, numeric)
        # What is whole throughout comes back as whole numbers.
        self.whole = {column for column in numeric if canonical(column) == column}

    def batches(self, ours: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give the columns, batch by batch."""
        import pyarrow as pa
        import pyarrow.csv

        text = pa.dictionary(pa.int32(), pa.string())
        wanted = [self.theirs[mine] for mine in ours]
        types = {name: pa.float64() if name in self.numeric else text for name in wanted}
        # A header that ends in delimiters has columns without a name.
        names = self.columns + [f"\0{j}" for j in range(self._fields - len(self.columns))]
        with self._open() as stream:
            try:
                reader = pyarrow.csv.open_csv(
                    stream,
                    read_options=pyarrow.csv.ReadOptions(
                        encoding=self._encoding,
                        block_size=_BLOCK,
                        column_names=names,
                        skip_rows=self._skip,
                    ),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=self._delimiter),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types=types,
                        include_columns=wanted,
                        decimal_point=self._decimal,
                        strings_can_be_null=True,
                        null_values=list(MISSING),
                    ),
                )
                for batch in reader:
                    yield {
                        mine: batch.column(theirs).to_numpy(zero_copy_only=False)
                        if theirs in self.numeric
                        else _as_text(batch.column(theirs))
                        for mine, theirs in zip(ours, wanted, strict=True)
                    }
            except (pa.ArrowInvalid, UnicodeError) as error:
                raise self._explain(wanted, error) from error

    def locate(self, ours: str, row: int) -> str:
        """Say on which line the cell of a row is; blank lines aren't rows."""
        lines = self._records()
        next(lines)
        number = next((n for seen, (n, _) in enumerate(lines) if seen == row), row + 2)
        return f"{self.name}, line {number}, column {self.theirs.get(ours, ours)!r}"

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Give line numbers and cells; only for the head, and for finding what is wrong."""
        encoding = "utf-8-sig" if self._encoding == "utf8" else self._encoding
        with self._open() as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            reader = csv.reader(text, delimiter=self._delimiter)
            for row in reader:
                if row:
                    yield reader.line_num, row

    def _explain(self, wanted: list[str], error: Exception) -> Exception:
        """Find the first cell that doesn't fit, and say where it is."""
        place = {name: self.columns.index(name) for name in wanted if name in self.numeric}
        records = self._records()
        next(records)
        for line, row in records:
            if len(row) != self._fields:
                return FormatError(
                    f"expected {self._fields} cells, found {len(row)}",
                    where=f"{self.name}, line {line}",
                    remedy="the file was cut off or edited; export it again",
                )
            for name, j in place.items():
                cell = row[j].strip()
                if cell in MISSING or _is_number(cell, self._decimal):
                    continue
                if canonical(name) not in NUMBERS:
                    return NotANumber(name)
                mark = "comma" if self._decimal == "," else "point"
                return FormatError(
                    f"expected a number with a decimal {mark}, found {cell!r}",
                    where=f"{self.name}, line {line}, column {name!r}",
                    remedy="correct the cell; a value that wasn't measured is NA or empty",
                )
        return FormatError(f"can't be read as text: {error}", where=self.name)


def _is_number(cell: str, decimal: str) -> bool:
    if decimal == "," and "." in cell:
        return False
    try:
        float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return False
    return "_" not in cell


def _are_numbers(cells: list[str], decimal: str) -> bool:
    """Tell whether an unknown column holds numbers; one of codes or of nothing doesn't."""
    given = [cell for cell in cells if cell not in MISSING]
    return bool(given) and all(
        _NUMBER.fullmatch(cell) and _is_number(cell, decimal) for cell in given
    )
