"""Times to an event against R's survival, scikit-survival and torchsurv; see golden/."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from precisionpain.stats import (
    brier_score,
    calibration_at,
    cumulative_dynamic_auc,
    cumulative_incidence,
    harrell_c,
    integrated_brier_score,
    kaplan_meier,
    log_rank,
    uno_c,
)

NAMES = ("plain", "ties", "heavy", "none")
each = pytest.mark.parametrize("name", NAMES)
CLOSE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(scope="module")
def record():
    path = Path(__file__).parent / "golden" / "survival.json"
    return json.loads(path.read_text(encoding="utf-8"))


def arrays(record, name):
    return {key: np.asarray(value) for key, value in record["data"][name].items()}


def numbers(values):
    return np.asarray(values, dtype=float)  # None becomes NaN


def training(d):
    return {"train_time": d["train_time"], "train_event": d["train_event"]}


@each
def test_kaplan_meier(record, name):
    d, r = arrays(record, name), record["R"][name]["km"]
    table = kaplan_meier(d["time"], d["event"]).table
    np.testing.assert_array_equal(table.index, r["time"])
    np.testing.assert_array_equal(table["n_at_risk"], r["n"])
    np.testing.assert_allclose(table["survival"], numbers(r["survival"]), **CLOSE)
    np.testing.assert_allclose(
        table["survival"], record["scikit-survival"][name]["km"]["survival"], **CLOSE
    )
    left = table["survival"].to_numpy() > 0  # at 0 R has no standard error
    np.testing.assert_allclose(table["se"][left], numbers(r["se"])[left], **CLOSE)
    inside = left & (table["survival"] < 1)  # before the first event R has no limits
    for ours, theirs in (("ci_low", "low"), ("ci_high", "high")):
        np.testing.assert_allclose(table[ours][inside], numbers(r[theirs])[inside], **CLOSE)


@each
def test_harrell(record, name):
    d, r = arrays(record, name), record["R"][name]
    found = harrell_c(d["time"], d["event"], d["risk"])
    assert found.c == pytest.approx(r["c"]["c"], abs=1e-8)
    assert found.se == pytest.approx(r["c"]["se"], abs=1e-8)
    counts = [found.concordant, found.discordant, found.tied_risk]
    assert counts == r["c"]["count"][:3]
    c, concordant, discordant, tied = record["scikit-survival"][name]["c"]
    assert found.c == pytest.approx(c, abs=1e-8)
    assert counts == [concordant, discordant, tied]
    # R counts pairs with both events at one time apart by whether the risks differ.
    assert found.tied_time == sum(r["c"]["count"][3:5])
    if name != "ties":
        assert found.c == pytest.approx(record["torchsurv"][name]["c"], abs=1e-8)
    within = harrell_c(d["time"], d["event"], d["risk"], strata=d["group"])
    assert within.c == pytest.approx(r["c_strata"]["c"], abs=1e-8)
    assert within.se == pytest.approx(r["c_strata"]["se"], abs=1e-8)


@each
def test_uno(record, name):
    d, r = arrays(record, name), record["R"][name]["uno"]
    own = uno_c(d["time"], d["event"], d["risk"], tau=d["tau"])
    assert own.c == pytest.approx(r["c"], abs=1e-8)
    assert own.se == pytest.approx(r["se"], abs=1e-8)
    found = uno_c(d["time"], d["event"], d["risk"], tau=d["tau"], **training(d))
    assert not found.clipped
    assert found.c == pytest.approx(record["scikit-survival"][name]["uno"], abs=1e-8)
    if name != "ties":
        assert found.c == pytest.approx(record["torchsurv"][name]["uno"], abs=1e-8)


@each
def test_brier_and_auc(record, name):
    d = arrays(record, name)
    table = brier_score(d["time"], d["event"], d["survival"], d["times"], **training(d))
    area = cumulative_dynamic_auc(d["time"], d["event"], d["risk"], d["times"], **training(d))
    whole = integrated_brier_score(d["time"], d["event"], d["survival"], d["times"], **training(d))
    sources = [record["R"][name], record["scikit-survival"][name]]
    sources += [record["torchsurv"][name]] if name != "ties" else []
    for source in sources:
        np.testing.assert_allclose(table["brier"], source["brier"], **CLOSE)
        np.testing.assert_allclose(area["auc"], source["auc"], **CLOSE)
    expected = record["scikit-survival"][name]["integrated"]
    assert whole["brier"] == pytest.approx(expected, abs=1e-8)


@each
def test_log_rank(record, name):
    d, r = arrays(record, name), record["R"][name]["logrank"]
    found = log_rank(d["time"], d["event"], d["group"])
    assert found.statistic == pytest.approx(r["chisq"], abs=1e-8)
    np.testing.assert_allclose(found.table["expected"], r["expected"], **CLOSE)
    np.testing.assert_array_equal(found.table["observed"], r["observed"])


@pytest.mark.parametrize("name", ["plain", "ties", "heavy"])
def test_competing_causes(record, name):
    d, r = arrays(record, name), record["R"][name]["aj"]
    found = cumulative_incidence(d["time"], d["cause"])
    for cause in (1, 2):
        table = found.table.loc[cause]
        np.testing.assert_array_equal(table.index, r["time"])
        incidence = table["incidence"].to_numpy()
        np.testing.assert_allclose(incidence, numbers(r["incidence"])[:, cause - 1], **CLOSE)
        np.testing.assert_allclose(
            incidence[np.isin(table.index, record["scikit-survival"][name]["aj"]["time"])],
            np.asarray(record["scikit-survival"][name]["aj"]["incidence"])[:, cause - 1],
            **CLOSE,
        )
        np.testing.assert_allclose(table["se"], numbers(r["se"])[:, cause - 1], **CLOSE)
        inside = incidence > 0
        for ours, theirs in (("ci_low", "low"), ("ci_high", "high")):
            np.testing.assert_allclose(
                table[ours][inside], numbers(r[theirs])[inside, cause - 1], **CLOSE
            )


@each
def test_calibration(record, name):
    d, r = arrays(record, name), record["R"][name]["calibration"]
    found = calibration_at(d["time"], d["event"], 1 - d["survival"][:, 1], float(d["horizon"]))
    assert not found.clipped
    z = 1.959963984540054
    assert found.slope == pytest.approx(r["slope"], abs=1e-8)
    assert found.slope_high - found.slope == pytest.approx(z * r["slope_se"], abs=1e-7)
    assert found.intercept == pytest.approx(r["intercept"], abs=1e-8)
    assert found.intercept - found.intercept_low == pytest.approx(z * r["intercept_se"], abs=1e-7)
    assert found.observed == pytest.approx(r["observed"], abs=1e-8)
    assert found.observed_low == pytest.approx(r["low"], abs=1e-8)
    assert found.observed_high == pytest.approx(r["high"], abs=1e-8)
