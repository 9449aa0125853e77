"""What the readers ask of their options, said in one way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...errors import FormatError, list_some
from ..rollup import roll_up
from .table import Table

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Level", "check_level", "choice", "rolled", "share"]

Level = Literal["protein", "ion"]


def rolled(ions: AnnData, level: Level, method: Literal["maxlfq", "sum"]) -> AnnData:
    """Return ions as they are, or the proteins that they make."""
    choice("level", level, ("protein", "ion"))
    return ions if level == "ion" else roll_up(ions, method=method)


def check_level(level: Level, table: Table) -> None:
    """Refuse to give the ions of a table that has proteins."""
    choice("level", level, ("protein", "ion"))
    if level == "ion":
        raise FormatError(
            "expected peptides or ions, found a table of proteins",
            where=table.name,
            remedy="level='protein', or the table of ions",
        )


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a word that isn't allowed."""
    if value not in allowed:
        raise FormatError(f"expected one of {list_some(allowed)}, found {value!r}", where=name)


def share(name: str, value: float) -> float:
    """Return a q-value; refuse what can't be one."""
    if not 0 <= value <= 1:
        raise FormatError(f"expected a q-value between 0 and 1, found {value!r}", where=name)
    return value
