"""What published tables imply, and where they contradict themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ..errors import FormatError
from ..stats._checks import check_fraction
from ._audit.confusion import MEASURES
from ._audit.groups import COLUMNS, check_row
from ._audit.line import KINDS, Found, Line
from ._audit.printed import as_rows, printed, whole_number
from ._audit.scores import check_line, check_repeats

__all__ = ["Audit", "audit_groups", "audit_table"]

Rows = pd.DataFrame | Iterable[Mapping[str, object]]


@dataclasses.dataclass(frozen=True, repr=False)
class Audit:
    """What an audit of a published table found.

    Parameters
    ----------
    findings : pandas.DataFrame
        Columns ``row``, ``check``, ``severity``, ``message`` and ``implied`` (a dictionary
        of numbers). The severity is "error" for what can't be, "warning" for what deserves
        a question to the authors, and "note" for what follows from the printed values.
    n_rows : int
        Rows that were looked at.

    Examples
    --------
    >>> import precisionpain as pp
    >>> rows = [{"row": "model", "precision": 0.36, "recall": 0.20, "f1": 0.36}]
    >>> audit = pp.evaluation.audit_table(rows)
    >>> audit
    Audit(1 row: 1 error, 0 warnings, 0 notes)
    >>> print(audit)
    ERROR   model, f1: the mean F1 over folds is at most 0.263, from the means of precision and recall; even their arithmetic mean is only 0.285; printed 0.36
    """  # noqa: E501

    findings: pd.DataFrame
    n_rows: int

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts itself; warnings and notes may remain."""
        return not len(self.errors)

    @property
    def errors(self) -> pd.DataFrame:
        """Findings that can't be."""
        return self.findings[self.findings["severity"] == "error"]

    def implied(self, row: str, check: str) -> dict[str, object]:
        """Return the numbers of one finding.

        Parameters
        ----------
        row, check : str
            As in `findings`.

        Returns
        -------
        dict
            Of the first such finding; empty where there is none.

        Examples
        --------
        >>> import precisionpain as pp
        >>> rows = [{"row": "model", "auc": 0.56}]
        >>> audit = pp.evaluation.audit_table(rows, n=128, n_positive=55)
        >>> round(audit.implied("model", "interval")["low"], 2)
        0.46
        """
        found = self.findings
        chosen = found[(found["row"] == row) & (found["check"] == check)]
        return dict(chosen["implied"].iloc[0]) if len(chosen) else {}

    def __repr__(self) -> str:
        def some(count: int, what: str) -> str:
            return f"{count} {what}{'' if count == 1 else 's'}"

        counts = self.findings["severity"].value_counts()
        each = ", ".join(some(int(counts.get(s, 0)), s) for s in ("error", "warning", "note"))
        return f"Audit({some(self.n_rows, 'row')}: {each})"

    def __str__(self) -> str:
        lines = [
            f"{severity.upper():<7} {row}, {check}: {message}"
            for row, check, severity, message in zip(
                *(self.findings[key] for key in ("row", "check", "severity", "message")),
                strict=True,
            )
        ]
        return "\n".join(lines) or "nothing found"


def _audit(found: list[tuple[str, Found]], n_rows: int) -> Audit:
    columns = ["row", "check", "severity", "message", "implied"]
    return Audit(pd.DataFrame([(row, *rest) for row, rest in found], columns=columns), n_rows)


