"""Two products measure one protein on scales of their own: compare them, and map one to the other.

The definitions are those that the vendor publishes for bridging between its products.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["KNOTS", "compare", "natural_basis", "smooth_quantiles"]

Array = NDArray[np.float64]
#: Quantiles of the bridge samples that anchor the spline.
KNOTS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
LOW_COUNT = 10.0


def valid_values(values: Array, counts: Array | None) -> NDArray[np.bool_]:
    """Tell which values may be compared: enough counts, within median ± 3 IQR."""
    good = ~np.isnan(values)
    if counts is not None:
        good &= counts > LOW_COUNT
    if good.any():
        low, middle, high = np.quantile(values[good], [0.25, 0.5, 0.75])
        # ±0 would throw out everything of an assay whose quartiles coincide.
        if high > low:
            good &= np.abs(values - middle) <= 3 * (high - low)
    return good


def compare(
    old: Array, new: Array, old_counts: Array | None, new_counts: Array | None
) -> dict[str, float]:
    """Compare the paired values of one assay in two products.

    Returns
    -------
    dict of str to float
        ``n``, ``shift`` (median of reference − new), ``range_difference`` (of the spans q90 −
        q10), ``r2``, ``median_count`` (the lower of the two; NaN without counts), ``ks``
        (between both, their medians brought together).
    """
    good = valid_values(old, old_counts) & valid_values(new, new_counts)
    a, b = old[good], new[good]
    nothing = dict.fromkeys(("shift", "range_difference", "r2", "median_count", "ks"), np.nan)
    if len(a) < 3:
        return {"n": float(len(a)), **nothing}
    span = [np.subtract(*np.quantile(x, [0.9, 0.1])) for x in (a, b)]
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    r = 0.0 if constant else float(np.corrcoef(a, b)[0, 1])
    counts = [np.median(c[good]) for c in (old_counts, new_counts) if c is not None]
    return {
        "n": float(len(a)),
        "shift": float(np.median(a - b)),
        "range_difference": float(abs(span[0] - span[1])),
        "r2": r * r,
        "median_count": float(min(counts)) if counts else np.nan,
        "ks": _ks(a - np.median(a), b - np.median(b)),
    }


def _ks(a: Array, b: Array) -> float:
    """Return the largest distance between two empirical distributions."""
    everywhere = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(x), everywhere, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def smooth_quantiles(
    old: Array,
    new: Array,
    every: Array,
    old_counts: Array | None = None,
    new_counts: Array | None = None,
) -> Array:
    """Map all values of the new product to the scale of the reference.

    The empirical distribution of the bridge samples takes each value of the new product to
    that value of the reference that has the same rank; a natural cubic spline is fitted to
    those pairs, with knots at the quantiles `KNOTS`; and it is read at every value. Beyond the
    bridge samples it goes on as a straight line.

    Parameters
    ----------
    old, new : numpy.ndarray
        Paired values of the bridge samples.
    every : numpy.ndarray
        Values of the new product to map; NaN stays.

    Returns
    -------
    numpy.ndarray
        NaN where there are too few bridge samples to fit it (fewer than twice the knots).
    """
    good = valid_values(old, old_counts) & valid_values(new, new_counts)
    a, b = old[good], new[good]
    if len(b) < 2 * len(KNOTS) or np.ptp(b) == 0:
        return np.full(every.shape, np.nan)
    # The same number on both sides, so equal ranks are equal places of both distributions.
    rank = np.searchsorted(np.sort(b), b, side="right")
    target = np.sort(a)[rank - 1]
    knots = np.unique([b.min(), *np.quantile(b, KNOTS), b.max()])
    coefficient = np.linalg.lstsq(natural_basis(b, knots), target, rcond=None)[0]
    mapped: Array = natural_basis(every, knots) @ coefficient
    return mapped


def natural_basis(x: Array, knots: Array) -> Array:
    """Return the natural cubic splines on these knots: straight beyond the first and the last.

    The basis of truncated powers (Hastie, Tibshirani and Friedman, The Elements of Statistical
    Learning, 2nd edition, equation 5.4), on [0, 1] so that it stays well conditioned.

    Parameters
    ----------
    x : numpy.ndarray of shape (n,)
    knots : numpy.ndarray of shape (k,)
        Ascending, with both ends.

    Returns
    -------
    numpy.ndarray of shape (n, k)
    """
    width = knots[-1] - knots[0]
    t, at = (x - knots[0]) / width, (knots - knots[0]) / width
    basis = np.ones((len(x), len(knots)))
    basis[:, 1] = t
    if len(knots) > 2:
        cube = np.maximum(t[:, None] - at, 0) ** 3
        d = (cube[:, :-1] - cube[:, -1:]) / (at[-1] - at[:-1])
        basis[:, 2:] = d[:, :-1] - d[:, -1:]
    return basis
