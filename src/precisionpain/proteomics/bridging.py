"""Bring projects of two products to one scale.

Within a product `bridge_normalize` shifts each assay. Between products an assay may have another
scale, and each gets its own recommendation.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DataWarning, FormatError, list_some
from ._layout import as_adata, check_log2, values_of
from ._normalization.crossing import Crossing, cross, joined
from ._normalization.products import compare, smooth_quantiles
from ._normalization.recommended import bridges_between
from .normalization import NOT_PASSED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["bridgeability", "cross_product_normalize"]

Array = NDArray[np.float64]


def bridgeability(
    reference: AnnData,
    new: AnnData,
    bridge_ids: Iterable[Any] | Mapping[Any, Any],
    *,
    mapping: Mapping[str, str] | pd.Series | None = None,
    on: str | None = None,
    exclude_qc: Collection[str] = NOT_PASSED,
) -> pd.DataFrame:
    """Say of each assay of two products whether, and how, one can be brought to the other.

    Of the bridge samples only values count that have more than 10 counts and lie within
    median ± 3 IQR, in both products. An assay is not bridgeable when its spans (90% − 10%
    quantile) differ by more than 1 NPX, and the median count of either product is below 150,
    and r² is below 0.8, all three. Else, with their medians brought together, it is compared
    by the Kolmogorov–Smirnov statistic: up to 0.2 a shift is enough, beyond it quantiles are
    mapped.

    Parameters
    ----------
    reference, new : anndata.AnnData
        Samples × assays in NPX; counts in the layer ``count``. Explore HT or Reveal is the
        reference of Explore 3072.
    bridge_ids, on, exclude_qc
        As for `bridge_normalize`.
    mapping : mapping of new assay to reference assay, optional
        Several assays of the new product may go to one of the reference. By default assays of
        the same name.

    Returns
    -------
    pandas.DataFrame
        One row per pair of assays, index the assay of the new product: ``reference_assay``,
        ``gene``, ``n_bridges``, ``shift`` (NPX), ``range_difference`` (NPX), ``r2``,
        ``median_count``, ``ks``, ``recommendation`` (``"median"``, ``"quantile"`` or
        ``"not_bridgeable"``).

    Raises
    ------
    AlignmentError
        When bridge ids are absent, there twice or of control samples; when no assay matches.

    Warns
    -----
    DataWarning
        With fewer bridge samples than asked for (40 to 64 from Explore 3072 to HT, 32 to 48 to
        Reveal, 24 to 40 between HT and Reveal); without counts, when the other two criteria
        decide alone.

    References
    ----------
    Olink Proteomics. Bridging across NGS-based Olink products, tutorial of 2025.

    Examples
    --------
    >>> import precisionpain as pp, warnings
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> people = adata[adata.obs["sample_type"] == "SAMPLE"]
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", pp.errors.DataWarning)
    ...     table = bridgeability(people, people, people.obs_names)
    >>> table["recommendation"].unique().tolist()
    ['median']
    """
    crossing = _crossing(reference, new, bridge_ids, mapping, on, exclude_qc)
    return _compared(crossing)


def cross_product_normalize(
    reference: AnnData,
    new: AnnData,
    bridge_ids: Iterable[Any] | Mapping[Any, Any],
    *,
    mapping: Mapping[str, str] | pd.Series | None = None,
    on: str | None = None,
    projects: tuple[str, str] = ("reference", "new"),
    exclude_qc: Collection[str] = NOT_PASSED,
    keep_bridges: bool = False,
) -> AnnData:
    """Bring a project of one product to the scale of another, each assay as `bridgeability` says.

    Parameters
    ----------
    reference, new, bridge_ids, mapping, on, exclude_qc
        As for `bridgeability`.
    projects : tuple of str, default ("reference", "new")
        Names, for ``obs["project"]``.
    keep_bridges : bool, default False
        Keep the new project's copy of each bridge sample too.

    Returns
    -------
    anndata.AnnData
        The samples of both. A bridgeable pair is one column, called
        ``"REFERENCE_NEW"`` where the names differ; an assay that is not bridgeable, or that
        only one product has, keeps a column for each product, with NaN for the other.
        ``X`` is by the recommendation; the layers ``median_centered`` and
        ``quantile_smoothed`` hold both ways for every pair that was compared, and ``measured``
        the values as they were. ``var`` has the table of `bridgeability`. Limits of detection
        of the new project are the highest of the reference in bridged columns, as the vendor
        advises.

    Raises
    ------
    AlignmentError, FormatError
        As of `bridgeability`.

    Warns
    -----
    DataWarning
        As of `bridgeability`; and when too few bridge samples were left to map quantiles, so
        that the shift is taken instead.

    References
    ----------
    Olink Proteomics. Bridging across NGS-based Olink products, tutorial of 2025.

    Examples
    --------
    >>> import precisionpain as pp, warnings
    >>> adata = pp.datasets.sample_tn().assays["csf_pea"]
    >>> first = adata[adata.obs["sample_type"] == "SAMPLE"].copy()
    >>> second = first.copy()
    >>> second.X = second.X + 2.0
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", pp.errors.DataWarning)
    ...     both = cross_product_normalize(first, second, list(first.obs_names),
    ...                                    keep_bridges=True)
    >>> moved = both[both.obs["project"] == "new"]
    >>> bool(abs(moved.X - first.X).max() < 1e-9)
    True
    """
    if isinstance(projects, str) or len(projects) != 2 or projects[0] == projects[1]:
        raise FormatError(f"expected two different names, found {projects!r}", where="projects")
    crossing = _crossing(reference, new, bridge_ids, mapping, on, exclude_qc)
    table = _compared(crossing)
    values = values_of(crossing.new)
    smooth = np.full((len(values), len(table)), np.nan)
    for j in range(len(table)):
        smooth[:, j] = smooth_quantiles(
            *crossing.pair(j), values[:, crossing.columns[1][j]], *crossing.counts(j)
        )
    wanted = (table["recommendation"] == "quantile").to_numpy()
    unmapped = wanted & np.isnan(smooth).all(axis=0)
    if unmapped.any():
        warnings.warn(
            DataWarning(
                f"{int(unmapped.sum())} assays have too few bridge samples to map quantiles and "
                f"are shifted: {list_some(table.index[unmapped])}"
            ),
            stacklevel=2,
        )
        table.loc[unmapped, "recommendation"] = "median"
    return joined(crossing, table, values, smooth, projects, keep_bridges)


def _crossing(
    reference: Any,
    new: Any,
    bridge_ids: Any,
    mapping: Mapping[str, str] | pd.Series | None,
    on: str | None,
    exclude_qc: Collection[str],
) -> Crossing:
    old, other = as_adata(reference, what="reference"), as_adata(new, what="new")
    check_log2(old, where="reference")
    check_log2(other, where="new")
    crossing = cross(old, other, bridge_ids, mapping, on, exclude_qc)
    fewest, most = bridges_between(other, old)
    if (n := len(crossing.rows[0])) < fewest:
        warnings.warn(
            DataWarning(
                f"{n} bridge samples; at least {fewest}, better {most}, are asked for between "
                "these products"
            ),
            stacklevel=3,
        )
    if crossing.counted is None:
        warnings.warn(
            DataWarning(
                "no layer 'count' in both projects: whether an assay is bridgeable is decided by "
                "spans and r² alone"
            ),
            stacklevel=3,
        )
    return crossing


def _compared(crossing: Crossing) -> pd.DataFrame:
    """Return the table of `bridgeability`."""
    found = [compare(*crossing.pair(j), *crossing.counts(j)) for j in range(crossing.n_pairs)]
    table = pd.DataFrame(found, index=crossing.names[1]).rename(columns={"n": "n_bridges"})
    table.insert(0, "reference_assay", crossing.names[0].to_numpy())
    if "gene" in crossing.reference.var:
        genes = crossing.reference.var["gene"].astype(object)
        table.insert(1, "gene", genes.reindex(crossing.names[0]).to_numpy())
    table["n_bridges"] = table["n_bridges"].astype(int)
    few_counts = (table["median_count"] < 150) | table["median_count"].isna()
    never = (table["range_difference"] > 1) & few_counts & (table["r2"] < 0.8)
    unknown = table["shift"].isna()
    table["recommendation"] = np.select(
        [unknown | never, table["ks"] <= 0.2], ["not_bridgeable", "median"], "quantile"
    )
    return table
