"""Differences between groups: all assays at once, and a few with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..._plot_style import ABSENT, DASHED, MUTED, SMALL, beside, label, rows, styled
from ...errors import FormatError
from .inputs import assay_names, find_assay, mostly_below_lod, results_of
from .look import HIGH, LOW, MANY, count_of, entitle, number, place_labels, stamp

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_panel_forest", "plot_volcano"]

_TINIEST = 5e-324  # a p of 0 is one that the computer can't tell from 0


def plot_volcano(
    results: pd.DataFrame,
    ax: Axes | None = None,
    *,
    alpha: float = 0.05,
    min_log_fc: float = 0.0,
    labels: int | Iterable[str] = 12,
    title: str = "Differential abundance",
    synthetic: bool = False,
) -> Axes:
    """Draw evidence against effect of all assays.

    Parameters
    ----------
    results : pandas.DataFrame
        What `differential` gave for one contrast: ``log_fc``, ``p_value``, ``q_value``, and
        where there ``gene`` and ``below_lod``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    alpha : float, default 0.05
        False-discovery rate: assays with q ≤ alpha are coloured.
    min_log_fc : float, default 0.0
        Coloured only if the difference is at least this large, log2.
    labels : int or iterable of str, default 12
        How many of the coloured assays to name, those with the smallest p; or which to name,
        by id, gene or accession.
    title : str, default "Differential abundance"
        What is compared belongs here.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Hollow: below the limit of detection in more than half of the samples. The caption
        counts what isn't drawn because it couldn't be tested; p = 0 is a triangle at the top.

    Raises
    ------
    FormatError
        When the table isn't one of `differential`, has several rows per assay, nothing was
        testable, or an assay to be named isn't there.

    Examples
    --------
    >>> import pandas as pd
    >>> results = pd.DataFrame({"log_fc": [1.2, -0.1, None], "p_value": [1e-5, 0.6, None],
    ...     "q_value": [2e-5, 0.6, None], "gene": ["NEFL", "IL6", "TBCB"]})
    >>> ax = plot_volcano(results)
    >>> [text.get_text() for text in ax.texts if text.get_gid() == "caption"]
    ['2 assays tested: 1 up, 0 down (q ≤ 0.05) · 1 not testable, not drawn']
    """
    table = results_of(results, ["log_fc", "p_value", "q_value"])
    drawn = table[["log_fc", "p_value"]].notna().all(axis=1).to_numpy()
    if not drawn.any():
        raise FormatError(
            f"expected assays with log_fc and p_value, found none among {len(table)}",
            where="results",
        )
    hollow = mostly_below_lod(table)[drawn]
    missing = int((~drawn).sum())
    table = table[drawn]
    effect, p, q = (table[c].to_numpy(np.float64) for c in ("log_fc", "p_value", "q_value"))
    zero = p == 0
    height = -np.log10(np.maximum(p, _TINIEST))
    top = 1.12 * max(float(height[~zero].max(initial=0.0)), 1.0)
    height[zero] = 0.97 * top
    found = (q <= alpha) & (np.abs(effect) >= min_log_fc)
    ax = styled(ax, (6.8, 5.4), "")
    kinds = ((~found, ABSENT, "no"), (found & (effect > 0), HIGH, "up"),
             (found & (effect <= 0), LOW, "down"))  # fmt: skip
    size = float(np.clip(2500 / len(table), 9, 26))
    for chosen, tint, name in kinds:
        for inside, shape in ((~zero, "o"), (zero, "^")):
            face = np.where(hollow, "white", tint)[chosen & inside]
            if len(face):
                ax.scatter(
                    effect[chosen & inside], height[chosen & inside], s=size, c=face,
                    edgecolors=tint, lw=0.8, marker=shape, gid=name,
                    zorder=2 if name == "no" else 3, rasterized=len(table) > MANY,
                )  # fmt: skip
    reach = 1.08 * max(float(np.abs(effect).max()), min_log_fc, 1e-3)
    ax.set(xlim=(-reach, reach), ylim=(-0.02 * top, top))
    ax.axvline(0, color=MUTED, lw=0.8, zorder=1)
    if min_log_fc > 0:
        for edge in (-min_log_fc, min_log_fc):
            ax.axvline(edge, color=MUTED, lw=1, ls=DASHED, zorder=1)
    passed = q <= alpha
    if passed.any():
        # Any line between the last that passes and the first that doesn't tells them apart.
        line = (height[passed].min() + height[~passed].max(initial=0.0)) / 2
        ax.axhline(float(line), color=MUTED, lw=1, ls=DASHED, zorder=1, gid="threshold")
        ax.annotate(f"q ≤ {alpha:g}", (0, float(line)), xycoords=("axes fraction", "data"),
                    xytext=(3, 3), textcoords="offset points", fontsize=SMALL,
                    color=MUTED)  # fmt: skip
    contrast = results.attrs.get("contrast")
    label(ax, "Difference, log2" + (f": {contrast}" if contrast else ""), "Evidence, −log10 p")
    limit = f"q ≤ {alpha:g}" + (f", at least {min_log_fc:g} on log2" if min_log_fc > 0 else "")
    up, down = int(kinds[1][0].sum()), int(kinds[2][0].sum())
    entitle(ax, title, [
        f"{count_of(len(table), 'assay')} tested: {up:,} up, {down:,} down ({limit})",
        f"{missing:,} not testable, not drawn" if missing else "",
        f"hollow: below LOD in more than half ({hollow.sum():,})" if hollow.any() else "",
        f"triangle: p = 0 ({zero.sum():,})" if zero.any() else "",
    ])  # fmt: skip
    named = _to_name(table, labels, found, p, effect)
    words = assay_names(table.iloc[named])
    places = np.column_stack([effect, height])
    place_labels(ax, places[named], words, np.vstack([places[found], places[named]]))
    stamp(ax, synthetic)
    return ax


def _to_name(
    table: pd.DataFrame, labels: int | Iterable[str], found: Any, p: Any, effect: Any
) -> list[int]:
    """Return the positions of the assays to be named."""
    if isinstance(labels, int | np.integer):
        order = np.lexsort([-np.abs(effect), p])
        return [int(i) for i in order if found[i]][: int(labels)]
    wanted = [labels] if isinstance(labels, str) else list(labels)
    ids = [_must_find(table, name) for name in wanted]
    return [int(i) for i in table.index.get_indexer(pd.Index(ids))]


def _must_find(table: pd.DataFrame, name: str) -> Any:
    found = find_assay(table, name)
    if found is None:
        raise FormatError(
            f"{name!r} is no id, gene or accession of a tested assay", where="results"
        )
    return found


def plot_panel_forest(
    results: pd.DataFrame,
    proteins: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    sort: bool = True,
    alpha: float = 0.05,
    title: str = "Differences and their intervals",
    synthetic: bool = False,
) -> Axes:
    """Draw the differences of a few assays with their intervals, one below the other.

    Parameters
    ----------
    results : pandas.DataFrame
        What `differential` gave for one contrast: ``log_fc``, ``ci_low``, ``ci_high``,
        ``q_value``, and where there ``gene``, ``uniprot`` and ``below_lod``.
    proteins : sequence of str, optional
        Ids, genes or accessions, such as those of a panel; by default all assays, at most 60.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    sort : bool, default True
        Whether the largest difference is on top; else the order given.
    alpha : float, default 0.05
        Full colour where q is at most this.
    title : str, default "Differences and their intervals"
        What is compared belongs here.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        A protein that wasn't measured or couldn't be tested keeps its row, and says so.

    Raises
    ------
    FormatError
        When the table isn't one of `differential`, several assays measure a protein, or there
        are none or too many.

    Examples
    --------
    >>> import pandas as pd
    >>> results = pd.DataFrame({"log_fc": [1.2], "ci_low": [0.8], "ci_high": [1.6],
    ...     "q_value": [0.001], "gene": ["NEFL"]}, index=["OID20871"])
    >>> ax = plot_panel_forest(results, ["NEFL", "TBCB"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['NEFL', 'TBCB']
    >>> [text.get_text() for text in ax.texts if text.get_gid() == "row"]
    ['1.20 (0.80 to 1.60)   q = 0.001', 'not measured']
    """
    numbers = ["log_fc", "ci_low", "ci_high", "q_value"]
    table = results_of(results, numbers)
    ids = list(table.index) if proteins is None else [find_assay(table, p) for p in proteins]
    asked = assay_names(table) if proteins is None else [str(p) for p in proteins]
    if not 1 <= len(ids) <= 60:
        raise FormatError(
            f"expected 1 to 60 proteins, found {len(ids)}",
            where="proteins",
            remedy="name the proteins of interest; plot_volcano shows all at once",
        )
    known = [name for name in ids if name is not None]
    names = dict(zip(known, assay_names(table, known), strict=True))
    low_signal = pd.Series(mostly_below_lod(table), index=table.index)
    entries = [
        (names.get(name, word), None if name is None else table.loc[name, numbers],
         name is not None and bool(low_signal[name]))
        for name, word in zip(ids, asked, strict=True)
    ]  # fmt: skip
    if sort:
        entries.sort(key=lambda entry: -_effect_of(entry[1]))
    ax = styled(ax, (7.6, 1.4 + 0.3 * len(entries)), "")
    ax.axvline(0, color=MUTED, lw=1, ls=DASHED, zorder=1)
    untested = 0
    for row, (_, values, hollow) in enumerate(entries):
        if values is None or values[numbers[:3]].isna().any():
            untested += values is not None
            _say(ax, "not measured" if values is None else "not testable", row)
            continue
        effect, low, high, q = (float(values[c]) for c in numbers)
        tint = (HIGH if effect > 0 else LOW) if q <= alpha else MUTED
        ax.plot([low, high], [row, row], color=tint, lw=1.8, zorder=2, gid="interval")
        ax.plot([effect], [row], "o", ms=6.5, color=tint, mfc="white" if hollow else tint,
                zorder=3, gid="effect")  # fmt: skip
        _say(ax, f"{number(effect)} ({number(low)} to {number(high)})   {_written(q)}", row)
    rows(ax, [name for name, _, _ in entries], 0.6)
    measured = table.loc[known, numbers[:3]].to_numpy(dtype=float)
    reach = 1.08 * float(np.nanmax(np.abs(measured), initial=0.1))
    ax.set_xlim(-reach, reach)
    level = 100 * float(results.attrs.get("confidence") or 0.95)
    contrast = results.attrs.get("contrast")
    label(ax, f"Difference, log2 ({level:g}% CI)" + (f": {contrast}" if contrast else ""))
    absent = len(ids) - len(known)
    entitle(ax, title, [
        f"coloured: q ≤ {alpha:g}",
        "hollow: below LOD in more than half" if any(e[2] for e in entries) else "",
        f"{absent} not measured" if absent else "",
        f"{untested} not testable" if untested else "",
    ])  # fmt: skip
    stamp(ax, synthetic)
    return ax


def _effect_of(values: pd.Series | None) -> float:
    """Return the difference, for sorting; those without one come last."""
    if values is None or pd.isna(values["log_fc"]):
        return -np.inf
    return float(values["log_fc"])


def _say(ax: Axes, text: str, row: int) -> None:
    beside(ax, text, row)
    ax.texts[-1].set_gid("row")


def _written(q: float) -> str:
    if np.isnan(q):
        return "q not known"
    return "q < 0.001" if q < 0.001 else f"q = {q:.3f}"
