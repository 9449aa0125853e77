"""Texture matrices as lists of cells, and the features that IBSI 1 takes from them.

A matrix is kept as the cells that are not empty: which matrix, which row, which column,
how often. Everything below works on many matrices at once, one per slice or direction as the
aggregation asks, and averages the features over them at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import Grid, Tally, half_offsets

__all__ = ["cooccurrence", "dependence", "distance_zones", "runs", "size_zones", "tone"]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Features = dict[str, float]


def _matrix_of(aggregation: str, grid: Grid, direction: int, voxel: Ints, n: int) -> Ints | int:
    """Tell into which matrix the entries of a direction go."""
    if aggregation == "2d_averaged":
        return grid.slices[voxel] * n + direction
    if aggregation == "2d_merged":
        return grid.slices[voxel]
    return direction if aggregation.endswith("averaged") else 0


def _n_matrices(aggregation: str, grid: Grid, n: int) -> int:
    slices = grid.n_slices if aggregation.startswith("2d") else 1
    return slices * (n if aggregation.endswith("averaged") else 1)


def _planar(aggregation: str) -> bool:
    return not aggregation.startswith("3d")


def _mean(features: dict[str, Floats], used: NDArray[np.bool_]) -> Features:
    """Average over the matrices that hold anything; NaN where none does."""
    if not used.any():
        return dict.fromkeys(features, np.nan)
    return {name: float(values[used].mean()) for name, values in features.items()}


class _Sums:
    """Sums over the cells of each matrix."""

    def __init__(self, matrix: Ints, n: int) -> None:
        self.matrix, self.n = matrix, n

    def __call__(self, values: NDArray[Any]) -> Floats:
        sums = np.bincount(self.matrix, weights=values, minlength=self.n)
        return np.asarray(sums, dtype=float)

    def over(self, key: Ints, weights: Floats) -> tuple[_Sums, Ints, Floats]:
        """Merge cells that share a key; return their sums, keys and merged weights."""
        size = int(key.max(initial=0)) + 1
        merged, index = np.unique(self.matrix * size + key, return_inverse=True)
        together = np.bincount(index, weights=weights, minlength=len(merged))
        return (
            _Sums(merged // size, self.n),
            merged % size,
            np.asarray(together, dtype=float),
        )


def _entropy(sums: _Sums, p: Floats) -> Floats:
    return -sums(p * np.log2(p))


def cooccurrence(grid: Grid, aggregation: str, distances: Sequence[int]) -> Features:
    """Grey level co-occurrence matrix (LFYI), symmetric."""
    offsets = half_offsets(distances, planar=_planar(aggregation))
    n, k = _n_matrices(aggregation, grid, len(offsets)), len(grid.values)
    tally = Tally(n, k, k)
    for direction, (voxel, other) in enumerate(grid.pairs(offsets)):
        a, b = grid.ranks[voxel], grid.ranks[other]
        matrix_of = _matrix_of(aggregation, grid, direction, voxel, len(offsets))
        tally.add(matrix_of, np.minimum(a, b), np.maximum(a, b))
    (matrix, low, high), counts = tally.cells()
    i, j = grid.values[low].astype(float), grid.values[high].astype(float)
    sums = _Sums(matrix, n)
    total = sums(counts)
    used = total > 0
    # An unordered pair of two levels fills two cells of the symmetric matrix, each with half
    # of its probability `q`.
    q = counts / total[matrix]
    cells = np.where(low == high, 1, 2)
    p = q / cells

    mean = sums(q * (i + j)) / 2
    m = mean[matrix]
    variance = sums(q * ((i - m) ** 2 + (j - m) ** 2)) / 2
    difference, sum_ = j - i, i + j
    squared = difference**2
    centred = sum_ - 2 * m
    joint_entropy = -sums(q * np.log2(p))
    # The marginal of one side: half of each pair to either level.
    both = _Sums(np.concatenate([matrix, matrix]), n)
    over, _, marginal = both.over(np.concatenate([low, high]), np.concatenate([q, q]) / 2)
    marginal_entropy = _entropy(over, marginal)
    over_difference, keys, p_difference = sums.over((j - i).astype(np.int64), q)
    difference_mean = sums(q * difference)
    over_sum, _, p_sum = sums.over((i + j).astype(np.int64), q)
    off = difference > 0
    g = grid.n_levels
    largest = np.zeros(n)
    np.maximum.at(largest, matrix, p)
    contrast = sums(q * squared)
    tendency = sums(q * centred**2)
    # Both information measures compare the joint entropy with that of independence, which
    # for a symmetric matrix is twice the marginal entropy in either of Haralick's forms.
    independent = 2 * marginal_entropy
    with np.errstate(divide="ignore", invalid="ignore"):
        features = {
            "cm_joint_maximum": largest,
            "cm_joint_average": mean,
            "cm_joint_variance": variance,
            "cm_joint_entropy": joint_entropy,
            "cm_difference_average": difference_mean,
            "cm_difference_variance": over_difference(
                p_difference * (keys - difference_mean[over_difference.matrix]) ** 2
            ),
            "cm_difference_entropy": _entropy(over_difference, p_difference),
            "cm_sum_average": 2 * mean,
            "cm_sum_variance": tendency,
            "cm_sum_entropy": _entropy(over_sum, p_sum),
            "cm_angular_second_moment": sums(q * p),
            "cm_contrast": contrast,
            "cm_dissimilarity": difference_mean,
            "cm_inverse_difference": sums(q / (1 + difference)),
            "cm_inverse_difference_normalised": sums(q / (1 + difference / g)),
            "cm_inverse_difference_moment": sums(q / (1 + squared)),
            "cm_inverse_difference_moment_normalised": sums(q / (1 + squared / g**2)),
            "cm_inverse_variance": sums(np.where(off, q / np.where(off, squared, 1), 0)),
            "cm_correlation": 1 - contrast / (2 * variance),
            "cm_autocorrelation": sums(q * i * j),
            "cm_cluster_tendency": tendency,
            "cm_cluster_shade": sums(q * centred**3),
            "cm_cluster_prominence": sums(q * centred**4),
            "cm_information_correlation_1": (joint_entropy - independent) / marginal_entropy,
            "cm_information_correlation_2": np.sqrt(
                1 - np.exp(-2 * np.maximum(independent - joint_entropy, 0))
            ),
        }
    return _mean(features, used)


_COLUMNS = {
    "rlm": ("short_runs", "long_runs", "run", "run_length", "short_run", "long_run"),
    "szm": ("small_zone", "large_zone", "zone", "zone_size", "small_zone", "large_zone"),
    "dzm": (
        "small_distance",
        "large_distance",
        "zone",
        "zone_distance",
        "small_distance",
        "large_distance",
    ),
    "ngl": (
        "low_dependence",
        "high_dependence",
        "count",
        "dependence_count",
        "low_dependence",
        "high_dependence",
    ),
}


def _emphases(grid: Grid, prefix: str, tally: Tally, n: int, n_voxels: Floats) -> Features:
    """Features of a matrix whose rows are grey levels and whose columns are sizes.

    Runs, zones, zone distances and dependence counts share them under different names.
    """
    (matrix, rank, size), counts = tally.cells()
    sums = _Sums(matrix, n)
    total = sums(counts)
    used = total > 0
    total[~used] = 1
    p = counts / total[matrix]
    g2, s2 = grid.values[rank].astype(float) ** 2, size.astype(float) ** 2
    over_levels, _, p_level = sums.over(rank, p)
    over_sizes, _, p_size = sums.over(size, p)
    level_uniformity, size_uniformity = over_levels(p_level**2), over_sizes(p_size**2)
    mean_level, mean_size = sums(p * grid.values[rank]), sums(p * size)
    small, large, thing, column, few, many = _COLUMNS[prefix]
    features = {
        f"{small}_emphasis": sums(p / s2),
        f"{large}_emphasis": sums(p * s2),
        f"low_grey_level_{thing}_emphasis": sums(p / g2),
        f"high_grey_level_{thing}_emphasis": sums(p * g2),
        f"{few}_low_grey_level_emphasis": sums(p / (s2 * g2)),
        f"{few}_high_grey_level_emphasis": sums(p * g2 / s2),
        f"{many}_low_grey_level_emphasis": sums(p * s2 / g2),
        f"{many}_high_grey_level_emphasis": sums(p * s2 * g2),
        "grey_level_non_uniformity": level_uniformity * total,
        "grey_level_non_uniformity_normalised": level_uniformity,
        f"{column}_non_uniformity": size_uniformity * total,
        f"{column}_non_uniformity_normalised": size_uniformity,
        f"{'dependence_count' if prefix == 'ngl' else thing}_percentage": total
        / np.maximum(n_voxels, 1),
        "grey_level_variance": sums(p * (grid.values[rank] - mean_level[matrix]) ** 2),
        f"{column}_variance": sums(p * (size - mean_size[matrix]) ** 2),
        f"{column}_entropy": _entropy(sums, p),
    }
    if prefix == "ngl":
        features[f"{column}_energy"] = sums(p**2)
    return _mean({f"{prefix}_{name}": values for name, values in features.items()}, used)


def runs(grid: Grid, aggregation: str) -> Features:
    """Grey level run length matrix (TP0I)."""
    offsets = half_offsets((1,), planar=_planar(aggregation))
    n = _n_matrices(aggregation, grid, len(offsets))
    tally = Tally(n, len(grid.values), grid.longest + 1)
    n_voxels = np.zeros(n)
    for direction, (voxel, length) in enumerate(grid.runs(offsets)):
        matrix = _matrix_of(aggregation, grid, direction, voxel, len(offsets))
        tally.add(matrix, grid.ranks[voxel], length)
        # Each voxel lies on one run per direction, so the lengths add up to the voxels.
        matrix = np.broadcast_to(matrix, voxel.shape)
        n_voxels += np.bincount(matrix, weights=length, minlength=n)
    return _emphases(grid, "rlm", tally, n, n_voxels)


def _by_slice(grid: Grid, aggregation: str, voxel: Ints) -> tuple[Ints, int, Floats]:
    """Tell the matrix of each voxel where directions don't count, and the voxels of each."""
    if aggregation.startswith("2d"):
        n_voxels = np.bincount(grid.slices, minlength=grid.n_slices).astype(float)
        return grid.slices[voxel], grid.n_slices, n_voxels
    return np.zeros_like(voxel), 1, np.array([float(len(grid))])


