"""Proteins × samples, clustered, with a bar of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._plot_style import ABSENT, INK, MUTED, SMALL, colour, label, styled
from ...errors import FormatError, list_some
from .._layout import values_of
from .inputs import Grouping, Groups, assay_names, find_assay, grouping, measured_people
from .look import HIGH, LOW, beside_axes, check_option, count_of, entitle, stamp

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_heatmap"]

_LEGIBLE = 5.9  # points per row or column that a name needs


def plot_heatmap(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    proteins: Sequence[str] | None = None,
    group: Groups | None = None,
    by_group: bool = False,
    limit: float = 2.5,
    labels: str = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw proteins × samples in standard deviations, alike next to alike.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale; control samples and control assays are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    proteins : sequence of str, optional
        Ids, genes or accessions; by default all.
    group : str, mapping or pandas.Series, optional
        Groups for the bar on top: a column of ``obs``, or the group of each person by
        ``subject_id``; at most 6.
    by_group : bool, default False
        Whether samples are clustered within their groups only.
    limit : float, default 2.5
        Where colours end, standard deviations of the protein.
    labels : {"none", "samples"}, default "none"
        Whether to name the samples, where there is room; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        One image, however many proteins; they are named where rows are high enough for it.
        Average linkage of Euclidean distances, for which missing values (grey) count as the
        protein's mean. Memory grows with the square of the number of proteins (0.1 GB for
        5,000).

    Raises
    ------
    FormatError
        When a protein isn't there or all are constant, or groups are missing or too many.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> csf = sample_tn().assays["csf_pea"]  # synthetic
    >>> ax = plot_heatmap(csf, proteins=["NEFL", "GFAP", "IL1B"], group="visit", synthetic=True)
    >>> sorted(tick.get_text() for tick in ax.get_yticklabels())
    ['GFAP', 'IL1B', 'NEFL']
    """
    check_option(labels, "labels", ("none", "samples"))
    if not limit > 0:
        raise FormatError(f"expected a limit above 0 SD, found {limit!r}", where="limit")
    people, controls = measured_people(adata)
    if proteins is not None:
        people = people[:, _ids(people, proteins)]
    z, constant = _standard(values_of(people))
    people = people[:, ~constant]
    if not z.shape[1]:
        raise FormatError(
            "expected proteins that vary, found none", where="adata.X",
            remedy="at least two samples and two different values of a protein are needed",
        )  # fmt: skip
    sorts = None if group is None else _few_groups(grouping(people.obs, group))
    if by_group and sorts is None:
        raise FormatError("expected a group to sort by, found none", where="by_group")
    complete = np.nan_to_num(z)
    rows = _alike(complete.T)
    if by_group and sorts is not None:
        codes = np.where(sorts.codes < 0, len(sorts.levels), sorts.codes)
        parts = [np.flatnonzero(codes == code) for code in np.unique(codes)]
        columns = np.concatenate([part[_alike(complete[part])] for part in parts])
    else:
        columns = _alike(complete)
    # Tall enough to name the assays of one panel of 96.
    tall = max(3.2, 2.0 + 0.125 * len(rows)) if len(rows) <= 100 else 8.5
    ax = styled(ax, (7.2, tall), "")
    image = _draw(ax, z[np.ix_(columns, rows)].T, limit)
    _scale(ax, image, limit)
    if sorts is not None:
        _bar(ax, sorts, columns, len(rows))
    label(ax, count_of(len(columns), "sample"))
    gaps = int(np.isnan(z).sum())
    entitle(ax, f"{count_of(len(rows), 'protein')} × {count_of(len(columns), 'sample')}", [
        f"{gaps:,} missing values grey ({100 * gaps / z.size:.1f}%)" if gaps else "",
        f"{count_of(int(constant.sum()), 'protein')} constant or never measured left out"
        if constant.any() else "",
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    _name(ax, assay_names(people.var), rows, people, columns, labels)
    stamp(ax, synthetic, on_image=True)
    return ax


def _ids(people: AnnData, proteins: Sequence[str]) -> list[Any]:
    wanted = [proteins] if isinstance(proteins, str) else list(proteins)
    found = [find_assay(people.var, name) for name in wanted]
    absent = [name for name, there in zip(wanted, found, strict=True) if there is None]
    if absent or not found:
        raise FormatError(
            f"expected ids, genes or accessions of assays, found {list_some(absent) or 'none'}",
            where="proteins",
        )
    return list(dict.fromkeys(found))


def _standard(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return z-scores of the proteins that vary, and which don't."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(n, 1)
    centred = values - mean
    spread = np.sqrt((np.where(known, centred, 0) ** 2).sum(axis=0) / np.maximum(n - 1, 1))
    constant = (n < 2) | (spread <= 1e-12 * (1 + np.abs(mean)))
    return centred[:, ~constant] / spread[~constant], constant


def _alike(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the order of the leaves of a clustering."""
    if len(points) < 3:
        return np.arange(len(points))
    from scipy.cluster.hierarchy import leaves_list, linkage

    return np.asarray(leaves_list(linkage(points, "average")), dtype=np.intp)


def _few_groups(groups: Grouping) -> Grouping:
    if groups.numbers is not None or len(groups.levels) > 6:
        raise FormatError(
            f"expected at most 6 groups, found {len(groups.levels)}", where=groups.name,
            remedy="choose a coarser column, or cut numbers into classes with pandas.cut",
        )  # fmt: skip
    return groups


def _draw(ax: Axes, z: NDArray[np.float64], limit: float) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("low-high", [LOW, "#f7f7f7", HIGH])
    ax.set_facecolor(ABSENT)  # shows through where a value is missing
    ax.spines[["left", "bottom"]].set_visible(False)
    return ax.imshow(z, aspect="auto", cmap=shades, vmin=-limit, vmax=limit,
                     interpolation="auto", interpolation_stage="rgba", gid="z")  # fmt: skip


def _scale(ax: Axes, image: Any, limit: float) -> None:
    long = min(0.45, 1.7 / _inches_high(ax))
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0.0, 0.022, long)), extend="both")
    bar.set_label("SD from the protein's mean", fontsize=SMALL, color=INK)
    bar.set_ticks([-limit, 0, limit])
    bar.ax.tick_params(labelsize=SMALL, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)


def _inches_high(ax: Axes) -> float:
    return float(ax.get_position().height * ax.figure.canvas.figure.get_figheight())


def _bar(ax: Axes, groups: Grouping, columns: NDArray[np.intp], n_rows: int) -> None:
    """Draw the groups above the samples."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    tints = np.array([to_rgb(colour(i)) for i in range(len(groups.levels))] + [to_rgb(ABSENT)])
    per_inch = n_rows / _inches_high(ax)
    high, gap = 0.16 * per_inch, 0.04 * per_inch
    right, bottom = len(columns) - 0.5, n_rows - 0.5
    ax.imshow(tints[groups.codes[columns]][None], aspect="auto", interpolation="nearest",
              extent=(-0.5, right, -0.5 - gap, -0.5 - gap - high), gid="groups")  # fmt: skip
    ax.set(xlim=(-0.5, right), ylim=(bottom, -0.5 - gap - high))
    handles = [
        Patch(facecolor=tints[i], label=f"{level} ({(groups.codes == i).sum()})")
        for i, level in enumerate(groups.levels)
    ]
    if groups.unknown.any():
        handles.append(Patch(facecolor=ABSENT, label=f"not known ({groups.unknown.sum()})"))
    beside_axes(ax, handles, groups.name)


def _name(
    ax: Axes, names: list[str], rows: NDArray[np.intp], people: AnnData,
    columns: NDArray[np.intp], labels: str,
) -> None:  # fmt: skip
    """Name rows and columns where they are wide enough to be read."""
    root = ax.figure.canvas.figure
    root.draw_without_rendering()  # settles the layout
    box = ax.get_position()
    high = 72 * box.height * root.get_figheight() / len(rows)
    wide = 72 * box.width * root.get_figwidth() / len(columns)
    ax.tick_params(length=0)
    if high >= _LEGIBLE:
        ax.set_yticks(range(len(rows)), [names[i] for i in rows],
                      fontsize=float(np.clip(0.85 * high, 5.0, SMALL)))  # fmt: skip
    else:
        ax.set_yticks([])
        label(ax, y=count_of(len(rows), "protein"))
    if labels == "samples" and wide >= _LEGIBLE:
        ax.set_xticks(range(len(columns)), list(people.obs_names[columns]), rotation=90,
                      fontsize=float(np.clip(0.85 * wide, 5.0, SMALL)))  # fmt: skip
    else:
        ax.set_xticks([])
