"""What the figures of the nerves show, read from their artists."""

from __future__ import annotations

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from precisionpain.errors import DataWarning, FormatError, GeometryError, PrecisionPainError
from precisionpain.trigeminal._figures.inputs import read_volume
from precisionpain.trigeminal._figures.meshes import normals
from precisionpain.trigeminal._figures.scene import contact_colours
from precisionpain.trigeminal._figures.sheets import Curved, Flat, letters, outlines
from precisionpain.trigeminal._figures.slices import course, reformat_sheet, section_sheet
from precisionpain.trigeminal._morphometry.curve import Curve
from precisionpain.trigeminal._morphometry.geometry import grid_faces
from precisionpain.trigeminal.figures import (
    plot_compression_3d,
    plot_profile,
    plot_reformat,
    plot_section,
    view_compression_3d,
)
from precisionpain.trigeminal.morphometry import area_profile, trace_nerves
from precisionpain.trigeminal.phantom import simulate_cistern


@pytest.fixture(scope="module")
def cistern():
    """Left: an artery presses into the nerve. Right: no vessel within 2 mm."""
    return simulate_cistern(7)


@pytest.fixture(scope="module")
def traces(cistern):
    return trace_nerves(cistern.labels)


def _named(ax: Axes, gid: str) -> list[np.ndarray]:
    """Return the points of the lines with a name, shape (n, 2) each."""
    return [np.asarray(line.get_xydata()) for line in ax.get_lines() if line.get_gid() == gid]


def _words(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def _texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def _area(xy: np.ndarray) -> float:
    x, y = xy.T
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))


# -- sheets, outlines, meshes: closed forms ------------------------------------------------------


def _tube(curve: Curve, radius: float) -> tuple[np.ndarray, np.ndarray]:
    theta = np.arange(64) * (2 * np.pi / 64)
    s = curve.s[::2]
    normal, binormal = curve.frame(s)
    ring = np.cos(theta)[:, None] * normal[:, None] + np.sin(theta)[:, None] * binormal[:, None]
    points = curve.at(s)[:, None] + radius * ring
    return points.reshape(-1, 3), grid_faces(len(s), len(theta))


def _arc(bend: float = 10.0) -> Curve:
    angle = np.linspace(0, 1, 60)
    return Curve(bend * np.column_stack([np.sin(angle), 1 - np.cos(angle), 0 * angle]))


def test_a_plane_cuts_a_cylinder_in_a_circle():
    curve = Curve(np.column_stack([np.linspace(0, 8, 30), np.zeros(30), np.zeros(30)]))
    vertices, faces = _tube(curve, 1.5)
    plane = Flat(np.array([3.03, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]))
    (circle,) = outlines(plane.flatten(vertices), faces, vertices[:, 0])
    assert circle.closed
    radius = np.hypot(*circle.xy.T)
    assert radius.max() <= 1.5 + 1e-9
    assert radius.min() >= 1.5 * np.cos(np.pi / 64) - 1e-9  # 64 corners to the circle
    np.testing.assert_allclose(circle.values, 3.03, atol=1e-9)


def test_a_vertex_on_the_plane_leaves_the_outline_whole():
    curve = Curve(np.column_stack([np.linspace(0, 8, 30), np.zeros(30), np.zeros(30)]))
    vertices, faces = _tube(curve, 1.0)
    on_ring = float(curve.s[20])
    plane = Flat(np.array([on_ring, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]))
    (circle,) = outlines(plane.flatten(vertices), faces, np.zeros(len(vertices)))
    assert circle.closed
    assert _area(circle.xy) == pytest.approx(32 * np.sin(2 * np.pi / 64), rel=1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.0])
def test_a_straightened_bent_tube_has_straight_walls(turn):
    curve = _arc()
    vertices, faces = _tube(curve, 1.2)
    sheet = Curved(curve, turn)
    walls = outlines(sheet.flatten(vertices), faces, np.zeros(len(vertices)))
    assert len(walls) == 2
    heights = sorted(float(np.median(wall.xy[:, 1])) for wall in walls)
    np.testing.assert_allclose(heights, [-1.2, 1.2], atol=0.005)
    for wall in walls:
        assert np.ptp(wall.xy[:, 1]) < 0.01
        assert np.ptp(wall.xy[:, 0]) == pytest.approx(curve.end, abs=0.05)


