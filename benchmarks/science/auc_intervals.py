"""Check that intervals of a cross-validated AUC cover the truth, and the canary keeps quiet.

Synthetic people whose true risk is known. For each replicate the clinical ridge is
cross-validated at n people; the truth is the AUC that the same model, fitted on all n, has in
a fresh population. Then the same without any signal: how often is the permutation p below
0.05, how often does the canary raise a false alarm?

    python benchmarks/science/auc_intervals.py [--replicates 200] [--n 100]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from precisionpain import Cohort
from precisionpain.evaluation import SubjectKFold, clinical_model, cross_validate
from precisionpain.stats import auc, wilson

POPULATION = 20_000


def people(n: int, slope: float, rng: np.random.Generator) -> tuple[Cohort, np.ndarray]:
    """N people with six predictors, of which two carry the risk."""
    x = rng.normal(size=(n, 6))
    risk = 1 / (1 + np.exp(-(slope * (x[:, 0] + x[:, 1]) - 0.5)))
    frame = pd.DataFrame(x, [f"s{i:05d}" for i in range(n)], [f"x{j}" for j in range(6)])
    return Cohort(frame, name="simulated", synthetic=True), (rng.random(n) < risk).astype(int)


def coverage(n: int, slope: float, replicates: int, seed: int) -> dict[str, float]:
    """Share of replicates whose 95% interval covers the model's true AUC."""
    rng = np.random.default_rng(seed)
    fresh, fresh_y = people(POPULATION, slope, rng)
    hits = {"auc": 0, "auc_bootstrap": 0, "auc_mean_of_folds": 0}
    estimates, truths = [], []
    for replicate in range(replicates):
        cohort, y = people(n, slope, rng)
        result = cross_validate(
            clinical_model("logistic"), cohort, y, cv=SubjectKFold(5, random_state=replicate),
            baseline=None, n_bootstrap=500, n_permutations=1, random_state=replicate,
        )  # fmt: skip
        fitted = clinical_model("logistic").fit(cohort, y)
        truth = auc(fresh_y, fitted.predict_proba(fresh)[:, 1])
        summary = result.summary()
        for name in hits:
            low, high = summary.loc[name, ["ci_low", "ci_high"]].astype(float)
            hits[name] += low <= truth <= high
        estimates.append(result.auc.auc)
        truths.append(truth)
    return {
        "mean true AUC": float(np.mean(truths)),
        "mean estimate": float(np.mean(estimates)),
        **{f"coverage {name}": count / replicates for name, count in hits.items()},
    }


def null(n: int, replicates: int, permutations: int, seed: int) -> dict[str, float]:
    """Count what a study without signal finds."""
    rng = np.random.default_rng(seed)
    p_values, alarms, areas = [], 0, []
    for replicate in range(replicates):
        cohort, y = people(n, 0.0, rng)
        result = cross_validate(
            clinical_model("logistic"), cohort, y, cv=SubjectKFold(5, random_state=replicate),
            baseline=None, n_permutations=permutations, random_state=replicate,
        )  # fmt: skip
        p_values.append(result.permutation.p_value)
        alarms += not result.permutation.passed
        areas.append(result.auc.auc)
    return {
        "mean AUC": float(np.mean(areas)),
        "share p < 0.05": float(np.mean(np.array(p_values) < 0.05)),
        "canary false alarms": alarms / replicates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--null-replicates", type=int, default=100)
    parser.add_argument("--permutations", type=int, default=39)
    parser.add_argument("--n", type=int, default=100)
    options = parser.parse_args()
    for slope in (0.4, 0.8):
        print(f"n = {options.n}, slope {slope}, {options.replicates} replicates")
        for name, value in coverage(options.n, slope, options.replicates, seed=1).items():
            extra = ""
            if name.startswith("coverage"):
                low, high = wilson(round(value * options.replicates), options.replicates)
                extra = f"  ({float(low):.2f} to {float(high):.2f})"
            print(f"  {name:<28}{value:.3f}{extra}")
    print(f"no signal, {options.null_replicates} replicates, {options.permutations} permutations")
    for name, value in null(
        options.n, options.null_replicates, options.permutations, seed=2
    ).items():
        print(f"  {name:<28}{value:.3f}")


if __name__ == "__main__":
    main()
