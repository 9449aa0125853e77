"""Draws that the synthetic cohorts share: named random streams, variables of known marginals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from scipy import stats

from ..errors import FormatError

__all__ = [
    "FEWEST",
    "beta_from",
    "category",
    "check_range",
    "check_size",
    "gamma_from",
    "hide",
    "mix",
    "stream",
    "whole",
]

FEWEST = 8


def stream(random_state: int, name: str) -> np.random.Generator:
    """Return the generator of one block of a cohort.

    Each block has its own stream, so that changing one argument (say, how much is missing)
    leaves every other block of the cohort as it was.

    Parameters
    ----------
    random_state : int
        The seed of the cohort.
    name : str
        The block.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng([random_state, zlib.crc32(name.encode())])


def check_size(n_subjects: int, random_state: int) -> None:
    """Refuse a cohort that is too small to be one, or a seed that is none.

    Parameters
    ----------
    n_subjects : int
        Number of people.
    random_state : int
        The seed.

    Raises
    ------
    FormatError
        Below `FEWEST` people, or for a seed that isn't a non-negative integer.
    """
    if n_subjects < FEWEST:
        raise FormatError(
            f"a synthetic cohort has at least {FEWEST} people, so that each group can have more "
            f"than one, found n_subjects={n_subjects}"
        )
    if not isinstance(random_state, int | np.integer) or random_state < 0:
        raise FormatError(
            f"random_state is a non-negative integer, found {random_state!r}",
            remedy="give a seed; the same seed gives the same cohort",
        )


def gamma_from(score: np.ndarray, mean: np.ndarray | float, sd: np.ndarray | float) -> np.ndarray:
    """Turn standard normal scores into positive values with this mean and SD.

    Parameters
    ----------
    score : numpy.ndarray
        Standard normal scores; their ranks, and so their dependence, are kept.
    mean, sd : float or numpy.ndarray
        Mean and standard deviation of the gamma distribution.

    Returns
    -------
    numpy.ndarray
    """
    shape = (np.asarray(mean) / sd) ** 2
    return stats.gamma.ppf(stats.norm.cdf(score), shape, scale=np.asarray(mean) / shape)


def beta_from(
    score: np.ndarray,
    mean: np.ndarray | float,
    sd: np.ndarray | float,
    low: float = 0.0,
    high: float = 1.0,
) -> np.ndarray:
    """Turn standard normal scores into bounded values with this mean and SD.

    Parameters
    ----------
    score : numpy.ndarray
        Standard normal scores.
    mean, sd : float or numpy.ndarray
        Mean and standard deviation of the scaled beta distribution.
    low, high : float, default 0 and 1
        Its bounds.

    Returns
    -------
    numpy.ndarray
    """
    centre = (np.asarray(mean) - low) / (high - low)
    spread = np.asarray(sd) / (high - low)
    size = centre * (1 - centre) / spread**2 - 1
    values = stats.beta.ppf(stats.norm.cdf(score), centre * size, (1 - centre) * size)
    return low + (high - low) * values


def category(rng: np.random.Generator, levels: Mapping[str, float], n: int) -> np.ndarray:
    """Draw categories.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    levels : mapping of str to float
        Level → probability; they add up to 1.
    n : int
        How many.

    Returns
    -------
    numpy.ndarray
        Of object dtype, shape (n,).
    """
    return rng.choice(np.array(list(levels), dtype=object), size=n, p=list(levels.values()))


def hide(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return a copy with some values missing: NaN for numbers, None for text.

    Parameters
    ----------
    values : numpy.ndarray
        Numbers or text.
    missing : numpy.ndarray of bool
        Where to hide.

    Returns
    -------
    numpy.ndarray
        Of float or object dtype.
    """
    text = values.dtype == object
    hidden = values.copy() if text else values.astype(float)
    hidden[missing] = None if text else np.nan
    return hidden


def whole(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Round to whole numbers within bounds, as a questionnaire or a rating scale does.

    Parameters
    ----------
    values : numpy.ndarray
        Values of any size.
    low, high : float
        Bounds of the scale.

    Returns
    -------
    numpy.ndarray
        Whole numbers, as floats.
    """
    return np.clip(np.rint(values), low, high)


def mix(*parts: np.ndarray | tuple[float, np.ndarray]) -> np.ndarray:
    """Add weighted standard normal scores, and noise so that the variance is 1.

    Parameters
    ----------
    *parts : (float, numpy.ndarray), and numpy.ndarray last
        Weight and scores of each part, and the scores of the noise.

    Returns
    -------
    numpy.ndarray
    """
    weighted = [part for part in parts if isinstance(part, tuple)]
    rest = np.sqrt(1 - sum(weight**2 for weight, _ in weighted))
    return sum(weight * score for weight, score in weighted) + rest * parts[-1]


def check_range(**arguments: tuple[float, float, float]) -> None:
    """Refuse arguments out of range.

    Parameters
    ----------
    **arguments : (value, low, high)
        By name.

    Raises
    ------
    FormatError
        Naming the argument.
    """
    for name, (value, low, high) in arguments.items():
        if not low <= value <= high:
            raise FormatError(f"{name} lies between {low:g} and {high:g}, found {value!r}")
