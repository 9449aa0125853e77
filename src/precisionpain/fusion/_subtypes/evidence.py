"""The columns of a cohort that speak of mechanisms, or of blocks, by person."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from ...cohort import Cohort
from ...errors import DataWarning, FormatError, MissingModalityError
from ..blocks import FeatureBlock
from ..tables import TableFeatures

__all__ = ["Reader", "block_columns"]

_CLINIC, _PROTEIN = "clinical", "protein"


class Reader:
    """Numbers by names such as "protein:NEFL", "diffusion:fa" or "clinical:pcs_total".

    A protein is read from every assay that has it; a measure of both nerves from the painful
    nerve, or as the mean of both in people without one painful side.
    """

    def __init__(self, names: Iterable[str], visit: str | None) -> None:
        self.names = list(dict.fromkeys(names))
        self.visit = visit

    def fit(self, X: Cohort) -> Self:
        """Find the sources that these people have."""
        wanted: dict[str, list[str]] = {}
        for name in self.names:
            source, _, column = name.partition(":")
            if not column:
                raise FormatError(
                    f"evidence is named as 'source:column', found {name!r}",
                    remedy="for example 'protein:NEFL', 'diffusion:fa' or 'clinical:pcs_total'",
                )
            wanted.setdefault(source, []).append(column)
        self.sources_: dict[str, Any] = {}
        self.columns_: dict[str, dict[str, str]] = {}
        for source, columns in wanted.items():
            if source == _CLINIC:
                there = [name for name in columns if name in X.known_at_index().predictors]
                if there:
                    self.columns_[source] = {name: name for name in there}
            elif source == _PROTEIN:
                for assay in X.assays:
                    self._add_assay(X, str(assay), columns)
            elif source in X.measurements:
                self._add_table(X, source, columns)
        # A block that none of the training people has is no block.
        frame = self._read(X)
        self.columns_ = {
            block: {name: column for name, column in columns.items() if frame[block, name].any()}
            for block, columns in self.columns_.items()
        }
        self.columns_ = {block: columns for block, columns in self.columns_.items() if columns}
        return self

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Return the numbers: columns (block, name), index ``X.index``."""
        return self._read(X, values=True)

    def _add_assay(self, X: Cohort, assay: str, genes: list[str]) -> None:
        from ...proteomics import ProteinFeatures

        var = X.assays[assay].var
        known = set(var["gene"].astype(str)) if "gene" in var else set()
        there = [gene for gene in genes if gene in known]
        if not there:
            return
        try:
            source = ProteinFeatures(assay, proteins=there, visit=self.visit).fit(X)
        except MissingModalityError:
            return  # nobody has a sample
        # A gene with several assays has the id added; the first of them is taken.
        made = [str(name) for name in source.get_feature_names_out()]
        found = {gene: next((m for m in made if m.split(" ")[0] == gene), "") for gene in there}
        self.sources_[assay] = source
        self.columns_[assay] = {gene: name for gene, name in found.items() if name}

    def _add_table(self, X: Cohort, table: str, columns: list[str]) -> None:
        from ...trigeminal import NerveMeasures

        stored = X.measurements[table]
        there = [name for name in columns if name in stored]
        if not there or stored.empty:
            return
        if "side" in stored:
            nerves = NerveMeasures(
                table, measures=there, parts=("affected",), visit=self.visit, without_side="mean"
            )
            self.sources_[table] = nerves.fit(X)
            self.columns_[table] = {name: f"affected:{name}" for name in there}
        else:
            self.sources_[table] = TableFeatures(table, columns=there, visit=self.visit).fit(X)
            self.columns_[table] = {name: name for name in there}

    def _read(self, X: Cohort, values: bool = False) -> pd.DataFrame:
        parts: dict[tuple[str, str], np.ndarray] = {}
        seen = X.known_at_index()
        for block, columns in self.columns_.items():
            made = seen.subjects if block == _CLINIC else self._of(block, X)
            for name, column in columns.items():
                if made is None or column not in made:
                    parts[block, name] = np.full(len(X), np.nan)
                else:
                    numbers = pd.to_numeric(made[column], errors="coerce")
                    parts[block, name] = numbers.to_numpy(dtype=float, na_value=np.nan)
        frame = pd.DataFrame(parts, X.index)
        if not parts:
            frame.columns = pd.MultiIndex.from_arrays([[], []])
        frame.columns = frame.columns.set_names(["block", "name"])
        return frame if values else frame.notna()

    def _of(self, block: str, X: Cohort) -> pd.DataFrame | None:
        try:
            return self.sources_[block].transform(X)
        except MissingModalityError:
            if block in X.assays or block in X.measurements:
                raise
        warnings.warn(
            f"the cohort has no {block!r}: everybody lacks that evidence", DataWarning, stacklevel=6
        )
        return None


def block_columns(
    blocks: Mapping[str, Any], X: Cohort, fitted: dict[str, FeatureBlock] | None = None
) -> tuple[pd.DataFrame, dict[str, FeatureBlock]]:
    """Return the columns (block, column) of free blocks, in SD of training, and the blocks."""
    made: dict[str, FeatureBlock] = {}
    parts: dict[tuple[str, str], np.ndarray] = {}
    for name, value in blocks.items():
        if fitted is None:
            block = (
                FeatureBlock(**value.get_params(deep=False))
                if isinstance(value, FeatureBlock)
                else FeatureBlock(value)
            )
            frame = block.fit_transform(X)
        else:
            block = fitted[name]
            frame = block.transform(X)
        made[name] = block
        # Without the block scaling, which the factors do in their own way.
        for column in frame:
            parts[str(name), str(column)] = frame[column].to_numpy() * np.sqrt(frame.shape[1])
    frame = pd.DataFrame(parts, X.index)
    frame.columns = frame.columns.set_names(["block", "name"])
    return frame, made
