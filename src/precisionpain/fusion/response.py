"""Who responds to microvascular decompression: the recommended model, and when it won't say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import special, stats
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort, Outcome
from ..errors import DataWarning, FormatError, MissingModalityError
from ..evaluation import SubjectKFold
from ._classes import LogOddsClassifier
from ._conformal import class_thresholds, within
from ._recalibrate import fit_line
from ._targets import check_cohort, saw_inside, two_classes
from .early import EarlyFusion
from .recommended import recommended_blocks, response_outcome

__all__ = ["ResponseModel", "mvd_response_model"]

_FAR = 1.5  # times the largest leverage of a training person


class ResponseModel(LogOddsClassifier, BaseEstimator):
    """Early fusion, recalibrated, with sets of answers and "not enough information".

    Probabilities are those of an `EarlyFusion`, recalibrated on people left out. For each person
    `assess` gives an interval of the probability, the set of outcomes that can't be ruled out
    at the asked confidence, and whether enough is known of this person to say anything.

    Parameters
    ----------
    blocks : mapping, optional
        As `early_fusion` takes them, the reference first; by default `recommended_blocks`.
    response : str or Outcome, default "bni_1_2"
        Which outcome `fit` takes from the cohort when it isn't given one; see
        `response_outcome`.
    gate : float or None, default None
        As `EarlyFusion` takes it: whether further blocks need evidence to be used at all.
    confidence : float, default 0.9
        Of the sets and the intervals.
    min_information : float, default 0.5
        Nothing is said of people whose blocks hold less than this share of what all blocks
        together tell about people (in variance of the log odds).
    n_folds : int, default 5
        Of the inner cross-validation, by subject; fewer where the rarer class is smaller.
    random_state : int, default 0
        Seed of the inner folds.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is the response.
    fusion_ : EarlyFusion
        Trained on everybody.
    slope_, offset_ : float
        Of the recalibration: log odds of the fusion times slope plus offset.
    lowest_ : numpy.ndarray of shape (2,)
        Probability that a class needs to be in a person's set.
    left_out_ : pandas.DataFrame
        Index ``subject_id``: ``y`` (0 or 1) and ``p``, recalibrated, of the training people
        when they were left out.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=150)
    >>> model = pp.fusion.ResponseModel({"clinic": "clinical"}).fit(cohort)
    >>> model.assess(cohort).columns.tolist()
    ['p', 'p_low', 'p_high', 'set', 'information', 'informed', 'answer', 'reason']
    """

    classes_: np.ndarray

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        response: str | Outcome = "bni_1_2",
        gate: float | None = None,
        confidence: float = 0.9,
        min_information: float = 0.5,
        n_folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.response = response
        self.gate = gate
        self.confidence = confidence
        self.min_information = min_information
        self.n_folds = n_folds
        self.random_state = random_state

    def outcome(self) -> Outcome:
        """Return the definition of the response.

        Returns
        -------
        Outcome
        """
        if isinstance(self.response, Outcome):
            return self.response
        return response_outcome(self.response)

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Train the fusion, and learn from people left out how far it can be believed.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,), optional
            Two classes, in their order. By default the `response` of those who have it; what
            was known only after the landmark isn't used then.

        Returns
        -------
        ResponseModel

        Raises
        ------
        FormatError
            When `X` is no cohort, a setting makes no sense, there are not two classes, or fewer
            than 20 people.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left, or the cohort lacks the columns of the response.
        """
        check_cohort(X)
        if not 0.5 <= self.confidence < 1:
            raise FormatError(f"confidence is at least 0.5 and below 1, found {self.confidence}")
        if not 0 <= self.min_information <= 1:
            raise FormatError(f"min_information is from 0 to 1, found {self.min_information}")
        if self.n_folds < 2:
            raise FormatError(f"n_folds is 2 or more, found {self.n_folds}")
        if y is None:
            X, y = self._own_outcome(X)
        blocks = recommended_blocks(X) if self.blocks is None else self.blocks
        self.fusion_ = EarlyFusion(blocks, gate=self.gate).fit(X, y)
        self.classes_, target = two_classes(y, X)
        n_folds = min(self.n_folds, int(np.bincount(target).min()))
        if n_folds < 2:
            raise FormatError(
                f"one of the classes has a single person among {len(X)}",
                remedy="one person can't be learned from and left out; gather more",
            )
        eta = np.zeros(len(X))
        for train, test in SubjectKFold(n_folds, random_state=self.random_state).split(X, target):
            with warnings.catch_warnings():
                # What lies far outside of this fold may be the edge of a long tail.
                warnings.simplefilter("ignore", DataWarning)
                fold = EarlyFusion(blocks, gate=self.gate, min_people=min(20, len(train)))
                eta[test] = fold.fit(X[train], target[train]).decision_function(X[test])
        self.offset_, self.slope_ = fit_line(eta, target)
        p = special.expit(self.offset_ + self.slope_ * eta)
        self.lowest_ = class_thresholds(np.column_stack([1 - p, p]), target, self.confidence)
        self.left_out_ = pd.DataFrame({"y": target, "p": p}, X.index)
        self.largest_leverage_ = float(self.fusion_.leverage(X).max())
        return self

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the recalibrated log odds of the second class.

        Parameters
        ----------
        X : Cohort
            People, n of them; also those whom `assess` says nothing of.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        check_is_fitted(self, "fusion_")
        return self.offset_ + self.slope_ * self.fusion_.decision_function(X)

    def predict_set(self, X: Cohort) -> pd.DataFrame:
        """Tell which classes can't be ruled out for each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of bool, shape (n, 2)
            Index as ``X.index``, columns as `classes_`. Among people of each class, about the
            share `confidence` has it in their set, if they come from where the training people
            came from. Both means that the model can't tell; neither, that the person is unlike
            those of either class.
        """
        return pd.DataFrame(
            within(self.predict_proba(X), self.lowest_), X.index, pd.Index(self.classes_)
        )

    def assess(self, X: Cohort) -> pd.DataFrame:
        """Say of each person what can be said, and of whom nothing.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, 8)
            Index as ``X.index``. ``p`` with ``p_low`` and ``p_high``: probability of the second
            class, and what the training people, and the person's missing blocks, leave open
            about it (at `confidence`). ``set``: "response", "no response", "either" or
            "neither", of `predict_set`. ``information``: share of what all blocks tell that
            the person's blocks hold. ``informed``: whether to say anything. ``answer``:
            "response likely" or "response unlikely", where set and probability agree,
            "can't tell", or "not enough information".
            ``reason``: why.
        """
        check_is_fitted(self, "fusion_")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            odds = self.fusion_.log_odds(X)
            p = self.predict_proba(X)
            known = self.fusion_.information(X)
            leverage = self.fusion_.leverage(X)
        for text in dict.fromkeys(str(w.message) for w in caught):
            warnings.warn(text, DataWarning, stacklevel=2)
        low, high = self._interval(odds, p[:, 1])
        can = within(p, self.lowest_)
        said = np.select(
            [can.all(axis=1), can[:, 1], can[:, 0]], ["either", "response", "no response"],
            "neither",
        )  # fmt: skip
        told = self.fusion_.blocks_["open"][known.columns]
        share = known.to_numpy() @ (told / told.sum()).to_numpy()
        unlike = leverage > _FAR * self.largest_leverage_
        informed = (share >= self.min_information) & known.any(axis=1).to_numpy() & ~unlike
        likely = p[:, 1] >= 0.5
        answer = np.select(
            [~informed, (said == "response") & likely, (said == "no response") & ~likely],
            ["not enough information", "response likely", "response unlikely"],
            "can't tell",
        )
        return pd.DataFrame(
            {
                "p": p[:, 1],
                "p_low": low,
                "p_high": high,
                "set": said,
                "information": share,
                "informed": informed,
                "answer": answer,
                "reason": self._reasons(known, share, unlike, said, likely),
            },
            X.index,
        )

    def contributions(self, X: Cohort) -> pd.DataFrame:
        """Tell what each block adds to the log odds of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_blocks)
            Of `fusion_`, before the recalibration; missing where the person lacks the block.
        """
        check_is_fitted(self, "fusion_")
        return self.fusion_.contributions(X)

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
        check_is_fitted(self, "fusion_")
        return self.fusion_.information(X)

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
        return saw_inside(self.blocks or {}, people)

    def _interval(self, odds: pd.DataFrame, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half = stats.norm.ppf((1 + self.confidence) / 2) * np.sqrt(odds["variance"].to_numpy())
        low, high = (
            special.expit(self.offset_ + self.slope_ * (odds["mean"].to_numpy() + side * half))
            for side in (-1, 1)
        )
        # An average over very open log odds may lie outside of them.
        return np.minimum(low, p), np.maximum(high, p)

    def _own_outcome(self, X: Cohort) -> tuple[Cohort, pd.Series]:
        outcome = self.outcome()
        values = outcome.values(X.subjects)
        if isinstance(values, pd.DataFrame):
            raise FormatError(
                "the response is a survival outcome", remedy="see the survival models"
            )
        known = values.notna().to_numpy()
        if not known.any():
            raise MissingModalityError(
                f"nobody has the response ({outcome.description or outcome.column})"
            )
        people = X[np.flatnonzero(known)].without_predictors(
            outcome.sources, reason="the outcome is computed from it"
        )
        return people.known_at_index(), values[known].astype(int)

    def _reasons(
        self,
        known: pd.DataFrame,
        share: np.ndarray,
        unlike: np.ndarray,
        said: np.ndarray,
        likely: np.ndarray,
    ) -> list[str]:
        level = f"{self.confidence:.0%}"
        texts = {
            ("response", True): f"no response is ruled out at {level} confidence",
            ("no response", False): f"a response is ruled out at {level} confidence",
            ("response", False): f"less probable than not, yet unlike {level} of non-responders",
            ("no response", True): f"more probable than not, yet less so than in {level} of "
            "responders",
            ("neither", True): "unlike the people of either outcome",
            ("neither", False): "unlike the people of either outcome",
        }
        either = f"neither outcome can be ruled out at {level} confidence"
        reasons = []
        rows = zip(known.to_numpy(), share, unlike, said, likely, strict=True)
        for has, part, odd, answer, more in rows:
            lacking = known.columns[~has].tolist()
            without = f"; without {', '.join(lacking)}" if lacking else ""
            if not has.any():
                reasons.append("no block of data is known")
            elif part < self.min_information:
                reasons.append(
                    f"the known blocks hold {part:.0%} of what the model goes by{without}"
                )
            elif odd:
                reasons.append(f"further from the training people than any of them{without}")
            else:
                reasons.append(texts.get((str(answer), bool(more)), either) + without)
        return reasons


def mvd_response_model(
    response: str | Outcome = "bni_1_2",
    blocks: Mapping[str, Any] | None = None,
    **options: Any,
) -> ResponseModel:
    """Return the recommended model of the response to microvascular decompression.

    Parameters
    ----------
    response : str or Outcome, default "bni_1_2"
        As `response_outcome` takes it: "bni_1", "bni_1_2", "bni_1_3a", "bni_1_3b",
        "pain_reduction_50"…; or a definition of your own.
    blocks : mapping, optional
        As `early_fusion` takes them, the reference first; by default `recommended_blocks`.
    **options
        Of `ResponseModel`.

    Returns
    -------
    ResponseModel
        It learns from people who had a decompression and speaks of those who will have one. It
        says nothing about whether another procedure would serve a person better; see
        `treatment_context`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=150)
    >>> model = pp.fusion.mvd_response_model("bni_1_3b", {"clinic": "clinical"})
    >>> model.outcome().description
    'BNI I-IIIb after MVD'
    >>> model.fit(cohort).predict_proba(cohort[:3]).shape
    (3, 2)
    """
    return ResponseModel(blocks, response=response, **options)
