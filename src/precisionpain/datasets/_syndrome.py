"""What the synthetic cohorts of further syndromes share: sites, scanners, assays, chances."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from ._draw import category, check_range, check_size, stream
from ._tn_assays import PlacedSamples, to_anndata
from ._tn_people import missing_by_site

if TYPE_CHECKING:
    from ..cohort import Cohort

__all__ = [
    "build",
    "chance",
    "check_arguments",
    "named",
    "people_of",
    "plasma_assay",
    "read_by_scanner",
    "seen",
]

_N_PROTEINS = 60
_PER_PLATE = 80


def check_arguments(
    n_subjects: int, random_state: int, *, missing: float, effect: float, n_sites: int,
    **factors: float,
) -> None:  # fmt: skip
    """Refuse arguments that the cohorts share when they are out of range."""
    check_size(n_subjects, random_state)
    check_range(
        missing=(missing, 0, 0.9), effect=(effect, 0, 10), n_sites=(n_sites, 1, 26),
        **{name: (value, 0, 10) for name, value in factors.items()},
    )  # fmt: skip


def people_of(
    n: int, n_sites: int, names: Sequence[str], random_state: int, prefix: str
) -> tuple[pd.Index, np.ndarray, pd.DataFrame]:
    """Draw who there is: ids, their sites, and their hidden causes.

    Parameters
    ----------
    n : int
        People.
    n_sites : int
        Hospitals; the first is the largest.
    names : sequence of str
        Hidden causes.
    random_state : int
        Seed.
    prefix : str
        Of the ids.

    Returns
    -------
    index : pandas.Index
        Ids.
    site : numpy.ndarray of str
    causes : pandas.DataFrame
        Independent standard normal scores, people × causes.
    """
    weights = 1 / np.sqrt(np.arange(1, n_sites + 1))
    shares = {chr(ord("A") + i): w / weights.sum() for i, w in enumerate(weights)}
    index = pd.Index([f"{prefix}{i:05d}" for i in range(1, n + 1)], name="subject_id")
    site = category(stream(random_state, "sites"), shares, n)
    scores = stream(random_state, "causes").standard_normal((n, len(names)))
    return index, site, pd.DataFrame(scores, index, list(names))


def chance(
    terms: Mapping[str, np.ndarray], weights: Mapping[str, float], rate: float, effect: float
) -> np.ndarray:
    """Return the true probability of an event that is logistic in some terms.

    Parameters
    ----------
    terms : mapping of str to numpy.ndarray
        Each with mean 0 and SD 1, about.
    weights : mapping of str to float
        Log odds per SD at an effect of 1.
    rate : float
        Share with the event, about, whatever the effect.
    effect : float
        Factor on the log odds.

    Returns
    -------
    numpy.ndarray
    """
    drive = effect * sum(weight * terms[name] for name, weight in weights.items())
    spread = effect * np.sqrt(sum(weight**2 for weight in weights.values()))
    # E[expit(a + s z)] is about expit(a / sqrt(1 + pi s² / 8)), so the rate stays as it is.
    base = special.logit(rate) * np.sqrt(1 + np.pi * spread**2 / 8)
    return np.asarray(special.expit(base + drive))


def seen(site: np.ndarray, missing: float, random_state: int, name: str) -> np.ndarray:
    """Tell who has a block of data; the later sites lack more.

    Parameters
    ----------
    site : numpy.ndarray
        Site of each person.
    missing : float
        Share of people who lack it.
    random_state : int
        Seed.
    name : str
        Of the block.

    Returns
    -------
    numpy.ndarray of bool
    """
    rng = stream(random_state, name + "/seen")
    return rng.random(len(site)) >= missing_by_site(site, missing)


def read_by_scanner(
    table: pd.DataFrame, site: np.ndarray, effect: float, random_state: int, name: str
) -> pd.DataFrame:
    """Shift and stretch positive measures as each site's scanner reads them.

    Parameters
    ----------
    table : pandas.DataFrame
        Numbers above 0.
    site : numpy.ndarray
        Site of each row.
    effect : float
        Factor; at 1 a scanner is off by about 0.8 SD of a measure and stretches by about 15%.
    random_state : int
        Seed.
    name : str
        Of the table.

    Returns
    -------
    pandas.DataFrame
        Still above 0: values move on the logarithm.
    """
    rng = stream(random_state, name + "/scanner")
    sites, code = np.unique(site, return_inverse=True)
    shape = (len(sites), table.shape[1])
    # All measures of a scanner are off to some common degree.
    shift = 0.6 * rng.standard_normal(shape) + 0.5 * rng.standard_normal((len(sites), 1))
    stretch = np.exp(0.15 * effect * rng.standard_normal(shape))
    logs = np.log(table.to_numpy(dtype=float))
    mean, spread = logs.mean(axis=0), logs.std(axis=0)
    moved = mean + (logs - mean) * stretch[code] + effect * shift[code] * spread
    return pd.DataFrame(np.exp(moved), table.index, table.columns)


def plasma_assay(
    people: pd.DataFrame,
    causes: pd.DataFrame,
    proteins: Mapping[str, str],
    signal: Mapping[str, Mapping[str, float]],
    *,
    missing: float,
    batch_effect: float,
    random_state: int,
    name: str,
) -> PlacedSamples:
    """Draw a proximity extension assay of plasma.

    Parameters
    ----------
    people : pandas.DataFrame
        With ``site`` and ``age``.
    causes : pandas.DataFrame
        What the proteins follow, people × causes.
    proteins : mapping of str to str
        Gene → UniProt accession. Made-up proteins (``SYN_...``) follow, 60 in all.
    signal : mapping
        Gene → cause → change in log2 per unit of the cause.
    missing : float
        Share of people without a sample.
    batch_effect : float
        Factor on the differences between plates and between sites.
    random_state : int
        Seed.
    name : str
        Of the cohort, so that its proteins are always the same.

    Returns
    -------
    (X, obs, var)
        NPX (samples × proteins), the samples and the proteins.
    """
    rng = stream(random_state, "plasma_pea")
    fixed = np.random.default_rng(zlib.crc32(name.encode()))
    made_up = [f"SYN_{i:03d}" for i in range(1, _N_PROTEINS - len(proteins) + 1)]
    genes, p = [*proteins, *made_up], _N_PROTEINS
    var = pd.DataFrame({"gene": genes, "uniprot": [*proteins.values(), *made_up]})
    level, lod = fixed.uniform(2, 8, p), np.round(fixed.uniform(0.3, 1.4, p), 2)
    weight = np.array([[signal.get(g, {}).get(str(c), 0.0) for c in causes] for g in genes])
    # A few of the made-up proteins follow a cause a little.
    follow = fixed.random((p, causes.shape[1])) < 0.06
    weight += np.where(follow & (np.arange(p) >= len(proteins))[:, None],
                       fixed.normal(0, 0.15, weight.shape), 0)  # fmt: skip
    var["panel"], var["olink_id"] = "Synthetic 60", [f"OIDS{i:05d}" for i in range(1, p + 1)]
    var["lod"], var.index = lod, pd.Index(var["olink_id"].to_numpy())

    site = people["site"].to_numpy()
    has = np.flatnonzero(seen(site, missing, random_state, "plasma_pea"))
    plates = max(2, -(-len(has) // _PER_PLATE))
    rows: list[tuple[str | None, int, str]] = []
    for plate, members in enumerate(np.array_split(rng.permutation(has), plates), start=1):
        rows += [(people.index[i], plate, "SAMPLE") for i in members]
        rows += [(None, plate, "CONTROL")] * 2
    obs = pd.DataFrame(rows, columns=["subject_id", "plate", "sample_type"])
    obs["visit"] = ["baseline" if kind == "SAMPLE" else None for kind in obs["sample_type"]]
    obs["specimen"] = "plasma"
    real = (obs["sample_type"] == "SAMPLE").to_numpy()
    plate_code = obs["plate"].to_numpy() - 1
    obs["plate"] = [f"plasma_plate{plate:02d}" for plate in obs["plate"]]
    obs.index = pd.Index([f"plasma_{i:05d}" for i in range(1, len(obs) + 1)], name="sample_id")

    factors = rng.standard_normal((len(people), 3)) @ fixed.normal(0, 0.15, (3, p))
    own = 0.35 * rng.standard_normal((len(people), p))
    ageing = np.outer(people["age"] - 55, 0.02 * np.isin(genes, ["NEFL", "GFAP"]))
    person = causes.to_numpy() @ weight.T + factors + own + ageing
    code = np.unique(site, return_inverse=True)[1]
    person = person + batch_effect * rng.normal(0, 0.25, (code.max() + 1, p))[code]
    values = level + batch_effect * rng.normal(0, 0.25, (plates, p))[plate_code]
    values[real] += person[people.index.get_indexer(pd.Index(obs["subject_id"][real]))]
    values += 0.15 * rng.standard_normal(values.shape)
    # Below the limit only background is left.
    values = np.log2(np.exp2(values) + np.exp2(lod - 0.6))
    obs["qc"] = np.where(rng.random(len(obs)) < 0.03, "WARN", "PASS").astype(object)
    return np.round(values, 4), obs, var


def named(*levels: str) -> dict[str, str]:
    """Return levels that stand for themselves."""
    return {level: level for level in levels}


def build(
    name: str,
    *,
    subjects: pd.DataFrame,
    columns: Mapping[str, Any],
    outcomes: Mapping[str, Any],
    measurements: Mapping[str, pd.DataFrame],
    assay: PlacedSamples,
    parameters: Mapping[str, Any],
    sources: Sequence[str],
    truth: Mapping[str, Any],
    schedule: Mapping[str, float],
    index_event: str,
) -> Cohort:
    """Make the Cohort, which says of itself that it is made up, and how.

    Parameters
    ----------
    name : str
        Of the function that made it.
    subjects, columns, outcomes, measurements, schedule
        As `Cohort` takes them; `columns` in their order.
    assay : (X, obs, var)
        What `plasma_assay` returned.
    parameters : mapping
        Arguments of the function.
    sources : sequence of str
        Where its figures come from.
    truth : mapping
        Further entries of `meta`: the weights behind the true probabilities.
    index_event : str
        What day 0 is.

    Returns
    -------
    Cohort
    """
    from .. import __version__
    from ..cohort import Cohort

    seed = int(parameters["random_state"])
    visits = [
        pd.DataFrame({"subject_id": subjects.index, "visit": visit, "day": day})
        for visit, day in schedule.items()
    ]
    return Cohort(
        subjects[list(columns)],
        visits=pd.concat(visits, ignore_index=True),
        assays={"plasma_pea": to_anndata(assay)},
        measurements=dict(measurements),
        columns=dict(columns),
        outcomes=dict(outcomes),
        schedule=dict(schedule),
        landmark=0.0,
        name=f"{name} (synthetic)",
        synthetic=True,
        meta={
            "index_event": index_event,
            "source": f"made up by precisionpain.datasets.{name}; no person stands behind a row",
            "licence": "CC0-1.0",
            "generator": {
                "name": name, "version": __version__,
                "parameters": {k: v.item() if hasattr(v, "item") else v
                               for k, v in parameters.items()},
            },
            "sources": list(sources),
            **truth,
        },
        provenance=[
            {
                "step": "simulate", "table": "subjects", "column": None, "n": len(subjects),
                "detail": f"{name} of precisionpain {__version__}, seed {seed}",
            }
        ],
    )  # fmt: skip
