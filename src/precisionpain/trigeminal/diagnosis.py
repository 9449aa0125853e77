"""The etiology of trigeminal neuralgia by ICHD-3, with certainty, reasons and what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from ..errors import FormatError, MissingModalityError, list_some
from ._diagnosis.facts import Facts, all_of, as_known, completed
from ._diagnosis.measured import (
    EtiologyThresholds,
    as_measures,
    check_against,
    findings,
)
from ._diagnosis.rules import RULES, Cause, Certainty, judge, missing
from ._diagnosis.words import context, reasons, remarks
from .anatomy import SIDES, Side

__all__ = [
    "Etiology",
    "EtiologyThresholds",
    "classify_etiology",
    "etiology_rules",
]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Etiology:
    """What `classify_etiology` found for one painful side; print it for the reasons.

    Parameters
    ----------
    etiology : {"classical", "secondary", "idiopathic"} or None
        None while undetermined, or when the pain is no trigeminal neuralgia.
    candidates : tuple of str
        Etiologies that what is known doesn't exclude. More facts only ever remove some, but
        for impaired reflexes, which exclude "idiopathic".
    pain : {"paroxysmal", "continuous"} or None
        Purely paroxysmal, or with concomitant continuous pain.
    certainty : {"possible", "clinically established", "definite"} or None
        Grade of Cruccu et al. 2016; "definite" is their "established etiology", which
        idiopathic neuralgia can't reach.
    ichd3_code : str or None
        For example "13.1.1.1.1". Secondary neuralgia is coded by its cause, not by its pain.
        "13.1.1" for trigeminal neuralgia of undetermined etiology.
    ms_and_nvc : bool or None
        Whether multiple sclerosis and neurovascular compression with morphological change
        occur together; None when unknown.
    trigeminal_neuralgia : bool or None
        Whether the pain meets criteria A-D of ICHD-3 13.1.1; None when unknown.
    reasons : tuple of str
        Why, in sentences.
    remarks : tuple of str
        What deserves a look and decides nothing.
    missing : tuple of str
        What would settle the etiology, its code or its certainty: unknown facts that can
        change them, each taken alone.
    side : {"left", "right"} or None
        The painful side, anatomical.
    """

    etiology: Cause | None
    candidates: tuple[Cause, ...]
    pain: Literal["paroxysmal", "continuous"] | None
    certainty: Certainty | None
    ichd3_code: str | None
    ms_and_nvc: bool | None
    trigeminal_neuralgia: bool | None
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    side: Side | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values.

        Returns
        -------
        dict
            Field → value; tuples become lists.
        """
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in record.items()
        }

    def __repr__(self) -> str:
        return f"Etiology({self._headline()})"

    def _headline(self) -> str:
        parts: list[str] = [self.etiology or "undetermined"]
        if self.trigeminal_neuralgia is False:
            parts[0] = "not trigeminal neuralgia by ICHD-3"
        elif self.etiology is None and self.candidates:
            only = "only " if len(self.candidates) == 1 else ""
            parts[0] += f" ({only}{' or '.join(self.candidates)} left)"
        if self.side is not None:
            parts.append(self.side)
        if self.pain is not None:
            parts.append("purely paroxysmal" if self.pain == "paroxysmal" else "continuous too")
        parts.append(self.certainty or "certainty not graded")
        if self.ichd3_code is not None:
            parts.append(f"ICHD-3 {self.ichd3_code}")
        return ", ".join(parts)

    def __str__(self) -> str:
        lines = [f"Etiology: {self._headline()}"]
        for title, sentences in (
            ("why", self.reasons),
            ("remarks", self.remarks),
            ("what would settle it", self.missing),
        ):
            if sentences:
                lines += [f"  {title}:", *(f"    - {sentence}" for sentence in sentences)]
        return "\n".join(lines)


