"""A classifier among others: clones, cross-validation, ensembles, files, and its memory."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError

import precisionpain as pp
from precisionpain._learning.device import deterministic_threads
from precisionpain.errors import FormatError, LeakageError
from precisionpain.evaluation import SubjectKFold, cross_validate
from precisionpain.mtbi import ChronicPainClassifier, PlaneEnsemble, resnet3d

from .scans import TINY, classifier, people


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return people(tmp_path_factory.mktemp("bright"), 12, bright=True)


@pytest.fixture(scope="module")
def fitted(bright):
    cohort, y = bright
    return classifier(n_epochs=1).fit(cohort[:8], y.iloc[:8])


@pytest.fixture(autouse=True)
def _one_thread():
    with deterministic_threads(1):
        yield


# -- scikit-learn ------------------------------------------------------------------------------


def test_parameters_come_back(bright):
    model = classifier(plane="coronal", dataset=bright[0], scaling="dataset", entities={"a": 1})
    copy = clone(model)
    assert copy.get_params(deep=False) == model.get_params(deep=False)
    assert copy.dataset is model.dataset
    assert copy.entities is not model.entities
    assert is_classifier(model)
    assert clone(PlaneEnsemble(model)).model.plane == "coronal"
    assert model.set_params(depth=34).depth == 34
    assert "plane='coronal'" in repr(model)


def test_nothing_is_known_before_fit(bright):
    cohort, _ = bright
    for method in ("predict", "predict_proba", "decision_function", "features", "inputs"):
        with pytest.raises(NotFittedError):
            getattr(classifier(), method)(cohort)
    with pytest.raises(NotFittedError):
        classifier().saw(["p00"])
    with pytest.raises(NotFittedError):
        PlaneEnsemble().saw(["p00"])


def test_a_cross_validation(bright):
    """Every person is predicted by a network that was trained without them."""
    cohort, y = bright
    model = classifier(n_epochs=6, learning_rate=3e-3, head_learning_rate=3e-3, precise_bn=True)
    result = cross_validate(
        model, cohort, y, SubjectKFold(3), baseline=None, n_permutations=0, keep_models=True
    )
    frame = result.frame()
    assert len(frame) == 3
    assert frame["auc"].tolist() == [1.0] * 3
    for (train, test), one in zip(result.splits, result.models, strict=True):
        assert one.saw(cohort.index[train]).all()
        assert not one.saw(cohort.index[test]).any()
        assert one.scaler_.n_volumes_ == len(train)


def test_models_travel_between_processes(bright, fitted):
    cohort, _ = bright
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(cohort), fitted.predict_proba(cohort))


def test_a_prediction_is_of_one_person_alone(bright, fitted):
    cohort, _ = bright
    together = fitted.predict_proba(cohort)
    order = [7, 0, 11]
    np.testing.assert_array_equal(fitted.predict_proba(cohort[order]), together[order])


# -- files -------------------------------------------------------------------------------------


def test_a_saved_classifier_is_the_same(bright, fitted, tmp_path):
    cohort, _ = bright
    fitted.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "model.json", "weights.safetensors"
    ]  # fmt: skip
    loaded = ChronicPainClassifier.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.inputs(cohort), fitted.inputs(cohort))
    np.testing.assert_array_equal(loaded.predict_proba(cohort), fitted.predict_proba(cohort))
    np.testing.assert_array_equal(loaded.slab_affine_, fitted.slab_affine_)
    assert loaded.classes_.tolist() == [0, 1]
    assert loaded.n_parameters_ == fitted.n_parameters_
    unlike = {"device", "progress"}
    for name, value in fitted.get_params(deep=False).items():
        if name not in unlike:
            assert getattr(loaded, name) == value, name


def test_no_name_is_in_the_files(bright, fitted, tmp_path):
    fitted.save(tmp_path)
    text = (tmp_path / "model.json").read_text() + str(
        (tmp_path / "weights.safetensors").read_bytes()
    )
    assert not any(name in text for name in bright[0].index)
    assert "/" not in json.dumps(json.loads((tmp_path / "model.json").read_text())["description"])


def test_other_files_are_refused(fitted, tmp_path):
    with pytest.raises(FormatError, match="not there"):
        ChronicPainClassifier.load(tmp_path / "nothing")
    torch.save(fitted.network_.state_dict(), tmp_path / "model.pt")
    with pytest.raises(FormatError, match="isn't read"):
        ChronicPainClassifier.load(tmp_path / "model.pt")
    fitted.save(tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    about = json.loads(file.read_text())
    for drop in ("parameters", "network", "scaler", "memory", "classes"):
        changed = {**about, "description": {**about["description"]}}
        del changed["description"][drop]
        file.write_text(json.dumps(changed))
        with pytest.raises(FormatError, match="not complete"):
            ChronicPainClassifier.load(tmp_path / "model")
    file.write_text(json.dumps({**about, "kind": "TrigeminalSegmenter"}))
    with pytest.raises(FormatError, match="kind"):
        ChronicPainClassifier.load(tmp_path / "model")


# -- weights to begin with ---------------------------------------------------------------------


def medicalnet(path, depth=10, width=4):
    donor = resnet3d(depth, width=width, random_state=7)
    state = {f"module.{name}": tensor for name, tensor in donor.state_dict().items()}
    torch.save({"state_dict": state}, path)
    return donor


def test_medicalnets_weights_are_counted_and_used(bright, tmp_path):
    cohort, y = bright
    donor = medicalnet(tmp_path / "resnet_10.pth")
    model = classifier(weights=tmp_path / "resnet_10.pth", freeze=True, n_epochs=1)
    model.fit(cohort, y)
    assert model.load_report_.share == 1.0
    assert model.load_report_.depth == 10
    for name, tensor in donor.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(tensor, model.network_.state_dict()[name])
    model.save(tmp_path / "saved")
    expected = dataclasses.replace(model.load_report_, path="resnet_10.pth")
    assert ChronicPainClassifier.load(tmp_path / "saved").load_report_ == expected


def test_weights_of_another_network_are_refused(bright, fitted, tmp_path):
    cohort, y = bright
    medicalnet(tmp_path / "resnet_18.pth", depth=18)
    with pytest.raises(FormatError, match="ResNet-18"):
        classifier(weights=tmp_path / "resnet_18.pth").fit(cohort, y)
    fitted.save(tmp_path / "saved")
    with pytest.raises(FormatError, match="depth 10 there, 18 here"):
        classifier(weights=tmp_path / "saved", depth=18).fit(cohort, y)
    with pytest.raises(FormatError, match="'dilated' there, 'strided' here"):
        classifier(weights=tmp_path / "saved", variant="strided").fit(cohort, y)


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a file was run')",)


def test_pickled_code_is_not_run(bright, tmp_path):
    cohort, y = bright
    torch.save({"state_dict": Trap()}, tmp_path / "resnet_10.pth")
    with pytest.raises(FormatError, match="more than weights"):
        classifier(weights=tmp_path / "resnet_10.pth").fit(cohort, y)


def test_a_saved_classifier_goes_on(bright, fitted, tmp_path):
    """It begins with all its weights, and remembers whom it saw before."""
    cohort, y = bright
    fitted.save(tmp_path)
    more = classifier(weights=tmp_path, freeze=True, n_epochs=1, head_learning_rate=1e-12)
    more.set_params(scaling="train").fit(cohort[8:], y.iloc[8:])
    for name, tensor in fitted.network_.state_dict().items():
        torch.testing.assert_close(more.network_.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)
    assert more.saw(cohort.index).all()
    assert not more.saw(["p99"]).any()


def test_weights_that_know_the_people_are_not_tested_on_them(bright, fitted, tmp_path):
    cohort, y = bright
    fitted.save(tmp_path / "saved")
    model = classifier(weights=tmp_path / "saved", n_epochs=1)
    assert model.saw(cohort.index).tolist() == [True] * 8 + [False] * 4
    for one in (model, PlaneEnsemble(model, planes=["axial"])):
        with pytest.raises(LeakageError, match="8 of the 12 people"):
            cross_validate(one, cohort, y, SubjectKFold(2), baseline=None)
    strangers = cohort[8:]
    result = cross_validate(
        model, strangers, y.iloc[8:], SubjectKFold(2), baseline=None, n_permutations=0
    )
    assert len(result.frame()) == 2
    shutil.rmtree(tmp_path / "saved")


# -- ensembles ---------------------------------------------------------------------------------


def test_an_ensemble_votes(bright):
    cohort, y = bright
    model = classifier(n_epochs=1, threshold=0.45)
    mean = PlaneEnsemble(model, seeds=[0, 1, 2], planes=["axial", "coronal", "sagittal"])
    mean.fit(cohort[:8], y.sample(frac=1, random_state=0))
    assert len(mean.models_) == 9
    each = np.array([
        ChronicPainClassifier(**(TINY | {"n_epochs": 1}), plane=plane, random_state=seed)
        .fit(cohort[:8], y).predict_proba(cohort)[:, 1]
        for plane in ("axial", "coronal", "sagittal") for seed in (0, 1, 2)
    ])  # fmt: skip
    np.testing.assert_allclose(mean.predict_proba(cohort)[:, 1], each.mean(0))
    majority = PlaneEnsemble(model, voting="majority")
    majority.models_, majority.classes_ = mean.models_, mean.classes_
    share = (each >= 0.45).mean(0)
    np.testing.assert_allclose(majority.predict_proba(cohort)[:, 1], share)
    assert majority.predict(cohort).tolist() == (share >= 0.5).astype(int).tolist()
    assert mean.saw(["p00", "p11"]).tolist() == [True, False]


@pytest.mark.parametrize(
    "wrong",
    [{"voting": "soft"}, {"planes": []}, {"planes": ["axial", "axial"]}, {"seeds": []},
     {"planes": ["oblique"]}],
)  # fmt: skip
def test_ensembles_that_make_no_sense(bright, wrong):
    with pytest.raises(FormatError):
        PlaneEnsemble(classifier(), **wrong).fit(*bright)


def test_an_ensemble_is_cross_validated(bright):
    cohort, y = bright
    model = PlaneEnsemble(classifier(n_epochs=1), planes=["axial", "coronal"], voting="majority")
    result = cross_validate(model, cohort, y, SubjectKFold(2), baseline=None, n_permutations=0)
    assert set(result.predictions["p"]) <= {0.0, 0.5, 1.0}


def test_images_that_come_later_stay_hidden(bright):
    """Scans from after the landmark aren't there for a model, unless they are allowed."""
    cohort, y = bright
    images = cohort.images.assign(visit="month12")
    later = pp.Cohort(cohort.subjects, images=images)
    with pytest.raises(pp.errors.MissingModalityError):
        cross_validate(classifier(), later, y, SubjectKFold(2), baseline=None)
    assert isinstance(y, pd.Series)
