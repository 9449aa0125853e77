"""How a model was evaluated, and what came out, as plain values."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import ComparisonError, FormatError, PrecisionPainWarning
from ...evaluation import CVResult
from ...stats import bootstrap_interval, net_benefit, sample_size_verdict
from .model import model_of, shape_of

if TYPE_CHECKING:
    from ..study import Study

_THRESHOLDS = np.arange(1, 10) / 10


def describe_evaluation(result: CVResult) -> dict[str, Any]:
    """Return folds, repeats, resamples and seed."""
    frame = result.frame()
    splitter = result.splitter
    return {
        "splitter": "given splits" if splitter is None else _plain_repr(splitter),
        "n_splits": len(result.splits),
        "n_repeats": int(result.predictions["repeat"].max()) + 1,
        "by_person": True,
        "n_train": [int(n) for n in frame["n_train"]],
        "n_test": [int(n) for n in frame["n_test"]],
        "events_test": [int(n) for n in frame["events"]],
        "auc_per_fold": [float(v) for v in frame["auc"]],
        "threshold": result.threshold,
        "confidence": result.confidence,
        "n_bootstrap": result._n_bootstrap,
        "n_permutations": len(result.permutation.null),
        "seed": result._random_state,
        "allowed_late": list(result.allow),
        "fold_key": result.fold_key,
    }


def _plain_repr(splitter: Any) -> str:
    text = repr(splitter)
    return type(splitter).__name__ if " at 0x" in text else text


def describe_performance(
    result: CVResult, study: Study | None, n_coefficients: int | None
) -> dict[str, Any]:
    """Return discrimination, calibration, net benefit, increment, canary and checks.

    The coefficients of the fitted model count where the evaluation knew of no features.
    """
    a, verdict = result.auc, result.sample_size if study is None else study.verdict
    events = int(pd.Series(result.y).groupby(result.cohort.groups).max().sum())
    if verdict is None and n_coefficients and events < result.cohort.n_subjects:
        verdict = sample_size_verdict(result.cohort.n_subjects, events, n_coefficients)
    test = result.permutation
    return {
        "auc": dataclasses.asdict(a),
        "metrics": result.summary().reset_index().to_dict("records"),
        "calibration": dataclasses.asdict(result.calibration),
        "net_benefit": _net_benefit(result),
        "increment": None if result.baseline is None else _increment(result),
        "permutation": {
            "mean": test.mean, "se": test.se, "n": len(test.null), "p_value": test.p_value,
            "smallest_p": 1 / (1 + len(test.null)), "passed": test.passed,
        },
        "sample_size": None if verdict is None else dataclasses.asdict(verdict),
        "sample_size_before_fitting": study is not None,
        "checks": result.checks.reset_index().to_dict("records"),
        "others": [] if study is None else study.comparisons.to_dict("records"),
        "importance": _importance(study),
    }  # fmt: skip


def rows_of(result: CVResult) -> tuple[np.ndarray, np.ndarray]:
    """Return outcome and mean out-of-fold prediction of each row; NaN where none was made."""
    return result.y, np.nanmean(result._table, axis=1)


def _net_benefit(result: CVResult) -> dict[str, Any]:
    y, p = rows_of(result)
    known = ~np.isnan(p)
    y, p = y[known], p[known]
    curve = net_benefit(y, p, thresholds=_THRESHOLDS)
    best = np.maximum(curve["treat_all"], 0.0)
    if result.baseline is not None:
        other = net_benefit(y, rows_of(result.baseline)[1][known], thresholds=_THRESHOLDS)["model"]
        curve.insert(2, "baseline", other)
        best = np.maximum(best, other)
    useful = curve.loc[curve["model"] > best, "threshold"]
    return {
        "curve": curve.drop(columns="standardised").to_dict("records"),
        "best_at": [float(t) for t in useful],
        "threshold": result.threshold,
        "over_default": _benefit_over(result, None),
    }


def _benefit_over(result: CVResult, other: CVResult | None) -> dict[str, float]:
    """Return the gain in net benefit at the threshold, over a model or over the best default."""
    y, p = rows_of(result)
    q = rows_of(other)[1] if other is not None else np.zeros(len(y))
    known = ~np.isnan(p)
    t = [result.threshold]

    def gain(event: np.ndarray, both: np.ndarray) -> float:
        table = net_benefit(event, both[:, 0], thresholds=t).iloc[0]
        if other is not None:
            return float(table["model"] - net_benefit(event, both[:, 1], thresholds=t)["model"][0])
        return float(table["model"] - max(table["treat_all"], 0.0))

    strata = result._strata
    found = bootstrap_interval(
        gain, y[known], np.column_stack([p, q])[known], groups=result.cohort.groups[known],
        stratify=None if strata is None else strata[known], n_boot=result._n_bootstrap,
        confidence=result.confidence, random_state=result._random_state,
    )  # fmt: skip
    return {"difference": found.estimate, "ci_low": found.ci_low, "ci_high": found.ci_high}


def _increment(result: CVResult) -> dict[str, Any]:
    base = result.baseline
    assert base is not None
    found = result.increment
    return {
        "baseline": base.name,
        "baseline_auc": dataclasses.asdict(base.auc),
        "corrected": dataclasses.asdict(found.corrected),
        "delong": None if found.pooled is None else dataclasses.asdict(found.pooled),
        "net_benefit": _benefit_over(result, base),
        "threshold": result.threshold,
    }


def _importance(study: Study | None) -> list[dict[Any, Any]]:
    if study is None or not study.shap:
        return []
    name = next(iter(study.shap))
    table = study.shap[name].importance().head(10).reset_index()
    return table.assign(unit=study.shap[name].unit).to_dict("records")


def describe_subgroups(result: CVResult, given: Any) -> dict[str, Any] | None:
    """Return the table by subgroup: the one given, or computed; None where there is none."""
    if given is False:
        return None
    notes: list[str] = []
    if given is None:
        from ... import evaluation

        if not hasattr(evaluation, "subgroups"):
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PrecisionPainWarning)
            given = evaluation.subgroups(result)
        notes = [str(w.message) for w in caught if issubclass(w.category, PrecisionPainWarning)]
    table = getattr(given, "table", given)
    if not isinstance(table, pd.DataFrame):
        raise FormatError(
            f"subgroups have a .table, or are a DataFrame, found {type(given).__name__}",
            remedy="pass what precisionpain.evaluation.subgroups returns, or False for none",
        )
    more = getattr(given, "warnings", ())
    notes += [str(w) for w in ([more] if isinstance(more, str) else more)]
    named = [name for name in table.index.names if name is not None]
    flat = table.reset_index() if named else table.reset_index(drop=True)
    gaps = getattr(given, "gaps", None)
    return {
        "rows": flat.to_dict("records"),
        "gaps": gaps.reset_index().to_dict("records") if isinstance(gaps, pd.DataFrame) else [],
        "notes": list(dict.fromkeys(notes)),
    }


def describe_other_sites(
    result: CVResult, study: Study | None, given: Any
) -> dict[str, Any] | None:
    """Return the results with each site left out in turn."""
    if given is None and study is not None:
        primary = next(name for name, r in study.results.items() if r is result)
        given = study.other_sites.get(primary)
    if given is None:
        return None
    _check_same(result, given if isinstance(given, CVResult) else getattr(given, "cv", None))
    if isinstance(given, CVResult):
        rows = given.frame().reset_index(drop=True)
        site = str(rows.columns[0])
        rows = rows[[site, "n_test", "events", "auc", "brier"]].rename(columns={site: "site"})
        return {"auc": dataclasses.asdict(given.auc), "rows": rows.to_dict("records")}
    table = getattr(given, "table", given)
    if not isinstance(table, pd.DataFrame):
        raise FormatError(
            f"other_sites is a CVResult, a DataFrame or has a .table, found {type(given).__name__}"
        )
    flat = table.reset_index() if table.index.name else table
    # What `leave_site_out` returns knows the mean over sites, where it could be computed.
    mean = given.auc if getattr(given, "summary", None) is not None else None
    return {"auc": mean, "rows": flat.to_dict("records")}


def _check_same(result: CVResult, other: Any) -> None:
    """Refuse the sites of another outcome, or of another kind of model."""
    if not isinstance(other, CVResult):
        return
    kinds = [shape_of(model_of(one, None)) for one in (result, other)]
    if result.outcome != other.outcome or kinds[0] != kinds[1]:
        raise ComparisonError(
            f"other_sites is of {kinds[1]} for {other.outcome!r}, the card of {kinds[0]} for "
            f"{result.outcome!r}",
            remedy="leave sites out with the same model and outcome",
        )