@pytest.mark.parametrize("sheet", [
    Curved(_arc(), 0.4),
    Flat(np.array([1.0, 2, 3]), np.array([0.6, 0.8, 0]), np.array([0.0, 0, 1])),
])  # fmt: skip
def test_points_and_flatten_are_inverse(sheet):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-2, 12, 200), rng.uniform(-4, 4, 200)
    flat = sheet.flatten(sheet.points(x, y))
    np.testing.assert_allclose(flat, np.column_stack([x, y, 0 * x]), atol=0.01)


def test_triangles_that_a_sheet_tears_are_left_out():
    flat = np.array([[0.0, 0, -0.1], [0.1, 0, 0.1], [0.2, 0, -0.1], [9.0, 0, 0.1]])
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    (piece,) = outlines(flat, faces, np.zeros(4))
    assert piece.xy[:, 0].max() < 0.2


@pytest.mark.parametrize(("direction", "name"), [
    ([-1, 0, 0], "L"), ([1, 0, 0], "R"), ([0, 1, 0], "A"), ([0, -1, 0], "P"), ([0, 0, 1], "S"),
    ([0, 0, -1], "I"), ([-0.8, 0.6, 0], "LA"), ([0.1, -0.9, -0.5], "PI"),
])  # fmt: skip
def test_directions_have_the_letters_of_the_body(direction, name):
    assert letters(np.array(direction)) == name


def test_normals_of_a_tube_point_off_its_axis():
    curve = _arc()
    vertices, faces = _tube(curve, 1.0)
    s, u, v = curve.project(vertices)
    normal, binormal = curve.frame(s)
    radial = u[:, None] * normal + v[:, None] * binormal
    inner = (s > 0.5) & (s < curve.end - 0.5)
    cosine = np.abs(np.sum(normals(vertices, faces) * radial, axis=1))[inner]
    assert cosine.min() > 0.999


def test_colours_change_at_the_tolerance():
    colours = contact_colours(np.array([0.0, 0.25, 0.5, 0.51, 3.0]), 0.5)[:, :3]
    assert not np.allclose(colours[0], colours[1])
    np.testing.assert_allclose(colours[3], colours[4])
    assert not np.allclose(colours[2], colours[3])


# -- profile -------------------------------------------------------------------------------------


def test_profile_is_the_table(traces):
    ax = plot_profile(traces)
    for side, trace in traces.items():
        table = trace.profile()
        (line,) = _named(ax, f"all {side}")
        np.testing.assert_array_equal(line, table[["s_mm", "area_mm2"]])
        (undented,) = _named(ax, f"undented {side}")
        np.testing.assert_array_equal(undented, table[["s_mm", "undented_area_mm2"]])
        (whole,) = _named(ax, f"whole {side}")
        np.testing.assert_array_equal(~np.isnan(whole[:, 1]), table["exposed"] > 0.999)
        (marked,) = _named(ax, f"contact {side}")
        touching = table[table["vessel_distance_mm"] <= 0.5]
        np.testing.assert_array_equal(marked, touching[["s_mm", "area_mm2"]])
    assert len(ax.get_lines()) == 2 * 4
    assert _words(ax)[:2] == ["left nerve", "right nerve"]
    assert {"L", "R"} <= set(_texts(ax))
    assert "(mm)" in ax.get_xlabel()
    assert "(mm²)" in ax.get_ylabel()
    assert ax.get_ylim()[0] == 0


def test_contact_is_marked_where_the_vessel_truly_is(cistern, traces):
    ax = plot_profile(traces)
    (left,), (right,) = (_named(ax, f"contact {side}") for side in ("left", "right"))
    truth = cistern.truth.loc["left"]
    assert left[:, 0].min() < truth["contact_position_mm"] < left[:, 0].max()
    assert np.ptp(left[:, 0]) == pytest.approx(truth["contact_length_mm"], abs=0.5)
    assert len(right) == 0
    assert cistern.truth.loc["right", "contact_area_mm2"] == 0


