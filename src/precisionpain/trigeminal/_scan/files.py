"""Files that appear together: written to a folder of their own first, then moved."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import FormatError, StorageError, list_some

__all__ = ["check_free", "staged"]


def check_free(targets: Sequence[Path], inputs: Sequence[Path], *, force: bool) -> None:
    """See that files may be written.

    Parameters
    ----------
    targets : sequence of Path
        What may be written, all in one folder, which needn't exist.
    inputs : sequence of Path
        What must stay.
    force : bool
        Whether files may be replaced.

    Raises
    ------
    FormatError
        When a file is there and may not be replaced, or is an input.
    StorageError
        When nothing can be written there.
    """
    folder = targets[0].parent.absolute()
    there_is = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not (there_is.is_dir() and os.access(there_is, os.W_OK | os.X_OK)):
        why = "no permission" if there_is.is_dir() else f"{str(there_is)!r} is no folder"
        raise _unwritable(folder, why)
    there = [path for path in targets if os.path.lexists(path)]
    inside = [path for path in there if any(_same(path, one) for one in inputs)]
    folders = [path for path in there if path.is_dir()]
    if inside or folders:
        raise FormatError(
            f"{'an input' if inside else 'a folder'} has the name of a file to be written",
            where=str((inside or folders)[0]),
            remedy="choose another --out",
        )
    if there and not force:
        raise FormatError(
            f"files are there already: {list_some([path.name for path in there], 2)}",
            where=str(there[0].parent),
            remedy="choose another --out, or replace them with --force",
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


@contextlib.contextmanager
def staged(out: Path, known: Sequence[str], *, last: str) -> Iterator[Path]:
    """Give a folder to write files to, which are moved to their place when all are written.

    Parameters
    ----------
    out : Path
        Where they go; is made when absent, and only stays when something is written.
    known : sequence of str
        Names that may be written; those of an earlier run that aren't written again are
        removed.
    last : str
        Moved last, so that its presence means that the others are there.

    Yields
    ------
    Path

    Raises
    ------
    StorageError
        When something can't be written; then nothing is, and what was there stays.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".segment-") as inner:
            folder, earlier = Path(inner, "new"), Path(inner, "earlier")
            folder.mkdir()
            earlier.mkdir()
            yield folder
            _swap(folder, out, earlier, known, last)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise _unwritable(out, error.strerror or str(error)) from error
    finally:
        if made:
            with contextlib.suppress(OSError):  # it holds something
                out.rmdir()


def _unwritable(folder: Path, why: str) -> StorageError:
    return StorageError(
        f"the files can't be written ({why})",
        where=str(folder),
        remedy="choose a folder that you may write to, with enough space",
    )


def _swap(new: Path, out: Path, earlier: Path, known: Sequence[str], last: str) -> None:
    """Put new files in the place of earlier ones, or leave all as it was."""
    names = sorted((path.name for path in new.iterdir()), key=lambda name: name == last)
    moved: list[tuple[Path, Path]] = []
    try:
        for name in dict.fromkeys([last, *known]):
            if os.path.lexists(out / name):
                os.replace(out / name, earlier / name)
                moved.append((out / name, earlier / name))
        for name in names:
            os.replace(new / name, out / name)
            moved.append((new / name, out / name))
    except OSError:
        for source, target in reversed(moved):
            os.replace(target, source)
        raise
