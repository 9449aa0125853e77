"""Diffusion of the trigeminal nerve without the CSF that shares its voxels."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation

from ..errors import ConvergenceWarning, DataWarning, FormatError, GeometryError
from ..imaging._diffusion.checks import on_grid
from ..imaging._diffusion.footprint import as_fractions, footprint, no_overlap, weigh
from ..imaging._diffusion.tensor import check_support
from ..imaging.diffusion import estimate_epi_shift, fit_tensor
from ..imaging.gradients import Gradients
from ._diffusion.course import Course, course_through, given_course
from ._diffusion.unmixing import NerveVoxels, Unmixed, fit_nerve, noise_level
from .anatomy import REZ_BINS, SIDES, Label, Side, rez_bin

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["measure_diffusion", "side_differences"]

Array = NDArray[np.float64]

_SEGMENT = 0.5  # mm of nerve that share a direction
_COVERED = 0.999  # share of a voxel within the labels' field of view
_SOME_NERVE = 0.02  # share of a voxel that makes it one of the nerve's
_MEASURES = ("fa", "md", "ad", "rd")


def measure_diffusion(
    dwi: SpatialImage,
    gradients: Gradients,
    labels: SpatialImage,
    *,
    centreline: Mapping[Side, ArrayLike] | None = None,
    bins: ArrayLike | None = REZ_BINS,
    shift_mm: float | Literal["estimate"] = 0.0,
    phase_axis: int = 1,
    mask: SpatialImage | ArrayLike | None = None,
    noise: float | None = None,
    volume_sd: float = 0.1,
    s0_sd: float = 0.05,
) -> pd.DataFrame:
    """Measure the diffusion tensor of both trigeminal nerves, corrected for partial volume.

    The nerve is thinner than a voxel of a diffusion scan, but its place is known from the
    anatomical scan. So the labels are integrated over each voxel around the nerve, and the
    voxels together are unmixed into CSF, brainstem, blood and nerve, whose signal follows an
    axially symmetric tensor about the nerve's course.

    Parameters
    ----------
    dwi : nibabel.spatialimages.SpatialImage
        4-D diffusion scan.
    gradients : Gradients
        Its table.
    labels : nibabel.spatialimages.SpatialImage
        `Label` values, or their fractions along a fourth axis, at about 0.5 mm, in the frame
        of `dwi`. Sides are those of the labels (anatomical). Around the nerve the background
        should be CSF.
    centreline : mapping of side to array_like of shape (n, 3), optional
        World, mm, from the pons outward; default: a cubic through the nerve's voxels.
    bins : array_like, default ``REZ_BINS`` (0, 3, 5, 7)
        Edges (mm from the pons) of the parts that are also fitted on their own; the last is
        open. None for none.
    shift_mm : float or "estimate", default 0
        Displacement of `dwi` towards higher indices of `phase_axis`, mm, or found by
        `precisionpain.imaging.estimate_epi_shift`.
    phase_axis : {0, 1, 2}, default 1
        Array axis of phase encoding.
    mask : nibabel.spatialimages.SpatialImage or array_like of shape (x, y, z), optional
        Voxels of `dwi` that may be used: for example without bone or temporal lobe, which have
        no label of their own.
    noise : float, optional
        Standard deviation of one channel (real or imaginary), in units of the signal; default:
        from repeated b0 volumes, or with fewer than three from the scatter about the fit.
    volume_sd : float, default 0.1
        Relative uncertainty of the nerve's volume in the labels, as a prior's standard
        deviation.
    s0_sd : float, default 0.05
        The same of the nerve's unweighted signal against the brainstem's.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``side``. Diffusivities are in µm²/ms (10⁻³ mm²/s).

        ``fa``, ``md``, ``ad``, ``rd``
            Of the nerve, corrected; with standard errors ``fa_se`` and so on.
        ``fa_naive``, ``md_naive``, ``ad_naive``, ``rd_naive``
            Means of ordinary tensors over the voxels whose centre lies in the nerve's label:
            what a hand-drawn region gives.
        ``n_voxels``
            How many these are (if none, the voxel with most nerve).
        ``nerve_voxels``
            The nerve's volume in voxels of `dwi`.
        ``fa_0-3``, ``fa_se_0-3``, ``md_0-3``, …
            The same by bin; NaN where the nerve doesn't reach, and where the data don't
            determine a tensor (a diffusivity would have to lie beyond 0.02 to 4 µm²/ms).
        ``volume_ratio``, ``s0_ratio``
            Fitted volume over that of the labels, and S₀ of the nerve over the brainstem's.
            Far from 1 means that labels and scan don't fit together.
        ``misfit``
            Scatter about the fit over that of the noise in the nerve's voxels, the larger of
            b0 and weighted volumes: about 1 when the model is right.
        ``noise``, ``shift_mm``
            What was used.

        A side without nerve in the labels is NaN, with a warning.

    Raises
    ------
    GeometryError
        When the images don't overlap, the centreline is no line, or the directions can't
        support a tensor.
    FormatError
        When the labels have no brainstem or no nerve, the counts of image and table differ, or
        an option is out of range.

    Warns
    -----
    DataWarning
        When a side has no nerve, its misfit is above 3, or its fit ended at the limit of what
        tissue can have.
    ConvergenceWarning
        When the fit didn't settle.

    Notes
    -----
    The signal of a voxel is Σ (fraction × tissue signal), as for the regional partial volume
    correction of emission tomography (Rousset, Ma & Evans, J Nucl Med 39, 904, 1998). CSF and
    brainstem have a free signal in each volume, so no diffusivity is assumed for them. Blood
    has a signal without weighting only. Magnitudes are compared with their expectation under
    Rician noise. Voxels that none of this explains, such as bone, count less or not at all
    (Tukey's biweight).

    Two errors look the same to the fit, and both change FA: where CSF is 2.5 times as bright as
    nerve, labels with 5% too little volume raise it by about 0.05 if the volume is trusted, and
    a nerve with 10% more S₀ than the brainstem by about 0.05 if S₀ is. The priors say which of
    the two is trusted; by default S₀, because segmentations of a thin nerve are often 10% too
    small or too large. The standard errors hold the noise and these priors, but no
    misregistration: half a millimetre of it costs about 0.03, one millimetre 0.05.

    With 2 mm voxels and 30 directions the single bins are uncertain: read their ``fa_se``.

    References
    ----------
    Basser & Pierpaoli, J Magn Reson B 111, 209 (1996); Gudbjartsson & Patz, Magn Reson Med 34,
    910 (1995).

    Examples
    --------
    A nerve of 2 × 2 mm along the second axis, in CSF, in front of the brainstem:

    >>> import nibabel
    >>> label = np.zeros((40, 48, 40), dtype=np.uint8)
    >>> label[:, :12] = Label.BRAINSTEM
    >>> label[7:11, 12:36, 18:22] = Label.NERVE_LEFT
    >>> label[27:31, 12:36, 18:22] = Label.NERVE_RIGHT
    >>> labels = nibabel.Nifti1Image(label, np.diag([0.5, 0.5, 0.5, 1]))
    >>> g = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]])
    >>> g = np.vstack([np.zeros(3), g / np.sqrt(2), np.eye(3)])
    >>> b = np.r_[0, np.full(9, 1000.0)]
    >>> pure = [np.exp(-b / 1000 * 3.0), 0.4 * np.exp(-b / 1000 * 0.8),
    ...         0.4 * np.exp(-b / 1000 * (g**2 @ [0.8, 1.7, 0.8]))]
    >>> share = np.stack([label == 0, label == 1, label >= 2], axis=-1)
    >>> share = share.reshape(10, 4, 12, 4, 10, 4, 3).mean(axis=(1, 3, 5))
    >>> affine = np.diag([2.0, 2, 2, 1])
    >>> affine[:3, 3] = 0.75
    >>> dwi = nibabel.Nifti1Image(share @ np.array(pure), affine)
    >>> table = Gradients.from_world(b, g, affine)
    >>> found = measure_diffusion(dwi, table, labels, noise=0.001)
    >>> found[["fa", "md", "fa_naive"]].round(2)  # doctest: +NORMALIZE_WHITESPACE
             fa   md  fa_naive
    side
    left   0.44  1.1      0.14
    right  0.44  1.1      0.14
    """
    check_support(tuple(dwi.shape), gradients)
    _check_options(noise, volume_sd, s0_sd)
    if bins is not None:
        rez_bin([], bins)  # refuses edges that don't rise
    fine, _ = as_fractions(labels, len(Label))
    fine = _columns(fine)
    if fine[Label.BRAINSTEM].sum() == 0:
        raise FormatError(
            f"the labels have no brainstem (value {int(Label.BRAINSTEM)}), from which the "
            "position along the nerve is counted",
        )
    present = [side for side in SIDES if fine[Label.nerve(side)].sum() > 0]
    if not present:
        raise FormatError(
            "the labels have no trigeminal nerve (values "
            f"{int(Label.NERVE_LEFT)} and {int(Label.NERVE_RIGHT)})"
        )
    if shift_mm == "estimate":
        shift = estimate_epi_shift(dwi, gradients, labels, axis=phase_axis).mm
    else:
        shift = _shift(shift_mm, phase_axis)
    scan = _Scan(dwi, gradients, labels, fine, shift, mask)
    rows = {}
    for side in SIDES:
        if side not in present:
            warnings.warn(f"the labels have no {side} nerve", DataWarning, stacklevel=2)
            rows[side] = {"shift_mm": shift[phase_axis]}
            continue
        around = _around(scan, side, None if centreline is None else centreline.get(side))
        level = noise if noise is not None else noise_level(around.voxels)
        rows[side] = _row(scan, around, bins, level, volume_sd, s0_sd)
        rows[side]["shift_mm"] = shift[phase_axis]
        _warn(side, rows[side])
    ordered = max(rows.values(), key=len)  # a side without nerve has no measures
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(ordered))
    table.index.name = "side"
    return table.drop(columns=["converged", "at_bound"])


def side_differences(table: pd.DataFrame, *, affected: Side | None = None) -> pd.DataFrame:
    """Compare the sides, measure by measure.

    Parameters
    ----------
    table : pandas.DataFrame
        Numeric columns, indexed by side ``"left"`` and ``"right"``, as `measure_diffusion`
        returns.
    affected : {"left", "right"}, optional
        The side of the pain.

    Returns
    -------
    pandas.DataFrame
        Indexed by measure: ``left``, ``right``, ``difference`` (left − right), ``z`` (the
        difference over its standard error, where the measure has a column ``…_se``) and
        ``asymmetry``: 2 (left − right) / (left + right), or, with an affected side,
        (unaffected − affected) / unaffected.

    Raises
    ------
    FormatError
        When the sides aren't these two, or `affected` is neither.

    Examples
    --------
    >>> table = pd.DataFrame({"fa": [0.36, 0.48], "fa_se": [0.03, 0.04]}, ["left", "right"])
    >>> side_differences(table, affected="left").round(2)  # doctest: +NORMALIZE_WHITESPACE
             left  right  difference    z  asymmetry
    measure
    fa       0.36   0.48       -0.12 -2.4       0.25
    """
    if sorted(table.index) != sorted(SIDES):
        raise FormatError(f"expected rows 'left' and 'right', found {list(table.index)}")
    if affected is not None and affected not in SIDES:
        raise FormatError(f"expected affected 'left' or 'right', found {affected!r}")
    numbers = table.select_dtypes("number").astype(float)
    errors = {name: _error_name(name) for name in numbers.columns}
    names = [name for name in numbers.columns if name not in errors.values()]
    left, right = numbers.loc["left", names], numbers.loc["right", names]
    result = pd.DataFrame({"left": left, "right": right, "difference": left - right})
    result["z"] = [
        result.at[name, "difference"] / np.hypot(*numbers[errors[name]].loc[list(SIDES)])
        if errors[name] in numbers
        else np.nan
        for name in names
    ]
    if affected is None:
        result["asymmetry"] = 2 * (left - right) / (left + right)
    else:
        sick, well = (left, right) if affected == "left" else (right, left)
        result["asymmetry"] = (well - sick) / well
    return result.rename_axis("measure")


def _error_name(name: str) -> str:
    measure, _, part = name.partition("_")
    return f"{measure}_se_{part}" if part else f"{measure}_se"


@dataclasses.dataclass(frozen=True)
class _Scan:
    dwi: SpatialImage
    gradients: Gradients
    labels: SpatialImage
    fine: list[Array]
    shift: tuple[float, float, float]
    mask: SpatialImage | ArrayLike | None


@dataclasses.dataclass(frozen=True)
class _Around:
    """The voxels around one nerve."""

    voxels: NerveVoxels
    index: NDArray[np.intp]
    nerve: Array
    segment_s: Array
    in_label: NDArray[np.bool_]


def _check_options(noise: float | None, volume_sd: float, s0_sd: float) -> None:
    for name, value in (("noise", noise), ("volume_sd", volume_sd), ("s0_sd", s0_sd)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise FormatError(f"expected {name} above 0, found {value!r}")


def _shift(shift_mm: Any, axis: int) -> tuple[float, float, float]:
    if axis not in (0, 1, 2):
        raise FormatError(f"expected phase_axis 0, 1 or 2, found {axis!r}")
    if isinstance(shift_mm, str) or not np.isfinite(shift_mm):
        raise FormatError(f"expected shift_mm in mm or 'estimate', found {shift_mm!r}")
    moved = [0.0, 0.0, 0.0]
    moved[axis] = float(shift_mm)
    return moved[0], moved[1], moved[2]


def _columns(fine: Any) -> list[Array]:
    """Return one flat array of fractions per label."""
    if hasattr(fine, "toarray"):
        fine = fine.tocsc()
        return [fine[:, [k]].toarray().ravel() for k in range(fine.shape[1])]
    return [np.ascontiguousarray(fine[:, k]) for k in range(fine.shape[1])]


def _around(scan: _Scan, side: Side, given: ArrayLike | None) -> _Around:
    shape, affine = scan.labels.shape[:3], scan.labels.affine

    def place(voxels: NDArray[np.intp]) -> Array:
        index = np.column_stack(np.unravel_index(voxels, shape))
        return np.asarray(index @ affine[:3, :3].T + affine[:3, 3])

    label = Label.nerve(side)
    held = np.flatnonzero(scan.fine[label] > 0)
    share, where = scan.fine[label][held].astype(float), place(held)
    course: Course
    if given is not None:
        course = given_course(given)
    else:
        stem = place(np.flatnonzero(scan.fine[Label.BRAINSTEM] > 0.5))
        course = course_through(where, share, stem)
    s_mm, tangent = course.locate(where)

    index = _box(scan, where)
    matrix = footprint(shape, affine, scan.dwi.affine, index, scan.shift)
    mixed = weigh(matrix, np.column_stack(scan.fine))
    size = index.max(axis=0) - index.min(axis=0) + 1
    core = (mixed[:, label] > _SOME_NERVE).reshape(size)
    # One voxel around the nerve tells what CSF and brainstem look like here.
    chosen = binary_dilation(core, structure=np.ones((3, 3, 3))).ravel()
    data = np.asanyarray(scan.dwi.dataobj)[tuple(index.T)].astype(float)
    chosen &= np.isfinite(data).all(axis=1)
    # What lies beyond the labels' field of view is unknown, not CSF.
    chosen &= np.asarray(matrix.sum(axis=1)).ravel() > _COVERED
    if scan.mask is not None:
        allowed = on_grid("mask", scan.mask, tuple(scan.dwi.shape), scan.dwi.affine)
        chosen &= allowed[tuple(index.T)] > 0
    mixed, matrix, index, data = mixed[chosen], matrix[chosen], index[chosen], data[chosen]
    if not (mixed[:, label] > _SOME_NERVE).any() or len(data) < 12:
        raise GeometryError(f"the image has too few voxels around the {side} nerve")

    count = max(1, int(np.ceil(s_mm.max() / _SEGMENT)))
    segment = np.minimum((s_mm / _SEGMENT).astype(int), count - 1)
    filled = [j for j in range(count) if share[segment == j].sum() > 0]
    segments, along, middle = [], [], []
    for j in filled:
        own = segment == j
        segments.append(np.asarray(matrix[:, held[own]] @ share[own]).ravel())
        along.append((tangent[own] * share[own, None]).sum(axis=0))
        middle.append(np.average(s_mm[own], weights=share[own]))
    axes = np.array(along) / np.linalg.norm(along, axis=1, keepdims=True)
    world = scan.gradients.world(scan.dwi.affine)
    voxels = NerveVoxels(
        signal=data,
        b=scan.gradients.bvals / 1000,
        is_b0=scan.gradients.is_b0,
        tissue=mixed[:, [Label.BACKGROUND, Label.BRAINSTEM]],
        blood=mixed[:, Label.ARTERY] + mixed[:, Label.VEIN],
        segments=np.column_stack(segments),
        cosine2=(axes @ world.T) ** 2,
    )
    return _Around(voxels, index, mixed[:, label], np.array(middle), _centre_in(scan, index, label))


def _box(scan: _Scan, where: Array) -> NDArray[np.intp]:
    """Return the voxels of the scan in the box around places in the world, and two more."""
    affine = scan.dwi.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    back = np.linalg.inv(affine)
    seen = where @ back[:3, :3].T + back[:3, 3] + np.asarray(scan.shift) / spacing
    low = np.maximum(np.floor(seen.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(seen.max(axis=0)).astype(int) + 3, scan.dwi.shape[:3])
    if np.any(high <= low):
        raise no_overlap()
    grid = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)


def _centre_in(scan: _Scan, index: NDArray[np.intp], label: Label) -> NDArray[np.bool_]:
    """Tell which voxels have their centre in a label."""
    affine = scan.dwi.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    to_fine = np.linalg.inv(scan.labels.affine) @ affine
    centre = (index - np.asarray(scan.shift) / spacing) @ to_fine[:3, :3].T + to_fine[:3, 3]
    voxel = np.rint(centre).astype(int)
    shape = scan.labels.shape[:3]
    inside = np.all((voxel >= 0) & (voxel < np.array(shape)), axis=1)
    flat = np.ravel_multi_index(tuple(voxel.T), shape, mode="clip")
    return np.asarray(inside & (scan.fine[label][flat] >= 0.5))


def _row(
    scan: _Scan,
    around: _Around,
    bins: ArrayLike | None,
    level: float | None,
    volume_sd: float,
    s0_sd: float,
) -> dict[str, Any]:
    count = around.voxels.segments.shape[1]
    whole = fit_nerve(
        around.voxels,
        np.zeros(count, dtype=np.intp),
        sigma=level,
        volume_sd=volume_sd,
        s0_sd=s0_sd,
    )
    row: dict[str, Any] = _named(whole, 0, "")
    row |= _naive(scan, around)
    if bins is not None:
        kind = rez_bin(around.segment_s, bins)
        code = np.maximum(kind.codes, 0)  # what lies below the first edge joins the first bin
        used = np.unique(code)
        parts = fit_nerve(
            around.voxels,
            np.searchsorted(used, code),
            sigma=whole.sigma,
            volume_sd=volume_sd,
            s0_sd=s0_sd,
        )
        for number, name in enumerate(kind.categories):
            own = np.flatnonzero(used == number)
            row |= _named(parts, int(own[0]) if own.size else None, f"_{name}")
    row |= {
        "volume_ratio": whole.volume,
        "s0_ratio": whole.s0 / whole.s0_brainstem,
        "misfit": whole.misfit,
        "noise": whole.sigma,
        "converged": whole.converged,
        "at_bound": bool(whole.at_bound[0]),
    }
    return row


def _tensor_measures(ad: float, rd: float) -> Array:
    md = (ad + 2 * rd) / 3
    spread = (ad - md) ** 2 + 2 * (rd - md) ** 2
    return np.array([np.sqrt(1.5 * spread / (ad**2 + 2 * rd**2)), md, ad, rd])


def _named(fit: Unmixed, part: int | None, suffix: str) -> dict[str, float]:
    """Return the four measures and their standard errors by the delta method."""
    if part is None or (suffix and fit.at_bound[part]):
        values, errors = np.full(4, np.nan), np.full(4, np.nan)
    else:
        ad, rd = float(fit.ad[part]), float(fit.rd[part])
        values = _tensor_measures(ad, rd)
        step = 1e-4
        slope = np.column_stack(
            [
                _tensor_measures(ad + step, rd) - _tensor_measures(ad - step, rd),
                _tensor_measures(ad, rd + step) - _tensor_measures(ad, rd - step),
            ]
        ) / (2 * step)
        own = slice(2 * part, 2 * part + 2)
        covariance = fit.covariance[own, own]
        errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slope, covariance, slope), 0))
    named = {f"{name}{suffix}": float(v) for name, v in zip(_MEASURES, values, strict=True)}
    named |= {f"{name}_se{suffix}": float(v) for name, v in zip(_MEASURES, errors, strict=True)}
    return named


def _naive(scan: _Scan, around: _Around) -> dict[str, Any]:
    """Return means of ordinary tensors over a region, as it would be drawn by hand."""
    region = around.in_label
    if not region.any():
        region = around.nerve >= around.nerve.max()
    mask = np.zeros(scan.dwi.shape[:3], dtype=bool)
    mask[tuple(around.index[region].T)] = True
    fit = fit_tensor(scan.dwi, scan.gradients, mask=mask)
    means = {
        f"{name}_naive": float(np.nanmean(np.asarray(getattr(fit, name).dataobj)[mask]))
        for name in _MEASURES
    }
    return means | {"n_voxels": int(region.sum()), "nerve_voxels": float(around.nerve.sum())}


def _warn(side: Side, row: dict[str, Any]) -> None:
    if row["misfit"] > 3:
        warnings.warn(
            f"{side} nerve: the scatter about the fit is {row['misfit']:.1f} times the noise; "
            "labels and image may not lie on top of each other, or there is more than CSF, "
            "brainstem, vessels and nerve",
            DataWarning,
            stacklevel=3,
        )
    if row["at_bound"]:
        warnings.warn(
            f"{side} nerve: the fit ended at a diffusivity that no tissue has; the scan doesn't "
            "tell the nerve from its surroundings",
            DataWarning,
            stacklevel=3,
        )
    if not row["converged"]:
        warnings.warn(
            f"{side} nerve: the fit of the diffusion tensor didn't settle",
            ConvergenceWarning,
            stacklevel=3,
        )
