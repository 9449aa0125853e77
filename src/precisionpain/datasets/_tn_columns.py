"""The data dictionary and the outcomes of the synthetic trigeminal cohort."""

from __future__ import annotations

from typing import Any

from ..cohort import Column, Outcome
from ._tn_people import BNI_LEVELS, BRANCHES, CAUSES

__all__ = ["tn_columns", "tn_outcomes"]


def _named(*levels: str) -> dict[str, str]:
    return {level: level for level in levels}


def tn_columns() -> dict[str, Column]:
    """Return what is known of each column of the subjects table, in its order.

    Returns
    -------
    dict of str to Column
    """
    preop: dict[str, Any] = {"visit": "preop"}
    later: dict[str, Any] = {"role": "outcome", "visit": "followup"}
    reason = "known only after surgery"
    return {
        "diagnosis": Column(kind="category", levels=_named("TN", "control"),
                            description="trigeminal neuralgia or healthy control"),
        "affected_side": Column(kind="category", levels=_named("left", "right", "bilateral"),
                                description="side of the pain (anatomical); missing for controls"),
        "site": Column(kind="category", role="note", description="hospital",
                       reason="a model that knows the site doesn't travel"),
        "age": Column(kind="number", unit="years", minimum=18, maximum=90,
                      description="age at the first examination"),
        "sex": Column(kind="category", levels=_named("female", "male"), description="sex"),
        "bmi": Column(kind="number", unit="kg/m²", **preop, description="body mass index"),
        "ethnicity": Column(kind="category", description="ethnicity, as reported"),
        "education": Column(kind="category", levels=_named("secondary", "vocational", "university"),
                            description="highest education completed"),
        "disease_duration_years": Column(kind="duration", unit="years", **preop,
                                         description="years since the first attack"),
        "pain_type": Column(kind="category", levels=_named("paroxysmal", "concomitant_continuous"),
                            **preop, description="attacks only, or with continuous pain"),
        "pain_severity": Column(kind="number", unit="0-10", minimum=0, maximum=10, **preop,
                                description="average severity of the pain"),
        "branch": Column(kind="category", levels=_named(*BRANCHES), **preop,
                         description="painful branches of the nerve"),
        "sindou_grade": Column(kind="ordinal", levels={"0": 0, "1": 1, "2": 2, "3": 3}, **preop,
                               description="neurovascular conflict of the affected side, read "
                               "on MRI: 0 none, 1 contact, 2 displacement, 3 indentation"),
        "previous_surgery": Column(kind="flag", **preop,
                                   description="earlier surgery for trigeminal neuralgia"),
        "carbamazepine_mg_day": Column(kind="number", unit="mg/day", minimum=0, **preop,
                                       description="daily dose of carbamazepine; 0 for none"),
        "hads_anxiety": Column(kind="number", unit="0-21", minimum=0, maximum=21, **preop,
                               description="Hospital Anxiety and Depression Scale, anxiety"),
        "hads_depression": Column(kind="number", unit="0-21", minimum=0, maximum=21, **preop,
                                  description="Hospital Anxiety and Depression Scale, depression"),
        "pcs_total": Column(kind="number", unit="0-52", minimum=0, maximum=52, **preop,
                            description="Pain Catastrophizing Scale, total"),
        "index_surgery": Column(kind="category", levels=_named("MVD", "percutaneous", "none"),
                                **preop,
                                description="surgery decided on: microvascular decompression, "
                                "percutaneous procedure, none; missing for controls"),
        "complications": Column(kind="category", role="outcome", visit="discharge", reason=reason,
                                description="complication of the surgery"),
        "bni_12mo": Column(kind="ordinal", levels=BNI_LEVELS, **later, reason=reason,
                           description="Barrow pain intensity at 12 months: 1 I no pain; 2 II "
                           "occasional pain, no drugs; 3 IIIa no pain on drugs; 4 IIIb pain "
                           "controlled by drugs; 5 IV not adequately controlled; 6 V no relief"),
        "pain_reduction_percent": Column(kind="number", unit="%", minimum=0, maximum=100, **later,
                                         reason=reason, description="pain reduction at 12 months"),
        "recurrence_days": Column(kind="duration", unit="days", **later, reason=reason,
                                  description="days from surgery to failure or recurrence, to "
                                  "reoperation, or to the last contact"),
        "recurrence_event": Column(kind="flag", **later, reason=reason,
                                   description="whether recurrence_days ends in a recurrence"),
        "reoperation_before_recurrence": Column(
            kind="flag", **later, reason=reason,
            description="whether a reoperation for another reason ended the follow-up"),
        "pain_second_followup": Column(kind="number", unit="0-10", minimum=0, maximum=10,
                                       role="outcome", visit="followup2", reason=reason,
                                       description="pain at the second follow-up, by telephone"),
        "latent_subtype": Column(kind="category", levels=_named(*CAUSES), role="truth",
                                 description="leading hidden cause of the patient"),
        "latent_compression": Column(kind="number", role="truth", unit="SD",
                                     description="hidden compression, standard normal"),
        "true_response_probability": Column(kind="number", role="truth", minimum=0, maximum=1,
                                            description="true chance of BNI I-II at 12 months"),
        "true_recurrence_risk": Column(kind="number", role="truth", minimum=0, maximum=1,
                                       description="true chance of failure or recurrence within "
                                       "three years, without competing events"),
    }  # fmt: skip


def tn_outcomes() -> dict[str, Outcome]:
    """Return the outcomes by name.

    Returns
    -------
    dict of str to Outcome
    """
    return {
        "mvd_response": Outcome(
            column="bni_12mo", at_most=2, where={"index_surgery": "MVD"},
            description="BNI I-II 12 months after microvascular decompression: no pain, or "
            "occasional pain, without drugs",
        ),
        "bni_1": Outcome(
            column="bni_12mo", at_most=1, description="BNI I at 12 months: no pain, no drugs"
        ),
        "bni_1_2": Outcome(
            column="bni_12mo", at_most=2, description="BNI I-II at 12 months: no drugs"
        ),
        "bni_1_3b": Outcome(
            column="bni_12mo", at_most=4,
            description="BNI I-IIIb at 12 months: no pain, or controlled by drugs",
        ),
        "pain_reduction_50": Outcome(
            column="pain_reduction_percent", at_least=50,
            description="pain reduced by half or more at 12 months",
        ),
        "pain_reduction_100": Outcome(
            column="pain_reduction_percent", at_least=100, description="no pain at 12 months"
        ),
        "recurrence": Outcome(
            kind="survival", time="recurrence_days", event="recurrence_event",
            description="time from surgery to failure or recurrence; reoperation for another "
            "reason ends the follow-up (reoperation_before_recurrence)",
        ),
    }  # fmt: skip
