"""Axially symmetric diffusion tensors, and the directions to measure them along."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError

__all__ = ["attenuation", "axial_radial", "repelled_directions"]

Array = NDArray[np.float64]


def axial_radial(fa: float, md: float) -> tuple[float, float]:
    """Return the diffusivities along and across of an axially symmetric tensor.

    Parameters
    ----------
    fa : float
        Fractional anisotropy, 0 to 1.
    md : float
        Mean diffusivity, in any unit.

    Returns
    -------
    ad, rd : float
        Axial and radial diffusivity, in the unit of `md`.

    Notes
    -----
    With AD = MD (1 + 2δ) and RD = MD (1 − δ), Basser & Pierpaoli's FA (J Magn Reson B 111,
    209, 1996) is δ √3 / √(1 + 2δ²), so δ = FA / √(3 − 2 FA²).

    Examples
    --------
    >>> axial_radial(1.0, 1.0)
    (3.0, 0.0)
    """
    delta = fa / math.sqrt(3 - 2 * fa**2)
    return md * (1 + 2 * delta), md * (1 - delta)


@functools.lru_cache(maxsize=8)
def _repelled(n: int) -> bytes:
    from dipy.core.sphere import HemiSphere, disperse_charges

    # A spiral over the half sphere is a good start, and the same on every call.
    step = np.arange(n) + 0.5
    z, turn = step / n, step * np.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - z**2)
    start = HemiSphere(xyz=np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z]))
    vertices = disperse_charges(start, 300)[0].vertices
    return np.ascontiguousarray(vertices, dtype=float).tobytes()


def repelled_directions(n: int) -> Array:
    """Return directions spread evenly over the half sphere, as charges that repel each other.

    Parameters
    ----------
    n : int
        Number of directions, at least 6.

    Returns
    -------
    numpy.ndarray of shape (n, 3)
        Unit vectors, the same at each call.

    Raises
    ------
    FormatError
        For fewer than six, which no tensor can be fitted to.

    References
    ----------
    Jones, Horsfield & Simmons, Magn Reson Med 42, 515 (1999).

    Examples
    --------
    >>> import numpy as np
    >>> g = repelled_directions(30)
    >>> np.allclose(g.T @ g / 30, np.eye(3) / 3, atol=0.01)
    True
    """
    if int(n) != n or n < 6:
        raise FormatError(f"a tensor needs at least 6 directions, found {n!r}")
    return np.frombuffer(_repelled(int(n))).reshape(-1, 3).copy()


def attenuation(cosine: Array, b: Array, ad: float, rd: float) -> Array:
    """Return exp(−b gᵀDg) of an axially symmetric tensor.

    Parameters
    ----------
    cosine : ndarray of shape (..., n)
        Axis of the tensor times the directions.
    b : ndarray of shape (n,)
        b-values, ms/µm² (a thousandth of s/mm²).
    ad, rd : float
        Axial and radial diffusivity, µm²/ms.

    Returns
    -------
    numpy.ndarray of shape (..., n)
        1 without weighting.
    """
    return np.asarray(np.exp(-b * (rd + (ad - rd) * cosine**2)))
