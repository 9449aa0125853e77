"""How alike samples of the same block are, over all responses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import FormatError
from ._checks import as_numbers
from ._t import Array
from .linear import fit_linear
from .mixed import gather, search_ratio

__all__ = ["within_block_correlation"]

_CHUNK = 4_000_000


def within_block_correlation(
    values: ArrayLike,
    design: ArrayLike,
    block: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    trim: float = 0.15,
) -> float:
    """Estimate the correlation of residuals within blocks, one for all responses.

    Each response's correlation is found by restricted maximum likelihood; their consensus is
    a trimmed mean on Fisher's z scale.

    Parameters
    ----------
    values : array-like of shape (n, p)
        Responses in columns; NaN is not observed.
    design : array-like of shape (n, k)
        Design matrix of full rank.
    block : array-like of shape (n,)
        Labels, such as the person of each sample.
    weights : array-like of shape (n,), optional
        Of the samples.
    trim : float, default 0.15
        Share of the responses that is left out at either end.

    Returns
    -------
    float
        For `fit_linear`.

    Raises
    ------
    FormatError
        When no block has two rows, or no response lets the correlation be found.

    Notes
    -----
    The likelihood is maximised to the end. R's limma (`duplicateCorrelation`) runs at most 20
    iterations per response; with missing values some don't converge, and its consensus is
    then a few 1e-5 away from what more iterations give.

    References
    ----------
    Smyth, Michaud & Scott, Bioinformatics 21, 2067 (2005).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> person = np.repeat(np.arange(20), 2)
    >>> values = rng.normal(size=(40, 300)) + rng.normal(size=(20, 300))[person]
    >>> rho = within_block_correlation(values, np.ones((40, 1)), person)
    >>> abs(rho - 0.5) < 0.05
    True
    """
    y = np.asarray(values, dtype=np.float64)
    x = as_numbers(design, "design", ndim=2)
    labels = np.unique(np.asarray(block), return_inverse=True)[1]
    largest = int(np.bincount(labels).max())
    if largest < 2:
        raise FormatError(
            "no block has two rows", where="block",
            remedy="leave `block` out: every sample stands alone",
        )  # fmt: skip
    if weights is not None:
        root = np.sqrt(as_numbers(weights, "weights"))[:, None]
        y, x = y * root, x * root
    step = max(1, _CHUNK // (x.shape[1] ** 2 * (int(labels.max()) + 1)))
    found = [_correlations(y[:, i : i + step], x, labels) for i in range(0, y.shape[1], step)]
    z = np.arctanh(np.concatenate(found))
    z = z[np.isfinite(z)]
    if not len(z):
        raise FormatError("no response has two observed rows in a block", where="values")
    return float(np.tanh(stats.trim_mean(z, trim)))


def _correlations(y: Array, x: Array, labels: np.ndarray) -> Array:
    """Return the correlation of each response; NaN where it can't be found."""
    q = np.linalg.qr(x)[0]
    ordinary = fit_linear(y, q)
    data = gather(y, q, ordinary, labels, True)
    # The covariance matrix stays positive definite down to −1 / (size − 1).
    largest = data.size.max()
    ratio = search_ratio(data, -(1 - 1e-4) / largest)
    repeated = np.broadcast_to((data.size > 1).any(axis=0), ratio.shape)
    known = repeated & (ordinary.df > 1) & (ordinary.variance > 0)
    known[list(ordinary.free)] = False
    rho: Array = np.where(known, np.clip(ratio / (1 + ratio), -0.99, 0.99), np.nan)
    return rho
