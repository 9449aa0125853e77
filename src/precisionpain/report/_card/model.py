"""What a model is: steps, settings, and, where it is fitted, blocks, weights and coefficients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation import CVResult
from ...fusion import FeatureBlock

_MOST = 400  # coefficients; beyond them a table tells nobody anything
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SAMPLERS = re.compile(r"smote|oversampl|undersampl|adasyn", re.IGNORECASE)


def model_of(result: CVResult, fitted: Any) -> Any:
    """Return the model that was given, or else the one that was evaluated."""
    if fitted is not None:
        return fitted
    if result.models:
        return result.models[0]
    return getattr(result._rerun, "model", None)


def describe_model(result: CVResult, fitted: Any) -> dict[str, Any]:
    """Describe the model as plain values; `fitted` adds what it learned from everybody."""
    model = model_of(result, fitted)
    parts = _parts(model)
    settings = {key: _text(value) for key, value in _settings(model).items()}
    return {
        "name": result.name,
        "kind": _kind(model),
        "steps": [f"{name}: {_kind(step)}" for name, step in getattr(model, "steps", [])],
        "n_features": result.n_features,
        "settings": settings,
        "blocks": {str(k): _block(v) for k, v in _blocks(model).items()},
        "tuned": [_kind(part) for part in parts if _searches(part)],
        "imbalance": _imbalance(model, parts),
        "penalised": [_kind(part) for part in parts if _penalised(part)],
        "trees": [_kind(part) for part in parts if "n_estimators" in _settings(part)],
        "learned": None if fitted is None else _learned(fitted),
    }


def _kind(model: Any) -> str:
    return "unknown" if model is None else type(model).__name__


def shape_of(model: Any) -> str:
    """Return the kind of a model, with its steps."""
    steps = [_kind(step) for _, step in getattr(model, "steps", [])]
    return " → ".join(steps) or _kind(model)


def _settings(model: Any) -> dict[str, Any]:
    if not hasattr(model, "get_params"):
        return {}
    plain = {k: v for k, v in model.get_params(deep=True).items() if not _is_part(v)}
    return {k: v for k, v in plain.items() if k not in ("steps", "memory", "verbose", "blocks")}


def _is_part(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _parts(model: Any) -> list[Any]:
    """Return the model and every estimator inside, blocks of a fusion too."""
    if not hasattr(model, "get_params"):
        return []
    inside = [v for v in model.get_params(deep=True).values() if _is_part(v)]
    for value in _blocks(model).values():
        inside += _parts(value)
    return [model, *inside]


def _blocks(model: Any) -> dict[str, Any]:
    blocks = getattr(model, "blocks", None)
    return dict(blocks) if isinstance(blocks, dict) else {}


def _block(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, FeatureBlock):
        return f"{_block(value.features)}, reduce={value.reduce!r}"
    source = getattr(value, "table", None) or getattr(value, "assay", None)
    return f"{_kind(value)} of {source!r}" if isinstance(source, str) else _kind(value)


def _searches(part: Any) -> bool:
    return hasattr(part, "param_grid") or hasattr(part, "param_distributions")


def _penalised(part: Any) -> bool:
    names = _settings(part) if type(part).__name__.startswith(("Logistic", "Ridge", "SGD")) else {}
    return "C" in names or "alpha" in names or type(part).__name__ in ("EarlyFusion", "LateFusion")


def _imbalance(model: Any, parts: list[Any]) -> list[str]:
    """Return the settings that weigh or resample the classes."""
    found = [
        f"{key}={_text(value)}"
        for key, value in _settings(model).items()
        if key.rpartition("__")[2] in ("class_weight", "scale_pos_weight")
        and value is not None
        and value != 1
    ]
    return found + [_kind(part) for part in parts if _SAMPLERS.search(_kind(part))]


def _text(value: Any) -> str:
    """Write a setting in one short line; tables only say what they are."""
    if isinstance(value, pd.DataFrame | pd.Series | np.ndarray) or hasattr(value, "obs"):
        return f"{type(value).__name__} of shape {getattr(value, 'shape', '?')}"
    text = " ".join(_ADDRESS.sub("", repr(value)).split())
    return text if len(text) <= 160 else f"{text[:157]}…"


def _learned(model: Any) -> dict[str, Any]:
    """Return what the fitted model says of itself."""
    found: dict[str, Any] = {}
    blocks = getattr(model, "blocks_", None)
    if isinstance(blocks, pd.DataFrame):
        found["blocks"] = blocks.reset_index().to_dict("records")
    for name in ("used_", "prevalence_", "classes_"):
        if hasattr(model, name):
            found[name.rstrip("_")] = getattr(model, name)
    coefficients = _coefficients(model)
    if coefficients is not None:
        found["intercept"], table = coefficients
        found["n_coefficients"] = len(table)
        found["coefficients"] = table[:_MOST]
    inside = getattr(model, "models_", None)
    if isinstance(inside, dict):
        found["inside"] = {str(name): _learned(part) for name, part in inside.items()}
        found["intercept"] = float(model.intercept_) if hasattr(model, "intercept_") else None
    return found


def _coefficients(model: Any) -> tuple[float, list[dict[str, Any]]] | None:
    own = getattr(model, "coef_", None)
    if isinstance(own, pd.Series):
        names = [": ".join(map(str, k)) if isinstance(k, tuple) else str(k) for k in own.index]
        return float(model.intercept_), _listed(names, own.to_numpy())
    steps = getattr(model, "steps", None)
    last = steps[-1][1] if steps else None
    values = getattr(last, "coef_", None)
    if last is None or values is None or np.ndim(values) != 2 or len(values) != 1:
        return None
    try:
        names = [str(name) for name in model[:-1].get_feature_names_out()]
    except (AttributeError, ValueError):
        names = [f"feature {i + 1}" for i in range(np.shape(values)[1])]
    return float(np.ravel(last.intercept_)[0]), _listed(names, np.ravel(values))


def _listed(names: list[str], values: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"feature": name, "coefficient": float(value)}
        for name, value in zip(names, values, strict=True)
    ]
