"""From shapes to voxels: the share of each tissue in each voxel, by supersampling."""

from __future__ import annotations

import dataclasses
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .anatomy import Scene
from .shapes import Array, Ellipsoid, Nerve, Tube
from .tissue import PRIORITY, Tissue

__all__ = ["class_fractions", "grid_of", "nerve_direction", "solids"]

CHUNK = 400_000
FINER = 1.5
"""Sampling along a voxel edge at the nerves, relative to elsewhere."""


def grid_of(
    scene: Scene,
    spacing: tuple[float, float, float],
    fov_mm: tuple[float, float, float],
    rotation_deg: tuple[float, float, float],
    shift_mm: Array,
) -> tuple[NDArray[np.intp], Array]:
    """Return shape and affine of an oblique grid over both nerves and the front of the pons."""
    step = np.asarray(spacing, dtype=float)
    shape = np.maximum(np.rint(np.asarray(fov_mm) / step), 1).astype(np.intp)
    ends = np.concatenate(
        [parts.nerve.curve.points[parts.nerve.curve.s > -1] for parts in scene.sides.values()]
    )
    center = (ends.min(axis=0) + ends.max(axis=0)) / 2
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix()
    affine[:3, :3] = turn * step
    affine[:3, 3] = center - affine[:3, :3] @ ((shape - 1) / 2) + turn @ shift_mm
    return shape, affine


def solids(scene: Scene) -> list[tuple[Tissue, Any]]:
    """Return all shapes with their tissue, in painting order."""
    found: list[tuple[Tissue, Any]] = [(Tissue.PONS, scene.pons), *scene.others]
    found += [(vessel.tissue, vessel.tube) for vessel in scene.vessels]
    found += [
        (Tissue.NERVE_LEFT if side == "left" else Tissue.NERVE_RIGHT, parts.nerve)
        for side, parts in scene.sides.items()
    ]
    return sorted(found, key=lambda item: PRIORITY.index(item[0]))


def class_fractions(
    scene: Scene, affine: Array, shape: Any, oversample: int = 4
) -> NDArray[np.float32]:
    """Return the share of each tissue in each voxel.

    Voxels that no surface comes near take one tissue whole; the others are split into
    ``oversample ** 3`` points, each of which has one tissue; at a nerve, whose whole volume
    may be 20 mm³, into half as many again along each edge.

    Parameters
    ----------
    scene : Scene
        Shapes in world coordinates, mm.
    affine : ndarray of shape (4, 4)
        Voxel centres to world.
    shape : sequence of 3 int
        Grid.
    oversample : int, default 4
        Points along each voxel edge.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz, n_tissues)
        Sums to 1 over the last axis.
    """
    shape = tuple(int(n) for n in shape)
    step = affine[:3, :3]
    spacing = np.linalg.norm(step, axis=0)
    half = float(np.linalg.norm(spacing)) / 2
    painted: list[_Painted] = []
    mixed = np.zeros(shape, dtype=bool).ravel()
    fine = np.zeros_like(mixed)
    for tissue, solid in solids(scene):
        voxels = _candidates(solid, affine, shape, half)
        centers = _world(voxels, affine, shape)
        value, hint = solid.sdf(centers)
        edge = np.abs(value) < _reach(solid, half)
        whole = voxels[(value < 0) & ~edge]
        mixed[voxels[edge]] = True
        if isinstance(solid, Nerve):
            fine[voxels[edge]] = True
        painted.append(
            _Painted(tissue, solid, whole, voxels[edge], centers[edge], _take(hint, edge))
        )

    fractions = np.zeros((mixed.size, len(Tissue)), dtype=np.float32)
    fractions[:, Tissue.CSF] = 1
    for one in painted:
        whole = one.whole
        if one.tissue == Tissue.PLAQUE:
            whole = whole[fractions[whole, Tissue.PONS] == 1]
        fractions[whole] = 0
        fractions[whole, one.tissue] = 1
    for chosen, edge_points in ((fine, ceil(FINER * oversample)), (mixed & ~fine, oversample)):
        voxels = np.flatnonzero(chosen)
        owner = _split(painted, voxels, _spread_points(edge_points**3) @ step.T, mixed.size)
        for tissue in Tissue:
            fractions[voxels, tissue] = (owner == tissue).mean(axis=1)
    return fractions.reshape(*shape, len(Tissue))


@dataclasses.dataclass(frozen=True, eq=False)
class _Painted:
    """The voxels that a solid fills, and those that its surface comes near."""

    tissue: Tissue
    solid: Any
    whole: NDArray[np.intp]
    edge: NDArray[np.intp]
    centers: Array
    hint: Any


