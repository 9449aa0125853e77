"""What linear fusions of blocks share: sets of blocks, averaged, and who lacks which."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from ._laplace import BlockRidge, fit_subsets
from ._targets import check_cohort, saw_inside
from .blocks import FeatureBlock

__all__ = ["LinearFusion"]

# The covariance of the coefficients takes 8 bytes times its square.
_MOST_COLUMNS = 5000


class LinearFusion(BaseEstimator):
    """Base of fusions that are linear in the columns of all blocks."""

    blocks: Mapping[str, Any]
    gate: float | None
    min_people: int
    max_models: int
    blocks_: pd.DataFrame
    coef_: pd.Series
    intercept_: float
    covariance_: np.ndarray

    def _learn(
        self,
        X: Cohort,
        target: np.ndarray,
        fit_one: Callable[[list[np.ndarray], np.ndarray], BlockRidge],
    ) -> list[tuple[float, BlockRidge]]:
        """Learn the blocks and the sets of them; return the models with their weights."""
        if self.max_models < 1:
            raise FormatError(f"max_models is 1 or more, found {self.max_models}")
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
        return self._average(columns, target.astype(float), fit_one)

    def _average(
        self,
        columns: Mapping[str, pd.DataFrame],
        y: np.ndarray,
        fit_one: Callable[[list[np.ndarray], np.ndarray], BlockRidge],
    ) -> list[tuple[float, BlockRidge]]:
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
        fitted = fit_subsets(kernels, y, self.max_models, self.gate, fit_one)
        for weight, used, each in fitted:
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
        return [(weight, each) for weight, _, each in fitted]

    def leverage(self, X: Cohort) -> np.ndarray:
        """Compute how uncertain the coefficients leave what is said of each person.

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
        """Tell what each block adds for each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_blocks)
            To the log odds, or to the number. Index as ``X.index``; missing where the person
            lacks the block, 0 for a block that was left out.
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

    def _linear(self, X: Cohort) -> pd.DataFrame:
        """Return ``mean`` and ``variance`` of the sum of all blocks and the intercept."""
        columns = self._columns(X)
        x = self._design(columns)
        variance = np.einsum("ij,jk,ik->i", x, self.covariance_, x)
        for name, frame in columns.items():
            lacks = frame.isna().all(axis=1).to_numpy()
            variance[lacks] += self.blocks_["open"][name]
        mean = x @ np.concatenate(([self.intercept_], self.coef_))
        return pd.DataFrame({"mean": mean, "variance": variance}, X.index)
