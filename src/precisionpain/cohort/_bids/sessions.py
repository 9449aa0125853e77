"""The tables beside the scans in a BIDS tree: ``sessions.tsv`` and ``scans.tsv``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...errors import AlignmentError, FormatError, MissingModalityError, list_some
from .entities import parse_name, read_json

__all__ = ["Stacked", "TableFile", "stack_tables", "visit_days"]

MISSING = frozenset({"", "n/a", "N/A", "NA", "nan", "NaN"})
# Columns that would be mistaken for keys of a measurements table.
_RESERVED = ("subject_id", "visit", "run", "side", "contrast")
_OWNER = ("subject", "participant_id", "subject_id")


class TableFile(NamedTuple):
    """A ``sessions.tsv`` or ``scans.tsv``, and to whom it belongs.

    Attributes
    ----------
    path : str
        The file.
    folder, subject_id : str
        Folder of the subject, such as ``"sub-009fu"``, and the person, ``"sub-009"``.
    visit : str
        Visit of the folder that the file stands in.
    sidecars : tuple of str
        JSON files that describe its columns, the most general first.
    """

    path: str
    folder: str
    subject_id: str
    visit: str
    sidecars: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Stacked:
    """The files of one kind as one table, and what was broken, noted or odd about them."""

    table: pd.DataFrame
    broken: list[tuple[str, str]]
    provenance: list[dict[str, Any]]
    concerns: list[str]


def stack_tables(files: Sequence[TableFile], kind: str) -> Stacked:
    """Read all ``sessions.tsv`` or all ``scans.tsv`` into one table.

    Parameters
    ----------
    files : sequence of TableFile
        The files.
    kind : {"sessions", "scans"}
        Which they are.

    Returns
    -------
    Stacked
        The table has ``subject_id``, ``visit``, for scans ``contrast``, ``run`` and
        ``filename``, then the columns of the files. A column is numeric when all its known
        values are. Where files give a column different units, ``<column>_unit`` holds them.

    Raises
    ------
    AlignmentError
        When a row names another person than the folder that its file stands in.
    """
    records: list[dict[str, Any]] = []
    units: list[dict[str, str]] = []
    broken: list[tuple[str, str]] = []
    for file in files:
        try:
            rows = _rows(file, kind)
            described = _units(file.sidecars)
        except (FormatError, OSError) as error:
            what = error.what if isinstance(error, FormatError) else error.strerror
            broken.append((file.path, str(what)))
            continue
        records += rows
        units += [described] * len(rows)
    table = pd.DataFrame(records)
    if table.empty:
        return Stacked(table, broken, [], [])
    keys = ["subject_id", "visit"] + (["contrast", "run", "filename"] if kind == "scans" else [])
    table = table[[*keys, *(c for c in table if c not in keys)]]
    for column in table.columns.drop(keys):
        table[column] = _typed(table[column])
    if kind == "scans":
        table["run"] = table["run"].astype("Int64")
    provenance, concerns = _add_units(table, units, kind)
    return Stacked(table, broken, provenance, concerns)


def _rows(file: TableFile, kind: str) -> list[dict[str, Any]]:
    header, lines = _read_tsv(file.path)
    key = "session_id" if kind == "sessions" else "filename"
    if key not in header:
        raise FormatError(f"expected the column {key!r}, found {list_some(header, 8)}")
    result = []
    for cells in lines:
        values = dict(zip(header, cells, strict=True))
        for owner in _OWNER:
            if owner in values:
                _check_owner(values.pop(owner), file)
        record: dict[str, Any] = {"subject_id": file.subject_id, "visit": file.visit}
        if kind == "sessions":
            session = values.pop(key).removeprefix("ses-")
            if not session:
                raise FormatError("a row has no session_id")
            follows = file.visit == "followup"
            record["visit"] = f"followup-{session}" if follows else session
        else:
            record |= _scan_keys(values[key])
        renamed = {f"{n}_recorded" if n in _RESERVED else n: v for n, v in values.items()}
        result.append(record | renamed)
    return result


def _check_owner(value: str, file: TableFile) -> None:
    says = value if value.startswith("sub-") else f"sub-{value}"
    if value not in MISSING and says != file.folder:
        raise AlignmentError(
            f"a row belongs to {value!r}, but the file to {file.folder!r}",
            where=file.path,
            remedy="move the row to the file of that person",
        )


def _scan_keys(filename: str) -> dict[str, Any]:
    try:
        name = parse_name(os.path.basename(filename))
    except FormatError:
        return {"contrast": None, "run": pd.NA}
    if "sub" not in name.entities:
        return {"contrast": None, "run": pd.NA}
    run = name.entities.get("run")
    return {"contrast": name.suffix, "run": pd.NA if run is None else int(run)}


def _read_tsv(path: str) -> tuple[list[str], list[list[str]]]:
    with open(path, "rb") as file:
        content = file.read()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FormatError(f"line {line} is not UTF-8") from error
    table = [[cell.strip() for cell in line.split("\t")] for line in lines]
    numbered = [(n, cells) for n, cells in enumerate(table, start=1) if any(cells)]
    if not numbered:
        raise FormatError("the file is empty")
    header = numbered[0][1]
    if len(set(header)) < len(header):
        raise FormatError("a header stands twice")
    for n, cells in numbered[1:]:
        if len(cells) != len(header):
            raise FormatError(f"line {n} has {len(cells)} cells, the header {len(header)}")
    return header, [cells for _, cells in numbered[1:]]


def _typed(values: pd.Series) -> pd.Series:
    texts = values.where(values.notna() & ~values.isin(MISSING), None)
    numbers = pd.to_numeric(texts, errors="coerce")
    if (numbers.notna() == texts.notna()).all():
        return numbers.astype(float)
    return texts


def _units(sidecars: Sequence[str]) -> dict[str, str]:
    described: dict[str, Any] = {}
    for path in sidecars:
        described |= read_json(path)
    return {
        column: str(entry["Units"])
        for column, entry in described.items()
        if isinstance(entry, dict) and entry.get("Units")
    }


def _add_units(
    table: pd.DataFrame, units: Sequence[dict[str, str]], kind: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Put the units beside a column when files disagree on them."""
    provenance, concerns = [], []
    for column in dict.fromkeys(column for row in units for column in row):
        if column not in table:
            continue
        here = pd.Series([row.get(column) for row in units], index=table.index, dtype=object)
        known = table[column].notna()
        found = list(dict.fromkeys(here[known]))
        detail = f"in {list_some(unit or 'no unit' for unit in found)}"
        if len(found) > 1:
            place = list(table.columns).index(column) + 1
            table.insert(place, f"{column}_unit", here.where(known, None))
            detail += f", see the column {column}_unit"
            concerns.append(f"the column {column!r} of {kind}.tsv is {detail}")
        if found:
            provenance.append(
                {
                    "step": "unit",
                    "table": f"measurements/{kind}",
                    "column": column,
                    "n": int(known.sum()),
                    "detail": detail,
                }
            )
    return provenance, concerns


