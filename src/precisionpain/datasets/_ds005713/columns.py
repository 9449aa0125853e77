"""Which column of the tables of ds005713 means what: the declarative half of the cleaning."""

from __future__ import annotations

from ...cohort.columns import Column

__all__ = [
    "COMORBIDITIES",
    "DERIVED",
    "EDUCATION_LEVELS",
    "PARTICIPANTS",
    "PSYCHOLOGY",
    "SECOND_ASSESSMENT",
]

_YES_NO = {"yes": True, "no": False}
_AFTER = "known only after surgery"
EDUCATION_LEVELS = {
    "Incomplete Secondary": 0,
    "High school (secondary)": 1,
    "Vocational (post-secondary)": 2,
    "Higher (university degree)": 3,
}

#: participants.tsv: stored name → column of the file. What is parsed further is a note here.
PARTICIPANTS: dict[str, Column] = {
    "age": Column(source="age", kind="number", unit="years", minimum=18, maximum=110),
    "sex": Column(source="sex", kind="category", levels={"0": "female", "1": "male"}),
    "clinical_finding": Column(source="Clinical_finding", kind="text", role="note"),
    "mri_finding": Column(source="MRI_finding", kind="text", role="note"),
    "sindou_grade": Column(
        source="Sindou_grade",
        kind="ordinal",
        levels={"1": 1, "2": 2, "3": 3},
        missing=("NA",),
        description="neurovascular conflict: 1 contact, 2 displacement, 3 indentation of the "
        "nerve. Grade 0 (none) never occurs: NA stands for controls and, mostly, for patients "
        "without a conflict",
    ),
    "affected_side": Column(
        source="Pain_side",
        kind="category",
        levels={"R": "right", "L": "left", "Bilateral": "bilateral"},
    ),
    "pain_type": Column(
        source="Pain_type",
        kind="category",
        levels={"Paroxysmal": "paroxysmal", "Persistent": "persistent"},
    ),
    "pain_severity": Column(
        source="Pain_severity (average score)",
        kind="number",
        missing=("NA",),
        minimum=0,
        maximum=10,
        description="average pain before surgery, 0–10",
    ),
    "disease_duration_years": Column(
        source="Disease_duration (years)",
        kind="duration",
        unit="years",
        missing=("NA",),
        maximum=80,
    ),
    "drugs_text": Column(source="Pharm_treatment (daily dose, mg)", kind="text", role="note"),
    "surgery": Column(
        source="Surgery_type",
        kind="category",
        levels={"MVD": "MVD", "PI": "percutaneous", "Outpatient": "none"},
        description="microvascular decompression, percutaneous intervention (rhizotomy or "
        "balloon compression), or none (outpatients); missing for controls",
    ),
    "surgery_outcome": Column(
        source="Surgery_outcome",
        kind="category",
        role="outcome",
        visit="discharge",
        levels={"Pos": "positive", "Neg": "negative"},
        missing=("NA",),
        reason="the outcome itself",
    ),
    "pain_reduction_percent": Column(
        source="Postsurgery_pain_reduction (%)",
        kind="number",
        role="outcome",
        visit="discharge",
        unit="%",
        missing=("NA",),
        minimum=0,
        maximum=100,
        reason="measured after surgery; the outcome is almost the same as a reduction by 100%",
    ),
    "previous_surgery": Column(source="Previous_surgeries", kind="flag", levels=_YES_NO),
    "previous_surgery_text": Column(source="Previous_surgery_type", kind="text", role="note"),
    "complications": Column(
        source="Surgical_complications",
        kind="text",
        role="outcome",
        visit="discharge",
        missing=("outpatient",),
        reason=_AFTER,
    ),
    "followup_1_available": Column(
        source="First follow-up",
        kind="flag",
        role="outcome",
        visit="followup_1",
        levels=_YES_NO,
        reason=_AFTER,
    ),
    "followup_1_day": Column(
        source="First follow-up time (in days)",
        kind="duration",
        role="outcome",
        visit="followup_1",
        unit="days",
        reason=_AFTER,
    ),
    "followup_2_available": Column(
        source="Second follow-up (telephone interview)",
        kind="flag",
        role="outcome",
        visit="followup_2",
        levels=_YES_NO,
        reason=_AFTER,
    ),
    "followup_2_pain": Column(
        source="Second follow-up pain NRS (0-10)",
        kind="number",
        role="outcome",
        visit="followup_2",
        minimum=0,
        maximum=10,
        reason=_AFTER,
        description="pain on the 0–10 scale at the telephone interview",
    ),
    "followup_2_day": Column(
        source="Second follow-up  time (in days)",
        kind="duration",
        role="outcome",
        visit="followup_2",
        unit="days",
        reason=_AFTER,
    ),
    "neuropsychological_assessment": Column(
        source="Neuropsychological_assessment",
        kind="text",
        role="note",
        description="how much was assessed: bookkeeping",
    ),
    "psychological_assessment": Column(
        source="Psychological_assessment",
        kind="text",
        role="note",
        description="how much was assessed: bookkeeping",
    ),
    "education_level": Column(
        source="Education",
        kind="ordinal",
        levels=EDUCATION_LEVELS,
        description="0 incomplete secondary, 1 secondary, 2 vocational, 3 university degree",
    ),
    "occupation": Column(
        source="Occupational_status",
        kind="category",
        levels={
            "Full-time employed": "full-time employed",
            "Retired": "retired",
            "Unemployed": "unemployed",
        },
    ),
    "ethnicity": Column(
        source="Racial/ethnic category",
        kind="category",
        levels={"White": "White", "Asian": "Asian"},
    ),
    "bmi": Column(
        source="BMI", kind="number", unit="kg/m²", missing=("NA",), minimum=10, maximum=80
    ),
    "comorbidities": Column(source="Comorbid medical conditions", kind="text", role="note"),
}

