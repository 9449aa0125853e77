"""How long until an event: models of a Cohort whose people were followed for different times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, list_some
from ..evaluation._lifelines import baseline_steps, heard_from_lifelines
from ._survival.base import SurvivalModel
from ._survival.partial import Breslow, choose_variance

__all__ = ["CoxRidge", "WeibullAFT", "survival_model"]

#: Variances of the log hazard ratio of one block that the training people choose from.
VARIANCES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def survival_model(
    kind: Literal["cox", "weibull", "xgboost", "deep"] = "cox",
    *,
    blocks: Mapping[str, Any] | None = None,
    **options: Any,
) -> SurvivalModel:
    """Return a model of the time to an event.

    Parameters
    ----------
    kind : {"cox", "weibull", "xgboost", "deep"}, default "cox"
        `CoxRidge`, `WeibullAFT`, `XGBoostAFT` or `DeepCox`. At a few hundred people the first is
        hard to beat.
    blocks : mapping of str to object, optional
        By name, what each block is made of, as `early_fusion` takes it; by default the clinic.
    **options
        Of the class.

    Returns
    -------
    CoxRidge, WeibullAFT, XGBoostAFT or DeepCox

    Raises
    ------
    FormatError
        For an unknown kind.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.survival_model("cox", blocks={"clinic": "clinical", "scan": "diffusion"})
    CoxRidge(blocks={'clinic': 'clinical', 'scan': 'diffusion'})
    """
    from .survival_deep import DeepCox
    from .survival_trees import XGBoostAFT

    kinds: dict[str, Any] = {
        "cox": CoxRidge,
        "weibull": WeibullAFT,
        "xgboost": XGBoostAFT,
        "deep": DeepCox,
    }
    if kind not in kinds:
        raise FormatError(f"kind is one of {list_some(kinds)}, found {kind!r}")
    model: SurvivalModel = kinds[kind](blocks, **options)
    return model


class _Linear(SurvivalModel):
    """Log hazards, or log times, that are sums over columns."""

    coef_: pd.Series

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        variance: float | Sequence[float] = VARIANCES,
        n_folds: int = 5,
        min_people: int = 20,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.variance = variance
        self.n_folds = n_folds
        self.min_people = min_people
        self.random_state = random_state

    def contributions(self, X: Cohort) -> pd.DataFrame:
        """Tell what each block adds to the risk score of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_blocks)
            Index as ``X.index``; missing where the person lacks the block.
        """
        check_is_fitted(self, "coef_")
        frame = self._frame(X)
        parts = {
            name: (block @ self.coef_[name]).where(block.notna().any(axis=1))
            for name, block in ((n, pd.DataFrame(frame[n])) for n in self.design_.members)
        }
        return pd.DataFrame(parts, X.index)

    def _score(self, frame: pd.DataFrame) -> np.ndarray:
        return frame.fillna(0.0).to_numpy() @ self.coef_.to_numpy()

    def _choose(self, X: Cohort, time: np.ndarray, event: np.ndarray) -> float:
        """Return the variance that the training people choose, or the one that is given."""
        if np.ndim(self.variance) == 0:
            return float(self.variance)  # type: ignore[arg-type]
        grid = [float(v) for v in self.variance]  # type: ignore[union-attr]
        if not grid or min(grid) <= 0:
            raise FormatError(f"variances lie above 0, found {list_some(grid)}")
        folds, trained_on = [], []
        for train, test, x_train, x_test in self._inner(X, event):
            whole = np.zeros((len(X), x_train.shape[1]))
            whole[train], whole[test] = x_train.fillna(0.0), x_test.fillna(0.0)
            folds.append((x_train.fillna(0.0).to_numpy(), whole))
            trained_on.append(train)
        best, total = choose_variance(folds, time, event, trained_on, grid)
        self.cv_ = pd.Series(total, pd.Index(grid, name="variance"), name="log_likelihood")
        return best

    def _table(
        self, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the table for lifelines, and its penalty of each column.

        lifelines standardises columns and penalises what comes of that; blocks have a scale of
        their own, which the penalty gives back.
        """
        filled = frame.fillna(0.0)
        filled.columns = [" ".join(map(str, names)) for names in frame.columns]
        penalty = 1 / (self.variance_ * len(filled) * filled.var(ddof=1).to_numpy())
        return filled.assign(time_=time, event_=event.astype(float)), penalty


