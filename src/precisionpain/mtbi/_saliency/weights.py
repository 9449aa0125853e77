"""Networks whose weights, or some of them, are drawn anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import FormatError
from ..batch_norm import precise_bn
from ..networks import ResNet3D, resnet3d

__all__ = ["parts", "with_random_parts"]


def parts(network: nn.Module) -> list[str]:
    """Name the parts that have weights, from the head to the input."""
    names = [
        name for name, child in network.named_children() if any(True for _ in child.parameters())
    ]
    if not names:
        raise FormatError(f"the {type(network).__name__} has no parts with weights")
    return names[::-1]


def with_random_parts(
    network: nn.Module, names: Iterable[str], volumes: torch.Tensor, *, batch_size: int, seed: int
) -> nn.Module:
    """Return a copy whose named parts are as at the begin of a training.

    Running statistics of these parts are recomputed on the volumes: with those of other
    weights the network would be broken rather than untrained.
    """
    chosen = list(names)
    fresh = _fresh(network, seed)
    mixed = copy.deepcopy(network)
    for name in chosen:
        mixed.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    kept = {name: value.clone() for name, value in mixed.state_dict().items()}
    drawn = [module for name in chosen for module in mixed.get_submodule(name).modules()]
    if any(isinstance(module, _BatchNorm) and module.running_mean is not None for module in drawn):
        device = next(mixed.parameters()).device
        precise_bn(mixed, [batch.to(device) for batch in volumes.split(batch_size)])
        new = mixed.state_dict()
        inside = tuple(f"{name}." for name in chosen)
        mixed.load_state_dict(
            {name: new[name] if name.startswith(inside) else kept[name] for name in kept}
        )
    return mixed.eval()


def _fresh(network: nn.Module, seed: int) -> nn.Module:
    """Draw all weights anew, without touching the caller's generator."""
    if isinstance(network, ResNet3D):
        return resnet3d(**network.settings, random_state=seed)
    drawn = copy.deepcopy(network).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in drawn.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return drawn
