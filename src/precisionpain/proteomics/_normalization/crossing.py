"""Assays and bridge samples of two products, side by side; and both projects in one AnnData."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, list_some
from .._layout import about, is_assay, lod_of, make_adata, values_of
from .combine import Piece, combine
from .rows import pairs, rows_of
from .steps import log_step
from .usable import lod_names, usable

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Crossing", "cross", "joined"]

Array = NDArray[np.float64]


class Crossing:
    """Pairs of assays, and the bridge samples of both projects, in one order.

    Parameters
    ----------
    reference, new : anndata.AnnData
    names : tuple of pandas.Index
        Assays of the reference and of the new project, pair by pair.
    columns : tuple of numpy.ndarray
        Their places.
    rows : tuple of numpy.ndarray
        Places of the bridge samples.
    values : tuple of numpy.ndarray of shape (bridges, pairs)
        NaN for what may not be learned from.
    counted : tuple of numpy.ndarray, or None
        Counts of the same.
    """

    def __init__(
        self,
        reference: AnnData,
        new: AnnData,
        names: tuple[pd.Index, pd.Index],
        columns: tuple[NDArray[np.intp], NDArray[np.intp]],
        rows: tuple[NDArray[np.intp], NDArray[np.intp]],
        values: tuple[Array, Array],
        counted: tuple[Array, Array] | None,
    ) -> None:
        self.reference = reference
        self.new = new
        self.names = names
        self.columns = columns
        self.rows = rows
        self.values = values
        self.counted = counted
        self.n_pairs = len(names[0])

    def pair(self, j: int) -> tuple[Array, Array]:
        """Return the values of one pair."""
        return self.values[0][:, j], self.values[1][:, j]

    def counts(self, j: int) -> tuple[Array | None, Array | None]:
        """Return the counts of one pair."""
        if self.counted is None:
            return None, None
        return self.counted[0][:, j], self.counted[1][:, j]


def cross(
    reference: AnnData,
    new: AnnData,
    bridge_ids: Any,
    mapping: Mapping[str, str] | pd.Series | None,
    on: str | None,
    exclude_qc: Collection[str],
) -> Crossing:
    """Match assays and bridge samples.

    Raises
    ------
    AlignmentError
        When no assay matches, or bridge ids don't.
    """
    for adata, where in ((reference, "reference"), (new, "new")):
        if not adata.var_names.is_unique:
            twice = adata.var_names[adata.var_names.duplicated()]
            raise AlignmentError(f"assays are there twice: {list_some(twice)}", where=where)
    to = (
        pd.Series(new.var_names, index=new.var_names, dtype=object)
        if mapping is None
        else pd.Series(mapping, dtype=object)
    )
    if not to.index.is_unique:
        twice = to.index[to.index.duplicated()].unique()
        raise AlignmentError(
            f"assays of the new project go to several of the reference: {list_some(twice)}",
            where="mapping",
        )
    # In the order of the new project, not of the mapping.
    own = new.var_names[new.var_names.isin(to.index) & is_assay(new)]
    target = pd.Index(to.loc[own])
    there = target.isin(reference.var_names[is_assay(reference)])
    names = (target[there], own[there])
    if not len(names[0]):
        raise AlignmentError(
            "no assay of the new project goes to one of the reference",
            where="mapping" if mapping is not None else "var_names",
            remedy="pass mapping= from the new product's OlinkIDs to those of the reference",
        )
    old_ids, new_ids = pairs(bridge_ids)
    columns = (reference.var_names.get_indexer(names[0]), new.var_names.get_indexer(names[1]))
    rows = (
        rows_of(reference, old_ids, on=on, project="reference", what="bridge ids"),
        rows_of(new, new_ids, on=on, project="new", what="bridge ids"),
    )
    values, counted = [], []
    for adata, row, column in zip((reference, new), rows, columns, strict=True):
        use = np.broadcast_to(usable(adata, exclude_qc), adata.shape)
        cell = np.ix_(row, column)
        values.append(np.where(use[cell], values_of(adata)[cell], np.nan))
        if "count" in adata.layers:
            counted.append(np.asarray(adata.layers["count"], dtype=np.float64)[cell])
    return Crossing(
        reference, new, names, columns, rows, (values[0], values[1]),
        (counted[0], counted[1]) if len(counted) == 2 else None,
    )  # fmt: skip


def joined(
    crossing: Crossing,
    table: pd.DataFrame,
    values: Array,
    smooth: Array,
    projects: tuple[str, str],
    keep_bridges: bool,
) -> AnnData:
    """Put both projects together, each assay as the table says."""
    bridged = (table["recommendation"] != "not_bridgeable").to_numpy()
    by_quantile = (table["recommendation"] == "quantile").to_numpy()
    place = crossing.columns[1]
    median = values[:, place] + table["shift"].to_numpy()
    layers = {"measured": values.copy()}
    for name, mapped in (("median_centered", median), ("quantile_smoothed", smooth)):
        layers[name] = np.full(values.shape, np.nan)
        layers[name][:, place] = mapped
    best = values.copy()
    best[:, place] = np.where(by_quantile, smooth, np.where(bridged, median, values[:, place]))

    # One name for both; several assays of the new product may share one of the reference.
    pair = [a if a == b else f"{a}_{b}" for a, b in zip(*crossing.names, strict=True)]
    new_names = crossing.new.var_names.to_numpy(dtype=object).copy()
    shared_ids = set(new_names) & set(crossing.reference.var_names)
    matched = set(np.array(pair, dtype=object)[bridged])
    for j, name in zip(place[bridged], np.array(pair, dtype=object)[bridged], strict=True):
        new_names[j] = name
    for j, name in enumerate(new_names):
        # The same id that must not be compared needs a column of its own.
        if name in shared_ids and name not in matched:
            new_names[j] = f"{name} ({projects[1]})"
    new = _with(crossing.new, best, new_names, layers)
    # A new project's limits make no sense on the other scale.
    limits = lod_names(crossing.reference)
    source = pd.Series(crossing.columns[0][bridged], np.array(pair, dtype=object)[bridged])
    reference = _repeated(crossing.reference, source)
    for name in dict.fromkeys([*limits, *lod_names(crossing.new)]):
        own = lod_of(crossing.new, name)
        layer = np.full(values.shape, np.nan) if own is None else own
        theirs = lod_of(crossing.reference, name)
        columns = place[bridged]
        if theirs is None:
            layer[:, columns] = np.nan
        else:
            top = np.where(np.isnan(theirs), -np.inf, theirs).max(axis=0)
            layer[:, columns] = np.where(np.isinf(top), np.nan, top)[source.to_numpy()]
        new.layers[name] = layer
        if name in new.var:
            del new.var[name]
    bridge = np.zeros(new.n_obs, dtype=bool)
    bridge[crossing.rows[1]] = True
    extra = new.var_names[~new.var_names.isin(reference.var_names)]
    out = combine(
        [
            Piece(projects[0], reference, np.zeros(reference.n_vars),
                  np.zeros(reference.n_obs, dtype=bool), True),
            Piece(projects[1], new, np.zeros(new.n_vars), bridge, keep_bridges),
        ],
        reference.var_names.append(extra),
    )  # fmt: skip
    del out.varm["adjustment"]
    info = table.reset_index(names="new_assay").set_axis(new.var_names[place], axis=0)
    for name in info.columns.difference(["gene"], sort=False):
        out.var[name] = info[name].reindex(out.var_names)
    said = out.var["recommendation"].astype(object)
    # A column of the reference that nothing was brought to says so too.
    said[out.var_names.isin(crossing.names[0][~bridged]) & said.isna()] = "not_bridgeable"
    out.var["recommendation"] = said.fillna("not_overlapping")
    counted = table["recommendation"].value_counts()
    log_step(
        out,
        {
            "method": "cross_product", "project": projects[1], "reference": [projects[0]],
            "n_bridges": len(crossing.rows[0]),
            **{f"n_{kind}": int(counted.get(kind, 0))
               for kind in ("median", "quantile", "not_bridgeable")},
            "n_assays_only_in_reference": int((~np.isin(
                np.arange(crossing.reference.n_vars), crossing.columns[0])).sum()),
            "n_assays_only_in_new": crossing.new.n_vars - crossing.n_pairs,
        },
    )  # fmt: skip
    return out


def _with(
    adata: AnnData, values: Array, names: NDArray[Any], layers: Mapping[str, Array]
) -> AnnData:
    out = adata.copy()
    out.X = values
    out.var_names = pd.Index(names)
    for name, layer in layers.items():
        out.layers[name] = layer
    return out


def _repeated(reference: AnnData, source: pd.Series) -> AnnData:
    """Return the reference with a column for each pair that it is part of."""
    columns, names = [], []
    pairs_of: dict[int, list[str]] = {}
    for name, j in source.items():
        pairs_of.setdefault(int(j), []).append(str(name))
    for j, name in enumerate(reference.var_names):
        for pair in pairs_of.get(j, [name]):
            columns.append(j)
            names.append(pair)
    values = values_of(reference)[:, columns]
    layers = {name: np.asarray(layer)[:, columns] for name, layer in reference.layers.items()}
    layers |= {"measured": values, "median_centered": values, "quantile_smoothed": values}
    tables = {k: t for k, t in reference.obsm.items() if isinstance(t, pd.DataFrame)}
    var = reference.var.iloc[columns].set_axis(pd.Index(names), axis=0)
    return make_adata(values, reference.obs, var, layers=layers, obsm=tables, **about(reference))
