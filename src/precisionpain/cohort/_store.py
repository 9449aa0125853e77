"""The validated tables behind a cohort, shared by all its subsets.

Keys are checked here, once, when data enter; everything above trusts them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import FormatError, list_some
from ._checks import (
    IMAGE_COLUMNS,
    VISIT_COLUMNS,
    Phase,
    check_assay,
    check_days,
    check_images,
    check_measurements,
    check_names,
    check_schedule,
    check_subjects,
    keyed,
    phase_by_name,
)
from .columns import Column, Kind, assume_column
from .outcomes import Outcome


@dataclasses.dataclass(frozen=True)
class Store:
    """All tables of a cohort, validated, with the position of the subject of every row."""

    subjects: pd.DataFrame
    visits: pd.DataFrame
    images: pd.DataFrame
    assays: Mapping[str, Any]
    measurements: Mapping[str, pd.DataFrame]
    columns: Mapping[str, Column]
    outcomes: Mapping[str, Outcome]
    schedule: Mapping[str, float]
    landmark: float
    name: str
    synthetic: bool
    meta: Mapping[str, Any]
    provenance: tuple[Mapping[str, Any], ...]
    hidden: Mapping[str, str]
    codes: Mapping[str, np.ndarray]
    phases: Mapping[str, Phase]

    def phase(self, visit: object) -> Phase:
        """Tell on which side of the landmark a visit lies."""
        return self.phases.get(str(visit), phase_by_name(str(visit)))

    def obstacle(self, column: str) -> str | None:
        """Say why a column can't predict, or None when it may."""
        record = self.columns[column]
        why = f" ({record.reason})" if record.reason else ""
        if record.role == "outcome":
            return f"it is an outcome or derives from one{why}"
        if record.role == "truth":
            return "it is the hidden truth of synthetic data"
        if record.visit is not None and self.phase(record.visit) == "after":
            limit = f"the landmark (day {self.landmark:g})" if self.landmark else "the index event"
            return f"it was recorded at visit {record.visit!r}, after {limit}"
        return None

    def visit_names(self) -> list[str]:
        """Name every visit that a table, a column or the schedule knows."""
        names = dict.fromkeys(self.schedule)
        tables = [self.visits, self.images, *self.measurements.values()]
        tables += [adata.obs for adata in self.assays.values()]
        for table in tables:
            if "visit" in table:
                names.update(dict.fromkeys(table["visit"].dropna().unique()))
        names.update(dict.fromkeys(c.visit for c in self.columns.values() if c.visit))
        return list(names)

    def only(self, person: int) -> Store:
        """Return a store that holds this person's rows, and the control samples, alone."""
        chosen = {key: np.flatnonzero(codes == person) for key, codes in self.codes.items()}
        assays = {}
        codes = {key: np.zeros(len(rows), dtype=np.intp) for key, rows in chosen.items()}
        for name, adata in self.assays.items():
            owner = self.codes[f"assays/{name}"]
            kept = (owner == person) | (owner < 0)
            assays[name] = adata[kept].copy()
            codes[f"assays/{name}"] = np.where(owner[kept] < 0, -1, 0)
        return dataclasses.replace(
            self,
            subjects=self.subjects.take([person]),
            visits=self.visits.take(chosen["visits"]),
            images=self.images.take(chosen["images"]),
            assays=assays,
            measurements={
                name: table.take(chosen[f"measurements/{name}"])
                for name, table in self.measurements.items()
            },
            codes=codes,
        )


def build_store(
    subjects: pd.DataFrame,
    *,
    visits: pd.DataFrame | None,
    images: pd.DataFrame | None,
    assays: Mapping[str, Any] | None,
    measurements: Mapping[str, pd.DataFrame] | None,
    columns: Mapping[str, Column],
    outcomes: Mapping[str, Outcome],
    schedule: Mapping[str, float],
    landmark: float,
    name: str,
    synthetic: bool,
    meta: Mapping[str, Any],
    provenance: Sequence[Mapping[str, Any]],
    hidden: Mapping[str, str],
) -> Store:
    """Check every table against the subjects and build the store."""
    subjects = check_subjects(subjects)
    ids = subjects.index
    schedule, landmark = check_schedule(schedule, landmark)
    visits_table = keyed(visits, VISIT_COLUMNS, "visits", ids)
    images_table = keyed(images, IMAGE_COLUMNS, "images", ids)
    measured = {
        str(key): check_measurements(table, str(key), ids)
        for key, table in (measurements or {}).items()
    }
    codes = {
        "visits": ids.get_indexer(pd.Index(visits_table["subject_id"])),
        "images": ids.get_indexer(pd.Index(images_table["subject_id"])),
    }
    for key, table in measured.items():
        codes[f"measurements/{key}"] = ids.get_indexer(pd.Index(table["subject_id"]))
    assayed = {str(key): adata for key, adata in (assays or {}).items()}
    for key, adata in assayed.items():
        codes[f"assays/{key}"] = check_assay(adata, key, ids)
    phases = check_days(visits_table, schedule, landmark)
    check_images(images_table)
    contrasts = images_table["contrast"].dropna().unique()
    check_names([*contrasts, *assayed, *measured])
    return Store(
        subjects=subjects,
        visits=visits_table,
        images=images_table,
        assays=assayed,
        measurements=measured,
        columns=_complete_columns(subjects, columns, outcomes),
        outcomes=dict(outcomes),
        schedule=schedule,
        landmark=landmark,
        name=name,
        synthetic=bool(synthetic),
        meta=copy.deepcopy(dict(meta)),
        provenance=tuple(dict(entry) for entry in provenance),
        hidden=dict(hidden),
        codes=codes,
        phases=phases,
    )


def _complete_columns(
    subjects: pd.DataFrame, columns: Mapping[str, Column], outcomes: Mapping[str, Outcome]
) -> dict[str, Column]:
    """Give every column of the table its entry, and refuse entries of nothing."""
    stray = [n for n, c in columns.items() if n not in subjects and c.role != "unused"]
    if stray:
        raise FormatError(
            f"columns describes {list_some(stray)}, which the subjects table lacks",
            remedy="correct the names, or give them role='unused' with the reason",
        )
    complete = {}
    for name in subjects.columns:
        record = columns.get(name) or assume_column(name)
        if record.kind is None:
            record = dataclasses.replace(record, kind=infer_kind(subjects[name]))
        complete[name] = record
    complete.update({n: c for n, c in columns.items() if n not in complete})
    return bar_sources(complete, outcomes)


def bar_sources(
    columns: Mapping[str, Column], outcomes: Mapping[str, Outcome]
) -> dict[str, Column]:
    """Make outcome columns of those that outcomes are computed from."""
    barred = dict(columns)
    for name, outcome in outcomes.items():
        for source in outcome.sources:
            record = barred.get(source)
            if record is None:
                continue
            guessed = record.role == "outcome" and record.reason == assume_column(source).reason
            if guessed or record.role in ("predictor", "note"):
                barred[source] = dataclasses.replace(
                    record, role="outcome", reason=f"it defines {name}"
                )
    return barred


def infer_kind(values: pd.Series) -> Kind:
    """Guess the kind of a column from its values."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return "flag"
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "date"
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "boolean":
        return "flag"
    if found in ("date", "datetime"):
        return "date"
    known = values.dropna()
    few = known.map(str).nunique() <= max(12, 0.05 * len(known))
    return "category" if few else "text"
