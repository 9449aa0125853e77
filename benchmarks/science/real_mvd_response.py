"""Who responds to decompression, in the real cohort: blocks, fusion, and the honest verdict.

OpenNeuro ds005713 (CC0): 75 people with a decompression and its result at discharge. Blocks are
the clinic, the neurovascular conflict on MRI, psychology and cognition (which a quarter of the
people lacks), and the quality measures of the scans. All models are judged in the same repeated
folds, with all that learns inside of them; then each block is left out in turn. The two follow-ups:
pain at the second one as a number, and as lasting relief; of the first the tables hold no outcome.

    python benchmarks/science/real_mvd_response.py --data FOLDER [--repeats 10] [--permutations 200]

FOLDER holds the tables of the data set, as fetched from OpenNeuro.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from precisionpain import Cohort
from precisionpain.datasets import fetch_ds005713
from precisionpain.errors import PrecisionPainWarning
from precisionpain.evaluation import (
    ClinicalFeatures,
    CVResult,
    RepeatedSubjectKFold,
    cross_validate,
    cross_validate_number,
)
from precisionpain.fusion import (
    EarlyRegression,
    FeatureBlock,
    ResponseModel,
    TableFeatures,
    block_model,
    early_fusion,
    late_fusion,
)
from precisionpain.stats import sample_size_verdict

CONFLICT = ["sindou_grade", "nvc_side", "dolichoectasia"]
NOMOGRAM = "a published nomogram of recurrence (n = 845 and 209): C 0.77 and 0.75"


def blocks(cohort: Cohort) -> dict[str, Any]:
    """Return the blocks; questionnaires aren't part of the clinic."""
    asked = [name for name in cohort.predictors if name.startswith(("psychology_", "cognition_"))]
    quality = TableFeatures("mriqc_T1w", visit="preop", repeats="mean")
    return {
        "clinic": ClinicalFeatures(exclude=[*CONFLICT, *asked]),
        "conflict": ClinicalFeatures(CONFLICT),
        "psychology": FeatureBlock(ClinicalFeatures(asked), reduce="pca"),
        "quality": FeatureBlock(quality, reduce="pca"),
    }


def line(result: CVResult, reference: CVResult | None) -> str:
    area, slope = result.auc, result.calibration.slope
    low, high = result.frame()["auc"].quantile([0.1, 0.9])
    text = (
        f"{result.name:22s} AUC {area.auc:.3f} ({area.ci_low:.3f} to {area.ci_high:.3f}), folds "
        f"{low:.2f} to {high:.2f}; slope {slope:.2f}"
    )
    if reference is not None:
        found = result.compare(reference).corrected
        text += (
            f"; less the clinic {found.mean:+.3f} ({found.ci_low:+.3f} to {found.ci_high:+.3f}), "
            f"p {found.p_value:.2f}"
        )
    return text


def judge(cohort: Cohort, outcome: str, repeats: int, permutations: int) -> None:
    people = cohort.require(outcome)
    y = people.outcome(outcome)
    made = blocks(people)
    print(f"\n{outcome}: {len(y)} people, {int(y.sum())} events")
    known = FeatureBlock(made["psychology"].features).fit(people.known_at_index(), y)
    print(f"psychology and cognition known of {known.n_available_}, nobody left out for that")
    print(sample_size_verdict(len(y), int(y.sum()), 10))
    folds = RepeatedSubjectKFold(5, n_repeats=repeats, random_state=0)
    cheap: dict[str, Any] = {"baseline": None, "n_bootstrap": 200, "n_permutations": 1}
    clinic = cross_validate(
        block_model(made["clinic"]), people, outcome, folds, name="clinic", **cheap
    )
    print(line(clinic, None))
    models: dict[str, Any] = {
        "conflict": block_model(made["conflict"]),
        "psychology": block_model(made["psychology"]),
        "quality": block_model(made["quality"]),
        "early": early_fusion(made),
        "early, gated": early_fusion(made, gate=0.5),
        "late": late_fusion(made, n_repeats=1),
        "response model": ResponseModel(made),
    }
    for name in list(made)[1:]:
        models[f"early without {name}"] = early_fusion(
            {key: value for key, value in made.items() if key != name}
        )
    results = {}
    for name, model in models.items():
        results[name] = cross_validate(model, people, outcome, clinic, name=name, **cheap)
        print(line(results[name], clinic), flush=True)
    if permutations:
        fused = cross_validate(
            early_fusion(made), people, outcome, RepeatedSubjectKFold(5, n_repeats=1),
            baseline=None, n_bootstrap=2, n_permutations=permutations,
        )  # fmt: skip
        print(f"permuted labels, early fusion: {fused.permutation}")
    print(f"beside it: {NOMOGRAM}")


def later_pain(cohort: Cohort, repeats: int) -> None:
    people = cohort.where(surgery="MVD").require("followup_2_pain")
    y = people.outcome("followup_2_pain")
    print(f"\npain at the second follow-up, 0 to 10: {len(y)} people, mean {y.mean():.2f}, "
          f"{(y == 0).mean():.0%} without pain")  # fmt: skip
    folds = RepeatedSubjectKFold(5, n_repeats=repeats, random_state=0)
    result = cross_validate_number(
        EarlyRegression(blocks(people)), people, "followup_2_pain", folds, name="early regression"
    )
    print(result)
    day = people.subjects["followup_2_day"].astype(float)
    print(f"asked {day.median():.0f} days after surgery (from {day.min():.0f} to {day.max():.0f}); "
          "when pain came back nobody wrote down, so that there is no time to an event: people "
          "were asked once, and lasting relief is judged as a class above")  # fmt: skip
    print(f"first follow-up: {int((cohort.subjects['followup_1_available'] == True).sum())} "  # noqa: E712
          "people have a visit, none an outcome in the tables")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with the tables; else downloaded")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--permutations", type=int, default=200)
    given = parser.parse_args()
    warnings.simplefilter("ignore", PrecisionPainWarning)
    pd.set_option("display.width", 120)
    np.set_printoptions(precision=3)
    cohort = fetch_ds005713(Path(tempfile.mkdtemp()) / "ds005713", mirror=given.data)
    for outcome in ("mvd_response", "mvd_pain_free_followup_2"):
        judge(cohort.where(diagnosis="TN"), outcome, given.repeats, given.permutations)
    later_pain(cohort, given.repeats)


if __name__ == "__main__":
    main()
