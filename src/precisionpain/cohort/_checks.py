"""Checks of the tables that enter a cohort: keys, sides, days, names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import AlignmentError, FormatError, list_some
from .keys import check_ids, check_unique

Phase = Literal["before", "after", "unknown"]

SIDES = ("left", "right")
AFFECTED_SIDES = ("left", "right", "bilateral")
IMAGE_COLUMNS = ("subject_id", "visit", "contrast", "run", "path", "present")
VISIT_COLUMNS = ("subject_id", "visit", "day")

# Visit names that say by themselves on which side of the index event they lie.
_BEFORE = re.compile(r"^(pre|baseline|screening)", re.IGNORECASE)
_AFTER = re.compile(
    r"^(post|discharge|follow|fu\d*$|0*[1-9]\d*_?(m|mo|months?|w|weeks?|y|yrs?|years?)$"
    r"|(m|mo|months?|w|weeks?|y|yrs?|years?)_?0*[1-9]\d*$)",
    re.IGNORECASE,
)


def check_subjects(subjects: pd.DataFrame) -> pd.DataFrame:
    """Check the ids, the column names and the affected sides."""
    if not isinstance(subjects, pd.DataFrame):
        raise FormatError(f"subjects is a DataFrame, found {type(subjects).__name__}")
    if "subject_id" in subjects.columns:
        subjects = subjects.set_index("subject_id")
    else:
        subjects = subjects.copy()
    # What the reader attached stands in the cohort by now; pandas would copy it at each step.
    subjects.attrs = {}
    if isinstance(subjects.index, pd.MultiIndex):
        raise FormatError(
            "the subjects table has one row per subject and one key, found a MultiIndex",
            remedy="move what varies within a person to `visits` or `measurements`",
        )
    subjects.index = _as_ids(subjects.index, "subjects")
    check_unique(subjects.index, table="subjects")
    names = [str(column) for column in subjects.columns]
    subjects.columns = pd.Index(names, dtype=object)
    _check_columns(subjects.columns, "subjects")
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


def _check_columns(columns: pd.Index, label: str) -> None:
    if not columns.is_unique:
        repeated = columns[columns.duplicated()].unique()
        raise AlignmentError(f"columns stand twice: {list_some(repeated)}", where=label)


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


def keyed(
    table: pd.DataFrame | None, required: Sequence[str], label: str, ids: pd.Index
) -> pd.DataFrame:
    """Check a table that is keyed by subject: columns there, ids known, key unique."""
    if table is None:
        return pd.DataFrame({column: pd.Series(dtype=object) for column in required})
    if not isinstance(table, pd.DataFrame):
        raise FormatError(f"expected a DataFrame, found {type(table).__name__}", where=label)
    if table.index.names != [None]:
        clash = [name for name in table.index.names if name in table]
        if clash:
            raise FormatError(f"{list_some(clash)} is both index and column", where=label)
        table = table.reset_index()
    optional = {"day", "run", "present"}
    lacking = [column for column in required if column not in table]
    absent = [column for column in lacking if column not in optional]
    if absent:
        raise FormatError(
            f"expected the columns {list_some(required, 9)}, lacking {list_some(absent)}",
            where=label,
        )
    _check_columns(table.columns, label)
    first = [*required, *(column for column in table if column not in required)]
    table = table.reindex(columns=first).reset_index(drop=True)
    table.attrs = {}
    if "present" in lacking:
        table["present"] = True
    owners = _as_ids(table["subject_id"], label)
    check_ids(owners, ids, table=label)
    # A categorical key would carry the ids of people who are not in the table.
    table["subject_id"] = owners.to_numpy()
    if "visit" in table:
        _check_visit_names(table["visit"], label)
    if label == "visits":
        if table["visit"].isna().any():
            raise FormatError("a visit has no name", where=label)
        _check_key(table, ["subject_id", "visit"], label)
    return table


def _check_visit_names(visits: pd.Series, label: str) -> None:
    wrong = [
        name for name in visits.dropna().drop_duplicates().tolist() if not isinstance(name, str)
    ]
    if wrong:
        raise FormatError(
            f"visit names are text, found {list_some(wrong)}",
            where=f"{label}, column 'visit'",
            remedy="give names such as 'preop' or 'followup_12m', and the days in `visits`",
        )


def _check_key(table: pd.DataFrame, key: list[str], label: str) -> None:
    twice = table.duplicated(key, keep=False)
    if twice.any():
        rows = table.loc[twice, key].drop_duplicates()
        shown = [" / ".join(str(value) for value in row) for row in rows.itertuples(index=False)]
        raise AlignmentError(
            f"each ({', '.join(key)}) stands once, found {list_some(shown)} more than once",
            where=label,
        )


def check_measurements(table: pd.DataFrame, name: str, ids: pd.Index) -> pd.DataFrame:
    """Check a derived table: its keys, visits and sides."""
    label = f"measurements[{name!r}]"
    table = keyed(table, ("subject_id",), label, ids)
    if "side" in table:
        wrong = table["side"].notna() & ~table["side"].isin(SIDES)
        if wrong.any():
            row = table[wrong].iloc[0]
            raise FormatError(
                f"a side is 'left' or 'right', found {row['side']!r}",
                where=f"{label}, column 'side', subject {row['subject_id']!r}",
            )
    return table


def check_assay(adata: Any, name: str, ids: pd.Index) -> np.ndarray:
    """Check an assay's samples and return the position of each one's subject."""
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
    if "visit" in obs:
        _check_visit_names(obs["visit"], label)
    return ids.get_indexer(owner)


def check_schedule(
    schedule: Mapping[str, float], landmark: float
) -> tuple[dict[str, float], float]:
    """Check the nominal days and the landmark."""
    days = {str(visit): _day(day, f"schedule, visit {visit!r}") for visit, day in schedule.items()}
    return days, _day(landmark, "landmark")


def _day(value: Any, where: str) -> float:
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not np.isfinite(value):
        raise FormatError(
            f"expected a number of days from the index event, found {value!r}", where=where
        )
    return float(value)


def check_days(
    visits: pd.DataFrame, schedule: Mapping[str, float], landmark: float
) -> dict[str, Phase]:
    """Find each visit's phase; a visit lies on one side of the landmark for everybody."""
    visits["day"] = _as_days(visits)
    phases: dict[str, Phase] = {
        visit: "after" if day > landmark else "before" for visit, day in schedule.items()
    }
    dated = visits[visits["day"].notna()]
    late = dated["day"] > landmark
    for visit in visits["visit"].unique():
        rows = dated["visit"] == visit
        after = late[rows]
        expected = phases.get(visit, phase_by_name(visit))
        if expected == "unknown" and after.nunique() == 1:
            expected = "after" if after.iloc[0] else "before"
        phases[visit] = expected
        if expected == "unknown" and not after.empty:
            raise FormatError(
                f"the visit lies before the landmark (day {landmark:g}) for {int((~after).sum())} "
                f"people and after it for {int(after.sum())}",
                where=f"visits, visit {visit!r}",
                remedy="name the later ones differently, so that only what was known by the "
                "landmark can predict",
            )
        # A visit that by schedule or name is a follow-up can't precede the index event.
        wrong = dated[rows][~after if expected == "after" else after]
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
    return phases


