from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.stats import auc, bootstrap_interval, bootstrap_metrics, delong, wilson
from precisionpain.stats.intervals import _acceleration, _limits


def sample(n=150, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    return y, np.clip(0.3 + 0.15 * y + 0.15 * rng.normal(size=n), 0.01, 0.99)


rows_per_subject = st.lists(st.integers(1, 4), min_size=4, max_size=12)


@settings(max_examples=25)
@given(rows_per_subject, st.integers(0, 10_000))
def test_bootstrap_never_splits_a_subject_nor_loses_a_stratum(sizes, seed):
    rng = np.random.default_rng(seed)
    subject = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)
    # Two subjects of each kind at least; the last ones can have rows of both classes.
    y = np.concatenate([np.full(k, i % 2) for i, k in enumerate(sizes[:4])])
    y = np.r_[y, rng.integers(0, 2, size=len(subject) - len(y))]
    row = np.arange(len(subject))
    sides = pd.Series(y).groupby(subject).agg(lambda v: tuple(sorted(set(v))))
    expected = sides.value_counts()
    seen = []

    def check(rows, outcome):
        seen.append(rows)
        assert len(np.unique(outcome)) == 2
        drawn = np.bincount(rows, minlength=len(row))
        for name in np.unique(subject):
            times = drawn[subject == name]
            assert len(np.unique(times)) == 1, "rows of one subject were drawn unequally often"
        per_subject = pd.Series(drawn).groupby(subject).first()
        assert per_subject.groupby(sides).sum().equals(expected.sort_index())
        return 0.0

    found = bootstrap_interval(
        check, row, y, groups=subject, stratify=y, n_boot=20, random_state=seed
    )
    assert len(seen) == 21
    assert any(not np.array_equal(rows, row) for rows in seen)
    assert (found.estimate, found.se, found.n_failed) == (0.0, 0.0, 0)


def test_every_subject_is_drawn_equally_often():
    counts = np.zeros(10)

    def count(rows):
        counts[:] += np.bincount(rows, minlength=10)
        return 0.0

    bootstrap_interval(count, np.arange(10), n_boot=5000, random_state=0)
    counts -= 1
    assert counts.sum() == 50_000
    assert scipy_stats.chisquare(counts).pvalue > 0.001


def test_mean_has_the_textbook_standard_error_and_interval():
    values = np.random.default_rng(0).normal(10, 2, size=100)
    found = bootstrap_interval(np.mean, values, n_boot=4000, random_state=1)
    assert found.estimate == values.mean()
    # The bootstrap variance of a mean is s² (n - 1) / n²; its Monte Carlo error is 1.1%.
    expected = values.std(ddof=0) / 10
    assert found.se == pytest.approx(expected, rel=0.05)
    assert found.ci_low == pytest.approx(values.mean() - 1.96 * expected, abs=0.15 * expected)
    assert found.ci_high == pytest.approx(values.mean() + 1.96 * expected, abs=0.15 * expected)


def test_repeated_rows_of_a_subject_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    once = bootstrap_interval(np.mean, values, n_boot=1000, random_state=1)
    repeated, who = np.repeat(values, 4), np.repeat(np.arange(60), 4)
    grouped = bootstrap_interval(np.mean, repeated, groups=who, n_boot=1000, random_state=1)
    naive = bootstrap_interval(np.mean, repeated, n_boot=1000, random_state=1)
    assert grouped.se == pytest.approx(once.se, rel=1e-9)
    assert naive.se < 0.6 * once.se


def test_bca_equals_scipy_on_the_same_replicates():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=40)
    reference = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=3000, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = np.array([np.delete(values, i).mean() for i in range(40)])
    limits = _limits(
        reference.bootstrap_distribution,
        float(values.mean()),
        0.95,
        _acceleration(left_out, [np.arange(40)]),
    )
    assert limits == pytest.approx(tuple(reference.confidence_interval), abs=1e-12)


