"""One kind of data of a Cohort as numbers that a model can take, with all learned in the fold."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import AlignmentError, DataWarning, FormatError, MissingModalityError, list_some
from ._reduction import Reduction, make_reduction
from .tables import TableFeatures, is_numeric

__all__ = ["FeatureBlock", "available_blocks"]

Reduce = Literal["pca", "pls", "stability"]


class FeatureBlock(TransformerMixin, BaseEstimator):
    """One kind of data of a Cohort (clinic, nerves, proteins…), complete and on one scale.

    A person who lacks all of it has missing values in every column, so that whatever comes next
    can leave them out of this block alone. In the others a gap is filled with the training
    median. Every column is standardised and divided by the square root of the number of columns,
    so that blocks of 5 and of 500 columns weigh the same.

    Parameters
    ----------
    features : str or transformer, default "clinical"
        Takes a Cohort and returns a DataFrame, such as `ClinicalFeatures`, `NerveMeasures`,
        `ProteinFeatures` or `PanelScores`. A name stands for one of them: "clinical", or that
        of a measurement table or of an assay of the cohort.
    reduce : {None, "pca", "pls", "stability"}, default None
        Principal components; components that covary with the outcome; or the columns that
        differ between the classes in most random halves of the training people.
    n_components : int, default 3
        Of "pca" and "pls".
    max_missing : float, default 0.5
        Columns that more of the people with the block lack are left out.
    far : float, default 10.0
        Values further than so many training SDs outside of the training range aren't believed:
        they count as missing, with a warning, and where half of a column of five people or more
        is so, it is refused as one in other units.
    random_state : int, default 0
        Of the random halves.

    Attributes
    ----------
    features_ : transformer
        Fitted.
    columns_ : list of str
        Columns taken.
    left_out_ : pandas.Series
        Columns that were not, and why.
    n_available_ : int
        Training people who have the block.
    feature_names_in_, n_features_in_
        As scikit-learn has them.

    References
    ----------
    .. [1] Meinshausen N, Bühlmann P. Stability selection. J R Stat Soc B 2010;72:417.
    .. [2] Westerhuis JA, et al. Analysis of multiblock and hierarchical PCA and PLS models.
       J Chemometr 1998;12:301 (block scaling).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response")
    >>> block = pp.fusion.FeatureBlock("diffusion").fit(cohort, cohort.outcome("mvd_response"))
    >>> block.columns_[:2], len(cohort), block.n_available_ < len(cohort)
    (['affected:fa', 'affected:md'], 42, True)
    """

    def __init__(
        self,
        features: Any = "clinical",
        *,
        reduce: Reduce | None = None,
        n_components: int = 3,
        max_missing: float = 0.5,
        far: float = 10.0,
        random_state: int = 0,
    ) -> None:
        self.features = features
        self.reduce = reduce
        self.n_components = n_components
        self.max_missing = max_missing
        self.far = far
        self.random_state = random_state

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn the columns, their scale and the reduction.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,), optional
            Outcome in their order; "pls" and "stability" need it.

        Returns
        -------
        FeatureBlock

        Raises
        ------
        MissingModalityError
            When fewer than two people have the block, or no column is left.
        FormatError
            When a setting or the features make no sense.
        AlignmentError
            When the features have other rows than the cohort.
        """
        self._learn(X, y)
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame:
        """Learn, and return the block of the same people.

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
        pandas.DataFrame of shape (n, n_columns)
            As `transform` gives it.
        """
        return self._block(self._learn(X, y))

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the block.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_columns)
            Index as ``X.index``; missing everywhere for people who lack the block.

        Raises
        ------
        FormatError
            When a column looks to be in other units than in training.

        Warns
        -----
        DataWarning
            When the whole cohort has no such table or assay, so that everybody lacks the block,
            or single values are too far outside of the training range.
        """
        check_is_fitted(self, "columns_")
        return self._block(self._believed(self._features(X)))

    def available(self, X: Cohort) -> np.ndarray:
        """Tell who has the block.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of bool, shape (n,)
        """
        check_is_fitted(self, "columns_")
        known = self._believed(self._features(X))[self.columns_]
        return known.notna().any(axis=1).to_numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that come out.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "columns_")
        return self.reduction_.names(self.columns_)

    def _learn(self, X: Cohort, y: Any) -> pd.DataFrame:
        if self.reduce is not None and self.reduce not in get_args(Reduce):
            raise FormatError(
                f"reduce is None or one of {list_some(get_args(Reduce))}, found {self.reduce!r}"
            )
        self.features_ = features_of(self.features, X)
        frame = self._frame(self.features_.fit_transform(X, y), X)
        known = frame.dropna(how="all")
        if len(known) < 2:
            raise MissingModalityError(
                f"{len(known)} of {len(X)} training people have the block {_named(self.features)}",
                remedy="leave the block out, or use fewer folds",
            )
        lack = known.isna().mean()
        low, high = known.min(), known.max()
        reasons = pd.Series("", index=frame.columns, dtype=object)
        reasons[~(low < high)] = "constant"
        reasons[lack > self.max_missing] = "missing in too many"
        self.left_out_ = reasons[reasons != ""]
        self.columns_ = reasons.index[reasons == ""].tolist()
        if not self.columns_:
            raise MissingModalityError(
                f"no column is left of the block {_named(self.features)}: "
                f"{list_some([f'{name} ({why})' for name, why in self.left_out_.items()])}",
                remedy="leave the block out, or raise max_missing",
            )
        # Who has nothing but columns that are left out lacks the block, here as in `transform`.
        has = frame[self.columns_].notna().any(axis=1).to_numpy()
        self.n_available_ = int(has.sum())
        known = frame.loc[has, self.columns_]
        self.medians_ = known.median()
        filled = known.fillna(self.medians_)
        self.means_, self.spreads_ = filled.mean(), filled.std(ddof=0)
        self.lowest_, self.highest_ = low[self.columns_], high[self.columns_]
        self.feature_names_in_ = frame.columns.to_numpy(dtype=object)
        self.n_features_in_ = frame.shape[1]
        outcome = None if y is None else np.asarray(y)[has]
        self.reduction_: Reduction = make_reduction(
            self.reduce, self.n_components, self.random_state
        ).fit(self._scaled(filled), outcome)
        return frame

    def _features(self, X: Cohort) -> pd.DataFrame:
        """Return the columns of new people: all missing where their cohort lacks the source."""
        try:
            return self._frame(self.features_.transform(X), X)
        except MissingModalityError:
            inner = getattr(self.features_, "features_", self.features_)  # of a wrapper
            source = getattr(inner, "table", getattr(inner, "assay", None))
            if source is None or source in X.measurements or source in X.assays:
                raise
        warnings.warn(
            f"the cohort has no {source!r}: everybody lacks that block", DataWarning, stacklevel=4
        )
        return pd.DataFrame(np.nan, X.index, self.feature_names_in_)

    def _frame(self, made: Any, X: Cohort) -> pd.DataFrame:
        if not isinstance(made, pd.DataFrame):
            raise FormatError(
                f"{type(self.features_).__name__} returns a {type(made).__name__}, not a DataFrame",
                remedy="set as_frame=True",
            )
        if not made.index.equals(X.index):
            raise AlignmentError(
                f"{type(self.features_).__name__} returns {len(made)} rows that aren't the "
                f"{len(X)} people of the cohort in their order",
                remedy="give features with one row per person, index as X.index",
            )
        if not made.columns.is_unique:
            twice = made.columns[made.columns.duplicated()]
            raise FormatError(f"columns {list_some(twice)} come more than once")
        try:
            values = made.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            text = made.columns[[not is_numeric(made[name]) for name in made]]
            raise FormatError(f"columns {list_some(text)} hold no numbers") from None
        frame = pd.DataFrame(values, made.index, made.columns)
        if np.isinf(frame.to_numpy()).any():
            infinite = frame.columns[np.isinf(frame.to_numpy()).any(axis=0)]
            raise FormatError(f"columns {list_some(infinite)} hold infinite values")
        return frame

    def _believed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Set values aside that can't be in the units of the training people."""
        values = frame[self.columns_]
        room = self.far * self.spreads_
        with np.errstate(invalid="ignore"):
            off = (values < self.lowest_ - room) | (values > self.highest_ + room)
        if not off.to_numpy().any():
            return frame
        n_known, n_off = values.notna().sum(), off.sum()
        for name in self.columns_:
            if n_known[name] >= 5 and n_off[name] >= n_known[name] / 2:
                raise FormatError(
                    f"{n_off[name]} of {n_known[name]} values of {name!r} lie far outside of the "
                    f"training range, {self.lowest_[name]:.4g} to {self.highest_[name]:.4g}: from "
                    f"{values[name].min():.4g} to {values[name].max():.4g}",
                    remedy="check that the column is in the units of the training cohort",
                )
        names = [name for name in self.columns_ if n_off[name]]
        warnings.warn(
            f"{int(n_off.sum())} values of {list_some(names)} lie more than {self.far:g} SD "
            "outside of the training range and count as missing",
            DataWarning,
            stacklevel=4,
        )
        return frame.assign(**{name: frame[name].mask(off[name]) for name in names})

    def _scaled(self, filled: pd.DataFrame) -> np.ndarray:
        z = (filled - self.means_) / self.spreads_
        return z.to_numpy()

    def _block(self, frame: pd.DataFrame) -> pd.DataFrame:
        known = frame[self.columns_]
        has = known.notna().any(axis=1).to_numpy()
        names = self.get_feature_names_out()
        result = np.full((len(frame), len(names)), np.nan)
        if has.any():
            z = self._scaled(known[has].fillna(self.medians_))
            result[has] = self.reduction_.transform(z) / np.sqrt(len(names))
        return pd.DataFrame(result, frame.index, names)


