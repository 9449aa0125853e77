"""Figures: arrays and tables in, matplotlib axes out; no people, no global settings.

Each function draws on the axes that it is given, or on those of a new
`matplotlib.figure.Figure` (``ax.figure``), and leaves pyplot and ``rcParams`` alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._plot_style import (
    ABSENT,
    DASHED,
    INK,
    MUTED,
    NORMAL,
    PALE,
    PALETTE,
    SMALL,
    TEXT,
    beside,
    colour,
    label,
    legend,
    relative,
    rows,
    styled,
    swarm,
)
from ._survival_plots import (
    cumulative_incidence,
    kaplan_meier,
    survival_calibration,
    time_auc,
)
from .errors import FormatError
from .stats import calibration_curve, delong, local_linear, permutation_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PALETTE",
    "auc_forest",
    "availability",
    "calibration",
    "cumulative_incidence",
    "decision_curve",
    "flow",
    "fold_auc",
    "kaplan_meier",
    "mark_synthetic",
    "permutation",
    "roc",
    "shap_summary",
    "survival_calibration",
    "time_auc",
]


def mark_synthetic(ax: Axes) -> Axes:
    """Mark a figure of made-up people as such.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to write "synthetic data", faintly across the axes.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.

    Examples
    --------
    >>> ax = mark_synthetic(permutation(0.7, [0.4, 0.5, 0.6]))
    >>> any("SYNTHETIC" in text.get_text() for text in ax.texts)
    True
    """
    ax.text(
        0.5, 0.5, "SYNTHETIC DATA", transform=ax.transAxes, ha="center", va="center",
        fontsize=22, fontweight="bold", color=PALETTE[1], alpha=0.16, rotation=24, zorder=10,
        gid="synthetic",
    )  # fmt: skip
    return ax


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, ax: Axes | None = None) -> Axes:
    """Draw ROC curves.

    Parameters
    ----------
    curves : mapping of str to (y, p)
        Outcome (0 or 1) and prediction, each of shape (n,), by model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        The legend gives each AUC with DeLong's 95% interval in brackets.

    Examples
    --------
    >>> ax = roc({"model": ([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])})
    >>> ax.get_xlabel()
    'False-positive rate (1 − specificity)'
    """
    ax = styled(ax, (5.2, 6.5), "ROC curve, pooled over the test folds")
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DASHED, label="chance: AUC 0.50")
    for number, (name, (y, p)) in enumerate(curves.items()):
        event, score = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
        order = np.argsort(-score, kind="stable")
        last = np.append(np.diff(score[order]) != 0, True)  # ties are one point
        hits, false = np.cumsum(event[order])[last], np.cumsum(1 - event[order])[last]
        area = delong(event, score)
        ax.plot(
            np.append(0, false / false[-1]),
            np.append(0, hits / hits[-1]),
            color=colour(number),
            lw=2,
            label=f"{name}: AUC {area.auc:.2f} ({area.ci_low:.2f} to {area.ci_high:.2f})",
        )
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), box_aspect=1)
    label(ax, "False-positive rate (1 − specificity)", "True-positive rate (sensitivity)")
    legend(ax, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0)
    return ax


def calibration(y: ArrayLike, p: ArrayLike, *, name: str = "", ax: Axes | None = None) -> Axes:
    """Draw observed against predicted risk, with who was predicted what.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    p : array-like of shape (n,)
        Predicted probability.
    name : str, default ""
        Name of the model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        Points are fifths of the people with Wilson's 95% intervals, the line a local linear
        smooth, the bars at the edges the predictions of people with (top) and without
        (bottom) the event.

    Examples
    --------
    >>> ax = calibration([0, 1, 0, 1, 1, 0], [0.2, 0.3, 0.4, 0.6, 0.7, 0.8], name="ridge")
    >>> ax.get_title(loc="left")
    'Calibration: ridge'
    """
    ax = styled(ax, (5.2, 6.0), f"Calibration: {name}" if name else "Calibration")
    event, risk = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DASHED, label="ideal")
    if len(np.unique(risk)) > 2:
        grid = np.linspace(risk.min(), risk.max(), 100)
        smooth = np.clip(local_linear(risk, event, grid), 0, 1)
        ax.plot(grid, smooth, color=PALETTE[0], lw=2, label="smooth (local linear)")
    bins = calibration_curve(event, risk)
    observed = bins["observed"].to_numpy()
    bars = np.abs(bins[["ci_low", "ci_high"]].to_numpy().T - observed)
    ax.errorbar(
        bins["mean_predicted"], observed, yerr=bars, fmt="o", color=PALETTE[1], ms=6,
        elinewidth=1.3, capsize=3, label="fifths of the people (95% CI)",
    )  # fmt: skip
    edges = np.linspace(0, 1, 41)
    counts = [np.histogram(risk[event == value], edges)[0] for value in (0, 1)]
    most = max(1, *(int(c.max()) for c in counts))
    for value, (base, sign) in enumerate(((-0.15, 1), (1.15, -1))):
        height = sign * 0.13 * counts[value] / most
        ax.bar(edges[:-1], height, 1 / 40, bottom=base, align="edge", color=MUTED, alpha=0.7)
        ax.text(0.0, base + sign * 0.075, ("without", "with")[value] + " the event",
                va="center", fontsize=7.5, color=MUTED)  # fmt: skip
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.15, 1.15), yticks=np.linspace(0, 1, 6))
    label(ax, "Predicted probability", "Observed share")
    legend(ax, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0)
    return ax


def decision_curve(curves: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the net benefit of acting on a prediction.

    Parameters
    ----------
    curves : mapping of str to pandas.DataFrame
        Tables of `precisionpain.stats.net_benefit` by model, all of the same people.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from precisionpain.stats import net_benefit
    >>> table = net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> len(decision_curve({"model": table}).get_lines())
    3
    """
    ax = styled(ax, (6.4, 4.4), "Decision curve")
    top = 0.0
    for number, (name, table) in enumerate(curves.items()):
        if number == 0:
            top = float(table["treat_all"].max())
            ax.plot(table["threshold"], table["treat_all"], color=MUTED, lw=1.3,
                    ls=DASHED, label="everybody counted as positive")  # fmt: skip
            ax.axhline(0, color=INK, lw=1.3, label="nobody counted as positive")
        top = max(top, float(table["model"].max()))
        ax.plot(table["threshold"], table["model"], color=colour(number), lw=1.8, label=name)
    ax.set(xlim=(0, 1), ylim=(-0.12 * max(top, 1e-3), 1.12 * max(top, 1e-3)))
    label(ax, "Threshold probability", "Net benefit (true positives per person)")
    legend(ax, loc="best")
    return ax


