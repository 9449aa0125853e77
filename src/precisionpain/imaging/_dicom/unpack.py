"""Archives, unpacked so that no name in them matters."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import FormatError, MissingModalityError, StorageError

__all__ = ["as_folder"]

_CHUNK = 1 << 20
_MOST_MEMBERS = 500_000


def as_folder(path: str, scratch: Path, max_bytes: int) -> Path:
    """Return the folder or file itself, or a folder with the content of an archive."""
    given = Path(path)
    try:
        if given.is_dir():
            return given
        if not given.is_file():
            raise MissingModalityError(
                "expected a folder, a DICOM file or an archive, found none", where=path
            )
        if given.stat().st_size == 0:
            raise FormatError("expected DICOM data, found an empty file", where=path)
        if zipfile.is_zipfile(given):
            _copy(_zipped(given), scratch, path, max_bytes)
        elif tarfile.is_tarfile(given):
            _copy(_tarred(given), scratch, path, max_bytes)
        else:
            return given
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise FormatError(
            f"the archive is damaged ({type(error).__name__})",
            where=path,
            remedy="fetch it again and compare its checksum with the source",
        ) from error
    except NotImplementedError as error:  # a zip method that Python lacks
        raise FormatError(f"the archive can't be read ({error})", where=path) from error
    except RuntimeError as error:  # zipfile's way to ask for a password
        raise FormatError(
            "the archive is encrypted", where=path, remedy="unpack it, then give the folder"
        ) from error
    except PermissionError as error:
        raise StorageError("no permission to read the file", where=path) from error
    return scratch


def _tarred(path: Path) -> Iterator[IO[bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg():
                stream = archive.extractfile(member)
                if stream is not None:
                    yield stream


def _zipped(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as stream:
                    yield stream


def _copy(streams: Iterator[IO[bytes]], scratch: Path, where: str, max_bytes: int) -> None:
    """Write the members under numbers; count what is really written, not what is announced."""
    scratch.mkdir()
    left = max_bytes
    for number, stream in enumerate(streams):
        if number >= _MOST_MEMBERS:
            raise FormatError(f"the archive has more than {_MOST_MEMBERS} members", where=where)
        with open(scratch / f"{number:06d}.dcm", "wb") as file:
            while chunk := stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise FormatError(
                        f"the archive holds more than {max_bytes} bytes",
                        where=where,
                        remedy="raise max_bytes if that is meant",
                    )
                file.write(chunk)
