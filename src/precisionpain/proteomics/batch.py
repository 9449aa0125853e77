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
    DataWarning,
    FormatError,
    LeakageError,
    list_some,
)
from ..stats import fit_combat
from ..stats._batch_design import Covariates, confounded, tells
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
        named = [] if self.covariates is None else self.covariates
        self._covariates = Covariates([named] if isinstance(named, str) else named, obs)
        codes = pd.Index(self.batches_).get_indexer(np.asarray(labels))
        extra = self._covariates.columns(obs)
        bad = confounded(np.eye(len(self.batches_))[codes], extra)
        if bad:
            raise FormatError(
                f"batch {self.batch!r} and covariates {list_some(bad)} are confounded: the effect "
                "of one can't be told from the other's",
                where="X",
                remedy="leave these covariates out, or spread them over the batches",
            )
        terms = np.hstack([np.empty((len(codes), 0)), *extra.values()])
        # Control assays say nothing of proteins, and borrow nothing from them.
        measures = matrix.measures
        fitted = fit_combat(
            values, np.asarray(labels), terms, reference=self.reference,
            parametric=self.parametric, mean_only=self.mean_only, shrink=self.shrink,
            borrow=measures, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        flat, there = fitted.flat, fitted.known
        if flat[measures].any() or not there[:, measures].all():
            self._warn(flat & measures, there | ~measures)
        if fitted.not_shrunk:
            raise FormatError(
                f"batch {list_some(fitted.not_shrunk)} has fewer than two proteins that vary; "
                "strength is borrowed from at least two",
                remedy="set shrink=False",
            )
        self._combat, names = fitted, list(self.feature_names_in_)
        self.alpha_, self.sigma2_ = pd.Series(fitted.alpha, names), pd.Series(fitted.sigma2, names)
        self.beta_ = pd.DataFrame(fitted.beta, self._covariates.terms, names)
        self.gamma_hat_ = pd.DataFrame(fitted.gamma_hat, self.batches_, names)
        self.delta_hat_ = pd.DataFrame(fitted.delta_hat, self.batches_, names)
        self.gamma_star_ = pd.DataFrame(fitted.gamma, self.batches_, names)
        self.delta_star_ = pd.DataFrame(fitted.delta, self.batches_, names)

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
        result = self._combat.adjust(matrix.values, np.asarray(matrix.obs[self.batch]), terms)
        lost = codes < 0
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
