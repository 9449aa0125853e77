"""The criteria of the study: who may take part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ..errors import FormatError, list_some

__all__ = ["CRITERIA", "Criterion"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Criterion:
    """One rule of inclusion over the columns of the subjects table.

    Parameters
    ----------
    name : str
        What to call it when it is switched on or off.
    label : str
        What it looks at, for the flow's line about people for whom that isn't known.
    reason : str
        The flow's line about those who don't meet it. ``{minimum:g}``, ``{maximum:g}`` and
        ``{below:g}`` stand for the limits, so that the line follows them.
    columns : tuple of str
        Columns to look at; where there are several, one that meets the rule is enough.
    minimum, maximum : float, optional
        Least and greatest value allowed, both included.
    above, below : float, optional
        The value must lie above, or below, this.
    flag : bool, optional
        The value must be this, true or false.
    missing_is_fine : bool, default False
        Whether a missing value meets the rule: an examination that was made only if needed.
    contrast : str, optional
        The column holds hours from injury to scan; where the table lacks it, the days of the
        images of this contrast are taken.

    Examples
    --------
    >>> import pandas as pd
    >>> from precisionpain.mtbi import Criterion
    >>> adult = Criterion(name="adult", label="age", reason="younger than {minimum:g}",
    ...                   columns=("age",), minimum=18)
    >>> adult.line, adult.judge([pd.Series([17, 18, None])]).tolist()
    ('younger than 18', [False, True, <NA>])
    """

    name: str
    label: str
    reason: str
    columns: tuple[str, ...]
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    flag: bool | None = None
    missing_is_fine: bool = False
    contrast: str | None = None

    def __post_init__(self) -> None:
        limits = (self.minimum, self.maximum, self.above, self.below)
        if (self.flag is None) == all(limit is None for limit in limits):
            raise FormatError(
                "a criterion needs limits (minimum, maximum, above, below) or a flag, not both",
                where=f"criterion {self.name!r}",
            )

    @property
    def line(self) -> str:
        """The flow's line about those who don't meet the rule."""
        return self.reason.format(**dataclasses.asdict(self))

    def judge(self, values: Sequence[pd.Series]) -> pd.Series:
        """Tell who meets the rule.

        Parameters
        ----------
        values : sequence of pandas.Series
            The columns, with the same index.

        Returns
        -------
        pandas.Series
            ``boolean``: true, false, or missing where that can't be told.

        Raises
        ------
        FormatError
            When a value is no number, or a flag neither true nor false.
        """
        met = self._one(values[0])
        for column in values[1:]:
            met = met | self._one(column)  # true wins over missing, missing over false
        return met.fillna(True) if self.missing_is_fine else met

    def _one(self, column: pd.Series) -> pd.Series:
        known = column.notna()
        if self.flag is not None:
            odd = column[known & ~column.isin([True, False])]
            met = column.eq(self.flag)
        else:
            numbers = pd.to_numeric(column, errors="coerce")
            odd = column[known & numbers.isna()]
            met = pd.Series(True, column.index)
            for limit, holds in (
                (self.minimum, numbers.ge),
                (self.maximum, numbers.le),
                (self.above, numbers.gt),
                (self.below, numbers.lt),
            ):
                if limit is not None:
                    met &= holds(limit).fillna(False).astype(bool)
        if len(odd):
            wanted = "numbers" if self.flag is None else "true or false"
            raise FormatError(
                f"the criterion {self.name!r} needs {wanted}, found {list_some(odd.unique())}",
                where=f"column {column.name!r}",
                remedy="declare the column when the table is read: "
                f"Column(kind={'number' if self.flag is None else 'flag'!r}, levels=...)",
            )
        return met.fillna(False).astype("boolean").mask(~known)


def _must_not(name: str, label: str, reason: str = "", missing_is_fine: bool = False) -> Criterion:
    return Criterion(
        name=name, label=label, reason=reason or label, columns=(name,), flag=False,
        missing_is_fine=missing_is_fine,
    )  # fmt: skip


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        name="vehicle_collision", label="cause of the injury", flag=True,
        reason="not injured in a vehicle collision", columns=("vehicle_collision",),
    ),
    Criterion(
        name="arrival", label="time from injury to emergency department", minimum=0, maximum=24,
        reason="came more than {maximum:g} hours after the injury", columns=("hours_to_arrival",),
    ),
    Criterion(
        name="age", label="age", reason="age outside {minimum:g}–{maximum:g} years",
        columns=("age",), minimum=18, maximum=67,
    ),
    Criterion(
        name="pain", label="early head or neck pain", reason="neither head nor neck pain",
        columns=("head_baseline", "neck_baseline"), above=0,
    ),
    Criterion(
        name="gcs", label="Glasgow Coma Scale on arrival", columns=("gcs",), minimum=13,
        reason="Glasgow Coma Scale on arrival below {minimum:g}",
    ),
    _must_not("gcs_decline", "later decline of the Glasgow Coma Scale"),
    Criterion(
        name="altered_function", label="transient alteration of brain function", flag=True,
        reason="no transient alteration of brain function", columns=("altered_function",),
    ),
    Criterion(
        name="loss_of_consciousness", label="duration of unconsciousness", below=30,
        reason="unconscious for {below:g} minutes or longer",
        columns=("loss_of_consciousness_minutes",),
    ),
    Criterion(
        name="wad", label="grade of whiplash-associated disorder", minimum=1, maximum=2,
        reason="grade of whiplash-associated disorder outside {minimum:g}–{maximum:g}",
        columns=("wad_grade",),
    ),
    _must_not("pregnant", "pregnancy", reason="pregnant"),
    # CT was made only where it was called for: without one there is no finding.
    _must_not("ct_finding", "CT", reason="traumatic brain finding on CT", missing_is_fine=True),
    _must_not("major_injury", "other major injury"),
    _must_not("prior_chronic_pain", "prior chronic head or neck pain under regular treatment"),
    _must_not("recent_injury", "head or neck injury in the year before"),
    Criterion(
        name="consent_language", label="literacy in the language of the consent form", flag=True,
        reason="can't read the language of the consent form", columns=("consent_language",),
    ),
    _must_not("convulsive_disorder", "convulsive disorder"),
    _must_not("neurodegenerative_disorder", "neurodegenerative disorder"),
    _must_not("psychotic_disorder", "disorder of the psychotic spectrum"),
    Criterion(
        name="scan", label="time of the T1-weighted scan", minimum=0, maximum=72,
        reason="no T1-weighted scan within {maximum:g} hours of the injury",
        columns=("scan_hours",), contrast="T1w",
    ),
)  # fmt: skip
"""The criteria of Attias et al. (Pain 2025), in the order in which they are asked."""
