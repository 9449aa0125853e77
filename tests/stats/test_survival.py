"""Times to an event: analytic truth, properties, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.errors import AlignmentError, ConvergenceWarning, DataWarning, FormatError
from precisionpain.stats import (
    auc,
    brier_score,
    calibration_at,
    clip_horizons,
    cumulative_dynamic_auc,
    cumulative_incidence,
    harrell_c,
    integrated_brier_score,
    kaplan_meier,
    local_linear,
    log_rank,
    uno_c,
)

people = st.integers(3, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 8), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.integers(0, 5), min_size=n, max_size=n),
    )
)


def weibull(n: int, seed: int, *, censoring: float = 1.5):
    """Times with hazard ratio e per unit of x, and the true chance of no event by 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    event_time = np.exp(-x / 1.5) * rng.weibull(1.5, n)
    lost = rng.exponential(censoring, n)
    return np.minimum(event_time, lost), event_time <= lost, x, np.exp(-np.exp(x))


# --- curves -------------------------------------------------------------------------------


def test_without_censoring_the_curve_is_the_share_left():
    time = np.random.default_rng(0).integers(1, 30, 200).astype(float)
    table = kaplan_meier(time, np.ones(200)).table
    share = [(time > t).mean() for t in table.index]
    np.testing.assert_allclose(table["survival"], share, atol=1e-12)
    np.testing.assert_allclose(table["se"], np.sqrt(np.array(share) * (1 - np.array(share)) / 200))
    assert (table["n_censored"] == 0).all()


@given(people)
def test_curves_stay_in_bounds_and_add_up(drawn):
    time, event, cause = (np.array(part) for part in drawn)
    table = kaplan_meier(time, event).table
    assert table["survival"].between(0, 1).all()
    assert (np.diff(table["survival"]) <= 1e-12).all()
    inside = table.dropna()
    assert (inside["ci_low"] <= inside["survival"] + 1e-12).all()
    assert (inside["survival"] <= inside["ci_high"] + 1e-12).all()
    if (cause > 0).any():
        found = cumulative_incidence(time, cause)
        total = found.table["incidence"].groupby(level="time").sum()
        anything = kaplan_meier(time, cause > 0).table["survival"]
        np.testing.assert_allclose(total, 1 - anything, atol=1e-12)


def test_one_cause_is_one_minus_kaplan_meier():
    time, event, _, _ = weibull(150, 1)
    one = cumulative_incidence(time, event.astype(int))
    curve = kaplan_meier(time, event)
    np.testing.assert_allclose(one.table["incidence"], 1 - curve.table["survival"], atol=1e-12)
    left = curve.table["survival"] > 0
    np.testing.assert_allclose(
        one.table["se"][left.to_numpy()], curve.table["se"][left], atol=1e-10
    )
    points = [0.1, 0.5, 1.0]
    np.testing.assert_allclose(
        one.at(points)["incidence"], 1 - curve.at(points)["survival"], atol=1e-12
    )


def test_incidence_of_competing_exponentials():
    rng = np.random.default_rng(2)
    n, a, b = 40_000, 1.0, 0.5
    first, second, lost = (
        rng.exponential(1 / a, n),
        rng.exponential(1 / b, n),
        rng.exponential(2, n),
    )
    time = np.minimum(np.minimum(first, second), lost)
    cause = np.select([time == first, time == second], [1, 2], 0)
    found = cumulative_incidence(time, cause).at([0.5, 1.5])
    for number, rate in ((1, a), (2, b)):
        truth = rate / (a + b) * -np.expm1(-(a + b) * np.array([0.5, 1.5]))
        np.testing.assert_allclose(found.loc[number, "incidence"], truth, atol=0.01)
    # What taking the other cause for censoring would say is the chance in another world.
    wrong = 1 - kaplan_meier(time, cause == 1).at([1.5])["survival"].iloc[0]
    assert wrong == pytest.approx(-np.expm1(-a * 1.5), abs=0.01)
    assert wrong > found.loc[(1, 1.5), "incidence"] + 0.1


