"""What the nerve measures say of bad input: a typed error, or a flag that names the side."""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from precisionpain.errors import DataWarning, FormatError, GeometryError, MissingModalityError
from precisionpain.trigeminal import simulate_cistern
from precisionpain.trigeminal.anatomy import Label
from precisionpain.trigeminal.morphometry import (
    EXTRA_MEASURES,
    MEASURES,
    area_profile,
    measure_compression,
    trace_nerves,
)

from . import solids

Image = nibabel.Nifti1Image
NUMBERS = [name for name in (*MEASURES, *EXTRA_MEASURES) if name != "vessel"]
GRID = solids.grid(extent=(50, 24, 20))
LEFT = solids.grid(extent=(20, 26, 22), centre=(-17.0, 3.5, 0.0))
PONS = solids.slab()
NERVE = solids.nerve_from(PONS, "left", angle_deg=45)


@functools.cache
def both() -> tuple[Image, Image]:
    left = solids.cross(NERVE, gap=0.2)
    right = solids.cross(solids.nerve_from(PONS, "right", angle_deg=55), gap=0.1, around_deg=-30)
    return solids.rasterise(solids.Head(PONS, left, right).painted(), *GRID, samples=64)


@functools.cache
def base() -> pd.DataFrame:
    return measure_compression(both()[0], intervals=False)


def data() -> np.ndarray:
    return np.array(both()[0].dataobj)


def image(array: np.ndarray, affine: np.ndarray | None = None) -> Image:
    return Image(array, GRID[0] if affine is None else affine)


def along_left() -> np.ndarray:
    """Return the place along the left nerve's axis of each voxel, mm."""
    index = np.moveaxis(np.indices(GRID[1]), 0, -1).reshape(-1, 3)
    world = index @ GRID[0][:3, :3].T + GRID[0][:3, 3]
    return NERVE.nerve.local(world)[0].reshape(GRID[1])


