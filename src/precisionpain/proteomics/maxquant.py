"""Reader of MaxQuant: ``proteinGroups.txt``, ``peptides.txt``, ``evidence.txt``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import FormatError
from ._lfq import maxquant
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.options import Level, check_level, choice, rolled
from ._lfq.recognise import expect
from ._lfq.table import TableLike, open_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_maxquant"]


def read_maxquant(
    path: TableLike,
    *,
    quantity: Literal["lfq", "ibaq", "intensity"] = "lfq",
    level: Level = "protein",
    run: Literal["experiment", "raw_file"] = "experiment",
    samples: TableLike | None = None,
    keep: Keep = (),
    decimal: Decimal = None,
    encoding: str | None = None,
) -> AnnData:
    """Read a table of MaxQuant: ``proteinGroups.txt``, ``peptides.txt`` or ``evidence.txt``.

    Parameters
    ----------
    path : str, Path or pandas.DataFrame
        The table; its kind is told by the header (also as R writes it, with dots).
    quantity : {"lfq", "ibaq", "intensity"}, default "lfq"
        Of ``proteinGroups.txt``, the columns to take. Of peptides and ions, ``"lfq"`` rolls them
        up by MaxLFQ and ``"intensity"`` by their sum.
    level : {"protein", "ion"}, default "protein"
        ``"ion"`` gives the peptides or ions as they are, for `roll_up`.
    run : {"experiment", "raw_file"}, default "experiment"
        What is a sample in ``evidence.txt``; rows of one ion in one sample are summed.
    samples : pandas.DataFrame, str or Path, optional
        What is known of the samples: a row for each, keyed by ``sample_id`` (the name in the
        file), with ``subject_id`` and for example ``visit``, ``specimen``, ``plate``,
        ``sample_type``. Without it each sample is a subject of its own.
    keep : collection of {"decoy", "contaminant", "only_by_site"}, optional
        What else stays, flagged by a column of ``var`` of that name.
    decimal : {".", ","}, optional
        The decimal sign; found where it isn't given.
    encoding : str, optional
        Of a text file; UTF-8 (or UTF-16 with a mark) where it isn't given.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2. ``var``: index ``protein_group`` (the accessions of
        *Majority protein IDs*), ``uniprot`` (the leading one), ``uniprots`` (those of *Protein
        IDs*), ``gene``, ``n_peptides`` (razor and unique), ``original_group``.

    Raises
    ------
    FormatError
        When it is no such table (with the reader that takes it), lacks the quantity, or has a
        cell that can't be read.
    AlignmentError
        When a sample or protein comes twice, or `samples` and the file don't agree.

    Notes
    -----
    A peptide that several groups share belongs to its leading razor protein, so it counts once.

    References
    ----------
    .. [1] Cox J. et al. Accurate proteome-wide label-free quantification by delayed
       normalization and maximal peptide ratio extraction, termed MaxLFQ. Mol Cell Proteomics
       2014;13:2513–2526.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> table = pd.DataFrame({
    ...     "Protein IDs": ["P01584;P01583", "CON__P02769"],
    ...     "Majority protein IDs": ["P01584", "CON__P02769"],
    ...     "Gene names": ["IL1B", "ALB"],
    ...     "LFQ intensity A": [1024, 4096], "LFQ intensity B": [0, 8192]})
    >>> adata = pp.proteomics.read_maxquant(table)
    >>> adata.to_df()  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584
    sample_id
    A                10.0
    B                 NaN
    >>> adata.uns["precisionpain"]["removed"]
    {'contaminant': 1}
    """
    table = open_table(path, decimal=decimal, encoding=encoding)
    choice("quantity", quantity, ("lfq", "ibaq", "intensity"))
    choice("run", run, ("experiment", "raw_file"))
    kind = expect(table.columns, "read_maxquant", table.name)
    if kind == "maxquant_groups":
        check_level(level, table)
        return to_adata(maxquant.from_groups(table, quantity), samples=samples, keep=keep)
    if quantity == "ibaq" and level == "protein":
        raise FormatError(
            "iBAQ is in proteinGroups.txt only", where=table.name, remedy="read that file"
        )
    evidence = kind == "maxquant_evidence"
    export = maxquant.from_evidence(table, run) if evidence else maxquant.from_peptides(table)
    ions = to_adata(export, samples=samples, keep=keep)
    return rolled(ions, level, "maxlfq" if quantity == "lfq" else "sum")
