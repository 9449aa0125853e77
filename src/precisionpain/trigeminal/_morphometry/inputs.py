"""From files or images to a checked scan; every problem is named before anything is measured."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import ndimage

from ...errors import FormatError, GeometryError
from ...imaging.files import load_image
from .._doubt import without_doubt
from ..anatomy import Label
from .scan import Scan

__all__ = ["MAX_SPACING_MM", "read_scan"]

MAX_SPACING_MM = 1.2
_AGREEMENT = 0.8
# A network may leave open which kind a vessel is.
_UNITS = (
    (Label.BRAINSTEM,), (Label.NERVE_LEFT,), (Label.NERVE_RIGHT,), (Label.ARTERY, Label.VEIN),
)  # fmt: skip
_NAMES = ", ".join(f"{label.value} {label.name.lower()}" for label in Label)


def read_scan(
    labels: Any,
    image: Any = None,
    probabilities: Any = None,
    *,
    predicted: bool | None = None,
    max_spacing_mm: float = MAX_SPACING_MM,
) -> tuple[Scan, np.ndarray | None]:
    """Check a label image, and bring it and its companions into canonical axis order.

    Parameters
    ----------
    labels : path or nibabel image
        3-D, values of `Label`.
    image : path or nibabel image, optional
        Intensities on the same grid.
    probabilities : path or nibabel image, optional
        4-D on the same grid; the last axis holds the labels in order.
    predicted : bool, optional
        Whether the probabilities are a network's estimate; by default their header tells.
    max_spacing_mm : float
        Coarser voxels are refused.

    Returns
    -------
    scan : Scan
        In the axis order closest to RAS+.
    intensities : numpy.ndarray or None
        Of `image`, in the same order.

    Raises
    ------
    FormatError, GeometryError
        When something is not what it should be.
    """
    import nibabel

    label_image, where = _open(labels, "label image")
    if label_image.ndim != 3:
        raise FormatError(
            f"expected a 3-D label image, found {label_image.ndim}-D of shape {label_image.shape}",
            where=where,
            remedy="pass one volume; probabilities go into `probabilities`",
        )
    _check_affine(label_image.affine, where)
    spacing = np.linalg.norm(label_image.affine[:3, :3], axis=0)
    if spacing.max() > max_spacing_mm * (1 + 1e-6):
        raise GeometryError(
            f"voxels of {_sizes(spacing)} mm are too coarse for a nerve of 2 to 4 mm: expected at "
            f"most {max_spacing_mm:g} mm",
            where=where,
            remedy="segment a thin-slice scan; resampling adds no information. To go on all the "
            "same, pass a larger max_spacing_mm",
        )
    canonical = nibabel.as_closest_canonical(label_image)
    values = _label_values(np.asanyarray(canonical.dataobj), where)
    intensities = None
    if image is not None:
        other, place = _open(image, "image")
        if other.ndim != 3:
            raise FormatError(
                f"expected a 3-D image, found {other.ndim}-D of shape {other.shape}",
                where=place,
                remedy="pass one volume",
            )
        other = _same_grid(other, label_image, canonical, place)
        intensities = np.asarray(other.dataobj, dtype=np.float32)
    shares = None
    if probabilities is not None:
        other, place = _open(probabilities, "probability image")
        if other.ndim != 4 or other.shape[3] != len(Label):
            raise FormatError(
                f"expected probabilities of shape (x, y, z, {len(Label)}), one volume for each "
                f"label ({_NAMES}), found shape {other.shape}",
                where=place,
            )
        if predicted is None:
            predicted = _is_estimate(other)
        other = _same_grid(other, label_image, canonical, place)
        shares = _probabilities(np.asarray(other.dataobj, dtype=np.float32), place)
        _check_agreement(values, shares, place)
        if predicted:
            shares = _without_doubt(shares)
    if not (values > 0).any():
        raise FormatError(
            "the label image is empty: every voxel is background",
            where=where,
            remedy=f"expected the labels {_NAMES}",
        )
    return Scan(values, shares, canonical.affine, bool(predicted)), intensities


def _open(source: Any, what: str) -> tuple[Any, str]:
    from nibabel.spatialimages import SpatialImage

    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        return load_image(path), path
    if isinstance(source, SpatialImage):
        return source, what
    raise FormatError(
        f"expected a path or a nibabel image, found {type(source).__name__}",
        where=what,
        remedy="wrap an array as nibabel.Nifti1Image(array, affine); mm need the affine",
    )


def _is_estimate(image: Any) -> bool:
    """Return whether a header says that the values are estimated, as a segmenter's does."""
    intent = getattr(image.header, "get_intent", None)
    return intent is not None and intent()[0] == "estimate"


def _without_doubt(shares: np.ndarray) -> np.ndarray:
    """Keep of a network's shares, in the part of the scan that has any, what lies where."""
    held = shares[..., 0] < 1
    if not held.any():
        return shares
    box = ndimage.find_objects(held.astype(np.uint8))[0]
    settled = shares.copy()
    settled[box] = np.moveaxis(without_doubt(np.moveaxis(shares[box], -1, 0), _UNITS), 0, -1)
    return settled


