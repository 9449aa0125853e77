"""How well recurrence can be predicted in the synthetic cohort: blocks, clinic, and the truth.

    python benchmarks/science/recurrence_sample_tn.py --n 400 --seeds 1 2 3 4 5 6 7 8

Each seed is a sample of its own, cross-validated in five folds. ``c`` is Harrell's, of pairs
within folds; ``saved`` the share of the integrated Brier score of Kaplan–Meier's curve that a
model saves. The true risk of the sample bounds every C.
"""

from __future__ import annotations

import argparse
import warnings

import pandas as pd

import precisionpain as pp
from precisionpain.proteomics import ProteinFeatures

BLOCKS = {
    "clinic": "clinical",
    "nerves": "nerve_measures",
    "diffusion": "diffusion",
    "CSF": ProteinFeatures("csf_pea", proteins="trigeminal", visit="preop"),
}
MODELS = {
    "cox, blocks": pp.fusion.CoxRidge(BLOCKS),
    "cox, clinic": pp.fusion.CoxRidge(),
    "baseline": pp.evaluation.ClinicalCox(),
    "weibull, blocks": pp.fusion.WeibullAFT(BLOCKS),
    "xgboost, blocks": pp.fusion.XGBoostAFT(BLOCKS),
    "deep, blocks": pp.fusion.DeepCox(BLOCKS),
}


def of_seed(seed: int, n: int, names: list[str]) -> pd.DataFrame:
    """Return C and the share saved of each model, and the C of the truth."""
    cohort = pp.datasets.sample_tn(n_subjects=n, random_state=seed).require("recurrence")
    rows, first = {}, None
    for name in names:
        first = found = pp.evaluation.cross_validate_survival(
            MODELS[name], cohort, "recurrence", first, baseline=None, n_bootstrap=2
        )
        summary = found.summary()["estimate"]
        rows[name] = {"c": summary["harrell_c"], "saved": summary["ibs_scaled"]}
    p = first.predictions
    truth = cohort.subjects["true_recurrence_risk"].reindex(p.index)
    best = pp.stats.harrell_c(p["time"], p["event"], truth, strata=p["fold"]).c
    rows["truth"] = {"c": best}
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--models", nargs="+", default=["cox, blocks", "cox, clinic", "baseline"],
                        choices=list(MODELS))  # fmt: skip
    options = parser.parse_args()
    warnings.simplefilter("ignore", pp.errors.DataWarning)  # single values far off
    tables = {}
    for seed in options.seeds:
        tables[seed] = of_seed(seed, options.n, options.models)
        print(f"seed {seed}\n{tables[seed].round(3).to_string()}", flush=True)
    whole = pd.concat(tables, names=["seed", "model"])
    print(whole.groupby("model", sort=False).agg(["mean", "min", "max"]).round(3).to_string())


if __name__ == "__main__":
    main()
