"""One scan on disk, segmented and measured: labels, tables and pictures beside each other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import DataWarning, FormatError, PrecisionPainError, list_some
from ...imaging.files import load_image
from .._segmenters import add_flags, as_estimate, of_all_labels
from ..anatomy import SIDES, Label
from ..morphometry import EXTRA_MEASURES, INTERVAL_MEASURES, MEASURES, measure_compression
from .files import check_free, staged
from .pictures import PICTURES, draw_pictures
from .result import ScanResult

if TYPE_CHECKING:
    from ..segmentation import TrigeminalSegmenter

__all__ = ["GIVEN_LABELS", "RESEARCH", "Job", "Weights", "load_segmenter", "name_of", "plan"]

RESEARCH = "research use only: no medical device, and no ground for a diagnosis or a treatment"
GIVEN_LABELS = (
    "intervals (95%) allow for errors of the segmentation as large as the packaged network's on "
    "phantoms, which are simulated"
)
_TABLES = ("dseg.nii.gz", "probseg.nii.gz", "measures.csv", "measures.json")
_IMAGE = re.compile(r"(\.(nii|mgh|mgz|hdr|img|mnc))?(\.(gz|bz2|zst))?\Z", re.IGNORECASE)
_ENTITY = re.compile(r"[a-zA-Z]+-[0-9A-Za-z+]+\Z")


@dataclasses.dataclass(frozen=True)
class Weights:
    """Which trained network it was.

    Parameters
    ----------
    name : str
        "default", or the folder's name.
    sha256 : str
        Of the file with the weights.
    training : str
        What it learned from.
    """

    name: str
    sha256: str
    training: str

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:12]}...), trained on {self.training}"


def load_segmenter(
    folder: str | Path | None = None, *, device: str = "auto"
) -> tuple[TrigeminalSegmenter, Weights]:
    """Load a segmenter, and say which.

    Parameters
    ----------
    folder : str or Path, optional
        Of a saved segmenter; by default the one of the package.
    device : str, default "auto"
        Where to compute.

    Raises
    ------
    FormatError
        When there is none, it was changed, or it is one of something else.
    """
    from .. import segmentation

    kind = segmentation.TrigeminalSegmenter
    if folder is None:
        own = Path(segmentation.__file__).parent / "_segmentation" / "default"
        training = "simulated scans alone, none of a real person"
        return kind.load_default(device=device), Weights("default", _sha256_in(own), training)
    place = Path(folder).expanduser()
    segmenter = kind.load(place, device=device)
    values = [tuple(own) for own in segmenter.structures_.values()]
    if (Label.NERVE_LEFT, Label.NERVE_RIGHT) not in values or not {
        value for own in values for value in own
    } <= set(Label):
        raise FormatError(
            f"expected a segmenter of the nerves, found one of {list_some(segmenter.structures_)}",
            where=str(place),
        )
    n = len(segmenter.memory_)
    training = f"scans of {n} people" if n else "scans of nobody that it remembers"
    return segmenter, Weights(place.resolve().name, _sha256_in(place), training)


def _sha256_in(folder: Path) -> str:
    # `load` has compared it with the file.
    return str(json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"])


def name_of(image: str | Path) -> str:
    """Return what the files of a scan begin with: its name, of a BIDS name the entities.

    Parameters
    ----------
    image : str or Path
        The scan.

    Examples
    --------
    >>> name_of("in/sub-01_acq-ciss_T2w.nii.gz"), name_of("in/my scan.v2.nii")
    ('sub-01_acq-ciss', 'my scan.v2')
    """
    stem = _IMAGE.sub("", Path(image).name)
    *entities, suffix = stem.split("_")
    bids = entities and all(_ENTITY.match(one) for one in entities) and suffix.isalnum()
    return "_".join(entities) if bids else stem


@dataclasses.dataclass(frozen=True)
class Job:
    """A scan to segment.

    Parameters
    ----------
    image : Path
        The scan.
    further : tuple of Path
        Other channels.
    out : Path
        Folder of the files.
    force : bool
        Whether files of an earlier run are replaced.
    """

    image: Path
    further: tuple[Path, ...]
    out: Path
    force: bool

    @property
    def name(self) -> str:
        """What all its files begin with."""
        return name_of(self.image)

    def check(self) -> None:
        """Find early what would go wrong late.

        Raises
        ------
        MissingModalityError, FormatError, StorageError
            When an image isn't there, or files are.
        """
        for path in (self.image, *self.further):
            if path.is_dir():
                raise FormatError(
                    "expected an image, found a folder",
                    where=str(path),
                    remedy="name the file (.nii.gz) in it; convert DICOM files to NIfTI first",
                )
            if not path.is_file():
                load_image(path)  # says why not
        targets = [self.out / f"{self.name}_{end}" for end in (*_TABLES, *PICTURES)]
        check_free(targets, (self.image, *self.further), force=self.force)

    def run(self, segmenter: Any, weights: Weights, *, intervals: bool = True) -> ScanResult:
        """Segment, measure and draw, and write all of it or nothing.

        Parameters
        ----------
        segmenter : TrigeminalSegmenter
            Fitted.
        weights : Weights
            Which it is.
        intervals : bool, default True
            Whether measures have intervals.

        Returns
        -------
        ScanResult

        Raises
        ------
        PrecisionPainError
            When the scan can't be read or segmented, or files can't be written.
        """
        paths = [str(path) for path in (self.image, *self.further)]
        if len(paths) != len(segmenter.channels):
            raise FormatError(
                f"the segmenter takes {' and '.join(segmenter.channels)}, found {len(paths)} "
                f"image{'s' * (len(paths) > 1)}",
                where=paths[0],
                remedy="leave --angio out" if self.further else "name the angiogram with --angio",
            )
        found = segmenter.segment(paths)
        shares, more = of_all_labels(found.probabilities)
        flags = (*found.flags, *more)
        table = _measured(found.labels, shares, intervals)
        known = [f"{self.name}_{end}" for end in (*_TABLES, *PICTURES)]
        with staged(self.out, known, last=f"{self.name}_measures.json") as folder:
            start = str(folder / self.name)
            found.labels.to_filename(f"{start}_dseg.nii.gz")
            as_estimate(found.probabilities).to_filename(f"{start}_probseg.nii.gz")
            undrawn = draw_pictures(load_image(paths[0]), found.labels, shares, start)
            notes = [RESEARCH, f"the segmenter was trained on {weights.training}"]
            notes += [GIVEN_LABELS] if intervals else []
            told = (
                add_flags(table, flags)
                .reset_index()
                .assign(library=_library(), weights_sha256=weights.sha256, note="; ".join(notes))
            )
            told.insert(0, "scan", self.name)
            told.to_csv(f"{start}_measures.csv", index=False, lineterminator="\n")
            record = {
                "format": "precisionpain segmentation",
                "format_version": 1,
                "written_by": _library(),
                "notes": notes,
                "images": [{"name": Path(path).name, "sha256": _sha256(path)} for path in paths],
                "weights": dataclasses.asdict(weights),
                "labels": {str(label.value): label.name.lower() for label in Label},
                "flags": list(flags),
                "checks": _rows(found.checks.reset_index()),
                "measures": {str(row.pop("side")): row for row in _rows(table.reset_index())},
                "pictures_not_drawn": undrawn,
                "files": sorted([path.name for path in folder.iterdir()]),
            }
            text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
            Path(f"{start}_measures.json").write_text(f"{text}\n", encoding="utf-8")
            files = sorted(path.name for path in folder.iterdir())
        return ScanResult(self.name, self.out, table, flags, tuple(files), undrawn)


def plan(
    images: Sequence[str], out: str, *, angio: str | None = None, force: bool = False
) -> list[Job]:
    """Turn what the user named into jobs whose files don't meet.

    Parameters
    ----------
    images : sequence of str
        Scans.
    out : str
        Folder.
    angio : str, optional
        Second channel of a single scan.
    force : bool, default False
        Whether files of an earlier run are replaced.

    Returns
    -------
    list of Job

    Raises
    ------
    FormatError
        When scans share a name, or several have one angiogram.
    """
    if angio is not None and len(images) > 1:
        raise FormatError(
            f"expected one image with an angiogram, found {len(images)}",
            remedy="call it once for each scan, so that each angiogram is that of its scan",
        )
    further = () if angio is None else (Path(angio).expanduser(),)
    folder = Path(out).expanduser()
    jobs = [Job(Path(image).expanduser(), further, folder, force) for image in images]
    names = pd.Series([job.name for job in jobs])
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise FormatError(
            f"several images would be written as {list_some(twice)}",
            remedy="call it once for each, with another --out",
        )
    return jobs


def _measured(labels: Any, probabilities: Any, intervals: bool) -> pd.DataFrame:
    """Measure the nerves; what can't be measured is missing, and its flag says why."""
    try:
        with warnings.catch_warnings():
            # They are in the column `flags`.
            warnings.simplefilter("ignore", DataWarning)
            return measure_compression(
                labels, probabilities=probabilities, predicted=True, intervals=intervals
            )
    except PrecisionPainError as error:
        ends = [f"{name}_{end}" for name in INTERVAL_MEASURES for end in ("low", "high")]
        columns = [*MEASURES, *EXTRA_MEASURES, *(ends if intervals else [])]
        table = pd.DataFrame(np.nan, index=pd.Index(SIDES, name="side"), columns=columns)
        return table.assign(vessel=None, flags=f"not measured: {error.what}")


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values; what is missing is None."""
    # pandas writes NaN as null.
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def _library() -> str:
    from ... import __version__

    return f"precisionpain {__version__}"


def _sha256(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
