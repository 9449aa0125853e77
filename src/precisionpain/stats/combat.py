"""ComBat on arrays: location and scale of batches by empirical Bayes."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import ConvergenceWarning, FormatError, list_some
from ._combat import least_squares, location_and_scale, nonparametric, parametric

__all__ = ["CombatFit", "fit_combat"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, repr=False)
class CombatFit:
    """Effects of batches on columns of numbers, as `fit_combat` found them.

    Parameters
    ----------
    batches : tuple
        Labels of the batches, in order.
    reference : object or None
        The batch that stays as it is.
    alpha : numpy.ndarray of shape (p,)
        Level of each column at the average covariates.
    beta : numpy.ndarray of shape (k, p)
        Effects of the covariates.
    sigma2 : numpy.ndarray of shape (p,)
        Pooled variance of each column.
    gamma_hat, delta_hat : numpy.ndarray of shape (batches, p)
        Location and variance of each batch, of the standardised columns.
    gamma, delta : numpy.ndarray of shape (batches, p)
        The same, shrunk.
    centre, spread : numpy.ndarray of shape (k,)
        Mean and standard deviation of the covariates.
    flat : numpy.ndarray of bool, shape (p,)
        Columns that don't vary within batches; they are only shifted.
    known : numpy.ndarray of bool, shape (batches, p)
        Which columns have a value in which batch; elsewhere the mean effect of the batch
        stands in.
    not_shrunk : tuple
        Batches with fewer than two columns to borrow strength from.
    borrow : numpy.ndarray of bool, shape (p,)
        Columns that borrow strength from each other.
    options : mapping
        How the batches were shrunk.
    """

    batches: tuple[Any, ...]
    reference: Any
    alpha: Array
    beta: Array
    sigma2: Array
    gamma_hat: Array
    delta_hat: Array
    gamma: Array
    delta: Array
    centre: Array
    spread: Array
    flat: NDArray[np.bool_]
    known: NDArray[np.bool_]
    not_shrunk: tuple[Any, ...]
    borrow: NDArray[np.bool_]
    options: dict[str, Any]

    @property
    def sigma(self) -> Array:
        """Standard deviation of each column; 1 where it doesn't vary."""
        return np.where(self.flat, 1.0, np.sqrt(self.sigma2))

    def adjust(
        self, values: ArrayLike, batch: ArrayLike, covariates: ArrayLike | None = None
    ) -> Array:
        """Remove the effects of the batches.

        Parameters
        ----------
        values : array-like of shape (n, p)
            Columns as in the fit.
        batch : array-like of shape (n,)
            Batch of each row.
        covariates : array-like of shape (n, k), optional
            As in the fit; a missing one counts as average.

        Returns
        -------
        numpy.ndarray of shape (n, p)
            Missing stays missing. Rows of a batch that the fit hasn't seen are all missing.
        """
        x = np.asarray(values, dtype=float)
        codes = pd.Index(self.batches).get_indexer(np.asarray(batch))
        level = self._level(len(x), covariates)
        with np.errstate(invalid="ignore"):
            shifted = x - level - self.gamma[codes] * self.sigma
            result = shifted / np.sqrt(self.delta[codes]) + level
        if self.reference is not None:
            same = codes == self.batches.index(self.reference)
            result[same] = x[same]
        result[codes < 0] = np.nan
        return result

    def with_batch(
        self, label: Any, values: ArrayLike, covariates: ArrayLike | None = None
    ) -> CombatFit:
        """Estimate one more batch from its own rows; everything else stays as it was.

        Parameters
        ----------
        label : object
            Name of the new batch.
        values : array-like of shape (n, p)
            Its rows, at least two.
        covariates : array-like of shape (n, k), optional
            As in the fit; a missing one counts as average.

        Returns
        -------
        CombatFit
            With the new batch as the last.
        """
        x = np.asarray(values, dtype=float)
        scaled = (x - self._level(len(x), covariates)) / self.sigma
        found = _Batch.of(label, scaled, self.flat, self.borrow, self.options)

        def more(old: Array, new: Array) -> Array:
            return np.vstack([old, new])

        return dataclasses.replace(
            self,
            batches=(*self.batches, label),
            gamma_hat=more(self.gamma_hat, found.gamma_hat),
            delta_hat=more(self.delta_hat, found.delta_hat),
            gamma=more(self.gamma, found.gamma),
            delta=more(self.delta, found.delta),
            known=np.vstack([self.known, np.isfinite(x).any(axis=0)]),
            not_shrunk=(*self.not_shrunk, *(() if found.shrunk else (label,))),
        )

    def _level(self, n: int, covariates: ArrayLike | None) -> Array:
        terms = _terms(covariates, n)
        terms = np.nan_to_num((terms - self.centre) / self.spread)
        return self.alpha + terms @ (self.beta * self.spread[:, None])

    def __repr__(self) -> str:
        return f"CombatFit({len(self.alpha)} columns, batches {list_some(self.batches)})"


