"""List what a BIDS tree holds, as plain tables."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import MissingModalityError, list_some
from .entities import ENTITIES
from .sessions import stack_tables, visit_days
from .walk import Walk, entries_of

__all__ = ["BidsScan", "scan_bids"]

IMAGE_COLUMNS = [
    *("subject_id", "visit", "contrast", "run", "path", "present", "reason", "bytes"),
    *("sidecar", "bval", "bvec", "datatype"),
]


@dataclasses.dataclass(frozen=True)
class BidsScan:
    """What a BIDS tree holds.

    Attributes
    ----------
    subjects : list of str
        People with a folder, such as ``"sub-01"``, sorted; follow-up folders are merged.
    images : pandas.DataFrame
        One row per image and per expected image, as in `Cohort`.
    visits : pandas.DataFrame
        Columns ``subject_id``, ``visit``, ``day``.
    measurements : dict of str to pandas.DataFrame
        ``"sessions"`` and ``"scans"``, where the tree has them.
    provenance : list of dict
        What was merged, left out or flagged, with counts.
    concerns : list of str
        What the user should hear of at once; `read_bids` gives each as a `DataWarning`.
    followups : dict of str to str
        Follow-up folder → person, such as ``{"sub-009fu": "sub-009"}``.
    """

    subjects: list[str]
    images: pd.DataFrame
    visits: pd.DataFrame
    measurements: dict[str, pd.DataFrame]
    provenance: list[dict[str, Any]]
    concerns: list[str]
    followups: dict[str, str]


def scan_bids(
    root: str | Path,
    *,
    known: Iterable[str] = (),
    followup_suffix: str | None = "fu",
    derivatives: bool | Sequence[str] = False,
    index_visit: str | None = None,
) -> BidsScan:
    """List the images, visits, sessions and scans of a BIDS tree.

    Parameters
    ----------
    root : str or Path
        The dataset.
    known : iterable of str, optional
        People known from elsewhere (``participants.tsv``), who may have only a follow-up.
    followup_suffix : str or None, default "fu"
        A folder ``sub-009fu`` is the visit ``"followup"`` of ``sub-009`` when there is
        such a person. None keeps every folder a person of its own.
    derivatives : bool or sequence of str, default False
        Pipelines below ``derivatives/`` to list as well, True for all.
    index_visit : str, optional
        The visit whose ``acq_time`` is day 0.

    Returns
    -------
    BidsScan

    Raises
    ------
    FormatError
        When there is no such folder.
    StorageError
        When a folder can't be read.
    AlignmentError
        When a follow-up folder and a session claim the same visit.
    MissingModalityError
        When a pipeline of `derivatives`, or the time of `index_visit`, isn't there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from precisionpain.cohort import scan_bids
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> (root / "sub-01" / "ses-pre" / "anat").mkdir(parents=True)
    >>> sidecar = root / "sub-01" / "ses-pre" / "anat" / "sub-01_ses-pre_run-1_T1w.json"
    >>> _ = sidecar.write_text("{}")
    >>> scan = scan_bids(root)
    >>> scan.images[["subject_id", "visit", "contrast", "run", "present"]].values.tolist()
    [['sub-01', 'pre', 'T1w', 1, False]]
    """
    top = os.path.abspath(root)
    trees: list[tuple[str | None, list[os.DirEntry[str]]]] = [(None, entries_of(top))]
    for name in _pipelines(top, derivatives):
        trees.append((name, entries_of(os.path.join(top, "derivatives", name))))
    folders = [e.name for _, entries in trees for e in entries if e.is_dir()]
    walk = Walk(top, followup_suffix)
    walk.assign_people(folders, known)
    for pipeline, entries in trees:
        walk.tree(pipeline, entries)
    return _result(walk, index_visit)


def _pipelines(top: str, derivatives: bool | Sequence[str]) -> list[str]:
    if derivatives is False:
        return []
    folder = os.path.join(top, "derivatives")
    there = [e.name for e in entries_of(folder) if e.is_dir()] if os.path.isdir(folder) else []
    there = [name for name in there if not name.startswith((".", "sub-"))]
    if derivatives is True:
        return there
    wanted = [derivatives] if isinstance(derivatives, str) else list(derivatives)
    absent = [name for name in wanted if name not in there]
    if absent:
        raise MissingModalityError(
            f"no derivatives {list_some(absent)}",
            where=folder,
            remedy=f"there are {list_some(there, 12) or 'none'}",
        )
    return wanted


def _result(walk: Walk, index_visit: str | None) -> BidsScan:
    stacked = {kind: stack_tables(files, kind) for kind, files in walk.tables.items()}
    measurements = {kind: found.table for kind, found in stacked.items() if len(found.table)}
    for found in stacked.values():
        for path, why in found.broken:
            walk.note("table", path, why)
    keys = dict.fromkeys(walk.visits)
    for table in measurements.values():
        keys.update(dict.fromkeys(zip(table["subject_id"], table["visit"], strict=True)))
    visits = pd.DataFrame(sorted(keys), columns=["subject_id", "visit"], dtype=object)
    concerns = [concern for found in stacked.values() for concern in found.concerns]
    if lost := walk.findings.lost:
        concerns.append(
            f"{len(lost)} files or folders were left out, because their names, places or "
            f"contents break the BIDS rules: {list_some(lost)}"
        )
    provenance = walk.findings.provenance()
    for found in stacked.values():
        provenance += found.provenance
    visits["day"] = float("nan")
    if index_visit is not None:
        visits["day"], entries = visit_days(
            visits, stacked["sessions"].table, stacked["scans"].table, index_visit
        )
        provenance += entries
    return BidsScan(
        subjects=sorted(set(walk.people.values())),
        images=_image_table(walk.rows),
        visits=visits,
        measurements=measurements,
        provenance=provenance,
        concerns=concerns,
        followups={name: base for name, base in walk.people.items() if name != base},
    )


def _image_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    further = [
        key
        for key in ("derivative", *ENTITIES)
        if key in table and key not in IMAGE_COLUMNS and table[key].notna().any()
    ]
    table = table.reindex(columns=[*IMAGE_COLUMNS, *further])
    texts = [key for key in table if key not in ("run", "bytes", "present")]
    for key in texts:
        table[key] = table[key].astype(object).where(table[key].notna(), None)
    table = table.astype({"run": "Int64", "bytes": "Int64", "present": bool})
    order = ["subject_id", "visit", *(["derivative"] if "derivative" in table else []), "path"]
    return table.sort_values(order, na_position="first", ignore_index=True)
