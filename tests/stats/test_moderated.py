"""Linear models of many responses, squeezed variances and their relatives.

Reference values: R's limma, made by ../proteomics/golden/differential.R, and limma's equations
solved further than it asks for by default, made by ../proteomics/golden/limma_tight.R.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats as scipy_stats
from scipy.optimize import minimize_scalar
from scipy.special import digamma, polygamma

from precisionpain.errors import FormatError
from precisionpain.stats import (
    adjust_p,
    fit_linear,
    fit_mixed,
    moderated_t,
    sample_weights,
    squeeze_variance,
    within_block_correlation,
)

GOLDEN = Path(__file__).parents[1] / "proteomics" / "golden"
TIGHT = GOLDEN / "limma_tight"


def read(name: str, folder: Path = GOLDEN / "differential") -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", float_precision="round_trip")


@pytest.fixture(scope="module")
def obs() -> pd.DataFrame:
    return read("obs")


@pytest.fixture(scope="module")
def design(obs) -> np.ndarray:
    columns = [np.ones(len(obs)), obs.group == "TN", obs.group == "MS", obs.age,
               obs.plate == "P2", obs.plate == "P3"]  # fmt: skip
    return np.column_stack(columns).astype(float)


@pytest.fixture(scope="module")
def within(obs) -> np.ndarray:
    return np.column_stack([np.ones(len(obs)), obs.visit == "followup"]).astype(float)


def check_limma(case: str, test) -> None:
    golden = read("limma")
    golden = golden[golden.case == case]
    assert len(golden) == len(test.estimate)
    ours = {
        "estimate": test.estimate, "t": test.statistic, "p": test.p_value, "df": test.df,
        "s2_prior": test.squeezed.prior, "df_prior": test.squeezed.prior_df,
    }  # fmt: skip
    for name, values in ours.items():
        assert_allclose(values, golden[name], rtol=1e-8, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("name", ["complete", "missing"])
def test_moderated_t_is_limmas(name, design):
    fit = fit_linear(read(name), design)
    unit = np.eye(6)
    check_limma(name, moderated_t(fit, unit[1]))
    check_limma(f"{name}_ms", moderated_t(fit, unit[2]))
    check_limma(f"{name}_trend", moderated_t(fit, unit[1], trend=True))


def test_contrast_of_two_coefficients_is_limmas(design):
    fit = fit_linear(read("complete"), design)
    check_limma("complete_tn_ms", moderated_t(fit, [0, 1, -1, 0, 0, 0]))


@pytest.mark.parametrize("name", ["complete", "missing"])
def test_robust_prior_is_limmas(name, design):
    golden = read("robust_t", TIGHT)
    golden = golden[golden.case == name]
    test = moderated_t(fit_linear(read(name), design), np.eye(6)[1], robust=True)
    ours = test.squeezed
    assert ours.prior_df.max() / ours.prior_df.min() > 5
    assert_allclose(ours.prior, golden["s2_prior_tight"], rtol=1e-11)
    assert_allclose(ours.prior_df, golden["df_prior_tight"], rtol=1e-11)
    assert_allclose(test.statistic, golden["t_tight"], rtol=1e-8)
    assert_allclose(test.p_value, golden["p_tight"], rtol=1e-8)
    # limma itself stops when d₀ / (1 + d₀) is known to 1e-8.
    share, limma = (df / (1 + df) for df in (ours.prior_df.max(), golden["df_prior"].max()))
    assert share == pytest.approx(limma, abs=1e-8)
    assert_allclose(test.statistic, golden["t"], rtol=1e-7)


ROBUST = [
    "equal", "mixed", "one", "few", "zero", "alike", "alike_mixed", "plain", "strong",
    *(f"clean{seed}" for seed in range(1, 7)),
]  # fmt: skip


@pytest.mark.parametrize("case", ROBUST)
def test_robust_prior_is_limmas_for_any_variances(case):
    """Also without outliers, without degrees of freedom, and for an infinite prior."""
    golden = read("robust", TIGHT)
    golden = golden[golden.case == case]
    found = squeeze_variance(golden["variance"], golden["df"], robust=True)
    usable = golden["df"].to_numpy() > 0
    expected = golden["prior_df_tight"].to_numpy()
    assert_allclose(found.prior[usable], golden["prior_tight"][usable], rtol=1e-10)
    # Outliers of a nearly infinite prior have next to none, lost in rounding.
    assert_allclose(found.prior_df[usable], expected[usable], rtol=1e-8, atol=1e-12)
    assert_allclose(found.variance[usable], golden["posterior_tight"][usable], rtol=1e-8)
    assert_allclose(found.variance[usable], golden["posterior"][usable], rtol=1e-6)


def test_robust_prior_isnt_spoilt_by_hypervariable_proteins():
    rng = np.random.default_rng(0)
    s2 = rng.f(10, 20, 2000)
    s2[:40] *= 60
    plain, robust = (squeeze_variance(s2, np.full(2000, 10.0), robust=r) for r in (False, True))
    assert plain.prior_df[0] < 8
    assert np.median(robust.prior_df) == pytest.approx(20, rel=0.25)
    assert robust.prior_df[:40].max() < robust.prior_df[40:].mean() / 3


def test_infinite_prior_is_limmas(design):
    values = read("complete")
    scaled = (values - values.mean()) / values.std()
    test = moderated_t(fit_linear(scaled, design), np.eye(6)[1])
    assert np.isinf(test.squeezed.prior_df).all()
    check_limma("scaled", test)


def test_weights_of_samples_are_limmas(design):
    golden = read("array_weights")["reml"]
    values = read("complete")
    assert_allclose(sample_weights(values, design), golden, rtol=1e-5)
    test = moderated_t(fit_linear(values, design, weights=golden), np.eye(6)[1])
    check_limma("complete_weights", test)


def test_weights_find_the_noisy_sample_when_values_are_missing():
    rng = np.random.default_rng(3)
    truth = np.exp(rng.normal(scale=0.5, size=16))
    truth /= np.exp(np.log(truth).mean())
    values = rng.normal(size=(16, 4000)) / np.sqrt(truth)[:, None]
    values[rng.random(values.shape) < 0.15] = np.nan
    design = np.column_stack([np.ones(16), np.repeat([0, 1], 8)])
    assert_allclose(sample_weights(values, design), truth, rtol=0.15)


def test_correlation_within_blocks_is_limmas(obs, within):
    golden = read("correlation").groupby("case")["consensus"].first()
    rho = within_block_correlation(read("complete"), within, obs.person)
    assert rho == pytest.approx(golden["complete"], abs=1e-10)


def test_correlation_within_blocks_is_limmas_when_values_are_missing(obs, within):
    """statmod's fit, of which limma runs 20 iterations at most, run to its end."""
    from precisionpain.stats.within_blocks import _correlations

    golden = read("correlation", TIGHT)
    values = read("missing")
    rho = within_block_correlation(values, within, obs.person)
    assert rho == pytest.approx(golden["consensus_tight"][0], abs=1e-8)
    each = _correlations(values.to_numpy(), within, obs.person.to_numpy())
    assert_allclose(np.arctanh(each), np.arctanh(golden["rho_tight"]), atol=1e-6)
    # As it stands limma is as far from its own solution as from ours.
    stopped = abs(golden["consensus"][0] - golden["consensus_tight"][0])
    assert 1e-5 < stopped < 1e-4
    assert rho == pytest.approx(golden["consensus"][0], abs=1.001 * stopped)


