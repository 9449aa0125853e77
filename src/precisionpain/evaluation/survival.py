"""Cross-validation of a model of the time to an event."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..cohort import Cohort, Outcome
from ..errors import AlignmentError, DataWarning, FormatError, PrecisionPainError, list_some
from ..stats import clip_horizons, kaplan_meier
from ._survival_metrics import Predicted
from .clinical_survival import ClinicalCox
from .crossval import _Folds, _model_name, _refuse_known, _splits, _without_sources, by_key
from .splits import Split
from .survival_result import SurvivalResult

__all__ = ["cross_validate_survival"]

YEAR = 365.25
_GRID = 30


def cross_validate_survival(
    model: Any,
    cohort: Cohort,
    outcome: str | Outcome | pd.DataFrame | np.ndarray,
    cv: Any = None,
    *,
    times: Sequence[float] = (YEAR, 2 * YEAR, 5 * YEAR),
    name: str | None = None,
    baseline: Any = "clinical",
    allow: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 500,
    keep_models: bool = False,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> SurvivalResult:
    """Cross-validate a model of the time to an event, by person, beside the clinical baseline.

    The model is fitted on the training people of each fold and sees only what was known by
    the landmark (`Cohort.known_at_index`). People without the outcome leave, with a line in
    the flow. Folds have equal shares of events.

    Parameters
    ----------
    model : estimator
        With ``fit(X, y)``, ``predict(X)`` (risk, higher for an earlier event) and
        ``predict_survival(X, times)``, where X is a Cohort and y a DataFrame with the columns
        ``time`` and ``event``; for example `precisionpain.fusion.survival_model`.
    cohort : Cohort
        The people.
    outcome : str, Outcome, pandas.DataFrame or array-like of shape (n, 2)
        Name of a survival outcome, its definition, ``time`` and ``event`` by key (index as
        ``cohort.index``), or these two per row in order. NaN means unknown.
    cv : int, splitter, iterable of (train, test) or SurvivalResult, optional
        Default ``SubjectKFold(5)``. A result means the same folds again.
    times : sequence of float, default (365.25, 730.5, 1826.25)
        Horizons, in the unit of the outcome (by default 1, 2 and 5 years in days).
    name : str, optional
        Name of the model in tables and figures.
    baseline : "clinical", estimator, SurvivalResult or None, default "clinical"
        What to compare with, in the same folds: "clinical" is `ClinicalCox`, left out when the
        model is one or the cohort has no predictors.
    allow : sequence of str, default ()
        Names of columns, visits, assays or tables that may predict although they come after the
        index event.
    confidence : float, default 0.95
        Of all intervals.
    n_bootstrap : int, default 500
        Resamples of people.
    keep_models : bool, default False
        Keep the fitted model of each fold.
    n_jobs : int, optional
        Folds in parallel, as joblib takes it.
    random_state : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    SurvivalResult
        With ``frame()``, ``summary()``, ``calibration()``, ``risk_groups()``, ``compare()``,
        ``plot()`` and more.

    Raises
    ------
    LeakageError
        As `cross_validate`.
    FormatError
        When the outcome isn't one of survival, nobody has the event, rows aren't people, or the
        model has no ``predict_survival``.

    Warns
    -----
    DataWarning
        When a horizon is beyond the follow-up of the training people of some fold: it is moved
        back to its end, see `SurvivalResult.horizons`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=100)
    >>> result = pp.evaluation.cross_validate_survival(
    ...     pp.evaluation.ClinicalCox(["age", "sex"]), cohort, "recurrence", cv=3,
    ...     times=[365, 730], baseline=None)
    >>> len(result.frame())
    3
    """
    analysed, y, label = _with_survival(cohort, outcome)
    time, event = y["time"].to_numpy(), y["event"].to_numpy() == 1
    _refuse_known(model, analysed)
    splitter, splits = _same_folds(cv, analysed) or _splits(cv, analysed, event.astype(int))
    horizons, notes = _horizons(times, time, event, splits)
    if notes:
        warnings.warn(notes[0], DataWarning, stacklevel=2)
    last = float(horizons["time"].max())
    moments = np.union1d(np.linspace(last / _GRID, last, _GRID), horizons["time"])
    visible = _without_sources(analysed, outcome).known_at_index(allow=allow)

    from joblib import Parallel, delayed

    done = Parallel(n_jobs=n_jobs)(
        delayed(_fit_one)(model, visible, y, train, test, number, moments, keep_models)
        for number, (train, test) in enumerate(splits)
    )
    predicted, models = map(list, zip(*done, strict=True))
    base = _baseline(baseline, model, visible)
    if base is not None and not isinstance(base, SurvivalResult):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # of the horizons, as above
            base = cross_validate_survival(
                base, analysed, y, _Folds(splitter, splits), times=times, baseline=None,
                name="clinical baseline" if isinstance(baseline, str) else "baseline",
                allow=allow, confidence=confidence, n_bootstrap=n_bootstrap, n_jobs=n_jobs,
                random_state=random_state,
            )  # fmt: skip
    result = SurvivalResult(
        name=name or _model_name(model),
        outcome=label,
        cohort=analysed,
        y=y,
        splits=splits,
        splitter=splitter,
        predicted=predicted,
        moments=moments,
        horizons=horizons,
        notes=notes,
        models=models if keep_models else [],
        baseline=base,
        allow=allow,
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        random_state=random_state,
    )
    if base is not None:
        result.compare(base)  # refuses a baseline of other folds now, not later
    return result


def _with_survival(cohort: Cohort, outcome: Any) -> tuple[Cohort, pd.DataFrame, str]:
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if cohort.unit != "subject":
        raise FormatError(
            f"people have one time each; found a cohort of {cohort.unit}s",
            remedy="give the cohort of people",
        )
    label = "outcome"
    if isinstance(outcome, str):
        label, values = outcome, cohort.outcome(outcome)
    elif isinstance(outcome, Outcome):
        label = outcome.description or "outcome"
        values = outcome.values(cohort.subjects)
    elif isinstance(outcome, pd.DataFrame):
        values = by_key(outcome, cohort)
    else:
        table = np.asarray(outcome)
        if table.ndim != 2 or table.shape[1] != 2:
            raise FormatError(
                f"expected time and event of each person, found the shape {table.shape}",
                remedy="give a DataFrame with the columns 'time' and 'event'",
            )
        if len(table) != len(cohort):
            raise AlignmentError(
                f"the outcome has {len(table)} values for {len(cohort)} rows",
                remedy="give a DataFrame indexed by subject_id",
            )
        values = pd.DataFrame(table, cohort.index, ["time", "event"])
    if not isinstance(values, pd.DataFrame) or not {"time", "event"} <= set(values.columns):
        raise FormatError(
            f"{label!r} isn't an outcome of survival: it has no time and event",
            remedy="define one: cohort.with_outcome(name, kind='survival', time=..., event=...)",
        )
    y = values[["time", "event"]].astype(float)
    known = y.notna().all(axis=1).to_numpy()
    flags = y.loc[known, "event"]
    if not flags.isin((0.0, 1.0)).all():
        raise FormatError(
            f"an event is 0 or 1, found {list_some(sorted(set(flags) - {0.0, 1.0}))}",
            remedy="other causes end the follow-up: give 0 for them",
        )
    if not (flags == 1).any():
        raise FormatError(f"nobody of {int(known.sum())} people has the event of {label!r}")
    if not known.all():
        cohort = cohort._recorded(f"no {label}", cohort[known])
    return cohort, y[known], label


def _same_folds(cv: Any, cohort: Cohort) -> tuple[Any, list[Split]] | None:
    if not isinstance(cv, SurvivalResult):
        return None
    if not cv.cohort.index.equals(cohort.index):
        raise AlignmentError("the folds to use again are of other people")
    return cv.splitter, cv.splits


def _horizons(
    times: Sequence[float], time: np.ndarray, event: np.ndarray, splits: list[Split]
) -> tuple[pd.DataFrame, list[str]]:
    """Move horizons back to where the training people of every fold were followed to."""
    parts = [clip_horizons(times, time, event)]
    parts += [clip_horizons(times, time[train], event[train]) for train, _ in splits]
    clipped = np.min([part["time"] for part in parts], axis=0)
    table = pd.DataFrame(
        {
            "time": clipped,
            "clipped": clipped < parts[0].index,
            "n_at_risk": (time[None, :] >= clipped[:, None]).sum(axis=1),
        },
        parts[0].index,
    )
    late = table[table["clipped"]]
    if late.empty:
        return table, []
    asked = ", ".join(f"{t:g}" for t in late.index)
    return table, [
        f"the horizons {asked} are beyond the follow-up of some training people, and were moved "
        f"to {clipped.max():g}, to which {int(late['n_at_risk'].min())} of {len(time)} were "
        "followed"
    ]


def _fit_one(
    model: Any,
    cohort: Cohort,
    y: pd.DataFrame,
    train: np.ndarray,
    test: np.ndarray,
    number: int,
    moments: np.ndarray,
    keep: bool,
) -> tuple[Predicted, Any]:
    if not (y["event"].iloc[train] == 1).any():
        raise FormatError(
            f"nobody of the training people of fold {number} has the event",
            remedy="use fewer folds, or a stratified splitter",
        )
    fitted = clone(model).fit(cohort[train], y.iloc[train])
    if not hasattr(fitted, "predict_survival"):
        raise FormatError(
            f"{type(model).__name__} has no predict_survival",
            remedy="use a model of precisionpain.fusion.survival_model",
        )
    risk = np.asarray(fitted.predict(cohort[test]), dtype=float)
    survival = np.asarray(fitted.predict_survival(cohort[test], moments), dtype=float)
    if not (np.isfinite(risk).all() and np.isfinite(survival).all()):
        raise PrecisionPainError(f"the model predicts no number in fold {number}")
    curve = kaplan_meier(y["time"].iloc[train], y["event"].iloc[train])
    flat = curve.at(moments)["survival"].to_numpy()
    predicted = Predicted(risk, survival, np.tile(flat, (len(test), 1)), np.full(len(test), number))
    return predicted, fitted if keep else None


def _baseline(baseline: Any, model: Any, cohort: Cohort) -> Any:
    if baseline is None or not isinstance(baseline, str):
        return baseline
    if baseline != "clinical":
        raise FormatError(f"baseline is 'clinical', a model, a result or None: {baseline!r}")
    return None if isinstance(model, ClinicalCox) or not cohort.predictors else ClinicalCox()
