"""Which files a ``.bidsignore`` leaves out."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import NamedTuple

from ...errors import StorageError

__all__ = ["BidsIgnore"]


class _Pattern(NamedTuple):
    text: str
    anchored: bool
    keeps: bool


class BidsIgnore:
    """The patterns of a ``.bidsignore``, in a simple subset of the gitignore syntax.

    One pattern a line, ``#`` for comments, ``!`` for files to keep after all (the last
    pattern that matches decides), ``*``, ``?`` and ``[…]``, where ``*`` also crosses
    ``/``. A pattern with a slash at its start or inside is matched against the path from
    the root, any other against every part of the path; both take all below a folder.

    Parameters
    ----------
    path : str or Path
        The file; when it doesn't exist, nothing is left out.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise StorageError(
                f"the file can't be read ({error.strerror})", where=str(path)
            ) from error
        self._patterns: list[_Pattern] = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            keeps = pattern.startswith("!")
            pattern = pattern.removeprefix("!").removesuffix("/").removeprefix("**/")
            self._patterns.append(_Pattern(pattern.removeprefix("/"), "/" in pattern, keeps))

    def leaves_out(self, relative: str) -> bool:
        """Tell whether a path, relative to the root and with forward slashes, is left out."""
        parts = relative.split("/")
        verdict = False
        for pattern in self._patterns:
            if pattern.anchored:
                # A pattern may name the file or any folder above it.
                above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
            else:
                above = parts
            if any(fnmatch.fnmatchcase(text, pattern.text) for text in above):
                verdict = not pattern.keeps
        return verdict
