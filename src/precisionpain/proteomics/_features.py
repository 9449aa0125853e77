"""Between a Cohort and the estimators on AnnData: columns, outcomes, names of proteins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..cohort import Cohort
from ..errors import AlignmentError, MissingModalityError
from ._layout import is_sample

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "as_pipeline",
    "by_sample",
    "column_of",
    "columns_of",
    "feature_names",
    "matches",
    "specimens_of",
]


def specimens_of(adata: AnnData) -> list[str]:
    if "specimen" not in adata.obs:
        return []
    return sorted(adata.obs["specimen"][is_sample(adata)].dropna().astype(str).unique())


def as_pipeline(steps: Any) -> Any:
    """Return the steps as one unfitted Pipeline, or None."""
    from sklearn.pipeline import Pipeline, make_pipeline

    if steps is None or (isinstance(steps, Sequence) and not len(steps)):
        return None
    if isinstance(steps, Pipeline):
        return clone(steps)
    return make_pipeline(*(clone(s) for s in (steps if isinstance(steps, Sequence) else [steps])))


def columns_of(steps: Any) -> list[str]:
    """Name the columns that the steps' parameters name."""
    pipeline = as_pipeline(steps)
    parts = [] if pipeline is None else [part for _, part in pipeline.steps]
    names: dict[str, None] = {}
    for part in parts:
        inner = columns_of(part) if hasattr(part, "steps") else ()
        names.update(dict.fromkeys(inner or (part._named() if hasattr(part, "_named") else ())))
    return list(names)


def column_of(seen: Cohort, adata: AnnData, name: str, allow: Sequence[str]) -> pd.Series:
    """Return a column by sample: of the people, when they have it and it may predict."""
    there = adata.obs.get(name)
    try:
        # Refuses an outcome, or what came later, also where `obs` has a copy of it.
        people = seen.predictor_frame([name], allow=allow)[name]
    except MissingModalityError:
        if there is None:
            raise
        return there
    owner = adata.obs["subject_id"]
    joined = pd.Series(people.reindex(owner).to_numpy(), adata.obs_names)
    if there is not None:
        joined = joined.where(owner.isin(people.index).to_numpy(), there)
    return joined


def by_sample(y: Any, people: pd.Index, adata: AnnData) -> np.ndarray:
    """Return the outcome of each sample's person; missing for control samples."""
    values = np.asarray(y)
    if len(values) != len(people):
        raise AlignmentError(f"y has {len(values)} values for {len(people)} people")
    table = pd.DataFrame(values.reshape(len(values), -1), index=people)
    rows: np.ndarray = table.reindex(adata.obs["subject_id"]).to_numpy()
    return rows[:, 0] if rows.shape[1] == 1 else rows


def matches(var: pd.DataFrame, name: str) -> np.ndarray:
    """Tell which assays are called so: by id, else by gene, else by accession."""
    same = np.asarray(var.index.astype(str) == name)
    for column in ("gene", "uniprot"):
        if not same.any() and column in var:
            same = (var[column].astype(str) == name).to_numpy()
    if not same.any() and "uniprot" in var:
        # One assay of two proteins, "P1,P2", answers to both.
        same = var["uniprot"].astype(str).str.split(r"[,;]").map(lambda a: name in a).to_numpy()
    return same


def feature_names(var: pd.DataFrame, names: Literal["gene", "id"]) -> np.ndarray:
    ids = var.index.astype(str)
    if names == "id" or "gene" not in var:
        return np.array(ids, dtype=object)
    known = var["gene"].notna() & (var["gene"].astype(str) != "")
    genes = var["gene"].astype(str).where(known, pd.Series(ids, var.index))
    several = genes.duplicated(keep=False).to_numpy()
    return np.array(
        [
            f"{gene} ({identifier})" if more else gene
            for gene, identifier, more in zip(genes, ids, several, strict=True)
        ],
        dtype=object,
    )
