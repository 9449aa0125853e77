"""Look at an assay before it is used: report what is wrong, then act on what you decide.

`check_npx` and `check_lfq` change nothing and return a table of findings. `clean` acts, by
its options only, and writes what went, and why, into the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from ..errors import FormatError
from ._layout import QC, about, as_adata
from ._quality import batches, levels, structure
from ._quality.cleaning import Cleaner
from ._quality.contamination import check_contamination, contamination_index
from ._quality.findings import Findings
from ._quality.replicates import check_replicates, coefficient_of_variation
from ._quality.rules import Measured

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "check_lfq",
    "check_npx",
    "clean",
    "coefficient_of_variation",
    "contamination_index",
]


def _fraction(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise FormatError(f"expected a share from 0 to 1, found {value!r}", where=f"{name}=")
    return value


def _measured(adata: AnnData, kind: str) -> Measured:
    as_adata(adata)
    said = about(adata).get("kind", kind)
    if said != kind:
        instead = "check_lfq" if said == "lfq" else "check_npx"
        raise FormatError(
            f"expected data of kind {kind!r}, found {said!r}",
            where="adata.uns['precisionpain']['kind']",
            remedy=f"use {instead}" if said in ("lfq", "npx") else "these checks are for proteins",
        )
    return Measured(adata)


def check_npx(
    adata: AnnData,
    *,
    group: str | None = None,
    batch: str | list[str] | None = None,
    below_lod: float = 0.5,
    missing: float = 0.5,
    n_sd: float = 3.0,
    fdr: float = 0.05,
) -> pd.DataFrame:
    """Check Olink data and report what deserves a look; nothing is changed.

    Statistics are those of samples of people and assays of proteins: control samples and
    control assays, known by their type and never by their name, are left out and counted.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, NPX, as `read_npx` returns it.
    group : str, optional
        Column of ``obs`` that will be compared. Reports when it can't be told from the plate.
    batch : str or list of str, optional
        What groups the samples; by default those of ``plate``, ``site``, ``batch`` and
        ``project`` that are there. Every assay is tested for a shift between them by the test
        of Kruskal and Wallis.
    below_lod : float, default 0.5
        Assays and samples with a larger share below the limit of detection are flagged. They
        stay, and so do their NPX.
    missing : float, default 0.5
        Assays and samples with a larger share missing are flagged.
    n_sd : float, default 3.0
        A sample is outlying when its median or its interquartile range on a panel lies this
        many SD from the mean of all samples.
    fdr : float, default 0.05
        False discovery rate (Benjamini and Hochberg) of the tests for shifts.

    Returns
    -------
    pandas.DataFrame
        One row per finding, the gravest first:

        ``check``
            What was looked at, for example ``"below_lod"``.
        ``severity``
            ``"error"`` (must be solved first), ``"warning"`` or ``"note"``.
        ``where``, ``item``
            ``"sample"``, ``"assay"`` or ``"data"``, and which; controls are listed by type.
        ``n``, ``share``
            How many values, samples or assays it concerns, and which share (0 to 1); for an
            assay's ``batch_effect`` ε², the share of the variance of the ranks that lies
            between batches; for ``confounded`` Cramér's V.
        ``message``
            What was found.
        ``action``
            What `clean` can do about it, when its options say so: ``"remove_assay"``,
            ``"remove_sample"``, ``"mask"`` or ``"none"``.

    Raises
    ------
    FormatError
        When it isn't an AnnData of NPX, or a column that you name is absent.

    See Also
    --------
    clean : acts on the report.

    Notes
    -----
    Outliers by median and interquartile range per panel follow the vendor's advice for NPX. Among
    ten samples or fewer none can lie 3 SD from the mean, so none is found.

    Blood cells and skin are judged as by `contamination_index`, replicates as by
    `coefficient_of_variation`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> report = pp.proteomics.check_npx(adata)
    >>> report[report["check"] == "control_sample"].set_index("item")["n"].to_dict()
    {'CONTROL': 4, 'NEGATIVE_CONTROL': 6, 'PLATE_CONTROL': 6}
    """
    m = _measured(adata, "npx")
    found = Findings()
    structure.check_columns(m, "npx", found)
    structure.check_names(m, "npx", found)
    structure.check_unit(m, "npx", found)
    structure.check_controls(m, found)
    structure.check_people(m, found)
    structure.check_uniprot(m, found)
    levels.check_missing(m, _fraction(missing, "missing"), found)
    levels.check_qc(m, found)
    levels.check_below_lod(m, _fraction(below_lod, "below_lod"), found)
    levels.check_outliers(m, n_sd, found)
    _check_between(m, group, batch, fdr, found)
    return found.frame()


def check_lfq(
    adata: AnnData,
    *,
    group: str | None = None,
    batch: str | list[str] | None = None,
    missing: float = 0.5,
    n_sd: float = 3.0,
    fdr: float = 0.05,
) -> pd.DataFrame:
    """Check label-free mass spectrometry and report what deserves a look; nothing is changed.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × protein groups, log2 of intensities, as the readers return it.
    group : str, optional
        Column of ``obs`` that will be compared. Reports when it can't be told from the batch.
    batch : str or list of str, optional
        What groups the samples; by default those of ``plate``, ``site``, ``batch`` and
        ``project`` that are there.
    missing : float, default 0.5
        Protein groups and samples with a larger share missing are flagged.
    n_sd : float, default 3.0
        A sample is outlying when its median or its interquartile range lies this many SD from
        the mean of all samples, or its number of proteins this many SD (from the median
        absolute deviation) and more than a tenth below the median sample.
    fdr : float, default 0.05
        False discovery rate (Benjamini and Hochberg) of the tests for shifts.

    Returns
    -------
    pandas.DataFrame
        One row per finding; see `check_npx`. In addition: contaminants and decoys that were
        left, proteins per sample, proteins that rest on one peptide, and whether what is
        missing depends on the intensity (``missing_not_at_random``).

    Raises
    ------
    FormatError
        When it isn't an AnnData of intensities, or a column that you name is absent.

    See Also
    --------
    clean : acts on the report.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_lfq"]
    >>> report = pp.proteomics.check_lfq(adata)
    >>> report[report["check"] == "control_sample"].set_index("item")["action"].to_dict()
    {'CONTROL': 'remove_sample'}
    """
    m = _measured(adata, "lfq")
    found = Findings()
    structure.check_columns(m, "lfq", found)
    structure.check_names(m, "lfq", found)
    structure.check_unit(m, "lfq", found)
    structure.check_controls(m, found)
    structure.check_people(m, found)
    structure.check_uniprot(m, found)
    structure.check_foreign(m, found)
    levels.check_missing(m, _fraction(missing, "missing"), found)
    levels.check_proteins(m, n_sd, found)
    levels.check_qc(m, found)
    levels.check_outliers(m, n_sd, found)
    _check_between(m, group, batch, fdr, found)
    return found.frame()


def _check_between(
    m: Measured, group: str | None, batch: str | list[str] | None, fdr: float, found: Findings
) -> None:
    """Check what compares samples with each other."""
    batches.check_batches(m, batch, _fraction(fdr, "fdr"), found)
    batches.check_confounding(m, batch, group, found)
    check_contamination(m, found)
    check_replicates(m, found)


def clean(
    adata: AnnData,
    report: pd.DataFrame | None = None,
    *,
    controls: Literal["remove", "keep"] = "remove",
    qc: Literal["mask", "remove", "keep"] = "mask",
    qc_level: Literal["FAIL", "WARN"] = "FAIL",
    contaminants: Literal["remove", "keep"] = "remove",
    infinite: Literal["mask", "keep"] = "mask",
    zeros: Literal["mask", "keep"] = "keep",
    duplicates: Literal["first", "keep"] = "keep",
    malformed: Literal["remove", "keep"] = "keep",
    outliers: Literal["remove", "keep"] = "keep",
    below_lod: Literal["keep", "flag", "replace"] = "keep",
    empty: Literal["remove", "keep"] = "remove",
    missing_assay: float | None = None,
    missing_sample: float | None = None,
) -> AnnData:
    """Act on what the checks found, as far as the options say, and record what went.

    Steps follow the order of the parameters. Cleaning what is clean changes nothing.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays; stays as it is.
    report : pandas.DataFrame, optional
        From `check_npx` or `check_lfq`. Only what it lists is touched, and what lacks values
        because of that, so drop the rows that you disagree with. Without it all that the
        options name is.
    controls : {"remove", "keep"}, default "remove"
        Samples and assays that control the method, by their type.
    qc : {"mask", "remove", "keep"}, default "mask"
        What failed the quality control of the laboratory: make just those values missing, or
        leave out each sample that failed on any panel and each assay that failed in any
        sample.
    qc_level : {"FAIL", "WARN"}, default "FAIL"
        From which flag on.
    contaminants : {"remove", "keep"}, default "remove"
        Contaminants, decoys and groups that were identified by a modified site only.
    infinite : {"mask", "keep"}, default "mask"
        Infinite values, which the logarithm of 0 gives.
    zeros : {"mask", "keep"}, default "keep"
        Values of 0 in log2 intensities, which stand for not measured in some exports. NPX of
        0 is a value as any other.
    duplicates : {"first", "keep"}, default "keep"
        Of rows, and of columns, with the same name keep the first one.
    malformed : {"remove", "keep"}, default "keep"
        Assays whose name isn't an OlinkID.
    outliers : {"remove", "keep"}, default "keep"
        Samples that `report` lists as ``outlier`` or as having few proteins
        (``n_proteins``). Needs `report`: leave out an outlier only after a look at it.
    below_lod : {"keep", "flag", "replace"}, default "keep"
        Values below the limit of detection stay as measured; ``"flag"`` marks them in the
        layer ``below_lod``; ``"replace"`` marks them and puts the limit in their place.
    empty : {"remove", "keep"}, default "remove"
        Samples and assays without any value.
    missing_assay, missing_sample : float, optional
        Leave out assays, and samples, with a larger share missing. By default none.

    Returns
    -------
    anndata.AnnData
        A copy. Its ``uns["precisionpain"]`` says what was done: ``flow``, a table with one row
        per step (``step``, ``what``, ``n`` that went, ``remaining``, and the ``items``, joined
        by ``"; "``; of values the samples that they belong to), ``removed``, the counts by
        reason, and ``summary``, the flow in words. Layers stay as measured.

    Raises
    ------
    FormatError
        When an option is unknown, `outliers` are to go without a `report`, limits of
        detection are wanted and absent, or nothing would be left.

    See Also
    --------
    check_npx, check_lfq : report first.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> tidy = pp.proteomics.clean(adata)
    >>> print(tidy.uns["precisionpain"]["summary"])
    36 samples × 92 assays are left
      4 samples: type CONTROL
      6 samples: type NEGATIVE_CONTROL
      6 samples: type PLATE_CONTROL
    """
    as_adata(adata)
    _options(
        controls=(controls, "remove", "keep"),
        qc=(qc, "mask", "remove", "keep"),
        qc_level=(qc_level, "FAIL", "WARN"),
        contaminants=(contaminants, "remove", "keep"),
        infinite=(infinite, "mask", "keep"),
        zeros=(zeros, "mask", "keep"),
        duplicates=(duplicates, "first", "keep"),
        malformed=(malformed, "remove", "keep"),
        outliers=(outliers, "remove", "keep"),
        below_lod=(below_lod, "keep", "flag", "replace"),
        empty=(empty, "remove", "keep"),
    )
    if outliers == "remove" and report is None:
        raise FormatError(
            "outlying samples are left out by a report only",
            where="outliers='remove'",
            remedy="look at check_npx(adata) or check_lfq(adata) and pass it as report",
        )
    for name, limit in (("missing_assay", missing_assay), ("missing_sample", missing_sample)):
        if limit is not None:
            _fraction(limit, name)
    cleaner = Cleaner(adata, report)
    if controls == "remove":
        cleaner.controls()
    if qc != "keep":
        cleaner.quality(QC[qc_level], remove=qc == "remove")
    if contaminants == "remove":
        cleaner.contaminants()
    if infinite == "mask":
        cleaner.marked("infinite", np.isinf)
    if zeros == "mask":
        cleaner.marked("zero", lambda values: values == 0)
    if duplicates == "first":
        cleaner.duplicates()
    if malformed == "remove":
        cleaner.malformed()
    if outliers == "remove":
        cleaner.outliers()
    if below_lod != "keep":
        cleaner.detection(replace=below_lod == "replace")
    if empty == "remove" or missing_assay is not None or missing_sample is not None:
        cleaner.missing(missing_assay, missing_sample, empty == "remove")
    return cleaner.finish(adata.shape)


def _options(**given: tuple[str, ...]) -> None:
    for name, (value, *known) in given.items():
        if value not in known:
            raise FormatError(f"expected one of {known}, found {value!r}", where=f"{name}=")
