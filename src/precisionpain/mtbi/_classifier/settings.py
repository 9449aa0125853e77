"""Settings of the classifier: what makes sense, and what they leave to the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch

from ..._learning.device import fast_half, sound_half
from ...errors import FormatError, list_some
from ..volumes import Plane

__all__ = ["check_settings", "train_in_half"]

_CHOICES: dict[str, tuple[Any, ...]] = {
    "plane": get_args(Plane),
    "scaling": ("train", "dataset", "image"),
    "augmentation": (None, "paper", "anatomical"),
    "memory": ("auto", "cpu", "device"),
    "amp": ("auto", True, False),
}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that make no sense, alone or together.

    Parameters
    ----------
    settings : mapping
        Parameters of a `ChronicPainClassifier`; `resnet3d` checks those of the network.

    Raises
    ------
    FormatError
        Naming the parameter.
    """
    for name, allowed in _CHOICES.items():
        if not any(settings[name] is each or settings[name] == each for each in allowed):
            raise FormatError(
                f"expected one of {list_some(allowed)}, found {settings[name]!r}", where=name
            )
    for name in ("n_epochs", "batch_size", "patience", "random_state"):
        value, least = settings[name], 0 if name == "random_state" else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise FormatError(
                f"expected an integer of at least {least}, found {value!r}", where=name
            )
    for name, low, high, optional in (
        ("learning_rate", 0.0, np.inf, False),
        ("head_learning_rate", 0.0, np.inf, False),
        ("pos_weight", 0.0, np.inf, True),
        ("threshold", 0.0, 1.0, False),
        ("early_stopping", 0.0, 1.0, True),
    ):
        value = settings[name]
        if value is None and optional:
            continue
        if not isinstance(value, int | float | np.number) or not low < value < high:
            ends = "above 0" if high == np.inf else "between 0 and 1"
            raise FormatError(f"expected a number {ends}, found {value!r}", where=name)
    _check_together(settings)


def _check_together(settings: Mapping[str, Any]) -> None:
    if (settings["scaling"] == "dataset") != (settings["dataset"] is not None):
        raise FormatError(
            "scaling='dataset' and dataset=cohort, whose scans all have a say in the scaling, go "
            "together",
            where="scaling",
            remedy="give both, or scaling='train', which learns it from the training people",
        )
    if settings["freeze"] and settings["augmentation"] is not None:
        raise FormatError(
            "with a frozen trunk its features are computed once, so nothing can be augmented",
            where="augmentation",
            remedy="leave out freeze or augmentation",
        )
    if settings["precise_bn"] and settings["norm"] != "batch":
        raise FormatError(
            f"norm={settings['norm']!r} has no running statistics to recompute",
            where="precise_bn",
            remedy="leave precise_bn out, or use norm='batch'",
        )
    if settings["swap_sides"] and settings["augmentation"] != "anatomical":
        raise FormatError(
            "swap_sides is an option of augmentation='anatomical'; 'paper' mirrors along the "
            "width in any case",
            where="swap_sides",
        )


def train_in_half(
    amp: bool | str, device: torch.device, depth: int, *, variant: str, stem: str
) -> bool:
    """Tell whether to train in bfloat16.

    Parameters
    ----------
    amp : {"auto", True, False}
        What was asked for; "auto" is where it is faster and its gradients can be trusted.
    device : torch.device
        Where the network is trained.
    depth : int
        Of the slab, in voxels.
    variant, stem : str
        Of the network.

    Returns
    -------
    bool

    Raises
    ------
    FormatError
        When it was asked for and its gradients would be wrong.
    """
    if amp is False or (amp == "auto" and not fast_half(device)):
        return False
    halvings = (2 if stem == "medicalnet" else 0) + (1 if variant == "dilated" else 3)
    for _ in range(halvings):
        depth = (depth + 1) // 2
    if sound_half(device, [depth]):
        return True
    if amp == "auto":
        return False
    raise FormatError(
        f"slabs of this depth have {depth} slices at the network's coarsest scale, too few for "
        "mixed precision on a CPU: torch computes wrong gradients there",
        where="amp",
        remedy="use amp='auto' or amp=False, more slices, or variant='dilated'",
    )
