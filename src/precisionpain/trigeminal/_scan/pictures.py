"""Pictures of a segmented scan, as PNG files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...errors import DataWarning, PrecisionPainError
from ..anatomy import SIDES
from ..figures import plot_compression_3d, plot_profile, plot_reformat, plot_section
from ..morphometry import NerveTrace, trace_nerves

__all__ = ["PICTURES", "draw_pictures"]

PICTURES: tuple[str, ...] = (
    "profile.png", "scene.png",
    *(f"{kind}_{side}.png" for kind in ("reformat", "section") for side in SIDES),
)  # fmt: skip
"""Endings of the names."""

_AROUND_MM = 20.0


def draw_pictures(image: Any, labels: Any, probabilities: Any, start: str) -> dict[str, str]:
    """Draw what can be drawn.

    Parameters
    ----------
    image : nibabel image
        The scan. Its name stands in none of the pictures.
    labels, probabilities : nibabel image
        Of the scan, on its grid; no probabilities where there are none.
    start : str
        Folder and beginning of the names.

    Returns
    -------
    dict of str to str
        Pictures that could not be drawn, and why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # the table has them as flags
            traces = trace_nerves(labels, probabilities=probabilities, predicted=True)
    except PrecisionPainError as error:
        return dict.fromkeys(PICTURES, error.what)
    synthetic = _is_synthetic(image)
    image, labels = _around(image, labels)
    makers: dict[str, Callable[[], Any]] = {
        "profile.png": partial(plot_profile, traces, synthetic=synthetic),
        "scene.png": partial(plot_compression_3d, traces, labels, synthetic=synthetic),
    }
    for side, trace in traces.items():
        if trace is not None:
            draw = {"labels": labels, "synthetic": synthetic}
            s = telling_position(trace)
            makers[f"reformat_{side}.png"] = partial(plot_reformat, image, trace, **draw)
            makers[f"section_{side}.png"] = partial(plot_section, image, trace, s, **draw)
    undrawn = {}
    for ending in PICTURES:
        if ending not in makers:
            undrawn[ending] = "the nerve could not be traced"
            continue
        try:
            figure = makers[ending]().figure
        except PrecisionPainError as error:
            undrawn[ending] = error.what
            continue
        figure.savefig(f"{start}_{ending}", dpi=150, facecolor="white")
    return undrawn


def telling_position(trace: NerveTrace) -> float:
    """Return where along a nerve a section tells most.

    Parameters
    ----------
    trace : NerveTrace
        One side.

    Returns
    -------
    float
        Arc length, mm: where a vessel comes nearest, or else where the nerve is thinnest; of
        sections wholly outside the pons, where there are any.
    """
    table = trace.profile()
    whole = table[table["exposed"] > 0.999]
    table = whole if len(whole) else table
    s, distance, area = (
        table[name].to_numpy(dtype=float) for name in ("s_mm", "vessel_distance_mm", "area_mm2")
    )
    return float(s[np.nanargmin(distance if np.isfinite(distance).any() else area)])


def _around(image: Any, labels: Any) -> tuple[Any, Any]:
    """Cut image and labels, of one grid, to what lies around the labels; a head is large."""
    data = np.asanyarray(labels.dataobj)
    pad = np.ceil(_AROUND_MM / np.linalg.norm(labels.affine[:3, :3], axis=0)).astype(int)
    box = []
    for axis in range(3):
        there = np.flatnonzero(data.any(axis=tuple(k for k in range(3) if k != axis)))
        box.append(slice(max(int(there[0] - pad[axis]), 0), int(there[-1] + pad[axis]) + 1))
    return image.slicer[tuple(box)], labels.slicer[tuple(box)]


def _is_synthetic(image: Any) -> bool:
    """Tell whether the file says of itself that it was simulated, as those of `sample_tn` do."""
    header = getattr(image, "header", {})
    return "descrip" in header and bytes(header["descrip"].tobytes()).rstrip(b"\0") == b"synthetic"
