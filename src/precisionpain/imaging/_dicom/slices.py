"""Are all slices of a series there? Said by the headers, before anything is converted."""

from __future__ import annotations

import struct
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...errors import FormatError

__all__ = ["check_slices"]

_TAGS = [
    "SOPClassUID", "ImageType", "SeriesInstanceUID", "SeriesNumber", "EchoTime", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "Rows", "Columns",
    "BitsAllocated",
]  # fmt: skip
_SAME_MM = 0.05  # positions closer than this are the same, written with other decimals
_FEWEST = 4  # slices; of fewer, as localizers have, no distance can be expected
_MOST_NAMED = 6
# Files that hold a whole volume, or say by their kind that slices lie anywhere.
_WHOLE = {"MOSAIC", "LOCALIZER", "MPR", "PROJECTION IMAGE"}

# What reading bytes that are no DICOM, or no longer, can raise.
_UNREADABLE = (
    AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    OverflowError, RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip


def check_slices(source: Path, where: str, named: bool, series: int | str | None = None) -> None:
    """Raise when a file is damaged, or slices of a stack are missing or there twice.

    `named` says whether the names are the user's own, so that a name ending in ``.dcm`` is a
    claim. With `series`, only the series of that number is asked for its slices. The messages
    hold no names of files, because those often name a person.
    """
    stacks: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    damaged = total = 0
    number = None if series is None else str(series).partition("_")[0]
    for header in _headers(source, named):
        total += 1
        if header is None:
            damaged += 1
        elif number is None or number == str(header.get("SeriesNumber", "")):
            place = _place(header)
            if place is not None:
                stacks[place[0]].append(place[1])
    if damaged:
        raise FormatError(
            f"{damaged} of {total} DICOM files can't be read: the header is damaged, or the file "
            "ends before its pixels do",
            where=where,
            remedy="copy the files again from the scanner or the archive",
        )
    for key, positions in stacks.items():
        _check(np.sort(positions), f"{where}, series {key[1]}")


def _headers(source: Path, named: bool) -> Iterator[Any]:
    """Yield the header of each DICOM file, or None of one that is damaged."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    for file in files:
        with open(file, "rb") as stream:
            claims = stream.read(132)[128:] == b"DICM"
            claims |= named and file.suffix.lower() in (".dcm", ".ima")
            stream.seek(0)
            try:
                header = _header(stream, file.stat().st_size)
            except _UNREADABLE:
                header = None
        # Old files lack the mark, so that only the attempt tells; whatever else lies in a
        # folder is nobody's concern.
        if header is not None or claims:
            yield header


def _header(stream: IO[bytes], size: int) -> Any:
    """Return the header of a DICOM file; raise when it isn't one, or ends too early."""
    import pydicom
    from pydicom.uid import ImplicitVRLittleEndian

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that break the standard in small ways
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    if "SOPClassUID" not in header:
        raise ValueError("no DICOM object")
    needed = (
        int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
        * int(header.get("SamplesPerPixel") or 1) * int(header.get("NumberOfFrames") or 1)
        * int(header.get("BitsAllocated") or 0) // 8
    )  # fmt: skip
    syntax = header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    plain = not (syntax.is_compressed or syntax.is_deflated)
    if plain and size - stream.tell() < needed:
        raise EOFError("fewer pixels than announced")
    return header


def _place(header: Any) -> tuple[tuple[Any, ...], float] | None:
    """Return which stack a slice belongs to, and where (mm) it lies along the stack's normal."""
    at, along = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    kind = tuple(str(part).upper() for part in header.get("ImageType") or ())
    whole = int(header.get("NumberOfFrames") or 1) > 1 or bool(_WHOLE & set(kind))
    if whole or not at or not along or len(at) != 3 or len(along) != 6:
        return None
    row, column = np.reshape(np.array(along, dtype=float), (2, 3))
    normal = np.cross(row, column)
    key = (
        str(header.get("SeriesInstanceUID", "")), str(header.get("SeriesNumber", "?")), kind,
        str(header.get("EchoTime", "")), int(header.get("Rows", 0)), int(header.get("Columns", 0)),
        tuple(np.round([*row, *column], 2) + 0.0),
    )  # fmt: skip
    return key, float(normal @ np.array(at, dtype=float))


def _check(positions: np.ndarray, where: str) -> None:
    """Look for gaps between sorted positions, and for positions with fewer or more slices."""
    parts = np.split(positions, np.nonzero(np.diff(positions) > _SAME_MM)[0] + 1)
    places = np.array([part.mean() for part in parts])
    counts = np.array([len(part) for part in parts])
    if len(places) < _FEWEST:
        return
    gaps = np.diff(places)
    step = float(np.median(gaps))
    missing = [
        place + step * (k + 1)
        for place, gap in zip(places, gaps, strict=False)
        for k in range(round(gap / step) - 1)
        if gap > 1.5 * step
    ]
    usual = Counter(counts.tolist()).most_common(1)[0][0]
    remedy = "copy the whole series again; check_slices=False reads what there is"
    if missing:
        raise FormatError(
            f"slices are missing at {_listed(missing)} along their normal: expected one every "
            f"{step:.3g} mm from {places[0]:.1f} to {places[-1]:.1f} mm, found {len(places)} of "
            f"{len(places) + len(missing)}",
            where=where,
            remedy=remedy,
        )
    for odd, word in ((counts < usual, "too few"), (counts > usual, "too many")):
        if odd.any():
            raise FormatError(
                f"expected {usual} {'slice' if usual == 1 else 'slices'} at each position, found "
                f"{word} at {_listed(places[odd])} along their normal",
                where=where,
                remedy=remedy,
            )


def _listed(places: Any) -> str:
    shown = ", ".join(f"{place:.1f}" for place in places[:_MOST_NAMED])
    rest = len(places) - _MOST_NAMED
    return f"{shown} mm" + (f" and {rest} positions more" if rest > 0 else "")
