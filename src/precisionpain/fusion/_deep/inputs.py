"""Blocks of people as arrays, with masks for what is missing."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ...cohort import Cohort
from ...errors import DataWarning, MissingModalityError, list_some
from ..blocks import FeatureBlock

__all__ = ["BlockSet", "Inputs"]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Blocks of n people.

    Attributes
    ----------
    values : list of numpy.ndarray, shape (n, p_k)
        As `FeatureBlock` scales them; 0, the mean, where the person lacks the block.
    known : list of numpy.ndarray of bool, shape (n, p_k)
        Which single values were measured.
    has : numpy.ndarray of bool, shape (n, n_blocks)
        Who has which block.
    """

    values: list[np.ndarray]
    known: list[np.ndarray]
    has: np.ndarray

    def __len__(self) -> int:
        return len(self.has)

    def __getitem__(self, rows: np.ndarray) -> Inputs:
        return Inputs([v[rows] for v in self.values], [k[rows] for k in self.known], self.has[rows])

    @property
    def sizes(self) -> list[int]:
        """Columns of each block, list of int."""
        return [v.shape[1] for v in self.values]


class BlockSet:
    """The blocks of a fusion, fitted on one group of people.

    Parameters
    ----------
    names : list of str, optional
        Of the blocks that `Inputs` have, in order; by default those that could be fitted. Of
        one that couldn't, nobody has anything.

    Attributes
    ----------
    members : dict of str to FeatureBlock
        Those that could be fitted.
    table : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``n_columns``, and ``left_out``.
    """

    members: dict[str, FeatureBlock]
    table: pd.DataFrame

    def __init__(self, names: list[str] | None = None) -> None:
        self._names = names

    def fit(
        self, blocks: Mapping[str, Any], X: Cohort, y: np.ndarray, *, min_people: int
    ) -> Inputs:
        """Learn the blocks.

        Parameters
        ----------
        blocks : mapping of str to object
            As `late_fusion` takes them, without whole classifiers.
        X : Cohort
            Training people, n of them.
        y : numpy.ndarray of shape (n,)
            0 and 1.
        min_people : int
            A block that fewer have is left out.

        Returns
        -------
        Inputs
            Of the same people.
        """
        self.members, found, rows = {}, {}, {}
        for key, value in blocks.items():
            name = str(key)
            block = clone(value) if isinstance(value, FeatureBlock) else FeatureBlock(value)
            why, frame = "", None
            try:
                frame = block._learn(X, y)
            except MissingModalityError as error:
                why = str(error)
            n = 0 if frame is None else block.n_available_
            if not why and n < min_people:
                why = f"{n} people"
            if frame is not None and not why:
                self.members[name] = block
                found[name] = _arrays(block, frame)
            size = 0 if why else len(block.get_feature_names_out())
            rows[name] = {"n": n, "n_columns": size, "left_out": why}
        self.table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
        if not found:
            reasons = [f"{name} ({row['left_out']})" for name, row in rows.items()]
            raise MissingModalityError(f"no block is left: {list_some(reasons, 9)}")
        return self._together(found, len(X))

    def transform(self, X: Cohort, *, quiet: bool = False) -> Inputs:
        """Return the blocks of people.

        Parameters
        ----------
        X : Cohort
            People, n of them.
        quiet : bool, default False
            Say nothing of single values that are far off, nor of a source that is absent.

        Returns
        -------
        Inputs
        """
        found = {}
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore", DataWarning)
            for name, block in self.members.items():
                found[name] = _arrays(block, block._believed(block._features(X)))
        return self._together(found, len(X))

    @property
    def names(self) -> list[str]:
        """Blocks of the `Inputs`, in order, list of str."""
        return list(self.members) if self._names is None else self._names

    def _together(self, found: Mapping[str, tuple[np.ndarray, np.ndarray]], n: int) -> Inputs:
        # A block that this group can't teach has one column that nobody has.
        nothing = np.zeros((n, 1)), np.zeros((n, 1), dtype=bool)
        parts = [found.get(name, nothing) for name in self.names]
        values, known = (list(each) for each in zip(*parts, strict=True))
        return Inputs(values, known, np.stack([k.any(axis=1) for k in known], axis=1))


def _arrays(block: FeatureBlock, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of a block and which values are known, from its raw features."""
    values = block._block(frame)
    has = values.notna().any(axis=1).to_numpy()
    known = np.repeat(has[:, None], values.shape[1], axis=1)
    if block.reduce is None:  # else every component is made of all columns
        known = frame[block.columns_].notna().to_numpy()
    return values.fillna(0.0).to_numpy(), known
