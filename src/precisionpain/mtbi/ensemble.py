"""Several classifiers of the same people: one per plane, or per seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, list_some
from .classifier import ChronicPainClassifier
from .volumes import Plane

__all__ = ["PlaneEnsemble"]


class PlaneEnsemble(ClassifierMixin, BaseEstimator):
    """Classifiers for several planes (and seeds) that vote.

    scikit-learn's VotingClassifier is close to it, but takes the subject ids off the labels,
    and gives no probabilities when it counts votes.

    Parameters
    ----------
    model : ChronicPainClassifier, optional
        What is trained in each plane, with all its settings; by default one with the
        defaults.
    planes : sequence of {"axial", "coronal", "sagittal"}, default all three
        One model for each.
    seeds : sequence of int, optional
        One model for each plane and each of these values of ``random_state``; by default
        that of `model` alone.
    voting : {"mean", "majority"}, default "mean"
        Probability of the second class: the mean of those of all models, or the share of
        models that say it (each with its own threshold).
    threshold : float, default 0.5
        From which on `predict` says the second class.

    Attributes
    ----------
    models_ : dict of (str, int) to ChronicPainClassifier
        By plane and seed, fitted.
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.

    Examples
    --------
    >>> import precisionpain as pp
    >>> model = pp.mtbi.ChronicPainClassifier(depth=10, stem="medicalnet")
    >>> ensemble = pp.mtbi.PlaneEnsemble(model, planes=["axial", "coronal"], seeds=[53, 123])
    >>> [(one.plane, one.random_state) for one in ensemble.members()]
    [('axial', 53), ('axial', 123), ('coronal', 53), ('coronal', 123)]
    """

    models_: dict[tuple[str, int], ChronicPainClassifier]
    classes_: NDArray[Any]

    def __init__(
        self,
        model: ChronicPainClassifier | None = None,
        planes: Sequence[Plane] = ("axial", "coronal", "sagittal"),
        *,
        seeds: Sequence[int] | None = None,
        voting: Literal["mean", "majority"] = "mean",
        threshold: float = 0.5,
    ) -> None:
        self.model = model
        self.planes = planes
        self.seeds = seeds
        self.voting = voting
        self.threshold = threshold

    def members(self) -> list[ChronicPainClassifier]:
        """Make the models that `fit` trains, untrained.

        Returns
        -------
        list of ChronicPainClassifier

        Raises
        ------
        FormatError
            When there is none, one comes twice, or the voting is unknown.
        """
        if self.voting not in ("mean", "majority"):
            raise FormatError(
                f"expected 'mean' or 'majority', found {self.voting!r}", where="voting"
            )
        model = ChronicPainClassifier() if self.model is None else self.model
        seeds = [model.random_state] if self.seeds is None else list(self.seeds)
        pairs = [(plane, seed) for plane in self.planes for seed in seeds]
        if not pairs or len(set(pairs)) < len(pairs):
            raise FormatError(
                f"expected different planes and seeds, found {list_some(pairs)}", where="planes"
            )
        return [clone(model).set_params(plane=p, random_state=seed) for p, seed in pairs]

    def fit(self, X: Cohort, y: Any) -> Self:
        """Train all models on the same people.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.
        y : pandas.Series or array-like
            Two classes; a Series goes by its index of subject ids, all else by order.

        Returns
        -------
        PlaneEnsemble

        Raises
        ------
        FormatError, AlignmentError, MissingModalityError, GeometryError, TrainingError
            As `ChronicPainClassifier.fit`.
        """
        models = [model.fit(X, y) for model in self.members()]
        self.models_ = {(model.plane, model.random_state): model for model in models}
        self.classes_ = models[0].classes_
        return self

    def predict_proba(self, X: Cohort) -> NDArray[np.float64]:
        """Compute the probability of each class, or the share of votes for it.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray of float64, shape (n, 2)
            Columns as `classes_`.
        """
        check_is_fitted(self, "models_")
        each = np.array([model.predict_proba(X)[:, 1] for model in self.models_.values()])
        if self.voting == "majority":
            thresholds = [model.threshold for model in self.models_.values()]
            each = each >= np.array(thresholds)[:, None]
        p = each.mean(axis=0)
        return np.stack([1 - p, p], axis=1)

    def predict(self, X: Cohort) -> NDArray[Any]:
        """Tell the class: the second one from `threshold` on.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        positive = self.predict_proba(X)[:, 1] >= self.threshold
        return self.classes_[positive.astype(int)]

    def saw(self, subject_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Tell whose scans any of the models learned from.

        Parameters
        ----------
        subject_ids : sequence of str
            People.

        Returns
        -------
        numpy.ndarray of bool
        """
        if not hasattr(self, "models_"):
            if self.model is None:
                raise NotFittedError("this ensemble has learned from nobody yet; call fit first")
            return self.model.saw(subject_ids)
        found = [model.saw(subject_ids) for model in self.models_.values()]
        return np.any(found, axis=0)
