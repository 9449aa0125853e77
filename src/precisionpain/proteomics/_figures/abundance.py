"""One protein: by group and visit, the samples of a person joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..._plot_style import DASHED, INK, MUTED, PALE, PALETTE, SMALL, colour, label, styled, swarm
from ...errors import FormatError, list_some
from .._layout import about, values_of
from .inputs import (
    Grouping,
    Groups,
    assay_names,
    find_assay,
    grouping,
    limits_of_detection,
    measured_people,
    one_specimen,
)
from .look import MANY, beside_axes, count_of, entitle, number, stamp

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_abundance"]


def plot_abundance(
    adata: AnnData,
    protein: str,
    ax: Axes | None = None,
    *,
    group: Groups | None = None,
    visits: Sequence[str] | None = None,
    synthetic: bool = False,
) -> Axes:
    r"""Draw one protein by group and visit: boxes, each sample, and people's samples joined.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale, of one specimen; control samples are left out.
    protein : str
        Id, gene or UniProt accession of one assay.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    group : str, mapping or pandas.Series, optional
        Column of ``obs``, or the group of each person by ``subject_id``.
    visits : sequence of str, optional
        Which visits, in which order; by default all, in the order of a categorical or of the
        rows.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Boxes: quartiles, whiskers to the last value within 1.5 times their range. Hollow:
        below the limit of detection, which is dashed (a band where samples differ in it), or
        stands in the caption when it lies far from the values.

    Raises
    ------
    FormatError
        When the protein isn't there or several assays measure it, specimens are mixed, or
        nothing is left to draw.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> csf = sample_tn().assays["csf_pea"]  # synthetic
    >>> ax = plot_abundance(csf, "NEFL", synthetic=True)
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['preop\nn = 26', 'followup\nn = 10']
    """
    people, controls = measured_people(adata)
    one_specimen(people, group)
    found = find_assay(people.var, protein)
    if found is None:
        raise FormatError(
            f"{protein!r} is no id, gene or accession of an assay; found "
            f"{list_some(assay_names(people.var))}",
            where="protein",
        )
    column = people.var_names.get_loc(found)
    values = values_of(people[:, column])[:, 0]
    limit = _limit(people, column)
    sorts = grouping(people.obs, group) if group is not None else None
    visit, names = _visits(people, visits)
    cells = _cells(sorts, visit, len(names), values)
    if not cells:
        raise FormatError(
            f"expected samples in which {protein!r} was measured, found none", where="adata"
        )
    ax = styled(ax, (2.6 + 1.0 * len(cells), 4.8), "")
    below = values < limit
    spread = float(np.nanmax(values) - np.nanmin(values)) or 1.0
    x = np.full(len(values), np.nan)
    ticks = []
    for place, (kind, when, members) in cells.items():
        tint = colour(max(kind, 0))
        _box(ax, values[members], place, tint)
        x[members] = place + 0.55 * swarm(values[members], spread / 45)
        for hollow in (False, True):
            chosen = members[below[members] == hollow]
            ax.scatter(x[chosen], values[chosen], s=float(np.clip(1200 / len(members), 8, 20)),
                       facecolors="white" if hollow else tint, edgecolors=tint, lw=0.9, zorder=4,
                       rasterized=len(values) > MANY,
                       gid=f"samples{' below' if hollow else ''}")  # fmt: skip
        own = sorts.levels[kind] if sorts is not None else ""
        first = names[when] if len(names) > 1 or not own else own
        ticks.append(f"{first}\nn = {len(members)}".strip())
    joined = _join(ax, people, x, values, visit) if len(names) > 1 else 0
    off = _draw_limit(ax, limit, values[np.isfinite(x)])
    ax.set_xticks(list(cells), ticks, fontsize=SMALL, color=INK)
    ax.set_xlim(min(cells) - 0.6, max(cells) + 0.6)
    ax.tick_params(axis="x", length=0)
    unit = str(about(people).get("kind", "npx" if np.isfinite(limit).any() else ""))
    label(ax, y={"npx": "NPX (log2)", "lfq": "Intensity, log2"}.get(unit, "Abundance, log2"))
    if sorts is not None and len(names) > 1:
        _legend(ax, sorts, cells)
    elif len(names) == 1:
        label(ax, names[0])
    drawn, absent = int(np.isfinite(x).sum()), int(np.isnan(values).sum())
    other = len(values) - drawn - absent
    entitle(ax, assay_names(people.var, [found])[0], [
        count_of(drawn, "sample"),
        f"{count_of(joined, 'person', 'people')} joined across visits" if joined else "",
        f"{absent} not measured" if absent else "",
        f"{other} of no group or visit shown here" if other else "",
        f"{(below & np.isfinite(x)).sum()} below LOD, hollow" if below.any() else "",
        off,
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    stamp(ax, synthetic)
    return ax


def _limit(people: AnnData, column: Any) -> NDArray[np.float64]:
    """Return the limit of detection of each sample; NaN where there is none."""
    try:
        return limits_of_detection(people)[:, column]
    except FormatError:
        return np.full(people.n_obs, np.nan)


def _visits(people: AnnData, wanted: Sequence[str] | None) -> tuple[NDArray[np.intp], list[str]]:
    """Return the visit of each sample by number (−1: none of them), and their names."""
    if "visit" not in people.obs or people.obs["visit"].isna().all():
        if wanted is not None:
            raise FormatError("expected visits, found none", where="adata.obs['visit']")
        return np.zeros(people.n_obs, dtype=np.intp), []
    visit = people.obs["visit"]
    if isinstance(visit.dtype, pd.CategoricalDtype):
        there = [name for name in visit.cat.categories if (visit == name).any()]
    else:
        there = list(pd.unique(visit.dropna()))
    names = there if wanted is None else list(wanted)
    absent = [name for name in names if name not in there]
    if absent or len(set(names)) < len(names):
        raise FormatError(
            f"expected each of the visits {list_some(there)} once, found {list_some(names)}",
            where="visits",
        )
    place = {name: i for i, name in enumerate(names)}
    numbers = np.array([place.get(v, -1) for v in visit.astype(object)], dtype=np.intp)
    return numbers, [str(name) for name in names]


def _cells(
    sorts: Grouping | None, visit: NDArray[np.intp], n_visits: int, values: NDArray[np.float64]
) -> dict[float, tuple[int, int, NDArray[np.intp]]]:
    """Return the samples of each box by its place: groups apart, their visits side by side."""
    if sorts is not None and sorts.numbers is not None:
        raise FormatError(
            f"expected groups, found {len(sorts.levels)} numbers",
            where=sorts.name,
            remedy="cut the numbers into classes first, with pandas.cut",
        )
    codes = np.zeros(len(values), dtype=np.intp) if sorts is None else sorts.codes
    cells: dict[float, tuple[int, int, NDArray[np.intp]]] = {}
    place = 0.0
    for kind in range(1 if sorts is None else len(sorts.levels)):
        for when in range(max(n_visits, 1)):
            members = np.flatnonzero((codes == kind) & (visit == when) & ~np.isnan(values))
            if len(members):
                cells[place] = (kind, when, members)
                place += 1.0
        place = place + 0.5 if n_visits else place
    return cells


def _box(ax: Axes, values: NDArray[np.float64], place: float, tint: str) -> None:
    drawn = ax.boxplot(
        values, positions=[place], widths=0.62, showfliers=False, patch_artist=True,
        manage_ticks=False, zorder=2,
        boxprops={"facecolor": tint, "alpha": 0.18, "edgecolor": "none"},
        medianprops={"color": INK, "lw": 2}, whiskerprops={"color": tint, "lw": 1},
        capprops={"color": tint, "lw": 1},
    )  # fmt: skip
    drawn["medians"][0].set(zorder=5, gid="median")  # above the points


def _join(
    ax: Axes, people: AnnData, x: NDArray[Any], y: NDArray[Any], visit: NDArray[np.intp]
) -> int:
    """Draw a line from visit to visit of each person, and count them."""
    from matplotlib.collections import LineCollection

    if "subject_id" not in people.obs:
        return 0
    points = pd.DataFrame({
        "subject": people.obs["subject_id"].astype(object).to_numpy(), "visit": visit,
        "x": x, "y": y,
    })  # fmt: skip
    points = points.dropna()
    # Two samples of one visit: the line goes through their middle.
    middle = points.groupby(["subject", "visit"], sort=True)[["x", "y"]].mean().reset_index()
    lines = [part[["x", "y"]].to_numpy() for _, part in middle.groupby("subject") if len(part) > 1]
    ax.add_collection(LineCollection(lines, colors=MUTED, lw=0.7, alpha=0.55, zorder=3,
                                     gid="people"), autolim=False)  # fmt: skip
    return len(lines)


def _draw_limit(ax: Axes, limit: NDArray[np.float64], shown: NDArray[np.float64]) -> str:
    """Draw the limit of detection, or say where it is when it would squeeze the values."""
    known = limit[np.isfinite(limit)]
    if not len(known):
        return ""
    low, high = float(shown.min()), float(shown.max())
    middle = float(np.median(known))
    if not low - 0.6 * (high - low) <= middle <= high + 0.6 * (high - low):
        return f"LOD {number(middle)}, {'below' if middle < low else 'above'} the axis"
    if np.ptp(known) > 0.01:
        ax.axhspan(float(known.min()), float(known.max()), color=PALE, alpha=0.5, lw=0, zorder=0)
    ax.axhline(middle, color=MUTED, lw=1, ls=DASHED, zorder=1, gid="lod")
    ax.annotate("LOD", (1, middle), xycoords=("axes fraction", "data"), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=SMALL, color=MUTED)  # fmt: skip
    return ""


def _legend(ax: Axes, sorts: Grouping, cells: dict[float, tuple[int, int, Any]]) -> None:
    from matplotlib.patches import Patch

    there = sorted({kind for kind, _, _ in cells.values()})
    beside_axes(
        ax, [Patch(facecolor=PALETTE[kind % 6], label=sorts.levels[kind]) for kind in there],
        title=sorts.name,
    )  # fmt: skip
