"""A synthetic cohort of trigeminal neuralgia whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._draw import category, check_range, check_size, stream
from ._tn_assays import assay_tables, to_anndata
from ._tn_columns import tn_columns, tn_outcomes
from ._tn_nerves import nerve_tables
from ._tn_people import RESPONSE_WEIGHTS, SHIFT, causes, draw_clinic, draw_outcomes

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = ["sample_tn"]

SCHEDULE = {"preop": -30.0, "discharge": 6.0, "followup": 365.0, "followup2": 560.0}

SOURCES = [
    "clinic, questionnaires, surgery: OpenNeuro ds005713 (CC0), participants tables",
    "nerve volume, and atrophy with a better outcome: Acta Neurochir 2017;159:1699-1705",
    "nerve area at 5 mm: Erbay et al., Radiology 2006;238:689-692",
    "nerve area before and after decompression: Neurosurgery 2023;92:283-292",
    "trigemino-pontine angle: Ha et al., Acta Neurochir 2012;154:1627-1633",
    "neurovascular contact, symptomatic and asymptomatic: Maarbjerg et al., Brain 2015;138:311-319",
    "fractional anisotropy: Leal et al., Pain 2011;152:2357-2364",
    "protein directions: Table 2 of the precision-pain review of trigeminal neuralgia; their "
    "sizes are made up",
]


def sample_tn(
    n_subjects: int = 40,
    random_state: int = 0,
    images: bool | Mapping[str, Any] = False,
    *,
    control_fraction: float = 0.25,
    missing: float = 0.3,
    effect: float = 1.0,
    n_sites: int = 3,
    batch_effect: float = 1.0,
    subtypes: bool = True,
    subtype_shift: float = SHIFT,
    root: str | Path | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Cohort:
    """Make a synthetic cohort of trigeminal neuralgia with known truth.

    Patients have hidden causes (compression, axonal injury, inflammation, autoimmunity,
    stress). Compression shapes the nerve and the Sindou grade; axonal injury lowers fractional
    anisotropy and raises NEFL; the others shift their proteins and, for stress, the
    questionnaires. The chance of a good outcome is logistic in all of them and in a few clinical
    facts, so that no single block of data tells everything. Published means and SDs hold for the
    measures that have them (see `meta["sources"]`); everything else is made up.

    Parameters
    ----------
    n_subjects : int, default 40
        People, patients and controls together; at least 8. A larger cohort keeps no promise
        about its first rows.
    random_state : int, default 0
        Seed; the same arguments give the same cohort. Every block of data has its own random
        stream, so that changing one argument leaves unrelated blocks as they were.
    images : bool or mapping, default False
        Whether to simulate the scans as well, and write them as a BIDS tree (see Notes). Each
        site has its protocol (CISS of 0.5 mm, SPACE of 0.6 mm, CISS of 0.4 × 0.4 × 0.7 mm, and
        again); a mapping with any of ``contrast``, ``spacing``, ``snr``, ``fov_mm``,
        ``oversample``, ``appearance`` (see `precisionpain.trigeminal.simulate_cistern`)
        overrides it for all.
    control_fraction : float, default 0.25
        Share of healthy controls, from 0 to 0.75.
    missing : float, default 0.3
        Share of people who lack each assay and the diffusion scan (a third of it lacks the
        structural scan), from 0 up to 0.9. The later sites lack more.
    effect : float, default 1.0
        Factor on the log odds of a good outcome and on the log hazard of recurrence. At 1 the
        true probability ranks MVD patients with an AUC of about 0.83, which bounds every model;
        with thousands of people the clinical columns reach about 0.73 and all blocks together
        0.79, with a few hundred less. At 0 the probability is the same for everybody and nothing
        predicts the outcome. The rate of good outcomes stays about 75% whatever the effect.
    n_sites : int, default 3
        Hospitals, from 1 to 26; the first is the largest.
    batch_effect : float, default 1.0
        Factor on the differences of the protein assays between plates and between sites.
    subtypes : bool, default True
        Whether each patient has a leading cause (`latent_subtype`), so that clusters exist.
        Without, the causes vary with the same means and SDs but form no clusters.
    subtype_shift : float, default 2.0
        How far the leading cause is raised, in SD of the other causes, from 0 to 10. At 2 the
        clusters overlap: whoever saw the five true levels would reach an adjusted Rand index
        of about 0.6 with `latent_subtype`, and 0.9 at 3. Causes are seen with noise and gaps, so
        that `precisionpain.fusion.find_subtypes` reaches about 0.75 at 4 and 0.85 at 5. The
        marginal distributions of the clinical and
        nerve measures don't change; proteins vary more.
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
        With `synthetic=True`. Measurements ``nerve_measures`` (mm, mm², mm³, degrees) and
        ``diffusion`` (FA; MD, AD, RD in 10⁻³ mm²/s) by visit and side; assays ``csf_pea`` and
        ``plasma_pea`` (92 proteins, NPX; the assay ids ``OIDS...`` are made up, as are the
        proteins ``SYN_...``) and ``csf_lfq`` (150 protein groups, log2 intensity). Outcomes
        ``mvd_response`` (BNI I-II 12 months after microvascular decompression: free of pain, or
        nearly, without drugs), ``bni_1``, ``bni_1_2``, ``bni_1_3b``, ``pain_reduction_50``,
        ``pain_reduction_100`` and ``recurrence`` (survival) over everybody operated. People
        without surgery, controls too, have one visit, ``preop``, without a day. The columns of
        role "truth" hold what no clinic knows.

        With images: ``T2w`` (the scan), ``dseg`` (its labels) and ``probseg`` (the share of each
        label), and ``nerve_truth``, the true measures of the simulated nerves. There are no
        ``nerve_measures`` then: they are measured, see
        `precisionpain.trigeminal.measure_nerves`.

    Raises
    ------
    FormatError
        When an argument is out of range.
    StorageError
        When the folder of the images can't be written, or holds something else.

    Notes
    -----
    With `images`, every nerve that ``nerve_measures`` would list without them is simulated
    (`precisionpain.trigeminal.simulate_cistern`) to match what was drawn for it: length,
    section, angle, the grade of the conflict, the vessel and its place, in the ranges of the
    phantom. The drawn values are left out of the cohort, because they aren't exactly those of
    the images; displacement, indentation and thinning come out smaller, as the phantom's nerve
    can't be bent or dented at will, and it doesn't regrow after surgery. At the follow-up a
    nerve that was decompressed has its vessel moved off and a pad of Teflon beside it.

    The tree holds the raw scans with their sidecars, ``participants.tsv`` without the hidden
    truth, ``code/columns.json`` (roles and outcomes, for `precisionpain.read_cohort` and the
    command ``precisionpain run``), and ``derivatives/truth``. People are ``sub-S00001`` there and
    ``S00001`` here. A scan takes one or two seconds and about 1 MB.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=40, random_state=0)
    >>> len(cohort), sorted(cohort.assays)
    (40, ['csf_lfq', 'csf_pea', 'plasma_pea'])
    >>> cohort.synthetic
    True
    """
    from .. import __version__
    from ..cohort import Cohort

    tables = _tables(
        n_subjects,
        random_state,
        control_fraction=control_fraction,
        missing=missing,
        effect=effect,
        n_sites=n_sites,
        batch_effect=batch_effect,
        subtypes=subtypes,
        subtype_shift=subtype_shift,
    )
    parameters = {
        "n_subjects": int(n_subjects), "random_state": int(random_state),
        "control_fraction": control_fraction, "missing": missing, "effect": effect,
        "n_sites": n_sites, "batch_effect": batch_effect, "subtypes": subtypes,
    }  # fmt: skip
    if subtype_shift != SHIFT:
        # A tree of images from before there was this option is still the same sample.
        parameters["subtype_shift"] = subtype_shift
    meta = {
        "index_event": "surgery",
        "source": "made up by precisionpain.datasets.sample_tn; no person stands behind a row",
        "licence": "CC0-1.0",
        "generator": {"name": "sample_tn", "version": __version__, "parameters": parameters},
        "sources": SOURCES,
        "response_log_odds_at_effect_1": dict(RESPONSE_WEIGHTS),
    }
    parts: dict[str, Any] = {
        "subjects": tables["subjects"],
        "visits": tables["visits"],
        "assays": {name: to_anndata(placed) for name, placed in tables["assays"].items()},
        "measurements": tables["measurements"],
        "columns": tn_columns(),
        "outcomes": tn_outcomes(),
        "schedule": SCHEDULE,
        "landmark": 0.0,
        "name": "sample_tn (synthetic)",
        "synthetic": True,
        "meta": meta,
        "provenance": [
            {
                "step": "simulate",
                "table": "subjects",
                "column": None,
                "n": int(n_subjects),
                "detail": f"sample_tn of precisionpain {__version__}, seed {int(random_state)}",
            }
        ],
    }
    if images or isinstance(images, Mapping):
        options = images if isinstance(images, Mapping) else {}
        parts = _with_scans(parts, options, root=root, n_jobs=n_jobs, progress=progress)
    return Cohort(**parts)


def _with_scans(parts: dict[str, Any], options: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    """Return the parts of the cohort with scans, and the truth about them, beside them."""
    from ..cohort import Cohort
    from ._tn_images import add_scans

    meta, measurements = parts["meta"], dict(parts["measurements"])
    parameters = meta["generator"]["parameters"]
    images, truth, about = add_scans(Cohort(**parts), parameters, options=options, **how)
    # What was drawn was the plan of the nerves; what they are is known from now on.
    del measurements["nerve_measures"]
    entry = {
        "step": "simulate",
        "table": "images",
        "column": None,
        "n": about["scans"],
        "detail": f"scans, labels and shares of labels, {about['bytes'] / 1e6:.0f} MB in "
        f"{about['root']}",
    }
    return parts | {
        "images": images,
        "measurements": {**measurements, "nerve_truth": truth},
        "meta": {**meta, "images": {**about, "options": dict(options)}},
        "provenance": [*parts["provenance"], entry],
    }


def _tables(
    n_subjects: int,
    random_state: int,
    *,
    control_fraction: float = 0.25,
    missing: float = 0.3,
    effect: float = 1.0,
    n_sites: int = 3,
    batch_effect: float = 1.0,
    subtypes: bool = True,
    subtype_shift: float = SHIFT,
) -> dict[str, Any]:
    """Draw every table of the cohort, as plain frames and arrays."""
    check_size(n_subjects, random_state)
    check_range(
        control_fraction=(control_fraction, 0, 0.75),
        missing=(missing, 0, 0.9),
        effect=(effect, 0, 10),
        n_sites=(n_sites, 1, 26),
        batch_effect=(batch_effect, 0, 10),
        subtype_shift=(subtype_shift, 0, 10),
    )
    n_sick = n_subjects - round(n_subjects * control_fraction)
    rng = stream(random_state, "sites")
    sick = np.zeros(n_subjects, dtype=bool)
    sick[rng.permutation(n_subjects)[:n_sick]] = True
    weights = 1 / np.sqrt(np.arange(1, n_sites + 1))
    sites = {chr(ord("A") + i): w / weights.sum() for i, w in enumerate(weights)}
    site = category(rng, sites, n_subjects)

    levels, scores, leading = causes(n_sick, random_state, subtypes=subtypes, shift=subtype_shift)
    clinic, hidden = draw_clinic(sick, scores, site, random_state)
    index = pd.Index([f"S{i:05d}" for i in range(1, n_subjects + 1)], name="subject_id")
    clinic.index = index
    for table in (levels, scores, hidden):
        table.index = index[sick]
    after = draw_outcomes(clinic[sick], hidden, scores, effect, random_state)
    after.index = index[sick]

    subjects = pd.DataFrame({"diagnosis": np.where(sick, "TN", "control")}, index=index)
    subjects["affected_side"] = clinic.pop("affected_side")
    subjects["site"] = site
    subjects = pd.concat([subjects, clinic], axis=1).join(after)
    subtype = np.full(n_subjects, None, dtype=object)
    subtype[sick] = leading
    subjects["latent_subtype"] = subtype
    subjects["latent_compression"] = scores["compression"]

    days = [f"day_{visit}" for visit in SCHEDULE]
    measurements = nerve_tables(subjects, hidden, scores, missing, random_state)
    assays = assay_tables(subjects, levels, missing, batch_effect, random_state)
    visits = _visits(subjects)
    return {
        "subjects": subjects.drop(columns=days)[list(tn_columns())],
        "visits": visits,
        "measurements": measurements,
        "assays": assays,
    }


def _visits(people: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for visit in SCHEDULE:
        day = people[f"day_{visit}"]
        # Everybody was examined once; without surgery there is no day to count from.
        seen = day if visit == "preop" else day.dropna()
        parts.append(
            pd.DataFrame({"subject_id": seen.index, "visit": visit, "day": seen.to_numpy()})
        )
    return pd.concat(parts, ignore_index=True)
