"""What a classifier of subtypes is, and checks that one keeps its promises."""

from __future__ import annotations

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, LeakageError, PrecisionPainError

__all__ = ["UNASSIGNED", "UNDETERMINED", "SubtypeClassifier", "check_subtype_classifier"]

UNASSIGNED = "unassigned"
UNDETERMINED = "undetermined"


class SubtypeClassifier(BaseEstimator, ABC):
    """Base class of what assigns people to subtypes; the one to derive your own from.

    The rules are scikit-learn's: ``__init__`` only stores its arguments, everything learned ends
    in an underscore, ``fit`` returns self. X is a Cohort of subjects; some of them lack some of
    the blocks. Nothing may be learned from outcomes, nor from people outside of ``fit``.
    `check_subtype_classifier` checks all this.

    Attributes
    ----------
    subtypes_ : tuple of str
        Set by ``fit``: the names of the subtypes, in the order of the columns of
        ``predict_proba``.
    requires : tuple of str
        On the class: blocks that a cohort can't do without, as `available_blocks` names them.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> class ByGrade(pp.fusion.SubtypeClassifier):
    ...     requires = ("clinical",)
    ...
    ...     def fit(self, X, y=None):
    ...         self.subtypes_ = ("conflict", "none")
    ...         return self
    ...
    ...     def predict_proba(self, X):
    ...         grade = X.subjects["sindou_grade"].astype(float)
    ...         p = np.where(grade.isna(), 0.5, np.where(grade >= 2, 0.9, 0.1))
    ...         return np.column_stack([p, 1 - p])
    ...
    ...     def explain(self, X):
    ...         return "Sindou grade " + X.subjects["sindou_grade"].astype(str)
    >>> patients = pp.datasets.sample_tn(n_subjects=60).where(diagnosis="TN")
    >>> ByGrade().fit(patients).predict(patients)[:2].tolist()
    ['conflict', 'conflict']
    >>> len(pp.fusion.check_subtype_classifier(ByGrade, patients)) > 8
    True
    """

    requires: ClassVar[tuple[str, ...]] = ()
    subtypes_: tuple[str, ...]

    @abstractmethod
    def fit(self, X: Cohort, y: Any = None) -> Self:
        """Learn from training people.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,), optional
            Known subtypes, for those that are taught; others ignore it.

        Returns
        -------
        SubtypeClassifier
        """

    @abstractmethod
    def predict_proba(self, X: Cohort) -> np.ndarray:
        """Return the probability of each subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them, also such that `fit` never saw.

        Returns
        -------
        numpy.ndarray, shape (n, n_subtypes)
            Columns as ``subtypes_``; rows sum to 1, also of people who lack everything.
        """

    @abstractmethod
    def explain(self, X: Cohort) -> pd.Series:
        """Say in words why each person was assigned so.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.Series of str
            Index as ``X.index``.
        """

    def predict(self, X: Cohort) -> np.ndarray:
        """Name the most probable subtype.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of str, shape (n,)
            One of ``subtypes_``. A class of yours may answer "unassigned" (too little is known
            of the person) or "undetermined" (enough is known, and it doesn't tell).
        """
        names = np.array(self.subtypes_, dtype=object)
        return names[np.asarray(self.predict_proba(X)).argmax(axis=1)]