def test_bins_are_shaded_and_named(traces):
    ax = plot_profile(traces, bins=(2, 6))
    names = [text.get_text() for text in ax.texts if text.get_gid() == "bin name"]
    assert names == ["2–6 mm", "> 6 mm"]
    (shaded,) = [patch for patch in ax.patches if patch.get_gid() == "bin"]
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == (2, 6)


def test_profile_takes_a_table_one_nerve_or_given_axes(traces):
    table = area_profile(traces)
    given = Figure().add_subplot()
    assert plot_profile(table.sample(frac=1, random_state=0), given) is given
    (line,) = _named(given, "all left")
    assert (np.diff(line[:, 0]) > 0).all()  # rows in any order
    alone = plot_profile(traces["right"])
    assert _words(alone)[0] == "right nerve"
    assert "left nerve" not in _words(alone)


def test_an_untraced_side_is_named(traces):
    ax = plot_profile({"left": traces["left"], "right": None})
    assert "right nerve not traced" in _texts(ax)


@pytest.mark.parametrize(("bad", "message"), [
    (None, "found None"), ({"left": None, "right": None}, "neither nerve"),
    ({"up": None}, "'up'"), (3, "found int"),
])  # fmt: skip
def test_what_is_no_trace_is_refused(bad, message):
    for draw in (plot_profile, plot_compression_3d, view_compression_3d):
        with pytest.raises(FormatError, match=message):
            draw(bad)


def test_swapped_sides_are_refused(traces):
    with pytest.raises(FormatError, match="under 'left' is the right one"):
        plot_profile({"left": traces["right"]})


def test_profile_needs_sides_and_rising_bins(traces):
    with pytest.raises(FormatError, match="'side'"):
        plot_profile(traces["left"].profile())
    with pytest.raises(FormatError, match="rising"):
        plot_profile(traces, bins=(3, 1))
    table = area_profile(traces).assign(side="L")
    with pytest.raises(FormatError, match="'left' and 'right'"):
        plot_profile(table)


# -- reformats and sections ----------------------------------------------------------------------


def _mesh_distance(points: np.ndarray, trace) -> np.ndarray:
    return cKDTree(trace.surface()["vertices"]).query(points)[0]


@pytest.mark.parametrize("curved", [True, False])
@pytest.mark.parametrize("plane", [None, "sagittal", "axial", "course"])
def test_outlines_lie_on_the_fitted_surfaces(cistern, traces, plane, curved):
    trace = traces["left"]
    ax = plot_reformat(cistern.image, trace, plane=plane, curved=curved)
    sheet, _, _ = reformat_sheet(trace, course(trace), plane, curved)
    walls = np.concatenate(_named(ax, "nerve"))
    world = sheet.points(walls[:, 0], walls[:, 1])
    assert _mesh_distance(world, trace).max() < 0.12  # the mesh has 0.1 mm cells
    vessels = _named(ax, "vessel")
    if vessels:
        flat = np.concatenate(vessels)
        vertices = np.concatenate([v["vertices"] for v in trace.vessel_surfaces()])
        near = np.abs(flat[:, 1]) < 4  # a curved sheet is true near the curve
        away = cKDTree(vertices).query(sheet.points(*flat[near].T))[0]
        assert away.max() < 0.25  # vessels have 0.2 mm cells


def test_reformat_says_where_everything_is(cistern, traces):
    for side, end in (("left", "L"), ("right", "R")):
        ax = plot_reformat(cistern.image, traces[side], cistern.labels)
        assert ax.get_title(loc="left").startswith(f"{side.capitalize()} trigeminal nerve")
        assert f"{side} nerve, fitted wall" in _words(ax)
        directions = [text for text in ax.texts if text.get_gid() == "direction"]
        assert len(directions) == 4
        # The nerve runs from the pons forwards and outwards, so x points there too.
        rightmost = max(directions, key=lambda text: text.get_position()[0])
        assert set(rightmost.get_text()) <= {"A", end, "S", "I"}
        texts = _texts(ax)
        assert any(text.startswith("pons") for text in texts)
        assert any(text.startswith("Meckel") for text in texts)
        assert "5 mm" in texts
        (bar,) = _named(ax, "scale")
        assert np.ptp(bar[:, 0]) == pytest.approx(5.0)
        first, last = _named(ax, "position")
        assert first[:, 0].mean() == pytest.approx(0, abs=0.02)
        assert last[:, 0].mean() == pytest.approx(traces[side].length_mm, abs=0.02)


