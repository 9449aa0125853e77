"""The profile along the nerves: its table, the bins behind it, and its legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._plot_style import DASHED, MUTED, PALE, SMALL
from ...errors import FormatError
from ..anatomy import SIDES, Side, rez_bin
from ..grading import TOUCH_MM
from ..morphometry import area_profile
from .inputs import as_traces
from .look import CONTACT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["profile_key", "profile_table", "shade_bins"]


def profile_table(traces: Any, bins: Sequence[float]) -> tuple[pd.DataFrame, tuple[Side, ...]]:
    """Return the profile of what was given, and the sides that have no nerve."""
    rez_bin([], bins)  # the edges are checked there
    if not isinstance(traces, pd.DataFrame):
        found, missing = as_traces(traces)
        return area_profile(found, bins=bins), missing
    needed = ("side", "s_mm", "area_mm2", "undented_area_mm2", "exposed", "vessel_distance_mm")
    lacking = [name for name in needed if name not in traces]
    if lacking:
        raise FormatError(
            f"expected the columns of area_profile, but {lacking} are missing",
            remedy="pass the table that area_profile(labels) returns; it names the sides",
        )
    strange = sorted(set(traces["side"].dropna()) - set(SIDES))
    if strange or traces["side"].isna().any() or not len(traces):
        raise FormatError(
            f"expected rows of the sides 'left' and 'right', found {strange or 'none'}"
        )
    return traces, ()


def shade_bins(ax: Axes, bins: Sequence[float], longest: float, top: float) -> None:
    """Shade every other bin of the root entry zone, and name all."""
    edges = np.asarray(bins, dtype=float)
    names = rez_bin([], bins).categories
    ends = np.append(edges[1:], max(longest + 0.6, edges[-1]))
    for number, (low, high, name) in enumerate(zip(edges, ends, names, strict=True)):
        if low >= longest:
            break
        high = min(high, longest + 0.6)
        if number % 2 == 0:
            ax.axvspan(low, high, color=PALE, alpha=0.45, lw=0, zorder=0, gid="bin")
        ax.text((low + high) / 2, 0.985 * top, f"{name.replace('-', '–').replace('>', '> ')} mm",
                ha="center", va="top", fontsize=SMALL, color=MUTED, gid="bin name")  # fmt: skip


def profile_key(table: pd.DataFrame) -> list[Any]:
    """Return the handles of what is the same for both nerves."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], color=MUTED, lw=1.2, ls=DASHED, label="without dents")]
    if (table["vessel_distance_mm"] <= TOUCH_MM).any():
        handles.append(Line2D([], [], color=CONTACT, ls="none", marker="o", ms=9, mew=0,
                              label=f"contact: vessel within {TOUCH_MM:g} mm"))  # fmt: skip
    if (table["exposed"] <= 0.999).any():
        handles.append(Line2D([], [], color=MUTED, lw=2, alpha=0.4,
                              label="partly inside the pons"))  # fmt: skip
    handles.append(Patch(fc=PALE, alpha=0.6, lw=0, label="bins of the root entry zone"))
    return handles
