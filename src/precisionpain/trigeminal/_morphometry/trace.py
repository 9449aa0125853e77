"""From a checked scan to one traced nerve with its vessels."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from ..anatomy import Label, Side
from .geometry import Geometry
from .nerve import NerveFit, fit_nerve, fit_wall
from .scan import Scan
from .settings import MASK, SHARE, Weights
from .vessels import Vessel, fit_vessels, mask_threshold, tube_share

__all__ = ["Traced", "Untraceable", "trace_side"]

MARGIN_MM = 7.0  # what lies farther from a nerve is not looked at
MIN_VOXELS = 40


class Untraceable(Exception):
    """Why a nerve can't be measured."""


@dataclasses.dataclass(frozen=True)
class Traced:
    """One nerve, the vessels near it, and what a reader should know.

    Parameters
    ----------
    fit : NerveFit
        The nerve.
    vessels : list of Vessel
        Near it.
    geometry : Geometry
        Of both.
    flags : tuple of str
        Complete sentences.
    mask : bool
        Whether only a mask was there.
    """

    fit: NerveFit
    vessels: list[Vessel]
    geometry: Geometry
    flags: tuple[str, ...]
    mask: bool
    voxel_mm: float


def trace_side(scan: Scan, side: Side, weights: Weights | None = None) -> Traced:
    """Trace the nerve of one side.

    Parameters
    ----------
    scan : Scan
        The whole scan.
    side : {"left", "right"}
        Which.
    weights : Weights, optional
        Of the fits; by default those for masks or for shares.

    Returns
    -------
    Traced

    Raises
    ------
    Untraceable
        When there is no nerve, or too little of it.
    """
    weights = weights or (MASK if scan.mask else SHARE)
    label = Label.nerve(side)
    whole = scan.labels == label
    if not whole.any():
        raise Untraceable(
            f"no voxel is labelled {label.value} ({label.name.lower()}); if the nerve is there, "
            "label it"
        )
    flags: list[str] = []
    parts, n = ndimage.label(whole, np.ones((3, 3, 3)))
    if n > 1:
        sizes = np.bincount(parts.ravel())[1:]
        largest = int(np.argmax(sizes))
        rest = np.delete(sizes, largest) * scan.voxel_volume
        if rest.max() >= max(0.05 * sizes[largest] * scan.voxel_volume, 2 * scan.voxel_volume):
            flags.append(
                f"the nerve is in {n} pieces; only the largest "
                f"({sizes[largest] * scan.voxel_volume:.0f} mm³) is measured, without "
                f"{rest.sum():.0f} mm³ of others: join them in the label image if they are one "
                "nerve"
            )
        whole = parts == 1 + largest
    if whole.sum() < MIN_VOXELS:
        raise Untraceable(
            f"only {int(whole.sum())} connected voxels are labelled {label.name.lower()}, "
            f"expected at least {MIN_VOXELS}: segment the whole cisternal nerve"
        )
    border = np.ones(whole.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    if (whole & border).any():
        flags.append(
            "the nerve reaches the edge of the image: length, volume and whatever lies beyond are "
            "cut off; scan or crop with a wider field of view"
        )
    roi, box = scan.around(whole, MARGIN_MM)
    nerve = whole[box]
    seeds = _seeds(scan, roi, nerve, side, flags)
    try:
        fit = fit_nerve(roi, side, nerve, seeds, weights)
        away = ndimage.distance_transform_edt(~nerve, sampling=roi.spacing)
        vessels = fit_vessels(roi, away, weights)
        fit = fit_wall(roi, fit, vessels, weights, away)
        if scan.mask and vessels:
            threshold = _thresholds(roi, fit, vessels, away)
            vessels = fit_vessels(roi, away, weights, threshold=threshold, start=vessels)
            fit = fit_wall(roi, fit, vessels, weights, away, threshold)
    except (np.linalg.LinAlgError, ValueError, IndexError) as error:
        raise Untraceable(
            f"the labelled voxels don't form a tube that can be followed from the pons ({error}); "
            "look at the segmentation"
        ) from error
    if not fit.length > 2 * scan.size or fit.length > 60:
        raise Untraceable(
            f"the labelled voxels give a length of {fit.length:.1f} mm; look at the segmentation"
        )
    return Traced(fit, vessels, Geometry(fit, vessels), tuple(flags), scan.mask, scan.size)


def _seeds(scan: Scan, roi: Scan, nerve: np.ndarray, side: Side, flags: list[str]) -> np.ndarray:
    """Return the voxels where the nerve begins."""
    brainstem = roi.labels == Label.BRAINSTEM
    if brainstem.any():
        away = ndimage.distance_transform_edt(~brainstem, sampling=roi.spacing)
        nearest = float(away[nerve].min())
        if nearest > 1.8 * roi.spacing.max():
            flags.append(
                f"the nerve begins {nearest:.1f} mm from the brainstem; positions and length count "
                "from the brainstem along its course: complete the label"
            )
        return nerve & (away <= max(nearest, roi.spacing.max()) + 1e-6)
    flags.append(
        "no brainstem is labelled near the nerve: its medial end is taken for the pons, and the "
        "angle is missing; label the brainstem (1)"
    )
    other = scan.labels == Label.nerve("left" if side == "right" else "right")
    x = roi.world(np.argwhere(nerve).astype(float))
    if other.any():
        medial = scan.world(np.argwhere(other).astype(float)).mean(axis=0)
    else:
        medial = scan.world(np.array([scan.labels.shape], dtype=float) / 2)[0]
    distance = np.abs(x[:, 0] - medial[0])
    seeds = np.zeros_like(nerve)
    seeds[tuple(np.argwhere(nerve)[distance <= distance.min() + roi.spacing.max()].T)] = True
    return seeds


def _thresholds(scan: Scan, fit: NerveFit, vessels: list[Vessel], away: np.ndarray) -> np.ndarray:
    """Return the share at which each voxel goes to the nerve or a vessel."""
    near = np.flatnonzero(away.ravel() < 5 * scan.size)
    x = scan.world(np.column_stack(np.unravel_index(near, away.shape)).astype(float))
    nerve = tube_share(fit.wall, x, scan.axes)
    vessel = np.zeros(len(x))
    for one in vessels:
        vessel = np.maximum(vessel, tube_share(one.tube, x, scan.axes))
    threshold = np.full(away.size, 0.5)
    threshold[near] = mask_threshold(nerve, vessel)
    return threshold.reshape(away.shape)