def quietly(labels: Any, **more: Any) -> tuple[pd.DataFrame, list[str]]:
    """Return the table and the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = measure_compression(labels, intervals=False, **more)
    assert all(issubclass(one.category, DataWarning) for one in caught), caught
    return table, [str(one.message) for one in caught]


def left_of(painted: list, *, shares: bool = False) -> pd.Series:
    """Measure a scan of the left side alone; its flags must have come as a warning too."""
    labels, fractions = solids.rasterise([*painted, (Label.BRAINSTEM, PONS)], *LEFT, samples=64)
    table, texts = quietly(labels, probabilities=fractions if shares else None)
    row = table.loc["left"]
    assert any(text.startswith("right nerve: no voxel is labelled 3") for text in texts)
    about = [text for text in texts if text.startswith("left nerve: ")]
    assert about == ([f"left nerve: {row['flags']}"] if row["flags"] else [])
    return row


def is_missing(row: pd.Series) -> bool:
    return bool(row[NUMBERS].isna().all() and row["vessel"] is None)


def assert_right_is_as_ever(table: pd.DataFrame) -> None:
    for name in NUMBERS:
        assert table.loc["right", name] == pytest.approx(base().loc["right", name], nan_ok=True)
    assert table.loc["right", "flags"] == ""


# -- absent nerves -----------------------------------------------------------------------------


def test_without_a_left_nerve_the_right_is_measured_as_ever() -> None:
    found = data()
    found[found == Label.NERVE_LEFT] = 0
    with pytest.warns(DataWarning, match=r"left nerve: no voxel is labelled 2.*label it") as caught:
        table = measure_compression(image(found), intervals=False)
    assert len(caught) == 1
    assert is_missing(table.loc["left"])
    assert "no voxel" in table.loc["left", "flags"]
    assert_right_is_as_ever(table)


def test_without_nerves_all_is_missing_and_both_sides_are_named() -> None:
    found = data()
    found[np.isin(found, [2, 3])] = 0
    table, texts = quietly(image(found))
    assert [text.split(" nerve:")[0] for text in texts] == ["left", "right"]
    assert all(is_missing(table.loc[side]) for side in ("left", "right"))
    with pytest.warns(DataWarning, match="nerve: no voxel"):
        assert trace_nerves(image(found)) == {"left": None, "right": None}
    with (
        pytest.warns(DataWarning, match="nerve: no voxel"),
        pytest.raises(FormatError, match="neither nerve"),
    ):
        area_profile(image(found))


# -- arrays that are no label image -------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: np.zeros_like(d), r"empty: every voxel is background.*0 background"),
        (lambda d: d[:, :, 5], r"3-D label image, found 2-D of shape \(100, 48\)"),
        (lambda d: d[..., None], r"3-D label image, found 4-D.*pass one volume"),
        (lambda d: d[..., None].repeat(2, axis=-1), "3-D label image, found 4-D"),
        (lambda d: np.where(d == 5, 9, d), r"unknown labels: 9; known are 0 background.*map"),
        (
            (lambda d: (d + 10 * (d > 0)).astype(np.uint8)),
            r"unknown labels: 11, 12.*map the labels",
        ),
        (lambda d: np.where(d == 5, -1, d.astype(np.int16)), "unknown labels: -1"),
        (lambda d: d.astype(np.float32) * 0.5, r"unknown labels: 0\.5"),
        (lambda d: np.where(d == 5, np.nan, d).astype(np.float32), "not finite"),
        (lambda d: np.where(d == 5, np.inf, d).astype(np.float32), "not finite"),
    ],
)
def test_wrong_values_and_shapes(change: Any, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        measure_compression(image(change(data())))


def test_complex_labels_are_refused() -> None:
    labels = image(data().astype(np.complex64))
    with pytest.raises(FormatError):
        measure_compression(labels)


@pytest.mark.parametrize("kind", [np.float64, np.int16, np.uint16])
def test_whole_numbers_of_any_type_are_fine(kind: type) -> None:
    found = data()
    found[found == Label.NERVE_LEFT] = 0  # one nerve is enough here
    table, _ = quietly(image(found.astype(kind)))
    assert_right_is_as_ever(table)


@pytest.mark.parametrize("thing", [None, 3, np.zeros((4, 4, 4))])
def test_what_is_no_image(thing: Any) -> None:
    with pytest.raises(FormatError, match=r"path or a nibabel image, found .*affine"):
        measure_compression(thing)


# -- affines and grids --------------------------------------------------------------------------


def affines() -> dict[str, np.ndarray]:
    fine = GRID[0]
    out = {name: fine.copy() for name in ("same way", "zero", "nan", "shear", "tilt")}
    out["same way"][:3, 2] = fine[:3, 1]
    out["zero"][:3, 2] = 0
    out["nan"][0, 3] = np.nan
    out["shear"][:3, 2] += 0.1 * fine[:3, 1]
    out["tilt"][1, 0] += 0.1
    return out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("same way", "singular.*convert the scan again"),
        ("zero", "axis of length zero.*convert"),
        ("nan", "not finite.*convert"),
        ("shear", "right angles.*resample"),
        ("tilt", "right angles.*resample"),
    ],
)
def test_affines_that_make_no_sense(name: str, says: str) -> None:
    labels = image(data())
    labels._affine = affines()[name]  # no header of NIfTI would take some of these
    with pytest.raises(GeometryError, match=says):
        measure_compression(labels)


def test_no_affine_at_all() -> None:
    with pytest.raises(GeometryError):
        measure_compression(Image(data(), None))


def test_reflected_affine_is_fine() -> None:
    """Stored from right to left (as many scanners do), the same anatomy has the same measures."""
    affine = GRID[0].copy()
    affine[:3, 0] *= -1
    affine[:3, 3] += GRID[0][:3, 0] * (GRID[1][0] - 1)
    found = data()[::-1].copy()
    found[found == Label.NERVE_LEFT] = 0
    assert_right_is_as_ever(quietly(image(found, affine))[0])


@pytest.mark.parametrize("spacing", [(1.3, 0.5, 0.5), (0.4, 0.4, 1.25)])
def test_voxels_too_coarse(spacing: tuple[float, ...]) -> None:
    affine = np.diag([*spacing, 1.0])
    with pytest.raises(GeometryError, match=r"too coarse.*at most 1\.2 mm.*thin-slice"):
        measure_compression(image(data(), affine))


def test_coarse_voxels_on_request() -> None:
    painted = [*solids.Head(PONS, NERVE, NERVE).painted()[:1], (Label.BRAINSTEM, PONS)]
    labels, shares = solids.rasterise(painted, *solids.grid(1.3, extent=(50, 24, 20)))
    with pytest.raises(GeometryError, match="max_spacing_mm"):
        measure_compression(labels)
    table, _ = quietly(labels, probabilities=shares, max_spacing_mm=1.5)
    row = table.loc["left"]
    # Fewer voxels than it takes, or a measure that is still about right.
    assert is_missing(row) or row["length_mm"] == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("companion", ["image", "probabilities"])
def test_companions_on_another_grid(companion: str) -> None:
    labels, shares = both()
    values = np.asarray(shares.dataobj)
    if companion == "image":
        values = values[..., 0]
    shifted = GRID[0].copy()
    shifted[:3, 3] += [0, 0.2, 0]
    with pytest.raises(GeometryError, match=r"lies up to 0\.20 mm from.*resample"):
        measure_compression(labels, **{companion: image(values, shifted)})
    with pytest.raises(GeometryError, match=r"expected the grid of the label image.*resample"):
        measure_compression(labels, **{companion: image(values[1:])})
    scaled = GRID[0].copy()
    scaled[:3, :3] *= 1.01
    with pytest.raises(GeometryError, match="mm from that of the label image"):
        measure_compression(labels, **{companion: image(values, scaled)})


def test_an_image_of_several_volumes_is_refused() -> None:
    labels, shares = both()
    with pytest.raises(FormatError, match="expected a 3-D image, found 4-D"):
        measure_compression(labels, shares)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p[..., :5], r"shape \(x, y, z, 6\).*found shape \(100, 48, 40, 5\)"),
        (lambda p: p[..., 0], r"shape \(x, y, z, 6\).*found shape"),
        (lambda p: np.log(p + 1e-3), r"from 0 to 1, found -6\.9.*softmax"),
        (lambda p: p * 0.9, r"add up to 0\.90.*background"),
        (lambda p: p * [0, 1, 1, 1, 1, 1], r"add up to 0\.00 to 1\.00.*background"),
        (lambda p: np.where(p == 0.5, np.nan, p), "(?i)not finite|nan"),
        (lambda p: p * 100, "from 0 to 1, found 0 to 100"),
        (lambda p: p[..., ::-1], "(?i)label"),
        (lambda p: np.eye(6, dtype=np.float32)[np.zeros(p.shape[:3], dtype=int)], "(?i)label"),
        (lambda p: np.full_like(p, 1 / 6), "(?i)label"),
        (lambda p: p[..., [0, 1, 3, 2, 4, 5]], "(?i)label"),
    ],
    ids=["five", "one", "logits", "sums", "no background", "nan", "percent", "reversed",
         "all background", "uniform", "sides swapped"],
)  # fmt: skip
def test_what_are_no_probabilities_of_these_labels(change: Any, says: str) -> None:
    labels, shares = both()
    changed = np.ascontiguousarray(change(np.asarray(shares.dataobj)).astype(np.float32))
    with pytest.raises(FormatError, match=says):
        measure_compression(labels, probabilities=image(changed))


# -- files --------------------------------------------------------------------------------------


def test_paths(tmp_path: Path) -> None:
    found = data()
    found[found == Label.NERVE_LEFT] = 0
    path = tmp_path / "labels.nii.gz"
    nibabel.save(image(found), path)
    assert_right_is_as_ever(quietly(path)[0])
    shifted = image(found, GRID[0] + np.eye(4, k=3))
    with pytest.raises(GeometryError, match="lies up to"):  # text is a path as well
        measure_compression(str(path), shifted)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FormatError, match=re.escape(str(cut))):
        measure_compression(cut)
    with pytest.raises(MissingModalityError, match=r"nowhere\.nii\.gz"):
        measure_compression(tmp_path / "nowhere.nii.gz")
    text = tmp_path / "labels.txt"
    text.write_text("not an image")
    with pytest.raises(FormatError, match=r"labels\.txt"):
        measure_compression(text)


# -- nerves that are not whole ------------------------------------------------------------------


def test_nerve_cut_by_the_field_of_view() -> None:
    found = data()
    columns = np.flatnonzero((found == Label.NERVE_LEFT).any(axis=(1, 2)))
    first = int(columns[len(columns) // 2])
    affine = GRID[0].copy()
    affine[:3, 3] += GRID[0][:3, 0] * first
    table, texts = quietly(image(found[first:], affine))
    (text,) = [t for t in texts if t.startswith("left nerve: ")]
    assert re.search(r"edge of the image.*wider field of view", text)
    assert table.loc["left", "length_mm"] < 0.8 * base().loc["left", "length_mm"]
    assert_right_is_as_ever(table)


def test_nerve_in_two_pieces() -> None:
    """The larger piece is measured, as if the other were not there."""
    found, s = data(), along_left()
    nerve = found == Label.NERVE_LEFT
    found[nerve & (s > 6) & (s < 7.2)] = 0
    table, texts = quietly(image(found))
    assert re.search(r"left nerve: the nerve is in 2 pieces.*join them", " ".join(texts))
    assert table.loc["left", "length_mm"] == pytest.approx(6, abs=0.5)
    alone = found.copy()
    alone[nerve & (s > 6)] = 0
    expected, _ = quietly(image(alone))
    for name in NUMBERS:
        assert table.loc["left", name] == pytest.approx(expected.loc["left", name], nan_ok=True)
    assert_right_is_as_ever(table)


def test_pieces_of_shares_are_dropped_like_those_of_masks() -> None:
    n = NERVE.nerve
    row = left_of(
        [
            (Label.NERVE_LEFT, dataclasses.replace(n, high=6.0)),
            (Label.NERVE_LEFT, dataclasses.replace(n, low=7.5, high=10.0)),
        ],
        shares=True,
    )
    assert "2 pieces" in row["flags"]
    assert row["length_mm"] == pytest.approx(6, abs=0.2)
    assert row["volume_mm3"] == pytest.approx(np.pi * n.a * n.b * 6, rel=0.02)


def test_specks_beside_a_nerve_do_not_matter() -> None:
    found, s = data(), along_left()
    free = np.argwhere((found == 0) & (s > 12) & (s < 13))
    found[tuple(free[0])] = Label.NERVE_LEFT
    table, texts = quietly(image(found))
    assert texts == []
    for name in ("volume_mm3", "length_mm", "gap_mm"):
        assert table.loc["left", name] == pytest.approx(base().loc["left", name], rel=1e-6)


@pytest.mark.parametrize("reach", [0.6, 1.2])
def test_a_few_voxels_are_no_nerve(reach: float) -> None:
    row = left_of([(Label.NERVE_LEFT, dataclasses.replace(NERVE.nerve, high=reach))])
    assert row["flags"]
    assert is_missing(row) or "not the shape of a nerve" in row["flags"]
    assert not re.search(r"array|axis|size|shape \(", row["flags"])  # no words of NumPy


def test_no_brainstem() -> None:
    found = data()
    found[found == Label.BRAINSTEM] = 0
    table, texts = quietly(image(found))
    assert len(texts) == 2
    assert all(re.search(r"no brainstem is labelled.*label the brainstem", t) for t in texts)
    assert table["angle_deg"].isna().all()
    # From the stump's first voxels on: up to half the width of the oblique cut longer.
    assert (table["length_mm"] - base()["length_mm"]).abs().max() < 2.0
    # A stump cut obliquely is no sign of a displaced nerve.
    assert (table["displacement_mm"] < 0.3).all() or table["displacement_mm"].isna().all()
    assert (table["sindou_grade"].dropna() <= 1).all()


@pytest.mark.parametrize("start", [2.5, 5.0])
def test_nerve_that_begins_away_from_the_brainstem(start: float) -> None:
    n = dataclasses.replace(NERVE.nerve, low=start)
    row = left_of([(Label.NERVE_LEFT, n)])
    assert re.search(r"begins \d\.\d mm from the brainstem.*complete the label", row["flags"])
    assert np.isnan(row["angle_deg"])
    assert row["min_area_mm2"] == pytest.approx(np.pi * n.a * n.b, rel=0.1)
    assert row["volume_mm3"] == pytest.approx(np.pi * n.a * n.b * (10 - start), rel=0.1)
    assert row["displacement_mm"] == 0


# -- labels that are no nerve -------------------------------------------------------------------


def ball(at: float, radius: float) -> solids.Ball:
    return solids.Ball(NERVE.nerve.origin + at * NERVE.nerve.axis, radius)


@pytest.mark.parametrize(
    ("painted", "shares"),
    [
        ([(Label.NERVE_LEFT, ball(3.0, 3.5))], False),
        ([(Label.NERVE_LEFT, ball(3.0, 3.5))], True),
        ([(Label.NERVE_LEFT, ball(4.0, 6.0))], False),
        ([(Label.NERVE_LEFT, NERVE.nerve), (Label.NERVE_LEFT, ball(8.0, 4.0))], True),
    ],
    ids=["ball", "ball of shares", "large ball", "schwannoma"],
)
def test_tumours_are_flagged(painted: list, shares: bool) -> None:
    assert "wider than any trigeminal nerve" in left_of(painted, shares=shares)["flags"]


def test_hollow_nerve() -> None:
    n = NERVE.nerve
    core = dataclasses.replace(n, a=0.8, b=0.55, low=1.0, high=9.0)
    row = left_of([(Label.NERVE_LEFT, n), (Label.BACKGROUND, core)])
    assert re.search(r"inside the nerve are not labelled.*fill", row["flags"])
    assert row["mean_area_mm2"] == pytest.approx(np.pi * n.a * n.b, rel=0.05)


def test_nerve_as_thin_as_a_voxel() -> None:
    thread = dataclasses.replace(NERVE.nerve, a=0.25, b=0.25)
    row = left_of([(Label.NERVE_LEFT, thread)])
    assert row["flags"]


def test_sheet() -> None:
    """One voxel thick and 8 mm wide."""
    sheet = dataclasses.replace(NERVE.nerve, a=4.0, b=0.3)
    assert left_of([(Label.NERVE_LEFT, sheet)])["flags"]


def test_sides_that_are_swapped() -> None:
    swap = np.array([0, 1, 3, 2, 4, 5], dtype=np.uint8)
    with pytest.warns(DataWarning, match="(?i)left.*right|side"):
        measure_compression(image(swap[data()]), intervals=False)


# -- vessels ------------------------------------------------------------------------------------


def vessel_at(**more: Any) -> solids.Cylinder:
    vessel = solids.cross(NERVE, **more).vessel
    assert vessel is not None
    return vessel


@pytest.mark.parametrize("shares", [False, True])
def test_vessel_through_the_nerve(shares: bool) -> None:
    n = NERVE.nerve
    through = solids.Cylinder(
        n.origin + 5 * n.axis, solids.unit(np.cross(n.axis, NERVE.outward)), n.axis, 0.6, 0.6, -9, 9
    )
    row = left_of([(Label.NERVE_LEFT, n), (Label.ARTERY, through)], shares=shares)
    assert re.search(r"runs through the nerve.*segmentation", row["flags"])


def test_vessel_within_the_nerve() -> None:
    n = NERVE.nerve
    within = dataclasses.replace(n, a=0.6, b=0.6, low=2.0, high=8.0)
    row = left_of([(Label.NERVE_LEFT, n), (Label.ARTERY, within)])
    assert row["flags"]


def test_vessel_cut_at_the_contact() -> None:
    found = data()
    nerve = np.argwhere((found == Label.NERVE_LEFT) | (found == Label.NERVE_RIGHT))
    above = nerve[:, 2].max() + 2
    artery = np.argwhere(found == Label.ARTERY)
    assert artery[:, 2].min() < above < artery[:, 2].max() - 5
    _, texts = quietly(image(found[:, :, :above]))
    assert re.search(r"left nerve: .*vessel.*edge of the.*field of view", " ".join(texts))


@pytest.mark.parametrize(
    ("shares", "diameter"), [(False, 0.6), (False, 0.8), (True, 0.4), (True, 0.6)]
)
def test_thin_vessels(shares: bool, diameter: float) -> None:
    """A mask at 0.5 mm keeps crumbs of a vessel of 0.6 mm."""
    one = solids.cross(NERVE, gap=0.15, diameter=diameter)
    row = left_of(
        [(Label.VEIN, vessel_at(gap=0.15, diameter=diameter)), (Label.NERVE_LEFT, NERVE.nerve)],
        shares=shares,
    )
    true = one.truth(PONS)
    assert row["vessel"] == "vein"
    assert row["gap_mm"] == pytest.approx(0.15, abs=0.15)
    assert row["vessel_diameter_mm"] == pytest.approx(diameter, abs=0.1)
    assert row["contact_area_mm2"] == pytest.approx(true["contact_area_mm2"], rel=0.4)
    assert row["n_contacts"] == 1


@pytest.mark.parametrize("kinds", [(Label.ARTERY, Label.VEIN), (Label.VEIN, Label.VEIN)])
def test_two_vessels(kinds: tuple[Label, Label]) -> None:
    near = solids.cross(NERVE, gap=0.05, at=3.5, angle_deg=85, diameter=1.4)
    far = solids.cross(NERVE, gap=0.3, at=8.0, angle_deg=85, diameter=1.2)
    row = left_of(
        [(kinds[0], near.vessel), (kinds[1], far.vessel), (Label.NERVE_LEFT, NERVE.nerve)],
        shares=True,
    )
    one, two = near.truth(PONS), far.truth(PONS)
    areas = one["contact_area_mm2"], two["contact_area_mm2"]
    assert row["n_contacts"] == 2
    assert row["vessel"] == kinds[0].name.lower()
    assert row["contact_area_mm2"] == pytest.approx(sum(areas), rel=0.06)
    between = np.average([one["contact_position_mm"], two["contact_position_mm"]], weights=areas)
    assert row["contact_position_mm"] == pytest.approx(between, abs=0.3)
    assert row["gap_mm"] == pytest.approx(0.05, abs=0.1)
    assert row["vessel_diameter_mm"] == pytest.approx(1.4, abs=0.1)
    assert row["flags"] == ""


@pytest.mark.parametrize("shares", [False, True])
def test_parallel_vessel_in_long_contact(shares: bool) -> None:
    one = solids.cross(NERVE, gap=0.15, at=5.5, angle_deg=6)
    row = left_of([(Label.ARTERY, one.vessel), (Label.NERVE_LEFT, NERVE.nerve)], shares=shares)
    true = one.truth(PONS)
    assert true["contact_length_mm"] > 8
    assert row["contact_area_mm2"] == pytest.approx(true["contact_area_mm2"], rel=0.12)
    assert row["contact_length_mm"] == pytest.approx(true["contact_length_mm"], rel=0.12)
    assert row["crossing_angle_deg"] == pytest.approx(6, abs=2.5)
    assert row["gap_mm"] == pytest.approx(0.15, abs=0.1)
    assert row["n_contacts"] == 1


@pytest.mark.parametrize("shares", [False, True])
def test_basilar_artery_against_the_pons(shares: bool) -> None:
    """As wide as the nerve is long, and half in the pons: it passes the nerve at 1 mm."""
    n = NERVE.nerve
    axis = solids.unit([0.05, 0.1, 1.0])
    m = solids.unit(np.cross(axis, n.axis))
    m = m if m @ np.array([0, -1.0, 0]) > 0 else -m
    origin = n.farthest(m, 2.5) + (1.0 + 2.0) * m
    big = solids.Cylinder(origin, axis, solids.across(axis, m), 2.0, 2.0, -14, 14)
    row = left_of([(Label.ARTERY, big), (Label.NERVE_LEFT, n)], shares=shares)
    x = n.origin + np.linspace(1.0, 9.0, 200)[:, None] * n.axis
    assert (PONS.depth(x) > 0).all()
    assert row["vessel"] == "artery"
    assert row["contact_area_mm2"] == 0
    assert row["n_contacts"] == 0
    assert row["sindou_grade"] == 0
    assert 0.8 < row["gap_mm"] < 2.5
    assert row["vessel_diameter_mm"] == pytest.approx(4.0, abs=0.6)


def test_vessel_out_of_reach() -> None:
    row = left_of([(Label.ARTERY, vessel_at(gap=6.8)), (Label.NERVE_LEFT, NERVE.nerve)])
    assert row["vessel"] is None
    assert np.isnan(row["gap_mm"])
    assert row["contact_area_mm2"] == row["n_contacts"] == row["sindou_grade"] == 0


def test_noise_for_labels_is_refused_soon():
    """A network that failed gives speckle; measuring it must not take minutes."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.standard_normal((6, 60, 44, 36)), (0, 1, 1, 1))
    noise = nibabel.Nifti1Image(smooth.argmax(axis=0).astype(np.uint8), np.eye(4))
    with pytest.warns(DataWarning, match="look at the segmentation"):
        table = measure_compression(noise, intervals=False)
    assert table["length_mm"].isna().all()
    assert table["flags"].str.contains("look at the segmentation").all()


