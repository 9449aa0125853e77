"""What the scanner makes of the phantom: contrast, noise and artefacts of 3D cisternography.

The order is the physical one. Tissue gives signal; coil and field modulate it; pulsation and
motion spoil the k-space lines; noise joins; zero-filling interpolates; the magnitude is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import FormatError, list_some
from .artefacts import (
    bands,
    draw_motion,
    kept_frequencies,
    smooth_field,
    with_motion,
    zero_filled,
)
from .checks import as_fractions, as_grid, check_axis, check_range
from .levels import CONTRASTS, REFERENCE, blood_states, draw_levels
from .tissue import Tissue

__all__ = ["Contrast", "draw_options", "render"]

Contrast = Literal["ciss", "space", "tof"]
Array = NDArray[Any]


def render(
    fractions: ArrayLike,
    affine: ArrayLike,
    *,
    contrast: Contrast = "ciss",
    rng: np.random.Generator,
    snr: float | None = 30.0,
    g_factor: float = 0.0,
    bias: float = 0.2,
    banding: float = 0.0,
    motion: tuple[float, float] = (0.0, 0.0),
    ghost: float = 0.0,
    zero_fill: float | tuple[float, float, float] = 1.0,
    blood: str | Mapping[str, str] | None = None,
    levels: Mapping[Tissue | str, float] | None = None,
    phase_axis: int = 1,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return a magnitude image of class fractions, and everything that was drawn.

    With ``snr=None, bias=0`` and the other options left off, the image is exactly the mixture
    ``fractions @ levels``. Each option draws from its own stream, so switching one on leaves
    the others as they were.

    Parameters
    ----------
    fractions : array_like of shape (nx, ny, nz, n_tissues)
        Share of each `Tissue`, summing to 1.
    affine : array_like of shape (4, 4)
        Voxel indices to RAS+ mm.
    contrast : {"ciss", "space", "tof"}, default "ciss"
        Balanced steady state, T2-weighted turbo spin echo, or time-of-flight angiography.
    rng : numpy.random.Generator
        Source of all that is drawn.
    snr : float, optional
        Level of the CSF (brainstem for ``"tof"``) over the standard deviation of the noise in
        the real channel of the final image, where `bias` and `g_factor` are neutral. None for
        no noise. Default 30.
    g_factor : float, default 0
        The noise grows smoothly from 1 to 1 + `g_factor` times its smallest value, as in
        parallel imaging.
    bias : float, default 0.2
        The receive field spans exactly 1 ± `bias`.
    banding : float, default 0
        Depth of the dark bands, 0 to 1 (a single acquisition without phase cycling). Only
        for ``"ciss"``.
    motion : tuple of float, default (0, 0)
        Largest translation (mm) and rotation (degrees) of the head between parts of k-space.
    ghost : float, default 0
        Amplitude of each of the two ghosts of the pulsating arteries, as a share of their
        contrast with CSF.
    zero_fill : float or tuple of three floats, default 1
        Voxel size of the acquisition over that of the grid: k-space beyond it is empty.
    blood : {"static", "void", "inflow"} or mapping, optional
        State of the arterial blood, or of ``"artery"`` and ``"vein"``; static by default. Only
        for ``"ciss"``.
    levels : mapping, optional
        Signal by `Tissue` or its name, instead of the drawn one.
    phase_axis : {0, 1, 2}, default 1
        Array axis along which ghosts repeat and motion acts.

    Returns
    -------
    image : numpy.ndarray of float32, shape (nx, ny, nz)
        Magnitude, CSF at about 1 (artery at about 1 for ``"tof"``).
    drawn : dict
        Levels, fields, shifts and options; JSON-able.

    Raises
    ------
    FormatError
        For an unknown or out-of-range option, or fractions that don't sum to 1.
    GeometryError
        When `affine` isn't one with perpendicular axes.

    Notes
    -----
    The magnitude of a signal in complex Gaussian noise is Rician (Gudbjartsson & Patz, Magn
    Reson Med 34, 910, 1995). With zero-filling the noise is correlated between voxels, and
    its standard deviation stays the stated one. Bands: Freeman & Hill, J Magn Reson 4, 366
    (1971), for CSF. Bias and bands stay with the scanner when the head moves.

    Examples
    --------
    >>> import numpy as np
    >>> fractions = np.zeros((8, 8, 8, len(Tissue)))
    >>> fractions[..., Tissue.CSF] = 1
    >>> image, drawn = render(fractions, np.eye(4), rng=np.random.default_rng(0), snr=None, bias=0)
    >>> float(image.min()), float(image.max()), drawn["levels"]["CSF"]
    (1.0, 1.0, 1.0)
    """
    if contrast not in CONTRASTS:
        raise FormatError(f"expected contrast {list_some(CONTRASTS)}, found {contrast!r}")
    if snr is not None and not (math.isfinite(snr) and snr > 0):
        raise FormatError(f"expected snr above 0, or None for no noise, found {snr!r}")
    g_factor = check_range("g_factor", g_factor, 0, 10)
    bias = check_range("bias", bias, 0, 0.95)
    banding = check_range("banding", banding, 0, 1)
    ghost = check_range("ghost", ghost, 0, 1)
    phase_axis = check_axis(phase_axis)
    if np.shape(motion) != (2,):
        raise FormatError(f"expected motion as (mm, degrees), found {motion!r}")
    most_mm, most_deg = (
        check_range("motion mm", motion[0], 0, 20),
        check_range("motion deg", motion[1], 0, 45),
    )
    if np.shape(zero_fill) not in ((), (3,)):
        raise FormatError(f"expected zero_fill as one or three numbers, found {zero_fill!r}")
    factors = np.broadcast_to(np.asarray(zero_fill, dtype=float), 3)
    for factor in factors:
        check_range("zero_fill", factor, 1, 8)
    if banding and contrast != "ciss":
        raise FormatError(f"banding is an option of contrast 'ciss', found {contrast!r}")

    shares = as_fractions(fractions)
    matrix, spacing = as_grid(affine)
    shape = shares.shape[:3]
    streams = dict(
        zip(("levels", "bias", "bands", "motion", "ghost", "g", "noise"), rng.spawn(7), strict=True)
    )

    states = blood_states(contrast, blood)
    level = draw_levels(contrast, states, levels, streams["levels"])
    reference = REFERENCE[contrast]
    drawn: dict[str, Any] = {
        "contrast": contrast,
        "blood": states,
        "levels": {tissue.name: float(level[tissue]) for tissue in Tissue},
        "phase_axis": phase_axis,
        "snr": snr,
        "snr_reference": reference.name,
    }
    mixture: Array = shares @ level.astype(np.float32)
    modulation: Array = np.ones((1, 1, 1), dtype=np.float32)
    if bias:
        field, coefficients = smooth_field(shape, streams["bias"])
        modulation = 1 + np.float32(bias) * field
        drawn["bias"] = {"amplitude": bias, "coefficients": coefficients.tolist()}
    if banding:
        dips, drawn["banding"] = bands(shape, matrix, banding, streams["bands"])
        modulation = modulation * dips
    signal: Array = mixture * modulation
    if most_mm or most_deg:
        moves = draw_motion(shape[phase_axis], most_mm, most_deg, streams["motion"])
        signal = with_motion(signal, mixture, modulation, matrix, phase_axis, moves)
        drawn["motion"] = moves
    if ghost:
        # A signal that pulsates as 1 + 2·ghost·cos(2πft + φ) along the k-space lines repeats
        # itself at ± f times the field of view, with conjugate phases.
        n = shape[phase_axis]
        shift = int(streams["ghost"].integers(max(1, n // 10), max(2, n // 2 + 1)))
        phase = float(streams["ghost"].uniform(-np.pi, np.pi))
        contrast_to_csf = np.float32(level[Tissue.ARTERY] - level[Tissue.CSF])
        source = shares[..., Tissue.ARTERY] * contrast_to_csf * modulation
        turned = np.complex64(ghost * np.exp(1j * phase))
        signal = signal + turned * np.roll(source, shift, axis=phase_axis)
        signal += np.conj(turned) * np.roll(source, -shift, axis=phase_axis)
        drawn["ghost"] = {
            "amplitude": ghost,
            "shift_voxels": shift,
            "shift_mm": float(shift * spacing[phase_axis]),
            "phase_rad": phase,
        }
    kept = math.prod(
        kept_frequencies(n, factor).mean() if factor > 1 else 1.0
        for n, factor in zip(shape, factors, strict=True)
    )
    if snr is not None:
        sd = float(level[reference] / snr)
        # Cropping k-space removes that share of the variance of white noise.
        noise = streams["noise"].standard_normal((2, *shape), dtype=np.float32)
        noise *= np.float32(sd / math.sqrt(kept))
        if g_factor:
            field, coefficients = smooth_field(shape, streams["g"])
            noise *= 1 + np.float32(g_factor / 2) * (field + 1)
            drawn["g_factor"] = {"amplitude": g_factor, "coefficients": coefficients.tolist()}
        drawn["noise_sd"] = sd
        if np.isrealobj(signal) and kept == 1:
            noise[0] += signal
            return np.hypot(noise[0], noise[1]), drawn
        signal = signal + (noise[0] + 1j * noise[1])
    if kept < 1:
        signal = zero_filled(signal, factors)
        drawn["zero_fill"] = {
            "factors": factors.tolist(),
            "kept": float(kept),
            "acquired_voxel_mm": (spacing * factors).tolist(),
        }
    return np.abs(signal).astype(np.float32), drawn


def draw_options(rng: np.random.Generator, contrast: Contrast = "ciss") -> dict[str, Any]:
    """Draw the options of `render` over the ranges that scanners show.

    For training and testing on many looks of the same anatomy.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    contrast : {"ciss", "space", "tof"}, default "ciss"
        See `render`.

    Returns
    -------
    dict
        Keywords of `render`. SNR 10 to 60, bias to 0.4, noise growing up to twice; sometimes
        bands, motion (to 1.5 mm and 3 degrees), ghosts (to 15%) and zero-filling.

    Raises
    ------
    FormatError
        For an unknown contrast.

    Examples
    --------
    >>> import numpy as np
    >>> sorted(draw_options(np.random.default_rng(0), "tof"))
    ['bias', 'contrast', 'g_factor', 'ghost', 'motion', 'phase_axis', 'snr', 'zero_fill']
    """
    if contrast not in CONTRASTS:
        raise FormatError(f"expected contrast {list_some(CONTRASTS)}, found {contrast!r}")

    def sometimes(share: float, most: float) -> float:
        value = rng.uniform(0, most)
        return float(value) if rng.random() < share else 0.0

    options: dict[str, Any] = {
        "contrast": contrast,
        "snr": float(np.exp(rng.uniform(np.log(10), np.log(60)))),
        "bias": float(rng.uniform(0, 0.4)),
        "g_factor": sometimes(0.5, 1.0),
        "ghost": sometimes(0.5, 0.15),
        "zero_fill": float(rng.choice([1.0, 1.0, 1.5, 2.0])),
        "phase_axis": int(rng.integers(0, 2)),
    }
    moves = rng.random() < 0.3
    options["motion"] = (
        (float(rng.uniform(0, 1.5)), float(rng.uniform(0, 3))) if moves else (0.0, 0.0)
    )
    if contrast == "ciss":
        options["banding"] = sometimes(0.5, 0.6)
        options["blood"] = {
            "artery": str(rng.choice(["static", "void", "inflow"])),
            "vein": str(rng.choice(["static", "inflow"])),
        }
    return options
