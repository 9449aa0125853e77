"""The nerve measures on solids whose measures are known in closed form.

Mean absolute errors over a few draws must stay within the accuracy that the library states:
plain at 0.5 mm, twice that for thick slices and for an oblique grid.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

from precisionpain.errors import DataWarning
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.morphometry import measure_compression

from . import solids

# How the voxels were filled, and what the measures are told of it.
MODES = ("mask", "shares")
GRIDS = {
    "0.5 mm": ({"spacing": 0.5}, 1.0),
    "0.4 x 0.4 x 1.0 mm": ({"spacing": (0.4, 0.4, 1.0)}, 2.0),
    "15 degrees oblique": ({"spacing": 0.5, "oblique_deg": 15.0}, 2.0),
}
DRAWS = (
    *[(seed, False) for seed in range(3)],  # nerves leave a plane
    (0, True),  # nerves leave a ball
)

EVERY_GRID = [
    "0.5 mm",
    *[pytest.param(grid, marks=pytest.mark.slow) for grid in list(GRIDS)[1:]],
]

# Measure -> largest mean absolute error of masks and of shares; "%" of the truth where said.
ACCURACY = {
    "volume_mm3": ("%", 2.0, 2.0),
    "length_mm": ("", 0.2, 0.2),
    "mean_area_mm2": ("%", 2.0, 2.0),
    "min_area_mm2": ("%", 3.0, 3.0),
    "flattening": ("", 0.04, 0.03),
    "angle_deg": ("", 2.5, 1.0),
    "gap_mm": ("", 0.10, 0.10),
    "contact_area_0_mm2": ("", 0.1, 0.1),
    "contact_length_mm": ("", 0.3, 0.3),
    "contact_position_mm": ("", 0.3, 0.3),
    "vessel_diameter_mm": ("", 0.10, 0.10),
    "crossing_angle_deg": ("", 2.5, 1.0),
    "displacement_mm": ("", 0.15, 0.15),
    "indentation_mm": ("", 0.10, 0.10),
}
BIAS_PERCENT, ERROR_PERCENT = 3.0, 6.0  # of contact areas, pooled


# What falls short of the stated accuracy on these solids; docs/explanation/nerve_measures.md says
# so. Strict: whoever mends one has to take it off the list.
SHORT = {
    ("contact_area_mm2", "0.5 mm", "mask"): "bias 4% instead of 3% over 8 nerves; -0.2 to -2.5% "
    "over 40",
    ("contact_area_mm2", "0.4 x 0.4 x 1.0 mm", "mask"): "12.6% instead of 12% over 4 nerves",
    ("contact_area_0_mm2", "groove", "shares"): "40% too small: half of a floor that just touches "
    "is measured a hundredth of a millimetre apart",
}


def fails_short(request: pytest.FixtureRequest, *case: str) -> None:
    """Expect the failure of a case that is known to fall short."""
    if case in SHORT:
        request.applymarker(pytest.mark.xfail(strict=True, reason=SHORT[case]))


@functools.cache
def measured(grid: str, mode: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was found and what is true, one row per nerve."""
    found, true = [], []
    for seed, round_pons in DRAWS if grid == "0.5 mm" else DRAWS[2:]:
        head = solids.draw_head(seed, round_pons=round_pons)
        shift = np.random.default_rng(1000 + seed).uniform(-0.5, 0.5, 3)
        labels, shares = raster(seed, round_pons, grid, tuple(shift))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # `test_nothing_is_amiss` looks at them
            found.append(
                measure_compression(
                    labels, probabilities=shares if mode == "shares" else None, intervals=False
                )
            )
        true.append(pd.DataFrame.from_dict(head.truth(), orient="index"))
    return pd.concat(found, ignore_index=True), pd.concat(true, ignore_index=True)