def test_stratified_bca_equals_scipy_with_two_samples():
    rng = np.random.default_rng(0)
    one, two = rng.exponential(size=30), rng.normal(size=45)

    def difference(x, y, axis=-1):
        return np.var(x, axis=axis) - np.mean(y, axis=axis)

    reference = scipy_stats.bootstrap(
        (one, two), difference, n_resamples=3000, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = [difference(np.delete(one, i), two) for i in range(30)]
    left_out += [difference(one, np.delete(two, i)) for i in range(45)]
    acceleration = _acceleration(np.array(left_out), [np.arange(30), np.arange(30, 75)])
    limits = _limits(
        reference.bootstrap_distribution, float(difference(one, two)), 0.95, acceleration
    )
    assert limits == pytest.approx(tuple(reference.confidence_interval), abs=1e-12)


def test_bca_has_no_limits_when_all_replicates_lie_on_one_side():
    assert np.isnan(_limits(np.array([1.0, 2.0, 3.0]), 0.5, 0.95, 0.1)).all()
    assert np.isnan(_limits(np.array([1.0, 2.0, 3.0]), 9.0, 0.95, 0.0)).all()
    # A statistic that never varies has itself as both limits.
    assert _limits(np.ones(5), 1.0, 0.95, 0.0) == (1.0, 1.0)


def test_bca_end_to_end_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=50)
    found = bootstrap_interval(np.mean, values, method="bca", n_boot=4000, random_state=0)
    reference = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    # Each limit's Monte Carlo error is about 5% of a standard error.
    assert found.ci_low == pytest.approx(reference.low, abs=0.2 * found.se)
    assert found.ci_high == pytest.approx(reference.high, abs=0.2 * found.se)
    assert found.method == "bca"
    plain = bootstrap_interval(np.mean, values, n_boot=4000, random_state=0)
    assert found.ci_high > plain.ci_high, "BCa moves the limits of a right-skewed mean up"


def test_fast_metrics_equal_the_plain_statistics_on_the_same_resamples():
    y, p = sample()
    subject = np.arange(150) // 2
    fast = bootstrap_metrics(
        y,
        p,
        {
            "auc": "auc",
            "brier": "brier",
            "slow_auc": auc,
            "slow_brier": lambda e, q: float(np.mean((q - e) ** 2)),
            "scaled": "scaled_brier",
            "slow_scaled": lambda e, q: 1 - np.mean((q - e) ** 2) / (e.mean() * (1 - e.mean())),
        },
        groups=subject,
        n_boot=200,
        random_state=3,
    )
    slow = bootstrap_interval(auc, y, p, groups=subject, stratify=y, n_boot=200, random_state=3)
    for one, two in (("auc", "slow_auc"), ("brier", "slow_brier"), ("scaled", "slow_scaled")):
        for name in ("estimate", "ci_low", "ci_high", "se"):
            assert getattr(fast[one], name) == pytest.approx(getattr(fast[two], name), abs=1e-12)
    assert fast["auc"].ci_low == pytest.approx(slow.ci_low, abs=1e-12)
    assert fast["auc"].estimate == auc(y, p)


def test_fast_auc_counts_ties_half():
    y = np.array([0, 1, 0, 1, 1, 0])
    p = np.array([0.5, 0.5, 0.2, 0.2, 0.5, 0.9])
    found = bootstrap_metrics(y, p, {"fast": "auc", "slow": auc}, n_boot=300, random_state=0)
    assert found["fast"].ci_low == pytest.approx(found["slow"].ci_low, abs=1e-12)
    assert found["fast"].se == pytest.approx(found["slow"].se, abs=1e-12)


def test_bootstrap_auc_agrees_with_delong():
    y, p = sample(300)
    found = bootstrap_metrics(y, p, ["auc"], n_boot=2000, random_state=0)["auc"]
    reference = delong(y, p)
    assert found.se == pytest.approx(reference.se, rel=0.1)
    assert found.ci_low == pytest.approx(reference.ci_low, abs=0.4 * reference.se)


def test_percentile_interval_covers_the_truth():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        values = rng.normal(size=60)
        found = bootstrap_interval(np.mean, values, n_boot=200, random_state=rng)
        hits += found.ci_low <= 0 <= found.ci_high
    # 93.5%: percentile limits at n = 60 and 200 replicates fall a little short of 95%.
    assert binom.ppf(0.001, 300, 0.935) <= hits <= binom.ppf(0.999, 300, 0.96)


def test_same_seed_same_interval_and_blocks_do_not_matter(monkeypatch):
    y, p = sample(60)
    one = bootstrap_metrics(y, p, n_boot=50, random_state=7)
    assert bootstrap_metrics(y, p, n_boot=50, random_state=7) == one
    assert bootstrap_metrics(y, p, n_boot=50, random_state=8) != one
    monkeypatch.setattr("precisionpain.stats.intervals._BLOCK", 60 * 7)
    small = bootstrap_metrics(y, p, n_boot=50, random_state=7)
    assert small["auc"].n_boot == 50
    # Blocks change which numbers are drawn for whom, not what they are drawn from.
    assert small["auc"].se == pytest.approx(one["auc"].se, rel=0.5)


