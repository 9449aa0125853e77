"""FragPipe: combined_protein(s).tsv, combined_peptide.tsv, combined_ion.tsv."""

from __future__ import annotations

import pandas as pd

from ...errors import FormatError, list_some
from .assemble import Export
from .table import Table

__all__ = ["from_ions", "from_proteins"]

_KINDS = ("MaxLFQ", "Razor", "Unique", "Total")
_PATTERNS = {
    "maxlfq": r"(.+?)[ .]MaxLFQ[ .]Intensity",
    "intensity": rf"(?!.*[ .](?:{'|'.join(_KINDS)})[ .]Intensity$)(.+?)[ .]Intensity",
    "razor": r"(?!Summarized)(.+?)[ .]Razor[ .]Intensity",
    "unique": r"(?!Summarized)(.+?)[ .]Unique[ .]Intensity",
    "total": r"(?!Summarized)(.+?)[ .]Total[ .]Intensity",
}


def from_proteins(table: Table, quantity: str) -> Export:
    """Take the proteins and one kind of intensity."""
    columns = _columns(table, quantity)
    features = _proteins(table)
    count = table.find(
        "Combined Total Peptides", "Unique Stripped Peptides", "Combined Unique Stripped Peptides"
    )
    if count is not None:
        features["n_peptides"] = table.numbers([count])[:, 0]
    return Export(
        table.numbers(list(columns.values())), list(columns), features,
        "FragPipe combined protein", f"log2 {quantity} intensity", table.name,
    )  # fmt: skip


def from_ions(table: Table) -> Export:
    """Take peptides or ions; the column Protein holds the razor protein, so each counts once."""
    columns = _columns(table, "intensity")
    features = _proteins(table)
    features["peptide"] = table.text(table.need("Peptide Sequence"))
    modified = table.find("Modified Sequence")
    ion = features["peptide"] if modified is None else table.text(modified)
    charge = table.find("Charge")
    # A combined peptide has one row over all charges, and lists them under Charges.
    if charge is not None:
        features["charge"] = table.numbers([charge])[:, 0]
        ion = ion + "/" + features["charge"].astype("Int64").astype(str)
    voltage = table.find("Compensation Voltage")
    if voltage is not None:
        cv = table.text(voltage)
        # 0 throughout where there was no FAIMS.
        ion = ion if cv.nunique() == 1 else ion + "/" + cv
    masses = table.find("Assigned Modifications")
    if masses is not None and ion.duplicated().any():
        marks = table.text(masses)
        ion = ion.where(~ion.duplicated(keep=False) | (marks == ""), ion + "/" + marks)
    features["ion"] = ion
    return Export(
        table.numbers(list(columns.values())), list(columns), features,
        "FragPipe combined ion", "log2 intensity", table.name,
    )  # fmt: skip


def _proteins(table: Table) -> pd.DataFrame:
    protein = table.text(table.need("Protein", "Protein ID"))
    features = pd.DataFrame({"protein": protein})
    alike = table.find("Indistinguishable Proteins")
    if alike is not None:
        others = table.text(alike)
        features["protein"] = protein.where(others == "", protein + ";" + others)
    gene = table.find("Gene", "Gene Names")
    if gene is not None:
        features["gene"] = table.text(gene)
    return features


def _columns(table: Table, quantity: str) -> dict[str, int]:
    found = {name: table.sampled(pattern) for name, pattern in _PATTERNS.items()}
    if not found[quantity]:
        there = [name for name, columns in found.items() if columns]
        raise FormatError(
            f"expected columns of samples for quantity={quantity!r}, found those of "
            f"{list_some(there) if there else 'none'}",
            where=table.name,
            remedy=f"pass quantity={there[0]!r}" if there
            else "this may be the table of one run: use the combined one",
        )  # fmt: skip
    return found[quantity]
