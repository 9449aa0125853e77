"""Models of the time to an event: truth, people who lack a block, and what is refused."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    ConvergenceWarning,
    DataWarning,
    FormatError,
    MissingModalityError,
    TrainingError,
)
from precisionpain.fusion import (
    CoxRidge,
    DeepCox,
    FeatureBlock,
    WeibullAFT,
    XGBoostAFT,
    survival_model,
)
from precisionpain.fusion._survival.aft import fit_accelerated
from precisionpain.fusion._survival.partial import (
    breslow,
    choose_variance,
    fit_ridge,
    log_partial_likelihood,
)
from precisionpain.stats import harrell_c, kaplan_meier

from .people import cohort_of, names, numbers

KINDS = {"cox": CoxRidge, "weibull": WeibullAFT, "xgboost": XGBoostAFT, "deep": DeepCox}
# What is enough to see that a promise is kept.
QUICK = {
    "cox": {"variance": 0.3},
    "weibull": {"variance": 0.3},
    "xgboost": {"n_estimators": 20, "n_folds": 3},
    "deep": {"max_steps": 20, "n_folds": 3},
}
AB = {"a": "a", "b": "b"}
each = pytest.mark.parametrize("kind", KINDS)


def model_of(kind, blocks=None, **options):
    return survival_model(kind, blocks=AB if blocks is None else blocks, **QUICK[kind] | options)


def followed(n, seed, *, strength=1.5, shape=1.4, missing=0.0, censoring=1500.0):
    """Weibull times; the log hazard is the mean of a block's columns, times a strength."""
    rng = np.random.default_rng([seed, 7])
    a, b = numbers(n, 4, 10 * seed), numbers(n, 3, 10 * seed + 1)
    eta = strength * a.sum(axis=1).to_numpy() / 2
    event_time = 1000 * (rng.exponential(size=n) / np.exp(eta)) ** (1 / shape)
    lost = rng.exponential(censoring, n)
    y = pd.DataFrame(
        {"time": np.minimum(event_time, lost), "event": (event_time <= lost).astype(float)},
        pd.Index(names(n), name="subject_id"),
    )
    tables = {"a": a[rng.random(n) >= missing], "b": b[rng.random(n) >= missing]}
    return cohort_of(tables, n), y, eta


@pytest.fixture(scope="module")
def people():
    return followed(150, 1, missing=0.2)


@pytest.fixture(scope="module")
def fitted(people):
    cohort, y, _ = people
    return {kind: model_of(kind).fit(cohort, y) for kind in KINDS}


# --- as scikit-learn has estimators -------------------------------------------------------


@each
def test_parameters_clone_and_state(kind, people, fitted):
    cohort, y, _ = people
    block = FeatureBlock("a", reduce="pca", n_components=2)
    blocks = {"a": block, "b": "b"}
    model = model_of(kind, blocks, min_people=15)
    assert type(model) is KINDS[kind]
    assert model.get_params(deep=False)["blocks"] is blocks
    assert clone(model).min_people == 15
    assert repr(clone(model)) == repr(model)
    with pytest.raises(NotFittedError):
        model.predict(cohort)
    model.fit(cohort, y)
    assert not hasattr(block, "columns_")
    again = pickle.loads(pickle.dumps(fitted[kind]))
    np.testing.assert_array_equal(again.predict(cohort), fitted[kind].predict(cohort))
    same = clone(fitted[kind]).fit(cohort, y)
    np.testing.assert_allclose(same.predict(cohort), fitted[kind].predict(cohort))


def test_the_clinic_is_the_default():
    cohort = pp.datasets.sample_tn(n_subjects=100).require("recurrence")
    model = survival_model(variance=0.1).fit(cohort, cohort.outcome("recurrence"))
    assert list(model.blocks_.index) == ["clinical"]
    assert model.coef_.index.names == ["block", "column"]
    with pytest.raises(FormatError, match="kind is one of 'cox', 'weibull'"):
        survival_model("forest")


