"""SHAP values of people that the model hadn't seen."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd

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
        direction = [_direction(self.values[name], self.data[name]) for name in self.values]
        frame = pd.DataFrame(
            {"mean_abs": self.values.abs().mean(), "direction": direction},
            index=pd.Index(self.values.columns, name="feature"),
        )
        return frame.sort_values("mean_abs", ascending=False, kind="stable")


def _direction(values: pd.Series, data: pd.Series) -> float:
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
        Training people that stand for "the feature is unknown" (linear and other models).

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
        values, base, unit = _explain(
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


def _explain(
    model: Any, train: np.ndarray, test: np.ndarray, max_background: int
) -> tuple[np.ndarray, Any, str]:
    with warnings.catch_warnings():
        # Importing shap warns of progress bars and colour maps that nobody asked for.
        warnings.simplefilter("ignore")
        import shap

    background = train[:: max(1, len(train) // max_background)][:max_background]
    if hasattr(model, "coef_"):
        explainer = shap.LinearExplainer(model, background)
        return explainer.shap_values(test), explainer.expected_value, "log odds"
    if type(model).__module__.startswith("xgboost") or hasattr(model, "estimators_"):
        explainer = shap.TreeExplainer(model)
        values = np.asarray(explainer.shap_values(test))
        base = np.asarray(explainer.expected_value)
        if values.ndim == 3:  # one block per class
            return values[:, :, 1], base[1], "probability"
        return values, base, "log odds"
    explainer = shap.PermutationExplainer(lambda x: model.predict_proba(x)[:, 1], background)
    explanation = explainer(test)
    return explanation.values, explanation.base_values, "probability"