#: Flags made from the comorbidities: stored name → pattern. Negations don't occur for these.
COMORBIDITIES = {
    "comorbidity_hypertension": r"\bhypertension\b",
    "comorbidity_obesity": r"\bobesity\b",
    "comorbidity_diabetes": r"\bdiabetes\b",
    "comorbidity_gastropathy": r"\bgastropathy\b|\bgastroduodenitis\b",
    "comorbidity_dyslipidemia": r"\bdyslipidemia\b",
    "comorbidity_atherosclerosis": r"\bath\w+sclerosis\b",
    "comorbidity_coronary_disease": r"\bcoronary artery disease\b|\bangina\b",
}

_MRI = PARTICIPANTS["mri_finding"].source
_DRUGS = PARTICIPANTS["drugs_text"].source
_EARLIER = PARTICIPANTS["previous_surgery_text"].source

#: Columns made from the notes above.
DERIVED: dict[str, Column] = {
    "diagnosis": Column(source="Clinical_finding", kind="category", description="TN or control"),
    "sunct_suna": Column(
        source="Clinical_finding",
        kind="flag",
        description="trigeminal neuralgia with SUNCT or SUNA named beside it",
    ),
    "nvc_side": Column(
        source=_MRI,
        kind="category",
        description="side of the neurovascular conflict on MRI: none, left, right, bilateral",
    ),
    "fazekas_grade": Column(
        source=_MRI,
        kind="ordinal",
        description="white matter lesions, 0–3; 0 where the finding names none",
    ),
    "mvd_sequelae_side": Column(
        source=_MRI,
        kind="category",
        description="side of the sequelae of an earlier decompression on MRI: none, left, right",
    ),
    "dolichoectasia": Column(
        source=_MRI, kind="flag", description="vertebrobasilar dolichoectasia on MRI"
    ),
    "mri_other": Column(
        source=_MRI, kind="text", role="note", description="what the MRI finding says besides"
    ),
    "n_drugs": Column(
        source=_DRUGS, kind="number", minimum=0, description="drugs for the pain; 0 for none"
    ),
    "carbamazepine_mg_day": Column(
        source=_DRUGS,
        kind="number",
        unit="mg/day",
        minimum=0,
        description="0 without carbamazepine; missing at an unstated dose",
    ),
    "carbamazepine_equivalent_mg_day": Column(
        source=_DRUGS,
        kind="number",
        unit="mg/day",
        minimum=0,
        description="carbamazepine + oxcarbazepine / 1.5 (Smith 2001, Seizure 10:87–91); other "
        "drugs have no established ratio and don't count; missing at an unstated dose",
    ),
    "previous_mvd": Column(
        source=_EARLIER, kind="flag", description="earlier microvascular decompression"
    ),
    "previous_percutaneous": Column(
        source=_EARLIER,
        kind="flag",
        description="earlier percutaneous or ablative procedure: thermal, radiofrequency, "
        "chemical or cold destruction, rhizotomy, balloon compression",
    ),
    "any_complication": Column(
        source="Surgical_complications",
        kind="flag",
        role="outcome",
        visit="discharge",
        reason=_AFTER,
    ),
    **{
        name: Column(source=PARTICIPANTS["comorbidities"].source, kind="flag")
        for name in COMORBIDITIES
    },
}

_REY = "Rey complex figure, scored up to 48 here (the usual scale ends at 36)"


