"""Cross-validate the bedside models on made-up people, beside neck pain alone and the paper.

Each seed is another synthetic cohort that meets the published Table 1 (128 people) and other
folds. AUCs are means over the eight folds, as the paper gives them, and pooled.

    python benchmarks/science/mtbi_bedside.py [--seeds 10]
"""

from __future__ import annotations

import argparse

import numpy as np

from precisionpain.datasets import sample_mtbi
from precisionpain.evaluation import cross_validate
from precisionpain.mtbi import bedside_increment, bedside_model, paper_folds

# Attias et al., Pain 2025, Table 4: AUC of unstratified and of stratified folds.
PUBLISHED = {"random_forest": (0.77, 0.80), "xgboost": (0.70, 0.73)}
CHEAP = {"n_bootstrap": 2, "n_permutations": 1}


def areas(kind: str, seed: int) -> dict[str, float]:
    """AUC of one kind of model on one cohort, in both kinds of folds."""
    cohort = sample_mtbi(random_state=seed)
    plain = cross_validate(
        bedside_model(kind), cohort, "chronic_pain", paper_folds(random_state=seed),
        baseline=None, **CHEAP,
    )  # fmt: skip
    result = bedside_increment(
        cohort, kind=kind, cv=paper_folds(stratified=True, random_state=seed), **CHEAP
    )
    return {
        "unstratified": plain.frame()["auc"].mean(),
        "stratified": result.frame()["auc"].mean(),
        "pooled, stratified": result.auc.auc,
        "neck pain alone": result.baseline.frame()["auc"].mean(),
        "increment": result.increment.corrected.mean,
        "increment, p < 0.05": result.increment.corrected.p_value < 0.05,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    for kind in ("random_forest", "xgboost", "logistic"):
        rows = [areas(kind, seed) for seed in seeds]
        plain, stratified = PUBLISHED.get(kind, (np.nan, np.nan))
        print(f"{kind}: {len(rows)} seeds; published {plain:.2f}, stratified {stratified:.2f}")
        for name in rows[0]:
            values = np.array([row[name] for row in rows], dtype=float)
            spread = f" (SD {values.std(ddof=1):.3f})" if len(values) > 1 else ""
            print(f"  {name:22s} {values.mean():.3f}{spread}")


if __name__ == "__main__":
    main()
