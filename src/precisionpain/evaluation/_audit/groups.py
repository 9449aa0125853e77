"""Whether the lines of a table of two groups agree with each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ...errors import FormatError
from ...stats import chi_square, goodness_of_fit
from .group_tests import implied_w, p_verdict, rank_sum, t_test
from .line import Found
from .printed import SLACK, Printed, p_range, printed

__all__ = ["COLUMNS", "check_row", "total_mean", "total_sd"]

COLUMNS = (
    "mean_1", "sd_1", "mean_2", "sd_2", "mean_total", "sd_total", "p", "w", "t", "test",
    "counts_1", "counts_2", "counts_total", "whole",
)  # fmt: skip
TESTS = ("rank sum", "t", "welch", "chi-square", "sizes")
Row = Mapping[str, object]


def total_mean(mean_1: float, mean_2: float, n_1: int, n_2: int) -> float:
    """Return the mean of both groups together, (n₁m₁ + n₂m₂) / (n₁ + n₂).

    Parameters
    ----------
    mean_1, mean_2 : float
        Means of the groups.
    n_1, n_2 : int
        Their sizes.

    Returns
    -------
    float

    Examples
    --------
    >>> round(total_mean(48.5, 1.95, 55, 73), 2)
    21.95
    """
    return (n_1 * mean_1 + n_2 * mean_2) / (n_1 + n_2)


def total_sd(mean_1: float, mean_2: float, sd_1: float, sd_2: float, n_1: int, n_2: int) -> float:
    """Return the standard deviation of both groups together.

    √(((n₁ − 1)s₁² + (n₂ − 1)s₂² + n₁n₂(m₁ − m₂)² / (n₁ + n₂)) / (n₁ + n₂ − 1)).

    Parameters
    ----------
    mean_1, mean_2, sd_1, sd_2 : float
        Means and standard deviations (with n − 1) of the groups.
    n_1, n_2 : int
        Their sizes.

    Returns
    -------
    float
    """
    within = (n_1 - 1) * sd_1**2 + (n_2 - 1) * sd_2**2
    between = n_1 * n_2 / (n_1 + n_2) * (mean_1 - mean_2) ** 2
    return float(np.sqrt((within + between) / (n_1 + n_2 - 1)))


def check_row(row: Row, n_1: int, n_2: int, digits: int) -> Iterator[Found]:
    """Check one line of a table of two groups.

    Parameters
    ----------
    row : mapping
        Columns as `COLUMNS`.
    n_1, n_2 : int
        Group sizes.
    digits : int
        Decimals of means and standard deviations.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    name = str(row["row"])
    test = row.get("test")
    if isinstance(test, str) and test not in TESTS:
        raise FormatError(f"test is {', '.join(TESTS)}, found {test!r}", where=name)
    test = test if isinstance(test, str) else None
    moments = {
        key: printed(row.get(key), digits, f"{name}, {key}")
        for key in ("mean_1", "sd_1", "mean_2", "sd_2", "mean_total", "sd_total")
    }
    p = p_range(row.get("p"), f"{name}, p")
    w = printed(row.get("w"), 1, f"{name}, w")
    yield from _totals(moments, n_1, n_2)
    if row.get("whole") is True or row.get("whole") in (1, "True", "true", "yes"):
        yield from _whole(moments, {"_1": n_1, "_2": n_2, "_total": n_1 + n_2})
    if w is not None:
        yield from rank_sum(w.value, p, n_1, n_2)
    elif test == "rank sum" and p is not None and p[0] > 0:
        yield from implied_w(p, moments, n_1, n_2)
    t = printed(row.get("t"), 2, f"{name}, t")
    if t is not None or (test in ("t", "welch") and p is not None):
        yield from t_test(moments, t, p, n_1, n_2, test)
    if any(not _empty(row.get(key)) for key in ("counts_1", "counts_2")):
        yield from _counts(row, p, n_1, n_2)
    if test == "sizes" and p is not None:
        exact = goodness_of_fit([n_1, n_2]).p_value
        yield p_verdict("chi-square", {"goodness of fit": exact}, p)


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value == ""


def _corners(function: Callable[..., float], *figures: Printed) -> tuple[float, float]:
    """Return the range of a function over the rounding, monotone in each argument or convex."""
    values = [
        function(*corner) for corner in itertools.product(*[(f.low, f.high) for f in figures])
    ]
    return min(values), max(values)


