"""What labels scans: what is asked of it, and how it gets to other processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from ..errors import FormatError
from .anatomy import Label

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = [
    "Portable", "Segmenter", "add_flags", "as_estimate", "flag_known_people", "further_channels",
    "label_scan", "of_all_labels", "portable",
]  # fmt: skip


class Segmenter(Protocol):
    """What labels a scan: anything with this method.

    One that also has a method ``segment``, as `TrigeminalSegmenter` has, is asked by that
    instead: what it returns has ``labels``, ``probabilities`` (4-D, last axis in the order of
    `Label`) and ``flags``. The nerves are then measured with the probabilities, and the flags
    stand beside those of the nerves. With ``save(folder)`` and ``load(folder, device=)`` it is
    sent to other processes, and known again in a checkpoint, by what it saves.
    """

    def predict(self, image: SpatialImage) -> SpatialImage:
        """Label a scan.

        Parameters
        ----------
        image : nibabel image
            The scan; a list of them for a segmenter with several ``channels``.

        Returns
        -------
        nibabel image
            On the same grid, with the values of `Label`.
        """


def label_scan(segmenter: Any, image: Any) -> tuple[Any, Any, tuple[str, ...]]:
    """Label a scan.

    Parameters
    ----------
    segmenter : Segmenter
        Asked by its method ``segment`` where it has one.
    image : nibabel image or list of them
        The scan.

    Returns
    -------
    labels : nibabel image
    probabilities : nibabel image or None
        Where the segmenter has those of every `Label`.
    flags : tuple of str
        Of the whole scan.

    Raises
    ------
    FormatError
        When nothing was found in the scan.
    """
    if not callable(getattr(segmenter, "segment", None)):
        return segmenter.predict(image), None, ()
    found = segmenter.segment(image)
    flags = tuple(found.flags)
    if not np.asanyarray(found.labels.dataobj).any():
        raise FormatError("; ".join(flags) or "the segmenter found nothing")
    shares, more = of_all_labels(found.probabilities)
    return found.labels, shares, (*flags, *more)


def of_all_labels(probabilities: Any) -> tuple[Any, tuple[str, ...]]:
    """Return probabilities where they are those of every `Label`, else None and a flag."""
    if probabilities.shape[-1] == len(Label):
        return probabilities, ()
    return None, ("measured without probabilities, because the segmenter has other labels",)


def as_estimate(probabilities: Any) -> Any:
    """Return probabilities whose header says that a segmenter estimated them."""
    import nibabel

    header = nibabel.Nifti1Header.from_header(probabilities.header)
    header.set_intent("estimate", name="probability")
    return nibabel.Nifti1Image(probabilities.dataobj, probabilities.affine, header)


def add_flags(table: pd.DataFrame, flags: Sequence[str]) -> pd.DataFrame:
    """Put what is said of a whole scan beside what is said of each nerve.

    Parameters
    ----------
    table : pandas.DataFrame
        With the column ``flags``.
    flags : sequence of str
        Of the scan.

    Returns
    -------
    pandas.DataFrame
        A copy.
    """
    return table.assign(flags=["; ".join(filter(None, [own, *flags])) for own in table["flags"]])


def further_channels(segmenter: Any) -> tuple[str, ...]:
    """Return the contrasts that a segmenter takes beside the first."""
    return tuple(getattr(segmenter, "channels", ()))[1:]


def flag_known_people(table: pd.DataFrame, segmenter: Any) -> pd.DataFrame:
    """Say whose scans a segmenter learned from: it does better on them than on others.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns ``subject_id`` and ``flags``.
    segmenter : Segmenter
        Asked where it has a method ``saw``.

    Returns
    -------
    pandas.DataFrame
    """
    if not len(table) or not callable(getattr(segmenter, "saw", None)):
        return table
    seen = segmenter.saw(table["subject_id"].astype(str).tolist())
    told = add_flags(table, ["the segmenter learned from scans of this person"])
    return table.assign(flags=np.where(seen, told["flags"], table["flags"]))


class Portable:
    """A segmenter that travels as what it saves.

    The same weights are then the same bytes, wherever they lie in memory, so that a checkpoint
    knows them again; and a worker loads them onto its own device.

    Parameters
    ----------
    segmenter : object
        With methods ``save`` and ``load``.
    """

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter
        self._files: dict[str, bytes] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._files is None:
            with tempfile.TemporaryDirectory() as folder:
                self.segmenter.save(folder)
                self._files = {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}
        device = str(getattr(self.segmenter, "device", "auto"))
        return _unpacked, (self.segmenter.load, device, self._files)


def portable(segmenter: Any) -> Any:
    """Return a segmenter as it is to be sent to other processes."""
    both = all(callable(getattr(segmenter, name, None)) for name in ("save", "load"))
    return Portable(segmenter) if both else segmenter


def _unpacked(load: Callable[..., Any], device: str, files: Mapping[str, bytes]) -> Portable:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        return Portable(load(folder, device=device))
