"""File names of the Brain Imaging Data Structure (BIDS), and which sidecar applies to which.

Source: BIDS specification 1.10, common principles (file name structure, inheritance
principle) and the schema's ``rules/entities.yaml`` (order) and ``objects/formats.yaml``
(characters).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import FormatError, StorageError

__all__ = [
    "ENTITIES",
    "IMAGE_EXTENSIONS",
    "SIDECAR_EXTENSIONS",
    "TABLE_SUFFIXES",
    "BidsName",
    "Level",
    "applicable",
    "check_place",
    "extension_of",
    "is_image_like",
    "missing_images",
    "parse_name",
    "read_json",
    "sidecar",
    "stem_of",
]

_LABEL = r"[0-9A-Za-z+]+"
_INDEX = r"[0-9]+"

# Entity → what its value may be, in the order in which entities stand in a name.
ENTITIES: dict[str, str] = {
    "sub": _LABEL,
    "ses": _LABEL,
    "sample": _LABEL,
    "task": _LABEL,
    "tracksys": _LABEL,
    "acq": _LABEL,
    "nuc": _LABEL,
    "voi": _LABEL,
    "ce": _LABEL,
    "trc": _LABEL,
    "stain": _LABEL,
    "rec": _LABEL,
    "dir": _LABEL,
    "run": _INDEX,
    "mod": _LABEL,
    "echo": _INDEX,
    "flip": _INDEX,
    "inv": _INDEX,
    "mt": r"on|off",
    "part": r"mag|phase|real|imag",
    "proc": _LABEL,
    "hemi": r"L|R",
    "space": _LABEL,
    "cohort": _LABEL,  # of the template named by space, which is where pipelines put it
    "split": _INDEX,
    "recording": _LABEL,
    "chunk": _INDEX,
    "atlas": _LABEL,
    "seg": _LABEL,
    "scale": _LABEL,
    "res": _LABEL,
    "den": _LABEL,
    "label": _LABEL,
    "desc": _LABEL,
}
IMAGE_EXTENSIONS = (".nii", ".nii.gz")
SIDECAR_EXTENSIONS = (".json", ".bval", ".bvec")
# Suffixes whose JSON describes a table, so that it says nothing of a missing image.
TABLE_SUFFIXES = frozenset(
    [
        *("aslcontext", "asllabeling", "beh", "blood", "channels", "coordsystem", "electrodes"),
        *("events", "markers", "motion", "optodes", "physio", "physioevents", "regressors"),
        *("scans", "sessions", "stim", "timeseries"),
    ]
)

_RANK = {key: rank for rank, key in enumerate(ENTITIES)}
_VALUE = {key: re.compile(rf"(?:{pattern})\Z") for key, pattern in ENTITIES.items()}
_SUFFIX = re.compile(r"[0-9A-Za-z]+\Z")
# Surfaces and grayordinates in a NIfTI wrapper (".dtseries.nii"): no volumes.
_CIFTI = re.compile(r"\.[dp][a-z]{3,}\.nii\Z")


class BidsName(NamedTuple):
    """A file name taken apart.

    Attributes
    ----------
    entities : dict of str to str
        For example ``{"sub": "01", "run": "02"}``, in the order of the name.
    suffix : str
        For example ``"T1w"``.
    extension : str
        From the first dot on, for example ``".nii.gz"``.
    """

    entities: dict[str, str]
    suffix: str
    extension: str


def parse_name(name: str) -> BidsName:
    """Take a BIDS file name apart.

    Parameters
    ----------
    name : str
        File name without its folder.

    Returns
    -------
    BidsName

    Raises
    ------
    FormatError
        When the name breaks the rules: an unknown, repeated or misplaced entity, a value
        with other characters than the entity allows, or no suffix.

    Examples
    --------
    >>> parse_name("sub-01_acq-highres_run-2_T1w.nii.gz").entities
    {'sub': '01', 'acq': 'highres', 'run': '2'}
    """
    stem, dot, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    entities: dict[str, str] = {}
    last = -1
    for pair in pairs:
        key, dash, value = pair.partition("-")
        if key not in _RANK or not dash:
            raise FormatError(f"{pair!r} is no entity of BIDS", where=name)
        if not _VALUE[key].match(value):
            raise FormatError(f"{value!r} is no value that {key!r} may have", where=name)
        if key in entities:
            raise FormatError(f"{key!r} stands twice", where=name)
        if _RANK[key] < last:
            previous = next(reversed(entities))
            raise FormatError(f"{key!r} should stand before {previous!r}", where=name)
        last = _RANK[key]
        entities[key] = value
    if not _SUFFIX.match(suffix):
        raise FormatError("the name doesn't end with a suffix such as 'T1w'", where=name)
    return BidsName(entities, suffix, dot + extension)


def extension_of(name: str) -> str:
    """Return a file name from its first dot on; a dot that hides the file doesn't count."""
    start = name.find(".", 1)
    return name[start:] if start > 0 else ""


