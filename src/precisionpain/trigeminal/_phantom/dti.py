"""The phantom's diffusion-weighted signal: thin nerves in large voxels, with known tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...errors import FormatError, GeometryError
from ...imaging.gradients import Gradients
from ..anatomy import SIDES, Side
from .checks import as_fractions, as_grid, check_axis, check_range, replace_by_tissue
from .scan_grid import averaging_matrix, scan_grid
from .tensors import attenuation, axial_radial, repelled_directions
from .tissue import Tissue

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

__all__ = ["DiffusionScan", "simulate_dwi"]

Array = NDArray[np.float64]
Direction = ArrayLike | Callable[[Array], ArrayLike]

_NERVE: dict[Side, Tissue] = {"left": Tissue.NERVE_LEFT, "right": Tissue.NERVE_RIGHT}
_PONS_FA = 0.4

# Signal without weighting (CSF = 1, echo time about 80 ms) and mean diffusivity (µm²/ms).
# Blood leaves little and is gone at b = 1000: its pseudo-diffusion is that of flow.
_TISSUE: dict[Tissue, tuple[float, float]] = {
    Tissue.CSF: (1.0, 3.0),
    Tissue.PONS: (0.4, 0.8),
    Tissue.NERVE_LEFT: (0.4, math.nan),
    Tissue.NERVE_RIGHT: (0.4, math.nan),
    Tissue.ARTERY: (0.3, 10.0),
    Tissue.VEIN: (0.3, 10.0),
    Tissue.CN78: (0.4, 1.1),
    Tissue.CAVE: (1.0, 3.0),
    Tissue.TUMOUR: (0.6, 1.2),
    Tissue.PLAQUE: (0.5, 1.0),
    Tissue.TEFLON: (0.0, 1.0),
    Tissue.BONE: (0.0, 1.0),
}


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class DiffusionScan:
    """A synthetic diffusion scan and the tensors it was made from.

    Parameters
    ----------
    image : nibabel.nifti1.Nifti1Image
        Magnitude, float32, shape (nx, ny, nz, n_volumes).
    gradients : Gradients
        b-values (s/mm²) and directions; ``gradients.bvecs`` are in FSL's convention, as in
        files, ``gradients.world(image.affine)`` in the world.
    fractions : nibabel.nifti1.Nifti1Image
        Share of each `Tissue` in each voxel, at the true place: without `epi_shift_mm`.
    truth : pandas.DataFrame
        Indexed by side: ``fa``, ``md``, ``ad`` and ``rd`` (µm²/ms = 10⁻³ mm²/s) of the nerve
        without CSF.
    drawn : dict
        Options and constants; JSON-able.
    """

    image: Nifti1Image
    gradients: Gradients
    fractions: Nifti1Image
    truth: pd.DataFrame
    drawn: dict[str, Any]

    @property
    def synthetic(self) -> bool:
        """True: nobody was scanned."""
        return True

    def __repr__(self) -> str:
        size = " x ".join(str(n) for n in self.image.shape[:3])
        zooms = " x ".join(f"{zoom:g}" for zoom in self.image.header.get_zooms()[:3])
        nerves = ", ".join(
            f"{side} FA {row.fa:.2f} MD {row.md:.2f}" for side, row in self.truth.iterrows()
        )
        return f"DiffusionScan(synthetic, {size} of {zooms} mm, {self.gradients!r}, {nerves})"


def _per_side(
    name: str,
    value: float | Mapping[Side, float] | None,
    limits: tuple[float, float],
    usual: tuple[float, float],
    rng: np.random.Generator,
) -> dict[Side, float]:
    drawn = {side: float(rng.uniform(*usual)) for side in SIDES}
    if value is None:
        return drawn
    given = dict(value) if isinstance(value, Mapping) else dict.fromkeys(SIDES, value)
    odd = set(given) - set(SIDES)
    if odd:
        raise FormatError(f"expected {name} by side 'left' and 'right', found {sorted(odd)}")
    return drawn | {side: check_range(name, number, *limits) for side, number in given.items()}


def _directions_at(
    direction: Direction, voxels: NDArray[np.intp], shape: tuple[int, ...], affine: Array
) -> Array:
    """Return unit vectors (n, 3) in the world at flat voxel indices."""
    if callable(direction):
        index = np.column_stack(np.unravel_index(voxels, shape))
        found = np.asarray(direction(index @ affine[:3, :3].T + affine[:3, 3]), dtype=float)
        if found.shape != (len(voxels), 3):
            raise GeometryError(
                f"expected directions of shape ({len(voxels)}, 3), found {found.shape}",
                where="nerve_direction",
            )
    else:
        field = np.asarray(direction)
        if field.shape != (*shape, 3):
            raise GeometryError(
                f"expected directions of shape {(*shape, 3)}, found {field.shape}",
                where="nerve_direction",
            )
        found = field.reshape(-1, 3)[voxels].astype(float)
    length = np.linalg.norm(found, axis=1)
    wrong = int(np.count_nonzero(~(np.abs(length - 1) <= 0.01)))
    if wrong:
        raise GeometryError(
            f"{wrong} of {len(voxels)} voxels that hold nerve have no unit vector",
            where="nerve_direction",
        )
    return np.asarray(found / length[:, None])


def simulate_dwi(
    fractions: ArrayLike,
    affine: ArrayLike,
    nerve_direction: Direction,
    *,
    spacing: float | tuple[float, float, float] = 2.0,
    b_value: float = 1000.0,
    n_directions: int = 32,
    n_b0: int = 4,
    fa: float | Mapping[Side, float] | None = None,
    md: float | Mapping[Side, float] | None = None,
    s0: Mapping[Tissue | str, float] | None = None,
    snr: float | None = 25.0,
    epi_shift_mm: float = 0.0,
    phase_axis: int = 1,
    rng: np.random.Generator,
) -> DiffusionScan:
    """Return a diffusion scan of class fractions on a fine grid.

    The signal of a voxel is the mean over its box of Σ S₀ exp(−b gᵀDg) over tissues: CSF and
    distractors are isotropic, the pons has FA 0.4 along the body axis, and each nerve has one
    axially symmetric tensor that turns with its course.

    Parameters
    ----------
    fractions : array_like of shape (nx, ny, nz, n_tissues)
        Share of each `Tissue` in each fine voxel, summing to 1.
    affine : array_like of shape (4, 4)
        Fine voxel indices to RAS+ mm.
    nerve_direction : array_like of shape (nx, ny, nz, 3), or callable
        Unit vectors along the nerve in the world (RAS+), wherever there is nerve; the sign
        has no meaning. A callable takes points (n, 3) in mm and returns vectors (n, 3).
    spacing : float or tuple of three floats, default 2.0
        Voxel size of the scan, mm, along the axes of the fine grid. The scan is centred in
        the fine grid and lies inside of it.
    b_value : float, default 1000
        s/mm².
    n_directions : int, default 32
        Spread by electrostatic repulsion, fixed in the world.
    n_b0 : int, default 4
        Volumes without weighting; they come first.
    fa : float or mapping by side, optional
        Fractional anisotropy of the nerves; drawn from 0.3 to 0.65 by default.
    md : float or mapping by side, optional
        Mean diffusivity of the nerves, µm²/ms (10⁻³ mm²/s); drawn from 0.8 to 1.4 by default.
    s0 : mapping, optional
        Signal without weighting by `Tissue` or its name, instead of the usual one (CSF 1,
        nerve and pons 0.4).
    snr : float, optional
        Unweighted signal of the pons over the noise of the real channel; None for no noise.
        Default 25.
    epi_shift_mm : float, default 0
        How far the image is displaced towards higher indices of `phase_axis`: the rigid part
        of the distortion of echo-planar imaging.
    phase_axis : {0, 1, 2}, default 1
        Array axis of phase encoding.
    rng : numpy.random.Generator
        Source of the drawn tensors and of the noise.

    Returns
    -------
    DiffusionScan

    Raises
    ------
    FormatError
        For options out of range, or fractions that don't sum to 1.
    GeometryError
        When the affine is sheared, the voxels are smaller than the fine ones or larger than
        the field of view, or a voxel with nerve has no unit vector.

    Notes
    -----
    The noise is Rician (Gudbjartsson & Patz, Magn Reson Med 34, 910, 1995), so weighted
    signals near the noise are biased upwards, as in the scanner.

    Examples
    --------
    >>> import numpy as np
    >>> fractions = np.zeros((8, 8, 8, len(Tissue)))
    >>> fractions[..., Tissue.NERVE_LEFT] = 1
    >>> along_y = np.broadcast_to([0.0, 1.0, 0.0], (8, 8, 8, 3))
    >>> simulate_dwi(fractions, np.diag([0.5, 0.5, 0.5, 1]), along_y, fa=0.5, md=1.1,
    ...              rng=np.random.default_rng(0))
    DiffusionScan(synthetic, 2 x 2 x 2 of 2 x 2 x 2 mm, Gradients(36 volumes: 4 b0, 32 at b = 1000), left FA 0.50 MD 1.10, right FA 0.50 MD 1.10)
    """  # noqa: E501
    from nibabel.nifti1 import Nifti1Image

    b_value = check_range("b_value", b_value, 100, 10_000)
    epi_shift_mm = check_range("epi_shift_mm", epi_shift_mm, -20, 20)
    phase_axis = check_axis(phase_axis)
    if int(n_b0) != n_b0 or n_b0 < 1:
        raise FormatError(f"expected n_b0 as a number of volumes, at least 1, found {n_b0!r}")
    if snr is not None and not (math.isfinite(snr) and snr > 0):
        raise FormatError(f"expected snr above 0, or None for no noise, found {snr!r}")
    shares = as_fractions(fractions)
    matrix, fine = as_grid(affine)
    shape = shares.shape[:3]
    grid, coarse, start, coarse_affine = scan_grid(shape, matrix, fine, spacing)

    tensors, noise_stream = rng.spawn(2)
    fa_of = _per_side("fa", fa, (0, 1), (0.3, 0.65), tensors)
    # An MD in mm²/s would be a thousandth of what is meant.
    md_of = _per_side("md (µm²/ms)", md, (0.05, 10), (0.8, 1.4), tensors)
    amplitude = replace_by_tissue(np.array([_TISSUE[t][0] for t in Tissue]), s0, "s0")

    g = repelled_directions(n_directions)
    directions = np.vstack([np.zeros((int(n_b0), 3)), g])
    b = np.r_[np.zeros(int(n_b0)), np.full(len(g), b_value)] * 1e-3

    averaging = averaging_matrix(shape, fine, grid, coarse, start)
    flat = shares.reshape(-1, len(Tissue))
    coarse_shares = averaging @ flat
    shifted = averaging
    if epi_shift_mm:
        # The image moves up when each voxel sees what lies further down: no interpolation.
        moved = start.copy()
        moved[phase_axis] -= epi_shift_mm
        shifted = averaging_matrix(shape, fine, grid, coarse, moved)

    pure = np.zeros((len(Tissue), len(b)))
    for tissue, (_, diffusivity) in _TISSUE.items():
        if tissue is Tissue.PONS:
            pure[tissue] = attenuation(directions[:, 2], b, *axial_radial(_PONS_FA, diffusivity))
        elif tissue not in _NERVE.values():
            pure[tissue] = np.exp(-b * diffusivity)
    signal = (shifted @ flat if epi_shift_mm else coarse_shares) @ (amplitude[:, None] * pure)
    columns = shifted.tocsc()
    truth = {}
    for side, tissue in _NERVE.items():
        ad, rd = axial_radial(fa_of[side], md_of[side])
        truth[side] = {"fa": fa_of[side], "md": md_of[side], "ad": ad, "rd": rd}
        voxels = np.flatnonzero(flat[:, tissue] > 0)
        if voxels.size:
            along = _directions_at(nerve_direction, voxels, shape, matrix)
            decay = attenuation(along @ directions.T, b, ad, rd)
            weighted = (amplitude[tissue] * flat[voxels, tissue].astype(float))[:, None] * decay
            signal = signal + columns[:, voxels] @ weighted
    drawn: dict[str, Any] = {
        "spacing_mm": coarse.tolist(),
        "b_value": b_value,
        "n_directions": len(g),
        "n_b0": int(n_b0),
        "s0": {tissue.name: float(amplitude[tissue]) for tissue in Tissue},
        "md": {t.name: value for t, (_, value) in _TISSUE.items() if not math.isnan(value)},
        "pons_fa": _PONS_FA,
        "nerve": truth,
        "snr": snr,
        "snr_reference": Tissue.PONS.name,
        "epi_shift_mm": epi_shift_mm,
        "phase_axis": phase_axis,
    }
    if snr is not None:
        drawn["noise_sd"] = sd = float(amplitude[Tissue.PONS] / snr)
        real, imaginary = noise_stream.normal(0, sd, (2, *signal.shape))
        signal = np.hypot(signal + real, imaginary)

    data = signal.reshape(*grid, len(b)).astype(np.float32)
    return DiffusionScan(
        image=Nifti1Image(data, coarse_affine),
        gradients=Gradients.from_world(b * 1e3, directions, coarse_affine),
        fractions=Nifti1Image(
            coarse_shares.reshape(*grid, len(Tissue)).astype(np.float32), coarse_affine
        ),
        truth=pd.DataFrame.from_dict(truth, orient="index").rename_axis("side"),
        drawn=drawn,
    )
