"""How much each sample can be trusted, learned from all responses together."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConvergenceWarning, FormatError
from ._checks import as_numbers
from ._t import Array, rounding
from .linear import fit_linear

__all__ = ["sample_weights"]


def sample_weights(
    values: ArrayLike, design: ArrayLike, *, prior: float = 10.0, iterations: int = 200
) -> Array:
    """Weight samples by the inverse of a variance factor that all their responses share.

    The variance of response g in sample i is σ²_g exp(γ_i), Σ γ = 0, and γ maximises the
    restricted likelihood of all responses, by Fisher scoring.

    Parameters
    ----------
    values : array-like of shape (n, p)
        Responses in columns; NaN is not observed.
    design : array-like of shape (n, k)
        Design matrix of full rank.
    prior : float, default 10
        How many residuals of known variance each sample has in thought, none larger than
        expected; they draw the weights towards 1.
    iterations : int, default 200
        At most.

    Returns
    -------
    numpy.ndarray of shape (n,)
        exp(−γ), of geometric mean 1.

    Raises
    ------
    FormatError
        When too few rows are left for a variance, or no response varies.

    Warns
    -----
    ConvergenceWarning
        When the iterations end early.

    References
    ----------
    Ritchie et al., BMC Bioinformatics 7, 261 (2006); Smyth, Journal of Computational and
    Graphical Statistics 11, 836 (2002).

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(size=(12, 500))
    >>> values[3] *= 3
    >>> weights = sample_weights(values, np.ones((12, 1)))
    >>> int(weights.argmin()), bool(weights[3] < 0.3)
    (3, True)
    """
    y = np.asarray(values, dtype=np.float64)
    x = np.linalg.qr(as_numbers(design, "design", ndim=2))[0]
    n, k = x.shape
    if n - k < 2:
        raise FormatError(
            f"expected at least {k + 2} samples for {k} coefficients, found {n}", where="values"
        )
    first = fit_linear(y, x)
    useful = (first.df >= 2) & (first.variance > rounding(first.mean))
    useful[list(first.free)] = False
    y = y[:, useful]
    if not y.shape[1]:
        raise FormatError("no response varies", where="values")
    observed = (~np.isnan(y)).astype(float)
    # Deviations from the mean γ, so that the step keeps Σ γ = 0.
    z = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    products = (x[:, :, None] * x[:, None, :]).reshape(n, k * k)
    gamma = np.zeros(n)
    for _ in range(iterations):
        w = np.exp(-gamma)[:, None]
        fit = fit_linear(y, x, weights=w[:, 0])
        residual = np.nan_to_num(y - x @ fit.coefficients.T)
        leverage = w * (products @ fit.covariance.reshape(-1, k * k).T) * observed
        score = (w * residual**2 / fit.variance - (observed - leverage)).sum(axis=1) / 2
        root = np.sqrt(w) * x
        hat = root @ np.linalg.solve(root.T @ root, root.T)
        free = 1 - np.diag(hat)
        information = (np.eye(n) - hat) ** 2 - np.outer(free, free) / (n - k)
        information *= observed.sum() / n / 2
        # The prior: so many squared residuals of each sample that equal their expectation.
        score += prior / 2 * (w[:, 0] - 1)
        information += prior / 2 * np.eye(n)
        step = z @ np.linalg.solve(z.T @ information @ z, z.T @ score)
        # A long step overshoots: weights are exponentials.
        gamma = gamma + step * min(1.0, 2 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    else:
        warnings.warn(
            f"the weights of samples still change by {np.abs(step).max():.2g} after "
            f"{iterations} iterations",
            ConvergenceWarning,
            stacklevel=2,
        )
    return np.exp(-gamma)