def test_correlation_within_blocks_maximises_the_likelihood(obs, within):
    from precisionpain.stats.within_blocks import _correlations

    values = read("missing").to_numpy()[:, :12]
    person = obs.person.to_numpy()
    for y, found in zip(values.T, _correlations(values, within, person), strict=True):
        seen = ~np.isnan(y)
        x, rest = within[seen], y[seen]
        same = person[seen][:, None] == person[seen]

        def deviance(rho, x=x, rest=rest, same=same):
            v = np.where(same, rho, 0.0)
            np.fill_diagonal(v, 1.0)
            inverse = np.linalg.inv(v)
            a = x.T @ inverse @ x
            r = rest - x @ np.linalg.solve(a, x.T @ inverse @ rest)
            logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(a)[1]
            return logs + (len(rest) - 2) * np.log(r @ inverse @ r)

        assert deviance(found) <= min(deviance(found - 1e-3), deviance(found + 1e-3))


@pytest.mark.parametrize("name", ["complete", "missing"])
def test_generalised_least_squares_is_limmas(name, obs, within):
    golden = read("correlation")
    rho = golden[golden.case == name]["consensus"].iloc[0]
    fit = fit_linear(read(name), within, block=obs.person, correlation=rho)
    check_limma(f"{name}_block", moderated_t(fit, [0, 1]))


def test_each_response_is_fitted_over_its_own_rows(design):
    """Against an ordinary solver, response by response, for all kinds of weights."""
    values = read("missing").to_numpy()[:, :20]
    rng = np.random.default_rng(0)
    for weights in (None, rng.uniform(0.2, 3, len(values)), rng.uniform(0.2, 3, values.shape)):
        fit = fit_linear(values, design, weights=weights)
        for i, y in enumerate(values.T):
            if i in fit.free:
                continue
            seen = ~np.isnan(y)
            w = (
                np.ones(len(y))
                if weights is None
                else np.broadcast_to(weights.T, values.T.shape)[i]
            )
            root = np.sqrt(w[seen])
            beta, rss, _, _ = np.linalg.lstsq(design[seen] * root[:, None], y[seen] * root)
            assert_allclose(fit.coefficients[i], beta, rtol=1e-9)
            assert fit.variance[i] == pytest.approx(rss[0] / (seen.sum() - 6), rel=1e-10)


