"""Find the labelled scans that a segmenter is asked to learn from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...cohort import Cohort
from ...errors import DataWarning, FormatError, list_some
from ..anatomy import Label
from .scans import LabelledScans
from .simulation import SimulatedCisterns

__all__ = ["split_people", "training_scans"]

Spacing = tuple[float, float, float] | None


def training_scans(
    X: Any,
    y: Any,
    structures: Mapping[str, tuple[int, ...]],
    *,
    channels: Sequence[str],
    spacing_mm: Spacing,
    max_spacing_mm: float,
    label_image: str,
    visit: str | Sequence[str] | None,
    run: int | None,
    entities: Mapping[str, Any] | None,
) -> tuple[Any, list[str]]:
    """Return the scans to learn from, and the people that a model must remember.

    Parameters
    ----------
    X, y
        As `TrigeminalSegmenter.fit` takes them.
    structures : mapping of str to tuple of int
        Names and values of the labels.
    channels, spacing_mm, max_spacing_mm, label_image, visit, run, entities
        As `TrigeminalSegmenter` takes them.

    Returns
    -------
    scans : TrainingScans
    people : list of str
        One for each scan; empty where they are nobody's.

    Raises
    ------
    FormatError, MissingModalityError
        When there is nothing to learn from, or it isn't what the network can take.
    """
    if callable(getattr(X, "draw", None)):
        if isinstance(X, SimulatedCisterns):
            _check_simulated(X, structures, channels, spacing_mm)
        return X, []
    if isinstance(X, Cohort):
        pairs, keys = _of_cohort(X, channels, label_image, visit, run, entities)
    else:
        pairs = _paired(list(X), y)
        keys = [f"scan {i}" for i in range(len(pairs))]
    if not pairs:
        raise FormatError("expected labelled scans to learn from, found none")
    for i, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise FormatError(
                "expected pairs of image and label image", where=f"scan {i}",
                remedy="pass a Cohort, pairs, or images as X and label images as y",
            )  # fmt: skip
    scans = LabelledScans(
        pairs, labels=structures, spacing_mm=spacing_mm, n_channels=len(channels),
        max_spacing_mm=max_spacing_mm, keys=keys,
    )  # fmt: skip
    return scans, keys if isinstance(X, Cohort) else []


def _paired(images: list[Any], y: Any) -> list[Any]:
    if y is None:
        return images
    if len(images) != len(y):
        raise FormatError(
            f"expected a label image for each of the {len(images)} images, found {len(y)}",
            where="y",
        )
    return list(zip(images, y, strict=True))


def _check_simulated(
    X: SimulatedCisterns,
    structures: Mapping[str, tuple[int, ...]],
    channels: Sequence[str],
    spacing: Spacing,
) -> None:
    """Refuse simulated scans that the network would misread in silence."""
    if spacing is not None and not np.allclose(spacing, X.spacing_mm):
        raise FormatError(
            f"the simulated scans have voxels of {X.spacing_mm:g} mm, the network works at "
            f"{_shown(spacing)} mm",
            where="spacing_mm",
            remedy="give both the same voxel size",
        )
    if len(X.contrasts) != len(channels):
        raise FormatError(
            f"the simulated scans have {len(X.contrasts)} channels, the network takes "
            f"{len(channels)}",
            where="channels",
            remedy="name a channel for each of the simulated contrasts",
        )
    unknown = sorted({v for own in structures.values() for v in own} - set(map(int, Label)))
    if unknown:
        raise FormatError(
            f"the simulated scans have no label {list_some(unknown)}", where="labels",
            remedy=f"labels are {list_some(map(int, Label), 12)}, see Label",
        )  # fmt: skip


def _shown(spacing: tuple[float, ...]) -> str:
    same = len(set(spacing)) == 1
    return " × ".join(f"{step:g}" for step in (spacing[:1] if same else spacing))


def _of_cohort(
    X: Cohort,
    channels: Sequence[str],
    label_image: str,
    visit: str | Sequence[str] | None,
    run: int | None,
    entities: Mapping[str, Any] | None,
) -> tuple[list[tuple[Any, Any]], list[str]]:
    from .._nerve_scans import find_scans

    scans = find_scans(
        X, labels=label_image, probabilities=None, image=channels[0],
        visit=visit, run=run, entities=entities or {}, channels=channels,
    )  # fmt: skip
    if len(scans.unmeasurable):
        people = list_some(scans.unmeasurable["subject_id"].unique(), 3)
        warnings.warn(
            DataWarning(
                f"{len(scans.unmeasurable)} scans lack an image or a label image and aren't "
                f"learned from (people: {people}); "
                f"{scans.unmeasurable['message'].iloc[0]}"
            ),
            stacklevel=4,
        )
    pairs, keys = [], []
    for scan in scans.table.index:
        subject = scans.cohort.subject(scan)
        images = [subject.image(f"channel_{k}") for k in range(len(channels))]
        pairs.append((images, subject.image("labels")))
        keys.append(str(scans.table.loc[scan, "subject_id"]))
    return pairs, keys


def split_people(keys: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the scans to learn from, and those held out; people stay together.

    Parameters
    ----------
    keys : sequence of str
        Whose each scan is.
    share : float
        Of the people, to hold out.
    seed : int
        Of the draw.

    Returns
    -------
    members, held : list of int
    """
    people = list(dict.fromkeys(keys))
    n = round(share * len(people)) if share > 0 else 0
    n = min(max(n, 1 if share > 0 and len(people) > 1 else 0), len(people) - 1)
    order = np.random.default_rng([seed, 77]).permutation(len(people))
    held = {people[i] for i in order[:n]}
    return (
        [i for i, key in enumerate(keys) if key not in held],
        [i for i, key in enumerate(keys) if key in held],
    )
