"""``participants.tsv`` of a BIDS tree: its description in JSON, and conventional columns."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import list_some
from ..clinical import read_clinical_table
from ..columns import Column, as_columns

__all__ = ["Participants", "read_participants"]

_SEX = {"f": "female", "female": "female", "m": "male", "male": "male"}
_SEX_WORDS = {
    "female": re.compile(r"\b(female|woman|women|girls?)\b", re.IGNORECASE),
    "male": re.compile(r"\b(male|man|men|boys?)\b", re.IGNORECASE),
}
# A column "group" may hold a diagnosis or the arm of a trial; these words tell.
_DIAGNOSTIC = re.compile(
    r"\b(hcs?|hv|controls?|ctrl|con|healthy|normal|patients?|volunteers?)\b", re.IGNORECASE
)
_YEARS = {"year": 1.0, "yr": 1.0, "month": 1 / 12, "week": 7 / 365.25, "day": 1 / 365.25}


@dataclasses.dataclass
class Participants:
    """The table of the participants, and what is known of its columns.

    Attributes
    ----------
    name : str
        Name of the file.
    table : pandas.DataFrame
        One row per id, index ``subject_id``, ids as in the file.
    columns : dict of str to Column
        One for every column.
    provenance : list of dict
        What was read, described and renamed.
    """

    name: str
    table: pd.DataFrame
    columns: dict[str, Column]
    provenance: list[dict[str, Any]]

    def note(self, step: str, column: str | None, n: int, detail: str) -> None:
        """Add an entry to the provenance; nothing is recorded for none."""
        if n:
            self.provenance.append(
                {"step": step, "table": self.name, "column": column, "n": n, "detail": detail}
            )

    def rename(self, old: str, new: str) -> None:
        """Give a column its conventional name."""
        if old != new:
            self.table = self.table.rename(columns={old: new})
            self.columns = {new if k == old else k: c for k, c in self.columns.items()}
            if self.columns[new].source is None:
                self.columns[new] = dataclasses.replace(self.columns[new], source=old)
            self.note("column renamed", new, 1, f"was {old!r}")

    def change(self, name: str, **fields: Any) -> None:
        """Change what is known of a column."""
        self.columns[name] = dataclasses.replace(self.columns[name], **fields)


def read_participants(
    path: Path, described: Mapping[str, Any], columns: Any = None
) -> Participants:
    """Read the table and bring what can be told unambiguously to the conventions.

    Parameters
    ----------
    path : Path
        ``participants.tsv``, or another table of people.
    described : mapping
        The content of ``participants.json``.
    columns : mapping or path, optional
        As for `read_clinical_table`; columns named there are taken as the map says.

    Returns
    -------
    Participants

    Notes
    -----
    ``Levels`` of the JSON document the values; they stay as the file has them (``"MVD"``
    doesn't become ``"Microvascular decompression"``), and their meanings are added to
    `Column.description`. The one exception is the sex, whose codes become ``"female"`` and
    ``"male"``.
    """
    table = read_clinical_table(path, columns)
    provenance = list(table.attrs["provenance"])
    known = as_columns(table.attrs["columns"])
    table.attrs = {}  # it would travel with every copy
    people = Participants(path.name, table, known, provenance)
    entries = _describe(people, described)
    given = set(as_columns(columns))
    for name, candidates, convert in (
        ("sex", ("sex", "gender"), _sex),
        ("age", ("age",), _age),
        ("site", ("site",), None),
        ("diagnosis", ("diagnosis", "group"), _diagnosis),
    ):
        free = [str(column) for column in people.table if column not in given]
        found = _find(free, candidates)
        if name in given or found is None or (found != name and name in people.table):
            continue
        entry = entries.get(found, {})
        if convert is None:
            people.rename(found, name)
        else:
            convert(people, found, entry)
    return people


def _find(columns: list[str], candidates: tuple[str, ...]) -> str | None:
    """Return the column of the first candidate that is there, unless two differ by case."""
    for candidate in candidates:
        if candidate in columns:
            return candidate
        found = [column for column in columns if column.casefold() == candidate]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _describe(people: Participants, described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Add descriptions and units; return the JSON entry of each column that has one."""
    entries = {key: value for key, value in described.items() if isinstance(value, Mapping)}
    headers = {name: column.source or name for name, column in people.columns.items()}
    matched = {name: header for name, header in headers.items() if header in entries}
    unmatched = [key for key in entries if key not in matched.values()]
    similar: dict[str, str] = {}
    for name, header in headers.items():
        if name in matched:
            continue
        alike = [key for key in unmatched if _plain(key) == _plain(header)]
        rivals = [other for other in headers.values() if _plain(other) == _plain(header)]
        if len(alike) == len(rivals) == 1:
            similar[name] = alike[0]
    for name, key in {**matched, **similar}.items():
        entry, column = entries[key], people.columns[name]
        unit = entry.get("Units")
        people.change(
            name,
            description=column.description or _text(entry),
            unit=column.unit or (str(unit) if unit else None),
        )
    people.note("columns described", None, len(matched), "by participants.json")
    pairs = [f"{headers[name]} = {key}" for name, key in similar.items()]
    detail = f"under a similar name in participants.json: {list_some(pairs, 20)}"
    people.note("columns described", None, len(similar), detail)
    coded = [
        name
        for name, key in {**matched, **similar}.items()
        if _levels(entries[key])
        and name in people.table
        and pd.api.types.is_numeric_dtype(people.table[name])
    ]
    detail = f"kept as numbers, their meanings are in the description: {list_some(coded, 20)}"
    people.note("columns of codes", None, len(coded), detail)
    keys = {"participant_id", *matched.values(), *similar.values()}
    stray = [key for key in described if key not in keys]
    detail = f"in participants.json, of columns that the table lacks: {list_some(stray, 20)}"
    people.note("descriptions unused", None, len(stray), detail)
    return {name: entries[key] for name, key in {**matched, **similar}.items()}


def _plain(header: str) -> str:
    """Reduce a header to what two spellings of it share: no units in brackets, no signs."""
    return re.sub(r"[^0-9a-z]", "", re.sub(r"\(.*?\)|\[.*?\]", "", header.casefold()))


def _levels(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return what each value means; newer files hold a mapping in place of the text."""
    levels = entry.get("Levels")
    if not isinstance(levels, Mapping):
        return {}
    return {
        str(value): str(meaning.get("Description", "") if isinstance(meaning, Mapping) else meaning)
        for value, meaning in levels.items()
    }


def _text(entry: Mapping[str, Any]) -> str:
    text = str(entry.get("Description") or entry.get("LongName") or "").strip()
    levels = "; ".join(f"{value} = {meaning}" for value, meaning in _levels(entry).items())
    return ". ".join(part.rstrip(".") for part in (text, levels) if part)


def _as_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value).strip()


def _sex(people: Participants, found: str, entry: Mapping[str, Any]) -> None:
    meanings = _levels(entry)
    values = people.table[found]
    codes = values.dropna().map(_as_text).astype(object)
    stored = {}
    for code in codes.unique():
        said = [sex for sex, word in _SEX_WORDS.items() if word.search(meanings.get(code, ""))]
        sex = said[0] if len(said) == 1 else _SEX.get(code.casefold())
        if sex is not None:
            stored[code] = sex
    if not stored:
        text = "neither F and M nor explained by Levels in participants.json; left as it stands"
        people.note("sex not understood", found, len(codes), text)
        return
    people.rename(found, "sex")
    others = sorted(set(codes) - set(stored))
    mapped = codes.map({**{code: code for code in others}, **stored})
    people.table["sex"] = mapped.reindex(values.index).astype(object)
    people.change("sex", kind="category", levels={**stored, **{code: code for code in others}})
    changed = int((mapped != codes).sum())
    people.note("values renamed", "sex", changed, f"{stored}")
    if others:
        n = int(codes.isin(others).sum())
        people.note("values kept", "sex", n, f"neither female nor male: {list_some(others)}")


def _age(people: Participants, found: str, entry: Mapping[str, Any]) -> None:
    unit = str(entry.get("Units") or "years")
    word = re.sub(r"s?\W*$", "", unit.strip().casefold())
    if not pd.api.types.is_numeric_dtype(people.table[found]) or word not in _YEARS:
        reason = "not numeric" if word in _YEARS else f"in {unit!r}"
        n = int(people.table[found].notna().sum())
        if found == "age":
            people.rename(found, "age_recorded")
            found = "age_recorded"
        people.note("age not understood", found, n, f"{reason}; not taken as the age in years")
        return
    people.rename(found, "age")
    factor = _YEARS[word]
    if factor != 1.0:
        people.table["age"] = people.table["age"].astype(float) * factor
        people.change("age", factor=people.columns["age"].factor * factor, kind="number")
        n = int(people.table["age"].notna().sum())
        people.note("unit changed", "age", n, f"{unit} × {factor:.6g} = years")
    if not entry.get("Units"):
        people.note("unit", "age", len(people.table), "years, as BIDS has it unless it says other")
    people.change("age", unit="years")


def _diagnosis(people: Participants, found: str, entry: Mapping[str, Any]) -> None:
    if found.casefold() == "group":
        values = people.table[found].dropna().map(_as_text).unique()
        texts = [*values, *_levels(entry).values()]
        if not any(_DIAGNOSTIC.search(text) for text in texts):
            detail = (
                f"no controls or patients among {list_some(values)}: perhaps the arm of a trial"
            )
            people.note("group not a diagnosis", found, len(values), detail)
            return
    people.rename(found, "diagnosis")
