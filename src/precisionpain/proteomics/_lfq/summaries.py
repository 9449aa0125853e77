"""One profile of a protein out of its ions: MaxLFQ by definition, median polish, sum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

__all__ = ["connected_profiles", "log2_sums", "median_polish", "pair_medians"]

Array = NDArray[np.float64]
# So many differences are held at once (16 MB).
_CHUNK = 2_000_000


def pair_medians(values: Array, min_shared: int) -> tuple[Array, NDArray[np.bool_]]:
    """Return the median difference of each pair of samples over the ions that both have.

    Parameters
    ----------
    values : ndarray of shape (samples, ions)
        log2, NaN where not measured.
    min_shared : int
        Pairs that share fewer ions have no difference.

    Returns
    -------
    differences : ndarray of shape (samples, samples)
        At ``[i, j]`` the median of ``values[j] - values[i]``; 0 where there is none.
    paired : ndarray of bool of shape (samples, samples)
    """
    n, m = values.shape
    first, second = np.triu_indices(n, 1)
    differences, paired = np.zeros((n, n)), np.zeros((n, n), dtype=bool)
    step = max(1, _CHUNK // max(m, 1))
    for start in range(0, len(first), step):
        i, j = first[start : start + step], second[start : start + step]
        gaps = values[j] - values[i]
        # NaN sort to the end, so the median stands in the middle of the first `shared`.
        gaps.sort(axis=1)
        shared = m - np.isnan(gaps).sum(axis=1)
        some = np.flatnonzero(shared >= max(min_shared, 1))
        low, high = (shared[some] - 1) // 2, shared[some] // 2
        middle = 0.5 * (gaps[some, low] + gaps[some, high])
        i, j = i[some], j[some]
        differences[i, j], differences[j, i] = middle, -middle
        paired[i, j] = paired[j, i] = True
    return differences, paired


def connected_profiles(values: Array, min_shared: int = 1) -> tuple[Array, NDArray[np.intp]]:
    """Return the MaxLFQ profile of one protein, and which samples belong together.

    Parameters
    ----------
    values : ndarray of shape (samples, ions)
        log2, NaN where not measured.
    min_shared : int, default 1
        Ions that two samples must share to be compared.

    Returns
    -------
    profile : ndarray of shape (samples,)
        NaN where a sample has no ion (or, for `min_shared` above 1, no partner).
    component : ndarray of int of shape (samples,)
        0 is the largest (of equals that with more values, then the first); -1 for no value.
    """
    n = len(values)
    profile, component = np.full(n, np.nan), np.full(n, -1, dtype=np.intp)
    counts = (~np.isnan(values)).sum(axis=1)
    there = np.flatnonzero(counts > 0)
    if not len(there):
        return profile, component
    values, counts = values[there], counts[there]
    values = values[:, ~np.isnan(values).all(axis=0)]
    differences, paired = pair_medians(values, min_shared)
    k = len(there)
    if paired.sum() == k * (k - 1):
        number, labels = 1, np.zeros(k, dtype=np.intp)
    else:
        number, labels = connected_components(paired, directed=False)
    parts = [np.flatnonzero(labels == c) for c in range(number)]
    if min_shared > 1:
        parts = [part for part in parts if len(part) > 1]
    parts.sort(key=lambda part: (-len(part), -counts[part].sum(), part[0]))
    for rank, part in enumerate(parts):
        inside = np.ix_(part, part)
        solved = _least_squares(differences[inside], paired[inside])
        profile[there[part]] = solved + np.nanmean(values[part])
        component[there[part]] = rank
    return profile, component


def _least_squares(differences: Array, paired: NDArray[np.bool_]) -> Array:
    """Return levels of mean 0 whose differences are nearest to those given.

    The normal equations are those of the Laplacian of the graph of pairs; adding the same number
    to all its entries makes the mean 0 without changing the differences.
    """
    k = len(paired)
    pulls: Array = differences.sum(axis=0)
    if paired.sum() == k * (k - 1):
        return pulls / k
    laplacian = np.diag(paired.sum(axis=1).astype(np.float64)) - paired
    solved = np.linalg.solve(laplacian + 1.0 / k, pulls)
    return np.asarray(solved - solved.mean(), dtype=np.float64)


def median_polish(values: Array, iterations: int = 10, tolerance: float = 0.01) -> Array:
    """Return the overall level plus the effect of each sample, by Tukey's median polish.

    Parameters
    ----------
    values : ndarray of shape (samples, ions)
        log2, NaN where not measured.
    iterations : int, default 10
        At most.
    tolerance : float, default 0.01
        Stop when the sum of absolute residuals changes by less than this share.

    Returns
    -------
    ndarray of shape (samples,)
    """
    rest = values[:, ~np.isnan(values).all(axis=0)]
    profile = np.full(len(values), np.nan)
    there = ~np.isnan(rest).all(axis=1)
    rest = rest[there].copy()
    if not rest.size:
        return profile
    overall, before = 0.0, 0.0
    ions, samples = np.zeros(rest.shape[1]), np.zeros(rest.shape[0])
    for _ in range(iterations):
        # Ions first, as in the programs that made the method known in proteomics.
        step: NDArray[Any] = np.nanmedian(rest, axis=0)
        rest = rest - step
        ions += step
        shift = np.median(samples)
        samples -= shift
        overall += shift
        step = np.nanmedian(rest, axis=1)
        rest = rest - step[:, None]
        samples += step
        shift = np.median(ions)
        ions -= shift
        overall += shift
        now = float(np.nansum(np.abs(rest)))
        if now == 0 or abs(now - before) < tolerance * now:
            break
        before = now
    profile[there] = overall + samples
    return profile


def log2_sums(values: Array, starts: NDArray[np.intp]) -> Array:
    """Return log2 of the sum of intensities of consecutive ions.

    Parameters
    ----------
    values : ndarray of shape (samples, ions)
        log2, NaN where not measured.
    starts : ndarray of int of shape (proteins,)
        The first ion of each protein.

    Returns
    -------
    ndarray of shape (samples, proteins)
        NaN where a sample has none of the ions.
    """
    linear = np.exp2(values)
    sums = np.add.reduceat(np.nan_to_num(linear, nan=0.0), starts, axis=1)
    sums[sums == 0] = np.nan
    return np.log2(sums)
