"""A synthetic cohort of complex regional pain syndrome whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort import Column, Outcome
from ._draw import beta_from, category, check_range, gamma_from, hide, mix, stream, whole
from ._syndrome import build, chance, check_arguments, named, people_of, plasma_assay, seen

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["sample_crps"]

SCHEDULE = {"baseline": -7.0, "followup": 84.0}
WEIGHTS = {"inflammatory": 0.70, "autoimmune": 0.75, "sensitisation": -0.70, "log_duration": -0.50}
_RATE = 0.40
# Gene -> accession, and log2 change per unit of a cause: directions plausible, sizes made up.
PROTEINS = {
    "IL1B": "P01584", "IL6": "P05231", "TNF": "P01375", "IL4": "P05112", "IL10": "P22301",
    "IL2": "P60568", "IL5": "P05113", "IL13": "P35225", "IL17A": "Q16552", "IFNG": "P01579",
    "CXCL8": "P10145", "CCL2": "P13500", "IL1RN": "P18510", "TNFRSF1A": "P19438",
    "TNFRSF1B": "P20333", "CXCL10": "P02778", "CXCL13": "O43927", "TNFSF13B": "Q9Y275",
    "CALCA": "P06881", "NGF": "P01138", "IL18": "Q14116", "CSF2": "P04141", "NEFL": "P07196",
    "FKBP5": "Q13451",
}  # fmt: skip
SIGNAL = {
    "IL1B": {"patient": 0.15, "inflammatory": 0.35}, "IL6": {"patient": 0.25, "inflammatory": 0.45},
    "TNF": {"patient": 0.20, "inflammatory": 0.40}, "IL4": {"patient": 0.15},
    "IL10": {"inflammatory": -0.25},
    "CXCL8": {"patient": 0.15, "inflammatory": 0.30}, "CCL2": {"inflammatory": 0.25},
    "TNFRSF1A": {"inflammatory": 0.25}, "TNFRSF1B": {"inflammatory": 0.20},
    "IL1RN": {"inflammatory": 0.20}, "CXCL10": {"autoimmune": 0.25},
    "CXCL13": {"autoimmune": 0.40}, "TNFSF13B": {"autoimmune": 0.35},
    "CALCA": {"patient": 0.20, "sensitisation": 0.15}, "FKBP5": {"sensitisation": 0.30},
}  # fmt: skip

SOURCES = [
    "criteria: Budapest, Harden et al., Pain 2010;150:268; severity score: Harden et al., Pain "
    "2010;151:870",
    "that cytokines differ: Parkitny et al., Neurology 2013;80:106; autoantibodies: Kohr et al., "
    "Pain 2011;152:2690",
    "immunoglobulins helped some in Goebel et al., Ann Intern Med 2010;152:152, and not in Goebel "
    "et al., Ann Intern Med 2017;167:476: that anybody responds here is an assumption",
    "means, SDs, directions and sizes of every effect are made up",
]


def sample_crps(
    n_subjects: int = 200,
    random_state: int = 0,
    *,
    control_fraction: float = 0.2,
    missing: float = 0.2,
    effect: float = 1.0,
    n_sites: int = 3,
    batch_effect: float = 1.0,
) -> Cohort:
    """Make a synthetic cohort of complex regional pain syndrome (CRPS) with known truth.

    Patients have three hidden causes: inflammation, autoimmunity and sensitisation.
    Inflammation warms the limb and shifts cytokines in plasma; autoimmunity raises the titres of
    autoantibodies; sensitisation shows in the questionnaires. The chance of a response to immune
    therapy is logistic in all three and in the duration. That there is such a response, and all
    sizes, are made up, see `meta["sources"]`.

    Parameters
    ----------
    n_subjects : int, default 200
        People, patients and controls together; at least 8.
    random_state : int, default 0
        Seed; the same arguments give the same cohort. Every block has its own random stream.
    control_fraction : float, default 0.2
        Share of healthy controls, from 0 to 0.75.
    missing : float, default 0.2
        Share of people who lack each of the blocks, from 0 up to 0.9. The later sites lack more.
    effect : float, default 1.0
        Factor on the log odds of a response. At 1 the true probability ranks the treated with
        an AUC of about 0.80, which bounds every model; at 0 nothing predicts. The rate stays
        about 40%.
    n_sites : int, default 3
        Hospitals, from 1 to 26; the first is the largest.
    batch_effect : float, default 1.0
        Factor on the differences of the proteins between plates and between sites.

    Returns
    -------
    Cohort
        With `synthetic=True`. Measurement ``antibodies`` (titres in units/ml); assay
        ``plasma_pea`` (60 proteins with the cytokines, NPX; ``SYN_...`` are made up). Outcomes
        ``response`` (pain reduced by 30% or more 12 weeks after immunoglobulins or steroids)
        and ``severity`` (CRPS severity score at that time, 0 to 16, a number). The columns of role
        "truth" hold what no clinic knows.

    Raises
    ------
    FormatError
        When an argument is out of range.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_crps(n_subjects=100)
    >>> pp.fusion.available_blocks(cohort)
    ['clinical', 'antibodies', 'plasma_pea']
    >>> cohort.subjects["diagnosis"].value_counts().to_dict()
    {'CRPS': 80, 'control': 20}
    """
    check_arguments(
        n_subjects, random_state, missing=missing, effect=effect, n_sites=n_sites,
        batch_effect=batch_effect,
    )  # fmt: skip
    check_range(control_fraction=(control_fraction, 0, 0.75))
    names = ("inflammatory", "autoimmune", "sensitisation")
    index, site, causes = people_of(n_subjects, n_sites, names, random_state, "C")
    sick = np.ones(n_subjects, dtype=bool)
    order = stream(random_state, "controls").permutation(n_subjects)
    sick[order[: round(n_subjects * control_fraction)]] = False
    people = _clinic(index, site, sick, causes, random_state)
    people = people.join(causes[sick].add_prefix("latent_"))
    people = people.join(_outcomes(people, sick, causes, effect, random_state))
    return build(
        "sample_crps",
        subjects=people,
        columns=_columns(),
        outcomes={
            "response": Outcome(
                column="pain_reduction_percent", at_least=30,
                where={"index_treatment": ["ivig", "steroids"]},
                description="pain reduced by 30% or more 12 weeks after immune therapy",
            ),
            "severity": Outcome(kind="number", column="css_12w",
                                description="CRPS severity score at 12 weeks, 0 to 16"),
        },
        measurements={"antibodies": _antibodies(people, sick, causes, missing, random_state)},
        assay=plasma_assay(
            people, causes.mul(sick, axis=0).assign(patient=sick.astype(float)), PROTEINS, SIGNAL,
            missing=missing, batch_effect=batch_effect, random_state=random_state, name="crps",
        ),
        parameters={
            "n_subjects": n_subjects, "random_state": random_state,
            "control_fraction": control_fraction, "missing": missing, "effect": effect,
            "n_sites": n_sites, "batch_effect": batch_effect,
        },
        sources=SOURCES,
        truth={"response_log_odds_at_effect_1": dict(WEIGHTS)},
        schedule=SCHEDULE,
        index_event="start of the immune therapy",
    )  # fmt: skip


def _clinic(
    index: pd.Index, site: np.ndarray, sick: np.ndarray, causes: pd.DataFrame, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "clinic")
    n = len(index)
    z, u = rng.standard_normal((n, 9)), rng.random((n, 6))
    inflamed, _, sensitised = causes.to_numpy().T
    people = pd.DataFrame({"diagnosis": np.where(sick, "CRPS", "control")}, index)

    def of_patients(values: np.ndarray) -> np.ndarray:
        return hide(values, ~sick)

    people["affected_side"] = of_patients(category(rng, {"left": 0.5, "right": 0.5}, n))
    people["limb"] = of_patients(category(rng, {"arm": 0.6, "leg": 0.4}, n))
    people["trigger"] = of_patients(
        category(rng, {"fracture": 0.45, "soft_tissue": 0.25, "surgery": 0.2, "none": 0.1}, n)
    )
    people["site"] = site
    people["age"] = np.round(beta_from(z[:, 0], 48, 13, 18, 82), 1)
    people["sex"] = np.where(u[:, 0] < np.where(sick, 0.75, 0.6), "female", "male")
    months = np.round(np.maximum(gamma_from(z[:, 1], 18, 20), 1))
    people["duration_months"] = of_patients(months)
    warm = mix((0.5, inflamed), (-0.4, (np.log(months) - 2.4) / 1.0), z[:, 2])
    people["temperature_difference_c"] = of_patients(np.round(0.2 + 0.9 * warm, 1))
    people["warm_onset"] = pd.array(
        of_patients((mix((0.6, inflamed), z[:, 3]) > -0.5).astype(float)), dtype="boolean"
    )
    # Symptoms in three of four categories and signs in two, at least: the clinical criteria.
    people["budapest_symptoms"] = of_patients(np.where(u[:, 1] < 0.6, 4, 3))
    signs = np.where(u[:, 2] < 0.2, 2, np.where(u[:, 2] < 0.6, 3, 4))
    people["budapest_signs"] = of_patients(signs)
    pain = beta_from(mix((0.3, inflamed), (0.4, sensitised), z[:, 4]), 6.5, 1.7, 0, 10)
    people["pain_nrs"] = of_patients(whole(pain, 2, 10))
    css = 5 + signs + whole(beta_from(mix((0.4, inflamed), z[:, 5]), 3, 2, 0, 7), 0, 7)
    people["css"] = of_patients(css)
    for name, j, mean, sd, top in (("hads_anxiety", 6, 7.5, 4, 21), ("pcs_total", 7, 24, 12, 52)):
        score = whole(beta_from(mix((0.55, sensitised), z[:, j]), mean, sd, 0, top), 0, top)
        people[name] = hide(score, ~sick | (rng.random(n) < 0.15))
    shares = np.where(u[:, 3] < 0.45, "ivig", np.where(u[:, 3] < 0.85, "steroids", "none"))
    people["index_treatment"] = of_patients(shares.astype(object))
    return people


def _outcomes(
    people: pd.DataFrame, sick: np.ndarray, causes: pd.DataFrame, effect: float, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "outcomes")
    n = len(people)
    months = people["duration_months"].fillna(12).to_numpy(dtype=float)
    terms = {
        **{str(name): causes[name].to_numpy() for name in causes},
        "log_duration": (np.log(months) - 2.4) / 1.05,
    }
    p = chance(terms, WEIGHTS, _RATE, effect)
    treated = sick & (people["index_treatment"] != "none").to_numpy()
    better = rng.random(n) < np.where(treated, p, 0.2)
    share = np.where(better, rng.uniform(0.30, 0.9, n), rng.uniform(-0.2, 0.29, n))
    followed = sick & (rng.random(n) < 0.92)
    css = people["css"].fillna(0).to_numpy(dtype=float)
    after = css * (1 - 0.7 * share) + 0.8 * rng.standard_normal(n)
    return pd.DataFrame(
        {
            "pain_reduction_percent": hide(np.round(100 * share, 1), ~followed),
            "css_12w": hide(whole(np.maximum(after, 0), 0, 16), ~followed),
            "true_response_probability": hide(p, ~treated),
        },
        people.index,
    )


def _antibodies(
    people: pd.DataFrame, sick: np.ndarray, causes: pd.DataFrame, missing: float, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "antibodies")
    z = rng.standard_normal((len(people), 3))
    immune = np.where(sick, causes["autoimmune"].to_numpy(), -0.5)
    table = pd.DataFrame({
        "adrb2_titre": np.exp(2.3 + 0.5 * z[:, 0] + 0.45 * immune),
        "chrm2_titre": np.exp(2.1 + 0.5 * z[:, 1] + 0.40 * immune),
        "ana_titre": np.exp(3.7 + 0.7 * z[:, 2] + 0.25 * immune),
    }, people.index)  # fmt: skip
    has = seen(people["site"].to_numpy(), missing, random_state, "antibodies")
    # Titres are read on the logarithm, as dilutions are.
    table = table.apply(np.log2).round(2).add_prefix("log2_")
    return table[has].assign(visit="baseline").reset_index()


def _columns() -> dict[str, Column]:
    early: dict[str, Any] = {"visit": "baseline"}
    late: dict[str, Any] = {"role": "outcome", "visit": "followup",
                            "reason": "known only after treatment"}  # fmt: skip
    hidden: dict[str, Any] = {"kind": "number", "role": "truth", "unit": "SD"}
    four = {str(k): k for k in range(5)}
    return {
        "diagnosis": Column(kind="category", levels=named("CRPS", "control"),
                            description="complex regional pain syndrome or healthy control"),
        "affected_side": Column(kind="category", levels=named("left", "right"),
                                description="painful side (anatomical); missing for controls"),
        "limb": Column(kind="category", levels=named("arm", "leg"), description="painful limb"),
        "trigger": Column(kind="category",
                          levels=named("fracture", "soft_tissue", "surgery", "none"),
                          description="what came before"),
        "site": Column(kind="category", role="note", description="hospital",
                       reason="a model that knows the site doesn't travel"),
        "age": Column(kind="number", unit="years", minimum=18, maximum=82, description="age"),
        "sex": Column(kind="category", levels=named("female", "male"), description="sex"),
        "duration_months": Column(kind="duration", unit="months", **early,
                                  description="months since the onset"),
        "temperature_difference_c": Column(kind="number", unit="°C", **early,
                                           description="skin, painful side less the other"),
        "warm_onset": Column(kind="flag", **early, description="the limb was warm at the onset"),
        "budapest_symptoms": Column(kind="ordinal", levels=four, **early,
                                    description="categories of symptoms, Budapest criteria"),
        "budapest_signs": Column(kind="ordinal", levels=four, **early,
                                 description="categories of signs, Budapest criteria"),
        "pain_nrs": Column(kind="number", unit="0-10", minimum=0, maximum=10, **early,
                           description="pain, numerical rating scale"),
        "css": Column(kind="number", unit="0-16", minimum=0, maximum=16, **early,
                      description="CRPS severity score"),
        "hads_anxiety": Column(kind="number", unit="0-21", minimum=0, maximum=21, **early,
                               description="Hospital Anxiety and Depression Scale, anxiety"),
        "pcs_total": Column(kind="number", unit="0-52", minimum=0, maximum=52, **early,
                            description="Pain Catastrophizing Scale, total"),
        "index_treatment": Column(kind="category", levels=named("ivig", "steroids", "none"),
                                  **early, description="immune therapy decided on: "
                                  "immunoglobulins, steroids, none; missing for controls"),
        "pain_reduction_percent": Column(kind="number", unit="%", maximum=100, **late,
                                         description="reduction of pain at 12 weeks"),
        "css_12w": Column(kind="number", unit="0-16", minimum=0, maximum=16, **late,
                          description="CRPS severity score at 12 weeks"),
        "latent_inflammatory": Column(**hidden, description="hidden inflammation"),
        "latent_autoimmune": Column(**hidden, description="hidden autoimmunity"),
        "latent_sensitisation": Column(**hidden, description="hidden sensitisation"),
        "true_response_probability": Column(kind="number", role="truth", minimum=0, maximum=1,
                                            description="true chance of 30% less pain 12 weeks "
                                            "after immune therapy"),
    }  # fmt: skip
