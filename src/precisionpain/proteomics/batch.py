"""Batch effects: ComBat, fitted in the fold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import (
    AlignmentError,
    ConvergenceWarning,
    DataWarning,
    FormatError,
    LeakageError,
    list_some,
)
from ._combat import least_squares, location_and_scale, nonparametric, parametric
from ._design import Covariates, confounded, tells
from ._scaler import Scaler
from ._transformer import Array, Matrix

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ComBat"]


class ComBat(Scaler):
    r"""Remove batch effects by empirical Bayes, learned from the training samples.

    Every protein is modelled as :math:`Y_{ij} = \alpha + X_{ij}\beta + \gamma_i +
    \delta_i\varepsilon_{ij}` with batch i and sample j. Location γ and scale δ of a batch are
    shrunk towards those of the other proteins in that batch, so few samples suffice. The same
    parameters then adjust new samples of the batches that were seen.

    Works on any table of features: protein levels, or measures of images from several scanners.

    Parameters
    ----------
    batch : str
        Column of ``obs`` (or of the DataFrame) that names the batch: a plate, a site, a
        scanner.
    covariates : str or sequence of str, optional
        Columns whose effects are kept: numbers, or categories. They are needed at
        `transform` too, so never name what is to be predicted: with unequal batches the
        adjusted values would carry it (a cross-validated AUC of 0.998 on pure noise).
    parametric : bool, default True
        Normal and inverse gamma priors; else the empirical distribution over the proteins.
    reference : str, optional
        Batch that stays as it is, and that the others are brought to.
    mean_only : bool, default False
        Adjust the location alone, as for batches of one sample.
    shrink : bool, default True
        Whether to borrow strength across proteins; without, each protein stands alone.
    tol : float, default 1e-4
        Relative change at which the parametric estimates have converged.
    max_iter : int, default 1000
        Most rounds.

    Attributes
    ----------
    batches_ : list
        The batches seen, in order.
    alpha_ : pandas.Series
        Level of each protein at the average covariates: mean of the batches, weighted by their
        samples; with a `reference`, the level of that batch.
    beta_ : pandas.DataFrame
        Effects of the covariates, terms × proteins.
    sigma2_ : pandas.Series
        Pooled variance of each protein (divided by n; by n − 1 where values are missing).
    gamma_hat_, delta_hat_ : pandas.DataFrame
        Location and variance of each batch before shrinkage, batches × proteins.
    gamma_star_, delta_star_ : pandas.DataFrame
        The same, shrunk.

    Raises
    ------
    FormatError
        When a batch has one sample only, or batches are confounded with covariates or with
        the outcome.
    LeakageError
        When a covariate gives the outcome away.
    AlignmentError
        At `transform`, for a batch that wasn't seen: its effect is unknown, and leaving the
        values as they are would pass for an adjustment.

    Warns
    -----
    DataWarning
        When a protein doesn't vary, or has no value in one of the batches. A constant protein
        is only shifted; a protein that was never seen in a batch gets the batch's mean effect.

    Notes
    -----
    Limits of detection (layer or column ``lod``) are adjusted like values.

    Control assays are adjusted too, each by itself: proteins borrow nothing from them.

    Of `y`, nothing is learned: it only serves to refuse covariates that give it away. Rows
    that aren't samples of people get the average covariates where they have none; without a
    batch (a control sample has a plate, but no site), or of an unseen one, they become missing.

    References
    ----------
    Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data using
    empirical Bayes methods. Biostatistics 2007;8:118-127.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from precisionpain.proteomics import ComBat
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(5, 1, (40, 6)), columns=list("abcdef"))
    >>> table["plate"] = np.repeat(["one", "two"], 20)
    >>> table.loc[20:, list("abcdef")] += 2
    >>> adjusted = ComBat("plate").fit_transform(table)
    >>> means = adjusted.groupby(table["plate"].to_numpy()).mean()
    >>> means.mean(axis=1).round(1).tolist()
    [6.0, 6.0]
    """

    _columns: ClassVar[tuple[str, ...]] = ("batch", "covariates")

    def __init__(
        self,
        batch: str = "plate",
        *,
        covariates: str | Sequence[str] | None = None,
        parametric: bool = True,
        reference: Any = None,
        mean_only: bool = False,
        shrink: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
    ) -> None:
        self.batch = batch
        self.covariates = covariates
        self.parametric = parametric
        self.reference = reference
        self.mean_only = mean_only
        self.shrink = shrink
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: AnnData | pd.DataFrame | Array, y: Any = None) -> Self:
        """Learn the effects of the batches from the samples of people.

        Parameters
        ----------
        X : anndata.AnnData or pandas.DataFrame
            Samples × proteins, with the columns of batch and covariates.
        y : array-like of shape (samples,), optional
            Outcome; never learned from. NaN where there is none.

        Returns
        -------
        self
        """
        if y is not None:
            matrix, _ = self._read(X)
            self._check_outcome(matrix, y)
        return super().fit(X)

    def _check_outcome(self, matrix: Matrix, y: Any) -> None:
        for outcome in np.asarray(y).reshape(len(y), -1).T:
            if len(outcome) != len(matrix.sample):
                return
            chosen = matrix.sample & ~pd.isna(outcome)
            known = outcome[chosen]
            for name in self._named():
                column = matrix.obs[name][chosen]
                if not tells(column, known):
                    continue
                if name == self.batch:
                    raise FormatError(
                        f"batch {name!r} and the outcome are confounded: each batch has one "
                        "class only, so no method can tell them apart",
                        where="X",
                        remedy="spread the classes over the batches, or predict without ComBat",
                    )
                raise LeakageError(
                    f"covariate {name!r} gives the outcome away, and keeping its effect would "
                    "write the outcome into the values",
                    remedy="leave the outcome, and what it follows from, out of covariates",
                )

    def _fit(self, matrix: Matrix) -> None:
        obs, values = matrix.obs[matrix.sample], matrix.values[matrix.sample]
        labels = obs[self.batch]
        if labels.isna().any():
            raise FormatError(
                f"{int(labels.isna().sum())} samples have no batch in {self.batch!r}", where="X",
                remedy="fill the column in, or leave these samples out",
            )  # fmt: skip
        self.batches_ = sorted(pd.unique(np.asarray(labels)).tolist(), key=str)
        codes = pd.Index(self.batches_).get_indexer(np.asarray(labels))
        counts = np.bincount(codes, minlength=len(self.batches_))
        self._check_batches(counts)
        named = [] if self.covariates is None else self.covariates
        self._covariates = Covariates([named] if isinstance(named, str) else named, obs)
        indicators = np.eye(len(counts))[codes]
        extra = self._covariates.columns(obs)
        bad = confounded(indicators, extra)
        if bad:
            raise FormatError(
                f"batch {self.batch!r} and covariates {list_some(bad)} are confounded: the effect "
                "of one can't be told from the other's",
                where="X",
                remedy="leave these covariates out, or spread them over the batches",
            )
        terms = np.hstack([np.empty((len(codes), 0)), *extra.values()])
        # Centred and of unit spread, so that no unit of a covariate costs digits.
        self._centre, self._spread = terms.mean(axis=0), terms.std(axis=0)
        terms = (terms - self._centre) / self._spread
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of columns without a value
            self._estimate(values, codes, counts, indicators, terms, matrix.measures)

    def _check_batches(self, counts: NDArray[np.intp]) -> None:
        if len(counts) < 2:
            raise FormatError(
                f"expected at least two batches in {self.batch!r}, found {list_some(self.batches_)}"
            )
        if self.reference is not None and self.reference not in self.batches_:
            raise FormatError(
                f"the reference {self.reference!r} is not among the batches "
                f"{list_some(self.batches_)}"
            )
        single = [b for b, n in zip(self.batches_, counts, strict=True) if n < 2]
        if single and not self.mean_only:
            raise FormatError(
                f"batch {list_some(single)} has one sample, which has no variance",
                where=f"column {self.batch!r}",
                remedy="set mean_only=True, or join it to another batch",
            )

    def _estimate(
        self, values: Array, codes: NDArray[Any], counts: NDArray[Any],
        indicators: Array, terms: Array, measures: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        k = len(counts)
        fitted = least_squares(np.hstack([indicators, terms]), values, k)
        levels, beta = fitted[:k], np.nan_to_num(fitted[k:])
        ref = None if self.reference is None else self.batches_.index(self.reference)
        there = np.isfinite(levels)
        if ref is None:
            weight = np.where(there, counts[:, None], 0)
            alpha = (weight * np.nan_to_num(levels)).sum(axis=0) / weight.sum(axis=0)
        else:
            alpha = np.where(there[ref], levels[ref], np.nanmean(levels, axis=0))
        rest = values - levels[codes] - terms @ beta
        chosen = rest if ref is None else rest[codes == ref]
        # Divided by n; by n − 1 about the mean where there are gaps, as `sva` does.
        gaps = bool(np.isnan(values).any())
        sigma2 = np.nanvar(chosen, axis=0, ddof=1) if gaps else np.mean(chosen * chosen, axis=0)
        size = np.nanmax(np.abs(values), axis=0, initial=0.0, where=np.isfinite(values))
        flat = ~(sigma2 > (1e-12 * size) ** 2)
        sigma = np.where(flat, 1.0, np.sqrt(sigma2))
        scaled = (values - alpha - terms @ beta) / sigma
        names = list(self.feature_names_in_)
        if flat[measures].any() or not there[:, measures].all():
            self._warn(flat & measures, there | ~measures)

        shape = (k, len(names))
        gamma, delta = np.full(shape, np.nan), np.ones(shape)
        gamma_star, delta_star = np.zeros(shape), np.ones(shape)
        for i in range(k):
            part = scaled[codes == i]
            gamma[i] = np.nanmean(part, axis=0)
            n, squares, delta[i] = location_and_scale(part, gamma[i], self.mean_only)
            if i == ref:
                continue
            usable = ~flat & np.isfinite(gamma[i]) & (delta[i] > 0)
            # A control assay says nothing of proteins, and borrows nothing from them.
            gamma_star[i] = np.nan_to_num(gamma[i])
            delta_star[i] = np.where(delta[i] > 0, delta[i], 1.0)
            gamma_star[i, measures], delta_star[i, measures] = self._shrunk(
                i, n[measures], squares[measures], gamma[i, measures], delta[i, measures],
                usable[measures],
            )  # fmt: skip
            # Nothing is known of a spread of 0, so a constant protein is shifted in full.
            own = flat & (n > 0)
            gamma_star[i, own], delta_star[i, flat] = gamma[i, own], 1.0
        self.alpha_, self.sigma2_ = pd.Series(alpha, names), pd.Series(sigma2, names)
        self.beta_ = pd.DataFrame(beta / self._spread[:, None], self._covariates.terms, names)
        self.gamma_hat_ = pd.DataFrame(gamma, self.batches_, names)
        self.delta_hat_ = pd.DataFrame(delta, self.batches_, names)
        self.gamma_star_ = pd.DataFrame(gamma_star, self.batches_, names)
        self.delta_star_ = pd.DataFrame(delta_star, self.batches_, names)
        self._sigma = sigma

    def _shrunk(
        self, i: int, n: Array, squares: Array, gamma: Array, delta: Array,
        usable: NDArray[np.bool_],
    ) -> tuple[Array, Array]:  # fmt: skip
        if not self.shrink:
            return np.nan_to_num(gamma), np.where(delta > 0, delta, 1.0)
        if usable.sum() < 2:
            raise FormatError(
                f"batch {self.batches_[i]!r} has {int(usable.sum())} proteins that vary; strength "
                "is borrowed from at least two",
                remedy="set shrink=False",
            )
        mean = np.nan_to_num(gamma)
        if not self.parametric:
            return nonparametric(
                n, mean, squares, gamma, delta, usable, mean_only=self.mean_only
            )  # fmt: skip
        g, d, converged = parametric(
            n, mean, squares, gamma, delta, usable,
            mean_only=self.mean_only, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        if not converged:
            warnings.warn(
                f"ComBat did not converge in {self.max_iter} rounds for batch "
                f"{self.batches_[i]!r}", ConvergenceWarning, stacklevel=6,
            )  # fmt: skip
        return g, d

    def _warn(self, flat: NDArray[np.bool_], there: NDArray[np.bool_]) -> None:
        names = self.feature_names_in_
        empty = ~there.any(axis=0)
        constant = flat & ~empty
        found = []
        if constant.any():
            found.append(f"{int(constant.sum())} don't vary ({list_some(names[constant])})")
        if not there.all():
            lacking = names[~there.all(axis=0)]
            found.append(f"{len(lacking)} have no value in some batch ({list_some(lacking)})")
        warnings.warn(f"of the proteins, {' and '.join(found)}", DataWarning, stacklevel=6)

    def _transform(self, matrix: Matrix) -> Array:
        codes = pd.Index(self.batches_).get_indexer(np.asarray(matrix.obs[self.batch]))
        unseen = (codes < 0) & matrix.sample
        if unseen.any():
            found = pd.unique(np.asarray(matrix.obs[self.batch])[unseen])
            raise AlignmentError(
                f"{int(unseen.sum())} samples are of batch {list_some(found)}, which training "
                "didn't see, so its effect is unknown",
                where=f"column {self.batch!r}",
                remedy="fit with samples of that batch, or leave ComBat out for new batches",
            )
        parts = self._covariates.columns(matrix.obs, matrix.sample)
        terms = np.hstack([np.empty((len(codes), 0)), *parts.values()])
        terms = np.nan_to_num((terms - self._centre) / self._spread)
        beta = self.beta_.to_numpy() * self._spread[:, None]
        level = self.alpha_.to_numpy() + terms @ beta
        gamma = self.gamma_star_.to_numpy()[codes] * self._sigma
        with np.errstate(invalid="ignore"):
            result = (matrix.values - level - gamma) / np.sqrt(
                self.delta_star_.to_numpy()[codes]
            ) + level
        if self.reference is not None:
            same = codes == self.batches_.index(self.reference)
            result[same] = matrix.values[same]
        lost = codes < 0
        if lost.any():
            result[lost] = np.nan
        lost &= matrix.obs[self.batch].notna().to_numpy()
        if lost.any():
            warnings.warn(
                f"{int(lost.sum())} rows that aren't samples of people are of a batch that "
                "training didn't see; they became missing", DataWarning, stacklevel=4,
            )  # fmt: skip
        return result

    def _limits(self, limits: Array, matrix: Matrix) -> Array:
        matrix.values = limits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # said of the values already
            return self._transform(matrix)
