"""What the figures take, checked: traces of one or both nerves, an intensity image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, GeometryError
from ...imaging.files import load_image
from .._morphometry.inputs import read_scan
from .._morphometry.scan import Scan
from ..anatomy import SIDES, Side
from ..morphometry import NerveTrace

__all__ = ["Volume", "as_trace", "as_traces", "position", "read_volume", "scan_around"]

_UNTRACED = "the warning of trace_nerves says why it could not be traced; correct the label image"


def as_trace(trace: Any) -> NerveTrace:
    """Return one traced nerve, or say what else it is."""
    if trace is None:
        raise FormatError("expected a traced nerve, found None", remedy=_UNTRACED)
    if isinstance(trace, Mapping):
        raise FormatError(
            "expected one traced nerve, found those of both sides",
            remedy="choose one: trace_nerves(labels)['left']",
        )
    if not isinstance(trace, NerveTrace):
        raise FormatError(
            f"expected a NerveTrace, found {type(trace).__name__}",
            remedy="pass what trace_nerves(labels) returns for one side",
        )
    return trace


def as_traces(traces: Any) -> tuple[dict[Side, NerveTrace], tuple[Side, ...]]:
    """Return the nerves by side, and the sides asked for that have none."""
    if not isinstance(traces, Mapping):
        one = as_trace(traces)
        return {one.side: one}, ()
    strange = [side for side in traces if side not in SIDES]
    if strange:
        raise FormatError(f"expected the sides 'left' and 'right', found {strange}")
    found: dict[Side, NerveTrace] = {}
    missing: list[Side] = []
    for side in SIDES:
        if side not in traces:
            continue
        if traces[side] is None:
            missing.append(side)
            continue
        found[side] = as_trace(traces[side])
        if found[side].side != side:
            raise FormatError(
                f"the nerve under {side!r} is the {found[side].side} one",
                remedy="keep the mapping that trace_nerves returned",
            )
    if not found:
        raise FormatError("neither nerve was traced, so there is nothing to draw", remedy=_UNTRACED)
    return found, tuple(missing)


def position(s_mm: float, trace: NerveTrace) -> float:
    """Return a position along a nerve that lies on it."""
    s = float(s_mm)
    if not -1e-9 <= s <= trace.length_mm + 1e-9:
        raise FormatError(
            f"expected s from 0 (pons) to {trace.length_mm:.2f} mm (the end of the {trace.side} "
            f"nerve), found {s:g}"
        )
    return min(max(s, 0.0), trace.length_mm)


class Volume:
    """An image that can be asked for its value anywhere in space.

    Parameters
    ----------
    data : numpy.ndarray of shape (nx, ny, nz)
        Values.
    affine : numpy.ndarray of shape (4, 4)
        Voxel to world, mm.
    where : str
        Its name in messages.
    """

    def __init__(self, data: np.ndarray, affine: np.ndarray, where: str) -> None:
        self.data, self.affine, self.where = data, affine, where
        self._inverse = np.linalg.inv(affine)

    def voxels(self, x: np.ndarray) -> np.ndarray:
        """Return voxel coordinates of world coordinates (..., 3)."""
        return x @ self._inverse[:3, :3].T + self._inverse[:3, 3]

    def at(self, x: np.ndarray) -> np.ndarray:
        """Return the trilinear values at world coordinates (..., 3); missing outside."""
        from scipy import ndimage

        index = np.moveaxis(self.voxels(x), -1, 0)
        return ndimage.map_coordinates(self.data, index, order=1, mode="constant", cval=np.nan)

    def window(self, points: np.ndarray, margin_mm: float = 12.0) -> tuple[float, float]:
        """Return the 0.5th and 99.5th percentile of the values around some points (n, 3)."""
        index = self.voxels(points)
        pad = margin_mm / np.linalg.norm(self.affine[:3, :3], axis=0)
        low = np.maximum(index.min(axis=0) - pad, 0).astype(int)
        high = np.ceil(index.max(axis=0) + pad).astype(int)
        near = self.data[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        finite = near[np.isfinite(near)]
        if not len(finite):
            return 0.0, 1.0
        dark, bright = (float(v) for v in np.quantile(finite, [0.005, 0.995]))
        return dark, bright

    def must_show(self, points: np.ndarray, what: str) -> None:
        """Raise a GeometryError unless most of some points (n, 3) lie within the image."""
        index = self.voxels(points)
        inside = ((index >= -0.5) & (index <= np.array(self.data.shape) - 0.5)).all(axis=1)
        if inside.mean() < 0.5:
            raise GeometryError(
                f"{100 * inside.mean():.0f}% of {what} lies within the image",
                where=self.where,
                remedy="pass the image that was labelled, or one of the same space (world "
                "coordinates in mm)",
            )


def read_volume(source: Any, what: str = "image") -> Volume:
    """Read an intensity image of any orientation."""
    from nibabel.spatialimages import SpatialImage

    if isinstance(source, str | Path):
        image, where = load_image(source), os.fspath(source)
    elif isinstance(source, SpatialImage):
        image, where = source, what
    else:
        raise FormatError(
            f"expected a path or a nibabel image, found {type(source).__name__}",
            where=what,
            remedy="wrap an array as nibabel.Nifti1Image(array, affine)",
        )
    if len(image.shape) != 3:
        raise FormatError(
            f"expected a 3-D image, found shape {tuple(image.shape)}",
            where=where,
            remedy="pass one volume",
        )
    affine = np.asarray(image.affine, dtype=float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GeometryError("the affine is singular or not finite", where=where)
    return Volume(np.asarray(image.dataobj, dtype=np.float32), affine, where)


def scan_around(labels: Any, *traces: NerveTrace) -> Scan:
    """Read a label image of any voxel size in which the nerves lie."""
    scan, _ = read_scan(labels, max_spacing_mm=np.inf)
    for trace in traces:
        points = trace.centreline()[["x", "y", "z"]].to_numpy()
        Volume(scan.labels, scan.affine, "labels").must_show(points, f"the {trace.side} nerve")
    return scan
