"""Image files: whether they are there, whether they are whole, and their data."""

from __future__ import annotations

import gzip
import math
import os
import re
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import (
    FormatError,
    GeometryError,
    MissingModalityError,
    PrecisionPainError,
    StorageError,
)

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["file_state", "load_image"]

# What git-annex leaves in place of a file: "/annex/objects/<key>", or on systems without
# links the target of the link, or the key alone ("SHA256E-s1234--0ab….nii.gz").
_ANNEX = re.compile(rb"(?:.*[/\\]annex[/\\]objects[/\\]|[A-Z][A-Z0-9_]*(?:-[smSC]\d+)*--)\S+\s*\Z")
_LFS = b"version https://git-lfs.github.com/spec/"
_POINTER_SIZE = 32 * 1024  # git-annex and Git LFS never write larger pointers
_DEFLATE_LIMIT = 1032  # no deflate stream grows by more than this factor
_FETCH = "fetch the file again and compare its checksum with the source"


def file_state(path: str | Path) -> tuple[str | None, int | None]:
    """Tell whether a file can be read, without opening it unless it is suspiciously small.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    reason : str or None
        None when the file can be read; else ``"no such file"``, ``"broken link"``,
        ``"git-annex pointer"``, ``"git-lfs pointer"``, ``"empty file"``,
        ``"not a file"`` or ``"no permission"``.
    size : int or None
        Bytes; None when the file isn't there or is only a pointer.

    Examples
    --------
    >>> file_state("sub-01_T1w.nii.gz")
    ('no such file', None)
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        try:
            target = os.readlink(path)
        except OSError:
            return "no such file", None
        annexed = "annex/objects/" in target.replace("\\", "/")
        return "git-annex pointer" if annexed else "broken link", None
    except PermissionError:
        return "no permission", None
    except OSError:
        return "broken link", None
    if not stat.S_ISREG(status.st_mode):
        return "not a file", None
    if status.st_size == 0:
        return "empty file", 0
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return "no permission", status.st_size
    if status.st_size <= _POINTER_SIZE:
        try:
            with open(path, "rb") as file:
                head = file.read(1024)
        except OSError:  # network disks refuse what the mode bits allow
            return "no permission", status.st_size
        if _ANNEX.match(head):
            return "git-annex pointer", None
        if head.startswith(_LFS):
            return "git-lfs pointer", None
    return None, status.st_size


def load_image(path: str | Path) -> SpatialImage:
    """Load an image with all its data, and refuse one that is damaged.

    nibabel alone reads a file whose checksum is wrong, or whose affine is not a number,
    without a word. Here the compressed stream is read to its end, so that its checksum is
    compared, and the affine must be one that maps voxels to space.

    Parameters
    ----------
    path : str or Path
        A NIfTI file or any other volume that nibabel knows.

    Returns
    -------
    nibabel.spatialimages.SpatialImage
        With its data in memory, as `numpy.asanyarray` of the file's ``dataobj`` gives them
        (the type on disk unless the header scales it), in the file's own orientation.

    Raises
    ------
    MissingModalityError
        When the file isn't there, or is only a pointer of git-annex or Git LFS.
    FormatError
        When the file is empty, cut short, damaged or no image.
    GeometryError
        When the affine is not finite or not invertible.
    StorageError
        When the file can't be read for want of permission or because the disk fails.

    Examples
    --------
    >>> import tempfile, nibabel, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> image = nibabel.Nifti1Image(np.ones((2, 3, 4), dtype=np.int16), np.eye(4))
    >>> image.to_filename(f"{folder}/sub-01_T1w.nii.gz")
    >>> load_image(f"{folder}/sub-01_T1w.nii.gz").shape
    (2, 3, 4)
    """
    path = os.fspath(path)
    reason, _ = file_state(path)
    if reason is not None:
        raise _unreadable(path, reason)
    image, expected = _open(path)
    kind = type(image)
    try:
        if path.endswith(".gz") and hasattr(kind, "from_stream"):
            with gzip.open(path) as stream:
                data = np.asanyarray(kind.from_stream(stream).dataobj)
                # The checksum stands at the very end, behind the last voxel.
                while stream.read(1 << 20):
                    pass
        else:
            data = np.array(image.dataobj)
    except EOFError as error:
        raise _cut_short(path, expected, compressed=True) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"the compressed data are damaged ({error})", where=path, remedy=_FETCH
        ) from error
    except OSError as error:
        # nibabel reports a short read as an OSError without an error number.
        if error.errno is None:
            raise _cut_short(path, expected, compressed=False) from error
        raise StorageError(f"the file can't be read ({error.strerror})", where=path) from error
    loaded = kind(data, image.affine, image.header)
    loaded.set_filename(path)
    return loaded


def _unreadable(path: str, reason: str) -> PrecisionPainError:
    if reason.endswith("pointer"):
        command = "datalad get" if "annex" in reason else "git lfs pull"
        return MissingModalityError(
            f"the file is a {reason}, the image itself was not fetched",
            where=path,
            remedy=f"run `{command}` in the dataset",
        )
    if reason in ("no such file", "broken link"):
        return MissingModalityError(f"expected an image, found {reason}", where=path)
    if reason == "no permission":
        return StorageError("no permission to read the file", where=path)
    return FormatError(f"expected an image, found {_article(reason)}", where=path, remedy=_FETCH)


def _article(reason: str) -> str:
    return "an empty file (0 bytes)" if reason == "empty file" else "something that is no file"


def _cut_short(path: str, expected: int, *, compressed: bool) -> FormatError:
    where = "in the middle of the compressed data" if compressed else "before the image data do"
    return FormatError(
        f"the file ends {where}: expected {expected} bytes of image data",
        where=path,
        remedy="fetch it again",
    )


def _open(path: str) -> tuple[Any, int]:
    """Read and check the header; return the image and the bytes that its data take."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, SpatialImage

    try:
        image = nibabel.load(path)
    except (ImageFileError, EOFError, zlib.error) as error:
        raise _no_image(path) from error
    except OSError as error:
        raise StorageError(f"the file can't be read ({error.strerror})", where=path) from error
    except HeaderDataError as error:
        raise FormatError(f"the header is damaged ({error})", where=path, remedy=_FETCH) from error
    except ValueError as error:
        # The one number of the header that nibabel computes with on loading is the affine.
        raise GeometryError(
            f"the header's orientation makes no sense ({error})", where=path
        ) from error
    if not isinstance(image, SpatialImage):
        raise FormatError(f"expected a volume, found a {type(image).__name__}", where=path)
    if any(length <= 0 for length in image.shape):
        raise FormatError(f"the header says shape {image.shape}", where=path, remedy=_FETCH)
    # Python integers: a damaged header may ask for more than 64 bits can count.
    expected = math.prod(image.shape) * image.header.get_data_dtype().itemsize
    source = image.file_map["image"].filename or path
    size = os.path.getsize(source)
    if source.endswith(".gz"):
        if expected > _DEFLATE_LIMIT * size:
            raise _cut_short(path, expected, compressed=True)
    elif not source.endswith((".bz2", ".zst", ".mgz")) and _offset(image) + expected > size:
        raise _cut_short(path, expected, compressed=False)
    _check_affine(image.affine, path)
    return image, expected


