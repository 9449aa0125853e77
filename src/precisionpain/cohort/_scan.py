"""Walk a BIDS tree once and list its images, visits and tables; nothing is opened but text."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import (
    AlignmentError,
    FormatError,
    MissingModalityError,
    StorageError,
    list_some,
)
from ._bidsignore import BidsIgnore
from ._entities import (
    ENTITIES,
    IMAGE_EXTENSIONS,
    SIDECAR_EXTENSIONS,
    BidsName,
    Level,
    applicable,
    check_place,
    extension_of,
    is_image_like,
    missing_images,
    parse_name,
    read_json,
    stem_of,
)
from ._findings import Findings
from ._sessions import TableFile, stack_tables, visit_days
from .images import file_state

__all__ = ["BidsScan", "scan_bids"]

IMAGE_FOLDERS = ("anat", "dwi", "fmap", "func", "perf", "pet")
# Data types of BIDS that hold no volumes; counted, never read.
OTHER_FOLDERS = ("beh", "eeg", "emg", "ieeg", "meg", "micr", "motion", "mrs", "nirs")
IMAGE_COLUMNS = [
    *("subject_id", "visit", "contrast", "run", "path", "present", "reason", "bytes"),
    *("sidecar", "bval", "bvec", "datatype"),
]

_SUBJECT = re.compile(r"sub-[0-9A-Za-z+]+\Z")
_SESSION = re.compile(r"ses-[0-9A-Za-z+]+\Z")


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
    """
    top = os.path.abspath(root)
    trees: list[tuple[str | None, list[os.DirEntry[str]]]] = [(None, _entries(top))]
    for name in _pipelines(top, derivatives):
        trees.append((name, _entries(os.path.join(top, "derivatives", name))))
    folders = [e.name for _, entries in trees for e in entries if e.is_dir()]
    walk = _Walk(top, followup_suffix)
    walk.assign_people(folders, known)
    for pipeline, entries in trees:
        walk.tree(pipeline, entries)
    return walk.result(index_visit)


