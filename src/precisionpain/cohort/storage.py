"""Cohorts on disk: JSON, Parquet and h5ad in a directory, replaced as a whole or not at all.

The directory holds ``cohort.json`` and one data folder that it names. A save writes a new
data folder, then replaces ``cohort.json`` in one step; whatever happens before that step
leaves the old cohort whole, whatever happens after it leaves the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError, list_some
from ._files import read_assay, read_table, write_assay, write_table
from .columns import as_columns
from .flow import Flow, FlowStep
from .outcomes import Outcome

if TYPE_CHECKING:
    from .core import Cohort

__all__ = ["FORMAT_VERSION", "load_cohort", "read_cohort", "save_cohort"]

FORMAT_VERSION = 1
_FORMAT = "precisionpain cohort"
_ENTRIES = (
    "data", "files", "name", "synthetic", "landmark", "schedule", "columns", "outcomes", "flow",
    "meta", "provenance",
)  # fmt: skip
_INDEX = "cohort.json"
# Nothing but these is ever removed from the directory.
_DATA = re.compile(r"data-[0-9a-f]{12}")
_TEMPORARY = re.compile(r"\.data-[0-9a-f]{12}\.json")


def save_cohort(cohort: Cohort, path: str | Path, *, checksum: bool = True) -> Path:
    """Write a cohort to a directory, atomically.

    Parameters
    ----------
    cohort : Cohort
        A cohort of subjects. Images are not copied; their paths and checksums are kept.
    path : str or Path
        The directory. A cohort that is there already is replaced once the new one is
        complete; a directory with anything else in it is refused.
    checksum : bool, default True
        Whether to compute the SHA-256 of present images that have none yet.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    StorageError
        When the directory can't be written, or holds something else.
    FormatError
        When the rows aren't subjects, or a table has values that Parquet can't hold.
    """
    path = Path(path)
    if cohort.unit != "subject":
        raise FormatError(
            f"a cohort of subjects can be saved, found one of {cohort.unit}s",
            remedy="save the cohort before per_nerve() or per_visit()",
        )
    data = path / f"data-{uuid.uuid4().hex[:12]}"
    temporary = path / f".{data.name}.json"
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        data.mkdir()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"the directory can't be written ({error.strerror})",
            where=str(path),
            remedy="choose a directory that you may write to",
        ) from error
    try:
        index = _write_tables(cohort, data, checksum)
        temporary.write_text(as_json(index), encoding="utf-8")
        for written in (*data.iterdir(), data, temporary):
            _flush(written)
        os.replace(temporary, path / _INDEX)
        _flush(path)
    except BaseException as error:
        shutil.rmtree(data, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(
                f"the cohort can't be written ({error.strerror or error})", where=str(path)
            ) from error
        raise
    for old in path.iterdir():
        if _DATA.fullmatch(old.name) and old != data:
            shutil.rmtree(old, ignore_errors=True)
        elif _TEMPORARY.fullmatch(old.name):
            old.unlink(missing_ok=True)
    return path


def _flush(path: Path) -> None:
    """Have the disk hold it, so that a power cut can't leave an index of tables half there."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_foreign(path: Path) -> None:
    names = {item.name for item in path.iterdir()}
    stray = sorted(n for n in names if not (_DATA.fullmatch(n) or _TEMPORARY.fullmatch(n)))
    if _INDEX in stray:
        stray.remove(_INDEX)
        try:
            index = json.loads((path / _INDEX).read_text(encoding="utf-8"))
        except ValueError:
            index = None
        if not isinstance(index, dict) or index.get("format") != _FORMAT:
            stray.insert(0, _INDEX)
    if stray:
        raise StorageError(
            f"the directory holds something that is no stored cohort ({stray[0]!r})",
            where=str(path),
            remedy="choose a new or empty directory",
        )


