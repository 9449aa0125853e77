"""Days, visits, the landmark, and what a model may see."""

from __future__ import annotations

import datetime

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precisionpain.cohort import Cohort, Column, Outcome
from precisionpain.errors import FormatError, LeakageError, MissingModalityError

from .toy import toy_cohort


def people(n: int = 2, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[f"p{i}" for i in range(n)])


def visits(*rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["subject_id", "visit", "day"])


def dated(*rows, **options) -> Cohort:
    return Cohort(people(age=[61.0, 48.0]), visits=visits(*rows), **options)


# --- days --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day",
    [
        "2021-03-04",
        "n.d.",
        datetime.date(2021, 3, 4),
        pd.Timestamp("2021-03-04"),
        pd.Timedelta(days=3),
        np.inf,
    ],
)
@pytest.mark.parametrize("column", [False, True])
def test_a_day_is_a_number(day, column):
    """Alone in its column, pandas makes a date column of a date."""
    rows = [("p0", "preop", day if column else -1.0), ("p1", "preop", day)]
    with pytest.raises(FormatError, match="a day is a number of days") as caught:
        dated(*rows)
    assert "subject 'p" in str(caught.value)
    assert "visit 'preop'" in str(caught.value)
    assert "subtract the date of the index event" in str(caught.value)


@pytest.mark.parametrize("day", [-3, -3.0, np.int16(-3), "-3", None, np.nan, pd.NA])
def test_days_that_are_numbers_or_unknown(day):
    cohort = dated(("p0", "preop", day), ("p1", "preop", -1))
    assert cohort.visits["day"].dtype == float
    assert cohort.visits["day"].fillna(-99).iloc[0] in (-3, -99)


def test_visits_may_lack_days():
    table = visits(("p0", "preop", 0))[["visit", "subject_id"]]
    cohort = Cohort(people(), visits=table)
    assert list(cohort.visits.columns) == ["subject_id", "visit", "day"]
    assert cohort.visits["day"].isna().all()
    assert cohort.schedule.loc["preop", "phase"] == "before"


@pytest.mark.parametrize("name", ["followup", "followup_12m", "postop", "discharge", "FU2", "12m"])
@pytest.mark.parametrize("day", [-30, 0])
def test_a_followup_comes_after(name, day):
    with pytest.raises(FormatError, match="every day after the landmark") as caught:
        dated(("p0", name, 90), ("p1", name, day))
    assert f"found {day}" in str(caught.value)
    assert f"visit {name!r}, subject 'p1'" in str(caught.value)
    assert "schedule" in str(caught.value)


@pytest.mark.parametrize("name", ["preop", "baseline", "Screening", "pre-surgery"])
def test_a_visit_before_comes_before(name):
    with pytest.raises(FormatError, match="at or before the landmark"):
        dated(("p0", name, 1))
    assert dated(("p0", name, 0)).schedule.loc[name, "phase"] == "before"


@pytest.mark.parametrize("name", ["mri", "ses-01"])
@pytest.mark.parametrize("days", [(-5, 10), (0, 10), (-5, 1)])
def test_a_visit_lies_on_one_side_for_everybody(name, days):
    with pytest.raises(FormatError, match="for 1 people and after it for 1") as caught:
        dated(("p0", name, days[0]), ("p1", name, days[1]))
    assert "name the later ones differently" in str(caught.value)


@pytest.mark.parametrize("name", [1, 1.0, pd.Timestamp("2021-01-01")])
def test_visit_names_are_text(name):
    with pytest.raises(FormatError, match="visit names are text"):
        dated(("p0", name, 0))
    table = pd.DataFrame({"subject_id": ["p0"], "visit": [name]})
    with pytest.raises(FormatError, match="visit names are text"):
        Cohort(people(), measurements={"m": table})
    obs = pd.DataFrame({"subject_id": ["p0"], "visit": [name]}, index=["s"])
    with pytest.raises(FormatError, match="visit names are text"):
        Cohort(people(), assays={"a": anndata.AnnData(np.zeros((1, 1)), obs=obs)})


