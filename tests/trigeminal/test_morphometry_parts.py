"""Parts of the nerve measures: bins, profiles, contact by tolerance, meshes, asymmetry, grades."""

from __future__ import annotations

import functools
import itertools

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from precisionpain.errors import FormatError
from precisionpain.trigeminal import simulate_cistern
from precisionpain.trigeminal._morphometry.inputs import read_scan
from precisionpain.trigeminal._morphometry.trace import trace_side
from precisionpain.trigeminal.anatomy import REZ_BINS, Label, rez_bin
from precisionpain.trigeminal.grading import sindou_grade
from precisionpain.trigeminal.morphometry import (
    EXTRA_MEASURES,
    INTERVAL_MEASURES,
    MEASURES,
    NerveTrace,
    area_profile,
    asymmetry,
    measure_compression,
    trace_nerves,
)

from . import solids

PONS = solids.slab()
HEAD = solids.Head(
    PONS,
    solids.cross(solids.nerve_from(PONS, "left", angle_deg=45, a=1.7, b=1.2), gap=0.1, at=5.0),
    solids.nerve_from(PONS, "right", angle_deg=60),
)
ROW = 0.1  # mm between the sections of a profile and a mesh


@functools.cache
def scan() -> tuple:
    return solids.rasterise(HEAD.painted(), *solids.grid(), samples=64)


@functools.cache
def traces() -> dict:
    labels, shares = scan()
    return trace_nerves(labels, probabilities=shares)


def left() -> NerveTrace:
    return traces()["left"]


# -- bins and profiles -------------------------------------------------------------------------


def test_bins() -> None:
    found = rez_bin([-0.1, 0.0, 2.999, 3.0, 4.0, 5.0, 6.9, 7.0, 30.0, np.nan, np.inf])
    expected = ["0-3", "0-3", "3-5", "3-5", "5-7", "5-7", ">7", ">7"]
    assert list(found[1:9]) == expected
    assert pd.isna(found[0])
    assert pd.isna(found[9])
    assert pd.isna(found[10])
    assert found.ordered
    assert list(found.categories) == ["0-3", "3-5", "5-7", ">7"]
    assert (found[1:9] >= "3-5").tolist() == [False, False, *[True] * 6]


def test_bins_of_ones_own() -> None:
    found = rez_bin([1.0, 2.0, 3.0, 6.5], bins=(2, 2.5, 6))
    assert list(found.categories) == ["2-2.5", "2.5-6", ">6"]
    assert pd.isna(found[0])
    assert list(found[1:]) == ["2-2.5", "2.5-6", ">6"]
    assert list(rez_bin([1.0], bins=(0,))) == [">0"]
    assert len(rez_bin([])) == 0


@pytest.mark.parametrize("bins", [(3, 2), (0, 0), (), [[0, 1], [2, 3]]])
def test_bins_must_rise(bins: tuple) -> None:
    with pytest.raises(FormatError, match="rising edges"):
        rez_bin([1.0], bins=bins)


PROFILE = [
    "s_mm", "s_over_length", "rez_bin", "area_mm2", "undented_area_mm2", "major_mm", "minor_mm",
    "flattening", "exposed", "vessel_distance_mm", "contact",
]  # fmt: skip


def test_profile() -> None:
    table = left().profile()
    assert table.columns.tolist() == PROFILE
    s = table["s_mm"].to_numpy()
    assert s[0] == 0
    assert s[-1] == pytest.approx(left().length_mm, abs=1e-9)
    assert np.diff(s) == pytest.approx(ROW, rel=0.02)
    assert table["s_over_length"].to_numpy() == pytest.approx(s / s[-1])
    assert table["rez_bin"].tolist() == list(rez_bin(s, REZ_BINS))
    n = HEAD.left.nerve
    assert table["area_mm2"].to_numpy() == pytest.approx(np.pi * n.a * n.b, rel=0.05)
    # An ellipse's area is π times its semi-axes; the true section is one, even below the vessel.
    ellipse = np.pi * table["major_mm"] * table["minor_mm"]
    assert table["area_mm2"].to_numpy() == pytest.approx(ellipse.to_numpy(), rel=0.01)
    assert (table["major_mm"] >= table["minor_mm"]).all()
    assert table["flattening"].to_numpy() == pytest.approx(
        1 - (table["minor_mm"] / table["major_mm"]).to_numpy()
    )
    # The pons hides half of the section at its surface, and nothing farther out than this.
    assert table["exposed"].iloc[0] == pytest.approx(0.5, abs=0.1)
    clear = s > n.a / np.tan(np.deg2rad(45)) + 0.3
    assert (table["exposed"][clear] > 0.99).all()
    assert table["exposed"].between(0, 1).all()
    assert (table["contact"] == (table["vessel_distance_mm"] <= 0.5)).all()


