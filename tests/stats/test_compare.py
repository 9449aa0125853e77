from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.stats import binom

from precisionpain.errors import FormatError
from precisionpain.stats import corrected_t, permutation_p

differences = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


def test_corrected_t_matches_its_formula_in_r(golden, golden_data):
    found = corrected_t(golden_data("folds")["difference"], n_train=135, n_test=15)
    for name in ("mean", "se", "t"):
        assert getattr(found, name) == pytest.approx(golden[f"folds.{name}"], abs=1e-12)
    assert found.p_value == pytest.approx(golden["folds.p"], abs=1e-12)
    assert found.ci_low == pytest.approx(golden["folds.low"], abs=1e-12)
    assert found.df == 49


def test_without_overlap_it_is_the_t_test_of_r(golden, golden_data):
    found = corrected_t(golden_data("folds")["difference"], n_train=135, n_test=0)
    assert found.t == pytest.approx(golden["folds.plain.t"], abs=1e-12)
    assert found.p_value == pytest.approx(golden["folds.plain.p"], abs=1e-12)
    assert found.ci_low == pytest.approx(golden["folds.plain.low"], abs=1e-12)
    assert found.ci_high == pytest.approx(golden["folds.plain.high"], abs=1e-12)


@given(differences)
def test_without_overlap_it_is_the_ordinary_t_test(values):
    assume(np.std(values) > 1e-6)
    reference = scipy_stats.ttest_1samp(values, 0)
    found = corrected_t(values, n_train=10, n_test=0)
    assert found.t == pytest.approx(reference.statistic, rel=1e-9, abs=1e-12)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-9)


@given(differences, st.floats(0.01, 1))
def test_overlap_widens_the_interval_by_the_known_factor(values, share):
    assume(np.std(values) > 1e-6)
    plain = corrected_t(values, n_train=1, n_test=0)
    found = corrected_t(values, n_train=1, n_test=share)
    factor = np.sqrt(1 + len(values) * share)
    assert found.se == pytest.approx(plain.se * factor, rel=1e-9)
    assert found.p_value >= plain.p_value
    mirrored = corrected_t(-np.array(values), n_train=1, n_test=share)
    assert mirrored.ci_low == pytest.approx(-found.ci_high)


def test_eight_folds_widen_the_standard_error_by_1_46():
    # 8-fold cross-validation: n_test / n_train = 1/7.
    values = np.random.default_rng(0).normal(size=8)
    wide = corrected_t(values, n_train=7, n_test=1)
    assert wide.se / corrected_t(values, n_train=7, n_test=0).se == pytest.approx(1.46, abs=0.005)


def test_equal_models_and_equal_differences():
    same = corrected_t([0.0, 0.0, 0.0], n_train=2, n_test=1)
    assert (same.mean, same.se, same.t, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    constant = corrected_t([0.1, 0.1, 0.1], n_train=2, n_test=1)
    assert constant.mean == pytest.approx(0.1)
    assert np.isnan([constant.t, constant.p_value, constant.ci_low, constant.ci_high]).all()


@pytest.mark.parametrize(
    ("values", "sizes", "message"),
    [
        ([0.1], (10, 5), "at least two differences, found 1"),
        ([0.1, np.nan], (10, 5), "differences: 1 of 2 values are missing"),
        ([0.1, 0.2], (0, 5), "impossible fold sizes: n_train=0, n_test=5"),
        ([0.1, 0.2], (10, -1), "impossible fold sizes"),
    ],
)
def test_impossible_folds_are_refused(values, sizes, message):
    with pytest.raises(FormatError, match=message):
        corrected_t(values, n_train=sizes[0], n_test=sizes[1])


def test_permutation_p_counts_ties_and_itself():
    null = [0.1, 0.2, 0.3, 0.4]
    assert permutation_p(0.3, null) == 3 / 5
    assert permutation_p(0.3, null, "less") == 4 / 5
    assert permutation_p(0.5, null) == 1 / 5
    assert permutation_p(0.5, null, "two-sided") == 2 / 5
    assert permutation_p(0.25, null, "two-sided") == 1.0


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_permutation_p_is_never_zero_and_symmetric(observed, null):
    p = permutation_p(observed, null)
    assert 1 / (len(null) + 1) <= p <= 1
    turned = permutation_p(-observed, [-v for v in null], "less")
    assert turned == p


def test_permutation_p_is_exact():
    draws = np.random.default_rng(1).normal(size=(4000, 20))
    found = [permutation_p(row[0], row[1:]) for row in draws]
    # With 19 permutations p <= 0.05 happens in exactly 1 of 20 cases.
    rejected = sum(p <= 0.05 for p in found)
    assert binom.ppf(0.001, 4000, 0.05) <= rejected <= binom.ppf(0.999, 4000, 0.05)


def test_bad_permutations_are_refused():
    with pytest.raises(FormatError, match="there are no permutations"):
        permutation_p(0.5, [])
    with pytest.raises(FormatError, match="null: 1 of 2 values are missing"):
        permutation_p(0.5, [0.1, np.nan])
    with pytest.raises(FormatError, match="observed: 1 of 1 values"):
        permutation_p(np.nan, [0.1])
    with pytest.raises(FormatError, match="'two-sided', found 'both'"):
        permutation_p(0.5, [0.1], "both")