def test_limits_cover_the_truth():
    inside = []
    for seed in range(300):
        time, event, _, _ = weibull(60, seed)
        row = kaplan_meier(time, event).at([0.5]).iloc[0]
        z = np.random.default_rng(0).normal(size=20_000)
        truth = np.mean(np.exp(-np.exp(z) * 0.5**1.5))
        inside.append(row["ci_low"] <= truth <= row["ci_high"])
    assert 0.91 <= np.mean(inside) <= 0.985


def test_reading_curves_off():
    curve = kaplan_meier([1, 2, 4, 4], [1, 0, 1, 0])
    table = curve.at([0.5, 1, 1.5, 4, 5])
    assert table["n_at_risk"].tolist() == [4, 4, 3, 2, 0]
    np.testing.assert_allclose(table["survival"], [1, 0.75, 0.75, 0.375, np.nan])
    assert curve.median == 4
    assert np.isnan(kaplan_meier([1, 2, 3], [1, 0, 0]).median)
    gone = kaplan_meier([1, 2], [1, 1]).at([3])
    assert gone["survival"].tolist() == [0]  # nobody is left to have the event later
    assert "2 people, 2 events" in repr(kaplan_meier([1, 2], [1, 1]))
    both = cumulative_incidence([1, 2, 3], [1, 2, 0])
    assert both.causes == [1, 2]
    assert both.at([9])["incidence"].isna().all()
    assert "1 of cause 1, 1 of cause 2" in repr(both)


def test_log_rank_of_two_groups_by_hand():
    """Four people, one event at a time: O - E and its variance on paper."""
    found = log_rank([1, 2, 3, 4], [1, 1, 1, 0], ["a", "a", "b", "b"])
    expected = 2 / 4 + 1 / 3
    variance = 1 / 4 + 2 / 9
    assert found.table.loc["a", "expected"] == pytest.approx(expected)
    assert found.statistic == pytest.approx((2 - expected) ** 2 / variance)
    assert np.isnan(log_rank([1, 2, 3, 4], [0, 0, 0, 0], ["a", "a", "b", "b"]).statistic)


# --- concordance --------------------------------------------------------------------------


def pairs_by_hand(time, event, risk):
    won = all_ = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            earlier = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if i != j and event[i] and earlier:
                all_ += 1
                won += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return won, all_


@given(people)
def test_harrell_counts_pairs(drawn):
    time, event, risk = (np.array(part) for part in drawn)
    won, all_ = pairs_by_hand(time, event, risk)
    if not all_:
        with pytest.raises(FormatError, match="no pair of people can be compared"):
            harrell_c(time, event, risk)
        return
    found = harrell_c(time, event, risk)
    assert found.c == pytest.approx(won / all_)
    assert found.concordant + found.discordant + found.tied_risk == all_
    assert harrell_c(time, event, -risk).c == pytest.approx(1 - found.c)
    assert harrell_c(time, event, np.zeros(len(time))).c == 0.5


def test_without_censoring_unos_is_harrells():
    time, _, x, _ = weibull(80, 3)
    everybody = np.ones(80)
    uno = uno_c(time, everybody, x)
    assert uno.c == pytest.approx(harrell_c(time, everybody, x).c, abs=1e-12)
    assert uno.tau == time.max()


def test_two_times_make_the_auc():
    rng = np.random.default_rng(4)
    event, risk = rng.random(100) < 0.4, rng.normal(size=100).round(1)
    time = np.where(event, 1.0, 2.0)
    assert harrell_c(time, event, risk).c == pytest.approx(auc(event, risk), abs=1e-12)
    table = cumulative_dynamic_auc(time, event, risk, [1.5])
    assert table["auc"].iloc[0] == pytest.approx(auc(event, risk), abs=1e-12)


def test_only_unos_forgets_how_long_people_were_followed():
    """Short follow-up leaves the early pairs, which an early hazard makes easier to rank."""
    rng = np.random.default_rng(5)
    n = 6000
    x = rng.normal(size=n)
    # The hazard of those at risk is twice 1 until time 1, and then the same for all.
    gap = rng.exponential(size=n) / np.exp(1.5 * x)
    event_time = np.where(gap < 1, gap, 1 + rng.exponential(size=n))
    truth = harrell_c(np.minimum(event_time, 2), event_time < 2, x).c
    lost = rng.exponential(1.2, n)
    time, event = np.minimum(event_time, lost), event_time <= lost
    uno = uno_c(time, event, x, tau=2.0).c
    assert abs(uno - truth) < 0.01
    assert abs(harrell_c(time, event, x).c - truth) > 0.02