def _test(source: str, description: str, **known: object) -> Column:
    return Column(source=source, kind="number", visit="preop", description=description, **known)  # type: ignore[arg-type]


#: participants_psychology.tsv, the assessment before surgery.
PSYCHOLOGY: dict[str, Column] = {
    "education_years": _test(
        "Education", "years of education", unit="years", missing=("11/5",), minimum=0
    ),
    "cognition_mmse": _test("MMSE", "Mini-Mental State Examination", minimum=0, maximum=30),
    "cognition_rey_copy": _test("Rey_copy", f"{_REY}: copy"),
    "cognition_rey_immediate": _test("Rey_immediate", f"{_REY}: immediate recall"),
    "cognition_rey_delayed": _test("Rey_delayed", f"{_REY}: delayed recall"),
    "cognition_digit_span_forward": _test("WAIS-F", "WAIS digit span, forward"),
    "cognition_digit_span_backward": _test("WAIS-B", "WAIS digit span, backward"),
    "cognition_tmt_a": _test("TMTA", "Trail Making Test A", unit="s", minimum=0),
    "cognition_tmt_b": _test("TMTB", "Trail Making Test B", unit="s", minimum=0),
    "cognition_fluency_letter": _test("Fluency_Letter", "verbal fluency, by letter", minimum=0),
    "cognition_fluency_category": _test(
        "Fluency_Category", "verbal fluency, by category", minimum=0
    ),
    "psychology_stai_state": _test(
        "STAI-S", "State-Trait Anxiety Inventory, state", minimum=20, maximum=80
    ),
    "psychology_stai_trait": _test(
        "STAI-T", "State-Trait Anxiety Inventory, trait", minimum=20, maximum=80
    ),
    "psychology_madrs": _test(
        "Montgomery", "Montgomery–Åsberg Depression Rating Scale", minimum=0, maximum=60
    ),
    "psychology_pss": _test("PSS", "Perceived Stress Scale", minimum=0),
    "psychology_tu": _test(
        "TU", "not documented by the authors; probably tolerance of uncertainty"
    ),
    "psychology_tci_novelty_seeking": _test(
        "Novelty_seek", "Temperament and Character Inventory: novelty seeking"
    ),
    "psychology_tci_harm_avoidance": _test(
        "Harm_avoid", "Temperament and Character Inventory: harm avoidance"
    ),
    "psychology_tci_reward_dependence": _test(
        "Reward", "Temperament and Character Inventory: reward dependence"
    ),
    "psychology_tci_cooperativeness": _test(
        "Cooper", "Temperament and Character Inventory: cooperativeness"
    ),
    "psychology_tci_self_directedness": _test(
        "Self-suffic",
        "Temperament and Character Inventory: self-directedness (self-sufficiency in the file)",
    ),
    "psychology_tci_self_transcendence": _test(
        "Transcend", "Temperament and Character Inventory: self-transcendence"
    ),
    "psychology_tas20": _test(
        "TAS-20", "Toronto Alexithymia Scale, 20 items", minimum=20, maximum=100
    ),
    "psychology_leq": _test(
        "LEQ", "LEQ; the abbreviation isn't documented by the authors", missing=("1/5", "1/3")
    ),
    "psychology_pcs": _test("Catastroph", "Pain Catastrophizing Scale", minimum=0, maximum=52),
    "psychology_hads_anxiety": _test(
        "HADS-A", "Hospital Anxiety and Depression Scale: anxiety", minimum=0, maximum=21
    ),
    "psychology_hads_depression": _test(
        "HADS-D", "Hospital Anxiety and Depression Scale: depression", minimum=0, maximum=21
    ),
}

#: Header of the second assessment (first follow-up) → the name of the same test before surgery.
SECOND_ASSESSMENT = {
    "Rey_copy2": "cognition_rey_copy",
    "Rey_immediate2": "cognition_rey_immediate",
    "Rey_delayed2": "cognition_rey_delayed",
    "WAIS-F2": "cognition_digit_span_forward",
    "WAIS-B2": "cognition_digit_span_backward",
    "TMTA2": "cognition_tmt_a",
    "TMTB2": "cognition_tmt_b",
    "Fluency_L2": "cognition_fluency_letter",
    "Fluency_C2": "cognition_fluency_category",
    "STAI-S2": "psychology_stai_state",
    "STAI-T2": "psychology_stai_trait",
    "Montgomery2": "psychology_madrs",
    "PSS2": "psychology_pss",
    "TAS2": "psychology_tas20",
    "Catastroph2": "psychology_pcs",
    "HADS-A2": "psychology_hads_anxiety",
    "HADS-D2": "psychology_hads_depression",
    "TU2": "psychology_tu",
}
