"""What the printed tests of two groups say, recomputed from their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import special
from scipy.special import ndtr, ndtri

from ...stats.effects import _rank_sum_cdf
from .line import Found
from .printed import SLACK, Printed

__all__ = ["implied_w", "p_verdict", "rank_sum", "rank_sum_p", "t_test"]


def rank_sum_p(w: float, n_1: int, n_2: int) -> tuple[float, float]:
    """Return the least and greatest two-sided p of a rank-sum statistic without ties.

    Of the exact distribution and of the normal approximation with and without correction
    for continuity. Ties make p smaller.

    Parameters
    ----------
    w : float
        Mann and Whitney's count of pairs in which the first group is higher, ties by half.
    n_1, n_2 : int
        Group sizes.

    Returns
    -------
    tuple of float

    References
    ----------
    Mann & Whitney, Annals of Mathematical Statistics 18, 50 (1947).

    Examples
    --------
    >>> low, high = rank_sum_p(2446.5, 55, 73)
    >>> f"{low:.4f} {high:.4f}"
    '0.0346 0.0348'
    """
    pairs = n_1 * n_2
    sigma = np.sqrt(pairs * (n_1 + n_2 + 1) / 12)
    away = abs(w - pairs / 2)
    found = [2 * float(ndtr(-max(0.0, away - c) / sigma)) for c in (0.0, 0.5)]
    if max(n_1, n_2) < 50:
        cdf = _rank_sum_cdf(n_1, n_2)
        # A half comes from a tie; the neighbours on either side hold the exact value.
        lower = pairs / 2 - away
        found += [2 * float(cdf[int(np.floor(lower))]), 2 * float(cdf[int(np.ceil(lower))])]
    return min(1.0, *found), min(1.0, max(found))


def p_verdict(check: str, exact: Mapping[str, float], p: tuple[float, float]) -> Found:
    """Compare a printed p with those of several conventions.

    Parameters
    ----------
    check : str
        Name of the check.
    exact : mapping of str to float
        p by convention, the usual one first.
    p : tuple of float
        Values that the printed p stands for.

    Returns
    -------
    tuple
        Check, severity, message, implied values.
    """
    fits = [name for name, value in exact.items() if p[0] - SLACK <= value <= p[1] + SLACK]
    listed = ", ".join(f"{name} {value:.3g}" for name, value in exact.items())
    implied: dict[str, object] = {"p": dict(exact), "agrees": fits}
    if fits:
        return check, "note", f"p agrees with {fits[0]} ({listed})", implied
    return check, "error", f"p is {listed}; printed {_say(p)}", implied


def _say(p: tuple[float, float]) -> str:
    return f"below {p[1]:g}" if p[0] == 0 else f"{(p[0] + p[1]) / 2:.3g}"


def rank_sum(w: float, p: tuple[float, float] | None, n_1: int, n_2: int) -> Iterator[Found]:
    """Turn W into an AUC, and compare its p with the printed one.

    Parameters
    ----------
    w : float
        Mann and Whitney's count of pairs.
    p : tuple of float or None
        Values that the printed p stands for.
    n_1, n_2 : int
        Group sizes.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    pairs = n_1 * n_2
    if not 0 <= w <= pairs or (2 * w) % 1:
        what = f"W is a multiple of a half from 0 to {pairs}, printed {w:g}"
        remedy = "; the sum of ranks instead?" if w > pairs and not (2 * w) % 1 else ""
        yield "rank sum", "error", what + remedy, {"pairs": pairs}
        return
    area = w / pairs
    low, high = rank_sum_p(w, n_1, n_2)
    implied: dict[str, object] = {"auc": area, "p": high}
    text = f"W = {w:g} of {pairs} pairs: this variable alone has an AUC of {area:.3f}"
    if p is None:
        yield "rank sum", "note", text, implied
    elif p[0] > high + SLACK:
        yield "rank sum", "error", f"{text}; p is at most {high:.3g}, printed {_say(p)}", implied
    elif p[1] < low - SLACK:
        # Ties divide the standard deviation by this at least.
        needed = float(ndtri(1 - low / 2) / ndtri(1 - p[1] / 2))
        implied["sd_ratio"] = needed
        yield (
            "rank sum",
            "warning",
            f"{text}; p is {high:.3g} without ties, printed {_say(p)}: ties would have to shrink "
            f"the standard deviation of W to {needed:.0%}",
            implied,
        )
    else:
        yield "rank sum", "note", f"{text}; p = {high:.3g} agrees", implied
    if area in (0, 1):
        yield (
            "definition",
            "warning",
            "the groups don't overlap: was this variable used to define them?",
            {"auc": area},
        )


