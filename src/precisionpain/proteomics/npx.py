"""Olink's NPX exports, read and written.

`read_npx` tells the format by what is in the file: long text (``;``, ``,`` or tab; UTF-8,
UTF-16 or cp1252; decimal points or commas), Parquet (Explore HT, Reveal), wide Excel sheets
(Target 48, Target 96, Flex), and zips, folders and lists of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import FormatError
from ._layout import about, as_adata

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_npx", "write_npx"]


def read_npx(
    path: str | Path | Iterable[str | Path],
    *,
    samples: pd.DataFrame | str | Path | None = None,
    subject: str | re.Pattern[str] | Callable[[str], Any] | None = None,
    value: str | None = None,
) -> AnnData:
    r"""Read an export of the Olink software: NPX, or concentrations.

    Parameters
    ----------
    path : str, path or iterable of these
        A file, a folder, or several files whose rows belong together. What a file is, its
        content tells. Files of a folder or a zip that are no tables (licences, read-mes) are
        left out and named; checksums in a zip are compared.
    samples : pandas.DataFrame or path, optional
        One row per SampleID (a column or the index ``SampleID`` or ``sample_id``) with
        ``subject_id``, and where known ``visit``, ``specimen``, ``sample_type`` and others.
        Joined by the id; needs all samples of people, and no others.
    subject : str, re.Pattern or callable, optional
        Instead of `samples`: a pattern with the groups ``subject`` and, if wanted, ``visit``,
        that fits the whole SampleID; or a function of the SampleID that returns the subject,
        (subject, visit), or a mapping. Without both, ``subject_id`` is the file's column
        ``subject_id`` or ``SubjectID``, else ``Subject``, else the SampleID; what it was is in
        ``uns["precisionpain"]["subject_from"]``. Several samples of a person stay several rows.
    value : {"NPX", "Quantified_value"}, optional
        Which one to read from a file that has both.

    Returns
    -------
    anndata.AnnData
        Samples × assays; ``X`` is NPX, or log2 of the concentration. Both in the order of the
        file. All that the file says is kept: ``obs``, ``var``, ``obsm`` (said of a sample for
        each panel anew), ``layers`` (said of each value), ``uns["precisionpain"]``.

        - ``obs_names`` are the SampleIDs. A SampleID that a panel measured more than once
          (a control, a sample on two plates) has several rows, ``ID#1``, ``ID#2``…, in the
          order of Index, plate, well, file; ``obs["sample_id"]`` is the original.
        - ``obs["sample_type"]`` is that of the file. In a file that doesn't say it, whole
          names tell controls: those that begin with ``CONTROL_SAMPLE`` or ``SAMPLE_CONTROL``,
          ``NEGATIVE_CONTROL`` or ``NEG_CTRL``, ``PLATE_CONTROL`` or ``IPC`` (with a number or
          without); ``uns["precisionpain"]["sample_type_from"]`` says what told it.
        - ``layers["lod"]`` is, for each value, the first that is given of LOD, PlateLOD and
          MaxLOD: what the software settled on, the plate's own, that of all plates. The
          columns stay beside it (``plate_lod``, ``max_lod``).
        - ``layers["sample_qc"]`` and ``["assay_qc"]`` are codes (0 pass, 1 warning, 2 failed
          or excluded, NaN not said).
        - Assays without OlinkID are called ``PANEL:ASSAY``.
        - A column that nobody knows keeps its name, and goes to ``obs`` if it is constant
          within samples, to ``var`` within assays, to ``obsm`` within samples on a panel; else
          it is a layer (text as codes, whose words are in
          ``uns["precisionpain"]["categories"]``).
        - ``obs["sample_index"]`` is the file's Index; of a wide sheet, the number of the row.
        - Concentrations stay as they are in ``layers["quantified"]``; one of 0 is missing in
          ``X``; limits of detection are on the log2 scale as ``X``.

    Raises
    ------
    FormatError
        When a file is no export, or a cell can't be read (file, line or cell, and column);
        NPX beside Ct or concentrations.
    AlignmentError
        When a sample has two values of an assay, people's samples are on the same panel in
        two files, or ids of `samples` are unknown, lacking or duplicate.
    StorageError
        When a file doesn't exist, or differs from its checksum.

    Warns
    -----
    DataWarning
        When values are normalised in several ways, an assay has several names, or a QC flag
        is unknown; when a column Subject leaves the person open (several people for one sample,
        nobody for some, two such columns that differ), so that the SampleID counts.

    Notes
    -----
    Long files are read in two passes of batches, so that only the matrix and its layers need
    memory.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import precisionpain as pp
    >>> text = '''SampleID;OlinkID;UniProt;Assay;Panel;PlateID;QC_Warning;LOD;NPX
    ... TN01_preop;OID01;P01584;IL1B;Inflammation;P1;Pass;1,5;2,25
    ... TN01_preop;OID02;O43927;CXCL13;Inflammation;P1;Pass;0,5;7,5
    ... CONTROL_SAMPLE_AS 1;OID01;P01584;IL1B;Inflammation;P1;Warning;1,5;3,0
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "export.csv"
    ...     _ = path.write_text(text)
    ...     npx = pp.proteomics.read_npx(path, subject=r"(?P<subject>\w+)_(?P<visit>\w+)")
    >>> npx.to_df().round(2)
    olink_id             OID01  OID02
    TN01_preop            2.25    7.5
    CONTROL_SAMPLE_AS 1   3.00    NaN
    >>> npx.obs[["subject_id", "visit", "sample_type"]].iloc[0].tolist()
    ['TN01', 'preop', 'SAMPLE']
    >>> npx.obs["sample_type"].iloc[1]
    'CONTROL'
    """
    from ._npx.assemble import assemble
    from ._npx.sources import find_tables

    tables, skipped = find_tables(path)
    return assemble(tables, skipped, value, samples, subject)


def write_npx(adata: AnnData, path: str | Path) -> Path:
    """Write an assay as a table that `read_npx`, and others, read.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays on the log2 scale, as `read_npx` returns it.
    path : str or path
        ``.csv`` (semicolons), ``.tsv`` (tabs) or ``.parquet``: long, with all that is known.
        Parquet keeps all types; text doesn't: a text column of numbers comes back as numbers.
        ``.xlsx``: wide, as Target 96 has it; values, plates, QC, the limit of detection,
        share of missing values and normalization, and nothing else.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FormatError
        When the data are no NPX, the ending is another one, ``obs`` and ``var`` have a column of
        the same name, text has a word that stands for missing, or a wide sheet can't hold the
        limits of detection (several of one assay) or concentrations.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import precisionpain as pp
    >>> plasma = pp.datasets.sample_tn().assays["plasma_pea"][:, :5]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pp.proteomics.write_npx(plasma, pathlib.Path(folder) / "plasma.parquet")
    ...     again = pp.proteomics.read_npx(file)
    >>> bool((again.to_df() == plasma.to_df()).all(axis=None))
    True
    """
    kind = about(as_adata(adata)).get("kind", "npx")
    if kind != "npx":
        raise FormatError(
            f"expected NPX, found data of kind {kind!r}, which would be read back as NPX",
            where="adata.uns['precisionpain']['kind']",
            remedy="save it with adata.write_h5ad",
        )
    from ._npx.writing import write_long
    from ._npx.writing_wide import write_wide

    path = Path(path)
    write = write_wide if path.suffix.lower() == ".xlsx" else write_long
    return write(adata, path)
