"""Readers of label-free mass spectrometry: from the export of a program to an AnnData.

All give samples × protein groups: ``X`` is log2 of the intensity, NaN where nothing was measured
(0 in a file is no measurement), ``layers["intensity"]`` the same values on the linear scale.
A group ``P1;P2`` is one column, and its leading protein is ``var["uniprot"]``. Decoys,
contaminants and groups identified by a modification site only are left out and counted in
``uns["precisionpain"]["removed"]``, in rows of the file.

A group is a decoy where the file flags it or all its proteins are marked (``REV__``, ``rev_``,
``DECOY_``), and a contaminant where the file flags it or its *leading* protein is marked
(``CON__``, ``Cont_``, ``contam_``, ``cRAP``, the spiked ``iRT-Kit``). One ``CON__`` protein among
the minor members of a group of real proteins takes nothing away: in plasma that is the bovine
homologue of a human protein. A group with two reasons is counted under both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ..errors import FormatError, list_some
from ._lfq import diann, fragpipe, matrix, maxquant, spectronaut
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.recognise import expect
from ._lfq.table import Table, TableLike, open_table
from .rollup import roll_up

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_diann", "read_fragpipe", "read_matrix", "read_maxquant", "read_spectronaut"]

Level = Literal["protein", "ion"]


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
    _choice("quantity", quantity, ("lfq", "ibaq", "intensity"))
    _choice("run", run, ("experiment", "raw_file"))
    kind = expect(table.columns, "read_maxquant", table.name)
    if kind == "maxquant_groups":
        _check_level(level, table)
        return to_adata(maxquant.from_groups(table, quantity), samples=samples, keep=keep)
    if quantity == "ibaq" and level == "protein":
        raise FormatError(
            "iBAQ is in proteinGroups.txt only", where=table.name, remedy="read that file"
        )
    evidence = kind == "maxquant_evidence"
    export = maxquant.from_evidence(table, run) if evidence else maxquant.from_peptides(table)
    ions = to_adata(export, samples=samples, keep=keep)
    return _rolled(ions, level, "maxlfq" if quantity == "lfq" else "sum")


def read_diann(
    path: TableLike,
    *,
    quantity: Literal["maxlfq", "quantity", "normalised", "topn", "ions"] = "maxlfq",
    level: Level = "protein",
    q_value: float = 0.01,
    pg_q_value: float = 0.01,
    samples: TableLike | None = None,
    keep: Keep = (),
    decimal: Decimal = None,
    encoding: str | None = None,
) -> AnnData:
    """Read DIA-NN: a report (text or Parquet), or a matrix of protein groups or precursors.

    Parameters
    ----------
    path : str, Path or pandas.DataFrame
        The table; its kind is told by the header.
    quantity : {"maxlfq", "quantity", "normalised", "topn", "ions"}, default "maxlfq"
        Of a report, the column to take (``PG.MaxLFQ``, ``PG.Quantity``, ``PG.Normalised``,
        ``PG.TopN``), or ``"ions"``: MaxLFQ anew from the precursors that pass the filters.
        A matrix has one quantity.
    level : {"protein", "ion"}, default "protein"
        ``"ion"`` gives the precursors as they are (``Precursor.Normalised``), for `roll_up`.
    q_value : float, default 0.01
        Rows of a report above it in ``Q.Value``, ``Global.Q.Value`` or ``Lib.Q.Value`` (those
        that the report has) are left out.
    pg_q_value : float, default 0.01
        The same for ``PG.Q.Value``, ``Global.PG.Q.Value`` and ``Lib.PG.Q.Value``.
    samples, keep, decimal, encoding
        As in `read_maxquant`.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2; ``n_peptides`` counts the sequences that passed.

    Raises
    ------
    FormatError, AlignmentError
        As in `read_maxquant`.

    Notes
    -----
    A column of q-values that is 0 throughout was not calculated by DIA-NN, and filters nothing.
    Matrices are filtered by DIA-NN already, at its own limits. Limits are for each row, so a
    group may be measured in one run and missing in another.

    References
    ----------
    .. [1] Demichev V. et al. DIA-NN: neural networks and interference correction enable deep
       proteome coverage in high throughput. Nat Methods 2020;17:41–44.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> report = pd.DataFrame({
    ...     "Run": ["A", "B", "B"], "Protein.Group": ["P01584", "P01584", "Q13451"],
    ...     "Genes": ["IL1B", "IL1B", "FKBP5"], "Precursor.Id": ["AAK2", "AAK2", "LLR2"],
    ...     "Modified.Sequence": ["AAK", "AAK", "LLR"], "Stripped.Sequence": ["AAK", "AAK", "LLR"],
    ...     "Precursor.Charge": 2, "Q.Value": [0.001, 0.002, 0.03],
    ...     "PG.MaxLFQ": [1024.0, 2048.0, 512.0]})
    >>> adata = pp.proteomics.read_diann(report)
    >>> adata.to_df()  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584
    sample_id
    A                10.0
    B                11.0
    >>> adata.uns["precisionpain"]["removed"]
    {'Q.Value': 1}
    """
    table = open_table(path, decimal=decimal, encoding=encoding)
    _choice("quantity", quantity, ("maxlfq", "quantity", "normalised", "topn", "ions"))
    kind = expect(table.columns, "read_diann", table.name)
    if kind == "diann_report":
        of_ions = quantity == "ions" or level == "ion"
        export = diann.from_report(
            table, "ions" if of_ions else quantity,
            q_value=_share("q_value", q_value), pg_q_value=_share("pg_q_value", pg_q_value),
            keep=keep,
        )  # fmt: skip
    else:
        of_ions = kind == "diann_precursors"
        if not of_ions:
            _check_level(level, table)
        export = diann.from_matrix(table)
    adata = to_adata(export, samples=samples, keep=keep)
    return _rolled(adata, level, "maxlfq") if of_ions else adata


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
    _choice("quantity", quantity, ("maxlfq", "intensity", "razor", "unique", "total"))
    kind = expect(table.columns, "read_fragpipe", table.name)
    if kind == "fragpipe_proteins":
        _check_level(level, table)
        return to_adata(fragpipe.from_proteins(table, quantity), samples=samples, keep=keep)
    if level == "protein":
        _choice("quantity (of peptides and ions)", quantity, ("maxlfq", "intensity"))
    ions = to_adata(fragpipe.from_ions(table), samples=samples, keep=keep)
    return _rolled(ions, level, "maxlfq" if quantity == "maxlfq" else "sum")


def read_spectronaut(
    path: TableLike,
    *,
    level: Level = "protein",
    q_value: float = 0.01,
    pg_q_value: float = 0.01,
    samples: TableLike | None = None,
    keep: Keep = (),
    decimal: Decimal = None,
    encoding: str | None = None,
) -> AnnData:
    """Read Spectronaut: the long report, or the pivot report with a column for each run.

    Parameters
    ----------
    path : str, Path or pandas.DataFrame
        The table; its kind is told by the header. Decimal commas are understood.
    level : {"protein", "ion"}, default "protein"
        ``"protein"`` takes ``PG.Quantity``; ``"ion"`` gives the precursors of a long report
        (``FG.Quantity``), for `roll_up`.
    q_value : float, default 0.01
        Rows of a long report above it in ``EG.Qvalue`` are left out.
    pg_q_value : float, default 0.01
        The same for ``PG.Qvalue`` and ``PG.QValue (Run-Wise)``.
    samples, keep, decimal, encoding
        As in `read_maxquant`.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2; ``n_peptides`` counts the sequences that passed.

    Raises
    ------
    FormatError, AlignmentError
        As in `read_maxquant`.

    References
    ----------
    .. [1] Bruderer R. et al. Extending the limits of quantitative proteome profiling with
       data-independent acquisition. Mol Cell Proteomics 2015;14:1400–1410.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> pivot = pd.DataFrame({
    ...     "PG.ProteinGroups": ["P01584;P01583", "Q13451"], "PG.Genes": ["IL1B;IL1A", "FKBP5"],
    ...     "[1] S1.raw.PG.Quantity": ["1024,5", "Filtered"],
    ...     "[2] S2.raw.PG.Quantity": ["2049", "512,0"]})
    >>> pp.proteomics.read_spectronaut(pivot).to_df().round(2)  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584;P01583  Q13451
    sample_id
    S1                      10.0     NaN
    S2                      11.0     9.0
    """
    table = open_table(path, decimal=decimal, encoding=encoding)
    kind = expect(table.columns, "read_spectronaut", table.name)
    if kind == "spectronaut_pivot":
        _check_level(level, table)
        return to_adata(spectronaut.from_pivot(table), samples=samples, keep=keep)
    _choice("level", level, ("protein", "ion"))
    export = spectronaut.from_report(
        table, ions=level == "ion", keep=keep,
        q_value=_share("q_value", q_value), pg_q_value=_share("pg_q_value", pg_q_value),
    )  # fmt: skip
    return to_adata(export, samples=samples, keep=keep)


def read_matrix(
    path: TableLike,
    *,
    log2: bool,
    columns: str | Sequence[str],
    protein: str | None = None,
    gene: str | None = None,
    ion: str | Sequence[str] | None = None,
    n_peptides: str | None = None,
    unit: str | None = None,
    samples: TableLike | None = None,
    keep: Keep = (),
    delimiter: str | None = None,
    decimal: Decimal = None,
    encoding: str | None = None,
    sheet: int | str = 0,
) -> AnnData:
    """Read any table of proteins (or ions) × samples: text, Excel, Parquet, a DataFrame.

    Parameters
    ----------
    path : str, Path or pandas.DataFrame
        One row for each protein group, or for each ion.
    log2 : bool
        Whether the values are logarithms already. It must be said, and is checked.
    columns : str or sequence of str
        The columns that are samples: a regular expression for the whole header, in which a group
        (if there is one) is the name of the sample; or their headers.
    protein : str, optional
        The column that names the protein groups; the first column where it isn't given.
    gene : str, optional
        The column of genes.
    ion : str or sequence of str, optional
        The columns that together name an ion, for example peptide and charge; the result is
        samples × ions, for `roll_up`.
    n_peptides : str, optional
        The column that counts the peptides.
    unit : str, optional
        What the values are; ``"log2 intensity"`` where it isn't given.
    samples, keep, decimal, encoding
        As in `read_maxquant`.
    delimiter : str, optional
        Of a text file; found where it isn't given.
    sheet : int or str, default 0
        Of a workbook: position or title.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2.

    Raises
    ------
    FormatError
        When a column is absent, values contradict `log2`, or a cell can't be read.
    AlignmentError
        As in `read_maxquant`.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> table = pd.DataFrame({"protein": ["P01584", "Q13451"], "gene": ["IL1B", "FKBP5"],
    ...                       "Area S1": [1024.0, 0.0], "Area S2": [2048.0, 512.0]})
    >>> adata = pp.proteomics.read_matrix(table, log2=False, columns="Area (.+)", gene="gene")
    >>> adata.to_df()  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584  Q13451
    sample_id
    S1               10.0     NaN
    S2               11.0     9.0
    """
    table = open_table(path, delimiter=delimiter, decimal=decimal, encoding=encoding, sheet=sheet)
    export = matrix.from_matrix(
        table, log2=log2, columns=columns, protein=protein, gene=gene, ion=ion,
        n_peptides=n_peptides, unit=unit,
    )  # fmt: skip
    return to_adata(export, samples=samples, keep=keep)


def _rolled(ions: AnnData, level: Level, method: Literal["maxlfq", "sum"]) -> AnnData:
    _choice("level", level, ("protein", "ion"))
    return ions if level == "ion" else roll_up(ions, method=method)


def _check_level(level: Level, table: Table) -> None:
    _choice("level", level, ("protein", "ion"))
    if level == "ion":
        raise FormatError(
            "expected peptides or ions, found a table of proteins",
            where=table.name,
            remedy="level='protein', or the table of ions",
        )


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise FormatError(f"expected one of {list_some(allowed)}, found {value!r}", where=name)


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise FormatError(f"expected a q-value between 0 and 1, found {value!r}", where=name)
    return value
