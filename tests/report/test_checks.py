"""Each planted defect is found, and a clean cohort is clean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, Column
from precisionpain.report import check_cohort


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    n = 60
    rng = np.random.default_rng(0)
    ids = [f"q{i:03d}" for i in range(n)]
    people = pd.DataFrame(
        {
            "site": ["A"] * 45 + ["B"] * 12 + [None] * 3,
            "age": np.where(np.arange(n) == 7, 130.0, rng.normal(60, 5, n)),
            "days": np.where(np.arange(n) < 2, -3.0, 10.0),
            "level": ["x"] * 28 + ["y"] * 30 + ["z"] * 2,
            "same": 1.0,
            "gaps": np.where(np.arange(n) < 20, np.nan, rng.normal(0, 1, n)),
            "far": np.where(np.arange(n) == 3, 1e6, rng.normal(0, 1, n)),
            "late": rng.normal(0, 1, n),
        },
        index=ids,
    )
    cohort = Cohort(
        people,
        visits=pd.DataFrame({"subject_id": ids, "visit": "session2"}),
        images=pd.DataFrame({"subject_id": ids, "visit": "preop", "contrast": "T1w",
                             "path": [f"{i}.nii" for i in ids],
                             "present": [True] * 50 + [False] * 10}),
        columns={
            "age": Column(minimum=18, maximum=110, unit="years"),
            "days": Column(kind="duration"),
            "late": Column(visit="followup"),
            "gone": Column(role="unused", reason="no values"),
        },
    )  # fmt: skip
    return check_cohort(cohort)


@pytest.mark.parametrize(
    ("check", "item", "n", "words"),
    [
        ("missing values", "gaps", 20, "20 of 60 (33%)"),
        ("the same for everybody", "same", 60, "can tell nobody apart"),
        ("rare levels", "level", 2, "z 2"),
        ("beyond the plausible range", "age", 1, "18 to 110 years"),
        ("beyond the plausible range", "days", 2, "outside 0 to"),
        ("far from the others", "far", 1, "1e+06"),
        ("visits without a place in time", "session2", 60, "count as known before"),
        ("images not on disk", "T1w", 10, "10 of 60"),
        ("columns that can't predict", "", 1, "'gone'"),
        ("columns that can't predict", "", 1, "'late'"),
    ],
)
def test_a_planted_defect_is_found(found, check, item, n, words):
    rows = found[(found["check"] == check) & (found["item"] == item) & (found["n"] == n)]
    assert rows["finding"].str.contains(words, regex=False).any(), found.to_string()
    assert set(rows["state"]) <= {"look", "note"}


def test_sites_are_counted(found):
    rows = found[found["check"] == "sites"]
    assert rows["finding"].tolist() == ["3 people without a site", "unequal: A 45, B 12"]


def test_no_one_is_named(found):
    assert not found.astype(str).apply(lambda c: c.str.contains(r"\bq0\d\d\b")).any().any()


def test_a_clean_cohort_is_clean():
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"age": rng.uniform(40, 80, 50)}, index=[f"p{i}" for i in range(50)])
    checks = check_cohort(Cohort(people))
    assert set(checks["state"]) == {"ok"}
    assert checks["check"].is_unique
