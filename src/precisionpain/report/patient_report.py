"""The report of one person: measures beside references, prediction, reasons, and what lacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..cohort import Cohort
from ..cohort.keys import check_ids
from ..errors import FormatError, MissingModalityError, PrecisionPainError, list_some
from ._files import as_json, make_writable, plain, write_whole
from ._output import versions
from ._page import redacted, redactor
from ._person.clinic import clinic_rows
from ._person.nerves import etiology, is_trigeminal, measure_table, measured_tables
from ._person.pictures import nerve_pictures, probability_picture
from ._person.prediction import explained, lacking, left_out, predicted
from ._person.proteins import protein_scores
from ._person.words import summary

if TYPE_CHECKING:
    from ..proteomics import Panel

__all__ = ["PatientReport", "patient_report"]

FORMAT, VERSION = "precisionpain patient report", 1
_HEALTHY = ("control", "controls", "healthy", "healthy control", "hc")
_FEWEST_CONTROLS = 5

Reference = Mapping[str, Any] | Sequence[str] | str | None


@dataclasses.dataclass(frozen=True, repr=False)
class PatientReport:
    """What `patient_report` found; `save` writes it down.

    Parameters
    ----------
    record : dict
        Everything, as plain JSON values, under a pseudonym.
    pictures : dict of str to (bytes, str)
        PNG and alternative text by name.
    """

    record: dict[str, Any]
    pictures: dict[str, tuple[bytes, str]] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values.

        Returns
        -------
        dict
        """
        found: dict[str, Any] = plain(self.record)
        return found

    def to_html(self) -> str:
        """Return the report as one HTML page, styles and pictures inside.

        Returns
        -------
        str
        """
        from ._person.page import render_person

        return render_person(self)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the report.

        Parameters
        ----------
        folder : str or Path
            Made when absent. Each file is replaced as a whole.

        Returns
        -------
        dict of str to Path
            ``patient_report.html`` and ``patient_report.json``.

        Raises
        ------
        StorageError
            When the folder can't be written.
        """
        path = make_writable(folder, [])
        contents = {
            "patient_report.html": self.to_html().encode(),
            "patient_report.json": as_json(self.to_dict()),
        }
        return {name: write_whole(path / name, text) for name, text in contents.items()}

    def __repr__(self) -> str:
        mark = " – SYNTHETIC DATA" if self.record["synthetic"] else ""
        lines = [f"Report on {self.record['name']}{mark} (research use only)"]
        return "\n".join([*lines, *(f"  {text}" for text in self.record["summary"])])


def patient_report(
    cohort: Cohort,
    subject_id: str,
    *,
    model: Any = None,
    explanation: Any = None,
    reference: Reference = None,
    name: str = "this person",
    panel: Panel | str | None = None,
    facts: Mapping[str, Any] | None = None,
    image: str = "T2w",
    labels: str = "dseg",
    outcome: str | None = None,
    trained_on: Sequence[str] | None = None,
    hide: Sequence[str] = (),
) -> PatientReport:
    """Bring together what a cohort and a model know of one person, for research.

    Only what was known by the landmark is used. What the person lacks is said, and a section
    whose data the whole cohort lacks is left out.

    Parameters
    ----------
    cohort : Cohort
        One row per person; the others are the reference.
    subject_id : str
        Whom it is about. The id stands nowhere in the report.
    model : estimator or CVResult, optional
        A fitted model of a Cohort: one with ``assess``, or ``predict_proba`` and optionally
        ``predict_set``. Of a CVResult, the mean prediction of the folds that hadn't seen the
        person.
    explanation : object or False, optional
        Reasons, with ``.table`` and ``.sentences``; by default those of
        `precisionpain.fusion.explain_person`. False leaves them out.
    reference : mapping, sequence of str or "published", optional
        Healthy people to compare with: column → value, or ids. By default those whose
        ``diagnosis`` says control or healthy. "published" takes published means and SDs, for
        the few nerve measures that have them; so does a cohort with fewer than 5 controls.
    name : str, default "this person"
        A pseudonym.
    panel : Panel or str, optional
        Panel of the protein scores, one of `precisionpain.proteomics.panels`; by default
        "trigeminal" for a trigeminal cohort, and none for others.
    facts : mapping, optional
        Facts for `precisionpain.trigeminal.classify_etiology`, for example
        ``{"trigeminal_neuralgia": True}``.
    image, labels : str, default "T2w" and "dseg"
        Contrasts of the scan and its label image.
    outcome : str, optional
        What the probability is of, in words.
    trained_on : sequence of str, optional
        Ids of the training people of `model`, so that the report can say whether this person is
        one of them.
    hide : sequence of str, default ()
        Columns of the clinic to leave out.

    Returns
    -------
    PatientReport
        With ``save(folder)`` and ``to_dict()``. Without id, site, dates and free text; years
        above 89 are grouped.

    Raises
    ------
    AlignmentError
        When nobody has that id, or a reference id is unknown.
    FormatError
        When the cohort isn't one of people, or the model can't predict.
    MissingModalityError
        When the reference names an unknown column.

    Notes
    -----
    For research: nothing in it has been validated for a decision about a patient. A clinical
    profile may be recognised by those who know the person, even without an id.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80)
    >>> report = pp.report.patient_report(cohort, cohort.subject_ids[0], name="person 7")
    >>> report.record["name"], report.record["synthetic"], report.record["prediction"]
    ('person 7', True, None)
    """
    if not isinstance(cohort, Cohort) or cohort.unit != "subject":
        found = f"a cohort of {cohort.unit}s" if isinstance(cohort, Cohort) else type(cohort)
        raise FormatError(f"a report needs a Cohort of subjects, found {found}")
    subject_id = str(subject_id)
    check_ids(pd.Index([subject_id]), cohort.subject_ids, table="patient_report")
    view = cohort.known_at_index()
    controls, who = _controls(cohort, subject_id, reference)
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": VERSION,
        "name": name,
        "cohort": cohort.name,
        "synthetic": cohort.synthetic,
        "landmark_days": cohort.landmark,
        "reference": {"who": who, "n": len(controls)},
        "has": _has(view, subject_id),
        "clinic": _clinic(view, subject_id, hide),
        "notes": [],
    }
    record |= _measures(view, subject_id, controls, who, facts or {})
    chosen = "trigeminal" if panel is None and is_trigeminal(view) else panel
    record["proteins"] = _proteins(view, subject_id, controls, chosen)
    pictures: dict[str, tuple[bytes, str]] = {}
    record["scan_note"] = ""
    contrasts = set(view.images["contrast"]) if len(view.images) else set()
    if labels in contrasts or is_trigeminal(view):
        pictures, record["scan_note"] = nerve_pictures(view, subject_id, image, labels)
    record |= _prediction(view, subject_id, model, explanation, outcome, trained_on, hide)
    if record["prediction"] is not None and record["prediction"]["p"] is not None:
        pictures["probability"] = probability_picture(record["prediction"], cohort.synthetic)
    record["summary"] = summary(record)
    record["versions"] = versions()
    clean = redactor([i for i in map(str, cohort._store.subjects.index) if i != name])
    kept = ("format", "format_version", "versions")
    record = {k: v if k in kept else redacted(v, clean) for k, v in record.items()}
    return PatientReport(record, {n: (p, clean(alt)) for n, (p, alt) in pictures.items()})


def _controls(cohort: Cohort, subject_id: str, reference: Reference) -> tuple[pd.Index, str]:
    """Return the ids of the healthy people, and what they are called."""
    people = cohort.subjects
    if isinstance(reference, str) and reference != "published":
        raise FormatError(
            f"a reference is a mapping, ids or 'published', found {reference!r}",
            remedy="for example reference={'diagnosis': 'control'}",
        )
    if reference == "published":
        return people.index[:0], "published"
    if isinstance(reference, Mapping):
        absent = [column for column in reference if column not in people]
        if absent:
            raise MissingModalityError(f"the subjects table has no column {list_some(absent)}")
        chosen = pd.Series(True, people.index)
        for column, value in reference.items():
            values = value if isinstance(value, list | tuple | set) else [value]
            chosen &= people[column].isin(list(values))
        ids = people.index[chosen]
    elif reference is not None:
        ids = pd.Index([str(i) for i in reference])
        check_ids(ids, cohort.subject_ids, table="reference")
    elif "diagnosis" in people:
        ids = people.index[people["diagnosis"].astype(str).str.lower().isin(_HEALTHY)]
    else:
        ids = people.index[:0]
    ids = ids[ids != subject_id]
    if len(ids) < _FEWEST_CONTROLS:
        return ids[:0], "published"
    return ids, "controls"


def _has(view: Cohort, subject_id: str) -> list[dict[str, Any]]:
    table = view.availability
    at = int(table.index.get_indexer(pd.Index([subject_id]))[0])
    return [
        {"block": str(name), "has": bool(has.iloc[at]), "share": float(has.mean())}
        for name, has in table.items()
    ]


def _peers(view: Cohort, subject_id: str) -> tuple[pd.Index, str]:
    """Return the others of the same diagnosis, or all others."""
    people = view.subjects
    others = people.index[people.index != subject_id]
    mine = people["diagnosis"].to_dict()[subject_id] if "diagnosis" in people else None
    if mine is None or pd.isna(mine):
        return others, "the other people"
    same = people["diagnosis"] == mine
    return others[same[others].to_numpy(dtype=bool)], "the others of the same diagnosis"


def _clinic(view: Cohort, subject_id: str, hide: Sequence[str]) -> dict[str, Any]:
    peers, who = _peers(view, subject_id)
    return {"peers": who, "n": len(peers), "rows": clinic_rows(view, subject_id, peers, hide)}


def _measures(
    view: Cohort, subject_id: str, controls: pd.Index, who: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    found, notes = [], []
    others = view.subject_ids[view.subject_ids != subject_id]
    tables = measured_tables(view)
    for table in tables:
        try:
            measured = measure_table(view, table, subject_id, controls, others, who)
        except PrecisionPainError as error:
            notes.append(str(error))
            continue
        found.append(measured or {"table": table, "rows": [], "reference": who})
    # Without a painful side there is nothing to classify; without facts of a nerve, neither.
    sided = "affected_side" in view.subjects
    classes = None
    if sided and (is_trigeminal(view) or facts):
        classes = etiology(view, subject_id, tables, facts)
    return {"measures": found, "measure_notes": notes, "etiology": classes}


def _proteins(
    view: Cohort, subject_id: str, controls: pd.Index, panel: Panel | str | None
) -> list[dict[str, Any]]:
    if panel is None:
        return []
    others, who = controls, "controls"
    if not len(others):
        # Better than nothing, and said: other patients aren't healthy.
        others, who = view.subject_ids[view.subject_ids != subject_id], "the other people"
    return [
        protein_scores(view, str(assay), subject_id, others, who, panel) for assay in view.assays
    ]


def _prediction(
    view: Cohort,
    subject_id: str,
    model: Any,
    explanation: Any,
    outcome: str | None,
    trained_on: Sequence[str] | None,
    hide: Sequence[str],
) -> dict[str, Any]:
    if model is None:
        given = None if explanation is False else explanation
        reasons = None if given is None else explained(None, view, subject_id, given, hide)
        return {"prediction": None, "reasons": reasons, "lacking": [], "without": []}
    found = predicted(model, view, subject_id, trained_on)
    found["outcome"] = outcome or found["outcome"]
    return {
        "prediction": found,
        "reasons": explained(model, view, subject_id, explanation, hide),
        "lacking": lacking(model, view, subject_id, found["p"]),
        "without": left_out(model, view, subject_id),
    }
