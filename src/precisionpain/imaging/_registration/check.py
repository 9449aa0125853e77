"""Did the registration succeed? Measures of it, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..grids import BOX_MM, resample_to_grid
from .affine import local_contrast
from .template import STEP_MM, Template

__all__ = ["doubts_of", "measure", "problems_of", "rough_brain"]

# Below the first number a registration is refused, below the second it is doubted. Of twelve
# scans of old people right registrations had folds of 0.36 to 0.61 and masks of 0.92 to 0.95;
# wrong poses had folds up to 0.25, and the refusal lies in the middle of the gap. Those that
# had settled on the outline of the head had folds up to 0.41, but masks below 0.75. On eleven
# others: right from 0.36, wrong up to 0.28 (benchmarks/science/registration_check.py).
_FOLDS = (0.30, 0.38)
_DICE = (0.80, 0.88)
_STRETCH = (0.65, 1.35)
_CLIPPED = 0.02


def measure(
    moved: Any,
    field: Any,
    template: Template,
    transform: np.ndarray | None,
    log_jacobian: tuple[float, float] | None,
) -> dict[str, float]:
    """Measure how well a scan on its grid agrees with the template.

    `field` is 1 where the grid lies in the field of view of the scan; None where that isn't
    known.
    """
    onto = (template.brain.shape, template.affine)
    scan = np.asarray(resample_to_grid(moved, *onto).dataobj)
    # The box of the grid cuts off the lowest cerebellum; it is not asked for.
    inside = template.mask & _in_box(template)
    brain = rough_brain(scan, template) & _in_box(template)
    both = int((brain & inside).sum())
    folds = [local_contrast(data, template.affine, 6.0, 30.0)[inside]
             for data in (scan, template.brain)]  # fmt: skip
    flipped = template.brain[::-1] if _is_centred(template) else None
    correlation = _correlation(scan[inside], template.brain[inside])
    mirrored = np.nan
    if flipped is not None and np.abs(flipped - template.brain)[inside].mean() > 0.01:
        mirrored = correlation - _correlation(scan[inside], flipped[inside])
    found = {
        "template_correlation": correlation,
        "folds_correlation": _correlation(*folds),
        "mask_dice": 2 * both / max(int(brain.sum() + inside.sum()), 1),
        "left_right_gain": mirrored,
        "fov_clipping": np.nan,
        "min_stretch": np.nan,
        "max_stretch": np.nan,
        "log_jacobian_min": np.nan,
        "log_jacobian_max": np.nan,
    }
    if field is not None:
        seen = np.asarray(resample_to_grid(field, *onto, order=0).dataobj)
        found["fov_clipping"] = float((seen[inside] < 0.5).mean())
    if transform is not None:
        stretch = np.linalg.svd(transform[:3, :3])[1]
        found["min_stretch"], found["max_stretch"] = float(stretch.min()), float(stretch.max())
        total = float(np.log(np.linalg.det(transform[:3, :3])))
        low, high = log_jacobian or (0.0, 0.0)
        found["log_jacobian_min"], found["log_jacobian_max"] = total + low, total + high
    return found


def problems_of(found: Mapping[str, float]) -> tuple[str, ...]:
    """Say what of the measures refutes the registration."""
    said = _low(found, 0)
    low, high = _STRETCH
    if found["min_stretch"] < low or found["max_stretch"] > high:
        said.append(
            f"the brain would be stretched by {found['min_stretch']:.2f} to "
            f"{found['max_stretch']:.2f}, beyond {low} to {high}"
        )
    if found["fov_clipping"] > _CLIPPED:
        said.append(f"{found['fov_clipping']:.0%} of the brain lie outside of the field of view")
    return tuple(said)


def doubts_of(found: Mapping[str, float]) -> tuple[str, ...]:
    """Say what of the measures is worse than usual, without refuting the registration."""
    return () if problems_of(found) else tuple(_low(found, 1))


def _low(found: Mapping[str, float], zone: int) -> list[str]:
    said = []
    if not found["folds_correlation"] >= _FOLDS[zone]:
        said.append(
            f"the folds correlate by {found['folds_correlation']:.2f} with those of the template, "
            f"below {_FOLDS[zone]}"
        )
    if not found["mask_dice"] >= _DICE[zone]:
        said.append(
            f"the masks of the brains overlap by {found['mask_dice']:.2f}, below {_DICE[zone]}"
        )
    return said


def rough_brain(scan: np.ndarray, template: Template) -> np.ndarray:
    """Find the brain on the template's lattice: what is bright, near its mask, and in one piece.

    Weight-free: a threshold between dark and bright near the template's brain, then thin
    bridges to the scalp are cut, and the largest piece is filled.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    near = template.distance <= 8.0
    values = scan[near]
    if values.min() == values.max():
        return np.zeros(scan.shape, bool)
    bright = near & (scan > threshold_otsu(np.minimum(values, np.percentile(values, 98))) * 0.8)
    ball = ndimage.distance_transform_edt(bright, sampling=STEP_MM) > 4.0
    labels, count = ndimage.label(ball)
    if not count:
        return np.zeros(scan.shape, bool)
    largest = labels == 1 + np.argmax(np.bincount(labels[labels > 0])[1:])
    grown = ndimage.distance_transform_edt(~largest, sampling=STEP_MM) <= 6.0
    # Fluid in folds and ventricles belongs to it.
    closed = ndimage.binary_closing(np.pad(grown & bright | largest, 8), iterations=5)
    return ndimage.binary_fill_holes(closed[8:-8, 8:-8, 8:-8]) & near


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _in_box(template: Template) -> np.ndarray:
    inside = np.ones(template.brain.shape, bool)
    for axis, (low, high) in enumerate(BOX_MM):
        length = template.brain.shape[axis]
        mm = template.affine[axis, axis] * np.arange(length) + template.affine[axis, 3]
        shape = [1, 1, 1]
        shape[axis] = length
        inside &= ((mm >= low) & (mm <= high)).reshape(shape)
    return inside


def _is_centred(template: Template) -> bool:
    """Whether the first axis has its middle at x = 0, so that reversing it mirrors the brain."""
    length = template.brain.shape[0]
    return abs(template.affine[0, 0] * (length - 1) / 2 + template.affine[0, 3]) < 1e-6
