"""The one place where fractions, grids and options enter."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import FormatError, GeometryError
from .tissue import Tissue

__all__ = ["as_fractions", "as_grid", "check_axis", "check_range", "replace_by_tissue"]


def as_fractions(fractions: ArrayLike) -> NDArray[np.float32]:
    """Return class fractions as float32 after a look at shape and sums.

    Parameters
    ----------
    fractions : array_like of shape (nx, ny, nz, n_tissues)
        Share of each `Tissue` in each voxel, 0 to 1.

    Returns
    -------
    numpy.ndarray of float32

    Raises
    ------
    FormatError
        For another shape, or where the shares don't sum to 1 within 0.001.
    """
    array = np.asarray(fractions, dtype=np.float32)
    if array.ndim != 4 or array.shape[3] != len(Tissue) or 0 in array.shape:
        raise FormatError(
            f"expected fractions of shape (nx, ny, nz, {len(Tissue)}), found {array.shape}"
        )
    total = array @ np.ones(len(Tissue), dtype=np.float32)
    # Written so that NaN fails too.
    wrong = ~(np.abs(total - 1) <= 1e-3)
    if wrong.any() or array.min() < -1e-3:
        raise FormatError(
            f"expected fractions from 0 to 1 that sum to 1, found sums from {total.min():g} to "
            f"{total.max():g}, smallest fraction {array.min():g}"
        )
    return array


def as_grid(affine: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return an affine and its voxel size.

    Parameters
    ----------
    affine : array_like of shape (4, 4)
        Voxel indices to RAS+ mm.

    Returns
    -------
    affine : numpy.ndarray of shape (4, 4)
    spacing : numpy.ndarray of shape (3,)
        Voxel size, mm.

    Raises
    ------
    GeometryError
        When it isn't an invertible affine with perpendicular axes.
    """
    matrix = np.asarray(affine, dtype=float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError(f"expected a finite 4 x 4 affine, found shape {matrix.shape}")
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if (spacing == 0).any():
        raise GeometryError("expected an invertible affine, found an axis of length 0")
    axes = matrix[:3, :3] / spacing
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-4):
        raise GeometryError("expected perpendicular voxel axes, found a sheared affine")
    return matrix, spacing


def check_range(name: str, value: float, low: float, high: float) -> float:
    """Return a number within limits.

    Parameters
    ----------
    name : str
        What to call it in a message.
    value : float
        The number.
    low, high : float
        Its limits, both allowed.

    Returns
    -------
    float

    Raises
    ------
    FormatError
        Outside of the limits, or NaN.
    """
    number = float(value)
    if not low <= number <= high:
        raise FormatError(f"expected {name} from {low:g} to {high:g}, found {value!r}")
    return number


def check_axis(axis: int) -> int:
    """Return the phase-encoding axis.

    Parameters
    ----------
    axis : int
        Array axis.

    Returns
    -------
    int

    Raises
    ------
    FormatError
        When it isn't 0, 1 or 2.
    """
    if axis not in (0, 1, 2):
        raise FormatError(f"expected phase_axis 0, 1 or 2, found {axis!r}")
    return int(axis)


def replace_by_tissue(
    values: NDArray[np.float64], given: Mapping[Tissue | str, float] | None, where: str
) -> NDArray[np.float64]:
    """Return signals per tissue with those that the user gave put in.

    Parameters
    ----------
    values : numpy.ndarray of shape (n_tissues,)
        One signal per `Tissue`.
    given : mapping, optional
        Signals by `Tissue` or its name.
    where : str
        Name of the option, for messages.

    Returns
    -------
    numpy.ndarray of shape (n_tissues,)

    Raises
    ------
    FormatError
        For an unknown tissue or a negative signal.
    """
    replaced = values.copy()
    for key, value in (given or {}).items():
        name = key.name if isinstance(key, Tissue) else key
        if name not in Tissue.__members__:
            raise FormatError(
                f"expected tissues {', '.join(Tissue.__members__)}, found {key!r}", where=where
            )
        replaced[Tissue[name]] = check_range(f"{where} of {name}", value, 0, math.inf)
    return replaced
