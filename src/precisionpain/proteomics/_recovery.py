"""The numbers behind the normalisation index: halves, resamples, and Fieller's limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Resampled", "column_mean", "column_var", "per_protein"]

Array = NDArray[np.float64]
# Cells of a table of resamples × proteins that are held at a time.
_BLOCK = 2_000_000


class Resampled:
    """Weighted means of many resamples at once; a weight is how often a person was drawn.

    Parameters
    ----------
    before, after : numpy.ndarray of shape (patients, proteins)
        The same patients row by row; missing is NaN.
    control : numpy.ndarray of shape (controls, proteins)
        Controls.
    count : int
        How many proteins to select.
    fixed : numpy.ndarray of int, optional
        Which proteins; then only their directions are learned.
    """

    def __init__(
        self, before: Array, after: Array, control: Array, count: int,
        fixed: NDArray[np.intp] | None,
    ) -> None:  # fmt: skip
        self.count, self.fixed = count, fixed
        tables = (before, before - after, control)
        self.known = [np.isfinite(table).astype(float) for table in tables]
        self.value = [np.nan_to_num(table) for table in tables]
        self.square = [value**2 for value in self.value]

    def halves(
        self, patients: Array, controls: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Select in one half of the people and measure in the other, both ways round.

        Parameters
        ----------
        patients, controls : numpy.ndarray of shape (resamples, people)
            How often each was drawn; each resample is split anew, and copies of a person stay
            together.
        rng : numpy.random.Generator
            Source of the halves.

        Returns
        -------
        change, difference : numpy.ndarray of shape (resamples,)
            Means over the selected proteins, in their directions.
        picked : numpy.ndarray of shape (proteins,)
            Share of the selections that have the protein.
        """
        n, p = len(patients), self.value[0].shape[1]
        change, difference, picked = np.empty(n), np.empty(n), np.zeros(p)
        step = max(1, _BLOCK // p)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            whole = patients[rows], controls[rows]
            flags = [_half(weights, rng) for weights in whole]
            one = whole[0] * flags[0], whole[1] * flags[1]
            two = whole[0] - one[0], whole[1] - one[1]
            there, back = self.measure(one, two), self.measure(two, one)
            change[rows] = (there[0] + back[0]) / 2
            difference[rows] = (there[1] + back[1]) / 2
            picked += (there[2] + back[2]) / (2 * n)
        return change, difference, picked

    def measure(
        self, select: tuple[Array, Array], use: tuple[Array, Array]
    ) -> tuple[Array, Array, Array]:
        """Return change and difference of the selected proteins, and how often each was one."""
        t = self._t(*select)
        if self.fixed is None:
            chosen = np.argpartition(-np.abs(t), self.count - 1, axis=1)[:, : self.count]
        else:
            chosen = np.broadcast_to(self.fixed, (len(t), self.count))
        picked = np.bincount(chosen.ravel(), minlength=t.shape[1]).astype(float)
        sign = np.sign(np.take_along_axis(t, chosen, axis=1))
        difference = self._mean(0, use[0]) - self._mean(2, use[1])
        own = np.take_along_axis(difference, chosen, axis=1)
        moved = np.take_along_axis(self._mean(1, use[0]), chosen, axis=1)
        fine = np.isfinite(own) & np.isfinite(moved) & (sign != 0)
        n = fine.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (
                np.where(fine, sign * moved, 0.0).sum(axis=1) / n,
                np.where(fine, sign * own, 0.0).sum(axis=1) / n,
                picked,
            )

    def _mean(self, which: int, weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights @ self.value[which]) / (weights @ self.known[which])

    def _t(self, patients: Array, controls: Array) -> Array:
        """Welch's t of pre − control, with weights as counts."""
        means, errors = [], []
        for which, weights in ((0, patients), (2, controls)):
            n = weights @ self.known[which]
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = (weights @ self.value[which]) / n
                spread = weights @ self.square[which] - n * mean**2
                errors.append(np.maximum(spread, 0) / (n - 1) / n)
            means.append(mean)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = (means[0] - means[1]) / np.sqrt(errors[0] + errors[1])
        return np.where(np.isfinite(t), t, 0.0)


def _half(weights: Array, rng: np.random.Generator) -> Array:
    """Flag half of those drawn, row by row, so that neither half is empty."""
    drawn = weights > 0
    place = np.where(drawn, rng.random(weights.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return (place < drawn.sum(axis=1, keepdims=True) // 2).astype(float)


def per_protein(
    before: Array, after: Array, control: Array, names: pd.Index, picked: Array, confidence: float
) -> pd.DataFrame:
    """Index of every protein with Fieller's limits, from all people."""
    paired = np.isfinite(before) & np.isfinite(after)
    pre = np.where(paired, before, np.nan)
    change = pre - after
    n, n_c = paired.sum(axis=0), np.isfinite(control).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        known_c = np.isfinite(control)
        mean_pre, mean_change = (column_mean(table, n) for table in (pre, change))
        mean_c = column_mean(control, n_c)
        v_change = column_var(change, mean_change, n) / n
        v_pre = column_var(pre, mean_pre, n) / n
        product = np.where(paired, (change - mean_change) * (pre - mean_pre), 0.0)
        covariance = product.sum(axis=0) / (n - 1) / n
        v_c = column_var(np.where(known_c, control, np.nan), mean_c, n_c) / n_c
        difference, v_difference = mean_pre - mean_c, v_pre + v_c
        df = v_difference**2 / (v_pre**2 / (n - 1) + v_c**2 / (n_c - 1))
        t = difference / np.sqrt(v_difference)
        p_value = 2 * stats.t.sf(np.abs(t), df)
        # Fieller: the ratios r for which change − r · difference could be 0.
        q = stats.t.ppf((1 + confidence) / 2, df) ** 2
        a = difference**2 - q * v_difference
        b = mean_change * difference - q * covariance
        root = np.sqrt(b**2 - a * (mean_change**2 - q * v_change))
        bounded = a > 0
        index = np.where(bounded, mean_change / difference, np.nan)
        low = np.where(bounded, (b - root) / a, np.nan)
        high = np.where(bounded, (b + root) / a, np.nan)
    return pd.DataFrame(
        {
            "selected": picked,
            "n": n,
            "difference": difference,
            "difference_p": p_value,
            "change": mean_change,
            "index": index,
            "ci_low": low,
            "ci_high": high,
        },
        index=names,
    )


def column_mean(table: Array, n: NDArray[np.intp]) -> Array:
    """Return the mean of what is known; `n` counts it."""
    return np.nansum(table, axis=0) / n


def column_var(table: Array, mean: Array, n: NDArray[np.intp]) -> Array:
    """Return the variance of what is known."""
    return np.nansum((table - mean) ** 2, axis=0) / (n - 1)