def _as_days(visits: pd.DataFrame) -> pd.Series:
    days = visits["day"]
    numbers = pd.Series(np.nan, days.index)
    if pd.api.types.is_numeric_dtype(days) or pd.api.types.is_string_dtype(days.dtype):
        read = pd.to_numeric(days, errors="coerce")
        numbers[:] = read.to_numpy(dtype=float, na_value=np.nan)
    wrong = days.notna() & ~np.isfinite(numbers)
    if wrong.any():
        row = visits[wrong].iloc[0]
        raise FormatError(
            f"a day is a number of days from the index event, found {row['day']!r}",
            where=f"visits, subject {row['subject_id']!r}, visit {row['visit']!r}",
            remedy="subtract the date of the index event",
        )
    return numbers


def phase_by_name(visit: str) -> Phase:
    """Guess from a visit's name on which side of the landmark it lies."""
    if _BEFORE.match(visit):
        return "before"
    return "after" if _AFTER.match(visit) else "unknown"


def check_images(images: pd.DataFrame) -> None:
    """Bring the images' columns to their types, in place."""
    images["path"] = images["path"].astype(object).map(lambda p: p if pd.isna(p) else str(p))
    known = images["present"].dropna()
    if not known.isin([True, False]).all():
        odd = known[~known.isin([True, False])].drop_duplicates().tolist()
        raise FormatError(
            f"expected true, false or missing, found {list_some(odd)}",
            where="images, column 'present'",
        )
    images["present"] = images["present"].astype("boolean").fillna(False).astype(bool)
    try:
        images["run"] = images["run"].astype("Int64")
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"a run is a whole number or missing ({error})", where="images, column 'run'"
        ) from error
    missing = images["present"] & images["path"].isna()
    if missing.any():
        raise FormatError(
            f"{int(missing.sum())} images are marked present but have no path", where="images"
        )
    paths = images["path"].dropna()
    if paths.duplicated().any():
        twice = paths[paths.duplicated()].map(lambda path: path.rsplit("/", 1)[-1])
        raise AlignmentError(f"files stand twice: {list_some(twice)}", where="images")


def check_names(names: Sequence[str]) -> None:
    """Refuse names that `availability` couldn't tell apart."""
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise AlignmentError(
            f"more than one contrast, assay or measurement table is called {list_some(repeated)}",
            remedy="rename one of them; `availability` and `require` tell them apart by name",
        )
