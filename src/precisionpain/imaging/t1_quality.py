"""Quality of T1-weighted scans, as MRIQC measures it, and who stands out in a cohort.

Formulas: Esteban et al., PLoS ONE 12, e0184661, 2017 (MRIQC), and the sources named with each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import FormatError, GeometryError
from ._registration.template import load_template
from .files import load_image
from .grids import resample_to_grid
from .registration import Registration

if TYPE_CHECKING:
    from pathlib import Path

    from nibabel.spatialimages import SpatialImage

__all__ = ["quality_flags", "scan_quality", "t1_quality"]

# Which end of each measure is the bad one.
_WORSE = {
    "snr_csf": "low", "snr_gm": "low", "snr_wm": "low", "snr": "low", "snr_dietrich": "low",
    "cnr": "low", "cjv": "high", "efc": "high", "fber": "low", "wm2max": "both", "qi1": "high",
    "template_correlation": "low", "folds_correlation": "low", "mask_dice": "low",
    "fov_clipping": "high", "min_stretch": "both", "max_stretch": "both",
    "log_jacobian_min": "both", "log_jacobian_max": "both", "left_right_gain": "low",
}  # fmt: skip


def t1_quality(
    data: np.ndarray,
    *,
    csf: np.ndarray,
    gm: np.ndarray,
    wm: np.ndarray,
    head: np.ndarray,
    air: np.ndarray | None = None,
) -> dict[str, float]:
    """Measure signal, contrast and artefacts of a T1-weighted scan.

    Parameters
    ----------
    data : numpy.ndarray, shape (x, y, z)
        Intensities as the scanner gave them.
    csf, gm, wm : numpy.ndarray of bool, same shape
        Fluid, grey and white matter.
    head : numpy.ndarray of bool, same shape
        Everything that isn't air.
    air : numpy.ndarray of bool, same shape, optional
        Air to look for artefacts in; by default all that isn't head.

    Returns
    -------
    dict of str to float
        Without unit, with μ a median, σ a standard deviation:

        - ``snr_csf``, ``snr_gm``, ``snr_wm``: μ / (σ √(n / (n − 1))) of the tissue; ``snr``
          their mean; ``snr_dietrich``: μ of the three tissues / (σ of air · √(2 / (4 − π))),
          also a mean.
        - ``cnr``: |μ_wm − μ_gm| / √(σ²_air + σ²_wm + σ²_gm).
        - ``cjv``, coefficient of joint variation: (σ_wm + σ_gm) / |μ_wm − μ_gm|.
        - ``efc``, entropy of the energy: 0 when one voxel has it all, 1 when all have the same.
        - ``fber``: median energy of the head over that of air.
        - ``wm2max``: μ_wm over the 99.95th percentile of the scan.
        - ``qi1``: share of air with artefacts: voxels more than 10 robust deviations above the
          median of air that survive an opening with a cross of 7 voxels.

        What needs air is missing where most of it was set to zero, as scanners and defacing do;
        ``cnr`` is then without its noise.

    Raises
    ------
    GeometryError
        When the shapes differ.
    FormatError
        When values aren't finite, or a tissue has fewer than two voxels.

    Notes
    -----
    SNR of air: Dietrich et al., JMRI 26, 375, 2007. CNR: Magnotta & Friedman, J Digit Imaging
    19, 140, 2006. CJV: Ganzetti et al., Front Neuroinform 10, 10, 2016. EFC: Atkinson et al.,
    IEEE TMI 16, 903, 1997. QI1: after Mortamet et al., MRM 62, 365, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> scan = np.random.default_rng(0).normal(0, 5, (20, 20, 20))
    >>> parts = np.arange(20)[:, None, None] // 5 * np.ones(scan.shape)
    >>> scan += np.array([0, 100, 200, 300])[parts.astype(int)]
    >>> found = pp.imaging.t1_quality(scan, csf=parts == 1, gm=parts == 2, wm=parts == 3,
    ...                               head=parts > 0)
    >>> round(found["cjv"], 1)
    0.1
    """
    from scipy import ndimage

    data = np.asarray(data)
    tissues = {"csf": csf, "gm": gm, "wm": wm}
    air = ~np.asarray(head, bool) if air is None else air
    masks = {
        name: np.asarray(mask, bool) for name, mask in {**tissues, "head": head, "air": air}.items()
    }
    for name, mask in masks.items():
        if mask.shape != data.shape:
            raise GeometryError(f"expected shape {data.shape}, found {mask.shape}", where=name)
        if name != "air" and mask.sum() < 2:
            raise FormatError(f"expected two voxels or more, found {mask.sum()}", where=name)
    if not np.isfinite(data).all():
        raise FormatError("the scan has values that aren't finite", where="data")
    data = data.astype(np.float64)
    inside = {name: data[masks[name]] for name in tissues}
    middle = {name: float(np.median(values)) for name, values in inside.items()}
    spread = {name: float(values.std()) for name, values in inside.items()}
    found: dict[str, float] = {}
    for name, values in inside.items():
        sigma = spread[name] * np.sqrt(values.size / (values.size - 1))
        found[f"snr_{name}"] = _ratio(middle[name], sigma)
    found["snr"] = float(np.mean([found[f"snr_{name}"] for name in tissues]))

    around = data[masks["air"]]
    # Zeroed air has no noise that could be measured.
    noise = float(around.std()) if around.size and (around != 0).mean() > 0.5 else np.nan
    dietrich = noise * np.sqrt(2.0 / (4.0 - np.pi))
    found["snr_dietrich"] = _ratio(float(np.mean(list(middle.values()))), dietrich)
    contrast = abs(middle["wm"] - middle["gm"])
    # MRIQC takes noise as 0 where it can't be measured; the tissues' own spread is left.
    total = np.sqrt(np.nan_to_num(noise) ** 2 + spread["wm"] ** 2 + spread["gm"] ** 2)
    found["cnr"] = _ratio(contrast, total)
    found["cjv"] = _ratio(spread["wm"] + spread["gm"], contrast)
    found["efc"] = _entropy_focus(data)
    energy = float(np.median(around**2)) if np.isfinite(noise) else np.nan
    found["fber"] = _ratio(float(np.median(data[masks["head"]] ** 2)), energy)
    found["wm2max"] = _ratio(middle["wm"], float(np.percentile(data, 99.95)))
    found["qi1"] = np.nan
    if np.isfinite(noise):
        floor = float(np.median(around))
        deviation = 1.4826 * float(np.median(np.abs(around - floor)))
        odd = masks["air"] & (data > floor + 10.0 * deviation)
        found["qi1"] = float(ndimage.binary_opening(odd).sum() / masks["air"].sum())
    return found


def scan_quality(
    image: SpatialImage | str | Path,
    registration: Registration,
    template: SpatialImage | str | Path | None = None,
) -> dict[str, float]:
    """Measure a scan on its own grid, with tissues found through its registration.

    Parameters
    ----------
    image : nibabel image, str or Path
        The scan as it was before the registration.
    registration : Registration
        Of that scan; one by SPM has no transform, and its scan is measured in MNI space.
    template : nibabel image, str or Path, optional
        The one that the scan was registered to.

    Returns
    -------
    dict of str to float
        As `t1_quality`, and the measures of the registration.

    Raises
    ------
    FormatError
        When no tissues can be told apart.

    Notes
    -----
    Tissues are three classes of intensity (Otsu) in the brain as found, less a voxel of each;
    they are for contrast and noise, not for volumes. The head is what an Otsu threshold keeps,
    filled; air is what is 10 mm or more from it, above the middle of the brain less 30 mm,
    where no face or neck sends ghosts.

    Examples
    --------
    >>> import precisionpain as pp
    >>> done = pp.imaging.register_to_template("T1w.nii.gz")  # doctest: +SKIP
    >>> pp.imaging.scan_quality("T1w.nii.gz", done)["cjv"]  # doctest: +SKIP
    0.37
    """
    from scipy import ndimage
    from skimage.filters import threshold_multiotsu, threshold_otsu

    scan: Any = load_image(image) if not hasattr(image, "affine") else image
    if len(scan.shape) == 4 and scan.shape[3] == 1:
        scan = scan.slicer[..., 0]
    transform = registration.transform
    if transform is None:
        scan, transform = registration.image, np.eye(4)
    data = np.asarray(scan.dataobj, dtype=np.float32)
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    onto = (scan.shape, scan.affine)
    back = np.linalg.inv(transform)
    brain = resample_to_grid(registration.brain, *onto, order=0, transform=back)
    inside = np.asarray(brain.dataobj) > 0
    values = data[inside]
    try:
        low, high = threshold_multiotsu(np.clip(values, None, np.percentile(values, 99.5)), 3)
    except (ValueError, IndexError) as error:
        raise FormatError(f"no three tissues can be told apart in the brain ({error})") from error
    classes = {"csf": inside & (data <= low), "gm": inside & (data > low) & (data <= high),
               "wm": inside & (data > high)}  # fmt: skip
    for name, mask in classes.items():
        core = ndimage.binary_erosion(mask)  # without voxels of two tissues
        classes[name] = core if core.sum() >= 100 else mask

    some = data[::2, ::2, ::2]
    solid = data > 0.5 * threshold_otsu(np.minimum(some, np.percentile(some, 98)))
    solid = ndimage.binary_opening(solid) | inside
    head = ndimage.binary_fill_holes(solid)
    coarse = np.maximum(1, np.round(4.0 / spacing)).astype(int)
    every = tuple(slice(None, None, int(step)) for step in coarse)
    far = ndimage.distance_transform_edt(~head[every], sampling=spacing * coarse) >= 10.0
    onto_template = load_template(template)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in far.shape), indexing="ij"), axis=-1)
    world = index * coarse @ (back @ scan.affine)[2, :3] + (back @ scan.affine)[2, 3]
    far &= world > onto_template.centre[2] - 30.0
    air = np.kron(far, np.ones(coarse, bool))[tuple(slice(0, n) for n in data.shape)] & ~head
    return {**t1_quality(data, **classes, head=head, air=air), **registration.quality}


def quality_flags(table: pd.DataFrame, threshold: float = 3.5) -> pd.DataFrame:
    """Say which scans stand out from the others of their cohort.

    There are no thresholds that fit every scanner, so each measure is compared with its median
    in the cohort, in units of the scaled median absolute deviation.

    Parameters
    ----------
    table : pandas.DataFrame
        Measures of quality as columns, one scan a row; other columns are ignored.
    threshold : float, default 3.5
        How many robust deviations in the bad direction are too many (Iglewicz & Hoaglin 1993).

    Returns
    -------
    pandas.DataFrame
        Index as `table`: the robust z of each measure, ``flagged`` (bool), and ``reasons``, the
        measures that stand out, with their z. Missing measures aren't flagged.

    Raises
    ------
    FormatError
        When the table has no measure of quality, or the threshold isn't above 0.

    Notes
    -----
    In fewer than about ten scans a deviation is itself uncertain. A measure that is the same in
    more than half of the scans has a deviation of 0; whatever differs from it is then left
    unjudged.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> table = pd.DataFrame({"cjv": [0.40, 0.42, 0.39, 0.41, 0.95]}, index=list("abcde"))
    >>> pp.imaging.quality_flags(table)["reasons"].tolist()
    ['', '', '', '', 'cjv (z 36.4)']
    """
    names = [name for name in _WORSE if name in table]
    if not names:
        raise FormatError("expected columns such as 'cjv', 'snr' or 'mask_dice', found none")
    if not (np.isfinite(threshold) and threshold > 0):
        raise FormatError(f"expected a threshold above 0, found {threshold!r}")
    values = table[names].astype(float)
    middle = values.median()
    deviation = 1.4826 * (values - middle).abs().median()
    scores = (values - middle) / deviation.where(deviation > 0)
    toward = {"low": -1.0, "high": 1.0}
    bad = pd.DataFrame(
        {
            name: (scores[name].abs() if _WORSE[name] == "both"
                   else toward[_WORSE[name]] * scores[name]) > threshold
            for name in names
        }
    )  # fmt: skip
    reasons = [
        ", ".join(
            f"{name} (z {z:.1f})" for name, z, out in zip(names, line, odd, strict=True) if out
        )
        for line, odd in zip(scores.to_numpy(), bad.to_numpy(), strict=True)
    ]
    return scores.assign(flagged=bad.any(axis=1), reasons=reasons)


def _ratio(above: float, below: float) -> float:
    return float(above / below) if np.isfinite(below) and below > 0 else np.nan


def _entropy_focus(data: np.ndarray) -> float:
    """Shannon entropy of the share of energy that each voxel has, over its maximum."""
    share = np.abs(data[data != 0]) / np.linalg.norm(data)
    most = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    return float(-(share * np.log(share)).sum() / most)
