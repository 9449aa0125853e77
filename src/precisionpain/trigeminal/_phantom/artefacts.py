"""Coil, field, motion and sampling: how an acquisition departs from the object."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform, spline_filter
from scipy.spatial.transform import Rotation

__all__ = [
    "bands",
    "bssfp_profile",
    "draw_motion",
    "kept_frequencies",
    "move",
    "smooth_field",
    "with_motion",
    "zero_filled",
]

Array = NDArray[Any]


def smooth_field(
    shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a smooth field, as of receive coils: at most one full wave along each axis.

    Parameters
    ----------
    shape : tuple of three ints
        Grid.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    field : numpy.ndarray of float32
        Spans exactly -1 to 1; all 0 for a single voxel.
    coefficients : numpy.ndarray of shape (3, 3, 3)
        Of the cosines, before the field was stretched.
    """
    order = np.arange(3)
    squares = order[:, None, None] ** 2 + order[:, None] ** 2 + order**2
    coefficients = rng.standard_normal((3, 3, 3)) / (1 + squares)
    coefficients[0, 0, 0] = 0
    field: Array = coefficients.astype(np.float32)
    for n in shape:
        basis = np.cos(np.pi * order * (np.arange(n)[:, None] + 0.5) / n).astype(np.float32)
        # Contracts the first axis and appends the voxel axis, so that three turns end in order.
        field = np.tensordot(field, basis, axes=(0, 1))
    low, high = float(field.min()), float(field.max())
    if high - low < 1e-6:
        return np.zeros(shape, dtype=np.float32), coefficients
    field -= np.float32((low + high) / 2)
    field *= np.float32(2 / (high - low))
    return field, coefficients


def bssfp_profile(theta: ArrayLike) -> Array:
    """Return the balanced steady-state signal over its on-resonance value.

    Freeman & Hill, J Magn Reson 4, 366 (1971), with alternating pulses, so that the pass band
    is at 0 and the null at π. Flip angle at the optimum of CSF, cos α = (T₁/T₂ - 1)/(T₁/T₂ + 1).

    Parameters
    ----------
    theta : array_like
        Precession within one TR, rad.

    Returns
    -------
    numpy.ndarray
        1 at 0, about 0 at π.
    """
    tr, t1, t2 = 0.006, 4.0, 2.0
    cos_flip = (t1 / t2 - 1) / (t1 / t2 + 1)
    e1, e2 = math.exp(-tr / t1), math.exp(-tr / t2)
    c = e2 * (e1 - 1) * (1 + cos_flip)
    d = (1 - e1 * cos_flip) - (e1 - cos_flip) * e2**2
    cosine = -np.cos(np.asarray(theta))

    def signal(x: Any) -> Any:
        return np.sqrt(1 - 2 * e2 * x + e2**2) / (c * x + d)

    return np.asarray(signal(cosine) / signal(-1.0))