def features_of(features: Any, cohort: Cohort) -> Any:
    """Return the transformer that a name stands for, or a clone of the one that was given."""
    if not isinstance(features, str):
        if not (hasattr(features, "get_params") and hasattr(features, "transform")):
            raise FormatError(
                f"features are a name or a transformer, found {type(features).__name__}",
                remedy=f"names are {list_some(available_blocks(cohort))}",
            )
        return clone(features)
    if features == "clinical":
        from ..evaluation import ClinicalFeatures

        return ClinicalFeatures()
    if features in cohort.measurements:
        table = cohort.measurements[features]
        if "side" in table:
            from ..trigeminal import NerveMeasures

            several = "level" in table and "affected_level" in cohort.subjects
            return NerveMeasures(features, level="affected_level" if several else None)
        return TableFeatures(features)
    if features in cohort.assays:
        from ..proteomics import ProteinFeatures

        return ProteinFeatures(features)
    raise MissingModalityError(
        f"the cohort has nothing called {features!r} to make features of",
        remedy=f"there are {list_some(available_blocks(cohort))}; or give a transformer",
    )


def available_blocks(cohort: Cohort) -> list[str]:
    """List the blocks that a cohort offers by name.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    list of str
        "clinical", the measurement tables, and the assays.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.available_blocks(pp.datasets.sample_tn())
    ['clinical', 'nerve_measures', 'diffusion', 'csf_pea', 'plasma_pea', 'csf_lfq']
    """
    return ["clinical", *map(str, cohort.measurements), *map(str, cohort.assays)]


def _named(features: Any) -> str:
    return repr(features) if isinstance(features, str) else type(features).__name__
