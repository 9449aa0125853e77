"""MaxQuant: proteinGroups.txt, peptides.txt, evidence.txt."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from ...errors import FormatError, list_some
from .assemble import Export
from .table import Table

__all__ = ["from_evidence", "from_groups", "from_peptides"]

_FLAGS = {
    "decoy": ("Reverse",),
    "contaminant": ("Potential contaminant", "Contaminant"),
    "only_by_site": ("Only identified by site",),
}
_USED = (
    "Protein IDs", "Majority protein IDs", "Gene names", "Razor + unique peptides", "Sequence",
    "Leading razor protein", "Proteins", "Raw file", "Experiment", "Charge", "Intensity",
    "Modified sequence", *(header for headers in _FLAGS.values() for header in headers),
)  # fmt: skip
_PATTERNS = {
    "lfq": r"LFQ[ .]intensity[ .](.+)",
    "ibaq": r"iBAQ[ .](?!peptides$)(.+)",
    "intensity": r"Intensity[ .](.+)",
}
_UNITS = {"lfq": "LFQ intensity", "ibaq": "iBAQ", "intensity": "intensity"}


def from_groups(table: Table, quantity: Literal["lfq", "ibaq", "intensity"]) -> Export:
    """Take the groups and one kind of quantity."""
    columns = _columns(table, quantity)
    table.preload(_USED, columns.values())
    features = pd.DataFrame(
        {"protein": table.text(table.need("Majority protein IDs", "Protein IDs"))}
    )
    everyone = table.find("Protein IDs")
    if everyone is not None:
        features["members"] = table.text(everyone)
    _add_gene_and_flags(table, features)
    peptides = table.find("Razor + unique peptides", "Peptides")
    if peptides is not None:
        features["n_peptides"] = table.numbers([peptides])[:, 0]
    return Export(
        table.numbers(list(columns.values())), list(columns), features,
        "MaxQuant proteinGroups", f"log2 {_UNITS[quantity]}", table.name,
    )  # fmt: skip


def from_peptides(table: Table) -> Export:
    """Take the peptides; each belongs to its leading razor protein, so it counts once."""
    columns = _columns(table, "intensity")
    table.preload(_USED, columns.values())
    sequence = table.text(table.need("Sequence"))
    features = pd.DataFrame(
        {
            "protein": table.text(table.need("Leading razor protein")),
            "members": table.text(table.need("Proteins")),
            "ion": sequence,
            "peptide": sequence,
        }
    )
    _add_gene_and_flags(table, features)
    return Export(
        table.numbers(list(columns.values())), list(columns), features,
        "MaxQuant peptides", "log2 intensity", table.name,
    )  # fmt: skip


def from_evidence(table: Table, run: Literal["experiment", "raw_file"]) -> Export:
    """Take the ions: modified sequence and charge.

    An ion that a sample has in several rows (fractions, several peaks) is their sum.
    """
    table.preload(_USED)
    sample = table.need("Raw file") if run == "raw_file" else table.find("Experiment")
    if sample is None:
        sample = table.need("Raw file")
    rows = pd.DataFrame(
        {
            "run": table.text(sample),
            "protein": table.text(table.need("Leading razor protein")),
            "members": table.text(table.need("Proteins")),
            "peptide": table.text(table.need("Sequence")),
            "charge": table.numbers([table.need("Charge")])[:, 0],
            "value": table.numbers([table.need("Intensity")])[:, 0],
        }
    )
    modified = table.text(table.need("Modified sequence")).str.strip("_")
    rows["ion"] = modified + "/" + rows["charge"].astype("Int64").astype(str)
    _add_gene_and_flags(table, rows)
    if (rows["run"] == "").any():
        raise FormatError(
            f"{int((rows['run'] == '').sum())} rows have no experiment", where=table.name,
            remedy="pass run='raw_file'",
        )  # fmt: skip
    wide = rows.pivot_table(index="ion", columns="run", values="value", aggfunc="sum", dropna=False)
    about = rows.drop(columns=["run", "value"]).drop_duplicates("ion").set_index("ion")
    flags = [reason for reason in _FLAGS if reason in rows]
    # One row that is flagged flags the ion, whatever the order of rows.
    about[flags] = rows.groupby("ion")[flags].any()
    features = about.reindex(wide.index).reset_index()
    return Export(
        wide.to_numpy(float), [str(c) for c in wide.columns], features,
        "MaxQuant evidence", "log2 intensity", table.name,
    )  # fmt: skip


def _columns(table: Table, quantity: str) -> dict[str, int]:
    found = {name: table.sampled(pattern) for name, pattern in _PATTERNS.items()}
    if table.find("Ratio H/L") is not None:
        raise FormatError(
            "expected a label-free experiment, found ratios of labels (Ratio H/L)",
            where=table.name,
        )
    if not found[quantity]:
        there = [name for name, columns in found.items() if columns]
        raise FormatError(
            f"expected columns of samples for quantity={quantity!r}, found those of "
            f"{list_some(there) if there else 'none'}",
            where=table.name,
            remedy=f"pass quantity={there[0]!r}" if there
            else "name the experiments in MaxQuant, so that each has its column",
        )  # fmt: skip
    return found[quantity]


def _add_gene_and_flags(table: Table, features: pd.DataFrame) -> None:
    gene = table.find("Gene names")
    if gene is not None:
        features["gene"] = table.text(gene)
    for reason, headers in _FLAGS.items():
        position = table.find(*headers)
        if position is not None:
            features[reason] = table.text(position) == "+"
