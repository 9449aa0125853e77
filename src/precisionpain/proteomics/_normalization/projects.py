"""How much is added to each assay of a project so that it agrees with others."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, DataWarning, FormatError, list_some
from .._layout import about, as_adata, check_log2, is_assay, values_of
from .combine import Piece, combine
from .recommended import bridges_within
from .rows import Ids, pairs, rows_of
from .usable import column_medians, panels_of, usable

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Project", "by_bridges", "by_subset", "join"]

Array = NDArray[np.float64]


class Project:
    """A project on its way: values, what may be learned from, and what was found to be added.

    Parameters
    ----------
    name : str
        Goes into ``obs["project"]``.
    adata : anndata.AnnData
        Stays as it is.
    exclude_qc : collection of str
        Verdicts of the quality control whose values aren't learned from.
    """

    def __init__(self, name: str, adata: Any, exclude_qc: Collection[str]) -> None:
        self.name = str(name)
        self.adata: AnnData = as_adata(adata, what=f"project {name!r}")
        check_log2(self.adata, where=f"project {name!r}")
        if not self.adata.var_names.is_unique:
            twice = self.adata.var_names[self.adata.var_names.duplicated()]
            raise AlignmentError(
                f"{len(twice)} assays are there twice: {list_some(twice)}",
                where=f"project {name!r}",
                remedy="index var by OlinkID, which keeps a protein of two panels apart",
            )
        self.use = usable(self.adata, exclude_qc)
        # Control assays have no factor of their own.
        self.assay = is_assay(self.adata)
        self.shift = np.zeros(self.adata.n_vars)
        self.bridge = np.zeros(self.adata.n_obs, dtype=bool)
        self.keep_bridges = False
        self.step: dict[str, Any] = {}

    def learnable(self, rows: NDArray[np.intp] | slice, assays: pd.Index) -> Array:
        """Return the values as they are by now, of some rows; NaN for what isn't learned from."""
        X = self.adata.X
        values = (values_of(self.adata[rows]) if hasattr(X, "toarray") else
                  np.array(np.asarray(X)[rows], dtype=np.float64))  # fmt: skip
        values += self.shift
        values[:, ~self.assay] = np.nan
        mask = self.use[rows]
        if mask.shape[1] == 1:
            values[~mask[:, 0]] = np.nan
        else:
            values[~mask] = np.nan
        if assays.equals(self.adata.var_names):
            return values
        place = self.adata.var_names.get_indexer(assays)
        out = np.full((len(values), len(assays)), np.nan)
        out[:, place >= 0] = values[:, place[place >= 0]]
        return out


def by_bridges(
    references: Sequence[Project], new: Project, ids: Ids, *, on: str | None, keep: bool
) -> None:
    """Set the shift of `new`: per assay the median over bridges of (reference − new)."""
    check_alike(references, new)
    old, own = pairs(ids)
    assays = new.adata.var_names
    theirs = new.learnable(
        rows := rows_of(new.adata, own, on=on, project=new.name, what="bridge ids"), assays
    )
    target = _rows_of_any(references, old, on, assays, "bridge ids")
    paired = target - theirs
    known = ~np.isnan(paired)
    n = known.sum(axis=0)
    left_out = [name for name, row in zip(old, known, strict=True) if not row.any()]
    shared = _shared(references, new)
    median = column_medians(paired)
    without = shared & new.assay & np.isnan(median)
    best = int(n.max(initial=0))
    if best == 0:
        raise AlignmentError(
            f"none of {len(old)} bridge samples was measured, and passed, in both projects",
            where=f"project {new.name!r}", remedy="see exclude_qc, or take other samples",
        )  # fmt: skip
    fewest = _fewest(n, new, shared & new.assay & ~without)
    (low, high), what = bridges_within(new.adata)
    if fewest < low:
        warnings.warn(
            DataWarning(
                f"project {new.name!r} has {fewest} bridge samples that passed (of {len(old)} "
                f"named), fewer than the {low} to {high} that are asked for {what}: the factors "
                "are uncertain"
            ),
            stacklevel=3,
        )
    new.shift = np.where(np.isnan(median), 0.0, median)
    new.bridge[rows] = True
    new.keep_bridges = keep
    new.step = {
        "method": "bridge", **_common(references, new), "n_bridges": len(old) - len(left_out),
        "bridges_left_out": left_out, "bridges_kept_twice": keep,
        "n_assays_without_factor": int(without.sum()),
    }  # fmt: skip


def by_subset(
    references: Sequence[Project],
    new: Project,
    old_ids: Iterable[Any] | None,
    new_ids: Iterable[Any] | None,
    *,
    on: str | None,
    method: str,
) -> None:
    """Set the shift of `new`: median of the reference − median of the new, each of a subset."""
    check_alike(references, new)
    assays = new.adata.var_names
    if old_ids is None:
        # With several references a bridge sample counts once.
        once = len(references) > 1
        target = np.concatenate(
            [p.learnable(np.flatnonzero(~(p.bridge & once)), assays) for p in references]
        )
    else:
        target = _rows_of_any(references, list(old_ids), on, assays, "ids of the subset")
    set_to(new, column_medians(target), new_ids, on=on)
    new.step = {
        "method": method, **_common(references, new),
        "n_reference": int((~np.isnan(target)).any(axis=1).sum()), **new.step,
    }  # fmt: skip


