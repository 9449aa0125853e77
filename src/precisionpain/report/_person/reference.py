"""Where a value lies among those of reference people."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

FEWEST = 5
_FEWEST_RANKS = 39  # values from which on the extreme ones leave 2.5% outside
_TIED = 0.2


@dataclasses.dataclass(frozen=True)
class Place:
    """A value beside its reference: 95% range, percentile, z, and whether it lies outside."""

    n: int
    low: float
    high: float
    percentile: float
    z: float
    outside: bool | None
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


NOWHERE = Place(0, np.nan, np.nan, np.nan, np.nan, None, "no reference")


def place(value: float, reference: pd.Series) -> Place:
    """Place a value among those of reference people.

    Parameters
    ----------
    value : float
        Of the person.
    reference : pandas.Series
        Values of the others, index their ids; a person may have two nerves.

    Returns
    -------
    Place
        Mean ± t(n − 1) SD √(1 + 1/n), in which a further value lies, where n counts people; or,
        where many share one value (no contact, say), the 2.5th and 97.5th percentile, which
        needs 39 values.
    """
    known = reference.dropna()
    x = known.to_numpy(dtype=float)
    n = int(known.index.nunique())
    if n < FEWEST:
        return dataclasses.replace(NOWHERE, n=n, method=f"fewer than {FEWEST} reference people")
    if np.isnan(value):
        return dataclasses.replace(NOWHERE, n=n, method="not measured")
    percentile = 100 * float(np.mean(x < value) + np.mean(x == value) / 2)
    _, counts = np.unique(x, return_counts=True)
    if counts.max() / len(x) > _TIED:
        if len(x) < _FEWEST_RANKS:
            return Place(n, np.nan, np.nan, percentile, np.nan, None, "rank; too few for a range")
        low, high = np.quantile(x, [0.025, 0.975])
        return Place(
            n, float(low), float(high), percentile, np.nan, not low <= value <= high, "rank"
        )
    mean, sd = float(x.mean()), float(x.std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd * np.sqrt(1 + 1 / n)
    low, high = mean - half, mean + half
    if x.min() >= 0:  # what was never negative has no negative range
        low = max(low, 0.0)
    return Place(
        n, low, high, percentile, (value - mean) / sd, not low <= value <= high, "mean and SD"
    )


def published_place(value: float, mean: float, sd: float, source: str) -> Place:
    """Place a value beside a published mean and SD."""
    if np.isnan(value):
        return dataclasses.replace(NOWHERE, method="not measured")
    low, high = mean - 1.96 * sd, mean + 1.96 * sd
    z = (value - mean) / sd
    return Place(
        0, low, high, 100 * float(stats.norm.cdf(z)), z, not low <= value <= high,
        f"published mean ± SD, {source}",
    )  # fmt: skip
