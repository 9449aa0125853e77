"""What must hold for the nerve measures of any scan: symmetries, units, monotony."""

from __future__ import annotations

import functools
import itertools
import warnings

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from precisionpain.errors import DataWarning
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.morphometry import (
    EXTRA_MEASURES,
    MEASURES,
    measure_compression,
    trace_nerves,
)

from . import solids

Image = nibabel.Nifti1Image
NUMBERS = [name for name in (*MEASURES, *EXTRA_MEASURES) if name != "vessel"]
MODES = ("mask", "shares")
# Wide enough for 7 mm around the nerves: what lies farther away has no say.
OBLIQUE = solids.grid(extent=(26, 32, 28), centre=(-17.0, 2.0, 0.0), oblique_deg=12.0)


def measure(labels: Image, shares: Image | None = None, side: str = "left") -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the other side has no nerve
        found = measure_compression(labels, probabilities=shares, intervals=False)
    assert found.loc[side, "flags"] == ""
    return found.loc[[side]]


def painted() -> list:
    """A nerve crossed by a vein, and what else there is on this side of the head."""
    head = solids.draw_head(5)
    return [
        (Label.VEIN, head.left.vessel),
        (Label.NERVE_LEFT, head.left.nerve),
        (Label.BRAINSTEM, head.pons),
    ]


@functools.cache
def scan() -> tuple[Image, Image]:
    return solids.rasterise(painted(), *OBLIQUE, samples=64)


@functools.cache
def plain(mode: str) -> pd.DataFrame:
    labels, shares = scan()
    return measure(labels, shares if mode == "shares" else None)


def with_affine(image: Image, affine: np.ndarray) -> Image:
    return Image(np.asarray(image.dataobj), affine)


