"""The noise of magnitude images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ive

__all__ = ["rician_mean", "rician_variance"]

Array = NDArray[np.float64]


def rician_mean(amplitude: ArrayLike, sigma: float) -> Array:
    """Return the mean magnitude of a signal with complex Gaussian noise (Rice 1944).

    σ √(π/2) L½(−A²/2σ²), with exponentially scaled Bessel functions so that a strong signal
    doesn't overflow. `sigma` is the standard deviation of one channel.
    """
    amplitude = np.asarray(amplitude, dtype=float)
    if sigma <= 0:
        return np.abs(amplitude)
    x = amplitude**2 / (2 * sigma**2)
    scaled = (1 + x) * ive(0, x / 2) + x * ive(1, x / 2)
    return np.asarray(sigma * np.sqrt(np.pi / 2) * scaled)


def rician_variance(amplitude: ArrayLike, sigma: float) -> Array:
    """Return the variance of the magnitude; σ² for strong signals, 0.43 σ² without signal."""
    amplitude = np.asarray(amplitude, dtype=float)
    return np.asarray(2 * sigma**2 + amplitude**2 - rician_mean(amplitude, sigma) ** 2)
