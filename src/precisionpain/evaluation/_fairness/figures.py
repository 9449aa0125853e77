"""Figures of subgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import plots
from ..._plot_style import DASHED, INK, MUTED, PALETTE, beside, label, rows, styled
from ...errors import FormatError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..fairness import FairnessTable

__all__ = ["forest"]

_SPOKEN = {
    "auc": ("AUC", 0.5),
    "observed_expected": ("Events observed / expected", 1.0),
    "calibration_slope": ("Calibration slope", 1.0),
    "sensitivity": ("Sensitivity", None),
    "specificity": ("Specificity", None),
    "ppv": ("Positive predictive value", None),
}


def forest(found: FairnessTable, metric: str, ax: Axes | None) -> Axes:
    """Draw one figure with its interval, group by group."""
    if metric not in _SPOKEN:
        raise FormatError(f"metric is one of {', '.join(_SPOKEN)}, found {metric!r}")
    spoken, ideal = _SPOKEN[metric]
    table = found.table
    ax = styled(ax, (7.6, 1.5 + 0.36 * len(table)), f"{spoken} by group ({found.name})")
    names = []
    records = table.to_dict("records")
    for row, ((by, group), record) in enumerate(zip(table.index, records, strict=True)):
        names.append("everybody" if by == "all" else f"{by}: {group}")
        count = f"n = {record['n']}, {record['events']} events"
        value, low, high = (record[f"{metric}{end}"] for end in ("", "_low", "_high"))
        if not record["judged"] or np.isnan(value):
            beside(ax, f"not judged ({count})", row)
            continue
        colour = INK if by == "all" else PALETTE[0]
        ax.plot([low, high], [row, row], color=colour, lw=1.8, zorder=2)
        ax.plot([value], [row], marker="s", ms=7, color=colour, zorder=3)
        beside(ax, f"{value:.2f} ({low:.2f} to {high:.2f}), {count}", row)
    everybody = float(table[metric].iloc[0])
    if np.isfinite(everybody):
        ax.axvline(everybody, color=PALETTE[5], lw=1, zorder=0)
    if ideal is not None:
        ax.axvline(ideal, color=MUTED, lw=1, ls=DASHED, zorder=0)
    rows(ax, names)
    label(ax, f"{spoken}, {found.confidence:.0%} interval")
    return plots.mark_synthetic(ax) if found.synthetic else ax
