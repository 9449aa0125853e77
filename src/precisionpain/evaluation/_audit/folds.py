"""Whether any folds at all can have the printed means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from .confusion import all_matrices, measures
from .printed import Printed

__all__ = ["FoldAudit", "audit_folds", "fold_positives", "fold_sizes"]

# A programme beyond this many matrices per fold takes too long to be worth it.
MOST_MATRICES = 30_000
_NODES = 500  # not seconds: the verdict is the same on every machine
_RESTARTS = 10
_HEAT = [0.5 * 0.9**sweep for sweep in range(60)]


def fold_sizes(n: int, n_folds: int) -> list[int]:
    """Return sizes of folds as even as they can be.

    Parameters
    ----------
    n, n_folds : int
        People and folds.

    Returns
    -------
    list of int

    Examples
    --------
    >>> fold_sizes(10, 4)
    [3, 3, 2, 2]
    """
    return [n // n_folds + (fold < n % n_folds) for fold in range(n_folds)]


def fold_positives(n_positive: int, n_folds: int) -> list[int]:
    """Return the numbers of people with the event that a fold of a stratified split may have.

    Parameters
    ----------
    n_positive, n_folds : int
        People with the event, and folds.

    Returns
    -------
    list of int
    """
    return sorted(set(fold_sizes(n_positive, n_folds)))


@dataclasses.dataclass(frozen=True)
class FoldAudit:
    """What `audit_folds` found.

    Parameters
    ----------
    state : {"possible", "impossible", "undecided", "too large"}
        Whether folds with these means exist.
    example : numpy.ndarray of shape (n_folds, 4)
        Folds that do: TP, FP, FN, TN; empty otherwise.
    clash : tuple of str
        Measures that can't stand together, none of which can be spared.
    explanation : str
        A convention under which the means are possible after all; empty if none is known.
    accuracy : tuple of float
        Least and greatest mean accuracy that goes with the other means.
    """

    state: str
    example: NDArray[np.int64]
    clash: tuple[str, ...] = ()
    explanation: str = ""
    accuracy: tuple[float, float] = (np.nan, np.nan)


class _Folds:
    """Count how many folds have each confusion matrix, so that sums and means agree.

    For a mean printed between l and h, the counts x must meet K·l ≤ Σ x·value ≤ K·h over
    K folds; sizes and people with the event add up likewise.
    """

    def __init__(self, sizes: Sequence[int], n_positive: int, stratified: bool) -> None:
        self.sizes = np.array(sizes)
        allowed = fold_positives(n_positive, len(sizes)) if stratified else range(n_positive + 1)
        different = sorted(set(sizes))
        self.matrices = np.concatenate(
            [all_matrices(n, [m for m in allowed if m <= n]) for n in different]
        )
        tp, fp, fn, tn = self.matrices.T
        self.n = tp + fp + fn + tn
        self.predicted = (tp + fp > 0).astype(float)
        self.values = measures(self.matrices)
        self.fixed = [
            ((self.n == size) * 1.0, float(list(sizes).count(size))) for size in different
        ]
        self.fixed.append(((tp + fn) * 1.0, float(n_positive)))

    def constraints(
        self, figures: Mapping[str, Printed], omit: frozenset[str], predicting: int | None
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Return rows, their limits, and the matrices that may be used at all."""
        rows = [(row, total, total) for row, total in self.fixed]
        if predicting is not None:
            rows.append((self.predicted, float(predicting), float(predicting)))
        usable = np.ones(len(self.matrices), dtype=bool)
        for name, figure in figures.items():
            least, greatest = self.values[name]
            if name == "auc":
                # A fold of one class has no AUC; a study that prints a mean had none such.
                usable &= ~np.isnan(least)
                least, greatest = np.nan_to_num(least), np.nan_to_num(greatest)
            # What is left out of a mean is 0 here, so that the sum is over the others.
            k = predicting if name in omit and predicting is not None else len(self.sizes)
            if least is greatest:
                rows.append((least, k * figure.low, k * figure.high))
            else:
                rows.append((least, -np.inf, k * figure.high))
                rows.append((greatest, k * figure.low, np.inf))
        table, low, high = zip(*rows, strict=True)
        return np.array(table), np.array(low), np.array(high), usable

    def solve(
        self,
        figures: Mapping[str, Printed],
        *,
        omit: frozenset[str] = frozenset(),
        predicting: int | None = None,
        goal: NDArray | None = None,
        whole: bool = False,
    ) -> tuple[str, float]:
        """Say whether counts exist; fractions of folds are allowed unless `whole`.

        `omit` leaves measures out of the folds that predict no event, and all but
        `predicting` folds predict none.
        """
        table, low, high, usable = self.constraints(figures, omit, predicting)
        size = len(self.matrices)
        result = milp(
            np.zeros(size) if goal is None else goal,
            integrality=np.full(size, int(whole)),
            bounds=Bounds(0, np.where(usable, float(len(self.sizes)), 0.0)),
            constraints=LinearConstraint(csr_array(table), low, high),
            options={"node_limit": _NODES},
        )
        if result.x is None:
            return ("impossible" if result.status == 2 else "undecided"), np.nan
        return "possible", float(result.fun)

    def search(self, figures: Mapping[str, Printed]) -> NDArray[np.int64] | None:
        """Look for an example by changing one fold at a time, with a noise that dies away."""
        table, low, high, usable = self.constraints(figures, frozenset(), None)
        values = table.T[:, len(set(self.sizes)) :]  # the size of each fold is kept
        low, high = (limits[len(set(self.sizes)) :] for limits in (low, high))
        choices = [np.flatnonzero(usable & (self.n == size)) for size in self.sizes]
        rng = np.random.default_rng(0)
        for _ in range(_RESTARTS):
            chosen = np.array([rng.choice(options) for options in choices])
            for heat in _HEAT:
                for fold in rng.permutation(len(chosen)):
                    options = choices[fold]
                    rest = values[np.delete(chosen, fold)].sum(axis=0)
                    total = rest + values[options]
                    beyond = np.maximum(np.maximum(low - total, total - high), 0).sum(axis=1)
                    best = int(np.argmin(beyond + heat * rng.gumbel(size=len(options))))
                    chosen[fold] = options[best]
                    if beyond[best] == 0:
                        return self.matrices[np.sort(chosen)]
        return None


