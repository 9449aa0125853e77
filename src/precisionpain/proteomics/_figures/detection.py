"""What isn't seen: values below the limit of detection, and intensities that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..._plot_style import DASHED, MUTED, PALETTE, colour, label, styled
from ...errors import FormatError
from .._layout import values_of
from .inputs import assay_names, limits_of_detection, measured_people, panel_of
from .look import (
    HIGH,
    MANY,
    beside_axes,
    count_of,
    entitle,
    marker,
    place_labels,
    stamp,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_lod", "plot_missing"]


def plot_lod(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    panel: str | None = None,
    flag: float = 0.5,
    labels: int = 0,
    synthetic: bool = False,
) -> Axes:
    """Draw the share of samples below the limit of detection, assays sorted by it.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, NPX, with ``layers["lod"]`` or ``var["lod"]``; control samples and
        control assays are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    panel : str, optional
        Only this panel; by default each panel is a curve.
    flag : float, default 0.5
        Assays with a larger share below are counted as hardly detected.
    labels : int, default 0
        How many assays to name, those with the largest share.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        One point of the curve per assay of which a value and a limit are known. The caption
        counts the others.

    Raises
    ------
    FormatError
        When no limit of detection is known, or there is no such panel.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> ax = plot_lod(sample_tn().assays["csf_pea"], synthetic=True)
    >>> ax.get_ylabel()
    'Samples below the limit of detection (%)'
    """
    if not 0 <= flag < 1:
        raise FormatError(f"expected a share from 0 to 1, found {flag!r}", where="flag")
    people, controls = measured_people(adata, panel)
    values, limit = values_of(people), limits_of_detection(people)
    known = ~np.isnan(values) & ~np.isnan(limit)
    n = known.sum(axis=0)
    if not n.any():
        raise FormatError("expected values with a limit of detection, found none", where="adata")
    with np.errstate(invalid="ignore"):
        below = 100 * (known & (values < limit)).sum(axis=0) / n
    panels = panel_of(people)
    ax = styled(ax, (6.6, 4.6), "")
    names = sorted(set(panels[n > 0]))
    place = np.full(len(n), np.nan)
    for number, name in enumerate(names):
        own = np.flatnonzero((panels == name) & (n > 0))
        own = own[np.argsort(-below[own], kind="stable")]
        place[own] = 100 * (np.arange(len(own)) + 0.5) / len(own)
        many = int((below[own] > 100 * flag).sum())
        # Points where they can be told apart.
        ax.plot(
            place[own], below[own], color=colour(number), lw=1.6, alpha=0.85, zorder=3,
            marker=marker(number), ms=4 if len(own) <= 200 else 0, mew=0, gid=f"panel {name}",
            label=f"{name or 'assays'}: {many:,} of {len(own):,}",
        )  # fmt: skip
    ax.axhline(100 * flag, color=MUTED, lw=1, ls=DASHED, zorder=1)
    ax.set(xlim=(-1, 101), ylim=(-3, 103))
    label(ax, "Assays, sorted" + (" within their panel" if len(names) > 1 else "")
          + " (% of them)", "Samples below the limit of detection (%)")  # fmt: skip
    beside_axes(ax, title=f"more than {100 * flag:g}% below")
    lost = int((n == 0).sum())
    entitle(ax, "Limit of detection" + (f": {panel}" if panel else ""), [
        f"{count_of(int((n > 0).sum()), 'assay')}, {count_of(people.n_obs, 'sample')}",
        f"{count_of(lost, 'assay')} without a limit or a value, not drawn" if lost else "",
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    if labels:
        worst = np.argsort(-np.where(n > 0, below, -1), kind="stable")[: min(labels, len(n))]
        worst = worst[n[worst] > 0]
        places = np.column_stack([place, below])
        words = assay_names(people.var.iloc[worst])
        place_labels(ax, places[worst], words, places[n > 0])
    stamp(ax, synthetic)
    return ax


def plot_missing(
    adata: AnnData, ax: Axes | None = None, *, bins: int = 20, synthetic: bool = False
) -> Axes:
    """Draw the share of missing values of each protein against its intensity.

    Where the share falls as the intensity rises, values are missing because they are low.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × protein groups, log2 scale; missing is NaN. Control samples are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    bins : int, default 20
        Of as many proteins each, whose mean share is drawn as a line; fewer where a bin would
        have less than 5 proteins.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        One point per protein at the mean of its measured values. The caption counts proteins
        that were never measured, which have no place.

    Raises
    ------
    FormatError
        When nothing was measured, or there are fewer than one bin.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> ax = plot_missing(sample_tn().assays["csf_lfq"], synthetic=True)
    >>> ax.get_xlabel()
    'Mean of the measured values, log2'
    """
    if bins < 1:
        raise FormatError(f"expected at least 1 bin, found {bins!r}", where="bins")
    people, controls = measured_people(adata)
    values = values_of(people)
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    some = n > 0
    if not some.any():
        raise FormatError("expected measured values, found none", where="adata.X")
    mean = np.where(known, values, 0).sum(axis=0)[some] / n[some]
    share = 100 * (1 - n[some] / len(values))
    ax = styled(ax, (6.4, 4.6), "")
    ax.scatter(mean, share, s=float(np.clip(4000 / len(mean), 7, 22)), color=PALETTE[0],
               alpha=0.6 if len(mean) < 500 else 0.3, lw=0, zorder=2, gid="proteins",
               rasterized=len(mean) > MANY)  # fmt: skip
    parts = np.array_split(np.argsort(mean, kind="stable"), min(bins, max(1, len(mean) // 5)))
    ax.plot([mean[p].mean() for p in parts], [share[p].mean() for p in parts], "o-", ms=4,
            color=HIGH, lw=2, zorder=4, gid="bins", label="mean of a bin")  # fmt: skip
    ax.set_ylim(-3, 103)
    label(ax, "Mean of the measured values, log2", "Samples in which it's missing (%)")
    never = int((~some).sum())
    entitle(ax, "Missing values against intensity", [
        f"{count_of(int(some.sum()), 'protein')}, {count_of(people.n_obs, 'sample')}",
        f"{100 * (1 - known.mean()):.1f}% of all values missing",
        f"{count_of(int((n == len(values)).sum()), 'protein')} complete",
        f"line: mean of {count_of(len(parts), 'bin')} of as many proteins",
        f"{never:,} never measured, not drawn" if never else "",
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    stamp(ax, synthetic)
    return ax
