"""Why a model says what it says: by feature, block and mechanism, and of one person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError
from ..evaluation import CVResult
from ._explain.explanation import FusionExplanation
from ._explain.mechanisms import assign_mechanisms, mechanism_map
from ._explain.models import Decomposed, decompose, features_like
from ._explain.person import PatientExplanation, describe_person

__all__ = [
    "FusionExplanation",
    "PatientExplanation",
    "explain_fusion",
    "explain_person",
    "mechanism_map",
]


def explain_fusion(
    model: Any,
    cohort: Cohort | None = None,
    *,
    background: Cohort | None = None,
    mechanisms: Mapping[str, str] | None = None,
    max_background: int = 100,
) -> FusionExplanation:
    """Explain predictions by features, blocks and mechanisms.

    Parameters
    ----------
    model : CVResult or estimator
        A cross-validation with ``keep_models=True``, of which each prediction is explained by
        the model that made it; or a fitted model: a fusion, a `block_model`, a `clinical_model`.
    cohort : Cohort, optional
        People to explain. For a cross-validation by default all; for a model needed.
    background : Cohort, optional
        For a fitted model, its training people, by default `cohort`. Only models that are
        neither linear nor trees, and linear pipelines without a `FeatureBlock`, look at them.
    mechanisms : mapping of str to str, optional
        Pattern of a feature → mechanism, by default `mechanism_map`.
    max_background : int, default 100
        How many training people stand for "the feature is unknown" in models that are neither
        linear nor trees.

    Returns
    -------
    FusionExplanation

    Raises
    ------
    MissingModalityError
        When the models of a cross-validation weren't kept, or there are no people to explain.
    AlignmentError
        When `cohort` has people that the cross-validation didn't test.
    FormatError
        When the model isn't one of these.

    Notes
    -----
    Linear models have coefficient × (value − training mean), trees TreeSHAP, other models the
    permutation values of `shap`. In a `LateFusion` these are multiplied by the weight of the
    block; in an `EarlyFusion` by the factor with which it draws its log odds towards 0, the more
    so the less is known, and in a `ResponseModel` by the slope of its recalibration. Where a
    model of probabilities stands inside, shares of the probability are taken as shares of the
    log odds [1]_. Any other model is asked what it says without each set of blocks, which gives
    Shapley values of the blocks alone [2]_.

    A SHAP value tells what the model does, not what causes the outcome; of two features that go
    together either may get the credit.

    References
    ----------
    .. [1] Chen H, Lundberg SM, Lee S-I. Nature Communications 2022;13:4512.
    .. [2] Covert I, Lundberg S, Lee S-I. Journal of Machine Learning Research 2021;22:209.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.early_fusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model.fit(cohort, cohort.outcome("mvd_response"))
    EarlyFusion(blocks={'clinic': 'clinical', 'scan': 'diffusion'})
    >>> explanation = pp.fusion.explain_fusion(model, cohort)
    >>> bool(abs(explanation.p - model.predict_proba(cohort)[:, 1]).max() < 1e-8)
    True
    """
    if isinstance(model, CVResult):
        parts, people = _out_of_fold(model, cohort, max_background)
    else:
        if not isinstance(cohort, Cohort):
            found = type(cohort).__name__
            raise MissingModalityError(
                f"a fitted model is explained for people, expected a Cohort, found {found}",
                remedy="give the cohort to explain",
            )
        if not len(cohort):
            raise MissingModalityError("the cohort has nobody to explain")
        parts, people = [decompose(model, cohort, background, max_background)], cohort
    values = pd.concat([part.values for part in parts])
    # A column that one fold's model didn't have added nothing to it; neither did a block.
    values = values.fillna(0.0).rename_axis(columns=["block", "feature"])
    data = pd.concat([part.data for part in parts]).reindex(columns=values.columns)
    status = pd.concat([part.status for part in parts]).fillna("unused")
    sources = {name: source for part in parts for name, source in part.sources.items()}
    return FusionExplanation(
        values=values,
        data=data,
        base=np.concatenate([part.base for part in parts]),
        unit="log odds",
        status=status,
        mechanisms=assign_mechanisms(values.columns, sources, mechanisms),
        synthetic=people.synthetic,
    )


def _out_of_fold(
    result: CVResult, cohort: Cohort | None, max_background: int
) -> tuple[list[Decomposed], Cohort]:
    if not result.models:
        raise MissingModalityError(
            "the fitted models weren't kept",
            remedy="call cross_validate(..., keep_models=True)",
        )
    visible = result.cohort.known_at_index(allow=result.allow)
    wanted = np.ones(len(visible), dtype=bool)
    if cohort is not None:
        unknown = cohort.index.difference(visible.index)
        if len(unknown):
            raise AlignmentError(
                f"{len(unknown)} people weren't among those of the cross-validation",
                remedy="explain them with a fitted model instead",
            )
        wanted = visible.index.isin(cohort.index)
    parts = []
    for (train, test), fitted in zip(result.splits, result.models, strict=True):
        rows = np.asarray(test)[wanted[test]]
        if len(rows):
            parts.append(decompose(fitted, visible[rows], visible[train], max_background))
    if not parts:
        raise MissingModalityError("the cohort has nobody to explain")
    return parts, result.cohort


def explain_person(
    model: Any,
    cohort: Cohort,
    subject_id: str,
    *,
    reference: Cohort | None = None,
    mechanisms: Mapping[str, str] | None = None,
    outcome: str | None = None,
    max_background: int = 100,
) -> PatientExplanation:
    """Explain what a model says of one person.

    Parameters
    ----------
    model : CVResult or estimator
        As in `explain_fusion`. Of a cross-validation, the first model that hadn't seen the
        person.
    cohort : Cohort
        People, among them this one.
    subject_id : str
        Who.
    reference : Cohort, optional
        Whom to compare the values with, by default the training people: for a cross-validation
        those of the fold, for a fitted model the others of `cohort`.
    mechanisms : mapping of str to str, optional
        As in `explain_fusion`.
    outcome : str, optional
        What the probability is of, in words.
    max_background : int, default 100
        As in `explain_fusion`.

    Returns
    -------
    PatientExplanation
        For research: it tells what the model does, not what to do.

    Raises
    ------
    AlignmentError
        When nobody has that id.
    MissingModalityError
        When the models of a cross-validation weren't kept, or none had left the person out.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.early_fusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model = model.fit(cohort, cohort.outcome("mvd_response"))
    >>> lacks = cohort.index[~cohort.has("diffusion")]
    >>> person = pp.fusion.explain_person(model, cohort, lacks[0])
    >>> person.missing
    ('scan',)
    """
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    place = cohort.index.get_indexer(pd.Index([subject_id]))[0]
    if place < 0:
        raise AlignmentError(
            "nobody in the cohort has that id", remedy="see cohort.index for the ids"
        )
    one = cohort[[int(place)]]
    if isinstance(model, CVResult):
        fitted, train = _held_out(model, subject_id)
        one = one.known_at_index(allow=model.allow)
        outcome = model.outcome if outcome is None else outcome
    else:
        fitted, train = model, cohort[np.arange(len(cohort)) != place]
    compared = train if reference is None else reference
    background = train if len(train) else None
    part = decompose(fitted, one, background, max_background)
    return describe_person(
        part,
        features_like(part, compared),
        mechanisms=assign_mechanisms(part.values.columns, part.sources, mechanisms),
        cohort=cohort,
        subject_id=str(subject_id),
        outcome=outcome or "the outcome",
    )


def _held_out(result: CVResult, subject_id: str) -> tuple[Any, Cohort]:
    if not result.models:
        raise MissingModalityError(
            "the fitted models weren't kept",
            remedy="call cross_validate(..., keep_models=True)",
        )
    visible = result.cohort.known_at_index(allow=result.allow)
    place = visible.index.get_indexer(pd.Index([subject_id]))[0]
    for (train, test), fitted in zip(result.splits, result.models, strict=True):
        if place in test:
            return fitted, visible[train]
    raise MissingModalityError("no fold of the cross-validation had left this person out")
