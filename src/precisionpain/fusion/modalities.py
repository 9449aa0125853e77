"""What blocks of data are worth to a model, and what it would say without them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ..evaluation import CVResult
from ..evaluation._pooling import as_table
from ._explain.altered import Altered, Change, taken_away
from ._explain.drops import drops
from ._targets import two_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ModalityImportance", "modality_importance", "without_block"]

# From this correlation on, what two blocks say is called alike.
_ALIKE = 0.3


@dataclasses.dataclass(frozen=True, repr=False)
class ModalityImportance:
    """How much worse predictions get when a block is shuffled among those who have it.

    Parameters
    ----------
    table : pandas.DataFrame
        Index ``block``: ``n`` (people who have it, of those predicted; 0 if the model left it
        out), ``auc`` (drop of the AUC) and ``log_loss`` (rise of the log loss), means over the
        repeats; ``auc_low``, ``auc_high``, ``log_loss_low``, ``log_loss_high`` (bootstrap of
        people); ``auc_sd`` and ``log_loss_sd`` over the repeats.
    auc, log_loss : float
        Of the predictions as they are.
    alike : pandas.DataFrame
        Correlation of what the blocks add to the log odds, over people who have both.
    notes : tuple of str
        Blocks that say much the same: shuffling one leaves what the other knows.
    n_repeats : int
        How often each block was shuffled.
    confidence : float
        Of the intervals.
    synthetic : bool
        Whether the people are made up.
    """

    table: pd.DataFrame
    auc: float
    log_loss: float
    alike: pd.DataFrame
    notes: tuple[str, ...]
    n_repeats: int
    confidence: float
    synthetic: bool

    def plot(self, metric: str = "auc", *, ax: Any = None) -> Axes:
        """Draw the drops with their intervals.

        Parameters
        ----------
        metric : {"auc", "log_loss"}, default "auc"
            Of what.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ._explain.figures import forest

        return forest(self, metric, ax)

    def __repr__(self) -> str:
        lines = [
            f"ModalityImportance: AUC {self.auc:.3f}, log loss {self.log_loss:.3f}; each block "
            f"shuffled {self.n_repeats} times" + (" – SYNTHETIC DATA" if self.synthetic else ""),
            self.table[["n", "auc", "auc_low", "auc_high", "log_loss"]].round(3).to_string(),
            *self.notes,
        ]
        return "\n".join(lines)