def classify_etiology(
    measures: Mapping[str, Any] | pd.Series | pd.DataFrame | None = None,
    *,
    side: Side | None = None,
    other_side: Mapping[str, Any] | pd.Series | None = None,
    trigeminal_neuralgia: bool | None = None,
    in_distribution: bool | None = None,
    paroxysms: bool | None = None,
    severe: bool | None = None,
    shock_like: bool | None = None,
    triggered: bool | None = None,
    better_explained: bool | None = False,
    continuous: bool | None = None,
    contact: bool | None = None,
    morphological_change: bool | None = None,
    secondary_cause: bool | None = None,
    ms: bool | None = None,
    ms_plaque: bool | None = None,
    space_occupying_lesion: bool | None = None,
    av_malformation: bool | None = None,
    other_cause: bool | None = None,
    reflexes_impaired: bool | None = None,
    bilateral: bool | None = None,
    sensory_deficit: bool | None = None,
    age: float | None = None,
    thresholds: EtiologyThresholds | None = None,
) -> Etiology:
    """Classify the trigeminal neuralgia of one side: classical, secondary or idiopathic.

    Every fact is True, False or None (unknown), and nothing unknown is taken for False, with
    two exceptions that are stated: `better_explained` (the default), and trigeminal reflexes,
    which few hospitals measure (a remark says so). Compression never makes the diagnosis: the
    etiology is given only when the pain meets the clinical criteria, since most healthy
    nerves touch a vessel too (Maarbjerg et al., Brain 2015;138:311-319).

    Parameters
    ----------
    measures : mapping, Series or DataFrame, optional
        Row of `measure_compression` of the painful side, or the table of both sides (then
        `side` picks the row). Used: ``gap_mm``, ``contact_area_mm2``, ``n_contacts``,
        ``displacement_mm``, ``indentation_mm``, ``area_loss_percent``, ``sindou_grade``,
        ``min_area_mm2`` or ``asymmetry``, ``vessel``. Any of them may be missing.
    side : {"left", "right"}, optional
        The painful side, anatomical.
    other_side : mapping or Series, optional
        Row of the other side; asked for its ``min_area_mm2`` when
        ``thresholds.asymmetry`` is set.
    trigeminal_neuralgia : bool, optional
        Whether all criteria A-D of ICHD-3 13.1.1 are met, where nobody recorded them singly.
    in_distribution : bool, optional
        Criterion A: pain within the trigeminal divisions, without radiation beyond.
    paroxysms : bool, optional
        Criteria A and B1: recurrent attacks, from a fraction of a second to 2 minutes.
    severe : bool, optional
        Criterion B2: severe intensity.
    shock_like : bool, optional
        Criterion B3: electric shock-like, shooting, stabbing or sharp.
    triggered : bool, optional
        Criterion C: precipitated by innocuous stimuli within the affected distribution.
    better_explained : bool or None, default False
        Criterion D: whether another ICHD-3 diagnosis accounts better for the pain, such as
        painful trigeminal neuropathy (13.1.2).
    continuous : bool, optional
        Whether there is (near-)continuous pain between the attacks.
    contact : bool, optional
        Whether a vessel touches the root, on MRI or at surgery.
    morphological_change : bool, optional
        Whether a vessel displaces, dents or thins the root, on MRI or at surgery.
    secondary_cause : bool, optional
        The five facts below in one: False says that an adequate MRI excluded them all.
    ms : bool, optional
        Whether multiple sclerosis is diagnosed.
    ms_plaque : bool, optional
        Whether MRI shows an MS plaque at the root entry zone, or in the pons on the primary
        afferents.
    space_occupying_lesion : bool, optional
        A lesion, such as a tumour of the cerebellopontine angle, in contact with the nerve.
    av_malformation : bool, optional
        Arteriovenous malformation or dural fistula.
    other_cause : bool, optional
        Another disease known to cause the neuralgia (skull-base deformity, connective-tissue
        disease, genetic neuropathy).
    reflexes_impaired : bool, optional
        Whether trigeminal reflexes or evoked potentials are impaired on this side.
    bilateral : bool, optional
        Whether the other side hurts as well. Classify each side by itself.
    sensory_deficit : bool, optional
        Clinically evident loss of sensation. A remark, no verdict.
    age : float, optional
        Age at onset, years. A remark below 40, no verdict.
    thresholds : EtiologyThresholds, optional
        From where on measures count.

    Returns
    -------
    Etiology

    Raises
    ------
    FormatError
        When facts contradict each other or the measures, or aren't three-valued.
    MissingModalityError
        When the table of measures lacks the side.

    Notes
    -----
    Secondary goes before classical: classical neuralgia has no apparent cause other than
    compression. MS together with compression is coded as secondary and flagged. Criteria of
    13.1.1.2.2 and 13.1.1.2.3 on the order of disease and pain are left to whoever states the
    cause. See `etiology_rules` for the rules.

    References
    ----------
    Headache Classification Committee of the International Headache Society, ICHD-3,
    Cephalalgia 2018;38:1-211, 13.1.1. Cruccu et al., Neurology 2016;87:220-228 (certainty).

    Examples
    --------
    >>> from precisionpain.trigeminal import classify_etiology
    >>> found = classify_etiology(
    ...     {"gap_mm": 0.1, "displacement_mm": 0.8, "indentation_mm": 0.1,
    ...      "area_loss_percent": 9},
    ...     side="left", trigeminal_neuralgia=True, secondary_cause=False, continuous=False)
    >>> found
    Etiology(classical, left, purely paroxysmal, definite, ICHD-3 13.1.1.1.1)
    >>> found.reasons[1]
    'A vessel compresses the root and changes its shape, and no other cause was found (displaced by 0.8 mm, counted from 0.3).'
    >>> classify_etiology({"sindou_grade": 1}, trigeminal_neuralgia=True).candidates
    ('secondary', 'idiopathic')
    """  # noqa: E501
    limits = EtiologyThresholds() if thresholds is None else thresholds
    if side is not None and side not in SIDES:
        raise FormatError(
            f"expected side 'left', 'right' or None, found {side!r}",
            remedy="classify each side of bilateral pain by itself, with bilateral=True",
        )
    given = {
        "trigeminal_neuralgia": trigeminal_neuralgia, "in_distribution": in_distribution,
        "paroxysms": paroxysms, "severe": severe, "shock_like": shock_like,
        "triggered": triggered, "better_explained": better_explained, "continuous": continuous,
        "contact": contact, "morphological_change": morphological_change,
        "secondary_cause": secondary_cause, "ms": ms, "ms_plaque": ms_plaque,
        "space_occupying_lesion": space_occupying_lesion, "av_malformation": av_malformation,
        "other_cause": other_cause, "reflexes_impaired": reflexes_impaired,
    }  # fmt: skip
    stated = {name: as_known(value, name) for name, value in given.items()}
    row, other = _rows(measures, side, other_side)
    found = findings(row, other, limits, stated["contact"])
    facts = completed(Facts(**check_against(stated, found)))
    verdict = judge(facts)
    pain: Literal["paroxysmal", "continuous"] | None = None
    if facts.continuous is not None:
        pain = "continuous" if facts.continuous else "paroxysmal"
    years = None if age is None or pd.isna(age) else float(age)
    hints = context(
        as_known(bilateral, "bilateral"), as_known(sensory_deficit, "sensory_deficit"), years
    )
    return Etiology(
        etiology=verdict.etiology,
        candidates=verdict.candidates,
        pain=pain,
        certainty=verdict.certainty,
        ichd3_code=verdict.code,
        ms_and_nvc=all_of(facts.ms, facts.morphological_change),
        trigeminal_neuralgia=facts.trigeminal_neuralgia,
        reasons=reasons(facts, verdict, found),
        remarks=(*found.remarks, *remarks(facts, verdict), *hints),
        missing=missing(facts, verdict),
        side=side,
    )


