"""The clinical baseline: features from the subjects table, and models on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from .splits import SubjectKFold

__all__ = ["ClinicalFeatures", "clinical_model", "nested"]


class ClinicalFeatures(TransformerMixin, BaseEstimator):
    """Numbers from the subjects table of a Cohort, with levels learned in the fold.

    Numbers, ordinals and flags stay one column; a category becomes one column per level
    (a category of two levels, one). Missing stays missing. By default every column that
    may predict is taken. Columns that are constant in the training people are left out.

    Parameters
    ----------
    columns : sequence of str, optional
        Which columns of ``subjects``; by default `Cohort.predictors`.
    exclude : sequence of str, default ()
        Columns to leave out.
    allow : sequence of str, default ()
        Columns allowed by name although they were recorded after the index event.
    min_count : int, default 5
        Levels seen in fewer training rows get no column of their own.
    as_frame : bool, default True
        Return a DataFrame; an array spares a pipeline the conversion.

    Attributes
    ----------
    columns_ : list of str
        The columns taken.
    levels_ : dict of str to list
        Levels of each category, in order.
    feature_names_in_, n_features_in_
        As scikit-learn has them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn()
    >>> features = pp.evaluation.ClinicalFeatures(["age", "sex"]).fit(cohort)
    >>> features.get_feature_names_out().tolist()
    ['age', 'sex=male']
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        *,
        exclude: Sequence[str] = (),
        allow: Sequence[str] = (),
        min_count: int = 5,
        as_frame: bool = True,
    ) -> None:
        self.columns = columns
        self.exclude = exclude
        self.allow = allow
        self.min_count = min_count
        self.as_frame = as_frame

    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn which columns and levels there are.

        Parameters
        ----------
        X : Cohort
            Training people.
        y : object
            Ignored.

        Returns
        -------
        ClinicalFeatures

        Raises
        ------
        LeakageError
            When a column is an outcome, derives from one, or was recorded after the index
            event.
        """
        self._learn(X)
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame | np.ndarray:
        """Learn the columns and levels, and return the features of the same people.

        Parameters
        ----------
        X : Cohort
            Training people, n rows.
        y : object
            Ignored.
        **options
            Ignored.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            As `transform` gives it.
        """
        return self._encode(self._learn(X))

    def _learn(self, X: Cohort) -> pd.DataFrame:
        self._check(X)
        names = X.predictors if self.columns is None else list(self.columns)
        taken = [name for name in names if name not in set(self.exclude)]
        frame = X.predictor_frame(taken, allow=self.allow)
        kinds = X.columns
        for name in taken:
            if kinds[name].kind in ("text", "date"):
                raise FormatError(
                    f"column {name!r} is {kinds[name].kind}, which has no numbers to offer",
                    remedy="turn it into numbers or levels first",
                )
        self.columns_ = [name for name, varies in zip(taken, _vary(frame), strict=True) if varies]
        if not self.columns_:
            raise MissingModalityError(
                "the training people have no column that may predict and varies",
                remedy="see cohort.dictionary for the columns and why they are barred",
            )
        dtypes = frame.dtypes
        self.levels_: dict[str, list[Any]] = {
            name: self._levels(frame[name])
            for name in self.columns_
            if kinds[name].kind == "category" or not _numeric(dtypes[name])
        }
        self.feature_names_in_ = np.array(self.columns_, dtype=object)
        self.n_features_in_ = len(self.columns_)
        return frame if self.columns_ == taken else frame[self.columns_]

    def _check(self, X: Any) -> None:
        if not isinstance(X, Cohort):
            raise FormatError(f"X is a Cohort, found {type(X).__name__}")

    def _levels(self, values: pd.Series) -> list[Any]:
        counts = values.value_counts()
        frequent = counts[counts >= self.min_count]
        levels = sorted((frequent if len(frequent) else counts).index, key=str)
        # The first of two levels is the reference; with more, a penalised or tree model
        # treats all alike, so none is left out.
        return levels[1:] if len(levels) == 2 and len(counts) == 2 else levels

    def transform(self, X: Cohort) -> pd.DataFrame | np.ndarray:
        """Return the features.

        Parameters
        ----------
        X : Cohort
            People, n rows.

        Returns
        -------
        pandas.DataFrame of shape (n, n_features)
            Float, index as ``X.index``. A level not seen in training has zeros everywhere;
            a missing category is missing everywhere.
        """
        check_is_fitted(self, "columns_")
        self._check(X)
        return self._encode(X.predictor_frame(self.columns_, allow=self.allow))

    def _encode(self, frame: pd.DataFrame) -> pd.DataFrame | np.ndarray:
        numbers = [name for name in self.columns_ if name not in self.levels_]
        if not self.levels_:
            return self._wrap(_as_floats(frame), frame.index)
        blocks = {
            name: column[:, None]
            for name, column in zip(numbers, _as_floats(frame[numbers]).T, strict=True)
        }
        for name, levels in self.levels_.items():
            codes = pd.Categorical(frame[name], categories=levels).codes
            block = np.equal.outer(codes, np.arange(len(levels))).astype(float)
            block[frame[name].isna().to_numpy()] = np.nan
            blocks[name] = block
        return self._wrap(np.hstack([blocks[name] for name in self.columns_]), frame.index)

    def _wrap(self, values: np.ndarray, index: pd.Index) -> pd.DataFrame | np.ndarray:
        if not self.as_frame:
            return values
        return pd.DataFrame(values, index, self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features: ``column`` or ``column=level``.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "columns_")
        names = []
        for name in self.columns_:
            names += (
                [f"{name}={level}" for level in self.levels_[name]]
                if (name in self.levels_)
                else [name]
            )
        return np.array(names, dtype=object)


def _vary(frame: pd.DataFrame) -> np.ndarray:
    """Tell which columns have at least two known values.

    Missing against known may carry information too, but only trees could use it.
    """
    numeric = np.array([_numeric(dtype) for dtype in frame.dtypes], dtype=bool)
    result = np.zeros(frame.shape[1], dtype=bool)
    values = _as_floats(frame if numeric.all() else frame.loc[:, numeric])
    if len(values):
        result[numeric] = np.fmin.reduce(values) < np.fmax.reduce(values)
    result[~numeric] = (frame.loc[:, ~numeric].nunique() > 1).to_numpy()
    return result


def _as_floats(frame: pd.DataFrame) -> np.ndarray:
    return frame.to_numpy(dtype=float, na_value=np.nan)


def _numeric(dtype: Any) -> bool:
    return pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)


def clinical_model(
    name: Literal["logistic", "random_forest", "xgboost"] = "logistic",
    *,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    allow: Sequence[str] = (),
    random_state: int = 0,
    **options: Any,
) -> Any:
    """Return a clinical model of a Cohort: a scikit-learn pipeline.

    Parameters
    ----------
    name : {"logistic", "random_forest", "xgboost"}, default "logistic"
        ``logistic`` is a ridge: unit variance, the mean for what is missing (so that it adds
        nothing), and C = 0.1, that is a prior of 0 ± 0.32 on each log odds ratio per standard
        deviation. The trees take missing values as they are.
    columns, exclude, allow : sequence of str, optional
        See `ClinicalFeatures`.
    random_state : int, default 0
        Seed of the trees.
    **options
        Changed settings of the final estimator.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``features`` first, ``model`` last.

    Raises
    ------
    FormatError
        For an unknown name.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response")
    >>> model = pp.evaluation.clinical_model("logistic")
    >>> model.fit(cohort, cohort.outcome("mvd_response")).predict_proba(cohort).shape[1]
    2
    """
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = [
        ("features", ClinicalFeatures(columns, exclude=exclude, allow=allow, as_frame=False))
    ]
    if name == "logistic":
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        steps += [
            ("impute", SimpleImputer(keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("model", LogisticRegression(**{"C": 0.1, "max_iter": 1000, **options})),
        ]
    elif name == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        defaults = {"n_estimators": 300, "min_samples_leaf": 5, "random_state": random_state}
        steps.append(("model", RandomForestClassifier(**{**defaults, **options})))
    elif name == "xgboost":
        from xgboost import XGBClassifier

        settings: dict[str, Any] = {
            "n_estimators": 150,
            "max_depth": 2,
            "learning_rate": 0.05,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "reg_lambda": 5.0,
            "n_jobs": 1,
            "random_state": random_state,
        }
        steps.append(("model", XGBClassifier(**{**settings, **options})))
    else:
        known = ("logistic", "random_forest", "xgboost")
        raise FormatError(f"a clinical model is one of {list_some(known)}, found {name!r}")
    return Pipeline(steps)


def same_model(one: Any, other: Any) -> bool:
    """Tell whether two pipelines have the same steps and settings.

    Parameters
    ----------
    one, other : estimator
        scikit-learn estimators.

    Returns
    -------
    bool
    """

    def plain(model: Any) -> dict[str, str]:
        # Estimators among the values are compared by their own settings.
        return {
            key: type(value).__name__ if hasattr(value, "get_params") else repr(value)
            for key, value in model.get_params().items()
            if key != "steps"
        }

    return type(one) is type(other) and plain(one) == plain(other)


def nested(
    model: Any,
    grid: Mapping[str, Sequence[Any]],
    *,
    cv: Any = None,
    scoring: str = "neg_log_loss",
    **options: Any,
) -> Any:
    """Return a model that tunes itself on people of its own training fold.

    Give it to `cross_validate`: the outer folds then never see the choice. It is
    scikit-learn's `GridSearchCV` with a split by subject inside.

    Parameters
    ----------
    model : estimator
        Whose X is a Cohort.
    grid : mapping
        Parameter → values to try.
    cv : splitter, optional
        Inner folds; by default ``SubjectKFold(4)``.
    scoring : str, default "neg_log_loss"
        What the inner folds maximise.
    **options
        Passed to `GridSearchCV`.

    Returns
    -------
    sklearn.model_selection.GridSearchCV

    Examples
    --------
    >>> import precisionpain as pp
    >>> tuned = pp.evaluation.nested(
    ...     pp.evaluation.clinical_model("logistic"), {"model__C": [0.01, 0.1, 1.0]})
    """
    from sklearn.model_selection import GridSearchCV

    inner = SubjectKFold(4) if cv is None else cv
    return GridSearchCV(model, dict(grid), cv=inner, scoring=scoring, **options)
