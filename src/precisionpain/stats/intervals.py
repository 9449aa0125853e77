"""Intervals that assume little: the bootstrap over subjects, and Wilson's for proportions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from ..errors import FormatError
from ._checks import as_outcome_and_score, check_fraction, check_same_rows
from .auc import auc

__all__ = ["BootstrapInterval", "bootstrap_interval", "bootstrap_metrics", "wilson"]

# Replicates are drawn in blocks, so that the counts of a large cohort fit into memory.
_BLOCK = 2_000_000


@dataclasses.dataclass(frozen=True, repr=False)
class BootstrapInterval:
    """An estimate with its bootstrap interval.

    Parameters
    ----------
    estimate : float
        The statistic on the data as they are.
    ci_low, ci_high : float
        Limits of the interval.
    se : float
        Standard deviation over the replicates.
    n_boot : int
        Replicates that were asked for.
    n_failed : int
        Replicates in which the statistic was undefined; the rest made the interval.
    confidence : float
        Level of the interval.
    method : {"percentile", "bca"}
        How the limits were read off.
    """

    estimate: float
    ci_low: float
    ci_high: float
    se: float
    n_boot: int
    n_failed: int
    confidence: float = 0.95
    method: str = "percentile"

    def __repr__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"BootstrapInterval({self.estimate:.3f}, {self.confidence:.0%} CI "
            f"{self.ci_low:.3f} to {self.ci_high:.3f}, {self.method}, {self.n_boot} "
            f"replicates{failed})"
        )


@dataclasses.dataclass(frozen=True)
class _Units:
    """Who is drawn: the unit of each row, and the units of each stratum."""

    of_row: NDArray[np.intp]
    strata: list[NDArray[np.intp]]
    total: int


def _units(n: int, groups: ArrayLike | None, stratify: ArrayLike | None) -> _Units:
    if groups is None:
        of_row, total = np.arange(n), n
    else:
        labels, uniques = pd.factorize(np.asarray(groups))
        if len(labels) != n:
            raise FormatError(f"the arrays have {n} rows and groups has {len(labels)}")
        if (labels < 0).any():
            raise FormatError("a group label is missing", where="groups")
        of_row, total = labels, len(uniques)
    if stratify is None:
        return _Units(of_row, [np.arange(total)], total)
    levels, _ = pd.factorize(np.asarray(stratify))
    if len(levels) != n:
        raise FormatError(f"the arrays have {n} rows and stratify has {len(levels)}")
    if (levels < 0).any():
        raise FormatError("a stratum is missing", where="stratify")
    # A subject with rows of several strata (one side relieved, the other not) forms a
    # stratum with its like, so that subjects stay whole and no stratum can vanish.
    pairs = pd.DataFrame({"unit": of_row, "level": levels}).drop_duplicates()
    kind = pairs.sort_values("level").groupby("unit")["level"].agg(tuple)
    codes, _ = pd.factorize(kind)
    return _Units(of_row, [np.flatnonzero(codes == c) for c in range(codes.max() + 1)], total)


def _count_blocks(
    units: _Units, n_boot: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each row is drawn, (replicates, rows), block by block."""
    step = max(1, _BLOCK // max(1, len(units.of_row)))
    for start in range(0, n_boot, step):
        size = min(step, n_boot - start)
        counts = np.zeros((size, units.total), dtype=np.int64)
        for members in units.strata:
            k = len(members)
            # Drawing k of k with replacement: the counts are multinomial.
            counts[:, members] = rng.multinomial(k, np.full(k, 1 / k), size=size)
        yield counts[:, units.of_row]


def _acceleration(values: NDArray[np.float64], strata: list[NDArray[np.intp]]) -> float:
    """Return the acceleration of BCa from delete-one values, stratum by stratum."""
    cubes = squares = 0.0
    for members in strata:
        k = len(members)
        influence = (k - 1) * (values[members].mean() - values[members])
        cubes += float(np.sum(influence**3)) / k**3
        squares += float(np.sum(influence**2)) / k**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def _limits(
    replicates: NDArray[np.float64],
    estimate: float,
    confidence: float,
    acceleration: float | None,
) -> tuple[float, float]:
    levels = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if acceleration is not None:
        below = np.mean(replicates < estimate) + np.mean(replicates == estimate) / 2
        bias = ndtri(below)
        shifted = bias + ndtri(levels)
        with np.errstate(invalid="ignore"):
            levels = ndtr(bias + shifted / (1 - acceleration * shifted))
        if not np.isfinite(levels).all():
            return np.nan, np.nan
    low, high = np.quantile(replicates, levels)
    return float(low), float(high)


def _summary(
    estimate: float,
    replicates: NDArray[np.float64],
    confidence: float,
    acceleration: float | None = None,
    reason: str = "",
) -> BootstrapInterval:
    kept = replicates[np.isfinite(replicates)]
    failed = len(replicates) - len(kept)
    if len(kept) < max(2, len(replicates) / 2):
        raise FormatError(
            f"the statistic is undefined in {failed} of {len(replicates)} replicates"
            + (f" (the last time: {reason})" if reason else ""),
            remedy="pass stratify=y, so that every replicate has both classes",
        )
    low, high = _limits(kept, estimate, confidence, acceleration)
    return BootstrapInterval(
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        se=float(kept.std(ddof=1)),
        n_boot=len(replicates),
        n_failed=failed,
        confidence=confidence,
        method="percentile" if acceleration is None else "bca",
    )


def _check_rows(named: Mapping[str, object]) -> None:
    for (one, first), (two, second) in itertools.combinations(named.items(), 2):
        check_same_rows(first, second, (one, two))


def _check_options(n_boot: int, confidence: float) -> None:
    check_fraction(confidence, "confidence")
    if n_boot < 2:
        raise FormatError(f"n_boot is at least 2, found {n_boot}")


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: Any,
    groups: ArrayLike | None = None,
    stratify: ArrayLike | None = None,
    n_boot: int = 2000,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    random_state: int | np.random.Generator | None = None,
) -> BootstrapInterval:
    """Bootstrap any statistic over whole subjects.

    Parameters
    ----------
    statistic : callable
        Takes the resampled arrays and returns a number. The order of the rows must not
        matter to it.
    *arrays : array-like of shape (n, ...)
        Rows that belong together, for example ``y, score``.
    groups : array-like of shape (n,), optional
        The subject of each row. All rows of a subject are drawn together. By default
        each row is a subject.
    stratify : array-like of shape (n,), optional
        Usually the outcome: each stratum keeps its number of subjects, so that no
        replicate lacks a class. By default nothing is stratified.
    n_boot : int, default 2000
        Number of replicates.
    confidence : float, default 0.95
        Level of the interval.
    method : {"percentile", "bca"}, default "percentile"
        ``bca`` corrects for bias and skewness by a delete-one-subject jackknife (within
        strata as in Davison & Hinkley 1997, equation 5.35). Its limits are NaN when all
        replicates lie on one side of the estimate.
    random_state : int or numpy.random.Generator, optional
        Seed.

    Returns
    -------
    BootstrapInterval

    Raises
    ------
    FormatError
        When lengths differ, a label is missing, the statistic is undefined on the data
        themselves or in more than half of the replicates.
    AlignmentError
        When two of the arguments are labelled and their labels don't match.

    Notes
    -----
    A replicate fails when the statistic raises a ValueError or ZeroDivisionError or
    isn't finite; `BootstrapInterval.n_failed` counts these.

    Examples
    --------
    >>> from precisionpain.stats import auc
    >>> y, score = [0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6]
    >>> bootstrap_interval(auc, y, score, stratify=y, n_boot=500, random_state=0)
    BootstrapInterval(0.889, 95% CI 0.556 to 1.000, percentile, 500 replicates)
    """
    _check_options(n_boot, confidence)
    if method not in ("percentile", "bca"):
        raise FormatError(f"method is 'percentile' or 'bca', found {method!r}")
    _check_rows(
        {f"array {i}": a for i, a in enumerate(arrays)} | {"groups": groups, "stratify": stratify}
    )
    data = [np.asarray(a) for a in arrays]
    lengths = {len(a) for a in data}
    if len(lengths) != 1 or 0 in lengths:
        raise FormatError(f"expected arrays of one length, found {[len(a) for a in data]}")
    n = lengths.pop()
    units = _units(n, groups, stratify)
    estimate = float(statistic(*data))
    if not np.isfinite(estimate):
        raise FormatError(f"the statistic is {estimate} on the data themselves")
    reason = ""

    def evaluate(index: NDArray[np.intp]) -> float:
        nonlocal reason
        try:
            return float(statistic(*(a[index] for a in data)))
        except (ValueError, ZeroDivisionError) as error:
            reason = str(error)
            return np.nan

    rng = np.random.default_rng(random_state)
    rows = np.arange(n)
    replicates = np.array(
        [
            evaluate(np.repeat(rows, counts))
            for block in _count_blocks(units, n_boot, rng)
            for counts in block
        ]
    )
    acceleration = None
    if method == "bca":
        left_out = np.array([evaluate(rows[units.of_row != u]) for u in range(units.total)])
        if not np.isfinite(left_out).all():
            raise FormatError(
                f"the statistic is undefined when one subject is left out ({reason})",
                remedy="use method='percentile'",
            )
        acceleration = _acceleration(left_out, units.strata)
    return _summary(estimate, replicates, confidence, acceleration, reason)


