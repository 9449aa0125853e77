"""mzTab 1.0: metadata and the section of proteins."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd

from ...errors import FormatError, list_some
from .assemble import Export
from .matrix import check_scale
from .table import Table

__all__ = ["from_proteins"]

_DECOY = "opt_global_cv_PRIDE:0000303_decoy_hit"
_RESULT = "opt_global_result_type"


def from_proteins(
    path: Path, quantity: Literal["assay", "study_variable"], log2: bool, encoding: str | None
) -> Export:
    """Take the abundances of the proteins."""
    said, table = _read(path, encoding)
    columns = table.sampled(rf"protein_abundance_{quantity}\[(\d+)\]")
    if not columns:
        other = "study_variable" if quantity == "assay" else "assay"
        there = table.sampled(rf"protein_abundance_{other}\[(\d+)\]")
        raise FormatError(
            f"expected columns protein_abundance_{quantity}[1], [2]…, found "
            + (f"those of each {other}" if there else "no abundances"),
            where=table.name,
            remedy=f"pass quantity={other!r}" + ("; these are means of groups, no samples"
                if quantity == "assay" else "") if there
            else f"its mzTab-type is {said.get('mzTab-type', 'not said')}: export quantities",
        )  # fmt: skip
    accession = table.text(table.need("accession"))
    group = table.find("ambiguity_members")
    members = table.text(group) if group is not None else pd.Series("", accession.index)
    features = pd.DataFrame(
        {
            "protein": [
                ";".join(dict.fromkeys([first, *(m for m in re.split(r"[,\s]+", others) if m)]))
                for first, others in zip(accession, members.where(members != "null", ""),
                                         strict=True)
            ]
        }
    )  # fmt: skip
    described = table.find("description")
    if described is not None:
        found = table.text(described).str.extract(r"\bGN=(\S+)", expand=False)
        features["gene"] = found.fillna("").to_numpy()
    if (flag := table.find(_DECOY)) is not None:
        features["decoy"] = (table.text(flag) == "1").to_numpy()
    values = table.numbers(list(columns.values()))
    # Comments may stand between proteins, as blank rows here; OpenMS lists members of groups.
    real = (accession != "").to_numpy()
    detail = np.zeros(len(real), dtype=bool)
    if (kind := table.find(_RESULT)) is not None:
        detail = real & (table.text(kind) == "protein_details").to_numpy()
    stays = real & ~detail
    check_scale(values[stays], log2, table.name)
    return Export(
        values[stays], _names(said, quantity, list(columns)),
        features[stays].reset_index(drop=True), "mzTab", "log2 protein abundance", table.name,
        {"member_of_group": int(detail.sum())} if detail.any() else {}, log2=log2,
    )  # fmt: skip


def _read(path: Path, encoding: str | None) -> tuple[dict[str, str], Table]:
    """Return the metadata, and the proteins as a table that knows its lines."""
    if not path.is_file():
        raise FormatError("there is no such file", where=str(path), remedy="name the mzTab itself")
    data = path.read_bytes()
    data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    try:
        lines = data.decode(encoding or "utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"found the byte 0x{data[error.start]:02x}, which isn't {encoding or 'UTF-8'}",
            where=f"{path}, line {at}",
            remedy="pass encoding=, for example 'cp1252'",
        ) from error
    said: dict[str, str] = {}
    header: list[str] | None = None
    rows: dict[int, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        key, *cells = line.rstrip("\r\n").split("\t")
        if key == "MTD" and len(cells) >= 2:
            said[cells[0]] = cells[1].strip()
        elif key == "PRH":
            header = cells
        elif key == "PRT":
            if header is None or len(cells) != len(header):
                raise FormatError(
                    f"expected {len(header or [])} cells as in the header (PRH), found "
                    f"{len(cells)}",
                    where=f"{path}, line {number}",
                )
            rows[number] = cells
    version = said.get("mzTab-version", "")
    if not version.startswith("1.") or header is None or not rows:
        what = f"version {version!r}" if version else f"a first line {(lines or [''])[0][:60]!r}"
        sections = list_some(sorted({line[:3] for line in lines if "\t" in line}))
        raise FormatError(
            f"expected mzTab 1.0 with a section of proteins (PRH, PRT), found {what} with "
            f"{sections or 'no sections'}",
            where=str(path),
            remedy="export proteins as mzTab 1.0; other tables are read by read_matrix",
        )
    first, last = min(rows), max(rows)
    blank = [""] * len(header)
    cells_of = [rows.get(number, blank) for number in range(first, last + 1)]
    frame = pd.DataFrame(cells_of, columns=range(len(header)), dtype=object)
    return said, Table(str(path), header, lambda p: frame[p], decimal=".", first=first)


def _names(said: dict[str, str], quantity: str, numbers: list[str]) -> list[str]:
    """Call assays by the file of their run, study variables by their description."""
    if quantity == "study_variable":
        names = [said.get(f"study_variable[{n}]-description") for n in numbers]
    else:
        runs = [said.get(f"assay[{n}]-ms_run_ref", "") for n in numbers]
        names = [said.get(f"{run}-location") for run in runs]
        names = [n.replace("\\", "/").rsplit("/", 1)[-1] if n and n != "null" else n for n in names]
    if None in names or "null" in names or len(set(names)) < len(names):
        # Channels of one run, or runs that aren't said.
        return [f"{quantity}[{n}]" for n in numbers]
    return cast("list[str]", names)
