"""How a scene is scanned: the options of a scan, and their checks."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ...errors import FormatError, GeometryError, list_some
from .appearance import render

__all__ = [
    "Contrast",
    "Scan",
    "Spacing",
    "Triple",
    "as_appearance",
    "as_fov",
    "as_oversample",
    "as_spacing",
    "as_triple",
]

Contrast = Literal["ciss", "space", "tof"]
Triple = tuple[float, float, float]
Spacing = float | Triple


@dataclasses.dataclass(frozen=True)
class Scan:
    """How the scene is looked at; the arguments of `simulate_cistern` but the anatomy."""

    spacing: Triple
    contrast: Contrast
    snr: float | None
    rotation_deg: Triple
    fov_mm: Triple
    oversample: int
    appearance: Mapping[str, Any]


def as_triple(value: Any, name: str) -> Triple:
    """Return three finite numbers."""
    numbers = np.asarray(value, dtype=float)
    if numbers.shape != (3,) or not np.all(np.isfinite(numbers)):
        raise GeometryError(f"expected three numbers, found {value!r}", where=name)
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def as_spacing(value: Spacing) -> Triple:
    """Return the voxel size along each axis."""
    triple = as_triple(np.broadcast_to(value, 3) if np.ndim(value) == 0 else value, "spacing")
    if not all(0.1 <= step <= 5 for step in triple):
        raise GeometryError(f"expected 0.1 to 5 mm, found {value!r}", where="spacing")
    return triple


def as_fov(value: Triple) -> Triple:
    """Return the size of the box."""
    triple = as_triple(value, "fov_mm")
    if not all(5 <= size <= 200 for size in triple):
        raise GeometryError(f"expected 5 to 200 mm, found {value!r}", where="fov_mm")
    return triple


def as_appearance(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the image, all of them known."""
    own = {"fractions", "affine", "contrast", "rng", "snr"}
    known = [name for name in inspect.signature(render).parameters if name not in own]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise FormatError(
            f"unknown option {list_some(unknown)}",
            where="appearance",
            remedy=f"known are {', '.join(known)}",
        )
    return dict(value)


def as_oversample(value: int) -> int:
    """Return the number of points along an edge."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 16:
        raise FormatError(
            f"expected a whole number from 1 to 16, found {value!r}", where="oversample"
        )
    return int(value)
