"""Factors of several kinds of data, of people who lack some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError
from ._subtypes.adjustment import USUAL, Adjustment
from ._subtypes.evidence import block_columns
from ._subtypes.factors import Known, fit_factors, what_is_known
from ._targets import check_blocks, check_cohort
from .mechanism_rules import MechanismRules
from .mechanisms import MechanismTable

__all__ = ["SubtypeFactors"]

_MIN_PEOPLE = 20


class SubtypeFactors(TransformerMixin, BaseEstimator):
    """Factors of each person: of mechanisms by their evidence, or free ones of blocks.

    A factor analysis in which a person who lacks a block counts with the others. By default
    there is one factor for each mechanism, and only its evidence may load on it. With `blocks`
    the factors are free, and each block has a penalty of its own on each factor, so that a
    factor may be shared by some blocks and absent from others.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        By name, what each block is made of, as `early_fusion` takes them; by default the
        evidence of the mechanisms.
    mechanisms : MechanismTable, optional
        By default `MECHANISMS`.
    adjust_for : sequence of str, default ("site", "plate")
        Columns of ``subjects``, or of an assay's ``obs``, whose shifts are taken out.
    n_factors : int, default 5
        Free factors, with `blocks`.
    visit : str, optional
        Which visit, needed where several lie before the landmark.
    random_state : int, default 0
        Seed of the start of free factors.

    Attributes
    ----------
    loadings_ : pandas.DataFrame
        Columns (mechanism, block, columns) or (block, name), by factor: the correlation of a
        column with the factor.
    noise_ : pandas.Series
        Share of the variance of each column that no factor explains.
    rules_ : MechanismRules or None
        The evidence; None where the cohort has none.

    References
    ----------
    .. [1] Argelaguet R, et al. Multi-Omics Factor Analysis. Mol Syst Biol 2018;14:e8124.
    .. [2] Klami A, et al. Group factor analysis. IEEE Trans Neural Netw Learn Syst 2015;26:2136.

    Examples
    --------
    >>> import precisionpain as pp
    >>> people = pp.datasets.sample_tn(n_subjects=120).where(diagnosis="TN")
    >>> factors = pp.fusion.SubtypeFactors().fit(people)
    >>> factors.transform(people).columns.tolist()
    ['compression', 'axonal', 'inflammatory', 'autoimmune_like', 'stress']
    """

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        mechanisms: MechanismTable | None = None,
        adjust_for: Sequence[str] = USUAL,
        n_factors: int = 5,
        visit: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.mechanisms = mechanisms
        self.adjust_for = adjust_for
        self.n_factors = n_factors
        self.visit = visit
        self.random_state = random_state

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn the columns, the adjustment and the loadings.

        Parameters
        ----------
        X : Cohort
            Training people, at least 20.
        y : object
            Ignored.

        Returns
        -------
        SubtypeFactors

        Raises
        ------
        FormatError
            When `X` is no cohort of 20 people, or `n_factors` is below 1.
        MissingModalityError
            When the cohort has none of the evidence or a block isn't there.
        """
        check_cohort(X, _MIN_PEOPLE)
        if self.n_factors < 1:
            raise FormatError(f"expected n_factors of at least 1, found {self.n_factors}")
        rules = MechanismRules(self.mechanisms, adjust_for=self.adjust_for, visit=self.visit)
        self.rules_: MechanismRules | None
        try:
            self.rules_ = rules.fit(X)
        except MissingModalityError:
            if self.blocks is None:
                raise
            self.rules_ = None
        self.blocks_ = None
        if self.blocks is not None:
            check_blocks(self.blocks, X)
            raw, self.blocks_ = block_columns(self.blocks, X)
            self.adjustment_ = Adjustment(self.adjust_for).fit(X, raw)
        frame = self._frame(X)
        spread = frame.std(ddof=0)
        frame = frame.loc[:, (spread > 1e-9) & (frame.notna().sum() >= 10)]
        if not frame.shape[1]:
            raise MissingModalityError(
                "no column varies and is known of 10 people", remedy="give other blocks"
            )
        self.columns_ = frame.columns
        self.means_, self.spreads_ = frame.mean(), frame.std(ddof=0)
        self.block_ = np.array([str(column[-2]) for column in self.columns_])
        if self.blocks is None and self.rules_ is not None:
            of = self.columns_.get_level_values(0)
            names = [name for name in self.rules_.subtypes_ if (of == name).any()]
            self.mask_ = np.column_stack([np.asarray(of == name) for name in names])
        else:
            q = min(self.n_factors, len(self.columns_))
            names = [f"factor {i}" for i in range(1, q + 1)]
            self.mask_ = np.ones((len(self.columns_), q), dtype=bool)
        self.names_ = names
        self.model_ = fit_factors(
            self.columns(X), self.mask_, self.block_,
            iterations=200, random_state=self.random_state,
        )  # fmt: skip
        self.loadings_ = pd.DataFrame(self.model_.loadings, self.columns_, names)
        self.noise_ = pd.Series(self.model_.noise, self.columns_)
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the factors.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_factors)
            Expectation given all that is known of the person: 0 is average, and who lacks much
            lies near it.
        """
        return pd.DataFrame(self.known(X).posterior()[0], X.index, self.names_)

    def information(self, X: Cohort) -> pd.Series:
        """Return how much is known of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series
            Share of the variance of the factors, from 0 to 1.
        """
        return pd.Series(self.known(X).information(), X.index, name="information")

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the factors.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "names_")
        return np.array(self.names_, dtype=object)

    def columns(self, X: Cohort) -> np.ndarray:
        """Return the adjusted columns in SD of the training people.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray, shape (n, n_columns)
            As the rows of `loadings_`; NaN where unknown.
        """
        return ((self._frame(X)[self.columns_] - self.means_) / self.spreads_).to_numpy()

    def known(self, X: Cohort) -> Known:
        """Return what is known of the factors of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        Known
            A Gaussian likelihood for each.
        """
        check_is_fitted(self, "model_")
        check_cohort(X)
        return what_is_known(self.columns(X), self.model_)

    def _frame(self, X: Cohort) -> pd.DataFrame:
        if self.blocks_ is not None:
            raw, _ = block_columns(self.blocks_, X, self.blocks_)
            return self.adjustment_.transform(X, raw)
        assert self.rules_ is not None
        return self.rules_.indicators(X)
