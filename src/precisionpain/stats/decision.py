"""Decision curves: what acting on a prediction is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import FormatError
from ._checks import as_numbers, as_outcome_and_probability, check_fraction

__all__ = ["net_benefit"]


def net_benefit(
    y: ArrayLike,
    p: ArrayLike,
    thresholds: ArrayLike | None = None,
    prevalence: float | None = None,
) -> pd.DataFrame:
    """Tabulate the net benefit of treating those at or above each threshold.

    Net benefit = sensitivity · π − (1 − specificity) · (1 − π) · t / (1 − t): true
    positives per person, less false positives at the exchange rate that the threshold t
    implies.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    p : array-like of shape (n,)
        Predicted probability. People with p ≥ t are treated.
    thresholds : array-like of float, optional
        Probabilities at or above 0 and below 1; by default 0.01, 0.02, …, 0.99.
    prevalence : float, optional
        π in the population where the model would be used, if the sample was drawn by
        outcome; by default the share of events in `y`.

    Returns
    -------
    pandas.DataFrame
        One row per threshold with the columns ``threshold``, ``model``, ``treat_all``,
        ``treat_none`` (zero), in true positives per person, and ``standardised``
        (``model / π``, at most 1).

    Raises
    ------
    FormatError
        When the outcome has one class, a value isn't a probability, or a threshold isn't
        in range.
    AlignmentError
        When `y` and `p` are labelled and their labels don't match.

    References
    ----------
    Vickers & Elkin, Medical Decision Making 26, 565 (2006).

    Examples
    --------
    >>> net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], thresholds=[0.2, 0.5])
       threshold   model  treat_all  treat_none  standardised
    0        0.2  0.4375      0.375         0.0         0.875
    1        0.5  0.0000      0.000         0.0         0.000
    """
    event, probability = as_outcome_and_probability(y, p)
    grid = np.arange(1, 100) / 100 if thresholds is None else as_numbers(thresholds, "thresholds")
    if grid.size and (grid.min() < 0 or grid.max() >= 1):
        raise FormatError(
            f"thresholds lie between 0 and 1 (excluded), found {grid.min():g} to {grid.max():g}",
            where="thresholds",
        )
    share = float(event.mean())
    if prevalence is not None:
        check_fraction(prevalence, "prevalence")
        share = float(prevalence)
    treated = probability[None, :] >= grid[:, None]
    sensitivity = treated[:, event].mean(axis=1)
    false_positive_rate = treated[:, ~event].mean(axis=1)
    odds = grid / (1 - grid)
    model = sensitivity * share - false_positive_rate * (1 - share) * odds
    return pd.DataFrame(
        {
            "threshold": grid,
            "model": model,
            "treat_all": share - (1 - share) * odds,
            "treat_none": 0.0,
            "standardised": model / share,
        }
    )
