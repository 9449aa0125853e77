"""Tables and assays as files that come back as they were, or are not written at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from ..errors import FormatError, list_some

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


def write_assay(adata: Any, file: Path, *, label: str) -> dict[str, list[str]]:
    """Write an assay and return which of its columns are text; h5ad makes categories of them."""
    text = {}
    for axis, table in _tables_of(adata).items():
        text[axis] = [str(name) for name in table if table[name].dtype == object]
        for name in text[axis]:
            if pd.api.types.infer_dtype(table[name], skipna=True) in ("string", "empty"):
                categories = pd.Index(table[name].dropna().unique(), dtype=object)
                table[name] = pd.Categorical(table[name], categories)
        dates = table.select_dtypes(["datetime", "datetimetz", "timedelta"]).columns
        if len(dates):
            raise FormatError(
                f"h5ad holds no dates, found {list_some(dates)}",
                where=f"{label}, {axis}",
                remedy="give days from the index event, or text",
            )
    try:
        adata.write_h5ad(file)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"the assay can't be stored: {error}",
            where=label,
            remedy="give each column of obs, var, obsm and varm values of one type",
        ) from error
    return text


def read_assay(file: Path, text: Mapping[str, list[str]]) -> Any:
    """Read an assay that `write_assay` wrote."""
    import anndata

    adata = anndata.read_h5ad(file)
    tables = _tables_of(adata)
    for axis, names in text.items():
        for name in names:
            tables[axis][name] = tables[axis][name].astype(object)
    return adata


def _tables_of(adata: Any) -> dict[str, pd.DataFrame]:
    """Return the tables of an assay: ``obs``, ``var``, and those in ``obsm`` and ``varm``."""
    inner = {
        f"{place}/{name}": table
        for place in ("obsm", "varm")
        for name, table in getattr(adata, place).items()
        if isinstance(table, pd.DataFrame)
    }
    return {"obs": adata.obs, "var": adata.var, **inner}


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
