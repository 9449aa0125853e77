from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from precisionpain.cohort import Cohort, Column
from precisionpain.errors import FormatError, LeakageError, MissingModalityError
from precisionpain.evaluation import ClinicalFeatures, SubjectKFold, clinical_model, nested

from ..cohort.toy import toy_cohort


def cohort_of(**columns) -> Cohort:
    n = len(next(iter(columns.values())))
    return Cohort(pd.DataFrame(columns, index=[f"p{i}" for i in range(n)]))


def test_kinds_of_columns():
    cohort = cohort_of(
        age=[50.0, np.nan, 70.0, 61.0],
        sex=["female", "male", None, "male"],
        branch=["V1", "V2", "V3", "V2"],
        flag=pd.array([True, None, False, True], dtype="boolean"),
    )
    features = ClinicalFeatures(min_count=1).fit(cohort)
    frame = features.transform(cohort)
    assert list(frame) == ["age", "sex=male", "branch=V1", "branch=V2", "branch=V3", "flag"]
    np.testing.assert_array_equal(frame["sex=male"], [0, 1, np.nan, 1])
    np.testing.assert_array_equal(frame["branch=V2"], [0, 1, 0, 1])
    np.testing.assert_array_equal(frame["flag"], [1, np.nan, 0, 1])
    assert frame.index.equals(cohort.index)


def test_levels_are_learned_in_the_fold():
    train = cohort_of(branch=["V1"] * 6 + ["V2"] * 6 + ["V3"])
    test = cohort_of(branch=["V3", "V9", "V1", None])
    features = ClinicalFeatures(min_count=5).fit(train)
    frame = features.transform(test)
    assert list(frame) == ["branch=V1", "branch=V2"]
    np.testing.assert_array_equal(frame.iloc[0], [0, 0])
    np.testing.assert_array_equal(frame.iloc[1], [0, 0])
    np.testing.assert_array_equal(frame.iloc[2], [1, 0])
    assert frame.iloc[3].isna().all()


def test_constant_columns_are_left_out():
    cohort = cohort_of(age=[1.0, 2.0], diagnosis=["TN", "TN"], empty=[np.nan, np.nan])
    assert ClinicalFeatures().fit(cohort).columns_ == ["age"]
    with pytest.raises(MissingModalityError, match="no column that may predict and varies"):
        ClinicalFeatures().fit(cohort_of(age=[1.0, 1.0]))


def test_outcomes_are_refused_by_name():
    cohort = toy_cohort()
    with pytest.raises(LeakageError, match=r"'bni' can't be a predictor: it is an outcome"):
        ClinicalFeatures(["age", "bni"]).fit(cohort)
    late = cohort.with_columns(
        pd.DataFrame({"late_score": np.arange(40.0)}, index=cohort.subject_ids),
        {"late_score": Column(visit="followup")},
    )
    assert "late_score" not in late.predictors
    with pytest.raises(LeakageError, match=r"recorded at visit 'followup', after the index event"):
        ClinicalFeatures(["late_score"]).fit(late)
    allowed = ClinicalFeatures(["late_score"], allow=["late_score"]).fit(late)
    assert allowed.columns_ == ["late_score"]


def test_text_and_unknown_columns():
    cohort = cohort_of(note=[f"text {i} of its own" for i in range(40)], age=np.arange(40.0))
    assert ClinicalFeatures().fit(cohort).columns_ == ["age"]
    with pytest.raises(FormatError, match="'note' is text"):
        ClinicalFeatures(["note"]).fit(cohort)
    with pytest.raises(MissingModalityError, match="no column 'weight'"):
        ClinicalFeatures(["weight"]).fit(cohort)
    with pytest.raises(FormatError, match="X is a Cohort, found ndarray"):
        ClinicalFeatures().fit(np.zeros((3, 2)))


def test_clone_and_params():
    model = clinical_model("logistic", columns=["age"], C=0.3)
    assert clone(model).get_params()["model__C"] == 0.3
    assert repr(clone(model)) == repr(model)


@pytest.mark.parametrize("name", ["logistic", "random_forest", "xgboost"])
def test_each_model_learns_a_clear_signal(name):
    rng = np.random.default_rng(0)
    age = rng.normal(60, 10, 300)
    y = (age + rng.normal(0, 3, 300) > 60).astype(int)
    sex = rng.choice(["female", "male"], 300).astype(object)
    age[:20], sex[:10] = np.nan, None
    cohort = cohort_of(age=age, sex=sex)
    model = clinical_model(name).fit(cohort[:200], y[:200])
    assert model.score(cohort[200:], y[200:]) > 0.8


def test_unknown_model():
    with pytest.raises(FormatError, match="'logistic', 'random_forest', 'xgboost', found 'svm'"):
        clinical_model("svm")


def test_rows_follow_the_ids_not_the_order():
    cohort = toy_cohort(60).require("response")
    y = cohort.outcome("response")
    model = clinical_model("logistic")
    p = pd.Series(model.fit(cohort, y).predict_proba(cohort)[:, 1], cohort.index)
    order = np.random.default_rng(1).permutation(len(cohort))
    moved = cohort[order]
    q = pd.Series(model.fit(moved, y.reindex(moved.index)).predict_proba(moved)[:, 1], moved.index)
    np.testing.assert_allclose(q.reindex(p.index), p, atol=1e-5)


def test_nested_is_a_grid_search_by_subject():
    cohort = toy_cohort(100).require("response")
    search = nested(clinical_model(), {"model__C": [0.01, 1.0]})
    assert isinstance(search.cv, SubjectKFold)
    search.fit(cohort, cohort.outcome("response"))
    assert search.best_params_["model__C"] in (0.01, 1.0)
