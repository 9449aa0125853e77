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
