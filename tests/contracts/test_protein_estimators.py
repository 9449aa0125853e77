"""What every estimator on proteins keeps to, whatever it does."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import precisionpain.proteomics as proteomics
from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics._transformer import ProteinTransformer

N, P = 30, 16
NAMES = [f"OID{i:05d}" for i in range(P)]
LIMITS = {**dict.fromkeys(NAMES, 2.0), **dict.fromkeys(range(P), 2.0)}

ESTIMATORS = {
    "ComBat": lambda: proteomics.ComBat("plate", covariates="age"),
    "ControlZ": lambda: proteomics.ControlZ("diagnosis"),
    "CyclicLoess": proteomics.CyclicLoess,
    "KNNProteins": lambda: proteomics.KNNProteins(3),
    "LODImputer": lambda: proteomics.LODImputer(LIMITS, replace="both"),
    "MedianNormalizer": proteomics.MedianNormalizer,
    "MedianScaler": proteomics.MedianScaler,
    "MinProb": proteomics.MinProb,
    "QRILC": proteomics.QRILC,
    "QuantileNormalizer": proteomics.QuantileNormalizer,
    "VSN": proteomics.VSN,
}
# Their outputs aren't the proteins that came in; they have tests of their own.
OTHER_FEATURES = {"ProteinModules"}
every = pytest.mark.parametrize("name", ESTIMATORS)


def people(seed: int = 0) -> pd.DataFrame:
    """Samples on two plates, some values missing, with what the estimators name."""
    rng = np.random.default_rng(seed)
    x = rng.normal(6, 2, P) + rng.normal(0, 0.7, (N, P)) + rng.normal(0, 0.3, (N, 1))
    x[rng.random(x.shape) < 0.08] = np.nan
    frame = pd.DataFrame(x, [f"s{i:02d}" for i in range(N)], NAMES)
    frame["plate"] = np.tile(["A", "B"], N // 2)
    frame["age"] = rng.normal(60, 9, N)
    frame["diagnosis"] = np.where(np.arange(N) < 10, "control", "TN")
    return frame


def needed(estimator: ProteinTransformer) -> list[str]:
    return estimator._named()


def table_for(estimator: ProteinTransformer, seed: int = 0) -> pd.DataFrame:
    return people(seed)[[*NAMES, *needed(estimator)]]


def adata_of(frame: pd.DataFrame, controls: float = 5.0):
    """Return the samples as AnnData, with two control samples of the method."""
    obs = frame[["plate", "age", "diagnosis"]].assign(sample_type="SAMPLE")
    extra = pd.DataFrame(
        {"plate": ["A", "B"], "age": np.nan, "diagnosis": None, "sample_type": "CONTROL"},
        index=["c0", "c1"],
    )
    values = np.vstack([frame[NAMES], controls + np.arange(2.0 * P).reshape(2, P) / 10])
    var = pd.DataFrame({"gene": NAMES}, index=NAMES)
    obs = pd.concat([obs, extra])
    # Controls aren't all at the end.
    order = np.random.default_rng(5).permutation(len(obs))
    return make_adata(values[order], obs.iloc[order], var)


def test_every_public_estimator_is_held_to_it():
    public = {
        name
        for name in dir(proteomics)
        if inspect.isclass(found := getattr(proteomics, name))
        and issubclass(found, ProteinTransformer)
    }
    assert public - OTHER_FEATURES == set(ESTIMATORS)


@every
def test_parameters_are_stored_as_given_and_cloned(name):
    estimator = ESTIMATORS[name]()
    parameters = estimator.get_params()
    for key, value in parameters.items():
        assert getattr(estimator, key) is value
    copy = clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == parameters
    assert estimator.set_params(**parameters) is estimator
    assert repr(estimator).startswith(name)


@every
def test_data_of_a_kind_come_back_as_that_kind(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    out = estimator.fit(frame).transform(frame)
    assert isinstance(out, pd.DataFrame)
    assert list(out) == NAMES
    assert out.index.equals(frame.index)

    adata = adata_of(people())
    made = clone(estimator).fit(adata).transform(adata)
    assert made.obs.equals(adata.obs)
    assert made.var.equals(adata.var)
    # both kinds hold the same samples, so they give the same numbers
    rows = [frame.index.get_loc(s) for s in adata.obs_names if s in frame.index]
    mine = np.flatnonzero(adata.obs["sample_type"] == "SAMPLE")
    np.testing.assert_allclose(made.X[mine], out.to_numpy()[rows], rtol=1e-6, atol=1e-9)

    array = frame[NAMES].to_numpy()
    if needed(estimator):
        with pytest.raises(FormatError, match="an array has no column"):
            clone(estimator).fit(array)
    else:
        plain = clone(estimator).fit(array).transform(array)
        assert type(plain) is np.ndarray
        np.testing.assert_allclose(plain, out, rtol=1e-12)


@every
def test_columns_go_by_name(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    estimator.fit(frame)
    expected = estimator.transform(frame)
    shuffled = frame.sample(frac=1, axis=1, random_state=3)
    shuffled["stranger"] = 1.0
    pd.testing.assert_frame_equal(estimator.transform(shuffled), expected)
    with pytest.raises(AlignmentError, match=r"1 of the 16 proteins.*'OID00003'"):
        estimator.transform(frame.drop(columns="OID00003"))
    adata = adata_of(people())
    order = np.random.default_rng(0).permutation(P)
    one, two = estimator.transform(adata), estimator.transform(adata[:, order])
    assert list(two.var_names) == NAMES
    np.testing.assert_array_equal(one.X, two.X)


@every
def test_rows_go_by_themselves(name):
    """A sample's result doesn't hang on who is transformed with it, nor on the order."""
    estimator = ESTIMATORS[name]()
    train, frame = table_for(estimator), table_for(estimator, seed=1)
    frame.index = [f"new{i}" for i in range(N)]
    estimator.fit(train)
    together = estimator.transform(frame)
    pd.testing.assert_frame_equal(estimator.transform(frame[::-1])[::-1], together, rtol=1e-12)
    for row in ("new0", "new7"):
        pd.testing.assert_frame_equal(
            estimator.transform(frame.loc[[row]]), together.loc[[row]], rtol=1e-12
        )
    spoilt = frame.copy()
    spoilt.iloc[5:, :P] += 7.0
    pd.testing.assert_frame_equal(
        estimator.transform(spoilt).iloc[:5], together.iloc[:5], rtol=1e-12
    )


@every
def test_only_samples_of_people_are_learned_from(name):
    one, two = adata_of(people()), adata_of(people(), controls=-40.0)
    mine = np.flatnonzero(one.obs["sample_type"] == "SAMPLE")
    estimator = ESTIMATORS[name]()
    a = clone(estimator).fit(one).transform(one)
    b = clone(estimator).fit(two).transform(two)
    np.testing.assert_allclose(a.X[mine], b.X[mine], rtol=1e-12)
    only = one[one.obs["sample_type"] == "CONTROL"].copy()
    with pytest.raises(FormatError, match="expected samples to learn from, found none"):
        clone(estimator).fit(only)


@every
def test_the_outcome_is_not_learned_from(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    y = np.random.default_rng(1).permutation(np.arange(N) % 2)
    without = clone(estimator).fit(frame).transform(frame)
    assert without.equals(clone(estimator).fit(frame, y).transform(frame))
    assert without.equals(clone(estimator).fit_transform(frame, 1 - y))


@every
def test_fitting_and_transforming_again_changes_nothing(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    assert estimator.fit(frame) is estimator
    one = estimator.transform(frame)
    assert one.equals(estimator.transform(frame))
    assert one.equals(estimator.fit(table_for(estimator, seed=2)).fit(frame).transform(frame))
    assert one.equals(pickle.loads(pickle.dumps(estimator)).transform(frame))


@every
def test_the_input_stays_as_it_was(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    before = frame.copy(deep=True)
    estimator.fit_transform(frame)
    assert frame.equals(before)
    adata = adata_of(people())
    adata.layers["lod"] = np.full(adata.shape, 2.0)
    kept = adata.copy()
    estimator.fit(adata).transform(adata)
    np.testing.assert_array_equal(adata.X, kept.X)
    np.testing.assert_array_equal(adata.layers["lod"], kept.layers["lod"])
    assert adata.obs.equals(kept.obs)
    assert adata.var.equals(kept.var)


@every
def test_names_and_state_as_scikit_learn_has_them(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    with pytest.raises(NotFittedError):
        estimator.transform(frame)
    estimator.fit(frame)
    assert estimator.n_features_in_ == P
    assert estimator.get_feature_names_out().tolist() == NAMES


@every
def test_what_is_no_log2_value_is_refused(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    frame.iloc[0, 0] = -np.inf
    with pytest.raises(FormatError, match="1 infinite values"):
        estimator.fit(frame)
    adata = adata_of(people())
    adata.X[0, 0] = 2e6
    with pytest.raises(FormatError, match="expected values on the log2 scale"):
        estimator.fit(adata)
    with pytest.raises(FormatError, match="found text in column 'note'"):
        estimator.fit(table_for(estimator).assign(note="x"))


# --- inside scikit-learn ------------------------------------------------------------------


def classifier(first):
    return make_pipeline(
        first, SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression()
    )


@every
def test_in_a_pipeline_that_is_cross_validated_and_tuned(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    y = np.random.default_rng(1).permutation(np.arange(N) % 2)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = classifier(estimator)
    scores = cross_validate(model, frame, y, cv=folds, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=folds)
    assert np.isfinite(search.fit(frame, y).best_score_)


@every
def test_in_a_column_transformer(name):
    estimator = ESTIMATORS[name]()
    frame = table_for(estimator)
    mixed = frame.assign(volume=np.arange(N, dtype=float))
    both = ColumnTransformer(
        [("proteins", estimator, list(frame)), ("image", "passthrough", ["volume"])]
    )
    out = both.fit_transform(mixed)
    np.testing.assert_array_equal(out[:, :P], clone(estimator).fit_transform(frame))
    np.testing.assert_array_equal(out[:, P], mixed["volume"])
    assert both.get_feature_names_out()[-1] == "image__volume"


@every
def test_nothing_else_is_warned_of(name):
    estimator = ESTIMATORS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = table_for(estimator)
        estimator.fit(frame).transform(frame)