def test_what_the_observed_rows_dont_determine_is_missing(design):
    values = read("missing").to_numpy()
    fit = fit_linear(values, design)
    # In this response no sample of the MS group is measured.
    assert list(fit.free) == [3]
    estimate, unscaled = fit.contrast(np.eye(6)[2])
    assert np.flatnonzero(np.isnan(estimate)).tolist() == [3]
    assert np.isnan(unscaled[3])
    assert np.isfinite(fit.contrast(np.eye(6)[1])[0]).all()
    assert fit.df[3] == (~np.isnan(values[:, 3])).sum() - 5


@given(st.integers(0, 10_000))
def test_shuffled_rows_and_scaled_designs_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(15), rng.normal(size=(15, 2))])
    y = rng.normal(size=(15, 4))
    y[rng.random(y.shape) < 0.2] = np.nan
    order = rng.permutation(15)
    one = fit_linear(y, x)
    two = fit_linear(y[order], (x * [1, 1000, 1])[order])
    assert_allclose(two.coefficients * [1, 1000, 1], one.coefficients, atol=1e-8)
    assert_allclose(two.variance, one.variance, rtol=1e-8)


@pytest.mark.parametrize("prior", ["moments", "likelihood"])
def test_prior_is_recovered(prior):
    """s² ~ s₀² F(d, d₀), with degrees of freedom that differ."""
    rng = np.random.default_rng(1)
    d = rng.choice([4.0, 8.0, 16.0], 20_000)
    s2 = 0.3 * rng.f(d, 6.0)
    found = squeeze_variance(s2, d, prior=prior)
    assert found.prior[0] == pytest.approx(0.3, rel=0.03)
    assert found.prior_df[0] == pytest.approx(6, rel=0.08)
    expected = (found.prior_df * found.prior + d * s2) / (found.prior_df + d)
    assert_allclose(found.variance, expected)


def likelihood_by_brute_force(s2, df):
    """Return s₀² and d₀ by a search over densities."""
    unbiased = np.log(s2) - [np.log(2 / d) + digamma(d / 2) for d in df]
    precision = 1 / np.array([polygamma(1, d / 2) for d in df])
    level = (precision * unbiased).sum() / precision.sum()

    def scale(d0):
        return np.exp(level) * np.exp(digamma(d0 / 2)) / (d0 / 2)

    def loss(log_d0):
        d0 = np.exp(log_d0)
        return -scipy_stats.f(df, d0, scale=scale(d0)).logpdf(s2).sum()

    grid = np.linspace(np.log(0.1), np.log(1e4), 400)
    best = grid[np.argmin([loss(point) for point in grid])]
    ends = best - 0.1, best + 0.1
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-9}).x
    return scale(np.exp(found)), np.exp(found)


@pytest.mark.parametrize("d0", [1.5, 4, 12, 40])
def test_likelihood_prior_is_the_most_likely(d0):
    rng = np.random.default_rng(int(10 * d0))
    df = rng.choice([2.0, 3.0, 7.0, 15.0], 400)
    s2 = 0.3 * rng.f(df, d0)
    found = squeeze_variance(s2, df, prior="likelihood")
    level, common = likelihood_by_brute_force(s2, df)
    assert found.prior[0] == pytest.approx(level, rel=1e-6)
    assert found.prior_df[0] == pytest.approx(common, rel=1e-6)


def test_likelihood_prior_is_that_of_newer_limma():
    """limma from 3.62 on stops once d₀ / (1 + d₀) is known to about 1e-4."""
    golden = read("likelihood_prior", GOLDEN)
    for _, case in golden.groupby("case"):
        found = squeeze_variance(case["variance"], case["df"], prior="likelihood")
        d0, limma = found.prior_df[0], case["prior_df"].iloc[0]
        assert d0 / (1 + d0) == pytest.approx(limma / (1 + limma), abs=1e-4)
        assert found.prior[0] == pytest.approx(case["prior"].iloc[0], rel=1e-4)


def test_likelihood_prior_of_variances_that_are_alike_is_infinite():
    rng = np.random.default_rng(0)
    df = rng.choice([4.0, 8.0], 300)
    s2 = 0.3 * (rng.chisquare(df) / df) ** 0.9
    found = squeeze_variance(s2, df, prior="likelihood")
    assert np.isinf(found.prior_df).all()
    assert_allclose(found.variance, found.prior)
    assert found.prior[0] == pytest.approx(0.3, rel=0.1)


