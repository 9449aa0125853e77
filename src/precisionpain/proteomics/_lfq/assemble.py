"""From the columns of an export to an AnnData: sift, take logarithms, name, join."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import AlignmentError, FormatError, list_some
from .._layout import check_log2, make_adata
from .names import accessions_of, is_contaminant, is_decoy, members
from .samples import sample_table
from .table import TableLike

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["REASONS", "Export", "Keep", "pivot", "sift", "to_adata"]

Keep = Collection[Literal["decoy", "contaminant", "only_by_site"]]
REASONS = ("decoy", "contaminant", "only_by_site")


@dataclass
class Export:
    """What a reader found, before it is sifted and named.

    Parameters
    ----------
    values : ndarray of shape (features, samples)
        Linear intensities (or log2 where `log2`); missing is 0 or NaN.
    names : list of str
        Of the samples, as the file has them.
    features : pandas.DataFrame
        A row for each feature: ``protein`` (the group as the file has it), and where known
        ``members`` (all proteins, where the group names the main ones), ``gene``,
        ``n_peptides``, ``ion``, ``peptide``, ``charge`` and flags of `REASONS`.
    product, unit, source : str
        What wrote the file, what the values are, and the file.
    removed : dict of str to int
        Rows that were left out already, by reason.
    log2 : bool, default False
        Whether the values are logarithms.
    genes : bool, default False
        Whether ``protein`` holds groups of genes, of which no accession is known.
    """

    values: NDArray[np.float64]
    names: list[str]
    features: pd.DataFrame
    product: str
    unit: str
    source: str
    removed: dict[str, int] = field(default_factory=dict)
    log2: bool = False
    genes: bool = False


def sift(
    rows: pd.DataFrame, keep: Keep, where: str
) -> tuple[NDArray[np.bool_], dict[str, int], pd.DataFrame]:
    """Tell which rows stay, how many don't for which reason, and the flags of all.

    A group is a decoy where the file flags it or all its members are marked (``REV__``…), and a
    contaminant where the file flags it or its *leading* protein is marked (``CON__``…). A marked
    protein that is a minor member takes no group away. A row may have two reasons and counts for
    both.
    """
    wrong = sorted(set(keep) - set(REASONS))
    if isinstance(keep, str) or wrong:
        raise FormatError(
            f"expected keep to list some of {list_some(REASONS)}, found {keep!r}", where="keep"
        )
    groups = pd.Series(pd.unique(rows["protein"]))
    inside = groups.map(members)
    marked = pd.DataFrame(
        {
            "decoy": [bool(m) and all(map(is_decoy, m)) for m in inside],
            "contaminant": [bool(m) and is_contaminant(m[0]) for m in inside],
        },
        index=groups,
    ).reindex(rows["protein"])
    flags = pd.DataFrame(index=rows.index)
    for reason in REASONS:
        flag = np.zeros(len(rows), dtype=bool)
        if reason in rows:
            flag |= rows[reason].to_numpy(bool)
        if reason in marked:
            flag |= marked[reason].to_numpy(bool)
        flags[reason] = flag
    named = (rows["protein"] != "").to_numpy(bool)
    stays = named & ~flags.drop(columns=list(keep)).any(axis=1).to_numpy(bool)
    removed = {r: int(flags[r].sum()) for r in REASONS if r not in keep and flags[r].any()}
    if not named.all():
        removed["no_protein"] = int((~named).sum())
    if not stays.any():
        raise FormatError(
            f"no row is left of {len(rows)}; left out: {removed}",
            where=where,
            remedy="see the parameter keep",
        )
    return stays, removed, flags


def pivot(
    rows: pd.DataFrame, feature: str, where: str
) -> tuple[NDArray[np.float64], list[str], pd.DataFrame]:
    """Make a matrix of rows with ``run``, ``value`` and a feature; order by name.

    A feature that a run has several times must have one value.

    Returns
    -------
    values : ndarray of shape (features, runs)
    names : list of str
    features : pandas.DataFrame
        What the first row of each feature says.
    """
    grouped = rows.groupby(["run", feature], sort=False)["value"]
    low, high = grouped.transform("min"), grouped.transform("max")
    # What is stored in 32 bits or rounded to six digits may differ in the last ones.
    differ = (high - low) > 1e-5 * high.abs()
    if differ.any():
        run, name = rows["run"][differ].iloc[0], rows[feature][differ].iloc[0]
        raise AlignmentError(
            f"{name!r} has several values in the run {run!r}: "
            f"{list_some(rows.loc[(rows['run'] == run) & (rows[feature] == name), 'value'], 3)}",
            where=where,
            remedy="one row for each run and feature is expected; sum or choose before",
        )
    one = rows.drop_duplicates(["run", feature])
    wide = one.pivot(index=feature, columns="run", values="value").sort_index().sort_index(axis=1)
    about = one.drop(columns=["run", "value"]).drop_duplicates(feature).set_index(feature)
    about = about.reindex(wide.index).reset_index()
    return wide.to_numpy(np.float64), [str(run) for run in wide.columns], about


def to_adata(export: Export, *, samples: TableLike | None, keep: Keep) -> AnnData:
    """Sift, take the logarithm once, name proteins and samples."""
    where = export.source
    stays, removed, flags = sift(export.features, keep, where)
    features = export.features[stays].reset_index(drop=True)
    values, linear = (both[stays].T for both in _both_scales(export, where))
    var = _of_genes(features, where) if export.genes else _describe(features, where)
    for flag in keep:
        var[flag] = flags.loc[stays, flag].to_numpy()
    # Rows may have been left out before, while they were read.
    counts = dict(export.removed)
    for reason, n in removed.items():
        counts[reason] = counts.get(reason, 0) + n
    obs = sample_table(export.names, samples, where)
    adata = make_adata(
        values, obs, var,
        layers={"intensity": linear},
        kind="lfq", unit=export.unit, source=where, product=export.product, removed=counts,
        level="gene" if export.genes else "ion" if "ion" in features else "protein",
    )  # fmt: skip
    check_log2(adata, where=where)
    return adata


def _both_scales(export: Export, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log2 and linear values; of the two, what the file has stays as it is there."""
    values = np.array(export.values, dtype=np.float64)
    if np.isinf(values).any():
        raise FormatError(f"found {int(np.isinf(values).sum())} infinite values", where=where)
    if export.log2:
        return values, np.exp2(values)
    if (values < 0).any():
        raise FormatError(
            f"expected intensities of 0 and above, found {np.nanmin(values):.4g}",
            where=where,
            remedy="say log2=True in read_matrix if these are logarithms",
        )
    values[values == 0] = np.nan
    return np.log2(values), values


