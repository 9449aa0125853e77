"""Which samples are meant: by column, by id, one per person, of one specimen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, FormatError, list_some
from ._layout import is_sample

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Who",
    "choose",
    "keys_of",
    "matched",
    "of_visit",
    "one_specimen",
    "people_of",
]

# A column (or several) of `obs` and its values, ids of samples or people, or flags by sample id.
Who = Mapping[str, Any] | Collection[str] | pd.Series


def choose(adata: AnnData, who: Who, name: str, remedy: str | None = None) -> NDArray[np.bool_]:
    """Tell which rows are meant; control samples of the method never are.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples.
    who : mapping, pandas.Series or collection of str
        ``{"group": "control"}`` (columns of ``obs``; a list of values is any of them; all
        columns must fit), boolean flags with the sample ids as index, or ids, which are all
        sample ids or all subject ids.
    name : str
        What to call them in a message.
    remedy : str, optional
        What to do where nobody fits, or an id isn't there.

    Returns
    -------
    numpy.ndarray of bool

    Raises
    ------
    FormatError
        When nobody fits, or `who` is of another kind.
    AlignmentError
        When an id or a column is unknown.
    """
    if isinstance(who, Mapping):
        mask = np.ones(adata.n_obs, dtype=bool)
        for column, value in who.items():
            if column not in adata.obs:
                raise AlignmentError(
                    f"no column {column!r} in adata.obs, found {list_some(adata.obs.columns, 12)}",
                    where=name,
                    remedy="join it by subject_id first, or give the ids",
                )
            several = isinstance(value, list | tuple | set | frozenset | pd.Index | np.ndarray)
            wanted = list(value) if several else [value]
            mask &= adata.obs[column].isin(wanted).to_numpy()
    elif isinstance(who, pd.Series):
        mask = _flags(adata, who, name)
    elif isinstance(who, str) or not isinstance(who, Collection):
        raise FormatError(
            f"expected {{column: value}}, ids or boolean flags, found {who!r}", where=name
        )
    else:
        mask = _by_id(adata, list(who), name, remedy)
    mask &= is_sample(adata)
    if not mask.any():
        said = f" by {dict(who)}" if isinstance(who, Mapping) and len(str(who)) < 100 else ""
        raise FormatError(
            f"none of the {adata.n_obs} samples is meant{said}", where=name, remedy=remedy
        )
    return mask


def _flags(adata: AnnData, who: pd.Series, name: str) -> NDArray[np.bool_]:
    if not pd.api.types.is_bool_dtype(who):
        raise FormatError(f"expected boolean flags, found {who.dtype}", where=name)
    absent = adata.obs_names.difference(who.index)
    if len(absent) or who.index.has_duplicates:
        raise AlignmentError(
            f"the flags don't know {len(absent)} samples: {list_some(absent)}"
            if len(absent)
            else "the flags have a sample twice",
            where=name,
        )
    return who.reindex(adata.obs_names).to_numpy(dtype=bool)


def _by_id(adata: AnnData, ids: list[Any], name: str, remedy: str | None) -> NDArray[np.bool_]:
    known = {"sample": pd.Index(adata.obs_names)}
    if "subject_id" in adata.obs:
        known["subject"] = pd.Index(adata.obs["subject_id"])
    for index in known.values():
        if pd.Index(ids).isin(index).all():
            return np.asarray(index.isin(ids))
    unknown = [i for i in ids if not any(i in index for index in known.values())]
    raise AlignmentError(
        f"unknown {' and '.join(known)} ids: {list_some(unknown)}"
        if unknown
        else "the ids mix samples with subjects",
        where=name,
        remedy=remedy if unknown else None,
    )


def one_specimen(adata: AnnData, rows: NDArray[np.bool_], where: str = "adata") -> str | None:
    """Return the specimen, and refuse several: their levels aren't comparable.

    Raises
    ------
    FormatError
        When CSF and plasma, say, are mixed.
    """
    if "specimen" not in adata.obs:
        return None
    found = sorted(adata.obs["specimen"][rows].dropna().astype(str).unique())
    if len(found) > 1:
        raise FormatError(
            f"specimens are mixed: {list_some(found)}",
            where=where,
            remedy=f"choose one first: adata[adata.obs['specimen'] == {found[0]!r}]",
        )
    return found[0] if found else None


def people_of(
    adata: AnnData, rows: NDArray[np.bool_], what: str, *, unique: bool = True
) -> pd.Series:
    """Return the subject of each chosen sample, index sample id.

    Where nobody says whose a sample is, each counts as a person.

    Raises
    ------
    FormatError
        When a subject is missing, or (if `unique`) has several of these samples.
    """
    if "subject_id" not in adata.obs:
        return pd.Series(adata.obs_names[rows], index=adata.obs_names[rows])
    subject = adata.obs["subject_id"][rows]
    if subject.isna().any():
        raise FormatError(
            f"no subject_id for {int(subject.isna().sum())} samples: "
            f"{list_some(subject.index[subject.isna()])}",
            where=what,
        )
    twice = subject[subject.duplicated()]
    if unique and len(twice):
        raise FormatError(
            f"{twice.nunique()} people have several samples, for example {list_some(twice, 1)}: "
            "they would count as independent",
            where=what,
            remedy="choose one visit and one specimen",
        )
    return subject.astype(str)


def matched(ids: pd.Series, others: pd.Series) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of the people that both have, in one order.

    Parameters
    ----------
    ids, others : pandas.Series
        Unique keys of people (or of people and visits).
    """
    first, second = pd.Index(ids), pd.Index(others)
    common = first.intersection(second, sort=False)
    return first.get_indexer(common), second.get_indexer(common)


def of_visit(adata: AnnData, visit: str | None, where: str) -> AnnData:
    """Return the samples of people, of one visit if it is named."""
    rows = is_sample(adata)
    if "subject_id" not in adata.obs:
        raise FormatError("expected the column 'subject_id'", where=f"{where}.obs")
    if visit is not None:
        if "visit" not in adata.obs:
            raise FormatError("expected the column 'visit'", where=f"{where}.obs")
        rows &= (adata.obs["visit"] == visit).to_numpy()
    if not rows.any():
        known = list_some(adata.obs["visit"].dropna().unique()) if "visit" in adata.obs else ""
        raise FormatError(f"no sample of visit {visit!r}", where=where, remedy=f"visits: {known}")
    return adata[rows]


def keys_of(first: pd.DataFrame, second: pd.DataFrame) -> list[pd.Series]:
    """Return what rows are joined by: the person, and the visit where both tell it."""
    visits = all("visit" in obs and obs["visit"].notna().any() for obs in (first, second))
    return [
        pd.Series(list(zip(obs["subject_id"].astype(str), obs["visit"], strict=True)))
        if visits
        else obs["subject_id"].astype(str)
        for obs in (first, second)
    ]
