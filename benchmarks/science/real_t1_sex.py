"""Sex from real T1 scans of a few people: what the whole chain gives where n is small.

Scans go onto the grid of SPM12, and in the same folds stand: the size of the head as the
registration found it, the intracranial volume of a segmentation, principal components of the
registered scans with a logistic ridge, and the network with a random frozen trunk and trained
for a few epochs. Nothing is tuned, and whatever comes out is printed with its interval.

    python benchmarks/science/real_t1_sex.py FOLDER --out NORMALISED

FOLDER has `t1/*.nii.gz`, `participants/participants.csv` (MRID, Sex) and `DLMUSE_Volumes.csv`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from precisionpain import Cohort
from precisionpain.cohort import Outcome
from precisionpain.evaluation import SubjectKFold, clinical_model, cross_validate
from precisionpain.mtbi import ChronicPainClassifier, min_max, normalize_t1

NETWORK: dict[str, Any] = {
    "depth": 10, "stem": "medicalnet", "width": 16, "random_state": 0, "progress": False,
    "entities": {"space": "MNI152"},
}  # fmt: skip
INTRACRANIAL = "DL_MUSE_Volume_702"


def read(folder: Path, out: Path) -> Cohort:
    """Read the people, normalise their scans, and make a cohort of who has one."""
    people = pd.read_csv(folder / "participants" / "participants.csv", index_col="MRID")
    paths = [str(folder / "t1" / f"{name}_T1.nii.gz") for name in people.index]
    images = pd.DataFrame(
        {"subject_id": people.index, "visit": "baseline", "contrast": "T1w", "path": paths}
    )
    done = normalize_t1(Cohort(people, images=images), out, progress=False)
    table = done.measurements["t1_quality"].set_index("subject_id").loc[people.index]
    doubtful = int((table["doubts"].fillna("") != "").sum())
    print(f"normalised {table['normalized'].sum()} of {len(table)}, doubtful {doubtful}")
    volumes = pd.read_csv(folder / "DLMUSE_Volumes.csv", index_col="MRID")
    known = table["normalized"].astype(bool)
    columns = pd.DataFrame(
        {
            "woman": people["Sex"] == "F",
            # Of the affine from the template to the head: its volume, on a logarithmic scale.
            "log_head_size": table["log_jacobian_max"],
            "intracranial_ml": volumes[INTRACRANIAL].reindex(people.index) / 1000,
        }
    )
    return Cohort(
        columns[known],
        columns={"woman": "outcome", "log_head_size": "predictor", "intracranial_ml": "predictor"},
        images=done.images[done.images["subject_id"].isin(known.index[known])],
        outcomes={"woman": Outcome(column="woman", positive=(True,))},
    )


def voxels(people: Cohort) -> np.ndarray:
    """One row for each person: the registered scan, every other voxel."""
    scans = [person.image("T1w", space="MNI152").get_fdata() for person in people]
    return np.stack([min_max(scan)[::2, ::2, ::2].ravel() for scan in scans])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    given = parser.parse_args()
    cohort = read(given.folder, given.out)
    models = {
        "size of the head": clinical_model(columns=["log_head_size"]),
        "intracranial volume": clinical_model(columns=["intracranial_ml"]),
        "components + ridge": make_pipeline(
            FunctionTransformer(voxels), StandardScaler(), PCA(5, random_state=0),
            StandardScaler(), LogisticRegression(C=0.1),
        ),
        "network, frozen at random": ChronicPainClassifier(freeze=True, n_epochs=30, **NETWORK),
        "network, trained": ChronicPainClassifier(
            n_epochs=given.epochs, learning_rate=1e-3, precise_bn=True, **NETWORK
        ),
    }  # fmt: skip
    women = int(cohort.outcome("woman").sum())
    print(f"{len(cohort)} people, {women} women, {given.folds} folds")
    folds = SubjectKFold(given.folds, stratify=True, random_state=0)
    for name, model in models.items():
        start = time.perf_counter()
        found = cross_validate(model, cohort, "woman", folds, baseline=None, n_permutations=1)
        low, high = found.auc.ci_low, found.auc.ci_high
        print(f"{name:28} AUC {found.auc.auc:.2f} ({low:.2f} to {high:.2f}), "
              f"accuracy {found.frame()['accuracy'].mean():.2f}, "
              f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
