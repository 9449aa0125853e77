"""Choose the samples that are run again with the next project."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, FormatError
from ._layout import as_adata, is_assay, is_sample, lod_of, values_of
from ._normalization.usable import passing
from .normalization import NOT_PASSED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["select_bridges"]

Array = NDArray[np.float64]
_OUTLYING = 3.0


def select_bridges(
    adata: AnnData,
    n: int,
    *,
    max_below_lod: float = 0.25,
    exclude_qc: Collection[str] = NOT_PASSED,
    one_per_subject: bool = True,
) -> pd.DataFrame:
    """Choose samples to run again with the next project.

    Candidates are samples of people that passed the quality control on every panel, have few
    values below the limit of detection (or missing), and whose median and interquartile range
    lie within 3 SD of those of all candidates. They are ordered by their median and cut into
    `n` slices of equal size; of each slice one is taken: from the plate that has given fewest
    so far, then the one with fewest values below the limit, then the one nearest to the middle
    of its slice. So the bridges span the range of the data and the plates, and nothing is left
    to chance.

    Parameters
    ----------
    adata : anndata.AnnData
        Samples × assays, log2 scale. ``plate`` (in ``obs``, or per panel in ``obsm``) and
        ``obs["subject_id"]`` are used where they are.
    n : int
        How many. The vendor asks for 8 to 16 on Target 96 and the first four panels of Explore
        384, 16 to 24 on its other four, Explore 3072 and Reveal, 16 to 32 on Explore HT; and
        between products for 40 to 64 from Explore 3072 to HT, 32 to 48 from 3072 to Reveal, 24
        to 40 between HT and Reveal.
    max_below_lod : float, default 0.25
        Largest share of assays that may be below their limit, or missing.
    exclude_qc : collection of {"PASS", "WARN", "FAIL"}, default ("WARN", "FAIL")
        Verdicts that bar a sample.
    one_per_subject : bool, default True
        Take no second sample of a person while others are left in the slice.

    Returns
    -------
    pandas.DataFrame
        One row per bridge sample, index its id: ``median``, ``iqr``, ``below_lod``, ``slice``,
        and ``plate`` and ``subject_id`` where known. ``attrs["left_out"]`` counts who was no
        candidate, by reason.

    Raises
    ------
    FormatError
        When `n` isn't at least 1.
    AlignmentError
        When there are fewer than `n` candidates; it says why the others are none.

    Examples
    --------
    >>> import precisionpain as pp
    >>> table = select_bridges(pp.datasets.sample_tn().assays["csf_pea"], 8)
    >>> len(table), table["plate"].value_counts().tolist()
    (8, [4, 4])
    """
    adata = as_adata(adata)
    if n < 1:
        raise FormatError(f"expected at least 1 sample, found {n}", where="n")
    sample, columns = is_sample(adata), is_assay(adata)
    values = values_of(adata)[:, columns]
    limits = lod_of(adata)
    below = np.isnan(values)
    if limits is not None:
        below |= values < limits[:, columns]
    quartiles = _row_quartiles(values)
    table = pd.DataFrame(
        {
            "median": quartiles[1], "iqr": quartiles[2] - quartiles[0],
            "below_lod": below.mean(axis=1),
        },
        index=adata.obs_names,
    )  # fmt: skip
    passed = passing(adata, exclude_qc).all(axis=1)
    few = (table["below_lod"] <= max_below_lod).to_numpy()
    fit = sample & passed & few
    z = (table[["median", "iqr"]] - table.loc[fit, ["median", "iqr"]].mean()) / table.loc[
        fit, ["median", "iqr"]
    ].std()
    # No spread (NaN) means that nobody lies outside.
    usual = ~(z.abs() > _OUTLYING).any(axis=1).to_numpy()
    left_out = {
        "control samples": int((~sample).sum()),
        "did not pass": int((sample & ~passed).sum()),
        "below the limit": int((sample & passed & ~few).sum()),
        "outlying": int((fit & ~usual).sum()),
    }
    if "plate" in adata.obsm:
        # Each panel has its plates; together they tell where a sample lay.
        table["plate"] = adata.obsm["plate"].astype(str).agg(" / ".join, axis=1)
    elif "plate" in adata.obs:
        table["plate"] = adata.obs["plate"].astype(object)
    if "subject_id" in adata.obs:
        table["subject_id"] = adata.obs["subject_id"].astype(object)
    candidates = table[fit & usual].sort_values("median", kind="stable")
    if len(candidates) < n:
        raise AlignmentError(
            f"expected {n} candidates, found {len(candidates)} of {adata.n_obs} samples; left "
            f"out: {', '.join(f'{count} {reason}' for reason, count in left_out.items())}",
            where="adata", remedy="ask for fewer, or raise max_below_lod",
        )  # fmt: skip
    chosen = _one_of_each(candidates, n, one_per_subject)
    chosen.attrs["left_out"] = left_out
    return chosen


def _row_quartiles(values: Array) -> Array:
    """Return the quartiles of each row, without its missing values."""
    out = np.full((3, len(values)), np.nan)
    some = ~np.isnan(values).all(axis=1)
    if some.any():
        out[:, some] = np.nanquantile(values[some], [0.25, 0.5, 0.75], axis=1)
    return out


def _one_of_each(candidates: pd.DataFrame, n: int, one_per_subject: bool) -> pd.DataFrame:
    plates: dict[Any, int] = {}
    people: set[Any] = set()
    chosen, number = [], []
    for i, rows in enumerate(np.array_split(np.arange(len(candidates)), n)):
        own = candidates.iloc[rows]
        middle = (len(own) - 1) / 2
        order = pd.DataFrame(
            {
                "again": [one_per_subject and s in people for s in own["subject_id"]]
                if "subject_id" in own else False,
                "plate": [plates.get(p, 0) for p in own["plate"]] if "plate" in own else 0,
                "below": own["below_lod"].to_numpy(),
                "off": np.abs(np.arange(len(own)) - middle),
            }
        ).sort_values(["again", "plate", "below", "off"], kind="stable")  # fmt: skip
        best = own.iloc[int(order.index[0])]
        chosen.append(best.name)
        number.append(i + 1)
        if "plate" in own:
            plates[best["plate"]] = plates.get(best["plate"], 0) + 1
        if "subject_id" in own and best["subject_id"] is not None:
            people.add(best["subject_id"])
    return candidates.loc[chosen].assign(slice=number)
