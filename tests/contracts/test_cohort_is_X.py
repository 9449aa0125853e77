"""A Cohort is a scikit-learn X: its meta-estimators work on people."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)

from precisionpain.evaluation import SubjectKFold, clinical_model

from ..cohort.toy import toy_cohort


@pytest.fixture(scope="module")
def people():
    cohort = toy_cohort(120).require("response")
    return cohort, cohort.outcome("response").astype(int)


def logistic():
    return clinical_model("logistic")


def test_cross_validate_nested(people):
    cohort, y = people
    tuned = GridSearchCV(
        logistic(), {"model__C": [0.01, 1.0]}, cv=SubjectKFold(3), scoring="roc_auc"
    )
    scores = cross_validate(tuned, cohort, y, cv=SubjectKFold(3), scoring="roc_auc")
    assert scores["test_score"].shape == (3,)
    assert np.isfinite(scores["test_score"]).all()


def test_cross_validate_splits_people_like_the_matrix(people):
    """The same folds on a plain matrix give the same scores, to the last digit."""
    cohort, y = people
    model = logistic()
    folds = list(SubjectKFold(4).split(cohort, y))
    on_people = cross_validate(model, cohort, y, cv=folds, scoring="roc_auc")["test_score"]
    on_matrix = []
    for train, test in folds:
        features = model[0].fit(cohort[train])
        rest = model[1:].fit(features.transform(cohort[train]), y.iloc[train])
        p = rest.predict_proba(features.transform(cohort[test]))[:, 1]
        truth = y.iloc[test].to_numpy()
        wins = (p[truth == 1][:, None] > p[truth == 0]).mean()
        ties = (p[truth == 1][:, None] == p[truth == 0]).mean()
        on_matrix.append(wins + ties / 2)
    np.testing.assert_allclose(on_people, on_matrix, rtol=1e-12)


def test_grid_search(people):
    cohort, y = people
    search = GridSearchCV(logistic(), {"model__C": [0.1, 1.0]}, cv=SubjectKFold(3)).fit(cohort, y)
    assert search.best_params_["model__C"] in (0.1, 1.0)
    assert search.predict(cohort).shape == (len(cohort),)


def test_randomized_search(people):
    cohort, y = people
    search = RandomizedSearchCV(
        logistic(), {"model__C": [0.1, 1.0]}, n_iter=2, cv=SubjectKFold(3), random_state=0
    )
    assert search.fit(cohort, y).score(cohort, y) > 0


def test_stacking(people):
    cohort, y = people
    stack = StackingClassifier(
        [("age", clinical_model("logistic", columns=["age"])), ("all", logistic())],
        final_estimator=LogisticRegression(),
        cv=SubjectKFold(3),
    ).fit(cohort, y)
    assert stack.predict_proba(cohort).shape == (len(cohort), 2)
    assert stack.final_estimator_.coef_.shape == (1, 2)


def test_voting(people):
    cohort, y = people
    vote = VotingClassifier(
        [("age", clinical_model("logistic", columns=["age"])), ("all", logistic())], voting="soft"
    ).fit(cohort, y)
    assert vote.predict_proba(cohort).shape == (len(cohort), 2)


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration(people, ensemble):
    cohort, y = people
    model = CalibratedClassifierCV(logistic(), cv=SubjectKFold(3), ensemble=ensemble)
    p = model.fit(cohort, y).predict_proba(cohort)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_permutation_test_score(people):
    cohort, y = people
    _, null, p = permutation_test_score(
        logistic(), cohort, y, cv=SubjectKFold(3), n_permutations=5, random_state=0
    )
    assert null.shape == (5,)
    assert 1 / 6 <= p <= 1


def test_learning_and_validation_curve(people):
    cohort, y = people
    sizes, train, test = learning_curve(
        logistic(), cohort, y, cv=SubjectKFold(3), train_sizes=[0.5, 1.0]
    )
    assert len(sizes) == 2
    assert train.shape == test.shape == (2, 3)
    train, test = validation_curve(
        logistic(), cohort, y, param_name="model__C", param_range=[0.1, 1], cv=SubjectKFold(3)
    )
    assert train.shape == test.shape == (2, 3)


def test_cross_val_predict_keeps_the_order(people):
    cohort, y = people
    p = cross_val_predict(logistic(), cohort, y, cv=SubjectKFold(3), method="predict_proba")
    order = np.random.default_rng(0).permutation(len(cohort))
    folds = list(SubjectKFold(3).split(cohort, y))
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in folds]
    # The rows are shuffled, the folds hold the same people: so must the predictions.
    q = cross_val_predict(
        logistic(), cohort[order], y.iloc[order], cv=moved, method="predict_proba"
    )
    np.testing.assert_allclose(q[place], p, atol=1e-6)


def test_groups_of_scikit_learn(people):
    cohort, y = people
    nerves = cohort.per_nerve()
    labels = y.reindex(nerves.groups).to_numpy()
    scores = cross_validate(
        logistic(), nerves, labels, cv=LeaveOneGroupOut(), groups=nerves.groups, scoring="accuracy"
    )
    assert len(scores["test_score"]) == cohort.n_subjects


def test_train_test_split(people):
    cohort, y = people
    train, test, y_train, _ = train_test_split(cohort, y, random_state=0)
    assert list(train.index) == list(y_train.index)
    assert not set(train.groups) & set(test.groups)
    assert len(train) + len(test) == len(cohort)


def test_in_parallel(people):
    cohort, y = people
    one = cross_validate(logistic(), cohort, y, cv=SubjectKFold(3))["test_score"]
    two = cross_validate(logistic(), cohort, y, cv=SubjectKFold(3), n_jobs=2)["test_score"]
    np.testing.assert_array_equal(one, two)
