"""DICOM: real archives against reference sidecars, and what must not get through."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from precisionpain.errors import AlignmentError, FormatError, MissingModalityError
from precisionpain.imaging import dicom
from precisionpain.imaging._dicom import convert, slices, unpack
from precisionpain.imaging.dicom import read_all_dicom, read_dicom
from precisionpain.imaging.gradients import read_gradients

pydicom = pytest.importorskip("pydicom")

NAME = "Secret^Person"


def write_series(folder: Path, number: int, value: int = 100, slices: int = 4) -> None:
    """Write a small made-up MR series with everything that names a person filled in."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        data.PatientName, data.PatientID, data.PatientBirthDate = NAME, "ID-4711", "19500607"
        data.ReferringPhysicianName, data.InstitutionName = "Dr^Secret", "Secret Hospital"
        data.InstitutionalDepartmentName, data.StationName = "Secret Ward", "SECRETSTATION"
        data.DeviceSerialNumber = "SERIAL0815"
        data.StudyDescription, data.SeriesDescription = "secret study", "secret series"
        data.ProtocolName, data.ImageComments = "secret protocol", "secret comment"
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = "20240203"
        data.StudyTime = data.SeriesTime = data.AcquisitionTime = "112233"
        data.Modality, data.Manufacturer = "MR", "SIEMENS"
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.FrameOfReferenceUID, data.AccessionNumber = frame, "ACC99"
        data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = number, k + 1, 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        data.EchoTime, data.RepetitionTime, data.MagneticFieldStrength = 80.0, 4000.0, 3.0
        data.PatientPosition, data.ImageOrientationPatient = "HFS", [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-10.0, -20.0, 2.0 * k]
        data.PixelSpacing, data.SliceThickness = [1.5, 1.5], 2.0
        data.Rows, data.Columns = 10, 12
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        pixels = np.full((10, 12), value + k, dtype=np.uint16)
        pixels[2, 3] = 1000 + k
        data.PixelData = pixels.tobytes()
        data.save_as(folder / f"{NAME}_{k}.dcm", enforce_file_format=True)


