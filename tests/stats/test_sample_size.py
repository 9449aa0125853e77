from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from precisionpain.errors import FormatError
from precisionpain.stats import (
    cox_snell_r2,
    minimum_sample_size,
    sample_size_verdict,
    supported_parameters,
)

prevalences, statistics = st.floats(0.02, 0.98), st.floats(0.55, 0.95)


@pytest.mark.parametrize(("prevalence", "c"), [(0.25, 0.75), (0.1, 0.85), (0.5, 0.65)])
def test_r2_matches_a_simulated_logistic_model(golden, prevalence, c):
    # R fitted a million simulated people; four standard errors of that simulation.
    key = f"r2.{prevalence:g}.{c:g}."
    error = golden[key + "se"]
    assert error < 0.001
    assert cox_snell_r2(prevalence, c) == pytest.approx(golden[key + "r2"], abs=4 * error)


@settings(max_examples=15, deadline=None)
@given(prevalences, st.floats(0.55, 0.97))
def test_r2_matches_adaptive_quadrature(prevalence, c):
    distance = np.sqrt(2) * norm.ppf(c)
    intercept = np.log(prevalence / (1 - prevalence)) - distance**2 / 2

    def log_likelihood(x, event):
        eta = intercept + distance * x
        return norm.pdf(x - distance * event) * -np.logaddexp(0, -eta if event else eta)

    gain = sum(
        share * (quad(log_likelihood, -12, 16, args=(event,), epsabs=1e-12)[0] - np.log(share))
        for event, share in ((1, prevalence), (0, 1 - prevalence))
    )
    assert cox_snell_r2(prevalence, c) == pytest.approx(1 - np.exp(-2 * gain), abs=1e-8)


@given(prevalences, statistics)
def test_r2_is_symmetric_in_the_classes_and_below_its_maximum(prevalence, c):
    r2 = cox_snell_r2(prevalence, c)
    assert r2 == pytest.approx(cox_snell_r2(1 - prevalence, c), abs=1e-10)
    assert 0 < r2 < cox_snell_r2(prevalence, min(0.99, c + 0.02))
    null = prevalence * np.log(prevalence) + (1 - prevalence) * np.log(1 - prevalence)
    need = minimum_sample_size(prevalence, c, 1)
    assert need.r2_max == pytest.approx(1 - np.exp(2 * null))
    assert r2 < need.r2_max


def test_the_published_worked_example():
    # A diagnostic model for Chagas disease (Riley et al. 2019): R2 0.288, prevalence 0.174
    # and 24 parameters need 623, 662 and 221 people, 4.8 events per parameter. The C
    # statistic that has this R2 is found here.
    c = brentq(lambda value: cox_snell_r2(0.174, value) - 0.288, 0.6, 0.99, xtol=1e-13)
    need = minimum_sample_size(0.174, c, 24)
    assert (need.n_shrinkage, need.n_optimism, need.n_risk) == (623, 662, 221)
    assert need.n == 662
    assert need.events_per_parameter == pytest.approx(4.8, abs=0.01)


def test_a_c_statistic_gives_what_pmsampsize_simulates():
    # Its own tests expect 615, 660 and 221 for C = 0.89, from a million simulated people:
    # a standard error of R2 of about 0.0006 is 1.6 and 0.3 people.
    need = minimum_sample_size(0.174, 0.89, 24)
    assert need.n_shrinkage == pytest.approx(615, abs=3)
    assert need.n_optimism == pytest.approx(660, abs=1)
    assert need.n_risk == 221


def test_ten_and_five_parameters_at_a_quarter_and_075():
    ten, five = minimum_sample_size(0.25, 0.75, 10), minimum_sample_size(0.25, 0.75, 5)
    # A simulation of a million people gave 574. Its standard error is 2.4 people (that of
    # R2, 0.0006, times 10 d n / d R2); the integral gives 569, within 2.2 of these.
    assert ten.n == pytest.approx(574, abs=2.5 * 2.4)
    assert ten.n == ten.n_shrinkage
    # Here the overall risk decides, which needs no simulation.
    assert five.n == five.n_risk == 289
    assert five.n_shrinkage < 289
    assert supported_parameters(150, 0.25, 0.75) == 2
    assert supported_parameters(180, 0.25, 0.75) == 3


@given(prevalences, statistics, st.integers(1, 40))
def test_supported_parameters_inverts_the_criteria(prevalence, c, k):
    need = minimum_sample_size(prevalence, c, k)
    enough = max(need.n_shrinkage, need.n_optimism)
    assert supported_parameters(enough, prevalence, c) >= k
    if enough > 2:
        assert supported_parameters(enough - 1, prevalence, c) < k
    assert need.n >= need.n_risk
    assert need.events == pytest.approx(need.n * prevalence)


@given(prevalences, statistics)
def test_criteria_hold_at_their_own_solution(prevalence, c):
    # Put n back into the shrinkage formula of van Houwelingen and Le Cessie that criterion 1
    # solves: S = 1 + P / (n ln(1 - R2 / S)).
    need = minimum_sample_size(prevalence, c, 10)
    shrinkage = 1 + 10 / (need.n_shrinkage * np.log(1 - need.r2_cox_snell / 0.9))
    assert 0.9 <= shrinkage < 0.9 + 0.1 / need.n_shrinkage * 2
    wider = minimum_sample_size(prevalence, c, 10, risk_margin=0.1)
    assert wider.n_risk <= need.n_risk / 4 + 1
    stricter = minimum_sample_size(prevalence, c, 10, shrinkage=0.95)
    assert stricter.n_shrinkage > need.n_shrinkage


def test_verdict_says_what_to_do():
    few = sample_size_verdict(150, 38, 10)
    assert not few.ok
    assert few.supported == 2
    assert few.required > 500
    assert str(few).startswith("150 people with 38 events are too few for 10 parameters")
    assert "this sample carries 2" in few.sentence
    enough = sample_size_verdict(600, 150, 10)
    assert enough.ok
    assert "suffice for 10 parameters" in enough.sentence
    risk = sample_size_verdict(150, 38, 2)
    assert not risk.ok
    assert "not to know the overall risk to within 5 points" in risk.sentence
    tiny = sample_size_verdict(30, 1, 5)
    assert "30 people with 1 event are too few" in tiny.sentence
    assert tiny.sentence.endswith("carries none.")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum_sample_size(25, 0.75, 5), "prevalence lies strictly between 0 and 1"),
        (lambda: minimum_sample_size(0.25, 0.5, 5), "c_statistic lies between 0.5 and 1"),
        (lambda: minimum_sample_size(0.25, 0.75, 0), "n_parameters is at least 1"),
        (lambda: minimum_sample_size(0.25, 0.75, 5, shrinkage=1.0), "shrinkage lies strictly"),
        (lambda: minimum_sample_size(0.5, 0.95, 5, shrinkage=0.4), "leaves no room"),
        (lambda: minimum_sample_size(0.25, 0.75, 5, risk_margin=5), "risk_margin lies strictly"),
        (lambda: supported_parameters(0, 0.25, 0.75), "n is at least 1"),
        (lambda: sample_size_verdict(20, 0, 2), "found 0 events in 20"),
        (lambda: sample_size_verdict(20, 20, 2), "found 20 events in 20"),
    ],
)
def test_impossible_arguments_are_refused(call, message):
    with pytest.raises(FormatError, match=message):
        call()
