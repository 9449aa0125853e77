from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, mannwhitneyu

from precisionpain.errors import FormatError
from precisionpain.stats import (
    auc,
    cliffs_delta,
    cohens_d,
    hedges_g,
    rank_sum,
    standardized_mean_difference,
)

CASES = ["exact", "ties", "large", "tiny"]
values = st.lists(st.integers(-8, 8), min_size=1, max_size=15)


@pytest.fixture(scope="module")
def groups(golden_data):
    table = golden_data("groups")
    return lambda case, group: table.loc[
        (table["case"] == case) & (table["group"] == group), "value"
    ].to_numpy()


@pytest.mark.parametrize("case", CASES)
def test_rank_sum_matches_wilcox_test(golden, groups, case):
    x, y = groups(case, "x"), groups(case, "y")
    found = rank_sum(x, y)
    key = f"wilcox.{case}."
    assert found.exact == (case in ("exact", "tiny"))
    assert found.w == golden[key + "w"]
    assert found.p_value == pytest.approx(golden[key + "p"], rel=1e-10)
    # R searches for the approximate limits to within 1e-10.
    assert found.ci_low == pytest.approx(golden[key + "low"], abs=1e-9)
    assert found.ci_high == pytest.approx(golden[key + "high"], abs=1e-9)
    if case != "large":
        assert found.shift == pytest.approx(golden[key + "shift"], abs=1e-9)
    normal = rank_sum(x, y, exact=False, confidence=0.9)
    assert normal.p_value == pytest.approx(golden[key + "normal_p"], rel=1e-10)
    assert normal.ci_low == pytest.approx(golden[key + "normal_low90"], abs=1e-9)
    assert normal.ci_high == pytest.approx(golden[key + "normal_high90"], abs=1e-9)


def test_shift_lies_where_r_finds_it_in_large_groups(golden, groups):
    # With an even number of pairs every value between the two middle differences solves
    # R's equation; ours is their mean.
    x, y = groups("large", "x"), groups("large", "y")
    middle = np.sort(np.subtract.outer(x, y), axis=None)[60 * 73 // 2 - 1 : 60 * 73 // 2 + 1]
    assert middle[0] - 1e-9 <= golden["wilcox.large.shift"] <= middle[1] + 1e-9
    assert rank_sum(x, y).shift == pytest.approx(middle.mean())


@given(values, values)
def test_rank_sum_matches_scipy_and_the_auc(x, y):
    found = rank_sum(x, y, exact=False)
    flags = np.repeat([1, 0], [len(x), len(y)])
    assert found.auc == pytest.approx(auc(flags, np.r_[x, y]), abs=1e-12)
    if len(set(x) | set(y)) == 1:
        assert np.isnan(found.p_value)
        return
    reference = mannwhitneyu(x, y, method="asymptotic")
    assert found.w == reference.statistic
    assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)
    swapped = rank_sum(y, x, exact=False)
    assert swapped.w == pytest.approx(len(x) * len(y) - found.w)
    assert swapped.p_value == pytest.approx(found.p_value)
    assert (swapped.ci_low, swapped.shift) == (-found.ci_high, -found.shift)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_exact_p_matches_scipy(m, n, seed):
    x, y = np.split(np.random.default_rng(seed).permutation(m + n).astype(float), [m])
    found = rank_sum(x, y)
    assert found.exact
    assert found.p_value == pytest.approx(mannwhitneyu(x, y, method="exact").pvalue, rel=1e-10)


def test_exact_p_of_the_largest_groups_matches_scipy():
    x, y = np.split(np.random.default_rng(0).permutation(98).astype(float), [49])
    x = x + 12.5
    found = rank_sum(x, y)
    assert found.exact
    assert found.p_value == pytest.approx(mannwhitneyu(x, y, method="exact").pvalue, rel=1e-9)
    fifty = rank_sum(np.r_[x, 200.0], y)
    assert not fifty.exact, "R's rule: exact below 50 in both groups"


@given(values, values, st.integers(-20, 20))
def test_shift_follows_a_shift(x, y, by):
    one, two = rank_sum(x, y, exact=False), rank_sum(np.array(x) + by, y, exact=False)
    assert two.shift == pytest.approx(one.shift + by)
    assert two.ci_low == pytest.approx(one.ci_low + by)
    assert two.ci_high == pytest.approx(one.ci_high + by)


@pytest.mark.parametrize("n", [12, 55])
def test_interval_of_the_shift_covers_the_truth(n):
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(500):
        found = rank_sum(rng.normal(size=n) + 0.7, rng.normal(size=n))
        hits += found.ci_low <= 0.7 <= found.ci_high
    # The exact interval is conservative: its coverage is 95% or a little more.
    assert binom.ppf(0.001, 500, 0.945) <= hits <= binom.ppf(0.999, 500, 0.965)


@pytest.mark.parametrize(
    ("w", "published_auc"), [(2446.5, 0.609), (2682, 0.668), (2570.5, 0.640), (4015, 1.0)]
)
def test_published_w_is_an_auc(w, published_auc):
    # 55 people with chronic pain and 73 recovered: W counts among 55 * 73 = 4015 pairs. A
    # sample with that W: 54 people who beat whole numbers of others, and one for the rest.
    y = np.arange(73.0)
    wins, total = [], w
    for left in range(55, 0, -1):
        share = min(73.0, np.floor(total / left)) if left > 1 else total
        wins.append(share)
        total -= share
    x = np.array([k - 0.5 if k == np.floor(k) else np.floor(k) for k in wins])
    found = rank_sum(x, y)
    assert found.w == w
    assert found.auc == pytest.approx(published_auc, abs=5e-4)


