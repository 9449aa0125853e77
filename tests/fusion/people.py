"""Made-up people with blocks of numbers, some of them missing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special

from precisionpain.cohort import Cohort


def names(n: int) -> list[str]:
    return [f"s{i:04d}" for i in range(n)]


def cohort_of(tables: Mapping[str, pd.DataFrame], n: int) -> Cohort:
    """People with one measurement table for each block; who has no row lacks the block."""
    subjects = pd.DataFrame({"age": np.linspace(30, 80, n)}, pd.Index(names(n), name="subject_id"))
    measured = {
        name: table.rename_axis("subject_id").reset_index() for name, table in tables.items()
    }
    return Cohort(subjects, measurements=measured)


def numbers(n: int, p: int, seed: int, prefix: str = "x") -> pd.DataFrame:
    """Independent standard normal columns."""
    values = np.random.default_rng(seed).normal(size=(n, p))
    return pd.DataFrame(values, names(n), [f"{prefix}{j}" for j in range(p)])


def informed(
    n: int,
    seed: int,
    *,
    strengths: Mapping[str, float],
    p: int = 4,
    missing: float = 0.0,
) -> tuple[Cohort, np.ndarray]:
    """Blocks of p columns; the sum of each, with SD 1, times its strength is its log odds."""
    rng = np.random.default_rng([seed, 1])
    tables, eta = {}, np.zeros(n)
    for k, (name, strength) in enumerate(strengths.items()):
        table = numbers(n, p, 1000 * seed + k)
        eta += strength * table.sum(axis=1).to_numpy() / np.sqrt(p)
        tables[name] = table[rng.random(n) >= missing]
    y = (rng.random(n) < special.expit(eta)).astype(int)
    return cohort_of(tables, n), y
