"""Triangle meshes of a scene: the pons from labels, normals, and simple shading."""

from __future__ import annotations

import numpy as np

from .._morphometry.scan import Scan
from ..anatomy import Label

__all__ = ["normals", "pons_mesh", "shade"]

_MARGIN_MM = 6.0


def pons_mesh(scan: Scan, near: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the surface of the brainstem around the nerves, or None where none is labelled.

    Parameters
    ----------
    scan : Scan
        Labels.
    near : numpy.ndarray of shape (n, 3)
        Points of the nerves; the surface goes on for 6 mm beyond their bounding box.

    Returns
    -------
    vertices, faces : numpy.ndarray of shape (n, 3) and (m, 3)
        World coordinates, mm; indices.
    opacity : numpy.ndarray of shape (n,)
        1 beside the nerves, falling to 0 where the surface is cut.
    """
    from scipy import ndimage
    from skimage.measure import marching_cubes

    index = (near - scan.affine[:3, 3]) @ np.linalg.inv(scan.axes).T
    pad = _MARGIN_MM / scan.spacing
    low = np.maximum(np.floor(index.min(axis=0) - pad), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + pad) + 1, scan.labels.shape).astype(int)
    high[1] = scan.labels.shape[1]
    if (high - low < 4).any():
        return None
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    solid = (scan.labels[box] == Label.BRAINSTEM).astype(np.float32)
    solid = ndimage.gaussian_filter(solid, 0.7 / scan.spacing, mode="nearest")
    if not solid.min() < 0.5 < solid.max():
        return None
    step = max(round(0.6 / scan.size), 1)
    vertices, faces, _, _ = marching_cubes(solid, 0.5, step_size=step, allow_degenerate=False)
    world = scan.world(vertices + low)
    outside = np.maximum(near.min(axis=0) - world, world - near.max(axis=0))
    outside[:, 1] = near[:, 1].min() - world[:, 1]  # in front nothing is cut
    outside = outside.max(axis=1)
    return world, faces, 1 - np.clip(outside / (0.9 * _MARGIN_MM), 0, 1)


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals of the vertices, by the areas of their triangles."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], flat)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def shade(colours: np.ndarray, face_normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Darken RGBA colours (n, 4) of faces turned away from the light, whichever way they face."""
    length = np.maximum(np.linalg.norm(face_normals, axis=1), 1e-12)
    facing = np.abs(face_normals @ light) / length
    shaded = colours.copy()
    shaded[:, :3] *= (0.42 + 0.58 * facing)[:, None]
    # A touch of gloss, so that round things look round.
    shaded[:, :3] += 0.25 * (facing**24)[:, None] * (1 - shaded[:, :3])
    return np.clip(shaded, 0, 1)
