"""What a run of the study found: tables, words, files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import FormatError, StorageError
from ...evaluation import Audit, CVResult, audit_table
from .measures import COLUMNS
from .plan import ROWS
from .published import N_CHRONIC, N_FOLDS, N
from .store import versions

__all__ = ["TITLES", "Experiments"]

TITLES = {
    1: "Demographics and clinical characteristics",
    2: "Classification of chronic pain against recovery, by plane",
    3: "Additional experiments",
    4: "Bedside parameters only, without MRI",
}


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Experiments:
    """What `run` found.

    Parameters
    ----------
    tables : dict of int to pandas.DataFrame
        By the number of the table in the study; see `run` for the columns.
    results : dict of str to CVResult
        The cross-validation of each row that was computed, by name. To ask one for its
        ``permutation`` trains all of its folds again for each permutation.
    settings : dict
        Of the run.
    notes : tuple of str
        What differs from the study, and what to keep in mind.
    cohort : Cohort
        The people analysed.
    """

    tables: dict[int, pd.DataFrame]
    results: dict[str, CVResult]
    settings: dict[str, Any]
    notes: tuple[str, ...]
    cohort: Cohort

    def frame(self) -> pd.DataFrame:
        """Return Tables 2 to 4 as one.

        Returns
        -------
        pandas.DataFrame
            One row per row of the study; columns as in `run`.
        """
        parts = [table for number, table in self.tables.items() if number > 1 and len(table)]
        if not parts:
            return pd.DataFrame(columns=list(COLUMNS))
        return pd.concat(parts, ignore_index=True)

    @property
    def predictions(self) -> pd.DataFrame:
        """Out-of-fold probabilities: ``row``, ``subject_id``, ``fold``, ``y``, ``p``."""
        parts = [
            result.predictions.rename_axis("subject_id").reset_index().assign(row=name)
            for name, result in self.results.items()
        ]
        columns = ["row", "subject_id", "fold", "y", "p"]
        return pd.concat(parts)[columns].reset_index(drop=True) if parts else pd.DataFrame(
            columns=columns
        )  # fmt: skip

    @property
    def folds(self) -> pd.DataFrame:
        """Figures of each fold of each row, undefined ones missing."""
        parts = [r.frame().reset_index().assign(row=name) for name, r in self.results.items()]
        if not parts:
            return pd.DataFrame(columns=["row", "fold"])
        table = pd.concat(parts, ignore_index=True)
        return table[["row", *(column for column in table if column != "row")]]

    def audit(self) -> Audit:
        """Ask the published figures of these rows what they imply.

        Returns
        -------
        Audit
            See `precisionpain.evaluation.audit_table`.
        """
        rows = [ROWS[name] for name in self.frame()["row"]]
        lines = [
            {
                "row": row.name, **row.published, "stratified": row.folds == "stratified",
                "kind": "best fold" if row.best_fold else "mean of folds",
            }
            for row in rows
            if row.published
        ]  # fmt: skip
        if not lines:
            raise FormatError("none of these rows was published")
        return audit_table(lines, n=N, n_positive=N_CHRONIC, folds=N_FOLDS)

    def summary(self) -> str:
        """Put the tables into words.

        Returns
        -------
        str
            One line per row: the AUC as published and as found here.
        """
        lines = []
        if self.cohort.synthetic:
            lines += ["SYNTHETIC PEOPLE: nothing here is a finding about patients.", ""]
        lines += [f"{len(self.cohort)} people, {self.settings['n_splits']} folds"]
        for number, table in self.tables.items():
            lines += ["", f"Table {number}. {TITLES[number]}"]
            if number == 1:
                lines += [_line_of_people(row) for row in table.to_dict("records")]
            else:
                lines += [f"  {'':38}published  mean of folds          pooled"]
                lines += [_line_of_row(row) for row in table.to_dict("records")]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        made_up = " – SYNTHETIC DATA" if self.cohort.synthetic else ""
        frame = self.frame()
        done = int((frame["status"] == "done").sum())
        return (
            f"Experiments: tables {', '.join(map(str, self.tables))}{made_up}\n"
            f"  people     {len(self.cohort)}\n"
            f"  rows       {done} of {len(frame)} computed\n"
            "  see        .tables .frame() .summary() .results .audit() .save(folder)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything that is machine-readable, without predictions of people.

        Returns
        -------
        dict
            JSON values; what isn't a number is None.
        """
        cohort = self.cohort
        record = {
            "format": "precisionpain mtbi experiments",
            "format_version": 1,
            "cohort": {
                "name": cohort.name, "synthetic": cohort.synthetic, "n": len(cohort),
                "flow": cohort.flow.frame().to_dict("records"),
            },
            "settings": self.settings,
            "notes": list(self.notes),
            "tables": {str(number): t.to_dict("records") for number, t in self.tables.items()},
            "folds": self.folds.to_dict("records"),
            "versions": versions(),
        }  # fmt: skip
        plain: dict[str, Any] = _plain(record)
        return plain

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the tables as CSV, and everything as JSON.

        Parameters
        ----------
        folder : str or Path
            Is made when absent.

        Returns
        -------
        dict of str to Path
            ``table_1.csv`` … ``table_4.csv``, ``folds.csv``, ``predictions.csv`` (the only
            one that names people) and, written last, ``results.json``.

        Raises
        ------
        StorageError
            When they can't be written.
        """
        place = Path(folder).expanduser()
        frames = {f"table_{number}.csv": table for number, table in self.tables.items()}
        frames |= {"folds.csv": self.folds, "predictions.csv": self.predictions}
        content = {name: frame.to_csv(index=False) for name, frame in frames.items()}
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        content["results.json"] = f"{text}\n"
        written = {}
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name, each in content.items():
                part = place / f".{name}.{os.getpid()}.part"
                part.write_text(each, encoding="utf-8")
                written[name] = place / name
                os.replace(part, written[name])
        except OSError as error:
            raise StorageError(
                f"the tables can't be written ({error.strerror or error})",
                where=str(place),
                remedy="choose a folder that you may write to",
            ) from error
        return written


def _line_of_people(row: Mapping[Hashable, Any]) -> str:
    name = f"{row['variable']}, {row['level']}"
    if row["status"] != "done":
        return f"  {name:26} {row['status']}"
    published = row["published_chronic_pain"]
    there = (
        f"  (published {published} | {row['published_recovery']})" if published == published else ""
    )
    return f"  {name:26} {row['chronic_pain']} | {row['recovery']}{there}"


def _line_of_row(row: Mapping[Hashable, Any]) -> str:
    name = f"  {row['label'][:37]:38}"
    printed = row["published_auc"]
    start = f"{name}{'–' if pd.isna(printed) else f'{printed:.2f}':>9}"
    if row["status"] != "done":
        return f"{start}  {row['status']}"
    mean = f"{row['auc']:.2f}" + _span(row["auc_low"], row["auc_high"])
    pooled = f"{row['pooled_auc']:.2f}" + _span(row["pooled_auc_low"], row["pooled_auc_high"])
    return f"{start}  {mean:21}  {pooled}"


def _span(low: float, high: float) -> str:
    return "" if pd.isna(low) else f" ({low:.2f} to {high:.2f})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or value is pd.NA or isinstance(value, bool | int | str):
        return None if value is pd.NA else value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)
