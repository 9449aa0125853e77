"""DICOM series as NIfTI images with gradients, and without the names of people.

The conversion is dcm2niix's (Li, Morgan, Ashburner, Smith & Rorden, Journal of Neuroscience
Methods 264, 47, 2016), which knows the vendors' private fields. Nothing is written to where
the files lie.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AlignmentError, FormatError, PrecisionPainError
from ._dicom.convert import convert
from ._dicom.slices import check_slices as _check_slices
from ._dicom.unpack import as_folder
from .gradients import Gradients, read_gradients

__all__ = ["DicomImage", "read_all_dicom", "read_dicom"]

# What can name a person, a place, a device or a day, and text that somebody typed. dcm2niix
# leaves out names and dates by itself; the others it keeps.
_PRIVATE = re.compile(
    r"patient(?!position)|birth|physician|operator|institution|address|department|station|"
    r"serialnumber|accession|uid$|studyid|date|time$|comments?$|description|protocolname|"
    r"requested|contact|deviceid",
    re.IGNORECASE,
)
# Times of the physics, not of the day.
_PHYSICS = re.compile(
    r"^(echo|repetition|inversion|dwell|totalreadout|estimatedtotalreadout|acquisitionduration|"
    r"frame|slice|labeling|postlabel|trigger|delay)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class DicomImage:
    """One image of a DICOM folder.

    Parameters
    ----------
    key : str
        Series number, with a suffix for several images of one series: ``"2201"``,
        ``"5_e2"`` (second echo), ``"7_ph"`` (phase). It holds no text that anybody typed.
    image : nibabel.nifti1.Nifti1Image
        3-D or 4-D, in the scanner's frame (RAS+ world). Scaled values are float32, for Philips
        with the scanner's own floating-point scaling, which is comparable between scans.
    gradients : Gradients or None
        Of a diffusion scan.
    sidecar : dict
        Acquisition parameters under BIDS names, times in seconds; nothing that names a person,
        a place, a device or a day.
    warnings : tuple of str
        What the converter found odd, without file names.
    """

    key: str
    image: Any
    gradients: Gradients | None
    sidecar: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = " × ".join(str(n) for n in self.image.shape)
        spacing = " × ".join(f"{zoom:.3g}" for zoom in self.image.header.get_zooms()[:3])
        parts = [f"series {self.key}", size, f"{spacing} mm"]
        if self.gradients is not None:
            parts.append(repr(self.gradients))
        if self.warnings:
            parts.append(f"{len(self.warnings)} warnings")
        return f"DicomImage({', '.join(parts)})"


def read_dicom(
    path: str | Path,
    *,
    series: int | str | None = None,
    max_bytes: int = 8 << 30,
    check_slices: bool = True,
) -> DicomImage:
    """Read one image from DICOM files.

    Parameters
    ----------
    path : str or Path
        A folder (searched with its subfolders), one file, or an archive: ``.zip``, ``.tar``,
        ``.tar.gz``, ``.tar.bz2``, ``.tar.xz``.
    series : int or str, optional
        Which image, by its key; needed when there are several.
    max_bytes : int, default 8 GiB
        Largest size of an archive's content. Members are copied one by one under numbers of
        their own, so that no name in an archive can point elsewhere, and the copying stops
        where the limit is reached; links are skipped.
    check_slices : bool, default True
        Whether to look in the headers, before the conversion, for slices that are missing or
        there twice.

    Returns
    -------
    DicomImage

    Raises
    ------
    MissingModalityError
        When the path isn't there, or the converter isn't installed.
    FormatError
        When there is no DICOM image, a file or the archive is damaged, the archive is larger than
        `max_bytes`, slices are missing or there twice (the message says where), or the
        conversion failed.
    AlignmentError
        When there are several images and `series` isn't given or names none of them; the
        message lists their keys.

    Notes
    -----
    Names, dates, places, devices and free text are taken out of the sidecar and of the NIfTI
    header. What the pixels show stays: text burned into them, and the face.

    Missing slices are found by gaps between positions along the normal of the slices, and by
    positions with fewer slices than the others of a series in time or of a diffusion scan. The
    first or last slice of a single volume leaves no gap, and its loss can't be seen. Files with
    many frames (enhanced DICOM, mosaics) hold whole volumes and aren't asked.

    Examples
    --------
    >>> scan = read_dicom("DTI_classic_dicom_2201.tar.xz")  # doctest: +SKIP
    >>> scan  # doctest: +SKIP
    DicomImage(series 2201, 128 × 128 × 82 × 17, 2 × 2 × 2 mm, Gradients(17 volumes: 1 b0, 16 at b = 1000), 1 warnings)
    """  # noqa: E501
    found = _read(path, max_bytes, check_slices, series)
    if series is None:
        if len(found) > 1:
            raise AlignmentError(
                f"expected one image, found {len(found)}: {_listed(found)}",
                where=os.fspath(path),
                remedy="name one with series=..., or use read_all_dicom",
            )
        return next(iter(found.values()))
    if str(series) not in found:
        raise AlignmentError(
            f"there is no image {str(series)!r}; there are {_listed(found)}",
            where=os.fspath(path),
        )
    return found[str(series)]


def read_all_dicom(
    path: str | Path, *, max_bytes: int = 8 << 30, check_slices: bool = True
) -> dict[str, DicomImage]:
    """Read all images from DICOM files.

    Parameters
    ----------
    path : str or Path
        As for `read_dicom`.
    max_bytes : int, default 8 GiB
        Largest size of an archive's content.
    check_slices : bool, default True
        As for `read_dicom`, of every series.

    Returns
    -------
    dict of str to DicomImage
        By key, in the order of the series numbers.

    Raises
    ------
    MissingModalityError, FormatError
        As for `read_dicom`.

    Examples
    --------
    >>> list(read_all_dicom("study.zip"))  # doctest: +SKIP
    ['301', '1301', '2201']
    """
    return _read(path, max_bytes, check_slices, None)


def _read(
    path: str | Path, max_bytes: int, check_slices: bool, series: int | str | None
) -> dict[str, DicomImage]:
    where = os.fspath(path)
    with tempfile.TemporaryDirectory(prefix="precisionpain-") as scratch:
        source = as_folder(where, Path(scratch) / "in", max_bytes)
        if check_slices:
            _check_slices(source, where, source == Path(where), series)
        output = Path(scratch) / "out"
        output.mkdir()
        notes = convert(source, output, where)
        files = sorted(output.glob("*.nii"), key=_order)
        if not files:
            raise FormatError("the DICOM files hold no image that can be converted", where=where)
        names = {file.stem for file in files}
        return {file.stem: _load(file, _notes_of(file.stem, notes, names)) for file in files}


def _order(file: Path) -> tuple[int, str]:
    number = re.match(r"\d+", file.stem)
    return (int(number.group()) if number else 0, file.stem)


def _listed(found: Mapping[str, DicomImage]) -> str:
    return ", ".join(
        f"{key!r} ({'×'.join(str(n) for n in one.image.shape)})" for key, one in found.items()
    )


def _notes_of(key: str, notes: list[tuple[str | None, str]], known: set[str]) -> tuple[str, ...]:
    """Return the converter's warnings about one image, and those about none in particular."""
    return tuple(text for name, text in notes if name == key or name not in known)


