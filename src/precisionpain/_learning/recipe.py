"""How a network is trained: the numbers, apart from the loop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from ..errors import FormatError, list_some

__all__ = ["Recipe"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    learning_rate : float
        The highest of the schedule.
    n_steps : int
        Optimiser steps in all.
    weight_decay : float, default 0.01
        Of all parameters; decoupled in AdamW, added to the gradient in SGD.
    warmup : int or float, default 0
        Steps (an int), or the share of `n_steps` (a float below 1), in which the rate
        rises linearly.
    schedule : {"poly", "cosine", "constant"}, default "poly"
        What the rate does after the warm-up: (1 − p)^0.9, ½(1 + cos πp) or 1, times
        `learning_rate`, where p runs from 0 to 1.
    gradient_clip : float or None, default 1.0
        Largest norm of the gradient of all parameters.
    ema : float or None, default None
        Decay d of the moving average of the weights, which is what is validated and kept.
        After t steps min(d, (1 + t)/(10 + t)) is used, or a short training would keep much
        of its random start.
    amp : bool, default False
        Mixed precision: the forward pass in bfloat16, whose range needs no loss scaling.
    channels_last : bool, default False
        Keep 3-D images and kernels with the channels last in memory, which is faster on
        some devices.
    rates : mapping of str to float, optional
        Start of parameter names → factor on the learning rate; the longest start wins.
        ``{"encoder.": 0.1}`` trains a pre-trained encoder gently.
    optimizer : {"adamw", "sgd"}, default "adamw"
    momentum : float, default 0.9
        Nesterov's, of "sgd" only.

    Raises
    ------
    FormatError
        When a number makes no sense.

    Examples
    --------
    >>> recipe = Recipe(learning_rate=0.1, n_steps=100, warmup=10, schedule="cosine")
    >>> [round(recipe.rate_at(step), 3) for step in (0, 9, 10, 55, 99)]
    [0.01, 0.1, 0.1, 0.05, 0.0]
    """

    learning_rate: float
    n_steps: int
    weight_decay: float = 0.01
    warmup: float = 0
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    gradient_clip: float | None = 1.0
    ema: float | None = None
    amp: bool = False
    channels_last: bool = False
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0"),
            ("n_steps", self.n_steps == int(self.n_steps) >= 1, "a whole number from 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("warmup", 0 <= self.warmup_steps < self.n_steps, "fewer steps than n_steps"),
            ("schedule", self.schedule in _SCHEDULES, list_some(_SCHEDULES)),
            ("gradient_clip", self.gradient_clip is None or self.gradient_clip > 0, "above 0"),
            ("ema", self.ema is None or 0 <= self.ema < 1, "None, or 0 up to below 1"),
            ("rates", all(rate >= 0 for rate in self.rates.values()), "factors of 0 or more"),
            ("optimizer", self.optimizer in ("adamw", "sgd"), "'adamw' or 'sgd'"),
            ("momentum", 0 <= self.momentum < 1, "0 up to below 1"),
        ):
            if not holds:
                found = getattr(self, name)
                raise FormatError(f"expected {expected}, found {found!r}", where=f"Recipe.{name}")

    @property
    def warmup_steps(self) -> int:
        """Steps in which the rate rises, int."""
        return round(self.warmup * self.n_steps) if self.warmup < 1 else int(self.warmup)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, before the factors of `rates`.

        Parameters
        ----------
        step : int
            From 0 to ``n_steps - 1``.

        Returns
        -------
        float
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.n_steps - self.warmup_steps)
        return self.learning_rate * _SCHEDULES[self.schedule](progress)

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser; each of its groups carries its ``factor`` on the rate.

        Parameters
        ----------
        network : torch.nn.Module
            Parameters that need no gradient are left out.

        Returns
        -------
        torch.optim.Optimizer

        Raises
        ------
        FormatError
            When a start in `rates` fits no parameter, or nothing is to be trained.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        unused = dict.fromkeys(self.rates)
        for name, parameter in network.named_parameters():
            starts = [start for start in self.rates if name.startswith(start)]
            for start in starts:
                unused.pop(start, None)
            if parameter.requires_grad:
                factor = self.rates[max(starts, key=len)] if starts else 1.0
                groups.setdefault(factor, []).append(parameter)
        if unused or not groups:
            names = [name for name, _ in network.named_parameters()]
            raise FormatError(
                f"no parameter begins with {list_some(unused)}; there are {list_some(names)}"
                if unused
                else "the network has no parameter that needs a gradient",
                where="Recipe.rates" if unused else None,
            )
        options = [{"params": group, "factor": factor} for factor, group in groups.items()]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(options, lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            options,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
            weight_decay=self.weight_decay,
        )


_SCHEDULES = {
    "poly": lambda progress: (1 - progress) ** 0.9,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
    "constant": lambda progress: 1.0,
}
