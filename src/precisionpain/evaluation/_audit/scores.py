"""What one line of a table of classifiers implies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pandas as pd

from .confusion import MEASURES, agreeing, describe
from .folds import audit_folds, fold_sizes
from .implied import best_of_folds, interval, majority, sizes_in_words
from .line import Found, Line
from .printed import SLACK

__all__ = ["check_line", "check_repeats"]

# Enumerating the matrices of more people takes too much memory.
_MOST_PEOPLE, _MOST_WITHOUT_POSITIVES = 4000, 300


def check_line(line: Line, confidence: float, power: float) -> Iterator[Found]:
    """Look for contradictions in one line, then say what it implies.

    Parameters
    ----------
    line : Line
        What was printed.
    confidence : float
        Level of the intervals.
    power : float
        Of the test that people are needed for.

    Yields
    ------
    tuple
        Check, severity, message, implied values.
    """
    outside = list(_range(line))
    yield from outside
    if outside:
        return  # nothing follows from impossible values
    yield from _f1(line)
    if line.kind == "pooled":
        yield from _pooled_accuracy(line)
        yield from _pooled_matrices(line)
    elif line.kind == "mean of folds":
        yield from _folds(line)
        yield from _swapped(line)
    else:
        yield from best_of_folds(line, confidence)
    if line.kind != "best fold":
        yield from majority(line)
        yield from interval(line, confidence, power)


def check_repeats(lines: list[Line]) -> Iterator[tuple[str, Found]]:
    """Look for lines of one name and kind that were printed with different values.

    Parameters
    ----------
    lines : list of Line
        The whole table.

    Yields
    ------
    tuple
        Name of the row, and what was found.
    """
    for one, two in itertools.combinations(lines, 2):
        if (one.row, one.kind) != (two.row, two.kind):
            continue
        for name in MEASURES:
            a, b = one.figures.get(name), two.figures.get(name)
            if a is not None and b is not None and not a.allows(b.low, b.high):
                yield (
                    one.row,
                    (
                        "repeated",
                        "error",
                        f"{name} is printed as {a} and as {b}",
                        {"values": (a.value, b.value)},
                    ),
                )


def _range(line: Line) -> Iterator[Found]:
    for name, figure in line.figures.items():
        if figure.high < 0 or figure.low > 1:
            hint = "; per cent? divide by 100" if 1 < figure.value <= 100 else ""
            yield (
                "range",
                "error",
                f"{name} lies between 0 and 1, printed {figure}{hint}",
                {"value": figure.value},
            )


def _harmonic(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0


def _f1(line: Line) -> Iterator[Found]:
    if not {"f1", "precision", "recall"} <= set(line.figures):
        return
    f1, precision, recall = (line.figures[name] for name in ("f1", "precision", "recall"))
    p, r = (max(0.0, figure.low) for figure in (precision, recall))
    top_p, top_r = (min(1.0, figure.high) for figure in (precision, recall))
    high = _harmonic(top_p, top_r)
    at = _harmonic(precision.value, recall.value)
    if line.kind != "mean of folds":
        low = _harmonic(p, r)
        if not f1.allows(low, high):
            yield (
                "f1",
                "error",
                f"F1 is the harmonic mean of precision and recall, {at:.3f} ({low:.3f} to "
                f"{high:.3f}), printed {f1}",
                {"f1": at, "low": low, "high": high},
            )
        return
    low = max(0.0, p + r - 1)
    if not f1.allows(low, high):
        side = f"at most {high:.3f}" if f1.low > high else f"at least {low:.3f}"
        arithmetic = (top_p + top_r) / 2
        both = (
            f"; even their arithmetic mean is only {arithmetic:.3f}" if f1.low > arithmetic else ""
        )
        yield (
            "f1",
            "error",
            f"the mean F1 over folds is {side}, from the means of precision and recall{both}; "
            f"printed {f1}",
            {"low": low, "high": high, "arithmetic": arithmetic},
        )


def _accuracy(precision: float, recall: float, prevalence: float) -> float:
    """1 − π + Rπ(2 − 1/P): TP = Rπ and FP = TP(1 − P)/P of everybody."""
    return 1 - prevalence + recall * prevalence * (2 - 1 / precision)


def _pooled_accuracy(line: Line) -> Iterator[Found]:
    share = line.prevalence
    if share is None or not {"precision", "recall"} <= set(line.figures):
        return
    precision, recall = line.figures["precision"], line.figures["recall"]
    if precision.low <= 0:
        return
    # The formula rises with P and is linear in R, so that its extremes are at the corners.
    corners = [
        _accuracy(p, r, share)
        for p in (precision.low, min(1.0, precision.high))
        for r in (max(0.0, recall.low), min(1.0, recall.high))
    ]
    low, high = min(corners), max(corners)
    at = _accuracy(precision.value, recall.value, share)
    implied: dict[str, object] = {"accuracy": at, "low": low, "high": high}
    most = min(1.0, precision.high)
    if max(0.0, recall.low) * share * (1 - most) / most > 1 - share + SLACK:
        yield (
            "accuracy",
            "error",
            f"precision {precision} and recall {recall} need more false positives than there are "
            f"people without the event ({1 - share:.0%})",
            implied,
        )
    elif "accuracy" in line.figures and not line.figures["accuracy"].allows(low, high):
        yield (
            "accuracy",
            "error",
            f"precision, recall and {share:.0%} with the event give an accuracy of {at:.3f} "
            f"({low:.3f} to {high:.3f}), printed {line.figures['accuracy']}",
            implied,
        )


def _pooled_matrices(line: Line) -> Iterator[Found]:
    most = _MOST_WITHOUT_POSITIVES if line.n_positive is None else _MOST_PEOPLE
    if line.n is None or line.n > most or len(line.figures) < 2:
        return
    positive = None if line.n_positive is None else [line.n_positive]
    severity, text, implied = describe(agreeing(line.figures, [line.n], positive))
    yield "confusion", severity, text, implied


def _folds(line: Line) -> Iterator[Found]:
    if line.n is None or line.n_positive is None or line.n_folds is None or not line.figures:
        return
    sizes = fold_sizes(line.n, line.n_folds)
    found = audit_folds(line.figures, sizes, line.n_positive, stratified=line.stratified)
    of = f"{line.n_folds} folds of {sizes_in_words(sizes)} with {line.n_positive} events in all"
    if line.stratified:
        of += ", shared out evenly"
    low, high = found.accuracy
    implied: dict[str, object] = {
        "state": found.state,
        "clash": found.clash,
        "accuracy": found.accuracy,
        "example": pd.DataFrame(found.example, columns=["tp", "fp", "fn", "tn"]),
    }
    known = (
        f"; the other means allow a mean accuracy of {low:.2f} to {high:.2f}" if low == low else ""
    )
    if found.state == "impossible":
        extra = f"; {found.explanation}" if found.explanation else ""
        yield (
            "folds",
            "error",
            f"no {of} have these {', '.join(found.clash)}{known}{extra}",
            implied,
        )
    elif found.state == "possible":
        yield "folds", "note", f"{of} can have these means{known}", implied
    elif found.state == "undecided":
        yield "folds", "note", f"no {of} were found with these means, nor ruled out{known}", implied


def _swapped(line: Line) -> Iterator[Found]:
    share = line.prevalence
    if share is None or not {"accuracy", "precision", "recall"} <= set(line.figures):
        return
    accuracy, precision, recall = (
        line.figures[name].value for name in ("accuracy", "precision", "recall")
    )
    if precision <= 0:
        return
    as_printed = _accuracy(precision, recall, share)
    swapped = _accuracy(precision, recall, 1 - share)
    if abs(as_printed - accuracy) > 0.05 and abs(swapped - accuracy) < 0.02:
        yield (
            "swapped classes",
            "warning",
            f"in folds that are alike, precision and recall of the event give an accuracy of "
            f"{as_printed:.2f}, those of its absence {swapped:.2f}; printed "
            f"{line.figures['accuracy']}: was the other class taken as positive?",
            {"accuracy": as_printed, "swapped": swapped},
        )
