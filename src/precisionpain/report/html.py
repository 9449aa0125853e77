"""One self-contained HTML file: no scripts, nothing loaded, no names of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort.display import describe
from ._figures import draw, forest_table, png
from ._page import picture, redactor, render
from ._words import DEFINITIONS, beats_chance, interval, methods, p_text, signed

if TYPE_CHECKING:
    from .study import Study

__all__ = ["render_report"]

_TALL = 24  # rows; longer tables scroll in a box
_METRICS = {
    "auc": "AUC",
    "auc_bootstrap": "AUC (bootstrap)",
    "auc_mean_of_folds": "AUC, mean of folds",
    "average_precision": "average precision",
    "brier": "Brier score",
    "scaled_brier": "scaled Brier score",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
    "observed_expected": "observed / expected",
    "ici": "ICI",
    "npv": "NPV",
    "f1": "F1",
}


def render_report(study: Study, pictures: Mapping[str, tuple[bytes, str]] | None = None) -> str:
    """Render the report of a study.

    Parameters
    ----------
    study : Study
        What to report.
    pictures : mapping of str to (bytes, str), optional
        PNG and alternative text by name, where they are drawn already.

    Returns
    -------
    str
        A whole HTML page with styles and pictures inside. Subject ids that stand in the
        cleaning log are replaced.
    """
    if pictures is None:
        pictures = {name: (png(figure), alt) for name, (figure, alt) in draw(study).items()}
    from ._output import versions

    clean = _redactor(study)
    return render(
        "report.html.j2",
        study=study,
        title=f"{study.outcome} in {study.cohort.name}",
        headline=[clean(sentence) for sentence in study.headline],
        tiles=_tiles(study),
        facts=_facts(study),
        description=study.cohort.outcomes[study.outcome].description,
        pictures={name: picture(*found) for name, found in pictures.items()},
        tables={name: _cleaned(t, clean) for name, t in _tables(study).items()},
        table_notes=study.table_one.notes,
        models=[(name, study.results[name].name) for name in study.shap],
        methods=clean(methods(study)),
        definitions=DEFINITIONS,
        meta=[(key, clean(str(value))) for key, value in _meta(study)],
        versions=versions(),
    )


def _redactor(study: Study) -> Callable[[str], str]:
    """Return a function that takes subject ids out of a text."""
    return redactor(study.cohort.subject_ids)


def _facts(study: Study) -> list[tuple[str, str]]:
    """Return the lines that the cohort shows of itself; its flow is drawn below."""
    pairs = [line.strip().split(maxsplit=1) for line in describe(study.cohort).splitlines()[1:]]
    return [(pair[0], pair[-1]) for pair in pairs if pair[0] != "flow"]


def _tiles(study: Study) -> list[tuple[str, str, str]]:
    """Return the figures on top: value, name, and what to make of it."""
    result, test = study.primary, study.primary.permutation
    a = result.auc
    tiles = [
        (f"{a.auc:.2f}", f"AUC, {result.name}", f"{a.ci_low:.2f} to {a.ci_high:.2f}"),
    ]
    for name in [n for n in study.results if n not in study.shap][:1]:
        r = study.results[name].auc
        low, high = r.ci_low, r.ci_high
        tiles.append((f"{r.auc:.2f}", f"AUC, {name}", f"{low:.2f} to {high:.2f}"))
    state = "passed" if all(r.permutation.passed for r in study.results.values()) else "FAILED"
    chance = "better than chance" if beats_chance(result) else "not shown better than chance"
    tiles.append((f"{test.mean:.2f}", f"AUC, permuted labels: canary {state}",
                  f"{p_text(test.p_value)}: {chance}"))  # fmt: skip
    v = study.verdict
    enough = "enough people" if v.ok else f"too few people: about {v.required} needed"
    tiles.append((f"{v.n_events} / {v.n}", f"events / people, {v.n_parameters} parameters", enough))
    return tiles


# --- tables ------------------------------------------------------------------------------


def _cell(value: Any, digits: int = 3) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}".replace("-", "−")
    return str(value)


def _table(
    caption: str, frame: pd.DataFrame, headers: Sequence[str] | None = None, digits: int = 3
) -> dict[str, Any]:
    numeric = [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in frame.dtypes
    ]
    return {
        "caption": caption,
        "headers": list(headers or map(str, frame.columns)),
        "numeric": numeric,
        "rows": [[_cell(v, digits) for v in row] for row in frame.itertuples(index=False)],
        "tall": len(frame) > _TALL,
    }


def _cleaned(table: dict[str, Any], clean: Callable[[str], str]) -> dict[str, Any]:
    return {**table, "rows": [[clean(cell) for cell in row] for row in table["rows"]]}


def _tables(study: Study) -> dict[str, dict[str, Any]]:
    found = {
        "table_one": _table_one(study),
        "aucs": _aucs(study),
        "metrics": _metrics(study),
        "folds": _folds(study),
        "comparisons": _comparisons(study),
        "importance": _importance(study),
        "model_checks": _model_checks(study),
        "provenance": _table(
            "What reading and cleaning did, in order",
            study.cohort.provenance[["step", "table", "column", "n", "detail"]],
        ),
        "checks": _table("What a careful reader would look for", study.checks),
        "timings": _table(
            "Seconds per step", pd.DataFrame(study.timings.items(), columns=["step", "s"]), None, 1
        ),
    }
    found["used"], found["left_out"] = _dictionary(study)
    if study.other_sites:
        found["sites"] = _sites(study)
    return found


def _table_one(study: Study) -> dict[str, Any]:
    frame = study.table_one.frame
    # The column of the missing values says the same as their rows.
    frame = frame[frame["level"] != "missing"].drop(columns="statistic", errors="ignore").copy()
    repeated = frame["variable"] == frame["variable"].shift()
    frame["missing"] = frame["missing"].map(lambda n: str(n) if n else "").mask(repeated, "")
    frame["variable"] = frame["variable"].mask(repeated, "")
    table = _table(f"The people analysed, by {study.outcome}", frame)
    table["headers"] = [header.replace("p_value", "p") for header in table["headers"]]
    table["rows"] = [["" if cell == "–" else cell for cell in row] for row in table["rows"]]
    return table


def _dictionary(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    table = study.analysed.dictionary.reset_index()
    excluded = study.settings["site"]
    used = table["column"].isin([c for c in study.analysed.predictors if c != excluded])
    rest = table[~used].copy()
    rest["reason"] = [_why(row, excluded) for row in rest.to_dict("records")]
    n = len(study.analysed)
    names = ["column", "kind", "unit", "known", "description"]
    return (
        _table(f"May predict ({int(used.sum())}); known: of the {n} analysed", table[used][names]),
        _table(f"Left out ({len(rest)}), and why", rest[["column", "role", "reason"]]),
    )


def _why(row: Mapping[Any, Any], site: str) -> str:
    if row["column"] == site:
        return "a model that knows the site doesn't travel"
    if row["reason"]:
        return str(row["reason"])
    if row["kind"] in ("text", "date"):
        return f"{row['kind']}, which has no numbers to offer"
    return str(row["description"]) or "–"


def _aucs(study: Study) -> dict[str, Any]:
    table = forest_table(study)
    shown = pd.DataFrame(
        {
            "model": table["name"],
            "people": table["n"],
            "events": table["events"],
            "AUC": table["auc"],
            "from": table["ci_low"],
            "to": table["ci_high"],
        }
    )
    return _table("AUCs with 95% intervals; rows on other people or sites aren't comparable",
                  shown, digits=2)  # fmt: skip


def _metrics(study: Study) -> dict[str, Any]:
    columns = {}
    for result in study.results.values():
        summary = result.summary()
        columns[result.name] = [
            f"{_cell(row['estimate'])}"
            + (
                ""
                if np.isnan(row["ci_low"])
                else f" ({_cell(row['ci_low'])} to {_cell(row['ci_high'])})"
            )
            for row in summary.to_dict("records")
        ]
    names = [_METRICS.get(str(m), str(m)) for m in summary.index]
    how = summary["method"].str.removeprefix("pooled, ").tolist()
    frame = pd.DataFrame({"figure": names, **columns, "interval": how})
    at = study.settings["threshold"]
    return _table(
        f"Pooled out-of-fold figures; accuracy to F1 at a threshold of {at:g}", frame
    )  # fmt: skip


def _folds(study: Study) -> dict[str, Any]:
    first = study.primary.frame()
    frame = first[["n_train", "n_test", "events"]].reset_index()
    for result in study.results.values():
        frame[f"AUC, {result.name}"] = result.frame()["auc"].to_numpy()
    frame["fold"] += 1
    frame = frame.rename(columns={"n_train": "train", "n_test": "test"})
    return _table("The same folds for every model", frame, digits=2)


def _comparisons(study: Study) -> dict[str, Any]:
    c = study.comparisons
    frame = pd.DataFrame(
        {
            "difference": [f"{a} − {b}" for a, b in zip(c["model"], c["minus"], strict=True)],
            "AUC per fold": [
                f"{signed(r['difference'], 3)} ({_cell(r['ci_low'])} to {_cell(r['ci_high'])})"
                for r in c.to_dict("records")
            ],
            "p, corrected t": c["p_corrected"],
            "pooled AUC": [
                "–" if np.isnan(v) else signed(v, 3) for v in c["pooled_difference"].to_numpy(float)
            ],
            "p, DeLong": c["p_delong"],
        }
    )
    return _table("Differences on the same people and folds", frame)


def _importance(study: Study) -> dict[str, Any]:
    columns: dict[str, list[str]] = {}
    most = 10
    for name, found in study.shap.items():
        top = found.importance().head(most)
        sign = {1.0: "↑", -1.0: "↓"}
        cells = [
            f"{feature} {sign.get(row['direction'], '')} {row['mean_abs']:.3f}"
            for feature, row in top.iterrows()
        ]
        columns[f"{study.results[name].name} ({found.unit})"] = cells + ["–"] * (most - len(cells))
    return _table(
        "Mean |SHAP value|; ↑ higher values of the feature push towards the event, ↓ away",
        pd.DataFrame({"rank": range(1, most + 1), **columns}),
    )


def _model_checks(study: Study) -> dict[str, Any]:
    rows = [
        {"model": result.name, "check": check, "ok": bool(row["ok"]), "finding": row["finding"]}
        for result in study.results.values()
        for check, row in result.checks.iterrows()
    ]
    return _table("Checks of each model", pd.DataFrame(rows))


def _sites(study: Study) -> dict[str, Any]:
    rows = [
        {"model": result.name, "sites": len(result.splits), "AUC, pooled": interval(result),
         "AUC by site": ", ".join(_cell(v, 2) for v in result.frame()["auc"])}
        for result in study.other_sites.values()
    ]  # fmt: skip
    return _table("Each site left out in turn", pd.DataFrame(rows))


def _meta(study: Study) -> list[tuple[str, object]]:
    """Return what is known of the source, the short entries only."""
    return [
        (key, value)
        for key, value in study.cohort.meta.items()
        if isinstance(value, str | int | float) and len(str(value)) < 400
    ]
