"""Contributions of the features of one model to its log odds."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from ...cohort import Cohort
from ...errors import DataWarning, FormatError
from ...evaluation.explain import attribute
from ..blocks import FeatureBlock

__all__ = ["Part", "linear_in_columns", "of_pipeline", "raw_columns"]

_EDGE = 1e-6  # probabilities are kept so far from 0 and 1, as the fusions do it


@dataclasses.dataclass(frozen=True)
class Part:
    """What the features of one block add to the log odds of its model.

    Parameters
    ----------
    values : pandas.DataFrame of shape (n, n_features)
        With `base` they add up to the log odds. 0 for people who lack the block.
    data : pandas.DataFrame of the same shape
        The features in their own units.
    base : numpy.ndarray of shape (n,)
        Log odds that the features move.
    has : numpy.ndarray of bool, shape (n,)
        Who has the block.
    source : object
        The fitted transformer that made the features.
    """

    values: pd.DataFrame
    data: pd.DataFrame
    base: np.ndarray
    has: np.ndarray
    source: Any


def raw_columns(block: FeatureBlock, X: Cohort) -> pd.DataFrame:
    """Return the columns that a block takes, in their own units, before gaps are filled."""
    with warnings.catch_warnings():
        # `transform` says it already.
        warnings.simplefilter("ignore", DataWarning)
        return block._believed(block._features(X))[block.columns_]


def linear_in_columns(
    block: FeatureBlock, raw: pd.DataFrame, slope: np.ndarray
) -> tuple[pd.DataFrame, float]:
    """Trace what is linear in the columns that come out of a block back to those that go in.

    Standardising, principal components, PLS and the choice of columns are all affine, and the
    training people who have the block are 0 on average in all of them, so that the result is
    coefficient × (value − training mean), exactly.

    Parameters
    ----------
    block : FeatureBlock
        Fitted.
    raw : pandas.DataFrame of shape (n, n_columns)
        As `raw_columns` gives them.
    slope : numpy.ndarray of shape (n_out,)
        Of the log odds on what comes out.

    Returns
    -------
    values : pandas.DataFrame of shape (n, n_columns)
        0 for people who lack the block.
    level : float
        What the slopes give for the training mean.
    """
    p = len(block.columns_)
    at_mean = block.reduction_.transform(np.zeros((1, p)))
    jacobian = block.reduction_.transform(np.eye(p)) - at_mean
    scale = np.sqrt(len(slope))
    has = raw.notna().any(axis=1).to_numpy()
    z = block._scaled(raw.fillna(block.medians_))
    values = np.where(has[:, None], z * (jacobian @ slope / scale), 0.0)
    return pd.DataFrame(values, raw.index, block.columns_), float(at_mean[0] @ slope / scale)


def of_pipeline(
    model: Any,
    X: Cohort,
    background: Cohort | None,
    max_background: int = 100,
    *,
    everybody: bool = True,
) -> Part:
    """Explain a pipeline that begins with features of a Cohort.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline or search over one
        Fitted.
    X : Cohort
        People to explain, n of them.
    background : Cohort or None
        Training people, by default `X`; linear models on a `FeatureBlock` and trees need none.
    max_background : int, default 100
        Training people that stand for "the feature is unknown" in other models.
    everybody : bool, default True
        Whether the model speaks of people who lack its block as well; if not, `base` is 0 there.

    Returns
    -------
    Part

    Raises
    ------
    FormatError
        When the model is no such pipeline.
    """
    model = getattr(model, "best_estimator_", model)
    if not hasattr(model, "named_steps") or len(model) < 2:
        raise FormatError(
            f"expected a scikit-learn pipeline, found {type(model).__name__}",
            remedy="start the pipeline with a transformer of the Cohort",
        )
    if isinstance(model[0], FeatureBlock):
        return _of_block(model, X, background, max_background, everybody)
    return _of_features(model, X, background, max_background)


def _of_block(model: Any, X: Cohort, background: Cohort | None, most: int, everybody: bool) -> Part:
    block: FeatureBlock = model[0]
    raw = raw_columns(block, X)
    has = raw.notna().any(axis=1).to_numpy()
    columns = block.transform(X)
    asked = np.ones(len(raw), dtype=bool) if everybody else has
    target = np.zeros(len(raw))
    if asked.any():
        target[asked] = _log_odds(model[1:].predict_proba(columns[asked]))
    slope = _slope(model[1:], columns.columns)
    if slope is not None:
        values, at_mean = linear_in_columns(block, raw, slope[0])
        base = np.full(len(raw), slope[1] + at_mean)
        if np.allclose((base + values.sum(axis=1))[asked], target[asked], atol=1e-6):
            return Part(values, raw, base, has, block.features_)
    train = columns if background is None else block.transform(background)
    known = train.notna().any(axis=1).to_numpy()
    inner, design = _final(model[1:], train[known], columns[has] if has.any() else columns)
    # Without a reduction what comes out are the columns themselves, whose units are known.
    data = raw if list(columns) == list(raw) else columns
    found, base = np.zeros(columns.shape), target.copy()
    if has.any():
        found[has], base[has] = _attributed(model[-1], inner, design, target[has], most)
    values = pd.DataFrame(found, columns.index, columns.columns)
    return Part(values, data, base, has, block.features_)


def _of_features(model: Any, X: Cohort, background: Cohort | None, most: int) -> Part:
    first = model[0]
    made = first.transform(X)
    names = [str(name) for name in first.get_feature_names_out()]
    data = pd.DataFrame(np.asarray(made, dtype=float), X.index, names)
    train = made if background is None else first.transform(background)
    inner, design = _final(model[1:], train, made)
    if design.shape[1] != len(names):
        names = [str(name) for name in model[:-1].get_feature_names_out()]
        data = pd.DataFrame(design, X.index, names)
    target = _log_odds(model.predict_proba(X))
    values, base = _attributed(model[-1], inner, design, target, most)
    return Part(
        pd.DataFrame(values, X.index, names), data, base, np.ones(len(X), dtype=bool), first
    )


def _final(rest: Any, train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what reaches the final estimator, of training people and of those to explain."""
    if len(rest) == 1:
        return np.asarray(train), np.asarray(test)
    return np.asarray(rest[:-1].transform(train)), np.asarray(rest[:-1].transform(test))


