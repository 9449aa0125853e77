"""What a cohort shows: counts, never people, never places."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from precisionpain.cohort import Cohort, Outcome

from .toy import toy_cohort

IMAGES = pd.DataFrame(
    {
        "subject_id": ["p000", "p001", "p002"],
        "visit": "preop",
        "contrast": ["T1w", "T1w", "T2w"],
        "path": ["/secret/place/p000.nii", "/secret/place/p001.nii", "/secret/place/p002.nii"],
        "present": [True, False, True],
        "reason": "in /secret/place",
    }
)


class Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def both(cohort: Cohort) -> list[str]:
    page = Text(cohort._repr_html_())
    assert page.open == []
    return [repr(cohort), page.text]


def test_counts():
    for text in both(toy_cohort(40, images=IMAGES)):
        for fact in (
            "40 subjects (TN 30, control 10)",
            "A 20, B 20",
            "preop 40 · followup 40 · discharge –",
            "T1w 1 of 2 listed on disk · T2w 1",
            "csf_pea 20",
            "nerve 30 · scores 20",
            "5 may predict, 4 barred as outcomes, 1 left out with a reason",
            "40 recruited → 40 analysed",
        ):
            assert fact in text


def test_outcomes_are_counted():
    cohort = toy_cohort(40)
    response = cohort.outcome("response").dropna()
    recurrence = cohort.outcome("recurrence").dropna()
    for text in both(cohort):
        assert f"response {int(response.sum())} of {len(response)}" in text
        events = int(recurrence["event"].sum())
        assert f"recurrence {events} events in {len(recurrence)}" in text


@pytest.mark.parametrize("view", ["whole", "nerves", "visits", "model", "fold", "selected"])
def test_no_person_and_no_place(view):
    whole = toy_cohort(12, images=IMAGES)
    cohort = {
        "whole": whole,
        "nerves": whole.per_nerve(),
        "visits": whole.per_visit(),
        "model": whole.known_at_index(),
        "fold": whole[[3, 1]],
        "selected": whole.select(["p001", "p000"]).where(site=["A", "B"]),
    }[view]
    person = cohort.subject("p001")
    for text in [*both(cohort), cohort._repr_html_(), str(cohort), repr(person)]:
        for one in whole.subject_ids:
            assert one not in text
        assert "secret" not in text
        assert "s001" not in text


def test_synthetic_people_are_called_so():
    for text in both(toy_cohort(4)):
        assert "SYNTHETIC" in text
    for text in both(toy_cohort(4, synthetic=False)):
        assert "SYNTHETIC" not in text
    for text in both(toy_cohort(4)[:1].per_nerve().known_at_index()):
        assert "SYNTHETIC" in text
    assert "synthetic" in repr(toy_cohort(4).subject("p000"))


def test_html_is_escaped():
    evil = "<script>alert('x')</script>&amp;"
    visits = pd.DataFrame({"subject_id": ["p000"], "visit": [evil], "day": [-1]})
    cohort = toy_cohort(
        4,
        name=evil,
        visits=visits,
        outcomes={evil: Outcome(column="age", at_least=50)},
        images=IMAGES.assign(contrast=evil),
    )
    subjects = cohort.subjects.assign(site=evil, diagnosis=evil)
    cohort = Cohort(**cohort._parts() | {"subjects": subjects}).where(evil, diagnosis=evil)
    html = cohort._repr_html_()
    page = Text(html)
    assert set(page.tags) == {"div", "strong", "table", "tr", "th", "td"}
    assert page.text.count(evil) >= 6


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(column="sex", at_most=2),
        Outcome(column="absent", at_most=2),
        Outcome(kind="survival", time="age", event="age"),
    ],
)
def test_an_outcome_that_cannot_be_computed_is_said_so(outcome):
    for text in both(toy_cohort(4, outcomes={"odd": outcome})):
        assert "odd (not computable)" in text


def test_many_groups_and_missing_ones():
    people = pd.DataFrame(
        {"site": [*"aaabbcdefgh", None], "diagnosis": pd.Categorical(["TN"] * 11 + [None])},
        index=[f"p{i}" for i in range(12)],
    )
    text = repr(Cohort(people))
    assert "TN 11, missing 1" in text
    assert "a 3, b 2" in text
    assert "3 more" in text


def test_units():
    cohort = toy_cohort(8)
    assert "16 nerves of 8 subjects" in repr(cohort.per_nerve())
    assert "16 visits of 8 subjects" in repr(cohort.per_visit())


def test_numbers_as_groups():
    people = pd.DataFrame({"site": [1.0, 2.0, np.nan]}, index=list("abc"))
    assert "missing 1" in repr(Cohort(people))


@pytest.mark.filterwarnings("error")
def test_showing_warns_of_nothing():
    for cohort in (toy_cohort(8, images=IMAGES), toy_cohort(8)[[]], Cohort(pd.DataFrame())):
        assert repr(cohort)
        assert cohort._repr_html_()
