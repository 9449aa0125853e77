"""An assay as a long table, sample by sample, so that no long table is ever held whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError, list_some
from .._layout import QC, about, as_adata, check_log2, values_of
from .names import LIMITS, MISSING, OUT, is_person
from .rows import name_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from anndata import AnnData

__all__ = ["write_long"]

_BATCH = 1 << 18
_DELIMITERS = {".csv": ";", ".tsv": "\t"}
_WORDS = {code: word for word, code in QC.items()}


def write_long(adata: AnnData, path: Path) -> Path:
    """Write; see `write_npx`."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    if path.suffix.lower() not in (*_DELIMITERS, ".parquet"):
        raise FormatError(
            f"expected a file that ends in .csv, .tsv, .parquet or .xlsx, found {path.name!r}"
        )
    as_adata(adata)
    check_log2(adata)
    homes: dict[str, str] = {}
    batches = _batches(adata, homes)
    first = next(batches)
    said = {str(k): str(v) for k, v in about(adata).get("file_metadata", {}).items()}
    if product := about(adata).get("product"):
        said.setdefault("Product", str(product))
    said["precisionpain.homes"] = json.dumps(homes)
    if path.suffix.lower() == ".parquet":
        schema = first.schema.with_metadata(said)
        with pq.ParquetWriter(path, schema) as parquet:
            parquet.write_batch(first.replace_schema_metadata(said))
            for batch in batches:
                parquet.write_batch(batch.replace_schema_metadata(said))
        return path
    options = pyarrow.csv.WriteOptions(
        delimiter=_DELIMITERS[path.suffix.lower()], quoting_style="needed"
    )
    with pyarrow.csv.CSVWriter(path, first.schema, write_options=options) as text:
        text.write_batch(first)
        for batch in batches:
            text.write_batch(batch)
    return path


