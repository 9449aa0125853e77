"""Late and early fusion: what they promise of people, classes, and blocks that are missing."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    MissingModalityError,
)
from precisionpain.evaluation import ClinicalFeatures, cross_validate, shap_values
from precisionpain.fusion import (
    EarlyFusion,
    FeatureBlock,
    LateFusion,
    block_model,
    early_fusion,
    late_fusion,
)
from precisionpain.fusion._laplace import fit_subsets

from .people import cohort_of, informed, names, numbers

BLOCKS = {"clinic": "clinical", "nerves": "nerve_measures", "csf": "csf_pea"}
KINDS = {"late": LateFusion, "early": EarlyFusion}
# Fewer inner folds are enough for what holds of any number.
QUICK = {"late": {"n_folds": 3, "n_repeats": 1}, "early": {}}
both = pytest.mark.parametrize("kind", KINDS)


def model_of(kind: str, blocks=None, **options):
    return KINDS[kind](BLOCKS if blocks is None else blocks, **{**QUICK[kind], **options})


@pytest.fixture(scope="module")
def people():
    cohort = pp.datasets.sample_tn(n_subjects=160, random_state=5).require("mvd_response")
    return cohort, cohort.outcome("mvd_response").astype(int)


@pytest.fixture(scope="module")
def fitted(people):
    cohort, y = people
    models = {kind: model_of(kind, **({"gate": None} if kind == "late" else {})) for kind in KINDS}
    return {kind: model.fit(cohort, y) for kind, model in models.items()}


# --- as scikit-learn has estimators -------------------------------------------------------


@both
def test_parameters_clone_repr_and_state(kind, people):
    cohort, y = people
    block = FeatureBlock("diffusion", reduce="pca")
    blocks = {"clinic": "clinical", "scan": block}
    model = KINDS[kind](blocks, min_people=15)
    assert model.get_params(deep=False)["blocks"] is blocks
    copy = clone(model)
    assert copy.min_people == 15
    assert repr(copy) == repr(model)
    assert repr(model).startswith(type(model).__name__)
    assert model.set_params(min_people=10).min_people == 10
    with pytest.raises(NotFittedError):
        model.predict_proba(cohort)
    model = model_of(kind, blocks).fit(cohort, y)
    assert not hasattr(block, "columns_")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(cohort), model.predict_proba(cohort))
    np.testing.assert_allclose(
        clone(model).fit(cohort, y).predict_proba(cohort), model.predict_proba(cohort)
    )


def test_the_functions_make_the_same():
    assert repr(late_fusion(BLOCKS, gate=None)) == repr(LateFusion(BLOCKS, gate=None))
    assert repr(early_fusion(BLOCKS, min_people=9)) == repr(EarlyFusion(BLOCKS, min_people=9))


@both
def test_probabilities_and_classes(kind, people, fitted):
    cohort, _ = people
    p = fitted[kind].predict_proba(cohort)
    assert p.shape == (len(cohort), 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_array_equal(fitted[kind].predict(cohort), (p[:, 1] >= 0.5).astype(int))


@both
@pytest.mark.parametrize("labels", [["free", "pain"], [False, True], [2, 7]])
def test_labels_of_any_kind(kind, labels):
    cohort, y = informed(60, 1, strengths={"a": 2.0, "b": 0.0})
    plain = model_of(kind, {"a": "a", "b": "b"}).fit(cohort, y)
    named = np.array(labels)[y]
    model = model_of(kind, {"a": "a", "b": "b"}).fit(cohort, pd.Series(named, cohort.index))
    assert model.classes_.tolist() == labels
    np.testing.assert_array_equal(model.predict_proba(cohort), plain.predict_proba(cohort))
    np.testing.assert_array_equal(model.predict(cohort), np.array(labels)[plain.predict(cohort)])


@both
def test_predictions_follow_the_people(kind, people, fitted):
    cohort, _ = people
    p = fitted[kind].predict_proba(cohort)
    order = np.random.default_rng(0).permutation(len(cohort))
    np.testing.assert_allclose(fitted[kind].predict_proba(cohort[order]), p[order], rtol=1e-12)
    for k in (0, 17):  # alone as among others
        np.testing.assert_allclose(fitted[kind].predict_proba(cohort[[k]])[0], p[k], rtol=1e-9)


def test_early_fusion_learns_the_same_in_any_order_of_people_and_further_blocks():
    strengths = {"a": 2.0, "b": 1.0, "c": 0.0}
    cohort, y = informed(80, 2, strengths=strengths, missing=0.2)
    one = EarlyFusion({"a": "a", "b": "b", "c": "c"}).fit(cohort, y)
    order = np.random.default_rng(0).permutation(80)
    two = EarlyFusion({"a": "a", "c": "c", "b": "b"}).fit(cohort[order], y[order])
    np.testing.assert_allclose(two.predict_proba(cohort), one.predict_proba(cohort), atol=1e-3)
    pd.testing.assert_frame_equal(two.blocks_.loc[list("abc")], one.blocks_, atol=1e-2)


# --- who lacks a block --------------------------------------------------------------------


@both
def test_contributions_add_up_and_are_missing_where_the_block_is(kind, people, fitted):
    cohort, _ = people
    model = fitted[kind]
    parts = model.contributions(cohort)
    assert parts.index.equals(cohort.index)
    assert list(parts) == list(BLOCKS)
    eta = model.intercept_ + parts.fillna(0).sum(axis=1).to_numpy()
    p = model.predict_proba(cohort)[:, 1]
    if kind == "late":
        np.testing.assert_allclose(eta, model.decision_function(cohort), rtol=1e-12)
        np.testing.assert_allclose(special.expit(eta), p, rtol=1e-12)
        pd.testing.assert_frame_equal(model.information(cohort), parts.notna()[list(model.models_)])
    else:
        # Averaging over what is open draws probabilities towards one half, and no further.
        assert ((p - 0.5) * eta >= 0).all()
        assert (np.abs(p - 0.5) <= np.abs(special.expit(eta) - 0.5) + 1e-12).all()
        assert (np.abs(p - 0.5) < np.abs(special.expit(eta) - 0.5)).mean() > 0.9
    sampled = cohort.has("csf_pea").to_numpy(dtype=bool)
    assert 0 < sampled.sum() < len(cohort)
    np.testing.assert_array_equal(parts["csf"].notna(), sampled)
    assert parts["clinic"].notna().all()


@both
def test_a_missing_block_changes_only_its_own_part(kind):
    n = 70
    cohort, y = informed(n, 3, strengths={"a": 2.0, "b": 2.0})
    options = {"gate": None} if kind == "late" else {}
    model = model_of(kind, {"a": "a", "b": "b"}, **options).fit(cohort, y)
    tables = cohort.measurements
    rest = tables["b"][tables["b"]["subject_id"] != "s0007"]
    without = cohort.with_measurements("b", rest)
    before, after = model.contributions(cohort), model.contributions(without)
    assert np.isnan(after.loc["s0007", "b"])
    assert not np.isnan(before.loc["s0007", "b"])
    after.loc["s0007", "b"] = before.loc["s0007", "b"]
    pd.testing.assert_frame_equal(before, after)
    p, q = model.predict_proba(cohort)[:, 1], model.predict_proba(without)[:, 1]
    changed = ~np.isclose(p, q, rtol=1e-9)
    assert np.array(names(n))[changed].tolist() == ["s0007"]


@both
def test_who_has_nothing_gets_about_the_base_rate(kind):
    n = 120
    cohort, y = informed(n, 4, strengths={"a": 2.0, "b": 1.0}, missing=0.2)
    y = np.where(np.random.default_rng(0).random(n) < 0.4, 1, y)  # not one half
    model = model_of(kind, {"a": "a", "b": "b"}).fit(cohort, y)
    nobody = cohort_of({"a": numbers(n, 4, 0)[:0], "b": numbers(n, 4, 0)[:0]}, n)
    p = model.predict_proba(nobody)[:, 1]
    assert np.ptp(p) == 0
    assert p[0] == pytest.approx(y.mean(), abs=0.03)
    if kind == "late":
        assert p[0] == pytest.approx(special.expit(model.intercept_))
    else:  # whose own odds would be those of an average person, not of a mixed crowd
        assert p[0] < special.expit(model.intercept_)
    assert model.contributions(nobody)[["a"]].isna().all(axis=None) or "a" not in model.models_


@both
def test_a_cohort_without_the_measurement_lacks_the_block(kind):
    cohort, y = informed(80, 5, strengths={"a": 2.0, "b": 2.0}, missing=0.1)
    options = {"gate": None} if kind == "late" else {}
    model = model_of(kind, {"a": "a", "b": "b"}, **options).fit(cohort, y)
    tables = {name: t.set_index("subject_id") for name, t in cohort.measurements.items()}
    elsewhere = cohort_of({"a": tables["a"]}, 80)
    with pytest.warns(DataWarning, match="the cohort has no 'b'"):
        p = model.predict_proba(elsewhere)
    empty = cohort_of({"a": tables["a"], "b": tables["b"][:0]}, 80)
    np.testing.assert_allclose(p, model.predict_proba(empty), rtol=1e-12)
    with pytest.warns(DataWarning, match="the cohort has no 'b'"):
        assert model.contributions(elsewhere)["b"].isna().all()


def half_known(n: int) -> pd.DataFrame:
    """A second column that half of the people have; a third of those have nothing else."""
    table = numbers(n, 2, 6)
    table.loc[names(n)[: n // 2], "x1"] = np.nan
    table.loc[names(n)[-n // 6 :], "x0"] = np.nan
    return table


@both
def test_a_column_that_some_folds_leave_out(kind):
    """Who has nothing of a block but a rare column has the block in some folds only."""
    n = 60
    cohort = cohort_of({"a": half_known(n), "b": numbers(n, 3, 7)}, n)
    y = np.random.default_rng(0).permutation(np.arange(n) % 2)
    shares = [
        cohort[train].measurement("a")["x1"].notna().mean()
        for train, _ in pp.evaluation.RepeatedSubjectKFold(3, n_repeats=1).split(cohort, y)
    ]
    assert min(shares) < 0.5 < max(shares)  # as it is in the inner folds
    options = {"gate": None} if kind == "late" else {}
    # A model of one's own, which can't take missing values.
    own = make_pipeline(FeatureBlock("a"), LogisticRegression()) if kind == "late" else "a"
    model = model_of(kind, {"a": own, "b": "b"}, **options).fit(cohort, y)
    assert np.isfinite(model.predict_proba(cohort)).all()
    assert (model.blocks_["left_out"] == "").all()


def drawn(cohort, y, blocks, rng):
    """Coefficients from the posterior of each set of blocks, as often as the set is probable."""
    design = [FeatureBlock(b).fit_transform(cohort).fillna(0.0).to_numpy() for b in blocks]
    x = np.hstack(design)
    parts = []
    for weight, used, each in fit_subsets([d @ d.T for d in design], y.astype(float), 64):
        v = np.zeros(len(blocks))
        v[list(used)] = each.variances
        v = np.repeat(v, [d.shape[1] for d in design])
        in_it = v > 0
        beta = v * (x.T @ each.dual)
        q = special.expit(each.intercept + x @ beta)
        information = (x * (q * (1 - q))[:, None]).T @ x
        covariance = np.zeros((len(v), len(v)))
        inner = np.ix_(in_it, in_it)
        covariance[inner] = np.linalg.inv(information[inner] + np.diag(1 / v[in_it]))
        n = rng.binomial(40_000, weight)
        parts.append((np.full(n, each.intercept), rng.multivariate_normal(beta, covariance, n)))
    return x, *(np.concatenate(each) for each in zip(*parts, strict=True))


@pytest.mark.parametrize("strengths", [{"a": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 0.0}])
def test_early_fusion_averages_over_what_the_data_leave_open(strengths):
    """Against draws of coefficients: their mean, their covariance, and the probabilities."""
    cohort, y = informed(60, 12, strengths=strengths, missing=0.1)
    model = EarlyFusion({name: name for name in strengths}).fit(cohort, y)
    x, intercepts, betas = drawn(cohort, y, list(strengths), np.random.default_rng(0))
    np.testing.assert_allclose(model.coef_, betas.mean(axis=0), atol=0.02)
    everything = np.column_stack([intercepts, betas])
    np.testing.assert_allclose(model.covariance_, np.cov(everything.T), atol=0.02)
    known = np.column_stack([cohort.has(n).to_numpy(dtype=bool) for n in strengths]).all(axis=1)
    expected = special.expit(intercepts + x @ betas.T).mean(axis=1)[known]
    found = model.predict_proba(cohort)[known, 1]
    np.testing.assert_allclose(found, expected, atol=0.015)
    mean = special.expit(model.log_odds(cohort)["mean"].to_numpy())[known]
    assert np.abs(found - expected).max() < 0.7 * np.abs(mean - expected).max()


def test_a_lacking_block_is_averaged_over_too():
    """Against people who do have it, drawn from the training people."""
    cohort, y = informed(150, 14, strengths={"a": 1.0, "b": 2.5})
    model = EarlyFusion({"a": "a", "b": "b"}).fit(cohort, y)
    tables = cohort.measurements
    one = tables["a"]["subject_id"] == "s0003"
    own = tables["a"][one].iloc[0]
    everywhere = tables["a"].assign(**{c: own[c] for c in tables["a"] if c.startswith("x")})
    among = cohort.with_measurements("a", everywhere)
    lacking = cohort.with_measurements("b", tables["b"][tables["b"]["subject_id"] != "s0003"])
    expected = model.predict_proba(among)[:, 1].mean()
    found = model.predict_proba(lacking)[3, 1]
    assert found == pytest.approx(expected, abs=0.03)
    # Taking them for average people would be further off.
    assert abs(special.expit(model.log_odds(lacking)["mean"].iloc[3]) - expected) > 0.03


def test_a_further_block_counts_when_it_knows_something():
    for seed in range(3):
        strengths = {"a": 1.0, "b": 2.5, "noise": 0.0}
        cohort, y = informed(150, 20 + seed, strengths=strengths)
        table = EarlyFusion({name: name for name in strengths}).fit(cohort, y).blocks_
        assert table.loc["a", "probability"] == pytest.approx(1)
        assert table.loc["b", "probability"] > 0.95
        assert table.loc["noise", "probability"] < 0.7


def test_few_models_are_the_smallest_and_the_largest():
    cohort, y = informed(60, 13, strengths={"a": 1.0, "b": 0.0, "c": 0.0})
    blocks = {"a": "a", "b": "b", "c": "c"}
    one = EarlyFusion(blocks, max_models=2).fit(cohort, y).blocks_["probability"]
    assert one["b"] == pytest.approx(one["c"])
    assert 0 < one["b"] < 1
    with pytest.raises(FormatError, match="max_models is 1 or more"):
        EarlyFusion(blocks, max_models=0).fit(cohort, y)


def test_a_gate_leaves_the_first_block_alone_without_evidence_for_others():
    for seed, strength in ((0, 0.0), (1, 3.0)):
        cohort, y = informed(120, seed, strengths={"a": 1.5, "b": strength})
        gated = EarlyFusion({"a": "a", "b": "b"}, gate=1.0).fit(cohort, y)
        alone = EarlyFusion({"a": "a"}).fit(cohort, y)
        same = np.allclose(gated.predict_proba(cohort), alone.predict_proba(cohort))
        assert same == (strength == 0)


def test_more_columns_than_fit_into_memory_are_refused(monkeypatch):
    from precisionpain.fusion import _linear

    monkeypatch.setattr(_linear, "_MOST_COLUMNS", 7)
    cohort, y = informed(60, 13, strengths={"a": 1.0, "b": 0.0})
    with pytest.raises(FormatError, match="8 columns in all blocks"):
        EarlyFusion({"a": "a", "b": "b"}).fit(cohort, y)


@both
def test_a_new_site_is_fine(kind, people):
    cohort, y = people
    here = (cohort.subjects["site"] != "C").to_numpy()
    blocks = {"clinic": "clinical", "scan": "diffusion"}
    model = model_of(kind, blocks).fit(cohort[here], y[here])
    assert np.isfinite(model.predict_proba(cohort[~here])).all()


# --- what is refused ----------------------------------------------------------------------


@both
def test_people_and_outcomes_that_cannot_be_learned_from(kind):
    cohort, y = informed(60, 7, strengths={"a": 1.0})
    model = model_of(kind, {"a": "a"})
    with pytest.raises(FormatError, match="X is a Cohort, found DataFrame"):
        model.fit(cohort.subjects, y)
    with pytest.raises(FormatError, match="at least 20 training people, found 19"):
        model.fit(cohort[:19], y[:19])
    with pytest.raises(FormatError, match=r"two classes, found 1 \(1.0\)"):
        model.fit(cohort, np.ones(60))
    with pytest.raises(FormatError, match="two classes, found 3"):
        model.fit(cohort, np.arange(60) % 3)
    with pytest.raises(FormatError, match=r"1 outcomes are missing.*require\(outcome\)"):
        model.fit(cohort, np.where(np.arange(60) == 5, np.nan, y))
    with pytest.raises(FormatError, match="1 outcomes are missing"):
        model.fit(cohort, pd.Series(y, dtype="Int64").mask(np.arange(60) == 5))
    with pytest.raises(AlignmentError, match="one outcome for each of 60 people"):
        model.fit(cohort, y[:59])
    with pytest.raises(AlignmentError, match=r"another order.*reindex"):
        model.fit(cohort, pd.Series(y, cohort.index)[::-1])
    with pytest.raises(FormatError, match="blocks is a mapping"):
        model_of(kind, ["a"]).fit(cohort, y)
    with pytest.raises(FormatError, match="blocks is a mapping"):
        model_of(kind, {}).fit(cohort, y)
    with pytest.raises(FormatError, match="blocks is a mapping"):
        cross_validate(model_of(kind, ["a"]), cohort, y, cv=2)
    with pytest.raises(FormatError, match="a name or a transformer, found int"):
        model_of(kind, {"a": 1}).fit(cohort, y)
    fitted = model.fit(cohort, y)
    with pytest.raises(FormatError, match="X is a Cohort, found DataFrame"):
        fitted.predict_proba(cohort.subjects)


@both
def test_two_rows_of_a_person_are_refused(kind):
    cohort, y = informed(60, 7, strengths={"a": 1.0})
    model = model_of(kind, {"clinic": "clinical"})
    with pytest.raises(FormatError, match="Cohort of subjects, found a cohort of nerves"):
        model.fit(cohort.per_nerve(), np.repeat(y, 2))
    with pytest.raises(FormatError, match="Cohort of subjects, found a cohort of nerves"):
        model.fit(cohort, y).predict_proba(cohort.per_nerve())


@both
def test_blocks_of_too_few_people_are_left_out_and_said(kind):
    n = 60
    tables = {"a": numbers(n, 3, 8), "few": numbers(n, 3, 9)[:12], "none": numbers(n, 3, 9) * 0}
    cohort, y = cohort_of(tables, n), np.random.default_rng(1).permutation(np.arange(n) % 2)
    blocks = {"a": "a", "few": "few", "none": "none"}
    model = model_of(kind, blocks).fit(cohort, y)
    assert model.blocks_.index.tolist() == list(blocks)
    why = model.blocks_["left_out"]
    assert why["a"] == ""
    assert "12 people" in why["few"]
    assert "constant" in why["none"]
    assert (model.contributions(cohort)[["few", "none"]] == 0).all(axis=None)
    with pytest.raises(MissingModalityError, match=r"no block is left: 'few \(12 people"):
        model_of(kind, {"few": "few"}).fit(cohort, y)
    with pytest.raises(
        MissingModalityError, match=r"blocks\['b'\].*'proteom'.*there are 'clinical'"
    ):
        model_of(kind, blocks | {"b": "proteom"}).fit(cohort, y)


def test_late_fusion_leaves_out_a_block_without_enough_of_both_classes():
    n = 60
    cohort = cohort_of({"a": numbers(n, 3, 8), "b": numbers(n, 3, 9)[:30]}, n)
    y = np.r_[np.zeros(28), np.ones(32)].astype(int)
    model = LateFusion({"a": "a", "b": "b"}).fit(cohort, y)
    assert model.blocks_.loc["b", "left_out"] == "30 people, 2 of the rarer class"
    assert model.used_ == "a"


def test_settings_of_late_fusion():
    cohort, y = informed(60, 7, strengths={"a": 1.0})
    with pytest.raises(FormatError, match="spread above 0, found 0"):
        LateFusion({"a": "a"}, spread=0.0).fit(cohort, y)
    no_probabilities = make_pipeline(ClinicalFeatures(["age"]), LinearSVC())
    with pytest.raises(FormatError, match=r"no predict_proba.*CalibratedClassifierCV"):
        LateFusion({"a": no_probabilities}).fit(cohort, y)


@both
def test_names_of_blocks_need_not_be_text(kind):
    cohort, y = informed(60, 8, strengths={"a": 3.0})
    one = model_of(kind, {1: "a"}).fit(cohort, y)
    two = model_of(kind, {"a": "a"}).fit(cohort, y)
    assert list(one.contributions(cohort)) == ["1"]
    np.testing.assert_array_equal(one.contributions(cohort)["1"], two.contributions(cohort)["a"])


def test_early_fusion_turns_noise_down():
    ratio = []
    for seed in range(5):
        cohort, y = informed(120, 300 + seed, strengths={"good": 3.0, "noise": 0.0}, p=5)
        v = EarlyFusion({"good": "good", "noise": "noise"}).fit(cohort, y).blocks_["variance"]
        ratio.append(np.log(v["good"] / v["noise"]))
    assert np.mean(ratio) > 1
    assert min(ratio) > 0


# --- beside the clinical baseline ---------------------------------------------------------


@both
def test_cross_validated_beside_the_clinical_baseline(kind, people):
    cohort, _ = people
    blocks = {"clinic": "clinical", "nerves": "nerve_measures"}
    result = cross_validate(model_of(kind, blocks), cohort, "mvd_response", cv=3, n_bootstrap=50)
    assert len(result.frame()) == 3
    assert 0 < result.auc.auc < 1
    assert result.baseline is not None
    difference = result.compare(result.baseline)
    assert difference is not None
    kept = cross_validate(
        model_of(kind, {"clinic": "clinical"}),
        cohort,
        "mvd_response",
        cv=3,
        baseline=None,
        keep_models=True,
    )
    with pytest.raises(FormatError, match="expected a scikit-learn pipeline"):
        shap_values(kept)


def test_the_model_of_a_block_is_explained(people):
    """Also of people who lack the block: there it says what it says of the average."""
    cohort, _ = people
    model = block_model("csf_pea", reduce="pca")
    result = cross_validate(model, cohort, "mvd_response", cv=3, baseline=None, keep_models=True)
    explained = shap_values(result)
    assert explained.unit == "log odds"
    assert set(explained.values) == {"pca1", "pca2", "pca3"}
    total = pd.Series(explained.base + explained.values.sum(axis=1), explained.values.index)
    lacking = explained.data.isna().all(axis=1)
    assert (lacking == ~cohort.has("csf_pea").astype(bool).reindex(lacking.index)).all()
    for (_, test), fitted in zip(result.splits, result.models, strict=True):
        p = fitted.predict_proba(cohort[test])[:, 1]
        np.testing.assert_allclose(total[cohort[test].index], special.logit(p), atol=1e-9)
        average = special.expit(fitted[-1].intercept_[0])
        np.testing.assert_allclose(p[lacking[cohort[test].index]], average)
