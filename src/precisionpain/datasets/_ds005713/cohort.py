"""Put the cleaned tables of ds005713 and the list of its images together to a cohort."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...cohort.columns import Column
from ...cohort.core import Cohort
from ...cohort.outcomes import Outcome
from ...imaging.files import file_state
from .clean import clean_participants, clean_psychology
from .mriqc import clean_mriqc
from .registry import RegisteredFile

__all__ = ["Tables", "build_cohort", "clean_tables"]

MVD = {"surgery": "MVD"}
OUTCOMES = {
    "mvd_response": Outcome(
        column="surgery_outcome",
        positive=("positive",),
        where=MVD,
        description="positive outcome of microvascular decompression at discharge",
    ),
    "surgery_response": Outcome(
        column="surgery_outcome",
        positive=("positive",),
        description="positive outcome of any surgery at discharge",
    ),
    "pain_reduction": Outcome(
        column="pain_reduction_percent",
        kind="number",
        description="pain reduction at discharge, %",
    ),
    "pain_free_followup_2": Outcome(
        column="followup_2_pain",
        at_most=0,
        description="no pain at the second follow-up, after any surgery",
    ),
    "mvd_pain_free_followup_2": Outcome(
        column="followup_2_pain",
        at_most=0,
        where=MVD,
        description="no pain at the second follow-up after microvascular decompression",
    ),
    "followup_2_pain": Outcome(
        column="followup_2_pain",
        kind="number",
        description="pain at the second follow-up, 0–10",
    ),
    "complication": Outcome(
        column="any_complication",
        positive=(True,),
        description="any complication of the surgery",
    ),
}
META = {
    "source": "https://openneuro.org/datasets/ds005713",
    "doi": "10.18112/openneuro.ds005713.v2.0.2",
    "licence": "CC0",
    "citation": "Filimonova E, Pashkov A, Martirosyan A, Kurilov V, Moysak G, Rzaev J (2025). "
    "A large-scale dataset of pre- and post-surgical MRI data in patients with chronic "
    "trigeminal neuralgia. OpenNeuro. doi:10.18112/openneuro.ds005713.v2.0.2",
    "version": "2.0.2; table of the participants of 2.0.1",
    "centre": "Federal Neurosurgical Center, Novosibirsk",
    "index_event": "surgery",
}
_IMAGE = re.compile(
    r"(sub-\d+)(fu)?/(?P<datatype>\w+)/sub-\d+(?:fu)?_(?:task-(?P<task>\w+)_)?"
    r"(?:run-(?P<run>\d+)_)?(?P<contrast>T1w|T2w|dwi|bold)\.nii\.gz"
)


@dataclasses.dataclass(frozen=True)
class Tables:
    """All tables, cleaned.

    Parameters
    ----------
    subjects : pandas.DataFrame
        One row per person.
    measurements : dict of str to pandas.DataFrame
        Derived tables.
    columns : dict of str to Column
        What is known of the columns of `subjects`.
    provenance, accounting : list of dict
        What was done, and what became of each column.
    """

    subjects: pd.DataFrame
    measurements: dict[str, pd.DataFrame]
    columns: dict[str, Column]
    provenance: list[dict[str, Any]]
    accounting: list[dict[str, str]]


def clean_tables(root: Path) -> Tables:
    """Clean the tables below a root.

    Parameters
    ----------
    root : pathlib.Path
        Of the data set; the registered tables must be there.

    Returns
    -------
    Tables
    """
    people = clean_participants(root / "participants.tsv")
    tests = clean_psychology(root / "participants_psychology.tsv", people.table)
    measurements = {"drugs": people.extra, "psychology": tests.extra}
    parts = [people, tests]
    for contrast in ("T1w", "T2w", "dwi", "bold"):
        path = root / "mriqc_data" / f"group_{contrast}.tsv"
        metrics = clean_mriqc(path, contrast, people.table.index)
        measurements[f"mriqc_{contrast}"] = metrics.table
        parts.append(metrics)
    return Tables(
        subjects=people.table.join(tests.table),
        measurements=measurements,
        columns={**people.columns, **tests.columns},
        provenance=[entry for part in parts for entry in part.provenance],
        accounting=[entry for part in parts for entry in part.accounting],
    )


def build_cohort(
    root: Path,
    tables: Tables,
    registry: Mapping[str, RegisteredFile],
    provenance: list[dict[str, Any]],
) -> Cohort:
    """Make the cohort of the tables and of the files below a root.

    Parameters
    ----------
    root : pathlib.Path
        Of the data set.
    tables : Tables
        Of `clean_tables`.
    registry : mapping of str to RegisteredFile
        All files of the data set.
    provenance : list of dict
        What fetching did.

    Returns
    -------
    Cohort
    """
    subjects = tables.subjects
    listed = list_images(root, registry)
    known = listed["subject_id"].isin(subjects.index)
    images = listed[known].reset_index(drop=True)
    entries = [*provenance, *tables.provenance]

    def note(table: str, n: int, detail: str, ids: pd.Index | None = None) -> None:
        if n:
            who = "" if ids is None else f": {', '.join(ids)}"
            entry = {"step": "check", "table": table, "column": None, "n": n}
            entries.append({**entry, "detail": detail + who})

    strays = pd.Index(listed.loc[~known, "subject_id"].unique())
    note("images", int((~known).sum()), "images of people without a row in the table of the "
         "participants: not added to the cohort", strays)  # fmt: skip
    without = subjects.index.difference(pd.Index(images["subject_id"]))
    note("images", len(without), "people without any image in the data set", without)
    scanned = images.loc[images["visit"] == "followup_1", "subject_id"].unique()
    marked = subjects.index[subjects["followup_1_available"].fillna(False).astype(bool)]
    unmarked = pd.Index(scanned).difference(marked)
    note("images", len(unmarked), "scanned at the first follow-up though it is marked 'no'; the "
         "day is unknown", unmarked)  # fmt: skip
    note("images", int((~images["present"]).sum()), "images of the data set that aren't on disk")
    return Cohort(
        subjects,
        visits=make_visits(subjects, [images, *tables.measurements.values()]),
        images=images,
        measurements=tables.measurements,
        columns=tables.columns,
        outcomes=OUTCOMES,
        landmark=0.0,
        name="ds005713",
        meta={**META, "accounting": tables.accounting},
        provenance=entries,
    )


def list_images(root: Path, registry: Mapping[str, RegisteredFile]) -> pd.DataFrame:
    """List all images of the data set, on disk or not.

    Parameters
    ----------
    root : pathlib.Path
        Of the data set.
    registry : mapping of str to RegisteredFile
        All files of the data set.

    Returns
    -------
    pandas.DataFrame
        As `Cohort` takes it. An image counts as present when a file of the registered size
        is there; what was fetched was also compared by checksum.
    """
    rows = []
    for file in registry.values():
        match = _IMAGE.fullmatch(file.path)
        if match is None:
            continue
        path = root / file.path
        reason, size = file_state(path)
        if reason == "no such file":
            reason = "not fetched"
        elif reason is None and size != file.bytes:
            reason = f"{size} bytes instead of {file.bytes}"
        stem = file.path.removesuffix(".nii.gz")
        sidecars = {
            name: str(root / f"{stem}{suffix}")
            for name, suffix in (("sidecar", ".json"), ("bval", ".bval"), ("bvec", ".bvec"))
            if f"{stem}{suffix}" in registry and (root / f"{stem}{suffix}").is_file()
        }
        rows.append(
            {
                "subject_id": match[1],
                "visit": "followup_1" if match[2] else "preop",
                "contrast": match["contrast"],
                "run": pd.NA if match["run"] is None else int(match["run"]),
                "path": str(path),
                "present": reason is None,
                "reason": reason,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "sidecar": sidecars.get("sidecar"),
                "bval": sidecars.get("bval"),
                "bvec": sidecars.get("bvec"),
                "datatype": match["datatype"],
                "task": match["task"],
            }
        )
    return pd.DataFrame(rows).astype({"run": "Int64"})


def make_visits(subjects: pd.DataFrame, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """List the visits of each person, with their days where they are known.

    Parameters
    ----------
    subjects : pandas.DataFrame
        Everybody has the visit "preop"; the operated have "discharge"; a follow-up is there
        when it has a day or is marked as available.
    tables : list of pandas.DataFrame
        Tables whose rows are evidence of further visits (``subject_id``, ``visit``).

    Returns
    -------
    pandas.DataFrame
        Columns ``subject_id``, ``visit``, ``day`` (from surgery).
    """
    operated = subjects["surgery"].isin(["MVD", "percutaneous"])
    there = {"preop": pd.Series(True, index=subjects.index), "discharge": operated}
    for name in ("followup_1", "followup_2"):
        marked = subjects[f"{name}_available"].fillna(False).astype(bool)
        seen: set[str] = set()
        for table in tables:
            seen.update(table.loc[table["visit"] == name, "subject_id"])
        there[name] = marked | subjects[f"{name}_day"].notna() | subjects.index.isin(seen)
    parts = []
    for name, who in there.items():
        part = pd.DataFrame({"subject_id": subjects.index[who], "visit": name})
        day = f"{name}_day"
        part["day"] = subjects.loc[who, day].to_numpy(float) if day in subjects else float("nan")
        parts.append(part)
    visits = pd.concat(parts, ignore_index=True)
    return visits.sort_values("subject_id", kind="stable", ignore_index=True)
