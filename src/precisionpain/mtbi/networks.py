"""Residual networks for volumes: MedicalNet's dilated one, and the strided one.

The two share weights and parameter counts, and are different functions. Networks know
nothing of people or files: any of them runs on ``torch.zeros``.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import FormatError, list_some

__all__ = ["ResNet3D", "resnet3d"]

Variant = Literal["dilated", "strided"]
Stem = Literal["paper", "medicalnet"]
Shortcut = Literal["auto", "A", "B"]
Gradient = Literal["cut", "full"]
Norm = Literal["batch", "group"]

# Blocks per stage; depth 50 has bottleneck blocks.
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_STRIDES_DILATIONS = {
    "dilated": ((1, 1), (2, 1), (1, 2), (1, 4)),
    "strided": ((1, 1), (2, 1), (2, 1), (2, 1)),
}
_N_GROUPS = 32


def resnet3d(
    depth: int = 18,
    variant: Variant = "dilated",
    *,
    stem: Stem = "paper",
    shortcut: Shortcut = "auto",
    shortcut_grad: Gradient = "cut",
    norm: Norm = "batch",
    n_classes: int = 1,
    n_channels: int = 1,
    width: int = 64,
    random_state: int | None = None,
) -> ResNet3D:
    """Make a residual network for volumes, with random weights.

    Parameters
    ----------
    depth : {10, 18, 34, 50}, default 18
        Number of layers with weights, as the networks are called.
    variant : {"dilated", "strided"}, default "dilated"
        "dilated" is MedicalNet: strides 1, 2, 1, 1 and dilations 1, 1, 2, 4 of the four
        stages. "strided" halves the volume at each of the last three stages instead, as
        MONAI does; it needs a sixth of the arithmetic.
    stem : {"paper", "medicalnet"}, default "paper"
        The first layer, a 7×7×7 convolution: "paper" with stride 1 and no pooling,
        "medicalnet" with stride 2 and max-pooling, which is about 60 times faster.
    shortcut : {"auto", "A", "B"}, default "auto"
        Where the number of channels grows, "A" subsamples and adds channels of zeros, and
        "B" has a 1×1×1 convolution. "auto" is MedicalNet's choice: A for depths 18 and 34.
    shortcut_grad : {"cut", "full"}, default "cut"
        Of shortcut A alone: "cut" lets no gradient back through it, as the published code
        does; "full" is the derivative of what the network computes. Saliency maps are
        about the network only with "full"; see `ResNet3D.shortcut_grad`.
    norm : {"batch", "group"}, default "batch"
        "group" (32 groups) doesn't depend on the other people in the batch.
    n_classes : int, default 1
        Outputs; one is enough for two classes.
    n_channels : int, default 1
        Input channels.
    width : int, default 64
        Channels of the first stage; weights on disk are for 64.
    random_state : int, optional
        Makes the weights repeatable, and leaves torch's own generator as it was.

    Returns
    -------
    ResNet3D

    Raises
    ------
    FormatError
        For an option that isn't among those above.

    See Also
    --------
    load_medicalnet : Weights that were trained on 23 data sets.

    References
    ----------
    .. [1] Chen S, Ma K, Zheng Y. Med3D: transfer learning for 3D medical image analysis.
       arXiv:1904.00625, 2019.
    .. [2] He K, et al. Deep residual learning for image recognition. CVPR 2016.
    .. [3] Wu Y, He K. Group normalization. ECCV 2018.

    Examples
    --------
    >>> import torch
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(depth=10, stem="medicalnet", random_state=0).eval()
    >>> network(torch.zeros(2, 1, 30, 32, 32)).shape
    torch.Size([2, 1])
    >>> sum(weights.numel() for weights in network.parameters())
    14356033
    """
    settings: dict[str, Any] = {
        "variant": variant, "stem": stem, "shortcut": shortcut, "shortcut_grad": shortcut_grad,
        "norm": norm, "n_classes": n_classes, "n_channels": n_channels, "width": width,
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        if random_state is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.default_generator.manual_seed(random_state)
        return ResNet3D(depth, **settings)


class ResNet3D(nn.Module):
    """A residual network for volumes; made by `resnet3d`, which explains the parameters.

    Its weights have MedicalNet's names (``conv1``, ``bn1``, ``layer1.0.conv1``, …,
    ``layer2.0.downsample.0``), and the head is ``fc``.

    Parameters
    ----------
    depth, variant, stem, shortcut, shortcut_grad, norm, n_classes, n_channels, width
        As in `resnet3d`.

    Attributes
    ----------
    settings : dict
        All parameters, so that ``ResNet3D(**settings)`` is the same network again.
    n_features : int
        Length of what `features` returns for each volume.

    Examples
    --------
    >>> network = ResNet3D(10, stem="medicalnet", width=8)
    >>> network.settings["depth"], network.n_features
    (10, 64)
    """

    def __init__(
        self,
        depth: int = 18,
        *,
        variant: Variant = "dilated",
        stem: Stem = "paper",
        shortcut: Shortcut = "auto",
        shortcut_grad: Gradient = "cut",
        norm: Norm = "batch",
        n_classes: int = 1,
        n_channels: int = 1,
        width: int = 64,
    ) -> None:
        super().__init__()
        _check("depth", depth, BLOCKS)
        _check("variant", variant, get_args(Variant))
        _check("stem", stem, get_args(Stem))
        _check("shortcut", shortcut, get_args(Shortcut))
        _check("shortcut_grad", shortcut_grad, get_args(Gradient))
        _check("norm", norm, get_args(Norm))
        counts = {"n_classes": n_classes, "n_channels": n_channels, "width": width}
        for name, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise FormatError(f"expected an integer of at least 1, found {count!r}", where=name)
        self.settings: dict[str, Any] = {
            "depth": depth, "variant": variant, "stem": stem, "shortcut": shortcut,
            "shortcut_grad": shortcut_grad, "norm": norm, **counts,
        }  # fmt: skip
        kind = shortcut if shortcut != "auto" else "A" if depth in (18, 34) else "B"
        small = stem == "medicalnet"
        self.conv1 = nn.Conv3d(
            n_channels, width, 7, stride=2 if small else 1, padding=3, bias=False
        )
        self.bn1 = _make_norm(norm, width)
        self.pool = nn.MaxPool3d(3, stride=2, padding=1) if small else nn.Identity()
        block = Bottleneck if depth == 50 else BasicBlock
        stages, n_in = [], width
        for stage, (stride, dilation) in enumerate(_STRIDES_DILATIONS[variant]):
            planes = width * 2**stage
            blocks = []
            for position in range(BLOCKS[depth][stage]):
                first = stride if position == 0 else 1
                blocks.append(block(n_in, planes, first, dilation, kind, norm))
                n_in = planes * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.n_features = n_in
        self.fc = nn.Linear(n_in, n_classes)
        nn.init.zeros_(self.fc.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.shortcut_grad = shortcut_grad

    @property
    def shortcut_grad(self) -> Gradient:
        """Whether shortcuts of kind A pass gradients; may be set, and changes no output."""
        return self._shortcut_grad

    @shortcut_grad.setter
    def shortcut_grad(self, value: Gradient) -> None:
        _check("shortcut_grad", value, get_args(Gradient))
        self._shortcut_grad = self.settings["shortcut_grad"] = value
        for module in self.modules():
            if isinstance(module, PadShortcut):
                module.cut = value == "cut"

    def feature_map(self, volumes: torch.Tensor) -> torch.Tensor:
        """Compute what the last stage sees, before pooling.

        Parameters
        ----------
        volumes : torch.Tensor, shape (n, n_channels, depth, height, width)
            Standardised intensities.

        Returns
        -------
        torch.Tensor, shape (n, n_features, depth', height', width')

        Raises
        ------
        FormatError
            When the volumes have another number of axes or channels.
        """
        expected = self.conv1.in_channels
        if volumes.ndim != 5 or volumes.shape[1] != expected:
            raise FormatError(
                f"expected volumes of shape (n, {expected}, depth, height, width), found "
                f"{tuple(volumes.shape)}",
                remedy="add the axis of channels with volumes[:, None]",
            )
        out = self.pool(F.relu(self.bn1(self.conv1(volumes)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(out))))

    def features(self, volumes: torch.Tensor) -> torch.Tensor:
        """Compute the pooled features that the head sees.

        Parameters
        ----------
        volumes : torch.Tensor, shape (n, n_channels, depth, height, width)
            Standardised intensities.

        Returns
        -------
        torch.Tensor, shape (n, n_features)
        """
        # Not adaptive pooling: its backward pass differs between runs on a GPU.
        return self.feature_map(volumes).mean((2, 3, 4))

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Compute the logits.

        Parameters
        ----------
        volumes : torch.Tensor, shape (n, n_channels, depth, height, width)
            Standardised intensities.

        Returns
        -------
        torch.Tensor, shape (n, n_classes)
        """
        return self.fc(self.features(volumes))


class PadShortcut(nn.Module):
    """Shortcut A: every `stride`-th voxel, and channels of zeros behind the others."""

    def __init__(self, n_new: int, stride: int) -> None:
        super().__init__()
        self.n_new, self.stride, self.cut = n_new, stride, False

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        step = self.stride
        kept = volumes[:, :, ::step, ::step, ::step]
        return F.pad(kept.detach() if self.cut else kept, (0, 0, 0, 0, 0, 0, 0, self.n_new))


class BasicBlock(nn.Module):
    """Two 3×3×3 convolutions around a shortcut."""

    expansion = 1

    def __init__(
        self, n_in: int, planes: int, stride: int, dilation: int, shortcut: str, norm: Norm
    ) -> None:
        super().__init__()
        self.conv1 = _conv3(n_in, planes, stride, dilation)
        self.bn1 = _make_norm(norm, planes)
        self.conv2 = _conv3(planes, planes, 1, dilation)
        self.bn2 = _make_norm(norm, planes)
        self.downsample = _make_shortcut(n_in, planes, stride, shortcut, norm)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(volumes)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out.add_(self.downsample(volumes)), inplace=True)


