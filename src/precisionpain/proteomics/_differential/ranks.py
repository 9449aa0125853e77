"""Rank tests of all proteins at once, in the conventions of R."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ...stats._t import Table
from ...stats.effects import _rank_sum_cdf

__all__ = ["all_equal", "dunn", "friedman", "kruskal", "mann_whitney", "ranks", "signed_rank"]

Array = NDArray[np.float64]

# Pairwise differences held at once.
_CHUNK = 4_000_000


def ranks(values: Array) -> tuple[Array, Array]:
    """Rank the values of each column, ties by their average.

    Parameters
    ----------
    values : numpy.ndarray of shape (n, p)
        NaN has no rank.

    Returns
    -------
    ranks : numpy.ndarray of shape (n, p)
        From 1; NaN where missing.
    ties : numpy.ndarray of shape (p,)
        Σ (t³ − t) over groups of t tied values.
    """
    n, p = values.shape
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    place = np.arange(n)[:, None]
    # NaN differs from itself, so that missing values, sorted last, are never tied.
    starts = np.ones((n, p), dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
    ends = np.ones((n, p), dtype=bool)
    ends[:-1] = starts[1:]
    last = np.minimum.accumulate(np.where(ends, place, n)[::-1], axis=0)[::-1]
    size = (last - first + 1).astype(np.float64)
    found = np.empty((n, p))
    np.put_along_axis(found, order, (first + last) / 2 + 1, axis=0)
    found[np.isnan(values)] = np.nan
    return found, (size**2 - 1).sum(axis=0)


def _by_counts(parts: list[Array], work: Callable[..., Table], columns: tuple[str, ...]) -> Table:
    """Run a test on proteins of equal numbers of observed values together.

    Observed values are moved to the front, so that each lot is free of missing values.
    """
    p = parts[0].shape[1]
    parts = [np.sort(part, axis=0) for part in parts]
    counts = np.stack([(~np.isnan(part)).sum(axis=0) for part in parts], axis=1)
    table: Table = {name: np.full(p, np.nan) for name in columns}
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    for kind, sizes in enumerate(kinds):
        if not sizes.all():
            continue
        lot = np.flatnonzero(which.ravel() == kind)
        step = max(1, _CHUNK // int(np.prod(sizes)))
        for start in range(0, len(lot), step):
            some = lot[start : start + step]
            found = work(*(part[:size, some] for part, size in zip(parts, sizes, strict=True)))
            for name in columns:
                table[name][some] = found[name]
    return table


def _order_statistics(values: Array, low: NDArray[np.intp], high: NDArray[np.intp]) -> list[Array]:
    """Return median and two order statistics (from 0, one per row) of the rows."""
    count = values.shape[1]
    middle = [(count - 1) // 2, count // 2]
    wanted = np.unique(np.concatenate([middle, np.unique(low), np.unique(high)]))
    values.partition(wanted, axis=1)
    row = np.arange(len(values))
    median = (values[:, middle[0]] + values[:, middle[1]]) / 2
    return [median, values[row, low], values[row, high]]


def mann_whitney(first: Array, second: Array, confidence: float) -> Table:
    """Compare two groups by ranks, with the Hodges–Lehmann shift and its limits.

    Parameters
    ----------
    first, second : numpy.ndarray of shape (samples, proteins)
        NaN is not measured.
    confidence : float
        Level of the limits.

    Returns
    -------
    dict of str to numpy.ndarray
        As `precisionpain.stats.rank_sum` finds for each protein by itself, but p is 1 where
        all values are equal.
    """
    alpha = 1 - confidence

    def work(x: Array, y: Array) -> Table:
        m, n = len(x), len(y)
        pairs, total = m * n, m + n
        rank, ties = ranks(np.concatenate([x, y]))
        w = rank[:m].sum(axis=0) - m * (m + 1) / 2
        p_value = _normal(w - pairs / 2, _sigma(pairs, total, ties))
        within = _ties(x) + _ties(y)
        spread = _sigma(pairs, total, within)
        k = np.ceil(pairs / 2 - 0.5 - special.ndtri(1 - alpha / 2) * spread)
        if max(m, n) < 50:
            cdf = _rank_sum_cdf(m, n)
            exact = ties == 0
            smaller = np.rint(np.minimum(w, pairs - w)[exact]).astype(np.intp)
            p_value[exact] = np.minimum(1.0, 2 * cdf[smaller])
            k[exact] = np.searchsorted(cdf, alpha / 2 * (1 - 4 * np.finfo(float).eps))
        k = np.clip(k, 1, pairs).astype(np.intp)
        differences = (x.T[:, :, None] - y.T[:, None, :]).reshape(-1, pairs)
        shift, low, high = _order_statistics(differences, k - 1, pairs - k)
        return {"log_fc": shift, "ci_low": low, "ci_high": high, "statistic": w, "p_value": p_value}

    table = _by_counts(
        [first, second], work, ("log_fc", "ci_low", "ci_high", "statistic", "p_value")
    )
    n1, n2 = ((~np.isnan(part)).sum(axis=0) for part in (first, second))
    return {**table, "n_1": n1, "n_2": n2, "df": np.full(len(n1), np.nan)}


def _ties(ordered: Array) -> Array:
    """Return Σ (t³ − t) of columns that are sorted."""
    if (ordered[1:] != ordered[:-1]).all():
        return np.zeros(ordered.shape[1])
    return ranks(ordered)[1]


def _sigma(pairs: int, total: int, ties: Array) -> Array:
    correction = ties / (total * (total - 1)) if total > 1 else 0.0
    return np.sqrt(np.maximum(pairs / 12 * (total + 1 - correction), 0.0))


def _normal(deviation: Array, sigma: Array) -> Array:
    """Return two-sided p with correction for continuity; 1 where all values are equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (deviation - np.sign(deviation) * 0.5) / sigma
    return np.where(sigma > 0, np.minimum(1.0, 2 * special.ndtr(-np.abs(z))), 1.0)