@each
def test_any_form_of_the_outcome(kind, people, fitted):
    cohort, y, _ = people
    flag = y["event"].to_numpy() == 1
    structured = np.array(
        list(zip(flag, y["time"], strict=True)), dtype=[("status", bool), ("days", float)]
    )
    expected = fitted[kind].predict(cohort)
    for form in (structured, y.to_numpy(), y.assign(event=flag)[["event", "time"]]):
        np.testing.assert_array_equal(model_of(kind).fit(cohort, form).predict(cohort), expected)
    assert fitted[kind].score(cohort, structured) == harrell_c(y["time"], flag, expected).c


@each
def test_predictions_follow_the_people(kind, people, fitted):
    cohort, _, _ = people
    model, times = fitted[kind], [100.0, 500.0]
    risk, survival = model.predict(cohort), model.predict_survival(cohort, times)
    order = np.random.default_rng(0).permutation(len(cohort))
    np.testing.assert_allclose(model.predict(cohort[order]), risk[order], rtol=1e-6, atol=1e-7)
    moved = model.predict_survival(cohort[order], times)
    pd.testing.assert_frame_equal(moved, survival.loc[moved.index], rtol=1e-6)
    assert model.predict(cohort[[17]])[0] == pytest.approx(risk[17], rel=1e-5, abs=1e-6)


@each
def test_curves_are_curves(kind, people, fitted):
    cohort, _, _ = people
    model = fitted[kind]
    times = np.linspace(0, model.follow_up_, 60)
    curves = model.predict_survival(cohort, times)
    assert curves.index.equals(cohort.index)
    np.testing.assert_array_equal(curves.columns, times)
    assert (curves.to_numpy()[:, 0] == 1).all()
    assert (np.diff(curves.to_numpy(), axis=1) <= 1e-12).all()
    assert curves.to_numpy().min() >= 0
    # A higher risk score is a lower curve, and an earlier median.
    middle = curves.to_numpy()[:, 20]
    order = np.argsort(model.predict(cohort))
    assert (np.diff(middle[order]) <= 1e-9).all()
    median = model.predict_median(cohort)
    known = median[np.isfinite(median) & (median < model.follow_up_)]
    assert len(known) > 10
    for person, time in known.iloc[:8].items():
        before, after = model.predict_survival(cohort, [time * (1 - 1e-9), time]).loc[person]
        assert after <= 0.5 + 1e-6
        assert before >= 0.5 - 1e-6


# --- truth --------------------------------------------------------------------------------


def test_weibulls_truth_is_recovered():
    cohort, y, eta = followed(3000, 2, strength=1.0, shape=1.4)
    model = WeibullAFT({"a": "a"}, variance=100.0).fit(cohort, y)
    assert model.shape_ == pytest.approx(1.4, abs=0.08)
    # Columns are divided by 2, the square root of their number.
    np.testing.assert_allclose(model.coef_, 1.0, atol=0.12)
    truth = np.exp(-np.exp(eta) * (500 / 1000) ** 1.4)
    found = model.predict_survival(cohort, 500.0)[500.0]
    assert np.abs(found - truth).mean() < 0.02
    true_median = 1000 * (np.log(2) / np.exp(eta)) ** (1 / 1.4)
    ratio = model.predict_median(cohort) / true_median
    assert ratio.between(0.8, 1.25).mean() > 0.95


@pytest.mark.parametrize("kind", ["cox", "xgboost", "deep"])
def test_other_models_come_near_it(kind):
    cohort, y, eta = followed(900, 3)
    options = {"cox": {}, "xgboost": {"n_estimators": 100}, "deep": {"max_steps": 100}}[kind]
    model = KINDS[kind](AB, **options).fit(cohort[:600], y[:600])
    best = harrell_c(y["time"][600:], y["event"][600:], eta[600:]).c
    assert best > 0.75
    assert model.score(cohort[600:], y[600:]) > best - (0.02 if kind == "cox" else 0.06)
    truth = np.exp(-np.exp(eta[600:]) * 0.5**1.4)
    found = model.predict_survival(cohort[600:], 500.0)[500.0]
    assert np.abs(found - truth).mean() < (0.04 if kind == "cox" else 0.12)
    assert abs((found - truth).mean()) < 0.05


