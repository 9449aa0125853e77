"""T1-weighted scans of made-up people: the MNI template, bent, folded, and scanned."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Brain", "Effect", "simulate_brain"]

Array = NDArray[Any]

# Brightness of cerebrospinal fluid, grey and white matter in the template, whose maximum is 1.
_TISSUES = (0.27, 0.65, 0.87)
# Where the lateral ventricles meet, and how far their change with age reaches (mm).
_VENTRICLES, _REACH = np.array([0.0, -15.0, 14.0]), 20.0
_MEAN_AGE = 36.6
_LATTICE_MM = 24.0  # of the control points of a bend
# Control points that move by less than 0.40 of their distance never fold the image (Choi & Lee,
# Graphical Models 2000;62:411-427); a little less, as the stretch comes on top.
_FOLDLESS = 0.38
_HALF = np.sqrt(2 * np.log(2))  # standard deviations where a Gaussian falls to a half


@dataclasses.dataclass(frozen=True)
class Effect:
    """A planted sign: a smooth ball that is brighter, or thicker, by a share of `size`."""

    center_mm: tuple[float, float, float]
    radius_mm: float
    size: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Brain:
    """A scan, and where in it the region of the effect lies."""

    voxels: NDArray[np.int16]
    region: NDArray[np.uint8] | None
    scale: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class _Template:
    """Brightness and shares of grey and white matter at 1 mm; distance from the brain at 2 mm."""

    maps: tuple[Array, ...]
    origin: Array
    outside: Array


def simulate_brain(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    affine: Array,
    *,
    age: float,
    effect: Effect | None = None,
    planted: bool = False,
    snr: float = 25.0,
    bend_mm: float = 1.5,
    bias: float = 0.1,
    folding: float = 1.0,
    aging: float = 1.0,
    head: bool = True,
) -> Brain:
    """Simulate the T1-weighted scan of one person on a grid of the MNI space.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the person. What is drawn doesn't depend on `effect` and `planted`.
    shape, affine : tuple of int, numpy.ndarray
        The grid; axes along those of the body.
    age : float
        Years; the ventricles widen with it.
    effect : Effect, optional
        Whose region is marked in the result.
    planted : bool, default False
        Whether the person has it.
    snr : float, default 25.0
        White matter over the noise, which is Rician.
    bend_mm : float, default 1.5
        Standard deviation of the displacement along each axis.
    bias : float, default 0.1
        Standard deviation of the smooth field that the brightness is multiplied by.
    folding : float, default 1.0
        How far the borders of the tissues differ from the template's; 0 for not at all.
    aging : float, default 1.0
        Factor on the widening of the ventricles, of 8% per decade along each axis.
    head : bool, default True
        Put a plain skull and scalp around the brain, which the template doesn't have.

    Returns
    -------
    Brain
    """
    template = _template()
    axes = [np.arange(n) * affine[k, k] + affine[k, 3] for k, n in enumerate(shape)]
    scale = 1 + np.clip(rng.normal(0, 0.02, 3), -0.05, 0.05)
    limit = _FOLDLESS * _LATTICE_MM
    # The spline keeps about a third of the standard deviation of its control points.
    knots = rng.normal(0, 3 * bend_mm, (3, *_lattice(axes, _LATTICE_MM)))
    bend = [_spline(np.clip(k, -limit, limit), axes, _LATTICE_MM) for k in knots]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    # From here on, points of the template that the voxels of the scan show.
    points = np.stack([g / s + b for g, s, b in zip(grid, scale, bend, strict=True)])
    points = points.reshape(3, -1).astype(np.float32)
    decades = aging * (age - _MEAN_AGE) / 10
    points = _enlarged(points, _VENTRICLES, _REACH, 0.08 * decades)
    weight = None
    if effect is not None:
        weight = _ball(points, effect)
        if planted and effect.kind == "thickness":
            reach = effect.radius_mm / _HALF
            points = _enlarged(points, np.array(effect.center_mm), reach, effect.size)

    far = _sampled(template.outside, points, template.origin, 2.0)
    near = np.flatnonzero(far < 3)
    spacing = abs(float(affine[0, 0]))
    share, brightness = _tissues(template, points[:, near], rng, near, shape, spacing, folding)
    curve = rng.lognormal(0, 0.08)  # scanners differ in contrast
    around = _head(far, rng)
    signal = around if head else np.zeros_like(far)
    signal[near] = share * np.maximum(brightness, 0) ** curve + (1 - share) * signal[near]
    if planted and effect is not None and effect.kind == "brightness":
        assert weight is not None
        signal *= 1 + effect.size * weight
    signal = signal.reshape(shape)
    signal *= np.exp(_spline(rng.normal(0, 3 * bias, _lattice(axes, 60.0)), axes, 60.0))
    noise = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(_TISSUES[2] / snr)
    gain = rng.lognormal(np.log(900), 0.25)  # and in their units
    scan = gain * np.hypot(signal + noise[0], noise[1])
    voxels = np.rint(np.clip(scan, 0, np.iinfo(np.int16).max)).astype(np.int16)
    region = None if weight is None else (weight >= 0.5).reshape(shape).astype(np.uint8)
    across, along, up = scale.tolist()
    return Brain(voxels, region, (across, along, up))


@functools.cache
def _template() -> _Template:
    """Read the template of nilearn's wheel; nothing is downloaded."""
    from nilearn import datasets

    loaders = (
        datasets.load_mni152_template,
        datasets.load_mni152_gm_template,
        datasets.load_mni152_wm_template,
    )
    images = [load(resolution=1) for load in loaders]
    maps = tuple(np.asarray(image.dataobj, dtype=np.float32) for image in images)
    origin = np.asarray(images[0].affine)[:3, 3]
    # The hull of the brain, with the fissures filled.
    brain = maps[0][::2, ::2, ::2] > 0
    grown = ndimage.distance_transform_edt(~brain) <= 6
    hull = (ndimage.distance_transform_edt(grown) > 6) | brain
    outside = 2 * ndimage.distance_transform_edt(~hull).astype(np.float32)
    return _Template(maps, origin, ndimage.gaussian_filter(outside, 1.0))


