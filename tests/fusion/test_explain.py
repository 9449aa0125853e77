"""Explanations of fusions: they add up, they find what was planted, and they name nobody."""

from __future__ import annotations

import itertools
import math
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier

import precisionpain as pp
from precisionpain.errors import AlignmentError, FormatError, MissingModalityError
from precisionpain.evaluation import clinical_model, cross_validate, shap_values
from precisionpain.fusion import (
    FeatureBlock,
    block_model,
    early_fusion,
    explain_fusion,
    explain_person,
    late_fusion,
    mechanism_map,
    mvd_response_model,
)
from precisionpain.proteomics import ProteinFeatures

from .people import informed

CSF = ProteinFeatures("csf_pea", proteins="trigeminal", visit="preop")
BLOCKS = {
    "clinic": "clinical",
    "nerves": "nerve_measures",
    "scan": FeatureBlock("diffusion", reduce="pca"),
    "csf": CSF,
}
MIXED = {
    "forest": clinical_model("random_forest", n_estimators=15),
    "boosted": clinical_model("xgboost", n_estimators=15),
    "nerves": make_pipeline(FeatureBlock("nerve_measures"), XGBClassifier(n_estimators=10)),
    "csf": FeatureBlock("csf_pea", reduce="pls"),
}
QUICK = {"gate": None, "n_folds": 3, "n_repeats": 1}
MODELS = {
    "late": late_fusion(BLOCKS, **QUICK),
    "early": early_fusion(BLOCKS),
    "response": mvd_response_model(blocks=BLOCKS),
    "mixed": late_fusion(MIXED, spread=5.0, **QUICK),
    "stable": block_model("csf_pea", reduce="stability"),
    "pls": block_model("csf_pea", reduce="pls"),
    "clinical": clinical_model(),
    "forest": clinical_model("random_forest", n_estimators=15),
    "boosted": clinical_model("xgboost", n_estimators=15),
}


@pytest.fixture(scope="module")
def people():
    cohort = pp.datasets.sample_tn(n_subjects=160, random_state=3).require("mvd_response")
    return cohort, cohort.outcome("mvd_response").astype(int)


@pytest.fixture(scope="module")
def fitted(people):
    cohort, y = people
    return {name: model.fit(cohort, y) for name, model in MODELS.items()}


@pytest.fixture(scope="module")
def result(people):
    return cross_validate(
        early_fusion(BLOCKS), people[0], "mvd_response", cv=3, baseline=None, keep_models=True
    )


@pytest.fixture(scope="module")
def explained(result):
    return explain_fusion(result)


# --- they add up ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_base_and_values_add_up_to_the_log_odds(name, fitted, people):
    cohort, _ = people
    model = fitted[name]
    explained = explain_fusion(model, cohort)
    own = getattr(model, "decision_function", None)
    p = np.asarray(model.predict_proba(cohort), dtype=float)[:, 1]
    np.testing.assert_allclose(explained.score, logit(p) if own is None else own(cohort), atol=1e-8)
    np.testing.assert_allclose(explained.p, p, atol=1e-6)
    for sums in (explained.by_block(), explained.by_mechanism()):
        np.testing.assert_allclose(explained.base + sums.sum(axis=1), explained.score, atol=1e-10)


def test_a_late_fusion_by_hand(fitted, people):
    """Weight × coefficient × (value − training mean), with everything taken from the models."""
    cohort, _ = people
    model = fitted["late"]
    explained = explain_fusion(model, cohort)
    final = model.models_["csf"][-1]
    raw = CSF.fit_transform(cohort)
    has = raw.notna().any(axis=1)
    filled = raw[has].fillna(raw[has].median())
    z = (filled - filled.mean()) / filled.std(ddof=0)
    weight = model.blocks_.loc["csf", "weight"]
    expected = weight * z * final.coef_[0] / np.sqrt(z.shape[1])
    np.testing.assert_allclose(explained.values.loc[has, "csf"], expected, atol=1e-12)
    assert (explained.values.loc[~has, "csf"] == 0).all(axis=None)
    shift = weight * (final.intercept_[0] - model.base_log_odds_["csf"])
    one = ~explained.status.drop(columns="csf").eq("missing").any(axis=1)
    base = pd.Series(explained.base, cohort.index)
    assert base[one & has].iloc[0] - base[one & ~has].iloc[0] == pytest.approx(shift, abs=1e-12)


