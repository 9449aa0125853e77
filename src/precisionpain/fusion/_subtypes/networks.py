"""Similarity network fusion, where each person is in the networks of the blocks that they have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

__all__ = ["fuse_networks", "network", "network_groups"]


def network(x: np.ndarray, *, neighbours: int = 20, width: float = 0.5) -> np.ndarray:
    """Return the similarity of people in one block.

    Parameters
    ----------
    x : numpy.ndarray
        Columns of the block, shape (n, p); a person with none is outside of the network.
    neighbours : int, default 20
        Over which the local scale is taken.
    width : float, default 0.5
        Of the kernel, in local scales.

    Returns
    -------
    numpy.ndarray of shape (n, n)
        NaN for pairs of which one is outside.
    """
    n = len(x)
    inside = np.flatnonzero(~np.isnan(x).all(axis=1))
    similarity = np.full((n, n), np.nan)
    if len(inside) < 3:
        return similarity
    distance = cdist(filled := np.nan_to_num(x[inside]), filled)
    near = min(neighbours, len(inside) - 1)
    local = np.sort(distance, axis=1)[:, 1 : near + 1].mean(axis=1)
    scale = (local[:, None] + local[None, :] + distance) / 3
    kernel = np.exp(-(distance**2) / np.maximum(2 * (width * scale) ** 2, 1e-12))
    similarity[np.ix_(inside, inside)] = kernel
    return similarity


def fuse_networks(
    networks: Sequence[np.ndarray], *, neighbours: int = 20, iterations: int = 20
) -> np.ndarray:
    """Fuse networks by diffusion of each through the mean of the others.

    Parameters
    ----------
    networks : sequence of numpy.ndarray
        As `network` gives them, shape (n, n) each.
    neighbours : int, default 20
        Of each person, through which similarity diffuses.
    iterations : int, default 20
        Steps of the diffusion.

    Returns
    -------
    numpy.ndarray of shape (n, n)
        Symmetric; 0 for pairs that share no network.

    References
    ----------
    .. [1] Wang B, et al. Similarity network fusion for aggregating data types on a genomic
       scale. Nat Methods 2014;11:333.
    """
    full = [_full(w) for w in networks]
    local = [_local(np.nan_to_num(w), neighbours) for w in networks]
    inside = [~np.isnan(np.diag(w)) for w in networks]
    for _ in range(iterations if len(full) > 1 else 0):
        after = []
        for v, here in enumerate(inside):
            others = [w for j, w in enumerate(full) if j != v]
            mean = _mean_of_known(others)
            # A pair that shares no other network keeps its own.
            mean = np.where(np.isnan(mean), full[v], mean)
            moved = local[v] @ np.nan_to_num(mean) @ local[v].T
            moved[~(here[:, None] & here[None, :])] = np.nan
            after.append(_full(moved))
        full = after
    fused = np.nan_to_num(_mean_of_known(full))
    return (fused + fused.T) / 2


def network_groups(similarity: np.ndarray, k: int, random_state: int) -> np.ndarray:
    """Return k groups of a network, by spectral clustering."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        k, affinity="precomputed", assign_labels="kmeans", n_init=5, random_state=random_state
    )
    # A trace of similarity everywhere keeps the graph in one piece.
    return np.asarray(model.fit_predict(similarity + 1e-6))


def _full(w: np.ndarray) -> np.ndarray:
    """Scale rows to 1/2 beside a diagonal of 1/2, which keeps the diffusion stable."""
    known = np.nan_to_num(w)
    inside = ~np.isnan(np.diag(w))
    rest = known - np.diag(np.diag(known))
    total = rest.sum(axis=1, keepdims=True)
    scaled = rest / np.maximum(2 * total, 1e-300)
    scaled[np.diag_indices(len(w))] = 0.5
    scaled = (scaled + scaled.T) / 2
    scaled[~(inside[:, None] & inside[None, :])] = np.nan
    return scaled


def _local(w: np.ndarray, neighbours: int) -> np.ndarray:
    """Keep the nearest neighbours, rows summing to 1."""
    kept = np.zeros_like(w)
    k = min(neighbours, len(w) - 1)
    near = np.argpartition(-w, k - 1, axis=1)[:, :k]
    rows = np.arange(len(w))[:, None]
    kept[rows, near] = w[rows, near]
    return kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-300)


def _mean_of_known(networks: Sequence[np.ndarray]) -> np.ndarray:
    stack = np.array(networks)
    known = ~np.isnan(stack)
    count = known.sum(axis=0)
    total = np.where(known, stack, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
