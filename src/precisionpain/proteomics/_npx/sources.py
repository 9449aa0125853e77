"""Files, folders and archives: what is in them, told by content and not by name."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...errors import FormatError, StorageError
from .delimited import TextTable, encoding_of, find_layout
from .tables import LongTable, ParquetTable
from .wide import Grid, find_panel_row, read_wide

__all__ = ["find_tables"]

Opener = Callable[[], BinaryIO]
_TABLES = (".csv", ".tsv", ".parquet", ".xlsx", ".gz")


def find_tables(
    path: str | Path | Iterable[str | Path],
) -> tuple[list[LongTable], list[str]]:
    """Return the tables of files, and the names of files that are none.

    Raises
    ------
    FormatError
        When a named file is no export, or nothing is.
    StorageError
        When a file doesn't exist, or differs from the checksum beside it.
    """
    if not isinstance(path, str | Path):
        found = [_of_path(Path(one)) for one in path]
        if not found:
            raise FormatError("expected files, found an empty list", where="path")
        return [t for tables, _ in found for t in tables], [
            s for _, others in found for s in others
        ]
    return _of_path(Path(path))


def _of_path(path: Path) -> tuple[list[LongTable], list[str]]:
    if not path.exists():
        raise StorageError("no such file or folder", where=str(path))
    if not path.is_dir():
        tables, skipped = _of_file(str(path), partial(_open, path), named=True)
        return tables, skipped
    tables, skipped = [], []
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            named = file.suffix.lower() in _TABLES
            more, others = _of_file(str(file), partial(_open, file), named=named)
            tables += more
            skipped += others
    if not tables:
        raise FormatError("found no NPX export in the folder", where=str(path))
    return tables, skipped


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StorageError(f"can't be opened ({error})", where=str(path)) from error


def _of_file(name: str, open_it: Opener, named: bool) -> tuple[list[LongTable], list[str]]:
    """Return the tables in one file; one that nobody named may be something else."""
    with open_it() as stream:
        head = stream.read(1 << 16)
    if head.startswith(b"PAR1"):
        return [ParquetTable(name, open_it)], []
    if head.startswith(b"PK\x03\x04"):
        try:
            with open_it() as stream, zipfile.ZipFile(stream) as archive:
                members = archive.namelist()
                locked = any(item.flag_bits & 1 for item in archive.infolist())
        except zipfile.BadZipFile as error:
            raise FormatError(f"the archive is damaged ({error})", where=name) from error
        if locked:
            raise FormatError(
                "the archive is encrypted", where=name, remedy="unpack it with its password first"
            )
        if "[Content_Types].xml" in members:
            return _of_workbook(name, open_it), []
        return _of_archive(name, open_it, members)
    if head.startswith(b"\x1f\x8b"):
        inner = partial(_gunzip, open_it)
        with inner() as stream:
            if stream.read(5) in (b"RDX2\n", b"RDX3\n", b"X\n\x00\x00\x00"):
                head = b"RDX"
            else:
                return _of_file(name, inner, named)
    table = None if head.startswith((b"RDX", b"BZh", b"\xfd7z")) else _of_text(name, open_it, head)
    if table is not None:
        return [table], []
    if not named:
        return [], [name]
    kind = "an R file" if head.startswith(b"RDX") else None
    kind = "an old .xls workbook" if head.startswith(b"\xd0\xcf\x11\xe0") else kind
    raise FormatError(
        f"expected an NPX export, found {kind or 'something else'}",
        where=name,
        remedy="pass a long CSV, TSV or Parquet file (its header has SampleID), a wide .xlsx "
        "(one of its first rows begins with Panel), or a zip of these",
    )


class _Within(io.BufferedReader):
    """A stream inside another one, which is closed with it."""

    def __init__(self, inner: BinaryIO, *below: Any) -> None:
        super().__init__(cast(Any, inner))
        self._below = below

    def close(self) -> None:
        super().close()
        for stream in self._below:
            stream.close()


def _gunzip(open_it: Opener) -> BinaryIO:
    below = open_it()
    return cast(BinaryIO, _Within(cast(BinaryIO, gzip.GzipFile(fileobj=below)), below))


def _of_text(name: str, open_it: Opener, head: bytes) -> LongTable | None:
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0\0" in head:
        return None
    guess = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if guess == "utf-8" and b"\0" in head[:2]:
        guess = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    layout = find_layout(head.decode(guess, "replace"))
    if layout is None:
        return None
    encoding = encoding_of(name, open_it)
    if layout[0] == "long":
        return TextTable(name, open_it, encoding, layout[1])
    with open_it() as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig" if encoding == "utf8" else encoding, newline="")
        return read_wide(name, list(csv.reader(text, delimiter=layout[1])))


def _of_workbook(name: str, open_it: Opener) -> list[LongTable]:
    """Return a table for each sheet that is one; others (notes, lists) are left out."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    with open_it() as stream:
        try:
            # Read-only doesn't mind drawings that the archive names and lacks.
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        except (InvalidFileException, KeyError, zipfile.BadZipFile) as error:
            raise FormatError(f"can't be read as a workbook ({error})", where=name) from error
        found: list[LongTable] = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some writers note a wrong extent
            grid: Grid = [list(row) for row in sheet.iter_rows(values_only=True)]
            where = f"{name}, sheet {sheet.title!r}"
            if find_panel_row(grid) is not None:
                found.append(read_wide(where, grid))
            elif grid and find_layout(";".join("" if c is None else str(c) for c in grid[0])):
                found.append(_long_sheet(where, grid))
        book.close()
    if not found:
        raise FormatError(
            "expected a sheet in which a row begins with Panel, or with a column SampleID",
            where=name,
        )
    return found


