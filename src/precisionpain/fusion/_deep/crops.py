"""Boxes round both nerves of a person, as if the painful one were on the left."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cohort import Cohort
from ...errors import (
    AlignmentError,
    DataWarning,
    MissingModalityError,
    PrecisionPainError,
    list_some,
)
from ...trigeminal._nerve_scans import Scans, find_scans
from ...trigeminal._segmentation.grids import Grid, normalise, resample
from ...trigeminal._segmentation.scans import Scan, read_labels, read_scan
from ...trigeminal.anatomy import SIDES, Label

__all__ = ["CropSettings", "nerve_crops"]

# Two boxes of 28 × 28 × 24 voxels take 150 kB, so this is about 300 MB.
_MOST_KEPT = 2_000
_LATERAL_MM = 15.0
"""From the midline to the middle of a nerve, where no label says so."""
_LEAST_CONFIDENCE = 0.5

_KEPT: collections.OrderedDict[Any, NDArray[np.float32]] = collections.OrderedDict()
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class CropSettings:
    """What is cut out of a scan.

    Parameters
    ----------
    box_mm : tuple of three floats
        Size along left-right, back-front and down-up.
    spacing_mm : float
        Of the voxels.
    margin : int
        Voxels more on every side, to be shifted in.
    max_spacing_mm : float
        Coarser scans are refused.
    """

    box_mm: tuple[float, float, float]
    spacing_mm: float
    margin: int
    max_spacing_mm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of a box, margin included."""
        x, y, z = (max(1, round(s / self.spacing_mm)) + 2 * self.margin for s in self.box_mm)
        return x, y, z


def nerve_crops(
    X: Cohort,
    settings: CropSettings,
    *,
    image: str,
    labels: str | None,
    visit: str | None,
    run: int | None,
    entities: Mapping[str, Any],
    allow: Sequence[str],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut the boxes round the nerves of all who have a scan and a painful side.

    Parameters
    ----------
    X : Cohort
        People, n of them.
    settings : CropSettings
    image : str
        Contrast of the scans.
    labels : str or None
        Contrast of label images; None finds the cistern in the scan.
    visit, run, entities
        Which scans.
    allow : sequence of str
        Visits that may count although they lie after the landmark.

    Returns
    -------
    crops : numpy.ndarray of float32, shape (m, 2, x, y, z)
        Of those who have them, in order: the painful nerve and the other one, axes as RAS+, a
        right one mirrored. Mean 0 and SD 1 over both boxes.
    has : numpy.ndarray of bool, shape (n,)
        Who these are.

    Raises
    ------
    MissingModalityError
        When the cohort has no image of the contrast.
    AlignmentError
        When several scans of one person match.

    Warns
    -----
    DataWarning
        When scans couldn't be read; these people then lack the block.
    """
    seen = X.known_at_index(allow=allow)
    scans = find_scans(
        seen, labels=labels, probabilities=None, image=image, visit=visit, run=run,
        entities=entities, channels=() if labels is None else (image,),
    )  # fmt: skip
    _check_one_each(scans)
    sides = X.subjects.get("affected_side")
    boxes: dict[str, NDArray[np.float32]] = {}
    failed: dict[str, str] = {}
    for key, person in scans.table["subject_id"].items():
        side = None if sides is None else sides[person]
        if side not in SIDES:
            continue
        try:
            images = scans.cohort.subject(str(key)).images
            files = dict(zip(images["contrast"], images["path"], strict=True))
            boxes[person] = _kept(files, labels is not None, str(side), settings)
        except PrecisionPainError as error:
            failed[person] = type(error).__name__
    if failed:
        warnings.warn(
            f"the scans of {len(failed)} people can't be used and count as missing "
            f"({list_some(sorted(set(failed.values())))}): {list_some(failed)}",
            DataWarning,
            stacklevel=4,
        )
    has = np.array([person in boxes for person in X.index], dtype=bool)
    if not has.any():
        return np.zeros((0, 2, *settings.shape), dtype=np.float32), has
    return np.stack([boxes[person] for person in X.index[has]]), has


def _check_one_each(scans: Scans) -> None:
    several = scans.table["subject_id"].duplicated(keep=False)
    if several.any():
        rows = scans.table[several]
        which = [f"{c}={list_some(rows[c].dropna().unique())}" for c in ("visit", "run")]
        raise AlignmentError(
            f"several scans match of {list_some(rows['subject_id'].unique())}",
            remedy=f"say which by visit or run: {', '.join(which)}",
        )


def _kept(
    files: Mapping[str, str], labelled: bool, side: str, settings: CropSettings
) -> NDArray[np.float32]:
    """Return the boxes of a scan, cut once as long as its files stay as they are."""
    try:
        states = [os.stat(path) for path in files.values()]
        state = [(s.st_mtime_ns, s.st_size) for s in states]
        key = (tuple(sorted(files.items())), tuple(state), labelled, side, settings)
    except OSError:
        return _cut(files, labelled, side, settings)  # says what is wrong
    with _LOCK:
        if key in _KEPT:
            _KEPT.move_to_end(key)
            return _KEPT[key]
    found = _cut(files, labelled, side, settings)
    with _LOCK:
        _KEPT[key] = found
        while len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    return found


def _cut(
    files: Mapping[str, str], labelled: bool, side: str, settings: CropSettings
) -> NDArray[np.float32]:
    scan = read_scan(files["channel_0" if labelled else "image"], 1, settings.max_spacing_mm)
    centres = _labelled(files["labels"], scan) if labelled else _localised(scan)
    boxes = []
    for one in (side, *(other for other in SIDES if other != side)):
        box = resample(scan.channels[0], scan.grid, _box(scan.grid, centres[one], settings))
        boxes.append(box[::-1] if one == "right" else box)
    return normalise(np.stack(boxes))


def _box(grid: Grid, centre: NDArray[np.float64], settings: CropSettings) -> Grid:
    """Return the grid of a box whose axes are those of the scan."""
    axes = grid.affine[:3, :3] / grid.spacing * settings.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((np.array(settings.shape) - 1) / 2)
    return Grid(settings.shape, affine)


def _labelled(source: Any, scan: Scan) -> dict[str, NDArray[np.float64]]:
    """Return the middle of each nerve, RAS+ mm."""
    values = read_labels(source, scan, [label.value for label in Label])
    centres: dict[str, NDArray[np.float64]] = {}
    for side in SIDES:
        voxels = np.argwhere(values == Label.nerve(side))
        if not len(voxels):
            raise MissingModalityError(f"the label image has no {side} nerve")
        centres[side] = scan.grid.affine[:3, :3] @ voxels.mean(axis=0) + scan.grid.affine[:3, 3]
    return centres


def _localised(scan: Scan) -> dict[str, NDArray[np.float64]]:
    """Return about the middle of each nerve, from the place of the cistern, RAS+ mm."""
    from ...trigeminal._segmentation.localise import find_cistern

    centre, confidence = find_cistern(_localiser(), scan.channels[0], scan.grid)
    if confidence < _LEAST_CONFIDENCE:
        raise MissingModalityError("the cistern of the trigeminal nerves was not found")
    aside = np.array([_LATERAL_MM, 0.0, 0.0])
    return {"left": centre - aside, "right": centre + aside}


@functools.cache
def _localiser() -> Any:
    from ...trigeminal import TrigeminalSegmenter

    return TrigeminalSegmenter.load_default(device="cpu").localiser_
