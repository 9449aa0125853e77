"""A long table of ions, one row for each sample and ion, as an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...errors import AlignmentError, FormatError, list_some
from .._layout import make_adata

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["from_long"]


def from_long(table: pd.DataFrame, protein: str, ion: str, sample: str, value: str) -> AnnData:
    """Return samples × ions, log2, both in order of their names."""
    absent = [c for c in (protein, ion, sample, value) if c not in table]
    if absent:
        raise FormatError(
            f"expected the column {list_some(absent)}, found {list_some(table.columns, 8)}",
            where="ions",
            remedy="name the columns with protein=, ion=, sample= and intensity=",
        )
    if not pd.api.types.is_numeric_dtype(table[value]):
        raise FormatError("expected numbers, found text", where=f"ions, column {value!r}")
    table = table[table[value].notna() & (table[value] != 0)]
    if (table[value] < 0).any() or np.isinf(table[value]).any():
        raise FormatError(
            "expected finite intensities of 0 and above", where=f"ions, column {value!r}"
        )
    if len(table) and table[value].max() <= 64:
        raise FormatError(
            f"expected linear intensities, found none above {table[value].max():.4g}: these look "
            "like logarithms",
            where=f"ions, column {value!r}",
            remedy="give the intensities as they were measured",
        )
    twice = table.duplicated([sample, ion])
    if twice.any():
        row = table.loc[twice].iloc[0]
        raise AlignmentError(
            f"{int(twice.sum())} rows repeat a sample and ion, for example {row[sample]!r} and "
            f"{row[ion]!r}",
            where="ions",
            remedy="an ion has one value in a sample: let the name of the ion tell charge and "
            "modifications, and add up fractions before",
        )
    owners = table.drop_duplicates([ion, protein])
    shared = owners[ion][owners[ion].duplicated()]
    if len(shared):
        raise AlignmentError(
            f"{shared.nunique()} ions belong to several proteins: {list_some(shared)}",
            where="ions",
            remedy="give a shared ion to one group, so that it isn't counted twice",
        )
    wide = table.pivot(index=sample, columns=ion, values=value).sort_index().sort_index(axis=1)
    var = owners.set_index(ion).reindex(wide.columns).drop(columns=[sample, value])
    var.index = var.index.astype(str)
    names = wide.index.astype(str)
    obs = pd.DataFrame(
        {"subject_id": names, "visit": None, "sample_type": "SAMPLE"},
        index=pd.Index(names, name="sample_id"),
    )
    values = np.log2(wide.to_numpy(np.float64))
    return make_adata(values, obs, var, kind="lfq", unit="log2 intensity", source="DataFrame")
