from __future__ import annotations

import dcurves
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.errors import FormatError
from precisionpain.stats import net_benefit


@pytest.mark.parametrize("prevalence", [None, 0.12])
def test_net_benefit_matches_dcurves(golden_data, prevalence):
    data = golden_data("calibration").rename(columns={"p": "model"})
    grid = np.arange(1, 100) / 100
    reference = dcurves.dca(
        data[["y", "model"]], "y", ["model"], thresholds=grid, prevalence=prevalence
    ).pivot(index="threshold", columns="model", values="net_benefit")
    found = net_benefit(data["y"], data["model"], prevalence=prevalence)
    assert found["threshold"].to_numpy() == pytest.approx(grid)
    # dcurves has no value where nobody is above the threshold; there it is zero.
    known = reference["model"].notna().to_numpy()
    assert known.sum() > 80
    assert found["model"].to_numpy()[known] == pytest.approx(
        reference["model"].to_numpy()[known], abs=1e-12
    )
    assert (found["model"][~known] == 0).all()
    assert found["treat_all"].to_numpy() == pytest.approx(reference["all"].to_numpy(), abs=1e-9)
    assert (found["treat_none"] == 0).all()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=3, max_size=40))
def test_net_benefit_has_its_bounds(rows):
    y, p = (np.array(part) for part in zip(*rows, strict=True))
    if y.all() or not y.any():
        return
    found = net_benefit(y, p / 10, thresholds=np.arange(0, 10) / 10)
    assert (found["model"] <= y.mean() + 1e-12).all()
    assert (found["standardised"] <= 1 + 1e-12).all()
    # At threshold zero everybody is treated, whatever the model says.
    assert found["model"][0] == pytest.approx(y.mean())
    assert found["treat_all"][0] == pytest.approx(y.mean())
    perfect = net_benefit(y, y.astype(float), thresholds=[0.1, 0.5, 0.9])
    assert perfect["standardised"].tolist() == pytest.approx([1, 1, 1])


def test_harm_of_false_positives_is_counted_at_the_odds():
    found = net_benefit([1, 0, 0, 0], [0.9, 0.9, 0.1, 0.1], thresholds=[0.8])
    assert found["model"][0] == pytest.approx(1 / 4 - 1 / 4 * 4)


def test_bad_arguments_are_refused():
    y, p = [0, 1], [0.2, 0.8]
    with pytest.raises(FormatError, match=r"thresholds lie between 0 and 1 \(excluded\)"):
        net_benefit(y, p, thresholds=[0.5, 1.0])
    with pytest.raises(FormatError, match="prevalence lies strictly between"):
        net_benefit(y, p, prevalence=30)
    with pytest.raises(FormatError, match="a probability lies between 0 and 1"):
        net_benefit(y, [2, 3])
    assert isinstance(net_benefit(y, p), pd.DataFrame)
