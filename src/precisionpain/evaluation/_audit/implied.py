"""What one line of a table of classifiers implies, even where nothing contradicts it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from scipy.special import ndtri

from ...stats import wilson
from .chance import auc_se, auc_se_bound, best_fold, people_needed
from .confusion import agreeing, describe
from .folds import fold_positives, fold_sizes
from .line import Found, Line

__all__ = ["best_of_folds", "interval", "majority", "sizes_in_words"]

# Enumerating the matrices of a larger fold takes too much memory.
_MOST_PEOPLE = 300


def best_of_folds(line: Line, confidence: float) -> Iterator[Found]:
    """Say which confusion matrix the best fold had, and how often chance does as well.

    Parameters
    ----------
    line : Line
        What was printed.
    confidence : float
        Level of the interval.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    if line.n is None or line.n_folds is None:
        return
    sizes = fold_sizes(line.n, line.n_folds)
    positive: list[int] | None = None
    if line.n_positive is not None:
        most = line.n_positive
        positive = (
            fold_positives(most, line.n_folds)
            if line.stratified
            else list(range(min(most, max(sizes)) + 1))
        )
    found = None
    if len(line.figures) > 1 and max(sizes) <= _MOST_PEOPLE:
        fitting = [
            [m for m in positive if m <= n] if positive else None for n in sorted(set(sizes))
        ]
        found = pd.concat(
            [
                agreeing(line.figures, [n], allowed)
                for n, allowed in zip(sorted(set(sizes)), fitting, strict=True)
            ],
            ignore_index=True,
        )
        severity, text, implied = describe(found)
        yield "confusion", severity, f"{text} (a fold of {sizes_in_words(sizes)})", implied
    auc = line.figures.get("auc")
    if auc is None or line.n_positive is None:
        return
    reached = auc.value
    if found is not None and len(found):
        classes = {(tp + fn, fp + tn) for tp, fp, fn, tn in found.itertuples(index=False)}
        if len(classes) == 1:
            m, n = (int(value) for value in classes.pop())
            # Without ties the fold has whole numbers of pairs won; take the nearest.
            reached = round(auc.value * m * n) / (m * n) if m and n else reached
            if not auc.allows(reached, reached):
                reached = auc.value
            yield from _interval_of(reached, m, n, confidence, "of that fold alone")
    positives = fold_sizes(line.n_positive, line.n_folds) if line.stratified else None
    if positives is not None:
        # The larger folds of a stratified split aren't those with more events.
        positives = sorted(positives, reverse=True)
    null = best_fold(reached, sizes, line.n_positive, positives=positives)
    yield (
        "best fold",
        "warning" if null.p_value > 0.05 else "note",
        f"without any signal the best of {line.n_folds} folds has a mean AUC of {null.mean:.2f} "
        f"and reaches {reached:.3f} in {null.p_value:.0%} of studies",
        {"auc": reached, "mean": null.mean, "p": null.p_value},
    )


def sizes_in_words(sizes: list[int]) -> str:
    """Write the different sizes of folds.

    Parameters
    ----------
    sizes : list of int
        One per fold.

    Returns
    -------
    str

    Examples
    --------
    >>> sizes_in_words([16, 16, 15])
    '15 or 16'
    """
    return " or ".join(str(size) for size in sorted(set(sizes)))


def majority(line: Line) -> Iterator[Found]:
    """Compare the accuracy with that of giving everybody the larger class.

    Parameters
    ----------
    line : Line
        What was printed.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    share = line.prevalence
    if share is None or line.n is None or "accuracy" not in line.figures:
        return
    accuracy, most = line.figures["accuracy"], max(share, 1 - share)
    low, high = wilson(round(accuracy.value * line.n), line.n)
    implied: dict[str, object] = {"majority": most, "low": low, "high": high}
    if accuracy.high < most:
        text = f"accuracy {accuracy} is below that of giving everybody the larger class, {most:.3f}"
        yield "majority", "warning", text, implied
    elif low <= most:
        text = (
            f"accuracy {accuracy} ({low:.2f} to {high:.2f}) can't be told from naming everybody's "
            f"majority class, {most:.3f}"
        )
        yield "majority", "note", text, implied


def _interval_of(auc: float, m: int, n: int, confidence: float, what: str) -> Iterator[Found]:
    z = float(ndtri((1 + confidence) / 2))
    limits = [
        (max(0.0, auc - z * se), min(1.0, auc + z * se))
        for se in (auc_se(auc, m, n), auc_se_bound(auc, m, n))
    ]
    (low, high), (lowest, highest) = limits
    yield (
        "interval",
        "note",
        f"AUC {auc:.2f} {what} with {m} and {n} people: {confidence:.0%} CI {low:.2f} to "
        f"{high:.2f} (at the very widest {lowest:.2f} to {highest:.2f})",
        {"low": low, "high": high, "lowest": lowest, "highest": highest},
    )


def interval(line: Line, confidence: float, power: float) -> Iterator[Found]:
    """Give the interval of an AUC, and the people needed to tell it from 0.5.

    Parameters
    ----------
    line : Line
        What was printed.
    confidence : float
        Level of the interval.
    power : float
        Of that test.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    auc, share = line.figures.get("auc"), line.prevalence
    if auc is None or share is None or line.n is None or line.n_positive is None:
        return
    what = "pooled" if line.kind == "pooled" else "taken as pooled"
    found = list(
        _interval_of(
            min(1.0, auc.value), line.n_positive, line.n - line.n_positive, confidence, what
        )
    )
    yield from found
    far = float(ndtri((1 + confidence) / 2)) * auc_se(
        min(1.0, auc.value), line.n_positive, line.n - line.n_positive
    )
    if 0.005 < abs(auc.value - 0.5) <= far:
        needed = people_needed(auc.value, share, power=power, alpha=1 - confidence)
        yield (
            "power",
            "note",
            f"telling an AUC of {auc} from 0.5 with {power:.0%} power takes {needed} people, not "
            f"{line.n}",
            {"n": needed},
        )
