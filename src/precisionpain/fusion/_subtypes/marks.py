"""Whether clusters follow the hospitals or the plates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...stats import adjust_p

__all__ = ["association"]


def association(
    groups: np.ndarray,
    nuisances: Mapping[str, pd.Series],
    adjusted: Sequence[str],
    *,
    n_permutations: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Test the clusters against what shouldn't make them.

    Parameters
    ----------
    groups : numpy.ndarray of int
        Cluster of each person, below 0 for none.
    nuisances : mapping of str to pandas.Series
        Category of each person, or missing.
    adjusted : sequence of str
        Names that the columns were adjusted for.
    n_permutations : int
        Of the clusters.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    pandas.DataFrame
        Index ``nuisance``: ``n`` (people), ``levels``, ``cramers_v`` (corrected for bias),
        ``p_value`` (of χ², by permutation), ``p_adjusted`` (Holm) and ``adjusted_for``.
    """
    rows = []
    for name, values in nuisances.items():
        known = values.notna().to_numpy() & (groups >= 0)
        codes, levels = pd.factorize(values[known].astype(str))
        own = groups[known]
        if len(levels) < 2 or len(np.unique(own)) < 2:
            continue
        own = np.unique(own, return_inverse=True)[1]
        observed = _chi_square(own, codes)
        null = [_chi_square(rng.permutation(own), codes) for _ in range(n_permutations)]
        above = int((np.array(null) >= observed - 1e-9).sum())
        rows.append({
            "nuisance": name, "n": int(known.sum()), "levels": len(levels),
            "cramers_v": _cramers_v(observed, len(own), own.max() + 1, len(levels)),
            "p_value": (1 + above) / (1 + n_permutations),
            "adjusted_for": name.split(" ")[0] in adjusted,
        })  # fmt: skip
    names = ["nuisance", "n", "levels", "cramers_v", "p_value", "adjusted_for"]
    table = pd.DataFrame(rows, columns=names).set_index("nuisance")
    p_value = table["p_value"].to_numpy(dtype=float)
    table.insert(4, "p_adjusted", adjust_p(p_value, "holm") if len(table) else p_value)
    return table


def _chi_square(a: np.ndarray, b: np.ndarray) -> float:
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def _cramers_v(chi2: float, n: int, rows: int, columns: int) -> float:
    # Bergsma W. J Korean Stat Soc 2013;42:323.
    phi = max(0.0, chi2 / n - (rows - 1) * (columns - 1) / (n - 1))
    r = rows - (rows - 1) ** 2 / (n - 1)
    c = columns - (columns - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi / max(min(r, c) - 1, 1e-9)))
