"""The scene in three dimensions: its parts, drawn still with matplotlib or live with plotly."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._plot_style import INK, MUTED, SMALL
from ..anatomy import Side
from ..morphometry import NerveTrace
from .look import NERVE, PONS, SIDE_COLOUR, VESSEL_COLOUR
from .meshes import normals, pons_mesh, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._morphometry.scan import Scan

__all__ = [
    "Part",
    "contact_colours",
    "draw_still",
    "load_plotly",
    "parts_of",
    "scene_title",
    "view_live",
    "viewpoint",
]

FAR_MM = 6.0  # what is farther than this from a vessel, or has none, counts as this far
_CLOSE, _RIM = "#2d0a59", "#b07cc6"  # of the contact patch: touching, and at its edge


@dataclasses.dataclass(frozen=True)
class Part:
    """A surface of the scene.

    Parameters
    ----------
    kind : {"nerve", "end", "artery", "vein", "pons"}
        What it is; an end closes a nerve.
    side : {"left", "right"} or None
        Of a nerve, or of the nerve that a vessel runs by.
    vertices, faces : numpy.ndarray of shape (n, 3) and (m, 3)
        World coordinates, mm; triangles.
    s, distance : numpy.ndarray of shape (n,) or None
        Of a nerve: arc length and distance to a vessel, mm (at most 6).
    opacity : numpy.ndarray of shape (n,) or None
        Of the pons, which fades away from the nerves.
    """

    kind: str
    side: Side | None
    vertices: np.ndarray
    faces: np.ndarray
    s: np.ndarray | None = None
    distance: np.ndarray | None = None
    opacity: np.ndarray | None = None


def parts_of(traces: Mapping[Side, NerveTrace], scan: Scan | None) -> list[Part]:
    """Return the surfaces of nerves, vessels and, with labels, the pons."""
    parts = []
    for side, trace in traces.items():
        wall = trace.surface()
        distance = np.minimum(wall["vessel_distance_mm"], FAR_MM)
        # Where both touch, the distance is zero but for rounding.
        distance = np.where(np.abs(distance) < 1e-4, 0.0, distance)
        parts.append(Part("nerve", side, wall["vertices"], wall["faces"], wall["s_mm"], distance))
        parts.append(Part("end", side, *_end(wall)))
        parts += [
            Part(str(vessel["kind"]), side, vessel["vertices"], vessel["faces"])
            for vessel in trace.vessel_surfaces()
        ]
    if scan is not None:
        near = np.concatenate([part.vertices for part in parts if part.kind == "nerve"])
        mesh = pons_mesh(scan, near)
        if mesh is not None:
            vertices, faces, opacity = mesh
            parts.append(Part("pons", None, vertices, faces, opacity=opacity))
    return parts


def beyond(trace: NerveTrace) -> np.ndarray:
    """Return where the letter of the side stands: lateral to the end of the nerve."""
    end = trace.centreline()[["x", "y", "z"]].to_numpy()[-1]
    return end + np.array([3.5 if trace.side == "right" else -3.5, 0.0, 0.0])


def _end(wall: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat end of a nerve as vertices and faces, so that it looks solid."""
    ring = wall["vertices"][wall["s_mm"] >= wall["s_mm"].max() - 1e-9]
    n = len(ring)
    fan = np.column_stack([np.arange(n), np.roll(np.arange(n), -1), np.full(n, n)])
    return np.vstack([ring, ring.mean(axis=0)]), fan


# -- words ---------------------------------------------------------------------------------------


def scene_title(found: Mapping[Side, NerveTrace], missing: Sequence[Side]) -> str:
    """Name the nerves of the scene, and those that lack."""
    sides = " and ".join(found)
    title = f"Trigeminal nerve{'s' * (len(found) > 1)}, {sides}"
    return f"{title} ({' and '.join(missing)} not traced)" if missing else title


def viewpoint(elev: float, azim: float) -> str:
    """Say from where the scene is seen, and where the patient's left is."""
    e, a = np.radians([elev, azim])
    toward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    names = (("the right", "the left"), ("in front", "behind"), ("above", "below"))
    seen = [names[k][int(toward[k] < 0)] for k in (1, 0, 2) if abs(toward[k]) > 0.3]
    left = np.sin(a)  # how far the patient's left points to the right of the view
    place = (
        ""
        if abs(left) < 0.3
        else f"; the patient's left is on the {'right' if left > 0 else 'left'}"
    )
    return f"seen from {' and '.join(seen)}{place}"


# -- still ---------------------------------------------------------------------------------------


