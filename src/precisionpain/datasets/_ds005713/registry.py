"""A data set's files as a registry pins them: size, SHA-256, and what was verified already."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import threading
from pathlib import Path

from ...errors import FormatError, StorageError

__all__ = [
    "RegisteredFile",
    "Verified",
    "WrongContentError",
    "install",
    "read_registry",
    "sha256_of",
]

_STAMPS = ".precisionpain-verified.json"


class WrongContentError(StorageError):
    """The source holds something else than the registered file."""


@dataclasses.dataclass(frozen=True)
class RegisteredFile:
    """A file as the registry pins it.

    Parameters
    ----------
    path : str
        Relative to the root of the data set, with forward slashes.
    bytes : int
        Size.
    sha256 : str
        Checksum in hexadecimal digits.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.registry import RegisteredFile
    >>> RegisteredFile("README", 0, "e3b0c442").path
    'README'
    """

    path: str
    bytes: int
    sha256: str


def read_registry(text: str) -> dict[str, RegisteredFile]:
    r"""Read a registry: path, bytes and SHA-256, separated by tabs.

    Parameters
    ----------
    text : str
        One file a line; lines that start with ``#`` are comments.

    Returns
    -------
    dict of str to RegisteredFile
        By path.

    Raises
    ------
    FormatError
        At a line of another form, a path that leaves the folder, or a path given twice.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.registry import read_registry
    >>> list(read_registry("# files\na/b.tsv\t3\t" + "0" * 64))
    ['a/b.tsv']
    """
    files: dict[str, RegisteredFile] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([^\t\\]+)\t(\d+)\t([0-9a-f]{64})", line)
        if match is None or match[1].startswith("/") or ".." in match[1].split("/"):
            raise FormatError(
                f"expected a relative path, a size and a SHA-256, found {line!r}",
                where=f"registry, line {number}",
            )
        if match[1] in files:
            raise FormatError(f"{match[1]!r} stands twice", where=f"registry, line {number}")
        files[match[1]] = RegisteredFile(match[1], int(match[2]), match[3])
    return files


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file; read in pieces, so that its size doesn't matter.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Verified:
    """Memory of the files below a root whose checksum was found right.

    A file counts as verified while its size and modification time stay what they were, so
    a second call needs no second reading of gigabytes. The memory is a small hidden file
    in the root, written by `save`.

    Parameters
    ----------
    root : pathlib.Path
        The folder that the registered paths are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._file = root / _STAMPS
        self._lock = threading.Lock()
        self._stamps: dict[str, list[object]] = {}
        self._new = False
        # The memory only saves time: one that can't be read is made anew.
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(self._file.read_text(encoding="utf-8"))
            if isinstance(loaded, dict):
                self._stamps = loaded

    def holds(self, file: RegisteredFile) -> bool:
        """Say whether the root holds exactly the registered file.

        Parameters
        ----------
        file : RegisteredFile
            What to look for.

        Returns
        -------
        bool
            False when it is absent or differs.
        """
        path = self.root / file.path
        if not path.is_file() or path.stat().st_size != file.bytes:
            return False
        if self._stamps.get(file.path) == self._stamp(file):
            return True
        if sha256_of(path) != file.sha256:
            return False
        self.add(file)
        return True

    def add(self, file: RegisteredFile) -> None:
        """Remember that the file in the root was verified.

        Parameters
        ----------
        file : RegisteredFile
            The file; it must exist.
        """
        with self._lock:
            self._stamps[file.path] = self._stamp(file)
            self._new = True

    def save(self) -> None:
        """Write the memory to the root, if anything is new and the root can be written."""
        if not self._new:
            return
        part = self._file.with_name(self._file.name + ".part")
        # The memory only saves time, so a root that is read-only may do without it.
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(self._stamps, sort_keys=True), encoding="utf-8")
            os.replace(part, self._file)
            self._new = False
        if self._new:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _stamp(self, file: RegisteredFile) -> list[object]:
        facts = (self.root / file.path).stat()
        return [facts.st_size, facts.st_mtime_ns, file.sha256]


def install(part: Path, target: Path, file: RegisteredFile, source: str) -> None:
    """Check a completely written part file and move it to its place in one step.

    Parameters
    ----------
    part, target : pathlib.Path
        The part file, which is gone afterwards in any case, and the final path.
    file : RegisteredFile
        What the part file must be.
    source : str
        Where it came from, for the message.

    Raises
    ------
    WrongContentError
        When size or checksum differ; the part file is removed.
    """
    size, digest = part.stat().st_size, sha256_of(part)
    if (size, digest) != (file.bytes, file.sha256):
        part.unlink()
        raise WrongContentError(
            f"expected {file.bytes} bytes with SHA-256 {file.sha256}, found {size} bytes with "
            f"SHA-256 {digest}; the file was removed",
            where=source,
            remedy="fetch again; if it stays so, the source holds another version of the file",
        )
    os.replace(part, target)