def test_profile_agrees_with_the_measures() -> None:
    table, row = left().profile(), left().measures()
    s, area = table["s_mm"].to_numpy(), table["area_mm2"].to_numpy()
    assert np.trapezoid(area, s) / s[-1] == pytest.approx(row["mean_area_mm2"])
    assert area.min() == pytest.approx(row["min_area_mm2"])
    assert s[np.argmin(area)] == pytest.approx(row["min_area_position_mm"])
    assert np.trapezoid(table["flattening"], s) / s[-1] == pytest.approx(row["flattening"])
    assert table["vessel_distance_mm"].min() == pytest.approx(row["gap_mm"], abs=0.01)
    touched = table["contact"].sum() * ROW
    assert touched == pytest.approx(row["contact_length_mm"], abs=2 * ROW)


def test_profile_without_a_vessel() -> None:
    table = traces()["right"].profile()
    assert table["vessel_distance_mm"].isna().all()
    assert not table["contact"].any()


def test_profile_with_bins_of_ones_own() -> None:
    table = left().profile(bins=(2, 6))
    assert list(table["rez_bin"].cat.categories) == ["2-6", ">6"]
    assert table.loc[table["s_mm"] < 2, "rez_bin"].isna().all()


def test_area_profile_of_labels_and_of_traces() -> None:
    labels, shares = scan()
    of_traces = area_profile(traces(), bins=(0, 4))
    of_labels = area_profile(labels, probabilities=shares, bins=(0, 4))
    pd.testing.assert_frame_equal(of_traces, of_labels)
    assert of_traces.columns.tolist() == ["side", *PROFILE]
    assert of_traces["side"].unique().tolist() == ["left", "right"]
    only = area_profile({"left": None, "right": traces()["right"]})
    assert only["side"].unique().tolist() == ["right"]
    with pytest.raises(FormatError, match="neither nerve"):
        area_profile({"left": None, "right": None})


def test_centreline() -> None:
    for side, trace in traces().items():
        nerve = HEAD.side(side).nerve
        line = trace.centreline(step_mm=0.25)
        assert line.columns.tolist() == ["s_mm", "x", "y", "z"]
        assert line["s_mm"].iloc[[0, -1]].tolist() == pytest.approx([0, trace.length_mm])
        assert line["s_mm"].diff().dropna().to_numpy() == pytest.approx(0.25, rel=0.05)
        s, u, v = nerve.local(line[["x", "y", "z"]].to_numpy())
        assert s == pytest.approx(line["s_mm"].to_numpy(), abs=0.1)
        assert np.hypot(u, v).max() < 0.1


def test_repr_counts_vessels() -> None:
    assert repr(left()).startswith("NerveTrace(left, 1")
    assert repr(left()).endswith("mm, 1 vessel near)")
    assert repr(traces()["right"]).endswith("mm, 0 vessels near)")


# -- contact -----------------------------------------------------------------------------------


def test_contact_rises_with_the_tolerance() -> None:
    tolerances = np.arange(0, 2.01, 0.125)
    found = pd.DataFrame([left().contact(float(t)) for t in tolerances])
    for name in ("area_mm2", "length_mm", "arc_fraction"):
        assert (np.diff(found[name]) >= -1e-9).all()
    assert (np.diff(found["proximal_mm"].dropna()) <= 1e-9).all()
    # Within 0.1 mm, the gap, nothing is touched but what the noise of the fit brings.
    assert found["area_mm2"].iloc[0] < 0.05
    assert (found["n"] == (found["area_mm2"] > 0)).all()
    # From the closed form of the cylinders.
    for tolerance in (0.5, 1.0, 2.0):
        assert HEAD.left.vessel is not None
        true = solids.wall_near(HEAD.left.nerve, HEAD.left.vessel, tolerance, PONS)[0]
        assert left().contact(tolerance)["area_mm2"] == pytest.approx(true, rel=0.04)


