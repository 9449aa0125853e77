"""Figures of the time to an event; `precisionpain.plots` offers them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._plot_style import DASHED, INK, MUTED, PALETTE, SMALL, TEXT, colour, label, legend, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cumulative_incidence", "kaplan_meier", "survival_calibration", "time_auc"]

#: Name of the unit of the time axis, and its length in the unit of the data (days).
Unit = tuple[str, float]
YEARS: Unit = ("years", 365.25)


def kaplan_meier(
    curves: Mapping[str, Any],
    *,
    unit: Unit = YEARS,
    until: float | None = None,
    p_value: float | None = None,
    title: str = "Without the event",
    ax: Axes | None = None,
) -> Axes:
    """Draw Kaplan–Meier's curves, with the numbers at risk below the axis.

    Parameters
    ----------
    curves : mapping of str to SurvivalCurve
        From `precisionpain.stats.kaplan_meier`, by group.
    unit : (str, float), default ("years", 365.25)
        Name of the unit of the axis, and its length in the unit of the curves.
    until : float, optional
        Where the axis ends, in the unit of the curves; by default their last time.
    p_value : float, optional
        Of a log-rank test, to be written into the figure.
    title : str, default "Without the event"
        Of the figure.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        Bands are pointwise limits, bars censored people.

    Examples
    --------
    >>> from precisionpain.stats import kaplan_meier as estimate
    >>> ax = kaplan_meier({"all": estimate([100, 300, 700], [1, 0, 1])})
    >>> ax.get_xlabel()
    'Time (years)'
    """
    ax = styled(ax, (6.8, 4.6 + 0.22 * len(curves)), title)
    name, length = unit
    end = _end(until, [curve.table.index[-1] for curve in curves.values()])
    for number, (group, curve) in enumerate(curves.items()):
        table = curve.table.loc[:end]
        x = _steps(table.index, end, curve.table.index[-1]) / length
        shade = colour(number)
        low, high = (_level(table[c], 1.0) for c in ("ci_low", "ci_high"))
        ax.fill_between(x, low, high, step="post", color=shade, alpha=0.14, lw=0)
        ax.step(x, _level(table["survival"], 1.0), where="post", color=shade, lw=1.8, label=group)
        lost = table[table["n_censored"] > 0]
        ax.plot(lost.index / length, lost["survival"], "|", color=shade, ms=5, mew=0.8, alpha=0.8)
    ax.set(xlim=(0, end / length), ylim=(-0.01, 1.02))
    if p_value is not None:
        told = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
        ax.annotate(f"log-rank {told}", (0.98, 0.97), xycoords="axes fraction", ha="right",
                    va="top", **TEXT)  # fmt: skip
    label(ax, f"Time ({name})", "Share without the event")
    legend(ax, loc="lower left")
    _numbers_at_risk(ax, curves, length)
    return ax


def cumulative_incidence(
    curves: Mapping[str, Any],
    *,
    names: tuple[str, ...] = ("event", "competing event"),
    unit: Unit = YEARS,
    until: float | None = None,
    title: str = "Cumulative incidence",
    ax: Axes | None = None,
) -> Axes:
    """Draw the chance of each cause: one colour per group, one line style per cause.

    Parameters
    ----------
    curves : mapping of str to CumulativeIncidence
        From `precisionpain.stats.cumulative_incidence`, by group.
    names : tuple of str, default ("event", "competing event")
        Of cause 1, 2, …
    unit : (str, float), default ("years", 365.25)
        Name of the unit of the axis, and its length in the unit of the curves.
    until : float, optional
        Where the axis ends, in the unit of the curves; by default their last time.
    title : str, default "Cumulative incidence"
        Of the figure.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        Bands are the pointwise limits of the first cause.

    Examples
    --------
    >>> from precisionpain.stats import cumulative_incidence as estimate
    >>> ax = cumulative_incidence({"all": estimate([100, 300, 700], [1, 2, 0])})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['all', 'event', 'competing event']
    """
    ax = styled(ax, (6.8, 4.4), title)
    name, length = unit
    end = _end(until, [c.table.index.get_level_values("time").max() for c in curves.values()])
    styles: list[Any] = ["-", DASHED, (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5))]
    top = 0.0
    causes: set[int] = set()
    for number, (group, curve) in enumerate(curves.items()):
        shade = colour(number)
        ax.plot([], [], color=shade, lw=5, label=group)
        for cause in curve.causes:
            causes.add(cause)
            whole = curve.table.loc[cause]
            table = whole.loc[:end]
            x = _steps(table.index, end, whole.index[-1]) / length
            y = _level(table["incidence"], 0.0)
            if cause == 1:
                low, high = (_level(table[c], 0.0) for c in ("ci_low", "ci_high"))
                ax.fill_between(x, low, high, step="post", color=shade, alpha=0.13, lw=0)
                top = max(top, float(np.nanmax(high)))
            top = max(top, float(y.max()))
            style = styles[(cause - 1) % len(styles)]
            ax.step(x, y, where="post", color=shade, lw=1.8, ls=style)
    for cause in sorted(causes):
        told = names[cause - 1] if cause <= len(names) else f"cause {cause}"
        ax.plot([], [], color=INK, lw=1.8, ls=styles[(cause - 1) % len(styles)], label=told)
    ax.set(xlim=(0, end / length), ylim=(0, min(1.0, 1.08 * max(top, 0.05))))
    label(ax, f"Time ({name})", "Chance of the event")
    legend(ax, loc="upper left")
    return ax


def survival_calibration(
    found: Any, *, name: str = "", unit: Unit = YEARS, ax: Axes | None = None
) -> Axes:
    """Draw observed against predicted risk by a horizon.

    Parameters
    ----------
    found : SurvivalCalibration
        From `precisionpain.stats.calibration_at`.
    name : str, default ""
        Name of the model.
    unit : (str, float), default ("years", 365.25)
        Name of the unit of the title, and its length in the unit of the horizon.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes
        Points are groups by predicted risk, observed by Kaplan–Meier with limits; the line is
        a smooth one weighted for censoring.

    Examples
    --------
    >>> from precisionpain.stats import calibration_at
    >>> found = calibration_at([1, 2, 3, 4, 5, 6], [1, 1, 0, 1, 0, 1],
    ...                        [0.9, 0.2, 0.5, 0.6, 0.3, 0.4], 3.5, n_groups=2)
    >>> survival_calibration(found, unit=("years", 1)).get_title(loc="left")
    'Calibration at 3.5 years'
    """
    length = found.horizon / unit[1]
    when = f"at {length:.3g} {unit[0] if length != 1 else unit[0].removesuffix('s')}"
    heading = f"Calibration {when}" + (f": {name}" if name else "")
    ax = styled(ax, (5.2, 6.0), textwrap.fill(heading, 52))
    groups = found.groups.dropna(subset=["observed"])
    edge = groups[["mean_predicted", "ci_high", "observed"]].max().max()
    top = min(1.0, 1.08 * max(float(edge), float(found.curve["predicted"].max())))
    ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=DASHED, label="ideal")
    ax.plot(found.curve["predicted"], found.curve["observed"], color=PALETTE[0], lw=2,
            label="smooth (local linear)")  # fmt: skip
    low = (groups["observed"] - groups["ci_low"]).clip(lower=0).fillna(0)
    high = (groups["ci_high"] - groups["observed"]).clip(lower=0).fillna(0)
    ax.errorbar(
        groups["mean_predicted"], groups["observed"], yerr=[low, high], fmt="o", color=PALETTE[1],
        ms=6, elinewidth=1.3, capsize=3, label="groups (Kaplan–Meier, 95% CI)",
    )  # fmt: skip
    slope = f"slope {found.slope:.2f} ({found.slope_low:.2f} to {found.slope_high:.2f})"
    ax.annotate(f"{slope}\nobserved / predicted {found.observed_expected:.2f}", (0.03, 0.97),
                xycoords="axes fraction", va="top", **TEXT)  # fmt: skip
    ax.set(xlim=(0, top), ylim=(0, top), box_aspect=1)
    label(ax, f"Predicted risk {when}", "Observed risk")
    legend(ax, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0)
    return ax


def time_auc(
    tables: Mapping[str, pd.DataFrame], *, unit: Unit = YEARS, ax: Axes | None = None
) -> Axes:
    """Draw the AUC at horizons, the models side by side.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Index ``time``; column ``auc`` and optionally ``ci_low`` and ``ci_high``; by model.
    unit : (str, float), default ("years", 365.25)
        Name of the unit of the axis, and its length in the unit of the tables.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> table = pd.DataFrame({"auc": [0.7, 0.6]}, index=[365.25, 730.5])
    >>> [tick.get_text() for tick in time_auc({"cox": table}).get_xticklabels()]
    ['1', '2']
    """
    ax = styled(ax, (6.0, 4.2), "AUC at horizons, pooled over the test folds")
    name, length = unit
    times = sorted({t for table in tables.values() for t in table.index})
    lowest = 0.5
    for number, (model, table) in enumerate(tables.items()):
        place = np.searchsorted(times, table.index.to_numpy())
        x = place + 0.16 * (number - (len(tables) - 1) / 2)
        y = table["auc"].to_numpy(dtype=float)
        lowest = min(lowest, float(np.nanmin(y)) if np.isfinite(y).any() else 0.5)
        ax.plot(x, y, "o", color=colour(number), ms=6, label=model, zorder=3)
        if "ci_low" in table:
            low, high = (table[c].to_numpy(dtype=float) for c in ("ci_low", "ci_high"))
            ax.vlines(x, low, high, color=colour(number), lw=1.5)
            lowest = min(lowest, float(np.nanmin(low)) if np.isfinite(low).any() else 0.5)
    ax.axhline(0.5, color=MUTED, lw=1, ls=DASHED)
    ax.set(xticks=range(len(times)), xlim=(-0.5, len(times) - 0.5), ylim=(lowest - 0.04, 1.0))
    ax.set_xticklabels([f"{t / length:.3g}" for t in times])
    label(ax, f"Horizon ({name})", "AUC (0.5: chance)")
    legend(ax, loc="upper right")
    return ax


def _end(until: float | None, last: list[Any]) -> float:
    return float(max(last)) if until is None else float(until)


def _steps(times: pd.Index, end: float, last: float) -> np.ndarray:
    """Return the times of the steps, from 0 to the end of the follow-up or of the axis."""
    return np.concatenate([[0.0], times.to_numpy(dtype=float), [min(end, float(last))]])


def _level(values: pd.Series, start: float) -> np.ndarray:
    known = values.to_numpy(dtype=float)
    final = known[-1] if len(known) else start
    return np.concatenate([[start], known, [final]])


def _numbers_at_risk(ax: Axes, curves: Mapping[str, Any], length: float) -> None:
    low, high = ax.get_xlim()
    ticks = [t for t in ax.get_xticks() if low <= t <= high * (1 + 1e-9)]
    ax.set_xticks(ticks)
    where: Any = ("data", "axes fraction")
    ax.annotate("At risk", (0, 0), xycoords="axes fraction", xytext=(-16, -44), ha="right",
                textcoords="offset points", fontsize=SMALL, color=MUTED)  # fmt: skip
    for number, (group, curve) in enumerate(curves.items()):
        shade, drop = colour(number), -44 - 14 * (number + 1)
        ax.annotate(group, (0, 0), xycoords="axes fraction", xytext=(-16, drop), ha="right",
                    textcoords="offset points", fontsize=SMALL, color=shade)  # fmt: skip
        left = curve.at(np.asarray(ticks) * length)["n_at_risk"]
        for tick, n in zip(ticks, left, strict=True):
            ax.annotate(str(int(n)), (tick, 0), xycoords=where, xytext=(0, drop), ha="center",
                        textcoords="offset points", **TEXT)  # fmt: skip
