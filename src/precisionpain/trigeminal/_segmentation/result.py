"""What a segmenter found in a scan."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import nibabel as nib
    import pandas as pd

    from .scans import Scan

__all__ = ["Segmentation", "in_order_of"]

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmenter found in a scan.

    Parameters
    ----------
    labels : nibabel.Nifti1Image of uint8
        On the grid of the scan.
    probabilities : nibabel.Nifti1Image of float32
        Four-dimensional: of background and of each label in turn, summing to 1. Where the
        network was trained on partial volumes they estimate the share of each voxel. The header
        says so (NIfTI intent ``estimate``), and `measure_compression` heeds that.
    spread : nibabel.Nifti1Image of float32
        Largest standard deviation of a probability between the mirrored passes.
    flags : tuple of str
        What a reader should know before trusting it; empty when nothing is amiss.
    checks : pandas.DataFrame
        What was checked: ``value``, ``low`` and ``high`` of the scans that the network knows,
        ``ok``. Empty for a segmenter without such ranges.
    """

    labels: nib.Nifti1Image
    probabilities: nib.Nifti1Image
    spread: nib.Nifti1Image
    flags: tuple[str, ...]
    checks: pd.DataFrame

    def __repr__(self) -> str:
        values, counts = np.unique(np.asanyarray(self.labels.dataobj), return_counts=True)
        voxel = float(np.prod(self.labels.header.get_zooms()[:3]))
        parts = [f"{v}: {n * voxel:.0f} mm³" for v, n in zip(values, counts, strict=True) if v != 0]
        lines = [f"Segmentation ({', '.join(parts) or 'nothing found'})"]
        return "\n".join([*lines, *(f"  flag: {flag}" for flag in self.flags)])


def in_order_of(data: Array, scan: Scan) -> nib.Nifti1Image:
    """Bring an array in canonical axis order back into that of the scan as it was given."""
    import nibabel as nib
    from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

    original = scan.original
    # The inverse of what made it canonical, also where two axes are equally close at 45°.
    canonical = [(axis, 1) for axis in range(3)]
    turned = apply_orientation(data, ornt_transform(canonical, io_orientation(original.affine)))
    image = nib.Nifti1Image(np.ascontiguousarray(turned), original.affine)
    image.header.set_xyzt_units("mm")
    return image
