"""Clinical tables: any file in, one typed table out, every cell accounted for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ..errors import FormatError, list_some
from ._clinical.cells import Cells, infer_kind
from ._clinical.convert import Problems, check_column, convert, holds_numbers, report
from ._clinical.grid import Grid, clean, read_grid
from ._clinical.values import looks_like_date
from .columns import Column, as_columns, assume_column
from .keys import check_unique

__all__ = ["DEFAULT_MISSING", "read_clinical_table"]

DEFAULT_MISSING = ("", "NA", "N/A", "NaN", "null", "None", ".", "-", "#N/A")

_ID_HEADERS = ("participant_id", "subject_id", "bids_id", "subject", "id", "patient_id")

Unlisted = Literal["keep", "drop", "error"]
ShortRows = Literal["error", "pad"]


def read_clinical_table(
    path: str | Path,
    columns: Mapping[str, Column | Mapping[str, Any] | str | None] | str | Path | None = None,
    *,
    id_column: str | None = None,
    visit_column: str | None = None,
    delimiter: str | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    sheet: int | str = 0,
    missing: Sequence[str] = DEFAULT_MISSING,
    unlisted: Unlisted = "keep",
    short_rows: ShortRows = "error",
) -> pd.DataFrame:
    r"""Read a table of people: delimited text, Excel or Parquet.

    Nothing is dropped or changed silently. A cell that doesn't fit its column is an error
    that names file, line, column and subject, and all such cells are collected before it is
    raised; what reading may safely repair (spaces, blank lines, decimal commas, empty
    columns) is repaired and counted in the provenance.

    Parameters
    ----------
    path : str or Path
        CSV, TSV or other text with the delimiter ``,`` ``;`` tab or ``|``; Excel
        (``.xlsx``); Parquet; each also gzipped. The first line that isn't blank is the
        header.
    columns : mapping, str, Path or None
        Stored name → `Column`, in the order of the result, in any form that `as_columns`
        takes. None keeps every column under its own header and infers the kinds. An entry
        ``subject_id`` names the column of ids.
    id_column : str, optional
        Header of the subject ids; by default the first of participant_id, subject_id,
        BIDS_ID, subject, id and patient_id, in any case, that the file has.
    visit_column : str, optional
        Header of the visit, for a table with several rows per person.
    delimiter : str, optional
        By default the one with which header and records agree.
    decimal : {".", ","}, optional
        Decimal sign of numbers that are written as text. By default it is read off each
        column: ``12,5``, ``0,125`` and ``1.234,5`` show a comma, ``12.5`` and ``1,234.5``
        a point. A cell ``1,234`` is read like the rest of its column, or else of the file,
        and is an error when these show nothing.
    encoding : str, optional
        By default UTF-8, or UTF-16 where the file starts with its mark.
    sheet : int or str, default 0
        Sheet of an Excel workbook, by position or title.
    missing : sequence of str
        Codes that mean "missing" in every column, matched without regard to case after
        stripping. The empty cell always is. A level that a column names is never missing.
    unlisted : {"keep", "drop", "error"}, default "keep"
        What to do with columns that a map doesn't name: keep them under their headers,
        leave them out, or refuse the table.
    short_rows : {"error", "pad"}, default "error"
        What to do with records that have fewer fields than the header; ``"pad"`` takes the
        absent ones as missing.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``subject_id`` (str); with `visit_column` the columns ``subject_id`` and
        ``visit`` (str) come first and the rows are numbered. ``number`` and ``duration``
        are float64, ``integer`` is Int64, ``ordinal`` Int64 or float64, ``flag`` boolean,
        ``date`` datetime64, ``category`` and ``text`` object, NaN where missing.
        ``attrs["columns"]`` holds the `Column` of every header as a mapping, the kinds
        filled in; the columns that were left out have the role ``unused`` and a reason.
        ``attrs["provenance"]`` is a list of mappings with the keys step, table, column, n
        and detail.

    Raises
    ------
    FormatError
        When the file isn't such a table, or for cells that don't fit.
    AlignmentError
        When an id, or an id and visit, occurs twice.

    Notes
    -----
    A kind that isn't given is inferred. Levels make a category, or a flag where all stand
    for true or false. Otherwise ``yes``, ``no``, ``true`` and ``false`` make a flag. Where
    four cells in five are numbers, the column is one of numbers and the other cells are
    errors; it is one of integers where none has a decimal sign. Codes such as ``007`` are
    no numbers. Dates make a date only where day and month can't be confused. Of the rest,
    one or two different values make a category, and so do up to 20 that stand in two rows
    each on average; more are text, whose role in an unlisted column is ``note``.

    A date is read in ISO form, with the year first, with the name of the month, as
    ``31.12.2021`` with points, or where day and month can't be confused; ``03/04/2021`` is an
    error. Levels are matched as `Column` says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from precisionpain.cohort import read_clinical_table
    >>> path = pathlib.Path(tempfile.mkdtemp(), "people.csv")
    >>> _ = path.write_text("id;Age (years);Side\nsub-01;61,5; R\nsub-02;NA;L\n")
    >>> table = read_clinical_table(path, {
    ...     "age": {"source": "Age (years)", "kind": "number", "unit": "years"},
    ...     "side": {"source": "Side", "levels": {"L": "left", "R": "right"}}})
    >>> table.reset_index()
      subject_id   age   side
    0     sub-01  61.5  right
    1     sub-02   NaN   left
    >>> [(entry["step"], entry["n"]) for entry in table.attrs["provenance"][1:]]
    [('id column', 2), ('missing codes', 1), ('spaces stripped', 1), ('decimal commas', 1)]
    """
    _check_choice("unlisted", unlisted, get_args(Unlisted))
    _check_choice("short_rows", short_rows, get_args(ShortRows))
    _check_choice("decimal", decimal, (None, ".", ","))
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise FormatError(f"a delimiter is one character, found {delimiter!r}")
    wanted = as_columns(columns)
    sources = {name: clean(column.source or name) for name, column in wanted.items()}
    if id_column is None:
        id_column = sources.get("subject_id")
    given = [clean(header) for header in (id_column, visit_column) if header is not None]
    grid = read_grid(
        Path(path),
        delimiter=delimiter,
        encoding=encoding,
        sheet=sheet,
        short_rows=short_rows,
        expected={*_ID_HEADERS, *(h.casefold() for h in (*given, *sources.values()))},
    )
    grid.check_present([*given, *sources.values()])
    keys = {"subject_id": _find_id(grid) if id_column is None else clean(id_column)}
    if visit_column is not None:
        keys["visit"] = clean(visit_column)
    for name, header in keys.items():
        if sources.pop(name, header) != header:
            raise FormatError(
                f"{name!r} is the name of the column {header!r}, but the map gives it to another",
                where=grid.name,
                remedy="give that column another name in the map",
            )
    rows = _read_keys(grid, keys, wanted, missing)
    table = _Table(grid, missing)
    for name, header in sources.items():
        table.add(name, header, wanted[name])
    _add_unlisted(table, keys, [*sources.values()], "keep" if columns is None else unlisted)
    values = _convert_all(table, decimal, rows["subject_id"])
    if visit_column is None:
        frame = pd.DataFrame(values, index=pd.Index(rows["subject_id"], name="subject_id"))
    else:
        frame = pd.DataFrame({**rows, **values})
    frame.attrs["columns"] = {
        **{name: cells.column.to_dict() for name, cells in table.read.items()},
        **{name: column.to_dict() for name, column in table.left_out.items()},
    }
    frame.attrs["provenance"] = list(grid.notes)
    return frame


class _Table:
    """The columns of a file on their way into the result, by stored name."""

    def __init__(self, grid: Grid, missing: Sequence[str]) -> None:
        self.grid = grid
        self.missing = missing
        self.read: dict[str, Cells] = {}
        self.left_out: dict[str, Column] = {}

    def add(self, name: str, header: str, column: Column) -> None:
        """Add a column, or list it among those left out where it is unused."""
        if column.role == "unused":
            self.leave_out(name, column)
            return
        self.put(name, _cells(self.grid, header, column, self.missing))

    def put(self, name: str, cells: Cells) -> None:
        """Add cells, whose kind is inferred where it isn't given."""
        if cells.column.kind is None:
            cells.column = dataclasses.replace(cells.column, kind=infer_kind(cells))
        check_column(name, cells.column)
        cells.note(self.grid.notes)
        if not len(cells.known):
            self.grid.notes.add("column without values", 1, "every value is missing", cells.header)
        self.read[name] = cells

    def leave_out(self, name: str, column: Column) -> None:
        """List a column as unused, under a name that no column of the result has."""
        while name in self.read or name in self.left_out:
            name += " (in the file)"
        self.left_out[name] = column


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise FormatError(f"{name} is one of {list_some(choices)}, found {value!r}")


