"""Large voxels over a fine grid: where they lie, and what share of each small one they hold."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ...errors import FormatError, GeometryError

__all__ = ["averaging_matrix", "scan_grid"]

Array = NDArray[np.float64]


def _footprint(
    n_fine: int, fine: float, n_coarse: int, coarse: float, start: float
) -> scipy.sparse.csr_array:
    """Return the share of each large voxel (row) that each small one (column) covers.

    The large voxels begin at `start` mm after the edge of the first small one. Beyond the
    grid its outermost voxels continue, so each row sums to 1.
    """
    edges = np.arange(n_fine + 1) * fine
    edges[0], edges[-1] = -np.inf, np.inf
    low = start + coarse * np.arange(n_coarse)[:, None]
    overlap = np.minimum(edges[1:], low + coarse) - np.maximum(edges[:-1], low)
    return scipy.sparse.csr_array(np.maximum(overlap, 0) / coarse)


def averaging_matrix(
    shape: tuple[int, ...], fine: Array, grid: tuple[int, ...], coarse: Array, start: Array
) -> scipy.sparse.csr_array:
    """Return the weights that average fine voxels over the boxes of a scan.

    Parameters
    ----------
    shape : tuple of three ints
        Fine grid.
    fine : ndarray of shape (3,)
        Its voxel size, mm.
    grid : tuple of three ints
        Grid of the scan.
    coarse : ndarray of shape (3,)
        Its voxel size, mm.
    start : ndarray of shape (3,)
        Where its first voxel begins, mm after the edge of the first fine one.

    Returns
    -------
    scipy.sparse.csr_array of shape (n_coarse, n_fine)
        Flat indices in C order; each row sums to 1.
    """
    rows = [_footprint(*axis) for axis in zip(shape, fine, grid, coarse, start, strict=True)]
    return scipy.sparse.csr_array(
        scipy.sparse.kron(scipy.sparse.kron(rows[0], rows[1]), rows[2], format="csr")
    )


def scan_grid(
    shape: tuple[int, ...],
    affine: Array,
    fine: Array,
    spacing: float | tuple[float, float, float],
) -> tuple[tuple[int, ...], Array, Array, Array]:
    """Return the grid of a scan, centred in a fine one and inside of it.

    Parameters
    ----------
    shape : tuple of three ints
        Fine grid.
    affine : ndarray of shape (4, 4)
        Fine voxel indices to mm.
    fine : ndarray of shape (3,)
        Fine voxel size, mm.
    spacing : float or tuple of three floats
        Voxel size of the scan, mm.

    Returns
    -------
    grid : tuple of three ints
        Number of voxels.
    coarse : numpy.ndarray of shape (3,)
        Voxel size, mm.
    start : numpy.ndarray of shape (3,)
        Where the first voxel begins, mm after the edge of the first fine one.
    affine : numpy.ndarray of shape (4, 4)
        Voxel indices of the scan to mm.

    Raises
    ------
    FormatError
        When `spacing` has another shape.
    GeometryError
        When the voxels are smaller than the fine ones or larger than the field of view.
    """
    if np.shape(spacing) not in ((), (3,)):
        raise FormatError(f"expected spacing as one or three numbers, found {spacing!r}")
    coarse = np.broadcast_to(np.asarray(spacing, dtype=float), 3).copy()
    extent = fine * np.array(shape)
    # Written so that NaN fails too.
    if not ((coarse >= fine * (1 - 1e-6)) & (coarse <= extent * (1 + 1e-6))).all():
        raise GeometryError(
            f"expected voxels between the fine ones ({fine.round(3).tolist()} mm) and the field "
            f"of view ({extent.round(1).tolist()} mm), found {coarse.tolist()} mm",
            where="spacing",
        )
    grid = tuple(int(n) for n in np.floor(extent / coarse + 1e-6))
    start = (extent - np.array(grid) * coarse) / 2
    axes = affine[:3, :3] / fine
    moved = np.eye(4)
    moved[:3, :3] = axes * coarse
    moved[:3, 3] = affine[:3, 3] + axes @ (start + coarse / 2 - fine / 2)
    return grid, coarse, start, moved
