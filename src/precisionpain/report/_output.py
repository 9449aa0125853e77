"""What a study writes: tables, figures, JSON and the report."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..evaluation import CVResult
from ._figures import availability_frame, draw, png
from ._files import as_json, make_writable, write_whole

if TYPE_CHECKING:
    from .study import Study

_PACKAGES = (
    "precisionpain", "numpy", "pandas", "scipy", "scikit-learn", "shap", "anndata", "matplotlib",
)  # fmt: skip
_XGBOOST = ("xgboost-cpu", "xgboost")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages behind the numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in (*_PACKAGES, *_XGBOOST):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _by_set(study: Study) -> dict[str, dict[str, CVResult]]:
    return {
        "same people and folds": study.results,
        "other people": study.other_people,
        "sites left out": study.other_sites,
    }


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """Return every table of the study by file name.

    ``predictions`` and ``shap_...`` name the people by their key; none of the others does.
    """
    wide = study.primary.predictions[["fold", "repeat", "y"]].copy()
    metrics, folds, long = [], [], []
    for people, results in _by_set(study).items():
        for result in results.values():
            labels = {"people": people, "model": result.name}
            metrics.append(result.summary().reset_index().assign(**labels))
            folds.append(result.frame().reset_index().assign(**labels))
            if people == "same people and folds":
                wide[f"p {result.name}"] = result.predictions["p"].to_numpy()
            else:
                long.append(result.predictions.reset_index().assign(**labels))
    first = ["people", "model"]
    found = {
        "flow": study.analysed.flow.frame(),
        "availability": _counted(availability_frame(study)),
        "table_one": study.table_one.frame,
        "dictionary": study.analysed.dictionary.reset_index(),
        "provenance": study.cohort.provenance,
        "checks": study.checks,
        "metrics": _first(pd.concat(metrics), first),
        "folds": _first(pd.concat(folds), first),
        "comparisons": study.comparisons,
        "model_checks": _model_checks(study),
        "predictions": wide.reset_index(),
        "importance": _importance(study),
    }
    if long:
        found["predictions_beside"] = _first(pd.concat(long), first)
    for name, explanation in study.shap.items():
        found[f"shap_{name}"] = explanation.values.assign(base=explanation.base).reset_index()
    return found


def _first(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    return table[[*names, *(c for c in table if c not in names)]].reset_index(drop=True)


def _counted(has: pd.DataFrame) -> pd.DataFrame:
    """Count each combination of what people have; the people themselves stay out."""
    return has.value_counts().rename("people").reset_index()


def _model_checks(study: Study) -> pd.DataFrame:
    rows = [
        result.checks.reset_index().assign(model=result.name) for result in study.results.values()
    ]
    return _first(pd.concat(rows), ["model"])


def _importance(study: Study) -> pd.DataFrame:
    rows = [
        found.importance().reset_index().assign(model=study.results[name].name, unit=found.unit)
        for name, found in study.shap.items()
    ]
    return _first(pd.concat(rows), ["model"])


def as_record(study: Study) -> dict[str, Any]:
    """Return everything machine-readable but the predictions of people."""
    from .. import __version__

    cohort = study.cohort
    return {
        "format": "precisionpain study",
        "format_version": 1,
        "written_by": f"precisionpain {__version__}",
        "cohort": {
            "name": cohort.name,
            "synthetic": cohort.synthetic,
            "n_subjects": cohort.n_subjects,
            "landmark": cohort.landmark,
            "meta": cohort.meta,
        },
        "outcome": {"name": study.outcome, **cohort.outcomes[study.outcome].to_dict()},
        "headline": study.headline,
        "verdict_before_fitting": vars(study.verdict),
        "settings": study.settings,
        "flow": study.analysed.flow.frame().to_dict("records"),
        "results": {name: result.to_dict() for name, result in study.results.items()},
        "other_people": {name: result.to_dict() for name, result in study.other_people.items()},
        "sites_left_out": {
            name: {
                "fold_key": result.fold_key,
                "summary": result.summary().reset_index().to_dict("records"),
                "folds": result.frame().reset_index().to_dict("records"),
            }
            for name, result in study.other_sites.items()
        },
        "comparisons": study.comparisons.to_dict("records"),
        "importance": _importance(study).to_dict("records"),
        "checks": study.checks.to_dict("records"),
        "notes": list(study.notes),
        "timings_seconds": study.timings,
        "versions": versions(),
    }


def save_study(study: Study, out: str | Path) -> dict[str, Path]:
    """Write a study; see `Study.save`."""
    from .html import render_report

    folder = make_writable(out)
    earlier = _earlier_files(folder)
    written: dict[str, Path] = {}

    def write(name: str, content: bytes) -> None:
        written[name] = write_whole(folder / name, content)

    for name, table in tables(study).items():
        write(f"tables/{_safe(name)}.csv", table.to_csv(index=False).encode())
    pictures = {name: (png(figure), alt) for name, (figure, alt) in draw(study).items()}
    for name, (image, _) in pictures.items():
        write(f"figures/{_safe(name)}.png", image)
    write("report.html", render_report(study, pictures).encode())
    # Last, so that its presence means that all the rest is there.
    files = [*written, "results.json"]
    write("results.json", as_json({**as_record(study), "files": files}))
    for name in earlier - set(files):
        (folder / name).unlink(missing_ok=True)
    return written


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _earlier_files(folder: Path) -> set[str]:
    """Return the files that an earlier study wrote here, so that none of them goes stale."""
    try:
        record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(record, dict) or record.get("format") != "precisionpain study":
        return set()
    pattern = re.compile(r"(tables/[\w.-]+\.csv|figures/[\w.-]+\.png)")
    return {name for name in record.get("files", []) if pattern.fullmatch(str(name))}
