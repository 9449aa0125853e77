"""Subtypes that somebody has named, learned from examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, SampleSizeWarning
from ._subtypes.adjustment import USUAL
from .mechanisms import MechanismTable
from .subtype_classifier import UNASSIGNED, SubtypeClassifier
from .subtype_factors import SubtypeFactors

__all__ = ["SubtypeNamer"]


class SubtypeNamer(SubtypeClassifier):
    """Learns subtypes from people whose subtype is known.

    A ridge multinomial regression on the factors of `SubtypeModel`, which take people who lack
    blocks. Without labels it has nothing to learn from, and says so.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        As `SubtypeModel` takes them.
    C : float, default 1.0
        Inverse strength of the ridge, on factors of variance 1.
    mechanisms : MechanismTable, optional
        By default `MECHANISMS`.
    adjust_for : sequence of str, default ("site", "plate")
        As `SubtypeModel` takes it.
    n_factors : int, default 5
        Free factors, with `blocks`.
    min_information : float, default 0.3
        People of whose factors a smaller share is known are unassigned.
    visit : str, optional
        Which visit, needed where several lie before the landmark.

    Attributes
    ----------
    subtypes_ : tuple of str
        Labels of the training people, sorted.
    coef_ : pandas.DataFrame
        Subtypes × factors.

    Examples
    --------
    >>> import precisionpain as pp
    >>> people = pp.datasets.sample_tn(n_subjects=200, subtype_shift=5).where(diagnosis="TN")
    >>> namer = pp.fusion.SubtypeNamer().fit(people, people.subjects["latent_subtype"])
    >>> namer.subtypes_
    ('autoimmune_like', 'axonal', 'compression', 'inflammatory', 'stress')
    """

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        C: float = 1.0,
        mechanisms: MechanismTable | None = None,
        adjust_for: Sequence[str] = USUAL,
        n_factors: int = 5,
        min_information: float = 0.3,
        visit: str | None = None,
    ) -> None:
        self.blocks = blocks
        self.C = C
        self.mechanisms = mechanisms
        self.adjust_for = adjust_for
        self.n_factors = n_factors
        self.min_information = min_information
        self.visit = visit

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn from labels.

        Parameters
        ----------
        X : Cohort
            Training people, n of them; at least 20.
        y : array-like of shape (n,)
            Their subtypes, as text; people without one (missing) teach only the factors.

        Returns
        -------
        SubtypeNamer

        Raises
        ------
        FormatError
            When there are no labels, or fewer than two subtypes.
        AlignmentError
            When `y` isn't one label for each person in their order.

        Warns
        -----
        SampleSizeWarning
            When a subtype has fewer than 10 people.
        """
        import warnings

        from sklearn.linear_model import LogisticRegression

        if y is None:
            raise FormatError(
                "expected the subtypes of the training people, found none",
                remedy="give y; SubtypeModel and MechanismRules need no labels",
            )
        self.factors_ = SubtypeFactors(
            self.blocks, mechanisms=self.mechanisms, adjust_for=self.adjust_for,
            n_factors=self.n_factors, visit=self.visit,
        ).fit(X)  # fmt: skip
        if isinstance(y, pd.Series) and not y.index.equals(X.index) and X.index.isin(y.index).all():
            raise AlignmentError(
                "the labels are those of the people in another order",
                remedy="align them by key: y.reindex(cohort.index)",
            )
        labels = np.asarray(y, dtype=object)
        if labels.shape != (len(X),):
            raise AlignmentError(f"expected {len(X)} labels, found shape {labels.shape}")
        known = ~pd.isna(labels)
        names, counts = np.unique(labels[known].astype(str), return_counts=True)
        if len(names) < 2:
            raise FormatError(f"expected two subtypes or more among the labels, found {len(names)}")
        if counts.min() < 10:
            warnings.warn(
                f"subtype {str(names[counts.argmin()])!r} has {counts.min()} people",
                SampleSizeWarning,
                stacklevel=2,
            )
        z = self.factors_.transform(X)
        self.model_ = LogisticRegression(C=self.C, max_iter=2000)
        self.model_.fit(z.to_numpy()[known], labels[known].astype(str))
        self.subtypes_ = tuple(str(name) for name in self.model_.classes_)
        coefficients = self.model_.coef_
        if len(self.subtypes_) == 2:
            coefficients = np.vstack([-coefficients, coefficients])
        self.coef_ = pd.DataFrame(coefficients, list(self.subtypes_), z.columns)
        return self

    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Return the probability of each subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them; who lacks a block is average in what it alone tells.

        Returns
        -------
        numpy.ndarray, shape (n, n_subtypes)
        """
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(self.factors_.transform(X).to_numpy()))

    def predict(self, X: Cohort) -> np.ndarray:
        """Name the most probable subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of str, shape (n,)
            "unassigned" for people of whom less than `min_information` is known.
        """
        said = super().predict(X)
        said[self.factors_.information(X).to_numpy() < self.min_information] = UNASSIGNED
        return said

    def explain(self, X: Cohort) -> pd.Series:
        """Say which factors speak for the subtype of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series of str
        """
        z, p = self.factors_.transform(X), self.predict_proba(X)
        said = self.predict(X)
        texts = []
        for i, name in enumerate(said):
            if name == UNASSIGNED:
                texts.append("too little is known of this person")
                continue
            push = (z.iloc[i] * self.coef_.loc[name]).sort_values(ascending=False).iloc[:2]
            why = ", ".join(f"{factor} {z.iloc[i][factor]:+.1f} SD" for factor in push.index)
            texts.append(f"{name}: {p[i].max():.0%} probable; {why}")
        return pd.Series(texts, X.index, dtype=object, name="reasons")
