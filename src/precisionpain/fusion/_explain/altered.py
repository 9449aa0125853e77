"""A fitted model whose blocks can be taken away, or handed to other people."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from ...cohort import Cohort
from ...errors import FormatError, list_some
from ..blocks import FeatureBlock

__all__ = ["Altered", "block_names", "taken_away"]

Change = Callable[[pd.DataFrame], pd.DataFrame]


def block_names(model: Any) -> list[str]:
    """Return the blocks of a model: those of the fusion inside, or the one that it is made of.

    Parameters
    ----------
    model : estimator
        Fitted.

    Returns
    -------
    list of str
    """
    fusion = _fusion_inside(model)
    if fusion is not None:
        return [str(name) for name in fusion.blocks]
    return [_alone(model)]


def taken_away(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the same rows without any value."""
    return pd.DataFrame(np.nan, frame.index, frame.columns)


class Altered:
    """A copy of a fitted model in which what it reads of each block may be changed.

    The change is made where the block is read, behind everything that was learned, so that two
    blocks of one assay, or the side that another table needs, don't disturb one another.

    Parameters
    ----------
    model : estimator
        Fitted.

    Attributes
    ----------
    names : list of str
        The blocks.
    read : set of str
        Those that a prediction reads; known after `available`.
    """

    def __init__(self, model: Any) -> None:
        self.names = block_names(model)
        self._changes: dict[str, Change] = {}
        self._model = copy.deepcopy(getattr(model, "best_estimator_", model))
        alone = self.names[0] if _fusion_inside(model) is None else None
        self.read: set[str] = set()
        _install(self._model, self.names, alone, self._changes)

    def log_odds(self, X: Cohort, changes: Mapping[str, Change]) -> np.ndarray:
        """Return what the model says of people whose blocks are changed, as log odds.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        changes : mapping of str to callable
            By block, what is done to the rows that it offers.

        Returns
        -------
        numpy.ndarray of shape (n,)
        """
        self._changes.clear()
        self._changes.update(changes)
        try:
            return log_odds(self._model, X)
        finally:
            self._changes.clear()

    def available(self, X: Cohort) -> pd.DataFrame:
        """Tell who has which of the blocks.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of bool, shape (n, n_blocks)
            False too for a block that the model left out.

        Raises
        ------
        FormatError
            When the model reads none of the blocks in a way that is known.
        """
        seen: dict[str, np.ndarray] = {}

        def watch(name: str) -> Change:
            def look(frame: pd.DataFrame) -> pd.DataFrame:
                has = frame.notna().any(axis=1).to_numpy()
                seen[name] = seen.get(name, np.zeros(len(frame), dtype=bool)) | has
                return frame

            return look

        self.log_odds(X, {name: watch(name) for name in self.names})
        self.read = set(seen)
        if not seen:
            raise FormatError(
                f"found nothing that reads the blocks {list_some(self.names)} in the model",
                remedy="give a fusion of this library, or a pipeline that begins with features",
            )
        nobody = np.zeros(len(X), dtype=bool)
        return pd.DataFrame({name: seen.get(name, nobody) for name in self.names}, X.index)


def log_odds(model: Any, X: Cohort) -> np.ndarray:
    """Return the log odds of the second class.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : Cohort
        People, n of them.

    Returns
    -------
    numpy.ndarray of shape (n,)
        The model's own where it has a `decision_function`, else those of its probability.
    """
    own = getattr(model, "decision_function", None)
    p = np.asarray(model.predict_proba(X), dtype=float)[:, 1]
    if own is not None:
        value = np.asarray(own(X), dtype=float)
        # A distance to a hyperplane is no log odds.
        if value.shape == p.shape and np.allclose(special.expit(value), p, atol=1e-6):
            return value
    return np.asarray(special.logit(np.clip(p, 1e-6, 1 - 1e-6)))


