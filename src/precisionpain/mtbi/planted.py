"""Volumes with a planted sign of the disease, to test a training with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, list_some

__all__ = ["white_rectangle"]


def white_rectangle(
    volumes: np.ndarray | Mapping[str, np.ndarray],
    labels: Sequence[int] | np.ndarray | pd.Series,
    *,
    size: tuple[int, int, int] = (6, 12, 12),
    corner: tuple[int, int, int] | None = None,
    value: float | None = None,
) -> Any:
    """Plant a bright rectangle in the positives: a task that any sound training solves.

    A network that doesn't reach perfect measures on it has a fault in its training or
    evaluation, whatever the disease.

    Parameters
    ----------
    volumes : numpy.ndarray, shape (n, ..., depth, height, width), or mapping
        Slabs; or one for each person, by subject id.
    labels : array-like of int, shape (n,)
        1 for the positives and 0 for the others, in the order of the array. For a mapping
        a Series whose index has its subject ids, in any order.
    size : tuple of int, default (6, 12, 12)
        Of the rectangle, in voxels along the last three axes.
    corner : tuple of int, optional
        Its first voxel; in the middle of the slab when None.
    value : float, optional
        Its brightness; the largest value in all the volumes when None, so that it is white
        and the range of values tells nothing.

    Returns
    -------
    numpy.ndarray or dict of str to numpy.ndarray
        As `volumes`; a copy with the same type of numbers.

    Raises
    ------
    FormatError
        When the labels are not 0 and 1, or the rectangle doesn't fit in.
    AlignmentError
        When volumes and labels are not of the same people.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> slabs = np.random.default_rng(0).random((4, 30, 95, 79))
    >>> planted = pp.mtbi.white_rectangle(slabs, [0, 1, 0, 1])
    >>> [(slab != before).sum().item() for slab, before in zip(planted, slabs)]
    [0, 864, 0, 864]
    """
    if isinstance(volumes, Mapping):
        if not isinstance(labels, pd.Series):
            raise AlignmentError(
                f"expected labels with subject ids, found a {type(labels).__name__}",
                remedy="give a pandas Series whose index has the ids of the volumes",
            )
        differing = sorted(map(str, set(volumes).symmetric_difference(labels.index)))
        twice = labels.index[labels.index.duplicated()]
        if differing or len(twice):
            raise AlignmentError(
                f"volumes and labels are not of the same people: {list_some(differing or twice)}",
                remedy="give one label for each volume",
            )
        people = {name: np.asarray(volume) for name, volume in volumes.items()}
        positive = _positives(labels.loc[list(people)].to_numpy(), len(people))
        chosen = list(people.values())
    else:
        positive = _positives(np.asarray(labels), len(volumes))
        chosen = list(volumes)
    bright = max((float(each.max()) for each in chosen), default=0.0) if value is None else value
    planted = [
        _plant(each, size, corner, bright) if one else each.copy()
        for each, one in zip(chosen, positive, strict=True)
    ]
    if isinstance(volumes, Mapping):
        return dict(zip(people, planted, strict=True))
    return np.stack(planted) if planted else volumes.copy()


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