def permutation(observed: float, null: ArrayLike, *, ax: Axes | None = None) -> Axes:
    r"""Draw an AUC among those found with permuted labels.

    Parameters
    ----------
    observed : float
        AUC with the true labels.
    null : array-like of shape (n_permutations,)
        AUCs with permuted labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = permutation(0.8, [0.4, 0.5, 0.6])
    >>> ax.texts[0].get_text()
    'true labels: 0.80\np = 0.250'
    """
    ax = styled(ax, (5.6, 3.8), "Permuted labels")
    values = np.asarray(null, dtype=float)
    count, _, _ = ax.hist(
        values, bins=min(40, max(5, int(np.sqrt(len(values))))), color=PALETTE[5], alpha=0.75
    )
    top = float(np.max(np.asarray(count)))
    ax.plot([0.5, 0.5], [0, top], color=MUTED, lw=1, ls=DASHED)
    ax.axvline(observed, color=PALETTE[1], lw=2)
    low, high = min(values.min(), observed, 0.5), max(values.max(), observed, 0.5)
    right = observed < (low + high) / 2
    p = permutation_p(observed, values)
    ax.annotate(
        f"true labels: {observed:.2f}\np = {p:.3f}", (observed, top * 1.12),
        xytext=(6 if right else -6, 0), textcoords="offset points",
        ha="left" if right else "right", va="center", **TEXT,
    )  # fmt: skip
    ax.set(ylim=(0, top * 1.28), xlim=(low - 0.04, high + 0.04))
    label(ax, f"Pooled AUC of {len(values)} runs with permuted labels", "Runs")
    return ax


