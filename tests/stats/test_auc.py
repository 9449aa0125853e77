from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.stats import auc, delong, delong_cov, delong_test

# Scores from a coarse grid, so that ties are frequent; both classes are present.
people = st.lists(st.tuples(st.booleans(), st.integers(-6, 6)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(event for event, _ in rows) < len(rows)
)


# Sums in another order differ in the last bits; the square root of a variance that is
# zero but for these leaves 1e-9.
CLOSE = {"abs": 1e-8, "nan_ok": True}


def figures(found):
    return [found.auc, found.se, found.ci_low, found.ci_high, found.degenerate]


def split(rows):
    y, score = zip(*rows, strict=True)
    return np.array(y), np.array(score, dtype=float)


@pytest.mark.parametrize("score", ["a", "b", "c"])
def test_delong_matches_proc(golden, golden_data, score):
    data = golden_data("roc")
    key = f"roc.{score}."
    found = delong(data["y"], data[score])
    for name, value in (
        ("auc", found.auc),
        ("se", found.se),
        ("low", found.ci_low),
        ("high", found.ci_high),
    ):
        assert value == pytest.approx(golden[key + name], rel=0, abs=1e-10)
    wide = delong(data["y"], data[score], confidence=0.8)
    assert wide.ci_low == pytest.approx(golden[key + "low80"], rel=0, abs=1e-10)
    assert wide.ci_high == pytest.approx(golden[key + "high80"], rel=0, abs=1e-10)
    logit = delong(data["y"], data[score], method="logit")
    assert logit.ci_low == pytest.approx(golden[key + "logit_low"], rel=0, abs=1e-10)
    assert logit.ci_high == pytest.approx(golden[key + "logit_high"], rel=0, abs=1e-10)


def test_wald_limits_are_cut_as_in_proc(golden):
    found = delong([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    assert found.auc == pytest.approx(golden["roc.cut.auc"], abs=1e-12)
    assert found.ci_low == pytest.approx(golden["roc.cut.low"], rel=0, abs=1e-10)
    assert found.ci_high == 1.0 == golden["roc.cut.high"]
    assert not found.degenerate


@pytest.mark.parametrize("pair", ["ab", "ac", "bc"])
def test_paired_test_matches_proc(golden, golden_data, pair):
    data = golden_data("roc")
    key = f"roctest.{pair}."
    one, two = data[pair[0]], data[pair[1]]
    found = delong_test(data["y"], one, two)
    assert found.z == pytest.approx(golden[key + "z"], rel=0, abs=1e-10)
    assert found.p_value == pytest.approx(golden[key + "p"], rel=0, abs=1e-10)
    assert found.ci_low == pytest.approx(golden[key + "low"], rel=0, abs=1e-10)
    assert found.ci_high == pytest.approx(golden[key + "high"], rel=0, abs=1e-10)
    _, covariance = delong_cov(data["y"], data[list(pair)])
    assert covariance[0, 1] == pytest.approx(golden[key + "cov"], rel=0, abs=1e-10)
    swapped = delong_test(data["y"], two, one)
    assert swapped.z == pytest.approx(-found.z)
    assert swapped.p_value == pytest.approx(found.p_value)


@given(people)
def test_auc_equals_the_count_over_all_pairs(rows):
    y, score = split(rows)
    higher = np.sign(np.subtract.outer(score[y], score[~y]))
    assert auc(y, score) == pytest.approx(np.mean((higher + 1) / 2), abs=1e-12)
    assert auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)


@given(people)
def test_auc_ignores_monotone_transforms_and_turns_with_the_score(rows):
    y, score = split(rows)
    area = auc(y, score)
    assert auc(y, np.exp(score) * 3 - 7) == area
    assert auc(y, -score) == pytest.approx(1 - area, abs=1e-12)
    assert auc(~y, score) == pytest.approx(1 - area, abs=1e-12)


@given(people)
def test_delong_equals_its_definition_over_all_pairs(rows):
    y, score = split(rows)
    if min(y.sum(), (~y).sum()) < 2:
        return
    psi = (np.sign(np.subtract.outer(score[y], score[~y])) + 1) / 2
    variance = psi.mean(axis=1).var(ddof=1) / len(psi) + psi.mean(axis=0).var(ddof=1) / psi.shape[1]
    found = delong(y, score)
    assert found.se == pytest.approx(np.sqrt(variance), abs=1e-9)
    assert found.auc == pytest.approx(psi.mean(), abs=1e-12)
    assert 0 <= found.ci_low <= found.auc <= found.ci_high <= 1
    mirrored = delong(y, -score)
    assert mirrored.ci_low == pytest.approx(1 - found.ci_high, abs=1e-9)


@given(people, st.randoms(use_true_random=False))
def test_order_of_the_people_does_not_matter(rows, random):
    y, score = split(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert figures(delong(*split(shuffled))) == pytest.approx(figures(delong(y, score)), **CLOSE)


def test_delong_covers_the_truth():
    # Binormal with AUC 0.75 and 60 + 60 people; 2,000 samples. The bounds hold for a true
    # coverage of 93.5 to 96.5%: with this many people Wald's differs a little from 95%.
    rng = np.random.default_rng(1)
    y = np.repeat([True, False], 60)
    shift = np.sqrt(2) * norm.ppf(0.75)
    hits = 0
    for _ in range(2000):
        found = delong(y, rng.normal(size=120) + shift * y)
        hits += found.ci_low <= 0.75 <= found.ci_high
    assert binom.ppf(0.001, 2000, 0.935) <= hits <= binom.ppf(0.999, 2000, 0.965)


def test_delong_test_is_uniform_under_the_null():
    rng = np.random.default_rng(2)
    y = np.repeat([True, False], 50)
    rejected = 0
    for _ in range(1000):
        shared = y + rng.normal(size=100)
        a, b = shared + rng.normal(size=100), shared + rng.normal(size=100)
        rejected += delong_test(y, a, b).p_value < 0.05
    assert binom.ppf(0.001, 1000, 0.035) <= rejected <= binom.ppf(0.999, 1000, 0.065)


@pytest.mark.parametrize(("positive", "negative"), [(3, 3), (10, 25), (1, 8)])
def test_separated_classes_have_an_exact_interval(positive, negative):
    y = np.repeat([1, 0], [positive, negative])
    score = np.r_[np.arange(positive) + 1000.0, np.arange(negative)]
    for method in ("wald", "logit"):
        found = delong(y, score, method=method)
        pairs = min(positive, negative)
        # Clopper and Pearson: the limit at which so many successes have chance alpha / 2.
        assert found.ci_low**pairs == pytest.approx(0.025)
        assert (found.auc, found.ci_high, found.method) == (1.0, 1.0, "exact")
        assert found.degenerate
        other = delong(y, -score, method=method)
        assert (other.auc, other.ci_low) == (0.0, 0.0)
        assert other.ci_high == pytest.approx(1 - found.ci_low)


def test_exact_interval_covers_even_a_nearly_perfect_score():
    # With 5 + 5 people and a true AUC of 0.95, most samples are separated.
    rng = np.random.default_rng(3)
    y = np.repeat([True, False], 5)
    truth = 0.95
    found = [delong(y, rng.normal(size=10) + np.sqrt(2) * norm.ppf(truth) * y) for _ in range(1000)]
    separated = [f for f in found if f.degenerate]
    assert len(separated) > 300
    assert all(f.ci_low <= truth <= f.ci_high for f in separated)


def test_constant_score_and_single_person_are_flagged():
    constant = delong([0, 0, 1, 1], [2.0, 2.0, 2.0, 2.0])
    assert (constant.auc, constant.ci_low, constant.ci_high, constant.se) == (0.5, 0.5, 0.5, 0.0)
    assert constant.degenerate
    assert constant.method == "none"
    single = delong([0, 0, 0, 1], [1, 2, 4, 3])
    assert single.auc == pytest.approx(2 / 3)
    assert single.degenerate
    assert np.isnan([single.se, single.ci_low, single.ci_high]).all()


def test_delong_test_of_scores_that_rank_alike_and_of_no_variance():
    y = [0, 0, 0, 1, 1, 1]
    a = [1.0, 2, 4, 3, 5, 6]
    same = delong_test(y, a, np.exp(a))
    assert (same.difference, same.z, same.p_value, same.se) == (0.0, 0.0, 1.0, 0.0)
    certain = delong_test(y, [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1])
    assert certain.difference == 0.5
    assert np.isnan([certain.z, certain.p_value, certain.ci_low]).all()


def test_delong_cov_agrees_with_one_model_at_a_time(golden_data):
    data = golden_data("roc")
    aucs, covariance = delong_cov(data["y"], data[["a", "b", "c"]])
    each = [delong(data["y"], data[name]) for name in "abc"]
    assert aucs == pytest.approx([found.auc for found in each], abs=1e-14)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([found.se for found in each], abs=1e-14)
    assert covariance == pytest.approx(covariance.T)


def test_reprs_read_like_a_sentence():
    assert repr(delong([0, 0, 1, 1, 1], [1, 3, 2, 4, 5])).startswith("AUCInterval(0.833, 95% CI ")
    assert "p = " in repr(delong_test([0, 0, 1, 1], [1, 3, 2, 4], [2, 1, 4, 3]))


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "only one class: 3 with and 0 without"),
        ([0, 0], [1, 2], "only one class: 0 with and 2 without"),
        ([0, 1, 2], [1, 2, 3], r"0 or 1, found 2\.0.*say which value is the event"),
        ([0, 1, None], [1, 2, 3], "1 of 3 values are missing"),
        ([0, 1, 1], [1, np.nan, 3], "score: 1 of 3 values are missing or infinite"),
        ([0, 1, 1], [1, np.inf, 3], "score: 1 of 3 values are missing or infinite"),
        ([0, 1, 1], ["1", "2", "3"], "score: expected numbers"),
        (["no", "yes"], [1, 2], "y: expected numbers"),
        (pd.Series(["0", "1"]), [1, 2], "y: expected numbers, found '0', '1'"),
        ([0, 1, 1], [1, 2], "y has 3 rows and score has 2"),
        ([0, 1], [[1], [2]], r"expected 1 dimension\(s\), found shape \(2, 1\)"),
    ],
)
def test_bad_arrays_are_refused(y, score, message):
    with pytest.raises(FormatError, match=message):
        auc(y, score)
    with pytest.raises(FormatError, match=message):
        delong(y, score)


