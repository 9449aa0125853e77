"""Cross-validation of a model on a Cohort, with what an honest report needs beside it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ..cohort import Cohort, Outcome
from ..errors import AlignmentError, FormatError, LeakageError, PrecisionPainError, list_some
from .clinical import clinical_model, same_model
from .result import CVResult
from .splits import Split, SubjectKFold, check_splits

__all__ = ["cross_validate"]


def cross_validate(
    model: Any,
    cohort: Cohort,
    outcome: str | Outcome | pd.Series | Sequence[float] | np.ndarray,
    cv: Any = None,
    *,
    name: str | None = None,
    baseline: Any = "clinical",
    allow: Sequence[str] = (),
    threshold: float = 0.5,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    n_permutations: int = 20,
    keep_models: bool = False,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> CVResult:
    """Cross-validate a model of a binary outcome, by subject, beside the clinical baseline.

    The model is fitted on the training people of each fold and sees only what was known by
    the landmark (`Cohort.known_at_index`). People without the outcome leave, with a line in
    the flow. Intervals, permutations and the sample-size verdict are computed when they are
    first read, and then kept.

    Parameters
    ----------
    model : estimator
        A scikit-learn classifier whose X is a Cohort, for example `clinical_model`.
    cohort : Cohort
        The people.
    outcome : str, Outcome, pandas.Series or array-like
        Name of a binary outcome, its definition, values by key (index as ``cohort.index``)
        or one value per row in order. NaN means unknown.
    cv : int, splitter, iterable of (train, test) or CVResult, optional
        Default ``SubjectKFold(5)``. A `CVResult` means the same folds again.
    name : str, optional
        Name of the model in tables and figures.
    baseline : "clinical", estimator, CVResult or None, default "clinical"
        What to compare with, in the same folds: "clinical" is the ridge on all clinical
        predictors, left out when `model` is just that or the cohort has no predictors.
    allow : sequence of str, default ()
        Names of columns, visits, assays or tables that may predict although they come
        after the index event.
    threshold : float, default 0.5
        Probability from which on a prediction counts as positive.
    confidence : float, default 0.95
        Of all intervals.
    n_bootstrap : int, default 1000
        Resamples of subjects.
    n_permutations : int, default 20
        Reruns of the whole cross-validation with permuted labels: the canary for leaks, and
        from about 1,000 on a permutation p-value worth quoting.
    keep_models : bool, default False
        Keep the fitted model of each fold, for `shap_values`.
    n_jobs : int, optional
        Folds, and permutations, in parallel, as joblib takes it.
    random_state : int, default 0
        Seed of the bootstrap and the permutations.

    Returns
    -------
    CVResult
        With ``frame()``, ``summary()``, ``plot()``, ``compare()`` and more.

    Raises
    ------
    LeakageError
        When a subject straddles a split, when the model asks for an outcome, a column that
        derives from one, or data from after the index event, or when weights that it brings
        along were learned from people who would be tested.
    FormatError
        When the outcome isn't binary or has one class only.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=100)
    >>> result = pp.evaluation.cross_validate(
    ...     pp.evaluation.clinical_model("logistic"), cohort, "mvd_response", cv=4)
    >>> len(result.frame())
    4
    """
    analysed, y, label = _with_outcome(cohort, outcome)
    _refuse_known(model, analysed)
    splitter, splits = _splits(cv, analysed, y)
    visible = _without_sources(analysed, outcome).known_at_index(allow=allow)
    predicted, models, n_features = _fit(model, visible, y, splits, keep_models, n_jobs)
    reference = _baseline(baseline, model, visible)
    base: CVResult | None = None
    if isinstance(reference, CVResult):
        base = reference
    elif reference is not None:
        base = cross_validate(
            reference, analysed, pd.Series(y, analysed.index), _Folds(splitter, splits),
            name="clinical baseline" if baseline == "clinical" else "baseline",
            baseline=None, allow=allow, threshold=threshold, confidence=confidence,
            n_bootstrap=n_bootstrap, n_permutations=n_permutations, n_jobs=n_jobs,
            random_state=random_state,
        )  # fmt: skip

    result = CVResult(
        name=name or _model_name(model),
        outcome=label,
        cohort=analysed,
        y=y,
        splits=splits,
        splitter=splitter,
        predicted=predicted,
        models=models,
        baseline=base,
        n_features=n_features,
        rerun=_Rerun(model, visible, splitter, splits),
        allow=allow,
        threshold=threshold,
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        n_permutations=n_permutations,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    if base is not None:
        result.compare(base)  # refuses a baseline of other folds now, not later
    return result


def outcome_values(cohort: Cohort, outcome: Any) -> tuple[Any, str]:
    """Return an outcome of each row of the cohort, missing where unknown, and what it is called."""
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if isinstance(outcome, str):
        return cohort.outcome(outcome), outcome
    if isinstance(outcome, Outcome):
        values = outcome.values(cohort.subjects)
        if cohort.unit != "subject":
            values = values.reindex(cohort.groups)
            values.index = cohort.index
        return values, outcome.description or outcome.column or "outcome"
    if isinstance(outcome, pd.Series):
        return by_key(outcome, cohort), str(outcome.name or "outcome")
    if len(outcome) != len(cohort):
        raise AlignmentError(
            f"the outcome has {len(outcome)} values for {len(cohort)} rows",
            remedy="give a Series indexed by subject_id",
        )
    return pd.Series(np.asarray(outcome), index=cohort.index), "outcome"


def _with_outcome(cohort: Cohort, outcome: Any) -> tuple[Cohort, np.ndarray, str]:
    values, label = outcome_values(cohort, outcome)
    if isinstance(values, pd.DataFrame):
        raise FormatError(
            f"{label!r} is a survival outcome; cross_validate takes binary ones",
            remedy="use cross_validate_survival, or name a horizon as a binary outcome",
        )
    numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    known = ~np.isnan(numbers)
    classes = np.unique(numbers[known])
    if not np.isin(classes, (0.0, 1.0)).all():
        raise FormatError(
            f"a binary outcome has the values 0 and 1, found {list_some(classes.tolist())}",
            remedy="say which values are the event: "
            "cohort.with_outcome(name, column=..., positive=...); or cross_validate_number",
        )
    if len(classes) < 2:
        raise FormatError(
            f"the outcome {label!r} has one class only among {int(known.sum())} known values"
        )
    analysed = cohort
    if not known.all():
        analysed = cohort._recorded(f"no {label}", cohort[known])
    return analysed, numbers[known].astype(int), label


def by_key(outcome: Any, cohort: Cohort) -> Any:
    """Return a Series or DataFrame of outcomes in the order of the cohort, missing stays."""
    unknown = outcome.index.difference(cohort.index)
    if len(unknown) or not outcome.index.is_unique:
        raise AlignmentError(
            f"the outcome names rows that the cohort lacks: {list_some(unknown)}"
            if len(unknown)
            else "the outcome has several values for one row",
            remedy=f"give a {type(outcome).__name__} whose index is cohort.index",
        )
    return outcome.reindex(cohort.index)


def _refuse_known(model: Any, cohort: Cohort) -> None:
    """Refuse weights that outlive a clone and were learned from people of the cohort.

    What the folds fit anew has forgotten whom it saw; a trained segmenter inside of the
    features has not.
    """
    people = pd.unique(cohort.groups).astype(str).tolist()
    fresh = clone(model)
    parts = fresh.get_params(deep=True).values() if hasattr(fresh, "get_params") else ()
    for part in (fresh, *parts):
        if isinstance(part, type) or not callable(getattr(part, "saw", None)):
            continue
        try:
            known = int(np.sum(part.saw(people)))
        except NotFittedError:
            continue
        if known:
            raise LeakageError(
                f"{known} of the {len(people)} people were in the training data of the "
                f"{type(part).__name__} inside the model",
                remedy="leave them out (see its method `saw`), or train it on other people",
            )


def _without_sources(cohort: Cohort, outcome: Any) -> Cohort:
    """Hide the columns of an outcome that was defined on the spot."""
    if isinstance(outcome, str) and outcome not in cohort.outcomes:
        outcome = cohort.outcome_definition(outcome)
    if not isinstance(outcome, Outcome):
        return cohort
    return cohort.without_predictors(outcome.sources, reason="the outcome is computed from it")


@dataclasses.dataclass(frozen=True)
class _Folds:
    """Folds that are drawn already, and what drew them."""

    splitter: Any
    splits: list[Split]


def _splits(cv: Any, cohort: Cohort, y: np.ndarray) -> tuple[Any, list[Split]]:
    """Return the splitter, where there is one, and its splits."""
    if isinstance(cv, _Folds):
        return cv.splitter, cv.splits
    if isinstance(cv, CVResult):
        if not cv.cohort.index.equals(cohort.index):
            raise AlignmentError("the folds to use again are of other people")
        return cv.splitter, cv.splits
    if cv is None or isinstance(cv, int | np.integer):
        cv = SubjectKFold(5 if cv is None else int(cv))
    if hasattr(cv, "split"):
        return cv, check_splits(_draw(cv, cohort, y), cohort.groups)
    if isinstance(cv, Iterable):
        return None, check_splits(cv, cohort.groups)
    raise FormatError(f"cv is a number, a splitter or splits, found {type(cv).__name__}")


def _draw(splitter: Any, cohort: Cohort, y: np.ndarray) -> list[Split]:
    with warnings.catch_warnings():
        # A splitter without groups says so; a person on both sides is refused in any case.
        warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
        return list(splitter.split(cohort, y, cohort.groups))


def _baseline(baseline: Any, model: Any, cohort: Cohort) -> Any:
    if baseline is None or isinstance(baseline, CVResult):
        return baseline
    if isinstance(baseline, str):
        if baseline != "clinical":
            raise FormatError(f"baseline is 'clinical', a model, a result or None: {baseline!r}")
        if not cohort.predictors:
            return None
        reference = clinical_model("logistic")
        return None if same_model(reference, model) else reference
    return baseline


def _fit(
    model: Any,
    cohort: Cohort,
    y: np.ndarray,
    splits: list[Split],
    keep: bool,
    n_jobs: int | None,
) -> tuple[list[np.ndarray], list[Any], int | None]:
    """Fit a model on each fold and predict the people left out.

    The models are kept on demand; their number of features, the most of any fold, always.
    """
    from joblib import Parallel, delayed

    done = Parallel(n_jobs=n_jobs)(
        delayed(_fit_one)(model, cohort, y, train, test, number, keep)
        for number, (train, test) in enumerate(splits)
    )
    predicted, models, counts = map(list, zip(*done, strict=True))
    known = [count for count in counts if count is not None]
    return predicted, models if keep else [], max(known, default=None)


@dataclasses.dataclass(frozen=True)
class _Rerun:
    """The same cross-validation with other labels; folds are drawn anew where they can be."""

    model: Any
    cohort: Cohort
    splitter: Any
    splits: list[Split]

    def __call__(self, labels: np.ndarray) -> tuple[list[Split], list[np.ndarray]]:
        splits, groups = self.splits, self.cohort.groups
        if self.splitter is not None:
            splits = check_splits(_draw(self.splitter, self.cohort, labels), groups)
        return splits, _fit(self.model, self.cohort, labels, splits, False, 1)[0]


def _fit_one(
    model: Any,
    cohort: Cohort,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    number: int,
    keep: bool,
) -> tuple[np.ndarray, Any, int | None]:
    from sklearn.base import clone

    if len(np.unique(y[train])) < 2:
        raise FormatError(
            f"the training people of fold {number} have one class only",
            remedy="use fewer folds, or a stratified splitter",
        )
    fitted = clone(model).fit(cohort[train], y[train])
    predict: Callable[[Cohort], np.ndarray] | None = getattr(fitted, "predict_proba", None)
    if predict is None:
        raise FormatError(
            f"{type(model).__name__} has no predict_proba",
            remedy="wrap it in sklearn.calibration.CalibratedClassifierCV",
        )
    p = np.asarray(predict(cohort[test]), dtype=float)[:, list(fitted.classes_).index(1)]
    if not np.isfinite(p).all():
        raise PrecisionPainError(
            f"the model predicts {int((~np.isfinite(p)).sum())} times no number in fold {number}"
        )
    return p, fitted if keep else None, _features_of(fitted)


def _features_of(fitted: Any) -> int | None:
    """Count the numbers that the final estimator was fitted on."""
    inner = getattr(fitted, "best_estimator_", fitted)
    final = inner.steps[-1][1] if hasattr(inner, "steps") else inner
    count = getattr(final, "n_features_in_", None)
    return None if count is None else int(count)


def _model_name(model: Any) -> str:
    final = model.steps[-1][1] if hasattr(model, "steps") else model
    return type(final).__name__
