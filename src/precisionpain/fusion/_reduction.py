"""Fewer columns from many: components, or the columns that hold up in random halves."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np

from ..errors import FormatError

__all__ = ["Reduction", "make_reduction"]

_N_HALVES = 100
_THRESHOLD = 0.6  # of the halves; Meinshausen and Bühlmann advise 0.6 to 0.9


class Reduction(Protocol):
    """Takes standardised columns, n × p, and gives fewer."""

    def fit(self, z: np.ndarray, y: np.ndarray | None) -> Self:
        """Learn from people, and their outcome where it is needed."""

    def transform(self, z: np.ndarray) -> np.ndarray:
        """Return what is left of the columns, n × k."""

    def names(self, columns: list[str]) -> np.ndarray:
        """Return the names of what is left."""


class _Everything:
    def fit(self, z: np.ndarray, y: np.ndarray | None) -> Self:
        return self

    def transform(self, z: np.ndarray) -> np.ndarray:
        return z

    def names(self, columns: list[str]) -> np.ndarray:
        return np.array(columns, dtype=object)


class _Components:
    def __init__(self, kind: str, n: int) -> None:
        self.kind, self.n = kind, n

    def fit(self, z: np.ndarray, y: np.ndarray | None) -> Self:
        from sklearn.cross_decomposition import PLSRegression
        from sklearn.decomposition import PCA

        n = max(1, min(self.n, z.shape[1], len(z) - 1))
        if self.kind == "pca":
            self.model: Any = PCA(n, svd_solver="full").fit(z)
        else:
            self.model = PLSRegression(n, scale=False).fit(z, _needed(y, "pls"))
        spread = self._scores(z).std(axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)
        self.k = len(self.spread)
        return self

    def _scores(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.transform(z))

    def transform(self, z: np.ndarray) -> np.ndarray:
        return self._scores(z) / self.spread

    def names(self, columns: list[str]) -> np.ndarray:
        return np.array([f"{self.kind}{k}" for k in range(1, self.k + 1)], dtype=object)


class _Stable:
    """Columns that are among the most different ones in most random halves."""

    def __init__(self, random_state: int) -> None:
        self.random_state = random_state

    def fit(self, z: np.ndarray, y: np.ndarray | None) -> Self:
        outcome = _needed(y, "stability")
        n, p = z.shape
        # With q of p columns picked in each half, the expected number of columns kept for
        # nothing is at most q² / ((2·0.6 − 1) p): one, with this q (their theorem 1).
        q = max(1, round(np.sqrt((2 * _THRESHOLD - 1) * p)))
        rng = np.random.default_rng(self.random_state)
        counts = np.zeros(p)
        for _ in range(_N_HALVES // 2):
            # Complementary pairs (Shah and Samworth, 2013).
            order = rng.permutation(n)
            for half in (order[: n // 2], order[n // 2 :]):
                strength = _correlation(z[half], outcome[half])
                counts[np.argsort(-strength, kind="stable")[:q]] += 1
        self.share = counts / (2 * (_N_HALVES // 2))
        kept = self.share >= _THRESHOLD
        self.kept = kept if kept.any() else self.share == self.share.max()
        return self

    def transform(self, z: np.ndarray) -> np.ndarray:
        return z[:, self.kept]

    def names(self, columns: list[str]) -> np.ndarray:
        return np.array(columns, dtype=object)[self.kept]


def _correlation(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the absolute correlation of every column with y, 0 where either is constant."""
    zc, yc = z - z.mean(axis=0), y - y.mean()
    scale = np.sqrt((zc**2).sum(axis=0) * (yc**2).sum())
    return np.abs(zc.T @ yc) / np.where(scale > 0, scale, np.inf)


def _needed(y: np.ndarray | None, reduce: str) -> np.ndarray:
    if y is None:
        raise FormatError(f"reduce={reduce!r} needs the outcome", remedy="give y to fit")
    if np.issubdtype(y.dtype, np.number) or y.dtype == bool:
        return y.astype(float)
    return np.unique(y, return_inverse=True)[1].astype(float)


def make_reduction(reduce: str | None, n_components: int, random_state: int) -> Reduction:
    """Return the reduction of that name.

    Parameters
    ----------
    reduce : {None, "pca", "pls", "stability"}
        Which.
    n_components : int
        Of "pca" and "pls".
    random_state : int
        Of "stability".

    Returns
    -------
    Reduction
    """
    if n_components < 1:
        raise FormatError(f"expected n_components of at least 1, found {n_components}")
    if reduce is None:
        return _Everything()
    return _Stable(random_state) if reduce == "stability" else _Components(reduce, n_components)
