"""One training: the whole network, or its head on features of a frozen trunk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..._learning.loop import History, Recipe, train
from ..batch_norm import precise_bn
from ..networks import ResNet3D
from .training import Batches, digest, frozen_features, loss_with, place, settle, watcher

__all__ = ["Fitting"]

Labelled = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass
class Fitting:
    """One training of a network, in place.

    Parameters
    ----------
    settings : mapping
        Parameters of a `ChronicPainClassifier`.
    network : ResNet3D
        To be trained.
    device : torch.device
    amp : bool
        Whether to train in bfloat16.
    """

    settings: Mapping[str, Any]
    network: ResNet3D
    device: torch.device
    amp: bool
    steps_per_epoch: int = 0

    def run(
        self,
        inputs: np.ndarray,
        codes: np.ndarray,
        members: np.ndarray,
        held: np.ndarray,
        watched: Labelled | None,
    ) -> History:
        """Train.

        Parameters
        ----------
        inputs : numpy.ndarray, shape (n, 1, depth, height, width)
        codes : numpy.ndarray of int, shape (n,)
        members, held : numpy.ndarray of int
            Positions of those who are learned from, and of those whom early stopping watches.
        watched : tuple of numpy.ndarray, optional
            Inputs and codes of others to watch.

        Returns
        -------
        History
        """
        settle(self.network, self.device)
        groups: dict[str, Labelled] = {"members": (inputs[members], codes[members])}
        if len(held):
            groups["watched"] = inputs[held], codes[held]
        elif watched is not None:
            groups["watched"] = watched
        fingerprint = self._fingerprint(groups)
        if not self.settings["freeze"]:
            history = self._train(self.network, groups, fingerprint)
            self._refresh_statistics(groups["members"][0])
            return history
        self.network.eval()
        self._refresh_statistics(groups["members"][0])
        size = self.settings["batch_size"]
        seen = {n: (frozen_features(self.network, x, size), c) for n, (x, c) in groups.items()}
        head = _Head(self.network.fc, seen["members"][0])
        history = self._train(head, seen, fingerprint)
        head.fold()
        return history

    def _train(
        self, network: nn.Module, groups: Mapping[str, Labelled], fingerprint: str
    ) -> History:
        settings, frozen = self.settings, self.settings["freeze"]
        batch_size, seed = settings["batch_size"], settings["random_state"]
        x, codes = groups["members"]
        batches = Batches(
            place(x, self.device, settings["memory"]), codes, batch_size, seed, self.device,
            augmentation=settings["augmentation"], plane=settings["plane"],
            swap_sides=settings["swap_sides"],
        )  # fmt: skip
        self.steps_per_epoch = batches.n_steps
        trunk, head = settings["learning_rate"], settings["head_learning_rate"]
        stopping = settings["early_stopping"] is not None
        watch = None
        if "watched" in groups:
            inputs, known = groups["watched"]
            watch = watcher(
                place(inputs, self.device, settings["memory"]), known, batch_size,
                people=not stopping,
            )  # fmt: skip
        folder, log = (settings[name] for name in ("checkpoint", "log"))
        return train(
            network,
            batches,
            loss_with(settings["pos_weight"]),
            Recipe(
                learning_rate=head if frozen else trunk,
                rates={} if frozen else {"fc.": head / trunk},
                n_steps=settings["n_epochs"] * batches.n_steps,
                weight_decay=settings["weight_decay"],
                schedule="constant", gradient_clip=None,
                amp=self.amp and not frozen, channels_last=not frozen,
            ),
            seed=seed,
            device=self.device,
            validate=watch,
            validate_every=batches.n_steps,
            patience=settings["patience"] if stopping else None,
            checkpoint=None if folder is None else Path(folder) / fingerprint[:16],
            checkpoint_every=batches.n_steps,
            fingerprint=fingerprint,
            log=None if log is None else Path(log) / f"{fingerprint[:16]}.csv",
            log_every=batches.n_steps,
            progress=settings["progress"],
        )  # fmt: skip

    def _refresh_statistics(self, inputs: np.ndarray) -> None:
        if self.settings["precise_bn"]:
            batches = torch.from_numpy(inputs).split(self.settings["batch_size"])
            precise_bn(self.network, [batch.to(self.device) for batch in batches])

    def _fingerprint(self, groups: Mapping[str, Labelled]) -> str:
        """Return a hash of all that the result depends on."""
        if self.settings["checkpoint"] is None and self.settings["log"] is None:
            return ""
        chosen = {name: self.settings[name] for name in _DECISIVE}
        found = hashlib.sha256(f"{chosen} {self.network.settings}".encode())
        found.update(f"{digest(self.network.state_dict())} {self.device.type} {self.amp}".encode())
        for name, (inputs, codes) in groups.items():
            found.update(f"{name} {inputs.shape} {codes.tolist()}".encode())
            found.update(np.ascontiguousarray(inputs).data)
        return found.hexdigest()


_DECISIVE = (
    "plane", "freeze", "n_epochs", "batch_size", "learning_rate", "head_learning_rate",
    "weight_decay", "pos_weight", "augmentation", "swap_sides", "early_stopping", "patience",
    "precise_bn", "random_state",
)  # fmt: skip


class _Head(nn.Module):
    """The head of a frozen trunk, learning from z-scores of the features.

    Features have any scale, and one learning rate wants one scale. Before and after it is
    the same function of the features themselves.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, fc: nn.Linear, features: np.ndarray) -> None:
        super().__init__()
        self.fc = fc
        mean, scale = (torch.from_numpy(each).to(fc.weight.device) for each in
                       (features.mean(0), features.std(0)))  # fmt: skip
        # A feature that is the same in everybody says nothing.
        scale = torch.where(scale > 1e-6 * (mean.abs() + scale), scale, 1.0)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        with torch.no_grad():
            fc.bias.add_(fc.weight @ mean)
            fc.weight.mul_(scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc((features - self.mean) / self.scale)

    def fold(self) -> None:
        """Make the head one for the features as they are."""
        with torch.no_grad():
            self.fc.weight.div_(self.scale)
            self.fc.bias.sub_(self.fc.weight @ self.mean)
