"""Early fusion: all blocks in one ridge, with a penalty for each, averaged over sets of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ._classes import LogOddsClassifier
from ._laplace import fit_block_ridge
from ._linear import LinearFusion
from ._targets import check_blocks, check_cohort, two_classes

__all__ = ["EarlyFusion", "early_fusion"]


def early_fusion(blocks: Mapping[str, Any], **options: Any) -> EarlyFusion:
    """Return a fusion of all columns of all blocks in one model, with a penalty per block.

    Parameters
    ----------
    blocks : mapping of str to object
        By name, what each block is made of: the name of a block of the cohort (see
        `available_blocks`), a transformer of a Cohort, or a `FeatureBlock`.
    **options
        Of `EarlyFusion`.

    Returns
    -------
    EarlyFusion

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.early_fusion({"clinic": "clinical", "nerves": "nerve_measures"})
    >>> model.fit(cohort, cohort.outcome("mvd_response")).predict_proba(cohort).shape[1]
    2
    """
    return EarlyFusion(blocks, **options)


class EarlyFusion(LogOddsClassifier, LinearFusion):
    """A logistic ridge on all blocks, whose penalties the training people choose.

    How much the coefficients of a block may differ from 0 is a variance of its own, found by
    marginal likelihood. Whether a block counts at all is averaged over: the first block, usually
    the clinic, is fitted with every set of the others, and each of these models has the weight
    of its posterior probability. A person who lacks a block counts with the others, and what the
    block might have said makes the probability less extreme, as does all else that the training
    people leave open.

    Parameters
    ----------
    blocks : mapping of str to object
        As `early_fusion` takes them; the reference first.
    gate : float or None, default None
        The first block alone is the model unless the log Bayes factor for further blocks is
        above this: 0 asks for any evidence, 0.5 or 1 for some. None averages always, which is
        better where further blocks know something and worse where they don't.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    max_models : int, default 64
        With more sets of blocks than that (8 blocks or more), small sets are tried first; 1 is
        one model of the first block, 2 is that one and the model of all blocks.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``probability`` (that it counts;
        1 for the first), ``variance`` (of the coefficients, for standardised columns divided by
        the square root of their number, averaged like the model), ``open`` (variance of the log
        odds of somebody who lacks the block), and ``left_out`` (why, or empty).
    coef_ : pandas.Series
        Index (block, column), for the columns that `FeatureBlock` gives; posterior means.
    intercept_ : float

    References
    ----------
    .. [1] van de Wiel MA, et al. Fast cross-validation for multi-penalty high-dimensional ridge
       regression. J Comput Graph Stat 2021;30:835.
    .. [2] MacKay DJC. The evidence framework applied to classification networks. Neural
       Computation 1992;4:720 (the averaged probability).
    .. [3] Hoeting JA, et al. Bayesian model averaging: a tutorial. Stat Sci 1999;14:382.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.EarlyFusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model.fit(cohort, cohort.outcome("mvd_response")).coef_["scan"].index.tolist()[:2]
    ['affected:fa', 'affected:md']
    """

    classes_: np.ndarray

    def __init__(
        self,
        blocks: Mapping[str, Any],
        *,
        gate: float | None = None,
        min_people: int = 20,
        max_models: int = 64,
    ) -> None:
        self.blocks = blocks
        self.gate = gate
        self.min_people = min_people
        self.max_models = max_models

    def fit(self, X: Cohort, y: Any) -> Self:
        """Learn the blocks, their penalties and the coefficients.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,)
            Two classes, in their order.

        Returns
        -------
        EarlyFusion

        Raises
        ------
        FormatError
            When `X` is no cohort, there are not two classes, fewer than `min_people`, or more
            columns than such a model can hold.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.
        """
        check_cohort(X, self.min_people)
        check_blocks(self.blocks, X)
        self.classes_, target = two_classes(y, X)
        self._learn(X, target, fit_block_ridge)
        return self

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class, averaged over what is open.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who has none of the blocks gets about the log odds of the prevalence.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Nearer to 0 than the sum of `contributions` and `intercept_`, and the more so the
            less is known.
        """
        mean, variance = self.log_odds(X).to_numpy().T
        return mean / np.sqrt(1 + np.pi * variance / 8)

    def log_odds(self, X: Cohort) -> pd.DataFrame:
        """Compute the mean log odds of the second class, and what is open about them.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, 2)
            Index as ``X.index``: ``mean``, the sum of `contributions` and `intercept_`, and
            ``variance``, from the coefficients and from the blocks that the person lacks.
        """
        return self._linear(X)