def test_contact_is_what_the_measures_say() -> None:
    row = left().measures()
    assert left().contact()["area_mm2"] == row["contact_area_mm2"]
    assert left().contact(0.0)["area_mm2"] == row["contact_area_0_mm2"]
    assert left().contact(1.0)["area_mm2"] == row["contact_area_1_mm2"]
    for name in ("length_mm", "position_mm", "proximal_mm", "arc_fraction"):
        assert left().contact()[name] == row[f"contact_{name}"]


def test_no_vessel_no_contact() -> None:
    found = traces()["right"].contact(5.0)
    assert found["area_mm2"] == found["length_mm"] == found["n"] == found["arc_fraction"] == 0
    assert np.isnan(found["position_mm"])
    assert np.isnan(found["proximal_mm"])


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_tolerances_that_make_no_sense(tolerance: float) -> None:
    with pytest.raises(FormatError, match="tolerance of 0 mm or more"):
        left().contact(tolerance)


# -- meshes ------------------------------------------------------------------------------------


def corners(mesh: dict) -> np.ndarray:
    return mesh["vertices"][mesh["faces"]]


def normals(mesh: dict) -> np.ndarray:
    """Return the normals of the triangles, as long as their areas."""
    p = corners(mesh)
    return np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]) / 2


def rims(mesh: dict) -> list[list[int]]:
    """Return the closed loops of edges that belong to one triangle only."""
    edges = np.concatenate([mesh["faces"][:, [0, 1]], mesh["faces"][:, [1, 2]],
                            mesh["faces"][:, [2, 0]]])  # fmt: skip
    key = np.sort(edges, axis=1)
    _, first, count = np.unique(key, axis=0, return_index=True, return_counts=True)
    assert count.max() == 2  # no edge between three triangles
    follow: dict[int, list[int]] = {}
    for a, b in edges[first[count == 1]]:
        follow.setdefault(int(a), []).append(int(b))
    assert all(len(after) == 1 for after in follow.values())
    loops = []
    while follow:
        start, (at,) = follow.popitem()
        loop = [start]
        while at != start:
            loop.append(at)
            (at,) = follow.pop(at)
        loops.append(loop)
    return loops


def perimeter(a: float, b: float) -> float:
    t = np.linspace(0, 2 * np.pi, 20001)
    return float(np.trapezoid(np.hypot(a * np.sin(t), b * np.cos(t)), t))


@pytest.mark.parametrize("side", ["left", "right"])
def test_nerve_mesh_is_an_open_tube(side: str) -> None:
    mesh = traces()[side].surface()
    n = len(mesh["vertices"])
    assert mesh["vertices"].shape == (n, 3)
    assert mesh["vessel_distance_mm"].shape == mesh["s_mm"].shape == (n,)
    assert mesh["faces"].shape[1] == 3
    assert np.unique(mesh["faces"]).tolist() == list(range(n))  # every vertex is used
    area = np.linalg.norm(normals(mesh), axis=1)
    assert area.min() > 0
    # One rim at the pons, one at the end, nothing else open; a tube has characteristic 0.
    assert len(rims(mesh)) == 2
    n_edges = (3 * len(mesh["faces"]) + sum(len(loop) for loop in rims(mesh))) // 2
    assert n - n_edges + len(mesh["faces"]) == 0
    # The oblique plane of the pons gives one half of the wall what it takes from the other;
    # triangles that it cuts, up to half a row on average, are left out.
    nerve = HEAD.side(side).nerve
    wall = perimeter(nerve.a, nerve.b)
    assert area.sum() == pytest.approx(wall * 10, rel=0.02)
    _, u, v = nerve.local(mesh["vertices"])
    assert np.hypot(u / nerve.a, v / nerve.b) == pytest.approx(1, abs=0.08)
    assert np.abs(PONS.depth(mesh["vertices"])).min() < 0.15
    assert PONS.depth(mesh["vertices"]).min() > -0.1


