"""How far an echo-planar image lies from the anatomy, along its phase-encoding axis."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from ...errors import DataWarning, FormatError, GeometryError
from ..gradients import Gradients
from .footprint import as_fractions, footprint, no_overlap, weigh
from .tensor import check_support

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["EpiShift", "estimate_epi_shift"]

Array = NDArray[np.float64]

_COARSE, _FINE = 0.5, 0.05  # mm
_COVERED = 0.999  # share of a voxel within the labels' field of view


@dataclasses.dataclass(frozen=True)
class EpiShift:
    """A translation along the phase-encoding axis.

    Parameters
    ----------
    shift_mm : float
        How far the image's content is displaced towards higher indices of `axis`, mm.
    axis : int
        The array axis.
    explained : float
        Share of the variance of the signals that the labels explain at this place, 0 to 1.
    explained_unshifted : float
        The same without a shift.
    at_limit : bool
        Whether the best place was the end of the range that was searched.
    """

    shift_mm: float
    axis: int
    explained: float
    explained_unshifted: float
    at_limit: bool

    @property
    def mm(self) -> tuple[float, float, float]:
        """The shift by array axis, as `label_fractions` takes it."""
        shift = [0.0, 0.0, 0.0]
        shift[self.axis] = self.shift_mm
        return shift[0], shift[1], shift[2]


def estimate_epi_shift(
    dwi: SpatialImage,
    gradients: Gradients,
    labels: SpatialImage,
    *,
    axis: int = 1,
    limit_mm: float = 5.0,
) -> EpiShift:
    """Estimate a rigid shift of a diffusion scan along its phase-encoding axis.

    Off-resonance displaces echo-planar images by millimetres along that axis. For each shift
    tried, the labels are integrated over the voxels, which gives a synthetic b0 and a
    synthetic weighted image up to the signals of the tissues; these are fitted by least
    squares. The shift with which the labels explain most of both wins.

    Parameters
    ----------
    dwi : nibabel.spatialimages.SpatialImage
        4-D.
    gradients : Gradients
        Its table.
    labels : nibabel.spatialimages.SpatialImage
        Labels or fractions as `label_fractions` takes them. Label 0 should mean CSF, at least
        around the other labels.
    axis : {0, 1, 2}, default 1
        Array axis of phase encoding (1 is ``j``, what most axial scans have; dcm2niix writes
        it to the sidecar as ``PhaseEncodingAxis`` or ``PhaseEncodingDirection``).
    limit_mm : float, default 5
        Largest shift tried, mm, in either direction.

    Returns
    -------
    EpiShift

    Raises
    ------
    FormatError, GeometryError
        When the images, the table or the options don't fit together.

    Warns
    -----
    DataWarning
        When the best shift is the end of the range.

    Notes
    -----
    Only voxels within the labels' field of view at every shift count.

    One number for the whole field of the labels: real distortion varies over centimetres,
    strongly near the petrous bone and the sinuses, and also stretches and rotates. Use a field
    map or a reversed-phase scan with a dedicated program where there is one, then this with
    the corrected images as a check. Rotation between the scans isn't sought.

    Examples
    --------
    >>> import nibabel
    >>> fine = np.zeros((24, 24, 24), dtype=np.uint8)
    >>> fine[8:16, 8:16, 8:16] = 1
    >>> labels = nibabel.Nifti1Image(fine, np.eye(4))
    >>> affine = np.diag([2.0, 2, 2, 1])
    >>> affine[:3, 3] = 0.5
    >>> block = np.zeros((12, 12, 12, 1))
    >>> block[4:8, 5:9, 4:8] = 1  # a voxel further along the second axis
    >>> scan = nibabel.Nifti1Image(1 - 0.6 * block.repeat(7, axis=3), affine)
    >>> g = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...               [0, 1, -1]])
    >>> table = Gradients([0] + [1000] * 6, g / np.sqrt(2))
    >>> round(estimate_epi_shift(scan, table, labels).shift_mm, 1)
    2.0
    """
    check_support(tuple(dwi.shape), gradients)
    if axis not in (0, 1, 2):
        raise FormatError(f"expected axis 0, 1 or 2, found {axis!r}")
    if not (np.isfinite(limit_mm) and limit_mm > 0):
        raise FormatError(f"expected limit_mm above 0, found {limit_mm!r}")
    score = _Score(dwi, gradients, labels, axis, limit_mm)
    tried = np.arange(-np.floor(limit_mm / _COARSE), np.floor(limit_mm / _COARSE) + 1) * _COARSE
    best = tried[int(np.argmax([score(shift) for shift in tried]))]
    at_limit = bool(abs(best) >= tried[-1])
    near = np.arange(best - _COARSE, best + _COARSE + _FINE / 2, _FINE)
    near = near[np.abs(near) <= limit_mm + 1e-9]
    values = [score(shift) for shift in near]
    best, explained = float(near[int(np.argmax(values))]), float(max(values))
    if at_limit:
        warnings.warn(
            f"the best shift, {best:+.1f} mm, lies at the end of the range that was searched "
            f"(±{limit_mm:g} mm); it is unlikely to be right",
            DataWarning,
            stacklevel=2,
        )
    return EpiShift(round(best, 3), axis, explained, float(score(0.0)), at_limit)


class _Score:
    """Variance explained by the labels as a function of the shift."""

    def __init__(
        self,
        dwi: SpatialImage,
        gradients: Gradients,
        labels: SpatialImage,
        axis: int,
        limit_mm: float,
    ) -> None:
        self.fine, self.count = as_fractions(labels)
        self.labels, self.affine, self.axis = labels, dwi.affine, axis
        shape = tuple(dwi.shape[:3])
        index = _near_labels(labels, self.fine, dwi.affine, shape)
        spacing = np.linalg.norm(dwi.affine[:3, :3], axis=0)
        start = weigh(self._matrix(index, 0.0), self.fine)
        filled = np.zeros(shape, dtype=bool)
        filled[tuple(index.T)] = start[:, 0] < 0.98
        # The same voxels for each shift, or the scores couldn't be compared.
        reach = int(np.ceil(limit_mm / spacing[axis])) + 1
        line = np.ones([2 * reach + 1 if k == axis else 3 for k in range(3)])
        index = np.argwhere(binary_dilation(filled, structure=line))
        # What lies beyond the labels' field of view, wherever the scan may be, is unknown.
        covered = [self._matrix(index, end).sum(axis=1) > _COVERED for end in (-limit_mm, limit_mm)]
        self.index = index[np.logical_and(*(np.asarray(one).ravel() for one in covered))]
        if len(self.index) <= self.count:
            raise GeometryError(
                "too few voxels lie within the labels' field of view for every shift up to "
                f"{limit_mm:g} mm",
                remedy="give labels of a larger field, or a smaller limit_mm",
            )
        data = np.asanyarray(dwi.dataobj)[tuple(self.index.T)].astype(float)
        b0 = gradients.is_b0
        both = np.column_stack([data[:, b0].mean(axis=1), data[:, ~b0].mean(axis=1)])
        both -= both.mean(axis=0)
        self.signal = both / np.maximum(both.std(axis=0), 1e-12)

    def _matrix(self, index: NDArray[np.intp], shift: float) -> Any:
        mm = [0.0, 0.0, 0.0]
        mm[self.axis] = shift
        return footprint(
            self.labels.shape[:3], self.labels.affine, self.affine, index, (mm[0], mm[1], mm[2])
        )

    def __call__(self, shift: float) -> float:
        fractions = weigh(self._matrix(self.index, shift), self.fine)
        solution, *_ = np.linalg.lstsq(fractions, self.signal, rcond=None)
        left = self.signal - fractions @ solution
        return float(1 - (left**2).mean())


def _near_labels(
    labels: SpatialImage, fine: Any, affine: Array, shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Return the coarse voxels in the box around everything that has a label."""
    background = fine[:, [0]]
    background = background.toarray() if hasattr(background, "toarray") else background
    voxels = np.flatnonzero(np.asarray(background).ravel() < 0.98)
    if voxels.size == 0:
        raise FormatError("the labels hold nothing but background")
    place = np.column_stack(np.unravel_index(voxels, labels.shape[:3]))
    to_coarse = np.linalg.inv(affine) @ labels.affine
    place = place @ to_coarse[:3, :3].T + to_coarse[:3, 3]
    low = np.maximum(np.floor(place.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(place.max(axis=0)).astype(int) + 2, shape)
    if np.any(high <= low):
        raise no_overlap()
    grid = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)
