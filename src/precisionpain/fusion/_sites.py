"""Sites as batches, and the covariates whose effects a harmonisation keeps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataWarning, FormatError, LeakageError, list_some
from ..stats._batch_design import Covariates, confounded, tells

__all__ = ["POOLED", "Kept", "batches_of", "check_outcome", "say"]

POOLED = "small sites"


class Kept:
    """Covariates as columns; who lacks one, or has a new level, counts as average in it.

    Parameters
    ----------
    people : pandas.DataFrame
        Covariates of the training people, where levels and averages are learned.
    """

    def __init__(self, people: pd.DataFrame) -> None:
        self._covariates = Covariates([str(name) for name in people], people)
        self._averages = np.zeros(0)
        raw = self._raw(people)
        if raw.shape[1]:
            self._averages = np.nanmean(raw, axis=0)

    def terms(self, people: pd.DataFrame) -> np.ndarray:
        """Return the columns, people × terms, without gaps."""
        raw = self._raw(people)
        return np.where(np.isnan(raw), self._averages, raw)

    def check_told_apart(self, batch: np.ndarray, terms: np.ndarray, name: str) -> None:
        """Refuse covariates that follow from the batch, or from each other."""
        codes, batches = pd.factorize(batch)
        parts, start = {}, 0
        for covariate, levels in self._covariates.levels.items():
            width = 1 if levels is None else max(len(levels) - 1, 0)
            if width:
                parts[covariate] = terms[:, start : start + width]
            start += width
        bad = confounded(np.eye(len(batches))[codes], parts)
        if bad:
            raise FormatError(
                f"{name!r} and covariates {list_some(bad)} are confounded: the effect of one "
                "can't be told from the other's",
                remedy="leave these covariates out",
            )

    def _raw(self, people: pd.DataFrame) -> np.ndarray:
        nobody = np.zeros(len(people), dtype=bool)
        parts = self._covariates.columns(people, nobody)
        return np.hstack([np.empty((len(people), 0)), *parts.values()])


def batches_of(site: pd.Series, min_people: int, small: str) -> pd.Series:
    """Return the batch of each site; small ones are joined, have none, or are refused.

    Parameters
    ----------
    site : pandas.Series
        Site of each training person.
    min_people : int
        Fewer are too few.
    small : {"pool", "error"}
        What to do then.

    Returns
    -------
    pandas.Series
        Index: the sites that have one.
    """
    counts = site.value_counts()
    few = [name for name in counts.index if counts[name] < min_people]
    batches = pd.Series({name: name for name in sorted(counts.index, key=str)}, dtype=object)
    if not few:
        return batches
    told = list_some([f"{name} ({counts[name]})" for name in sorted(few, key=str)])
    if small == "error":
        raise FormatError(
            f"sites with fewer than {min_people} people who have the block: {told}",
            remedy='leave these people out, join sites yourself, or set small="pool"',
        )
    if counts[few].sum() >= min_people and len(few) > 1:
        say(f"sites with fewer than {min_people} people are taken as one: {told}", 6)
        batches[few] = POOLED
        return batches
    say(f"sites with fewer than {min_people} people are too small to harmonise: {told}", 6)
    return batches.drop(few)


def check_outcome(people: pd.DataFrame, site: pd.Series, y: Any) -> None:
    """Refuse sites of one class each, and covariates that tell the outcome.

    Parameters
    ----------
    people : pandas.DataFrame
        Covariates of the training people.
    site : pandas.Series
        Their sites.
    y : array-like
        Their outcome.
    """
    outcome = np.asarray(y)
    known = ~pd.isna(outcome)
    if tells(site[known], outcome[known]):
        raise FormatError(
            f"{str(site.name)!r} and the outcome are confounded: each {site.name} has one class "
            "only, so no method can tell them apart",
            remedy="gather both classes at some site, or predict without Harmonized",
        )
    for name in people:
        if tells(people[name][known], outcome[known]):
            raise LeakageError(
                f"covariate {name!r} gives the outcome away, and keeping its effect would "
                "write the outcome into the features",
                remedy="leave the outcome, and what it follows from, out of covariates",
            )


def say(text: str, stacklevel: int) -> None:
    """Warn of something in the data."""
    warnings.warn(text, DataWarning, stacklevel=stacklevel)
