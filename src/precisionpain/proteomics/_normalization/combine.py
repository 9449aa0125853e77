"""Several projects become one AnnData: rows under each other, assays matched by their id."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, DataWarning, list_some
from .._layout import about, is_sample, lod_of, make_adata, values_of
from .steps import plain
from .usable import lod_names

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Piece", "combine"]

Array = NDArray[np.float64]


class Piece:
    """A project, what is added to its assays, and whether its copies of bridges stay."""

    def __init__(
        self,
        name: str,
        adata: AnnData,
        shift: Array,
        bridge: NDArray[np.bool_],
        keep_bridges: bool,
    ) -> None:
        self.name = name
        self.adata = adata
        self.shift = shift
        self.bridge = bridge
        self.keep = np.ones(adata.n_obs, dtype=bool) if keep_bridges else ~bridge


def combine(pieces: Sequence[Piece], assays: pd.Index) -> AnnData:
    """Put projects together.

    Parameters
    ----------
    pieces : sequence of Piece
        The reference first.
    assays : pandas.Index
        Columns of the result; a project that lacks one has NaN there.

    Returns
    -------
    anndata.AnnData
        ``obs["project"]``; ``varm["adjustment"]`` (assays × projects); limits of detection as
        layers, moved like the values; ``var["max_lod"]``.
    """
    names = _unique_names(pieces)
    places = [assays.get_indexer(piece.adata.var_names) for piece in pieces]
    kept = [int(piece.keep.sum()) for piece in pieces]
    ends = np.cumsum(kept)

    def stacked(parts: Sequence[Array | None]) -> Array:
        whole = np.full((int(ends[-1]), len(assays)), np.nan)
        for part, piece, place, n, end in zip(parts, pieces, places, kept, ends, strict=True):
            if part is None:
                continue
            if n < len(part):
                part = part[piece.keep]
            if len(place) == len(assays) and (place == np.arange(len(place))).all():
                whole[end - n : end] = part
            else:
                whole[end - n : end, place[place >= 0]] = part[:, place >= 0]
        return whole

    layers: dict[str, Any] = {}
    limits = list(dict.fromkeys(n for piece in pieces for n in lod_names(piece.adata)))
    for name in limits:
        moved = [_added(lod_of(piece.adata, name), piece.shift) for piece in pieces]
        layers[name] = stacked(moved)
    words: dict[str, list[str]] = {}
    for name in dict.fromkeys(n for piece in pieces for n in piece.adata.layers):
        if name not in limits:
            layers[name] = stacked(_layer(pieces, name, words))
    obs = pd.concat([_obs(piece) for piece in pieces])
    obs.index = pd.Index(names, name=pieces[0].adata.obs_names.name)
    old = np.concatenate([_ids(piece) for piece in pieces])
    if (old != np.array(names, dtype=object)).any():
        obs["original_id"] = old
    known = _known(pieces)
    if words:
        known["categories"] = words
    values = stacked([_added(values_of(piece.adata), piece.shift) for piece in pieces])
    out = make_adata(values, obs, _var(pieces, assays, layers), layers=layers, **known)
    for name, table in _obsm(pieces, names).items():
        out.obsm[name] = table
    for name, table in _varm(pieces, assays).items():
        out.varm[name] = table
    return out


def _layer(pieces: Sequence[Piece], name: str, words: dict[str, list[str]]) -> list[Array | None]:
    """Return a layer of each project; codes of text are brought to one list of words."""
    out: list[Array | None] = []
    for piece in pieces:
        layer = piece.adata.layers.get(name)
        own = about(piece.adata).get("categories", {}).get(name)
        if layer is not None and own is not None:
            known = words.setdefault(name, [])
            known += [str(word) for word in own if str(word) not in known]
            # −1 says missing, and takes the last place.
            code = np.array([*(known.index(str(word)) for word in own), -1], dtype=np.float64)
            layer = code[np.asarray(layer).astype(np.intp)]
        out.append(None if layer is None else np.asarray(layer, dtype=np.float64))
    return out


def _added(values: Array | None, shift: Array) -> Array | None:
    if values is not None:
        values += shift
    return values


def _ids(piece: Piece) -> NDArray[Any]:
    """Return the ids that samples had at first."""
    obs = piece.adata.obs
    ids = obs.get("original_id", piece.adata.obs_names)
    return np.asarray(ids, dtype=object)[piece.keep]


def _unique_names(pieces: Sequence[Piece]) -> list[str]:
    """Return the ids of the samples; one that another project has too gets its project's name."""
    seen: set[str] = set()
    names, twice = [], []
    for piece in pieces:
        # Controls share their names everywhere, and bridges are known to be there twice.
        unexpected = (is_sample(piece.adata) & ~piece.bridge)[piece.keep]
        own = piece.adata.obs_names[piece.keep]
        if own.has_duplicates:
            raise AlignmentError(
                f"{int(own.duplicated().sum())} ids of samples are there twice: "
                f"{list_some(own[own.duplicated()])}",
                where=f"project {piece.name!r}", remedy="make obs_names unique",
            )  # fmt: skip
        for name, surprise in zip(own, unexpected, strict=True):
            new, number = name, 1
            while new in seen:
                new = f"{name} ({piece.name}{'' if number == 1 else f' {number}'})"
                number += 1
            if new != name and surprise:
                twice.append(name)
            names.append(new)
            seen.add(new)
    if twice:
        warnings.warn(
            DataWarning(
                f"{len(twice)} ids are in several projects and were not named as bridges: "
                f"{list_some(twice)}. They are kept apart, with their project in the name."
            ),
            stacklevel=5,
        )
    return names