def _zones(grid: Grid, prefix: str, aggregation: str) -> Features:
    first, size, distance = grid.zones(planar=_planar(aggregation))
    matrix, n, n_voxels = _by_slice(grid, aggregation, first)
    column = size if prefix == "szm" else distance
    tally = Tally(n, len(grid.values), int(column.max()) + 1)
    tally.add(matrix, grid.ranks[first], column)
    return _emphases(grid, prefix, tally, n, n_voxels)


def size_zones(grid: Grid, aggregation: str) -> Features:
    """Grey level size zone matrix (9SAK)."""
    return _zones(grid, "szm", aggregation)


def distance_zones(grid: Grid, aggregation: str) -> Features:
    """Grey level distance zone matrix (VMDZ)."""
    return _zones(grid, "dzm", aggregation)


def dependence(grid: Grid, aggregation: str, distances: Sequence[int], coarseness: int) -> Features:
    """Neighbouring grey level dependence matrix (REK0)."""
    offsets = half_offsets(distances, planar=_planar(aggregation))
    count = np.ones(len(grid), dtype=np.int64)
    for level in grid.neighbour_levels(offsets):
        count += (level > 0) & (np.abs(level - grid.levels) <= coarseness)
    matrix, n, n_voxels = _by_slice(grid, aggregation, np.arange(len(grid)))
    tally = Tally(n, len(grid.values), 2 * len(offsets) + 2)
    tally.add(matrix, grid.ranks, count)
    return _emphases(grid, "ngl", tally, n, n_voxels)


