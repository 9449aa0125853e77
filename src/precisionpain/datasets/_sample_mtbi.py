"""A synthetic cohort of mild traumatic brain injury that meets the published Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from ..cohort import Column, Outcome
from ..errors import FormatError
from ._draw import beta_from, category, check_size, gamma_from, stream, whole
from ._table_one import AGES, N_CHRONIC, N_RECOVERED, ratings

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["sample_mtbi"]

SCHEDULE = {"baseline": 1.0, "month3": 91.0, "month6": 183.0, "month12": 365.0}

SOURCES = [
    "Table 1, follow-up and inclusion: Attias et al., Pain 2025, "
    "doi:10.1097/j.pain.0000000000003587",
    "which bedside features: Ramon-Gonen et al., Pain 2024 (their sizes are made up, so that a "
    "random forest reaches about the published AUC of 0.77 to 0.80)",
]

_WOMEN = (27 / 55, 30 / 73)


def sample_mtbi(
    n_subjects: int = 128,
    random_state: int = 0,
    images: bool | Mapping[str, Any] = False,
    *,
    effect: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Cohort:
    """Make a synthetic cohort of head and neck pain after mild traumatic brain injury.

    With 128 people it meets Table 1 of Attias et al. (Pain 2025): 55 with chronic pain and 73
    recovered, sex, and for age and every pain rating the mean and SD of both groups within 0.02
    and the rank-sum W within 0.5. Ratings are whole numbers from 0 to 100, and the larger of
    head and neck is so in every person. Chronic pain is a mean rating of head or neck of at
    least 30 at 12 months, without exception. What the table doesn't give is made up.

    Parameters
    ----------
    n_subjects : int, default 128
        People, at least 8. Other sizes than 128 have the same shares of chronic pain and of
        women, and ratings drawn from distributions with about the same means, SDs and W/n²;
        nothing is exact then.
    random_state : int, default 0
        Seed; the same arguments give the same cohort.
    images : bool or mapping, default False
        Whether to simulate a T1-weighted scan of everybody as well, and write them as a BIDS
        tree (see Notes). A mapping has any of ``spacing_mm`` (2.0), ``snr`` of white matter
        (25), ``bend_mm`` (1.5; standard deviation of the displacement along each axis),
        ``bias`` (0.1; of the brightness), ``folding`` (1.0; how far the tissues differ from
        the template's), ``aging`` (1.0; how far the ventricles widen) and ``head`` (True; a
        skull and a scalp).
    effect : mapping, optional
        A sign in the scans of those with chronic pain, and of nobody else; without one the
        scans tell nothing about the outcome. A ball with soft borders, in which the scan is
        brighter (``kind="brightness"``) or everything is larger (``kind="thickness"``) by a
        share of ``size`` (0.25) at the centre and half of it at ``radius_mm`` (10).
        ``region`` is "insula_right", "insula_left" or a name in
        `precisionpain.mtbi.PAIN_REGIONS`; ``center_mm`` is any other place in MNI space.
    root : str or Path, optional
        Where the tree of `images` goes: a new or empty folder, or one with this very sample,
        of which only what it lacks is made, so that an interrupted call goes on. By default a
        folder of its own below ``$PRECISIONPAIN_CACHE``, or else below the user's cache folder
        (``~/.cache/precisionpain`` on Linux). It is in ``meta["images"]["root"]``.
    n_jobs : int, optional
        Processes that simulate scans, as joblib takes it.
    progress : bool, default True
        Show a bar on a terminal while scans are simulated.

    Returns
    -------
    Cohort
        With `synthetic=True` and a landmark of 3 days: what is known within 72 hours of the
        injury may predict. The ten bedside features stand in ``meta["bedside_features"]``. The
        measurement table ``pain_ratings`` holds mean and maximal pain of head and neck at
        baseline and at 3, 6 and 12 months, as far as people answered. Outcome ``chronic_pain``.

        With images, the same people have a ``T1w`` at baseline. With an effect they have a
        ``dseg`` too, with 1 where its region lies, in the ill and in the well, and the table
        ``effect_truth``: the region's centre (``x_mm``, ``y_mm``, ``z_mm``) and volume in
        each scan, and whether the effect is ``planted`` there.

    Raises
    ------
    FormatError
        When an argument is out of range.
    StorageError
        When the folder of the images can't be written, or holds something else.

    Notes
    -----
    A scan is the MNI template (ICBM 152, 2009a) as somebody else's: stretched and bent by a
    smooth map that never folds, with other borders of grey and white matter, wider ventricles
    with age, another contrast and gain, a bias field and Rician noise. It lies on the grid
    that SPM12 normalises to (79×95×79 voxels of 2 mm, or 157×189×156 of 1 mm, from right to
    left), the bends being what a normalisation leaves. The template has no skull; the one here
    is a plain shell without eyes, jaw or neck. The template is also its own mirror image, so
    that no anatomy tells left from right. An effect moves with the anatomy. The scans are no
    model of brains after an injury: they test whether a method finds what is there, and
    nothing where nothing is.

    A scan takes half a second and 1 MB at 2 mm. The scans derive from the template, whose
    notice stands in the tree's ``README`` and in ``meta["sources"]``.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> int(cohort.outcome("chronic_pain").sum())
    55
    >>> cohort.subjects.groupby("chronic_pain")["neck_baseline"].mean().round(1).tolist()
    [43.8, 60.5]
    """
    from .. import __version__
    from ..cohort import Cohort
    from ..mtbi.bedside import BEDSIDE_FEATURES

    wanted = bool(images) or isinstance(images, Mapping)
    if effect is not None and not wanted:
        raise FormatError(
            "an effect is planted in scans, and there are none",
            where="effect",
            remedy="use images=True as well",
        )
    tables = _tables(n_subjects, random_state)
    meta = {
        "index_event": "injury",
        "source": "made up by precisionpain.datasets.sample_mtbi; no person stands behind a row",
        "licence": "CC0-1.0",
        "generator": {
            "name": "sample_mtbi",
            "version": __version__,
            "parameters": {"n_subjects": int(n_subjects), "random_state": int(random_state)},
        },
        "sources": SOURCES,
        "bedside_features": list(BEDSIDE_FEATURES),
        "meets_table_1": n_subjects == N_CHRONIC + N_RECOVERED,
    }
    parts: dict[str, Any] = {
        "subjects": tables["subjects"],
        "visits": tables["visits"],
        "measurements": {"pain_ratings": tables["pain_ratings"]},
        "columns": _columns(),
        "outcomes": {
            "chronic_pain": Outcome(
                column="chronic_pain",
                positive=(True,),
                description="mean pain of head or neck of at least 30 at 12 months",
            )
        },
        "schedule": SCHEDULE,
        "landmark": 3.0,
        "name": "sample_mtbi (synthetic)",
        "synthetic": True,
        "meta": meta,
        "provenance": [
            {
                "step": "simulate",
                "table": "subjects",
                "column": None,
                "n": int(n_subjects),
                "detail": f"sample_mtbi of precisionpain {__version__}, seed {int(random_state)}",
            }
        ],
    }
    if wanted:
        options = images if isinstance(images, Mapping) else {}
        how: dict[str, Any] = {"root": root, "n_jobs": n_jobs, "progress": progress}
        parts = _with_scans(parts, options, effect, **how)
    return Cohort(**parts)


def _with_scans(
    parts: dict[str, Any], options: Mapping[str, Any], effect: Mapping[str, Any] | None, **how: Any
) -> dict[str, Any]:
    """Return the parts of the cohort with scans, and the truth about an effect, beside them."""
    from ..cohort import Cohort
    from ._mtbi_images import TEMPLATE, add_scans, as_effect

    meta = parts["meta"]
    images, truth, about = add_scans(
        Cohort(**parts),
        meta["generator"]["parameters"],
        options=options,
        effect=None if effect is None else as_effect(effect),
        **how,
    )
    entry = {
        "step": "simulate",
        "table": "images",
        "column": None,
        "n": about["scans"],
        "detail": f"T1-weighted scans, {about['bytes'] / 1e6:.0f} MB in {about['root']}",
    }
    measurements = dict(parts["measurements"])
    if truth is not None:
        measurements["effect_truth"] = truth
    return parts | {
        "images": images,
        "measurements": measurements,
        "meta": {
            **meta,
            "sources": [*SOURCES, TEMPLATE],
            "images": {**about, "options": dict(options)},
        },
        "provenance": [*parts["provenance"], entry],
    }


def _tables(n_subjects: int, random_state: int) -> dict[str, pd.DataFrame]:
    """Draw every table of the cohort."""
    check_size(n_subjects, random_state)
    rng = stream(random_state, "groups")
    n_chronic = round(n_subjects * N_CHRONIC / (N_CHRONIC + N_RECOVERED))
    chronic = rng.permutation(np.arange(n_subjects) < n_chronic)
    index = pd.Index([f"M{i:05d}" for i in range(1, n_subjects + 1)], name="subject_id")
    subjects = ratings(chronic, stream(random_state, "ratings"))
    subjects.index = index
    subjects.insert(0, "diagnosis", "mTBI")
    subjects.insert(2, "sex", "male")
    for who, share in zip((chronic, ~chronic), _WOMEN, strict=True):
        women = rng.permutation(np.flatnonzero(who))[: round(share * int(who.sum()))]
        subjects.iloc[women, 2] = "female"
    bedside = _bedside(subjects, chronic, stream(random_state, "bedside"))
    subjects = pd.concat([subjects, bedside], axis=1).assign(chronic_pain=chronic)
    visits, table = _follow_up(subjects, stream(random_state, "follow-up"))
    return {"subjects": subjects[list(_columns())], "visits": visits, "pain_ratings": table}


def _bedside(subjects: pd.DataFrame, chronic: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    n = len(subjects)
    z = rng.standard_normal((n, 8))
    # People in more pain catastrophize more; within a group, so that each feature adds something.
    pain = subjects[["head_baseline", "neck_baseline"]].mean(axis=1)
    pain = (pain - pain.groupby(chronic).transform("mean")) / pain.groupby(chronic).transform("std")
    worry = 0.35 * pain.fillna(0).to_numpy() + np.sqrt(1 - 0.35**2) * z[:, 0]

    def by_group(low: float, high: float) -> np.ndarray:
        return np.where(chronic, high, low)

    def like(share: float, j: int) -> np.ndarray:
        return share * worry + np.sqrt(1 - share**2) * z[:, j]

    table = {
        "education_years": whole(gamma_from(z[:, 1], by_group(14.1, 12.55), 2.5), 6, 25),
        "n_painful_areas": whole(gamma_from(like(0.3, 2), by_group(2.45, 3.6), 1.5), 1, 10),
        "pcs_total": whole(beta_from(worry, by_group(14.5, 21.7), 11.0, 0, 52), 0, 52),
        "pcs_magnification": whole(beta_from(like(0.7, 3), by_group(2.9, 4.5), 2.6, 0, 12), 0, 12),
        "hads_depression": whole(beta_from(like(0.5, 4), by_group(4.4, 6.7), 3.5, 0, 21), 0, 21),
        "dizziness": rng.random(n) < special.expit(by_group(-0.65, 0.25) + 0.3 * worry),
        "employed": rng.random(n) < by_group(0.865, 0.69),
        "gcs": 15 - rng.choice(3, size=n, p=[0.85, 0.12, 0.03]).astype(float),
        "loss_of_consciousness_minutes": np.where(
            rng.random(n) < 0.7, 0.0, np.ceil(29 * rng.beta(0.6, 4.0, n))
        ),
        "wad_grade": 1.0 + (rng.random(n) < 0.6),
        "collision": category(rng, {"rear": 0.5, "front": 0.25, "side": 0.2, "other": 0.05}, n),
    }
    return pd.DataFrame(table, index=subjects.index)


def _follow_up(
    subjects: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = len(subjects)
    days = {
        "baseline": rng.integers(0, 4, n),
        "month3": np.rint(rng.normal(91, 8, n)),
        "month6": np.rint(rng.normal(183, 10, n)),
        "month12": np.rint(rng.normal(365, 12, n)),
    }
    answered = {"month3": rng.random(n) < 0.92, "month6": rng.random(n) < 0.90}
    visits, tables = [], []
    for (visit, day), late in zip(days.items(), (0.0, 0.6, 0.8, 1.0), strict=True):
        seen = answered.get(visit, np.ones(n, dtype=bool))
        keys = pd.DataFrame({"subject_id": subjects.index, "visit": visit})
        values = keys.copy()
        for place in ("head", "neck"):
            first, last = subjects[f"{place}_baseline"], subjects[f"{place}_12mo"]
            mean = ((1 - late) * first + late * last).to_numpy(dtype=float)
            if 0 < late < 1:
                mean = whole(mean + 8 * rng.standard_normal(n), 0, 100)
            values[f"{place}_mean"] = mean
            peak = mean + rng.gamma(2.0, 6.0, n) * (mean > 0)
            values[f"{place}_max"] = whole(peak, 0, 100)
        visits.append(keys.assign(day=day.astype(float))[seen])
        tables.append(values[seen])
    columns = ["subject_id", "visit", "head_mean", "head_max", "neck_mean", "neck_max"]
    return (
        pd.concat(visits, ignore_index=True),
        pd.concat(tables, ignore_index=True)[columns],
    )


def _columns() -> dict[str, Column]:
    first: dict[str, Any] = {"visit": "baseline"}
    scale: dict[str, Any] = {"kind": "number", "unit": "0-100", "minimum": 0, "maximum": 100}
    later: dict[str, Any] = {"role": "outcome", "visit": "month12",
                             "reason": "known only a year after the injury"}  # fmt: skip
    return {
        "diagnosis": Column(kind="category", levels={"mTBI": "mTBI"},
                            description="mild traumatic brain injury in a vehicle collision"),
        "age": Column(kind="number", unit="years", minimum=AGES[0], maximum=AGES[1],
                      description="age at the injury"),
        "sex": Column(kind="category", levels={"female": "female", "male": "male"},
                      description="sex"),
        "education_years": Column(kind="number", unit="years", minimum=0, maximum=25,
                                  description="years of education"),
        "employed": Column(kind="flag", description="employed at the time of the injury"),
        "gcs": Column(kind="ordinal", levels={"13": 13, "14": 14, "15": 15}, **first,
                      description="Glasgow Coma Scale on arrival"),
        "loss_of_consciousness_minutes": Column(kind="duration", unit="minutes", maximum=30,
                                                **first, description="0 for none"),
        "wad_grade": Column(kind="ordinal", levels={"1": 1, "2": 2}, **first,
                            description="grade of whiplash-associated disorder"),
        "collision": Column(kind="category", **first, description="direction of the collision"),
        "dizziness": Column(kind="flag", **first, description="dizziness"),
        "n_painful_areas": Column(kind="number", unit="areas", minimum=0, **first,
                                  description="number of painful areas of the body"),
        "pcs_total": Column(kind="number", unit="0-52", minimum=0, maximum=52, **first,
                            description="Pain Catastrophizing Scale, total"),
        "pcs_magnification": Column(kind="number", unit="0-12", minimum=0, maximum=12, **first,
                                    description="Pain Catastrophizing Scale, magnification"),
        "hads_depression": Column(kind="number", unit="0-21", minimum=0, maximum=21, **first,
                                  description="Hospital Anxiety and Depression Scale, depression"),
        "head_baseline": Column(**scale, **first, description="mean head pain, last 24 hours"),
        "neck_baseline": Column(**scale, **first, description="mean neck pain, last 24 hours"),
        "max_baseline": Column(**scale, **first, description="the larger of head and neck"),
        "head_12mo": Column(**scale, **later, description="mean head pain at 12 months"),
        "neck_12mo": Column(**scale, **later, description="mean neck pain at 12 months"),
        "max_12mo": Column(**scale, **later, description="the larger of head and neck, 12 months"),
        "chronic_pain": Column(kind="flag", **later, description="mean pain of head or neck of at "
                               "least 30 at 12 months"),
    }  # fmt: skip