def _obs(piece: Piece) -> pd.DataFrame:
    obs = piece.adata.obs.loc[piece.keep].copy()
    obs["project"] = (
        piece.name + ": " + obs["project"].astype(str) if _several(piece) else piece.name
    )
    return obs


def _several(piece: Piece) -> bool:
    """Tell whether it is a result of joining itself; its projects then keep their names."""
    return "project" in piece.adata.obs and piece.adata.obs["project"].nunique() > 1


def _var(pieces: Sequence[Piece], assays: pd.Index, layers: dict[str, Any]) -> pd.DataFrame:
    """Describe the assays by the first project that knows; limits by the highest of all."""
    first = pieces[0].adata.var
    tables = [piece.adata.var for piece in pieces]
    for table in tables:
        # Categories of two projects differ; text doesn't.
        if any(isinstance(dtype, pd.CategoricalDtype) for dtype in table.dtypes):
            tables = [_as_text(t) for t in tables]
            break
    var = tables[0].reindex(assays)
    for table in tables[1:]:
        if not table.index.equals(first.index) or list(table) != list(first):
            var = var.combine_first(table).reindex(assays)
    var = var[[*first, *(c for c in var if c not in first)]]
    var.index.name = first.index.name
    limits = {name: layer for name, layer in layers.items() if name == "max_lod"} or {
        name: layer for name, layer in layers.items() if name == "lod"
    }
    for name, layer in layers.items():
        if name in var and any(name in lod_names(piece.adata) for piece in pieces):
            var[name] = _highest(layer)
    for layer in limits.values():
        var["max_lod"] = _highest(layer)
        if "max_lod" in layers:
            layers["max_lod"] = np.tile(var["max_lod"].to_numpy(), (len(layer), 1))
    return var


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    kinds = table.select_dtypes("category")
    return table.astype(dict.fromkeys(kinds, object))


def _highest(layer: Array) -> Array:
    top: Array = np.where(np.isnan(layer), -np.inf, layer).max(axis=0)
    return np.where(np.isinf(top), np.nan, top)


def _known(pieces: Sequence[Piece]) -> dict[str, Any]:
    """Keep what all projects say alike; and all that each says, under its name."""
    each = {piece.name: about(piece.adata) for piece in pieces}
    first = each[pieces[0].name]
    same = {
        key: value
        for key, value in first.items()
        if key not in ("normalization", "projects")
        and isinstance(value, (str, int, float, bool))
        and all(other.get(key) == value for other in each.values())
    }
    return {**same, "projects": {name: plain(known) for name, known in each.items()}}


def _obsm(pieces: Sequence[Piece], names: list[str]) -> dict[str, pd.DataFrame]:
    """Put tables of samples × panels together; embeddings are of the values as they were."""
    out = {}
    for name in dict.fromkeys(n for piece in pieces for n in piece.adata.obsm):
        tables = [p.adata.obsm[name].loc[p.keep] if name in p.adata.obsm
                  and isinstance(p.adata.obsm[name], pd.DataFrame)
                  else pd.DataFrame(index=p.adata.obs_names[p.keep]) for p in pieces]  # fmt: skip
        whole = pd.concat([_as_text(table) for table in tables])
        if whole.shape[1]:
            whole.index = pd.Index(names)
            out[name] = whole
    return out


def _varm(pieces: Sequence[Piece], assays: pd.Index) -> dict[str, pd.DataFrame]:
    """Return what was added, beside what earlier normalisations had added."""
    now: dict[str, pd.Series] = {}
    for piece in pieces:
        shift = pd.Series(piece.shift, piece.adata.var_names)
        before = piece.adata.varm.get("adjustment")
        if _several(piece) and isinstance(before, pd.DataFrame):
            now |= {f"{piece.name}: {c}": (before[c] + shift).reindex(assays) for c in before}
        else:
            now[piece.name] = shift.reindex(assays)
    out = {"adjustment": pd.DataFrame(now, index=assays)}
    for piece in pieces:
        for name, table in piece.adata.varm.items():
            if isinstance(table, pd.DataFrame) and name != "adjustment":
                there = out.get(name, pd.DataFrame(index=assays))
                fresh = table.reindex(assays)
                if several := fresh.columns.intersection(there.columns, sort=False).tolist():
                    fresh = fresh.rename(columns={c: f"{piece.name}: {c}" for c in several})
                out[name] = pd.concat([there, fresh], axis=1)
    return out
