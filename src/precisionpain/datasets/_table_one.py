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
_ATTEMPTS, _DRAWS, _SWEEPS = 30, 100, 35
_HEAT, _COOLING = 20.0, 0.85
_TOLERANCE = 0.0195  # of means and SDs
_SCALE = np.arange(_TOP + 1)


@dataclasses.dataclass(frozen=True)
class _Goal:
    """What a column of one group must reach; `lower` counts the other group's lower values."""

    mean: float
    sd: float
    w: float | None = None
    lower: np.ndarray | None = None

    def distance(self, count: np.ndarray, old: int, new: np.ndarray) -> np.ndarray:
        """Say how far off the group would be if one person went from the old to a new value.

        In units of the tolerance; `count` holds the people with each value.
        """
        n = count.sum()
        mean = (count @ _SCALE - old + new) / n
        squares = count @ _SCALE**2 - old**2 + new**2
        sd = np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1))
        far = (np.abs(mean - self.mean) + np.abs(sd - self.sd)) / _TOLERANCE
        if self.w is not None and self.lower is not None:
            w = count @ self.lower - self.lower[old] + self.lower[new]
            far = far + 2 * np.abs(w - self.w)
        return far

    def met(self, count: np.ndarray) -> bool:
        n = count.sum()
        mean = count @ _SCALE / n
        sd = np.sqrt((count @ _SCALE**2 - n * mean**2) / (n - 1))
        if max(abs(mean - self.mean), abs(sd - self.sd)) > _TOLERANCE:
            return False
        return self.w is None or abs(count @ self.lower - self.w) <= 0.5


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
    blocks: list[pd.DataFrame] = []
    # Lowest and highest value of the recovered and of the chronic, and the least of the maximum.
    for names, draw, limits in (
        (["age"], _age, ((*AGES, 0), (*AGES, 0))),
        (["head_baseline", "neck_baseline", "max_baseline"], _baseline, ((0, _TOP, 0),) * 2),
        (
            ["head_12mo", "neck_12mo", "max_12mo"],
            _later,
            ((0, CHRONIC_FROM - 1, 0), (0, _TOP, CHRONIC_FROM)),
        ),
    ):
        rows = [TABLE_ONE[name] for name in names]
        values = np.zeros((len(chronic), len(names)))
        if exact:
            # The recovered first: they have no W to mind, the chronic are then fitted to them.
            goals = [_Goal(*row.recovered) for row in rows]
            values[~chronic] = _fitted(draw, chronic[~chronic], goals, limits[0], rng)
            lower = [_lower(_count(column)) for column in values[~chronic].T]
            goals = [_Goal(*row.chronic, row.w, low) for row, low in zip(rows, lower, strict=True)]
            values[chronic] = _fitted(draw, chronic[chronic], goals, limits[1], rng)
        else:
            values[:] = _with_maximum(draw(chronic, rng))
        blocks.append(pd.DataFrame(values, columns=names))
    return pd.concat(blocks, axis=1)


def _with_maximum(free: np.ndarray) -> np.ndarray:
    return np.column_stack([free, free.max(axis=1)]) if free.shape[1] == 2 else free


def _count(values: np.ndarray) -> np.ndarray:
    return np.bincount(values.astype(int), minlength=_TOP + 1)


def _lower(count: np.ndarray) -> np.ndarray:
    """Count, for each value, those of a group that are lower, and half of those that equal it."""
    return np.cumsum(count) - 0.5 * count


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


def _fitted(
    draw: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    chronic: np.ndarray,
    goals: list[_Goal],
    limits: tuple[int, int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw one group until it is near its goals, and bring it there."""

    def far(values: np.ndarray) -> float:
        none = np.zeros(1, dtype=int)
        counts = [_count(column) for column in values.T]
        return sum(float(g.distance(c, 0, none)[0]) for g, c in zip(goals, counts, strict=True))

    for _ in range(_ATTEMPTS):
        drawn = [_with_maximum(draw(chronic, rng)).astype(int) for _ in range(_DRAWS)]
        values = min(drawn, key=far)
        if _anneal(values, goals, limits, rng):
            return values
    raise PrecisionPainError("no ratings found that meet Table 1", remedy="report the seed")


def _anneal(
    values: np.ndarray, goals: list[_Goal], limits: tuple[int, int, int], rng: np.random.Generator
) -> bool:
    """Change values in place, one at a time, until the goals are met; tell whether they are.

    Each step weighs all values that one rating may take, and takes one that brings the group
    near its goals, give or take a noise that dies away (a heat bath).
    """
    low, high, least = limits
    n_rows = values.shape[1]
    n_free = min(n_rows, 2)
    start = values.copy()
    counts = [_count(column) for column in values.T]
    for sweep in range(_SWEEPS):
        heat = _HEAT * _COOLING**sweep
        for flat in rng.permutation(len(values) * n_free):
            i, j = divmod(int(flat), n_free)
            first = max(low, start[i, j] - _REACH)
            options = np.arange(first, min(high, start[i, j] + _REACH) + 1)
            worst = np.maximum(options, values[i, 1 - j] if n_free == 2 else 0)
            options, worst = options[worst >= least], worst[worst >= least]
            changes = {j: options, n_rows - 1: worst}
            cost = heat * rng.gumbel(size=len(options))
            for c, new in changes.items():
                cost += goals[c].distance(counts[c], values[i, c], new)
            best = int(np.argmin(cost))
            for c, new in changes.items():
                counts[c][values[i, c]] -= 1
                counts[c][new[best]] += 1
                values[i, c] = new[best]
            if cost[best] < 8 and all(g.met(c) for g, c in zip(goals, counts, strict=True)):
                return True
    return False
