"""What was found in a scan, in a few lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ..anatomy import SIDES

__all__ = ["ScanResult"]

# What the summary shows; the tables hold all.
_MAIN = (
    "length_mm", "volume_mm3", "min_area_mm2", "gap_mm", "contact_area_mm2",
    "contact_position_mm", "vessel", "vessel_diameter_mm", "indentation_mm", "sindou_grade",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class ScanResult:
    """What was found in a scan, and where it was written.

    Parameters
    ----------
    name : str
        What its files begin with.
    folder : Path
        Where they are.
    table : pandas.DataFrame
        As `measure_compression` returns it, with the flags of each nerve.
    flags : tuple of str
        Of the segmentation.
    files : tuple of str
        Names.
    undrawn : dict of str to str
        Pictures that could not be drawn, and why.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    flags: tuple[str, ...]
    files: tuple[str, ...]
    undrawn: dict[str, str]

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"  {line}" for line in self._lines())])

    def _lines(self) -> Iterator[str]:
        cells = {side: [_cell(self.table.loc[side], name) for name in _MAIN] for side in SIDES}
        wide = max(len(cell) for cell in cells["left"]) + 3
        yield f"{'':22}{'left':{wide}}right"
        for name, left, right in zip(_MAIN, *cells.values(), strict=True):
            yield f"{name:22}{left:{wide}}{right}"
        for flag in self.flags:
            yield f"flag: {flag}"
        for side in SIDES:
            if own := str(self.table.loc[side, "flags"]):
                yield f"flag, {side} nerve: {own}"
        for why in dict.fromkeys(self.undrawn.values()):
            which = [picture for picture, reason in self.undrawn.items() if reason == why]
            yield f"not drawn: {', '.join(which)} ({why})"
        yield f"written to {self.folder}:"
        for name in self.files:
            yield f"  {name}"


def _cell(row: Any, name: str) -> str:
    value = row[name]
    if value is None or pd.isna(value):
        return "-"
    if not isinstance(value, float):
        return str(value)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    ends = "" if low is None or pd.isna(low) else f" ({low:.2f} to {high:.2f})"
    return f"{value:.2f}{ends}"