def _batches(adata: AnnData, homes: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """Give rows of samples as record batches, and note where the columns come from."""
    import pyarrow as pa

    of_sample = _of_samples(adata)
    of_assay = _of_assays(adata)
    of_panel = _of_panels(adata)
    of_value = _of_values(adata, {*of_sample, *of_panel}, set(of_assay))
    for home, columns in (
        ("obs", of_sample), ("var", of_assay), ("obsm", of_panel), ("layers", of_value),
    ):  # fmt: skip
        for name in columns:
            if name in homes:
                raise FormatError(
                    f"{homes[name]} and {home} both have {name!r}",
                    where="adata",
                    remedy="rename one of them",
                )
            homes[name] = home
    panels = adata.var["panel"].astype(str).tolist() if "panel" in adata.var else []
    n, p = adata.shape
    if not n or not p:
        raise FormatError(f"expected samples and assays, found {n} × {p}", where="adata")
    order = [name for name in OUT if name in homes] + [name for name in homes if name not in OUT]
    size = max(_BATCH // p, 1)
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        m = rows.stop - rows.start
        arrays: dict[str, Any] = {}
        for name in order:
            if name in of_sample:
                cells = np.repeat(of_sample[name][rows], p)
            elif name in of_assay:
                cells = np.tile(of_assay[name], m)
            elif name in of_panel:
                cells = of_panel[name].iloc[rows][panels].to_numpy().ravel()
            else:
                cells = of_value[name](rows).ravel()
            arrays[OUT.get(name, name)] = _arrow(cells)
        yield pa.RecordBatch.from_pydict(arrays)


def _arrow(cells: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if cells.dtype == object:
        return pa.array(cells, pa.string(), from_pandas=True)
    if cells.dtype.kind == "f":
        return pa.array(cells.astype(np.float64), from_pandas=True)
    return pa.array(cells)


def _of_samples(adata: AnnData) -> dict[str, NDArray[Any]]:
    obs = adata.obs
    names = adata.obs_names.astype(str).to_numpy(dtype=object)
    ids = obs["sample_id"].astype(str).to_numpy(dtype=object) if "sample_id" in obs else names
    columns: dict[str, NDArray[Any]] = {"sample_id": ids}
    for name in obs:
        if name == "sample_id" or (name in ("visit", "specimen") and obs[name].isna().all()):
            continue
        columns[str(name)] = _plain(obs[name], f"obs[{name!r}]")
    person = columns.get("sample_type", np.full(len(ids), "SAMPLE", dtype=object)) == "SAMPLE"
    usual = np.where(person, ids, None)
    # Left out where a reader would find the same, not where another column tells a person.
    others = any(is_person(name) for name in columns if name != "subject_id")
    if "subject_id" in columns and not others and (columns["subject_id"] == usual).all():
        del columns["subject_id"]
    # The rule that names rows needs more than their ids where an id occurs again.
    first = pd.DataFrame({"sample_id": ids, "obs_name": None}, dtype=object)
    for key in ("sample_index", "plate", "well"):
        first[key] = columns.get(key, np.full(len(ids), None, dtype=object))
    first["file"] = 0
    again = pd.Series(ids).duplicated().any()
    if again or name_rows(first) != names.tolist():
        columns["obs_name"] = names
    return columns


def _of_assays(adata: AnnData) -> dict[str, NDArray[Any]]:
    names = adata.var_names.astype(str).to_numpy(dtype=object)
    columns = {"olink_id": names}
    for name in adata.var:
        if name == "olink_id":
            continue
        if name == "lod" and "lod" in adata.layers:
            continue
        columns[str(name)] = _plain(adata.var[name], f"var[{name!r}]")
    return columns


def _of_panels(adata: AnnData) -> dict[str, pd.DataFrame]:
    tables: dict[str, pd.DataFrame] = {}
    panels = set(adata.var["panel"].astype(str)) if "panel" in adata.var else set()
    for name, table in adata.obsm.items():
        if isinstance(table, pd.DataFrame) and panels and panels <= {*map(str, table.columns)}:
            plain = {str(c): _plain(table[c], f"obsm[{name!r}]") for c in table.columns}
            tables[name] = pd.DataFrame(plain, index=table.index)
    return tables


def _of_values(adata: AnnData, said: set[str], of_assay: set[str]) -> dict[str, Any]:
    """Return, by name, what gives the values of some rows."""
    values = values_of(adata)
    columns: dict[str, Any] = {}
    linear = "quantified" in adata.layers and about(adata).get("unit", "").startswith("log2")
    if not linear:
        columns["npx"] = lambda rows: values[rows]
    categories = about(adata).get("categories", {})
    for name, layer in adata.layers.items():
        if name in ("sample_qc", "assay_qc"):
            column = {"sample_qc": "qc", "assay_qc": "assay_qc"}[name]
            if column in said or column in of_assay or f"{column}_words" in adata.layers:
                continue
            columns[column] = _worded(layer, _WORDS)
        elif name in categories:
            words = dict(enumerate(categories[name]))
            columns[name.removesuffix("_words")] = _worded(layer, words)
        elif linear and name in LIMITS:
            columns[name] = lambda rows, layer=layer: np.exp2(np.asarray(layer[rows]))
        else:
            columns[name] = lambda rows, layer=layer: np.asarray(layer[rows], dtype=np.float64)
    return columns


def _worded(layer: Any, words: dict[Any, str]) -> Any:
    def read(rows: slice) -> NDArray[Any]:
        codes = np.asarray(layer[rows], dtype=np.float64)
        cells = np.full(codes.shape, None, dtype=object)
        for code, word in words.items():
            cells[codes == code] = word
        return cells

    return read


def _plain(column: pd.Series, where: str) -> NDArray[Any]:
    """Return text (None for missing), numbers or booleans."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        text = column.astype(object).where(column.notna(), None)
        cells = np.array([None if cell is None else str(cell) for cell in text], dtype=object)
        wrong = {cell for cell in cells if cell is not None and cell.strip() in MISSING}
        if wrong:
            raise FormatError(
                f"the words {list_some(sorted(wrong))} stand for missing values",
                where=where,
                remedy="rename them, or make them None",
            )
        return cells
    return column.to_numpy()
