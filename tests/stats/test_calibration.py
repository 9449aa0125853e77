from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binom, kstest
from sklearn import calibration as sklearn_calibration
from sklearn.metrics import brier_score_loss

from precisionpain.errors import AlignmentError, ConvergenceWarning, FormatError
from precisionpain.stats import calibration, calibration_curve, local_linear, wilson

Z = 1.959963984540054


@pytest.mark.parametrize("column", ["p", "coarse"])
def test_recalibration_matches_glm(golden, golden_data, column):
    data = golden_data("calibration")
    found = calibration(data["y"], data[column])
    key = f"cal.{column}."
    for name in ("intercept", "joint_intercept", "slope"):
        value, se = golden[key + name], golden[key + name + "_se"]
        assert getattr(found, name) == pytest.approx(value, abs=1e-9)
        assert getattr(found, name + "_low") == pytest.approx(value - Z * se, abs=1e-9)
        assert getattr(found, name + "_high") == pytest.approx(value + Z * se, abs=1e-9)
    for name in ("observed_expected", "brier", "scaled_brier", "spiegelhalter_z"):
        assert getattr(found, name) == pytest.approx(golden[key + name], abs=1e-10)
    assert found.brier == pytest.approx(brier_score_loss(data["y"], data[column]))


def test_recalibration_matches_statsmodels(golden_data):
    data = golden_data("calibration")
    linear = logit(data["p"])
    fit = sm.GLM(data["y"], sm.add_constant(linear), family=sm.families.Binomial()).fit(tol=1e-14)
    found = calibration(data["y"], data["p"], confidence=0.8)
    assert [found.joint_intercept, found.slope] == pytest.approx(list(fit.params), abs=1e-8)
    assert [found.slope_low, found.slope_high] == pytest.approx(
        list(fit.conf_int(alpha=0.2).iloc[1]), abs=1e-8
    )


def test_smooth_errors_match_loess(golden, golden_data):
    data = golden_data("calibration")
    found = calibration(data["y"], data["p"])
    assert found.ici == pytest.approx(golden["cal.p.ici"], abs=1e-8)
    assert found.e50 == pytest.approx(golden["cal.p.e50"], abs=1e-8)
    assert found.e90 == pytest.approx(golden["cal.p.e90"], abs=1e-8)


def test_local_linear_matches_loess(golden_data):
    data, curve = golden_data("calibration"), golden_data("loess")
    smooth = local_linear(data["p"], data["y"], curve["at"])
    assert smooth == pytest.approx(curve["y"].to_numpy(), abs=1e-8)


@given(
    st.lists(st.floats(-10, 10), min_size=4, max_size=30, unique=True),
    st.floats(-3, 3),
    st.floats(-5, 5),
    st.floats(0.6, 1.0),
)
def test_local_linear_returns_a_line_unchanged(x, slope, intercept, span):
    x = np.round(np.array(x), 3)
    smooth = local_linear(x, intercept + slope * x, span=span)
    assert smooth == pytest.approx(intercept + slope * x, abs=1e-6)


def test_local_linear_averages_where_only_ties_are_near():
    smooth = local_linear([1, 1, 1, 1, 2], [0, 0, 1, 1, 9], at=[1], span=0.6)
    assert smooth.tolist() == [0.5]


@pytest.mark.parametrize("span", [0, 1.5, -1])
def test_local_linear_refuses_impossible_spans(span):
    with pytest.raises(FormatError, match="span lies above 0 and at most at 1"):
        local_linear([1, 2], [1, 2], span=span)


def test_local_linear_refuses_arrays_of_different_lengths():
    with pytest.raises(FormatError, match="one length, found 2 and 3"):
        local_linear([1, 2], [1, 2, 3])


