"""Figures of a search for subtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._plot_style import INK, MUTED, PALETTE, SMALL, colour, label, legend, styled
from ...errors import FormatError
from ...plots import mark_synthetic
from ..subtype_classifier import UNASSIGNED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..subtype_result import SubtypeResult

__all__ = ["consensus", "factors", "profile"]


def profile(result: SubtypeResult, *, ax: Axes | None = None) -> Axes:
    """Draw how far each subtype lies from the others on each mechanism."""
    table = result.mechanism_profile
    if table.empty or not len(table.columns):
        raise FormatError(
            "there are no subtypes with mechanisms to draw",
            remedy="see result.reasons, or draw kind='factors'",
        )
    ax = styled(ax, (8.4, 0.55 * len(table) + 2.0), "Mechanisms of each subtype")
    values = table.to_numpy(dtype=float)
    most = max(1.0, float(np.nanmax(np.abs(values))))
    drawn = ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        # Adding 0 turns −0.0 into 0.0.
        said = "–" if np.isnan(value) else f"{round(value, 1) + 0.0:+.1f}"
        shade = INK if abs(value) < 0.6 * most else "white"
        ax.text(column, row, said, ha="center", va="center", fontsize=SMALL, color=shade)
    sizes = [int((result.labels == name).sum()) for name in table.index]
    ax.set_xticks(range(values.shape[1]), [_spoken(name) for name in table.columns])
    ax.set_yticks(
        range(len(table)),
        [f"{_spoken(name)} (n = {n})" for name, n in zip(table.index, sizes, strict=True)],
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9)
    bar.set_label("against all others, SD", fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return mark_synthetic(ax) if result.synthetic else ax


def factors(result: SubtypeResult, *, ax: Axes | None = None) -> Axes:
    """Draw the people in the two factors that separate the subtypes best."""
    frame = result.factors
    groups = [name for name in result.names if (result.labels == name).any()]
    means = np.array([frame[(result.labels == name).to_numpy()].mean() for name in groups])
    apart = means.std(axis=0) if len(groups) > 1 else frame.std().to_numpy()
    best = np.sort(np.argsort(-apart, kind="stable")[:2])
    first, second = frame.columns[best[0]], frame.columns[best[-1]]
    title = "People by factors" if result.found else "People by factors: one cluster"
    ax = styled(ax, (6.4, 5.0), title)
    for number, name in enumerate([*groups, UNASSIGNED]):
        own = (result.labels == name).to_numpy()
        if not own.any():
            continue
        rest = name == UNASSIGNED
        ax.scatter(
            frame.loc[own, first], frame.loc[own, second], s=22,
            color=MUTED if rest else colour(number), marker="x" if rest else "o",
            alpha=0.5 if rest else 0.85, linewidths=0.8 if rest else 0,
            label=f"{_spoken(name)} ({int(own.sum())})",
        )  # fmt: skip
    label(ax, f"{_spoken(first)} (factor)", f"{_spoken(second)} (factor)")
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return mark_synthetic(ax) if result.synthetic else ax


def consensus(result: SubtypeResult, *, ax: Axes | None = None) -> Axes:
    """Draw how often two people were in one cluster."""
    matrix = result.consensus
    if matrix is None:
        raise FormatError(
            "there is no consensus to draw", remedy="see result.reasons: one cluster was enough"
        )
    own = result.labels.reindex(matrix.index)
    place = {name: i for i, name in enumerate([*result.names, UNASSIGNED])}
    order = np.argsort([place[name] for name in own], kind="stable")
    values = matrix.to_numpy()[np.ix_(order, order)]
    ax = styled(ax, (6.4, 5.2), f"Consensus of random parts (PAC {result.pac:.2f})")
    drawn = ax.imshow(values, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ends = np.cumsum([int((own == name).sum()) for name in result.names])
    starts = np.concatenate([[0], ends[:-1]])
    for end in ends[:-1]:
        ax.axhline(end - 0.5, color=PALETTE[1], lw=0.8)
        ax.axvline(end - 0.5, color=PALETTE[1], lw=0.8)
    ax.set_yticks((starts + ends - 1) / 2, [_spoken(name) for name in result.names])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9)
    bar.set_label("share of the times together", fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return mark_synthetic(ax) if result.synthetic else ax


def _spoken(name: object) -> str:
    return str(name).replace("_", "-")