def set_to(new: Project, target: Array, ids: Iterable[Any] | None, *, on: str | None) -> None:
    """Set the shift that brings the medians of a project to a target; 0 where either lacks."""
    assays = new.adata.var_names
    rows: Any = slice(None)
    if ids is not None:
        rows = rows_of(new.adata, ids, on=on, project=new.name, what="ids of the subset")
    own = new.learnable(rows, assays)
    difference = target - column_medians(own)
    if np.isnan(difference).all():
        raise AlignmentError(
            "no assay has values to learn from in both", where=f"project {new.name!r}",
            remedy="see sample_type and exclude_qc: only samples that passed are learned from",
        )  # fmt: skip
    new.shift = np.where(np.isnan(difference), 0.0, difference)
    n = int((~np.isnan(own)).any(axis=1).sum())
    new.step = {
        "n_new": n, "n_new_left_out": len(own) - n,
        "n_assays_without_factor": int((np.isnan(difference) & new.assay).sum()),
    }  # fmt: skip


def join(projects: Sequence[Project], *, assays: str) -> AnnData:
    """Put the projects together, each with its shift."""
    from .steps import log_step

    if assays not in ("all", "shared"):
        raise FormatError(f"expected 'all' or 'shared', found {assays!r}", where="assays")
    index = projects[0].adata.var_names
    for project in projects[1:]:
        names = project.adata.var_names
        if assays == "shared":
            index = index[index.isin(names)]
        elif not names.equals(index):
            index = index.append(names[~names.isin(index)])
    out = combine(
        [Piece(p.name, p.adata, p.shift, p.bridge, p.keep_bridges) for p in projects], index
    )
    for project in projects:
        if project.step:
            log_step(out, project.step)
    return out


def check_alike(references: Sequence[Project], new: Project) -> None:
    """Refuse projects of another kind or unit; warn of other normalisations or accessions."""
    for reference in references:
        where = f"projects {reference.name!r} and {new.name!r}"
        for key in ("kind", "unit"):
            a, b = about(reference.adata).get(key), about(new.adata).get(key)
            if a is not None and b is not None and a != b:
                raise FormatError(f"expected the same {key}, found {a!r} and {b!r}", where=where)
        shared = reference.adata.var_names.intersection(new.adata.var_names, sort=False)
        if not len(shared):
            raise AlignmentError(
                "the projects share no assay", where=where,
                remedy="index var by OlinkID; between products use cross_product_normalize",
            )  # fmt: skip
        for column, what in (
            ("normalization", "were normalised otherwise in each"),
            ("uniprot", "name other proteins in each"),
        ):
            if column not in reference.adata.var or column not in new.adata.var:
                continue
            a = reference.adata.var[column].reindex(shared).astype(object)
            b = new.adata.var[column].reindex(shared).astype(object)
            differ = shared[((a != b) & a.notna() & b.notna()).to_numpy()]
            if len(differ):
                warnings.warn(
                    DataWarning(f"{where}: {len(differ)} assays {what}: {list_some(differ)}"),
                    stacklevel=4,
                )


def _rows_of_any(
    references: Sequence[Project], ids: Sequence[Any], on: str | None, assays: pd.Index, what: str
) -> Array:
    """Return the samples from the first of the references that has each."""
    rest = list(ids)
    order: list[Any] = []
    parts = []
    for number, project in enumerate(references):
        keys = project.adata.obs_names if on is None else pd.Index(project.adata.obs.get(on, []))
        last = number == len(references) - 1
        mine = [i for i in rest if last or i in keys]
        name = " or ".join(p.name for p in references) if last else project.name
        if mine:
            rows = rows_of(project.adata, mine, on=on, project=name, what=what)
            parts.append(project.learnable(rows, assays))
            order += mine
            rest = [i for i in rest if i not in set(mine)]
    place = {name: i for i, name in enumerate(order)}
    whole: Array = np.concatenate(parts)[[place[i] for i in ids]]
    return whole


def _shared(references: Sequence[Project], new: Project) -> NDArray[np.bool_]:
    there = np.zeros(new.adata.n_vars, dtype=bool)
    for reference in references:
        there |= new.adata.var_names.isin(reference.adata.var_names)
    return there


def _fewest(n: NDArray[np.intp], new: Project, counted: NDArray[np.bool_]) -> int:
    """Return the bridges of the panel that has fewest; one missing value is no matter."""
    panels = panels_of(new.adata)
    most = [int(n[counted & (panels == panel)].max(initial=0)) for panel in pd.unique(panels)
            if (counted & (panels == panel)).any()]  # fmt: skip
    return min(most, default=0)


def _common(references: Sequence[Project], new: Project) -> dict[str, Any]:
    """Return what each step says of the assays."""
    theirs = pd.Index([])
    panels: set[str] = set()
    for reference in references:
        theirs = theirs.union(reference.adata.var_names, sort=False)
        panels |= set(panels_of(reference.adata))
    own = new.adata.var_names
    return {
        "project": new.name,
        "reference": [reference.name for reference in references],
        "n_assays_shared": len(own.intersection(theirs)),
        "n_assays_only_in_reference": len(theirs.difference(own, sort=False)),
        "n_assays_only_in_new": len(own.difference(theirs, sort=False)),
        "panels_only_in_reference": sorted(panels - set(panels_of(new.adata))),
        "panels_only_in_new": sorted(set(panels_of(new.adata)) - panels),
    }
