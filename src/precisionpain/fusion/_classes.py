"""What every classifier here makes of its log odds."""

from __future__ import annotations

import numpy as np
from scipy import special
from sklearn.base import ClassifierMixin

from ..cohort import Cohort

__all__ = ["LogOddsClassifier"]


class LogOddsClassifier(ClassifierMixin):
    """Probabilities and classes from a `decision_function` that gives log odds."""

    classes_: np.ndarray

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class."""
        raise NotImplementedError

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Compute the probability of each class.

        Parameters
        ----------
        X : Cohort
            People, n of them. Everybody gets one; `decision_function` says what those get who
            have none of the blocks.

        Returns
        -------
        numpy.ndarray, shape (n, 2)
            Columns as `classes_`.
        """
        p = special.expit(self.decision_function(X))
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
        return self.classes_[(self.decision_function(X) >= 0).astype(int)]