def _rows(
    measures: Mapping[str, Any] | pd.Series | pd.DataFrame | None,
    side: Side | None,
    other_side: Mapping[str, Any] | pd.Series | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the measures of the painful and of the other side."""
    if not isinstance(measures, pd.DataFrame):
        if isinstance(measures, str) or not (
            measures is None or isinstance(measures, Mapping | pd.Series)
        ):
            raise FormatError(
                f"expected the measures of one side by name, found {type(measures).__name__}"
            )
        return as_measures(measures, "measures"), as_measures(other_side, "other_side")
    table = measures.set_index("side") if "side" in measures else measures
    rows = dict(zip(table.index, table.to_dict("records"), strict=True))
    if side is None:
        raise FormatError(
            "a table of both sides was given, but not which side hurts",
            remedy="say side='left' or side='right' (anatomical), or give one row",
        )
    if side not in rows or not table.index.is_unique:
        raise MissingModalityError(
            f"expected one row of side {side!r}, found rows {list_some(table.index)}",
            remedy="give the table of one person and one scan, indexed by side",
        )
    other = rows.get(SIDES[1 - SIDES.index(side)]) if other_side is None else other_side
    return as_measures(rows[side], "measures"), as_measures(other, "other_side")


def etiology_rules() -> pd.DataFrame:
    """List the rules of `classify_etiology`, in order: the first that holds gives the code.

    Returns
    -------
    pandas.DataFrame
        Index ``rule``; columns ``etiology``, ``ichd3_code``, ``sentence``, ``source``.

    Examples
    --------
    >>> etiology_rules().loc["no cause found", "ichd3_code"]
    '13.1.1.3'
    """
    rows = {
        rule.name: {
            "etiology": rule.verdict,
            "ichd3_code": rule.code,
            "sentence": rule.sentence,
            "source": rule.source,
        }
        for rule in RULES
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
