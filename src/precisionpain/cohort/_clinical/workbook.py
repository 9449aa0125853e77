"""Excel and Parquet files as records of typed cells."""

from __future__ import annotations

import datetime
import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from ...errors import FormatError, list_some

__all__ = ["as_text", "excel_records", "parquet_records"]

# What zipfile, the XML parser and openpyxl raise on damaged workbooks.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")


def excel_records(data: bytes, name: str, sheet: int | str) -> tuple[list[tuple[Any, ...]], str]:
    """Read one sheet of an Excel workbook.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        File name, for messages.
    sheet : int or str
        Position from 0, or title.

    Returns
    -------
    records : list of tuple
        One per row of the sheet from row 1; cells that are empty are None.
    title : str
        Title of the sheet.

    Raises
    ------
    FormatError
        When the file isn't a workbook, lacks the sheet, or holds formulas that were never
        calculated, whose values it therefore lacks.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = [part for part in archive.namelist() if part.startswith("xl/worksheets/")]
            formulas = any(_FORMULA.search(archive.read(part)) for part in parts)
        with warnings.catch_warnings():
            # openpyxl warns of styles and validations that it doesn't keep.
            warnings.simplefilter("ignore", UserWarning)
            records, title = _sheet(openpyxl.load_workbook(io.BytesIO(data), True), name, sheet)
            if not formulas:
                return records, title
            shown = openpyxl.load_workbook(io.BytesIO(data), True, data_only=True)
            values, _ = _sheet(shown, name, sheet)
    except FormatError:
        raise
    except _DAMAGE as error:
        raise FormatError(
            f"the file is damaged or not an Excel workbook ({error})",
            where=name,
            remedy="save it again as .xlsx, or export the sheet as CSV",
        ) from error
    places = [
        (row, column)
        for row, cells in enumerate(records)
        for column, cell in enumerate(cells)
        if _is_formula(cell)
    ]
    # A calculated sheet may hold formulas that give an empty text; a sheet in which no
    # formula has a value was never calculated.
    if places and all(values[row][column] is None for row, column in places):
        from openpyxl.utils import get_column_letter

        cells = [f"{get_column_letter(column + 1)}{row + 1}" for row, column in places]
        raise FormatError(
            f"formulas without a stored value in {list_some(cells)}",
            where=f"{name}, sheet {title!r}",
            remedy="open the workbook in Excel and save it, or paste the formulas as values",
        )
    return values, title


def _sheet(workbook: Any, name: str, sheet: int | str) -> tuple[list[tuple[Any, ...]], str]:
    sheets = {found.title: found for found in workbook.worksheets}
    titles = list(sheets)
    if isinstance(sheet, int) and 0 <= sheet < len(titles):
        sheet = titles[sheet]
    if sheet not in sheets:
        raise FormatError(
            f"there is no sheet {sheet!r}",
            where=name,
            remedy=f"pass sheet= a title, one of {list_some(titles, 10)}, or a position from 0",
        )
    chosen = sheets[sheet]
    # Some programs store a wrong extent, which would cut rows and columns off.
    chosen.reset_dimensions()
    records = list(chosen.iter_rows(values_only=True))
    workbook.close()
    return records, str(sheet)


def _is_formula(cell: object) -> bool:
    return (isinstance(cell, str) and cell.startswith("=")) or hasattr(cell, "ref")


def parquet_records(data: bytes, name: str) -> list[tuple[Any, ...]]:
    """Read a Parquet file: the first record holds the headers.

    Raises
    ------
    FormatError
        When the file is damaged, or a column holds lists, structures or bytes.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        raise FormatError(
            f"the file is damaged or not Parquet ({error})",
            where=name,
            remedy="write it again, or export the table as CSV",
        ) from error
    types = pyarrow.types
    odd = [
        field.name
        for field in table.schema
        if types.is_nested(field.type)
        or types.is_binary(field.type)
        or types.is_large_binary(field.type)
    ]
    if odd:
        raise FormatError(
            f"the columns {list_some(odd)} hold lists, structures or bytes",
            where=name,
            remedy="store one plain value in each cell",
        )
    columns = [column.to_pylist() for column in table.columns]
    return [tuple(table.column_names), *zip(*columns, strict=True)]


def as_text(cells: Sequence[Any]) -> tuple[list[str], np.ndarray | None]:
    """Write typed cells as text.

    Parameters
    ----------
    cells : list
        Text, numbers, booleans, dates, or None for an empty cell.

    Returns
    -------
    texts : list of str
        Whole numbers without a decimal point, dates in ISO form, None as "".
    numeric : numpy.ndarray or None
        Which cells are stored as numbers; None where there are none.
    """
    texts = []
    numeric = np.zeros(len(cells), dtype=bool)
    for i, cell in enumerate(cells):
        if isinstance(cell, str):
            texts.append(cell)
        elif cell is None:
            texts.append("")
        elif isinstance(cell, bool):
            texts.append("TRUE" if cell else "FALSE")
        elif isinstance(cell, int | float | Decimal):
            numeric[i] = not math.isnan(cell)
            texts.append(_number_text(cell))
        elif isinstance(cell, datetime.datetime):
            whole = cell.time() == datetime.time() and cell.tzinfo is None
            texts.append(cell.date().isoformat() if whole else cell.isoformat(sep=" "))
        else:
            texts.append(str(cell))
    return texts, numeric if numeric.any() else None


def _number_text(cell: int | float | Decimal) -> str:
    if isinstance(cell, int):
        return str(cell)
    if math.isnan(cell):
        return ""
    whole = math.isfinite(cell) and -(2**53) < cell < 2**53 and cell == int(cell)
    return str(int(cell)) if whole else str(cell)