def test_components_are_traced_back_to_columns(fitted, people):
    cohort, _ = people
    explained = explain_fusion(fitted["pls"], cohort)
    assert list(explained.values["csf_pea"]) == fitted["pls"][0].columns_
    raw = fitted["pls"][0].features_.transform(cohort)
    pd.testing.assert_frame_equal(
        explained.data["csf_pea"], raw[fitted["pls"][0].columns_], check_names=False
    )
    # The values are linear in the column: one slope for everybody who has it.
    for name in list(raw)[:5]:
        known = raw[name].notna()
        slope = np.polyfit(raw.loc[known, name], explained.values.loc[known, ("csf_pea", name)], 1)
        left = explained.values.loc[known, ("csf_pea", name)] - np.polyval(
            slope, raw.loc[known, name]
        )
        assert np.abs(left).max() < 1e-10


def test_an_early_fusion_keeps_the_signs_and_shares_of_its_coefficients(fitted, people):
    cohort, _ = people
    model = fitted["early"]
    explained = explain_fusion(model, cohort)
    own = model.contributions(cohort).fillna(0.0)
    factor = explained.by_block() / own.where(own != 0)
    assert (factor.max(axis=1) - factor.min(axis=1)).max() < 1e-8
    assert factor.max(axis=None) <= 1 + 1e-12
    np.testing.assert_allclose(explained.base, model.intercept_ * factor.mean(axis=1), atol=1e-8)


def test_trees_agree_with_the_values_of_the_evaluation(people):
    cohort, _ = people
    result = cross_validate(
        clinical_model("xgboost", n_estimators=15), cohort, "mvd_response", cv=3, baseline=None,
        keep_models=True,
    )  # fmt: skip
    ours, theirs = explain_fusion(result), shap_values(result)
    np.testing.assert_allclose(ours.values, theirs.values[ours.values.columns.get_level_values(1)])


class OnlyWhoHasWhat(ClassifierMixin, BaseEstimator):
    """A fusion of no kind that the library knows: its log odds are what it finds in a table."""

    def __init__(self, blocks, worth):
        self.blocks = blocks
        self.worth = worth

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.members_ = {n: FeatureBlock(f).fit(X, y) for n, f in self.blocks.items()}
        return self

    def predict_proba(self, X):
        has = [b.transform(X).notna().any(axis=1).astype(int) for b in self.members_.values()]
        p = expit(self.worth[tuple(has)])
        return np.column_stack([1 - p, p])


def test_blocks_that_only_count_together_share_what_they_do(people):
    cohort, y = people
    blocks = {n: BLOCKS[n] for n in ("clinic", "nerves", "csf")}
    worth = np.array([[[0.3, 0.3], [0.3, 1.3]], [[0.8, 0.8], [0.8, 1.8]]])
    model = OnlyWhoHasWhat(blocks, worth).fit(cohort, y)
    explained = explain_fusion(model, cohort)
    np.testing.assert_allclose(explained.p, model.predict_proba(cohort)[:, 1], atol=1e-12)
    both = (explained.status[["nerves", "csf"]] == "used").all(axis=1)
    assert 0 < both.sum() < len(both)
    by_block = explained.by_block()
    np.testing.assert_allclose(by_block["clinic"], 0.5, atol=1e-12)
    np.testing.assert_allclose(by_block.loc[both, ["nerves", "csf"]], 0.5, atol=1e-12)
    np.testing.assert_allclose(by_block.loc[~both, ["nerves", "csf"]], 0.0, atol=1e-12)
    np.testing.assert_allclose(explained.base, 0.3, atol=1e-12)
    assert (explained.status.loc[~cohort.has("csf_pea").to_numpy(), "csf"] == "missing").all()


