"""The steps of a study: what is checked and chosen before, and what is tested beside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError, MissingModalityError, list_some
from ..evaluation import (
    ClinicalFeatures,
    CVResult,
    SubjectKFold,
    clinical_model,
    cross_validate,
    leave_site_out,
)
from ..evaluation.sites import sites_with_both
from ..stats import SampleSizeVerdict, sample_size_verdict

LABELS = {
    "logistic": "logistic ridge",
    "random_forest": "random forest",
    "xgboost": "gradient boosting",
}
FOLDS = 5
_FEWEST = 5  # in the rarer class, for a cross-validation beside the main one


def check_models(models: Sequence[str]) -> list[str]:
    """Check the names of the models and see that the baseline is among them."""
    names = [models] if isinstance(models, str) else list(models)
    unknown = [name for name in names if name not in LABELS]
    if unknown or not names or len(set(names)) < len(names):
        raise FormatError(
            f"models are some of {list_some(LABELS)}, each once, found {list_some(names) or 'none'}"
        )
    # The baseline is part of every study.
    return names if "logistic" in names else [*names, "logistic"]


def check_outcome(cohort: Cohort, outcome: str) -> None:
    """Refuse a cohort whose outcome or predictors no study can be made of."""
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if cohort.unit != "subject":
        raise FormatError(
            f"a study has one row per person, found a cohort of {cohort.unit}s",
            remedy="give the cohort before per_nerve() or per_visit()",
        )
    binary = [name for name, o in cohort.outcomes.items() if o.kind == "binary"]
    if outcome not in cohort.outcomes:
        raise MissingModalityError(
            f"this cohort has no outcome {outcome!r}",
            remedy=f"binary outcomes are {list_some(binary, 12) or 'not defined yet'}; define one "
            "with cohort.with_outcome(name, column=..., positive=...)",
        )
    if outcome not in binary:
        raise FormatError(
            f"the outcome {outcome!r} is a {cohort.outcomes[outcome].kind}, not binary",
            remedy=f"binary outcomes are {list_some(binary, 12) or 'not defined yet'}",
        )
    if not cohort.predictors:
        raise MissingModalityError(
            "the cohort has no column that may predict",
            remedy="see cohort.dictionary for the reasons",
        )


def event_flags(cohort: Cohort, outcome: str) -> pd.Series:
    """Return a binary outcome that everybody has, as 0 and 1."""
    values = cohort.outcome(outcome)
    assert isinstance(values, pd.Series)
    return values.astype(int)


def choose_splitter(cv: Any, cohort: Cohort, y: pd.Series, outcome: str, seed: int) -> Any:
    """Return the folds, by default as many as there are people in the rarer class, at most 5."""
    rarer = int(min(y.sum(), (1 - y).sum()))
    if rarer < 2:
        raise FormatError(
            f"the outcome {outcome!r} is known for {len(y)} people and has {rarer} in the rarer "
            "class; a cross-validation needs at least two in each"
        )
    if cv is None or isinstance(cv, int | np.integer):
        return SubjectKFold(min(FOLDS, rarer) if cv is None else int(cv), random_state=seed)
    if not hasattr(cv, "split"):
        return list(cv)
    draws = [
        [test.tolist() for _, test in cv.split(cohort, y.to_numpy(), cohort.groups)]
        for _ in range(2)
    ]
    if draws[0] != draws[1]:
        raise FormatError(
            "the splitter draws other folds each time, so that models couldn't be compared",
            remedy="give it a random_state",
        )
    return cv


def choose_references(
    cohort: Cohort, reference: Mapping[str, Sequence[str]] | None, notes: list[str]
) -> dict[str, list[str]]:
    """Return the columns of each reference model; one that hardly varies becomes a note."""
    if reference is None:
        grade = "sindou_grade"
        chosen = {"Sindou grade only": [grade]} if grade in cohort.predictors else {}
    else:
        chosen = {name: [c] if isinstance(c, str) else list(c) for name, c in reference.items()}
    taken = [name for name in chosen if name in LABELS]
    if taken:
        raise FormatError(f"a reference needs a name of its own, found {list_some(taken)}")
    usable = {}
    for name, columns in chosen.items():
        frame = cohort.predictor_frame(columns)  # refuses unknown columns and leaks now
        known = [frame[column].dropna() for column in columns]
        apart = max(
            len(values) - values.value_counts().max() if len(values) else 0 for values in known
        )
        # With fewer, some training people may all have the same value.
        if apart < 2 * FOLDS:
            notes.append(
                f"{name}: not evaluated, as only {apart} people differ from the commonest value."
            )
        else:
            usable[name] = columns
    return usable


def choose_permutations(given: int | Mapping[str, int] | None, names: list[str]) -> dict[str, int]:
    """Return how often each model is rerun with permuted labels."""
    usual = {n: 1000 if n == "logistic" else 20 if n in LABELS else 200 for n in names}
    if given is None:
        return usual
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in usual]
        if unknown:
            raise FormatError(f"n_permutations names {list_some(unknown)}, none of the models")
        usual.update({name: int(n) for name, n in given.items()})
    else:
        usual = dict.fromkeys(names, int(given))
    if min(usual.values()) < 2:
        raise FormatError(f"n_permutations is at least 2, found {min(usual.values())}")
    return usual


def judge_size(cohort: Cohort, y: pd.Series, exclude: Sequence[str]) -> SampleSizeVerdict:
    """Judge the number of people for a model on all predictors, before any is fitted."""
    features = ClinicalFeatures(exclude=exclude).fit(cohort.known_at_index())
    return sample_size_verdict(len(y), int(y.sum()), len(features.get_feature_names_out()))


def on_other_people(
    cohort: Cohort,
    outcome: str,
    references: Mapping[str, Sequence[str]],
    permutations: Mapping[str, int],
    options: Mapping[str, Any],
    notes: list[str],
) -> Iterator[tuple[str, CVResult]]:
    """Evaluate each reference on the people whose value is known."""
    for name, columns in references.items():
        known = cohort.require(*columns)
        if len(known) == len(cohort):
            continue
        y = event_flags(known, outcome)
        rarer = int(min(y.sum(), (1 - y).sum()))
        if rarer < _FEWEST:
            notes.append(
                f"{name}: not evaluated on the {len(known)} people with known values, who are "
                f"{int(y.sum())} with and {int((1 - y).sum())} without the event."
            )
            continue
        yield name, cross_validate(
            clinical_model("logistic", columns=columns), known, outcome,
            SubjectKFold(min(FOLDS, rarer), random_state=options["random_state"]),
            name=f"{name}, where known", baseline=None, n_permutations=permutations[name],
            **options,
        )  # fmt: skip


def on_other_sites(
    cohort: Cohort,
    outcome: str,
    y: pd.Series,
    site: str,
    names: Sequence[str],
    exclude: Sequence[str],
    options: Mapping[str, Any],
    notes: list[str],
) -> dict[str, CVResult]:
    """Leave each site out in turn, where at least two have both outcomes."""
    if site not in cohort.subjects:
        notes.append(f"No test on other sites: the cohort has no column {site!r}.")
        return {}
    both = sites_with_both(y, cohort.subjects[site])
    if both < 2:
        notes.append(f"No test on other sites: {both} with both outcomes, two are needed.")
        return {}
    return {
        name: leave_site_out(
            clinical_model(name, exclude=exclude, random_state=options["random_state"]),  # type: ignore[arg-type]
            cohort, outcome, site, name=f"{LABELS[name]}, new site", baseline=None, **options,
        ).cv
        for name in names
    }  # fmt: skip


class Clock:
    """Times the steps and shows how far they are."""

    def __init__(self, progress: bool, steps: int) -> None:
        from tqdm import tqdm

        self.seconds: dict[str, float] = {}
        self._bar = tqdm(total=steps, disable=not progress, unit="step", leave=False)

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        self._bar.set_description(step)
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 3)
        self._bar.update()

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
