"""Figures of the trigeminal nerves: profiles, reformats, sections, and the scene in 3-D.

Each takes what `trace_nerves` returned, draws on the axes that it is given or on new ones
(``ax.figure``), names the side, and leaves pyplot and ``rcParams`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._plot_style import DASHED, INK, MUTED, NORMAL, SMALL, label, styled
from ..errors import FormatError
from ._figures.inputs import as_trace, as_traces, position, read_volume, scan_around
from ._figures.look import CONTACT, SIDE_COLOUR, below, on_image, stamp
from ._figures.profile import profile_key, profile_table, shade_bins
from .anatomy import REZ_BINS, SIDES, Side
from .grading import TOUCH_MM
from .morphometry import NerveTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d.axes3d import Axes3D

__all__ = [
    "plot_compression_3d",
    "plot_profile",
    "plot_reformat",
    "plot_section",
    "view_compression_3d",
]

Traces = Mapping[Side, NerveTrace | None] | NerveTrace

_END_MM = 4.0  # what a reformat shows beyond the ends of the nerve


def plot_profile(
    traces: Traces | pd.DataFrame,
    ax: Axes | None = None,
    *,
    bins: Sequence[float] = REZ_BINS,
    synthetic: bool = False,
) -> Axes:
    """Draw the cross-sectional area along both nerves, and where vessels touch them.

    Parameters
    ----------
    traces : mapping of side to NerveTrace, NerveTrace, or pandas.DataFrame
        What `trace_nerves` or `area_profile` returned. A side without a nerve (None) is
        named as such.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    bins : sequence of float, default (0, 3, 5, 7)
        Edges of the bins of the root entry zone, mm; see `rez_bin`.
    synthetic : bool, default False
        Whether to mark the figure as one of simulated anatomy.

    Returns
    -------
    matplotlib.axes.Axes
        Full lines: sections wholly outside the pons; pale: next to the pons, where the area is
        completed from sections further out. Dashed: the section without dents. Yellow: a
        vessel lies within 0.5 mm.

    Raises
    ------
    FormatError
        When there is no nerve, the table isn't that of `area_profile`, or the edges don't
        rise.

    Examples
    --------
    >>> from precisionpain.trigeminal.morphometry import trace_nerves
    >>> from precisionpain.trigeminal.phantom import simulate_cistern
    >>> cistern = simulate_cistern(3, spacing=0.8, oversample=2)  # synthetic
    >>> ax = plot_profile(trace_nerves(cistern.labels), synthetic=True)
    >>> ax.get_ylabel()
    'Cross-sectional area (mm²)'
    """
    table, missing = profile_table(traces, bins)
    ax = styled(ax, (7.4, 4.6), "Area along the trigeminal nerves")
    longest = float(table["s_mm"].max())
    top = 1.16 * float(table[["area_mm2", "undented_area_mm2"]].max().max())
    shade_bins(ax, bins, longest, top)
    handles = []
    for side in SIDES:
        part = table[table["side"] == side].sort_values("s_mm")
        if not len(part):
            continue
        s, area = part["s_mm"].to_numpy(dtype=float), part["area_mm2"].to_numpy(dtype=float)
        tint = SIDE_COLOUR[side]
        whole = part["exposed"].to_numpy(dtype=float) > 0.999
        touching = part["vessel_distance_mm"].to_numpy(dtype=float) <= TOUCH_MM
        ax.plot(s[touching], area[touching], ls="none", marker="o", ms=9, mew=0, color=CONTACT,
                zorder=2.5, gid=f"contact {side}")  # fmt: skip
        ax.plot(s, area, color=tint, lw=2, alpha=0.35, zorder=3, gid=f"all {side}")
        (line,) = ax.plot(s, np.where(whole, area, np.nan), color=tint, lw=2.4, zorder=4,
                          gid=f"whole {side}", label=f"{side} nerve")  # fmt: skip
        ax.plot(s, part["undented_area_mm2"], color=tint, lw=1.2, ls=DASHED, zorder=3,
                gid=f"undented {side}")  # fmt: skip
        ax.annotate(side[0].upper(), (s[-1], area[-1]), xytext=(5, 0), va="center",
                    textcoords="offset points", color=tint, fontsize=NORMAL,
                    fontweight="bold")  # fmt: skip
        handles.append(line)
    ax.set(xlim=(0, longest + 0.6), ylim=(0, top))
    label(ax, "Distance s from the pons along the nerve (mm)", "Cross-sectional area (mm²)")
    if missing:
        ax.text(0.99, 0.03, f"{' and '.join(missing)} nerve not traced", transform=ax.transAxes,
                ha="right", fontsize=SMALL, color=INK)  # fmt: skip
    below(ax, [*handles, *profile_key(table)], columns=3)
    stamp(ax, synthetic)
    return ax


def plot_reformat(
    image: Any,
    trace: NerveTrace,
    labels: Any = None,
    ax: Axes | None = None,
    *,
    plane: Literal["vessel", "course", "sagittal", "axial"] | None = None,
    curved: bool = True,
    half_width_mm: float = 6.0,
    window: tuple[float, float] | None = None,
    synthetic: bool = False,
) -> Axes:
    """Show the image along a nerve, with the fitted walls of the nerve and the vessels.

    Parameters
    ----------
    image : path or nibabel image
        Intensities, of any orientation and grid in the space of the labels.
    trace : NerveTrace
        One side of `trace_nerves`.
    labels : path or nibabel image, optional
        Their edges are dotted over the image, to be compared with the fitted walls.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    plane : {"vessel", "course", "sagittal", "axial"}, optional
        Which way y points: from the nerve to where a vessel comes nearest; along its largest
        bow; to superior; to medial within a nearly axial plane. By default "course" for a flat
        sheet, where others may miss a bent nerve, and for a curved one "vessel" (without a
        vessel "sagittal").
    curved : bool, default True
        Whether the sheet follows the centreline (a straightened curved planar reformat,
        Kanitsar et al., IEEE Visualization 2002; x is s), or is the plane through both ends
        of the centreline (x is distance along its chord, and lengths are true).
    half_width_mm : float, default 6.0
        What is shown to either side of the nerve.
    window : (float, float), optional
        Intensities shown as black and white; by default the 0.5th and 99.5th
        percentile around the nerve.
    synthetic : bool, default False
        Whether to mark the figure as one of simulated anatomy.

    Returns
    -------
    matplotlib.axes.Axes
        In mm. Letters at the edges say which way they face (R, L, A, P, S, I of the patient);
        the line below the title says on which side the patient's left is. Blue: beyond the
        image.

    Raises
    ------
    FormatError
        When `trace` is no traced nerve, or no vessel is there to lay the plane through.
    GeometryError
        When the nerve doesn't lie in the image, or not in the labels.

    Notes
    -----
    A curved sheet tears or doubles where it is farther from the centreline than the radius of
    a bend; distances across it are true only near the centreline.

    Examples
    --------
    >>> from precisionpain.trigeminal.morphometry import trace_nerves
    >>> from precisionpain.trigeminal.phantom import simulate_cistern
    >>> cistern = simulate_cistern(3, spacing=0.8, oversample=2)  # synthetic
    >>> right = trace_nerves(cistern.labels)["right"]
    >>> ax = plot_reformat(cistern.image, right, synthetic=True)
    >>> ax.get_xlabel()
    'Distance s from the pons along the nerve (mm)'
    """
    from ._figures.slices import (
        convention_of,
        course,
        draw_image,
        draw_labels,
        draw_walls,
        mark_directions,
        mark_position,
        mark_scale,
        reformat_sheet,
        wall_outlines,
    )

    trace, volume = as_trace(trace), read_volume(image)
    if not half_width_mm > 0:
        raise FormatError(f"expected a half width above 0 mm, found {half_width_mm!r}")
    curve = course(trace)
    volume.must_show(curve.points, f"the {trace.side} nerve")
    sheet, length, chosen = reformat_sheet(trace, curve, plane, curved)
    x_range = (-_END_MM, length + _END_MM)
    y_range = (-float(half_width_mm), float(half_width_mm))
    # As tall as the picture needs, which is as long as the nerve.
    tall = 6.5 * 2 * half_width_mm / (x_range[1] - x_range[0]) + 1.75
    ax = styled(ax, (7.4, tall), "")
    draw_image(ax, volume, sheet, x_range, y_range, window or volume.window(curve.points))
    handles = []
    if labels is not None:
        scan = scan_around(labels, trace)
        handles.append(draw_labels(ax, scan, sheet, trace.side, x_range, y_range))
    handles = draw_walls(ax, trace.side, *wall_outlines(trace, sheet)) + handles
    half = 0.42 * half_width_mm
    mark_position(ax, sheet, curve, 0.0, "pons\ns = 0", half, "center")
    mark_position(ax, sheet, curve, trace.length_mm,
                  f"Meckel’s cave\ns = {trace.length_mm:.1f} mm", half, "center")  # fmt: skip
    mark_directions(ax, sheet, length / 2)
    mark_scale(ax, 5.0)
    words = {"vessel": "plane through the nearest vessel",
             "course": "plane of the largest bow", "sagittal": "oblique sagittal plane",
             "axial": "oblique axial plane"}  # fmt: skip
    shape = "along its course (straightened)" if curved else "along its chord (flat)"
    _entitle(ax, f"{trace.side.capitalize()} trigeminal nerve {shape}",
             f"{words[chosen]}; {convention_of(sheet, length / 2)}")  # fmt: skip
    label(
        ax,
        "Distance s from the pons along the nerve (mm)" if curved
        else "Distance from the pons along the chord (mm)",
        "Distance from the centreline (mm)" if curved else "Distance from the chord (mm)",
    )  # fmt: skip
    below(ax, handles, columns=3)
    stamp(ax, synthetic, on_dark=True)
    return ax


def plot_section(
    image: Any,
    trace: NerveTrace,
    s_mm: float,
    ax: Axes | None = None,
    *,
    labels: Any = None,
    convention: Literal["radiological", "neurological"] = "radiological",
    half_width_mm: float = 5.0,
    window: tuple[float, float] | None = None,
    synthetic: bool = False,
) -> Axes:
    """Show the image across a nerve, with the fitted walls and the semi-axes of the section.

    Parameters
    ----------
    image : path or nibabel image
        Intensities, as in `plot_reformat`.
    trace : NerveTrace
        One side of `trace_nerves`.
    s_mm : float
        Where: arc length from the pons, mm.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default new axes.
    labels : path or nibabel image, optional
        Their edges are dotted over the image.
    convention : {"radiological", "neurological"}, default "radiological"
        The patient's left is on the right of the image, or on the left. Up is superior.
    half_width_mm : float, default 5.0
        What is shown to either side of the centreline.
    window : (float, float), optional
        Intensities shown as black and white; by default as in `plot_reformat`.
    synthetic : bool, default False
        Whether to mark the figure as one of simulated anatomy.

    Returns
    -------
    matplotlib.axes.Axes
        In mm. Semi-axes a and b are those of `NerveTrace.profile`: of the ellipse with the
        section's second moments of area. Next to the pons, a section is completed from those
        further out, and only its outline outside the pons is drawn.

    Raises
    ------
    FormatError
        When `trace` is no traced nerve, or s lies beyond its ends.
    GeometryError
        When the nerve doesn't lie in the image, or not in the labels.

    Examples
    --------
    >>> from precisionpain.trigeminal.morphometry import trace_nerves
    >>> from precisionpain.trigeminal.phantom import simulate_cistern
    >>> cistern = simulate_cistern(3, spacing=0.8, oversample=2)  # synthetic
    >>> left = trace_nerves(cistern.labels)["left"]
    >>> ax = plot_section(cistern.image, left, 4.0, synthetic=True)
    >>> ax.get_title(loc="left").splitlines()[0]
    'Left trigeminal nerve, section at s = 4.0 mm'
    """
    from ._figures.slices import (
        convention_of,
        course,
        draw_image,
        draw_labels,
        draw_walls,
        ellipse_axes,
        mark_directions,
        mark_scale,
        section_sheet,
        wall_outlines,
    )

    trace, volume = as_trace(trace), read_volume(image)
    s = position(s_mm, trace)
    if convention not in ("radiological", "neurological"):
        raise FormatError(
            f"expected convention 'radiological' or 'neurological', found {convention!r}"
        )
    if not half_width_mm > 0:
        raise FormatError(f"expected a half width above 0 mm, found {half_width_mm!r}")
    curve = course(trace)
    volume.must_show(curve.at(np.array([s])), f"the section at s = {s:.1f} mm")
    # The mesh ends at both ends of the nerve; a plane a hair inside meets it for sure.
    at = float(np.clip(s, 1e-3, trace.length_mm - 1e-3))
    sheet = section_sheet(curve, at, convention)
    span = (-float(half_width_mm), float(half_width_mm))
    ax = styled(ax, (5.2, 6.3), "")
    draw_image(ax, volume, sheet, span, span, window or volume.window(curve.points))
    handles = []
    if labels is not None:
        handles.append(draw_labels(ax, scan_around(labels, trace), sheet, trace.side, span, span))
    handles = draw_walls(ax, trace.side, *wall_outlines(trace, sheet, at)) + handles
    axes = ellipse_axes(trace, curve, s, sheet)
    if axes is not None:
        middle, direction, major, minor = axes
        other = np.array([-direction[1], direction[0]])
        for name, way, size in (("a", direction, major), ("b", other, minor)):
            ends = np.stack([middle - size * way, middle + size * way])
            ax.plot(*ends.T, color="white", lw=1, zorder=6, gid=f"axis {name}")
        on_image(
            ax, 0.03, 0.97, f"a = {major:.2f} mm\nb = {minor:.2f} mm", transform=ax.transAxes,
            ha="left", va="top", gid="axes",
        )  # fmt: skip
    mark_directions(ax, sheet, 0.0)
    mark_scale(ax, 2.0)
    _entitle(ax, f"{trace.side.capitalize()} trigeminal nerve, section at s = {s:.1f} mm",
             convention_of(sheet, 0.0))  # fmt: skip
    label(ax, "Distance from the centreline (mm)", "Distance from the centreline (mm)")
    below(ax, handles, columns=2)
    stamp(ax, synthetic, on_dark=True)
    return ax


def _entitle(ax: Axes, title: str, subtitle: str) -> None:
    ax.set_title(title, loc="left", fontsize=NORMAL, fontweight="bold", color=INK, pad=20)
    ax.text(0, 1.015, subtitle, transform=ax.transAxes, va="bottom", fontsize=SMALL, color=MUTED,
            gid="subtitle")  # fmt: skip


def plot_compression_3d(
    traces: Traces,
    labels: Any = None,
    ax: Axes3D | None = None,
    *,
    tolerance_mm: float = TOUCH_MM,
    elev: float = 60.0,
    azim: float = 90.0,
    synthetic: bool = False,
) -> Axes3D:
    """Draw nerves, vessels and pons in 3-D, the contact coloured by distance.

    Parameters
    ----------
    traces : mapping of side to NerveTrace, or NerveTrace
        What `trace_nerves` returned.
    labels : path or nibabel image, optional
        The label image that was traced; its brainstem (1) is drawn. Without it there is none.
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D, optional
        Where to draw; by default new axes.
    tolerance_mm : float, default 0.5
        Nerve surface at most this far from a vessel is coloured.
    elev, azim : float, default 60 and 90
        Elevation and azimuth of the viewer, degrees, as matplotlib counts them: 90 is in front
        of the patient, whose left is then on the right.
    synthetic : bool, default False
        Whether to mark the figure as one of simulated anatomy.

    Returns
    -------
    mpl_toolkits.mplot3d.axes3d.Axes3D
        L and R stand beside the ends of the nerves; the pons fades away from them. A patch
        behind a nerve needs another viewpoint, or one nerve alone: ``traces["left"]``.

    Raises
    ------
    FormatError
        When there is no nerve, the tolerance isn't positive, or `ax` isn't 3-D.
    GeometryError
        When the nerves don't lie in the labels.

    Examples
    --------
    >>> from precisionpain.trigeminal.morphometry import trace_nerves
    >>> from precisionpain.trigeminal.phantom import simulate_cistern
    >>> cistern = simulate_cistern(3, spacing=0.8, oversample=2)  # synthetic
    >>> ax = plot_compression_3d(trace_nerves(cistern.labels), cistern.labels, synthetic=True)
    >>> sorted({text.get_text() for text in ax.texts} & {"L", "R"})
    ['L', 'R']
    """
    from mpl_toolkits.mplot3d.axes3d import Axes3D

    from ._figures.scene import (
        draw_still,
        key,
        letters_at,
        mark_sides,
        parts_of,
        scene_title,
        viewpoint,
    )

    found, missing = as_traces(traces)
    _check_tolerance(tolerance_mm)
    if ax is None:
        from matplotlib.figure import Figure

        figure: Any = Figure(figsize=(7.4, 6.4))
        ax = figure.add_axes((0.0, 0.13, 1.0, 0.81), projection="3d")
    elif not isinstance(ax, Axes3D):
        raise FormatError(
            f"expected 3-D axes, found {type(ax).__name__}",
            remedy="make them with figure.add_subplot(projection='3d')",
        )
    parts = parts_of(found, None if labels is None else scan_around(labels, *found.values()))
    draw_still(ax, parts, letters_at(found), tolerance_mm, elev, azim)
    mark_sides(ax, found)
    key(ax, parts, tolerance_mm)
    ax.set_title(scene_title(found, missing), loc="left", fontsize=NORMAL, fontweight="bold",
                 color=INK)  # fmt: skip
    ax.text2D(0, 0.985, viewpoint(elev, azim), transform=ax.transAxes, fontsize=SMALL,
              color=MUTED, va="top", gid="subtitle")  # fmt: skip
    if synthetic:
        ax.text2D(0.5, 0.5, "SYNTHETIC DATA", transform=ax.transAxes, ha="center", va="center",
                  fontsize=22, fontweight="bold", color=MUTED, alpha=0.3, rotation=24, zorder=30,
                  gid="synthetic")  # fmt: skip
    return ax


def view_compression_3d(
    traces: Traces,
    labels: Any = None,
    *,
    tolerance_mm: float = TOUCH_MM,
    synthetic: bool = False,
) -> Any:
    """Show nerves, vessels and pons in 3-D to turn and to hover over.

    Needs plotly: ``pip install 'precisionpain[plotly]'``.

    Parameters
    ----------
    traces : mapping of side to NerveTrace, or NerveTrace
        What `trace_nerves` returned.
    labels : path or nibabel image, optional
        The label image that was traced; its brainstem (1) is drawn.
    tolerance_mm : float, default 0.5
        Nerve surface at most this far from a vessel is coloured.
    synthetic : bool, default False
        Whether to mark the figure as one of simulated anatomy.

    Returns
    -------
    plotly.graph_objects.Figure
        Hovering over a nerve tells s and the distance to a vessel, in mm; a click on the
        legend hides a surface. Nothing is written: ``figure.write_html(path)`` does.

    Raises
    ------
    ImportError
        When plotly isn't installed.
    FormatError
        When there is no nerve, or the tolerance isn't positive.
    GeometryError
        When the nerves don't lie in the labels.

    Examples
    --------
    >>> from precisionpain.trigeminal.morphometry import trace_nerves
    >>> from precisionpain.trigeminal.phantom import simulate_cistern
    >>> cistern = simulate_cistern(3, spacing=0.8, oversample=2)  # synthetic
    >>> figure = view_compression_3d(trace_nerves(cistern.labels), synthetic=True)
    >>> figure.layout.title.text
    'Trigeminal nerves, left and right · SYNTHETIC DATA'
    """
    from ._figures.scene import load_plotly, parts_of, scene_title, view_live

    load_plotly()  # before any work
    found, missing = as_traces(traces)
    _check_tolerance(tolerance_mm)
    parts = parts_of(found, None if labels is None else scan_around(labels, *found.values()))
    title = scene_title(found, missing) + (" · SYNTHETIC DATA" if synthetic else "")
    return view_live(found, parts, tolerance_mm, title)


def _check_tolerance(tolerance: float) -> None:
    if not tolerance > 0:
        raise FormatError(f"expected a tolerance above 0 mm, found {tolerance!r}")
