"""The figures of a study, each with the text that stands for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import plots
from ..evaluation import CVResult
from ._words import interval, p_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .study import Study


def pooled(result: CVResult) -> tuple[np.ndarray, np.ndarray]:
    """Return outcome and mean out-of-fold prediction, one value per person."""
    each = result.predictions.groupby(level=0, sort=False).agg({"y": "first", "p": "mean"})
    return each["y"].to_numpy(), each["p"].to_numpy()


def forest_table(study: Study) -> pd.DataFrame:
    """List the AUCs: models, references, other people, other sites, canary."""
    rows = [_row(result.name, result, "model") for result in study.results.values()]
    rows += [
        _row(f"{result.name} (other people, n = {len(result.y)})", result, "other people")
        for result in study.other_people.values()
    ]
    rows += [_row(result.name, result, "other people") for result in study.other_sites.values()]
    null = study.primary.permutation.null
    low, high = np.quantile(null, [0.025, 0.975])
    name = f"canary: {study.primary.name}, permuted labels (95% of runs)"
    rows.append(
        {"name": name, "auc": float(np.mean(null)), "ci_low": low, "ci_high": high,
         "n": len(study.primary.y), "events": int(study.primary.y.sum()), "kind": "canary"}
    )  # fmt: skip
    return pd.DataFrame(rows)


def _row(name: str, result: CVResult, kind: str) -> dict[str, Any]:
    a = result.auc
    return {"name": name, "auc": a.auc, "ci_low": a.ci_low, "ci_high": a.ci_high,
            "n": len(result.y), "events": int(result.y.sum()), "kind": kind}  # fmt: skip


def availability_frame(study: Study) -> pd.DataFrame:
    """Who has what, with the outcome and the reference columns beside the modalities."""
    frame = study.cohort.availability.copy()
    frame.insert(0, f"outcome {study.outcome}", study.cohort.has(study.outcome))
    frame.insert(0, "clinical table", True)
    return frame.astype(bool)


def draw(study: Study) -> dict[str, tuple[Figure, str]]:
    """Draw every figure.

    Returns
    -------
    dict of str to (Figure, str)
        By file name without ending, with the alternative text.
    """
    drawn: dict[str, tuple[Axes, str]] = {}
    steps = study.analysed.flow
    drawn["flow"] = plots.flow(steps.frame()), f"Flow of participants: {steps}."
    has = availability_frame(study)
    counts = ", ".join(f"{name} {int(n)}" for name, n in has.sum().items())
    drawn["availability"] = (
        plots.availability(has), f"Who has what, of {len(has)} people: {counts}."
    )  # fmt: skip
    table = forest_table(study)
    listed = "; ".join(
        f"{r['name']} {r['auc']:.2f} ({r['ci_low']:.2f} to {r['ci_high']:.2f})"
        for r in table.to_dict("records")
    )
    drawn["auc_forest"] = plots.auc_forest(table), f"AUCs with intervals: {listed}."
    curves = {result.name: pooled(result) for result in study.results.values()}
    text = "; ".join(f"{r.name} AUC {interval(r)}" for r in study.results.values())
    drawn["roc"] = plots.roc(curves), f"ROC curves: {text}."
    frames = {result.name: result.frame() for result in study.results.values()}
    means = ", ".join(f"{name} {frame['auc'].mean():.2f}" for name, frame in frames.items())
    drawn["fold_auc"] = plots.fold_auc(frames), f"AUC of each test fold; means: {means}."
    test = study.primary.permutation
    drawn["permutation"] = (
        plots.permutation(test.observed, test.null),
        f"AUC with true labels, {test.observed:.2f}, among {len(test.null)} runs with permuted "
        f"labels of mean {test.mean:.2f}; {p_text(test.p_value)}.",
    )
    benefit = {study.results[name].name: study.results[name].decision_curve for name in study.shap}
    drawn["decision_curve"] = (
        plots.decision_curve(benefit),
        f"Net benefit over thresholds of {', '.join(benefit)}, beside treating everybody or nobody.",  # noqa: E501
    )
    for name in study.shap:
        result = study.results[name]
        c = result.calibration
        drawn[f"calibration_{name}"] = (
            plots.calibration(*pooled(result), name=result.name),
            f"Calibration of the {result.name}: slope {c.slope:.2f}, intercept {c.intercept:.2f}.",
        )
    for name, found in study.shap.items():
        first = ", ".join(map(str, found.importance().index[:5]))
        axes = plots.shap_summary(found.values, found.data, unit=found.unit)
        axes.set_title(study.results[name].name, loc="left", fontsize=10, fontweight="bold")
        drawn[f"shap_{name}"] = (
            axes,
            f"SHAP values of the {study.results[name].name}; the largest: {first}.",
        )
    if study.cohort.synthetic:
        drawn = {
            name: (plots.mark_synthetic(ax), f"Synthetic data. {alt}")
            for name, (ax, alt) in drawn.items()
        }
    return {name: (ax.figure, alt) for name, (ax, alt) in drawn.items()}  # type: ignore[misc]


def png(figure: Figure, dpi: int = 150) -> bytes:
    """Return a figure as PNG with a small palette, which its flat colours need no more than."""
    import io

    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi, facecolor="white")
    raw.seek(0)
    small = io.BytesIO()
    Image.open(raw).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    return small.getvalue()