class _Remembers:
    """Keeps what came out for the last cohort, which is frozen; the same is asked many times."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._last: tuple[Any, Any] = (None, None)

    def _result(self, method: str, X: Cohort) -> Any:
        if self._last[0] is not X:
            self._last = (X, getattr(self.inner, method)(X))
        return self._last[1]

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute in ("inner", "_last", "steps", "named_steps"):
            raise AttributeError(attribute)
        return getattr(self.inner, attribute)


class _Rows(_Remembers):
    """Fitted features whose rows pass through a change on their way out."""

    def __init__(
        self, inner: Any, name: str, changes: dict[str, Change], method: str = "transform"
    ) -> None:
        super().__init__(inner)
        self.name, self.changes, self.method = name, changes, method

    def transform(self, X: Cohort) -> Any:
        made = self._result(self.method, X)
        change = self.changes.get(self.name)
        if change is None:
            return made
        frame = made if isinstance(made, pd.DataFrame) else pd.DataFrame(made, X.index)
        changed = change(frame)
        return changed if isinstance(made, pd.DataFrame) else changed.to_numpy()

    def available(self, X: Cohort) -> np.ndarray:
        return self.transform(X).notna().any(axis=1).to_numpy()


class _Verdict(_Remembers):
    """A fitted classifier of one block, whose verdicts pass through a change."""

    def __init__(self, inner: Any, name: str, changes: dict[str, Change], neutral: float) -> None:
        super().__init__(inner)
        self.name, self.changes, self.neutral = name, changes, neutral

    def predict_proba(self, X: Cohort) -> np.ndarray:
        p = np.asarray(self._result("predict_proba", X), dtype=float)
        change = self.changes.get(self.name)
        if change is None:
            return p
        own = getattr(self.inner, "available", None)
        shown = pd.DataFrame(p, X.index)
        if own is not None:
            shown = shown[np.asarray(own(X), dtype=bool)].reindex(X.index)
        changed = change(shown).to_numpy()
        # What is missing says nothing: the share among those that it was trained on.
        return np.where(np.isnan(changed), [1 - self.neutral, self.neutral], changed)


def _fusion_inside(model: Any, depth: int = 4) -> Any:
    """Return the fitted estimator with a mapping of blocks, the model itself first."""
    if isinstance(getattr(model, "blocks", None), Mapping):
        return model
    if depth == 0:
        return None
    for value in getattr(model, "__dict__", {}).values():
        for part in value if isinstance(value, list | tuple) else (value,):
            if _ours(part):
                found = _fusion_inside(part, depth - 1)
                if found is not None:
                    return found
    return None


def _alone(model: Any) -> str:
    """Return a name for the block that a pipeline begins with."""
    inner = getattr(model, "best_estimator_", model)
    first = inner[0] if hasattr(inner, "named_steps") else inner
    features = first.features if isinstance(first, FeatureBlock) else first
    if isinstance(features, str):
        return features
    source = getattr(features, "table", None) or getattr(features, "assay", None)
    return str(source) if source else "clinical"


def _install(model: Any, names: list[str], alone: str | None, changes: dict[str, Change]) -> None:
    """Put a change between each block and what reads it."""
    for name, owner, reader in list(_readers(model, names, alone, set())):
        if isinstance(reader, FeatureBlock):
            # What comes out of a block depends row by row on what goes in, so that its rows may
            # be changed at the end, where they needn't be computed again for every change; and
            # at the beginning for who works with the raw columns.
            pristine = copy.copy(reader)
            made = _Rows(pristine, name, changes)
            raw = _Rows(pristine, name, changes, method="_features")
            reader.__dict__.update(
                transform=made.transform, available=made.available, _features=raw.transform
            )
        elif _is_verdict(owner, name, reader):
            neutral = special.expit(owner.base_log_odds_[name])
            owner.models_[name] = _Verdict(reader, name, changes, float(neutral))
        else:
            label, first = reader.steps[0]
            reader.steps[0] = (label, _Rows(first, name, changes))


def _readers(
    part: Any, names: list[str], block: str | None, seen: set[int], owner: Any = None
) -> Iterator[tuple[str, Any, Any]]:
    """Find what reads the blocks in a fitted model: (block, owner, fitted reader)."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, FeatureBlock):
        if block is not None and hasattr(part, "features_"):
            yield block, owner, part
    elif block is not None and _is_verdict(owner, block, part):
        yield block, owner, part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from _readers(value, names, str(key) if key in names else block, seen, owner)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _readers(value, names, block, seen, owner)
    elif hasattr(part, "steps") and block is not None and not _begins_with_block(part):
        yield block, owner, part
    elif _ours(part):
        for attribute, value in list(vars(part).items()):
            # The blocks of an estimator are as they were given, not as they were fitted.
            if attribute != "blocks" or not hasattr(part, "get_params"):
                yield from _readers(value, names, block, seen, part)


def _is_verdict(owner: Any, name: str, part: Any) -> bool:
    """Tell whether this is a whole classifier inside a late fusion.

    To take its columns away isn't to take it away: it would still have a say.
    """
    models = getattr(owner, "models_", None)
    return (
        isinstance(models, Mapping)
        and models.get(name) is part
        and name in getattr(owner, "base_log_odds_", {})
        and not _begins_with_block(part)
    )


def _begins_with_block(value: Any) -> bool:
    if isinstance(value, FeatureBlock):
        return True
    return hasattr(value, "named_steps") and isinstance(value[0], FeatureBlock)


def _ours(part: Any) -> bool:
    home = type(part).__module__ or ""
    known = home.startswith("precisionpain") or hasattr(part, "get_params")
    return known and hasattr(part, "__dict__") and not isinstance(part, type)