def _weighted_auc(
    event: NDArray[np.bool_], score: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    ordered = counts[:, order].astype(float)
    flag = event[order]
    positive = np.add.reduceat(ordered * flag, starts, axis=1)
    negative = np.add.reduceat(ordered * ~flag, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.einsum("bi,bi->b", positive, below) / pairs


def _weighted_brier(
    event: NDArray[np.bool_], p: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    return counts @ (p - event) ** 2 / counts.sum(axis=1)


def _weighted_scaled_brier(
    event: NDArray[np.bool_], p: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    prevalence = counts @ event.astype(float) / counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - _weighted_brier(event, p, counts) / (prevalence * (1 - prevalence))


_WEIGHTED = {
    "auc": _weighted_auc,
    "brier": _weighted_brier,
    "scaled_brier": _weighted_scaled_brier,
}


def bootstrap_metrics(
    y: ArrayLike,
    p: ArrayLike,
    metrics: Sequence[str] | Mapping[str, Callable[..., float] | str] = ("auc", "brier"),
    *,
    groups: ArrayLike | None = None,
    n_boot: int = 2000,
    confidence: float = 0.95,
    random_state: int | np.random.Generator | None = None,
) -> dict[str, BootstrapInterval]:
    """Bootstrap several measures of one model on the same resamples, by outcome and subject.

    The built-in measures are computed for all replicates at once from the number of times
    that each row was drawn: 2,000 replicates of 150 people take
    about 0.05 s.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome, 0 or 1.
    p : array-like of shape (n,)
        Predicted probability (for ``"auc"`` alone any score).
    metrics : sequence of str or mapping, default ("auc", "brier")
        Names among ``"auc"``, ``"brier"`` and ``"scaled_brier"``, or a mapping from the
        name in the result to such a name or to a function of ``(y, p)``.
    groups : array-like of shape (n,), optional
        The subject of each row.
    n_boot : int, default 2000
        Number of replicates, stratified by outcome.
    confidence : float, default 0.95
        Level of the percentile intervals.
    random_state : int or numpy.random.Generator, optional
        Seed.

    Returns
    -------
    dict of str to BootstrapInterval

    Raises
    ------
    FormatError
        For an unknown measure, an outcome of one class, missing or infinite values, or a
        measure that is undefined in more than half of the replicates.
    AlignmentError
        When `y` and `p` are labelled and their labels don't match.

    Examples
    --------
    >>> y, p = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.4, 0.7, 0.9]
    >>> bootstrap_metrics(y, p, n_boot=500, random_state=0)["brier"]
    BootstrapInterval(0.145, 95% CI 0.028 to 0.257, percentile, 500 replicates)
    """
    _check_options(n_boot, confidence)
    _check_rows({"y": y, "p": p, "groups": groups})
    event, score = as_outcome_and_score(y, p, name="p")
    named = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
    unknown = [m for m in named.values() if not callable(m) and m not in _WEIGHTED]
    if unknown:
        raise FormatError(
            f"unknown measures {unknown}",
            remedy=f"use {', '.join(_WEIGHTED)}, or a mapping from a name to a function of (y, p)",
        )
    if score.min() < 0 or score.max() > 1:
        improper = [name for name, m in named.items() if m in ("brier", "scaled_brier")]
        if improper:
            raise FormatError(f"{', '.join(improper)} needs probabilities", where="p")
    units = _units(len(event), groups, event)
    rng = np.random.default_rng(random_state)
    rows = np.arange(len(event))
    once = np.ones((1, len(event)), dtype=np.int64)

    def evaluate(metric: Callable[..., float] | str, counts: NDArray[np.int64]) -> Any:
        if not callable(metric):
            return _WEIGHTED[metric](event, score, counts)
        drawn = (np.repeat(rows, c) for c in counts)
        return np.array([float(metric(event[index], score[index])) for index in drawn])

    replicates: dict[str, list[NDArray[np.float64]]] = {name: [] for name in named}
    for block in _count_blocks(units, n_boot, rng):
        for name, metric in named.items():
            replicates[name].append(evaluate(metric, block))
    return {
        name: _summary(
            # The plain AUC, so that the estimate equals `auc` to the last bit.
            auc(event, score) if metric == "auc" else float(evaluate(metric, once)[0]),
            np.concatenate(replicates[name]),
            confidence,
        )
        for name, metric in named.items()
    }


def wilson(
    k: ArrayLike, n: ArrayLike, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's interval of a proportion.

    Unlike k/n ± z·se it stays inside 0 to 1 and keeps its coverage at small n and at
    proportions near 0 and 1.

    Parameters
    ----------
    k : array-like of int
        Successes.
    n : array-like of int
        Trials, of a shape that broadcasts with `k`.
    confidence : float, default 0.95
        Level of the interval.

    Returns
    -------
    low, high : numpy.ndarray
        Limits, single numbers for single numbers; NaN where n = 0.

    Raises
    ------
    FormatError
        When k is negative or above n.

    References
    ----------
    Wilson, JASA 22, 209 (1927).

    Examples
    --------
    >>> low, high = wilson([0, 5], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.237], [0.278, 0.763])
    """
    check_fraction(confidence, "confidence")
    successes, trials = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    if not np.all((successes >= 0) & (successes <= trials)):
        raise FormatError("each k lies between 0 and its n", where="wilson")
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = successes / trials
        centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
        half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2)))
        half = half / (1 + z2 / trials)
    # Exactly 0 at k = 0 and 1 at k = n, where rounding would leave 1e-17.
    low = np.where(successes == 0, np.where(trials > 0, 0.0, np.nan), centre - half)
    high = np.where((successes == trials) & (trials > 0), 1.0, centre + half)
    return low[()], high[()]