def test_contact_of_a_reformat_is_within_half_a_millimetre(cistern, traces):
    ax = plot_reformat(cistern.image, traces["left"])
    sheet, _, chosen = reformat_sheet(traces["left"], course(traces["left"]), None, True)
    assert chosen == "vessel"
    marked = np.concatenate(_named(ax, "contact"))
    marked = marked[~np.isnan(marked).any(axis=1)]
    assert len(marked) > 10
    wall = traces["left"].surface()
    _, near = cKDTree(wall["vertices"]).query(sheet.points(*marked.T))
    assert wall["vessel_distance_mm"][near].max() < 0.6  # of a vertex within 0.1 mm
    clear = plot_reformat(cistern.image, traces["right"])
    assert _named(clear, "contact") == []
    assert "contact: vessel within 0.5 mm" not in _words(clear)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("s", [3.0, 6.0, 9.0])
def test_section_has_the_true_area_and_axes(cistern, traces, side, s):
    ax = plot_section(cistern.image, traces[side], s)
    truth = cistern.profile[cistern.profile["side"] == side]
    expected = {
        name: np.interp(s, truth["s_mm"], truth[name])
        for name in ("area_mm2", "major_mm", "minor_mm")
    }
    (outline,) = _named(ax, "nerve")
    assert _area(outline) == pytest.approx(expected["area_mm2"], rel=0.08)
    for axis, name in (("axis a", "major_mm"), ("axis b", "minor_mm")):
        (line,) = _named(ax, axis)
        length = float(np.linalg.norm(line[1] - line[0]))
        assert length / 2 == pytest.approx(expected[name], rel=0.08)
    a, b = (np.diff(_named(ax, axis)[0], axis=0)[0] for axis in ("axis a", "axis b"))
    assert a @ b == pytest.approx(0, abs=1e-9)
    # The long axis reaches the wall where the wall is farthest from the middle.
    middle = _named(ax, "axis a")[0].mean(axis=0)
    assert np.linalg.norm(outline - middle, axis=1).max() == pytest.approx(
        np.linalg.norm(a) / 2, rel=0.1
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_walls_hug_the_nerve_in_the_image(cistern, traces, side):
    """Inside the outline is tissue (dark), outside fluid (bright)."""
    volume, trace = read_volume(cistern.image), traces[side]
    s = 2.5 if side == "left" else 7.0  # no vessel is near
    sheet = section_sheet(course(trace), s, "radiological")
    ax = plot_section(cistern.image, trace, s)
    outline = _named(ax, "nerve")[0]
    middle = outline.mean(axis=0)
    way = (outline - middle) / np.linalg.norm(outline - middle, axis=1, keepdims=True)
    inner, edge, outer = (
        volume.at(sheet.points(*(outline + step * way).T)) for step in (-0.5, 0.0, 0.5)
    )
    assert inner.mean() < 0.45 < edge.mean() < 0.8 < outer.mean()
    assert (outer > inner).all()


def _beacon(cistern, x: float, y: float, z: float) -> nib.Nifti1Image:
    """Return an image that is bright around one world point."""
    shape, affine = cistern.labels.shape, cistern.labels.affine
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = nib.affines.apply_affine(affine, index)
    away = np.linalg.norm(world - [x, y, z], axis=-1)
    return nib.Nifti1Image((away < 1.2).astype(np.float32), affine)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("convention", "sign"), [("radiological", 1), ("neurological", -1)])
