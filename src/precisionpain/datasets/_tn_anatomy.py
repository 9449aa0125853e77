"""From the drawn measures of two nerves to a phantom that has them, as far as its ranges go."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import GeometryError
from ..trigeminal.anatomy import SIDES
from ._tn_nerves import TOUCH_MM

if TYPE_CHECKING:
    from ..trigeminal.phantom import Cistern

__all__ = ["after_surgery", "anatomy_of", "loosened", "operated_sides"]

_KINDS = ("none", "contact", "displaced", "indented")
# What the phantom can draw; see `precisionpain.trigeminal.simulate_cistern`.
_LENGTH, _MAJOR, _MINOR, _ANGLE = (7.0, 15.0), (1.0, 2.2), (0.6, 1.6), (25.0, 70.0)
_SCA, _AICA, _VEIN = (0.8, 2.0), (0.5, 1.4), (0.5, 2.5)
_FARTHEST_MM = 3.0
# Taper thins a nerve by up to a tenth of its axes at one end; a dent takes 0.6 of an axis.
_THINNEST, _DEEPEST, _BURIED = 0.9, 0.58, 0.46


def anatomy_of(nerves: pd.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Return the overrides of `simulate_cistern` for the two nerves of a person.

    Size, course, vessel and deformation are those of the drawn measures, moved into the ranges
    of the phantom; what the measures leave open, the phantom draws. Nobody has a plaque: the
    cohort has no secondary neuralgia.

    Parameters
    ----------
    nerves : pandas.DataFrame
        Index ``side``, columns of ``nerve_measures``.
    rng : numpy.random.Generator
        Of the few choices that the measures leave open here.

    Returns
    -------
    dict of str to dict
        Parameter → side → value.
    """
    anatomy: dict[str, dict[str, Any]] = {}
    measures = nerves.to_dict("index")
    for side in SIDES:
        for name, value in _nerve(measures[side], rng).items():
            anatomy.setdefault(name, {})[side] = value
    return anatomy


def _nerve(drawn: Mapping[Any, Any], rng: np.random.Generator) -> dict[str, Any]:
    kind = _KINDS[int(drawn["sindou_grade"])]
    length = _within(drawn["length_mm"], _LENGTH)
    p: dict[str, Any] = {
        "length_mm": length,
        "angle_deg": _within(drawn["angle_deg"], _ANGLE),
        "curvature_per_mm": float(rng.uniform(0.0, 0.05)),
        "compression": kind,
        "plaque": False,
        **_section(drawn["mean_area_mm2"], drawn["flattening"]),
    }
    prefers_sca = bool(rng.random() < 0.8)
    if kind == "none":
        if drawn["gap_mm"] > _FARTHEST_MM:
            p["vessel"] = None
        else:
            p["gap_mm"] = float(drawn["gap_mm"])
        return p
    p["gap_mm"] = float(drawn["gap_mm"])
    calibre = drawn["vessel_diameter_mm"]
    if drawn["vessel"] == "vein":
        p["vessel"], calibres = "vein", _VEIN
    elif prefers_sca or calibre > _AICA[1]:
        p["vessel"], calibres = "sca", _SCA
    else:
        p["vessel"], calibres = "aica", _AICA
    p["vessel_diameter_mm"] = _within(calibre, calibres)
    p["crossing_angle_deg"] = _within(drawn["crossing_angle_deg"], (20.0, 90.0))
    p["second_vessel"] = bool(drawn["n_contacts"] > 1)
    pushed = drawn["displacement_mm"] if kind in ("displaced", "indented") else 0.0
    ends = (3.0, 3.0) if pushed >= 0.3 else (1.2, 1.5)
    place = _within(drawn["contact_position_mm"], (ends[0], min(length - ends[1], 10.0)))
    p["crossing_position_mm"] = place
    if pushed >= 0.3:
        p["displacement_mm"] = min(float(pushed), _largest_push(p, place, length))
    if kind == "indented":
        thin = _DEEPEST * _THINNEST * p["semi_minor_mm"]
        deepest = min(thin, _BURIED * p["vessel_diameter_mm"] + p["gap_mm"], 1.2)
        p["indentation_mm"] = max(0.2, min(float(drawn["indentation_mm"]), deepest))
    return p