def _sampled(data: Array, points: Array, origin: Array, spacing: float) -> Array:
    at = (points - origin[:, None].astype(np.float32)) / np.float32(spacing)
    return ndimage.map_coordinates(data, at, output=np.float32, order=1, mode="nearest")


def _tissues(
    template: _Template,
    points: Array,
    rng: np.random.Generator,
    near: Array,
    shape: tuple[int, int, int],
    spacing: float,
    folding: float,
) -> tuple[Array, Array]:
    """Return the share of brain in each voxel, and its brightness, with folds of its own.

    The template is the mean of many people, whose folds differ: a voxel is 60% grey matter
    because it was that in 60% of them. Smooth noise on the log odds of the tissues settles
    which it is here.
    """
    t1, grey, white = (_sampled(each, points, template.origin, 1.0) for each in template.maps)
    share = np.clip(t1 / 0.2, 0, 1)
    noise = rng.standard_normal((2, *shape), dtype=np.float32)
    if not folding:
        return share, t1
    before = np.stack([np.clip(1 - grey - white, 0, 1), grey, white])
    odds = 2 * np.log(before + 0.02)
    sigma = 3.0 / spacing
    for row, field in zip((1, 2), noise, strict=True):
        smooth = ndimage.gaussian_filter(field, sigma).reshape(-1)
        # The standard deviation that white noise keeps after a Gaussian filter.
        odds[row] += folding * smooth[near] * np.float32((4 * np.pi) ** 0.75 * sigma**1.5)
    after = np.exp(odds - odds.max(axis=0))
    after /= after.sum(axis=0)
    means = np.array(_TISSUES, dtype=np.float32)[:, None]
    return share, t1 + ((after - before) * means).sum(axis=0) * share


def _head(far: Array, rng: np.random.Generator) -> Array:
    """Return the brightness around the brain: fluid, bone with marrow, fat and skin, air."""
    fluid, bone, scalp = 2 + rng.uniform(0, 1), rng.normal(6.5, 0.8), rng.normal(6, 1.2)
    bone, scalp = max(bone, 4.0), max(scalp, 3.0)
    outer = fluid + bone
    layers = [
        (0.0, 0.27), (fluid - 0.5, 0.25), (fluid + 1, 0.08), (fluid + bone / 2, 0.3),
        (outer - 1, 0.08), (outer + 1, 0.85), (outer + scalp - 1, 0.7), (outer + scalp + 1, 0.0),
    ]  # fmt: skip
    depths, values = zip(*layers, strict=True)
    return np.interp(far, depths, values).astype(np.float32)


def _ball(points: Array, effect: Effect) -> Array:
    """Return 1 at the centre of the effect, a half at its radius."""
    center = np.array(effect.center_mm, dtype=np.float32)[:, None]
    squared = ((points - center) ** 2).sum(axis=0)
    return np.exp2(-squared / np.float32(effect.radius_mm**2))


def _enlarged(points: Array, center: Array, reach: float, amount: float) -> Array:
    """Return where to look so that what is at the centre appears larger by a share of `amount`."""
    away = points - center[:, None].astype(np.float32)
    fall = np.exp(-(away**2).sum(axis=0) / np.float32(2 * reach**2))
    return points - np.float32(amount / (1 + amount)) * fall * away


# --- smooth fields -----------------------------------------------------------------------


def _lattice(axes: list[Array], spacing: float) -> tuple[int, ...]:
    """Count the control points that a cubic B-spline over these axes has."""
    return tuple(int(np.ceil(abs(a[-1] - a[0]) / spacing)) + 4 for a in axes)


def _spline(control: Array, axes: list[Array], spacing: float) -> Array:
    """Evaluate a cubic B-spline on a grid, one axis after the other."""
    field = control
    for axis in axes:
        # The first axis is taken off, and comes back as the last.
        field = np.tensordot(field, _basis(axis, field.shape[0], spacing), axes=(0, 1))
    return field.astype(np.float32)


def _basis(axis: Array, n: int, spacing: float) -> Array:
    """Return the weight of each control point at each place along an axis."""
    place = np.abs(axis - axis[0])[:, None] / spacing + 1 - np.arange(n)[None, :]
    t = np.abs(place)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0))
