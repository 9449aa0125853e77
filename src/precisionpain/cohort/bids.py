"""Read a BIDS tree into a Cohort."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import AlignmentError, DataWarning, FormatError, list_some
from ..imaging.files import file_state
from ._bids.entities import read_json, sidecar
from ._bids.scan import BidsScan, scan_bids
from .images import check_images
from .keys import _canonical, check_ids, check_unique

if TYPE_CHECKING:
    from ._bids.participants import Participants
    from .columns import Column
    from .core import Cohort

__all__ = ["BidsScan", "read_bids", "scan_bids", "sidecar"]

# Field of dataset_description.json → conventional name in Cohort.meta.
_META = {"License": "licence", "DatasetDOI": "source", "HowToAcknowledge": "citation"}
_FIELDS = ("Name", "BIDSVersion", "License", "DatasetDOI", "Authors", "DatasetType", "Synthetic")


def read_bids(
    root: str | Path,
    *,
    participants: str | Path | None = None,
    columns: Mapping[str, Column | Mapping[str, Any] | str | None] | str | Path | None = None,
    followup_suffix: str | None = "fu",
    derivatives: bool | Sequence[str] = False,
    index_visit: str | None = None,
    validate_images: bool = False,
    **options: Any,
) -> Cohort:
    r"""Read a dataset in the Brain Imaging Data Structure.

    The tree is walked once; no image is opened unless `validate_images` is set. Whatever
    is left out, merged or looks odd is in `Cohort.provenance`, and what a user would miss
    is a `DataWarning` as well.

    Parameters
    ----------
    root : str or Path
        The dataset: the folder with ``dataset_description.json`` and ``sub-…``.
    participants : str or Path, optional
        Table of the people; by default ``participants.tsv`` of the dataset, where it has
        one. Its ids match the folders exactly, after ``sub-`` was put before those that
        lack it.
    columns : mapping or path, optional
        What is known of its columns, see `read_clinical_table`. Without it every column
        counts as known from the start and so may predict: name outcomes and later values
        here before you model.
    followup_suffix : str or None, default "fu"
        A folder ``sub-009fu`` is the visit ``"followup"`` of ``sub-009`` when there is
        such a person. None keeps every folder a person of its own.
    derivatives : bool or sequence of str, default False
        Pipelines below ``derivatives/`` whose images are listed as well (column
        ``derivative``), True for all.
    index_visit : str, optional
        The visit that is day 0 in `Cohort.visits`; days are then counted from ``acq_time``
        in ``sessions.tsv`` or ``scans.tsv``.
    validate_images : bool, default False
        Whether to open every image fully (see `check_images`); a damaged one is listed as
        not present, with its problem as the reason.
    **options
        Passed to `Cohort`, for example ``outcomes``, ``schedule``, ``landmark``, ``name``.

    Returns
    -------
    Cohort
        Visits are the sessions (``ses-V01`` is ``"V01"``), or ``"baseline"`` without any.
        Images have ``contrast`` (the suffix, such as ``"T1w"``), ``run``, ``path``,
        ``present``, ``reason``, ``bytes``, the nearest ``sidecar`` and ``bval`` and
        ``bvec``, ``datatype``, and each further entity of the names as its own column.
        An image of which only the sidecar is there is listed as not present.

    Raises
    ------
    FormatError
        When it is no BIDS dataset, or ``dataset_description.json`` or
        ``participants.json`` is broken.
    AlignmentError
        When ids of the table resemble folders without being equal, or none of them match.
    StorageError
        When a folder can't be read.
    MissingModalityError
        When a pipeline of `derivatives`, or the time of `index_visit`, isn't there.

    Notes
    -----
    Conventional columns are taken from the table where they are unambiguous: ``sex`` or
    ``gender`` becomes "female" and "male" (numbers only when ``participants.json``
    explains them), ``age`` is brought to years, ``site`` is taken as it stands, and
    ``diagnosis`` or else ``group``, when it tells patients from controls, becomes
    ``diagnosis``. ``.bidsignore`` is respected for images (of the raw data; in it ``*`` also
    crosses ``/``). Source: BIDS specification 1.10.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from precisionpain.cohort import read_bids
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("sub-01", "sub-02", "sub-02fu"):
    ...     (root / name / "anat").mkdir(parents=True)
    ...     _ = (root / name / "anat" / f"{name}_T1w.json").write_text("{}")
    >>> _ = (root / "dataset_description.json").write_text('{"Name": "Pain"}')
    >>> _ = (root / "participants.tsv").write_text(
    ...     "participant_id\tage\tsex\nsub-01\t61\tF\nsub-02\t48\tM\n")
    >>> cohort = read_bids(root)
    >>> cohort.subjects["sex"].tolist()
    ['female', 'male']
    >>> cohort.images[["subject_id", "visit", "contrast", "reason"]].values.tolist()[2]
    ['sub-02', 'followup', 'T1w', 'sidecar without image']
    """
    from .core import Cohort

    top = Path(os.path.abspath(root))
    people = _people(top, participants, columns)
    ids = [] if people is None else list(people.table.index)
    scan = scan_bids(
        top,
        known=ids,
        followup_suffix=followup_suffix,
        derivatives=derivatives,
        index_visit=index_visit,
    )
    if people is None and not scan.subjects:
        raise FormatError(
            "expected a BIDS dataset, found neither folders sub-… nor participants.tsv",
            where=str(top),
            remedy="name the folder that holds dataset_description.json and sub-…",
        )
    meta, concerns = _description(top)
    concerns += scan.concerns
    measurements = dict(scan.measurements)
    provenance = list(scan.provenance)
    subjects = pd.DataFrame(index=pd.Index(scan.subjects, name="subject_id", dtype=object))
    known: dict[str, Column] = {}
    if people is not None:
        later = _followup_rows(people, scan, followup_suffix)
        if len(later):
            measurements["participants"] = later
        subjects, found = _align(people, scan, str(top))
        concerns += found
        known = people.columns
        provenance = people.provenance + provenance
    images = scan.images
    if validate_images:
        images, entries, found = _validated(images)
        provenance += entries
        concerns += found
    for concern in concerns:
        warnings.warn(DataWarning(f"{top}: {concern}"), stacklevel=2)
    options.setdefault("name", str(meta.get("Name") or top.name))
    # No field of the standard: what `sample_tn` writes, so that its people stay made up.
    options.setdefault("synthetic", meta.get("Synthetic") is True)
    return Cohort(
        subjects,
        visits=scan.visits,
        images=images,
        measurements=measurements,
        columns=known,
        meta=meta,
        provenance=provenance,
        **options,
    )


def _people(top: Path, participants: str | Path | None, columns: Any) -> Participants | None:
    from ._bids.participants import read_participants

    path = top / "participants.tsv" if participants is None else Path(participants)
    if participants is None and not os.path.lexists(path):
        return None
    described = path.with_name("participants.json")
    if not described.is_file():
        described = top / "participants.json"
    people = read_participants(path, read_json(described) if described.is_file() else {}, columns)
    if os.path.lexists(described) and not described.is_file():
        reason, _ = file_state(described)
        people.note("descriptions unused", None, 1, f"participants.json can't be read: {reason}")
    written = people.table.index
    # An id "SUB-01" has its prefix, in a spelling for check_ids to complain about.
    ids = [i if i.casefold().startswith("sub-") else f"sub-{i}" for i in written]
    added = sum(one != other for one, other in zip(ids, written, strict=True))
    people.note("prefix added", "subject_id", added, "'sub-' put before the ids")
    people.table.index = pd.Index(ids, name="subject_id", dtype=object)
    check_unique(people.table.index, table=people.name)
    return people


def _description(top: Path) -> tuple[dict[str, Any], list[str]]:
    path = top / "dataset_description.json"
    if not path.is_file():
        return {}, ["there is no dataset_description.json, which every BIDS dataset has"]
    said = read_json(path)
    meta = {field: said[field] for field in _FIELDS if said.get(field)}
    return meta | {name: said[field] for field, name in _META.items() if said.get(field)}, []


def _followup_rows(people: Participants, scan: BidsScan, suffix: str | None) -> pd.DataFrame:
    """Take the rows of follow-ups out of the table of people, as measurements."""
    everybody = {*people.table.index, *scan.subjects}
    owners = {
        i: i.removesuffix(suffix)
        for i in people.table.index
        if suffix and i.endswith(suffix) and i.removesuffix(suffix) in everybody
    }
    if not owners:
        return pd.DataFrame()
    rows = people.table.loc[list(owners)]
    people.table = people.table.drop(index=list(owners))
    people.note(
        "rows moved", None, len(owners),
        f"of follow-ups, to the measurements 'participants': {list_some(owners)}",
    )  # fmt: skip
    keys = pd.DataFrame({"subject_id": list(owners.values()), "visit": "followup"})
    return pd.concat([keys, rows.reset_index(drop=True)], axis=1)


def _align(people: Participants, scan: BidsScan, where: str) -> tuple[pd.DataFrame, list[str]]:
    """Join the table of people with the folders, by equal ids only."""
    listed, folders = list(people.table.index), scan.subjects
    unlisted = [i for i in folders if i not in people.table.index]
    without = [i for i in listed if i not in set(folders)]
    resembled = {_canonical(i) for i in unlisted}
    near = [i for i in without if _canonical(i) in resembled]
    check_ids(near, folders, table=people.name)
    if folders and listed and len(without) == len(listed):
        raise AlignmentError(
            f"none of the {len(listed)} ids of {people.name} has a folder; the table has "
            f"{list_some(listed, 3)}, the folders are {list_some(folders, 3)}",
            where=where,
            remedy="check that the table belongs to this dataset",
        )
    concerns = []
    if without:
        text = f"people of {people.name} have no folder, and so no images"
        people.note("people without images", None, len(without), list_some(without, 20))
        concerns.append(f"{len(without)} {text}: {list_some(without, 3)}")
    if unlisted:
        text = f"folders belong to people that {people.name} doesn't list, kept without values"
        people.note("people without values", None, len(unlisted), list_some(unlisted, 20))
        concerns.append(f"{len(unlisted)} {text}: {list_some(unlisted, 3)}")
    subjects = people.table.reindex([*listed, *unlisted]).rename_axis("subject_id")
    return subjects, concerns


def _validated(
    images: pd.DataFrame,
) -> tuple[pd.DataFrame, list[dict[str, Any]], list[str]]:
    """Mark damaged images as not present."""
    present = images[images["present"]]
    checked = check_images(present)
    bad = checked[~checked["ok"]]
    images = images.copy()
    images.loc[bad.index, "present"] = False
    images.loc[bad.index, "reason"] = bad["problem"]
    base = {"step": "images opened", "table": "images", "column": None}
    detail = f"{len(present) - len(bad)} are whole"
    provenance = [{**base, "n": len(present), "detail": detail}]
    if bad.empty:
        return images, provenance, []
    names = [
        f"{os.path.basename(path)} ({problem})"
        for path, problem in zip(images.loc[bad.index, "path"], bad["problem"], strict=True)
    ]
    detail = f"damaged, listed as not present: {list_some(names, 20)}"
    provenance.append({**base, "n": len(bad), "detail": detail})
    return images, provenance, [f"{len(bad)} images are damaged: {list_some(names, 3)}"]
