"""The proteins of the synthetic trigeminal cohort: proximity extension assays and label-free MS."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ._draw import stream
from ._tn_people import CAUSES, missing_by_site

if TYPE_CHECKING:
    import anndata

__all__ = ["LFQ_PROTEINS", "PEA_PROTEINS", "PlacedSamples", "assay_tables", "to_anndata"]

PlacedSamples = tuple[np.ndarray, pd.DataFrame, pd.DataFrame]

# Gene -> UniProt. The first six are the panel of the project; then the wider set named for
# trigeminal neuralgia, then further proteins of brain and immune panels.
PEA_PROTEINS = {
    "SFRP1": "Q8N474", "FKBP5": "Q13451", "TBCB": "Q99426", "NEFL": "P07196", "IL1B": "P01584",
    "CXCL13": "O43927", "VWF": "P04275", "ICAM1": "P05362", "S100B": "P04271",
    "PRDX1": "Q06830", "GFAP": "P14136", "CXCL1": "P09341", "EGF": "P01133", "IL6": "P05231",
    "TNF": "P01375", "IL10": "P22301", "IL18": "Q14116", "CCL2": "P13500", "CCL3": "P10147",
    "CXCL10": "P02778", "CX3CL1": "P78423", "VEGFA": "P15692", "MMP9": "P14780",
    "TNFRSF1A": "P19438", "CHI3L1": "P36222", "MAPT": "P10636", "TREM2": "Q9NZC2",
    "GDNF": "P39905", "NGF": "P01138", "LIF": "P15018", "IL1RN": "P18510", "CD40": "P25942",
    "HGF": "P14210", "KITLG": "P21583", "TGFA": "P01135", "FLT3LG": "P49771",
    "CST3": "P01034", "CNTN1": "Q12860", "NCAM1": "P13591", "SPP1": "P10451",
}  # fmt: skip
LFQ_PROTEINS = {
    "ALB": "P02768", "APOE": "P02649", "CST3": "P01034", "PTGDS": "P41222", "TTR": "P02766",
    "CLU": "P10909", "CNTN1": "Q12860", "CNTN2": "Q02246", "NCAM1": "P13591",
    "SPP1": "P10451", "SERPINA1": "P01009", "A2M": "P01023", "C3": "P01024", "HP": "P00738",
    "HPX": "P02790", "CP": "P00450", "APOA1": "P02647", "RBP4": "P02753", "B2M": "P61769",
    "AHSG": "P02765", "FGA": "P02671", "VTN": "P04004", "PLG": "P00747", "PEBP1": "P30086",
    "YWHAZ": "P63104", "APLP1": "P51693", "CHI3L1": "P36222", "PRDX1": "Q06830",
    "GFAP": "P14136", "NEFL": "P07196", "C4A;C4B": "P0C0L4;P0C0L5",
}  # fmt: skip
_N_PEA, _N_LFQ = 92, 150

# log2 change per SD of a cause in cerebrospinal fluid, and (patient) of having the disease.
_SIGNAL: Mapping[str, Mapping[str, float]] = {
    "SFRP1": {"patient": 0.45, "inflammatory": 0.18},
    "FKBP5": {"patient": 0.25, "stress": 0.63},
    "TBCB": {"patient": 0.30, "axonal": 0.48},
    "NEFL": {"patient": 0.20, "axonal": 0.68},
    "IL1B": {"patient": 0.10, "inflammatory": 0.68},
    "CXCL13": {"autoimmune_like": 0.83},
    "VWF": {"compression": 0.22, "patient": 0.15},
    "ICAM1": {"inflammatory": 0.30, "patient": 0.10},
    "S100B": {"axonal": 0.22},
    "PRDX1": {"stress": 0.22},
    "GFAP": {"axonal": 0.30, "inflammatory": 0.15},
    "CXCL1": {"inflammatory": 0.38},
    "EGF": {"patient": -0.10, "stress": -0.22},
    "IL6": {"inflammatory": 0.45},
    "TNF": {"inflammatory": 0.30},
    "MAPT": {"axonal": 0.38},
    "CXCL10": {"autoimmune_like": 0.38},
    "CHI3L1": {"inflammatory": 0.38},
    "C3": {"autoimmune_like": 0.30},
    "C4A;C4B": {"autoimmune_like": 0.45},
}
_PLASMA = 0.45  # of the change in cerebrospinal fluid reaches plasma
_PER_PLATE = 80


def _fixed(name: str) -> np.random.Generator:
    """Return a stream that belongs to the assay, not to the cohort: SYN_017 is always the same."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def _proteins(assay: str) -> pd.DataFrame:
    """Describe the proteins of an assay: identity, level, detection limit, response to causes."""
    named = LFQ_PROTEINS if assay == "csf_lfq" else PEA_PROTEINS
    total = _N_LFQ if assay == "csf_lfq" else _N_PEA
    prefix = "SYNP" if assay == "csf_lfq" else "SYN"
    made_up = [f"{prefix}_{i:03d}" for i in range(1, total - len(named) + 1)]
    table = pd.DataFrame({"gene": [*named, *made_up], "uniprot": [*named.values(), *made_up]})
    for name in ("patient", *CAUSES):
        table[name] = [_SIGNAL.get(gene, {}).get(name, 0.0) for gene in table["gene"]]
    # One in four of the made-up proteins follows one cause a little.
    rng = _fixed(prefix)
    follower = np.flatnonzero(rng.random(total) < 0.25)
    follower = follower[follower >= len(named)]
    cause = rng.choice(list(CAUSES), len(follower))
    for row, name, size in zip(follower, cause, rng.normal(0, 0.12, len(follower)), strict=True):
        table.loc[row, name] = size
    rng = _fixed(assay)
    if assay == "csf_lfq":
        table["level"] = rng.normal(24.0, 2.5, total).clip(19.5, 32.0)
        table["n_peptides"] = rng.poisson(np.exp((table["level"] - 18) / 3)).clip(1)
        table.index = pd.Index(table["uniprot"], name="protein_group")
        return table
    table["level"] = rng.uniform(2.0, 9.0, total)
    table["lod"] = np.round(rng.uniform(0.3, 1.6, total), 2)
    # Some assays sit at their limit; of the named, the two cytokines that are scarce.
    scarce = (rng.random(total) < 0.10) & (np.arange(total) >= len(named))
    table.loc[scarce, "level"] = table["lod"][scarce] + rng.uniform(-3.5, -0.2, scarce.sum())
    for gene in ("IL1B", "CXCL13"):
        table.loc[table["gene"] == gene, "level"] = table["lod"] + 0.5
    if assay == "plasma_pea":
        table[["patient", *CAUSES]] *= _PLASMA
    table["panel"] = "Synthetic 92"
    table["olink_id"] = [f"OIDS{i:05d}" for i in range(1, total + 1)]
    table.index = pd.Index(table["olink_id"].to_numpy())
    return table


