"""What is known of a column: the declarative map that readers, models and reports share."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import FormatError, list_some

__all__ = ["Column", "Kind", "Role", "as_columns", "assume_column"]

Kind = Literal["number", "integer", "duration", "category", "ordinal", "flag", "text", "date"]
Role = Literal["predictor", "outcome", "truth", "note", "unused"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a clinical table: where it comes from, what it means, what it may be used for.

    Parameters
    ----------
    source : str, optional
        Header in the file; by default the column's own name.
    kind : str, optional
        One of "number", "integer", "duration", "category", "ordinal", "flag", "text" and
        "date". ``duration`` is a number that can't be negative (days, years); ``flag`` is true or
        false; ``ordinal`` is a category whose levels have an order, kept as numbers.
        By default it is inferred from the values.
    role : {"predictor", "outcome", "truth", "note", "unused"}, default "predictor"
        ``outcome`` is the outcome itself and whatever derives from it or is known only
        after the index event; it can't predict. ``truth`` is the hidden truth of synthetic
        data. ``note`` is free text or bookkeeping, shown but never modelled. ``unused``
        is left out of the table and listed with its `reason`.
    visit : str, optional
        The visit that the value was taken at. A visit after the index event makes the
        column unfit as a predictor. None means known from the start.
    unit : str, optional
        Unit of the stored value, for example ``"years"`` or ``"mg/day"``.
    factor : float, default 1.0
        File value × factor = stored value, for a change of unit.
    levels : mapping or sequence, optional
        File value → stored value. Matched after stripping spaces, first exactly, then
        without regard to case. For ``ordinal`` the order of the levels is their order. A
        sequence means that each value stands for itself.
    missing : sequence of str, optional
        Further codes that mean "missing", on top of the empty cell and the usual ones.
    minimum, maximum : float, optional
        Plausible range of the stored value; a value beyond is an error.
    description : str, optional
        One line for reports.
    reason : str, optional
        Why the column is unused, or why it counts as an outcome.

    Examples
    --------
    >>> from precisionpain.cohort import Column
    >>> Column(source="Pain_side", kind="category", levels={"L": "left", "R": "right"}).role
    'predictor'
    """

    source: str | None = None
    kind: Kind | None = None
    role: Role = "predictor"
    visit: str | None = None
    unit: str | None = None
    factor: float = 1.0
    levels: Mapping[str, Any] | None = None
    missing: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in get_args(Kind):
            raise FormatError(
                f"a column's kind is one of {list_some(get_args(Kind), 8)}, found {self.kind!r}"
            )
        if self.role not in get_args(Role):
            raise FormatError(
                f"a column's role is one of {list_some(get_args(Role), 8)}, found {self.role!r}"
            )
        if self.levels is not None and not isinstance(self.levels, Mapping):
            object.__setattr__(self, "levels", {str(v): v for v in self.levels})
        if isinstance(self.missing, str):
            object.__setattr__(self, "missing", (self.missing,))
        else:
            object.__setattr__(self, "missing", tuple(str(code) for code in self.missing))

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain JSON values.

        Returns
        -------
        dict
            ``Column(**column.to_dict())`` gives the same column.
        """
        record: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                if isinstance(value, tuple):
                    value = list(value)
                elif isinstance(value, Mapping):
                    value = dict(value)
                record[field.name] = value
        return record


# Names that speak of what comes after surgery or injury. A column that nobody declared is
# barred on suspicion: a barred predictor is noticed and mended, a leak is not.
_AFTERWARDS = re.compile(
    r"outcome|follow_?up|post_?(op|surg|treat)|complication|recurr|relapse|respon(se|der)"
    r"|pain_(reduction|relief|free)|(^|_)bni(_|$)|(^|_)\d+_?(mo|months?|y|yrs?|years?)$"
)


def assume_column(name: str, kind: Kind | None = None) -> Column:
    """Return what is assumed of a column that nobody declared.

    Parameters
    ----------
    name : str
        Its name or header.
    kind : str, optional
        Its kind, where that is known.

    Returns
    -------
    Column
        A predictor; but text and the site are notes, and a name that speaks of outcomes,
        follow-ups or complications makes it an outcome until somebody declares otherwise.

    Examples
    --------
    >>> from precisionpain.cohort import assume_column
    >>> assume_column("age").role, assume_column("Postsurgery pain reduction (%)").role
    ('predictor', 'outcome')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if kind == "text":
        return Column(kind=kind, role="note")
    if plain == "site":
        return Column(kind=kind, role="note", reason="a model that knows the site doesn't travel")
    if _AFTERWARDS.search(plain):
        return Column(
            kind=kind,
            role="outcome",
            reason="undeclared, and its name speaks of what comes after the index event; "
            "declare it with Column(role='predictor') if it was known before",
        )
    return Column(kind=kind)


def as_columns(
    columns: Mapping[str, Column | Mapping[str, Any] | str | None] | str | Path | None,
) -> dict[str, Column]:
    """Read a column map in any of its forms.

    Parameters
    ----------
    columns : mapping, path or None
        Stored name → `Column`, or a mapping with its fields, or just the header in the
        file as a string, or None for "as it stands". A path names a YAML or JSON file
        with such a mapping, alone or under the key ``columns``.

    Returns
    -------
    dict of str to Column

    Raises
    ------
    FormatError
        When the map or the file isn't of that form.

    Examples
    --------
    >>> from precisionpain.cohort import as_columns
    >>> as_columns({"age": "Age (years)"})["age"].source
    'Age (years)'
    """
    if columns is None:
        return {}
    if isinstance(columns, str | Path):
        import yaml

        path = Path(columns)
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise FormatError(f"the column map can't be read ({error})", where=str(path)) from error
        if isinstance(loaded, Mapping) and isinstance(loaded.get("columns"), Mapping):
            loaded = loaded["columns"]
        if not isinstance(loaded, Mapping):
            raise FormatError(
                f"expected a mapping of column names, found {type(loaded).__name__}",
                where=str(path),
            )
        columns = loaded
    result: dict[str, Column] = {}
    for name, value in columns.items():
        if value is None:
            result[str(name)] = Column()
        elif isinstance(value, Column):
            result[str(name)] = value
        elif isinstance(value, str):
            result[str(name)] = Column(source=value)
        elif isinstance(value, Mapping):
            try:
                result[str(name)] = Column(**value)
            except TypeError as error:
                known = [field.name for field in dataclasses.fields(Column)]
                unknown = [key for key in value if key not in known]
                raise FormatError(
                    f"unknown entries {list_some(unknown)}",
                    where=f"column map, column {name!r}",
                    remedy=f"use only {', '.join(known)}",
                ) from error
        else:
            raise FormatError(
                f"expected a Column, a mapping or a header, found {type(value).__name__}",
                where=f"column map, column {name!r}",
            )
    return result
