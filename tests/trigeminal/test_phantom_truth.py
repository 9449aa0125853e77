"""The phantom's truth against closed forms: every expected value is derived here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from precisionpain.trigeminal._phantom.anatomy import SideParts, sample_scene
from precisionpain.trigeminal._phantom.nerves import Root
from precisionpain.trigeminal._phantom.parameters import read_overrides
from precisionpain.trigeminal._phantom.shapes import Curve, Ellipsoid, Nerve, Tube
from precisionpain.trigeminal._phantom.surface import patch_area, surface_of
from precisionpain.trigeminal._phantom.tissue import Tissue
from precisionpain.trigeminal._phantom.truth import measure_side
from precisionpain.trigeminal._phantom.vessels import Vessel

X, Y, Z = np.eye(3)
FAR = 1e6


def flat_pons(angle_deg: float = 90.0) -> tuple[Ellipsoid, np.ndarray]:
    """A pons so large that its surface at the origin is a plane; nerves run along y."""
    angle = np.deg2rad(angle_deg)
    normal = np.sin(angle) * Y + np.cos(angle) * X
    return Ellipsoid(-FAR * normal, np.full(3, FAR)), normal


def along(points: np.ndarray, a: float, b: float, *, origin: int, taper: float = 0.0) -> SideParts:
    curve = Curve.through(points, step=0.05, origin=origin, end_at_last=True)
    axis_b = np.broadcast_to(Z, curve.points.shape).copy()
    axis_a = np.cross(curve.tangent, axis_b)
    scale = 1 + taper * (np.clip(curve.s / curve.s[-1], 0, 1) - 0.5)
    nerve = Nerve(curve, axis_a, axis_b, a * scale, b * scale, blend=0.0)
    root = Root(np.zeros(1), np.zeros((1, 3)), Y, Y)
    return SideParts(nerve, curve, root, X)


def straight(length: float = 10.0, a: float = 1.5, b: float = 1.5, **more: float) -> SideParts:
    y = np.linspace(-8, length, int((8 + length) * 50) + 1)
    return along(y[:, None] * Y, a, b, origin=400, **more)


def vessel(point: np.ndarray, direction: np.ndarray, radius: float) -> Vessel:
    t = np.linspace(-30, 30, 601)
    curve = Curve.through(point + t[:, None] * direction, step=0.1, origin=300)
    tube = Tube(curve, np.full(len(curve.points), radius))
    return Vessel(tube, Tissue.ARTERY, "sca", "offender", "right")


def measured(parts: SideParts, *vessels: Vessel, angle: float = 90.0) -> dict:
    pons, normal = flat_pons(angle)
    parts = dataclasses.replace(parts, root=dataclasses.replace(parts.root, normal=normal))
    return measure_side(parts, pons, list(vessels))[0]


def test_elliptical_cylinder():
    truth = measured(straight(10, 1.8, 1.1), angle=70.0)
    # A plane through the centreline at s = 0 takes from one half what it leaves to the other.
    assert truth["volume_mm3"] == pytest.approx(np.pi * 1.8 * 1.1 * 10, rel=5e-4)
    assert truth["length_mm"] == pytest.approx(10, abs=1e-6)
    assert truth["mean_area_mm2"] == pytest.approx(np.pi * 1.8 * 1.1, rel=1e-6)
    assert truth["flattening"] == pytest.approx(1 - 1.1 / 1.8, abs=1e-4)
    assert truth["angle_deg"] == pytest.approx(70, abs=1e-4)
    assert truth["curvature_per_mm"] == pytest.approx(0, abs=1e-6)
    assert truth["tortuosity"] == pytest.approx(1, abs=1e-9)
    assert truth["displacement_mm"] == pytest.approx(0, abs=1e-9)
    assert truth["indentation_mm"] == 0
    assert truth["area_loss_percent"] == pytest.approx(0, abs=1e-9)


def test_taper():
    truth = measured(straight(10, 1.5, 1.0, taper=-0.2))
    # Mean over x in [0, 1] of (1 - 0.2 (x - 1/2))², and its value at the end.
    assert truth["mean_area_mm2"] == pytest.approx(1.5 * np.pi * (1 + 0.2**2 / 12), rel=1e-5)
    assert truth["min_area_mm2"] == pytest.approx(1.5 * np.pi * 0.9**2, rel=1e-6)
    assert truth["min_area_position_mm"] == pytest.approx(10, abs=1e-6)


def test_bent_tube_has_the_volume_of_pappus():
    k, length = 0.08, 12.0
    u = np.linspace(-5, length, 851)
    points = np.stack([(1 - np.cos(k * u)) / k, np.sin(k * u) / k, 0 * u], axis=1)
    truth = measured(along(points, 2.0, 1.2, origin=250))
    assert truth["length_mm"] == pytest.approx(length, abs=1e-5)
    assert truth["volume_mm3"] == pytest.approx(np.pi * 2.0 * 1.2 * length, rel=5e-4)
    assert truth["curvature_per_mm"] == pytest.approx(k, rel=1e-4)
    chord = 2 / k * np.sin(k * length / 2)
    assert truth["tortuosity"] == pytest.approx(length / chord, rel=1e-6)


@pytest.mark.parametrize("angle_deg", [30.0, 45.0, 65.0])
def test_volume_outside_a_round_pons(angle_deg):
    a, b, radius = 1.7, 1.1, 13.0
    angle = np.deg2rad(angle_deg)
    center = -radius * (np.sin(angle) * Y + np.cos(angle) * X)
    truth = measure_side(straight(10, a, b), Ellipsoid(center, np.full(3, radius)), [])[0]

    def leaves(z: float, x: float) -> float:
        # Where a line along y through (x, z) comes out of the sphere; a line that misses it
        # is outside from the tube's inner end on.
        square = radius**2 - (x - center[0]) ** 2 - (z - center[2]) ** 2
        return 10 - (center[1] + np.sqrt(square)) if square > 0 else 18

    edge = lambda x: b * np.sqrt(1 - (x / a) ** 2)  # noqa: E731
    volume = dblquad(leaves, -a, a, lambda x: -edge(x), edge, epsabs=1e-4)[0]
    # Where the straight tube would come out of the sphere again, behind, is not counted here.
    behind = dblquad(
        lambda z, x: max(0.0, center[1] - np.sqrt(radius**2 - (x - center[0]) ** 2 - z**2) + 8),
        -a,
        a,
        lambda x: -edge(x),
        edge,
        epsabs=1e-4,
    )[0]
    assert truth["volume_mm3"] == pytest.approx(volume + behind, rel=1e-3)


@pytest.mark.parametrize("gap", [0.0, 0.3, 1.2])
def test_crossing_cylinders(gap):
    r_n, r_v = 1.5, 0.7
    height = r_n + gap + r_v
    truth = measured(straight(10, r_n, r_n), vessel(6 * Y + height * Z, X, r_v))
    assert truth["gap_mm"] == pytest.approx(gap, abs=1e-4)
    assert truth["crossing_angle_deg"] == pytest.approx(90, abs=1e-3)
    assert truth["vessel"] == "artery"
    assert truth["vessel_diameter_mm"] == pytest.approx(1.4, abs=1e-9)
    for eps, name in ((0.5, "contact_area_mm2"), (1.0, "contact_area_1_mm2")):
        reach = r_v + eps
        half = np.arccos(min(1.0, (height - reach) / r_n))
        # At angle t off the top the nerve is height - r cos t below the vessel's axis.
        area = quad(
            lambda t, reach=reach: (
                2 * r_n * np.sqrt(max(reach**2 - (height - r_n * np.cos(t)) ** 2, 0))
            ),
            -half,
            half,
        )[0]
        assert truth[name] == pytest.approx(area, rel=5e-3, abs=1e-9)
    if gap <= 0.5:
        reach = r_v + 0.5
        extent = 2 * np.sqrt(reach**2 - (height - r_n) ** 2)
        assert truth["contact_length_mm"] == pytest.approx(extent, abs=5e-3)
        assert truth["contact_position_mm"] == pytest.approx(6, abs=1e-3)
        assert truth["contact_proximal_mm"] == pytest.approx(6 - extent / 2, abs=5e-3)
        share = np.arccos((height - reach) / r_n) / np.pi
        assert truth["contact_arc_fraction"] == pytest.approx(share, abs=3e-3)
        assert truth["n_contacts"] == 1
        assert truth["sindou_grade"] == 1
    else:
        assert truth["contact_area_mm2"] == 0
        assert np.isnan(truth["contact_position_mm"])
        assert truth["n_contacts"] == 0
        assert truth["sindou_grade"] == 0


def test_parallel_cylinders():
    r_n, r_v, gap = 1.4, 0.8, 0.2
    height = r_n + gap + r_v
    truth = measured(straight(8, r_n, r_n), vessel(height * Z, Y, r_v))
    reach = r_v + 0.5
    half = np.arccos((r_n**2 + height**2 - reach**2) / (2 * r_n * height))
    assert truth["contact_area_mm2"] == pytest.approx(2 * half * r_n * 8, rel=2e-3)
    assert truth["contact_length_mm"] == pytest.approx(8, abs=0.06)
    assert truth["contact_position_mm"] == pytest.approx(4, abs=0.03)
    assert truth["crossing_angle_deg"] == pytest.approx(0, abs=1e-3)


def test_two_vessels_make_two_contacts_and_the_larger_one_is_named():
    parts = straight(12, 1.5, 1.5)
    near = vessel(3 * Y + 2.2 * Z, X, 0.6)
    other = vessel(9 * Y + 2.1 * Z, X, 0.5)
    other = dataclasses.replace(other, tissue=Tissue.VEIN)
    truth = measured(parts, near, other)
    assert truth["n_contacts"] == 2
    alone = [measured(parts, one)["contact_area_mm2"] for one in (near, other)]
    assert truth["contact_area_mm2"] == pytest.approx(sum(alone), rel=1e-6)
    assert truth["vessel"] == ("artery" if alone[0] > alone[1] else "vein")


def test_a_patch_across_the_seam_of_the_angle_is_one():
    # axis_a, where the angle starts, is x for a nerve along y.
    truth = measured(straight(10, 1.5, 1.5), vessel(5 * Y + 2.2 * X, Z, 0.6))
    mirrored = measured(straight(10, 1.5, 1.5), vessel(5 * Y + 2.2 * Z, X, 0.6))
    assert truth["n_contacts"] == 1
    assert truth["contact_area_mm2"] == pytest.approx(mirrored["contact_area_mm2"], rel=2e-3)


def test_no_vessel_near():
    truth = measured(straight(10), vessel(5 * Y + 9 * Z, X, 0.5))
    assert truth["vessel"] is None
    for name in ("gap_mm", "vessel_diameter_mm", "crossing_angle_deg", "contact_position_mm"):
        assert np.isnan(truth[name])
    assert truth["contact_area_mm2"] == truth["contact_length_mm"] == truth["n_contacts"] == 0
    assert truth["sindou_grade"] == 0


@pytest.mark.parametrize("gap", [0.0, 0.08])
def test_groove_of_a_crossing_cylinder(gap):
    r_n, r_v, depth = 1.6, 0.9, 0.5
    height = r_n - depth + gap + r_v
    crossing = vessel(5 * Y + height * Z, X, r_v)
    parts = straight(10, r_n, r_n)
    groove = dataclasses.replace(crossing.tube, radius=crossing.tube.radius + gap)
    parts = dataclasses.replace(parts, nerve=dataclasses.replace(parts.nerve, groove=groove))
    truth = measured(parts, crossing)

    def segment(bottom: float) -> float:
        return r_n**2 * np.arccos(bottom / r_n) - bottom * np.sqrt(r_n**2 - bottom**2)

    def lost(y: float) -> float:
        bottom = height - np.sqrt((r_v + gap) ** 2 - y**2)
        return segment(min(bottom, r_n))

    half = np.sqrt((r_v + gap) ** 2 - (height - r_n) ** 2)
    volume = np.pi * r_n**2 * 10 - 2 * quad(lost, 0, half)[0]
    whole = np.pi * r_n**2
    assert truth["indentation_mm"] == pytest.approx(depth, abs=2e-3)
    assert truth["volume_mm3"] == pytest.approx(volume, rel=3e-4)
    assert truth["min_area_mm2"] == pytest.approx(whole - lost(0), rel=5e-4)
    assert truth["min_area_position_mm"] == pytest.approx(5, abs=0.03)
    assert truth["area_loss_percent"] == pytest.approx(100 * lost(0) / whole, abs=0.05)
    assert truth["gap_mm"] == pytest.approx(gap, abs=1e-3)
    assert truth["sindou_grade"] == 3
    if gap == 0:
        # The floor is part of the vessel: twice the half width at each angle of its section.
        limit = np.arcsin(half / r_v)
        floor = quad(
            lambda t: 2 * r_v * np.sqrt(max(r_n**2 - (height - r_v * np.cos(t)) ** 2, 0)),
            -limit,
            limit,
        )[0]
        # The rim is sharp here, and the mesh (0.05 mm) may miss half a cell along it.
        rim = 2 * (2 * r_v * limit + 2 * np.sqrt(r_n**2 - (r_n - depth) ** 2))
        assert floor - 0.05 / 2 * rim * 1.5 < truth["contact_area_0_mm2"] < floor * 1.002
    else:
        assert truth["contact_area_0_mm2"] == 0


def test_triangles_are_cut_exactly_by_a_plane():
    y, x = np.meshgrid(np.arange(5.0), np.arange(6.0), indexing="ij")
    points = np.stack([x, y, 0 * x], axis=-1)
    area = patch_area(points, x + 0.5 * y - 2.2)
    # The last column closes on the first, back over the sheet; leave it out.
    expected = quad(lambda v: max(0.0, 2.2 - 0.5 * v), 0, 4)[0]
    assert area[:, :-1].sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", [3, 4, 8])
def test_dented_surface_lies_on_the_implicit_function_and_is_met_once(seed):
    scene = sample_scene(np.random.default_rng(seed), *read_overrides({"compression": "indented"}))
    nerve = scene.sides["right"].nerve
    surface = surface_of(nerve, n_angles=64)
    rows = np.flatnonzero((surface.undented - surface.radius).max(axis=1) > 1e-3)[::6]
    inner = surface.points(surface.radius)[rows]
    on = [n for n in rows if 0.1 < nerve.curve.s[n] < nerve.length - 0.1]
    value, _ = nerve.sdf(surface.points(surface.radius)[on].reshape(-1, 3))
    assert np.abs(value).max() < 2e-4
    center = nerve.curve.points[rows][:, None]
    share = np.linspace(0.02, 1.3, 120)
    rays = center[..., None, :] + share[:, None] * (inner - center)[..., None, :]
    inside = nerve.sdf(rays.reshape(-1, 3))[0].reshape(-1, len(share)) < 0
    crossings = np.abs(np.diff(inside.astype(int), axis=1)).sum(axis=1)
    assert inside[:, 0].all()
    assert np.mean(crossings == 1) == 1


def test_contact_area_agrees_with_marching_cubes():
    from skimage.measure import marching_cubes

    scene = sample_scene(
        np.random.default_rng(2),
        *read_overrides(
            {"compression": "indented", "displacement_mm": 0.5, "petrosal_vein": False}
        ),
    )
    parts = scene.sides["left"]
    truth, _ = measure_side(parts, scene.pons, scene.vessels)
    touching = next(v for v in scene.vessels if v.side == "left" and v.role == "offender")
    middle = parts.nerve.curve.points[
        int((truth["contact_position_mm"] - parts.nerve.curve.start) / parts.nerve.curve.step)
    ]
    step = 0.1
    axis = np.arange(-4, 4 + step / 2, step)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) + middle
    value = parts.nerve.sdf(grid.reshape(-1, 3))[0].reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(value, 0.0, spacing=(step,) * 3)
    vertices = vertices + grid[0, 0, 0]
    centers = vertices[faces].mean(axis=1)
    edges = vertices[faces]
    areas = (
        np.linalg.norm(np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]), axis=1) / 2
    )
    axis_points = touching.tube.curve.points
    distance = np.full(len(centers), np.inf)
    for point, radius in zip(axis_points, touching.tube.radius, strict=True):
        distance = np.minimum(distance, np.linalg.norm(centers - point, axis=1) - radius)
    outside = scene.pons.sdf(centers)[0] > 0
    close = areas[(distance <= 0.5) & outside].sum()
    assert truth["contact_area_mm2"] == pytest.approx(close, rel=0.02)
    near = areas[(distance <= 1.0) & outside].sum()
    assert truth["contact_area_1_mm2"] == pytest.approx(near, rel=0.02)
