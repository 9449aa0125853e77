"""The report of a person as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from .._card.page import _rows
from .._page import picture, render
from .nerves import PUBLISHED_NOTE
from .words import beside

if TYPE_CHECKING:
    from ..patient_report import PatientReport

Record = Mapping[str, Any]
NOTE = "Research use only: not validated, and not for diagnosis or treatment."
_SIDES = ("left", "right")


def render_person(report: PatientReport) -> str:
    """Render a report; everything in it is escaped."""
    record = report.record
    shown = {name: picture(*found) for name, found in report.pictures.items()}
    return render(
        "patient_report.html.j2",
        record=record,
        note=NOTE,
        published_note=PUBLISHED_NOTE,
        pictures=shown,
        nerve_pictures=_ordered(shown, record),
        clinic=_clinic(record),
        measures=[(table, _measures(table)) for table in record["measures"]],
        proteins=[(assay, _protein(assay)) for assay in record["proteins"]],
        reasons=_reasons(record),
        has=_has(record),
        lacking=_lacking(record),
        without=_without(record),
        published=any(t["rows"] and t["reference"] == "published" for t in record["measures"]),
        show_measures=bool(
            record["measures"]
            or record["measure_notes"]
            or record["scan_note"]
            or shown.keys() - {"probability"}
        ),
        version=__version__,
    )


def _ordered(shown: Mapping[str, Any], record: Record) -> list[dict[str, Any]]:
    """Return the scene and the profile, then the painful side before the other."""
    painful = next((t["affected_side"] for t in record["measures"] if "affected_side" in t), "left")
    sides = sorted(_SIDES, key=lambda side: side != painful)
    names = ["scene", "profile"]
    names += [f"{kind}_{side}" for side in sides for kind in ("reformat", "section")]
    return [shown[name] for name in names if name in shown]


def _num(value: Any, digits: int = 3) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}".replace("-", "−")


def _clinic(record: Record) -> dict[str, Any]:
    clinic = record["clinic"]
    rows = [
        {"what": row["name"].replace("_", " "), "value": row["shown"],
         "unit": row["unit"] if row["shown"] != "not known" else "",
         "percentile": f"{row['percentile']:.0f} (n = {row['n']})" if row["percentile"] is not None
         else "", "meaning": row["description"]}
        for row in clinic["rows"]
    ]  # fmt: skip
    peers = f"{clinic['peers']} ({clinic['n']})"
    table = _rows(f"As known by day {record['landmark_days']:g}; percentile among {peers}", rows)
    table["rows"] = [["" if cell == "–" else cell for cell in row] for row in table["rows"]]
    return table


def _measures(table: Record) -> dict[str, Any] | None:
    if not table["rows"]:
        return None
    rows = []
    for row in table["rows"]:
        a, b = row["affected_place"], row["other_place"]
        low, high = (a["low"], a["high"]) if a["n"] or a["low"] is not None else (None, None)
        if low is None or not np.isfinite(low):
            low, high = b["low"], b["high"]
        rows.append({
            "measure": row["measure"],
            **dict(zip(table["roles"], [
                f"{_num(row['affected'])}{_flag(a)}", f"{_num(row['other'])}{_flag(b)}"
            ], strict=False)),
            "95% range": _range(low, high),
            "percentile": _percent(a["percentile"]), "z": _num(a["z"], 2),
        })  # fmt: skip
    first = "; percentile and z of the first side" if len(table["roles"]) > 1 else ""
    return _rows(f"{table['table']} beside {beside(table)}{first}", rows)


def _percent(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.0f}"


def _range(low: float | None, high: float | None) -> str:
    known = low is not None and high is not None and np.isfinite([low, high]).all()
    return f"{_num(low)} to {_num(high)}" if known else "–"


def _flag(place: Record) -> str:
    if not place["outside"]:
        return ""
    below = place["percentile"] is not None and place["percentile"] < 50
    return " ▼ below" if below else " ▲ above"


def _protein(assay: Record) -> dict[str, Any] | None:
    if not assay["axes"]:
        return None
    rows = [
        {"axis": a["axis"].replace("_", " "),
         "score (SD)": _num(a["score"])
         + ((" ▼ below" if a["score"] < a["low"] else " ▲ above") if a["outside"] else ""),
         "95% range": _range(a["low"], a["high"]),
         "proteins": f"{a['n_measured']} of {a['n_measured'] + a['n_missing']}"
         + (f", {a['n_below_lod']} below the limit of detection" if a["n_below_lod"] else ""),
         "meaning": a["meaning"]}
        for a in assay["axes"]
    ]  # fmt: skip
    return _rows(f"{assay['assay']}, panel {assay['panel']}, beside {assay['n_reference']} "
                 f"{assay['reference']}", rows)  # fmt: skip


def _reasons(record: Record) -> dict[str, Any] | None:
    found = record["reasons"]
    if not found or not found["rows"]:
        return None
    rows = [
        {key: (_num(v) if isinstance(v, int | float) and not isinstance(v, bool) else v)
         for key, v in row.items()}
        for row in found["rows"]
    ]  # fmt: skip
    return _rows("The largest contributions, in log odds", rows)


def _has(record: Record) -> dict[str, Any]:
    rows = [
        {"data": h["block"], "this person": "yes" if h["has"] else "no",
         "others who have it": f"{h['share']:.0%}"}
        for h in record["has"]
    ]  # fmt: skip
    return _rows("Data as known by the landmark", rows or [{"data": "the clinic alone"}])


def _lacking(record: Record) -> dict[str, Any] | None:
    rows = [
        {"missing block": r["block"], "others who have it": str(r["n"]),
         "it moves their log odds by (SD)": _num(r["spread"], 2),
         "so the probability might be": f"about {_num(r['low'], 2)} to {_num(r['high'], 2)}"
         if r["low"] is not None else "–"}
        for r in record["lacking"]
    ]  # fmt: skip
    return _rows("What is missing, and what it might change", rows) if rows else None


def _without(record: Record) -> dict[str, Any] | None:
    rows = [
        {"without": r["block"], "probability": _num(r["without"], 2),
         "change": f"{r['change']:+.2f}".replace("-", "−")}
        for r in record["without"]
    ]  # fmt: skip
    return _rows("What the model would say without a block", rows) if rows else None
