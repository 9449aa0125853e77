"""Networks that join blocks beside early fusion and the clinic: a short comparison.

The defaults of the networks were chosen with this: those of attention on seeds 100 to 102, those
of the auto-encoder on seeds 103 to 105, so that only the others are honest for each. Three outer
folds and three networks keep it short; `fusion_sample_tn.py --deep` is the whole comparison.
"Noise" means that nerves and proteins are those of other people:

    python benchmarks/science/deep_fusion_settings.py [--seeds 3] [--first 100] [--models graph]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from fusion_sample_tn import OUTCOME, blocks, scrambled
from scipy import special

from precisionpain import Cohort
from precisionpain.datasets import sample_tn
from precisionpain.evaluation import SubjectKFold, clinical_model
from precisionpain.fusion import attention_fusion, early_fusion, graph_fusion, vae_fusion
from precisionpain.fusion._deep.ensemble import Member, calibrate, one_thread
from precisionpain.fusion._deep.inputs import BlockSet
from precisionpain.stats import auc

MODELS = {"attention": attention_fusion, "vae": vae_fusion, "graph": graph_fusion}


def judge(cohort: Cohort, models: dict[str, Any], seed: int) -> dict[str, float]:
    """Return the pooled out-of-fold AUC; the blocks of a fold are shared by the networks."""
    y = cohort.outcome(OUTCOME).astype(int).to_numpy()
    p = {name: np.zeros(len(y)) for name in ("clinic", "early", *models)}
    for rows, left_out in SubjectKFold(3, random_state=seed).split(cohort, y):
        people, others = (cohort[part].known_at_index() for part in (rows, left_out))
        target = y[rows]
        for name, model in {"clinic": clinical_model(), "early": early_fusion(blocks())}.items():
            p[name][left_out] = model.fit(people, target).predict_proba(others)[:, 1]
        parts = []
        for mine, held in SubjectKFold(3, random_state=0).split(people, target):
            known = BlockSet(list(blocks()))
            given = known.fit(blocks(), people[mine], target[mine], min_people=2)
            parts.append((mine, held, given, *map(known.transform, (people[held], others))))
        for name, model in models.items():
            inner, outer = np.zeros(len(rows)), np.zeros(len(left_out))
            for number, (mine, held, given, of_held, of_others) in enumerate(parts):
                base = float(special.logit(target[mine].mean()))
                with one_thread():
                    network = model._train(given, target[mine], base, number)
                    member = Member(known, network, base)
                    inner[held] = model._evidence(member, of_held)
                    outer += model._evidence(member, of_others) / 3
            intercept, temperature = calibrate(inner, target)
            p[name][left_out] = special.expit(intercept + outer / temperature)
    return {name: float(auc(y, each)) for name, each in p.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for kind in ("signal", "noise"):
        rows = []
        for seed in range(given.first, given.first + given.seeds):
            cohort = sample_tn(330, seed).require(OUTCOME)
            if kind == "noise":
                cohort = scrambled(cohort, seed)
            rows.append(judge(cohort, {n: MODELS[n](blocks()) for n in given.models}, seed))
        print(kind, pd.DataFrame(rows).mean().round(3).to_dict(), flush=True)


if __name__ == "__main__":
    main()
