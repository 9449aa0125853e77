"""The validated tables behind a cohort, shared by all its subsets.

Keys are checked here, once, when data enter; everything above trusts them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, list_some
from .columns import Column
from .keys import check_ids, check_unique
from .outcomes import Outcome

Phase = Literal["before", "after", "unknown"]

SIDES = ("left", "right")
AFFECTED_SIDES = ("left", "right", "bilateral")
IMAGE_COLUMNS = ("subject_id", "visit", "contrast", "run", "path", "present")
VISIT_COLUMNS = ("subject_id", "visit", "day")

# Visit names that say by themselves on which side of the index event they lie.
_BEFORE = re.compile(r"^(pre|baseline|screening)", re.IGNORECASE)
_AFTER = re.compile(r"^(post|discharge|follow|fu\d*$)", re.IGNORECASE)


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
        return self.phases.get(str(visit), _phase_by_name(str(visit)))

    def obstacle(self, column: str) -> str | None:
        """Say why a column can't predict, or None when it may."""
        record = self.columns[column]
        why = f" ({record.reason})" if record.reason else ""
        if record.role == "outcome":
            return f"it is an outcome or derives from one{why}"
        if record.role == "truth":
            return "it is the hidden truth of synthetic data"
        if record.visit is not None and self.phase(record.visit) == "after":
            return f"it was recorded at visit {record.visit!r}, after the index event"
        return None


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
    subjects = _check_subjects(subjects)
    ids = subjects.index
    visits_table = _keyed(visits, VISIT_COLUMNS, "visits", ids)
    images_table = _keyed(images, IMAGE_COLUMNS, "images", ids)
    checked_measurements = {
        str(key): _check_measurements(table, str(key), ids)
        for key, table in (measurements or {}).items()
    }
    codes = {
        "visits": ids.get_indexer(visits_table["subject_id"]),
        "images": ids.get_indexer(images_table["subject_id"]),
    }
    for key, table in checked_measurements.items():
        codes[f"measurements/{key}"] = ids.get_indexer(table["subject_id"])
    for key, adata in (assays or {}).items():
        codes[f"assays/{key}"] = _check_assay(adata, str(key), ids)
    phases = _check_days(visits_table, schedule, landmark)
    _check_images(images_table)
    return Store(
        subjects=subjects,
        visits=visits_table,
        images=images_table,
        assays=dict(assays or {}),
        measurements=checked_measurements,
        columns=_complete_columns(subjects, columns),
        outcomes=dict(outcomes),
        schedule=dict(schedule),
        landmark=float(landmark),
        name=name,
        synthetic=bool(synthetic),
        meta=dict(meta),
        provenance=tuple(provenance),
        hidden=dict(hidden),
        codes=codes,
        phases=phases,
    )


