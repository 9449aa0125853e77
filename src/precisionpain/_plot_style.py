"""The common look of the figures, set on the axes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of Okabe and Ito, told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, PALE, ABSENT = "#1f2933", "#6b7280", "#dfe3e8", "#b6bcc4"
SMALL, NORMAL = 8.5, 10.0
TEXT: dict[str, Any] = {"fontsize": SMALL, "color": INK}
DASHED = (0, (4, 3))


def styled(ax: Axes | None, size: tuple[float, float], title: str) -> Axes:
    """Return axes in the common style, new ones of a size in inches where none are given."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=size, layout="constrained").add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL)
    ax.set_title(title, loc="left", fontsize=NORMAL, fontweight="bold", color=INK)
    return ax


def label(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Name the axes."""
    if x is not None:
        ax.set_xlabel(x, fontsize=NORMAL, color=INK)
    if y is not None:
        ax.set_ylabel(y, fontsize=NORMAL, color=INK)


def legend(ax: Axes, **options: Any) -> None:
    """Add the legend."""
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **options)


def rows(ax: Axes, names: list[str], margin: float = 0.5) -> None:
    """Turn the y axis into named rows, the first on top."""
    ax.set(yticks=range(len(names)), ylim=(max(len(names), 1) - 1 + margin, -margin))
    ax.set_yticklabels(names, fontsize=SMALL)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def beside(ax: Axes, text: str, row: float) -> None:
    """Write to the right of a row."""
    where: Any = ("axes fraction", "data")
    ax.annotate(text, (1.02, row), xycoords=where, va="center", **TEXT)


def colour(number: int) -> str:
    """Return the colour of the series of that number."""
    return PALETTE[number % len(PALETTE)]


def relative(x: np.ndarray) -> np.ndarray:
    """Place values between their 5th and 95th percentile as 0 to 1; NaN stays."""
    known = x[~np.isnan(x)]
    if not len(known) or np.ptp(known) == 0:
        return np.where(np.isnan(x), np.nan, 0.5)
    low, high = np.quantile(known, [0.05, 0.95])
    if high == low:
        low, high = known.min(), known.max()
    return np.clip((x - low) / (high - low), 0, 1)


def swarm(x: np.ndarray, step: float) -> np.ndarray:
    """Spread points with nearly the same x upwards and downwards, within ± 0.4."""
    cell = np.round(x / step)
    rank = pd.Series(cell).groupby(cell).cumcount().to_numpy()
    offset = np.where(rank % 2, (rank + 1) // 2, -(rank // 2)).astype(float)
    return offset * min(0.075, 0.4 / max(1.0, float(np.abs(offset).max(initial=0))))
