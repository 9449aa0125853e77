"""Intensities without regard to where they lie, and the local intensity peak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

__all__ = ["histogram", "local_peaks", "statistics", "volume_histogram"]

Floats = NDArray[np.float64]
Features = dict[str, float]

PEAK_RADIUS = (3 / (4 * np.pi)) ** (1 / 3) * 10  # mm: a sphere of one cubic centimetre


def _shared(x: NDArray, prefix: str) -> Features:
    """Summaries that intensities and grey levels have in common."""
    x = x.astype(float)
    mean = x.mean()
    centred = x - mean
    variance = float((centred**2).mean())
    low, q1, median, q3, high = np.percentile(x, [10, 25, 50, 75, 90])
    inner = x[(x >= low) & (x <= high)]
    flat = x.min() == x.max()
    features = {
        "mean": mean,
        "variance": variance,
        # IBSI sets both to zero where all intensities are equal.
        "skewness": 0.0 if flat else (centred**3).mean() / variance**1.5,
        "excess_kurtosis": 0.0 if flat else (centred**4).mean() / variance**2 - 3,
        "median": median,
        "minimum": x.min(),
        "p10": low,
        "p90": high,
        "maximum": x.max(),
        "interquartile_range": q3 - q1,
        "range": np.ptp(x),
        "mean_absolute_deviation": np.abs(centred).mean(),
        "robust_mean_absolute_deviation": np.abs(inner - inner.mean()).mean(),
        "median_absolute_deviation": np.abs(x - median).mean(),
        "coefficient_of_variation": np.sqrt(variance) / mean if mean != 0 else np.nan,
        "quartile_coefficient_of_dispersion": (q3 - q1) / (q3 + q1) if q3 + q1 != 0 else np.nan,
    }
    return {f"{prefix}_{name}": float(value) for name, value in features.items()}


def statistics(x: Floats) -> Features:
    """Intensity-based statistics (UHIW); kurtosis is excess kurtosis."""
    energy = float(x @ x)
    return {
        **_shared(x, "stat"),
        "stat_energy": energy,
        "stat_root_mean_square": float(np.sqrt(energy / len(x))),
    }


def histogram(levels: NDArray[np.int64], n_levels: int) -> Features:
    """Intensity histogram (ZVCW) of the discretised intensities."""
    count = np.bincount(levels, minlength=n_levels + 1)[1:]
    p = count[count > 0] / len(levels)
    modes = 1 + np.flatnonzero(count == count.max())
    gradient = np.gradient(count.astype(float)) if len(count) > 1 else np.full(1, np.nan)
    single = len(count) < 2
    return {
        **_shared(levels, "ih"),
        # Of several modes, the one closest to the mean.
        "ih_mode": float(modes[np.argmin(np.abs(modes - levels.mean()))]),
        "ih_entropy": float(-(p * np.log2(p)).sum()),
        "ih_uniformity": float((p**2).sum()),
        "ih_maximum_gradient": float(gradient.max()),
        "ih_maximum_gradient_level": np.nan if single else float(1 + gradient.argmax()),
        "ih_minimum_gradient": float(gradient.min()),
        "ih_minimum_gradient_level": np.nan if single else float(1 + gradient.argmin()),
    }


def volume_histogram(levels: NDArray[np.int64], n_levels: int, values: Floats) -> Features:
    """Intensity-volume histogram (P88C).

    Parameters
    ----------
    levels : ndarray of int
        Level of each voxel, from 1.
    n_levels : int
        The number of levels.
    values : ndarray of shape (n_levels,)
        Intensity that each level stands for.
    """
    count = np.bincount(levels, minlength=n_levels + 1)[1:]
    volume = 1 - np.concatenate(([0], np.cumsum(count)[:-1])) / len(levels)
    span = values[-1] - values[0]
    if span == 0:
        at: dict[int, tuple[float, float]] = dict.fromkeys((10, 90), (np.nan, np.nan))
        area = np.nan
    else:
        fraction = (values - values[0]) / span
        # Rounding must not push a level that lies exactly on a limit to its wrong side.
        at = {
            x: (
                float(volume[fraction >= x / 100 - 1e-12].max()),
                float(values[volume <= x / 100 + 1e-12].min(initial=np.inf)),
            )
            for x in (10, 90)
        }
        # Where the brightest level holds more than the wanted share, no level is that rare.
        at = {x: (v, i if np.isfinite(i) else float(values[-1])) for x, (v, i) in at.items()}
        area = float(np.trapezoid(volume, fraction))
    return {
        "ivh_volume_at_intensity_10": at[10][0],
        "ivh_volume_at_intensity_90": at[90][0],
        "ivh_intensity_at_volume_10": at[10][1],
        "ivh_intensity_at_volume_90": at[90][1],
        "ivh_volume_difference_10_90": at[10][0] - at[90][0],
        "ivh_intensity_difference_10_90": at[10][1] - at[90][1],
        "ivh_area_under_curve": area,
    }


def local_peaks(image: Floats, mask: NDArray[np.bool_], spacing: Sequence[float]) -> Features:
    """Local intensity (9ST6): means over a sphere of 1 cm³ around voxels of the mask.

    The sphere takes in voxels outside the mask, as far as the image goes.
    """
    reach = [int(PEAK_RADIUS / step) for step in spacing]
    box = tuple(
        slice(max(int(axis.min()) - r, 0), int(axis.max()) + r + 1)
        for axis, r in zip(np.nonzero(mask), reach, strict=True)
    )
    image, mask = image[box], mask[box]
    axes = [step * np.arange(-r, r + 1) for step, r in zip(spacing, reach, strict=True)]
    square = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))
    sphere = (square <= PEAK_RADIUS**2).astype(float)
    known = np.isfinite(image)
    centre = float(image[mask].mean())
    # Centred, so that the rounding of the Fourier transform stays relative to the contrast.
    sums = fftconvolve(np.where(known, image - centre, 0.0), sphere, mode="same")
    peaks = centre + (sums / np.rint(fftconvolve(known.astype(float), sphere, mode="same")))[mask]
    brightest = image[mask] == image[mask].max()
    return {
        "loc_local_peak": float(peaks[brightest].max()),
        "loc_global_peak": float(peaks.max()),
    }
