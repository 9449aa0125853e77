"""Early fusion of numbers, and the marginal likelihood under it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.base import clone

import precisionpain as pp
from precisionpain.errors import AlignmentError, FormatError
from precisionpain.fusion import EarlyRegression, FeatureBlock
from precisionpain.fusion._gaussian import fit_block_gaussian

from .people import cohort_of, informed, names, numbers


def scored(n: int, seed: int, strengths: dict[str, float], *, noise=1.0, missing=0.0):
    """The sum of the columns of each block, with SD 1, times its strength; plus noise."""
    rng = np.random.default_rng([seed, 2])
    tables, y = {}, 40 + noise * rng.normal(size=n)
    for k, (name, strength) in enumerate(strengths.items()):
        table = numbers(n, 4, 100 * seed + k)
        y = y + strength * table.sum(axis=1).to_numpy() / 2
        tables[name] = table[rng.random(n) >= missing]
    return cohort_of(tables, n), y


def made(n: int, seed: int):
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=(n, p)) / np.sqrt(p) for p in (3, 20)]
    y = 5 + 2 * (blocks[0] @ rng.normal(size=3)) + rng.normal(size=n)
    return blocks, y


def test_the_variances_are_where_the_marginal_likelihood_and_its_prior_are_highest():
    """Against the density of the normal distribution of all outcomes together."""
    blocks, y = made(50, 0)
    kernels = [x @ x.T for x in blocks]
    found = fit_block_gaussian(kernels, y)
    scale = y.std()
    centre = np.append(np.full(2, np.log(0.25 / 2)), np.log(0.75))

    def unlikely(t):
        spread = np.exp(t[0]) * kernels[0] + np.exp(t[1]) * kernels[1] + np.exp(t[2]) * np.eye(50)
        mean = np.full(50, t[3])
        density = stats.multivariate_normal(mean, spread).logpdf(y / scale)
        return -density + ((t[:3] - centre) ** 2).sum() / 2

    start = np.append(centre, y.mean() / scale)
    best = optimize.minimize(unlikely, start, method="Nelder-Mead",
                             options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 8000})  # fmt: skip
    mine = np.append(np.log(np.append(found.variances, found.noise) / scale**2),
                     found.intercept / scale)  # fmt: skip
    np.testing.assert_allclose(mine, best.x, atol=2e-3)
    constant = 25 * np.log(2 * np.pi)
    assert found.log_evidence - constant == pytest.approx(-best.fun, abs=1e-6)


def test_with_known_variances_it_is_the_posterior_of_a_normal_model():
    """Coefficients and their covariance by the textbook's formulas."""
    blocks, y = made(40, 1)
    (x, _) = blocks
    found = fit_block_gaussian([x @ x.T], y)
    v, noise = found.variances[0], found.noise
    precision = x.T @ x / noise + np.eye(3) / v
    mean = np.linalg.solve(precision, x.T @ (y - found.intercept) / noise)
    np.testing.assert_allclose(v * x.T @ found.dual, mean, rtol=1e-8)
    covariance = v * np.eye(3) - v * x.T @ found.precision @ x * v
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-7)


def test_units_of_the_outcome_do_not_matter():
    cohort, y = scored(80, 3, {"a": 2.0, "b": 1.0}, missing=0.2)
    one = EarlyRegression({"a": "a", "b": "b"}).fit(cohort, y)
    two = EarlyRegression({"a": "a", "b": "b"}).fit(cohort, 100 * y - 7)
    np.testing.assert_allclose(two.predict(cohort), 100 * one.predict(cohort) - 7, rtol=1e-4)
    assert two.noise_ == pytest.approx(1e4 * one.noise_, rel=1e-3)
    wide = [np.ptp(m.predict_interval(cohort).to_numpy(), axis=1) for m in (one, two)]
    np.testing.assert_allclose(wide[1], 100 * wide[0], rtol=1e-3)


