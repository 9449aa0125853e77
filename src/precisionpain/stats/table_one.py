"""Table 1: who the people are, by group."""

from __future__ import annotations

import dataclasses
import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..errors import FormatError, list_some
from ._checks import as_numbers
from .contingency import chi_square
from .effects import rank_sum, standardized_mean_difference

__all__ = ["TableOne", "format_p", "table_one"]

_NUMBERS = ("number", "integer", "duration", "ordinal")
_CATEGORIES = ("category", "flag")
_LEFT_OUT = ("text", "date")
_NOTHING = "–"


def format_p(p_value: float) -> str:
    """Write a p-value as journals do.

    Parameters
    ----------
    p_value : float
        0 to 1, or NaN.

    Returns
    -------
    str
        Three decimals, ``"<0.001"``, or an empty string for NaN.

    Examples
    --------
    >>> format_p(0.0347), format_p(2e-9)
    ('0.035', '<0.001')
    """
    if np.isnan(p_value):
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


@dataclasses.dataclass(frozen=True, repr=False)
class TableOne:
    """A table of characteristics, formatted and as numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        Formatted text, one row per number and per level of a category: ``variable``,
        ``level``, one column per group with its size in the header, overall, ``missing``
        (a count), and on the first row of a variable ``statistic``, ``p_value``, ``smd``
        and ``test``.
    raw : pandas.DataFrame
        The same as numbers, one row per variable, level and group: ``n`` (known values),
        ``missing``, ``mean``, ``sd``, ``median``, ``q1``, ``q3``, ``minimum``,
        ``maximum``, ``count`` and ``share``.
    tests : pandas.DataFrame
        One row per variable: ``test``, ``statistic``, ``p_value``, ``smd`` (largest
        absolute one between any two groups) and ``note`` (why something is NaN, or
        doubtful).
    notes : tuple of str
        What was left out and why; printed below the table.
    """

    frame: pd.DataFrame
    raw: pd.DataFrame
    tests: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _display(self) -> pd.DataFrame:
        shown = self.frame.copy()
        shown["missing"] = shown["missing"].map(lambda n: str(n) if n else "")
        first = shown["variable"] != shown["variable"].shift()
        shown["variable"] = shown["variable"].where(first, "")
        shown["missing"] = shown["missing"].where(first, "")
        return shown

    def __str__(self) -> str:
        return "\n".join([self._display().to_string(index=False), *self.notes])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        table = self._display().to_html(index=False, border=0)
        return table + "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """Write the formatted table as CSV.

        Parameters
        ----------
        path : str or Path, optional
            Where to; by default the text is returned.

        Returns
        -------
        str or None
        """
        return self.frame.to_csv(path, index=False)

    def to_markdown(self) -> str:
        """Return the formatted table as Markdown, with the notes below.

        Returns
        -------
        str
        """
        shown = self._display().astype(str)
        lines = [list(shown.columns), ["---"] * shown.shape[1], *shown.values.tolist()]
        rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines]
        return "\n".join([*rows, *(f"\n{note}" for note in self.notes)])


@dataclasses.dataclass(frozen=True)
class _Test:
    test: str = ""
    statistic: float = np.nan
    p_value: float = np.nan
    smd: float = np.nan
    note: str = ""


def _infer_kind(values: pd.Series) -> str:
    known = values.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "date"
    inferred = pd.api.types.infer_dtype(known, skipna=True)
    if inferred == "boolean":
        return "flag"
    if pd.api.types.is_numeric_dtype(values) or inferred in ("integer", "floating"):
        return "flag" if len(known) and known.isin([0, 1]).all() else "number"
    return "text" if known.nunique() > max(20, len(known) / 2) else "category"


def _levels(values: pd.Series, kind: str) -> list[Any]:
    if kind == "flag":
        return [1]
    if isinstance(values.dtype, pd.CategoricalDtype):
        return list(values.cat.categories)
    levels = list(values.dropna().unique())
    try:
        return sorted(levels)
    except TypeError:
        return sorted(levels, key=str)


def _pairwise_smd(parts: list[Any], kind: Literal["number", "category"]) -> float:
    pairs = itertools.combinations(parts, 2)
    return max(abs(standardized_mean_difference(a, b, kind=kind)) for a, b in pairs)


_TOO_FEW_GROUPS = _Test(note="not tested: fewer than two groups")


def _test_numbers(parts: list[NDArray[np.float64]], names: list[str]) -> _Test:
    if len(names) < 2:
        return _TOO_FEW_GROUPS
    few = [name for name, part in zip(names, parts, strict=True) if len(part) < 2]
    if few:
        return _Test(note=f"not tested: fewer than 2 values in {list_some(few)}")
    smd = _pairwise_smd(parts, "number")
    if np.ptp(np.concatenate(parts)) == 0:
        return _Test(smd=smd, note="not tested: all values are equal")
    if len(parts) == 2:
        found = rank_sum(*parts)
        return _Test("rank-sum (W)", found.w, found.p_value, smd)
    statistic, p_value = stats.kruskal(*parts)
    return _Test("Kruskal-Wallis (H)", float(statistic), float(p_value), smd)


def _test_categories(values: pd.Series, codes: NDArray[np.intp], names: list[str]) -> _Test:
    if len(names) < 2:
        return _TOO_FEW_GROUPS
    parts = [values[(codes == g) & values.notna()].astype(object) for g in range(len(names))]
    empty = [name for name, part in zip(names, parts, strict=True) if part.empty]
    if empty:
        return _Test(note=f"not tested: no values in {list_some(empty)}")
    smd = _pairwise_smd(parts, "category")
    levels = pd.unique(pd.concat(parts))
    if len(levels) < 2:
        return _Test(smd=smd, note="not tested: everybody has the same value")
    table = [[int((part == level).sum()) for part in parts] for level in levels]
    found = chi_square(table)
    if not np.isnan(found.fisher_p):
        return _Test("Fisher exact", np.nan, found.fisher_p, smd)
    note = "an expected count is below 5: p is doubtful" if found.small_expected else ""
    name = "chi-square, Yates" if found.yates else "chi-square"
    return _Test(name, found.statistic, found.p_value, smd, note)


def _describe_numbers(part: NDArray[np.float64]) -> dict[str, float]:
    if not len(part):
        return {}
    q1, median, q3 = np.quantile(part, [0.25, 0.5, 0.75])
    return {
        "mean": part.mean(),
        "sd": part.std(ddof=1) if len(part) > 1 else np.nan,
        "median": median,
        "q1": q1,
        "q3": q3,
        "minimum": part.min(),
        "maximum": part.max(),
    }


def _format_numbers(digits: int, use_median: bool) -> Callable[[dict[str, Any]], str]:
    def cell(record: dict[str, Any]) -> str:
        if "mean" not in record:
            return _NOTHING
        text = {key: f"{record[key]:.{digits}f}" for key in ("mean", "sd", "median", "q1", "q3")}
        if use_median:
            return f"{text['median']} [{text['q1']}, {text['q3']}]"
        spread = _NOTHING if np.isnan(record["sd"]) else text["sd"]
        return f"{text['mean']} ± {spread}"

    return cell


def _format_count(record: dict[str, Any]) -> str:
    return f"{record['count']} ({record['share']:.1%})" if record["n"] else _NOTHING


def _format_statistic(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def _is_skewed(numbers: NDArray[np.float64]) -> bool:
    if len(numbers) < 3 or np.ptp(numbers) == 0:
        return False
    return bool(abs(stats.skew(numbers, bias=False)) > 1)


def _groups(
    frame: pd.DataFrame, by: str | None
) -> tuple[pd.DataFrame, NDArray[np.intp], list[str], list[str]]:
    """Return the people with a group, the group of each, the names, and notes."""
    if by is None:
        return frame, np.zeros(len(frame), dtype=np.intp), [], []
    if by not in frame.columns:
        raise FormatError(f"the table lacks the column {by!r} to group by")
    known = frame[by].notna().to_numpy()
    lost = int((~known).sum())
    notes = [f"{lost} without a value of {by!r} left out."] if lost else []
    people = frame.loc[known]
    order = _levels(people[by], "category")
    names = [str(level) for level in order]
    if len(set(names) | {"overall"}) <= len(names):
        raise FormatError(f"group names must differ, and from 'overall': found {list_some(names)}")
    codes = pd.Categorical(people[by], categories=order).codes.astype(np.intp)
    return people, codes, names, notes


def table_one(
    frame: pd.DataFrame,
    by: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    summary: Literal["auto", "mean", "median"] = "auto",
    digits: int = 1,
    overall: bool = True,
    p_values: bool = True,
    smd: bool = True,
) -> TableOne:
    """Describe people, overall and by group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per person.
    by : str, optional
        Column with the group. Its order is that of a categorical, else sorted; W counts
        the pairs in which the first group is higher.
    columns : sequence of str, optional
        What to describe, in this order; by default all columns but `by`.
    kinds : mapping, optional
        Column → ``"number"``, ``"integer"``, ``"duration"``, ``"ordinal"``,
        ``"category"``, ``"flag"``, ``"text"`` or ``"date"``. By default inferred: 0/1 and
        true/false are flags, other numbers numbers, text a category (unless more than 20
        and more than half of the values differ). Text and dates are left out and listed
        in the notes.
    labels, units : mapping, optional
        Column → name to show; column → unit to show after it.
    summary : {"auto", "mean", "median"}, default "auto"
        Mean ± SD or median [quartiles] for numbers. ``auto`` takes the median for
        ordinal columns and where the sample skewness of all people together is beyond
        ±1.
    digits : int, default 1
        Decimals of numbers.
    overall : bool, default True
        Whether to show a column for everybody.
    p_values, smd : bool, default True
        Whether to show tests and standardised mean differences (only with `by`).

    Returns
    -------
    TableOne
        Shares are of the known values; missing ones have a line of their own.

    Raises
    ------
    FormatError
        For unknown columns or kinds, infinite numbers, or a flag that is neither true nor
        false.

    Notes
    -----
    Numbers are compared by `rank_sum` (two groups) or Kruskal & Wallis (more), categories
    by `chi_square` with Yates's correction in 2 × 2 tables, or by Fisher's exact test
    where such a table has an expected count below 5. A test that can't be done leaves NaN
    and its reason in ``tests.note`` and below the table.

    Examples
    --------
    >>> import pandas as pd
    >>> people = pd.DataFrame({"group": ["a", "a", "a", "b", "b", "b"],
    ...                        "age": [31, 45, 52, 38, 41, 60],
    ...                        "sex": ["f", "m", "f", "f", "m", None]})
    >>> table = table_one(people, "group", units={"age": "years"}, p_values=False, smd=False)
    >>> print(table.to_markdown())
    | variable | level | a (n = 3) | b (n = 3) | overall (n = 6) | missing |
    | --- | --- | --- | --- | --- | --- |
    | age, years | mean ± SD | 42.7 ± 10.7 | 46.3 ± 11.9 | 44.5 ± 10.3 |  |
    | sex | f | 2 (66.7%) | 1 (50.0%) | 3 (60.0%) | 1 |
    |  | m | 1 (33.3%) | 1 (50.0%) | 2 (40.0%) |  |
    |  | missing | 0 | 1 | 1 |  |
    """
    if summary not in ("auto", "mean", "median"):
        raise FormatError(f"summary is 'auto', 'mean' or 'median', found {summary!r}")
    kinds, labels, units = dict(kinds or {}), dict(labels or {}), dict(units or {})
    if not frame.columns.is_unique:
        raise FormatError("two columns of the table have the same name")
    chosen = [c for c in frame.columns if c != by] if columns is None else list(columns)
    absent = [c for c in [*chosen, *kinds] if c not in frame.columns]
    if absent:
        raise FormatError(f"the table lacks the columns {list_some(absent)}")
    allowed = (*_NUMBERS, *_CATEGORIES, *_LEFT_OUT)
    odd = [kind for kind in kinds.values() if kind not in allowed]
    if odd:
        raise FormatError(f"a kind is one of {list_some(allowed, 8)}, found {list_some(odd)}")

    people, codes, names, notes = _groups(frame, by)
    masks = {name: codes == g for g, name in enumerate(names)}
    if overall or by is None:
        masks["overall"] = np.ones(len(people), dtype=bool)
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    rows: list[list[Any]] = []
    raw: list[dict[str, Any]] = []
    tests: dict[str, _Test] = {}
    for name in chosen:
        values = people[name]
        kind = kinds.get(name) or _infer_kind(values)
        if kind in _LEFT_OUT:
            notes.append(f"{name!r} left out: {kind}.")
            continue
        label = str(labels.get(name, name)) + (f", {units[name]}" if name in units else "")
        if any(row[0] == label for row in rows):
            raise FormatError(f"two columns are labelled {label!r}")
        missing = values.isna().to_numpy()
        base = {
            group: {"n": int((mask & ~missing).sum()), "missing": int((mask & missing).sum())}
            for group, mask in masks.items()
        }
        lines: dict[str, dict[str, dict[str, Any]]] = {}
        if kind in _NUMBERS and not isinstance(values.dtype, pd.CategoricalDtype):
            numbers = np.full(len(values), np.nan)
            numbers[~missing] = as_numbers(values[~missing].to_numpy(), f"column {name!r}")
            use_median = summary == "median" or (
                summary == "auto" and (kind == "ordinal" or _is_skewed(numbers[~missing]))
            )
            lines["median [quartiles]" if use_median else "mean ± SD"] = {
                group: base[group] | _describe_numbers(numbers[mask & ~missing])
                for group, mask in masks.items()
            }
            form = _format_numbers(digits, use_median)
            if by is not None:
                parts = [numbers[(codes == g) & ~missing] for g in range(len(names))]
                tests[label] = _test_numbers(parts, names)
        else:
            if kind == "flag":
                numbers = as_numbers(values[~missing].to_numpy(), f"column {name!r}")
                if not np.isin(numbers, (0, 1)).all():
                    raise FormatError("a flag is true or false", where=f"column {name!r}")
            for level in _levels(values, kind):
                has = (values == level).fillna(False).to_numpy(dtype=bool)
                counts = {group: int((mask & has).sum()) for group, mask in masks.items()}
                lines["yes" if kind == "flag" else str(level)] = {
                    group: base[group] | {"count": k, "share": k / max(1, base[group]["n"])}
                    for group, k in counts.items()
                }
            form = _format_count
            if by is not None:
                tests[label] = _test_categories(values, codes, names)
        total = int(missing.sum())
        for level, records in lines.items():
            rows.append([label, level, *(form(record) for record in records.values()), total])
            raw += [
                {"variable": label, "level": level, "group": group, **record}
                for group, record in records.items()
            ]
        if total or not lines:
            cells = (str(record["missing"]) for record in base.values())
            rows.append([label, "missing", *cells, total])
    headers = [f"{name} (n = {size})" for name, size in sizes.items()]
    table = pd.DataFrame(rows, columns=["variable", "level", *headers, "missing"])
    results = pd.DataFrame(
        [dataclasses.asdict(test) for test in tests.values()],
        index=pd.Index(list(tests), name="variable"),
        columns=[field.name for field in dataclasses.fields(_Test)],
    )
    if by is not None:
        _attach(table, results, p_values, smd)
        shown = results["note"] if p_values else results["note"].iloc[:0]
        notes += [f"{label}: {note}." for label, note in shown.items() if note]
    return TableOne(table, pd.DataFrame(raw), results, tuple(notes))


def _attach(table: pd.DataFrame, results: pd.DataFrame, p_values: bool, smd: bool) -> None:
    """Write the tests as text into the first row of each variable."""
    first = table["variable"] != table["variable"].shift()

    def place(column: str, text: Callable[[Any], str]) -> None:
        formatted = table["variable"].map(results[column].map(text))
        table[column] = formatted.where(first, "")

    if p_values:
        place("statistic", _format_statistic)
        place("p_value", format_p)
    if smd:
        place("smd", lambda value: "" if np.isnan(value) else f"{value:.3f}")
    if p_values:
        place("test", str)