def _offset(image: Any) -> int:
    return int(getattr(image.dataobj, "offset", 0))


def _no_image(path: str) -> FormatError:
    """Say what a file is that nibabel doesn't recognise."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped and not path.endswith((".gz", ".mgz")):
        return FormatError(
            "the file is compressed, though its name doesn't end in .gz",
            where=path,
            remedy="rename it to .nii.gz",
        )
    if not zipped and path.endswith(".gz"):
        return FormatError(
            "the file is not compressed, though its name ends in .gz",
            where=path,
            remedy="rename it to .nii if it is an image, else fetch it again",
        )
    if zipped:
        try:
            with gzip.open(path) as stream:
                stream.read(1024)  # as much as nibabel looks at to recognise a format
        except EOFError:
            return FormatError(
                "the file ends in the middle of the compressed data, within its first kilobyte",
                where=path,
                remedy="fetch it again",
            )
        except (zlib.error, gzip.BadGzipFile) as error:
            return FormatError(
                f"the compressed data are damaged ({error})", where=path, remedy=_FETCH
            )
    elif os.path.getsize(path) < 348:  # the shorter of the two NIfTI headers
        return FormatError("the file ends within the header", where=path, remedy="fetch it again")
    return FormatError(
        "the header is not that of an image (wrong magic number)", where=path, remedy=_FETCH
    )


def _check_affine(affine: np.ndarray, path: str) -> None:
    if not np.isfinite(affine).all():
        raise GeometryError("the affine has values that are not finite", where=path)
    if np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise GeometryError("the affine is not invertible: its determinant is zero", where=path)
