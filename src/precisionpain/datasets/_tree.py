"""The BIDS trees of the synthetic cohorts: what is text in them, and how files are written."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError, list_some

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = [
    "PIPELINE", "cache_folder", "claim", "listed", "packed", "plain_options", "put", "put_json",
    "put_table", "write_derivative", "write_raw",
]  # fmt: skip

PIPELINE = "truth"
_BIDS = "1.10.0"


def cache_folder(record: Mapping[str, Any], name: str) -> Path:
    """Return where a tree of these parameters goes when nobody names a place.

    Parameters
    ----------
    record : mapping
        Everything that the tree depends on.
    name : str
        Of the sample.

    Returns
    -------
    pathlib.Path
        A folder of its own below ``$PRECISIONPAIN_CACHE``, or else below the user's cache
        folder.
    """
    own = os.environ.get("PRECISIONPAIN_CACHE")
    if own:
        base = Path(own)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "precisionpain"
    elif os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        base = (Path(local) if local else Path.home() / "AppData" / "Local") / "precisionpain"
    else:
        cache = os.environ.get("XDG_CACHE_HOME")
        base = (Path(cache) if cache else Path.home() / ".cache") / "precisionpain"
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return base / f"{name}-{digest[:12]}"


def claim(top: Path, record: Mapping[str, Any], name: str) -> None:
    """Make the folder, or see that it holds this very sample, whole or in part.

    Parameters
    ----------
    top : pathlib.Path
        The root of the tree.
    record : mapping
        Everything that the tree depends on, as JSON values.
    name : str
        Of the sample; ``code/<name>.json`` keeps the record.

    Raises
    ------
    StorageError
        When it can't be written, or holds anything else.
    """
    path = top / "code" / f"{name}.json"
    try:
        top.mkdir(parents=True, exist_ok=True)
        found = sorted(os.listdir(top))
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except OSError as error:
        raise _unwritable(top, error) from error
    if text is not None:
        try:
            stored = json.loads(text)
        except ValueError:
            stored = None
        if stored == json.loads(json.dumps(record)):
            return
        raise StorageError(
            "the folder holds a sample that was made with other arguments, or by another version",
            where=str(top),
            remedy="name another root, or delete the folder",
        )
    if found:
        raise StorageError(
            f"expected a new or empty folder, found {found[0]!r} in it",
            where=str(top),
            remedy="name another root",
        )
    put_json(path, record)


def plain_options(
    options: Mapping[str, Any], known: tuple[str, ...], remedy: str | None = None
) -> dict[str, Any]:
    """Return options of the images as JSON has them.

    Parameters
    ----------
    options : mapping
        As the caller gave them.
    known : tuple of str
        Names that there are.
    remedy : str, optional
        What to add to the list of names.

    Returns
    -------
    dict

    Raises
    ------
    FormatError
        For an unknown name, or a value that is no plain one.
    """
    unknown = [name for name in options if name not in known]
    if unknown:
        raise FormatError(
            f"unknown option {list_some(unknown)} of the images",
            remedy=f"options are {', '.join(known)}{remedy or ''}",
        )
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(options), default=_plain))
    except TypeError as error:
        raise FormatError(f"options of the images are plain values ({error})") from error
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"found a {type(value).__name__}")


def write_raw(
    top: Path,
    cohort: Cohort,
    made_by: Mapping[str, Any],
    event: str,
    licence: str = "CC0-1.0",
) -> None:
    """Write the descriptions and tables of the raw tree, all but ``README``.

    Parameters
    ----------
    top : pathlib.Path
        Its root.
    cohort : Cohort
        The people, their visits, columns and outcomes.
    made_by : mapping
        ``Name`` and ``Version`` of the generator, and a ``Description``.
    event : str
        What the days of the visits count from, for example "surgery".
    licence : str, default "CC0-1.0"
        Of the data.
    """
    put_json(top / "dataset_description.json", _description(cohort.name, "raw", made_by, licence))
    columns = cohort.columns
    names = [str(name) for name in cohort.subjects]
    truth = [name for name in names if columns[name].role == "truth"]
    _people(top, cohort, [name for name in names if name not in truth])
    known = {name: c.to_dict() for name, c in columns.items() if name not in truth}
    for name, entry in known.items():
        if entry.get("kind") == "category" and "levels" not in entry:
            # A level that the map names isn't missing, though it be called "none".
            values = cohort.subjects[name].dropna().unique()
            entry["levels"] = {str(value): value for value in sorted(values)}
    outcomes = {name: outcome.to_dict() for name, outcome in cohort.outcomes.items()}
    put_json(top / "code" / "columns.json", {"columns": known, "outcomes": outcomes})
    days = f"days_from_{event}"
    described = {"Description": f"days from {event}; n/a for people without", "Units": "day"}
    put_json(top / "sessions.json", {days: described})
    for identifier, visits in cohort.visits.groupby("subject_id"):
        rows = pd.DataFrame({"session_id": "ses-" + visits["visit"], days: visits["day"]})
        put_table(top / f"sub-{identifier}" / f"sub-{identifier}_sessions.tsv", rows)


def write_derivative(
    top: Path, cohort: Cohort, made_by: Mapping[str, Any], labels: Mapping[int, str]
) -> None:
    """Write the descriptions of ``derivatives/truth``, and what no clinic knows of the people.

    Parameters
    ----------
    top : pathlib.Path
        Root of the tree.
    cohort : Cohort
        The people; their columns of role "truth" are written.
    made_by : mapping
        As in `write_raw`.
    labels : mapping of int to str
        Of the label images.
    """
    inner = top / "derivatives" / PIPELINE
    about = _description(f"truth of {cohort.name}", "derivative", made_by)
    put_json(inner / "dataset_description.json", about)
    columns = cohort.columns
    names = [str(name) for name in cohort.subjects]
    truth = [name for name in names if columns[name].role == "truth"]
    _people(inner, cohort, truth)
    lookup = [{"index": index, "name": name} for index, name in labels.items()]
    put_table(inner / "dseg.tsv", pd.DataFrame(lookup))


def _description(
    name: str, kind: str, made_by: Mapping[str, Any], licence: str = "CC0-1.0"
) -> dict[str, Any]:
    return {
        "Name": name,
        "DatasetType": kind,
        "Synthetic": True,
        "BIDSVersion": _BIDS,
        "License": licence,
        "GeneratedBy": [dict(made_by)],
    }


def _people(folder: Path, cohort: Cohort, names: list[str]) -> None:
    """Write ``participants.tsv`` with these columns, and what they mean."""
    subjects = cohort.subjects[names]
    for name in names:
        levels = cohort.columns[name].levels
        if levels:
            # As the file is to have them: "IIIa", not 3.
            written = {value: label for label, value in levels.items()}
            subjects[name] = subjects[name].astype(object).map(written)
    subjects.insert(0, "participant_id", "sub-" + subjects.index)
    put_table(folder / "participants.tsv", subjects)
    entries: dict[str, Any] = {}
    for name in names:
        column = cohort.columns[name]
        entries[name] = {"Description": column.description}
        if column.unit:
            entries[name]["Units"] = column.unit
    put_json(folder / "participants.json", entries)


def listed(top: Path, derivatives: list[str]) -> pd.DataFrame:
    """List the images under the ids of the cohort, which lack the prefix of BIDS."""
    from ..cohort import scan_bids

    images = scan_bids(top, derivatives=derivatives).images
    images["subject_id"] = images["subject_id"].str.removeprefix("sub-")
    return images.drop(columns=["bval", "bvec"])


def packed(
    voxels: np.ndarray,
    affine: np.ndarray,
    intent: str | None = None,
    slope: float | None = None,
    code: int = 1,
    level: int = 6,
) -> bytes:
    """Return a NIfTI file, compressed, the same for the same voxels.

    Parameters
    ----------
    voxels : numpy.ndarray
        As they are to stand in the file.
    affine : numpy.ndarray, shape (4, 4)
        To mm.
    intent : str, optional
        For example "label".
    slope : float, optional
        What a voxel's value is multiplied by.
    code : int, default 1
        Of the space: 1 is the scanner's, 4 MNI's.
    level : int, default 6
        Of the compression.

    Returns
    -------
    bytes
    """
    import nibabel as nib

    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"synthetic"
    image.set_qform(affine, code)
    image.set_sform(affine, code)
    if intent is not None:
        image.header.set_intent(intent)
    if slope is not None:  # nibabel writes the voxels as they are beside it
        image.header.set_slope_inter(slope, 0)
    return gzip.compress(image.to_bytes(), level, mtime=0)


def put_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV file as BIDS has it: numbers in full, ``n/a`` for what is missing."""
    put(path, table.to_csv(None, sep="\t", index=False, na_rep="n/a").encode())


def put_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    put(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Its folder is made.
    content : bytes
        What it is to hold.

    Raises
    ------
    StorageError
        When it can't be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp lets nobody else read it
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"can't write ({error.strerror or error})",
        where=str(path),
        remedy="name a root that you may write to, with enough space",
    )
