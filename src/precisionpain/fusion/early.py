"""Early fusion: all blocks in one ridge, with a penalty for each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import MissingModalityError, list_some
from ._laplace import fit_block_ridge
from ._targets import check_blocks, check_cohort, saw_inside, two_classes
from .blocks import FeatureBlock

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


class EarlyFusion(ClassifierMixin, BaseEstimator):
    """A logistic ridge on all blocks, whose penalties the training people choose.

    How much the coefficients of a block may differ from 0 is a variance of its own, found by
    marginal likelihood, so that a block of noise is turned down as a whole. A person who lacks
    a block counts with the others: the block adds nothing to the log odds. Probabilities are
    averaged over what the data leave open about the coefficients, so that they are less extreme
    where less is known.

    Parameters
    ----------
    blocks : mapping of str to object
        As `early_fusion` takes them.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``variance`` (of the coefficients,
        for standardised columns divided by the square root of their number), and ``left_out``
        (why, or empty).
    coef_ : pandas.Series
        Index (block, column), for the columns that `FeatureBlock` gives.
    intercept_ : float

    References
    ----------
    .. [1] van de Wiel MA, et al. Fast cross-validation for multi-penalty high-dimensional ridge
       regression. J Comput Graph Stat 2021;30:835.
    .. [2] MacKay DJC. The evidence framework applied to classification networks. Neural
       Computation 1992;4:720 (the averaged probability).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.EarlyFusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model.fit(cohort, cohort.outcome("mvd_response")).coef_["scan"].index.tolist()[:2]
    ['affected:fa', 'affected:md']
    """

    classes_: np.ndarray
    blocks_: pd.DataFrame
    coef_: pd.Series
    intercept_: float

    def __init__(self, blocks: Mapping[str, Any], *, min_people: int = 20) -> None:
        self.blocks = blocks
        self.min_people = min_people

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
            When `X` is no cohort, there are not two classes, or fewer than `min_people`.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.
        """
        check_cohort(X, self.min_people)
        check_blocks(self.blocks, X)
        self.classes_, target = two_classes(y, X)
        self.members_: dict[str, FeatureBlock] = {}
        columns: dict[str, pd.DataFrame] = {}
        rows = {}
        for name, value in self.blocks.items():
            block = clone(value) if isinstance(value, FeatureBlock) else FeatureBlock(value)
            why = ""
            try:
                frame = block.fit_transform(X, target)
            except MissingModalityError as error:
                why, n = str(error), 0
            else:
                n = block.n_available_
                if n < self.min_people:
                    why = f"{n} people"
            if not why:
                self.members_[str(name)] = block
                columns[str(name)] = frame.fillna(0.0)
            rows[str(name)] = {"n": n, "variance": 0.0, "left_out": why}
        if not columns:
            reasons = [f"{name} ({row['left_out']})" for name, row in rows.items()]
            raise MissingModalityError(f"no block is left: {list_some(reasons, 9)}")
        design = [frame.to_numpy() for frame in columns.values()]
        fitted = fit_block_ridge([x @ x.T for x in design], target.astype(float))
        self.intercept_ = fitted.intercept
        parts = []
        for (name, frame), x, v in zip(columns.items(), design, fitted.variances, strict=True):
            rows[name]["variance"] = float(v)
            parts.append(pd.Series(v * x.T @ fitted.dual, index=frame.columns))
        self.coef_ = pd.concat(parts, keys=list(columns), names=["block", "column"])
        scaled = np.hstack([x * np.sqrt(v) for x, v in zip(design, fitted.variances, strict=True)])
        # Of standardised coefficients: I − Sᵀ (K + W⁻¹)⁻¹ S.
        self.open_ = np.eye(scaled.shape[1]) - scaled.T @ fitted.precision @ scaled
        self.blocks_ = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
        return self

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Compute the probability of each class, averaged over the open coefficients.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who lacks a block is taken for average in it. Who has none at all
            gets the `intercept_`, which is further from one half than the prevalence.

        Returns
        -------
        numpy.ndarray, shape (n, 2)
            Columns as `classes_`.
        """
        columns = self._columns(X)
        mean = self._log_odds(columns).sum(axis=1).to_numpy() + self.intercept_
        variances = self.blocks_["variance"]
        scaled = np.hstack([f.to_numpy() * np.sqrt(variances[n]) for n, f in columns.items()])
        spread = np.einsum("ij,jk,ik->i", scaled, self.open_, scaled)
        p = special.expit(mean / np.sqrt(1 + np.pi * spread / 8))
        return np.column_stack([1 - p, p])

    def predict(self, X: Cohort) -> np.ndarray:
        """Tell the class: the second one from a probability of one half on.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        return self.classes_[(self.predict_proba(X)[:, 1] >= 0.5).astype(int)]

    def contributions(self, X: Cohort) -> pd.DataFrame:
        """Tell what each block adds to the log odds of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_blocks)
            Index as ``X.index``; missing where the person lacks the block, 0 for a block that
            was left out.
        """
        check_is_fitted(self, "coef_")
        check_cohort(X)
        columns = {name: block.transform(X) for name, block in self.members_.items()}
        parts = self._log_odds(columns)
        for name, frame in columns.items():
            parts[name] = parts[name].where(frame.notna().any(axis=1))
        return parts.reindex(columns=self.blocks_.index, fill_value=0.0).rename_axis(columns=None)

    def saw(self, people: Sequence[str]) -> np.ndarray:
        """Tell whom weights inside of the blocks were learned from before any `fit`.

        A cross-validation refuses them, as it does for such weights outside of a fusion.

        Parameters
        ----------
        people : sequence of str
            Ids of people.

        Returns
        -------
        numpy.ndarray of bool
        """
        return saw_inside(self.blocks, people)

    def _columns(self, X: Cohort) -> dict[str, pd.DataFrame]:
        check_is_fitted(self, "coef_")
        check_cohort(X)
        return {name: block.transform(X).fillna(0.0) for name, block in self.members_.items()}

    def _log_odds(self, columns: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return pd.DataFrame(
            {name: frame.fillna(0.0) @ self.coef_[name] for name, frame in columns.items()}
        )