def test_left_is_left_in_a_section(cistern, traces, side, convention, sign):
    """A light to the patient's left of the nerve, another above it."""
    trace = traces[side]
    at = trace.centreline().iloc[(trace.centreline()["s_mm"] - 5).abs().argmin()]
    tangent = course(trace).tangent(5.0)
    left = np.array([-1.0, 0, 0]) + tangent[0] * tangent
    up = np.array([0.0, 0, 1]) - tangent[2] * tangent
    place = at[["x", "y", "z"]].to_numpy(dtype=float)
    for direction, expected in ((left, (sign, 0)), (up, (0, 1))):
        image = _beacon(cistern, *(place + 3 * direction / np.linalg.norm(direction)))
        ax = plot_section(image, trace, 5.0, convention=convention)
        (picture,) = ax.get_images()
        bright = np.argwhere(np.asarray(picture.get_array()) > 0.5).mean(axis=0)
        x = -5 + 10 * bright[1] / 100
        y = -5 + 10 * bright[0] / 100
        np.testing.assert_allclose([x, y], 3 * np.array(expected), atol=0.8)
        subtitle = next(t.get_text() for t in ax.texts if t.get_gid() == "subtitle")
        assert subtitle.startswith(convention)
        assert f"left is on the {'right' if sign > 0 else 'left'}" in subtitle
        directions = [t for t in ax.texts if t.get_gid() == "direction"]
        east = max(directions, key=lambda t: t.get_position()[0]).get_text()
        assert ("L" if sign > 0 else "R") in east


def test_the_order_of_the_voxels_does_not_matter(cistern, traces):
    pixels = np.asarray(cistern.image.dataobj)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = pixels.shape[0] - 1
    flipped = nib.Nifti1Image(pixels[::-1].copy(), cistern.image.affine @ flip)
    turn = np.eye(4)[[1, 2, 0, 3]]  # axes of the new array in those of the old
    turned = nib.Nifti1Image(
        np.transpose(pixels, (1, 2, 0)).copy(), cistern.image.affine @ np.linalg.inv(turn)
    )
    shown = [
        np.ma.filled(plot_reformat(image, traces["left"]).get_images()[0].get_array(), -1)
        for image in (cistern.image, flipped, turned)
    ]
    np.testing.assert_allclose(shown[1], shown[0], atol=1e-4)
    np.testing.assert_allclose(shown[2], shown[0], atol=1e-4)


def test_next_to_the_pons_only_the_exposed_wall_is_drawn(cistern, traces):
    trace = traces["right"]
    ax = plot_section(cistern.image, trace, 0.0)
    outline = np.concatenate(_named(ax, "nerve"))
    assert np.linalg.norm(outline[0] - outline[-1]) > 0.5  # open
    (a,), row = _named(ax, "axis a"), trace.profile().iloc[0]
    assert np.linalg.norm(a[1] - a[0]) / 2 == pytest.approx(row["major_mm"])


def test_both_ends_have_a_section(cistern, traces):
    for s in (0.0, traces["left"].length_mm):
        assert len(_named(plot_section(cistern.image, traces["left"], s), "nerve")) >= 1


@pytest.mark.parametrize("s", [-0.1, 100.0, np.nan])
def test_a_position_off_the_nerve_is_refused(cistern, traces, s):
    with pytest.raises(FormatError, match="expected s from 0"):
        plot_section(cistern.image, traces["left"], s)


def test_an_image_elsewhere_is_refused(cistern, traces):
    affine = cistern.image.affine.copy()
    affine[:3, 3] += 200
    elsewhere = nib.Nifti1Image(np.asarray(cistern.image.dataobj), affine)
    with pytest.raises(GeometryError, match="0% of the left nerve"):
        plot_reformat(elsewhere, traces["left"])
    with pytest.raises(GeometryError, match="lies within the image"):
        plot_section(elsewhere, traces["left"], 3.0)
    labels = nib.Nifti1Image(np.asarray(cistern.labels.dataobj), affine)
    for call in (
        lambda: plot_reformat(cistern.image, traces["left"], labels),
        lambda: plot_compression_3d(traces, labels),
    ):
        with pytest.raises(GeometryError, match="labels: 0% of the left nerve"):
            call()


