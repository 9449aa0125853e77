"""Signatures of two diseases: do they share more proteins, or fewer, than chance would."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..errors import AlignmentError, FormatError, list_some
from ..stats.multiplicity import adjust_p
from ._match import split_names

__all__ = ["compare_signatures", "signature_overlap"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def signature_overlap(
    first: pd.DataFrame | Collection[str],
    second: pd.DataFrame | Collection[str],
    *,
    universe: Collection[str] | None = None,
    threshold: float = 0.05,
    by: str = "q_value",
    key: str | None = None,
) -> pd.DataFrame:
    """Count the proteins that two signatures share, and compare with chance.

    Chance is drawing both signatures from the proteins that both assays could have found: the
    intersection of what was assayed, never the genome. With N such proteins, of which K and n
    are in the signatures, the number shared is hypergeometric.

    Parameters
    ----------
    first, second : pandas.DataFrame or collection of str
        Results of `differential` (all assayed proteins, not just the significant ones), or the
        names of the proteins in a signature.
    universe : collection of str, optional
        Proteins that both could have found. Needed for names; for tables the proteins of both
        tables whose `by` is known.
    threshold : float, default 0.05
        Proteins below it are in the signature.
    by : str, default "q_value"
        The column that `threshold` is for.
    key : str, optional
        Column that names a protein in both tables, such as ``"uniprot"`` when the assays
        differ; by default the index. Where a protein has several rows (on two panels), the
        one with the smallest `by` counts; a group (``"P1;P2"``) is known by its first member.

    Returns
    -------
    pandas.DataFrame
        Rows ``any``, and for tables ``up``, ``down`` (changed that way in both) and
        ``opposite``. Columns: ``n_universe, n_first, n_second, n_shared, expected, ratio``
        (observed over expected), ``odds_ratio, ci_low, ci_high`` (conditional, exact 95%),
        ``jaccard, p_more, p_less`` (one-sided: chance shares as many or more, as few or fewer)
        and ``shared`` (a list).

    Raises
    ------
    FormatError
        When a column is missing, names come without a universe, or nothing was assayed twice.
    AlignmentError
        When a signature has a protein that isn't in the universe.

    Notes
    -----
    Proteins rise and fall together, so the hypergeometric p-value is too small when a
    signature consists of few modules; read it with the odds ratio.

    Examples
    --------
    >>> names = [f"P{i}" for i in range(40)]
    >>> table = signature_overlap(names[:10], names[5:15], universe=names)
    >>> table.loc["any", "shared"]
    ['P5', 'P6', 'P7', 'P8', 'P9']
    >>> print(table.loc["any", "expected"])
    2.5
    """
    if isinstance(first, pd.DataFrame) and isinstance(second, pd.DataFrame):
        one, two = _common(first, second, by, key)
        if universe is not None:
            keep = one.index.isin(list(universe))
            one, two = one[keep], two[keep]
        everyone = one.index
        hits = [side[by].to_numpy(float) < threshold for side in (one, two)]
        directed = "log_fc" in one and "log_fc" in two
    elif isinstance(first, pd.DataFrame) or isinstance(second, pd.DataFrame):
        raise FormatError("expected two tables or two collections of names, found one of each")
    else:
        if universe is None:
            raise FormatError(
                "names need a universe: the proteins that both assays could have found",
                where="universe",
            )
        everyone = pd.Index(list(dict.fromkeys(universe)))
        hits = []
        for name, side in (("first", first), ("second", second)):
            unknown = sorted(set(side) - set(everyone))
            if unknown:
                raise AlignmentError(
                    f"{len(unknown)} proteins aren't in the universe: {list_some(unknown)}",
                    where=name,
                )
            hits.append(np.asarray(everyone.isin(list(side))))
        directed = False
    if everyone.empty:
        raise FormatError("no protein was assayed in both", where="universe")
    rows = {"any": _row(hits[0], hits[1], everyone)}
    if directed:
        signs = [np.sign(side["log_fc"].to_numpy(float)) for side in (one, two)]
        for name, sign in (("up", 1), ("down", -1)):
            moved = [hit & (own == sign) for hit, own in zip(hits, signs, strict=True)]
            rows[name] = _row(moved[0], moved[1], everyone)
        rows["opposite"] = _opposite(hits, signs, everyone)
    return pd.DataFrame(rows).T.infer_objects()


def _common(
    first: pd.DataFrame, second: pd.DataFrame, by: str, key: str | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables on the proteins that were assayed in both, in one order."""
    sides = []
    for name, table in (("first", first), ("second", second)):
        needed = [by] if key is None else [by, key]
        absent = [column for column in needed if column not in table]
        if absent:
            raise FormatError(
                f"expected the column {list_some(absent)}, found {list_some(table.columns, 12)}",
                where=name,
            )
        names = pd.Series(table.index, index=table.index)
        if key is not None:
            names = table[key].map(lambda value: next(iter(split_names(value)), None))
        kept = table.assign(_name=names.to_numpy())[(names.notna() & table[by].notna()).to_numpy()]
        kept = kept.sort_values(by, kind="stable").drop_duplicates("_name").set_index("_name")
        sides.append(kept)
    common = sides[0].index.intersection(sides[1].index).sort_values()
    return sides[0].loc[common], sides[1].loc[common]


