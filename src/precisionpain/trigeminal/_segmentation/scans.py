"""Scans as the network sees them: read, checked, on its grid; with labels to learn from."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataWarning, FormatError, GeometryError, list_some
from ...imaging.files import load_image
from .grids import Grid, normalise, resample, working_grid

__all__ = ["LabelledScans", "Scan", "read_image", "read_labels", "read_scan"]

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """The channels of a scan, in the axis order closest to RAS+.

    Parameters
    ----------
    channels : list of ndarray of float32
        All of the grid's shape.
    grid : Grid
        Where the voxels lie.
    original : nibabel image
        The first channel as it was given; what is returned takes its axis order.
    """

    channels: list[Array]
    grid: Grid
    original: Any


def read_image(source: Any, what: str = "image") -> tuple[Any, str]:
    """Load a 3-D image, and refuse what has no place or no millimetres.

    Parameters
    ----------
    source : path or nibabel image
        A volume.
    what : str
        Its name in errors.

    Returns
    -------
    image : nibabel image
    where : str
        For errors: the path, or `what`.

    Raises
    ------
    FormatError, GeometryError
        When it isn't one volume on a grid with right angles.
    """
    from nibabel.spatialimages import SpatialImage

    where = what
    if isinstance(source, str | os.PathLike):
        where = os.fspath(source)
        source = load_image(where)
    if not isinstance(source, SpatialImage):
        raise FormatError(
            f"expected a path or a nibabel image, found {type(source).__name__}",
            where=where,
            remedy="wrap an array as nibabel.Nifti1Image(array, affine); mm need the affine",
        )
    if source.ndim != 3:
        raise FormatError(
            f"expected a 3-D volume, found {source.ndim}-D of shape {source.shape}",
            where=where,
            remedy="pass one volume; further contrasts go in as a list of images",
        )
    affine = source.affine
    if affine is None or not np.isfinite(affine).all():
        raise GeometryError(
            "the image has no affine with finite values, so nothing is known of millimetres",
            where=where,
            remedy="convert the scan again",
        )
    axes = np.asarray(affine)[:3, :3]
    length = np.linalg.norm(axes, axis=0)
    if (length == 0).any() or np.abs(np.linalg.det(axes / length)) < 0.98:
        raise GeometryError(
            "the axes of the image are not at right angles, or one has no length",
            where=where,
            remedy="resample the scan to a grid with right angles",
        )
    return source, where


def read_scan(
    source: Any, n_channels: int, max_spacing_mm: float, *, names: Sequence[str] = ()
) -> Scan:
    """Read the channels of a scan onto the grid of the first.

    Parameters
    ----------
    source : path, nibabel image, or a sequence of them
        One for each channel.
    n_channels : int
        How many the network takes.
    max_spacing_mm : float
        Coarser voxels are refused.
    names : sequence of str
        Of the channels, for errors.

    Returns
    -------
    Scan

    Raises
    ------
    FormatError, GeometryError
        When a channel is missing, constant, not finite, too coarse, or lies elsewhere.
    """
    import nibabel

    many = isinstance(source, Sequence) and not isinstance(source, str)
    sources = list(source) if many else [source]
    if len(sources) != n_channels:
        which = f" ({', '.join(names)})" if names else ""
        raise FormatError(
            f"expected {n_channels} images{which}, found {len(sources)}",
            remedy="pass one image for each channel that the network was trained on",
        )
    channels: list[Array] = []
    grid: Grid | None = None
    original = None
    for k, one in enumerate(sources):
        image, where = read_image(one, names[k] if k < len(names) else "image")
        canonical = nibabel.as_closest_canonical(image)
        data = np.asarray(canonical.dataobj)
        if np.iscomplexobj(data) or data.dtype.kind not in "fiub":
            raise FormatError(f"expected real numbers, found {data.dtype}", where=where)
        # In one memory order, so that sums are rounded alike however the image was stored.
        data = np.ascontiguousarray(data, dtype=np.float32)
        _check_values(data, where)
        x, y, z = canonical.shape
        own = Grid((x, y, z), np.asarray(canonical.affine, dtype=float))
        if own.spacing.max() > max_spacing_mm * (1 + 1e-6):
            sizes = " × ".join(f"{value:.3g}" for value in own.spacing)
            raise GeometryError(
                f"voxels of {sizes} mm are too coarse: expected at most {max_spacing_mm:g} mm",
                where=where,
                remedy="use a thin-slice scan; resampling adds no information",
            )
        if grid is None:
            grid, original = own, image
        elif own.shape != grid.shape or not np.allclose(own.affine, grid.affine, atol=1e-2):
            data = _onto(data, own, grid, where)
        channels.append(data)
    assert grid is not None
    return Scan(channels, grid, original)


def _onto(data: Array, own: Grid, grid: Grid, where: str) -> Array:
    turn = np.abs(own.affine[:3, :3] / own.spacing - grid.affine[:3, :3] / grid.spacing).max()
    if turn > 1e-3:
        raise GeometryError(
            "the channels lie at an angle to each other",
            where=where,
            remedy="resample it onto the grid of the first channel",
        )
    return resample(data, own, grid)


def _check_values(data: Array, where: str) -> None:
    bad = int(data.size - np.isfinite(data).sum())
    if bad:
        raise FormatError(
            f"{bad:,} of {data.size:,} voxels are not finite",
            where=where,
            remedy="convert the scan again, or replace them by what lies around",
        )
    if data.size == 0 or float(data.max()) == float(data.min()):
        raise FormatError(
            "the image is empty: all voxels have the same value",
            where=where,
            remedy="check the conversion; there is nothing to segment",
        )


def read_labels(
    source: Any, like: Scan, known: Sequence[int], what: str = "label image"
) -> NDArray[np.int64]:
    """Read a label image, which lies on the grid of its scan.

    Parameters
    ----------
    source : path or nibabel image
        Whole numbers.
    like : Scan
        Its scan.
    known : sequence of int
        Labels that are learned; 0 is background. Others are refused.
    what : str
        Its name in errors.

    Returns
    -------
    numpy.ndarray of int64
        In the axis order of the scan.

    Raises
    ------
    FormatError, GeometryError
        For another grid, unknown labels or none.
    """
    import nibabel

    image, where = read_image(source, what)
    canonical = nibabel.as_closest_canonical(image)
    affine = canonical.affine
    off = np.abs(affine - like.grid.affine).max()
    if canonical.shape != like.grid.shape or off > 0.1 * float(like.grid.spacing.min()):
        raise GeometryError(
            f"expected the grid of the scan, {like.grid.shape} voxels, found "
            f"{canonical.shape}" + ("" if canonical.shape != like.grid.shape else " elsewhere"),
            where=where,
            remedy="resample the labels (nearest neighbour) to the grid of the scan",
        )
    raw = np.asarray(canonical.dataobj)
    if raw.dtype.kind not in "fiub":
        raise FormatError(f"expected whole numbers as labels, found {raw.dtype}", where=where)
    if raw.dtype.kind == "f" and not (np.isfinite(raw) & (raw == np.rint(raw))).all():
        raise FormatError("expected whole numbers as labels, found others", where=where)
    values = raw.astype(np.int64)
    strange = np.setdiff1d(np.unique(values), [0, *known])
    if len(strange):
        raise FormatError(
            f"unknown labels {list_some(strange.tolist())}; known are {list_some(known, 12)}",
            where=where,
            remedy="map the labels to these, or name them in `labels`",
        )
    if not values.any():
        raise FormatError("the label image is empty: every voxel is background", where=where)
    return values


class LabelledScans:
    """Scans with label images, brought to the grid of the network once.

    Parameters
    ----------
    pairs : sequence of (image, labels)
        Paths or nibabel images; an image may be a sequence of channels.
    labels : mapping of str to tuple of int
        Values of each structure.
    spacing_mm : tuple of three floats or None
        Of the network.
    n_channels : int
        Of each scan.
    max_spacing_mm : float
        Coarser scans are refused.
    keys : sequence of str
        Whose each scan is.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Any, Any]],
        *,
        labels: Mapping[str, tuple[int, ...]],
        spacing_mm: tuple[float, float, float] | None,
        n_channels: int,
        max_spacing_mm: float,
        keys: Sequence[str],
    ) -> None:
        import warnings

        known = [value for values in labels.values() for value in values]
        self.subject_ids = list(keys)
        self.grids: list[Grid] = []
        self._scans: list[tuple[Array, Array]] = []
        digest = hashlib.sha256()
        found: set[int] = set()
        for i, (image, truth) in enumerate(pairs):
            names = [f"image {k} of scan {i}" for k in range(n_channels)]
            scan = read_scan(image, n_channels, max_spacing_mm, names=names)
            values = read_labels(truth, scan, known, f"label image of scan {i}")
            for array in (*scan.channels, values, scan.grid.affine):
                digest.update(np.ascontiguousarray(array).tobytes())
            found |= set(np.unique(values).tolist())
            grid = working_grid(scan.grid, spacing_mm)
            self.grids.append(grid)
            channels = [normalise(resample(c, scan.grid, grid, order=3)) for c in scan.channels]
            shares = np.stack([
                resample(np.isin(values, own).astype(np.float32), scan.grid, grid)
                for own in ((0,), *labels.values())
            ])  # fmt: skip
            shares /= np.maximum(shares.sum(axis=0), 1e-3)
            self._scans.append((np.stack(channels), np.rint(255 * shares).astype(np.uint8)))
        self.fingerprint = digest.hexdigest()
        absent = [name for name, own in labels.items() if not found & set(own)]
        if absent:
            warnings.warn(
                DataWarning(f"no scan has the structure {list_some(absent)}; it isn't learned"),
                stacklevel=4,
            )

    def __len__(self) -> int:
        return len(self._scans)

    def draw(
        self, index: int, rng: np.random.Generator, *, classes: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return image and target of one scan; what is random is left to the sampler."""
        image, shares = self._scans[index]
        target = shares.astype(np.float32)
        # Rounded to whole numbers the shares of a voxel add up to 253 to 257.
        target /= target.sum(axis=0)
        return image, target
