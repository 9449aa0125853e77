"""A mixture of Gaussians of factors that are known of each person with an error of their own."""

from __future__ import annotations

import dataclasses

import numpy as np

from .factors import Known

__all__ = ["Mixture", "fit_mixture", "mixture_of"]

_PRIOR_PEOPLE, _PRIOR_VARIANCE = 5.0, 0.1  # of the shared covariance


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Shares (k,), centres (k, q), their common covariance (q, q), and the log-likelihood."""

    shares: np.ndarray
    centres: np.ndarray
    covariance: np.ndarray
    log_likelihood: float = -np.inf

    def __len__(self) -> int:
        return len(self.shares)

    def probabilities(self, known: Known) -> np.ndarray:
        """Return the probability of each component for each person, shape (n, k)."""
        return _share(_expect(known, self)[0])[0]


def _expect(known: Known, mix: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log joint (n, k), the mean (n, k, q) and variance (u, q, q) of the factors."""
    inner = np.linalg.inv(mix.covariance)
    joint = inner + known.precision
    variance = np.linalg.inv(joint)
    scale = 0.5 * (np.linalg.slogdet(inner)[1] - np.linalg.slogdet(joint)[1])
    pull = mix.centres @ inner
    at = known.shift[:, None, :] + pull[None]
    mean = at @ variance[known.of]
    log = np.log(mix.shares) - 0.5 * (pull * mix.centres).sum(axis=1)
    return log + scale[known.of][:, None] + 0.5 * (mean * at).sum(axis=2), mean, variance


def _share(log: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the probabilities (n, k) of log joints, and the log-likelihood of all people."""
    top = log.max(axis=1, keepdims=True)
    weight = np.exp(log - top)
    total = weight.sum(axis=1, keepdims=True)
    return weight / total, float((top + np.log(total)).sum())


def _maximise(known: Known, weight: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> Mixture:
    n, k, q = mean.shape
    size = weight.sum(axis=0)
    centres = np.einsum("ik,ika->ka", weight, mean) / (size + 1e-9)[:, None]
    off = (mean - centres) * np.sqrt(weight)[:, :, None]
    flat = off.reshape(n * k, q)
    counts = np.bincount(known.of, minlength=len(variance)).astype(float)
    spread = flat.T @ flat + np.tensordot(counts, variance, axes=1)
    spread += _PRIOR_PEOPLE * _PRIOR_VARIANCE * np.eye(q)
    return Mixture((size + 1) / (n + k), centres, spread / (n + _PRIOR_PEOPLE))


def fit_mixture(
    known: Known,
    k: int,
    rng: np.random.Generator,
    *,
    starts: int = 4,
    iterations: int = 100,
    tolerance: float = 1e-3,
) -> Mixture:
    """Fit by expectation-maximisation from several starts, and keep the likeliest.

    Parameters
    ----------
    known : Known
        Of the training people.
    k : int
        Components.
    rng : numpy.random.Generator
        Of the starts.
    starts : int, default 4
        How many.
    iterations : int, default 100
        At most.
    tolerance : float, default 1e-3
        Gain of the mean log-likelihood at which it stops.

    Returns
    -------
    Mixture

    References
    ----------
    .. [1] Bovy J, Hogg DW, Roweis ST. Extreme deconvolution. Ann Appl Stat 2011;5:1657.
    """
    q = known.shift.shape[1]
    best = Mixture(np.ones(1), np.zeros((1, q)), np.eye(q))
    points = known.posterior()[0]
    # Those of whom little is known lie near the middle, and would make poor seeds.
    sure = np.argsort(-known.information(), kind="stable")[: max(len(known) // 2, 4 * k)]
    for _ in range(starts if k > 1 else 1):
        centres = _spread_seeds(points[sure], k, rng) if k > 1 else np.zeros((1, q))
        mix = Mixture(np.full(k, 1 / k), centres, np.eye(q) * (0.5 if k > 1 else 1.0))
        before = -np.inf
        for _ in range(iterations):
            log, mean, variance = _expect(known, mix)
            weight, now = _share(log)
            mix = dataclasses.replace(mix, log_likelihood=now)
            if now - before < tolerance * len(known):
                break
            before = now
            mix = _maximise(known, weight, mean, variance)
        else:
            mix = dataclasses.replace(mix, log_likelihood=_share(_expect(known, mix)[0])[1])
        if mix.log_likelihood > best.log_likelihood:
            best = mix
    return best


def mixture_of(known: Known, groups: np.ndarray, k: int) -> Mixture:
    """Return the mixture of which these are the groups: 0 to k - 1, below 0 for none."""
    member = groups >= 0
    inside = known.take(member)
    weight = np.eye(k)[groups[member]]
    q = known.shift.shape[1]
    mix = Mixture(np.full(k, 1 / k), np.zeros((k, q)), np.eye(q))
    for _ in range(20):
        _, mean, variance = _expect(inside, mix)
        mix = _maximise(inside, weight, mean, variance)
    return mix


def _spread_seeds(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Choose seeds far from each other (k-means++)."""
    chosen = [points[rng.integers(len(points))]]
    for _ in range(k - 1):
        near = np.min([((points - seed) ** 2).sum(axis=1) for seed in chosen], axis=0)
        total = near.sum()
        p = near / total if total > 0 else None
        chosen.append(points[rng.choice(len(points), p=p)])
    return np.array(chosen)
