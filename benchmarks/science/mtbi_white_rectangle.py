"""Train the classifier of scans on a task that it can't fail: a white rectangle in the ill.

Every measure of every fold has to be 1. A network that misses it has a fault in its reading,
scaling, training or evaluation, whatever the disease.

    python benchmarks/science/mtbi_white_rectangle.py                      # 128 people, 8 folds
    python benchmarks/science/mtbi_white_rectangle.py --folds 2            # a look, in minutes
    python benchmarks/science/mtbi_white_rectangle.py --paper              # the paper's network
    python benchmarks/science/mtbi_white_rectangle.py --scans FOLDER       # T1 on SPM12's grid

The network is small unless `--paper` is given, so that it runs on a few processor cores.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from precisionpain import Cohort
from precisionpain.cohort import Outcome
from precisionpain.datasets import sample_mtbi
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.mtbi import ChronicPainClassifier, white_rectangle

METRICS = ("auc", "accuracy", "sensitivity", "specificity", "precision", "f1")
SMALL: dict[str, Any] = {
    "depth": 10, "stem": "medicalnet", "width": 16, "learning_rate": 1e-3, "precise_bn": True,
}  # fmt: skip


def people_of(folder: Path, seed: int) -> Cohort:
    """Make a cohort of the scans in a folder; every other one, in random order, is ill."""
    paths = sorted(path for path in folder.iterdir() if path.name.endswith((".nii", ".nii.gz")))
    names = [path.name.split(".nii")[0] for path in paths]
    ill = np.random.default_rng(seed).permutation(np.arange(len(paths)) % 2 == 0)
    files = [str(path) for path in paths]
    images = pd.DataFrame(
        {"subject_id": names, "visit": "baseline", "contrast": "T1w", "path": files}
    )
    return Cohort(
        pd.DataFrame({"chronic_pain": ill}, index=names),
        columns={"chronic_pain": "outcome"},
        images=images,
        outcomes={"chronic_pain": Outcome(column="chronic_pain", positive=(True,))},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=8)
    parser.add_argument("--people", type=int, help="default 128, or 20 for each of few folds")
    parser.add_argument("--epochs", type=int, help="default as many as make 120 steps")
    parser.add_argument("--plane", default="axial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--paper", action="store_true", help="ResNet-18 with the paper's stem")
    parser.add_argument("--scans", type=Path, help="folder of T1 scans on the grid of SPM12")
    given = parser.parse_args()
    start = time.perf_counter()
    if given.scans is None:
        cohort = sample_mtbi(
            given.people or min(128, 20 * given.folds), given.seed, images=True, n_jobs=2
        )
    else:
        cohort = people_of(given.scans, given.seed)
    prepared = time.perf_counter()
    network = {} if given.paper else SMALL
    steps = math.ceil(len(cohort) * (1 - 1 / given.folds) / 6)
    epochs = given.epochs or math.ceil(120 / steps)
    model = ChronicPainClassifier(
        given.plane, n_epochs=epochs, random_state=given.seed, progress=False, **network
    )
    folds = SubjectKFold(given.folds, stratify=True, random_state=given.seed)
    with tempfile.TemporaryDirectory() as out:
        planted = white_rectangle(cohort, "chronic_pain", out=out)
        result = cross_validate(
            model, planted, "chronic_pain", folds, baseline=None, n_bootstrap=2, n_permutations=1
        )
    table = result.frame()[list(METRICS)]
    print(f"{len(cohort)} people, {given.folds} folds, {epochs} epochs, {given.plane}")
    print(f"scans {prepared - start:.0f} s, training {time.perf_counter() - prepared:.0f} s")
    print(table.round(3).to_string())
    worst = float(table.to_numpy().min())
    print(f"worst measure {worst:.3f}, pooled AUC {result.auc.auc:.3f}")
    raise SystemExit(0 if worst == 1 else 1)


if __name__ == "__main__":
    main()
