"""Times until an event: what enters, who is at risk, and how likely it is to be still followed."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError
from ._checks import as_numbers, as_outcome, check_same_rows

__all__ = ["AtRisk", "Censoring", "as_survival", "as_survival_and", "as_times", "at_risk"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def as_survival(time: ArrayLike, event: ArrayLike) -> tuple[Floats, Flags]:
    """Return follow-up times and event flags of the same people.

    Parameters
    ----------
    time : array-like of shape (n,)
        Time to the event or to the end of follow-up; finite, not negative.
    event : array-like of shape (n,)
        1 where the event ended the follow-up, 0 where it was censored.

    Returns
    -------
    tuple of numpy.ndarray
        Floats and flags, both of shape (n,).

    Raises
    ------
    FormatError
        For missing, infinite or negative times, other flags, lengths that differ, or nobody.
    AlignmentError
        When both are labelled and their labels don't match.
    """
    check_same_rows(time, event, ("time", "event"))
    times = as_numbers(time, "time")
    flags = as_outcome(event, both_classes=False)
    if len(times) != len(flags):
        raise FormatError(f"time has {len(times)} values and event has {len(flags)}")
    if not len(times):
        raise FormatError("there is nobody", where="time")
    negative = int((times < 0).sum())
    if negative:
        raise FormatError(
            f"{negative} of {len(times)} times are negative, the least {times.min():g}",
            where="time",
            remedy="count from the index event to the event or to the last contact",
        )
    return times, flags


def as_survival_and(
    time: ArrayLike, event: ArrayLike, values: ArrayLike, name: str, *, ndim: int = 1
) -> tuple[Floats, Flags, Floats]:
    """Return times, flags and further numbers of the same people."""
    times, flags = as_survival(time, event)
    check_same_rows(time, values, ("time", name))
    numbers = as_numbers(values, name, ndim=ndim)
    if len(numbers) != len(times):
        raise FormatError(f"time has {len(times)} values and {name} has {len(numbers)} rows")
    return times, flags, numbers


def as_times(times: ArrayLike, name: str = "times") -> Floats:
    """Return one or more horizons, above 0 and rising."""
    values = as_numbers(np.atleast_1d(np.asarray(times)), name)
    if not len(values) or (values <= 0).any() or (np.diff(values) <= 0).any():
        raise FormatError(
            f"horizons lie above 0, each after the one before, found {values.tolist()[:6]}",
            where=name,
        )
    return values


@dataclasses.dataclass(frozen=True)
class AtRisk:
    """Distinct times, and how many were at risk, had the event and were censored at each."""

    time: Floats
    at_risk: NDArray[np.int64]
    events: NDArray[np.int64]
    censored: NDArray[np.int64]


def at_risk(time: Floats, event: Flags) -> AtRisk:
    """Count; who is censored at a time was still at risk at it."""
    distinct, where = np.unique(time, return_inverse=True)
    events = np.bincount(where[event], minlength=len(distinct))
    total = np.bincount(where, minlength=len(distinct))
    return AtRisk(distinct, len(time) - np.cumsum(total) + total, events, total - events)


class Censoring:
    """Kaplan–Meier's estimate of being still followed, G(t) = P(censored after t).

    An event comes before a censoring of the same time, so that the chance to have seen an
    event at t is G just before t, and the chance to be followed beyond t is G at t.
    """

    def __init__(self, time: Floats, event: Flags) -> None:
        table = at_risk(time, event)
        open_ = np.maximum(table.at_risk - table.events, 1)
        self.time = table.time
        self.survival = np.cumprod(1 - table.censored / open_)
        # Nobody is known to be well after a last time that ends in censoring; before it, they are.
        last = float(self.time[-1])
        self.end = last if self.survival[-1] > 0 else max(0.0, float(np.nextafter(last, 0.0)))

    def at(self, times: Floats) -> Floats:
        """Return G at times, right-continuous."""
        return self._step(np.searchsorted(self.time, times, side="right"))

    def before(self, times: Floats) -> Floats:
        """Return G just before times."""
        return self._step(np.searchsorted(self.time, times, side="left"))

    def _step(self, position: NDArray[np.intp]) -> Floats:
        return np.concatenate([[1.0], self.survival])[position]


def censoring_of_training(
    time: Floats, event: Flags, train_time: ArrayLike | None, train_event: ArrayLike | None
) -> tuple[Censoring, float]:
    """Return the censoring distribution of the training people, and how far horizons may go.

    Without training people that of the same people serves.
    """
    own = Censoring(time, event)
    if train_time is None and train_event is None:
        return own, own.end
    if train_time is None or train_event is None:
        raise FormatError("train_time and train_event are given together, or neither")
    training = Censoring(*as_survival(train_time, train_event))
    return training, min(own.end, training.end)