def test_a_visit_has_a_name():
    with pytest.raises(FormatError, match="a visit has no name"):
        dated(("p0", None, 0))


# --- phases --------------------------------------------------------------------------------


def test_phase_by_name_day_and_schedule():
    cohort = dated(
        ("p0", "preop", None),
        ("p0", "mri", -2),
        ("p0", "call", 30),
        ("p0", "chat", None),
        ("p0", "postop1", None),
        schedule={"exam": 180, "first": -7, "chat2": 0},
    )
    phases = cohort.schedule["phase"].to_dict()
    assert phases == {
        "preop": "before",
        "mri": "before",
        "call": "after",
        "chat": "unknown",
        "postop1": "after",
        "exam": "after",
        "first": "before",
        "chat2": "before",
    }
    assert cohort.schedule.loc["call", ["day", "subjects"]].tolist() == [30, 1]
    assert cohort.schedule.loc["exam", ["day", "subjects"]].tolist() == [180, 0]


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("month12", "after"),
        ("12m", "after"),
        ("6_months", "after"),
        ("1y", "after"),
        ("week2", "after"),
        ("fu", "after"),
        ("fu1", "after"),
        ("month0", "unknown"),
        ("ses-01", "unknown"),
        ("v2", "unknown"),
        ("mri2", "unknown"),
        ("fuzzy", "unknown"),
    ],
)
def test_phase_by_name(name, phase):
    table = pd.DataFrame({"subject_id": ["p0"], "visit": [name], "v": [1.0]})
    cohort = Cohort(people(), measurements={"m": table})
    assert cohort.schedule.loc[name, "phase"] == phase


def test_the_schedule_decides_over_the_name():
    cohort = dated(("p0", "week1", -7), schedule={"week1": -7})
    assert cohort.schedule.loc["week1", "phase"] == "before"


def test_a_day_in_the_schedule_hides_an_undated_visit():
    table = pd.DataFrame({"subject_id": ["p0"], "visit": ["ses-02"], "v": [1.0]})
    cohort = Cohort(people(), measurements={"m": table}, schedule={"ses-02": 90})
    with pytest.raises(LeakageError):
        cohort.known_at_index().measurements["m"]


@pytest.mark.parametrize("day", ["soon", None, np.nan, np.inf, True])
def test_schedule_and_landmark_are_days(day):
    with pytest.raises(FormatError, match="schedule, visit 'exam'"):
        dated(schedule={"exam": day})
    with pytest.raises(FormatError, match="landmark"):
        dated(landmark=day)


def test_landmark_of_three_days():
    """After a concussion, what is known within 72 hours predicts; day 90 doesn't."""
    rows = [("p0", "day2", 2), ("p1", "day2", 3), ("p0", "day90", 88), ("p1", "day90", 91)]
    frame = people(age=[61.0, 48.0], pain_early=[3.0, 4.0], pain_late=[1.0, 0.0])
    early = {"kind": "number", "visit": "day2"}
    late = {"kind": "number", "visit": "day90"}
    pain = visits(*rows).assign(pain=[3, 4, 1, 0]).drop(columns="day")
    columns = {"pain_early": early, "pain_late": late}
    options = {"visits": visits(*rows), "measurements": {"pain": pain}, "columns": columns}
    cohort = Cohort(frame, landmark=3, **options)
    assert cohort.predictors == ["age", "pain_early"]
    view = cohort.known_at_index()
    assert view.measurement("pain")["pain"].tolist() == [3, 4]
    assert view.visits["day"].tolist() == [2, 3]
    with pytest.raises(LeakageError, match="'day90', after the landmark"):
        view.predictor_frame(["pain_late"])
    with pytest.raises(LeakageError, match="'day90'"):
        view.measurement("pain", visit="day90")
    at_surgery = Cohort(frame, landmark=0, **options)
    assert at_surgery.predictors == ["age"]
    with pytest.raises(FormatError, match="for 1 people and after it for 1"):
        Cohort(frame, landmark=2, **options)


# --- at a visit ----------------------------------------------------------------------------


