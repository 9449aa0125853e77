"""Rows of a measurement table by nerve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..errors import MissingModalityError

if TYPE_CHECKING:
    from ..cohort import Cohort


def nerve_rows(nerves: Cohort, table: str, visit: str | None) -> pd.DataFrame:
    """Return the measures of every nerve, in pairs of left and right, joined by key.

    Parameters
    ----------
    nerves : Cohort
        From `per_nerve`.
    table : str
        Which measurement table.
    visit : str, optional
        Which visit.

    Returns
    -------
    pandas.DataFrame
        Index as ``nerves.index``.

    Raises
    ------
    MissingModalityError
        When the table doesn't tell the sides apart.
    """
    if "side" not in nerves.measurements[table]:
        raise MissingModalityError(
            f"measurements[{table!r}] has no column 'side', so it tells no nerve from the other"
        )
    return nerves.measurement(table, visit=visit)


def at_level(cohort: Cohort, table: str, column: str) -> Cohort:
    """Keep of a measurement table of several levels the rows of each person's painful one.

    Parameters
    ----------
    cohort : Cohort
        People.
    table : str
        Which measurement table; it has a column ``level``.
    column : str
        Column of ``subjects`` that names the level.

    Returns
    -------
    Cohort
        Who has no painful level has no rows.

    Raises
    ------
    MissingModalityError
        When there is no such table or column.
    """
    if table not in cohort.measurements:
        cohort.measurement(table)  # says why
    rows = cohort.measurements[table]
    if "level" not in rows:
        raise MissingModalityError(f"measurements[{table!r}] has no column 'level'")
    if column not in cohort.subjects:
        raise MissingModalityError(
            f"the subjects table has no column {column!r}, which names the painful level"
        )
    level = cohort.subjects[column].astype(object).reindex(rows["subject_id"]).to_numpy()
    kept = rows[pd.notna(level) & (rows["level"].astype(object).to_numpy() == level)]
    return cohort.with_measurements(table, kept.drop(columns="level").reset_index(drop=True))
