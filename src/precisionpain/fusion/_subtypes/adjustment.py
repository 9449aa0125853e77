"""Take the marks of sites, plates and the like out of columns, as training people teach it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import MissingModalityError, list_some

__all__ = ["USUAL", "Adjustment", "marks"]

#: Names that needn't be there.
USUAL = ("site", "plate")
_AS_MANY_PEOPLE = 1.0  # that a level's shift is drawn to 0 by


def marks(seen: Cohort, name: str, block: str | None = None) -> pd.Series | None:
    """Return a column of ``subjects``, or of the samples of an assay; None where there is none.

    `seen` is what `Cohort.known_at_index` returns, so that no outcome is taken for a mark.
    """
    if name in list(seen.subjects):
        return seen.subjects[name]
    if block is None or block not in list(seen.assays):
        return None
    samples = seen.assays[block].obs
    if name not in samples or "subject_id" not in samples:
        return None
    own = samples.loc[samples["subject_id"].notna(), ["subject_id", name]]
    own = own.drop_duplicates("subject_id").set_index("subject_id")[name]
    own.index = own.index.astype(object)
    return own.reindex(seen.index)


class Adjustment:
    """Subtracts what a ridge on site, plate, age… says of each column."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def fit(self, X: Cohort, frame: pd.DataFrame) -> Self:
        """Learn the shifts of columns (block, name)."""
        X = X.known_at_index()
        blocks = list(dict.fromkeys(frame.columns.get_level_values(0)))
        nowhere = [
            name
            for name in self.names
            if name not in USUAL and all(marks(X, name, block) is None for block in blocks)
        ]
        if nowhere:
            raise MissingModalityError(
                f"adjust_for: neither the subjects nor the samples have {list_some(nowhere)}",
                remedy="name columns of cohort.subjects, or of an assay's obs",
            )
        self.levels_: dict[tuple[str, str], Any] = {}
        self.shift_: dict[tuple[str, str], np.ndarray] = {}
        for block in blocks:
            for name in self.names:
                values = marks(X, name, block)
                if values is None:
                    continue
                if pd.api.types.is_float_dtype(values) or pd.api.types.is_integer_dtype(values):
                    number = values.astype(float)
                    self.levels_[block, name] = (number.mean(), number.std() or 1.0)
                else:
                    self.levels_[block, name] = sorted(values.dropna().astype(str).unique())
            design, free = self._design(X, block)
            self.shift_ |= self._learn(frame, block, design, free)
        return self

    def transform(self, X: Cohort, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns without the shifts; who has a new level keeps theirs."""
        X = X.known_at_index()
        values = frame.to_numpy(dtype=float).copy()
        for block in dict.fromkeys(frame.columns.get_level_values(0)):
            design = self._design(X, block)[0]
            for place, key in enumerate(frame.columns):
                column = (str(key[0]), str(key[1]))
                if column[0] == block and column in self.shift_:
                    values[:, place] -= design @ self.shift_[column]
        return pd.DataFrame(values, frame.index, frame.columns)

    def _design(self, X: Cohort, block: str) -> tuple[np.ndarray, np.ndarray]:
        parts, free = [np.zeros((len(X), 0))], []
        for (where, name), level in self.levels_.items():
            if where != block:
                continue
            values = marks(X, name, block)
            if values is None:
                values = pd.Series(np.nan, X.index, dtype=object)
            if isinstance(level, tuple):
                z = (pd.to_numeric(values, errors="coerce").astype(float) - level[0]) / level[1]
                parts.append(z.fillna(0.0).to_numpy()[:, None])
                free.append(np.zeros(1))
            else:
                text = values.astype("string").to_numpy(dtype=object, na_value="")
                parts.append((text[:, None] == np.array(level, dtype=object)).astype(float))
                free.append(np.full(len(level), _AS_MANY_PEOPLE))
        return np.hstack(parts), np.concatenate([*free, np.zeros(0)])

    @staticmethod
    def _learn(
        frame: pd.DataFrame, block: str, design: np.ndarray, penalty: np.ndarray
    ) -> dict[tuple[str, str], np.ndarray]:
        found: dict[tuple[str, str], np.ndarray] = {}
        if not design.shape[1]:
            return found
        for column in _of_block(frame, block):
            values = frame[column].to_numpy(dtype=float)
            known = ~np.isnan(values)
            if known.sum() < 3:
                continue
            z = np.column_stack([np.ones(int(known.sum())), design[known]])
            ridge = np.diag([0.0, *(penalty + 1e-9)])
            found[column] = np.linalg.solve(z.T @ z + ridge, z.T @ values[known])[1:]
        return found


def _of_block(frame: pd.DataFrame, block: str) -> list[tuple[str, str]]:
    return [(str(key[0]), str(key[1])) for key in frame.columns if key[0] == block]
