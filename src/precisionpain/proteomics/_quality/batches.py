"""Effects of plate, site or batch, and whether they can be told from the groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ...errors import FormatError
from ...stats.contingency import chi_square
from .findings import Findings
from .rules import Array, Measured, plates_of

__all__ = ["check_batches", "check_confounding", "kruskal"]

BATCHES = ("plate", "site", "batch", "project")
# Fewer samples than this say nothing of a plate.
_LEAST = 3


def kruskal(x: Array, codes: np.ndarray) -> tuple[Array, Array, Array]:
    """Test each column for a shift between groups (Kruskal & Wallis 1952), all at once.

    Parameters
    ----------
    x : ndarray of shape (samples, columns)
        NaN is left out.
    codes : ndarray of int of shape (samples,)
        The group of each sample, from 0.

    Returns
    -------
    h : ndarray
        The statistic, corrected for ties.
    p : ndarray
        From χ²; NaN where fewer than two groups have values, or all are equal.
    share : ndarray
        ε² = H / (n − 1), the share of the variance of the ranks that lies between groups.
    """
    ranks = pd.DataFrame(x).rank().to_numpy()
    there = ~np.isnan(ranks)
    member = np.eye(codes.max() + 1)[codes].T
    n = there.sum(axis=0)
    n_group = member @ there
    centred = np.where(there, ranks - (n + 1) / 2, 0.0)
    between = ((member @ centred) ** 2 / np.maximum(n_group, 1)).sum(axis=0)
    total = (centred**2).sum(axis=0)
    df = (n_group > 0).sum(axis=0) - 1
    testable = (df > 0) & (total > 0)
    share = np.where(testable, between / np.where(total > 0, total, 1), np.nan)
    h = share * (n - 1)
    p = np.where(testable, stats.chi2.sf(h, np.maximum(df, 1)), np.nan)
    return h, p, share


def _names(m: Measured, batch: str | list[str] | None) -> list[str]:
    """Return which groupings to look at: those asked for, or the usual ones that are there."""
    if batch is None:
        return [name for name in BATCHES if plates_of(m.adata, name) is not None]
    names = [batch] if isinstance(batch, str) else list(batch)
    absent = [name for name in names if plates_of(m.adata, name) is None]
    if absent:
        raise FormatError(
            f"expected the column {absent[0]!r}, found {list(m.adata.obs.columns)}",
            where="adata.obs",
            remedy="name in batch= what groups the samples, for example 'plate'",
        )
    return names


def _groups(said: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Return the group of each sample (−1: unknown, or too small) and the names of groups."""
    counts = said.value_counts()
    large = counts[counts >= _LEAST].index
    codes, names = pd.factorize(said.where(said.isin(large)), sort=True)
    return codes, pd.Index(names)


def check_batches(m: Measured, batch: str | list[str] | None, fdr: float, found: Findings) -> None:
    """Test every assay for a shift between plates, sites or batches."""
    for name in _names(m, batch):
        said = plates_of(m.adata, name)
        assert said is not None
        said = said[m.rows]
        tests = []
        for panel, of_panel in m.panels():
            if panel not in said:
                continue
            codes, levels = _groups(said[panel])
            if len(levels) < 2:
                continue
            use = codes >= 0
            x = m.x[np.ix_(use, of_panel)]
            _, p, share = kruskal(x, codes[use])
            medians = pd.DataFrame(x).groupby(codes[use]).median().to_numpy()
            apart = np.fmax.reduce(medians) - np.fmin.reduce(medians)
            tests.append(
                pd.DataFrame(
                    {"assay": m.assays[of_panel], "p": p, "share": share, "apart": apart}
                ).assign(n=use.sum(), groups=len(levels))
            )
        if tests:
            _report(name, pd.concat(tests, ignore_index=True), fdr, found)


def _report(name: str, tests: pd.DataFrame, fdr: float, found: Findings) -> None:
    tests = tests[tests["p"].notna()].copy()
    if tests.empty:
        return
    tests["q"] = stats.false_discovery_control(tests["p"])
    hits = tests[tests["q"] < fdr].sort_values("p", kind="stable")
    if hits.empty:
        return
    found.add(
        "batch_effect", "warning", "data", name,
        f"{len(hits)} of {len(tests)} assays differ between {name}s (FDR {fdr:g})",
        n=len(hits), share=len(hits) / len(tests),
    )  # fmt: skip
    for row in hits.to_dict("records"):
        found.add(
            "batch_effect", "note", "assay", row["assay"],
            f"medians of {row['groups']} {name}s lie up to {row['apart']:.2f} apart "
            f"(Kruskal–Wallis q = {row['q']:.2g})",
            n=row["n"], share=row["share"],
        )  # fmt: skip


def check_confounding(
    m: Measured, batch: str | list[str] | None, group: str | None, found: Findings
) -> None:
    """Look whether groups of people lie on plates of their own."""
    names = _names(m, batch)
    obs = m.obs
    if "subject_id" in obs:
        for name in names:
            _check_split(m, name, found)
    if group is None:
        return
    if group not in obs:
        raise FormatError(
            f"expected the column {group!r}, found {list(obs.columns)}",
            where="adata.obs",
            remedy="group= names the column of obs that holds what will be compared",
        )
    for name in names:
        said = plates_of(m.adata, name)
        assert said is not None
        # Panels mostly share their plates; each different layout is looked at once.
        layouts = {tuple(column): column for _, column in said[m.rows].items()}
        for column in layouts.values():
            table = pd.crosstab(column.astype(object), obs[group].astype(object))
            if min(table.shape) >= 2:
                _confounded(name, group, table, found)


def _confounded(name: str, group: str, table: pd.DataFrame, found: Findings) -> None:
    n = int(table.to_numpy().sum())
    test = chi_square(table.to_numpy(), yates=False)
    v = float(np.sqrt(test.statistic / (n * (min(table.shape) - 1))))
    p = test.p_value if np.isnan(test.fisher_p) else test.fisher_p
    item = f"{name} × {group}"
    if ((table > 0).sum(axis=1) == 1).all():
        found.add(
            "confounded", "error", "data", item,
            f"each {name} holds one {group} only: their effects can't be told apart",
            n=n, share=v,
        )  # fmt: skip
    elif p < 0.05:
        found.add(
            "confounded", "warning", "data", item,
            f"{group} is spread unevenly over {name}s (Cramér's V = {v:.2f}, p = {p:.2g})",
            n=n, share=v,
        )  # fmt: skip


def _check_split(m: Measured, name: str, found: Findings) -> None:
    said = plates_of(m.adata, name)
    assert said is not None
    of_person = said[m.rows].groupby(m.obs["subject_id"].to_numpy()).nunique()
    split = (of_person > 1).any(axis=1)
    if split.any():
        found.add(
            "split_subject", "note", "data", name,
            f"{int(split.sum())} of {len(split)} people have samples on several {name}s: "
            "differences between their visits hold a difference between these",
            n=int(split.sum()), share=split.mean(),
        )  # fmt: skip
