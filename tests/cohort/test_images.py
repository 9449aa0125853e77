"""Damaged, absent and whole image files."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort.images import check_images
from precisionpain.errors import (
    FormatError,
    GeometryError,
    MissingModalityError,
    PrecisionPainError,
)
from precisionpain.imaging.files import file_state, load_image

SHAPE = (20, 21, 22)
AFFINE = np.array([[-0.8, 0, 0, 90.0], [0, 0.0, 1.2, -126.0], [0, -1.0, 0, 72.0], [0, 0, 0, 1.0]])
N_BYTES = 20 * 21 * 22 * 2


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(-500, 500, SHAPE).astype(np.int16)


@pytest.fixture(scope="module")
def plain(voxels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Content of an uncompressed NIfTI file."""
    path = tmp_path_factory.mktemp("plain") / "image.nii"
    nibabel.Nifti1Image(voxels, AFFINE).to_filename(path)
    return path.read_bytes()


def edited(content: bytes, form: str, offset: int, *values: float) -> bytes:
    """Overwrite fields of a NIfTI-1 header, whose offsets the format defines."""
    changed = bytearray(content)
    struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_whole_image_has_its_data_in_memory(
    name: str, plain: bytes, voxels: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(plain) if name.endswith("gz") else plain)
    image = load_image(path)
    path.unlink()  # nothing may be read from the file any more
    assert isinstance(image, nibabel.Nifti1Image)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), voxels)
    np.testing.assert_allclose(image.affine, AFFINE)
    assert image.get_filename() == str(path)
    assert int(image.header["sform_code"]) == 2


