"""Check that `sample_mtbi` meets the published Table 1, and what its bedside features reach.

python benchmarks/science/sample_mtbi_truth.py [--seeds 20]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from precisionpain.datasets import sample_mtbi
from precisionpain.stats import auc, rank_sum

# Attias et al., Pain 2025, Table 1: chronic mean, SD (n = 55), recovered mean, SD (n = 73), W.
TABLE_1 = {
    "head_baseline": (48.2, 28.5, 37.5, 25.2, 2446.5),
    "neck_baseline": (60.5, 25.4, 43.8, 28.0, 2682.0),
    "max_baseline": (63.7, 25.1, 51.3, 25.7, 2570.5),
    "head_12mo": (50.5, 31.7, 2.3, 6.1, 3558.5),
    "neck_12mo": (48.5, 27.8, 1.95, 5.5, 3700.5),
    "max_12mo": (63.0, 20.9, 3.4, 7.5, 4015.0),
}


def deviations(seed: int) -> tuple[float, float]:
    """Largest distance from the published means and SDs, and from the published W."""
    cohort = sample_mtbi(random_state=seed)
    chronic = cohort.outcome("chronic_pain").to_numpy() == 1
    moments, ranks = [], []
    for name, (mean_1, sd_1, mean_0, sd_0, w) in TABLE_1.items():
        values = cohort.subjects[name].to_numpy(dtype=float)
        with_pain, without = values[chronic], values[~chronic]
        moments += [with_pain.mean() - mean_1, with_pain.std(ddof=1) - sd_1]
        moments += [without.mean() - mean_0, without.std(ddof=1) - sd_0]
        ranks.append(rank_sum(with_pain, without).w - w)
    return float(np.max(np.abs(moments))), float(np.max(np.abs(ranks)))


def bedside_forest(seed: int) -> float:
    """Pooled 8-fold AUC of a random forest on the ten bedside features."""
    cohort = sample_mtbi(random_state=seed)
    x = cohort.subjects[cohort.meta["bedside_features"]].to_numpy(dtype=float)
    y = cohort.outcome("chronic_pain").to_numpy()
    p = cross_val_predict(
        RandomForestClassifier(n_estimators=200, min_samples_leaf=3, random_state=0), x, y,
        cv=StratifiedKFold(8, shuffle=True, random_state=seed), method="predict_proba",
    )  # fmt: skip
    return auc(y, p[:, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    moments, ranks = np.array([deviations(seed) for seed in seeds]).T
    print(
        f"largest deviation over {len(seeds)} seeds: mean or SD {moments.max():.4f}, "
        f"W {ranks.max():.2f}"
    )
    areas = [bedside_forest(seed) for seed in seeds]
    print(f"bedside forest, 8 folds: AUC {np.mean(areas):.3f} (SD {np.std(areas, ddof=1):.3f})")


if __name__ == "__main__":
    main()