class Bottleneck(nn.Module):
    """A 3×3×3 convolution between two 1×1×1 ones, around a shortcut."""

    expansion = 4

    def __init__(
        self, n_in: int, planes: int, stride: int, dilation: int, shortcut: str, norm: Norm
    ) -> None:
        super().__init__()
        n_out = planes * self.expansion
        self.conv1 = nn.Conv3d(n_in, planes, 1, bias=False)
        self.bn1 = _make_norm(norm, planes)
        self.conv2 = _conv3(planes, planes, stride, dilation)
        self.bn2 = _make_norm(norm, planes)
        self.conv3 = nn.Conv3d(planes, n_out, 1, bias=False)
        self.bn3 = _make_norm(norm, n_out)
        self.downsample = _make_shortcut(n_in, n_out, stride, shortcut, norm)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(volumes)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(out.add_(self.downsample(volumes)), inplace=True)


def _conv3(n_in: int, n_out: int, stride: int, dilation: int) -> nn.Conv3d:
    return nn.Conv3d(n_in, n_out, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)


def _make_norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(math.gcd(_N_GROUPS, channels), channels)


def _make_shortcut(n_in: int, n_out: int, stride: int, kind: str, norm: Norm) -> nn.Module:
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    if kind == "A":
        return PadShortcut(n_out - n_in, stride)
    conv = nn.Conv3d(n_in, n_out, 1, stride=stride, bias=False)
    return nn.Sequential(conv, _make_norm(norm, n_out))


def _check(name: str, value: object, allowed: Any) -> None:
    if value not in tuple(allowed):
        raise FormatError(f"expected one of {list_some(allowed)}, found {value!r}", where=name)
