"""Early fusion for a number, such as pain on a scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import RegressorMixin

from ..cohort import Cohort
from ..errors import FormatError
from ._gaussian import fit_block_gaussian
from ._linear import LinearFusion
from ._targets import check_blocks, check_cohort, numbers_of

__all__ = ["EarlyRegression"]

_LEAST_NOISE = 0.1


class EarlyRegression(RegressorMixin, LinearFusion):
    """A ridge on all blocks, whose penalties the training people choose: `EarlyFusion` of numbers.

    Blocks, missing blocks and sets of blocks are as there. Noise is taken to be normal; a scale
    from 0 to 10 isn't, so that intervals may reach beyond its ends.

    Parameters
    ----------
    blocks : mapping of str to object
        As `early_fusion` takes them; the reference first.
    gate, min_people, max_models
        As in `EarlyFusion`.

    Attributes
    ----------
    blocks_, coef_, intercept_
        As in `EarlyFusion`, in the unit of the outcome.
    noise_ : float
        Variance of people who have all blocks about what is predicted of them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=100)
    >>> pain = cohort.subjects["pain_second_followup"].dropna()
    >>> people = cohort.select(list(pain.index)).known_at_index()
    >>> model = pp.fusion.EarlyRegression({"clinic": "clinical", "scan": "diffusion"})
    >>> model.fit(people, pain).predict_interval(people).columns.tolist()
    ['low', 'high']
    """

    noise_: float

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
            Numbers, in their order.

        Returns
        -------
        EarlyRegression

        Raises
        ------
        FormatError
            When `X` is no cohort, the outcome isn't a number or is the same for everybody, there
            are fewer than `min_people`, or more columns than such a model can hold.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.
        """
        check_cohort(X, self.min_people)
        check_blocks(self.blocks, X)
        target = numbers_of(y, X)
        models = self._learn(X, target, fit_block_gaussian)
        noise = float(sum(weight * each.noise for weight, each in models))
        # What training people lacked was noise to the model; who has it all has less.
        unseen = 0.0
        for name, frame in self._columns(X).items():
            unseen += frame.isna().all(axis=1).mean() * self.blocks_["open"][name]
        self.noise_ = max(noise - unseen, _LEAST_NOISE * noise)
        return self

    def predict(self, X: Cohort) -> np.ndarray:
        """Predict the number.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who has none of the blocks gets the `intercept_`.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        return self._linear(X)["mean"].to_numpy()

    def predict_interval(self, X: Cohort, confidence: float = 0.9) -> pd.DataFrame:
        """Predict where the number of each person will lie.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        confidence : float, default 0.9
            Share of people whose number the interval should hold.

        Returns
        -------
        pandas.DataFrame of shape (n, 2)
            Index as ``X.index``: ``low`` and ``high``, wider for those who lack blocks.
        """
        if not 0 < confidence < 1:
            raise FormatError(f"confidence lies between 0 and 1, found {confidence}")
        found = self._linear(X)
        half = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(found["variance"] + self.noise_)
        return pd.DataFrame({"low": found["mean"] - half, "high": found["mean"] + half})
