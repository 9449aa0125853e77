"""Clean the tables of ds005713: parse the free text, type the columns, account for each."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...cohort.clinical import read_clinical_table
from ...cohort.columns import Column
from ...errors import FormatError, list_some
from .cleaned import Cleaned, header_of
from .columns import (
    COMORBIDITIES,
    DERIVED,
    PARTICIPANTS,
    PSYCHOLOGY,
    SECOND_ASSESSMENT,
)
from .drugs import carbamazepine_equivalent, daily_dose, parse_drugs

__all__ = ["clean_participants", "clean_psychology", "parse_mri"]

KEY = "BIDS_ID"


def parse_mri(text: str) -> dict[str, Any]:
    """Read an MRI finding such as ``"right NVC, Fazekas 1"``.

    Parameters
    ----------
    text : str
        Parts divided by commas or semicolons. ``Fasekas`` and ``sequeale`` are read as what
        they mean. A bare ``NVC`` takes the side of the part before it.

    Returns
    -------
    dict
        ``nvc_side`` ("none", "left", "right", "bilateral"), ``fazekas_grade`` (0–3; 0 where
        none is named), ``mvd_sequelae_side`` ("none", "left", "right"), ``dolichoectasia``
        (bool), ``mri_other`` (the rest, or None).

    Raises
    ------
    FormatError
        When a conflict has no side, or a grade, side or conflict stands twice.

    Examples
    --------
    >>> from precisionpain.datasets._ds005713.clean import parse_mri
    >>> found = parse_mri("Right NVC, Fasekas 2, empty sella")
    >>> found["nvc_side"], found["fazekas_grade"], found["mri_other"]
    ('right', 2, 'empty sella')
    """
    found: dict[str, Any] = {
        "nvc_side": "none",
        "fazekas_grade": 0,
        "mvd_sequelae_side": "none",
        "dolichoectasia": False,
        "mri_other": None,
    }
    seen: set[str] = set()
    rest: list[str] = []
    before = ""
    for part in (piece.strip() for piece in re.split("[,;]", text)):
        low = part.lower()
        name = ""
        value: Any = None
        if match := re.fullmatch(r"fa[sz]ekas (\d)", low):
            name, value = "fazekas_grade", int(match[1])
        elif match := re.fullmatch(r"(?:(left|right|bilateral|left and right-sided) )?nvc", low):
            name = "nvc_side"
            value = match[1] or next((side for side in ("left", "right") if side in before), None)
            value = "bilateral" if value == "left and right-sided" else value
        elif match := re.fullmatch(r"sequ(?:elae|eale) of (left|right) mvd", low):
            name, value = "mvd_sequelae_side", match[1]
        elif low == "vertebrobasilar dolichoectasia":
            name, value = "dolichoectasia", True
        elif low not in ("", "normal"):
            rest.append(part)
        if name:
            if value is None or name in seen:
                raise FormatError(f"can't read {part!r} in the MRI finding {text!r}")
            seen.add(name)
            found[name] = value
        before = low
    if rest:
        found["mri_other"] = "; ".join(rest)
    return found


def clean_participants(path: Path) -> Cleaned:
    """Read and clean the complete table of the participants.

    Parameters
    ----------
    path : pathlib.Path
        participants.tsv of version 2.0.1.

    Returns
    -------
    Cleaned
        `extra` is the table of the drugs: ``subject_id, visit, drug, dose_mg_day,
        dose_known``.
    """
    file = "participants.tsv"
    raw = read_clinical_table(path, PARTICIPANTS, id_column=KEY, delimiter="\t")
    done = Cleaned(raw[list(PARTICIPANTS)].copy())
    done.provenance += raw.attrs["provenance"]
    people = done.table
    patient = people["clinical_finding"].str.startswith("TN")
    other = people.index[~patient & (people["clinical_finding"] != "normal")]
    if len(other):
        raise FormatError(f"neither TN nor normal: {list_some(other)}", where=file)
    people["diagnosis"] = np.where(patient, "TN", "control")
    people["sunct_suna"] = people["clinical_finding"].str.contains("SUNCT|SUNA")
    mri = pd.DataFrame([parse_mri(text) for text in people["mri_finding"]], index=people.index)
    people[mri.columns] = mri
    people["mri_other"] = mri["mri_other"].where(mri["mri_other"].notna(), np.nan)
    done.note(
        "parse",
        file,
        "MRI_finding",
        int((~people["mri_finding"].str.contains("azekas|asekas")).sum()),
        "no Fazekas grade named: stored as 0",
    )
    done.note(
        "parse",
        file,
        "MRI_finding",
        people.index[people["mri_other"].notna()],
        "findings without a column of their own: kept in mri_other",
    )
    done.extra = _add_drugs(people, done, file)
    _add_history(people)
    complications = people["complications"]
    people["any_complication"] = _flag(complications.str.lower() != "no", complications.notna())
    for name, pattern in COMORBIDITIES.items():
        text = people["comorbidities"]
        people[name] = _flag(text.str.contains(pattern, case=False), text.notna())
    _check_participants(people, done, file)
    done.columns = {**PARTICIPANTS, **DERIVED}
    first = ["diagnosis", "affected_side", "age", "sex"]
    done.table = people[[*first, *(name for name in done.columns if name not in first)]]
    header = header_of(path)
    for position, raw_name in enumerate(header, start=1):
        if raw_name:
            _account(done, file, raw_name, done.columns)
        else:
            blank = Column(role="unused", reason="no header and no value")
            done.columns[f"{file} column {position}"] = blank
            done.enter(file, f"(column {position}, no header)", "", "unused", blank.reason)
    return done


def _flag(values: pd.Series, known: pd.Series) -> pd.Series:
    return values.astype("boolean").where(known.astype(bool), pd.NA)


def _add_drugs(people: pd.DataFrame, done: Cleaned, file: str) -> pd.DataFrame:
    rows = []
    for subject, text in people["drugs_text"].items():
        where = f"{file}, {subject}"
        doses = parse_drugs(None if pd.isna(text) else str(text), where=where)
        people.loc[subject, "n_drugs"] = np.nan if doses is None else len(doses)
        people.loc[subject, "carbamazepine_mg_day"] = daily_dose(doses, "carbamazepine")
        people.loc[subject, "carbamazepine_equivalent_mg_day"] = carbamazepine_equivalent(doses)
        rows += [(subject, "preop", dose.drug, dose.mg_day) for dose in doses or ()]
    drugs = pd.DataFrame(rows, columns=["subject_id", "visit", "drug", "dose_mg_day"])
    drugs["dose_known"] = drugs["dose_mg_day"].notna()
    unstated = drugs.loc[~drugs["dose_known"], "subject_id"].unique()
    done.note(
        "parse",
        file,
        "Pharm_treatment (daily dose, mg)",
        unstated,
        "a drug without a dose: the dose is missing, not 0",
    )
    return drugs


def _add_history(people: pd.DataFrame) -> None:
    text, earlier = people["previous_surgery_text"].fillna(""), people["previous_surgery"]
    # "PI" in these texts is the present procedure; destruction, rhizotomy and balloon
    # compression are the earlier ones.
    patterns = {
        "previous_mvd": r"\bMVD\b",
        "previous_percutaneous": "destruction|rhizotomy|ball?oon",
    }
    for name, pattern in patterns.items():
        people[name] = _flag(text.str.contains(pattern, case=False), earlier.notna())


def _check_participants(people: pd.DataFrame, done: Cleaned, file: str) -> None:
    """Record what contradicts itself; the values stay as they are."""
    none, kept = people.index[:0], "kept as found"
    patient = people["diagnosis"] == "TN"
    nvc, side = people["nvc_side"], people["affected_side"]
    both = nvc.isin(["left", "right"]) & side.isin(["left", "right"])
    earlier = people["previous_mvd"].fillna(False).astype(bool)
    full = people["pain_reduction_percent"] == 100
    positive = people["surgery_outcome"] == "positive"
    day_1, day_2 = people["followup_1_day"], people["followup_2_day"]
    seen_1 = people["followup_1_available"].fillna(False).astype(bool)
    checks: list[tuple[str, pd.Series, str]] = [
        (
            "Sindou_grade",
            patient & (nvc == "none") & people["sindou_grade"].notna(),
            "a grade though the MRI finding names no conflict",
        ),
        (
            "Sindou_grade",
            ~patient & (nvc != "none"),
            "controls with a neurovascular conflict on MRI, without a grade",
        ),
        ("MRI_finding", both & (nvc != side), "the conflict lies opposite to the pain"),
        (
            "MRI_finding",
            (people["mvd_sequelae_side"] != "none") & ~earlier,
            "sequelae of a decompression on MRI, though no earlier one is recorded: the scan or "
            "the record may be of another time",
        ),
        (
            "Surgery_outcome",
            positive & ~full & people["pain_reduction_percent"].notna(),
            "a positive outcome with less than 100% pain reduction",
        ),
        (
            "Surgery_outcome",
            (people["surgery_outcome"] == "negative") & full,
            "a negative outcome with 100% pain reduction",
        ),
        (
            "First follow-up time (in days)",
            day_1.notna() & ~seen_1,
            "no first follow-up by the column beside it, though its day is given",
        ),
        (
            "Second follow-up  time (in days)",
            day_1 >= day_2,
            "the second follow-up isn't after the first",
        ),
        (
            "Comorbid medical conditions",
            people["comorbidity_obesity"].fillna(False).astype(bool) & (people["bmi"] < 30),
            "obesity is listed though the BMI is below 30",
        ),
    ]
    for column, wrong, text in checks:
        done.note(
            "check", file, column, people.index[wrong] if wrong.any() else none, f"{text}; {kept}"
        )


def clean_psychology(path: Path, subjects: pd.DataFrame) -> Cleaned:
    """Read and clean the psychological and neuropsychological tests.

    Parameters
    ----------
    path : pathlib.Path
        participants_psychology.tsv.
    subjects : pandas.DataFrame
        The cleaned participants; others are left out and recorded.

    Returns
    -------
    Cleaned
        `table` has the tests before surgery by subject; `extra` both assessments:
        ``subject_id, visit``, then one column per test.
    """
    file = "participants_psychology.tsv"
    second = {
        f"second {name}": dataclasses.replace(PSYCHOLOGY[name], source=header, visit="followup_1")
        for header, name in SECOND_ASSESSMENT.items()
    }
    listed = {"group": Column(source="Group", kind="text", role="note"), **PSYCHOLOGY, **second}
    raw = read_clinical_table(path, listed, id_column=KEY, delimiter="\t")
    done = Cleaned(raw)
    done.provenance += raw.attrs["provenance"]
    _note_mangled(path, done, file)
    stray = raw.index.difference(subjects.index)
    done.note(
        "leave out",
        file,
        KEY,
        stray,
        "people without a row in the table of the participants: not added to the cohort",
    )
    raw = raw.loc[raw.index.isin(subjects.index)]
    group = raw["group"].map({"patient": "TN", "HC": "control"})
    odd = raw.index[group != subjects["diagnosis"].reindex(raw.index)]
    if len(odd):
        raise FormatError(f"Group and Clinical_finding differ for {list_some(odd)}", where=file)
    done.note(
        "check",
        file,
        "TMTB",
        raw.index[raw["cognition_tmt_b"] < raw["cognition_tmt_a"]],
        "part B of the Trail Making Test faster than part A; kept as found",
    )
    done.note(
        "check",
        file,
        "Rey_copy",
        int((raw["cognition_rey_copy"] > 36).sum()),
        "above 36, the end of the usual scale of the Rey figure; kept as found",
    )
    before = raw[list(PSYCHOLOGY)]
    after = raw[list(second)].set_axis(list(SECOND_ASSESSMENT.values()), axis=1)
    seen = subjects["followup_1_available"].reindex(raw.index).fillna(False).astype(bool)
    done.note(
        "check",
        file,
        "…2",
        raw.index[after.notna().any(axis=1) & ~seen],
        "a second assessment though the first follow-up is marked 'no'; kept as found",
    )
    done.extra = pd.concat([_long(before, "preop"), _long(after, "followup_1")], ignore_index=True)
    done.table, done.columns = before, dict(PSYCHOLOGY)
    for header in header_of(path):
        if header == "Group":
            reason = "the same as diagnosis for everybody in the cohort"
            done.columns[f"{file} {header}"] = Column(source=header, role="unused", reason=reason)
            done.enter(file, header, "", "unused", reason)
        elif header in SECOND_ASSESSMENT:
            stored = f"measurements['psychology'], followup_1, {SECOND_ASSESSMENT[header]}"
            done.enter(file, header, stored, "measurement", "second assessment, after surgery")
        else:
            _account(done, file, header, PSYCHOLOGY)
    return done


def _note_mangled(path: Path, done: Cleaned, file: str) -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            for column in PSYCHOLOGY.values():
                cell = (row[column.source or ""] or "").strip()
                if cell in column.missing:
                    done.note(
                        "clean",
                        file,
                        str(column.source),
                        [row[KEY]],
                        f"{cell!r} is a date that a spreadsheet made of a number, which "
                        "can't be told any more: stored as missing",
                    )


def _long(table: pd.DataFrame, visit: str) -> pd.DataFrame:
    known = table[table.notna().any(axis=1)].reset_index()
    known.insert(1, "visit", visit)
    return known


def _account(done: Cleaned, file: str, header: str, columns: Mapping[str, Column]) -> None:
    """Enter what became of a column of the file; one that nothing became of is an error."""
    if header == KEY:
        done.enter(file, header, "subject_id", "key", "")
        return
    stored = {name: c for name, c in columns.items() if (c.source or name) == header}
    if not stored:
        raise FormatError(f"unknown column {header!r}", where=file)
    for name, column in stored.items():
        done.enter(file, header, name, column.role, column.reason)
