"""Differences between groups, and whether the widest is more than chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...stats import adjust_p
from .measures import METRICS, Pairs, weighted

__all__ = ["against", "gaps"]

Figures = dict[str, np.ndarray]

# These are about people of one outcome, so people are drawn and exchanged within it.
_WITHIN_OUTCOME = ("auc", "sensitivity", "specificity")


def against(
    y: np.ndarray,
    table: np.ndarray,
    labels: Mapping[str, pd.Series],
    sizes: Mapping[tuple[str, str], int],
    *,
    people: np.ndarray,
    too_small: Callable[[np.ndarray], str],
    reference: str,
    threshold: float,
    confidence: float,
    n_bootstrap: int,
    random_state: int,
) -> pd.DataFrame:
    """Compare each group that can be judged with the rest, or with the largest one.

    Parameters
    ----------
    y : numpy.ndarray of shape (n,)
        Outcome.
    table : numpy.ndarray of shape (n, n_repeats)
        Predictions, NaN where somebody wasn't tested.
    labels : mapping of str to pandas.Series
        Groups by column.
    sizes : mapping of (str, str) to int
        By column and group, its rows; 0 where it can't be judged.
    people : numpy.ndarray of shape (n,)
        Who each row is of.
    too_small : callable
        Takes the rows of a group and says why it can't be judged, or nothing.
    reference : {"rest", "largest"}
        What to compare with.
    threshold, confidence, n_bootstrap, random_state
        As in `subgroups`.

    Returns
    -------
    pandas.DataFrame
        One row per (by, group, metric).
    """
    rng = np.random.default_rng(random_state)
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]
    rounds = [np.flatnonzero(~np.isnan(column)) for column in table.T]
    pairs = [Pairs(y[who], table[who, k]) for k, who in enumerate(rounds)]
    rows: list[dict[str, Any]] = []
    for by, groups in labels.items():
        judged = [name for name in groups.cat.categories if sizes[by, name] > 0]
        largest = max((sizes[by, name], name) for name in judged)[1] if judged else None
        # People are drawn within their group; within outcome too for what is about people of
        # one outcome, and not where the number of events is what is looked at.
        codes = groups.cat.codes.to_numpy()
        drawn = [
            np.ones((1, len(y))),
            _draws(2 * codes + y, people, n_bootstrap, rng),
            _draws(codes, people, n_bootstrap, rng),
        ]

        def figures(side: np.ndarray, drawn: list[np.ndarray] = drawn) -> tuple[Figures, Figures]:
            found = []
            for weights in drawn:
                each = [
                    weighted(y[who], table[who, k], pairs[k], (weights * side)[:, who], threshold)
                    for k, who in enumerate(rounds)
                ]
                found.append(_mean(each))
            mixed = {m: found[1 if m in _WITHIN_OUTCOME else 2][m] for m in METRICS}
            return found[0], mixed

        for name in judged:
            inside = (groups == name).to_numpy()
            other = ~inside if reference == "rest" else (groups == largest).to_numpy()
            if (reference == "largest" and name == largest) or too_small(other):
                continue
            (here, drawn_here), (there, drawn_there) = figures(inside), figures(other)
            for metric in METRICS:
                low, high = _limits(drawn_here[metric] - drawn_there[metric], levels)
                rows.append({
                    "by": by, "group": name, "metric": metric,
                    "against": "the rest" if reference == "rest" else largest,
                    "value": float(here[metric][0]), "other": float(there[metric][0]),
                    "difference": float(here[metric][0] - there[metric][0]),
                    "ci_low": low, "ci_high": high,
                })  # fmt: skip
    columns = ["by", "group", "metric", "against", "value", "other", "difference",
               "ci_low", "ci_high"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).set_index(["by", "group", "metric"])


def gaps(
    y: np.ndarray,
    table: np.ndarray,
    labels: Mapping[str, pd.Series],
    sizes: Mapping[tuple[str, str], int],
    *,
    people: np.ndarray,
    threshold: float,
    n_permutations: int,
    random_state: int,
) -> pd.DataFrame:
    """Test the widest gap between the groups that can be judged, by exchanging their labels.

    Parameters
    ----------
    y, table, labels, sizes, people, threshold, random_state
        As in `against`.
    n_permutations : int
        How often labels are exchanged.

    Returns
    -------
    pandas.DataFrame
        Index (by, metric): ``lowest``, ``highest`` (groups), ``gap``, ``p_value``,
        ``p_adjusted`` (Holm, over all rows).
    """
    rng = np.random.default_rng(random_state)
    rounds = [np.flatnonzero(~np.isnan(column)) for column in table.T]
    rows = []
    for by, groups in labels.items():
        judged = [name for name in groups.cat.categories if sizes[by, name] > 0]
        if len(judged) < 2:
            continue
        rows_in = np.flatnonzero(groups.isin(judged).to_numpy())
        codes = np.array([judged.index(name) for name in groups.iloc[rows_in]])
        y_in, who_in = y[rows_in], people[rows_in]
        sets = []
        for k, who in enumerate(rounds):
            tested = np.flatnonzero(np.isin(rows_in, who))
            p = table[rows_in[tested], k]
            sets.append((tested, p, Pairs(y_in[tested], p)))

        def figures(
            draws: np.ndarray, y_in: np.ndarray = y_in, sets: list = sets, n: int = len(judged)
        ) -> list[Figures]:
            return [
                _mean([
                    weighted(y_in[t], p, pairs, (draws[:, t] == code).astype(float), threshold)
                    for t, p, pairs in sets
                ])
                for code in range(n)
            ]  # fmt: skip

        observed = figures(codes[None, :])
        null = {
            True: figures(_exchanged(codes, y_in, who_in, n_permutations, rng, within=True)),
            False: figures(_exchanged(codes, y_in, who_in, n_permutations, rng, within=False)),
        }
        for metric in METRICS:
            values = np.array([each[metric][0] for each in observed])
            if np.isfinite(values).sum() < 2:
                continue
            gap = float(np.nanmax(values) - np.nanmin(values))
            drawn = np.array([each[metric] for each in null[metric in _WITHIN_OUTCOME]])
            wide = np.nanmax(drawn, axis=0) - np.nanmin(drawn, axis=0)
            p_value = (1 + np.sum(wide >= gap - 1e-12)) / (1 + len(wide))
            rows.append({
                "by": by, "metric": metric,
                "lowest": judged[int(np.nanargmin(values))],
                "highest": judged[int(np.nanargmax(values))],
                "gap": gap, "p_value": float(p_value),
            })  # fmt: skip
    columns = ["by", "metric", "lowest", "highest", "gap", "p_value"]
    frame = pd.DataFrame(rows, columns=columns).set_index(["by", "metric"])
    frame["p_adjusted"] = adjust_p(frame["p_value"].to_numpy(dtype=float), "holm")
    return frame


def _mean(parts: list[Figures]) -> Figures:
    if len(parts) == 1:
        return parts[0]
    return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}


def _limits(values: np.ndarray, levels: list[float]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    # A figure that is undefined in many resamples has no interval worth the name; and 10 of 10
    # against 10 of 10 has an interval without width, but not without doubt.
    if len(known) < 0.9 * len(values) or np.ptp(known) == 0:
        return np.nan, np.nan
    low, high = np.quantile(known, levels)
    return float(low), float(high)


def _draws(strata: np.ndarray, people: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each row is drawn, n × rows; people stay whole."""
    codes, names = pd.factorize(people)
    kinds = _kinds(strata, codes)
    counts = np.zeros((n, len(names)))
    for value in range(kinds.max() + 1):
        members = np.flatnonzero(kinds == value)
        size = len(members)
        counts[:, members] = rng.multinomial(size, np.full(size, 1 / size), size=n)
    return counts[:, codes]


def _exchanged(
    codes: np.ndarray,
    y: np.ndarray,
    people: np.ndarray,
    n: int,
    rng: np.random.Generator,
    *,
    within: bool,
) -> np.ndarray:
    """Return labels exchanged among people, n × rows; within outcome where they have one."""
    who, names = pd.factorize(people)
    label = pd.Series(codes).groupby(who).first().to_numpy()
    kind = _kinds(y, who)
    if not within:
        kind = np.zeros(len(names), dtype=int)
    result = np.tile(label, (n, 1))
    for value in np.unique(kind):
        members = np.flatnonzero(kind == value)
        shuffled = rng.permuted(np.tile(label[members], (n, 1)), axis=1)
        result[:, members] = shuffled
    return result[:, who]


def _kinds(values: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Give people whose rows have the same values the same number."""
    seen: dict[tuple[int, ...], int] = {}
    order = np.argsort(who, kind="stable")
    parts = np.split(values[order], np.flatnonzero(np.diff(who[order])) + 1)
    return np.array([seen.setdefault(tuple(sorted(part)), len(seen)) for part in parts])