def test_the_interval_of_c_covers():
    truth = np.mean([harrell_c(*weibull(2000, 900 + s)[:3]).c for s in range(10)])
    inside = [
        found.ci_low <= truth <= found.ci_high
        for found in (harrell_c(*weibull(100, s)[:3]) for s in range(300))
    ]
    assert 0.91 <= np.mean(inside) <= 0.985


def test_strata_compare_only_within():
    time, event, x, _ = weibull(60, 6)
    fold = np.arange(60) % 3
    parts = [pairs_by_hand(time[fold == k], event[fold == k], x[fold == k]) for k in range(3)]
    won, all_ = np.sum(parts, axis=0)
    found = harrell_c(time, event, x, strata=fold)
    assert found.c == pytest.approx(won / all_)
    shifted = harrell_c(time, event, x + 100.0 * fold, strata=fold)
    assert shifted.c == found.c
    assert uno_c(time, event, x + 100.0 * fold, strata=fold).c == pytest.approx(
        uno_c(time, event, x, strata=fold).c
    )


def test_tau_is_clipped_to_the_follow_up():
    time, event, x, _ = weibull(60, 7)
    short = np.minimum(time, 0.8), event & (time <= 0.8)
    with pytest.warns(DataWarning, match=r"tau = 5 is beyond the follow-up; events up to 0\.\d+"):
        found = uno_c(time, event, x, train_time=short[0], train_event=short[1], tau=5)
    assert found.clipped
    assert found.tau == pytest.approx(0.8)
    assert found.tau < 0.8
    assert "until" in repr(found)
    again = uno_c(time, event, x, train_time=short[0], train_event=short[1])
    assert (again.c, again.clipped) == (found.c, False)


# --- scores at horizons -------------------------------------------------------------------


def test_without_censoring_brier_is_the_squared_error():
    rng = np.random.default_rng(8)
    time, predicted = rng.uniform(0, 3, 90), rng.random((90, 2))
    table = brier_score(time, np.ones(90), predicted, [1.0, 2.0])
    for k, t in enumerate((1.0, 2.0)):
        assert table["brier"].iloc[k] == pytest.approx(np.mean(((time > t) - predicted[:, k]) ** 2))
        share = np.mean(time > t)
        assert table["reference"].iloc[k] == pytest.approx(share * (1 - share))


def test_without_censoring_the_auc_at_a_horizon_is_the_auc():
    rng = np.random.default_rng(9)
    time, risk = rng.uniform(0, 3, 90), rng.normal(size=90).round(1)
    table = cumulative_dynamic_auc(time, np.ones(90), risk, [1.0, 2.0])
    for t in (1.0, 2.0):
        assert table.loc[t, "auc"] == pytest.approx(auc(time <= t, risk), abs=1e-12)


def test_censoring_does_not_move_the_scores():
    """With weights the scores of half censored people are those of the same people uncensored."""
    time, event, x, s = weibull(20_000, 10, censoring=1.0)
    full, everybody, same, _ = weibull(20_000, 10, censoring=1e9)
    np.testing.assert_array_equal(x, same)
    assert event.mean() < 0.6 < everybody.mean()
    for score in (
        lambda t, e: brier_score(t, e, s, 1.0)["brier"].iloc[0],
        lambda t, e: cumulative_dynamic_auc(t, e, x, 1.0)["auc"].iloc[0],
        lambda t, e: calibration_at(t, e, 1 - s, 1.0).observed,
    ):
        assert score(time, event) == pytest.approx(score(full, everybody), abs=0.01)


