"""Batches of slabs in memory, their loss, and what a network says of them."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..volumes import Plane
from .augmentation import Augmentation, augment

__all__ = [
    "Batches",
    "digest",
    "frozen_features",
    "logits",
    "loss_with",
    "place",
    "settle",
    "watcher",
]


class Batches:
    """Batches, each a function of its step alone.

    An epoch is a permutation of the people. A last batch of one person joins the one before
    it, for batch normalisation has nothing to compare a single person with.

    Parameters
    ----------
    inputs : torch.Tensor, shape (n, ...)
        Of the training people, where they are kept.
    targets : numpy.ndarray of int, shape (n,)
        0 and 1.
    size : int
        People in a batch.
    seed : int
    device : torch.device
        Where batches are wanted; augmentation runs there.
    augmentation, plane, swap_sides
        As `augment` takes them.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        targets: np.ndarray,
        size: int,
        seed: int,
        device: torch.device,
        *,
        augmentation: Augmentation | None = None,
        plane: Plane = "axial",
        swap_sides: bool = False,
    ) -> None:
        self.inputs, self.size, self.seed, self.device = inputs, size, seed, device
        self.targets = torch.from_numpy(np.asarray(targets, np.float32)).to(device)
        self.augmentation, self.plane, self.swap_sides = augmentation, plane, swap_sides
        n = len(inputs)
        self.n_steps = max(1, math.ceil(n / size) - (size > 1 and n % size == 1))
        """Steps of an epoch, int."""

    def rows(self, step: int) -> np.ndarray:
        """Return whom a step sees."""
        epoch, number = divmod(step, self.n_steps)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.inputs))
        end = len(order) if number == self.n_steps - 1 else (number + 1) * self.size
        return order[number * self.size : end]

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.from_numpy(self.rows(step))
        batch = self.inputs[rows.to(self.inputs.device)].to(self.device)
        if self.augmentation is not None:
            rng = np.random.default_rng([self.seed, step, 1])
            batch = augment(batch, self.augmentation, self.plane, rng, swap_sides=self.swap_sides)
        return batch, self.targets[rows.to(self.device)]


def settle(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, with the channels last in memory.

    Training leaves it so, and another layout would be summed in another order.
    """
    network.to(device)
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


def place(inputs: np.ndarray, device: torch.device, memory: str) -> torch.Tensor:
    """Put inputs where they are kept during training.

    Parameters
    ----------
    inputs : numpy.ndarray of float32
    device : torch.device
        Where the network is.
    memory : {"auto", "cpu", "device"}
        "auto" is the device where they take less than a quarter of what is free there.

    Returns
    -------
    torch.Tensor
    """
    tensor = torch.from_numpy(inputs)
    if memory == "auto" and device.type == "cuda":
        memory = "device" if inputs.nbytes < torch.cuda.mem_get_info(device)[0] / 4 else "cpu"
    return tensor.to(device) if memory == "device" else tensor


def loss_with(pos_weight: float | None) -> Any:
    """Return the loss of a batch: binary cross-entropy, in 32 bits."""

    def loss_of(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        found = network(batch[0])[:, 0].float()
        weight = None if pos_weight is None else found.new_tensor(pos_weight)
        return F.binary_cross_entropy_with_logits(found, batch[1], pos_weight=weight)

    return loss_of


def logits(network: Any, inputs: np.ndarray | torch.Tensor, batch_size: int) -> np.ndarray:
    """Compute logits in 32 bits, as the network is.

    Parameters
    ----------
    network : ResNet3D
        In evaluation mode.
    inputs : numpy.ndarray or torch.Tensor, shape (n, 1, depth, height, width)
    batch_size : int
        On a GPU. On a CPU each person is computed alone, so that no other changes a digit.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
    """
    return _in_chunks(network, network, inputs, batch_size)[:, 0].double().cpu().numpy()


def features(network: Any, inputs: np.ndarray | torch.Tensor, batch_size: int) -> np.ndarray:
    """Compute pooled features; otherwise as `logits`.

    Returns
    -------
    numpy.ndarray of float32, shape (n, n_features)
    """
    return _in_chunks(network, network.features, inputs, batch_size).float().cpu().numpy()


def _in_chunks(
    network: nn.Module,
    compute: Callable[[torch.Tensor], torch.Tensor],
    inputs: np.ndarray | torch.Tensor,
    batch_size: int,
) -> torch.Tensor:
    device = next(network.parameters()).device
    size = 1 if device.type == "cpu" else batch_size
    with torch.inference_mode():
        parts = [compute(batch.to(device)) for batch in torch.as_tensor(inputs).split(size)]
    return torch.cat(parts)


# Digests of trunk and slab → features, the least recently used first. A whole
# cross-validation with permuted labels then runs the trunk once for each fold.
_FEATURES: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
_MOST_FEATURES = 20_000


def frozen_features(network: Any, inputs: np.ndarray, batch_size: int) -> np.ndarray:
    """Compute features of a trunk that doesn't learn, or remember them; as `features`."""
    trunk = digest({k: v for k, v in network.state_dict().items() if not k.startswith("fc.")})
    trunk += f" {network.settings} {next(network.parameters()).device}"
    keys = [(trunk, hashlib.sha256(np.ascontiguousarray(one).data).hexdigest()) for one in inputs]
    new = [i for i, key in enumerate(keys) if key not in _FEATURES]
    found = {key: _FEATURES[key] for key in keys if key in _FEATURES}
    if new:
        computed = features(network, inputs[new], batch_size)
        found |= {keys[i]: one for i, one in zip(new, computed, strict=True)}
    for key, one in found.items():
        _FEATURES[key] = one
        _FEATURES.move_to_end(key)
    while len(_FEATURES) > _MOST_FEATURES:
        _FEATURES.popitem(last=False)
    return np.stack([found[key] for key in keys])


def watcher(
    inputs: np.ndarray | torch.Tensor, codes: np.ndarray, batch_size: int, *, people: bool
) -> Any:
    """Return a function that validates a network: loss, AUC and accuracy.

    Parameters
    ----------
    inputs, codes
        Of the people to watch.
    batch_size : int
    people : bool
        Whether to give the probability of each as well, as ``p_0``, ``p_1``, …

    Returns
    -------
    callable
    """
    from sklearn.metrics import roc_auc_score

    def watch(network: nn.Module) -> Mapping[str, float]:
        scores = logits(network, inputs, batch_size)
        losses = np.logaddexp(0, np.where(codes == 1, -scores, scores))
        both = len(np.unique(codes)) == 2
        found = {
            "loss": float(losses.mean()),
            "auc": float(roc_auc_score(codes, scores)) if both else math.nan,
            "accuracy": float(((scores >= 0) == codes).mean()),
        }
        if people:
            p = 1 / (1 + np.exp(-scores))
            found |= {f"p_{i}": float(one) for i, one in enumerate(p)}
        return found

    return watch


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a hash of named tensors."""
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()
