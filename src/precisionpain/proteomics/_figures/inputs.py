"""What the figures of proteins are given: tables of results, assays, groups of samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, FormatError, list_some
from .._layout import as_adata, check_log2, is_assay, is_sample, lod_of, per_panel

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Grouping",
    "Groups",
    "assay_names",
    "find_assay",
    "grouping",
    "limits_of_detection",
    "measured_people",
    "mostly_below_lod",
    "one_specimen",
    "panel_of",
    "people_of",
    "property_of_samples",
    "results_of",
]

#: A column of ``obs``, or what is known of each person, by ``subject_id``.
Groups = str | Mapping[Any, Any] | pd.Series

Floats = NDArray[np.float64]


class Grouping:
    """The group of each sample.

    Parameters
    ----------
    name : str
        Of the column.
    values : pandas.Series
        One value per sample, in their order; missing where not known.

    Attributes
    ----------
    levels : list of str
        In the order of a categorical, else sorted.
    codes : ndarray of int
        Level of each sample, −1 where not known.
    numbers : ndarray of float, or None
        The values, where they are numbers that differ more than groups do.
    unknown : ndarray of bool
        Samples without a value.
    """

    def __init__(self, name: str, values: pd.Series) -> None:
        self.name = name
        self.unknown = values.isna().to_numpy()
        self.numbers: Floats | None = None
        if isinstance(values.dtype, pd.CategoricalDtype):
            present = set(values.dropna())
            order = [level for level in values.cat.categories if level in present]
        else:
            order = sorted(values.dropna().unique(), key=lambda v: (str(type(v)), v))
            number = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
            if number and len(order) > 6:
                self.numbers = values.to_numpy(np.float64, na_value=np.nan)
        place = {level: i for i, level in enumerate(order)}
        self.levels = [str(level) for level in order]
        self.codes = np.array([place.get(value, -1) for value in values], dtype=np.intp)


def grouping(obs: pd.DataFrame, by: Groups, where: str = "adata.obs") -> Grouping:
    """Return the group of each sample, from a column or by ``subject_id``."""
    if isinstance(by, str):
        if by not in obs:
            raise FormatError(
                f"expected the column {by!r}, found {list_some(list(obs.columns), 12)}",
                where=where,
                remedy="name a column, or give what is known of each person as a Series "
                "by subject_id",
            )
        return Grouping(by, obs[by])
    if not isinstance(by, Mapping | pd.Series):
        raise FormatError(
            f"expected the name of a column, or a Series by subject_id, found {type(by).__name__}",
            where="group",
        )
    known = pd.Series(dict(by)) if isinstance(by, Mapping) else by
    if "subject_id" not in obs:
        raise FormatError(
            "expected the column 'subject_id', by which groups of people are joined",
            where=where,
        )
    if not known.index.is_unique:
        twice = known.index[known.index.duplicated()].unique()
        raise AlignmentError(f"found several groups for {list_some(twice)}", where="group")
    subjects = obs["subject_id"]
    if len(subjects.dropna()) and not subjects.dropna().isin(known.index).any():
        raise AlignmentError(
            f"expected groups by subject_id as {list_some(subjects.dropna().unique(), 2)}, found "
            f"{list_some(known.index, 2)}",
            where="group",
        )
    found = known.reindex(pd.Index(subjects.astype(object)))
    return Grouping(str(known.name or "group"), found)


def measured_people(adata: Any, panel: str | None = None) -> tuple[AnnData, int]:
    """Return the samples of people and the assays of proteins, and how many controls went.

    Raises
    ------
    FormatError
        When it's no AnnData, not on the log2 scale, has no such panel, or nothing is left.
    """
    adata = as_adata(adata)
    check_log2(adata)
    samples, assays = is_sample(adata), is_assay(adata)
    if panel is not None:
        panels = panel_of(adata)
        if panel not in set(panels):
            raise FormatError(
                f"expected one of the panels {list_some(sorted(set(panels)), 12)}, found {panel!r}",
                where="panel",
            )
        assays &= panels == panel
    if not samples.any() or not assays.any():
        raise FormatError(
            f"expected samples of people and assays of proteins, found {int(samples.sum())} "
            f"samples and {int(assays.sum())} assays",
            where="adata",
            remedy="see obs['sample_type'] and var['assay_type']",
        )
    return adata[samples][:, assays], int((~samples).sum())


def panel_of(adata: AnnData) -> NDArray[Any]:
    """Return the panel of each assay; "" where there are none."""
    if "panel" not in adata.var:
        return np.full(adata.n_vars, "", dtype=object)
    return adata.var["panel"].astype(str).to_numpy(dtype=object)


def property_of_samples(adata: AnnData, name: str, panel: str | None) -> pd.Series:
    """Return a property of the samples (plate…), which a file may state for each panel.

    Raises
    ------
    FormatError
        When panels differ in it, and none was chosen.
    """
    if name in adata.obs:
        return adata.obs[name]
    table = per_panel(adata, name)
    chosen = [column for column in table if panel is None or column == panel]
    if not chosen:
        raise FormatError(
            f"expected {panel!r} among {list_some(list(table))}", where=f"adata.obsm[{name!r}]"
        )
    first = table[chosen[0]]
    if any(not pd.Index(first).equals(pd.Index(table[column])) for column in chosen[1:]):
        raise FormatError(
            f"expected one {name} per sample, found that panels differ in it",
            where=f"adata.obsm[{name!r}]",
            remedy=f"choose a panel: panel={chosen[0]!r}",
        )
    return first


def one_specimen(adata: AnnData, by: Groups | None) -> None:
    """Refuse to pool specimens in one picture of abundance."""
    if "specimen" not in adata.obs or (isinstance(by, str) and by == "specimen"):
        return
    found = sorted(adata.obs["specimen"].dropna().astype(str).unique())
    if len(found) > 1:
        raise FormatError(
            f"expected one specimen, found {list_some(found)}",
            where="adata.obs['specimen']",
            remedy=f"choose one: adata[adata.obs['specimen'] == {found[0]!r}], or group='specimen'",
        )


def limits_of_detection(adata: AnnData) -> Floats:
    """Return the limit of detection of each value, NPX, shape (samples, assays); NaN: not known.

    Raises
    ------
    FormatError
        When the assay has none.
    """
    found = lod_of(adata)
    if found is not None:
        return found
    raise FormatError(
        "expected limits of detection in layers['lod'] or var['lod'], found neither",
        where="adata",
        remedy="set them with estimate_lod; mass spectrometry has none, see plot_missing",
    )


def assay_names(table: pd.DataFrame, index: Iterable[Any] | None = None) -> list[str]:
    """Name assays by gene, with their id where a gene is there twice or isn't known."""
    chosen = table if index is None else table.loc[list(index)]
    if "gene" not in chosen:
        return [str(name) for name in chosen.index]
    gene = chosen["gene"].astype(object)
    known = gene.notna() & (gene.astype(str).str.strip() != "")
    twice = gene.duplicated(keep=False) & known
    return [
        str(name) if not there else f"{word} ({name})" if double else str(word)
        for name, word, there, double in zip(chosen.index, gene, known, twice, strict=True)
    ]


