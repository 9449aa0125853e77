"""Factor analysis of people who lack some of the columns, with a variance for each block."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Factors", "Known", "fit_factors", "what_is_known"]

_LEAST_NOISE = 0.05  # of the variance of a column
_ALONE = 0.8  # share of the variance of a factor's only column that is taken for the factor


@dataclasses.dataclass(frozen=True)
class Factors:
    """Loadings and noise: column j is ``loadings[j] @ z`` plus noise of variance ``noise[j]``."""

    loadings: np.ndarray
    noise: np.ndarray


@dataclasses.dataclass(frozen=True)
class Known:
    """What the columns of people say of their factors: a Gaussian likelihood each.

    The log-likelihood of factors z of person i is ``shift[i] @ z - z @ precision[of[i]] @ z / 2``;
    people with the same columns share a precision.
    """

    shift: np.ndarray
    precision: np.ndarray
    of: np.ndarray

    def __len__(self) -> int:
        return len(self.shift)

    def take(self, rows: np.ndarray) -> Known:
        """Return some of the people."""
        return Known(self.shift[rows], self.precision, self.of[rows])

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n, q) and variance by pattern (u, q, q), under a standard normal prior."""
        variance = np.linalg.inv(np.eye(self.shift.shape[1]) + self.precision)
        return np.einsum("iab,ib->ia", variance[self.of], self.shift), variance

    def information(self) -> np.ndarray:
        """Return the share of the variance of the factors that is known of each person."""
        variance = self.posterior()[1]
        return 1 - np.trace(variance, axis1=1, axis2=2)[self.of] / self.shift.shape[1]


def what_is_known(x: np.ndarray, factors: Factors) -> Known:
    """Tell what standardised columns (n, p), with gaps, say of the factors."""
    seen, of = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    w, weight = factors.loadings, 1 / factors.noise
    precision = np.einsum("uj,ja,jb->uab", seen * weight, w, w, optimize=True)
    return Known(np.where(np.isnan(x), 0.0, x) * weight @ w, precision, of.ravel())


def fit_factors(
    x: np.ndarray,
    mask: np.ndarray,
    block: np.ndarray,
    *,
    iterations: int = 60,
    tolerance: float = 1e-3,
    random_state: int = 0,
) -> Factors:
    """Fit by expectation-maximisation.

    Parameters
    ----------
    x : numpy.ndarray
        Standardised columns, NaN where unknown, shape (n, p).
    mask : numpy.ndarray of bool
        Which factor may load on which column, shape (p, q). Where all may, each block has a
        penalty of its own on each factor (automatic relevance determination), so that factors
        that a block doesn't share vanish from it.
    block : numpy.ndarray
        Block of each column, shape (p,).
    iterations : int, default 60
        At most.
    tolerance : float, default 1e-3
        Largest change of a loading at which it stops.
    random_state : int, default 0
        Of the start, where the factors are free.

    Returns
    -------
    Factors
    """
    p, q = mask.shape
    free = bool(mask.all()) and q > 1
    known = ~np.isnan(x)
    values = np.where(known, x, 0.0)
    n_known = np.maximum(known.sum(axis=0), 1)
    if free:
        start = np.linalg.svd(values, full_matrices=False)
        w = (start[2][:q] * start[1][:q, None]).T / np.sqrt(len(x))
        w = w + 0.01 * np.random.default_rng(random_state).standard_normal(w.shape)
    else:
        w = 0.5 * mask.astype(float)
    noise = np.full(p, 0.7)
    alone = (mask.sum(axis=0) == 1) & (not free)
    blocks = [block == name for name in np.unique(block)]
    seen, of = np.unique(known, axis=0, return_inverse=True)
    of = of.ravel()
    outside = np.where(mask, 0.0, 1e9)
    for _ in range(iterations):
        precision = np.einsum("uj,ja,jb->uab", seen / noise, w, w, optimize=True)
        variance = np.linalg.inv(np.eye(q) + precision)
        mean = np.einsum("iab,ib->ia", variance[of], (values / noise) @ w)
        second = variance[of] + mean[:, :, None] * mean[:, None, :]
        total = (known.T.astype(float) @ second.reshape(len(x), -1)).reshape(p, q, q)
        penalty = outside + 1e-3
        if free:
            for rows in blocks:
                penalty[rows] += (
                    rows.sum() * noise[rows, None] / ((w[rows] ** 2).sum(axis=0) + 1e-6)
                )
        cross = values.T @ mean
        grown = np.linalg.solve(total + penalty[:, :, None] * np.eye(q), cross[:, :, None])[..., 0]
        grown = np.where(mask, grown, 0.0)
        error = (values**2).sum(axis=0) - 2 * (grown * cross).sum(axis=1)
        error += np.einsum("ja,jab,jb->j", grown, total, grown)
        noise = np.maximum(error / n_known, _LEAST_NOISE)
        for k in np.flatnonzero(alone):
            only = np.flatnonzero(mask[:, k])[0]
            # One column doesn't tell what of it is noise.
            grown[only, k], noise[only] = np.sqrt(_ALONE), 1 - _ALONE
        change = np.abs(grown - w).max()
        w = grown
        if change < tolerance:
            break
    return Factors(w, noise)
