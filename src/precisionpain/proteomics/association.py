"""Proteins against something else of the same people: another specimen, or the nerve's image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ..cohort import Cohort
from ..errors import AlignmentError, FormatError, MissingModalityError, list_some
from ..stats.multiplicity import adjust_p
from ._layout import as_adata, check_log2, is_assay, values_of
from ._match import split_names
from ._pairwise import deming, interval, partial, pearson, ranked, sided_measures
from ._people import keys_of, matched, of_visit, one_specimen, people_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["csf_plasma_agreement", "radiogenomic"]

Array = NDArray[np.float64]


def csf_plasma_agreement(
    csf: AnnData,
    plasma: AnnData,
    *,
    by: Literal["assay", "uniprot", "gene"] = "assay",
    visit: str | None = None,
    error_ratio: float = 1.0,
    confidence: float = 0.95,
    min_n: int = 8,
) -> pd.DataFrame:
    """Compare each protein's level in cerebrospinal fluid with that in plasma of the same person.

    Parameters
    ----------
    csf, plasma : anndata.AnnData
        Samples × proteins, log2, with ``subject_id`` in ``obs``. Samples are joined by
        ``subject_id``, and by ``visit`` where both have it; never by their order.
    by : {"assay", "uniprot", "gene"}, default "assay"
        How proteins are joined: by ``var_names``, or a column of ``var`` (all pairs where one
        protein has several assays; a group by its first member).
    visit : str, optional
        Which visit; needed where people have several.
    error_ratio : float, default 1.0
        For Deming's line: variance of the error in plasma over that in CSF.
    confidence : float, default 0.95
        Level of the intervals.
    min_n : int, default 8
        Proteins with fewer pairs get no statistics.

    Returns
    -------
    pandas.DataFrame
        One row per pair of assays: ``csf``, ``plasma`` (``var_names``), ``gene``, ``n``;
        ``pearson, pearson_low, pearson_high, pearson_p``; the same for ``spearman``;
        ``q_value`` (of Spearman, over all rows); ``limit_z`` (Bland–Altman on z within each
        specimen: the difference lies within ± this in 95% of people); ``slope, slope_low,
        slope_high, intercept`` (Deming, plasma on CSF, limits by the jackknife). ``attrs``
        counts people joined and left out.

    Raises
    ------
    FormatError
        When both are the same specimen, or a person has several samples.
    AlignmentError
        When no person, or no protein, is in both.

    References
    ----------
    Bonett & Wright, Psychometrika 65, 23 (2000), for the interval of Spearman's; Linnet,
    Statistics in Medicine 9, 1463 (1990), for Deming's line.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80)
    >>> table = pp.proteomics.csf_plasma_agreement(
    ...     cohort.assays["csf_pea"], cohort.assays["plasma_pea"], visit="preop")
    >>> len(table), bool((table["n"] == table.attrs["n_people"]).all())
    (92, True)
    """
    sides, keys, specimens = [], [], []
    for adata, name in ((csf, "csf"), (plasma, "plasma")):
        part = of_visit(as_adata(adata, what=name), visit, name)
        check_log2(part, where=name)
        rows = np.ones(part.n_obs, dtype=bool)
        one_specimen(part, rows, name)
        people_of(part, rows, name)
        sides.append(part)
        specimens.append(set(part.obs.get("specimen", pd.Series(dtype=object)).dropna()))
    if specimens[0] and specimens[0] == specimens[1]:
        raise FormatError(f"both are {list_some(specimens[0])}", where="csf and plasma")
    keys = keys_of(sides[0].obs, sides[1].obs)
    own, other = matched(*keys)
    if not len(own):
        raise AlignmentError("no person has both specimens at one visit", where="csf and plasma")
    first, second, names = _paired_assays(sides[0], sides[1], by)
    x, y = values_of(sides[0])[own][:, first], values_of(sides[1])[other][:, second]
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, np.nan), np.where(both, y, np.nan)
    n = both.sum(axis=0)
    few = n < max(min_n, 4)
    table = pd.DataFrame({**names, "n": n})
    for kind, (a, b) in {"pearson": (x, y), "spearman": (ranked(x), ranked(y))}.items():
        r = np.where(few, np.nan, pearson(a, b))
        table[kind], table[f"{kind}_low"], table[f"{kind}_high"], table[f"{kind}_p"] = interval(
            r, n, 0, kind, confidence
        )
    table["q_value"] = adjust_p(table["spearman_p"])
    # z has variance 1 in both, so the variance of the difference is 2 (1 − r).
    table["limit_z"] = 1.959964 * np.sqrt(2 * (1 - table["pearson"]))
    line = deming(x, y, error_ratio, confidence)
    for name, value in line.items():
        table[name] = np.where(few | table["pearson"].isna(), np.nan, value)
    table.attrs = {
        "n_people": len(own),
        "n_csf_only": len(keys[0]) - len(own),
        "n_plasma_only": len(keys[1]) - len(own),
    }
    return table


def _paired_assays(
    first: AnnData, second: AnnData, by: str
) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, Any]]:
    """Return the columns that measure the same protein."""
    named = []
    for adata, where in ((first, "csf"), (second, "plasma")):
        if by == "assay":
            names = pd.Series(adata.var_names)
        elif by in ("uniprot", "gene") and by in adata.var:
            names = adata.var[by].map(lambda value: next(iter(split_names(value)), None))
        else:
            raise FormatError(
                f"expected by= 'assay', or a column 'uniprot' or 'gene' of var, found {by!r}",
                where=f"{where}.var",
            )
        real = is_assay(adata) & names.notna().to_numpy()
        named.append(pd.DataFrame({"name": names.to_numpy()[real], "place": np.flatnonzero(real)}))
    pairs = named[0].merge(named[1], on="name", suffixes=("_1", "_2"))
    if pairs.empty:
        raise AlignmentError(
            f"no protein is in both (joined by {by})",
            where="csf and plasma",
            remedy="join by='uniprot' where the assays come from different products",
        )
    one, two = pairs["place_1"].to_numpy(), pairs["place_2"].to_numpy()
    gene = first.var["gene"].to_numpy()[one] if "gene" in first.var else pairs["name"].to_numpy()
    return (
        one,
        two,
        {"csf": first.var_names[one], "plasma": second.var_names[two], "gene": gene},
    )


def radiogenomic(
    data: AnnData | Cohort,
    measures: pd.DataFrame | str,
    *,
    assay: str | None = None,
    columns: Sequence[str] | None = None,
    covariates: Sequence[str] = (),
    side: Literal["affected", "contralateral", "mean"] = "affected",
    visit: str | None = None,
    method: Literal["pearson", "spearman"] = "pearson",
    confidence: float = 0.95,
    min_n: int = 10,
) -> pd.DataFrame:
    """Relate every protein to every measure of the nerve, with covariates held fixed.

    For each pair: the partial correlation, and the slope of the linear model *protein ~
    measure + covariates*. People are joined by ``subject_id`` (and ``visit`` where both tables
    have it), never by row.

    Parameters
    ----------
    data : anndata.AnnData or Cohort
        Proteins on the log2 scale; one specimen, one sample per person.
    measures : pandas.DataFrame or str
        A table with ``subject_id`` (a column or the index), optionally ``visit``, one row per
        person; or for a Cohort the name of a measurement table. A table with ``side``
        (anatomical left and right) needs a Cohort, which knows the affected side.
    assay : str, optional
        For a Cohort: which assay.
    columns : sequence of str, optional
        Which measures; by default all numbers.
    covariates : sequence of str, default ()
        Columns of ``obs``, or of ``subjects`` for a Cohort. Text becomes one flag per level
        but the first. People who lack one are left out, and counted.
    side : {"affected", "contralateral", "mean"}, default "affected"
        Which nerve. In bilateral disease "affected" is the mean of both; people without an
        affected side (controls) have only "mean".
    visit : str, optional
        Which visit; needed where people have several.
    method : {"pearson", "spearman"}, default "pearson"
        "spearman" ranks protein, measure and covariates first; the slope is then of the ranks.
    confidence : float, default 0.95
        Level of the intervals.
    min_n : int, default 10
        Pairs with fewer people get no statistics and don't count in the false discovery rate.

    Returns
    -------
    pandas.DataFrame
        One row per protein and measure, smallest p first: ``protein`` (``var_names``),
        ``gene``, ``measure``, ``n``, ``r, ci_low, ci_high, p_value, q_value`` (Benjamini–
        Hochberg over all pairs), ``slope, slope_low, slope_high`` (log2 per unit of the
        measure), ``df``. ``attrs``: ``n_people`` joined, ``n_proteins_only``,
        ``n_measures_only``, ``n_without_covariates``, ``side``, ``covariates``.

    Raises
    ------
    FormatError
        When a person has several rows, specimens are mixed, or a column isn't a number.
    AlignmentError
        When no person is in both tables.
    MissingModalityError
        When a table, column or side is missing.

    Notes
    -----
    An association between people isn't a mechanism: age, site and severity move both. Name
    them as covariates.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80)
    >>> table = pp.proteomics.radiogenomic(
    ...     cohort, "nerve_measures", assay="csf_pea", visit="preop",
    ...     columns=["min_area_mm2", "gap_mm"], covariates=["age", "sex"])
    >>> len(table), table.attrs["side"]
    (184, 'affected')
    """
    if method not in ("pearson", "spearman"):
        raise FormatError(f"method is 'pearson' or 'spearman', found {method!r}")
    if isinstance(data, Cohort):
        if assay is None or not isinstance(measures, str):
            raise MissingModalityError("a cohort needs the names: assay= and measures")
        adata = data.assays[assay]
        table = sided_measures(data, measures, side, columns)
        subjects: pd.DataFrame | None = data.subjects
    else:
        adata = as_adata(data, what="data")
        if isinstance(measures, str):
            raise MissingModalityError("a measurement table by name needs a Cohort")
        if "side" in measures:
            raise MissingModalityError(
                "a table of both sides needs a Cohort, which knows the affected side"
            )
        table, subjects = measures.reset_index() if "subject_id" not in measures else measures, None
    adata = of_visit(adata, visit, "data")
    check_log2(adata, where="data")
    everyone = np.ones(adata.n_obs, dtype=bool)
    one_specimen(adata, everyone, "data")
    people_of(adata, everyone, "data")
    table = _one_row_each(table, visit)
    chosen = _measure_columns(table, columns)
    keys = keys_of(adata.obs, table)
    own, other = matched(*keys)
    if not len(own):
        raise AlignmentError("no person has proteins and measures", where="measures")
    held = _covariates(adata.obs.iloc[own], subjects, covariates)
    known = np.isfinite(held).all(axis=1)
    assays = is_assay(adata)
    proteins = values_of(adata)[own][:, assays][known]
    nerve = table[chosen].to_numpy(dtype=float, na_value=np.nan)[other][known]
    result = partial(proteins, nerve, held[known], ranks=method == "spearman", min_n=min_n)
    r, low, high, p = interval(result["r"], result["n"], result["k"], method, confidence)
    half = stats.t.ppf((1 + confidence) / 2, np.maximum(result["df"], 1)) * result["slope_se"]
    names = adata.var_names[assays]
    gene = adata.var["gene"].to_numpy()[assays] if "gene" in adata.var else names
    q = len(chosen)
    frame = pd.DataFrame(
        {
            "protein": np.repeat(names, q),
            "gene": np.repeat(gene, q),
            "measure": np.tile(np.array(chosen, dtype=object), len(names)),
            "n": result["n"].ravel(),
            "r": r.ravel(),
            "ci_low": low.ravel(),
            "ci_high": high.ravel(),
            "p_value": p.ravel(),
            "q_value": adjust_p(p).ravel(),
            "slope": result["slope"].ravel(),
            "slope_low": (result["slope"] - half).ravel(),
            "slope_high": (result["slope"] + half).ravel(),
            "df": result["df"].ravel(),
        }
    ).sort_values("p_value", kind="stable", ignore_index=True)
    frame.attrs = {
        "n_people": int(known.sum()),
        "n_proteins_only": len(keys[0]) - len(own),
        "n_measures_only": len(keys[1]) - len(own),
        "n_without_covariates": int((~known).sum()),
        "side": side if isinstance(data, Cohort) else "as given",
        "covariates": list(covariates),
    }
    return frame


def _one_row_each(table: pd.DataFrame, visit: str | None) -> pd.DataFrame:
    if "subject_id" not in table:
        raise MissingModalityError("measures have no 'subject_id', as a column or the index")
    if visit is not None and "visit" in table:
        table = table[table["visit"] == visit]
    twice = table["subject_id"][table["subject_id"].duplicated()]
    if len(twice):
        raise FormatError(
            f"{twice.nunique()} people have several rows, for example {list_some(twice, 1)}",
            where="measures",
            remedy="choose one visit (visit=) and one run",
        )
    return table


def _measure_columns(table: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        own = table.select_dtypes(include=["number", "bool"]).columns
        chosen = [str(c) for c in own if c not in ("subject_id", "visit", "run")]
    else:
        chosen = list(columns)
        absent = [c for c in chosen if c not in table]
        if absent:
            raise MissingModalityError(
                f"measures have no column {list_some(absent)}",
                remedy=f"columns are {list_some(table.columns, 30)}",
            )
        text = [c for c in chosen if not pd.api.types.is_numeric_dtype(table[c])]
        if text:
            raise FormatError(
                f"expected numbers, found text in {list_some(text)}", where="measures"
            )
    if not chosen:
        raise MissingModalityError("measures have no column of numbers")
    return chosen


def _covariates(obs: pd.DataFrame, subjects: pd.DataFrame | None, names: Sequence[str]) -> Array:
    """Return the covariates as numbers, rows as `obs`, with a constant."""
    blocks = [np.ones((len(obs), 1))]
    for name in names:
        if name in obs:
            values = obs[name]
        elif subjects is not None and name in subjects:
            values = subjects[name].reindex(obs["subject_id"])
        else:
            raise MissingModalityError(f"no covariate {name!r} in obs or subjects")
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            blocks.append(values.to_numpy(dtype=float, na_value=np.nan)[:, None])
            continue
        text = values.astype("string")
        levels = sorted(text.dropna().unique())[1:]
        flags = (
            np.column_stack(
                [(text == level).to_numpy(dtype=float, na_value=np.nan) for level in levels]
            )
            if levels
            else np.empty((len(obs), 0))
        )
        flags[text.isna().to_numpy()] = np.nan
        blocks.append(flags)
    return np.hstack(blocks)