def bands(
    shape: tuple[int, ...], affine: Array, depth: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the modulation by dark bands, which are planes across a linear shim error.

    Parameters
    ----------
    shape : tuple of three ints
        Grid.
    affine : ndarray of shape (4, 4)
        Voxel indices to mm.
    depth : float
        Share of the single-acquisition profile, 0 to 1; phase cycling leaves some of it.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    modulation : numpy.ndarray of float32
    drawn : dict
        Unit normal of the planes in the world, their period (mm), and where along the normal
        the first null lies (mm).
    """
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    period = rng.uniform(40, 80)
    # The first null lies within the period around the centre of the field of view.
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    null = float(centre @ direction + rng.uniform(-0.5, 0.5) * period)
    steps = direction @ affine[:3, :3]
    along = float(direction @ affine[:3, 3]) - null
    for axis, n in enumerate(shape):
        along = along + (steps[axis] * np.arange(n)).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
    # The profile is smooth: interpolating a table of it is exact to 1e-5 and much faster.
    turn = np.linspace(0, 1, 4097)
    profile = np.interp((along / period) % 1.0, turn, bssfp_profile(2 * np.pi * turn + np.pi))
    drawn = {
        "depth": depth,
        "direction": direction.tolist(),
        "period_mm": float(period),
        "null_mm": null,
    }
    return np.asarray(1 - depth * (1 - profile), dtype=np.float32), drawn


def move(
    spline: Array, affine: Array, translation_mm: ArrayLike, rotation_deg: ArrayLike
) -> NDArray[np.float32]:
    """Return the image, given by its cubic spline, after a rigid motion of what it shows.

    Parameters
    ----------
    spline : ndarray of shape (nx, ny, nz)
        Coefficients by `scipy.ndimage.spline_filter`.
    affine : ndarray of shape (4, 4)
        Voxel indices to mm.
    translation_mm : array_like of shape (3,)
        In the world.
    rotation_deg : array_like of shape (3,)
        Rotation vector in the world, about the centre of the field of view.

    Returns
    -------
    numpy.ndarray of float32
        Beyond its edge the image is mirrored.
    """
    axes, origin = affine[:3, :3], affine[:3, 3]
    turn = Rotation.from_rotvec(rotation_deg, degrees=True).as_matrix()
    centre = axes @ ((np.array(spline.shape) - 1) / 2) + origin
    # What is now at x was at turn⁻¹ (x - centre - translation) + centre.
    back = np.linalg.inv(axes)
    matrix = back @ turn.T @ axes
    offset = back @ (turn.T @ (origin - centre - np.asarray(translation_mm)) + centre - origin)
    moved: NDArray[np.float32] = affine_transform(
        spline, matrix, offset, output=np.float32, order=3, mode="mirror", prefilter=False
    )
    return moved


def draw_motion(n_lines: int, mm: float, deg: float, rng: np.random.Generator) -> dict[str, Any]:
    """Draw one to four moves at random times; the centre of k-space is the rest position.

    That keeps the labels true: otherwise the whole image would be displaced.

    Parameters
    ----------
    n_lines : int
        Lines of k-space, in order of frequency.
    mm, deg : float
        Largest translation and rotation.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict
        ``first_line`` of each position, its ``translation_mm`` and ``rotation_deg`` (rotation
        vector), both in the world.
    """
    n_moves = int(rng.integers(1, 5))
    starts = np.unique(np.r_[0, rng.integers(1, max(n_lines, 2), n_moves)])
    translation, rotation = rng.standard_normal((2, len(starts), 3))
    for vectors, most in ((translation, mm), (rotation, deg)):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= rng.uniform(0, most, (len(starts), 1))
        vectors[np.searchsorted(starts, n_lines // 2, side="right") - 1] = 0
    return {
        "first_line": starts.tolist(),
        "translation_mm": translation.tolist(),
        "rotation_deg": rotation.tolist(),
    }


def with_motion(
    signal: Array,
    mixture: Array,
    modulation: Array,
    affine: Array,
    axis: int,
    drawn: dict[str, Any],
) -> Array:
    """Replace the lines of k-space that were acquired in other positions.

    Parameters
    ----------
    signal, mixture : ndarray of shape (nx, ny, nz)
        The still image with and without the modulation.
    modulation : ndarray that broadcasts to it
        Coil and field, which stay when the head moves.
    affine : ndarray of shape (4, 4)
        Voxel indices to mm.
    axis : int
        Phase-encoding axis.
    drawn : dict
        From `draw_motion`.

    Returns
    -------
    numpy.ndarray, complex
    """
    spline = spline_filter(mixture, order=3, output=np.float32, mode="mirror")
    n = signal.shape[axis]
    lines = np.moveaxis(scipy.fft.fft(signal, axis=axis), axis, 0)
    frequency_order = scipy.fft.fftshift(np.arange(n))
    ends = [*drawn["first_line"][1:], n]
    for start, end, shift, turn in zip(
        drawn["first_line"], ends, drawn["translation_mm"], drawn["rotation_deg"], strict=True
    ):
        if not np.any(shift) and not np.any(turn):
            continue
        image = move(spline, affine, shift, turn) * modulation
        rows = frequency_order[start:end]
        lines[rows] = np.moveaxis(scipy.fft.fft(image, axis=axis), axis, 0)[rows]
    return np.asarray(scipy.fft.ifft(np.moveaxis(lines, 0, axis), axis=axis))


def kept_frequencies(n: int, factor: float) -> NDArray[np.bool_]:
    """Flag the frequencies that a scan with larger voxels acquires.

    Strictly inside the band, so that the kept set is symmetric and a real image stays real.

    Parameters
    ----------
    n : int
        Voxels along the axis.
    factor : float
        Size of the acquired voxel over that of the grid.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        In the order of the FFT.
    """
    return np.asarray(np.abs(scipy.fft.fftfreq(n)) < 0.5 / factor - 1e-9)


def zero_filled(signal: Array, factors: Array) -> Array:
    """Return the image after emptying k-space beyond the acquired band.

    Parameters
    ----------
    signal : ndarray of shape (nx, ny, nz)
        Real or complex.
    factors : ndarray of shape (3,)
        Size of the acquired voxel over that of the grid, by axis.

    Returns
    -------
    numpy.ndarray, complex
    """
    for axis, factor in enumerate(factors):
        if factor > 1:
            keep = kept_frequencies(signal.shape[axis], factor).reshape(
                [-1 if a == axis else 1 for a in range(3)]
            )
            signal = scipy.fft.ifft(scipy.fft.fft(signal, axis=axis) * keep, axis=axis)
    return signal
