"""Voxelwise tensors with dipy, after what CSF adds has been taken away."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError, GeometryError
from ..gradients import Gradients

__all__ = [
    "MOST_CSF",
    "check_support",
    "fit_free_water",
    "fit_plain",
    "share_for_md",
    "signal_fraction",
    "without_csf",
]

Array = NDArray[np.float64]

# Skare et al. (2000) found condition numbers from 1.3 to 9.2 for schemes in use; directions
# within 15 degrees of one plane give more than 20.
_WORST_CONDITION = 20.0
MOST_CSF = 0.95
"""With more of the signal from CSF than this, too little is left to fit a tensor to."""
_FLOOR = 1e-3  # of the signal without weighting; logarithms need something positive


def check_support(shape: tuple[int, ...], gradients: Gradients) -> None:
    """Refuse what no tensor can be fitted to."""
    if len(shape) != 4:
        raise GeometryError(
            f"expected a diffusion image with 4 axes (x, y, z, volume), found {len(shape)}: {shape}"
        )
    if shape[3] != len(gradients):
        raise FormatError(
            f"the gradient table has {len(gradients)} volumes, the image has {shape[3]}",
            where=gradients.source,
            remedy="take image, bval and bvec from the same conversion",
        )
    if not gradients.is_b0.any():
        raise FormatError(
            "no volume without diffusion weighting; the lowest b-value is "
            f"{gradients.bvals.min():g} s/mm²",
            where=gradients.source,
            remedy="add a b0 volume, or raise b0_threshold if this one is meant to be it",
        )
    if gradients.n_directions < 6:
        raise GeometryError(
            f"a tensor needs at least 6 directions that differ, found {gradients.n_directions}",
            where=gradients.source,
        )
    condition = gradients.condition_number
    if condition > _WORST_CONDITION:
        raise GeometryError(
            "the directions lie too close to a plane or a cone for a tensor: condition number "
            f"{condition:.3g}, at most {_WORST_CONDITION:g} is accepted",
            where=gradients.source,
        )


def _table(gradients: Gradients, affine: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dipy's import speaks of progress bars in notebooks
        from dipy.core.gradients import gradient_table
        from dipy.reconst import dti, fwdti  # noqa: F401

    return gradient_table(
        gradients.bvals,
        bvecs=gradients.world(affine),
        b0_threshold=max(gradients.b0_threshold, float(gradients.bvals.min())),
    )


def _encoding(gradients: Gradients, affine: Array) -> tuple[Array, Array]:
    """Return b in ms/µm² and the directions in the world."""
    return gradients.bvals / 1000, gradients.world(affine)


def fit_plain(
    signal: Array, gradients: Gradients, affine: Array, method: str
) -> tuple[Array, Array, Array, Array]:
    """Fit a tensor per row; return eigenvalues (µm²/ms), eigenvectors, S0 and prediction."""
    table = _table(gradients, affine)
    from dipy.reconst.dti import TensorModel

    model = TensorModel(table, fit_method=method, return_S0_hat=True, min_signal=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logarithms of rows that are handled below
        fit = model.fit(signal)
    values, vectors = np.asarray(fit.evals) * 1000, np.asarray(fit.evecs)
    s0 = np.asarray(fit.S0_hat, dtype=float).reshape(len(signal))
    b, g = _encoding(gradients, affine)
    along = np.einsum("kc,vce->vke", g, vectors) ** 2
    predicted = s0[:, None] * np.exp(-b * np.einsum("vke,ve->vk", along, values))
    return values, vectors, s0, predicted


def fit_free_water(
    signal: Array, gradients: Gradients, affine: Array, diffusivity: float
) -> tuple[Array, Array, Array, Array, Array]:
    """Fit tensor and free water with dipy, for two shells or more; as `fit_plain`, and φ."""
    table = _table(gradients, affine)
    from dipy.reconst.fwdti import FreeWaterTensorModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = FreeWaterTensorModel(table, Diso=diffusivity / 1000).fit(signal)
    values, vectors = np.asarray(fit.evals) * 1000, np.asarray(fit.evecs)
    water = np.asarray(fit.f, dtype=float)
    s0 = signal[:, gradients.is_b0].mean(axis=1)
    b, g = _encoding(gradients, affine)
    along = np.einsum("kc,vce->vke", g, vectors) ** 2
    tissue = np.exp(-b * np.einsum("vke,ve->vk", along, values))
    csf = np.exp(-b * diffusivity)
    predicted = s0[:, None] * (water[:, None] * csf + (1 - water)[:, None] * tissue)
    return values, vectors, s0, predicted, water


def signal_fraction(volume: Array, weight: float) -> Array:
    """Return CSF's share of the unweighted signal from its share of the volume."""
    return np.asarray(weight * volume / (weight * volume + 1 - volume))


def without_csf(
    signal: Array, share: Array, gradients: Gradients, diffusivity: float
) -> tuple[Array, Array]:
    """Split signals into the tissue's and CSF's parts, given CSF's share of the b0 signal.

    The tissue's part is kept above a small share of the b0 signal: noise can make it negative.
    """
    s0 = signal[:, gradients.is_b0].mean(axis=1, keepdims=True)
    csf = s0 * share[:, None] * np.exp(-gradients.bvals / 1000 * diffusivity)
    return np.maximum(signal - csf, _FLOOR * s0), csf


def share_for_md(
    signal: Array, gradients: Gradients, affine: Array, diffusivity: float, tissue_md: float
) -> Array:
    """Return the share of CSF with which the rest of each row has the mean diffusivity given.

    The MD of the rest falls as the share grows, so that halving the interval finds it; zero
    where the whole has that MD or less.
    """
    b, g = _encoding(gradients, affine)
    x, y, z = g.T
    rows = np.column_stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z])
    design = np.column_stack([np.ones(len(b)), -b[:, None] * rows])
    trace = np.linalg.pinv(design)[1:4].mean(axis=0)
    low, high = np.zeros(len(signal)), np.full(len(signal), MOST_CSF)

    def md(share: Array) -> Array:
        tissue, _ = without_csf(signal, share, gradients, diffusivity)
        return np.asarray(np.log(tissue) @ trace)

    whole = md(low) <= tissue_md
    for _ in range(30):
        middle = (low + high) / 2
        above = md(middle) > tissue_md
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(whole, 0.0, (low + high) / 2)
