"""Run a function over the people of a cohort: parallel, resumable, failures collected."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import io
import json
import os
import pickle
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError
from ._files import read_table, write_table
from .subject import table_content

if TYPE_CHECKING:
    from .core import Cohort
    from .subject import Subject

__all__ = ["MapResult", "map_subjects"]


@dataclasses.dataclass(frozen=True)
class MapResult:
    """Results by subject, and what failed.

    Parameters
    ----------
    results : dict of str to object
        Subject id → what the function returned, in the cohort's order.
    failures : pandas.DataFrame
        Index ``subject_id``; columns ``error`` (its kind), ``message``, ``traceback``.
    resumed : int
        How many results were taken from the checkpoint.
    """

    results: dict[str, Any]
    failures: pd.DataFrame
    resumed: int = 0

    def frame(self) -> pd.DataFrame:
        """Stack the results into one table.

        Returns
        -------
        pandas.DataFrame
            With the column ``subject_id`` first. Scalars give the column ``value``,
            mappings and Series one row per subject, DataFrames their rows.

        Raises
        ------
        FormatError
            When results are of another type.
        """
        parts = []
        rows: list[dict[str, Any]] = []
        for identifier, result in self.results.items():
            if isinstance(result, pd.DataFrame):
                numbered = isinstance(result.index, pd.RangeIndex) and result.index.name is None
                part = result if numbered else result.reset_index()
                part = part.drop(columns="subject_id", errors="ignore")
                part.insert(0, "subject_id", identifier)
                parts.append(part)
            elif isinstance(result, Mapping | pd.Series):
                rows.append({"subject_id": None, **result} | {"subject_id": identifier})
            elif pd.api.types.is_scalar(result):
                rows.append({"subject_id": identifier, "value": result})
            else:
                raise FormatError(
                    f"results of type {type(result).__name__} don't stack into a table",
                    remedy="return a DataFrame, Series, mapping or number, or use .results",
                )
        if rows and parts:
            raise FormatError(
                f"{len(parts)} results are tables and {len(rows)} are not, so they don't stack",
                remedy="return the same for everybody, or use .results",
            )
        if parts:
            return pd.concat(parts, ignore_index=True)
        return pd.DataFrame(rows, columns=None if rows else ["subject_id"])

    def __repr__(self) -> str:
        text = f"{len(self.results)} done, {len(self.failures)} failed"
        return text + (f", {self.resumed} taken from the checkpoint" if self.resumed else "")


def map_subjects(
    cohort: Cohort,
    function: Callable[..., Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    on_error: Literal["collect", "raise"] = "collect",
) -> MapResult:
    """Run a function on every person of a cohort.

    The work goes through joblib, so ``joblib.parallel_config("dask")`` or ``"ray"`` moves
    it to a cluster. One broken scan doesn't stop the others.

    Parameters
    ----------
    cohort : Cohort
        The people.
    function : callable
        Called as ``function(subject, **kwargs)``.
    kwargs : mapping, optional
        Further arguments.
    n_jobs : int, optional
        Workers, as joblib takes it; None means one, or what ``parallel_config`` says.
    checkpoint : str or Path, optional
        A directory that keeps each result as it is done; the same call then goes on where
        it was killed. A result is used again only while the person's data, the function's
        source (with the values that it encloses) and `kwargs` are the same. Results may be
        DataFrames, Series, arrays, or what JSON holds: text, numbers, and lists and
        mappings of those. They are returned as the checkpoint gives them back, so a tuple
        becomes a list, on the first run as on the next.
    progress : bool, default True
        Show a bar on a terminal.
    on_error : {"collect", "raise"}, default "collect"
        What to do when the function raises.

    Returns
    -------
    MapResult

    Raises
    ------
    StorageError
        When the checkpoint can't be written.
    FormatError
        When a result can't be kept in the checkpoint.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> cohort = pp.Cohort(pd.DataFrame({"age": [61, 48]}, index=["p1", "p2"]))
    >>> def decade(subject):
    ...     return int(subject.clinical["age"] // 10)
    >>> cohort.map(decade, progress=False).results
    {'p1': 6, 'p2': 4}
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    kwargs = dict(kwargs or {})
    ids = list(cohort.subject_ids)
    store = None if checkpoint is None else _Checkpoint(Path(checkpoint), function, kwargs)
    done: dict[str, Any] = {}
    if store is not None:
        for identifier in ids:
            found, value = store.load(cohort.subject(identifier))
            if found:
                done[identifier] = value
    resumed = len(done)
    waiting = [identifier for identifier in ids if identifier not in done]
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    outcomes = parallel(
        delayed(_run)(function, cohort.subject(identifier), kwargs, store, on_error)
        for identifier in waiting
    )
    failed: dict[str, dict[str, str]] = {}
    bar = tqdm(outcomes, total=len(waiting), disable=None if progress else True, unit="subject")
    for identifier, value, failure in bar:
        if failure is None:
            done[identifier] = value
        else:
            failed[identifier] = failure
    failures = pd.DataFrame.from_dict(
        {i: failed[i] for i in ids if i in failed},
        orient="index",
        columns=["error", "message", "traceback"],
    )
    failures.index.name = "subject_id"
    return MapResult({i: done[i] for i in ids if i in done}, failures, resumed)


def _run(
    function: Callable[..., Any],
    subject: Subject,
    kwargs: dict[str, Any],
    store: _Checkpoint | None,
    on_error: str,
) -> tuple[str, Any, dict[str, str] | None]:
    try:
        value = function(subject, **kwargs)
    except Exception as error:
        if on_error == "raise":
            raise
        failure = {
            "error": type(error).__name__,
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
        return subject.id, None, failure
    if store is not None:
        value = store.save(subject, value)
    return subject.id, value, None


class _Checkpoint:
    """Results on disk, one file per subject, named by a hash of all that they depend on."""

    def __init__(
        self, folder: Path, function: Callable[..., Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.task = f"{_describe(function)}\n{_stable(kwargs)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Now, not after hours of work.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise StorageError(
                f"the checkpoint directory can't be written ({error.strerror})",
                where=str(folder),
                remedy="choose a directory that you may write to",
            ) from error

    def _stem(self, subject: Subject) -> Path:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.task, subject.id, subject.fingerprint()):
            digest.update(part.encode())
            digest.update(b"\0")
        return self.folder / digest.hexdigest()

    def save(self, subject: Subject, value: Any) -> Any:
        suffix, payload = _encode(value)
        target = self._stem(subject).with_suffix(suffix)
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
            os.replace(temporary, target)
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise StorageError(
                f"a result can't be written ({error.strerror})", where=str(self.folder)
            ) from error
        return _DECODERS[suffix](payload)

    def load(self, subject: Subject) -> tuple[bool, Any]:
        stem = self._stem(subject)
        for suffix, decode in _DECODERS.items():
            path = stem.with_suffix(suffix)
            try:
                return True, decode(path.read_bytes())
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError(
                    f"a stored result can't be read ({error.strerror or error})", where=str(path)
                ) from error
            except ValueError as error:
                raise FormatError(
                    f"a stored result is damaged ({error})",
                    where=str(path),
                    remedy="delete the file; the result is then computed again",
                ) from error
        return False, None


def _describe(function: Callable[..., Any]) -> str:
    """Describe what a function computes: its name, its source and the values in it."""
    if isinstance(function, functools.partial):
        bound = _stable({"args": function.args, **function.keywords})
        return f"partial {bound}\n{_describe(function.func)}"
    plain = inspect.isroutine(function) or inspect.isclass(function)
    target: Any = function if plain else type(function)
    inside: dict[str, Any] = {} if plain else {"self": function}
    if inspect.ismethod(function):
        inside["self"] = function.__self__
    elif inspect.isfunction(function):
        inside |= {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
        inside |= inspect.getclosurevars(function).nonlocals
    return f"{target.__module__}.{target.__qualname__}\n{_source(target)}\n{_stable(inside)}"


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(code and (code.co_code, code.co_consts, code.co_names))


def _stable(values: Mapping[str, Any]) -> str:
    """Describe values in a way that is the same in every run."""
    from joblib import hash as content_hash

    described = {}
    for key, value in sorted(values.items()):
        try:
            tabular = isinstance(value, pd.DataFrame | pd.Series)
            # joblib's hash of a table changes with what pandas has cached in it.
            described[key] = content_hash(table_content(value) if tabular else value)
        except (pickle.PicklingError, TypeError, AttributeError):
            described[key] = _source(value) if callable(value) else repr(value)
    return json.dumps(described)


def _encode(value: Any) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if isinstance(value, pd.DataFrame):
        write_table(value, buffer, label="a result for the checkpoint")
        return ".parquet", buffer.getvalue()
    if isinstance(value, pd.Series):
        table = value.to_frame(json.dumps(value.name, default=_plain))
        write_table(table, buffer, label="a result for the checkpoint")
        return ".series", buffer.getvalue()
    if isinstance(value, np.ndarray) and value.dtype != object:
        np.save(buffer, value, allow_pickle=False)
        return ".npy", buffer.getvalue()
    try:
        return ".json", json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"a result of type {type(value).__name__} can't be kept in the checkpoint",
            remedy="return a DataFrame, Series, array or plain values, or write files yourself "
            "and return their paths as text",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _as_series(data: bytes) -> pd.Series:
    values = read_table(io.BytesIO(data)).iloc[:, 0]
    return values.rename(json.loads(str(values.name)))


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    ".parquet": lambda data: read_table(io.BytesIO(data)),
    ".series": _as_series,
    ".npy": lambda data: np.load(io.BytesIO(data), allow_pickle=False),
    ".json": json.loads,
}
