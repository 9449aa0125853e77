"""Where a training was when it was killed."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..errors import DataWarning, FormatError, StorageError, TrainingError
from .weights import read_tensors, write_whole

__all__ = ["Checkpoint"]


class Checkpoint:
    """The last two states of one training, as safetensors and JSON.

    A state is complete when its JSON, which is written last, names the hash of it all;
    any other is passed over, so a kill at any moment costs at most the steps since the
    last complete one.

    Parameters
    ----------
    folder : Path
        Of this training alone; is made when absent.
    settings : mapping
        All that the result depends on, as JSON holds it. A state of other settings is
        refused.

    Raises
    ------
    StorageError
        When the folder can't be made.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(
            json.dumps(settings, default=lambda value: value.item())  # NumPy's numbers
        )
        self._kept: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)  # now, not after hours of work
        except OSError as error:
            raise StorageError(
                f"the checkpoint folder can't be made ({error.strerror})",
                where=str(folder),
                remedy="choose a folder that you may write to",
            ) from error

    def save(
        self, step: int, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]
    ) -> None:
        """Keep a state and the one before it.

        Parameters
        ----------
        step : int
            Steps done.
        tensors : mapping of str to torch.Tensor
            Contiguous, on the CPU, without shared memory.
        notes : mapping
            All else, as JSON holds it.
        """
        content = safetensors.torch.save(dict(tensors))
        state: dict[str, Any] = {"settings": self.settings, "notes": notes}
        state["sha256"] = _digest(content, state)
        path = self.folder / f"step-{step:09d}.json"
        write_whole(path.with_suffix(".safetensors"), content)
        write_whole(path, json.dumps(state).encode())
        self._kept = [*self._kept, path][-2:]
        stems = {kept.stem for kept in self._kept}
        for old in self.folder.glob("step-*"):
            if old.name.split(".")[0] not in stems:
                old.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Find the newest complete state.

        Returns
        -------
        tensors, notes : dict, or None
            None when there is none.

        Raises
        ------
        TrainingError
            When it was made with other settings.

        Warns
        -----
        DataWarning
            When a damaged state is passed over.
        """
        for path in sorted(self.folder.glob("step-*.json"), reverse=True):
            try:
                tensors, state = _read_state(path)
            except (FormatError, OSError, ValueError, KeyError, TypeError) as error:
                warnings.warn(
                    DataWarning(
                        f"{path}: this checkpoint is damaged ({error}); the one before it is "
                        "used, or the start"
                    ),
                    stacklevel=3,
                )
                continue
            self._check(state["settings"], path)
            self._kept = [path]
            return tensors, state["notes"]
        return None

    def _check(self, found: dict[str, Any], path: Path) -> None:
        names = [*self.settings, *(name for name in found if name not in self.settings)]
        differing = [
            f"{name} ({found.get(name, 'absent')} there, {self.settings.get(name, 'absent')} now)"
            for name in names
            if found.get(name, ...) != self.settings.get(name, ...)
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise TrainingError(
                "this checkpoint is of a training with other settings: "
                f"{'; '.join(differing[:3])}{more}",
                where=str(path),
                remedy="use the same settings to go on, or delete the folder "
                f"{str(self.folder)!r} to begin anew",
            )


def _read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    state = json.loads(path.read_bytes())
    file = path.with_suffix(".safetensors")
    content = file.read_bytes()
    if _digest(content, state) != state["sha256"]:
        raise FormatError("its SHA-256 differs")
    return read_tensors(content, file.name), state


def _digest(content: bytes, state: Mapping[str, Any]) -> str:
    described = json.dumps([state["settings"], state["notes"]])
    return hashlib.sha256(content + described.encode()).hexdigest()
