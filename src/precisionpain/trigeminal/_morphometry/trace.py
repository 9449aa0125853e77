"""From a checked scan to one traced nerve with its vessels."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..anatomy import Label, Side
from .excess import alongside, excess_to_vessels
from .geometry import Geometry, section_axes
from .nerve import NerveFit, fit_nerve, fit_wall
from .scan import Kind, Scan
from .settings import WEIGHTS, Weights
from .vessels import Crowded, Vessel, fit_vessels, mask_threshold, tube_share

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
    kind : {"mask", "share", "predicted"}
        What the fits were made to.
    voxel_mm : float
        Edge of the cube with a voxel's volume.
    coarseness : float
        Longest edge of a voxel over that: 1 for cubes.
    """

    fit: NerveFit
    vessels: list[Vessel]
    geometry: Geometry
    flags: tuple[str, ...]
    kind: Kind
    voxel_mm: float
    coarseness: float


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
    weights = weights or WEIGHTS[scan.kind]
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
        scan = _without(scan, label, (parts > 0) & ~whole)
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
    filled = ndimage.binary_fill_holes(whole)
    if filled.sum() > 1.01 * whole.sum():
        flags.append(
            f"{int(filled.sum() - whole.sum())} voxels inside the nerve are not labelled as nerve; "
            "the wall is fitted round them: fill the label"
        )
    roi, box = scan.around(whole, MARGIN_MM)
    nerve = whole[box]
    vessel = np.isin(scan.labels, [Label.ARTERY, Label.VEIN]) & border
    if vessel.any():
        x = scan.world(np.argwhere(vessel).astype(float))
        apart, _ = cKDTree(scan.world(np.argwhere(whole).astype(float))).query(x)
        if apart.min() < 3.0:
            flags.append(
                f"a vessel {apart.min():.1f} mm from the nerve is cut off by the edge of the "
                "image: its contact may go on beyond; scan or crop with a wider field of view"
            )
    seeds, joined = _seeds(scan, roi, nerve, side, flags)
    try:
        fit = fit_nerve(roi, side, nerve, seeds, weights, joined=joined)
        away = ndimage.distance_transform_edt(~nerve, sampling=roi.spacing)
        vessels = fit_vessels(roi, away, weights)
        fit = fit_wall(roi, fit, vessels, weights, away)
        if scan.predicted and (given := excess_to_vessels(roi, fit, away)) is not None:
            roi = given.scan
            if given.alone_mm3:
                flags.append(
                    f"{given.alone_mm3:.1f} mm³ stick out of the nerve where no vessel was found: "
                    "perhaps one that touches it, and measured as one if it can be followed; look "
                    "at the scan there"
                )
            vessels = fit_vessels(roi, away, weights)
            fit = fit_wall(roi, fit, vessels, weights, away)
        if scan.mask and vessels:
            threshold = _thresholds(roi, fit, vessels, away)
            vessels = fit_vessels(roi, away, weights, threshold=threshold, start=vessels)
            fit = fit_wall(roi, fit, vessels, weights, away, threshold)
    except Crowded as error:
        raise Untraceable(str(error)) from error
    except (np.linalg.LinAlgError, ValueError, IndexError, ZeroDivisionError) as error:
        raise Untraceable(_SHAPELESS) from error
    if not scan.size < fit.length < 60 or not np.isfinite(fit.wall.coefficients).all():
        raise Untraceable(_SHAPELESS)
    _doubt(roi, fit, vessels, away, flags)
    geometry = Geometry(fit, vessels, voxel_mm=scan.size, bulge_noise=weights.bulge * scan.size)
    return Traced(
        fit,
        vessels,
        geometry,
        tuple(flags),
        scan.kind,
        scan.size,
        float(scan.spacing.max() / scan.size),
    )


_SHAPELESS = (
    "the labelled voxels don't form a tube that can be followed from the pons; look at the "
    "segmentation"
)


