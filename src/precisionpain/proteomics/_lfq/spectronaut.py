"""Spectronaut: the long report, and the pivot report with a column for each run."""

from __future__ import annotations

import re

import pandas as pd

from ...errors import FormatError
from .assemble import Export, Keep, pivot, sift
from .names import squeeze
from .table import Table

__all__ = ["from_pivot", "from_report"]

_GROUP = ("PG.ProteinGroups", "PG.ProteinAccessions")
_RUN = ("R.FileName", "R.Label", "R.Run Label")


def from_report(
    table: Table, *, ions: bool, q_value: float, pg_q_value: float, keep: Keep
) -> Export:
    """Filter the rows of a report and make protein groups × runs of them, or ions × runs."""
    value = table.need("FG.Quantity") if ions else table.need("PG.Quantity")
    # Numbers are read at once, because one decimal sign holds for all of them.
    limits = {"EG.Qvalue": q_value, "PG.Qvalue": pg_q_value, "PG.QValue (Run-Wise)": pg_q_value}
    tested = {n: p for n in limits if (p := table.find(n)) is not None}
    table.preload(
        (*_GROUP, *_RUN, "PG.Genes", "PEP.StrippedSequence", "EG.PrecursorId", "FG.Charge",
         "EG.IsDecoy"),
        [value, *tested.values()],
    )  # fmt: skip
    numbers = table.numbers([value, *tested.values()])
    rows = pd.DataFrame(
        {
            "run": table.text(table.need(*_RUN)),
            "protein": table.text(table.need(*_GROUP)),
            "value": numbers[:, 0],
        }
    )
    for name, column in (
        ("members", ("PG.ProteinAccessions",)), ("gene", ("PG.Genes",)),
        ("peptide", ("PEP.StrippedSequence",)),
        ("ion", ("EG.PrecursorId", "FG.LabeledSequence", "EG.ModifiedSequence")),
    ):  # fmt: skip
        position = table.find(*column)
        if position is not None:
            rows[name] = table.text(position)
    charge = table.find("FG.Charge")
    if charge is not None:
        rows["charge"] = table.numbers([charge])[:, 0]
        if ions and table.find("EG.PrecursorId") is None:
            rows["ion"] = rows["ion"] + "." + rows["charge"].astype("Int64").astype(str)
    decoy = table.find("EG.IsDecoy")
    if decoy is not None:
        rows["decoy"] = table.text(decoy).str.lower().isin(["true", "1"])
    stays, removed, _ = sift(rows, keep, table.name)
    for name, q in zip(tested, numbers.T[1:], strict=True):
        above = stays & (q > limits[name])
        if above.any():
            removed[name] = int(above.sum())
        stays &= ~above
    if not stays.any():
        raise FormatError(
            f"no row is left of {len(rows)}; left out: {removed}", where=table.name,
            remedy="see q_value and pg_q_value",
        )  # fmt: skip
    rows = rows[stays & rows["value"].notna() & (rows["value"] != 0)]
    feature = "ion" if ions else "protein"
    peptides = rows.groupby("protein")["peptide"].nunique() if "peptide" in rows else None
    if not ions:
        rows = rows.drop(columns=[c for c in ("ion", "peptide", "charge") if c in rows])
    values, names_, features = pivot(rows, feature, table.name)
    if not ions and peptides is not None:
        features["n_peptides"] = features["protein"].map(peptides)
    return Export(
        values, names_, features, "Spectronaut report", f"log2 {table.columns[value]}", table.name,
        removed,
    )  # fmt: skip


def from_pivot(table: Table) -> Export:
    """Take a pivot report: ``[1] run.raw.PG.Quantity``, ``[2] …``."""
    columns = table.sampled(r"(?:\[\d+\][ .])?(.+?)[ .]PG[ .]Quantity")
    if not columns:
        raise FormatError(
            "expected columns that end in PG.Quantity, one for each run",
            where=table.name,
            remedy="add PG.Quantity to the schema of the pivot report",
        )
    features = pd.DataFrame({"protein": table.text(table.need(*_GROUP))})
    for name, column in (("members", "PG.ProteinAccessions"), ("gene", "PG.Genes")):
        position = table.find(column)
        if position is not None:
            features[name] = table.text(position)
    count = next(
        (i for i, c in enumerate(table.columns)
         if re.fullmatch(r"pgnrofstrippedsequences(?:identified)?(?:experimentwide)?", squeeze(c))),
        None,
    )  # fmt: skip
    if count is not None:
        features["n_peptides"] = table.numbers([count])[:, 0]
    return Export(
        table.numbers(list(columns.values())), list(columns), features,
        "Spectronaut pivot report", "log2 PG.Quantity", table.name,
    )  # fmt: skip
