"""What can be asked of a diffusion scan, and data on its grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import FormatError, GeometryError
from ..gradients import Gradients

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["check_correction", "checked_fractions", "csf_weight_of", "on_grid"]

Array = NDArray[np.float64]


def check_correction(
    correction: str | None,
    csf_fraction: SpatialImage | ArrayLike | None,
    tissue_md: float | None,
    gradients: Gradients,
) -> None:
    """Refuse what can't be told apart, and arguments that would be ignored."""
    if correction not in (None, "two_compartment", "free_water"):
        raise FormatError(
            f"expected correction 'two_compartment', 'free_water' or None, found {correction!r}"
        )
    if (csf_fraction is not None) != (correction == "two_compartment"):
        raise FormatError(
            "csf_fraction and correction='two_compartment' go together",
            remedy="give both: the fraction from a segmentation with label_fractions; without "
            "one, correction='free_water'",
        )
    if tissue_md is not None and correction != "free_water":
        raise FormatError("tissue_md goes with correction='free_water'")
    if tissue_md is not None and not 0.1 <= tissue_md <= 2.5:
        raise FormatError(
            f"expected tissue_md in µm²/ms, 0.1 to 2.5, found {tissue_md!r}",
            remedy="10⁻³ mm²/s is 1 µm²/ms",
        )
    shells = gradients.shells
    if correction == "free_water" and tissue_md is None and len(shells) < 2:
        raise GeometryError(
            "free water can't be told from fast diffusion with one shell (b = "
            f"{', '.join(f'{b:.0f}' for b in shells)} s/mm²)",
            where=gradients.source,
            remedy="use correction='two_compartment' with csf_fraction from a segmentation, or "
            "assume the tissue's mean diffusivity with tissue_md",
        )
    if correction == "free_water" and tissue_md is not None and len(shells) > 1:
        raise FormatError("with two shells or more tissue_md is not needed", remedy="leave it out")


def on_grid(
    name: str, data: SpatialImage | ArrayLike, shape: tuple[int, ...], affine: Array
) -> NDArray[Any]:
    """Return an array on the image's grid; images must have its affine too."""
    values: Any = data
    if hasattr(values, "dataobj"):
        if not np.allclose(values.affine, affine, atol=1e-3):
            raise GeometryError(
                f"{name} lies on another grid than the diffusion image: their affines differ",
                remedy="resample it first, labels with label_fractions",
            )
        values = values.dataobj
    array = np.asanyarray(values)
    if array.shape != shape[:3]:
        raise GeometryError(f"expected {name} of shape {shape[:3]}, found {array.shape}")
    return array


def checked_fractions(
    data: SpatialImage | ArrayLike, shape: tuple[int, ...], affine: Array
) -> NDArray[np.float64]:
    array = on_grid("csf_fraction", data, shape, affine).astype(float)
    if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise FormatError("expected csf_fraction within 0 to 1, without missing values")
    return np.asarray(np.clip(array, 0, 1))


def csf_weight_of(b0: Array, water: Array) -> float:
    """Estimate the unweighted signal of CSF over that of tissue."""
    if len(water) < 10 or water.std() < 0.05:
        raise FormatError(
            "csf_weight can't be estimated: the share of CSF hardly varies over the mask",
            remedy="give csf_weight, or a mask that holds both CSF and tissue",
        )
    (csf, tissue), *_ = np.linalg.lstsq(np.column_stack([water, 1 - water]), b0, rcond=None)
    if not (csf > 0 and tissue > 0):
        raise FormatError(
            "csf_weight can't be estimated: the b0 signal doesn't follow csf_fraction",
            remedy="check that both lie on top of each other (estimate_epi_shift), or give "
            "csf_weight",
        )
    return float(csf / tissue)