def pack_zip(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.rglob("*.dcm"):
            archive.write(file, str(file.relative_to(folder)))
    return target


def pack_tar(folder: Path, target: Path) -> Path:
    with tarfile.open(target, f"w:{target.suffix[1:]}") as archive:
        archive.add(folder, arcname=NAME)
    return target


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_series(tmp_path / NAME, 7)
    return tmp_path / NAME


PACKS: dict[str, Callable[[Path, Path], Path]] = {
    "x.zip": pack_zip,
    "x.tar.xz": pack_tar,
    "x.tar.gz": pack_tar,
}


@pytest.mark.parametrize("kind", ["folder", "file", *PACKS])
def test_values_and_geometry(study: Path, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        source = study
    elif kind == "file":
        source = study / f"{NAME}_0.dcm"
    else:
        source = PACKS[kind](study, tmp_path / kind)
    if kind == "file":
        # One slice of a series is an image of one slice.
        assert read_dicom(source).image.shape[:2] == (12, 10)
        return
    found = read_dicom(source)
    assert found.key == "7"
    assert found.image.shape == (12, 10, 4)
    assert found.gradients is None
    # The bright pixel of slice 1: column 3, row 2; DICOM's world is LPS.
    where = nibabel.affines.apply_affine(
        np.linalg.inv(found.image.affine), [-(-10 + 3 * 1.5), -(-20 + 2 * 1.5), 2.0]
    )
    voxel = tuple(np.rint(where).astype(int))
    np.testing.assert_allclose(where, voxel, atol=1e-4)
    assert found.image.get_fdata()[voxel] == 1001
    assert found.sidecar["EchoTime"] == pytest.approx(0.080)
    assert found.sidecar["RepetitionTime"] == pytest.approx(4.0)


def test_nothing_names_a_person(study: Path) -> None:
    found = read_dicom(study)
    text = json.dumps(dict(found.sidecar)) + repr(found) + " ".join(found.warnings)
    text += repr(bytes(found.image.header.binaryblock))
    for private in ("secret", "4711", "1950", "SERIAL0815", "ACC99", "2024", "11:22", "112233"):
        assert private.lower() not in text.lower(), private
    for kept in ("MagneticFieldStrength", "EchoTime", "PatientPosition"):
        assert kept in found.sidecar


def test_the_source_is_left_alone(study: Path) -> None:
    before = sorted(p.name for p in study.iterdir())
    read_dicom(study)
    assert sorted(p.name for p in study.iterdir()) == before


def test_several_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", 12)
    write_series(tmp_path / "b", 3, value=50, slices=5)
    with pytest.raises(AlignmentError, match=r"'3' \(12×10×5\), '12' \(12×10×4\)") as caught:
        read_dicom(tmp_path)
    assert "secret" not in str(caught.value).replace(str(tmp_path), "").lower()
    assert read_dicom(tmp_path, series=3).image.shape == (12, 10, 5)
    assert list(read_all_dicom(tmp_path)) == ["3", "12"]
    with pytest.raises(AlignmentError, match="no image '4'"):
        read_dicom(tmp_path, series=4)


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    write_series(tmp_path / NAME, 7, slices=9)
    (tmp_path / NAME / f"{NAME}_4.dcm").unlink()
    with pytest.raises(FormatError, match=r"series 7: slices are missing at 8\.0 mm") as caught:
        read_dicom(tmp_path)
    for private in ("secret", "4711", "1950"):
        assert private not in str(caught.value).replace(str(tmp_path), "").lower()
    archive = pack_zip(tmp_path / NAME, tmp_path / "x.zip")
    with pytest.raises(FormatError, match=r"found 8 of 9"):
        read_all_dicom(archive)
    assert read_all_dicom(tmp_path / NAME, check_slices=False)


def test_several_slices_missing_in_a_row(tmp_path: Path) -> None:
    write_series(tmp_path, 7, slices=20)
    for k in (3, 9, 10):
        (tmp_path / f"{NAME}_{k}.dcm").unlink()
    with pytest.raises(FormatError, match=r"at 6\.0, 18\.0, 20\.0 mm .* found 17 of 20"):
        read_dicom(tmp_path)


def test_only_the_series_that_is_asked_for_must_be_whole(tmp_path: Path) -> None:
    write_series(tmp_path / "a", 12, slices=8)
    write_series(tmp_path / "b", 3, slices=8)
    (tmp_path / "b" / f"{NAME}_5.dcm").unlink()
    assert read_dicom(tmp_path, series=12).image.shape == (12, 10, 8)
    for asked in (lambda: read_dicom(tmp_path, series=3), lambda: read_all_dicom(tmp_path)):
        with pytest.raises(FormatError, match=r"series 3: slices are missing at 10\.0 mm"):
            asked()


def test_a_slice_that_is_there_twice(tmp_path: Path) -> None:
    write_series(tmp_path, 7, slices=6)
    one = pydicom.dcmread(tmp_path / f"{NAME}_2.dcm")
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    one.InstanceNumber = 77
    one.save_as(tmp_path / "again.dcm")
    with pytest.raises(FormatError, match=r"expected 1 slice .* found too many at 4\.0 mm"):
        read_dicom(tmp_path)


def test_a_volume_of_a_time_series_that_lacks_a_slice(tmp_path: Path) -> None:
    write_series(tmp_path / "0", 7, slices=6)
    uid = pydicom.dcmread(tmp_path / "0" / f"{NAME}_0.dcm").SeriesInstanceUID
    for time in (1, 2):
        write_series(tmp_path / str(time), 7, slices=6)
        for file in (tmp_path / str(time)).iterdir():
            one = pydicom.dcmread(file)
            one.SeriesInstanceUID, one.AcquisitionNumber = uid, time + 1
            one.InstanceNumber += 6 * time
            one.save_as(file)
    slices.check_slices(tmp_path, "here", True)  # whole: three at each position
    (tmp_path / "1" / f"{NAME}_3.dcm").unlink()
    with pytest.raises(FormatError, match=r"expected 3 slices .* found too few at 6\.0 mm"):
        read_dicom(tmp_path)


def test_mixed_series_are_not_one_image(tmp_path: Path) -> None:
    write_series(tmp_path / "a", 7, slices=6)  # the same number, but another series
    write_series(tmp_path / "b", 7, slices=6)
    with pytest.raises(AlignmentError, match="expected one image, found 2"):
        read_dicom(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_file_that_cannot_be_read(study: Path, damage: str) -> None:
    file = study / f"{NAME}_2.dcm"
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-60], "garbage": b"?" * 500, "empty": b""}[damage])
    with pytest.raises(FormatError, match="1 of 4 DICOM files can't be read") as caught:
        read_dicom(study)
    assert "secret" not in caught.value.what.lower()


def test_what_holds_whole_volumes_is_not_asked(tmp_path: Path) -> None:
    for name, value in (("NumberOfFrames", 6), ("ImageType", ["DERIVED", "MOSAIC"])):
        folder = tmp_path / name
        write_series(folder, 7, slices=6)
        (folder / f"{NAME}_3.dcm").unlink()
        for file in folder.iterdir():
            one = pydicom.dcmread(file)
            setattr(one, name, value)
            if name == "NumberOfFrames":
                one.PixelData = one.PixelData * 6
            one.save_as(file)
        slices.check_slices(folder, "here", True)
    (tmp_path / "notes.txt").write_text("what else lies in a folder")
    slices.check_slices(tmp_path, "here", True)


def test_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(FormatError, match="no DICOM images"):
        read_dicom(tmp_path)
    with pytest.raises(FormatError):
        read_dicom(tmp_path / "notes.txt")
    with pytest.raises(MissingModalityError):
        read_dicom(tmp_path / "absent")
    (tmp_path / "empty.zip").write_bytes(b"")
    with pytest.raises(FormatError, match="empty file"):
        read_dicom(tmp_path / "empty.zip")


