"""For whom a model holds: its figures by sex, age, site and the like."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..errors import FormatError, SampleSizeWarning, list_some
from ._fairness.differences import against, gaps
from ._fairness.groups import membership
from ._fairness.measures import COLUMNS, measure
from .result import CVResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FairnessTable", "subgroups"]

_DEFAULT = ("sex", "age", "site", "ethnicity")


@dataclasses.dataclass(frozen=True, repr=False)
class FairnessTable:
    """Figures of a model by group.

    Parameters
    ----------
    table : pandas.DataFrame
        Index (by, group), the first row ("all", "everybody"): ``n`` (rows), ``events``,
        ``judged``, ``why`` (not, or empty), ``prevalence``, ``predicted`` (mean probability),
        ``auc`` (DeLong), ``observed_expected`` (calibration in the large, ideal 1),
        ``calibration_slope`` (ideal 1), ``sensitivity``, ``specificity``, ``ppv`` (Wilson) and
        ``brier``; ``_low`` and ``_high`` are the limits. Figures of groups that are too small
        are missing.
    differences : pandas.DataFrame
        Index (by, group, metric): ``against``, ``value``, ``other``, ``difference``,
        ``ci_low``, ``ci_high`` (bootstrap of people within their group).
    gaps : pandas.DataFrame
        Index (by, metric): the widest gap between judged groups, ``lowest``, ``highest``,
        ``gap``, ``p_value`` (exchanged labels), ``p_adjusted`` (Holm).
    warnings : tuple of str
        What to keep in mind.
    name, outcome : str
        Model and outcome.
    threshold, confidence : float
        Of the rates, and of the intervals.
    synthetic : bool
        Whether the people are made up.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    gaps: pd.DataFrame
    warnings: tuple[str, ...]
    name: str
    outcome: str
    threshold: float
    confidence: float
    synthetic: bool

    def plot(self, metric: str = "auc", *, ax: Any = None) -> Axes:
        """Draw one figure with its interval, group by group.

        Parameters
        ----------
        metric : str, default "auc"
            "auc", "observed_expected", "calibration_slope", "sensitivity", "specificity" or
            "ppv".
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
            Groups that are too small to judge are named, without a mark.
        """
        from ._fairness.figures import forest

        return forest(self, metric, ax)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format="{:.2f}".format, na_rep=""))

    def __repr__(self) -> str:
        shown = self.table[["n", "events", "auc", "auc_low", "auc_high", "observed_expected",
                            "sensitivity", "specificity", "why"]]  # fmt: skip
        title = f"FairnessTable: {self.name} predicts {self.outcome}"
        return "\n".join([
            title + (" – SYNTHETIC DATA" if self.synthetic else ""),
            shown.round(2).to_string(na_rep="–"),
            *self.warnings,
        ])  # fmt: skip


