"""Does fusion help where it should, and keep quiet where it shouldn't? On synthetic cohorts.

Every seed is a cohort of `sample_tn`, and everything is judged in the same subject-wise folds.
In the "signal" runs all five blocks know something of the outcome, and the truth says how well
anybody could do. In the "noise" runs the nerve and protein data are those of other people, so
that only the clinic knows anything. Prints the mean AUC of every model, what fusion adds to the
best single block of the seed (chosen with the answers in hand, so a harsh rival) and to the clinic,
and the median calibration slope:

    python benchmarks/science/fusion_sample_tn.py [--seeds 20] [--people 330] [--effect 1] [--deep]

With --deep the networks (attention, auto-encoder, graph) take the place of the variants of late
fusion, in the same folds. Their defaults were chosen on seeds from 100 on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from precisionpain import Cohort
from precisionpain.datasets import sample_tn
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.fusion import (
    attention_fusion,
    block_model,
    early_fusion,
    graph_fusion,
    late_fusion,
    vae_fusion,
)
from precisionpain.proteomics import ProteinFeatures
from precisionpain.stats import auc

OUTCOME = "mvd_response"
CHEAP: dict[str, Any] = {"baseline": None, "n_bootstrap": 2, "n_permutations": 1}


def blocks() -> dict[str, Any]:
    """Return the five blocks: clinic, both kinds of nerve measures, and two panels."""
    return {
        "clinical": "clinical",
        "nerve": "nerve_measures",
        "diffusion": "diffusion",
        "csf": ProteinFeatures("csf_pea", proteins="trigeminal", visit="preop"),
        "plasma": ProteinFeatures("plasma_pea", proteins="trigeminal", visit="preop"),
    }


def scrambled(cohort: Cohort, seed: int) -> Cohort:
    """Give everybody the nerves and the proteins of somebody else."""
    people = cohort.index.to_numpy()
    others = dict(zip(people, np.random.default_rng(seed).permutation(people), strict=True))
    for name, table in cohort.measurements.items():
        moved = table.assign(subject_id=table["subject_id"].map(others))
        cohort = cohort.with_measurements(name, moved)
    for name, assay in cohort.assays.items():
        moved = assay.copy()
        moved.obs["subject_id"] = moved.obs["subject_id"].astype(object).map(others)
        cohort = cohort.with_assay(name, moved)
    return cohort


def judge(cohort: Cohort, models: Mapping[str, Any], seed: int) -> dict[str, float]:
    folds = SubjectKFold(5, random_state=seed)
    row = {}
    for name, model in models.items():
        result = cross_validate(model, cohort, OUTCOME, folds, **CHEAP)
        row[name] = result.auc.auc
        row[f"slope {name}"] = result.calibration.slope
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--people", type=int, default=330, help="of whom 45% are analysed")
    parser.add_argument("--effect", type=float, default=1.0)
    parser.add_argument("--deep", action="store_true", help="networks in place of gates")
    given = parser.parse_args()
    singles = {name: block_model(value) for name, value in blocks().items()}
    fused = {"early": early_fusion(blocks()), "late": late_fusion(blocks())}
    if given.deep:
        fused |= {
            "attention": attention_fusion(blocks()),
            "auto-encoder": vae_fusion(blocks()),
            "graph": graph_fusion(blocks()),
        }
    else:
        fused |= {
            "late, gate 1": late_fusion(blocks(), gate=1.0),
            "late, no gate": late_fusion(blocks(), gate=None),
        }
    for kind in ("signal", "noise"):
        rows, people = [], []
        for seed in range(given.first, given.first + given.seeds):
            cohort = sample_tn(given.people, seed, effect=given.effect).require(OUTCOME)
            if kind == "noise":
                cohort = scrambled(cohort, seed)
            people.append(len(cohort))
            row = judge(cohort, {**singles, **fused}, seed)
            truth = cohort.subjects["true_response_probability"].to_numpy(dtype=float)
            row["truth"] = auc(cohort.outcome(OUTCOME).to_numpy().astype(int), truth)
            rows.append(row)
        table = pd.DataFrame(rows)
        best = table[list(singles)].max(axis=1)
        print(f"\n{kind}: {given.seeds} seeds, {np.mean(people):.0f} people on average")
        print(f"AUC of the truth {table['truth'].mean():.3f}; of the single blocks:")
        print(table[list(singles)].mean().round(3).to_string())
        for name in fused:
            gain, over_clinic = table[name] - best, table[name] - table["clinical"]
            print(
                f"{name}: AUC {table[name].mean():.3f}; over the clinic {over_clinic.mean():+.3f} "
                f"({(over_clinic >= -0.01).mean():.0%} of seeds at least −0.01); over the best "
                f"block {gain.mean():+.3f} ({(gain >= -0.01).mean():.0%}); slope "
                f"{table[f'slope {name}'].median():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