def audit_table(
    rows: Rows,
    *,
    n: int | None = None,
    n_positive: int | None = None,
    folds: int | None = None,
    mean_of_folds: bool = True,
    stratified: bool = False,
    digits: int = 2,
    confidence: float = 0.95,
    power: float = 0.8,
) -> Audit:
    """Ask a published table of classifiers what it implies, and whether it can be.

    A printed figure stands for all values that round to it, so that nothing is called an
    error that rounding could explain.

    Parameters
    ----------
    rows : pandas.DataFrame or list of dict
        One line of the table each, with any of ``accuracy``, ``precision``, ``recall``,
        ``f1`` and ``auc``, 0 to 1; missing ones are left out. ``row`` names the line.
        ``kind`` ("pooled", "mean of folds" or "best fold"), ``n``, ``n_positive``,
        ``n_folds``, ``stratified`` and ``digits`` override the arguments below.
    n, n_positive : int, optional
        People in the whole study, and those with the event.
    folds : int, optional
        Folds of the cross-validation, of sizes as even as they can be.
    mean_of_folds : bool, default True
        Whether lines without a kind are means over folds; else they are pooled.
    stratified : bool, default False
        Whether the folds share the people with the event out evenly.
    digits : int, default 2
        Decimals of the table, where a number shows fewer; text keeps its own.
    confidence : float, default 0.95
        Level of the intervals.
    power : float, default 0.8
        Of the test that people are needed for.

    Returns
    -------
    Audit

    Raises
    ------
    FormatError
        For an unknown column or kind, a value that isn't a number, or counts that can't be.

    Notes
    -----
    The checks, each as far as the counts are known:

    range
        Values outside 0 to 1.
    f1
        One set of people: F1 is the harmonic mean of precision P and recall R. Means over
        folds: the harmonic mean is concave, so by Jensen's inequality the mean F1 is at
        most 2PR / (P + R) of the means, hence also at most (P + R) / 2; and it is at least
        P + R − 1.
    accuracy
        Pooled: 1 − π + Rπ(2 − 1/P) at the prevalence π.
    confusion
        All integer confusion matrices that agree with every printed value of one set of
        people; the AUC must lie within recall · specificity and
        1 − (1 − recall)(1 − specificity), as the ROC curve passes through that point.
    folds
        Whether any confusion matrices of all folds together have the printed means, by
        linear and integer programming. A precision without predicted events counts as 0;
        an explanation is looked for in folds that were left out.
    swapped classes
        Means over folds whose accuracy fits precision and recall of the other class only,
        taking the folds to be alike. A hint, no proof.
    majority
        Accuracy against that of giving everybody the larger class.
    best fold
        The exact distribution of the best of the folds' AUCs without signal, from those of
        Mann and Whitney's statistic.
    interval
        Of an AUC by Hanley and McNeil, and the widest that any scores can give.
    power
        People needed to tell the AUC from 0.5.
    repeated
        Lines of one name and kind with different values, say in a table and in the text.

    What no table shows stays open: predictors that were chosen on the same people, epochs
    chosen on the test fold, or fold means that hide how differently the folds fared.

    References
    ----------
    Fazekas & Kovács, arXiv:2310.12527 (2023); Hanley & McNeil, Radiology 143, 29
    (1982); Mann & Whitney, Annals of Mathematical Statistics 18, 50 (1947); Brown &
    Heathers, Social Psychological and Personality Science 8, 363 (2017).

    Examples
    --------
    >>> import precisionpain as pp
    >>> best = {"row": "best fold", "kind": "best fold", "accuracy": 0.69, "precision": 0.56,
    ...         "recall": 0.83, "f1": 0.67, "auc": 0.78}
    >>> audit = pp.evaluation.audit_table([best], n=128, n_positive=55, folds=8)
    >>> audit.implied("best fold", "confusion")["matrices"]
    [{'tp': 5, 'fp': 4, 'fn': 1, 'tn': 6}]
    >>> f"{audit.implied('best fold', 'best fold')['p']:.2f}"
    '0.24'
    """
    check_fraction(confidence, "confidence")
    check_fraction(power, "power")
    settings = ("kind", "n", "n_positive", "n_folds", "stratified", "digits")
    default: dict[str, object] = {
        "kind": "mean of folds" if mean_of_folds else "pooled",
        "n": n,
        "n_positive": n_positive,
        "n_folds": folds,
        "stratified": stratified,
        "digits": digits,
    }
    lines = [_line(record, default) for record in as_rows(rows, (*MEASURES, *settings))]
    found = [(line.row, each) for line in lines for each in check_line(line, confidence, power)]
    return _audit(found + list(check_repeats(lines)), len(lines))


