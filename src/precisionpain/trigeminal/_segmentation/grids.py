"""From a scan's own grid to the network's, and back: axis order, voxel size, intensities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Grid", "normalise", "resample", "working_grid"]

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    shape : tuple of three ints
        Voxels along each axis.
    affine : ndarray of shape (4, 4)
        Voxel indices to RAS+ mm.
    """

    shape: tuple[int, int, int]
    affine: Array

    @property
    def spacing(self) -> Array:
        """Voxel size along each axis, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def cut(self, start: Array, shape: tuple[int, int, int]) -> Grid:
        """Return the part that begins at a voxel."""
        affine = self.affine.copy()
        affine[:3, 3] += self.affine[:3, :3] @ np.asarray(start, dtype=float)
        return Grid(shape, affine)


def working_grid(grid: Grid, spacing_mm: tuple[float, float, float] | None) -> Grid:
    """Return the grid of another voxel size that covers the same box, axes and all.

    Parameters
    ----------
    grid : Grid
        Of the scan.
    spacing_mm : tuple of three floats or None
        Voxel size; None keeps the scan's.

    Returns
    -------
    Grid
        The faces of its first voxel lie where those of the scan's do.
    """
    if spacing_mm is None:
        return grid
    old, new = grid.spacing, np.asarray(spacing_mm, dtype=float)
    size = np.maximum(np.rint(np.asarray(grid.shape) * old / new - 1e-6), 1).astype(int)
    axes = grid.affine[:3, :3] / old * new
    affine = np.eye(4)
    affine[:3, :3] = axes
    # Half a voxel in from the corner that both boxes share.
    corner = grid.affine[:3, 3] - grid.affine[:3, :3] @ np.full(3, 0.5)
    affine[:3, 3] = corner + axes @ np.full(3, 0.5)
    return Grid((int(size[0]), int(size[1]), int(size[2])), affine)


def resample(data: Array, grid: Grid, target: Grid, *, order: int = 1) -> NDArray[np.float32]:
    """Bring an image onto a grid whose axes are parallel to its own.

    Along axes where the target's voxels are larger the image is averaged over each of them, so
    that no detail is picked by chance and no tissue made or lost; along others it is
    interpolated.

    Parameters
    ----------
    data : ndarray of shape (nx, ny, nz)
        Intensities, or one probability.
    grid, target : Grid
        Where they are, and where they are wanted.
    order : int, default 1
        Of the spline.

    Returns
    -------
    numpy.ndarray of float32
        Beyond the edge the nearest value.
    """
    values: Array = np.asarray(data, dtype=np.float32)
    if grid.shape == target.shape and np.allclose(grid.affine, target.affine, atol=1e-4):
        return values
    step = target.spacing / grid.spacing
    offset = np.linalg.solve(grid.affine, target.affine[:, 3])[:3]
    for axis in np.flatnonzero(step > 1.01):
        faces = offset[axis] + step[axis] * (np.arange(target.shape[axis] + 1) - 0.5)
        weights = _averages(values.shape[axis], faces)
        values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
        step[axis], offset[axis] = 1.0, 0.0
    if values.shape == target.shape and (step == 1).all() and not offset.any():
        return values
    found: NDArray[np.float32] = ndimage.affine_transform(
        values, step, offset, target.shape, np.float32, order=order, mode="nearest"
    )
    return found


def _averages(n: int, faces: Array) -> NDArray[np.float32]:
    """Return the weights of n voxels in the means between faces, joined by straight lines."""
    value = np.eye(n)
    padded = np.concatenate([value[:1], value, value[-1:]])  # beyond the edge the nearest
    integral = np.zeros((n + 2, n))
    np.cumsum((padded[1:] + padded[:-1]) / 2, axis=0, out=integral[1:])
    place = np.clip(faces, -0.5, n - 0.5) + 1
    low = np.floor(place).astype(int)
    part = (place - low)[:, None]
    at = integral[low] + part * (padded[low] + part / 2 * (padded[low + 1] - padded[low]))
    width = np.diff(place)
    mean = np.diff(at, axis=0) / np.maximum(width, 1e-6)[:, None]
    beyond = width < 1e-6
    mean[beyond] = padded[low[:-1][beyond]]
    return mean.astype(np.float32)


def normalise(data: Array) -> NDArray[np.float32]:
    """Bring intensities to mean 0 and standard deviation 1, outliers clipped.

    Parameters
    ----------
    data : ndarray
        Finite and not constant.

    Returns
    -------
    numpy.ndarray of float32
        Clipped to its 0.1 and 99.9 percentiles before.
    """
    # Every few voxels along each axis; a stride over all of them can meet one plane only.
    every = max(1, round((data.size / 200_000) ** (1 / data.ndim)))
    sample = data[(slice(every // 2, None, every),) * data.ndim]
    low, high = np.percentile(sample if sample.size else data, (0.1, 99.9))
    clipped = np.clip(data, low, high).astype(np.float32)
    spread = float(clipped.std())
    return (clipped - np.float32(clipped.mean())) / np.float32(max(spread, 1e-6))