def test_a_scaled_image_gives_scaled_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.array([[[1, 2], [3, 4]]], dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 10.0)
    path = tmp_path / "scaled.nii.gz"
    # Written raw, so that the stored integers stay 1 to 4 whatever nibabel would choose.
    content = image.header.binaryblock + b"\0" * 4
    content = edited(content, "<f", 108, 352.0) + image.get_fdata().astype("<i2").tobytes("F")
    path.write_bytes(gzip.compress(content))
    loaded = load_image(path)
    np.testing.assert_allclose(loaded.get_fdata(), [[[10.5, 11.0], [11.5, 12.0]]])


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], type[PrecisionPainError], str]] = {
    "cut in half": (
        ".nii.gz",
        lambda plain: gzip.compress(plain)[: len(gzip.compress(plain)) // 2],
        FormatError,
        rf"middle of the compressed data: expected {N_BYTES} bytes of image data. "
        "To fix: fetch it again",
    ),
    "trailer lost": (
        ".nii.gz",
        lambda plain: gzip.compress(plain)[:-4],
        FormatError,
        "middle of the compressed data",
    ),
    "cut within the header": (
        ".nii.gz",
        lambda plain: gzip.compress(plain)[:40],
        FormatError,
        "middle of the compressed data, within its first kilobyte",
    ),
    "wrong checksum": (
        ".nii.gz",
        lambda plain: gzip.compress(plain)[:-8] + b"\0" * 8,
        FormatError,
        "compressed data are damaged .*CRC",
    ),
    "bytes overwritten": (
        ".nii.gz",
        lambda plain: gzip.compress(plain)[:3000] + b"\xff" * 8 + gzip.compress(plain)[3008:],
        FormatError,
        "compressed data are damaged",
    ),
    "whole stream of a cut image": (
        ".nii.gz",
        lambda plain: gzip.compress(plain[:5000]),
        FormatError,
        f"before the image data do: expected {N_BYTES} bytes",
    ),
    "plain file cut": (
        ".nii",
        lambda plain: plain[:5000],
        FormatError,
        f"before the image data do: expected {N_BYTES} bytes",
    ),
    "plain file cut by one byte": (
        ".nii",
        lambda plain: plain[:-1],
        FormatError,
        f"before the image data do: expected {N_BYTES} bytes",
    ),
    "plain header cut": (".nii", lambda plain: plain[:100], FormatError, "within the header"),
    "not compressed": (".nii.gz", lambda plain: plain, FormatError, "rename it to .nii if"),
    "compressed": (".nii", gzip.compress, FormatError, "rename it to .nii.gz"),
    "text": (".nii", lambda _: b"not an image\n" * 99, FormatError, "wrong magic number"),
    "wrong magic": (
        ".nii.gz",
        lambda plain: gzip.compress(plain[:344] + b"abcd" + plain[348:]),
        FormatError,
        "wrong magic number",
    ),
    "empty": (".nii.gz", lambda _: b"", FormatError, r"empty file \(0 bytes\)"),
    "impossible size": (
        ".nii.gz",
        lambda plain: gzip.compress(edited(plain, "<3h", 42, 32000, 32000, 32000)),
        FormatError,
        f"expected {32000**3 * 2} bytes",
    ),
    "negative size": (
        ".nii",
        lambda plain: edited(plain, "<h", 42, -5),
        FormatError,
        r"header says shape \(-5, 21, 22\)",
    ),
    "unknown type": (
        ".nii",
        lambda plain: edited(plain, "<h", 70, 9999),
        FormatError,
        "header is damaged",
    ),
    "affine not a number": (
        ".nii.gz",
        lambda plain: gzip.compress(edited(plain, "<f", 284, float("nan"))),
        GeometryError,
        "affine has values that are not finite",
    ),
    "affine infinite": (
        ".nii.gz",
        lambda plain: gzip.compress(edited(plain, "<f", 292, float("inf"))),
        GeometryError,
        "affine has values that are not finite",
    ),
    "affine flat": (
        ".nii",
        lambda plain: edited(plain, "<4f", 296, 0.0, 0.0, 0.0, -126.0),
        GeometryError,
        "determinant is zero",
    ),
    "no rotation": (
        ".nii",
        lambda plain: edited(edited(plain, "<2h", 252, 1, 0), "<3f", 256, 3.0, 3.0, 3.0),
        GeometryError,
        "orientation makes no sense",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(damage: str, plain: bytes, tmp_path: Path) -> None:
    extension, spoil, kind, message = DAMAGE[damage]
    path = tmp_path / f"sub-01_T1w{extension}"
    path.write_bytes(spoil(plain))
    with pytest.raises(kind, match=message) as raised:
        load_image(path)
    assert raised.value.where == str(path)
    assert str(tmp_path) not in raised.value.what  # check_images shows `what` without paths


def test_small_voxels_are_no_flat_affine(voxels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "microscopy.nii.gz"
    nibabel.Nifti1Image(voxels, np.diag([1e-4, 1e-4, 1e-4, 1.0])).to_filename(path)
    np.testing.assert_allclose(load_image(path).header.get_zooms(), [1e-4] * 3)


def pointer(kind: str, path: Path) -> None:
    key = "MD5E-s3501333--0123456789abcdef0123456789abcdef.nii.gz"
    if kind == "link":
        path.symlink_to(f"../../.git/annex/objects/0X/p7/{key}/{key}")
    elif kind == "elsewhere":
        path.symlink_to("../sourcedata/image.nii.gz")
    else:
        path.write_bytes(
            {
                "pointer file": f"/annex/objects/{key}\n".encode(),
                "link as text": f"../../.git/annex/objects/0X/p7/{key}/{key}".encode(),
                "key": f"SHA256E-s12--{'ab' * 32}.nii.gz".encode(),
                "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
            }[kind]
        )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("link", "git-annex pointer"),
        ("pointer file", "git-annex pointer"),
        ("link as text", "git-annex pointer"),
        ("key", "git-annex pointer"),
        ("lfs", "git-lfs pointer"),
        ("elsewhere", "broken link"),
    ],
)
def test_pointers_are_no_images(kind: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.nii.gz"
    pointer(kind, path)
    assert file_state(path) == (reason, None)
    with pytest.raises(MissingModalityError, match=reason):
        load_image(path)


def test_the_remedy_for_a_pointer_fetches_it(tmp_path: Path) -> None:
    pointer("link", tmp_path / "a.nii.gz")
    with pytest.raises(MissingModalityError, match="datalad get"):
        load_image(tmp_path / "a.nii.gz")


def test_states_of_files(tmp_path: Path) -> None:
    (tmp_path / "empty.nii").touch()
    (tmp_path / "whole.nii").write_bytes(b"\x5c\x01\0\0" + b"\0" * 400)
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "link.nii").symlink_to(tmp_path / "whole.nii")
    (tmp_path / "loop.nii").symlink_to(tmp_path / "loop.nii")
    assert file_state(tmp_path / "empty.nii") == ("empty file", 0)
    assert file_state(tmp_path / "whole.nii") == (None, 404)
    assert file_state(tmp_path / "link.nii") == (None, 404)
    assert file_state(tmp_path / "folder.nii") == ("not a file", None)
    assert file_state(tmp_path / "loop.nii") == ("broken link", None)
    assert file_state(tmp_path / "absent.nii") == ("no such file", None)
    with pytest.raises(MissingModalityError, match="no such file"):
        load_image(tmp_path / "absent.nii")
    with pytest.raises(FormatError, match="no file"):
        load_image(tmp_path / "folder.nii")


def test_no_permission_is_a_storage_error() -> None:
    script = textwrap.dedent(
        """
        import os, tempfile
        import nibabel
        from precisionpain.imaging.files import file_state, load_image
        from precisionpain.errors import StorageError
        folder = tempfile.mkdtemp()
        os.chmod(folder, 0o755)
        for size in (400, 400_000):  # small files are looked into for pointers
            path = os.path.join(folder, "image.nii")
            with open(path, "wb") as file:
                file.write(b"0" * size)
            os.chmod(path, 0)
            if os.getuid() == 0:  # the superuser may read everything
                os.seteuid(65534)
            try:
                load_image(path)
            except StorageError as error:
                print(file_state(path), error)
            os.seteuid(os.getuid())
            os.remove(path)
        os.rmdir(folder)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "('no permission', 400)" in done.stdout
    assert "('no permission', 400000)" in done.stdout
    assert done.stdout.count("no permission to read the file") == 2


def table(rows: list[tuple[str, str, Path, bool]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["subject_id", "contrast", "path", "present"])
    return frame.assign(
        visit="baseline", run=pd.array([pd.NA] * len(rows), dtype="Int64"), reason=None
    )


def test_check_images_tells_whole_from_damaged(
    plain: bytes, voxels: np.ndarray, tmp_path: Path
) -> None:
    good, short, gone = (tmp_path / f"{n}.nii.gz" for n in ("good", "short", "gone"))
    good.write_bytes(gzip.compress(plain))
    short.write_bytes(gzip.compress(plain)[:-100])
    images = table([("a", "T1w", good, True), ("b", "T1w", short, True), ("c", "T1w", gone, False)])
    images.loc[2, "reason"] = "git-annex pointer"
    images.index = [7, 3, 5]
    checked = check_images(images)
    assert checked.index.tolist() == [7, 3, 5]
    assert checked["ok"].tolist() == [True, False, False]
    assert checked["ok"].dtype == bool
    assert pd.isna(checked.loc[7, "problem"])
    assert "middle of the compressed data" in checked.loc[3, "problem"]
    assert checked.loc[5, "problem"] == "absent: git-annex pointer"
    assert checked.loc[7, "shape"] == SHAPE
    # Zooms are the lengths of the affine's columns; the axes point left, inferior, anterior.
    np.testing.assert_allclose(
        checked.loc[7, "zooms"], np.linalg.norm(AFFINE[:3, :3], axis=0), rtol=1e-6
    )
    assert checked.loc[7, "orientation"] == "LIA"
    assert "path" not in checked
    assert not checked.astype(str).apply(lambda c: c.str.contains(str(tmp_path))).any(axis=None)


def test_check_images_shows_paths_and_progress_on_request(
    plain: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(plain)
    images = table([("a", "T1w", path, True)])
    assert check_images(images, paths=True)["path"].tolist() == [path]
    assert capsys.readouterr().err == ""
    check_images(images, progress=True)
    assert "1/1" in capsys.readouterr().err


def test_check_images_of_nothing(tmp_path: Path) -> None:
    checked = check_images(table([]))
    assert len(checked) == 0
    assert {"subject_id", "ok", "problem", "orientation"} <= set(checked)


def test_real_images_are_whole_and_agree_with_nibabel(shared_data: Path) -> None:
    paths = sorted((shared_data / "mri" / "bids_tree").rglob("*.nii.gz"))
    assert len(paths) == 4
    path = paths[-1]
    image = load_image(path)
    expected = nibabel.load(path)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(expected.dataobj))
    np.testing.assert_array_equal(image.affine, expected.affine)


def test_a_real_image_cut_short(shared_data: Path, tmp_path: Path) -> None:
    path = sorted((shared_data / "mri" / "bids_tree").rglob("*_T2w.nii.gz"))[0]
    with path.open("rb") as file:
        (tmp_path / "cut.nii.gz").write_bytes(file.read(300_000))
    header = nibabel.load(path).header
    size = int(np.prod(header.get_data_shape())) * header.get_data_dtype().itemsize
    with pytest.raises(FormatError, match=f"expected {size} bytes of image data"):
        load_image(tmp_path / "cut.nii.gz")