def test_removal_gives_shapley_values_by_their_definition(people):
    """Against all orders of the blocks, in a game with any worth of any set of them."""
    cohort, y = people
    names = list(BLOCKS)
    worth = np.random.default_rng(4).normal(size=(2,) * len(names))
    model = OnlyWhoHasWhat(BLOCKS, worth).fit(cohort, y)
    explained = explain_fusion(model, cohort)
    here = (explained.status == "used").to_numpy()
    expected = np.zeros(here.shape)
    for order in itertools.permutations(range(len(names))):
        present = np.zeros(here.shape, dtype=int)
        before = worth[tuple(present.T)]
        for k in order:
            present[:, k] = here[:, k]
            after = worth[tuple(present.T)]
            expected[:, k] += (after - before) / math.factorial(len(names))
            before = after
    np.testing.assert_allclose(explained.by_block(), expected, atol=1e-9)
    np.testing.assert_allclose(explained.base, worth[0, 0, 0, 0], atol=1e-9)


# --- they find what was planted -----------------------------------------------------------------


def test_the_planted_block_leads_and_noise_comes_last():
    cohort, y = informed(300, 5, strengths={"strong": 2.0, "weak": 0.7, "noise": 0.0})
    blocks = {name: name for name in ("noise", "weak", "strong")}
    for model in (early_fusion(blocks), late_fusion(blocks, **QUICK)):
        ranked = explain_fusion(model.fit(cohort, y), cohort).importance("block")
        assert ranked.index.tolist() == ["strong", "weak", "noise"]


def test_out_of_fold_is_by_the_model_that_had_not_seen_the_person(result, explained, people):
    cohort, _ = people
    assert explained.values.index.equals(result.predictions.index)
    np.testing.assert_allclose(explained.p, result.predictions["p"], atol=1e-10)
    _, test = result.splits[1]
    alone = explain_fusion(result.models[1], result.cohort.known_at_index()[test])
    both = explained.values.loc[alone.values.index, alone.values.columns]
    np.testing.assert_allclose(alone.values, both, atol=1e-12)
    few = explain_fusion(result, cohort[:7])
    assert sorted(few.values.index) == sorted(cohort.index[:7])


def test_repeats_give_one_row_for_each_prediction(people):
    folds = pp.evaluation.RepeatedSubjectKFold(3, n_repeats=2, random_state=0)
    result = cross_validate(
        early_fusion({"clinic": "clinical"}), people[0], "mvd_response", cv=folds, baseline=None,
        keep_models=True,
    )  # fmt: skip
    explained = explain_fusion(result)
    np.testing.assert_allclose(explained.p, result.predictions["p"], atol=1e-10)


def test_a_block_that_was_left_out_is_unused_and_adds_nothing(people):
    cohort, y = people
    model = late_fusion(BLOCKS, n_folds=3, n_repeats=1, min_people=70).fit(cohort, y)
    explained = explain_fusion(model, cohort)
    left = model.blocks_.index[model.blocks_["weight"] == 0]
    assert len(left)
    assert (explained.status[left] == "unused").all(axis=None)
    assert (explained.by_block()[left] == 0).all(axis=None)


# --- mechanisms ---------------------------------------------------------------------------------


def test_mechanisms_follow_the_panels_and_can_be_replaced(fitted, people):
    cohort, _ = people
    explained = explain_fusion(fitted["late"], cohort)
    found = explained.mechanisms
    assert found["csf", "NEFL"] == "axonal"
    assert found["csf", "CXCL13"] == "autoimmune_like"
    assert found["csf", "FKBP5"] == found["clinic", "pcs_total"] == "stress"
    assert found["nerves", "affected:volume_mm3"] == "compression"
    assert found["scan", "affected:fa"] == "axonal"
    assert found["clinic", "age"] == "clinic"
    by_mechanism = explained.by_mechanism()
    axonal = explained.values.loc[:, (found == "axonal").to_numpy()].sum(axis=1)
    pd.testing.assert_series_equal(by_mechanism["axonal"], axonal, check_names=False)
    own = explain_fusion(fitted["late"], cohort, mechanisms={"csf/NE*": "mine", "age": "time"})
    assert own.mechanisms["csf", "NEFL"] == "mine"
    assert set(own.mechanisms) == {"mine", "time", "clinic", "other"}
    np.testing.assert_allclose(own.by_mechanism()["mine"], explained.values["csf", "NEFL"])