def check_subtype_classifier(
    classifier: type[SubtypeClassifier] | SubtypeClassifier, cohort: Cohort, y: Any = None
) -> list[str]:
    """Check that a classifier of subtypes keeps the contract; call it in the tests of yours.

    Parameters
    ----------
    classifier : class or instance of SubtypeClassifier
        A class is built without arguments.
    cohort : Cohort
        At least 40 people with the blocks that it requires, such as
        ``pp.datasets.sample_tn(n_subjects=80)``.
    y : array-like, optional
        Known subtypes of those people, for a classifier that needs them.

    Returns
    -------
    list of str
        What was checked.

    Raises
    ------
    LeakageError
        When it learns from outcomes, from the people that it predicts, or has learned before
        `fit`.
    FormatError
        When anything else of the contract is broken; the message lists all of it.
    """
    if len(cohort) < 40:
        raise FormatError(f"expected a cohort of at least 40 people, found {len(cohort)}")
    trial = _Trial(classifier, cohort, y)
    done, broken, leaks = [], [], []
    for name, check in trial.checks():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                check()
        except LeakageError as error:
            leaks.append(f"{name}: {error}")
        except (AssertionError, PrecisionPainError) as error:
            broken.append(f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever a foreign class raises is a finding
            broken.append(f"{name}: {type(error).__name__}: {error}")
        done.append(name)
        if name == "fit" and (broken or leaks):
            break
    if leaks:
        raise LeakageError("; ".join([*leaks, *broken]), where=trial.label)
    if broken:
        raise FormatError("; ".join(broken), where=trial.label)
    return done


class _Trial:
    def __init__(self, classifier: Any, cohort: Cohort, y: Any) -> None:
        made = classifier() if inspect.isclass(classifier) else classifier
        if not isinstance(made, SubtypeClassifier):
            raise FormatError(
                f"expected a SubtypeClassifier, found {type(made).__name__}",
                remedy="derive it from precisionpain.fusion.SubtypeClassifier",
            )
        self.label = type(made).__name__
        self.made, self.cohort = made, cohort
        self.y = None if y is None else np.asarray(y)
        # Every third person is kept for the test.
        test = np.arange(len(cohort)) % 3 == 0
        self.train, self.test = cohort[~test], cohort[test]
        self.y_train = None if self.y is None else self.y[~test]

    def checks(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("is cloned by its parameters", self.clones),
            ("fit", self.fits),
            ("names of the subtypes", self.names),
            ("predictions", self.predictions),
            ("explanations", self.explanations),
            ("the order of people doesn't matter", self.order),
            ("each person alone gets the same", self.alone),
            ("people who lack blocks", self.missing),
            ("people with new ids", self.strangers),
            ("twice the same", self.deterministic),
            ("fit forgets an earlier fit", self.refit),
            ("nothing is learned in predict", self.stateless),
            ("outcomes aren't looked at", self.outcomes),
        ]

    def _fitted(self, cohort: Cohort | None = None) -> Any:
        return clone(self.made).fit(self.train if cohort is None else cohort, self.y_train)

    def clones(self) -> None:
        before = self.made.get_params(deep=False)
        after = clone(self.made).get_params(deep=False)
        assert before.keys() == after.keys(), "clone has other parameters"
        learned = [name for name in vars(clone(self.made)) if name.endswith("_")]
        if learned:
            raise LeakageError(f"a fresh copy already has {learned}")

    def fits(self) -> None:
        self.model = clone(self.made)
        out = self.model.fit(self.train, self.y_train)
        assert out is self.model, "fit doesn't return self"
        self.p = self._proba(self.model, self.test)
        self.said = np.asarray(self.model.predict(self.test), dtype=object)

    def _proba(self, model: Any, cohort: Cohort) -> np.ndarray:
        p = np.asarray(model.predict_proba(cohort), dtype=float)
        shape = (len(cohort), len(model.subtypes_))
        assert p.shape == shape, f"predict_proba has shape {p.shape}, expected {shape}"
        assert np.isfinite(p).all(), "probabilities are missing or infinite"
        assert (p >= -1e-9).all(), "probabilities are negative"
        assert np.allclose(p.sum(axis=1), 1.0, atol=1e-6), "probabilities don't sum to 1"
        return p

    def names(self) -> None:
        names = self.model.subtypes_
        assert isinstance(names, tuple), "subtypes_ is no tuple"
        assert names, "subtypes_ is empty"
        assert all(isinstance(n, str) and n for n in names), "subtypes_ holds no names"
        assert len(set(names)) == len(names), "names of subtypes come twice"
        assert UNASSIGNED not in names, f"{UNASSIGNED!r} is no subtype"
        known = _blocks(self.cohort)
        lacking = [name for name in self.model.requires if name not in known]
        assert not lacking, f"the cohort of this check lacks what it requires: {lacking}"

    def predictions(self) -> None:
        assert self.said.shape == (len(self.test),), f"predict has shape {self.said.shape}"
        allowed = {*self.model.subtypes_, UNASSIGNED, UNDETERMINED}
        odd = sorted({str(name) for name in self.said} - allowed)
        assert not odd, f"predict gives names that aren't in subtypes_: {odd}"

    def explanations(self) -> None:
        why = self.model.explain(self.test)
        assert isinstance(why, pd.Series), "explain gives no Series"
        assert why.index.equals(self.test.index), "explain isn't indexed by the people"
        assert all(isinstance(text, str) and text for text in why), "explain gives no sentences"

    def order(self) -> None:
        back = np.arange(len(self.test))[::-1]
        turned = self._proba(self.model, self.test[back])
        assert np.allclose(turned[back], self.p, atol=1e-8), "another order gives other answers"

    def alone(self) -> None:
        for row in range(min(3, len(self.test))):
            one = self._proba(self.model, self.test[[row]])
            assert np.allclose(one[0], self.p[row], atol=1e-8), (
                "the answer for a person depends on who else is asked about"
            )

    def missing(self) -> None:
        for name in [*self.cohort.assays, *self.cohort.measurements]:
            if name not in self.model.requires:
                less = _without(self.test, name)
                self._proba(self.model, less)
                assert len(self.model.predict(less)) == len(less)

    def strangers(self) -> None:
        new = _renamed(self.test)
        p = self._proba(self.model, new)
        assert np.allclose(p, self.p, atol=1e-8), "the answer depends on the id of a person"

    def deterministic(self) -> None:
        again = self._proba(self._fitted(), self.test)
        assert np.allclose(again, self.p, atol=1e-8), "two fits on the same people differ"

    def refit(self) -> None:
        model = clone(self.made).fit(self.cohort, self.y)
        again = self._proba(model.fit(self.train, self.y_train), self.test)
        if not np.allclose(again, self.p, atol=1e-8):
            raise LeakageError("a second fit remembers the first")

    def stateless(self) -> None:
        self.model.predict(self.cohort)
        again = self._proba(self.model, self.test)
        if not np.allclose(again, self.p, atol=1e-8):
            raise LeakageError("predicting other people changes the model")

    def outcomes(self) -> None:
        hidden = [n for n, c in self.cohort.columns.items() if c.role in ("outcome", "truth")]
        hidden = [n for n in hidden if n in self.cohort.truth or n in self.train.subjects]
        if not hidden:
            return
        changed = self.train
        rng = np.random.default_rng(0)
        for name in hidden:
            if name in changed.subjects:
                mixed = rng.permutation(changed.subjects[name].to_numpy(dtype=object))
                column = pd.Series(mixed, changed.index).astype(changed.subjects[name].dtype)
                changed = changed.with_columns(
                    pd.DataFrame({name: column}), columns={name: changed.columns[name]}
                )
        again = self._proba(self._fitted(changed), self.test)
        if not np.allclose(again, self.p, atol=1e-8):
            raise LeakageError("the fit changes with the outcomes of the people")


def _blocks(cohort: Cohort) -> list[str]:
    from .blocks import available_blocks

    return available_blocks(cohort)


def _without(cohort: Cohort, name: str) -> Cohort:
    """Return the people of which nobody has a block."""
    if name in cohort.assays:
        assay = cohort.assays[name]
        nobody = assay.obs["subject_id"].isna().to_numpy()
        return cohort.with_assay(name, assay[nobody].copy())
    return cohort.with_measurements(name, cohort.measurements[name].iloc[:0])


def _renamed(cohort: Cohort) -> Cohort:
    """Return the same people under other ids, in the same order."""
    new = {old: f"new-{place:05d}" for place, old in enumerate(cohort.index)}
    assays = {}
    for name, assay in cohort.assays.items():
        moved = assay.copy()
        moved.obs["subject_id"] = moved.obs["subject_id"].astype(object).map(new)
        assays[name] = moved
    measured = {
        name: table.assign(subject_id=table["subject_id"].map(new))
        for name, table in cohort.measurements.items()
    }
    visits = cohort.visits
    if "subject_id" in visits:
        visits = visits.assign(subject_id=visits["subject_id"].map(new))
    subjects = cohort.subjects.copy()
    subjects.index = pd.Index([new[old] for old in subjects.index], name=subjects.index.name)
    # Images stay behind: their paths name the people.
    days = {str(visit): float(day) for visit, day in cohort.schedule["day"].dropna().items()}
    return Cohort(
        subjects, visits=visits if len(visits) else None, assays=assays, measurements=measured,
        columns={k: v for k, v in cohort.columns.items() if k in subjects},
        schedule=days, landmark=cohort.landmark, synthetic=cohort.synthetic,
    )  # fmt: skip
