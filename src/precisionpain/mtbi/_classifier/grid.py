"""Where a slab lies in MNI space, and whether a scan is on the grid of SPM12 at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import GeometryError
from ...imaging.grids import spm_grid
from ..volumes import Plane

__all__ = ["slab_affine"]

# Of the slab: axes of the body along depth, height and width, as `slab` orders them.
_AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 1, 2)}
_TOLERANCE_MM = 0.05


def slab_affine(
    shape: Sequence[int], affine: np.ndarray, plane: Plane, n_slices: int
) -> np.ndarray:
    """Return the affine of the slab of a scan, and refuse scans that aren't on SPM's grid.

    Sides are those of the body: a scan that is stored from left to right has the same slab,
    voxel for voxel, as one that is stored from right to left.

    Parameters
    ----------
    shape : tuple of int
        Of the scan.
    affine : numpy.ndarray, shape (4, 4)
        Of the scan; any orientation along the axes of the body.
    plane, n_slices
        As `slab` takes them.

    Returns
    -------
    numpy.ndarray of float64, shape (4, 4)
        From (depth, height, width) of the slab to mm of MNI space.

    Raises
    ------
    GeometryError
        When the voxels aren't cubes, or don't lie where SPM12 puts them.
    """
    import nibabel.orientations as orientations

    if len(shape) != 3:
        raise GeometryError(f"expected a volume of three axes, found shape {tuple(shape)}")
    turn = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt("LAS")
    )
    turned = affine @ orientations.inv_ornt_aff(turn, shape)
    found = tuple(int(shape[int(np.flatnonzero(turn[:, 0] == axis)[0])]) for axis in range(3))
    spacing = float(np.abs(np.diag(turned)[:3]).mean())
    lengths, expected = spm_grid(min(max(spacing, 0.01), 39.0))
    # How far voxels at the ends of the grid are from where they should be.
    off = np.abs(turned - expected)[:3] @ [*lengths, 1]
    if found != lengths or off.max() > _TOLERANCE_MM:
        voxels = _times(np.linalg.norm(affine[:3, :3], axis=0))
        raise GeometryError(
            f"the scan isn't on the grid of SPM12: expected {_times(lengths)} voxels of "
            f"{spacing:.3g} mm, the first at {_point(expected[:3, 3])} mm; found "
            f"{_times(found)} voxels of {voxels} mm, the first at {_point(turned[:3, 3])} mm",
            remedy="normalise it to the template first, with normalize_t1",
        )
    result = np.eye(4)
    result[:3, 3] = expected[:3, 3]
    for column, axis in enumerate(_AXES[plane]):
        result[:3, column] = expected[:3, axis]
    # As `slab` chooses the first slice.
    across = _AXES[plane][0]
    result[:3, 3] += (lengths[across] - n_slices) // 2 * expected[:3, across]
    return result


def _times(numbers: Sequence[float] | np.ndarray) -> str:
    return " × ".join(f"{number:.3g}" for number in numbers)


def _point(numbers: np.ndarray) -> str:
    return f"({', '.join(f'{number:.4g}' for number in numbers)})"
