"""What the clinic knows of a person, without what would tell who it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from .reference import place

OLDEST = 89
OLD = f"{OLDEST + 1} or more"


def clinic_rows(
    view: Cohort, subject_id: str, others: pd.Index, hide: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the columns known by the landmark: value, unit, percentile among the others.

    Site, dates and free text are never among them; years above 89 are grouped.
    """
    frame, columns = view.predictor_frame(), view.columns
    rows: list[dict[str, Any]] = []
    for name in map(str, frame):
        if name in hide:
            continue
        record, value = columns[name], frame[name].to_dict()[subject_id]
        row: dict[str, Any] = {
            "name": name, "description": record.description, "unit": record.unit or "",
            "value": None, "shown": "not known", "percentile": None, "n": 0,
        }  # fmt: skip
        if pd.notna(value):
            row |= _known(name, value, record, frame[name], others)
        rows.append(row)
    return rows


def _known(
    name: str, value: Any, record: Any, column: pd.Series, others: pd.Index
) -> dict[str, Any]:
    if not pd.api.types.is_number(value) or isinstance(value, bool | np.bool_):
        text = {True: "yes", False: "no"}.get(value) if record.kind == "flag" else None
        return {"value": str(value), "shown": text or str(value)}
    number = float(np.asarray(value, dtype=float))
    if record.unit == "years" and number > OLDEST:
        return {"value": None, "shown": OLD}
    if name == "age":
        number = float(np.floor(number))
    shown = {"value": number, "shown": f"{number:g}"}
    if record.kind in ("number", "integer", "duration", "ordinal"):
        values = pd.to_numeric(column.reindex(others), errors="coerce")
        known = place(number, values)
        if np.isfinite(known.percentile):
            shown |= {"percentile": known.percentile, "n": known.n}
    return shown


def find_value(rows: list[dict[str, Any]], name: str) -> str | None:
    """Return a value as it is shown, or None where it isn't known."""
    for row in rows:
        if row["name"] == name and row["shown"] != "not known":
            return str(row["shown"])
    return None
