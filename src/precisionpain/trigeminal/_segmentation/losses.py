"""Losses that accept soft targets: a voxel that is half nerve asks for one half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import FormatError, list_some

__all__ = ["LOSSES", "build_loss", "soft_dice"]

Loss = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


def soft_dice(probability: Tensor, target: Tensor) -> Tensor:
    """Return 1 - Dice of every foreground class, mean over those that the batch has.

    The form by absolute differences, unlike the product form, is least where the probability
    is the soft target itself (Wang et al., MICCAI 2023, Dice semimetric losses); for hard
    targets both are the same.

    Parameters
    ----------
    probability, target : torch.Tensor of shape (n, classes, x, y, z)
        The first class is background, and left out.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    axes = (0, 2, 3, 4)
    p, g = probability[:, 1:], target[:, 1:]
    total = p.sum(axes) + g.sum(axes)
    dice = (total - (p - g).abs().sum(axes)) / (total + 1e-3)
    there = g.sum(axes) > 0.5
    # A class that the batch lacks has no Dice; cross-entropy looks after its false alarms.
    return 1 - dice[there].mean() if bool(there.any()) else p.sum() * 0.0


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * logits.log_softmax(1)).sum(1).mean()


def _boundary(probability: Tensor, target: Tensor) -> Tensor:
    """Return the disagreement near the border of each class, as a share of the border."""
    p, g = probability[:, 1:], target[:, 1:]
    wide = functional.max_pool3d(g, 3, 1, 1)
    narrow = -functional.max_pool3d(-g, 3, 1, 1)
    border = (wide - narrow).clamp(0, 1)
    return ((p - g).abs() * border).sum() / (border.sum() + 1.0)


def _thin(probability: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy in and round structures, most where they are thin.

    Averaged over all voxels, a vessel two voxels wide hardly counts. Here a voxel weighs as
    much as the structures about it are sparse; where the network sees one that isn't there
    counts as well.
    """
    with torch.no_grad():
        seen = 1 - torch.minimum(probability[:, :1], target[:, :1])
        # At half the size all of this costs little.
        near = functional.max_pool3d(functional.max_pool3d(seen, 2), 3, 1, 1)
        crowd = functional.avg_pool3d(seen, 8, 4, 2)
        crowd = functional.interpolate(crowd, near.shape[2:], mode="trilinear")
        weight = functional.interpolate(near / (crowd + 0.05), seen.shape[2:])
    entropy = -(target * probability.clamp(min=1e-6).log()).sum(1, keepdim=True)
    return (weight * entropy).sum() / (weight.sum() + 1.0)


def _centreline(probability: Tensor, target: Tensor) -> Tensor:
    """Return the soft clDice loss of the tubes (Shit et al., CVPR 2021), brainstem left out."""
    from monai.losses.cldice import soft_skel

    p, g = probability[:, 2:], target[:, 2:]
    axes = (2, 3, 4)
    skeleton_p, skeleton_g = soft_skel(p, 3), soft_skel(g, 3)
    precision = ((skeleton_p * g).sum(axes) + 1) / (skeleton_p.sum(axes) + 1)
    recall = ((skeleton_g * p).sum(axes) + 1) / (skeleton_g.sum(axes) + 1)
    return (1 - 2 * precision * recall / (precision + recall)).mean()


# Name to the weights of Dice, cross-entropy, and a third term.
LOSSES: dict[str, tuple[float, float, tuple[float, Any] | None]] = {
    "cross_entropy": (0.0, 1.0, None),
    "dice": (1.0, 0.0, None),
    "dice_ce": (1.0, 1.0, None),
    "dice_ce_thin": (1.0, 1.0, (1.0, _thin)),
    "dice_ce_cldice": (1.0, 1.0, (0.3, _centreline)),
    "dice_ce_boundary": (1.0, 1.0, (0.5, _boundary)),
}


def build_loss(name: str, as_one: Sequence[Sequence[int]] = ()) -> Loss:
    """Return a loss of logits and (soft) targets by name.

    Parameters
    ----------
    name : {"cross_entropy", "dice", "dice_ce", "dice_ce_thin", "dice_ce_cldice", \
            "dice_ce_boundary"}
        Which.
    as_one : sequence of sequences of int, optional
        Classes, counted from 0 for the background, whose union has a Dice of its own: where
        it is open which of them a voxel is, it is still said that it is one of them.

    Returns
    -------
    callable
        Of logits and target, both (n, classes, x, y, z); returns the loss and the numbers to
        log. Logits of deep supervision, (n, scales, classes, x, y, z), count half as much at
        every coarser scale.

    Raises
    ------
    FormatError
        For an unknown name.
    """
    if name not in LOSSES:
        raise FormatError(
            f"unknown loss {name!r}", where="loss", remedy=f"known are {list_some(LOSSES)}"
        )
    of_dice, of_entropy, third = LOSSES[name]

    def loss(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if logits.ndim == 6:
            scales = [loss(each, target) for each in logits.unbind(1)]
            shares = 0.5 ** torch.arange(len(scales), device=logits.device)
            values = torch.stack([value for value, _ in scales])
            return (shares * values).sum() / shares.sum(), scales[0][1]
        logits = logits.float()
        probability = logits.softmax(1)
        dice = soft_dice(_with_unions(probability, as_one), _with_unions(target, as_one))
        total = of_dice * dice + of_entropy * _cross_entropy(logits, target)
        if third is not None:
            total = total + third[0] * third[1](probability, target)
        return total, {"dice": 1 - dice.detach()}

    return loss


def _with_unions(shares: Tensor, as_one: Sequence[Sequence[int]]) -> Tensor:
    """Append the sum of each group of classes."""
    unions = [shares[:, list(group)].sum(1, keepdim=True) for group in as_one]
    return torch.cat([shares, *unions], 1) if unions else shares
