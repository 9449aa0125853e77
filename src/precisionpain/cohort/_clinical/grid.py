"""Files as a grid: headers, columns of cells, and the line that each row stands on."""

from __future__ import annotations

import dataclasses
import difflib
import gzip
import hashlib
import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, list_some
from .delimited import check_widths, decode, delimiter_name, find_delimiter, read_records
from .workbook import as_text, excel_records, parquet_records

__all__ = ["Grid", "Notes", "clean", "read_grid"]

# Spaces that a table shows like any other, and marks that it doesn't show at all.
_LOOKALIKES = str.maketrans(
    {"\xa0": " ", "\u2007": " ", "\u202f": " ", "\u200b": None, "\u2060": None, "\ufeff": None}
)
_NOT_TABLES = {
    b"\xd0\xcf\x11\xe0": "an old (.xls) or encrypted Excel file, or another Office document",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
}


class Notes(list[dict[str, Any]]):
    """Provenance: what reading did to the table, one entry for each kind of change."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = table

    def add(self, step: str, n: int, detail: str, column: str | None = None) -> None:
        """Record a change of `n` cells, rows or columns; nothing is recorded for none."""
        if n:
            self.append(
                {"step": step, "table": self.table, "column": column, "n": n, "detail": detail}
            )


@dataclasses.dataclass
class Grid:
    """The cells of a file.

    Parameters
    ----------
    name : str
        File name, with the sheet where there is one.
    unit : {"line", "row"}
        What `lines` counts: lines of a text, rows of a sheet, both from 1, or the rows of
        data of a Parquet file.
    header : list of str
        Distinct and not empty.
    columns : list of list of str
        Cells by column, each as long as `lines`.
    numeric : list of (numpy.ndarray or None)
        By column, which cells are stored as numbers; None where there are none.
    lines : numpy.ndarray
        Where each row starts.
    notes : Notes
        What reading did.
    """

    name: str
    unit: str
    header: list[str]
    columns: list[list[str]]
    numeric: list[np.ndarray | None]
    lines: np.ndarray
    notes: Notes

    def where(self, row: int, column: str, subject: str | None = None) -> str:
        """Name a place for messages."""
        who = f" (subject {subject})" if subject else ""
        return f"{self.name}, {self.unit} {self.lines[row]}, column {column!r}{who}"

    def check_present(self, headers: Iterable[str]) -> None:
        """Raise when the file lacks a header, and say which ones resemble it."""
        absent = [header for header in dict.fromkeys(headers) if header not in self.header]
        if not absent:
            return
        folded = {header.casefold(): header for header in self.header}
        what = f"the file has no column {list_some(absent)}"
        for header in absent[:5]:
            close = difflib.get_close_matches(header.casefold(), folded)
            if close:
                what += f"; {header!r} resembles {list_some([folded[key] for key in close])}"
        raise FormatError(
            what,
            where=self.name,
            remedy=f"correct the name or the map; the file has {list_some(self.header, 40)}",
        )

    def take(self, rows: np.ndarray) -> None:
        """Keep only these rows."""
        self.columns = [[column[i] for i in rows] for column in self.columns]
        self.numeric = [None if numeric is None else numeric[rows] for numeric in self.numeric]
        self.lines = self.lines[rows]


def clean(text: str) -> str:
    """Strip spaces, and write look-alikes of the space as one."""
    return text.strip() if text.isascii() else text.translate(_LOOKALIKES).strip()


def read_grid(
    path: Path,
    *,
    delimiter: str | None,
    encoding: str | None,
    sheet: int | str,
    short_rows: str,
    expected: Collection[str],
) -> Grid:
    """Read a file into a grid.

    Parameters
    ----------
    path : Path
        Delimited text, Excel or Parquet, gzipped or not; the content decides.
    delimiter, encoding, sheet, short_rows
        See `read_clinical_table`.
    expected : collection of str
        Headers in lower case that speak for a delimiter.

    Returns
    -------
    Grid

    Raises
    ------
    FormatError
        When the file isn't a table with one header and at least one row.
    """
    data = _read_bytes(path)
    notes = Notes(path.name)
    digest = hashlib.sha256(data).hexdigest()
    name, unit = path.name, "line"
    if data.startswith(b"\x1f\x8b"):
        data = _decompress(data, name)
    if not data:
        raise FormatError("the file is empty", where=name, remedy="check that it was written")
    for magic, thing in _NOT_TABLES.items():
        if data.startswith(magic):
            raise FormatError(
                f"expected a table, found {thing}", where=name, remedy="save it as .xlsx or CSV"
            )
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    records: Sequence[tuple[Any, ...]]
    if data.startswith(b"PK\x03\x04"):
        records, title = excel_records(data, name, sheet)
        lines = list(range(1, len(records) + 1))
        name, kind = f"{name}, sheet {title!r}", "Excel"
    elif data.startswith(b"PAR1"):
        records, unit, kind = parquet_records(data, name), "row", "Parquet"
        lines = list(range(len(records)))
    elif suffix in ("xlsx", "xlsm", "xls", "parquet", "pq"):
        raise FormatError(
            f"the name ends in .{suffix}, but the content is something else",
            where=name,
            remedy="rename it after its content, for example .csv, or save it again",
        )
    else:
        text, used = decode(data, name, encoding)
        if delimiter is None:
            delimiter = find_delimiter(text, name, expected)
        records, lines, skipped = read_records(text, name, delimiter)
        detail = "anywhere in the text, as quoted cells follow such spaces"
        notes.add("spaces after delimiters skipped", skipped, detail)
        kind = f"{used}, delimiter {delimiter_name(delimiter)}"
    grid = Grid(name, unit, [], [], [], np.empty(0), notes)
    _build(grid, records, lines, typed=kind in ("Excel", "Parquet"), short_rows=short_rows)
    notes.insert(
        0,
        {
            "step": "file read",
            "table": notes.table,
            "column": None,
            "n": len(grid.lines),
            "detail": f"{kind}; {len(grid.lines)} rows, {len(grid.header)} columns; "
            f"sha256 {digest}",
        },
    )
    return grid


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise FormatError(
            "expected a file, found a directory", where=str(path), remedy="name the table itself"
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside)
        raise FormatError(
            "there is no such file",
            where=str(path),
            remedy=f"did you mean {list_some(close)}?" if close else "check the path",
        ) from error
    except OSError as error:
        raise FormatError(
            f"the file can't be opened ({error.strerror})",
            where=str(path),
            remedy="check the permissions and the disk",
        ) from error


def _decompress(data: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise FormatError(
            f"the gzip file is cut off or damaged ({error})",
            where=name,
            remedy="copy or download it again",
        ) from error


def _build(
    grid: Grid,
    records: Sequence[tuple[Any, ...]],
    lines: list[int],
    *,
    typed: bool,
    short_rows: str,
) -> None:
    filled = [i for i, record in enumerate(records) if any(map(_is_filled, record))]
    if not filled:
        raise FormatError(
            "the file holds nothing but blank lines", where=grid.name, remedy="check its content"
        )
    blank = len(records) - len(filled)
    grid.notes.add("blank lines skipped", blank, "empty, or nothing but delimiters and spaces")
    headline = lines[filled[0]]
    raw = as_text(records[filled[0]])[0]
    header = [clean(text) for text in raw]
    changed = sum(a != b and bool(b) for a, b in zip(raw, header, strict=True))
    grid.notes.add("headers stripped", changed, "stray or non-breaking spaces")
    body = [records[i] for i in filled[1:]]
    starts = [lines[i] for i in filled[1:]]
    if not body:
        raise FormatError(
            "there is a header, but no row of data",
            where=grid.name,
            remedy="check that the table was written to its end",
        )
    width = max(map(len, body))
    named = max(width, 1 + max(i for i, name in enumerate(header) if name))
    grid.notes.add("empty columns dropped", len(header) - named, "delimiters after the header")
    header = header[:named]
    if typed:
        header += [""] * (width - len(header))
        body = [record + (None,) * (len(header) - len(record)) for record in body]
    else:
        extra = width - len(header)
        if extra > 0 and all(
            len(record) == width and not any(map(_is_filled, record[-extra:])) for record in body
        ):
            header += [""] * extra
        padded = check_widths(body, starts, len(header), grid.name, short_rows=short_rows)
        grid.notes.add("short rows padded", padded, "absent fields taken as missing")
    _fill(grid, header, body, starts, headline, typed)


def _fill(
    grid: Grid,
    header: list[str],
    body: list[tuple[Any, ...]],
    starts: list[int],
    headline: int,
    typed: bool,
) -> None:
    grid.lines = np.asarray(starts)
    places: dict[str, int] = {}
    unnamed = 0
    for position, (name, cells) in enumerate(zip(header, zip(*body, strict=True), strict=True)):
        if not name:
            row = next((i for i, cell in enumerate(cells) if _is_filled(cell)), None)
            if row is not None:
                raise FormatError(
                    f"column {position + 1} has no header, but holds {str(cells[row])[:40]!r}",
                    where=f"{grid.name}, {grid.unit} {starts[row]}",
                    remedy="give every column with values a header",
                )
            unnamed += 1
            continue
        if name in places:
            raise FormatError(
                f"the columns {places[name] + 1} and {position + 1} are both called {name!r}",
                where=f"{grid.name}, line {headline}",
                remedy="give every column its own header",
            )
        places[name] = position
        texts, numeric = as_text(list(cells)) if typed else (_packed(cells), None)
        if typed and "\x00" in "".join(texts):
            # Text files with NUL were refused; pandas would take the rest of a cell for absent.
            row = next(i for i, text in enumerate(texts) if "\x00" in text)
            raise FormatError(
                f"a NUL character in {texts[row][:40]!r}",
                where=f"{grid.name}, {grid.unit} {starts[row]}, column {name!r}",
                remedy="remove it, or store the bytes elsewhere",
            )
        grid.header.append(name)
        grid.columns.append(texts)
        grid.numeric.append(numeric)
    grid.notes.add("empty columns dropped", unnamed, "neither a header nor values")


def _packed(cells: Sequence[str]) -> list[str]:
    """Copy a column, so that its texts lie side by side: all that follows is much faster."""
    # NUL stands in no cell: text with it was refused.
    return "\x00".join(cells).split("\x00")


def _is_filled(cell: object) -> bool:
    return cell is not None and (not isinstance(cell, str) or bool(clean(cell)))
