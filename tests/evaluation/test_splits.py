from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precisionpain.errors import FormatError, LeakageError, MissingModalityError
from precisionpain.evaluation import (
    LeaveSiteOut,
    RepeatedSubjectKFold,
    SubjectKFold,
    check_splits,
)

from ..cohort.toy import toy_cohort


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=12, max_size=30),
    n_splits=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_people_never_straddle_and_everybody_is_tested_once(sizes, n_splits, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    groups = rng.permutation(groups)
    y = (groups % 2).astype(int)
    tested = np.zeros(len(groups), dtype=int)
    for train, test in SubjectKFold(n_splits, random_state=seed).split(groups[:, None], y, groups):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)
        tested[test] += 1
    assert (tested == 1).all()


def test_stratified_by_outcome():
    y = np.repeat([0, 1], [60, 20])
    shares = [y[test].mean() for _, test in SubjectKFold(4).split(y[:, None], y)]
    np.testing.assert_allclose(shares, 0.25)


def test_stratified_by_site_too():
    cohort = toy_cohort(80)
    y = np.arange(80) // 2 % 2
    for _, test in SubjectKFold(4, stratify_by="site").split(cohort, y):
        counts = cohort[test].subjects["site"].value_counts()
        assert abs(counts["A"] - counts["B"]) <= 2


def test_rare_strata_of_site_are_balanced_as_far_as_possible():
    cohort = toy_cohort(24)
    rare = cohort.subjects["site"].where(np.arange(24) > 0, "C")
    cohort = cohort.with_columns(pd.DataFrame({"site": rare}))
    y = np.arange(24) % 2
    folds = list(SubjectKFold(4, stratify_by="site").split(cohort, y))
    assert sum(len(test) for _, test in folds) == 24


def test_continuous_outcomes_are_not_stratified():
    y = np.random.default_rng(0).normal(size=30)
    assert len(list(SubjectKFold(5).split(y[:, None], y))) == 5


def test_reproducible_and_seeded():
    cohort = toy_cohort(40)
    one = [test.tolist() for _, test in SubjectKFold(4, random_state=1).split(cohort)]
    two = [test.tolist() for _, test in SubjectKFold(4, random_state=1).split(cohort)]
    other = [test.tolist() for _, test in SubjectKFold(4, random_state=2).split(cohort)]
    assert one == two != other


def test_the_people_are_read_from_the_cohort():
    nerves = toy_cohort(40).per_nerve()
    for train, test in SubjectKFold(4).split(nerves, np.tile([0, 1], 40)):
        assert not set(nerves.groups[train]) & set(nerves.groups[test])
        assert len(test) == 20


def test_repeats_differ_and_cover():
    cohort = toy_cohort(40)
    splitter = RepeatedSubjectKFold(4, n_repeats=3)
    folds = [test for _, test in splitter.split(cohort)]
    assert len(folds) == splitter.get_n_splits() == 12
    counts = np.bincount(np.concatenate(folds))
    assert (counts == 3).all()
    assert folds[0].tolist() != folds[4].tolist()


def test_leave_site_out():
    cohort = toy_cohort(40)
    sites = cohort.subjects["site"].to_numpy()
    seen = []
    for train, test in LeaveSiteOut().split(cohort):
        assert len(set(sites[test])) == 1
        assert set(sites[test]).isdisjoint(sites[train])
        seen.append(sites[test][0])
    assert sorted(seen) == ["A", "B"]
    assert LeaveSiteOut().get_n_splits(cohort) == 2
    assert len(list(LeaveSiteOut(min_subjects=20).split(cohort))) == 2


def test_leave_site_out_needs_sites():
    cohort = toy_cohort(40)
    with pytest.raises(MissingModalityError, match="no column 'hospital'"):
        next(LeaveSiteOut("hospital").split(cohort))
    with pytest.raises(FormatError, match="at least two sites"):
        next(LeaveSiteOut().split(cohort.where(site="A")))
    holes = cohort.subjects["site"].where(np.arange(40) > 2)
    with pytest.raises(FormatError, match=r"3 rows have no site.*require"):
        next(LeaveSiteOut().split(cohort.with_columns(pd.DataFrame({"site": holes}))))
    with pytest.raises(FormatError, match="read from a Cohort"):
        next(LeaveSiteOut().split(np.zeros((4, 1))))


def test_too_few_people():
    with pytest.raises(FormatError, match="5 folds of 3 people"):
        next(SubjectKFold(5).split(np.zeros((3, 1))))
    y = np.repeat([0, 1], [20, 3])
    with pytest.raises(FormatError, match=r"has 3 people, fewer than the 5 folds.*n_splits=3"):
        next(SubjectKFold(5).split(y[:, None], y))


def test_straddling_splits_are_refused():
    groups = np.array(["a", "a", "b", "b"])
    with pytest.raises(
        LeakageError, match=r"1 of 2 subjects stand in training and in test.*SubjectKFold"
    ):
        check_splits([(np.array([0]), np.array([1, 2]))], groups)
    with pytest.raises(FormatError, match="empty side"):
        check_splits([(np.array([0]), np.array([], dtype=int))], groups)
    with pytest.raises(FormatError, match="beyond the 4"):
        check_splits([(np.array([0, 1]), np.array([7]))], groups)
    with pytest.raises(FormatError, match="no split"):
        check_splits([], groups)
