"""Which program wrote a table, told by its header."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import FormatError
from .names import squeeze

__all__ = ["READERS", "expect", "recognise"]

# Kind → (what it is, the reader that takes it).
READERS = {
    "maxquant_evidence": ("MaxQuant's evidence.txt", "read_maxquant"),
    "maxquant_peptides": ("MaxQuant's peptides.txt", "read_maxquant"),
    "maxquant_groups": ("MaxQuant's proteinGroups.txt", "read_maxquant"),
    "diann_report": ("a DIA-NN report", "read_diann"),
    "diann_precursors": ("a DIA-NN precursor matrix", "read_diann"),
    "diann_groups": ("a DIA-NN protein group matrix", "read_diann"),
    "diann_genes": ("a DIA-NN matrix of genes", "read_diann"),
    "fragpipe_ions": ("FragPipe's combined_ion.tsv or combined_peptide.tsv", "read_fragpipe"),
    "fragpipe_proteins": ("FragPipe's combined_protein.tsv", "read_fragpipe"),
    "spectronaut_report": ("a Spectronaut report", "read_spectronaut"),
    "spectronaut_pivot": ("a Spectronaut pivot report", "read_spectronaut"),
    "olink": ("an Olink NPX export", "read_npx"),
}


def recognise(columns: Sequence[str]) -> str | None:
    """Return the kind of a table, one of `READERS`, or None.

    Examples
    --------
    >>> recognise(["Majority protein IDs", "LFQ intensity A", "LFQ intensity B"])
    'maxquant_groups'
    """
    keys = {squeeze(column) for column in columns}

    def has(*wanted: str) -> bool:
        return keys.issuperset(wanted)

    def any_starts(*starts: str) -> bool:
        return any(key.startswith(starts) for key in keys)

    if has("leadingrazorprotein", "sequence"):
        if has("rawfile", "charge", "intensity"):
            return "maxquant_evidence"
        if any_starts("intensity", "lfqintensity"):
            return "maxquant_peptides"
    if keys & {"proteinids", "majorityproteinids"} and any_starts(
        "lfqintensity", "ibaq", "intensity"
    ):
        return "maxquant_groups"
    if has("proteingroup", "precursorcharge", "modifiedsequence"):
        if has("qvalue") and keys & {"run", "filename"}:
            return "diann_report"
        return "diann_precursors"
    if has("proteingroup", "genes", "proteinnames"):
        return "diann_groups"
    if has("proteinid", "entryname"):
        return "fragpipe_ions" if has("peptidesequence") else "fragpipe_proteins"
    if any(key.startswith("pgprotein") for key in keys):
        if has("pgquantity") and keys & {"rfilename", "rlabel", "rrunlabel"}:
            return "spectronaut_report"
        if any(key.endswith(("pgquantity", "pgibaq", "pgnrofstrippedsequencesidentified"))
               for key in keys):  # fmt: skip
            return "spectronaut_pivot"
    if squeeze(columns[0] if columns else "") == "genes" and len(columns) > 1:
        return "diann_genes"
    if has("npx") and keys & {"olinkid", "sampleid"}:
        return "olink"
    return None


def expect(columns: Sequence[str], reader: str, where: str) -> str:
    """Return the kind of a table, which must be one that `reader` takes.

    Raises
    ------
    FormatError
        With the reader that takes it, where it is of another program.
    """
    kind = recognise(columns)
    if kind is not None and READERS[kind][1] == reader:
        return kind
    wanted = " or ".join(what for what, by in READERS.values() if by == reader)
    if kind is not None:
        what, other = READERS[kind]
        raise FormatError(
            f"expected {wanted}, found {what}", where=where, remedy=f"read it with {other}"
        )
    shown = ", ".join(repr(column) for column in list(columns)[:8])
    raise FormatError(
        f"expected {wanted}, found the columns {shown}{'…' if len(columns) > 8 else ''}",
        where=where,
        remedy="read any table of proteins with read_matrix, which asks for the names of columns",
    )
