"""Five ways to say what each voxel did for the score; all but the first by Captum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...errors import FormatError
from ..networks import ResNet3D
from .inputs import Subject, batches

__all__ = ["grad_cam", "gradient", "integrated_gradients", "occlusion", "smoothgrad"]


def gradient(subject: Subject, *, batch_size: int, progress: bool) -> torch.Tensor:
    """Return ∂ score / ∂ voxel, shape (n, n_channels, depth, height, width)."""
    maps = torch.empty_like(subject.volumes)
    for part in batches(len(maps), batch_size, progress):
        maps[part] = _gradient(subject, subject.volumes[part].to(subject.device)).cpu()
    return maps


def _gradient(subject: Subject, volumes: torch.Tensor) -> torch.Tensor:
    score = subject.score
    with torch.enable_grad():
        volumes = volumes.detach().requires_grad_()
        logit = score.logit(volumes)
        (slope,) = torch.autograd.grad(logit.sum(), volumes)
    if score.of == "logit":
        return slope
    # σ'(z) as σ(z) σ(−z): 1 − σ(z) is 0 in single precision from a logit of 17 on.
    return slope * (torch.sigmoid(logit) * torch.sigmoid(-logit)).detach().view(-1, 1, 1, 1, 1)


def integrated_gradients(
    subject: Subject, *, baseline: Any, n_steps: int, batch_size: int, progress: bool
) -> torch.Tensor:
    """Return the path integral of the gradient from the baseline, by Gauss–Legendre."""
    from captum.attr import IntegratedGradients

    if n_steps < 1:
        raise FormatError(f"expected n_steps of at least 1, found {n_steps}")
    explain = IntegratedGradients(subject.score)
    start = _baseline(baseline, subject)

    def one(volume: torch.Tensor) -> torch.Tensor:
        return explain.attribute(
            volume, baselines=start, n_steps=n_steps, internal_batch_size=batch_size
        )

    return _one_by_one(subject, one, progress)


def smoothgrad(
    subject: Subject, *, n_samples: int, noise: float, batch_size: int, random_state: int,
    progress: bool,
) -> torch.Tensor:  # fmt: skip
    """Return the mean gradient over noisy copies; everybody meets the same noise."""
    from captum.attr import NoiseTunnel, Saliency

    if n_samples < 1 or not noise >= 0:
        raise FormatError(
            f"expected n_samples of at least 1 and noise of at least 0, found {n_samples} and "
            f"{noise}"
        )
    explain = NoiseTunnel(Saliency(subject.score))

    def one(volume: torch.Tensor) -> torch.Tensor:
        # Captum draws from the global generator, which is the caller's.
        cuda = [subject.device] if subject.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(random_state)
            return explain.attribute(
                volume,
                nt_type="smoothgrad",
                nt_samples=n_samples,
                nt_samples_batch_size=min(batch_size, n_samples),
                stdevs=noise * float(volume.max() - volume.min()),
                abs=False,
            )

    return _one_by_one(subject, one, progress)


def occlusion(
    subject: Subject, *, window: tuple[int, ...], stride: tuple[int, ...] | None, baseline: Any,
    batch_size: int, progress: bool,
) -> torch.Tensor:  # fmt: skip
    """Return how much the score falls when a window is covered, averaged where they overlap."""
    from captum.attr import Occlusion

    shape = subject.volumes.shape
    chosen = stride or tuple(max(1, length // 2) for length in window)
    if len(window) != 3 or len(chosen) != 3 or min(*window, *chosen) < 1:
        raise FormatError(
            f"expected a window and a stride of three numbers of at least 1, found {window} and "
            f"{stride}"
        )
    window = tuple(min(a, b) for a, b in zip(window, shape[2:], strict=True))
    # A step beyond the window would leave voxels that are never covered.
    chosen = tuple(min(a, b) for a, b in zip(chosen, window, strict=True))
    explain = Occlusion(subject.score)
    start = _baseline(baseline, subject)

    def one(volume: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return explain.attribute(
                volume,
                sliding_window_shapes=(shape[1], *window),
                strides=(shape[1], *chosen),
                baselines=start,
                perturbations_per_eval=batch_size,
            )

    return _one_by_one(subject, one, progress)


def grad_cam(
    subject: Subject, *, layer: str | None, batch_size: int, progress: bool
) -> torch.Tensor:
    """Return Grad-CAM of a layer, on the voxels of the volumes; shape (n, 1, …)."""
    from captum.attr import LayerGradCam

    explain = LayerGradCam(subject.score, _layer(subject.score.network, layer))
    shape = tuple(subject.volumes.shape[2:])
    maps = torch.empty(len(subject.volumes), 1, *shape)
    for part in batches(len(maps), batch_size, progress):
        volumes = subject.volumes[part].to(subject.device).requires_grad_()
        small = explain.attribute(volumes, relu_attributions=True)
        maps[part] = _enlarge(small.detach().cpu(), shape)
    return maps


def _layer(network: nn.Module, name: str | None) -> nn.Module:
    if name is None and not isinstance(network, ResNet3D):
        raise FormatError(
            f"Grad-CAM needs a convolutional layer, and which one of a {type(network).__name__} "
            "isn't known",
            where="layer",
            remedy="name one, such as layer='features.3'",
        )
    try:
        return network.get_submodule(name or "layer4")
    except AttributeError as error:
        raise FormatError(
            f"the network has no layer {name!r}",
            where="layer",
            remedy="choose one of dict(network.named_modules())",
        ) from error


def _enlarge(small: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Interpolate a layer's map at the voxels of the volume.

    A convolution of stride s whose padding keeps the size looks at voxels 0, s, 2s, …: the
    usual resizing, which lays cells side by side, would move the map by (s − 1) / 2 voxels.
    """
    axes = []
    for length, cells in zip(shape, small.shape[2:], strict=True):
        stride = 1
        while math.ceil(length / stride) > cells:
            stride *= 2
        voxel = torch.arange(length, dtype=torch.float64)
        if math.ceil(length / stride) == cells:
            cell = voxel / stride
        else:  # no power of two: the cells lie side by side
            cell = (voxel + 0.5) * cells / length - 0.5
        # grid_sample counts from −1 to 1 between the centres of the outermost cells.
        axes.append((2 * cell / max(cells - 1, 1) - 1).clamp(-1, 1).to(torch.float32))
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)
    return F.grid_sample(
        small, grid.expand(len(small), *grid.shape), mode="bilinear", padding_mode="border",
        align_corners=True,
    )  # fmt: skip


def _one_by_one(subject: Subject, explain: Any, progress: bool) -> torch.Tensor:
    """Explain one person after the other, so that memory doesn't grow with their number."""
    maps = torch.empty_like(subject.volumes)
    for part in batches(len(maps), 1, progress):
        maps[part] = explain(subject.volumes[part].to(subject.device)).detach().cpu()
    return maps


def _baseline(baseline: Any, subject: Subject) -> torch.Tensor | float:
    if isinstance(baseline, int | float):
        value: np.ndarray = np.asarray(float(baseline))
    else:
        value = np.asarray(baseline, dtype=np.float32)
    expected = tuple(subject.volumes.shape[1:])
    if value.ndim and value.shape != expected and value.shape != expected[1:]:
        raise FormatError(
            f"expected a number or a volume of shape {expected}, found {value.shape}",
            where="baseline",
        )
    if not np.isfinite(value).all():
        raise FormatError("the baseline isn't finite", where="baseline")
    if not value.ndim:
        return float(value)
    return torch.from_numpy(np.broadcast_to(value, expected)[None].copy()).to(subject.device)
