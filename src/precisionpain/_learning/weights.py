"""Networks on disk: weights as safetensors, all else as JSON, so that reading runs no code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from ..errors import FormatError, StorageError, list_some

__all__ = ["load_into", "load_weights", "save_weights"]

_MODEL, _WEIGHTS = "model.json", "weights.safetensors"


def save_weights(
    folder: str | Path,
    tensors: Mapping[str, torch.Tensor],
    description: Mapping[str, Any],
    *,
    kind: str,
    version: int,
    half: bool = False,
) -> None:
    """Write a model: ``weights.safetensors``, and ``model.json`` with all else.

    An old model in the folder stays whole until the new one is complete, also when the
    process is killed in between.

    Parameters
    ----------
    folder : str or Path
        Is made when absent.
    tensors : mapping of str to torch.Tensor
        For example ``network.state_dict()``.
    description : mapping
        What JSON holds: text, finite numbers, lists, and mappings with text as keys.
    kind : str
        What the model is, so that none is taken for another.
    version : int
        Of the format of `tensors` and `description`.
    half : bool, default False
        Store floats in 16 bits, which halves the file and rounds to about 3 digits.

    Raises
    ------
    FormatError
        When the description is not JSON, or a weight doesn't fit into 16 bits.
    StorageError
        When the files can't be written.
    """
    from .. import __version__

    folder = Path(folder)
    stored = {name: _stored(name, tensor, half) for name, tensor in tensors.items()}
    content = safetensors.torch.save(stored)
    digest = hashlib.sha256(content).hexdigest()
    _check_json(description, "description")
    model = {
        "kind": kind,
        "version": version,
        "library": __version__,
        "sha256": digest,
        "half": half,
        "description": description,
    }
    text = json.dumps(model, indent=1, allow_nan=False, ensure_ascii=False)
    # model.json is the moment of change: before it the old pair is whole, after it the new
    # weights are found by their hash, whether or not they have their final name yet.
    waiting = folder / _waiting_name(digest)
    write_whole(waiting, content)
    write_whole(folder / _MODEL, text.encode())
    try:
        os.replace(waiting, folder / _WEIGHTS)
        for stray in folder.glob(_waiting_name("*")):
            stray.unlink()
    except OSError as error:
        raise StorageError(
            f"the file can't be moved or deleted ({error.strerror})", where=str(folder)
        ) from error


def load_weights(
    folder: str | Path, *, kind: str, version: int
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a model that `save_weights` wrote. Never runs code from the files.

    Parameters
    ----------
    folder : str or Path
        The model.
    kind : str
        What it has to be.
    version : int
        The format that the caller reads.

    Returns
    -------
    tensors : dict of str to torch.Tensor
        On the CPU; 32-bit floats where 16-bit ones were stored.
    description : dict

    Raises
    ------
    FormatError
        When there is no model, it is of another kind or version, or was changed or cut off.
    StorageError
        When a file is there and can't be read.
    """
    folder = Path(folder)
    if folder.is_file():
        raise FormatError(
            _named_format(_read(folder)) or f"expected a folder with {_MODEL}, found a file",
            where=str(folder),
            remedy="give the folder that the model was saved in",
        )
    model = _read_model(folder / _MODEL, kind, version)
    content = _read(folder / _WEIGHTS)
    waiting = folder / _waiting_name(model["sha256"])
    if hashlib.sha256(content).hexdigest() != model["sha256"] and waiting.is_file():
        content = _read(waiting)  # the save was killed before its last move
    where = str(folder / _WEIGHTS)
    if problem := _named_format(content):
        raise FormatError(problem, where=where, remedy="save the model with this library")
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise FormatError(
            f"the weights are not those that {_MODEL} describes (their SHA-256 differs): the "
            f"file of {len(content):,} bytes was changed or cut off",
            where=where,
            remedy="copy or download the whole folder again",
        )
    tensors = read_tensors(content, where)
    if model["half"]:
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    return tensors, model["description"]


