"""Segmentation without learning: thresholds, openings, and a walk along each nerve."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ...errors import FormatError
from .._morphometry.inputs import _check_affine, _open
from ..anatomy import SIDES, Label, Side

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["ThresholdSegmenter"]

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

_TOUCHING = np.ones((3, 3, 3))
_BLUR_MM = (0.25, 0.75)  # for thin things, for thick ones
_COIL_MM = 8.0  # the receive field is smoother than this
_STEP_MM = 1.0
_LEAST_MM3 = 2.0  # smaller pieces are noise


@dataclasses.dataclass(frozen=True)
class ThresholdSegmenter:
    """Label a cisternography by thresholds and anatomy, without learning.

    The yardstick for a network: what a lab can do with a threshold, an opening and a walk along
    the nerve. CSF is bright, all else is darker. The thickest dark body is the brainstem; what
    is thick and without signal is bone; on each side the thin branch that leaves the brainstem
    forward is the nerve, one that runs sideways is another cranial nerve and stays background;
    all other thin dark pieces are vessels, arteries where they have no signal (flow void) or
    belong to the largest vessel (the basilar artery), veins where they are brighter than it.

    Parameters
    ----------
    brainstem_mm : float, default 8.0
        Bodies thinner than this are no brainstem.
    bone_mm : float, default 5.0
        Signal voids thicker than this are bone or air, not arteries.
    nerve_mm : float, default 4.0
        Nothing farther than half of this from the nerve's course is nerve.
    reach_mm : float, default 14.0
        Longest nerve.

    Notes
    -----
    It needs bright CSF (CISS, FIESTA, SPACE) round the brainstem, voxels finer than the nerve
    and a head that is upright within about 30 degrees. What it can't do: tell a vessel from the
    nerve that it touches, or a static artery from a vein of the same signal; see thin vessels
    whose voxels are half CSF, or vessels as bright as CSF (inflow); part cerebellum and
    brainstem, or a tumour from vessels; find the porus of Meckel's cave, where the nerve's
    label should end. It gives no probabilities.

    Examples
    --------
    >>> import precisionpain as pp
    >>> from precisionpain.trigeminal._segmentation.baseline import ThresholdSegmenter
    >>> cistern = pp.trigeminal.simulate_cistern(4, spacing=1.0, oversample=2)  # synthetic
    >>> ThresholdSegmenter().predict(cistern.image).shape
    (60, 44, 36)
    """

    brainstem_mm: float = 8.0
    bone_mm: float = 5.0
    nerve_mm: float = 4.0
    reach_mm: float = 14.0

    def predict(self, image: SpatialImage) -> SpatialImage:
        """Label a scan.

        Parameters
        ----------
        image : nibabel image or path
            3-D, CSF bright.

        Returns
        -------
        nibabel.Nifti1Image of uint8
            On the same grid, with the values of `Label`. Sides are anatomical.

        Raises
        ------
        FormatError
            When the image isn't 3-D, has values that aren't finite or no contrast, or shows no
            brainstem.
        GeometryError
            When the affine is singular or sheared.
        """
        import nibabel
        from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

        source, where = _open(image, "image")
        if source.ndim != 3:
            raise FormatError(f"expected a 3-D image, found {source.ndim}-D", where=where)
        _check_affine(source.affine, where)
        upright = nibabel.as_closest_canonical(source)
        values = np.asarray(upright.dataobj, dtype=float)
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            raise FormatError("the image has values that aren't finite, or only one", where=where)
        labels = self._label(values, np.linalg.norm(upright.affine[:3, :3], axis=0), where)
        back = ornt_transform(io_orientation(upright.affine), io_orientation(source.affine))
        return nibabel.Nifti1Image(apply_orientation(labels, back), source.affine)

    def _label(self, values: Array, spacing: Array, where: str) -> NDArray[np.uint8]:
        """Label an image whose axes point right, forward and up."""
        from skimage.filters import threshold_otsu

        flat = _flatten(values, spacing)
        signal, calm = (ndimage.gaussian_filter(flat, mm / spacing) for mm in _BLUR_MM)
        empty = threshold_otsu(signal[signal < threshold_otsu(signal)])
        bone = _open_by(calm < empty, self.bone_mm / 2, spacing)
        bone |= _within(bone, self.bone_mm, spacing) & (signal < empty)
        bone = _within(bone, 1.0, spacing)
        body = (calm < threshold_otsu(calm)) & ~bone
        stem = _largest(_open_by(body, self.brainstem_mm / 2, spacing))
        if not stem.any():
            raise FormatError(
                f"no brainstem found: no dark body thicker than {self.brainstem_mm:g} mm",
                where=where,
                remedy="pass a scan with bright CSF (CISS, FIESTA, SPACE) that shows the pons",
            )
        # A wall lies where tissue and CSF (1) share a voxel equally.
        solid = (signal < (np.median(signal[stem]) + 1) / 2) & ~bone
        stem = _within(stem, 0.75, spacing) & solid
        labels = np.where(stem, Label.BRAINSTEM, Label.BACKGROUND).astype(np.uint8)
        rest = solid & ~stem
        pieces, _ = ndimage.label(rest, structure=_TOUCHING)
        rest &= (np.bincount(pieces.ravel()) * np.prod(spacing) >= _LEAST_MM3)[pieces]
        for side in SIDES:
            nerve, others = self._nerve(rest, signal, stem, empty, side, spacing)
            labels[nerve] = Label.nerve(side)
            rest &= ~(nerve | others)
        _label_vessels(labels, rest, signal, empty, spacing)
        return labels

    def _nerve(
        self, rest: Mask, signal: Array, stem: Mask, empty: float, side: Side, spacing: Array
    ) -> tuple[Mask, Mask]:
        """Return the nerve of one side, and the other nerves that leave the brainstem there."""
        grey = rest & (signal > empty)
        across = np.flatnonzero(stem.any(axis=(1, 2)))
        middle, half = across.mean(), max(np.ptp(across) / 2, 1.0)
        x = (np.arange(rest.shape[0]) - middle) / half * (-1 if side == "left" else 1)
        lateral = (x > 0.4)[:, None, None]
        beside = _within(stem, 1.5 * spacing.max(), spacing)
        roots, n = ndimage.label(grey & lateral & beside, structure=_TOUCHING)
        near = grey & lateral & _within(stem, self.reach_mm, spacing)
        points = np.argwhere(near) * spacing
        branches: list[tuple[bool, float, Mask]] = []
        for root in range(1, n + 1):
            start = np.argwhere(roots == root) * spacing
            course = self._walk(points, start.mean(axis=0), _outward(stem, start, spacing))
            run = course[-1] - course[0]
            if np.linalg.norm(run) < 3:
                continue
            own = np.zeros_like(rest)
            own[near] = cKDTree(course).query(points)[0] <= self.nerve_mm / 2
            ahead = bool(run[1] > 0.5 * abs(run[0]))
            # Where a vessel leads every walk astray: the nerve is the highest of the nerves.
            branches.append((ahead, run[1] * own.sum() if ahead else course[0, 2], own))
        nothing = np.zeros_like(rest)
        if not branches:
            return nothing, nothing
        branches.sort(key=lambda branch: branch[:2])
        nerve = branches.pop()[2]
        others = [own for ahead, _, own in branches if not ahead]
        return nerve, np.logical_or.reduce([nothing, *others]) & ~nerve

    def _walk(self, points: Array, place: Array, heading: Array) -> Array:
        """Follow a branch in steps, each to the middle of what lies ahead."""
        course = [place]
        while len(course) * _STEP_MM <= self.reach_mm:
            ahead = place + _STEP_MM * heading
            near = points[np.linalg.norm(points - ahead, axis=1) < self.nerve_mm / 2]
            near = near[(near - place) @ heading > 0]
            if len(near) < 4:
                break
            step = near.mean(axis=0) - place
            heading = 0.6 * heading + 0.4 * step / np.linalg.norm(step)
            heading /= np.linalg.norm(heading)
            place = place + _STEP_MM * step / np.linalg.norm(step)
            course.append(place)
        return np.array(course)


def _flatten(values: Array, spacing: Array) -> Array:
    """Divide by the receive field as the CSF shows it, so that CSF is 1 everywhere."""
    from skimage.filters import threshold_otsu

    for _ in range(2):  # the first field tells CSF better for the second
        bright = values > threshold_otsu(values)
        share = ndimage.gaussian_filter(bright.astype(float), _COIL_MM / spacing)
        field = ndimage.gaussian_filter(np.where(bright, values, 0.0), _COIL_MM / spacing)
        field = np.where(share > 1e-3, field / np.maximum(share, 1e-3), np.median(values[bright]))
        values = values / field
    return values


def _within(mask: Mask, mm: float, spacing: Array) -> Mask:
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= mm)


def _open_by(mask: Mask, mm: float, spacing: Array) -> Mask:
    """Return the mask without what no ball of this radius fits into."""
    return _within(ndimage.distance_transform_edt(mask, sampling=spacing) > mm, mm, spacing)


def _largest(mask: Mask) -> Mask:
    pieces, n = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if n else mask


def _outward(stem: Mask, start: Array, spacing: Array) -> Array:
    """Return the direction from the brainstem's nearby voxels to a root."""
    place = start.mean(axis=0)
    inside = np.argwhere(stem) * spacing
    near = inside[np.linalg.norm(inside - place, axis=1) < 4]
    outward = place - near.mean(axis=0)
    return outward / np.linalg.norm(outward)


def _label_vessels(
    labels: NDArray[np.uint8], rest: Mask, signal: Array, empty: float, spacing: Array
) -> None:
    pieces, n = ndimage.label(rest, structure=_TOUCHING)
    if n == 0:
        return
    sizes = np.bincount(pieces.ravel())
    level = np.r_[0.0, ndimage.median(signal, pieces, np.arange(1, n + 1))]
    basilar = 1 + int(np.argmax(sizes[1:]))
    artery = (level < empty) | (level <= 1.15 * level[basilar])
    keep = rest & (sizes * np.prod(spacing) >= _LEAST_MM3)[pieces]
    labels[keep & artery[pieces]] = Label.ARTERY
    labels[keep & ~artery[pieces]] = Label.VEIN
