"""The sheet that says whose samples these are: read one way for all exports."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort._clinical.grid import read_grid
from ..errors import FormatError, list_some
from ._lfq.numbers import read_numbers
from ._npx.delimited import encoding_of
from ._npx.names import MISSING, canonical

__all__ = ["read_sheet"]

# Codes, whatever they look like: 007 stays 007.
_CODES = ("sample_id", "subject_id", "visit", "specimen", "sample_type", "plate", "well", "batch")
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)?([.,]\d+)?([eE][-+]?\d+)?")


def read_sheet(samples: pd.DataFrame | str | Path) -> tuple[pd.DataFrame, str]:
    """Return a sheet of samples by their ids, and what to call it in messages.

    Parameters
    ----------
    samples : pandas.DataFrame, str or Path
        A row for each sample, keyed by a column or index ``sample_id`` or ``SampleID``. A file
        is text, Excel or Parquet: UTF-8, UTF-16 or cp1252; points or commas in numbers; blank
        rows are skipped.

    Returns
    -------
    table : pandas.DataFrame
        Index: ids as stripped text. Cells are stripped; of a file, columns of numbers are
        numbers, and codes (people, visits, plates…) text.
    source : str

    Raises
    ------
    FormatError
        When a file can't be read, or the ids aren't there.
    """
    if isinstance(samples, pd.DataFrame):
        table, source = samples.copy(), "samples"
    else:
        table, source = _read(Path(samples)), str(samples)
    keys = [name for name in table if canonical(str(name)) == "sample_id"]
    if len(keys) > 1:
        raise FormatError(f"the columns {keys} are all ids of samples", where=source)
    if keys:
        table = table.set_index(keys[0])
    elif isinstance(table.index, pd.RangeIndex):
        raise FormatError(
            f"expected a column or an index SampleID (or 'sample_id'), found "
            f"{list_some(map(str, table.columns), 20)}",
            where=source,
            remedy="call the column that holds the names of samples sample_id",
        )
    for name in table.select_dtypes(object):
        table[name] = [cell.strip() if isinstance(cell, str) else cell for cell in table[name]]
    return table.set_axis(table.index.map(str).str.strip()), source


def _read(path: Path) -> pd.DataFrame:
    magic = b""
    if path.is_file():
        with path.open("rb") as file:
            magic = file.read(4)
    if magic == b"PAR1":
        table = pd.read_parquet(path)
        return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
    packed = magic.startswith((b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"))
    encoding = None
    if magic and not packed:
        found = encoding_of(str(path), lambda: path.open("rb"))
        encoding = None if found in ("utf8", "utf-16") else found
    grid = read_grid(
        path, delimiter=None, encoding=encoding, sheet=0, short_rows="error",
        expected={"sampleid", "sample_id", "subject_id"},
    )  # fmt: skip
    return pd.DataFrame(
        {
            name: _typed(name, cells, str(path), grid.lines)
            for name, cells in zip(grid.header, grid.columns, strict=True)
        }
    )


def _typed(name: str, cells: list[str], where: str, lines: np.ndarray) -> pd.Series:
    """Make numbers of a column that holds nothing else."""
    column = pd.Series(cells, dtype=object).str.strip()
    column = column.where(~column.isin(MISSING), None)
    known = column.dropna()
    if canonical(name) in _CODES or name in _CODES or known.empty:
        return column
    if known.str.fullmatch("true|false", case=False).all() and len(known) == len(column):
        return column.str.lower() == "true"
    if not known.map(lambda cell: bool(_NUMBER.fullmatch(cell))).all():
        return column
    numbers = read_numbers([column], [name], where=where, first=int(lines[0]), decimal=None)[:, 0]
    whole = len(known) == len(column) and known.str.fullmatch(r"[-+]?\d+").all()
    return pd.Series(numbers.astype(np.int64) if whole else numbers)
