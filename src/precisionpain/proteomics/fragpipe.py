"""Reader of FragPipe: ``combined_protein.tsv``, ``combined_peptide.tsv``, ``combined_ion.tsv``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ._lfq import fragpipe
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.options import Level, check_level, choice, rolled
from ._lfq.recognise import expect
from ._lfq.table import TableLike, open_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_fragpipe"]


def read_fragpipe(
    path: TableLike,
    *,
    quantity: Literal["maxlfq", "intensity", "razor", "unique", "total"] = "maxlfq",
    level: Level = "protein",
    samples: TableLike | None = None,
    keep: Keep = (),
    decimal: Decimal = None,
    encoding: str | None = None,
) -> AnnData:
    """Read FragPipe: ``combined_protein.tsv``, ``combined_peptide.tsv`` or ``combined_ion.tsv``.

    Parameters
    ----------
    path : str, Path or pandas.DataFrame
        The table; its kind is told by the header.
    quantity : {"maxlfq", "intensity", "razor", "unique", "total"}, default "maxlfq"
        Of proteins, the columns to take (``S1 MaxLFQ Intensity``, ``S1 Intensity``, ``S1 Razor
        Intensity``…). Of peptides and ions, ``"maxlfq"`` rolls them up by MaxLFQ and
        ``"intensity"`` by their sum.
    level : {"protein", "ion"}, default "protein"
        ``"ion"`` gives the peptides or ions as they are, for `roll_up`.
    samples, keep, decimal, encoding
        As in `read_maxquant`.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2. A group is the protein and those that FragPipe calls
        indistinguishable from it.

    Raises
    ------
    FormatError, AlignmentError
        As in `read_maxquant`.

    References
    ----------
    .. [1] Yu F. et al. IonQuant enables accurate and sensitive label-free quantification with
       FDR-controlled match-between-runs. Mol Cell Proteomics 2021;20:100077.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> table = pd.DataFrame({
    ...     "Protein": ["sp|P01584|IL1B_HUMAN", "rev_sp|Q13451|FKBP5_HUMAN"],
    ...     "Protein ID": ["P01584", "Q13451"], "Entry Name": ["IL1B_HUMAN", "FKBP5_HUMAN"],
    ...     "Gene": ["IL1B", "FKBP5"],
    ...     "S1 MaxLFQ Intensity": [1024.0, 64.0], "S2 MaxLFQ Intensity": [2048.0, 0.0]})
    >>> pp.proteomics.read_fragpipe(table).to_df()  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584
    sample_id
    S1               10.0
    S2               11.0
    """
    table = open_table(path, decimal=decimal, encoding=encoding)
    choice("quantity", quantity, ("maxlfq", "intensity", "razor", "unique", "total"))
    kind = expect(table.columns, "read_fragpipe", table.name)
    if kind == "fragpipe_proteins":
        check_level(level, table)
        return to_adata(fragpipe.from_proteins(table, quantity), samples=samples, keep=keep)
    if level == "protein":
        choice("quantity (of peptides and ions)", quantity, ("maxlfq", "intensity"))
    ions = to_adata(fragpipe.from_ions(table), samples=samples, keep=keep)
    return rolled(ions, level, "maxlfq" if quantity == "maxlfq" else "sum")
