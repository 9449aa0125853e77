"""Delimited text: its encoding, its delimiter, and its records with the lines they start on."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Collection

from ...errors import FormatError, list_some

__all__ = ["decode", "find_delimiter", "read_records"]

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_LINE_END = re.compile(r"\r\n|\r|\n")


def delimiter_name(delimiter: str) -> str:
    """Name a delimiter for messages."""
    return _NAMES.get(delimiter, repr(delimiter))


def decode(data: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    """Return the text of a file and the encoding it was read in.

    Raises
    ------
    FormatError
        When the bytes aren't text of this encoding.
    """
    if encoding is None:
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        used = "utf-16" if utf16 else "utf-8"
    else:
        used = encoding
    try:
        text = data.decode(used)
    except LookupError as error:
        raise FormatError(
            f"no text encoding is called {encoding!r}",
            where=name,
            remedy="pass one that Python knows, for example encoding='cp1251'",
        ) from error
    except UnicodeDecodeError as error:
        line = _line_after(data[: error.start].decode(used, "replace"))
        raise FormatError(
            f"the byte 0x{data[error.start]:02x} at offset {error.start} is not {used}",
            where=f"{name}, line {line}",
            remedy="name the encoding the file was saved in, for example encoding='cp1251' "
            "(Cyrillic), 'cp1252' (Western Europe) or 'utf-16-le', or save it as UTF-8",
        ) from error
    text = text.removeprefix("\ufeff")
    nul = text.find("\x00")
    if nul >= 0:
        raise FormatError(
            f"a NUL character at offset {nul}: the file is binary, or UTF-16 without a mark",
            where=f"{name}, line {_line_after(text[:nul])}",
            remedy="pass a CSV, TSV, Excel (.xlsx) or Parquet file, or encoding='utf-16-le'",
        )
    return text, used


def _line_after(before: str) -> int:
    return len(_LINE_END.findall(before)) + 1


def find_delimiter(text: str, name: str, expected: Collection[str]) -> str:
    """Find the delimiter with which the header and the records agree.

    The candidates are comma, semicolon, tab and bar. First counts how many of the
    `expected` headers (lower case) appear, then the share of records with as many fields
    as the header, then the number of fields.

    Raises
    ------
    FormatError
        When two delimiters fit equally well.
    """
    lines = list(itertools.islice(io.StringIO(text, newline=""), 1000))
    scores: dict[str, tuple[int, float, int]] = {}
    for candidate in _NAMES:
        try:
            rows = [row for row in csv.reader(lines, delimiter=candidate) if "".join(row).strip()]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        header, body = rows[0], rows[1:]
        if len(lines) == 1000:
            # The cut may run through a quoted cell.
            body = body[:-1]
        found = sum(field.strip().casefold() in expected for field in header)
        agreeing = sum(len(row) == len(header) for row in body) / len(body) if body else 1.0
        scores[candidate] = (found, agreeing, len(header))
    if not scores:
        return ","
    best = [one for one, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        raise FormatError(
            f"the delimiter may be {' or '.join(map(delimiter_name, best))}",
            where=name,
            remedy=f"name it, for example delimiter={best[0]!r}",
        )
    return best[0]


def read_records(
    text: str, name: str, delimiter: str
) -> tuple[list[tuple[str, ...]], list[int], int]:
    r"""Split text into records.

    Parameters
    ----------
    text : str
        Text with any line ends: ``\n``, ``\r\n`` or ``\r``.
    name : str
        File name, for messages.
    delimiter : str
        One character.

    Returns
    -------
    records : list of tuple of str
        Cells as they stand; a blank line is an empty record.
    lines : list of int
        The line, counted from 1, that each record starts on.
    skipped : int
        How many times spaces after a delimiter were skipped, which happens where a quoted
        cell follows such spaces.

    Raises
    ------
    FormatError
        When a quote is never closed, or text follows a closing quote.
    """
    # Only where a quoted cell follows a space: elsewhere the spaces are stripped, and counted,
    # later.
    spaces = re.escape(delimiter) + " +"
    spaced = re.search(spaces + '"', text) is not None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=spaced
    )
    records: list[tuple[str, ...]] = []
    lines: list[int] = []
    start = 1
    try:
        for record in reader:
            # The garbage collector visits lists over and over, but not tuples of text.
            records.append(tuple(record))
            lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        piece = itertools.islice(io.StringIO(text, newline=""), start - 1, reader.line_num)
        opened = _unclosed("".join(piece), delimiter)
        if opened is None:
            raise FormatError(
                f"text follows a closing quote ({error}); the record starts on line {start}",
                where=f"{name}, line {reader.line_num}",
                remedy='write a quote inside a cell twice ("")',
            ) from error
        raise FormatError(
            f"the quote that opens on this line is not closed by line {reader.line_num}",
            where=f"{name}, line {start + opened}",
            remedy="close the quote or remove it; a quote inside a cell is written twice",
        ) from error
    return records, lines, len(re.findall(spaces, text)) if spaced else 0


def _unclosed(piece: str, delimiter: str) -> int | None:
    """Return how many lines into the piece a quoted cell opens that is never closed."""
    quoted = re.compile(rf'(?:\A|[{re.escape(delimiter)}\r\n]) *(")[^"]*(?:""[^"]*)*("?)')
    for match in quoted.finditer(piece):
        if not match[2]:
            return _line_after(piece[: match.start(1)]) - 1
    return None


def check_widths(
    records: list[tuple[str, ...]], lines: list[int], width: int, name: str, *, short_rows: str
) -> int:
    """Check that every record has as many fields as the header.

    Parameters
    ----------
    records, lines
        Records without the header and the blank ones, and their lines.
    width : int
        Number of headers.
    name : str
        File name, for messages.
    short_rows : {"error", "pad"}
        With ``"pad"`` shorter records are filled up, in the list itself.

    Returns
    -------
    int
        How many records were filled up.

    Raises
    ------
    FormatError
        For longer records, and for shorter ones unless they may be filled up.
    """
    widths = list(map(len, records))
    wrong = [i for i, found in enumerate(widths) if found != width]
    if not wrong:
        return 0
    short = [i for i in wrong if widths[i] < width]
    if short_rows == "pad":
        for i in short:
            records[i] += ("",) * (width - widths[i])
        wrong = [i for i in wrong if widths[i] > width]
        if not wrong:
            return len(short)
    first = wrong[0]
    what = f"expected {width} field{'s'[: width != 1]}, found {widths[first]}"
    end = sum(len(_LINE_END.findall(cell)) for cell in records[first]) + lines[first]
    if end > lines[first]:
        what += f" (the record runs to line {end}: is a quote astray?)"
    others = [lines[i] for i in wrong[1:]]
    if others:
        what += f"; likewise the records on the lines {list_some(others)}"
    if width > 1 and len(wrong) == len(records) and set(widths) == {width + 1}:
        remedy = "name every column: the header has one field fewer than all records"
    elif len(wrong) == len(records):
        remedy = "check that the first line is the header, or pass delimiter="
    elif widths[first] > width:
        remedy = "quote cells that contain the delimiter, or pass delimiter="
    else:
        remedy = "complete the record, or pass short_rows='pad' to fill up with missing values"
    raise FormatError(what, where=f"{name}, line {lines[first]}", remedy=remedy)