def _split(
    painted: list[_Painted], voxels: NDArray[np.intp], offsets: Array, size: int
) -> NDArray[np.uint8]:
    """Return the tissue of every sub-sample of some voxels."""
    rows = np.full(size, -1, dtype=np.intp)
    rows[voxels] = np.arange(len(voxels))
    owner = np.zeros((len(voxels), len(offsets)), dtype=np.uint8)
    for one in painted:
        at = rows[one.whole]
        at = at[at >= 0]
        here = np.flatnonzero(rows[one.edge] >= 0)
        inside = _inside(one.solid, one.centers[here], offsets, _take(one.hint, here))
        if one.tissue == Tissue.PLAQUE:
            # A plaque is part of the pons; what sticks out of it is not there.
            owner[at] = np.where(owner[at] == Tissue.PONS, np.uint8(one.tissue), owner[at])
            inside &= owner[rows[one.edge[here]]] == Tissue.PONS
        else:
            owner[at] = one.tissue
        part = owner[rows[one.edge[here]]]
        part[inside] = one.tissue
        owner[rows[one.edge[here]]] = part
    return owner


def _spread_points(n: int) -> Array:
    """Return n evenly spread points of the unit cube, centred on 0.

    An additive recurrence: unlike on a square grid, no two points share a coordinate, so that
    a surface along the voxel faces is resolved to 1/n instead of its cube root.
    """
    plastic = 1.2207440846057596  # root of x⁴ = x + 1
    index = np.arange(n)[:, None] + 0.5
    points: Array = (index * plastic ** -np.arange(1.0, 4.0)) % 1
    return points - points.mean(axis=0)


def _reach(solid: Any, half: float) -> float:
    # The implicit functions other than that of a tube are distances to first order only.
    return half * 1.02 if isinstance(solid, Tube) else half * 1.3 + 0.03


def _take(hint: Any, mask: NDArray[Any]) -> Any:
    if isinstance(hint, tuple):
        return tuple(_take(part, mask) for part in hint)
    return None if hint is None else hint[mask]


def _world(voxels: NDArray[np.intp], affine: Array, shape: tuple[int, ...]) -> Array:
    ijk = np.stack(np.unravel_index(voxels, shape), axis=1)
    world: Array = ijk @ affine[:3, :3].T + affine[:3, 3]
    return world


def _candidates(solid: Any, affine: Array, shape: tuple[int, ...], half: float) -> NDArray[np.intp]:
    """Return the flat indices of the voxels that a solid may reach."""
    inverse = np.linalg.inv(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    mask = np.zeros(shape, dtype=bool)
    if isinstance(solid, Tube | Nerve):
        curve = solid.curve
        reach = (
            float((solid.radius if isinstance(solid, Tube) else solid.major).max()) + 1.35 * half
        )
        every = max(1, int(spacing.min() / curve.step))
        size = np.ceil((reach + spacing.min()) / spacing).astype(int)
        centers = np.rint(curve.points[::every] @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        for center in np.unique(centers, axis=0):
            low, high = np.maximum(center - size, 0), np.minimum(center + size + 1, shape)
            if np.all(low < high):
                mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    elif isinstance(solid, Ellipsoid):
        center = solid.center @ inverse[:3, :3].T + inverse[:3, 3]
        extent = np.linalg.norm(inverse[:3, :3] @ solid.axes.T * solid.radii, axis=1)
        low = np.floor(center - extent - 2).astype(int).clip(0, shape)
        high = np.ceil(center + extent + 3).astype(int).clip(0, shape)
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    else:
        mask[:] = True
    return np.flatnonzero(mask)


def _inside(solid: Any, centers: Array, offsets: Array, hint: Any) -> NDArray[np.bool_]:
    """Test every sub-sample of the voxels at a surface."""
    inside = np.empty((len(centers), len(offsets)), dtype=bool)
    size = max(1, CHUNK // len(offsets))
    for first in range(0, len(centers), size):
        part = slice(first, first + size)
        points = (centers[part, None] + offsets).reshape(-1, 3)
        value, _ = solid.sdf(points, _spread(hint, part, len(offsets)))
        inside[part] = (value < 0).reshape(-1, len(offsets))
    return inside


def _spread(hint: Any, part: slice, times: int) -> Any:
    if isinstance(hint, tuple):
        return tuple(_spread(one, part, times) for one in hint)
    return None if hint is None else np.repeat(hint[part], times)


def nerve_direction(scene: Scene, affine: Array, shape: Any) -> NDArray[np.float32]:
    """Return the unit tangent of the nearest nerve in each voxel, zero away from nerves."""
    shape = tuple(int(n) for n in shape)
    field = np.zeros((int(np.prod(shape)), 3), dtype=np.float32)
    half = float(np.linalg.norm(np.linalg.norm(affine[:3, :3], axis=0))) / 2
    for parts in scene.sides.values():
        voxels = _candidates(parts.nerve, affine, shape, half)
        _, _, _, index = parts.nerve.local(_world(voxels, affine, shape))
        field[voxels] = parts.nerve.curve.tangent[index]
    return field.reshape(*shape, 3)
