"""What bridge samples tell: of samples before and after, of shifts, of two products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..._plot_style import DASHED, INK, MUTED, PALETTE, label, styled
from ...errors import FormatError, list_some
from .._layout import is_assay, values_of
from .._normalization.rows import Ids, pairs, rows_of
from .inputs import assay_names
from .look import (
    HIGH,
    LOW,
    MANY,
    beside_axes,
    check_option,
    count_of,
    entitle,
    place_labels,
    stamp,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_bridge", "plot_bridgeability"]

Floats = NDArray[np.float64]


def plot_bridge(
    reference: AnnData,
    new: AnnData,
    bridge_ids: Ids,
    ax: Axes | None = None,
    *,
    kind: Literal["samples", "assays"] = "samples",
    on: str | None = None,
    labels: Literal["none", "samples"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw how two projects differ in their bridge samples, before and after `bridge_normalize`.

    Parameters
    ----------
    reference, new : anndata.AnnData
        Samples × assays, log2 scale, before the normalisation.
    bridge_ids : iterable, or mapping of reference id to new id
        Ids of the samples that both projects have.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    kind : {"samples", "assays"}, default "samples"
        For each bridge sample the differences of its assays, before and after; or for each
        assay, sorted, what was added, with the quartiles of the bridge samples' differences.
    on : str, optional
        Column of ``obs`` that holds the ids; by default the index.
    labels : {"none", "samples"}, default "none"
        Whether to name the bridge samples; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Differences are reference − new. Boxes: quartiles and median; lines: 5th to 95th
        percentile.

    Raises
    ------
    AlignmentError, FormatError
        As `bridge_normalize`.

    Warns
    -----
    DataWarning
        As `bridge_normalize`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> first = pp.datasets.sample_tn().assays["csf_pea"]  # synthetic
    >>> first = first[first.obs["sample_type"] == "SAMPLE"].copy()
    >>> second = first[:12].copy()
    >>> second.X = second.X - 0.7
    >>> ax = plot_bridge(first, second, second.obs_names, synthetic=True)
    >>> ax.get_xlabel()
    '12 bridge samples, sorted by their difference'
    """
    check_option(kind, "kind", ("samples", "assays"))
    check_option(labels, "labels", ("none", "samples"))
    from ..normalization import bridge_normalize

    both = bridge_normalize(reference, new, bridge_ids, on=on, assays="shared")
    shared = both.var_names[is_assay(both)]
    added = both.varm["adjustment"]["new"].reindex(shared).to_numpy(dtype=np.float64)
    theirs, own = pairs(bridge_ids)
    rows_ref = rows_of(reference, theirs, on=on, project="reference", what="bridge ids")
    rows_new = rows_of(new, own, on=on, project="new", what="bridge ids")
    before = values_of(reference[rows_ref][:, shared]) - values_of(new[rows_new][:, shared])
    if kind == "samples":
        ax = _samples(ax, before, before - added, theirs, labels)
    else:
        ax = _assays(ax, before, added)
    measured = ~np.isnan(before).all(axis=0)
    lost = int((~measured).sum())
    entitle(ax, "Bridge samples" if kind == "samples" else "What was added to each assay", [
        f"{count_of(len(theirs), 'bridge sample')}, {count_of(int(measured.sum()), 'assay')}",
        _spread(before, added),
        f"{count_of(lost, 'assay')} without a bridge value" if lost else "",
    ])  # fmt: skip
    stamp(ax, synthetic)
    return ax


def _spread(before: Floats, added: Floats) -> str:
    then, now = (float(np.nanmedian(np.abs(d))) for d in (before, before - added))
    return f"median |difference| {then:.2f} before, {now:.2f} after"


def _samples(ax: Axes | None, before: Floats, after: Floats, names: list[Any], labels: str) -> Axes:
    known = ~np.asarray(np.isnan(before).all(axis=1))
    middle = np.full(len(before), np.inf)
    middle[known] = np.nanmedian(before[known], axis=1)
    order = np.argsort(middle, kind="stable")
    order = order[known[order]]
    ax = styled(ax, (float(np.clip(3.2 + 0.22 * len(order), 6.0, 12.0)), 4.6), "")
    ax.axhline(0, color=MUTED, lw=1, zorder=1)
    handles = []
    for side, (values, tint, word) in enumerate(((before, HIGH, "before"), (after, LOW, "after"))):
        x = np.arange(len(order)) + (-0.2, 0.2)[side]
        q = np.nanpercentile(values[order], [5, 25, 50, 75, 95], axis=1)
        wide = float(np.clip(220 / max(len(order), 1), 1.5, 9))
        ax.vlines(x, q[0], q[4], color=tint, lw=0.9, zorder=2, gid=f"{word} reach")
        handles.append(ax.vlines(x, q[1], q[3], color=tint, lw=wide, alpha=0.55, zorder=3,
                                 gid=f"{word} quartiles", label=word))  # fmt: skip
        ax.scatter(x, q[2], s=float(np.clip(wide**2, 5, 26)), color=INK, marker="_", lw=1.4,
                   zorder=4, gid=f"{word} medians")  # fmt: skip
    ax.set_xlim(-0.8, len(order) - 0.2)
    if labels == "samples":
        ax.set_xticks(range(len(order)), [str(names[i]) for i in order], rotation=90, fontsize=7)
    else:
        ax.set_xticks([])
    label(ax, f"{count_of(len(order), 'bridge sample')}, sorted by their difference",
          "Reference − new, log2")  # fmt: skip
    beside_axes(ax, handles)
    return ax


