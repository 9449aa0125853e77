"""Reader of mzTab, the exchange format of the Proteomics Standards Initiative."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ._lfq import mztab
from ._lfq.assemble import Keep, to_adata
from ._lfq.options import choice
from ._lfq.table import TableLike

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_mztab"]


def read_mztab(
    path: str | Path,
    *,
    quantity: Literal["assay", "study_variable"] = "assay",
    log2: bool = False,
    samples: TableLike | None = None,
    keep: Keep = (),
    encoding: str | None = None,
) -> AnnData:
    r"""Read the proteins of an mzTab file, version 1.0 (also ``.gz``).

    Parameters
    ----------
    path : str or Path
        The file; sections other than metadata (MTD) and proteins (PRH, PRT) are passed over.
    quantity : {"assay", "study_variable"}, default "assay"
        ``protein_abundance_assay[n]``, or ``protein_abundance_study_variable[n]``, which are
        means of a group: no samples of people, so they are never taken unasked.
    log2 : bool, default False
        Whether the abundances are logarithms; the format doesn't say it, so it is checked.
    samples, keep
        As in `read_maxquant`.
    encoding : str, optional
        UTF-8 where it isn't given.

    Returns
    -------
    anndata.AnnData
        Samples × protein groups, log2. A sample is called by its run's file, where each assay
        has one of its own, else ``assay[n]``; a study variable by its description. A group is
        the accession with its ``ambiguity_members``; ``gene`` is the ``GN=`` of a description
        in UniProt's form.

    Raises
    ------
    FormatError
        When it is no mzTab of proteins, reports no abundances (identification only) or not
        these, or a cell can't be read.
    AlignmentError
        As in `read_maxquant`.

    Notes
    -----
    Rows of single members, as OpenMS adds them beside their group (``opt_global_result_type``
    ``protein_details``), are left out and counted as ``"member_of_group"``; its decoy flag is
    heeded.

    References
    ----------
    .. [1] Griss J. et al. The mzTab data exchange format. Mol Cell Proteomics 2014;13:2765–2775.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import precisionpain as pp
    >>> text = '''MTD|mzTab-version|1.0.0
    ... MTD|ms_run[1]-location|file:///data/A.raw
    ... MTD|ms_run[2]-location|file:///data/B.raw
    ... MTD|assay[1]-ms_run_ref|ms_run[1]
    ... MTD|assay[2]-ms_run_ref|ms_run[2]
    ... PRH|accession|ambiguity_members|protein_abundance_assay[1]|protein_abundance_assay[2]
    ... PRT|P01584|P01583|1024|null
    ... '''.replace("|", "\t")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "study.mzTab"
    ...     _ = file.write_text(text)
    ...     adata = pp.proteomics.read_mztab(file)
    >>> adata.to_df()  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584;P01583
    sample_id
    A                       10.0
    B                        NaN
    """
    choice("quantity", quantity, ("assay", "study_variable"))
    return to_adata(
        mztab.from_proteins(Path(path), quantity, log2, encoding), samples=samples, keep=keep
    )