def modality_importance(
    model: Any,
    cohort: Cohort | None = None,
    outcome: Any = None,
    *,
    together: Sequence[Sequence[str]] = (),
    n_repeats: int = 20,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    random_state: int = 0,
) -> ModalityImportance:
    """Measure how much worse predictions get when a whole block is shuffled.

    All columns of the block go together from one person to another, among those who have the
    block; who lacks it goes on lacking it.

    Parameters
    ----------
    model : CVResult or estimator
        A cross-validation with ``keep_models=True``, of which each fold's model predicts its
        test people again; or a fitted model, and people whom it hasn't seen.
    cohort : Cohort, optional
        For a fitted model: people it hasn't seen.
    outcome : str or array-like of shape (n,), optional
        For a fitted model: name of a binary outcome of the cohort, or the values.
    together : sequence of sequences of str, default ()
        Blocks to shuffle as one as well, for those that say much the same.
    n_repeats : int, default 20
        How often each block is shuffled.
    n_bootstrap : int, default 1000
        Resamples of people.
    confidence : float, default 0.95
        Of the intervals.
    random_state : int, default 0
        Seed of the shuffles and of the bootstrap.

    Returns
    -------
    ModalityImportance
        A drop near 0 means that this model gets by without the block, because it says nothing
        new or because too little was learned of it; not that the block knows nothing.

    Raises
    ------
    MissingModalityError
        When the models weren't kept, or a block of `together` doesn't exist.
    FormatError
        When the outcome has one class, or `n_repeats` is below 1.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=160)
    >>> result = pp.evaluation.cross_validate(
    ...     pp.fusion.early_fusion({"clinic": "clinical", "scan": "diffusion"}), cohort,
    ...     "mvd_response", cv=3, baseline=None, keep_models=True)
    >>> found = pp.fusion.modality_importance(result, n_repeats=5)
    >>> found.table.index.tolist()
    ['clinic', 'scan']
    """
    if n_repeats < 1:
        raise FormatError(f"expected n_repeats of at least 1, found {n_repeats}")
    y, splits, models, people = _held_out(model, cohort, outcome)
    if len(np.unique(y)) < 2:
        raise FormatError("the outcome has one class only among these people")
    altered = [Altered(fitted) for fitted in models]
    blocks = altered[0].names
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in blocks}
    for several in together:
        unknown = [name for name in several if name not in blocks]
        if unknown:
            raise MissingModalityError(
                f"the model has no block {list_some(unknown)}",
                remedy=f"its blocks are {list_some(blocks)}",
            )
        groups[" + ".join(several)] = tuple(several)

    n = len(y)
    has = pd.DataFrame(False, people.index, blocks)
    removed: list[pd.DataFrame] = []
    plain = []
    shuffled: dict[str, list[list[np.ndarray]]] = {
        name: [[] for _ in range(n_repeats)] for name in groups
    }
    for fold, ((_, test), each) in enumerate(zip(splits, altered, strict=True)):
        held_out = people[test]
        eta = each.log_odds(held_out, {})
        plain.append(eta)
        there = each.available(held_out)
        has.iloc[test] |= there.to_numpy()
        gone = {name: eta - each.log_odds(held_out, {name: taken_away}) for name in blocks}
        removed.append(pd.DataFrame(gone, held_out.index).where(there))
        for name, members in groups.items():
            for repeat in range(n_repeats):
                seed = [random_state, fold, repeat]
                changes = {member: _shuffle(seed) for member in members}
                shuffled[name][repeat].append(each.log_odds(held_out, changes))

    def table_of(parts: list[np.ndarray]) -> np.ndarray:
        return as_table(n, splits, parts)

    base, rows = drops(
        y, table_of(plain),
        {name: [table_of(parts) for parts in repeats] for name, repeats in shuffled.items()},
        groups=people.groups, n_bootstrap=n_bootstrap, confidence=confidence,
        random_state=random_state,
    )  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
    counts = [int(has[list(members)].any(axis=1).sum()) for members in groups.values()]
    table.insert(0, "n", counts)
    alike = pd.concat(removed).corr(min_periods=10)
    return ModalityImportance(
        table=table,
        auc=base["auc"],
        log_loss=base["log_loss"],
        alike=alike,
        notes=tuple(_notes(alike)),
        n_repeats=n_repeats,
        confidence=confidence,
        synthetic=people.synthetic,
    )


def _held_out(
    model: Any, cohort: Cohort | None, outcome: Any
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]], list[Any], Cohort]:
    """Return outcomes, splits, the model of each, and the people as the models saw them."""
    if isinstance(model, CVResult):
        if cohort is not None and not cohort.index.equals(model.cohort.index):
            raise AlignmentError(
                "the cohort isn't that of the cross-validation",
                remedy="leave it out: the test people of each fold are taken",
            )
        if not model.models:
            raise MissingModalityError(
                "the fitted models weren't kept",
                remedy="call cross_validate(..., keep_models=True)",
            )
        people = model.cohort.known_at_index(allow=model.allow)
        return model.y, model.splits, model.models, people
    if not isinstance(cohort, Cohort):
        raise MissingModalityError(
            f"a fitted model is judged on people, expected a Cohort, found {type(cohort).__name__}"
        )
    if outcome is None:
        raise MissingModalityError("a fitted model is judged by an outcome, found none")
    values = cohort.outcome(outcome) if isinstance(outcome, str) else outcome
    _, y = two_classes(values, cohort)
    everybody = np.arange(len(cohort))
    return y, [(everybody[:0], everybody)], [model], cohort


