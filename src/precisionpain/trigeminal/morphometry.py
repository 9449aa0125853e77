"""Measures of neurovascular compression from a label image: sizes, contact, deformation."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataWarning, FormatError
from .anatomy import REZ_BINS, SIDES, Side, rez_bin

if TYPE_CHECKING:
    from ._morphometry.trace import Traced

__all__ = [
    "EXTRA_MEASURES",
    "INTERVAL_MEASURES",
    "MEASURES",
    "NerveTrace",
    "VesselTrace",
    "area_profile",
    "asymmetry",
    "measure_compression",
    "trace_nerves",
]

MEASURES: tuple[str, ...] = (
    "volume_mm3", "length_mm", "mean_area_mm2", "min_area_mm2", "min_area_position_mm",
    "flattening", "angle_deg", "gap_mm", "contact_area_mm2", "contact_length_mm",
    "contact_position_mm", "n_contacts", "vessel", "vessel_diameter_mm", "crossing_angle_deg",
    "displacement_mm", "indentation_mm", "area_loss_percent", "sindou_grade",
)  # fmt: skip
"""The measures of `measure_compression`, in the order of its columns."""

EXTRA_MEASURES: tuple[str, ...] = (
    "contact_area_0_mm2", "contact_area_1_mm2", "contact_proximal_mm", "contact_arc_fraction",
    "diameter_mm", "curvature_per_mm", "tortuosity",
)  # fmt: skip
"""Further measures, after those."""

INTERVAL_MEASURES: tuple[str, ...] = (
    "volume_mm3", "length_mm", "mean_area_mm2", "min_area_mm2", "flattening", "angle_deg",
    "gap_mm", "contact_area_mm2", "contact_length_mm", "contact_position_mm",
    "vessel_diameter_mm", "crossing_angle_deg", "displacement_mm", "indentation_mm",
    "area_loss_percent", "contact_area_0_mm2", "contact_area_1_mm2",
)  # fmt: skip
"""Measures that come with an interval: columns ``<measure>_low`` and ``<measure>_high``."""


@dataclasses.dataclass(frozen=True)
class VesselTrace:
    """A piece of a vessel near a nerve.

    Parameters
    ----------
    kind : {"artery", "vein"}
        As it is labelled.
    centreline : numpy.ndarray of shape (n, 3)
        World coordinates, mm.
    diameter_mm : numpy.ndarray of shape (n,)
        Diameter of the circle with the section's area.
    """

    kind: str
    centreline: np.ndarray
    diameter_mm: np.ndarray


class NerveTrace:
    """One nerve traced through a label image: centreline, wall, and the vessels near it.

    Made by `trace_nerves`. All is in mm and in the world coordinates of the label image; s is
    arc length from the pons surface.

    Attributes
    ----------
    side : {"left", "right"}
        Anatomical side.
    length_mm : float
        Arc length from the pons to the end of the label.
    flags : tuple of str
        What a reader should know of this nerve; empty when nothing is amiss.
    vessels : tuple of VesselTrace
        Vessels traced within 6 mm.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3)  # synthetic
    >>> left = pp.trigeminal.trace_nerves(cistern.labels)["left"]
    >>> left.profile().columns.tolist()[:4]
    ['s_mm', 's_over_length', 'rez_bin', 'area_mm2']
    """

    def __init__(self, traced: Traced) -> None:
        self._traced = traced
        self.side: Side = traced.fit.side
        self.length_mm: float = traced.fit.length
        self.flags: tuple[str, ...] = traced.flags

    def __repr__(self) -> str:
        found = f"{len(self.vessels)} vessel{'s' * (len(self.vessels) != 1)} near"
        return f"NerveTrace({self.side}, {self.length_mm:.1f} mm, {found})"

    @property
    def vessels(self) -> tuple[VesselTrace, ...]:
        """Vessels traced near the nerve."""
        theta = np.arange(48) * (2 * np.pi / 48)
        out = []
        for vessel in self._traced.vessels:
            curve = vessel.tube.curve
            radius = vessel.tube.grid(curve.s, theta)
            diameter = 2 * np.sqrt(np.mean(radius**2, axis=1))
            out.append(VesselTrace(vessel.kind, curve.points, diameter))
        return tuple(out)

    def measures(self) -> dict[str, Any]:
        """Return all measures of this nerve.

        Returns
        -------
        dict
            `MEASURES` and `EXTRA_MEASURES` → values, as in `measure_compression`.
        """
        found = self._traced.geometry.measure()
        return {name: found[name] for name in (*MEASURES, *EXTRA_MEASURES)}

    def contact(self, tolerance_mm: float = 0.5) -> dict[str, float]:
        """Return the contact within a tolerance.

        Parameters
        ----------
        tolerance_mm : float, default 0.5
            Nerve surface that lies at most this far from a vessel counts.

        Returns
        -------
        dict
            ``area_mm2``, ``length_mm`` (of s that the patch covers), ``position_mm`` (s of its
            centroid), ``proximal_mm`` (its least s), ``arc_fraction`` (its largest share of a
            section's perimeter), ``n`` (connected patches).

        Raises
        ------
        FormatError
            When the tolerance is negative.
        """
        if not tolerance_mm >= 0:
            raise FormatError(f"expected a tolerance of 0 mm or more, found {tolerance_mm!r}")
        return self._traced.geometry.contact(float(tolerance_mm))

    def centreline(self, step_mm: float = 0.1) -> pd.DataFrame:
        """Return the centreline.

        Parameters
        ----------
        step_mm : float, default 0.1
            Distance of the points.

        Returns
        -------
        pandas.DataFrame
            ``s_mm``, ``x``, ``y``, ``z`` (world, mm) from the pons to the end.
        """
        s = np.linspace(0, self.length_mm, max(round(self.length_mm / step_mm), 2) + 1)
        points = self._traced.fit.wall.curve.at(s)
        return pd.DataFrame({"s_mm": s, "x": points[:, 0], "y": points[:, 1], "z": points[:, 2]})

    def profile(self, bins: Sequence[float] = REZ_BINS) -> pd.DataFrame:
        """Return sections along the nerve, every 0.1 mm.

        Parameters
        ----------
        bins : sequence of float, default (0, 3, 5, 7)
            Edges of the bins of the root entry zone, mm; see `rez_bin`.

        Returns
        -------
        pandas.DataFrame
            ``s_mm``, ``s_over_length``, ``rez_bin``, ``area_mm2``, ``undented_area_mm2`` (of
            the ellipse interpolated past dents), semi-axes ``major_mm`` and ``minor_mm`` by
            second moments, ``flattening``, ``exposed`` (share of the perimeter outside the
            pons; sections near s = 0 are completed from those further out),
            ``vessel_distance_mm`` (least signed distance of the section's wall to a vessel;
            missing without one), ``contact`` (whether it is at most 0.5 mm).
        """
        table = self._traced.geometry.sections()
        table.insert(1, "s_over_length", table["s_mm"] / self.length_mm)
        table.insert(2, "rez_bin", pd.Series(rez_bin(table["s_mm"], bins), index=table.index))
        return table

    def surface(self) -> dict[str, np.ndarray]:
        """Return the nerve's wall as a triangle mesh, with its distance to vessels.

        Returns
        -------
        dict
            ``vertices`` (n, 3) in world mm, ``faces`` (m, 3), ``vessel_distance_mm`` (n,;
            infinite without a vessel), ``s_mm`` (n,).
        """
        return self._traced.geometry.mesh()

    def vessel_surfaces(self) -> list[dict[str, Any]]:
        """Return the walls of the vessels as triangle meshes.

        Returns
        -------
        list of dict
            ``kind``, ``vertices`` and ``faces``, as in `surface`.
        """
        return self._traced.geometry.vessel_meshes()


def trace_nerves(
    labels: Any,
    *,
    probabilities: Any = None,
    predicted: bool | None = None,
    max_spacing_mm: float = 1.2,
) -> dict[Side, NerveTrace | None]:
    """Trace both nerves through a label image.

    The parts of `measure_compression`, for who wants more than its table: centrelines,
    profiles, surfaces, contact at any tolerance.

    Parameters
    ----------
    labels : path or nibabel image
        See `measure_compression`.
    probabilities : path or nibabel image, optional
        See `measure_compression`.
    predicted : bool, optional
        See `measure_compression`.
    max_spacing_mm : float, default 1.2
        See `measure_compression`.

    Returns
    -------
    dict of {"left", "right"} to NerveTrace or None
        None where there is no nerve to trace, with a `DataWarning`.

    Raises
    ------
    FormatError, GeometryError
        As `measure_compression`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3)  # synthetic
    >>> sorted(pp.trigeminal.trace_nerves(cistern.labels))
    ['left', 'right']
    """
    traced, problems = _trace(labels, None, probabilities, predicted, max_spacing_mm)
    for side, problem in problems.items():
        warnings.warn(f"{side} nerve: {problem}", DataWarning, stacklevel=2)
    return {side: None if one is None else NerveTrace(one) for side, one in traced.items()}


def _trace(
    labels: Any, image: Any, probabilities: Any, predicted: bool | None, max_spacing_mm: float
) -> tuple[dict[Side, Traced | None], dict[Side, str]]:
    from ._morphometry.inputs import read_scan
    from ._morphometry.trace import Untraceable, trace_side

    scan, _ = read_scan(
        labels, image, probabilities, predicted=predicted, max_spacing_mm=max_spacing_mm
    )

    def one_side(side: Side) -> Traced | str:
        try:
            return trace_side(scan, side)
        except Untraceable as error:
            return str(error)

    # Most of the work is in NumPy and SciPy, which let the other side go on meanwhile.
    with ThreadPoolExecutor(len(SIDES)) as pool:
        found = dict(zip(SIDES, pool.map(one_side, SIDES), strict=True))
    traced: dict[Side, Traced | None] = {}
    problems: dict[Side, str] = {}
    for side, one in found.items():
        if isinstance(one, str):
            traced[side], problems[side] = None, one
            continue
        traced[side] = one
        if one.flags:
            problems[side] = "; ".join(one.flags)
    left, right = traced["left"], traced["right"]
    if left is not None and right is not None:
        # World x grows to the patient's right.
        middle = {o.fit.side: o.fit.wall.curve.points.mean(axis=0)[0] for o in (left, right)}
        if middle["left"] > middle["right"]:
            note = (
                "the nerve labelled left lies to the right of the other: the labels are swapped, "
                "or the affine is wrong"
            )
            problems = {side: "; ".join(filter(None, [problems.get(side), note])) for side in SIDES}
    return traced, problems


def measure_compression(
    labels: Any,
    image: Any = None,
    *,
    probabilities: Any = None,
    predicted: bool | None = None,
    intervals: bool = True,
    max_spacing_mm: float = 1.2,
) -> pd.DataFrame:
    """Measure both trigeminal nerves and their contact with vessels.

    The wall of each nerve and vessel is fitted as a smooth tube to the voxels: to their
    partial volumes where `probabilities` are given, else to the mask, whose bias (a voxel
    goes to the label that fills most of it) is part of the model. Measures are taken from
    these surfaces, not from voxels.

    Parameters
    ----------
    labels : path or nibabel image
        3-D label image with the values of `Label`; voxels of at most `max_spacing_mm`, any
        orientation (oblique, flipped, permuted axes). Sides are those of the labels.
    image : path or nibabel image, optional
        The intensity image that was segmented. Its grid is checked against that of `labels`.
    probabilities : path or nibabel image, optional
        4-D on the same grid, last axis in the order of `Label`: partial volumes, or the
        probabilities of a segmentation.
    predicted : bool, optional
        Whether `probabilities` are a network's estimate. The fit then trusts them less, what is
        called nerve beyond the fitted wall and beside a vessel counts as the vessel's, and
        intervals are those that held on phantoms that a network segmented. By default the header
        of `probabilities` tells: those of `Segmentation`, and the files of ``precisionpain
        segment``, have the NIfTI intent ``estimate``. Say True for those of another program.
    intervals : bool, default True
        Whether to add 95% intervals, ``<measure>_low`` and ``<measure>_high``. They hold for
        the surfaces given the labels; an error of the segmentation is in them only where
        probabilities are `predicted`, and only as large as the packaged network's on phantoms.
    max_spacing_mm : float, default 1.2
        Coarser voxels are refused.

    Returns
    -------
    pandas.DataFrame
        Index ``side`` ("left", "right"); columns `MEASURES`, `EXTRA_MEASURES`, the
        intervals, and ``flags`` (text, empty when nothing is amiss). A side without a nerve
        has missing values. Positions are arc length from the pons surface; the how-to lists
        every definition with its source and accuracy.

    Raises
    ------
    FormatError
        When `labels` has unknown values, is empty, or is no 3-D image; or `probabilities` are
        none.
    GeometryError
        When an affine is singular or sheared, voxels are too coarse, or grids differ.

    Warns
    -----
    DataWarning
        For each nerve that is absent, cut by the field of view or in pieces.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3)  # synthetic
    >>> table = pp.trigeminal.measure_compression(cistern.labels)
    >>> table.index.tolist()
    ['left', 'right']
    >>> bool(abs(table.loc["left", "length_mm"] - cistern.truth.loc["left", "length_mm"]) < 0.3)
    True
    """
    traced, problems = _trace(labels, image, probabilities, predicted, max_spacing_mm)
    for side, problem in problems.items():
        warnings.warn(f"{side} nerve: {problem}", DataWarning, stacklevel=2)
    rows = {}
    for side, one in traced.items():
        row: dict[str, Any] = dict.fromkeys((*MEASURES, *EXTRA_MEASURES), np.nan)
        row["vessel"] = None
        if one is not None:
            row.update(NerveTrace(one).measures())
        if intervals:
            row.update(_intervals(one, row))
        row["flags"] = problems.get(side, "")
        rows[side] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "side"
    for name in ("n_contacts", "sindou_grade"):
        table[name] = table[name].astype("Int64")
    return table


def _intervals(one: Traced | None, row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    from ._morphometry.uncertainty import intervals

    found = {} if one is None else intervals(one, row, INTERVAL_MEASURES)
    for name in INTERVAL_MEASURES:
        low, high = found.get(name, (np.nan, np.nan))
        yield f"{name}_low", low
        yield f"{name}_high", high


def area_profile(
    labels: Any,
    *,
    probabilities: Any = None,
    predicted: bool | None = None,
    bins: Sequence[float] = REZ_BINS,
    max_spacing_mm: float = 1.2,
) -> pd.DataFrame:
    """Return the sections along both nerves.

    Parameters
    ----------
    labels : path, nibabel image, or what `trace_nerves` returned
        See `measure_compression`.
    probabilities : path or nibabel image, optional
        See `measure_compression`.
    predicted : bool, optional
        See `measure_compression`.
    bins : sequence of float, default (0, 3, 5, 7)
        Edges of the bins of the root entry zone, mm; see `rez_bin`.
    max_spacing_mm : float, default 1.2
        See `measure_compression`.

    Returns
    -------
    pandas.DataFrame
        ``side``, then the columns of `NerveTrace.profile`.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cistern = pp.trigeminal.simulate_cistern(3)  # synthetic
    >>> profile = pp.trigeminal.area_profile(cistern.labels)
    >>> profile.groupby(["side", "rez_bin"], observed=True)["area_mm2"].mean().shape[0] > 2
    True
    """
    traces = (
        labels
        if isinstance(labels, Mapping)
        else trace_nerves(
            labels, probabilities=probabilities, predicted=predicted, max_spacing_mm=max_spacing_mm
        )
    )
    parts = []
    for side, trace in traces.items():
        if trace is not None:
            part = trace.profile(bins)
            part.insert(0, "side", side)
            parts.append(part)
    if not parts:
        raise FormatError("neither nerve could be traced, so there is no profile")
    return pd.concat(parts, ignore_index=True)


def asymmetry(measures: pd.DataFrame, affected_side: Side | None = None) -> pd.Series:
    """Compare the two nerves of a person.

    Parameters
    ----------
    measures : pandas.DataFrame
        Rows "left" and "right", numeric columns: from `measure_compression`.
    affected_side : {"left", "right"}, optional
        The painful side; None when no side is.

    Returns
    -------
    pandas.Series
        For each numeric measure (U − A) / U, of the unaffected U and affected A: positive when
        the painful nerve has less. Without an affected side, 2 (L − R) / (L + R). Missing
        where the denominator is 0.

    Raises
    ------
    FormatError
        When a side is missing from the table, or the affected side is neither.

    Notes
    -----
    Of 100 patients 63 had the smaller nerve on the painful side, 35 the larger ("MRI-based
    volumetry in trigeminal neuralgia", Journal of Spine & Neurosurgery), so an asymmetry alone
    doesn't tell the side.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"volume_mm3": [60.0, 80.0]}, index=["left", "right"])
    >>> float(asymmetry(table, "left")["volume_mm3"])
    0.25
    """
    if not set(SIDES) <= set(measures.index):
        raise FormatError(f"expected the rows 'left' and 'right', found {measures.index.tolist()}")
    if affected_side not in (None, *SIDES):
        raise FormatError(
            f"expected affected_side 'left', 'right' or None, found {affected_side!r}"
        )
    numeric = measures.select_dtypes("number")
    measured = numeric.loc[:, [not str(n).endswith(("_low", "_high")) for n in numeric]]
    left, right = (pd.Series(measured.loc[side], dtype=float) for side in SIDES)
    if affected_side is None:
        top, bottom = 2 * (left - right), left + right
    else:
        a, u = (left, right) if affected_side == "left" else (right, left)
        top, bottom = u - a, u
    return pd.Series(top / bottom.replace(0.0, np.nan), name="asymmetry")
