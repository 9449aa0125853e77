"""How much worse shuffled predictions are, with a bootstrap over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .._weights import log_losses

__all__ = ["drops"]


def drops(
    y: np.ndarray,
    plain: np.ndarray,
    shuffled: Mapping[str, Sequence[np.ndarray]],
    *,
    groups: np.ndarray,
    n_bootstrap: int,
    confidence: float,
    random_state: int,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Compare log odds as they are with those after shuffling.

    Parameters
    ----------
    y : numpy.ndarray of shape (n,)
        0 and 1.
    plain : numpy.ndarray of shape (n, n_rounds)
        Log odds by round of the cross-validation, NaN where somebody wasn't tested.
    shuffled : mapping of str to sequence of numpy.ndarray
        By block, one array like `plain` for each shuffle.
    groups : numpy.ndarray of shape (n,)
        Who each row is of.
    n_bootstrap : int
        Resamples of people, with and without the event apart.
    confidence : float
        Of the intervals.
    random_state : int
        Seed.

    Returns
    -------
    base : dict
        ``auc`` and ``log_loss`` of the predictions as they are.
    rows : dict of dict
        By block, drops, limits and SDs over the shuffles.
    """
    draws = _draws(y, groups, n_bootstrap, random_state)
    rounds = [np.flatnonzero(~np.isnan(column)) for column in plain.T]
    event = y.astype(bool)
    wins = [_wins(event[who], plain[who, k]) for k, who in enumerate(rounds)]
    losses = [log_losses(plain[who, k], y[who]) for k, who in enumerate(rounds)]
    base = {
        "auc": float(np.mean([win.mean() for win in wins])),
        "log_loss": float(np.mean([loss.mean() for loss in losses])),
    }
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]
    rows = {}
    for name, repeats in shuffled.items():
        auc = np.zeros(len(repeats))
        loss = np.zeros(len(repeats))
        boot = {"auc": np.zeros(len(draws)), "log_loss": np.zeros(len(draws))}
        for k, who in enumerate(rounds):
            fewer = np.zeros_like(wins[k])
            more = np.zeros(len(who))
            for r, table in enumerate(repeats):
                lost = wins[k] - _wins(event[who], table[who, k])
                risen = log_losses(table[who, k], y[who]) - losses[k]
                auc[r] += lost.mean() / len(rounds)
                loss[r] += risen.mean() / len(rounds)
                # The AUC is linear in its comparisons, so the shuffles are averaged first.
                fewer += lost / len(repeats)
                more += risen / len(repeats)
            with_event, without = draws[:, who[event[who]]], draws[:, who[~event[who]]]
            pairs = with_event.sum(axis=1) * without.sum(axis=1) * len(rounds)
            with np.errstate(invalid="ignore"):
                boot["auc"] += ((with_event @ fewer) * without).sum(axis=1) / pairs
            boot["log_loss"] += draws[:, who] @ more / (draws[:, who].sum(axis=1) * len(rounds))
        row: dict[str, float] = {}
        for metric, found in (("auc", auc), ("log_loss", loss)):
            low, high = np.nanquantile(boot[metric], levels)
            row |= {
                metric: float(found.mean()),
                f"{metric}_low": float(low),
                f"{metric}_high": float(high),
                f"{metric}_sd": float(found.std(ddof=1)) if len(found) > 1 else np.nan,
            }
        rows[name] = row
    return base, rows


def _wins(event: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Compare everybody with the event with everybody without: 1, 0, or ½ for a tie."""
    one, other = score[event][:, None], score[~event][None, :]
    return (one > other) + 0.5 * (one == other)


def _draws(y: np.ndarray, groups: np.ndarray, n: int, random_state: int) -> np.ndarray:
    """Return how often each row is drawn, n × rows; people stay whole."""
    rng = np.random.default_rng(random_state)
    codes, people = pd.factorize(np.asarray(groups))
    kind = pd.Series(y).groupby(codes).mean().to_numpy()
    counts = np.zeros((n, len(people)))
    for value in np.unique(kind):
        members = np.flatnonzero(kind == value)
        size = len(members)
        counts[:, members] = rng.multinomial(size, np.full(size, 1 / size), size=n)
    return counts[:, codes]
