"""Affine alignment of a head with its skull to a brain without one.

Three things go wrong with a usual affine registration here. The centre of mass of a scan with a
neck is not in the brain; the whole head fits into the outline of the brain; and a bias field
or bright fat outweighs the folds. So the search starts below the top of the head from several
sides with the scale fixed, the template gets a synthetic scalp for that stage, and from then on
both images are normalised by mean and deviation of their surroundings, which leaves the folds.
Each stage maximises a correlation by Gauss–Newton steps. Nothing is random and nothing depends
on the number of threads.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from ...errors import FormatError
from ..grids import shrink_blur
from .template import STEP_MM, Template

__all__ = ["align", "local_contrast", "rigid_part"]

_RADIUS_MM = 60.0  # turns rotations and strains into mm, so that all parameters weigh the same
_UNIT = np.eye(3)
_TURNS = [np.outer(_UNIT[j], _UNIT[i]) - np.outer(_UNIT[i], _UNIT[j])
          for i, j in ((1, 2), (2, 0), (0, 1))]  # fmt: skip
_DIRECTIONS = {
    "rigid": _TURNS,
    "similarity": [*_TURNS, _UNIT],
    "affine": [np.outer(_UNIT[i], _UNIT[j]) for i, j in itertools.product(range(3), repeat=2)],
}
_PITCHES_DEG = (-30.0, 0.0, 30.0)
_LIFTS_MM = (-15.0, 15.0)
_SCALES = (0.85, 1.0)
_COARSE = (8.0, 3, 40.0)  # width of smoothing (mm), every so many voxels, window (mm)
_HEAD_TO_BRAIN = 0.8
_HEIGHT_MM = 85.0  # of the top of the head above the middle of the brain


@dataclasses.dataclass(frozen=True)
class _Fit:
    """Linear part about the centre of the template, shift in mm, and the correlation."""

    linear: np.ndarray
    shift: np.ndarray
    correlation: float


def align(data: np.ndarray, affine: np.ndarray, template: Template) -> tuple[np.ndarray, float]:
    """Find the affine that leads from mm of the template to mm of the scan.

    Returns it, and the correlation of the locally normalised images within the brain.
    """
    data, affine, threshold = _prepare_scan(data, affine)
    found = _search(data, affine, threshold, template)
    starts = [found]
    # Where fat is bright, the outline of the brain may have settled on that of the head.
    smaller = dataclasses.replace(found, linear=_HEAD_TO_BRAIN * found.linear)
    smaller = _refine(smaller, data, affine, template, *_COARSE, "similarity", steps=20)
    if not _alike(found, smaller):
        starts.append(smaller)
    fits = [
        _refine(fit, data, affine, template, 6.0, 2, 30.0, "affine", steps=25) for fit in starts
    ]
    best = max(fits, key=lambda fit: fit.correlation)
    best = _refine(best, data, affine, template, 3.0, 1, 20.0, "affine", steps=25)
    matrix = np.eye(4)
    matrix[:3, :3] = best.linear
    matrix[:3, 3] = template.centre + best.shift - best.linear @ template.centre
    return matrix, best.correlation


def rigid_part(matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the rotation nearest to an affine; it moves `centre` to the same place."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right
    rigid[:3, 3] = matrix[:3, :3] @ centre + matrix[:3, 3] - rigid[:3, :3] @ centre
    return rigid


def _prepare_scan(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Bring a scan to about 2 mm and to 0–1, with fat no brighter than white matter."""
    from skimage.filters import threshold_otsu

    some = data[::3, ::3, ::3]
    some = np.minimum(some, np.percentile(some, 98))
    if some.min() == some.max():
        raise FormatError("the image is constant: there is nothing to align")
    threshold = float(threshold_otsu(some))
    # Most of a head is brain, so that the median of what isn't air is about grey matter.
    ceiling = 1.3 * float(np.median(some[some > threshold]))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    step = np.maximum(1, np.round(STEP_MM / spacing)).astype(int)
    scaled = np.clip(data / ceiling, 0.0, 1.0, dtype=np.float32)
    scaled = shrink_blur(scaled, step)[:: step[0], :: step[1], :: step[2]]
    return scaled, affine @ np.diag([*step, 1.0]), threshold / ceiling


