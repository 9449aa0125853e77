"""Run a function over the people of a cohort: parallel, resumable, failures collected."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import io
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import FormatError, StorageError

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
        for identifier, result in self.results.items():
            if isinstance(result, pd.DataFrame):
                part = result.reset_index() if result.index.names != [None] else result
            elif isinstance(result, Mapping | pd.Series):
                part = pd.DataFrame([dict(result)])
            elif np.isscalar(result) or result is None:
                part = pd.DataFrame({"value": [result]})
            else:
                raise FormatError(
                    f"results of type {type(result).__name__} don't stack into a table",
                    remedy="return a DataFrame, Series, mapping or number, or use .results",
                )
            part = part.drop(columns="subject_id", errors="ignore")
            part.insert(0, "subject_id", identifier)
            parts.append(part)
        if not parts:
            return pd.DataFrame({"subject_id": pd.Series(dtype=object)})
        return pd.concat(parts, ignore_index=True)

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
        source and `kwargs` are the same. Results may be DataFrames, Series, mappings and
        lists of plain values, scalars or arrays.
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

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> cohort = pp.Cohort(pd.DataFrame({"age": [61, 48]}, index=["p1", "p2"]))
    >>> def decade(subject):
    ...     return subject.clinical["age"] // 10
    >>> cohort.map(decade, progress=False).results
    {'p1': 6.0, 'p2': 4.0}
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
        store.save(subject, value)
    return subject.id, value, None


class _Checkpoint:
    """Results on disk, one file per subject, named by a hash of all that they depend on."""

    def __init__(
        self, folder: Path, function: Callable[..., Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            source = repr(function)
        name = getattr(function, "__qualname__", repr(function))
        self.task = f"{getattr(function, '__module__', '')}.{name}\n{source}\n{_stable(kwargs)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the checkpoint directory can't be made ({error.strerror})", where=str(folder)
            ) from error

    def _stem(self, subject: Subject) -> Path:
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.task, subject.id, subject.fingerprint()):
            digest.update(part.encode())
            digest.update(b"\0")
        return self.folder / digest.hexdigest()

    def save(self, subject: Subject, value: Any) -> None:
        suffix, payload = _encode(value)
        target = self._stem(subject).with_suffix(suffix)
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
            os.replace(temporary, target)
        except OSError as error:
            raise StorageError(
                f"a result can't be written ({error.strerror})", where=str(self.folder)
            ) from error

    def load(self, subject: Subject) -> tuple[bool, Any]:
        stem = self._stem(subject)
        for suffix in _DECODERS:
            path = stem.with_suffix(suffix)
            if path.exists():
                return True, _DECODERS[suffix](path.read_bytes())
        return False, None


def _stable(kwargs: Mapping[str, Any]) -> str:
    """Describe arguments in a way that is the same in every run."""
    from joblib import hash as content_hash

    return json.dumps({key: content_hash(value) for key, value in sorted(kwargs.items())})


def _encode(value: Any) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if isinstance(value, pd.DataFrame):
        value.to_parquet(buffer)
        return ".parquet", buffer.getvalue()
    if isinstance(value, pd.Series):
        value.to_frame("value").to_parquet(buffer)
        return ".series", buffer.getvalue()
    if isinstance(value, np.ndarray) and value.dtype != object:
        np.save(buffer, value, allow_pickle=False)
        return ".npy", buffer.getvalue()
    try:
        return ".json", json.dumps(value, default=_plain).encode()
    except TypeError as error:
        raise FormatError(
            f"a result of type {type(value).__name__} can't be kept in the checkpoint",
            remedy="return a DataFrame, Series, array or plain values, or write files yourself "
            "and return their paths",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    ".parquet": lambda data: pd.read_parquet(io.BytesIO(data)),
    ".series": lambda data: pd.read_parquet(io.BytesIO(data))["value"],
    ".npy": lambda data: np.load(io.BytesIO(data), allow_pickle=False),
    ".json": json.loads,
}
