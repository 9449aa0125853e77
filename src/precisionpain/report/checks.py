"""What a careful reader would look for in a cohort before modelling it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..cohort import Cohort, Outcome
from ..errors import list_some
from ._leaks import seen_by_a_model, signs
from ._people import look_alikes, spelled_alike

__all__ = ["check_cohort"]

Row = tuple[str, str, str, int, str]


def check_cohort(
    cohort: Cohort,
    outcome: str | Outcome | pd.Series | Sequence[float] | np.ndarray | None = None,
    *,
    site: str = "site",
    much_missing: float = 0.3,
    rare: int = 5,
) -> pd.DataFrame:
    """Look a cohort through before modelling it.

    Duplicate ids or visits are not looked for: a `Cohort` can't hold any. One person under two
    ids is: spelt otherwise, with the same values, or with the same scan.

    With an `outcome`, signs of leaks are looked for in all that a model may see: a single column
    that tells the outcome (AUC of 0.95 or more), data that only one class has, sites, plates,
    scanners or headers of files that differ between the classes, and ids, rows or dates that are
    sorted by them. Each of these four holds its false alarms to 1% (Holm), whatever the number of
    columns. They ask for a look, as not every such sign is a leak. Assays of more than
    50 million values, as of single cells, aren't looked at for values.

    Parameters
    ----------
    cohort : Cohort
        The people who are to be analysed.
    outcome : str, Outcome, pandas.Series or array-like, optional
        A binary outcome, as `precisionpain.evaluation.cross_validate` takes it.
    site : str, default "site"
        Column of ``subjects`` with the site, if there is one.
    much_missing : float, default 0.3
        Share of missing values from which on a predictor deserves a look.
    rare : int, default 5
        Levels with fewer people deserve a look: `ClinicalFeatures` gives them no column.

    Returns
    -------
    pandas.DataFrame
        Columns ``check``, ``item`` (a column, visit, contrast or site; empty for the whole),
        ``state`` ("ok", "look" or "note"), ``n`` (people, columns or files concerned) and
        ``finding``. Holds no subject id; rows are positions in the cohort.

    Raises
    ------
    FormatError
        When the outcome isn't binary or has one class only, or is given for rows that
        aren't people.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> people = pd.DataFrame({"age": [61.0, 48.0, 55.0], "centre": ["A", "A", "A"]},
    ...                       index=["p1", "p2", "p3"])
    >>> checks = check_cohort(pp.Cohort(people))
    >>> checks[checks.state == "look"].item.tolist()
    ['centre']
    """
    rows: list[Row] = []
    checks: list[tuple[str, str, Iterator[tuple[str, int, str]]]] = [
        ("missing values", "look", _missing(cohort, much_missing)),
        ("the same for everybody", "look", _constant(cohort)),
        ("rare levels", "look", _rare(cohort, rare)),
        ("beyond the plausible range", "look", _implausible(cohort)),
        ("far from the others", "look", _far(cohort)),
        ("visits without a place in time", "look", _undated(cohort)),
        ("images not on disk", "look", _absent_images(cohort)),
        ("sites", "look", _sites(cohort, site)),
        ("ids spelt alike", "look", spelled_alike(cohort)),
        ("one person under two ids", "look", look_alikes(cohort)),
        ("columns that can't predict", "note", _barred(cohort)),
    ]
    if outcome is not None:
        seen, y = seen_by_a_model(cohort, outcome)
        checks += [(title, "look", found) for title, found in signs(seen, y, site)]
    for title, state, found in checks:
        listed = [(title, item, state, n, text) for item, n, text in found]
        rows += listed or [(title, "", "ok", 0, "none")]
    return pd.DataFrame(rows, columns=["check", "item", "state", "n", "finding"])


def _missing(cohort: Cohort, most: float) -> Iterator[tuple[str, int, str]]:
    frame = cohort.predictor_frame()
    for name, count in frame.isna().sum().items():
        if len(frame) and count / len(frame) >= most:
            yield str(name), int(count), f"{count} of {len(frame)} ({count / len(frame):.0%})"


def _constant(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    frame = cohort.predictor_frame()
    for name in map(str, frame):
        known = frame[name].dropna()
        if known.nunique() == 1:
            yield name, len(known), f"always {known.iloc[0]!s}; it can tell nobody apart"
        elif known.empty:
            yield name, 0, "no value at all"


def _rare(cohort: Cohort, fewest: int) -> Iterator[tuple[str, int, str]]:
    frame, columns = cohort.predictor_frame(), cohort.columns
    for name in map(str, frame):
        if str(columns[name].kind) not in ("category", "flag"):
            continue
        counts = frame[name].value_counts()
        few = counts[counts < fewest]
        if len(few) and len(counts) > 1:
            text = ", ".join(f"{level} {n}" for level, n in few.head(6).items())
            more = f" and {len(few) - 6} more" if len(few) > 6 else ""
            yield name, int(few.sum()), f"{text}{more}"


def _numbers(cohort: Cohort) -> Iterator[tuple[str, np.ndarray]]:
    frame, columns = cohort.subjects, cohort.columns
    for name in map(str, frame):
        if str(columns[name].kind) in ("number", "integer", "duration", "ordinal"):
            values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan)
            yield name, values


def _implausible(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    for name, values in _numbers(cohort):
        record = cohort.columns[name]
        low = 0.0 if record.kind == "duration" and record.minimum is None else record.minimum
        beyond = np.zeros(len(values), dtype=bool)
        if low is not None:
            beyond |= values < low
        if record.maximum is not None:
            beyond |= values > record.maximum
        if beyond.any():
            unit = f" {record.unit}" if record.unit else ""
            limits = f"{'' if low is None else f'{low:g}'} to "
            limits += "" if record.maximum is None else f"{record.maximum:g}"
            yield name, int(beyond.sum()), f"{int(beyond.sum())} outside {limits.strip()}{unit}"


def _far(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    for name, values in _numbers(cohort):
        if name not in cohort.predictors:
            continue
        known = values[~np.isnan(values)]
        if len(known) < 20:
            continue
        middle = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - middle)))
        # A column that is mostly one value has no spread to measure distance by.
        if spread == 0:
            continue
        far = np.abs(known - middle) > 6 * spread
        if far.any():
            yield (
                name,
                int(far.sum()),
                (
                    f"{int(far.sum())} more than 6 robust SDs from the median of {middle:g}, up to "
                    f"{known[far][np.argmax(np.abs(known[far] - middle))]:g}"
                ),
            )


def _undated(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    schedule = cohort.schedule
    for visit, row in schedule[schedule["phase"] == "unknown"].iterrows():
        yield (
            str(visit),
            int(row["subjects"]),
            (
                "neither its days nor its name tell whether it precedes the index event; its data "
                "count as known before"
            ),
        )


def _absent_images(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    images = cohort.images
    for contrast, rows in images.groupby("contrast", sort=False):
        absent = int((~rows["present"]).sum())
        if absent:
            yield str(contrast), absent, f"{absent} of {len(rows)} files are listed only"


def _sites(cohort: Cohort, site: str) -> Iterator[tuple[str, int, str]]:
    subjects = cohort.subjects
    if site not in subjects:
        return
    unknown = int(subjects[site].isna().sum())
    if unknown:
        yield site, unknown, f"{unknown} people without a site"
    counts = subjects[site].value_counts()
    if len(counts) > 1 and counts.iloc[0] > 2 * counts.iloc[-1]:
        text = ", ".join(f"{name} {n}" for name, n in counts.head(8).items())
        yield site, int(counts.iloc[-1]), f"unequal: {text}"


def _barred(cohort: Cohort) -> Iterator[tuple[str, int, str]]:
    table = cohort.dictionary
    for role, why in (
        ("outcome", "outcomes, or known only after the index event"),
        ("truth", "hidden truth of synthetic data"),
        ("note", "free text or bookkeeping"),
        ("unused", "left out when reading, with a reason"),
    ):
        names = list(table.index[table["role"] == role])
        if names:
            yield "", len(names), f"{why}: {list_some(names, 12)}"
    able = set(cohort.predictors)
    rest = [
        name
        for name, row in table.iterrows()
        if row["role"] == "predictor" and name not in able and row["reason"]
    ]
    if rest:
        yield "", len(rest), f"recorded after the index event: {list_some(rest, 12)}"
