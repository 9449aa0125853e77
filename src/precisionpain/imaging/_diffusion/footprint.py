"""What a coarse voxel holds: a fine grid, integrated over the coarse voxel's box."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from ...errors import FormatError, GeometryError

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["as_fractions", "footprint", "label_fractions", "no_overlap", "weigh"]

Array = NDArray[np.float64]
Shift = tuple[float, float, float]

_NO_SHIFT: Shift = (0.0, 0.0, 0.0)
_POINTS_AT_ONCE = 2_000_000


def label_fractions(
    labels: SpatialImage,
    reference: SpatialImage,
    *,
    n_labels: int | None = None,
    shift_mm: Shift = _NO_SHIFT,
) -> SpatialImage:
    """Return how much of each voxel of a coarse image each label fills.

    The coarse voxel is a box, and the fine image is constant within each of its voxels. Where
    the axes of the two grids are parallel the integral is exact; else it is a mean over points
    half a fine voxel apart. Real scanners see a voxel through a point spread function that
    reaches beyond the box (in-plane a sinc); the box is the usual approximation.

    Parameters
    ----------
    labels : nibabel.spatialimages.SpatialImage
        3-D with whole numbers from 0 to 255, or 4-D with the fraction of each label along the
        last axis. Beyond its edge lies label 0.
    reference : nibabel.spatialimages.SpatialImage
        Its first three axes and its affine give the coarse grid, in any orientation.
    n_labels : int, optional
        Size of the last axis of the result; default: one more than the largest label.
    shift_mm : tuple of three float, default (0, 0, 0)
        How far the content of `reference` lies from its true place, mm towards higher indices
        of its own voxel axes, as echo-planar images are displaced along the phase-encoding
        axis.

    Returns
    -------
    nibabel.spatialimages.SpatialImage
        float32, shape of `reference` × `n_labels`; sums to 1 along the last axis as far as the
        fractions given do.

    Raises
    ------
    FormatError
        When the labels are no whole numbers from 0, or the fractions not within 0 to 1.
    GeometryError
        When the images don't overlap or have the wrong number of axes.

    Examples
    --------
    >>> import nibabel
    >>> fine = np.zeros((4, 4, 4), dtype=np.uint8)
    >>> fine[0] = 1
    >>> labels = nibabel.Nifti1Image(fine, np.eye(4))
    >>> coarse = np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1.0]])
    >>> grid = nibabel.Nifti1Image(np.zeros((2, 2, 2)), coarse)
    >>> label_fractions(labels, grid).get_fdata()[:, 0, 0, 1].tolist()
    [0.5, 0.0]
    """
    import nibabel

    if len(reference.shape) < 3:
        raise GeometryError(f"expected a reference of 3 axes or more, found {reference.shape}")
    shape = tuple(reference.shape[:3])
    fine, count = as_fractions(labels, n_labels)
    result = np.zeros((*shape, count), dtype=np.float32)
    touched = False
    for first, slab in _slabs(shape):
        matrix = footprint(labels.shape[:3], labels.affine, reference.affine, slab, shift_mm)
        touched |= matrix.nnz > 0
        size = len(slab) // (shape[1] * shape[2])
        result[first : first + size] = weigh(matrix, fine).reshape(size, *shape[1:], count)
    if not touched:
        raise no_overlap()
    return nibabel.Nifti1Image(result, reference.affine)


def no_overlap() -> GeometryError:
    """Return the error for images of different places."""
    return GeometryError(
        "the labels and the image don't overlap in space",
        remedy="check that both come from the same session and frame",
    )


def _slabs(shape: tuple[int, ...]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Cut the grid along its first axis into parts of some thousand voxels."""
    thick = max(1, 40_000 // max(1, shape[1] * shape[2]))
    for first in range(0, shape[0], thick):
        size = min(thick, shape[0] - first)
        index = np.indices((size, *shape[1:])).reshape(3, -1).T
        index[:, 0] += first
        yield first, index


def as_fractions(labels: SpatialImage, n_labels: int | None = None) -> tuple[Any, int]:
    """Return a matrix (fine voxels × labels, sparse for labels) and the number of labels."""
    data = np.asanyarray(labels.dataobj)
    if data.ndim == 4:
        if not np.isfinite(data).all() or data.min() < -1e-3 or data.max() > 1 + 1e-3:
            raise FormatError(
                f"expected fractions within 0 to 1, found {data.min():g} to {data.max():g}"
            )
        found = data.shape[3]
    elif data.ndim == 3:
        whole = np.rint(np.nan_to_num(data)).astype(np.int64)
        if whole.min() < 0 or not np.array_equal(whole, data):  # NaN differs from anything
            raise FormatError("expected labels that are whole numbers from 0")
        found = int(whole.max()) + 1
        if found > 256:
            raise FormatError(f"expected labels up to 255, found {found - 1}")
    else:
        raise GeometryError(f"expected labels with 3 axes or fractions with 4, found {data.shape}")
    if n_labels is not None and n_labels < found:
        raise FormatError(f"expected {n_labels} labels, found {found}")
    count = n_labels or found
    if data.ndim == 3:
        size = whole.size
        ones = np.ones(size, dtype=np.float32)
        matrix = scipy.sparse.csr_array((ones, (np.arange(size), whole.ravel())), (size, count))
        return matrix, count
    flat = data.reshape(-1, found).astype(np.float32)
    return np.pad(flat, ((0, 0), (0, count - found))), count


def weigh(matrix: scipy.sparse.csr_array, fine: Any) -> Array:
    """Return the fractions of the coarse voxels, dense; `fine` comes from `as_fractions`."""
    found = matrix @ fine
    found = found.toarray() if scipy.sparse.issparse(found) else np.asarray(found)
    found[:, 0] += 1 - np.asarray(matrix.sum(axis=1)).ravel()
    return found


def footprint(
    fine_shape: tuple[int, ...],
    fine_affine: Array,
    affine: Array,
    index: NDArray[np.intp],
    shift_mm: Shift = _NO_SHIFT,
) -> scipy.sparse.csr_array:
    """Return the share of each coarse voxel (row) that each fine voxel (column) fills.

    Rows sum to less than 1 where the coarse voxel reaches beyond the fine grid. `index` holds
    the coarse voxels, (n, 3); the columns count the fine voxels in C order.
    """
    affine = np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    to_fine = np.linalg.inv(fine_affine) @ affine
    # What is seen at a displaced place belongs to anatomy further back.
    centre = (index - np.asarray(shift_mm) / spacing) @ to_fine[:3, :3].T + to_fine[:3, 3]
    steps = to_fine[:3, :3]
    big = np.abs(steps) > 1e-6 * np.abs(steps).max()
    if (big.sum(axis=0) == 1).all() and (big.sum(axis=1) == 1).all():
        return _boxes(fine_shape, centre, np.abs(steps).sum(axis=1))
    return _points(fine_shape, centre, steps)


def _boxes(fine_shape: tuple[int, ...], centre: Array, width: Array) -> scipy.sparse.csr_array:
    """Overlap of boxes whose edges are parallel to those of the fine voxels: exact."""
    low, high = centre - width / 2 + 0.5, centre + width / 2 + 0.5
    reach = np.ceil(width).astype(int) + 1
    number, share = [], []
    for axis in range(3):
        cell = np.floor(low[:, axis, None]).astype(np.int64) + np.arange(reach[axis])
        overlap = np.minimum(cell + 1, high[:, axis, None]) - np.maximum(cell, low[:, axis, None])
        inside = (cell >= 0) & (cell < fine_shape[axis])
        share.append(np.where(inside, np.maximum(overlap, 0) / width[axis], 0.0))
        number.append(np.clip(cell, 0, fine_shape[axis] - 1))
    shares = share[0][:, :, None, None] * share[1][:, None, :, None] * share[2][:, None, None, :]
    _, wide, deep = fine_shape
    column = (number[0][:, :, None, None] * wide + number[1][:, None, :, None]) * deep
    column = column + number[2][:, None, None, :]
    return _collect(shares.reshape(len(centre), -1), column.reshape(len(centre), -1), fine_shape)


def _points(fine_shape: tuple[int, ...], centre: Array, steps: Array) -> scipy.sparse.csr_array:
    """Count points of a regular grid within each coarse voxel."""
    per_axis = [int(np.clip(np.ceil(2 * n), 4, 16)) for n in np.linalg.norm(steps, axis=0)]
    ticks = [(np.arange(n) + 0.5) / n - 0.5 for n in per_axis]
    offsets = np.array(list(itertools.product(*ticks))) @ steps.T
    size = np.array(fine_shape)
    parts = []
    chunk = max(1, _POINTS_AT_ONCE // len(offsets))
    for first in range(0, len(centre), chunk):
        point = np.rint(centre[first : first + chunk, None, :] + offsets).astype(np.int64)
        inside = np.all((point >= 0) & (point < size), axis=-1)
        column = np.ravel_multi_index(tuple(np.moveaxis(point, -1, 0)), fine_shape, mode="clip")
        parts.append(_collect(inside / len(offsets), column, fine_shape))
    return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))


def _collect(
    share: Array, column: NDArray[np.int64], fine_shape: tuple[int, ...]
) -> scipy.sparse.csr_array:
    row = np.broadcast_to(np.arange(len(share))[:, None], share.shape)
    used = share > 0
    return scipy.sparse.csr_array(
        (share[used], (row[used], column[used])), (len(share), int(np.prod(fine_shape)))
    )
