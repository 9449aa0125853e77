"""The main job: is the outcome predictable in this cohort, and what speaks against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..evaluation import CVResult, Explanation, clinical_model, cross_validate, shap_values
from ..stats import SampleSizeVerdict, TableOne
from ._files import make_writable
from ._steps import (
    LABELS,
    Clock,
    check_models,
    check_outcome,
    choose_permutations,
    choose_references,
    choose_splitter,
    event_flags,
    judge_size,
    on_other_people,
    on_other_sites,
)
from .checks import check_cohort

__all__ = ["Study", "run_study"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What `run_study` found; `save` writes it down.

    Parameters
    ----------
    cohort : Cohort
        Everybody.
    analysed : Cohort
        The people with the outcome; its `flow` says who left and why.
    outcome : str
        Name of the outcome.
    results : dict of str to CVResult
        The models, the primary one first, then the references: same people, same folds.
    other_people : dict of str to CVResult
        References on the people whose reference value is known. These are other people
        than those of `results`, so that no test compares them.
    other_sites : dict of str to CVResult
        The models with each site left out in turn.
    shap : dict of str to Explanation
        SHAP values of the out-of-fold predictions, by model.
    table_one : TableOne
        The people analysed, by outcome.
    checks : pandas.DataFrame
        Of `check_cohort`.
    verdict : SampleSizeVerdict
        Whether there are enough people for the primary model; made before fitting.
    settings : dict
        How it was done, as plain JSON values.
    timings : dict of str to float
        Seconds per step.
    notes : tuple of str
        What was not done, and why.
    """

    cohort: Cohort
    analysed: Cohort
    outcome: str
    results: dict[str, CVResult]
    other_people: dict[str, CVResult]
    other_sites: dict[str, CVResult]
    shap: dict[str, Explanation]
    table_one: TableOne
    checks: pd.DataFrame
    verdict: SampleSizeVerdict
    settings: dict[str, Any]
    timings: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> CVResult:
        """The model named first: the one that the headline is about, whatever the others do."""
        return next(iter(self.results.values()))

    @cached_property
    def headline(self) -> list[str]:
        """The result in three to six sentences, composed from the numbers."""
        from ._words import headline

        return headline(self)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Every other model minus the primary one, on the same people and folds.

        Columns ``model``, ``minus``, ``difference`` (mean over folds) with ``ci_low``,
        ``ci_high`` and ``p_corrected`` (Nadeau and Bengio), ``pooled_difference`` and
        ``p_delong`` (missing where people are predicted several times).
        """
        rows = []
        for result in list(self.results.values())[1:]:
            found = result.compare(self.primary)
            rows.append(
                {
                    "model": result.name,
                    "minus": self.primary.name,
                    "difference": found.corrected.mean,
                    "ci_low": found.corrected.ci_low,
                    "ci_high": found.corrected.ci_high,
                    "p_corrected": found.corrected.p_value,
                    "pooled_difference": found.pooled.difference if found.pooled else np.nan,
                    "p_delong": found.pooled.p_value if found.pooled else np.nan,
                }
            )
        names = ["model", "minus", "difference", "ci_low", "ci_high", "p_corrected"]
        return pd.DataFrame(rows, columns=[*names, "pooled_difference", "p_delong"])

    def save(self, out: str | Path) -> dict[str, Path]:
        """Write the report, the tables, the figures and everything machine-readable.

        Parameters
        ----------
        out : str or Path
            A folder, made when absent. Each file is replaced as a whole; files of an
            earlier study there that this one doesn't write are removed.

        Returns
        -------
        dict of str to Path
            What was written, by its path below `out`: ``report.html``, ``results.json``,
            ``tables/*.csv`` and ``figures/*.png``.

        Raises
        ------
        StorageError
            When the folder can't be written.
        """
        from ._output import save_study

        return save_study(self, out)

    def __repr__(self) -> str:
        title = f"Study: {self.outcome} in {self.cohort.name}"
        title += " – SYNTHETIC DATA" if self.cohort.synthetic else ""
        return "\n".join([title, *(f"  {sentence}" for sentence in self.headline)])


def run_study(
    cohort: Cohort,
    outcome: str = "mvd_response",
    *,
    models: Sequence[str] = ("logistic", "random_forest", "xgboost"),
    reference: Mapping[str, Sequence[str]] | None = None,
    cv: Any = None,
    site: str = "site",
    n_permutations: int | Mapping[str, int] | None = None,
    n_bootstrap: int = 1000,
    out: str | Path | None = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> Study:
    """Check a cohort, model a binary outcome honestly, explain it, and report.

    Parameters
    ----------
    cohort : Cohort
        One row per person. Only what was known by its landmark can predict; columns that an
        outcome is computed from never can.
    outcome : str, default "mvd_response"
        One of the cohort's binary outcomes.
    models : sequence of str, default ("logistic", "random_forest", "xgboost")
        Of `clinical_model`, on all clinical predictors but the site. The first is the
        primary one, which the headline is about. "logistic" is the baseline and added where it
        isn't named.
    reference : mapping of str to sequence of str, optional
        Simple models to compare with: name → columns. By default ``{"Sindou grade only":
        ["sindou_grade"]}`` where that column may predict. Each is evaluated on the same
        people and folds, with unknown values imputed in the fold, and once more on the people
        with known values, who are other people.
        One that hardly varies becomes a note.
    cv : int, splitter or iterable of (train, test), optional
        By default ``SubjectKFold`` with as many folds as there are people of the rarer
        outcome, at most 5.
    site : str, default "site"
        Column with the site. With at least two sites that have both outcomes, the models
        are also tested on each site in turn.
    n_permutations : int or mapping, optional
        Reruns with permuted labels, for all models or by name. By default 1000 for
        "logistic", 200 for the references and 20 for the trees, which are slow: enough for
        the canary. B permutations can give a p no smaller than 1 / (B + 1): 0.001, 0.005
        and 0.048.
    n_bootstrap : int, default 1000
        Resamples of people, for the intervals that have no formula.
    out : str or Path, optional
        Where to save; tried before anything is computed.
    n_jobs : int, optional
        Folds and permutations in parallel, as joblib takes it.
    random_state : int, default 0
        Seed of folds, models, bootstrap and permutations.
    progress : bool, default True
        Show a bar.

    Returns
    -------
    Study

    Raises
    ------
    StorageError
        When `out` can't be written.
    MissingModalityError
        When the cohort has no such outcome, or no predictor.
    FormatError
        When the outcome isn't binary, has fewer than two people of a class, or a model's name
        is unknown.

    Notes
    -----
    Nothing is tuned and no figure is selected: the settings of the models are fixed and the
    headline is the pooled out-of-fold AUC of the primary model.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120)
    >>> study = pp.report.run_study(cohort, "mvd_response", models=["logistic"],
    ...                             n_permutations=5, n_bootstrap=20, progress=False)
    >>> list(study.results)
    ['logistic', 'Sindou grade only']
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    names = check_models(models)
    if out is not None:
        make_writable(out)
    check_outcome(cohort, outcome)
    analysed = cohort.where(**cohort.outcomes[outcome].where).require(outcome)
    y = event_flags(analysed, outcome)
    splitter = choose_splitter(cv, analysed, y, outcome, random_state)
    notes: list[str] = []
    references = choose_references(analysed, reference, notes)
    exclude = [site] if site in analysed.subjects else []
    permutations = choose_permutations(n_permutations, [*names, *references])
    verdict = judge_size(analysed, y, exclude)
    options: dict[str, Any] = {
        "n_bootstrap": n_bootstrap,
        "n_jobs": n_jobs,
        "random_state": random_state,
    }
    results: dict[str, CVResult] = {}
    explanations: dict[str, Explanation] = {}
    steps = 3 * len(names) + 2 * len(references) + 3
    # The matrices are small: threads of the linear algebra would only wait for each other.
    with threadpool_limits(1), Clock(progress, steps) as clock:
        with clock("checks and Table 1"):
            checks = check_cohort(analysed, outcome, site=site)
            table = analysed.table_one(outcome)

        # The baseline is needed by the others, whatever their order.
        for name in sorted([*names, *references], key=lambda n: n != "logistic"):
            own = name in LABELS
            model = (
                clinical_model(name, exclude=exclude, random_state=random_state)  # type: ignore[arg-type]
                if own
                else clinical_model("logistic", columns=references[name])
            )
            with clock(f"{name}: folds"):
                # Not the folds of the first result: permuted labels need folds stratified anew.
                results[name] = cross_validate(
                    model, analysed, outcome, splitter, name=LABELS.get(name, name),
                    baseline=results["logistic"] if own and results else None,
                    n_permutations=permutations[name], keep_models=own, **options,
                )  # fmt: skip
            with clock(f"{name}: permutations"):
                results[name].to_dict()
            if own:
                with clock(f"{name}: SHAP values"):
                    explanations[name] = shap_values(results[name])
        results = {name: results[name] for name in [*names, *references]}

        with clock("references on other people"):
            others = dict(
                on_other_people(analysed, outcome, references, permutations, options, notes)
            )
            for result in others.values():
                result.to_dict()
        with clock("sites"):
            sites = on_other_sites(analysed, outcome, y, site, names, exclude, options, notes)

    study = Study(
        cohort=cohort,
        analysed=results[names[0]].cohort,
        outcome=outcome,
        results=results,
        other_people=others,
        other_sites=sites,
        shap=explanations,
        table_one=table,
        checks=checks,
        verdict=verdict,
        settings={
            "models": names,
            "references": references,
            "cv": repr(splitter) if hasattr(splitter, "split") else "given splits",
            "n_splits": len(results[names[0]].splits),
            "n_permutations": permutations,
            "smallest_p": {name: 1 / (1 + n) for name, n in permutations.items()},
            "n_bootstrap": n_bootstrap,
            "confidence": results[names[0]].confidence,
            "threshold": results[names[0]].threshold,
            "site": site,
            "random_state": random_state,
        },
        timings=clock.seconds,
        notes=tuple(notes),
    )
    if out is not None:
        study.save(out)
    return study
