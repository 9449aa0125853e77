"""Names of clusters, and what is different in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...cohort import Cohort

if TYPE_CHECKING:
    from ..mechanism_rules import MechanismRules

__all__ = ["name_clusters", "profile_of"]

_LARGE, _AHEAD = 0.8, 0.3  # SD
_UNDETERMINED = "undetermined"


def profile_of(frame: pd.DataFrame, groups: np.ndarray, k: int) -> pd.DataFrame:
    """Return how far each cluster (row) lies from all others in each column, in pooled SD."""
    rows = []
    for group in range(k):
        inside, outside = frame[groups == group], frame[(groups >= 0) & (groups != group)]
        a, b = inside.notna().sum(), outside.notna().sum()
        pooled = ((a - 1) * inside.var() + (b - 1) * outside.var()) / (a + b - 2)
        rows.append((inside.mean() - outside.mean()) / np.sqrt(pooled))
    return pd.DataFrame(rows).reset_index(drop=True)


def name_clusters(
    effects: pd.DataFrame | None,
    rules: MechanismRules | None,
    X: Cohort,
    groups: np.ndarray,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Name each cluster by the mechanism that is raised in it, with the reasons.

    Parameters
    ----------
    effects : pandas.DataFrame or None
        Clusters × mechanisms, as `profile_of` gives them.
    rules : MechanismRules or None
        Fitted.
    X : Cohort
        The people.
    groups : numpy.ndarray of int
        Their clusters, below 0 for none.

    Returns
    -------
    names : tuple of str
        "undetermined" where no mechanism stands out; numbered where a name comes twice.
    reasons : dict of str to str
    """
    k = int(groups.max()) + 1
    if effects is None or rules is None:
        names = [_UNDETERMINED] * k
        said = ["the cohort has no evidence for any mechanism"] * k
    else:
        names, said = [], []
        made = rules.indicators(X)
        by_column = profile_of(made, groups, k)
        for group in range(k):
            ranked = effects.iloc[group].dropna().sort_values(ascending=False)
            first, ahead = ranked.iloc[0], ranked.iloc[0] - ranked.iloc[1:2].sum()
            if first < _LARGE or (len(ranked) > 1 and ahead < _AHEAD):
                names.append(_UNDETERMINED)
                two = ", ".join(f"{m} {d:+.1f} SD" for m, d in ranked.iloc[:2].items())
                said.append(f"no mechanism stands out: {two}")
                continue
            lead = str(ranked.index[0])
            own = by_column.iloc[group][made.columns.get_level_values(0) == lead].dropna()
            strongest = own.sort_values(ascending=False).iloc[:3]
            names.append(lead)
            said.append(f"{lead} {first:+.1f} SD against the others: {rules.sentences(strongest)}")
    twice = {name for name in names if names.count(name) > 1}
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(f"{name} {seen[name]}" if name in twice else name)
    return tuple(unique), dict(zip(unique, said, strict=True))
