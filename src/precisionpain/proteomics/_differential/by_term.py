"""Tests of whole terms, and of all pairs of levels after them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import special

from ...errors import FormatError, list_some
from ...stats._t import Array, Table, rounding, t_columns
from ...stats.linear import fit_linear
from ...stats.mixed import fit_mixed
from .contrast import Contrast, contrast_weights
from .design import Design, make_design
from .ordinal import fit_ordinal, slopes
from .ranks import all_equal, dunn, friedman, kruskal, mann_whitney, signed_rank
from .study import Study
from .terms import f_test, tukey_p, tukey_t

__all__ = ["PAIR_TESTS", "TERM_TESTS"]

Outcome = tuple[dict[str, Table], Study]


def _anova(study: Study) -> Outcome:
    study.check_independent()
    design = make_design(study.rows, study.formula, sum_to_zero=True)
    fit = fit_linear(study.values, design.matrix)
    study.warn_constant(fit.variance <= rounding(fit.mean))
    return {name: f_test(fit, columns) for name, columns in design.terms.items()}, study


def _mixed(study: Study) -> Outcome:
    design = make_design(study.rows, study.formula, sum_to_zero=True)
    fit = fit_mixed(study.values, design.matrix, study.repeated(), reml=study.reml)
    study.warn_constant(fit.constant)
    return {name: fit.f_test(columns) for name, columns in design.terms.items()}, study


def _kruskal(study: Study) -> Outcome:
    column, levels = study.only_factor()
    study.check_independent()
    group = study.obs[column].cat.codes.to_numpy().astype(np.intp)
    assert len(levels) == group.max() + 1
    table = kruskal(study.values, group)
    study.warn_equal(all_equal(study.values) & np.isfinite(table["p_value"]))
    return {column: table}, study


def _friedman(study: Study) -> Outcome:
    column, levels = study.only_factor()
    study, values = study.by_person(column, levels)
    table = friedman(values)
    study.warn_equal(all_equal(values - values[:, :1]) & np.isfinite(table["p_value"]))
    return {column: table}, study


def _ordinal(study: Study) -> Outcome:
    """Test terms of type II: likelihoods with and without a term, all that contain it left out."""
    study.check_independent()
    design = make_design(study.rows, study.formula, sum_to_zero=True)
    p = study.values.shape[1]
    tables: dict[str, Table] = {}
    columns = design.terms
    for name in columns:
        larger = {n for n in columns if n != name and _parts(name) < _parts(n)}
        with_it = [c for n in columns if n not in larger for c in columns[n]]
        without = [c for c in with_it if c not in columns[name]]
        chi2 = np.full(p, np.nan)
        df = len(columns[name])
        for protein, y in enumerate(study.values.T):
            seen = ~np.isnan(y)
            full, part = (slopes(design.matrix[seen][:, c])[0] for c in (with_it, without))
            # A level without any value makes it another question.
            if full.shape[1] - part.shape[1] == df:
                gain = _log_likelihood(y[seen], full) - _log_likelihood(y[seen], part)
                chi2[protein] = 2 * gain
        tables[name] = {
            "statistic": chi2, "df_term": np.where(np.isfinite(chi2), df, np.nan),
            "p_value": special.chdtrc(df, np.maximum(chi2, 0.0)),
            "n": (~np.isnan(study.values)).sum(axis=0),
        }  # fmt: skip
    return tables, study


def _parts(term: str) -> set[str]:
    return set(term.split(":"))


def _log_likelihood(y: Array, x: Array) -> float:
    if not x.shape[1]:
        count = np.unique(y, return_counts=True)[1]
        return float((count * np.log(count / len(y))).sum())
    found = fit_ordinal(y, x)
    return np.nan if found is None else found[2]


TERM_TESTS: dict[str, Callable[[Study], Outcome]] = {
    "anova": _anova, "mixed": _mixed, "kruskal": _kruskal, "friedman": _friedman,
    "ordinal": _ordinal,
}  # fmt: skip


def _cells(study: Study, design: Design, term: str) -> list[tuple[str, dict[str, str]]]:
    """Return the combinations of levels of a term."""
    names = {frozenset(_parts(name)): name for name in design.terms}
    if frozenset(_parts(term)) not in names:
        raise FormatError(
            f"expected a term of the formula, {list_some(design.terms)}, found {term!r}",
            where="posthoc",
        )
    parts = term.split(":")
    numbers = [
        name for name in parts
        if name not in study.obs or not isinstance(study.obs[name].dtype, pd.CategoricalDtype)
    ]  # fmt: skip
    if numbers:
        raise FormatError(
            f"{list_some(numbers)} has no levels to compare", where="posthoc",
            remedy="name a column of categories",
        )  # fmt: skip
    levels = [list(study.obs[name].cat.categories) for name in parts]
    return [
        (" ".join(chosen), dict(zip(parts, chosen, strict=True)))
        for chosen in itertools.product(*levels)
    ]


def _contrasts(study: Study, design: Design, term: str) -> Iterator[tuple[str, Contrast]]:
    for (a, first), (b, second) in itertools.combinations(_cells(study, design, term), 2):
        yield f"{a} - {b}", Contrast(((1.0, first), (-1.0, second)), None, f"{a} - {b}")


def _pairs_of_means(study: Study, term: str) -> Outcome:
    """Compare marginal means of a linear or a mixed model, adjusted by Tukey."""
    design = make_design(study.rows, study.formula)
    if study.method == "anova":
        study.check_independent()
        fit = fit_linear(study.values, design.matrix)
        study.warn_constant(fit.variance <= rounding(fit.mean))
    else:
        mixed = fit_mixed(study.values, design.matrix, study.repeated(), reml=study.reml)
        study.warn_constant(mixed.constant)
    seen = ~np.isnan(study.values)
    k = len(_cells(study, design, term))
    tables = {}
    for text, contrast in _contrasts(study, design, term):
        weights = contrast_weights(design, contrast)
        if study.method == "anova":
            estimate, unscaled = fit.contrast(weights)
            variance = np.maximum(fit.variance, rounding(fit.mean))
            df = np.where(fit.df > 0, fit.df, np.nan)
            table = t_columns(estimate, np.sqrt(variance * unscaled), df, study.confidence)
        else:
            table = mixed.t_test(weights, study.confidence)
        table["p_adjusted"] = tukey_p(table["statistic"], k, table["df"])
        alone = special.stdtrit(table["df"], (1 + study.confidence) / 2)
        wider = (table["ci_high"] - table["log_fc"]) / alone
        wider *= tukey_t(study.confidence, k, table["df"])
        table["ci_low_adjusted"] = table["log_fc"] - wider
        table["ci_high_adjusted"] = table["log_fc"] + wider
        for name, sign in (("n_1", 1), ("n_2", -1)):
            table[name] = seen[contrast.mask(study.obs, sign)].sum(axis=0)
        tables[text] = table
    return tables, study


def _check_only(term: str, column: str) -> None:
    if term != column:
        raise FormatError(f"expected {column!r}, found {term!r}", where="posthoc")


def _pairs_of_ranks(study: Study, term: str) -> Outcome:
    """Compare groups by Dunn's test, with the Hodges–Lehmann shift of each pair."""
    column, levels = study.only_factor()
    _check_only(term, column)
    study.check_independent()
    group = study.obs[column].cat.codes.to_numpy().astype(np.intp)
    tables = {}
    for i, j in itertools.combinations(range(len(levels)), 2):
        shift = mann_whitney(study.values[group == i], study.values[group == j], study.confidence)
        tables[f"{levels[i]} - {levels[j]}"] = {**shift, **dunn(study.values, group, i, j)}
    return tables, study


def _pairs_of_times(study: Study, term: str) -> Outcome:
    """Compare times by signed ranks, over people with all times."""
    column, levels = study.only_factor()
    _check_only(term, column)
    study, values = study.by_person(column, levels)
    # A protein that a person lacks at any time is left out, as in Friedman's test.
    whole = ~np.isnan(values).any(axis=1, keepdims=True)
    values = np.where(whole, values, np.nan)
    tables = {
        f"{levels[i]} - {levels[j]}": signed_rank(values[:, i] - values[:, j], study.confidence)
        for i, j in itertools.combinations(range(len(levels)), 2)
    }
    return tables, study


PAIR_TESTS: dict[str, Callable[[Study, str], Outcome]] = {
    "anova": _pairs_of_means, "mixed": _pairs_of_means, "kruskal": _pairs_of_ranks,
    "friedman": _pairs_of_times,
}  # fmt: skip
