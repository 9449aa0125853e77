"""A tabular export whose header is read at once, and its columns when they are asked for."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...cohort._clinical.delimited import decode
from ...errors import AlignmentError, FormatError, list_some
from .names import squeeze
from .numbers import Decimal, read_numbers

__all__ = ["Table", "TableLike", "open_table"]

TableLike = str | Path | pd.DataFrame
_DELIMITERS = "\t;,|"
_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}
_HEAD = 4 * 1024 * 1024
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


class Table:
    """The header of an export, and a way to its columns.

    Parameters
    ----------
    name : str
        Where it comes from, for messages.
    columns : sequence of str
        The header.
    load : callable
        Takes positions of columns and returns them as a DataFrame with these positions as
        names: text, or numbers where the file has types.
    decimal : {".", ","}, optional
        The decimal sign; found where it isn't given.
    first : int
        Line or row of the file that holds the first record, for messages.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[str],
        load: Callable[[list[int]], pd.DataFrame],
        *,
        decimal: Decimal = None,
        first: int = 2,
    ) -> None:
        self.name = name
        self.columns = list(columns)
        self._load = load
        self._decimal = decimal
        self._first = first
        self._loaded: dict[int, pd.Series[Any]] = {}
        self._n: int | None = None

    @property
    def short(self) -> str:
        """The name of the file without its folder."""
        return Path(self.name).name

    def load(self, positions: Sequence[int]) -> None:
        """Read these columns at once; what was read stays, and blank rows at the end go."""
        wanted = [p for p in dict.fromkeys(positions) if p not in self._loaded]
        if not wanted:
            return
        frame = self._load(wanted)
        self._loaded.update({p: frame[p] for p in wanted})

    def preload(self, headers: Iterable[str], also: Iterable[int] = ()) -> None:
        """Read those of these columns that are there in one go, which a long file rewards."""
        there = [p for header in headers if (p := self.find(header)) is not None]
        self.load([*also, *there])

    def find(self, *headers: str) -> int | None:
        """Return where the first of these headers is; case, spaces and dots don't count."""
        keys = [squeeze(column) for column in self.columns]
        return next((keys.index(squeeze(h)) for h in headers if squeeze(h) in keys), None)

    def need(self, *headers: str) -> int:
        """Return where the first of these headers is.

        Raises
        ------
        FormatError
            When none of them is there.
        """
        position = self.find(*headers)
        if position is None:
            raise FormatError(
                f"expected the column {' or '.join(map(repr, headers))}, "
                f"found {list_some(self.columns, 8)}",
                where=self.name,
            )
        return position

    def sampled(self, pattern: str) -> dict[str, int]:
        """Return sample → position for the headers that a pattern (with one group) fits."""
        found: dict[str, int] = {}
        for position, column in enumerate(self.columns):
            match = re.fullmatch(pattern, column.strip(), re.IGNORECASE)
            if match is None:
                continue
            name = match.group(1).strip()
            if name in found:
                raise AlignmentError(
                    f"the sample {name!r} has two columns: {self.columns[found[name]]!r} and "
                    f"{column!r}",
                    where=self.name,
                )
            found[name] = position
        return found

    def text(self, position: int) -> pd.Series[Any]:
        """Return a column as text, stripped; empty is ``""``."""
        self.load([position])
        column = self._loaded[position]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            # Whole numbers travel as floats where some are missing: 3, not 3.0.
            whole = column.dropna()
            if len(whole) and (whole == np.floor(whole)).all():
                column = column.astype("Int64")
        return column.astype(object).where(column.notna(), "").astype(str).str.strip()

    def numbers(self, positions: Sequence[int]) -> NDArray[np.float64]:
        """Return columns as numbers, rows × columns; missing is NaN.

        Raises
        ------
        FormatError
            Where a cell holds neither a number nor a code for missing, with its line and column.
        """
        self.load(positions)
        return read_numbers(
            [self._loaded[p] for p in positions],
            [self.columns[p] for p in positions],
            where=self.name,
            first=self._first,
            decimal=self._decimal,
        )


def open_table(
    source: TableLike,
    *,
    delimiter: str | None = None,
    decimal: Decimal = None,
    encoding: str | None = None,
    sheet: int | str = 0,
) -> Table:
    """Open a text file (also ``.gz``), an Excel workbook, a Parquet file or a DataFrame.

    The kind is told by the content, never by the name.

    Raises
    ------
    FormatError
        When there is no such file, or it is none of these.
    """
    if isinstance(source, pd.DataFrame):
        names = [str(column) for column in source.columns]
        frame = source.set_axis(range(len(names)), axis=1).reset_index(drop=True)
        return Table("DataFrame", names, lambda p: frame[p], decimal=decimal, first=0)
    path = Path(source)
    if not path.is_file():
        raise FormatError(
            "expected a file, found a folder" if path.is_dir() else "there is no such file",
            where=str(path),
            remedy="name the export itself",
        )
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(b"PAR1"):
        return _open_parquet(path, decimal)
    if magic.startswith(b"PK\x03\x04"):
        return _open_workbook(path, sheet, decimal)
    if magic.startswith(b"\xd0\xcf\x11\xe0"):
        raise FormatError(
            "this is an Excel workbook of before 2007 (.xls)",
            where=str(path),
            remedy="save it as .xlsx or as text",
        )
    return _open_text(path, delimiter, decimal, encoding, packed=magic.startswith(b"\x1f\x8b"))


