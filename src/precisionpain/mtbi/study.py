"""Who meets the criteria of the study, and who leaves for which reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from .criteria import CRITERIA, Criterion

__all__ = ["eligibility", "select_mtbi"]

_HOURS_PER_DAY = 24


def eligibility(
    cohort: Cohort,
    rules: Sequence[str | Criterion] | None = None,
    *,
    skip: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Tell who meets which criterion of the study; nobody is left out yet.

    Parameters
    ----------
    cohort : Cohort
        Everybody who was seen.
    rules : sequence of str or Criterion, optional
        Which rules, in this order: names out of `CRITERIA`, or rules of your own. By default
        all of `CRITERIA`.
    skip : sequence of str, default ()
        Names of rules to leave out.
    columns : mapping of str to str, optional
        Name of a column in the criteria → its name in this cohort, for example
        ``{"gcs": "GCS_arrival"}``.

    Returns
    -------
    pandas.DataFrame
        One row per person, one ``boolean`` column per rule: true, false, or missing where a
        value that the rule needs isn't known.

    Raises
    ------
    MissingModalityError
        When the cohort lacks a column that a rule needs. A rule that can't be checked is
        left out by name only, never in silence.
    FormatError
        For an unknown rule or column name, or values that a rule can't judge.

    See Also
    --------
    select_mtbi : Leave out those who don't meet the rules.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> pp.mtbi.eligibility(cohort, ["age", "gcs", "wad"]).all().tolist()
    [True, True, True]
    """
    chosen = _chosen(rules, skip)
    where = _mapping(columns, chosen)
    subjects = cohort.subjects
    contrasts = set(cohort.images["contrast"])
    judged: dict[str, pd.Series] = {}
    absent: dict[str, list[str]] = {}
    for rule in chosen:
        names = [where.get(name, name) for name in rule.columns]
        lacking = [name for name in names if name not in subjects]
        if not lacking:
            judged[rule.name] = rule.judge([subjects[name] for name in names])
        elif rule.contrast in contrasts:
            judged[rule.name] = _judge_images(cohort, rule)
        else:
            absent[rule.name] = lacking
    if absent:
        wanted = [name for names in absent.values() for name in names]
        raise MissingModalityError(
            f"the criteria need the columns {list_some(wanted, 20)}, which `subjects` lacks",
            remedy="say what they are called here, columns={'gcs': 'GCS_arrival'}, or leave out "
            f"what can't be checked, skip={list(absent)}",
        )
    return pd.DataFrame(judged, index=cohort.subject_ids, dtype="boolean")


def select_mtbi(
    cohort: Cohort,
    rules: Sequence[str | Criterion] | None = None,
    *,
    skip: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    missing: Literal["exclude", "keep"] = "exclude",
) -> Cohort:
    """Keep the people who meet the study's criteria, with a line in the flow for each.

    The rules are asked in order, and a person who leaves is counted under the first one that
    isn't met. A rule that nobody fails has a line too: it was checked.

    Parameters
    ----------
    cohort : Cohort
        Everybody who was seen.
    rules, skip, columns
        See `eligibility`.
    missing : {"exclude", "keep"}, default "exclude"
        What becomes of people for whom a rule can't be judged: they leave, with a line of
        their own ("... not known"), or stay.

    Returns
    -------
    Cohort

    Raises
    ------
    MissingModalityError
        When the cohort lacks a column that a rule needs.
    FormatError
        For an unknown rule or option, or values that a rule can't judge.

    References
    ----------
    Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587, section 2.1.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> people = pd.DataFrame({"age": [17, 40, 52, 60], "gcs": [15, 12, 15, None]},
    ...                       index=["p1", "p2", "p3", "p4"])
    >>> selected = pp.mtbi.select_mtbi(pp.Cohort(people), ["age", "gcs"])
    >>> for step in selected.flow:
    ...     print(step.excluded, step.reason)
    1 age outside 18–67 years
    1 Glasgow Coma Scale on arrival below 13
    1 Glasgow Coma Scale on arrival not known
    """
    if missing not in ("exclude", "keep"):
        raise FormatError(f"missing is 'exclude' or 'keep', found {missing!r}")
    met = eligibility(cohort, rules, skip=skip, columns=columns)
    for rule in _chosen(rules, skip):
        left = met.loc[cohort.subject_ids, rule.name]
        cohort = cohort.select(left.index[left.fillna(True).astype(bool)], rule.line)
        unknown = left.isna()
        if missing == "exclude" and unknown.any():
            known = left.index[left.fillna(False).astype(bool)]
            cohort = cohort.select(known, f"{rule.label} not known")
    return cohort


def _chosen(rules: Sequence[str | Criterion] | None, skip: Sequence[str]) -> list[Criterion]:
    if isinstance(rules, str) or isinstance(skip, str):
        raise FormatError(
            f"`rules` and `skip` are lists of names, found {rules if skip == () else skip!r}"
        )
    known = {rule.name: rule for rule in CRITERIA}
    given: list[str | Criterion] = list(CRITERIA if rules is None else rules)
    names = [rule.name if isinstance(rule, Criterion) else rule for rule in given]
    unknown = [r for r in given if not isinstance(r, Criterion) and r not in known]
    unknown += [name for name in skip if name not in {*known, *names}]
    if unknown:
        raise FormatError(
            f"no criterion is called {list_some(unknown)}",
            remedy=f"the criteria are {list_some(known, 20)}",
        )
    if len(set(names)) < len(names):
        raise FormatError(f"a criterion is given twice: {list_some(names, 20)}")
    return [
        rule if isinstance(rule, Criterion) else known[rule]
        for rule, name in zip(given, names, strict=True)
        if name not in skip
    ]


def _mapping(columns: Mapping[str, str] | None, chosen: list[Criterion]) -> dict[str, str]:
    known = {name for rule in (*CRITERIA, *chosen) for name in rule.columns}
    unknown = [name for name in columns or {} if name not in known]
    if unknown:
        raise FormatError(
            f"no criterion looks at {list_some(unknown)}",
            where="columns",
            remedy=f"the left sides are {list_some(sorted(known), 30)}",
        )
    return dict(columns or {})


def _judge_images(cohort: Cohort, rule: Criterion) -> pd.Series:
    """Judge the hours from injury to scan by the day of each person's images."""
    images = cohort.images
    images = images[(images["contrast"] == rule.contrast) & images["present"].astype(bool)]
    days = cohort.visits.groupby(["subject_id", "visit"])["day"].min()
    keys = pd.MultiIndex.from_frame(images[["subject_id", "visit"]])
    # The nominal day of a visit would say nothing of this person's scan.
    hours = pd.Series(_HOURS_PER_DAY * days.reindex(keys).to_numpy(dtype=float), images.index)
    met = rule.judge([hours])
    people = images["subject_id"].to_numpy()
    # One scan in time is enough; without it, a scan of unknown day leaves the question open.
    in_time = met.fillna(False).astype(bool).groupby(people).any()
    unknown = met.isna().groupby(people).any()
    verdict = in_time.astype("boolean").mask(~in_time & unknown)
    return verdict.reindex(cohort.subject_ids, fill_value=False)
