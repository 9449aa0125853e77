"""Copy registered files from a local copy of a data set, also out of archives in it."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from ...errors import StorageError
from .registry import RegisteredFile, Verified, WrongContentError, install, sha256_of

__all__ = ["copy_from_mirror"]


def copy_from_mirror(
    mirror: Path, wanted: Iterable[RegisteredFile], verified: Verified
) -> tuple[list[RegisteredFile], list[str]]:
    """Copy files from a folder, which is only read.

    Each file is looked for at its path, then among the files beside that path with the same
    suffix and size (``participants_v2.0.1.tsv`` for ``participants.tsv``), then in the
    ``*.tar.gz`` and ``*.tgz`` archives that lie in the folder. It counts only when its
    checksum is the registered one.

    Parameters
    ----------
    mirror : pathlib.Path
        The folder.
    wanted : iterable of RegisteredFile
        What to copy.
    verified : Verified
        Memory of the root that the files go to.

    Returns
    -------
    missing : list of RegisteredFile
        What the mirror lacks.
    notes : list of str
        Files that were there under the right name with the wrong content, and files that
        were found under another name.

    Raises
    ------
    StorageError
        When the mirror can't be read or the root can't be written.
    """
    if not mirror.is_dir():
        raise StorageError("no such folder", where=str(mirror), remedy="correct mirror=")
    root = verified.root.resolve()
    if root.is_relative_to(mirror.resolve()):
        raise StorageError(
            "root lies in the mirror, which is never written to",
            where=str(mirror),
            remedy="name another root, or leave mirror out to use the files in root",
        )
    notes: list[str] = []
    pending: list[RegisteredFile] = []
    try:
        for file in wanted:
            found = _beside(mirror, file, notes)
            if found is None:
                pending.append(file)
            else:
                target = _place(verified, file)
                shutil.copyfile(found, target)
                install(target, verified.root / file.path, file, str(found))
                verified.add(file)
        archives = [p for p in sorted(mirror.iterdir()) if p.name.endswith((".tar.gz", ".tgz"))]
        for archive in archives:
            pending = _from_archive(archive, pending, verified, notes)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"can't copy ({error})", where=str(mirror)) from error
    finally:
        verified.save()
    return pending, notes


def _place(verified: Verified, file: RegisteredFile) -> Path:
    target = verified.root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(target.name + ".part")


def _beside(mirror: Path, file: RegisteredFile, notes: list[str]) -> Path | None:
    path = mirror / file.path
    if _is(path, file):
        return path
    if path.is_file():
        notes.append(_refusal(path.name, str(mirror), file, path.stat().st_size))
    if not path.parent.is_dir():
        return None
    stem = path.name.split(".")[0]
    for other in sorted(path.parent.glob(f"{stem}*{path.suffix}")):
        if other != path and _is(other, file):
            notes.append(f"{file.path} was copied from {other.name}, known by its checksum")
            return other
    return None


def _is(path: Path, file: RegisteredFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and sha256_of(path) == file.sha256


def _refusal(name: str, where: str, file: RegisteredFile, size: int) -> str:
    return (
        f"{name} in {Path(where).name} was refused: it is not the registered file "
        f"({size} bytes, registered {file.bytes})"
    )


def _from_archive(
    archive: Path, wanted: list[RegisteredFile], verified: Verified, notes: list[str]
) -> list[RegisteredFile]:
    """Copy out of an archive; return what is still missing.

    Members are read as streams and written to the registered paths, so no path, link or
    mode of the archive ever reaches the disk; the filter refuses hostile members besides.
    """
    pending = {file.path: file for file in wanted}
    if not pending:
        return []
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            try:
                safe = tarfile.data_filter(member, str(verified.root))
            except tarfile.FilterError as error:
                notes.append(f"{member.name} in {archive.name} was refused: {error}")
                continue
            if not safe.isreg():
                continue
            # Archives hold the tree itself, or one folder with the tree.
            name = safe.name.removeprefix("./")
            file = pending.get(name) or pending.get(name.partition("/")[2])
            if file is None:
                continue
            if safe.size != file.bytes:
                notes.append(_refusal(name, str(archive), file, safe.size))
                continue
            stream = tar.extractfile(member)
            assert stream is not None
            part = _place(verified, file)
            with part.open("wb") as out:
                shutil.copyfileobj(stream, out)
            try:
                install(part, verified.root / file.path, file, f"{archive}, {name}")
            except WrongContentError:
                notes.append(_refusal(name, str(archive), file, safe.size))
                continue
            verified.add(file)
            del pending[file.path]
    return list(pending.values())