@functools.cache
def raster(seed: int, round_pons: bool, grid: str, shift: tuple[float, ...]) -> tuple:
    painted = solids.draw_head(seed, round_pons=round_pons).painted()
    return solids.rasterise(painted, *solids.grid(shift=shift, **GRIDS[grid][0]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", EVERY_GRID)
@pytest.mark.parametrize("name", ACCURACY)
def test_mean_error(grid: str, mode: str, name: str, request: pytest.FixtureRequest) -> None:
    fails_short(request, name, grid, mode)
    found, true = measured(grid, mode)
    unit, for_masks, for_shares = ACCURACY[name]
    error = (found[name] - true[name]).abs()
    if unit == "%":
        error = 100 * error / true[name]
    limit = for_masks if mode == "mask" else for_shares
    assert error.mean() <= limit * GRIDS[grid][1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", EVERY_GRID)
@pytest.mark.parametrize("name", ["contact_area_mm2", "contact_area_1_mm2"])
def test_contact_area(grid: str, mode: str, name: str, request: pytest.FixtureRequest) -> None:
    fails_short(request, name, grid, mode)
    found, true = measured(grid, mode)
    error = found[name] - true[name]
    assert abs(100 * error.sum() / true[name].sum()) <= BIAS_PERCENT * GRIDS[grid][1]
    assert 100 * error.abs().sum() / true[name].sum() <= ERROR_PERCENT * GRIDS[grid][1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", EVERY_GRID)
def test_what_can_be_counted_is_right(grid: str, mode: str) -> None:
    found, _ = measured(grid, mode)
    assert found["vessel"].tolist() == ["artery", "vein"] * (len(found) // 2)
    assert (found["n_contacts"] == 1).all()
    assert (found["sindou_grade"] == 1).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", EVERY_GRID)
def test_nothing_is_amiss(grid: str, mode: str) -> None:
    assert measured(grid, mode)[0]["flags"].tolist() == [""] * len(measured(grid, mode)[0])


def test_centre_sampling_does_as_well_as_majority() -> None:
    head = solids.draw_head(1)
    labels, _ = solids.rasterise(head.painted(), *solids.grid(), sampling="centre")
    found = measure_compression(labels, intervals=False)
    for side, true in head.truth().items():
        assert found.loc[side, "volume_mm3"] == pytest.approx(true["volume_mm3"], rel=0.03)
        assert found.loc[side, "length_mm"] == pytest.approx(true["length_mm"], abs=0.3)
        assert found.loc[side, "gap_mm"] == pytest.approx(true["gap_mm"], abs=0.1)


# -- nerves that a vessel deforms --------------------------------------------------------------

ROUND = {"a": 1.5, "b": 1.5, "angle_deg": 55.0}
GROOVES = {"left": (0.3, 0.8), "right": (0.6, 0.7)}  # depth and radius of the vessel, mm


@functools.cache
def grooved(mode: str) -> pd.DataFrame:
    pons = solids.slab()
    sides = {
        side: solids.cross(
            solids.nerve_from(pons, side, **ROUND), gap=-depth, angle_deg=90, diameter=2 * radius,
        )
        for side, (depth, radius) in GROOVES.items()
    }  # fmt: skip
    head = solids.Head(pons, sides["left"], sides["right"], (Label.ARTERY, Label.ARTERY))
    painted = head.painted()
    order = [2, 3, 0, 1, 4]  # the vessels lie in the nerves: they are painted later
    labels, shares = solids.rasterise([painted[i] for i in order], *solids.grid())
    return measure_compression(
        labels, probabilities=shares if mode == "shares" else None, intervals=False
    )


def grooves() -> pd.DataFrame:
    rows = {side: solids.groove(1.5, radius, depth) for side, (depth, radius) in GROOVES.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


@pytest.mark.parametrize("mode", MODES)
def test_groove(mode: str) -> None:
    found, true = grooved(mode), grooves()
    depth = pd.Series({side: depth for side, (depth, _) in GROOVES.items()})
    whole = np.pi * 1.5**2 * 10
    assert (found["indentation_mm"] - depth).abs().mean() <= 0.10
    assert (found["min_area_mm2"] / true["least_area_mm2"] - 1).abs().mean() <= 0.03
    assert (found["volume_mm3"] / (whole - true["lost_mm3"]) - 1).abs().mean() <= 0.02
    # The smallest area to 3% is the loss to 3 points.
    assert (found["area_loss_percent"] - true["loss_percent"]).abs().mean() <= 3.0
    assert (found["min_area_position_mm"] - 5).abs().mean() <= 0.3
    assert (found["contact_position_mm"] - 5).abs().mean() <= 0.3
    assert found["gap_mm"].abs().max() <= 0.10
    assert (found["displacement_mm"] <= 0.15).all()
    assert (found["sindou_grade"] == 3).all()


def test_contact_without_tolerance_is_the_floor_of_a_groove(
    request: pytest.FixtureRequest,
) -> None:
    fails_short(request, "contact_area_0_mm2", "groove", "shares")
    found, true = grooved("shares")["contact_area_0_mm2"], grooves()["floor_mm2"]
    assert abs(found.sum() / true.sum() - 1) <= 0.25


@functools.cache
def pushed(mode: str) -> tuple[pd.DataFrame, float]:
    """Left: pushed aside by 1.2 mm as a raised cosine; right: an arc without a vessel."""
    pons, radius, push, top, half = solids.slab(), 1.4, 1.2, 6.0, 5.0
    left = solids.nerve_from(pons, "left", angle_deg=55).nerve
    right = solids.nerve_from(pons, "right", angle_deg=40).nerve
    m = solids.across(left.axis, np.array([0, 0, 1.0]))

    def aside(t: np.ndarray) -> np.ndarray:
        bump = np.where(np.abs(t - top) < half, np.cos(np.pi * (t - top) / (2 * half)) ** 2, 0)
        return left.origin + t[:, None] * left.axis - push * bump[:, None] * m

    def arc(t: np.ndarray) -> np.ndarray:
        k, up = 0.05, solids.across(right.axis, np.array([0, 0, 1.0]))
        return (
            right.origin
            + (np.sin(k * t) / k)[:, None] * right.axis
            + ((1 - np.cos(k * t)) / k)[:, None] * up
        )

    w = np.cross(left.axis, m)
    centre = aside(np.array([top]))[0] + (radius + 0.7 + 0.05) * m
    vessel = solids.Cylinder(centre, w, m, 0.7, 0.7, -11, 11)
    t = np.linspace(0, 12, 4001)
    length = float(np.linalg.norm(np.diff(aside(t), axis=0), axis=1).sum())
    labels, shares = solids.rasterise(
        [
            (Label.ARTERY, vessel),
            (Label.NERVE_LEFT, solids.bent(aside, -6, 12, radius)),
            (Label.NERVE_RIGHT, solids.bent(arc, -6, 10, radius)),
            (Label.BRAINSTEM, pons),
        ],
        *solids.grid(),
        samples=64,
    )
    return measure_compression(
        labels, probabilities=shares if mode == "shares" else None, intervals=False
    ), length


@pytest.mark.parametrize("mode", MODES)
def test_displacement(mode: str) -> None:
    found, length = pushed(mode)
    left = found.loc["left"]
    assert left["displacement_mm"] == pytest.approx(1.2, abs=0.15)
    assert left["length_mm"] == pytest.approx(length, abs=0.2)
    # A tube of constant section has the volume of its length (Pappus), cut at half its width.
    assert left["volume_mm3"] == pytest.approx(np.pi * 1.4**2 * length, rel=0.02)
    assert left["angle_deg"] == pytest.approx(55, abs=2.5 if mode == "mask" else 1.0)
    assert left["indentation_mm"] <= 0.10
    assert left["sindou_grade"] == 2


@pytest.mark.parametrize("mode", MODES)
def test_arc(mode: str) -> None:
    right = pushed(mode)[0].loc["right"]
    assert right["length_mm"] == pytest.approx(10, abs=0.2)
    assert right["volume_mm3"] == pytest.approx(np.pi * 1.4**2 * 10, rel=0.02)
    assert right["mean_area_mm2"] == pytest.approx(np.pi * 1.4**2, rel=0.02)
    assert right["diameter_mm"] == pytest.approx(2.8, rel=0.01)
    assert right["angle_deg"] == pytest.approx(40, abs=2.5 if mode == "mask" else 1.0)
    assert right["curvature_per_mm"] == pytest.approx(0.05, abs=0.015)
    chord = 2 / 0.05 * np.sin(0.05 * 10 / 2)
    assert right["tortuosity"] == pytest.approx(10 / chord, abs=0.004)
    assert right["flattening"] <= 0.04
    assert right["displacement_mm"] == 0
    assert right["sindou_grade"] == 0
    assert right["vessel"] is None
    assert np.isnan(right["gap_mm"])


# -- what the helper itself claims -------------------------------------------------------------


def test_shares_of_a_ball_add_up_to_its_volume() -> None:
    labels, shares = solids.rasterise(
        [(Label.ARTERY, solids.Ball(np.array([0.1, 3.2, -0.3]), 4.0))],
        *solids.grid(extent=(10, 10, 10)),
    )
    volume = float(shares.get_fdata()[..., Label.ARTERY].sum()) * 0.5**3
    assert volume == pytest.approx(4 / 3 * np.pi * 4.0**3, rel=1e-3)
    assert set(np.unique(labels.get_fdata())) == {0, Label.ARTERY}


@pytest.mark.parametrize("seed", [0, 1])
def test_gap_of_skew_cylinders_is_that_of_their_surfaces(seed: int) -> None:
    one = solids.draw_head(seed).left
    assert one.vessel is not None
    n, t = one.nerve, np.linspace(0, 2 * np.pi, 721)
    ring = np.outer(n.a * np.cos(t), n.first) + np.outer(n.b * np.sin(t), n.second)
    s = np.linspace(0, n.high, 1201)
    wall = n.origin + s[:, None, None] * n.axis + ring
    offset = wall - one.vessel.origin
    along = offset @ one.vessel.axis
    away = np.linalg.norm(offset - along[..., None] * one.vessel.axis, axis=-1) - one.vessel.a
    assert away.min() == pytest.approx(one.gap, abs=1e-4)