def auc_forest(
    table: pd.DataFrame, *, published: tuple[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw AUCs with their intervals, one below the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``name``, ``auc``, ``ci_low``, ``ci_high`` and optionally ``kind`` ("model",
        "other people" or "canary", the last two drawn hollow and grey, or "summary", a diamond).
    published : (str, float), optional
        Name and AUC of a published reference, drawn as a line.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> rows = pd.DataFrame({"name": ["ridge"], "auc": [0.7], "ci_low": [0.6], "ci_high": [0.8]})
    >>> [tick.get_text() for tick in auc_forest(rows).get_yticklabels()]
    ['ridge']
    """
    n = len(table)
    ax = styled(ax, (7.4, 1.2 + 0.42 * n), "AUC (95% CI)")
    kinds = table["kind"] if "kind" in table else pd.Series("model", index=table.index)
    styles = {
        "other people": (PALETTE[0], "white"), "canary": (MUTED, "white"),
        "summary": (PALETTE[1], PALETTE[1]),
    }  # fmt: skip
    for row, (record, kind) in enumerate(zip(table.to_dict("records"), kinds, strict=True)):
        edge, face = styles.get(str(kind), (PALETTE[0], PALETTE[0]))
        low, value, high = record["ci_low"], record["auc"], record["ci_high"]
        ax.plot([low, high], [row, row], color=edge, lw=1.8, zorder=2)
        marker = "D" if kind == "summary" else "s"
        ax.plot([value], [row], marker=marker, ms=7, color=edge, mfc=face, zorder=3)
        beside(ax, f"{value:.2f} ({low:.2f} to {high:.2f})", row)
    ax.axvline(0.5, color=MUTED, lw=1, ls=DASHED)
    if published is not None:
        ax.axvline(published[1], color=PALETTE[1], lw=1.3)
        ax.annotate(f"{published[0]}: {published[1]:.2f}", (published[1], 1.0),
                    xycoords=("data", "axes fraction"), xytext=(4, -10),
                    textcoords="offset points", fontsize=SMALL, color=PALETTE[1])  # fmt: skip
    left = min(0.3, float(table["ci_low"].min()) - 0.02)
    rows(ax, [textwrap.fill(str(name), 36) for name in table["name"]])
    ax.set_xlim(max(0.0, left), 1.0)
    label(ax, "Area under the ROC curve (0.5: chance)")
    return ax


def fold_auc(frames: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """Draw the AUC of each fold, the same folds joined across models.

    Parameters
    ----------
    frames : mapping of str to pandas.DataFrame
        Tables with one row per fold and the column ``auc``, by model; same folds in each.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are the means. A fold whose test people have one class has no AUC.

    Examples
    --------
    >>> ax = fold_auc({"ridge": pd.DataFrame({"auc": [0.6, 0.7]})})
    >>> ax.get_ylabel()
    'AUC of a test fold'
    """
    ax = styled(ax, (1.8 + 1.15 * len(frames), 4.2), "AUC fold by fold")
    values = np.column_stack([frame["auc"].to_numpy(dtype=float) for frame in frames.values()])
    place = np.arange(values.shape[1])
    for fold in values:
        ax.plot(place, fold, color=PALE, lw=1, zorder=1)
    for number, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        ax.plot(np.full(len(known), number), known, "o", ms=5, alpha=0.8,
                color=colour(number), zorder=3)  # fmt: skip
        if len(known):
            mean = float(known.mean())
            ax.plot([number - 0.22, number + 0.22], [mean, mean], color=INK, lw=2, zorder=4)
            ax.annotate(f"{mean:.2f}", (number + 0.25, mean), va="center", **TEXT)
    ax.axhline(0.5, color=MUTED, lw=1, ls=DASHED)
    ax.set(xticks=place, xlim=(-0.5, len(frames) - 0.3), ylim=(-0.02, 1.02))
    ax.set_xticklabels([textwrap.fill(name, 14) for name in frames], fontsize=SMALL)
    label(ax, y="AUC of a test fold")
    return ax


def shap_summary(
    values: pd.DataFrame,
    data: pd.DataFrame,
    *,
    unit: str,
    max_features: int = 15,
    ax: Axes | None = None,
) -> Axes:
    """Draw SHAP values as a swarm per feature, the most important on top.

    Parameters
    ----------
    values : pandas.DataFrame of shape (n, n_features)
        SHAP values.
    data : pandas.DataFrame of the same shape
        The features, for the colours: the 5th to the 95th percentile of each.
    unit : str
        Unit of the SHAP values, for example "log odds".
    max_features : int, default 15
        How many features to show, by mean |SHAP value|.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    FormatError
        When the two tables differ in shape or names.

    Examples
    --------
    >>> shap = pd.DataFrame({"age": [0.2, -0.1], "sex=male": [0.01, 0.0]})
    >>> data = pd.DataFrame({"age": [70.0, 50.0], "sex=male": [1.0, 0.0]})
    >>> ax = shap_summary(shap, data, unit="log odds", max_features=1)
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['age']
    """
    if values.shape != data.shape or list(values) != list(data):
        raise FormatError(
            f"expected SHAP values and data of one shape and the same features, found "
            f"{values.shape} and {data.shape}"
        )
    order = values.abs().mean().sort_values(ascending=False, kind="stable").index[:max_features]
    ax = styled(ax, (7.4, 1.5 + 0.36 * len(order)), "What moved the predictions")
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list("low-high", [PALETTE[0], "#c9b8d8", PALETTE[1]])
    width = float(np.ptp(values[order].to_numpy())) or 1.0
    for row, name in enumerate(order):
        x = values[name].to_numpy(dtype=float)
        level = relative(data[name].to_numpy(dtype=float))
        known = ~np.isnan(level)
        y = row + swarm(x, width / 90)
        ax.scatter(x[~known], y[~known], s=11, color=ABSENT, lw=0, zorder=2)
        ax.scatter(x[known], y[known], s=11, c=scale(level[known]), lw=0, zorder=3)
    ax.axvline(0, color=MUTED, lw=1)
    rows(ax, [str(name) for name in order], 0.6)
    label(ax, f"SHAP value ({unit}; right: towards the event)")
    for shade, word in ((PALETTE[0], "low"), (PALETTE[1], "high"), (ABSENT, "missing")):
        ax.plot([], [], "o", ms=5, color=shade, label=word)
    legend(ax, loc="lower right", ncols=3, bbox_to_anchor=(1, 1), title="value of the feature",
           title_fontsize=SMALL, borderaxespad=0, columnspacing=1, handletextpad=0)  # fmt: skip
    return ax


def availability(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw who has what: a strip per modality, people sorted, counts at the right.

    Parameters
    ----------
    frame : pandas.DataFrame of bool
        One row per person, one column per modality, as `Cohort.availability`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        People carry no names.

    Examples
    --------
    >>> ax = availability(pd.DataFrame({"T1w": [True, True], "csf": [True, False]}))
    >>> [text.get_text() for text in ax.texts]
    ['2 of 2', '1 of 2']
    """
    n, k = frame.shape
    ax = styled(ax, (7.4, 1.2 + 0.34 * max(k, 1)), "Who has what")
    names = list(frame.sum().sort_values(ascending=False, kind="stable").index)
    has = frame[names].to_numpy(dtype=bool)
    order = np.lexsort(tuple(~has[:, ::-1].T)) if k else np.arange(n)
    for row, column in enumerate(has[order].T):
        ax.broken_barh([(0, n)], (row - 0.36, 0.72), color=PALE, lw=0)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column, [0]])))
        spans = [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]
        ax.broken_barh(spans, (row - 0.36, 0.72), color=PALETTE[0], lw=0)
        beside(ax, f"{int(column.sum())} of {n}", row)
    rows(ax, [str(name) for name in names])
    ax.set_xlim(0, max(n, 1))
    label(ax, "People, sorted by what they have")
    return ax


