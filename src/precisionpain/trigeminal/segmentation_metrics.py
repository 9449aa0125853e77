"""How well a segmentation agrees with the truth: overlap, centre lines, surfaces, volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, FormatError, list_some
from ..stats import bootstrap_interval
from ._morphometry.inputs import _check_affine, _label_values, _open, _same_grid
from .anatomy import Label

__all__ = ["SEGMENTATION_CLASSES", "evaluate_segmentation", "summarize_segmentation"]

SEGMENTATION_CLASSES: dict[str, tuple[int, ...]] = {
    "brainstem": (Label.BRAINSTEM,),
    "nerve_left": (Label.NERVE_LEFT,),
    "nerve_right": (Label.NERVE_RIGHT,),
    "nerve": (Label.NERVE_LEFT, Label.NERVE_RIGHT),
    "artery": (Label.ARTERY,),
    "vein": (Label.VEIN,),
    "vessel": (Label.ARTERY, Label.VEIN),
}
"""Classes of `evaluate_segmentation` and their values; several values count as one structure."""

_METRICS = ("dice", "cldice", "hd95_mm", "asd_mm", "nsd", "volume_error_percent")
_COUNTS = ("n_voxels", "n_voxels_truth", "n_voxels_shared")
_ABSENT = "absent from both"
_NOT_FOUND = "not found: only in the truth"
_INVENTED = "invented: only in the prediction"
# Distances come from affines and in single precision; 0.5 mm must count as 0.5 mm.
_ROUNDING_MM = 1e-4

Mask = NDArray[np.bool_]


def evaluate_segmentation(
    pred: Any,
    truth: Any,
    *,
    labels: Mapping[str, int | Sequence[int]] | None = None,
    tolerance_mm: float = 0.5,
    hd_percentile: float = 95,
) -> pd.DataFrame:
    """Compare label images with the truth, class by class.

    Parameters
    ----------
    pred : path or nibabel image, or a mapping or sequence of them
        3-D label image that is judged. A mapping goes from a scan's key to its image.
    truth : path or nibabel image, or a mapping or sequence of them
        The reference, on the same grid; axes may be stored in another order or direction.
        Mappings are paired by key, sequences by position (their keys are 0, 1, …).
    labels : mapping of str to int or sequence of int, optional
        Classes and their values, such as ``{"anterior": 1, "posterior": 2, "whole": (1, 2)}``;
        other values of the images are then background. By default `SEGMENTATION_CLASSES`, and
        values that aren't a `Label` are refused.
    tolerance_mm : float, default 0.5
        Of the surface Dice: surface that lies at most this far from the other's counts.
    hd_percentile : float, default 95
        Percentile of the Hausdorff distance, above 0; 100 is the Hausdorff distance itself. The
        column is called ``hd95_mm`` all the same.

    Returns
    -------
    pandas.DataFrame
        Index ``class``, or ``scan`` and ``class`` for many scans. Columns:

        ``dice``
            2 |P ∩ T| / (|P| + |T|) of the voxels P of the prediction and T of the truth.
        ``cldice``
            Centre-line Dice: harmonic mean of the shares of P's skeleton inside T and of T's
            inside P. It is meant for tubes.
        ``hd95_mm``
            The larger of the two percentiles, of the distances from P's surface to T's and
            from T's to P's.
        ``asd_mm``
            Average symmetric surface distance: mean over all these distances.
        ``nsd``
            Surface Dice, or normalised surface distance: share of them within the tolerance.
        ``volume_mm3``, ``volume_truth_mm3``, ``volume_error_percent``
            The error is signed, of the truth's volume.
        ``n_voxels``, ``n_voxels_truth``, ``n_voxels_shared``
            |P|, |T|, |P ∩ T|.
        ``present``
            Whether the truth has the class.
        ``note``
            Why a value is not an ordinary one; empty otherwise. See Notes.

    Raises
    ------
    FormatError
        When an image isn't 3-D, or has values that are no whole numbers or no `Label`; or for
        an option out of range.
    GeometryError
        When the grids of a pair differ, or an affine is singular or sheared.
    AlignmentError
        When `pred` and `truth` have different keys or lengths.

    Notes
    -----
    Where a class is in neither image, agreement is 0/0: its metrics are NaN, not 1, lest scans
    without a vein make a segmentation of veins look good (note "absent from both"). Where it is
    in one image only, each metric takes its worst value: 0 for the shares, infinity for the
    distances ("not found: only in the truth", "invented: only in the prediction"). The volume
    error is then -100% or infinite. Empty images as a pitfall: Reinke et al., Nat Methods 21,
    182 (2024).

    A surface is the voxels of a structure that share a face with others, in mm, as in MONAI;
    where the field of view cuts a structure, the cut belongs to its surface. Each surface voxel
    counts once, also where voxels are longer than wide. Centre-line Dice: Shit et al., CVPR
    2021; the skeleton is that of Lee, Kashyap & Chu (1994) in scikit-image, which ignores the
    shape of voxels. It loses solid bars whose sections are an even number of voxels wide: such
    a piece is stood for by its voxels that lie deepest. Surface Dice: Nikolov et al., J Med
    Internet Res 23, e26151 (2021).

    Examples
    --------
    >>> import precisionpain as pp
    >>> from precisionpain.trigeminal.segmentation_metrics import evaluate_segmentation
    >>> cistern = pp.trigeminal.simulate_cistern(3, spacing=1.0, oversample=2)  # synthetic
    >>> table = evaluate_segmentation(cistern.labels, cistern.labels)
    >>> table.loc[["nerve", "vein"], ["dice", "hd95_mm", "note"]].values.tolist()
    [[1.0, 0.0, ''], [nan, nan, 'absent from both']]
    """
    classes = SEGMENTATION_CLASSES if labels is None else _as_classes(labels)
    if not 0 <= tolerance_mm < np.inf:
        raise FormatError(f"expected a tolerance of 0 mm or more, found {tolerance_mm!r}")
    if not 0 < hd_percentile <= 100:
        raise FormatError(f"expected a percentile above 0, at most 100, found {hd_percentile!r}")
    pairs = _pairs(pred, truth)
    rows: list[dict[str, Any]] = []
    for key, (one, reference) in pairs.items():
        where = "" if key is None else f" of scan {key!r}"
        p, t, spacing = _read_pair(one, reference, where, any_value=labels is not None)
        rows += [
            _compare(np.isin(p, values), np.isin(t, values), spacing, tolerance_mm, hd_percentile)
            for values in classes.values()
        ]
    names = pd.Index(list(classes), name="class")
    if None in pairs:
        return pd.DataFrame(rows, index=names)
    scans = pd.Index(list(pairs), name="scan", tupleize_cols=False)
    return pd.DataFrame(rows, index=pd.MultiIndex.from_product([scans, names]))


def summarize_segmentation(
    table: pd.DataFrame,
    *,
    subjects: Mapping[Any, Hashable] | None = None,
    level: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Summarise the agreement over scans, with bootstrap intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        From `evaluate_segmentation`; each row of a class is a scan.
    subjects : mapping, optional
        From the scan's key to the subject, where people have several scans: all scans of a
        subject are then drawn together. By default each scan is a subject.
    level : float, default 0.95
        Of the percentile intervals.
    n_bootstrap : int, default 2000
        Replicates.
    random_state : int or numpy.random.Generator, default 0
        Seed.

    Returns
    -------
    pandas.DataFrame
        Index ``class``, ``metric`` (``dice``, ``cldice``, ``hd95_mm``, ``asd_mm``, ``nsd``,
        ``volume_error_percent``). Columns:

        ``mean``, ``low``, ``high``
            Mean over the scans, and its interval; the interval is missing for fewer than two
            subjects.
        ``median``
            Over the same scans.
        ``pooled``
            For ``dice``: twice the shared voxels of all scans over all voxels of both;
            missing for the others.
        ``n``
            Scans in the mean.
        ``n_missing``
            Scans without a value, because the class is absent from both images.
        ``n_not_found``, ``n_invented``
            Scans in which only the truth, or only the prediction, has the class. They are in
            the mean with the worst value, so that a mean distance is infinite, without an
            interval, as soon as one structure was not found. Read the median, or summarise
            the rows with an empty ``note`` and say so.

    Raises
    ------
    FormatError
        When the table lacks columns or rows, or an option is out of range.
    AlignmentError
        When `subjects` lacks a scan.

    Examples
    --------
    >>> import precisionpain as pp
    >>> from precisionpain.trigeminal.segmentation_metrics import (
    ...     evaluate_segmentation, summarize_segmentation)
    >>> truth = {seed: pp.trigeminal.simulate_cistern(seed, spacing=1.0, oversample=2).labels
    ...          for seed in (3, 4)}  # synthetic
    >>> summary = summarize_segmentation(evaluate_segmentation(truth, truth), n_bootstrap=200)
    >>> summary.loc[("nerve", "dice"), ["mean", "low", "high", "pooled"]].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    lacking = [name for name in (*_METRICS, *_COUNTS, "note") if name not in table]
    if "class" not in table.index.names or lacking or table.empty:
        what = f"columns {list_some(lacking)} lacking" if lacking else "another index, or no rows"
        raise FormatError(
            f"expected the table of evaluate_segmentation, found {what}", where="table"
        )
    if not 0 < level < 1 or n_bootstrap < 2:
        raise FormatError(
            "expected a level between 0 and 1 and at least 2 replicates, found "
            f"level={level!r}, n_bootstrap={n_bootstrap!r}"
        )
    groups = _subjects(table, subjects)
    seed = random_state
    if isinstance(seed, np.random.Generator):
        # One seed for all, so that every mean is taken over the same resamples.
        seed = int(seed.integers(2**32))
    rows = {}
    for name, own in table.groupby(level="class", sort=False):
        who = groups[table.index.get_level_values("class") == name]
        shared, total = own["n_voxels_shared"].sum(), own[list(_COUNTS[:2])].to_numpy().sum()
        for metric in _METRICS:
            values = own[metric].to_numpy(dtype=float)
            known = ~np.isnan(values)
            low, high = _interval(values[known], who[known], level, n_bootstrap, seed)
            some = bool(known.any())
            rows[name, metric] = {
                "mean": values[known].mean() if some else np.nan,
                "low": low,
                "high": high,
                "median": np.median(values[known]) if some else np.nan,
                "pooled": 2 * shared / total if metric == "dice" and total else np.nan,
                "n": int(known.sum()),
                "n_missing": int((~known).sum()),
                "n_not_found": int((own["note"] == _NOT_FOUND).sum()),
                "n_invented": int((own["note"] == _INVENTED).sum()),
            }
    index = pd.MultiIndex.from_tuples(list(rows), names=["class", "metric"])
    return pd.DataFrame(list(rows.values()), index=index)


def _interval(
    values: NDArray[np.float64], who: NDArray[Any], level: float, n_boot: int, seed: Any
) -> tuple[float, float]:
    if len(np.unique(who)) < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    found = bootstrap_interval(
        np.mean, values, groups=who, n_boot=n_boot, confidence=level, random_state=seed
    )
    return found.ci_low, found.ci_high


def _subjects(table: pd.DataFrame, subjects: Mapping[Any, Hashable] | None) -> NDArray[Any]:
    if subjects is None:
        return np.arange(len(table))
    if "scan" not in table.index.names:
        raise FormatError("subjects are named by scan, and the table has no scans", where="table")
    scans = table.index.get_level_values("scan")
    unknown = [scan for scan in scans.unique() if scan not in subjects]
    if unknown:
        raise AlignmentError(f"no subject for scan {list_some(unknown)}", where="subjects")
    codes: dict[Hashable, int] = {}
    return np.array([codes.setdefault(subjects[scan], len(codes)) for scan in scans])


def _as_classes(labels: Mapping[str, int | Sequence[int]]) -> dict[str, tuple[int, ...]]:
    if not isinstance(labels, Mapping) or not labels:
        raise FormatError(
            f"expected names and their values, found {labels!r}",
            where="labels",
            remedy='pass a mapping such as {"anterior": 1, "whole": (1, 2)}',
        )
    classes = {}
    for name, given in labels.items():
        values = np.atleast_1d(np.asarray(given))
        whole = values.ndim == 1 and values.size and np.issubdtype(values.dtype, np.integer)
        if not whole or (values == 0).any():
            raise FormatError(
                f"expected one or more whole numbers other than 0 (background) for class "
                f"{name!r}, found {given!r}",
                where="labels",
            )
        classes[name] = tuple(int(value) for value in values)
    return classes


def _pairs(pred: Any, truth: Any) -> dict[Any, tuple[Any, Any]]:
    """Return key → (prediction, truth); the key of a single scan is None."""
    kinds = []
    for source in (pred, truth):
        many = isinstance(source, Sequence) and not isinstance(source, str | bytes)
        kinds.append("mapping" if isinstance(source, Mapping) else "sequence" if many else "image")
    if kinds[0] != kinds[1]:
        raise AlignmentError(
            f"expected prediction and truth of the same kind, found {kinds[0]} and {kinds[1]}",
            remedy="pass two images, or two mappings from the same keys to images",
        )
    if kinds[0] == "image":
        return {None: (pred, truth)}
    if len(pred) == 0 and len(truth) == 0:
        raise FormatError("there are no scans to compare")
    if kinds[0] == "sequence":
        if len(pred) != len(truth):
            raise AlignmentError(
                f"expected as many predictions as truths, found {len(pred)} and {len(truth)}",
                remedy="pass mappings from the scan's key to its image",
            )
        return dict(enumerate(zip(pred, truth, strict=True)))
    for what, extra in (
        ("truth", [key for key in pred if key not in truth]),
        ("prediction", [key for key in truth if key not in pred]),
    ):
        if extra:
            raise AlignmentError(
                f"no {what} for scan {list_some(extra)}",
                remedy="pass the same keys on both sides; a scan that could not be segmented "
                "counts as an image of zeros",
            )
    return {key: (image, truth[key]) for key, image in pred.items()}


def _read_pair(
    pred: Any, truth: Any, where: str, *, any_value: bool
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], NDArray[np.float64]]:
    """Return both label arrays in the same order of axes, and the voxel's edges in mm."""
    import nibabel

    opened = []
    for source, what in ((truth, "truth"), (pred, "prediction")):
        image, place = _open(source, what + where)
        if image.ndim != 3:
            raise FormatError(
                f"expected a 3-D label image, found {image.ndim}-D of shape {image.shape}",
                where=place,
                remedy="pass one volume; of probabilities, the label of the largest",
            )
        _check_affine(image.affine, place)
        opened.append((image, place))
    (reference, place), (other, other_place) = opened
    canonical = nibabel.as_closest_canonical(reference)
    moved = _same_grid(other, reference, canonical, other_place)
    read = _whole_numbers if any_value else _label_values
    p = read(np.asanyarray(moved.dataobj), other_place)
    t = read(np.asanyarray(canonical.dataobj), place)
    return p, t, np.linalg.norm(canonical.affine[:3, :3], axis=0)


