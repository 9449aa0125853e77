"""Predicted survival against what happened: Brier scores and the AUC at horizons."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import DataWarning, FormatError
from ._censoring import (
    Censoring,
    Flags,
    Floats,
    as_survival,
    as_survival_and,
    as_times,
    censoring_of_training,
)
from ._checks import as_numbers, check_same_rows
from .survival import kaplan_meier

__all__ = [
    "brier_score",
    "clip_horizons",
    "cumulative_dynamic_auc",
    "integrated_brier_score",
]


def clip_horizons(
    times: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    train_time: ArrayLike | None = None,
    train_event: ArrayLike | None = None,
) -> pd.DataFrame:
    """Move horizons that nobody was followed to back to where the follow-up ends.

    Parameters
    ----------
    times : array-like of shape (k,)
        Horizons, above 0 and rising, in the unit of `time`.
    time, event : array-like of shape (n,)
        People to be evaluated.
    train_time, train_event : array-like of shape (m,), optional
        People that the model was trained on.

    Returns
    -------
    pandas.DataFrame
        Index ``asked``; columns ``time`` (the horizon, or the end of the follow-up if that is
        earlier), ``clipped`` (whether it was moved), and ``n_at_risk`` (people to be evaluated
        who were followed to ``time`` or longer). The end is the last time of the training people
        or of the others, whichever is earlier; the moment before it where it ends in censoring.

    Raises
    ------
    FormatError
        For missing or negative times, or horizons that don't rise.

    Examples
    --------
    >>> clip_horizons([2, 9], [1, 2, 3, 4], [1, 1, 1, 1])["time"].tolist()
    [2.0, 4.0]
    """
    followed, flags = as_survival(time, event)
    horizons = as_times(times)
    _, end = censoring_of_training(followed, flags, train_time, train_event)
    clipped = np.minimum(horizons, end)
    return pd.DataFrame(
        {
            "time": clipped,
            "clipped": horizons > end,
            "n_at_risk": (followed[None, :] >= clipped[:, None]).sum(axis=1),
        },
        pd.Index(horizons, name="asked"),
    )


def brier_score(
    time: ArrayLike,
    event: ArrayLike,
    survival_probabilities: ArrayLike,
    times: ArrayLike,
    *,
    train_time: ArrayLike | None = None,
    train_event: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the mean squared error of predicted survival at horizons, and Kaplan–Meier's.

    Who was censored before the horizon doesn't count; the others are weighted by one over the
    chance of being followed that far.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        As `kaplan_meier` takes them.
    survival_probabilities : array-like of shape (n, k) or (n,)
        Predicted chance of no event by each horizon.
    times : array-like of shape (k,)
        Horizons, rising.
    train_time, train_event : array-like of shape (m,), optional
        People whose censoring gives the weights and whose curve is the reference, those that
        the model was trained on; by default those of `time`.

    Returns
    -------
    pandas.DataFrame
        Index ``time``; columns ``brier``, ``reference`` (of Kaplan–Meier's curve of the training
        people, predicted for everybody), ``scaled`` (1 − brier / reference), ``beyond``
        (whether the horizon is past the follow-up, where no score can be had: NaN) and
        ``n_at_risk``.

    Raises
    ------
    FormatError
        For missing values, probabilities outside of 0 to 1, or shapes that don't fit.

    Warns
    -----
    DataWarning
        When a horizon is beyond the follow-up of the training people or of the others.

    References
    ----------
    Graf et al., Statistics in Medicine 18, 2529 (1999).

    Examples
    --------
    >>> brier_score([1, 2, 3], [1, 1, 1], [0.1, 0.6, 0.9], 1.5)["brier"].round(2).tolist()
    [0.06]
    """
    followed, flags = as_survival(time, event)
    horizons = as_times(times)
    predicted = _predicted(time, survival_probabilities, len(followed), len(horizons))
    censoring, end = censoring_of_training(followed, flags, train_time, train_event)
    beyond = _warn_beyond(horizons, end)
    score = _graf(followed, flags, predicted, horizons, censoring)
    own = (followed, flags) if train_time is None else (train_time, train_event)
    curve = np.nan_to_num(kaplan_meier(*own).at(horizons)["survival"].to_numpy())
    flat = np.broadcast_to(curve, predicted.shape)
    reference = _graf(followed, flags, flat, horizons, censoring)
    score[beyond] = reference[beyond] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(reference > 0, 1 - score / reference, np.nan)
    return pd.DataFrame(
        {
            "brier": score,
            "reference": reference,
            "scaled": scaled,
            "beyond": beyond,
            "n_at_risk": (followed[None, :] >= horizons[:, None]).sum(axis=1),
        },
        pd.Index(horizons, name="time"),
    )


