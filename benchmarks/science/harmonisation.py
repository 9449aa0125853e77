"""What harmonising across scanners is worth to a model: neurography of synthetic cohorts.

Each of 12 cohorts of 300 people from three sites, of whom about four fifths have the images, is
judged in five folds by subject, and at each site with a model of the others. Run as a script::

    python benchmarks/science/harmonisation.py
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import precisionpain as pp
from precisionpain.evaluation import SubjectKFold, cross_validate, leave_site_out
from precisionpain.fusion import Harmonized, block_model

SEEDS = range(100, 112)
KEEP = {"covariates": ["age", "sex"]}
FEATURES = {
    "raw": "neurography",
    "harmonised": Harmonized("neurography", **KEEP),
    "harmonised, new sites estimated": Harmonized("neurography", unknown="estimate", **KEEP),
}
FAST = {"baseline": None, "n_permutations": 2, "n_bootstrap": 2}


def aucs(seed: int, scanner_effect: float) -> pd.DataFrame:
    """Return the AUCs of one cohort, features × ways of judging."""
    cohort = pp.datasets.sample_neuropathy(300, random_state=seed, scanner_effect=scanner_effect)
    cohort = cohort.require("neurography")
    rows = {}
    for name, features in FEATURES.items():
        model = block_model(features)
        folds = SubjectKFold(5, stratify_by="site")
        inside = cross_validate(model, cohort, "neuropathy", folds, **FAST)
        outside = leave_site_out(model, cohort, "neuropathy", **FAST)
        rows[name] = {
            "folds by subject": inside.auc.auc,
            "new site, mean over sites": outside.auc["auc"],
            "new site, all people pooled": outside.cv.auc.auc,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def gains(scanner_effect: float) -> pd.DataFrame:
    """Return mean AUCs over the cohorts, and the gain over raw features with its standard error."""
    found = np.array([aucs(seed, scanner_effect).to_numpy() for seed in SEEDS])
    one = aucs(SEEDS[0], scanner_effect)
    gain = found - found[:, :1]
    error = gain.std(axis=0, ddof=1) / np.sqrt(len(found))
    cells = [
        [f"{m:.3f} ({g:+.3f} ± {e:.3f})" for m, g, e in zip(*row, strict=True)]
        for row in zip(found.mean(axis=0), gain.mean(axis=0), error, strict=True)
    ]
    return pd.DataFrame(cells, one.index, one.columns)


if __name__ == "__main__":
    warnings.simplefilter("ignore", pp.errors.DataWarning)  # new sites stay as they are
    for effect in (0.0, 1.0, 2.0):
        print(f"\nscanner_effect = {effect}\n{gains(effect).to_string()}")