def test_likelihood_prior_is_the_better_one_when_df_differ():
    rng = np.random.default_rng(2)
    errors = {"moments": [], "likelihood": []}
    for _ in range(40):
        d = np.where(np.arange(400) < 200, 1.0, 20.0)
        s2 = rng.f(d, 5.0)
        for prior, found in errors.items():
            found.append(np.log(squeeze_variance(s2, d, prior=prior).prior_df[0] / 5))
    spread = {prior: np.sqrt(np.mean(np.square(found))) for prior, found in errors.items()}
    assert spread["likelihood"] < spread["moments"]


def test_trend_follows_the_covariate():
    rng = np.random.default_rng(5)
    level = np.linspace(0, 1, 5000)
    s2 = np.exp(-2 * level) * rng.f(10, 8, 5000)
    found = squeeze_variance(s2, np.full(5000, 10.0), covariate=level)
    assert_allclose(np.log(found.prior), -2 * level, atol=0.15)


def test_p_values_are_uniform_without_a_difference():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(10, 5000)) / np.sqrt(rng.chisquare(6, 5000) / 6)
    design = np.column_stack([np.ones(10), np.repeat([0, 1], 5)])
    p = moderated_t(fit_linear(values, design), [0, 1]).p_value
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.01


def test_zero_variance_stays_finite():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 50))
    values[:, 0] = 3.0
    design = np.column_stack([np.ones(8), np.repeat([0, 1], 4)])
    test = moderated_t(fit_linear(values, design), [0, 1])
    assert np.isfinite(test.statistic).all()
    assert test.p_value[0] > 0.99


def test_mixed_model_of_pairs_is_the_paired_t_test():
    rng = np.random.default_rng(4)
    person = np.tile(np.arange(15), 2)
    values = rng.normal(size=(30, 8)) + 2 * rng.normal(size=(15, 8))[person]
    design = np.column_stack([np.ones(30), np.repeat([0, 1], 15)])
    fit = fit_mixed(values, design, person)
    table = fit.t_test(np.array([0.0, 1.0]), 0.95)
    peer = scipy_stats.ttest_rel(values[15:], values[:15])
    assert (fit.ratio > 0).all()
    assert_allclose(table["statistic"], peer.statistic, rtol=1e-9)
    assert_allclose(table["df"], 14, rtol=1e-8)
    assert_allclose(table["p_value"], peer.pvalue, rtol=1e-8)


def test_mixed_model_on_the_border_is_a_regression():
    rng = np.random.default_rng(6)
    person = np.tile(np.arange(10), 2)
    values = rng.normal(size=(20, 60))
    # Samples of a person are less alike than those of strangers.
    values[10:] -= 0.8 * values[:10]
    design = np.column_stack([np.ones(20), np.repeat([0, 1], 10)])
    fit = fit_mixed(values, design, person)
    border = fit.ratio == 0
    assert border.sum() > 30
    table, peer = fit.t_test(np.array([0.0, 1.0]), 0.95), fit_linear(values, design)
    estimate, unscaled = peer.contrast([0, 1])
    assert_allclose(
        table["statistic"][border], (estimate / np.sqrt(peer.variance * unscaled))[border]
    )
    assert_allclose(table["df"][border], 18)


def test_adjusted_p_values():
    p = np.array([0.001, 0.02, 0.02, 0.5, 0.9])
    assert_allclose(adjust_p(p), scipy_stats.false_discovery_control(p))
    assert_allclose(adjust_p(p, "by"), scipy_stats.false_discovery_control(p, method="by"))
    assert_allclose(adjust_p(p, "holm"), [0.005, 0.08, 0.08, 1, 1])
    assert_allclose(adjust_p(p, "bonferroni"), [0.005, 0.1, 0.1, 1, 1])
    holed = adjust_p([0.001, np.nan, 0.02, 0.02, np.nan, 0.5, 0.9])
    assert np.isnan(holed[[1, 4]]).all()
    assert_allclose(holed[[0, 2, 3, 5, 6]], adjust_p(p))
    with pytest.raises(FormatError, match="between 0 and 1"):
        adjust_p([1.2])


def test_mistakes_are_named(design):
    values = read("complete").to_numpy()
    with pytest.raises(FormatError, match="aren't independent"):
        fit_linear(values, np.column_stack([design, design[:, 1]]))
    with pytest.raises(FormatError, match="positive weights"):
        fit_linear(values, design, weights=np.zeros(40))
    with pytest.raises(FormatError, match="weights, one per coefficient"):
        fit_linear(values, design).contrast([1, 0])
    with pytest.raises(FormatError, match="correlation within blocks"):
        fit_linear(values, design, block=np.arange(40) // 2, correlation=-1.5)
    with pytest.raises(FormatError, match="at least 3 variances"):
        squeeze_variance([1.0, 2.0], [3, 3])
    with pytest.raises(FormatError, match="no block has two rows"):
        within_block_correlation(values, design, np.arange(40))
