"""Reader of any table of proteins or ions × samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._lfq import matrix
from ._lfq.assemble import Keep, to_adata
from ._lfq.numbers import Decimal
from ._lfq.table import TableLike, open_table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_matrix"]


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
