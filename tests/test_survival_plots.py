"""Figures of the time to an event."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from precisionpain import plots, stats


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(0)
    time, event = rng.exponential(900, 80).round() + 1, rng.random(80) < 0.6
    half = np.arange(80) < 40
    return {name: (time[own], event[own]) for name, own in (("low", half), ("high", ~half))}


def drawn(ax):
    ax.figure.canvas.draw()
    return [text.get_text() for text in ax.texts]


def test_kaplan_meier_with_numbers_at_risk(groups):
    curves = {name: stats.kaplan_meier(*data) for name, data in groups.items()}
    ax = plots.kaplan_meier(curves, unit=("years", 365.25), until=1461, p_value=0.0004)
    told = drawn(ax)
    assert ax.get_xlim() == pytest.approx((0, 4))
    assert "log-rank p < 0.001" in told
    assert told[told.index("At risk") + 1] == "low"
    for name, (time, _) in groups.items():
        start = told.index(name) + 1
        shown = [int(n) for n in told[start : start + len(ax.get_xticks())]]
        assert shown == [int((time >= t * 365.25).sum()) for t in ax.get_xticks()]
    step = next(line for line in ax.get_lines() if line.get_label() == "low")
    x, y = step.get_data()
    assert (x[0], y[0]) == (0, 1)
    table = curves["low"].table.loc[:1461, "survival"]
    np.testing.assert_allclose(y[1:-1], table)
    np.testing.assert_allclose(x[1:-1], table.index / 365.25)
    assert len(ax.collections) == 2  # the bands


def test_cumulative_incidence(groups):
    curves = {
        name: stats.cumulative_incidence(time, np.where(event, 1 + (np.arange(40) % 4 == 0), 0))
        for name, (time, event) in groups.items()
    }
    ax = plots.cumulative_incidence(curves, names=("recurrence", "reoperation"))
    drawn(ax)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["low", "high", "recurrence", "reoperation"]
    top = max(curve.table["incidence"].max() for curve in curves.values())
    assert ax.get_ylim()[1] >= top


def test_calibration_at_a_horizon():
    rng = np.random.default_rng(1)
    risk = rng.uniform(0.05, 0.6, 200)
    time = rng.exponential(-1 / np.log1p(-risk)) * 365.25
    found = stats.calibration_at(time, np.ones(200), risk, 365.25)
    ax = plots.survival_calibration(found, name="cox")
    told = drawn(ax)
    assert ax.get_title(loc="left") == "Calibration at 1 year: cox"
    assert any(f"slope {found.slope:.2f}" in text for text in told)
    low, high = ax.get_xlim()
    assert low == 0
    assert high >= found.groups[["mean_predicted", "observed"]].max().max()


def test_auc_at_horizons():
    table = pd.DataFrame(
        {"auc": [0.7, 0.6], "ci_low": [0.6, 0.45], "ci_high": [0.8, 0.75]}, index=[365.25, 730.5]
    )
    ax = plots.time_auc({"cox": table, "clinic": table[["auc"]]})
    drawn(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2"]
    assert ax.get_ylim()[0] < 0.45


def test_axes_that_are_given_are_used(groups):
    own = Figure().add_subplot()
    curve = {"all": stats.kaplan_meier(*groups["low"])}
    assert plots.kaplan_meier(curve, ax=own) is own
