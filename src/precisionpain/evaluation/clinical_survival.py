"""The clinical baseline of a time to an event."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError
from ._lifelines import baseline_steps, heard_from_lifelines
from .clinical import ClinicalFeatures

__all__ = ["ClinicalCox"]


class ClinicalCox(BaseEstimator):
    """Cox's proportional hazards on the clinical columns, with a ridge: what to compare with.

    Columns have unit variance, what is missing is the mean (so that it adds nothing), and each
    log hazard ratio per standard deviation is a priori 0 ± √variance, as the log odds ratios
    of `clinical_model` are.

    Parameters
    ----------
    columns, exclude, allow : sequence of str, optional
        See `ClinicalFeatures`.
    variance : float, default 0.1
        Prior variance of each log hazard ratio.

    Attributes
    ----------
    coef_ : pandas.Series
        Log hazard ratios per standard deviation, by feature.
    model_ : lifelines.CoxPHFitter
        As fitted on the standardised columns.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("recurrence")
    >>> model = pp.evaluation.ClinicalCox(["age", "disease_duration_years"])
    >>> model.fit(cohort, cohort.outcome("recurrence")).coef_.index.tolist()
    ['age', 'disease_duration_years']
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        *,
        exclude: Sequence[str] = (),
        allow: Sequence[str] = (),
        variance: float = 0.1,
    ) -> None:
        self.columns = columns
        self.exclude = exclude
        self.allow = allow
        self.variance = variance

    def fit(self, X: Cohort, y: pd.DataFrame) -> Self:
        """Learn the columns, their scale and the hazards.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : pandas.DataFrame of shape (n, 2)
            ``time`` and ``event`` in their order.

        Returns
        -------
        ClinicalCox

        Raises
        ------
        FormatError
            When the variance isn't above 0, or nobody has the event.

        Warns
        -----
        ConvergenceWarning
            When the fit stopped before it converged.
        """
        from lifelines import CoxPHFitter

        if not self.variance > 0:
            raise FormatError(f"variance lies above 0, found {self.variance!r}")
        if not (np.asarray(y["event"], dtype=float) == 1).any():
            raise FormatError("nobody in training has the event")
        self.follow_up_ = float(np.max(np.asarray(y["time"], dtype=float)))
        self.features_ = ClinicalFeatures(self.columns, exclude=self.exclude, allow=self.allow)
        frame = pd.DataFrame(self.features_.fit(X).transform(X))
        self.means_ = frame.mean()
        self.spreads_ = frame.fillna(self.means_).std(ddof=0).replace(0.0, 1.0)
        z = self._scaled(frame)
        varies = z.std(ddof=0) > 0
        z = z.loc[:, varies]
        self.n_features_in_ = z.shape[1]
        table = z.assign(time_=np.asarray(y["time"], float), event_=np.asarray(y["event"], float))
        with heard_from_lifelines():
            self.model_ = CoxPHFitter(penalizer=1 / (self.variance * len(z)), l1_ratio=0.0).fit(
                table, "time_", "event_"
            )
        self.coef_ = self.model_.params_.rename("log_hazard").rename_axis(None)
        self.baseline_ = baseline_steps(self.model_, float(self._eta(z).mean()))
        return self

    def predict(self, X: Cohort) -> np.ndarray:
        """Compute the log hazard ratio to the average of training.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Higher means that an earlier event is expected.
        """
        check_is_fitted(self, "coef_")
        return self._eta(self._scaled(self.features_.transform(X)))

    def predict_survival(self, X: Cohort, times: ArrayLike) -> pd.DataFrame:
        """Compute the chance of no event by each horizon.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        times : array-like of shape (k,)
            Horizons.

        Returns
        -------
        pandas.DataFrame of shape (n, k)
            Index as ``X.index``, columns the horizons.

        Warns
        -----
        DataWarning
            When a horizon is beyond the follow-up of the training people, where the curve stays
            level because nothing was seen.
        """
        horizons = np.atleast_1d(np.asarray(times, dtype=float))
        if (horizons > self.follow_up_).any():
            warnings.warn(
                f"nobody in training was followed beyond {self.follow_up_:g}; asked for "
                f"{horizons.max():g}",
                DataWarning,
                stacklevel=2,
            )
        eta = self.predict(X)
        own, hazard = self.baseline_
        at = np.append(0.0, hazard)[np.searchsorted(own, horizons, side="right")]
        survival = np.exp(-np.exp(eta)[:, None] * at)
        return pd.DataFrame(survival, X.index, pd.Index(horizons, name="time"))

    def _scaled(self, frame: Any) -> pd.DataFrame:
        scaled: pd.DataFrame = ((frame - self.means_) / self.spreads_).fillna(0.0)
        return scaled

    def _eta(self, z: pd.DataFrame) -> np.ndarray:
        return z[self.coef_.index].to_numpy() @ self.coef_.to_numpy()
