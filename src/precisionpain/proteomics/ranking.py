"""Two rankings of proteins, compared at all depths."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..errors import FormatError, list_some
from ._match import split_names

__all__ = ["RankOverlap", "rank_overlap"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, repr=False)
class RankOverlap:
    """Overlap of two ranked lists at all depths.

    Parameters
    ----------
    map : pandas.DataFrame
        Signed −log10 p of the hypergeometric overlap of the top i and the top j: positive
        where more is shared than chance would, negative where less. Index and columns: i, j.
    peak : float
        The largest absolute value of `map`.
    p_value : float
        Share of permutations whose peak is as large; for proteins that move together too
        small, unless the permuted statistics came from permuted people.
    n_proteins : int
        Proteins in both lists.
    n_permutations : int
        Permutations behind `p_value`.
    spearman : float
        Rank correlation of the two lists.
    at : tuple of int
        Depths (i, j) of the peak.
    """

    map: pd.DataFrame
    peak: float
    p_value: float
    n_proteins: int
    n_permutations: int
    spearman: float
    at: tuple[int, int]

    def __repr__(self) -> str:
        return (
            f"RankOverlap(peak {self.peak:.2f} at top {self.at[0]} and {self.at[1]}, "
            f"p = {self.p_value:.3g}, rank correlation {self.spearman:.2f}, "
            f"{self.n_proteins} proteins)"
        )


def rank_overlap(
    first: pd.Series | pd.DataFrame,
    second: pd.Series | pd.DataFrame,
    *,
    key: str | None = None,
    n_steps: int = 20,
    n_permutations: int = 1000,
    permuted: ArrayLike | None = None,
    random_state: int | np.random.Generator | None = None,
) -> RankOverlap:
    """Compare two whole rankings, without a threshold.

    For depths i and j the top i of one list and the top j of the other share k proteins;
    −log10 of the hypergeometric tail makes a map over all depths, and a permutation of one
    list tells which peak chance would make.

    Parameters
    ----------
    first, second : pandas.Series or pandas.DataFrame
        A signed statistic per protein, for example t: the top is what rises. From a result of
        `differential` the column ``statistic`` is taken.
    key : str, optional
        For tables: column that names a protein; by default the index.
    n_steps : int, default 20
        Depths along each list.
    n_permutations : int, default 1000
        Permutations of the proteins of one list.
    permuted : array-like of shape (permutations, proteins of `second`), optional
        `second` from data whose people's labels were permuted, in its order. That keeps the
        correlation of the proteins, which shuffling proteins doesn't.
    random_state : int or numpy.random.Generator, optional
        Seed.

    Returns
    -------
    RankOverlap

    Raises
    ------
    FormatError
        When fewer than 10 proteins are in both lists, or `permuted` has another shape.

    References
    ----------
    Plaisier et al., Nucleic Acids Research 38, e169 (2010).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> t = pd.Series(rng.normal(size=200), [f"P{i}" for i in range(200)])
    >>> same = rank_overlap(t, t + 0.5 * rng.normal(size=200), n_permutations=200, random_state=0)
    >>> same.p_value < 0.01, same.map.shape
    (True, (20, 20))
    """
    one, two = (_statistic(side, key) for side in (first, second))
    common = one.index.intersection(two.index).sort_values()
    n = len(common)
    if n < 10:
        raise FormatError(f"expected at least 10 proteins in both lists, found {n}")
    steps = np.unique(np.linspace(0, n, n_steps + 2).round().astype(int)[1:-1])
    signed = _signed_tails(n, steps)
    rank_one = _ranks(one[common].to_numpy())
    rank_two = _ranks(two[common].to_numpy())
    observed = _map(rank_one, rank_two, steps, signed)
    if permuted is None:
        rng = np.random.default_rng(random_state)
        null = (rng.permutation(rank_two) for _ in range(n_permutations))
    else:
        table = np.asarray(permuted, dtype=float)
        if table.ndim != 2 or table.shape[1] != len(second):
            raise FormatError(
                f"expected {len(second)} columns, one per protein of `second`, found shape "
                f"{table.shape}",
                where="permuted",
            )
        names = _names(second, key)
        place = pd.Index(names).get_indexer(common)
        null = (_ranks(row[place]) for row in table)
        n_permutations = len(table)
    peak = float(np.abs(observed).max())
    as_large = sum(np.abs(_map(rank_one, rank, steps, signed)).max() >= peak for rank in null)
    i, j = np.unravel_index(int(np.abs(observed).argmax()), observed.shape)
    return RankOverlap(
        map=pd.DataFrame(observed, index=steps, columns=steps),
        peak=peak,
        p_value=(int(as_large) + 1) / (n_permutations + 1),
        n_proteins=n,
        n_permutations=n_permutations,
        spearman=float(stats.spearmanr(one[common], two[common]).statistic),
        at=(int(steps[i]), int(steps[j])),
    )


def _names(side: pd.Series | pd.DataFrame, key: str | None) -> pd.Index:
    if key is None or isinstance(side, pd.Series):
        return side.index
    return pd.Index(side[key].map(lambda value: next(iter(split_names(value)), None)))


def _statistic(side: pd.Series | pd.DataFrame, key: str | None) -> pd.Series:
    if isinstance(side, pd.DataFrame) and "statistic" not in side:
        raise FormatError(f"expected the column 'statistic', found {list_some(side.columns, 12)}")
    values = side["statistic"] if isinstance(side, pd.DataFrame) else side
    series = pd.Series(values.to_numpy(dtype=float), index=_names(side, key))
    series = series[np.asarray(series.index.notna()) & series.notna().to_numpy()]
    return series[~series.index.duplicated()]


def _ranks(values: Array) -> NDArray[np.intp]:
    """Rank from the top, 0 first; ties in the order of the names."""
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return ranks


def _signed_tails(n: int, steps: NDArray[np.intp]) -> list[list[Array]]:
    """Signed −log10 p for every possible overlap, per pair of depths."""
    table = []
    for i in steps:
        row = []
        for j in steps:
            k = np.arange(min(i, j) + 1)
            # Tails as sums of the mass are much faster than the distribution's own.
            mass = stats.hypergeom.pmf(k, n, i, j)
            more = -np.log10(np.clip(np.cumsum(mass[::-1])[::-1], 1e-300, 1))
            less = -np.log10(np.clip(np.cumsum(mass), 1e-300, 1))
            row.append(np.where(k >= i * j / n, more, -less))
        table.append(row)
    return table


def _map(
    first: NDArray[np.intp], second: NDArray[np.intp], steps: NDArray[np.intp],
    signed: list[list[Array]],
) -> Array:  # fmt: skip
    m = len(steps) + 1
    cell = np.searchsorted(steps, first, side="right") * m
    cell += np.searchsorted(steps, second, side="right")
    counts = np.bincount(cell, minlength=m * m).reshape(m, m)
    shared = counts.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return np.array([[signed[a][b][shared[a, b]] for b in range(m - 1)] for a in range(m - 1)])
