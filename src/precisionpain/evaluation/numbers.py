"""Cross-validation of a model of a number: pain on a scale, a score, days."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import clone

from ..cohort import Cohort, Outcome
from ..errors import AlignmentError, ComparisonError, FormatError, PrecisionPainError
from ..stats import CorrectedT, bootstrap_interval
from ._pooling import corrected_over_folds, hash_folds
from .clinical import ClinicalFeatures, same_model
from .crossval import _Folds, _model_name, _refuse_known, _splits, _without_sources, outcome_values
from .splits import Split

__all__ = ["NumberResult", "clinical_regression", "cross_validate_number"]

_LEAST_DIFFERENT = 3


def clinical_regression(
    *, columns: Sequence[str] | None = None, exclude: Sequence[str] = (), allow: Sequence[str] = ()
) -> Any:
    """Return the clinical baseline of a number: a ridge that chooses its penalty by itself.

    Parameters
    ----------
    columns, exclude, allow : sequence of str, optional
        See `ClinicalFeatures`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``features`` first, ``model`` last; what is missing is the mean.

    Examples
    --------
    >>> import precisionpain as pp
    >>> list(pp.evaluation.clinical_regression(columns=["age"]).named_steps)
    ['features', 'impute', 'scale', 'model']
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([
        ("features", ClinicalFeatures(columns, exclude=exclude, allow=allow, as_frame=False)),
        ("impute", SimpleImputer(keep_empty_features=True)),
        ("scale", StandardScaler()),
        ("model", RidgeCV(alphas=np.logspace(0, 4, 17))),
    ])  # fmt: skip


