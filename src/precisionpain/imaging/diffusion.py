"""Diffusion tensors of small structures beside CSF, with the correction stated.

A voxel of 2 mm at a cranial nerve holds mostly CSF, whose diffusion is fast and the same in
all directions; the tensor of the whole voxel then has a fractional anisotropy (FA) far below
the nerve's. What can be told apart depends on the scan:

- **Two shells or more**: the decay with the b-value shows how much free water there is
  (``correction="free_water"``).
- **One shell**: more CSF and faster diffusion of the tissue look alike, so one of them has to
  be known: the share of CSF from a segmentation (``correction="two_compartment"``), or the
  tissue's mean diffusivity (``tissue_md``), which is then an assumption and no result.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError
from ._diffusion.along import along_nerve
from ._diffusion.checks import check_correction, checked_fractions, csf_weight_of, on_grid
from ._diffusion.footprint import label_fractions
from ._diffusion.shift import EpiShift, estimate_epi_shift
from ._diffusion.tensor import (
    MOST_CSF,
    check_support,
    fit_free_water,
    fit_plain,
    share_for_md,
    signal_fraction,
    without_csf,
)
from .gradients import Gradients

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = [
    "EpiShift",
    "TensorFit",
    "along_nerve",
    "estimate_epi_shift",
    "fit_tensor",
    "label_fractions",
]

Array = NDArray[np.float64]
Correction = Literal["two_compartment", "free_water"]


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class TensorFit:
    """Maps of a diffusion tensor, on the grid of the diffusion image.

    Diffusivities are in µm²/ms, which is 10⁻³ mm²/s. Voxels without a fit are NaN.

    Parameters
    ----------
    fa : nibabel.nifti1.Nifti1Image
        Fractional anisotropy, 0 to 1.
    md, ad, rd : nibabel.nifti1.Nifti1Image
        Mean, axial (largest) and radial (mean of the others) diffusivity.
    direction : nibabel.nifti1.Nifti1Image
        (x, y, z, 3): unit vector of the fastest diffusion, in the world (RAS+); its sign has
        no meaning.
    s0 : nibabel.nifti1.Nifti1Image
        Signal without weighting, of CSF and tissue together.
    csf_fraction : nibabel.nifti1.Nifti1Image or None
        With ``"two_compartment"`` CSF's share of the voxel's volume, as given; with
        ``"free_water"`` its share of the unweighted signal, as fitted. None without correction.
    residual : nibabel.nifti1.Nifti1Image
        Root mean square of measured less fitted signal over the volumes, over `s0`.
    correction : str or None
        ``"two_compartment"``, ``"free_water"`` or None.
    csf_weight : float or None
        Unweighted signal of CSF over that of tissue, with ``"two_compartment"``.
    assumed_md : float or None
        The tissue's mean diffusivity where it was assumed: `md` is then no result wherever
        `csf_fraction` is above zero.
    """

    fa: Any
    md: Any
    ad: Any
    rd: Any
    direction: Any
    s0: Any
    csf_fraction: Any
    residual: Any
    correction: str | None = None
    csf_weight: float | None = None
    assumed_md: float | None = None

    @property
    def affine(self) -> Array:
        """Voxel to world, mm."""
        return np.asarray(self.fa.affine)

    def __repr__(self) -> str:
        fitted = int(np.isfinite(self.fa.dataobj).sum())
        return (
            f"TensorFit({fitted} of {np.prod(self.fa.shape)} voxels, "
            f"{self.correction or 'no correction'})"
        )


def fit_tensor(
    dwi: SpatialImage,
    gradients: Gradients,
    *,
    mask: SpatialImage | ArrayLike | None = None,
    correction: Correction | None = None,
    csf_fraction: SpatialImage | ArrayLike | None = None,
    csf_weight: float | None = None,
    tissue_md: float | None = None,
    csf_diffusivity: float = 3.0,
    method: Literal["WLS", "OLS", "NLLS"] = "WLS",
) -> TensorFit:
    """Fit a diffusion tensor to each voxel, with or without CSF beside the tissue.

    Parameters
    ----------
    dwi : nibabel.spatialimages.SpatialImage
        4-D: x, y, z, volume.
    gradients : Gradients
        The gradient table of the volumes.
    mask : nibabel.spatialimages.SpatialImage or array_like of shape (x, y, z), optional
        Voxels to fit; default: all whose mean b0 signal is above zero.
    correction : {"two_compartment", "free_water"}, optional
        None fits one tensor to the whole signal. ``"two_compartment"`` takes CSF away whose
        share of each voxel is given as `csf_fraction`; any scan that a tensor can be fitted to
        will do. ``"free_water"`` finds the share: from two shells or more, or from one shell
        with `tissue_md`.
    csf_fraction : nibabel.spatialimages.SpatialImage or array_like of shape (x, y, z), optional
        CSF's share of the volume of each voxel, 0 to 1, for ``"two_compartment"``: for example
        channel 0 of `label_fractions`.
    csf_weight : float, optional
        Unweighted signal of pure CSF over that of pure tissue: density and T2, so 2 to 4 at
        echo times of 60 to 100 ms. By default it is estimated from the b0 signal and
        `csf_fraction` by least squares over the mask.
    tissue_md : float, optional
        Mean diffusivity that the tissue is assumed to have, µm²/ms, for ``"free_water"`` with
        one shell. Published values of nerve and white matter lie near 0.7 to 1.4.
    csf_diffusivity : float, default 3.0
        µm²/ms; that of water at 37 °C.
    method : {"WLS", "OLS", "NLLS"}, default "WLS"
        Estimator of dipy: weighted or ordinary linear, or nonlinear, least squares.

    Returns
    -------
    TensorFit
        NaN where no fit was possible: outside the mask, where the b0 signal isn't positive, a
        value isn't finite, or more than 95% of the unweighted signal is CSF's.

    Raises
    ------
    GeometryError
        When the image has no 4 axes, the grids differ, fewer than 6 directions differ or they
        lie close to a plane, or free water is asked of one shell without `tissue_md`.
    FormatError
        When the counts of image and table differ, there is no b0 volume, the fractions are
        missing or not within 0 to 1, or an option is unknown.

    Notes
    -----
    The signal over S₀ is φ exp(−b·d) + (1 − φ) exp(−b gᵀDg), with φ CSF's share of the
    unweighted signal and d its diffusivity. For a volume fraction f and CSF weight w,
    φ = w f / (w f + 1 − f). With one shell, φ and the trace of D can't both be told (to raise
    φ is nearly to lower the trace), which is why one must be given.

    The magnitude's noise floor is not corrected here: below a signal-to-noise ratio of about 3
    in the weighted volumes, diffusivities come out too low.

    References
    ----------
    Basser, Mattiello & LeBihan, J Magn Reson B 103, 247 (1994); Pasternak et al., Magn Reson
    Med 62, 717 (2009); Hoy et al., NeuroImage 103, 323 (2014); Skare et al., J Magn Reson 147,
    340 (2000).

    Examples
    --------
    >>> import nibabel
    >>> g = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...               [0, 1, -1]]) / np.sqrt(2)
    >>> table = Gradients([0] + [1000] * 6, g)
    >>> tissue = np.exp(-table.bvals / 1000 * (g**2 @ [1.7, 0.8, 0.8]))
    >>> csf = np.exp(-table.bvals / 1000 * 3.0)
    >>> signal = 0.5 * 100 * csf + 0.5 * 40 * tissue
    >>> dwi = nibabel.Nifti1Image(signal[None, None, None], np.diag([-2.0, 2, 2, 1]))
    >>> print(f"{fit_tensor(dwi, table).fa.get_fdata()[0, 0, 0]:.2f}")
    0.19
    >>> fit = fit_tensor(dwi, table, correction="two_compartment", csf_fraction=[[[0.5]]],
    ...                  csf_weight=2.5)
    >>> print(f"{fit.fa.get_fdata()[0, 0, 0]:.2f}")
    0.44
    """
    shape = tuple(dwi.shape)
    check_support(shape, gradients)
    check_correction(correction, csf_fraction, tissue_md, gradients)
    share = None if csf_fraction is None else checked_fractions(csf_fraction, shape, dwi.affine)
    if csf_weight is not None and not (np.isfinite(csf_weight) and csf_weight > 0):
        raise FormatError(f"expected csf_weight above 0, found {csf_weight!r}")
    if method not in ("WLS", "OLS", "NLLS"):
        raise FormatError(f"expected method 'WLS', 'OLS' or 'NLLS', found {method!r}")
    if not (np.isfinite(csf_diffusivity) and csf_diffusivity > 0):
        raise FormatError(f"expected csf_diffusivity above 0 µm²/ms, found {csf_diffusivity!r}")
    if mask is None:
        chosen = np.ones(shape[:3], dtype=bool)
    else:
        chosen = on_grid("mask", mask, shape, dwi.affine) > 0
    signal = np.asanyarray(dwi.dataobj)[chosen].astype(float)
    b0 = gradients.is_b0
    usable = np.isfinite(signal).all(axis=1)
    usable[usable] = signal[usable][:, b0].mean(axis=1) > 0
    where = np.flatnonzero(chosen.ravel())[usable]
    signal = np.maximum(signal[usable], 0)
    if len(signal) == 0:
        raise FormatError("no voxel of the mask has a b0 signal above zero")

    water: Array | None = None
    weight = csf_weight
    phi = np.zeros(len(signal))
    if share is not None:
        water = share.ravel()[where]
        if weight is None:
            weight = csf_weight_of(signal[:, b0].mean(axis=1), water)
        phi = signal_fraction(water, weight)
    elif tissue_md is not None:
        water = phi = share_for_md(signal, gradients, dwi.affine, csf_diffusivity, tissue_md)
    keep = phi <= MOST_CSF
    where, signal, phi = where[keep], signal[keep], phi[keep]
    water = None if water is None else water[keep]
    if correction == "free_water" and water is None:
        fitted = fit_free_water(signal, gradients, dwi.affine, csf_diffusivity)
        values, vectors, s0, predicted, water = fitted
    else:
        tissue, csf = without_csf(signal, phi, gradients, csf_diffusivity)
        values, vectors, s0, predicted = fit_plain(tissue, gradients, dwi.affine, method)
        s0 = s0 + csf[:, b0].mean(axis=1)
        predicted = predicted + csf
    residual = np.sqrt(((signal - predicted) ** 2).mean(axis=1)) / s0
    rows = {
        **_scalars(values),
        "direction": vectors[:, :, 0],
        "s0": s0,
        "residual": residual,
    }
    if water is not None:
        rows["csf_fraction"] = water
    images = {name: _image(data, where, shape[:3], dwi.affine) for name, data in rows.items()}
    return TensorFit(
        **{"csf_fraction": None, **images},
        correction=correction,
        csf_weight=weight if share is not None else None,
        assumed_md=tissue_md,
    )


def _scalars(values: Array) -> dict[str, Array]:
    from dipy.reconst.dti import fractional_anisotropy

    return {
        "fa": np.asarray(fractional_anisotropy(values)),
        "md": values.mean(axis=1),
        "ad": values[:, 0],
        "rd": values[:, 1:].mean(axis=1),
    }


def _image(data: Array, where: NDArray[np.intp], shape: tuple[int, ...], affine: Array) -> Any:
    import nibabel

    full = np.full((int(np.prod(shape)), *data.shape[1:]), np.nan, dtype=np.float32)
    full[where] = data
    return nibabel.Nifti1Image(full.reshape(*shape, *data.shape[1:]), affine)