def _without(scan: Scan, label: Label, dropped: np.ndarray) -> Scan:
    """Return the scan without some pieces of a label."""
    labels = scan.labels.copy()
    labels[dropped] = Label.BACKGROUND
    shares = scan.shares
    if shares is not None:
        # Voxels at the rim of a dropped piece hold some of it too.
        kept = ndimage.binary_dilation(labels == label, np.ones((3, 3, 3)))
        rim = ndimage.binary_dilation(dropped, np.ones((3, 3, 3))) & ~kept
        shares = shares.copy()
        shares[rim, Label.BACKGROUND] += shares[rim, label]
        shares[rim, label] = 0
    return dataclasses.replace(scan, labels=labels, shares=shares)


def _doubt(
    scan: Scan, fit: NerveFit, vessels: list[Vessel], away: np.ndarray, flags: list[str]
) -> None:
    """Flag what was measured but is hardly a nerve."""
    s = np.linspace(0, fit.length, 50)
    theta = np.arange(24) * (np.pi / 12)
    area = np.pi * np.mean(fit.wall.grid(s, theta) ** 2, axis=1)
    width = 2 * float(np.sqrt(area.mean() / np.pi))
    if area.max() > _WIDEST_MM2:
        flags.append(
            f"a section of {area.max():.0f} mm² is wider than any trigeminal nerve: is it a "
            "tumour, or the ganglion, or another structure under this label?"
        )
    if fit.length < 1.5 * width:
        flags.append(
            f"it is {fit.length:.1f} mm long and {width:.1f} mm wide, not the shape of a nerve: "
            "its measures mean little; segment the whole cisternal course"
        )
    major, minor = section_axes(fit.wall.grid(s, theta), theta)
    flat = float(np.median(1 - minor / major))
    if flat > _FLATTEST:
        flags.append(
            f"its sections are flat as a sheet (flattening {flat:.2f}): look at the segmentation"
        )
    index, x = alongside(scan, fit, away, 1.5)
    share = scan.share(Label.nerve(fit.side)).ravel()[index]
    fitted = tube_share(fit.wall, x, scan.axes)
    if scan.mask:
        fitted = (fitted > 0.5).astype(float)
    off = np.zeros(away.shape)
    off.ravel()[index] = fitted - share
    if scan.predicted:
        # A network's shares err from voxel to voxel, and are blurred as far as voxels are long.
        # Neither says anything of the shape.
        off = ndimage.gaussian_filter(off, scan.spacing.max() / scan.spacing)
    apart = float(np.abs(off).sum() / max(float(share.sum()), 1.0))
    if apart > _MISFIT:
        flags.append(
            f"the fitted tube and the label differ in {100 * apart:.0f}% of the nerve's volume: "
            "the label is no smooth tube; look at the segmentation"
        )
    for vessel in vessels:
        place, u, v = fit.wall.curve.project(vessel.tube.curve.points)
        inside = (place > 0) & (place < fit.length)
        depth = np.hypot(u, v) / fit.tube.radius(place, np.arctan2(v, u))
        if (inside & (depth < 0.5)).any():
            flags.append(
                f"the {vessel.kind} runs through the nerve: contact and indentation are not those "
                "of a vessel beside it; look at the segmentation"
            )
            break


_WIDEST_MM2 = 20.0  # a diameter of 5 mm; published diameters are 2.6 ± 0.6 mm
_FLATTEST = 0.8
_MISFIT = 0.1  # share of a nerve's volume; phantoms stay below 0.03


def _seeds(
    scan: Scan, roi: Scan, nerve: np.ndarray, side: Side, flags: list[str]
) -> tuple[np.ndarray, bool]:
    """Return the voxels where the nerve begins, and whether that is at the brainstem."""
    brainstem = roi.labels == Label.BRAINSTEM
    if brainstem.any():
        away = ndimage.distance_transform_edt(~brainstem, sampling=roi.spacing)
        nearest = float(away[nerve].min())
        seeds = nerve & (away <= max(nearest, roi.spacing.max()) + 1e-6)
        if nearest <= 1.8 * roi.spacing.max():
            return seeds, True
        flags.append(
            f"the label begins {nearest:.1f} mm from the brainstem: positions and length count "
            "from its own beginning, and the angle is missing; complete the label"
        )
        return seeds, False
    flags.append(
        "no brainstem is labelled near the nerve: positions and length count from its medial end, "
        "and the angle is missing; label the brainstem (1)"
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
    return seeds, False


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