def test_bad_images_traces_and_options_are_refused(cistern, traces):
    left = traces["left"]
    calls = [
        (lambda: plot_reformat(cistern.image, None), "found None"),
        (lambda: plot_reformat(cistern.image, traces), "choose one"),
        (lambda: plot_section(cistern.image, None, 1.0), "found None"),
        (lambda: plot_reformat(np.zeros((3, 3, 3)), left), "found ndarray"),
        (lambda: plot_reformat(cistern.fractions, left), "3-D"),
        (lambda: plot_reformat(cistern.image, left, plane="coronal"), "'coronal'"),
        (lambda: plot_reformat(cistern.image, left, half_width_mm=0), "above 0"),
        (lambda: plot_section(cistern.image, left, 1.0, half_width_mm=-1), "above 0"),
        (lambda: plot_section(cistern.image, left, 1.0, convention="mine"), "'mine'"),
    ]
    for call, message in calls:
        with pytest.raises(PrecisionPainError, match=message):
            call()


def test_a_nerve_without_vessels_and_pons():
    """A bar of voxels: no brainstem, no vessel, nothing to lay the plane through."""
    labels = np.zeros((50, 24, 24), dtype=np.uint8)
    index = np.stack(np.meshgrid(*map(np.arange, labels.shape), indexing="ij"), -1) * 0.5
    bar = np.hypot(index[..., 1] - 6, index[..., 2] - 6) < 1.4
    labels[bar & (index[..., 0] > 8) & (index[..., 0] < 18)] = 3
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    image = nib.Nifti1Image(1 - (labels > 0).astype(np.float32), affine)
    with pytest.warns(DataWarning):
        right = trace_nerves(nib.Nifti1Image(labels, affine))["right"]
    ax = plot_reformat(image, right)
    assert any("oblique sagittal" in text for text in _texts(ax))
    assert set(_words(ax)) == {"right nerve, fitted wall"}
    with pytest.raises(FormatError, match="no vessel lies within 6 mm of the right nerve"):
        plot_reformat(image, right, plane="vessel")
    section = plot_section(image, right, 5.0)
    voxels = 0.25 * (labels[20:32] > 0).sum() / 12  # mm² of the bar across
    assert _area(_named(section, "nerve")[0]) == pytest.approx(voxels, rel=0.05)
    scene = plot_compression_3d(right, nib.Nifti1Image(labels, affine))
    assert "R" in _texts(scene)
    assert "pons" not in _words(scene)
    assert _named(plot_profile(right), "contact right")[0].shape == (0, 2)


# -- three dimensions ----------------------------------------------------------------------------


def _scene(ax):
    return next(c for c in ax.collections if c.get_gid() == "scene")


def test_scene_shows_both_sides_and_the_pons(cistern, traces):
    ax = plot_compression_3d(traces, cistern.labels)
    places = {text.get_text(): text.get_position_3d() for text in ax.texts
              if text.get_text() in ("L", "R")}  # fmt: skip
    assert places["L"][0] < traces["left"].centreline()["x"].min()  # RAS+: left is negative
    assert places["R"][0] > traces["right"].centreline()["x"].max()
    assert _words(ax) == ["nerve", "artery", "vein", "pons"]
    assert "pons" not in _words(plot_compression_3d(traces))
    ax.figure.draw_without_rendering()
    screen = {name: ax.transData.transform(_projected(ax, where))[0]
              for name, where in places.items()}  # fmt: skip
    assert screen["L"] > screen["R"]  # seen from in front
    assert any("the patient's left is on the right" in text for text in _texts(ax))


def _projected(ax, where):
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    return proj_transform(*where, ax.get_proj())[:2]


def test_from_behind_left_is_on_the_left(traces):
    ax = plot_compression_3d(traces, azim=-90)
    assert any("behind" in t and "left is on the left" in t for t in _texts(ax))


