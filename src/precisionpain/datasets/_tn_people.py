"""The people of the synthetic trigeminal cohort: hidden causes, clinic, surgery and its outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from ._draw import beta_from, category, gamma_from, hide, stream, whole

__all__ = [
    "BNI_LEVELS",
    "BRANCHES",
    "CAUSES",
    "RESPONSE_WEIGHTS",
    "SHIFT",
    "causes",
    "draw_clinic",
    "draw_outcomes",
    "missing_by_site",
    "severity_bounds",
]

# The hidden causes and the share of patients in whom each is the leading one.
CAUSES = {
    "compression": 0.40,
    "axonal": 0.20,
    "inflammatory": 0.15,
    "autoimmune_like": 0.10,
    "stress": 0.15,
}
SHIFT = 2.0  # of the leading cause, in SD of the others

BNI_LEVELS = {"I": 1, "II": 2, "IIIa": 3, "IIIb": 4, "IV": 5, "V": 6}
# Log odds of "this level or better", relative to level II.
_BNI_OFFSETS = np.array([-0.45, 0.0, 0.35, 0.9, 2.0])

# Log odds of BNI I-II after MVD at effect = 1: per SD of a cause or of log duration, or for a flag.
RESPONSE_WEIGHTS = {
    "compression": 0.75,
    "axonal": 0.55,
    "inflammatory": -0.50,
    "autoimmune_like": -0.45,
    "stress": -0.50,
    "male": 0.80,
    "continuous_pain": -1.00,
    "log_duration": -0.50,
    "previous_surgery": -0.75,
    "venous_or_multiple": -0.65,
}
_RESPONSE_RATE = 0.75
# About the mean and SD of the weighted sum over MVD patients; they only keep the rate in place.
_SUM_MEAN, _SUM_SD = -0.43, 1.60

_RECURRENCE_PER_YEAR, _REOPERATION_PER_YEAR = 0.06, 0.015
_YEAR = 365.25
BRANCHES = {
    "V1": 0.04, "V2": 0.19, "V3": 0.16, "V1+V2": 0.13, "V2+V3": 0.36, "V1+V2+V3": 0.12,
}  # fmt: skip


def severity_bounds(affected: np.ndarray) -> np.ndarray:
    """Return the scores above which a nerve is touched, displaced and indented.

    From the shares of Maarbjerg et al., Brain 2015;138:311: contact in 89% and severe contact
    in 53% of affected nerves, 78% and 13% of the others. Half of the severe ones, and 2% of
    the nerves that aren't affected, are taken as indented.

    Parameters
    ----------
    affected : numpy.ndarray of bool
        Whether the nerve is on a painful side, shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n, 3).
    """
    painful = stats.norm.isf([0.89, 0.53, 0.27])
    silent = stats.norm.isf([0.78, 0.13, 0.02])
    return np.where(np.asarray(affected)[:, None], painful, silent)


def causes(
    n: int, random_state: int, *, subtypes: bool, shift: float = SHIFT
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Draw the hidden causes of n patients.

    Parameters
    ----------
    n : int
        Patients.
    random_state : int
        Seed.
    subtypes : bool
        Whether each patient has a leading cause. Without, the causes have the same means and
        SDs but no clusters.
    shift : float, default 2.0
        Of the leading cause, in SD of the others.

    Returns
    -------
    levels : pandas.DataFrame
        Level of each cause (column), in SD of a person without it; what the proteins follow.
    scores : pandas.DataFrame
        The same, with standard normal margins.
    leading : numpy.ndarray
        The leading cause, None without subtypes.
    """
    rng = stream(random_state, "causes")
    shares = np.array(list(CAUSES.values()))
    leading = category(rng, CAUSES, n)
    noise = rng.standard_normal((n, len(CAUSES)))
    if subtypes:
        levels = noise + shift * (leading[:, None] == np.array(list(CAUSES), dtype=object))
        below = shares * stats.norm.cdf(levels - shift) + (1 - shares) * stats.norm.cdf(levels)
        scores = stats.norm.ppf(below)
    else:
        leading = np.full(n, None, dtype=object)
        scores = noise
        levels = shift * shares + scores * np.sqrt(1 + shift**2 * shares * (1 - shares))
    names = list(CAUSES)
    return pd.DataFrame(levels, columns=names), pd.DataFrame(scores, columns=names), leading