def integrated_brier_score(
    time: ArrayLike,
    event: ArrayLike,
    survival_probabilities: ArrayLike,
    times: ArrayLike,
    *,
    train_time: ArrayLike | None = None,
    train_event: ArrayLike | None = None,
) -> pd.Series:
    """Return the Brier score averaged over time, and Kaplan–Meier's.

    Parameters
    ----------
    time, event, survival_probabilities, times, train_time, train_event : array-like
        As `brier_score` takes them, with at least two horizons within the follow-up.

    Returns
    -------
    pandas.Series
        ``brier``, ``reference`` and ``scaled`` (1 − brier / reference), by the trapezoidal rule
        over the horizons within the follow-up, divided by their range; ``start`` and ``end``
        of that range; ``n_beyond``, horizons that were left out.

    Raises
    ------
    FormatError
        As `brier_score`, and with fewer than two horizons within the follow-up.

    Warns
    -----
    DataWarning
        When a horizon is beyond the follow-up.

    References
    ----------
    Graf et al., Statistics in Medicine 18, 2529 (1999).

    Examples
    --------
    >>> good = [[0.2, 0.1], [0.9, 0.3], [0.9, 0.9]]
    >>> integrated_brier_score([1, 2, 3], [1, 1, 1], good, [1.5, 2.5])["brier"].round(3)
    np.float64(0.028)
    """
    table = brier_score(
        time,
        event,
        survival_probabilities,
        times,
        train_time=train_time,
        train_event=train_event,
    )
    inside = table[~table["beyond"]]
    if len(inside) < 2:
        raise FormatError(
            f"expected at least two horizons within the follow-up, found {len(inside)}",
            where="times",
        )
    x = inside.index.to_numpy(dtype=float)
    span = x[-1] - x[0]
    score, reference = (
        float(np.trapezoid(inside[name].to_numpy(), x) / span) for name in ("brier", "reference")
    )
    return pd.Series(
        {
            "brier": score,
            "reference": reference,
            "scaled": 1 - score / reference if reference > 0 else np.nan,
            "start": x[0],
            "end": x[-1],
            "n_beyond": float(table["beyond"].sum()),
        }
    )


def cumulative_dynamic_auc(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    times: ArrayLike,
    *,
    train_time: ArrayLike | None = None,
    train_event: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the AUC of telling those with the event by a horizon from those without.

    Who had the event by the horizon is weighted by one over the chance of having been followed
    until then. Equal risks count half.

    Parameters
    ----------
    time, event : array-like of shape (n,)
        As `kaplan_meier` takes them.
    risk : array-like of shape (n,) or (n, k)
        Higher means an earlier event; one score, or one for each horizon.
    times : array-like of shape (k,)
        Horizons, rising.
    train_time, train_event : array-like of shape (m,), optional
        People whose censoring gives the weights; by default those of `time`.

    Returns
    -------
    pandas.DataFrame
        Index ``time``; columns ``auc`` (NaN where nobody had the event yet, or nobody is left,
        or past the follow-up), ``n_events`` and ``n_controls``, and ``beyond`` (whether the
        horizon is past the follow-up).

    Raises
    ------
    FormatError
        For missing values or shapes that don't fit.

    Warns
    -----
    DataWarning
        When a horizon is beyond the follow-up of the training people or of the others.

    References
    ----------
    Uno et al., JASA 102, 527 (2007); Hung & Chiang, Canadian Journal of Statistics 38, 8 (2010).

    Examples
    --------
    >>> table = cumulative_dynamic_auc([1, 2, 3, 4], [1, 1, 0, 1], [4, 1, 2, 3], [1.5, 2.5])
    >>> table["auc"].tolist()
    [1.0, 0.5]
    """
    ndim = np.ndim(risk)
    followed, flags, scores = as_survival_and(time, event, risk, "risk", ndim=max(1, ndim))
    horizons = as_times(times)
    if scores.ndim == 1:
        scores = np.broadcast_to(scores[:, None], (len(scores), len(horizons)))
    if scores.shape[1] != len(horizons):
        raise FormatError(
            f"risk has {scores.shape[1]} columns for {len(horizons)} horizons", where="risk"
        )
    censoring, end = censoring_of_training(followed, flags, train_time, train_event)
    beyond = _warn_beyond(horizons, end)
    rows = []
    for horizon, score, past in zip(horizons, scores.T, beyond, strict=True):
        case = flags & (followed <= horizon)
        control = followed > horizon
        value = np.nan
        if case.any() and control.any() and not past:
            others = np.sort(score[control])
            below = np.searchsorted(others, score[case], side="left")
            upto = np.searchsorted(others, score[case], side="right")
            won = (below + upto) / (2 * len(others))
            value = float(np.average(won, weights=1 / censoring.before(followed[case])))
        rows.append((value, int(case.sum()), int(control.sum()), bool(past)))
    return pd.DataFrame(
        rows,
        columns=["auc", "n_events", "n_controls", "beyond"],
        index=pd.Index(horizons, name="time"),
    )


def _predicted(time: ArrayLike, values: ArrayLike, n: int, k: int) -> Floats:
    check_same_rows(time, values, ("time", "survival_probabilities"))
    table = as_numbers(values, "survival_probabilities", ndim=np.ndim(values))
    table = table[:, None] if table.ndim == 1 else table
    if table.shape != (n, k):
        raise FormatError(
            f"expected {n} people × {k} horizons, found {table.shape}",
            where="survival_probabilities",
        )
    if table.min() < 0 or table.max() > 1:
        raise FormatError(
            f"a probability lies between 0 and 1, found {table.min():g} to {table.max():g}",
            where="survival_probabilities",
        )
    return table


def _graf(
    time: Floats, event: Flags, predicted: Floats, horizons: Floats, censoring: Censoring
) -> Floats:
    seen = np.maximum(censoring.before(time), np.finfo(float).tiny)
    followed = np.maximum(censoring.at(horizons), np.finfo(float).tiny)
    case = event[:, None] & (time[:, None] <= horizons)
    left = time[:, None] > horizons
    # A weight can only be out of bounds where the horizon is past the follow-up.
    with np.errstate(over="ignore"):
        parts = case * predicted**2 / seen[:, None] + left * (1 - predicted) ** 2 / followed
    return np.asarray(parts.mean(axis=0))


def _warn_beyond(horizons: Floats, end: float) -> np.ndarray:
    beyond = horizons > end
    if beyond.any():
        told = ", ".join(f"{t:g}" for t in horizons[beyond][:5])
        warnings.warn(
            f"{int(beyond.sum())} of {len(horizons)} horizons ({told}) are beyond the follow-up, "
            f"which goes to {end:g}: nothing can be said there (see clip_horizons)",
            DataWarning,
            stacklevel=3,
        )
    return np.asarray(beyond)
