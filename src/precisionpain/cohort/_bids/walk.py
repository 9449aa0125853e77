"""Walk a BIDS tree once; nothing is opened but text, and files too small to be images."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from ...errors import AlignmentError, FormatError, StorageError
from ...imaging.files import file_state
from .bidsignore import BidsIgnore
from .entities import (
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
from .findings import Findings
from .sessions import TableFile

__all__ = ["Walk", "entries_of"]

IMAGE_FOLDERS = ("anat", "dwi", "fmap", "func", "perf", "pet")
# Data types of BIDS that hold no volumes; counted, never read.
OTHER_FOLDERS = ("beh", "eeg", "emg", "ieeg", "meg", "micr", "motion", "mrs", "nirs")

_SUBJECT = re.compile(r"sub-[0-9A-Za-z+]+\Z")
_SESSION = re.compile(r"ses-[0-9A-Za-z+]+\Z")


def entries_of(folder: str) -> list[os.DirEntry[str]]:
    """List a folder by name.

    Raises
    ------
    FormatError
        When there is no such folder.
    StorageError
        When it can't be read.
    """
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


class Walk:
    """What is found on the way through a dataset and its derivatives.

    Parameters
    ----------
    top : str
        The dataset.
    followup_suffix : str or None
        See `scan_bids`.

    Attributes
    ----------
    people : dict of str to str
        Subject folder → person.
    visits : dict of (str, str) to str
        Person and visit → label of the subject folder.
    rows : list of dict
        One for each image, with the columns of `Cohort.images`.
    tables : dict of str to list of TableFile
        Files ``sessions.tsv`` and ``scans.tsv``.
    findings : Findings
        What the provenance is to tell.
    """

    def __init__(self, top: str, followup_suffix: str | None) -> None:
        self.top = top
        self.suffix = followup_suffix
        self.ignore = BidsIgnore(os.path.join(top, ".bidsignore"))
        self.people: dict[str, str] = {}
        self.visits: dict[tuple[str, str], str] = {}
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
        for entry in entries_of(place.folder):
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
                for inner in entries_of(entry.path):
                    self.note("other folder", inner.path)
            elif place.pipeline is None:
                self.note("unknown folder", entry.path)

    def seen(self, subject_id: str, visit: str, label: str) -> None:
        """Enter a visit, which only one folder may hold."""
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
        """Enter a ``sessions.tsv`` or ``scans.tsv``, to be read later."""
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
        for entry in entries_of(place.folder):
            name, extension = entry.name, extension_of(entry.name)
            image, side = is_image_like(name), extension in SIDECAR_EXTENSIONS
            if name.startswith("."):
                if image or side:
                    self.note("hidden", entry.path)
            elif image:
                if self.ignored(entry.path, place):
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
                if self.ignored(path, place):
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
        """Enter an image."""
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

    def ignored(self, path: str, place: _Place) -> bool:
        """Tell whether ``.bidsignore`` leaves a file out."""
        # Derivatives were asked for by the caller, whatever a validator is to skip.
        return place.pipeline is None and self.ignore.leaves_out(self.findings.relative(path))


def _visit(place: _Place, session: str) -> str:
    return f"followup-{session}" if place.visit == "followup" else session


def _table_kind(name: str) -> str | None:
    return next((k for k in ("sessions", "scans") if name.endswith(f"_{k}.tsv")), None)
