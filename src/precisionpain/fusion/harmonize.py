"""Features of a cohort without the marks of the sites that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ..stats import CombatFit, fit_combat
from ._sites import Kept, batches_of, check_outcome, say
from .blocks import features_of

__all__ = ["Harmonized"]

Unknown = Literal["warn", "error", "estimate"]
Small = Literal["pool", "error"]


class Harmonized(TransformerMixin, BaseEstimator):
    """Features of a Cohort after ComBat: the sites' location and scale are taken out, in the fold.

    Scanners and hospitals shift and stretch measures, and a model may learn the site for the
    disease. Each column is brought to the common level and spread, with effects of a site that
    are shrunk towards those of its other columns; what the training people teach is applied to
    new ones. `FeatureBlock` takes it like any other features, so it works inside a fusion.

    Parameters
    ----------
    features : str or transformer, default "clinical"
        As `FeatureBlock` takes them: a transformer of a Cohort that returns a DataFrame, or the
        name of a block.
    batch : str, default "site"
        Column of ``subjects`` that names the site, the scanner or the protocol.
    covariates : str or sequence of str, default ()
        Columns of ``subjects`` whose effects are kept, such as age and sex: numbers or
        categories. Without them, a site with older people is made as young as the others. Who
        lacks one, or has a level that training didn't, counts as average in it.
    columns : sequence of str, optional
        Which features to harmonise; by default all that have more than two values in training.
        The others (flags, levels) pass as they are, see `passed_`.
    eb : bool, default True
        Borrow strength across the columns (empirical Bayes). With a single column, or without,
        each stands alone.
    parametric : bool, default True
        Normal and inverse gamma priors; else the empirical distribution over the columns.
    mean_only : bool, default False
        Adjust the location alone.
    reference : object, optional
        Site that stays as it is, and that the others are brought to.
    unknown : {"warn", "error", "estimate"}, default "warn"
        People of a site that training didn't see, or of none. "warn": their values stay as
        they are, with a `DataWarning`. "estimate": location and scale of the site from its own
        people at hand, without their outcomes, where a site has at least `min_people`; what is
        predicted of one person then hangs on who else is asked about, and a true difference
        between the people of the site and the others goes too. "error": refused.
    small : {"pool", "error"}, default "pool"
        Training sites with fewer than `min_people` who have the block: joined to one, with a
        warning, and taken for unknown if that is still too small; or refused.
    min_people : int, default 5
        See `unknown` and `small`; at least 2.

    Attributes
    ----------
    sites_ : pandas.Series
        For each training site with a known effect, the batch that it is part of. Empty where
        nothing is harmonised, because there is one batch only.
    columns_, passed_ : list of str
        Columns that are harmonised, and that aren't.
    combat_ : precisionpain.stats.CombatFit or None
        What was learned; None where there is one batch only.
    features_ : transformer
        Fitted.

    Notes
    -----
    The outcome is never a covariate. To keep its effect, `transform` would need it of the
    people whose outcome is to be predicted; and kept in training alone, it is written into the
    training values of unequal sites, so that a model learns a signal that isn't there in new
    people. ``y`` only serves to refuse sites of one class each, and covariates that tell it.
    The price: where sites differ in how common the outcome is, part of its effect goes with
    theirs.

    As in neuroCombat (Fortin et al.), people are rows, measures are columns, covariates are
    kept and priors are shared by all measures of a site. It differs in three ways: gaps stay
    gaps and nobody leaves for one, effects are learned from training people only, and columns of
    one or two values pass.

    The model is additive and each column is taken for roughly normal: counts, and measures that
    are often exactly 0 (a contact area) come out shifted, so leave them out by `columns`.

    References
    ----------
    .. [1] Johnson WE, Li C, Rabinovic A. Adjusting batch effects in microarray expression data
       using empirical Bayes methods. Biostatistics 2007;8:118.
    .. [2] Fortin JP, et al. Harmonization of cortical thickness measurements across scanners and
       sites. NeuroImage 2018;167:104.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120)
    >>> nerves = pp.fusion.Harmonized("diffusion", covariates=["age", "sex"]).fit(cohort)
    >>> nerves.sites_.to_dict()
    {'A': 'A', 'B': 'B', 'C': 'C'}
    >>> block = pp.fusion.FeatureBlock(pp.fusion.Harmonized("diffusion"))
    >>> block.fit_transform(cohort).shape
    (120, 8)
    """

    def __init__(
        self,
        features: Any = "clinical",
        batch: str = "site",
        covariates: str | Sequence[str] = (),
        *,
        columns: Sequence[str] | None = None,
        eb: bool = True,
        parametric: bool = True,
        mean_only: bool = False,
        reference: Any = None,
        unknown: Unknown = "warn",
        small: Small = "pool",
        min_people: int = 5,
    ) -> None:
        self.features = features
        self.batch = batch
        self.covariates = covariates
        self.columns = columns
        self.eb = eb
        self.parametric = parametric
        self.mean_only = mean_only
        self.reference = reference
        self.unknown = unknown
        self.small = small
        self.min_people = min_people

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn the features, and the effects of the sites.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,), optional
            Outcome in their order; no effect is learned from it.

        Returns
        -------
        Harmonized

        Raises
        ------
        FormatError
            When a setting makes no sense, somebody has no site, a site is too small and
            ``small="error"``, the reference isn't there, or the sites are confounded with
            covariates or with the outcome.
        MissingModalityError
            When there is no such column, or no such block.
        LeakageError
            When a covariate may not predict, or gives the outcome away.

        Warns
        -----
        DataWarning
            When there is one site only, so that nothing is harmonised, small sites are joined,
            or nobody of a site has a column.
        """
        self._learn(X, y)
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame:
        """Learn the effects of the sites, and return the features of the same people.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,), optional
            As in `fit`.
        **options
            Ignored.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            As `transform` gives it.
        """
        return self._adjusted(self._learn(X, y), X)

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the features without the effects of the sites.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            Index as ``X.index``. Missing stays missing.

        Raises
        ------
        AlignmentError
            For a site that training didn't see, with ``unknown="error"``.

        Warns
        -----
        DataWarning
            When values of people of such a site stay as they are.
        """
        check_is_fitted(self, "combat_")
        return self._adjusted(_frame(self.features_.transform(X), self.features_), X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "combat_")
        return self.feature_names_in_

    # -- parts of fit ------------------------------------------------------------------------

    def _learn(self, X: Any, y: Any) -> pd.DataFrame:
        self._check(X)
        self.features_ = features_of(self.features, X)
        frame = _frame(self.features_.fit_transform(X, y), self.features_)
        site = self._site(X)
        if site.isna().any():
            raise FormatError(
                f"{int(site.isna().sum())} training people have no {self.batch}",
                remedy=f"leave them out first: cohort.require({self.batch!r})",
            )
        people = self._people(X)
        if y is not None:
            check_outcome(people, site, y)
        self.feature_names_in_ = frame.columns.to_numpy(dtype=object)
        self.n_features_in_ = frame.shape[1]
        self.columns_ = self._varying(frame)
        self.passed_ = [name for name in frame if name not in set(self.columns_)]
        has = frame[self.columns_].notna().any(axis=1).to_numpy()
        self.sites_ = batches_of(site[has], self.min_people, self.small)
        self.combat_: CombatFit | None = None
        if self.sites_.nunique() < 2 or not self.columns_:
            what = "no column varies" if self.sites_.nunique() > 1 else "there is one site only"
            say(f"{what}, so nothing is harmonised", 5)
            self.sites_ = self.sites_.iloc[:0]
            return frame
        batch = site.map(self.sites_).to_numpy(dtype=object)
        used = has & pd.notna(batch)
        self._kept = Kept(people[used])
        terms = self._kept.terms(people[used])
        self._kept.check_told_apart(batch[used], terms, self.batch)
        if self.reference is not None and self.reference not in set(batch[used]):
            raise FormatError(
                f"the reference {self.reference!r} is not among the sites "
                f"{list_some(sorted(set(batch[used]), key=str))}",
                remedy="choose a site with training people, or none",
            )
        self.combat_ = fit_combat(
            frame.loc[used, self.columns_], batch[used], terms,
            reference=self.reference, parametric=self.parametric, mean_only=self.mean_only,
            shrink=self.eb,
        )  # fmt: skip
        lacking = ~self.combat_.known.all(axis=0)
        if lacking.any():
            names = np.asarray(self.columns_, dtype=object)[lacking]
            say(
                f"nobody of some {self.batch} has {list_some(names)}; the mean effect of its "
                "other columns stands in",
                5,
            )
        return frame

    def _check(self, X: Any) -> None:
        if not isinstance(X, Cohort) or X.unit != "subject":
            found = f"a cohort of {X.unit}s" if isinstance(X, Cohort) else type(X).__name__
            raise FormatError(f"X is a Cohort of subjects, found {found}")
        for name, value, known in (
            ("unknown", self.unknown, get_args(Unknown)),
            ("small", self.small, get_args(Small)),
        ):
            if value not in known:
                raise FormatError(f"{name} is one of {list_some(known)}, found {value!r}")
        if self.min_people < 2:
            raise FormatError(f"expected min_people of at least 2, found {self.min_people}")
        if self.batch in self._names():
            raise FormatError(f"{self.batch!r} is the batch; it can't be a covariate too")

    def _names(self) -> list[str]:
        return [self.covariates] if isinstance(self.covariates, str) else list(self.covariates)

    def _site(self, X: Cohort) -> pd.Series:
        subjects = X.subjects
        if self.batch not in subjects:
            raise MissingModalityError(
                f"the subjects table has no column {self.batch!r}",
                remedy="name the column of the site or scanner: batch=...",
            )
        return subjects[self.batch].astype(object)

    def _people(self, X: Cohort) -> pd.DataFrame:
        """Return the covariates; what may not predict is refused."""
        names = self._names()
        return X.predictor_frame(names) if names else pd.DataFrame(index=X.index)

    def _varying(self, frame: pd.DataFrame) -> list[Any]:
        asked = list(frame) if self.columns is None else list(self.columns)
        absent = [name for name in asked if name not in frame]
        if absent:
            raise MissingModalityError(
                f"the features have no column {list_some(absent)}",
                remedy=f"columns are {list_some(list(frame), 30)}",
            )
        fewest = 3 if self.columns is None else 2
        return [name for name in asked if frame[name].nunique() >= fewest]

    # -- parts of transform ------------------------------------------------------------------

    def _adjusted(self, frame: pd.DataFrame, X: Cohort) -> pd.DataFrame:
        if self.combat_ is None:
            return frame
        absent = [name for name in self.columns_ if name not in frame]
        if absent:
            raise MissingModalityError(f"the features lack {list_some(absent)}")
        site = self._site(X)
        batch = site.map(self.sites_).to_numpy(dtype=object)
        values = frame[self.columns_].to_numpy(dtype=float, na_value=np.nan)
        terms = self._kept.terms(self._people(X))
        combat, batch = self._with_new(values, site, batch, terms)
        known = pd.notna(batch)
        adjusted = values.copy()
        adjusted[known] = combat.adjust(values[known], batch[known], terms[known])
        result = frame.astype(float)
        result[self.columns_] = adjusted
        return result

    def _with_new(
        self, values: np.ndarray, site: pd.Series, batch: np.ndarray, terms: np.ndarray
    ) -> tuple[CombatFit, np.ndarray]:
        """Return the effects with those of new sites, and the batch of each person, if any."""
        assert self.combat_ is not None
        combat = self.combat_
        left = pd.isna(batch) & np.isfinite(values).any(axis=1)
        if not left.any():
            return combat, batch
        found = site[left].dropna().unique().tolist()
        named = list_some(sorted(found, key=str)) or "none"
        if self.unknown == "error":
            raise AlignmentError(
                f"{int(left.sum())} people are of {self.batch} {named}, whose effect training "
                "didn't learn",
                remedy='train with people of that site, or set unknown="warn" or "estimate"',
            )
        batch = batch.copy()
        if self.unknown == "estimate":
            for name in found:
                mine = left & (site == name).to_numpy()
                if mine.sum() < self.min_people:
                    continue
                label = f"{name} (new)"
                combat = combat.with_batch(label, values[mine], terms[mine])
                batch[mine] = label
                left &= ~mine
            named = list_some(sorted(site[left].dropna().unique(), key=str)) or "none"
        if left.any():
            say(
                f"{int(left.sum())} people are of {self.batch} {named}, whose effect isn't known; "
                "their values stay as they are",
                5,
            )
        return combat, batch


def _frame(made: Any, features: Any) -> pd.DataFrame:
    if not isinstance(made, pd.DataFrame):
        raise FormatError(
            f"{type(features).__name__} returns a {type(made).__name__}, not a DataFrame",
            remedy="set as_frame=True",
        )
    return made
