"""Predictions that are kept, each named by all that it depends on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import DataWarning, StorageError

__all__ = ["Store", "content_of", "settings_of", "versions"]

# What a classifier of scans does, not what it finds.
_INDIFFERENT = ("device", "progress", "checkpoint", "log", "memory", "dataset", "weights")
_PACKAGES = ("numpy", "scikit-learn", "torch", "xgboost-cpu", "xgboost")


@dataclasses.dataclass(frozen=True)
class Store:
    """Predictions of test people, one file for each training.

    A file is written whole or not at all, so a kill at any moment costs at most the training
    that was going on.

    Parameters
    ----------
    folder : Path
        Is made when the first file is written.
    """

    folder: Path

    def read(self, key: str, people: pd.Index) -> np.ndarray | None:
        """Return what is kept of these people, or None.

        Warns
        -----
        DataWarning
            When the file is damaged; the training is then done again.
        """
        path = self._path(key)
        try:
            record = json.loads(path.read_bytes())
            p = np.array(record["p"], dtype=float)
            if record["key"] != key or record["subject_id"] != [str(one) for one in people]:
                raise ValueError("it is of other people")
            if p.shape != (len(people),) or not np.isfinite(p).all():
                raise ValueError("it has no probability for each of them")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError) as error:
            warnings.warn(
                DataWarning(f"{path}: kept predictions are damaged ({error}); made anew"),
                stacklevel=2,
            )
            return None
        return p

    def write(self, key: str, people: pd.Index, p: np.ndarray, about: Mapping[str, Any]) -> None:
        """Keep predictions.

        Raises
        ------
        StorageError
            When they can't be written.
        """
        path = self._path(key)
        record = {
            "format": "precisionpain predictions", "key": key, "about": dict(about),
            "subject_id": [str(one) for one in people], "p": [float(one) for one in p],
        }  # fmt: skip
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(record, indent=1), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StorageError(
                f"predictions can't be kept ({error.strerror or error})",
                where=str(path),
                remedy="choose a folder that you may write to",
            ) from error

    def clear(self) -> None:
        """Forget all predictions; other files stay."""
        for path in (self.folder / "predictions").glob("*.json"):
            path.unlink(missing_ok=True)

    def training(self, key: str) -> Path:
        """Return the folder for the checkpoints of one training."""
        return self.folder / "training" / key[:24]

    def forget_training(self, key: str) -> None:
        """Delete the checkpoints of one training, and their place when it was the last."""
        folder = self.training(key)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()

    def _path(self, key: str) -> Path:
        return self.folder / "predictions" / f"{key[:24]}.json"


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a prediction may depend on."""
    from ... import __version__

    found = {"precisionpain": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def settings_of(model: Any) -> dict[str, Any]:
    """Return the settings of a model that its predictions depend on.

    Parameters
    ----------
    model : estimator
        A `ChronicPainClassifier`, or a pipeline on clinical columns.

    Returns
    -------
    dict
        JSON values.
    """
    from ..classifier import ChronicPainClassifier

    if not isinstance(model, ChronicPainClassifier):
        every = {"steps": [name for name, _ in model.steps], **model.get_params(deep=True)}
        plain = {n: v for n, v in every.items() if not hasattr(v, "get_params") and n != "steps"}
        return {"model": repr(every["steps"]), **{n: repr(plain[n]) for n in sorted(plain)}}
    from ..._learning.device import pick_device

    parameters = model.get_params(deep=False)
    chosen = {n: repr(v) for n, v in sorted(parameters.items()) if n not in _INDIFFERENT}
    chosen["device"] = pick_device(model.device).type
    if model.weights is not None:
        chosen["weights"] = _digest_of_path(Path(model.weights))
    return {"model": "ChronicPainClassifier", **chosen}


def content_of(model: Any, cohort: Cohort) -> str:
    """Return a hash of what a model sees of people: scans, or columns.

    Parameters
    ----------
    model : estimator
        As `settings_of`.
    cohort : Cohort
        People, in an order that counts.

    Returns
    -------
    str

    Raises
    ------
    PrecisionPainError
        As the model's own reading.
    """
    from ..classifier import ChronicPainClassifier

    found = hashlib.sha256(json.dumps([str(one) for one in cohort.index]).encode())
    if not isinstance(model, ChronicPainClassifier):
        columns = list(model.steps[0][1].columns)
        frame = cohort.predictor_frame(columns)
        found.update(frame.to_csv(index=False).encode())
        return found.hexdigest()
    from .._classifier.inputs import read_slabs

    slabs, affine = read_slabs(
        cohort, plane=model.plane, n_slices=model.n_slices, contrast=model.contrast,
        visit=model.visit, run=model.run, entities=model.entities,
    )  # fmt: skip
    found.update(f"{slabs.shape} {np.round(affine, 3).tolist()}".encode())
    found.update(np.ascontiguousarray(slabs).data)
    return found.hexdigest()


def _digest_of_path(path: Path) -> str:
    """Hash a file, or all files of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        state = file.stat()
        found.update(_digest_of_file(file, state.st_mtime_ns, state.st_size).encode())
    return found.hexdigest()


@functools.lru_cache(maxsize=64)
def _digest_of_file(file: Path, mtime: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
