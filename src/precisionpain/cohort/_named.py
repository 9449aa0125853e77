"""Tables by name, and what is said of those that are hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import LeakageError, MissingModalityError, list_some


class Tables(Mapping[str, Any]):
    """Tables by name, cut to the cohort's people only when asked for."""

    def __init__(
        self,
        tables: Mapping[str, Any],
        cut: Callable[[str], Any],
        noun: str,
        hidden: Mapping[str, str],
    ) -> None:
        self._tables = tables
        self._cut = cut
        self._noun = noun
        self._hidden = hidden

    def __getitem__(self, key: str) -> Any:
        if key not in self._tables:
            if key in self._hidden:
                raise leak(key, self._hidden[key])
            raise MissingModalityError(
                f"this cohort has no {self._noun} {key!r}",
                remedy=f"there are {list_some(self._tables, 12) or 'none'}",
            )
        return self._cut(key)

    def __contains__(self, key: object) -> bool:
        return key in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._tables))}}}"


def as_names(names: Sequence[str]) -> tuple[str, ...]:
    """Take one name for a sequence of one: else ``"bni" in "bni_12m"`` would allow it."""
    return (names,) if isinstance(names, str) else tuple(names)


def leak(name: str, reason: str) -> LeakageError:
    """Say why something is hidden from models, and how to allow it."""
    return LeakageError(
        f"{name!r} can't be a predictor: {reason}",
        remedy=f"leave it out, or allow it by name (allow=[{name!r}]) if it truly is known "
        "when the prediction is made",
    )
