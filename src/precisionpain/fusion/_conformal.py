"""Sets of classes that hold the true one as often as asked for."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["class_thresholds", "within"]


def class_thresholds(p: np.ndarray, y: np.ndarray, confidence: float) -> np.ndarray:
    """Return for each class how improbable it may be for somebody and still be in their set.

    Parameters
    ----------
    p : numpy.ndarray of shape (n, 2)
        Probabilities of people whom the model hadn't seen.
    y : numpy.ndarray of shape (n,)
        0 and 1.
    confidence : float
        Share of the people of each class whose set should hold it.

    Returns
    -------
    numpy.ndarray of shape (2,)
        Lowest probabilities; 0, so that no set is without the class, where it has too few people
        to say anything at that level.

    Notes
    -----
    Label-conditional (Mondrian) conformal prediction: each class keeps its own promise, where
    one for both together would be kept at the cost of the rarer one. For new people from where
    these came the promise holds in any finite sample if the model is that of the left-out
    predictions; here it is one trained on all, as in the cross-conformal predictor.

    References
    ----------
    .. [1] Vovk V, Gammerman A, Shafer G. Algorithmic learning in a random world. Springer 2005.
    .. [2] Vovk V. Cross-conformal predictors. Ann Math Artif Intell 2015;74:9.
    """
    lowest = np.zeros(2)
    for c in (0, 1):
        own = np.sort(p[y == c, c])
        # The rank from above, so that with one more person the share is at least `confidence`.
        rank = math.ceil((len(own) + 1) * confidence - 1e-9)
        if rank <= len(own):
            lowest[c] = own[len(own) - rank]
    return lowest


def within(p: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Tell which classes are in the set of each person: shape (n, 2), bool."""
    return np.asarray(p >= lowest)
