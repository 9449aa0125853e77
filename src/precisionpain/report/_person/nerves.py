"""Measures of a person's nerves beside those of reference people, and what they are classed as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import FormatError, PrecisionPainError
from ...trigeminal import SIDES, classify_etiologies
from .reference import NOWHERE, place, published_place

#: Healthy nerves as published: mean, SD, where.
PUBLISHED: dict[str, tuple[float, float, str]] = {
    "volume_mm3": (74.7, 16.5, "Acta Neurochir 2017;159:1699-1705"),
    "fa": (0.52, 0.04, "Leal et al., Pain 2011;152:2357-2364"),
}
PUBLISHED_NOTE = (
    "Published ranges hold for the scanner and the method of their paper; between protocols "
    "volumes differ by a factor of two."
)
_KEYS = ("subject_id", "visit", "side", "run")


def last_visit(cohort: Cohort, visits: pd.Series) -> str | None:
    """Return the latest of some visits, by their nominal days; None where none is named."""
    names = [str(v) for v in visits.dropna().unique()]
    if len(names) <= 1:
        return names[0] if names else None
    days = cohort.schedule["day"].reindex(names)
    return str(days.idxmax()) if days.notna().any() else names[-1]


def measured_tables(view: Cohort) -> list[str]:
    """Return the measurement tables, but for hidden truth."""
    return [str(name) for name in view.measurements if not str(name).endswith("truth")]


def is_trigeminal(view: Cohort) -> bool:
    """Tell whether the cohort is about the trigeminal nerve."""
    if "nerve_measures" in view.measurements or "sindou_grade" in view.subjects:
        return True
    if "diagnosis" not in view.subjects:
        return False
    told = view.subjects["diagnosis"].dropna().astype(str).str.lower()
    return bool((told.str.contains("trigeminal") | (told == "tn")).any())


def measure_table(
    view: Cohort, table: str, subject_id: str, controls: pd.Index, others: pd.Index, who: str
) -> dict[str, Any] | None:
    """Return each measure, of both sides where the table tells them apart, beside a reference.

    The reference is `who`: "controls", or "published"; where nothing is published, `others`.
    None where nothing was measured.
    """
    rows = view.measurements[table]
    own = rows[rows["subject_id"] == subject_id]
    if own.empty:
        return None
    visit = last_visit(view, own["visit"]) if "visit" in rows else None
    if visit is not None:
        rows, own = rows[rows["visit"] == visit], own[own["visit"] == visit]
    texts = [str(c) for c in own if c not in _KEYS and not pd.api.types.is_numeric_dtype(rows[c])]
    measures = [str(c) for c in own if c not in (*_KEYS, *texts)]
    if who == "published" and not set(measures) & set(PUBLISHED):
        who = "others"
    chosen = others if who == "others" else controls
    reference = rows[rows["subject_id"].isin(chosen)].set_index("subject_id")
    sided = "side" in own
    # Several rows of one side, such as levels of the spine, are told apart by their texts.
    parts = own.groupby(texts[:1], sort=False) if _several(own) and texts else [((), own)]
    painful, rest = _sides(view, subject_id) if sided else ("", "")
    found = []
    for key, part in parts:
        beside = reference
        for text, level in zip(texts[:1], key, strict=False):
            beside = beside[beside[text] == level]
        if _several(part):
            raise FormatError(
                f"measurements[{table!r}] has several rows for one {'side' if sided else 'person'}",
                remedy="average them, or keep one",
            )
        for name in measures:
            row: dict[str, Any] = {"measure": " ".join([name, *(f"({level})" for level in key)])}
            for label, side in (("affected", painful), ("other", rest)):
                mine = part.loc[part["side"] == side, name] if sided else part[name]
                value = float(mine.iloc[0]) if len(mine) and pd.notna(mine.iloc[0]) else np.nan
                row |= {label: value, f"{label}_place": _placed(name, value, beside, who)}
            found.append(row)
    return {
        "table": table, "visit": visit, "affected_side": painful, "other_side": rest,
        "roles": list(_roles(view, subject_id)) if sided else ["value"], "rows": found,
        "texts": {} if _several(own) else _told(own, texts), "reference": who,
        "n_reference": int(reference.index.nunique()),
    }  # fmt: skip


def _several(own: pd.DataFrame) -> bool:
    return bool(own["side"].duplicated().any()) if "side" in own else len(own) > 1


def _told(own: pd.DataFrame, texts: list[str]) -> dict[str, str]:
    sides = own["side"] if "side" in own else [""] * len(own)
    return {
        f"{text} ({side})" if side else text: str(value)
        for text in texts
        for side, value in zip(sides, own[text], strict=True)
        if pd.notna(value)
    }


def _placed(name: str, value: float, reference: pd.DataFrame, who: str) -> dict[str, Any]:
    if who == "published":
        known = PUBLISHED.get(name)
        return (NOWHERE if known is None else published_place(value, *known)).to_dict()
    return place(value, reference[name]).to_dict()


def _affected(view: Cohort, subject_id: str) -> str | None:
    if "affected_side" not in view.subjects:
        return None
    side = view.subjects["affected_side"].to_dict()[subject_id]
    return None if pd.isna(side) else str(side)


def _sides(view: Cohort, subject_id: str) -> tuple[str, str]:
    """Return the two sides, the painful one first; left first where neither or both hurt."""
    left, right = SIDES
    return (right, left) if _affected(view, subject_id) == right else (left, right)


def _roles(view: Cohort, subject_id: str) -> tuple[str, str]:
    """Return what the two columns are called."""
    side = _affected(view, subject_id)
    painful, rest = _sides(view, subject_id)
    if side in SIDES:
        return f"affected ({painful})", f"other side ({rest})"
    word = "affected, " if side == "bilateral" else ""
    return f"{word}{painful}", f"{word}{rest}"


def etiology(
    view: Cohort, subject_id: str, tables: list[str], facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Classify each painful side by ICHD-3, where the cohort has what it takes."""
    one = view[np.flatnonzero(view.subject_ids == subject_id)]
    table = "nerve_measures" if "nerve_measures" in tables else None
    visit = None
    if table is not None:
        own = one.measurements[table]
        if own.empty:
            table = None
        elif "visit" in own:
            visit = last_visit(view, own["visit"])
    try:
        found = classify_etiologies(one, measurement=table, visit=visit, errors="flag", **facts)
    except PrecisionPainError as error:
        return [{"side": None, "error": True, "reasons": error.what}]
    return [
        {"side": key[1] if isinstance(key, tuple) else None, **{str(k): v for k, v in row.items()}}
        for key, row in zip(found.index, found.to_dict("records"), strict=True)
    ]
