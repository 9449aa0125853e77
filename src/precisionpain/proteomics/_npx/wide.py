"""Wide sheets of Target 48, Target 96 and Flex: samples below one another, assays side by side.

A sheet has a head (project, software, what the values are), header rows (Panel, Assay,
Uniprot ID, OlinkID, and Unit for concentrations), a blank row, the samples, a blank row, and
a foot (LOD, share of missing values, normalization…; a row of the foot may be there once per
plate, which its own Plate ID cells name). Each panel has its columns of assays, one with the
plate, one with the QC, and some with what controls deviate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from .names import MISSING, split_panel
from .tables import ArrowTable

__all__ = ["Grid", "find_panel_row", "read_wide"]

Grid = list[list[Any]]

_FOOT = {
    "lod": "LOD",
    "maxlod": "MaxLOD",
    "platelod": "PlateLOD",
    "missingdatafreq.": "MissingFreq",
    "missingdatafreq": "MissingFreq",
    "missingfreq": "MissingFreq",
    "normalization": "Normalization",
    "assaywarning": "Assay_Warning",
    "lloq": "LLOQ",
    "uloq": "ULOQ",
    "lowestquantifiablelevel": "PlateLQL",
}
_TEXT = ("Normalization", "Assay_Warning")


def _bare(cell: Any) -> str:
    return re.sub(r"[\s_\-]", "", "" if cell is None else str(cell)).lower()


def _word(cell: Any) -> str | None:
    text = "" if cell is None else str(cell).strip()
    return None if text in MISSING else text


def _blank(row: Sequence[Any]) -> bool:
    return all(cell is None or str(cell).strip() == "" for cell in row)


def find_panel_row(grid: Grid) -> int | None:
    """Return the row that names the panels, None for what is no wide sheet."""
    for i, row in enumerate(grid[:12]):
        if row and _bare(row[0]) == "panel":
            return i
    return None


class _Sheet:
    """A sheet with its places, for messages."""

    def __init__(self, name: str, grid: Grid) -> None:
        width = max(len(row) for row in grid)
        self.name = name
        self.grid = [[*row, *[None] * (width - len(row))] for row in grid]
        self.width = width

    def where(self, i: int, j: int) -> str:
        letters = ""
        j += 1
        while j:
            j, rest = divmod(j - 1, 26)
            letters = chr(65 + rest) + letters
        return f"{self.name}, cell {letters}{i + 1}"

    def number(self, i: int, j: int) -> float:
        cell = self.grid[i][j]
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            return float(cell)
        text = _word(cell)
        if text is None:
            return float("nan")
        if re.fullmatch(r"[-+]?\d+,\d+([eE][-+]?\d+)?", text):
            text = text.replace(",", ".")
        try:
            return float(text)
        except ValueError as error:
            raise FormatError(
                f"expected a number, found {text!r}",
                where=self.where(i, j),
                remedy="correct the cell; a value that wasn't measured is NA or empty",
            ) from error


def read_wide(name: str, grid: Grid) -> ArrowTable:
    """Turn a wide sheet into the long table that the same software would have written.

    Parameters
    ----------
    name : str
        File and sheet, for messages.
    grid : list of list
        Cells, row by row; rows may be of different lengths.

    Raises
    ------
    FormatError
        When header rows are missing, a cell is no number where one must be, or the foot has a
        row that nobody knows.
    """
    import pyarrow as pa

    sheet = _Sheet(name, grid)
    start = find_panel_row(grid)
    assert start is not None
    header, first = _header(sheet, start)
    value, metadata = _head(sheet, start, header)
    last = first
    while last < len(grid) and not _blank(grid[last]):
        last += 1
    kinds = _columns(sheet, header, first, last)
    assays = [j for j, kind in kinds.items() if kind == "assay"]
    if first == last or not assays or _bare(grid[first][0]) in _FOOT:
        raise FormatError("found no samples, or no assays", where=name)
    rows = list(range(first, last))
    names = [_word(sheet.grid[i][0]) for i in rows]
    if None in names:
        raise FormatError("found a row without SampleID", where=sheet.where(
            rows[names.index(None)], 0))  # fmt: skip

    n, p = len(rows), len(assays)
    panels = [split_panel(_word(header["panel"][j]) or "") for j in assays]

    def each(items: Sequence[Any]) -> NDArray[Any]:
        """Repeat what is said of the assays for each sample."""
        return np.tile(np.array(items, dtype=object), n)

    table: dict[str, Any] = {
        "SampleID": np.repeat(np.array(names, dtype=object), p),
        "Index": np.repeat(np.array([str(k + 1) for k in range(n)], dtype=object), p),
        "OlinkID": each([_word(header["olinkid"][j]) for j in assays]),
        "UniProt": each([_word(header["uniprot"][j]) for j in assays]),
        "Assay": each([_word(header["assay"][j]) for j in assays]),
        "Panel": each([panel or None for panel, _ in panels]),
    }
    if any(version for _, version in panels):
        table["Panel_Version"] = each([version for _, version in panels])
    if "unit" in header:
        table["Unit"] = each([_word(header["unit"][j]) for j in assays])
    plates: NDArray[Any] | None = None
    for kind in dict.fromkeys(kinds.values()):
        if kind == "assay":
            continue
        per = _per_panel(sheet, kinds, header, kind, rows, assays)
        if kind == "PlateID":
            plates = per
        table[kind] = per.ravel()
    table[value] = np.array([[sheet.number(i, j) for j in assays] for i in rows]).ravel()
    for label, cells in _foot(sheet, last, kinds, header, assays, plates, n).items():
        table[label] = cells.ravel()
    arrays = {
        label: pa.array(cells, from_pandas=True) if cells.dtype != object else
        pa.array(cells.tolist(), pa.string())
        for label, cells in table.items()
    }  # fmt: skip
    return ArrowTable(name, pa.table(arrays), metadata)


def _header(sheet: _Sheet, start: int) -> tuple[dict[str, list[Any]], int]:
    """Return the header rows by their labels, and the first row of the samples."""
    header: dict[str, list[Any]] = {}
    i = start
    while i < len(sheet.grid) and not _blank(sheet.grid[i]):
        label = _bare(sheet.grid[i][0])
        label = "uniprot" if label == "uniprotid" else label
        if label not in ("panel", "assay", "uniprot", "olinkid", "unit"):
            break
        header[label] = sheet.grid[i]
        i += 1
    lacking = {"panel", "assay", "uniprot", "olinkid"} - set(header)
    if lacking:
        raise FormatError(
            f"expected the header rows Panel, Assay, Uniprot ID and OlinkID; {sorted(lacking)} "
            "are missing",
            where=f"{sheet.name}, below row {start + 1}",
        )
    while i < len(sheet.grid) and _blank(sheet.grid[i]):
        i += 1
    return header, i


def _head(sheet: _Sheet, start: int, header: dict[str, list[Any]]) -> tuple[str, dict[str, str]]:
    """Tell what the values are, and who wrote the sheet."""
    cells = [_word(cell) for row in sheet.grid[:start] for cell in row]
    words = [cell for cell in cells if cell]
    kinds = [
        kind
        for word in words
        for pattern, kind in (
            (r"npx( data)?", "NPX"),
            (r"(quant|quantified|quantification|absolute quantification)( data)?",
             "Quantified_value"),
            (r"ct( data)?", "Ct"),
        )
        if re.fullmatch(pattern, word, re.I)
    ]  # fmt: skip
    if len(set(kinds)) > 1:
        raise FormatError(f"found {kinds} in the head of one sheet", where=sheet.name)
    wrote = [word for word in words if re.search(r"NPX (Manager|Signature)|version", word)]
    said = {"software": wrote[0]} if wrote else {}
    if words and words[0] not in said.values() and kinds[:1] != [words[0]]:
        said["project"] = words[0]
    if kinds:
        return kinds[0], said
    return ("Quantified_value" if "unit" in header else "NPX"), said


def _columns(sheet: _Sheet, header: dict[str, list[Any]], first: int, last: int) -> dict[int, str]:
    """Tell what each column holds."""
    kinds: dict[int, str] = {}
    for j in range(1, sheet.width):
        label = _bare(header["assay"][j])
        if label == "plateid":
            kinds[j] = "PlateID"
        elif label == "qcwarning":
            kinds[j] = "QC_Warning"
        elif label == "qcdeviationfrommedian":
            kinds[j] = f"QC Deviation {_word(header['uniprot'][j]) or ''}".strip()
        elif label:
            kinds[j] = "assay"
        elif not all(_word(sheet.grid[i][j]) is None for i in range(first, last)):
            raise FormatError("found values in a column without Assay", where=sheet.where(first, j))
    return kinds


def _per_panel(
    sheet: _Sheet,
    kinds: dict[int, str],
    header: dict[str, list[Any]],
    kind: str,
    rows: Sequence[int],
    assays: Sequence[int],
) -> NDArray[Any]:
    """Return samples × assays of what a column says for all assays of its panel."""
    of_panel = {_word(header["panel"][j]): j for j, found in kinds.items() if found == kind}
    everywhere = of_panel.get(None)
    text = not kind.startswith("QC Deviation")
    columns: list[list[Any]] = []
    for j in assays:
        source = of_panel.get(_word(header["panel"][j]), everywhere)
        if source is None:
            columns.append([None if text else float("nan")] * len(rows))
        elif text:
            columns.append([_word(sheet.grid[i][source]) for i in rows])
        else:
            columns.append([sheet.number(i, source) for i in rows])
    return np.array(columns, dtype=object if text else np.float64).T


def _foot(
    sheet: _Sheet,
    last: int,
    kinds: dict[int, str],
    header: dict[str, list[Any]],
    assays: Sequence[int],
    plates: NDArray[Any] | None,
    n: int,
) -> dict[str, NDArray[Any]]:
    """Return samples × assays of each row of the foot, taking the row of the sample's plate."""
    rows: dict[str, list[int]] = {}
    for i in range(last, len(sheet.grid)):
        if _blank(sheet.grid[i]):
            continue
        label = _FOOT.get(_bare(sheet.grid[i][0]))
        if label is None:
            raise FormatError(
                f"expected a row of the foot ({', '.join(dict.fromkeys(_FOOT.values()))}), "
                f"found {_word(sheet.grid[i][0])!r}",
                where=sheet.where(i, 0),
                remedy="samples stand in one block without blank rows; close the gap, or delete "
                "what isn't part of the export",
            )
        rows.setdefault(label, []).append(i)
    found: dict[str, NDArray[Any]] = {}
    for label, places in rows.items():
        text = label in _TEXT
        cells = np.full((n, len(assays)), None if text else np.nan, dtype=object)
        for i in places:
            said = _plates_of_row(sheet, kinds, header, i, assays)
            if plates is None or (len(places) == 1 and not any(said)):
                mine = np.ones_like(cells, dtype=bool)
            elif not all(said):
                raise FormatError(
                    f"{label} is there {len(places)} times, without the plate",
                    where=sheet.where(i, 0),
                )
            else:
                mine = plates == np.array(said, dtype=object)
            values = [_word(sheet.grid[i][j]) if text else sheet.number(i, j) for j in assays]
            cells = np.where(mine, np.array(values, dtype=object), cells)
        found[label] = cells if text else cells.astype(np.float64)
    return found


def _plates_of_row(
    sheet: _Sheet,
    kinds: dict[int, str],
    header: dict[str, list[Any]],
    i: int,
    assays: Sequence[int],
) -> list[str | None]:
    """Return the plate that a row of the foot names, for each assay."""
    said = {
        _word(header["panel"][j]): _word(sheet.grid[i][j])
        for j, kind in kinds.items()
        if kind == "PlateID"
    }
    return [said.get(_word(header["panel"][j]), said.get(None)) for j in assays]
