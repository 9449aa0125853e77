"""The report of one person: true to the cohort, silent about who it is, honest about gaps."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logit

import precisionpain as pp
from precisionpain.cohort import Cohort, Column, Outcome
from precisionpain.errors import AlignmentError, FormatError, MissingModalityError
from precisionpain.evaluation import clinical_model, cross_validate
from precisionpain.report import PatientReport, patient_report
from precisionpain.report._person.page import NOTE
from precisionpain.report._person.reference import place
from tests.report.pages import Page, check_page


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return pp.datasets.sample_tn(n_subjects=150, random_state=5)


@pytest.fixture(scope="module")
def model(cohort):
    people = cohort.require("mvd_response")
    blocks = {"clinical": "clinical", "nerves": "nerve_measures", "diffusion": "diffusion"}
    return pp.fusion.early_fusion(blocks).fit(people, people.outcome("mvd_response"))


@pytest.fixture(scope="module")
def who(cohort) -> str:
    """Somebody with one painful side, measured nerves and CSF, but without diffusion."""
    has, people = cohort.availability, cohort.subjects
    chosen = has["nerve_measures"] & ~has["diffusion"] & has["csf_pea"]
    chosen &= people["affected_side"].isin(["left", "right"]) & people["pain_severity"].isna()
    return str(cohort.subject_ids[chosen.to_numpy()][0])


@pytest.fixture(scope="module")
def report(cohort, model, who) -> PatientReport:
    return patient_report(
        cohort, who, model=model, name="person 7", outcome="a good outcome",
        facts={"trigeminal_neuralgia": True, "secondary_cause": False},
        trained_on=list(cohort.require("mvd_response").subject_ids),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(report.to_html())


def test_the_page_is_whole_silent_and_accessible(report, page):
    check_page(report.to_html(), page)


def test_nobody_is_named(cohort, report):
    text = report.to_html() + json.dumps(report.to_dict()) + repr(report)
    assert "person 7" in text
    assert not any(i in text for i in cohort.subject_ids)


def test_no_site_no_date_no_text_and_no_truth(report, cohort):
    names = {row["name"] for row in report.record["clinic"]["rows"]}
    assert names == set(cohort.known_at_index().predictors)
    assert not names & {"site", "bni_12mo", "latent_subtype", "true_response_probability"}


def test_research_use_only_stands_first_last_and_on_every_printed_page(report, page):
    said = [i for i, (_, text) in enumerate(page.texts) if "esearch use only" in text]
    body = [text for tag, text in page.texts if tag not in ("style", "title") and text.strip()]
    assert body[0].startswith("Skip")
    assert "Research use only" in body[1]
    assert "Research use only" in body[-2]
    assert len(said) >= 3
    printed = page.style.split("@media print")[-1]
    # The foot of a table is the one thing that browsers repeat on every page.
    assert re.search(r"body {[^}]*display: table;", printed)
    assert re.search(r"\.running {[^}]*display: table-footer-group", printed)
    feet = [i for i, (_, a) in enumerate(page.elements) if a.get("class") == "running"]
    assert len(feet) == 1
    assert f'<div class="running" aria-hidden="true"><span>{NOTE}' in report.to_html()


def test_synthetic_people_are_announced(report, page):
    assert "this person does not exist" in page.text
    assert repr(report).startswith("Report on person 7 – SYNTHETIC DATA")
    real = Cohort(**{**_small()._parts(), "synthetic": False})
    assert "ynthetic" not in Page(patient_report(real, "a0").to_html()).text


def test_nerve_measures_are_placed_among_the_controls(cohort, report, who):
    people = cohort.subjects
    table = cohort.known_at_index().measurements["nerve_measures"]
    healthy = table[table["subject_id"].isin(people.index[people["diagnosis"] == "control"])]
    side = people.loc[who, "affected_side"]
    own = table[(table["subject_id"] == who) & (table["side"] == side)].iloc[0]
    found = next(t for t in report.record["measures"] if t["table"] == "nerve_measures")
    assert found["roles"][0] == f"affected ({side})"
    row = next(r for r in found["rows"] if r["measure"] == "volume_mm3")
    x, n = healthy["volume_mm3"].dropna(), healthy["subject_id"].nunique()
    assert row["affected"] == own["volume_mm3"]
    assert row["affected_place"]["z"] == pytest.approx((own["volume_mm3"] - x.mean()) / x.std())
    half = stats.t.ppf(0.975, n - 1) * x.std() * np.sqrt(1 + 1 / n)
    assert row["affected_place"]["high"] == pytest.approx(x.mean() + half)
    assert row["affected_place"]["percentile"] == pytest.approx(
        100 * stats.percentileofscore(x, own["volume_mm3"], kind="mean") / 100
    )


def test_the_range_holds_for_new_values():
    rng = np.random.default_rng(0)
    outside = [
        place(x[0], pd.Series(x[1:], [f"c{i}" for i in range(20)])).outside
        for x in rng.normal(10, 2, (2000, 21))
    ]
    assert np.mean(outside) == pytest.approx(0.05, abs=0.015)


def test_few_or_tied_references_give_no_range():
    few = place(3.0, pd.Series([1.0, 2.0, 3.0], list("abc")))
    assert (few.outside, few.n) == (None, 3)
    zeros = pd.Series([0.0] * 30 + [1.0] * 10, [f"c{i}" for i in range(40)])
    tied = place(0.0, zeros)
    assert tied.method == "rank"
    assert tied.outside is False
    assert place(5.0, zeros).outside is True
    assert place(np.nan, zeros).outside is None


def test_protein_scores_are_those_of_score_panel(cohort, report, who):
    adata = cohort.known_at_index().assays["csf_pea"]
    adata = adata[adata.obs["visit"] == "preop"].copy()
    healthy = cohort.subjects.query("diagnosis == 'control'").index
    there = healthy[healthy.isin(adata.obs["subject_id"])]
    scores = pp.proteomics.score_panel(adata, "trigeminal", {"subject_id": there})
    own = scores[scores["subject_id"] == who].iloc[0]
    found = next(a for a in report.record["proteins"] if a["assay"] == "csf_pea")
    for axis in found["axes"]:
        assert axis["score"] == pytest.approx(own[axis["axis"]])
        assert axis["low"] == pytest.approx(own[f"{axis['axis']}_low"])
        assert axis["outside"] == (not axis["low"] <= axis["score"] <= axis["high"])


def test_the_prediction_is_the_model_s(cohort, model, report, who, page):
    one = cohort.known_at_index()[np.flatnonzero(cohort.subject_ids == who)]
    p = float(model.predict_proba(one)[0, 1])
    found = report.record["prediction"]
    assert found["p"] == pytest.approx(p)
    assert f"probability of {p:.2f} of a good outcome" in page.text
    trained = who in set(cohort.require("mvd_response").subject_ids)
    assert found["unseen"] is not trained
    assert ("among its training people" in page.text) is trained
    assert "probability" in report.pictures


def test_reasons_come_from_the_explanation(cohort, model, report, who, page):
    person = pp.fusion.explain_person(model, cohort, who)
    assert report.record["reasons"]["sentences"] == list(person.sentences)
    assert all(sentence in page.text for sentence in person.sentences)
    assert "not causes" in page.text


def test_what_is_missing_is_named_with_what_it_might_change(cohort, model, report, who):
    assert "diffusion" in report.record["summary"][-1]
    assert "pain_severity" in report.record["summary"][-1]
    found = {row["block"]: row for row in report.record["lacking"]}
    parts = model.contributions(cohort.known_at_index())["diffusion"].dropna()
    assert found["diffusion"]["spread"] == pytest.approx(parts.std())
    assert logit(found["diffusion"]["high"]) - logit(report.record["prediction"]["p"]) == (
        pytest.approx(parts.std())
    )


def test_a_cross_validation_gives_its_out_of_fold_prediction(cohort):
    result = cross_validate(
        clinical_model("logistic"), cohort, "mvd_response", 4, name="the ridge", baseline=None
    )
    someone = str(result.cohort.subject_ids[3])
    found = patient_report(cohort, someone, model=result, explanation=False).record["prediction"]
    assert found["p"] == result.predictions.loc[someone, "p"]
    assert found["unseen"] is True
    other = cohort.subject_ids[~cohort.subject_ids.isin(result.cohort.subject_ids)][0]
    with pytest.raises(AlignmentError, match="made no prediction"):
        patient_report(cohort, other, model=result)


class Assessor:
    """What a model with intervals and sets returns."""

    def __init__(self, **said: object) -> None:
        self.said = {"p": 0.7, "p_low": 0.4, "p_high": 0.9, "set": "either", "informed": True,
                     "reason": "because", **said}  # fmt: skip

    def assess(self, X: Cohort) -> pd.DataFrame:
        return pd.DataFrame([self.said], X.index)


def test_intervals_and_sets_are_shown():
    cohort = _small()
    text = Page(patient_report(cohort, "a0", model=Assessor(), explanation=False).to_html()).text
    assert "a probability of 0.70 (0.40 to 0.90)" in text
    assert "it can rule out neither outcome" in text
    one = patient_report(cohort, "a0", model=Assessor(set="response"), explanation=False)
    assert "rules out all but response" in one.record["summary"][-2]
    lost = patient_report(cohort, "a0", model=Assessor(informed=False), explanation=False)
    assert "should not be used" in lost.record["summary"][-2]
    assert "little to go by" in Page(lost.to_html()).text
    with pytest.raises(FormatError, match="predict_proba or assess"):
        patient_report(cohort, "a0", model=object())


def test_somebody_who_lacks_everything_but_the_clinic(cohort, model):
    bare = cohort.subject_ids[~cohort.availability.any(axis=1).to_numpy()]
    report = patient_report(cohort, bare[0], model=model)
    page = Page(report.to_html())
    check_page(report.to_html(), page)
    assert report.record["measures"][0]["rows"] == []
    assert "nerve_measures: not measured in this person." in page.text
    assert "csf_pea: not measured." in page.text
    assert "No scan. Measured numbers only." in page.text
    assert len(report.record["lacking"]) == 2


def test_a_control_has_no_etiology(cohort):
    healthy = cohort.subjects.query("diagnosis == 'control'").index[0]
    report = patient_report(cohort, healthy)
    assert report.record["etiology"] == []
    assert "nothing to classify" in Page(report.to_html()).text


def test_the_etiology_is_that_of_the_rules(cohort, report, who):
    found = pp.trigeminal.classify_etiologies(
        cohort.known_at_index(), errors="flag", trigeminal_neuralgia=True, secondary_cause=False
    )
    own = found.loc[who].iloc[0]
    row = report.record["etiology"][0]
    assert (row["etiology"], row["ichd3_code"]) == (own["etiology"], own["ichd3_code"])
    assert own["reasons"] in Page(report.to_html()).text


def _small(**parts: object) -> Cohort:
    """Return people of another syndrome: no side, no nerves, no assay."""
    ids = [f"a{i}" for i in range(12)]
    people = pd.DataFrame(
        {
            "diagnosis": ["CRPS"] * 12,
            "age": [93.4, *range(40, 51)],
            "duration": [91.0, *range(1, 12)],
            "site": "St <i>Mary</i>",
            "comment": "met at <script>alert(1)</script>",
            "mood": ["<script>alert(1)</script>"] * 11 + [None],
            "better": [0.0, 1.0] * 6,
        },
        index=ids,
    )
    columns = {
        "age": Column(unit="years"), "duration": Column(kind="duration", unit="years"),
        "comment": Column(kind="text", role="note"), "mood": Column(kind="category"),
    }  # fmt: skip
    options = {"columns": columns, "outcomes": {"better": Outcome(column="better", at_least=1)},
               "name": "hands & feet", "synthetic": True, **parts}  # fmt: skip
    return Cohort(people, **options)


def test_other_syndromes_have_no_trigeminal_sections():
    report = patient_report(_small(), "a0")
    page = Page(report.to_html())
    check_page(report.to_html(), page)
    sections = [s["id"] for s in page.named("section")]
    assert sections == ["summary", "clinic", "missing", "reading"]
    assert report.record["etiology"] is None


def test_levels_and_sides_of_another_nerve_are_told_apart():
    ids = [f"root{i}" for i in range(30)]
    keys = pd.MultiIndex.from_product(
        [ids, ["L5", "S1"], ["left", "right"]], names=["subject_id", "level", "side"]
    )
    table = keys.to_frame(index=False)
    table["area_mm2"] = np.random.default_rng(1).normal(30, 3, len(table))
    table.loc[(table["subject_id"] == "root0") & (table["level"] == "S1"), "area_mm2"] = 5.0
    people = pd.DataFrame({"affected_side": ["left"] * 30}, index=ids)
    cohort = Cohort(people, measurements={"roots": table, "whole": table.iloc[::4, [0, 3]]})
    report = patient_report(cohort, "root0")
    roots, whole = report.record["measures"]
    assert [row["measure"] for row in roots["rows"]] == ["area_mm2 (L5)", "area_mm2 (S1)"]
    assert roots["rows"][1]["affected"] == 5.0
    assert roots["rows"][1]["affected_place"]["outside"] is True
    others = table[(table["level"] == "S1") & (table["subject_id"] != "root0")]["area_mm2"]
    assert roots["rows"][1]["affected_place"]["z"] == pytest.approx(
        (5 - others.mean()) / others.std()
    )
    assert whole["roles"] == ["value"]
    text = Page(report.to_html()).text
    assert "29 other people of the cohort, who aren't healthy controls" in text
    assert report.record["etiology"] is None
    assert report.record["scan_note"] == ""
    twice = cohort.with_measurements("roots", pd.concat([table, table]))
    note = patient_report(twice, "root0").record["measure_notes"][0]
    assert "several rows for one side" in note
    assert "root0" not in note


@pytest.mark.parametrize("syndrome", ["sciatica", "neuropathy", "crps", "mtbi"])
def test_every_sample_has_a_report(syndrome):
    cohort = getattr(pp.datasets, f"sample_{syndrome}")(n_subjects=60)
    panel = syndrome if syndrome == "crps" else None
    report = patient_report(cohort, cohort.subject_ids[0], panel=panel)
    raw = report.to_html()
    check_page(raw, Page(raw))
    assert report.record["etiology"] is None
    assert not any(i in raw for i in cohort.subject_ids)
    assert [p["assay"] for p in report.record["proteins"]] == (["plasma_pea"] if panel else [])


def test_great_age_is_grouped_everywhere():
    cohort = _small()
    text = Page(patient_report(cohort, "a0").to_html()).text
    assert "90 or more" in text
    assert "93" not in text
    assert "91 " not in text
    explanation = type("Reasons", (), {})()
    explanation.table = pd.DataFrame(
        {"feature": ["age", "mood=low"], "value": [93.4, 1.0], "unit": ["years", ""],
         "contribution": [0.3, 0.1]}
    )  # fmt: skip
    explanation.sentences = ("age (clinic) is 93.4 years: raises the odds.", "mood is low.")
    shown = patient_report(cohort, "a0", model=Assessor(), explanation=explanation, hide=["mood"])
    text = Page(shown.to_html()).text
    assert "93" not in text
    assert "90 or more years: raises the odds" in text
    assert "mood" not in text


def test_what_others_wrote_is_escaped_and_free_text_left_out():
    report = patient_report(_small(), "a1", name="<b>Bob</b>")
    raw = report.to_html()
    assert "<script" not in raw
    assert "<b>Bob" not in raw
    assert "<b>Bob</b>" in Page(raw).text
    assert "met at" not in raw
    assert "Mary" not in raw
    assert "hands &amp; feet" in raw


def test_few_controls_are_replaced_by_published_ranges(cohort, who):
    report = patient_report(cohort, who, reference="published")
    table = next(t for t in report.record["measures"] if t["table"] == "nerve_measures")
    row = next(r for r in table["rows"] if r["measure"] == "volume_mm3")
    assert row["affected_place"]["z"] == pytest.approx((row["affected"] - 74.7) / 16.5)
    assert "Acta Neurochir" in row["affected_place"]["method"]
    length = next(r for r in table["rows"] if r["measure"] == "length_mm")
    assert length["affected_place"]["outside"] is None
    assert "factor of two" in Page(report.to_html()).text
    few = patient_report(cohort, who, reference=list(cohort.subject_ids[:3]))
    assert few.record["reference"]["who"] == "published"


def test_json_and_html_are_written(report, tmp_path):
    written = report.save(tmp_path / "new")
    record = json.loads(
        written["patient_report.json"].read_text("utf-8"), parse_constant=pytest.fail
    )
    assert record == report.to_dict()
    assert written["patient_report.html"].read_text("utf-8") == report.to_html()
    assert dataclasses.replace(report, record=record).to_html()


def test_wrong_arguments_are_refused(cohort, who):
    with pytest.raises(AlignmentError):
        patient_report(cohort, "nobody")
    with pytest.raises(FormatError, match="a cohort of nerves"):
        patient_report(cohort.per_nerve(), who)
    with pytest.raises(MissingModalityError, match="'group'"):
        patient_report(cohort, who, reference={"group": "control"})
    with pytest.raises(FormatError, match="'published'"):
        patient_report(cohort, who, reference="controls")
    with pytest.raises(AlignmentError):
        patient_report(cohort, who, reference=["nobody"])


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("scan")
    cistern = pp.trigeminal.simulate_cistern(3, spacing=0.8, oversample=2)
    rows = []
    for contrast, image in (("T2w", cistern.image), ("dseg", cistern.labels)):
        path = Path(folder) / f"sub-zz9-scanned_{contrast}.nii.gz"
        nibabel.save(image, path)
        rows += [
            {"subject_id": "zz9-scanned", "visit": "preop", "contrast": contrast, "path": path}
        ]
    people = pd.DataFrame(
        {"diagnosis": "TN", "affected_side": ["right", "left"]},
        index=["zz9-scanned", "zz8-scanned"],
    )
    return Cohort(people, images=pd.DataFrame(rows), synthetic=True, landmark=0.0)


def test_nerves_are_drawn_where_there_is_a_scan(scanned):
    report = patient_report(scanned, "zz9-scanned")
    names = {"scene", "profile", "reformat_left", "reformat_right", "section_left",
             "section_right"}  # fmt: skip
    assert set(report.pictures) == names
    raw = report.to_html()
    page = Page(raw)
    check_page(raw, page)
    assert len(page.named("img")) == len(names)
    assert all(str(img["alt"]).startswith("Synthetic data.") for img in page.named("img"))
    assert "zz9-scanned" not in raw
    without = patient_report(scanned, "zz8-scanned")
    assert without.pictures == {}
    assert "No scan. Measured numbers only." in Page(without.to_html()).text


def test_a_scan_without_labels_or_of_another_name_is_said(scanned):
    report = patient_report(scanned, "zz9-scanned", labels="seg")
    assert "no label image ('seg')" in report.record["scan_note"]
    report = patient_report(scanned, "zz9-scanned", image="T1w", labels="dseg")
    assert set(report.pictures) == {"scene", "profile"}
    assert "labels alone" in report.record["scan_note"]