def test_bad_options_are_refused():
    with pytest.raises(FormatError, match="confidence lies strictly between 0 and 1, found 95"):
        delong([0, 1], [1, 2], confidence=95)
    with pytest.raises(FormatError, match="'wald' or 'logit', found 'exact'"):
        delong([0, 1], [1, 2], method="exact")
    with pytest.raises(FormatError, match="y has 2 rows and scores has 3"):
        delong_cov([0, 1], [[1], [2], [3]])


def test_labelled_rows_must_match():
    y = pd.Series([0, 0, 1, 1], index=["s1", "s2", "s3", "s4"])
    score = pd.Series([1.0, 2, 3, 4], index=y.index)
    assert auc(y, score) == 1.0
    with pytest.raises(AlignmentError, match=r"same labels in another order.*score\.loc\[y\.index"):
        auc(y, score.iloc[::-1])
    with pytest.raises(AlignmentError, match="different labels"):
        delong(y, score.rename({"s1": "s9"}))
    with pytest.raises(AlignmentError, match="score_a and score_b"):
        delong_test(y.to_numpy(), score, score.iloc[::-1])
    with pytest.raises(AlignmentError, match="y and scores"):
        delong_cov(y, score.iloc[::-1].to_frame())
    # A default index is no label, unless it was permuted.
    assert auc(y, score.reset_index(drop=True)) == 1.0
    plain = pd.Series([0, 0, 1, 1])
    with pytest.raises(AlignmentError, match="another order"):
        auc(plain, pd.Series([1.0, 2, 3, 4]).sample(frac=1, random_state=0))


def test_flags_and_nullable_columns_are_outcomes():
    score = [1.0, 3, 2, 4]
    for y in (
        [False, True, False, True],
        pd.Series([0, 1, 0, 1], dtype="Int64"),
        pd.Series([False, True, False, True], dtype="boolean"),
        pd.Series([0, 1, 0, True], dtype=object),
    ):
        assert auc(y, score) == 1.0


@settings(max_examples=20)
@given(people)
def test_large_offsets_do_not_change_the_interval(rows):
    y, score = split(rows)
    assert figures(delong(y, score + 1e9)) == pytest.approx(figures(delong(y, score)), **CLOSE)


def test_import_is_light_and_functions_are_not_shadowed_by_their_modules():
    code = """
import sys
from precisionpain import stats

stats.delong, stats.calibration_curve, stats.TableOne
import precisionpain.stats.auc

assert all(callable(getattr(stats, name)) for name in stats.__all__), "a module hides a function"
heavy = {"sklearn", "statsmodels", "matplotlib", "torch", "anndata"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
