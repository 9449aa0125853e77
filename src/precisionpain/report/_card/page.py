"""The card as a page: tables and texts for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ... import __version__
from .._page import picture, render
from .._words import signed
from ..checklists import STATUSES, content_of, questions_to_authors
from ..html import _METRICS, _table
from .words import better_than_chance, limits_of, number

if TYPE_CHECKING:
    from ..model_card import ModelCard

Record = Mapping[str, Any]
Table = dict[str, Any]

_LIMITS = ("_low", "_high")


def render_card(card: ModelCard) -> str:
    """Render a card; everything in it is escaped."""
    record = card.record
    author = dict(record["author"])
    intended = author.pop("intended_use", "")
    questions = {**questions_to_authors(), "not_for": ""}
    return render(
        "model_card.html.j2",
        record=record,
        tiles=_tiles(record),
        intended=intended,
        not_for=[*([author.pop("not_for")] if "not_for" in author else []), *record["not_for"]],
        author=[(key.replace("_", " "), text) for key, text in author.items()],
        asked=len([q for q in questions if q not in record["author"]]),
        facts=_facts(record),
        tables=_tables(record),
        pictures={name: picture(*found) for name, found in card.pictures.items()},
        lists=[_checklist(record, name) for name in record["checklists"]],
        version=__version__,
    )


def _tiles(record: Record) -> list[tuple[str, str, str]]:
    found, data = record["performance"], record["data"]
    a, test, size = found["auc"], found["permutation"], found["sample_size"]
    chance = "better than chance" if better_than_chance(record) else "not shown better than chance"
    tiles = [(f"{a['auc']:.2f}", "AUC, out of fold", f"{limits_of(a).strip(' ()')}: {chance}")]
    if found["increment"] is not None:
        c = found["increment"]["corrected"]
        shown = "a gain" if (c["ci_low"] or 0) > 0 else "no gain shown"
        tiles.append(
            (signed(c["mean"]),
             f"AUC per fold over {found['increment']['baseline']}",
             f"{limits_of(c, sign=True).strip(' ()')}: {shown}")
        )  # fmt: skip
    c = found["calibration"]
    tiles.append((number(c["slope"]), "calibration slope, ideal 1",
                  f"{number(c['slope_low'])} to {number(c['slope_high'])}"))  # fmt: skip
    canary = "passed" if test["passed"] else "FAILED"
    tiles.append((f"{test['mean']:.2f}", "AUC, permuted labels",
                  f"canary {canary}, {test['n']} runs"))  # fmt: skip
    enough = "not known whether enough"
    if size is not None:
        enough = "enough people" if size["ok"] else f"too few: about {size['required']} needed"
    rows = "people" if data["unit"] == "subject" else f"{data['unit']}s"
    tiles.append((f"{data['n_events']} / {data['n_rows']}", f"events / {rows}", enough))
    return tiles


def _facts(record: Record) -> list[tuple[str, str]]:
    data, outcome, how = record["data"], record["outcome"], record["evaluation"]
    sites = ", ".join(f"{s['site']} {s['people']} ({s['events']} events)" for s in data["sites"])
    facts = [
        ("people", f"{data['n_people']} analysed, {data['n_events']} of {data['n_rows']} "
         f"{'' if data['unit'] == 'subject' else data['unit'] + 's '}with the event"),
        ("sites", sites or "not known"),
        ("outcome", f"{outcome['name']}: {outcome['description'] or 'no description'}"),
        ("defined as", outcome["rule"] or "values that were given"),
        ("known by", f"day {data['landmark_days']:g} from the index event"),
        ("evaluated", f"{how['splitter']}, {how['n_splits']} splits by person"),
        ("data hash", data["fingerprint"]),
        ("fold hash", how["fold_key"]),
    ]  # fmt: skip
    return [*facts, *((key.replace("_", " "), str(v)) for key, v in data["meta"].items())]


def _tables(record: Record) -> dict[str, Table]:
    data, found, how = record["data"], record["performance"], record["evaluation"]
    model = record["model"]
    tables = {
        "has": _rows("Who has what, as known by the landmark", data["has"],
                     ["block", "have", "lack", "share lacking"], 2),
        "gaps": _rows("Clinical columns with gaps", data["gaps"], ["column", "missing", "of"]),
        "predictors": _rows("Columns that may predict", data["predictors"]),
        "settings": _table(
            "Settings of the model",
            pd.DataFrame(model["settings"].items(), columns=["setting", "value"]),
        ),
        "folds": _folds(how),
        "metrics": _metrics(found["metrics"]),
        "calibration": _calibration(found["calibration"]),
        "net_benefit": _net_benefit(found["net_benefit"]),
        "checks": _rows("What a careful reader would ask", found["checks"]),
    }  # fmt: skip
    if data["table_one"]:
        tables["table_one"] = _table_one(record)
    if model["blocks"]:
        rows = [{"block": k, "made of": v} for k, v in model["blocks"].items()]
        tables["blocks"] = _rows("Blocks of the model", rows)
    learned = model["learned"] or {}
    if learned.get("blocks"):
        tables["learned"] = _rows("What the fitted model made of its blocks", learned["blocks"])
    for name, part in [("", learned), *learned.get("inside", {}).items()]:
        if part.get("coefficients"):
            title = f"Coefficients{f' of block {name}' if name else ''}, of the features as the "
            title += f"steps before make them; intercept {number(part['intercept'], 4)}"
            tables[f"coefficients_{name}"] = _rows(title, part["coefficients"], digits=4)
    if found["increment"] is not None:
        tables["increment"] = _increment(found["increment"])
    if found["others"]:
        tables["others"] = _rows("Other models, on the same people and folds", found["others"])
    if found["importance"]:
        tables["importance"] = _rows("Mean |SHAP value| of features", found["importance"])
    if record["subgroups"] is not None:
        tables["subgroups"] = _with_limits("By subgroup (95% CI)", record["subgroups"]["rows"])
        if record["subgroups"]["gaps"]:
            tables["gaps_between"] = _rows(
                "Widest gaps between groups", record["subgroups"]["gaps"]
            )
    if record["other_sites"] is not None:
        rows = record["other_sites"]["rows"]
        tables["other_sites"] = _with_limits("Each site left out in turn (95% CI)", rows)
    return tables


def _rows(
    caption: str,
    rows: Sequence[Mapping[Any, Any]],
    headers: list[str] | None = None,
    digits: int = 3,
) -> Table:
    frame = pd.DataFrame(rows)
    names = headers or [str(name).replace("_", " ") for name in frame]
    for name in frame:
        # Missing and empty look alike; whole numbers with gaps stay whole.
        if frame[name].dtype == object:
            frame[name] = frame[name].map(lambda v: None if v is None or v == "" else v)
        elif pd.api.types.is_float_dtype(frame[name]) and (frame[name].dropna() % 1 == 0).all():
            frame[name] = frame[name].astype("Int64")
    return _table(caption, frame, names if len(names) == frame.shape[1] else None, digits)


def _with_limits(caption: str, rows: Sequence[Mapping[Any, Any]]) -> Table:
    """Put limits behind their figure: ``auc``, ``auc_low`` and ``auc_high`` become one column."""
    frame = pd.DataFrame(rows)
    if {"auc", "ci_low", "ci_high"} <= set(frame):
        frame = frame.rename(columns={"ci_low": "auc_low", "ci_high": "auc_high"})
    ends = [name for name in frame if any(f"{name}{end}" in frame for end in _LIMITS)]
    shown = frame.drop(columns=[c for c in frame if str(c).endswith(_LIMITS)])
    for name in ends:
        low, high = (frame.get(f"{name}{end}", pd.Series(np.nan, frame.index)) for end in _LIMITS)
        shown[name] = [
            f"{number(v)}{limits_of({'ci_low': a, 'ci_high': b})}"
            for v, a, b in zip(frame[name], low, high, strict=True)
        ]
    last = [name for name in ("pooled", "judged", "why", "flag") if name in shown]
    known = [name for name in last if not shown[name].isin(["", None]).all()]
    return _rows(
        caption,
        shown[[*shown.columns.difference(last, sort=False), *known]].to_dict("records"),
        digits=2,
    )


def _spread(row: Record, digits: int = 3) -> str:
    return f"{number(row['estimate'], digits)}{limits_of(row, digits)}"


def _metrics(rows: list[dict[str, Any]]) -> Table:
    shown = [
        {"figure": _METRICS.get(row["metric"], row["metric"]), "estimate": _spread(row),
         "interval": row["method"].removeprefix("pooled, ")}
        for row in rows
    ]  # fmt: skip
    return _rows("Out-of-fold figures, with 95% intervals", shown)


def _folds(how: Record) -> Table:
    frame = pd.DataFrame(
        {"fold": range(1, how["n_splits"] + 1), "train": how["n_train"], "test": how["n_test"],
         "events": how["events_test"], "AUC": how["auc_per_fold"]}
    )  # fmt: skip
    return _table("The folds", frame, None, 2)


def _calibration(c: Record) -> Table:
    def line(name: str, key: str, ideal: str, low: str = "", high: str = "") -> dict[str, str]:
        spread = {"ci_low": c.get(low), "ci_high": c.get(high)}
        return {"figure": name, "found": f"{number(c[key], 3)}{limits_of(spread, 3)}",
                "ideal": ideal}  # fmt: skip

    return _rows(
        "Calibration of the out-of-fold probabilities",
        [
            line("slope", "slope", "1", "slope_low", "slope_high"),
            line("intercept, slope fixed at 1", "intercept", "0", "intercept_low",
                 "intercept_high"),
            line("observed / expected", "observed_expected", "1"),
            line("ICI (mean distance)", "ici", "0"),
            line("E90", "e90", "0"),
            line("Brier score", "brier", "0"),
            line("scaled Brier score", "scaled_brier", "1"),
        ],
    )  # fmt: skip


def _net_benefit(found: Record) -> Table:
    names = {"threshold": "threshold", "model": "model", "baseline": "baseline",
             "treat_all": "treat all", "treat_none": "treat none"}  # fmt: skip
    rows = [
        {names[k]: number(v, 1 if k == "threshold" else 3) for k, v in row.items() if k in names}
        for row in found["curve"]
    ]
    return _rows("Net benefit (true positives per person)", rows)


def _increment(found: Record) -> Table:
    c, d, b = found["corrected"], found["delong"], found["net_benefit"]
    rows = [
        {"figure": "AUC per fold, corrected t",
         "difference": f"{number(c['mean'], 3)}{limits_of(c, 3)}", "p": number(c["p_value"], 3)},
    ]  # fmt: skip
    if d is not None:
        rows.append({"figure": "pooled AUC, DeLong",
                     "difference": f"{number(d['difference'], 3)}{limits_of(d, 3)}",
                     "p": number(d["p_value"], 3)})  # fmt: skip
    gain = f"{number(b['difference'], 3)}{limits_of(b, 3)}"
    rows.append({"figure": f"net benefit at {found['threshold']:g}, bootstrap",
                 "difference": gain, "p": "–"})  # fmt: skip
    return _rows(f"The model minus {found['baseline']}, on the same people and folds", rows)


def _table_one(record: Record) -> Table:
    frame = pd.DataFrame(record["data"]["table_one"])
    repeated = frame["variable"] == frame["variable"].shift()
    if "missing" in frame:
        frame["missing"] = frame["missing"].map(lambda n: str(n) if n else "").mask(repeated, "")
    frame["variable"] = frame["variable"].mask(repeated, "")
    table = _table(f"The people analysed, by {record['outcome']['name']}", frame)
    table["rows"] = [["" if cell == "–" else cell for cell in row] for row in table["rows"]]
    return table


def _checklist(record: Record, name: str) -> dict[str, Any]:
    rows, content = record["checklists"][name], content_of(name)
    counts = {status: sum(row["status"] == status for row in rows) for status in STATUSES}
    return {
        "id": name.replace("+", "-"), "title": content["title"], "source": content["source"],
        "note": content["note"], "rows": rows,
        "counts": ", ".join(f"{n} {status}" for status, n in counts.items()),
    }  # fmt: skip
