"""One linear model for thousands of responses at once, each with its own missing values.

All responses share a design; what is missing differs. Instead of a loop over responses, the
normal equations of all of them are built by a few matrix products and solved together. The
design is first made orthonormal, so that they are as well conditioned as what was observed
allows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError
from ._checks import as_numbers

__all__ = ["LinearFit", "fit_linear"]

Array = NDArray[np.float64]

# Values held at once; keeps the working memory small and inside the cache.
_CHUNK = 2_000_000
# Share of a column's sum of squares that must be left after the earlier columns.
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True, repr=False)
class LinearFit:
    """A linear model that was fitted to p responses.

    Parameters
    ----------
    coefficients : numpy.ndarray of shape (p, k)
        For a response whose observed rows don't determine them all, one of many solutions;
        `contrast` knows what can be estimated.
    covariance : numpy.ndarray of shape (p, k, k)
        Of the coefficients, for a residual variance of 1.
    variance : numpy.ndarray of shape (p,)
        Residual variance; NaN without degrees of freedom.
    df : numpy.ndarray of shape (p,)
        Residual degrees of freedom.
    mean : numpy.ndarray of shape (p,)
        Of the observed values.
    n : numpy.ndarray of shape (p,)
        Number of observed values.
    free : dict of int to numpy.ndarray of shape (k, k)
        For responses (by position) whose observed rows leave directions of the coefficients
        undetermined: the projection on these.
    """

    coefficients: Array
    covariance: Array
    variance: Array
    df: Array
    mean: Array
    n: NDArray[np.intp]
    free: dict[int, Array] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        p, k = self.coefficients.shape
        return f"LinearFit({p} responses, {k} coefficients, {len(self.free)} not of full rank)"

    def contrast(self, weights: ArrayLike) -> tuple[Array, Array]:
        """Return a weighted sum of the coefficients of each response.

        Parameters
        ----------
        weights : array-like of shape (k,)
            One number per coefficient.

        Returns
        -------
        estimate, unscaled : numpy.ndarray of shape (p,)
            The sum, and its variance for a residual variance of 1; NaN where the observed
            rows don't determine it.

        Examples
        --------
        >>> fit = fit_linear([[1.0], [3.0], [4.0], [8.0]], [[1, 0], [1, 0], [1, 1], [1, 1]])
        >>> [round(float(part[0]), 6) for part in fit.contrast([0, 1])]
        [4.0, 1.0]
        """
        c = as_numbers(weights, "weights")
        if len(c) != self.coefficients.shape[1]:
            raise FormatError(
                f"expected {self.coefficients.shape[1]} weights, one per coefficient, "
                f"found {len(c)}",
                where="weights",
            )
        estimate = self.coefficients @ c
        unscaled = np.einsum("pij,i,j->p", self.covariance, c, c)
        for response in self.undetermined(c):
            estimate[response] = unscaled[response] = np.nan
        return estimate, unscaled

    def undetermined(self, weights: Array) -> list[int]:
        """Return the responses whose observed rows don't determine a weighted sum."""
        scale = np.abs(weights).max(initial=0.0)
        return [
            response
            for response, projection in self.free.items()
            if np.abs(weights @ projection).max() > 1e-6 * scale
        ]