def _pipelines(top: str, derivatives: bool | Sequence[str]) -> list[str]:
    if derivatives is False:
        return []
    folder = os.path.join(top, "derivatives")
    there = [e.name for e in _entries(folder) if e.is_dir()] if os.path.isdir(folder) else []
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


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FormatError(
            "expected the folder of a BIDS dataset, found "
            + ("no such folder" if isinstance(error, FileNotFoundError) else "a file"),
            where=folder,
        ) from error
    except OSError as error:
        raise StorageError(
            f"the folder can't be read ({error.strerror or error})",
            where=folder,
            remedy="ask for permission to read it, or leave it out of the dataset",
        ) from error


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where in the tree the walk stands, and whose scans those are."""

    folder: str
    expected: dict[str, str]  # entities that the folders say, so that the names must too
    levels: tuple[Level, ...]
    subject_id: str
    visit: str
    pipeline: str | None


class _Walk:
    def __init__(self, top: str, followup_suffix: str | None) -> None:
        self.top = top
        self.suffix = followup_suffix
        self.ignore = BidsIgnore(os.path.join(top, ".bidsignore"))
        self.people: dict[str, str] = {}  # folder → person
        self.visits: dict[tuple[str, str], str] = {}  # (person, visit) → folder
        self.rows: list[dict[str, Any]] = []
        self.tables: dict[str, list[TableFile]] = {"sessions": [], "scans": []}
        self.findings = Findings(top)
        self.note = self.findings.note

    def assign_people(self, folders: Iterable[str], known: Iterable[str]) -> None:
        """Decide which folders are follow-ups of which people."""
        valid = [name for name in dict.fromkeys(folders) if _SUBJECT.match(name)]
        everybody = {*valid, *known}
        for name in valid:
            base = name.removesuffix(self.suffix) if self.suffix else name
            follows = base != name and base != "sub-"
            if follows and base in everybody:
                self.people[name] = base
                self.note("followup", name)
            else:
                self.people[name] = name
                if follows:
                    self.note("orphan", name)

    def tree(self, pipeline: str | None, entries: list[os.DirEntry[str]]) -> None:
        """Walk the dataset, or one of its derivatives."""
        level = Level()
        for entry in entries:
            if extension_of(entry.name) in SIDECAR_EXTENSIONS and not entry.name.startswith("."):
                # Names outside the rules are common here (dataset_description.json).
                self.sidecar(entry, level, {}, listed=False)
        for entry in entries:
            if not entry.name.startswith("sub-") or not entry.is_dir():
                continue
            if entry.name not in self.people:
                self.note("folder", entry.path)
                continue
            expected = {"sub": entry.name.removeprefix("sub-")}
            person = self.people[entry.name]
            visit = "baseline" if person == entry.name else "followup"
            self.folder(_Place(entry.path, expected, (level,), person, visit, pipeline))

    def folder(self, place: _Place) -> None:
        """Read the folder of a subject or of a session."""
        level = Level()
        levels = (*place.levels, level)
        tables: list[tuple[str, str]] = []
        folders: list[os.DirEntry[str]] = []
        for entry in _entries(place.folder):
            name, extension = entry.name, extension_of(entry.name)
            if name.startswith("."):
                if extension:
                    self.note("hidden", entry.path)
            elif entry.is_dir():
                folders.append(entry)
            elif extension in SIDECAR_EXTENSIONS:
                self.sidecar(entry, level, place.expected, listed=place.pipeline is None)
            elif is_image_like(name):
                self.note("misplaced", entry.path)
            elif (kind := _table_kind(name)) and place.pipeline is None:
                tables.append((kind, entry.path))
            else:
                self.note("other file", entry.path)
        for kind, path in tables:
            self.table(kind, path, place, levels)
        for entry in folders:
            inside = dataclasses.replace(place, folder=entry.path, levels=levels)
            if _SESSION.match(entry.name) and "ses" not in place.expected:
                session = entry.name.removeprefix("ses-")
                visit = _visit(place, session)
                self.seen(place.subject_id, visit, place.expected["sub"])
                expected = {**place.expected, "ses": session}
                self.folder(dataclasses.replace(inside, expected=expected, visit=visit))
            elif entry.name in IMAGE_FOLDERS:
                self.seen(place.subject_id, place.visit, place.expected["sub"])
                self.images(inside, entry.name)
            elif entry.name.startswith("ses-"):
                self.note("folder", entry.path)
            elif entry.name in OTHER_FOLDERS:
                for inner in _entries(entry.path):
                    self.note("other folder", inner.path)
            elif place.pipeline is None:
                self.note("unknown folder", entry.path)

    def seen(self, subject_id: str, visit: str, label: str) -> None:
        first = self.visits.setdefault((subject_id, visit), label)
        if first != label:
            raise AlignmentError(
                f"the folders sub-{first} and sub-{label} both hold the visit {visit!r} of "
                f"{subject_id!r}",
                where=self.top,
                remedy="read them as two people with followup_suffix=None",
            )

    def sidecar(
        self, entry: os.DirEntry[str], level: Level, expected: dict[str, str], *, listed: bool
    ) -> BidsName | None:
        """Enter a sidecar into its level; return its name when that follows the rules."""
        try:
            name = parse_name(entry.name)
            for key, value in expected.items():
                if name.entities.get(key, value) != value:
                    raise FormatError(f"the name says another {key!r} than its folder")
        except FormatError as error:
            if listed:
                self.note("malformed", entry.path, error.what)
            return None
        if not entry.is_file():
            self.note("broken", entry.path, file_state(entry.path)[0] or "not a file")
            return name
        level.add(name, entry.path)
        if name.extension == ".json":
            try:
                read_json(entry.path)
            except (FormatError, StorageError) as error:
                line = (error.where or "").rpartition(", ")[2]
                at = f"{line}: " if line.startswith("line") else ""
                self.note("broken", entry.path, at + error.what)
        return name

    def table(self, kind: str, path: str, place: _Place, levels: tuple[Level, ...]) -> None:
        at_home = kind == "scans" or "ses" not in place.expected
        try:
            name = parse_name(os.path.basename(path))
            check_place(name, place.expected)
        except FormatError as error:
            self.note("malformed", path, error.what)
            return
        if not at_home:
            self.note("stray table", path)
            return
        self.tables[kind].append(
            TableFile(
                path=path,
                subject_id=place.subject_id,
                folder=f"sub-{place.expected['sub']}",
                visit=place.visit,
                sidecars=tuple(applicable(levels, name, ".json")),
            )
        )

    def images(self, place: _Place, datatype: str) -> None:
        """Read a data type folder: its images, and those that only a sidecar tells of."""
        level = Level()
        levels = (*place.levels, level)
        images: list[tuple[BidsName, str]] = []
        sidecars: list[BidsName] = []
        for entry in _entries(place.folder):
            name, extension = entry.name, extension_of(entry.name)
            image, side = is_image_like(name), extension in SIDECAR_EXTENSIONS
            if name.startswith("."):
                if image or side:
                    self.note("hidden", entry.path)
            elif image:
                if self.ignored(entry.path):
                    self.note("ignored", entry.path)
                    continue
                try:
                    parsed = parse_name(name)
                    check_place(parsed, place.expected)
                    if extension not in IMAGE_EXTENSIONS:
                        raise FormatError(f"{extension!r} is no extension of BIDS")
                except FormatError as error:
                    self.note("malformed", entry.path, error.what)
                    continue
                images.append((parsed, entry.path))
            elif side:
                described = self.sidecar(
                    entry, level, place.expected, listed=place.pipeline is None
                )
                if described is not None:
                    sidecars.append(described)
            elif _table_kind(name):
                self.note("stray table", entry.path)
            else:
                self.note("other file", entry.path)
        stems = [(parsed.entities, parsed.suffix) for parsed, _ in images]
        for position, (parsed, path) in enumerate(images):
            if (parsed.entities, parsed.suffix) in stems[:position]:
                self.note("twice", path)
            reason, size = file_state(path)
            if reason is not None:
                self.note("absent", path, reason)
            self.row(place, datatype, parsed, path, levels, reason, size)
        if place.pipeline is None:
            for parsed in missing_images(stems, sidecars, place.expected):
                path = os.path.join(place.folder, stem_of(parsed) + ".nii.gz")
                if self.ignored(path):
                    self.note("ignored", path)
                    continue
                self.note("expected", path)
                self.row(place, datatype, parsed, path, levels, "sidecar without image", None)

    def row(
        self,
        place: _Place,
        datatype: str,
        name: BidsName,
        path: str,
        levels: tuple[Level, ...],
        reason: str | None,
        size: int | None,
    ) -> None:
        nearest: dict[str, str | None] = {
            kind: next(reversed(applicable(levels, name, f".{kind}")), None)
            for kind in (("json", "bval", "bvec") if datatype == "dwi" else ("json",))
        }
        if name.suffix == "dwi" and None in (nearest["bval"], nearest["bvec"]):
            self.note("gradients", path)
        run = name.entities.get("run")
        further = {k: v for k, v in name.entities.items() if k not in ("sub", "ses", "run")}
        self.rows.append(
            {
                "subject_id": place.subject_id,
                "visit": place.visit,
                "contrast": name.suffix,
                "run": pd.NA if run is None else int(run),
                "path": path,
                "present": reason is None,
                "reason": reason,
                "bytes": size,
                "sidecar": nearest["json"],
                "bval": nearest.get("bval"),
                "bvec": nearest.get("bvec"),
                "datatype": datatype,
                "derivative": place.pipeline,
                **further,
            }
        )

    def ignored(self, path: str) -> bool:
        return self.ignore.leaves_out(self.findings.relative(path))

    def result(self, index_visit: str | None) -> BidsScan:
        stacked = {kind: stack_tables(files, kind) for kind, files in self.tables.items()}
        measurements = {kind: found.table for kind, found in stacked.items() if len(found.table)}
        for found in stacked.values():
            for path, why in found.broken:
                self.note("table", path, why)
        keys = dict.fromkeys(self.visits)
        for table in measurements.values():
            keys.update(dict.fromkeys(zip(table["subject_id"], table["visit"], strict=True)))
        visits = pd.DataFrame(sorted(keys), columns=["subject_id", "visit"], dtype=object)
        concerns = [concern for found in stacked.values() for concern in found.concerns]
        if lost := self.findings.lost:
            concerns.append(
                f"{len(lost)} files or folders were left out, because their names, places or "
                f"contents break the BIDS rules: {list_some(lost)}"
            )
        provenance = self.findings.provenance()
        for found in stacked.values():
            provenance += found.provenance
        visits["day"] = float("nan")
        if index_visit is not None:
            visits["day"], entries = visit_days(
                visits, stacked["sessions"].table, stacked["scans"].table, index_visit
            )
            provenance += entries
        return BidsScan(
            subjects=sorted(set(self.people.values())),
            images=_image_table(self.rows),
            visits=visits,
            measurements=measurements,
            provenance=provenance,
            concerns=concerns,
            followups={name: base for name, base in self.people.items() if name != base},
        )


def _visit(place: _Place, session: str) -> str:
    return f"followup-{session}" if place.visit == "followup" else session


def _table_kind(name: str) -> str | None:
    return next((k for k in ("sessions", "scans") if name.endswith(f"_{k}.tsv")), None)


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