def test_planted_miscalibration_is_found():
    rng = np.random.default_rng(0)
    linear = rng.normal(-0.5, 1.3, size=20_000)
    y = rng.random(20_000) < expit(linear)
    # The model says 0.4 + 2 L where the truth is L, so that truth = -0.2 + 0.5 model.
    found = calibration(y, expit(0.4 + 2 * linear))
    assert found.slope_low < 0.5 < found.slope_high
    assert found.joint_intercept_low < -0.2 < found.joint_intercept_high
    assert found.slope == pytest.approx(0.5, abs=0.02)
    truth = np.abs(expit(linear) - expit(0.4 + 2 * linear))
    # Smoothing over 75% of the people flattens the curve a little.
    assert found.ici == pytest.approx(truth.mean(), abs=0.02)
    assert found.spiegelhalter_p < 1e-6
    good = calibration(y, expit(linear))
    assert good.slope == pytest.approx(1, abs=0.04)
    assert good.intercept == pytest.approx(0, abs=0.04)
    assert good.observed_expected == pytest.approx(1, abs=0.02)
    assert good.ici < 0.02


def test_many_predictions_are_smoothed_at_knots(monkeypatch, golden_data):
    data = golden_data("calibration")
    exact = calibration(data["y"], data["p"])
    module = importlib.import_module("precisionpain.stats.calibration")
    monkeypatch.setattr(module, "_KNOTS", 60)
    coarse = calibration(data["y"], data["p"])
    assert coarse.ici == pytest.approx(exact.ici, rel=0.01)
    assert coarse.ici != exact.ici


def test_limits_and_spiegelhalter_hold_under_calibration():
    rng = np.random.default_rng(1)
    inside, z = 0, []
    for _ in range(400):
        p = rng.beta(2, 4, size=200)
        found = calibration(rng.random(200) < p, p)
        inside += found.slope_low <= 1 <= found.slope_high
        z.append(found.spiegelhalter_z)
    assert binom.ppf(0.001, 400, 0.94) <= inside <= binom.ppf(0.999, 400, 0.965)
    assert kstest(z, "norm").pvalue > 0.001


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), min_size=8, max_size=60))
def test_turning_outcome_and_probability_turns_the_intercepts_only(rows):
    y, p = (np.array(part) for part in zip(*rows, strict=True))
    overlap = y.any() and not y.all() and p[y].min() < p[~y].max() and p[y].max() > p[~y].min()
    if not overlap:
        return
    one, two = calibration(y, p), calibration(~y, 1 - p)
    assert two.slope == pytest.approx(one.slope, rel=1e-5, abs=1e-7)
    assert two.intercept == pytest.approx(-one.intercept, rel=1e-5, abs=1e-7)
    assert two.brier == pytest.approx(one.brier)
    assert two.ici == pytest.approx(one.ici, abs=1e-6)


def test_separated_predictions_warn_and_have_an_infinite_slope():
    y, p = [0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.9]
    with pytest.warns(ConvergenceWarning, match="separate the classes.*slope is infinite"):
        found = calibration(y, p)
    assert found.slope == np.inf
    assert np.isnan([found.slope_low, found.slope_high, found.joint_intercept]).all()
    assert np.isfinite([found.intercept, found.brier, found.ici]).all()
    with pytest.warns(ConvergenceWarning):
        assert calibration(y, p[::-1]).slope == -np.inf
    # One shared value between the classes still leaves the slope without bound.
    with pytest.warns(ConvergenceWarning):
        assert calibration(y, [0.1, 0.2, 0.6, 0.6, 0.9]).slope == np.inf


def test_constant_predictions_have_no_slope():
    found = calibration([0, 1, 0, 0], [0.25] * 4)
    assert np.isnan([found.slope, found.slope_low, found.joint_intercept]).all()
    assert found.intercept == pytest.approx(0, abs=1e-9)
    assert found.observed_expected == pytest.approx(1)
    assert found.scaled_brier == pytest.approx(0)
    assert found.ici == pytest.approx(0)