def tone(grid: Grid, aggregation: str, distances: Sequence[int]) -> Features:
    """Neighbourhood grey tone difference matrix (IPET)."""
    neighbours = np.zeros(len(grid), dtype=np.int64)
    total = np.zeros(len(grid), dtype=np.int64)
    for level in grid.neighbour_levels(half_offsets(distances, planar=_planar(aggregation))):
        neighbours += level > 0
        total += level
    valid = neighbours > 0
    matrix, n, _ = _by_slice(grid, aggregation, np.arange(len(grid)))
    gap = np.abs(grid.levels - total / np.maximum(neighbours, 1))[valid]
    matrix, ranks = matrix[valid], grid.ranks[valid]
    k = len(grid.values)
    count = np.bincount(matrix * k + ranks, minlength=n * k).reshape(n, k)
    s = np.bincount(matrix * k + ranks, weights=gap, minlength=n * k).reshape(n, k)
    used = count.sum(axis=1) > 0
    rows = [_tone_row(count[row], s[row], grid.values) for row in np.flatnonzero(used)]
    names = ("coarseness", "contrast", "busyness", "complexity", "strength")
    if not rows:
        return {f"ngt_{name}": np.nan for name in names}
    return {
        f"ngt_{name}": float(value) for name, value in zip(names, np.mean(rows, 0), strict=True)
    }


def _tone_row(count: Ints, s: Floats, values: Ints) -> tuple[float, ...]:
    present = count > 0
    p, s, i = count[present] / count.sum(), s[present], values[present].astype(float)
    n, n_levels = int(count.sum()), int(present.sum())
    weighted, total = float(p @ s), float(s.sum())
    # IBSI's convention for a region without any difference between neighbours.
    coarseness = 1 / weighted if weighted > 0 else 1e6
    if n_levels == 1:
        return coarseness, 0.0, 0.0, 0.0, 0.0
    gap = i[:, None] - i
    contrast = float((np.outer(p, p) * gap**2).sum()) / (n_levels * (n_levels - 1)) * total / n
    spread = float(np.abs((i * p)[:, None] - i * p).sum())
    busyness = weighted / spread if spread > 0 else 0.0
    ps = p * s
    pair = p[:, None] + p
    complexity = float((np.abs(gap) * (ps[:, None] + ps) / pair).sum()) / n
    strength = float((pair * gap**2).sum()) / total if total > 0 else 0.0
    return coarseness, contrast, busyness, complexity, strength
