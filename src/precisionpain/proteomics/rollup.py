"""From ions to proteins: MaxLFQ, directLFQ, sum, median polish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import FormatError, list_some
from ._layout import about, check_log2, make_adata, values_of
from ._lfq.directlfq import estimate
from ._lfq.long import from_long
from ._lfq.names import accessions_of
from ._lfq.summaries import connected_profiles, log2_sums, median_polish

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["direct_lfq", "max_lfq", "roll_up"]

Array = NDArray[np.float64]
Components = Literal["largest", "all"]
_METHODS = ("maxlfq", "directlfq", "sum", "median_polish")


def max_lfq(
    values: Array | pd.DataFrame, *, min_shared: int = 1, components: Components = "largest"
) -> Array:
    r"""Estimate the profile of one protein over the samples from its ions, by MaxLFQ.

    For each pair of samples :math:`r_{ij}` is the median over the ions that both have of
    :math:`X_{jk} - X_{ik}`. The profile is the :math:`x` that minimises
    :math:`\sum_{i<j} (x_j - x_i - r_{ij})^2` over the pairs that there are, and whose mean is
    that of the log2 intensities that went in.

    Parameters
    ----------
    values : array of shape (samples, ions)
        log2 intensities, NaN where not measured.
    min_shared : int, default 1
        Ions that two samples must share to be compared (MaxQuant's "LFQ min. ratio count", 2
        there). Above 1, a sample without any partner has no value.
    components : {"largest", "all"}, default "largest"
        Samples that no chain of shared ions connects can't be compared. ``"largest"`` gives
        values to the largest connected set only (of equals to the one with more values, then to
        the first); ``"all"`` gives each set its own profile around its own mean, which must not
        be compared with those of other sets.

    Returns
    -------
    ndarray of shape (samples,)
        log2, NaN where there is no value.

    Raises
    ------
    FormatError
        When values aren't two-dimensional, or not on the log2 scale.

    References
    ----------
    .. [1] Cox J. et al. Accurate proteome-wide label-free quantification by delayed
       normalization and maximal peptide ratio extraction, termed MaxLFQ. Mol Cell Proteomics
       2014;13:2513–2526.

    Examples
    --------
    The second ion is four times the first; the third sample lacks it, yet isn't lower:

    >>> import numpy as np
    >>> from precisionpain.proteomics import max_lfq
    >>> max_lfq(np.array([[10.0, 12.0], [11.0, 13.0], [11.0, np.nan]]))
    array([10.73..., 11.73..., 11.73...])
    """
    array = np.array(values, dtype=np.float64)
    _check_counts(min_shared, components)
    if array.ndim != 2:
        raise FormatError(
            f"expected two dimensions (samples × ions), found {array.ndim}", where="values"
        )
    if np.isinf(array).any() or (array.size and np.nanmax(array, initial=0.0) > 64):
        raise FormatError(
            "expected finite values on the log2 scale, found infinite or larger ones",
            where="values",
            remedy="make 0 NaN and take log2 of intensities once",
        )
    profile, component = connected_profiles(array, min_shared)
    if components == "largest":
        profile[component > 0] = np.nan
    return profile


def roll_up(
    ions: AnnData | pd.DataFrame,
    *,
    method: Literal["maxlfq", "directlfq", "sum", "median_polish"] = "maxlfq",
    protein: str = "protein_group",
    ion: str = "ion",
    sample: str = "sample_id",
    intensity: str = "intensity",
    min_shared: int = 1,
    components: Components = "largest",
) -> AnnData:
    """Make samples × protein groups out of samples × ions.

    Parameters
    ----------
    ions : anndata.AnnData or pandas.DataFrame
        What a reader gives with ``level="ion"`` (log2), or a long table with a row for each
        sample and ion (linear intensities; 0 and missing mean not measured).
    method : {"maxlfq", "directlfq", "sum", "median_polish"}, default "maxlfq"
        See `max_lfq` and `direct_lfq`. ``"sum"`` adds linear intensities, so that a missing ion
        lowers it; ``"median_polish"`` is Tukey's, on log2.
    protein : str, default "protein_group"
        Column (of ``var``, or of the table) with the protein group of an ion.
    ion, sample, intensity : str
        Columns of a long table; `ion` names it with charge and modifications.
    min_shared, components
        As in `max_lfq`, for ``"maxlfq"`` only.

    Returns
    -------
    anndata.AnnData
        ``X`` log2, ``layers["intensity"]`` linear; ``var`` with ``n_ions``, ``n_peptides``, and
        of the columns of the ions those that are the same for all ions of a protein (``gene``:
        the commonest). Samples as they were. ``uns["precisionpain"]["unconnected"]`` counts
        values that ``components="largest"`` left out.

    Raises
    ------
    FormatError
        When a column is absent, or values can't be what they should.
    AlignmentError
        When a sample has an ion twice, or an ion belongs to two proteins.

    Notes
    -----
    Each ion counts for the one group that it is given to. All methods look at the samples of
    `ions` together; MaxLFQ, sum and median polish treat proteins one by one.

    Examples
    --------
    >>> import pandas as pd
    >>> import precisionpain as pp
    >>> table = pd.DataFrame({
    ...     "sample_id": ["A", "A", "B", "B", "C"], "protein_group": "P01584",
    ...     "ion": ["AAK2", "LLR2", "AAK2", "LLR2", "AAK2"],
    ...     "intensity": [1024.0, 4096.0, 2048.0, 8192.0, 2048.0]})
    >>> pp.proteomics.roll_up(table).to_df().round(2)  # doctest: +NORMALIZE_WHITESPACE
    protein_group  P01584
    sample_id
    A               10.73
    B               11.73
    C               11.73
    """
    _check_counts(min_shared, components)
    if method not in _METHODS:
        raise FormatError(
            f"expected one of {list_some(_METHODS)}, found {method!r}", where="method"
        )
    if isinstance(ions, pd.DataFrame):
        ions = from_long(ions, protein, ion, sample, intensity)
    elif protein not in ions.var:
        raise FormatError(
            f"expected the column {protein!r}, found {list(ions.var.columns)}",
            where="ions.var",
            remedy="read the export with level='ion', or name the column with protein=",
        )
    check_log2(ions, where="ions.X")
    named = ions.var[protein].notna().to_numpy() & (ions.var[protein] != "").to_numpy()
    columns = np.flatnonzero(named)
    groups = ions.var[protein].to_numpy(dtype=object)[columns].astype(str)
    # Stable, so that the ions of a protein keep their order.
    order = np.argsort(groups, kind="stable")
    columns, groups = columns[order], groups[order]
    if not len(columns):
        raise FormatError("expected ions with a protein, found none", where="ions")
    names, starts = np.unique(groups, return_index=True)
    values = values_of(ions)[:, columns]
    known = {k: v for k, v in about(ions).items() if k != "level"} or {"kind": "lfq"}
    known |= {"level": "protein", "roll_up": method}
    if method == "maxlfq":
        rolled, left = _max_lfq(values, starts, min_shared, components)
        known["unconnected"] = left
    elif method == "sum":
        rolled = log2_sums(values, starts)
    elif method == "median_polish":
        parts = np.split(values, starts[1:], axis=1)
        rolled = np.column_stack([median_polish(part) for part in parts])
    else:
        frame = pd.DataFrame(values, index=ions.obs_names, columns=ions.var_names[columns])
        rolled = estimate(frame, groups, normalize=False).reindex(columns=names).to_numpy()
    var = _proteins(ions.var.iloc[columns], groups, names, protein)
    return make_adata(rolled, ions.obs, var, layers={"intensity": np.exp2(rolled)}, **known)


def direct_lfq(
    ions: AnnData | pd.DataFrame,
    *,
    normalize: bool = False,
    protein: str = "protein_group",
    ion: str = "ion",
    sample: str = "sample_id",
    intensity: str = "intensity",
) -> AnnData:
    """Roll ions up by directLFQ, whose time grows with the number of samples, not its square.

    Needs the package of that name: ``pip install "precisionpain[lfq]"``.

    Parameters
    ----------
    ions : anndata.AnnData or pandas.DataFrame
        As in `roll_up`.
    normalize : bool, default False
        Whether directLFQ shifts the samples onto each other first. It learns that from all
        samples together; inside cross-validation use an estimator of this library instead.
    protein, ion, sample, intensity : str
        As in `roll_up`.

    Returns
    -------
    anndata.AnnData
        As from `roll_up`.

    Raises
    ------
    FormatError
        When the package is absent, and as in `roll_up`.

    References
    ----------
    .. [1] Ammar C. et al. Accurate label-free quantification by directLFQ to compare unlimited
       numbers of proteomes. Mol Cell Proteomics 2023;22:100581.

    Examples
    --------
    >>> import precisionpain as pp
    >>> proteins = pp.proteomics.direct_lfq(ions)  # doctest: +SKIP
    """
    if isinstance(ions, pd.DataFrame):
        ions = from_long(ions, protein, ion, sample, intensity)
    rolled = roll_up(ions, method="directlfq", protein=protein)
    if normalize:
        frame = ions.to_df()
        groups = ions.var[protein].to_numpy(dtype=object).astype(str)
        values = estimate(frame, groups, normalize=True)
        rolled.X = values.reindex(columns=rolled.var_names).to_numpy()
        rolled.layers["intensity"] = np.exp2(rolled.X)
    return rolled


def _max_lfq(
    values: Array, starts: NDArray[np.intp], min_shared: int, components: Components
) -> tuple[Array, int]:
    """Return samples × proteins, and how many values no chain of ions connects."""
    rolled = np.full((len(values), len(starts)), np.nan)
    left = 0
    for j, part in enumerate(np.split(values, starts[1:], axis=1)):
        if part.shape[1] == 1 and min_shared == 1:
            rolled[:, j] = part[:, 0]
            continue
        profile, component = connected_profiles(part, min_shared)
        if components == "largest":
            left += int((component > 0).sum())
            profile[component > 0] = np.nan
        rolled[:, j] = profile
    return rolled, left


def _proteins(var: pd.DataFrame, groups: NDArray[Any], names: Any, protein: str) -> pd.DataFrame:
    """Return ``var`` of the proteins."""
    by = var.drop(columns=[protein]).groupby(groups, sort=True)
    out = pd.DataFrame(index=pd.Index(names, name="protein_group", dtype=object))
    inside = [accessions_of(name) or [name] for name in names]
    out["uniprot"] = [one[0] for one in inside]
    out["uniprots"] = [";".join(one) for one in inside]
    for column in var.columns.drop(protein):
        if column in ("uniprot", "uniprots", "peptide", "charge"):
            continue
        if column == "gene":
            out["gene"] = by["gene"].agg(_commonest)
        elif (by[column].nunique(dropna=False) == 1).all():
            out[column] = by[column].first()
    out["n_ions"] = by.size()
    out["n_peptides"] = by["peptide"].nunique() if "peptide" in var else out["n_ions"]
    return out


def _commonest(genes: pd.Series[Any]) -> Any:
    counted = genes.dropna().value_counts()
    return min(counted.index[counted == counted.max()]) if len(counted) else None


def _check_counts(min_shared: int, components: str) -> None:
    if isinstance(min_shared, bool) or int(min_shared) != min_shared or min_shared < 1:
        raise FormatError(
            f"expected a whole number of ions from 1, found {min_shared!r}", where="min_shared"
        )
    if components not in ("largest", "all"):
        raise FormatError(f"expected 'largest' or 'all', found {components!r}", where="components")