def _shuffle(seed: Sequence[int]) -> Change:
    """Return a change that hands the rows of those who have the block around among them."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        # Drawn anew at every call, so that all parts of an ensemble see the same exchange.
        rng = np.random.default_rng(list(seed))
        has = frame.notna().any(axis=1).to_numpy()
        # Everybody stands in a circle and takes the data of the next one who has the block, so
        # that blocks that are shuffled together mostly come from the same person.
        circle = rng.permutation(len(frame))
        who = circle[has[circle]]
        donors = np.arange(len(frame))
        donors[who] = np.roll(who, -1)
        return frame.iloc[donors].set_axis(frame.index)

    return change


def _notes(alike: pd.DataFrame) -> list[str]:
    notes = []
    names, r = list(map(str, alike)), alike.to_numpy()
    for i, j in itertools.combinations(range(len(names)), 2):
        if np.isfinite(r[i, j]) and abs(r[i, j]) >= _ALIKE:
            shown = f"{r[i, j]:.2f}".replace("-", "−")
            notes.append(
                f"{names[i]} and {names[j]} say related things (r = {shown} between what they "
                "add): shuffling one leaves what the other knows; see `together`"
            )
    return notes


def without_block(model: Any, cohort: Cohort) -> pd.DataFrame:
    """Tell what a model would say of each person if a block were missing.

    Parameters
    ----------
    model : CVResult or estimator
        A fitted model; or a cross-validation with ``keep_models=True``, whose people are then
        asked about with the first model that hadn't seen them.
    cohort : Cohort
        People, n of them.

    Returns
    -------
    pandas.DataFrame of shape (n, 1 + 2 * n_blocks)
        Index as ``cohort.index``; columns (block, what). ("all", "p") is the probability with
        everything that the person has; (block, "p") that without the block, and
        (block, "change") the second less the first. Where the person lacks the block, or the
        model left it out, nothing can be taken away: ``p`` is as with all, and ``change`` is
        missing.

    Raises
    ------
    FormatError
        When the model has no blocks that could be taken away.
    MissingModalityError
        When the models of a cross-validation weren't kept.
    AlignmentError
        When a cross-validation didn't test some of the people.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("mvd_response")
    >>> model = pp.fusion.early_fusion({"clinic": "clinical", "scan": "diffusion"})
    >>> model = model.fit(cohort, cohort.outcome("mvd_response"))
    >>> pp.fusion.without_block(model, cohort).columns.tolist()[:3]
    [('all', 'p'), ('clinic', 'p'), ('clinic', 'change')]
    """
    if not isinstance(cohort, Cohort):
        raise FormatError(f"expected a Cohort, found {type(cohort).__name__}")
    if not isinstance(model, CVResult):
        return _without(model, cohort)
    if not model.models:
        raise MissingModalityError(
            "the fitted models weren't kept",
            remedy="call cross_validate(..., keep_models=True)",
        )
    visible = model.cohort.known_at_index(allow=model.allow)
    left = visible.index.isin(cohort.index)
    parts = []
    for (_, test), fitted in zip(model.splits, model.models, strict=True):
        rows = np.asarray(test)[left[test]]
        left[rows] = False
        if len(rows):
            parts.append(_without(fitted, visible[rows]))
    found = pd.concat(parts) if parts else pd.DataFrame()
    unknown = cohort.index.difference(found.index)
    if len(unknown):
        raise AlignmentError(
            f"{len(unknown)} people weren't tested in the cross-validation",
            remedy="ask a fitted model about them instead",
        )
    return found.reindex(cohort.index)


def _without(model: Any, X: Cohort) -> pd.DataFrame:
    altered = Altered(model)
    p = expit(altered.log_odds(X, {}))
    has = altered.available(X)
    columns: dict[tuple[str, str], np.ndarray] = {("all", "p"): p}
    for name in altered.names:
        there = has[name].to_numpy()
        q = np.where(there, expit(altered.log_odds(X, {name: taken_away})), p)
        columns[name, "p"] = q
        columns[name, "change"] = np.where(there, q - p, np.nan)
    frame = pd.DataFrame(columns, X.index)
    frame.columns.names = ["block", "what"]
    return frame
