"""Who belongs to the study, what chronic pain is, and Table 1 as published."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import precisionpain as pp
from precisionpain.errors import DataWarning, FormatError, MissingModalityError
from precisionpain.mtbi import (
    CRITERIA,
    Criterion,
    chronic_pain,
    eligibility,
    select_mtbi,
    study_table,
)

# A person who meets every rule.
FIT = {
    "vehicle_collision": True, "hours_to_arrival": 2.0, "age": 40.0, "head_baseline": 30.0,
    "neck_baseline": 0.0, "gcs": 15.0, "gcs_decline": False, "altered_function": True,
    "loss_of_consciousness_minutes": 0.0, "wad_grade": 1.0, "pregnant": False,
    "ct_finding": False, "major_injury": False, "prior_chronic_pain": False,
    "recent_injury": False, "consent_language": True, "convulsive_disorder": False,
    "neurodegenerative_disorder": False, "psychotic_disorder": False, "scan_hours": 40.0,
}  # fmt: skip

# Rule → values that just fail and that just pass (section 2.1 of the paper).
EDGES = {
    "vehicle_collision": ({"vehicle_collision": False}, {"vehicle_collision": True}),
    "arrival": ({"hours_to_arrival": 24.1}, {"hours_to_arrival": 24.0}),
    "age": ({"age": 67.5}, {"age": 67.0}),
    "pain": ({"head_baseline": 0.0}, {"head_baseline": 0.0, "neck_baseline": 1.0}),
    "gcs": ({"gcs": 12.0}, {"gcs": 13.0}),
    "gcs_decline": ({"gcs_decline": True}, {}),
    "altered_function": ({"altered_function": False}, {}),
    "loss_of_consciousness": (
        {"loss_of_consciousness_minutes": 30.0}, {"loss_of_consciousness_minutes": 29.9},
    ),
    "wad": ({"wad_grade": 3.0}, {"wad_grade": 2.0}),
    "pregnant": ({"pregnant": True}, {}),
    "ct_finding": ({"ct_finding": True}, {"ct_finding": None}),
    "major_injury": ({"major_injury": True}, {}),
    "prior_chronic_pain": ({"prior_chronic_pain": True}, {}),
    "recent_injury": ({"recent_injury": True}, {}),
    "consent_language": ({"consent_language": False}, {}),
    "convulsive_disorder": ({"convulsive_disorder": True}, {}),
    "neurodegenerative_disorder": ({"neurodegenerative_disorder": True}, {}),
    "psychotic_disorder": ({"psychotic_disorder": True}, {}),
    "scan": ({"scan_hours": 72.5}, {"scan_hours": 72.0}),
}  # fmt: skip


def people(*changes: dict[str, object]) -> pp.Cohort:
    table = pd.DataFrame([FIT | change for change in changes])
    table.index = [f"p{i}" for i in range(len(table))]
    return pp.Cohort(table)


def lines(cohort: pp.Cohort) -> dict[str, int]:
    return {step.reason: step.excluded for step in cohort.flow if step.excluded}


# --- criteria ------------------------------------------------------------------------


def test_every_rule_has_an_edge_case():
    assert set(EDGES) == {rule.name for rule in CRITERIA}


@pytest.mark.parametrize("name", EDGES)
def test_a_rule_excludes_whom_it_should_and_nobody_else(name):
    fails, passes = EDGES[name]
    cohort = people(fails, passes, {})
    selected = select_mtbi(cohort)
    assert selected.subject_ids.tolist() == ["p1", "p2"]
    assert lines(selected) == {next(r for r in CRITERIA if r.name == name).line: 1}
    met = eligibility(cohort)
    assert met.loc["p0"].drop(name).all()
    assert not met.loc["p0", name]
    # Switched off, the rule lets everybody through and leaves no line.
    without = select_mtbi(cohort, skip=[name])
    assert without.n_subjects == 3
    assert len(without.flow) == len(CRITERIA) - 1


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [("age", 17.9, "age"), ("wad_grade", 0.0, "wad"), ("scan_hours", -1.0, "scan")],
)
def test_the_lower_limits_hold(column, value, rule):
    assert eligibility(people({column: value}))[rule].tolist() == [False]


def test_a_person_is_counted_once_under_the_first_rule():
    cohort = select_mtbi(people({"age": 80.0, "gcs": 3.0, "wad_grade": 4.0}, {"gcs": 3.0}, {}))
    assert lines(cohort) == {
        "age outside 18–67 years": 1, "Glasgow Coma Scale on arrival below 13": 1
    }  # fmt: skip
    assert cohort.flow.recruited == 3
    assert cohort.flow.analysed == 1


def test_missing_values_leave_on_their_own_line_or_stay():
    cohort = people({"gcs": None}, {"gcs": 12.0}, {"prior_chronic_pain": None}, {})
    excluded = select_mtbi(cohort)
    assert lines(excluded) == {
        "Glasgow Coma Scale on arrival below 13": 1,
        "Glasgow Coma Scale on arrival not known": 1,
        "prior chronic head or neck pain under regular treatment not known": 1,
    }
    kept = select_mtbi(cohort, missing="keep")
    assert kept.subject_ids.tolist() == ["p0", "p2", "p3"]
    assert lines(kept) == {"Glasgow Coma Scale on arrival below 13": 1}


def test_pain_needs_one_known_place_above_zero():
    cohort = people(
        {"head_baseline": None, "neck_baseline": 5.0},
        {"head_baseline": None, "neck_baseline": 0.0},
        {"head_baseline": 0.0, "neck_baseline": 0.0},
    )
    assert eligibility(cohort, ["pain"])["pain"].tolist() == [True, pd.NA, False]


def test_rules_follow_their_own_order_and_limits():
    stricter = dataclasses.replace(next(r for r in CRITERIA if r.name == "gcs"), minimum=15)
    own = Criterion(name="driver", label="seat", reason="no driver", columns=("driver",), flag=True)
    cohort = people({"gcs": 14.0, "driver": True}, {"driver": False}, {"driver": True})
    selected = select_mtbi(cohort, [own, stricter, "age"])
    assert [step.reason for step in selected.flow] == [
        "no driver", "Glasgow Coma Scale on arrival below 15", "age outside 18–67 years"
    ]  # fmt: skip
    assert selected.subject_ids.tolist() == ["p2"]


def test_the_order_of_people_does_not_matter():
    rng = np.random.default_rng(0)
    changes = [fails for fails, _ in EDGES.values()] + [{}] * 5
    cohort = people(*changes)
    shuffled = cohort[rng.permutation(len(cohort))]
    assert set(select_mtbi(shuffled).subject_ids) == set(select_mtbi(cohort).subject_ids)


def test_nobody_may_be_left():
    assert select_mtbi(people({"age": 5.0})).n_subjects == 0


def test_columns_are_mapped_by_name():
    table = people({"gcs": 12.0}, {}).subjects.rename(columns={"gcs": "GCS_arrival"})
    cohort = pp.Cohort(table)
    with pytest.raises(MissingModalityError, match=r"'gcs'.*skip=\['gcs'\]"):
        select_mtbi(cohort)
    assert select_mtbi(cohort, columns={"gcs": "GCS_arrival"}).n_subjects == 1
    with pytest.raises(MissingModalityError, match="'GCS'"):
        select_mtbi(cohort, columns={"gcs": "GCS"})
    with pytest.raises(FormatError, match="no criterion looks at 'GCS'"):
        select_mtbi(cohort, columns={"GCS": "gcs"})


def test_a_rule_that_cannot_be_checked_is_never_passed_in_silence():
    cohort = pp.datasets.sample_mtbi()
    with pytest.raises(MissingModalityError, match="'prior_chronic_pain'") as error:
        select_mtbi(cohort)
    # The remedy names what to skip; with it the made-up people all belong.
    skip = error.value.remedy.split("skip=")[1]
    names = [name.strip("[]'") for name in skip.split(", ")]
    assert "scan" in names
    assert select_mtbi(cohort, skip=names).n_subjects == 128


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gcs": "high"}, "numbers, found 'high'"), ({"pregnant": "no"}, "true or false, found 'no'")],
)
def test_values_that_a_rule_cannot_judge_are_named(change, message):
    with pytest.raises(FormatError, match=message):
        eligibility(people(change, {}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": ["gsc"]}, "no criterion is called 'gsc'"),
        ({"skip": ["gsc"]}, "no criterion is called 'gsc'"),
        ({"rules": "gcs"}, "lists of names"),
        ({"rules": ["gcs", "gcs"]}, "twice"),
        ({"missing": "drop"}, "'exclude' or 'keep'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(FormatError, match=message):
        select_mtbi(people({}), **options)


@pytest.mark.parametrize("dtype", ["float", "Int64", "object", "category"])
def test_numbers_are_judged_in_any_storage(dtype):
    gcs = next(rule for rule in CRITERIA if rule.name == "gcs")
    column = pd.Series([12, 13, None], name="gcs", dtype="object").astype(dtype)
    assert gcs.judge([column]).tolist() == [False, True, pd.NA]


@pytest.mark.parametrize("dtype", ["float", "Int64", "object", "boolean"])
def test_flags_are_judged_in_any_storage(dtype):
    pregnant = next(rule for rule in CRITERIA if rule.name == "pregnant")
    truth = [1, 0, None] if dtype in ("float", "Int64") else [True, False, None]
    column = pd.Series(truth, name="pregnant", dtype="object").astype(dtype)
    assert pregnant.judge([column]).tolist() == [False, True, pd.NA]
    assert pregnant.judge([column.dropna()]).tolist() == [False, True]


def test_a_criterion_has_limits_or_a_flag():
    with pytest.raises(FormatError, match="limits"):
        Criterion(name="x", label="x", reason="x", columns=("x",))
    with pytest.raises(FormatError, match="limits"):
        Criterion(name="x", label="x", reason="x", columns=("x",), flag=True, minimum=1)


def with_scans(days: dict[str, list[tuple[float | None, bool]]], contrast: str = "T1w"):
    """A cohort whose people have scans at these days: (day, present on disk)."""
    table = pd.DataFrame([FIT] * len(days), index=list(days)).drop(columns="scan_hours")
    visits, images = [], []
    for person, scans in days.items():
        for i, (day, present) in enumerate(scans):
            # A visit lies on one side of the landmark for everybody, so each day has its own.
            visit = f"day {day}"
            visits.append({"subject_id": person, "visit": visit, "day": day})
            images.append({
                "subject_id": person, "visit": visit, "contrast": contrast,
                "path": f"{person}_{i}.nii.gz", "present": present, "reason": "",
            })  # fmt: skip
    return pp.Cohort(table, visits=pd.DataFrame(visits), images=pd.DataFrame(images))


def test_scans_are_judged_by_their_day():
    cohort = with_scans({
        "in_time": [(3.0, True)], "late": [(3.5, True)], "before": [(-400.0, True)],
        "second": [(90.0, True), (1.0, True)], "lost": [(1.0, False)], "none": [],
        "undated": [(None, True)],
    })  # fmt: skip
    met = eligibility(cohort, ["scan"])["scan"]
    assert dict(zip(met.index, met, strict=True)) == {
        "in_time": True, "late": False, "before": False, "second": True, "lost": False,
        "none": False, "undated": pd.NA,
    }  # fmt: skip
    assert lines(select_mtbi(cohort)) == {
        "no T1-weighted scan within 72 hours of the injury": 4,
        "time of the T1-weighted scan not known": 1,
    }


def test_scans_of_another_contrast_do_not_count():
    with pytest.raises(MissingModalityError, match="scan_hours"):
        eligibility(with_scans({"p": [(1.0, True)]}, "T2w"), ["scan"])


def test_the_flow_of_the_paper():
    """227 within the criteria, 128 with a scan in time (section 3.1)."""
    days = {f"p{i:03d}": [(1.0 if i < 128 else 10.0, True)] for i in range(227)}
    selected = select_mtbi(with_scans(days))
    assert selected.flow.recruited == 227
    assert selected.flow.analysed == 128
    assert lines(selected) == {"no T1-weighted scan within 72 hours of the injury": 99}


# --- chronic pain --------------------------------------------------------------------


def rated(head, neck, **columns) -> pp.Cohort:
    table = pd.DataFrame({"head_12mo": head, "neck_12mo": neck, **columns}, dtype=float)
    table.index = [f"p{i}" for i in range(len(table))]
    return pp.Cohort(table.assign(age=40.0))


def test_chronic_pain_is_thirty_of_head_or_neck():
    cohort = chronic_pain(rated([30, 0, 29.9, 100, 0], [0, 30, 29.9, 100, 0]))
    assert cohort.outcome("chronic_pain").tolist() == [1, 1, 0, 1, 0]
    assert cohort.outcome("chronic_pain", at_least=99).tolist() == [0, 0, 0, 1, 0]
    other = chronic_pain(cohort, threshold=29.9, name="milder")
    assert other.outcome("milder").tolist() == [1, 1, 1, 1, 0]
    assert set(other.outcomes) == {"chronic_pain", "milder"}


def test_a_missing_place_decides_nothing_but_a_known_one_may():
    cohort = rated([45, 5, None], [None, None, None])
    unknown = chronic_pain(cohort).outcome("chronic_pain").tolist()
    assert unknown[0] == 1
    assert np.isnan(unknown[1:]).all()
    known = chronic_pain(cohort, missing="known").outcome("chronic_pain").tolist()
    assert known[:2] == [1, 0]
    assert np.isnan(known[2])


def test_the_ratings_can_no_longer_predict():
    cohort = rated([45, 5], [0, 0]).with_columns(
        pd.DataFrame({"late_head": [45.0, 5.0], "late_neck": [0.0, 0.0]}, index=["p0", "p1"])
    )
    assert "late_head" in cohort.predictors
    defined = chronic_pain(cohort, columns=["late_head", "late_neck"])
    assert defined.outcome("chronic_pain").tolist() == [1, 0]
    assert defined.predictors == ["age"]


def test_repeated_ratings_agree_with_the_columns():
    cohort = pp.datasets.sample_mtbi()
    published = cohort.outcome("chronic_pain")
    assert published.sum() == 55
    for options in ({}, {"table": "pain_ratings"}):
        again = chronic_pain(cohort, **options)
        pd.testing.assert_series_equal(again.outcome("chronic_pain"), published)
        assert "chronic_pain_rating" not in again.predictors
    early = chronic_pain(cohort, table="pain_ratings", visit="baseline", name="early")
    assert early.outcome("early").sum() == (cohort.subjects["max_baseline"] >= 30).sum()
    assert (
        chronic_pain(cohort, table="pain_ratings", visit="month3")
        .outcome("chronic_pain")
        .isna()
        .sum()
        == 128 - cohort.visits["visit"].eq("month3").sum()
    )


def test_several_ratings_at_a_visit_are_averaged():
    diary = pd.DataFrame({
        "subject_id": ["p0", "p0", "p1", "p1"], "visit": "month12", "run": ["1", "2"] * 2,
        "head_mean": [50, 20, 20, 20], "neck_mean": [0, 0, 30, 20],
    })  # fmt: skip
    cohort = rated([0, 0, 0], [0, 0, 0]).with_measurements("diary", diary)
    values = chronic_pain(cohort, table="diary").outcome("chronic_pain")
    assert values.to_dict()["p0"] == 1  # 35 on average
    assert values.to_dict()["p1"] == 0  # 25
    assert np.isnan(values["p2"])


def test_wrong_ratings_are_refused():
    with pytest.raises(FormatError, match=r"0 to 100, found 101"):
        chronic_pain(rated([101, 5], [0, 0]))
    with pytest.raises(MissingModalityError, match="'head'"):
        chronic_pain(rated([1], [1]), columns=["head"])
    with pytest.raises(MissingModalityError, match="no visit 'year5'"):
        chronic_pain(pp.datasets.sample_mtbi(), table="pain_ratings", visit="year5")
    with pytest.raises(FormatError, match="list of names"):
        chronic_pain(rated([1], [1]), columns="head_12mo")
    with pytest.raises(FormatError, match="'unknown' or 'known'"):
        chronic_pain(rated([1], [1]), missing="drop")


def test_a_scale_to_ten_is_suspected():
    with pytest.warns(DataWarning, match="0 to 10"):
        chronic_pain(rated([9, 2], [0, 0]))
    assert chronic_pain(rated([9, 2], [0, 0]), threshold=3).outcome("chronic_pain").sum() == 1


# --- Table 1 -------------------------------------------------------------------------

# Attias et al., Pain 2025, Table 1: variable → W and p as printed.
PUBLISHED = {
    "age": (None, 0.874),
    "head_baseline": (2446.5, 0.035),
    "neck_baseline": (2682.0, 0.001),
    "max_baseline": (2570.5, 0.007),
    "head_12mo": (3558.5, 0.0),
    "neck_12mo": (3700.5, 0.0),
    "max_12mo": (4015.0, 0.0),
    "sex": (None, 0.471),
    "patients": (None, 0.112),
}


def test_table_one_as_published():
    table = study_table(pp.datasets.sample_mtbi())
    assert list(table.tests.index[:3]) == ["patients", "age", "sex"]
    assert set(table.tests.index) == set(PUBLISHED)
    for name, (w, p_value) in PUBLISHED.items():
        row = table.tests.loc[name]
        if w is not None:
            # Whole-number ratings reach a half of W at best.
            assert row["statistic"] == pytest.approx(w, abs=0.5), name
            assert row["auc"] == pytest.approx(w / (55 * 73), abs=0.5 / 4015 + 1e-12), name
        else:
            assert np.isnan(row["auc"]) == (name in ("sex", "patients"))
        assert row["p_value"] == pytest.approx(p_value, abs=0.0011), name
    assert table.tests.loc["sex", "test"] == "chi-square, Yates"


def test_table_one_is_laid_out_as_published():
    shown = study_table(pp.datasets.sample_mtbi()).frame
    groups = ["chronic pain (n = 55)", "recovery (n = 73)", "overall (n = 128)"]
    assert list(shown.columns[:5]) == ["variable", "level", *groups]
    first = shown.iloc[0]
    assert first[groups].tolist() == ["55 (43.0%)", "73 (57.0%)", "128"]
    assert first["p_value"] == "0.112"
    neck = shown[shown["variable"] == "neck_baseline"].iloc[0]
    for group, (mean, sd) in zip(groups, [(60.5, 25.4), (43.8, 28.0), (51.0, 28.1)], strict=True):
        found = [float(part) for part in neck[group].split(" ± ")]
        assert found == pytest.approx([mean, sd], abs=0.101)
    women = shown[shown["level"] == "female"].iloc[0]
    assert [str(women[g]).split()[0] for g in groups] == ["27", "30", "57"]
    assert shown.loc[shown["variable"] == "max_12mo", "auc"].tolist() == ["1.000"]


def test_the_markdown_of_table_one_has_every_row():
    table = study_table(pp.datasets.sample_mtbi())
    assert table.to_markdown().count("\n") == len(table.frame) + 1


def test_table_one_leaves_out_the_unknown_and_says_so():
    cohort = chronic_pain(rated([45, 5, None, 50, 1], [0, 0, None, 3, 0]))
    table = study_table(cohort, columns=["age"])
    assert any("1 without a value of 'chronic_pain'" in note for note in table.notes)
    assert table.frame.iloc[0].filter(like="recovery").tolist() == ["2 (50.0%)"]


def test_table_one_names_what_the_cohort_lacks():
    cohort = chronic_pain(rated([45, 5, 60, 0], [0, 0, 0, 0]))
    notes = study_table(cohort).notes
    assert "Not in this cohort: sex." in notes
    with pytest.raises(KeyError, match="sex"):
        study_table(cohort, columns=["sex"])


def test_auc_counts_the_known_pairs_only():
    cohort = chronic_pain(rated([45, 45, 5, 5], [0, 0, 0, 0], score=[3, None, 2, 1]))
    cohort = cohort.with_columns(
        pd.DataFrame({"full": [4.0, 1.0, 2.0, 3.0]}, index=cohort.subject_ids)
    )
    tests = study_table(cohort, columns=["full"]).tests
    # Pairs in which the chronic one is higher: 4 > 2, 4 > 3; 1 never.
    assert tests.loc["full", "statistic"] == 2
    assert tests.loc["full", "auc"] == 0.5


def test_table_one_needs_two_groups():
    with pytest.raises(FormatError, match="both groups, found 2 and 0"):
        study_table(chronic_pain(rated([45, 50], [0, 0])))