class CoxRidge(_Linear):
    """Cox's proportional hazards with a ridge on the columns of all blocks.

    Columns of each block are standardised and divided by the square root of their number, so
    that a block of many columns has no more say than one of a few. Coefficients are a priori
    N(0, variance); the variance is the one with the best partial likelihood in folds of the
    training people. A person who lacks a block is taken for average in it.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        By name, what each block is made of, as `early_fusion` takes it; by default the clinic.
    variance : float or sequence of float
        Of the log hazard ratios, or what to choose from; by default seven from 0.003 to 3.
    n_folds : int, default 5
        Inner folds of the choice.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    random_state : int, default 0
        Of the inner folds.

    Attributes
    ----------
    coef_ : pandas.Series
        Log hazard ratios; index (block, column), for the columns that `FeatureBlock` gives.
    variance_ : float
        The one chosen.
    cv_ : pandas.Series
        Cross-validated log partial likelihood of each, where there was a choice.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it) and ``left_out`` (why, or empty).
    model_ : lifelines.CoxPHFitter
        As fitted, with ``print_summary()`` and more.
    follow_up_ : float
        The longest time of the training people.

    References
    ----------
    Cox, J R Stat Soc B 34, 187 (1972); Verweij & van Houwelingen, Statistics in Medicine 13, 2427
    (1994), for the ridge and its choice.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("recurrence")
    >>> model = pp.fusion.CoxRidge({"clinic": "clinical", "scan": "diffusion"}, variance=0.1)
    >>> model.fit(cohort, cohort.outcome("recurrence")).coef_["scan"].index.tolist()[:2]
    ['affected:fa', 'affected:md']
    >>> model.predict_survival(cohort[:3], [365, 730]).shape
    (3, 2)
    """

    def _learn(self, X: Cohort, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> None:
        from lifelines import CoxPHFitter

        self.variance_ = self._choose(X, time, event)
        table, penalty = self._table(frame, time, event)
        with heard_from_lifelines():
            self.model_ = CoxPHFitter(penalizer=penalty, l1_ratio=0.0).fit(table, "time_", "event_")
        self.coef_ = pd.Series(self.model_.params_.to_numpy(), frame.columns, name="log_hazard")
        self.baseline_ = Breslow(*baseline_steps(self.model_, float(self._score(frame).mean())))

    def _survival(self, frame: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        return self.baseline_.survival(self._score(frame), times)

    def _median(self, frame: pd.DataFrame) -> np.ndarray:
        return self.baseline_.median(self._score(frame))


class WeibullAFT(_Linear):
    """Weibull's accelerated failure times with a ridge on the columns of all blocks.

    The penalty is the one that `CoxRidge` would choose, because a Weibull model has
    proportional hazards too. Its curves are smooth and go on beyond the follow-up, as long
    as one believes in them.

    Parameters
    ----------
    blocks, variance, n_folds, min_people, random_state
        As `CoxRidge` takes them.

    Attributes
    ----------
    coef_ : pandas.Series
        Log hazard ratios (−shape × the effect on log time); index (block, column).
    shape_ : float
        Of the Weibull distribution: below 1 the hazard falls with time.
    variance_, cv_, blocks_, follow_up_
        As in `CoxRidge`.
    model_ : lifelines.WeibullAFTFitter
        As fitted.

    References
    ----------
    Kalbfleisch & Prentice, The Statistical Analysis of Failure Time Data, chapter 3 (2002).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("recurrence")
    >>> model = pp.fusion.WeibullAFT(variance=0.1).fit(cohort, cohort.outcome("recurrence"))
    >>> model.predict_median(cohort[:3]).shape
    (3,)
    """

    def _learn(self, X: Cohort, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> None:
        from lifelines import WeibullAFTFitter

        self.variance_ = self._choose(X, time, event)
        table, penalty = self._table(frame, time, event)
        # Neither names with signs that a formula would read nor days in their thousands.
        # (zeros in front, because lifelines sorts names).
        names = [f"x{k:06d}" for k in range(frame.shape[1])]
        table.columns = [*names, "time_", "event_"]
        self.unit_ = float(np.median(time))
        table["time_"] /= self.unit_
        penalty = np.append(penalty, 0.0)  # the shape has none
        with heard_from_lifelines():
            self.model_ = WeibullAFTFitter(penalizer=penalty, l1_ratio=0.0).fit(
                table, "time_", "event_"
            )
        params = self.model_.params_
        effects = params["lambda_"][names].to_numpy()
        self.shape_ = float(np.exp(params["rho_"]["Intercept"]))
        self.log_scale_ = float(params["lambda_"]["Intercept"] + np.log(self.unit_))
        self.coef_ = pd.Series(-self.shape_ * effects, frame.columns, name="log_hazard")

    def _survival(self, frame: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        hazard = (times / np.exp(self.log_scale_)) ** self.shape_
        return np.exp(-np.exp(self._score(frame))[:, None] * hazard)

    def _median(self, frame: pd.DataFrame) -> np.ndarray:
        spread = (np.log(np.log(2)) - self._score(frame)) / self.shape_
        return np.exp(self.log_scale_ + spread)
