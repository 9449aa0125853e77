"""Consensus over random parts of the people: who is together, and how surely."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

__all__ = ["Consensus", "consensus_groups", "resample"]


@dataclasses.dataclass(frozen=True)
class Consensus:
    """How often two people are in one cluster of those times that both were drawn."""

    matrix: np.ndarray
    pac: float
    stability: float


def resample(
    groups: np.ndarray,
    cluster: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    *,
    n_resamples: int,
    rng: np.random.Generator,
    share: float = 0.8,
    between: tuple[float, float] = (0.1, 0.9),
) -> Consensus:
    """Cluster random parts of the people.

    Parameters
    ----------
    groups : numpy.ndarray of int
        Cluster of each person in the clustering of everybody, shape (n,).
    cluster : callable
        From the rows of a part, and a source of chance, to the cluster of each.
    n_resamples : int
        Parts.
    rng : numpy.random.Generator
        Source of chance.
    share : float, default 0.8
        Of the people in each part.
    between : (float, float), default (0.1, 0.9)
        Consensus that counts as ambiguous.

    Returns
    -------
    Consensus
        With the proportion of ambiguous pairs (PAC), and the mean adjusted Rand index of the
        parts with the clustering of everybody.

    References
    ----------
    .. [1] Monti S, et al. Consensus clustering. Machine Learning 2003;52:91.
    .. [2] Șenbabaoğlu Y, et al. Critical limitations of consensus clustering in class discovery.
       Sci Rep 2014;4:6207 (PAC).
    """
    from sklearn.metrics import adjusted_rand_score

    n = len(groups)
    together, drawn = np.zeros((n, n)), np.zeros((n, n))
    agreement = []
    for _ in range(n_resamples):
        rows = np.sort(rng.choice(n, size=max(2, round(share * n)), replace=False))
        found = cluster(rows, rng)
        together[np.ix_(rows, rows)] += found[:, None] == found[None, :]
        drawn[np.ix_(rows, rows)] += 1
        agreement.append(adjusted_rand_score(groups[rows], found))
    matrix = np.divide(together, drawn, out=np.zeros((n, n)), where=drawn > 0)
    np.fill_diagonal(matrix, 1.0)
    pairs = matrix[np.triu_indices(n, 1)][drawn[np.triu_indices(n, 1)] > 0]
    pac = float(((pairs > between[0]) & (pairs < between[1])).mean())
    return Consensus(matrix, pac, float(np.mean(agreement)))


def consensus_groups(matrix: np.ndarray, k: int) -> np.ndarray:
    """Return k groups of people who are often together, by average linkage."""
    distance = squareform(1 - (matrix + matrix.T) / 2, checks=False)
    tree = hierarchy.linkage(np.maximum(distance, 0.0), method="average")
    return hierarchy.fcluster(tree, k, criterion="maxclust") - 1
