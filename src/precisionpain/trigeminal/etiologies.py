"""Etiologies of many people: of a table, or of the affected nerves of a cohort."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..errors import FormatError, MissingModalityError, PrecisionPainError, list_some
from ._diagnosis.facts import Facts
from ._diagnosis.measured import AREA, MEASURES, EtiologyThresholds
from ._nerves import nerve_rows
from .diagnosis import classify_etiology

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["classify_etiologies"]

FACTS = tuple(field.name for field in dataclasses.fields(Facts))
# Known of people, but no criterion of ICHD-3.
CONTEXT = ("bilateral", "sensory_deficit", "age")
# What is said of one nerve; a column of people can't say of which when both hurt.
SIDED = (*MEASURES, "contact", "morphological_change", "reflexes_impaired")


def classify_etiologies(
    people: pd.DataFrame | Cohort,
    *,
    measurement: str | None = "nerve_measures",
    visit: str | None = None,
    thresholds: EtiologyThresholds | None = None,
    errors: Literal["raise", "flag"] = "raise",
    **facts: Any,
) -> pd.DataFrame:
    """Classify many painful sides, one per row; see `classify_etiology`.

    Parameters
    ----------
    people : pandas.DataFrame or Cohort
        Table with columns named as the facts and measures of `classify_etiology` (and
        optionally ``side``); other columns are left alone, and missing values are unknown.
        Of a Cohort, every nerve on an affected side has a row: measures from a measurement
        table, facts from columns of `subjects` of the same name. People without an affected
        side (controls, or side unknown) have no row.
    measurement : str or None, default "nerve_measures"
        Measurement table of the Cohort; None takes the measures from `subjects`, for example a
        ``sindou_grade`` read by the radiologist. What a column of `subjects` says of one nerve
        stays unknown for people whose pain is bilateral.
    visit : str, optional
        Visit of the measurement table, needed where there are several.
    thresholds : EtiologyThresholds, optional
        From where on measures count.
    errors : {"raise", "flag"}, default "raise"
        What to do with contradictory rows: stop, or leave them undetermined with the
        contradiction as reason and ``error`` True.
    **facts
        Facts that hold for everybody, for example ``secondary_cause=False`` where MRI was an
        entry criterion.

    Returns
    -------
    pandas.DataFrame
        Index as `people` (of a Cohort: ``subject_id``, ``side``); columns ``etiology``,
        ``candidates``, ``pain``, ``certainty``, ``ichd3_code``, ``ms_and_nvc``, ``reasons``,
        ``remarks``, ``missing`` (text, several joined by a space or "; ") and ``error``.

    Raises
    ------
    FormatError
        For contradictory or unreadable rows, and when a fact is unknown by name or given twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.trigeminal import classify_etiologies
    >>> table = pd.DataFrame({"sindou_grade": [1, 3, 2], "ms": [False, False, None]},
    ...                      index=["p1", "p2", "p3"])
    >>> found = classify_etiologies(table, trigeminal_neuralgia=True, continuous=False,
    ...     space_occupying_lesion=False, av_malformation=False, other_cause=False)
    >>> found["etiology"].tolist()
    ['idiopathic', 'classical', None]
    >>> found.loc["p3", "candidates"]
    'classical or secondary'
    """
    if errors not in ("raise", "flag"):
        raise FormatError(f"errors is 'raise' or 'flag', found {errors!r}")
    known = (*FACTS, *CONTEXT)
    unknown = [name for name in facts if name not in known]
    if unknown:
        raise FormatError(
            f"no fact is called {list_some(unknown)}", remedy=f"facts are {list_some(known, 30)}"
        )
    if not isinstance(people, pd.DataFrame):
        people = _of_cohort(people, measurement, visit)
    twice = [name for name in facts if name in people]
    if twice:
        raise FormatError(f"given as a column and for everybody: {list_some(twice)}")
    columns = [name for name in (*known, "side") if name in people]
    measured = [name for name in MEASURES if name in people]
    if not columns and not measured:
        raise MissingModalityError(
            "the table has no column that is a fact or a measure",
            remedy=f"rename columns to {list_some((*known, *MEASURES), 40)}",
        )
    rows = []
    for key, row in zip(people.index, people.to_dict("records"), strict=True):
        side = row.pop("side", None)
        told = {name: row[name] for name in columns if name != "side"}
        try:
            found = classify_etiology(
                {name: row[name] for name in measured},
                side=None if pd.isna(side) else side,
                thresholds=thresholds,
                **told,
                **facts,
            ).to_dict()
        except PrecisionPainError as error:
            if errors == "raise":
                raise type(error)(error.what, where=f"row {key!r}", remedy=error.remedy) from error
            found = {"reasons": [error.what], "error": True}
        rows.append(_as_row(found))
    return pd.DataFrame(rows, people.index, _COLUMNS)


_COLUMNS = [
    "etiology", "candidates", "pain", "certainty", "ichd3_code", "ms_and_nvc", "reasons",
    "remarks", "missing", "error",
]  # fmt: skip


def _as_row(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: found.get(name) for name in _COLUMNS},
        "candidates": " or ".join(found.get("candidates", ())),
        "reasons": " ".join(found["reasons"]),
        "remarks": " ".join(found.get("remarks", ())),
        "missing": "; ".join(found.get("missing", ())),
        "error": found.get("error", False),
    }


def _of_cohort(cohort: Cohort, measurement: str | None, visit: str | None) -> pd.DataFrame:
    """Make the table of the affected nerves: measures, asymmetry, facts, age, side."""
    nerves = cohort.per_nerve()
    subjects = cohort.subjects
    affected = (nerves.rows["nerve"] == "affected").to_numpy()
    names = [name for name in (*FACTS, *CONTEXT) if name in subjects]
    if measurement is None:
        names += [name for name in MEASURES if name in subjects]
        measures = pd.DataFrame(index=nerves.index)
    else:
        table = nerve_rows(nerves, measurement, visit)
        measures = table[[name for name in MEASURES if name in table]].copy()
        if AREA in measures:
            # Rows come in pairs, left and right of the same person.
            other = measures[AREA].to_numpy().reshape(-1, 2)[:, ::-1].ravel()
            measures["asymmetry"] = (other - measures[AREA]) / other
    facts = subjects[names].reindex(nerves.groups).set_axis(nerves.index)
    if "affected_side" in subjects:
        both = (subjects["affected_side"].reindex(nerves.groups) == "bilateral").to_numpy()
        for name in set(SIDED) & set(facts):
            facts[name] = facts[name].mask(both)
        facts["bilateral"] = facts.get("bilateral", both)
    table = pd.concat([measures, facts], axis=1)
    table["side"] = nerves.index.get_level_values("side")
    return table[affected]
