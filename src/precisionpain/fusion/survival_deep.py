"""Small networks of the time to an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ._survival.base import SurvivalModel
from ._survival.partial import breslow, fit_ridge

__all__ = ["DeepCox"]


class DeepCox(SurvivalModel):
    """Small networks of the log hazard ratio; to be asked for, not to be expected much of.

    One network for each inner fold is trained on the others and stopped when it is best for
    that fold; their mean is the score. What each says of its own fold sets the slope and the
    baseline hazard, so that survival isn't more certain than they are.

    Parameters
    ----------
    blocks : mapping of str to object, optional
        As `CoxRidge` takes them.
    hidden : int, default 8
        Units of the hidden layer.
    dropout : float, default 0.2
        Share of them that is left out at each step.
    weight_decay : float, default 0.1
        Of the weights.
    learning_rate : float, default 0.01
        Of AdamW.
    max_steps : int, default 200
        Of each network; all people are one batch.
    n_folds : int, default 5
        Networks.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    random_state : int, default 0
        Of the networks and of the folds.

    Attributes
    ----------
    networks_ : list of torch.nn.Module
        As fitted.
    slope_ : float
        That their mean is multiplied by: 0 for networks that learned nothing.
    blocks_, follow_up_
        As in `CoxRidge`.

    References
    ----------
    Katzman et al., BMC Medical Research Methodology 18, 24 (2018).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=120).require("recurrence")
    >>> model = pp.fusion.DeepCox(max_steps=20).fit(cohort, cohort.outcome("recurrence"))
    >>> len(model.networks_)
    5
    """

    def __init__(
        self,
        blocks: Mapping[str, Any] | None = None,
        *,
        hidden: int = 8,
        dropout: float = 0.2,
        weight_decay: float = 0.1,
        learning_rate: float = 0.01,
        max_steps: int = 200,
        n_folds: int = 5,
        min_people: int = 20,
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.hidden = hidden
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.max_steps = max_steps
        self.n_folds = n_folds
        self.min_people = min_people
        self.random_state = random_state

    def _learn(self, X: Cohort, frame: pd.DataFrame, time: np.ndarray, event: np.ndarray) -> None:
        import torch
        from sklearn.model_selection import StratifiedKFold

        from ._survival.network import train_network

        blocks = frame.columns.get_level_values("block")
        # Columns of one variance suit a network; that of a block is divided among them.
        self.widths_ = np.sqrt(blocks.map(blocks.value_counts().to_dict()).to_numpy())
        x = self._columns(frame)
        arrays = torch.as_tensor(x), torch.as_tensor(time), torch.as_tensor(event)
        folds = StratifiedKFold(
            max(2, min(self.n_folds, int(event.sum()))),
            shuffle=True,
            random_state=self.random_state,
        )
        labels = event if (~event).sum() >= folds.n_splits else np.arange(len(event)) % 2
        self.networks_: list[Any] = []
        unseen = np.empty(len(time))
        for number, (_, test) in enumerate(folds.split(x, labels)):
            held_out = np.zeros(len(time), dtype=bool)
            held_out[test] = True
            network = train_network(
                *arrays,
                torch.as_tensor(held_out),
                hidden=self.hidden,
                dropout=self.dropout,
                weight_decay=self.weight_decay,
                learning_rate=self.learning_rate,
                max_steps=self.max_steps,
                seed=self.random_state + number,
            )
            self.networks_.append(network)
            unseen[test] = _hazard(network, x)[test]
        self.slope_ = max(0.0, float(fit_ridge(unseen[:, None], time, event, 10.0)[0]))
        self.baseline_ = breslow(time, event, self.slope_ * unseen)

    def _columns(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(frame.fillna(0.0).to_numpy() * self.widths_, dtype=np.float32)

    def _score(self, frame: pd.DataFrame) -> np.ndarray:
        x = self._columns(frame)
        return np.mean([_hazard(network, x) for network in self.networks_], axis=0)

    def _survival(self, frame: pd.DataFrame, times: np.ndarray) -> np.ndarray:
        return self.baseline_.survival(self.slope_ * self._score(frame), times)

    def _median(self, frame: pd.DataFrame) -> np.ndarray:
        return self.baseline_.median(self.slope_ * self._score(frame))


def _hazard(network: Any, x: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        eta = network(torch.as_tensor(x)).numpy().astype(float)
        average = float(network(torch.zeros(1, x.shape[1])))
    return np.asarray(eta - average)  # of two people only the difference means anything
