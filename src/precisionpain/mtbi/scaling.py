"""Intensities of scans as the published networks saw them: min–max per image, then z-scores."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..errors import FormatError, GeometryError

__all__ = ["ZScore", "min_max"]


def min_max(volume: np.ndarray) -> np.ndarray:
    """Scale one image to the range from 0 to 1.

    Each image by itself, so that nothing passes from one person to another.

    Parameters
    ----------
    volume : numpy.ndarray
        Intensities of one image, of any shape and number type.

    Returns
    -------
    numpy.ndarray of float32, same shape
        ``(volume - min) / (max - min)``.

    Raises
    ------
    FormatError
        When the image is constant, empty, or has values that aren't finite; the message says
        where.

    Notes
    -----
    One bright vessel or artefact decides the whole range. The published pipeline works so:
    Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> pp.mtbi.min_max(np.array([[2, 4], [6, 10]])).tolist()
    [[0.0, 0.25], [0.5, 1.0]]
    """
    values = _numbers(volume, "volume")
    if not values.size:
        raise FormatError(f"the image is empty: its shape is {values.shape}", where="volume")
    _check_finite(values, "volume")
    # In double precision: an image with a large offset would lose its last digits.
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise FormatError(
            f"the image is constant: every voxel is {low:g}, so it has no range to scale",
            where="volume",
            remedy="leave this scan out, or look at how it was made",
        )
    return ((values - low) / (high - low)).astype(np.float32)


class ZScore(TransformerMixin, BaseEstimator):
    """Subtract a mean and divide by a standard deviation that were learned from other volumes.

    Fit it on the training people alone. Fitted on everybody, as the published pipeline did,
    the test scans have a say in how the training scans look.

    Parameters
    ----------
    voxelwise : bool, default False
        Whether each voxel has a mean and a deviation of its own; by default one of each for
        all voxels of all volumes.

    Attributes
    ----------
    mean_, scale_ : float, or numpy.ndarray of float64 and the shape of one volume
        What is subtracted, and by what it is then divided: the standard deviation with ``n`` in
        its denominator. A voxel that is the same in everybody is divided by 1.
    shape_ : tuple of int
        Shape of one volume.
    n_volumes_ : int
        How many were learned from.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> train = np.random.default_rng(0).normal(5, 2, size=(10, 4, 4, 4))
    >>> scaled = pp.mtbi.ZScore().fit(train).transform(train)
    >>> abs(round(float(scaled.mean()), 3)), round(float(scaled.std()), 3)
    (0.0, 1.0)
    """

    mean_: Any
    scale_: Any

    def __init__(self, voxelwise: bool = False) -> None:
        self.voxelwise = voxelwise

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Learn mean and standard deviation.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, ...)
            Volumes of the training people, usually after `min_max`.
        y : object
            Ignored.

        Returns
        -------
        ZScore

        Raises
        ------
        FormatError
            When there is no volume, all values are the same, or one isn't finite.
        """
        volumes = _volumes(X)
        # One volume after the other: a copy of all in double precision may not fit.
        n = len(volumes)
        if self.voxelwise:
            mean = sum(np.asarray(one, np.float64) for one in volumes) / n
            square = sum((np.asarray(one, np.float64) - mean) ** 2 for one in volumes) / n
            scale = np.sqrt(square)
            # What rounding leaves of a constant voxel isn't a deviation.
            constant = scale <= 1e-12 * np.maximum(1.0, np.abs(mean))
        else:
            mean = float(np.mean([np.mean(one, dtype=np.float64) for one in volumes]))
            square = np.mean(
                [np.mean((np.asarray(one, np.float64) - mean) ** 2) for one in volumes]
            )
            scale = np.asarray(np.sqrt(square))
            constant = scale <= 1e-12 * max(1.0, abs(mean))
        if np.all(constant):
            raise FormatError(
                f"the {n} volumes {'are all the same' if self.voxelwise else 'are constant'}, so "
                "there is no deviation to divide by",
                where="X",
                remedy="give volumes of several people" if self.voxelwise else None,
            )
        scale = np.where(constant, 1.0, scale)
        self.mean_ = mean
        self.scale_ = scale if self.voxelwise else float(scale)
        self.shape_ = tuple(volumes.shape[1:])
        self.n_volumes_ = n
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Scale volumes with what was learned.

        Parameters
        ----------
        X : numpy.ndarray, shape (m, ...)
            Volumes of the same shape.

        Returns
        -------
        numpy.ndarray of float32, same shape

        Raises
        ------
        FormatError
            When a value isn't finite.
        GeometryError
            When the volumes have another shape than those learned from.
        """
        check_is_fitted(self, "mean_")
        volumes = _volumes(X, may_be_empty=True)
        if tuple(volumes.shape[1:]) != self.shape_:
            raise GeometryError(
                f"expected volumes of shape {self.shape_}, found {tuple(volumes.shape[1:])}",
                where="X",
                remedy="bring all scans to one grid first",
            )
        scaled = np.empty(volumes.shape, np.float32)
        for position, one in enumerate(volumes):
            scaled[position] = (np.asarray(one, np.float64) - self.mean_) / self.scale_
        return scaled


def _volumes(X: Any, *, may_be_empty: bool = False) -> np.ndarray:
    """Return volumes that are numbers and finite."""
    volumes = _numbers(X, "X")
    if volumes.ndim < 2:
        raise FormatError(f"expected an array (n, depth, height, width), found {volumes.shape}")
    if not volumes.size and not (may_be_empty and not len(volumes)):
        raise FormatError(f"expected at least one volume, found shape {volumes.shape}", where="X")
    for position, one in enumerate(volumes):
        _check_finite(one, f"X[{position}]")
    return volumes


def _numbers(values: Any, where: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise FormatError(f"expected real numbers, found {array.dtype}", where=where)
    return array


def _check_finite(values: np.ndarray, where: str) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    first = tuple(int(i) for i in np.argwhere(~finite)[0])
    raise FormatError(
        f"{int(finite.size - finite.sum())} values aren't finite, the first at {first}",
        where=where,
        remedy="leave this scan out, or look at how it was made",
    )
