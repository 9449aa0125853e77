"""Who belongs to which group."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import FormatError, MissingModalityError, list_some

__all__ = ["MISSING", "membership"]

MISSING = "missing"


def membership(
    cohort: Cohort, by: Sequence[str], age_bands: Sequence[float], *, skip_absent: bool
) -> dict[str, pd.Series]:
    """Return the group of each row, by column of `subjects`.

    Parameters
    ----------
    cohort : Cohort
        People, n rows.
    by : sequence of str
        Columns.
    age_bands : sequence of float
        Where a band of the column "age" begins, in years; the first begins at birth.
    skip_absent : bool
        Leave out columns that the cohort lacks, instead of refusing them.

    Returns
    -------
    dict of str to pandas.Series
        Categories in their order, "missing" last; index as ``cohort.index``.
    """
    subjects = cohort.subjects
    found = {}
    for name in by:
        if name not in subjects:
            if skip_absent:
                continue
            raise MissingModalityError(
                f"the cohort has no column {name!r} to make groups of",
                remedy=f"columns are {list_some(subjects, 30)}",
            )
        values = subjects[name]
        labels = _bands(values, age_bands) if name == "age" else _levels(values, name)
        found[name] = labels.reindex(cohort.groups).set_axis(cohort.index)
    if not found:
        raise MissingModalityError(f"the cohort has none of {list_some(by)} to make groups of")
    return found


def _bands(values: pd.Series, begins: Sequence[float]) -> pd.Series:
    edges = [float(edge) for edge in begins]
    if not edges or any(b <= a for a, b in itertools.pairwise(edges)):
        raise FormatError(f"age_bands rise, at least one, found {list(begins)}")
    ages = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    names = [f"under {edges[0]:g}"]
    names += [f"{a:g} to under {b:g}" for a, b in itertools.pairwise(edges)]
    names.append(f"{edges[-1]:g} and over")
    codes = np.digitize(ages, edges)
    labels = np.array([*names, MISSING], dtype=object)[np.where(np.isnan(ages), -1, codes)]
    return _ordered(pd.Series(labels, values.index), names)


def _levels(values: pd.Series, name: str) -> pd.Series:
    levels = values.dropna().unique()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and len(levels) > 6:
        raise FormatError(
            f"column {name!r} has {len(levels)} different numbers, which make no groups",
            remedy="add a column of bands with cohort.with_columns, and name that",
        )
    labels = values.astype(object).where(values.notna(), MISSING).map(str)
    return _ordered(labels, [str(level) for level in sorted(levels, key=str)])


def _ordered(labels: pd.Series, names: list[str]) -> pd.Series:
    there = [name for name in [*names, MISSING] if (labels == name).any()]
    return labels.astype(pd.CategoricalDtype(list(dict.fromkeys(there)), ordered=True))