def _write_tables(cohort: Cohort, data: Path, checksum: bool) -> dict[str, Any]:
    from .. import __version__

    tables = cohort_tables(cohort)
    if checksum:
        tables["images"] = _with_checksums(tables["images"])
    files: dict[str, dict[str, Any]] = {}
    for i, (name, table) in enumerate(tables.items()):
        file = data / f"{i:03d}.parquet"
        write_table(table, file, label=name)
        files[name] = {"file": file.name, "sha256": _sha256(file)}
    for i, name in enumerate(cohort.assays):
        file = data / f"{i:03d}.h5ad"
        text = write_assay(cohort.assays[name], file, label=f"assays/{name}")
        files[f"assays/{name}"] = {"file": file.name, "sha256": _sha256(file), "text": text}
    return {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"precisionpain {__version__}",
        "data": data.name,
        "files": files,
        **cohort_record(cohort),
    }


def cohort_tables(cohort: Cohort) -> dict[str, pd.DataFrame]:
    """Every table of a cohort but the assays, by name."""
    tables = {"subjects": cohort.subjects, "visits": cohort.visits, "images": cohort.images}
    return tables | {
        f"measurements/{name}": cohort.measurements[name] for name in cohort.measurements
    }


def cohort_record(cohort: Cohort) -> dict[str, Any]:
    """All of a cohort that is no table, as plain JSON values."""
    store = cohort._store
    return {
        "name": store.name,
        "synthetic": store.synthetic,
        "landmark": store.landmark,
        "schedule": dict(store.schedule),
        "columns": {name: column.to_dict() for name, column in store.columns.items()},
        "outcomes": {name: outcome.to_dict() for name, outcome in store.outcomes.items()},
        "flow": {
            "recruited": cohort.flow.recruited,
            "steps": [[s.reason, s.n_before, s.n_after] for s in cohort.flow],
        },
        "meta": dict(store.meta),
        "provenance": [dict(entry) for entry in store.provenance],
    }


def as_json(record: Mapping[str, Any]) -> str:
    """Write a record; what JSON can't hold is a `FormatError`."""
    try:
        return json.dumps(record, indent=1, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"the cohort's description can't be stored: {error}",
            remedy="keep to text, numbers, lists and mappings in meta, provenance, columns and "
            "outcomes",
        ) from error


def _with_checksums(images: pd.DataFrame) -> pd.DataFrame:
    if images.empty:
        return images
    known = images["sha256"] if "sha256" in images else pd.Series(None, images.index, dtype=object)
    needed = images["present"] & known.isna()
    sums = known.astype(object)
    try:
        sums[needed] = [_sha256(Path(str(path))) for path in images.loc[needed, "path"]]
    except OSError as error:
        raise StorageError(
            f"an image can't be read for its checksum ({error.strerror})",
            where=str(error.filename),
            remedy="put the file back, mark it present=False, or save with checksum=False",
        ) from error
    return images.assign(sha256=sums)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def load_cohort(path: str | Path, *, verify: bool = True) -> Cohort:
    """Read a stored cohort.

    Parameters
    ----------
    path : str or Path
        The directory that `Cohort.save` wrote.
    verify : bool, default True
        Whether to compare the tables' checksums (not the images') with those recorded.

    Returns
    -------
    Cohort
        Images whose files are gone are listed as absent.

    Raises
    ------
    FormatError
        When it isn't a stored cohort, is damaged, or comes from a newer version.
    StorageError
        When it can't be read.
    """
    path = Path(path)
    index = _read_index(path)
    data = path / str(index["data"])
    try:
        tables = {
            name: _read_file(data / record["file"], record, verify)
            for name, record in index["files"].items()
        }
    except FileNotFoundError as error:
        if _read_index(path)["data"] != index["data"]:
            return load_cohort(path, verify=verify)  # replaced meanwhile by another process
        raise FormatError("a file of the cohort is missing", where=str(error.filename)) from error
    return make_cohort(index, tables)


