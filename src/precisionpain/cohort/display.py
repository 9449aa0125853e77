"""How a cohort shows itself: counts, never pixels, never people."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import PrecisionPainError

if TYPE_CHECKING:
    from .core import Cohort

__all__ = ["describe", "describe_html"]


def _lines(cohort: Cohort) -> list[tuple[str, str]]:
    subjects = cohort.subjects
    people = f"{cohort.n_subjects} subjects"
    if cohort.unit != "subject":
        people = f"{len(cohort)} {cohort.unit}s of {people}"
    if "diagnosis" in subjects and len(subjects):
        people += f" ({_counts(subjects['diagnosis'])})"
    lines = [("people", people)]
    if "site" in subjects and len(subjects):
        lines.append(("sites", _counts(subjects["site"])))
    schedule = cohort.schedule
    if len(schedule):
        lines.append(
            (
                "visits",
                " · ".join(
                    f"{visit} {row['subjects'] or '–'}" for visit, row in schedule.iterrows()
                ),
            )
        )
    images = cohort.images
    if len(images):
        parts = []
        for contrast, rows in images.groupby("contrast", sort=False):
            owners = rows.groupby("subject_id")["present"].any()
            text = f"{contrast} {int(owners.sum())}"
            parts.append(text if owners.all() else f"{text} of {len(owners)} listed on disk")
        lines.append(("images", " · ".join(parts)))
    availability = cohort.availability
    for label, tables in (("assays", cohort.assays), ("tables", cohort.measurements)):
        if len(tables):
            lines.append((label, " · ".join(f"{n} {int(availability[n].sum())}" for n in tables)))
    columns = cohort.columns.values()
    unused = sum(column.role == "unused" for column in columns)
    lines.append(
        (
            "columns",
            f"{len(cohort.predictors)} may predict, "
            f"{sum(column.role == 'outcome' for column in columns)} barred as outcomes"
            + (f", {unused} left out with a reason" if unused else ""),
        )
    )
    if cohort.outcomes:
        lines.append(("outcomes", " · ".join(_outcome(cohort, n) for n in cohort.outcomes)))
    lines.append(("flow", str(cohort.flow)))
    return lines


def _counts(values: pd.Series, most: int = 6) -> str:
    counts = values.astype(object).where(values.notna(), "missing").value_counts()
    parts = [f"{value} {n}" for value, n in counts.head(most).items()]
    if len(counts) > most:
        parts.append(f"{len(counts) - most} more")
    return ", ".join(parts)


def _outcome(cohort: Cohort, name: str) -> str:
    definition = cohort.outcomes[name]
    try:
        values = definition.values(cohort.subjects)
    except (PrecisionPainError, TypeError, ValueError):
        return f"{name} (not computable)"
    if isinstance(values, pd.DataFrame):
        events = values["event"].dropna()
        return f"{name} {int(events.sum())} events in {len(events)}"
    known = values.dropna()
    if definition.kind == "number":
        return f"{name} {len(known)}"
    return f"{name} {int(known.sum())} of {len(known)}"


def _title(cohort: Cohort) -> str:
    return f"Cohort {cohort.name!r}" + (" – SYNTHETIC DATA" if cohort.synthetic else "")


def describe(cohort: Cohort) -> str:
    """Describe a cohort in text: counts, visits, availability and flow.

    Parameters
    ----------
    cohort : Cohort
        What to describe.

    Returns
    -------
    str
        Holds no subject id.
    """
    return "\n".join([_title(cohort), *(f"  {key:<9}{text}" for key, text in _lines(cohort))])


def describe_html(cohort: Cohort) -> str:
    """Describe a cohort in HTML, for notebooks; same content as `describe`.

    Parameters
    ----------
    cohort : Cohort
        What to describe.

    Returns
    -------
    str
        An HTML fragment without scripts.
    """
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for key, text in _lines(cohort)
    )
    return f"<div><strong>{html.escape(_title(cohort))}</strong><table>{rows}</table></div>"
