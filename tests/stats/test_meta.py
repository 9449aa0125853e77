"""Random effects: published values, closed forms, and the likelihood itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from precisionpain.errors import FormatError
from precisionpain.stats import random_effects

# The 13 trials of the BCG vaccine (Colditz et al., JAMA 1994;271:698): cases and others among
# the vaccinated, cases and others among the rest; the standard example of meta-analysis.
BCG = np.array([
    [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
    [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892],
    [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
    [27, 16886, 29, 17825],
], dtype=float)  # fmt: skip


def log_relative_risks() -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = BCG.T
    return np.log(a / (a + b) / (c / (c + d))), np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


def test_published_values_of_the_bcg_trials():
    """As the R package metafor prints them in its manual, to its digits."""
    found = random_effects(*log_relative_risks(), interval="wald")
    assert found.tau2 == pytest.approx(0.3132, abs=5e-5)
    assert found.estimate == pytest.approx(-0.7145, abs=5e-5)
    assert found.se == pytest.approx(0.1798, abs=5e-5)
    assert (found.ci_low, found.ci_high) == pytest.approx((-1.0669, -0.3622), abs=5e-5)
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.i2 == pytest.approx(0.9222, abs=5e-5)
    assert (found.tau2_low, found.tau2_high) == pytest.approx((0.1197, 1.1115), abs=5e-5)
    assert found.i2_high == pytest.approx(0.9768, abs=5e-5)


@pytest.mark.parametrize("seed", range(8))
def test_reml_maximises_the_restricted_likelihood(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 12))
    s = rng.uniform(0.1, 1, k)
    y = rng.normal(1, np.sqrt(rng.uniform(0, 1) + s**2))
    found = random_effects(y, s)

    def restricted(tau2):
        """By the error contrasts themselves: any basis orthogonal to the mean."""
        basis = np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, : k - 1]]))[0][:, 1:]
        covariance = basis.T @ np.diag(s**2 + tau2) @ basis
        return stats.multivariate_normal(np.zeros(k - 1), covariance).logpdf(basis.T @ y)

    grid = np.concatenate([[0], np.geomspace(1e-6, 20, 4000)])
    best = max(map(restricted, grid))
    assert restricted(found.tau2) >= best - 1e-6
    assert found.tau2_low <= found.tau2_high


def test_equal_errors_have_closed_forms():
    y, s = np.array([0.8, 1.0, 1.4, 0.6, 1.1]), 0.1
    for method in ("reml", "dl"):
        found = random_effects(y, np.full(5, s), method=method)
        assert found.tau2 == pytest.approx(np.var(y, ddof=1) - s**2, rel=1e-6)
        assert found.estimate == pytest.approx(y.mean())
        # Hartung and Knapp's interval is then that of the plain t test.
        low, high = stats.t.interval(0.95, 4, y.mean(), stats.sem(y))
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high), rel=1e-6)
        assert found.i2 == pytest.approx(found.tau2 / np.var(y, ddof=1), rel=1e-6)


def test_dersimonian_and_laird_by_hand():
    y, s = np.array([0.2, 0.9]), np.array([0.1, 0.2])
    w = np.array([100.0, 25.0])
    mean = (w * y).sum() / 125
    q = (w * (y - mean) ** 2).sum()
    found = random_effects(y, s, method="dl")
    assert found.q == pytest.approx(q)
    assert found.tau2 == pytest.approx((q - 1) / (125 - (100**2 + 25**2) / 125))
    assert np.isnan(found.prediction_low)


def test_alike_sites_have_no_heterogeneity():
    found = random_effects([0.5, 0.5, 0.5], [0.3, 0.2, 0.4])
    assert (found.tau2, found.i2, found.q) == (0, 0, 0)
    # Never narrower in its standard error than the common-effect mean.
    w = 1 / np.array([0.3, 0.2, 0.4]) ** 2
    assert found.se == pytest.approx(1 / np.sqrt(w.sum()))
    assert found.tau2_high == 0


@pytest.mark.parametrize("interval", ["hartung_knapp", "wald"])
def test_coverage_with_four_sites(interval):
    """Wald's interval is known to be too short here; the default isn't."""
    rng = np.random.default_rng(0)
    s = np.array([0.2, 0.3, 0.4, 0.5])
    hits = [
        f.ci_low <= 0.7 <= f.ci_high
        for y in rng.normal(0.7, np.sqrt(0.3**2 + s**2), (600, 4))
        for f in [random_effects(y, s, method="dl", interval=interval)]
    ]
    share = np.mean(hits)
    assert share > 0.935 if interval == "hartung_knapp" else share < 0.94


def test_q_profile_limits_are_where_q_meets_its_quantiles():
    y, s = log_relative_risks()
    found = random_effects(y, s)
    for tau2, p in ((found.tau2_low, 0.975), (found.tau2_high, 0.025)):
        w = 1 / (s**2 + tau2)
        q = float(w @ (y - w @ y / w.sum()) ** 2)
        assert stats.chi2.cdf(q, 12) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (([1.0], [0.1]), "at least two estimates"),
        (([1.0, 2.0], [0.1]), "2 estimates and 1 standard"),
        (([1.0, 2.0], [0.1, 0.0]), "above 0"),
        (([1.0, np.nan], [0.1, 0.1]), "missing"),
    ],
)
def test_what_is_refused(args, words):
    with pytest.raises(FormatError, match=words):
        random_effects(*args)
    with pytest.raises(FormatError, match="'reml' or 'dl'"):
        random_effects([1, 2], [1, 1], method="bayes")


def test_the_optimiser_is_not_fooled_by_scale():
    y, s = log_relative_risks()
    big = random_effects(1e4 * y, 1e4 * s)
    assert big.tau2 == pytest.approx(1e8 * random_effects(y, s).tau2, rel=1e-4)
