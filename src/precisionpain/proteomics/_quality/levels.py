"""Checks of the values: missing, constant, failed, below detection, outlying."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ...errors import list_some
from .._layout import QC, lod_of
from .findings import Findings
from .rules import Array, Measured, below_lod, missing_share, qc_codes, quantile

__all__ = [
    "check_below_lod",
    "check_missing",
    "check_outliers",
    "check_proteins",
    "check_qc",
    "sample_spread",
]

# SD of a normal distribution over its median absolute deviation.
MAD = 1.482602218505602


def check_missing(m: Measured, limit: float, found: Findings) -> None:
    """Look for assays and samples that are empty or miss much, and for constant assays."""
    if not m.x.size:
        return
    total = np.isnan(m.x).mean()
    if total > 0:
        n = int(np.isnan(m.x).sum())
        found.add("missing", "note", "data", "X", f"{total:.1%} missing", n=n, share=total)
    for axis, names, what in ((0, m.assays, "assay"), (1, m.samples, "sample")):
        share = missing_share(m.x, axis)
        counts = np.isnan(m.x).sum(axis=axis)
        for i in np.flatnonzero(share == 1):
            found.add(
                "empty", "warning", what, names[i],
                "no value at all", n=counts[i], share=1.0,
                action=f"remove_{what}",
            )  # fmt: skip
        for i in np.flatnonzero((share > limit) & (share < 1)):
            found.add(
                "missing", "warning", what, names[i],
                f"{share[i]:.0%} missing", n=counts[i], share=share[i],
                action=f"remove_{what}",
            )  # fmt: skip
    n = (~np.isnan(m.x)).sum(axis=0)
    low = np.where(np.isnan(m.x), np.inf, m.x).min(axis=0)
    high = np.where(np.isnan(m.x), -np.inf, m.x).max(axis=0)
    for i in np.flatnonzero((n > 1) & (low == high)):
        found.add(
            "constant", "warning", "assay", m.assays[i],
            f"all {n[i]} values are {low[i]:.4g}", n=n[i], share=1.0,
        )  # fmt: skip


def check_qc(m: Measured, found: Findings) -> None:
    """Count what failed the quality control of the laboratory, or got a warning."""
    cells = np.ix_(m.rows, m.columns)
    codes = qc_codes(m.adata, "sample_qc")
    if codes is not None and m.x.size:
        _check_sample_qc(m, codes[cells], found)
    codes = qc_codes(m.adata, "assay_qc")
    if codes is not None and m.x.size:
        for word, grave in (("FAIL", "warning"), ("WARN", "note")):
            hit = codes[cells] == QC[word]
            for i in np.flatnonzero(hit.any(axis=0)):
                found.add(
                    "assay_qc", grave, "assay", m.assays[i],
                    f"{word} in {hit[:, i].sum()} of {len(hit)} samples",
                    n=hit[:, i].sum(), share=hit[:, i].mean(),
                    action="mask",
                )  # fmt: skip


def _check_sample_qc(m: Measured, codes: Array, found: Findings) -> None:
    panels = m.panels()
    for word, grave in (("FAIL", "warning"), ("WARN", "note")):
        hit = codes == QC[word]
        for i in np.flatnonzero(hit.any(axis=1)):
            on = [name for name, of_panel in panels if name and hit[i, of_panel].any()]
            where = f" on {list_some(on)}" if on else ""
            found.add(
                "sample_qc", grave, "sample", m.samples[i],
                f"{word}{where}: {hit[i].sum()} of {hit.shape[1]} assays",
                n=hit[i].sum(), share=hit[i].mean(),
                action="mask",
            )  # fmt: skip


def check_below_lod(m: Measured, limit: float, found: Findings) -> None:
    """Flag assays and samples that lie mostly below the limit of detection."""
    below = below_lod(m.adata, m.values)
    lod = lod_of(m.adata)
    if below is None or lod is None or not m.x.size:
        return
    cells = np.ix_(m.rows, m.columns)
    below = below[cells]
    judged = ~np.isnan(m.x) & ~np.isnan(np.broadcast_to(lod, m.values.shape)[cells])
    if below.any():
        n, share = int(below.sum()), below.sum() / judged.sum()
        found.add(
            "below_lod", "note", "data", "X",
            f"{share:.1%} below the limit of detection; kept as measured", n=n, share=share,
        )  # fmt: skip
    for axis, names, what in ((0, m.assays, "assay"), (1, m.samples, "sample")):
        n_below = below.sum(axis=axis)
        n_judged = judged.sum(axis=axis)
        share_of = n_below / np.maximum(n_judged, 1)
        for i in np.flatnonzero(share_of > limit):
            found.add(
                "below_lod", "warning", what, names[i],
                f"{n_below[i]} of {n_judged[i]} values below the limit of detection; kept",
                n=n_below[i], share=share_of[i],
            )  # fmt: skip


def sample_spread(m: Measured, n_sd: float) -> pd.DataFrame:
    """Return median and IQR of each sample on each panel, with the limits for outliers.

    Parameters
    ----------
    m : Measured
        Samples × assays.
    n_sd : float
        Limits are the mean of all samples of the panel ± this many SD.

    Returns
    -------
    pandas.DataFrame
        One row per sample and panel: ``sample``, ``panel``, ``median``, ``iqr``, the limits
        ``median_low``, ``median_high``, ``iqr_low``, ``iqr_high``, and ``outlier``.
    """
    tables = []
    for panel, of_panel in m.panels():
        x = m.x[:, of_panel]
        table = pd.DataFrame(
            {
                "sample": m.samples,
                "panel": panel,
                "median": quantile(x, 0.5),
                "iqr": quantile(x, 0.75) - quantile(x, 0.25),
            }
        )
        beyond = np.zeros(len(table), dtype=bool)
        for name in ("median", "iqr"):
            mean, sd = table[name].mean(), table[name].std(ddof=1)
            table[f"{name}_low"], table[f"{name}_high"] = mean - n_sd * sd, mean + n_sd * sd
            low, high = table[f"{name}_low"], table[f"{name}_high"]
            beyond |= ((table[name] < low) | (table[name] > high)).to_numpy()
        table["outlier"] = beyond
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def check_outliers(m: Measured, n_sd: float, found: Findings) -> None:
    """Look for samples whose median or IQR lies far from those of the other samples."""
    if not m.x.size:
        return
    spread = sample_spread(m, n_sd)
    for row in spread[spread["outlier"]].to_dict("records"):
        which = [
            f"{said} {row[name]:.2f} outside {row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f}"
            for name, said in (("median", "median"), ("iqr", "IQR"))
            if not row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        ]
        on = f"panel {row['panel']!r}: " if row["panel"] else ""
        found.add(
            "outlier", "warning", "sample", row["sample"],
            f"{on}{' and '.join(which)}", n=1, action="remove_sample",
        )  # fmt: skip


def check_proteins(m: Measured, n_sd: float, found: Findings) -> None:
    """Look at how many proteins each sample has, and at what the missing ones have in common.

    Parameters
    ----------
    m : Measured
        Samples × protein groups.
    n_sd : float
        Few proteins: below the median of all samples by this many SD (by the median absolute
        deviation) and by a tenth.
    found : Findings
        Takes what is found.
    """
    if not m.x.size:
        return
    there = ~np.isnan(m.x)
    n = there.sum(axis=1)
    middle = float(np.median(n))
    found.add(
        "n_proteins", "note", "data", "X",
        f"{middle:g} proteins in the median sample ({n.min()} to {n.max()} of {m.x.shape[1]})",
        n=int(middle), share=middle / m.x.shape[1],
    )  # fmt: skip
    scale = MAD * float(np.median(np.abs(n - middle)))
    for i in np.flatnonzero(n < middle - max(n_sd * scale, 0.1 * middle)):
        found.add(
            "n_proteins", "warning", "sample", m.samples[i],
            f"{n[i]} proteins, {middle:g} in the median sample",
            n=n[i], share=n[i] / m.x.shape[1], action="remove_sample",
        )  # fmt: skip
    share = 1 - there.mean(axis=0)
    some = (share > 0) & (share < 1)
    if some.sum() >= 10:
        mean = np.nansum(m.x[:, some], axis=0) / there[:, some].sum(axis=0)
        rho, p = stats.spearmanr(mean, share[some])
        if rho < 0 and p < 0.05:
            found.add(
                "missing_not_at_random", "note", "data", "X",
                f"the lower a protein the more often it is missing (Spearman ρ = {rho:.2f}): "
                "fill by a left-censored model, not by neighbours",
                n=int(some.sum()), share=some.mean(),
            )  # fmt: skip
    if "n_peptides" in m.var:
        single = (m.var["n_peptides"] == 1).to_numpy()
        if single.any():
            found.add(
                "n_peptides", "note", "data", "n_peptides",
                f"{int(single.sum())} proteins rest on one peptide: "
                f"{list_some(m.assays[single], 3)}",
                n=int(single.sum()), share=single.mean(),
            )  # fmt: skip