def test_the_default_map_knows_the_axes_of_the_packaged_panels():
    known = mechanism_map()
    for item in pp.fusion.MECHANISMS:
        genes = [c.split(":")[1] for e in item.evidence for c in e.columns if "protein:" in c]
        assert {known[gene] for gene in genes} <= {item.name}
    for name in ("trigeminal", "crps"):
        for analyte in pp.proteomics.panels[name]:
            assert analyte.gene == () or set(analyte.gene) <= set(known)


# --- refusals -----------------------------------------------------------------------------------


def test_what_cannot_be_explained_is_refused(people, fitted, result):
    cohort, y = people
    with pytest.raises(MissingModalityError, match="keep_models=True"):
        explain_fusion(cross_validate(MODELS["clinical"], cohort, "mvd_response", baseline=None))
    with pytest.raises(MissingModalityError, match="expected a Cohort"):
        explain_fusion(fitted["late"])
    with pytest.raises(MissingModalityError, match="nobody"):
        explain_fusion(fitted["late"], cohort[:0])
    with pytest.raises(FormatError, match="predict_proba"):
        explain_fusion(FeatureBlock("clinical").fit(cohort, y), cohort)
    with pytest.raises(FormatError, match="mapping from patterns"):
        explain_fusion(fitted["early"], cohort, mechanisms=["NEFL"])
    with pytest.raises(FormatError, match="kind"):
        explain_fusion(fitted["early"], cohort).plot("pie")
    other = pp.datasets.sample_tn(n_subjects=400, random_state=3).require("mvd_response")
    with pytest.raises(AlignmentError, match="weren't among"):
        explain_fusion(result, other)
    with pytest.raises(AlignmentError, match="nobody in the cohort"):
        explain_person(result, cohort, "somebody else")


# --- one person ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lacking(people):
    """Somebody without CSF."""
    cohort, _ = people
    has = cohort.availability
    return cohort.index[has["nerve_measures"] & ~has["csf_pea"]][0]


def test_a_person_adds_up_and_says_what_is_missing(result, people, lacking):
    cohort, _ = people
    person = explain_person(result, cohort, lacking)
    assert person.probability == pytest.approx(result.predictions.loc[lacking, "p"], abs=1e-10)
    total = logit(person.base_rate) + person.table["contribution"].sum()
    assert expit(total) == pytest.approx(person.probability, abs=1e-10)
    assert "csf" in person.missing
    assert "csf" not in person.table.index.get_level_values("block")
    assert person.blocks.loc["csf", "status"] == "missing"
    assert "csf" in person.text()
    assert person.blocks["contribution"].sum() == pytest.approx(person.mechanisms.sum())
    order = person.table["contribution"].abs()
    assert order.is_monotonic_decreasing


def test_values_units_and_percentiles_of_a_person(fitted, people, lacking):
    cohort, _ = people
    person = explain_person(fitted["early"], cohort, lacking)
    assert person.n_reference == len(cohort) - 1
    age = person.table.loc[("clinic", "age")]
    assert (age["value"], age["unit"]) == (cohort.subjects.loc[lacking, "age"], "years")
    others = cohort.subjects["age"].drop(lacking)
    below = (others < age["value"]).mean() + (others == age["value"]).mean() / 2
    assert age["percentile"] == pytest.approx(100 * below)
    assert age["median"] == others.median()
    assert person.table.loc[("nerves", "affected:volume_mm3"), "unit"] == "mm³"
    with_csf = cohort.index[cohort.has("csf_pea")][0]
    assert (
        explain_person(fitted["early"], cohort, with_csf).table.loc[("csf", "NEFL"), "unit"]
        == "NPX"
    )