def test_at_visit():
    cohort = toy_cohort(12)
    later = cohort.at_visit("followup")
    assert set(later.visits["visit"]) == {"followup"}
    assert set(later.measurements["nerve"]["visit"]) == {"followup"}
    assert later.assays["csf_pea"].obs["visit"].dropna().unique().tolist() == ["followup"]
    assert later.n_subjects == 12
    assert "bni" in later.subjects  # the outcome is what is predicted
    assert later.outcome("response").equals(cohort.outcome("response"))
    before = cohort.at_visit("preop")
    assert "scores" not in before.measurements
    with pytest.raises(LeakageError, match="no data of that visit"):
        before.measurements["scores"]
    both = cohort.at_visit("preop", "followup")
    pd.testing.assert_frame_equal(both.visits, cohort.visits)
    for unknown in ("month99", ""):
        with pytest.raises(MissingModalityError, match="'followup'"):
            cohort.at_visit("preop", unknown)


def test_at_visit_keeps_an_outcome_whatever_it_is_called():
    frame = people(age=[61.0, 48.0], pain=[1.0, 5.0], bni=[1.0, 4.0])
    cohort = Cohort(
        frame,
        visits=visits(("p0", "preop", -1), ("p0", "discharge", 3)),
        columns={"pain": Column(visit="preop")},
        outcomes={"pain": Outcome(column="bni", at_most=2)},
    )
    later = cohort.at_visit("discharge")
    assert "pain" not in later.subjects
    assert later.outcome("pain").tolist() == [1, 0]


# --- what a model may see --------------------------------------------------------------------


IMAGES = pd.DataFrame(
    {
        "subject_id": ["p000", "p000", "p001", "p001"],
        "visit": ["preop", "followup", "preop", "followup"],
        "contrast": ["T1w", "T1w", "T1w", "FLAIR"],
        "path": ["/0", "/1", "/2", "/3"],
        "present": True,
    }
)


@pytest.fixture
def whole() -> Cohort:
    cohort = toy_cohort(12, images=IMAGES)
    truth = pd.DataFrame({"risk": np.linspace(0, 1, 12)}, index=cohort.subject_ids)
    return cohort.with_columns(truth, {"risk": Column(role="truth")})


def test_the_view_of_a_model(whole):
    view = whole.known_at_index()
    hidden = {"bni", "complication", "recurrence_days", "recurred", "risk"}
    assert set(whole.subjects) - set(view.subjects) == hidden
    assert not hidden & set(view.columns)
    assert view.outcomes == {}
    assert view.truth.empty
    assert set(view.visits["visit"]) == {"preop"}
    assert view.images["path"].tolist() == ["/0", "/2"]
    assert set(view.measurements) == {"nerve"}
    assert set(view.measurements["nerve"]["visit"]) == {"preop"}
    obs = view.assays["csf_pea"].obs
    assert obs["visit"].dropna().unique().tolist() == ["preop"]
    assert obs["subject_id"].isna().sum() == 1  # the control sample
    assert view.predictors == whole.predictors
    assert view.index.equals(whole.index)
    pd.testing.assert_frame_equal(view.predictor_frame(), whole.predictor_frame())
    for person in view:
        assert not hidden & set(person.clinical.index)
        assert set(person.visits["visit"]) == {"preop"}
        assert "scores" not in person.measurements


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view.predictor_frame(["bni"]),
        lambda view: view.predictor_frame(["age", "risk"]),
        lambda view: view.predictor_frame(["response"]),
        lambda view: view.outcome("response"),
        lambda view: view.outcome("recurrence"),
        lambda view: view.outcome("bni", at_most=2),
        lambda view: view.outcome_definition("response"),
        lambda view: view.with_outcome("mine", column="bni", at_most=2),
        lambda view: view.has("response"),
        lambda view: view.has("complication"),
        lambda view: view.has("scores"),
        lambda view: view.has("followup"),
        lambda view: view.has("FLAIR"),
        lambda view: view.require("response"),
        lambda view: view.where(bni=1),
        lambda view: view.measurements["scores"],
        lambda view: view.measurement("scores"),
        lambda view: view.measurement("nerve", visit="followup"),
        lambda view: view.at_visit("followup"),
        lambda view: view.at_visit("preop").measurements["scores"],
        lambda view: view[[0, 1]].per_nerve().predictor_frame(["bni"]),
    ],
)
def test_what_is_hidden_is_refused_by_name(whole, ask):
    for view in (whole.known_at_index(), whole[3:].known_at_index().known_at_index()):
        with pytest.raises(LeakageError, match=r"To fix: .*allow it by name \(allow=\["):
            ask(view)