def test_members_that_point_elsewhere_stay_inside(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("../../escaped.dcm", "/tmp/escaped-absolute.dcm"):
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    scratch = tmp_path / "deep" / "er"
    scratch.parent.mkdir()
    unpack.as_folder(str(archive), scratch, 1000)
    assert sorted(p.name for p in scratch.iterdir()) == ["000000.dcm", "000001.dcm"]
    assert all(p.read_bytes() == b"evil" for p in scratch.iterdir())
    assert not (tmp_path / "escaped.dcm").exists()
    assert not Path("/tmp/escaped-absolute.dcm").exists()


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"\0" * 50_000_000)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(FormatError, match="more than 1000000 bytes"):
        read_dicom(bomb, max_bytes=1_000_000)


def test_damaged_archive(study: Path, tmp_path: Path) -> None:
    archive = pack_tar(study, tmp_path / "x.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(FormatError, match="damaged"):
        read_dicom(archive)


def test_converter_missing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingModalityError, match="pip install dcm2niix"):
        read_dicom(study)


def test_a_failing_converter_says_why(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        text = f"Error: unsupported transfer syntax {study}/Secret Person file.dcm\n"
        return subprocess.CompletedProcess(command, 3, text, "")

    monkeypatch.setattr(convert.subprocess, "run", fail)
    with pytest.raises(FormatError, match="unsupported transfer syntax <file>") as caught:
        read_dicom(study)
    assert "Secret Person" not in caught.value.what


def test_warnings_belong_to_their_image() -> None:
    text = (
        "Warning: odd slices in /home/Jane Doe/x.dcm\nConvert 4 DICOM as /out/3 (2x2x4x1)\n"
        "Convert 4 DICOM as /out/5 (2x2x4x1)\nWarning: something else\n"
    )
    notes = convert._notes(text, Path("/home/Jane Doe"), Path("/out"))
    assert notes == [("3", "Warning: odd slices in <file>"), (None, "Warning: something else")]
    assert dicom._notes_of("5", notes, {"3", "5"}) == ("Warning: something else",)


class TestRealArchives:
    def test_gradients_agree_with_the_reference(self, shared_data: Path) -> None:
        folder = shared_data / "mri" / "philips_t1_dti"
        found = read_dicom(folder / "DTI_classic_dicom_2201.tar.xz")
        reference = folder / "dcm2niix_Ref" / "2201_WIP_DTI_S2MB2_cl"
        table = read_gradients(reference.with_suffix(".bval"), reference.with_suffix(".bvec"))
        assert found.gradients is not None
        np.testing.assert_array_equal(found.gradients.bvals, table.bvals)
        np.testing.assert_allclose(found.gradients.bvecs, table.bvecs, atol=5e-6)
        sidecar = json.loads(reference.with_suffix(".json").read_text())
        for name in ("EchoTime", "RepetitionTime", "FlipAngle", "PixelBandwidth"):
            assert found.sidecar[name] == pytest.approx(sidecar[name])
        private = {"DeviceSerialNumber", "SeriesDescription", "AcquisitionTime", "ProtocolName"}
        assert not private & set(found.sidecar)

    def test_a_slice_taken_out_is_missed(self, shared_data: Path, tmp_path: Path) -> None:
        archive = shared_data / "mri" / "philips_t1_dti" / "T1_MPRAGE_classic_dicom_1301.tar.xz"
        unpack.as_folder(str(archive), tmp_path / "in", 1 << 30)
        files = sorted((tmp_path / "in").iterdir())
        gone = next(f for f in files if pydicom.dcmread(f, True).InstanceNumber == 86)
        header = pydicom.dcmread(gone, stop_before_pixels=True)
        along, down = np.reshape(np.array(header.ImageOrientationPatient, float), (2, 3))
        at = np.array(header.ImagePositionPatient, float) @ np.cross(along, down)
        gone.unlink()
        with pytest.raises(FormatError, match=f"missing at {at:.1f} mm .* found 169 of 170"):
            read_dicom(tmp_path / "in")

    def test_voxels_agree_with_pydicom(self, shared_data: Path, tmp_path: Path) -> None:
        archive = shared_data / "mri" / "philips_t1_dti" / "T1_MPRAGE_classic_dicom_1301.tar.xz"
        image = read_dicom(archive).image
        data = np.asanyarray(image.dataobj)
        to_voxel = np.linalg.inv(image.affine)
        with tarfile.open(archive) as file:
            members = [m for m in file if m.isreg()][::40]
            for member in members:
                stream = file.extractfile(member)
                assert stream is not None
                one = pydicom.dcmread(io.BytesIO(stream.read()))
                slope = float(one[0x2005, 0x100E].value)
                row_step, column_step = (float(v) for v in one.PixelSpacing)
                along, down = np.reshape(np.array(one.ImageOrientationPatient, float), (2, 3))
                for row, column in ((100, 120), (40, 200)):
                    lps = np.array(one.ImagePositionPatient, float)
                    lps = lps + along * column_step * column + down * row_step * row
                    voxel = nibabel.affines.apply_affine(to_voxel, lps * [-1, -1, 1])
                    np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-2)
                    place = tuple(np.rint(voxel).astype(int))
                    # Philips: floating-point value = stored / scale slope, intercept 0.
                    stored = int(one.pixel_array[row, column])
                    assert data[place] == pytest.approx(stored / slope, rel=1e-6)
