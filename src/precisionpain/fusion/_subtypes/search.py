"""One search for clusters, from columns to groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from .consensus import Consensus, consensus_groups, resample
from .factors import Known
from .mixture import Mixture, fit_mixture, mixture_of
from .networks import fuse_networks, network, network_groups

__all__ = ["METHODS", "Clustering", "try_clusters"]

METHODS = ("factors", "consensus", "snf")
_LEAST_PEOPLE, _LEAST_SHARE = 5, 0.03


@dataclasses.dataclass(frozen=True)
class Clustering:
    """A number of clusters: who is in which, and how firmly."""

    groups: np.ndarray
    mixture: Mixture
    consensus: Consensus

    @property
    def smallest(self) -> int:
        """People in the smallest cluster."""
        return int(np.bincount(self.groups, minlength=len(self.mixture)).min())

    @property
    def large_enough(self) -> bool:
        """Whether every cluster has people to speak of."""
        return self.smallest >= max(_LEAST_PEOPLE, _LEAST_SHARE * len(self.groups))


def try_clusters(
    method: str,
    known: Known,
    x: np.ndarray,
    block: np.ndarray,
    ks: Sequence[int],
    *,
    n_resamples: int,
    random_state: int,
) -> dict[int, Clustering]:
    """Cluster people into each number of clusters, and again in random parts of them.

    Parameters
    ----------
    method : {"factors", "consensus", "snf"}
        Mixture on the factors; average linkage of the consensus over it; or spectral clustering
        of the fused networks.
    known : Known
        What is known of the factors of n people.
    x : numpy.ndarray
        Their columns, shape (n, p).
    block : numpy.ndarray
        Block of each column.
    ks : sequence of int
        Numbers of clusters.
    n_resamples : int
        Random parts for each.
    random_state : int
        Seed.

    Returns
    -------
    dict of int to Clustering
    """
    fused = None
    if method == "snf":
        fused = fuse_networks([network(x[:, block == name]) for name in pd.unique(block)])
    found = {}
    for k in ks:
        rng = np.random.default_rng([random_state, k])
        cluster: Callable[[np.ndarray, np.random.Generator], np.ndarray]
        if fused is not None:
            cluster = _by_network(fused, k)
            groups = network_groups(fused, k, random_state)
            mix = mixture_of(known, groups, k)
        else:
            cluster = _by_mixture(known, k)
            mix = fit_mixture(known, k, rng, starts=10, tolerance=1e-4)
            groups = mix.probabilities(known).argmax(axis=1)
        agreed = resample(groups, cluster, n_resamples=n_resamples, rng=rng)
        if method == "consensus":
            groups = consensus_groups(agreed.matrix, k)
            mix = mixture_of(known, groups, k)
        found[k] = Clustering(groups, mix, agreed)
    return found


def _by_mixture(known: Known, k: int) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    def cluster(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        part = known.take(rows)
        mix = fit_mixture(part, k, rng, starts=2, iterations=50)
        return np.asarray(mix.probabilities(part).argmax(axis=1))

    return cluster


def _by_network(
    fused: np.ndarray, k: int
) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    def cluster(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return network_groups(fused[np.ix_(rows, rows)], k, int(rng.integers(2**31)))

    return cluster
