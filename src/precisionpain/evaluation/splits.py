"""Splits that keep every person on one side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError, LeakageError, MissingModalityError

__all__ = ["LeaveSiteOut", "RepeatedSubjectKFold", "SubjectKFold", "check_splits"]

Split = tuple[np.ndarray, np.ndarray]


class _SubjectSplitter:
    """What the splitters share: who a row belongs to."""

    def _groups(self, X: Any, groups: Any) -> np.ndarray:
        if isinstance(X, Cohort):
            return X.groups
        if groups is not None:
            return np.asarray(groups)
        return np.arange(X.shape[0] if hasattr(X, "shape") else len(X))

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class SubjectKFold(_SubjectSplitter):
    """k folds of people, stratified by outcome.

    The people are read from the Cohort, so nested cross-validation needs no ``groups``
    (scikit-learn doesn't pass them on by default; its issues 7646 and 22256).

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    stratify : bool, default True
        Whether to give each fold the same share of each outcome.
    stratify_by : str or sequence of str, optional
        Further columns of ``subjects`` to balance as far as their numbers allow, for
        example ``"site"``.
    shuffle : bool, default True
        Whether to shuffle the people first.
    random_state : int or None, default 0
        Seed of the shuffling.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn().require("mvd_response")
    >>> nerves = cohort.per_nerve()
    >>> for train, test in pp.evaluation.SubjectKFold(4).split(nerves):
    ...     assert not set(nerves.groups[train]) & set(nerves.groups[test])
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        stratify: bool = True,
        stratify_by: str | Sequence[str] | None = None,
        shuffle: bool = True,
        random_state: int | None = 0,
    ) -> None:
        self.n_splits = n_splits
        self.stratify = stratify
        self.stratify_by = stratify_by
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Generate the folds.

        Parameters
        ----------
        X : Cohort or array-like
            The rows.
        y : array-like of shape (n_rows,), optional
            Outcome to stratify by. A continuous outcome isn't stratified.
        groups : array-like of shape (n_rows,), optional
            Subject of each row, where X is no Cohort.

        Yields
        ------
        train, test : numpy.ndarray
            Positions of rows.

        Raises
        ------
        FormatError
            When there are fewer people (of one outcome) than folds.
        """
        from sklearn.model_selection import KFold, StratifiedKFold

        codes, people = pd.factorize(self._groups(X, groups))
        n = len(people)
        if self.n_splits < 2 or n < self.n_splits:
            raise FormatError(f"{self.n_splits} folds of {n} people are not possible")
        labels = self._labels(X, y, codes, n)
        seed = self.random_state if self.shuffle else None
        if labels is None:
            folds = KFold(self.n_splits, shuffle=self.shuffle, random_state=seed)
            chosen = folds.split(np.zeros(n))
        else:
            folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=seed)
            with warnings.catch_warnings():
                # Strata by site may be smaller than the number of folds; that is balanced
                # as far as it goes. Outcomes that are too rare were refused above.
                warnings.filterwarnings("ignore", "The least populated class", UserWarning)
                chosen = iter(list(folds.split(np.zeros(n), labels)))
        for _, test in chosen:
            inside = np.zeros(n, dtype=bool)
            inside[test] = True
            yield np.flatnonzero(~inside[codes]), np.flatnonzero(inside[codes])

    def _labels(self, X: Any, y: Any, codes: np.ndarray, n: int) -> np.ndarray | None:
        """One label per person, of the outcome and the columns to balance."""
        from sklearn.utils.multiclass import type_of_target

        parts: list[pd.Series] = []
        if self.stratify and y is not None:
            values = y["event"] if isinstance(y, pd.DataFrame) and "event" in y else y
            values = np.asarray(values)
            if type_of_target(values) in ("binary", "multiclass"):
                labels = _label_sets(values, codes, n)
                counts = labels.value_counts()
                if counts.min() < self.n_splits and len(counts) > 1:
                    raise FormatError(
                        f"outcome {counts.idxmin()!r} has {counts.min()} people, fewer than "
                        f"the {self.n_splits} folds",
                        remedy=f"use n_splits={max(2, int(counts.min()))}, or stratify=False",
                    )
                parts.append(labels)
        names = [self.stratify_by] if isinstance(self.stratify_by, str) else self.stratify_by
        for name in names or ():
            parts.append(pd.Series(_column(X, name)).astype(str).groupby(codes).first())
        if not parts:
            return None
        combined = parts[0]
        for part in parts[1:]:
            combined = combined + "|" + part
        return pd.factorize(combined)[0] if combined.nunique() > 1 else None


def _label_sets(values: np.ndarray, codes: np.ndarray, n: int) -> pd.Series:
    """Name the set of outcomes of each person, for example "0", "1" or "0+1"."""
    each, classes = pd.factorize(values, sort=True)
    has = np.zeros((n, len(classes)), dtype=bool)
    has[codes, each] = True
    sets, which = np.unique(has, axis=0, return_inverse=True)
    names = np.array(["+".join(str(c) for c in classes[row]) for row in sets], dtype=object)
    return pd.Series(names[which.ravel()])


def _column(X: Any, name: str) -> np.ndarray:
    if not isinstance(X, Cohort):
        raise FormatError(f"the column {name!r} is read from a Cohort, found {type(X).__name__}")
    subjects = X.subjects
    if name not in subjects:
        raise MissingModalityError(f"the subjects table has no column {name!r}")
    return subjects[name].reindex(X.groups).to_numpy()


class RepeatedSubjectKFold(_SubjectSplitter):
    """k folds of people, repeated with other shuffles.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    n_repeats : int, default 10
        How often.
    stratify : bool, default True
        See `SubjectKFold`.
    stratify_by : str or sequence of str, optional
        See `SubjectKFold`.
    random_state : int, default 0
        Seed of the first repeat; the others follow from it.
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        n_repeats: int = 10,
        stratify: bool = True,
        stratify_by: str | Sequence[str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.stratify = stratify
        self.stratify_by = stratify_by
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds over all repeats.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits * self.n_repeats

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Generate the folds, repeat after repeat; see `SubjectKFold.split`.

        Parameters
        ----------
        X : Cohort or array-like
            The rows.
        y : array-like of shape (n_rows,), optional
            Outcome to stratify by.
        groups : array-like of shape (n_rows,), optional
            Subject of each row, where X is no Cohort.

        Yields
        ------
        train, test : numpy.ndarray
            Positions of rows.
        """
        seeds = np.random.SeedSequence(self.random_state).generate_state(self.n_repeats)
        for seed in seeds:
            folds = SubjectKFold(
                self.n_splits,
                stratify=self.stratify,
                stratify_by=self.stratify_by,
                random_state=int(seed),
            )
            yield from folds.split(X, y, groups)


class LeaveSiteOut(_SubjectSplitter):
    """Each site in turn is the test set, to see whether the model travels.

    Parameters
    ----------
    column : str, default "site"
        The column of ``subjects`` that names the site.
    min_subjects : int, default 1
        Sites with fewer people are never a test set; they stay in training.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=60)
    >>> pp.evaluation.LeaveSiteOut().get_n_splits(cohort) == cohort.subjects["site"].nunique()
    True
    """

    def __init__(self, column: str = "site", *, min_subjects: int = 1) -> None:
        self.column = column
        self.min_subjects = min_subjects

    def _sites(self, X: Any) -> tuple[np.ndarray, list[Any]]:
        sites = _column(X, self.column)
        missing = pd.isna(sites)
        if missing.any():
            raise FormatError(
                f"{int(missing.sum())} rows have no {self.column}",
                remedy=f"leave them out first: cohort.require({self.column!r})",
            )
        owners = pd.Series(X.groups).groupby(sites).nunique()
        tested = [site for site, n in owners.items() if n >= self.min_subjects]
        if len(owners) < 2 or not tested:
            raise FormatError(f"leaving a site out needs at least two sites, found {len(owners)}")
        return sites, tested

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of sites that are tested.

        Parameters
        ----------
        X : Cohort
            The rows.
        y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return len(self._sites(X)[1])

    def sites(self, X: Cohort) -> list[Any]:
        """Return the sites that are tested, in the order of the splits.

        Parameters
        ----------
        X : Cohort
            The rows.

        Returns
        -------
        list
        """
        return self._sites(X)[1]

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Generate one split per site.

        Parameters
        ----------
        X : Cohort
            The rows.
        y, groups : object
            Ignored.

        Yields
        ------
        train, test : numpy.ndarray
            Positions of rows.

        Raises
        ------
        FormatError
            When there is one site only, or somebody has none.
        """
        sites, tested = self._sites(X)
        for site in tested:
            yield np.flatnonzero(sites != site), np.flatnonzero(sites == site)