def cross_validate_number(
    model: Any,
    cohort: Cohort,
    outcome: str | Outcome | pd.Series | Sequence[float] | np.ndarray,
    cv: Any = None,
    *,
    name: str | None = None,
    baseline: Any = "clinical",
    allow: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    keep_models: bool = False,
    n_jobs: int | None = None,
    random_state: int = 0,
) -> NumberResult:
    """Cross-validate a model of a number, by subject, beside the clinical baseline.

    The model is fitted on the training people of each fold and sees only what was known by
    the landmark (`Cohort.known_at_index`). People without the outcome leave, with a line in
    the flow.

    Parameters
    ----------
    model : estimator
        A scikit-learn regressor whose X is a Cohort, for example `clinical_regression`.
    cohort : Cohort
        The people.
    outcome : str, Outcome, pandas.Series or array-like
        Name of an outcome that is a number, its definition, values by key (index as
        ``cohort.index``) or one value per row in order. NaN means unknown.
    cv : int, splitter, iterable of (train, test) or NumberResult, optional
        Default ``SubjectKFold(5)``, with about the same distribution of the outcome in each
        fold. A result means the same folds again.
    name : str, optional
        Name of the model in tables and figures.
    baseline : "clinical", estimator, NumberResult or None, default "clinical"
        What to compare with, in the same folds: "clinical" is `clinical_regression`, left out
        when `model` is just that or the cohort has no predictors.
    allow : sequence of str, default ()
        Names of columns, visits, assays or tables that may predict although they come
        after the index event.
    confidence : float, default 0.95
        Of all intervals.
    n_bootstrap : int, default 1000
        Resamples of subjects.
    keep_models : bool, default False
        Keep the fitted model of each fold.
    n_jobs : int, optional
        Folds in parallel, as joblib takes it.
    random_state : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    NumberResult

    Raises
    ------
    LeakageError
        As `cross_validate`.
    FormatError
        When the outcome isn't a number, or is the same for almost everybody.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=100)
    >>> y = cohort.subjects["pain_second_followup"]
    >>> result = pp.evaluation.cross_validate_number(
    ...     pp.evaluation.clinical_regression(columns=["age", "sex"]), cohort, y, cv=4)
    >>> len(result.frame())
    4
    """
    values, label = outcome_values(cohort, outcome)
    if isinstance(values, pd.DataFrame):
        raise FormatError(f"{label!r} is a survival outcome", remedy="use cross_validate_survival")
    try:
        numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise FormatError(f"the outcome {label!r} isn't a number") from None
    known = np.isfinite(numbers)
    if np.isinf(numbers).any():
        raise FormatError(f"the outcome {label!r} has infinite values")
    y = numbers[known]
    if len(np.unique(y)) < _LEAST_DIFFERENT:
        raise FormatError(
            f"the outcome {label!r} has {len(np.unique(y))} different values among {len(y)} people",
            remedy="two values are classes: use cross_validate",
        )
    analysed = cohort if known.all() else cohort._recorded(f"no {label}", cohort[known])
    _refuse_known(model, analysed)
    if isinstance(cv, NumberResult):
        if not cv.cohort.index.equals(analysed.index):
            raise AlignmentError("the folds to use again are of other people")
        splitter, splits = cv.splitter, cv.splits
    else:
        # Above or not above the median, so that no fold has the low ones alone.
        splitter, splits = _splits(cv, analysed, (y > np.median(y)).astype(int))
    visible = _without_sources(analysed, outcome).known_at_index(allow=allow)

    from joblib import Parallel, delayed

    done = Parallel(n_jobs=n_jobs)(
        delayed(_fit_one)(model, visible, y, train, test, number, keep_models)
        for number, (train, test) in enumerate(splits)
    )
    predicted, models = map(list, zip(*done, strict=True))
    base = _baseline(baseline, model, visible)
    if base is not None and not isinstance(base, NumberResult):
        base = cross_validate_number(
            base, analysed, pd.Series(y, analysed.index), _Folds(splitter, splits),
            name="clinical baseline" if isinstance(baseline, str) else "baseline", baseline=None,
            allow=allow, confidence=confidence, n_bootstrap=n_bootstrap, n_jobs=n_jobs,
            random_state=random_state,
        )  # fmt: skip
    result = NumberResult(
        name=name or _model_name(model),
        outcome=label,
        cohort=analysed,
        y=y,
        splits=splits,
        splitter=splitter,
        predicted=tuple(predicted),
        models=models if keep_models else [],
        baseline=base,
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        random_state=random_state,
    )
    if base is not None:
        result.compare(base)  # refuses a baseline of other folds now, not later
    return result


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class NumberResult:
    """The result of `cross_validate_number`: predictions of people that the model hadn't seen.

    Parameters
    ----------
    name, outcome : str
        Model and outcome.
    cohort : Cohort
        The people analysed, in the order of `y`.
    y : numpy.ndarray of shape (n_rows,)
        Outcome.
    splits : list of (train, test)
        Positions of rows.
    splitter : object or None
        What drew the folds.
    predicted : tuple of numpy.ndarray
        Per fold, shape (n_test,).
    models : list
        Fitted models, where they were kept.
    baseline : NumberResult or None
        The clinical baseline in the same folds.
    confidence, n_bootstrap, random_state
        As in `cross_validate_number`.
    """

    name: str
    outcome: str
    cohort: Cohort
    y: np.ndarray
    splits: list[Split]
    splitter: Any
    predicted: tuple[np.ndarray, ...]
    models: list[Any]
    baseline: NumberResult | None
    confidence: float
    n_bootstrap: int
    random_state: int

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per prediction: ``fold``, ``y``, ``predicted``, ``mean`` (of the training)."""
        test = np.concatenate([test for _, test in self.splits])
        sizes = [len(t) for _, t in self.splits]
        return pd.DataFrame(
            {
                "fold": np.repeat(np.arange(len(self.splits)), sizes),
                "y": self.y[test],
                "predicted": np.concatenate(self.predicted),
                "mean": np.repeat([self.y[train].mean() for train, _ in self.splits], sizes),
            },
            index=self.cohort.index[test],
        )

    def frame(self) -> pd.DataFrame:
        """Return the figures per fold.

        Returns
        -------
        pandas.DataFrame
            Index ``fold``: ``n_train``, ``n_test``, ``r2`` (1 less the squared error over that
            of the mean of the training people, so that 0 is no better than this mean),
            ``mae``, ``rmse`` and ``spearman``.
        """
        rows, table = [], self.predictions
        for fold, (train, test) in enumerate(self.splits):
            part = table[table["fold"] == fold]
            columns = [part[name].to_numpy() for name in ("y", "predicted", "mean")]
            figures = {name: _FIGURES[name](*columns) for name in ("r2", "mae", "rmse", "spearman")}
            rows.append({"n_train": len(train), "n_test": len(test), **figures})
        return pd.DataFrame(rows).rename_axis("fold")

    def summary(self) -> pd.DataFrame:
        """Return the pooled figures with intervals.

        Returns
        -------
        pandas.DataFrame
            Index ``metric`` (``r2``, ``mae``, ``rmse``, ``spearman``, ``slope``): ``value``,
            ``ci_low``, ``ci_high`` (bootstrap over people). ``slope`` is that of the outcome on
            the prediction, 1 if predictions are neither too extreme nor too flat.
        """
        table, rows = self.predictions, {}
        tested = np.concatenate([test for _, test in self.splits])
        columns = [table[name].to_numpy() for name in ("y", "predicted", "mean")]
        for name, figure in _FIGURES.items():
            found = bootstrap_interval(
                figure, *columns,
                groups=np.asarray(self.cohort.groups)[tested],
                n_boot=self.n_bootstrap, confidence=self.confidence,
                random_state=self.random_state,
            )  # fmt: skip
            rows[name] = {
                "value": found.estimate, "ci_low": found.ci_low, "ci_high": found.ci_high
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def compare(self, other: NumberResult) -> CorrectedT:
        """Test the difference of the mean squared error over the same folds.

        Parameters
        ----------
        other : NumberResult
            Of the same people and folds.

        Returns
        -------
        CorrectedT
            Of this one's error less the other's (Nadeau & Bengio): negative is better.

        Raises
        ------
        ComparisonError
            When people, outcomes or folds differ.
        """
        mine, theirs = (
            hash_folds(each.cohort.index, each.y.tobytes(), each.splits) for each in (self, other)
        )
        if mine != theirs:
            raise ComparisonError(
                f"{self.name} and {other.name} have other people, outcomes or folds",
                remedy="give the first result as cv=... of the second",
            )
        frame = self.frame()
        return corrected_over_folds(
            frame, frame["rmse"] ** 2 - other.frame()["rmse"] ** 2, self.confidence
        )

    def __repr__(self) -> str:
        title = f"{self.name}: {self.outcome} in {self.cohort.name}"
        title += " – SYNTHETIC DATA" if self.cohort.synthetic else ""
        lines = [title, f"  {len(np.unique(self.cohort.groups))} people, {len(self.splits)} folds"]
        for name, row in self.summary().iterrows():
            lines.append(
                f"  {name:9s} {row['value']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f})"
            )
        if self.baseline is not None:
            found = self.compare(self.baseline)
            lines.append(
                f"  squared error less that of the {self.baseline.name}: {found.mean:+.3f} "
                f"({found.ci_low:+.3f} to {found.ci_high:+.3f})"
            )
        return "\n".join(lines)


def _r2(y: np.ndarray, p: np.ndarray, mean: np.ndarray) -> float:
    of_mean = ((y - mean) ** 2).sum()
    return float(1 - ((y - p) ** 2).sum() / of_mean) if of_mean > 0 else float("nan")


def _mae(y: np.ndarray, p: np.ndarray, mean: np.ndarray) -> float:
    return float(np.abs(y - p).mean())


def _rmse(y: np.ndarray, p: np.ndarray, mean: np.ndarray) -> float:
    return float(np.sqrt(((y - p) ** 2).mean()))


def _spearman(y: np.ndarray, p: np.ndarray, mean: np.ndarray) -> float:
    return _correlation(rankdata(y), rankdata(p))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def _slope(y: np.ndarray, p: np.ndarray, mean: np.ndarray) -> float:
    spread = p - p.mean()
    size = spread @ spread
    return float(spread @ y / size) if size > 0 else float("nan")


_FIGURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "r2": _r2, "mae": _mae, "rmse": _rmse, "spearman": _spearman, "slope": _slope,
}  # fmt: skip


def _fit_one(
    model: Any,
    cohort: Cohort,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    number: int,
    keep: bool,
) -> tuple[np.ndarray, Any]:
    fitted = clone(model).fit(cohort[train], y[train])
    predicted = np.asarray(fitted.predict(cohort[test]), dtype=float)
    if predicted.shape != (len(test),) or not np.isfinite(predicted).all():
        raise PrecisionPainError(
            f"the model doesn't predict a number for each row in fold {number}"
        )
    return predicted, fitted if keep else None


def _baseline(baseline: Any, model: Any, cohort: Cohort) -> Any:
    if baseline is None or not isinstance(baseline, str):
        return baseline
    if baseline != "clinical":
        raise FormatError(f"baseline is 'clinical', a model, a result or None: {baseline!r}")
    reference = clinical_regression()
    return None if same_model(reference, model) or not cohort.predictors else reference