def _open_parquet(path: Path, decimal: Decimal) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
    except pa.ArrowException as error:
        raise FormatError(f"the Parquet file is damaged ({error})", where=str(path)) from error

    def load(positions: list[int]) -> pd.DataFrame:
        with pq.ParquetFile(path) as file:
            frame = file.read(columns=[names[p] for p in positions]).to_pandas()
        return frame[[names[p] for p in positions]].set_axis(positions, axis=1)

    return Table(str(path), names, load, decimal=decimal, first=1)


def _open_workbook(path: Path, sheet: int | str, decimal: Decimal) -> Table:
    from ...cohort._clinical.workbook import excel_records

    records, title = excel_records(path.read_bytes(), str(path), sheet)
    filled = [i for i, row in enumerate(records) if any(cell is not None for cell in row)]
    if not filled:
        raise FormatError("the sheet is empty", where=f"{path}, sheet {title!r}")
    start = filled[0]
    header = ["" if cell is None else str(cell) for cell in records[start]]
    while header and not header[-1]:
        header.pop()
    body = [row[: len(header)] for i, row in enumerate(records) if i in set(filled[1:])]
    frame = pd.DataFrame(body, columns=range(len(header)), dtype=object)
    return Table(
        f"{path}, sheet {title!r}", header, lambda p: frame[p], decimal=decimal, first=start + 2
    )


def _open_text(
    path: Path, delimiter: str | None, decimal: Decimal, encoding: str | None, *, packed: bool
) -> Table:
    def stream() -> IO[bytes]:
        return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]

    try:
        with stream() as file:
            head = file.read(_HEAD)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if encoding is None:
        encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        # The cut may run through a character.
        lines = head.decode(encoding, "ignore").splitlines()
    except LookupError:
        decode(head, str(path), encoding)  # says that no encoding has this name
        raise
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise FormatError("the file is empty", where=str(path))
    if delimiter is None:
        delimiter = _find_delimiter(lines[first], str(path))
    header = next(csv.reader([lines[first]], delimiter=delimiter))
    # Tables that R wrote with row names have one name fewer than fields.
    if len(lines) > first + 1:
        fields = next(csv.reader([lines[first + 1]], delimiter=delimiter), [])
        if len(fields) == len(header) + 1 and fields[-1].strip():
            header = ["", *header]
    blank = _check_rows(stream, path, delimiter, encoding, len(header), skip=first + 1)

    skipped = [*range(first + 1), *blank]

    def load(positions: list[int]) -> pd.DataFrame:
        with stream() as file:
            frame = pd.read_csv(
                file, sep=delimiter, encoding=encoding, header=None, skiprows=skipped,
                names=list(range(len(header))), usecols=positions, dtype=str, na_filter=False,
                index_col=False, skip_blank_lines=True, low_memory=False,
            )  # fmt: skip
        # A row that ends early lacks its last cells.
        return frame.fillna("")

    return Table(str(path), header, load, decimal=decimal, first=first + 2)


def _find_delimiter(header: str, where: str) -> str:
    widths = {d: len(next(csv.reader([header], delimiter=d))) for d in _DELIMITERS}
    best = max(widths, key=lambda d: widths[d])
    if widths[best] < 2:
        raise FormatError(
            f"expected a table, found one column {header[:60]!r}",
            where=where,
            remedy="export it as text with tabs, semicolons or commas, as Parquet or as .xlsx",
        )
    return best


def _check_rows(
    stream: Callable[[], IO[bytes]],
    path: Path,
    delimiter: str,
    encoding: str,
    width: int,
    *,
    skip: int,
) -> list[int]:
    """Return the lines (from 0) that hold delimiters only.

    A row with more fields than the header is refused: its cells would stand in wrong columns.
    """
    blank: list[int] = []
    try:
        with stream() as file, io.TextIOWrapper(file, encoding=encoding) as text:
            for number, line in enumerate(text, start=1):
                if number <= skip:
                    continue
                if not line.strip(delimiter + " \r\n"):
                    blank.append(number - 1)
                if line.count(delimiter) < width:
                    continue
                fields = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))
                if line.count('"') % 2 or not any(cell.strip() for cell in fields[width:]):
                    continue
                raise FormatError(
                    f"expected {width} cells as in the header, found {len(fields)}",
                    where=f"{path}, line {number}",
                    remedy=f"fields are taken to be parted by {_NAMES.get(delimiter, delimiter)}; "
                    "look for an unquoted one in this line",
                )
    except UnicodeError:
        with stream() as file:
            decode(file.read(), str(path), encoding.removesuffix("-sig"))
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return blank


def _damaged(path: Path, error: Exception) -> FormatError:
    return FormatError(
        f"the gzip file is cut off or damaged ({error})",
        where=str(path),
        remedy="copy or download it again",
    )
