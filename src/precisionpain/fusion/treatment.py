"""Decompression beside other procedures: what the data, and the evidence, do and don't say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..cohort import Cohort, Outcome
from ..errors import FormatError, MissingModalityError, PrecisionPainError, list_some
from ..evaluation import clinical_model, cross_validate
from ..stats import AUCInterval, standardized_mean_difference, wilson
from .recommended import response_outcome
from .tables import is_numeric

__all__ = ["EVIDENCE", "TreatmentContext", "treatment_context"]

EVIDENCE: tuple[tuple[str, str, str], ...] = (
    (
        "supported",
        "In classical trigeminal neuralgia decompression is the first surgery to offer, when "
        "drugs fail or aren't tolerated.",
        "Bendtsen L, et al. Eur J Neurol 2019;26:831 (a guideline)",
    ),
    (
        "supported",
        "Where MRI shows no neurovascular contact, ablative procedures are preferred.",
        "Bendtsen L, et al. Eur J Neurol 2019;26:831 (a guideline)",
    ),
    (
        "not supported",
        "That one ablative procedure, or radiosurgery, is better than another: trials that "
        "compare procedures are few, small and of very low quality.",
        "Zakrzewska JM, Akram H. Cochrane Database Syst Rev 2011;9:CD007312",
    ),
    (
        "not supported",
        "That a model of the response to decompression tells whom another procedure would serve "
        "better: it has learned from people who had the decompression, whom surgeons had chosen.",
        "Hernán MA, Robins JM. Causal inference: what if. CRC 2020 (no exchangeability)",
    ),
    (
        "not supported",
        "That fractional anisotropy or proteins should decide between decompression and "
        "ablation: no trial has assigned patients by them.",
        "as far as the authors of this library know",
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class TreatmentContext:
    """Procedures side by side, and why they aren't a comparison.

    Parameters
    ----------
    table : pandas.DataFrame
        Index ``procedure``: ``n`` (people), ``known`` (with the outcome), ``events``, ``rate``
        with ``ci_low`` and ``ci_high`` (Wilson).
    balance : pandas.DataFrame
        Index ``predictor``: ``smd``, the standardised difference between those who had the
        first procedure and all others (with a sign for numbers), and ``n``, who has the value;
        largest first.
    choice : AUCInterval or None
        How well the clinic tells, out of fold, who had the first procedure: 0.5 if the choice
        were random. None where there are too few people to say.
    statements : tuple of str
        What this means, and what the literature supports.
    synthetic : bool
        Whether the people are made up.
    """

    table: pd.DataFrame
    balance: pd.DataFrame
    choice: AUCInterval | None
    statements: tuple[str, ...]
    synthetic: bool

    def __repr__(self) -> str:
        title = "Procedures, not a comparison of them" + (
            " – SYNTHETIC DATA" if self.synthetic else ""
        )
        lines = [title, self.table.round(3).to_string(), *(f"- {s}" for s in self.statements)]
        return "\n".join(lines)


def treatment_context(
    cohort: Cohort,
    response: str | Outcome = "bni_1_2",
    *,
    by: str = "index_surgery",
    procedure: str = "MVD",
    without: Sequence[str] = ("none",),
) -> TreatmentContext:
    """Put the outcome after each procedure side by side, with who was chosen for it.

    Parameters
    ----------
    cohort : Cohort
        People of all procedures.
    response : str or Outcome, default "bni_1_2"
        As `response_outcome` takes it, over all procedures; an `Outcome` is taken as it is.
    by : str, default "index_surgery"
        Column of the procedure.
    procedure : str, default "MVD"
        The one that the others stand beside.
    without : sequence of str, default ("none",)
        Values of `by` that are no procedure.

    Returns
    -------
    TreatmentContext

    Raises
    ------
    MissingModalityError
        When the cohort lacks the column, or nobody had the procedure.
    FormatError
        When everybody had the same procedure.

    Notes
    -----
    Nothing here is adjusted. Patients chosen for different procedures differ in what was written
    down (see ``balance``) and in what wasn't, so that a difference between their rates isn't
    an effect of the procedure.

    Examples
    --------
    >>> import precisionpain as pp
    >>> context = pp.fusion.treatment_context(pp.datasets.sample_tn(n_subjects=200))
    >>> context.table.index.tolist()
    ['MVD', 'percutaneous']
    """
    if by not in cohort.subjects:
        raise MissingModalityError(
            f"the cohort has no column {by!r}", remedy="name the column of the procedure: by=..."
        )
    had = cohort.subjects[by].astype(object)
    had = had.mask(had.isin(list(without)))
    if not (had == procedure).any():
        raise MissingModalityError(f"nobody had the procedure {procedure!r} (column {by!r})")
    if had.nunique() < 2:
        raise FormatError(f"everybody with a procedure had {procedure!r}: nothing stands beside it")
    definition = (
        response if isinstance(response, Outcome) else response_outcome(response, surgery=None)
    )
    values = definition.values(cohort.subjects)
    if isinstance(values, pd.DataFrame):
        raise FormatError("the outcome side by side is a binary one, found a survival outcome")
    order = [procedure, *sorted(set(had.dropna()) - {procedure})]
    rows = []
    for name in order:
        of = values[had == name]
        known, events = int(of.notna().sum()), int((of == 1).sum())
        low, high = wilson(events, known) if known else (np.nan, np.nan)
        rate = events / known if known else np.nan
        rows.append([len(of), known, events, rate, low, high])
    columns = ["n", "known", "events", "rate", "ci_low", "ci_high"]
    table = pd.DataFrame(rows, pd.Index(order, name="procedure"), columns)

    people = cohort[np.flatnonzero(had.notna())].without_predictors(
        [by], reason="it is the procedure"
    )
    chosen = (had[had.notna()] == procedure).to_numpy()
    balance = _balance(people, chosen)
    choice = _choice(people, chosen)
    return TreatmentContext(
        table, balance, choice, _words(table, balance, choice), cohort.synthetic
    )


def _balance(people: Cohort, chosen: np.ndarray) -> pd.DataFrame:
    rows = {}
    for name in people.predictors:
        values = people.subjects[name]
        known = values.notna().to_numpy()
        numeric = is_numeric(values) and people.columns[name].kind != "flag"
        given = values.astype(float) if numeric else values.astype(str)
        a, b = given[known & chosen].to_numpy(), given[known & ~chosen].to_numpy()
        if min(len(a), len(b)) < 2 or values[known].nunique() < 2:
            continue
        difference = standardized_mean_difference(a, b, "number" if numeric else "category")
        rows[name] = {"smd": difference, "n": int(known.sum())}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["smd", "n"])
    table.index.name = "predictor"
    return table.sort_values("smd", key=lambda smd: smd.abs(), ascending=False)


def _choice(people: Cohort, chosen: np.ndarray) -> AUCInterval | None:
    if min(chosen.sum(), (~chosen).sum()) < 10 or not people.predictors:
        return None
    labels = pd.Series(chosen.astype(int), people.index, name="procedure")
    try:
        result = cross_validate(
            clinical_model("logistic"), people, labels, baseline=None, n_permutations=1
        )
    except PrecisionPainError:
        return None
    return result.auc


def _words(
    table: pd.DataFrame, balance: pd.DataFrame, choice: AUCInterval | None
) -> tuple[str, ...]:
    said = [
        "These are the outcomes of different people: surgeons and patients chose the procedure. "
        "A difference between the rates isn't an effect of the procedure."
    ]
    uneven = balance.index[balance["smd"].abs() > 0.2].tolist()
    if uneven:
        said.append(
            f"Those who had {table.index[0]} differ from the others in {list_some(uneven, 4)} "
            "(standardised difference above 0.2)."
        )
    if choice is not None:
        said.append(
            f"The clinic tells who had {table.index[0]} with an AUC of {choice.auc:.2f} "
            f"({choice.ci_low:.2f} to {choice.ci_high:.2f}); 0.5 would be a choice by lot."
        )
    said += [f"{kind.capitalize()}: {text} [{source}]" for kind, text, source in EVIDENCE]
    return tuple(said)