def contact_colours(distance: np.ndarray, tolerance: float) -> np.ndarray:
    """Return RGBA by distance to a vessel: dark where they touch, the plain nerve beyond."""
    from matplotlib.colors import to_rgb

    low, high, plain = (np.array(to_rgb(c)) for c in (_CLOSE, _RIM, NERVE))
    place = np.clip(distance / max(tolerance, 1e-9), 0, 1)[:, None]
    rgb = np.where((distance <= tolerance)[:, None], low + place * (high - low), plain)
    return np.column_stack([rgb, np.ones(len(rgb))])


_COLOUR = {"nerve": NERVE, "end": NERVE, **VESSEL_COLOUR, "pons": PONS}
_ALPHA = {"nerve": 1.0, "end": 1.0, "artery": 0.35, "vein": 0.35, "pons": 1.0}


def draw_still(
    ax: Any, parts: list[Part], corners: np.ndarray, tolerance: float, elev: float, azim: float
) -> None:
    """Add all parts to 3-D axes as one collection, so that they are sorted by depth together."""
    from matplotlib.colors import to_rgba
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    e, a = np.radians([elev, azim + 25])  # the light stands a little beside the viewer
    light = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    light = light / np.linalg.norm(light)
    paper = np.array(to_rgba(ax.figure.get_facecolor())[:3])
    polygons, colours = [], []
    for part in parts:
        if part.distance is not None:
            tint = contact_colours(part.distance[part.faces].mean(axis=1), tolerance)
        else:
            tint = np.tile(to_rgba(_COLOUR[part.kind], _ALPHA[part.kind]), (len(part.faces), 1))
        polygons.append(part.vertices[part.faces])
        tint = shade(tint, normals(part.vertices, part.faces)[part.faces].mean(axis=1), light)
        if part.opacity is not None:
            # It fades into the paper: truly translucent, its seams would show.
            share = part.opacity[part.faces].mean(axis=1)[:, None]
            tint[:, :3] = paper + share * (tint[:, :3] - paper)
        colours.append(tint)
    triangles, face = np.concatenate(polygons), np.concatenate(colours)
    # Seams show between triangles that aren't drawn over their edges; where they are
    # translucent the overlap would show instead.
    edge = np.where(face[:, 3:] < 1, [[0, 0, 0, 0]], face)
    scene = Poly3DCollection(triangles, facecolors=face, edgecolors=edge, linewidths=0.35)
    scene.set(gid="scene", clip_on=False)
    ax.add_collection3d(scene)
    ax.set_proj_type("ortho")
    ax.view_init(elev=elev, azim=azim)
    shown = np.concatenate([
        *(part.vertices if part.opacity is None else part.vertices[part.opacity > 0.3]
          for part in parts), corners
    ])  # fmt: skip
    low, high = shown.min(axis=0), shown.max(axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    ax.set_box_aspect(high - low)
    x, y, _ = proj_transform(*shown.T, ax.get_proj())
    # 3-D axes take the square in the middle of their place; the scene may fill the place.
    wide, tall = ax.get_position(original=True).size * ax.figure.get_size_inches()
    room = np.array([wide, tall]) / min(wide, tall) * np.abs([ax.viewLim.x0, ax.viewLim.y0])
    fit = float(np.min(room / np.abs([x, y]).max(axis=1)))
    ax.set_box_aspect(high - low, zoom=0.9 * fit)
    ax.set_axis_off()


# -- live ----------------------------------------------------------------------------------------


def load_plotly() -> Any:
    """Return plotly's graph objects, or say how to get them."""
    try:
        return importlib.import_module("plotly.graph_objects")
    except ModuleNotFoundError as error:
        raise ImportError(
            "the interactive view needs plotly, which is not installed. To fix: "
            "pip install 'precisionpain[plotly]', or draw plot_compression_3d"
        ) from error


def view_live(
    traces: Mapping[Side, NerveTrace], parts: list[Part], tolerance: float, title: str
) -> Any:
    """Return a plotly figure of the parts."""
    go = load_plotly()
    figure = go.Figure()
    legend: set[str] = set()
    for part in parts:
        common: dict[str, Any] = {
            **dict(zip("xyz", part.vertices.T.round(3), strict=True)),
            **dict(zip("ijk", part.faces.T, strict=True)),
            "lighting": {"ambient": 0.5, "diffuse": 0.7, "specular": 0.25, "roughness": 0.5},
            "lightposition": {"x": -2000, "y": 4000, "z": 6000},
        }
        if part.kind == "nerve":
            assert part.s is not None
            assert part.distance is not None
            words = np.where(part.distance < FAR_MM, "", "more than ")
            figure.add_mesh3d(
                **common, intensity=part.distance.round(3), coloraxis="coloraxis",
                customdata=np.column_stack([
                    part.s.round(2).astype(str),
                    np.char.add(words, part.distance.round(2).astype(str)),
                ]),
                name=f"{part.side} nerve", legendgroup=f"{part.side} nerve", showlegend=True,
                hovertemplate=f"<b>{part.side} nerve</b><br>s = %{{customdata[0]}} mm from the "
                "pons<br>distance to a vessel %{customdata[1]} mm<extra></extra>",
            )  # fmt: skip
            continue
        if part.kind == "end":
            figure.add_mesh3d(**common, color=NERVE, legendgroup=f"{part.side} nerve",
                              hoverinfo="skip")  # fmt: skip
            continue
        name = part.kind if part.kind == "pons" else f"{part.kind} by the {part.side} nerve"
        figure.add_mesh3d(
            **common, color=_COLOUR[part.kind],
            opacity=1.0 if part.kind == "pons" else 0.55, name=name, legendgroup=name,
            showlegend=name not in legend, hovertemplate=f"{name}<extra></extra>",
        )  # fmt: skip
        legend.add(name)
    x, y, z = letters_at(traces).T
    # Annotations don't widen the scene; points that nobody sees do.
    figure.add_scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 1, "opacity": 0.0},
                         showlegend=False, hoverinfo="skip")  # fmt: skip
    letters = [
        {"x": a, "y": b, "z": c, "text": f"<b>{side[0].upper()}</b>", "showarrow": False,
         "font": {"size": 26, "color": SIDE_COLOUR[side]}}
        for side, a, b, c in zip(traces, x, y, z, strict=True)
    ]  # fmt: skip
    hidden = {"visible": False}
    figure.update_layout(
        title={"text": title, "font": {"size": 16, "color": INK}},
        paper_bgcolor="white",
        margin={"l": 0, "r": 0, "t": 48, "b": 0},
        legend={"x": 0.01, "y": 0.98, "bgcolor": "rgba(255,255,255,0.7)"},
        scene={
            "annotations": letters,
            "xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data",
            # From in front and above: the patient's left is on the right.
            "camera": {
                "eye": {"x": 0.0, "y": 1.35, "z": 1.45}, "up": {"x": 0, "y": 0, "z": 1},
            },
        },
        coloraxis={
            "cmin": 0.0, "cmax": 2 * tolerance,
            "colorscale": [[0, _CLOSE], [0.5, _RIM], [0.5, NERVE], [1, NERVE]],
            "colorbar": {
                "title": {"text": "distance to<br>a vessel (mm)"}, "len": 0.6, "thickness": 14,
                "tickvals": [0, tolerance / 2, tolerance],
                "ticktext": ["0", f"{tolerance / 2:g}", f"{tolerance:g}"],
            },
        },
    )  # fmt: skip
    return figure


