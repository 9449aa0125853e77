"""Early fusion: all blocks in one ridge, with a penalty for each, averaged over sets of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from ._laplace import fit_subsets
from ._targets import check_blocks, check_cohort, saw_inside, two_classes
from .blocks import FeatureBlock

__all__ = ["EarlyFusion", "early_fusion"]

# The covariance of the coefficients takes 8 bytes times its square.
_MOST_COLUMNS = 5000


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
    blocks_: pd.DataFrame
    coef_: pd.Series
    intercept_: float

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
        if self.max_models < 1:
            raise FormatError(f"max_models is 1 or more, found {self.max_models}")
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
            rows[str(name)] = {
                "n": n, "probability": 0.0, "variance": 0.0, "open": 0.0, "left_out": why
            }  # fmt: skip
        if not columns:
            reasons = [f"{name} ({row['left_out']})" for name, row in rows.items()]
            raise MissingModalityError(f"no block is left: {list_some(reasons, 9)}")
        self.blocks_ = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
        self._average(columns, target.astype(float))
        return self

    def _average(self, columns: Mapping[str, pd.DataFrame], y: np.ndarray) -> None:
        """Fit the sets of blocks, and keep the mean and the covariance of their coefficients."""
        names = list(columns)
        design = [frame.to_numpy() for frame in columns.values()]
        widths = [x.shape[1] for x in design]
        if sum(widths) > _MOST_COLUMNS:
            raise FormatError(
                f"{sum(widths)} columns in all blocks; an early fusion holds {_MOST_COLUMNS}",
                remedy='make fewer of the largest block: FeatureBlock(..., reduce="pca")',
            )
        first = np.cumsum([1, *widths])
        where = [slice(a, b) for a, b in itertools.pairwise(first)]
        stacked = np.hstack(design)
        mean, second = np.zeros(first[-1]), np.zeros((first[-1], first[-1]))
        kernels = [x @ x.T for x in design]
        for weight, used, each in fit_subsets(kernels, y, self.max_models, self.gate):
            prior = np.zeros(first[-1] - 1)
            for k, v in zip(used, each.variances, strict=True):
                prior[where[k].start - 1 : where[k].stop - 1] = v
                self.blocks_.loc[names[k], ["probability", "variance"]] += weight, weight * v
            theta = np.concatenate(([each.intercept], prior * (stacked.T @ each.dual)))
            # Of the coefficients: D − D Xᵀ (K + W⁻¹)⁻¹ X D.
            spread = np.diag(prior)
            spread -= prior[:, None] * (stacked.T @ each.precision @ stacked) * prior
            mean += weight * theta
            second += weight * np.outer(theta, theta)
            second[1:, 1:] += weight * spread
        self.intercept_ = float(mean[0])
        parts = [
            pd.Series(mean[w], index=columns[n].columns) for n, w in zip(names, where, strict=True)
        ]
        self.coef_ = pd.concat(parts, keys=names, names=["block", "column"])
        self.covariance_ = second - np.outer(mean, mean)
        for name, x, w in zip(names, design, where, strict=True):
            # People who have the block are spread like this around its mean, which is 0.
            scatter = x.T @ x / self.blocks_.loc[name, "n"]
            self.blocks_.loc[name, "open"] = float((second[w, w] * scatter).sum())

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Compute the probability of each class, averaged over what is open.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who has none of the blocks gets about the prevalence.

        Returns
        -------
        numpy.ndarray, shape (n, 2)
            Columns as `classes_`.
        """
        p = special.expit(self.decision_function(X))
        return np.column_stack([1 - p, p])

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class, averaged over what is open.

        Parameters
        ----------
        X : Cohort
            People, n of them.

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
        columns = self._columns(X)
        x = self._design(columns)
        variance = np.einsum("ij,jk,ik->i", x, self.covariance_, x)
        for name, frame in columns.items():
            lacks = frame.isna().all(axis=1).to_numpy()
            variance[lacks] += self.blocks_["open"][name]
        mean = x @ np.concatenate(([self.intercept_], self.coef_))
        return pd.DataFrame({"mean": mean, "variance": variance}, X.index)

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
        return self.classes_[(self.decision_function(X) >= 0).astype(int)]

    def leverage(self, X: Cohort) -> np.ndarray:
        """Compute how uncertain the coefficients leave the log odds of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray, shape (n,)
            A variance; large for people unlike those in training.
        """
        x = self._design(self._columns(X))
        return np.asarray(np.einsum("ij,jk,ik->i", x, self.covariance_, x))

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
        parts: dict[str, pd.Series] = {}
        for name, frame in self._columns(X).items():
            # Known or unknown as a whole, so that what is missing stays so.
            parts[name] = frame.dot(self.coef_.loc[name])
        return pd.DataFrame({name: parts.get(name, 0.0) for name in self.blocks_.index}, X.index)

    def information(self, X: Cohort) -> pd.DataFrame:
        """Tell who has which of the blocks that the model uses.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of bool, shape (n, n_used_blocks)
            Index as ``X.index``.
        """
        return pd.DataFrame(
            {name: frame.notna().any(axis=1) for name, frame in self._columns(X).items()}
        )

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
        return {name: block.transform(X) for name, block in self.members_.items()}

    @staticmethod
    def _design(columns: Mapping[str, pd.DataFrame]) -> np.ndarray:
        """Put the columns beside each other, after one for the intercept."""
        known = [frame.fillna(0.0).to_numpy() for frame in columns.values()]
        return np.hstack([np.ones((len(known[0]), 1)), *known])
