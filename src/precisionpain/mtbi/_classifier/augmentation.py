"""Slabs changed at random as they are drawn, on the device where they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..volumes import Plane

__all__ = ["Augmentation", "augment"]

Augmentation = Literal["paper", "anatomical"]

# Of z-scored intensities.
_NOISE = 0.1
_TURN_DEGREES, _STRETCH, _SHIFT_VOXELS = 5.0, 0.05, 2.0
_CONTRAST, _BIAS = 0.1, 0.15
# Axis of the slab (n, channel, depth, height, width) that runs from right to left.
_SIDES_AXIS = {"axial": 4, "coronal": 4, "sagittal": 2}


def augment(
    volumes: torch.Tensor,
    kind: Augmentation,
    plane: Plane,
    rng: np.random.Generator,
    *,
    swap_sides: bool = False,
) -> torch.Tensor:
    """Change slabs at random.

    Parameters
    ----------
    volumes : torch.Tensor, shape (n, 1, depth, height, width)
        z-scored; not changed.
    kind : {"paper", "anatomical"}
        "paper": mirrored along the width with probability ½, which swaps left and right in
        axial and coronal slabs and front and back in sagittal ones; Gaussian noise (SD 0.1).
        "anatomical": turned by up to 5°, stretched by up to 5%, moved by up to 2 voxels;
        contrast ±10%, a smooth field of brightness (SD 15%), and the same noise.
    plane : {"axial", "coronal", "sagittal"}
        Of the slabs.
    rng : numpy.random.Generator
        The one source of randomness.
    swap_sides : bool, default False
        Of "anatomical": also mirror left and right, with probability ½, in every plane.

    Returns
    -------
    torch.Tensor
        Of the same shape.
    """
    n = len(volumes)
    noise = torch.Generator(volumes.device).manual_seed(int(rng.integers(2**63)))
    if kind == "paper":
        out = _mirrored(volumes, 4, rng)
    else:
        out = _mirrored(volumes, _SIDES_AXIS[plane], rng) if swap_sides else volumes
        out = _moved(out, rng)
        low = out.amin((1, 2, 3, 4), keepdim=True)  # air stays as dark as it was
        field = 1 + _BIAS * torch.randn((n, 1, 3, 3, 3), generator=noise, device=out.device)
        field = F.interpolate(field, out.shape[2:], mode="trilinear", align_corners=True)
        gain = torch.from_numpy(1 + _CONTRAST * rng.uniform(-1, 1, (n, 1, 1, 1, 1))).to(out)
        out = low + (out - low) * field * gain
    return out + _NOISE * torch.randn(out.shape, generator=noise, device=out.device)


def _mirrored(volumes: torch.Tensor, axis: int, rng: np.random.Generator) -> torch.Tensor:
    chosen = torch.from_numpy(rng.random((len(volumes), 1, 1, 1, 1)) < 0.5).to(volumes.device)
    return torch.where(chosen, volumes.flip(axis), volumes)


def _moved(volumes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Resample each volume after a small affine movement, with trilinear weights."""
    n, size = len(volumes), np.array(volumes.shape[:1:-1])  # width, height, depth: as torch has it
    # Voxels are cubes, so an angle is one in voxels, not in torch's box from −1 to 1.
    to_voxels = np.diag((size - 1) / 2)
    theta = np.empty((n, 3, 4), np.float32)
    for i in range(n):
        angles = np.radians(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES, 3))
        stretch = np.diag(1 + rng.uniform(-_STRETCH, _STRETCH, 3))
        matrix = stretch
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            a, b = [other for other in range(3) if other != axis]
            turn[a, a] = turn[b, b] = np.cos(angle)
            turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
            matrix = turn @ matrix
        shift = rng.uniform(-_SHIFT_VOXELS, _SHIFT_VOXELS, 3)
        back = np.linalg.inv(to_voxels)
        theta[i, :, :3] = back @ matrix @ to_voxels
        theta[i, :, 3] = back @ shift
    grid = F.affine_grid(
        torch.from_numpy(theta).to(volumes.device), list(volumes.shape), align_corners=True
    )
    return F.grid_sample(volumes, grid, padding_mode="border", align_corners=True)
