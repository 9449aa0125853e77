"""What cleaning a table gives: the table, its columns, what was done, and an account of all."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ...cohort.columns import Column

__all__ = ["Cleaned", "header_of"]


@dataclasses.dataclass
class Cleaned:
    """A cleaned table with what is known of it.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by ``subject_id`` (tables of the subjects), or with the column.
    columns : dict of str to Column
        What is known of the columns of a table of the subjects.
    provenance : list of dict
        What was done, with the keys ``step, table, column, n, detail``.
    accounting : list of dict
        One entry per column of the file: ``table, raw column, stored as, role, reason``.
    extra : pandas.DataFrame
        The table that was split off: drugs of the participants, or the assessments in long
        form.
    """

    table: pd.DataFrame
    columns: dict[str, Column] = dataclasses.field(default_factory=dict)
    provenance: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    accounting: list[dict[str, str]] = dataclasses.field(default_factory=list)
    extra: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)

    def note(self, step: str, file: str, column: str, ids: Iterable[str] | int, text: str) -> None:
        """Add an entry to the provenance, with the people concerned where they are few."""
        if isinstance(ids, int):
            n, who = ids, ""
        else:
            people = list(ids)
            n = len(people)
            who = f": {', '.join(people)}" if 0 < n <= 12 else ""
        if n:
            entry = {"step": step, "table": file, "column": column, "n": n, "detail": text + who}
            self.provenance.append(entry)

    def enter(self, file: str, header: str, stored: str, role: str, reason: str) -> None:
        """Account for a column of the file."""
        row = {"table": file, "raw column": header, "stored as": stored}
        self.accounting.append({**row, "role": role, "reason": reason})


def header_of(path: Path) -> list[str]:
    """Return the header of a tab-separated file as it stands, blank names included.

    Parameters
    ----------
    path : pathlib.Path
        The file, in UTF-8 with or without a mark.

    Returns
    -------
    list of str
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream, delimiter="\t"))
