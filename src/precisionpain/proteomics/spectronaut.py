"""Reader of Spectronaut: the long report and the pivot report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lfq import spectronaut
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.options import Level, check_level, choice, share
from ._lfq.recognise import expect
from ._lfq.table import TableLike, open_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_spectronaut"]


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
        check_level(level, table)
        return to_adata(spectronaut.from_pivot(table), samples=samples, keep=keep)
    choice("level", level, ("protein", "ion"))
    export = spectronaut.from_report(
        table, ions=level == "ion", keep=keep,
        q_value=share("q_value", q_value), pg_q_value=share("pg_q_value", pg_q_value),
    )  # fmt: skip
    return to_adata(export, samples=samples, keep=keep)