@pytest.mark.parametrize("side", ["left", "right"])
def test_triangles_all_turn_the_same_way(side: str) -> None:
    mesh, nerve = traces()[side].surface(), HEAD.side(side).nerve
    middle = corners(mesh).mean(axis=1)
    _, u, v = nerve.local(middle)
    outward = np.outer(u, nerve.first) + np.outer(v, nerve.second)
    inward = np.sum(normals(mesh) * outward, axis=1)
    assert (np.sign(inward) == np.sign(inward[0])).all()


@pytest.mark.parametrize("tolerance", [0.5, 1.0])
def test_contact_area_by_the_mesh(tolerance: float) -> None:
    mesh = left().surface()
    area = np.linalg.norm(normals(mesh), axis=1)
    d = np.sort(mesh["vessel_distance_mm"][mesh["faces"]] - tolerance, axis=1)
    # Linear on each triangle, the distance cuts off a corner, or leaves one.
    low, mid, high = d.T
    with np.errstate(divide="ignore", invalid="ignore"):
        corner = low**2 / ((mid - low) * (high - low))
        rest = 1 - high**2 / ((high - low) * (high - mid))
    share = np.where(low >= 0, 0, np.where(high <= 0, 1, np.where(mid >= 0, corner, rest)))
    assert np.sum(share * area) == pytest.approx(left().contact(tolerance)["area_mm2"], rel=0.04)


def test_distances_on_the_mesh() -> None:
    mesh, vessel = left().surface(), HEAD.left.vessel
    assert vessel is not None
    s, u, v = vessel.local(mesh["vertices"])
    near = (mesh["vessel_distance_mm"] < 3) & (np.abs(s) < 8)
    expected = np.hypot(u, v) - vessel.a
    assert near.sum() > 500
    assert mesh["vessel_distance_mm"][near] == pytest.approx(expected[near], abs=0.1)
    assert np.isinf(traces()["right"].surface()["vessel_distance_mm"]).all()


def test_vessels() -> None:
    truth = HEAD.left.vessel
    assert truth is not None
    (mesh,) = left().vessel_surfaces()
    (vessel,) = left().vessels
    assert mesh["kind"] == vessel.kind == "artery"
    assert traces()["right"].vessels == ()
    assert traces()["right"].vessel_surfaces() == []
    s, u, v = truth.local(vessel.centreline)
    inner = np.abs(s) < 5
    assert np.hypot(u, v)[inner].max() < 0.1
    assert vessel.diameter_mm.shape == (len(vessel.centreline),)
    assert vessel.diameter_mm[inner] == pytest.approx(1.4, abs=0.1)
    s, u, v = truth.local(mesh["vertices"])
    assert np.hypot(u, v)[np.abs(s) < 5] == pytest.approx(0.7, abs=0.1)
    assert len(rims(mesh)) == 2


def test_a_vessel_that_may_be_either_is_as_thick_as_one_that_is_known() -> None:
    """A network with 55 to 45 for artery sees one vessel, not two of half the section."""
    labels, shares = scan()
    torn = np.asarray(shares.dataobj).copy()
    torn[..., Label.VEIN] = 0.45 * torn[..., Label.ARTERY]
    torn[..., Label.ARTERY] *= 0.55
    either = nibabel.Nifti1Image(torn, shares.affine)
    (vessel,) = trace_nerves(labels, probabilities=either, predicted=True)["left"].vessels
    (known,) = trace_nerves(labels, probabilities=shares, predicted=True)["left"].vessels
    assert vessel.kind == "artery"
    np.testing.assert_allclose(vessel.diameter_mm, known.diameter_mm, atol=1e-3)
    # Shares that are measured, not guessed, are of two vessels in the same place.
    assert len(trace_nerves(labels, probabilities=either)["left"].vessels) != 1


