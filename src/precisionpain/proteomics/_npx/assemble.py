"""From two passes over the tables to samples, assays and layers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import DataWarning, FormatError, list_some
from .._layout import check_log2, make_adata
from .names import (
    LIMITS,
    OUT,
    UNIT_OF,
    VALUES,
    assay_type,
    sample_type,
    sample_type_by_name,
    split_accessions,
)
from .people import Samples, Subject, join_people, sample_table
from .pivot import fill, find_homes
from .rows import name_rows, rows_of_runs
from .survey import CELLS, Survey
from .tables import LongTable, NotANumber

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["assemble"]


def assemble(
    tables: Sequence[LongTable],
    skipped: Sequence[str],
    value: str | None,
    samples: Samples | None,
    subject: Subject | None,
) -> AnnData:
    """Make one AnnData of long tables; see `read_npx`."""
    if samples is not None and subject is not None:
        raise FormatError("samples= and subject= both tell whose a sample is: give one of them")
    people = None if samples is None else sample_table(samples)
    chosen, others = _choose(tables, value)
    while True:
        try:
            survey = Survey(tables)
            break
        except NotANumber as found:
            # What looked like numbers at first is text further down.
            for table in tables:
                table.numeric.discard(found.column)
    kinds, decided = _sample_types(survey)
    row_of_run = rows_of_runs(survey.run_table(), kinds == "SAMPLE")
    var = _assays(survey)
    panels = list(dict.fromkeys(var["panel"].dropna())) if "panel" in var else []
    hints = {name: home for table in tables for name, home in table.homes.items()}
    homes = find_homes(survey, row_of_run, panels, hints)
    layers, words, unknown = fill(survey, homes, chosen, others)
    if unknown:
        warnings.warn(
            f"the QC flags {list_some(sorted(unknown))} are unknown and count as not said",
            DataWarning,
            stacklevel=4,
        )
    for name, column in homes.var.items():
        var[name] = column.to_numpy()
    _check_normalization(survey)

    runs = survey.run_table().iloc[homes.first_run()].reset_index(drop=True)
    obs = pd.DataFrame({"sample_id": runs["sample_id"]})
    obs["sample_type"] = kinds[homes.first_run()]
    _check_types(survey, kinds, row_of_run, runs)
    for name, column in homes.obs.items():
        if name != "sample_type":
            obs[name] = column.to_numpy()
    for name in ("subject_id", "visit", "specimen"):
        if name in obs and obs[name].dtype != object:
            obs[name] = [None if pd.isna(item) else str(item) for item in obs[name]]
    if "sample_index" in obs:
        obs["sample_index"] = _whole(obs["sample_index"])
    obs.index = pd.Index(name_rows(runs), dtype=object)
    obs, told = join_people(obs, people, subject, [*homes.obsm, *homes.cells, *homes.var])
    if people is not None and "sample_type" in people:
        decided = "samples="

    known: dict[str, Any] = {
        "kind": "npx",
        "unit": _unit(chosen, var),
        "source": [table.name for table in tables],
        "sample_type_from": decided,
        "subject_from": told,
        "removed": {"blank rows": survey.blank} if survey.blank else {},
    }
    said = {key: text for table in tables for key, text in table.metadata.items()}
    product = _product(said, panels, var)
    known |= {"product": product} if product else {}
    known |= {"file_metadata": said} if said else {}
    known |= {"other_files": list(skipped)} if skipped else {}
    values = layers.pop(chosen)
    layers = _finish(layers, words, chosen, values, known)
    if chosen == "quantified":
        values = _log2(values)
    obsm = {name: table.set_axis(obs.index, axis=0) for name, table in homes.obsm.items()}
    adata = make_adata(values, obs, var, layers=layers, obsm=obsm, **known)
    check_log2(adata, where=tables[0].name)
    return adata


def _choose(tables: Sequence[LongTable], value: str | None) -> tuple[str, list[str]]:
    """Return the column that becomes the matrix, and the others of values."""
    found = {table.name: [v for v in VALUES if v in table.theirs] for table in tables}
    kinds = list(dict.fromkeys(kind for kinds in found.values() for kind in kinds))
    others = [name for name in CELLS if any(name in table.theirs for table in tables)]
    if value is not None:
        wanted = {OUT[v].lower(): v for v in VALUES[:2]}.get(value.lower())
        if wanted is None:
            raise FormatError(
                f"expected 'NPX' or 'Quantified_value', found {value!r}", where="value"
            )
        lacking = [name for name, kinds in found.items() if wanted not in kinds]
        if lacking:
            raise FormatError(f"found no column {OUT[wanted]}", where=lacking[0])
        return wanted, [name for name in others if name != wanted]
    lacking = [name for name, kinds in found.items() if not kinds]
    if lacking:
        table = next(table for table in tables if table.name == lacking[0])
        raise FormatError(
            f"expected a column NPX or Quantified_value, found {table.columns[:20]}",
            where=lacking[0],
        )
    if kinds == ["ct"]:
        raise FormatError(
            "found Ct values, which aren't normalised",
            where=next(iter(found)),
            remedy="export NPX from the Olink software",
        )
    if len(kinds) > 1:
        where = next((n for n, k in found.items() if len(k) > 1), ", ".join(list(found)[:3]))
        raise FormatError(
            f"found {' beside '.join(OUT[kind] for kind in kinds)}, which are different scales",
            where=where,
            remedy="read the files of each kind by themselves; in a file with both, name the "
            "one to read: value='NPX'",
        )
    return kinds[0], [name for name in others if name != kinds[0]]


def _sample_types(survey: Survey) -> tuple[NDArray[Any], str]:
    """Return the type of sample of each run, and how it was told."""
    runs = survey.run_table()
    attribute = survey.attributes.get("sample_type")
    names = runs["sample_id"].tolist()
    if attribute is None:
        if any("sample_type" in table.theirs for table in survey.tables):
            raise FormatError(
                "some files have a column SampleType and others don't",
                where=", ".join(table.name for table in survey.tables[:3]),
                remedy="read them one by one, with samples= for those that don't",
            )
        return np.array([sample_type_by_name(name) for name in names], dtype=object), "names"
    said = attribute.runs(len(runs))
    if said is None:
        raise FormatError(
            "found a sample with two types", where=f"{survey.tables[0].name}, column SampleType"
        )
    words = attribute.read(said)
    where = f"{survey.tables[0].name}, column {survey.tables[0].theirs.get('sample_type')!r}"
    types = {word: sample_type(word, where) for word in words.dropna().unique()}
    return (
        np.array(
            [
                types[word] if word is not None else sample_type_by_name(name)
                for word, name in zip(words, names, strict=True)
            ],
            dtype=object,
        ),
        "column",
    )


def _check_types(
    survey: Survey, kinds: NDArray[Any], row_of_run: NDArray[Any], runs: pd.DataFrame
) -> None:
    """Refuse a sample that is of a person on one panel and a control on another."""
    first = pd.Series(kinds).groupby(row_of_run).nunique()
    if (first > 1).any():
        ids = runs.loc[first.index[first > 1], "sample_id"]
        raise FormatError(
            f"the samples {list_some(ids)} are of several types", where=survey.tables[0].name
        )


def _assays(survey: Survey) -> pd.DataFrame:
    """Return what is known of the assays: one row per OlinkID."""
    n = len(survey.assays)
    var = pd.DataFrame(index=pd.Index(survey.assays.items, name="olink_id", dtype=object))
    where = survey.tables[0].name
    for name in ("gene", "uniprot", "panel", "block", "assay_type"):
        words = survey.named[name]
        if not words and name != "assay_type":
            continue
        several = survey.several(name)
        if several and name not in ("gene", "uniprot", "block"):
            a, both = next(iter(several.items()))
            raise FormatError(
                f"the assay {survey.assays.items[a]} has several values of {OUT[name]}: "
                f"{list_some(both)}",
                where=where,
            )
        if several and name == "gene":
            warnings.warn(
                f"{len(several)} assays have several names, the first one is kept: "
                f"{list_some(' / '.join(both) for both in several.values())}",
                DataWarning,
                stacklevel=5,
            )
        if name == "uniprot":
            var[name] = [split_accessions(words.get(a, ())) for a in range(n)]
        elif name != "assay_type":
            var[name] = [next(iter(words.get(a, {})), None) for a in range(n)]
        else:
            said = [next(iter(words.get(a, {})), None) for a in range(n)]
            genes = var["gene"] if "gene" in var else [None] * n
            var[name] = [assay_type(w, g, where) for w, g in zip(said, genes, strict=True)]
    return var


def _check_normalization(survey: Survey) -> None:
    attribute = survey.attributes.get("normalization")
    if attribute is None:
        return
    # An assay that was taken out is normalised by nothing.
    found = [w for w in attribute.words.items if str(w).upper() not in ("EXCLUDED", "NONE", "NO")]
    if len(found) > 1:
        warnings.warn(
            f"the values were normalised in {len(found)} ways ({list_some(found)}); they can't "
            "be compared before they are on one scale",
            DataWarning,
            stacklevel=5,
        )


def _unit(chosen: str, var: pd.DataFrame) -> str:
    if chosen == "npx" or "unit" not in var:
        return UNIT_OF[chosen]
    units = var["unit"].dropna().unique()
    return f"log2 {units[0]}" if len(units) == 1 else UNIT_OF[chosen]


def _product(said: dict[str, str], panels: Sequence[str], var: pd.DataFrame) -> str | None:
    """Tell the product from what the file says of itself, and from the names of its panels."""
    words = " ".join([said.get("Product", ""), *panels]).lower().replace("_", " ")
    for pattern, product in (
        (r"explore ?ht", "Explore HT"),
        (r"reveal", "Reveal"),
        (r"explore ?384", "Explore 384"),
        (r"explore", "Explore 3072"),
        (r"target ?48", "Target 48"),
        (r"flex", "Flex"),
        (r"focus", "Focus"),
        (r"target ?96", "Target 96"),
    ):
        if re.search(pattern, words):
            return product
    names = {re.sub(r" II$", "", panel.replace("_", " ")).lower() for panel in panels}
    if names and names <= {"cardiometabolic", "inflammation", "neurology", "oncology"}:
        return "Explore 384" if len(panels) == 1 else "Explore 3072"
    return said.get("Product")


def _log2(values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log2(values), np.nan)


def _finish(
    layers: dict[str, NDArray[Any]],
    words: dict[str, list[str]],
    chosen: str,
    values: NDArray[Any],
    known: dict[str, Any],
) -> dict[str, NDArray[Any]]:
    """Name the layers, and choose the limit of detection that counts."""
    finished: dict[str, NDArray[Any]] = {}
    categories: dict[str, list[str]] = {}
    for name, layer in layers.items():
        finished[name] = layer
        if name in words:
            categories[name] = words[name]
    if chosen == "quantified":
        finished["quantified"] = values
        for name in LIMITS:
            if name in finished:
                finished[name] = _log2(finished[name])
        if (lost := int((values <= 0).sum())) > 0:
            known["removed"] = known["removed"] | {"concentrations of 0 or less": lost}
    given = [finished[name] for name in LIMITS if name in finished]
    if given:
        best = given[0].copy()
        for other in given[1:]:
            best = np.where(np.isnan(best), other, best)
        finished["lod"] = best
    if categories:
        known["categories"] = categories
    return finished


def _whole(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any() or not column.astype(str).str.fullmatch(r"0|[1-9]\d*").all():
        return column
    return numbers.astype(np.int64)