def subgroups(
    result: CVResult,
    by: Sequence[str] | None = None,
    *,
    age_bands: Sequence[float] = (50, 65),
    min_people: int = 20,
    min_events: int = 5,
    reference: Literal["rest", "largest"] = "rest",
    threshold: float | None = None,
    n_bootstrap: int = 1000,
    n_permutations: int = 1000,
    random_state: int = 0,
) -> FairnessTable:
    """Tell for whom a model holds.

    Parameters
    ----------
    result : CVResult
        Out-of-fold predictions. Over several repeats each figure and each limit is the mean.
    by : sequence of str, optional
        Columns of `subjects`; by default those of "sex", "age", "site" and "ethnicity" that
        there are. A missing value is a group of its own; nobody is dropped.
    age_bands : sequence of float, default (50, 65)
        Where bands of the column "age" begin, in years.
    min_people, min_events : int, default 20 and 5
        Groups with fewer people, or with fewer with or without the event, aren't judged.
    reference : {"rest", "largest"}, default "rest"
        Whom each group is compared with: everybody else, or the largest group.
    threshold : float, optional
        Probability from which on a prediction counts as positive; by default the result's.
    n_bootstrap, n_permutations : int, default 1000
        Resamples of people for the differences, and exchanges of labels for the gaps.
    random_state : int, default 0
        Seed of both.

    Returns
    -------
    FairnessTable

    Raises
    ------
    FormatError
        When the result is none, a column has too many different numbers, or an option makes no
        sense.
    MissingModalityError
        When the cohort lacks a column of `by`.

    Warns
    -----
    SampleSizeWarning
        When groups are too small to judge.

    Notes
    -----
    An interval that holds 0, or a gap with a large p, is no proof of fairness: with 30 people
    in a group an AUC is known within ± 0.2. Labels are exchanged among people of the same
    outcome for AUC, sensitivity and specificity, and among all for the others, whose gaps can
    also come from groups that differ in risk. PPV and the Brier score differ between groups
    with different prevalence even under a perfect model, and equal rates, equal PPV and
    calibration can't hold together there [1]_.

    References
    ----------
    .. [1] Chouldechova A. Fair prediction with disparate impact. Big Data 2017;5:153.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=400)
    >>> result = pp.evaluation.cross_validate(
    ...     pp.evaluation.clinical_model(), cohort, "mvd_response", baseline=None)
    >>> found = pp.evaluation.subgroups(result, by=["sex"], n_permutations=100)
    >>> found.table.index.tolist()
    [('all', 'everybody'), ('sex', 'female'), ('sex', 'male')]
    """
    if not isinstance(result, CVResult):
        raise FormatError(f"expected a CVResult, found {type(result).__name__}")
    if isinstance(by, str):
        by = [by]
    if reference not in ("rest", "largest"):
        raise FormatError(f"reference is 'rest' or 'largest', found {reference!r}")
    if min(n_bootstrap, n_permutations, min_people, min_events) < 1:
        raise FormatError("n_bootstrap, n_permutations, min_people, min_events are 1 or more")
    cut = result.threshold if threshold is None else float(threshold)
    labels = membership(
        result.cohort, _DEFAULT if by is None else list(by), age_bands, skip_absent=by is None
    )
    # Somebody whom no fold tested has no prediction to judge.
    tested = ~np.isnan(result._table).all(axis=1)
    y, table = result.y[tested], result._table[tested]
    people = np.asarray(result.cohort.groups)[tested]
    labels = {
        name: groups[tested].cat.remove_unused_categories() for name, groups in labels.items()
    }

    def too_small(inside: np.ndarray) -> str:
        n, with_event = len(np.unique(people[inside])), int(y[inside].sum())
        without = int(inside.sum()) - with_event
        if n < min_people:
            return f"{n} people, fewer than {min_people}"
        if min(with_event, without) < min_events:
            word = "with" if with_event < without else "without"
            return f"{min(with_event, without)} {word} the event, fewer than {min_events}"
        return ""

    groups_of = {("all", "everybody"): np.ones(len(y), dtype=bool)}
    for name, groups in labels.items():
        groups_of |= {(name, str(g)): (groups == g).to_numpy() for g in groups.cat.categories}
    rows: list[dict[str, Any]] = []
    for inside in groups_of.values():
        why = too_small(inside)
        row: dict[str, Any] = {
            "n": int(inside.sum()), "events": int(y[inside].sum()), "judged": not why,
            "why": why, "prevalence": float(y[inside].mean()),
        }  # fmt: skip
        rows.append(row | ({} if why else _figures(y, table, inside, cut, result.confidence)))
    keys = pd.MultiIndex.from_tuples(list(groups_of), names=["by", "group"])
    frame = pd.DataFrame(rows, keys, [*rows[0], *(c for c in COLUMNS if c not in rows[0])])
    sizes = {
        key: row["n"] if row["judged"] else 0 for key, row in zip(groups_of, rows, strict=True)
    }
    notes = _notes(result, frame)
    if not frame["judged"].all():
        warnings.warn(SampleSizeWarning(notes[0]), stacklevel=2)
    shared: dict[str, Any] = {
        "people": people, "threshold": cut, "random_state": random_state,
    }  # fmt: skip
    return FairnessTable(
        table=frame,
        differences=against(
            y, table, labels, sizes, reference=reference, confidence=result.confidence,
            n_bootstrap=n_bootstrap, too_small=too_small, **shared,
        ),
        gaps=gaps(y, table, labels, sizes, n_permutations=n_permutations, **shared),
        warnings=tuple(notes),
        name=result.name,
        outcome=result.outcome,
        threshold=cut,
        confidence=result.confidence,
        synthetic=result.cohort.synthetic,
    )  # fmt: skip


def _figures(
    y: np.ndarray, table: np.ndarray, inside: np.ndarray, threshold: float, confidence: float
) -> dict[str, float]:
    """Return the figures of a group, the mean over the repeats."""
    each = []
    for column in table.T:
        who = inside & ~np.isnan(column)
        both = 0 < y[who].sum() < who.sum()
        each.append(
            measure(y[who], column[who], threshold=threshold, confidence=confidence, both=both)
        )
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def _notes(result: CVResult, frame: pd.DataFrame) -> list[str]:
    notes = []
    small = frame.index[~frame["judged"]]
    if len(small):
        named = list_some([f"{by} {group}" for by, group in small], 8)
        notes.append(f"{len(small)} groups are too small to judge: {named}")
    if result.cohort.unit != "subject":
        notes.append(
            "people have several rows: the intervals of AUC, rates and slope are too narrow; "
            "those of the differences aren't"
        )
    notes.append("no difference found is no proof of fairness; look at the intervals")
    return notes
