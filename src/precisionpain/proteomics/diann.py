"""Reader of DIA-NN: reports, and matrices of protein groups, genes or precursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ._lfq import diann
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.options import Level, check_level, choice, rolled, share
from ._lfq.recognise import expect
from ._lfq.table import TableLike, open_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_diann"]


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
    """Read DIA-NN: a report (text or Parquet), or a matrix of protein groups, genes, precursors.

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
        Samples × protein groups, log2; ``n_peptides`` counts the sequences that passed. Of a
        matrix of genes (``gg_matrix``, ``unique_genes_matrix``), samples × groups of genes: index
        ``gene_group``, no accessions (``uniprot`` is None).

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
    choice("quantity", quantity, ("maxlfq", "quantity", "normalised", "topn", "ions"))
    kind = expect(table.columns, "read_diann", table.name)
    if kind == "diann_report":
        of_ions = quantity == "ions" or level == "ion"
        export = diann.from_report(
            table, "ions" if of_ions else quantity,
            q_value=share("q_value", q_value), pg_q_value=share("pg_q_value", pg_q_value),
            keep=keep,
        )  # fmt: skip
    else:
        of_ions = kind == "diann_precursors"
        if not of_ions:
            check_level(level, table)
        export = diann.from_matrix(table)
    adata = to_adata(export, samples=samples, keep=keep)
    return rolled(adata, level, "maxlfq") if of_ions else adata
