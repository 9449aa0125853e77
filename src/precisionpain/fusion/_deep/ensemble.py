"""What fusions by networks share: members on inner folds, calibrated on who was left out."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd
from scipy import optimize, special
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ...cohort import Cohort
from ...errors import DataWarning, FormatError
from ...evaluation import SubjectKFold
from .._classes import LogOddsClassifier
from .._targets import check_blocks, check_cohort, saw_inside, two_classes
from .._weights import log_losses
from .inputs import BlockSet, Inputs

__all__ = ["DeepFusion", "Member", "calibrate", "cross_fit", "one_thread", "seed_of"]

M = TypeVar("M")


@dataclasses.dataclass(frozen=True)
class Member:
    """One network of an ensemble, with the blocks as its own people taught them.

    Attributes
    ----------
    blocks : BlockSet
    network : torch.nn.Module
    base : float
        Log odds of the prevalence in its people.
    """

    blocks: BlockSet
    network: Any
    base: float


class DeepFusion(LogOddsClassifier, BaseEstimator, metaclass=ABCMeta):
    """Base of the fusions by networks.

    A member is trained on each inner training part; what it says of those left out sets the
    temperature and the intercept. So every training person counts in the weights of all but
    one member and in the calibration, and no one is calibrated on what was learned from them.
    """

    classes_: np.ndarray
    blocks_: pd.DataFrame
    members_: list[Member]
    prevalence_: float
    temperature_: float
    intercept_: float

    # Named here so that every fusion has them.
    blocks: Mapping[str, Any]
    n_members: int
    min_people: int
    device: str
    random_state: int

    def fit(self, X: Cohort, y: Any) -> Self:
        """Train the networks, and calibrate them on people left out.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,)
            Two classes, in their order.

        Returns
        -------
        self

        Raises
        ------
        FormatError
            When `X` is no cohort, there are not two classes, fewer than `min_people`, or a
            setting makes no sense.
        AlignmentError
            When `y` isn't one outcome for each person, or has their keys in another order.
        MissingModalityError
            When no block is left.
        TrainingError
            When the loss or its gradient isn't finite.
        """
        check_cohort(X, self.min_people)
        check_blocks(self.blocks, X)
        for name, value in self.blocks.items():
            if hasattr(value, "predict_proba") and not hasattr(value, "transform"):
                raise FormatError(
                    "a network takes features, found a whole classifier",
                    where=f"blocks[{name!r}]",
                    remedy="use late_fusion, which stacks classifiers",
                )
        self._check()
        classes, target = two_classes(y, X)
        if hasattr(self, "members_"):
            del self.members_  # what fails from here on leaves nothing that looks fitted
        everybody = BlockSet()
        inputs = everybody.fit(self.blocks, X, target, min_people=self.min_people)
        kept = {n: v for n, v in self.blocks.items() if str(n) in everybody.names}

        def train(rows: np.ndarray, number: int) -> Member:
            people, outcome = X[rows], target[rows]
            blocks = BlockSet(everybody.names)
            given = blocks.fit(kept, people, outcome, min_people=2)
            base = float(special.logit(outcome.mean()))
            network = self._train(given, outcome, base, seed_of(self.random_state, number))
            return Member(blocks, network, base)

        def judge(member: Member, rows: np.ndarray) -> np.ndarray:
            # What lies far outside of this part may be the edge of a long tail.
            return self._evidence(member, member.blocks.transform(X[rows], quiet=True))

        with one_thread():
            members, z = cross_fit(X, target, self.n_members, self.random_state, train, judge)
            self._finish(inputs, target)
        self.classes_, self.prevalence_ = classes, float(target.mean())
        self.blocks_, self._everybody = everybody.table, everybody
        self.intercept_, self.temperature_ = calibrate(z, target)
        self.members_ = members
        return self

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who has none of the blocks gets the log odds of the
            `prevalence_`; see `information`.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        has = self.information(X).to_numpy()
        z = np.zeros(len(X))
        with one_thread():
            for member in self.members_:
                z += self._evidence(member, member.blocks.transform(X, quiet=True))
        found = self.intercept_ + z / len(self.members_) / self.temperature_
        return np.where(has.any(axis=1), found, special.logit(self.prevalence_))

    def information(self, X: Cohort) -> pd.DataFrame:
        """Tell who has which of the blocks that the model uses.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of bool, shape (n, n_used_blocks)
            Index as ``X.index``.
        """
        check_is_fitted(self, "members_")
        check_cohort(X)
        has = self._everybody.transform(X).has
        return pd.DataFrame(has, X.index, self._everybody.names)

    def saw(self, people: Sequence[str]) -> np.ndarray:
        """Tell whom weights inside of the blocks were learned from before any `fit`.

        A cross-validation refuses them, as it does for such weights outside of a fusion.

        Parameters
        ----------
        people : sequence of str
            Ids of people.

        Returns
        -------
        numpy.ndarray of bool
        """
        return saw_inside(self.blocks, people)

    # -- what each fusion adds ---------------------------------------------------------------

    @abstractmethod
    def _train(self, inputs: Inputs, y: np.ndarray, base: float, seed: int) -> Any:
        """Return a trained network, whose first output is log odds."""

    def _check(self) -> None:
        """Refuse settings that make no sense."""
        check_counts(self, n_members=2, n_epochs=1)
        check_shares(self, "drop_block", "dropout")

    def _finish(self, inputs: Inputs, y: np.ndarray) -> None:
        """Learn what needs all training people."""

    # -- parts -------------------------------------------------------------------------------

    def _evidence(self, member: Member, inputs: Inputs) -> np.ndarray:
        """Return log odds less those of the prevalence; 0 for who has no block."""
        from .training import outputs

        z = outputs(member.network, inputs, self.device)[0] - member.base
        return np.where(inputs.has.any(axis=1), z, 0.0)


def cross_fit(
    X: Cohort,
    y: np.ndarray,
    n_members: int,
    random_state: int,
    train: Callable[[np.ndarray, int], M],
    judge: Callable[[M, np.ndarray], np.ndarray],
) -> tuple[list[M], np.ndarray]:
    """Train a member on each inner training part, and judge who was left out.

    Parameters
    ----------
    X : Cohort
        n people.
    y : numpy.ndarray of shape (n,)
        0 and 1.
    n_members : int
        Inner folds; fewer where a class has fewer people.
    random_state : int
        Of the folds.
    train : callable
        From positions and the number of the fold to a member.
    judge : callable
        From a member and positions to log odds less those of the prevalence.

    Returns
    -------
    members : list
    z : numpy.ndarray of shape (n,)
        Of everybody, by the member that hadn't seen them.
    """
    rarer = int(np.bincount(y, minlength=2).min())
    if rarer < 2:
        raise FormatError(
            f"expected two people of each class at least, found {rarer} of the rarer one",
            remedy="gather more people, or use fewer folds",
        )
    folds = SubjectKFold(min(n_members, rarer), random_state=random_state)
    members, z = [], np.zeros(len(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for number, (rows, left_out) in enumerate(folds.split(X, y)):
            members.append(train(rows, number))
            z[left_out] = judge(members[-1], left_out)
    return members, z


def calibrate(z: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Find the intercept b and the temperature T of b + z / T.

    A weak prior, log T ~ N(0, 1), keeps the order of the people where there is no evidence
    that the order is worth anything.

    Parameters
    ----------
    z : numpy.ndarray of shape (n,)
        Log odds less those of the prevalence, of people who weren't learned from.
    y : numpy.ndarray of shape (n,)
        0 and 1.

    Returns
    -------
    intercept, temperature : float

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = 4 * rng.normal(size=5000)
    >>> y = (rng.random(5000) < special.expit(0.5 + z / 4)).astype(int)
    >>> intercept, temperature = calibrate(z, y)
    >>> abs(intercept - 0.5) < 0.1, abs(temperature - 4) < 0.3
    (True, True)
    """

    def penalised(t: np.ndarray) -> tuple[float, np.ndarray]:
        b, log_t = t
        part = z * np.exp(-log_t)
        residual = special.expit(b + part) - y
        value = log_losses(b + part, y).sum() + 0.5 * log_t**2
        return float(value), np.array([residual.sum(), log_t - residual @ part])

    start = np.array([special.logit(y.mean()), 0.0])
    bounds = [(None, None), (-5.0, 5.0)]
    found = optimize.minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(np.exp(found.x[1]))


def seed_of(random_state: int, number: int) -> int:
    """Return the seed of a member."""
    return int(np.random.SeedSequence([random_state, number]).generate_state(1)[0])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: networks this small are fastest so, and the same bit for bit."""
    from ..._learning.device import deterministic_threads

    with deterministic_threads(1):
        yield


def check_counts(estimator: Any, **lowest: int) -> None:
    """Refuse whole numbers that are too small."""
    for name, least in lowest.items():
        value = getattr(estimator, name)
        if not (isinstance(value, int | np.integer) and value >= least):
            raise FormatError(f"expected a whole number from {least}, found {value!r}", where=name)


def check_shares(estimator: Any, *names: str) -> None:
    """Refuse what is no share of 0 to below 1."""
    for name in names:
        value = getattr(estimator, name, 0.0)
        if not 0 <= value < 1:
            raise FormatError(f"expected 0 up to below 1, found {value!r}", where=name)
