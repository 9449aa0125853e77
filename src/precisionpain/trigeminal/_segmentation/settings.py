"""What a segmenter is asked to do, checked before hours are spent on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ...errors import FormatError

__all__ = ["as_patch", "as_spacing", "as_structures", "as_units", "check_settings"]


def as_structures(labels: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the structures, each with its one or two values.

    Parameters
    ----------
    labels : mapping of str to int or pair of int
        Values 1 to 255, each once.

    Returns
    -------
    dict of str to tuple of int

    Raises
    ------
    FormatError
        When it is something else.
    """
    found: dict[str, tuple[Any, ...]] = {}
    if isinstance(labels, Mapping):
        found = {
            str(name): tuple(value) if isinstance(value, tuple | list) else (value,)
            for name, value in labels.items()
        }
    values = [value for own in found.values() for value in own]
    if (
        not found
        or not all(len(own) in (1, 2) for own in found.values())
        or not all(_is_whole(value) and 0 < value < 256 for value in values)
        or len(set(values)) < len(values)
    ):
        raise FormatError(
            "expected structures with one value, or a pair (left, right), each its own and from "
            f"1 to 255, found {labels!r}",
            where="labels",
            remedy='for example {"brainstem": 1, "nerve": (2, 3)}',
        )
    return {name: tuple(int(value) for value in own) for name, own in found.items()}


def as_units(structures: Iterable[str], as_one: Any) -> list[tuple[int, ...]]:
    """Return the classes that count as one, and each of the others alone.

    Parameters
    ----------
    structures : iterable of str
        Names of the classes, which are counted from 1.
    as_one : sequence of sequences of str
        Names that count as one.

    Returns
    -------
    list of tuple of int
        In the order of the structures; every class in one of them.

    Raises
    ------
    FormatError
        When a name is unknown, alone, or in two groups.
    """
    names = list(structures)
    rows: list[Any] = list(as_one) if _is_row(as_one) else [()]
    groups = [list(row) if _is_row(row) else [] for row in rows]
    members = [name for group in groups for name in group]
    if (
        any(len(group) < 2 for group in groups)
        or not set(members) <= set(names)
        or len(set(members)) < len(members)
    ):
        raise FormatError(
            f"expected groups of two or more of {', '.join(names)}, each name once, "
            f"found {as_one!r}",
            where="as_one",
            remedy='for example (("artery", "vein"),), or () for none',
        )
    units = [tuple(sorted(names.index(name) + 1 for name in group)) for group in groups]
    alone = [(k,) for k, name in enumerate(names, start=1) if name not in members]
    return sorted([*units, *alone])


def as_patch(patch: Any) -> tuple[int, int, int]:
    """Return the size of a patch along each axis."""
    sizes = _three(patch)
    if sizes is None or not all(_is_whole(n) and n >= 16 and n % 16 == 0 for n in sizes):
        raise FormatError(f"expected a multiple of 16, or three, found {patch!r}", where="patch")
    x, y, z = (int(n) for n in sizes)
    return x, y, z


def as_spacing(spacing_mm: Any) -> tuple[float, float, float] | None:
    """Return the voxel size along each axis, mm; None as it is."""
    if spacing_mm is None:
        return None
    sizes = _three(spacing_mm)
    if sizes is None or not all(_is_number(size) and 0.05 <= size <= 20 for size in sizes):
        raise FormatError(
            f"expected a voxel size in mm (0.05 to 20), three of them or None, "
            f"found {spacing_mm!r}",
            where="spacing_mm",
        )
    x, y, z = (float(size) for size in sizes)
    return x, y, z


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that would fail late, or in silence.

    Parameters
    ----------
    settings : mapping
        Parameters of `TrigeminalSegmenter`.

    Raises
    ------
    FormatError
        Names the first that can't be.
    """
    channels, flips, amp = (settings[name] for name in ("channels", "flips", "amp"))
    as_patch(settings["patch"])
    as_spacing(settings["spacing_mm"])
    checks = [
        ("channels", _is_row(channels) and len(channels) > 0
         and all(isinstance(name, str) for name in channels), 'names, such as ("T2w",)'),
        ("flips", _is_row(flips) and set(flips) <= {0, 1, 2} and len(set(flips)) == len(flips),
         "axes from 0 to 2, such as (0,)"),
        ("amp", amp == "auto" or isinstance(amp, bool), "'auto', True or False"),
        *(
            (name, _is_whole(settings[name]) and settings[name] >= 1, "a whole number from 1")
            for name in ("n_steps", "batch_size", "per_scan", "validate_every")
        ),
        *(
            (name, _is_number(settings[name]) and 0 <= settings[name] < 1, "a share below 1")
            for name in ("validation", "overlap")
        ),
        ("patience", settings["patience"] is None
         or (_is_whole(settings["patience"]) and settings["patience"] >= 1),
         "None or a whole number from 1"),
        ("random_state", _is_whole(settings["random_state"]) and settings["random_state"] >= 0,
         "a whole number from 0"),
        ("max_spacing_mm", _is_number(settings["max_spacing_mm"])
         and settings["max_spacing_mm"] > 0, "a number above 0"),
    ]  # fmt: skip
    for name, holds, expected in checks:
        if not holds:
            raise FormatError(f"expected {expected}, found {settings[name]!r}", where=name)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _three(value: Any) -> list[Any] | None:
    """Return three of a kind, or None for another number of them."""
    try:
        row = [value] * 3 if _is_number(value) or isinstance(value, str) else list(value)
    except TypeError:
        return None
    return row if len(row) == 3 else None
