"""Gradient tables: files as they come, frames, and what a table can support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from precisionpain.errors import FormatError, GeometryError, MissingModalityError
from precisionpain.imaging.gradients import Gradients, read_gradients


def write(folder: Path, bval: str, bvec: str) -> tuple[Path, Path]:
    (folder / "dwi.bval").write_text(bval)
    (folder / "dwi.bvec").write_text(bvec)
    return folder / "dwi.bval", folder / "dwi.bvec"


ROWS = "0 1 0 0 0.6\n0 0 1 0 0.8\n0 0 0 1 0\n"
COLUMNS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n0.6 0.8 0\n"


@pytest.mark.parametrize("bval", ["0 1000 1000 1000 1000", "0\n1000\n1000\n1000\n1000\n"])
@pytest.mark.parametrize("bvec", [ROWS, COLUMNS, "\ufeff" + ROWS.replace(" ", "\t ")])
def test_rows_and_columns_mean_the_same(tmp_path: Path, bval: str, bvec: str) -> None:
    table = read_gradients(*write(tmp_path, bval, bvec))
    assert table.bvals.tolist() == [0, 1000, 1000, 1000, 1000]
    np.testing.assert_allclose(table.bvecs[4], [0.6, 0.8, 0])
    assert table.is_b0.tolist() == [True, False, False, False, False]


def test_three_by_three_is_read_in_rows(tmp_path: Path) -> None:
    table = read_gradients(*write(tmp_path, "0 800 800", "0 1 0\n0 0 0.6\n0 0 0.8\n"))
    np.testing.assert_allclose(table.bvecs, [[0, 0, 0], [1, 0, 0], [0, 0.6, 0.8]])


@pytest.mark.parametrize("low", ["1.25", "0", "50", "15"])
@pytest.mark.parametrize("direction", ["nan", "0", "1", "0.2"])
def test_low_b_values_count_as_b0_whatever_their_direction(
    tmp_path: Path, low: str, direction: str
) -> None:
    table = read_gradients(
        *write(tmp_path, f"{low} 1000", f"{direction} 1\n{direction} 0\n{direction} 0\n")
    )
    assert table.is_b0.tolist() == [True, False]
    assert np.isfinite(table.bvecs).all()


@pytest.mark.parametrize(
    ("bval", "bvec", "where", "what"),
    [
        ("0 1000", "0 1\n0 x\n0 0\n", "bvec, line 2", "'x'"),
        ("0 1000\n0 5 6", "0 1\n0 0\n0 0\n", "bval, line 2", "expected 2 numbers"),
        ("0 1000", "0 1 0\n0 0\n0 0 0\n", "bvec, line 2", "expected 3 numbers"),
        ("0 1000 1000", "0 1\n0 0\n0 0\n", "dwi.bvec", "2 directions, but .*3 b-values"),
        ("0 1000", "0 1\n0 0\n", "dwi.bvec", "3 rows or 3 columns"),
        ("0 -5", "0 1\n0 0\n0 0\n", "dwi.bval", "found -5"),
        ("0 nan", "0 1\n0 0\n0 0\n", "dwi.bval", "missing"),
        ("", "0 1\n0 0\n0 0\n", "dwi.bval", "no numbers"),
        ("0 1000\n0 1000", "0 1\n0 0\n0 0\n", "dwi.bval", "one row or one column"),
        ("0 1000", "0 0\n0 0\n0 0\n", "dwi.bvec", "volume 1 .*no direction"),
        ("0 1000", "0 nan\n0 nan\n0 nan\n", "dwi.bvec", "volume 1 .*no direction"),
        ("0 1000", "0 0.7\n0 0\n0 0\n", "dwi.bvec", "length 1, found 0.700"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, bval: str, bvec: str, where: str, what: str
) -> None:
    with pytest.raises(FormatError, match=what) as caught:
        read_gradients(*write(tmp_path, bval, bvec))
    assert caught.value.where is not None
    assert where in caught.value.where


def test_absent_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(MissingModalityError):
        read_gradients(tmp_path / "no.bval", tmp_path / "no.bvec")
    (tmp_path / "x.bval").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FormatError, match="expected text"):
        read_gradients(tmp_path / "x.bval", tmp_path / "x.bval")


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.hypot(*v[:2]) > 0.1),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_world_and_back(vector: list[float], seed: int, flipped: bool) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    affine[:3, :3] = turn * rng.uniform(0.5, 4, 3) * [-1 if flipped else 1, 1, 1]
    g = np.array([vector]) / np.linalg.norm(vector)
    table = Gradients.from_world([1000], g, affine)
    np.testing.assert_allclose(table.world(affine), g, atol=1e-12)


def test_fsl_convention_for_both_handednesses() -> None:
    # FSL: the first vector element follows the first voxel axis of a left-handed (radiological)
    # array, and runs against it in a right-handed one.
    table = Gradients([1000], [[1.0, 0, 0]])
    assert table.world(np.diag([2.0, 2, 2, 1]))[0].tolist() == [-1, 0, 0]
    assert table.world(np.diag([-2.0, 2, 2, 1]))[0].tolist() == [-1, 0, 0]
    # Axes swapped as in a sagittal scan: voxel i runs along y, j along z, k along x.
    sagittal = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(table.world(sagittal)[0], [0, -1, 0], atol=1e-12)


def test_the_frame_of_a_sheared_or_flat_affine() -> None:
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 1] = 0.02
    world = Gradients([1000], [[0, 0.6, 0.8]]).world(affine)
    assert np.linalg.norm(world) == pytest.approx(1, abs=1e-12)
    with pytest.raises(GeometryError, match="not invertible"):
        Gradients([1000], [[0, 0.6, 0.8]]).world(np.diag([2.0, 0, 2, 1]))


def test_shells_and_directions() -> None:
    g = np.vstack([np.zeros((2, 3)), np.eye(3), -np.eye(3), np.eye(3)])
    table = Gradients([0, 5, *[995, 1000, 1005] * 2, *[2000] * 3], g)
    assert table.shells == {1000.0: 6, 2000.0: 3}
    assert table.n_directions == 3
    assert table.condition_number == np.inf
    assert "2 b0, 6 at b = 1000, 3 at b = 2000" in repr(table)


def test_condition_number_of_published_schemes() -> None:
    # Skare et al. 2000, table 1: icosahedral 1.5811, dual gradient 2.0000.
    golden = (1 + np.sqrt(5)) / 2
    icosahedron = np.array(
        [[0, 1, golden], [0, -1, golden], [1, golden, 0], [-1, golden, 0], [golden, 0, 1],
         [-golden, 0, 1]]
    ) / np.hypot(1, golden)  # fmt: skip
    assert Gradients([1000] * 6, icosahedron).condition_number == pytest.approx(1.5811, abs=1e-4)
    dual = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]])
    table = Gradients([1000] * 6, dual / np.sqrt(2))
    assert table.condition_number == pytest.approx(2.0, abs=1e-4)


def test_the_table_is_read_only() -> None:
    table = Gradients([0, 1000], [[0, 0, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="read-only"):
        table.bvals[0] = 1000


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "mri" / "dwi_small"
    seen = {}
    for name in ("small_64D", "small_101D", "small_25"):
        table = read_gradients(folder / f"{name}.bval", folder / f"{name}.bvec")
        seen[name] = (len(table), int(table.is_b0.sum()), table.n_directions)
        np.testing.assert_allclose(np.linalg.norm(table.bvecs[~table.is_b0], axis=1), 1)
    # Volumes from the images' headers; small_64D has NaN for its b0 and vectors in columns,
    # small_101D calls b = 15 its b0.
    assert seen["small_64D"][:2] == (65, 1)
    assert seen["small_101D"][:2] == (102, 1)
    assert seen["small_25"][:2] == (26, 1)
    assert seen["small_64D"][2] == 64