def test_a_person_is_not_named_unless_asked(result, explained, people, lacking):
    person = explain_person(result, people[0], lacking)
    quiet = (repr(person), str(person), person.text(), person.html(), person._repr_html_())
    assert not any(lacking in text for text in quiet)
    assert lacking in person.text(show_id=True)
    assert lacking in person.html(show_id=True)
    for text in quiet:
        assert "research use only" in text
        assert "SYNTHETIC" in text
    assert not any(name in repr(explained) for name in people[0].index)


def test_html_is_well_formed_and_escapes_names(people):
    cohort, y = people
    model = early_fusion({"<script>alert(1)</script>": "clinical", "nerves": "nerve_measures"})
    page = explain_person(model.fit(cohort, y), cohort, cohort.index[0], outcome="a < b").html()
    assert "<script>" not in page
    assert "a &lt; b" in page

    class Stack(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags = []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)

        def handle_endtag(self, tag):
            assert self.tags.pop() == tag

    parser = Stack()
    parser.feed(page)
    assert parser.tags == []


def test_sentences_say_direction_and_size(fitted, people, lacking):
    person = explain_person(fitted["early"], people[0], lacking)
    assert len(person.sentences) == 5
    for sentence, c in zip(person.sentences, person.table["contribution"], strict=False):
        assert ("raises" if c > 0 else "lowers") in sentence
        assert f"{np.exp(abs(c)):.2f}" in sentence


def test_a_value_that_was_not_measured_is_called_so(people):
    cohort, y = people
    model = block_model("clinical").fit(cohort, y)
    lacks = cohort.subjects["pcs_total"].isna()
    person = explain_person(model, cohort, cohort.index[lacks][0])
    row = person.table.loc[("clinical", "pcs_total")]
    assert np.isnan(row["value"])
    assert np.isnan(row["percentile"])
    assert "not measured" in person.html() or row.name not in person.table.index[:10]


# --- figures ------------------------------------------------------------------------------------


def test_figures_draw_on_the_axes_they_are_given(result, explained, people, lacking):
    from matplotlib.figure import Figure

    for kind in ("mechanisms", "blocks", "features"):
        ax = Figure().add_subplot()
        assert explained.plot(kind, ax=ax) is ax
        assert any("SYNTHETIC" in text.get_text() for text in ax.texts)
    named = [t.get_text() for t in explained.plot("blocks").get_yticklabels()]
    assert named == explained.importance("block").index.tolist()
    person = explain_person(result, people[0], lacking)
    ax = person.plot(max_rows=4)
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len([row for row in rows if "other features" in row]) == 1
    assert "csf: missing" in rows
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends[-1] == pytest.approx(logit(person.probability), abs=1e-9)


def test_a_whole_classifier_in_a_late_fusion_speaks_as_one():
    """As an encoder of images would: a model that isn't a pipeline."""
    cohort, y = informed(120, 6, strengths={"x": 1.0, "z": 1.0})

    class Sums(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            self.model_ = LogisticRegression().fit(X.measurement("x"), y)
            return self

        def predict_proba(self, X):
            return self.model_.predict_proba(X.measurement("x"))

    model = late_fusion({"whole": Sums(), "z": "z"}, **QUICK).fit(cohort, y)
    assert "whole" in model.models_
    explained = explain_fusion(model, cohort)
    np.testing.assert_allclose(explained.score, model.decision_function(cohort), atol=1e-8)
    assert explained.values["whole"].shape == (120, 1)
    expected = model.contributions(cohort)["whole"]
    np.testing.assert_allclose(explained.by_block()["whole"], expected, atol=1e-12)
    person = explain_person(model, cohort, cohort.index[3])
    assert any(sentence.startswith("whole ") for sentence in person.sentences)
