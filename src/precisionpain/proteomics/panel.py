"""Panels: named sets of analytes, what is claimed of each, and where they are in an assay."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from ..errors import DataWarning, FormatError, MissingModalityError, list_some
from ._match import Kind, match_analytes

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Analyte", "Panel", "panels", "read_panel"]

KINDS: tuple[str, ...] = get_args(Kind)
# https://www.uniprot.org/help/accession_numbers
_ACCESSION = re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}")
_TEXTS = ("role", "implication", "source")
_FIELDS = {"name", "kind", "uniprot", "gene", "axis", "sign", "products", *_TEXTS}
_HEAD = {"name", "title", "source", "includes", "axes", "analytes"}


@dataclasses.dataclass(frozen=True)
class Analyte:
    """One member of a panel.

    Parameters
    ----------
    name : str
        Name in the field; for a protein its gene.
    kind : {"protein", "fragment", "complex", "lipid", "metabolite"}, default "protein"
        A fragment is known by its parent's accession, but an assay of the parent doesn't
        measure it; a complex has several proteins, of which any may be measured.
    uniprot : tuple of str, default ()
        Accessions; none for lipids and metabolites.
    gene : tuple of str, default ()
        Gene symbols.
    axis : str, optional
        Axis of `score_panel` that it belongs to.
    sign : {1, -1}, default 1
        1 where more of it speaks for the axis, -1 where less does.
    role, implication, source : str, default ""
        What it does, what is claimed of it, and by whom.
    products : mapping of str to str, optional
        Olink products that carry an assay of it, and on which panel.
    """

    name: str
    kind: Kind = "protein"
    uniprot: tuple[str, ...] = ()
    gene: tuple[str, ...] = ()
    axis: str | None = None
    sign: int = 1
    role: str = ""
    implication: str = ""
    source: str = ""
    products: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, repr=False)
class Panel:
    """A named set of analytes, in axes.

    Parameters
    ----------
    name : str
        Short name.
    analytes : tuple of Analyte
        Its members; names are unique.
    axes : mapping of str to str, optional
        What each axis stands for, in order; by default the axes of the analytes.
    title, source : str, default ""
        What it is, and who proposed it.

    Raises
    ------
    FormatError
        When a name occurs twice, or there is no analyte.

    Examples
    --------
    >>> import precisionpain as pp
    >>> panel = pp.proteomics.panels["trigeminal"]
    >>> panel
    Panel('trigeminal': IL1B, CXCL13, FKBP5, SFRP1, TBCB, NEFL)
    >>> panel["NEFL"].axis, panel["NEFL"].uniprot
    ('axonal', ('P07196',))
    >>> panel.to_frame().loc["SFRP1", ["kind", "axis"]].tolist()
    ['protein', 'glial_wnt']
    """

    name: str
    analytes: tuple[Analyte, ...]
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    title: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "analytes", tuple(self.analytes))
        names = [analyte.name for analyte in self.analytes]
        if not names:
            raise FormatError("a panel has at least one analyte", where=f"panel {self.name!r}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FormatError(f"twice there: {list_some(twice)}", where=f"panel {self.name!r}")
        if not self.axes:
            found = dict.fromkeys(a.axis for a in self.analytes if a.axis is not None)
            object.__setattr__(self, "axes", dict.fromkeys(found, ""))

    def __len__(self) -> int:
        return len(self.analytes)

    def __iter__(self) -> Iterator[Analyte]:
        return iter(self.analytes)

    def __getitem__(self, name: str) -> Analyte:
        for analyte in self.analytes:
            if analyte.name == name:
                return analyte
        raise MissingModalityError(
            f"panel {self.name!r} has no analyte {name!r}",
            remedy=f"there are {list_some([a.name for a in self.analytes], 20)}",
        )

    def __repr__(self) -> str:
        return f"Panel({self.name!r}: {', '.join(a.name for a in self.analytes)})"

    def _repr_html_(self) -> str:
        shown = self.to_frame()[["kind", "axis", "sign", "uniprot", "role", "implication"]]
        return str(shown.to_html())

    def to_frame(self) -> pd.DataFrame:
        """Return the analytes as a table.

        Returns
        -------
        pandas.DataFrame
            One row per analyte, index ``name``; several accessions are joined with ``;``.
        """
        rows = [
            {
                **{key: getattr(a, key) for key in ("name", "kind", "axis", "sign", *_TEXTS)},
                "uniprot": ";".join(a.uniprot),
                "gene": ";".join(a.gene),
                "products": "; ".join(f"{k}: {v}" if v else k for k, v in a.products.items()),
            }
            for a in self.analytes
        ]
        order = ["name", "kind", "uniprot", "gene", "axis", "sign", *_TEXTS, "products"]
        return pd.DataFrame(rows)[order].set_index("name")

    def find(self, adata: AnnData) -> pd.DataFrame:
        """Find the analytes among the assays.

        An assay is an analyte's when they share a UniProt accession; else when they share a
        gene (where the assay has another accession, a warning says so). Control assays are
        never taken. A fragment is never matched with an assay of its parent: name that assay
        in a panel of your own when it is meant.

        Parameters
        ----------
        adata : anndata.AnnData
            With ``uniprot``, or else ``gene``, in ``var``.

        Returns
        -------
        pandas.DataFrame
            One row per analyte and assay: ``analyte``, ``assay`` (missing where there is
            none), ``matched_by`` ("uniprot", "gene" or missing), ``axis``.

        Raises
        ------
        FormatError
            When ``var`` has neither column.

        Warns
        -----
        DataWarning
            When an assay has the analyte's gene, but another accession.

        Examples
        --------
        >>> import precisionpain as pp
        >>> adata = pp.datasets.sample_tn().assays["csf_lfq"]
        >>> pp.proteomics.panels["trigeminal"].find(adata).dropna()["analyte"].tolist()
        ['NEFL']
        """
        rows, odd = match_analytes(self.analytes, adata)
        if odd:
            import warnings

            warnings.warn(
                DataWarning(
                    f"matched by gene, although the accession differs: {list_some(odd)}; "
                    "check that the assay measures this protein"
                ),
                stacklevel=2,
            )
        return pd.DataFrame(rows, columns=["analyte", "assay", "matched_by", "axis"])


def read_panel(path: str | Path) -> Panel:
    """Read a panel of your own.

    Parameters
    ----------
    path : str or Path
        YAML: ``name``, ``analytes`` (a list; each has ``name`` and optionally ``kind``,
        ``uniprot``, ``gene``, ``axis``, ``sign``, ``role``, ``implication``, ``source``,
        ``products``), and optionally ``title``, ``source``, ``axes`` (name: meaning) and
        ``includes`` (panels of the library, whose analytes come first). Or CSV: one row per
        analyte with those columns, several accessions or genes joined with ``;``.

    Returns
    -------
    Panel

    Raises
    ------
    FormatError
        When the file isn't such a panel; the message names the analyte and the field.
    FileNotFoundError
        When there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.csv"
    >>> lines = ["name,uniprot,axis,sign", "NEFL,P07196,axonal,1", "EGF,P01133,repair,-1"]
    >>> _ = path.write_text(chr(10).join(lines))
    >>> read_panel(path)
    Panel('mine': NEFL, EGF)
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _from_csv(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise FormatError(f"expected a .yaml or .csv file, found {path.name!r}", where=str(path))
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise FormatError(f"expected YAML in UTF-8: {error}", where=str(path)) from error
    return _panel(content, str(path), path.stem)


def _from_csv(path: Path) -> Panel:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FormatError(f"expected a table in UTF-8: {error}", where=str(path)) from error
    if "name" not in table:
        raise FormatError(
            f"expected the column 'name', found {list_some(table.columns)}", where=str(path)
        )
    rows = [{k: v for k, v in row.items() if v != ""} for row in table.to_dict("records")]
    if "products" in table:
        raise FormatError("the column 'products' needs YAML", where=str(path))
    return _panel({"name": path.stem, "analytes": rows}, str(path), path.stem)


def _panel(content: Any, where: str, name: str) -> Panel:
    if not isinstance(content, Mapping) or not isinstance(content.get("analytes"), list):
        raise FormatError(
            "expected a mapping with a list 'analytes'",
            where=where,
            remedy="analytes:\n  - {name: NEFL, uniprot: P07196, axis: axonal}",
        )
    _check_keys(content, _HEAD, where)
    axes = content.get("axes") or {}
    if not isinstance(axes, Mapping):
        raise FormatError("expected 'axes' as name: meaning", where=where)
    source = str(content.get("source", ""))
    included: list[Analyte] = []
    meaning: dict[str, str] = {}
    for other in _as_list(content.get("includes"), where, "includes"):
        included += panels[other].analytes
        meaning |= panels[other].axes
    own = [_analyte(row, i, source, where) for i, row in enumerate(content["analytes"], 1)]
    meaning |= {str(axis): str(text) for axis, text in axes.items()}
    # Axes that no list names follow in the order of the analytes.
    meaning |= {a.axis: "" for a in own if a.axis is not None and a.axis not in meaning}
    return Panel(
        name=str(content.get("name", name)),
        analytes=(*included, *own),
        axes=meaning,
        title=str(content.get("title", "")),
        source=source,
    )


def _analyte(row: Any, number: int, source: str, where: str) -> Analyte:
    where = f"{where}, analyte {number}"
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
        raise FormatError("expected a mapping with a text 'name'", where=where)
    name = row["name"].strip()
    where = f"{where} ({name!r})"
    _check_keys(row, _FIELDS, where)
    kind = row.get("kind", "protein")
    if kind not in KINDS:
        raise FormatError(
            f"expected kind as one of {list_some(KINDS)}, found {kind!r}", where=where
        )
    uniprot = tuple(_as_list(row.get("uniprot"), where, "uniprot"))
    odd = [accession for accession in uniprot if not _ACCESSION.fullmatch(accession)]
    if odd:
        raise FormatError(f"not an accession of UniProt: {list_some(odd)}", where=where)
    gene = tuple(_as_list(row.get("gene"), where, "gene"))
    if kind == "protein" and not gene:
        gene = (name,)
    if kind == "complex" and not uniprot and not gene:
        raise FormatError("a complex names its proteins: 'uniprot' or 'gene'", where=where)
    sign = str(row.get("sign", 1)).strip()
    if sign not in ("1", "+1", "-1", "1.0", "-1.0"):
        raise FormatError(f"expected sign 1 or -1, found {row['sign']!r}", where=where)
    products = row.get("products") or {}
    if not isinstance(products, Mapping):
        raise FormatError("expected 'products' as product: panel", where=where)
    return Analyte(
        name=name,
        kind=kind,
        uniprot=uniprot,
        gene=gene,
        axis=None if row.get("axis") is None else str(row["axis"]),
        sign=int(float(sign)),
        role=str(row.get("role", "")),
        implication=str(row.get("implication", "")),
        source=str(row.get("source", source)),
        products={str(key): str(value) for key, value in products.items()},
    )


def _check_keys(row: Mapping[Any, Any], known: set[str], where: str) -> None:
    unknown = [key for key in row if key not in known]
    if unknown:
        raise FormatError(
            f"unknown field {list_some(unknown)}",
            where=where,
            remedy=f"fields are {list_some(sorted(known), 20)}",
        )


def _as_list(value: Any, where: str, field: str) -> list[str]:
    if value is None:
        return []
    values: Sequence[Any] = value.split(";") if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise FormatError(f"expected {field!r} as text or a list of texts", where=where)
    return [v.strip() for v in values if v.strip()]


class _Registry(Mapping[str, Panel]):
    """The library's panels, each read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        self._read: dict[str, Panel] = {}

    def __getitem__(self, name: str) -> Panel:
        if name not in self._paths:
            raise MissingModalityError(
                f"there is no panel {name!r}",
                remedy=f"there are {list_some(self._paths)}; read your own with read_panel(path)",
            )
        if name not in self._read:
            self._read[name] = read_panel(self._paths[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._paths))}}}"


panels: Mapping[str, Panel] = _Registry(Path(__file__).parent / "_panels")
"""The panels of the library, by name."""