def load_into(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put weights into a network, all of them or none.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    tensors : mapping of str to torch.Tensor
        Must have the names and shapes of ``module.state_dict()``.

    Raises
    ------
    FormatError
        When names or shapes differ.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if missing or extra or shapes:
        matched = len(expected) - len(missing) - len(shapes)
        kinds = {"missing": missing, "not in the network": extra, "of another shape": shapes}
        found = "; ".join(
            f"{len(names)} {what}: {list_some(names, 3)}" for what, names in kinds.items() if names
        )
        raise FormatError(
            f"the weights are of another network: {matched} of {len(expected)} tensors match; "
            f"{found}",
            remedy="build the network with the settings that the weights were trained with",
        )
    module.load_state_dict(dict(tensors))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that nobody meets half of it."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)  # on a full disk half a file is in the way
        raise StorageError(
            f"the file can't be written ({error.strerror})",
            where=str(path),
            remedy="check the free space, and that you may write there",
        ) from error


def read_tensors(content: bytes, where: str) -> dict[str, torch.Tensor]:
    """Read the content of a safetensors file."""
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise FormatError(f"the file is no safetensors file ({error})", where=where) from error


def _waiting_name(digest: str) -> str:
    return f"weights.{digest[:16]}.safetensors"


def _stored(name: str, tensor: torch.Tensor, half: bool) -> torch.Tensor:
    # A copy, because safetensors takes no tensors that share memory.
    plain = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if not (half and plain.is_floating_point()):
        return plain
    small = plain.half()
    if not torch.equal(small.isfinite(), plain.isfinite()):
        raise FormatError(
            f"values up to {plain.abs().max():.3g} don't fit into 16 bits (at most 65504)",
            where=name,
            remedy="save with half=False",
        )
    return small


def _check_json(value: Any, where: str) -> None:
    """Refuse what JSON would change in silence or can't hold."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise FormatError(f"expected text as key, found {key!r}", where=where)
            _check_json(each, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for position, each in enumerate(value):
            _check_json(each, f"{where}[{position}]")
    else:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise FormatError(
                f"expected text, a finite number, True, False, None, a list or a mapping, found "
                f"{value!r} ({type(value).__name__})",
                where=where,
                remedy="turn it into plain values, for example with float() or .tolist()",
            ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # A misspelt folder and a missing file are different mistakes.
        what = "the file" if path.parent.is_dir() else f"the folder {str(path.parent)!r}"
        raise FormatError(
            f"{what} is not there",
            where=str(path),
            remedy=f"give a folder with {_MODEL} and {_WEIGHTS}",
        ) from None
    except OSError as error:
        raise StorageError(f"the file can't be read ({error.strerror})", where=str(path)) from error


def _read_model(path: Path, kind: str, version: int) -> dict[str, Any]:
    where = str(path)
    content = _read(path)
    try:
        model = json.loads(content)
        found = model["kind"], model["version"]
        whole = isinstance(model["sha256"], str) and isinstance(model["description"], dict)
        if not whole or not isinstance(model["version"], int) or "half" not in model:
            raise ValueError("a field has another type")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            _named_format(content) or f"the file describes no model ({error!r})",
            where=where,
            remedy="copy or download the whole folder again",
        ) from error
    if found[0] != kind:
        raise FormatError(f"expected a model of kind {kind!r}, found {found[0]!r}", where=where)
    if found[1] != version:
        writer = f"precisionpain {model.get('library', '(unknown)')}"
        older = found[1] < version
        raise FormatError(
            f"the model has format {found[1]}, {'older' if older else 'newer'} than the format "
            f"{version} that is read here; it was written by {writer}",
            where=where,
            remedy=f"train it again, or read it with {writer}" if older else "update precisionpain",
        )
    return model


_SIGNATURES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes into .pt and .pth files",
    b"\x89HDF": "an HDF5 file",
}


def _named_format(content: bytes) -> str | None:
    """Name a format that isn't read, by its content."""
    why = "which may hold pickled code and isn't read: opening it could run anything"
    for start, name in _SIGNATURES.items():
        if content.startswith(start):
            return f"expected safetensors and JSON, found {name}, {why}"
    # Protocols 2 to 5; the ninth byte of a safetensors file is always "{".
    if content[:1] == b"\x80" and content[1:2] in b"\2\3\4\5" and content[8:9] != b"{":
        return f"expected safetensors and JSON, found a Python pickle, {why}"
    return None
