"""What is known at the bedside: ten features, models of them, and the folds of the study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..cohort import Cohort
from ..errors import FormatError, list_some
from ..evaluation import CVResult, SubjectKFold, clinical_model, cross_validate

__all__ = ["BEDSIDE_FEATURES", "bedside_increment", "bedside_model", "paper_folds"]

BEDSIDE_FEATURES: tuple[str, ...] = (
    "education_years",
    "n_painful_areas",
    "neck_baseline",
    "pcs_magnification",
    "dizziness",
    "hads_depression",
    "head_baseline",
    "employed",
    "pcs_total",
    "age",
)
"""The ten features of the study's bedside models, in the order of its Table 4."""

_KINDS = ("random_forest", "xgboost", "logistic")


def bedside_model(
    kind: Literal["random_forest", "xgboost", "logistic"] = "random_forest",
    features: Sequence[str] = BEDSIDE_FEATURES,
    *,
    random_state: int = 0,
    **options: Any,
) -> Any:
    """Return a model of chronic pain from bedside features: a scikit-learn pipeline.

    It is `precisionpain.evaluation.clinical_model` on ten columns of a Cohort, with the median
    of the training people in place of what is missing.

    The ten features were chosen in an earlier study of the same clinic (Ramon-Gonen et al.,
    Pain 2024), which presumably holds the same patients. Tested on those, a model of them
    looks better than it is; no cross-validation of the second study can tell by how much.

    Parameters
    ----------
    kind : {"random_forest", "xgboost", "logistic"}, default "random_forest"
        The two of the study, and a ridge, which at this size is hard to beat.
    features : sequence of str, optional
        Columns of ``subjects``; by default `BEDSIDE_FEATURES`.
    random_state : int, default 0
        Seed of the trees.
    **options
        Changed settings of the final estimator. The study doesn't state its own.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``features`` first, ``impute``, ``model`` last.

    Raises
    ------
    FormatError
        For an unknown kind.

    References
    ----------
    Attias et al., Pain 2025, doi:10.1097/j.pain.0000000000003587, Table 4.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> model = pp.mtbi.bedside_model("random_forest", n_estimators=20)
    >>> model.fit(cohort, cohort.outcome("chronic_pain")).predict_proba(cohort).shape
    (128, 2)
    """
    from sklearn.impute import SimpleImputer

    if kind not in _KINDS:
        raise FormatError(f"a bedside model is one of {list_some(_KINDS)}, found {kind!r}")
    if isinstance(features, str):
        raise FormatError(
            f"`features` is a list of columns, found {features!r}", remedy=f"say [{features!r}]"
        )
    model = clinical_model(kind, columns=features, random_state=random_state, **options)
    impute = ("impute", SimpleImputer(strategy="median", keep_empty_features=True))
    others = [step for step in model.steps[1:] if step[0] != "impute"]
    return model.set_params(steps=[model.steps[0], impute, *others])


def paper_folds(*, stratified: bool = False, random_state: int = 0) -> SubjectKFold:
    """Return the study's eight folds of people.

    Parameters
    ----------
    stratified : bool, default False
        Whether each fold has the same share of chronic pain. The study's main results are of
        folds that have not: with 16 people each, the share then differs by chance, and with
        it every figure at a fixed threshold.
    random_state : int, default 0
        Seed of the shuffling. The study names 53 and 123 for its further partitions, and none
        for the main one.

    Returns
    -------
    SubjectKFold
        For one row per person, the folds of scikit-learn's ``KFold`` (``StratifiedKFold``)
        with ``n_splits=8, shuffle=True`` and the same seed.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> [len(test) for _, test in pp.mtbi.paper_folds(random_state=53).split(cohort)]
    [16, 16, 16, 16, 16, 16, 16, 16]
    """
    return SubjectKFold(8, stratify=stratified, random_state=random_state)


def bedside_increment(
    cohort: Cohort,
    outcome: str = "chronic_pain",
    *,
    kind: Literal["random_forest", "xgboost", "logistic"] = "random_forest",
    features: Sequence[str] = BEDSIDE_FEATURES,
    reference: Sequence[str] = ("neck_baseline",),
    cv: Any = None,
    random_state: int = 0,
    **options: Any,
) -> CVResult:
    """Cross-validate the bedside model beside neck pain alone, in the same folds.

    One question of the study's ten, how much the neck hurts, already reaches an AUC of 0.67
    in its Table 1. What the other nine add is the difference.

    Parameters
    ----------
    cohort : Cohort
        The people.
    outcome : str, default "chronic_pain"
        Name of a binary outcome.
    kind, features
        See `bedside_model`.
    reference : sequence of str, default ("neck_baseline",)
        Columns of the logistic model to compare with.
    cv : int, splitter, iterable of (train, test) or CVResult, optional
        By default ``paper_folds(stratified=True)``.
    random_state : int, default 0
        Seed of the trees, and of the intervals.
    **options
        Passed to `precisionpain.evaluation.cross_validate`.

    Returns
    -------
    CVResult
        Of the bedside model; ``baseline`` is that of the reference, and ``increment`` the
        difference between them.

    Raises
    ------
    LeakageError
        When a feature derives from the outcome or comes after the landmark.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_mtbi()
    >>> result = pp.mtbi.bedside_increment(cohort, kind="logistic", cv=3)
    >>> result.increment.name, result.increment.other
    ('bedside, logistic', 'neck_baseline alone')
    """
    folds = paper_folds(stratified=True) if cv is None else cv
    settings = {"random_state": random_state, **options}
    alone = cross_validate(
        bedside_model("logistic", list(reference)), cohort, outcome, folds,
        name=f"{' and '.join(reference)} alone", baseline=None, **settings,
    )  # fmt: skip
    model = bedside_model(kind, list(features), random_state=random_state)
    name = f"bedside, {kind.replace('_', ' ')}"
    return cross_validate(model, cohort, outcome, alone, name=name, baseline=alone, **settings)
