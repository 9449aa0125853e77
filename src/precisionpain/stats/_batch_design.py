"""The design of ComBat: covariates as columns, and what must not be told apart by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, FormatError, list_some

__all__ = ["Covariates", "confounded", "tells"]

Array = NDArray[np.float64]


class Covariates:
    """Covariates as columns: a number is one, a category one per level after the first.

    Parameters
    ----------
    names : sequence of str
        Columns of `obs`.
    obs : pandas.DataFrame
        Training samples, where the levels are learned.
    """

    def __init__(self, names: Sequence[str], obs: pd.DataFrame) -> None:
        self.levels: dict[str, list[Any] | None] = {}
        self.terms: list[str] = []
        for name in names:
            column = obs[name]
            if _is_number(column):
                self.levels[name] = None
                self.terms.append(name)
                continue
            levels = sorted(pd.unique(np.asarray(column.dropna())).tolist(), key=str)
            self.levels[name] = levels
            self.terms += [f"{name}={level}" for level in levels[1:]]

    def columns(
        self, obs: pd.DataFrame, needed: NDArray[np.bool_] | None = None
    ) -> dict[str, Array]:
        """Return the columns of each covariate; NaN only in rows that aren't `needed`.

        Raises
        ------
        FormatError
            When a covariate is missing in a row that needs it.
        AlignmentError
            When such a row has a level that training didn't.
        """
        needed = np.ones(len(obs), dtype=bool) if needed is None else needed
        parts: dict[str, Array] = {}
        for name, levels in self.levels.items():
            column = obs[name]
            absent = column.isna().to_numpy()
            if (absent & needed).any():
                raise FormatError(
                    f"covariate {name!r} is missing for {int((absent & needed).sum())} samples",
                    where="X", remedy="fill it in, or leave these samples or the covariate out",
                )  # fmt: skip
            if levels is None:
                parts[name] = column.to_numpy(dtype=float, na_value=np.nan)[:, None]
                continue
            codes = pd.Index(levels).get_indexer(np.asarray(column))
            new = (codes < 0) & needed
            if new.any():
                raise AlignmentError(
                    f"covariate {name!r} has levels that training didn't: "
                    f"{list_some(pd.unique(np.asarray(column)[new]))}", where="X",
                )  # fmt: skip
            block = np.equal.outer(codes, np.arange(1, len(levels))).astype(float)
            block[codes < 0] = np.nan
            parts[name] = block
        return parts


def confounded(design: Array, extra: dict[str, Array]) -> list[str]:
    """Name the covariates that the batches, or the others, determine.

    Parameters
    ----------
    design : ndarray of shape (n, batches)
        Indicators of the batches.
    extra : dict of str to ndarray of shape (n, k)
        Columns of each covariate, without those of its first level.

    Returns
    -------
    list of str
        Empty for a design of full rank.
    """

    def full(parts: list[Any]) -> bool:
        whole = np.hstack(parts)
        # Of unit length, so that the unit of a covariate doesn't decide on the rank.
        length = np.linalg.norm(whole, axis=0)
        if not (length > 0).all():
            return False
        return bool(np.linalg.matrix_rank(whole / length) == whole.shape[1])

    if not extra or full([design, *extra.values()]):
        return []
    alone = [name for name, part in extra.items() if not full([design, part])]
    return alone or list(extra)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def tells(column: pd.Series, outcome: NDArray[Any]) -> bool:
    """Tell whether a column determines the outcome: by its levels, or on a straight line.

    Parameters
    ----------
    column : pandas.Series
        A batch or covariate.
    outcome : numpy.ndarray
        Of the same rows, without gaps.
    """
    classes = pd.factorize(outcome)[0]
    if len(outcome) < 2 or classes.max() < 1:
        return False
    levels = pd.factorize(np.asarray(column), use_na_sentinel=False)[0]
    pairs = len(set(zip(levels.tolist(), classes.tolist(), strict=True)))
    n_levels = int(levels.max()) + 1
    # Levels of about one row each, such as an age, tell every outcome apart by chance.
    few = n_levels <= len(levels) / 2 or n_levels == classes.max() + 1
    if pairs == n_levels < len(levels) and few:
        return True
    if not _is_number(column) or not np.issubdtype(np.asarray(outcome).dtype, np.number):
        return False
    one, two = column.to_numpy(dtype=float, na_value=np.nan), np.asarray(outcome, dtype=float)
    both = np.isfinite(one) & np.isfinite(two)
    one, two = one[both], two[both]
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return False
    return bool(abs(np.corrcoef(one, two)[0, 1]) > 1 - 1e-12)