def _check_subjects(subjects: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(subjects, pd.DataFrame):
        raise FormatError(f"subjects is a DataFrame, found {type(subjects).__name__}")
    if "subject_id" in subjects.columns:
        subjects = subjects.set_index("subject_id")
    else:
        subjects = subjects.copy(deep=False)
    if isinstance(subjects.index, pd.MultiIndex):
        raise FormatError(
            "the subjects table has one row per subject and one key, found a MultiIndex",
            remedy="move what varies within a person to `visits` or `measurements`",
        )
    subjects.index = _as_ids(subjects.index, "subjects")
    check_unique(subjects.index, table="subjects")
    names = [str(column) for column in subjects.columns]
    repeated = sorted({column for column in names if names.count(column) > 1})
    if repeated:
        raise AlignmentError(f"columns stand twice: {list_some(repeated)}", where="subjects")
    subjects.columns = pd.Index(names)
    if "affected_side" in subjects.columns:
        side = subjects["affected_side"]
        wrong = side.notna() & ~side.isin(AFFECTED_SIDES)
        if wrong.any():
            who = subjects.index[wrong][0]
            raise FormatError(
                f"a side is 'left', 'right', 'bilateral' or missing, found {side[who]!r}"
                + (f" and {int(wrong.sum()) - 1} more" if wrong.sum() > 1 else ""),
                where=f"subjects, column 'affected_side', subject {who!r}",
                remedy="map the codes of the file with Column(levels={'L': 'left', ...})",
            )
    return subjects


def _as_ids(values: Any, table: str) -> pd.Index:
    index = pd.Index(values, name="subject_id")
    if len(index) == 0:
        return index.astype(object)
    array = index.to_numpy(dtype=object)
    wrong = [value for value in array if not isinstance(value, str) or value != value.strip()]
    if wrong:
        raise AlignmentError(
            f"subject ids are text without spaces around it, found {list_some(wrong)}",
            where=table,
            remedy="give ids as strings, so that '01' and '1' stay apart",
        )
    if "" in index:
        raise AlignmentError("a subject id is empty", where=table)
    return pd.Index(array, name="subject_id", dtype=object)


def _keyed(
    table: pd.DataFrame | None, required: Sequence[str], label: str, ids: pd.Index
) -> pd.DataFrame:
    """Check a table that is keyed by subject: columns there, ids known, key unique."""
    if table is None:
        return pd.DataFrame({column: pd.Series(dtype=object) for column in required})
    if not isinstance(table, pd.DataFrame):
        raise FormatError(f"expected a DataFrame, found {type(table).__name__}", where=label)
    if table.index.names != [None]:
        table = table.reset_index()
    optional = {"day", "run", "present"}
    absent = [column for column in required if column not in table and column not in optional]
    if absent:
        raise FormatError(
            f"expected the columns {list_some(required, 9)}, lacking {list_some(absent)}",
            where=label,
        )
    table = table.reset_index(drop=True)
    for column in required:
        if column not in table:
            table[column] = {"day": np.nan, "run": pd.NA, "present": True}[column]
    check_ids(_as_ids(table["subject_id"], label), ids, table=label)
    key = [c for c in ("subject_id", "visit") if c in table]
    if label == "visits":
        _check_key(table, key, label)
    first = [*required, *(column for column in table if column not in required)]
    return table[first]


def _check_key(table: pd.DataFrame, key: list[str], label: str) -> None:
    twice = table.duplicated(key, keep=False)
    if twice.any():
        rows = table.loc[twice, key].drop_duplicates()
        shown = [" / ".join(str(value) for value in row) for row in rows.itertuples(index=False)]
        raise AlignmentError(
            f"each ({', '.join(key)}) stands once, found {list_some(shown)} more than once",
            where=label,
        )


def _check_measurements(table: pd.DataFrame, name: str, ids: pd.Index) -> pd.DataFrame:
    label = f"measurements[{name!r}]"
    table = _keyed(table, ("subject_id",), label, ids)
    if "side" in table:
        wrong = table["side"].notna() & ~table["side"].isin(SIDES)
        if wrong.any():
            row = table[wrong].iloc[0]
            raise FormatError(
                f"a side is 'left' or 'right', found {row['side']!r}",
                where=f"{label}, column 'side', subject {row['subject_id']!r}",
            )
    return table


def _check_assay(adata: Any, name: str, ids: pd.Index) -> np.ndarray:
    label = f"assays[{name!r}]"
    obs = getattr(adata, "obs", None)
    if obs is None or not hasattr(adata, "var"):
        raise FormatError(f"expected an AnnData, found {type(adata).__name__}", where=label)
    if "subject_id" not in obs:
        raise FormatError("expected the column 'subject_id' in obs", where=label)
    check_unique(adata.obs_names, table=f"{label}, samples")
    check_unique(adata.var_names, table=f"{label}, features")
    owner = obs["subject_id"].astype(object)
    orphan = owner.isna().to_numpy()
    if orphan.any():
        kind = obs["sample_type"].astype(str) if "sample_type" in obs else pd.Series("", obs.index)
        stray = orphan & ~kind.str.contains("control", case=False).to_numpy()
        if stray.any():
            raise AlignmentError(
                f"{int(stray.sum())} samples have no subject_id and are no control samples",
                where=label,
                remedy="give the subject_id, or mark controls in obs['sample_type']",
            )
    check_ids(_as_ids(owner[~orphan], label), ids, table=label)
    return ids.get_indexer(owner)


def _check_days(
    visits: pd.DataFrame, schedule: Mapping[str, float], landmark: float
) -> dict[str, Phase]:
    """Find each visit's phase; a visit lies on one side of the landmark for everybody."""
    try:
        days = visits["day"].astype(float)
    except (TypeError, ValueError) as error:
        wrong = visits[pd.to_numeric(visits["day"], errors="coerce").isna() & visits["day"].notna()]
        row = wrong.iloc[0]
        raise FormatError(
            f"a day is a number of days from the index event, found {row['day']!r}",
            where=f"visits, subject {row['subject_id']!r}, visit {row['visit']!r}",
            remedy="subtract the date of the index event",
        ) from error
    visits["day"] = days
    phases: dict[str, Phase] = {
        str(visit): "after" if day > landmark else "before" for visit, day in schedule.items()
    }
    for visit, group in visits.groupby("visit", sort=False):
        known = group[group["day"].notna()]
        expected = phases.get(str(visit), _phase_by_name(str(visit)))
        after = known["day"] > landmark
        if expected == "unknown" and len(known) and after.nunique() == 1:
            expected = "after" if after.iloc[0] else "before"
        # A visit that by schedule or name is a follow-up can't precede the index event.
        wrong = known[~after] if expected == "after" else known[after]
        if expected == "unknown":
            wrong = known[known["day"] < 0]
        if len(wrong):
            row = wrong.iloc[0]
            side = "after" if expected == "after" else "at or before"
            raise FormatError(
                f"expected every day {side} the landmark (day {landmark:g}), found "
                f"{row['day']:g}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""),
                where=f"visits, visit {visit!r}, subject {row['subject_id']!r}",
                remedy="count days from the index event, or give the visit another name or "
                "a day in `schedule`",
            )
        phases[str(visit)] = expected
    return phases


def _phase_by_name(visit: str) -> Phase:
    if _BEFORE.match(visit):
        return "before"
    return "after" if _AFTER.match(visit) else "unknown"


def _check_images(images: pd.DataFrame) -> None:
    images["path"] = images["path"].astype(object).map(lambda p: p if pd.isna(p) else str(p))
    images["present"] = images["present"].fillna(False).astype(bool)
    images["run"] = images["run"].astype("Int64")
    missing = images["present"] & images["path"].isna()
    if missing.any():
        raise FormatError(
            f"{int(missing.sum())} images are marked present but have no path", where="images"
        )
    known = images["path"].dropna()
    if known.duplicated().any():
        twice = known[known.duplicated()].map(lambda path: path.rsplit("/", 1)[-1])
        raise AlignmentError(f"files stand twice: {list_some(twice)}", where="images")


def _complete_columns(subjects: pd.DataFrame, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Give every column of the table its entry, and refuse entries of nothing."""
    stray = [n for n, c in columns.items() if n not in subjects and c.role != "unused"]
    if stray:
        raise FormatError(
            f"columns describes {list_some(stray)}, which the subjects table lacks",
            remedy="correct the names, or give them role='unused' with the reason",
        )
    complete = {name: columns.get(name) or _default(name) for name in subjects.columns}
    for name, record in complete.items():
        if record.kind is None:
            complete[name] = dataclasses.replace(record, kind=infer_kind(subjects[name]))
    complete.update({n: c for n, c in columns.items() if n not in complete})
    return complete


def _default(name: str) -> Column:
    if name == "site":
        return Column(role="note", reason="a model that knows the site doesn't travel")
    return Column()


def infer_kind(values: pd.Series) -> Any:
    """Guess the kind of a column from its values."""
    known = values.dropna()
    if pd.api.types.is_bool_dtype(values.dtype):
        return "flag"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "number"
    if len(known) and known.map(lambda v: isinstance(v, bool | np.bool_)).all():
        return "flag"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "date"
    few = known.astype(str).nunique() <= max(12, 0.05 * len(known))
    return "category" if few else "text"
