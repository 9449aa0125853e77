"""Chronic pain a year after the injury, and Table 1 of the study."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from ..cohort import Cohort, Column, Outcome
from ..errors import DataWarning, FormatError, MissingModalityError, list_some
from ..stats import TableOne, format_p, goodness_of_fit

__all__ = ["TABLE_ONE_COLUMNS", "chronic_pain", "study_table"]

TABLE_ONE_COLUMNS: tuple[str, ...] = (
    "age",
    "sex",
    "head_baseline",
    "neck_baseline",
    "max_baseline",
    "head_12mo",
    "neck_12mo",
    "max_12mo",
)
"""What Table 1 of Attias et al. (Pain 2025) describes, in its order."""

_GROUPS = {1.0: "chronic pain", 0.0: "recovery"}
_SCALE = (0, 100)


def chronic_pain(
    cohort: Cohort,
    *,
    threshold: float = 30.0,
    columns: Sequence[str] | None = None,
    table: str | None = None,
    visit: str = "month12",
    missing: Literal["unknown", "known"] = "unknown",
    name: str = "chronic_pain",
) -> Cohort:
    """Define chronic pain: mean pain of head or neck of at least 30 of 100 a year later.

    Parameters
    ----------
    cohort : Cohort
        The people.
    threshold : float, default 30.0
        Least rating of moderate pain, on the scale of the ratings (0 to 100).
    columns : sequence of str, optional
        The ratings, one per place. By default ``head_12mo`` and ``neck_12mo`` of `subjects`,
        or ``head_mean`` and ``neck_mean`` of `table`.
    table : str, optional
        A measurement table that holds the ratings, for example ``"pain_ratings"``. Several
        ratings of one person at the visit are averaged.
    visit : str, default "month12"
        Which visit of the table, if it tells visits apart.
    missing : {"unknown", "known"}, default "unknown"
        Where a place has no rating, and no other place reaches the threshold: the outcome is
        unknown, or judged by the known ratings alone. A known rating at the threshold is
        chronic pain in either case.
    name : str, default "chronic_pain"
        Name of the outcome.

    Returns
    -------
    Cohort
        With the outcome, and the column ``<name>_rating`` that it is read from: the larger of
        the ratings, missing where the outcome is. The ratings can't predict any more.

    Raises
    ------
    MissingModalityError
        When a column, table or visit is absent.
    FormatError
        When a rating is no number, or lies outside 0 to 100.

    Warns
    -----
    DataWarning
        When ratings seem to be given on a scale from 0 to 10, below a threshold for 0 to 100.

    References
    ----------
    Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587, section 2.1.1.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> people = pd.DataFrame({"head_12mo": [0, 10, 45, 12], "neck_12mo": [29, 30, None, None]},
    ...                       index=["p1", "p2", "p3", "p4"])
    >>> cohort = pp.mtbi.chronic_pain(pp.Cohort(people))
    >>> cohort.outcome("chronic_pain").tolist()
    [0.0, 1.0, 1.0, nan]
    """
    if missing not in ("unknown", "known"):
        raise FormatError(f"missing is 'unknown' or 'known', found {missing!r}")
    ratings = _ratings(cohort, columns, table, visit)
    worst = ratings.max(axis=1)
    if worst.max() <= 10 < threshold:
        warnings.warn(
            f"no rating is above 10, and the threshold is {threshold:g}: on a scale from 0 to 10 "
            "it would be a tenth of that",
            DataWarning,
            stacklevel=2,
        )
    if missing == "unknown":
        worst = worst.mask((worst < threshold) & ratings.isna().any(axis=1))
    column = f"{name}_rating"
    places = " or ".join(ratings.columns)
    rating = Column(
        kind="number", role="outcome", unit="0-100", minimum=_SCALE[0], maximum=_SCALE[1],
        reason=f"it defines {name}", description=f"the larger of {places}",
    )  # fmt: skip
    defined = cohort.with_columns(worst.to_frame(column), {column: rating}).with_outcome(
        name,
        Outcome(column=column, at_least=threshold, description=f"{places} at least {threshold:g}"),
    )
    if table is not None:
        return defined
    return defined.without_predictors(list(ratings.columns), reason=f"it defines {name}")


def _ratings(
    cohort: Cohort, columns: Sequence[str] | None, table: str | None, visit: str
) -> pd.DataFrame:
    """Return one rating per person and place."""
    if isinstance(columns, str):
        raise FormatError(f"`columns` is a list of names, found {columns!r}")
    if table is None:
        names = list(columns or ("head_12mo", "neck_12mo"))
        source, where = cohort.subjects, "subjects"
    else:
        names = list(columns or ("head_mean", "neck_mean"))
        source, where = cohort.measurements[table], f"measurements[{table!r}]"
        if "visit" in source:
            seen = source["visit"].unique()
            source = source[source["visit"] == visit]
            if source.empty:
                raise MissingModalityError(
                    f"{where} has no visit {visit!r}",
                    remedy=f"visits are {list_some(seen, 12) or 'not there'}",
                )
        source = source.set_index("subject_id")
    absent = [name for name in names if name not in source]
    if absent:
        raise MissingModalityError(
            f"{where} has no ratings {list_some(absent)}",
            remedy="say where they are: columns=[...], or table=... for repeated ratings",
        )
    numbers = source[names].apply(pd.to_numeric, errors="coerce").astype(float)
    odd = source[names].notna() & (numbers.isna() | (numbers < _SCALE[0]) | (numbers > _SCALE[1]))
    if odd.any(axis=None):
        raise FormatError(
            f"ratings are numbers from {_SCALE[0]} to {_SCALE[1]}, "
            f"found {list_some(pd.unique(source[names].to_numpy()[odd.to_numpy()]))}",
            where=where,
        )
    if table is not None:
        numbers = numbers.groupby(level=0).mean()
    return numbers.reindex(cohort.subject_ids)


def study_table(
    cohort: Cohort,
    outcome: str = "chronic_pain",
    columns: Sequence[str] | None = None,
    *,
    digits: int = 1,
) -> TableOne:
    """Return Table 1 as the study shows it: chronic pain beside recovery.

    Parameters
    ----------
    cohort : Cohort
        The people.
    outcome : str, default "chronic_pain"
        A binary outcome; people for whom it isn't known are left out.
    columns : sequence of str, optional
        What to describe. By default those of `TABLE_ONE_COLUMNS` that the cohort has; the
        others are named in the notes.
    digits : int, default 1
        Decimals of numbers.

    Returns
    -------
    TableOne
        Mean ± SD or counts; for numbers Wilcoxon's rank-sum test as R's ``wilcox.test``
        gives it, for categories χ² (2 × 2: with Yates's correction). ``statistic`` of a
        number is R's W, that is Mann and Whitney's U: the pairs in which the person with
        chronic pain has the higher value. ``auc`` is that over the number of pairs. The first
        row tests whether the groups are of equal size.

    Raises
    ------
    MissingModalityError
        When the outcome or a column is absent.
    FormatError
        When the outcome isn't binary, or only one group has people.

    Examples
    --------
    >>> import precisionpain as pp
    >>> table = pp.mtbi.study_table(pp.datasets.sample_mtbi())
    >>> table.tests[["auc", "p_value"]].loc["neck_baseline"].round(3).tolist()
    [0.668, 0.001]
    """
    values = cohort.outcome(outcome)
    if isinstance(values, pd.DataFrame) or not values.dropna().isin(list(_GROUPS)).all():
        raise FormatError(f"the outcome {outcome!r} isn't binary")
    known = values.dropna()
    sizes = [int((known == event).sum()) for event in _GROUPS]
    if 0 in sizes:
        raise FormatError(f"Table 1 needs people of both groups, found {sizes[0]} and {sizes[1]}")
    by = pd.Series(
        pd.Categorical(values.map(_GROUPS), categories=list(_GROUPS.values())),
        index=values.index,
        name=outcome,
    )
    names = list(columns or TABLE_ONE_COLUMNS)
    absent = [name for name in names if name not in cohort.subjects]
    names = [name for name in names if name not in absent]
    if absent and (columns is not None or not names):
        raise MissingModalityError(
            f"`subjects` has no columns {list_some(absent, 12)}",
            remedy="name those that it has: columns=[...]",
        )
    plain = cohort.table_one(
        by, names, units={}, labels={}, summary="mean", digits=digits, smd=False
    )
    return _with_sizes(_with_auc(plain), sizes, absent)


def _with_auc(table: TableOne) -> TableOne:
    """Add W over the number of pairs."""
    raw = table.raw[table.raw["group"].isin(_GROUPS.values())]
    # The lines of a category repeat its number of known values.
    known = raw.drop_duplicates(["variable", "group"]).set_index(["variable", "group"])["n"]
    pairs = known.groupby(level="variable").prod()
    is_rank = table.tests["test"].str.startswith("rank-sum")
    auc = (table.tests["statistic"] / pairs.reindex(table.tests.index)).where(is_rank)
    tests = table.tests.copy()
    tests.insert(list(tests).index("statistic") + 1, "auc", auc)
    frame = table.frame.copy()
    text = frame["variable"].map(auc.map(lambda a: "" if pd.isna(a) else f"{a:.3f}"))
    first = frame["variable"] != frame["variable"].shift()
    frame.insert(list(frame).index("statistic") + 1, "auc", text.where(first, ""))
    return dataclasses.replace(table, frame=frame, tests=tests)


def _with_sizes(table: TableOne, sizes: list[int], absent: list[str]) -> TableOne:
    """Add the line of group sizes, and what the cohort lacks."""
    total = sum(sizes)
    fit = goodness_of_fit(sizes)
    name, test = "patients", "chi-square, equal sizes"
    cells = [*(f"{size} ({size / total:.1%})" for size in sizes), str(total)]
    headers = [str(column) for column in table.frame]
    groups = [header for header in headers if "(n = " in header]
    row: dict[str, Any] = dict.fromkeys(headers, "") | dict(zip(groups, cells, strict=True))
    row |= {
        "variable": name, "level": "n", "missing": 0, "test": test,
        "statistic": f"{fit.statistic:.3f}", "p_value": format_p(fit.p_value),
    }  # fmt: skip
    frame = pd.concat([pd.DataFrame([row]), table.frame], ignore_index=True)
    sizes_test = pd.DataFrame(
        [{"test": test, "statistic": fit.statistic, "p_value": fit.p_value, "note": ""}],
        index=pd.Index([name], name="variable"),
    )
    tests = pd.concat([sizes_test, table.tests])[list(table.tests)]
    notes = (*table.notes, *(f"Not in this cohort: {name}." for name in absent))
    return dataclasses.replace(table, frame=frame, tests=tests, notes=notes)