def _read_file(file: Path, record: Mapping[str, Any], verify: bool) -> Any:
    try:
        if verify and _sha256(file) != record["sha256"]:
            raise FormatError(
                "the file is not what was saved (its checksum differs)",
                where=str(file),
                remedy="restore the directory from a copy",
            )
        if file.suffix == ".parquet":
            return read_table(file)
        return read_assay(file, record["text"])
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise StorageError("the file can't be read (permission)", where=str(file)) from error
    except OSError as error:
        raise FormatError(f"the file is damaged ({error})", where=str(file)) from error


def _read_index(path: Path) -> dict[str, Any]:
    file = path / _INDEX
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise StorageError("the cohort can't be read (permission)", where=str(file)) from error
    except OSError as error:
        raise FormatError("no stored cohort here", where=str(path)) from error
    except ValueError as error:
        raise FormatError(f"the file is damaged ({error})", where=str(file)) from error
    if not isinstance(index, dict) or index.get("format") != _FORMAT:
        raise FormatError(f"expected a {_FORMAT}", where=str(file))
    version = index.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FormatError(
            f"the cohort has format version {version}, this library reads up to {FORMAT_VERSION}",
            where=str(file),
            remedy=f"upgrade precisionpain (it was written by {index.get('written_by')})",
        )
    lacking = [key for key in _ENTRIES if key not in index]
    if lacking:
        raise FormatError(
            f"the file is damaged: it lacks {list_some(lacking)}",
            where=str(file),
            remedy="restore the directory from a copy",
        )
    return index


def make_cohort(record: Mapping[str, Any], tables: Mapping[str, Any]) -> Cohort:
    """Put a cohort together from its `cohort_record` and its tables and assays by name."""
    from .core import Cohort

    images = tables["images"].copy()
    if len(images):
        gone = images["present"] & ~images["path"].map(
            lambda p: isinstance(p, str) and os.path.exists(p)
        )
        if gone.any():
            images.loc[gone, "present"] = False
            if "reason" not in images:
                images["reason"] = pd.Series(None, images.index, dtype=object)
            images.loc[gone, "reason"] = "the file is gone"
    flow = record["flow"]
    return Cohort(
        tables["subjects"],
        visits=tables["visits"],
        images=images,
        assays={n[7:]: t for n, t in tables.items() if n.startswith("assays/")},
        measurements={n[13:]: t for n, t in tables.items() if n.startswith("measurements/")},
        columns=as_columns(record["columns"]),
        outcomes={name: Outcome(**rule) for name, rule in record["outcomes"].items()},
        schedule=record["schedule"],
        landmark=record["landmark"],
        name=record["name"],
        synthetic=record["synthetic"],
        meta=record["meta"],
        provenance=record["provenance"],
        flow=Flow(flow["recruited"], tuple(FlowStep(*step) for step in flow["steps"])),
    )


def read_cohort(path: str | Path, **options: Any) -> Cohort:
    """Open a stored cohort, or the root of a BIDS dataset.

    Parameters
    ----------
    path : str or Path
        A directory that `Cohort.save` wrote, or a BIDS root.
    **options
        Passed to `load_cohort` or `read_bids`.

    Returns
    -------
    Cohort

    Raises
    ------
    FormatError
        When the directory is neither.
    StorageError
        When it can't be read.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> folder = tempfile.mkdtemp()
    >>> _ = pp.Cohort(pd.DataFrame({"age": [61]}, index=["p1"])).save(folder)
    >>> len(pp.read_cohort(folder))
    1
    """
    path = Path(path)
    try:
        stored = (path / _INDEX).exists()
        if not path.exists():
            raise FormatError("there is no such directory", where=str(path))
        if not path.is_dir():
            raise FormatError(
                "expected a directory (a stored cohort or a BIDS root), found a file",
                where=str(path),
                remedy="read a clinical table with precisionpain.cohort.read_clinical_table",
            )
    except PermissionError as error:
        raise StorageError("the directory can't be read (permission)", where=str(path)) from error
    if stored:
        return load_cohort(path, **options)
    from .bids import read_bids

    return read_bids(path, **options)
