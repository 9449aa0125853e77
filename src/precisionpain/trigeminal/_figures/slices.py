"""Slices along and across a nerve: where they lie, and what is drawn on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._plot_style import SMALL
from ...errors import FormatError
from .._morphometry.curve import Curve
from .._morphometry.scan import Scan
from ..anatomy import Label, Side
from ..grading import TOUCH_MM
from ..morphometry import NerveTrace
from .inputs import Volume
from .look import CONTACT, PONS, SIDE_COLOUR, VESSEL_COLOUR, on_image
from .sheets import ALONG, Curved, Flat, Outline, Sheet, letters, outlines, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "convention_of",
    "course",
    "draw_image",
    "draw_labels",
    "draw_walls",
    "ellipse_axes",
    "mark_directions",
    "mark_position",
    "mark_scale",
    "reformat_sheet",
    "section_sheet",
    "wall_outlines",
]

PLANES = ("vessel", "course", "sagittal", "axial")
_STRAIGHT_MM = 0.2  # a course that bows less has no plane of its own
_STEP_MM = 0.1  # between the pixels of a slice
_SUPERIOR = np.array([0.0, 0.0, 1.0])
_LEFT = np.array([-1.0, 0.0, 0.0])


def course(trace: NerveTrace) -> Curve:
    """Return the centreline as a curve that begins at the pons."""
    return Curve(trace.centreline(0.05)[["x", "y", "z"]].to_numpy())


def _nearest_vessel(trace: NerveTrace, curve: Curve) -> tuple[float, np.ndarray] | None:
    """Return s where a vessel comes nearest, and the direction to it; None without a vessel."""
    wall = trace.surface()
    distance = wall["vessel_distance_mm"]
    if not np.isfinite(distance).any():
        return None
    # The middle of a patch, not the one vertex that rounding made the least.
    chosen = distance <= max(float(distance.min()) + 0.05, 0.0)
    middle = wall["vertices"][chosen].mean(axis=0)
    s, u, v = curve.project(middle[None])
    s = np.clip(s, 0, trace.length_mm)
    normal, binormal = curve.frame(s)
    return float(s[0]), unit(u[0] * normal[0] + v[0] * binormal[0])


def reformat_sheet(
    trace: NerveTrace, curve: Curve, plane: str | None, curved: bool
) -> tuple[Sheet, float, str]:
    """Return the sheet along a nerve, its length and the plane that was chosen."""
    if plane not in (None, *PLANES):
        raise FormatError(f"expected plane to be one of {PLANES} or None, found {plane!r}")
    nearest = None if plane in ("sagittal", "axial") else _nearest_vessel(trace, curve)
    if plane == "vessel" and nearest is None:
        raise FormatError(
            f"no vessel lies within 6 mm of the {trace.side} nerve, so no plane leads to one",
            remedy="choose plane='sagittal' or 'axial'",
        )
    preferred = "sagittal" if nearest is None else "vessel"
    chosen = plane or (preferred if curved else "course")
    s = 0.5 * trace.length_mm
    start, end = curve.at(np.array([0.0, trace.length_mm]))
    along = unit(end - start)
    if chosen == "course":
        aside = curve.points - start
        aside = aside - (aside @ along)[:, None] * along
        far = int(np.argmax(np.linalg.norm(aside, axis=1)))
        toward = _SUPERIOR if nearest is None else nearest[1]
        s, direction = float(curve.s[far]), aside[far]
        if np.linalg.norm(direction) < _STRAIGHT_MM:
            chosen = preferred
        elif direction @ toward < 0:
            direction = -direction
    if chosen == "course":
        pass
    elif chosen == "vessel":
        assert nearest is not None
        s, direction = nearest
    elif chosen == "sagittal":
        direction = _SUPERIOR
    else:
        medial = -_LEFT if trace.side == "left" else _LEFT
        level = np.cross(_SUPERIOR, curve.tangent(s))
        direction = level if level @ medial > 0 else -level
    if curved:
        normal, binormal = curve.frame(s)
        turn = float(np.arctan2(direction @ binormal, direction @ normal))
        return Curved(curve, turn), trace.length_mm, chosen
    across = unit(direction - (direction @ along) * along)
    return Flat(start, along, across), float(np.linalg.norm(end - start)), chosen


def section_sheet(curve: Curve, s: float, convention: str) -> Flat:
    """Return the plane normal to a curve, superior up, the patient's left where asked for."""
    tangent = curve.tangent(s)
    up = _SUPERIOR - (_SUPERIOR @ tangent) * tangent
    if np.linalg.norm(up) < 0.2:  # a course that rises steeply
        up = np.array([0.0, 1.0, 0.0]) - tangent[1] * tangent
    up = unit(up)
    right = np.cross(up, tangent)
    wanted = _LEFT if convention == "radiological" else -_LEFT
    return Flat(curve.at(s), right if right @ wanted >= 0 else -right, up)


