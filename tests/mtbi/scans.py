"""Small made-up scans on the grid of SPM12 with 8 mm voxels, for tests of the classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

import precisionpain as pp
from precisionpain.mtbi import ChronicPainClassifier

SHAPE = (21, 25, 20)  # of the grid, x from left to right of the file
SLAB = (12, 25, 21)  # axial
AFFINE = np.array([[-8, 0, 0, 78], [0, 8, 0, -112], [0, 0, 8, -70], [0, 0, 0, 1]], dtype=float)
TINY: dict[str, Any] = {
    "depth": 10, "stem": "medicalnet", "width": 4, "n_slices": 12, "n_epochs": 2,
    "device": "cpu", "progress": False,
}  # fmt: skip


def classifier(**settings: Any) -> ChronicPainClassifier:
    return ChronicPainClassifier(**(TINY | settings))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 10, SHAPE).astype(np.float32)


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.Nifti1Image(data, affine).to_filename(path)
    return path


def cohort_of(paths: dict[str, Path], **columns: Any) -> pp.Cohort:
    """One T1 scan at baseline for each person."""
    images = pd.DataFrame(
        {"subject_id": list(paths), "visit": "baseline", "contrast": "T1w",
         "path": [str(path) for path in paths.values()], "present": True, **columns}
    )  # fmt: skip
    subjects = pd.DataFrame({"age": np.arange(len(paths)) + 20.0}, index=list(paths))
    return pp.Cohort(subjects, images=images)


def people(folder: Path, n: int = 12, *, bright: bool = False) -> tuple[pp.Cohort, pd.Series]:
    """Scans of noise, every second person positive, where `bright` with a bright block."""
    y = pd.Series([i % 2 for i in range(n)], index=[f"p{i:02}" for i in range(n)])
    paths = {}
    for i, (name, label) in enumerate(y.items()):
        data = noise(i)
        if bright:
            data[0, 0, 0] = 300  # the brightest voxel of everybody, outside of the slab
            if label:
                data[7:14, 8:16, 6:13] = 300
        paths[str(name)] = write(folder / f"{name}_T1w.nii", data)
    return cohort_of(paths), y