def test_a_vessel_that_is_either_agrees_with_its_label():
    """Background 0.4, artery 0.35, vein 0.25: who asks for a vessel first says artery."""
    labels, shares = both()
    values, torn = data(), np.array(shares.dataobj)
    vessel = values == Label.ARTERY
    torn[vessel] = 0
    torn[vessel, 0], torn[vessel, Label.ARTERY], torn[vessel, Label.VEIN] = 0.4, 0.35, 0.25
    found = measure_compression(labels, probabilities=image(torn), predicted=True, intervals=False)
    assert found["length_mm"].notna().all()
    values[vessel] = Label.VEIN  # the kind that has less
    with pytest.raises(FormatError, match="vein"):
        measure_compression(image(values), probabilities=image(torn), intervals=False)


def test_the_header_says_that_probabilities_are_estimated():
    """A trace of a vessel all along a nerve is doubt in an estimate, and a vessel otherwise."""
    labels, shares = both()
    values, traced = data(), np.array(shares.dataobj)
    nerve = np.isin(values, (Label.NERVE_LEFT, Label.NERVE_RIGHT))
    traced[nerve] *= 0.92
    traced[nerve, Label.VEIN] += 0.08
    plain, said = image(traced), image(traced)
    said.header.set_intent("estimate")

    def areas(probabilities, **given):
        table = measure_compression(labels, probabilities=probabilities, intervals=False, **given)
        return table["mean_area_mm2"].tolist()

    assert areas(said) == areas(plain, predicted=True)
    assert areas(plain) == areas(said, predicted=False)
    truth = measure_compression(labels, probabilities=shares, intervals=False)["mean_area_mm2"]
    np.testing.assert_allclose(areas(said), truth, rtol=0.02)
    assert (np.array(areas(plain)) < 0.98 * truth).all()