def is_image_like(name: str) -> bool:
    """Tell whether a file name ends as a volume's does, be the rest of it right or wrong."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not _CIFTI.match(extension_of(name))


def stem_of(name: BidsName) -> str:
    """Return the file name without its extension."""
    return "_".join([*(f"{key}-{value}" for key, value in name.entities.items()), name.suffix])


def check_place(name: BidsName, folder: Mapping[str, str]) -> None:
    """Raise FormatError when a name's subject or session isn't that of its folder."""
    for key in ("sub", "ses"):
        says, here = name.entities.get(key), folder.get(key)
        if says != here:
            shown = f"{key}-{says}" if says else f"no {key!r}"
            wants = f"{key}-{here}" if here else f"no {key!r}"
            raise FormatError(f"the name says {shown}, its folder {wants}")


def missing_images(
    images: list[tuple[dict[str, str], str]],
    sidecars: list[BidsName],
    folder: Mapping[str, str],
) -> list[BidsName]:
    """Return the images that sidecars tell of and that aren't there.

    A sidecar that applies to another image, or to a more specific sidecar's, is shared by
    inheritance and tells of no image of its own.
    """
    unique: dict[str, BidsName] = {}
    for name in sidecars:
        in_place = all(name.entities.get(key) == folder.get(key) for key in ("sub", "ses"))
        if name.suffix not in TABLE_SUFFIXES and in_place:
            unique.setdefault(stem_of(name), name)
    told = [(name.entities, name.suffix) for name in unique.values()]
    return [
        name
        for name in unique.values()
        if (name.entities, name.suffix) not in images
        and not any(
            suffix == name.suffix and name.entities.items() < entities.items()
            for entities, suffix in (*images, *told)
        )
    ]


class Level:
    """The files of one folder that may apply to images in it and below."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], list[tuple[dict[str, str], str]]] = {}

    def add(self, name: BidsName, path: str) -> None:
        """Add a file."""
        self._files.setdefault((name.suffix, name.extension), []).append((name.entities, path))

    def applicable(self, name: BidsName, extension: str) -> list[str]:
        """Return the files that apply to `name`, the most general first."""
        found = [
            (entities, path)
            for entities, path in self._files.get((name.suffix, extension), ())
            if entities.items() <= name.entities.items()
        ]
        return [path for _, path in sorted(found, key=lambda item: (len(item[0]), item[1]))]


def applicable(levels: Iterable[Level], name: BidsName, extension: str) -> list[str]:
    """Return the files that apply by the inheritance principle, from the root down.

    The last one is the nearest; what it says overrides what the others say.
    """
    return [path for level in levels for path in level.applicable(name, extension)]


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds one mapping.

    Raises
    ------
    FormatError
        When it is no JSON, with the line, or holds something else.
    StorageError
        When it can't be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(
            f"the file can't be read ({error.strerror or error})", where=str(path)
        ) from error
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FormatError(
            f"expected JSON, found a mistake at column {error.colno} ({error.msg})",
            where=f"{path}, line {error.lineno}",
            remedy="correct the file, or fetch it again",
        ) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"expected JSON in UTF-8, found the byte {content[error.start]:#04x}",
            where=f"{path}, line {line}",
            remedy="save the file in UTF-8",
        ) from error
    if not isinstance(value, Mapping):
        raise FormatError(
            f"expected a JSON object, found {type(value).__name__}", where=f"{path}, line 1"
        )
    return dict(value)


def sidecar(image_path: str | Path, root: str | Path) -> dict[str, Any]:
    """Merge the metadata of an image from its JSON sidecars.

    By the inheritance principle of BIDS a sidecar applies to every image in or below its
    folder with the same suffix whose entities include all of the sidecar's. Where several
    apply, the nearest folder wins, and within a folder the more specific name.

    Parameters
    ----------
    image_path : str or Path
        The image; it needn't exist.
    root : str or Path
        The dataset, or for a derivative its folder ``derivatives/<pipeline>``.

    Returns
    -------
    dict
        Empty when no sidecar applies. BIDS units: times in seconds, angles in degrees.

    Raises
    ------
    FormatError
        When the image isn't below the root, its name breaks the rules, or a sidecar is
        broken (with the line).
    StorageError
        When a folder or a sidecar can't be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> (root / "sub-01" / "anat").mkdir(parents=True)
    >>> _ = (root / "T1w.json").write_text('{"FlipAngle": 8, "EchoTime": 0.003}')
    >>> _ = (root / "sub-01" / "anat" / "sub-01_T1w.json").write_text('{"FlipAngle": 9}')
    >>> sidecar(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", root)
    {'FlipAngle': 9, 'EchoTime': 0.003}
    """
    image = Path(os.path.abspath(image_path))
    top = Path(os.path.abspath(root))
    if not image.is_relative_to(top):
        raise FormatError("the image doesn't lie below the root", where=f"{image}, root {top}")
    name = parse_name(image.name)
    folders = [folder for folder in image.parents if folder.is_relative_to(top)]
    merged: dict[str, Any] = {}
    for folder in reversed(folders):
        level = Level()
        for candidate in _json_names(folder):
            try:
                level.add(parse_name(candidate), str(folder / candidate))
            except FormatError:
                continue  # a name outside the rules applies to nothing; scan_bids lists it
        for path in level.applicable(name, ".json"):
            merged |= read_json(path)
    return merged


def _json_names(folder: Path) -> list[str]:
    try:
        return [entry for entry in os.listdir(folder) if entry.endswith(".json")]
    except OSError as error:
        raise StorageError(
            f"the folder can't be read ({error.strerror or error})", where=str(folder)
        ) from error