def test_noise_is_turned_down():
    """A risk that says nothing should leave nearly the same curve for everybody."""
    cohort, y, _ = followed(200, 4, strength=0.0)
    level = kaplan_meier(y["time"], y["event"]).at([500.0])["survival"].iloc[0]
    for kind in ("cox", "xgboost", "deep"):
        options = {"max_steps": 60} if kind == "deep" else {}
        model = KINDS[kind](AB, **options).fit(cohort, y)
        found = model.predict_survival(cohort, 500.0)[500.0]
        assert found.std() < 0.12
        assert found.mean() == pytest.approx(level, abs=0.05)
    assert CoxRidge(AB).fit(cohort, y).variance_ < 0.3


def test_cox_is_lifelines_with_a_penalty_on_the_scale_of_the_blocks():
    from lifelines import CoxPHFitter

    cohort, y, _ = followed(120, 5)
    model = CoxRidge(AB, variance=0.5).fit(cohort, y)
    x = model.design_.transform(cohort)
    flags = y["event"].to_numpy() == 1
    # No times are tied, so that all ways of ties are one.
    own = fit_ridge(x.to_numpy(), y["time"].to_numpy(), flags, 0.5)
    np.testing.assert_allclose(model.coef_, own, atol=1e-4)
    plain = x.set_axis([f"x{k}" for k in range(x.shape[1])], axis=1).assign(
        time=y["time"], event=y["event"]
    )
    free = CoxPHFitter().fit(plain, "time", "event")
    big = fit_ridge(x.to_numpy(), y["time"].to_numpy(), flags, 1e8)
    np.testing.assert_allclose(free.params_, big, atol=1e-4)
    base = breslow(y["time"].to_numpy(), flags, (x.to_numpy() - x.to_numpy().mean(0)) @ big)
    theirs = free.baseline_cumulative_hazard_.iloc[:, 0]
    np.testing.assert_allclose(base.at(theirs.index.to_numpy()), theirs, rtol=1e-3)
    model = CoxRidge(AB, variance=1e6).fit(cohort, y)
    expected = free.predict_survival_function(plain, times=theirs.index.to_numpy()).T
    found = model.predict_survival(cohort, theirs.index.to_numpy())
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_partial_likelihood_by_hand():
    time, event = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, True, True, False])
    eta = np.array([0.1, 0.5, -0.2, 0.3])
    e = np.exp(eta)
    by_hand = np.log(e[0] / e[0]) + np.log(e[1] / e.sum()) + np.log(e[2] / (e[0] + e[2] + e[3]))
    assert log_partial_likelihood(time, event, eta) == pytest.approx(by_hand)


def test_the_loss_of_the_network_is_the_partial_likelihood():
    import torch

    from precisionpain.fusion._survival.network import cox_loss

    rng = np.random.default_rng(6)
    time, event, eta = rng.integers(1, 9, 40) * 1.0, rng.random(40) < 0.6, rng.normal(size=40)
    loss = cox_loss(torch.tensor(eta), torch.tensor(time), torch.tensor(event))
    expected = -log_partial_likelihood(time, event, eta) / event.sum()
    assert float(loss) == pytest.approx(expected)


def test_the_variance_is_that_of_the_truth():
    """Of coefficients drawn from N(0, v) the cross-validated likelihood finds about v."""
    rng = np.random.default_rng(7)
    chosen = []
    for _ in range(8):
        x = rng.normal(size=(240, 20))
        eta = x @ rng.normal(0, np.sqrt(0.1), 20)
        time, event = rng.exponential(size=240) / np.exp(eta), np.ones(240, dtype=bool)
        trained = [np.flatnonzero(np.arange(240) % 4 != k) for k in range(4)]
        folds = [(x[train], x) for train in trained]
        chosen.append(choose_variance(folds, time, event, trained, (0.001, 0.01, 0.1, 1, 10))[0])
    assert np.median(chosen) == 0.1


