"""Samples as a whole: the distribution of each, and those unlike the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..._plot_style import DASHED, INK, MUTED, PALE, SMALL, colour, label, styled
from ...errors import FormatError
from .._layout import values_of
from .._quality.levels import sample_spread
from .._quality.rules import Measured
from .inputs import Groups, grouping, measured_people, property_of_samples
from .look import (
    HIGH,
    MANY,
    beside_axes,
    check_option,
    count_of,
    entitle,
    marker,
    place_labels,
    stamp,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_distribution", "plot_sample_qc"]


def plot_distribution(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    panel: str | None = None,
    group: Groups | None = None,
    labels: Literal["none", "samples"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw the distribution of the values of each sample, ordered by plate.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale; control samples and control assays are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    panel : str, optional
        Only the assays of this panel; by default all.
    group : str, mapping or pandas.Series, optional
        What to colour by: a column of ``obs``, or the group of each person by ``subject_id``;
        by default the plate.
    labels : {"none", "samples"}, default "none"
        Whether to name the samples (up to 80 of them); names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Per sample: median (black), quartiles (bar), 5th and 95th percentile (line). Within a
        plate in the order of the rows. The dashed line is the median of the medians.

    Raises
    ------
    FormatError
        When there is no such panel or column, or panels differ in plates and none is chosen.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> ax = plot_distribution(sample_tn().assays["csf_pea"], synthetic=True)
    >>> ax.get_xlabel()
    '36 samples, by plate'
    """
    check_option(labels, "labels", ("none", "samples"))
    people, controls = measured_people(adata, panel)
    values = values_of(people)
    empty = np.isnan(values).all(axis=1)
    people, values = people[~empty], values[~empty]
    if not len(values):
        raise FormatError("expected values, found that all are missing", where="adata.X")
    plates = _plates(people, panel)
    order = np.argsort(plates, kind="stable")
    quantiles = np.nanpercentile(values[order], [5, 25, 50, 75, 95], axis=1)
    names, first, counts = np.unique(plates[order], return_index=True, return_counts=True)
    n = len(order)
    ax = styled(ax, (float(np.clip(2.2 + 0.09 * n, 6.4, 12.0)), 4.4), "")
    tints, handles, title = _tints(people, group, plates)
    _draw_boxes(ax, quantiles, [tints[i] for i in order])
    ax.axhline(float(np.median(quantiles[2])), color=MUTED, lw=1, ls=DASHED, zorder=1)
    for number, start in enumerate(first):
        if number % 2:
            ax.axvspan(start - 0.5, start + counts[number] - 0.5, color=PALE, alpha=0.45, lw=0,
                       zorder=0)  # fmt: skip
    ax.set_xlim(-0.8, n - 0.2)
    _name_places(ax, people, order, names, first, counts, labels, n)
    by = "plate" if len(names) > 1 or names[0] else ""
    label(ax, count_of(n, "sample") + (f", by {by}" if by else ""), "Value, log2")
    if handles:
        beside_axes(ax, handles, title)
    entitle(ax, "Distribution per sample" + (f": {panel}" if panel else ""), [
        f"{count_of(people.n_vars, 'assay')}: median, quartiles, 5th to 95th percentile",
        f"{count_of(int(empty.sum()), 'sample')} without a value left out" if empty.any() else "",
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    stamp(ax, synthetic)
    return ax


def _plates(people: AnnData, panel: str | None) -> NDArray[Any]:
    """Return the plate of each sample; "" where nothing is known of plates."""
    if "plate" not in people.obs and "plate" not in people.obsm:
        return np.full(people.n_obs, "", dtype=object)
    plate = property_of_samples(people, "plate", panel)
    return plate.astype(object).where(plate.notna(), "").astype(str).to_numpy(dtype=object)


def _tints(
    people: AnnData, group: Groups | None, plates: NDArray[Any]
) -> tuple[list[str], list[Any], str | None]:
    """Return the colour of each sample, and what the legend says of it."""
    from matplotlib.patches import Patch

    if group is None:
        codes = np.unique(plates, return_inverse=True)[1]
        return [colour(int(code)) for code in codes], [], None
    sorts = grouping(people.obs, group)
    if len(sorts.levels) > 6:
        raise FormatError(
            f"expected at most 6 groups, found {len(sorts.levels)}", where=sorts.name,
            remedy="choose a coarser column; more colours can't be told apart",
        )  # fmt: skip
    handles = [
        Patch(facecolor=colour(i), label=f"{level} ({(sorts.codes == i).sum()})")
        for i, level in enumerate(sorts.levels)
    ]
    if sorts.unknown.any():
        handles.append(Patch(facecolor=MUTED, label=f"not known ({sorts.unknown.sum()})"))
    return [colour(int(c)) if c >= 0 else MUTED for c in sorts.codes], handles, sorts.name


def _draw_boxes(ax: Axes, quantiles: NDArray[np.float64], tints: list[str]) -> None:
    """Draw all boxes as three collections, since there may be thousands."""
    from matplotlib.collections import LineCollection, PolyCollection

    n = quantiles.shape[1]
    x = np.arange(n, dtype=float)
    raster = n > MANY

    def upright(low: NDArray[Any], high: NDArray[Any]) -> Any:
        return np.stack([np.column_stack([x, low]), np.column_stack([x, high])], axis=1)

    def across(y: NDArray[Any]) -> Any:
        return np.stack([np.column_stack([x - 0.4, y]), np.column_stack([x + 0.4, y])], axis=1)

    whiskers = upright(quantiles[0], quantiles[4])
    ax.add_collection(LineCollection(whiskers, colors=tints, lw=0.8, alpha=0.7, zorder=2,
                                     gid="whiskers", rasterized=raster))  # fmt: skip
    corners = np.stack([
        np.column_stack([x + side, height]) for side, height in
        ((-0.4, quantiles[1]), (-0.4, quantiles[3]), (0.4, quantiles[3]), (0.4, quantiles[1]))
    ], axis=1)  # fmt: skip
    ax.add_collection(PolyCollection(list(corners), facecolors=tints, lw=0, zorder=3, alpha=0.5,
                                     gid="quartiles", rasterized=raster))  # fmt: skip
    ax.add_collection(LineCollection(across(quantiles[2]), colors=INK, zorder=4,
                                     lw=1.6 if n <= 150 else 1.2, gid="medians",
                                     rasterized=raster))  # fmt: skip
    ax.autoscale_view()


def _name_places(
    ax: Axes, people: AnnData, order: NDArray[np.intp], names: NDArray[Any], first: NDArray[Any],
    counts: NDArray[Any], labels: str, n: int,
) -> None:  # fmt: skip
    """Name samples or plates below the axis."""
    if labels == "samples":
        if n > 80:
            raise FormatError(
                f"expected at most 80 samples to name, found {n}", where="labels",
                remedy="take a part of the samples, or labels='none'",
            )  # fmt: skip
        ax.set_xticks(range(n), list(people.obs_names[order]), rotation=90, fontsize=6.5)
        return
    ax.tick_params(axis="x", length=0)
    shown = names if len(names) > 1 or names[0] else np.array([], dtype=object)
    every = max(1, -(-len(shown) // 12))  # at most 12 names of plates
    middle = first + (counts - 1) / 2
    short = [name if len(str(name)) <= 16 else f"…{str(name)[-15:]}" for name in shown]
    slant: dict[str, Any] = {"rotation": 25, "ha": "right"} if len(shown) > 4 else {}
    ax.set_xticks(middle[: len(shown)][::every], short[::every], fontsize=SMALL, color=INK,
                  **slant)  # fmt: skip


def plot_sample_qc(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    panel: str | None = None,
    n_sd: float = 3.0,
    labels: Literal["none", "outliers"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw the interquartile range of each sample against its median, and who is unlike.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale; control samples and control assays are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    panel : str, optional
        Only this panel, in log2 units. By default all; several panels are drawn in standard
        deviations from the mean of each, which have the same limits.
    n_sd : float, default 3.0
        Limits, standard deviations from the mean over the samples of a panel; beyond either
        lies an outlier.
    labels : {"none", "outliers"}, default "none"
        Whether to name the outliers; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Dashed: the limits, as in `check_npx`. Outliers are ringed. The caption counts them,
        and those of which nothing was measured.

    Raises
    ------
    FormatError
        When there is no such panel, or the limits aren't positive.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> ax = plot_sample_qc(sample_tn().assays["csf_pea"], synthetic=True)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Median of the sample, log2', 'Interquartile range of the sample, log2')
    """
    check_option(labels, "labels", ("none", "outliers"))
    if not n_sd > 0:
        raise FormatError(f"expected limits above 0 SD, found {n_sd!r}", where="n_sd")
    people, controls = measured_people(adata, panel)
    table = sample_spread(Measured(people), n_sd)
    for name in ("median", "iqr"):
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        sd = (high - low) / (2 * n_sd)
        table[f"{name}_z"] = (table[name] - (low + high) / 2) / sd.where(sd > 0)
    known = table.dropna(subset=["median_z", "iqr_z"] if table["panel"].nunique() > 1 else "median")
    panels = list(dict.fromkeys(known["panel"]))
    several = len(panels) > 1
    columns = ["median_z", "iqr_z"] if several else ["median", "iqr"]
    ax = styled(ax, (6.2, 5.0), "")
    for number, name in enumerate(panels):
        part = known[known["panel"] == name]
        ax.scatter(
            part[columns[0]], part[columns[1]], color=colour(number),
            s=22 if len(known) < 500 else 12, marker=marker(number) if several else "o",
            edgecolors="white", lw=0.4, zorder=3,
            rasterized=len(known) > MANY, gid=f"panel {name}", label=name,
        )  # fmt: skip
    unlike = known[known["outlier"]]
    places = unlike[columns].to_numpy()
    ax.scatter(places[:, 0], places[:, 1], s=95, facecolors="none", edgecolors=HIGH, lw=1.4,
               zorder=4, gid="outliers")  # fmt: skip
    for name, line in (("median", ax.axvline), ("iqr", ax.axhline)):
        ends = known[[f"{name}_low", f"{name}_high"]].iloc[0] if len(known) else ()
        for end in (-n_sd, n_sd) if several else ends:
            if np.isfinite(end):
                line(float(end), color=MUTED, lw=1, ls=DASHED, gid="limit")
    ax.margins(0.08)
    if several:
        label(ax, "Median of the sample, SD from the panel's mean",
              "Interquartile range, SD from the panel's mean")  # fmt: skip
        beside_axes(ax, title="panel")
    else:
        label(ax, "Median of the sample, log2", "Interquartile range of the sample, log2")
    lost = len(table) - len(known)
    who = count_of(int(unlike["sample"].nunique()), "sample")
    entitle(ax, "Samples unlike the others" + (f": {panel}" if panel else ""), [
        f"{who} of {people.n_obs:,} beyond ± {n_sd:g} SD, ringed",
        f"nothing measured in {lost}" + (" (sample, panel)" if several else "") if lost else "",
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    if labels == "outliers" and len(unlike):
        # On several panels a sample is named once, where it's furthest out.
        far = unlike[["median_z", "iqr_z"]].abs().max(axis=1)
        named = unlike.loc[far.groupby(unlike["sample"], sort=False).idxmax()]
        place_labels(ax, named[columns].to_numpy(), list(named["sample"].astype(str)),
                     known[columns].to_numpy())  # fmt: skip
    stamp(ax, synthetic)
    return ax
