"""All that changes in a training: the network, its optimiser, averages, and what was seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import TrainingError, list_some
from .history import History
from .recipe import Recipe
from .weights import load_into

__all__ = ["Batch", "Loss", "TrainingState"]

Batch = Any  # a tensor, or a tuple, list or mapping of tensors
Loss = Callable[[nn.Module, Batch], torch.Tensor | tuple[torch.Tensor, Mapping[str, float]]]
Weights = dict[str, torch.Tensor]


class TrainingState:
    """A training between two steps.

    Parameters
    ----------
    network : torch.nn.Module
        Is moved to `device` and changed in place.
    recipe : Recipe
    device : torch.device
    seed : int
    """

    def __init__(self, network: nn.Module, recipe: Recipe, device: torch.device, seed: int) -> None:
        self.network = network.to(device)
        if recipe.channels_last:
            for parameter in network.parameters():
                parameter.data = _channels_last(parameter.data)
        self.recipe, self.device, self.seed = recipe, device, seed
        self.optimizer = recipe.optimizer_of(network)
        self.average: Weights | None = None if recipe.ema is None else _copy(network.state_dict())
        self.best: Weights | None = None
        self.history = History()
        self.done = 0
        self.waited = 0  # validations since the best one
        self.mean_loss = 0.0
        self.last_loss = math.nan
        self.seconds = 0.0
        self.finished = False

    def update(self, batch: Batch, loss_of: Loss) -> dict[str, float]:
        """Take one step; returns its row of the history."""
        step, recipe = self.done, self.recipe
        rate = recipe.rate_at(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        batch = self._placed(batch)
        _seed_torch(self.seed, step, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.amp):
            found = loss_of(self.network, batch)
        loss, parts = (found, {}) if isinstance(found, torch.Tensor) else found
        value = loss.item()
        self._check_finite("loss", value)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        # With no limit the gradients are multiplied by exactly 1.
        norm = nn.utils.clip_grad_norm_(parameters, recipe.gradient_clip or math.inf)
        self._check_finite("gradient's norm", norm.item())
        self.optimizer.step()
        if self.average is not None and recipe.ema is not None:
            _move_average(self.average, self.network.state_dict(), recipe.ema, step)
        self.done += 1
        self.last_loss = value
        self.mean_loss += (value - self.mean_loss) / min(self.done, 50)
        return {
            "step": self.done,
            "loss": value,
            "mean_loss": self.mean_loss,
            "learning_rate": rate,
            "seconds": math.nan,
            **{f"loss_{name}": float(part) for name, part in parts.items()},
        }

    def validate(self, validate: Callable[[nn.Module], Mapping[str, float]]) -> dict[str, float]:
        """Validate the weights that would be kept, and go on as if nothing had happened."""
        live = _copy(self.network.state_dict())
        if self.average is not None:
            self.network.load_state_dict(self.average)
        self.network.eval()
        try:
            with torch.no_grad():
                return {name: float(value) for name, value in validate(self.network).items()}
        finally:
            self.network.load_state_dict(live)
            self.network.train()

    def judge(self, values: Mapping[str, float], monitor: str, mode: str, patience: int) -> None:
        """Keep the weights if they are the best so far, and stop when the patience is out."""
        value = values.get(monitor, math.nan)
        if math.isnan(value):
            raise TrainingError(
                f"expected a number as {monitor!r}, which decides when to stop; the validation "
                f"after step {self.done} gave {list_some(values) or 'nothing'}"
                + (", and that one is NaN" if monitor in values else ""),
                remedy="name one of these as `monitor`, or look at what `validate` computes",
            )
        best = self.history.best_value
        if best is None or (value < best if mode == "min" else value > best):
            self.history.best_value, self.history.best_step = value, self.done
            self.best = _copy(self.average or self.network.state_dict())
            self.waited = 0
        else:
            self.waited += 1
            self.history.stopped_early = self.waited >= patience

    def finish(self) -> None:
        """Put the weights that count into the network."""
        if weights := self.best or self.average:
            self.network.load_state_dict(weights)
        self.finished = True

    def pack(self) -> tuple[Weights, dict[str, Any]]:
        """Give tensors, on the CPU, and notes from which `unpack` goes on."""
        named = {"network": self.network.state_dict()}
        if not self.finished:
            named |= {"average": self.average or {}, "best": self.best or {}}
            for index, values in self.optimizer.state_dict()["state"].items():
                named[f"optimizer.{index}"] = values
        tensors = {
            f"{owner}.{name}": tensor.detach().to(
                "cpu", copy=True, memory_format=torch.contiguous_format
            )
            for owner, weights in named.items()
            for name, tensor in weights.items()
            if isinstance(tensor, torch.Tensor)
        }
        notes = {name: getattr(self, name) for name in _NOTES}
        return tensors, notes | {"history": dataclasses.asdict(self.history)}

    def unpack(self, tensors: Weights, notes: Mapping[str, Any]) -> None:
        """Go back to what `pack` gave."""
        for name in _NOTES:
            setattr(self, name, notes[name])
        self.history = History(**notes["history"])
        load_into(self.network, _owned(tensors, "network."))
        if self.finished:
            return
        if self.average is not None:
            self.average = _like(_owned(tensors, "average."), self.average)
        if best := _owned(tensors, "best."):
            self.best = _like(best, self.network.state_dict())
        state = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for index, parameter in enumerate(parameters):
            if values := _owned(tensors, f"optimizer.{index}."):
                # The count of steps stays on the CPU, whatever the shape of the parameter.
                moments = {name: parameter for name in values if name != "step"}
                state["state"][index] = _like(values, moments)
        self.optimizer.load_state_dict(state)

    def _placed(self, batch: Batch) -> Batch:
        if isinstance(batch, torch.Tensor):
            batch = batch.to(self.device, non_blocking=True)
            return _channels_last(batch) if self.recipe.channels_last else batch
        if isinstance(batch, Mapping):
            return {name: self._placed(each) for name, each in batch.items()}
        if isinstance(batch, list | tuple):
            return tuple(self._placed(each) for each in batch)
        return batch

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            step, rate, clip = self.done, self.recipe.learning_rate, self.recipe.gradient_clip
            raise TrainingError(
                f"the {what} is {value} in step {step} (counted from 0) of "
                f"{self.recipe.n_steps}; "
                + (f"the last finite loss was {self.last_loss:.4g}" if step else "it is the first"),
                remedy=f"look at batch_of({step}) for values that aren't finite; else lower "
                f"learning_rate (now {rate:g}) or gradient_clip (now {clip}), or lengthen the "
                "warm-up" + (", or train with amp=False" if self.recipe.amp else ""),
            )


_NOTES = ("done", "waited", "mean_loss", "last_loss", "seconds", "finished")


def _seed_torch(seed: int, step: int, device: torch.device) -> None:
    number = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    if device.type == "cpu":
        # torch.manual_seed would notify every other backend, at a millisecond per step.
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last_3d) if tensor.ndim == 5 else tensor


def _copy(weights: Mapping[str, torch.Tensor]) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _move_average(average: Weights, weights: Weights, decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))
    for name, value in weights.items():
        if value.is_floating_point():
            average[name].lerp_(value.detach(), 1 - decay)
        else:
            average[name].copy_(value)  # counters


def _owned(tensors: Mapping[str, torch.Tensor], start: str) -> Weights:
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _like(tensors: Weights, models: Mapping[str, torch.Tensor]) -> Weights:
    """Copy onto the device and into the memory layout of the models of the same shape.

    Another layout would be summed in another order.
    """
    return {
        name: torch.empty_like(models[name], dtype=tensor.dtype).copy_(tensor)
        if name in models and tensor.shape == models[name].shape
        else tensor
        for name, tensor in tensors.items()
    }