@pytest.mark.parametrize("distribution", ["normal", "logistic", "extreme"])
def test_accelerated_times_are_recovered(distribution):
    rng = np.random.default_rng(8)
    residual = {"normal": rng.normal, "logistic": rng.logistic, "extreme": rng.gumbel}
    noise = residual[distribution](size=4000) * (-1 if distribution == "extreme" else 1)
    score = rng.normal(size=4000)
    event_time = np.exp(6 + 0.7 * score + 0.5 * noise)
    lost = rng.exponential(1500, 4000)
    event = event_time <= lost
    found = fit_accelerated(score, np.minimum(event_time, lost), event, distribution)
    assert found.intercept == pytest.approx(6, abs=0.06)
    assert found.slope == pytest.approx(0.7, abs=0.05)
    assert found.scale == pytest.approx(0.5, abs=0.05)
    median = found.median(score)
    share = np.mean(event_time > median)
    assert share == pytest.approx(0.5, abs=0.03)
    middle = np.diag(found.survival(score[:50], median[:50]))
    np.testing.assert_allclose(middle, 0.5, atol=1e-9)
    # A score that says nothing, or the wrong way round, is turned down.
    assert fit_accelerated(-score, event_time, event | True, distribution).slope == 0


# --- who lacks a block --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cox", "weibull"])
def test_contributions_add_up_and_are_missing_where_the_block_is(kind, people, fitted):
    cohort, _, _ = people
    parts = fitted[kind].contributions(cohort)
    np.testing.assert_allclose(parts.fillna(0).sum(axis=1), fitted[kind].predict(cohort))
    for name in AB:
        has = cohort.index.isin(cohort.measurements[name]["subject_id"])
        np.testing.assert_array_equal(parts[name].notna(), has)


@each
def test_who_lacks_a_block_is_judged_by_the_others(kind, people, fitted):
    cohort, _, _ = people
    tables = {name: t.set_index("subject_id") for name, t in cohort.measurements.items()}
    elsewhere = cohort_of({"a": tables["a"]}, len(cohort))
    with pytest.warns(DataWarning, match="the cohort has no 'b'"):
        risk = fitted[kind].predict(elsewhere)
    assert np.isfinite(risk).all()
    empty = cohort_of({"a": tables["a"], "b": tables["b"][:0]}, len(cohort))
    np.testing.assert_array_equal(risk, fitted[kind].predict(empty))
    nobody = cohort_of({name: table[:0] for name, table in tables.items()}, len(cohort))
    assert np.ptp(fitted[kind].predict(nobody)) == 0


@each
def test_a_block_of_few_people_is_left_out(kind):
    _, y, _ = followed(60, 9)
    few = {"a": numbers(60, 3, 0), "b": numbers(60, 3, 1)[:9]}
    model = model_of(kind).fit(cohort_of(few, 60), y)
    assert model.blocks_.loc["b", "left_out"] == "9 people"
    assert model.n_features_in_ == 3
    with pytest.raises(MissingModalityError, match=r"no block is left: 'b \(9 people\)'"):
        model_of(kind, {"b": "b"}).fit(cohort_of(few, 60), y)


# --- what is refused, and what is said ----------------------------------------------------


def test_outcomes_that_cannot_be_learned_from():
    cohort, y, _ = followed(60, 10)
    model = model_of("cox")
    with pytest.raises(FormatError, match="X is a Cohort, found DataFrame"):
        model.fit(cohort.subjects, y)
    with pytest.raises(FormatError, match="at least 20 training people, found 19"):
        model.fit(cohort[:19], y[:19])
    with pytest.raises(FormatError, match="at least 5 events, found no event"):
        model.fit(cohort, y.assign(event=0.0))
    few = y.assign(event=(np.arange(60) < 4).astype(float))
    with pytest.raises(FormatError, match="at least 5 events, found 4"):
        model.fit(cohort, few)
    bad = {
        r"1 times are negative, the least -3": ("time", -3.0),
        r"1 times are infinite": ("time", np.inf),
        r"1 outcomes are missing.*require\(outcome\)": ("time", np.nan),
        r"an event is 0 or 1, found 2\.0": ("event", 2.0),
    }
    for message, (column, value) in bad.items():
        wrong = y.copy()
        wrong.loc["s0003", column] = value
        with pytest.raises(FormatError, match=message):
            model.fit(cohort, wrong)
    with pytest.raises(AlignmentError, match=r"another order.*reindex"):
        model.fit(cohort, y[::-1])
    with pytest.raises(AlignmentError, match="one outcome for each of 60 people, found 59"):
        model.fit(cohort, y[:59])
    with pytest.raises(FormatError, match=r"columns 'time' and 'event'.*found the columns 'days'"):
        model.fit(cohort, y.set_axis(["days", "event"], axis=1))
    with pytest.raises(FormatError, match=r"found the shape \(60,\)"):
        model.fit(cohort, y["time"])
    with pytest.raises(FormatError, match="blocks is a mapping"):
        CoxRidge(["a"]).fit(cohort, y)
    with pytest.raises(MissingModalityError, match="nothing called 'c'"):
        CoxRidge({"c": "c"}).fit(cohort, y)
    with pytest.raises(FormatError, match="variances lie above 0"):
        CoxRidge(AB, variance=[0.0, 1.0]).fit(cohort, y)
    with pytest.raises(FormatError, match="distribution is one of"):
        XGBoostAFT(AB, distribution="cauchy").fit(cohort, y)


