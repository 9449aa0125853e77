"""A synthetic cohort of sciatica whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..cohort import Column, Outcome
from ._draw import beta_from, category, gamma_from, hide, mix, stream, whole
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

__all__ = ["sample_sciatica"]

LEVELS = {"L4": 0.10, "L5": 0.45, "S1": 0.45}
SCHEDULE = {"baseline": -14.0, "followup": 365.0}
WEIGHTS = {
    "compression": 0.80, "inflammation": 0.45, "sensitisation": -0.75, "log_duration": -0.55,
    "smoker": -0.30,
}  # fmt: skip
_RATE = 0.65
# Gene -> accession, and log2 change per SD of a cause: directions plausible, sizes made up.
PROTEINS = {
    "IL6": "P05231", "TNF": "P01375", "CXCL8": "P10145", "IL1B": "P01584", "CCL2": "P13500",
    "CRP": "P02741", "NEFL": "P07196", "NGF": "P01138", "CX3CL1": "P78423", "MMP9": "P14780",
    "IL10": "P22301", "IL18": "Q14116", "VEGFA": "P15692", "TNFRSF1A": "P19438",
    "FKBP5": "Q13451", "BDNF": "P23560",
}  # fmt: skip
SIGNAL = {
    "IL6": {"inflammation": 0.45}, "TNF": {"inflammation": 0.35}, "CXCL8": {"inflammation": 0.40},
    "IL1B": {"inflammation": 0.30}, "CCL2": {"inflammation": 0.20}, "CRP": {"inflammation": 0.40},
    "TNFRSF1A": {"inflammation": 0.20}, "NEFL": {"compression": 0.30},
    "FKBP5": {"sensitisation": 0.25}, "BDNF": {"sensitisation": 0.20},
}  # fmt: skip

SOURCES = [
    "which grades: MSU classification, Mysliwiec et al., Eur Spine J 2010;19:1087",
    "scale of disability: Oswestry Disability Index, Fairbank & Pynsent, Spine 2000;25:2940",
    "means, SDs, directions and sizes of every effect are made up",
]


def sample_sciatica(
    n_subjects: int = 200,
    random_state: int = 0,
    *,
    missing: float = 0.2,
    effect: float = 1.0,
    n_sites: int = 3,
    scanner_effect: float = 1.0,
    batch_effect: float = 1.0,
) -> Cohort:
    """Make a synthetic cohort of lumbar radicular pain with known truth.

    Everybody has a disc herniation that presses on one root, and three hidden causes:
    compression, inflammation and sensitisation. Compression flattens the root of the painful
    level and side, narrows the canal and raises the MSU grade; inflammation brightens the root
    and raises cytokines in plasma; sensitisation shows in the questionnaires. The chance of a
    response to treatment is logistic in all three and in two clinical facts, so that no single
    block tells everything. The figures are plausible but made up, see `meta["sources"]`.

    Parameters
    ----------
    n_subjects : int, default 200
        Patients, at least 8.
    random_state : int, default 0
        Seed; the same arguments give the same cohort. Every block has its own random stream.
    missing : float, default 0.2
        Share of people who lack each of the blocks, from 0 up to 0.9. The later sites lack more.
    effect : float, default 1.0
        Factor on the log odds of a response, and on what the causes do to the pain a year
        later. At 1 the true probability ranks the treated with an AUC of about 0.79, which
        bounds every model; at 0 nothing predicts. The rate stays about 65%.
    n_sites : int, default 3
        Hospitals, from 1 to 26; the first is the largest.
    scanner_effect : float, default 1.0
        Factor on how the scanners of the sites shift and stretch the measures of images.
    batch_effect : float, default 1.0
        Factor on the differences of the proteins between plates and between sites.

    Returns
    -------
    Cohort
        With `synthetic=True`. Measurements ``root_measures`` (by level and side: mm², mm, %) and
        ``root_texture`` (T2-weighted signal), ``canal`` (mm²); assay ``plasma_pea`` (60 proteins,
        NPX; ``SYN_...`` are made up). Outcomes ``response`` (leg pain reduced by half or more a
        year after surgery or injection), ``severity`` (leg pain a year later, 0 to 10, a number)
        and ``disability`` (Oswestry index, a number) of everybody treated or not. The columns
        of role "truth" hold what no clinic knows.

    Raises
    ------
    FormatError
        When an argument is out of range.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_sciatica(n_subjects=100)
    >>> pp.fusion.available_blocks(cohort)
    ['clinical', 'root_measures', 'root_texture', 'canal', 'plasma_pea']
    >>> roots = pp.fusion.FeatureBlock("root_measures").fit(cohort)
    >>> roots.columns_[:2]
    ['affected:root_area_mm2', 'affected:root_height_mm']
    """
    check_arguments(
        n_subjects, random_state, missing=missing, effect=effect, n_sites=n_sites,
        scanner_effect=scanner_effect, batch_effect=batch_effect,
    )  # fmt: skip
    index, site, causes = people_of(
        n_subjects, n_sites, ("compression", "inflammation", "sensitisation"), random_state, "R"
    )
    people = _clinic(index, site, causes, random_state).join(causes.add_prefix("latent_"))
    people = people.join(_outcomes(people, causes, effect, random_state))
    return build(
        "sample_sciatica",
        subjects=people,
        columns=_columns(),
        outcomes={
            "response": Outcome(
                column="pain_reduction_percent", at_least=50,
                where={"index_treatment": ["surgery", "injection"]},
                description="leg pain reduced by half or more a year after surgery or injection",
            ),
            "severity": Outcome(kind="number", column="leg_pain_12mo",
                                description="leg pain a year later, 0 to 10"),
            "disability": Outcome(kind="number", column="odi_12mo",
                                  description="Oswestry Disability Index a year later, 0 to 100"),
        },
        measurements=_images(people, causes, missing, scanner_effect, random_state),
        assay=plasma_assay(
            people, causes, PROTEINS, SIGNAL, missing=missing, batch_effect=batch_effect,
            random_state=random_state, name="sciatica",
        ),
        parameters={
            "n_subjects": n_subjects, "random_state": random_state, "missing": missing,
            "effect": effect, "n_sites": n_sites, "scanner_effect": scanner_effect,
            "batch_effect": batch_effect,
        },
        sources=SOURCES,
        truth={"response_log_odds_at_effect_1": dict(WEIGHTS)},
        schedule=SCHEDULE,
        index_event="treatment",
    )  # fmt: skip


def _clinic(
    index: pd.Index, site: np.ndarray, causes: pd.DataFrame, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "clinic")
    n = len(index)
    z, u = rng.standard_normal((n, 10)), rng.random((n, 4))
    pressed, inflamed, sensitised = causes.to_numpy().T
    people = pd.DataFrame({"affected_side": category(rng, {"left": 0.52, "right": 0.48}, n)}, index)
    people["affected_level"] = category(rng, LEVELS, n)
    people["site"] = site
    people["age"] = np.round(beta_from(z[:, 0], 46, 12, 18, 80), 1)
    people["sex"] = np.where(u[:, 0] < 0.45, "female", "male")
    people["bmi"] = np.round(gamma_from(z[:, 1], 27.0, 4.5), 1)
    people["smoker"] = pd.array(u[:, 1] < 0.3, dtype="boolean")
    people["duration_weeks"] = np.maximum(np.round(gamma_from(z[:, 2], 20, 16)), 2)
    pain = mix((0.4, pressed), (0.3, inflamed), (0.4, sensitised), z[:, 3])
    people["leg_pain_nrs"] = whole(beta_from(pain, 6.8, 1.8, 0, 10), 2, 10)
    back = mix((0.4, sensitised), z[:, 4])
    people["back_pain_nrs"] = whole(beta_from(back, 4.5, 2.5, 0, 10), 0, 10)
    odi = mix((0.6, pain), (0.25, sensitised), z[:, 5])
    people["odi"] = 2 * whole(beta_from(odi, 46, 16, 0, 100) / 2, 5, 50)
    size = mix((0.75, pressed), z[:, 6])
    people["msu_size"] = hide(1 + np.digitize(size, [-0.6, 0.6]), u[:, 2] < 0.1)
    people["msu_zone"] = category(rng, {"A": 0.35, "B": 0.45, "AB": 0.12, "C": 0.08}, n)
    weak = mix((0.4, pressed), z[:, 7]) > 0.5
    people["motor_deficit"] = pd.array(weak, dtype="boolean")
    raised = beta_from(mix((-0.4, pressed), (-0.25, inflamed), z[:, 8]), 48, 17, 10, 90)
    people["straight_leg_raise_deg"] = 5 * whole(raised / 5, 2, 18)
    pcs = beta_from(mix((0.6, sensitised), z[:, 9]), 20, 11, 0, 52)
    people["pcs_total"] = hide(whole(pcs, 0, 52), rng.random(n) < 0.2)
    cut = np.where(people["duration_weeks"] > 8, 0.55, 0.35) + 0.1 * weak
    chosen = np.where(u[:, 3] < cut, "surgery", np.where(u[:, 3] < cut + 0.3, "injection", "none"))
    people["index_treatment"] = chosen.astype(object)
    return people


def _outcomes(
    people: pd.DataFrame, causes: pd.DataFrame, effect: float, random_state: int
) -> pd.DataFrame:
    rng = stream(random_state, "outcomes")
    n = len(people)
    terms = {
        **{str(name): causes[name].to_numpy() for name in causes},
        "log_duration": (np.log(people["duration_weeks"].to_numpy()) - 2.75) / 0.75,
        "smoker": (people["smoker"].to_numpy(dtype=float) - 0.3) / 0.46,
    }
    p = chance(terms, WEIGHTS, _RATE, effect)
    treated = (people["index_treatment"] != "none").to_numpy()
    # Without treatment most get better too, but fewer.
    better = rng.random(n) < np.where(treated, p, 0.7 * p)
    before = people["leg_pain_nrs"].to_numpy()
    share = np.where(better, rng.uniform(0.5, 1.0, n), rng.uniform(-0.1, 0.49, n))
    left = before * (1 - share)
    after = np.clip(np.where(better, np.floor(left), np.ceil(left)), 0, 10)
    # Whole numbers on both sides: who is better has lost half or more, who isn't hasn't.
    after = np.where(~better & (after <= before / 2), np.floor(before / 2) + 1, after)
    seen_again = rng.random(n) < 0.9
    odi = 0.35 * people["odi"].to_numpy() + 4.5 * after + 5 * rng.standard_normal(n)
    return pd.DataFrame(
        {
            "leg_pain_12mo": hide(after, ~seen_again),
            "pain_reduction_percent": hide(np.round(100 * (1 - after / before), 1), ~seen_again),
            "odi_12mo": hide(2 * whole(np.maximum(odi, 0) / 2, 0, 50), ~seen_again),
            "true_response_probability": hide(p, ~treated),
        },
        people.index,
    )


def _images(
    people: pd.DataFrame, causes: pd.DataFrame, missing: float, scanner_effect: float,
    random_state: int,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    rng = stream(random_state, "images")
    n = len(people)
    levels, sides = list(LEVELS), ["left", "right"]
    owner = np.repeat(np.arange(n), len(levels) * 2)
    keys = pd.DataFrame({
        "subject_id": people.index.to_numpy()[owner], "visit": "baseline",
        "level": np.tile(np.repeat(np.array(levels, dtype=object), 2), n),
        "side": np.tile(np.array(sides, dtype=object), n * len(levels)),
    })  # fmt: skip
    painful = (keys["level"].to_numpy() == people["affected_level"].to_numpy()[owner]) & (
        keys["side"].to_numpy() == people["affected_side"].to_numpy()[owner]
    )
    pressed, inflamed, _ = np.where(painful[:, None], causes.to_numpy()[owner], 0.0).T
    z = rng.standard_normal((len(keys), 7))
    body = rng.standard_normal(n)[owner]  # large people have large roots
    size = keys["level"].map({"L4": 22.0, "L5": 26.0, "S1": 30.0}).to_numpy()
    squeezed = 0.12 * painful * (1 + pressed)
    table = pd.DataFrame({
        "root_area_mm2": size * np.exp(0.10 * body + 0.08 * z[:, 0] - squeezed),
        "root_height_mm": 5.5 * np.exp(0.05 * body + 0.06 * z[:, 1] - 0.8 * squeezed),
        "foramen_area_mm2": 110 * np.exp(0.10 * body + 0.12 * z[:, 2] - 0.7 * squeezed),
        "compression_percent": np.exp(1.4 + 0.45 * z[:, 3] + painful * (1.0 + 0.35 * pressed)),
    })  # fmt: skip
    texture = pd.DataFrame({
        "t2_signal": 300 * np.exp(0.12 * z[:, 4] + painful * (0.12 + 0.12 * inflamed)),
        "t2_entropy": 4.0 * np.exp(0.06 * z[:, 5] + painful * (0.03 + 0.05 * inflamed)),
        "t2_contrast": 35 * np.exp(0.25 * z[:, 6] + painful * (0.1 + 0.2 * pressed)),
    })  # fmt: skip
    disc = people["affected_level"].map({"L4": "l3_l4", "L5": "l4_l5", "S1": "l5_s1"}).to_numpy()
    noise = rng.standard_normal((n, 4))
    narrow = causes["compression"].to_numpy()
    canal = pd.DataFrame({
        f"canal_area_{name}_mm2": 175 * np.exp(
            0.12 * noise[:, 3] + 0.10 * noise[:, k] - 0.15 * (disc == name) * (1 + narrow)
        )
        for k, name in enumerate(("l3_l4", "l4_l5", "l5_s1"))
    })  # fmt: skip
    site = people["site"].to_numpy()
    at_disc = {f"canal_area_{name}_mm2": disc == name for name in ("l3_l4", "l4_l5", "l5_s1")}
    lead = pd.DataFrame({"subject_id": people.index, "visit": "baseline"})
    result = {}
    for name, values, first in (
        ("root_measures", table, keys),
        ("root_texture", texture, keys),
        ("canal", canal, lead),
    ):
        rows = owner if first is keys else np.arange(n)
        read = read_by_scanner(values, site[rows], scanner_effect, random_state, name)
        if name == "canal":
            pressed_on = np.column_stack(list(at_disc.values()))
            read.insert(0, "canal_area_painful_mm2", read.to_numpy()[pressed_on])
        if "compression_percent" in read:
            read["compression_percent"] = read["compression_percent"].clip(upper=99.0)
        has = seen(site, missing, random_state, name)[rows]
        result[name] = pd.concat([first, read.round(3)], axis=1)[has].reset_index(drop=True)
    return result


def _columns() -> dict[str, Column]:
    early: dict[str, Any] = {"visit": "baseline"}
    late: dict[str, Any] = {"role": "outcome", "visit": "followup",
                            "reason": "known only after treatment"}  # fmt: skip
    hidden: dict[str, Any] = {"kind": "number", "role": "truth", "unit": "SD"}
    return {
        "affected_side": Column(kind="category", levels=named("left", "right"),
                                description="side of the leg pain (anatomical)"),
        "affected_level": Column(kind="category", levels=named(*LEVELS),
                                 description="root that the herniation presses on"),
        "site": Column(kind="category", role="note", description="hospital",
                       reason="a model that knows the site doesn't travel"),
        "age": Column(kind="number", unit="years", minimum=18, maximum=80, description="age"),
        "sex": Column(kind="category", levels=named("female", "male"), description="sex"),
        "bmi": Column(kind="number", unit="kg/m²", **early, description="body mass index"),
        "smoker": Column(kind="flag", **early, description="smokes"),
        "duration_weeks": Column(kind="duration", unit="weeks", **early,
                                 description="weeks of leg pain"),
        "leg_pain_nrs": Column(kind="number", unit="0-10", minimum=0, maximum=10, **early,
                               description="leg pain, numerical rating scale"),
        "back_pain_nrs": Column(kind="number", unit="0-10", minimum=0, maximum=10, **early,
                                description="back pain, numerical rating scale"),
        "odi": Column(kind="number", unit="0-100", minimum=0, maximum=100, **early,
                      description="Oswestry Disability Index"),
        "msu_size": Column(kind="ordinal", levels={"1": 1, "2": 2, "3": 3}, **early,
                           description="size of the herniation, MSU classification"),
        "msu_zone": Column(kind="category", levels=named("A", "B", "AB", "C"), **early,
                           description="zone of the herniation, MSU classification"),
        "motor_deficit": Column(kind="flag", **early, description="weakness in the myotome"),
        "straight_leg_raise_deg": Column(kind="number", unit="degrees", minimum=0, maximum=90,
                                         **early, description="leg raised until it hurts"),
        "pcs_total": Column(kind="number", unit="0-52", minimum=0, maximum=52, **early,
                            description="Pain Catastrophizing Scale, total"),
        "index_treatment": Column(kind="category", levels=named("surgery", "injection", "none"),
                                  **early, description="treatment decided on: discectomy, "
                                  "epidural injection, none"),
        "leg_pain_12mo": Column(kind="number", unit="0-10", minimum=0, maximum=10, **late,
                                description="leg pain at 12 months"),
        "pain_reduction_percent": Column(kind="number", unit="%", maximum=100, **late,
                                         description="reduction of leg pain at 12 months"),
        "odi_12mo": Column(kind="number", unit="0-100", minimum=0, maximum=100, **late,
                           description="Oswestry Disability Index at 12 months"),
        "latent_compression": Column(**hidden, description="hidden compression of the root"),
        "latent_inflammation": Column(**hidden, description="hidden inflammation of the root"),
        "latent_sensitisation": Column(**hidden, description="hidden sensitisation"),
        "true_response_probability": Column(kind="number", role="truth", minimum=0, maximum=1,
                                            description="true chance of half the pain or less "
                                            "a year after the treatment"),
    }  # fmt: skip
