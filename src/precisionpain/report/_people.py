"""One person under two ids, and what is known of each person in one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..cohort.keys import _canonical

Found = tuple[str, int, str]

_MOST_COMPARISONS = 2e7
_MOST_VALUES = 5e7
_BY_CHANCE = 1e-3  # pairs of people as alike as that, expected among all of them


def blocks(cohort: Cohort) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give each kind of data as one row per person; the clinical columns come first.

    Values of several samples of a person at a visit are averaged. Sides become the affected and
    the other one, where there is an affected side. Assays of single cells are left out.
    """
    yield "subjects", cohort.subjects[cohort.predictors]
    for name, table in cohort.measurements.items():
        yield name, _wide(_by_affected(table, cohort), cohort)
    for name in cohort.assays:
        adata = cohort._assay(name)
        if adata.X is None or not 0 < adata.n_obs * adata.n_vars <= _MOST_VALUES:
            continue
        keys = [key for key in ("subject_id", "visit", "specimen") if key in adata.obs]
        table = adata.to_df()
        table = pd.concat([adata.obs[keys].astype(object), table], axis=1)
        yield name, _wide(table[table["subject_id"].notna()], cohort)


def _by_affected(table: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    subjects = cohort.subjects
    if "side" not in table or "affected_side" not in subjects:
        return table
    affected = table["subject_id"].map(subjects["affected_side"])
    same = (affected == table["side"]) | (affected == "bilateral")
    side = np.where(affected.isna(), "either", np.where(same, "affected", "other"))
    return table.assign(side=side)


def _wide(table: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    keys = [
        key for key in ("visit", "specimen", "side") if key in table and table[key].notna().any()
    ]
    values = table.drop(columns=["subject_id", "visit", "specimen", "side", "run"], errors="ignore")
    numbers = values.select_dtypes(["number", "bool"]).astype(float)
    by = [table["subject_id"].to_numpy(dtype=object)]
    by += [table[key].astype(object).fillna("").to_numpy() for key in keys]
    wide = numbers.groupby(by).mean()
    if keys:
        wide = pd.DataFrame(wide.unstack(list(range(1, len(by)))))
        wide.columns = pd.Index([":".join(map(str, names)) for names in wide.columns])
    return wide.reindex(cohort.subject_ids)


def spelled_alike(cohort: Cohort) -> Iterator[Found]:
    """Find ids that differ by padding, case or the prefix alone."""
    spelled = pd.Series([_canonical(one) for one in cohort.subject_ids])
    twice = spelled.duplicated(keep=False)
    if twice.any():
        n = int(twice.sum())
        rows = _rows(np.flatnonzero(twice))
        yield "", n, f"{n} ids equal another up to padding, case or the prefix 'sub-' ({rows})"


def look_alikes(cohort: Cohort) -> Iterator[Found]:
    """Find people whose values agree more than chance allows, and scans that stand twice."""
    for name, frame in blocks(cohort):
        known, pairs = _pairs(frame)
        if pairs:
            rows = "; ".join(_rows(pair) for pair in pairs[:3])
            more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
            people = len({person for pair in pairs for person in pair})
            text = f"{len(pairs)} pairs" if len(pairs) > 1 else "1 pair"
            yield name, people, f"{text} with (nearly) the same {known} values ({rows}{more})"
    images = cohort.images
    if "sha256" in images:
        files = images[images["sha256"].notna()]
        owners = files.groupby("sha256")["subject_id"].nunique()
        shared = files[files["sha256"].isin(owners.index[owners > 1])]
        for contrast, files in shared.groupby("contrast", sort=False):
            n = int(files["subject_id"].nunique())
            yield str(contrast), n, f"{n} people share a file with somebody"


def _rows(positions: Any) -> str:
    shown = ", ".join(str(int(position)) for position in positions[:6])
    return f"rows {shown}" + (" …" if len(positions) > 6 else "")


def _pairs(frame: pd.DataFrame) -> tuple[int, list[tuple[int, int]]]:
    """Return how many values were compared, and the pairs of rows that agree in them.

    A value that many share tells little. What counts is the chance that two people agree in so
    many columns, were the columns independent; 1 column in 10 may differ.
    """
    values = _as_numbers(frame)
    n = len(values)
    if n < 2:
        return 0, []
    most = int(np.clip(_MOST_COMPARISONS / n**2, 10, 100))
    with np.errstate(invalid="ignore"):
        spread = np.array([np.nanstd(v) if np.isfinite(v).any() else 0.0 for v in values.T])
    varies = np.flatnonzero(spread > 0)
    chosen = varies[np.unique(np.linspace(0, len(varies) - 1, most).astype(int))] if len(
        varies) else varies  # fmt: skip
    both = np.zeros((n, n), dtype=np.int16)
    agree = np.zeros((n, n), dtype=np.int16)
    telling = np.zeros((n, n), dtype=np.float32)
    for column in chosen:
        one = values[:, column]
        near = np.abs(one[:, None] - one[None, :]) <= 1e-3 * spread[column]  # NaN is near nothing
        there = np.isfinite(one)
        n_known = int(there.sum())
        share = max((near.sum() - n_known) / max(n_known * (n_known - 1), 1), 1 / max(n_known, 2))
        both += there[:, None] & there[None, :]
        agree += near
        telling += near * np.float32(-np.log(share))
    enough = np.log(n * (n - 1) / 2) - np.log(_BY_CHANCE)
    alike = (telling >= enough) & (agree >= 0.9 * both) & (agree >= 4)
    first, second = np.nonzero(np.triu(alike, 1))
    return len(chosen), list(zip(first.tolist(), second.tolist(), strict=True))


def _as_numbers(frame: pd.DataFrame) -> np.ndarray:
    columns = []
    for name in frame:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            columns.append(values.to_numpy(dtype=float, na_value=np.nan))
        else:
            codes = pd.factorize(values)[0].astype(float)
            columns.append(np.where(codes < 0, np.nan, codes))
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))