def assay_tables(
    people: pd.DataFrame,
    levels: pd.DataFrame,
    missing: float,
    batch_effect: float,
    random_state: int,
) -> dict[str, PlacedSamples]:
    """Draw all assays.

    Parameters
    ----------
    people : pandas.DataFrame
        The subjects table, and the days of the visits.
    levels : pandas.DataFrame
        Hidden causes of the patients; index as `people`.
    missing : float
        Share of people that lacks an assay.
    batch_effect : float
        Factor on the differences between plates and between sites.
    random_state : int
        Seed.

    Returns
    -------
    dict of str to (X, obs, var)
        ``csf_pea``, ``plasma_pea`` and ``csf_lfq``: values on the log2 scale (samples x
        proteins), the samples and the proteins.
    """
    # Lumbar punctures are rare after surgery, blood is not.
    again = {"csf_pea": 0.35, "plasma_pea": 0.85, "csf_lfq": 0.0}
    return {
        name: _assay(name, people, levels, missing, share, batch_effect, random_state)
        for name, share in again.items()
    }


def _assay(
    name: str,
    people: pd.DataFrame,
    levels: pd.DataFrame,
    missing: float,
    again: float,
    batch_effect: float,
    random_state: int,
) -> PlacedSamples:
    rng = stream(random_state, name)
    var = _proteins(name)
    obs = _samples(rng, name, people, missing, again)
    n, p = len(obs), len(var)
    real = (obs["sample_type"] == "SAMPLE").to_numpy()
    owner = people.index.get_indexer(pd.Index(obs["subject_id"]))

    # What the person is, and how much of the disease is left at this visit.
    causes = np.zeros((len(people), 1 + len(CAUSES)))
    sick = (people["diagnosis"] == "TN").to_numpy()
    causes[sick, 0] = 1
    causes[sick, 1:] = levels.reindex(people.index[sick]).to_numpy()
    causes[~sick, 1:] = rng.standard_normal((int((~sick).sum()), len(CAUSES)))
    left = np.ones(n)
    freed = (people["index_surgery"] == "MVD").to_numpy() & (
        people["bni_12mo"].to_numpy(dtype=float) <= 2
    )
    later = (obs["visit"] == "followup").to_numpy()
    left[later] = np.where(freed[owner[later]], 0.25, 0.7)
    signal = (causes[owner] * left[:, None]) @ var[["patient", *CAUSES]].to_numpy().T

    # Unrelated differences between people: shared factors, age, and each protein's own.
    factors = rng.standard_normal((len(people), 4)) @ _fixed(name + "/f").normal(0, 0.15, (4, p))
    older = (people["age"].to_numpy() - 58)[:, None]
    ageing = 0.02 * older * var["gene"].isin(["NEFL", "GFAP"]).to_numpy()
    own = 0.30 * rng.standard_normal((len(people), p))
    values = var["level"].to_numpy() + signal + (factors + ageing + own)[owner]
    values[~real] = var["level"].to_numpy()
    values += (0.30 if name == "csf_lfq" else 0.15) * rng.standard_normal((n, p))

    site = np.unique(people["site"].to_numpy(), return_inverse=True)[1]
    drift = batch_effect * (
        rng.normal(0, 0.25, (site.max() + 1, p)) + rng.normal(0, 0.2, (site.max() + 1, 1))
    )
    values[real] += drift[site[owner[real]]]
    plate = np.unique(obs["plate"].to_numpy(), return_inverse=True)[1]
    shift = rng.normal(0, 0.2, (plate.max() + 1, p)) + rng.normal(0, 0.2, (plate.max() + 1, 1))
    values += batch_effect * shift[plate]
    drop = [*CAUSES, "patient", "level"]
    if name == "csf_lfq":
        return _undetected(rng, values), obs, var.drop(columns=drop)
    # Below the limit only background is left.
    lod = var["lod"].to_numpy()
    background = lod - 0.6
    floor = background + 0.15 * rng.standard_normal((n, p))
    values = np.log2(np.exp2(values) + np.exp2(floor))
    negative = (obs["sample_type"] == "NEGATIVE_CONTROL").to_numpy()
    values[negative] = floor[negative]
    obs["qc"] = np.where(rng.random(n) < 0.03, "WARN", "PASS").astype(object)
    return np.round(values, 4), obs, var.drop(columns=drop)