def _cells(grid: Grid, header: str, column: Column, missing: Sequence[str]) -> Cells:
    place = grid.header.index(header)
    return Cells(header, grid.columns[place], grid.numeric[place], column, missing)


def _find_id(grid: Grid) -> str:
    folded = {header.casefold(): header for header in reversed(grid.header)}
    for candidate in _ID_HEADERS:
        if candidate in folded:
            return folded[candidate]
    alone = " If this is one column by mistake, pass delimiter=" if len(grid.header) == 1 else ""
    raise FormatError(
        f"no column of subject ids among the headers {list_some(grid.header, 40)}",
        where=grid.name,
        remedy="name it with id_column=; if the header is not the first line, remove the lines "
        f"above it.{alone}",
    )


def _read_keys(
    grid: Grid, keys: dict[str, str], wanted: Mapping[str, Column], missing: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the ids, and visits, of the rows; check that they are complete and distinct."""
    _drop_void(grid, list(keys.values()), missing)
    rows: dict[str, np.ndarray] = {}
    for name, header in keys.items():
        cells = _cells(grid, header, wanted.get(name, Column()), missing)
        absent = np.flatnonzero(cells.missing[cells.codes])
        if len(absent):
            others = [int(line) for line in grid.lines[absent[1:]]]
            more = f"; likewise on the {grid.unit}s {list_some(others)}" if others else ""
            what = "subject id" if name == "subject_id" else name
            found = cells.texts[cells.codes[absent[0]]]
            raise FormatError(
                f"expected a {what}, found {found!r}{more}",
                where=grid.where(absent[0], header),
                remedy=f"fill in the {what}, or remove the row",
            )
        rows[name] = np.array(cells.texts, dtype=object)[cells.codes]
        step = "id column" if name == "subject_id" else "visit column"
        grid.notes.add(step, len(cells.texts), f"different values, kept as {name!r}", header)
        cells.note(grid.notes)
        stored = int(cells.counts[cells.stored].sum())
        detail = "stored as numbers: zero padding, if there was any, is lost"
        grid.notes.add("keys made text", stored, detail, header)
    dates = sum(map(looks_like_date, set(rows["subject_id"])))
    detail = "a spreadsheet may have taken ids such as 3-5 for dates"
    grid.notes.add("ids that look like dates", dates, detail, keys["subject_id"])
    raw = grid.columns[grid.header.index(keys["subject_id"])]
    remedy = "keep one row for each"
    if len(set(raw)) > len(set(rows["subject_id"])):
        remedy += "; some of the ids differ in the file, but only by stray spaces"
    if "visit" not in keys:
        remedy += "; or, if a person may have several rows, name the visit with visit_column="
    ids = rows["subject_id"] if "visit" not in keys else zip(*rows.values(), strict=True)
    check_unique(ids, table=grid.name, lines=grid.lines.tolist(), remedy=remedy)
    return rows


def _drop_void(grid: Grid, keys: list[str], missing: Sequence[str]) -> None:
    """Drop rows that have no key and nothing but missing codes."""
    codes = {"", *(clean(code).casefold() for code in missing)}

    def is_void(row: int, columns: list[list[str]]) -> bool:
        return all(clean(column[row]).casefold() in codes for column in columns)

    own = [grid.columns[grid.header.index(key)] for key in keys]
    void = [i for i in range(len(grid.lines)) if is_void(i, own) and is_void(i, grid.columns)]
    if len(void) == len(grid.lines):
        raise FormatError("the file has a header and no row with a value", where=grid.name)
    if void:
        grid.take(np.delete(np.arange(len(grid.lines)), void))
        grid.notes.add("rows without values skipped", len(void), "no id, only missing codes")


def _add_unlisted(
    table: _Table, keys: Mapping[str, str], sources: list[str], unlisted: Unlisted
) -> None:
    grid = table.grid
    taken = {*keys.values(), *sources}
    rest = [header for header in grid.header if header not in taken]
    if unlisted == "error" and rest:
        raise FormatError(
            f"the map doesn't name the columns {list_some(rest, 40)}",
            where=grid.name,
            remedy="add them to the map, or pass unlisted='keep' or 'drop'",
        )
    for header in rest:
        if unlisted == "drop":
            table.leave_out(header, Column(source=header, role="unused", reason="not in the map"))
            continue
        cells = _cells(grid, header, Column(), table.missing)
        if not len(cells.known):
            table.leave_out(header, Column(source=header, role="unused", reason="no values"))
            continue
        if header in keys or header in table.read or header in table.left_out:
            raise FormatError(
                f"the column {header!r}, which the map doesn't name, has the name that another "
                "column gets",
                where=grid.name,
                remedy="give it a name in the map, pass unlisted='drop', or name the right ids "
                "with id_column=",
            )
        cells.column = assume_column(header, infer_kind(cells))
        table.put(header, cells)


def _convert_all(table: _Table, decimal: str | None, subjects: np.ndarray) -> dict[str, Any]:
    conventions = [
        cells.written.convention for cells in table.read.values() if holds_numbers(cells.column)
    ]
    file = (any(comma for comma, _ in conventions), any(point for _, point in conventions))
    values: dict[str, Any] = {}
    found: list[Problems] = []
    for name, cells in table.read.items():
        values[name], problems = convert(cells, decimal, file, table.grid.notes)
        if problems.found:
            found.append(problems)
    if found:
        raise report(table.grid, found, subjects)
    return values