def all_equal(values: Array) -> NDArray[np.bool_]:
    """Tell in which columns (the last axis) all values that were measured are the same.

    Parameters
    ----------
    values : numpy.ndarray of shape (..., p)
        NaN is not measured.
    """
    axes = tuple(range(values.ndim - 1))
    low = np.fmin.reduce(values, axis=axes, initial=np.inf)
    high = np.fmax.reduce(values, axis=axes, initial=-np.inf)
    found: NDArray[np.bool_] = low == high
    return found


@functools.lru_cache(maxsize=32)
def _signed_rank_cdf(n: int) -> Array:
    """Return P(V ≤ v) for v = 0 … n(n + 1)/2: each rank is positive with chance ½."""
    chance = np.zeros(n * (n + 1) // 2 + 1)
    chance[0] = 1.0
    for rank in range(1, n + 1):
        raised = np.zeros_like(chance)
        raised[rank:] = chance[:-rank]
        chance = (chance + raised) / 2
    return np.cumsum(chance)


def signed_rank(difference: Array, confidence: float) -> Table:
    """Test paired differences by Wilcoxon's signed ranks, with the pseudo-median.

    Parameters
    ----------
    difference : numpy.ndarray of shape (people, proteins)
        First minus second; NaN where either is missing. Zeros are left out of the test, and
        make it use the normal approximation, as in R.
    confidence : float
        Level of the limits.

    Returns
    -------
    dict of str to numpy.ndarray
        The statistic is V, the sum of the positive ranks; the shift is the median of the
        Walsh averages.
    """
    alpha = 1 - confidence
    zero = difference == 0
    nonzero = np.where(zero, np.nan, difference)
    had_zero = zero.any(axis=0)

    def work(x: Array, exact_allowed: Array) -> Table:
        n = len(x)
        rank, ties = ranks(np.abs(x))
        v = np.where(x > 0, rank, 0.0).sum(axis=0)
        top = n * (n + 1) / 2
        sigma = np.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
        p_value = _normal(v - top / 2, sigma)
        flat = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        k = np.full(len(v), np.ceil(top / 2 - 0.5 - special.ndtri(1 - alpha / 2) * flat))
        if n < 50:
            cdf = _signed_rank_cdf(n)
            exact = (ties == 0) & (exact_allowed[0] == 0)
            smaller = np.rint(np.minimum(v, top - v)[exact]).astype(np.intp)
            p_value[exact] = np.minimum(1.0, 2 * cdf[smaller])
            k[exact] = np.searchsorted(cdf, alpha / 2 * (1 - 4 * np.finfo(float).eps))
        i, j = np.triu_indices(n)
        walsh = (x.T[:, i] + x.T[:, j]) / 2
        k = np.clip(k, 1, walsh.shape[1]).astype(np.intp)
        shift, low, high = _order_statistics(walsh, k - 1, walsh.shape[1] - k)
        return {"log_fc": shift, "ci_low": low, "ci_high": high, "statistic": v, "p_value": p_value}

    table = _by_counts(
        [nonzero, had_zero[None].astype(float)], work,
        ("log_fc", "ci_low", "ci_high", "statistic", "p_value"),
    )  # fmt: skip
    n = (~np.isnan(difference)).sum(axis=0)
    # Without any difference there is nothing to rank: no shift, and no evidence of one.
    same = (n > 0) & (zero.sum(axis=0) == n)
    for name in ("log_fc", "ci_low", "ci_high", "statistic"):
        table[name][same] = 0.0
    table["p_value"][same] = 1.0
    return {**table, "n_1": n, "n_2": n, "df": np.full(len(n), np.nan)}


def kruskal(values: Array, group: NDArray[np.intp]) -> Table:
    """Compare several groups by ranks (Kruskal & Wallis).

    Parameters
    ----------
    values : numpy.ndarray of shape (samples, proteins)
        NaN is not measured.
    group : numpy.ndarray of int, shape (samples,)
        0, 1, 2, …

    Returns
    -------
    dict of str to numpy.ndarray
        H, its degrees of freedom, p, and the number of values. NaN where a group has none.
    """
    rank, ties = ranks(values)
    member = np.eye(group.max() + 1)[group]
    observed = (~np.isnan(values)).astype(float)
    counts = member.T @ observed
    n = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = member.T @ np.nan_to_num(rank)
        h = 12 / (n * (n + 1)) * (sums**2 / counts).sum(axis=0) - 3 * (n + 1)
        correction = 1 - ties / (n**3 - n)
        # All values equal: no evidence of a difference.
        h = np.where(correction > 0, h / correction, 0.0)
    df = len(counts) - 1.0
    whole = (counts > 0).all(axis=0)
    h = np.where(whole, np.maximum(h, 0.0), np.nan)
    return {"statistic": h, "df": np.where(whole, df, np.nan), "p_value": special.chdtrc(df, h),
            "n": n.astype(np.intp)}  # fmt: skip


def dunn(values: Array, group: NDArray[np.intp], first: int, second: int) -> Table:
    """Compare two of several groups by the ranks among all (Dunn 1964)."""
    rank, ties = ranks(values)
    n = (~np.isnan(values)).sum(axis=0)
    mean, count = [], []
    for which in (first, second):
        part = rank[group == which]
        observed = (~np.isnan(part)).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean.append(np.nansum(part, axis=0) / observed)
        count.append(observed)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = n * (n + 1) / 12 - ties / (12 * (n - 1))
        z = (mean[0] - mean[1]) / np.sqrt(variance * (1 / count[0] + 1 / count[1]))
    z[(variance <= 0) & (count[0] > 0) & (count[1] > 0)] = 0.0
    return {"statistic": z, "p_value": 2 * special.ndtr(-np.abs(z)), "n_1": count[0],
            "n_2": count[1]}  # fmt: skip


def friedman(values: Array) -> Table:
    """Compare repeated measurements by ranks within people (Friedman).

    Parameters
    ----------
    values : numpy.ndarray of shape (people, times, proteins)
        A person with any missing value is left out of that protein.

    Returns
    -------
    dict of str to numpy.ndarray
        χ², its degrees of freedom, p, and the number of people.
    """
    people, times, p = values.shape
    whole = ~np.isnan(values).any(axis=1)
    flat = values.transpose(1, 0, 2).reshape(times, people * p)
    rank, ties = (part.reshape(*part.shape[:-1], people, p) for part in ranks(flat))
    n = whole.sum(axis=0)
    sums = np.where(whole, rank, 0.0).sum(axis=1)
    within = np.where(whole, ties, 0.0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = 12 * ((sums - n * (times + 1) / 2) ** 2).sum(axis=0)
        bottom = n * times * (times + 1) - within / (times - 1)
        chi2 = np.where(bottom > 0, top / bottom, 0.0)
    chi2 = np.where(n > 1, chi2, np.nan)
    df = times - 1.0
    return {"statistic": chi2, "df": np.where(n > 1, df, np.nan),
            "p_value": special.chdtrc(df, chi2), "n": n}  # fmt: skip