def audit_folds(
    figures: Mapping[str, Printed],
    sizes: Sequence[int],
    n_positive: int,
    *,
    stratified: bool = False,
) -> FoldAudit:
    """Look for confusion matrices of the folds whose means are as printed.

    Parameters
    ----------
    figures : mapping of str to Printed
        Means over the folds, by name.
    sizes : sequence of int
        People in each fold.
    n_positive : int
        People with the event in all folds together.
    stratified : bool, default False
        Whether the folds share these people out evenly.

    Returns
    -------
    FoldAudit
    """
    empty = np.empty((0, 4), dtype=np.int64)
    largest = max(sizes)
    width = len(set(sizes)) * (largest**3 / 6 if not stratified else (largest / 2) ** 2 * 2)
    if width > MOST_MATRICES:
        return FoldAudit("too large", empty)
    folds = _Folds(sizes, n_positive, stratified)
    accuracy = _accuracy(folds, figures)
    whole = False
    state, _ = folds.solve(figures)
    if state != "impossible":
        example = folds.search(figures)
        if example is not None:
            return FoldAudit("possible", example, accuracy=accuracy)
        whole = True
        state, _ = folds.solve(figures, whole=True)
        if state != "impossible":
            return FoldAudit(state, empty, accuracy=accuracy)
    clash = tuple(figures)
    for name in figures:
        fewer = {key: figures[key] for key in clash if key != name}
        if fewer and folds.solve(fewer, whole=whole)[0] == "impossible":
            clash = tuple(fewer)
    return FoldAudit("impossible", empty, clash, _explain(folds, figures), accuracy)


def _accuracy(folds: _Folds, figures: Mapping[str, Printed]) -> tuple[float, float]:
    """Return bounds that allow fractions of folds, so at least as wide as the true ones."""
    others = {name: figure for name, figure in figures.items() if name != "accuracy"}
    value = folds.values["accuracy"][0] / len(folds.sizes)
    low, high = (folds.solve(others, goal=sign * value)[1] for sign in (1, -1))
    return low, -high


def _explain(folds: _Folds, figures: Mapping[str, Printed]) -> str:
    """Look for a way of leaving out undefined values that may make the means possible."""
    n_folds = len(folds.sizes)
    for names in ({"precision"}, {"f1"}, {"precision", "f1"}):
        for predicting in range(n_folds - 1, 0, -1) if names <= set(figures) else ():
            left_out = frozenset(names)
            if folds.solve(figures, omit=left_out, predicting=predicting)[0] == "possible":
                return (
                    f"the means of {' and '.join(sorted(names))} would have to leave out at least "
                    f"{n_folds - predicting} of {n_folds} folds as undefined that count as 0 in "
                    "the other means"
                )
    return ""
