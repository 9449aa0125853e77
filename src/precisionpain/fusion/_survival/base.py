"""What the models of time to an event share: blocks, outcome, and how predictions look."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ...cohort import Cohort
from ...errors import DataWarning, FormatError
from ...stats import harrell_c
from .._targets import check_blocks, check_cohort, saw_inside
from .design import BlockDesign, inner_designs
from .outcome import survival_outcome

__all__ = ["SurvivalModel"]

_CLINICAL = {"clinical": "clinical"}


class SurvivalModel(BaseEstimator):
    """Base of the models: `_learn` and `_score` and `_survival` and `_median` are theirs."""

    blocks: Mapping[str, Any] | None
    min_people: int
    random_state: int
    n_folds: int
    blocks_: pd.DataFrame
    follow_up_: float
    n_features_in_: int

    def fit(self, X: Cohort, y: Any) -> Self:
        """Learn the blocks and the model.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : pandas.DataFrame, structured array or array of shape (n, 2)
            Columns ``time`` and ``event``, as ``cohort.outcome("recurrence")`` gives them; or a
            flag and a time by name; or time and event in this order.

        Returns
        -------
        SurvivalModel
            Itself.

        Raises
        ------
        FormatError
            When `X` is no cohort or has fewer than 20 people, or the outcome is missing,
            negative, not finite, has other flags than 0 and 1, or fewer than 5 events.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.

        Warns
        -----
        DataWarning
            When times are 0: they become half of the shortest other one, at most 0.5.
        ConvergenceWarning
            When the fit stopped before it converged.
        """
        check_cohort(X, 20)
        check_blocks(self._blocks, X)
        time, event = survival_outcome(y, X)
        self.design_ = BlockDesign(self._blocks, self.min_people)
        frame = self.design_.fit_transform(X, event)
        self.blocks_ = self.design_.table
        self.follow_up_ = float(time.max())
        self.n_features_in_ = frame.shape[1]
        self._learn(X, frame, time, event)
        return self

    def predict(self, X: Cohort) -> np.ndarray:
        """Compute a risk score.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who lacks a block is taken for average in it.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Higher means that an earlier event is expected.
        """
        return self._score(self._frame(X))

    def predict_survival(self, X: Cohort, times: ArrayLike) -> pd.DataFrame:
        """Compute the chance of no event by each horizon.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        times : array-like of shape (k,)
            Horizons, in the unit of the training outcome, not negative.

        Returns
        -------
        pandas.DataFrame of shape (n, k)
            Index as ``X.index``, columns the horizons.

        Warns
        -----
        DataWarning
            When a horizon is beyond the follow-up of the training people. Nothing was seen
            there: the curve of a Cox model stays level, that of an accelerated model goes on.
        """
        horizons = np.atleast_1d(np.asarray(times, dtype=float))
        if horizons.ndim != 1 or not np.isfinite(horizons).all() or (horizons < 0).any():
            raise FormatError(f"horizons are finite and not negative, found {times!r}")
        frame = self._frame(X)
        late = horizons[horizons > self.follow_up_]
        if len(late):
            warnings.warn(
                f"nobody in training was followed beyond {self.follow_up_:g}; asked for "
                f"{', '.join(f'{t:g}' for t in late[:5])}",
                DataWarning,
                stacklevel=2,
            )
        survival = np.clip(self._survival(frame, horizons), 0.0, 1.0)
        return pd.DataFrame(survival, X.index, pd.Index(horizons, name="time"))

    def predict_median(self, X: Cohort) -> pd.Series:
        """Compute the time by which half of people like each would have the event.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series
            Index as ``X.index``; infinite where the curve of a Cox model stays above one half.
        """
        return pd.Series(self._median(self._frame(X)), X.index, name="median")

    def score(self, X: Cohort, y: Any) -> float:
        """Compute Harrell's concordance.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        y : pandas.DataFrame, structured array or array of shape (n, 2)
            As `fit` takes it.

        Returns
        -------
        float
        """
        time, event = survival_outcome(y, X)
        return harrell_c(time, event, self.predict(X)).c

    def saw(self, people: Sequence[str]) -> np.ndarray:
        """Tell whom weights inside of the blocks were learned from before any `fit`.

        Parameters
        ----------
        people : sequence of str
            Ids of people.

        Returns
        -------
        numpy.ndarray of bool
        """
        return saw_inside(self._blocks, people)

    @property
    def _blocks(self) -> Mapping[str, Any]:
        return _CLINICAL if self.blocks is None else self.blocks

    def _frame(self, X: Cohort) -> pd.DataFrame:
        check_is_fitted(self, "design_")
        check_cohort(X)
        return self.design_.transform(X)

    def _inner(
        self, X: Cohort, event: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, pd.DataFrame, pd.DataFrame]]:
        return inner_designs(
            self._blocks, self.min_people, X, event, self.n_folds, self.random_state
        )

    def _learn(self, X: Cohort, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> None:
        raise NotImplementedError

    def _score(self, frame: pd.DataFrame) -> np.ndarray:
        raise NotImplementedError

    def _survival(self, frame: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _median(self, frame: pd.DataFrame) -> np.ndarray:
        raise NotImplementedError
