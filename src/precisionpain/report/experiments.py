"""The tables of the mTBI study as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..stats import format_p
from ._output import versions
from ._page import render
from ._words import signed
from .html import _table

if TYPE_CHECKING:
    from ..mtbi.experiments import Experiments

__all__ = ["render_experiments"]

_MEASURES = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "auc": "AUC"
}  # fmt: skip
_GROUPS = {
    "chronic_pain": "chronic pain", "recovery": "recovery", "overall": "overall", "p_value": "p",
    "w": "W",
}  # fmt: skip


def render_experiments(result: Experiments) -> str:
    """Render what `precisionpain.mtbi.experiments.run` found.

    Parameters
    ----------
    result : Experiments
        Tables, notes and settings.

    Returns
    -------
    str
        A whole HTML page: no scripts, nothing loaded from elsewhere, no person named.

    Examples
    --------
    >>> import precisionpain as pp
    >>> found = pp.mtbi.experiments.run(pp.datasets.sample_mtbi(), tables=[1])
    >>> "Synthetic data" in pp.report.render_experiments(found)
    True
    """
    from .. import __version__
    from ..mtbi._experiments.result import TITLES

    cohort, frame = result.cohort, result.frame()
    return render(
        "experiments.html.j2",
        title=f"{result.settings['outcome']} in {cohort.name}",
        synthetic=cohort.synthetic,
        optimistic="paper_optimistic" in set(frame["row"]),
        facts=[
            ("people", str(len(cohort))),
            ("folds", str(result.settings["n_splits"])),
            ("rows", f"{int((frame['status'] == 'done').sum())} of {len(frame)} computed"),
        ],
        notes=result.notes,
        sections=[
            (number, TITLES[number], [_people(table)] if number == 1 else _rows(table))
            for number, table in result.tables.items()
        ],
        settings=[(key, str(value)) for key, value in result.settings.items()],
        versions=versions(),
        version=__version__,
    )


def _people(table: pd.DataFrame) -> dict[str, Any]:
    shown = table[["variable", "level"]].copy()
    headers = ["variable", "level"]
    for name, title in _GROUPS.items():
        if name in table:
            shown[name] = table[name].fillna("")
            headers.append(title)
        shown[f"published_{name}"] = table[f"published_{name}"].fillna("")
        headers.append("printed")
    lacking = table["status"].where(table["status"] != "done", "")
    if lacking.any():
        shown["status"] = lacking
        headers.append("note")
    return _table("Chronic pain beside recovery, here and as printed", shown, headers)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the table as printed, the honest figures, and what wasn't computed."""
    rows = table.to_dict("records")
    pairs = pd.DataFrame(
        {
            "row": row["label"],
            **{
                title: f"{_figure(row[f'published_{name}'])} / {_figure(row[name])}"
                for name, title in _MEASURES.items()
            },
        }
        for row in rows
    )
    parts = [_table("Printed / here, as the study computes it: means over folds, threshold 0.5",
                    pairs)]  # fmt: skip
    done = [row for row in rows if row["status"] == "done"]
    if done:
        parts.append(_intervals(done))
    compared = [row for row in done if pd.notna(row["reference"])]
    if compared:
        parts.append(_beside(compared))
    remarks = [
        {"row": row["label"], "remark": text}
        for row in rows
        for text in (row["status"] if row["status"] != "done" else "", row["note"])
        if text
    ]
    if remarks:
        parts.append(_table("Remarks, and what could not be computed", pd.DataFrame(remarks)))
    return parts


def _intervals(rows: list[dict[Any, Any]]) -> dict[str, Any]:
    shown = pd.DataFrame(
        {
            "row": row["label"],
            "chronic": f"{row['events']} of {row['n']}",
            "AUC, mean of folds": _span(row, "auc"),
            "AUC, pooled": _span(row, "pooled_auc"),
            "AUC, printed": _span(row, "published_auc"),
            "accuracy (majority)":
                f"{row['pooled_accuracy']:.2f} ({row['majority_accuracy']:.2f})",
        }
        for row in rows
    )  # fmt: skip
    return _table("With 95% intervals", shown)


def _beside(rows: list[dict[Any, Any]]) -> dict[str, Any]:
    """Return what rows have to beat, what they lack to it, and what they add to it."""
    shown = pd.DataFrame(
        {
            "row": row["label"],
            "its AUC": _figure(row["reference_auc"]),
            "minus it, per fold": _change(row, "minus_reference"),
            "p": "–" if pd.isna(row["minus_reference_p"]) else format_p(row["minus_reference_p"]),
            "added to it, per fold": _change(row, "added"),
        }
        for row in rows
    )
    if (shown["added to it, per fold"] == "–").all():
        shown = shown.drop(columns="added to it, per fold")
    names = pd.unique(pd.Series([row["reference"] for row in rows]))
    return _table(f"Beside the {', '.join(names)} in the same folds", shown)


def _figure(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _span(row: Mapping[Any, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.2f}" + ("" if pd.isna(low) else f" ({low:.2f} to {high:.2f})")


def _change(row: Mapping[Any, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return signed(row[name]) + ("" if pd.isna(low) else f" ({signed(low)} to {signed(high)})")
