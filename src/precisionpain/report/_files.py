"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import StorageError


def make_writable(folder: str | Path, parts: Sequence[str] = ("tables", "figures")) -> Path:
    """Make a folder, with its parts, and prove that it can be written to, before any work.

    Raises
    ------
    StorageError
        When it can't.
    """
    path = Path(folder).expanduser().absolute()
    try:
        for part in (path, *(path / name for name in parts)):
            part.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=part):
                pass
    except OSError as error:
        raise StorageError(
            f"the folder can't be written ({error.strerror or error})",
            where=str(path),
            remedy="choose a folder that you may write to",
        ) from error
    return path


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file under a temporary name and move it to its place in one step.

    Raises
    ------
    StorageError
        When it can't be written; what was there before stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"the file can't be written ({error.strerror or error})", where=str(path)
        ) from error
    return path


def as_json(record: Any) -> bytes:
    """Write strict JSON: no NaN, no infinity."""
    text = json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def plain(value: Any) -> Any:
    """Turn a value into plain JSON values; what isn't a finite number becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray | pd.Index):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if value is pd.NA or value is pd.NaT else str(value)