def test_only_the_touched_nerve_has_a_coloured_patch(traces):
    def patch(side: str) -> int:
        """Count faces in the purples of the patch: blue above green."""
        _, g, b, a = _scene(plot_compression_3d(traces[side])).get_facecolor().T
        return int(((a > 0.99) & (b > g + 0.05)).sum())

    assert patch("left") > 50
    assert patch("right") == 0


def test_scene_on_given_axes(traces):
    given = Figure().add_subplot(projection="3d")
    assert plot_compression_3d(traces["left"], ax=given) is given
    assert [text for text in _texts(given) if text in ("L", "R")] == ["L"]
    with pytest.raises(FormatError, match="projection='3d'"):
        plot_compression_3d(traces, ax=Figure().add_subplot())
    with pytest.raises(FormatError, match="tolerance above 0"):
        plot_compression_3d(traces, tolerance_mm=0.0)


def test_missing_side_is_named_in_the_scene(traces):
    ax = plot_compression_3d({"left": None, "right": traces["right"]})
    assert "left not traced" in ax.get_title(loc="left")


def test_live_view_tells_s_and_distance(cistern, traces):
    pytest.importorskip("plotly")
    figure = view_compression_3d(traces, cistern.labels, synthetic=True)
    meshes = {mesh.name: mesh for mesh in figure.data if mesh.type == "mesh3d" and mesh.name}
    assert {"left nerve", "right nerve", "pons", "artery by the left nerve"} <= set(meshes)
    for side, trace in traces.items():
        mesh, wall = meshes[f"{side} nerve"], trace.surface()
        np.testing.assert_allclose(
            np.asarray(mesh.x, dtype=float), wall["vertices"][:, 0], atol=1e-3
        )
        s, distance = np.asarray(mesh.customdata).T
        np.testing.assert_allclose(s.astype(float), wall["s_mm"], atol=0.0051)
        near = wall["vessel_distance_mm"] < 5.9
        np.testing.assert_allclose(
            distance[near].astype(float), wall["vessel_distance_mm"][near], atol=0.0051
        )
        assert all(word.startswith("more than 6") for word in distance[~near][-5:])
        assert "s =" in mesh.hovertemplate
        assert mesh.showlegend
    letters_ = {note.text: note.x for note in figure.layout.scene.annotations}
    assert letters_["<b>L</b>"] < 0 < letters_["<b>R</b>"]
    assert "SYNTHETIC" in figure.layout.title.text
    scale = figure.layout.coloraxis
    assert scale.cmax == 1.0
    assert [place for place, _ in scale.colorscale] == [0, 0.5, 0.5, 1]


def test_live_view_without_plotly_says_how_to_get_it(traces, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ImportError, match=r"pip install 'precisionpain\[plotly\]'"):
        view_compression_3d(traces)


# -- all of them ---------------------------------------------------------------------------------


def test_synthetic_anatomy_is_marked_as_such(cistern, traces):
    left = traces["left"]
    calls = [
        lambda **k: plot_profile(traces, **k),
        lambda **k: plot_reformat(cistern.image, left, **k),
        lambda **k: plot_section(cistern.image, left, 4.0, **k),
        lambda **k: plot_compression_3d(left, **k),
    ]
    for draw in calls:
        assert any("SYNTHETIC" in text for text in _texts(draw(synthetic=True)))
        assert not any("SYNTHETIC" in text for text in _texts(draw()))


def test_sides_and_vessels_have_colours_of_their_own(cistern, traces):
    ax = plot_reformat(cistern.image, traces["left"])
    colours = {line.get_label(): to_rgb(line.get_color()) for line in ax.get_lines()
               if line.get_gid() in ("nerve", "vessel", "contact")}  # fmt: skip
    assert len(set(colours.values())) == len(colours) >= 3


def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys, precisionpain.trigeminal.figures as f; "
        "from precisionpain.trigeminal.phantom import simulate_cistern as c; "
        "from precisionpain.trigeminal.morphometry import trace_nerves; "
        "x = c(3, spacing=0.8); t = trace_nerves(x.labels); f.plot_profile(t); "
        "f.plot_compression_3d(t); f.plot_section(x.image, t['left'], 3.0); "
        "print('matplotlib.pyplot' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