def check_splits(splits: Iterable[Split], groups: np.ndarray) -> list[Split]:
    """Refuse splits that a person straddles.

    Parameters
    ----------
    splits : iterable of (train, test)
        Positions of rows.
    groups : numpy.ndarray of shape (n_rows,)
        Subject of each row.

    Returns
    -------
    list of (train, test)
        The same splits.

    Raises
    ------
    LeakageError
        When a subject is on both sides of a split.
    FormatError
        When a side is empty or a position is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> splits = [(np.array([0, 1]), np.array([2, 3]))]
    >>> len(check_splits(splits, np.array(["a", "a", "b", "b"])))
    1
    """
    codes, people = pd.factorize(np.asarray(groups))
    checked = []
    for number, (train, test) in enumerate(splits):
        train, test = np.asarray(train), np.asarray(test)
        if len(train) == 0 or len(test) == 0:
            raise FormatError(f"split {number} has an empty side")
        if max(train.max(), test.max()) >= len(codes):
            raise FormatError(f"split {number} names rows beyond the {len(codes)} of the cohort")
        both = np.intersect1d(codes[train], codes[test])
        if len(both):
            raise LeakageError(
                f"{len(both)} of {len(people)} subjects stand in training and in test of "
                f"split {number}",
                remedy="split by subject, for example with SubjectKFold",
            )
        checked.append((train, test))
    if not checked:
        raise FormatError("there is no split")
    return checked
