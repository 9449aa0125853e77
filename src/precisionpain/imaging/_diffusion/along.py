"""A tensor's measures along a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ...errors import FormatError, GeometryError
from .checks import on_grid

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

    from ..diffusion import TensorFit

__all__ = ["along_nerve"]

Array = NDArray[np.float64]

_MAPS = ("fa", "md", "ad", "rd")


def along_nerve(
    fit: TensorFit,
    centreline: ArrayLike,
    *,
    weights: SpatialImage | ArrayLike | None = None,
    radius_mm: float = 2.0,
    step_mm: float = 1.0,
    bins: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the tensor's measures along a nerve, from the voxels around its centreline.

    Each voxel within `radius_mm` belongs to the nearest point of the centreline. A station's
    value is the mean over voxels, weighted by `weights` and by a Gaussian of the distance
    along the nerve whose standard deviation is half a voxel.

    Parameters
    ----------
    fit : TensorFit
        Maps.
    centreline : array_like of shape (n, 3)
        World, mm, in order; the first point is at arc length 0 (the pons).
    weights : nibabel.spatialimages.SpatialImage or array_like of shape (x, y, z), optional
        How much nerve each voxel holds, 0 to 1; default: all alike. A voxel that holds little
        nerve tells little about it, also after correction.
    radius_mm : float, default 2
        Largest distance of a voxel's centre from the centreline.
    step_mm : float, default 1
        Distance between stations.
    bins : array_like of shape (k,), optional
        Rising edges of arc length, mm; the last bin is open. The rows are then the bins (each
        voxel in one), for example ``trigeminal.REZ_BINS``, not stations.

    Returns
    -------
    pandas.DataFrame
        ``s_mm`` (with bins: the mean of their voxels), ``fa``, ``md``, ``ad``, ``rd``,
        ``weight`` (sum of the weights: voxels' worth of nerve) and ``n_voxels``; with bins also
        ``bin_start_mm`` and ``bin_stop_mm``. Values are NaN where no voxel counts.

    Raises
    ------
    GeometryError
        When the centreline is no line in space, or the weights lie on another grid.
    FormatError
        When the bins don't rise, or a length isn't above zero.

    Notes
    -----
    Voxels of 2 mm every millimetre aren't independent: neighbouring stations share them.

    Examples
    --------
    >>> import nibabel
    >>> from precisionpain.imaging.diffusion import TensorFit
    >>> image = nibabel.Nifti1Image(np.full((3, 9, 3), 0.4, dtype=np.float32), np.eye(4))
    >>> fit = TensorFit(*[image] * 4, None, image, None, image)
    >>> along_nerve(fit, [[1, 1, 1], [1, 7, 1]], bins=[0, 3])[["bin_start_mm", "fa"]].round(2)
       bin_start_mm   fa
    0           0.0  0.4
    1           3.0  0.4
    """
    line = np.asarray(centreline, dtype=float)
    if line.ndim != 2 or line.shape[1] != 3 or len(line) < 2 or not np.isfinite(line).all():
        raise GeometryError(f"expected a centreline of shape (n, 3), n > 1, found {line.shape}")
    if not (radius_mm > 0 and step_mm > 0):
        raise FormatError(f"expected lengths above 0 mm, found {radius_mm!r} and {step_mm!r}")
    data = np.column_stack([np.asarray(getattr(fit, name).dataobj).ravel() for name in _MAPS])
    weight = np.ones(len(data))
    if weights is not None:
        weight = on_grid("weights", weights, fit.fa.shape, fit.affine).astype(float).ravel()
    s_mm, near, length = _project(line, fit.fa.shape, fit.affine, radius_mm)
    near = near[np.isfinite(data[near]).all(axis=1) & (weight[near] > 0)]
    s_mm, data, weight = s_mm[near], data[near], weight[near]
    if bins is None:
        stations = np.arange(0.0, length + 1e-9, step_mm)
        width = np.linalg.norm(fit.affine[:3, :3], axis=0).mean() / 2
        kernel = np.exp(-0.5 * ((stations[:, None] - s_mm) / width) ** 2)
        kernel[kernel < np.exp(-0.5 * 3**2)] = 0.0
        table = pd.DataFrame({"s_mm": stations})
    else:
        edges = np.asarray(bins, dtype=float)
        if edges.ndim != 1 or len(edges) == 0 or np.any(np.diff(edges) <= 0):
            raise FormatError(f"expected rising edges in mm, found {edges.tolist()}")
        stops = np.append(edges[1:], np.inf)
        kernel = ((s_mm >= edges[:, None]) & (s_mm < stops[:, None])).astype(float)
        table = pd.DataFrame({"bin_start_mm": edges, "bin_stop_mm": stops})
        table["s_mm"] = _means(kernel * weight, s_mm[:, None])[:, 0]
    share = kernel * weight
    table[list(_MAPS)] = _means(share, data)
    table["weight"] = share.sum(axis=1)
    table["n_voxels"] = (kernel > 0).sum(axis=1)
    return table


def _means(share: Array, data: Array) -> Array:
    total = share.sum(axis=1, keepdims=True)
    return np.divide(share @ data, total, out=np.full((len(share), data.shape[1]), np.nan),
                     where=total > 0)  # fmt: skip


def _project(
    line: Array, shape: tuple[int, ...], affine: Array, radius_mm: float
) -> tuple[Array, NDArray[np.intp], float]:
    """Return arc length per voxel, the flat indices of voxels near the line, and its length."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    knots = np.r_[0.0, np.cumsum(steps)]
    if knots[-1] <= 0:
        raise GeometryError("the points of the centreline are all the same")
    fine = np.linspace(0, knots[-1], max(2, int(np.ceil(knots[-1] / 0.1)) + 1))
    points = np.column_stack([np.interp(fine, knots, column) for column in line.T])
    centres = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    distance, nearest = cKDTree(points).query(centres, distance_upper_bound=radius_mm)
    near = np.flatnonzero(np.isfinite(distance))
    s_mm = np.full(len(centres), np.nan)
    s_mm[near] = fine[nearest[near]]
    return s_mm, near, float(knots[-1])