def test_exact_zeros_and_ones_are_clipped_for_the_logit_and_counted():
    y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
    p = np.array([0.0, 0.0, 0.0, 0.4, 0.6, 1.0, 1.0, 1.0])
    found = calibration(y, p)
    assert found.n_clipped == 6
    assert found.brier == pytest.approx(np.mean((p - y) ** 2))
    assert np.isfinite([found.slope, found.intercept]).all()
    other = calibration(y, np.clip(p, 0.01, 0.99), clip=0.01)
    assert other.n_clipped == 0
    assert calibration(y, p, clip=0.01).slope == pytest.approx(other.slope)
    with pytest.warns(ConvergenceWarning):
        wrong = calibration([0, 1, 1], [0.0, 0.0, 1.0])
    # A certain prediction that fails refutes itself; certain and right leaves nothing to test.
    assert (wrong.spiegelhalter_z, wrong.spiegelhalter_p) == (np.inf, 0.0)
    with pytest.warns(ConvergenceWarning):
        right = calibration([0, 1, 1], [0.0, 1.0, 1.0])
    assert np.isnan([right.spiegelhalter_z, right.spiegelhalter_p]).all()
    assert (right.brier, right.scaled_brier) == (0.0, 1.0)


def test_all_zero_probabilities_give_an_infinite_ratio():
    assert calibration([0, 1], [0.0, 0.0]).observed_expected == np.inf


def test_bad_predictions_are_refused():
    with pytest.raises(FormatError, match=r"between 0 and 1, found -2 to 3.*predict_proba"):
        calibration([0, 1], [-2, 3])
    with pytest.raises(FormatError, match="only one class"):
        calibration([0, 0], [0.1, 0.2])
    with pytest.raises(FormatError, match="clip lies between"):
        calibration([0, 1], [0.1, 0.2], clip=0.7)
    y = pd.Series([0, 1], index=["a", "b"])
    with pytest.raises(AlignmentError, match=r"p\.loc\[y\.index\]"):
        calibration(y, pd.Series([0.2, 0.1], index=["b", "a"]))


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_curve_matches_sklearn(golden_data, strategy):
    data = golden_data("calibration")
    curve = calibration_curve(data["y"], data["p"], n_bins=8, strategy=strategy)
    observed, predicted = sklearn_calibration.calibration_curve(
        data["y"], data["p"], n_bins=8, strategy=strategy
    )
    assert curve["observed"].to_numpy() == pytest.approx(observed)
    assert curve["mean_predicted"].to_numpy() == pytest.approx(predicted)
    low, high = wilson(curve["events"], curve["n"])
    assert curve["ci_low"].to_numpy() == pytest.approx(low)
    assert curve["ci_high"].to_numpy() == pytest.approx(high)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=50),
    st.integers(1, 12),
    st.sampled_from(["quantile", "uniform"]),
)
def test_curve_counts_everybody_once_and_keeps_ties_together(rows, n_bins, strategy):
    y, p = (np.array(part) for part in zip(*rows, strict=True))
    p = p / 10
    curve = calibration_curve(y, p, n_bins=n_bins, strategy=strategy)
    assert curve["n"].sum() == len(y)
    assert curve["events"].sum() == y.sum()
    assert len(curve) <= n_bins
    filled = curve[curve["n"] > 0]
    assert (filled["mean_predicted"] * filled["n"]).sum() == pytest.approx(p.sum())
    assert filled["mean_predicted"].is_monotonic_increasing
    assert (filled["mean_predicted"] >= filled["lower"] - 1e-12).all()
    assert (filled["mean_predicted"] <= filled["upper"] + 1e-12).all()


def test_empty_bins_stay_visible():
    curve = calibration_curve([0, 1], [0.05, 0.95], n_bins=4, strategy="uniform")
    assert curve["n"].tolist() == [1, 0, 0, 1]
    assert curve.loc[1, ["mean_predicted", "observed", "ci_low", "ci_high"]].isna().all()


def test_bad_curve_options_are_refused():
    with pytest.raises(FormatError, match="'quantile' or 'uniform', found 'deciles'"):
        calibration_curve([0, 1], [0.1, 0.9], strategy="deciles")
    with pytest.raises(FormatError, match="n_bins is at least 1"):
        calibration_curve([0, 1], [0.1, 0.9], n_bins=0)


def test_repr_names_the_figures(golden_data):
    data = golden_data("calibration")
    text = repr(calibration(data["y"], data["p"]))
    assert "slope 0.84 (" in text
    assert "O/E 0.86" in text
