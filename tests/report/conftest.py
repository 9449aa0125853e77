"""A small made-up cohort whose truth is known, and a study of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, Column, Outcome
from precisionpain.report import Study, run_study


def make_cohort(n: int = 120, effect: float = 0.0, seed: int = 3) -> Cohort:
    """Return people whose age raises the odds of a response by exp(effect) per SD."""
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"pt-{i:04d}x" for i in range(n)], name="subject_id")
    age = rng.normal(60, 10, n)
    chance = 1 / (1 + np.exp(-(0.5 + effect * (age - 60) / 10)))
    pain = np.where(rng.random(n) < chance, 1, 4).astype(float)
    pain[:4] = np.nan
    subjects = pd.DataFrame(
        {
            "site": rng.choice(["north", "south"], n),
            "age": age,
            "sex": rng.choice(["female", "male"], n),
            "sindou_grade": np.where(rng.random(n) < 0.25, np.nan, rng.integers(0, 4, n)),
            "severity": rng.integers(3, 10, n).astype(float),
            "surgery": np.where(np.arange(n) % 12 == 11, "none", "MVD"),
            "pain_after": pain,
        },
        index=ids,
    )
    return Cohort(
        subjects,
        images=pd.DataFrame(
            {"subject_id": ids[:50], "visit": "preop", "contrast": "T1w", "present": False,
             "path": [f"{i}.nii.gz" for i in range(50)]}
        ),
        measurements={"nerve": pd.DataFrame({"subject_id": ids[::2], "area": 3.1})},
        # pain_after is left a predictor on purpose: a study must bar it by itself.
        columns={"sindou_grade": Column(kind="ordinal"), "age": Column(unit="years")},
        outcomes={
            "mvd_response": Outcome(
                column="pain_after", at_most=2, where={"surgery": "MVD"},
                description="little pain after decompression",
            ),
            "pain": Outcome(column="pain_after", kind="number"),
        },
        name="made <up> & small",
        synthetic=True,
        meta={"source": "made up in a test", "index_event": "surgery"},
        provenance=[
            {"step": "made", "table": "subjects", "column": "age", "n": 1,
             "detail": "the age of pt-0007x was corrected"}
        ],
    )  # fmt: skip


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return make_cohort()


@pytest.fixture(scope="session")
def saved(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("study") / "new" / "report"
    counts = {"logistic": 19, "random_forest": 2, "xgboost": 2, "Sindou grade only": 3}
    study = run_study(cohort, n_permutations=counts, n_bootstrap=20, out=folder, progress=False)
    return study, folder


@pytest.fixture(scope="session")
def study(saved: tuple[Study, Path]) -> Study:
    return saved[0]


@pytest.fixture(scope="session")
def folder(saved: tuple[Study, Path]) -> Path:
    return saved[1]