def _slope(rest: Any, names: pd.Index) -> tuple[np.ndarray, float] | None:
    """Return slope and level of the log odds, where what follows a block is linear."""
    if not (hasattr(rest[-1], "coef_") and hasattr(rest, "decision_function")):
        return None
    k = len(names)
    probes = pd.DataFrame(np.vstack([np.zeros(k), np.eye(k)]), columns=names)
    found = np.asarray(rest.decision_function(probes), dtype=float)
    if found.shape != (k + 1,):
        return None
    return found[1:] - found[0], float(found[0])


def _attributed(
    final: Any, train: np.ndarray, test: np.ndarray, target: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    values, base, unit = attribute(final, train, test, most)
    values = np.asarray(values, dtype=float)
    if unit == "probability":
        values = rescaled(values, np.broadcast_to(base, len(test)), target)
    # Single precision inside of the trees leaves a little over.
    return values, target - values.sum(axis=1)


def rescaled(values: np.ndarray, base: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turn shares of a probability into the same shares of the log odds.

    The rule for a series of models of Chen, Lundberg and Lee (Nature Communications 13, 4512,
    2022): both changes are divided among the features in the same proportions.

    Parameters
    ----------
    values : numpy.ndarray of shape (n, p)
        They add up to the probability less `base`.
    base : numpy.ndarray of shape (n,)
        Probabilities.
    target : numpy.ndarray of shape (n,)
        Log odds that `base` and the values lead to.

    Returns
    -------
    numpy.ndarray of shape (n, p)
        They add up to `target` less the log odds of `base`.
    """
    start = np.clip(base, _EDGE, 1 - _EDGE)
    change = values.sum(axis=1)
    still = np.abs(change) < 1e-9
    steps = (target - special.logit(start)) / np.where(still, 1.0, change)
    return values * np.where(still, 1 / (start * (1 - start)), steps)[:, None]


def _log_odds(p: Any) -> np.ndarray:
    clipped = np.clip(np.asarray(p, dtype=float)[:, 1], _EDGE, 1 - _EDGE)
    return np.asarray(special.logit(clipped))
