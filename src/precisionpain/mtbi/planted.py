"""Volumes with a planted sign of the disease, to test a training with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import (
    AlignmentError,
    FormatError,
    GeometryError,
    MissingModalityError,
    StorageError,
    list_some,
)

__all__ = ["white_rectangle"]


def white_rectangle(
    volumes: np.ndarray | Mapping[str, np.ndarray] | Cohort,
    labels: Sequence[int] | np.ndarray | pd.Series | str,
    *,
    size: tuple[int, int, int] = (6, 12, 12),
    corner: tuple[int, int, int] | None = None,
    value: float | None = None,
    out: str | Path | None = None,
    contrast: str = "T1w",
    visit: str | None = None,
) -> Any:
    """Plant a bright rectangle in the positives: a task that any sound training solves.

    A network that doesn't reach perfect measures on it has a fault in its training or
    evaluation, whatever the disease.

    Parameters
    ----------
    volumes : numpy.ndarray, shape (n, ..., depth, height, width), mapping or Cohort
        Slabs; or one for each person, by subject id; or people with scans.
    labels : array-like of int, shape (n,), or str
        1 for the positives and 0 for the others, in the order of the array. For a mapping
        and a Cohort a Series whose index has the subject ids, in any order; for a Cohort
        also the name of an outcome.
    size : tuple of int, default (6, 12, 12)
        Of the rectangle, in voxels along the last three axes; in the scans of a Cohort
        along the axes of an axial slab: up, to the front, to the left.
    corner : tuple of int, optional
        Its first voxel; in the middle of the slab or scan when None, which on the grid of
        SPM12 lies in the middle slices of every plane.
    value : float, optional
        Its brightness. When None the largest value in all the volumes, so that it is white
        and the range of values tells nothing; scans of a Cohort have no common scale, and
        each takes its own largest value.
    out : str or Path, optional
        For a Cohort: the folder to write the new scans to.
    contrast : str, default "T1w"
        Of the scans of a Cohort.
    visit : str, optional
        Of the scans of a Cohort; all visits when None.

    Returns
    -------
    numpy.ndarray, dict of str to numpy.ndarray, or Cohort
        As `volumes`; a copy with the same type of numbers. A Cohort has the new files in
        place of the old. The scans of the negatives are written anew too, so that nothing
        but the rectangle tells them apart.

    Raises
    ------
    FormatError
        When the labels are not 0 and 1, or the rectangle doesn't fit in.
    AlignmentError
        When volumes and labels are not of the same people.
    MissingModalityError
        When nobody has such a scan, or one isn't on disk.
    GeometryError
        When a scan hasn't three axes.
    StorageError
        When a scan can't be written, or would take the place of the old one.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> slabs = np.random.default_rng(0).random((4, 30, 95, 79))
    >>> planted = pp.mtbi.white_rectangle(slabs, [0, 1, 0, 1])
    >>> [(slab != before).sum().item() for slab, before in zip(planted, slabs)]
    [0, 864, 0, 864]
    """
    if isinstance(volumes, Cohort):
        if out is None:
            raise FormatError(
                "expected a folder for the new scans, found none",
                where="out",
                remedy="say out='a/new/folder'",
            )
        people = [str(name) for name in volumes.subject_ids]
        chosen = volumes.outcome(labels) if isinstance(labels, str) else labels
        ill = dict(zip(people, _by_id(people, chosen), strict=True))
        how = {"size": size, "corner": corner, "value": value}
        return _in_scans(volumes, ill, Path(out), contrast, visit, how)
    if isinstance(volumes, Mapping):
        slabs = {name: np.asarray(volume) for name, volume in volumes.items()}
        planted = _in_arrays(list(slabs.values()), _by_id(slabs, labels), size, corner, value)
        return dict(zip(slabs, planted, strict=True))
    positive = _positives(np.asarray(labels), len(volumes))
    planted = _in_arrays(list(volumes), positive, size, corner, value)
    return np.stack(planted) if planted else volumes.copy()


def _by_id(people: Iterable[str], labels: Any) -> np.ndarray:
    """Return the labels of these people, in their order."""
    people = list(people)
    if not isinstance(labels, pd.Series):
        raise AlignmentError(
            f"expected labels with subject ids, found a {type(labels).__name__}",
            remedy="give a pandas Series whose index has the ids of the volumes",
        )
    differing = sorted(map(str, set(people).symmetric_difference(labels.index)))
    twice = labels.index[labels.index.duplicated()]
    if differing or len(twice):
        raise AlignmentError(
            f"volumes and labels are not of the same people: {list_some(differing or twice)}",
            remedy="give one label for each volume",
        )
    return _positives(labels.loc[people].to_numpy(), len(people))


def _in_arrays(
    volumes: list[np.ndarray],
    positive: np.ndarray,
    size: Sequence[int],
    corner: Sequence[int] | None,
    value: float | None,
) -> list[np.ndarray]:
    bright = max((float(each.max()) for each in volumes), default=0.0) if value is None else value
    return [
        _plant(each, size, corner, bright) if one else each.copy()
        for each, one in zip(volumes, positive, strict=True)
    ]


def _in_scans(
    cohort: Cohort,
    positive: Mapping[str, bool],
    out: Path,
    contrast: str,
    visit: str | None,
    how: Mapping[str, Any],
) -> Cohort:
    """Write the scans anew, and return the cohort with them in place of the old ones."""
    from ..imaging.files import load_image

    images = cohort.images
    chosen = images["contrast"] == contrast
    if visit is not None:
        chosen &= images["visit"] == visit
    rows = images[chosen]
    if rows.empty or not rows["present"].all():
        lacking = rows.loc[~rows["present"].astype(bool), "subject_id"].tolist()
        raise MissingModalityError(
            f"{contrast} is not on disk for {list_some(lacking)}"
            if lacking
            else f"nobody has an image {contrast!r}" + (f" at {visit!r}" if visit else ""),
            remedy="take the people who have one",
        )
    written: dict[Any, Path] = {}
    taken: set[Path] = set()
    for index, row in rows.iterrows():
        name = Path(row["path"]).name.split(".nii")[0]
        target = out / quote(str(row["subject_id"]), safe="") / f"{name}.nii.gz"
        for again in range(2, len(rows) + 2):
            if target not in taken:
                break
            target = target.with_name(f"{name}-{again}.nii.gz")
        taken.add(target)
        if target.resolve() == Path(row["path"]).resolve():
            raise StorageError(
                "the new scan would take the place of the old one",
                where=str(target),
                remedy="name another folder",
            )
        image = load_image(row["path"])
        if len(image.shape) != 3:
            raise GeometryError(
                f"expected a scan of three axes, found shape {image.shape}", where=row["path"]
            )
        _write(_in_image(image, how if positive[str(row["subject_id"])] else None), target)
        written[index] = target
    images.loc[chosen, "path"] = pd.Series({index: str(path) for index, path in written.items()})
    if "bytes" in images:
        sizes = {index: path.stat().st_size for index, path in written.items()}
        images.loc[chosen, "bytes"] = pd.Series(sizes)
    images = images.assign(**{
        name: images[name].where(~chosen, None) for name in ("sidecar", "sha256") if name in images
    })  # fmt: skip
    entry = {
        "step": "plant", "table": "images", "column": contrast, "n": len(rows),
        "detail": f"a white rectangle in the {contrast} of {sum(positive.values())} people",
    }  # fmt: skip
    return cohort._changed(images=images, provenance=[*cohort.provenance.to_dict("records"), entry])


def _in_image(image: Any, how: Mapping[str, Any] | None) -> Any:
    """Return an image from right to left, to the front and up, with or without the rectangle."""
    import nibabel
    from nibabel import orientations

    turn = orientations.ornt_transform(
        orientations.io_orientation(image.affine), orientations.axcodes2ornt(tuple("LAS"))
    )
    image = image.as_reoriented(turn)
    data = np.asanyarray(image.dataobj)
    if how is not None:
        value = float(np.nanmax(data)) if how["value"] is None else how["value"]
        slices = data.transpose(2, 1, 0)  # as in an axial slab
        data = _plant(slices, how["size"], how["corner"], value).transpose(2, 1, 0)
    stored = data.astype(np.float32) if data.dtype == np.float64 else data
    new = nibabel.Nifti1Image(np.ascontiguousarray(stored), image.affine)
    for kind in ("qform", "sform"):
        code = int(image.header[f"{kind}_code"]) if f"{kind}_code" in image.header else 2
        getattr(new, f"set_{kind}")(image.affine, code or 2)
    return new


def _write(image: Any, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        image.to_filename(target)
    except OSError as error:
        raise StorageError(
            f"a scan can't be written ({error.strerror or error})",
            where=str(target),
            remedy="name a folder that you may write to, with enough space",
        ) from error


def _plant(
    volume: np.ndarray, size: Sequence[int], corner: Sequence[int] | None, value: float
) -> np.ndarray:
    shape = volume.shape[-3:]
    if volume.ndim < 3 or len(size) != 3 or min(size) < 1:
        raise FormatError(
            f"expected volumes of three axes or more and a size of three positive numbers, found "
            f"{volume.shape} and {tuple(size)}"
        )
    start = (
        [(length - extent) // 2 for length, extent in zip(shape, size, strict=True)]
        if corner is None
        else list(corner)
    )
    end = [first + extent for first, extent in zip(start, size, strict=True)]
    if min(start) < 0 or any(last > length for last, length in zip(end, shape, strict=True)):
        raise FormatError(
            f"a rectangle of {tuple(size)} voxels from {tuple(start)} doesn't fit into {shape}",
            remedy="choose a smaller size, or another corner",
        )
    planted = volume.copy()
    depth, height, width = (slice(*ends) for ends in zip(start, end, strict=True))
    planted[..., depth, height, width] = value
    return planted


def _positives(labels: np.ndarray, n: int) -> np.ndarray:
    if labels.shape != (n,):
        raise AlignmentError(f"expected one label for each of {n} volumes, found {labels.shape}")
    values = labels.tolist()
    if not all(value in (0, 1) for value in values):
        raise FormatError(
            f"expected labels 0 and 1, found {list_some(sorted(set(map(str, values))))}",
            where="labels",
        )
    return labels.astype(bool)
