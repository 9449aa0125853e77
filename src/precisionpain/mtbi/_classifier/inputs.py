"""From a cohort to the slabs that a network sees, each read from disk once."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import (
    AlignmentError,
    FormatError,
    GeometryError,
    MissingModalityError,
    PrecisionPainError,
    list_some,
)
from ...imaging.files import load_image
from ..scaling import min_max
from ..volumes import Plane, slab
from .grid import slab_affine

__all__ = ["SlabCache", "find_scans", "read_slabs"]

# Columns that say nothing of which image is meant.
_FILE = ("path", "present", "reason", "bytes", "sidecar", "sha256", "bval", "bvec", "subject_id")


class SlabCache:
    """Slabs that were read, the least recently used first, up to a number of bytes.

    A file that was written anew is read anew: path, size and time of change are the key.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._kept: collections.OrderedDict[Any, tuple[np.ndarray, np.ndarray]] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def get(self, path: str, plane: Plane, n_slices: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the slab of a file, scaled to 0 to 1 by its whole image, and its affine."""
        try:
            state = os.stat(path)
            key = (os.path.realpath(path), state.st_mtime_ns, state.st_size, plane, n_slices)
        except OSError:
            key = None  # load_image says what is wrong
        with self._lock:
            if key is not None and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = _read(path, plane, n_slices)
        with self._lock:
            if key is not None and key not in self._kept:
                self._kept[key] = found
                self.size += found[0].nbytes
            while self.size > self.limit:
                _, (oldest, _) = self._kept.popitem(last=False)
                self.size -= oldest.nbytes
        return found

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.size = 0


# About a thousand people in one plane, or 370 in all three.
CACHE = SlabCache(1 << 30)


def read_slabs(
    cohort: Cohort,
    *,
    plane: Plane,
    n_slices: int,
    contrast: str,
    visit: str | None,
    run: int | None,
    entities: Mapping[str, Any] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the slabs of all people.

    Parameters
    ----------
    cohort : Cohort
        People, each with one scan on the grid of SPM12.
    plane, n_slices
        As `slab` takes them.
    contrast, visit, run, entities
        Which image of each.

    Returns
    -------
    slabs : numpy.ndarray of float32, shape (n, depth, height, width)
        In the order of ``cohort.index``; each image is scaled to 0 to 1.
    affine : numpy.ndarray, shape (4, 4)
        From voxels of the slab to mm of MNI space.

    Raises
    ------
    MissingModalityError
        When people lack the scan.
    AlignmentError
        When several scans of one person match.
    GeometryError
        When a scan isn't on SPM's grid, or the scans are on different ones.
    FormatError
        When a scan is damaged, constant or not finite.
    """
    paths = find_scans(cohort, contrast=contrast, visit=visit, run=run, entities=entities)
    slabs: list[np.ndarray] = []
    first: np.ndarray | None = None
    for person, path in paths.items():
        where = f"subject {str(person)!r}, {contrast}"
        try:
            values, affine = CACHE.get(path, plane, n_slices)
        except PrecisionPainError as error:
            # A path may hold more than the person's key.
            raise type(error)(error.what, where=where, remedy=error.remedy) from error
        if first is None:
            first = affine
        if not np.allclose(affine, first, atol=0.05):
            here, there = (float(np.linalg.norm(each[:3, 0])) for each in (affine, first))
            raise GeometryError(
                f"the scans are on different grids: voxels of {here:g} mm here, and of "
                f"{there:g} mm for {str(paths.index[0])!r}",
                where=where,
                remedy="bring all scans to one grid first, with normalize_t1",
            )
        slabs.append(values)
    assert first is not None
    return np.stack(slabs), first


def find_scans(
    cohort: Cohort,
    *,
    contrast: str,
    visit: str | None,
    run: int | None,
    entities: Mapping[str, Any] | None,
) -> pd.Series:
    """Find the one file of each person; see `read_slabs`.

    Returns
    -------
    pandas.Series of str
        Paths by subject id, in the order of the cohort.
    """
    if not isinstance(cohort, Cohort) or cohort.unit != "subject":
        found = f"a cohort of {cohort.unit}s" if isinstance(cohort, Cohort) else type(cohort)
        raise FormatError(f"X is a Cohort of subjects, found {getattr(found, '__name__', found)}")
    if not len(cohort):
        raise FormatError("expected people, found a cohort of none")
    images = cohort.images
    images = images[images["contrast"] == contrast]
    wanted = {"visit": visit, "run": run, **(entities or {})}
    for name, value in wanted.items():
        if value is None:
            continue
        if name not in images:
            raise MissingModalityError(
                f"cohort.images has no column {name!r}",
                remedy=f"columns are {list_some(images, 20)}",
            )
        images = images[(images[name] == value).fillna(False).astype(bool)]
    people = list(cohort.index)
    absent = [one for one in people if one not in set(images["subject_id"])]
    chosen = {name: value for name, value in wanted.items() if value is not None}
    what = f"{contrast} scan" + (f" with {chosen}" if chosen else "")
    if absent:
        raise MissingModalityError(
            f"{len(absent)} of {len(people)} people have no {what}: {list_some(absent)}",
            remedy=f"keep those who have one: cohort.require({contrast!r}); contrasts are "
            f"{list_some(sorted(cohort.images['contrast'].dropna().unique()), 9) or 'none'}",
        )
    twice = images[images["subject_id"].duplicated(keep=False)]
    if len(twice):
        telling = [c for c in twice if c not in _FILE and twice[c].astype(str).nunique() > 1]
        which = [f"{c}={list_some(twice[c].drop_duplicates().tolist())}" for c in telling]
        raise AlignmentError(
            f"several images match as {what} of {list_some(twice['subject_id'].unique())}",
            remedy=f"say which by visit, run or entities: {', '.join(which)}"
            if which
            else "list only one",
        )
    gone = images[~images["present"]]
    if len(gone):
        reasons: Any = gone["reason"].dropna().unique() if "reason" in gone else []
        why = f" ({list_some(reasons)})" if len(reasons) else ""
        raise MissingModalityError(
            f"the {what} of {len(gone)} people is listed but not on disk{why}: "
            f"{list_some(gone['subject_id'])}",
            remedy="fetch the files, then read the cohort again",
        )
    return images.set_index("subject_id")["path"].loc[people]


def _read(path: str, plane: Plane, n_slices: int) -> tuple[np.ndarray, np.ndarray]:
    image = load_image(path)
    affine = slab_affine(image.shape, image.affine, plane, n_slices)
    scaled = type(image)(min_max(np.asanyarray(image.dataobj)), image.affine)
    values = slab(scaled, plane, n_slices)
    values.flags.writeable = False
    return values, affine
