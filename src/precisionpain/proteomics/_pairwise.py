"""Correlations and lines for many pairs of columns at once, with values missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..errors import FormatError, MissingModalityError, list_some

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["deming", "interval", "partial", "pearson", "ranked", "sided_measures"]

Array = NDArray[np.float64]


def ranked(table: Array) -> Array:
    """Rank every column, ties averaged, missing left out."""
    ranks: Array = stats.rankdata(table, axis=0, nan_policy="omit")
    return ranks


def _moments(x: Array, y: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return means and sums of squares and products; x and y are missing together."""
    n = np.isfinite(x).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = np.nansum(x, axis=0) / n, np.nansum(y, axis=0) / n
    dx, dy = x - mean_x, y - mean_y
    return (
        mean_x,
        mean_y,
        np.nansum(dx**2, axis=0),
        np.nansum(dy**2, axis=0),
        np.nansum(dx * dy, axis=0),
    )


def pearson(x: Array, y: Array) -> Array:
    """Return the correlation of each pair of columns; NaN where one doesn't vary."""
    _, _, xx, yy, xy = _moments(x, y)
    tiny = 1e-12
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((xx > tiny) & (yy > tiny), xy / np.sqrt(xx * yy), np.nan)


def interval(
    r: Any, n: Any, k: Any, kind: str, confidence: float
) -> tuple[Array, Array, Array, Array]:
    """Return a (partial) correlation, its limits and p-value; k covariates were held fixed."""
    df = n - 2 - k
    with np.errstate(invalid="ignore", divide="ignore"):
        fine = (df > 1) & np.isfinite(r)
        r = np.where(fine, np.clip(r, -1, 1), np.nan)
        t = r * np.sqrt(df / np.maximum(1 - r**2, 0))
        p = 2 * stats.t.sf(np.abs(t), np.maximum(df, 1))
        # Fisher's z; ranks spread a little more (Bonett & Wright).
        spread = 1 + r**2 / 2 if kind == "spearman" else np.ones_like(r)
        half = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(spread / (df - 1))
        z = np.arctanh(r)
        low, high = np.tanh(z - half), np.tanh(z + half)
    return r, low, high, np.where(fine, p, np.nan)


def _deming(x: Array, y: Array, ratio: float) -> tuple[Array, Array]:
    mean_x, mean_y, xx, yy, xy = _moments(x, y)
    gap = yy - ratio * xx
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (gap + np.sqrt(gap**2 + 4 * ratio * xy**2)) / (2 * xy)
    return slope, mean_y - slope * mean_x


