"""Who has what, who stays, who leaves and why; nerves and visits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precisionpain.cohort import Cohort, Column, Flow, Outcome
from precisionpain.errors import (
    AlignmentError,
    FormatError,
    LeakageError,
    MissingModalityError,
)

from .toy import toy_cohort, toy_parts

IMAGES = pd.DataFrame(
    {
        "subject_id": ["p000", "p001", "p002", "p002"],
        "visit": "preop",
        "contrast": ["T1w", "T1w", "T1w", "T2w"],
        "path": ["/0", "/1", "/2", "/3"],
        "present": [True, False, True, True],
    }
)


@pytest.fixture
def cohort() -> Cohort:
    return toy_cohort(12, images=IMAGES)


# --- who has what ------------------------------------------------------------------------


def test_availability_by_hand(cohort):
    table = cohort.availability
    assert list(table.columns) == ["T1w", "T2w", "csf_pea", "nerve", "scores"]
    assert {str(dtype) for dtype in table.dtypes} == {"bool"}
    expected = {
        "T1w": ["p000", "p002"],  # p001's file is only listed
        "T2w": ["p002"],
        "csf_pea": [f"p{i:03d}" for i in range(6)],
        "nerve": [f"p{i:03d}" for i in range(9)],
        "scores": [f"p{i:03d}" for i in range(0, 12, 2)],
    }
    for name, ids in expected.items():
        assert table.index[table[name]].tolist() == ids
    part = cohort[[11, 2, 1]].availability
    pd.testing.assert_frame_equal(part, table.loc[["p011", "p002", "p001"]])


def test_has_every_kind_of_name(cohort):
    parts = toy_parts(12)
    frame = parts["subjects"]
    cases = {
        "T2w": [i == 2 for i in range(12)],
        "csf_pea": [i < 6 for i in range(12)],
        "nerve": [i < 9 for i in range(12)],
        "response": (frame["bni"].notna() & (frame["diagnosis"] == "TN")).tolist(),
        "recurrence": [True] * 12,
        "sindou_grade": frame["sindou_grade"].notna().tolist(),
        "followup": [True] * 12,
    }
    for name, expected in cases.items():
        found = cohort.has(name)
        assert found.dtype == bool, name
        assert found.tolist() == expected, name
        assert list(found.index) == list(cohort.subject_ids)
        assert cohort[[5, 2]].has(name).tolist() == [expected[5], expected[2]], name
        kept = cohort.require(name)
        assert kept.subject_ids.tolist() == [
            one for one, yes in zip(cohort.subject_ids, expected, strict=True) if yes
        ]


def test_has_a_visit_that_few_came_to():
    visits = toy_parts(6)["visits"].drop(index=[1, 5])  # the follow-ups of p000 and p002
    cohort = toy_cohort(6, visits=visits)
    assert cohort.has("followup").tolist() == [False, True, False, True, True, True]
    assert cohort[[3, 0]].has("followup").tolist() == [True, False]


def test_has_nothing_of_that_name(cohort):
    for ask in (cohort.has, cohort.require):
        with pytest.raises(MissingModalityError, match="'T3w'") as caught:
            ask("T3w")
        for known in ("T1w", "csf_pea", "scores", "response", "preop"):
            assert known in str(caught.value)


def test_a_fold_without_a_contrast_still_knows_it(cohort):
    fold = cohort[[5, 6]]
    assert not fold.has("T2w").any()
    assert fold.measurement("scores")["pain"].isna().tolist() == [True, False]
    nobody = cohort[[10, 11]]
    assert nobody.per_nerve().measurement("nerve", visit="preop").isna().all(axis=None)


# --- who stays ---------------------------------------------------------------------------


def test_require_records_each_step(cohort):
    kept = cohort.require("csf_pea", "T1w")
    assert kept.subject_ids.tolist() == ["p000", "p002"]
    assert str(kept.flow) == (
        "12 recruited → 6 excluded: no csf_pea → 4 excluded: no T1w → 2 analysed"
    )
    assert [s.reason for s in cohort.require("T2w", reason="why").flow] == ["why"]
    assert cohort.flow == Flow(12)
    assert cohort.require() is cohort


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("A", lambda v: v == "A"),
        (["A", "C"], lambda v: v == "A"),
        (("A", "B"), lambda v: v == v),
        ({"B"}, lambda v: v == "B"),
        (np.array(["B", "B"]), lambda v: v == "B"),
        (pd.Index(["A"]), lambda v: v == "A"),
        (lambda s: s == "A", lambda v: v == "A"),
        (lambda s: (s == "A").to_numpy(), lambda v: v == "A"),
        (lambda s: (s == "A").tolist(), lambda v: v == "A"),
        (lambda s: s.str.lower() == "a", lambda v: v == "A"),
        ("nowhere", lambda v: v == "nowhere"),
        ([], lambda v: v == "nowhere"),
        (None, lambda v: v == "nowhere"),
    ],
)
def test_where_on_text(cohort, condition, expected):
    wanted = [i for i, v in cohort.subjects["site"].items() if expected(v)]
    assert cohort.where(site=condition).subject_ids.tolist() == wanted


def test_where_as_many_values_as_people_is_still_a_list():
    cohort = toy_cohort(4)
    values = np.array(["B", "B", "A", "A"])  # not compared row by row
    assert cohort.where(site=values).n_subjects == 4


def test_where_goes_by_key_when_the_function_sorts(cohort):
    age = cohort.subjects["age"]
    kept = cohort.where(age=lambda s: s.sort_values() > age.median())
    assert kept.subject_ids.tolist() == age.index[age > age.median()].tolist()


@pytest.mark.parametrize("dtype", [float, "Int64", "Float64", object])
def test_a_missing_value_meets_no_condition(dtype):
    values = pd.Series([1, None, 3], index=["a", "b", "c"], dtype=dtype)
    cohort = Cohort(pd.DataFrame({"x": values}))
    for condition in (lambda s: s > 0, lambda s: ~(s > 99), [1, 3, np.nan, None], lambda s: s == s):
        assert cohort.where(x=condition).subject_ids.tolist() == ["a", "c"]
    assert cohort.where(x=3).subject_ids.tolist() == ["c"]
    assert cohort.where(x=np.nan).n_subjects == 0
    assert cohort.where(x=lambda s: s.isna()).n_subjects == 0


@pytest.mark.parametrize(
    "condition", [lambda s: True, lambda s: [True], lambda s: s, lambda s: "yes", lambda s: None]
)
def test_where_wants_one_truth_value_per_person(cohort, condition):
    with pytest.raises(FormatError, match="one truth value per person"):
        cohort.where(age=condition)


def test_where_of_no_column(cohort):
    with pytest.raises(MissingModalityError, match="dictionary"):
        cohort.where(agee=61)
    with pytest.raises(LeakageError, match="allow"):
        cohort.known_at_index().where(bni=1)


def test_where_words_the_flow(cohort):
    kept = cohort.where(diagnosis="TN", site=["A", "B"], age=lambda s: s > 0)
    assert [step.reason for step in kept.flow] == [
        "diagnosis is not TN",
        "site is not A or B",
        "age outside the criterion",
    ]
    assert [s.reason for s in cohort.where("not eligible", diagnosis="TN").flow] == ["not eligible"]


def test_select_keeps_the_order_asked_for(cohort):
    ids = ["p007", "p001", "p009"]
    kept = cohort.select(ids, "by lot")
    assert kept.subject_ids.tolist() == ids
    assert str(kept.flow) == "12 recruited → 9 excluded: by lot → 3 analysed"
    assert kept.select(reversed(ids)).subject_ids.tolist() == ids[::-1]
    assert cohort[[9, 7, 1]].select(ids).subject_ids.tolist() == ids
    assert cohort.select(pd.Index(ids)).subject_ids.tolist() == ids


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["p001", "p001"], "twice"),
        (["p001", "q"], "unknown: 'q'"),
        (["p1"], "zero padding"),
        ([1], "unknown"),
        ("p001", "unknown"),
    ],
)
def test_select_checks_the_ids(cohort, ids, message):
    with pytest.raises(AlignmentError, match=message):
        cohort.select(ids)
    with pytest.raises(AlignmentError):
        cohort[:1].select(["p001"])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["A", "B", "T1w", "response", "fold", "select", "TN", "csf_pea"]),
        max_size=6,
    )
)
def test_flow_adds_up(steps):
    cohort = toy_cohort(12, images=IMAGES)
    for step in steps:
        if step in ("A", "B"):
            cohort = cohort.where(site=step)
        elif step == "TN":
            cohort = cohort.where(diagnosis="TN")
        elif step == "fold":
            cohort = cohort[::2]
        elif step == "select":
            cohort = cohort.select(list(cohort.subject_ids[:3]))
        else:
            cohort = cohort.require(step)
    cohort = cohort.where(site=["A", "B"])  # leaves nobody out, closes the account
    flow = cohort.flow
    assert flow.recruited == 12
    assert flow.analysed == cohort.n_subjects == len(cohort.subjects)
    assert flow.recruited - sum(step.excluded for step in flow) == flow.analysed
    assert all(step.excluded >= 0 for step in flow)
    before = [flow.recruited, *(step.n_after for step in flow)]
    assert [step.n_before for step in flow] == before[:-1]
    table = flow.frame()
    assert table["remaining"].tolist() == before
    assert table["excluded"].sum() == 12 - cohort.n_subjects


def test_a_fold_is_no_exclusion_and_takes_no_blame(cohort):
    fold = cohort[:6]
    assert fold.flow == cohort.flow
    assert str(fold.where(diagnosis="TN").flow) == (
        "12 recruited → 6 excluded: outside this subset → 2 excluded: diagnosis is not TN"
        " → 4 analysed"
    )


def test_an_own_flow_goes_on():
    before = Flow(500).then("declined", 12)
    cohort = toy_cohort(12, flow=before).where(diagnosis="TN")
    assert str(cohort.flow).startswith("500 recruited → 488 excluded: declined → 3 excluded")


# --- nerves and visits -------------------------------------------------------------------


@pytest.fixture
def nerves() -> Cohort:
    people = pd.DataFrame(
        {
            "affected_side": ["left", "right", "bilateral", None],
            "bni": [1.0, 4.0, 2.0, None],
            "age": [50.0, 60.0, 70.0, 80.0],
        },
        index=["l", "r", "b", "c"],
    )
    table = pd.DataFrame(
        [(i, s, ord(i) + (s == "left") / 2) for i in "clr" for s in ("right", "left")],
        columns=["subject_id", "side", "v"],
    )
    plain = pd.DataFrame({"subject_id": ["c", "b"], "icv": [3.0, 2.0]})
    return Cohort(
        people,
        measurements={"nerve": table, "brain": plain},
        outcomes={"response": Outcome(column="bni", at_most=2)},
    ).per_nerve()


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_roles_of_nerves(nerves, dtype):
    people = nerves.subjects.astype({"affected_side": dtype})
    roles = Cohort(people).per_nerve().rows["nerve"]
    assert roles["l"].to_dict() == {"left": "affected", "right": "contralateral"}
    assert roles["r"].to_dict() == {"left": "contralateral", "right": "affected"}
    assert roles["b"].tolist() == ["affected", "affected"]
    assert roles["c"].isna().all()


def test_rows_of_nerves(nerves):
    assert nerves.unit == "nerve"
    assert nerves.index.names == ["subject_id", "side"]
    assert nerves.index.tolist() == [(i, s) for i in "lrbc" for s in ("left", "right")]
    assert nerves.groups.tolist() == list("llrrbbcc")
    assert (len(nerves), nerves.n_subjects) == (8, 4)
    assert nerves.subjects.index.tolist() == list("lrbc")
    assert nerves.outcome("response").tolist()[:6] == [1, 1, 0, 0, 1, 1]
    assert nerves.outcome("response")[["c"]].isna().all()
    assert nerves.outcome("response").index.equals(nerves.index)
    assert nerves.predictor_frame()["age"].tolist() == [50, 50, 60, 60, 70, 70, 80, 80]


def test_measurements_of_nerves(nerves):
    found = nerves.measurement("nerve")["v"]
    expected = [ord("l") + 0.5, ord("l"), ord("r") + 0.5, ord("r"), np.nan, np.nan]
    assert found.index.equals(nerves.index)
    np.testing.assert_array_equal(found.iloc[:6], expected)
    brain = nerves.measurement("brain")["icv"]
    np.testing.assert_array_equal(brain, [np.nan] * 4 + [2, 2, 3, 3])


def test_selections_of_nerves(nerves):
    part = nerves[[6, 0, 1]]
    assert part.index.tolist() == [("c", "left"), ("l", "left"), ("l", "right")]
    assert part.subject_ids.tolist() == ["c", "l"]
    np.testing.assert_array_equal(part.measurement("nerve")["v"], [99.5, 108.5, 108.0])
    assert part.require("response").index.tolist() == [("l", "left"), ("l", "right")]
    assert part.require("response").flow.analysed == 1
    kept = nerves.select(["b", "l"])
    assert kept.index.tolist() == [(i, s) for i in "bl" for s in ("left", "right")]
    assert nerves.where(affected_side=["left", "right"]).groups.tolist() == list("llrr")
    assert part.has("response").to_dict() == {"c": False, "l": True}
    assert len(part.known_at_index()) == 3
    one_left = nerves[nerves.rows["nerve"].eq("affected").to_numpy()]
    assert one_left.index.tolist() == [
        ("l", "left"), ("r", "right"), ("b", "left"), ("b", "right"),
    ]  # fmt: skip


def test_units_do_not_stack(nerves):
    for view in (nerves.per_nerve, nerves.per_visit):
        with pytest.raises(FormatError, match="cohort of subjects, found nerves"):
            view()


def test_a_cohort_without_sides_has_nerves_all_the_same():
    nerves = Cohort(pd.DataFrame({"age": [1.0]}, index=["a"])).per_nerve()
    assert nerves.rows["nerve"].isna().all()


def test_rows_of_visits():
    visits = pd.DataFrame(
        [("b", "followup", 90), ("a", "preop", -3), ("b", "preop", -1)],
        columns=["subject_id", "visit", "day"],
    )
    scores = pd.DataFrame(
        [("b", "preop", 7), ("a", "preop", 5), ("b", "followup", 2)],
        columns=["subject_id", "visit", "pain"],
    )
    people = pd.DataFrame({"age": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    cohort = Cohort(people, visits=visits, measurements={"scores": scores})
    rows = cohort.per_visit()
    assert rows.unit == "visit"
    assert rows.index.tolist() == [("a", "preop"), ("b", "followup"), ("b", "preop")]
    assert rows.rows["day"].tolist() == [-3, 90, -1]
    assert rows.measurement("scores")["pain"].tolist() == [5, 2, 7]
    assert rows.measurement("scores", visit="preop")["pain"].tolist()[::2] == [5, 7]
    assert rows.predictor_frame()["age"].tolist() == [1, 2, 2]
    assert str(rows.flow) == "3 recruited → 1 excluded: no visit → 2 analysed"
    moved = cohort[[1, 0]].per_visit()
    assert moved.groups.tolist() == ["b", "b", "a"]
    assert rows[[2, 0]].rows["day"].tolist() == [-1, -3]


# --- measurements --------------------------------------------------------------------------


def test_several_rows_for_one_person_are_refused(cohort):
    with pytest.raises(AlignmentError, match="has several visits") as caught:
        cohort.measurement("nerve")
    assert "'preop', 'followup'" in str(caught.value)
    with pytest.raises(AlignmentError, match="several rows for one subject") as caught:
        cohort.measurement("nerve", visit="preop")
    assert "per_nerve()" in str(caught.value)
    with pytest.raises(AlignmentError, match="several rows for one visit"):
        cohort.per_visit().measurement("nerve")


def test_visits_of_different_people_are_never_mixed():
    """One row each, but at different visits: a preop score is no follow-up score."""
    table = pd.DataFrame(
        {"subject_id": ["p000", "p001"], "visit": ["preop", "followup"], "pain": [8, 1]}
    )
    cohort = toy_cohort(4, measurements={"scores": table})
    for part in (cohort, cohort[:1], cohort[2:]):  # whoever is in the fold
        with pytest.raises(AlignmentError, match="has several visits"):
            part.measurement("scores")
        found = part.measurement("scores", visit="followup")["pain"]
        assert found.notna().sum() == int("p001" in part.subject_ids)


def test_measurements_that_are_not_there(cohort):
    with pytest.raises(MissingModalityError, match="'nerve', 'scores'"):
        cohort.measurement("MRI")
    with pytest.raises(MissingModalityError, match="'preop', 'followup'"):
        cohort.measurement("nerve", visit="discharge")
    with pytest.raises(MissingModalityError, match="'csf_pea'"):
        cohort.assays["blood"]
    assert cohort.measurements.get("MRI") is None
    assert "nerve" in cohort.measurements
    assert len(cohort.measurements) == 2
    assert repr(cohort.measurements) == "{'nerve', 'scores'}"


# --- what may predict ----------------------------------------------------------------------


def test_predictor_frame(cohort):
    expected = ["diagnosis", "affected_side", "age", "sex", "sindou_grade"]
    assert cohort.predictors == expected
    assert list(cohort.predictor_frame().columns) == expected
    assert list(cohort.predictor_frame(["sex", "age"]).columns) == ["sex", "age"]
    with pytest.raises(MissingModalityError, match="dictionary"):
        cohort.predictor_frame(["agee"])
    for name in ("bni", "complication", "recurred"):
        with pytest.raises(LeakageError, match=rf"allow=\['{name}'\]"):
            cohort.predictor_frame(["age", name])
    assert list(cohort.predictor_frame(["bni"], allow="bni")) == ["bni"]


def test_one_name_allows_no_part_of_it():
    people = pd.DataFrame({"bni": [1.0], "bni_12m": [2.0]}, index=["a"])
    roles = dict.fromkeys(("bni", "bni_12m"), Column(role="outcome"))
    cohort = Cohort(people, columns=roles)
    with pytest.raises(LeakageError):
        cohort.predictor_frame(["bni"], allow="bni_12m")
    assert "bni" not in cohort.known_at_index(allow="bni_12m").subjects
    assert "bni_12m" in cohort.known_at_index(allow="bni_12m").subjects


def test_without_predictors(cohort):
    barred = cohort.without_predictors(["age"], "the score holds it")
    assert "age" not in barred.predictors
    assert "age" in cohort.predictors
    with pytest.raises(LeakageError, match="the score holds it"):
        barred.predictor_frame(["age"])
    assert "age" not in barred.known_at_index().subjects
    assert barred.dictionary.loc["age", "reason"] == "the score holds it"
    with pytest.raises(MissingModalityError, match="'agee'"):
        cohort.without_predictors(["agee"], "why")


def test_dictionary_tells_all(cohort):
    table = cohort.dictionary
    assert set(table.index) == {*cohort.subjects.columns, "empty"}
    assert table.loc["empty", "role"] == "unused"
    assert table.loc["empty", "reason"] == "no values"
    assert table.loc["bni", "known"] == cohort.subjects["bni"].notna().sum()
    assert table.loc["sindou_grade", "kind"] == "ordinal"
    assert "travel" in table.loc["site", "reason"]
