"""Samples by their identifiers: found once, or an error that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, FormatError, list_some
from .._layout import is_sample

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Ids", "pairs", "rows_of"]

Ids = Iterable[Any] | Mapping[Any, Any]


def rows_of(
    adata: AnnData, ids: Iterable[Any], *, on: str | None, project: str, what: str
) -> NDArray[np.intp]:
    """Return the rows of samples.

    Raises
    ------
    AlignmentError
        When an id is absent, is there twice, was named twice, or is that of a control sample.
    """
    wanted = pd.Index(list(ids))
    where = f"project {project!r}" if on is None else f"project {project!r}, obs[{on!r}]"
    remedy = "name each sample by the id that it has in that project, once"
    if wanted.has_duplicates:
        twice = wanted[wanted.duplicated()].unique()
        raise AlignmentError(
            f"{len(twice)} {what} are named twice: {list_some(twice, 20)}",
            where=where, remedy=remedy,
        )  # fmt: skip
    if on is not None and on not in adata.obs:
        raise FormatError(
            f"expected the column {on!r}, found {list_some(adata.obs.columns)}",
            where=f"obs of project {project!r}",
        )
    keys = adata.obs_names if on is None else pd.Index(adata.obs[on].astype(object))
    absent = wanted[~wanted.isin(keys)]
    if len(absent):
        raise AlignmentError(
            f"{len(absent)} of {len(wanted)} {what} are absent: {list_some(absent, 20)}",
            where=where, remedy=remedy,
        )  # fmt: skip
    twice = keys[keys.isin(wanted) & keys.duplicated()].unique()
    if len(twice):
        raise AlignmentError(
            f"{len(twice)} {what} belong to several rows: {list_some(twice, 20)}",
            where=where, remedy="leave one row of each sample, or name another column in `on`",
        )  # fmt: skip
    rows: NDArray[np.intp] = keys.get_indexer(wanted)
    controls = wanted[~is_sample(adata)[rows]]
    if len(controls):
        raise AlignmentError(
            f"{len(controls)} {what} are control samples: {list_some(controls, 20)}",
            where=where, remedy="learn from samples of people only (obs['sample_type'])",
        )  # fmt: skip
    return rows


def pairs(ids: Ids) -> tuple[list[Any], list[Any]]:
    """Return the ids in the reference and those of the same samples in the new project.

    Raises
    ------
    FormatError
        When a text stands for a list.
    AlignmentError
        When none is named.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise FormatError(
            f"expected a list of ids or a mapping reference id → new id, found {ids!r}",
            where="bridge_ids",
        )
    if isinstance(ids, (Mapping, pd.Series)):
        old, new = list(ids.keys()), list(ids.values() if isinstance(ids, Mapping) else ids)
    else:
        old = list(ids)
        new = old
    if not old:
        raise AlignmentError(
            "expected the ids of the bridge samples, found none", where="bridge_ids",
            remedy="without shared samples use subset_normalize",
        )  # fmt: skip
    return old, new