def _totals(figures: Mapping[str, Printed | None], n_1: int, n_2: int) -> Iterator[Found]:
    m1, m2, s1, s2 = (figures[key] for key in ("mean_1", "mean_2", "sd_1", "sd_2"))
    if m1 is None or m2 is None:
        return
    if figures["mean_total"] is not None:
        low, high = _corners(lambda a, b: total_mean(a, b, n_1, n_2), m1, m2)
        middle = total_mean(m1.value, m2.value, n_1, n_2)
        yield from _total("mean", figures["mean_total"], low, middle, high)
    if figures["sd_total"] is not None and s1 is not None and s2 is not None:

        def of(a: float, b: float, c: float, d: float) -> float:
            return total_sd(a, b, c, d, n_1, n_2)

        low, high = _corners(of, m1, m2, s1, s2)
        yield from _total(
            "SD", figures["sd_total"], low, of(m1.value, m2.value, s1.value, s2.value), high
        )


def _total(what: str, total: Printed, low: float, middle: float, high: float) -> Iterator[Found]:
    implied: dict[str, object] = {"value": middle, "low": low, "high": high}
    digits = total.digits + 1
    at, least, most = (f"{value:.{digits}f}" for value in (middle, low, high))
    said = f"the groups give a total {what} of {at} ({least} to {most})"
    if not total.allows(low, high):
        yield "total", "error", f"{said}, printed {total}", implied
    elif not total.allows(middle, middle):
        yield (
            "total",
            "note",
            f"{said}, printed {total}: within the rounding, but only just",
            implied,
        )


def _whole(figures: Mapping[str, Printed | None], sizes: Mapping[str, int]) -> Iterator[Found]:
    for suffix, n in sizes.items():
        mean = figures[f"mean{suffix}"]
        if mean is None:
            continue
        first = np.ceil(mean.low * n - SLACK)
        if first > mean.high * n + SLACK:
            nearest = sorted(np.round([(first - 1) / n, first / n], mean.digits + 1))
            yield (
                "whole numbers",
                "error",
                f"no {n} whole numbers have the mean {mean}; the nearest are "
                f"{nearest[0]:g} and {nearest[1]:g}",
                {"n": n, "nearest": tuple(float(value) for value in nearest)},
            )


def _counts(row: Row, p: tuple[float, float] | None, n_1: int, n_2: int) -> Iterator[Found]:
    name = str(row["row"])
    parts = {key: _read_counts(row.get(key), f"{name}, {key}") for key in
             ("counts_1", "counts_2", "counts_total")}  # fmt: skip
    first, second, total = parts.values()
    for key, counts, n in (("1", first, n_1), ("2", second, n_2), ("total", total, n_1 + n_2)):
        if counts and sum(counts) != n:
            yield (
                "counts",
                "error",
                f"the counts of group {key} add up to {sum(counts)} of {n}",
                {"sum": sum(counts), "n": n},
            )
    if not first or not second:
        return
    if len(first) != len(second):
        raise FormatError(f"{len(first)} and {len(second)} levels", where=f"{name}, counts")
    sums = [a + b for a, b in zip(first, second, strict=True)]
    if total and total != sums:
        yield "counts", "error", f"the groups add up to {sums}, printed {total}", {"sum": sums}
    if p is not None and all(sums):
        exact = {"χ²": chi_square([first, second], yates=False).p_value}
        if len(first) == 2:
            exact = {"Yates-corrected χ²": chi_square([first, second]).p_value, **exact}
            exact["Fisher"] = _fisher(first, second)
        yield p_verdict("chi-square", exact, p)


def _fisher(first: list[int], second: list[int]) -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact([first, second])[1])


def _read_counts(value: object, where: str) -> list[int] | None:
    if _empty(value):
        return None
    parts = value.split("/") if isinstance(value, str) else value
    try:
        counts = [int(part) for part in parts]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise FormatError(
            f"expected counts such as '27/28' or (27, 28), found {value!r}", where=where
        ) from None
    if len(counts) < 2 or min(counts) < 0:
        raise FormatError(f"expected two counts or more, found {value!r}", where=where)
    return counts
