"""All blocks of people side by side, and the folds inside of the training people."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ...cohort import Cohort
from ...errors import DataWarning, MissingModalityError, list_some
from ..blocks import FeatureBlock

__all__ = ["BlockDesign", "inner_designs"]


class BlockDesign:
    """The columns of several `FeatureBlock`, missing where a person lacks the block."""

    def __init__(self, blocks: Mapping[str, Any], min_people: int) -> None:
        self.blocks = blocks
        self.min_people = min_people

    def fit_transform(self, X: Cohort, event: np.ndarray) -> pd.DataFrame:
        """Learn the blocks; leave those out that too few people have."""
        self.members: dict[str, FeatureBlock] = {}
        frames, rows = {}, {}
        for name, value in self.blocks.items():
            block = clone(value) if isinstance(value, FeatureBlock) else FeatureBlock(value)
            why, n = "", 0
            try:
                frame = block.fit_transform(X, event.astype(int))
            except MissingModalityError as error:
                why = str(error)
            else:
                n = block.n_available_
                why = f"{n} people" if n < self.min_people else ""
            if not why:
                self.members[str(name)] = block
                frames[str(name)] = frame
            rows[str(name)] = {"n": n, "left_out": why}
        if not frames:
            reasons = [f"{name} ({row['left_out']})" for name, row in rows.items()]
            raise MissingModalityError(f"no block is left: {list_some(reasons, 9)}")
        self.table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
        return self._joined(frames)

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the columns of people."""
        return self._joined({name: block.transform(X) for name, block in self.members.items()})

    def _joined(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return pd.concat(frames, axis=1, names=["block", "column"])


def inner_designs(
    blocks: Mapping[str, Any],
    min_people: int,
    X: Cohort,
    event: np.ndarray,
    n_folds: int,
    random_state: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, pd.DataFrame, pd.DataFrame]]:
    """Draw folds of the training people, and learn the blocks anew in each.

    Yields positions of training and test people, and their columns. Folds keep the share of
    events; there are never more of them than events.
    """
    from sklearn.model_selection import StratifiedKFold

    n_folds = max(2, min(n_folds, int(event.sum()), int((~event).sum()) or n_folds))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    labels = event if (~event).sum() >= 2 else np.arange(len(event)) % 2
    for train, test in folds.split(np.zeros(len(event)), labels):
        design = BlockDesign(blocks, min(min_people, len(train)))
        with warnings.catch_warnings():
            # Values that are far off were told of when all the training people were looked at.
            warnings.simplefilter("ignore", DataWarning)
            frame = design.fit_transform(X[train], event[train])
            yield train, test, frame, design.transform(X[test])