def _within(value: float, bounds: tuple[float, float]) -> float:
    return float(np.clip(value, *bounds))


def _section(area: float, flattening: float) -> dict[str, float]:
    """Return semi-axes of an ellipse of this area, as flat as their ranges allow."""
    major = _within(np.sqrt(area / (np.pi * (1 - flattening))), _MAJOR)
    minor = _within(area / (np.pi * major), (_MINOR[0], min(_MINOR[1], major)))
    major = _within(area / (np.pi * minor), (max(_MAJOR[0], minor), _MAJOR[1]))
    # A nerve smaller than the smallest section is an atrophic one.
    lost = 1 - area / (np.pi * major * minor)
    section = {"semi_major_mm": major, "semi_minor_mm": minor}
    return section | {"atrophy": _within(lost, (0.0, 0.6)) if lost > 1e-9 else 0.0}


def _largest_push(p: Mapping[str, Any], place: float, length: float) -> float:
    """Return the displacement that the phantom can give a nerve here without kinking it."""
    thick = 1.1 * p["semi_major_mm"]
    steepest = min(0.45, 0.6 / thick) - p["curvature_per_mm"]
    width = 0.85 * min(place, length - place)
    return max(0.3, 2 * width**2 / np.pi**2 * steepest)


def loosened(anatomy: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, dict[str, Any]]]:
    """Give up what fits least, step by step, where no anatomy has everything that was drawn.

    Kept to the end are length, section, angle, kind of compression and kind of vessel.

    Parameters
    ----------
    anatomy : mapping
        What `anatomy_of` returned.

    Yields
    ------
    dict
        Overrides with ever fewer entries, each of them twice.
    """
    left = {name: dict(values) for name, values in anatomy.items()}
    steps: tuple[tuple[str, ...], ...] = (
        (),
        ("second_vessel",),
        ("crossing_angle_deg", "curvature_per_mm"),
        ("crossing_position_mm", "displacement_mm"),
        ("vessel_diameter_mm", "indentation_mm", "gap_mm"),
    )
    for names in steps:
        for name in names:
            left.pop(name, None)
        for _ in range(2):
            yield copy.deepcopy(left)


def operated_sides(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Return the sides whose vessel touched the nerve before, and is off it later.

    Parameters
    ----------
    before, after : pandas.DataFrame
        Drawn measures at the two visits, index ``side``.

    Returns
    -------
    list of str
    """
    off = (before["gap_mm"] <= TOUCH_MM) & (after["gap_mm"] > TOUCH_MM)
    return [side for side in SIDES if off[side]]


def after_surgery(
    before: Cistern,
    sides: list[str],
    rotation_deg: tuple[float, float, float],
    rng: np.random.Generator,
) -> Cistern:
    """Return the scan at a later visit: another pose, and these nerves decompressed.

    Parameters
    ----------
    before : Cistern
        The scan before surgery.
    sides : list of str
        Nerves that were operated on; the others stay as they were, compressed or not.
    rotation_deg : tuple of three floats
        The new pose.
    rng : numpy.random.Generator
        Of the surgery and the image.

    Returns
    -------
    Cistern
    """
    if not sides:
        return before.rescan(rng, rotation_deg=rotation_deg)
    scene, how = before._scene, before._how
    if scene is None or how is None:
        raise GeometryError("this cistern doesn't know its surfaces")
    # `decompressed` passes over a nerve that was operated on already.
    params = copy.deepcopy(scene.params)
    spared = [side for side in SIDES if side not in sides]
    for side in spared:
        params[side]["decompression"] = None
    marked = dataclasses.replace(
        before,
        _scene=dataclasses.replace(scene, params=params),
        _how=dataclasses.replace(how, rotation_deg=rotation_deg),
    )
    after = marked.decompressed(rng)
    for side in spared:
        after.anatomy[side].pop("decompression")
    return after
