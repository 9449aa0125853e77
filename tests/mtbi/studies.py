"""People for tests of the study as one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import precisionpain as pp
from precisionpain.mtbi import BEDSIDE_FEATURES

from .scans import people

TINY = {
    "depth": 10, "stem": "medicalnet", "width": 4, "n_slices": 12, "n_epochs": 1, "n_splits": 2,
    "device": "cpu", "progress": False,
}  # fmt: skip
CHRONIC = pp.Outcome(column="chronic_pain", positive=(True,))


def few_trees(kind, features, **options):
    """How good a forest is isn't the question here."""
    size = {} if kind == "logistic" else {"n_estimators": 10}
    return pp.mtbi.bedside_model(kind, features, **options, **size)


def made(folder: Path, n: int = 16, *, bedside: bool = True) -> pp.Cohort:
    """People with noise for scans, half of them with chronic pain."""
    scanned, y = people(folder, n)
    subjects = scanned.subjects.assign(chronic_pain=y.astype(bool))
    if bedside:
        rng = np.random.default_rng(1)
        for name in BEDSIDE_FEATURES:
            subjects[name] = rng.normal(50, 10, n).round(1)
    return pp.Cohort(
        subjects, images=scanned.images, columns={"chronic_pain": "outcome"},
        outcomes={"chronic_pain": CHRONIC},
    )  # fmt: skip