def test_noise_in_estimated_shares_is_not_taken_for_a_shape():
    """Measured shares that are off by this much fit no tube; a network's often are."""
    labels, shares = both()
    noisy = np.array(shares.dataobj)
    off = np.random.default_rng(0).normal(0, 0.5, noisy.shape[:3])
    for nerve in (Label.NERVE_LEFT, Label.NERVE_RIGHT):
        # Between nerve and background, where there is some of both.
        moved = np.clip(off, -noisy[..., nerve], noisy[..., 0])
        moved[(noisy[..., nerve] < 0.02) | (noisy[..., 0] < 0.02)] = 0
        noisy[..., nerve] += moved
        noisy[..., 0] -= moved
    plain, said = image(noisy), image(noisy)
    said.header.set_intent("estimate")
    with pytest.warns(DataWarning, match="no smooth tube"):
        measure_compression(labels, probabilities=plain, intervals=False)
    found = measure_compression(labels, probabilities=said, intervals=False)
    assert (found["flags"] == "").all()


def test_shares_as_blurred_as_thick_slices_are_still_make_a_smooth_tube():
    cistern = simulate_cistern(3, spacing=(0.4, 0.4, 1.0))
    shares = np.stack(
        [
            ndimage.gaussian_filter(one, (1.0, 1.0, 0.4))  # 0.4 mm
            for one in np.moveaxis(np.asarray(cistern.fractions.dataobj), -1, 0)
        ],
        axis=-1,
    )
    affine = cistern.labels.affine
    table = measure_compression(
        nibabel.Nifti1Image(shares.argmax(axis=-1).astype(np.uint8), affine),
        probabilities=nibabel.Nifti1Image(shares, affine),
        predicted=True,
        intervals=False,
    )
    assert (table["flags"] == "").all()
