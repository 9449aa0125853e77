"""Checks of ids: unknown and repeated ones are errors, near matches are named, never made."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

import pandas as pd

from ..errors import AlignmentError, list_some

__all__ = ["check_ids", "check_unique"]

_MOST = 5

# Only a digit run's own leading zeros go: sub-01 and sub-010 stay apart.
_PADDING = re.compile(r"(?<!\d)0+(?=\d)")

# Differences between spellings of one id. The order matters: a prefix is recognised only
# once the spaces and the case are out of the way.
_DIFFERENCES: dict[str, Callable[[str], str]] = {
    "surrounding spaces": str.strip,
    "case": str.casefold,
    "the prefix 'sub-'": lambda text: text.removeprefix("sub-"),
    "zero padding": lambda text: _PADDING.sub("", text),
}


def check_ids(given: Iterable[object], known: Collection[object], *, table: str) -> None:
    """Raise when ids are unknown, and say which known ids they resemble.

    Parameters
    ----------
    given : iterable of str
        The ids of a table, in any order and as often as they like.
    known : collection of str
        The ids that may occur.
    table : str
        What to call the table in the message.

    Raises
    ------
    AlignmentError
        When an id isn't among `known`. An unknown id that equals a known one up to zero
        padding, the prefix ``sub-``, case, surrounding spaces or its type is shown beside
        it. Such ids are never matched silently: ``sub-01`` and ``sub-010`` are two people.

    Examples
    --------
    >>> from precisionpain.cohort.keys import check_ids
    >>> check_ids(["sub-001"], ["sub-001", "sub-002"], table="proteins")
    >>> check_ids(["sub-1"], ["sub-001", "sub-002"], table="proteins")
    Traceback (most recent call last):
    ...
    precisionpain.errors.AlignmentError: proteins: 1 id is unknown: 'sub-1'. 'sub-1' equals 'sub-001' up to zero padding. To fix: if they are the same people, rename the ids first with a mapping, for example {'sub-1': 'sub-001'}; ids are never matched by resemblance, because sub-01 and sub-010, say, may be two people.
    """  # noqa: E501
    index = pd.Index(list(given), dtype=object)
    unknown = list(dict.fromkeys(index[~index.isin(list(known))]))
    if not unknown:
        return
    count = f"{len(unknown)} ids are" if len(unknown) > 1 else "1 id is"
    what = f"{count} unknown: {list_some(unknown, _MOST)}"
    resembled: dict[str, list[object]] = {}
    for candidate in known:
        resembled.setdefault(_canonical(candidate), []).append(candidate)
    near = [(one, resembled[_canonical(one)]) for one in unknown if _canonical(one) in resembled]
    if not near:
        raise AlignmentError(
            what,
            where=table,
            remedy=f"remove these rows or correct the ids; known are {list_some(known, 3)}",
        )
    shown = "; ".join(
        f"{one!r} equals {' and '.join(repr(other) for other in others)} "
        f"up to {' and '.join(_differences(one, others))}"
        for one, others in near[:_MOST]
    )
    rest = f"; and {len(near) - _MOST} more" if len(near) > _MOST else ""
    # Where several known ids resemble an unknown one, only the user can tell which is meant.
    example = {one: others[0] for one, others in near if len(others) == 1}
    first = f", for example {dict(list(example.items())[:2])}" if example else ""
    raise AlignmentError(
        f"{what}. {shown}{rest}",
        where=table,
        remedy=f"if they are the same people, rename the ids first with a mapping{first}; ids are "
        "never matched by resemblance, because sub-01 and sub-010, say, may be two people",
    )


def check_unique(
    ids: Iterable[Hashable],
    *,
    table: str,
    lines: Sequence[int] | None = None,
    remedy: str | None = None,
) -> None:
    """Raise when an id occurs twice.

    Parameters
    ----------
    ids : iterable
        Ids, or tuples such as (subject, visit).
    table : str
        What to call the table in the message.
    lines : sequence of int, optional
        Line of the file that each id stands in; by default positions from 0 are named.
    remedy : str, optional
        What the user can do about it.

    Raises
    ------
    AlignmentError
        When an id occurs more than once.

    Examples
    --------
    >>> from precisionpain.cohort.keys import check_unique
    >>> check_unique(["a", "b", "a"], table="t.csv", lines=[2, 3, 7])
    Traceback (most recent call last):
    ...
    precisionpain.errors.AlignmentError: t.csv: 1 id occurs more than once: 'a' (lines 2 and 7). To fix: keep one row for each.
    """  # noqa: E501
    ids = list(ids)
    if len(set(ids)) == len(ids):
        return
    places: dict[Hashable, list[int]] = {}
    for position, one in enumerate(ids):
        places.setdefault(one, []).append(position)
    repeated = {one: at for one, at in places.items() if len(at) > 1}
    unit = "positions" if lines is None else "lines"
    shown = []
    for one, at in list(repeated.items())[:_MOST]:
        named = [str(position if lines is None else lines[position]) for position in at[:_MOST]]
        more = f" and {len(at) - _MOST} more" if len(at) > _MOST else ""
        listed = ", ".join(named) + more if more else f"{', '.join(named[:-1])} and {named[-1]}"
        shown.append(f"{one!r} ({unit} {listed})")
    rest = f"; and {len(repeated) - _MOST} more" if len(repeated) > _MOST else ""
    noun = "key" if isinstance(ids[0], tuple) else "id"
    count = f"{len(repeated)} {noun}s occur" if len(repeated) > 1 else f"1 {noun} occurs"
    raise AlignmentError(
        f"{count} more than once: {'; '.join(shown)}{rest}",
        where=table,
        remedy=remedy or "keep one row for each",
    )


def _canonical(one: object) -> str:
    text = str(one)
    for apply in _DIFFERENCES.values():
        text = apply(text)
    return text


def _differences(one: object, others: Sequence[object]) -> list[str]:
    """Name the differences without which ids that resemble each other would be equal."""
    reasons = []
    if not isinstance(one, str):
        reasons.append(f"its type ({type(one).__name__}, not text)")
    for name in _DIFFERENCES:
        spellings = [str(one), *map(str, others)]
        for step, apply in _DIFFERENCES.items():
            if step != name:
                spellings = [apply(text) for text in spellings]
        if any(text != spellings[0] for text in spellings[1:]):
            reasons.append(name)
    return reasons
