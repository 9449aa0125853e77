"""Samples as points of a plane: principal components, and UMAP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..._plot_style import label, styled
from ...errors import FormatError
from .._layout import values_of
from .inputs import Groups, grouping, measured_people
from .look import check_option, count_of, entitle, place_labels, scatter_groups, stamp

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["plot_pca", "plot_umap"]

Missing = Literal["drop", "mean"]


def plot_pca(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    group: Groups | None = None,
    components: tuple[int, int] = (1, 2),
    scale: bool = True,
    missing: Missing = "drop",
    labels: Literal["none", "samples"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw the samples along two principal components.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale; control samples and control assays are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    group : str, mapping or pandas.Series, optional
        What to colour by: a column of ``obs``, or the group of each person by ``subject_id``;
        numbers are drawn on a scale.
    components : (int, int), default (1, 2)
        Which, counted from 1.
    scale : bool, default True
        Whether proteins are divided by their standard deviation, after their mean was taken.
    missing : {"drop", "mean"}, default "drop"
        Leave out proteins with missing values, or put the protein's mean there, which draws
        samples with many missing values towards the middle.
    labels : {"none", "samples"}, default "none"
        Whether to name the samples; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        The axes tell the share of the variance. The caption counts what was left out. The sign
        of a component means nothing.

    Raises
    ------
    FormatError
        When fewer than two proteins or three samples are left, there are no such components,
        or the group isn't there.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> ax = plot_pca(sample_tn().assays["csf_pea"], group="visit", synthetic=True)
    >>> sorted(text.get_text() for text in ax.get_legend().get_texts())
    ['followup (10)', 'preop (26)']
    """
    check_option(labels, "labels", ("none", "samples"))
    people, controls = measured_people(adata)
    people, values, notes = _complete(people, missing)
    first, second = _check_components(components, values.shape)
    from sklearn.decomposition import PCA

    values = values - values.mean(axis=0)
    if scale:
        values = values / values.std(axis=0, ddof=1)
    pca = PCA(n_components=max(first, second), random_state=0).fit(values)
    xy = pca.transform(values)[:, [first - 1, second - 1]]
    share = 100 * pca.explained_variance_ratio_
    ax = _draw(ax, people, xy, group)
    label(ax, *(f"Component {c} ({share[c - 1]:.1f}% of the variance)" for c in (first, second)))
    entitle(ax, "Principal components", [
        f"{count_of(len(xy), 'sample')}, {count_of(values.shape[1], 'protein')}"
        + (", scaled" if scale else ""),
        *notes,
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    _name(ax, people, xy, labels)
    stamp(ax, synthetic)
    return ax


def plot_umap(
    adata: AnnData,
    ax: Axes | None = None,
    *,
    group: Groups | None = None,
    n_neighbors: int = 15,
    missing: Missing = "drop",
    random_state: int = 0,
    labels: Literal["none", "samples"] = "none",
    synthetic: bool = False,
) -> Axes:
    """Draw the samples on a UMAP: the one of the AnnData, or a new one by scanpy.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale; control samples are left out. Where ``obsm["X_umap"]`` is
        there, as scanpy leaves it, that is drawn. Else it is computed, on a copy: principal
        components of the proteins in standard deviations, their neighbours, UMAP.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    group : str, mapping or pandas.Series, optional
        What to colour by, as in `plot_pca`.
    n_neighbors : int, default 15
        Neighbours of a sample; less one than there are samples at most.
    missing : {"drop", "mean"}, default "drop"
        As in `plot_pca`.
    random_state : int, default 0
        Seed.
    labels : {"none", "samples"}, default "none"
        Whether to name the samples; names can tell who people are.
    synthetic : bool, default False
        Whether to mark the figure as one of made-up people.

    Returns
    -------
    matplotlib.axes.Axes
        Distances between clusters, and their sizes, mean nothing.

    Raises
    ------
    FormatError
        When fewer than two proteins or three samples are left, or the group isn't there.

    Examples
    --------
    >>> from precisionpain.datasets import sample_tn
    >>> csf = sample_tn().assays["csf_pea"]  # synthetic
    >>> csf.obsm["X_umap"] = csf.X[:, :2]  # in life: scanpy.tl.umap(csf)
    >>> ax = plot_umap(csf, group="visit", synthetic=True)
    >>> ax.get_xlabel()
    'UMAP 1'
    """
    check_option(labels, "labels", ("none", "samples"))
    people, controls = measured_people(adata)
    if "X_umap" in people.obsm:
        xy = np.asarray(people.obsm["X_umap"], dtype=np.float64)[:, :2]
        placed = np.isfinite(xy).all(axis=1)
        people, xy = people[placed], xy[placed]
        notes = ["as in obsm['X_umap']"]
        if not placed.all():
            notes.append(f"{count_of(int((~placed).sum()), 'sample')} without a place left out")
    else:
        people, values, notes = _complete(people, missing)
        xy = _umap(values, n_neighbors, random_state)
        notes = [f"{count_of(values.shape[1], 'protein')}, scaled", *notes]
    ax = _draw(ax, people, xy, group)
    ax.set(xticks=[], yticks=[])
    label(ax, "UMAP 1", "UMAP 2")
    entitle(ax, "UMAP", [
        count_of(len(xy), "sample"), *notes,
        f"{count_of(controls, 'control sample')} left out" if controls else "",
    ])  # fmt: skip
    _name(ax, people, xy, labels)
    stamp(ax, synthetic)
    return ax


def _umap(values: NDArray[np.float64], n_neighbors: int, random_state: int) -> NDArray[Any]:
    """Compute a UMAP as scanpy does, of principal components of scaled proteins."""
    import scanpy
    from anndata import AnnData

    if n_neighbors < 2:
        raise FormatError(f"expected at least 2 neighbours, found {n_neighbors}")
    work = AnnData((values - values.mean(axis=0)) / values.std(axis=0, ddof=1))
    scanpy.pp.pca(work, n_comps=min(50, min(values.shape) - 1), random_state=random_state)
    scanpy.pp.neighbors(work, min(n_neighbors, len(values) - 1), random_state=random_state)
    scanpy.tl.umap(work, random_state=random_state)
    return np.asarray(work.obsm["X_umap"], dtype=np.float64)


def _complete(people: AnnData, missing: Missing) -> tuple[AnnData, NDArray[np.float64], list[str]]:
    """Return samples and values without gaps, and what became of those that had some."""
    check_option(missing, "missing", ("drop", "mean"))
    values = values_of(people)
    empty = np.asarray(np.isnan(values).all(axis=1))
    people, values = people[~empty], values[~empty]
    gaps = np.isnan(values)
    absent = np.asarray(gaps.all(axis=0))
    mean = np.zeros(values.shape[1])
    mean[~absent] = np.nanmean(values[:, ~absent], axis=0)
    notes = []
    if missing == "mean":
        filled = int(gaps[:, ~absent].sum())
        values = np.where(gaps, mean, values)
        keep = ~absent
        notes.append(f"{filled:,} missing values set to the protein's mean" if filled else "")
        lost = int(absent.sum())
        notes.append(f"{count_of(lost, 'protein')} never measured left out" if lost else "")
    else:
        keep = ~np.asarray(gaps.any(axis=0))
        lost = int((~keep).sum())
        notes.append(f"{count_of(lost, 'protein')} with missing values left out" if lost else "")
    varies = np.zeros(len(keep), dtype=bool)
    if len(values):
        varies[keep] = np.ptp(values[:, keep], axis=0) > 0
    constant = int((keep & ~varies).sum())
    if constant:
        notes.append(f"{count_of(constant, 'constant protein')} left out")
    if empty.any():
        notes.append(f"{count_of(int(empty.sum()), 'sample')} without a value left out")
    if varies.sum() < 2 or len(values) < 3:
        raise FormatError(
            f"expected at least 3 samples and 2 complete, varying proteins, found {len(values)} "
            f"and {int(varies.sum())}",
            where="adata",
            remedy="missing='mean', or impute first" if gaps.any() else None,
        )
    return people, values[:, varies], [note for note in notes if note]


def _check_components(components: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    most = min(shape[0] - 1, shape[1])
    try:
        first, second = (int(c) for c in components)
        fine = 1 <= first <= most and 1 <= second <= most and first != second
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise FormatError(
            f"expected two different components from 1 to {most}, found {components!r}",
            where="components",
        )
    return first, second


def _draw(ax: Axes | None, people: AnnData, xy: NDArray[Any], group: Groups | None) -> Axes:
    groups = None if group is None else grouping(people.obs, group)
    ax = styled(ax, (6.4, 5.0) if groups else (5.4, 5.0), "")
    scatter_groups(ax, xy, groups)
    ax.margins(0.07)
    return ax


def _name(ax: Axes, people: AnnData, xy: NDArray[Any], labels: str) -> None:
    """Name the samples; after the caption, since places depend on the size of the axes."""
    if labels == "none":
        return
    if len(xy) > 200:
        raise FormatError(
            f"expected at most 200 samples to name, found {len(xy)}", where="labels",
            remedy="draw a part of the samples, or labels='none'",
        )  # fmt: skip
    place_labels(ax, xy, [str(name) for name in people.obs_names], xy)