def test_exact_with_ties_and_bad_groups_are_refused():
    with pytest.raises(FormatError, match="assumes that no values are tied"):
        rank_sum([1, 2], [2, 3], exact=True)
    with pytest.raises(FormatError, match=r"at least 1 value\(s\) in each group, found 0 and 2"):
        rank_sum([], [2, 3])
    with pytest.raises(FormatError, match="x: 1 of 2 values are missing"):
        rank_sum([1, np.nan], [2, 3])
    with pytest.raises(FormatError, match="found 1 and 2"):
        cohens_d([1], [2, 3])


@pytest.mark.parametrize("case", CASES)
def test_standardised_differences_match_r(golden, groups, case):
    x, y = groups(case, "x"), groups(case, "y")
    key = f"cohen.{case}."
    d, g = cohens_d(x, y), hedges_g(x, y)
    assert d.estimate == pytest.approx(golden[key + "d"], abs=1e-10)
    assert d.ci_low == pytest.approx(golden[key + "low"], abs=1e-8)
    assert d.ci_high == pytest.approx(golden[key + "high"], abs=1e-8)
    factor = golden[key + "j"]
    assert [g.estimate, g.ci_low, g.ci_high] == pytest.approx(
        [factor * v for v in (d.estimate, d.ci_low, d.ci_high)], rel=1e-10
    )
    assert standardized_mean_difference(x, y) == pytest.approx(golden[key + "smd"], abs=1e-10)


def test_hedges_g_is_unbiased_and_its_interval_covers():
    rng = np.random.default_rng(0)
    found = [hedges_g(rng.normal(size=8) + 0.6, rng.normal(size=8)) for _ in range(2000)]
    estimates = np.array([f.estimate for f in found])
    assert estimates.mean() == pytest.approx(0.6, abs=4 * estimates.std() / np.sqrt(2000))
    d = [cohens_d(rng.normal(size=8) + 0.6, rng.normal(size=8)) for _ in range(500)]
    hits = sum(f.ci_low <= 0.6 <= f.ci_high for f in d)
    assert binom.ppf(0.001, 500, 0.95) <= hits <= binom.ppf(0.999, 500, 0.95)


def test_very_large_differences_have_an_interval():
    x, y = np.arange(40.0) / 40 + 30, np.arange(40.0) / 40
    found = cohens_d(x, y)
    assert found.ci_low < found.estimate < found.ci_high
    turned = cohens_d(y, x)
    assert turned.ci_low == pytest.approx(-found.ci_high)


def test_constant_groups():
    assert np.isnan(cohens_d([2, 2], [2, 2]).estimate)
    assert np.isnan(hedges_g([2, 2], [3, 3]).ci_low)
    assert standardized_mean_difference([2, 2], [2, 2]) == 0.0
    assert standardized_mean_difference([2, 2], [3, 3]) == -np.inf


@given(values, values)
def test_cliffs_delta_counts_pairs(x, y):
    found = cliffs_delta(x, y)
    assert found.estimate == pytest.approx(np.sign(np.subtract.outer(x, y)).mean(), abs=1e-12)
    if not np.isnan(found.ci_low):
        assert -1 <= found.ci_low <= found.estimate + 1e-12
        assert found.estimate - 1e-12 <= found.ci_high <= 1


def test_smd_of_categories():
    x, y = ["a"] * 3 + ["b"] * 7, ["a"] * 6 + ["b"] * 4
    # Two levels: |p1 - p2| over the root of the mean variance.
    expected = 0.3 / np.sqrt((0.3 * 0.7 + 0.6 * 0.4) / 2)
    assert standardized_mean_difference(x, y) == pytest.approx(expected)
    assert standardized_mean_difference(y, x) == pytest.approx(expected)
    three = standardized_mean_difference(["a", "b", "b", "c"], ["a", "a", "b", "c"])
    # Mahalanobis distance of (.25, .5) and (.5, .25), covariances by hand, shares of a and b.
    covariance = (
        np.array([[0.1875, -0.125], [-0.125, 0.25]]) + np.array([[0.25, -0.125], [-0.125, 0.1875]])
    ) / 2
    difference = np.array([-0.25, 0.25])
    assert three == pytest.approx(np.sqrt(difference @ np.linalg.solve(covariance, difference)))
    assert standardized_mean_difference(["a", "a"], ["b", "b"]) == np.inf
    assert standardized_mean_difference(["a", "a"], ["a", "a"]) == 0.0
    assert standardized_mean_difference([True, False], [True, False]) == 0.0
    assert standardized_mean_difference([1, 2, 1], [1, 2, 2], kind="category") == pytest.approx(
        (1 / 3) / np.sqrt(2 / 9)
    )


def test_bad_smd_arguments_are_refused():
    with pytest.raises(FormatError, match="a category is missing"):
        standardized_mean_difference(["a", None], ["a", "b"])
    with pytest.raises(FormatError, match="'number' or 'category', found 'text'"):
        standardized_mean_difference([1, 2], [1, 2], kind="text")


def test_reprs_name_the_measure():
    assert repr(cohens_d([2, 4, 6], [1, 3, 5])).startswith("EffectSize(Cohen's d 0.500")
    assert "W = 6" in repr(rank_sum([2, 4, 6], [1, 3, 5]))
