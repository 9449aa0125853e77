"""Bring projects and plates to one level: bridges, subsets, reference medians, plate medians.

All work on the log2 scale and add one number per assay, to the values and to every limit of
detection alike. Control samples and control assays are never learned from; nor are samples whose
quality control says so (`exclude_qc`). What was added, and what was left out, stands in the result.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import AlignmentError, DataWarning, FormatError, list_some
from ._normalization.projects import Project, by_bridges, by_subset, join, set_to
from ._normalization.rows import Ids

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "bridge_normalize",
    "intensity_normalize",
    "reference_median_normalize",
    "subset_normalize",
]

#: Verdicts of the quality control whose samples aren't learned from.
NOT_PASSED = ("WARN", "FAIL")


def bridge_normalize(
    reference: AnnData,
    new: AnnData,
    bridge_ids: Ids,
    *,
    on: str | None = None,
    projects: tuple[str, str] = ("reference", "new"),
    exclude_qc: Collection[str] = NOT_PASSED,
    keep_bridges: bool = False,
    assays: str = "all",
) -> AnnData:
    """Bring a new project to the level of a reference, by samples that were run in both.

    Per assay the median over the bridge samples of (reference − new) is added to the new
    project, values and limits of detection alike; an assay without such a difference stays as
    it is (its factor is 0, and it is counted).

    Parameters
    ----------
    reference, new : anndata.AnnData
        Samples × assays, log2 scale; assays are matched by their name, which is the OlinkID.
    bridge_ids : iterable, or mapping of reference id to new id
        Ids of the samples that both projects have.
    on : str, optional
        Column of ``obs`` that holds the ids; by default the index.
    projects : tuple of str, default ("reference", "new")
        Names, for ``obs["project"]``.
    exclude_qc : collection of {"PASS", "WARN", "FAIL"}, default ("WARN", "FAIL")
        A bridge sample with such a verdict, in either project, isn't learned from; where
        panels have verdicts of their own, on that panel alone.
    keep_bridges : bool, default False
        Keep the new project's copy of each bridge sample too. By default it goes, so that
        nobody is counted twice.
    assays : {"all", "shared"}, default "all"
        Keep assays that one project lacks, with NaN there; or leave them out.

    Returns
    -------
    anndata.AnnData
        The samples of the reference, then those of the new project. ``obs["project"]`` (of
        what was joined before, ``"reference: new"`` and the like);
        ``varm["adjustment"]`` holds what was added, assays × projects; ``var["max_lod"]`` the
        highest limit of all projects; ``uns["precisionpain"]["normalization"]`` what was done,
        counted. An id that both projects have gets its project's name in the second, and
        ``obs["original_id"]`` the old one. Arrays in ``obsm`` (embeddings) don't outlive.

    Raises
    ------
    AlignmentError
        When bridge ids are absent, there twice, or those of control samples; it lists them.
        When the projects share no assay.
    FormatError
        When the values aren't on the log2 scale, or the projects are of another unit.

    Warns
    -----
    DataWarning
        With fewer bridge samples that passed than the vendor asks for: 8 to 16 on Target 96, the
        first four panels of Explore 384 and in general, 16 to 24 on the others of Explore 384
        (…" II"), Explore 3072 and Reveal, 16 to 32 on Explore HT. When assays were normalised
        otherwise.

    References
    ----------
    Olink Proteomics. Data normalization and standardization, white paper 1096. Introduction to
    bridging Olink NPX datasets (numbers of bridge samples, table 1), tutorial of 2026.

    Examples
    --------
    >>> import precisionpain as pp
    >>> first = pp.datasets.sample_tn().assays["csf_pea"]
    >>> first = first[first.obs["sample_type"] == "SAMPLE"].copy()
    >>> second = first[:12].copy()
    >>> second.X = second.X - 0.7
    >>> both = bridge_normalize(first, second, second.obs_names)
    >>> both.varm["adjustment"]["new"].round(3).unique().tolist()
    [0.7]
    """
    a, b = _two(reference, new, projects, exclude_qc)
    by_bridges([a], b, bridge_ids, on=on, keep=keep_bridges)
    return join([a, b], assays=assays)


def subset_normalize(
    reference: AnnData,
    new: AnnData,
    *,
    reference_ids: Iterable[Any] | None = None,
    new_ids: Iterable[Any] | None = None,
    on: str | None = None,
    projects: tuple[str, str] = ("reference", "new"),
    exclude_qc: Collection[str] = NOT_PASSED,
    assays: str = "all",
) -> AnnData:
    """Bring a new project to the level of a reference, by the medians of comparable samples.

    Per assay the median of a subset of the reference − the median of a subset of the new
    project is added to the new project. The subsets must be of one kind of people (healthy
    controls of both, say): a true difference between them goes with the rest.

    Parameters
    ----------
    reference, new, on, projects, exclude_qc, assays
        As for `bridge_normalize`.
    reference_ids, new_ids : iterable, optional
        The subsets; by default all samples of people that passed.

    Returns
    -------
    anndata.AnnData
        As of `bridge_normalize`.

    Raises
    ------
    AlignmentError
        When ids are absent, there twice, or those of control samples; it lists them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> first = pp.datasets.sample_tn().assays["csf_pea"]
    >>> second = first.copy()
    >>> second.obs_names = "again_" + second.obs_names
    >>> second.X = second.X + 0.4
    >>> both = subset_normalize(first, second)
    >>> both.varm["adjustment"]["new"].round(3).unique().tolist()
    [-0.4]
    """
    a, b = _two(reference, new, projects, exclude_qc)
    by_subset([a], b, reference_ids, new_ids, on=on, method="subset")
    return join([a, b], assays=assays)


def intensity_normalize(
    reference: AnnData,
    new: AnnData,
    *,
    projects: tuple[str, str] = ("reference", "new"),
    exclude_qc: Collection[str] = NOT_PASSED,
    assays: str = "all",
) -> AnnData:
    """Bring a new project to the level of a reference, by the medians of all their samples.

    It is `subset_normalize` on all samples of people that passed, and right only where both
    projects drew people at random from one population. Plates of one project are brought to
    one level by `plate_normalize`.

    Parameters
    ----------
    reference, new, projects, exclude_qc, assays
        As for `bridge_normalize`.

    Returns
    -------
    anndata.AnnData
        As of `bridge_normalize`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> first = pp.datasets.sample_tn().assays["csf_pea"]
    >>> second = first.copy()
    >>> second.obs_names = "again_" + second.obs_names
    >>> both = intensity_normalize(first, second)
    >>> both.uns["precisionpain"]["normalization"]["1"]["method"]
    'intensity'
    """
    a, b = _two(reference, new, projects, exclude_qc)
    by_subset([a], b, None, None, on=None, method="intensity")
    return join([a, b], assays=assays)


def reference_median_normalize(
    adata: AnnData,
    medians: Mapping[str, float] | pd.Series,
    *,
    ids: Iterable[Any] | None = None,
    on: str | None = None,
    project: str = "new",
    exclude_qc: Collection[str] = NOT_PASSED,
) -> AnnData:
    """Bring a project to published medians.

    Per assay the reference median − the median of the samples is added.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale.
    medians : mapping or pandas.Series
        Reference median (NPX) of each assay, by its name. An assay that isn't in it stays as
        it is, and is counted.
    ids : iterable, optional
        The samples that are comparable with those of the reference; by default all samples of
        people that passed.
    on, exclude_qc
        As for `bridge_normalize`.
    project : str, default "new"
        Name of the project, for ``obs["project"]``.

    Returns
    -------
    anndata.AnnData
        Of the same samples and assays; the rest as of `bridge_normalize`.

    Raises
    ------
    AlignmentError
        When ids are absent, there twice or those of control samples, or when no assay has a
        reference median.

    Warns
    -----
    DataWarning
        When assays have no reference median.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> level = reference_median_normalize(adata, dict.fromkeys(adata.var_names, 5.0))
    >>> people = level[level.obs["sample_type"] == "SAMPLE"]
    >>> passed = people[people.obs["qc"] == "PASS"]
    >>> float(passed.to_df().median().round(6).iloc[0])
    5.0
    """
    one = Project(project, adata, exclude_qc)
    wanted = pd.Series(medians, dtype=np.float64)
    if not wanted.index.is_unique:
        twice = wanted.index[wanted.index.duplicated()].unique()
        raise AlignmentError(f"assays are there twice: {list_some(twice)}", where="medians")
    target = wanted.reindex(one.adata.var_names)
    absent = one.adata.var_names[target.isna().to_numpy() & one.assay]
    if len(absent) == one.assay.sum():
        raise AlignmentError(
            f"none of {len(absent)} assays has a reference median", where="medians",
            remedy="name them as in adata.var_names (OlinkID)",
        )  # fmt: skip
    if len(absent):
        warnings.warn(
            DataWarning(
                f"{len(absent)} assays have no reference median and stay as they are: "
                f"{list_some(absent)}"
            ),
            stacklevel=2,
        )
    set_to(one, target.to_numpy(), ids, on=on)
    one.step = {"method": "reference_median", "project": one.name, **one.step}
    return join([one], assays="all")


def _two(
    reference: AnnData, new: AnnData, names: tuple[str, str], exclude_qc: Collection[str]
) -> tuple[Project, Project]:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise FormatError(f"expected two different names, found {names!r}", where="projects")
    return Project(names[0], reference, exclude_qc), Project(names[1], new, exclude_qc)
