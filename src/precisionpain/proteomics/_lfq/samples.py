"""What is known of the samples of a file, joined by their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import AlignmentError, FormatError, list_some
from .._layout import SAMPLE_TYPES
from .._sheet import read_sheet
from .names import clean_samples
from .table import TableLike

__all__ = ["sample_table"]


def sample_table(names: Sequence[str], samples: TableLike | None, where: str) -> pd.DataFrame:
    """Return ``obs`` for the samples of a file, in its order.

    Parameters
    ----------
    names : sequence of str
        As the file has them.
    samples : pandas.DataFrame, str or Path, optional
        See `read_sheet`. The id is the name in the file, or that name without folder and
        ending.
    where : str
        The file, for messages.

    Returns
    -------
    pandas.DataFrame
        Index ``sample_id``; ``subject_id``, ``visit``, ``specimen``, ``sample_type``,
        ``original_name``, and what else `samples` has.

    Raises
    ------
    AlignmentError
        For samples that only one of the two has, or that one has twice, and people unknown.
    """
    short = clean_samples(names)
    twice = pd.Index(short)[pd.Index(short).duplicated()].unique()
    if len(twice):
        raise AlignmentError(f"the file has the sample {list_some(twice)} twice", where=where)
    obs = pd.DataFrame(
        {
            "subject_id": pd.Series(short, dtype=object),
            "visit": None,
            "specimen": None,
            "sample_type": "SAMPLE",
            "original_name": pd.Series(list(names), dtype=object),
        }
    ).set_index(pd.Index(short, name="sample_id"))
    if samples is None:
        return obs
    table, source = read_sheet(samples)
    # A key may be the name as the file has it, or the clean one.
    by_original = dict(zip(names, short, strict=True))
    keys = pd.Index([k if k in obs.index else by_original.get(k, k) for k in table.index])
    _check_keys(keys, obs.index, source, where)
    table = table.set_axis(keys).reindex(obs.index)
    for column in table:
        obs[column] = table[column]
    return _checked(obs, source)


def _check_keys(keys: pd.Index, known: pd.Index, source: str, where: str) -> None:
    twice = keys[keys.duplicated()].unique()
    if len(twice):
        raise AlignmentError(
            f"the sample {list_some(twice)} has several rows", where=source,
            remedy="give each sample one row",
        )  # fmt: skip
    extra, absent = keys.difference(known), known.difference(keys)
    if len(extra) or len(absent):
        problems = [
            f"{len(extra)} samples are not in the file: {list_some(extra)}" if len(extra) else "",
            f"{len(absent)} samples of the file have no row: {list_some(absent)}"
            if len(absent)
            else "",
        ]
        raise AlignmentError(
            "; ".join(p for p in problems if p),
            where=source,
            remedy=f"name the samples as in {where}, for example {list_some(known, 3)}",
        )


def _checked(obs: pd.DataFrame, source: str) -> pd.DataFrame:
    kinds = obs["sample_type"].map(lambda v: "SAMPLE" if pd.isna(v) else str(v).strip().upper())
    wrong = sorted(set(kinds) - set(SAMPLE_TYPES))
    if wrong:
        raise FormatError(
            f"expected one of {list_some(SAMPLE_TYPES)}, found {list_some(wrong)}",
            where=f"{source}, column 'sample_type'",
        )
    obs["sample_type"] = kinds
    unknown = obs["subject_id"].isna() & (kinds == "SAMPLE")
    if unknown.any():
        raise AlignmentError(
            f"no subject_id for {int(unknown.sum())} samples: {list_some(obs.index[unknown])}",
            where=source,
            remedy="say whose they are; pools and controls have another sample_type than SAMPLE",
        )
    obs["subject_id"] = [
        None if pd.isna(v) else str(int(v)) if _whole(v) else str(v).strip()
        for v in obs["subject_id"]
    ]
    return obs


def _whole(value: object) -> bool:
    return isinstance(value, (float, np.floating)) and float(value).is_integer()
