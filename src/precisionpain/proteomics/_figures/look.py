"""What the figures of proteins share: captions, groups of points, labels that don't overlap."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._plot_style import ABSENT, INK, MUTED, NORMAL, PALETTE, SMALL, colour
from ...errors import FormatError
from ...plots import mark_synthetic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .inputs import Grouping

__all__ = [
    "HIGH",
    "LOW",
    "MANY",
    "beside_axes",
    "check_option",
    "count_of",
    "entitle",
    "marker",
    "number",
    "place_labels",
    "scatter_groups",
    "stamp",
]

HIGH, LOW = PALETTE[1], PALETTE[0]
#: More points than this are drawn as pixels in a vector file, which stays small then.
MANY = 2000
_MARKERS = "os^DvP"
_MOST_GROUPS = 24


def check_option(value: Any, name: str, allowed: Sequence[str]) -> None:
    """Refuse a word that isn't an option."""
    if value not in allowed:
        raise FormatError(f"expected {name} to be one of {list(allowed)}, found {value!r}")


def count_of(n: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun, for example "1 sample" or "2,000 samples"."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus, and zero without one."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def entitle(ax: Axes, title: str, notes: Sequence[str], lift: float = 0.0) -> None:
    """Write the title, and below it what was counted, left out or assumed.

    `lift` is the room, in points, that is kept free between them and the axes.
    """
    root, box = ax.figure.canvas.figure, ax.get_position()
    # Alone in its figure, it may be as wide as that; else not wider than its axes.
    share = 0.97 * (1 - box.x0) if len(root.axes) == 1 else box.width
    letters = max(30, int(16.5 * share * root.get_figwidth()))
    # The mark stays with what it follows, so that no line begins with one.
    joined = "\xa0· ".join(note for note in notes if note)
    text = textwrap.fill(joined, letters).replace("\xa0", " ")
    ax.set_title(title, loc="left", fontsize=NORMAL, fontweight="bold", color=INK,
                 pad=lift + (7 + 12.5 * (text.count("\n") + 1) if text else 6))  # fmt: skip
    ax.annotate(text, (0, 1), xycoords="axes fraction", xytext=(0, 5 + lift), gid="caption",
                textcoords="offset points", va="bottom", fontsize=SMALL, color=MUTED)  # fmt: skip


def stamp(ax: Axes, synthetic: bool, on_image: bool = False) -> None:
    """Mark a figure of made-up people as such."""
    if synthetic:
        mark_synthetic(ax)
        if on_image:
            ax.texts[-1].set(color=INK, alpha=0.3)


def beside_axes(ax: Axes, handles: Sequence[Any] | None = None, title: str | None = None) -> None:
    """Put the legend to the right of the axes, where it hides nothing."""
    known: dict[str, Any] = {} if handles is None else {"handles": handles}
    columns = 1 if handles is None else 1 + (len(handles) - 1) // 16
    legend = ax.legend(
        **known, frameon=False, fontsize=SMALL, labelcolor=INK, title=title, ncols=columns,
        title_fontsize=SMALL, alignment="left", loc="upper left", bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0, handletextpad=0.5,
    )  # fmt: skip
    legend.get_title().set_color(INK)


def marker(series: int) -> str:
    """Return the marker of the group of that number; with `colour` it repeats after 36."""
    return _MARKERS[(series + series // len(_MARKERS)) % len(_MARKERS)]


def scatter_groups(ax: Axes, xy: NDArray[Any], groups: Grouping | None) -> None:
    """Draw points, told apart by colour and marker, or by a scale where the groups are numbers.

    Each artist carries its group as ``gid``.
    """
    size = float(np.clip(6000 / max(len(xy), 1), 9, 30))
    common: dict[str, Any] = {"s": size, "lw": 0.4, "rasterized": len(xy) > MANY, "zorder": 3}
    if groups is None:
        ax.scatter(*xy.T, color=PALETTE[0], edgecolors="white", gid="samples", **common)
        return
    unknown = groups.unknown
    if unknown.any():
        ax.scatter(*xy[unknown].T, facecolors="none", edgecolors=ABSENT, gid="unknown",
                   label=f"not known ({unknown.sum()})", **{**common, "lw": 1.0})  # fmt: skip
    if groups.numbers is not None:
        x, y = xy[~unknown].T
        drawn = ax.scatter(x, y, c=groups.numbers[~unknown], cmap="cividis",
                           edgecolors="none", gid="samples", **common)  # fmt: skip
        bar = ax.figure.colorbar(drawn, cax=ax.inset_axes((1.03, 0.0, 0.03, 0.75)))
        bar.set_label(groups.name, fontsize=SMALL, color=INK)
        bar.ax.tick_params(labelsize=SMALL, colors=MUTED, labelcolor=INK)
        bar.outline.set_visible(False)
        if unknown.any():
            beside_axes(ax)
        return
    if len(groups.levels) > _MOST_GROUPS:
        raise FormatError(
            f"expected at most {_MOST_GROUPS} groups, found {len(groups.levels)}",
            where=groups.name,
            remedy="choose a coarser column; colours beyond that can't be told apart",
        )
    for series, level in enumerate(groups.levels):
        chosen = groups.codes == series
        ax.scatter(*xy[chosen].T, color=colour(series), marker=marker(series), gid=level,
                   edgecolors="white", label=f"{level} ({chosen.sum()})", **common)  # fmt: skip
    beside_axes(ax, title=groups.name)


def place_labels(ax: Axes, xy: NDArray[Any], words: Sequence[str], avoid: NDArray[Any]) -> None:
    """Write a word at each point, where it hides the fewest others, with a line where it's far.

    Places are tried on rings around each point, in the order of the points: outside the axes or
    on another word costs most, then hidden points, then the way. The limits of the axes must be
    final.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to write.
    xy : ndarray of shape (n, 2)
        Points to be named, in data units.
    words : sequence of str
        What to write.
    avoid : ndarray of shape (m, 2)
        Points that should stay visible.
    """
    if not len(words):
        return
    figure = ax.figure.canvas.figure
    figure.draw_without_rendering()  # settles the layout, and so the pixels
    pixel = figure.dpi / 72
    frame = ax.get_window_extent()
    obstacles = ax.transData.transform(np.asarray(avoid, dtype=float).reshape(-1, 2))
    taken: list[tuple[float, float, float, float]] = []
    ring = np.deg2rad(np.arange(0, 360, 22.5))
    for point, word in zip(np.asarray(xy, dtype=float), words, strict=True):
        text = ax.annotate(
            word, tuple(point), xytext=(0, 0), textcoords="offset points", ha="center",
            va="center", fontsize=SMALL, color=INK, zorder=6, gid="label",
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.8, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip
        box = text.get_window_extent()
        half = np.array([box.width, box.height]) / 2 + 2.0 * pixel
        x, y = ax.transData.transform(point)
        best, chosen, far = np.inf, (0.0, 0.0), False
        for radius in (5.0, 12.0, 20.0, 30.0, 44.0, 60.0, 80.0):
            for angle in ring:
                way = np.array([np.cos(angle), np.sin(angle)])
                # The middle of the box, so that its edge is `radius` away from the point.
                middle = np.array([x, y]) + way * (radius * pixel + half * np.abs(way))
                low, high = middle - half, middle + half
                outside = bool(
                    low[0] < frame.x0 or high[0] > frame.x1
                    or low[1] < frame.y0 or high[1] > frame.y1
                )  # fmt: skip
                covers = sum(
                    low[0] < b[2] and high[0] > b[0] and low[1] < b[3] and high[1] > b[1]
                    for b in taken
                )
                hidden = int(((obstacles > low) & (obstacles < high)).all(axis=1).sum())
                cost = 1e4 * outside + 1e3 * covers + 4.0 * min(hidden, 100) + 0.5 * radius
                if cost < best:
                    best, far = cost, radius > 5.0
                    chosen = tuple((middle - (x, y)) / pixel)
            if best < 4.0 + 0.5 * radius:
                break  # nothing further out can be better
        text.set_position(chosen)
        if not far and text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)
        middle = np.array([x, y]) + np.array(chosen) * pixel
        taken.append((*(middle - half), *(middle + half)))
