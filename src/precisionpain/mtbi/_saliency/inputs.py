"""What a saliency map is made of: a network of its own, the volumes, and one score per person."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..._learning.device import pick_device
from ...cohort.core import Cohort
from ...errors import DataWarning, FormatError, TrainingError, list_some
from ..networks import ResNet3D

__all__ = [
    "Score",
    "Subject",
    "batches",
    "check_finite",
    "memory_explained",
    "min_max_maps",
    "network_of",
    "prepare",
]


class Score(nn.Module):
    """A network with one logit, as a number per person.

    Parameters
    ----------
    network : torch.nn.Module
        Gives logits of shape (n, 1) or (n,).
    of : {"probability", "logit"}
        Of which the number is.
    """

    def __init__(self, network: nn.Module, of: str) -> None:
        super().__init__()
        if of not in ("probability", "logit"):
            raise FormatError(f"expected 'probability' or 'logit', found {of!r}", where="of")
        self.network, self.of = network, of

    def logit(self, volumes: torch.Tensor) -> torch.Tensor:
        """Compute one logit per person, shape (n,)."""
        out = self.network(volumes)
        if out.ndim > 2 or out.numel() != len(volumes):
            raise FormatError(
                f"expected a network with one logit per person, found an output of shape "
                f"{tuple(out.shape)} for {len(volumes)} people",
                remedy="give a network with n_classes=1",
            )
        return out.reshape(-1)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        logit = self.logit(volumes)
        return torch.sigmoid(logit) if self.of == "probability" else logit


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is looked at: a copy of the network in evaluation mode, and the volumes.

    Parameters
    ----------
    score : Score
        On `device`, without gradients of its weights.
    volumes : torch.Tensor of shape (n, n_channels, depth, height, width)
        On the CPU, float32.
    device : torch.device
        Where to compute.
    """

    score: Score
    volumes: torch.Tensor
    device: torch.device


def prepare(
    model: Any, X: Any, *, of: str, device: str | torch.device, shortcut_grad: str | None = None
) -> Subject:
    """Take a fitted classifier with a Cohort, or a network with an array."""
    network, volumes = network_of(model), _volumes(model, X)
    chosen = pick_device(device)
    # A copy: the caller's network keeps its mode, its place and its gradients.
    network = copy.deepcopy(network).to(chosen).eval().requires_grad_(False)
    if shortcut_grad is not None and isinstance(network, ResNet3D):
        network.shortcut_grad = shortcut_grad  # type: ignore[assignment]
    return Subject(Score(network, of), volumes, chosen)


def network_of(model: Any) -> nn.Module:
    """Return the network of a fitted classifier, or the network that was given."""
    if isinstance(model, nn.Module):
        return model
    network = getattr(model, "network_", None)
    if isinstance(network, nn.Module):
        return network
    if hasattr(model, "fit"):
        raise FormatError(
            f"the {type(model).__name__} isn't fitted, so there is no network to look at",
            where="model",
            remedy="call fit first",
        )
    raise FormatError(
        f"expected a fitted classifier or a torch network, found {type(model).__name__}",
        where="model",
    )


def _volumes(model: Any, X: Any) -> torch.Tensor:
    if isinstance(X, Cohort):
        if not hasattr(model, "inputs"):
            raise FormatError(
                "a network alone doesn't know how scans are cut and scaled",
                where="X",
                remedy="give the fitted classifier with the Cohort, or the network with an array "
                "of shape (n, 1, depth, height, width)",
            )
        X = model.inputs(X)
    values = np.asarray(X.detach().cpu() if isinstance(X, torch.Tensor) else X)
    if values.ndim != 5 or not values.size or values.dtype.kind not in "fiub":
        raise FormatError(
            f"expected volumes of shape (n, n_channels, depth, height, width), found "
            f"{values.dtype} of shape {values.shape}",
            where="X",
            remedy="add the axis of channels with volumes[:, None]",
        )
    wrong = [row for row, volume in enumerate(values) if not np.isfinite(volume).all()]
    if wrong:
        raise FormatError(
            f"volumes {list_some(wrong)} have voxels that are not finite",
            where="X",
            remedy="find out why; networks can't see them",
        )
    return torch.from_numpy(np.array(values, dtype=np.float32))


def batches(n: int, size: int, progress: bool, unit: str = "volume") -> Iterator[slice]:
    """Cut people into batches, with a bar on a terminal."""
    if size < 1:
        raise FormatError(f"expected batch_size of at least 1, found {size}")
    hidden = None if progress else True  # None shows it on a terminal only
    with tqdm(total=n, disable=hidden, unit=unit, desc="saliency", leave=False) as bar:
        for start in range(0, n, size):
            part = slice(start, min(start + size, n))
            yield part
            bar.update(part.stop - part.start)


@contextlib.contextmanager
def memory_explained(batch_size: int) -> Iterator[None]:
    """Say what to lower when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        known = ("out of memory", "not enough memory", "can't allocate memory")
        if not isinstance(error, MemoryError) and not any(words in text for words in known):
            raise
        lower = "lower batch_size" if batch_size > 1 else "use fewer slices or a smaller network"
        raise TrainingError(
            f"memory ran out with batch_size={batch_size}", where="saliency", remedy=lower
        ) from error


def check_finite(maps: np.ndarray) -> np.ndarray:
    """Refuse maps of a network whose weights or activations are broken."""
    wrong = [row for row, each in enumerate(maps) if not np.isfinite(each).all()]
    if wrong:
        raise TrainingError(
            f"the maps of volumes {list_some(wrong)} are not finite, though the volumes are",
            remedy="look for weights or running statistics that are NaN or too large",
        )
    return maps


def min_max_maps(maps: np.ndarray) -> np.ndarray:
    """Scale each map to the range from 0 to 1; a constant one becomes zeros, with a warning."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    constant = np.flatnonzero((high == low).ravel())
    if len(constant):
        warnings.warn(
            f"the maps of volumes {list_some(constant)} are constant: nothing in these volumes "
            "changes the score",
            DataWarning,
            stacklevel=3,
        )
    scaled = (flat - low) / np.where(high > low, high - low, 1.0)
    return scaled.reshape(maps.shape).astype(np.float32)
