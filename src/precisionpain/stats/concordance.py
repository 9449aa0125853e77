"""How often the one with the higher risk has the event first: the C of Harrell and of Uno."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from ..errors import DataWarning, FormatError
from ._censoring import Flags, Floats, as_survival_and, censoring_of_training
from ._checks import as_numbers, check_fraction

__all__ = ["Concordance", "harrell_c", "uno_c"]

# Pairs that are held at once.
_BLOCK = 4_000_000


@dataclasses.dataclass(frozen=True, repr=False)
class Concordance:
    """A concordance with its interval.

    Parameters
    ----------
    c : float
        0 to 1; 0.5 for a risk that ranks nobody.
    se : float
        From the infinitesimal jackknife over people.
    ci_low, ci_high : float
        Wald limits, within 0 to 1.
    concordant, discordant, tied_risk : int
        Comparable pairs, unweighted: the one with the event first had the higher risk, the
        lower, or the same.
    tied_time : int
        Pairs with both events at one time, which say nothing about order and don't count.
    tau : float
        Events after this time weren't used; infinite for all.
    clipped : bool
        Whether a later `tau` was asked for than the follow-up allows.
    confidence : float
        Of the limits.
    """

    c: float
    se: float
    ci_low: float
    ci_high: float
    concordant: int
    discordant: int
    tied_risk: int
    tied_time: int
    tau: float = np.inf
    clipped: bool = False
    confidence: float = 0.95

    def __repr__(self) -> str:
        until = "" if np.isinf(self.tau) else f", until {self.tau:g}"
        return (
            f"Concordance({self.c:.3f}, {self.confidence:.0%} CI {self.ci_low:.3f} to "
            f"{self.ci_high:.3f}{until})"
        )


def harrell_c(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Concordance:
    """Return Harrell's concordance of a risk score.

    A pair counts when the one with the shorter time has the event: then that one should have
    the higher risk. Equal risks count half. At equal times someone with the event comes before
    someone censored; two events at one time don't count.

    Parameters
    ----------
    time : array-like of shape (n,)
        Time to the event or to the end of follow-up.
    event : array-like of shape (n,)
        1 for the event, 0 for the end of follow-up.
    risk : array-like of shape (n,)
        Higher means an earlier event is expected.
    strata : array-like of shape (n,), optional
        Only pairs within a stratum count: for scores of several models (folds, sites) that
        share no scale.
    confidence : float, default 0.95
        Of the limits.

    Returns
    -------
    Concordance

    Raises
    ------
    FormatError
        For missing values, flags other than 0 and 1, or when no pair can be compared.
    AlignmentError
        When two arguments are labelled and their labels don't match.

    References
    ----------
    Harrell et al., JAMA 247, 2543 (1982); Therneau & Atkinson, Concordance (vignette of the R
    package survival, 2023) for ties and the jackknife.

    Examples
    --------
    >>> harrell_c([1, 2, 3, 4], [1, 1, 0, 1], [0.9, 0.3, 0.4, 0.1]).c
    0.8
    """
    check_fraction(confidence, "confidence")
    times, flags, scores = as_survival_and(time, event, risk, "risk")
    return _concordance(times, flags, scores, flags.astype(float), strata, confidence)


def uno_c(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    *,
    train_time: ArrayLike | None = None,
    train_event: ArrayLike | None = None,
    tau: float | None = None,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Concordance:
    """Return Uno's concordance, which doesn't depend on how long people were followed.

    Pairs are those of `harrell_c`, each weighted by one over the squared chance of being
    followed until the event, as Kaplan–Meier estimates it.

    Parameters
    ----------
    time, event, risk : array-like of shape (n,)
        As in `harrell_c`.
    train_time, train_event : array-like of shape (m,), optional
        People whose censoring gives the weights, those that the model was trained on; by
        default those of `time`.
    tau : float, optional
        Events up to this time count; by default, and at most, as far as the follow-up goes: to
        the last time of the training people or of the others, whichever is earlier.
    strata : array-like of shape (n,), optional
        Only pairs within a stratum count.
    confidence : float, default 0.95
        Of the limits, which take the weights as known.

    Returns
    -------
    Concordance

    Raises
    ------
    FormatError
        As `harrell_c`.

    Warns
    -----
    DataWarning
        When `tau` is later than the follow-up allows, and so was clipped.

    Notes
    -----
    The weight is that just before the event, because an event comes before a censoring of the
    same time (as in R's ``concordance(timewt = "n/G2")``; scikit-survival takes the value
    after it, which differs where both happen at one time).

    References
    ----------
    Uno et al., Statistics in Medicine 30, 1105 (2011).

    Examples
    --------
    >>> found = uno_c([1, 2, 3, 4, 5], [1, 0, 1, 1, 0], [0.9, 0.3, 0.2, 0.5, 0.1], tau=4)
    >>> round(found.c, 4)  # (4 + 2 * 16/9) / (4 + 3 * 16/9)
    0.8095
    """
    check_fraction(confidence, "confidence")
    times, flags, scores = as_survival_and(time, event, risk, "risk")
    censoring, end = censoring_of_training(times, flags, train_time, train_event)
    limit = end
    if tau is not None:
        limit = min(float(as_numbers([tau], "tau")[0]), end)
        if tau > end:
            warnings.warn(
                f"tau = {tau:g} is beyond the follow-up; events up to {end:g} count",
                DataWarning,
                stacklevel=2,
            )
    weight = np.zeros(len(times))
    used = flags & (times <= limit)
    weight[used] = censoring.before(times[used]) ** -2
    found = _concordance(times, flags, scores, weight, strata, confidence)
    return dataclasses.replace(found, tau=limit, clipped=tau is not None and tau > end)


def _concordance(
    time: Floats,
    event: Flags,
    risk: Floats,
    weight: Floats,
    strata: ArrayLike | None,
    confidence: float,
) -> Concordance:
    n = len(time)
    stratum = np.zeros(n, dtype=int)
    if strata is not None:
        stratum, _ = pd.factorize(np.asarray(strata))
        if len(stratum) != n or (stratum < 0).any():
            raise FormatError(f"expected a stratum for each of {n} people", where="strata")
    better, pairs = np.zeros(n), np.zeros(n)
    counts = np.zeros(4, dtype=np.int64)
    for rows in _blocks(np.flatnonzero(weight > 0), n):
        same = stratum[rows, None] == stratum
        tied = time[rows, None] == time
        later = same & ((time[rows, None] < time) | (tied & ~event))
        higher = later & (risk[rows, None] > risk)
        equal = later & (risk[rows, None] == risk)
        counts += [
            higher.sum(),
            later.sum() - higher.sum() - equal.sum(),
            equal.sum(),
            (same & tied & event).sum() - len(rows),
        ]
        w = weight[rows, None]
        won = (higher + 0.5 * equal) * w
        all_ = later * w
        better += won.sum(axis=0)
        pairs += all_.sum(axis=0)
        better[rows] += won.sum(axis=1)
        pairs[rows] += all_.sum(axis=1)
    total = pairs.sum() / 2  # each pair was counted for both of its people
    if not total > 0:
        raise FormatError(
            "no pair of people can be compared: nobody has an event before the others' times",
            where="time",
        )
    c = float(better.sum() / 2 / total)
    se = float(np.sqrt(np.sum(((better - c * pairs) / total) ** 2)))
    half = float(ndtri((1 + confidence) / 2)) * se
    return Concordance(
        c=c,
        se=se,
        ci_low=max(0.0, c - half),
        ci_high=min(1.0, c + half),
        concordant=int(counts[0]),
        discordant=int(counts[1]),
        tied_risk=int(counts[2]),
        tied_time=int(counts[3]) // 2,
        confidence=confidence,
    )


def _blocks(rows: NDArray[np.intp], n: int) -> Iterator[NDArray[np.intp]]:
    step = max(1, _BLOCK // n)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