def test_an_assay_of_later_samples_and_controls_is_hidden():
    obs = pd.DataFrame(
        {
            "subject_id": ["p0", None],
            "visit": ["followup", None],
            "sample_type": ["SAMPLE", "PLATE_CONTROL"],
        },
        index=["s0", "s1"],
    )
    cohort = Cohort(people(), assays={"late": anndata.AnnData(np.zeros((2, 1)), obs=obs)})
    view = cohort.known_at_index()
    assert "late" not in view.assays
    assert "late" not in view.availability
    with pytest.raises(LeakageError, match="no data up to the index event"):
        view.assays["late"]
    assert view.known_at_index().availability.empty
    allowed = cohort.known_at_index(allow=["late"])
    assert allowed.assays["late"].n_obs == 2


def test_allow_by_name(whole):
    view = whole.known_at_index(allow=["bni"])
    assert "bni" in view.subjects
    assert "bni" not in view.predictors
    assert view.predictor_frame(["bni"], allow=["bni"]).shape == (12, 1)
    with pytest.raises(LeakageError):
        view.predictor_frame(["bni"])
    with pytest.raises(LeakageError):
        view.outcome("response")
    table = whole.known_at_index(allow=["scores"])
    assert len(table.measurements["scores"]) == 6
    assert set(table.measurements["nerve"]["visit"]) == {"preop"}
    visit = whole.known_at_index(allow=["followup"])
    assert set(visit.visits["visit"]) == {"preop", "followup"}
    assert len(visit.images) == 4
    assert "bni" not in visit.subjects
    assert "bni" not in view.known_at_index().subjects  # a view of a view allows nothing more


def test_undated_data_count_as_always_known():
    table = pd.DataFrame({"subject_id": ["p0", "p1"], "visit": [None, "followup"], "v": [1, 2]})
    plain = pd.DataFrame({"subject_id": ["p0"], "v": [3]})
    cohort = Cohort(people(), measurements={"mixed": table, "plain": plain})
    view = cohort.known_at_index()
    assert view.measurements["mixed"]["v"].tolist() == [1]
    assert view.measurements["plain"]["v"].tolist() == [3]


def test_adding_to_a_view_forgets_nothing(whole):
    view = whole.known_at_index()
    table = pd.DataFrame({"subject_id": ["p001"], "v": [1.0]})
    grown = view.with_measurements("mine", table)
    assert grown.measurement("mine")["v"].count() == 1
    with pytest.raises(LeakageError):
        grown.outcome("response")
    with pytest.raises(LeakageError):
        grown.measurements["scores"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-400, 400), st.integers(-5, 5)), min_size=1, max_size=6),
    st.integers(-5, 30),
)
def test_nothing_later_than_the_landmark_is_ever_seen(days, landmark):
    """Whatever the visits are called and whenever they were."""
    rows = [("p0", f"visit{i}x", day) for i, (day, _) in enumerate(days)]
    rows += [("p1", f"visit{i}x", day + jitter) for i, (day, jitter) in enumerate(days)]
    table = visits(*rows)
    try:
        cohort = dated(*rows, landmark=landmark, measurements={"m": table})
    except FormatError:
        sides = (table["day"] > landmark).groupby(table["visit"]).nunique()
        assert (sides > 1).any()
        return
    view = cohort.known_at_index()
    known = table[table["day"] <= landmark]
    assert sorted(view.visits["day"]) == sorted(known["day"])
    if len(known):
        assert sorted(view.measurements["m"]["day"]) == sorted(known["day"])
    else:
        assert "m" not in view.measurements