def deming(x: Array, y: Array, ratio: float, confidence: float) -> dict[str, Array]:
    """Return Deming's line of each pair of columns, with jackknife limits of the slope.

    `ratio` is the variance of the error of y over that of x.
    """
    if not ratio > 0:
        raise FormatError(f"expected error_ratio above 0, found {ratio!r}")
    slope, intercept = _deming(x, y, ratio)
    n = np.isfinite(x).sum(axis=0)
    pseudo = np.full(x.shape, np.nan)
    for row in range(len(x)):
        without = np.delete(np.arange(len(x)), row)
        left_out, _ = _deming(x[without], y[without], ratio)
        with np.errstate(invalid="ignore"):
            pseudo[row] = np.where(np.isfinite(x[row]), n * slope - (n - 1) * left_out, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(pseudo, axis=0) / n
        se = np.sqrt(np.nansum((pseudo - mean) ** 2, axis=0) / (n - 1) / n)
    half = stats.t.ppf((1 + confidence) / 2, np.maximum(n - 1, 1)) * se
    return {
        "slope": slope,
        "slope_low": slope - half,
        "slope_high": slope + half,
        "intercept": intercept,
    }


def partial(
    proteins: Array, measures: Array, held: Array, *, ranks: bool, min_n: int
) -> dict[str, Array]:
    """Relate every column of `proteins` to every column of `measures`, given `held`.

    Columns with the same people missing share one projection.

    Parameters
    ----------
    proteins, measures : numpy.ndarray of shape (people, p), (people, q)
        May have missing values.
    held : numpy.ndarray of shape (people, k + 1)
        Constant and covariates; complete.
    ranks : bool
        Whether to rank first.
    min_n : int
        Pairs with fewer people stay missing.

    Returns
    -------
    dict of str to numpy.ndarray of shape (p, q)
        ``n``, ``k`` (rank of the covariates beside the constant), ``df``, ``r``, ``slope``,
        ``slope_se``.
    """
    shape = proteins.shape[1], measures.shape[1]
    out = {name: np.full(shape, np.nan) for name in ("r", "slope", "slope_se")}
    counts = {name: np.zeros(shape, dtype=np.intp) for name in ("n", "k", "df")}
    known_p, group_p = np.unique(np.isfinite(proteins), axis=1, return_inverse=True)
    known_m, group_m = np.unique(np.isfinite(measures), axis=1, return_inverse=True)
    group_p, group_m = group_p.reshape(-1), group_m.reshape(-1)
    for a in range(known_p.shape[1]):
        for b in range(known_m.shape[1]):
            rows = known_p[:, a] & known_m[:, b]
            cell = np.ix_(group_p == a, group_m == b)
            n = int(rows.sum())
            counts["n"][cell] = n
            if n == 0:
                continue
            own = proteins[np.ix_(rows, group_p == a)], measures[np.ix_(rows, group_m == b)]
            fixed = held[rows]
            if ranks:
                own = ranked(own[0]), ranked(own[1])
                fixed = np.hstack([fixed[:, :1], ranked(fixed[:, 1:])])
            rank, left = _residuals(fixed, *own)
            counts["k"][cell], counts["df"][cell] = rank - 1, n - rank - 1
            if n < min_n or n - rank - 1 < 2:
                continue
            y, x = left
            xx, yy, xy = (x**2).sum(axis=0), (y**2).sum(axis=0)[:, None], y.T @ x
            # What the covariates explain fully has only rounding left.
            total_x = ((own[1] - own[1].mean(axis=0)) ** 2).sum(axis=0)
            total_y = ((own[0] - own[0].mean(axis=0)) ** 2).sum(axis=0)[:, None]
            fine = (xx > 1e-12 * total_x) & (yy > 1e-12 * total_y) & (xx > 0) & (yy > 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                r = np.where(fine, xy / np.sqrt(xx * yy), np.nan)
                out["r"][cell] = r
                out["slope"][cell] = np.where(fine, xy / xx, np.nan)
                rest = np.maximum(yy - xy**2 / xx, 0) / (n - rank - 1)
                out["slope_se"][cell] = np.where(fine, np.sqrt(rest / xx), np.nan)
    return {**out, **counts}


def _residuals(fixed: Array, *tables: Array) -> tuple[int, list[Array]]:
    """Take out what the columns of `fixed` explain; aliased columns count once."""
    scale = np.sqrt((fixed**2).sum(axis=0))
    u, s, _ = np.linalg.svd(fixed / np.where(scale > 0, scale, 1), full_matrices=False)
    basis = u[:, s > 1e-10 * s[0]]
    return basis.shape[1], [table - basis @ (basis.T @ table) for table in tables]


def sided_measures(
    cohort: Cohort, name: str, side: str, columns: Sequence[str] | None
) -> pd.DataFrame:
    """Return a measurement table with one row per person (and visit): that of the asked side.

    Sides are anatomical in the table; the affected one is told by the subjects table.
    """
    table = cohort.measurements[name]
    if "side" not in table:
        return table
    if side not in ("affected", "contralateral", "mean"):
        raise FormatError(f"side is 'affected', 'contralateral' or 'mean', found {side!r}")
    if "affected_side" not in cohort.subjects:
        if side != "mean":
            raise MissingModalityError(
                "subjects have no 'affected_side'", remedy="take side='mean'"
            )
        affected = pd.Series(None, index=table.index, dtype=object)
    else:
        affected = table["subject_id"].map(cohort.subjects["affected_side"]).astype(object)
    keys = [key for key in ("subject_id", "visit", "run") if key in table]
    numbers = [
        c for c in table.select_dtypes(include=["number", "bool"]).columns
        if c not in keys and (columns is None or c in columns)
    ]  # fmt: skip
    absent = [c for c in columns or () if c not in numbers]
    if absent:
        raise MissingModalityError(
            f"measurements[{name!r}] has no column of numbers {list_some(absent)}",
            remedy=f"columns are {list_some(table.columns, 30)}",
        )
    own = table["side"].astype(object)
    if side == "mean":
        rows = own.isin(["left", "right"])
    elif side == "affected":
        rows = (own == affected) | (affected == "bilateral")
    else:
        rows = affected.isin(["left", "right"]) & own.isin(["left", "right"]) & (own != affected)
    kept = table[rows.to_numpy(dtype=bool)]
    # Missing on one side of two is missing in their mean.
    kept = kept[keys].join(kept[numbers].astype(float))
    grouped = kept.groupby(keys, sort=False, dropna=False)[numbers]
    mean = grouped.mean().where(grouped.count().eq(grouped.size(), axis=0))
    if side == "mean" or (affected == "bilateral").any():
        both = kept.groupby(keys, sort=False, dropna=False).size() == 2
        needed = (
            both if side == "mean"
            else both | ~_bilateral(mean, cohort)
        )  # fmt: skip
        mean = mean[needed.to_numpy()]
    return mean.reset_index()


def _bilateral(mean: pd.DataFrame, cohort: Cohort) -> pd.Series:
    people = mean.index.get_level_values("subject_id")
    found = cohort.subjects["affected_side"].reindex(people) == "bilateral"
    return pd.Series(found.to_numpy(dtype=bool), index=mean.index)
