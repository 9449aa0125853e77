"""Which features a caller wants, and whether the options make sense."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from ...errors import FormatError, list_some
from .registry import FAMILIES, FEATURES

__all__ = ["Aggregation", "check_options", "choose_families", "choose_features"]

Aggregation = Literal[
    "2d_averaged", "2d_merged", "2.5d_averaged", "2.5d_merged", "3d_averaged", "3d_merged"
]


def choose_families(families: str | Iterable[str] | None) -> list[str]:
    """Return the families to measure."""
    if families is None:
        return list(FAMILIES)
    names = [families] if isinstance(families, str) else list(families)
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or not names:
        raise FormatError(
            f"unknown family {list_some(unknown)}" if unknown else "no family is chosen",
            remedy=f"choose of {', '.join(FAMILIES)}",
        )
    return names


def check_options(
    aggregation: str, interpolation: str, distances: Sequence[int], coarseness: int, axis: int
) -> None:
    """Refuse options that make no sense."""
    if aggregation not in get_args(Aggregation):
        known = ", ".join(get_args(Aggregation))
        raise FormatError(f"unknown aggregation {aggregation!r}", remedy=f"choose of {known}")
    if interpolation not in ("linear", "cubic"):
        raise FormatError(f"interpolation is 'linear' or 'cubic', found {interpolation!r}")
    if len(distances) == 0 or any(d != int(d) or d < 1 for d in distances):
        raise FormatError(f"distances are whole numbers of voxels from 1, found {distances!r}")
    if coarseness != int(coarseness) or coarseness < 0:
        raise FormatError(f"dependence_coarseness is 0, 1, 2 …, found {coarseness!r}")
    if axis not in (0, 1, 2):
        raise FormatError(f"slice_axis is 0, 1 or 2, found {axis!r}")


def choose_features(
    families: list[str], features: str | Iterable[str], *, small: bool
) -> tuple[set[str], dict[str, str]]:
    """Return the features to measure, and the reasons for those left out."""
    pool = [feature for feature in FEATURES if feature.family in families]
    if features == "all":
        return {feature.name for feature in pool}, {}
    if features == "meaningful":
        left_out = {f.name: f.never or f.small_mask for f in pool if f.never or f.small_mask}
        if not small:
            left_out = {f.name: f.never for f in pool if f.never}
        return {feature.name for feature in pool} - set(left_out), left_out
    names = [features] if isinstance(features, str) else list(features)
    unknown = [name for name in names if name not in {feature.name for feature in pool}]
    if unknown or not names:
        raise FormatError(
            f"unknown feature {list_some(unknown)}" if unknown else "no feature is chosen",
            remedy='choose of radiomics_table(), or say "meaningful" or "all"',
        )
    return set(names), {}
