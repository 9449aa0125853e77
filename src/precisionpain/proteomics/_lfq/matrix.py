"""Any table of proteins or ions × samples, whose columns the caller names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .assemble import Export
from .table import Table

__all__ = ["check_scale", "from_matrix"]


def from_matrix(
    table: Table,
    *,
    log2: bool,
    columns: str | Sequence[str],
    protein: str | None,
    gene: str | None,
    ion: str | Sequence[str] | None,
    n_peptides: str | None,
    unit: str | None,
) -> Export:
    """Take the columns that were named; see `read_matrix`."""
    if not isinstance(log2, (bool, np.bool_)):
        raise FormatError(f"expected log2=True or log2=False, found {log2!r}", where="read_matrix")
    runs = _sample_columns(table, columns)
    name = 0 if protein is None else _column(table, protein)
    if name in runs.values():
        raise FormatError(
            f"the column {table.columns[name]!r} can't name proteins and be a sample",
            where=table.name,
            remedy="pass protein= the column that names them",
        )
    features = pd.DataFrame({"protein": table.text(name)})
    if gene is not None:
        features["gene"] = table.text(_column(table, gene))
    if n_peptides is not None:
        features["n_peptides"] = table.numbers([_column(table, n_peptides)])[:, 0]
    if ion is not None:
        parts = [table.text(_column(table, c)) for c in ([ion] if isinstance(ion, str) else ion)]
        features["ion"] = pd.concat(parts, axis=1).agg("/".join, axis=1)
        features["peptide"] = parts[0]
    values = table.numbers(list(runs.values()))
    check_scale(values, log2, table.name)
    return Export(
        values, list(runs), features, "matrix", unit or "log2 intensity", table.name, log2=log2
    )


def _sample_columns(table: Table, columns: str | Sequence[str]) -> dict[str, int]:
    if not isinstance(columns, str):
        return {column: _column(table, column) for column in columns}
    try:
        groups = re.compile(columns).groups
    except re.error as error:
        raise FormatError(
            f"{columns!r} is no regular expression ({error})", where="columns"
        ) from error
    if groups > 1:
        raise FormatError(
            f"expected at most one group, found {groups} in {columns!r}", where="columns"
        )
    found = table.sampled(columns if groups else f"({columns})")
    if not found:
        raise FormatError(
            f"no column fits {columns!r}; found {list_some(table.columns, 8)}",
            where=table.name,
            remedy="the expression is for the whole header",
        )
    return found


def _column(table: Table, name: str) -> int:
    times = table.columns.count(name)
    if times == 1:
        return table.columns.index(name)
    if times:
        raise FormatError(f"the column {name!r} is there {times} times", where=table.name)
    return table.need(name)


def check_scale(values: NDArray[np.float64], log2: bool, where: str) -> None:
    """Refuse values that contradict what was said of their scale."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise FormatError("the columns of samples hold no number", where=where)
    if log2 and finite.max() > 64:
        raise FormatError(
            f"expected values on the log2 scale, found up to {finite.max():.4g}",
            where=where,
            remedy="pass log2=False",
        )
    if not log2 and finite.max() <= 64:
        raise FormatError(
            f"expected intensities on the linear scale, found none above {finite.max():.4g}: these "
            "look like logarithms",
            where=where,
            remedy="pass log2=True",
        )
