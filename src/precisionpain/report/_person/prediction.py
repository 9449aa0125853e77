"""What a model says of one person, how sure it is, why, and what it lacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ... import fusion
from ...cohort import Cohort
from ...errors import AlignmentError, FormatError, PrecisionPainError, PrecisionPainWarning
from ...evaluation import CVResult
from .clinic import OLD, OLDEST

_MOST = 8


def predicted(
    model: Any, view: Cohort, subject_id: str, trained_on: Sequence[str] | None
) -> dict[str, Any]:
    """Return the prediction of a fitted model, or of the folds that hadn't seen the person."""
    found: dict[str, Any] = {
        "model": model.name if isinstance(model, CVResult) else type(model).__name__,
        "p": None, "p_low": None, "p_high": None, "set": None, "informed": None, "reason": "",
        "answer": None, "base_rate": None, "n_base": None, "outcome": _outcome(model),
        "unseen": None, "notes": [],
    }  # fmt: skip
    if isinstance(model, CVResult):
        return found | _out_of_fold(model, subject_id)
    if not (hasattr(model, "assess") or hasattr(model, "predict_proba")):
        raise FormatError(
            f"a model has predict_proba or assess, found {type(model).__name__}",
            remedy="give a fitted classifier of a Cohort, or a CVResult",
        )
    one = view[np.flatnonzero(view.subject_ids == subject_id)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PrecisionPainWarning)
        if hasattr(model, "assess"):
            row = model.assess(one).iloc[0]
            names = ("p", "p_low", "p_high", "informed", "answer")
            found |= {name: _plain(row[name]) for name in names if name in row}
            found["set"] = _as_set(row.get("set"))
            found["reason"] = str(row.get("reason", "") or "")
        else:
            found["p"] = float(np.asarray(model.predict_proba(one))[0, 1])
            if hasattr(model, "predict_set"):
                found["set"] = _as_set(model.predict_set(one))
    found["notes"] = [
        str(w.message) for w in caught if issubclass(w.category, PrecisionPainWarning)
    ]
    base = getattr(model, "prevalence_", None)
    found["base_rate"] = None if base is None else float(base)
    if trained_on is not None:
        found["unseen"] = subject_id not in set(map(str, trained_on))
    return found


def _out_of_fold(result: CVResult, subject_id: str) -> dict[str, Any]:
    p = result.predictions
    own = p[p.index.get_level_values(0) == subject_id]
    if own.empty:
        raise AlignmentError(
            "the cross-validation made no prediction for this person",
            remedy="give a result of people who have the outcome, this person among them",
        )
    return {
        "p": float(own["p"].mean()), "base_rate": float(result.y.mean()),
        "n_base": len(result.y), "unseen": True,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if value is None or (isinstance(value, float) and np.isnan(value)) else value


def _outcome(model: Any) -> str | None:
    """Return what a model predicts, where it says so."""
    told = getattr(model, "outcome", None)
    told = told() if callable(told) else told
    told = getattr(told, "description", told)
    return None if told is None else str(told)


def _as_set(value: Any) -> list[str] | str | None:
    """Return what the model can't rule out: names, or its own word for them."""
    if isinstance(value, pd.DataFrame):
        return [str(name) for name, inside in value.iloc[0].items() if inside]
    if value is None or isinstance(value, str):
        return value
    first = np.asarray(value, dtype=object).ravel()[0] if np.ndim(value) else value
    if isinstance(first, str):
        return first
    return [str(v) for v in first] if hasattr(first, "__iter__") else [str(first)]


def explained(
    model: Any, cohort: Cohort, subject_id: str, given: Any, hide: Sequence[str]
) -> dict[str, Any] | None:
    """Return the reasons: those given, or computed; None where there are none to give."""
    note = ""
    if given is None and model is not None and hasattr(fusion, "explain_person"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PrecisionPainWarning)
                given = fusion.explain_person(model, cohort, subject_id)
        except PrecisionPainError as error:
            note = error.what
    if given is None or given is False:
        return {"sentences": [], "rows": [], "note": note} if note else None
    table = getattr(given, "table", None)
    rows: list[dict[Any, Any]] = []
    if isinstance(table, pd.DataFrame):
        keep = ["value", "unit", "median", "percentile", "contribution", "mechanism"]
        named = any(name is not None for name in table.index.names)
        flat = table.reset_index() if named else table
        wanted = [c for c in flat if c in keep or c in table.index.names or c == "feature"]
        rows = flat[wanted].head(_MOST).to_dict("records")
    sentences = [str(s) for s in getattr(given, "sentences", ())]
    sentences, rows = _without_traces(sentences, rows, hide)
    return {
        "sentences": sentences, "rows": rows, "note": "",
        "base_rate": _plain(getattr(given, "base_rate", None)),
    }  # fmt: skip


def _without_traces(
    sentences: list[str], rows: list[dict[Any, Any]], hide: Sequence[str]
) -> tuple[list[str], list[dict[Any, Any]]]:
    """Leave hidden columns out, and group years as the clinic does."""
    hidden = tuple(f"{name}{end}" for name in hide for end in (" ", "="))
    rows = [row for row in rows if not f"{row.get('feature', '')} ".startswith(hidden)]
    sentences = [text for text in sentences if not text.startswith(hidden)]
    for row in rows:
        value = row.get("value")
        if row.get("unit") == "years" and isinstance(value, float) and value > OLDEST:
            row["value"] = OLD
            sentences = [text.replace(f"{value:.3g} years", f"{OLD} years") for text in sentences]
    return sentences, rows


def lacking(model: Any, view: Cohort, subject_id: str, p: float | None) -> list[dict[str, Any]]:
    """Return the blocks of a fusion that the person lacks, and how far others are moved by them."""
    if model is None or not hasattr(model, "contributions"):
        return []
    at = view.subject_ids == subject_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionPainWarning)
        parts = model.contributions(view)
    rows = []
    for block in parts:
        own, others = parts.loc[at, block].iloc[0], parts.loc[~at, block].dropna()
        if pd.notna(own):
            continue
        spread = float(others.std()) if len(others) > 1 else float("nan")
        row = {"block": str(block), "n": len(others), "spread": spread, "low": None, "high": None}
        if p is not None and np.isfinite(spread):
            centre = float(logit(np.clip(p, 1e-6, 1 - 1e-6)))
            row |= {"low": float(expit(centre - spread)), "high": float(expit(centre + spread))}
        rows.append(row)
    return rows


def left_out(model: Any, cohort: Cohort, subject_id: str) -> list[dict[str, Any]]:
    """Return what the model would say without each block that the person has."""
    if model is None or isinstance(model, CVResult) or not hasattr(model, "predict_proba"):
        return []
    one = cohort[np.flatnonzero(cohort.subject_ids == subject_id)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PrecisionPainWarning)
            table = fusion.without_block(model, one)
    except PrecisionPainError:
        return []
    rows = []
    for block in dict.fromkeys(k[0] for k in table.columns if isinstance(k, tuple)):
        if block != "all" and pd.notna(table[(block, "change")].iloc[0]):
            without, change = (float(table[(block, k)].iloc[0]) for k in ("p", "change"))
            rows.append({"block": str(block), "without": without, "change": change})
    return rows