def _check_affine(affine: np.ndarray | None, where: str) -> None:
    if affine is None:
        raise GeometryError(
            "the image has no affine, so nothing is known of millimetres and sides",
            where=where,
            remedy="save it with the affine of the scan",
        )
    axes = np.asarray(affine)[:3, :3]
    length = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or (length == 0).any():
        raise GeometryError(
            "the affine has values that are not finite, or an axis of length zero",
            where=where,
            remedy="convert the scan again; without an affine nothing can be measured",
        )
    cosines = (axes / length).T @ (axes / length)
    if abs(np.linalg.det(axes / length)) < 1e-3:
        raise GeometryError(
            "the affine is singular: two axes of the image point the same way",
            where=where,
            remedy="convert the scan again; without an affine nothing can be measured",
        )
    if np.abs(cosines - np.eye(3)).max() > 0.02:
        raise GeometryError(
            "the axes of the image are not at right angles (gantry tilt or an affine "
            "transformation)",
            where=where,
            remedy="resample labels and image to a grid with right angles",
        )


def _same_grid(other: Any, reference: Any, canonical: Any, where: str) -> Any:
    import nibabel

    moved = nibabel.as_closest_canonical(other)
    if moved.shape[:3] != canonical.shape:
        raise GeometryError(
            f"expected the grid of the label image, {canonical.shape} voxels, found "
            f"{moved.shape[:3]}",
            where=where,
            remedy="resample it to the grid of the label image, or label the other grid",
        )
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in canonical.shape])).reshape(3, -1).T
    gap = nibabel.affines.apply_affine(moved.affine, corners) - nibabel.affines.apply_affine(
        canonical.affine, corners
    )
    off = float(np.linalg.norm(gap, axis=1).max())
    finest = np.linalg.norm(reference.affine[:3, :3], axis=0).min()
    if not off < 0.1 * finest:
        raise GeometryError(
            f"the grid lies up to {off:.2f} mm from that of the label image",
            where=where,
            remedy="resample it to the grid of the label image, or label the other grid",
        )
    return moved


def _label_values(data: np.ndarray, where: str) -> np.ndarray:
    if not (np.issubdtype(data.dtype, np.number) or data.dtype == bool) or np.iscomplexobj(data):
        raise FormatError(f"expected whole numbers as labels, found {data.dtype}", where=where)
    found = np.unique(data)
    if not np.isfinite(found.astype(float)).all():
        raise FormatError("the label image has values that are not finite", where=where)
    known = np.array([label.value for label in Label])
    strange = found[~np.isin(found, known)]
    if len(strange):
        some = ", ".join(f"{value:g}" for value in strange[:5].astype(float))
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise FormatError(
            f"unknown labels: {some}{more}; known are {_NAMES}",
            where=where,
            remedy="map the labels of your segmentation to these",
        )
    return np.ascontiguousarray(data.astype(np.uint8))


def _probabilities(data: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(data).all():
        raise FormatError("the probabilities have values that are not finite", where=where)
    if data.min() < -1e-3 or data.max() > 1 + 1e-3:
        raise FormatError(
            f"expected probabilities from 0 to 1, found {np.nanmin(data):g} to {np.nanmax(data):g}",
            where=where,
            remedy="pass probabilities (after the softmax), not logits",
        )
    total = data.sum(axis=-1)
    if np.abs(total - 1).max() > 0.02:
        raise FormatError(
            f"the probabilities of a voxel add up to {total.min():.2f} to {total.max():.2f}, "
            "expected 1",
            where=where,
            remedy="include the background as the first volume",
        )
    return np.clip(data, 0, 1)


def _check_agreement(labels: np.ndarray, shares: np.ndarray, where: str) -> None:
    """Refuse probabilities whose largest is seldom that of the label.

    A segmenter may first tell vessel from background, and then artery from vein: the kind that is
    likelier may then have the probability of both.
    """
    best = np.argmax(shares, axis=-1)
    vessels = [int(Label.ARTERY), int(Label.VEIN)]
    kind = np.take(vessels, np.argmax(shares[..., vessels], axis=-1))
    others = np.delete(shares, vessels, axis=-1).max(axis=-1)
    as_one = np.where(shares[..., vessels].sum(axis=-1) >= others, kind, best)
    for label in Label:
        own = labels == label
        if label == Label.BACKGROUND or not own.any():
            continue
        same = float(np.mean((best[own] == label) | (as_one[own] == label)))
        if same < _AGREEMENT:
            raise FormatError(
                f"the largest probability is that of the label in only {100 * same:.0f}% of the "
                f"voxels labelled {label.value} ({label.name.lower()})",
                where=where,
                remedy=f"put the volumes in the order {_NAMES}, and pass the labels and "
                "probabilities of one segmentation",
            )


def _sizes(spacing: np.ndarray) -> str:
    return " × ".join(f"{value:.3g}" for value in spacing)