def _assays(ax: Axes | None, before: Floats, added: Floats) -> Axes:
    known = np.flatnonzero(~np.isnan(before).all(axis=0))
    order = known[np.argsort(added[known], kind="stable")]
    low, high = np.nanpercentile(before[:, order], [25, 75], axis=0)
    ax = styled(ax, (7.2, 4.4), "")
    ax.axhline(0, color=MUTED, lw=1, zorder=1)
    x, raster = np.arange(1, len(order) + 1), len(order) > MANY
    wide = float(np.clip(350 / max(len(order), 1), 0.4, 3))
    ax.vlines(x, low, high, color=PALETTE[5], lw=wide, alpha=0.8, zorder=2, rasterized=raster,
              gid="quartiles", label="quartiles of the bridge samples")  # fmt: skip
    ax.scatter(x, added[order], s=float(np.clip(2500 / max(len(order), 1), 5, 16)), color=LOW,
               lw=0, zorder=3, rasterized=raster, gid="added", label="added")  # fmt: skip
    ax.margins(x=0.02)
    label(ax, "Assays, sorted by what was added", "Reference − new, log2")
    beside_axes(ax)
    return ax


_KINDS = {  # recommendation: colour, marker, words
    "median": (PALETTE[0], "o", "a shift is enough"),
    "quantile": (PALETTE[2], "s", "quantiles are mapped"),
    "not_bridgeable": (PALETTE[1], "^", "not bridgeable"),
}


def plot_bridgeability(
    table: pd.DataFrame, ax: Axes | None = None, *, labels: int = 0, synthetic: bool = False
) -> Axes:
    """Draw which assays of two products can be brought to one scale, and how.

    Parameters
    ----------
    table : pandas.DataFrame
        What `bridgeability` gave: ``range_difference``, ``r2``, ``recommendation``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    labels : int, default 0
        How many of the assays that aren't bridgeable to name, those with the lowest r².
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Dashed: 1 NPX and r² = 0.8. An assay to the right of one and below the other is not
        bridgeable if its counts are low too. The caption counts assays without numbers.

    Raises
    ------
    FormatError
        When the table isn't that of `bridgeability`, or no assay has numbers.

    Examples
    --------
    >>> table = pd.DataFrame({"range_difference": [0.2, 1.6], "r2": [0.9, 0.3],
    ...     "recommendation": ["median", "not_bridgeable"]}, index=["OID1", "OID2"])
    >>> ax = plot_bridgeability(table)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['a shift is enough (1)', 'not bridgeable (1)']
    """
    needed = ["range_difference", "r2", "recommendation"]
    if not isinstance(table, pd.DataFrame) or not set(needed) <= set(table):
        found = list_some(list(table), 12) if isinstance(table, pd.DataFrame) else type(table)
        raise FormatError(
            f"expected the table of `bridgeability` with {list_some(needed)}, found {found}",
            where="table",
        )
    strange = set(table["recommendation"]) - set(_KINDS)
    if strange:
        raise FormatError(
            f"expected recommendations {list_some(_KINDS)}, found {list_some(strange)}",
            where="table['recommendation']",
        )
    numbers = table[needed[:2]].to_numpy(dtype=np.float64)
    known = np.isfinite(numbers).all(axis=1)
    if not known.any():
        raise FormatError("expected assays with numbers, found none", where="table")
    ax = styled(ax, (6.8, 4.8), "")
    size = float(np.clip(2500 / len(table), 8, 26))
    kinds = table["recommendation"].to_numpy()
    for name, (tint, shape, words) in _KINDS.items():
        chosen = known & (kinds == name)
        if chosen.any():
            ax.scatter(
                numbers[chosen, 0], numbers[chosen, 1], color=tint, marker=shape, lw=0, alpha=0.8,
                s=1.7 * size if name == "not_bridgeable" else size, gid=name,
                rasterized=len(table) > MANY, label=f"{words} ({chosen.sum():,})", zorder=3,
            )  # fmt: skip
    ax.axvline(1, color=MUTED, lw=1, ls=DASHED, zorder=1)
    ax.axhline(0.8, color=MUTED, lw=1, ls=DASHED, zorder=1)
    ax.set_ylim(-0.03, 1.03)
    label(ax, "Difference of the spans (90% − 10% quantile), NPX", "r² of the bridge samples")
    beside_axes(ax)
    lost = int((~known).sum())
    entitle(ax, "Assays of two products", [
        count_of(int(known.sum()), "assay"),
        f"{lost:,} without numbers, not drawn" if lost else "",
    ])  # fmt: skip
    worst = np.flatnonzero(known & (kinds == "not_bridgeable"))
    worst = worst[np.argsort(numbers[worst, 1], kind="stable")][:labels]
    place_labels(ax, numbers[worst], assay_names(table.iloc[worst]), numbers[known])
    stamp(ax, synthetic)
    return ax
