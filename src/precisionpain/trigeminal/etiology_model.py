"""A learned classifier of classical against idiopathic neuralgia from measures of the nerve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..errors import FormatError
from .nerve_table import NerveMeasures, Part

__all__ = ["DEFINING_MEASURES", "etiology_model"]

DEFINING_MEASURES: tuple[str, ...] = (
    "gap_mm",
    "contact_area_mm2",
    "contact_length_mm",
    "contact_position_mm",
    "n_contacts",
    "vessel",
    "vessel_diameter_mm",
    "crossing_angle_deg",
    "displacement_mm",
    "indentation_mm",
    "area_loss_percent",
    "sindou_grade",
)
"""Measures that make a neuralgia classical by the rules, or exist only with a contact."""


def etiology_model(
    name: Literal["logistic", "random_forest"] = "logistic",
    *,
    measures: Sequence[str] | None = None,
    exclude_defining: bool = True,
    parts: Sequence[Part] = ("affected", "asymmetry"),
    table: str = "nerve_measures",
    visit: str | None = None,
    allow: Sequence[str] = (),
    random_state: int = 0,
    **options: Any,
) -> Any:
    """Return a model of a Cohort that tells classical from idiopathic neuralgia.

    A scikit-learn pipeline for `precisionpain.evaluation.cross_validate`; the outcome is one
    of the cohort, for example what the surgeon found.

    **Where the label comes from decides what the result means.** The rules of ICHD-3
    (`classify_etiology`) call a neuralgia classical when a vessel touches the root and
    displaces, dents or thins it. A model of those measures against a label made from the same
    MRI only recovers the thresholds: an AUC near 1 that says nothing of the disease. So they
    are left out by default (`DEFINING_MEASURES`), and what is asked is whether the shape
    of the nerve itself (volume, sections, angle, asymmetry) tells. When the label comes from
    elsewhere, from surgery or from the course of the disease, every measure is a fair
    predictor: give ``exclude_defining=False``.

    Leaving them out lessens the circle and doesn't break it for a label from MRI: the smallest
    section is smaller where a vessel dents the root.

    Parameters
    ----------
    name : {"logistic", "random_forest"}, default "logistic"
        ``logistic`` is a ridge with the settings of
        `precisionpain.evaluation.clinical_model`; the trees take missing values as they are.
    measures : sequence of str, optional
        Which columns of the table; by default all.
    exclude_defining : bool, default True
        Leave out `DEFINING_MEASURES`, also when `measures` names them.
    parts : sequence of {"affected", "contralateral", "asymmetry"}, default \
("affected", "asymmetry")
        See `NerveMeasures`.
    table, visit : str, optional
        See `NerveMeasures`.
    allow : sequence of str, default ()
        See `NerveMeasures`; `cross_validate` has to allow the same.
    random_state : int, default 0
        Seed of the trees.
    **options
        Changed settings of the final estimator.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``features`` first, ``model`` last.

    Raises
    ------
    FormatError
        For an unknown name.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response", "nerve_measures")
    >>> model = pp.trigeminal.etiology_model()
    >>> y = cohort.outcome("mvd_response")  # any binary outcome; here not the etiology
    >>> model.fit(cohort, y).predict_proba(cohort).shape == (len(cohort), 2)
    True
    """
    from sklearn.pipeline import Pipeline

    features = NerveMeasures(
        table,
        measures=measures,
        exclude=DEFINING_MEASURES if exclude_defining else (),
        parts=parts,
        visit=visit,
        allow=allow,
        as_frame=False,
    )
    steps: list[tuple[str, Any]] = [("features", features)]
    if name == "logistic":
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        steps += [
            ("impute", SimpleImputer(keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("model", LogisticRegression(**{"C": 0.1, "max_iter": 1000, **options})),
        ]
    elif name == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        defaults = {"n_estimators": 300, "min_samples_leaf": 5, "random_state": random_state}
        steps.append(("model", RandomForestClassifier(**{**defaults, **options})))
    else:
        raise FormatError(f"an etiology model is 'logistic' or 'random_forest', found {name!r}")
    return Pipeline(steps)