def _load(file: Path, notes: tuple[str, ...]) -> DicomImage:
    import nibabel

    on_disk: Any = nibabel.load(file)
    data = np.array(on_disk.dataobj)
    if data.dtype == np.float64:  # scaled integers; their precision is less than that of float32
        data = data.astype(np.float32)
    image = nibabel.Nifti1Image(data, on_disk.affine, on_disk.header, dtype=data.dtype)
    # Free text and the time of the day.
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = b""
    sidecar = {}
    json_file = file.with_suffix(".json")
    if json_file.exists():
        try:
            sidecar = json.loads(json_file.read_text(encoding="utf-8", errors="replace"))
        except json.JSONDecodeError as error:
            raise FormatError(f"the converter's sidecar can't be read ({error})") from error
    kept = {name: value for name, value in sidecar.items() if not _is_private(name)}
    bval, bvec = file.with_suffix(".bval"), file.with_suffix(".bvec")
    gradients = None
    if bval.exists() and bvec.exists():
        try:
            table = read_gradients(bval, bvec)
        except PrecisionPainError as error:
            # The scratch files are gone by the time that this is read.
            raise FormatError(
                f"{error.what}", where=f"gradients of series {file.stem}", remedy=error.remedy
            ) from error
        gradients = dataclasses.replace(table, source=f"gradients of series {file.stem}")
    return DicomImage(file.stem, image, gradients, kept, notes)


def _is_private(name: str) -> bool:
    return bool(_PRIVATE.search(name)) and not _PHYSICS.match(name)