def test_truth_scores_better_than_anything_else():
    time, event, x, s = weibull(4000, 11)
    true = brier_score(time, event, s, 1.0)
    for other in (s**2, np.sqrt(s), np.full(4000, s.mean()), np.clip(s + 0.2, 0, 1)):
        assert brier_score(time, event, other, 1.0)["brier"].iloc[0] > true["brier"].iloc[0]
    assert true["scaled"].iloc[0] > 0.2
    grid = np.linspace(0.1, 1.0, 10)
    curves = np.exp(-np.exp(x)[:, None] * grid**1.5)
    whole = integrated_brier_score(time, event, curves, grid)
    each = brier_score(time, event, curves, grid)["brier"]
    assert whole["brier"] == pytest.approx(np.trapezoid(each, grid) / 0.9)
    assert 0 < whole["scaled"] < 1


def test_horizons_past_the_follow_up():
    time, event = [1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 0, 1, 0]
    clipped = clip_horizons([2, 4.5, 9], time, event)
    # The last one was censored at 5: up to just before it, that one is known to be well.
    assert clipped["time"].tolist() == pytest.approx([2.0, 4.5, 5.0], abs=1e-9)
    assert clipped["time"].iloc[2] < 5
    assert clipped["clipped"].tolist() == [False, False, True]
    assert clipped["n_at_risk"].tolist() == [4, 1, 1]
    shorter = clip_horizons([2, 9], time, event, train_time=[1, 2, 3], train_event=[1, 1, 1])
    assert shorter["time"].tolist() == [2.0, 3.0]
    with pytest.warns(DataWarning, match=r"1 of 2 horizons \(9\) are beyond .* goes to 5"):
        table = brier_score(time, event, np.full((5, 2), 0.5), [2, 9])
    assert table["beyond"].tolist() == [False, True]
    assert table["brier"].isna().tolist() == [False, True]
    with pytest.warns(DataWarning, match="beyond the follow-up"):
        assert np.isnan(cumulative_dynamic_auc(time, event, time, [9])["auc"].iloc[0])
    with (
        pytest.warns(DataWarning),
        pytest.raises(FormatError, match="at least two horizons within the follow-up, found 1"),
    ):
        integrated_brier_score(time, event, np.full((5, 2), 0.5), [2, 9])
    with pytest.warns(DataWarning, match="horizon of 9 is beyond the follow-up: judged at 5"):
        found = calibration_at(time, event, [0.9, 0.3, 0.5, 0.4, 0.6], 9.0, n_groups=2)
    assert found.clipped
    assert found.horizon == pytest.approx(5)
    everybody = brier_score([1.0, 2.0, 2.0], [1, 0, 0], [0.2, 0.9, 0.9], 1.5)
    assert not everybody["beyond"].any()  # all followed to 2 are known to be well at 1.5


# --- calibration --------------------------------------------------------------------------


def test_true_risks_are_calibrated_and_extreme_ones_are_not():
    slopes = []
    for seed in range(60):
        time, event, x, s = weibull(400, 100 + seed)
        found = calibration_at(time, event, 1 - s, 1.0)
        slopes.append((found.slope_low <= 1 <= found.slope_high, found.slope))
    assert np.mean([covered for covered, _ in slopes]) >= 0.85
    assert np.mean([slope for _, slope in slopes]) == pytest.approx(1, abs=0.05)
    time, event, x, s = weibull(5000, 12)
    extreme = calibration_at(time, event, 1 - np.exp(-np.exp(2 * x)), 1.0)
    assert extreme.slope == pytest.approx(0.5, abs=0.05)
    shifted = calibration_at(time, event, 1 - np.exp(-np.exp(x + np.log(2))), 1.0)
    assert shifted.intercept == pytest.approx(-np.log(2), abs=0.1)
    assert shifted.observed_expected < 0.9
    good = calibration_at(time, event, 1 - s, 1.0)
    assert good.ici < 0.02 < extreme.ici
    truth = good.groups
    assert (truth["mean_predicted"].between(truth["ci_low"] - 0.02, truth["ci_high"] + 0.02)).all()
    assert truth["n"].tolist() == [1000] * 5


def test_without_censoring_the_smooth_curve_is_the_local_linear_one():
    time, _, _, s = weibull(300, 13)
    risk = 1 - s
    found = calibration_at(time, np.ones(300), risk, 1.0)
    expected = local_linear(risk, (time <= 1).astype(float), found.curve["predicted"])
    np.testing.assert_allclose(found.curve["observed"], np.clip(expected, 0, 1), atol=1e-6)


