"""Which assays measure an analyte."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from ..errors import FormatError
from ._layout import is_assay

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Kind", "match_analytes", "split_names"]

Kind = Literal["protein", "fragment", "complex", "lipid", "metabolite"]


class _Analyte(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def uniprot(self) -> tuple[str, ...]: ...
    @property
    def gene(self) -> tuple[str, ...]: ...
    @property
    def axis(self) -> str | None: ...


def split_names(value: object) -> list[str]:
    """Split what a file joins: ``"P1,P2"``, ``"P1;P2"``, ``"P1_P2"``; missing is nothing.

    Isoforms (``P10636-8``) count as their protein. An underscore joins names only where each
    part begins with a letter, as names of proteins do: ``SYN_017`` is one.
    """
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return []
    parts: list[str] = []
    for part in re.split(r"[,;|\s]+", str(value).strip().upper()):
        smaller = part.split("_")
        parts += smaller if all(name[:1].isalpha() for name in smaller) else [part]
    return [re.sub(r"^([A-Z0-9]{6,10})-\d+$", r"\1", part) for part in parts if part]


def match_analytes(
    analytes: Iterable[_Analyte], adata: AnnData
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows of `Panel.find`, and matches whose accession contradicts the gene."""
    if "uniprot" not in adata.var and "gene" not in adata.var:
        raise FormatError(
            f"expected a column 'uniprot' or 'gene', found {list(adata.var.columns)}",
            where="adata.var",
        )
    where: dict[str, dict[str, list[int]]] = {"uniprot": {}, "gene": {}}
    for column, places in where.items():
        if column not in adata.var:
            continue
        for i, (value, real) in enumerate(zip(adata.var[column], is_assay(adata), strict=True)):
            for name in split_names(value) if real else ():
                places.setdefault(name, []).append(i)
    rows: list[dict[str, Any]] = []
    odd: list[str] = []
    for analyte in analytes:
        found: list[int] = []
        by: str | None = None
        if analyte.kind in ("protein", "complex"):
            for by in ("uniprot", "gene"):
                names = [name.upper() for name in getattr(analyte, by)]
                found = sorted({i for name in names for i in where[by].get(name, [])})
                if found:
                    break
        if found and by == "gene" and analyte.uniprot and "uniprot" in adata.var:
            other = [i for i in found if split_names(adata.var["uniprot"].iloc[i])]
            odd += [f"{analyte.name} ({adata.var['uniprot'].iloc[i]})" for i in other]
        for place in found:
            rows.append(_row(analyte, adata.var_names[place], by))
        if not found:
            rows.append(_row(analyte, None, None))
    return rows, odd


def _row(analyte: _Analyte, assay: str | None, by: str | None) -> dict[str, Any]:
    return {
        "analyte": analyte.name,
        "assay": assay,
        "matched_by": by,
        "axis": analyte.axis,
    }
