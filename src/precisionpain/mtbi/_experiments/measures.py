"""The figures of a row: as the study defines them, and as they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...errors import FormatError
from ...evaluation import CVResult, audit_table
from ...stats import auc, classification_metrics
from .plan import Row
from .published import MEASURES, N_CHRONIC, N

__all__ = ["COLUMNS", "figures", "published_figures"]

_THRESHOLD = 0.5
_NAMES = {"recall": "sensitivity"}

COLUMNS = (
    "table", "row", "label", "status", "n", "events", "folds",
    *(f"published_{name}" for name in MEASURES), "published_auc_low", "published_auc_high",
    *MEASURES, "auc_low", "auc_high",
    *(f"pooled_{name}" for name in MEASURES), "pooled_auc_low", "pooled_auc_high", "ranked_auc",
    "majority_accuracy", "silent_folds", "one_class_folds",
    "reference", "reference_auc", "minus_reference", "minus_reference_low",
    "minus_reference_high", "minus_reference_p",
    "with_bedside_auc", "added", "added_low", "added_high", "added_p", "note",
)  # fmt: skip


def published_figures(row: Row) -> dict[str, Any]:
    """Return what was printed, with the interval that the people of the study give its AUC."""
    found = {f"published_{name}": value for name, value in row.published.items()}
    if row.published and not row.best_fold:
        line = {"row": row.name, "auc": row.published["auc"]}
        audit = audit_table([line], n=N, n_positive=N_CHRONIC, mean_of_folds=False)
        implied: Any = audit.implied(row.name, "interval")
        found |= {"published_auc_low": implied["low"], "published_auc_high": implied["high"]}
    return found


def figures(
    row: Row, result: CVResult, reference: CVResult | None, both: CVResult | None
) -> dict[str, Any]:
    """Return the figures of one row.

    Parameters
    ----------
    row : Row
    result : CVResult
        Of its model.
    reference : CVResult or None
        What it has to beat, in the same folds.
    both : CVResult or None
        Bedside model and scan together, in the same folds.

    Returns
    -------
    dict
        By names in `COLUMNS`.
    """
    per_fold = _per_fold(result)
    pooled = result.predictions
    y, p = pooled["y"].to_numpy(), pooled["p"].to_numpy()
    found: dict[str, Any] = {
        "n": len(y), "events": int(y.sum()), "folds": len(per_fold),
        "silent_folds": int((per_fold["positives"] == 0).sum()),
        "one_class_folds": int(per_fold["auc"].isna().sum()),
        "majority_accuracy": max(y.mean(), 1 - y.mean()),
        "ranked_auc": auc(y, _ranks(pooled)),
    }  # fmt: skip
    if row.best_fold:
        order = per_fold.sort_values(["auc", "recall"], ascending=False, na_position="last")
        found |= {name: order.iloc[0][name] for name in MEASURES}
    else:
        found |= {name: per_fold[name].mean() for name in MEASURES}
        if _enough(result):
            ends = np.clip([result.fold_auc.ci_low, result.fold_auc.ci_high], 0, 1)
            found |= {"auc_low": ends[0], "auc_high": ends[1]}
    at = classification_metrics(y, p, threshold=_THRESHOLD)
    found |= {f"pooled_{m}": getattr(at, _NAMES.get(m, m)) for m in MEASURES if m != "auc"}
    a = result.auc
    found |= {"pooled_auc": a.auc, "pooled_auc_low": a.ci_low, "pooled_auc_high": a.ci_high}
    if reference is not None:
        found |= {"reference": reference.name, "reference_auc": reference.auc.auc}
        found |= _difference("minus_reference", result, reference)
        if both is not None:
            found |= {"with_bedside_auc": both.auc.auc, **_difference("added", both, reference)}
    return found


def _per_fold(result: CVResult) -> pd.DataFrame:
    """Return the measures of each fold as scikit-learn has them: what is undefined counts 0.

    An AUC of one class only stays undefined, and out of the mean.
    """
    rows = []
    for _, fold in result.predictions.groupby("fold", sort=True):
        y, p = fold["y"].to_numpy(), fold["p"].to_numpy()
        at = classification_metrics(y, p, threshold=_THRESHOLD)
        values = {m: getattr(at, _NAMES.get(m, m)) for m in MEASURES if m != "auc"}
        line = {m: 0.0 if np.isnan(value) else value for m, value in values.items()}
        line["auc"] = auc(y, p) if 0 < y.sum() < len(y) else np.nan
        rows.append({**line, "positives": at.tp + at.fp})
    return pd.DataFrame(rows)


def _ranks(pooled: pd.DataFrame) -> np.ndarray:
    """Rank people within their fold, from 0 to 1, so that folds on other scales compare."""
    ranks = pooled.groupby("fold")["p"].transform(lambda p: (rankdata(p) - 0.5) / len(p))
    return ranks.to_numpy()


def _enough(result: CVResult) -> bool:
    """Whether enough folds have both classes for an interval."""
    return int(result.frame()["auc"].notna().sum()) > 1


def _difference(name: str, one: CVResult, other: CVResult) -> dict[str, Any]:
    if not _enough(one):
        return {}
    try:
        c = one.compare(other).corrected
    except FormatError:
        return {}
    return {
        name: c.mean, f"{name}_low": c.ci_low, f"{name}_high": c.ci_high, f"{name}_p": c.p_value
    }  # fmt: skip