def largest_change(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Return the largest change of each measure: relative where it is above 1, else absolute."""
    a, b = one[NUMBERS].astype(float), other[NUMBERS].astype(float)
    for table in (a, b):
        table["area_loss_percent"] /= 100
    assert a.isna().equals(b.isna())
    assert one["vessel"].tolist() == other["vessel"].tolist()
    return ((a - b).abs() / np.maximum(b.abs(), 1.0)).max()


def assert_same(one: pd.DataFrame, other: pd.DataFrame, tolerance: float = 1e-3) -> None:
    change = largest_change(one, other)
    assert change.max() <= tolerance, change[change > tolerance].to_dict()


# Of the 48 ways to store a scan: every order of the axes, and every combination of flips.
STORED = [
    (order, flips)
    for order, flips in zip(
        itertools.cycle(itertools.permutations(range(3))),
        itertools.product((1, -1), repeat=3),
        strict=False,
    )
]


@pytest.mark.parametrize(("order", "flips"), STORED[1::2])
def test_storage_order_of_shares(order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    labels, shares = scan()
    how = np.array(list(zip(order, flips, strict=True)))
    assert_same(measure(labels.as_reoriented(how), shares.as_reoriented(how)), plain("shares"))


@pytest.mark.parametrize(("order", "flips"), STORED[2::4])
def test_storage_order_of_a_mask(order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    how = np.array(list(zip(order, flips, strict=True)))
    assert_same(measure(scan()[0].as_reoriented(how)), plain("mask"))


def test_companions_may_be_stored_in_another_order() -> None:
    labels, shares = scan()
    how = np.array([[2, -1], [0, 1], [1, -1]])
    assert_same(measure(labels.as_reoriented(how), shares), plain("shares"))


def mirrored(labels: Image, shares: Image) -> tuple[Image, Image]:
    """Return the mirrored person: left is right."""
    affine = np.diag([-1.0, 1, 1, 1]) @ labels.affine
    swap = np.array([0, 1, 3, 2, 4, 5])
    return (
        Image(swap[np.asarray(labels.dataobj)].astype(np.uint8), affine),
        Image(np.asarray(shares.dataobj)[..., swap], affine),
    )


@pytest.mark.parametrize("mode", MODES)
def test_mirror_swaps_the_sides(mode: str) -> None:
    labels, shares = mirrored(*scan())
    found = measure(labels, shares if mode == "shares" else None, side="right")
    assert_same(found.set_axis(["left"]), plain(mode))


@pytest.mark.parametrize("mode", MODES)
def test_moving_the_head_changes_nothing(mode: str) -> None:
    labels, shares = scan()
    affine = labels.affine.copy()
    affine[:3, 3] += [210.0, -80.0, 1033.0]
    moved = with_affine(shares, affine) if mode == "shares" else None
    assert_same(measure(with_affine(labels, affine), moved), plain(mode))


@pytest.mark.parametrize(("mode", "tolerance"), [("mask", 2e-2), ("shares", 1e-3)])
def test_turning_the_head_changes_nothing(mode: str, tolerance: float) -> None:
    """Frames of curves depend on the world's axes; a mask's fit feels it, within its accuracy."""
    labels, shares = scan()
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0.2, -0.3, 0.25]).as_matrix()
    affine = turned @ labels.affine
    moved = with_affine(shares, affine) if mode == "shares" else None
    assert_same(measure(with_affine(labels, affine), moved), plain(mode), tolerance)


POWER = {
    "volume_mm3": 3, "mean_area_mm2": 2, "min_area_mm2": 2, "length_mm": 1, "diameter_mm": 1,
    "gap_mm": 1, "vessel_diameter_mm": 1, "flattening": 0, "angle_deg": 0,
    "tortuosity": 0,
}  # fmt: skip


def one_side(vessel: solids.Conflict, kind: Label = Label.ARTERY) -> list:
    pons = solids.slab()
    found: list = [] if vessel.vessel is None else [(kind, vessel.vessel)]
    return [*found, (Label.NERVE_LEFT, vessel.nerve), (Label.BRAINSTEM, pons)]


LEFT = solids.grid(extent=(20, 22, 20), centre=(-17.0, 3.0, 0.0))


@functools.cache
def apart() -> tuple[Image, Image]:
    """A vessel 1.5 mm from the nerve: nothing that counts in millimetres has a say."""
    left = solids.cross(solids.nerve_from(solids.slab(), "left", a=1.2, b=0.9), gap=1.5)
    return solids.rasterise(one_side(left), *LEFT, samples=64)


@pytest.mark.parametrize("mode", MODES)
def test_doubled_voxels_double_lengths(mode: str) -> None:
    labels, shares = apart()
    once = measure(labels, shares if mode == "shares" else None)
    affine = np.diag([2.0, 2, 2, 1]) @ labels.affine
    twice = measure(
        with_affine(labels, affine), with_affine(shares, affine) if mode == "shares" else None
    )
    # Curves are sampled in millimetres, so agreement isn't to the last digit.
    for name, power in POWER.items():
        ratio = twice[name] / (once[name] * 2.0**power)
        assert ratio.to_numpy() == pytest.approx(1, abs=5e-3), name
    # Of a vessel what lies within 6 mm is traced: half as much of it in the large scan.
    turned = twice["crossing_angle_deg"] - once["crossing_angle_deg"]
    assert turned.abs().max() < 1.0
    for name in ("contact_area_mm2", "displacement_mm", "indentation_mm", "sindou_grade"):
        assert (once[name] == 0).all()
        assert (twice[name] == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_farther_vessel_never_touches_more(mode: str) -> None:
    nerve = solids.nerve_from(solids.slab(), "left", angle_deg=45)
    areas = []
    for gap in (0.0, 0.2, 0.4, 0.8):
        labels, shares = solids.rasterise(
            one_side(solids.cross(nerve, gap=gap, diameter=1.6)), *LEFT, samples=64
        )
        row = measure(labels, shares if mode == "shares" else None).loc["left"]
        areas.append(
            [row["contact_area_0_mm2"], row["contact_area_mm2"], row["contact_area_1_mm2"]]
        )
    steps = np.diff(np.array(areas), axis=0)
    assert (steps <= 0).all()
    assert areas[0][1] > 3
    assert areas[-1][1] == 0


def test_artery_and_vein_differ_in_name_only() -> None:
    labels, _ = scan()
    swap = np.array([0, 1, 2, 3, 5, 4], dtype=np.uint8)
    found = measure(Image(swap[np.asarray(labels.dataobj)], labels.affine))
    assert found["vessel"].tolist() == ["artery"]
    assert plain("mask")["vessel"].tolist() == ["vein"]
    assert_same(found.assign(vessel=plain("mask")["vessel"]), plain("mask"), 1e-9)


def test_what_lies_far_away_changes_nothing() -> None:
    labels, _ = scan()
    data = np.asarray(labels.dataobj).copy()
    index = np.moveaxis(np.indices(data.shape), 0, -1)
    world = index @ labels.affine[:3, :3].T + labels.affine[:3, 3]
    nerves = (data == Label.NERVE_LEFT) | (data == Label.NERVE_RIGHT)
    away = ndimage.distance_transform_edt(~nerves, sampling=0.5)
    alone = ndimage.distance_transform_edt(data == 0, sampling=0.5)
    place = np.unravel_index(np.argmax(np.where(away > 8.6, alone, 0)), data.shape)
    ball = np.linalg.norm(world - world[place], axis=-1) < min(1.6, alone[place] - 0.8)
    assert ball.sum() > 20
    assert away[ball].min() > 7
    for thing in (Label.ARTERY, Label.VEIN):
        more = data.copy()
        more[ball] = thing
        assert_same(measure(Image(more, labels.affine)), plain("mask"), 1e-9)


def test_a_wider_view_changes_nothing() -> None:
    affine, shape = OBLIQUE
    margin = np.array([6, 8, 5])
    wider = affine.copy()
    wider[:3, 3] -= affine[:3, :3] @ margin
    labels, _ = solids.rasterise(painted(), wider, tuple(np.array(shape) + 2 * margin), samples=64)
    assert_same(measure(labels), plain("mask"), 1e-3)


@pytest.mark.filterwarnings("ignore::precisionpain.errors.DataWarning")
def test_trace_and_table_agree() -> None:
    trace = trace_nerves(scan()[0], probabilities=scan()[1])["left"]
    assert trace is not None
    for name, value in trace.measures().items():
        assert value == plain("shares").loc["left", name], name
