"""A synthetic cohort of diabetic neuropathy whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort import Column, Outcome
from ._draw import beta_from, gamma_from, hide, mix, stream, whole
from ._syndrome import (
    build,
    chance,
    check_arguments,
    named,
    people_of,
    plasma_assay,
    read_by_scanner,
    seen,
)

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["sample_neuropathy"]

SCHEDULE = {"baseline": 0.0}
WEIGHTS = {"axonal": 1.0, "microvascular": 0.55, "log_duration": 0.50, "hba1c": 0.35, "age": 0.35}
PAIN_WEIGHTS = {"sensitisation": 0.80, "inflammation": 0.55, "female": 0.35}
_RATE, _PAIN_RATE = 0.45, 0.40
# Gene -> accession, and log2 change per SD of a cause: directions plausible, sizes made up.
PROTEINS = {
    "NEFL": "P07196", "NGF": "P01138", "TNF": "P01375", "IL6": "P05231", "IL1B": "P01584",
    "IL10": "P22301", "CXCL8": "P10145", "CCL2": "P13500", "CXCL10": "P02778", "CRP": "P02741",
    "ICAM1": "P05362", "VCAM1": "P19320", "SELE": "P16581", "VEGFA": "P15692", "BDNF": "P23560",
    "GFAP": "P14136", "ADIPOQ": "Q15848", "LEP": "P41159", "FGF21": "Q9NSA1",
    "TNFRSF1A": "P19438",
}  # fmt: skip
SIGNAL = {
    "NEFL": {"axonal": 0.45}, "GFAP": {"axonal": 0.15}, "NGF": {"axonal": -0.15,
    "sensitisation": 0.20}, "TNF": {"inflammation": 0.35}, "IL6": {"inflammation": 0.40},
    "IL1B": {"inflammation": 0.20}, "CXCL8": {"inflammation": 0.25}, "IL10": {"inflammation": -0.2},
    "CCL2": {"inflammation": 0.25}, "CRP": {"inflammation": 0.35},
    "ICAM1": {"microvascular": 0.25}, "VCAM1": {"microvascular": 0.30},
    "SELE": {"microvascular": 0.20}, "VEGFA": {"microvascular": 0.20},
    "TNFRSF1A": {"microvascular": 0.20, "inflammation": 0.15}, "BDNF": {"sensitisation": 0.20},
}  # fmt: skip

SOURCES = [
    "what neurography measures: Pham et al., Ann Neurol 2015;78:939",
    "scores: mTCNS, Bril et al., Diabet Med 2009;26:240; NDS, Young et al., Diabetologia "
    "1993;36:150",
    "definition of confirmed neuropathy: Tesfaye et al., Diabetes Care 2010;33:2285",
    "means, SDs, directions and sizes of every effect are made up",
]


def sample_neuropathy(
    n_subjects: int = 200,
    random_state: int = 0,
    *,
    missing: float = 0.2,
    effect: float = 1.0,
    n_sites: int = 3,
    scanner_effect: float = 1.0,
    batch_effect: float = 1.0,
) -> Cohort:
    """Make a synthetic cohort of people with diabetes, of whom some have neuropathy.

    Four hidden causes: loss of axons, disease of small vessels, inflammation and sensitisation.
    Neuropathy is logistic in axons, vessels, duration, HbA1c and age; whether it hurts is
    logistic in sensitisation, inflammation and sex. Loss of axons slows the nerves, swells them,
    raises their T2 relaxation time and NEFL and lowers their anisotropy; vessels lower the
    proton spin density and raise adhesion molecules. The figures are plausible but made up, see
    `meta["sources"]`.

    Parameters
    ----------
    n_subjects : int, default 200
        People, at least 8.
    random_state : int, default 0
        Seed; the same arguments give the same cohort. Every block has its own random stream.
    missing : float, default 0.2
        Share of people who lack each of the blocks, from 0 up to 0.9. The later sites lack more.
    effect : float, default 1.0
        Factor on the log odds of neuropathy and of pain. At 1 the true probabilities rank
        people with AUCs of about 0.78 and 0.74, which bound every model; at 0 nothing
        predicts. About 45% have neuropathy and 40% of those pain, whatever the effect.
    n_sites : int, default 3
        Hospitals, from 1 to 26; the first is the largest.
    scanner_effect : float, default 1.0
        Factor on how the scanners of the sites shift and stretch the measures of images.
    batch_effect : float, default 1.0
        Factor on the differences of the proteins between plates and between sites.

    Returns
    -------
    Cohort
        With `synthetic=True` and one visit. Measurements ``neurography`` (right thigh and leg:
        mm³, ms, FA, proton spin density in arbitrary units) and ``conduction`` (µV, mV, m/s);
        assay ``plasma_pea`` (60 proteins, NPX; ``SYN_...`` are made up). Outcomes
        ``neuropathy``, ``painful`` (of those with neuropathy) and ``severity`` (mTCNS, a
        number). The scores mTCNS and NDS and the pain have the role "outcome": the diagnosis
        rests on them, so that they can't predict it. In practice nerve conduction belongs to a
        confirmed diagnosis too; here it is drawn from the causes alone. The columns of role
        "truth" hold what no clinic knows.

    Raises
    ------
    FormatError
        When an argument is out of range.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_neuropathy(n_subjects=100)
    >>> pp.fusion.available_blocks(cohort)
    ['clinical', 'neurography', 'conduction', 'plasma_pea']
    >>> "mtcns" in cohort.predictors
    False
    """
    check_arguments(
        n_subjects, random_state, missing=missing, effect=effect, n_sites=n_sites,
        scanner_effect=scanner_effect, batch_effect=batch_effect,
    )  # fmt: skip
    names = ("axonal", "microvascular", "inflammation", "sensitisation")
    index, site, causes = people_of(n_subjects, n_sites, names, random_state, "D")
    people = _clinic(index, site, causes, random_state).join(causes.add_prefix("latent_"))
    people = people.join(_diagnosis(people, causes, effect, random_state))
    return build(
        "sample_neuropathy",
        subjects=people,
        columns=_columns(),
        outcomes={
            "neuropathy": Outcome(column="status", positive=("painless", "painful"),
                                  description="diabetic neuropathy"),
            "painful": Outcome(column="status", positive=("painful",),
                               where={"status": ["painless", "painful"]},
                               description="painful neuropathy, of those with neuropathy"),
            "severity": Outcome(kind="number", column="mtcns", description="mTCNS, 0 to 33"),
        },
        measurements=_tables(people, causes, missing, scanner_effect, random_state),
        assay=plasma_assay(
            people, causes, PROTEINS, SIGNAL, missing=missing, batch_effect=batch_effect,
            random_state=random_state, name="neuropathy",
        ),
        parameters={
            "n_subjects": n_subjects, "random_state": random_state, "missing": missing,
            "effect": effect, "n_sites": n_sites, "scanner_effect": scanner_effect,
            "batch_effect": batch_effect,
        },
        sources=SOURCES,
        truth={
            "neuropathy_log_odds_at_effect_1": dict(WEIGHTS),
            "pain_log_odds_at_effect_1": dict(PAIN_WEIGHTS),
        },
        schedule=SCHEDULE,
        index_event="examination",
    )  # fmt: skip


def _clinic(
    index: pd.Index, site: np.ndarray, causes: pd.DataFrame, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "clinic")
    n = len(index)
    z, u = rng.standard_normal((n, 9)), rng.random((n, 4))
    _, vessels, inflamed, sensitised = causes.to_numpy().T
    people = pd.DataFrame({"site": site}, index)
    type_1 = u[:, 0] < 0.25
    people["diabetes_type"] = np.where(type_1, "type_1", "type_2").astype(object)
    people["age"] = np.round(beta_from(z[:, 0], np.where(type_1, 48, 62), 10, 18, 88), 1)
    people["sex"] = np.where(u[:, 1] < 0.45, "female", "male")
    people["bmi"] = np.round(gamma_from(z[:, 1], np.where(type_1, 26, 31), 5.0), 1)
    longer = gamma_from(z[:, 2], np.where(type_1, 22, 11), np.where(type_1, 11, 7))
    people["duration_years"] = np.round(np.maximum(longer, 0.5), 1)
    people["hba1c_percent"] = np.round(beta_from(z[:, 3], 7.7, 1.3, 5, 14), 1)
    people["smoker"] = pd.array(u[:, 2] < 0.2, dtype="boolean")
    pressure = 134 + 15 * mix((0.3, vessels), z[:, 4])
    people["systolic_mmhg"] = hide(np.round(pressure), rng.random(n) < 0.1)
    fat = gamma_from(mix((0.2, inflamed), z[:, 5]), 1.9, 1.0)
    people["triglycerides_mmol_l"] = hide(np.round(fat, 2), rng.random(n) < 0.15)
    clear = beta_from(mix((-0.4, vessels), z[:, 6]), 80, 20, 15, 130)
    people["egfr"] = hide(np.round(clear), rng.random(n) < 0.1)
    damaged = mix((0.5, vessels), z[:, 7]) > 0.5
    people["retinopathy"] = pd.array(damaged, dtype="boolean")
    low = beta_from(mix((0.5, sensitised), z[:, 8]), 6.0, 3.8, 0, 21)
    people["hads_depression"] = hide(whole(low, 0, 21), rng.random(n) < 0.2)
    return people


def _diagnosis(
    people: pd.DataFrame, causes: pd.DataFrame, effect: float, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "diagnosis")
    n = len(people)
    terms = {
        **{str(name): causes[name].to_numpy() for name in causes},
        "log_duration": (np.log(people["duration_years"].to_numpy()) - 2.4) / 0.8,
        "hba1c": (people["hba1c_percent"].to_numpy() - 7.7) / 1.3,
        "age": (people["age"].to_numpy() - 58.5) / 11.5,
        "female": ((people["sex"] == "female").to_numpy() - 0.45) / 0.5,
    }
    p = chance(terms, WEIGHTS, _RATE, effect)
    p_pain = chance(terms, PAIN_WEIGHTS, _PAIN_RATE, effect)
    sick = rng.random(n) < p
    hurts = sick & (rng.random(n) < p_pain)
    status = np.select([hurts, sick], ["painful", "painless"], "none").astype(object)
    worse = mix((0.5, causes["axonal"].to_numpy()), rng.standard_normal(n))
    score = np.where(sick, beta_from(worse, 14, 5, 0, 33), beta_from(worse, 3, 2, 0, 33))
    nds = np.where(sick, beta_from(worse, 6.2, 1.8, 0, 10), beta_from(worse, 1.8, 1.3, 0, 10))
    pain = np.where(hurts, 3 + rng.integers(0, 7, n), rng.integers(0, 2, n))
    return pd.DataFrame(
        {
            "mtcns": whole(score, 0, 33),
            "nds": whole(nds, 0, 10),
            "pain_nrs": pain.astype(float),
            "status": status,
            "true_neuropathy_probability": p,
            "true_pain_probability": p_pain,
        },
        people.index,
    )


def _tables(
    people: pd.DataFrame, causes: pd.DataFrame, missing: float, scanner_effect: float,
    random_state: int,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    rng = stream(random_state, "tables")
    n = len(people)
    axonal, vessels, inflamed, _ = causes.to_numpy().T
    z = rng.standard_normal((n, 14))
    tall = rng.standard_normal(n)
    images = pd.DataFrame({
        "sciatic_volume_mm3": 5200 * np.exp(0.12 * tall + 0.13 * z[:, 0] + 0.08 * axonal),
        "tibial_volume_mm3": 1900 * np.exp(0.12 * tall + 0.15 * z[:, 1] + 0.09 * axonal),
        "sciatic_t2_ms": 64 * np.exp(0.07 * z[:, 2] + 0.05 * axonal + 0.03 * inflamed),
        "tibial_t2_ms": 66 * np.exp(0.08 * z[:, 3] + 0.05 * axonal + 0.03 * inflamed),
        "sciatic_fa": 0.46 * np.exp(0.07 * z[:, 4] - 0.06 * axonal),
        "tibial_fa": 0.43 * np.exp(0.08 * z[:, 5] - 0.06 * axonal),
        "sciatic_proton_density": 280 * np.exp(0.10 * z[:, 6] - 0.06 * vessels),
        "tibial_proton_density": 270 * np.exp(0.11 * z[:, 7] - 0.06 * vessels),
    }, people.index)  # fmt: skip
    older = (people["age"].to_numpy() - 58) / 10
    slow = axonal + 0.4 * vessels
    conduction = pd.DataFrame({
        "sural_snap_uv": 9.0 * np.exp(0.35 * z[:, 8] - 0.12 * older - 0.35 * axonal),
        "sural_velocity_m_s": 46 + 3.5 * z[:, 9] - 0.8 * older - 2.2 * slow,
        "peroneal_cmap_mv": 4.5 * np.exp(0.30 * z[:, 10] - 0.20 * axonal),
        "peroneal_velocity_m_s": 43 + 3.0 * z[:, 11] - 0.8 * older - 2.0 * slow,
        "tibial_velocity_m_s": 42 + 3.2 * z[:, 12] - 0.8 * older - 1.8 * slow,
    }, people.index)  # fmt: skip
    # A response that the electrodes can't tell from noise has no velocity.
    lost = conduction["sural_snap_uv"] < 2.0
    conduction.loc[lost, "sural_velocity_m_s"] = np.nan
    conduction.loc[lost, "sural_snap_uv"] = 0.0
    site = people["site"].to_numpy()
    images = read_by_scanner(images, site, scanner_effect, random_state, "neurography")
    has = {name: seen(site, missing, random_state, name) for name in ("neurography", "conduction")}
    return {
        name: table[has[name]].round(3).assign(visit="baseline").reset_index()
        for name, table in (("neurography", images), ("conduction", conduction))
    }


def _columns() -> dict[str, Column]:
    early: dict[str, Any] = {"visit": "baseline"}
    part: dict[str, Any] = {**early, "role": "outcome", "reason": "the diagnosis rests on it"}
    hidden: dict[str, Any] = {"kind": "number", "role": "truth", "unit": "SD"}
    likely: dict[str, Any] = {"kind": "number", "role": "truth", "minimum": 0, "maximum": 1}
    return {
        "site": Column(kind="category", role="note", description="hospital",
                       reason="a model that knows the site doesn't travel"),
        "diabetes_type": Column(kind="category", levels=named("type_1", "type_2"),
                                description="type of diabetes"),
        "age": Column(kind="number", unit="years", minimum=18, maximum=88, description="age"),
        "sex": Column(kind="category", levels=named("female", "male"), description="sex"),
        "bmi": Column(kind="number", unit="kg/m²", **early, description="body mass index"),
        "duration_years": Column(kind="duration", unit="years", **early,
                                 description="years of diabetes"),
        "hba1c_percent": Column(kind="number", unit="%", **early,
                                description="glycated haemoglobin"),
        "smoker": Column(kind="flag", **early, description="smokes"),
        "systolic_mmhg": Column(kind="number", unit="mmHg", **early,
                                description="systolic blood pressure"),
        "triglycerides_mmol_l": Column(kind="number", unit="mmol/l", **early,
                                       description="triglycerides"),
        "egfr": Column(kind="number", unit="ml/min/1.73 m²", **early,
                       description="estimated glomerular filtration rate"),
        "retinopathy": Column(kind="flag", **early, description="diabetic retinopathy"),
        "hads_depression": Column(kind="number", unit="0-21", minimum=0, maximum=21, **early,
                                  description="Hospital Anxiety and Depression Scale, depression"),
        "mtcns": Column(kind="number", unit="0-33", minimum=0, maximum=33, **part,
                        description="modified Toronto Clinical Neuropathy Score"),
        "nds": Column(kind="number", unit="0-10", minimum=0, maximum=10, **part,
                      description="Neuropathy Disability Score"),
        "pain_nrs": Column(kind="number", unit="0-10", minimum=0, maximum=10, **part,
                           description="neuropathic pain, numerical rating scale"),
        "status": Column(kind="category", levels=named("none", "painless", "painful"), **early,
                         role="outcome", reason="it is the diagnosis",
                         description="neuropathy: none, painless or painful"),
        "latent_axonal": Column(**hidden, description="hidden loss of axons"),
        "latent_microvascular": Column(**hidden, description="hidden disease of small vessels"),
        "latent_inflammation": Column(**hidden, description="hidden inflammation"),
        "latent_sensitisation": Column(**hidden, description="hidden sensitisation"),
        "true_neuropathy_probability": Column(**likely, description="true chance of neuropathy"),
        "true_pain_probability": Column(**likely,
                                        description="true chance of pain, given neuropathy"),
    }  # fmt: skip
