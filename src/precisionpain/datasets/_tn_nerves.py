"""The nerves of the synthetic trigeminal cohort: measures of compression, and diffusion."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..trigeminal.morphometry import MEASURES
from ._draw import beta_from, gamma_from, hide, mix, stream
from ._tn_people import missing_by_site, severity_bounds

__all__ = ["nerve_tables"]

# Published means and SDs: nerves of the painful side, of the other side, of controls.
_VOLUME = ((65.8, 21.1), (77.9, 19.3), (74.7, 16.5))
_ANGLE = ((40.2, 10.0), (48.9, 10.0), (52.0, 10.0))  # the SDs are assumed
_FA = ((0.37, 0.08), (0.48, 0.08), (0.52, 0.04))
_LENGTH = (9.66, 1.71)
# Smallest over mean area: with the above it gives 4.50 ± 2.19 mm² on the painful side.
_RATIO = ((0.65, 0.235), (0.78, 0.11), (0.80, 0.10))
_CONTACT_POSITION = ((3.4, 1.4), (8.4, 0.7), (8.4, 0.7))
_MD = ((1.25, 0.15), (1.12, 0.12), (1.08, 0.08))  # in 10^-3 mm²/s, assumed

# A measured displacement or indentation counts from here.
DISPLACED_MM, INDENTED_MM = 0.3, 0.2
# The tolerance of the contact area: what is nearer touches.
TOUCH_MM = 0.5


def nerve_tables(
    people: pd.DataFrame,
    hidden: pd.DataFrame,
    scores: pd.DataFrame,
    missing: float,
    random_state: int,
) -> dict[str, pd.DataFrame]:
    """Draw the measurement tables of both nerves of everybody.

    Parameters
    ----------
    people : pandas.DataFrame
        The subjects table, and the days of the visits.
    hidden, scores : pandas.DataFrame
        Severity of the conflict and vessels, and the causes, of the patients; index as `people`.
    missing : float
        Share of people without diffusion; a third of it lacks the structural scan too.
    random_state : int
        Seed.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``nerve_measures`` and ``diffusion``, keyed by subject_id, visit and side.
    """
    rng = stream(random_state, "nerves")
    n = len(people)
    side = np.tile(np.array(["left", "right"], dtype=object), n)
    owner = np.repeat(np.arange(n), 2)
    where = people["affected_side"].to_numpy()[owner]
    painful = (where == side) | (where == "bilateral")
    sick = (people["diagnosis"] == "TN").to_numpy()[owner]
    group = np.where(painful, 0, np.where(sick, 1, 2))

    def of_nerves(table: pd.DataFrame, name: str) -> np.ndarray:
        values = np.asarray(table[name].reindex(people.index), dtype=float)[owner]
        return np.where(painful, values, np.nan)

    noise = rng.standard_normal(2 * n)
    severity = np.where(painful, of_nerves(hidden, "severity"), noise)
    # The second painful side of a bilateral patient has a conflict of its own.
    second = (where == "bilateral") & (side == "right")
    severity = np.where(second, 0.5 * severity + np.sqrt(0.75) * noise, severity)
    axonal = np.where(painful, of_nerves(scores, "axonal"), rng.standard_normal(2 * n))
    grade = (severity[:, None] > severity_bounds(painful)).sum(axis=1)
    silent_vein = np.where(grade >= 2, 0.02, 0.14)
    venous = np.where(painful, of_nerves(hidden, "venous") == 1, rng.random(2 * n) < silent_vein)
    several = np.where(painful, of_nerves(hidden, "several") == 1, rng.random(2 * n) < 0.084)

    shared = np.repeat(rng.standard_normal(n), 2)
    before = _measures(rng, group, severity, axonal, venous, several, shared)
    keys = pd.DataFrame({"subject_id": people.index.to_numpy()[owner], "visit": "preop"})
    keys["side"] = side
    tensor = _diffusion(rng, group, axonal)

    # Somebody without a structural scan has no diffusion either.
    site = people["site"].to_numpy()
    u = rng.random(n)
    scanned = (u >= missing_by_site(site, missing / 3))[owner]
    diffused = (u >= missing_by_site(site, missing))[owner]
    again = (people["day_followup"].notna() & (rng.random(n) < 0.6)).to_numpy()[owner]
    later = keys.assign(visit="followup")
    relieved = (people["bni_12mo"].to_numpy(dtype=float) <= 2)[owner]
    freed = painful & (people["index_surgery"] == "MVD").to_numpy()[owner]
    after = _decompressed(rng, before, freed, relieved)
    fa = np.clip(tensor["fa"] + 0.05 * (freed & relieved), 0.05, 0.95)
    fa = np.clip(fa + 0.02 * rng.standard_normal(2 * n), 0.05, 0.95)
    md = tensor["md"] * np.exp(0.03 * rng.standard_normal(2 * n))
    later_tensor = _axisymmetric(fa.to_numpy(), md.to_numpy())

    def stack(first: pd.DataFrame, last: pd.DataFrame, seen: np.ndarray) -> pd.DataFrame:
        parts = [
            pd.concat([keys, first], axis=1)[seen],
            pd.concat([later, last], axis=1)[seen & again],
        ]
        return pd.concat(parts, ignore_index=True)

    return {
        "nerve_measures": stack(before, after, scanned),
        "diffusion": stack(tensor, later_tensor, diffused),
    }


def _by_group(
    values: tuple[tuple[float, float], ...], group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    mean, sd = np.array(values)[group].T
    return mean, sd


def _measures(
    rng: np.random.Generator,
    group: np.ndarray,
    severity: np.ndarray,
    axonal: np.ndarray,
    venous: np.ndarray,
    several: np.ndarray,
    shared: np.ndarray,
) -> pd.DataFrame:
    n = len(group)
    z = rng.standard_normal((n, 12))
    u = rng.random((n, 10))
    grade = (severity[:, None] > severity_bounds(group == 0)).sum(axis=1)
    touched, displaced, indented = grade >= 1, grade >= 2, grade >= 3

    # Atrophy follows the axons, and where the nerve is thin there it is indented.
    length = np.clip(_LENGTH[0] + _LENGTH[1] * mix((0.7, shared), z[:, 0]), 5.0, 15.0)
    size = mix((0.3, (length - _LENGTH[0]) / _LENGTH[1]), (-0.35, axonal), z[:, 1])
    volume = gamma_from(size, *_by_group(_VOLUME, group))
    mean_area = volume / length
    ratio = beta_from(mix((-0.75, severity), z[:, 2]), *_by_group(_RATIO, group))
    centre, spread = _by_group(_CONTACT_POSITION, group)
    position = length * beta_from(z[:, 3], centre / _LENGTH[0], spread / _LENGTH[0])
    elsewhere = length * (0.15 + 0.7 * u[:, 0])
    min_position = np.where(displaced, position + 0.3 * z[:, 4], elsewhere)

    touching = np.where(displaced, 0.15, 0.45) * u[:, 1]
    apart = TOUCH_MM + 0.01 + np.minimum(gamma_from(z[:, 5], 1.2, 0.8), 6.0)
    patch = np.exp(1.75 + 0.30 * severity + 0.3 * z[:, 6] - 0.3 * (group > 0))
    patch_length = np.minimum(np.sqrt(patch) * (0.8 + 0.8 * u[:, 2]), 0.7 * length)
    vein = touched & venous
    calibre = np.where(
        vein, beta_from(z[:, 7], 1.3, 0.4, 0.5, 2.5), beta_from(z[:, 7], 1.4, 0.25, 0.8, 2.0)
    )
    vessels = 1 + several + (several & (u[:, 3] < 0.15))
    table = pd.DataFrame(
        {
            "volume_mm3": volume,
            "length_mm": length,
            "mean_area_mm2": mean_area,
            "min_area_mm2": ratio * mean_area,
            "min_area_position_mm": np.clip(min_position, 0.1, length - 0.1),
            "flattening": beta_from(mix((0.5, severity), z[:, 8]), 0.30, 0.10),
            "angle_deg": np.clip(_angle(group, severity, z[:, 9]), 5.0, 90.0),
            "gap_mm": np.where(touched, touching, apart),
            "contact_area_mm2": np.where(touched, patch, 0.0),
            "contact_length_mm": np.where(touched, patch_length, 0.0),
            "contact_position_mm": hide(position, ~touched),
            "n_contacts": np.where(touched, vessels, 0),
            "vessel": hide(np.where(vein, "vein", "artery").astype(object), ~touched),
            "vessel_diameter_mm": hide(calibre, ~touched),
            "crossing_angle_deg": hide(20 + 70 * u[:, 4], ~touched),
            "displacement_mm": np.where(
                displaced,
                DISPLACED_MM + np.minimum(gamma_from(z[:, 10], 0.7, 0.5), 2.7),
                0.25 * u[:, 5] * touched,
            ),
            "indentation_mm": np.where(
                indented,
                INDENTED_MM + np.minimum(gamma_from(z[:, 11], 0.3, 0.2), 1.0),
                0.15 * u[:, 6] * touched,
            ),
        }
    )
    loss = np.select([indented, displaced, touched], [20 + 35 * u[:, 7], 5 + 20 * u[:, 7],
                                                      8 * u[:, 7]], 2 * u[:, 7])  # fmt: skip
    table["area_loss_percent"] = loss
    return _graded(table)


def _angle(group: np.ndarray, severity: np.ndarray, noise: np.ndarray) -> np.ndarray:
    mean, sd = _by_group(_ANGLE, group)
    return mean + sd * mix((-0.2, severity), noise)


def _graded(table: pd.DataFrame) -> pd.DataFrame:
    """Grade by Sindou: 0 none, 1 contact, 2 displacement, 3 indentation."""
    touched = table["gap_mm"] <= TOUCH_MM
    grade = np.select(
        [table["indentation_mm"] >= INDENTED_MM, table["displacement_mm"] >= DISPLACED_MM, touched],
        [3, 2, 1],
        0,
    )
    return table.assign(sindou_grade=grade)[list(MEASURES)]


def _decompressed(
    rng: np.random.Generator, before: pd.DataFrame, freed: np.ndarray, relieved: np.ndarray
) -> pd.DataFrame:
    """Scan a year later: remeasured; after MVD the vessel is off and a relieved nerve regrows.

    The smallest area grows by half in relieved nerves and by 5% in the others (Neurosurgery
    2023;92:283: 4.37 to 6.26 and 4.20 to 4.43 mm²).
    """
    n = len(before)
    z = rng.standard_normal((n, 4))
    u = rng.random((n, 3))
    after = before.copy()
    off = freed & (u[:, 0] < 0.95) & (before["gap_mm"] <= TOUCH_MM).to_numpy()
    growth = np.where(freed, np.where(relieved, 1.5, 1.05), 1.0) * np.exp(0.05 * z[:, 0])
    mean_area = before["mean_area_mm2"] * np.exp(0.03 * z[:, 1]) * growth**0.3
    after["mean_area_mm2"] = mean_area
    after["volume_mm3"] = mean_area * before["length_mm"]
    after["min_area_mm2"] = np.minimum(before["min_area_mm2"] * growth, 0.97 * mean_area)
    after["angle_deg"] = np.clip(before["angle_deg"] + 1.5 * z[:, 2], 5.0, 90.0)
    after["gap_mm"] = np.where(off, TOUCH_MM + 0.3 + 2 * u[:, 1], before["gap_mm"])
    for name in ("contact_area_mm2", "contact_length_mm", "n_contacts"):
        after[name] = np.where(off, 0, before[name])
    for name in ("contact_position_mm", "vessel", "vessel_diameter_mm", "crossing_angle_deg"):
        after[name] = hide(before[name].to_numpy(), off)
    after["displacement_mm"] = np.where(off, 0.2 * u[:, 2], before["displacement_mm"])
    after["indentation_mm"] = np.where(off, 0.0, before["indentation_mm"])
    after["area_loss_percent"] = np.where(
        off, before["area_loss_percent"] * 0.3, before["area_loss_percent"]
    )
    return _graded(after)


def _diffusion(rng: np.random.Generator, group: np.ndarray, axonal: np.ndarray) -> pd.DataFrame:
    z = rng.standard_normal((len(group), 2))
    anisotropy = mix((-0.8, axonal), z[:, 0])
    fa = beta_from(anisotropy, *_by_group(_FA, group))
    md = gamma_from(mix((-0.4, anisotropy), z[:, 1]), *_by_group(_MD, group))
    return _axisymmetric(fa, md)


def _axisymmetric(fa: np.ndarray, md: np.ndarray) -> pd.DataFrame:
    # With AD = MD (1 + 2t) and RD = MD (1 - t), FA = 3t / sqrt(3 + 6 t²); solved for t.
    t = fa / np.sqrt(3 - 2 * fa**2)
    return pd.DataFrame({"fa": fa, "md": md, "ad": md * (1 + 2 * t), "rd": md * (1 - t)})
