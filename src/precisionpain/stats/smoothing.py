"""Local linear regression in one dimension."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError
from ._checks import as_numbers

__all__ = ["local_linear"]

_CHUNK = 2_000_000


def local_linear(
    x: ArrayLike, y: ArrayLike, at: ArrayLike | None = None, *, span: float = 0.75
) -> NDArray[np.float64]:
    """Smooth y over x by local linear regression with tricube weights.

    At each point a line is fitted to the ``span`` share of nearest observations, weighted
    by ``(1 - (d / h)³)³`` with h the distance to the furthest of them. It is what R's
    ``loess(y ~ x, span = span, degree = 1, surface = "direct")`` computes. Where the
    weights fall on a single value of x, the line is undefined and their mean is returned.

    Parameters
    ----------
    x, y : array-like of shape (n,)
        Observations.
    at : array-like of shape (m,), optional
        Where to evaluate; by default at `x`.
    span : float, default 0.75
        Share of the observations in each fit, above 0 and at most 1.

    Returns
    -------
    numpy.ndarray of shape (m,)

    Raises
    ------
    FormatError
        For missing values, differing lengths or a span out of range.

    References
    ----------
    Cleveland, JASA 74, 829 (1979).

    Examples
    --------
    >>> local_linear([0, 1, 2, 3, 4], [1, 3, 5, 7, 9], at=[0.5, 3]).round(6).tolist()
    [2.0, 7.0]
    """
    xs, ys = as_numbers(x, "x"), as_numbers(y, "y")
    points = xs if at is None else as_numbers(at, "at")
    if len(xs) != len(ys) or not len(xs):
        raise FormatError(f"expected two arrays of one length, found {len(xs)} and {len(ys)}")
    if not 0 < span <= 1:
        raise FormatError(f"span lies above 0 and at most at 1, found {span!r}")
    nearest = max(1, int(np.floor(span * len(xs) + 1e-5)))
    result = np.empty(len(points))
    step = max(1, _CHUNK // len(xs))
    for start in range(0, len(points), step):
        u = xs[None, :] - points[start : start + step, None]
        distance = np.abs(u)
        h = np.partition(distance, nearest - 1, axis=1)[:, nearest - 1 : nearest]
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.clip(1 - (distance / h) ** 3, 0, None) ** 3
        # With h = 0 the ties at the point are all there is.
        weight = np.where(h > 0, weight, distance == 0)
        total = weight.sum(axis=1)
        mean_u = (weight * u).sum(axis=1) / total
        mean_y = weight @ ys / total
        centred = u - mean_u[:, None]
        spread = (weight * centred**2).sum(axis=1)
        cross = (weight * centred) @ ys
        flat = spread <= 1e-14 * total * h[:, 0] ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(flat, 0.0, cross / spread)
        result[start : start + step] = mean_y - slope * mean_u
    return result