def implied_w(
    p: tuple[float, float], figures: Mapping[str, Printed | None], n_1: int, n_2: int
) -> Iterator[Found]:
    """Say which W and AUC a printed p stands for.

    Parameters
    ----------
    p : tuple of float
        Values that the printed p stands for.
    figures : mapping of str to Printed
        Means and SDs, by column.
    n_1, n_2 : int
        Group sizes.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    pairs = n_1 * n_2
    sigma = np.sqrt(pairs * (n_1 + n_2 + 1) / 12)
    m1, m2 = figures["mean_1"], figures["mean_2"]
    up = m1 is None or m2 is None or m1.value >= m2.value
    away = ndtri(1 - np.mean(p) / 2) * sigma + 0.5
    w = pairs / 2 + (away if up else -away)
    yield (
        "rank sum",
        "note",
        f"p = {_say(p)} stands for W near {w:.0f}, an AUC of {w / pairs:.3f}, without ties",
        {"w": float(w), "auc": float(w / pairs)},
    )


def t_test(
    figures: Mapping[str, Printed | None],
    t: Printed | None,
    p: tuple[float, float] | None,
    n_1: int,
    n_2: int,
    test: str | None,
) -> Iterator[Found]:
    """Compare t and p with Student's and Welch's, over all values that round as printed.

    Parameters
    ----------
    figures : mapping of str to Printed
        Means and SDs, by column.
    t : Printed or None
        Printed statistic.
    p : tuple of float or None
        Values that the printed p stands for.
    n_1, n_2 : int
        Group sizes.
    test : {"t", "welch"} or None
        Which of the two; by default either will do.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    parts = [figures[key] for key in ("mean_1", "mean_2", "sd_1", "sd_2")]
    if any(part is None for part in parts):
        return
    m1, m2, s1, s2 = (part for part in parts if part is not None)
    ranges: dict[str, tuple[float, float, float, float]] = {}
    for name in ("t", "welch"):
        if test in ("t", "welch") and name != test:
            continue
        gaps = sorted((m1.low - m2.high, m1.high - m2.low))
        spreads = [
            _standard_error(max(a, 0.0), max(b, 0.0), n_1, n_2, name)
            for a, b in ((s1.low, s2.low), (s1.high, s2.high))
        ]
        if spreads[0][0] <= 0:
            continue
        least = gaps[0] / spreads[0 if gaps[0] < 0 else 1][0]
        most = gaps[1] / spreads[1 if gaps[1] < 0 else 0][0]
        away = 0.0 if least <= 0 <= most else min(abs(least), abs(most))
        df = [spread[1] for spread in spreads]
        p_low = 2 * float(special.stdtr(max(df), -max(abs(least), abs(most))))
        p_high = 2 * float(special.stdtr(min(df), -away))
        ranges[name] = (least, most, p_low, p_high)
    if not ranges:
        return
    listed = "; ".join(
        f"{'Student' if name == 't' else 'Welch'} t {low:.2f} to {high:.2f}, p {p_low:.3g} to "
        f"{p_high:.3g}"
        for name, (low, high, p_low, p_high) in ranges.items()
    )
    fits = any(
        (t is None or t.allows(low, high) or t.allows(-high, -low))
        and (p is None or (p[0] <= p_high + SLACK and p[1] >= p_low - SLACK))
        for low, high, p_low, p_high in ranges.values()
    )
    said = [f"t {t}"] if t is not None else []
    said += [f"p {_say(p)}"] if p is not None else []
    verb = "agree with" if fits else "don't allow"
    yield (
        "t",
        "note" if fits else "error",
        f"means and SDs {verb} the printed {' and '.join(said)} ({listed})",
        dict(ranges.items()),
    )


def _standard_error(s1: float, s2: float, n_1: int, n_2: int, name: str) -> tuple[float, float]:
    """Return the standard error of a difference of means and its degrees of freedom."""
    a, b = s1**2 / n_1, s2**2 / n_2
    if name == "welch":
        lower = a**2 / (n_1 - 1) + b**2 / (n_2 - 1)
        return float(np.sqrt(a + b)), (a + b) ** 2 / lower if lower else float(n_1 + n_2 - 2)
    pooled = ((n_1 - 1) * s1**2 + (n_2 - 1) * s2**2) / (n_1 + n_2 - 2)
    return float(np.sqrt(pooled * (1 / n_1 + 1 / n_2))), float(n_1 + n_2 - 2)
