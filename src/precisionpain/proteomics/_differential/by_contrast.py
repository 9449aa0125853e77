"""Tests of one contrast; each returns a table of numbers and the study as it was used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ...errors import FormatError
from ...stats._t import Table, rounding, t_columns
from ...stats.linear import fit_linear
from ...stats.mixed import fit_mixed
from ...stats.moderated import moderated_t
from .contrast import contrast_weights, two_levels
from .design import make_design
from .ordinal import fit_ordinal, slopes
from .ranks import all_equal, mann_whitney, signed_rank
from .study import Study
from .two_groups import paired, welch

__all__ = ["CONTRAST_TESTS", "Outcome", "limma"]

Outcome = tuple[Table, Study, dict[str, Any]]


def _counts(study: Study) -> Table:
    """Return how many samples are measured on the two sides of the contrast."""
    assert study.contrast is not None
    seen = ~np.isnan(study.values)
    return {
        name: seen[study.contrast.mask(study.obs, sign)].sum(axis=0)
        for name, sign in (("n_1", 1), ("n_2", -1))
    }


def limma(
    study: Study,
    *,
    block: str | None,
    trend: bool | str,
    robust: bool,
    array_weights: bool,
    prior: Any,
) -> Outcome:
    """Run a linear model with moderated t."""
    assert study.contrast is not None
    if block is None:
        study.check_independent()
    design = make_design(study.rows, study.formula)
    weights = contrast_weights(design, study.contrast)
    made: dict[str, Any] = {}
    known: dict[str, Any] = {}
    if array_weights:
        from ...stats.sample_weights import sample_weights

        known["weights"] = sample_weights(study.values, design.matrix)
        made["array_weights"] = pd.Series(
            known["weights"], index=study.adata.obs_names[study.rows.used]
        ).to_dict()
    if block is not None:
        from ...stats.within_blocks import within_block_correlation

        labels = study.obs[block].astype(str).to_numpy()
        rho = within_block_correlation(study.values, design.matrix, labels, **known)
        known |= {"block": labels, "correlation": rho}
        made["correlation"] = rho
    fit = fit_linear(study.values, design.matrix, **known)
    study.warn_constant(fit.variance <= rounding(fit.mean))
    covariate: Any = trend
    if isinstance(trend, str):
        covariate = _log_column(study, trend)
    test = moderated_t(
        fit, weights, trend=covariate, robust=robust, prior=prior, confidence=study.confidence
    )
    table = {
        "log_fc": test.estimate, "ci_low": test.ci_low, "ci_high": test.ci_high,
        "statistic": test.statistic, "df": test.df, "p_value": test.p_value,
    }  # fmt: skip
    made["s2_prior"] = float(np.nanmedian(test.squeezed.prior))
    made["df_prior"] = float(np.nanmax(test.squeezed.prior_df))
    return table | _counts(study), study, made


def _log_column(study: Study, name: str) -> NDArray[np.float64]:
    if name not in study.adata.var:
        raise FormatError(
            f"expected the column {name!r}, found {list(study.adata.var.columns)}",
            where="adata.var",
        )
    column = pd.to_numeric(study.adata.var[name], errors="coerce")[study.assays].to_numpy(float)
    if not (column > 0).all():
        raise FormatError(
            f"expected positive numbers, found {int((~(column > 0)).sum())} that aren't",
            where=f"adata.var[{name!r}]",
        )
    found: NDArray[np.float64] = np.log2(column)
    return found


def _split(study: Study) -> tuple[Study, NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of the first and the second group."""
    assert study.contrast is not None
    column, first, second = two_levels(study.contrast, study.formula, study.method)
    group = study.obs[column].astype(str)
    study = study.only(group.isin([first, second]).to_numpy(), f"another level of {column}")
    study.check_independent()
    inside = (study.obs[column].astype(str) == first).to_numpy()
    return study, study.values[inside], study.values[~inside]


def _welch(study: Study) -> Outcome:
    study, first, second = _split(study)
    table, constant = welch(first, second, study.confidence)
    study.warn_constant(constant)
    return table, study, {}


def _mann_whitney(study: Study) -> Outcome:
    study, first, second = _split(study)
    table = mann_whitney(first, second, study.confidence)
    study.warn_equal(all_equal(study.values) & np.isfinite(table["p_value"]))
    return table, study, {}


def _differences(study: Study) -> tuple[Study, NDArray[np.float64]]:
    assert study.contrast is not None
    column, first, second = two_levels(study.contrast, study.formula, study.method)
    study, values = study.by_person(column, [first, second])
    return study, values[:, 0] - values[:, 1]


def _paired(study: Study) -> Outcome:
    study, difference = _differences(study)
    table, constant = paired(difference, study.confidence)
    study.warn_constant(constant)
    return table, study, {}


def _wilcoxon(study: Study) -> Outcome:
    study, difference = _differences(study)
    table = signed_rank(difference, study.confidence)
    # Zeros, beside which any other difference would stand out.
    study.warn_equal(all_equal(np.vstack([difference, np.zeros(difference.shape[1])]))
                     & np.isfinite(table["p_value"]))  # fmt: skip
    return table, study, {}


def _anova(study: Study) -> Outcome:
    assert study.contrast is not None
    study.check_independent()
    design = make_design(study.rows, study.formula)
    fit = fit_linear(study.values, design.matrix)
    study.warn_constant(fit.variance <= rounding(fit.mean))
    estimate, unscaled = fit.contrast(contrast_weights(design, study.contrast))
    se = np.sqrt(np.maximum(fit.variance, rounding(fit.mean)) * unscaled)
    df = np.where(fit.df > 0, fit.df, np.nan)
    return t_columns(estimate, se, df, study.confidence) | _counts(study), study, {}


def _mixed(study: Study) -> Outcome:
    assert study.contrast is not None
    design = make_design(study.rows, study.formula)
    fit = fit_mixed(study.values, design.matrix, study.repeated(), reml=study.reml)
    study.warn_constant(fit.constant)
    table = fit.t_test(contrast_weights(design, study.contrast), study.confidence)
    return table | _counts(study), study, {}


def _ordinal(study: Study) -> Outcome:
    """Test the contrast of log odds by Wald, protein by protein."""
    assert study.contrast is not None
    study.check_independent()
    design = make_design(study.rows, study.formula)
    weights = contrast_weights(design, study.contrast)
    p = study.values.shape[1]
    estimate, variance = np.full(p, np.nan), np.full(p, np.nan)
    for protein, y in enumerate(study.values.T):
        seen = ~np.isnan(y)
        x, basis = slopes(design.matrix[seen])
        part = weights @ basis
        if np.abs(weights - basis @ part).max() > 1e-6 * np.abs(weights).max():
            continue
        fitted = fit_ordinal(y[seen], x)
        if fitted is not None:
            estimate[protein] = part @ fitted[0]
            variance[protein] = part @ fitted[1] @ part
    se = np.sqrt(variance)
    half = special.ndtri((1 + study.confidence) / 2) * se
    z = estimate / se
    table = {
        "log_odds": estimate, "ci_low": estimate - half, "ci_high": estimate + half,
        "statistic": z, "p_value": 2 * special.ndtr(-np.abs(z)),
    }  # fmt: skip
    return table | _counts(study), study, {}


CONTRAST_TESTS: dict[str, Callable[[Study], Outcome]] = {
    "welch": _welch, "mann_whitney": _mann_whitney, "paired": _paired, "wilcoxon": _wilcoxon,
    "anova": _anova, "mixed": _mixed, "ordinal": _ordinal,
}  # fmt: skip
