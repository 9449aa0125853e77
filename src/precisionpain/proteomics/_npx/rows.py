"""Which runs are one sample: rows of the matrix, and their names.

A run is a sample on one plate, well, panel and block of one file. Runs of a SampleID are one
row as long as no panel comes twice. Else the first of these keeps them apart: the file's
``Index``; file and ``Index``; plate; plate and well; all of them. Runs are never paired by
their order.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, list_some

__all__ = ["name_rows", "rows_of_runs"]

_LADDER = (
    ("sample_index",),
    ("file", "sample_index"),
    ("plate",),
    ("plate", "well"),
    ("file", "sample_index", "plate", "well"),
)


def rows_of_runs(runs: pd.DataFrame, person: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the row of each run; rows are numbered in the order of appearance.

    Parameters
    ----------
    runs : pandas.DataFrame
        ``file``, ``obs_name``, ``sample_id``, ``sample_index``, ``plate``, ``well``,
        ``panel`` and ``block``.
    person : ndarray of bool
        Which runs are samples of people.

    Raises
    ------
    AlignmentError
        When two files measured the same panel of the same person's sample.
    """
    unit = ["sample_id", "panel", "block"]
    named = runs["obs_name"].notna()
    clash = runs.loc[person & ~named & runs["panel"].notna()].groupby(unit, dropna=False)["file"]
    twice = clash.nunique()
    if (twice > 1).any():
        ids = list(dict.fromkeys(key[0] for key in twice.index[twice > 1]))
        raise AlignmentError(
            f"the samples {list_some(ids)} are on the same panel in more than one file",
            remedy="read projects one by one and bridge them; or leave out one copy",
        )
    key: list[tuple[object, ...]] = [(name,) for name in runs["sample_id"]]
    again = runs.duplicated(unit, keep=False) & ~named
    repeated = runs["sample_id"].isin(runs.loc[again, "sample_id"]) & ~named
    for _, mine in runs[repeated].groupby("sample_id", sort=False):
        for columns in _LADDER:
            if not mine.duplicated([*unit, *columns]).any():
                break
        found = mine[["sample_id", *columns]].itertuples(index=False, name=None)
        for run, one in zip(mine.index, found, strict=True):
            key[run] = one
    for run in np.flatnonzero(named):
        key[run] = (None, runs["obs_name"].iloc[run])
    number: dict[tuple[object, ...], int] = {}
    return np.array([number.setdefault(one, len(number)) for one in key], dtype=np.int64)


def name_rows(first: pd.DataFrame) -> list[str]:
    """Name rows by their SampleID; of one that occurs again, ``#1``, ``#2``… are added.

    The numbers follow Index, plate, well and file, not the order of the rows.

    Parameters
    ----------
    first : pandas.DataFrame
        The first run of each row.
    """
    names = first["sample_id"].tolist()
    again = first["sample_id"].duplicated(keep=False) & first["obs_name"].isna()
    taken = set(names)
    for sample, mine in first[again].groupby("sample_id", sort=False):
        order = sorted(
            mine.index,
            key=lambda i: [
                _natural(first.at[i, name]) for name in ("sample_index", "plate", "well", "file")
            ],
        )
        number = 0
        for i in order:
            number += 1
            while f"{sample}#{number}" in taken:
                number += 1
            names[i] = f"{sample}#{number}"
            taken.add(names[i])
    return [
        own if isinstance(own, str) else name
        for own, name in zip(first["obs_name"], names, strict=True)
    ]


def _natural(value: object) -> list[tuple[int, int, str]]:
    """Order 2 before 10, in whatever text."""
    parts = re.split(r"(\d+)", "" if value is None else str(value))
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
