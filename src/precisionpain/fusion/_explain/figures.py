"""Figures of explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from ... import plots
from ..._plot_style import (
    DASHED,
    INK,
    MUTED,
    PALETTE,
    SMALL,
    TEXT,
    beside,
    label,
    rows,
    styled,
    swarm,
)
from ...errors import FormatError
from .person import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..modalities import ModalityImportance
    from .explanation import FusionExplanation
    from .person import PatientExplanation

__all__ = ["forest", "summary", "waterfall"]

_UP, _DOWN = PALETTE[1], PALETTE[0]


def summary(explanation: FusionExplanation, kind: str, max_rows: int, ax: Axes | None) -> Axes:
    """Draw one point per prediction for each mechanism, block or feature."""
    if kind == "features":
        values = explanation.values
        names = [f"{key[1]} ({key[0]})" for key in values.columns]
        ax = plots.shap_summary(
            values.set_axis(names, axis=1),
            explanation.data.set_axis(names, axis=1),
            unit=explanation.unit,
            max_features=max_rows,
            ax=ax,
        )
        return plots.mark_synthetic(ax) if explanation.synthetic else ax
    if kind not in ("blocks", "mechanisms"):
        raise FormatError(f"kind is 'mechanisms', 'blocks' or 'features', found {kind!r}")
    used = explanation.status == "used"
    if kind == "blocks":
        sums, has = explanation.by_block(), used
    else:
        sums = explanation.by_mechanism()
        has = explanation.has_mechanism()
    ranked = sums.abs().mean().sort_values(ascending=False, kind="stable")
    order = list(ranked.index[:max_rows])
    ax = styled(ax, (7.4, 1.6 + 0.5 * len(order)), f"What moved the predictions: {kind}")
    width = float(np.ptp(sums[order].to_numpy())) or 1.0
    for row, name in enumerate(order):
        x = sums[name].to_numpy()[has[name].to_numpy()]
        ax.barh(row, ranked[name], height=0.72, color=PALETTE[5], alpha=0.35, zorder=1)
        ax.scatter(x, row + swarm(x, width / 90), s=11, color=PALETTE[0], lw=0, zorder=3)
        beside(ax, f"{len(x)} of {len(sums)}", row)
    ax.axvline(0, color=MUTED, lw=1)
    ax.annotate("have it", (1.02, 1.01), xycoords="axes fraction", **TEXT)
    rows(ax, [str(name) for name in order], 0.6)
    label(ax, "SHAP value (log odds; right: towards the event; bar: mean of |value| of all)")
    return plots.mark_synthetic(ax) if explanation.synthetic else ax


def waterfall(person: PatientExplanation, max_rows: int, ax: Axes | None) -> Axes:
    """Draw the steps from the base rate to the probability of one person."""
    steps: list[tuple[str, float]] = []
    head = person.table.head(max_rows)
    for key, record in zip(head.index, head.to_dict("records"), strict=True):
        steps.append((_step_name(str(key[0]), str(key[1]), record), float(record["contribution"])))
    rest = person.table["contribution"].iloc[max_rows:]
    if len(rest):
        steps.append((f"{len(rest)} other features", float(rest.sum())))
    names = [*(name for name, _ in steps), *(f"{name}: missing" for name in person.missing)]
    ax = styled(ax, (7.6, 1.9 + 0.36 * len(names)), f"Probability of {person.outcome}")
    at = float(np.log(person.base_rate / (1 - person.base_rate)))
    ends = [at]
    for row, (_, change) in enumerate(steps):
        colour = _UP if change > 0 else _DOWN
        ax.barh(row, change, left=at, height=0.62, color=colour, zorder=2)
        ax.plot([at + change] * 2, [row - 0.31, row + 1.31], color=MUTED, lw=0.8, zorder=1)
        beside(ax, f"{change:+.2f}".replace("-", "−"), row)
        at += change
        ends.append(at)
    for row in range(len(steps), len(names)):
        beside(ax, "no say", row)
    ax.axvline(ends[0], color=MUTED, lw=1, ls=DASHED, zorder=0)
    ax.axvline(at, color=INK, lw=1.2, zorder=0)
    margin = 0.12 * (max(ends) - min(ends) or 1.0)
    ax.set_xlim(min(ends) - margin, max(ends) + margin)
    rows(ax, names, 0.7)
    label(ax, "Log odds")
    _probability_ticks(ax, (ends[0], at))
    if person.synthetic:
        plots.mark_synthetic(ax)
    return ax


def _step_name(block: str, feature: str, record: Mapping[Any, Any]) -> str:
    if block == feature:
        return block
    if np.isnan(record["value"]):
        return f"{feature}: not measured"
    if "=" in feature:
        return f"{feature}: {'yes' if record['value'] == 1 else 'no'}"
    return f"{feature} = {with_unit(record['value'], record['unit'])}"


def _probability_ticks(ax: Axes, marks: tuple[float, float]) -> None:
    """Say on a second axis what the log odds mean, and what the two lines are."""
    low, high = ax.get_xlim()
    levels = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
    where = {p: float(np.log(p / (1 - p))) for p in levels}
    kept = [p for p, x in where.items() if low <= x <= high]
    top = ax.secondary_xaxis("top")
    top.set_xticks([where[p] for p in kept], [f"{p:g}" for p in kept])
    top.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL)
    top.spines["top"].set_visible(False)
    top.set_xlabel(
        f"probability: {expit(marks[0]):.2f} for the average (dashed), "
        f"{expit(marks[1]):.2f} for this person",
        fontsize=SMALL, color=INK,
    )  # fmt: skip


def forest(importance: ModalityImportance, metric: str, ax: Axes | None) -> Axes:
    """Draw how much worse the predictions are when a block is shuffled."""
    spoken = {"auc": "Drop of the AUC", "log_loss": "Rise of the log loss"}
    if metric not in spoken:
        raise FormatError(f"metric is 'auc' or 'log_loss', found {metric!r}")
    table = importance.table.sort_values(metric, ascending=False, kind="stable")
    ax = styled(ax, (7.0, 1.5 + 0.42 * len(table)), "What the model loses without a block")
    for row, (_, record) in enumerate(table.iterrows()):
        low, high = record[f"{metric}_low"], record[f"{metric}_high"]
        ax.plot([low, high], [row, row], color=PALETTE[0], lw=1.8, zorder=2)
        ax.plot([record[metric]], [row], marker="s", ms=7, color=PALETTE[0], zorder=3)
        beside(ax, f"{record[metric]:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−"), row)
    ax.axvline(0, color=MUTED, lw=1, ls=DASHED)
    rows(ax, [f"{name} (n = {int(n)})" for name, n in table["n"].items()])
    label(ax, f"{spoken[metric]} when the block is shuffled among people")
    return plots.mark_synthetic(ax) if importance.synthetic else ax
