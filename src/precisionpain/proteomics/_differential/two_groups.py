"""Two groups or pairs, compared by their means, all proteins at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...stats._t import Array, Table, rounding, t_columns

__all__ = ["paired", "welch"]


def _moments(y: Array) -> tuple[Array, Array, NDArray[np.intp], Array]:
    """Return mean, variance and number of the observed values, and their largest size."""
    missing = np.isnan(y)
    n = len(y) - missing.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        filled = np.where(missing, 0.0, y) if missing.any() else y
        mean = filled.sum(axis=0) / n
        centred = filled - mean
        if missing.any():
            centred[missing] = 0.0
        variance = np.einsum("np,np->p", centred, centred) / (n - 1)
    variance = np.where(n > 1, variance, np.nan)
    return mean, variance, n, np.abs(filled).max(axis=0, initial=0.0)


def welch(first: Array, second: Array, confidence: float) -> tuple[Table, NDArray[np.bool_]]:
    """Compare the means of two groups whose variances may differ.

    Parameters
    ----------
    first, second : numpy.ndarray of shape (samples, proteins)
        NaN is not measured.
    confidence : float
        Level of the limits.

    Returns
    -------
    table : dict of str to numpy.ndarray
        Positive where the first group is higher.
    constant : numpy.ndarray of bool
        Proteins that don't vary within either group: their variance is taken as rounding.
    """
    mean1, var1, n1, top1 = _moments(first)
    mean2, var2, n2, top2 = _moments(second)
    floor = rounding(np.maximum(top1, top2))
    constant = np.maximum(var1, var2) <= floor
    var1 = np.where(constant, np.maximum(var1, floor), var1)
    var2 = np.where(constant, np.maximum(var2, floor), var2)
    with np.errstate(invalid="ignore", divide="ignore"):
        part1, part2 = var1 / n1, var2 / n2
        # As shares of the sum, which doesn't underflow.
        total = part1 + part2
        df = 1 / ((part1 / total) ** 2 / (n1 - 1) + (part2 / total) ** 2 / (n2 - 1))
    difference = np.where(constant & (np.abs(mean1 - mean2) ** 2 <= floor), 0.0, mean1 - mean2)
    table = t_columns(difference, np.sqrt(total), df, confidence)
    return {**table, "n_1": n1, "n_2": n2}, constant


def paired(difference: Array, confidence: float) -> tuple[Table, NDArray[np.bool_]]:
    """Test whether the mean of paired differences is zero.

    Parameters
    ----------
    difference : numpy.ndarray of shape (people, proteins)
        First minus second; NaN where either is missing.
    confidence : float
        Level of the limits.

    Returns
    -------
    table, constant
        As `welch`; both numbers of samples are the number of pairs.
    """
    mean, variance, n, top = _moments(difference)
    floor = rounding(top)
    constant = variance <= floor
    variance = np.where(constant, floor, variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        se = np.sqrt(variance / n)
    df = np.where(n > 1, n - 1.0, np.nan)
    return {**t_columns(mean, se, df, confidence), "n_1": n, "n_2": n}, constant
