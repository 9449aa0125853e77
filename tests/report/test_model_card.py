"""The model card: its numbers are the evaluation's, nobody is named, nothing is flattered."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort
from precisionpain.errors import ComparisonError, FormatError, StorageError
from precisionpain.evaluation import CVResult, LeaveSiteOut, clinical_model, cross_validate
from precisionpain.fusion import LateFusion
from precisionpain.report import ModelCard, checklist, model_card, read_model_card
from precisionpain.stats import net_benefit
from tests.report.conftest import make_cohort
from tests.report.pages import Page, check_page

EVIL = "north<script>alert(1)</script>"
COUNTS = {"tripod+ai": 52, "probast+ai": 34, "claim": 44}


def made(effect: float = 0.0, **parts) -> Cohort:
    cohort = make_cohort(effect=effect)
    people = cohort.subjects.replace({"site": {"north": EVIL}})
    return Cohort(**{**cohort._parts(), "subjects": people, **parts})


def evaluated(cohort: Cohort, **options) -> CVResult:
    settings = {"n_permutations": 19, "n_bootstrap": 20, "name": "only age", **options}
    return cross_validate(
        clinical_model("logistic", columns=["age"]), cohort, "mvd_response", 4, **settings
    )


@pytest.fixture(scope="module")
def result() -> CVResult:
    return evaluated(made(effect=1.5))


@pytest.fixture(scope="module")
def card(result) -> ModelCard:
    return model_card(
        result, intended_use="To <b>study</b>.", funding="None.", subgroups=False,
        answers={"claim": {"18": {"answer": "Two readers", "status": "partly", "where": "p. 3"}}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def raw(card) -> str:
    return card.to_html()


@pytest.fixture(scope="module")
def page(raw) -> Page:
    return Page(raw)


def test_the_page_is_whole_silent_and_accessible(raw, page):
    check_page(raw, page)


def test_nobody_is_named(card, raw, result):
    text = raw + json.dumps(card.to_dict())
    assert not any(i in text for i in result.cohort.subject_ids)


def test_ids_in_settings_are_taken_out():
    cohort = made()
    model = clinical_model("logistic", columns=["age"]).set_params(model__class_weight=None)
    model.set_params(features__exclude=list(cohort.subject_ids[:2]))
    found = cross_validate(model, cohort, "mvd_response", 3, n_permutations=2, n_bootstrap=5)
    text = json.dumps(model_card(found, subgroups=False).to_dict())
    assert "[person]" in text
    assert not any(i in text for i in cohort.subject_ids)


def test_what_others_wrote_is_escaped(raw, page):
    assert "<script" not in raw
    assert "<b>study" not in raw
    assert EVIL in page.text
    assert "To <b>study</b>." in page.text
    assert "made &lt;up&gt; &amp; small" in raw


def test_the_numbers_are_those_of_the_result(card, result, page):
    found = card.record["performance"]
    assert found["auc"]["auc"] == result.auc.auc
    assert found["calibration"]["slope"] == result.calibration.slope
    assert found["permutation"]["p_value"] == result.permutation.p_value
    assert found["increment"]["corrected"]["mean"] == result.increment.corrected.mean
    assert found["increment"]["delong"]["p_value"] == result.increment.pooled.p_value
    for row in found["metrics"]:
        assert row["estimate"] == result.summary().loc[row["metric"], "estimate"]
        assert f"{row['estimate']:.3f}".replace("-", "−") in page.text
    assert card.record["evaluation"]["fold_key"] == result.fold_key
    assert card.record["data"]["n_people"] == len(result.y)
    assert sum(s["events"] for s in card.record["data"]["sites"]) == result.y.sum()


def test_net_benefit_is_that_of_the_pooled_predictions(card, result):
    p = result.predictions["p"].reindex(result.cohort.index).to_numpy()
    base = result.baseline.predictions["p"].reindex(result.cohort.index).to_numpy()
    table = net_benefit(result.y, p, [0.5])
    found = card.record["performance"]
    expected = float(table["model"][0] - max(table["treat_all"][0], 0))
    assert found["net_benefit"]["over_default"]["difference"] == pytest.approx(expected)
    gain = float(table["model"][0] - net_benefit(result.y, base, [0.5])["model"][0])
    assert found["increment"]["net_benefit"]["difference"] == pytest.approx(gain)


def test_synthetic_people_are_announced_and_real_ones_not(card, page):
    assert "Synthetic data." in page.text
    assert card.record["title"].endswith("SYNTHETIC DATA")
    assert card.headline[0].startswith("Synthetic people, no finding about patients")
    assert all(str(img["alt"]).startswith("Synthetic data.") for img in page.named("img"))
    real = model_card(evaluated(made(synthetic=False), n_permutations=2), subgroups=False)
    assert "Synthetic data" not in Page(real.to_html()).text
    assert real.headline[0].startswith("In 106 people")


def test_research_use_only_stands_in_header_and_footer(page):
    assert page.text.count("esearch use only") == 2


def test_a_gain_is_one_only_when_its_interval_says_so(card):
    from precisionpain.report._card.words import headline

    record = card.record
    increment = record["performance"]["increment"]

    def said(mean: float, low: float, high: float) -> str:
        corrected = {**increment["corrected"], "mean": mean, "ci_low": low, "ci_high": high}
        performance = {
            **record["performance"], "increment": {**increment, "corrected": corrected}
        }  # fmt: skip
        return " ".join(headline({**record, "performance": performance}))

    assert "no gain is shown" in said(0.1, -0.01, 0.2)
    assert ": a gain (" in said(0.1, 0.01, 0.2)
    assert "it is worse" in said(-0.1, -0.2, -0.01)
    assert "no gain is shown" in said(0.1, np.nan, np.nan)


def test_a_dead_canary_is_the_first_thing_said(card):
    from precisionpain.report._card.words import headline

    test = {**card.record["performance"]["permutation"], "passed": False, "mean": 0.71}
    record = {**card.record, "performance": {**card.record["performance"], "permutation": test}}
    assert headline(record)[1].startswith("WARNING: with permuted labels")
    assert "0.71" in headline(record)[1]


def test_chance_is_called_chance():
    found = model_card(evaluated(make_cohort(effect=0.0), n_permutations=5), subgroups=False)
    assert "not shown to be better than chance" in found.headline[0]


def test_it_can_be_read_again(card, tmp_path):
    written = card.save(tmp_path / "new" / "card")
    again = read_model_card(tmp_path / "new" / "card")
    assert again.to_dict() == card.to_dict()
    assert again.pictures == card.pictures
    assert again.to_html() == card.to_html() == written["model_card.html"].read_text("utf-8")
    assert read_model_card(written["model_card.json"]).headline == card.headline
    json.loads(written["model_card.json"].read_text("utf-8"), parse_constant=pytest.fail)


def test_what_is_no_card_is_refused(card, tmp_path):
    with pytest.raises(StorageError, match="no model card"):
        read_model_card(tmp_path / "nothing")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(FormatError, match="isn't a model card"):
        read_model_card(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(json.dumps({**card.to_dict(), "format_version": 99}))
    with pytest.raises(FormatError, match="version 99"):
        read_model_card(tmp_path / "b.json")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(FormatError, match="expected JSON"):
        read_model_card(tmp_path / "c.json")


def test_wrong_arguments_are_refused(result):
    with pytest.raises(FormatError, match="CVResult or a Study"):
        model_card(42)
    with pytest.raises(FormatError, match="'fundign'"):
        model_card(result, subgroups=False, fundign="me")
    with pytest.raises(FormatError, match="answers name 'strobe'"):
        model_card(result, subgroups=False, answers={"strobe": {}})
    with pytest.raises(FormatError, match=r"have a \.table"):
        model_card(result, subgroups=7)


def test_a_study_gives_its_primary_model(study):
    found = model_card(study, subgroups=False)
    assert found.record["model"]["name"] == study.primary.name
    assert found.record["performance"]["sample_size"]["sentence"] == study.verdict.sentence
    assert len(found.record["performance"]["others"]) == len(study.comparisons)
    primary = study.other_sites["logistic"]
    assert found.record["other_sites"]["auc"]["auc"] == primary.auc.auc
    assert found.record["checklists"]["tripod+ai"][0]["item"] == "1"
    page = Page(found.to_html())
    check_page(found.to_html(), page)
    assert f"{primary.auc.auc:.2f}" in page.text


def test_subgroups_are_computed_or_taken(result):
    computed = model_card(result).record["subgroups"]
    assert {row["by"] for row in computed["rows"]} >= {"all", "sex", "age", "site"}
    everybody = computed["rows"][0]
    assert everybody["auc"] == pytest.approx(result.auc.auc)
    own = pd.DataFrame(
        {"group": ["women", "men"], "n": [50, 56], "auc": [0.81, 0.42], "ci_low": [0.7, 0.3],
         "ci_high": [0.9, 0.55]}
    )  # fmt: skip
    card = model_card(result, subgroups=own)
    assert "lowest AUC is 0.42 (0.30 to 0.55), in men." in " ".join(card.headline)
    assert "subgroups" in card.pictures
    assert "0.42 (0.30 to 0.55)" in Page(card.to_html()).text


def test_sites_left_out_are_shown(result):
    sites = cross_validate(
        clinical_model("logistic", columns=["age"]), result.cohort, "mvd_response",
        LeaveSiteOut("site"), baseline=None, n_permutations=2, n_bootstrap=5,
    )  # fmt: skip
    card = model_card(result, other_sites=sites, subgroups=False)
    assert card.record["other_sites"]["auc"]["auc"] == sites.auc.auc
    assert f"left out in turn, the AUC is {sites.auc.auc:.2f}" in " ".join(card.headline)
    clusters = checklist("tripod+ai", card).loc["23b"]
    assert clusters["status"] == "filled"
    trees = cross_validate(
        clinical_model("random_forest", n_estimators=5), result.cohort, "mvd_response",
        LeaveSiteOut("site"), baseline=None, n_permutations=2, n_bootstrap=5,
    )  # fmt: skip
    with pytest.raises(ComparisonError, match="RandomForestClassifier"):
        model_card(result, other_sites=trees, subgroups=False)


def test_a_fitted_fusion_shows_its_blocks_and_weights():
    import precisionpain as pp

    cohort = pp.datasets.sample_tn(n_subjects=140, random_state=3)
    blocks = {"clinic": clinical_model("logistic", columns=["age"]), "scan": "diffusion"}
    model = LateFusion(blocks, n_repeats=1, gate=None)
    found = cross_validate(model, cohort, "mvd_response", 3, n_permutations=1, n_bootstrap=5)
    people = cohort.require("mvd_response")
    fitted = model.fit(people, people.outcome("mvd_response"))
    record = model_card(found, model=fitted, subgroups=False).record["model"]
    weights = {row["block"]: row["weight"] for row in record["learned"]["blocks"]}
    assert weights == fitted.blocks_["weight"].to_dict()
    assert record["blocks"]["scan"] == "diffusion"
    inside = record["learned"]["inside"]["scan"]
    expected = fitted.models_["scan"][-1].coef_[0]
    assert [c["coefficient"] for c in inside["coefficients"]] == pytest.approx(expected.tolist())


@pytest.mark.parametrize("name", COUNTS)
def test_checklists_have_the_published_number_of_items(name, card):
    table = checklist(name, card)
    assert len(table) == COUNTS[name]
    assert table.index.is_unique
    assert set(table["status"]) <= {"filled", "partly", "open", "not applicable"}
    assert (table.loc[table["status"] == "open", "answer"] == "").all()
    assert (table.loc[table["status"] != "open", "by"] != "").all()
    assert table["asks"].str.endswith("?").all()
    assert table.reset_index().to_dict("records") == card.record["checklists"][name]


def test_the_items_are_numbered_as_published():
    tripod = checklist("tripod+ai")
    assert tripod.index.str.extract(r"(\d+)")[0].astype(int).unique().tolist() == [*range(1, 28)]
    assert set(tripod["applies"]) == {"D", "E", "D;E"}
    assert (tripod["applies"] == "D").sum() == 8
    assert (tripod["applies"] == "E").sum() == 4
    probast = checklist("probast+ai")
    assert probast["applies"].value_counts().to_dict() == {"E": 18, "D": 16}
    assert checklist("claim").index.tolist() == [str(i) for i in range(1, 45)]


def test_without_a_source_everything_is_open():
    assert all((checklist(name)["status"] == "open").all() for name in COUNTS)


def test_what_only_people_know_stays_open(result):
    card = model_card(result, subgroups=False)
    tripod = checklist("tripod+ai", card)
    people = ["3a", "3b", "3c", "5b", "8b", "8c", "9c", "17", "18a", "18b", "18c", "18d", "19",
              "27b", "27c"]  # fmt: skip
    assert (tripod.loc[people, "status"] == "open").all()
    assert (checklist("probast+ai", card).loc[["D1.2", "D3.4", "E2.1"], "status"] == "open").all()
    claim = checklist("claim", card)
    assert (claim.loc[["5", "11", "15", "18", "34", "44"], "status"] == "open").all()


def test_the_author_is_marked_and_goes_first(card):
    tripod, claim = checklist("tripod+ai", card), checklist("claim", card)
    assert tripod.loc["18a", ["status", "answer", "by"]].tolist() == ["filled", "None.", "author"]
    assert claim.loc["44", "by"] == "author"
    assert claim.loc["18", ["status", "answer", "where"]].tolist() == [
        "partly", "Two readers", "p. 3"
    ]  # fmt: skip
    again = checklist("claim", card, answers={"18": "Three readers"})
    assert again.loc["18", "answer"] == "Three readers"


def test_wrong_answers_are_refused(card):
    with pytest.raises(FormatError, match="a checklist is one of"):
        checklist("strobe")
    with pytest.raises(FormatError, match="no item '99'"):
        checklist("claim", card, answers={"99": "x"})
    with pytest.raises(FormatError, match="item '3'"):
        checklist("claim", card, answers={"3": {"answer": "x", "status": "done"}})
    with pytest.raises(FormatError, match="a card is written from"):
        checklist("claim", 3)


def test_facts_that_the_checklists_name_exist(card):
    from precisionpain.report._checklists.facts import facts
    from precisionpain.report.checklists import content_of

    known = facts(card.record)
    used = {i["fact"] for n in COUNTS for i in content_of(n)["items"] if "fact" in i}
    assert used == set(known)


def test_class_weights_are_seen():
    weighed = clinical_model("logistic", columns=["age"], class_weight="balanced")
    found = cross_validate(
        weighed, made(), "mvd_response", 3, n_permutations=2, n_bootstrap=5, baseline=None
    )
    card = model_card(found, subgroups=False)
    assert checklist("tripod+ai", card).loc["13", "status"] == "partly"
    assert "balanced" in checklist("tripod+ai", card).loc["13", "answer"]


def test_an_unbeatable_leak_doesn_t_count_as_checked(card):
    test = {**card.record["performance"]["permutation"], "passed": False}
    record = {**card.record, "performance": {**card.record["performance"], "permutation": test}}
    leaky = dataclasses.replace(card, record=record)
    assert checklist("probast+ai", leaky).loc["E4.5", "status"] == "partly"


def test_rows_that_are_nerves_are_counted_as_such():
    cohort = make_cohort().per_nerve()
    half = len(cohort) // 2
    y = pd.Series(np.r_[np.tile([0, 1], half // 2), np.zeros(half)], cohort.index)
    found = cross_validate(
        clinical_model("logistic", columns=["age"]), cohort, y, 3, baseline=None,
        n_permutations=2, n_bootstrap=5,
    )  # fmt: skip
    card = model_card(found, subgroups=False)
    assert card.record["data"]["n_rows"] == 2 * card.record["data"]["n_people"]
    assert f"{half // 2} of their {len(y)} nerves" in card.headline[0]
    check_page(card.to_html(), Page(card.to_html()))


def test_coefficients_of_a_fusion_are_held_against_the_number_of_people():
    import precisionpain as pp
    from precisionpain.fusion import early_fusion
    from precisionpain.stats import sample_size_verdict

    cohort = pp.datasets.sample_tn(n_subjects=140, random_state=3)
    model = early_fusion({"clinic": "clinical"})
    found = cross_validate(
        model, cohort, "mvd_response", 3, n_permutations=1, n_bootstrap=5, baseline=None
    )
    people = cohort.require("mvd_response")
    fitted = model.fit(people, people.outcome("mvd_response"))
    card = model_card(found, model=fitted, subgroups=False)
    expected = sample_size_verdict(len(found.y), int(found.y.sum()), len(fitted.coef_))
    assert expected.sentence in card.headline
