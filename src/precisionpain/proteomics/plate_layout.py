"""Show how samples lie on plates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._plot_style import ABSENT, INK, PALETTE, SMALL, colour, legend, styled
from ..errors import AlignmentError, FormatError, list_some
from .plates import SHAPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_plate_layout"]

_LEGIBLE = 10


def plot_plate_layout(
    table: pd.DataFrame,
    color: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw plates as seen from above, well by well, without the ids of samples.

    Parameters
    ----------
    table : pandas.DataFrame
        With ``plate`` and ``well``, as `randomize_plates` gives it; or ``adata.obs``.
    color : str, optional
        Column that colours the wells; by default ``"sample_type"`` where it is there.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each plate; by default a new figure.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each plate, in the order of the table.

    Raises
    ------
    FormatError
        When a column is absent, a well is no letter with a number, or `ax` has another number
        of axes than there are plates.
    AlignmentError
        When a well is taken twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.proteomics import randomize_plates
    >>> people = pd.DataFrame({"subject_id": range(100), "group": ["TN", "MS"] * 50})
    >>> table = randomize_plates(people, balance=["group"], random_state=0)
    >>> [axes.get_title(loc="left") for axes in plot_plate_layout(table, color="group")]
    ['Plate 1', 'Plate 2']
    """
    if color is None and "sample_type" in table:
        color = "sample_type"
    absent = [c for c in ("plate", "well", color) if c is not None and c not in table]
    if absent:
        raise FormatError(
            f"expected the columns {list_some(absent)}, found {list_some(table.columns)}",
            where="table",
        )
    place = [re.fullmatch(r"([A-P])0?(\d{1,2})", str(well).strip()) for well in table["well"]]
    wrong = [w for w, m in zip(table["well"], place, strict=True) if m is None]
    if wrong:
        raise FormatError(
            f"expected wells such as 'A1', found {list_some(wrong)}", where="table, column 'well'"
        )
    y = np.array([ord(m.group(1)) - 65 for m in place if m])
    x = np.array([int(m.group(2)) - 1 for m in place if m])
    twice = pd.DataFrame({"p": table["plate"].to_numpy(), "x": x, "y": y}).duplicated()
    if twice.any():
        raise AlignmentError(
            f"{int(twice.sum())} wells are taken twice: "
            f"{list_some(table['well'].to_numpy()[twice.to_numpy()])}",
            where="table",
        )
    plates = list(pd.unique(table["plate"]))
    axes = _axes(ax, len(plates))
    small = [s for s in SHAPES.values() if s[0] > y.max() and s[1] > x.max()]
    n_rows, n_columns = small[0] if small else (int(y.max()) + 1, int(x.max()) + 1)
    said = table[color].astype(object).where(table[color].notna(), None) if color else None
    kinds = [k for k in _ordered(pd.unique(said)) if k is not None] if said is not None else []
    shades = _shades(len(kinds))
    for axis, name in zip(axes, plates, strict=True):
        styled(axis, (4, 3), str(name))
        own = (table["plate"] == name).to_numpy()
        _wells(axis, n_rows, n_columns)
        for kind, shade in [*zip(kinds, shades, strict=True), (None, ABSENT)]:
            mine = own & (
                (said == kind).to_numpy() if kind is not None and said is not None
                else (said.isna().to_numpy() if said is not None else np.ones(len(table), bool))
            )  # fmt: skip
            if mine.any():
                axis.scatter(
                    x[mine], y[mine], s=34, color=shade, linewidths=0, zorder=3,
                    label="not said" if kind is None else _text(kind),
                )  # fmt: skip
    if kinds:
        handles: dict[str, Any] = {}
        for axis in axes:
            drawn, labels = axis.get_legend_handles_labels()
            handles |= dict(zip(labels, drawn, strict=True))
        names = [n for n in [*map(_text, kinds), "not said"] if n in handles]
        if len(names) > _LEGIBLE:
            # A scale of shades is read from a few of them.
            names = [names[i] for i in np.linspace(0, len(names) - 1, _LEGIBLE).astype(int)]
        shown = [handles[n] for n in names]
        if ax is None:
            axes[0].figure.legend(
                shown, names, title=color, frameon=False, fontsize=SMALL,
                title_fontsize=SMALL, labelcolor=INK, loc="outside right center",
            )  # fmt: skip
        else:
            legend(axes[-1], handles=shown, labels=names, title=color, title_fontsize=SMALL,
                   loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return axes


def _axes(ax: Axes | Sequence[Axes] | None, n: int) -> list[Axes]:
    if ax is None:
        from matplotlib.figure import Figure

        across = min(n, 3)
        down = -(-n // across)
        figure = Figure(figsize=(3.6 * across + 1.2, 2.7 * down), layout="constrained")
        return [figure.add_subplot(down, across, i + 1) for i in range(n)]
    given = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(given) != n:
        raise FormatError(f"expected {n} axes, one for each plate, found {len(given)}", where="ax")
    return given


def _ordered(kinds: Any) -> list[Any]:
    """Return numbers in their order, and text as it comes."""
    known = [k for k in kinds if k is not None]
    number = all(isinstance(k, (int, float, np.number)) for k in known)
    return sorted(known) if number else known


def _text(kind: Any) -> str:
    return f"{kind:g}" if isinstance(kind, (float, np.floating)) else str(kind)


def _shades(n: int) -> list[Any]:
    """Return a colour for each kind; beyond the palette, shades that still differ."""
    if n <= len(PALETTE):
        return [colour(i) for i in range(n)]
    from matplotlib import colormaps

    return [colormaps["viridis"](i / (n - 1)) for i in range(n)]


def _wells(axis: Axes, n_rows: int, n_columns: int) -> None:
    """Draw the empty plate."""
    grid = np.indices((n_rows, n_columns)).reshape(2, -1)
    axis.scatter(grid[1], grid[0], s=34, facecolors="none", edgecolors=ABSENT, linewidths=0.6)
    axis.set(xlim=(-0.7, n_columns - 0.3), ylim=(n_rows - 0.3, -0.7), aspect="equal")
    step = 1 if n_columns <= 12 else 3
    axis.set_xticks(range(0, n_columns, step), [str(i + 1) for i in range(0, n_columns, step)])
    axis.set_yticks(range(n_rows), [chr(65 + i) for i in range(n_rows)])
    axis.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    axis.spines[["left", "bottom"]].set_visible(False)