def fit_combat(
    values: ArrayLike,
    batch: ArrayLike,
    covariates: ArrayLike | None = None,
    *,
    reference: Any = None,
    parametric: bool = True,
    mean_only: bool = False,
    shrink: bool = True,
    borrow: ArrayLike | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> CombatFit:
    r"""Estimate location and scale of batches by empirical Bayes (ComBat).

    Column g of row j in batch i is :math:`\alpha_g + X_{j}\beta_g + \sigma_g(\gamma_{ig} +
    \sqrt{\delta_{ig}}\,\varepsilon)`; γ and δ of a batch are shrunk towards those of its other
    columns. `precisionpain.proteomics.ComBat` is this for protein tables, and
    `precisionpain.fusion.Harmonized` for the features of a cohort.

    Parameters
    ----------
    values : array-like of shape (n, p)
        Numbers; NaN where not measured.
    batch : array-like of shape (n,)
        Batch of each row: at least two, of at least two rows each unless `mean_only`.
    covariates : array-like of shape (n, k), optional
        Numbers whose effects are kept. No column may follow from batch and the others.
    reference : object, optional
        Batch that stays as it is, and that the others are brought to.
    parametric : bool, default True
        Normal and inverse gamma priors; else the empirical distribution over the columns.
    mean_only : bool, default False
        Adjust the location alone.
    shrink : bool, default True
        Whether to borrow strength across columns.
    borrow : array-like of bool, shape (p,), optional
        Columns that borrow from each other; by default all.
    tol : float, default 1e-4
        Relative change at which the parametric estimates have converged.
    max_iter : int, default 1000
        Most rounds.

    Returns
    -------
    CombatFit

    Raises
    ------
    FormatError
        For fewer than two batches, a batch of one row, or an unknown reference.

    Warns
    -----
    ConvergenceWarning
        When the parametric estimates of a batch didn't converge.

    References
    ----------
    Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using
    empirical Bayes methods. Biostatistics 2007;8:118-127.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(40, 3))
    >>> site = np.repeat(["A", "B"], 20)
    >>> x[site == "B"] += 2
    >>> fit = fit_combat(x, site, shrink=False)
    >>> adjusted = fit.adjust(x, site)
    >>> bool(np.allclose(adjusted[:20].mean(axis=0), adjusted[20:].mean(axis=0)))
    True
    """
    x = np.asarray(values, dtype=float)
    labels = np.asarray(batch)
    batches = sorted(pd.unique(labels).tolist(), key=str)
    codes = pd.Index(batches).get_indexer(labels)
    counts = np.bincount(codes, minlength=len(batches))
    _check_batches(batches, counts, reference, mean_only)
    terms = _terms(covariates, len(x))
    # Centred and of unit spread, so that no unit of a covariate costs digits.
    centre, spread = terms.mean(axis=0), terms.std(axis=0)
    terms = (terms - centre) / spread
    used = np.ones(x.shape[1], dtype=bool) if borrow is None else np.asarray(borrow, dtype=bool)
    options = {
        "parametric": parametric, "mean_only": mean_only, "shrink": shrink, "tol": tol,
        "max_iter": max_iter,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of columns without a value
        k = len(batches)
        fitted = least_squares(np.hstack([np.eye(k)[codes], terms]), x, k)
        levels, beta = fitted[:k], np.nan_to_num(fitted[k:])
        ref = None if reference is None else batches.index(reference)
        there = np.isfinite(levels)
        if ref is None:
            weight = np.where(there, counts[:, None], 0)
            alpha = (weight * np.nan_to_num(levels)).sum(axis=0) / weight.sum(axis=0)
        else:
            alpha = np.where(there[ref], levels[ref], np.nanmean(levels, axis=0))
        rest = x - levels[codes] - terms @ beta
        chosen = rest if ref is None else rest[codes == ref]
        # Divided by n; by n − 1 about the mean where there are gaps, as `sva` does.
        gaps = bool(np.isnan(x).any())
        sigma2 = np.nanvar(chosen, axis=0, ddof=1) if gaps else np.mean(chosen * chosen, axis=0)
        size = np.nanmax(np.abs(x), axis=0, initial=0.0, where=np.isfinite(x))
        flat = ~(sigma2 > (1e-12 * size) ** 2)
        sigma = np.where(flat, 1.0, np.sqrt(sigma2))
        scaled = (x - alpha - terms @ beta) / sigma
        found = [
            _Batch.of(label, scaled[codes == i], flat, used, options, stays=i == ref)
            for i, label in enumerate(batches)
        ]
    return CombatFit(
        batches=tuple(batches),
        reference=reference,
        alpha=alpha,
        beta=beta / spread[:, None],
        sigma2=sigma2,
        gamma_hat=np.array([one.gamma_hat for one in found]),
        delta_hat=np.array([one.delta_hat for one in found]),
        gamma=np.array([one.gamma for one in found]),
        delta=np.array([one.delta for one in found]),
        centre=centre,
        spread=spread,
        flat=flat,
        known=there,
        not_shrunk=tuple(b for b, one in zip(batches, found, strict=True) if not one.shrunk),
        borrow=used,
        options=options,
    )


def _terms(covariates: ArrayLike | None, n: int) -> Array:
    return np.empty((n, 0)) if covariates is None else np.asarray(covariates, dtype=float)


def _check_batches(
    batches: list[Any], counts: NDArray[np.intp], reference: Any, mean_only: bool
) -> None:
    if len(batches) < 2:
        raise FormatError(f"expected at least two batches, found {list_some(batches)}")
    if reference is not None and reference not in batches:
        raise FormatError(
            f"the reference {reference!r} is not among the batches {list_some(batches)}"
        )
    single = [b for b, n in zip(batches, counts, strict=True) if n < 2]
    if single and not mean_only:
        raise FormatError(
            f"batch {list_some(single)} has one sample, which has no variance",
            remedy="set mean_only=True, or join it to another batch",
        )


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Location and scale of one batch, before and after shrinking."""

    gamma_hat: Array
    delta_hat: Array
    gamma: Array
    delta: Array
    shrunk: bool = True

    @classmethod
    def of(
        cls,
        label: Any,
        scaled: Array,
        flat: NDArray[np.bool_],
        borrow: NDArray[np.bool_],
        options: dict[str, Any],
        *,
        stays: bool = False,
    ) -> Self:
        """Estimate them from the standardised rows of the batch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of columns without a value
            hat = np.nanmean(scaled, axis=0)
        n, squares, delta_hat = location_and_scale(scaled, hat, options["mean_only"])
        if stays:
            return cls(hat, delta_hat, np.zeros_like(hat), np.ones_like(hat))
        with np.errstate(invalid="ignore"):
            usable = ~flat & np.isfinite(hat) & (delta_hat > 0)
            gamma = np.nan_to_num(hat)
            delta = np.where(delta_hat > 0, delta_hat, 1.0)
        # A column that doesn't borrow (a control assay, say) lends nothing either.
        few = int(usable[borrow].sum()) < 2
        if options["shrink"] and not few:
            gamma[borrow], delta[borrow] = _shrunk(
                label, n[borrow], np.nan_to_num(hat[borrow]), squares[borrow], hat[borrow],
                delta_hat[borrow], usable[borrow], options,
            )  # fmt: skip
        # Nothing is known of a spread of 0, so a constant column is shifted in full.
        own = flat & (n > 0)
        gamma[own], delta[flat] = hat[own], 1.0
        return cls(hat, delta_hat, gamma, delta, not (options["shrink"] and few))


def _shrunk(
    label: Any, n: Array, mean: Array, squares: Array, gamma: Array, delta: Array,
    usable: NDArray[np.bool_], options: dict[str, Any],
) -> tuple[Array, Array]:  # fmt: skip
    mean_only = options["mean_only"]
    if not options["parametric"]:
        return nonparametric(n, mean, squares, gamma, delta, usable, mean_only=mean_only)
    g, d, converged = parametric(
        n, mean, squares, gamma, delta, usable, mean_only=mean_only, tol=options["tol"],
        max_iter=options["max_iter"],
    )  # fmt: skip
    if not converged:
        warnings.warn(
            f"ComBat did not converge in {options['max_iter']} rounds for batch {label!r}",
            ConvergenceWarning,
            stacklevel=5,
        )
    return g, d