def _samples(
    rng: np.random.Generator, name: str, people: pd.DataFrame, missing: float, again: float
) -> pd.DataFrame:
    """Lay out the samples on plates; all samples of a person share a plate."""
    n = len(people)
    has = rng.random(n) >= missing_by_site(people["site"].to_numpy(), missing)
    repeated = has & people["day_followup"].notna().to_numpy() & (rng.random(n) < again)
    order = rng.permutation(np.flatnonzero(has))
    n_plates = max(2, -(-(int(has.sum()) + int(repeated.sum())) // _PER_PLATE))
    rows: list[tuple[str | None, str | None, int, str]] = []
    for plate, members in enumerate(np.array_split(order, n_plates), start=1):
        for i in members:
            rows.append((people.index[i], "preop", plate, "SAMPLE"))
            if repeated[i]:
                rows.append((people.index[i], "followup", plate, "SAMPLE"))
        controls = {"CONTROL": 2} if name == "csf_lfq" else {
            "CONTROL": 2, "NEGATIVE_CONTROL": 3, "PLATE_CONTROL": 3,
        }  # fmt: skip
        for kind, count in controls.items():
            rows += [(None, None, plate, kind)] * count
    obs = pd.DataFrame(rows, columns=["subject_id", "visit", "plate", "sample_type"])
    obs["specimen"] = "plasma" if name == "plasma_pea" else "CSF"
    obs["plate"] = [f"{name}_plate{plate:02d}" for plate in obs["plate"]]
    obs.index = pd.Index([f"{name}_{i:05d}" for i in range(1, len(obs) + 1)], name="sample_id")
    return obs[["subject_id", "visit", "specimen", "plate", "sample_type"]]


def _undetected(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    # The fainter, the more often missed; and 2% are missed for no reason.
    missed = 1 / (1 + np.exp((values - 20.5) / 0.6))
    gone = (rng.random(values.shape) < missed) | (rng.random(values.shape) < 0.02)
    return np.round(np.where(gone, np.nan, values), 4)


def to_anndata(placed: PlacedSamples) -> anndata.AnnData:
    """Make the AnnData of one assay.

    Parameters
    ----------
    placed : (X, obs, var)
        One value of `assay_tables`.

    Returns
    -------
    anndata.AnnData
    """
    import anndata

    values, obs, var = placed
    adata = anndata.AnnData(X=np.asarray(values), obs=obs.copy(), var=var.copy())
    # As the readers of the proteomics room say it.
    pea = "lod" in var
    adata.uns["precisionpain"] = {
        "kind": "npx" if pea else "lfq",
        "unit": "NPX" if pea else "log2 intensity",
        "source": "synthetic",
        "removed": {},
    }
    return adata