@pytest.mark.parametrize("n_labelled", [0, 2, 3])
def test_a_trace_of_a_vessel_that_a_network_calls_none_is_none(n_labelled: int) -> None:
    """A share of 0.4 all along it, and next to no voxel with the label, tells of no vessel."""
    free = {"compression": "none", "vessel": "sca", "gap_mm": 1.0, "petrosal_vein": False}
    cistern = simulate_cistern(8, spacing=0.6, **free)
    labels, shares = cistern.labels, cistern.fractions
    values, faint = np.array(labels.dataobj), np.array(shares.dataobj)
    artery = faint[..., Label.ARTERY].copy()
    near = ndimage.distance_transform_edt(values != Label.NERVE_LEFT) * 0.6 < 4
    order = np.argsort(artery * near, axis=None)
    seen = np.unravel_index(order[artery.size - n_labelled :], artery.shape)
    faint[..., Label.ARTERY] *= 0.4
    faint[(*seen, Label.ARTERY)] = artery[seen]
    faint[..., Label.BACKGROUND] += artery - faint[..., Label.ARTERY]
    values[values == Label.ARTERY] = Label.BACKGROUND
    values[seen] = Label.ARTERY
    image = nibabel.Nifti1Image(values, labels.affine)
    faint_shares = nibabel.Nifti1Image(faint, shares.affine)
    found = trace_nerves(image, probabilities=faint_shares, predicted=True)["left"].vessels
    assert bool(found) == (n_labelled >= 3)
    # Shares that are measured are of a thin vessel.
    assert trace_nerves(image, probabilities=faint_shares)["left"].vessels != ()


# -- tables ------------------------------------------------------------------------------------


@functools.cache
def table() -> pd.DataFrame:
    labels, shares = scan()
    return measure_compression(labels, probabilities=shares)


def test_columns() -> None:
    assert table().index.tolist() == ["left", "right"]
    assert table().index.name == "side"
    ends = [f"{name}_{end}" for name in INTERVAL_MEASURES for end in ("low", "high")]
    assert table().columns.tolist() == [*MEASURES, *EXTRA_MEASURES, *ends, "flags"]
    for name in ("n_contacts", "sindou_grade"):
        assert table()[name].dtype == "Int64"
    assert table().loc["left", "vessel"] == "artery"
    assert table().loc["right", "vessel"] is None
    # What is positions, contact and vessel without a vessel: missing, or nothing.
    right = table().loc["right"]
    for name in ("gap_mm", "contact_position_mm", "contact_proximal_mm", "vessel_diameter_mm",
                 "crossing_angle_deg"):  # fmt: skip
        assert np.isnan(right[name])
    for name in ("contact_area_mm2", "contact_length_mm", "n_contacts", "displacement_mm",
                 "indentation_mm", "sindou_grade"):  # fmt: skip
        assert right[name] == 0


def test_intervals_hold_the_value() -> None:
    for side, name in itertools.product(("left", "right"), INTERVAL_MEASURES):
        value, low, high = (
            float(table().loc[side, f"{name}{end}"]) for end in ("", "_low", "_high")
        )
        if np.isnan(value):
            assert np.isnan(low), name
            assert np.isnan(high), name
        else:
            assert low <= value <= high, name
    for name in ("volume_mm3", "length_mm", "mean_area_mm2", "min_area_mm2", "angle_deg"):
        width = table()[f"{name}_high"] - table()[f"{name}_low"]
        assert (width > 0).all()
        assert (width < 0.5 * table()[name]).all()
    for name in INTERVAL_MEASURES:
        if name not in ("gap_mm",):  # a vessel may press into a nerve
            assert (table()[f"{name}_low"].dropna() >= 0).all()
    contact = table().loc["left"]
    assert contact["contact_area_mm2_high"] > contact["contact_area_mm2_low"]


def test_intervals_hold_the_truth_of_large_measures() -> None:
    for side, true in HEAD.truth().items():
        for name in ("volume_mm3", "length_mm", "mean_area_mm2", "angle_deg"):
            row = table().loc[side]
            # 95% each; here with twice the width, so that chance has little say.
            middle, half = row[name], row[f"{name}_high"] - row[f"{name}_low"]
            assert abs(true[name] - middle) <= half, (side, name)


def test_intervals_are_repeatable_and_optional() -> None:
    labels, shares = scan()
    again = measure_compression(labels, probabilities=shares)
    pd.testing.assert_frame_equal(again, table())
    without = measure_compression(labels, probabilities=shares, intervals=False)
    assert without.columns.tolist() == [*MEASURES, *EXTRA_MEASURES, "flags"]
    pd.testing.assert_frame_equal(without, table()[without.columns])


# -- asymmetry and grade -----------------------------------------------------------------------


def sides(**columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns, index=["left", "right"])


