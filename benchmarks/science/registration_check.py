"""Can the check of a registration tell right from wrong? On scans whose brains were segmented.

Each scan is registered, then placed wrongly on purpose: turned by 20 to 40 degrees, moved by 30
to 60 mm, both, or with its back to the front; once as it is, once after climbing from there, as
a registration that starts wrongly does. What is right is said by a segmentation of the brain,
which the check never sees: its overlap with the template's mask, and for the climbs also how far
they end from the registration.

    python benchmarks/science/registration_check.py SCANS SEGMENTATIONS --table FILE.csv

The first scans (`--first`) are for choosing thresholds, the others for testing them. "Pose
alone" is the registration without its size, which these measures would refuse: the library
judges a rigid registration together with the size that was found.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial.transform import Rotation

from precisionpain.imaging import resample_to_grid, spm_grid
from precisionpain.imaging._registration.affine import (
    _Fit,
    _prepare_scan,
    _refine,
    align,
    rigid_part,
)
from precisionpain.imaging._registration.check import doubts_of, measure, problems_of
from precisionpain.imaging._registration.template import Template, load_template

NEAR_MM, FAR_MM = 4.0, 10.0
MEASURES = ["truth_dice", "off_mm", "folds_correlation", "mask_dice", "template_correlation",
            "min_stretch", "max_stretch"]  # fmt: skip


def wrong_poses(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Make turns about the middle of the brain and moves in mm that no scan should keep."""

    def turn() -> np.ndarray:
        axis = rng.normal(size=3)
        angle = rng.uniform(20, 40) * axis / np.linalg.norm(axis)
        return Rotation.from_rotvec(angle, degrees=True).as_matrix()

    def move() -> np.ndarray:
        way = rng.normal(size=3)
        return rng.uniform(30, 60) * way / np.linalg.norm(way)

    back = Rotation.from_euler("z", 180, degrees=True).as_matrix()
    return {"turned": (turn(), np.zeros(3)), "moved": (np.eye(3), move()),
            "both": (turn(), move()), "back to front": (back, np.zeros(3))}  # fmt: skip


def apart(one: np.ndarray, other: np.ndarray, template: Template) -> float:
    """Mean distance (mm) of where two transforms place the points of the brain."""
    points = np.argwhere(template.mask[::4, ::4, ::4]) * 4
    points = points @ template.affine[:3, :3].T + template.affine[:3, 3]
    gap = one - other
    return float(np.linalg.norm(points @ gap[:3, :3].T + gap[:3, 3], axis=1).mean())


def overlap(brain: Any, transform: np.ndarray, template: Template) -> float:
    """Dice of the segmented brain and the template's."""
    onto = (template.brain.shape, template.affine)
    there = np.asarray(resample_to_grid(brain, *onto, transform=transform).dataobj) > 0.5
    return float(2 * (there & template.mask).sum() / (there.sum() + template.mask.sum()))


def rows_of(scan: Any, labels: Any, template: Template, seed: int) -> list[dict[str, Any]]:
    """Measure the registration of one scan, and its wrong poses."""
    # The segmentation leaves out the fluid in the folds, the template's mask holds it.
    mask = ndimage.binary_closing(np.pad(np.asarray(labels.dataobj) > 0, 5), iterations=4)
    mask = ndimage.binary_fill_holes(mask)[5:-5, 5:-5, 5:-5]
    brain = nibabel.Nifti1Image(mask.astype(np.float32), labels.affine)
    grid = spm_grid()
    data = np.asarray(scan.dataobj, dtype=np.float32)
    ones = nibabel.Nifti1Image(np.ones(scan.shape, np.uint8), scan.affine)
    found, _ = align(data, scan.affine, template)
    poses = {"affine": found, "rigid": rigid_part(found, template.centre)}
    middle = (found @ np.append(template.centre, 1))[:3]
    small, small_affine, _ = _prepare_scan(data, scan.affine)
    for name, (turn, move) in wrong_poses(np.random.default_rng(seed)).items():
        linear, shift = found[:3, :3] @ turn, middle + move - template.centre
        climbed = _refine(_Fit(linear, shift, -1.0), small, small_affine, template, 6.0, 2, 30.0,
                          "affine", steps=40)  # fmt: skip
        for end, at, by in ((name, linear, shift),
                            (f"{name}, climbed", climbed.linear, climbed.shift)):  # fmt: skip
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = at, template.centre + by - at @ template.centre
            poses[end] = pose
    rows = []
    for name, pose in poses.items():
        moved = resample_to_grid(scan, *grid, transform=pose)
        field = resample_to_grid(ones, *grid, order=0, transform=pose)
        rows.append({"pose": name, "truth_dice": overlap(brain, pose, template),
                     "off_mm": apart(pose, found, template),
                     **measure(moved, field, template, pose, None)})  # fmt: skip
    return rows


def verdict(row: dict[str, Any]) -> str:
    """Say what `register_to_template` would do with a pose."""
    return "refused" if problems_of(row) else "doubted" if doubts_of(row) else "accepted"


def kinds_of(table: pd.DataFrame) -> pd.Series:
    """Say which poses are right, which are wrong, and which are neither."""
    said = pd.Series("between", index=table.index)
    said[table["off_mm"] >= FAR_MM] = "wrong"
    said[table["off_mm"] <= NEAR_MM] = "right"
    said[table["pose"] == "rigid"] = "pose alone"
    return said


def in_order(path: Path) -> list[Any]:
    """Sort Subj2 before Subj10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdigit() else part for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path)
    parser.add_argument("segmentations", type=Path, help="files whose names begin as the scans'")
    parser.add_argument("--table", type=Path, help="measures, written or read again")
    parser.add_argument("--first", type=int, default=12)
    given = parser.parse_args()
    if given.table and given.table.exists():
        table = pd.read_csv(given.table)
    else:
        template, rows = load_template(None), []
        paths = sorted(given.scans.glob("*.nii*"), key=in_order)
        for number, path in enumerate(paths):
            stem = path.name.split(".nii")[0]
            labels = nibabel.load(next(given.segmentations.glob(f"{stem}*")))
            found = rows_of(nibabel.load(path), labels, template, seed=number)
            rows += [{"scan": stem, "number": number, **row} for row in found]
            print(stem, flush=True)
        table = pd.DataFrame(rows)
        if given.table:
            table.to_csv(given.table, index=False)
    table["kind"] = kinds_of(table)
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    table["part"] = np.where(table["number"] < given.first, "choosing", "testing")
    for part, rows in table.groupby("part", sort=True):
        print(f"\n{part}: {rows['scan'].nunique()} scans")
        print(rows.groupby("kind")[MEASURES].agg(["min", "max"]).round(2).to_string())
        print(pd.crosstab(rows["kind"], rows["verdict"]).to_string())


if __name__ == "__main__":
    main()