def _search(data: np.ndarray, affine: np.ndarray, threshold: float, template: Template) -> _Fit:
    """Try many starts coarsely, and keep the one whose folds agree best."""
    centre = _guess_centre(data, affine, threshold)
    height = template.affine[2, 2] * np.arange(template.brain.shape[2]) + template.affine[2, 3]
    upper = height > template.centre[2] - 40.0  # below are face and neck, which differ
    scalp = (template.distance > 9.0) & (template.distance <= 16.0)
    region = (template.distance <= 24.0) & (upper | template.mask)
    head = _smooth(template.brain + 0.7 * scalp, template.affine, 10.0)
    points, values = _sample(head, region, template, 4)
    blurred = _smooth(data, affine, 10.0)
    fits = []
    for scale, pitch, lift in itertools.product(_SCALES, np.radians(_PITCHES_DEG), _LIFTS_MM):
        sine, cosine = np.sin(pitch), np.cos(pitch)
        turned = scale * np.array([[1.0, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        shift = centre - template.centre + [0.0, 0.0, lift]
        start = _Fit(turned, shift, -1.0)
        fits.append(_climb(start, points, values, blurred, affine, template, "rigid", 20, 0.5))
    different: list[_Fit] = []
    for fit in sorted(fits, key=lambda fit: -fit.correlation):
        if not any(_alike(fit, other) for other in different):
            different.append(fit)
    return max(
        (
            _refine(fit, data, affine, template, *_COARSE, "similarity", steps=20)
            for fit in different[:5]
        ),
        key=lambda fit: fit.correlation,
    )


def _guess_centre(data: np.ndarray, affine: np.ndarray, threshold: float) -> np.ndarray:
    """Guess the middle of the brain from the top of the head, whatever hangs below."""
    found = np.argwhere(_smooth(data, affine, 6.0) > 0.7 * threshold)
    if not len(found):
        raise FormatError("there is no head in the image: nothing stands out from the air")
    place = found @ affine[:3, :3].T + affine[:3, 3]
    top = np.percentile(place[:, 2], 99.8)
    upper = place[place[:, 2] > top - 130.0]
    front_and_back = np.percentile(upper[:, 1], (2, 98))
    return np.array([np.median(upper[:, 0]), front_and_back.mean(), top - _HEIGHT_MM])


def _alike(one: _Fit, other: _Fit) -> bool:
    turned = np.abs(one.linear - other.linear).max() < 0.05
    return bool(turned and np.abs(one.shift - other.shift).max() < 4.0)


def _refine(
    start: _Fit,
    data: np.ndarray,
    affine: np.ndarray,
    template: Template,
    width: float,
    every: int,
    window: float,
    kind: str,
    *,
    steps: int,
) -> _Fit:
    """Align the folds, smoothed to `width` mm, within the brain."""
    folds = local_contrast(template.brain, template.affine, width, window)
    # A rim of what is dark around the brain, without which it may swell beyond the mask.
    points, values = _sample(folds, template.distance <= 4.0, template, every)
    moving = local_contrast(data, affine, width, window)
    return _climb(start, points, values, moving, affine, template, kind, steps, 0.05)


def _climb(
    start: _Fit,
    points: np.ndarray,
    values: np.ndarray,
    moving: np.ndarray,
    affine: np.ndarray,
    template: Template,
    kind: str,
    steps: int,
    tolerance_mm: float,
) -> _Fit:
    """Maximise the correlation, less what a linear shading explains (Levenberg–Marquardt)."""
    from scipy.linalg import expm
    from scipy.ndimage import map_coordinates

    inverse = np.linalg.inv(affine)
    from_centre = points - template.centre
    shading = np.c_[np.ones(len(points)), from_centre / _RADIUS_MM]
    shading = np.linalg.qr(shading)[0].astype(np.float32)

    def unshaded(columns: np.ndarray) -> np.ndarray:
        return columns - shading @ (shading.T @ columns)

    target = unshaded(values.astype(np.float32))
    target /= np.linalg.norm(target)
    slopes = np.gradient(moving)

    def look(linear: np.ndarray, shift: np.ndarray) -> tuple[float, np.ndarray, float, np.ndarray]:
        offset = inverse[:3, :3] @ (template.centre + shift) + inverse[:3, 3]
        voxels = (from_centre @ (inverse[:3, :3] @ linear).T + offset).T
        seen = unshaded(map_coordinates(moving, voxels, order=1))
        length = float(np.linalg.norm(seen))
        if length == 0:  # outside of the scan
            return -1.0, seen, 1.0, voxels
        seen /= length
        return float(target @ seen), seen, length, voxels

    linear, shift = start.linear, start.shift
    correlation, seen, length, voxels = look(linear, shift)
    damping = 1e-3
    for _ in range(steps):
        slope = np.stack([map_coordinates(s, voxels, order=1) for s in slopes], axis=1)
        slope = slope @ inverse[:3, :3]
        arm = from_centre @ linear.T / _RADIUS_MM
        turns = [(slope * (arm @ direction.T)).sum(axis=1) for direction in _DIRECTIONS[kind]]
        jacobian = unshaded(np.c_[slope, np.stack(turns, axis=1)].astype(np.float32))
        jacobian = (jacobian - np.outer(seen, seen @ jacobian)) / length
        normal, uphill = jacobian.T @ jacobian, jacobian.T @ (target - seen)
        floor = 1e-12  # a direction that nothing shows must not divide by zero
        improved = None
        while damping < 1e4:
            damped = normal + np.diag(damping * np.diag(normal) + floor)
            step = np.linalg.solve(damped, uphill)
            bent = sum(s * d for s, d in zip(step[3:], _DIRECTIONS[kind], strict=True))
            trial = (expm(np.asarray(bent) / _RADIUS_MM) @ linear, shift + step[:3])
            looked = look(*trial)
            if looked[0] > correlation:
                improved = trial
                damping = max(damping / 5, 1e-6)
                break
            damping *= 5
        if improved is None:
            break
        linear, shift = improved
        correlation, seen, length, voxels = looked
        if np.abs(step).max() < tolerance_mm:
            break
    return _Fit(linear, shift, correlation)


def _sample(
    values: np.ndarray, region: np.ndarray, template: Template, every: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return places (mm) and values of every so many voxels of a region."""
    index = np.argwhere(region[::every, ::every, ::every]) * every
    return index @ template.affine[:3, :3].T + template.affine[:3, 3], values[tuple(index.T)]


def _smooth(data: np.ndarray, affine: np.ndarray, width_mm: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(data, width_mm / 2.355 / np.linalg.norm(affine[:3, :3], axis=0))


def local_contrast(data: np.ndarray, affine: np.ndarray, width: float, window: float) -> np.ndarray:
    """Normalise by mean and deviation of the surroundings."""
    smooth = _smooth(data.astype(np.float32), affine, width)
    rest = smooth - _smooth(smooth, affine, window)
    deviation = np.sqrt(_smooth(rest * rest, affine, window))
    return rest / (deviation + 0.05 * deviation.max() + 1e-12)
