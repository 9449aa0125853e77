"""Cohorts on disk: JSON, Parquet and h5ad in a directory, replaced as a whole or not at all.

The directory holds ``cohort.json`` and one data folder that it names. A save writes a new
data folder, then replaces ``cohort.json`` in one step; whatever happens before that step
leaves the old cohort whole, whatever happens after it leaves the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError
from .columns import as_columns
from .flow import Flow, FlowStep
from .outcomes import Outcome

if TYPE_CHECKING:
    from .core import Cohort

__all__ = ["FORMAT_VERSION", "load_cohort", "read_cohort", "save_cohort"]

FORMAT_VERSION = 1
_FORMAT = "precisionpain cohort"
_INDEX = "cohort.json"


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
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        data = path / f"data-{uuid.uuid4().hex[:12]}"
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
        temporary = path / f".{data.name}.json"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(index, file, indent=1, ensure_ascii=False, default=_plain)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path / _INDEX)
    except OSError as error:
        shutil.rmtree(data, ignore_errors=True)
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"the cohort can't be written ({error.strerror or error})", where=str(path)
        ) from error
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise
    for old in path.glob("data-*"):
        if old != data:
            shutil.rmtree(old, ignore_errors=True)
    for stale in path.glob(".data-*.json"):
        stale.unlink(missing_ok=True)
    return path


def _refuse_foreign(path: Path) -> None:
    stray = [
        p.name
        for p in path.iterdir()
        if p.name != _INDEX and not p.name.startswith(("data-", ".data-"))
    ]
    if stray:
        raise StorageError(
            f"the directory holds something that is no stored cohort ({stray[0]!r})",
            where=str(path),
            remedy="choose a new or empty directory",
        )


def _write_tables(cohort: Cohort, data: Path, checksum: bool) -> dict[str, Any]:
    from .. import __version__

    images = cohort.images
    if checksum and len(images):
        images = _with_checksums(images)
    tables: dict[str, pd.DataFrame] = {
        "subjects": cohort.subjects.reset_index(),
        "visits": cohort.visits,
        "images": images,
    }
    tables |= {f"measurements/{n}": cohort.measurements[n] for n in cohort.measurements}
    files: dict[str, dict[str, str]] = {}
    for i, (name, table) in enumerate(tables.items()):
        file = data / f"{i:03d}.parquet"
        try:
            table.to_parquet(file, index=False)
        except (ValueError, TypeError) as error:  # pyarrow's errors derive from these
            raise FormatError(
                f"a table can't be stored: {error}",
                where=name,
                remedy="give each column values of one type",
            ) from error
        files[name] = {"file": file.name, "sha256": _sha256(file)}
    for i, name in enumerate(cohort.assays):
        file = data / f"{i:03d}.h5ad"
        adata = cohort.assays[name]
        (adata.copy() if adata.is_view else adata).write_h5ad(file)
        files[f"assays/{name}"] = {"file": file.name, "sha256": _sha256(file)}
    return {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"precisionpain {__version__}",
        "data": data.name,
        "files": files,
        "name": cohort.name,
        "synthetic": cohort.synthetic,
        "landmark": cohort.landmark,
        "schedule": dict(cohort._store.schedule),
        "columns": {name: column.to_dict() for name, column in cohort.columns.items()},
        "outcomes": {name: outcome.to_dict() for name, outcome in cohort.outcomes.items()},
        "flow": {
            "recruited": cohort.flow.recruited,
            "steps": [[s.reason, s.n_before, s.n_after] for s in cohort.flow],
        },
        "meta": cohort.meta,
        "provenance": [dict(entry) for entry in cohort._store.provenance],
    }


def _with_checksums(images: pd.DataFrame) -> pd.DataFrame:
    known = images["sha256"] if "sha256" in images else pd.Series(None, images.index, dtype=object)
    needed = images["present"] & known.isna()
    sums = known.astype(object)
    for row in images.index[needed]:
        sums[row] = _sha256(Path(images.at[row, "path"]))
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
    tables: dict[str, Any] = {}
    for name, record in index["files"].items():
        file = data / record["file"]
        try:
            if verify and _sha256(file) != record["sha256"]:
                raise FormatError(
                    "the file is not what was saved (its checksum differs)",
                    where=str(file),
                    remedy="restore the directory from a copy",
                )
            tables[name] = _read_table(file)
        except FileNotFoundError as error:
            raise FormatError("a file of the cohort is missing", where=str(file)) from error
        except PermissionError as error:
            raise StorageError("the file can't be read (permission)", where=str(file)) from error
    return _from_parts(index, tables)


def _read_table(file: Path) -> Any:
    if file.suffix == ".h5ad":
        import anndata

        return anndata.read_h5ad(file)
    return pd.read_parquet(file)


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
    return index


def _from_parts(index: Mapping[str, Any], tables: Mapping[str, Any]) -> Cohort:
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
    flow = index["flow"]
    return Cohort(
        tables["subjects"],
        visits=tables["visits"],
        images=images,
        assays={n[7:]: t for n, t in tables.items() if n.startswith("assays/")},
        measurements={n[13:]: t for n, t in tables.items() if n.startswith("measurements/")},
        columns=as_columns(index["columns"]),
        outcomes={name: Outcome(**record) for name, record in index["outcomes"].items()},
        schedule=index["schedule"],
        landmark=index["landmark"],
        name=index["name"],
        synthetic=index["synthetic"],
        meta=index["meta"],
        provenance=index["provenance"],
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