def letters_at(traces: Mapping[Side, NerveTrace]) -> np.ndarray:
    """Return where the letters of the sides stand."""
    return np.stack([beyond(trace) for trace in traces.values()])


def mark_sides(ax: Any, traces: Mapping[Side, NerveTrace]) -> None:
    """Write L and R beyond the end of each nerve."""
    from matplotlib.patheffects import withStroke

    for side, trace in traces.items():
        x, y, z = beyond(trace)
        ax.text(x, y, z, side[0].upper(), color=SIDE_COLOUR[side], fontsize=20, ha="center",
                va="center", fontweight="bold", zorder=20,
                path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip


def key(ax: Axes, parts: list[Part], tolerance: float) -> None:
    """Add the legend and the colour scale of the contact patch."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.patches import Patch

    drawn = {part.kind for part in parts} - {"end"}
    kinds = [kind for kind in _COLOUR if kind in drawn]
    handles = [Patch(fc=_COLOUR[kind], ec=MUTED, lw=0.5, label=kind) for kind in kinds]
    ax.legend(handles=handles, loc="upper left", ncol=2, frameon=False, fontsize=SMALL,
              labelcolor=INK, bbox_to_anchor=(0.0, 0.0))  # fmt: skip
    scale = LinearSegmentedColormap.from_list("contact", [_CLOSE, _RIM])
    place = ax.inset_axes((0.6, -0.075, 0.34, 0.022))
    bar = ax.figure.colorbar(
        ScalarMappable(Normalize(0, tolerance), scale), cax=place, orientation="horizontal",
        ticks=[0, tolerance / 2, tolerance],
    )  # fmt: skip
    place.set_title(f"contact: distance up to {tolerance:g} mm", fontsize=SMALL, color=INK)
    place.tick_params(labelsize=SMALL, labelcolor=INK, color=MUTED)
    bar.outline.set_visible(False)