def _whole_numbers(data: NDArray[Any], where: str) -> NDArray[np.integer[Any]]:
    if np.issubdtype(data.dtype, np.integer) or data.dtype == bool:
        return data
    if not np.issubdtype(data.dtype, np.floating):
        raise FormatError(f"expected whole numbers as labels, found {data.dtype}", where=where)
    odd = data[~(np.isfinite(data) & (data == np.round(data)))]
    if odd.size:
        raise FormatError(
            f"expected whole numbers as labels, found {list_some(np.unique(odd), 3)}",
            where=where,
            remedy="pass labels; resample label images with nearest neighbours",
        )
    return data.astype(np.int64)


def _compare(
    pred: Mask,
    truth: Mask,
    spacing: NDArray[np.float64],
    tolerance_mm: float,
    hd_percentile: float,
) -> dict[str, Any]:
    voxel = float(np.prod(spacing))
    n, n_truth, shared = (int(m.sum()) for m in (pred, truth, pred & truth))
    row: dict[str, Any] = dict.fromkeys(_METRICS[:5], np.nan)
    row |= {
        "volume_mm3": n * voxel,
        "volume_truth_mm3": n_truth * voxel,
        "volume_error_percent": 100 * (n - n_truth) / n_truth if n_truth else np.nan,
        "n_voxels": n,
        "n_voxels_truth": n_truth,
        "n_voxels_shared": shared,
        "present": n_truth > 0,
        "note": "",
    }
    if n == 0 and n_truth == 0:
        row["note"] = _ABSENT
    elif n == 0 or n_truth == 0:
        row |= {"dice": 0.0, "cldice": 0.0, "nsd": 0.0, "hd95_mm": np.inf, "asd_mm": np.inf}
        row["note"] = _NOT_FOUND if n == 0 else _INVENTED
        if n_truth == 0:
            row["volume_error_percent"] = np.inf
    else:
        pred, truth = _crop(pred, truth)
        there, back = _surface_distances(pred, truth, spacing)
        both = np.concatenate([there, back])
        row["dice"] = 2 * shared / (n + n_truth)
        row["cldice"] = _cldice(pred, truth)
        row["hd95_mm"] = max(float(np.percentile(d, hd_percentile)) for d in (there, back))
        row["asd_mm"] = float(both.mean())
        row["nsd"] = float(np.mean(both <= tolerance_mm + _ROUNDING_MM))
    return row