def flow(flow_frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    r"""Draw the flow of participants: recruited, who left and why, analysed.

    Parameters
    ----------
    flow_frame : pandas.DataFrame
        Columns ``step``, ``excluded`` and ``remaining``, as `Flow.frame` gives it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from precisionpain.cohort import Flow
    >>> ax = flow(Flow(10).then("no outcome", 8).frame())
    >>> [text.get_text() for text in ax.texts]
    ['10 recruited', '2 excluded:\nno outcome', '8 analysed']
    """
    from matplotlib.patches import FancyArrowPatch

    steps = flow_frame.to_dict("records")
    ax = styled(ax, (5.6, 0.3 + 0.95 * len(steps)), "")
    box: dict[str, Any] = {"boxstyle": "round,pad=0.5", "fc": "white", "lw": 1.2}
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": MUTED, "lw": 1.2, "mutation_scale": 10}
    for level, step in enumerate(steps):
        last = level == len(steps) - 1
        word = "analysed" if last else "remain"
        if level == 0:
            word = "recruited and analysed" if last else "recruited"
        else:
            for start, end in (((0.22, -0.83), (0.22, -0.17)), ((0.22, -0.5), (0.42, -0.5))):
                a, b = (start[0], level + start[1]), (end[0], level + end[1])
                ax.add_patch(FancyArrowPatch(a, b, shrinkA=0, shrinkB=0, **arrow))
            reason = textwrap.fill(str(step["step"]), 36)
            ax.text(0.44, level - 0.5, f"{step['excluded']} excluded:\n{reason}", ha="left",
                    va="center", bbox={**box, "ec": MUTED}, **TEXT)  # fmt: skip
        ax.text(0.22, level, f"{step['remaining']} {word}", ha="center", va="center",
                fontsize=NORMAL, color=INK, fontweight="bold" if last else "normal",
                bbox={**box, "ec": PALETTE[0]})  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(steps) - 0.7, -0.3))
    ax.axis("off")
    return ax