def fit_linear(
    values: ArrayLike,
    design: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    block: ArrayLike | None = None,
    correlation: float = 0.0,
) -> LinearFit:
    """Fit the same linear model to each column, over the rows that are observed in it.

    Parameters
    ----------
    values : array-like of shape (n, p)
        Responses in columns; NaN is not observed.
    design : array-like of shape (n, k)
        Design matrix of full rank, finite.
    weights : array-like of shape (n,) or (n, p), optional
        Positive; the variance of an observation is inversely proportional.
    block : array-like of shape (n,), optional
        Labels of rows that belong together, such as the samples of a person.
    correlation : float, default 0
        Between the residuals of two rows of a block (generalised least squares).

    Returns
    -------
    LinearFit

    Raises
    ------
    FormatError
        For shapes that don't match, a design that isn't of full rank, or a correlation
        outside what a block allows.

    References
    ----------
    Seber & Lee, Linear Regression Analysis, chapters 3 and 11 (2003).

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[1.0, 5.0], [3.0, np.nan], [4.0, 6.0], [8.0, 9.0]])
    >>> fit = fit_linear(values, [[1, 0], [1, 0], [1, 1], [1, 1]])
    >>> fit.coefficients.tolist(), fit.df.tolist()
    ([[2.0, 4.0], [5.0, 2.5]], [2.0, 1.0])
    """
    y = np.asarray(values, dtype=np.float64)
    x = as_numbers(design, "design", ndim=2)
    if y.ndim != 2 or len(y) != len(x):
        raise FormatError(
            f"expected values of shape ({len(x)}, responses), found {y.shape}", where="values"
        )
    n, p = y.shape
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    if w is not None and (w.shape not in ((n,), (n, p)) or not (w > 0).all()):
        raise FormatError(
            f"expected positive weights of shape ({n},) or ({n}, {p}), found {w.shape}",
            where="weights",
        )
    q, r = np.linalg.qr(x)
    scale = np.linalg.norm(x, axis=0)
    if n < x.shape[1] or (np.abs(np.diag(r)) <= 1e-7 * scale).any():
        raise FormatError(
            "the columns of the design aren't independent", where="design",
            remedy="leave out a column that the others determine",
        )  # fmt: skip
    labels = None
    if block is not None and correlation != 0:
        labels = np.unique(np.asarray(block), return_inverse=True)[1]
        largest = int(np.bincount(labels).max())
        if not -1 / max(largest - 1, 1) < correlation < 1:
            raise FormatError(
                f"a correlation within blocks of {largest} lies between "
                f"{-1 / max(largest - 1, 1):.3g} and 1, found {correlation:.3g}",
                where="correlation",
            )
    step = max(1, _CHUNK // max(n, 1))
    parts = [
        _fit_chunk(
            y[:, start : start + step],
            q,
            w if w is None or w.ndim == 1 else w[:, start : start + step],
            labels,
            correlation,
        )
        for start in range(0, p, step)
    ]
    free, start = {}, 0
    back = np.linalg.inv(r)
    for part in parts:
        for response, projection in part[-1].items():
            # An orthonormal basis of the free directions, in the coordinates of the design.
            left, size, _ = np.linalg.svd(back @ projection)
            basis = left[:, size > 1e-9 * size[0]]
            free[start + response] = basis @ basis.T
        start += part[0].shape[1]
    gamma, inverse, variance, df, mean, count = (
        np.concatenate(pieces, axis=-1) for pieces in list(zip(*parts, strict=True))[:-1]
    )
    covariance = np.einsum("ij,jlp,ml->pim", back, inverse, back, optimize=True)
    return LinearFit((back @ gamma).T, covariance, variance, df, mean, count, free)


def _fit_chunk(
    y: Array, q: Array, weights: Array | None, labels: NDArray[np.intp] | None, rho: float
) -> tuple[Array, Array, Array, Array, Array, NDArray[np.intp], dict[int, Array]]:
    """Fit some responses to an orthonormal design."""
    n, k = q.shape
    p = y.shape[1]
    missing = np.isnan(y)
    observed = ~missing
    count = observed.sum(axis=0)
    y = np.where(missing, 0.0, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = y.sum(axis=0) / count
    complete = bool(count.size and count.min() == n)
    if weights is not None and weights.ndim == 1:
        weights = weights[:, None]
    w = np.ones((n, 1)) if weights is None else weights
    if not complete:
        w = w * observed
    # Products of all pairs of columns, so that one matrix product gives all normal matrices.
    pairs = (q[:, :, None] * q[:, None, :]).reshape(n, k * k)
    matrix = (pairs.T @ w).reshape(k, k, -1)
    right = q.T @ (y if weights is None else w * y)
    sums = None
    if labels is not None:
        sums = _block_sums(q, np.sqrt(w), labels)
        matrix, right = _correlated(matrix, right, sums, np.sqrt(w) * y, labels, rho)
    inverse, independent = invert(np.broadcast_to(matrix, (k, k, matrix.shape[2])).copy())
    gamma = np.einsum("jkp,kp->jp", inverse, right) if inverse.shape[2] == p else (
        inverse[:, :, 0] @ right
    )  # fmt: skip
    residual = y - q @ gamma
    if not complete:
        residual *= observed
    if labels is None or sums is None:
        rss = np.einsum("np,np->p", residual, residual if weights is None else w * residual)
    else:
        residual *= np.sqrt(w)
        total = by_block(residual, labels)
        shrink = rho / (1 + (sums[0] - 1) * rho)
        rss = ((residual**2).sum(axis=0) - (shrink * total**2).sum(axis=0)) / (1 - rho)
    df = (count - independent.sum(axis=0)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(df > 0, np.maximum(rss, 0) / df, np.nan)
    free = {}
    wide = np.broadcast_to(matrix, (k, k, p))
    for response in np.flatnonzero(~np.broadcast_to(independent, (k, p)).all(axis=0)):
        one = inverse[:, :, response if inverse.shape[2] == p else 0]
        free[int(response)] = np.eye(k) - one @ wide[:, :, response]
    return gamma, np.broadcast_to(inverse, (k, k, p)), variance, df, mean, count, free


def by_block(values: Array, labels: NDArray[np.intp]) -> Array:
    """Add up the rows of each block (labels 0, 1, 2, …)."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    return np.add.reduceat(values[order], starts, axis=0)


def _block_sums(q: Array, root: Array, labels: NDArray[np.intp]) -> list[Array]:
    """Return for each block how many rows are observed, and the sum of each column."""
    size = by_block((root > 0).astype(np.float64), labels)
    return [size, *(by_block(column[:, None] * root, labels) for column in q.T)]


def _correlated(
    matrix: Array, right: Array, sums: list[Array], y: Array,
    labels: NDArray[np.intp], rho: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Turn ordinary normal equations into those of an equal correlation within blocks.

    The inverse of (1 − ρ) I + ρ 11ᵀ for m rows is (I − ρ / (1 + (m − 1) ρ) 11ᵀ) / (1 − ρ).
    """
    size, columns = sums[0], np.stack(sums[1:])
    shrink = rho / (1 + (size - 1) * rho)
    total = by_block(y, labels)
    matrix = (matrix - np.einsum("jbp,bp,lbp->jlp", columns, shrink, columns, optimize=True)) / (
        1 - rho
    )
    right = (right - np.einsum("jbp,bp->jp", columns, shrink * total)) / (1 - rho)
    return matrix, right


def invert(matrix: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Invert many small symmetric matrices at once, by sweeps.

    Parameters
    ----------
    matrix : numpy.ndarray of shape (k, k, p)
        Positive semi-definite; overwritten.

    Returns
    -------
    inverse : numpy.ndarray of shape (k, k, p)
        A generalised inverse: a column that depends on those before it has zeros.
    independent : numpy.ndarray of bool, shape (k, p)
        Which columns don't depend on those before.
    """
    k = len(matrix)
    size = np.einsum("jjp->jp", matrix).copy()
    independent = np.zeros((k, matrix.shape[2]), dtype=bool)
    for j in range(k):
        good = matrix[j, j] > _TOLERANCE * size[j]
        independent[j] = good
        pivot = np.where(good, matrix[j, j], 1.0)
        column = np.where(good, matrix[:, j], 0.0)
        row = matrix[j] / pivot
        old = matrix[:, j].copy()
        matrix -= column[:, None] * row[None]
        matrix[j] = np.where(good, row, matrix[j])
        matrix[:, j] = np.where(good, -old / pivot, matrix[:, j])
        matrix[j, j] = np.where(good, 1 / pivot, matrix[j, j])
    if not independent.all():
        matrix *= independent[:, None] & independent[None]
    return matrix, independent
