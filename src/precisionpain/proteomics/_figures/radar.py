"""The axes of a panel around a circle: groups or persons against the limits of controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..._plot_style import INK, MUTED, PALE, SMALL, colour
from ...errors import AlignmentError, FormatError, list_some
from .inputs import Grouping, Groups, grouping
from .look import beside_axes, check_option, count_of, entitle, marker, number, stamp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_panel_radar"]

Floats = NDArray[np.float64]


def plot_panel_radar(
    scores: pd.DataFrame,
    ax: Axes | None = None,
    *,
    axes: Sequence[str] | None = None,
    group: Groups | None = None,
    samples: Sequence[Any] | None = None,
    labels: Literal["none", "samples"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw the scores of a panel, axis by axis, with the limits in which controls lie.

    Parameters
    ----------
    scores : pandas.DataFrame
        What `score_panel` gave: a column per axis, with its limits in ``…_low`` and
        ``…_high``, in SDs of the controls.
    ax : matplotlib.projections.polar.PolarAxes, optional
        Where to draw; by default new axes.
    axes : sequence of str, optional
        Which axes, in which order (at least 3); by default all that have limits, without
        ``overall``.
    group : str, mapping or pandas.Series, optional
        Column of `scores`, or the group of each person by ``subject_id``: the medians of at
        most 6 groups are drawn. By default ``control``, where it's there.
    samples : sequence, optional
        Draw these samples instead of groups, at most 6, by their names in the index.
    labels : {"none", "samples"}, default "none"
        Whether the legend names the samples; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Shaded: between the limits. The thick ring is 0, the mean of the controls. An axis of
        which nothing was measured is a gap. The caption tells the limits' level where known.

    Raises
    ------
    FormatError
        When `ax` isn't polar, an axis or its limits aren't there, there are fewer than 3 axes
        or too many lines.
    AlignmentError
        When a sample isn't there.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn()
    >>> healthy = cohort.subjects.query("diagnosis == 'control'").index
    >>> scores = pp.proteomics.score_panel(
    ...     cohort.assays["csf_pea"], "trigeminal", {"subject_id": healthy})
    >>> ax = plot_panel_radar(scores, synthetic=True)
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['inflammatory', 'autoimmune like', 'stress', 'glial wnt', 'axonal']
    """
    check_option(labels, "labels", ("none", "samples"))
    names = _axes(scores, axes)
    lines = _of_samples(scores, samples, labels) if samples is not None else _of_groups(
        scores, group
    )  # fmt: skip
    ax = _polar(ax)
    low, high = (
        np.array([float(np.nanmedian(scores[f"{name}_{end}"])) if scores[f"{name}_{end}"]
                  .notna().any() else np.nan for name in names])
        for end in ("low", "high")
    )  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
    values = [np.asarray(part[names].median(axis=0), dtype=np.float64) for _, part in lines]
    floor, top = _reach([low, high, *values])
    around = np.append(angle, 2 * np.pi)

    def closed(y: Floats) -> Floats:
        return np.append(y, y[0])

    ax.fill_between(around, closed(low), closed(high), color=PALE, alpha=0.75, lw=0, zorder=1,
                    label="limits of controls", gid="limits")  # fmt: skip
    ring = np.linspace(0, 2 * np.pi, 181)
    ax.plot(ring, np.zeros_like(ring), color=MUTED, lw=1.6, zorder=2)
    for series, ((name, _), y) in enumerate(zip(lines, values, strict=True)):
        ax.plot(around, closed(y), color=colour(series), marker=marker(series), lw=2, ms=5,
                zorder=3 + series, label=name, gid=f"line {name}")  # fmt: skip
    _dress(ax, angle, names, floor, top)
    beside_axes(ax)
    _tell(ax, scores, names, values, samples is None)
    stamp(ax, synthetic)
    return ax


def _axes(scores: Any, wanted: Sequence[str] | None) -> list[str]:
    """Return the axes to be drawn."""
    if not isinstance(scores, pd.DataFrame):
        raise FormatError(
            f"expected the table of `score_panel`, found {type(scores).__name__}", where="scores"
        )
    there = [str(name) for name in scores if {f"{name}_low", f"{name}_high"} <= set(scores.columns)]
    names = [name for name in there if name != "overall"] if wanted is None else list(wanted)
    absent = [name for name in names if name not in there]
    if absent:
        raise FormatError(
            f"expected axes with limits, {list_some(there)}, found {list_some(absent)}",
            where="axes",
        )
    if len(names) < 3:
        raise FormatError(
            f"expected at least 3 axes, found {list_some(names) or 'none'}", where="scores",
            remedy="draw the table of `score_panel`; fewer axes are read better as dots",
        )  # fmt: skip
    return names


