"""The pictures of a card, each with the text that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ... import plots
from ...evaluation import CVResult
from .._figures import png
from .results import rows_of
from .words import judged_groups, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_card(result: CVResult, record: Mapping[str, Any]) -> dict[str, tuple[bytes, str]]:
    """Draw flow, ROC curve, calibration, decision curve, permutations and subgroups."""
    a, c = result.auc, result.calibration
    y, p = rows_of(result)
    known = ~np.isnan(p)
    pairs = {result.name: (y[known], p[known])}
    curves = {result.name: result.decision_curve}
    if result.baseline is not None:
        pairs[result.baseline.name] = (y[known], rows_of(result.baseline)[1][known])
        curves[result.baseline.name] = result.baseline.decision_curve
    test = result.permutation
    drawn: dict[str, tuple[Axes, str]] = {
        "flow": (plots.flow(result.cohort.flow.frame()), f"Flow: {result.cohort.flow}."),
        "roc": (plots.roc(pairs), f"ROC curves; {result.name} has an AUC of {a.auc:.2f}."),
        "calibration": (
            plots.calibration(*pairs[result.name], name=result.name),
            f"Calibration: slope {number(c.slope)}, intercept {number(c.intercept)}.",
        ),
        "decision_curve": (
            plots.decision_curve(curves),
            f"Net benefit over thresholds of {', '.join(curves)}, beside treating all or none.",
        ),
        "permutation": (
            plots.permutation(test.observed, test.null),
            f"AUC with true labels, {test.observed:.2f}, among {len(test.null)} runs with "
            f"permuted labels of mean {test.mean:.2f}.",
        ),
    }
    table = forest(record)
    if table is not None:
        listed = "; ".join(f"{r['name']} {r['auc']:.2f}" for r in table.to_dict("records"))
        axes = plots.auc_forest(table)
        axes.set_title("AUC by subgroup (95% CI)", loc="left", fontsize=10, fontweight="bold")
        drawn["subgroups"] = axes, f"AUC by subgroup: {listed}."
    if result.cohort.synthetic:
        drawn = {
            name: (plots.mark_synthetic(ax), f"Synthetic data. {alt}")
            for name, (ax, alt) in drawn.items()
        }
    return {name: (png(ax.figure), alt) for name, (ax, alt) in drawn.items()}  # type: ignore[arg-type]


def forest(record: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return the AUCs by subgroup, where the table has any with intervals."""
    rows = pd.DataFrame(judged_groups(record))
    if rows.empty:
        return None
    counts = rows["n"].map(lambda n: "" if n is None else f" (n = {n})")
    return rows.assign(name=rows["name"] + counts)