def directions(sheet: Sheet, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the world directions to the right and up at (x, 0) of a sheet."""
    place = np.array([[x, 0.0], [x + 0.1, 0.0], [x, 0.1]])
    origin, right, up = sheet.points(place[:, 0], place[:, 1])
    return unit(right - origin), unit(up - origin)


def convention_of(sheet: Sheet, x: float) -> str:
    """Say where the patient's left is."""
    right, _ = directions(sheet, x)
    if abs(right[0]) < ALONG:
        toward = "left" if np.cross(*directions(sheet, x)) @ _LEFT > 0 else "right"
        return f"seen from the patient's {toward}"
    if right @ _LEFT > 0:
        return "radiological: the patient's left is on the right"
    return "neurological: the patient's left is on the left"


def draw_image(
    ax: Axes,
    volume: Volume,
    sheet: Sheet,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    window: tuple[float, float],
) -> None:
    """Show the image on a sheet, in mm."""
    from matplotlib import colormaps
    from matplotlib.ticker import MultipleLocator

    x, y = (
        np.linspace(low, high, max(round((high - low) / _STEP_MM), 1) + 1)
        for low, high in (x_range, y_range)
    )
    shown = volume.at(sheet.points(*np.meshgrid(x, y)))
    low, high = window if window[1] > window[0] else (window[0], window[0] + 1.0)
    half = _STEP_MM / 2
    grey = colormaps["gray"].with_extremes(bad="#3b4a5e")  # beyond the field of view: no grey
    ax.imshow(
        np.ma.masked_invalid(shown), cmap=grey, vmin=low, vmax=high, origin="lower",
        extent=(x[0] - half, x[-1] + half, y[0] - half, y[-1] + half),
        interpolation="bilinear", interpolation_stage="data", aspect="equal", zorder=0,
    )  # fmt: skip
    ax.set(xlim=x_range, ylim=y_range)
    ax.xaxis.set_major_locator(MultipleLocator(2))
    ax.yaxis.set_major_locator(MultipleLocator(2))


def wall_outlines(
    trace: NerveTrace, sheet: Sheet, around: float | None = None
) -> tuple[list[Outline], list[tuple[str, list[Outline]]]]:
    """Return where the walls of a nerve and its vessels meet a sheet.

    Parameters
    ----------
    trace : NerveTrace
        The nerve.
    sheet : Sheet
        The sheet.
    around : float, optional
        Only the nerve within 2 mm of this s: a plane across may meet it again elsewhere.

    Returns
    -------
    nerve : list of Outline
        Values are distances to a vessel, mm.
    vessels : list of (str, list of Outline)
        Kind and outlines of each.
    """
    wall = trace.surface()
    faces = wall["faces"]
    if around is not None:
        faces = faces[(np.abs(wall["s_mm"] - around) < 2.0)[faces].all(axis=1)]
    nerve = outlines(sheet.flatten(wall["vertices"]), faces, wall["vessel_distance_mm"])
    vessels = []
    for vessel in trace.vessel_surfaces():
        flat = sheet.flatten(vessel["vertices"])
        pieces = outlines(flat, vessel["faces"], np.zeros(len(flat)))
        vessels.append((str(vessel["kind"]), pieces))
    return nerve, vessels


def draw_walls(
    ax: Axes,
    side: Side,
    nerve: list[Outline],
    vessels: list[tuple[str, list[Outline]]],
) -> list[Any]:
    """Draw the outlines; return the handles of a legend."""
    handles: dict[str, Any] = {}
    for piece in nerve:
        xy = np.concatenate([piece.xy, piece.xy[:1]]) if piece.closed else piece.xy
        near = np.r_[piece.values, piece.values[:1]] if piece.closed else piece.values
        touching = near <= TOUCH_MM
        if touching.any():
            (patch,) = ax.plot(
                np.where(touching, xy[:, 0], np.nan), np.where(touching, xy[:, 1], np.nan),
                color=CONTACT, lw=6, alpha=0.85, solid_capstyle="butt", zorder=4,
                label=f"contact: vessel within {TOUCH_MM:g} mm", gid="contact",
            )  # fmt: skip
            handles["contact"] = patch
        (line,) = ax.plot(*xy.T, color=SIDE_COLOUR[side], lw=1.8, zorder=5,
                          label=f"{side} nerve, fitted wall", gid="nerve")  # fmt: skip
        handles["nerve"] = line
    for kind, pieces in vessels:
        for piece in pieces:
            xy = np.concatenate([piece.xy, piece.xy[:1]]) if piece.closed else piece.xy
            (line,) = ax.plot(*xy.T, color=VESSEL_COLOUR[kind], lw=1.8, zorder=5, label=kind,
                              gid="vessel")  # fmt: skip
            handles[kind] = line
    return [handles[key] for key in ("nerve", "contact", "artery", "vein") if key in handles]


def draw_labels(
    ax: Axes,
    scan: Scan,
    sheet: Sheet,
    side: Side,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Any:
    """Outline the labels themselves, dotted; return a handle for the legend."""
    from matplotlib.lines import Line2D

    x, y = (np.arange(low, high + _STEP_MM, _STEP_MM) for low, high in (x_range, y_range))
    world = sheet.points(*np.meshgrid(x, y))
    colours = {
        Label.BRAINSTEM: PONS, Label.nerve(side): SIDE_COLOUR[side],
        Label.ARTERY: VESSEL_COLOUR["artery"], Label.VEIN: VESSEL_COLOUR["vein"],
    }  # fmt: skip
    for label, colour in colours.items():
        share = Volume((scan.labels == label).astype(np.float32), scan.affine, "labels").at(world)
        if np.nanmax(share, initial=0) > 0.5 > np.nanmin(share, initial=1):
            ax.contour(x, y, share, levels=[0.5], colors=[colour], linewidths=1.1,
                       linestyles="dotted", zorder=3)  # fmt: skip
    return Line2D([], [], color=PONS, lw=1.1, ls="dotted", label="edge of the labels")


def mark_directions(ax: Axes, sheet: Sheet, x: float) -> None:
    """Write at each edge of the image which way it faces, as R, L, A, P, S, I."""
    right, up = directions(sheet, x)
    for direction, (fx, fy), where in (
        (-right, (0.012, 0.5), ("left", "center")), (right, (0.988, 0.5), ("right", "center")),
        (up, (0.5, 0.98), ("center", "top")), (-up, (0.5, 0.02), ("center", "bottom")),
    ):  # fmt: skip
        on_image(
            ax, fx, fy, letters(direction), transform=ax.transAxes, ha=where[0], va=where[1],
            fontweight="bold", fontsize=SMALL + 1.5, gid="direction",
        )  # fmt: skip


def mark_scale(ax: Axes, mm: float) -> None:
    """Draw a bar of so many mm in the lower right corner."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x, y = right - 0.03 * (right - left), low + 0.06 * (high - low)
    from matplotlib.patheffects import withStroke

    ax.plot([x - mm, x], [y, y], color="white", lw=3, solid_capstyle="butt", zorder=8, gid="scale",
            path_effects=[withStroke(linewidth=4.5, foreground="black")])  # fmt: skip
    on_image(ax, x - mm / 2, y + 0.02 * (high - low), f"{mm:g} mm", ha="center", va="bottom")


def mark_position(
    ax: Axes, sheet: Sheet, curve: Curve, s: float, text: str, half_mm: float, ha: str
) -> None:
    """Draw a line across the nerve at s, and name it."""
    flat = sheet.flatten(curve.at(np.array([s - 0.05, s, s + 0.05])))[:, :2]
    along = unit(flat[2] - flat[0])
    across = half_mm * np.array([-along[1], along[0]])
    ends = np.stack([flat[1] - across, flat[1] + across])
    ax.plot(*ends.T, color="white", lw=1.3, ls=(0, (3, 2)), zorder=6, gid="position")
    on_image(ax, ends[1, 0], ends[1, 1] + 0.3, text, ha=ha, va="bottom")


def ellipse_axes(
    trace: NerveTrace, curve: Curve, s: float, sheet: Flat
) -> tuple[np.ndarray, np.ndarray, float, float] | None:
    """Return middle, direction of the longer axis, and both semi-axes of a section.

    Next to the pons a section is only partly there; its middle and direction are then those
    of the first whole one, carried back along the course, and the lengths those of the
    profile, which completes it in the same way.
    """
    profile = trace.profile()
    whole = profile.loc[profile["exposed"] > 0.999, "s_mm"]
    if not len(whole):
        return None
    at = float(np.clip(s, whole.min() + 1e-3, trace.length_mm - 1e-3))
    normal, binormal = curve.frame(at)
    plane = Flat(curve.at(at), normal, binormal)
    closed = [piece for piece in wall_outlines(trace, plane, at)[0] if piece.closed]
    if not closed:
        return None
    xy = max(closed, key=lambda piece: len(piece.xy)).xy
    middle, direction = _principal(xy)
    normal, binormal = curve.frame(s)
    to_sheet = np.array([[sheet.along @ normal, sheet.along @ binormal],
                         [sheet.across @ normal, sheet.across @ binormal]])  # fmt: skip
    row = {name: np.interp(s, profile["s_mm"], profile[name]) for name in ("major_mm", "minor_mm")}
    return (
        to_sheet @ middle,
        to_sheet @ direction,
        float(row["major_mm"]),
        float(row["minor_mm"]),
    )


def _principal(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centroid and long axis of a polygon, by its second moments of area."""
    (x, y), (p, q) = xy.T, np.roll(xy, -1, axis=0).T
    cross = x * q - p * y
    area = cross.sum() / 2
    middle = np.array([((x + p) * cross).sum(), ((y + q) * cross).sum()]) / (6 * area)
    xx = ((x * x + x * p + p * p) * cross).sum() / (12 * area) - middle[0] ** 2
    yy = ((y * y + y * q + q * q) * cross).sum() / (12 * area) - middle[1] ** 2
    xy_ = ((x * q + 2 * x * y + 2 * p * q + p * y) * cross).sum() / (24 * area)
    _, vectors = np.linalg.eigh(np.array([[xx, xy_ - middle.prod()], [xy_ - middle.prod(), yy]]))
    return middle, vectors[:, 1]
