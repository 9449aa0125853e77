"""Single cells to people, and results where users of scanpy look for them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import AlignmentError, DataWarning, FormatError, MissingModalityError, list_some
from ._layout import as_adata, is_assay, is_sample, make_adata, values_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["embed", "pseudobulk", "store_differential"]


def pseudobulk(
    adata: AnnData,
    *,
    subject: str = "subject_id",
    cell_type: str | None = None,
    layer: str | None = None,
    min_cells: int = 10,
    prior: float = 1.0,
) -> AnnData:
    """Sum the counts of each person's cells: people are the sample, not cells.

    Parameters
    ----------
    adata : anndata.AnnData
        Cells × genes, raw counts.
    subject : str, default "subject_id"
        Column of ``obs`` that tells whose a cell is.
    cell_type : str, optional
        Column of ``obs``: one sum per person and cell type.
    layer : str, optional
        Layer of the counts; by default ``X``.
    min_cells : int, default 10
        Sums of fewer cells are left out, and counted.
    prior : float, default 1.0
        Added to the counts per million before log2.

    Returns
    -------
    anndata.AnnData
        One row per person (and cell type): ``X`` log2(CPM + prior), ``layers["count"]`` the
        sums, ``obs`` has ``subject_id``, ``n_cells``, ``total`` and every column that is
        constant within the cells of all sums. ``uns["precisionpain"]["kind"]`` is "rna".

    Raises
    ------
    MissingModalityError
        When the column or layer is missing.
    FormatError
        When counts aren't whole numbers from 0, a cell is nobody's, or no sum has enough
        cells.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> cells = anndata.AnnData(np.ones((4, 2)), obs=pd.DataFrame(
    ...     {"subject_id": ["p2", "p1", "p2", "p2"]}, index=list("abcd")))
    >>> people = pseudobulk(cells, min_cells=1)
    >>> people.obs["n_cells"].to_dict()
    {'p1': 1, 'p2': 3}
    >>> people.layers["count"].tolist()
    [[1.0, 1.0], [3.0, 3.0]]
    """
    from scipy import sparse

    adata = as_adata(adata)
    keys = [subject] if cell_type is None else [subject, cell_type]
    absent = [key for key in keys if key not in adata.obs]
    if absent:
        raise MissingModalityError(f"obs has no column {list_some(absent)}")
    if layer is not None and layer not in adata.layers:
        raise MissingModalityError(f"no layer {layer!r}, found {list_some(adata.layers)}")
    counts = sparse.csr_matrix(adata.X if layer is None else adata.layers[layer])
    values = counts.data
    if len(values) and not (
        np.isfinite(values).all() and values.min() >= 0 and np.all(values == np.round(values))
    ):
        raise FormatError(
            "expected raw counts (whole numbers from 0)",
            where="adata.X" if layer is None else f"adata.layers[{layer!r}]",
            remedy="name the layer that holds them",
        )
    obs = adata.obs.copy()
    if obs[keys].isna().any().any():
        raise FormatError(
            f"{int(obs[keys].isna().any(axis=1).sum())} cells lack {list_some(keys)}",
            where="adata.obs",
            remedy="leave them out first",
        )
    groups = obs[keys].astype(str)
    code = groups.groupby(keys, sort=True).ngroup().to_numpy()
    n_groups = int(code.max()) + 1
    n_cells = np.bincount(code, minlength=n_groups)
    sums = sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code))))) @ counts
    kept = n_cells >= min_cells
    if not kept.any():
        raise FormatError(
            f"no person has {min_cells} cells, the most are {int(n_cells.max())}", where="min_cells"
        )
    first = np.array([np.flatnonzero(code == g)[0] for g in range(n_groups)])
    constant = [
        c for c in obs if c not in keys and (obs[c].groupby(code).nunique(dropna=False) <= 1).all()
    ]
    people = obs.iloc[first][[*keys, *constant]].rename(columns={subject: "subject_id"})
    people.index = pd.Index(groups.iloc[first].agg("/".join, axis=1).to_numpy(), name="sample_id")
    dense = np.asarray(sums.todense(), dtype=float)
    total = dense.sum(axis=1)
    people = people.assign(n_cells=n_cells, total=total)[kept]
    dense, total = dense[kept], total[kept]
    if (total == 0).any():
        raise FormatError(f"no counts at all in {list_some(people.index[total == 0])}")
    return make_adata(
        np.log2(dense / total[:, None] * 1e6 + prior),
        people,
        adata.var,
        layers={"count": dense},
        kind="rna",
        unit=f"log2(CPM + {prior:g})",
        source="pseudobulk",
        removed={f"fewer than {min_cells} cells": int((~kept).sum())},
    )


def embed(
    adata: AnnData,
    *,
    n_components: int = 10,
    umap: bool = True,
    n_neighbors: int = 15,
    scale: bool = True,
    random_state: int = 0,
) -> AnnData:
    """Add principal components and a UMAP, by scanpy and under its names.

    For looking, not for predicting: everybody is used.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × proteins.
    n_components : int, default 10
        Principal components; fewer where there are fewer samples or proteins.
    umap : bool, default True
        Whether to add the neighbours and the UMAP as well.
    n_neighbors : int, default 15
        Of the graph; fewer where there are fewer samples.
    scale : bool, default True
        Whether to divide by the SD: else the proteins with the widest range decide.
    random_state : int, default 0
        Seed.

    Returns
    -------
    anndata.AnnData
        A copy of the samples of people, with ``obsm["X_pca"]``, ``varm["PCs"]``,
        ``uns["pca"]`` and, with `umap`, ``obsm["X_umap"]``, ``obsp`` and ``uns["neighbors"]``.
        ``X`` is as it was: a missing value counted as the protein's mean for this only.
        Control assays and proteins without any value or spread have no part in it.

    Raises
    ------
    FormatError
        When fewer than 3 samples or 2 varying proteins are left.

    Examples
    --------
    >>> import precisionpain as pp
    >>> adata = pp.proteomics.embed(pp.datasets.sample_tn().assays["csf_lfq"], umap=False)
    >>> adata.obsm["X_pca"].shape == (adata.n_obs, 10)
    True
    """
    import scanpy

    out = as_adata(adata)[is_sample(adata)].copy()
    values = values_of(out)
    known = np.isfinite(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(n, 1)
    centred = np.where(known, values - mean, 0.0)
    sd = np.sqrt((centred**2).sum(axis=0) / np.maximum(n - 1, 1))
    used = (sd > 1e-12) & is_assay(out)
    if out.n_obs < 3 or used.sum() < 2:
        raise FormatError(
            f"expected at least 3 samples and 2 varying proteins, found {out.n_obs} and "
            f"{int(used.sum())}"
        )
    table = centred / np.where(sd > 1e-12, sd, 1) if scale else centred
    n_components = min(n_components, out.n_obs - 1, int(used.sum()) - 1)
    # scanpy takes X: lend it the filled table, and give the values back afterwards.
    own = out.X
    out.X = table
    mask = "_embedded"
    out.var[mask] = used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scanpy.pp.pca(
            out, n_comps=n_components, mask_var=mask, svd_solver="arpack", random_state=random_state
        )
        if umap:
            k = min(n_neighbors, out.n_obs - 1)
            scanpy.pp.neighbors(out, n_neighbors=k, use_rep="X_pca", random_state=random_state)
            scanpy.tl.umap(out, random_state=random_state)
    out.X = own
    out.var = out.var.drop(columns=mask)
    return out


def store_differential(
    adata: AnnData,
    result: pd.DataFrame,
    *,
    group: str,
    reference: str,
    key: str = "rank_genes_groups",
) -> AnnData:
    """Put a result where scanpy looks for it.

    Parameters
    ----------
    adata : anndata.AnnData
        What was tested.
    result : pandas.DataFrame
        Of `differential`: index ``var_names``; ``log_fc, statistic, p_value, q_value``.
    group, reference : str
        What was compared with what.
    key : str, default "rank_genes_groups"
        Name in ``uns``.

    Returns
    -------
    anndata.AnnData
        A copy with ``uns[key]`` as `scanpy.tl.rank_genes_groups` writes it, largest statistic
        first, so that ``scanpy.get.rank_genes_groups_df`` and scanpy's plots work. Fold
        changes are log2. Proteins that weren't testable are left out.

    Raises
    ------
    FormatError
        When a column is missing.
    AlignmentError
        When the result has proteins that `adata` lacks.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> result = pd.DataFrame({"log_fc": [0.5, -1.0], "statistic": [2.1, -3.0],
    ...                        "p_value": [0.04, 0.004], "q_value": [0.04, 0.008]},
    ...                       index=adata.var_names[:2])
    >>> stored = store_differential(adata, result, group="TN", reference="control")
    >>> stored.uns["rank_genes_groups"]["names"]["TN"].tolist() == adata.var_names[:2].tolist()
    True
    """
    needed = {"names": None, "scores": "statistic", "logfoldchanges": "log_fc",
              "pvals": "p_value", "pvals_adj": "q_value"}  # fmt: skip
    absent = [column for column in needed.values() if column and column not in result]
    if absent:
        raise FormatError(f"expected the column {list_some(absent)}", where="result")
    unknown = result.index.difference(as_adata(adata).var_names)
    if len(unknown):
        raise AlignmentError(f"adata has no protein {list_some(unknown)}", where="result")
    testable = result[result["p_value"].notna()].sort_values(
        "statistic", ascending=False, kind="stable"
    )
    if len(testable) < len(result):
        warnings.warn(
            DataWarning(f"{len(result) - len(testable)} proteins weren't testable: left out"),
            stacklevel=2,
        )
    stored: dict[str, Any] = {
        "params": {"groupby": "group", "reference": reference, "method": "precisionpain",
                   "use_raw": False, "layer": None, "corr_method": "benjamini-hochberg"}
    }  # fmt: skip
    for name, column in needed.items():
        values = testable.index.to_numpy(object) if column is None else testable[column].to_numpy()
        record = np.empty(len(values), dtype=[(group, values.dtype)])
        record[group] = values
        stored[name] = record
    out = adata.copy()
    out.uns[key] = stored
    return out
