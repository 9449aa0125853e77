"""The skull-stripped template that scans are aligned to, and what of it each stage sees."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import FormatError, GeometryError
from ..files import load_image
from ..grids import resample_to_grid

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["Template", "load_template"]

STEP_MM = 2.0
_MARGIN_MM = 26.0  # around the brain, for the scalp


@dataclasses.dataclass(frozen=True, eq=False)
class Template:
    """A brain on a lattice of 2 mm whose axes run to the right, forward and up.

    `brain` is from 0 to 1 and 0 outside, `mask` says where the brain is, `distance` is how far
    (mm) a voxel is from it, `affine` leads from voxels to mm.
    """

    brain: np.ndarray
    mask: np.ndarray
    distance: np.ndarray
    affine: np.ndarray

    @functools.cached_property
    def centre(self) -> np.ndarray:
        """Of the brain, in mm."""
        return self.affine[:3, :3] @ np.argwhere(self.mask).mean(axis=0) + self.affine[:3, 3]

    def like(self, data: np.ndarray) -> Any:
        """Return values on this lattice as an image."""
        import nibabel

        return nibabel.Nifti1Image(np.asarray(data, np.float32), self.affine)


def load_template(template: SpatialImage | str | Path | None) -> Template:
    """Return a template; None stands for the ICBM 152 of nilearn, which is symmetric."""
    if template is None:
        return _icbm()
    image = load_image(template) if isinstance(template, str | Path) else template
    if len(image.shape) != 3:
        raise GeometryError(f"expected three axes, found shape {image.shape}", where="template")
    data = np.asarray(image.dataobj, dtype=np.float32)
    if not np.isfinite(data).all():
        raise FormatError("the template has values that aren't finite", where="template")
    share = float((data > 0).mean())
    if not 0.0 < share < 0.8:
        raise FormatError(
            f"expected a brain without skull on a background of 0, found {share:.0%} of the "
            "voxels above 0",
            where="template",
            remedy="give a skull-stripped template",
        )
    return _prepare(image, data > 0)


@functools.lru_cache(maxsize=1)
def _icbm() -> Template:
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    mask = load_mni152_brain_mask(resolution=1)
    return _prepare(load_mni152_template(resolution=1), np.asarray(mask.dataobj) > 0)


def _prepare(image: Any, mask: np.ndarray) -> Template:
    import nibabel
    from scipy import ndimage

    corners = np.argwhere(mask) @ image.affine[:3, :3].T + image.affine[:3, 3]
    low = np.floor((corners.min(axis=0) - _MARGIN_MM) / STEP_MM) * STEP_MM
    shape = np.ceil((corners.max(axis=0) + _MARGIN_MM - low) / STEP_MM).astype(int) + 1
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = low
    inside = np.where(mask, np.asarray(image.dataobj, dtype=np.float32), 0.0)
    onto = (tuple(int(n) for n in shape), affine)
    brain, share = (
        np.asarray(resample_to_grid(nibabel.Nifti1Image(data, image.affine), *onto).dataobj)
        for data in (inside.astype(np.float32), mask.astype(np.float32))
    )
    coarse = share > 0.5
    distance = ndimage.distance_transform_edt(~coarse, sampling=STEP_MM)
    return Template(np.where(coarse, brain / brain.max(), 0.0), coarse, distance, affine)
