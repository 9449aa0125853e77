"""Print what models reach on the synthetic trigeminal cohort, block by block.

The first lines know the truth and bound everything else; then cross-validated ridge logistic
regression on what a clinic sees, one block of data at a time and fused by stacking. Run as

    python benchmarks/science/sample_tn_truth.py [n_subjects] [seed ...]
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import precisionpain as pp

CLINICAL = [
    "age", "sex", "bmi", "disease_duration_years", "pain_type", "pain_severity", "branch",
    "previous_surgery", "carbamazepine_mg_day", "hads_anxiety", "hads_depression", "pcs_total",
]  # fmt: skip


def blocks(cohort: pp.Cohort) -> dict[str, pd.DataFrame]:
    """Return the predictors of each block, one row per person, known before surgery."""
    people = cohort.subjects
    clinical = people[CLINICAL].copy()
    clinical["previous_surgery"] = clinical["previous_surgery"].astype(float)
    found = {"clinic": clinical}
    found["clinic + Sindou"] = clinical.join(people["sindou_grade"])
    for name, table in cohort.measurements.items():
        painful = table.merge(people["affected_side"], left_on="subject_id", right_index=True)
        chosen = (painful["visit"] == "preop") & (painful["side"] == painful["affected_side"])
        values = painful[chosen].set_index("subject_id")
        values = values.drop(columns=["visit", "side", "affected_side"]).reindex(people.index)
        if "vessel" in values:
            values["vein"] = (values.pop("vessel") == "vein").astype(float)
        found[name] = values
    for name, adata in cohort.assays.items():
        samples = adata[(adata.obs["visit"] == "preop").to_numpy()]
        frame = pd.DataFrame(
            samples.X, index=samples.obs["subject_id"].to_numpy(), columns=samples.var_names
        )
        found[name] = frame.reindex(people.index)
    return found


def model(frame: pd.DataFrame) -> Pipeline:
    text = [name for name in frame if frame[name].dtype == object]
    numbers = [name for name in frame if name not in text]
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), text),
        ),
        LogisticRegression(C=0.01 if len(numbers) > 30 else 0.1, max_iter=2000),
    )


def report(n_subjects: int, seed: int, effect: float = 1.0) -> dict[str, float]:
    cohort = pp.datasets.sample_tn(n_subjects, random_state=seed, effect=effect)
    outcome = cohort.outcome("mvd_response").dropna()
    people = cohort.subjects.loc[outcome.index]
    y = outcome.to_numpy(dtype=int)
    truth = people["true_response_probability"]
    result = {"n": len(y), "rate": y.mean()}
    result["true probability"] = roc_auc_score(y, truth) if truth.nunique() > 1 else 0.5
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    out_of_fold = {}
    for name, everybody in blocks(cohort).items():
        frame = everybody.loc[outcome.index]
        has = frame.notna().any(axis=1).to_numpy()
        score = np.full(len(y), np.nan)
        score[has] = cross_val_predict(
            model(frame[has]), frame[has], y[has], cv=folds, method="decision_function"
        )
        out_of_fold[name] = score
        result[name] = roc_auc_score(y[has], score[has])
    fused = pd.DataFrame(out_of_fold).drop(columns="clinic")
    values = fused.fillna(0.0).join(fused.isna().astype(float), rsuffix=" missing")
    stacked = cross_val_predict(
        LogisticRegression(C=0.1), values, y, cv=folds, method="decision_function"
    )
    result["all, stacked"] = roc_auc_score(y, stacked)
    return result


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Skipping features without any observed values")
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    seeds = [int(value) for value in sys.argv[2:]] or [0]
    for effect in (1.0, 0.0):
        table = pd.DataFrame([report(size, seed, effect) for seed in seeds], index=seeds)
        print(f"\neffect={effect}, n_subjects={size}, seeds {seeds}: AUC of mvd_response")
        print(table.agg(["mean", "std"]).T.round(3).to_string())