def _describe(features: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return ``var``: the group by its accessions, the leading one, gene, peptides."""
    groups = pd.Series(pd.unique(features["protein"]))
    accessions = groups.map(accessions_of)
    named = pd.DataFrame(
        {
            "protein_group": accessions.str.join(";").to_numpy(),
            "uniprot": accessions.str[0].to_numpy(),
            "uniprots": accessions.str.join(";").to_numpy(),
            "original_group": groups.to_numpy(),
        },
        index=groups,
    )
    # CON__P1 and P1 are two groups, where contaminants are kept.
    clash = named["protein_group"].duplicated(keep=False)
    named.loc[clash, "protein_group"] = named.loc[clash, "original_group"]
    var = named.loc[features["protein"]].reset_index(drop=True)
    if "members" in features:
        every = {g: ";".join(accessions_of(g)) for g in pd.unique(features["members"])}
        var["uniprots"] = features["members"].map(every).to_numpy()
    if "gene" in features:
        gene = features["gene"].astype(str).str.strip()
        var["gene"] = gene.where(gene != "", None)
    else:
        var["gene"] = None
    if "n_peptides" in features:
        var["n_peptides"] = features["n_peptides"].to_numpy()
    if "ion" not in features:
        return var.set_index(_unique(var.pop("protein_group"), "protein_group", where))
    for column in ("peptide", "charge"):
        if column in features:
            var[column] = features[column].to_numpy()
    return var.set_index(_unique(features["ion"], "ion", where))


def _of_genes(features: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return ``var`` of groups of genes; a gene may have several proteins, so none is named."""
    genes = features["protein"].astype(str)
    var = pd.DataFrame({"gene": genes.to_numpy(), "uniprot": None}, dtype=object)
    if "n_peptides" in features:
        var["n_peptides"] = features["n_peptides"].to_numpy()
    return var.set_index(_unique(genes, "gene_group", where))


def _unique(names: Sequence[Any] | pd.Series, what: str, where: str) -> pd.Index:
    index = pd.Index(names, name=what, dtype=object)
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        raise AlignmentError(
            f"{len(twice)} names of {what} come twice: {list_some(twice)}",
            where=where,
            remedy="each protein must be in the file once; rows of one group aren't added up",
        )
    return index