def visit_days(
    visits: pd.DataFrame, sessions: pd.DataFrame, scans: pd.DataFrame, index_visit: str
) -> tuple[pd.Series, list[dict[str, Any]]]:
    """Count the days of every visit from the person's index visit.

    Parameters
    ----------
    visits : pandas.DataFrame
        Columns ``subject_id``, ``visit``.
    sessions, scans : pandas.DataFrame
        Their ``acq_time`` in ISO 8601; a session's own time counts before the earliest of
        its scans. Shifted dates (for anonymity) do, as long as one shift holds for all of
        a person's times.
    index_visit : str
        The visit that is day 0.

    Returns
    -------
    days : pandas.Series
        Difference of calendar dates, one per row of `visits`; missing where a time is.
    provenance : list of dict
        What was counted and what was missing.

    Raises
    ------
    MissingModalityError
        When nobody has a time for the index visit.
    """
    times: dict[tuple[str, str], pd.Timestamp] = {}
    unreadable: list[str] = []
    for table in (scans, sessions):
        if "acq_time" not in table:
            continue
        known = table[table["acq_time"].notna()]
        moments = pd.to_datetime(
            known["acq_time"].astype(str), format="ISO8601", errors="coerce", utc=True
        )
        unreadable += known.loc[moments.isna(), "acq_time"].astype(str).tolist()
        first = moments.groupby([known["subject_id"], known["visit"]]).min()
        known_times = first.dropna()
        times.update(zip(known_times.index.tolist(), known_times, strict=True))
    if not any(visit == index_visit for _, visit in times):
        raise MissingModalityError(
            f"nobody has an acq_time for the visit {index_visit!r}",
            where="sessions.tsv and scans.tsv",
            remedy=f"visits with a time are {list_some(sorted({v for _, v in times})) or 'none'}",
        )
    days = np.full(len(visits), np.nan)
    keys = zip(visits["subject_id"], visits["visit"], strict=True)
    for position, (subject_id, visit) in enumerate(keys):
        start, moment = times.get((subject_id, index_visit)), times.get((subject_id, visit))
        if start is not None and moment is not None:
            days[position] = (moment.normalize() - start.normalize()).days
    counted = int(np.isfinite(days).sum())
    base = {"step": "visit days", "table": "visits", "column": "day"}
    detail = f"days between the dates of acq_time, from the visit {index_visit!r}"
    provenance = [{**base, "n": counted, "detail": detail}]
    if counted < len(days):
        missing = "visits without a day: no acq_time for them or for the person's index visit"
        provenance.append({**base, "n": len(days) - counted, "detail": missing})
    if unreadable:
        text = f"acq_time that is no ISO 8601 time: {list_some(unreadable)}"
        provenance.append({**base, "n": len(unreadable), "detail": text})
    return pd.Series(days, index=visits.index), provenance
