"""Contributions to the log odds of a whole model: blocks and their features."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import DataWarning, FormatError, MissingModalityError
from ..early import EarlyFusion
from ..late import LateFusion
from ..response import ResponseModel
from .altered import Altered, block_names, log_odds, taken_away
from .parts import Part, linear_in_columns, of_pipeline, raw_columns

__all__ = ["Decomposed", "decompose", "features_like"]

# With more blocks than this, orders are drawn instead of counted out.
_ALL_SUBSETS = 8
_ORDERS = 64


@dataclasses.dataclass(frozen=True)
class Decomposed:
    """The log odds of a model, taken apart.

    Parameters
    ----------
    values : pandas.DataFrame of shape (n, n_features)
        Columns (block, feature).
    data : pandas.DataFrame of the same shape
        The features in their own units; missing where they aren't known.
    base : numpy.ndarray of shape (n,)
        ``base + values.sum(axis=1)`` are the log odds of the model.
    status : pandas.DataFrame of shape (n, n_blocks)
        "used", "missing", or "unused" where the model left the block out.
    sources : dict of str to object
        By block, the fitted transformer that made the features, where it is known.
    """

    values: pd.DataFrame
    data: pd.DataFrame
    base: np.ndarray
    status: pd.DataFrame
    sources: dict[str, Any]


def decompose(
    model: Any, X: Cohort, background: Cohort | None, max_background: int = 100
) -> Decomposed:
    """Take the log odds of a model apart, in the finest way that is known for it.

    Parameters
    ----------
    model : estimator
        Fitted, a classifier that takes a Cohort.
    X : Cohort
        People to explain.
    background : Cohort or None
        Training people.
    max_background : int, default 100
        How many of them stand for "the feature is unknown" where that is needed.

    Returns
    -------
    Decomposed
    """
    if not hasattr(model, "predict_proba"):
        raise FormatError(f"{type(model).__name__} has no predict_proba to explain")
    inner = getattr(model, "best_estimator_", model)
    found = None
    if isinstance(inner, LateFusion):
        found = _late(inner, X, background, max_background)
    elif isinstance(inner, EarlyFusion):
        found = _early(inner, X)
    elif isinstance(inner, ResponseModel):
        # Recalibrated by a line, which the contributions follow.
        found = _early(inner.fusion_, X)
        found = dataclasses.replace(
            found,
            values=found.values * inner.slope_,
            base=inner.offset_ + inner.slope_ * found.base,
        )
    elif hasattr(inner, "named_steps"):
        name = block_names(inner)[0]
        part = of_pipeline(inner, X, background, max_background)
        found = _joined({name: part}, part.base, [name], X)
    if found is not None:
        total = found.base + found.values.sum(axis=1).to_numpy()
        if np.allclose(total, log_odds(inner, X), atol=1e-5):
            return found
    return _by_removal(inner, X)


def features_like(part: Decomposed, X: Cohort) -> pd.DataFrame:
    """Return the features of other people, where the model knows how to make them.

    Parameters
    ----------
    part : Decomposed
        Of the same model.
    X : Cohort
        People, n of them.

    Returns
    -------
    pandas.DataFrame of shape (n, n_features)
        Columns as ``part.data``; missing for what isn't a feature of people but made of some.
    """
    made: dict[tuple[str, str], np.ndarray] = {}
    for block, source in part.sources.items():
        if not hasattr(source, "transform"):
            continue
        with warnings.catch_warnings():
            # The model said it already.
            warnings.simplefilter("ignore", DataWarning)
            try:
                values = np.asarray(source.transform(X), dtype=float)
            except MissingModalityError:
                continue  # nobody among them has any
        names = source.get_feature_names_out()
        made |= {(block, str(n)): column for n, column in zip(names, values.T, strict=True)}
    frame = pd.DataFrame(made, X.index) if made else pd.DataFrame(index=X.index)
    return frame.reindex(columns=part.data.columns)


def _late(model: LateFusion, X: Cohort, background: Cohort | None, most: int) -> Decomposed:
    base = np.full(len(X), float(model.intercept_))
    parts: dict[str, Part] = {}
    for name, weight in zip(model.blocks_.index, model.weights_, strict=True):
        if name not in model.models_:
            continue
        part = _part_of(model, name, X, background, most)
        parts[name] = dataclasses.replace(part, values=weight * part.values)
        # A block speaks relative to the prevalence among those who were trained with it.
        shift = weight * (part.base - model.base_log_odds_[name])
        base += np.where(part.has, shift, 0.0)
    return _joined(parts, base, list(model.blocks_.index), X)


def _part_of(model: LateFusion, name: str, X: Cohort, background: Cohort | None, most: int) -> Part:
    inner = model.models_[name]
    if hasattr(getattr(inner, "best_estimator_", inner), "named_steps"):
        return of_pipeline(inner, X, background, most, everybody=False)
    # A classifier of images, say: it speaks as one.
    start = model.base_log_odds_[name]
    own = getattr(inner, "available", None)
    has = np.ones(len(X), dtype=bool) if own is None else np.asarray(own(X), dtype=bool)
    z = np.full(len(X), start)
    if has.any():
        z[has] = log_odds(inner, X[np.flatnonzero(has)])
    values = pd.DataFrame({name: z - start}, X.index)
    data = pd.DataFrame({name: np.full(len(X), np.nan)}, X.index)
    return Part(values, data, np.full(len(X), start), has, inner)


def _early(model: EarlyFusion, X: Cohort) -> Decomposed:
    parts, base = {}, np.full(len(X), float(model.intercept_))
    for name, block in model.members_.items():
        raw = raw_columns(block, X)
        has = raw.notna().any(axis=1).to_numpy()
        values, at_mean = linear_in_columns(block, raw, model.coef_[name].to_numpy())
        base += np.where(has, at_mean, 0.0)
        parts[name] = Part(values, raw, base, has, block.features_)
    eta = base + sum(part.values.sum(axis=1).to_numpy() for part in parts.values())
    # Averaging over the open coefficients draws everything towards even odds by one factor.
    target = log_odds(model, X)
    clear = np.abs(eta) > 1e-9
    factor = np.where(clear, target / np.where(clear, eta, 1.0), 1.0)
    drawn = {
        name: dataclasses.replace(part, values=part.values.mul(factor, axis=0))
        for name, part in parts.items()
    }
    return _joined(drawn, base * factor, list(model.blocks_.index), X)


def _joined(parts: dict[str, Part], base: np.ndarray, names: list[str], X: Cohort) -> Decomposed:
    status = pd.DataFrame("unused", X.index, pd.Index(names, name="block"), dtype=object)
    for name, part in parts.items():
        status[name] = np.where(part.has, "used", "missing")
    levels = ["block", "feature"]
    if parts:
        values = pd.concat({name: part.values for name, part in parts.items()}, axis=1)
        data = pd.concat({name: part.data for name, part in parts.items()}, axis=1)
    else:
        nothing = pd.MultiIndex.from_arrays([[], []])
        values = data = pd.DataFrame(np.empty((len(X), 0)), X.index, nothing)
    sources = {name: part.source for name, part in parts.items()}
    return Decomposed(
        values.rename_axis(columns=levels), data.rename_axis(columns=levels), base, status, sources
    )


def _by_removal(model: Any, X: Cohort) -> Decomposed:
    """Give each block its Shapley value in the game "what does the model say without them?".

    Covert, Lundberg and Lee, Journal of Machine Learning Research 22, 209 (2021). A block that
    somebody lacks can't be taken away, so its value is 0.
    """
    altered = Altered(model)
    names = altered.names
    known: dict[frozenset[str], np.ndarray] = {}

    def worth(present: frozenset[str]) -> np.ndarray:
        if present not in known:
            gone = {name: taken_away for name in names if name not in present}
            known[present] = altered.log_odds(X, gone)
        return known[present]

    has = altered.available(X)
    values = _shapley(names, worth, len(X)) * has.to_numpy()
    base = log_odds(model, X) - values.sum(axis=1)
    frame = pd.DataFrame(values, X.index, pd.MultiIndex.from_arrays([names, names]))
    frame.columns.names = ["block", "feature"]
    status = pd.DataFrame(
        np.where(has, "used", "missing"), X.index, pd.Index(names, name="block"), dtype=object
    )
    for name in set(names) - altered.read:
        status[name] = "unused"
    return Decomposed(frame, frame * np.nan, base, status, {})


def _shapley(names: list[str], worth: Any, n: int) -> np.ndarray:
    k = len(names)
    values = np.zeros((n, k))
    if k <= _ALL_SUBSETS:
        for j, name in enumerate(names):
            others = [other for other in names if other != name]
            for size in range(k):
                share = 1 / (k * math.comb(k - 1, size))
                for chosen in itertools.combinations(others, size):
                    without = frozenset(chosen)
                    values[:, j] += share * (worth(without | {name}) - worth(without))
        return values
    rng = np.random.default_rng(0)
    for _ in range(_ORDERS // 2):
        order = rng.permutation(k)
        for there in (order, order[::-1]):
            present: frozenset[str] = frozenset()
            for j in there:
                more = present | {names[j]}
                values[:, j] += (worth(more) - worth(present)) / _ORDERS
                present = more
    return values
