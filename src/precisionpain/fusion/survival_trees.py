"""Boosted trees of the time to an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError, list_some
from ._survival.aft import fit_accelerated
from ._survival.base import SurvivalModel

__all__ = ["XGBoostAFT"]


class XGBoostAFT(SurvivalModel):
    """Boosted trees of the log time; a block that a person lacks stays missing for them.

    Trees learn the log time under an accelerated failure time likelihood. What they say of
    training people whom they haven't seen (inner folds) then sets the level, the slope and the
    spread of the log times, so that survival isn't more certain than they are.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        As `CoxRidge` takes them.
    distribution : {"normal", "logistic", "extreme"}, default "normal"
        Of the log times.
    n_estimators : int, default 100
        Trees.
    max_depth : int, default 2
        Of each.
    learning_rate : float, default 0.05
        Of each.
    n_folds : int, default 5
        Inner folds.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    random_state : int, default 0
        Of the trees and of the inner folds.

    Attributes
    ----------
    booster_ : xgboost.Booster
        As fitted.
    times_ : object
        ``intercept``, ``slope`` and ``scale`` of the log times, given what the trees say.
    blocks_, follow_up_
        As in `CoxRidge`.

    References
    ----------
    Barnwal, Cho & Hocking, J Comput Graph Stat 31, 1292 (2022).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("recurrence")
    >>> model = pp.fusion.XGBoostAFT(n_estimators=20).fit(cohort, cohort.outcome("recurrence"))
    >>> model.predict(cohort).shape == (len(cohort),)
    True
    """

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        distribution: Literal["normal", "logistic", "extreme"] = "normal",
        n_estimators: int = 100,
        max_depth: int = 2,
        learning_rate: float = 0.05,
        n_folds: int = 5,
        min_people: int = 20,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.distribution = distribution
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.n_folds = n_folds
        self.min_people = min_people
        self.random_state = random_state

    def _learn(self, X: Cohort, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> None:
        kinds = ("normal", "logistic", "extreme")
        if self.distribution not in kinds:
            raise FormatError(
                f"distribution is one of {list_some(kinds)}, found {self.distribution!r}"
            )
        self.unit_ = float(np.median(time))
        score = np.empty(len(X))
        for train, test, x_train, x_test in self._inner(X, event):
            trees = self._grow(x_train, time[train], event[train])
            score[test] = _log_time(trees, x_test)
        self.times_ = fit_accelerated(score, time, event, self.distribution)
        self.booster_ = self._grow(frame, time, event)

    def _grow(self, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> Any:
        import xgboost

        low = time / self.unit_
        data = xgboost.DMatrix(
            frame.to_numpy(),
            label_lower_bound=low,
            label_upper_bound=np.where(event, low, np.inf),
        )
        settings = {
            "objective": "survival:aft",
            "aft_loss_distribution": self.distribution,
            "aft_loss_distribution_scale": 1.0,
            "base_score": 1.0,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "reg_lambda": 5.0,
            "min_child_weight": 5.0,
            "tree_method": "hist",
            "nthread": 1,
            "seed": self.random_state,
            "verbosity": 0,
        }
        return xgboost.train(settings, data, num_boost_round=self.n_estimators)

    def _score(self, frame: pd.DataFrame) -> np.ndarray:
        return -_log_time(self.booster_, frame)

    def _survival(self, frame: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        return self.times_.survival(_log_time(self.booster_, frame), times)

    def _median(self, frame: pd.DataFrame) -> np.ndarray:
        return self.times_.median(_log_time(self.booster_, frame))


def _log_time(booster: Any, frame: pd.DataFrame) -> np.ndarray:
    import xgboost

    margin = booster.predict(xgboost.DMatrix(frame.to_numpy()), output_margin=True)
    return np.asarray(margin, dtype=float)
