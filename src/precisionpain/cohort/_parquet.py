"""Tables as Parquet that come back as they were: with their dtypes, or not written at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import pandas as pd

from ..errors import FormatError

_DTYPES = b"precisionpain.dtypes"


def write_table(table: pd.DataFrame, sink: Path | IO[bytes], *, label: str) -> None:
    """Write a table; one whose values Parquet would change is a `FormatError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for position, name in enumerate(table.columns):
        values = table.iloc[:, position]
        found = pd.api.types.infer_dtype(values, skipna=True)
        if values.dtype == object and found in ("mixed", "mixed-integer"):
            raise _unfit(label, f"column {name!r} holds values of several types")
    try:
        arrow = pa.Table.from_pandas(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unfit(label, str(error)) from error
    dtypes = json.dumps([_describe(dtype) for dtype in table.dtypes], default=str)
    metadata = {**(arrow.schema.metadata or {}), _DTYPES: dtypes.encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), sink)


def read_table(source: Path | IO[bytes]) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Raises
    ------
    FormatError
        When it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # ParquetFile, because read_table would make columns of folders called site=A.
        with pq.ParquetFile(source) as file:
            arrow = file.read()
    except pa.ArrowException as error:
        where = str(source) if isinstance(source, Path) else None
        raise FormatError(f"the table is damaged ({error})", where=where) from error
    table = arrow.to_pandas(integer_object_nulls=True)
    for position, wanted in enumerate(json.loads(arrow.schema.metadata[_DTYPES])):
        if _describe(table.dtypes.iloc[position]) != wanted:
            table.isetitem(position, table.iloc[:, position].astype(_dtype(wanted)))
    return table


def _unfit(label: str, what: str) -> FormatError:
    return FormatError(
        f"the table can't be stored: {what}",
        where=label,
        remedy="give each column values of one type",
    )


def _describe(dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        of = dtype.categories
        return {"of": str(of.dtype), "categories": of.tolist(), "ordered": dtype.ordered}
    return str(dtype)


def _dtype(described: Any) -> Any:
    if isinstance(described, str):
        return described
    categories = pd.Index(described["categories"]).astype(described["of"])
    return pd.CategoricalDtype(categories, described["ordered"])
