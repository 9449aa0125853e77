"""Late fusion: a model for each block, and weights for what they say of people they hadn't seen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import special
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, MissingModalityError, list_some
from ..evaluation import RepeatedSubjectKFold
from ._classes import LogOddsClassifier
from ._targets import check_blocks, check_cohort, saw_inside, two_classes
from ._weights import fit_weights, log_losses
from .models import as_model, fitted_where_known, has_block, log_odds_of

__all__ = ["LateFusion", "late_fusion"]


class LateFusion(LogOddsClassifier, BaseEstimator):
    """Stacking of one model per block, in which everybody counts with the blocks that they have.

    Each block has a model of its own, trained on those who have the block. What it says of
    people whom it hadn't seen, as log odds less those of the prevalence, goes into a logistic
    model with non-negative weights; a block that a person lacks says nothing there. With few
    events the weights can't be told apart, so they are drawn towards their mean. At last a gate
    asks, on the same inner folds, whether one block alone does better; if so, that block is the
    model. Name the block that is the reference, usually the clinic, first.

    Parameters
    ----------
    blocks : mapping of str to object
        As `late_fusion` takes them.
    gate : float or None, default 0.0
        The fused model is given up for a single block where that has the smaller out-of-fold
        log loss by more than so many standard errors of the difference. The single block is
        the first one, unless another has a loss smaller than that by more than one standard
        error. None always fuses; a higher gate fuses more often.
    spread : float, default 0.15
        Standard deviation of the weights about their mean; large values are plain stacking.
    n_folds, n_repeats : int, default 5 and 2
        Of the inner cross-validation, by subject.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    random_state : int, default 0
        Seed of the inner folds.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``n_events``, ``log_loss`` and
        ``auc`` (out of fold, of those people), ``weight``, and ``left_out`` (why, or empty).
    models_ : dict of str to estimator
        Fitted on all who have the block.
    used_ : str
        "all", or the name of the single block that the gate chose.
    prevalence_ : float
        Of the second class in training.
    intercept_ : float
        Log odds of who has none of the blocks.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.LateFusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model.fit(cohort, cohort.outcome("mvd_response")).blocks_.index.tolist()
    ['clinic', 'scan']
    """

    classes_: np.ndarray
    blocks_: pd.DataFrame
    models_: dict[str, Any]
    base_log_odds_: dict[str, float]
    weights_: np.ndarray
    intercept_: float
    used_: str
    prevalence_: float

    def __init__(
        self,
        blocks: Mapping[str, Any],
        *,
        gate: float | None = 0.0,
        spread: float = 0.15,
        n_folds: int = 5,
        n_repeats: int = 2,
        min_people: int = 20,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.gate = gate
        self.spread = spread
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.min_people = min_people
        self.random_state = random_state

    def fit(self, X: Cohort, y: Any) -> Self:
        """Train the models, and weigh them by what they say of people left out.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,)
            Two classes, in their order.

        Returns
        -------
        LateFusion

        Raises
        ------
        FormatError
            When `X` is no cohort, there are not two classes, or fewer than `min_people`.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.
        """
        check_cohort(X, self.min_people)
        if not self.spread > 0:
            raise FormatError(f"expected a spread above 0, found {self.spread}")
        check_blocks(self.blocks, X)
        models = {str(name): as_model(value) for name, value in self.blocks.items()}
        self.classes_, target = two_classes(y, X)
        self.prevalence_ = float(target.mean())
        z, reasons = self._out_of_fold(models, X, target)
        has = np.isfinite(z)
        kept = [k for k, why in enumerate(reasons) if not why]
        if not kept:
            raise MissingModalityError(
                "no block is left: "
                + list_some([f"{n} ({w})" for n, w in zip(models, reasons, strict=True)], 9)
            )
        names = list(models)
        filled = np.where(has, z, 0.0)[:, kept]
        intercept, weights = fit_weights(filled, target, self.spread)
        self.used_ = "all" if len(kept) > 1 else names[kept[0]]
        if self.gate is not None and len(kept) > 1:
            best = self._gate(filled, target, self.gate)
            if best is not None:
                self.used_ = names[kept[best]]
                intercept, alone = fit_weights(filled[:, [best]], target, self.spread)
                weights = np.zeros(len(kept))
                weights[best] = alone[0]
        self.intercept_ = intercept
        self.weights_ = np.zeros(len(names))
        self.weights_[kept] = weights
        self.models_, self.base_log_odds_ = {}, {}
        for k, (name, model) in enumerate(models.items()):
            if self.weights_[k] > 0:
                rows = np.flatnonzero(has[:, k])
                self.models_[name] = fitted_where_known(model, X[rows], target[rows])
                self.base_log_odds_[name] = float(special.logit(target[rows].mean()))
        self.blocks_ = self._described(names, z, target, reasons)
        return self

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who has none of the blocks gets the `intercept_` alone, which
            is close to the prevalence of the training people; see `information`.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        check_is_fitted(self, "models_")
        return self.intercept_ + self.contributions(X).fillna(0.0).sum(axis=1).to_numpy()

    def contributions(self, X: Cohort) -> pd.DataFrame:
        """Tell what each block adds to the log odds of each person.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_blocks)
            Index as ``X.index``. They and `intercept_` add up to `decision_function`. Missing
            where the person lacks the block; 0 for a block without weight.
        """
        check_is_fitted(self, "models_")
        check_cohort(X)
        parts = {}
        for name, weight in zip(self.blocks_.index, self.weights_, strict=True):
            if name not in self.models_:
                parts[name] = np.zeros(len(X))
                continue
            parts[name] = weight * log_odds_of(self.models_[name], X, self.base_log_odds_[name])
        return pd.DataFrame(parts, X.index)

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
        known = self.contributions(X)[list(self.models_)]
        return known.notna()

    def saw(self, people: Sequence[str]) -> np.ndarray:
        """Tell whom weights inside of the blocks were learned from before any `fit`.

        A cross-validation refuses them, as it does for such weights outside of a fusion.

        Parameters
        ----------
        people : sequence of str
            Ids of people.

        Returns
        -------
        numpy.ndarray of bool
        """
        return saw_inside(self.blocks, people)

    # -- parts of fit ------------------------------------------------------------------------

    def _out_of_fold(
        self, models: Mapping[str, Any], X: Cohort, y: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Return the log odds of each block for people left out, and why a block is left out."""
        z = np.full((len(X), len(models)), np.nan)
        reasons = []
        for k, model in enumerate(models.values()):
            try:
                has = has_block(model, X, y)
            except MissingModalityError as error:
                reasons.append(str(error))
                continue
            n_fewest = min(int((y[has] == c).sum()) for c in (0, 1))
            if has.sum() < self.min_people or n_fewest < self.n_folds:
                reasons.append(f"{int(has.sum())} people, {n_fewest} of the rarer class")
                continue
            reasons.append("")
            rows = np.flatnonzero(has)
            people, outcome = X[rows], y[rows]
            folds = RepeatedSubjectKFold(
                self.n_folds, n_repeats=self.n_repeats, random_state=self.random_state
            )
            found = np.zeros(len(rows))
            for train, test in folds.split(people, outcome):
                fitted = fitted_where_known(model, people[train], outcome[train])
                base = special.logit(outcome[train].mean())
                with warnings.catch_warnings():
                    # What lies far outside of this fold may be the edge of a long tail.
                    warnings.simplefilter("ignore", DataWarning)
                    found[test] += log_odds_of(fitted, people[test], base)
            z[rows, k] = found / self.n_repeats
        return z, reasons

    def _gate(self, z: np.ndarray, y: np.ndarray, margin: float) -> int | None:
        """Return the block that alone does better than all together, or None.

        Weights are fitted and judged on different people, for the blocks alone as for all.
        """
        from sklearn.model_selection import StratifiedKFold

        n, n_blocks = z.shape
        fused, alone = np.zeros(n), np.zeros((n, n_blocks))
        folds = StratifiedKFold(self.n_folds, shuffle=True, random_state=self.random_state)
        for train, test in folds.split(z, y):
            intercept, weights = fit_weights(z[train], y[train], self.spread)
            fused[test] = intercept + z[test] @ weights
            for k in range(n_blocks):
                one = z[:, [k]]
                intercept, weights = fit_weights(one[train], y[train], self.spread)
                alone[test, k] = intercept + one[test] @ weights
        losses = log_losses(alone, y[:, None])
        # The best of several looks better than it is, so the first block has the benefit of
        # the doubt, against the others as against all together.
        best = int(losses.mean(axis=0).argmin())
        if not _clearly(losses[:, 0] - losses[:, best], 1.0):
            best = 0
        return best if _clearly(log_losses(fused, y) - losses[:, best], margin) else None

    def _described(
        self, names: list[str], z: np.ndarray, y: np.ndarray, reasons: list[str]
    ) -> pd.DataFrame:
        from ..stats import auc

        rows = []
        for k, why in enumerate(reasons):
            has = np.isfinite(z[:, k])
            row: dict[str, Any] = {"n": int(has.sum()), "n_events": int(y[has].sum())}
            row["log_loss"] = row["auc"] = np.nan
            if not why:
                eta = z[has, k] + special.logit(y[has].mean())
                row["log_loss"] = float(log_losses(eta, y[has]).mean())
                row["auc"] = float(auc(y[has], eta))
            rows.append(row | {"weight": float(self.weights_[k]), "left_out": why})
        return pd.DataFrame(rows, index=pd.Index(names, name="block"))


def late_fusion(blocks: Mapping[str, Any], **options: Any) -> LateFusion:
    """Return a fusion of blocks that may be missing: stacking of one model for each.

    Parameters
    ----------
    blocks : mapping of str to object
        By name, what each block is made of: the name of a block of the cohort (see
        `available_blocks`), a transformer of a Cohort, a `FeatureBlock`, or a whole classifier
        that takes a Cohort.
    **options
        Of `LateFusion`.

    Returns
    -------
    LateFusion

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.late_fusion({"clinic": "clinical", "nerves": "nerve_measures"})
    >>> model.fit(cohort, cohort.outcome("mvd_response")).predict_proba(cohort).shape[1]
    2
    """
    return LateFusion(blocks, **options)


def _clearly(differences: np.ndarray, margin: float) -> bool:
    """Tell whether a mean difference is above so many of its standard errors."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() > margin * error)
