"""Whose sample it is: joined by the sample's id, never by place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, DataWarning, FormatError, list_some
from .._sheet import read_sheet
from .names import canonical, is_person

__all__ = ["Samples", "Subject", "join_people", "sample_table"]

Samples = pd.DataFrame | str | Path
Subject = str | re.Pattern[str] | Callable[[str], Any]


def join_people(
    obs: pd.DataFrame,
    samples: pd.DataFrame | None,
    subject: Subject | None,
    elsewhere: Iterable[str] = (),
) -> tuple[pd.DataFrame, str]:
    """Return `obs` with ``subject_id``, ``visit`` and ``specimen``, and what told the person.

    Parameters
    ----------
    obs : pandas.DataFrame
        With ``sample_id`` and ``sample_type``.
    samples : pandas.DataFrame, optional
        Of `sample_table`.
    subject : str, pattern or callable, optional
        Tells the person from the SampleID.
    elsewhere : iterable of str
        Columns of the file that say several things of one sample.

    Raises
    ------
    AlignmentError
        When ids don't match.

    Warns
    -----
    DataWarning
        When a column of the file is called Subject, but doesn't tell the person of each sample.
    """
    obs = obs.copy()
    person = (obs["sample_type"] == "SAMPLE").to_numpy()
    if samples is not None:
        obs = _by_table(obs, samples)
        person = (obs["sample_type"] == "SAMPLE").to_numpy()
        told = "samples="
    elif subject is not None:
        told = "subject="
        for name, values in _by_rule(obs.loc[person, "sample_id"], subject).items():
            obs[name] = None
            obs.loc[person, name] = values
    else:
        obs["subject_id"], told = _by_column(obs, person, elsewhere)
    for name in ("subject_id", "visit", "specimen"):
        if name not in obs:
            obs[name] = None
        given = obs[name].notna()
        obs[name] = obs[name].astype(object).where(given, None)
    obs["subject_id"] = [None if name is None else str(name) for name in obs["subject_id"]]
    lacking = obs.index[person & obs["subject_id"].isna()]
    if len(lacking):
        raise AlignmentError(
            f"{len(lacking)} samples have no subject_id: {list_some(lacking)}",
            remedy="give it in samples=, or mark controls there in a column sample_type",
        )
    first = ["sample_id", "subject_id", "visit", "specimen", "sample_type"]
    return obs[[*first, *(name for name in obs if name not in first)]], told


def _by_column(
    obs: pd.DataFrame, person: NDArray[np.bool_], elsewhere: Iterable[str]
) -> tuple[pd.Series, str]:
    """Return the person by a column of the file, else the SampleID; and which it was."""
    if "subject_id" in obs:
        # SubjectID by any spelling, and what `write_npx` wrote, controls included.
        return obs["subject_id"], "column 'subject_id'"
    ids = obs["sample_id"].where(person, None)
    columns = [str(name) for name in obs if is_person(str(name))]
    problem = ""
    several = [name for name in elsewhere if is_person(name)]
    said = {name: obs[name].map(_code).where(person, None) for name in columns}
    if several:
        problem = f"the column {several[0]!r} names several people for one sample"
    elif len(columns) > 1 and any(not said[columns[0]].equals(said[name]) for name in columns):
        problem = f"the columns {list_some(columns)} don't agree about the person"
    elif columns and said[columns[0]][person].isna().any():
        lacking = int(said[columns[0]][person].isna().sum())
        problem = f"the column {columns[0]!r} names nobody for {lacking} of {person.sum()} samples"
    if problem:
        warnings.warn(
            f"{problem}; each SampleID counts as a person of its own. Say whose samples they are "
            "in samples= or subject=",
            DataWarning,
            stacklevel=5,
        )
    if problem or not columns:
        return ids, "SampleID"
    return said[columns[0]], f"column {columns[0]!r}"


def _code(cell: Any) -> str | None:
    """Return a code as text; 101 that travelled as a float is still 101."""
    if cell is None or pd.isna(cell):
        return None
    text = str(cell).strip()
    return (text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text) or None


def sample_table(samples: Samples) -> pd.DataFrame:
    """Return the table of samples by SampleID, as text.

    Raises
    ------
    FormatError
        When it lacks the ids or ``subject_id``.
    AlignmentError
        When an id occurs more than once.
    """
    table, where = read_sheet(samples)
    if "subject_id" not in table:
        raise FormatError(
            f"expected a column subject_id, found {[*map(str, table.columns)][:20]}",
            where=where,
            remedy="rename the column that tells the person, for example "
            "samples.rename(columns={'Subject': 'subject_id', 'Time': 'visit'})",
        )
    twice = table.index[table.index.duplicated()].unique()
    if len(twice):
        raise AlignmentError(
            f"{len(twice)} ids of samples occur more than once: {list_some(twice)}", where=where
        )
    return table


def _by_table(obs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    ids = pd.Index(obs["sample_id"])
    unknown = table.index.difference(ids)
    if len(unknown):
        raise AlignmentError(
            f"{len(unknown)} ids of samples= aren't in the export: {list_some(unknown)}",
            where="samples",
            remedy="correct them, or leave these rows out",
        )
    lacking = ids[(obs["sample_type"] == "SAMPLE").to_numpy() & ~ids.isin(table.index)].unique()
    if len(lacking):
        raise AlignmentError(
            f"samples= lacks {len(lacking)} samples of the export: {list_some(lacking)}",
            where="samples",
            remedy="add them; what is a control needs a row with its sample_type",
        )
    place = table.index.get_indexer(ids)
    for name in table.columns:
        mine = "plate" if canonical(str(name)) == "plate" else str(name)
        cells = [None if pd.isna(cell) else cell for cell in table[name]]
        values = np.array([cells[k] if k >= 0 else None for k in place], dtype=object)
        if mine in ("subject_id", "visit", "specimen"):
            obs[mine] = values
        elif mine == "sample_type":
            obs[mine] = [new if new else old for new, old in zip(values, obs[mine], strict=True)]
        elif mine not in obs:
            text = table[name].dtype == object
            obs[mine] = list(values) if text else table[name].reindex(ids).tolist()
        else:
            before = obs[mine].astype(object)
            differ = [
                a is not None and b is not None and not pd.isna(b) and str(a) != str(b)
                for a, b in zip(values, before, strict=True)
            ]
            if any(differ):
                raise AlignmentError(
                    f"samples= and the export disagree about {mine!r}, for example of sample "
                    f"{obs['sample_id'].iloc[differ.index(True)]!r}",
                    where="samples",
                    remedy="rename the column of samples=, or correct it",
                )
    return obs


def _by_rule(ids: pd.Series, subject: Subject) -> dict[str, list[Any]]:
    found: list[dict[str, Any]] = []
    if callable(subject):
        for name in ids:
            said = subject(name)
            if isinstance(said, tuple):
                said = dict(zip(("subject_id", "visit"), said, strict=False))
            found.append(dict(said) if isinstance(said, Mapping) else {"subject_id": said})
    else:
        pattern = re.compile(subject)
        if "subject" not in pattern.groupindex:
            raise FormatError(
                f"expected a group (?P<subject>...) in the pattern, found {pattern.pattern!r}",
                where="subject",
            )
        wrong = [name for name in ids if not pattern.fullmatch(name)]
        if wrong:
            raise AlignmentError(
                f"{len(wrong)} samples don't fit the pattern {pattern.pattern!r}: "
                f"{list_some(wrong)}",
                where="subject",
                remedy="the pattern must fit the whole SampleID",
            )
        for name in ids:
            match = pattern.fullmatch(name)
            assert match is not None
            groups = match.groupdict()
            found.append({"subject_id": groups.pop("subject"), **groups})
    columns = dict.fromkeys(key for one in found for key in one)
    return {key: [one.get(key) for one in found] for key in columns}