def test_risks_that_cannot_be_judged():
    time, event, _, s = weibull(50, 14)
    flat = calibration_at(time, event, np.full(50, 0.4), 1.0)
    assert np.isnan(flat.slope)
    assert len(flat.groups) == 1
    with pytest.warns(ConvergenceWarning, match="slope can't be found"):
        found = calibration_at([1, 2, 3, 4], [1, 1, 1, 1], [0.9, 0.8, 0.2, 0.1], 2.5, n_groups=2)
    assert np.isnan(found.slope)
    before = calibration_at(time + 5, event, 1 - s, 1.0)
    assert np.isnan(before.slope)
    assert before.observed == 0


# --- what is refused ----------------------------------------------------------------------


def test_what_makes_no_sense():
    with pytest.raises(FormatError, match="1 of 3 times are negative, the least -1"):
        kaplan_meier([-1, 2, 3], [1, 0, 1])
    with pytest.raises(FormatError, match=r"0 or 1, found 2.0"):
        kaplan_meier([1, 2, 3], [1, 0, 2])
    with pytest.raises(FormatError, match="1 of 3 values are missing or infinite"):
        harrell_c([1, np.nan, 3], [1, 0, 1], [1, 2, 3])
    with pytest.raises(FormatError, match="there is nobody"):
        kaplan_meier([], [])
    with pytest.raises(FormatError, match="time has 3 values and event has 2"):
        kaplan_meier([1, 2, 3], [1, 0])
    with pytest.raises(FormatError, match="risk has 2 rows"):
        harrell_c([1, 2, 3], [1, 0, 1], [1, 2])
    with pytest.raises(FormatError, match=r"whole number from 1 on, found .-1\.0, 1\.5"):
        cumulative_incidence([1, 2, 3], [1, 1.5, -1])
    with pytest.raises(FormatError, match="nobody has an event"):
        cumulative_incidence([1, 2, 3], [0, 0, 0])
    with pytest.raises(FormatError, match="at least two groups, found 1"):
        log_rank([1, 2, 3], [1, 1, 1], ["a", "a", "a"])
    with pytest.raises(FormatError, match="horizons lie above 0"):
        brier_score([1, 2], [1, 1], [0.5, 0.5], 0.0)
    with pytest.raises(FormatError, match="each after the one before"):
        clip_horizons([2, 1], [1, 2], [1, 1])
    with pytest.raises(FormatError, match=r"2 people × 1 horizons, found .2, 2"):
        brier_score([1, 2], [1, 1], np.full((2, 2), 0.5), 1.0)
    with pytest.raises(FormatError, match=r"between 0 and 1, found 0\.5 to 1\.5"):
        brier_score([1, 2], [1, 1], [0.5, 1.5], 1.0)
    with pytest.raises(FormatError, match="risk has 2 columns for 1 horizons"):
        cumulative_dynamic_auc([1, 2], [1, 1], np.ones((2, 2)), 1.0)
    with pytest.raises(FormatError, match="given together"):
        uno_c([1, 2], [1, 1], [1, 2], train_time=[1, 2])
    with pytest.raises(FormatError, match="a risk lies between 0 and 1"):
        calibration_at([1, 2], [1, 1], [0.5, 2], 1.0)
    with pytest.raises(FormatError, match="a stratum for each of 3 people"):
        harrell_c([1, 2, 3], [1, 0, 1], [1, 2, 3], strata=[1, 2])


def test_rows_in_another_order_are_refused():
    time = pd.Series([1.0, 2.0, 3.0], index=["a", "b", "c"])
    event = pd.Series([1, 0, 1], index=["a", "b", "c"])
    risk = pd.Series([3.0, 2.0, 1.0], index=["c", "b", "a"])
    with pytest.raises(AlignmentError, match="another order"):
        harrell_c(time, event, risk)
    assert harrell_c(time, event, risk[time.index]).c == 0.0


def test_nothing_is_warned_about_in_plain_cases():
    time, event, x, s = weibull(80, 15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kaplan_meier(time, event)
        uno_c(time, event, x)
        brier_score(time, event, s, 0.5)
        calibration_at(time, event, 1 - s, 0.5)
