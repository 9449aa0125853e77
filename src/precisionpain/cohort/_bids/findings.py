"""What a walk through a BIDS tree comes across, counted for the provenance."""

from __future__ import annotations

import os
from typing import Any

from ...errors import list_some

__all__ = ["Findings"]

# Kind → table and text, in the order of the provenance.
_KINDS = {
    "followup": ("visits", "subject folders read as the visit 'followup' of the same person"),
    "orphan": (
        "visits",
        "subject folders named like a follow-up of nobody here, kept as people of their own",
    ),
    "folder": (
        "subjects",
        "subject or session folders whose names break the BIDS rules, left out",
    ),
    "malformed": ("images", "files whose names break the BIDS rules, left out"),
    "misplaced": ("images", "images outside of a data type folder, left out"),
    "ignored": ("images", "images left out by .bidsignore"),
    "hidden": ("images", "hidden files, left out"),
    "absent": ("images", "images that can't be read, listed as not present"),
    "expected": ("images", "images of which only a sidecar is there, listed as not present"),
    "twice": ("images", "images that are there both as .nii and as .nii.gz, both listed"),
    "gradients": ("images", "diffusion images without bval or bvec"),
    "broken": ("images", "sidecars that can't be read"),
    "other folder": ("images", "files in folders of other data types, not read"),
    "unknown folder": ("images", "folders that BIDS doesn't know, not read"),
    "other file": ("images", "files of other types beside the images, not read"),
    "table": ("measurements", "sessions.tsv or scans.tsv that can't be read"),
    "stray table": (
        "measurements",
        "sessions.tsv or scans.tsv where BIDS doesn't expect them, not read",
    ),
}
_LOST = ("folder", "malformed", "misplaced", "table")


class Findings:
    """Paths by the kind of thing that was found with them.

    Parameters
    ----------
    top : str
        The dataset; paths are shown relative to it.
    """

    def __init__(self, top: str) -> None:
        self._top = top
        self._items: dict[str, list[str]] = {kind: [] for kind in _KINDS}

    def relative(self, path: str) -> str:
        """Return a path relative to the dataset, with forward slashes."""
        return path.removeprefix(self._top + os.sep).replace(os.sep, "/")

    def note(self, kind: str, path: str, why: str = "") -> None:
        """Count a path under a kind, with the reason where it is its own."""
        shown = self.relative(path)
        self._items[kind].append(f"{shown} ({why})" if why else shown)

    @property
    def lost(self) -> list[str]:
        """What the user may have wanted, and won't get."""
        return [item for kind in _LOST for item in self._items[kind]]

    def provenance(self) -> list[dict[str, Any]]:
        """Return one entry per kind that was found."""
        return [
            {
                "step": "scan",
                "table": table,
                "column": None,
                "n": len(self._items[kind]),
                "detail": f"{text}: {list_some(self._items[kind], 20)}",
            }
            for kind, (table, text) in _KINDS.items()
            if self._items[kind]
        ]
