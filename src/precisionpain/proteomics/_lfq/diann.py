"""DIA-NN: reports (text, Parquet) and matrices of protein groups, genes or precursors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from ...errors import FormatError, list_some
from .assemble import Export, Keep, pivot, sift
from .names import squeeze
from .table import Table

__all__ = ["from_matrix", "from_report"]

# What stands before the runs in the matrices, over the versions.
_ABOUT = {
    "proteingroup", "proteinids", "proteinnames", "genes", "firstproteindescription",
    "nsequences", "nproteotypicsequences", "proteotypic", "strippedsequence",
    "modifiedsequence", "precursorcharge", "precursorid", "decoy", "globalqvalue",
    "globalpgqvalue", "",
}  # fmt: skip
_PRECURSOR = ("Q.Value", "Global.Q.Value", "Lib.Q.Value")
_GROUP = ("PG.Q.Value", "Global.PG.Q.Value", "Lib.PG.Q.Value")
_QUANTITIES = {
    "maxlfq": ("PG.MaxLFQ",),
    "quantity": ("PG.Quantity",),
    "normalised": ("PG.Normalised", "PG.Normalized"),
    "topn": ("PG.TopN",),
    "ions": ("Precursor.Normalised", "Precursor.Normalized", "Precursor.Quantity"),
}


def from_matrix(table: Table) -> Export:
    """Take a matrix; its last columns are the runs."""
    runs = {c: i for i, c in enumerate(table.columns) if squeeze(c) not in _ABOUT}
    if not runs:
        raise FormatError("expected columns of runs, found none", where=table.name)
    genes = table.find("Protein.Group") is None
    group = table.need("Genes" if genes else "Protein.Group")
    features = pd.DataFrame({"protein": table.text(group)})
    for name, headers in (("members", ("Protein.Ids",)), ("gene", ("Genes",))):
        position = table.find(*headers)
        if position is not None and not genes:
            features[name] = table.text(position)
    precursor = table.find("Precursor.Id")
    count = table.find("N.Sequences")
    if precursor is not None:
        features["ion"] = table.text(precursor)
        features["peptide"] = table.text(table.need("Stripped.Sequence"))
        features["charge"] = table.numbers([table.need("Precursor.Charge")])[:, 0]
    elif count is not None:
        features["n_peptides"] = table.numbers([count])[:, 0]
    product = "DIA-NN protein groups" if precursor is None else "DIA-NN precursors"
    return Export(
        table.numbers(list(runs.values())), list(runs), features,
        "DIA-NN genes" if genes else product, "log2 intensity", table.name, genes=genes,
    )  # fmt: skip


def from_report(
    table: Table,
    quantity: Literal["maxlfq", "quantity", "normalised", "topn", "ions"],
    *,
    q_value: float,
    pg_q_value: float,
    keep: Keep,
) -> Export:
    """Filter the rows of a report and make protein groups × runs of them, or ions × runs."""
    headers = _QUANTITIES[quantity]
    value = table.find(*headers)
    if value is None:
        there = [q for q, names in _QUANTITIES.items() if table.find(*names) is not None]
        raise FormatError(
            f"expected the column {headers[0]!r}, found quantities {list_some(there)}",
            where=table.name,
            remedy="pass another quantity; quantity='ions' rolls the precursors up",
        )
    # Numbers are read at once, because one decimal sign holds for all of them.
    limits = dict.fromkeys(_PRECURSOR, q_value) | dict.fromkeys(_GROUP, pg_q_value)
    tested = {n: p for n in limits if (p := table.find(n)) is not None}
    charge = table.need("Precursor.Charge")
    table.preload(
        ("Run", "Protein.Group", "Protein.Ids", "Genes", "Stripped.Sequence", "Precursor.Id",
         "Modified.Sequence", "Decoy"),
        [value, charge, *tested.values()],
    )  # fmt: skip
    numbers = table.numbers([value, charge, *tested.values()])
    rows = pd.DataFrame(
        {
            "run": table.text(table.need("Run", "File.Name")),
            "value": numbers[:, 0],
            "charge": numbers[:, 1],
        }
    )
    for name, column in (
        ("protein", ("Protein.Group",)), ("members", ("Protein.Ids",)), ("gene", ("Genes",)),
        ("peptide", ("Stripped.Sequence",)), ("ion", ("Precursor.Id",)),
    ):  # fmt: skip
        position = table.find(*column)
        if position is not None:
            rows[name] = table.text(position)
    if "ion" not in rows:
        modified = table.text(table.need("Modified.Sequence"))
        rows["ion"] = modified + rows["charge"].astype("Int64").astype(str)
    decoy = table.find("Decoy")
    if decoy is not None:
        rows["decoy"] = np.nan_to_num(table.numbers([decoy])[:, 0]) != 0
    stays, removed, _ = sift(rows, keep, table.name)
    for name, q in zip(tested, numbers.T[2:], strict=True):
        above = stays & (q > limits[name])
        if above.any():
            removed[name] = int(above.sum())
        stays &= ~above
    if not stays.any():
        raise FormatError(
            f"no row is left of {len(rows)}; left out: {removed}", where=table.name,
            remedy="see q_value and pg_q_value",
        )  # fmt: skip
    rows = rows[stays]
    # What isn't quantified is no measurement.
    rows = rows[rows["value"].notna() & (rows["value"] != 0)]
    if rows.empty:
        raise FormatError(
            "expected quantities, found 0 in all rows", where=f"{table.name}, {headers[0]}",
            remedy="pass another quantity; quantity='ions' rolls the precursors up",
        )  # fmt: skip
    export = _of_ions(rows, table) if quantity == "ions" else _of_groups(rows, table)
    export.removed = removed
    export.unit = f"log2 {table.columns[value]}"
    return export


def _of_ions(rows: pd.DataFrame, table: Table) -> Export:
    values, names, features = pivot(rows, "ion", table.name)
    return Export(values, names, features, "DIA-NN report", "", table.name)


def _of_groups(rows: pd.DataFrame, table: Table) -> Export:
    peptides = rows.groupby("protein")["peptide"].nunique() if "peptide" in rows else None
    about = [c for c in ("members", "gene", "decoy") if c in rows]
    values, names, features = pivot(
        rows[["run", "protein", "value", *about]], "protein", table.name
    )
    if peptides is not None:
        features["n_peptides"] = features["protein"].map(peptides)
    return Export(values, names, features, "DIA-NN report", "", table.name)
