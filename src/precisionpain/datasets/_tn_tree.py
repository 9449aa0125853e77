"""The BIDS tree of the synthetic trigeminal cohort: all that is text, and how files are written."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import StorageError
from ..trigeminal.anatomy import Label

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["PIPELINE", "cache_folder", "claim", "put", "put_json", "put_table", "write_texts"]

PIPELINE = "truth"
_BIDS = "1.10.0"
_RECORD = "code/sample_tn.json"
_README = """\
# A synthetic cohort of trigeminal neuralgia

No person stands behind these data: people, scans, labels and outcomes were made up by
`precisionpain.datasets.sample_tn`; `code/sample_tn.json` holds its arguments.

- `sub-*/ses-*/anat`: simulated scans of the cerebellopontine cistern (CISS or SPACE).
- `derivatives/truth`: the label of each voxel (`dseg`), the share of each label in it
  (`probseg`), the true measures of both nerves (`nerves.tsv`), and what no clinic knows of the
  people (`participants.tsv`).
- `code/columns.json`: what each column of `participants.tsv` is, which of them are outcomes, and
  the outcomes' definitions.

Open it with

    precisionpain.read_cohort(ROOT, columns="ROOT/code/columns.json", derivatives=["truth"])
"""


def cache_folder(record: Mapping[str, Any]) -> Path:
    """Return where a tree of these parameters goes when nobody names a place.

    Parameters
    ----------
    record : mapping
        Everything that the tree depends on.

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
    return base / f"sample_tn-{digest[:12]}"


def claim(top: Path, record: Mapping[str, Any]) -> None:
    """Make the folder, or see that it holds this very sample, whole or in part.

    Parameters
    ----------
    top : pathlib.Path
        The root of the tree.
    record : mapping
        Everything that the tree depends on, as JSON values.

    Raises
    ------
    StorageError
        When it can't be written, or holds anything else.
    """
    path = top / _RECORD
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


def write_texts(top: Path, cohort: Cohort, version: str) -> None:
    """Write the descriptions and tables of the tree, ``README`` last.

    Parameters
    ----------
    top : pathlib.Path
        Its root.
    cohort : Cohort
        The people, their visits, columns and outcomes.
    version : str
        Of this library.
    """
    made_by = {
        "Name": "precisionpain.datasets.sample_tn",
        "Version": version,
        "Description": "synthetic: simulated scans of made-up people",
    }
    common = {"BIDSVersion": _BIDS, "License": "CC0-1.0", "GeneratedBy": [made_by]}
    description = {"Name": cohort.name, "DatasetType": "raw", "Synthetic": True, **common}
    put_json(top / "dataset_description.json", description)
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
    described = {"Description": "days from surgery; n/a for people without", "Units": "day"}
    put_json(top / "sessions.json", {"days_from_surgery": described})
    for identifier, visits in cohort.visits.groupby("subject_id"):
        rows = pd.DataFrame(
            {"session_id": "ses-" + visits["visit"], "days_from_surgery": visits["day"]}
        )
        put_table(top / f"sub-{identifier}" / f"sub-{identifier}_sessions.tsv", rows)

    inner = top / "derivatives" / PIPELINE
    description = {"Name": f"truth of {cohort.name}", "DatasetType": "derivative", **common}
    put_json(inner / "dataset_description.json", {**description, "Synthetic": True})
    _people(inner, cohort, truth)
    lookup = [{"index": int(label), "name": label.name.lower()} for label in Label]
    put_table(inner / "dseg.tsv", pd.DataFrame(lookup))
    text = "one row per side; columns as in precisionpain.trigeminal.Cistern"
    put_json(inner / "nerves.json", {"Synthetic": True, "Description": text})
    put(top / "README", _README.encode())


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