def _line(record: Mapping[str, object], default: Mapping[str, object]) -> Line:
    name = str(record["row"])

    def setting(key: str) -> object:
        value = record.get(key)
        absent = value is None or value is pd.NA or value != value or value == ""
        return default[key] if absent else value

    kind = str(setting("kind"))
    if kind not in KINDS:
        raise FormatError(f"kind is {', '.join(map(repr, KINDS))}, found {kind!r}", where=name)
    counts = {
        key: whole_number(setting(key), f"{name}, {key}", least=least)
        for key, least in (("n", 2), ("n_positive", 1), ("n_folds", 2), ("digits", 0))
    }
    n, n_positive, n_folds = counts["n"], counts["n_positive"], counts["n_folds"]
    if n is not None and n_positive is not None and n_positive >= n:
        raise FormatError(f"{n_positive} of {n} people have the event", where=name)
    if n is not None and n_folds is not None and n_folds > n:
        raise FormatError(f"{n_folds} folds of {n} people", where=name)
    figures = {
        key: printed(record.get(key), counts["digits"] or 0, f"{name}, {key}") for key in MEASURES
    }
    return Line(
        row=name,
        figures={key: figure for key, figure in figures.items() if figure is not None},
        kind=kind,
        n=n,
        n_positive=n_positive,
        n_folds=n_folds,
        stratified=str(setting("stratified")).lower() in ("true", "1", "1.0", "yes"),
    )


def audit_groups(rows: Rows, n: Sequence[int], *, digits: int = 1) -> Audit:
    """Ask a published comparison of two groups, a "Table 1", whether its lines agree.

    Parameters
    ----------
    rows : pandas.DataFrame or list of dict
        One line of the table each; ``row`` names it. Any of ``mean_1``, ``sd_1``,
        ``mean_2``, ``sd_2``, ``mean_total``, ``sd_total``; ``p`` (also as text such as
        ``"<.001"``); ``w``, Mann and Whitney's count of pairs in which the first group is
        higher, as R's ``wilcox.test`` prints it; ``t``; ``test`` ("rank sum", "t",
        "welch", "chi-square", or "sizes" for the p of the group sizes); ``counts_1``,
        ``counts_2``, ``counts_total`` per level, as ``(27, 28)`` or ``"27/28"``; ``whole``,
        True where every person's value is a whole number.
    n : sequence of two int
        People in the groups.
    digits : int, default 1
        Decimals of means and SDs, where a number shows fewer; text keeps its own.

    Returns
    -------
    Audit

    Raises
    ------
    FormatError
        For an unknown column or test, or a value that can't be read.

    Notes
    -----
    total
        Mean and SD of everybody follow from those of the groups.
    whole numbers
        The GRIM test: the mean of n whole numbers is a multiple of 1/n.
    rank sum
        W / (n₁n₂) is the AUC of that variable alone. p without ties, exact or by the normal
        approximation, is the largest that W allows.
    t
        Student's and Welch's t and their p over all means and SDs that round as printed.
    chi-square
        p of the counts with and without Yates's correction and by Fisher's test; p of the
        group sizes against equal ones.
    definition
        A variable in which the groups don't overlap was probably used to define them.

    References
    ----------
    Brown & Heathers, Social Psychological and Personality Science 8, 363 (2017); Mann &
    Whitney, Annals of Mathematical Statistics 18, 50 (1947).

    Examples
    --------
    >>> import precisionpain as pp
    >>> neck = {"row": "neck pain", "mean_1": 60.5, "sd_1": 25.4, "mean_2": 43.8, "sd_2": 28.0,
    ...         "mean_total": 51.0, "sd_total": 28.1, "p": ".001", "w": 2682}
    >>> print(pp.evaluation.audit_groups([neck], n=(55, 73)))
    NOTE    neck pain, rank sum: W = 2682 of 4015 pairs: this variable alone has an AUC of 0.668; p = 0.00118 agrees
    """  # noqa: E501
    if len(n) != 2:
        raise FormatError(f"expected the sizes of two groups, found {list(n)}", where="n")
    sizes = [whole_number(size, "n", least=2) for size in n]
    n_1, n_2 = (size for size in sizes if size is not None)
    records = as_rows(rows, COLUMNS)
    found = [
        (str(row["row"]), each) for row in records for each in check_row(row, n_1, n_2, digits)
    ]
    return _audit(found, len(records))