def _of_samples(
    scores: pd.DataFrame, samples: Sequence[Any], labels: str
) -> list[tuple[str, pd.DataFrame]]:
    wanted = [samples] if isinstance(samples, str) else list(samples)
    absent = [name for name in wanted if name not in scores.index]
    if absent:
        raise AlignmentError(f"found no sample {list_some(absent)}", where="scores.index")
    if not 1 <= len(wanted) <= 6:
        raise FormatError(f"expected 1 to 6 samples, found {len(wanted)}", where="samples")
    return [
        (str(name) if labels == "samples" else f"sample {i}", scores.loc[[name]])
        for i, name in enumerate(wanted, 1)
    ]


def _of_groups(scores: pd.DataFrame, group: Groups | None) -> list[tuple[str, pd.DataFrame]]:
    if group is None and "control" in scores and scores["control"].dtype == bool:
        kinds = np.where(scores["control"], "controls", "others")
        sorts = Grouping("control", pd.Series(kinds, index=scores.index))
    elif group is None:
        sorts = Grouping("", pd.Series("samples", index=scores.index))
    else:
        sorts = grouping(scores, group, "scores")
    if sorts.numbers is not None or not 1 <= len(sorts.levels) <= 6:
        raise FormatError(
            f"expected 1 to 6 groups, found {len(sorts.levels)}", where=sorts.name,
            remedy="choose a coarser column",
        )  # fmt: skip
    parts = [scores[sorts.codes == i] for i in range(len(sorts.levels))]
    return [
        (f"{level}, median of {len(part)}", part)
        for level, part in zip(sorts.levels, parts, strict=True)
    ]


def _polar(ax: Axes | None) -> Any:
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.8, 5.4), layout="constrained")
        return figure.add_subplot(projection="polar")
    if ax.name != "polar":
        raise FormatError(
            f"expected polar axes, found {ax.name!r}", where="ax",
            remedy="make them with figure.add_subplot(projection='polar')",
        )  # fmt: skip
    return ax


def _reach(values: list[Floats]) -> tuple[float, float]:
    """Return from where to where the radius goes, whole SDs."""
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    if not len(every):
        raise FormatError("expected scores, found that all are missing", where="scores")
    low = min(float(np.floor(every.min() - 0.25)), -1.0)
    return low - 0.5, max(float(np.ceil(every.max() + 0.25)), 1.0)


def _dress(ax: Any, angle: Floats, names: list[str], floor: float, top: float) -> None:
    """Name the spokes and rings."""
    ax.set_theta_offset(np.pi / 2)
    ax.set_theta_direction(-1)
    ax.set_xticks(angle, [name.replace("_", " ") for name in names], fontsize=SMALL + 0.5,
                  color=INK)  # fmt: skip
    for text, turn in zip(ax.get_xticklabels(), angle, strict=True):
        aside = np.sin(turn)
        text.set_ha("center" if abs(aside) < 0.15 else "left" if aside > 0 else "right")
    step = max(1, int(np.ceil((top - floor) / 6)))
    rings = np.arange(-step * (-int(np.ceil(floor)) // step), top + 0.01, step)
    ax.set_ylim(floor, top)
    ax.set_yticks(rings, [number(float(ring), 0) for ring in rings])
    ax.tick_params(axis="y", labelsize=SMALL - 1, labelcolor=MUTED)
    # Between the first two spokes, where no line has a corner.
    ax.set_rlabel_position(float(np.rad2deg(angle[1] / 2)))
    ax.grid(color=PALE, lw=0.8)
    ax.spines["polar"].set_color(PALE)
    ax.set_axisbelow(True)


def _tell(
    ax: Any, scores: pd.DataFrame, names: list[str], values: list[Floats], medians: bool
) -> None:
    level = scores.attrs.get("confidence")
    gaps = int(sum(np.isnan(y).sum() for y in values))
    limits = scores[[f"{name}_{end}" for name in names for end in ("low", "high")]]
    vary = bool((limits.max() - limits.min() > 1e-6).any())
    title = str(scores.attrs.get("panel", "")).replace("_", " ")
    entitle(ax, f"Panel: {title}" if title else "Scores of a panel", [
        "mean z, SDs of the controls",
        f"shaded: {100 * level:g}% of controls lie there" if level else "",
        "limits differ between samples, their medians are drawn" if vary else "",
        count_of(len(scores), "sample") if medians else "",
        f"{count_of(gaps, 'value')} missing, a gap" if gaps else "",
    ], lift=22)  # fmt: skip