def test_it_learns_and_its_intervals_hold():
    held = []
    for seed in range(6):
        cohort, y = scored(400, seed, {"a": 2.0, "b": 1.0}, missing=0.15)
        train, test = np.arange(150), np.arange(150, 400)
        model = EarlyRegression({"a": "a", "b": "b"}).fit(cohort[train], y[train])
        p = model.predict(cohort[test])
        # Of the variance, 1 of noise and 15% of each block can't be known.
        assert 1 - np.var(y[test] - p) / np.var(y[test]) > 0.55
        found = model.predict_interval(cohort[test], 0.8)
        held.append(((found["low"] <= y[test]) & (y[test] <= found["high"])).mean())
        lacks = ~cohort[test].has("a").to_numpy(dtype=bool)
        wide = np.ptp(found.to_numpy(), axis=1)
        assert wide[lacks].min() > wide[~lacks].max() * 0.9
    assert np.mean(held) == pytest.approx(0.8, abs=3 * np.std(held, ddof=1) / np.sqrt(6) + 0.02)


def test_sets_of_blocks_as_in_the_fusion_of_classes():
    cohort, y = scored(150, 4, {"a": 1.0, "b": 2.0, "noise": 0.0})
    model = EarlyRegression({"a": "a", "b": "b", "noise": "noise"}).fit(cohort, y)
    assert model.blocks_.loc["b", "probability"] > 0.95
    assert model.blocks_.loc["noise", "probability"] < 0.7
    parts = model.contributions(cohort).sum(axis=1) + model.intercept_
    np.testing.assert_allclose(parts, model.predict(cohort), rtol=1e-10)
    gated = EarlyRegression({"a": "a", "noise": "noise"}, gate=2.0).fit(cohort, y)
    assert gated.blocks_.loc["noise", "probability"] == 0
    assert clone(gated).get_params()["gate"] == 2.0


def test_who_has_nothing_gets_the_mean():
    cohort, y = scored(60, 5, {"a": 2.0})
    model = EarlyRegression({"a": FeatureBlock("a")}).fit(cohort, y)
    nobody = cohort_of({"a": numbers(60, 4, 0)[:0]}, 60)
    np.testing.assert_allclose(model.predict(nobody), model.intercept_)
    assert model.intercept_ == pytest.approx(y.mean(), abs=0.3)


def test_outcomes_that_make_no_sense():
    cohort, y = scored(40, 6, {"a": 1.0})
    model = EarlyRegression({"a": "a"})
    for wrong, text in (
        (np.ones(40), "is 1 for everybody"),
        (np.where(y > 40, np.inf, y), "infinite"),
        (np.where(y > 40, np.nan, y), "missing"),
        (np.array(["much"] * 40), "isn't a number"),
    ):
        with pytest.raises(FormatError, match=text):
            model.fit(cohort, wrong)
    with pytest.raises(AlignmentError, match="another order"):
        model.fit(cohort, pd.Series(y, names(40)).iloc[::-1])
    with pytest.raises(FormatError, match="at least 20"):
        model.fit(cohort[:10], y[:10])
    with pytest.raises(FormatError, match="confidence"):
        model.fit(cohort, y).predict_interval(cohort, 1.5)


def test_in_a_cross_validation_nothing_of_the_test_people_is_learned():
    cohort, _ = informed(60, 7, strengths={"a": 1.0})
    rng = np.random.default_rng(0)
    y = pd.Series(rng.normal(size=60), cohort.index)
    model = EarlyRegression({"a": "a"})
    result = pp.evaluation.cross_validate_number(model, cohort, y, 3, baseline=None)
    _, test = result.splits[0]
    other = y.copy()
    other.iloc[test] += 100
    again = pp.evaluation.cross_validate_number(model, cohort, other, result.splits, baseline=None)
    np.testing.assert_allclose(again.predicted[0], result.predicted[0])
    assert result.summary().loc["r2", "value"] < 0.15
