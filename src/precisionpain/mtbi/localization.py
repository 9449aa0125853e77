"""Where a map points, against where a region is known to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import FormatError
from ._saliency.values import as_maps, as_mask

__all__ = ["pointing_game", "saliency_iou"]


def pointing_game(maps: ArrayLike, mask: ArrayLike, tolerance: float = 0.0) -> np.ndarray:
    """Tell whether the brightest voxel of each map lies in a region.

    Parameters
    ----------
    maps : array-like of shape (n, depth, height, width)
        Maps.
    mask : array-like of shape (depth, height, width) or (n, depth, height, width)
        Voxels above 0 are the region, of all maps or of each.
    tolerance : float, default 0.0
        How far off it may lie, in voxels.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        Whether it hit; the mean is the score of the pointing game.

    Raises
    ------
    FormatError
        When shapes don't match, the mask is empty or the tolerance is negative.

    Notes
    -----
    Chance is the region's share of the voxels, grown by the tolerance; of voxels that share
    the highest value the first counts, so a constant map doesn't hit but by its place.

    References
    ----------
    .. [1] Zhang J, et al. Top-down neural attention by excitation backprop. ECCV 2016.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> map, mask = np.zeros((1, 5, 5, 5)), np.zeros((5, 5, 5))
    >>> map[0, 2, 2, 2], mask[2, 2, 4] = 1, 1
    >>> [pp.mtbi.pointing_game(map, mask, tolerance=d).item() for d in (1, 2)]
    [False, True]
    """
    from scipy.ndimage import distance_transform_edt

    values = as_maps(maps)
    if not tolerance >= 0:
        raise FormatError(f"expected a tolerance of at least 0 voxels, found {tolerance!r}")
    hits = []
    distance: np.ndarray | None = None
    for each, region in zip(values, _masks(mask, values), strict=True):
        if distance is None or np.ndim(mask) == 4:
            distance = np.asarray(distance_transform_edt(~region))
        hits.append(distance.flat[int(each.argmax())] <= tolerance)
    return np.array(hits, dtype=bool)


def saliency_iou(maps: ArrayLike, mask: ArrayLike, quantile: float | None = None) -> np.ndarray:
    """Compare the brightest voxels of each map with a region: intersection over union.

    Parameters
    ----------
    maps : array-like of shape (n, depth, height, width)
        Maps.
    mask : array-like of shape (depth, height, width) or (n, depth, height, width)
        Voxels above 0 are the region, of all maps or of each.
    quantile : float, optional
        Voxels above this quantile of their map are its brightest, such as 0.95. By default
        as many as the region has.

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        0 to 1.

    Raises
    ------
    FormatError
        When shapes don't match, the mask is empty, or the quantile isn't between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> mask = np.zeros((4, 4, 4))
    >>> mask[:2] = 1
    >>> pp.mtbi.saliency_iou(mask[None], mask).tolist()
    [1.0]
    """
    values = as_maps(maps)
    if quantile is not None and not 0 < quantile < 1:
        raise FormatError(f"expected a quantile between 0 and 1, found {quantile!r}")
    found = []
    for each, region in zip(values, _masks(mask, values), strict=True):
        if quantile is None:
            bright = np.zeros(each.size, dtype=bool)
            bright[np.argsort(-each.ravel(), kind="stable")[: int(region.sum())]] = True
            bright = bright.reshape(each.shape)
        else:
            bright = each > np.quantile(each, quantile)
        found.append((bright & region).sum() / (bright | region).sum())
    return np.array(found, dtype=float)


def _masks(mask: ArrayLike, maps: np.ndarray) -> list[np.ndarray]:
    if np.ndim(mask) == 4:
        given = np.asarray(mask)
        if len(given) != len(maps):
            raise FormatError(f"expected {len(maps)} masks, found {len(given)}", where="mask")
        return [as_mask(each, maps.shape[1:]) for each in given]
    return [as_mask(mask, maps.shape[1:])] * len(maps)
