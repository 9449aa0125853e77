"""Intensities of T1-weighted scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._registration.ants import n4
from .registration import checked_scan

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage

__all__ = ["correct_bias"]


def correct_bias(image: SpatialImage | str | Path) -> Nifti1Image:
    """Take a smooth intensity bias out of a scan, by the N4 of ANTs.

    Parameters
    ----------
    image : nibabel image, str or Path
        Of three axes.

    Returns
    -------
    nibabel.nifti1.Nifti1Image
        float32, on the same grid.

    Raises
    ------
    MissingModalityError
        When the extra ``ants`` isn't installed.

    Notes
    -----
    Tustison et al., IEEE Transactions on Medical Imaging 29, 1310, 2010. It runs with one thread
    and gives the same result every time.

    Examples
    --------
    >>> import precisionpain as pp
    >>> flat = pp.imaging.correct_bias("sub-01_T1w.nii.gz")  # doctest: +SKIP
    """
    where = str(image) if isinstance(image, str | Path) else None
    return n4(checked_scan(image, where))