def _row(first: Flags, second: Flags, universe: pd.Index) -> dict[str, Any]:
    both = first & second
    total, a, b, k = len(universe), int(first.sum()), int(second.sum()), int(both.sum())
    odds = low = high = np.nan
    if 0 < a < total and 0 < b < total:
        result = stats.contingency.odds_ratio([[k, a - k], [b - k, total - a - b + k]])
        interval = result.confidence_interval(0.95)
        odds, low, high = result.statistic, interval.low, interval.high
    chance = stats.hypergeom(total, a, b)
    return {
        **_counts(total, a, b, k, a * b / total),
        "odds_ratio": odds,
        "ci_low": low,
        "ci_high": high,
        "jaccard": k / (a + b - k) if a + b else np.nan,
        "p_more": min(1.0, float(chance.sf(k - 1))),
        "p_less": min(1.0, float(chance.cdf(k))),
        "shared": list(universe[both]),
    }


def _opposite(hits: list[Flags], signs: list[Array], universe: pd.Index) -> dict[str, Any]:
    """Count what changed in both, in opposite directions; no test, two draws are mixed."""
    both = hits[0] & hits[1] & (signs[0] * signs[1] < 0)
    expected = sum(
        float((hits[0] & (signs[0] == sign)).sum() * (hits[1] & (signs[1] == -sign)).sum())
        for sign in (1, -1)
    ) / len(universe)
    sizes = [int(hit.sum()) for hit in hits]
    untold = ("odds_ratio", "ci_low", "ci_high", "jaccard", "p_more", "p_less")
    return {
        **_counts(len(universe), sizes[0], sizes[1], int(both.sum()), expected),
        **dict.fromkeys(untold, np.nan),
        "shared": list(universe[both]),
    }


def _counts(total: int, first: int, second: int, shared: int, expected: float) -> dict[str, Any]:
    return {
        "n_universe": total,
        "n_first": first,
        "n_second": second,
        "n_shared": shared,
        "expected": expected,
        "ratio": shared / expected if expected else np.nan,
    }


def compare_signatures(
    first: pd.DataFrame,
    second: pd.DataFrame,
    between: pd.DataFrame,
    *,
    names: tuple[str, str] = ("TN", "MS"),
    threshold: float = 0.05,
) -> pd.DataFrame:
    """Sort proteins into those of one disease, of the other, and of both.

    That a protein is significant in one disease and not in the other doesn't make it
    specific: it is called so only when the diseases themselves differ as well.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Results of `differential`: each disease against the same controls.
    between : pandas.DataFrame
        Result of the first disease against the second.
    names : tuple of str, default ("TN", "MS")
        Of the diseases.
    threshold : float, default 0.05
        On ``q_value``; adjusted anew over the proteins that all three tables tested.

    Returns
    -------
    pandas.DataFrame
        Index as the tables, the proteins tested in all three: ``log_fc_<name>``,
        ``q_<name>``, ``log_fc_between``, ``q_between`` and ``class``: ``"<name> only"`` (differs
        from the controls and from the other disease, which doesn't differ from the controls),
        ``"shared"``, ``"opposite"`` (both differ from the controls, in one direction or in
        opposite ones), ``"undecided"`` (one differs from the controls, but not from the other
        disease) or ``"neither"``.

    Raises
    ------
    FormatError
        When a column is missing, or no protein was tested in all three.

    Examples
    --------
    >>> import pandas as pd
    >>> def table(log_fc, p):
    ...     return pd.DataFrame({"log_fc": log_fc, "p_value": p}, index=["SFRP1", "CXCL13"])
    >>> classes = compare_signatures(
    ...     table([1.0, 0.0], [1e-5, 0.8]), table([0.1, 1.2], [0.7, 1e-6]),
    ...     table([0.9, -1.2], [1e-4, 1e-6]))
    >>> classes["class"].to_dict()
    {'SFRP1': 'TN only', 'CXCL13': 'MS only'}
    """
    tables = {names[0]: first, names[1]: second, "between": between}
    for name, table in tables.items():
        absent = [column for column in ("log_fc", "p_value") if column not in table]
        if absent:
            raise FormatError(f"expected the column {list_some(absent)}", where=name)
        if table.index.has_duplicates:
            raise FormatError("a protein is there twice: compare by unique names", where=name)
    tested = [table.index[table["p_value"].notna().to_numpy()] for table in tables.values()]
    common = first.index[[all(name in index for index in tested) for name in first.index]]
    if common.empty:
        raise FormatError("no protein was tested in all three tables")
    result = pd.DataFrame(index=common)
    for name, table in tables.items():
        result[f"log_fc_{name}"] = table["log_fc"].reindex(common)
        result[f"q_{name}"] = adjust_p(table["p_value"].reindex(common))
    a, b, differ = (result[f"q_{name}"] < threshold for name in tables)
    same = result[f"log_fc_{names[0]}"] * result[f"log_fc_{names[1]}"] > 0
    choices: dict[str, Any] = {
        "shared": a & b & same,
        "opposite": a & b & ~same,
        f"{names[0]} only": a & ~b & differ,
        f"{names[1]} only": b & ~a & differ,
        "undecided": a ^ b,
    }
    result["class"] = np.select(list(choices.values()), list(choices), default="neither")
    return result