@each
def test_a_time_of_zero_is_moved_and_told(kind):
    cohort, y, _ = followed(60, 11)
    y.loc["s0004", ["time", "event"]] = [0.0, 1.0]
    with pytest.warns(DataWarning, match=r"1 times are 0, which has no logarithm: taken for 0\.\d"):
        model = model_of(kind).fit(cohort, y)
    assert np.isfinite(model.predict(cohort)).all()


@each
def test_events_of_all_and_hardly_any_censoring(kind):
    cohort, y, _ = followed(60, 12)
    model = model_of(kind).fit(cohort, y.assign(event=1.0))
    assert np.isfinite(model.predict_survival(cohort, [100.0, 800.0]).to_numpy()).all()


@each
def test_horizons_beyond_the_follow_up_are_told(kind, people, fitted):
    cohort, _, _ = people
    with pytest.warns(DataWarning, match="nobody in training was followed beyond"):
        late = fitted[kind].predict_survival(cohort[:5], [1e6])
    assert late.to_numpy().max() <= 1
    with pytest.raises(FormatError, match="finite and not negative"):
        fitted[kind].predict_survival(cohort, [-1.0])


def test_lifelines_speaks_with_our_voice(monkeypatch):
    import lifelines
    from lifelines import exceptions

    cohort, y, _ = followed(60, 13)
    # Columns that hardly vary, more columns than people: a ridge needs no warning of those.
    wide = cohort_of({"a": numbers(60, 80, 0), "b": (numbers(60, 2, 1) > 2.2).astype(float)}, 60)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model_of("cox").fit(wide, y)
    assert [str(w.message) for w in heard] == []

    plain = lifelines.CoxPHFitter.fit

    def complaining(self, *args, **options):
        warnings.warn("pandas will change", FutureWarning, stacklevel=1)
        warnings.warn(
            "Newton-Raphson failed to converge sufficiently.\nmore",
            exceptions.ConvergenceWarning,
            stacklevel=1,
        )
        return plain(self, *args, **options)

    monkeypatch.setattr(lifelines.CoxPHFitter, "fit", complaining)
    with pytest.warns(ConvergenceWarning, match=r"^lifelines: Newton-Raphson failed") as told:
        model_of("cox").fit(cohort, y)
    assert [w.category for w in told] == [ConvergenceWarning]

    def failing(self, *args, **options):
        raise exceptions.ConvergenceError("Convergence halted due to matrix inversion problems.")

    monkeypatch.setattr(lifelines.CoxPHFitter, "fit", failing)
    with pytest.raises(TrainingError, match=r"matrix inversion problems.*stronger penalty"):
        model_of("cox").fit(cohort, y)


def test_networks_leave_the_generator_alone(people):
    import torch

    cohort, y, _ = people
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = model_of("deep").fit(cohort, y)
    assert torch.equal(torch.rand(3), expected)
    other = model_of("deep", random_state=1).fit(cohort, y)
    assert not np.allclose(other.predict(cohort), model.predict(cohort))
