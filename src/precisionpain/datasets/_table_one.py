"""Table 1 of the study of chronic pain after mild head injury, and ratings that meet it exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from ..errors import PrecisionPainError
from ._draw import beta_from, whole

__all__ = ["AGES", "CHRONIC_FROM", "N_CHRONIC", "N_RECOVERED", "TABLE_ONE", "Row", "ratings"]

N_CHRONIC, N_RECOVERED = 55, 73
CHRONIC_FROM = 30  # a mean rating of head or neck at 12 months of at least this is chronic pain


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of Table 1: mean and SD of either group, and the rank-sum statistic W.

    W is the Mann-Whitney count of pairs in which the chronic one is higher, ties by half.
    """

    chronic: tuple[float, float]
    recovered: tuple[float, float]
    w: float | None = None


# Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587, Table 1.
TABLE_ONE = {
    "age": Row((36.9, 12.0), (36.4, 11.2), 2041.0),  # not printed, but p = .874 says so
    "head_baseline": Row((48.2, 28.5), (37.5, 25.2), 2446.5),
    "neck_baseline": Row((60.5, 25.4), (43.8, 28.0), 2682.0),
    "max_baseline": Row((63.7, 25.1), (51.3, 25.7), 2570.5),
    "head_12mo": Row((50.5, 31.7), (2.3, 6.1), 3558.5),
    "neck_12mo": Row((48.5, 27.8), (1.95, 5.5), 3700.5),
    "max_12mo": Row((63.0, 20.9), (3.4, 7.5), 4015.0),
}
_TOP = 100
AGES = (18, 67)
_REACH = 40  # how far a rating may move from where it was drawn
_HEAT = 0.8
_ATTEMPTS, _DRAWS = 20, 100
_TOLERANCE = 0.0195  # of means and SDs
_SCALE = np.arange(_TOP + 1)