def _long_sheet(where: str, grid: Grid) -> LongTable:
    """Read a long table that somebody saved as a workbook."""
    text = io.StringIO()
    width = max(len(row) for row in grid)
    csv.writer(text, delimiter=";").writerows(
        ["" if cell is None else cell for cell in row] + [""] * (width - len(row)) for row in grid
    )
    data = text.getvalue().encode()
    return TextTable(where, lambda: io.BytesIO(data), "utf8", ";")


def _of_archive(
    name: str, open_it: Opener, members: list[str]
) -> tuple[list[LongTable], list[str]]:
    """Return the tables of a zip; checksums in it are compared, what else is in it is named."""
    tables: list[LongTable] = []
    skipped: list[str] = []
    notes: dict[str, str] = {}
    for member in sorted(members):
        if member.endswith("/") or "__MACOSX" in member:
            continue
        where = f"{name}, {member}"
        opener = partial(_member, open_it, member)
        more, others = _of_file(where, opener, named=Path(member).suffix.lower() in _TABLES)
        tables += more
        skipped += others
        if others and re.search(r"md5|sha256|checksum", member, re.I):
            with opener() as stream:
                notes[member] = stream.read(1 << 16).decode("utf-8", "replace")
    if not tables:
        raise FormatError(f"found no NPX export among {sorted(members)[:10]}", where=name)
    wanted = {
        digest.lower()
        for text in notes.values()
        for digest in re.findall(r"\b(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{32})\b", text)
    }
    if wanted:
        _verify(name, open_it, [m for m in members if f"{name}, {m}" not in skipped], wanted)
    return tables, skipped


def _member(open_it: Opener, member: str) -> BinaryIO:
    below = open_it()
    archive = zipfile.ZipFile(below)
    return cast(BinaryIO, _Within(cast(BinaryIO, archive.open(member)), archive, below))


def _verify(name: str, open_it: Opener, members: list[str], wanted: set[str]) -> None:
    for member in members:
        if member.endswith("/") or "__MACOSX" in member:
            continue
        md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with _member(open_it, member) as stream:
            while chunk := stream.read(1 << 20):
                md5.update(chunk)
                sha.update(chunk)
        if not {md5.hexdigest(), sha.hexdigest()} & wanted:
            raise StorageError(
                f"{member} differs from the checksum that is in the archive",
                where=name,
                remedy="download the archive again",
            )
