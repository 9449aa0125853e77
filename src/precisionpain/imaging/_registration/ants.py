"""Registration by ANTs, in a process of its own with one thread and a fixed seed.

ITK reads the number of threads once, when it is first used, and sums over several threads in
whatever order they end: only a fresh process gives the same result every time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, MissingModalityError
from .template import Template

__all__ = ["ants_register", "n4"]

_KINDS = {"affine": "Affine", "rigid": "Rigid", "syn": "SyN"}
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK counts mm to the left and backward

_REGISTER = """
import json, sys
import numpy as np
import ants
folder, kind = sys.argv[1:]
read = lambda name: ants.image_read(f"{folder}/{name}.nii.gz")
fixed, moving, mask, grid = read("template"), read("scan"), read("mask"), read("grid")
found = ants.registration(
    fixed, moving, kind, initial_transform="Identity", mask=mask, random_seed=1,
    outprefix=f"{folder}/found_",
)
moved = ants.apply_transforms(grid, moving, found["fwdtransforms"], interpolator="linear")
ants.image_write(moved, f"{folder}/moved.nii.gz")
files = found["fwdtransforms"]
transform = ants.read_transform(files[-1])
report = {"parameters": list(map(float, transform.parameters)),
          "fixed": list(map(float, transform.fixed_parameters))}
if kind == "SyN":
    bent = ants.create_jacobian_determinant_image(fixed, files[0], do_log=True).numpy()
    bent = bent[mask.numpy() > 0]
    report["log_jacobian"] = [float(bent.min()), float(bent.max())]
print(json.dumps(report), file=open(f"{folder}/report.json", "w"))
"""

_N4 = """
import sys
import ants
folder = sys.argv[1]
scan = ants.image_read(f"{folder}/scan.nii.gz")
mask = ants.get_mask(scan)
ants.image_write(ants.n4_bias_field_correction(scan, mask=mask), f"{folder}/moved.nii.gz")
"""


def ants_register(
    image: Any, start: np.ndarray, template: Template, method: str, grid: tuple[Any, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float] | None]:
    """Return the scan on the grid, the affine from template to scan, and the log-Jacobian.

    `start` is a rigid transform from template to scan; the search goes on from there.
    """
    import nibabel

    moved_there = np.linalg.inv(start) @ image.affine
    data = np.asarray(image.dataobj, dtype=np.float32)
    files = {
        "template": template.like(template.brain),
        "mask": template.like(template.distance <= 2.0),
        "scan": nibabel.Nifti1Image(data, moved_there),
        "grid": nibabel.Nifti1Image(np.zeros(grid[0], np.float32), grid[1]),
    }
    with tempfile.TemporaryDirectory(prefix="precisionpain-") as folder:
        _run(_REGISTER, files, folder, _KINDS[method])
        written: Any = nibabel.load(Path(folder) / "moved.nii.gz")
        moved = np.asarray(written.dataobj, dtype=np.float32)
        report = json.loads((Path(folder) / "report.json").read_text())
    linear = np.array(report["parameters"][:9]).reshape(3, 3)
    centre, shift = np.array(report["fixed"][:3]), np.array(report["parameters"][9:])
    found = np.eye(4)
    found[:3, :3] = linear
    found[:3, 3] = shift + centre - linear @ centre
    log_jacobian = report.get("log_jacobian")
    return moved, start @ _LPS @ found @ _LPS, tuple(log_jacobian) if log_jacobian else None


def n4(image: Any) -> Any:
    """Take a smooth bias field out of a scan."""
    import nibabel

    data = np.asarray(image.dataobj, dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="precisionpain-") as folder:
        _run(_N4, {"scan": nibabel.Nifti1Image(data, image.affine)}, folder)
        written: Any = nibabel.load(Path(folder) / "moved.nii.gz")
        flat = np.asarray(written.dataobj, dtype=np.float32)
    return nibabel.Nifti1Image(flat, image.affine)


def _run(code: str, files: dict[str, Any], folder: str, *arguments: str) -> None:
    import nibabel

    if importlib.util.find_spec("ants") is None:
        raise MissingModalityError(
            "this needs ANTs, which isn't installed",
            remedy="install the extra: pip install 'precisionpain[ants]'",
        )
    for name, image in files.items():
        nibabel.save(image, Path(folder) / f"{name}.nii.gz")
    pinned = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "ANTS_RANDOM_SEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, folder, *arguments],
        env={**os.environ, **pinned},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FormatError(f"ANTs failed with exit status {done.returncode}: {last}")
