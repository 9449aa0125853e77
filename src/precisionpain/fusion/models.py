"""The model of one block, and what a fusion asks of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from sklearn.base import clone

from ..cohort import Cohort
from ..errors import FormatError
from .blocks import FeatureBlock

__all__ = ["block_model"]


def block_model(features: Any = "clinical", **options: Any) -> Any:
    """Return the model of one block: a ridge on its standardised columns.

    Parameters
    ----------
    features : str, transformer or FeatureBlock, default "clinical"
        As `FeatureBlock` takes them.
    **options
        Further options of `FeatureBlock`, for features that are none yet.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``block`` first, ``model`` last. Its penalty is a prior of N(0, 1/p) on each log odds
        ratio per standard deviation of p columns. Alone it takes people who lack the block
        for average ones (``absent``); a fusion never asks it about them.

    Examples
    --------
    >>> import precisionpain as pp
    >>> model = pp.fusion.block_model("csf_pea", reduce="pca")
    >>> list(model.named_steps)
    ['block', 'absent', 'model']
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    block = features if isinstance(features, FeatureBlock) else FeatureBlock(features, **options)
    return Pipeline([
        ("block", block),
        ("absent", SimpleImputer(strategy="constant", fill_value=0.0)),
        ("model", LogisticRegression(C=1.0, max_iter=1000)),
    ])  # fmt: skip


def as_model(value: Any) -> Any:
    """Return the model of a block: as it is given, or a ridge on its features."""
    if hasattr(value, "predict_proba"):
        return value
    if hasattr(value, "predict"):
        raise FormatError(
            f"{type(value).__name__} has no predict_proba",
            remedy="wrap it in sklearn.calibration.CalibratedClassifierCV",
        )
    return block_model(value)


def block_of(model: Any) -> FeatureBlock | None:
    """Return the block that a pipeline begins with."""
    first = model[0] if hasattr(model, "named_steps") else None
    return first if isinstance(first, FeatureBlock) else None


def has_block(model: Any, X: Cohort, y: np.ndarray) -> np.ndarray:
    """Tell who has the block.

    A whole classifier says it itself by a method `available`, which has to work before `fit`;
    of one without, everybody has the block.
    """
    block = block_of(model)
    if block is None:
        if callable(getattr(model, "available", None)):
            return np.asarray(model.available(X), dtype=bool)
        return np.ones(len(X), dtype=bool)
    return clone(block).set_params(reduce=None).fit(X, y).available(X)


def fitted_where_known(model: Any, X: Cohort, y: np.ndarray) -> Any:
    """Return a clone of the model, trained on those who have its block.

    A column may be left out in one fold and not in another, and with it who has nothing else.
    """
    fitted = clone(model)
    block = block_of(fitted)
    if block is None:
        return fitted.fit(X, y)
    columns = block.fit_transform(X, y)
    has = columns.notna().any(axis=1).to_numpy()
    fitted[1:].fit(columns[has], y[has])
    return fitted


def log_odds_of(model: Any, X: Cohort, base: float) -> np.ndarray:
    """Return log odds less those of the prevalence in training; missing without the block."""
    block = block_of(model)
    result = np.full(len(X), np.nan)
    if block is None:
        has = has_block(model, X, np.zeros(len(X)))
        if has.any():
            result[has] = _logits(model.predict_proba(X[np.flatnonzero(has)])) - base
        return result
    columns = block.transform(X)
    has = columns.notna().any(axis=1).to_numpy()
    if has.any():
        result[has] = _logits(model[1:].predict_proba(columns[has])) - base
    return result


def _logits(p: Any) -> np.ndarray:
    return np.asarray(special.logit(np.clip(np.asarray(p, dtype=float)[:, 1], 1e-6, 1 - 1e-6)))