def missing_by_site(site: np.ndarray, share: float, slope: float = 1.0) -> np.ndarray:
    """Return each person's probability of lacking something, unequal over the sites.

    Parameters
    ----------
    site : numpy.ndarray
        Site of each person.
    share : float
        Share that lacks it over all people.
    slope : float, default 1.0
        From -1 to 1: how much the later sites lack more (or less) than the first.

    Returns
    -------
    numpy.ndarray
        Probabilities with mean `share`.
    """
    _, position = np.unique(site, return_inverse=True)
    tilt = position - position.mean()
    reach = np.abs(tilt).max()
    if reach == 0:
        return np.full(len(site), share)
    # The variance of a flag bounds how far its probability can move without leaving [0, 1].
    return share + slope * share * (1 - share) * tilt / reach


def draw_clinic(
    sick: np.ndarray, scores: pd.DataFrame, site: np.ndarray, random_state: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw what the clinic knows before surgery.

    Marginals of patients and controls follow OpenNeuro ds005713 (age, body mass index, pain,
    duration, questionnaires, education, ancestry) unless noted.

    Parameters
    ----------
    sick : numpy.ndarray of bool
        Who is a patient, shape (n,).
    scores : pandas.DataFrame
        Hidden causes of the patients, as standard normal scores.
    site : numpy.ndarray
        Site of each person.
    random_state : int
        Seed.

    Returns
    -------
    table : pandas.DataFrame
        Columns of the subjects table, in the order of the people.
    hidden : pandas.DataFrame
        What only the generator knows of the patients: severity of the conflict as a perfect
        image would show it, an offending vein, several vessels.
    """
    rng = stream(random_state, "clinic")
    n, n_sick = len(sick), int(sick.sum())
    z = rng.standard_normal((n, 12))
    u = rng.random((n, 8))

    def of_patients(values: np.ndarray) -> np.ndarray:
        filler = None if values.dtype == object else np.nan
        full = np.full(n, filler, dtype=object if values.dtype == object else float)
        full[sick] = values
        return full

    zs, us = z[sick], u[sick]
    age = np.where(
        sick,
        beta_from(z[:, 0], 59.1, 12.2, 18, 90),
        beta_from(z[:, 0], 55.3, 8.0, 18, 90),
    )
    female = u[:, 0] < np.where(sick, 0.60, 0.58)
    table = pd.DataFrame({"age": np.round(age, 1), "sex": np.where(female, "female", "male")})
    table["bmi"] = np.round(gamma_from(z[:, 1], np.where(sick, 28.6, 26.5), 5.0), 1)
    table["ethnicity"] = category(rng, {"White": 0.88, "Asian": 0.12}, n)
    table["education"] = category(
        rng, {"secondary": 0.16, "vocational": 0.58, "university": 0.26}, n
    )

    # The conflict itself, and the rater's reading of it; agreement near that of MRI with surgery.
    severity = 0.9 * scores["compression"].to_numpy() + np.sqrt(1 - 0.81) * zs[:, 2]
    bounds = severity_bounds(np.ones(n_sick, dtype=bool))
    grade = (severity[:, None] > bounds).sum(axis=1)
    read = 0.93 * severity + np.sqrt(1 - 0.93**2) * zs[:, 3]
    venous = (grade >= 1) & (us[:, 1] < np.where(grade >= 2, 0.02, 0.25))
    several = (grade >= 1) & (us[:, 2] < 0.18)
    hidden = pd.DataFrame({"severity": severity, "venous": venous, "several": several})

    side = category(rng, {"right": 0.59, "left": 0.39, "bilateral": 0.02}, n_sick)
    table["affected_side"] = of_patients(side)
    duration = np.maximum(np.round(gamma_from(zs[:, 4], 7.5, 5.4), 1), 0.1)
    table["disease_duration_years"] = of_patients(duration)
    # Concomitant continuous pain: about half of the patients, more often women and younger ones.
    log_odds = -0.3 + 0.5 * female[sick] - 0.03 * (age[sick] - 59)
    continuous = us[:, 3] < special.expit(log_odds)
    table["pain_type"] = of_patients(
        np.where(continuous, "concomitant_continuous", "paroxysmal").astype(object)
    )
    pain = whole(beta_from(0.3 * scores["stress"] + 0.954 * zs[:, 5], 5.4, 2.1, 0, 10), 1, 10)
    table["pain_severity"] = of_patients(hide(pain, rng.random(n_sick) < 0.15))
    table["branch"] = of_patients(category(rng, BRANCHES, n_sick))
    seen = (read[:, None] > bounds).sum(axis=1)
    table["sindou_grade"] = of_patients(hide(seen, rng.random(n_sick) < 0.2))
    previous = us[:, 4] < special.expit(-1.7 + 0.4 * zs[:, 4])
    table["previous_surgery"] = pd.array(of_patients(previous.astype(float)), dtype="boolean")
    dose = 200 * whole(gamma_from(zs[:, 6], 650, 350) / 200, 1, 8)
    table["carbamazepine_mg_day"] = of_patients(np.where(us[:, 5] < 0.15, 0.0, dose))

    stress = np.zeros(n)
    stress[sick] = scores["stress"]
    unasked = rng.random(n) < missing_by_site(site, 0.4)
    blend = np.where(sick, 0.65, 0.0)
    rest = np.sqrt(1 - blend**2)
    for name, j, patients, controls, top in (
        ("hads_anxiety", 7, (6.8, 3.7), (3.8, 2.9), 21),
        ("hads_depression", 8, (5.5, 3.6), (2.8, 2.2), 21),
        ("pcs_total", 9, (27.0, 11.1), (9.1, 8.8), 52),
    ):
        mean, sd = (np.where(sick, a, b) for a, b in zip(patients, controls, strict=True))
        score = beta_from(blend * stress + rest * z[:, j], mean, sd, 0, top)
        table[name] = hide(whole(score, 0, top), unasked | (rng.random(n) < 0.03))

    table["index_surgery"] = of_patients(_surgery(severity, age[sick], us[:, 6:8]))
    return table, hidden


def _surgery(severity: np.ndarray, age: np.ndarray, u: np.ndarray) -> np.ndarray:
    # Two thirds have MVD; the old, and those without a conflict, rather a percutaneous procedure.
    decompress = special.expit(1.05 + 0.5 * severity - 0.04 * (age - 59))
    chosen = np.where(u[:, 1] < decompress, "MVD", "percutaneous")
    return np.where(u[:, 0] < 0.075, "none", chosen).astype(object)


def draw_outcomes(
    table: pd.DataFrame,
    hidden: pd.DataFrame,
    scores: pd.DataFrame,
    effect: float,
    random_state: int,
) -> pd.DataFrame:
    """Draw what happens after surgery, and keep the truth behind it.

    Parameters
    ----------
    table, hidden : pandas.DataFrame
        What `draw_clinic` returned, of the patients only.
    scores : pandas.DataFrame
        Their hidden causes.
    effect : float
        Factor on the log odds of response and on the log hazard of recurrence.
    random_state : int
        Seed.

    Returns
    -------
    pandas.DataFrame
        Outcome and truth columns of the patients, in their order, and the days of their visits.
    """
    rng = stream(random_state, "outcomes")
    n = len(table)
    operated = (table["index_surgery"] != "none").to_numpy()
    drive = effect * (_weighted_sum(table, hidden, scores) - _SUM_MEAN)
    # E[expit(a + s z)] is about expit(a / sqrt(1 + pi s^2 / 8)), so the rate stays as it is.
    base = special.logit(_RESPONSE_RATE) * np.sqrt(1 + np.pi * (effect * _SUM_SD) ** 2 / 8)
    log_odds = base + drive
    at_most = special.expit(log_odds[:, None] + _BNI_OFFSETS)
    bni = 1.0 + (rng.random(n)[:, None] > at_most).sum(axis=1)

    # Continuous follow-up: early failures within the year, recurrences after it.
    followed = operated & (rng.random(n) < 0.9)
    hazard = _RECURRENCE_PER_YEAR * np.exp(-0.5 * drive)
    failed = bni >= BNI_LEVELS["IV"]
    relapse = np.where(failed, rng.integers(11, 275, n), 456 + rng.exponential(_YEAR / hazard, n))
    reoperation = 456 + rng.exponential(_YEAR / _REOPERATION_PER_YEAR, n)
    contact = np.where(followed, rng.integers(456, 2200, n), rng.integers(30, 275, n))
    last = np.floor(np.minimum(np.minimum(relapse, reoperation), contact))
    came_back = relapse <= np.minimum(reoperation, contact)

    reduction = np.select(
        [bni == level for level in (1, 2, 3, 4, 5)],
        [100, 80 + 5 * rng.integers(0, 4, n), 100, 40 + 5 * rng.integers(0, 11, n),
         10 + 5 * rng.integers(0, 10, n)],
        5 * rng.integers(0, 2, n),
    ).astype(float)  # fmt: skip
    trouble = {"none": 0.76, "facial_numbness": 0.12, "csf_leak": 0.05, "infection": 0.04,
               "other": 0.03}  # fmt: skip
    second_day = np.clip(rng.normal(560, 115, n), 456, 850).round()
    second = followed & (rng.random(n) < 0.8)
    hurts = (bni >= BNI_LEVELS["IIIb"]) | (came_back & (last <= second_day))
    pain = np.where(hurts, rng.integers(2, 9, n), np.where(rng.random(n) < 0.9, 0, 1))

    late = 1 - at_most[:, 3]
    three_years = late + (1 - late) * -np.expm1(-hazard * (3 - 456 / _YEAR))
    result: dict[str, Any] = {
        "complications": hide(category(rng, trouble, n), ~operated),
        "bni_12mo": hide(bni, ~followed),
        "pain_reduction_percent": hide(reduction, ~followed),
        "recurrence_days": hide(last, ~operated),
        "recurrence_event": pd.array(hide(came_back, ~operated), dtype="boolean"),
        "reoperation_before_recurrence": pd.array(
            hide((reoperation < relapse) & (reoperation <= contact), ~operated), dtype="boolean"
        ),
        "pain_second_followup": hide(pain, ~second),
        "true_response_probability": hide(at_most[:, 1], ~operated),
        "true_recurrence_risk": hide(three_years, ~operated),
        "day_preop": hide(-rng.integers(1, 61, n), ~operated),
        "day_discharge": hide(rng.integers(3, 11, n), ~operated | (rng.random(n) < 0.05)),
        "day_followup": hide(np.clip(rng.normal(365, 30, n), 275, 455).round(), ~followed),
        "day_followup2": hide(second_day, ~second),
    }
    return pd.DataFrame(result)


def _weighted_sum(table: pd.DataFrame, hidden: pd.DataFrame, scores: pd.DataFrame) -> np.ndarray:
    duration = np.log(table["disease_duration_years"].to_numpy(dtype=float))
    terms = {
        **{name: scores[name].to_numpy() for name in CAUSES},
        "male": (table["sex"] == "male").to_numpy(),
        "continuous_pain": (table["pain_type"] == "concomitant_continuous").to_numpy(),
        "log_duration": (duration - 1.75) / 0.8,  # about the mean and SD of log years
        "previous_surgery": table["previous_surgery"].to_numpy(dtype=float),
        "venous_or_multiple": (hidden["venous"] | hidden["several"]).to_numpy(),
    }
    # Ablation takes no vessel off the nerve, and does worse where the axons are damaged.
    factor = {"compression": 0.0, "venous_or_multiple": 0.0, "axonal": -1.0}
    ablated = (table["index_surgery"] == "percutaneous").to_numpy()
    return sum(
        RESPONSE_WEIGHTS[name] * values * np.where(ablated, factor.get(name, 1.0), 1.0)
        for name, values in terms.items()
    )