def ratings(chronic: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Draw age and pain ratings, meeting Table 1 where the groups are of its size.

    Parameters
    ----------
    chronic : numpy.ndarray of bool
        Who develops chronic pain, shape (n,).
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pandas.DataFrame
        Whole numbers, columns as the keys of `TABLE_ONE`. With 55 chronic and 73 recovered
        people, means and SDs meet the table within 0.02 and W within 0.5; else the values
        come from distributions with about its means and SDs.

    Raises
    ------
    PrecisionPainError
        When the table could not be met, which would be a fault of the library.
    """
    exact = (int(chronic.sum()), int((~chronic).sum())) == (N_CHRONIC, N_RECOVERED)
    zero, top = np.zeros(len(chronic)), np.full(len(chronic), _TOP)
    blocks: list[pd.DataFrame] = []
    for names, draw, low, high, least in (
        (["age"], _age, zero + AGES[0], zero + AGES[1], zero),
        (["head_baseline", "neck_baseline", "max_baseline"], _baseline, zero, top, zero),
        (
            ["head_12mo", "neck_12mo", "max_12mo"],
            _later,
            zero,
            np.where(chronic, _TOP, CHRONIC_FROM - 1),
            np.where(chronic, CHRONIC_FROM, 0),
        ),
    ):
        table = [TABLE_ONE[name] for name in names]
        bounds = np.column_stack([low, high, least])
        free = draw(chronic, rng)
        if exact:
            free = _matched(draw, chronic, table, bounds, rng)
        blocks.append(pd.DataFrame(_with_maximum(free), columns=names))
    return pd.concat(blocks, axis=1)


def _matched(
    draw: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    chronic: np.ndarray,
    rows: list[Row],
    bounds: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw until something is near the table, and bring it there."""
    for _ in range(_ATTEMPTS):
        drawn = [draw(chronic, rng) for _ in range(_DRAWS)]
        nearest = min(drawn, key=lambda free: _total_distance(free, chronic, rows))
        free = _anneal(nearest, chronic, rows, bounds, rng)
        if free is not None:
            return free
    raise PrecisionPainError("no ratings found that meet Table 1", remedy="report the seed")


def _with_maximum(free: np.ndarray) -> np.ndarray:
    return np.column_stack([free, free.max(axis=1)]) if free.shape[1] == 2 else free


def _moments(name: str, chronic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row = TABLE_ONE[name]
    mean, sd = (np.where(chronic, a, b) for a, b in zip(row.chronic, row.recovered, strict=True))
    return mean, sd


def _age(chronic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    score = rng.standard_normal(len(chronic))
    mean, sd = _moments("age", chronic)
    return whole(beta_from(score, mean, sd, AGES[0] - 0.5, AGES[1] + 0.5), *AGES)[:, None]


def _baseline(chronic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # The mean of the maximum sets how closely head and neck go together in either group.
    z = rng.standard_normal((len(chronic), 2))
    together = np.where(chronic, 0.85, 0.65)
    other = together * z[:, 0] + np.sqrt(1 - together**2) * z[:, 1]
    head = beta_from(z[:, 0], *_moments("head_baseline", chronic), 0, _TOP)
    neck = beta_from(other, *_moments("neck_baseline", chronic), 0, _TOP)
    return whole(np.column_stack([head, neck]), 0, _TOP)


def _later(chronic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # First the worse of the two, then which it is, then the other as a share of it. Three in
    # four of the recovered have no pain at all.
    n = len(chronic)
    z = rng.standard_normal(n)
    high, low = CHRONIC_FROM - 0.5, _TOP + 0.5
    painful = beta_from(z, *TABLE_ONE["max_12mo"].chronic, high, low)
    mild = beta_from(z, 13.7, 8.5, 0.5, high) * (rng.random(n) < 0.25)
    worse = whole(np.where(chronic, painful, mild), 0, _TOP)
    head = rng.random(n) < np.where(chronic, 0.60, 0.58)
    none = rng.random(n) < np.where(chronic, np.where(head, 0.22, 0.42), 0.62)
    other = np.rint(np.where(none, 0.0, 1 - 0.35 * rng.random(n)) * worse)
    return np.column_stack([np.where(head, worse, other), np.where(head, other, worse)])


def _anneal(
    free: np.ndarray, chronic: np.ndarray, rows: list[Row], bounds: np.ndarray,
    rng: np.random.Generator, sweeps: int = 40,
) -> np.ndarray | None:
    """Change ratings, one at a time, until the table is met; None when it never is.

    Each step weighs all values that one rating may take, and takes one that brings the table
    near, with a little noise (a heat bath) to get out of dead ends. `bounds` holds each person's
    lowest and highest rating, and the least that the maximum may be.
    """
    values = _with_maximum(free).astype(int)
    start = values.copy()
    group = np.where(chronic, 0, 1)
    n_rows, n_free = values.shape[1], free.shape[1]
    counts = _counts(values, chronic)
    far = np.full((n_rows, 2), np.inf)
    for _ in range(sweeps):
        for flat in rng.permutation(len(values) * n_free):
            i, j = divmod(int(flat), n_free)
            low, high, least = bounds[i]
            first = int(max(low, start[i, j] - _REACH))
            options = np.arange(first, int(min(high, start[i, j] + _REACH)) + 1)
            worst = np.maximum(options, values[i, 1 - j] if n_free == 2 else 0)
            options, worst = options[worst >= least], worst[worst >= least]
            changes = {j: options, n_rows - 1: worst}
            parts = {
                c: _distance(counts[c], group[i], values[i, c], new, rows[c])
                for c, new in changes.items()
            }
            noise = _HEAT * rng.gumbel(size=len(options))
            best = int(np.argmin(sum(parts.values(), noise)))
            for c, new in changes.items():
                counts[c, group[i], values[i, c]] -= 1
                counts[c, group[i], new[best]] += 1
                values[i, c] = new[best]
                far[c, group[i]] = parts[c][best]
            if far.max() < 3 and all(map(_met, counts, rows)):
                return values[:, :n_free]
    return None


def _counts(values: np.ndarray, chronic: np.ndarray) -> np.ndarray:
    """Count the people with each value, shape (row of the table, group, value)."""
    return np.array(
        [
            [np.bincount(column[who].astype(int), minlength=_TOP + 1) for who in (chronic, ~chronic)]
            for column in values.T
        ]
    )


def _total_distance(free: np.ndarray, chronic: np.ndarray, rows: list[Row]) -> float:
    none = np.zeros(1, dtype=int)
    return sum(
        float(_distance(count, group, 0, none, row)[0])
        for count, row in zip(_counts(_with_maximum(free), chronic), rows, strict=True)
        for group in (0, 1)
    )


def _mean_sd(total: np.ndarray, squares: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    mean = total / n
    return mean, np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1))


def _lower(count: np.ndarray) -> np.ndarray:
    """Count, for each value, those of a group that are lower, and half of those that equal it."""
    return np.cumsum(count) - 0.5 * count


def _distance(
    count: np.ndarray, group: int, old: int, new: np.ndarray, row: Row
) -> np.ndarray:
    """Say how far the table would be if one person of a group had a new value."""
    own = count[group]
    wanted = (row.chronic, row.recovered)[group]
    mean, sd = _mean_sd(
        own @ _SCALE - old + new, own @ _SCALE**2 - old**2 + new**2, int(own.sum())
    )
    far = (np.abs(mean - wanted[0]) + np.abs(sd - wanted[1])) / _TOLERANCE
    if row.w is not None:
        lower = _lower(count[1])
        gain = lower[new] - lower[old]
        if group == 1:
            higher = count[0].sum() - _lower(count[0])
            gain = higher[new] - higher[old]
        far = far + 2 * np.abs(count[0] @ lower + gain - row.w)
    return far


def _met(count: np.ndarray, row: Row) -> bool:
    for own, wanted in zip(count, (row.chronic, row.recovered), strict=True):
        found = _mean_sd(own @ _SCALE, own @ _SCALE**2, int(own.sum()))
        if any(abs(a - b) > _TOLERANCE for a, b in zip(found, wanted, strict=True)):
            return False
    return row.w is None or abs(count[0] @ _lower(count[1]) - row.w) <= 0.5
