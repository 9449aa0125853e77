"""Scores of a person against controls: mean z of several proteins, its limits, and a distance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Layout", "MeanZ", "distances", "mean_z", "z_against"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which analyte each column measures, and its direction.

    Parameters
    ----------
    analyte : numpy.ndarray of int
        One per column; several columns may measure one analyte.
    sign : numpy.ndarray of float
        1 or -1 per column.
    """

    analyte: NDArray[np.intp]
    sign: Array

    def weights(self, measured: Flags) -> Array:
        """Weights of a mean over analytes; the assays of one share its weight."""
        weights = np.zeros(len(measured))
        found = self.analyte[measured]
        if len(found):
            names, counts = np.unique(found, return_counts=True)
            share = dict(zip(names.tolist(), counts.tolist(), strict=True))
            each = np.array([share[a] for a in found.tolist()], dtype=float)
            weights[measured] = self.sign[measured] / each / len(names)
        return weights


@dataclasses.dataclass(frozen=True)
class MeanZ:
    """Mean z of each row, and the limits in which a further control lies."""

    score: Array
    low: Array
    high: Array
    n_controls: NDArray[np.intp]


def z_against(values: Array, controls: Array) -> Array:
    """Return (x − mean) / SD of the controls; NaN where fewer than 3, or none varies."""
    known = np.isfinite(controls)
    n = known.sum(axis=0)
    filled = np.where(known, controls, 0.0)
    mean = filled.sum(axis=0) / np.maximum(n, 1)
    spread = (np.where(known, controls - mean, 0.0) ** 2).sum(axis=0)
    sd = np.sqrt(spread / np.maximum(n - 1, 1))
    # A rounded sum leaves dust where all controls agree.
    fine = (n >= 3) & (sd > 1e-9 * np.maximum(1.0, np.abs(mean)))
    return np.where(fine, (values - mean) / np.where(fine, sd, 1.0), np.nan)


def _by_pattern(measured: Flags) -> Iterator[tuple[Flags, NDArray[np.intp]]]:
    """Yield each set of measured columns with the rows that have it."""
    if (measured == measured[:1]).all():
        if len(measured):
            yield measured[0], np.arange(len(measured))
        return
    patterns, of_row = np.unique(measured, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    for i, pattern in enumerate(patterns):
        yield pattern, np.flatnonzero(of_row == i)


def mean_z(z: Array, controls: Array, layout: Layout, confidence: float) -> MeanZ:
    """Return the signed mean z of each row, with prediction limits.

    The limits are those of a further control: mean ± t(n − 1) · s · √(1 + 1/n) of the same
    mean in the controls that have the same proteins measured.

    Parameters
    ----------
    z, controls : numpy.ndarray of shape (rows, columns), (controls, columns)
        z against these controls, of the rows and of the controls themselves.
    layout : Layout
        Of the columns.
    confidence : float
        Level of the limits.
    """
    n = len(z)
    score, low, high = (np.full(n, np.nan) for _ in range(3))
    count = np.zeros(n, dtype=np.intp)
    for pattern, rows in _by_pattern(np.isfinite(z)):
        if not pattern.any():
            continue
        weights = layout.weights(pattern)[pattern]
        score[rows] = z[np.ix_(rows, np.flatnonzero(pattern))] @ weights
        same = controls[:, pattern]
        own = same[np.isfinite(same).all(axis=1)] @ weights
        count[rows] = len(own)
        if len(own) >= 3:
            t = special.stdtrit(len(own) - 1, (1 + confidence) / 2)
            half = t * own.std(ddof=1) * np.sqrt(1 + 1 / len(own))
            low[rows], high[rows] = own.mean() - half, own.mean() + half
    return MeanZ(score, low, high, count)


def distances(z: Array, controls: Array, layout: Layout) -> tuple[Array, Array]:
    """Return Mahalanobis distances from the controls, and their p-values.

    With n controls and k analytes, n (n − k) / ((n² − 1) k) · D² follows F(k, n − k) for a
    further control of a normal population (Hotelling's T² for one new observation). NaN where
    n ≤ k: such controls say nothing about a distance.

    Parameters
    ----------
    z, controls : numpy.ndarray
        As for `mean_z`.
    layout : Layout
        Of the columns; the assays of an analyte are averaged.
    """
    of_analyte = np.unique(layout.analyte)

    def averaged(table: Array) -> Array:
        columns = []
        for analyte in of_analyte:
            own = table[:, layout.analyte == analyte]
            known = np.isfinite(own)
            total = np.where(known, own, 0.0).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                columns.append(total / known.sum(axis=1))
        return np.column_stack(columns) if columns else np.empty((len(table), 0))

    rows_z, controls_z = averaged(z), averaged(controls)
    distance, p_value = np.full(len(z), np.nan), np.full(len(z), np.nan)
    for pattern, rows in _by_pattern(np.isfinite(rows_z)):
        k = int(pattern.sum())
        own = controls_z[:, pattern]
        own = own[np.isfinite(own).all(axis=1)]
        n = len(own)
        if k == 0 or n <= k:
            continue
        cov = np.atleast_2d(np.cov(own, rowvar=False))
        if np.linalg.matrix_rank(cov) < k:
            continue
        away = rows_z[np.ix_(rows, np.flatnonzero(pattern))] - own.mean(axis=0)
        squared = np.einsum("ij,ij->i", away, np.linalg.solve(cov, away.T).T)
        distance[rows] = np.sqrt(squared)
        p_value[rows] = special.fdtrc(k, n - k, squared * n * (n - k) / ((n**2 - 1) * k))
    return distance, p_value
