"""Discretised voxels of a mask as a list, and who is whose neighbour, run or zone."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["Grid", "Tally", "half_offsets"]

Ints = NDArray[np.integer[Any]]
Offset = tuple[int, int, int]

_DENSE = 1 << 22  # cells up to which counting in a table beats sorting


def half_offsets(distances: Sequence[int], *, planar: bool) -> list[Offset]:
    """Return one offset of each opposite pair at the given Chebyshev distances.

    Distance 1 gives the 13 directions of a volume, or the four of a slice.
    """
    reach = range(-max(distances), max(distances) + 1)
    along = (0,) if planar else reach
    return [
        (s, a, b)
        for s, a, b in itertools.product(along, reach, reach)
        if (s, a, b) > (0, 0, 0) and max(abs(s), abs(a), abs(b)) in distances
    ]


class Tally:
    """Counts how often each combination of keys occurs; each key is below its size."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = [int(size) for size in sizes]
        space = math.prod(self._sizes)
        self._table = np.zeros(space, dtype=np.int64) if space <= _DENSE else None
        self._codes: list[Ints] = []

    def add(self, *keys: Ints | int) -> None:
        """Count more combinations; a key may be one number for all."""
        code: Ints | int = keys[0]
        for key, size in zip(keys[1:], self._sizes[1:], strict=True):
            code = code * size + key
        if self._table is None:
            self._codes.append(np.asarray(code))
        else:
            self._table += np.bincount(code, minlength=len(self._table))

    def cells(self) -> tuple[list[Ints], Ints]:
        """Return the combinations that occur, sorted by the first key, and their counts."""
        if self._table is None:
            code, counts = np.unique(np.concatenate(self._codes), return_counts=True)
        else:
            code = np.flatnonzero(self._table)
            counts = self._table[code]
        keys: list[Ints] = []
        for size in reversed(self._sizes[1:]):
            code, key = np.divmod(code, size)
            keys.append(key)
        return [code, *reversed(keys)], counts


class Grid:
    """The voxels of a mask with their grey levels, padded so that neighbours are a shift away.

    Parameters
    ----------
    levels : ndarray of shape (slices, rows, columns), int
        Grey level, 1 or more inside the mask, 0 outside.
    n_levels : int
        Number of grey levels of the discretisation, present or not.
    border : ndarray of shape (slices, rows, columns), bool
        Mask whose edge zone distances are measured from.
    """

    def __init__(self, levels: Ints, n_levels: int, border: NDArray[np.bool_], reach: int) -> None:
        self.n_levels = n_levels
        self._border = border
        self._reach = reach
        self._shape = tuple(size + 2 * reach for size in levels.shape)
        self._flat = np.pad(levels.astype(np.int32), reach).ravel()
        self._where = np.flatnonzero(self._flat)
        self.levels: Ints = self._flat[self._where].astype(np.int64)
        self.values: Ints
        self.values, self.ranks = np.unique(self.levels, return_inverse=True)
        present, self.slices = np.unique(
            self._where // (self._shape[1] * self._shape[2]), return_inverse=True
        )
        self.n_slices = len(present)
        # Number of each voxel in the list, -1 outside the mask.
        self._number = np.full(self._flat.size, -1, dtype=np.int32)
        self._number[self._where] = np.arange(len(self), dtype=np.int32)

    def __len__(self) -> int:
        return len(self._where)

    @property
    def longest(self) -> int:
        """Bound of the length of a run."""
        return max(self._shape)

    def _shift(self, offset: Offset) -> int:
        return (offset[0] * self._shape[1] + offset[1]) * self._shape[2] + offset[2]

    def pairs(self, offsets: Sequence[Offset]) -> Iterator[tuple[Ints, Ints]]:
        """Yield, offset by offset, voxels and their neighbours as numbers into the list."""
        for offset in offsets:
            other = self._number[self._where + self._shift(offset)]
            voxel = np.flatnonzero(other >= 0)
            yield voxel, other[voxel]

    def neighbour_levels(self, offsets: Sequence[Offset]) -> Iterator[Ints]:
        """Yield the level of each voxel's neighbour, to either side; 0 outside the mask."""
        for offset in offsets:
            for shift in (self._shift(offset), -self._shift(offset)):
                yield self._flat[self._where + shift]

    def runs(self, offsets: Sequence[Offset]) -> Iterator[tuple[Ints, Ints]]:
        """Yield, offset by offset, the first voxel and the length of all runs of one level.

        Voxels a shift apart are put side by side; the padding keeps one line from running
        into the next.
        """
        for offset in offsets:
            shift = self._shift(offset)
            length = -(-self._flat.size // shift)
            line = np.zeros(length * shift, dtype=self._flat.dtype)
            line[: self._flat.size] = self._flat
            line = line.reshape(length, shift).T.ravel()
            starts = np.flatnonzero(line[1:] != line[:-1]) + 1
            inside = line[starts] > 0
            # The padding ends every run, so that the next start is never missing.
            lengths = np.diff(starts, append=line.size)[inside]
            column, row = np.divmod(starts[inside], length)
            yield self._number[row * shift + column], lengths

    @functools.lru_cache(maxsize=2)  # noqa: B019  (a Grid lives as long as one call)
    def zones(self, *, planar: bool) -> tuple[Ints, Ints, Ints]:
        """Return first voxel, size and distance to the edge of all zones of equal level."""
        edges = []
        for voxel, other in self.pairs(half_offsets((1,), planar=planar)):
            same = self.levels[voxel] == self.levels[other]
            edges.append((voxel[same], other[same]))
        source, target = (np.concatenate(part) for part in zip(*edges, strict=True))
        graph = coo_array(
            (np.ones(len(source), dtype=np.int8), (source, target)), shape=(len(self), len(self))
        )
        n_zones, zone = connected_components(graph, directed=False)
        _, first = np.unique(zone, return_index=True)
        distance = np.full(n_zones, np.iinfo(np.int64).max)
        np.minimum.at(distance, zone, self._edge_distance(planar=planar))
        return first, np.bincount(zone), distance

    def _edge_distance(self, *, planar: bool) -> Ints:
        """Count the steps over voxel faces (in 2D: edges) until outside; 1 on the edge."""
        distances = np.zeros(self._shape, dtype=np.int64)
        inner = (slice(self._reach, -self._reach),) * 3
        if planar:
            for plane, target in zip(self._border, distances[inner], strict=True):
                target[...] = _taxicab(plane)
        else:
            distances[inner] = _taxicab(self._border)
        return distances.ravel()[self._where]


def _taxicab(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    cut = (slice(1, -1),) * mask.ndim
    return ndimage.distance_transform_cdt(np.pad(mask, 1), metric="taxicab")[cut]