def test_asymmetry_of_the_affected_side() -> None:
    frame = sides(volume_mm3=[60.0, 80.0], gap_mm=[1.0, 0.0], n_contacts=[1, 3])
    left_hurts = asymmetry(frame, "left")
    assert left_hurts["volume_mm3"] == pytest.approx(20 / 80)
    assert np.isnan(left_hurts["gap_mm"])  # the denominator is 0
    assert left_hurts["n_contacts"] == pytest.approx(2 / 3)
    right_hurts = asymmetry(frame, "right")
    assert right_hurts["volume_mm3"] == pytest.approx(-20 / 60)
    assert right_hurts["gap_mm"] == 1.0


def test_asymmetry_without_an_affected_side() -> None:
    found = asymmetry(sides(volume_mm3=[60.0, 80.0], gap_mm=[0.5, -0.5]))
    assert found["volume_mm3"] == pytest.approx(2 * (60 - 80) / 140)
    assert np.isnan(found["gap_mm"])


def test_asymmetry_follows_the_names_of_the_rows() -> None:
    frame = sides(volume_mm3=[60.0, 80.0])
    assert asymmetry(frame.loc[["right", "left"]], "left").equals(asymmetry(frame, "left"))


def test_asymmetry_of_a_whole_table() -> None:
    found = asymmetry(table(), "left")
    assert not [name for name in found.index if name.endswith(("_low", "_high"))]
    assert "vessel" not in found
    assert "flags" not in found
    row = table()["volume_mm3"]
    assert found["volume_mm3"] == pytest.approx((row["right"] - row["left"]) / row["right"])
    assert np.isnan(found["gap_mm"])  # no vessel on one side


def test_asymmetry_needs_both_sides() -> None:
    with pytest.raises(FormatError, match="rows 'left' and 'right'"):
        asymmetry(sides(volume_mm3=[1.0, 2.0]).loc[["left"]])
    with pytest.raises(FormatError, match="expected affected_side"):
        asymmetry(sides(volume_mm3=[1.0, 2.0]), "both")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gap", "displacement", "indentation", "grade"),
    [
        (np.nan, 0.0, 0.0, 0),
        (np.nan, 2.0, 1.0, 0),  # nothing there that could have done it
        (0.51, 2.0, 1.0, 0),
        (0.5, 0.0, 0.0, 1),
        (-0.3, 0.29, 0.19, 1),
        (0.2, 0.3, 0.0, 2),
        (0.2, 3.0, 0.19, 2),
        (0.2, 0.0, 0.2, 3),
        (0.0, 3.0, 0.5, 3),
        (0.2, np.nan, 0.0, 1),  # what isn't known isn't graded up
        (0.2, np.nan, np.nan, 1),
    ],
)
def test_grade(gap: float, displacement: float, indentation: float, grade: int) -> None:
    assert sindou_grade(gap, displacement, indentation) == grade


def test_grade_with_limits_of_ones_own() -> None:
    assert sindou_grade(0.8, 0.0, 0.0, touch_mm=1.0) == 1
    assert sindou_grade(0.2, 0.4, 0.0, displaced_mm=0.5) == 1
    assert sindou_grade(0.2, 0.4, 0.3, indented_mm=0.5) == 2


def test_labels_and_sides() -> None:
    assert [label.value for label in Label] == list(range(6))
    assert Label.nerve("left") is Label.NERVE_LEFT
    with pytest.raises(FormatError, match="expected side 'left' or 'right'"):
        Label.nerve("both")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [9006, 9012])
def test_a_crumb_beside_a_vessel_does_not_become_one(seed):
    """Thick slices leave voxels beside a thin vessel whose tube would grow without end."""
    cistern = simulate_cistern(seed, spacing=(0.4, 0.4, 1.0))
    scan, _ = read_scan(cistern.labels, probabilities=cistern.fractions)
    found = trace_side(scan, "left").geometry.measure()
    truth = cistern.truth.loc["left"]
    assert abs(found["vessel_diameter_mm"] - truth["vessel_diameter_mm"]) < 0.2
    assert abs(found["gap_mm"] - truth["gap_mm"]) < 0.2
    assert abs(found["contact_area_mm2"] - truth["contact_area_mm2"]) < 0.12 * 9.2