def test_failures_are_counted_and_too_many_are_an_error():
    y = np.r_[np.zeros(12, int), 1, 1]
    score = np.arange(14.0)
    found = bootstrap_interval(auc, y, score, n_boot=400, random_state=0)
    # Without strata a replicate lacks both events with chance (12/14)^14 = 11.6%.
    assert binom.ppf(0.001, 400, 0.1155) <= found.n_failed <= binom.ppf(0.999, 400, 0.1155)
    assert f"{found.n_failed} failed" in repr(found)
    stratified = bootstrap_interval(auc, y, score, stratify=y, n_boot=400, random_state=0)
    assert stratified.n_failed == 0

    def only_once(values):
        if len(np.unique(values)) < 14:
            raise ValueError("ties")
        return 1.0

    with pytest.raises(FormatError, match=r"undefined in .* replicates \(the last time: ties\).*"
                       "pass stratify=y"):  # fmt: skip
        bootstrap_interval(only_once, score, n_boot=50, random_state=0)


def test_errors_of_the_statistic_on_the_data_are_not_hidden():
    with pytest.raises(FormatError, match="only one class"):
        bootstrap_interval(auc, [1, 1, 1], [1, 2, 3])
    with pytest.raises(KeyError):
        bootstrap_interval(lambda v: {}["x"], [1, 2, 3])
    with pytest.raises(FormatError, match="the statistic is nan on the data"):
        bootstrap_interval(lambda v: np.nan, [1, 2, 3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval(np.mean, [1, 2], method="t"), "'percentile' or 'bca'"),
        (lambda: bootstrap_interval(np.mean, [1, 2], n_boot=1), "n_boot is at least 2"),
        (lambda: bootstrap_interval(np.mean, [1, 2], confidence=95), "confidence lies strictly"),
        (lambda: bootstrap_interval(np.mean), "arrays of one length"),
        (lambda: bootstrap_interval(auc, [0, 1], [1]), r"arrays of one length, found \[2, 1\]"),
        (lambda: bootstrap_interval(np.mean, [1, 2], groups=["a"]), "2 rows and groups has 1"),
        (lambda: bootstrap_interval(np.mean, [1, 2], groups=["a", None]), "group label is missing"),
        (lambda: bootstrap_interval(np.mean, [1, 2], stratify=[1]), "2 rows and stratify has 1"),
        (lambda: bootstrap_interval(np.mean, [1, 2], stratify=[1, np.nan]), "stratum is missing"),
        (lambda: bootstrap_metrics([0, 1], [0.1, 0.9], ["f1"]), r"unknown measures \['f1'\].*auc"),
        (lambda: bootstrap_metrics([0, 1], [-1, 3]), "brier needs probabilities"),
        (
            lambda: bootstrap_interval(
                lambda v: auc(v > 1, v), [1, 2], stratify=[0, 1], method="bca"
            ),
            "undefined when one subject is left out",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(FormatError, match=message):
        call()


def test_labelled_rows_must_match():
    y = pd.Series([0, 0, 1, 1], index=list("abcd"))
    p = pd.Series([0.1, 0.2, 0.8, 0.9], index=list("dcba"))
    with pytest.raises(AlignmentError, match="array 0 and array 1"):
        bootstrap_interval(auc, y, p)
    with pytest.raises(AlignmentError, match="y and groups"):
        bootstrap_metrics(y, p.to_numpy(), groups=p)


@pytest.mark.parametrize(("k", "n"), [(0, 12), (3, 17), (50, 50), (55, 128)])
def test_wilson_matches_prop_test(golden, k, n):
    low, high = wilson(k, n)
    assert low == pytest.approx(golden[f"wilson.{k}.{n}.low"], abs=1e-12)
    assert high == pytest.approx(golden[f"wilson.{k}.{n}.high"], abs=1e-12)
    assert (low, high) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.5, 0.999))
def test_wilson_solves_its_equation(k, n, confidence):
    k = min(k, n)
    z = scipy_stats.norm.ppf((1 + confidence) / 2)
    for limit in wilson(k, n, confidence=confidence):
        assert 0 <= limit <= 1
        assert (limit - k / n) ** 2 == pytest.approx(z**2 * limit * (1 - limit) / n, abs=1e-9)


def test_wilson_of_nobody_is_missing_and_arrays_broadcast():
    low, high = wilson([0, 1, 0], [0, 2, 5])
    assert np.isnan([low[0], high[0]]).all()
    assert low.shape == (3,)
    assert low[2] == 0.0
    with pytest.raises(FormatError, match="each k lies between 0 and its n"):
        wilson(3, 2)
    with pytest.raises(FormatError, match="each k lies between 0 and its n"):
        wilson(np.nan, 2)
