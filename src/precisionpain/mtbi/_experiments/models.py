"""Models that look up what they found before, for `precisionpain.evaluation.cross_validate`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError

from ...cohort import Cohort
from .store import Store, content_of, settings_of, versions

__all__ = ["Peeking", "Remembered", "Vote"]


class Remembered(ClassifierMixin, BaseEstimator):
    """A model whose predictions are kept.

    It is trained when it first has to predict, and only if its predictions of just these test
    people, after just this training, aren't there yet.

    Parameters
    ----------
    model : estimator
        A `ChronicPainClassifier`, or a pipeline on clinical columns.
    store : Store
        Where predictions are kept.
    """

    def __init__(self, model: Any, store: Store) -> None:
        self.model = model
        self.store = store

    def fit(self, X: Cohort, y: Any) -> Self:
        """Note the training people."""
        self._training = X, np.asarray(y)
        self.classes_ = np.unique(self._training[1])
        return self

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Look up the probabilities, or train and compute them."""
        about = self._about(X)
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        p = self.store.read(key, X.index)
        if p is None:
            p = self._compute(self._resumable(key), X)
            self.store.write(key, X.index, p, about)
            self.store.forget_training(key)
        return np.stack([1 - p, p], axis=1)

    def saw(self, subject_ids: Sequence[str]) -> np.ndarray:
        """Tell whom the model, as it comes, has seen."""
        if not callable(getattr(self.model, "saw", None)):
            raise NotFittedError("this model brings nothing along")
        found: np.ndarray = self.model.saw(subject_ids)
        return found

    def _about(self, X: Cohort) -> dict[str, Any]:
        train, y = self._training
        about = {
            "settings": settings_of(self.model),
            "train": content_of(self.model, train),
            "labels": hashlib.sha256(json.dumps(y.tolist()).encode()).hexdigest(),
            "test": content_of(self.model, X),
            "versions": versions(),
        }
        if getattr(self.model, "dataset", None) is not None:
            about["dataset"] = content_of(self.model, self.model.dataset)
        return about

    def _resumable(self, key: str) -> Any:
        """Return the untrained model, with checkpoints where a training takes long."""
        model = clone(self.model)
        if "checkpoint" in model.get_params() and settings_of(model)["device"] == "cpu":
            model.set_params(checkpoint=self.store.training(key))
        return model

    def _compute(self, model: Any, X: Cohort) -> np.ndarray:
        train, y = self._training
        model.fit(train, y)
        p: np.ndarray = model.predict_proba(X)[:, list(model.classes_).index(1)]
        return p


class Peeking(Remembered):
    """A network of the epoch that suits the test people best: it LEAKS ON PURPOSE.

    Parameters
    ----------
    model, store
        See `Remembered`; the model is a `ChronicPainClassifier`.
    labels : pandas.Series
        Outcomes of everybody, those to be tested included.
    """

    def __init__(self, model: Any, store: Store, labels: pd.Series) -> None:
        super().__init__(model, store)
        self.labels = labels

    def _about(self, X: Cohort) -> dict[str, Any]:
        return {**super()._about(X), "peeks at": self.labels.loc[X.index].tolist()}

    def _compute(self, model: Any, X: Cohort) -> np.ndarray:
        from ...stats import auc

        train, y = self._training
        truth = self.labels.loc[X.index].astype(int)
        model.fit(train, y, validation=(X, truth))
        each = model.validation_p_[X.index].to_numpy()
        if truth.nunique() == 2:
            scores = [auc(truth.to_numpy(), p) for p in each]
        else:
            scores = [float(((p >= 0.5) == truth).mean()) for p in each]
        best: np.ndarray = each[int(np.argmax(scores))]
        return best


class Vote(ClassifierMixin, BaseEstimator):
    """Several models of the same people together.

    Parameters
    ----------
    models : list of estimators
        What is put together.
    voting : {"mean", "majority"}, default "mean"
        The mean probability of all, or of those that agree with most of them (at 0.5), which
        is how the study describes its majority vote.
    """

    def __init__(self, models: list[Any], voting: Literal["mean", "majority"] = "mean") -> None:
        self.models = models
        self.voting = voting

    def fit(self, X: Cohort, y: Any) -> Self:
        """Fit each model."""
        self._fitted = [clone(model).fit(X, y) for model in self.models]
        self.classes_ = self._fitted[0].classes_
        return self

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Put the probabilities together."""
        each = np.array([model.predict_proba(X)[:, 1] for model in self._fitted])
        p = each.mean(axis=0)
        if self.voting == "majority":
            positive = each >= 0.5
            wins = positive.mean(axis=0) >= 0.5
            p = np.ma.masked_array(each, positive != wins).mean(axis=0).data
        return np.stack([1 - p, p], axis=1)

    def saw(self, subject_ids: Sequence[str]) -> np.ndarray:
        """Tell whom any of the models, as it comes, has seen."""
        seen = np.zeros(len(subject_ids), dtype=bool)
        for model in self.models:
            try:
                seen |= model.saw(subject_ids)
            except NotFittedError:
                continue
        return seen