def _crop(pred: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Cut both to what either covers, within a margin of one voxel of background."""
    either = pred | truth
    box = []
    for axis in range(3):
        seen = np.flatnonzero(either.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(seen[0], seen[-1] + 1))
    return np.pad(pred[tuple(box)], 1), np.pad(truth[tuple(box)], 1)


def _surface_distances(
    pred: Mask, truth: Mask, spacing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of each surface voxel of one mask to the other's surface, mm."""
    from monai.metrics import get_mask_edges, get_surface_distance

    one, other = get_mask_edges(pred, truth, crop=False)
    there, back = (
        np.asarray(get_surface_distance(a, b, spacing=spacing), dtype=float)
        for a, b in ((one, other), (other, one))
    )
    return there, back


def _cldice(pred: Mask, truth: Mask) -> float:
    precision = truth[_skeleton(pred)].mean()
    recall = pred[_skeleton(truth)].mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _skeleton(mask: Mask) -> Mask:
    from scipy import ndimage
    from skimage.morphology import skeletonize

    lines = np.asarray(skeletonize(mask), dtype=bool)
    pieces, n = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    lost = np.setdiff1d(np.arange(1, n + 1), pieces[lines])
    if len(lost):
        # Thinning can peel a solid bar to nothing; its deepest voxels mark its middle.
        rest = np.isin(pieces, lost)
        depth = ndimage.distance_transform_edt(rest)
        lines |= rest & (depth == ndimage.maximum_filter(depth, 3))
    return lines