def find_assay(table: pd.DataFrame, wanted: str) -> Any:
    """Return the id of an assay by id, gene or UniProt accession, in this order; None if absent.

    Raises
    ------
    FormatError
        When several assays measure it.
    """
    if wanted in table.index:
        return wanted
    for column in ("gene", "uniprot"):
        if column not in table:
            continue
        parts = table[column].astype(str)
        same = parts == wanted
        if column == "uniprot":
            same |= parts.str.split(r"[,;\s_]+", regex=True).map(lambda found: wanted in found)
        hits = table.index[same.to_numpy(dtype=bool)]
        if len(hits) > 1:
            raise FormatError(
                f"expected one assay of {wanted!r}, found {len(hits)}: {list_some(hits)}",
                remedy="choose one by its id",
            )
        if len(hits):
            return hits[0]
    return None


def results_of(results: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Check a table of `differential`: its columns, numbers, and one row per assay."""
    if not isinstance(results, pd.DataFrame):
        raise FormatError(
            f"expected the table of `differential`, found {type(results).__name__}",
            where="results",
        )
    absent = [name for name in columns if name not in results]
    if absent:
        raise FormatError(
            f"expected the column {list_some(absent)}, found {list_some(list(results), 12)}",
            where="results",
            remedy="draw the table that `differential` gives for one contrast",
        )
    if not results.index.is_unique:
        twice = results.index[results.index.duplicated()].unique()
        raise FormatError(
            f"expected one row per assay, found several for {list_some(twice)}",
            where="results",
            remedy="choose one term or contrast of the table first",
        )
    wrong = [name for name in columns if not pd.api.types.is_numeric_dtype(results[name])]
    if wrong:
        raise FormatError(f"expected numbers, found text in {list_some(wrong)}", where="results")
    for name in ("p_value", "q_value"):
        if name in columns and not results[name].dropna().between(0, 1).all():
            raise FormatError("expected values from 0 to 1", where=f"results[{name!r}]")
    return results


def mostly_below_lod(results: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which assays are below the limit in more than half of the samples.

    ``below_lod`` is that share, or the flag itself; without the column nobody is flagged.
    """
    if "below_lod" not in results:
        return np.zeros(len(results), dtype=bool)
    found = results["below_lod"]
    if found.dtype == bool:
        return found.to_numpy()
    return (pd.to_numeric(found, errors="coerce") > 0.5).to_numpy()


def people_of(adata: AnnData) -> int | None:
    """Return the number of people, where known."""
    return int(adata.obs["subject_id"].nunique()) if "subject_id" in adata.obs else None
