"""Checks and measures of maps that need no network."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError

__all__ = ["as_map", "as_maps", "as_mask", "spearman", "ssim"]


def as_maps(maps: Any, where: str = "maps", ndim: int = 4) -> np.ndarray:
    """Check maps of shape (n, depth, height, width), or one of them."""
    values = np.asarray(maps)
    if values.ndim != ndim or not values.size or values.dtype.kind not in "fiub":
        shape = "(n, depth, height, width)" if ndim == 4 else "(depth, height, width)"
        raise FormatError(
            f"expected numbers of shape {shape}, found {values.dtype} of shape {values.shape}",
            where=where,
        )
    if not np.isfinite(values).all():
        raise FormatError("the maps have values that are not finite", where=where)
    return values


def as_map(one: Any, where: str = "map") -> np.ndarray:
    """Check one map of shape (depth, height, width)."""
    return as_maps(one, where, 3)


def as_mask(mask: Any, shape: tuple[int, ...], where: str = "mask") -> np.ndarray:
    """Check a mask on the voxels of the maps."""
    values = np.asarray(mask) > 0
    if values.shape != shape:
        raise FormatError(
            f"expected a mask of the maps' shape {shape}, found {values.shape}", where=where
        )
    if not values.any():
        raise FormatError("the mask is empty: no voxel is above 0", where=where)
    return values


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation over voxels; NaN where a map is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(one.ravel()), rankdata(other.ravel())
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Return the structural similarity of two maps with values from 0 to 1."""
    from skimage.metrics import structural_similarity

    widest = min(7, *one.shape)
    widest -= 1 - widest % 2  # odd
    if widest < 3:
        raise FormatError(f"maps of shape {one.shape} are too thin for structural similarity")
    return float(
        structural_similarity(
            one.astype(np.float64), other.astype(np.float64), win_size=widest, data_range=1.0
        )
    )
