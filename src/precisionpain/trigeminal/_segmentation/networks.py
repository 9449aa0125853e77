"""Networks of the U-Net family, and how much each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import FormatError, list_some

__all__ = ["NETWORKS", "Segmenting", "build_network", "coarsest_size"]

_GAIN = 4.0
"""A narrow last layer takes hundreds of steps to grow logits of 5; this saves most of them."""


class Segmenting(nn.Module):
    """A network whose logits begin at how frequent the classes are.

    Most voxels are background. A network that starts from equal odds spends its first steps
    on learning just that; this one is told.

    Parameters
    ----------
    network : torch.nn.Module
        From image to one channel for each class.
    n_classes : int
        Classes.
    """

    def __init__(self, network: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.network = network
        self.offset = nn.Parameter(torch.zeros(n_classes))

    def begin_at(self, target: Tensor) -> None:
        """Set the odds to those of a batch of targets, (n, classes, x, y, z)."""
        share = target.mean((0, 2, 3, 4)).clamp(min=1e-3)
        with torch.no_grad():
            self.offset.copy_(share.log() / _GAIN)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (n, classes, x, y, z) of an image (n, channels, x, y, z).

        With deep supervision, in training, (n, scales, classes, x, y, z), the finest first.
        """
        logits: Tensor = _GAIN * (self.network(image) + self.offset.view(-1, 1, 1, 1))
        return logits


def _unet(n_in: int, n_out: int, width: int) -> nn.Module:
    """Return the residual U-Net of MONAI, whose first convolution already halves the image."""
    from monai.networks.nets import UNet

    widths = tuple(width * 2**k for k in range(4))
    return UNet(3, n_in, n_out, widths, (2, 2, 2), num_res_units=1, norm="instance")


def _basic_unet(n_in: int, n_out: int, width: int) -> nn.Module:
    """Return the U-Net of Çiçek et al. (2016), two convolutions at every scale."""
    from monai.networks.nets import BasicUNet

    widths = (width, width, 2 * width, 4 * width, 8 * width, width)
    return BasicUNet(3, n_in, n_out, widths, norm=("instance", {"affine": True}))


def _dynunet(n_in: int, n_out: int, width: int, deep: bool = False) -> nn.Module:
    """Return the network of nnU-Net (Isensee et al., 2021), four scales.

    Lean at full resolution, where most of the time goes, and four times as wide below.
    """
    from monai.networks.nets import DynUNet

    widths = [width, 4 * width, 8 * width, 16 * width]
    return DynUNet(
        3, n_in, n_out, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=widths, norm_name="instance",
        deep_supervision=deep, deep_supr_num=2,
    )  # fmt: skip


def _deep_dynunet(n_in: int, n_out: int, width: int) -> nn.Module:
    """Return the same with deep supervision: two coarser scales are taught the target too."""
    return _dynunet(n_in, n_out, width, deep=True)


def _segresnet(n_in: int, n_out: int, width: int) -> nn.Module:
    """Return the encoder-heavy residual network of Myronenko (2018)."""
    from monai.networks.nets import SegResNet

    return SegResNet(
        3, width, n_in, n_out, blocks_down=(1, 1, 2, 2), blocks_up=(1, 1, 1),
        norm=("GROUP", {"num_groups": 4}),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[int, int, int], Any]] = {
    "unet": _unet,
    "basic_unet": _basic_unet,
    "dynunet": _dynunet,
    "deep_dynunet": _deep_dynunet,
    "segresnet": _segresnet,
}

# How often each halves the image.
_HALVINGS = {"unet": 3, "basic_unet": 4, "dynunet": 3, "deep_dynunet": 3, "segresnet": 3}


def coarsest_size(name: str, patch: Sequence[int]) -> tuple[int, ...]:
    """Return the size of a patch at the coarsest scale of a network.

    Parameters
    ----------
    name : {"unet", "basic_unet", "dynunet", "deep_dynunet", "segresnet"}
        Which.
    patch : sequence of three ints
        Multiples of 16.

    Returns
    -------
    tuple of three ints

    Raises
    ------
    FormatError
        For an unknown name, or when nothing but one voxel is left.
    """
    _check_name(name)
    size = tuple(n >> _HALVINGS[name] for n in patch)
    if max(size) < 2:
        raise FormatError(
            f"patches of {' × '.join(map(str, patch))} voxels leave one voxel at the coarsest "
            f"scale of {name!r}",
            where="patch",
            remedy="use patches of at least 32 voxels",
        )
    return size


def build_network(name: str, n_in: int, n_out: int, width: int) -> Segmenting:
    """Build a network by name.

    Parameters
    ----------
    name : {"unet", "basic_unet", "dynunet", "deep_dynunet", "segresnet"}
        Which.
    n_in, n_out : int
        Channels of the image and of the output (logits).
    width : int
        Channels at full resolution; a multiple of 4 for ``"segresnet"``.

    Returns
    -------
    Segmenting
        Takes (n, n_in, x, y, z), each size a multiple of 16, gives (n, n_out, x, y, z).

    Raises
    ------
    FormatError
        For an unknown name, or a width that the network can't have.
    """
    _check_name(name)
    if isinstance(width, bool) or not isinstance(width, int) or width < 4 or width % 4:
        raise FormatError(
            f"expected a whole number that is a multiple of 4, found {width!r}", where="width"
        )
    return Segmenting(NETWORKS[name](n_in, n_out, width), n_out)


def _check_name(name: str) -> None:
    if name not in NETWORKS:
        raise FormatError(
            f"unknown network {name!r}", where="network", remedy=f"known are {list_some(NETWORKS)}"
        )
