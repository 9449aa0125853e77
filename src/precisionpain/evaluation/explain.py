"""SHAP values of people that the model hadn't seen."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ..errors import FormatError, MissingModalityError
from .result import CVResult

__all__ = ["Explanation", "shap_values"]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Out-of-fold SHAP values.

    Parameters
    ----------
    values : pandas.DataFrame of shape (n_predictions, n_features)
        What each feature adds to the person's prediction, in `unit`.
    data : pandas.DataFrame of the same shape
        The features, before imputation and scaling.
    base : numpy.ndarray of shape (n_predictions,)
        Expected prediction of the fold's model, in `unit`.
    unit : {"log odds", "probability"}
        The scale on which the values add up.
    """

    values: pd.DataFrame
    data: pd.DataFrame
    base: np.ndarray
    unit: str

    def importance(self) -> pd.DataFrame:
        """Rank the features.

        Returns
        -------
        pandas.DataFrame
            Index ``feature``, ordered; ``mean_abs`` is the mean |SHAP value|, ``direction``
            the sign of the rank correlation between the feature and its SHAP value (0
            where one of them is constant).
        """
        direction = [feature_direction(self.values[name], self.data[name]) for name in self.values]
        frame = pd.DataFrame(
            {"mean_abs": self.values.abs().mean(), "direction": direction},
            index=pd.Index(self.values.columns, name="feature"),
        )
        return frame.sort_values("mean_abs", ascending=False, kind="stable")


def feature_direction(values: pd.Series, data: pd.Series) -> float:
    """Return the sign of the rank correlation of a feature with its SHAP values.

    Parameters
    ----------
    values, data : pandas.Series
        SHAP values and the feature.

    Returns
    -------
    float
        1, −1, or 0 where one of them is constant.
    """
    known = data.notna()
    if values[known].nunique() < 2 or data[known].nunique() < 2:
        return 0.0
    return float(np.sign(values[known].corr(data[known], method="spearman")))


def shap_values(result: CVResult, *, max_background: int = 100) -> Explanation:
    """Explain the predictions of a cross-validation, each by the model that made it.

    Parameters
    ----------
    result : CVResult
        Made with ``keep_models=True`` of a pipeline that begins with a transformer of the
        Cohort, such as `clinical_model`.
    max_background : int, default 100
        Training people that stand for "the feature is unknown", in models that are neither
        linear (there it is the training mean) nor trees.

    Returns
    -------
    Explanation
        Linear models by their exact values, trees by TreeSHAP (Lundberg et al., Nature
        Machine Intelligence 2, 56, 2020), any other model by permutation.

    Raises
    ------
    MissingModalityError
        When the models weren't kept.
    FormatError
        When the model isn't a pipeline.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=100)
    >>> model = pp.evaluation.clinical_model("logistic")
    >>> result = pp.evaluation.cross_validate(
    ...     model, cohort, "mvd_response", cv=3, keep_models=True)
    >>> pp.evaluation.shap_values(result).unit
    'log odds'
    """
    if not result.models:
        raise MissingModalityError(
            "the fitted models weren't kept",
            remedy="call cross_validate(..., keep_models=True)",
        )
    parts, data, bases, unit = [], [], [], ""
    visible = result.cohort.known_at_index(allow=result.allow)
    for (train, test), fitted in zip(result.splits, result.models, strict=True):
        model = getattr(fitted, "best_estimator_", fitted)
        if not hasattr(model, "steps"):
            raise FormatError(
                f"expected a scikit-learn pipeline, found {type(model).__name__}",
                remedy="start the pipeline with a transformer of the Cohort",
            )
        features = model[0].transform(visible[test])
        names = [str(name) for name in model[0].get_feature_names_out()]
        values, base, unit = attribute(
            model[-1],
            np.asarray(model[:-1].transform(visible[train])),
            np.asarray(model[1:-1].transform(features) if len(model) > 2 else features),
            max_background,
        )
        index = visible.index[test]
        parts.append(pd.DataFrame(values, index=index, columns=names))
        data.append(pd.DataFrame(np.asarray(features), index, names))
        bases.append(np.broadcast_to(base, len(test)))
    # A level that one fold never saw has no column there: it added nothing to its model.
    return Explanation(pd.concat(parts).fillna(0.0), pd.concat(data), np.concatenate(bases), unit)


def attribute(
    model: Any, train: np.ndarray, test: np.ndarray, max_background: int = 100
) -> tuple[np.ndarray, Any, str]:
    """Explain a final estimator by its exact values, TreeSHAP or permutation.

    Parameters
    ----------
    model : estimator
        A fitted classifier of two classes that takes arrays.
    train : numpy.ndarray of shape (n_train, p)
        What stands for "the feature is unknown": its mean for linear models, some of its rows
        for others; trees keep that themselves.
    test : numpy.ndarray of shape (n, p)
        What to explain.
    max_background : int, default 100
        Rows of `train` for models that are neither linear nor trees.

    Returns
    -------
    values : numpy.ndarray of shape (n, p)
    base : float or numpy.ndarray of shape (n,)
    unit : {"log odds", "probability"}
    """
    predict = _as_fitted(model.predict_proba, model)
    if hasattr(model, "coef_") and hasattr(model, "decision_function"):
        slope, mean = np.ravel(model.coef_), train.mean(axis=0)
        level = float(np.ravel(model.intercept_)[0])
        # The distance to the plane of a support vector machine is no log odds.
        if np.allclose(predict(test), expit(test @ slope + level), atol=1e-9):
            return (test - mean) * slope, level + mean @ slope, "log odds"
    with warnings.catch_warnings():
        # Importing shap warns of progress bars and colour maps that nobody asked for.
        warnings.simplefilter("ignore")
        import shap

    if _is_tree(model):
        explainer = shap.TreeExplainer(model)
        values = np.asarray(explainer.shap_values(test))
        base = np.asarray(explainer.expected_value)
        if values.ndim == 3:  # one block per class
            return values[:, :, 1], base[1], "probability"
        return values, base, "log odds"
    background = train[:: max(1, len(train) // max_background)][:max_background]
    explainer = shap.PermutationExplainer(predict, background, seed=0)
    explanation = explainer(test, silent=True)
    return explanation.values, explanation.base_values, "probability"


def _as_fitted(predict: Any, model: Any) -> Any:
    """Return a function of arrays that hands the model the column names it was fitted with."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return lambda x: np.asarray(predict(x))[:, 1]
    return lambda x: np.asarray(predict(pd.DataFrame(x, columns=names)))[:, 1]


def _is_tree(model: Any) -> bool:
    home = type(model).__module__
    grown = ("sklearn.tree", "sklearn.ensemble._forest", "sklearn.ensemble._gb",
             "sklearn.ensemble._hist_gradient_boosting", "xgboost", "lightgbm")  # fmt: skip
    return home.startswith(grown)
